"""Gates on batches of state vectors: grouping, compilation and Pauli sums against dense matrices and Cirq's simulator."""

from __future__ import annotations

import cirq
import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import GATES, WIDE_GATES, Case, amplitudes, assert_close, cases, random_circuit, random_observable

from hattriq_cirq.simulation import statevector
from hattriq_cirq.simulation.statevector import WINDOW, FusedCircuit, Gate, Group, PauliAction, compile_circuit, embed, gather


@st.composite
def outlines(draw: st.DrawFn) -> tuple[list[Gate], int]:
    """Return gates of which only the axes are known, up to 6 axes wide, on up to 10 qubits."""
    n_qubits = draw(st.integers(1, 10))
    axes = st.lists(st.integers(0, n_qubits - 1), min_size=1, max_size=min(6, n_qubits), unique=True).map(tuple)
    gates = st.builds(Gate, axes, st.none(), st.booleans())
    return draw(st.lists(gates, max_size=40)), n_qubits


@given(outlines())
def test_gather_keeps_all_gates_and_their_order_on_each_axis(gates_and_size: tuple[list[Gate], int]) -> None:
    gates, n_qubits = gates_and_size
    order = [i for group in gather(gates, n_qubits) for i in group.members]
    assert sorted(order) == list(range(len(gates)))
    for axis in range(n_qubits):
        on_axis = [i for i in order if axis in gates[i].axes]
        assert on_axis == sorted(on_axis)


@given(outlines())
def test_gather_groups_contain_the_axes_of_their_gates(gates_and_size: tuple[list[Gate], int]) -> None:
    gates, n_qubits = gates_and_size
    for group in gather(gates, n_qubits):
        members = [gates[i] for i in group.members]
        if group.axes:
            assert {axis for gate in members for axis in gate.axes} <= set(group.axes)
            assert len(group.axes) <= max(WINDOW, *(len(gate.axes) for gate in members))
        else:
            assert all(gate.diagonal for gate in members)


def test_gather_fuses_neighbouring_gates_into_one_window() -> None:
    gates = [Gate((i, i + 1), None, diagonal=False) for i in range(WINDOW - 1)]
    assert gather(gates, 8) == [Group(tuple(range(WINDOW)), (0, 1, 2))]


def test_gather_fuses_diagonal_gates_into_one_multiplication() -> None:
    gates = [Gate((i, (i + 5) % 10), None, diagonal=True) for i in range(10)]
    assert gather(gates, 10) == [Group((), tuple(range(10)))]


@given(st.permutations(range(5)), st.integers(1, 5), st.integers(0, 10**6))
def test_embed_equals_kronecker_product_with_identity(order: list[int], width: int, seed: int) -> None:
    axes, onto = order[:width], sorted(order)
    matrix = cirq.testing.random_unitary(2**width, random_state=seed)
    qubits = cirq.LineQubit.range(5)
    expected = oracle.unitary(cirq.Circuit(cirq.MatrixGate(matrix).on(*(qubits[a] for a in axes))), qubits)
    assert_close(embed(matrix, axes, onto), expected)


@given(cases())
def test_fused_circuit_equals_unitary_and_adjoint_inverts_it(case: Case) -> None:
    program = compile_circuit(case.circuit, case.qubits)
    u = oracle.unitary(case.circuit, case.qubits)
    assert_close(program.apply(np.eye(case.features)), u)
    assert_close(program.adjoint.apply(np.eye(case.features)), u.conj().T)


@pytest.mark.parametrize("samples", [1, 2, 7, 8, 9])
@pytest.mark.parametrize("n_qubits", [9, 12])
def test_fused_circuit_equals_cirq_simulator_on_many_qubits(n_qubits: int, samples: int) -> None:
    rng = np.random.default_rng(samples)
    qubits = cirq.LineQubit.range(n_qubits)
    circuit = random_circuit(qubits, rng, GATES) + WIDE_GATES[0](*qubits[2:7]) + WIDE_GATES[2](*qubits[::2][:5])
    states = amplitudes(rng, samples, 2**n_qubits, imaginary=True)
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    simulator = cirq.Simulator(dtype=np.complex128)
    expected = [simulator.simulate(circuit, qubit_order=qubits, initial_state=s).final_state_vector for s in states[[0, -1]]]
    result = compile_circuit(circuit, qubits).apply(np.ascontiguousarray(states.T))
    assert_close(result[:, [0, -1]], np.transpose(expected))


def test_real_circuits_stay_real_and_inputs_are_unchanged() -> None:
    qubits = cirq.LineQubit.range(3)
    program = compile_circuit(cirq.Circuit(cirq.H.on_each(*qubits), cirq.CCX(*qubits)), qubits)
    states = np.eye(8)
    result = program.apply(states)
    assert result.dtype == np.float64
    np.testing.assert_array_equal(states, np.eye(8))
    assert program.astype("float32").apply(states.astype(np.float32)).dtype == np.float32


def test_gates_without_decomposition_are_limited_to_ten_qubits() -> None:
    class Opaque(cirq.Gate):
        def __init__(self, width: int) -> None:
            self.width = width

        def _num_qubits_(self) -> int:
            return self.width

        def _unitary_(self) -> np.ndarray:
            return np.asarray(np.diag(np.exp(1j * np.arange(2**self.width))))

        def __repr__(self) -> str:
            return f"Opaque({self.width})"

    qubits = cirq.LineQubit.range(11)
    program = compile_circuit(cirq.Circuit(Opaque(6)(*qubits[:6])), qubits[:6])
    assert_close(program.apply(np.ones((64, 1)))[:, 0], np.exp(1j * np.arange(64)))
    with pytest.raises(ValueError, match=r"Opaque\(11\).* acts on 11 qubits and has no decomposition"):
        compile_circuit(cirq.Circuit(Opaque(11)(*qubits)), qubits)


@given(st.integers(1, 6), st.booleans(), st.booleans(), st.integers(0, 2**31 - 1))
def test_pauli_action_equals_kronecker_products(n: int, identity: bool, imaginary: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    qubits = cirq.LineQubit.range(n)
    observable = random_observable(qubits, rng, identity=identity)
    states = amplitudes(rng, 2**n, 3, imaginary=imaginary)
    action = PauliAction.of(observable, qubits)
    assert_close(action.apply(states), oracle.pauli_matrix(observable, qubits) @ states)
    assert action.apply(states.astype(np.complex64)).dtype == np.complex64


def test_pauli_strings_with_equal_bit_flips_share_one_vector() -> None:
    a, b = cirq.LineQubit.range(2)
    observable = cirq.X(a) * cirq.Z(b) + 2 * cirq.X(a) - cirq.Y(a) * cirq.Z(b) + cirq.Z(b)
    assert [flips for flips, _ in PauliAction.of(observable, [a, b]).phases] == [0, 2]


def test_pauli_action_of_an_empty_sum_is_zero() -> None:
    assert not PauliAction(2, ()).apply(np.ones((4, 3))).any()


@given(cases(), st.integers(0, 2**31 - 1))
def test_qsim_applies_the_unitary_in_single_precision(case: Case, seed: int) -> None:
    states = amplitudes(np.random.default_rng(seed), case.features, 2, imaginary=True)
    result = statevector.qsim_apply(case.circuit, case.qubits, states)
    assert result.dtype == np.complex64
    assert_close(result, oracle.unitary(case.circuit, case.qubits) @ states, 1e-5)


def test_fused_circuit_of_no_gates_is_the_identity() -> None:
    np.testing.assert_array_equal(FusedCircuit(2, ()).apply(np.eye(4)), np.eye(4))


def test_unknown_precision_is_rejected() -> None:
    with pytest.raises(ValueError, match="precision='half' must be 'float64' or 'float32'"):
        statevector.dtypes("half")
