"""What m ancillas of the parallel Hadamard test buy, circuits, and what they cost, shots and two-qubit gates.

Random models and dense inputs; the variances come from exact distributions, the gates from circuits compiled to CZ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cirq
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

import hattriq_cirq as hq
from experiments.runner.bootstrap import nested_interval, nested_text
from experiments.runner.resampling import ResampledMaps, random_inputs, random_model
from experiments.runner.study import Done, Findings, Study
from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.compilation.gatesets import gateset
from hattriq_cirq.estimators import Estimator
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.pipeline.resources import variances_per_shot
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import png

LAYERS = 3
_COMPILED = 2  # circuits of the first input, evenly spaced
_AMPLITUDES = {"weighted": "a_0 = 1/sqrt 2", "equal": "equal amplitudes"}


@dataclass(frozen=True)
class Task:
    """One random model and its inputs with one estimator: m ancillas, or 0 for the separate Hadamard test."""

    n_qubits: int
    m: int
    weighted: bool
    seed: int
    inputs: int


def tasks(quick: bool) -> list[Task]:
    """Every m on 3, 4 and 5 qubits: ten models of ten inputs; quickly one model of 2 qubits."""
    sizes, seeds, inputs = ((2,), 1, 3) if quick else ((5, 4, 3), 10, 10)
    return [
        Task(n, m, weighted, seed, inputs)
        for n in sizes
        for seed in range(seeds)
        for m in range(n + 2)
        for weighted in ((True, False) if m else (True,))
    ]


def run(task: Task) -> dict[str, Any]:
    """Circuits, the variance of a map times its shots for every input, and compiled two-qubit gates."""
    model = random_model(task.n_qubits, LAYERS, task.seed)
    estimator: Estimator = hq.ParallelHadamardTest(task.m, weighted=task.weighted) if task.m else hq.HadamardTest()
    variances, even, circuits = [], [], []
    gates: list[int] = []
    for x in random_inputs(task.n_qubits, task.seed, task.inputs):
        made = ResampledMaps.of(model, x, estimator)
        variances.append(variances_per_shot(made.plan, made.distributions).sum())
        even.append(variances_per_shot(replace(made.plan, allocation="equal"), made.distributions).sum())
        circuits.append(len(made.plan.circuits))
        if not gates:
            for i in np.unique(np.linspace(0, circuits[0] - 1, _COMPILED).astype(int)):
                built = made.plan.circuits[i].circuit
                gates.append(
                    multi_qubit_gates(cirq.optimize_for_target_gateset(built, gateset=gateset("cz"), ignore_failures=False))
                )
    return {"variance": variances, "even variance": even, "circuits": circuits, "gates": gates}


def components(n_qubits: int, m: int) -> int:
    """Components that a pair of circuits reads: 2**m - 1, at most all."""
    return int(min(2**m - 1, 2**n_qubits))


def circuits_in_theory(n_qubits: int, m: int) -> int:
    """2 ceil(N / (2**m - 1)), N = 2**n; N of the separate test, m = 0."""
    return int(2 * np.ceil(2**n_qubits / components(n_qubits, m)) if m else 2**n_qubits)


def equal_over_weighted(n_qubits: int, m: int) -> float:
    """Shots with equal amplitudes over those with a_0 = 1/sqrt 2.

    Each outcome is worth 1 / (4 a_0 a_j), so variances go like 1 / (p (1 - p)) with p = a_0^2: 1/2, or 1/(1 + components).
    For m <= n the ratio is 2**m / 4 * 2**m / (2**m - 1).
    """
    p = 1 / (1 + components(n_qubits, m))
    return 0.25 / (p * (1 - p))


class _Results:
    """Results by setting."""

    def __init__(self, done: Sequence[Done[Task]]) -> None:
        ordered = sorted(done, key=lambda d: d.task.seed)
        self._of: dict[tuple[int, int, bool], list[Mapping[str, Any]]] = {}
        for d in ordered:
            self._of.setdefault((d.task.n_qubits, d.task.m, d.task.weighted), []).append(d.result)

    @property
    def sizes(self) -> list[int]:
        return sorted({n for n, _, _ in self._of})

    def shots(self, n: int, m: int, weighted: bool = True, over: str = "variance") -> list[FloatArray]:
        """Shots to a given error over those of separate circuits, (inputs,) of each seed."""
        pairs = zip(self._of[n, m, weighted], self._of[n, 0, True], strict=True)
        return [np.asarray(mine["variance"]) / np.asarray(separate[over]) for mine, separate in pairs]

    def equal_over_weighted(self, n: int, m: int) -> list[FloatArray]:
        pairs = zip(self._of[n, m, False], self._of[n, m, True], strict=True)
        return [np.asarray(equal["variance"]) / np.asarray(weighted["variance"]) for equal, weighted in pairs]

    def gates(self, n: int, m: int) -> list[FloatArray]:
        """Two-qubit gates, (compiled circuits,) of each seed."""
        return [np.asarray(r["gates"], dtype=float) for r in self._of[n, m, True]]

    def volume(self, n: int, m: int) -> list[FloatArray]:
        """Shots times mean two-qubit gates over those of separate circuits, (inputs,) of each seed."""
        pairs = zip(self.shots(n, m), self.gates(n, m), self.gates(n, 0), strict=True)
        return [shots * mine.mean() / separate.mean() for shots, mine, separate in pairs]

    def circuits(self, n: int, m: int, weighted: bool = True) -> set[int]:
        return {count for r in self._of[n, m, weighted] for count in r["circuits"]}


def summarise(done: Sequence[Done[Task]]) -> Findings:
    """A row for each n and m."""
    results = _Results(done)
    rows, right, near, ratios, shared, worst = [], [], [], [], [], 0.0
    for n in results.sizes:
        for m in range(n + 2):
            found, theory = results.circuits(n, m), circuits_in_theory(n, m)
            right.append(found == {theory})
            cells = [str(n), str(m or "separate"), "/".join(map(str, sorted(found))), str(theory)]
            if m:
                measured = results.equal_over_weighted(n, m)
                ratio = float(np.mean(np.concatenate(measured)))
                worst = max(worst, abs(ratio / equal_over_weighted(n, m) - 1))
                shared.append(float(np.mean(np.concatenate(results.shots(n, m)))))
                ratios.append(float(np.mean(np.concatenate(results.shots(n, m, over="even variance")))))
                near.append(ratios[-1] <= 1.1)
                cells += [nested_text(results.shots(n, m, over=over)) for over in ("even variance", "variance")]
                cells += [nested_text(results.shots(n, m, False)), nested_text(measured), f"{equal_over_weighted(n, m):.3f}"]
            else:
                cells += ["", "1", "", "", ""]
            rows.append((*cells, nested_text(results.gates(n, m), digits=1), nested_text(results.volume(n, m))))
    largest = results.sizes[-1]
    most = largest + 1
    return Findings(
        findings=(
            f"Circuits: 2 ceil(N / (2^m - 1)), or N for separate ones, in {sum(right)} of {len(right)} rows; on {largest} "
            f"qubits from {circuits_in_theory(largest, 0)} of separate tests to {circuits_in_theory(largest, most)} with "
            f"m = {most}, for {nested_text(results.shots(largest, most))} times the shots to the same L2 error and "
            f"{nested_text(results.gates(largest, most), digits=1)} instead of "
            f"{nested_text(results.gates(largest, 0), digits=1)} two-qubit gates a circuit.",
            f"'No more shots than separate circuits' with a_0 = 1/sqrt 2: within 10% of separate circuits at equal shots in "
            f"{sum(near)} of {len(near)} rows ({'met' if all(near) else 'MISSED'}), the means between {min(ratios):.2f} and "
            f"{max(ratios):.2f}. Separate circuits whose shots follow |x_k| need fewer: beside them "
            f"the means lie between {min(shared):.2f} and {max(shared):.2f}.",
            "Equal amplitudes cost 1 / (4 p (1 - p)) times the shots of a_0 = 1/sqrt 2, p = 1/(1 + components): the mean "
            f"ratios differ from it by at most {worst:.1%}.",
        ),
        not_claimed=("That fewer circuits are worth it: what a circuit costs beside its shots depends on the device.",),
        tables=(
            Table(
                f"Random ring models of {LAYERS} layers, dense unit inputs, baseline zero; {len({d.task.seed for d in done})} "
                f"models of {done[0].task.inputs} inputs. Shots to the same L2 error, relative to separate circuits, whose "
                f"shots follow |x_k| unless said to be equal; two-qubit gates of a circuit compiled to CZ ({_COMPILED} "
                "circuits a model). 95% intervals, bootstrap over models and inputs.",
                (
                    "n",
                    "m",
                    "circuits",
                    "in theory",
                    "shots, a_0 = 1/sqrt 2, over separate at equal shots",
                    "shots, a_0 = 1/sqrt 2",
                    "shots, equal amplitudes",
                    "equal / a_0 = 1/sqrt 2",
                    "in theory",
                    "two-qubit gates",
                    "shots x gates, a_0 = 1/sqrt 2",
                ),
                tuple(rows),
            ),
        ),
        pictures=(
            Picture(
                png(_figure(results)),
                "What m ancillas buy and cost: circuits, shots to the same L2 error relative to separate circuits (solid "
                "a_0 = 1/sqrt 2, dashed equal amplitudes, dotted 2^m / 4), two-qubit gates. Bands are 95% intervals over "
                "models and inputs; m = 0 stands for separate circuits.",
                "Three panels against m: circuits fall, shots rise steeply with equal amplitudes only, gates rise",
                "ancillas",
            ),
        ),
        settings={"baseline": "zero", "form": "quadratic", "layers": str(LAYERS), "n": ", ".join(map(str, results.sizes))},
        assumptions={"circuits": "simulated exactly, without noise", "gates": "compiled to CZ, all pairs coupled"},
    )


def _figure(results: _Results) -> Figure:
    with sns.axes_style("ticks"):
        figure = Figure(figsize=(10.2, 3.4), layout="constrained")
        count, shots, gates = figure.subplots(1, 3)
        for colour, n in zip(sns.color_palette("colorblind"), results.sizes, strict=False):
            m = range(n + 2)
            count.plot(m, [np.mean(list(results.circuits(n, k))) for k in m], "o-", color=colour, label=f"n = {n}")
            for weighted, style in ((True, "-"), (False, "--")):
                _band(shots, m[1:], [results.shots(n, k, weighted) for k in m[1:]], colour, style)
            _band(gates, m, [results.gates(n, k) for k in m], colour, "-")
        m = range(1, results.sizes[-1] + 2)
        shots.plot(m, [2**k / 4 for k in m], ":", color="0.3")
        for ax, label in ((count, "circuits"), (shots, "shots over separate circuits"), (gates, "two-qubit gates a circuit")):
            ax.set(xlabel="ancillas m", ylabel=label)
            ax.set_xticks(range(results.sizes[-1] + 2))
        count.set_yscale("log")
        shots.set_yscale("log", base=2)
        count.legend(frameon=False, fontsize="small")
        for style, label in (("-", _AMPLITUDES["weighted"]), ("--", _AMPLITUDES["equal"]), (":", "2^m / 4")):
            shots.plot([], [], style, color="0.3", label=label)
        shots.legend(frameon=False, fontsize="x-small")
        sns.despine(fig=figure)
    return figure


def _band(ax: Any, at: Sequence[int], groups: Sequence[Any], colour: Any, style: str) -> None:
    """A line of means with the band of their intervals; `groups` has the values of each seed at each point."""
    ax.plot(at, [np.mean(np.concatenate(g)) for g in groups], "o" + style, ms=4, color=colour)
    ax.fill_between(at, *np.array([nested_interval(g) for g in groups]).T, color=colour, alpha=0.25, linewidth=0)


STUDY = Study(
    name="ancillas",
    title="What ancillas buy and cost",
    question="How many circuits do m ancillas of the parallel Hadamard test save, and what do they cost in shots and two-qubit "
    "gates, for m = 1 .. n + 1?",
    tasks=tasks,
    run=run,
    summarise=summarise,
)
