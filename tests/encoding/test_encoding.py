"""Exact amplitude encoding: prepared states and two-qubit gate counts."""

from __future__ import annotations

import cirq
import numpy as np
import pytest
from encoded import assert_prepares, cnot_count, max_cnot_count, prepared, unit, vectors
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Array, amplitudes, generators

from hattriq_cirq.encoding.exact import encode, encode_controlled, encode_joint, phase_operations

ANCILLA = cirq.NamedQubit("a")


def line(features: int) -> list[cirq.Qid]:
    return list(cirq.LineQubit.range(features.bit_length() - 1))


# prepared states


@settings(max_examples=150)
@given(x=vectors())
def test_encode_prepares_every_vector_within_the_cnot_bound(x: Array) -> None:
    qubits = line(len(x))
    circuit = encode(x, qubits)
    assert_prepares(circuit, qubits, x)
    assert cnot_count(circuit) <= max_cnot_count(len(qubits), bool(x.imag.any()))


@settings(max_examples=60)
@given(x=vectors())
def test_encode_with_global_phase_keeps_the_phase(x: Array) -> None:
    qubits = line(len(x))
    state = prepared(encode(x, qubits, global_phase=True), qubits)
    np.testing.assert_allclose(state, unit(x), rtol=0, atol=1e-12)


@given(x=vectors())
def test_encode_with_global_phase_can_be_controlled_gate_by_gate(x: Array) -> None:
    qubits = line(len(x))
    inside = encode(x, qubits, global_phase=True)
    circuit = cirq.Circuit(cirq.H(ANCILLA), (op.controlled_by(ANCILLA) for op in inside.all_operations()))
    start = np.eye(len(x))[0]
    expected = np.concatenate([start, unit(x)]) / np.sqrt(2)
    np.testing.assert_allclose(prepared(circuit, [ANCILLA, *qubits]), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("imaginary", [False, True])
@pytest.mark.parametrize("n", range(1, 9))
def test_encode_dense_vectors_of_one_to_eight_qubits(n: int, imaginary: bool) -> None:
    x = amplitudes(np.random.default_rng(n), 2**n, imaginary=imaginary)
    circuit = encode(x, line(2**n))
    assert_prepares(circuit, line(2**n), x)
    assert cnot_count(circuit) <= max_cnot_count(n, imaginary)
    assert imaginary or cnot_count(circuit) <= 2**n - 2


@pytest.mark.parametrize("imaginary", [False, True])
@pytest.mark.parametrize("n", [6, 7, 8])
def test_encode_sparse_vectors_of_many_qubits(n: int, imaginary: bool) -> None:
    rng = np.random.default_rng(n)
    for share in (0.05, 0.5, 0.9):
        x = amplitudes(rng, 2**n, imaginary=imaginary) * (rng.random(2**n) < share)
        circuit = encode(x, line(2**n))
        assert_prepares(circuit, line(2**n), x)
        assert cnot_count(circuit) <= max_cnot_count(n, imaginary)


# two-qubit gate counts


@pytest.mark.parametrize("n", range(1, 9))
def test_uniform_and_one_hot_vectors_need_no_two_qubit_gate(n: int) -> None:
    rng = np.random.default_rng(n)
    one_hots = [factor * np.eye(2**n)[k] for k in {0, int(rng.integers(2**n)), 2**n - 1} for factor in (1.0, -2.0, 1j)]
    for x in [np.ones(2**n), -np.ones(2**n), 1j * np.ones(2**n), *one_hots]:
        circuit = encode(x, line(2**n))
        assert cnot_count(circuit) == 0
        assert_prepares(circuit, line(2**n), x)


@given(x=vectors(), more=st.integers(1, 2), rng=generators)
def test_aligned_zero_blocks_add_no_cnot(x: Array, more: int, rng: np.random.Generator) -> None:
    plain = cnot_count(encode(x, line(len(x))))
    for block in (0, int(rng.integers(2**more))):
        padded = np.kron(np.eye(2**more)[block], x)
        circuit = encode(padded, line(len(padded)))
        assert_prepares(circuit, line(len(padded)), padded)
        assert cnot_count(circuit) <= plain


@given(rows=st.integers(1, 2), cols=st.integers(1, 2), rng=generators)
def test_padded_image_needs_no_more_cnots_than_the_image(rows: int, cols: int, rng: np.random.Generator) -> None:
    image = rng.uniform(0.1, 1, (2**rows, 2**cols))
    padded = np.pad(image, ((0, 2**rows), (0, 2**cols))).reshape(-1)
    assert cnot_count(encode(padded, line(len(padded)))) <= cnot_count(encode(image.reshape(-1), line(image.size)))


# joint and controlled encoding


@settings(max_examples=50)
@given(zero=vectors(4), rng=generators, imaginary=st.booleans())
def test_joint_encoding_prepares_both_branches_exactly(zero: Array, rng: np.random.Generator, imaginary: bool) -> None:
    one = amplitudes(rng, len(zero), imaginary=imaginary)
    qubits = line(len(zero))
    for left, right in ((zero, one), (one, zero), (zero, np.eye(len(zero))[0]), (zero, np.zeros(len(zero))), (0 * one, one)):
        circuit = encode_joint(left, right, ANCILLA, qubits)
        assert_prepares(circuit, [ANCILLA, *qubits], np.concatenate([left, right]))
        assert cnot_count(circuit) <= max_cnot_count(len(qubits) + 1, bool(left.imag.any() or right.imag.any()))


@settings(max_examples=50)
@given(x=vectors())
def test_joint_encoding_of_equal_branches_adds_no_cnot(x: Array) -> None:
    qubits = line(len(x))
    circuit = encode_joint(x, x, ANCILLA, qubits)
    assert_prepares(circuit, [ANCILLA, *qubits], np.concatenate([x, x]))
    assert cnot_count(circuit) <= cnot_count(encode(x, qubits))


@settings(max_examples=40)
@given(x=vectors(4), several=st.integers(1, 2), rng=generators)
def test_controlled_encoding_acts_on_one_value_of_the_ancillas(x: Array, several: int, rng: np.random.Generator) -> None:
    qubits, selecting = line(len(x)), cirq.NamedQubit.range(several, prefix="select")
    value = int(rng.integers(2**several))
    held = unit(amplitudes(rng, 2**several, imaginary=True))
    circuit = encode_controlled(x, selecting, value, qubits)
    start = np.kron(held, np.eye(1, len(x))[0])
    final = cirq.Simulator(dtype=np.complex128).simulate(
        circuit, initial_state=start.astype(np.complex128), qubit_order=[*selecting, *qubits]
    )
    branches = np.outer(held, np.eye(1, len(x))[0]).astype(np.complex128)
    branches[value] = held[value] * unit(x)
    overlap = np.vdot(branches.reshape(-1), final.final_state_vector)
    assert abs(abs(overlap) - 1) < 1e-12


def test_controlled_encoding_rejects_invalid_ancilla_values() -> None:
    for value in (-1, 2):
        with pytest.raises(ValueError, match="must be a state of the 1 ancillas"):
            encode_controlled(np.ones(2), [ANCILLA], value, line(2))
    with pytest.raises(ValueError, match="zero vector"):
        encode_controlled(np.zeros(2), [ANCILLA], 0, line(2))


# phases


@given(n=st.integers(1, 5), rng=generators)
def test_phase_operations_are_exact_on_any_superposition(n: int, rng: np.random.Generator) -> None:
    phases, qubits = rng.uniform(-7, 7, 2**n), line(2**n)
    circuit = cirq.Circuit(phase_operations(phases, qubits))
    actual = circuit.unitary(qubit_order=qubits, qubits_that_should_be_present=qubits)
    expected = np.diag(np.exp(1j * phases))
    np.testing.assert_allclose(actual * (expected[0, 0] / actual[0, 0]), expected, rtol=0, atol=1e-12)
    assert cnot_count(circuit) <= 2**n - 2


@given(n=st.integers(1, 5), rng=generators)
def test_phase_operations_ignore_phases_of_zero_amplitudes(n: int, rng: np.random.Generator) -> None:
    phases, qubits, seen = rng.uniform(-7, 7, 2**n), line(2**n), rng.random(2**n) < 0.5
    seen[rng.integers(2**n)] = True
    circuit = cirq.Circuit(phase_operations(phases, qubits, seen))
    actual = np.diag(circuit.unitary(qubit_order=qubits, qubits_that_should_be_present=qubits))[seen]
    expected = np.exp(1j * phases[seen])
    np.testing.assert_allclose(actual * (expected[0] / actual[0]), expected, rtol=0, atol=1e-12)
    assert cnot_count(circuit) <= 2**n - 2


# invalid arguments


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([0.0, 0.0, 0.0, 0.0], "zero vector"),
        ([1.0, 2.0], r"must end in 2\*\*n_qubits = 4"),
        ([1.0, np.nan, 0.0, 0.0], "not finite"),
        ([1.0, 0.0, np.inf, 0.0], "not finite"),
        (np.ones((2, 4)), "must be one vector"),
    ],
)
def test_encode_rejects_zero_vectors_and_wrong_shapes(x: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode(x, line(4))


@pytest.mark.parametrize(
    ("zero", "one", "message"),
    [
        (np.zeros(4), np.zeros(4), "zero vector"),
        (np.ones(4), np.ones(2), "must"),
        (np.ones(2), np.ones(6), "must"),
        (np.ones(4), [1, 2, np.nan, 0], "one.*not finite"),
    ],
)
def test_joint_encoding_rejects_branches_of_wrong_size(zero: Array, one: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_joint(zero, one, ANCILLA, line(4))
