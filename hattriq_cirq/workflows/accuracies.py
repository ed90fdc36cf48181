"""Accuracies of a model beside logistic regression on the same split and beside chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from hattriq_cirq.datasets import Dataset
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.models.model import Model
from hattriq_cirq.models.training import accuracy
from hattriq_cirq.reporting.document import Table


@dataclass(frozen=True)
class Accuracy:
    """What one classifier reaches on a split.

    Args:
        classifier: its name.
        train: in [0, 1]; None where there is none.
        test: in [0, 1]; None where there is none.
        note: why a number is missing.
    """

    classifier: str
    train: float | None
    test: float | None
    note: str = ""

    def __post_init__(self) -> None:
        for name in ("train", "test"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name}={value} must be an accuracy in [0, 1]")


def accuracies(model: Model, data: Dataset) -> tuple[Accuracy, ...]:
    """Compares a model with logistic regression on the same split, and with chance.

    The regression (scikit-learn, standardised features, its default penalty) sees the amplitudes, real and imaginary
    parts apart. Chance always answers the commonest training label.

    Args:
        model: the classifier sign F(x).
        data: the task.

    Returns:
        Three rows: the model, logistic regression (without numbers where scikit-learn is not installed), chance.
    """
    return (
        Accuracy("this model", accuracy(model, data.x_train, data.y_train), accuracy(model, data.x_test, data.y_test)),
        _logistic_regression(data),
        Accuracy("chance", None, data.chance),
    )


def _logistic_regression(data: Dataset) -> Accuracy:
    name = "logistic regression"
    try:
        return Accuracy(name, *logistic_regression_accuracy(data))
    except ImportError as error:
        return Accuracy(name, None, None, str(error))


def table_of_accuracies(rows: Sequence[Accuracy], train_samples: int, test_samples: int) -> Table:
    """Accuracies as the table that stands before every map.

    Args:
        rows: the model first, then what to compare it with.
        train_samples: how many the accuracies on the training set are of.
        test_samples: how many those on the test set are of; the 95% Wilson interval beside a classifier's follows from it.

    Returns:
        A table of four columns; a number that is missing is a dash.
    """
    notes = "; ".join(f"{row.classifier}: {row.note}" for row in rows if row.note)
    return Table(
        f"Accuracy on {train_samples} training and {test_samples} test samples; of tests with the 95% Wilson interval."
        + (f" {notes}" if notes else ""),
        ("classifier", "train", "test"),
        tuple((row.classifier, _share(row.train), _tested(row, test_samples)) for row in rows),
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _tested(row: Accuracy, samples: int) -> str:
    if row.train is None or row.test is None:  # chance is no estimate
        return _share(row.test)
    interval = binomtest(round(row.test * samples), samples).proportion_ci(method="wilson")
    return f"{row.test:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def logistic_regression_accuracy(data: Dataset) -> tuple[float, float]:
    """Train and test accuracy of scikit-learn's logistic regression on the amplitudes of a data set.

    Features are standardised on the training rows; complex amplitudes count as twice as many real features.

    Args:
        data: with its split.

    Returns:
        Train and test accuracy, each in [0, 1].

    Raises:
        ImportError: scikit-learn is not installed; the message says how.
    """
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise ImportError("logistic regression needs scikit-learn: pip install hattriq_cirq[data]") from error
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=10_000))
    classifier.fit(_real(data.x_train), data.y_train)
    return (
        float(classifier.score(_real(data.x_train), data.y_train)),
        float(classifier.score(_real(data.x_test), data.y_test)),
    )


def _real(x: Array) -> Array:
    return np.concatenate([x.real, x.imag], axis=1) if np.iscomplexobj(x) else x
