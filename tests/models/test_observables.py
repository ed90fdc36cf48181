"""Observables as labels, projectors and matrices: equal to the matrices that they name, in the order of the qubits."""

from __future__ import annotations

from typing import Any

import cirq
import numpy as np
import oracle
import pytest
from hypothesis import given
from strategies import Array, assert_close, generators

import hattriq_cirq as hq
from hattriq_cirq.models.observables import as_pauli_sum

ONE, X, Y, Z = (np.eye(2), *(cirq.unitary(p) for p in (cirq.X, cirq.Y, cirq.Z)))
P0, P1 = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
A, B, C = cirq.LineQubit.range(3)
LINE = [A, B, C]


def kron(*factors: Array) -> Array:
    return np.asarray(np.kron(np.kron(factors[0], factors[1]), factors[2]))


def hermitian(rng: np.random.Generator, k: int) -> Array:
    entries = rng.normal(size=(2**k, 2**k)) + 1j * rng.normal(size=(2**k, 2**k))
    return np.asarray(entries + entries.conj().T)


UNIT = np.eye(8)
LABELS = {
    "Z0": kron(Z, ONE, ONE),
    "0.5*Z0*X2 + Y1": 0.5 * kron(Z, ONE, X) + kron(ONE, Y, ONE),
    " - 2e-1 * X(1)*Z(2) - I/4 ": -0.2 * kron(ONE, X, Z) - 0.25 * np.eye(8),
    "P1(0)": kron(P1, ONE, ONE),
    "P0(2)*P1( 1 )": kron(ONE, P1, P0),
    "|011><011|": np.outer(UNIT[3], UNIT[3]),
    "|011><100| + |100> <011|": np.outer(UNIT[3], UNIT[4]) + np.outer(UNIT[4], UNIT[3]),
    "-(X0 - 2*(Y1 + I))*Z2": -kron(X, ONE, Z) + 2 * kron(ONE, Y, Z) + 2 * kron(ONE, ONE, Z),
    "3*Z0*Z0*Z1": 3 * kron(ONE, Z, ONE),
    "X0*Y0*Z0*X1 - X0*Y0*Z0*X1 + Z2": kron(ONE, ONE, Z),
}


@pytest.mark.parametrize("label", LABELS)
def test_label_equals_the_matrix_that_it_names(label: str) -> None:
    assert_close(oracle.pauli_matrix(as_pauli_sum(label, LINE), LINE), LABELS[label], 1e-14, 1.0)
    named = cirq.NamedQubit.range(3, prefix="q")  # counted by position where qubits have no numbers of their own
    assert_close(oracle.pauli_matrix(as_pauli_sum(label, named), named), LABELS[label], 1e-14, 1.0)


def test_numbers_in_labels_are_those_of_line_qubits_in_any_order() -> None:
    reverse = LINE[::-1]
    assert as_pauli_sum("Z0", reverse) == cirq.PauliSum.from_pauli_strings(cirq.Z(A))
    projector = as_pauli_sum("|011><011|", reverse)  # a basis state has the index of its feature, whatever the order
    assert_close(oracle.pauli_matrix(projector, reverse), LABELS["|011><011|"], 1e-14, 1.0)
    assert as_pauli_sum("X7", [A], [cirq.LineQubit(7)]) == cirq.PauliSum.from_pauli_strings(cirq.X(cirq.LineQubit(7)))


@given(rng=generators)
def test_matrix_acts_on_the_qubits_that_are_named(rng: np.random.Generator) -> None:
    matrix = hermitian(rng, 3)
    assert_close(oracle.pauli_matrix(as_pauli_sum(matrix, LINE), LINE), matrix, 1e-12, np.abs(matrix).max())
    single, k = hermitian(rng, 1), int(rng.integers(3))
    expected = kron(*(single if i == k else ONE for i in range(3)))
    for qubits in (k, [k], [LINE[k]]):
        assert_close(oracle.pauli_matrix(as_pauli_sum((single, qubits), LINE), LINE), expected, 1e-12, 1.0)
    pair = hermitian(rng, 2)
    swapped = cirq.unitary(cirq.SWAP) @ pair @ cirq.unitary(cirq.SWAP)
    forward, backward = as_pauli_sum((pair, [0, 2]), LINE), as_pauli_sum((swapped.tolist(), [2, 0]), LINE)
    assert_close(oracle.pauli_matrix(forward, LINE), oracle.pauli_matrix(backward, LINE), 1e-12, 1.0)


def test_projectors_of_cirq_are_observables() -> None:
    projector = cirq.ProjectorString({A: 1, C: 0}, 2.0)
    assert_close(oracle.pauli_matrix(as_pauli_sum(projector, LINE), LINE), 2 * kron(P1, ONE, P0), 1e-14, 1.0)
    total = cirq.ProjectorSum.from_projector_strings([projector, cirq.ProjectorString({B: 1})])
    expected = 2 * kron(P1, ONE, P0) + kron(ONE, P1, ONE)
    assert_close(oracle.pauli_matrix(as_pauli_sum(total, LINE), LINE), expected, 1e-14, 1.0)


def test_model_and_attribution_take_every_form() -> None:
    model = hq.ring_ansatz(2, 1)
    qubits, x = model.qubits, [0.1, 0.7, 0.5, 0.5]
    matrix = np.diag([0.0, 0.0, 1.0, 1.0])
    forms: list[Any] = ["P1(0)", matrix, ([[0, 0], [0, 1]], 0), 0.5 - 0.5 * cirq.Z(qubits[0])]
    for form in forms:
        assert_close(hq.Model(model.circuit, qubits, form, model.params).expectation(x), 0.5, 1e-12)
    a = hq.integrated_gradients(model, x, baseline=0, head=hq.Head("softmax"), observables=["Z0", "Z1 - X0"])
    b = hq.integrated_gradients(
        model, x, baseline=0, head=hq.Head("softmax"), observables=[cirq.Z(qubits[0]), cirq.Z(qubits[1]) - cirq.X(qubits[0])]
    )
    assert np.array_equal(a.values, b.values)


@pytest.mark.parametrize(
    ("observable", "message"),
    [
        ("Z0 +", "cannot be read because its end is missing"),
        ("Z0 X1", "cannot be read at 'X1'"),
        ("ZZI", "cannot be read at 'ZZI'"),
        ("Z0/0", "cannot be read"),
        ("(Z0", "its end is missing"),
        ("Z3", "names qubit 3, and the model has the qubits 0, 1, 2"),
        ("Z0*X0", "not Hermitian"),
        ("|01><01|", "one digit for each of the 3 data qubits"),
        ("|011><100|", "not Hermitian"),
        ("Z0 - Z0", "observable is zero"),
        (np.eye(4), r"shape \(4, 4\) does not act on 3 qubits"),
        (([[0, 1], [1, 0]], [0, 1]), "does not act on 2 qubits"),
        ((np.eye(4), [1, 1]), "must not repeat"),
        (np.triu(np.ones((8, 8))), "not Hermitian"),
        (np.full((8, 8), np.nan), "not Hermitian"),
        (3, "must be a cirq.PauliString or cirq.PauliSum, a label"),
    ],
)
def test_unreadable_observables_are_refused(observable: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_pauli_sum(observable, LINE)


def test_matrices_and_projectors_of_too_many_strings_are_refused() -> None:
    many = cirq.LineQubit.range(13)
    with pytest.raises(ValueError, match="a Hermitian matrix on 7 qubits has up to 16384 Pauli strings"):
        as_pauli_sum((np.eye(128), range(7)), many)
    with pytest.raises(ValueError, match="on 13 qubits has up to 8192 Pauli strings"):
        as_pauli_sum("|0000000000000><0000000000000|", many)
