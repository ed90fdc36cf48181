"""The gradient of a quadratic form: exact against finite differences, from circuits and from learned models with errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from entangled_pair import CIRCUIT, ESTIMATORS, LINE, MODEL, OBSERVABLE, X
from oracle import pauli_matrix, unitary
from strategies import Array
from swept_engine import swept_engine

import hattriq_cirq as hq
from hattriq_cirq.workflows.generated_models import random_grid

U = unitary(CIRCUIT, LINE)
M = U.conj().T @ pauli_matrix(OBSERVABLE, LINE) @ U


def test_exact_gradient_is_that_of_finite_differences() -> None:
    found = hq.gradient(MODEL, X)
    step = 1e-6

    def slope(direction: Array) -> float:
        ends = [X + sign * step * direction for sign in (1, -1)]
        first, second = (np.vdot(end, M @ end).real for end in ends)
        return float((first - second) / (2 * step))

    np.testing.assert_allclose(found.real, [slope(e) for e in np.eye(4)], atol=1e-8)
    np.testing.assert_allclose(found.imag, [slope(1j * e) for e in np.eye(4)], atol=1e-8)
    np.testing.assert_allclose(found.values, 2 * M @ X, atol=1e-12)
    assert found.covariance.shape == (8, 8)
    assert not found.covariance.any()
    assert not found.real_stderr.any()


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
@pytest.mark.parametrize("x", [X, X.real, 1e150 * X, 1e-150 * X], ids=["complex", "real", "large", "small"])
def test_gradient_from_circuits_without_noise_is_exact(estimator: Any, x: Array) -> None:
    found = hq.gradient(MODEL, x, estimator=estimator, engine=hq.cirq_simulator(), shots=None)
    np.testing.assert_allclose(found.values, 2 * M @ x, rtol=0, atol=1e-12 * np.abs(x).max())
    np.testing.assert_allclose(found.real, hq.gradient(MODEL, x).real, rtol=0, atol=1e-12 * np.abs(x).max())
    assert found.cost.circuits > 0


@pytest.mark.parametrize("estimator", [hq.ResolvedHadamardTest(), hq.HadamardTest()], ids=str)
def test_covariance_of_a_measured_gradient_is_that_of_repetitions(estimator: Any) -> None:
    exact = np.concatenate([(2 * M @ X).real, (2 * M @ X).imag])
    engine, repeated = hq.qsim(seed=2, threads=1), 15
    found = [hq.gradient(MODEL, X, estimator=estimator, engine=engine, shots=4000) for _ in range(repeated)]
    pulls = np.array(
        [(np.concatenate([g.real, g.imag]) - exact) / np.concatenate([g.real_stderr, g.imag_stderr]) for g in found]
    )
    assert np.all(np.abs(np.sqrt(np.mean(pulls**2, axis=0)) - 1) < 0.6)
    # chi squared of all derivatives together, whose mean is their number
    used = np.linalg.matrix_rank(found[0].covariance)
    chi = [
        d @ np.linalg.pinv(g.covariance, hermitian=True) @ d for g in found for d in [np.concatenate([g.real, g.imag]) - exact]
    ]
    assert abs(np.mean(chi) / used - 1) < 5 * np.sqrt(2 / used / repeated)
    inside = [
        (lo.real <= exact[:4]) & (exact[:4] <= hi.real) & (lo.imag <= exact[4:]) & (exact[4:] <= hi.imag)
        for lo, hi in (g.interval(0.99) for g in found)
    ]
    assert np.mean(inside) > 0.95
    assert found[0].cost.shots == 4000


def test_gradient_of_a_batch_has_the_shape_of_the_batch() -> None:
    batch = np.stack([[X, 2 * X], [X.conj(), 0 * X]])
    found = hq.gradient(MODEL, batch, estimator=hq.ResolvedHadamardTest(), engine=hq.cirq_simulator(seed=1), shots=2000)
    assert found.real.shape == found.imag_stderr.shape == (2, 2, 4)
    assert found.covariance.shape == (2, 2, 8, 8)
    np.testing.assert_allclose(
        np.sqrt(np.diagonal(found.covariance, axis1=-2, axis2=-1))[..., :4], found.real_stderr, atol=1e-12
    )
    assert not found.values[1, 1].any()
    assert np.all(np.abs(found.real - (2 * batch @ M.T).real) <= 5 * found.real_stderr + 1e-12)


def test_gradient_of_a_learned_model_has_its_errors() -> None:
    model = hq.ring_ansatz(2, layers=1)
    model = model.with_params({name: 0.1 * i for i, name in enumerate(sorted(model.params))})
    exact = hq.gradient(model, X.real)
    found = []
    for seed in range(6):
        learned = hq.learn_observable(
            model, engine=hq.qsim(seed=seed, threads=1), shots=3000, seed=seed, prior="none", probes=60
        )
        own = hq.gradient(learned, X.real)
        np.testing.assert_allclose(own.real, 2 * np.real(learned.observable_action(X.real)), atol=1e-12)
        np.testing.assert_allclose(
            np.sqrt(np.diag(own.covariance)), np.concatenate([own.real_stderr, own.imag_stderr]), atol=1e-9
        )
        found.append((own.real - exact.real) / own.real_stderr)
    assert 0.4 < np.sqrt(np.mean(np.square(found))) < 1.7


def test_systematic_part_of_a_learned_gradient_is_that_of_its_damping_and_list() -> None:
    model, x = random_grid(2, 2, 2, seed=1), np.random.default_rng(1).normal(size=(2, 16))
    options: dict[str, Any] = {"engine": swept_engine(2), "shots": 50_000, "inputs": x, "seed": 1}
    learned = hq.learn_observable(model, mitigation="damping", **options)
    found = hq.gradient(learned, x)
    assert found.systematic is not None
    assert learned.damping is not None
    np.testing.assert_allclose(found.systematic[:, :16], np.abs(found.real) * learned.damping.stderr, rtol=1e-9)
    assert not found.systematic[:, 16:].any()
    total = learned.propagate(learned.strings.bilinear(np.full(16, 2.0), x[1])).covariance  # with both parts
    scaled = found.real[1] * learned.damping.stderr
    np.testing.assert_allclose(found.covariance[1, :16, :16], total - np.outer(scaled, scaled), atol=1e-15)
    np.testing.assert_allclose(np.hypot(found.real_stderr[1], scaled), np.sqrt(total.diagonal()))
    (low, high), width = found.interval(0.95), 1.959964 * np.sqrt(total.diagonal())
    np.testing.assert_allclose(high.real[1] - low.real[1], 2 * width, rtol=1e-6)
    assert hq.gradient(hq.learn_observable(model, **options), x).systematic is None
    listed = hq.learn_observable(model, strings="important", **options)
    of_list = hq.gradient(listed, x).systematic
    assert of_list is not None
    share = listed.record.truncated_share * np.sum(hq.gradient(listed, x).real ** 2, axis=-1)
    np.testing.assert_allclose(np.sum(of_list**2, axis=-1), share)


def test_gradient_of_any_quadratic_form_and_refusals() -> None:
    class Diagonal:
        n_features, identity_part = 2, 0.0

        def observable_action(self, x: Any) -> Any:
            return np.array([1, -1]) * x

    np.testing.assert_allclose(hq.gradient(Diagonal(), [0.5, 1j]).values, [1, -2j])
    options: dict[str, Any] = {"estimator": hq.ResolvedHadamardTest(), "engine": hq.qsim(seed=1), "shots": 100}
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (MODEL, {"engine": None}, "needs an engine"),
        (MODEL, {"estimator": None}, "need an estimator"),
        (MODEL, {"estimator": hq.ResolvedHadamardTest(measured=(0,))}, "must measure all data qubits"),
        (MODEL, {"estimator": hq.ResolvedHadamardTest(part="imaginary")}, "and the real part"),
        (MODEL, {"mitigation": "completeness"}, "a gradient is computed from several measured quantities"),
        (Diagonal(), {}, "needs a Model, which has a circuit, not Diagonal"),
        (Diagonal, {}, "the class Diagonal"),
    ]
    for model, wrong, message in cases:
        with pytest.raises(ValueError, match=message):
            hq.gradient(model, X[: getattr(model, "n_features", 4)], **(options | wrong))


def test_gradient_goes_on_from_its_journal(tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        engine = hq.virtual("willow_pink", seed=1, noise="readout", journal=tmp_path / "run")
        options: dict[str, Any] = {"estimator": hq.ResolvedHadamardTest(), "engine": engine, "shots": 2000}
        found.append(hq.gradient(MODEL, X, mitigation="readout", **options))
        assert engine.journal is not None
        engine.journal.close()
    np.testing.assert_array_equal(found[0].values, found[1].values)
    assert found[0].notes


def test_saved_gradient_is_read_again_and_says_what_it_lacks(tmp_path: Path) -> None:
    options: dict[str, Any] = {"estimator": hq.ResolvedHadamardTest(), "engine": hq.qsim(seed=1), "shots": 500}
    found = hq.gradient(MODEL, [X, X], **options)
    whole = hq.Gradient.load(found.save(tmp_path / "whole.npz", covariance=True))
    for name in ("real", "imag", "real_stderr", "imag_stderr", "rare_stderr", "covariance"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(found, name))
    assert (whole.cost, whole.notes, whole.systematic is None) == (found.cost, found.notes, found.systematic is None)
    short = hq.Gradient.load(found.save(tmp_path / "short.npz"))
    with pytest.raises(ValueError, match=r"short\.npz was saved without the covariance; save it with covariance=True"):
        _ = short.covariance
    with np.load(tmp_path / "short.npz") as arrays:
        content = dict(arrays)
    np.savez(tmp_path / "damaged.npz", **content | {"imag": content["imag"][:, :2]})
    with pytest.raises(ValueError, match=r"damaged\.npz is not a saved gradient: array imag .*\(2, 2\)"):
        hq.Gradient.load(tmp_path / "damaged.npz")
    with pytest.raises(ValueError, match="is not a saved gradient: arrays real, imag"):
        hq.Gradient.load(hq.integrated_gradients(MODEL.traceless(), X, baseline=0).save(tmp_path / "map.npz"))
