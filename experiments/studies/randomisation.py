"""Maps follow what was learnt: parameters randomised layer by layer, labels permuted, and two ways to fool the test.

Adebayo et al. 2018 (Sanity Checks for Saliency Maps), with signed correlations on the support of the input. The traps: an
observable with an identity part draws the input into every map, and absolute values make maps of unrelated models alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cirq
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

import hattriq_cirq as hq
from experiments.runner.bootstrap import nested_interval, nested_text
from experiments.runner.study import Done, Study
from experiments.runner.trained_models import SUBJECTS, accuracies, accuracy_table, trained
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.faithfulness import parameter_layers, randomised, signed_correlation
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.reporting.document import Picture, Section, Table
from hattriq_cirq.reporting.plotting import basis_grid, png

READINGS = ("signed", "absolute", "projector")
"""The map itself; its absolute values; the signed map of the observable (I + Z)/2 in place of Z."""
MODES = ("cascade", "independent")
EXAMPLES = ("input", "trained", "randomised", "projector, trained", "projector, randomised")


@dataclass(frozen=True)
class Task:
    """One trained model, its first test inputs, and how often each randomisation is drawn."""

    subject: str
    seed: int
    inputs: int
    draws: int


def tasks(quick: bool) -> list[Task]:
    """Five seeds of three models; quickly, one."""
    if quick:
        return [Task("digits", 0, 10, 1)]
    return [Task(subject, seed, 100, 4) for subject in ("mnist35", "bars", "digits") for seed in range(5)]


def run(task: Task) -> dict[str, Any]:
    """Correlates maps of a trained model with those of models that have forgotten."""
    model, data = trained(task.subject, task.seed)
    x = data.x_test[: task.inputs]
    original = _maps(model, x)
    last = len(parameter_layers(model)) - 1
    draws = [1_000 * (task.seed + 1) + draw for draw in range(task.draws)]

    def after(layers: Iterable[int]) -> dict[str, list[float]]:
        found = [_correlations(original, _maps(randomised(model, draw, layers), x), x) for draw in draws]
        return {name: np.mean([each[name] for each in found], axis=0).tolist() for name in READINGS}

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
    """The map in each reading; Shapley values are integrated gradients here, and do not warn of the identity part."""
    signed = hq.other_methods.shapley(model, x, baseline=0)
    half = cirq.PauliSum.from_pauli_strings([0.5 * cirq.PauliString(), *(0.5 * term for term in model.pauli_sum)])
    projector = hq.other_methods.shapley(model.with_observable(half), x, baseline=0)
    return {"signed": signed, "absolute": np.abs(signed), "projector": projector}


def _correlations(maps: dict[str, FloatArray], others: dict[str, FloatArray], x: FloatArray) -> dict[str, list[float]]:
    return {name: signed_correlation(maps[name], others[name], x).tolist() for name in READINGS}


def _permuted(task: Task, model: hq.Model, data: Dataset) -> hq.Model:
    """The same circuit trained on labels that say nothing."""
    labels = np.random.default_rng([task.seed, 2]).permutation(data.y_train)
    return hq.train(model, data.x_train, labels, seed=task.seed, epochs=SUBJECTS[task.subject].epochs).model


def summarise(done: Sequence[Done[Task]]) -> Section:
    """The tables, the curves and the example maps."""
    of: dict[str, list[Any]] = {}
    for d in done:
        of.setdefault(d.task.subject, []).append(d.result)
    return Section(
        title="",
        question="",
        findings=tuple(line for name, results in of.items() for line in _findings(name, results)),
        not_claimed=(
            "That a map which passes is faithful: the test only refuses maps that do not depend on what was learnt.",
            "That single inputs show no resemblance: intervals are of means over inputs and models.",
        ),
        accuracy=accuracy_table({name: [r["accuracy"] for r in results] for name, results in of.items()}),
        tables=(_correlation_table(of), _layer_table(of), _input_table(of)),
        pictures=(
            Picture(
                png(_curves(of)),
                "Mean Spearman correlation of maps with those of the trained model. Solid: this layer and all nearer to the "
                "readout random; dotted: this layer alone. Bands and bars are 95% intervals over seeds and inputs.",
                "Lines of correlation against the randomised layer, one panel a model",
                "randomisation",
            ),
            Picture(
                png(_examples(of)),
                "One input and its maps by the trained model and by one with random parameters: of Z, and of (I + Z)/2, whose "
                "map shows the input either way. Red pushes the score up, blue down; each map on its own scale.",
                "A row of small pictures for each model: input, maps of Z, maps of the projector",
                "randomisation-maps",
            ),
        ),
        settings={
            "inputs": f"{done[0].task.inputs} a seed",
            "seeds": str(max(map(len, of.values()))),
            "draws of random parameters": f"{done[0].task.draws} a seed and set of layers, averaged an input",
            "random angles": "even in [-pi, pi)",
            "baseline": "zero",
            "form": "quadratic",
        },
        assumptions={
            "maps": "exact simulation",
            "last layer": "only its turn of the qubit that is read acts",
            "correlation": "Spearman, on the features where the input is not 0",
        },
    )


def _findings(name: str, results: Sequence[Any]) -> list[str]:
    def of_all(reading: str) -> str:
        return nested_text([r["cascade"][-1][reading] for r in results])

    low, high = nested_interval([r["cascade"][-1]["signed"] for r in results])
    verdict = "the interval holds 0" if low <= 0 <= high else "the interval does NOT hold 0"
    labels = nested_text([r["labels"]["signed"] for r in results])
    chance = nested_text([[r["permuted_accuracy"]] for r in results])
    inputs = nested_text([r["picture_of_input"]["randomised"]["projector"] for r in results])
    return [
        f"{name}: with all parameters random the signed map's correlation with the trained model's falls from 1 to "
        f"{of_all('signed')} ({verdict}); after training on permuted labels (test accuracy {chance}) it is {labels}.",
        f"{name}, the traps: the same comparison with absolute values gives {of_all('absolute')}, and with the projector "
        f"(I + Z)/2 {of_all('projector')}; the projector's map of a random model correlates with x^2 at {inputs}.",
    ]


def _correlation_table(of: dict[str, list[Any]]) -> Table:
    rows = []
    for name, results in of.items():
        for reading in READINGS:
            groups = (
                [r["cascade"][0][reading] for r in results],
                [r["cascade"][-1][reading] for r in results],
                [r["labels"][reading] for r in results],
                [r["two_random"][reading] for r in results],
            )
            rows.append((name, reading, *map(nested_text, groups)))
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
            reading,
            *(nested_text([r["picture_of_input"][when][reading] for r in results]) for when in ("trained", "randomised")),
        )
        for name, results in of.items()
        for reading in READINGS
    ]
    return Table(
        "Is the map a picture of the input? Spearman correlation of maps with x^2 on its support (means, 95% intervals).",
        ("model", "map", "trained", "all parameters random"),
        tuple(rows),
    )


def _curves(of: dict[str, list[Any]]) -> Figure:
    colours = dict(zip(READINGS, ("C0", "C1", "C3"), strict=True))
    with sns.axes_style("ticks"):
        figure = Figure(figsize=(3.4 * max(2, len(of)), 3.4), layout="constrained")
        axes = figure.subplots(1, len(of), sharey=True, squeeze=False)[0]
        for ax, (name, results) in zip(axes, of.items(), strict=True):
            count = len(results[0]["cascade"])
            at = np.arange(count)
            for reading in READINGS:
                for mode, line in zip(MODES, ("o-", "o:"), strict=True):
                    if mode == "independent" and reading != "signed":
                        continue
                    groups = [[r[mode][i][reading] for r in results] for i in range(count)]
                    ends = np.array([nested_interval(g) for g in groups])
                    mean = [float(np.mean(np.concatenate(g))) for g in groups]
                    label = reading if mode == "cascade" else f"{reading}, one layer"
                    ax.plot(at, mean, line, color=colours[reading], label=label, ms=4)
                    if mode == "cascade":
                        ax.fill_between(at, *ends.T, color=colours[reading], alpha=0.2, linewidth=0)
                    else:
                        ax.vlines(at, *ends.T, color=colours[reading], lw=1)
            ax.axhline(0, color="0.3", lw=0.8)
            ax.set(title=name, xlabel="layer, from the readout to the input", ylim=(-0.55, 1.05))
            ax.set_xticks(at, [str(count - i) for i in at])
        axes[0].set_ylabel("correlation with the trained map")
        figure.legend(
            *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize="small"
        )
        sns.despine(fig=figure)
    return figure


def _examples(of: dict[str, list[Any]]) -> Figure:
    with sns.axes_style("white"):
        figure = Figure(figsize=(1.9 * len(EXAMPLES), 2.1 * len(of)), layout="constrained")
        axes = figure.subplots(len(of), len(EXAMPLES), squeeze=False)
        for row, (name, results) in zip(axes, of.items(), strict=True):
            row[0].set_ylabel(name)
            for ax, what in zip(row, EXAMPLES, strict=True):
                values = np.reshape(results[0]["example"][what], results[0]["shape"])
                limit = float(np.max(np.abs(values))) or 1.0
                limits = {"cmap": "gray", "vmin": min(0.0, values.min())}
                ax.imshow(values, **(limits if what == "input" else {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}))
                ax.set(xticks=[], yticks=[])
        for ax, what in zip(axes[0], EXAMPLES, strict=True):
            ax.set_title(what.replace(", ", "\n"), fontsize=10)
    return figure


STUDY = Study(
    name="randomisation",
    title="Randomised parameters and labels",
    question="Do maps change when what was learnt is destroyed, layer by layer or by permuted labels, and what hides it if "
    "they do not?",
    task=Task,
    tasks=tasks,
    run=run,
    summarise=summarise,
)
main = STUDY.main
