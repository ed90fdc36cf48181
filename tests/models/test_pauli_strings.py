"""Pauli strings as masks, compared with Kronecker products."""

from __future__ import annotations

import cirq
import numpy as np
import oracle
import pytest

from hattriq_cirq.models.pauli_strings import PauliObservable, PauliStrings, ProductStates

QUBITS = cirq.LineQubit.range(3)
STRINGS = PauliStrings.every(3)
MATRICES = [oracle.pauli_matrix(cirq.DensePauliString(text).on(*QUBITS), QUBITS) for text in STRINGS.texts]


def random_vectors(count: int, seed: int) -> oracle.Array:
    parts = np.random.default_rng(seed).normal(size=(2, count, 8))
    return np.asarray(parts[0] + 1j * parts[1])


def random_hermitian(seed: int) -> oracle.Array:
    rows = random_vectors(8, seed)
    return np.asarray(rows + rows.conj().T)


def test_every_string_is_listed_once_without_the_identity() -> None:
    assert len(set(STRINGS.texts)) == len(STRINGS) == 63
    assert "III" not in STRINGS.texts
    assert PauliStrings.from_text(STRINGS.texts).texts == STRINGS.texts


def test_coefficients_are_traces_with_the_matrix() -> None:
    matrix = random_hermitian(0)
    expected = [np.trace(pauli @ matrix).real / 8 for pauli in MATRICES]
    np.testing.assert_allclose(STRINGS.coefficients_of(matrix), expected, atol=1e-13)


def test_action_is_the_product_with_the_summed_matrices() -> None:
    coefficients, x = np.random.default_rng(1).normal(size=63), random_vectors(4, 2)
    matrix = sum(c * pauli for c, pauli in zip(coefficients, MATRICES, strict=True))
    np.testing.assert_allclose(STRINGS.action(coefficients, x), x @ np.asarray(matrix).T, atol=1e-12)
    np.testing.assert_allclose(PauliObservable(STRINGS, coefficients, 0.5).matrix, matrix + 0.5 * np.eye(8), atol=1e-12)


def test_action_of_real_strings_on_real_vectors_is_real() -> None:
    strings = STRINGS.select(STRINGS.is_real)
    acted = strings.action(np.ones(len(strings)), np.ones(8))
    assert acted.dtype == float
    np.testing.assert_allclose(acted, strings.action(np.ones(len(strings)), np.ones(8) + 0j), atol=1e-13)


def test_bilinear_weights_are_the_maps_of_single_strings() -> None:
    left, right = random_vectors(2, 3)
    expected = np.array([(left.conj() * (pauli @ right)).real for pauli in MATRICES]).T
    np.testing.assert_allclose(STRINGS.bilinear(left, right), expected, atol=1e-13)


def test_importance_bounds_the_squared_map_of_a_string_and_equals_it_for_real_inputs() -> None:
    left, right = random_vectors(5, 4), random_vectors(5, 5)
    squares = np.mean([np.sum(STRINGS.bilinear(a, b) ** 2, axis=0) for a, b in zip(left, right, strict=True)], axis=0)
    assert (squares <= STRINGS.importance(left, right) + 1e-12).all()
    real = STRINGS.select(STRINGS.is_real)
    squares = np.mean([np.sum(real.bilinear(a, b) ** 2, axis=0) for a, b in zip(left.real, right.real, strict=True)], axis=0)
    np.testing.assert_allclose(real.importance(left.real, right.real), squares, rtol=1e-12)


@pytest.mark.parametrize("flipped", [False, True])
def test_expectations_of_product_states_are_those_of_their_vectors(flipped: bool) -> None:
    rng = np.random.default_rng(6)
    bases = PauliStrings.from_text(["".join(letters) for letters in rng.choice(list("XYZ"), size=(20, 3))])
    states = ProductStates(bases, rng.integers(8, size=20))
    vectors = states.vectors(np.full(20, flipped))
    expected = np.array([[(v.conj() @ pauli @ v).real for pauli in MATRICES] for v in vectors])
    table = states.expectations(STRINGS).toarray()
    if flipped:  # the sign of each Y changes that of a string with an odd number of them
        table = table * np.where(STRINGS.is_real, 1, -1)
    np.testing.assert_allclose(table, expected, atol=1e-13)


@pytest.mark.parametrize("texts", [[], ["XI", "X"], ["XA"], "XI"])
def test_wrong_texts_are_rejected(texts: list[str]) -> None:
    with pytest.raises(ValueError, match="must be texts of one length"):
        PauliStrings.from_text(texts)


def test_state_with_an_identity_is_rejected() -> None:
    with pytest.raises(ValueError, match="must name X, Y or Z for every qubit"):
        ProductStates(PauliStrings.from_text(["XI"]), np.array([0]))
