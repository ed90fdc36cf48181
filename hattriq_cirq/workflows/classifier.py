"""A scikit-learn classifier of any number of classes over an amplitude-encoded quantum model, and what it answers about a row.

A row of numbers is scaled, a constant is appended, and the result, padded with zeros to a power of 2 and normalised, is the
state that the circuit transforms. The score of a class is a trained linear combination of products of Z on one and two qubits;
probabilities are the softmax of the scores. For two classes the score is a trained multiple of Z on one qubit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from math import ceil, isqrt, log2
from typing import Any, Literal

import cirq
import numpy as np
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from hattriq_cirq.foundation.arrays import Array, FloatArray, IntArray
from hattriq_cirq.foundation.checks import as_count, as_number, as_seed, as_word, check_flag, shown
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.models.ansatz import grid_ansatz, ring_ansatz
from hattriq_cirq.models.model import Model
from hattriq_cirq.models.training import History, train
from hattriq_cirq.simulation.statevector import PauliAction

Scale = Literal["minmax", "standard"]
Ansatz = Literal["ring", "grid"] | Callable[[int, int], Model]
_LAYERS = 4  # of CZ: see `AmplitudeClassifier`
_STEPS = 1000  # of Adam, with which the tables of the study have converged
_EPOCHS = (10, 100)
_BATCH = 32
_CONSTANT = 0.5  # size of the constant in units of the root mean square of the norms of the scaled rows
_DOMINANT = 0.9  # share of the squared norm
_FAR_AHEAD = 0.03  # of accuracy
_COMPARED_MAX = 5000  # rows on which logistic regression is fitted for comparison
_COUNTED_MIN = 20  # rows from which a column that counts them is distinguished from chance


class ClassifierWarning(UserWarning):
    """Warning of `AmplitudeClassifier` on its data or its accuracy; the message says the cure.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     _ = AmplitudeClassifier(scale=None, epochs=1).fit([[1, 900], [2, 900], [3, 900]], [0, 1, 1])
        >>> issubclass(caught[0].category, ClassifierWarning), str(caught[0].message)[:44]
        (True, 'column 1 makes up 100% of the squared norm o')
    """


class DominantColumnWarning(ClassifierWarning):
    """One column makes up nearly all of the norm of the rows, so that normalised rows differ little in the others."""


class IndexColumnWarning(ClassifierWarning):
    """A column numbers the rows: it says nothing about a row that comes later."""


class WeakModelWarning(ClassifierWarning):
    """Logistic regression on the same rows is far more accurate."""


class AmplitudeClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classifier of any number of classes over an amplitude-encoded quantum model, for scikit-learn.

    It takes numbers only; put `TableEncoder` or scikit-learn's own transformers before it in a pipeline.

    Args:
        layers: Number of layers of the ansatz; `auto` for 4.
        scale: Scaling of each column on the training rows: `minmax` to the range 0 to 1, `standard` to mean 0 and standard
            deviation 1, or None.
        constant: Append a constant column, so that x and -x, or multiples of x, are different states. Its size is half the root
            mean square of the norms of the scaled training rows.
        ansatz: Circuit: `ring`, `grid`, or a function of the numbers of qubits and layers, such as `hattriq_cirq.ring_ansatz`,
            that returns a model with a unitary circuit.
        validation_fraction: Share of the rows of each class that is held out, to choose the best epoch; 0 for none.
        epochs: Number of passes over the rows; `auto` for about 1,000 steps of the optimiser, in 10 to 100 passes.
        learning_rate: Learning rate of Adam.
        class_weight: Weights of the classes in the loss, as in scikit-learn: a map from classes, `balanced`, or None.
        seed: Random seed of the initial parameters, the minibatches and the held-out rows.
        verbose: Show a progress bar while training.

    Attributes:
        classes_: Labels, sorted, (classes,).
        n_features_in_: Number of columns.
        feature_names_in_: Names of the columns, if X was a table with names.
        model_: Trained model with the score of the second of two classes as its observable; None for more classes.
        models_: Models of one circuit whose observables are the scores: one per class, or a single one for two classes.
        shift_, factor_: Scaling: a scaled row is (row - shift_) * factor_, (n_features_in_,) each.
        constant_: Size of the constant column; 0 for none.
        mean_row_: Mean scaled training row with its constant, padded, (2**qubits,): the baseline `mean`.
        history_: Losses and accuracies, one entry per epoch.
        comparison_: Accuracies of this classifier and of logistic regression on the same rows.

    Warns:
        DominantColumnWarning: One column makes up nearly all of the norm.
        IndexColumnWarning: A column counts rows.
        WeakModelWarning: Logistic regression is ahead by more than .03 on the same rows.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> x, y = load_iris(return_X_y=True)
        >>> classifier = AmplitudeClassifier(seed=0).fit(x, y)
        >>> classifier.score(x, y) > 0.95
        True
    """

    def __init__(
        self,
        *,
        layers: int | Literal["auto"] = "auto",
        scale: Scale | None = "minmax",
        constant: bool = True,
        ansatz: Ansatz = "ring",
        validation_fraction: float = 0.0,
        epochs: int | Literal["auto"] = "auto",
        learning_rate: float = 0.05,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        seed: int = 0,
        verbose: bool = False,
    ) -> None:
        self.layers = layers
        self.scale = scale
        self.constant = constant
        self.ansatz = ansatz
        self.validation_fraction = validation_fraction
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.class_weight = class_weight
        self.seed = seed
        self.verbose = verbose

    @with_numpy_defaults
    def fit(self, X: Any, y: Any) -> AmplitudeClassifier:
        """Train on rows and their labels.

        Args:
            X: Finite numbers, (samples, columns).
            y: Labels of any kind, (samples,), of at least two classes.

        Returns:
            This classifier.

        Raises:
            ValueError: The data or the parameters are invalid.
        """
        seed = as_seed(self.seed)
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has one class, {shown(self.classes_.tolist()[0])}; give rows of at least two classes")
        kept, held = self._split(labels, np.random.default_rng(seed))
        self._fit_encoding(X[kept])
        rows = self._encode(X)
        _warn_of_columns(X, rows, self._names())
        weights = None if self.class_weight is None else compute_sample_weight(self.class_weight, y[kept])
        strings = self._strings()
        training = train(
            self._ansatz(),
            rows[kept],
            labels[kept],
            seed=seed,
            observables=strings,
            epochs=self._epochs(len(kept)),
            batch_size=_BATCH,
            learning_rate=self.learning_rate,
            validation=(rows[held], labels[held]) if len(held) else None,
            patience=None,
            sample_weight=weights,
            progress=check_flag(self.verbose, "verbose"),
        )
        self.history_: History = training.history
        self._set_models(training.model, training.observables)
        self.mean_row_ = rows[kept].mean(axis=0)
        self._compare(X, labels, kept, held)
        return self

    def _split(self, labels: IntArray, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Return the rows to train on and those held out; every class keeps a row to train on."""
        fraction = as_number(self.validation_fraction, "validation_fraction", 0, below=1)
        held = []
        for label in range(len(self.classes_)):
            own = rng.permutation(np.flatnonzero(labels == label))
            held.append(own[: min(round(fraction * len(own)), len(own) - 1)])
        chosen = np.sort(np.concatenate(held))
        return np.setdiff1d(np.arange(len(labels)), chosen), chosen

    def _fit_encoding(self, X: FloatArray) -> None:
        """Choose scaling, constant and number of qubits by the training rows."""
        self.shift_, self.factor_ = np.zeros(X.shape[1]), np.ones(X.shape[1])
        if self.scale is not None:
            as_word(self.scale, "scale", ("minmax", "standard"))
            scaler = (MinMaxScaler if self.scale == "minmax" else StandardScaler)().fit(X)
            if self.scale == "minmax":
                self.shift_, self.factor_ = scaler.data_min_, scaler.scale_
            else:
                self.shift_, self.factor_ = scaler.mean_, 1 / scaler.scale_
        self.constant_ = 0.0
        if check_flag(self.constant, "constant"):
            size = float(np.sqrt(np.mean(np.sum(self._scaled(X) ** 2, axis=1))))
            self.constant_ = _CONSTANT * size if size else 1.0
        readout = 1 if len(self.classes_) == 2 else ceil(log2(len(self.classes_)))
        self._n_qubits = max(ceil(log2(X.shape[1] + self.constant)), readout)

    def _scaled(self, X: FloatArray) -> FloatArray:
        return (X - self.shift_) * self.factor_

    def _encode(self, X: FloatArray) -> FloatArray:
        """Return scaled rows with the constant, padded to the number of amplitudes, not normalised."""
        rows = np.zeros((len(X), 2**self._n_qubits))
        columns = self.n_features_in_
        rows[:, :columns] = self._scaled(X)
        if self.constant_:
            rows[:, columns] = self.constant_
        elif len(zero := np.flatnonzero(~rows.any(axis=1))):
            raise ValueError(f"row {zero[0]} of X is zero once it is scaled and has no state; use constant=True")
        return rows

    def _ansatz(self) -> Model:
        layers = _LAYERS if isinstance(self.layers, str) and self.layers == "auto" else as_count(self.layers, "layers", 0)
        if callable(self.ansatz):
            return self.ansatz(self._n_qubits, layers)
        as_word(self.ansatz, "ansatz", ("ring", "grid"))
        if self.ansatz == "ring":
            return ring_ansatz(self._n_qubits, layers)
        rows = next(r for r in range(isqrt(self._n_qubits), 0, -1) if self._n_qubits % r == 0)
        return grid_ansatz(rows, self._n_qubits // rows, layers)

    def _strings(self) -> list[str]:
        """Return the observables that are combined into scores."""
        if len(self.classes_) == 2:
            return ["Z0"]
        qubits = range(self._n_qubits)
        return [f"Z{i}" for i in qubits] + [f"Z{i}*Z{j}" for i, j in combinations(qubits, 2)]

    def _epochs(self, samples: int) -> int:
        if not (isinstance(self.epochs, str) and self.epochs == "auto"):
            return as_count(self.epochs, "epochs")
        return int(np.clip(ceil(_STEPS * _BATCH / samples), *_EPOCHS))

    def _names(self) -> tuple[str, ...] | None:
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else tuple(map(str, names))

    def _set_models(self, model: Model, scores: tuple[cirq.PauliSum, ...]) -> None:
        """Keep the trained circuit with the observables of the scores."""
        names = tuple(map(str, self.classes_))
        contract = DataContract(features=self.n_features_in_, columns=self._names(), classes=names if len(names) == 2 else None)
        self.models_ = tuple(model.with_observable(score).with_contract(contract) for score in scores)
        self.model_ = self.models_[0] if len(self.models_) == 1 else None

    def _compare(self, X: FloatArray, labels: IntArray, kept: IntArray, held: IntArray) -> None:
        """Compare with logistic regression: on the held-out rows, or on those of the training."""
        rows = held if len(held) else kept
        own = float(np.mean(np.argmax(self._probabilities(X[rows]), axis=1) == labels[rows]))
        fitted = kept[:: ceil(len(kept) / _COMPARED_MAX)]
        regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            other = float(regression.fit(X[fitted], labels[fitted]).score(X[rows], labels[rows]))
        self.comparison_ = {"this classifier": own, "logistic regression": other}
        if other - own > _FAR_AHEAD:
            where = "held-out" if len(held) else "training"
            warnings.warn(
                f"logistic regression reaches an accuracy of {other:.3f} on the {len(rows)} {where} rows, this classifier "
                f"{own:.3f}: use more layers or epochs, constant=True and scale='minmax', or logistic regression",
                WeakModelWarning,
                stacklevel=3,
            )

    @with_numpy_defaults
    def decision_function(self, X: Any) -> FloatArray:
        """Return the score of each class, (samples, classes); of two classes that of the second, (samples,)."""
        return self._scores(self._checked(X))

    @with_numpy_defaults
    def predict_proba(self, X: Any) -> FloatArray:
        """Return the probability of each class, (samples, classes)."""
        return self._probabilities(self._checked(X))

    def predict(self, X: Any) -> Array:
        """Return the most probable class of each row, (samples,)."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[np.argmax(probabilities, axis=1)])

    def _checked(self, X: Any) -> FloatArray:
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=np.float64, reset=False))

    def _probabilities(self, X: FloatArray) -> FloatArray:
        scores = self._scores(X)
        if scores.ndim == 1:
            return np.column_stack([expit(-scores), expit(scores)])
        return np.asarray(softmax(scores, axis=1))

    def _scores(self, X: FloatArray) -> FloatArray:
        rows = self._encode(X)
        states = self.models_[0].evolve(rows / np.linalg.norm(rows, axis=1, keepdims=True)).T
        scores = np.stack(
            [
                np.einsum("ks,ks->s", states.conj(), PauliAction.of(each.pauli_sum, each.qubits).apply(states)).real
                for each in self.models_
            ],
            axis=1,
        )
        return scores[:, 0] if len(self.models_) == 1 else scores


def _warn_of_columns(X: FloatArray, rows: FloatArray, names: tuple[str, ...] | None) -> None:
    """Warn of a column that dominates the norm of the encoded rows, and of columns that count rows."""
    columns = X.shape[1]
    squares = rows[:, :columns] ** 2
    totals = squares.sum(axis=1, keepdims=True)
    shares = np.mean(squares / np.where(totals > 0, totals, 1), axis=0)
    largest = int(np.argmax(shares))
    if columns > 1 and shares[largest] > _DOMINANT:
        warnings.warn(
            f"{_column(largest, names)} makes up {shares[largest]:.0%} of the squared norm of the rows, so that the other "
            "columns hardly change their states: use scale='minmax' or scale='standard', or remove the column",
            DominantColumnWarning,
            stacklevel=4,
        )
    for index in _counting_columns(X):
        warnings.warn(
            f"{_column(index, names)} counts rows; it says nothing about other rows: remove it",
            IndexColumnWarning,
            stacklevel=4,
        )


def _column(index: int, names: tuple[str, ...] | None) -> str:
    return f"column {index}" if names is None else f"column {names[index]!r}"


def _counting_columns(X: FloatArray) -> Iterator[int]:
    """Yield the columns of different whole numbers of which at least every second one in their range occurs."""
    if len(X) < _COUNTED_MIN:
        return
    for index, column in enumerate(X.T):
        if np.all(column == np.round(column)) and np.ptp(column) < 2 * len(X) and len(np.unique(column)) == len(X):
            yield index
