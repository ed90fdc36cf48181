"""Classical models on the same split: what stands beside every quantum accuracy."""

from __future__ import annotations

import numpy as np

from hattriq_cirq._arrays import Array
from hattriq_cirq.datasets import Dataset


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
