"""Randomised parameters and labels: parameters layer by layer, labels permuted, and two ways to mislead the test.

Do maps change when what was learnt is destroyed, layer by layer or by permuted labels, and what hides it if they do not?

Adebayo et al. 2018 (Sanity Checks for Saliency Maps), with signed correlations on the support of the input. Two choices mislead
the test: an observable with an identity part adds a copy of the input to every map, and absolute values make the maps of
unrelated models similar.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cirq
import numpy as np
from matplotlib.figure import Figure

import hattriq_cirq as hq
from experiments.runner.bootstrap import nested_interval, nested_text
from experiments.runner.figures import band, example_figure, panels
from experiments.runner.study import Done, Findings, Study, results_by
from experiments.runner.trained_models import SUBJECTS, accuracies, trained
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.faithfulness import parameter_layers, randomised, signed_correlation
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import basis_grid, png

#: The map itself; its absolute values; the signed map of the observable (I + Z)/2 instead of Z.
VARIANTS = ("signed", "absolute", "projector")
MODES = ("cascade", "independent")
EXAMPLES = ("input", "trained", "randomised", "projector, trained", "projector, randomised")


@dataclass(frozen=True)
class Task:
    """One trained model, its first test inputs, and the number of draws of each randomisation."""

    subject: str
    seed: int
    inputs: int
    draws: int


def tasks(quick: bool) -> list[Task]:
    """Return five seeds of three models; for a quick run, one."""
    if quick:
        return [Task("digits", 0, 10, 1)]
    return [Task(subject, seed, 100, 4) for subject in ("mnist35", "bars", "digits") for seed in range(5)]


def run(task: Task) -> dict[str, Any]:
    """Correlate the maps of a trained model with those of randomised models."""
    model, data = trained(task.subject, task.seed)
    x = data.x_test[: task.inputs]
    original = _maps(model, x)
    last = len(parameter_layers(model)) - 1
    draws = [1_000 * (task.seed + 1) + draw for draw in range(task.draws)]

    def after(layers: Iterable[int]) -> dict[str, list[float]]:
        correlations = [_correlations(original, _maps(randomised(model, draw, layers), x), x) for draw in draws]
        return {name: np.mean([each[name] for each in correlations], axis=0).tolist() for name in VARIANTS}

    permuted = _permuted(task, model, data)
    one, other = (_maps(randomised(model, draws[0] + shift), x) for shift in (0, 500))
    parts = {"trained": original, "randomised": one}
    return {
        "accuracy": accuracies(model, data),
        "permuted_accuracy": hq.accuracy(permuted, data.x_test, data.y_test),
        "cascade": [after(range(k, last + 1)) for k in range(last, -1, -1)],
        "independent": [after([k]) for k in range(last, -1, -1)],
        "labels": _correlations(original, _maps(permuted, x), x),
        "two_random": _correlations(one, other, x),
        "picture_of_input": {
            when: {name: signed_correlation(values, x**2, x) for name, values in maps.items()} for when, maps in parts.items()
        },
        "example": {
            "input": x[0],
            **{when: maps["signed"][0] for when, maps in parts.items()},
            **{f"projector, {when}": maps["projector"][0] for when, maps in parts.items()},
        },
        "shape": data.image_shape or basis_grid(data.n_features),
    }


def _maps(model: hq.Model, x: FloatArray) -> dict[str, FloatArray]:
    """Return the map in each variant; Shapley values equal integrated gradients here and do not warn of the identity part."""
    signed = hq.other_methods.shapley(model, x, baseline=0)
    half = cirq.PauliSum.from_pauli_strings([0.5 * cirq.PauliString(), *(0.5 * term for term in model.pauli_sum)])
    projector = hq.other_methods.shapley(model.with_observable(half), x, baseline=0)
    return {"signed": signed, "absolute": np.abs(signed), "projector": projector}


def _correlations(maps: dict[str, FloatArray], others: dict[str, FloatArray], x: FloatArray) -> dict[str, list[float]]:
    return {name: signed_correlation(maps[name], others[name], x).tolist() for name in VARIANTS}


def _permuted(task: Task, model: hq.Model, data: Dataset) -> hq.Model:
    """Train the same circuit on permuted labels."""
    labels = np.random.default_rng([task.seed, 2]).permutation(data.y_train)
    return hq.train(model, data.x_train, labels, seed=task.seed, epochs=SUBJECTS[task.subject].epochs).model


def summarise(done: Sequence[Done[Task]]) -> Findings:
    """Return the tables, the curves and the example maps."""
    of = results_by(done, "subject")
    return Findings(
        findings=tuple(line for name, results in of.items() for line in _findings(name, results)),
        not_claimed=(
            "That a map which passes is faithful: the test only rejects maps that do not depend on what was learnt.",
            "That single inputs show no resemblance: intervals are of means over inputs and models.",
        ),
        tables=(_correlation_table(of), _layer_table(of), _input_table(of)),
        pictures=(
            Picture(
                png(_curves(of)),
                "Mean Spearman correlation of maps with those of the trained model. Solid: this layer and all nearer to the "
                "readout random; dotted: this layer alone. Bands and bars are 95% intervals over seeds and inputs.",
                "Lines of correlation against the randomised layer, one panel per model",
                "randomisation",
            ),
            Picture(
                png(example_figure(of, EXAMPLES)),
                "One input and its maps by the trained model and by one with random parameters: of Z, and of (I + Z)/2, whose "
                "map shows the input either way. Red pushes the score up, blue down; each map on its own scale.",
                "A row of small pictures for each model: input, maps of Z, maps of the projector",
                "randomisation-maps",
            ),
        ),
        settings={
            "draws of random parameters": "for each seed and set of layers, averaged per input",
            "random angles": "uniform in [-pi, pi)",
            "baseline": "zero",
            "form": "quadratic",
        },
        assumptions={
            "maps": "exact simulation",
            "last layer": "only its rotation of the measured qubit acts",
            "correlation": "Spearman, on the features where the input is not 0",
        },
    )


def _findings(name: str, results: Sequence[Any]) -> list[str]:
    def of_all(variant: str) -> str:
        return nested_text([r["cascade"][-1][variant] for r in results])

    low, high = nested_interval([r["cascade"][-1]["signed"] for r in results])
    verdict = "the interval holds 0" if low <= 0 <= high else "the interval does NOT hold 0"
    labels = nested_text([r["labels"]["signed"] for r in results])
    chance = nested_text([[r["permuted_accuracy"]] for r in results])
    inputs = nested_text([r["picture_of_input"]["randomised"]["projector"] for r in results])
    return [
        f"{name}: with all parameters random the signed map's correlation with the trained model's falls from 1 to "
        f"{of_all('signed')} ({verdict}); after training on permuted labels (test accuracy {chance}) it is {labels}.",
        f"{name}, what misleads: the same comparison with absolute values gives {of_all('absolute')}, and with the projector "
        f"(I + Z)/2 {of_all('projector')}; the projector's map of a random model correlates with x^2 at {inputs}.",
    ]


def _correlation_table(of: dict[str, list[Any]]) -> Table:
    rows = []
    for name, results in of.items():
        for variant in VARIANTS:
            groups = (
                [r["cascade"][0][variant] for r in results],
                [r["cascade"][-1][variant] for r in results],
                [r["labels"][variant] for r in results],
                [r["two_random"][variant] for r in results],
            )
            rows.append((name, variant, *map(nested_text, groups)))
    return Table(
        "Spearman correlation of maps on the support of x (means, 95% intervals over seeds and inputs): with the trained "
        "model's after randomisation of the last layer, of all, and after training on permuted labels; and between two models "
        "of random parameters. `projector` reads (I + Z)/2.",
        ("model", "map", "last layer", "all layers", "labels permuted", "two random models"),
        tuple(rows),
    )


def _layer_table(of: dict[str, list[Any]]) -> Table:
    rows = []
    for name, results in of.items():
        count = len(results[0]["cascade"])
        for i in range(count):
            cells = (nested_text([r[mode][i]["signed"] for r in results]) for mode in MODES)
            rows.append((name, f"{count - i} of {count}", *cells))
    return Table(
        "Signed correlation with the trained model's map, by layer (the highest is next to the readout): this layer and all "
        "above it random, and this one alone (means, 95% intervals over seeds and inputs).",
        ("model", "layer", *MODES),
        tuple(rows),
    )


def _input_table(of: dict[str, list[Any]]) -> Table:
    rows = [
        (
            name,
            variant,
            *(nested_text([r["picture_of_input"][when][variant] for r in results]) for when in ("trained", "randomised")),
        )
        for name, results in of.items()
        for variant in VARIANTS
    ]
    return Table(
        "Is the map a picture of the input? Spearman correlation of maps with x^2 on its support (means, 95% intervals).",
        ("model", "map", "trained", "all parameters random"),
        tuple(rows),
    )


def _curves(of: dict[str, list[Any]]) -> Figure:
    colours = dict(zip(VARIANTS, ("C0", "C1", "C3"), strict=True))
    figure, (axes,) = panels((3.4 * max(2, len(of)), 3.4), 1, len(of), sharey=True, squeeze=False)
    for ax, (name, results) in zip(axes, of.items(), strict=True):
        count = len(results[0]["cascade"])
        at = np.arange(count)
        for variant in VARIANTS:
            for mode, line in zip(MODES, ("o-", "o:"), strict=True):
                if mode == "independent" and variant != "signed":
                    continue
                groups = [[r[mode][i][variant] for r in results] for i in range(count)]
                label = variant if mode == "cascade" else f"{variant}, one layer"
                band(ax, at, groups, line, color=colours[variant], label=label)
        ax.axhline(0, color="0.3", lw=0.8)
        ax.set(title=name, xlabel="layer, from the readout to the input", ylim=(-0.55, 1.05))
        ax.set_xticks(at, [str(count - i) for i in at])
    axes[0].set_ylabel("correlation with the trained map")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    return figure


STUDY = Study("randomisation", __doc__, tasks, run, summarise)
