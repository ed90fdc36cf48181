"""Benefit and cost of ancillas: circuits that the parallel Hadamard test saves, against its shots and two-qubit gates.

How many circuits do m ancillas of the parallel Hadamard test save, and what do they cost in shots and two-qubit gates, for m =
1 .. n + 1?

Random models and dense inputs; the variances are those of exact distributions, the gates those of circuits compiled to CZ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

import hattriq_cirq as hq
from experiments.runner.bootstrap import nested_text
from experiments.runner.figures import band, panels
from experiments.runner.resampling import ResampledMaps, random_inputs, random_model
from experiments.runner.study import Done, Findings, Study, results_by
from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.compilation.gatesets import compile_to_gateset, gateset
from hattriq_cirq.estimators import Estimator
from hattriq_cirq.foundation.arrays import FloatArray, evenly_spaced
from hattriq_cirq.pipeline.resources import variances_per_shot
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import png

_COMPILED = 2  # number of compiled circuits of the first input


@dataclass(frozen=True)
class Task:
    """One random model and its inputs with one estimator: m ancillas, or 0 for the separate Hadamard test."""

    n_qubits: int
    m: int
    weighted: bool
    seed: int
    inputs: int
    layers: int = 3


def tasks(quick: bool) -> list[Task]:
    """Return every m on 3, 4 and 5 qubits for ten models of fifty inputs; for a quick run, one model of 2 qubits."""
    sizes, seeds, inputs = ((2,), 1, 3) if quick else ((5, 4, 3), 10, 50)
    return [
        Task(n, m, weighted, seed, inputs)
        for n in sizes
        for seed in range(seeds)
        for m in range(n + 2)
        for weighted in ((True, False) if m else (True,))
    ]


def run(task: Task) -> dict[str, Any]:
    """Count circuits and compiled two-qubit gates, and compute the variance of the map of every input times its shots."""
    model, target = random_model(task.n_qubits, task.layers, task.seed), gateset("cz")
    estimator: Estimator = hq.ParallelHadamardTest(task.m, weighted=task.weighted) if task.m else hq.HadamardTest()
    maps = [ResampledMaps.simulate(model, x, estimator) for x in random_inputs(task.n_qubits, task.seed, task.inputs)]
    return {
        "variance": [variances_per_shot(each.plan, each.distributions).sum() for each in maps],
        "even variance": [
            variances_per_shot(replace(each.plan, allocation="equal"), each.distributions).sum() for each in maps
        ],
        "circuits": [len(each.plan.circuits) for each in maps],
        "gates": [
            multi_qubit_gates(compile_to_gateset(circuit.circuit, target))
            for circuit in evenly_spaced(maps[0].plan.circuits, _COMPILED)
        ],
    }


def components(n_qubits: int, m: int) -> int:
    """Return the number of components that a pair of circuits estimates: 2**m - 1, at most all."""
    return int(min(2**m - 1, 2**n_qubits))


def circuits_in_theory(n_qubits: int, m: int) -> int:
    """Return 2 ceil(N / (2**m - 1)) for N = 2**n, or N for the separate test, m = 0."""
    return int(2 * np.ceil(2**n_qubits / components(n_qubits, m)) if m else 2**n_qubits)


def equal_over_weighted(n_qubits: int, m: int) -> float:
    """Return the shots with equal amplitudes over the shots with a_0 = 1/sqrt 2.

    Each outcome has the weight 1 / (4 a_0 a_j), so variances are proportional to 1 / (p (1 - p)) with p = a_0^2: 1/2, or
    1/(1 + components). For m <= n the ratio is 2**m / 4 * 2**m / (2**m - 1).
    """
    p = 1 / (1 + components(n_qubits, m))
    return 0.25 / (p * (1 - p))


class _Results:
    """Results by number of qubits, ancillas and kind of amplitudes, one per seed."""

    def __init__(self, done: Sequence[Done[Task]]) -> None:
        self._by = results_by(sorted(done, key=lambda d: d.task.seed), "n_qubits", "m", "weighted")
        self.sizes = sorted({n for n, _, _ in self._by})

    def _ratios(self, mine: tuple[int, int, bool], others: tuple[int, int, bool], over: str = "variance") -> list[FloatArray]:
        """Return the shots to a given error over those of another setting, (inputs,) per seed."""
        pairs = zip(self._by[mine], self._by[others], strict=True)
        return [np.asarray(a["variance"]) / np.asarray(b[over]) for a, b in pairs]

    def shots(self, n: int, m: int, weighted: bool = True, over: str = "variance") -> list[FloatArray]:
        """Return the shots to a given error over those of separate circuits."""
        return self._ratios((n, m, weighted), (n, 0, True), over)

    def equal_over_weighted(self, n: int, m: int) -> list[FloatArray]:
        """Return the shots with equal amplitudes over those with a_0 = 1/sqrt 2."""
        return self._ratios((n, m, False), (n, m, True))

    def gates(self, n: int, m: int) -> list[FloatArray]:
        """Return two-qubit gates, (compiled circuits,) per seed."""
        return [np.asarray(r["gates"], dtype=float) for r in self._by[n, m, True]]

    def volume(self, n: int, m: int) -> list[FloatArray]:
        """Return shots times mean two-qubit gates over those of separate circuits, (inputs,) per seed."""
        pairs = zip(self.shots(n, m), self.gates(n, m), self.gates(n, 0), strict=True)
        return [shots * mine.mean() / separate.mean() for shots, mine, separate in pairs]

    def circuits(self, n: int, m: int) -> set[int]:
        """Return the numbers of circuits."""
        return {count for r in self._by[n, m, True] for count in r["circuits"]}


def summarise(done: Sequence[Done[Task]]) -> Findings:
    """Return the table with a row for each n and m, and its figure."""
    results, layers = _Results(done), done[0].task.layers
    rows, right, equal_shots, shared, worst = [], [], [], [], 0.0
    for n in results.sizes:
        for m in range(n + 2):
            counts, theory = results.circuits(n, m), circuits_in_theory(n, m)
            right.append(counts == {theory})
            cells = ["", "1", "", "", ""]
            if m:
                measured, predicted = results.equal_over_weighted(n, m), equal_over_weighted(n, m)
                worst = max(worst, abs(_mean(measured) / predicted - 1))
                shared.append(_mean(results.shots(n, m)))
                equal_shots.append(_mean(results.shots(n, m, over="even variance")))
                cells = [nested_text(results.shots(n, m, over=over)) for over in ("even variance", "variance")]
                cells += [nested_text(results.shots(n, m, False)), nested_text(measured), f"{predicted:.3f}"]
            gates, volume = nested_text(results.gates(n, m), digits=1), nested_text(results.volume(n, m))
            rows.append((str(n), str(m or "separate"), "/".join(map(str, sorted(counts))), str(theory), *cells, gates, volume))
    largest, near = results.sizes[-1], [ratio <= 1.1 for ratio in equal_shots]
    most = largest + 1
    shots = ("shots, a_0 = 1/sqrt 2, over separate at equal shots", "shots, a_0 = 1/sqrt 2", "shots, equal amplitudes")
    gate_columns = ("two-qubit gates", "shots x gates, a_0 = 1/sqrt 2")
    return Findings(
        findings=(
            f"Circuits: 2 ceil(N / (2^m - 1)), or N for separate ones, in {sum(right)} of {len(right)} rows; on {largest} "
            f"qubits from {circuits_in_theory(largest, 0)} of separate tests to {circuits_in_theory(largest, most)} with "
            f"m = {most}, for {nested_text(results.shots(largest, most))} times the shots to the same L2 error and "
            f"{nested_text(results.gates(largest, most), digits=1)} instead of "
            f"{nested_text(results.gates(largest, 0), digits=1)} two-qubit gates per circuit.",
            f"'No more shots than separate circuits' with a_0 = 1/sqrt 2: within 10% of separate circuits at equal shots in "
            f"{sum(near)} of {len(near)} rows ({'met' if all(near) else 'MISSED'}), the means between {min(equal_shots):.2f} "
            f"and {max(equal_shots):.2f}. Separate circuits whose shots follow |x_k| need fewer: relative to them "
            f"the means lie between {min(shared):.2f} and {max(shared):.2f}.",
            "Equal amplitudes cost 1 / (4 p (1 - p)) times the shots of a_0 = 1/sqrt 2, p = 1/(1 + components): the mean "
            f"ratios differ from it by at most {worst:.1%}.",
        ),
        not_claimed=("That fewer circuits are preferable: what a circuit costs beside its shots depends on the device.",),
        tables=(
            Table(
                f"Random ring models of {layers} layers, dense unit inputs, baseline zero; {len({d.task.seed for d in done})} "
                f"models of {done[0].task.inputs} inputs. Shots to the same L2 error, relative to separate circuits, whose "
                f"shots follow |x_k| unless said to be equal; two-qubit gates of a circuit compiled to CZ ({_COMPILED} "
                "circuits per model). 95% intervals, bootstrap over models and inputs.",
                ("n", "m", "circuits", "in theory", *shots, "equal / a_0 = 1/sqrt 2", "in theory", *gate_columns),
                tuple(rows),
            ),
        ),
        pictures=(
            Picture(
                png(_figure(results)),
                "Benefit and cost of m ancillas: circuits, shots to the same L2 error relative to separate circuits (solid "
                "a_0 = 1/sqrt 2, dashed equal amplitudes, dotted 2^m / 4), two-qubit gates. Bands are 95% intervals over "
                "models and inputs; m = 0 stands for separate circuits.",
                "Three panels against m: circuits fall, shots rise steeply with equal amplitudes only, gates rise",
                "ancillas",
            ),
        ),
        settings={"baseline": "zero", "form": "quadratic"},
        assumptions={"circuits": "simulated exactly, without noise", "gates": "compiled to CZ, all pairs coupled"},
    )


def _mean(groups: Sequence[FloatArray]) -> float:
    return float(np.mean(np.concatenate(groups)))


def _figure(results: _Results) -> Figure:
    figure, (count, shots, gates) = panels((10.2, 3.4), 1, 3)
    for colour, n in zip(sns.color_palette("colorblind"), results.sizes, strict=False):
        m = range(n + 2)
        count.plot(m, [np.mean(list(results.circuits(n, k))) for k in m], "o-", color=colour, label=f"n = {n}")
        for weighted, style in ((True, "o-"), (False, "o--")):
            band(shots, m[1:], [results.shots(n, k, weighted) for k in m[1:]], style, color=colour)
        band(gates, m, [results.gates(n, k) for k in m], color=colour)
    m = range(1, results.sizes[-1] + 2)
    shots.plot(m, [2**k / 4 for k in m], ":", color="0.3")
    for ax, label in ((count, "circuits"), (shots, "shots over separate circuits"), (gates, "two-qubit gates per circuit")):
        ax.set(xlabel="ancillas m", ylabel=label)
        ax.set_xticks(range(results.sizes[-1] + 2))
    count.set_yscale("log")
    shots.set_yscale("log", base=2)
    count.legend(frameon=False, fontsize="small")
    for style, label in (("-", "a_0 = 1/sqrt 2"), ("--", "equal amplitudes"), (":", "2^m / 4")):
        shots.plot([], [], style, color="0.3", label=label)
    shots.legend(frameon=False, fontsize="x-small")
    return figure


STUDY = Study("ancillas", __doc__, tasks, run, summarise)
