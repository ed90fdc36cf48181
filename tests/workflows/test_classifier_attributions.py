"""Attributions of the classifier: integrals of its own probabilities, targets, baselines, engines and learned models."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from sklearn.datasets import load_iris
from strategies import assert_close

import hattriq_cirq as hq

Array = NDArray[Any]
QUICK: dict[str, Any] = {"epochs": 20, "layers": 1, "learning_rate": 0.2}
IRIS = load_iris(as_frame=True)
TABLE, CLASSES = IRIS.data, IRIS.target_names[IRIS.target]
NAMES = tuple(TABLE.columns)


@cache
def fitted(classes: int = 3, **settings: Any) -> hq.AmplitudeClassifier:
    kept = IRIS.target >= 3 - classes
    return hq.AmplitudeClassifier(**(QUICK | settings)).fit(TABLE[kept], CLASSES[kept])


def integrated(classifier: hq.AmplitudeClassifier, row: Array, baseline: Array, target: int, nodes: int = 150) -> Array:
    """Return (x_k - b_k) times the mean of dp/dx_k on the segment, by finite differences of `predict_proba` and quadrature."""
    places, weights = leggauss(nodes)
    points = baseline + (places[:, np.newaxis] + 1) / 2 * (row - baseline)
    steps = 1e-5 * np.eye(len(row))
    ahead, behind = (
        classifier.predict_proba(pd.DataFrame(np.concatenate([points + sign * step for step in steps]), columns=NAMES))
        for sign in (1, -1)
    )
    slopes = ((ahead - behind)[:, target] / 2e-5).reshape(len(row), nodes)
    return np.asarray((row - baseline) * (slopes @ weights) / 2)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("settings", [{}, {"scale": "standard"}, {"scale": None, "constant": False}], ids=str)
def test_values_are_integrals_of_the_probability(classes: int, settings: dict[str, Any]) -> None:
    classifier = fitted(classes, **settings)
    rows = TABLE.iloc[[60, 120]]
    a = classifier.attribute(rows)
    kept = IRIS.target >= 3 - classes
    mean = TABLE[kept].to_numpy().mean(axis=0)
    predicted = np.argmax(classifier.predict_proba(rows), axis=1)
    np.testing.assert_array_equal(a.target, predicted)
    for i, row in enumerate(rows.to_numpy()):
        assert_close(a.values[i, :4], integrated(classifier, row, mean, predicted[i]), 1e-7)
    assert_close(a.values[:, 4:], np.zeros_like(a.values[:, 4:]), 1e-15, scale=1)
    assert_close(a.completeness_gap, np.zeros(2), 1e-9, scale=1)


@pytest.mark.parametrize("classes", [2, 3])
def test_scores_are_the_probabilities_of_the_classifier(classes: int) -> None:
    classifier = fitted(classes)
    rows, mean = TABLE.iloc[40::25], pd.DataFrame([TABLE[IRIS.target >= 3 - classes].mean()])
    for target, name in enumerate(classifier.classes_):
        a = classifier.attribute(rows, target=name)
        assert_close(a.f_input, classifier.predict_proba(rows)[:, target], 1e-10)
        assert_close(a.f_baseline, np.full(len(rows), classifier.predict_proba(mean)[0, target]), 1e-10)
        np.testing.assert_array_equal(a.target, np.full(len(rows), target))
        assert a.class_name(target) == name
    chosen = classifier.classes_[np.arange(len(rows)) % classes]
    mixed = classifier.attribute(rows, target=chosen)
    assert_close(mixed.f_input, classifier.predict_proba(rows)[np.arange(len(rows)), np.arange(len(rows)) % classes], 1e-10)


def test_names_and_predictions_of_an_attribution() -> None:
    classifier = fitted()
    a = classifier.attribute(TABLE.iloc[[0, 100]])
    assert [a.feature_name(k) for k in range(5)] == [*NAMES, "constant"]
    probabilities = classifier.predict_proba(TABLE.iloc[[0, 100]])
    np.testing.assert_array_equal(a.predicted, np.argmax(probabilities, axis=1))
    np.testing.assert_array_equal(a.probability, probabilities.max(axis=1))
    assert [a.class_name(k) for k in range(3)] == classifier.classes_.tolist()


def test_one_row_has_one_attribution() -> None:
    classifier = fitted()
    one, both = classifier.attribute(TABLE.iloc[100], target="virginica"), classifier.attribute(TABLE.iloc[[100]])
    assert one.values.shape == (8,)
    assert_close(one.values, both.values[0], 1e-12)


def test_baselines_of_an_attribution() -> None:
    classifier, row = fitted(), TABLE.iloc[[120]]
    low = TABLE.min()
    zero = classifier.attribute(row, baseline="zero")
    assert_close(zero.values, classifier.attribute(row, baseline=low).values, 1e-12)
    assert_close(zero.f_baseline, classifier.predict_proba(low.to_frame().T)[:, 2], 1e-10)
    several = classifier.attribute(row, baseline=hq.BaselineSet(TABLE.iloc[[0, 50]]))
    mean = np.mean([classifier.attribute(row, baseline=TABLE.iloc[k]).values for k in (0, 50)], axis=0)
    assert_close(several.values, mean, 1e-10)
    per_row = classifier.attribute(TABLE.iloc[[120, 121]], baseline=TABLE.iloc[[0, 50]])
    assert_close(per_row.values[1], classifier.attribute(TABLE.iloc[[121]], baseline=TABLE.iloc[50]).values[0], 1e-12)


def test_zero_baseline_without_a_constant_is_undecided() -> None:
    classifier = fitted(2, scale=None, constant=False)
    a = classifier.attribute(TABLE.iloc[[120]], baseline="zero")
    assert_close(a.f_baseline, [0.5], 1e-15)
    assert_close(a.f_input, classifier.predict_proba(TABLE.iloc[[120]]).max(axis=1), 1e-10)
    assert_close(a.completeness_gap, [0.0], 1e-10, scale=1)


@pytest.mark.filterwarnings("ignore::hattriq_cirq.ClassifierWarning")
def test_mean_of_standardised_rows_has_no_state_without_a_constant() -> None:
    classifier = fitted(2, scale="standard", constant=False)
    with pytest.raises(ValueError, match=r"the mean training row is zero once it is scaled, .* use baseline='zero'"):
        classifier.attribute(TABLE.iloc[[120]])


def test_attribution_on_an_engine() -> None:
    classifier, row = fitted(), TABLE.iloc[[120]]
    run: dict[str, Any] = {"estimator": hq.ResolvedHadamardTest(), "engine": hq.cirq_simulator(seed=1)}
    exact = classifier.attribute(row)
    assert_close(classifier.attribute(row, **run).values, exact.values, 1e-7)
    sampled = classifier.attribute(row, **run, shots=200_000)
    low, high = sampled.interval(0.9999)
    assert np.all((low <= exact.values) & (exact.values <= high))
    assert 0 < sampled.stderr[0, 2] < 0.1
    np.testing.assert_array_equal(sampled.predicted, exact.predicted)


@pytest.mark.slow
def test_attribution_by_learned_models() -> None:
    classifier, row = fitted(), TABLE.iloc[[120]]
    learned = hq.learn_observable(classifier.measured_, engine=hq.cirq_simulator(seed=1), shots=400_000, seed=0)
    a = classifier.attribute(row, models=learned.models)
    low, high = a.interval(0.9999)
    exact = classifier.attribute(row).values
    assert np.all((low <= exact) & (exact <= high))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "rose"}, "target='rose' is none of the classes 'setosa', 'versicolor', 'virginica'"),
        ({"target": ["setosa"] * 3}, r"target of shape \(3,\) must be one class, or one per row, \(2,\)"),
        ({"baseline": "median"}, "baseline='median'"),
        ({"baseline": 0.5}, r"baseline of shape \(\) must be 'mean', 'zero', a row \(4,\)"),
        ({"baseline": TABLE.iloc[:3]}, r"baseline of shape \(3, 4\) must be"),
    ],
)
def test_invalid_attributions_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted().attribute(TABLE.iloc[:2], **arguments)
