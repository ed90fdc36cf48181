"""The regression of coefficients, its covariance, its prior, and the damping factor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hattriq_cirq.estimators.probe_design import design_probes
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.models.coefficient_fit import CoefficientFit, CoefficientPrior, Damping, ProbeOutcomes, empirical_bayes
from hattriq_cirq.models.pauli_strings import PauliStrings, ProductStates

STRINGS = PauliStrings.every(3)


def states(count: int) -> ProductStates:
    return design_probes(STRINGS, np.ones(63), probes=count, seed=0).states


def outcomes(of: ProductStates, truth: FloatArray, noise: float, rng: np.random.Generator) -> ProbeOutcomes:
    values = of.expectations(STRINGS) @ truth + noise * rng.normal(size=len(of))
    return ProbeOutcomes(of, values, np.full(len(of), noise**2), np.zeros((len(of), 0)))


@pytest.mark.parametrize("count", [30, 200])
def test_fit_is_the_posterior_mean_and_covariance(count: int) -> None:
    rng = np.random.default_rng(1)
    prior = rng.random(63) + 0.1
    data = outcomes(states(count), rng.normal(size=63), 0.3, rng)
    fit = CoefficientFit(STRINGS, data, data.variances, CoefficientPrior.known(prior))
    table = data.states.expectations(STRINGS).toarray()
    covariance = np.linalg.inv(table.T @ table / 0.09 + np.diag(1 / prior))
    np.testing.assert_allclose(fit.coefficients, covariance @ table.T @ data.values / 0.09, atol=1e-9)
    np.testing.assert_allclose(fit.covariance, covariance, atol=1e-9)


def test_least_squares_covariance_with_shared_errors_is_that_of_many_repetitions() -> None:
    rng, truth = np.random.default_rng(2), np.random.default_rng(3).normal(size=63)
    of = states(150)
    slopes = 0.1 * rng.normal(size=(150, 2))
    data = replace(outcomes(of, truth, 0.2, rng), sensitivities=slopes)
    fit = CoefficientFit(STRINGS, data, data.variances, None)
    clean = of.expectations(STRINGS) @ truth
    noisy = clean + 0.2 * rng.normal(size=(20_000, 150)) + rng.normal(size=(20_000, 2)) @ slopes.T
    errors = noisy @ fit.gain.T - truth
    np.testing.assert_allclose(errors.var(axis=0), fit.covariance.diagonal(), rtol=0.08)
    np.testing.assert_allclose(errors.sum(axis=1).var(), fit.covariance.sum(), rtol=0.06)


@pytest.mark.parametrize("count", [40, 300])
def test_empirical_bayes_finds_the_scale_of_each_class(count: int) -> None:
    rng = np.random.default_rng(4)
    scales = np.array([0.5, 0.1, 0.02])
    found = []
    for _ in range(8):
        truth = scales[STRINGS.weights - 1] * rng.normal(size=63)
        data = outcomes(states(count), truth, 0.02, rng)
        prior = empirical_bayes(STRINGS, data, data.variances).variances
        found.append([np.sqrt(prior[STRINGS.weights == weight].mean()) for weight in (1, 2, 3)])
    seen = 3 if count > 63 else 2  # 40 probes hardly see the strings on three qubits
    np.testing.assert_allclose(np.median(found, axis=0)[:seen], scales[:seen], rtol=0.5)


def test_damping_factor_and_its_error_are_those_of_many_campaigns() -> None:
    rng, truth = np.random.default_rng(5), np.random.default_rng(6).normal(size=63) / 8
    of, found = states(200), []
    folded = of.select(np.arange(60))
    for _ in range(300):
        data = outcomes(of, 0.9 * truth, 0.1, rng)
        fit = CoefficientFit(STRINGS, data, data.variances, None)
        deeper = outcomes(folded, 0.9**3 * truth, 0.1, rng)
        damping, _ = Damping.estimate(fit, deeper, deeper.variances, 3)
        spread = damping.gradient @ fit.covariance @ damping.gradient + damping.stderr**2
        found.append((np.log(damping.factor), spread))
    logarithms, variances = np.array(found).T
    assert abs(logarithms.mean() - np.log(0.9)) < 4 * logarithms.std() / np.sqrt(300) + 0.003
    assert np.median(variances) == pytest.approx(logarithms.var(), rel=0.3)


def test_damping_without_signal_is_unknown() -> None:
    rng = np.random.default_rng(7)
    data = outcomes(states(200), np.zeros(63), 0.1, rng)
    fit = CoefficientFit(STRINGS, data, data.variances, None)
    folded = replace(data, values=-(data.states.expectations(STRINGS) @ fit.coefficients))
    damping, slopes = Damping.estimate(fit, folded, data.variances, 3)
    assert (damping.factor, damping.stderr, damping.is_known) == (1.0, 1.0, False)
    assert not slopes.any()
    assert not damping.gradient.any()


@pytest.mark.parametrize("with_prior", [False, True])
def test_damping_factor_is_right_where_errors_are_as_large_as_the_signal(with_prior: bool) -> None:
    rng, truth = np.random.default_rng(8), np.random.default_rng(9).normal(size=63) / 8
    of, logarithms = states(100), []
    prior = CoefficientPrior.known(np.full(63, 1 / 64)) if with_prior else None
    for _ in range(100):
        data = outcomes(of, 0.9 * truth, 0.3, rng)
        deeper = outcomes(of, 0.9**3 * truth, 0.1, rng)
        damping, _ = Damping.estimate(CoefficientFit(STRINGS, data, data.variances, prior), deeper, deeper.variances, 3)
        logarithms.append(np.log(damping.factor))
    assert abs(np.mean(logarithms) - np.log(0.9)) < 4 * np.std(logarithms) / np.sqrt(100) + 0.01


def test_errors_of_scales_widen_the_errors_of_coefficients() -> None:
    rng, scales = np.random.default_rng(10), np.array([0.5, 0.1, 0.02])[STRINGS.weights - 1]
    data = outcomes(states(40), scales * rng.normal(size=63), 0.02, rng)
    known = CoefficientPrior.known(scales**2)
    prior = replace(known, errors=np.eye(3)[STRINGS.weights - 1] * known.variances[:, np.newaxis])
    fit = CoefficientFit(STRINGS, data, data.variances, prior)
    narrow, wide = (CoefficientFit(STRINGS, data, data.variances, each).covariance.diagonal() for each in (known, prior))
    assert (wide >= narrow).all()
    assert wide.sum() > 1.01 * narrow.sum()
    # the change is the derivative of the fit by the scales
    step = 1e-4
    moved = [CoefficientPrior.known(prior.variances + sign * step * prior.errors[:, 1]) for sign in (-1, 1)]
    below, above = (CoefficientFit(STRINGS, data, data.variances, each).coefficients for each in moved)
    derivative = fit.scaled(np.eye(63), fit.gain)[:, 1]
    np.testing.assert_allclose((above - below) / (2 * step), derivative, atol=1e-4 * np.abs(derivative).max())


@pytest.mark.parametrize("count", [40, 200])
def test_doubt_is_an_error_of_the_size_of_the_coefficients(count: int) -> None:
    rng = np.random.default_rng(12)
    of, variances, larger = states(count), np.full(63, 0.01), rng.random(63)
    prior = replace(CoefficientPrior.known(variances), doubt=larger - variances)
    truth = np.sqrt(larger)[:, np.newaxis] * rng.normal(size=(63, 4_000))
    fit = CoefficientFit(STRINGS, outcomes(of, truth[:, 0], 0.1, rng), np.full(count, 0.01), prior)
    values = of.expectations(STRINGS) @ truth + 0.1 * rng.normal(size=(count, 4_000))
    np.testing.assert_allclose(np.var(fit.gain @ values - truth, axis=1), fit.covariance.diagonal(), rtol=0.15)


@pytest.mark.parametrize("count", [60, 200])
def test_few_large_coefficients_are_found_better_than_with_equal_variances(count: int) -> None:
    rng, errors = np.random.default_rng(13), []
    for _ in range(10):
        truth = np.where(rng.random(63) < 0.1, 0.3, 0.003) * rng.normal(size=63)
        data = outcomes(states(count), truth, 0.05, rng)
        priors = (empirical_bayes(STRINGS, data, data.variances), CoefficientPrior.known(np.full(63, np.mean(truth**2))))
        fits = [CoefficientFit(STRINGS, data, data.variances, prior) for prior in priors]
        errors.append([np.linalg.norm(fit.coefficients - truth) for fit in fits])
    heavy, equal = np.median(errors, axis=0)
    assert heavy < 0.7 * equal


def test_empirical_bayes_of_outcomes_without_a_signal_expects_small_coefficients() -> None:
    data = outcomes(states(200), np.zeros(63), 0.1, np.random.default_rng(11))
    prior = empirical_bayes(STRINGS, replace(data, values=np.zeros(200)), data.variances)
    assert (prior.variances > 0).all()
    assert prior.variances.max() < 1e-3
