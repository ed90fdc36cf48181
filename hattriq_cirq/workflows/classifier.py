"""A scikit-learn classifier of any number of classes over an amplitude-encoded quantum model, and what it answers about a row.

A row of numbers is scaled, a constant is appended, and the result, padded with zeros to a power of 2 and normalised, is the
state that the circuit transforms. The score of a class is a trained linear combination of products of Z on one and two qubits;
probabilities are the softmax of the scores. For two classes the score is a trained multiple of Z on one qubit.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from math import ceil, isqrt, log2
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from hattriq_cirq.attribution.baselines import BaselineSet
from hattriq_cirq.attribution.objective import Head
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.datasets.table_encoder import numbers_rows
from hattriq_cirq.foundation.arrays import Array, FloatArray, IntArray
from hattriq_cirq.foundation.checks import as_count, as_number, as_seed, as_word, check_flag, shown
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.foundation.devices import Device
from hattriq_cirq.foundation.numerics import numpy_defaults
from hattriq_cirq.foundation.reading import FileError, problem_of
from hattriq_cirq.models.ansatz import grid_ansatz, ring_ansatz
from hattriq_cirq.models.model import Model
from hattriq_cirq.models.observables import as_pauli_sum
from hattriq_cirq.models.quadratic_form import QuadraticForm
from hattriq_cirq.models.training import History, combined_observables, train
from hattriq_cirq.pipeline.integrated_gradients import integrated_gradients
from hattriq_cirq.simulation.statevector import PauliAction
from hattriq_cirq.workflows.classical import logistic_regression_of_classes
from hattriq_cirq.workflows.classifier_file import ClassifierRecord
from hattriq_cirq.workflows.row_encoding import RowEncoding, Scale

Ansatz = Literal["ring", "grid"] | Callable[[int, int], Model]
_LAYERS = 4  # of CZ: see `AmplitudeClassifier`
_STEPS = 1000  # of Adam, with which the tables of the study have converged
_EPOCHS = (10, 200)
_BATCH = 32
_DOMINANT = 0.9  # share of the squared norm
_FAR_AHEAD = 0.03  # of accuracy
_ZERO = 1e-9  # norm of a mean, relative to that of rows, that rounding can cause
_COMPARED_MAX = 5000  # rows on which logistic regression is fitted for comparison


def readout_qubits(classes: int) -> int:
    """Return the number of qubits at least for a number of classes.

    Example:
        >>> [readout_qubits(classes) for classes in (2, 3, 4, 5)]
        [1, 2, 2, 3]
    """
    return 1 if classes == 2 else ceil(log2(classes))


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
        layers: Number of layers of the ansatz; `auto` for 4, or half the number of qubits if that is more, so that on a ring
            each Z depends on every qubit. On eight tables of 2 to 7 qubits and up to ten classes, 8 layers gained less than .01
            of accuracy, and 1 lost up to .04.
        scale: Scaling of each column on the training rows: `minmax` to the range 0 to 1, `standard` to mean 0 and standard
            deviation 1, or None.
        constant: Append a constant column, so that x and -x, or multiples of x, are different states. Its size is half the root
            mean square of the norms of the scaled training rows.
        ansatz: Circuit: `ring`, `grid`, or a function of the numbers of qubits and layers, such as `hattriq_cirq.ring_ansatz`,
            that returns a model with a unitary circuit.
        validation_fraction: Share of the rows of each class that is held out, to choose the best epoch; 0 for none.
        epochs: Number of passes over the rows; `auto` for about 1,000 steps of the optimiser, in 10 to 200 passes.
        learning_rate: Learning rate of Adam.
        class_weight: Weights of the classes in the loss, as in scikit-learn: a map from classes, `balanced`, or None.
        seed: Random seed of the initial parameters, the minibatches and the held-out rows.
        verbose: Show a progress bar while training.
        device: Device that trains, "cpu", or a GPU, "cuda" or "cuda:1". Rounding differs between devices.

    Attributes:
        classes_: Labels, sorted, (classes,).
        n_features_in_: Number of columns.
        feature_names_in_: Names of the columns, if X was a table with names.
        model_: Model of the score of the second of two classes; None for more classes.
        models_: Models of one circuit whose observables are the scores: one per class, or a single one for two classes.
        measured_: Models of the same circuit with the observables that are measured, of which the scores are combinations.
        weights_: Weights of the measured observables in the scores, (classes, observables), or (1, observables).
        encoding_: Scaling, constant and padding of a row.
        mean_row_: Mean encoded training row, the baseline `mean`, (2**qubits,).
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

    def __init__(  # noqa: PLR0913  one argument for each choice of the user
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
        device: str = "cpu",
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
        self.device = device

    def fit(self, X: Any, y: Any) -> AmplitudeClassifier:
        """Train on rows and their labels.

        Args:
            X: Finite numbers, (samples, columns).
            y: Labels of any kind, (samples,), of at least two classes.

        Returns:
            This classifier.

        Raises:
            ValueError: The data or the parameters are invalid.
            DeviceError: There is no such device, or it has too little memory for the rows.
        """
        seed, verbose, device = as_seed(self.seed), check_flag(self.verbose, "verbose"), Device.of(self.device)
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has one class, {shown(self.classes_.tolist()[0])}; give rows of at least two classes")
        kept, held = self._split(labels, np.random.default_rng(seed))
        with numpy_defaults():
            least = readout_qubits(len(self.classes_))
            self.encoding_ = RowEncoding.of(X[kept], scale=self.scale, constant=self.constant, least_qubits=least)
            rows = self.encoding_.amplitudes(X)
            self.mean_row_ = rows[kept].mean(axis=0)
            self.mean_row_[X.shape[1] :] = rows[0, X.shape[1] :]  # the constant, without the rounding of a mean
            strings = self._strings()
            weights = None if self.class_weight is None else compute_sample_weight(self.class_weight, y)
            training = train(
                self._ansatz(),
                rows[kept],
                labels[kept],
                seed=seed,
                observables=strings,
                epochs=self.epochs_for(len(kept)),
                batch_size=_BATCH,
                learning_rate=self.learning_rate,
                validation=(rows[held], labels[held], None if weights is None else weights[held]) if len(held) else None,
                patience=None,
                sample_weight=None if weights is None else weights[kept],
                progress=verbose,
                device=device,
            )
            self.history_: History = training.history
            self._set_models(training.model, strings, training.weights)
            compared = held if len(held) else kept
            self.comparison_, lead = self._compared(X, labels, kept, compared)
        found = [
            *_warnings_of_columns(X, rows, self._names()),
            *([self._weakness(f"{len(compared)} {'held-out' if len(held) else 'training'} rows")] if lead > _FAR_AHEAD else []),
        ]
        for warning in found:
            warnings.warn(warning, stacklevel=2)
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

    def _ansatz(self) -> Model:
        qubits = self.encoding_.n_qubits
        layers = self.layers_for(qubits)
        if callable(self.ansatz):
            return self.ansatz(qubits, layers)
        as_word(self.ansatz, "ansatz", ("ring", "grid"))
        if self.ansatz == "ring":
            return ring_ansatz(qubits, layers)
        rows = next(r for r in range(isqrt(qubits), 0, -1) if qubits % r == 0)
        return grid_ansatz(rows, qubits // rows, layers)

    def _strings(self) -> list[str]:
        """Return the observables that are combined into scores."""
        if len(self.classes_) == 2:
            return ["Z0"]
        qubits = range(self.encoding_.n_qubits)
        return [f"Z{i}" for i in qubits] + [f"Z{i}*Z{j}" for i, j in combinations(qubits, 2)]

    def layers_for(self, n_qubits: int) -> int:
        """Return the number of layers on a number of qubits."""
        if not (isinstance(self.layers, str) and self.layers == "auto"):
            return as_count(self.layers, "layers", 0)
        return max(_LAYERS, ceil(n_qubits / 2))

    def epochs_for(self, samples: int) -> int:
        """Return the number of passes over a number of training rows."""
        if not (isinstance(self.epochs, str) and self.epochs == "auto"):
            return as_count(self.epochs, "epochs")
        return int(np.clip(ceil(_STEPS * _BATCH / samples), *_EPOCHS))

    def _names(self) -> tuple[str, ...] | None:
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else tuple(map(str, names))

    def _set_models(self, model: Model, strings: Sequence[str], weights: FloatArray) -> None:
        """Keep the trained circuit with the observables that are measured and those of the scores."""
        contract = DataContract(
            features=self.n_features_in_,
            columns=self._names(),
            classes=tuple(map(str, self.classes_.tolist())),
            constant=bool(self.encoding_.constant),
        )
        model = model.with_contract(contract)
        sums = [as_pauli_sum(each, model.qubits) for each in strings]
        self.measured_ = tuple(map(model.with_observable, sums))
        self.weights_ = weights
        self.models_ = tuple(map(model.with_observable, combined_observables(weights, sums)))
        self.model_ = self.models_[0] if len(self.models_) == 1 else None

    def _compared(self, X: FloatArray, labels: IntArray, kept: IntArray, rows: IntArray) -> tuple[dict[str, float], float]:
        """Return the accuracies of this classifier and of logistic regression on some rows, and the lead of the latter.

        A lead of less than two standard errors, which few rows give by chance, counts as 0.
        """
        own = np.argmax(self._probabilities(self.encoding_.amplitudes(X[rows])), axis=1) == labels[rows]
        fitted = kept[:: ceil(len(kept) / _COMPARED_MAX)]
        other = logistic_regression_of_classes(X[fitted], labels[fitted]).predict(X[rows]) == labels[rows]
        gains = other.astype(float) - own
        lead = float(np.mean(gains))
        is_clear = lead > 2 * float(np.std(gains)) / np.sqrt(len(rows))
        return {"this classifier": float(np.mean(own)), "logistic regression": float(np.mean(other))}, lead * is_clear

    def _weakness(self, rows: str) -> WeakModelWarning:
        own, other = self.comparison_["this classifier"], self.comparison_["logistic regression"]
        return WeakModelWarning(
            f"logistic regression reaches an accuracy of {other:.3f} on the {rows}, this classifier {own:.3f}: use more layers "
            "or epochs, constant=True and scale='minmax', or logistic regression"
        )

    def decision_function(self, X: Any) -> FloatArray:
        """Return the score of each class, (samples, classes); of two classes that of the second, (samples,)."""
        scores = self._scores(self._encoded(X))
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the probability of each class, (samples, classes)."""
        return self._probabilities(self._encoded(X))

    def predict(self, X: Any) -> Array:
        """Return the most probable class of each row, (samples,)."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[np.argmax(probabilities, axis=1)])

    def attribute(
        self,
        X: Any,
        *,
        baseline: Any = "mean",
        target: Any = None,
        models: Sequence[QuadraticForm] | None = None,
        **settings: Any,
    ) -> Attribution:
        """Attribute the probability of a class to the columns of each row, by integrated gradients.

        The path leads straight from the baseline to the row in scaled columns. The constant stays the same on it, and has the
        value 0, and the probability is that of `predict_proba` everywhere. The values sum to the difference of the
        probabilities at both ends.

        Args:
            X: Rows, (samples, columns), or one row, (columns,).
            baseline: `mean` for the mean training row, `zero` for zeros in the scaled columns, one row, (columns,), one row per
                input, (samples, columns), or a `BaselineSet` of rows. Without a constant the zero row has no state: `zero` is
                then the zero vector, at which all scores are 0 (`form="quadratic"` of `integrated_gradients`).
            target: Class whose probability is attributed, or one class per row; None for the predicted class of each row.
            models: Quadratic forms in place of `measured_`, such as learned models of them, in the same order.
            settings: Further arguments of `integrated_gradients`, such as `estimator`, `engine`, `shots` and `mitigation`.

        Returns:
            The attribution, in 2**qubits amplitudes: those of the columns, the constant, and zeros of the padding. Its contract
            has the names of the columns and classes; `predicted` and `probability` are those of this classifier.

        Raises:
            ValueError: A row, the baseline or the target is invalid.

        Example:
            >>> from sklearn.datasets import load_iris
            >>> iris = load_iris(as_frame=True)
            >>> classifier = AmplitudeClassifier(epochs=20).fit(iris.data, iris.target_names[iris.target])
            >>> a = classifier.attribute(iris.data[:2])
            >>> a.values.shape, [a.feature_name(k) for k in range(5)][2:], a.class_name(a.target[0])
            ((2, 8), ['petal length (cm)', 'petal width (cm)', 'constant'], 'setosa')
        """
        check_is_fitted(self)
        if np.ndim(X) == 1:
            X = X.to_frame().T if hasattr(X, "to_frame") else np.asarray(X)[np.newaxis]
            if target is not None and np.ndim(target) == 0:
                target = [target]
            return self.attribute(X, baseline=baseline, target=target, models=models, **settings)[0]
        rows = self._encoded(X)
        probabilities = self._probabilities(rows)
        predicted = np.argmax(probabilities, axis=1)
        targets = predicted if target is None else self._targets(target, len(rows))
        reference, form = self._baseline(baseline, rows)
        if form == "quadratic":
            rows = _unit(rows)
        if len(self.classes_) == 2:
            head = Head("sigmoid", weights=np.concatenate([-self.weights_, self.weights_]), target=targets.tolist())
        else:
            head = Head("softmax", weights=self.weights_, target=targets.tolist())
        if models is None:
            observed: dict[str, Any] = {"observables": [each.pauli_sum for each in self.measured_]}
        else:
            observed = {}
        a = integrated_gradients(
            self.measured_[0] if models is None else models,
            rows,
            baseline=reference,
            form=form,
            head=head,
            **observed,
            **settings,
        )
        words = {"mean": "mean training row", "zero": "zero in the scaled columns"}
        described = words[baseline] if isinstance(baseline, str) else a.assumptions.baseline
        return replace(
            a,
            assumptions=replace(a.assumptions, baseline=described),
            contract=self.measured_[0].contract,
            target=targets,
            predicted=predicted,
            probability=probabilities[np.arange(len(rows)), predicted],
        )

    def _targets(self, target: Any, samples: int) -> IntArray:
        """Return classes as their indices, (samples,)."""
        index = {label: i for i, label in enumerate(self.classes_.tolist())}
        labels = np.asarray(target)
        if labels.ndim and labels.shape != (samples,):
            raise ValueError(f"target of shape {labels.shape} must be one class, or one per row, ({samples},)")
        listed = np.broadcast_to(labels, samples).tolist()
        if wrong := [label for label in listed if label not in index]:
            raise ValueError(f"target={shown(wrong[0])} is none of the classes {', '.join(map(shown, index))}")
        return np.array([index[label] for label in listed], dtype=np.int64)

    def _baseline(self, baseline: Any, inputs: FloatArray) -> tuple[Any, Literal["normalized", "quadratic"]]:
        """Return a baseline as amplitudes, and the form of the scores in which it has a value."""
        if isinstance(baseline, BaselineSet):
            return BaselineSet(self._encoded(self._named(baseline.rows, baseline.columns))), "normalized"
        if not isinstance(baseline, str):
            rows = baseline.to_frame().T if hasattr(baseline, "to_frame") else baseline
            rows = np.asarray(rows, dtype=float)[np.newaxis] if np.ndim(rows) == 1 else rows
            if np.ndim(rows) != 2 or len(rows) not in (1, len(inputs)):
                raise ValueError(
                    f"baseline of shape {np.shape(baseline)} must be 'mean', 'zero', a row ({self.n_features_in_},), one row "
                    "per input, or a BaselineSet"
                )
            encoded = self._encoded(rows if hasattr(rows, "columns") else self._named(rows))
            return encoded[0] if len(encoded) == 1 else encoded, "normalized"
        if as_word(baseline, "baseline", ("mean", "zero")) == "mean":
            if np.linalg.norm(self.mean_row_) <= _ZERO * np.linalg.norm(inputs, axis=1).max():
                raise ValueError(
                    "the mean training row is zero once it is scaled, and has no state without a constant; use baseline='zero'"
                )
            return self.mean_row_, "normalized"
        zero = np.zeros(2**self.encoding_.n_qubits)
        zero[self.n_features_in_ : self.n_features_in_ + 1] = self.encoding_.constant
        return (zero, "normalized") if self.encoding_.constant else (0, "quadratic")

    def _named(self, rows: Any, columns: Sequence[str] | None = None) -> Any:
        """Return rows without names as a table with the names of the training, if it had names."""
        names = columns or self._names()
        shape = np.shape(rows)
        return rows if names is None or shape[1] != len(names) else pd.DataFrame(rows, columns=list(names))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the fitted classifier to a new JSON file; a file that exists raises FileExistsError.

        A function as `ansatz` is not written, so that a classifier that is read again predicts and attributes, but cannot be
        fitted again before the parameter is set.
        """
        check_is_fitted(self)
        record = ClassifierRecord(
            parameters=self.get_params(),
            classes=self.classes_,
            model=self.measured_[0],
            observables=tuple(self._strings()),
            weights=self.weights_,
            encoding=self.encoding_,
            mean_row=self.mean_row_,
            history=self.history_,
            comparison=self.comparison_,
        )
        return record.save(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> AmplitudeClassifier:
        """Read a fitted classifier.

        Raises:
            FileNotFoundError: The file does not exist.
            ValueError: The file is damaged or not a classifier.
        """
        record = ClassifierRecord.load(path, set(cls().get_params()))
        classifier = cls(**record.parameters)
        classifier.n_features_in_ = len(record.encoding.shift)
        if record.contract.columns is not None:
            classifier.feature_names_in_ = np.array(record.contract.columns, dtype=object)
        classifier.classes_, classifier.encoding_, classifier.mean_row_ = record.classes, record.encoding, record.mean_row
        classifier.history_, classifier.comparison_ = record.history, dict(record.comparison)
        try:
            classifier._set_models(record.model, record.observables, record.weights)
        except (ValueError, TypeError) as error:
            raise FileError(path, problem_of(error)) from error
        return classifier

    def _encoded(self, X: Any) -> FloatArray:
        """Return checked rows as amplitudes."""
        check_is_fitted(self)
        with numpy_defaults():
            return self.encoding_.amplitudes(validate_data(self, X, dtype=np.float64, reset=False))

    def _probabilities(self, rows: FloatArray) -> FloatArray:
        scores = self._scores(rows)
        if scores.shape[1] == 1:
            return np.concatenate([expit(-scores), expit(scores)], axis=1)
        return np.asarray(softmax(scores, axis=1))

    def _scores(self, rows: FloatArray) -> FloatArray:
        """Return the scores of amplitudes, (samples, models)."""
        with numpy_defaults():
            states = self.models_[0].evolve(_unit(rows)).T
            scores = [
                np.einsum("ks,ks->s", states.conj(), PauliAction.of(each.pauli_sum, each.qubits).apply(states)).real
                for each in self.models_
            ]
        return np.stack(scores, axis=1)


def _unit(rows: FloatArray) -> FloatArray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _warnings_of_columns(X: FloatArray, rows: FloatArray, names: tuple[str, ...] | None) -> list[ClassifierWarning]:
    """Return warnings of a column that dominates the norm of the encoded rows, and of columns that count rows."""
    squares = rows[:, : X.shape[1]] ** 2
    totals = squares.sum(axis=1, keepdims=True)
    shares = np.mean(squares / np.where(totals > 0, totals, 1), axis=0)
    largest = int(np.argmax(shares))
    found: list[ClassifierWarning] = []
    if len(shares) > 1 and shares[largest] > _DOMINANT:
        found.append(
            DominantColumnWarning(
                f"{_column(largest, names)} makes up {shares[largest]:.0%} of the squared norm of the rows, so that the other "
                "columns hardly change their states: use scale='minmax' or scale='standard', or remove the column"
            )
        )
    return found + [
        IndexColumnWarning(f"{_column(index, names)} counts rows; it says nothing about other rows: remove it")
        for index, column in enumerate(X.T)
        if numbers_rows(column)
    ]


def _column(index: int, names: tuple[str, ...] | None) -> str:
    return f"column {index}" if names is None else f"column {names[index]!r}"
