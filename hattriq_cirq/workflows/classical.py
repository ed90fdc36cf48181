"""Classical models of the same data sets: scores with gradients, to be attributed and compared with quantum models."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.quadrature import parse_rule
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.foundation.arrays import Array, FloatArray, as_amplitudes
from hattriq_cirq.foundation.frozen import Frozen

_ITERATIONS = 10_000
_TOLERANCE = 1e-8  # of the largest entry of the gradient
_STRENGTH = 100.0  # weight of the loss relative to the penalty on the matrix, whose entries must be large


class Scorer(Protocol):
    """A score of real features and its gradient; the sign of the score is the predicted class."""

    def score(self, x: Array) -> FloatArray:
        """Return the score of inputs (..., features), (...,)."""

    def gradient(self, x: Array) -> FloatArray:
        """Return the gradient at inputs (..., features), in the same shape."""


@dataclass(frozen=True, eq=False)
class LinearScore(Frozen):
    """The logit w.x + c.

    Args:
        weights: Weights w, (features,).
        offset: Constant c.

    Example:
        >>> LinearScore(np.array([1.0, 2.0]), 0.5).score(np.array([1.0, 1.0]))
        array(3.5)
    """

    weights: FloatArray
    offset: float

    def score(self, x: Array) -> FloatArray:
        """Return the score of inputs (..., features), (...,)."""
        return np.asarray(x @ self.weights + self.offset)

    def gradient(self, x: Array) -> FloatArray:
        """Return the weights for every input, (..., features)."""
        return np.broadcast_to(self.weights, x.shape)


@dataclass(frozen=True, eq=False)
class QuadraticScore(Frozen):
    """The logit x'Ax, of the same form as that of a quantum model, except that A is any symmetric matrix.

    Args:
        matrix: Matrix A, (features, features).

    Example:
        >>> QuadraticScore(np.diag([1.0, -1.0])).gradient(np.array([1.0, 2.0]))
        array([ 2., -4.])
    """

    matrix: FloatArray

    def score(self, x: Array) -> FloatArray:
        """Return the score of inputs (..., features), (...,)."""
        return np.asarray(np.einsum("...k,...k->...", x, x @ self.matrix))

    def gradient(self, x: Array) -> FloatArray:
        """Return 2Ax, (..., features)."""
        return np.asarray(2 * (x @ self.matrix))


@dataclass(frozen=True, eq=False)
class NetworkScore(Frozen):
    """The logit v.tanh(Wx + b) + c of a network with one hidden layer.

    Args:
        inner: Transposed weights W, (features, hidden).
        bias: Bias b, (hidden,).
        outer: Weights v, (hidden,).
        offset: Constant c.
    """

    inner: FloatArray
    bias: FloatArray
    outer: FloatArray
    offset: float

    def score(self, x: Array) -> FloatArray:
        """Return the score of inputs (..., features), (...,)."""
        return np.asarray(np.tanh(x @ self.inner + self.bias) @ self.outer + self.offset)

    def gradient(self, x: Array) -> FloatArray:
        """Return W'[v (1 - tanh^2)], (..., features)."""
        slopes = 1 - np.tanh(x @ self.inner + self.bias) ** 2
        return np.asarray((self.outer * slopes) @ self.inner.T)


def path_attribution(scorer: Scorer, x: ArrayLike, *, baseline: float | ArrayLike, nodes: int) -> FloatArray:
    """Return integrated gradients of a classical score by Gauss-Legendre quadrature (Sundararajan et al. 2017).

    Args:
        scorer: Score and its gradient.
        x: Real inputs, (..., features).
        baseline: Number, or array that broadcasts to x.
        nodes: Number of nodes of the quadrature; 1 is exact for a linear or quadratic score.

    Returns:
        Attribution maps, (..., features), whose sum is the difference of the scores up to the error of the quadrature.

    Raises:
        ValueError: The input is complex or invalid, or nodes < 1.

    Example:
        >>> path_attribution(QuadraticScore(np.diag([1.0, -1.0])), [1.0, 2.0], baseline=0, nodes=1)
        array([ 1., -4.])
    """
    inputs = _only_real(as_amplitudes(x))
    b = np.broadcast_to(as_amplitudes(np.broadcast_to(np.asarray(baseline), inputs.shape), "baseline"), inputs.shape)
    rule = parse_rule(f"gauss-legendre:{nodes}")
    assert rule is not None
    d = inputs - b
    mean = sum(weight * scorer.gradient(b + node * d) for node, weight in zip(rule.nodes, rule.weights, strict=True))
    return np.asarray(d * mean)


def logistic_regression(data: Dataset) -> LinearScore:
    """Return scikit-learn's logistic regression on standardised features, as a score of the amplitudes themselves.

    Args:
        data: Data set with its split and real amplitudes.

    Returns:
        The logit, with the standardisation absorbed in weights and offset.

    Raises:
        ValueError: The amplitudes are complex.

    Example:
        >>> from hattriq_cirq import datasets
        >>> data = datasets.planted_pixel(n_qubits=2, pixel=3, samples=40)
        >>> int(np.argmax(logistic_regression(data).weights))
        3
    """
    return fit_logistic_regression(_only_real(data.x_train), data.y_train)


def logistic_regression_of_classes(x: ArrayLike, y: ArrayLike) -> Any:
    """Return scikit-learn's logistic regression of any number of classes on standardised columns, fitted to rows.

    Args:
        x: Rows, (samples, columns).
        y: Labels, (samples,).

    Example:
        >>> logistic_regression_of_classes([[0.0], [1.0], [2.0]], ["a", "a", "b"]).predict([[5.0]]).tolist()
        ['b']
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it stopped early: it is compared as it is
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=_ITERATIONS)).fit(x, y)


def fit_logistic_regression(x: FloatArray, y: ArrayLike) -> LinearScore:
    """Return scikit-learn's logistic regression of labels -1 and +1 on standardised real features, as a score of the features.

    Args:
        x: Features, (samples, features).
        y: Labels -1 and +1, (samples,).

    Returns:
        The logit, with the standardisation absorbed in weights and offset.
    """
    scaler, regression = (step for _, step in logistic_regression_of_classes(x, y).steps)
    weights = np.asarray(regression.coef_[0] / scaler.scale_)
    return LinearScore(weights, float(regression.intercept_[0] - scaler.mean_ @ weights))


def quadratic_regression(data: Dataset, strength: float = _STRENGTH) -> QuadraticScore:
    """Return the symmetric A that minimises strength * sum log(1 + exp(-y x'Ax)) + |A|^2 / 2 over the training rows.

    A is a combination of the rows' projectors x x' (representer theorem), over whose coefficients scikit-learn minimises.

    Args:
        data: Data set with its split and real amplitudes.
        strength: Weight of the loss relative to the penalty, > 0.

    Returns:
        The score x'Ax.

    Raises:
        ValueError: The amplitudes are complex, or the strength is not positive.

    Example:
        >>> from hattriq_cirq import datasets
        >>> data = datasets.xor_pixels(n_qubits=2, pixels=(0, 3), samples=40)
        >>> score_accuracy(quadratic_regression(data), data.x_test, data.y_test)
        1.0
    """
    from sklearn.linear_model import LogisticRegression

    if not 0 < strength < np.inf:
        raise ValueError(f"{strength=} must be positive and finite")
    x, y = _only_real(data.x_train), data.y_train
    spectrum, vectors = np.linalg.eigh((x @ x.T) ** 2)
    kept = spectrum > 1e-10 * spectrum[-1]
    root = np.sqrt(spectrum[kept])
    features = vectors[:, kept] * root
    regression = LogisticRegression(C=strength, fit_intercept=False, tol=_TOLERANCE, max_iter=_ITERATIONS).fit(features, y)
    shares = vectors[:, kept] @ (regression.coef_[0] / root)
    matrix = (x * shares[:, np.newaxis]).T @ x
    return QuadraticScore((matrix + matrix.T) / 2)


def neural_network(data: Dataset, *, seed: int, hidden: int = 32, penalty: float = 1.0) -> NetworkScore:
    """Return scikit-learn's perceptron with one hidden tanh layer on standardised features, as a score of the amplitudes.

    Args:
        data: Data set with its split and real amplitudes.
        seed: Random seed of the initial weights.
        hidden: Number of hidden units.
        penalty: Weight of scikit-learn's L2 penalty `alpha`.

    Returns:
        The logit, with the standardisation absorbed in the first layer.

    Raises:
        ValueError: The amplitudes are complex.

    Example:
        >>> from hattriq_cirq import datasets
        >>> data = datasets.planted_pixel(n_qubits=2, pixel=3, samples=40)
        >>> score_accuracy(neural_network(data, seed=0), data.x_test, data.y_test)
        1.0
    """
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(_only_real(data.x_train))
    network = MLPClassifier((hidden,), activation="tanh", alpha=penalty, solver="lbfgs", max_iter=5_000, random_state=seed)
    network.fit(scaler.transform(data.x_train), data.y_train)
    inner = network.coefs_[0] / scaler.scale_[:, np.newaxis]
    bias = network.intercepts_[0] - scaler.mean_ @ inner
    return NetworkScore(inner, bias, network.coefs_[1][:, 0], float(network.intercepts_[1][0]))


def score_accuracy(scorer: Scorer, x: Array, y: ArrayLike) -> float:
    """Return the share of inputs (samples, features) whose label -1 or +1 is the sign of the score.

    Example:
        >>> score_accuracy(LinearScore(np.array([1.0]), 0.0), np.array([[1.0], [-1.0]]), [1, 1])
        0.5
    """
    return float(np.mean(scorer.score(x) * np.asarray(y) > 0))


def _only_real(x: Array) -> FloatArray:
    if np.iscomplexobj(x):
        raise ValueError("classical scores need real amplitudes, and these are complex; attribute the quantum model only")
    return x
