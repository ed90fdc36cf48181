"""Unseen noise: error and intervals of maps under noise, and of circuits, that no correction was tuned on.

How far off are maps of random circuits, do their 95% intervals hold under noise that no correction was built on, and what of
the error is the device's own?

Circuits have random angles, pairs and Pauli strings, and inputs are dense and random. Each pipeline measures the same inputs
on virtual processors as calibrated, and with crosstalk, drift, errors doubled, correlated readout or loss added.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import hattriq_cirq as hq
from experiments.runner.bootstrap import Interval, nested_estimate, with_interval
from experiments.runner.figures import COLOURS, log_axis, panels
from experiments.runner.map_metrics import best_constant_score, interval_scores, metric_of_maps
from experiments.runner.measured_maps import collect
from experiments.runner.study import Done, Findings, Study, done_by
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.pipeline.mitigation import AssumptionWarning
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import png
from hattriq_cirq.workflows import values
from hattriq_cirq.workflows.generated_models import random_circuit

#: Mitigations of the pipelines, as the command line names them.
PIPELINES = {
    "raw": "",
    "readout": "readout",
    "twirled": "twirl,readout",
    "extrapolated": "zne,twirl,readout",
    "auto": "auto",
}
#: Noise beyond the calibration, as the name of an engine holds it.
NOISES = {
    "calibrated": "",
    "crosstalk": "zz=0.05",
    "drift": "drift=0.02,readout-drift=0.02",
    "doubled": "scale=2",
    "joint readout": "joint-readout=0.02",
    "loss": "loss=0.002",
}
PROCESSORS = ("willow_pink", "weber", "rainbow")
SIZES = (3, 4, 5)  # qubits; only the smallest on every processor, and the largest under the calibrated noise alone
GATES = ("cz", "cnot", "sqrt_iswap")  # of the circuits, by turns
CIRCUITS, OF_OTHERS = 20, 6  # of each size on the first processor, and on the others, whose tasks take four times as long
FIRST = 3000  # seed of the first circuit: none of these was looked at while corrections were built
TARGET = (0.88, 0.99)  # coverage of 95% intervals under the calibrated noise
LEAST = 0.80  # coverage under other noise, unless the run says that an assumption fails


@dataclass(frozen=True)
class Task:
    """Maps of some inputs of one circuit by one pipeline; `seed` decides circuit, inputs, counts and gauges."""

    n: int
    seed: int
    processor: str
    noise: str
    pipeline: str
    inputs: int
    shots: int


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the grid."""
    parser.add_argument(
        "--qubits", type=int, nargs="+", metavar="N", help="numbers of qubits (default: 3, and on willow_pink 4 and 5)"
    )
    parser.add_argument(
        "--circuits",
        type=int,
        metavar="N",
        help=f"circuits of each size (default: {CIRCUITS}, and {OF_OTHERS} on processors after the first)",
    )
    parser.add_argument("--inputs", type=int, metavar="N", help="number of inputs of each circuit (default: 5)")
    parser.add_argument("--shots", type=int, metavar="N", help="shots per map (default: 1000000)")
    parser.add_argument("--processors", nargs="+", choices=PROCESSORS, help="virtual processors (default: all)")
    parser.add_argument("--noises", nargs="+", choices=NOISES, help="noise beyond the calibration (default: all; none for 5)")
    parser.add_argument("--pipelines", nargs="+", choices=PIPELINES, help="pipelines (default: all)")


def tasks(quick: bool, chosen: argparse.Namespace) -> list[Task]:
    """Return the tasks of the grid, or of its smallest corner for a quick run."""
    names = ("qubits", "circuits", "inputs", "shots", "processors", "noises", "pipelines")
    given = {name: value for name in names if (value := getattr(chosen, name)) is not None}
    if quick and given:
        raise ValueError(f"--quick runs a small sample of the study's own grid; leave out --{min(given)}")
    if quick:
        few = product(("calibrated", "joint readout"), ("raw", "readout"))
        return [Task(3, FIRST, "willow_pink", *each, 2, 100_000) for each in few]
    for name in ("circuits", "inputs", "shots"):
        if given.get(name, 1) < 1:
            raise ValueError(f"--{name} {given[name]} must be at least 1")
    sizes, processors = given.get("qubits", SIZES), given.get("processors", PROCESSORS)
    grid = product(sizes, range(given.get("circuits", CIRCUITS)), processors)
    places = [(n, i, name) for n, i, name in grid if name == PROCESSORS[0] or i < given.get("circuits", OF_OTHERS)]
    if not given.keys() & {"qubits", "processors"}:
        places = [(n, i, name) for n, i, name in places if n == sizes[0] or name == PROCESSORS[0]]
    pipelines = list(product(given.get("noises", NOISES), given.get("pipelines", PIPELINES)))
    inputs, shots = given.get("inputs", 5), given.get("shots", 1_000_000)
    selected = [Task(n, FIRST + i, name, *own, inputs, shots) for n, i, name in places for own in pipelines]
    if given.keys() & {"qubits", "noises"}:
        return selected
    return [task for task in selected if task.n < SIZES[-1] or task.noise == "calibrated"]


@lru_cache(maxsize=8)
def case(n: int, seed: int, inputs: int) -> tuple[hq.Model, FloatArray]:
    """Return a random circuit and its dense random inputs, (inputs, features)."""
    x = np.random.default_rng([seed, n]).normal(size=(inputs, 2**n))
    return random_circuit(n, seed=seed, gates=GATES[seed % 3]), x / np.linalg.norm(x, axis=1, keepdims=True)


def run(task: Task) -> dict[str, Any]:
    """Measure the maps of a task; of uncorrected ones, split the error into that of the noisy model and the rest."""
    model, x = case(task.n, task.seed, task.inputs)
    noise = NOISES[task.noise]
    engine = values.parse_engine(f"virtual:{task.processor}" + (f",{noise}" if noise else ""), task.seed)
    mitigation = values.parse_mitigation(PIPELINES[task.pipeline], task.seed)
    options: dict[str, Any] = {"baseline": 0, "estimator": hq.ResolvedHadamardTest(), "mitigation": mitigation}
    prepared = hq.prepare(model, x, engine=engine, shots=task.shots, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AssumptionWarning)
        measured = prepared.execute()
    result: dict[str, Any] = {
        "exact": hq.integrated_gradients(model, x, baseline=0).values,
        "maps": {task.pipeline: collect([[measured]])},
        "warnings": [str(each.message) for each in caught if issubclass(each.category, AssumptionWarning)],
    }
    if task.pipeline == "raw":
        split = hq.noisy_model(model, engine, placement=prepared.placement).split_error(measured)
        result["split"] = {"model": split.model, "estimator": split.estimator}
    return result


Results = Sequence[Done[Task]]


def groups(done: Results, metric: str) -> list[FloatArray]:
    """Return a metric of every map, one group per circuit."""
    return [metric_of_maps(d.result, d.task.pipeline, metric).ravel() for d in done]


def score(done: Results) -> Interval:
    """Return the mean interval score over that of the best constant width for the same maps, chosen with hindsight."""
    errors, widths = [], []
    for d in done:
        maps = d.result["maps"][d.task.pipeline]
        errors.append(np.array(maps["values"])[:, 0] - np.array(d.result["exact"]))
        widths.append(np.array(maps["half_width"])[:, 0])
    best = best_constant_score(np.concatenate([e.ravel() for e in errors]))
    return nested_estimate([interval_scores(e, w).mean(axis=-1) / best for e, w in zip(errors, widths, strict=True)])


def flagged(done: Results) -> float:
    """Return the share of runs whose own checks say that an assumption fails."""
    return float(np.mean([bool(d.result["warnings"]) for d in done]))


def part(done: Results, name: str) -> list[FloatArray]:
    """Return the relative L2 norm of a part of the error of uncorrected maps, one group per circuit."""
    return [_norms(d.result["split"][name]) / _norms(d.result["exact"]) for d in done]


def _norms(maps: Any) -> FloatArray:
    return np.asarray(np.linalg.norm(np.array(maps), axis=-1))


def summarise(done: Results) -> Findings:
    """Return a table of errors and intervals and one of the split of raw errors, and a figure of both."""
    rows, split = [], []
    for (n, processor, noise, pipeline), mine in done_by(done, "n", "processor", "noise", "pipeline").items():
        error, coverage = nested_estimate(groups(mine, "error"), np.median), nested_estimate(groups(mine, "coverage"))
        cells = (with_interval(*error), with_interval(*coverage), with_interval(*score(mine), 2), f"{flagged(mine):.0%}")
        rows.append((str(n), processor, noise, pipeline, *cells))
        if pipeline == "raw":
            parts = (with_interval(*nested_estimate(part(mine, name), np.median)) for name in ("model", "estimator"))
            split.append((str(n), processor, noise, cells[0], *parts))
    tables = [
        Table(
            "Relative L2 error (median over maps), coverage of 95% intervals of both parts, interval score over that of the "
            "best constant width chosen with hindsight, and share of runs whose own checks say that an assumption fails; in "
            "brackets 95% intervals, bootstrap over circuits and inputs.",
            ("qubits", "processor", "noise", "pipeline", "error", "coverage", "score", "warned"),
            tuple(rows),
        )
    ]
    if split:
        tables.append(
            Table(
                "Uncorrected maps: the error, and the norms of its two parts relative to the exact map (medians): what the "
                "device's own model differs from the ideal one, and what the estimator's further gates, readout and shots add. "
                "The parts are vectors, so that their norms do not add up to that of the error.",
                ("qubits", "processor", "noise", "error", "own model", "estimator"),
                tuple(split),
            )
        )
    return Findings(
        findings=tuple(_findings(done)),
        not_claimed=(
            "Anything about hardware: all noise was simulated.",
            "That stronger noise of these kinds, or other kinds, would give the same order of pipelines.",
        ),
        tables=tables,
        pictures=tuple(_pictures(done)),
        settings={
            "circuits of each size and processor": ", ".join(
                f"{len({d.task.seed for d in mine})} (n = {n}, {processor})"
                for (n, processor), mine in done_by(done, "n", "processor").items()
            ),
            "circuits": f"random angles, pairs and Pauli strings, by turns with {', '.join(GATES)}",
            "inputs": "dense, normally distributed, norm 1; zero baseline",
            "estimator": "resolved Hadamard test",
            "noise beyond the calibration": "; ".join(f"{name}: {text}" for name, text in NOISES.items() if text),
        },
        assumptions={
            "exact map": "of the model without noise",
            "coverage": "share of the features whose interval(0.95), of both parts of the error, holds the exact value",
            "device's own model": "hq.noisy_model on the qubits of the map: as at the start of the run, without drift",
            "warned": "tests of the batch's own calibration for correlation and drift, and circuits with known answers, which "
            "take a tenth of the shots",
        },
    )


def _findings(done: Results) -> Iterator[str]:
    """Yield sentences on each size and processor: errors, coverage against its target, and the worst noise for `auto`."""
    for (n, processor), mine in done_by(done, "n", "processor").items():
        of = done_by(mine, "noise", "pipeline")
        errors = {key: nested_estimate(groups(each, "error"), np.median) for key, each in of.items()}
        covered = {key: nested_estimate(groups(each, "coverage")) for key, each in of.items()}
        place = f"{processor}, n = {n}"
        for noise in dict.fromkeys(noise for noise, _ in of):
            shown = ", ".join(f"{pipeline} {with_interval(*errors[noise, pipeline])}" for k, pipeline in of if k == noise)
            yield f"{place}, {noise}: errors are {shown}."
        own = {pipeline: value for (noise, pipeline), value in covered.items() if noise == "calibrated"}
        if own:
            outside = [
                f"{name} {with_interval(*value)}" for name, value in own.items() if not TARGET[0] <= value[0] <= TARGET[1]
            ]
            low, high = TARGET
            yield (
                f"{place}: coverage under the calibrated noise, target {low:.0%} to {high:.0%}, is "
                + (f"MISSED by {', '.join(outside)}." if outside else f"met by all {len(own)} pipelines.")
            )
        beyond = {key: each for key, each in of.items() if key[0] != "calibrated"}
        silent = [
            f"{pipeline} under {noise} {with_interval(*covered[noise, pipeline])}"
            for (noise, pipeline), each in beyond.items()
            if covered[noise, pipeline][0] < LEAST and flagged(each) < 1
        ]
        if beyond:
            yield (
                f"{place}: under noise beyond the calibration, coverage below {LEAST:.0%} without a warning in every run: "
                f"{', '.join(silent) or 'none'}."
            )
        ratios = {
            noise: errors[noise, "auto"][0] / errors[noise, "raw"][0]
            for noise, pipeline in of
            if pipeline == "auto" and (noise, "raw") in of
        }
        if ratios:
            worst = max(ratios, key=lambda noise: ratios[noise])
            yield f"{place}: the error of auto is at most {ratios[worst]:.2f} of that of raw (under {worst})."


def _pictures(done: Results) -> Iterator[Picture]:
    for n, mine in done_by(done, "n").items():
        yield Picture(
            png(_figure(mine)),
            f"Random circuits of {n} qubits with dense inputs: error of each pipeline (left; medians, and upright marks at the "
            "part of the raw error that is the device's own model), and coverage of its 95% intervals (right; the band is the "
            "target). Hollow: most runs say that an assumption fails. Bars are 95% intervals.",
            "Rows of two panels per processor, with one line per noise: points of error, and of coverage, coloured by pipeline",
            f"errors_n{n}",
        )


def _figure(done: Results) -> Figure:
    """Plot errors beside coverage, one row of panels per processor and one line per noise, pipelines by colour."""
    of = done_by(done, "processor")
    noises = list(dict.fromkeys(d.task.noise for d in done))
    size = (9.5, (0.62 * len(noises) + 0.9) * len(of) + 0.5)
    figure, axes = panels(size, len(of), 2, squeeze=False, sharey=True, sharex="col", width_ratios=(3, 2))
    for (processor, mine), (left, right) in zip(of.items(), axes, strict=True):
        for line, noise in enumerate(noises):
            _line(left, right, done_by([d for d in mine if d.task.noise == noise], "pipeline"), line)
        right.axvspan(*TARGET, color="0.9", zorder=0, linewidth=0)
        right.axvline(0.95, color="0.6", linewidth=0.8, zorder=0)
        left.set(xscale="log", yticks=range(len(noises)), yticklabels=noises, ylim=(len(noises) - 0.5, -0.5))
        left.set_title(processor, loc="left", fontweight="bold")
        left.grid(axis="x", color="0.92", which="both")
        for ax in (left, right):
            ax.hlines(np.arange(1, len(noises)) - 0.5, 0, 1, transform=ax.get_yaxis_transform(), color="0.85", linewidth=0.8)
            ax.tick_params(axis="y", length=0)
    log_axis(axes[-1, 0].xaxis)
    axes[-1, 0].set_xlabel("relative L2 error")
    axes[-1, 1].set(xlabel="coverage of 95% intervals", xlim=(0, 1.02))
    shown = {pipeline: COLOURS[list(PIPELINES).index(pipeline)] for pipeline in done_by(done, "pipeline")}
    handles = [left.plot([], [], "o", color=colour, label=name)[0] for name, colour in shown.items()]
    handles += [left.plot([], [], "|", color="0.3", markersize=11, markeredgewidth=2, label="raw: device's own model")[0]]
    hollow = {"color": "0.3", "markerfacecolor": "white", "label": "most runs warn"}
    handles += left.plot([], [], "o", **hollow)
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, columnspacing=1.2)
    return figure


def _line(left: Axes, right: Axes, of: Mapping[Any, Results], line: int) -> None:
    """Plot one noise: a point per pipeline on both panels, below each other."""
    for pipeline, mine in of.items():
        place = list(PIPELINES).index(pipeline)
        y, colour = line + 0.15 * (place - (len(PIPELINES) - 1) / 2), COLOURS[place]
        face = "white" if flagged(mine) > 0.5 else colour
        for ax, metric, statistic in ((left, "error", np.median), (right, "coverage", np.mean)):
            value, (low, high) = nested_estimate(groups(mine, metric), statistic)
            ax.plot([low, high], [y, y], color=colour, linewidth=1.6, solid_capstyle="round")
            ax.plot(value, y, "o", color=colour, markerfacecolor=face, markersize=5.5)
        if pipeline == "raw":
            own = nested_estimate(part(mine, "model"), np.median)[0]
            left.plot(own, y, "|", color="0.3", markersize=11, markeredgewidth=2)


#: 1: with known answers; 2: errors of dampings by the rates of errors
STUDY = Study("unseen_noise", __doc__, tasks, run, summarise, options=add_options, revision=2)
