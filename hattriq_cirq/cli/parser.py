"""The words of the command line, and the help that teaches them; only the standard library is imported.

What each command does stands in `handlers`, which imports what it needs when it runs, so that help is instant.
"""

from __future__ import annotations

import argparse

from hattriq_cirq._version import __version__
from hattriq_cirq.cli import handlers, parser_results
from hattriq_cirq.cli.parsing import Parser, add_command, seed

_ESTIMATORS = "exact, resolved, hadamard, hadamard-literal, parallel:M or polarization"
_DATA = """data sets, with options after a colon:
  bars_and_stripes  digits:pair=0/1  mnist:pair=3/5,size=16  tfim:n_qubits=8  planted_pixel  xor_pixels
  mnist_idx:path=FOLDER  fashion_mnist:path=FOLDER,pair=0/1   (your IDX files or .npz)
  my.csv  my.npz                                              (your table, labels -1 and +1)"""
_ENGINES = """engines:
  qsim  cirq                                    simulators on this machine: counts without noise
  virtual:PROCESSOR[,noise=NOISE]               a Google processor simulated from its calibration: willow_pink, weber or
                                                rainbow; noise calibrated (default), none, readout or gates
  google:PROJECT/PROCESSOR                      the real one, for a Google Cloud project with access to it"""
_MITIGATIONS = """mitigations, in any order, with commas:
  readout[:SHOTS]           undo readout errors qubit by qubit; measured with the data in SHOTS a state, or --calibration
  correlated-readout[:SHOTS]  undo them group by group; twirled-readout[:MASKS] by random bit flips, whatever correlates them
  zne  twirl[:TWIRLS]  dd   extrapolate to no noise of gates, average over Pauli frames, decouple idle qubits
  completeness  noise-estimation   rescale by a measured score, or by circuits of known answer"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of everything after `hattriq`; `command` of its result does the work."""
    parser = Parser(
        prog="hattriq",
        description="Input attribution of amplitude-encoded quantum models by integrated gradients.",
        epilog="examples:\n  hattriq demo --out demo\n  hattriq train digits:pair=0/1 --out runs/digits\n"
        "  hattriq doctor\n  hattriq COMMAND --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"hattriq {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_train(commands)
    _add_attribute(commands)
    _add_calibrate(commands)
    _add_cost(commands)
    parser_results.add_commands(commands)
    return parser


def _add_train(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = add_command(
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
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="of start and minibatches (default: %(default)s)")
    parser.set_defaults(command=handlers.train)


def _add_attribute(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = add_command(
        commands,
        "attribute",
        "attribute a model's answers to its inputs",
        "Computes integrated gradients of a trained model and writes arrays, a table, a gallery and every setting into\n"
        "a new folder. Values are exact, or read from circuits with --estimator, with standard errors; their sum is\n"
        "checked against the difference of the scores.\n\n"
        "Circuits run on the --engine; each job's counts are recorded in the folder as they arrive. When a run stops, for\n"
        "whatever reason, the same command again, or `hattriq resume DIR`, goes on and runs no finished job twice.\n\n"
        + _ENGINES
        + "\n\n"
        + _MITIGATIONS
        + "\n\n"
        + _DATA,
        "  hattriq attribute runs/digits --data digits:pair=0/1 --out runs/digits-maps\n"
        "  hattriq attribute runs/digits --data digits:pair=0/1 --out runs/mean --baseline mean --form normalized\n"
        "  hattriq attribute runs/digits --data digits:pair=0/1 --out runs/shots --estimator resolved --shots 20000\n"
        "  hattriq attribute runs/bars --data bars_and_stripes --out runs/noisy --inputs test:0:2 "
        "--estimator resolved --engine virtual:willow_pink --shots 20000 --mitigate readout\n"
        "  hattriq attribute runs/bars/model.json --data bars_and_stripes --out runs/bars-maps --index 0,1,2",
    )
    parser.add_argument("model", metavar="MODEL", help="a model.json, or a folder that holds one")
    parser.add_argument("--data", required=True, metavar="DATA", help="the data set the inputs come from, as above")
    parser.add_argument("--out", required=True, metavar="DIR", help="new or empty folder, or that of this run when it stopped")
    _add_inputs(parser)
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
    parser.add_argument("--engine", default="qsim", metavar="ENGINE", help="as above (default: %(default)s)")
    parser.add_argument(
        "--shots",
        type=int,
        default=20_000,
        metavar="N",
        help="of an estimator, for each input; 0 takes exact probabilities (default: %(default)s)",
    )
    parser.add_argument("--mitigate", default="", metavar="NAME,...", help="as above (default: nothing)")
    parser.add_argument("--calibration", metavar="FILE", help="for --mitigate readout: what `hattriq calibrate` wrote")
    parser.add_argument("--max-age", type=float, metavar="HOURS", help="refuse a --calibration older than that")
    parser.add_argument(
        "--seed",
        type=seed,
        default=0,
        metavar="N",
        help="of whatever is drawn: baselines, counts, twirls (default: %(default)s)",
    )
    parser.set_defaults(command=handlers.attribute)


def _add_inputs(parser: argparse.ArgumentParser) -> None:
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


def _add_calibrate(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = add_command(
        commands,
        "calibrate",
        "measure the readout of a processor's qubits",
        "Measures how often each qubit is read wrong, all of them in the same shots, and writes it into a new file for\n"
        "`hattriq attribute --mitigate readout --calibration FILE`.\n\n"
        "The qubits are those of --qubits; or, with MODEL and --data, those that `hattriq attribute` would place its circuits\n"
        "on with the same inputs, baseline and estimator; or else all of the processor, in groups of 10.\n\n" + _ENGINES,
        "  hattriq calibrate --engine virtual:willow_pink --qubits 4_10,5_10 --out readout.json\n"
        "  hattriq calibrate runs/bars --data bars_and_stripes --inputs test:0:2 --engine virtual:willow_pink --out bars.json\n"
        "  hattriq show readout.json",
    )
    parser.add_argument("model", metavar="MODEL", nargs="?", help="a model.json, or a folder that holds one")
    parser.add_argument("--data", metavar="DATA", help="with MODEL: the data set the inputs come from")
    parser.add_argument("--out", required=True, metavar="FILE", help="new JSON file for the calibration")
    parser.add_argument("--engine", required=True, metavar="ENGINE", help="virtual or google, as above")
    parser.add_argument("--qubits", metavar="R_C,...", help="rows and columns of qubits, such as 4_10,5_10")
    _add_inputs(parser)
    parser.add_argument("--estimator", default="resolved", metavar="NAME", help="with MODEL (default: %(default)s)")
    parser.add_argument(
        "--shots", type=int, default=20_000, metavar="N", help="in each state of every qubit (default: %(default)s)"
    )
    parser.add_argument(
        "--pattern", default="balanced", metavar="NAME", help="balanced, complement or full (default: %(default)s)"
    )
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="of the counts (default: %(default)s)")
    parser.set_defaults(command=handlers.calibrate)


def _add_cost(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = add_command(
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
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="of parameters, inputs and samples (default: %(default)s)"
    )
    parser.add_argument("--out", metavar="DIR", help="new or empty folder for cost.csv and, over qubits, cost.png")
    parser.set_defaults(command=handlers.cost)


def _batch_size(text: str) -> int | None:
    return None if text == "all" else int(text)
