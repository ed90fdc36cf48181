"""Correlation orders against dense Pauli decompositions and reduced density matrices."""

from __future__ import annotations

from functools import reduce
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from propagated import propagated_stderr
from strategies import Case, amplitudes, assert_close, cases, generators, random_case
from swept_engine import swept_engine

import hattriq_cirq as hq

PAULIS = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])


def dense_parts(matrix: NDArray[np.complex128], x: NDArray[np.complex128]) -> tuple[list[float], float]:
    """Return the parts of x' M x by weight, and the score of the product of the one-qubit density matrices times |x|^2."""
    n = int(np.log2(len(x)))
    parts, independent, norm = [0.0] * (n + 1), 0.0, np.vdot(x, x).real
    states = []
    for q in range(n):
        columns = np.moveaxis(x.reshape((2,) * n), q, 0).reshape(2, -1)
        states.append(columns @ columns.conj().T / norm)
    for letters in product(range(4), repeat=n):
        string = reduce(np.kron, PAULIS[list(letters)])
        coefficient = np.trace(string @ matrix).real / len(x)
        parts[sum(letter > 0 for letter in letters)] += coefficient * np.vdot(x, string @ x).real
        averages = [np.trace(PAULIS[letter] @ state).real for letter, state in zip(letters, states, strict=True)]
        independent += coefficient * float(np.prod(averages)) * norm
    return parts, independent


@given(case=cases(3), imaginary=st.booleans(), rng=generators)
def test_parts_are_those_of_the_dense_decomposition(case: Case, imaginary: bool, rng: np.random.Generator) -> None:
    xs = amplitudes(rng, 2, case.features, imaginary=imaginary)
    found = hq.correlation_orders(case.model, xs)
    (matrix,) = case.matrices()
    size = float(np.sum(np.abs(xs) ** 2)) * 5
    for row, x in enumerate(xs):
        parts, independent = dense_parts(matrix, x.astype(complex))
        assert_close(found.by_weight[row], np.array(parts), 1e-12, size)
        assert_close(found.product[row], independent, 1e-12, size)
    assert_close(found.total, case.oracle().score(xs), 1e-12, size)


def test_product_states_owe_nothing_to_correlations() -> None:
    case, rng = random_case(3, 9), np.random.default_rng(1)
    x = reduce(np.kron, amplitudes(rng, 3, 2, imaginary=True))
    found = hq.correlation_orders(case.model, x)
    np.testing.assert_allclose(found.product, found.total, atol=1e-12 * np.vdot(x, x).real)


def test_zero_vector_has_zero_parts() -> None:
    found = hq.correlation_orders(hq.ring_ansatz(2, 1), np.zeros(4))
    assert not found.by_weight.any()
    assert not found.product.any()


def test_errors_of_a_learned_model_are_those_of_its_coefficients() -> None:
    model, rng = random_case(2, 11).model, np.random.default_rng(2)
    xs = amplitudes(rng, 2, 4)
    learned = hq.learn_observable(model, engine=swept_engine(4), shots=20_000, inputs=xs, prior="none", seed=4)
    found = hq.correlation_orders(learned, xs)
    assert found.by_weight_stderr.max() > 0
    expected = propagated_stderr(learned, lambda each: hq.correlation_orders(each, xs).by_weight)
    np.testing.assert_allclose(found.by_weight_stderr, expected, rtol=1e-6, atol=1e-9)
    expected = propagated_stderr(learned, lambda each: hq.correlation_orders(each, xs).product)
    np.testing.assert_allclose(found.product_stderr, expected, rtol=1e-6, atol=1e-9)


def test_too_many_qubits_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 10 qubits"):
        hq.correlation_orders(hq.ring_ansatz(11, 1), np.ones(2**11))
