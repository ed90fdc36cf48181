"""Baselines: similarity of the maps from eight baselines, and the faithfulness of each under every imputer.

How much does a map depend on its baseline, and which baseline's map is faithful under which way of removing a feature?

A baseline is good for its own notion of a missing feature, so the whole grid of baselines and imputers is shown. Exact
simulation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import hattriq_cirq as hq
from experiments.runner.bootstrap import nested_bootstrap, with_interval
from experiments.runner.faithfulness_metrics import METRICS, STEPS, SUBSETS, as_json, evaluate_maps
from experiments.runner.study import Done, Findings, Study, results_by
from experiments.runner.trained_models import Task, accuracies, trained
from hattriq_cirq import faithfulness
from hattriq_cirq.attribution import baselines
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import png

BASELINES = ("zero", "mean", "class mean", "opposite class mean", "blur", "uniform", "max distance", "expected gradients")
CONTROL = "random map"
SET = 16  # number of training inputs of expected gradients
#: Metrics whose grids are plotted; the tables hold all metrics.
CHOSEN = ("SRG", "deletion", "insertion", "correlation", "sensitivity 50%", "infidelity")


def tasks(quick: bool) -> list[Task]:
    """Return five seeds of two models of images and one of quantum states; for a quick run, one."""
    if quick:
        return [Task("bars", 0, 10)]
    return [Task(subject, seed, 100) for subject in ("digits", "mnist35", "tfim") for seed in range(5)]


def references(model: hq.Model, data: Dataset, x: Array, seed: int) -> dict[str, faithfulness.Reference]:
    """Return the baselines of inputs, which are also the imputers; the classes are those that the model predicts.

    Blur is for images.
    """
    predicted = np.where(model.expectation(x) < 0, -1, 1)
    training = (data.x_train, data.y_train)
    found: dict[str, faithfulness.Reference] = {
        "zero": 0.0,
        "mean": baselines.mean(x, data.x_train),
        "class mean": baselines.class_mean(x, predicted, *training),
        "opposite class mean": baselines.opposite_class_mean(x, predicted, *training),
        "uniform": baselines.uniform(x),
        "max distance": baselines.max_distance(x),
        "expected gradients": baselines.sample(data.x_train, SET, seed=seed),
    }
    if data.image_shape is not None:
        found["blur"] = baselines.blur(x, data.image_shape, sigma=data.image_shape[0] / 8)
    return {name: found[name] for name in BASELINES if name in found}


def run(task: Task) -> dict[str, Any]:
    """Compute the correlations between the maps, and every metric of every map under every imputer."""
    model, data = trained(task.subject, task.seed)
    x = data.x_test[: task.inputs]
    named = references(model, data, x, task.seed)
    maps = {name: hq.integrated_gradients(model, x, baseline=reference).values for name, reference in named.items()}
    control = np.random.default_rng([task.seed, 1]).normal(size=x.shape)
    score = faithfulness.score_of(model)
    grid = {
        name: {
            imputer: {k: as_json(v) for k, v in evaluate_maps(score, x, values, reference, task.seed)[0].items()}
            for imputer, reference in named.items()
        }
        for name, values in (maps | {CONTROL: control}).items()
    }
    everywhere = np.ones(x.shape)
    spearman = {a: {b: as_json(faithfulness.signed_correlation(maps[a], maps[b], everywhere)) for b in named} for a in named}
    return {"accuracy": accuracies(model, data), "grid": grid, "spearman": spearman}


def summarise(done: Sequence[Done[Task]]) -> Findings:
    """Return the correlations and the grids as tables and heat maps."""
    of = results_by(done, "subject")
    own = {name: tuple(each for each in BASELINES if each in results[0]["spearman"]) for name, results in of.items()}
    likeness = {name: _matrix(results, "spearman", own[name], own[name]) for name, results in of.items()}
    grids = {name: _grids(results, own[name]) for name, results in of.items()}
    return Findings(
        findings=(
            *(_alike(name, own[name], values) for name, values in likeness.items()),
            *(_best(name, own[name], grid) for name, grid in grids.items()),
        ),
        not_claimed=(
            "That one baseline is the right one: a metric with an imputer asks about that notion of a missing feature.",
        ),
        tables=(
            *(
                Table(
                    f"{name}: mean Spearman correlation of signed maps over all features (95% intervals, bootstrap over seeds "
                    "and inputs).",
                    ("baseline", *own[name]),
                    tuple((a, *_cells(values[:, i])) for i, a in enumerate(own[name])),
                )
                for name, values in likeness.items()
            ),
            *(
                Table(
                    f"{name}, {metric} ({better} is better): one row per baseline of the map, one column per imputer (mean, "
                    "95% intervals over seeds and inputs).",
                    ("map \\ imputer", *own[name]),
                    tuple((row, *_cells(grid[metric][:, i])) for i, row in enumerate((*own[name], CONTROL))),
                )
                for name, grid in grids.items()
                for metric, better in METRICS.items()
            ),
        ),
        pictures=(
            Picture(
                png(_likeness_figure(likeness, own)),
                "Similarity of signed maps from different baselines: mean Spearman correlation over all features.",
                "Heat map of the correlation between maps of each pair of baselines, one panel per model",
                "spearman",
            ),
            *(
                Picture(
                    png(_grid_figure(grid, own[name])),
                    f"{name}: every map (rows) evaluated with every imputer (columns); darker is better. The best map of each "
                    "column is framed.",
                    "Heat maps of six metrics, each a grid of baselines and imputers",
                    f"grid-{name}",
                )
                for name, grid in grids.items()
            ),
        ),
        settings={
            "form": "quadratic",
            "classes": "those that the model predicts",
            "blur": "an eighth of a side, for images",
            "expected gradients": f"{SET} training inputs; as an imputer, scores averaged over them",
            "steps of a curve": str(STEPS),
            "sets of features": f"{SUBSETS} per size",
        },
        assumptions={
            "sign": "curves and ranks are multiplied by the predicted class, the sign of the score",
            "infidelity": "that of the map times its best factor, relative to a zero map",
            "estimator": "exact simulation",
        },
    )


def _matrix(results: Sequence[Any], key: str, rows: Sequence[str], columns: Sequence[str]) -> FloatArray:
    """Return mean, low and high end, (3, rows, columns), of a nested dictionary of one number per input."""
    groups = [np.array([r[key][a][b] for a in rows for b in columns], dtype=float).T for r in results]
    return nested_bootstrap(groups, by_counts=True).reshape(3, len(rows), len(columns))


def _grids(results: Sequence[Any], names: Sequence[str]) -> dict[str, FloatArray]:
    """Return mean, low and high end, (3, maps, imputers), by metric; the last map is the control."""
    rows = (*names, CONTROL)
    groups = [np.array([r["grid"][a][b][k] for k in METRICS for a in rows for b in names], dtype=float).T for r in results]
    means = nested_bootstrap(groups, by_counts=True).reshape(3, len(METRICS), len(rows), len(names))
    return {metric: means[:, k] for k, metric in enumerate(METRICS)}


def _cells(band: FloatArray) -> list[str]:
    return [with_interval(mean, (low, high)) for mean, low, high in band.T]


def _alike(name: str, names: Sequence[str], values: FloatArray) -> str:
    pairs = [(values[0, i, j], i, j) for i in range(len(names)) for j in range(i)]
    (_, a, b), (_, c, d) = min(pairs), max(pairs)
    return (
        f"{name}: maps from {names[c]} and {names[d]} are most alike, Spearman {_cells(values[:, c, d : d + 1])[0]}; "
        f"from {names[a]} and {names[b]} the least, {_cells(values[:, a, b : b + 1])[0]}."
    )


def _best(name: str, names: Sequence[str], grid: Mapping[str, FloatArray]) -> str:
    wins, cells, own = dict.fromkeys((*names, CONTROL), 0), 0, 0
    for metric, band in grid.items():
        best = _winners(metric, band[0])
        for column, row in enumerate(best):
            wins[(*names, CONTROL)[row]] += 1
            own += row == column
            cells += 1
    ranked = sorted(wins.items(), key=lambda item: -item[1])
    counts = ", ".join(f"{map_name} {count}" for map_name, count in ranked)
    srg = grid["SRG"]
    texts = ", ".join(
        f"{names[j]} {_cells(srg[:, row, j : j + 1])[0]} by {(*names, CONTROL)[row]}"
        for j, row in enumerate(_winners("SRG", srg[0]))
    )
    return (
        f"{name}: of {cells} columns (metric and imputer) a baseline's map has the best mean under its own imputer in {own}; "
        f"best maps: {counts}. Best SRG by imputer: {texts}."
    )


def _winners(metric: str, mean: FloatArray) -> list[int]:
    """Return the best row of each column."""
    return [int(row) for row in (np.nanargmax if METRICS[metric] == "up" else np.nanargmin)(mean, axis=0)]


def _likeness_figure(likeness: Mapping[str, FloatArray], own: Mapping[str, Sequence[str]]) -> Figure:
    figure = Figure(figsize=(5.2 * len(likeness) + 1.6, 4.6), layout="constrained")
    axes = figure.subplots(1, len(likeness), squeeze=False)[0]
    for ax, (name, values) in zip(axes, likeness.items(), strict=True):
        sns.heatmap(
            values[0],
            ax=ax,
            vmin=-1,
            vmax=1,
            cmap="RdBu_r",
            annot=True,
            fmt=".2f",
            annot_kws={"size": 7},
            xticklabels=own[name],
            yticklabels=own[name],
            square=True,
            cbar=ax is axes[-1],
            cbar_kws={"label": "Spearman correlation", "shrink": 0.8},
        )
        ax.set_title(name)
        _slant(ax, own[name])
    return figure


def _grid_figure(grid: Mapping[str, FloatArray], names: Sequence[str]) -> Figure:
    figure = Figure(figsize=(11.5, 8.2), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    for ax, metric in zip(axes.flat, CHOSEN, strict=True):
        mean, up = grid[metric][0], METRICS[metric] == "up"
        sns.heatmap(
            mean,
            ax=ax,
            cmap="viridis_r" if up else "viridis",
            annot=True,
            fmt=".2f",
            annot_kws={"size": 7},
            xticklabels=names,
            yticklabels=(*names, CONTROL),
            cbar=False,
        )
        for column, row in enumerate(_winners(metric, mean)):
            ax.add_patch(Rectangle((column + 0.04, row + 0.04), 0.92, 0.92, fill=False, edgecolor="C3", lw=1.8))
        ax.set_title(f"{metric} ({METRICS[metric]} is better)", fontsize="medium")
        _slant(ax, names)
    figure.supxlabel("imputer: value of a removed feature", fontsize="medium")
    figure.supylabel("baseline of the map", fontsize="medium")
    return figure


def _slant(ax: Axes, names: Sequence[str]) -> None:
    ax.tick_params(length=0, labelsize=8)
    ax.set_xticks(ax.get_xticks(), names, rotation=40, ha="right", rotation_mode="anchor")


STUDY = Study("baselines", __doc__, tasks, run, summarise)
