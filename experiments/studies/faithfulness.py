"""Faithfulness: every metric for integrated gradients and their controls, on x'Mx and on the renormalised state.

Do maps predict the change of the score when features are removed, better than a random map, a copy of the input, gradients and
occlusion, on x'Mx and on the renormalised state; and do they find the features that are known to decide?

Planted tasks, whose deciding features are known, are evaluated by pointing game and relevance mass. Exact simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import hattriq_cirq as hq
from experiments.runner.bootstrap import nested_bootstrap, nested_text, with_interval
from experiments.runner.faithfulness_metrics import METRICS, STEPS, SUBSETS, as_json, evaluate_maps
from experiments.runner.figures import curve_band, panels
from experiments.runner.study import Done, Findings, Study, results_by
from experiments.runner.trained_models import accuracies, trained
from hattriq_cirq import faithfulness
from hattriq_cirq.attribution import baselines, other_methods
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.models.model import Form
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import png

FORMS: Mapping[str, Form] = {"x'Mx": "quadratic", "the renormalised state": "normalized"}
MAPS = ("integrated gradients", "random", "|x|^2", "gradient", "gradient x input", "occlusion")
RADIUS = 0.1  # relative to the root mean square amplitude, for max-sensitivity
TARGET = 0.95
ALL = {**METRICS, "max-sensitivity": "down"}
PLANTED = ("planted", "xor")  # subjects whose deciding features are known


@dataclass(frozen=True)
class Task:
    """One trained model, its first test inputs, and what is computed: `metrics`, `truth` or only `accuracy`."""

    subject: str
    seed: int
    inputs: int
    what: str = "metrics"


def tasks(quick: bool) -> list[Task]:
    """Return five seeds of four models, of two planted tasks and of the bad model; for a quick run, one of the small ones."""
    if quick:
        return [Task("bars", 0, 10), Task("planted", 0, 10, "truth")]
    metrics = [Task(subject, seed, 100) for subject in ("bars", "digits", "mnist35", "tfim") for seed in range(5)]
    truth = [Task(name, seed, 100, "truth") for name in PLANTED for seed in range(5)]
    return metrics + truth + [Task("bad", seed, 0, "accuracy") for seed in range(5)]


def run(task: Task) -> dict[str, Any]:
    """Compute the metrics or the truth scores of one model."""
    if task.what == "truth":
        return _truth(task)
    model, data = trained(task.subject, task.seed)
    result: dict[str, Any] = {"accuracy": accuracies(model, data)}
    if task.what == "metrics":
        x = data.x_test[: task.inputs]
        result["metrics"] = {name: _metrics(model, x, form, task.seed) for name, form in FORMS.items()}
    return result


def maps_of(model: hq.Model, form: Form, seed: int) -> dict[str, Callable[[Array], FloatArray]]:
    """Return the functions that compute each kind of map of inputs (inputs, features) from the zero baseline.

    Integrated gradients of the renormalised state do not exist from there, so those of x'Mx replace them; the other maps are of
    the form itself. |x|^2 has the sign of the answer: a copy of the input in which every feature supports the answer.
    """
    return {
        "integrated gradients": lambda x: hq.integrated_gradients(model, x, baseline=0).values,
        "random": lambda x: np.random.default_rng([seed, 1]).normal(size=x.shape),
        "|x|^2": lambda x: np.where(model.expectation(x) < 0, -1, 1)[:, np.newaxis] * np.abs(x) ** 2,
        "gradient": partial(other_methods.gradient, model, form=form),
        "gradient x input": partial(other_methods.gradient_times_input, model, form=form),
        "occlusion": partial(other_methods.occlusion, model, baseline=0, form=form),
    }


def _metrics(model: hq.Model, x: Array, form: Form, seed: int) -> dict[str, Any]:
    score, metrics = faithfulness.score_of(model, form=form), {}
    for name, explain in maps_of(model, form, seed).items():
        values = explain(x)
        scores, curves = evaluate_maps(score, x, values, 0.0, seed)
        radius = RADIUS / np.sqrt(x.shape[1])
        scores["max-sensitivity"] = faithfulness.max_sensitivity(explain, x, radius=radius, seed=seed)
        metrics[name] = {"scores": {key: as_json(value) for key, value in scores.items()}, "curves": curves}
    return metrics


def _truth(task: Task) -> dict[str, Any]:
    """Compute the share of each map, and of the rule's own map, on the features that are known to decide."""
    model, data = trained(task.subject, task.seed)
    x, y = data.x_test[: task.inputs], data.y_test[: task.inputs]
    maps = {name: explain(x) for name, explain in maps_of(model, "quadratic", task.seed).items()}
    other = baselines.opposite_class_mean(x, y, data.x_train, data.y_train)
    maps["integrated gradients, opposite class"] = hq.integrated_gradients(model, x, baseline=other).values
    assert data.truth is not None
    maps["the rule itself"] = _rule(task.subject, x, data.truth)
    return {
        "accuracy": accuracies(model, data),
        "pointing": {name: faithfulness.pointing_game(values, data.truth) for name, values in maps.items()},
        "mass": {name: faithfulness.relevance_mass(values, data.truth) for name, values in maps.items()},
    }


def _rule(name: str, x: Array, truth: Array) -> FloatArray:
    """Return the integrated gradients from zero of the form that defines the labels: 2 x_p^2 - x'x, or 2 x_a x_b."""
    if name == "planted":
        return np.where(truth, x**2, -(x**2))
    return np.where(truth, np.prod(x[:, truth], axis=1, keepdims=True), 0.0)


def summarise(done: Sequence[Done[Task]]) -> Findings:
    """Return the tables of metrics and of truth, and the figures."""
    of, truth = (results_by([d for d in done if d.task.what == what], "subject") for what in ("metrics", "truth"))
    bands = {(name, form): _bands(results, form) for name, results in of.items() for form in FORMS}
    return Findings(
        findings=(*_findings(of, bands), *_truth_findings(truth)),
        not_claimed=(
            "That one metric settles what a good map is: each is good for its own notion of a missing feature (the study of "
            "baselines shows the grid).",
            "That a steady map is a true one: the random map does not look at its input, so its max-sensitivity is 0.",
        ),
        tables=(*(_metric_table(form, of, bands) for form in FORMS), _versus_table(of), *_truth_tables(truth)),
        pictures=(
            Picture(
                png(_curves_figure(of)),
                "The score in favour of the predicted class while features are set to 0: most relevant first (solid) and least "
                "relevant first (dashed). The area between is the SRG. Bands are 95% intervals over seeds and inputs; gradient "
                "x input ranks as integrated gradients do on x'Mx and is left out.",
                "Deletion curves of five maps, one panel per model and form",
                "curves",
            ),
            Picture(
                png(_metrics_figure(bands)),
                "Four metrics of every map, mean and 95% interval over seeds and inputs; arrows point in the better direction.",
                "Dots with intervals for four metrics of six maps, one row per metric",
                "metrics",
            ),
        ),
        settings={
            "baseline of maps": "zero",
            "removed means": "amplitude 0",
            "steps of a curve": str(STEPS),
            "sets of features": f"{SUBSETS} per size",
            "max-sensitivity": f"10 samples in a box of {RADIUS} root mean square amplitudes",
        },
        assumptions={
            "predicted class": "the sign of the score; curves and ranks are multiplied by it",
            "renormalised": "integrated gradients are those of x'Mx (from the zero baseline it has none of its own); the "
            "score of the zero vector is 0",
            "deletion, insertion": "area under the curve of features removed, or put in, most relevant first; insertion is "
            "also deletion least relevant first",
            "infidelity": "that of the map times its best factor, relative to a zero map",
            "estimator": "exact simulation",
        },
    )


def _bands(results: Sequence[Any], form: str) -> FloatArray:
    """Return mean, low and high end, (3, maps, metrics)."""
    groups = [np.array([[r["metrics"][form][m]["scores"][k] for k in ALL] for m in MAPS], dtype=float) for r in results]
    flat = nested_bootstrap([g.reshape(len(MAPS) * len(ALL), -1).T for g in groups], by_counts=True)
    return flat.reshape(3, len(MAPS), len(ALL))


def _metric_table(form: str, of: Mapping[str, Any], bands: Mapping[tuple[str, str], FloatArray]) -> Table:
    rows = []
    for name in of:
        for k, (metric, better) in enumerate(ALL.items()):
            cells = [with_interval(b[0], (b[1], b[2])) for b in bands[name, form][:, :, k].T]
            rows.append((name, f"{metric} ({better})", *cells))
    return Table(
        f"{form}: mean of every metric, and the direction that is better (95% intervals, bootstrap over seeds and inputs).",
        ("model", "metric", *MAPS),
        tuple(rows),
    )


def _versus(of: Mapping[str, Any], form: str, control: str) -> tuple[int, int, int]:
    """Count the models and metrics in which integrated gradients are better than a control, undecided, or worse."""
    counts = [0, 0, 0]
    for results in of.values():
        pairs = [
            np.array([[r["metrics"][form][m]["scores"][k] for k in METRICS] for m in (MAPS[0], control)], dtype=float)
            for r in results
        ]
        _, low, high = nested_bootstrap([(ours - theirs).T for ours, theirs in pairs], by_counts=True)
        for k, better in enumerate(METRICS.values()):
            gain, loss = (low[k] > 0, high[k] < 0) if better == "up" else (high[k] < 0, low[k] > 0)
            counts[0 if gain else 2 if loss else 1] += 1
    return counts[0], counts[1], counts[2]


def _versus_table(of: Mapping[str, Any]) -> Table:
    rows = [(form, control, *map(str, _versus(of, form, control))) for form in FORMS for control in MAPS[1:]]
    return Table(
        "Integrated gradients against each other map: in how many of the models and metrics above (without "
        "max-sensitivity) they are better, undecided or worse, by the 95% interval of the difference on the same inputs.",
        ("form", "against", "better", "undecided", "worse"),
        tuple(rows),
    )


def _findings(of: Mapping[str, Any], bands: Mapping[tuple[str, str], FloatArray]) -> list[str]:
    lines = []
    srg = list(ALL).index("SRG")
    for form in FORMS:
        parts = []
        for name in of:
            texts = [with_interval(*_mean_and_ends(bands[name, form][:, MAPS.index(m), srg])) for m in MAPS[:3]]
            parts.append(f"{name} {texts[0]} (random {texts[1]}, |x|^2 {texts[2]})")
        lines.append(f"SRG of integrated gradients on {form}: {'; '.join(parts)}.")
        total = len(of) * len(METRICS)
        verdicts = ", ".join(
            f"{control} {b} better and {w} worse" for control in MAPS[1:] for b, _, w in [_versus(of, form, control)]
        )
        lines.append(f"Of {total} comparisons on {form}, integrated gradients are, against {verdicts}; the rest is undecided.")
    return lines


def _mean_and_ends(band: FloatArray) -> tuple[float, tuple[float, float]]:
    return float(band[0]), (float(band[1]), float(band[2]))


def _truth_findings(truth: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, results in truth.items():
        masses = {m: [r["mass"][m] for r in results] for m in ("integrated gradients", "the rule itself")}
        ours, rule = (float(np.mean(np.concatenate(groups))) for groups in masses.values())
        verdict = "met" if ours >= TARGET else "MISSED"
        lines.append(
            f"{name}: {nested_text(masses['integrated gradients'])} of the attribution lies on the deciding features (target "
            f"{TARGET} {verdict}); of the map of the exact rule that made the labels {rule:.3f} does."
        )
    return lines


def _truth_tables(truth: Mapping[str, Any]) -> list[Table]:
    rows = []
    for name, results in truth.items():
        accuracy = [[r["accuracy"]["test"]] for r in results]
        for m in results[0]["mass"]:
            cells = (nested_text([r[key][m] for r in results]) for key in ("pointing", "mass"))
            rows.append((name, nested_text(accuracy), m, *cells))
    columns = ("task", "test accuracy", "map", "pointing game", "relevance mass")
    return [Table("Where the deciding features are known: maps of x'Mx (95% intervals).", columns, tuple(rows))]


def _curves_figure(of: Mapping[str, Any]) -> Figure:
    plotted = [m for m in MAPS if m != "gradient x input"]
    figure, axes = panels((3.2 * len(of) + 1.6, 5.4), 2, len(of), sharex=True, sharey="row", squeeze=False)
    for line, form in zip(axes, FORMS, strict=True):
        for ax, (name, results) in zip(line, of.items(), strict=True):
            for m, colour in zip(plotted, ("C3", "0.55", "C2", "C0", "C1"), strict=True):
                for order, style in (("MoRF", "-"), ("LeRF", "--")):
                    curves = [r["metrics"][form][m]["curves"][order] for r in results]
                    at = 100 * np.array(curves[0]["fractions"])
                    label = m if order == "MoRF" else None
                    curve_band(ax, at, [np.array(c["scores"]) for c in curves], style, color=colour, lw=1.2, label=label)
            ax.axhline(0, color="0.3", lw=0.8)
            ax.set_title(name)
        line[0].set_ylabel(f"score, {form}")
    for ax in axes[-1]:
        ax.set_xlabel("deleted features, %")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize="small")
    return figure


def _metrics_figure(bands: Mapping[tuple[str, str], FloatArray]) -> Figure:
    chosen = ("SRG", "insertion", "correlation", "infidelity")
    models = list(dict.fromkeys(name for name, _ in bands))
    figure, axes = panels((2.6 * len(chosen) + 1.2, 5.2), 2, len(chosen), sharey=True, sharex="col")
    for line, form in zip(axes, FORMS, strict=True):
        for ax, metric in zip(line, chosen, strict=True):
            for i, name in enumerate(models):
                mean, low, high = bands[name, form][:, :, list(ALL).index(metric)]
                at = np.arange(len(MAPS)) + 0.22 * (i - (len(models) - 1) / 2)
                ax.errorbar(mean, at, xerr=[mean - low, high - mean], fmt="o", ms=4, lw=1.2, color=f"C{i}", label=name)
            ax.axvline(0, color="0.3", lw=0.8)
            ax.set_title(f"{metric} {'→' if ALL[metric] == 'up' else '←'}", fontsize="medium")
        line[0].set(yticks=range(len(MAPS)), yticklabels=MAPS, ylabel=form)
    axes[0, 0].invert_yaxis()
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize="small")
    return figure


STUDY = Study("faithfulness", __doc__, tasks, run, summarise)
