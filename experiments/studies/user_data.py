"""Your own table: training on any CSV or NPZ of features and labels, attribution, evaluation and report.

Which features does a model trained on a table use, how accurate is it, and are its maps faithful?

`python -m experiments user_data --data FILE` takes a .csv with a header line and a column of labels of two classes, or an .npz
with arrays x and y. Without a file it writes scikit-learn's breast cancer table as a CSV and uses that.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import hattriq_cirq as hq
from experiments.runner.bootstrap import bootstrap_interval, bootstrap_text, nested_bootstrap, nested_interval, nested_text
from experiments.runner.figures import panels
from experiments.runner.study import Done, Findings, Study
from experiments.runner.trained_models import accuracies
from hattriq_cirq.faithfulness import score_of, srg
from hattriq_cirq.foundation.arrays import largest_first
from hattriq_cirq.foundation.checks import as_count
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.reading import checksum
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import png

SHOWN = 10  # number of features in the table and the figure
LAYERS, SEEDS, EPOCHS, INPUTS = 4, 5, 200, 100
DOMINANT = 0.9  # share of the squared norm in one column from which a warning is given


@dataclass(frozen=True)
class Task:
    """A table by its path and content, a split and a training on it, and the number of explained test inputs."""

    data: str
    sha256: str
    label_column: str | None
    layers: int
    seed: int
    epochs: int
    inputs: int


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this study."""
    table = "table of features and labels, .csv or .npz (default: scikit-learn's breast cancer table)"
    parser.add_argument("--data", type=Path, metavar="FILE", help=table)
    parser.add_argument("--label-column", metavar="NAME", help="column of labels of a table (default: the last)")
    parser.add_argument("--layers", type=int, default=LAYERS, help="layers of the circuit (default: %(default)s)")


def tasks(quick: bool, chosen: argparse.Namespace) -> list[Task]:
    """Return the tasks of the table that the command line names."""
    layers = as_count(chosen.layers, "--layers", minimum=0)
    path = chosen.data or breast_cancer(chosen.out / "user_data")
    return table_tasks(path.resolve(), chosen.label_column, layers, quick)


def table_tasks(path: Path, label_column: str | None, layers: int, quick: bool) -> list[Task]:
    """Return five splits and trainings of a table; for a quick run, two short ones.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is no table of features and labels; the message says what to do.
    """
    hq.datasets.read_table(path, label_column)  # raises an error before anything runs
    epochs, inputs, seeds = (60, 20, 2) if quick else (EPOCHS, INPUTS, SEEDS)
    return [Task(str(path), checksum(path), label_column, layers, seed, epochs, inputs) for seed in range(seeds)]


def run(task: Task) -> dict[str, Any]:
    """Train on one split and attribute test inputs from the zero baseline."""
    path = Path(task.data)
    data = hq.datasets.read_table(path, task.label_column, seed=task.seed)
    if checksum(path) != task.sha256:
        raise ValueError(f"{path} has changed since the command was started; run the command again")
    model = hq.ring_ansatz(data.n_qubits, task.layers).with_contract(data.contract)
    model = hq.train(model, data.x_train, data.y_train, seed=task.seed, epochs=task.epochs).model
    x = data.x_test[: task.inputs]
    values = hq.integrated_gradients(model, x, baseline=0).values
    noise = np.random.default_rng([task.seed, 4]).standard_normal(x.shape)
    given = data.n_features - int(str(data.details.get("trailing_zero_features", 0)))
    columns = data.details["columns"]
    assert isinstance(columns, list)
    return {
        "accuracy": accuracies(model, data),
        "samples": [len(data.x_train), len(data.x_test)],
        "qubits": data.n_qubits,
        "names": columns or [f"feature {k}" for k in range(given)],
        "values": values[:, :given],
        "share": np.mean(np.abs(data.x_train[:, :given]) ** 2, axis=0),
        "labels": data.y_test[: task.inputs],
        "srg": {
            "own map": srg(score_of(model), x, values, reference=0),
            "random map": srg(score_of(model), x, noise, reference=0),
        },
    }


def summarise(done: Sequence[Done[Task]]) -> Findings:
    """Return the accuracies, the main features by name, and the faithfulness of the maps."""
    results, task = [d.result for d in done], done[0].task
    names, share = results[0]["names"], np.mean([r["share"] for r in results], axis=0)
    sizes = np.mean(np.abs(np.concatenate([r["values"] for r in results])), axis=0)
    top = largest_first(sizes)[: min(SHOWN, len(names))]
    gains = [np.subtract(r["srg"]["own map"], r["srg"]["random map"]) for r in results]
    return Findings(
        findings=(
            _verdict(results),
            f"SRG of the maps above that of random ones: {nested_text(gains)}, "
            f"{'faithful to the model' if nested_interval(gains)[0] > 0 else 'NOT clearly better than random'}.",
            "The features of the largest attribution: "
            + "; ".join(f"{names[k]}, mean {nested_text(_column(results, k), digits=4)}" for k in top[:3])
            + f" (positive: towards +1; shares of F(x), {len(names)} features).",
            *_warnings(names, share),
        ),
        not_claimed=(
            "That a feature causes its label: the map says what the model used.",
            "That the model is the best for this table: compare the accuracy of logistic regression.",
        ),
        accuracy=_accuracy_table(results),
        tables=(
            Table(
                f"The {len(top)} features of the largest mean absolute attribution: mean attribution over all explained "
                "inputs and over those of each class (95% intervals over seeds and inputs); mean share of the squared norm.",
                ("feature", "all inputs", "class +1", "class -1", "share of norm"),
                tuple(
                    (names[k], *(nested_text(_column(results, k, side), digits=4) for side in (0, 1, -1)), f"{share[k]:.1%}")
                    for k in top
                ),
            ),
            Table(
                "SRG, the area between the deletion curves of the least and the most relevant features first, in units of F(x) "
                "(means, 95% intervals over seeds and inputs).",
                ("map", "SRG"),
                tuple((name, nested_text([r["srg"][name] for r in results])) for name in ("own map", "random map")),
            ),
        ),
        pictures=(
            Picture(
                png(_figure(results, names, top)),
                "Mean attribution of the main features, by true class; positive means towards +1. Bars are 95% "
                "intervals over seeds and inputs.",
                "Horizontal bars of the mean attribution of each named feature, one colour per class",
                "user-data",
            ),
        ),
        settings={
            "data": Path(task.data).name,
            "sha256": task.sha256[:16],
            "features": f"{len(names)} on {results[0]['qubits']} qubits",
            "baseline": "zero",
            "form": "quadratic",
        },
        assumptions={
            "encoding": "rows are divided by their norm and padded with zeros: only ratios within a row matter, x is as -x",
            "splits": "each seed draws its own, stratified",
            "estimator": "exact simulation",
        },
    )


def _verdict(results: Sequence[Any]) -> str:
    tests, logistic, chance = ([r["accuracy"][key] for r in results] for key in ("test", "logistic test", "chance"))
    low, _ = bootstrap_interval(np.subtract(tests, chance))
    learnt = "above chance" if low > 0 else "NOT clearly above chance: do not interpret its maps"
    return (
        f"Test accuracy {bootstrap_text(tests)} ({learnt}), logistic regression {bootstrap_text(logistic)}, "
        f"chance {np.mean(chance):.3f}."
    )


def _warnings(names: Sequence[str], share: np.ndarray[Any, Any]) -> list[str]:
    k = int(np.argmax(share))
    if share[k] < DOMINANT:
        return []
    return [
        f"Column {names[k]} carries {share[k]:.0%} of the squared norm, so the others have almost no influence: bring "
        "columns to comparable ranges first, for example divide each by its largest value."
    ]


def _column(results: Sequence[Any], k: int, side: int = 0) -> list[np.ndarray[Any, Any]]:
    """Return the attributions of a feature, one array per seed, for all inputs (0) or those with one label."""
    return [np.array(r["values"])[np.array(r["labels"]) == side if side else slice(None), k] for r in results]


def _accuracy_table(results: Sequence[Any]) -> Table:
    rows = []
    for name, train, test in (("quantum model", "train", "test"), ("logistic regression", "logistic train", "logistic test")):
        cells = ([r["accuracy"][key] for r in results] for key in (train, test))
        rows.append((name, *map(bootstrap_text, cells)))
    chance = [r["accuracy"]["chance"] for r in results]
    rows.append(("chance", "-", bootstrap_text(chance)))
    train, test = results[0]["samples"]
    caption = (
        f"Accuracy on {train} training and {test} test samples (means over {len(results)} seeds, 95% intervals over them)."
    )
    return Table(caption, ("model", "train", "test"), tuple(rows))


def _figure(results: Sequence[Any], names: Sequence[str], top: np.ndarray[Any, Any]) -> Figure:
    figure, ax = panels((7.0, 1.2 + 0.42 * len(top)))
    at = np.arange(len(top))
    for side, colour, shift in ((1, "#c23b3b", -0.2), (-1, "#3372b5", 0.2)):
        means, low, high = np.array([nested_bootstrap(_column(results, k, side)) for k in top]).T
        ax.barh(at + shift, means, 0.38, color=colour, label=f"true class {side:+d}")
        ax.errorbar(means, at + shift, xerr=(means - low, high - means), fmt="none", ecolor="0.2", elinewidth=1, capsize=2)
    ax.axvline(0, color="0.3", lw=0.8)
    ax.set_yticks(at, [str(names[k]) for k in top], parse_math=False)
    ax.invert_yaxis()
    ax.set_xlabel("mean attribution (+: towards +1)")
    ax.legend(frameon=False, fontsize="small")
    return figure


def breast_cancer(folder: Path) -> Path:
    """Write scikit-learn's breast cancer table as a CSV file unless it exists; +1 is malignant.

    Every column is divided by its largest value, because amplitude encoding keeps only ratios within a row.

    Args:
        folder: Folder of the file.

    Returns:
        Path of the file.
    """
    path = folder / "breast_cancer.csv"
    if path.exists():
        return path
    from sklearn.datasets import load_breast_cancer

    table = load_breast_cancer()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*table.feature_names, "label"])
    labels = np.where(table.target == 0, 1, -1)
    writer.writerows(
        [*map(float, row), int(label)] for row, label in zip(table.data / table.data.max(axis=0), labels, strict=True)
    )
    return write_new(path, text.getvalue())


STUDY = Study("user_data", __doc__, tasks, run, summarise, options=options)
