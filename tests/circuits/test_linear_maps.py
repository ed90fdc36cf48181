"""Linear maps of outcomes: compositions, adjoints and variances, against dense NumPy."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from strategies import Array, generators

from hattriq_cirq.circuits.linear_maps import LinearMap

WIDTHS = st.sampled_from([(1, 1, 1, 1), (2, 2), (1, 3), (3, 1), (4,), (1, 2, 1)])
"""Bits of each factor of a map of four bits."""


def dense(factor: Array) -> Array:
    """Return a factor as a matrix; Walsh coefficients by the Hadamard matrix, entry by entry."""
    if factor.ndim == 2:
        return factor
    size = len(factor)
    hadamard = np.array([[(-1.0) ** (a & b).bit_count() for b in range(size)] for a in range(size)])
    return np.asarray(hadamard @ np.diag(factor) @ hadamard / size)


def random_map(rng: np.random.Generator, widths: tuple[int, ...]) -> tuple[LinearMap, Array]:
    """Return a map of matrices and Walsh coefficients in random order, and its dense matrix."""
    factors = tuple(rng.normal(size=(2**w,) * int(rng.integers(1, 3))) for w in widths)
    return LinearMap(factors), reduce(np.kron, map(dense, factors))


@given(rng=generators, outer=WIDTHS, inner=WIDTHS)
def test_composition_of_linear_maps_is_the_product_of_their_matrices(
    rng: np.random.Generator, outer: tuple[int, ...], inner: tuple[int, ...]
) -> None:
    (first, first_dense), (second, second_dense) = random_map(rng, inner), random_map(rng, outer)
    both, matrix = second @ first, second_dense @ first_dense
    measures = rng.normal(size=(16, 2))
    np.testing.assert_allclose(both.apply(measures), matrix @ measures, atol=1e-9)
    np.testing.assert_allclose(both.adjoint(measures.T), measures.T @ matrix, atol=1e-9)


def test_composition_stays_a_product_over_common_blocks() -> None:
    rng = np.random.default_rng(0)
    (fine, _), (coarse, _) = random_map(rng, (1,) * 8), random_map(rng, (2, 3, 3))
    assert [len(factor) for factor in (coarse @ fine).factors] == [4, 8, 8]
    walsh = LinearMap((np.ones(2**8),))
    assert (walsh @ LinearMap((np.ones(2),) * 8)).factors[0].shape == (256,)  # Walsh coefficients are not made dense
    with pytest.raises(ValueError, match="map of 16 outcomes cannot follow a map of 8"):
        _ = LinearMap((np.eye(16),)) @ LinearMap((np.eye(8),))
    with pytest.raises(ValueError, match="use the same groups"):
        _ = LinearMap((np.eye(2), *(np.eye(4),) * 6)) @ LinearMap((*(np.eye(4),) * 6, np.eye(2)))


@given(rng=generators, widths=WIDTHS, entries=st.integers(0, 4))
def test_linear_map_covariances_are_those_of_the_dense_matrix(
    rng: np.random.Generator, widths: tuple[int, ...], entries: int
) -> None:
    linear_map, matrix = random_map(rng, widths)
    weights = rng.normal(size=(6, 16)) * np.array([rng.permutation(16) < entries for _ in range(6)])
    probabilities = rng.dirichlet(np.ones(16))
    adjoint = weights @ matrix
    mean = adjoint @ probabilities
    expected = (adjoint * probabilities) @ adjoint.T - np.outer(mean, mean)
    np.testing.assert_allclose(linear_map.covariance(csr_array(weights), probabilities), expected, atol=1e-9)
    _, second = linear_map.moments_of(csr_array(weights))(probabilities)
    np.testing.assert_allclose(second - mean**2, np.diag(expected), atol=1e-9)
