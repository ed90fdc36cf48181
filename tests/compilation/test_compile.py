"""Compiled circuits: native gates on couplers, equal to their sources, measured last, within the duration, and sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import cirq
import numpy as np
import pytest

import hattriq_cirq as hq
from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.circuits.errors import CircuitRefusedError
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.compilation.circuit_stack import CircuitStack
from hattriq_cirq.compilation.compile import compile_for, physical_circuit
from hattriq_cirq.compilation.cz import compile_to_cz
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.compilation.snapshot import load_processor
from hattriq_cirq.estimators import BilinearTerm, Estimator, plan
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.models.model import Model
from hattriq_cirq.simulation.statevector import outcome_probabilities

WILLOW = "willow_pink"
PATCH = [cirq.GridQubit(5, 10), cirq.GridQubit(5, 11), cirq.GridQubit(4, 11), cirq.GridQubit(4, 10), cirq.GridQubit(6, 10)]


def ring(n_qubits: int, layers: int = 2) -> Model:
    rng = np.random.default_rng(n_qubits)
    model = hq.ring_ansatz(n_qubits, layers)
    return model.with_params({name: float(rng.normal()) for name in model.params})


def unit_rows(count: int, features: int) -> Array:
    rows = np.random.default_rng(1).normal(size=(count, features))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def circuits_of(estimator: Estimator, model: Model, rows: Array) -> list[cirq.Circuit]:
    return [r.circuit for x in rows for r in plan(estimator, model, [BilinearTerm(x, x)]).circuits]


def on_patch(circuits: Sequence[cirq.AbstractCircuit]) -> dict[cirq.Qid, cirq.Qid]:
    logical = sorted(
        {q for circuit in circuits for q in circuit.all_qubits()}, key=lambda q: (isinstance(q, cirq.NamedQubit), q)
    )
    return dict(zip(logical, PATCH, strict=False))


def independent_probabilities(circuit: cirq.AbstractCircuit) -> FloatArray:
    """Return the outcome probabilities from Cirq's density matrix instead of the library's own state vectors."""
    *_, measurement = circuit.all_operations()
    state = cirq.Simulator(dtype=np.complex128).simulate(circuit[:-1], qubit_order=sorted(circuit.all_qubits()))
    matrix = state.density_matrix_of([*measurement.qubits])
    return np.real(np.diag(matrix))


def check(processor: Processor, circuits: Sequence[cirq.AbstractCircuit], programs: Sequence[ParameterizedCircuit]) -> None:
    """Check all properties of a compiled circuit."""
    assert sorted(i for program in programs for i in program.requests) == list(range(len(circuits)))
    for program in programs:
        processor.device.validate_circuit(program.circuit)
        assert processor.gateset.validate(program.circuit)
        (last,) = program.circuit[-1]
        assert cirq.is_measurement(last)
        assert sum(cirq.is_measurement(op) for op in program.circuit.all_operations()) == 1
        assert processor.duration_ns(program.circuit) <= processor.max_duration_ns
        for request, point in zip(program.requests, program.points, strict=True):
            found = independent_probabilities(cirq.resolve_parameters(program.circuit, dict(point)))
            np.testing.assert_allclose(found, independent_probabilities(circuits[request]), atol=1e-6)


@pytest.mark.parametrize(
    "estimator",
    [
        hq.ResolvedHadamardTest(),
        hq.ResolvedHadamardTest(part="imaginary", measured=(1,)),
        hq.HadamardTest(),
        hq.HadamardTest(literal=True),
        hq.ParallelHadamardTest(2),
        hq.PolarizationShift(),
    ],
    ids=lambda estimator: estimator.describe(),
)
def test_circuits_of_every_estimator_compile_to_valid_circuits(estimator: Estimator) -> None:
    processor, rows = load_processor(WILLOW), unit_rows(1, 4)
    circuits = circuits_of(estimator, ring(2), rows)[:3]
    check(processor, circuits, compile_for(processor, circuits, on_patch(circuits)))


@pytest.mark.parametrize(
    ("processor_id", "gateset"), [("weber", "sycamore"), ("weber", "sqrt_iswap"), ("rainbow", "sqrt_iswap")]
)
def test_compilation_to_other_gate_sets(processor_id: str, gateset: str) -> None:
    processor = load_processor(processor_id, gateset)
    circuits = circuits_of(hq.ResolvedHadamardTest(), ring(2), unit_rows(2, 4))
    middle = max(sorted(processor.graph), key=lambda q: processor.graph.degree(q))
    logical = sorted({q for circuit in circuits for q in circuit.all_qubits()}, key=str)
    placed = dict(zip(logical, [middle, *processor.graph[middle]], strict=False))
    check(processor, circuits, compile_for(processor, circuits, placed))


def test_circuits_of_one_structure_become_one_program_with_a_sweep() -> None:
    processor, rows = load_processor(WILLOW), unit_rows(5, 16)
    circuits = circuits_of(hq.ResolvedHadamardTest(), ring(4), rows)
    programs = compile_for(processor, circuits, on_patch(circuits))
    assert [program.requests for program in programs] == [(0, 1, 2, 3, 4)]
    assert len({tuple(sorted(point.items())) for point in programs[0].points}) == 5
    check(processor, circuits, programs)


def test_sweep_adds_no_two_qubit_gates() -> None:
    processor, rows = load_processor(WILLOW), unit_rows(3, 16)
    for estimator in (hq.ResolvedHadamardTest(), hq.PolarizationShift()):
        circuits = circuits_of(estimator, ring(4), rows)[:4]
        together = compile_for(processor, circuits, on_patch(circuits))
        alone = [multi_qubit_gates(physical_circuit(processor, circuit, on_patch(circuits))) for circuit in circuits]
        for program in together:
            assert multi_qubit_gates(program.circuit) <= min(alone[i] for i in program.requests) + 1


def test_circuits_of_different_structure_become_separate_programs() -> None:
    processor = load_processor(WILLOW)
    rows = np.array([[1.0, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], [0.1, 0.2, 0.3, np.sqrt(0.86)]])
    circuits = circuits_of(hq.ResolvedHadamardTest(), ring(2), rows)
    programs = compile_for(processor, circuits, on_patch(circuits))
    assert len(programs) == 3
    check(processor, circuits, programs)


def test_gates_between_uncoupled_qubits_are_bridged_or_routed() -> None:
    processor = load_processor(WILLOW)
    line = cirq.LineQubit.range(3)
    far = cirq.Circuit(cirq.H.on_each(*line), cirq.CZ(line[0], line[2]), cirq.H.on_each(*line), cirq.measure(*line, key="z"))
    placed: dict[cirq.Qid, cirq.Qid] = dict(zip(line, cirq.GridQubit.rect(1, 3, 5, 9), strict=True))
    programs = compile_for(processor, [far], placed)
    check(processor, [far], programs)
    assert multi_qubit_gates(programs[0].circuit) <= 4


@pytest.mark.parametrize("kept", [(0, 2), (0, 2, 3), (1, 4), (0, 1, 2, 4)])
def test_gates_pass_through_qubits_that_a_circuit_does_not_use(kept: tuple[int, ...]) -> None:
    # some of these subsets of a patch are connected only through its other qubits
    processor, rng = load_processor(WILLOW), np.random.default_rng(len(kept))
    line = [PATCH[i] for i in (2, 1, 0, 4, 3)]
    logical = cirq.LineQubit.range(len(line))
    used = [logical[i] for i in kept]
    circuit = cirq.Circuit()
    for a, b in [*pairwise(used), (used[0], used[-1])]:
        circuit += [cirq.Ry(rads=rng.normal())(a), cirq.Rx(rads=rng.normal())(b), cirq.CZ(a, b) ** rng.uniform(0.2, 0.9)]
    circuit += [cirq.Ry(rads=1)(used[0]), cirq.measure(*used, key="z")]
    check(processor, [circuit], compile_for(processor, [circuit], dict(zip(logical, line, strict=True))))


def test_circuit_above_the_maximum_duration_is_rejected() -> None:
    processor = replace(load_processor(WILLOW), max_duration_ns=500.0)
    circuits = circuits_of(hq.ResolvedHadamardTest(), ring(4), unit_rows(1, 16))
    with pytest.raises(
        CircuitRefusedError, match=r"\d+ two-qubit gates takes [12]\.\d us on willow_pink, which allows 0\.5 us"
    ):
        compile_for(processor, circuits, on_patch(circuits))


def test_operation_that_cannot_be_compiled_is_rejected() -> None:
    qubits = cirq.LineQubit.range(4)
    big = cirq.MatrixGate(cirq.testing.random_unitary(16, random_state=1))(*qubits)
    circuit = cirq.Circuit(big, cirq.measure(*qubits, key="z"))
    with pytest.raises(CircuitRefusedError, match="cannot be compiled for willow_pink"):
        compile_for(load_processor(WILLOW), [circuit], on_patch([circuit]))


def test_compiled_circuit_that_differs_from_its_source_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    circuits = circuits_of(hq.ResolvedHadamardTest(), ring(2), unit_rows(1, 4))

    def forgetful(stack: CircuitStack, couplers: object) -> list[CircuitStack]:
        (compiled,) = compile_to_cz(stack, couplers)  # type: ignore[arg-type]
        return [replace(compiled, steps=compiled.steps[1:])]

    monkeypatch.setattr("hattriq_cirq.compilation.native.compile_to_cz", forgetful)
    with pytest.raises(CircuitRefusedError, match="differs from its source by"):
        compile_for(load_processor(WILLOW), circuits, on_patch(circuits))


def test_outcome_probabilities_follow_the_order_of_measured_qubits() -> None:
    a, b, c = cirq.LineQubit.range(3)
    circuit = cirq.Circuit(cirq.ry(0.3)(a), cirq.ry(1.1)(b), cirq.CNOT(b, c), cirq.H(a), cirq.measure(c, a, key="z"))
    np.testing.assert_allclose(outcome_probabilities(circuit), independent_probabilities(circuit), atol=1e-12)
