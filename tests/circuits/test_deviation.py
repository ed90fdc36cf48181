"""What noise may leave in outcomes: how it enters the errors of values, and its estimate from residuals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from hattriq_cirq.circuits.deviation import Deviation, Residual, attach
from hattriq_cirq.circuits.linear_maps import LinearMap
from hattriq_cirq.circuits.outcomes import Distribution, OutcomeWeights, QuasiDistribution, SharedUncertainty
from hattriq_cirq.estimators.plan import Estimate

RNG = np.random.default_rng(3)
WEIGHTS = OutcomeWeights(csr_array(RNG.normal(size=(3, 8))))
TRUE = RNG.dirichlet(np.ones(8), size=2)


def estimate(outcomes: list[Distribution | QuasiDistribution]) -> Estimate:
    return Estimate((WEIGHTS,) * len(outcomes), tuple(outcomes), np.zeros(3))


def test_damping_is_one_number_of_all_circuits_and_spread_is_one_of_each_outcome() -> None:
    counted = [Distribution.from_counts(np.rint(p * 10**9).astype(int)) for p in TRUE]
    bare = estimate([*counted])
    damped = estimate(attach(counted, [Deviation(0.3, 0.0)] * 2))
    moved = WEIGHTS @ (TRUE.sum(axis=0) - 2 / 8)
    np.testing.assert_allclose(damped.systematic, np.abs(moved) * (0.7**-1.47 - 1) / 1.96, rtol=1e-6)
    spread = estimate(attach(counted, [Deviation(0.0, 0.1)] * 2))
    sizes = 0.1 * np.sqrt(((TRUE - 1 / 8) ** 2).mean(axis=1).sum())
    np.testing.assert_allclose(spread.systematic, sizes * np.sqrt((WEIGHTS.explicit.toarray() ** 2).sum(axis=1)), rtol=1e-6)
    for each in (damped, spread):
        np.testing.assert_array_equal(each.stderr, bare.stderr)
        np.testing.assert_array_equal(each.covariance, bare.covariance)
        np.testing.assert_allclose(np.diff(each.interval(0.95), axis=0)[0] / 2, 1.96 * each.systematic, rtol=1e-3)
    assert not bare.systematic.any()
    assert not bare.knows_systematic


@pytest.mark.parametrize("damping", [0.05, 0.3, 0.6, 0.8])
def test_interval_holds_a_damping_whose_rates_are_a_third_off(damping: float) -> None:
    """A damping leaves exp(-s) of a signal: the true one is within the interval for every s up to 1.4 times the stated one."""
    for strength in (0.0, 0.7, 1.0, 1.4):
        left = (1 - damping) ** strength
        (outcome,) = attach([Distribution(1 / 8 + left * (TRUE[0] - 1 / 8), None)], [Deviation(damping, 0.0)])
        measured = estimate([outcome])
        low, high = measured.interval(0.95)
        true = WEIGHTS @ TRUE[0]
        assert ((low <= true) & (true <= high)).all()


def test_common_damping_cancels_in_a_ratio() -> None:
    """A map that is divided by its own sum does not depend on a damping that all of it shares."""
    (outcome,) = attach([Distribution(TRUE[0], None)], [Deviation(0.2, 0.0)])
    measured = Estimate(
        (OutcomeWeights(csr_array(WEIGHTS.explicit - WEIGHTS.explicit.mean(axis=1)[:, np.newaxis])),), (outcome,), np.zeros(3)
    )
    total = measured.values.sum()
    jacobian = np.eye(3) / total - np.outer(measured.values, np.ones(3)) / total**2
    assert measured.systematic.min() > 1e-3
    np.testing.assert_allclose(measured.transform(jacobian, measured.values / total).systematic, 0, atol=1e-12)


@pytest.mark.parametrize(("damping", "spread"), [(0.0, 0.0), (0.1, 0.02), (-0.05, 0.1)])
def test_deviation_is_measured_from_counts(damping: float, spread: float) -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(100):
        residuals = []
        for _ in range(8):
            p = rng.dirichlet(np.full(16, 5.0))
            g = p - 1 / 16
            e = rng.normal(size=16)
            e -= e.mean() + g * (e @ g) / (g @ g)
            q = np.maximum(p - damping * g + spread * np.sqrt(np.mean(g**2)) * e, 0)
            counts = Distribution.from_counts(rng.multinomial(10_000_000, q / q.sum()))
            variance = QuasiDistribution.from_outcome(counts).total_variance
            residuals.append(Residual(counts.probabilities - p, g, variance))
        found.append(Deviation.measured(residuals))
    assert np.mean([each.damping for each in found]) == pytest.approx(damping, abs=0.004)
    assert np.mean([each.spread for each in found]) == pytest.approx(spread, rel=0.15, abs=0.005)


def test_nothing_is_measured_from_uniform_references() -> None:
    uniform = Residual(np.array([0.1, -0.1]), np.zeros(2), 0.0)
    assert Deviation.measured([uniform]) == Deviation.measured([]) == Deviation(0.0, 0.0)


def test_total_variance_is_the_sum_of_the_variances_of_all_outcomes() -> None:
    counts = Distribution.from_counts(RNG.integers(1, 100, 8))
    maps = [
        LinearMap((RNG.normal(size=(2, 2)), RNG.normal(size=4))),
        LinearMap((RNG.normal(size=(4, 4)), RNG.normal(size=(2, 2)))),
    ]
    every = OutcomeWeights(csr_array(np.eye(8)))
    for outcome in (QuasiDistribution.from_outcome(counts), *(QuasiDistribution.from_outcome(counts).mapped(m) for m in maps)):
        scaled = QuasiDistribution.combined([-1.5], [outcome])
        near = counts.counts.sum() / (counts.counts.sum() + 4)  # variances are taken at counts with four more shots
        assert scaled.total_variance == pytest.approx(scaled.variances(every).sum(), rel=1 - near**2 + 0.02)


def test_spread_goes_through_maps_and_combinations() -> None:
    key = SharedUncertainty(np.ones((1, 1)))
    one = QuasiDistribution.from_outcome(Distribution(TRUE[0], None)).with_uncertainty(spreads={key: 0.1})
    flipped = one.mapped(LinearMap((np.array([[0.0, 3.0], [3.0, 0.0]]),) + (np.eye(2),) * 2))
    assert flipped.spreads[key] == pytest.approx(0.3)
    assert QuasiDistribution.combined([2.0, -1.0], [one, flipped]).spreads[key] == pytest.approx(-0.1)
    assert one.without_systematic.spreads == {key: 0.1}


def test_what_exceeds_a_stated_variance_makes_it_up() -> None:
    found = Deviation(0.2, 0.1)
    beyond = found.beyond(0.01)
    np.testing.assert_allclose(beyond.variance + 0.01, found.variance)
    np.testing.assert_allclose(beyond.size_of_damping * beyond.left / beyond.spread, found.size_of_damping * found.left / 0.1)
    for damping in (-0.1, 0.6, 0.95):
        np.testing.assert_allclose(Deviation(damping, 0.1).beyond(0.01).variance + 0.01, Deviation(damping, 0.1).variance)
    assert found.beyond(1.0) == Deviation(0.0, 0.0) == Deviation(0.0, 0.0).beyond(0.0)


def test_squared_residuals_of_few_outcomes_scatter_more() -> None:
    """Counts of m equal outcomes among 16 have m - 1 independent errors, whatever the number of outcomes."""
    rng = np.random.default_rng(9)
    for m in (2, 4, 16):
        answer = np.concatenate([np.full(m, 1 / m), np.zeros(16 - m)])
        squares = ((rng.multinomial(1000, answer, size=20_000) / 1000 - answer) ** 2).sum(axis=1)
        residual = Residual(np.zeros(16), answer - 1 / 16, float(squares.mean()))
        np.testing.assert_allclose(residual.degrees, m - 1)
        np.testing.assert_allclose(2 * squares.mean() ** 2 / residual.degrees, squares.var(), rtol=0.1)


def test_copies_of_a_circuit_do_not_average_out_what_a_correction_leaves() -> None:
    """A residual of readout is the same in all gauges of a circuit, and in all its folded copies."""
    copies = attach([Distribution(TRUE[0], None)] * 16, [Deviation(0.1, 0.2)] * 16)
    (one, mean) = (estimate([each]).systematic for each in (copies[0], QuasiDistribution.combined([1 / 16] * 16, copies)))
    np.testing.assert_allclose(mean, one)
    extrapolated = QuasiDistribution.combined([1.5, -0.5], copies[:2])
    np.testing.assert_allclose(estimate([extrapolated]).systematic, one)
