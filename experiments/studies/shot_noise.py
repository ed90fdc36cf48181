"""Shot noise: error of each estimator against shots, coverage of its intervals, and growth with the amplitudes.

How does the error of each estimator fall with shots, do its reported 95% intervals cover the truth, and how do shots grow with
the number of amplitudes?

Every circuit is simulated exactly by qsim once; counts are sampled from its probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

import hattriq_cirq as hq
from experiments.runner.bootstrap import nested_bootstrap, nested_interval, nested_text
from experiments.runner.estimators import ESTIMATORS
from experiments.runner.figures import band, panels
from experiments.runner.resampling import ResampledMaps, exponents, random_inputs, random_model
from experiments.runner.study import Done, Findings, Study
from experiments.runner.trained_models import accuracies, trained
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.pipeline.resources import variances_per_shot
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import png

NAMES = ("resolved", "Hadamard", "parallel, m=3", "polarization")
SHOTS = (1_000, 10_000, 100_000, 1_000_000)
_LEAST, _MOST = 0.93, 0.97  # target of the coverage of 95% intervals


@dataclass(frozen=True)
class Task:
    """One estimator on one model: a trained subject, or `random` of 4 layers, for which no counts are sampled."""

    subject: str
    n_qubits: int
    estimator: str
    seed: int
    inputs: int
    replicates: int  # per input


def tasks(quick: bool) -> list[Task]:
    """Return trained models with 1,000 replicates per seed and number of shots, and random ones of 2 to 8 qubits."""
    qubits = {"bars": 4} if quick else {"bars": 4, "digits": 6}
    seeds, inputs, replicates, sizes = (range(1), 2, 20, range(2, 4)) if quick else (range(5), 20, 50, range(2, 9))
    return [
        Task(subject, qubits[subject], name, seed, inputs, replicates) for subject in qubits for seed in seeds for name in NAMES
    ] + [Task("random", n, name, seed, 2, 0) for n in reversed(sizes) for seed in seeds for name in NAMES]


def run(task: Task) -> dict[str, Any]:
    """Compute the noise of every input, the errors and covered features of every replicate, and the counts of the first."""
    accuracy: dict[str, float] | None = None
    if task.subject == "random":
        model, rows = random_model(task.n_qubits, 4, task.seed), random_inputs(task.n_qubits, task.seed, task.inputs)
    else:
        model, data = trained(task.subject, task.seed)
        rows, accuracy = data.x_test[: task.inputs], accuracies(model, data)
    exact = hq.integrated_gradients(model, rows, baseline=0.0).values
    result: dict[str, Any] = {"accuracy": accuracy, "noise": [], "features": [], "error": [], "covered": [], "first_counts": {}}
    for i, x in enumerate(rows):
        circuits = ResampledMaps.simulate(model, x, ESTIMATORS[task.estimator])
        result["noise"].append(
            np.sqrt(variances_per_shot(circuits.plan, circuits.distributions).sum()) / np.linalg.norm(x) ** 2
        )
        if task.replicates:
            used = x != 0  # a feature that is 0 is known without shots
            result["features"].append(int(used.sum()))
            error, covered = [], []
            for shots in SHOTS:
                rng = np.random.default_rng([task.seed, i, shots])
                counts = circuits.counts(shots, task.replicates, rng)
                off = circuits.values(counts) - exact[i]
                error.append([float(f"{e:.5g}") for e in np.linalg.norm(off, axis=1) / np.linalg.norm(exact[i])])
                covered.append(np.sum((np.abs(off) <= circuits.half_widths(counts))[:, used], axis=1))
                if i == 0:
                    result["first_counts"][str(shots)] = counts[0]
            result["error"].append(error)
            result["covered"].append(covered)
    return result


Result = Mapping[str, Any]
#: Results of each estimator, one per seed, in order.
_Grouped = Mapping[str, Sequence[Result]]


def _slopes(result: Mapping[str, Any]) -> FloatArray:
    """Return the slope of log error against log shots of each input, (inputs,), from root mean squares over replicates."""
    rms = np.sqrt(np.mean(np.square(result["error"]), axis=2))
    return exponents(SHOTS, rms.T)


def _coverage(result: Mapping[str, Any], shots: int) -> Array:
    """Return the share of features whose interval holds the exact value, (inputs,), as a mean over replicates."""
    covered = np.asarray(result["covered"])[:, SHOTS.index(shots)]
    return np.asarray(covered.mean(axis=1) / np.asarray(result["features"]))


def _ratios(results: Mapping[str, Sequence[Result]], name: str) -> list[FloatArray]:
    """Return the shots to the same error relative to the resolved test, (inputs,) per seed."""
    return [
        (np.asarray(mine["noise"]) / np.asarray(its["noise"])) ** 2
        for mine, its in zip(results[name], results["resolved"], strict=True)
    ]


def summarise(done: Sequence[Done[Task]]) -> Findings:
    """Return slopes and coverage of trained models, and exponents of random ones."""

    def grouped(subject: str, n_qubits: int) -> _Grouped:
        mine = sorted((d for d in done if (d.task.subject, d.task.n_qubits) == (subject, n_qubits)), key=lambda d: d.task.seed)
        return {name: [d.result for d in mine if d.task.estimator == name] for name in NAMES}

    keys = dict.fromkeys((d.task.subject, d.task.n_qubits) for d in done)
    subjects = {subject: grouped(subject, n) for subject, n in keys if subject != "random"}
    random = {n: grouped("random", n) for n in sorted(n for subject, n in keys if subject == "random")}
    sampled = next(d.task for d in done if d.task.replicates)
    slope_rows, coverage_rows, near, met = [], [], [], []
    for subject, results in subjects.items():
        for name in NAMES:
            slopes = [_slopes(r) for r in results[name]]
            low, high = nested_interval(slopes)
            near.append(low <= -0.5 <= high)
            rms = [[np.sqrt(np.mean(np.square(r["error"]), axis=2))[:, i] for r in results[name]] for i in range(len(SHOTS))]
            slope_rows.append((subject, name, *map(nested_text, rms), nested_text(slopes)))
            cells = []
            for shots in SHOTS:
                groups = [_coverage(r, shots) for r in results[name]]
                met.append(_LEAST <= float(np.mean(np.concatenate(groups))) <= _MOST)
                cells.append(f"{nested_text(groups)} {'met' if met[-1] else 'MISSED'}")
            coverage_rows.append((subject, name, *cells))
    growth = {name: _growth(random, name) for name in NAMES}
    noise_rows = []
    for n, results in random.items():
        times = (nested_text(_ratios(results, name), digits=1) for name in NAMES[1:])
        noise_rows.append((str(n), str(2**n), nested_text([r["noise"] for r in results["resolved"]]), *times))
    noise_rows.append(("exponent of N in shots", "", *(nested_text(growth[name]) for name in NAMES)))
    seeds, inputs = len(next(iter(subjects.values()))["resolved"]), quantity(sampled.inputs, "input")
    per_cell = f"{quantity(seeds, 'seed')} of {inputs} with {sampled.replicates} draws"
    growing = "; ".join(f"{name} N^{nested_text(growth[name], digits=2)}" for name in NAMES)
    return Findings(
        findings=(
            f"The slope of log error against log shots has a 95% interval that holds -1/2 in {sum(near)} of {len(near)} cases; "
            f"the means lie between {min(_means(subjects)):.3f} and {max(_means(subjects)):.3f}.",
            f"Coverage of the reported 95% intervals lies between 93% and 97% in {sum(met)} of {len(met)} cells of estimator, "
            f"model and shots: {'met' if all(met) else 'MISSED'}"
            + (
                "."
                if all(met)
                else ", by " + "; ".join(f"{row[0]} {row[1]}" for row in coverage_rows if "MISSED" in "".join(row)) + "."
            ),
            f"Shots to the same absolute L2 error grow with the number of amplitudes like: {growing}.",
        ),
        not_claimed=("Anything about gate or readout noise: counts are sampled from noiseless circuits.",),
        tables=(
            Table(
                f"Relative L2 error (root mean square over draws) and slope of its logarithm; {per_cell}; 95% intervals, "
                "bootstrap over seeds and inputs.",
                ("model", "estimator", *(f"{s:,} shots" for s in SHOTS), "slope"),
                tuple(slope_rows),
            ),
            Table(
                f"Share of features that are not 0 whose reported 95% interval holds the exact value; {per_cell}; target of "
                "each mean 0.93 to 0.97.",
                ("model", "estimator", *(f"{s:,} shots" for s in SHOTS)),
                tuple(coverage_rows),
            ),
            Table(
                "Random models of 4 layers, dense unit inputs: sqrt(total squared error x shots) of the resolved test, and how "
                "many times its shots the others need; exponents by least squares for each input, 95% intervals over seeds "
                "and inputs.",
                ("n", "N", "resolved", *(f"{name}, times" for name in NAMES[1:])),
                tuple(noise_rows),
            ),
        ),
        pictures=(
            Picture(
                png(_figure(subjects, random)),
                "Left: relative L2 error against shots, the theory's slope -1/2 dotted. Right: shots to the same error on "
                "random models, relative to the resolved test. Bands are 95% intervals over seeds and inputs.",
                "Falling lines of error against shots, one panel per model, and rising lines of shots against N",
                "shot_noise",
            ),
            Picture(
                png(_coverage_figure(subjects)),
                "Coverage of the reported 95% intervals against shots, with 95% intervals over seeds and inputs; the target is "
                "shaded.",
                "Points of coverage around 0.95 inside a band from 0.93 to 0.97",
                "coverage",
            ),
        ),
        settings={"baseline": "zero", "form": "quadratic", "random models": f"n = {min(random)} .. {max(random)}, 4 layers"},
        assumptions={"circuits": "simulated exactly, without noise", "counts": "multinomial"},
    )


def _growth(random: Mapping[int, _Grouped], name: str) -> list[FloatArray]:
    """Return the exponent of N in the shots to a given error, (inputs,) per seed."""
    seeds = range(len(next(iter(random.values()))[name]))
    sizes = [2.0**n for n in random]
    return [exponents(sizes, [np.square(results[name][s]["noise"]) for results in random.values()]) for s in seeds]


def _means(subjects: Mapping[str, _Grouped]) -> list[float]:
    return [float(np.mean(np.concatenate([_slopes(r) for r in each]))) for of in subjects.values() for each in of.values()]


def _figure(subjects: Mapping[str, _Grouped], random: Mapping[int, _Grouped]) -> Figure:
    figure, ((*left, right),) = panels((3.4 * (len(subjects) + 1), 3.4), 1, len(subjects) + 1, squeeze=False)
    for ax, (subject, of) in zip(left, subjects.items(), strict=True):
        for colour, (name, results) in zip(sns.color_palette("colorblind"), of.items(), strict=False):
            rms = [np.sqrt(np.mean(np.square(r["error"]), axis=2)) for r in results]
            band(ax, SHOTS, [[each[:, i] for each in rms] for i in range(len(SHOTS))], color=colour, label=name)
        at = np.array(SHOTS[:: len(SHOTS) - 1])
        ax.plot(at, 0.5 * (at / at[0]) ** -0.5, ":", color="0.3", label="slope -1/2")
        ax.set(xscale="log", yscale="log", title=subject, xlabel="shots in all", ylabel="relative L2 error")
    sizes = [2**n for n in random]
    for colour, name in zip(sns.color_palette("colorblind"), NAMES, strict=False):
        band(right, sizes, [_ratios(results, name) for results in random.values()], color=colour, label=name)
    right.plot(sizes, sizes, ":", color="0.3", label="N")
    right.set(xscale="log", yscale="log", title="random models", xlabel="amplitudes N", ylabel="shots, relative to resolved")
    right.set_xscale("log", base=2)
    left[0].legend(frameon=False, fontsize="x-small")
    right.legend(frameon=False, fontsize="x-small")
    return figure


def _coverage_figure(subjects: Mapping[str, _Grouped]) -> Figure:
    figure, (axes,) = panels((1.2 + 3.4 * len(subjects), 3.0), 1, len(subjects), sharey=True, squeeze=False)
    for ax, (subject, of) in zip(axes, subjects.items(), strict=True):
        ax.axhspan(_LEAST, _MOST, color="0.9")
        ax.axhline(0.95, color="0.5", lw=0.8)
        for i, (colour, (name, results)) in enumerate(zip(sns.color_palette("colorblind"), of.items(), strict=False)):
            groups = [[_coverage(r, shots) for r in results] for shots in SHOTS]
            mean, *ends = np.array([nested_bootstrap(g) for g in groups]).T
            ax.errorbar(np.array(SHOTS) * 1.12 ** (i - 1.5), mean, np.abs(ends - mean), fmt="o", ms=4, color=colour, label=name)
        ax.set(xscale="log", title=subject, xlabel="shots in all")
    axes[0].set_ylabel("coverage of 95% intervals")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize="x-small")
    return figure


STUDY = Study("shot_noise", __doc__, tasks, run, summarise)
