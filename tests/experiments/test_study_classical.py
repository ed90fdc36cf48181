"""Classical scores: gradients, completeness of their maps, fits, and agreement of top features."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import finite_difference
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hattriq_cirq as hq
from experiments.studies.classical import overlaps
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.faithfulness import randomised
from hattriq_cirq.workflows.accuracies import logistic_regression_accuracy
from hattriq_cirq.workflows.classical import (
    QuadraticScore,
    Scorer,
    logistic_regression,
    neural_network,
    path_attribution,
    quadratic_regression,
    score_accuracy,
)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return hq.datasets.load("bars_and_stripes:noise=0.2,copies=5,seed=1")


@pytest.fixture(scope="module")
def scorers(data: Dataset) -> dict[str, Scorer]:
    return {
        "linear": logistic_regression(data),
        "quadratic": quadratic_regression(data),
        "network": neural_network(data, seed=0),
    }


@pytest.mark.parametrize("name", ["linear", "quadratic", "network"])
def test_gradients_and_completeness_of_classical_scores(name: str, data: Dataset, scorers: dict[str, Scorer]) -> None:
    scorer, x = scorers[name], data.x_test[:3]
    slopes = np.array([finite_difference(scorer.score, row) for row in x])
    np.testing.assert_allclose(scorer.gradient(x), slopes, rtol=1e-5, atol=1e-5)
    baseline = np.full(x.shape[1], 0.1)
    values = path_attribution(scorer, x, baseline=baseline, nodes=64 if name == "network" else 1)
    np.testing.assert_allclose(values.sum(axis=1), scorer.score(x) - scorer.score(baseline), rtol=1e-6, atol=1e-8)


def test_logistic_regression_as_a_score_has_the_accuracy_of_scikit_learn(data: Dataset, scorers: dict[str, Scorer]) -> None:
    accuracy = [score_accuracy(scorers["linear"], x, y) for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test))]
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=10_000)).fit(data.x_train, data.y_train)
    expected = pipeline.score(data.x_train, data.y_train), pipeline.score(data.x_test, data.y_test)
    assert tuple(accuracy) == pytest.approx(expected)
    assert logistic_regression_accuracy(data) == pytest.approx(expected)


def test_quadratic_form_is_at_its_minimum_and_beats_logistic_regression(data: Dataset) -> None:
    scorer, x, y = quadratic_regression(data), data.x_train, data.y_train
    matrix = scorer.matrix
    np.testing.assert_array_equal(matrix, matrix.T)
    pull = 100 * y / (1 + np.exp(y * scorer.score(x)))  # the gradient by A vanishes: A = sum_i pull_i x_i x_i'
    np.testing.assert_allclose((x * pull[:, np.newaxis]).T @ x, matrix, atol=0.02 * np.abs(matrix).max())
    assert score_accuracy(scorer, data.x_test, data.y_test) > score_accuracy(
        logistic_regression(data), data.x_test, data.y_test
    )


def test_quadratic_score_with_the_matrix_of_a_model_has_its_map(data: Dataset) -> None:
    model = randomised(hq.ring_ansatz(4, 1), seed=2)
    x = data.x_test[:3]
    values = path_attribution(QuadraticScore(model.matrix.real), x, baseline=0.2, nodes=1)
    np.testing.assert_allclose(values, hq.integrated_gradients(model, x, baseline=0.2).values, atol=1e-12)


def test_network_depends_on_its_seed_alone(data: Dataset) -> None:
    first, same, other = (neural_network(data, seed=seed).inner for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)


def test_complex_amplitudes_are_rejected() -> None:
    with pytest.raises(ValueError, match="complex"):
        path_attribution(QuadraticScore(np.eye(2)), np.array([1j, 0]), baseline=0, nodes=1)


def test_overlap_of_top_features() -> None:
    maps = np.array([[5.0, -4.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    others = np.array([[1.0, 7.0, -9.0, 0.0], [0.0, 1.0, -2.0, 3.0]])
    np.testing.assert_allclose(overlaps(maps, others, share=0.5), [0.5, 1.0])
    np.testing.assert_allclose(overlaps(maps, -maps, share=0.25), [1.0, 1.0])
