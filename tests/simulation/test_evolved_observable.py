"""U' O U on the qubits that it acts on, against dense matrices of the whole register."""

from __future__ import annotations

import cirq
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import GATES, amplitudes, assert_close, random_circuit, random_observable

from hattriq_cirq.models.ansatz import ring_ansatz
from hattriq_cirq.simulation import statevector
from hattriq_cirq.simulation.evolved_observable import EvolvedObservable, reaching_gates
from hattriq_cirq.simulation.statevector import constant_gates

QUBITS = cirq.LineQubit.range(6)
seeds = st.integers(0, 10**6)


def evolved(circuit: cirq.Circuit, observable: cirq.PauliSum) -> EvolvedObservable:
    return EvolvedObservable.of(*constant_gates(circuit.freeze(), QUBITS), observable, QUBITS)


def dense(circuit: cirq.Circuit, observable: cirq.PauliSum) -> np.ndarray:
    u = circuit.unitary(qubit_order=QUBITS, qubits_that_should_be_present=QUBITS)
    return np.asarray(u.conj().T @ observable.matrix(QUBITS) @ u)


@pytest.mark.parametrize("chunk", [1, 24, 2**18])
@given(seed=seeds, imaginary=st.booleans(), first=st.integers(0, 4))
def test_product_equals_that_of_the_whole_register_by_gates_and_by_matrix(
    chunk: int, seed: int, imaginary: bool, first: int
) -> None:
    rng = np.random.default_rng(seed)
    couplings = [cirq.CZ(QUBITS[first], QUBITS[first + 1]), cirq.CZ(QUBITS[5], QUBITS[0])]
    rotations = [cirq.ry(rng.normal())(q) for q in QUBITS] + [cirq.rx(rng.normal())(q) for q in QUBITS]
    circuit = cirq.Circuit(rotations, couplings, [op**0.3 for op in rotations])
    observable = cirq.Z(QUBITS[first]) * cirq.X(QUBITS[(first + 2) % 6]) + 0.5 * cirq.Y(QUBITS[first]) + 0.25
    m, x = evolved(circuit, observable), amplitudes(rng, 3, 64, imaginary=imaginary)
    assert len(m.axes) < 6
    expected = x @ dense(circuit, observable).T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statevector, "CHUNK", chunk)
        for _ in range(2):  # gate by gate, then by the matrix
            for real_part in (False, True):
                acted = m.apply(x, "float64", real_part=real_part)
                assert_close(acted, expected.real if real_part else expected, scale=float(np.abs(expected).max()))
            single = m.apply(x.astype(np.complex64 if imaginary else np.float32), "float32", real_part=False)
            assert single.dtype == np.complex64
            assert_close(single, expected, 1e-5, float(np.abs(expected).max()))
            _ = m.matrix
        assert m.has_matrix
    assert_close(m.full_matrix, dense(circuit, observable))


@given(n_qubits=st.integers(1, 5), seed=seeds)
def test_gates_that_are_left_out_cancel(n_qubits: int, seed: int) -> None:
    rng, qubits = np.random.default_rng(seed), QUBITS[:n_qubits]
    circuit, observable = random_circuit(qubits, rng, GATES), random_observable(qubits, rng)
    assert_close(evolved(circuit, observable).full_matrix, dense(circuit, observable))


def test_cone_of_a_shallow_ring_is_as_wide_as_its_layers_reach() -> None:
    rng = np.random.default_rng(0)
    for layers in range(4):
        model = ring_ansatz(12, layers)
        model = model.with_params({name: rng.normal() for name in model.params})
        _, gates = constant_gates(model.resolved_circuit, model.qubits)
        kept = reaching_gates(gates, {0}, set())
        reached = {axis for i in kept for axis in gates[i].axes}
        assert reached == {axis % 12 for axis in range(-layers, layers + 1)}


def test_diagonal_gates_before_a_diagonal_observable_cancel() -> None:
    a, b = QUBITS[:2]
    _, gates = constant_gates(cirq.FrozenCircuit(cirq.H(a), cirq.CZ(a, b), cirq.T(a)), QUBITS)
    assert reaching_gates(gates, {0}, set()) == [0]
    assert reaching_gates(gates, {0}, {0}) == [0, 1, 2]
