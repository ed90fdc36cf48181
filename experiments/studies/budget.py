"""The measurement budget: cost of a cosine of 0.95 and of a standard error of 0.01, planned and simulated.

How many circuits x steps x shots does a map take to a cosine of 0.95 to the exact one, and to a standard error of 0.01 for
each feature; and does the planner predict them?

The paper's setting (one circuit per component and step of a Riemann sum, shots shared equally) stands beside estimators that
take one exact step. Circuits are simulated exactly by qsim once; counts are sampled from their probabilities.
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
from experiments.runner.map_metrics import cosines
from experiments.runner.resampling import ResampledMaps
from experiments.runner.study import Done, Findings, Study
from experiments.runner.trained_models import accuracies, trained
from hattriq_cirq.attribution.quadrature import parse_rule
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.pipeline.resources import shots_for_cosine, shots_for_stderr, variances_per_shot
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import png

SETTINGS = ("resolved", "Hadamard", "parallel, m=3", "polarization", "paper")
STEPS = 50  # steps of the paper's setting
SHOTS = (1_000, 10_000, 100_000)
COSINE, STDERR = 0.95, 0.01
_DRAWS = 20  # number of maps for a mean cosine
_MAPS = 100  # number of maps for a standard error


@dataclass(frozen=True)
class Task:
    """One setting on one trained model and its first test inputs."""

    subject: str
    setting: str
    seed: int
    inputs: int


def tasks(quick: bool) -> list[Task]:
    """Return five seeds of Bars and Stripes and of MNIST 3/5, with 20 inputs each."""
    if quick:
        return [Task("bars", name, 0, 2) for name in SETTINGS]
    return [Task(subject, name, seed, 20) for subject in ("mnist35", "bars") for seed in range(5) for name in SETTINGS]


@dataclass(frozen=True, eq=False)
class Stepped:
    """A map against the zero baseline as the sum of its steps, each the exact map times a number.

    Against zero, the point of a step is a multiple of x, so that all steps have the same circuits.

    Args:
        circuits: Circuits of the exact step.
        steps: 2 * position * weight of each node of the rule, (steps,); [1] for the exact step. With several steps the circuits
            share shots equally.
    """

    circuits: ResampledMaps
    steps: FloatArray

    @classmethod
    def by_rule(cls, circuits: ResampledMaps, rule: str) -> Stepped:
        """Return the steps of a quadrature rule."""
        nodes = parse_rule(rule)
        return cls(circuits, np.ones(1) if nodes is None else 2 * nodes.nodes * nodes.weights)

    @property
    def count(self) -> int:
        """Number of circuits of all steps together."""
        return len(self.steps) * len(self.circuits.plan.circuits)

    @property
    def factor(self) -> float:
        """Variance times all shots relative to that of one exact step: K sum a_k^2 for K steps a_k of equal shots."""
        return float(len(self.steps) * np.sum(self.steps**2))

    def for_cosine(self, cosine: float) -> int:
        """Plan the shots to a cosine: the map is sum a_k times the exact one, its variance `factor` times as large."""
        one = shots_for_cosine(self.circuits.plan, self.circuits.distributions, cosine)
        return max(self.count, int(np.ceil(one * self.factor / self.steps.sum() ** 2)))

    def for_stderr(self, stderr: float) -> int:
        """Plan the shots to a largest standard error."""
        one = shots_for_stderr(self.circuits.plan, self.circuits.distributions, stderr / np.sqrt(self.factor))
        return max(self.count, one)

    def maps(self, shots: int, replicates: int, rng: np.random.Generator) -> FloatArray:
        """Sample maps, (replicates, features), with a number of all shots that is rounded down to whole shots per step."""
        each = shots // len(self.steps)
        return np.asarray(sum(a * self.circuits.values(self.circuits.counts(each, replicates, rng)) for a in self.steps))

    def needed_for_cosine(self, exact: FloatArray, guess: int, rng: np.random.Generator) -> float | None:
        """Find the shots at which the mean cosine of sampled maps is `COSINE`, from 5 numbers between 0.6 and 1.6 of a guess.

        The logarithm of 1/c^2 - 1 is fitted by a line in that of the shots: for many features its slope is -1. None if the
        guess is about one shot per circuit, so that fewer cannot be sampled.
        """
        tried = np.geomspace(0.6, 1.6, 5) * guess
        if tried[0] < self.count:
            return None
        reached = np.array([np.mean(cosines(self.maps(int(shots), _DRAWS, rng), exact)) for shots in tried])
        slope, start = np.polyfit(np.log(tried), np.log(1 / reached**2 - 1), 1)
        return float(np.exp((np.log(1 / COSINE**2 - 1) - start) / slope))


def run(task: Task) -> dict[str, Any]:
    """Plan the shots of each input, find the shots needed, and compute cosines at a few numbers of shots."""
    model, data = trained(task.subject, task.seed)
    x = data.x_test[: task.inputs] / np.linalg.norm(data.x_test[: task.inputs], axis=1, keepdims=True)
    exact = hq.integrated_gradients(model, x, baseline=0.0).values
    names = ("circuits", "cosine shots", "cosine needed", "stderr shots", "stderr needed", "cosine")
    results_of: dict[str, list[Any]] = {name: [] for name in names}
    for i, row in enumerate(x):
        rng = np.random.default_rng([task.seed, i])
        maps = ResampledMaps.simulate(model, row, ESTIMATORS[task.setting])
        stepped = Stepped.by_rule(maps, f"riemann:{STEPS}" if task.setting == "paper" else "exact")
        results_of["circuits"].append(len(maps.plan.circuits))
        results_of["cosine shots"].append(planned := stepped.for_cosine(COSINE))
        results_of["cosine needed"].append(stepped.needed_for_cosine(exact[i], planned, rng))
        results_of["stderr shots"].append(planned := stepped.for_stderr(STDERR))
        worst = int(np.argmax(variances_per_shot(maps.plan, maps.distributions)))
        limited = planned > stepped.count  # by the error, not by one shot per circuit
        results_of["stderr needed"].append(
            planned * np.var(stepped.maps(planned, _MAPS, rng)[:, worst], ddof=1) / STDERR**2 if limited else None
        )
        means = [np.mean(cosines(stepped.maps(n, _DRAWS, rng), exact[i])) if n >= stepped.count else None for n in SHOTS]
        results_of["cosine"].append(means)
    return {"accuracy": accuracies(model, data), "steps": len(stepped.steps)} | results_of


#: Results by subject and setting, one per seed.
_Settings = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]


def _numbers(values: Sequence[float | None]) -> FloatArray:
    """Return numbers with NaN for None."""
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _ratios(results: Sequence[Mapping[str, Any]], what: str) -> list[FloatArray]:
    """Return planned over needed shots, (inputs,) per seed."""
    return [_numbers(r[f"{what} shots"]) / _numbers(r[f"{what} needed"]) for r in results]


def _times(settings: Mapping[str, Sequence[Mapping[str, Any]]], name: str, what: str) -> list[FloatArray]:
    """Return the shots relative to the resolved test on the same input, (inputs,) per seed."""
    pairs = zip(settings[name], settings["resolved"], strict=True)
    return [np.asarray(mine[f"{what} shots"]) / np.asarray(its[f"{what} shots"]) for mine, its in pairs]


def _at(results: Sequence[Mapping[str, Any]], i: int) -> list[FloatArray]:
    """Return the cosines at one of the numbers of shots, (inputs,) per seed; NaN where there are more circuits than shots."""
    return [_numbers([row[i] for row in r["cosine"]]) for r in results]


def summarise(done: Sequence[Done[Task]]) -> Findings:
    """Return budgets, the planner against simulation, and cosines at equal shots."""
    subjects = list(dict.fromkeys(d.task.subject for d in done))
    ordered = sorted(done, key=lambda d: d.task.seed)
    settings: _Settings = {
        s: {name: [d.result for d in ordered if (d.task.subject, d.task.setting) == (s, name)] for name in SETTINGS}
        for s in subjects
    }
    rows: dict[str, list[tuple[str, ...]]] = {"cosine": [], "stderr": []}
    cosine_rows = []
    for s in subjects:
        for name, results in settings[s].items():
            circuits = nested_text([r["circuits"] for r in results], digits=1)
            for what, table in rows.items():
                shots = [np.asarray(r[f"{what} shots"], dtype=float) for r in results]
                a_circuit = [f / np.asarray(r["circuits"]) / r["steps"] for f, r in zip(shots, results, strict=True)]
                times = "1" if name == "resolved" else nested_text(_times(settings[s], name, what), np.median, 1)
                cells = (nested_text(a_circuit, np.median, 0), nested_text(shots, np.median, 0), times)
                table.append((s, name, circuits, str(results[0]["steps"]), *cells, nested_text(_ratios(results, what))))
            cosine_rows.append((s, name, *(nested_text(_at(results, i)) for i in range(len(SHOTS)))))
    sample = f"{quantity(len(settings[subjects[0]]['resolved']), 'seed')} of {quantity(done[0].task.inputs, 'input')}"
    columns = ("model", "setting", "circuits per step", "steps", "shots per circuit", "shots in all", "over resolved")
    return Findings(
        findings=tuple(_finding(s, settings[s]) for s in subjects) + tuple(_verdict(s, settings[s]) for s in subjects),
        not_claimed=(
            "That the paper used these numbers: its steps, shots and their sharing among circuits are unknown; 50 "
            "right-hand steps with equal shots for every circuit are this project's reading of its procedure.",
            "Anything about noisy gates, where the deeper circuits of the paper's setting lose more than shots can buy back.",
        ),
        tables=(
            Table(
                f"Shots to a mean cosine of {COSINE:g} to the exact map, unit inputs, baseline zero; {sample}. Circuits and "
                "planned over needed: means; shots: medians; 95% intervals, bootstrap over seeds and inputs. Needed is where "
                f"sampled maps ({_DRAWS} at each of 5 numbers of shots) reach the cosine.",
                (*columns, "planned / needed"),
                tuple(rows["cosine"]),
            ),
            Table(
                f"Shots so that no feature has a standard error above {STDERR:g}; the same inputs. Needed is by the variance "
                f"of the worst feature over {_MAPS} sampled maps.",
                (*columns, "planned / needed"),
                tuple(rows["stderr"]),
            ),
            Table(
                "Mean cosine to the exact map at equal shots in all; a dash where there are more circuits than shots.",
                ("model", "setting", *(f"{s:,} shots" for s in SHOTS)),
                tuple(cosine_rows),
            ),
        ),
        pictures=(
            Picture(
                png(_figure(settings)),
                f"Top: shots to a cosine of {COSINE:g} (median). Bottom: cosine against shots in all (mean). 95% intervals "
                "over seeds and inputs.",
                "Points of shots for each setting, the resolved test the lowest, and rising curves of cosine against shots",
                "budget",
            ),
        ),
        settings={
            "baseline": "zero",
            "form": "quadratic",
            "inputs": f"{done[0].task.inputs} per seed, scaled to unit norm",
            "paper": f"Hadamard test, riemann:{STEPS}, equal shots per circuit",
            "others": "one exact step, shots in proportion to the largest contribution of each circuit",
        },
        assumptions={
            "circuits": "simulated exactly, without noise",
            "steps against zero": "have the circuits of one step, whose probabilities are computed once",
            "pixels that are 0": "take no circuit",
        },
    )


def _finding(subject: str, settings: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return a sentence on the cost of the paper's setting and of the others relative to the resolved test."""
    medians = {name: nested_text([r["cosine shots"] for r in results], np.median, 0) for name, results in settings.items()}
    circuits = np.mean([np.mean(r["circuits"]) for r in settings["paper"]])
    times = "; ".join(f"{n} {nested_text(_times(settings, n, 'cosine'), np.median, 1)}" for n in settings if n != "resolved")
    return (
        f"{subject}: a cosine of {COSINE:g} takes {medians['resolved']} shots of 1 circuit with the resolved test, and "
        f"{medians['paper']} shots of {circuits:.0f} x {STEPS} circuits in the paper's setting; times the "
        f"resolved test's: {times}."
    )


def _verdict(subject: str, settings: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return a sentence on the largest deviation of the planner from simulation."""
    ratios = [_ratios(results, what) for results in settings.values() for what in ("cosine", "stderr")]
    means = [float(np.nanmean(np.concatenate(r))) for r in ratios if np.isfinite(np.concatenate(r)).any()]
    ends = [nested_interval(r) for r in ratios if np.isfinite(np.concatenate(r)).any()]
    holds = sum(low <= 1 <= high for low, high in ends)
    return (
        f"{subject}: planned over needed shots is {min(means):.3f} to {max(means):.3f} in the mean over inputs, in "
        f"{len(means)} cases of setting and target; the 95% interval holds 1 in {holds} of them."
    )


def _figure(settings: _Settings) -> Figure:
    figure, axes = panels((4.4 * len(settings), 6.0), 2, len(settings), squeeze=False)
    colours = dict(zip(SETTINGS, sns.color_palette("colorblind"), strict=False))
    for (s, of), (top, bottom) in zip(settings.items(), axes.T, strict=True):
        for i, (name, results) in enumerate(of.items()):
            middle, *ends = nested_bootstrap([r["cosine shots"] for r in results], np.median)
            top.errorbar(i, middle, np.abs(ends - middle)[:, np.newaxis], fmt="o", ms=7, color=colours[name], capsize=4)
            at = [k for k in range(len(SHOTS)) if np.isfinite(np.concatenate(_at(results, k))).any()]
            groups = [_at(results, k) for k in at]
            x = [SHOTS[k] for k in at]
            band(bottom, x, groups, color=colours[name], label=name)
        top.set(yscale="log", title=s, ylabel=f"shots to a cosine of {COSINE:g}")
        top.set_xticks(range(len(of)), of, rotation=25, ha="right")
        bottom.axhline(COSINE, ls=":", color="0.4")
        bottom.set(xscale="log", xlabel="shots in all", ylabel="cosine to the exact map", ylim=(None, 1.02))
        bottom.legend(frameon=False, fontsize="x-small", loc="lower right")
    return figure


STUDY = Study("budget", __doc__, tasks, run, summarise)
