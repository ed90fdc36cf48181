"""Errors of faithfulness metrics of learned models: by linear propagation, by a bootstrap, and in common among inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from propagated import propagated_stderr
from swept_engine import swept_engine

import hattriq_cirq as hq
from hattriq_cirq import faithfulness as ff
from hattriq_cirq.attribution.baselines import BaselineSet
from hattriq_cirq.models.pauli_strings import PauliObservable
from hattriq_cirq.workflows.generated_models import random_circuit, random_ring

Array = np.ndarray[Any, Any]
X = np.random.default_rng(1).normal(size=(4, 8)) / np.sqrt(8)


def learned_ring(seed: int = 1, shots: int = 100_000) -> hq.LearnedModel:
    options: dict[str, Any] = {"engine": swept_engine(seed), "shots": shots, "mitigation": "damping", "seed": seed}
    return hq.learn_observable(random_ring(3, 1, seed=2), **options)


LEARNED = learned_ring()
MAPS = hq.integrated_gradients(LEARNED, X, baseline=0).values


def test_errors_of_a_deletion_curve_are_those_of_the_scores_along_it() -> None:
    curve = ff.measured(ff.deletion_curve, ff.score_of(LEARNED), X, MAPS, reference=0, steps=8)
    assert curve.fractions is not None
    np.testing.assert_allclose(curve.values, ff.deletion_curve(ff.score_of(LEARNED), X, MAPS, reference=0, steps=8).scores)
    np.testing.assert_allclose(curve.stderr[:, 0], LEARNED.expectation_stderr(X), rtol=1e-6)
    relevance = np.sign(LEARNED.expectation(X))[:, np.newaxis] * MAPS
    half = np.where(relevance >= np.sort(relevance, axis=1)[:, [4]], 0, X)  # the four most relevant of eight are removed
    np.testing.assert_allclose(curve.stderr[:, 4], LEARNED.expectation_stderr(half), rtol=1e-6)
    assert not curve.stderr[:, -1].any()
    low, high = curve.interval()
    np.testing.assert_allclose(high - low, 2 * 1.959964 * curve.stderr, rtol=1e-6)


def test_errors_of_a_mean_over_inputs_are_those_that_the_inputs_share() -> None:
    curve = ff.measured(ff.deletion_curve, ff.score_of(LEARNED), X, MAPS, reference=0, steps=8)
    signs = np.sign(LEARNED.expectation(X))
    weights = np.mean([s * LEARNED.strings.bilinear(x, x).sum(axis=0) for s, x in zip(signs, X, strict=True)], axis=0)
    expected = LEARNED.propagate(weights[np.newaxis]).stderr
    np.testing.assert_allclose(curve.mean().stderr[0], expected[0], rtol=1e-6)
    same = ff.measured(ff.srg, ff.score_of(LEARNED), np.repeat(X[:1], 5, axis=0), np.repeat(MAPS[:1], 5, axis=0), reference=0)
    np.testing.assert_allclose(same.mean().stderr, same.stderr[0])  # equal inputs say nothing more than one


def test_table_of_a_curve_has_a_row_for_each_point_of_each_input() -> None:
    curve = ff.measured(ff.deletion_curve, ff.score_of(LEARNED), X, MAPS, reference=0, steps=8)
    table = curve.to_frame()
    assert list(table) == ["input", "point", "fraction", "value", "stderr", "low", "high"]
    assert len(table) == curve.values.size
    row = table[(table.input == 2) & (table.point == 3)].iloc[0]
    low, high = (end[2, 3] for end in curve.interval())
    np.testing.assert_allclose(row[2:], [3 / 8, curve.values[2, 3], curve.stderr[2, 3], low, high])


def test_gain_is_the_difference_of_the_areas_with_its_errors() -> None:
    options: dict[str, Any] = {"reference": 0, "steps": 8}
    score = ff.score_of(LEARNED)
    curves = [ff.measured(ff.deletion_curve, score, X, MAPS, order=order, **options) for order in ("lerf", "morf")]
    lerf, morf = (curve.area() for curve in curves)
    gain = ff.measured(ff.srg, score, X, MAPS, **options)
    np.testing.assert_allclose(gain.values, lerf.values - morf.values)
    np.testing.assert_allclose(gain.errors, lerf.errors - morf.errors, atol=1e-12)
    with pytest.raises(ValueError, match="only a curve has an area"):
        gain.area()


@pytest.mark.parametrize(
    ("metric", "options", "form"),
    [
        (ff.srg, {"reference": BaselineSet(np.full((2, 8), 0.1) * [[1], [-1]])}, "normalized"),
        (ff.infidelity, {"reference": 0.1, "scaled": True, "samples": 40}, "quadratic"),
        (ff.sensitivity_n, {"reference": 0.1, "sizes": [2, 4], "samples": 40}, "normalized"),
    ],
)
def test_errors_are_those_of_the_derivatives_by_the_coefficients(metric: Any, options: dict[str, Any], form: Any) -> None:
    found = ff.measured(metric, ff.score_of(LEARNED, form=form), X, MAPS, **options)

    def value(observable: PauliObservable) -> Array:
        return np.asarray(metric(ff.score_of(observable, form=form), X, MAPS, **options))

    expected = propagated_stderr(LEARNED, value)
    np.testing.assert_allclose(found.values, value(LEARNED.observable))
    np.testing.assert_allclose(found.stderr, expected, rtol=1e-6 if metric is ff.srg else 0.2)


def test_more_strings_than_draws_give_random_directions_of_the_same_size() -> None:
    exact = ff.measured(ff.srg, ff.score_of(LEARNED), X, MAPS, reference=0)
    assert len(exact.errors) == len(LEARNED.strings)
    few = [ff.measured(ff.srg, ff.score_of(LEARNED), X, MAPS, reference=0, draws=8, draw_seed=seed) for seed in range(20)]
    assert {len(each.errors) for each in few} == {8}
    assert len({each.errors.tobytes() for each in few}) == 20
    np.testing.assert_allclose(np.mean([each.stderr**2 for each in few], axis=0), exact.stderr**2, rtol=0.4)  # 160 draws in all


def test_sensitivity_of_learned_maps_has_errors() -> None:
    found = ff.measured(ff.max_sensitivity, ff.MapsOf(LEARNED), X, radius=0.05, samples=3, draws=20)
    np.testing.assert_allclose(found.values, ff.max_sensitivity(ff.MapsOf(LEARNED), X, radius=0.05, samples=3))
    assert (found.stderr > 0).all()
    assert (found.stderr < 0.2 * found.values).all()


def test_score_that_was_not_measured_is_refused() -> None:
    for score in (ff.score_of(hq.ring_ansatz(3, 1)), lambda x: x.sum(axis=-1)):
        with pytest.raises(TypeError, match="was not measured"):
            ff.measured(ff.srg, score, X, MAPS, reference=0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="draws"):
        ff.measured(ff.srg, ff.score_of(LEARNED), X, MAPS, reference=0, draws=1)
    with pytest.raises(TypeError, match="QuadraticForm"):
        ff.score_of("model")  # type: ignore[arg-type]


def test_picture_of_curves_has_the_interval_of_their_mean() -> None:
    curve = ff.measured(ff.deletion_curve, ff.score_of(LEARNED), X, MAPS, reference=0, steps=8)
    ax = hq.plot_curves({"learned": curve, "again": curve})
    low, high = curve.mean().interval()
    corners = np.asarray(ax.collections[0].get_paths()[0].vertices)
    np.testing.assert_allclose([corners[:, 1].min(), corners[:, 1].max()], [low.min(), high.max()])
    assert [line.get_label() for line in ax.lines[:2]] == ["learned", "again"]
    with pytest.raises(ValueError, match=r"\['gain'\] is no curve"):
        hq.plot_curves({"gain": ff.measured(ff.srg, ff.score_of(LEARNED), X, MAPS, reference=0)})
    with pytest.raises(ValueError, match="curves is empty"):
        hq.plot_curves({})


@pytest.mark.slow
@pytest.mark.parametrize("metric", [ff.srg, ff.infidelity])
def test_intervals_of_means_over_inputs_cover(metric: Any) -> None:
    held = []
    for seed in range(200):
        model = random_circuit(3, seed=seed)
        maps = hq.integrated_gradients(model, X, baseline=0).values + 0.1 * np.random.default_rng(seed).normal(size=X.shape)
        learned = hq.learn_observable(model, engine=swept_engine(seed), shots=100_000, prior="none", seed=seed)
        found = ff.measured(metric, ff.score_of(learned), X, maps, reference=0).mean()
        low, high = found.interval()
        held.append(low <= np.mean(metric(ff.score_of(model), X, maps, reference=0)) <= high)
    assert 0.9 < np.mean(held) < 0.99
