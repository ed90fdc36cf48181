"""Two-qubit gates and depth of every estimator, compiled to three gate sets on a free graph and routed on a virtual processor.

Random ring models and dense inputs, baseline zero, a few circuits of an attribution, evenly spaced; the preparation of the
amplitudes is compiled apart as well. The outcome probabilities of every compiled circuit are compared with its source's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import cirq
import numpy as np

import hattriq_cirq as hq
from experiments.runner.resampling import random_inputs, random_model
from experiments.runner.study import Study
from experiments.studies.compiled_report import FREE, Task, summarise
from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.circuits.errors import CircuitRefusedError
from hattriq_cirq.compilation.compile import physical_circuit
from hattriq_cirq.compilation.gatesets import GATESETS, gateset
from hattriq_cirq.estimators import BilinearTerm, Estimator, WeightedCircuit, plan
from hattriq_cirq.pipeline.prepare import choose_placement
from hattriq_cirq.simulation.statevector import outcome_probabilities

ESTIMATORS: Mapping[str, Estimator] = {
    "resolved": hq.ResolvedHadamardTest(),
    "Hadamard": hq.HadamardTest(),
    "parallel, m=2": hq.ParallelHadamardTest(2),
    "polarization": hq.PolarizationShift(),
    "Hadamard, literal": hq.HadamardTest(literal=True),
} | {f"parallel, m={m}": hq.ParallelHadamardTest(m) for m in (1, 3, 4, 5)}
_MAIN = ("resolved", "Hadamard", "parallel, m=2", "polarization", "Hadamard, literal")
PROCESSOR = "willow_pink"
QUBITS, LAYERS = 4, 3  # where the other of the two varies


def tasks(quick: bool) -> list[Task]:
    """Free graph: five seeds; routed: three, the literal test once for each n up to 4."""
    if quick:
        names, sizes = ("resolved", "parallel, m=2", "polarization"), ((2, LAYERS), (3, LAYERS), (2, 1))
        return [Task(FREE, name, *size, 0, 1) for name in names for size in sizes] + [
            Task(PROCESSOR, "resolved", 2, LAYERS, 0, 1)
        ]
    free = [
        Task(FREE, name, n, layers, seed, 1 if name == "Hadamard, literal" else 2)
        for n, layers in [(n, LAYERS) for n in range(6, 1, -1)] + [(QUBITS, layers) for layers in (1, 2, 4)]
        for name in _MAIN
        if name != "Hadamard, literal" or n <= 4
        for seed in range(5)
    ]
    wide = [Task(FREE, f"parallel, m={m}", QUBITS, LAYERS, seed, 2) for m in (1, 3, 4, 5) for seed in range(5)]
    routed = [Task(PROCESSOR, name, n, LAYERS, seed, 4) for n in range(6, 1, -1) for name in _MAIN[:4] for seed in range(3)]
    literal = [Task(PROCESSOR, "Hadamard, literal", n, LAYERS, 0, 2) for n in (4, 3, 2)]
    return literal + routed + free + wide


def run(task: Task) -> dict[str, Any]:
    """Counts of every compiled circuit; of routed ones also what the processor makes of them, and seconds on this machine."""
    model = random_model(task.n_qubits, task.layers, task.seed)
    (x,) = random_inputs(task.n_qubits, task.seed, 1)
    return _on_processor(task, model, x) if task.graph != FREE else _on_a_free_graph(task, model, x)


def _some(model: hq.Model, x: Any, estimator: Estimator, most: int) -> tuple[list[WeightedCircuit], int]:
    """Circuits of the attribution against zero, at most so many, evenly spaced, and how many there are."""
    readings = plan(estimator, model, [BilinearTerm(x, x)]).circuits
    looked_at = np.unique(np.linspace(0, len(readings) - 1, min(most, len(readings))).astype(int))
    return [readings[i] for i in looked_at], len(readings)


def _on_a_free_graph(task: Task, model: hq.Model, x: Any) -> dict[str, Any]:
    chosen, total = _some(model, x, ESTIMATORS[task.estimator], task.circuits)
    found: dict[str, Any] = {"circuits": total, "built": [multi_qubit_gates(reading.circuit) for reading in chosen]}
    for name in GATESETS:
        start = time.process_time()
        compiled = [_compiled(reading.circuit, name) for reading in chosen]
        seconds = time.process_time() - start
        found[name] = {
            "gates": [multi_qubit_gates(circuit) for circuit in compiled],
            "depth": [two_qubit_depth(circuit) for circuit in compiled],
            "preparation": [multi_qubit_gates(_compiled(reading.preparation, name)) for reading in chosen],
            "off": max(_off(reading.circuit, circuit) for reading, circuit in zip(chosen, compiled, strict=True)),
            "seconds": seconds / len(chosen),
        }
    return found


def _on_processor(task: Task, model: hq.Model, x: Any) -> dict[str, Any]:
    engine, estimator = hq.virtual(task.graph), ESTIMATORS[task.estimator]
    processor = engine.processor
    assert processor is not None
    start = time.process_time()
    try:
        placement = choose_placement(model, estimator, [[BilinearTerm(x, x)]], engine)
        chosen_at = time.process_time()
        assert placement is not None
        chosen, total = _some(model, x, estimator.with_encoder(placement.encoder), task.circuits)
        compiling = time.process_time()
        programs = engine.compile([reading.circuit for reading in chosen], placement)
        done = time.process_time()
    except CircuitRefusedError as error:
        return {"refused": str(error)}
    compiled = {
        request: cirq.resolve_parameters(program.circuit, dict(point))
        for program in programs
        for request, point in zip(program.requests, program.points, strict=True)
    }
    circuits = [compiled[i] for i in range(len(chosen))]
    return {
        "circuits": total,
        "built": [multi_qubit_gates(reading.circuit) for reading in chosen],
        "programs": len(programs),
        "gates": [multi_qubit_gates(circuit) for circuit in circuits],
        "depth": [two_qubit_depth(circuit) for circuit in circuits],
        "preparation": [
            multi_qubit_gates(physical_circuit(processor, reading.preparation, placement.qubits)) for reading in chosen
        ],
        "off": max(_off(reading.circuit, circuit) for reading, circuit in zip(chosen, circuits, strict=True)),
        "fidelity": [processor.fidelity(circuit) for circuit in circuits],
        "us": [processor.duration_ns(circuit) / 1000 for circuit in circuits],
        "place seconds": chosen_at - start,
        "compile seconds": (done - compiling) / len(chosen),
    }


def _compiled(circuit: cirq.AbstractCircuit, name: str) -> cirq.AbstractCircuit:
    return cirq.optimize_for_target_gateset(circuit, gateset=gateset(name), ignore_failures=False)


def _off(source: cirq.AbstractCircuit, compiled: cirq.AbstractCircuit) -> float:
    """The largest deviation of an outcome's probability."""
    return float(np.abs(outcome_probabilities(source) - outcome_probabilities(compiled)).max())


def two_qubit_depth(circuit: cirq.AbstractCircuit) -> int:
    """The longest chain of gates on two or more qubits, each after the one before on a shared qubit."""
    reached: dict[cirq.Qid, int] = {}
    for op in circuit.all_operations():
        if len(op.qubits) > 1 and not cirq.is_measurement(op):
            deep = 1 + max(reached.get(q, 0) for q in op.qubits)
            reached |= dict.fromkeys(op.qubits, deep)
    return max(reached.values(), default=0)


STUDY = Study(
    name="compiled_cost",
    title="What the compiled circuits cost",
    question="How many two-qubit gates, and how deep, are the circuits of each estimator when compiled to CZ, sqrt-iSWAP or "
    "Sycamore gates, on a free graph and routed on a processor, and how do they grow with qubits, layers and ancillas?",
    task=Task,
    tasks=tasks,
    run=run,
    summarise=summarise,
)
main = STUDY.main
