"""Meaning of the sign: deleting positive features lowers the score, and swapping the target flips every sign.

Does deleting the features of the largest positive (negative) attribution move the answer down (up), and does a swapped target
flip every sign?

Maps are also split into population and interference, and summed by qubit, row and quadrant. Exact simulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import hattriq_cirq as hq
from experiments.runner.bootstrap import nested_interval, nested_text
from experiments.runner.figures import band, panels
from experiments.runner.map_metrics import cosines
from experiments.runner.study import Done, Findings, Study, results_by
from experiments.runner.trained_models import Task, accuracies, trained
from hattriq_cirq.attribution.decomposition import by_qubit, by_region, by_row, split_population
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import basis_grid, png

SHARES = (0.05, 0.1, 0.2)  # shares of the features that are deleted
ORDERS = ("most positive", "most negative", "random")


def tasks(quick: bool) -> list[Task]:
    """Return five seeds of three models; for a quick run, one."""
    if quick:
        return [Task("bars", 0, 10)]
    return [Task(subject, seed, 100) for subject in ("bars", "digits", "mnist35") for seed in range(5)]


def run(task: Task) -> dict[str, Any]:
    """Delete features by rank, flip the target, and split the maps."""
    model, data = trained(task.subject, task.seed)
    x = data.x_test[: task.inputs]
    a = hq.integrated_gradients(model, x, baseline=0)
    flipped = hq.integrated_gradients(model.with_observable(-model.pauli_sum), x, baseline=0)
    parts = split_population(model, a)
    rng = np.random.default_rng([task.seed, 1])
    ranks = {"most positive": -a.values, "most negative": a.values, "random": rng.random(x.shape)}
    change = {
        order: {str(share): _changes(model, x, np.argsort(rank, axis=1), share).tolist() for share in SHARES}
        for order, rank in ranks.items()
    }
    sizes = {"population": parts.population, "interference": parts.interference}
    return {
        "accuracy": accuracies(model, data),
        "change": change,
        "largest_flip_error": np.max(np.abs(a.values + flipped.values)),
        "share": {name: (np.linalg.norm(part, axis=1) / np.linalg.norm(a.values, axis=1)) for name, part in sizes.items()},
        "cosine": {name: cosines(part, a.values) for name, part in sizes.items()},
        "qubit_gap": np.max(np.abs(by_qubit(a.values).sum(axis=-1) - a.values.sum(axis=-1, keepdims=True))),
        "qubit_sums": by_qubit(a.values),
        "row_sums": by_row(a.values, data.image_shape or basis_grid(data.n_features)),
        "quadrant_sums": by_region(a.values, _quadrants(data.image_shape or basis_grid(data.n_features))),
        "labels": data.y_test[: task.inputs],
    }


def _changes(model: hq.Model, x: np.ndarray[Any, Any], order: np.ndarray[Any, Any], share: float) -> np.ndarray[Any, Any]:
    """Return the change of F when the first features of an order are set to 0."""
    deleted = x.copy()
    first = order[:, : max(1, round(share * x.shape[1]))]
    np.put_along_axis(deleted, first, 0, axis=1)
    return np.asarray(model.expectation(deleted) - model.expectation(x))


def _quadrants(shape: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Return the quadrant of each pixel: 0 and 1 in the upper half, 2 and 3 in the lower."""
    rows, cols = np.indices(shape)
    return np.asarray(2 * (rows >= shape[0] // 2) + (cols >= shape[1] // 2))


def _marginals(name: str, results: Sequence[Any]) -> list[tuple[str, ...]]:
    """Return the table rows of sums: by class, by the halves of the first qubit of rows and of columns, and by quadrant."""
    rows = []
    for label in (-1, 1):
        mine = [np.array(r["labels"]) == label for r in results]
        quadrants = [np.array(r["quadrant_sums"])[m] for r, m in zip(results, mine, strict=True)]
        qubits = [np.array(r["qubit_sums"])[m] for r, m in zip(results, mine, strict=True)]
        halves = [[np.array(q)[:, half, 0] - np.array(q)[:, half, 1] for q in qubits] for half in (0, qubits[0].shape[1] // 2)]
        cells = [nested_text(each) for each in halves] + [nested_text([q[:, i] for q in quadrants]) for i in range(4)]
        rows.append((name, f"{label:+d}", *cells))
    return rows


def summarise(done: Sequence[Done[Task]]) -> Findings:
    """Return the tables and the figure of changes."""
    of = results_by(done, "subject")
    rows, parts, right_way = [], [], []
    for name, results in of.items():
        for share in map(str, SHARES):
            groups = [[r["change"][order][share] for r in results] for order in ORDERS]
            rows.append((name, f"{float(share):.0%}", *map(nested_text, groups)))
            right_way.append(nested_interval(groups[0])[1] < 0 < nested_interval(groups[1])[0])
        cells = (
            nested_text([r[what][part] for r in results])
            for part in ("population", "interference")
            for what in ("share", "cosine")
        )
        parts.append((name, *cells))
    worst_flip = max(d.result["largest_flip_error"] for d in done)
    worst_qubit = max(d.result["qubit_gap"] for d in done)
    return Findings(
        findings=(
            "Deleting the most positive features lowers the answer and deleting the most negative ones raises it: the 95% "
            f"intervals of both mean changes exclude 0 in {sum(right_way)} of {len(right_way)} rows.",
            f"Swapping the target flips every sign, {'exactly' if worst_flip == 0 else f'to {worst_flip:.0e} at worst'}.",
            f"Sums over the two values of each qubit make the whole map (largest gap {worst_qubit:.0e}).",
        ),
        not_claimed=("That a positive feature is more present in this picture than in others: the sign is about the answer.",),
        tables=(
            Table(
                "Mean change of F(x) when a share of features is set to 0 (95% intervals, bootstrap over seeds and inputs).",
                ("model", "deleted", *ORDERS),
                tuple(rows),
            ),
            Table(
                "Population and interference: L2 norms relative to the map's, and cosines to the map (mean, 95% intervals).",
                ("model", "population", "its cosine", "interference", "its cosine"),
                tuple(parts),
            ),
            Table(
                "Sums of the map by class (mean, 95% intervals): upper less lower half and left less right half (the first "
                "qubit of rows and of columns), and the four quadrants; all from the same values.",
                ("model", "class", "upper - lower", "left - right", "upper left", "upper right", "lower left", "lower right"),
                tuple(row for name, results in of.items() for row in _marginals(name, results)),
            ),
        ),
        pictures=(
            Picture(
                png(_figure(of)),
                "Change of the answer when the features of the largest positive, largest negative or random attribution are "
                "deleted; bands are 95% intervals over seeds and inputs.",
                "Lines of the change of the answer against the share of deleted features, one panel per model",
                "signs",
            ),
        ),
        settings={"baseline": "zero", "form": "quadratic"},
        assumptions={"deleted means": "amplitude set to 0, without renormalising", "estimator": "exact simulation"},
    )


def _figure(of: dict[str, list[Any]]) -> Figure:
    figure, (axes,) = panels((3.2 * len(of), 3.0), 1, len(of), sharey=True, squeeze=False)
    for ax, (name, results) in zip(axes, of.items(), strict=True):
        for order, colour in zip(ORDERS, ("C3", "C0", "0.5"), strict=True):
            groups = [[r["change"][order][str(share)] for r in results] for share in SHARES]
            band(ax, [100 * share for share in SHARES], groups, color=colour, label=order)
        ax.axhline(0, color="0.3", lw=0.8)
        ax.set(title=name, xlabel="deleted features, %")
    axes[0].set_ylabel("change of F(x)")
    axes[0].legend(frameon=False, fontsize="small")
    return figure


STUDY = Study("signs", __doc__, tasks, run, summarise)
