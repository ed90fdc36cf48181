"""Classical models on the same split: what stands beside every quantum accuracy, and scores with gradients to attribute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import expit

from hattriq_cirq.attribution.quadrature import parse_rule
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.foundation.arrays import Array, FloatArray, as_amplitudes

_STRENGTH = 100.0  # of the loss against the penalty on the quadratic form; amplitudes are small, so its entries must be large


class Scorer(Protocol):
    """A score of real features and its gradient; the sign of the score is the predicted class."""

    def score(self, x: Array) -> FloatArray:
        """(..., features) -> (...,)."""

    def gradient(self, x: Array) -> FloatArray:
        """(..., features) -> (..., features)."""


@dataclass(frozen=True, eq=False)
class LinearScore:
    """The logit w.x + c.

    Args:
        weights: (features,).
        offset: c.
    """

    weights: FloatArray
    offset: float

    def score(self, x: Array) -> FloatArray:
        """(..., features) -> (...,)."""
        return np.asarray(x @ self.weights + self.offset)

    def gradient(self, x: Array) -> FloatArray:
        """The weights for every input, (..., features)."""
        return np.broadcast_to(self.weights, x.shape)


@dataclass(frozen=True, eq=False)
class QuadraticScore:
    """The logit x'Ax, of the same shape as that of a quantum model, but A is any symmetric matrix.

    Args:
        matrix: A, (features, features).
    """

    matrix: FloatArray

    def score(self, x: Array) -> FloatArray:
        """(..., features) -> (...,)."""
        return np.asarray(np.einsum("...k,...k->...", x, x @ self.matrix))

    def gradient(self, x: Array) -> FloatArray:
        """2Ax, (..., features)."""
        return np.asarray(2 * (x @ self.matrix))


@dataclass(frozen=True, eq=False)
class NetworkScore:
    """The logit v.tanh(Wx + b) + c of a network with one hidden layer.

    Args:
        inner: W transposed, (features, hidden).
        bias: b, (hidden,).
        outer: v, (hidden,).
        offset: c.
    """

    inner: FloatArray
    bias: FloatArray
    outer: FloatArray
    offset: float

    def score(self, x: Array) -> FloatArray:
        """(..., features) -> (...,)."""
        return np.asarray(np.tanh(x @ self.inner + self.bias) @ self.outer + self.offset)

    def gradient(self, x: Array) -> FloatArray:
        """W'[v (1 - tanh^2)], (..., features)."""
        slopes = 1 - np.tanh(x @ self.inner + self.bias) ** 2
        return np.asarray((self.outer * slopes) @ self.inner.T)


def path_attribution(scorer: Scorer, x: ArrayLike, *, baseline: float | ArrayLike, nodes: int) -> FloatArray:
    """Integrated gradients of a classical score by Gauss-Legendre quadrature (Sundararajan et al. 2017).

    Args:
        scorer: the score and its gradient.
        x: (..., features), real.
        baseline: a number, or an array that broadcasts to x.
        nodes: of the quadrature; 1 is exact for a linear or quadratic score.

    Returns:
        (..., features); they sum to the difference of the scores as nearly as the quadrature is exact.

    Raises:
        ValueError: complex or otherwise bad input, or nodes < 1.
    """
    inputs = _only_real(as_amplitudes(x))
    b = np.broadcast_to(as_amplitudes(np.broadcast_to(np.asarray(baseline), inputs.shape), "baseline"), inputs.shape)
    rule = parse_rule(f"gauss-legendre:{nodes}")
    assert rule is not None
    d = inputs - b
    mean = sum(weight * scorer.gradient(b + node * d) for node, weight in zip(rule.nodes, rule.weights, strict=True))
    return np.asarray(d * mean)


def logistic_regression(data: Dataset) -> LinearScore:
    """Scikit-learn's logistic regression on standardised features, as a score of the amplitudes themselves.

    Args:
        data: with its split and real amplitudes.

    Returns:
        The logit, its standardisation folded into weights and offset.

    Raises:
        ImportError: scikit-learn is not installed; the message says how.
        ValueError: complex amplitudes.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ImportError("logistic regression needs scikit-learn: pip install hattriq_cirq[data]") from error
    centre, width = _standard(_only_real(data.x_train))
    found = LogisticRegression(max_iter=10_000).fit((data.x_train - centre) / width, data.y_train)
    weights = np.asarray(found.coef_[0] / width)
    return LinearScore(weights, float(found.intercept_[0] - centre @ weights))


def quadratic_form(data: Dataset, strength: float = _STRENGTH) -> QuadraticScore:
    """The symmetric A of least strength * sum log(1 + exp(-y x'Ax)) + |A|^2 / 2 over the training rows.

    That A is a combination of the rows' projectors x x' (representer theorem), so it is found among them by L-BFGS.

    Args:
        data: with its split and real amplitudes.
        strength: of the loss against the penalty, > 0.

    Returns:
        The score x'Ax.

    Raises:
        ValueError: complex amplitudes, or a strength that is not positive.
    """
    if not 0 < strength < np.inf:
        raise ValueError(f"{strength=} must be positive and finite")
    x, y = _only_real(data.x_train), data.y_train
    spectrum, vectors = np.linalg.eigh((x @ x.T) ** 2)
    kept = spectrum > 1e-10 * spectrum[-1]
    root = np.sqrt(spectrum[kept])
    features = vectors[:, kept] * root

    def loss_gradient(u: FloatArray) -> tuple[float, FloatArray]:
        margins = y * (features @ u)
        loss = strength * np.sum(np.logaddexp(0, -margins)) + u @ u / 2
        return float(loss), np.asarray(u - strength * (y * expit(-margins)) @ features)

    found = minimize(loss_gradient, np.zeros(len(root)), jac=True, method="L-BFGS-B", options={"maxiter": 1_000})
    shares = vectors[:, kept] @ (found.x / root)
    matrix = (x * shares[:, np.newaxis]).T @ x
    return QuadraticScore((matrix + matrix.T) / 2)


def neural_network(data: Dataset, *, seed: int, hidden: int = 32, penalty: float = 1.0) -> NetworkScore:
    """Scikit-learn's perceptron with one hidden tanh layer on standardised features, as a score of the amplitudes.

    Args:
        data: with its split and real amplitudes.
        seed: of its start.
        hidden: units.
        penalty: scikit-learn's `alpha`, L2.

    Returns:
        The logit, its standardisation folded into the first layer.

    Raises:
        ImportError: scikit-learn is not installed; the message says how.
        ValueError: complex amplitudes.
    """
    try:
        from sklearn.neural_network import MLPClassifier
    except ImportError as error:
        raise ImportError("a neural network needs scikit-learn: pip install hattriq_cirq[data]") from error
    centre, width = _standard(_only_real(data.x_train))
    network = MLPClassifier((hidden,), activation="tanh", alpha=penalty, solver="lbfgs", max_iter=5_000, random_state=seed)
    network.fit((data.x_train - centre) / width, data.y_train)
    inner = network.coefs_[0] / width[:, np.newaxis]
    bias = network.intercepts_[0] - centre @ inner
    return NetworkScore(inner, bias, network.coefs_[1][:, 0], float(network.intercepts_[1][0]))


def score_accuracy(scorer: Scorer, x: Array, y: ArrayLike) -> float:
    """The share of inputs (samples, features) whose label -1 or +1 is the sign of the score."""
    return float(np.mean(scorer.score(x) * np.asarray(y) > 0))


def _standard(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of each feature; 1 in place of a deviation of 0."""
    width = x.std(axis=0)
    return x.mean(axis=0), np.where(width > 1e-12, width, 1.0)


def _only_real(x: Array) -> FloatArray:
    if np.iscomplexobj(x):
        raise ValueError("complex amplitudes have no classical score here; attribute the quantum model alone")
    return x
