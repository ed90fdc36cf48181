"""Reweighting of maps from approximate encoders: the formula, the standard errors, and the error on images of 256 pixels."""

from __future__ import annotations

from typing import Any

import cirq
import numpy as np
import pytest

import hattriq_cirq as hq
from hattriq_cirq.encoding import ApproximateEncoder, approximate_encoding, encode
from hattriq_cirq.foundation.arrays import FloatArray

ONE_LAYER = ApproximateEncoder(layers=1)


def random_input(features: int, seed: int) -> FloatArray:
    x = np.random.default_rng(seed).normal(size=features)
    return np.where(np.abs(x) < 0.3, 0.0, x)


def relative_errors(maps: FloatArray, exact: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.norm(maps - exact, axis=-1) / np.linalg.norm(exact, axis=-1))


@pytest.mark.parametrize("baseline", [0.0, 0.4])
def test_reweighted_map_has_the_wanted_left_side(baseline: float) -> None:
    model, x = with_random_angles(4), 3 * random_input(16, seed=1)
    left, right = x - baseline, x + baseline
    norms = np.linalg.norm(left), np.linalg.norm(right)
    joint = np.concatenate([left / norms[0], right / norms[1]])
    prepared = np.sqrt(2) * approximate_encoding(joint, cirq.LineQubit.range(5), layers=1).vector
    own, other = prepared[:16], prepared[16:]
    measured = norms[0] * norms[1] * own * model.observable_action(other)
    expected = np.real(measured) * (left / norms[0]) * own / (own**2 + 0.02**2)
    estimator = hq.ResolvedHadamardTest(encoder=ONE_LAYER, reweight=True)
    found = hq.estimate(model, x, baseline=baseline, estimator=estimator, engine=hq.qsim(seed=1), shots=None)
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    assert relative_errors(np.real(measured), expected) > 0.1  # a factor that changes something


def test_reweighted_standard_errors_are_those_of_the_multiplied_counts() -> None:
    model, x = with_random_angles(3), random_input(8, seed=2)

    def run(shots: int | None, *, reweight: bool) -> Any:
        estimator = hq.ResolvedHadamardTest(encoder=ONE_LAYER, reweight=reweight)
        return hq.estimate(model, x, baseline=0, estimator=estimator, engine=hq.qsim(seed=1), shots=shots)

    factors = run(None, reweight=True).values / run(None, reweight=False).values
    plain, reweighted = (run(20_000, reweight=flag) for flag in (False, True))
    np.testing.assert_allclose(reweighted.values, factors * plain.values, atol=1e-6)
    np.testing.assert_allclose(reweighted.covariance, np.outer(factors, factors) * plain.covariance, atol=1e-9)
    assert np.abs(factors - 1).max() > 0.05


def test_reweighting_of_a_state_that_is_prepared_exactly_changes_large_amplitudes_little() -> None:
    x = np.kron(np.kron([0.6, 0.8], [0.8, 0.6]), [1.0, 0.5])  # one layer prepares a product state exactly
    model = with_random_angles(3)
    estimator = hq.ResolvedHadamardTest(encoder=ONE_LAYER, reweight=True)
    found = hq.estimate(model, x, baseline=0, estimator=estimator, engine=hq.qsim(seed=1), shots=None)
    unit = x / np.linalg.norm(x)
    exact = hq.integrated_gradients(model, x, baseline=0).values
    np.testing.assert_allclose(found.values, exact * unit**2 / (unit**2 + 0.02**2), atol=1e-5)


def test_error_on_an_image_of_256_pixels_with_four_layers() -> None:
    data = hq.datasets.load("mnist:pair=0/1,size=16,samples=40")
    model, x = with_random_angles(8), data.x_test[0]
    exact = hq.integrated_gradients(model, x, baseline=0).values
    estimator = hq.ResolvedHadamardTest(encoder=ApproximateEncoder(layers=4), reweight=True)
    found = hq.integrated_gradients(model, x, baseline=0, estimator=estimator, engine=hq.qsim(seed=1), shots=None)
    assert relative_errors(found.values, exact) < 0.16
    assert str(found.assumptions.estimator) == "resolved Hadamard test, approximate encoding of 4 layers, reweighted"


@pytest.mark.slow
def test_error_of_trained_models_on_images_of_256_pixels() -> None:
    for pair, layers in (("0/1", 3), ("3/5", 3), ("1/9", 2)):
        data = hq.datasets.load(f"mnist:pair={pair},size=16")
        model = hq.train(hq.grid_ansatz(2, 4, layers), data.x_train, data.y_train, seed=0, epochs=60).model
        x = data.x_test[:20]
        exact = hq.integrated_gradients(model, x, baseline=0).values
        medians = []
        for reweight in (False, True):
            estimator = hq.ResolvedHadamardTest(encoder=ApproximateEncoder(layers=4), reweight=reweight)
            found = hq.integrated_gradients(model, x, baseline=0, estimator=estimator, engine=hq.qsim(seed=1), shots=None)
            medians.append(float(np.median(relative_errors(found.values, exact))))
        assert medians[1] < min(0.16, 0.8 * medians[0]), (pair, medians)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "reweight=True needs an approximate encoder, not encoder=None"),
        ({"encoder": encode}, "needs an approximate encoder"),
        ({"encoder": ONE_LAYER, "measured": (0,)}, r"needs a value for each feature; leave out measured=\(0,\)"),
    ],
)
def test_reweighting_without_meaning_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hq.ResolvedHadamardTest(reweight=True, **options)


def test_reweighting_of_complex_inputs_is_refused() -> None:
    model = with_random_angles(2)
    estimator = hq.ResolvedHadamardTest(encoder=lambda x, qubits: encode(x, qubits), reweight=True)
    with pytest.raises(ValueError, match="replaces real amplitudes"):
        hq.estimate(model, [0.6, 0.8j, 0, 0], baseline=0, estimator=estimator, engine=hq.qsim(seed=1), shots=None)


def with_random_angles(n: int) -> hq.Model:
    """Return a model with random angles."""
    model = hq.grid_ansatz(2, n // 2, 3) if n == 8 else hq.ring_ansatz(n, 2)
    angles = np.random.default_rng(n).uniform(-3, 3, len(model.params))
    return model.with_params(dict(zip(model.params, angles.tolist(), strict=True)))
