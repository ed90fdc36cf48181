"""Your own table: any CSV or NPZ of features and labels is trained on, attributed, judged and reported.

`python -m experiments user_data --data FILE` takes a .csv with a header line and a column of labels -1 and +1, or an .npz with
arrays x and y. Without a file it writes scikit-learn's breast cancer table as a CSV and goes through the same door.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

import hattriq_cirq as hq
from experiments.runner.bootstrap import bootstrap_interval, nested_interval, nested_text, with_interval
from experiments.runner.study import Done, Findings, Study
from experiments.runner.trained_models import accuracies
from hattriq_cirq.datasets.user import checksum
from hattriq_cirq.faithfulness import score_of, srg
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import png

SHOWN = 10  # features named in the table and the picture
LAYERS, SEEDS, EPOCHS, INPUTS = 4, 5, 200, 100
DOMINANT = 0.9  # of the squared norm in one column: the others are hardly seen


@dataclass(frozen=True)
class Task:
    """A table by its path and content, a split and a training on it, and how many test inputs are explained."""

    data: str
    sha256: str
    label_column: str | None
    layers: int
    seed: int
    epochs: int
    inputs: int


def table_tasks(path: Path, label_column: str | None, layers: int, quick: bool) -> list[Task]:
    """Five splits and trainings of a table; quickly, two short ones.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no table of features and labels; the message says what to do.
    """
    hq.datasets.read_table(path, label_column)  # what is wrong with the file is said before anything runs
    epochs, inputs, seeds = (60, 20, 2) if quick else (EPOCHS, INPUTS, SEEDS)
    return [Task(str(path), checksum(path), label_column, layers, seed, epochs, inputs) for seed in range(seeds)]


def run(task: Task) -> dict[str, Any]:
    """Trains on one split and attributes test inputs from the zero baseline."""
    path = Path(task.data)
    data = hq.datasets.read_table(path, task.label_column, seed=task.seed)
    if checksum(path) != task.sha256:
        raise ValueError(f"{path} has changed since its tasks were made; run the command again")
    model = hq.ring_ansatz(data.n_qubits, task.layers)
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
    """The accuracies, what pushes the answer by name, and whether the maps are faithful."""
    results, task = [d.result for d in done], done[0].task
    names, share = results[0]["names"], np.mean([r["share"] for r in results], axis=0)
    sizes = np.mean(np.abs(np.concatenate([r["values"] for r in results])), axis=0)
    top = np.argsort(-sizes, kind="stable")[: min(SHOWN, len(names))]
    gains = [np.subtract(r["srg"]["own map"], r["srg"]["random map"]) for r in results]
    return Findings(
        findings=(
            _verdict(results),
            f"SRG of the maps above that of random ones: {nested_text(gains)}, "
            f"{'faithful to the model' if nested_interval(gains)[0] > 0 else 'NOT clearly better than random'}.",
            "The features that weigh most: "
            + "; ".join(f"{names[k]}, mean {nested_text(_column(results, k), digits=4)}" for k in top[:3])
            + f" (positive pushes towards +1; shares of F(x), {len(names)} features).",
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
                "Mean attribution of the features that weigh most, by true class; positive pushes towards +1. Bars are 95% "
                "intervals over seeds and inputs.",
                "Horizontal bars of the mean attribution of each named feature, one colour a class",
                "user-data",
            ),
        ),
        settings={
            "data": Path(task.data).name,
            "sha256": task.sha256[:16],
            "features": f"{len(names)} on {results[0]['qubits']} qubits",
            "layers": str(task.layers),
            "epochs": str(task.epochs),
            "seeds": str(len(done)),
            "inputs": f"{len(results[0]['labels'])} a seed",
            "baseline": "zero",
            "form": "quadratic",
        },
        assumptions={
            "encoding": "rows are divided by their norm and padded with zeros: only ratios within a row count, -x is as x",
            "splits": "each seed draws its own, stratified",
            "estimator": "exact simulation",
        },
    )


def _verdict(results: Sequence[Any]) -> str:
    tests, logistic, chance = ([r["accuracy"][key] for r in results] for key in ("test", "logistic test", "chance"))
    low, _ = bootstrap_interval(np.subtract(tests, chance))
    learnt = "above chance" if low > 0 else "NOT clearly above chance: its maps are not worth reading"
    return (
        f"Test accuracy {with_interval(float(np.mean(tests)), bootstrap_interval(tests))} ({learnt}), logistic regression "
        f"{with_interval(float(np.mean(logistic)), bootstrap_interval(logistic))}, chance {np.mean(chance):.3f}."
    )


def _warnings(names: Sequence[str], share: np.ndarray[Any, Any]) -> list[str]:
    k = int(np.argmax(share))
    if share[k] < DOMINANT:
        return []
    return [
        f"Column {names[k]} carries {share[k]:.0%} of the squared norm, so the encoding hardly sees the others: bring columns "
        "to comparable ranges first, for example divide each by its largest value."
    ]


def _column(results: Sequence[Any], k: int, side: int = 0) -> list[np.ndarray[Any, Any]]:
    """Attributions of a feature, an array a seed: of all inputs (0), or of those with one label."""
    return [np.array(r["values"])[np.array(r["labels"]) == side if side else slice(None), k] for r in results]


def _accuracy_table(results: Sequence[Any]) -> Table:
    rows = []
    for name, train, test in (("quantum model", "train", "test"), ("logistic regression", "logistic train", "logistic test")):
        cells = ([r["accuracy"][key] for r in results] for key in (train, test))
        rows.append((name, *(with_interval(float(np.mean(v)), bootstrap_interval(v)) for v in cells)))
    chance = [r["accuracy"]["chance"] for r in results]
    rows.append(("chance", "-", with_interval(float(np.mean(chance)), bootstrap_interval(chance))))
    train, test = results[0]["samples"]
    caption = (
        f"Accuracy on {train} training and {test} test samples (means over {len(results)} seeds, 95% intervals over them)."
    )
    return Table(caption, ("model", "train", "test"), tuple(rows))


def _figure(results: Sequence[Any], names: Sequence[str], top: np.ndarray[Any, Any]) -> Figure:
    with sns.axes_style("ticks"):
        figure = Figure(figsize=(7.0, 1.2 + 0.42 * len(top)), layout="constrained")
        ax = figure.subplots()
        at = np.arange(len(top))
        for side, colour, shift in ((1, "#c23b3b", -0.2), (-1, "#3372b5", 0.2)):
            groups = [_column(results, k, side) for k in top]
            means = np.array([np.mean(np.concatenate(g)) for g in groups])
            low, high = np.array([nested_interval(g) for g in groups]).T
            ax.barh(at + shift, means, 0.38, color=colour, label=f"true class {side:+d}")
            ax.errorbar(means, at + shift, xerr=(means - low, high - means), fmt="none", ecolor="0.2", elinewidth=1, capsize=2)
        ax.axvline(0, color="0.3", lw=0.8)
        ax.set_yticks(at, [str(names[k]) for k in top], parse_math=False)
        ax.invert_yaxis()
        ax.set_xlabel("mean attribution; + pushes towards +1")
        ax.legend(frameon=False, fontsize="small")
        sns.despine(fig=figure)
    return figure


def breast_cancer(folder: Path) -> Path:
    """Writes scikit-learn's breast cancer table as a CSV where it is not there yet; +1 is malignant.

    Every column is divided by its largest value, because amplitude encoding sees nothing but ratios within a row.

    Args:
        folder: where.

    Returns:
        The file.

    Raises:
        ImportError: scikit-learn is not installed; the message says how.
    """
    path = folder / "breast_cancer.csv"
    if path.exists():
        return path
    try:
        from sklearn.datasets import load_breast_cancer
    except ImportError as error:
        raise ImportError("the table shown without --data needs scikit-learn: pip install hattriq_cirq[data]") from error
    table = load_breast_cancer()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*table.feature_names, "label"])
    labels = np.where(table.target == 0, 1, -1)
    writer.writerows(
        [*map(float, row), int(label)] for row, label in zip(table.data / table.data.max(axis=0), labels, strict=True)
    )
    return write_new(path, text.getvalue())


STUDY = Study(
    name="user_data",
    title="Your own table",
    question="What does a model trained on a table of features and labels use, how good is it, and are its maps faithful?",
    tasks=lambda quick: table_tasks(breast_cancer(Path("runs/user_data")), None, LAYERS, quick),
    run=run,
    summarise=summarise,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains, attributes, judges and reports the table that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m experiments user_data", description=f"{STUDY.title}. {STUDY.question}")
    parser.add_argument("--data", type=Path, metavar="FILE", help=".csv or .npz (default: scikit-learn's breast cancer table)")
    parser.add_argument("--label-column", metavar="NAME", help="of a .csv, holding -1 and +1 (default: the last)")
    parser.add_argument("--layers", type=int, default=LAYERS, help="of the circuit (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a small sample, within a minute")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of all studies (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: one a core)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster, such as tcp://127.0.0.1:8786")
    chosen = parser.parse_args(arguments)
    if chosen.workers < 1 or chosen.layers < 0:
        parser.error(f"--workers {chosen.workers} must be at least 1, --layers {chosen.layers} at least 0")
    path = chosen.data or breast_cancer(chosen.out / STUDY.name)
    tasks = table_tasks(path.resolve(), chosen.label_column, chosen.layers, chosen.quick)
    done = STUDY.collect(tasks, chosen.out, workers=chosen.workers, scheduler=chosen.scheduler)
    section, folder = STUDY.report(done, chosen.out, "quick" if chosen.quick else "full")
    print(section.markdown())
    print(f"kept in {folder}; for a page: hattriq report {folder} --out report.html")
    return 0
