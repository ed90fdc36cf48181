"""Accuracies of a model beside logistic regression on the same split and beside chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from hattriq_cirq.datasets import Dataset
from hattriq_cirq.foundation.checks import check_type
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.foundation.text import duration
from hattriq_cirq.models.learned import LearnedModel
from hattriq_cirq.models.model import Model
from hattriq_cirq.models.training import accuracy
from hattriq_cirq.reporting.document import Table
from hattriq_cirq.workflows.classical import fit_logistic_regression, score_accuracy

_SECONDS = 4e-9  # per row, pass, amplitude and gate: training on one core
_START = 1.0  # seconds of a training beside that


def expected_training_time(rows: int, qubits: int, layers: int, epochs: int) -> str:
    """Return how long a training takes, in words.

    Args:
        rows: Number of training rows.
        qubits: Number of qubits.
        layers: Number of layers of the circuit.
        epochs: Largest number of passes over the rows.

    Example:
        >>> expected_training_time(250, qubits=6, layers=4, epochs=200)
        'about 2 s on an idle core (a rough guess)'
    """
    seconds = _START + _SECONDS * rows * epochs * 2**qubits * layers * qubits
    return f"about {duration(seconds)} on an idle core (a rough guess)"


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of one classifier on a split.

    Args:
        classifier: Name of the classifier.
        train: Accuracy on the training set in [0, 1]; None if there is none.
        test: Accuracy on the test set in [0, 1]; None if there is none.
        note: Reason why a number is missing.

    Example:
        >>> Accuracy("this model", 0.95, 0.9).test
        0.9
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


@with_numpy_defaults
def accuracies(model: Model | LearnedModel, data: Dataset) -> tuple[Accuracy, ...]:
    """Compare a model with logistic regression on the same split, and with chance.

    The regression (scikit-learn, standardised features, default penalty) is fitted to the amplitudes, real and imaginary parts
    separately. Chance always predicts the most frequent training label.

    Args:
        model: The classifier sign F(x).
        data: The data set; its columns and classes are brought into the order of the model, if both have names.

    Returns:
        Three rows: the model, logistic regression, chance.

    Raises:
        ValueError: The data do not fit the model.

    Example:
        >>> from hattriq_cirq import datasets, ring_ansatz
        >>> model, regression, chance = accuracies(ring_ansatz(2, 0), datasets.bars_and_stripes(side=2))
        >>> chance.test
        0.5
    """
    check_type(model, "model", Model | LearnedModel, "a Model, such as ring_ansatz(n_qubits, layers)")
    check_type(data, "data", Dataset, "a Dataset, such as datasets.load('digits')")
    data, _ = data.for_model(model.contract)
    return (
        Accuracy("this model", accuracy(model, data.x_train, data.y_train), accuracy(model, data.x_test, data.y_test)),
        Accuracy("logistic regression", *logistic_regression_accuracy(data)),
        Accuracy("chance", None, data.chance),
    )


def table_of_accuracies(rows: Sequence[Accuracy], train_samples: int, test_samples: int) -> Table:
    """Return accuracies as a table, for display before every map.

    Args:
        rows: Accuracies of the model and then of the classifiers to compare it with.
        train_samples: Number of training samples.
        test_samples: Number of test samples, from which the 95% Wilson interval of a test accuracy follows.

    Returns:
        A table of three columns; a missing number is a dash.

    Example:
        >>> table_of_accuracies([Accuracy("this model", 0.95, 0.9)], 20, 10).rows
        (('this model', '0.950', '0.900 [0.596, 0.982]'),)
    """
    notes = "; ".join(f"{row.classifier}: {row.note}" for row in rows if row.note)
    return Table(
        f"Accuracy on {train_samples} training and {test_samples} test samples; test accuracies with the 95% Wilson interval."
        + (f" {notes}" if notes else ""),
        ("classifier", "train", "test"),
        tuple((row.classifier, _number(row.train), _with_interval(row, test_samples)) for row in rows),
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _with_interval(row: Accuracy, samples: int) -> str:
    if row.train is None or row.test is None:  # chance is not estimated
        return _number(row.test)
    interval = binomtest(round(row.test * samples), samples).proportion_ci(method="wilson")
    return f"{row.test:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


@with_numpy_defaults
def logistic_regression_accuracy(data: Dataset) -> tuple[float, float]:
    """Return the train and test accuracy of scikit-learn's logistic regression on the amplitudes of a data set.

    Features are standardised on the training rows; complex amplitudes count as twice as many real features.

    Args:
        data: Data set with its split.

    Returns:
        Train and test accuracy, each in [0, 1].

    Example:
        >>> from hattriq_cirq import datasets
        >>> logistic_regression_accuracy(datasets.planted_pixel(n_qubits=2, pixel=3, samples=40))
        (1.0, 1.0)
    """
    train, test = (np.hstack([x.real, x.imag]) if np.iscomplexobj(x) else x for x in (data.x_train, data.x_test))
    scorer = fit_logistic_regression(train, data.y_train)
    return score_accuracy(scorer, train, data.y_train), score_accuracy(scorer, test, data.y_test)
