"""Distributions of outcomes, and the covariance of values estimated from them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.stats import multinomial
from strategies import Array, generators

from hattriq_cirq.circuits.linear_maps import LinearMap
from hattriq_cirq.circuits.outcomes import Distribution, LinearTerm, QuasiDistribution, SharedUncertainty


def covariance_by_enumeration(probabilities: Array, weights: Array, shots: int) -> Array:
    """Return the covariance over every possible set of counts, each with its multinomial probability."""
    counts = np.array([c for c in product(range(shots + 1), repeat=len(probabilities)) if sum(c) == shots])
    chances = multinomial(shots, probabilities).pmf(counts)
    values = counts / shots @ weights.T
    apart = values - chances @ values
    return np.asarray(apart.T @ (chances[:, np.newaxis] * apart))


@given(bits=st.integers(1, 2), shots=st.integers(1, 4), rng=generators)
def test_covariance_is_that_of_multinomial_counts(bits: int, shots: int, rng: np.random.Generator) -> None:
    probabilities = rng.dirichlet(np.ones(2**bits))
    weights = rng.normal(size=(3, 2**bits)) * (rng.random((3, 2**bits)) < 0.7)
    distribution = Distribution(probabilities, shots)
    likely = (shots * probabilities + 4 / 2**bits) / (shots + 4)
    expected = covariance_by_enumeration(likely, weights, shots)
    np.testing.assert_allclose(distribution.covariance(csr_array(weights)), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(distribution.variances(csr_array(weights)), np.diag(expected), rtol=0, atol=1e-12)


@given(rng=generators)
def test_constant_weights_have_zero_and_no_negative_variance(rng: np.random.Generator) -> None:
    distribution = Distribution(rng.dirichlet(np.ones(8)), 7)
    weights = csr_array(rng.normal(size=(5, 1)) * np.ones(8))
    assert (distribution.variances(weights) >= 0).all()
    np.testing.assert_allclose(distribution.covariance(weights), np.zeros((5, 5)), rtol=0, atol=1e-14)


def test_exact_probabilities_have_no_covariance() -> None:
    distribution = Distribution(np.array([0.5, 0.5]), None)
    weights = csr_array(np.array([[1.0, -1.0], [2.0, 3.0], [0.0, 1.0]]))
    np.testing.assert_array_equal(distribution.covariance(weights), np.zeros((3, 3)))
    np.testing.assert_array_equal(distribution.variances(weights), np.zeros(3))


def test_distribution_from_counts_has_relative_frequencies() -> None:
    distribution = Distribution.from_counts(np.array([3, 0, 1, 4]))
    np.testing.assert_array_equal(distribution.probabilities, [3 / 8, 0, 1 / 8, 4 / 8])
    assert distribution.shots == 8


def test_distribution_probabilities_are_a_read_only_copy() -> None:
    mine = np.array([0.25, 0.75])
    distribution = Distribution(mine, 4)
    mine[:] = 0
    np.testing.assert_array_equal(distribution.probabilities, [0.25, 0.75])
    with pytest.raises(ValueError, match="read-only"):
        distribution.probabilities[0] = 1


def test_quasi_probabilities_may_be_negative() -> None:
    assert Distribution(np.array([1.2, -0.2]), 10).probabilities[1] == -0.2


@pytest.mark.parametrize(
    ("probabilities", "shots", "message"),
    [
        (np.ones(3) / 3, None, "2\\*\\*bits"),
        (np.zeros(0), None, "2\\*\\*bits"),
        (np.ones((2, 2)) / 4, None, "one axis"),
        (np.array([0.5, 0.4]), None, "must be 1"),
        (np.array([0.5, 0.5001]), 10, "must be 1"),
        (np.array([np.nan, 1.0]), None, "must be 1"),
        (np.array([0.5, 0.5]), 0, "at least 1"),
        (np.array([0.5, 0.5]), -3, "at least 1"),
    ],
)
def test_invalid_distributions_are_rejected(probabilities: Array, shots: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Distribution(probabilities, shots)


def test_distribution_without_counts_is_rejected() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Distribution.from_counts(np.zeros(4, dtype=int))


def uncertain(rng: np.random.Generator, shared: list[SharedUncertainty], moved: list[Array]) -> QuasiDistribution:
    """Return an outcome of four probabilities that move along random directions with the shared numbers, now at `moved`."""
    counted = rng.dirichlet(np.ones(4))
    slopes = {each: rng.normal(size=(4, len(each.matrix))) for each in shared}
    for each in slopes.values():
        each -= each.mean(axis=0)
    shifted = counted + sum(slope @ shift for slope, shift in zip(slopes.values(), moved, strict=True))
    return QuasiDistribution((LinearTerm(Distribution(shifted, 1000)),), slopes)


@given(
    coefficients=st.lists(st.floats(-3, 3), min_size=1, max_size=4),
    seed=st.integers(0, 2**31 - 1),
    nested=st.booleans(),
)
def test_shared_uncertainty_of_a_combination_moves_it_as_its_outcomes_move(
    coefficients: list[float], seed: int, nested: bool
) -> None:
    """The combination's own derivatives by each shared number, against the change of its values with that number."""
    shared = [SharedUncertainty(np.diag([0.01, 0.02])), SharedUncertainty(np.array([[0.03]]))]
    weights = csr_array(np.random.default_rng(seed + 1).normal(size=(3, 4)))

    def combination(moved: list[Array]) -> QuasiDistribution:
        rng = np.random.default_rng(seed)
        first, *others = [uncertain(rng, shared[i % 2 :], moved[i % 2 :]) for i in range(len(coefficients))]
        if nested:  # an extrapolation of means over twirls, for instance
            first = QuasiDistribution.combined([0.25, 0.75], [first, uncertain(rng, shared, moved)])
        return QuasiDistribution.combined(coefficients, [first, *others])

    still = [np.zeros(2), np.zeros(1)]
    at_rest, sensitivities = combination(still), combination(still).sensitivities(weights)
    changes: dict[int, list[Array]] = {0: [], 1: []}
    for number, index in ((0, 0), (0, 1), (1, 0)):
        moved = [each.copy() for each in still]
        moved[number][index] = 1e-2
        changes[number].append((combination(moved).expectation(weights) - at_rest.expectation(weights)) / 1e-2)
    found = {each.matrix.shape: moved for each, moved in sensitivities.items()}
    for number, each in enumerate(shared):
        expected = np.array(changes[number]).T
        np.testing.assert_allclose(found.get(each.matrix.shape, 0 * expected), expected, rtol=0, atol=1e-9)


def test_shared_uncertainty_cancels_in_a_difference_of_equal_outcomes() -> None:
    """An error of the calibration moves both ends of a difference alike; an extrapolation keeps it once."""
    shared, slopes = SharedUncertainty(np.array([[0.04]])), np.array([[1.0], [-1.0]])
    ends = [QuasiDistribution((LinearTerm(Distribution(np.array([0.5, 0.5]), 100)),), {shared: slopes}) for _ in range(2)]
    weights = csr_array(np.array([[1.0, -1.0]]))
    for coefficients, expected in (([1.0, -1.0], 0.0), ([1.5, -0.5], 2.0), ([0.5, 0.5], 2.0), ([2.0, 1.0], 6.0)):
        combined = QuasiDistribution.combined(coefficients, ends)
        (moved,) = combined.sensitivities(weights).values()
        assert moved[0, 0] == pytest.approx(expected)
        assert shared.variances(moved)[0] == pytest.approx(0.04 * expected**2)


def test_errors_of_many_terms_are_the_sums_over_terms_whatever_maps_they_share() -> None:
    rng = np.random.default_rng(5)
    flip, damp = LinearMap((np.array([[1.1, -0.2], [-0.1, 1.2]]), np.eye(2))), LinearMap((np.array([1, 1.5, 2.0, 1.2]),))
    counted = [Distribution.from_counts(rng.integers(1, 90, size=4)) for _ in range(6)]
    maps = (None, flip, damp, flip, None, flip)
    terms = [LinearTerm(o, m, scale) for o, m, scale in zip(counted, maps, (0.5, -1.5, 2.0, 0.3, -0.7, 0.0), strict=True)]
    alone = [QuasiDistribution((term,)) for term in terms]
    together = QuasiDistribution((*terms, LinearTerm(Distribution(np.full(4, 0.25), None))))
    weights = csr_array(rng.normal(size=(3, 4)))
    np.testing.assert_allclose(together.variances(weights), np.diag(together.covariance(weights)), rtol=1e-12)
    np.testing.assert_allclose(
        together.variances(weights), np.sum([one.variances(weights) for one in alone], axis=0), rtol=1e-12
    )
    np.testing.assert_allclose(together.steps(weights), np.max([one.steps(weights) for one in alone], axis=0), rtol=1e-12)
    assert together.total_variance == pytest.approx(sum(one.total_variance for one in alone), rel=1e-12)
    every = flip.covariance(csr_array(np.eye(4)), counted[1].probabilities)
    assert alone[1].total_variance == pytest.approx(1.5**2 * np.trace(every) / counted[1].shots, rel=1e-12)
