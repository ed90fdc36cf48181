"""Cost of the compiled circuits: two-qubit gates and depth per estimator, on a free graph and on a virtual processor.

How many two-qubit gates, and how deep, are the circuits of each estimator when compiled to CZ, sqrt-iSWAP or Sycamore gates,
on a free graph and routed on a processor, and how do they grow with qubits, layers and ancillas?

Random ring models and dense inputs, baseline zero, a few evenly spaced circuits of an attribution; the preparation of the
amplitudes is also compiled alone. The outcome probabilities of every compiled circuit are compared with those of its source.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cirq
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

import hattriq_cirq as hq
from experiments.runner.bootstrap import bootstrap_text, nested_bootstrap, nested_text
from experiments.runner.estimators import ESTIMATORS
from experiments.runner.figures import band, panels
from experiments.runner.resampling import exponents, random_inputs, random_model
from experiments.runner.study import Done, Findings, Study, results_by
from hattriq_cirq.circuits.counting import multi_qubit_gates, two_qubit_depth
from hattriq_cirq.circuits.errors import CircuitRefusedError
from hattriq_cirq.compilation.compile import physical_circuit
from hattriq_cirq.compilation.gatesets import GATESETS, compile_to_gateset, gateset
from hattriq_cirq.estimators import WeightedCircuit
from hattriq_cirq.foundation.arrays import FloatArray, evenly_spaced
from hattriq_cirq.pipeline.execute import PreparedCircuits
from hattriq_cirq.reporting.document import Picture, Table
from hattriq_cirq.reporting.plotting import png
from hattriq_cirq.simulation.statevector import outcome_probabilities

FREE = "free"
LITERAL = "Hadamard, literal"
COUNTS = ("gates", "preparation", "depth")


@dataclass(frozen=True)
class Task:
    """One estimator on one random model and input, on a graph: `free` or a processor."""

    graph: str
    estimator: str
    n_qubits: int
    layers: int
    seed: int
    circuits: int  # largest number of circuits to compile


def tasks(quick: bool) -> list[Task]:
    """Return five seeds on the free graph and three on a processor, the literal test only for n up to 4."""
    main, processor = ("resolved", "Hadamard", "parallel, m=2", "polarization"), "willow_pink"
    if quick:
        names, sizes = ("resolved", "parallel, m=2", "polarization"), ((2, 3), (3, 3), (2, 1))
        return [Task(FREE, name, *size, 0, 1) for name in names for size in sizes] + [Task(processor, "resolved", 2, 3, 0, 1)]
    free = [
        Task(FREE, name, n, layers, seed, 1 if name == LITERAL else 2)
        for n, layers in [(n, 3) for n in range(6, 1, -1)] + [(4, layers) for layers in (1, 2, 4)]
        for name in (*main, LITERAL)
        if name != LITERAL or n <= 4
        for seed in range(5)
    ]
    wide = [Task(FREE, f"parallel, m={m}", 4, 3, seed, 2) for m in (1, 3, 4, 5) for seed in range(5)]
    routed = [Task(processor, name, n, 3, seed, 4) for n in range(6, 1, -1) for name in main for seed in range(3)]
    return [Task(processor, LITERAL, n, 3, 0, 2) for n in (4, 3, 2)] + routed + free + wide


def run(task: Task) -> dict[str, Any]:
    """Count the gates of compiled circuits, with fidelity and duration on a processor, and measure the time on one core."""
    model = random_model(task.n_qubits, task.layers, task.seed)
    engine = hq.qsim() if task.graph == FREE else hq.virtual(task.graph)
    (x,), processor = random_inputs(task.n_qubits, task.seed, 1), engine.processor
    start = time.process_time()
    try:
        prepared = hq.prepare(model, x, baseline=0, estimator=ESTIMATORS[task.estimator], engine=engine, shots=None)
        placement, seconds = prepared.placement, {"place seconds": time.process_time() - start}
        (inputs,) = prepared.input_plans()
        circuits = evenly_spaced(inputs.plans[0].circuits, task.circuits)
        result = {"circuits": len(inputs.plans[0].circuits), "built": [multi_qubit_gates(c.circuit) for c in circuits]}
        if processor is None or placement is None:
            return result | {name: _on_free_graph(circuits, name) for name in GATESETS}
        logical, start = [c.circuit for c in circuits], time.process_time()
        programs = PreparedCircuits.compile(engine, logical, None, placement=placement).programs
    except CircuitRefusedError as error:
        return {"refused": str(error)}
    seconds["compile seconds"] = (time.process_time() - start) / len(circuits)
    by_request = {
        request: cirq.resolve_parameters(program.circuit, dict(point))
        for program in programs
        for request, point in zip(program.requests, program.points, strict=True)
    }
    compiled = [by_request[i] for i in range(len(circuits))]
    preparations = [physical_circuit(processor, c.preparation, placement.qubits) for c in circuits]
    return {
        **result,
        **_counts(circuits, compiled, preparations),
        **seconds,
        "programs": len(programs),
        "fidelity": [processor.fidelity(circuit) for circuit in compiled],
        "us": [processor.duration_ns(circuit) / 1000 for circuit in compiled],
    }


def _on_free_graph(circuits: Sequence[WeightedCircuit], name: str) -> dict[str, Any]:
    target, start = gateset(name), time.process_time()
    compiled = [compile_to_gateset(c.circuit, target) for c in circuits]
    seconds = (time.process_time() - start) / len(circuits)
    return {**_counts(circuits, compiled, [compile_to_gateset(c.preparation, target) for c in circuits]), "seconds": seconds}


def _counts(
    circuits: Sequence[WeightedCircuit], compiled: Sequence[cirq.AbstractCircuit], preparations: Sequence[cirq.AbstractCircuit]
) -> dict[str, Any]:
    """Count gates and depth, and compute the largest deviation of an outcome probability from that of the source."""
    pairs = [(outcome_probabilities(a.circuit), outcome_probabilities(b)) for a, b in zip(circuits, compiled, strict=True)]
    return {
        "gates": [multi_qubit_gates(circuit) for circuit in compiled],
        "depth": [two_qubit_depth(circuit) for circuit in compiled],
        "preparation": [multi_qubit_gates(circuit) for circuit in preparations],
        "off": max(float(np.abs(a - b).max()) for a, b in pairs),
    }


Results = Sequence[Mapping[str, Any]]
#: Results at each number of qubits, layers or ancillas, one per seed.
Curve = Mapping[int, Results]
#: Results by estimator, qubits and layers.
Grouped = Mapping[tuple[str, int, int], Results]


@dataclass(frozen=True)
class _Curves:
    """Results sorted for tables and figures; `free` and `routed` by estimator, qubits and layers."""

    free: Grouped
    routed: Grouped
    layers: int
    processor: str

    @classmethod
    def sort(cls, done: Sequence[Done[Task]]) -> _Curves:
        ordered = sorted(done, key=lambda d: (d.task.n_qubits, d.task.layers, d.task.seed))
        free, routed = ([d for d in ordered if (d.task.graph == FREE) == where] for where in (True, False))
        names = ("estimator", "n_qubits", "layers")
        layers, processor = max(d.task.layers for d in routed), routed[0].task.graph
        return cls(results_by(free, *names), results_by(routed, *names), layers, processor)

    @property
    def by_qubits(self) -> dict[str, Curve]:
        """Curves against qubits, by estimator, of more than one point."""
        return _curves({(name, n): r for (name, n, layers), r in self.free.items() if layers == self.layers})

    @property
    def by_layers(self) -> dict[str, Curve]:
        """Curves against layers, by estimator, of more than one point."""
        varied = {n for _, n, layers in self.free if layers != self.layers}
        return _curves({(name, layers): r for (name, n, layers), r in self.free.items() if n in varied})


def _curves(points: Mapping[tuple[str, int], Results]) -> dict[str, Curve]:
    curves: dict[str, dict[int, Results]] = {}
    for (name, at), results in points.items():
        curves.setdefault(name, {})[at] = results
    return {name: curve for name, curve in curves.items() if len(curve) > 1}


def summarise(done: Sequence[Done[Task]]) -> Findings:
    """Return tables by gate set, growth, and the circuits on a processor."""
    sorted_results = _Curves.sort(done)
    free, routed, layers, processor = (getattr(sorted_results, n) for n in ("free", "routed", "layers", "processor"))
    by_qubits, by_layers = sorted_results.by_qubits, sorted_results.by_layers
    deviations = [r[name]["off"] for results in free.values() for r in results for name in GATESETS]
    deviations += [r["off"] for results in routed.values() for r in results if "off" in r]
    growth = {name: _exponents(curve, "gates") for name, curve in by_qubits.items() if name != LITERAL}
    growing = "; ".join(f"{name} N^{bootstrap_text(values, digits=2)}" for name, values in growth.items())
    preparing = bootstrap_text(_exponents(by_qubits["resolved"], "preparation"), digits=2)
    worst = max(deviations)
    columns = ("CZ", "sqrt-iSWAP", "Sycamore", "preparation, CZ", "depth, CZ", "seconds, CZ")
    return Findings(
        findings=(
            _comparison(by_qubits),
            f"Every compiled circuit gives its source's outcome probabilities: the largest deviation is {worst:.0e} "
            f"({'within' if worst <= 1e-6 else 'MISSED:'} 1e-6) over {len(deviations)} sets of circuits.",
            f"With the number of amplitudes N, two-qubit gates (CZ) grow like {growing}; the preparation of the resolved test "
            f"like N^{preparing}.",
            _routing(by_qubits, routed, layers, processor),
        ),
        not_claimed=(
            "That exponents of so few qubits hold for larger ones: preparation grows like N, the model's gates like n, and "
            "the fitted exponent lies between.",
            "Anything about images with pixels that are 0, whose preparation is cheaper: inputs are dense.",
            "Seconds of another machine.",
        ),
        tables=(
            Table(
                f"Free graph, {layers} layers: two-qubit gates per circuit in three gate sets, of the preparation alone, "
                f"two-qubit depth, seconds to compile a circuit ({max(map(len, free.values()))} random models and inputs, one "
                "circuit each of the literal test, two of others; means, 95% intervals over models and circuits).",
                ("n", "estimator", *columns),
                tuple((str(n), name, *_free_cells(r)) for (name, n, deep), r in free.items() if deep == layers),
            ),
            Table(
                "Free graph, other layers.",
                ("n", "layers", "estimator", *columns),
                tuple((str(n), str(deep), name, *_free_cells(r)) for (name, n, deep), r in free.items() if deep != layers),
            ),
            Table(
                "Exponents a of gates ~ N^a (N = 2^n) and gates ~ layers^a by least squares of logarithms for each seed, CZ, "
                "free graph; means, 95% intervals, bootstrap over seeds.",
                ("estimator", "gates in N", "preparation in N", "depth in N", "gates in layers"),
                tuple(
                    (
                        name,
                        *(bootstrap_text(_exponents(curve, count)) for count in COUNTS),
                        bootstrap_text(_exponents(by_layers[name], "gates", base=None)) if name in by_layers else "",
                    )
                    for name, curve in by_qubits.items()
                ),
            ),
            Table(
                f"Placed and routed on {processor} (virtual), {layers} layers, CZ: two-qubit gates per circuit, preparation "
                "alone, the fidelity predicted from the calibration, duration, and seconds on one core of this machine to "
                "place an attribution and to compile a circuit (means, 95% intervals over models and circuits; one model of "
                "the literal test, three of others where all were run).",
                ("n", "estimator", "models", "circuits", *COUNTS, "fidelity", "us", "place, s", "compile, s per circuit"),
                tuple((str(n), name, *_routed_cells(results)) for (name, n, _), results in routed.items()),
            ),
        ),
        pictures=(
            Picture(
                png(_figure(sorted_results)),
                "Two-qubit gates of a circuit compiled to CZ: against qubits (solid free graph, dotted its preparation, "
                f"crosses routed on {processor}), layers and ancillas of the parallel test. Bands are 95% intervals over "
                "models and circuits.",
                "Rising lines of two-qubit gates against qubits, layers and ancillas; the literal test far above the others",
                "compiled_cost",
            ),
        ),
        settings={
            "baseline": "zero",
            "model": "ring, random parameters",
            "random inputs": "dense, real",
            "gate sets": ", ".join(GATESETS),
        },
        assumptions={"depth": "the longest chain of two-qubit gates", "free graph": "all pairs coupled"},
    )


def _cz(results: Results, count: str) -> list[FloatArray]:
    """Return gates, depth or preparation in CZ, (circuits,) per seed."""
    return [np.asarray(r["cz"][count], dtype=float) for r in results]


def _exponents(curve: Curve, count: str, base: float | None = 2.0) -> FloatArray:
    """Fit the exponents of the mean over circuits, (seeds,), against base**point, or against the point itself."""
    means = np.array([[group.mean() for group in _cz(results, count)] for results in curve.values()])
    return exponents([at if base is None else base**at for at in curve], means)


def _comparison(by_qubits: Mapping[str, Curve]) -> str:
    """Return a sentence on the gates of each estimator over those of the resolved test, at the most qubits both have."""
    ratios = []
    for name, curve in by_qubits.items():
        if name != "resolved":
            n = max(curve)
            pairs = zip(_cz(curve[n], "gates"), _cz(by_qubits["resolved"][n], "gates"), strict=True)
            ratios.append(f"{name} {nested_text([mine / resolved.mean() for mine, resolved in pairs], digits=2)} (n = {n})")
    return f"Two-qubit gates per circuit over those of the resolved test, CZ on a free graph: {'; '.join(ratios)}."


def _routing(by_qubits: Mapping[str, Curve], routed: Grouped, layers: int, processor: str) -> str:
    """Return a sentence on the gates on the processor over those on a free graph."""
    ratios = []
    for name, curve in by_qubits.items():
        compiled = {n: [r for r in routed.get((name, n, layers), ()) if "gates" in r] for n in curve}
        if n := max((n for n, results in compiled.items() if results), default=0):
            pairs = zip(compiled[n], curve[n], strict=False)
            values = [np.asarray(there["gates"]) / np.mean(here["cz"]["gates"]) for there, here in pairs]
            ratios.append(f"{name} {nested_text(values, digits=2)} (n = {n})")
    return f"Routing on {processor} multiplies two-qubit gates by: {'; '.join(ratios)}."


def _free_cells(results: Results) -> list[str]:
    gates = [[r[name]["gates"] for r in results] for name in GATESETS]
    counts = [_cz(results, count) for count in COUNTS[1:]]
    return [nested_text(groups, digits=1) for groups in (*gates, *counts)] + [
        nested_text([[r["cz"]["seconds"]] for r in results], digits=2)
    ]


def _routed_cells(results: Results) -> list[str]:
    compiled = [r for r in results if "gates" in r]
    if not compiled:
        return [str(len(results)), *["-"] * 7, "refused"]
    counts = [nested_text([r[count] for r in compiled], digits=1) for count in COUNTS]
    predicted = [nested_text([r[name] for r in compiled], digits=2) for name in ("fidelity", "us")]
    seconds = [nested_text([[r[name]] for r in compiled], digits=2) for name in ("place seconds", "compile seconds")]
    return [str(len(compiled)), str(compiled[0]["circuits"]), *counts, *predicted, *seconds]


def _figure(results: _Curves) -> Figure:
    by_qubits, by_layers = results.by_qubits, results.by_layers
    figure, (qubits, deep, wide) = panels((11.0, 3.8), 1, 3)
    for colour, (name, curve) in zip(sns.color_palette("colorblind"), by_qubits.items(), strict=False):
        _plot(qubits, curve, "gates", "o-", color=colour, label=name)
        _plot(qubits, curve, "preparation", "o:", color=colour)
        for n in curve:
            groups = [r["gates"] for r in results.routed.get((name, n, results.layers), ()) if "gates" in r]
            if groups:
                mean, *ends = nested_bootstrap(groups)
                qubits.errorbar(n, mean, np.abs(ends - mean)[:, np.newaxis], fmt="x", color=colour)
        if name in by_layers:
            _plot(deep, by_layers[name], "gates", "o-", color=colour)
    fixed, ancillas = _by_ancillas(results)
    _plot(wide, ancillas, "gates", "o-", color="C7", label="parallel")
    _plot(wide, ancillas, "preparation", "o:", color="C7", label="preparation")
    varied = max((n for _, n, layers in results.free if layers != results.layers), default=0)
    qubits.set(yscale="log", xlabel="qubits n", ylabel="two-qubit gates per circuit", title=f"{results.layers} layers")
    deep.set(yscale="log", xlabel="layers", title=f"n = {varied}")
    wide.set(xlabel="ancillas m", title=f"parallel test, n = {fixed}", ylim=(0, None))
    for ax, curves in ((qubits, by_qubits), (deep, by_layers), (wide, {"parallel": ancillas})):
        ax.set_xticks(sorted({at for curve in curves.values() for at in curve}))
    wide.legend(frameon=False, fontsize="x-small")
    figure.legend(*qubits.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize="small")
    return figure


def _by_ancillas(results: _Curves) -> tuple[int, Curve]:
    """Return the number of qubits at which m of the parallel test varies, or the largest, and the results there by m."""
    points = {
        (int(name.split("=")[1]), n): r for (name, n, d), r in results.free.items() if "m=" in name and d == results.layers
    }
    fixed = max((n for m, n in points if m != 2), default=max(n for _, n in points))
    return fixed, {m: points[m, n] for m, n in sorted(points) if n == fixed}


def _plot(ax: Any, curve: Curve, count: str, style: str, **line: Any) -> None:
    band(ax, list(curve), [_cz(results, count) for results in curve.values()], style, ms=3, **line)


STUDY = Study("compiled_cost", __doc__, tasks, run, summarise)
