"""Against classical integrated gradients: logistic regression, a quadratic form and a small network on the same splits.

Do maps of the quantum model agree with those of classical models on the same split, as far as two trainings of the quantum
model agree, and is each faithful to its own model?

All maps are integrated gradients from the zero baseline, of the expectation or the logit. The quantum model trained again from
another seed on the same split shows how much agreement can be expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import hattriq_cirq as hq
from experiments.runner.bootstrap import bootstrap_text, nested_interval, nested_text
from experiments.runner.figures import curve_band, example_figure, panels
from experiments.runner.map_metrics import cosines
from experiments.runner.study import Done, Findings, Study, results_by
from experiments.runner.trained_models import SUBJECTS, Task, accuracies, trained
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.faithfulness import ScoreFunction, deletion_curve, score_of, srg
from hattriq_cirq.foundation.arrays import FloatArray, largest_first
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import basis_grid, png
from hattriq_cirq.workflows import classical

QUANTUM, AGAIN = "quantum", "quantum, other seed"
CLASSICAL = ("logistic regression", "quadratic form", "network")
RANDOM = "random map"
MODELS = (QUANTUM, AGAIN, *CLASSICAL)
TOP = 0.1  # share of the features that are the top ones
NODES = 64  # quadrature nodes of the network's path; 1 is exact for the others
STEPS = 32
SHIFT = 1_000  # difference of the seeds of two trainings on one split


def tasks(quick: bool) -> list[Task]:
    """Return five seeds of four data sets; for a quick run, one."""
    if quick:
        return [Task("digits", 0, 10)]
    return [Task(subject, seed, 100) for subject in ("mnist35", "bars", "digits", "tfim") for seed in range(5)]


def run(task: Task) -> dict[str, Any]:
    """Train, attribute and evaluate all models on one split."""
    model, data = trained(task.subject, task.seed)
    epochs = SUBJECTS[task.subject].epochs
    again = hq.train(model, data.x_train, data.y_train, seed=task.seed + SHIFT, epochs=epochs).model
    x = data.x_test[: task.inputs]
    scores: dict[str, ScoreFunction] = {QUANTUM: score_of(model), AGAIN: score_of(again)}
    maps = {name: hq.integrated_gradients(each, x, baseline=0).values for name, each in ((QUANTUM, model), (AGAIN, again))}
    tests = {name: hq.accuracy(each, data.x_test, data.y_test) for name, each in ((QUANTUM, model), (AGAIN, again))}
    gaps = {}
    for name, scorer in _classical(data, task.seed).items():
        scores[name] = scorer.score
        maps[name] = classical.path_attribution(scorer, x, baseline=0, nodes=NODES if name == "network" else 1)
        tests[name] = classical.score_accuracy(scorer, data.x_test, data.y_test)
        difference = scorer.score(x) - scorer.score(np.zeros_like(x))
        gaps[name] = float(np.max(np.abs(maps[name].sum(axis=1) - difference)) / np.max(np.abs(difference)))
    noise = np.random.default_rng([task.seed, 3]).standard_normal(x.shape)
    maps[RANDOM] = noise * (np.abs(x) > 0)
    others = (AGAIN, *CLASSICAL, RANDOM)
    faith = {name: _faithfulness(scores[name], data.x_test, x, maps[name], noise) for name in (QUANTUM, *CLASSICAL)}
    return {
        "accuracy": accuracies(model, data),
        "test": tests,
        "gap": gaps,
        "cosine": {name: cosines(maps[name], maps[QUANTUM]) for name in others},
        "overlap": {name: overlaps(maps[name], maps[QUANTUM]) for name in others},
        "faithfulness": faith,
        "example": {name: maps[name][0] for name in MODELS} | {"input": x[0]},
        "shape": data.image_shape or basis_grid(data.n_features),
    }


def _classical(data: Dataset, seed: int) -> dict[str, Any]:
    return {
        "logistic regression": classical.logistic_regression(data),
        "quadratic form": classical.quadratic_regression(data),
        "network": classical.neural_network(data, seed=seed),
    }


def overlaps(maps: FloatArray, exact: FloatArray, share: float = TOP) -> FloatArray:
    """Return the share of the features of largest absolute value that two maps (inputs, features) have in common, (inputs,)."""
    count = max(1, round(share * maps.shape[1]))
    tops = [largest_first(each)[:, :count] for each in (maps, exact)]
    return np.array([len(np.intersect1d(a, b)) / count for a, b in zip(*tops, strict=True)])


def _faithfulness(
    score: ScoreFunction, all_x: FloatArray, x: FloatArray, maps: FloatArray, noise: FloatArray
) -> dict[str, Any]:
    """Compute SRG and deletion curves of a model's own map, and SRG of a random one, in standard deviations of the score."""
    unit = float(np.std(score(all_x)))
    curves = {order: deletion_curve(score, x, maps, reference=0, order=order, steps=STEPS) for order in ("morf", "lerf")}
    return {
        "srg": srg(score, x, maps, reference=0, steps=STEPS) / unit,
        "random": srg(score, x, noise, reference=0, steps=STEPS) / unit,
        "fractions": curves["morf"].fractions,
        **{order: curve.scores / unit for order, curve in curves.items()},
    }


def summarise(done: Sequence[Done[Task]]) -> Findings:
    """Return the tables, the curves and the example maps."""
    of = results_by(done, "subject")
    gap = max(d.result["gap"]["network"] for d in done)
    exact = max(d.result["gap"][name] for d in done for name in CLASSICAL[:2])
    return Findings(
        findings=(
            *(_finding(name, results) for name, results in of.items()),
            *(_faith_finding(name, results) for name, results in of.items()),
            f"Completeness of the classical maps: the largest gap is {gap:.0e} of the largest score difference for the network "
            f"({NODES} nodes) and {exact:.0e} for the two closed forms.",
        ),
        not_claimed=(
            "That a classical map is the truth a quantum map should match: models may agree for other reasons.",
            "That SRG ranks models: each is evaluated on its own score, in its own units.",
        ),
        tables=(_test_table(of), _agreement_table(of), _srg_table(of)),
        pictures=(
            Picture(
                png(_curves(of)),
                "Score in favour of the predicted class, in standard deviations over the test set, while features are set to "
                "0: solid the most relevant first, dashed the least. Bands are 95% intervals over seeds and inputs.",
                "Deletion curves of each model by its own map, one panel per model and data set",
                "classical",
            ),
            Picture(
                png(example_figure(of, ("input", *MODELS))),
                "One input and its maps by each model. Red pushes the score up, blue down; each map on its own scale.",
                "A row of small pictures for each data set: the input and a map of each model",
                "classical-maps",
            ),
        ),
        settings={
            "baseline": "zero amplitude, for every model",
            "top features": f"{TOP:.0%}, by absolute value",
            "deletion": f"features set to 0, {STEPS} steps",
            "network": "one hidden layer of 32 tanh units, L2 1.0",
        },
        assumptions={
            "quantum score": "the expectation in the quadratic form, exact simulation",
            "classical score": "the logit of the same amplitudes",
        },
    )


def _finding(name: str, results: Sequence[Any]) -> str:
    ceiling = nested_interval([r["cosine"][AGAIN] for r in results])
    intervals = {each: nested_interval([r["cosine"][each] for r in results]) for each in CLASSICAL}
    below = [each for each, interval in intervals.items() if interval[1] < ceiling[0]]
    cells = ", ".join(f"{nested_text([r['cosine'][each] for r in results])} for the {each}" for each in CLASSICAL)
    return (
        f"{name}: two trainings of the quantum model on one split agree at a mean cosine of "
        f"{nested_text([r['cosine'][AGAIN] for r in results])}, the ceiling; the classical maps reach {cells}. "
        f"Clearly below the ceiling: {', '.join(below) or 'none'}."
    )


def _faith_finding(name: str, results: Sequence[Any]) -> str:
    cells, missed = [], []
    for each in (QUANTUM, *CLASSICAL):
        groups = [np.subtract(r["faithfulness"][each]["srg"], r["faithfulness"][each]["random"]) for r in results]
        cells.append(f"{nested_text(groups, digits=2)} for {each}")
        missed += [each] if nested_interval(groups)[0] <= 0 else []
    verdict = f"MISSED by {', '.join(missed)}" if missed else "all intervals are above 0"
    return f"{name}: SRG of a model's own map above that of a random map is {', '.join(cells)} ({verdict})."


def _test_table(of: dict[str, list[Any]]) -> Table:
    rows = []
    for name, results in of.items():
        tests = {each: [r["test"][each] for r in results] for each in MODELS}
        rows.append((name, *map(bootstrap_text, tests.values())))
    return Table("Test accuracy on the same splits (means, 95% intervals over seeds).", ("data", *MODELS), tuple(rows))


def _agreement_table(of: dict[str, list[Any]]) -> Table:
    rows = [
        (name, each, *(nested_text([r[what][each] for r in results]) for what in ("cosine", "overlap")))
        for name, results in of.items()
        for each in (AGAIN, *CLASSICAL, RANDOM)
    ]
    return Table(
        f"Agreement with the quantum map: cosine of signed maps, and share of the top {TOP:.0%} of features in common (means, "
        "95% intervals over seeds and inputs). The first row is the ceiling; the last, noise where x is not 0, the floor.",
        ("data", "map", "cosine", "top features in common"),
        tuple(rows),
    )


def _srg_table(of: dict[str, list[Any]]) -> Table:
    rows = [
        (name, each, *(nested_text([r["faithfulness"][each][what] for r in results]) for what in ("srg", "random")))
        for name, results in of.items()
        for each in (QUANTUM, *CLASSICAL)
    ]
    return Table(
        "SRG (area between the deletion curves) of each model's own map and of a random one, in standard deviations of that "
        "model's score over the test set (means, 95% intervals over seeds and inputs).",
        ("data", "model", "own map", RANDOM),
        tuple(rows),
    )


def _curves(of: dict[str, list[Any]]) -> Figure:
    shown = (QUANTUM, *CLASSICAL)
    figure, axes = panels(
        (2.6 * len(shown), 2.4 * len(of) + 0.3), len(of), len(shown), sharex=True, sharey="row", squeeze=False
    )
    for row, (name, results) in zip(axes, of.items(), strict=True):
        for ax, each in zip(row, shown, strict=True):
            for order, line, colour in (("morf", "-", "C3"), ("lerf", "--", "C0")):
                groups = [np.array(r["faithfulness"][each][order]) for r in results]
                at = 100 * np.array(results[0]["faithfulness"][each]["fractions"])
                label = {"morf": "most relevant first", "lerf": "least relevant first"}[order]
                curve_band(ax, at, groups, line, color=colour, label=label)
            ax.axhline(0, color="0.3", lw=0.8)
        row[0].set_ylabel(f"{name}\nscore, s.d.")
    for ax, each in zip(axes[0], shown, strict=True):
        ax.set_title(each, fontsize=10)
    for ax in axes[-1]:
        ax.set_xlabel("deleted features, %")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


STUDY = Study("classical", __doc__, tasks, run, summarise)
