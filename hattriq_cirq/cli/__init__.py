"""The command line `hattriq`: train, attribute, cost, show, demo.

Only the standard library is imported here: each command imports what it needs when it runs, so that help is instant.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn, TextIO

from hattriq_cirq._version import __version__

_ESTIMATORS = "exact, resolved, hadamard, hadamard-literal, parallel:M or polarization"
_DATA = """data sets, with options after a colon:
  bars_and_stripes  digits:pair=0/1  mnist:pair=3/5,size=16  tfim:n_qubits=8  planted_pixel  xor_pixels
  mnist_idx:path=FOLDER  fashion_mnist:path=FOLDER,pair=0/1   (your IDX files or .npz)
  my.csv  my.npz                                              (your table, labels -1 and +1)"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: the words after `hattriq`; None takes those of the process.

    Returns:
        The exit code: 0 if all went well, 1 if a check failed, 2 for bad input (one line on stderr), 130 for Ctrl-C.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _show_warning
        try:
            chosen = _parser().parse_args(arguments)
            code: int = chosen.command(chosen)
            sys.stdout.flush()
            return code
        except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except KeyboardInterrupt:
            _complain("interrupted")
            return 130
        except (ValueError, OSError, ImportError, ArithmeticError) as error:
            _complain(f"error: {_describe(error)}")
            return 2


class _Parser(argparse.ArgumentParser):
    """A parser whose errors go the way of all others."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see {self.prog} --help")


def _complain(text: str) -> None:
    print(f"hattriq: {' '.join(text.split())}", file=sys.stderr)


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    _complain(f"warning: {message}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="hattriq",
        description="Input attribution of amplitude-encoded quantum models by integrated gradients.",
        epilog="examples:\n  hattriq demo --out demo\n  hattriq train digits:pair=0/1 --out runs/digits\n"
        "  hattriq COMMAND --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"hattriq {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_train(commands)
    _add_attribute(commands)
    _add_cost(commands)
    _add_show(commands)
    _add_demo(commands)
    return parser


def _add(
    commands: argparse._SubParsersAction[_Parser], name: str, summary: str, description: str, examples: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_train(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _add(
        commands,
        "train",
        "train a model on a data set",
        "Trains a quantum classifier and writes it, its history, a picture and every setting into a new folder.\n"
        "Accuracies are printed beside logistic regression on the same split and chance.\n\n" + _DATA,
        "  hattriq train digits:pair=0/1 --out runs/digits\n"
        "  hattriq train bars_and_stripes --out runs/bars --ansatz grid:2x2 --layers 4 --optimizer lbfgs\n"
        "  hattriq train my.csv --out runs/mine --epochs 100 --seed 3",
    )
    parser.add_argument("data", metavar="DATA", help="a data set, as above")
    parser.add_argument("--out", required=True, metavar="DIR", help="new or empty folder for the results")
    parser.add_argument("--ansatz", default="ring", metavar="ring|grid:RxC", help="circuit (default: %(default)s)")
    parser.add_argument("--layers", type=int, default=4, metavar="N", help="coupling layers (default: %(default)s)")
    parser.add_argument("--optimizer", default="adam", choices=("adam", "lbfgs"), help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=200, metavar="N", help="at most (default: %(default)s)")
    parser.add_argument("--batch-size", type=_batch_size, default=64, metavar="N|all", help="for adam (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=0.05, metavar="X", help="of adam (default: %(default)s)")
    parser.add_argument(
        "--scale", type=float, default=10.0, metavar="X", help="steepness of the logistic loss (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of start and minibatches (default: %(default)s)")
    parser.set_defaults(command=_train)


def _add_attribute(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _add(
        commands,
        "attribute",
        "attribute a model's answers to its inputs",
        "Computes integrated gradients of a trained model and writes arrays, a table, a gallery and every setting into\n"
        "a new folder. Values are exact, or read from simulated circuits with --estimator, with standard errors; their\n"
        "sum is checked against the difference of the scores.\n\n" + _DATA,
        "  hattriq attribute runs/digits --data digits:pair=0/1 --out runs/digits-maps\n"
        "  hattriq attribute runs/digits --data digits:pair=0/1 --out runs/mean --baseline mean --form normalized\n"
        "  hattriq attribute runs/digits --data digits:pair=0/1 --out runs/shots --estimator resolved --shots 20000\n"
        "  hattriq attribute runs/bars/model.json --data bars_and_stripes --out runs/bars-maps --index 0,1,2",
    )
    parser.add_argument("model", metavar="MODEL", help="a model.json, or a folder that holds one")
    parser.add_argument("--data", required=True, metavar="DATA", help="the data set the inputs come from, as above")
    parser.add_argument("--out", required=True, metavar="DIR", help="new or empty folder for the results")
    inputs = parser.add_mutually_exclusive_group()
    inputs.add_argument(
        "--inputs",
        default="test:0:8",
        metavar="SIDE[:FROM:TO]",
        help="test or train, all of it or a slice (default: %(default)s)",
    )
    inputs.add_argument("--index", dest="inputs", metavar="I,J,...", help="samples of the whole data set, from 0")
    parser.add_argument(
        "--baseline",
        default="zero",
        metavar="NAME",
        help="zero, mean, class_mean, opposite_class_mean, blur[:SIGMA], uniform, max_distance or sample:COUNT "
        "(default: %(default)s)",
    )
    parser.add_argument("--form", default="quadratic", metavar="FORM", help="quadratic or normalized (default: %(default)s)")
    parser.add_argument(
        "--rule",
        default="exact",
        metavar="RULE",
        help="exact, riemann:K, midpoint:K, trapezoid:K or gauss-legendre:K (default: %(default)s)",
    )
    parser.add_argument("--head", default="identity", metavar="KIND:SCALE", help="such as sigmoid:5 or tanh:2 (default: none)")
    parser.add_argument("--precision", default="float64", choices=("float64", "float32"), help="(default: %(default)s)")
    parser.add_argument("--estimator", default="exact", metavar="NAME", help=f"{_ESTIMATORS} (default: %(default)s)")
    parser.add_argument("--engine", default="qsim", metavar="NAME", help="qsim or cirq, simulators (default: %(default)s)")
    parser.add_argument(
        "--shots",
        type=int,
        default=20_000,
        metavar="N",
        help="of an estimator, for each input; 0 takes exact probabilities (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of sampled baselines and of counts (default: %(default)s)")
    parser.set_defaults(command=_attribute)


def _add_cost(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _add(
        commands,
        "cost",
        "price an attribution before it is run",
        "Counts circuits, qubits and compiled two-qubit gates of each estimator, and predicts the shots to a wanted\n"
        "precision. Without MODEL it prices ring models with random parameters and inputs over --qubits, and draws them.",
        "  hattriq cost runs/digits --data digits:pair=0/1 --index 0 --estimators resolved\n"
        "  hattriq cost runs/bars --data bars_and_stripes --device willow_pink --estimators resolved,hadamard\n"
        "  hattriq cost --qubits 2,3,4 --layers 2 --out runs/cost",
    )
    parser.add_argument("model", metavar="MODEL", nargs="?", help="a model.json, or a folder that holds one")
    parser.add_argument("--data", metavar="DATA", help="with MODEL: the data set the input comes from")
    parser.add_argument("--index", type=int, metavar="I", help="with MODEL: sample of the data set (default: first of test)")
    parser.add_argument("--baseline", default="zero", metavar="NAME", help="as in attribute (default: %(default)s)")
    parser.add_argument("--qubits", default="2,3,4,5", metavar="N,...", help="without MODEL (default: %(default)s)")
    parser.add_argument("--layers", type=int, default=4, metavar="N", help="without MODEL (default: %(default)s)")
    parser.add_argument(
        "--estimators", default="resolved,hadamard,parallel:2,polarization", metavar="NAME,...", help=_ESTIMATORS
    )
    parser.add_argument("--gateset", default="cz", metavar="NAME", help="cz, sqrt_iswap or sycamore (default: %(default)s)")
    parser.add_argument("--device", metavar="NAME", help="also route on willow_pink, weber or rainbow")
    parser.add_argument("--cosine", type=float, default=0.95, metavar="C", help="wanted of the map (default: %(default)s)")
    parser.add_argument("--stderr", type=float, default=0.01, metavar="E", help="wanted of each feature (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of parameters, inputs and samples (default: %(default)s)")
    parser.add_argument("--out", metavar="DIR", help="new or empty folder for cost.csv and, over qubits, cost.png")
    parser.set_defaults(command=_cost)


def _add_show(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _add(
        commands,
        "show",
        "print a saved model, attribution or run",
        "Prints what a file or folder of this program holds: a model, an attribution with its largest features, or a\n"
        "run with its settings and accuracies.",
        "  hattriq show runs/digits\n  hattriq show runs/digits-maps --input 2 --top 5 --png map.png\n"
        "  hattriq show attribution.npz --shape 8x8 --png map.png",
    )
    parser.add_argument("path", metavar="PATH", help="attribution.npz, model.json, run.json or a folder")
    parser.add_argument("--png", metavar="FILE", help="also draw the chosen input and its map into a new file")
    parser.add_argument("--input", type=int, default=0, metavar="K", help="which input (default: %(default)s)")
    parser.add_argument("--top", type=int, default=10, metavar="N", help="features to list (default: %(default)s)")
    parser.add_argument("--shape", metavar="RxC", help="of the image; default: what run.json says, else bars")
    parser.set_defaults(command=_show)


def _add_demo(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _add(
        commands,
        "demo",
        "from data to attribution maps and a report",
        "Trains on Bars and Stripes and on real handwritten digits, attributes test inputs, checks completeness, and\n"
        "writes everything, with a one-page report, into a new folder. Takes seconds.",
        "  hattriq demo --out demo\n  hattriq demo --out demo-quick --quick",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="new or empty folder for the results")
    parser.add_argument("--quick", action="store_true", help="fewer epochs and inputs")
    parser.set_defaults(command=_demo)


def _batch_size(text: str) -> int | None:
    return None if text == "all" else int(text)


def _train(chosen: argparse.Namespace) -> int:
    from hattriq_cirq.cli import choices, runs

    settings = runs.TrainSettings(
        ansatz=chosen.ansatz,
        layers=chosen.layers,
        optimizer=chosen.optimizer,
        epochs=chosen.epochs,
        batch_size=chosen.batch_size,
        learning_rate=chosen.learning_rate,
        scale=chosen.scale,
        seed=chosen.seed,
    )
    runs.train_into(choices.fresh_folder(chosen.out), runs.Task.load(chosen.data), settings).print()
    return 0


def _attribute(chosen: argparse.Namespace) -> int:
    from hattriq_cirq.cli import choices, runs

    settings = runs.AttributeSettings(
        inputs=chosen.inputs,
        baseline=chosen.baseline,
        form=chosen.form,
        rule=chosen.rule,
        head=chosen.head,
        precision=chosen.precision,
        estimator=chosen.estimator,
        engine=chosen.engine,
        shots=chosen.shots,
        seed=chosen.seed,
    )
    folder, task = choices.fresh_folder(chosen.out), runs.Task.load(chosen.data)
    runs.attribute_into(folder, choices.find_model(chosen.model), task, settings).print()
    return 0


def _cost(chosen: argparse.Namespace) -> int:
    from hattriq_cirq.cli.cost import CostSettings, cost

    cost(CostSettings(**{name: value for name, value in vars(chosen).items() if name != "command"}))
    return 0


def _show(chosen: argparse.Namespace) -> int:
    from hattriq_cirq.cli.show import show

    show(chosen.path, png=chosen.png, index=chosen.input, top=chosen.top, shape=chosen.shape)
    return 0


def _demo(chosen: argparse.Namespace) -> int:
    from hattriq_cirq.cli.demo import demo

    return demo(chosen.out, quick=chosen.quick)
