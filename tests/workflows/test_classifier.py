"""The classifier of scikit-learn's kind: its contract, its accuracy, what it refuses and what it warns of."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import oracle
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from strategies import assert_close

import hattriq_cirq as hq
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.workflows.classifier import DominantColumnWarning, IndexColumnWarning, WeakModelWarning

Array = NDArray[Any]
IRIS, IRIS_CLASSES = load_iris(return_X_y=True)
QUICK: dict[str, Any] = {"epochs": 12, "layers": 1, "learning_rate": 0.4}


def two_classes(samples: int = 60, columns: int = 3, seed: int = 0) -> tuple[Array, Array]:
    """Return rows around two centres that differ in the first column, and their labels, "no" and "yes"."""
    rng = np.random.default_rng(seed)
    y = np.arange(samples) % 2
    x = rng.normal(size=(samples, columns))
    x[:, 0] += 6 * y
    return x, np.where(y, "yes", "no")


quiet = pytest.mark.filterwarnings("ignore::hattriq_cirq.ClassifierWarning", "ignore::sklearn.exceptions.SkipTestWarning")
DEFAULTS = [hq.AmplitudeClassifier(), hq.AmplitudeClassifier(scale="standard", validation_fraction=0.2)]


@quiet
@parametrize_with_checks([hq.AmplitudeClassifier(**QUICK)])  # type: ignore[untyped-decorator]
def test_scikit_learn_contract(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.slow
@quiet
@parametrize_with_checks(DEFAULTS)  # type: ignore[untyped-decorator]
def test_scikit_learn_contract_of_the_defaults(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def test_scores_and_probabilities_against_the_dense_oracle() -> None:
    classifier = hq.AmplitudeClassifier(**QUICK).fit(IRIS, IRIS_CLASSES)
    low, high = IRIS.min(axis=0), IRIS.max(axis=0)
    scaled = (IRIS - low) / (high - low)
    size = np.sqrt(np.mean(np.sum(scaled**2, axis=1))) / 2
    rows = np.column_stack([scaled, np.full(len(scaled), size), np.zeros((len(scaled), 3))])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    circuit = classifier.models_[0]
    states = oracle.unitary(circuit.resolved_circuit, circuit.qubits) @ rows.T
    matrices = [oracle.pauli_matrix(model.pauli_sum, circuit.qubits) for model in classifier.models_]
    scores = np.stack([np.einsum("ks,ks->s", states.conj(), matrix @ states).real for matrix in matrices], axis=1)
    assert_close(classifier.decision_function(IRIS), scores, 1e-10)
    powers = np.exp(scores)
    assert_close(classifier.predict_proba(IRIS), powers / powers.sum(axis=1, keepdims=True), 1e-10)
    np.testing.assert_array_equal(classifier.predict(IRIS), classifier.classes_[np.argmax(scores, axis=1)])


def test_two_classes_have_one_model_whose_sign_is_the_class() -> None:
    x, y = two_classes()
    classifier = hq.AmplitudeClassifier(**QUICK).fit(x, y)
    assert classifier.model_ is not None
    assert classifier.model_ is classifier.models_[0]
    assert len(classifier.model_.pauli_sum) == 1
    scores = classifier.decision_function(x)
    assert scores.shape == (60,)
    assert_close(classifier.predict_proba(x)[:, 1], 1 / (1 + np.exp(-scores)), 1e-12)
    np.testing.assert_array_equal(classifier.predict(x) == "yes", scores > 0)
    assert classifier.model_.contract == DataContract(features=3, classes=("no", "yes"), constant=True)


@pytest.mark.parametrize("scale", ["minmax", "standard", None])
@pytest.mark.parametrize("ansatz", ["ring", "grid", hq.ring_ansatz], ids=["ring", "grid", "function"])
def test_scales_and_ansatz(scale: Any, ansatz: Any) -> None:
    x, y = two_classes(columns=4)
    classifier = hq.AmplitudeClassifier(scale=scale, ansatz=ansatz, layers=2, epochs=60).fit(x, y)
    assert classifier.score(x, y) > 0.95
    assert classifier.models_[0].n_qubits == 3


def test_constant_tells_multiples_of_a_row_apart() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 2, (80, 1)) * [1.0, 1.5] * np.where(np.arange(80) % 2, 1, -1)[:, np.newaxis]
    y = np.arange(80) % 2
    with pytest.warns(
        WeakModelWarning, match=r"logistic regression reaches an accuracy of 1\.000 on the 80 training rows, this"
    ):
        without = hq.AmplitudeClassifier(scale=None, constant=False, epochs=30).fit(x, y)
    assert without.score(x, y) < 0.7
    assert without.comparison_["logistic regression"] == 1.0
    assert hq.AmplitudeClassifier(scale=None, epochs=30).fit(x, y).score(x, y) == 1.0


def test_pipelines_searches_and_cross_validation() -> None:
    pipeline = make_pipeline(StandardScaler(), hq.AmplitudeClassifier(**QUICK))
    assert cross_val_score(pipeline, IRIS, IRIS_CLASSES, cv=3).mean() > 0.85
    search = GridSearchCV(hq.AmplitudeClassifier(**QUICK), {"layers": [0, 1]}, cv=2).fit(IRIS, IRIS_CLASSES)
    assert search.best_params_["layers"] in {0, 1}


def test_clone_and_pickle() -> None:
    classifier = hq.AmplitudeClassifier(**QUICK, class_weight="balanced").fit(IRIS, IRIS_CLASSES)
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict_proba(IRIS), classifier.predict_proba(IRIS))
    assert clone(classifier).get_params() == classifier.get_params()
    repeated = clone(classifier).fit(IRIS, IRIS_CLASSES)
    np.testing.assert_array_equal(repeated.predict_proba(IRIS), classifier.predict_proba(IRIS))
    other = clone(classifier).set_params(seed=1).fit(IRIS, IRIS_CLASSES)
    assert not np.allclose(other.predict_proba(IRIS), classifier.predict_proba(IRIS))


def test_names_of_columns_and_classes() -> None:
    x, y = two_classes()
    table = pd.DataFrame(x, columns=["a", "b", "c"])
    classifier = hq.AmplitudeClassifier(**QUICK).fit(table, y)
    assert classifier.feature_names_in_.tolist() == ["a", "b", "c"]
    assert classifier.models_[0].contract == DataContract(columns=("a", "b", "c"), classes=("no", "yes"), constant=True)
    with pytest.raises(ValueError, match="feature names should match"):
        classifier.predict(table[["b", "a", "c"]])


def test_validation_rows_are_held_out_per_class() -> None:
    y = np.repeat([0, 1, 2], [40, 10, 1])
    x = np.random.default_rng(0).normal(size=(51, 2)) + y[:, np.newaxis]
    classifier = hq.AmplitudeClassifier(validation_fraction=0.2)
    classifier.classes_ = np.arange(3)
    kept, held = classifier._split(y, np.random.default_rng(0))
    assert np.bincount(y[held], minlength=3).tolist() == [8, 2, 0]
    assert sorted([*kept, *held]) == list(range(51))
    fitted = hq.AmplitudeClassifier(**QUICK, validation_fraction=0.2).fit(x, y)
    assert np.isfinite(fitted.history_.validation_loss).all()


@pytest.mark.filterwarnings("ignore::hattriq_cirq.workflows.classifier.WeakModelWarning")
def test_dominant_column_is_said_with_the_cure() -> None:
    x, y = two_classes(columns=2)
    table = pd.DataFrame(x * [1.0, 1000.0], columns=["age", "income"])
    with pytest.warns(DominantColumnWarning, match=r"column 'income' makes up \d+% of the squared norm .*use scale='minmax'"):
        hq.AmplitudeClassifier(**QUICK, scale=None).fit(table, y)


def test_column_that_counts_rows_is_said() -> None:
    x, y = two_classes()
    numbered = np.column_stack([x, np.arange(60)])
    part = train_test_split(np.arange(60), random_state=0)[0]
    with pytest.warns(IndexColumnWarning, match="column 3 counts rows; .*: remove it"):
        hq.AmplitudeClassifier(**QUICK).fit(numbered[part], y[part])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": -1}, "layers=-1"),
        ({"scale": "max"}, "scale='max'"),
        ({"ansatz": "star"}, "ansatz='star'"),
        ({"epochs": 0}, "epochs=0"),
        ({"validation_fraction": 1.0}, "validation_fraction=1.0"),
        ({"constant": 3}, "constant=3"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_invalid_parameters_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        hq.AmplitudeClassifier(**(QUICK | settings)).fit(*two_classes())


def test_data_without_an_answer_are_refused() -> None:
    x, y = two_classes()
    with pytest.raises(ValueError, match="y has one class, 'no'; give rows of at least two classes"):
        hq.AmplitudeClassifier().fit(x, ["no"] * 60)
    x[3] = 0
    with pytest.raises(ValueError, match=r"row 3 of X is zero once it is scaled and has no state; use constant=True"):
        hq.AmplitudeClassifier(scale=None, constant=False).fit(x, y)


def test_constant_and_tiny_data_are_fitted() -> None:
    constant = hq.AmplitudeClassifier(**QUICK).fit(np.ones((6, 2)), [0, 0, 0, 0, 1, 1])
    assert set(constant.predict([[1.0, 1.0]])) <= {0, 1}
    assert_close(constant.predict_proba([[1.0, 1.0]]).sum(), 1, 1e-12)
    tiny = hq.AmplitudeClassifier(epochs=100).fit([[0.0], [1.0], [2.0]], ["a", "b", "c"])
    assert tiny.predict([[0.0], [2.0]]).tolist() == ["a", "c"]


@pytest.mark.slow
@pytest.mark.parametrize(("load", "least"), [(load_wine, 0.93), (load_digits, 0.93)])
def test_default_accuracy(load: Callable[..., Any], least: float) -> None:
    x, y = load(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=0, stratify=y)
    assert hq.AmplitudeClassifier().fit(x_train, y_train).score(x_test, y_test) >= least
