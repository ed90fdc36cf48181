"""Circuits that measure an observable in product states."""

from __future__ import annotations

import cirq
import numpy as np
import oracle
import pytest

import hattriq_cirq as hq
from hattriq_cirq.circuits.program import only_measurement
from hattriq_cirq.estimators.probe_circuits import probe_structures
from hattriq_cirq.models.pauli_strings import PauliStrings, ProductStates
from hattriq_cirq.workflows.generated_models import random_circuit


def random_states(n: int, count: int, seed: int) -> ProductStates:
    rng = np.random.default_rng(seed)
    texts = ["".join(letters) for letters in rng.choice(list("XYZ"), size=(count, n))]
    return ProductStates(PauliStrings.from_text(texts), rng.integers(2**n, size=count))


@pytest.mark.parametrize("seed", range(3))
def test_circuits_and_program_give_the_expectations_of_the_model(seed: int) -> None:
    model, states = random_circuit(3, seed=seed, gates="mixed"), random_states(3, 6, seed)
    flipped = np.arange(6) % 2 == 1
    matrix = oracle.pauli_matrix(model.pauli_sum, model.qubits)
    evolved = states.vectors(flipped) @ oracle.unitary(model.resolved_circuit, model.qubits).T
    expected = np.einsum("sk,kl,sl->s", evolved.conj(), matrix, evolved).real
    total, swept = np.zeros(6), np.zeros(6)
    for structure in probe_structures(model):
        weights = structure.weights.explicit
        total += [(weights @ oracle.distribution(circuit))[0] for circuit in structure.circuits(states, flipped)]
        program = structure.program(states, flipped, range(len(states)))
        points = [cirq.resolve_parameters(program.circuit, dict(point)) for point in program.points]
        swept += [(weights @ oracle.distribution(circuit))[0] for circuit in points]
    np.testing.assert_allclose(total, expected, atol=1e-10)
    np.testing.assert_allclose(swept, expected, atol=1e-10)


def test_strings_that_agree_are_measured_together() -> None:
    a, b, c = cirq.LineQubit.range(3)
    model = hq.ring_ansatz(3, 1).with_observable(cirq.Z(a) + cirq.Z(a) * cirq.X(b) + cirq.X(a) + 2 * cirq.Y(c) + 0.5)
    structures = probe_structures(model)
    assert [[str(term.pauli) for term in each.terms] for each in structures] == [
        ["Z(q(0))", "Z(q(0))*X(q(1))", "Y(q(2))"],
        ["X(q(0))"],
    ]
    assert [each.size for each in structures] == [4.0, 1.0]


def test_only_the_light_cone_runs_and_only_its_qubits_are_read() -> None:
    model = hq.grid_ansatz(2, 4, 1)
    model = model.with_params(dict.fromkeys(model.params, 0.3))
    (structure,) = probe_structures(model)
    circuit = structure.circuits(random_states(8, 1, 0), np.array([False]))[0]
    assert circuit.all_qubits() == {cirq.GridQubit(0, 0), cirq.GridQubit(0, 1), cirq.GridQubit(1, 0)}
    assert only_measurement(circuit).qubits == (cirq.GridQubit(0, 0),)


def test_preparation_takes_no_two_qubit_gate_and_one_structure_serves_all_states() -> None:
    model, states = hq.ring_ansatz(2, 1), random_states(2, 5, 1)
    (structure,) = probe_structures(model.with_params(dict.fromkeys(model.params, 0.3)))
    circuits = structure.circuits(states, np.zeros(5, dtype=bool))
    own = sum(len(op.qubits) == 2 for op in structure.body.all_operations())
    assert own == 1
    assert {sum(len(op.qubits) == 2 for op in circuit.all_operations()) for circuit in circuits} == {own}
    engine = hq.virtual("willow_pink")
    assert len(engine.compile(circuits)) == 1
