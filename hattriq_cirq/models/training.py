"""Training: the logistic loss of a model's scores, minimised by Adam or L-BFGS with exact adjoint gradients.

The scores are the expectation of the model's own observable for two classes, or for any number of classes trained linear
combinations of several observables, one per class. The loss is the cross-entropy of their softmax; of two classes with a single
score that is the logistic loss.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import cirq
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult, minimize
from scipy.special import expit, logsumexp

from hattriq_cirq.foundation.arrays import Array, FloatArray, freeze, scaling_exponents, times_power_of_2, unit_vectors
from hattriq_cirq.foundation.card import Card, Displayed
from hattriq_cirq.foundation.checks import as_count, as_labels, as_number, as_seed, as_word, check_flag, check_type
from hattriq_cirq.foundation.contract import DataContract, column_names
from hattriq_cirq.foundation.devices import CPU, Device
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.foundation.progress import is_shown, progress_bar
from hattriq_cirq.foundation.rows import home
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.gradients import TrainableProgram
from hattriq_cirq.models.learned import LearnedModel
from hattriq_cirq.models.model import Model, model_inputs
from hattriq_cirq.models.observables import Observable, as_pauli_sum

Optimizer = Literal["adam", "lbfgs"]
_EPOCHS_MAX = 10**9
_SCALE_MAX = 1e6  # the logistic loss is a step from here on, and its gradient soon overflows
_ANGLE_MAX = 1e3  # radians
_SPREAD = 0.1  # standard deviation of the weights at the start, relative to the scale, so that no two classes are the same
_CLASSES_MAX = 1000
_A_MODEL = "a Model, such as ring_ansatz(n_qubits, layers)"


@dataclass(frozen=True, eq=False)
class History(Frozen):
    """Losses and accuracies after each epoch; `validation_*` are NaN if there is no validation set.

    Args:
        loss: Mean loss on the training set, (epochs,), without the penalty on the weights.
        accuracy: Accuracy on the training set in [0, 1], (epochs,).
        validation_loss: Mean loss on the validation set, (epochs,).
        validation_accuracy: Accuracy on the validation set, (epochs,).
    """

    loss: FloatArray
    accuracy: FloatArray
    validation_loss: FloatArray
    validation_accuracy: FloatArray

    def __post_init__(self) -> None:
        names = ("loss", "accuracy", "validation_loss", "validation_accuracy")
        freeze(self, **{name: np.asarray(getattr(self, name), dtype=float) for name in names})
        super().__post_init__()

    def __len__(self) -> int:
        return len(self.loss)


@dataclass(frozen=True, eq=False)
class Training(Displayed, Frozen):
    """A trained model with the history of its training.

    Args:
        model: Model with the parameters of the best epoch: the least validation loss, or the least loss without validation.
        history: Losses and accuracies, one entry per epoch.
        best_epoch: Index of the best epoch in the history, from 0; texts and pictures count epochs from 1.
        stopped: Reason why training ended: `epochs`, `patience` or `converged`.
        seed: Random seed of the initial angles and of the minibatches.
        seconds: Wall time.
        observables: Scores of the classes as observables with the trained weights, one per class, whose softmax is the
            probability of each class; for two classes a single one, whose sign is the class. Empty if none were given.
        weights: Their weights, (classes, observables), (1, observables) for two classes; empty if no observables were given.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> training = train(ring_ansatz(1, 1), [[1, 0], [0, 1]], [1, -1], seed=0, epochs=5)
        >>> len(training.history), training.stopped
        (5, 'epochs')
    """

    model: Model
    history: History
    best_epoch: int
    stopped: str
    seed: int
    seconds: float
    observables: tuple[cirq.PauliSum, ...] = ()
    weights: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))

    def __post_init__(self) -> None:
        freeze(self, weights=self.weights)

    def card(self) -> Card:
        """Return the epochs, and the loss and the accuracies of the best one."""
        h, i = self.history, self.best_epoch
        rows = [("training", f"{h.loss[i]:.4f}", f"{h.accuracy[i]:.4f}")]
        if not np.isnan(h.validation_loss[i]):
            rows.append(("validation", f"{h.validation_loss[i]:.4f}", f"{h.validation_accuracy[i]:.4f}"))
        facts = [("best epoch", f"{i + 1} of {len(h)}"), ("stopped by", self.stopped), ("time", f"{self.seconds:.1f} s")]
        return Card(f"Training of {self.model!r}", facts, ("best epoch", "loss", "accuracy"), rows)

    def __repr__(self) -> str:
        h, i = self.history, self.best_epoch
        return (
            f"Training({quantity(len(h), 'epoch')} in {self.seconds:.1f} s, stopped by {self.stopped}; best epoch {i + 1}: "
            f"loss {h.loss[i]:.4f}, accuracy {h.accuracy[i]:.4f})"
        )


@with_numpy_defaults
def accuracy(model: Model | LearnedModel, x: ArrayLike, y: ArrayLike) -> float:
    """Return the share of inputs whose label is the sign of the expectation; an expectation of exactly 0 counts as an error.

    Args:
        model: The classifier, trained or learned.
        x: Inputs, (samples, features).
        y: Labels -1 and +1, (samples,).

    Returns:
        Accuracy in [0, 1].

    Raises:
        ValueError: The inputs are invalid, or the labels are not -1 and +1, one per input.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> accuracy(ring_ansatz(1, 0), [[1, 0], [0, 1]], [1, 1])
        0.5
    """
    check_type(model, "model", Model | LearnedModel, _A_MODEL)
    rows, labels = _check_data(x, y, model, "x", "y")
    rows = times_power_of_2(rows, -scaling_exponents(rows))  # the sign does not depend on the size, but F(x) may be 0 by it
    return float(np.mean(np.sign(model.expectation(rows)) * labels > 0))


@with_numpy_defaults
def train(  # noqa: PLR0913
    model: Model,
    x: ArrayLike,
    y: ArrayLike,
    *,
    seed: int,
    optimizer: Optimizer = "adam",
    epochs: int = 200,
    batch_size: int | None = 64,
    learning_rate: float = 0.05,
    scale: float = 10.0,
    start: float | Literal["model"] = 0.1,
    validation: tuple[ArrayLike, ArrayLike] | tuple[ArrayLike, ArrayLike, ArrayLike | None] | None = None,
    patience: int | None = 50,
    progress: bool = False,
    observables: Sequence[Observable] | None = None,
    penalty: float = 0.01,
    sample_weight: ArrayLike | None = None,
    device: Device | str | None = None,
) -> Training:
    """Train the parameters of a model so that the sign of its expectation is the label, or of several scores the largest.

    The loss is the mean of log(1 + exp(-scale y F(x))) with F of the normalised rows, so that |F| <= 1 for a Pauli string. With
    `observables` it is the cross-entropy of the softmax of the classes' scores sum_j w_cj <O_j>, with trained weights w; two
    classes have one score.

    Args:
        model: Model whose params are trained; `gradients.TrainableProgram` lists the gates it may contain.
        x: Inputs, (samples, features), real or complex; rows are normalised. If it is a table with column names, the trained
            model keeps them, and refuses tables with other columns.
        y: Labels -1 and +1, (samples,); with `observables` classes 0, 1, ..., each of which occurs.
        seed: Random seed of the initial angles and weights and of the order of minibatches.
        optimizer: `adam` on minibatches, or `lbfgs` (SciPy) on the whole set.
        epochs: Largest number of passes over the data, or of L-BFGS iterations; >= 1.
        batch_size: Number of samples in a minibatch of Adam; None for the whole set.
        learning_rate: Learning rate of Adam, which falls to 0 along a half cosine over the epochs.
        scale: Steepness of the logistic loss, > 0; the size of the first weights if they are trained.
        start: Standard deviation of the initial angles in radians, small so that the first gradients do not vanish; `model`
            to start from the model's own params.
        validation: Inputs and labels that are held out, or these and their weights in the loss; the best epoch is then the one
            with the least loss on them.
        patience: Number of epochs without improvement after which training stops; None to never stop early.
        progress: Show a progress bar, which is shown in any case where bars are asked for.
        observables: Observables on the qubits of a unitary model, such as `["Z0", "Z1", "Z0*Z1"]`, whose trained linear
            combinations are the scores of the classes; None for the model's own observable.
        penalty: Weight of half the sum of squares of the trained weights in the sum of all losses, >= 0: it bounds them where
            the classes can be separated.
        sample_weight: Weight of each input in the loss, (samples,), >= 0; None for equal weights.
        device: Device that computes, "cpu", "cuda" or "cuda:1", in double precision; None for the one that x lies on, if it is
            an array of CuPy or PyTorch. Rounding may differ from that of NumPy.

    Returns:
        The trained model, its history and the reason why training stopped.

    Raises:
        ValueError: The data or the settings are invalid.
        DeviceError: There is no such device, or it has too little memory for the data.

    Example:
        >>> from hattriq_cirq import datasets, ring_ansatz
        >>> data = datasets.bars_and_stripes(side=2)
        >>> training = train(ring_ansatz(2, 1), data.x_train, data.y_train, seed=0, epochs=20)
        >>> accuracy(training.model, data.x_test, data.y_test)
        1.0
    """
    check_type(model, "model", Model, _A_MODEL)
    as_word(optimizer, "optimizer", ("adam", "lbfgs"))
    epochs = as_count(epochs, "epochs", maximum=_EPOCHS_MAX, advice=f"be positive, a whole number up to {_EPOCHS_MAX:.0e}")
    learning_rate, scale = (
        as_number(number, name, above=0, maximum=largest, advice=f"be positive and at most {largest:g}")
        for number, name, largest in ((learning_rate, "learning_rate", _ANGLE_MAX), (scale, "scale", _SCALE_MAX))
    )
    batch_size, patience = (
        None if count is None else as_count(count, name, advice="be at least 1, a whole number or None")
        for count, name in ((batch_size, "batch_size"), (patience, "patience"))
    )
    if not (isinstance(start, str) and start == "model"):
        start = as_number(start, "start", 0, _ANGLE_MAX, advice=f"be a number of radians from 0 to {_ANGLE_MAX:g}, or 'model'")
    check_flag(progress, "progress")
    start_time = time.perf_counter()
    rng = np.random.default_rng(seed := as_seed(seed))
    penalty = as_number(penalty, "penalty", 0, _SCALE_MAX)
    sums = None if observables is None else _as_observables(observables, model)
    program = TrainableProgram(model, sums)
    device = Device.holding(x) if device is None else Device.of(device)
    rows, labels = _normalised(x, y, model, "x", "y", are_classes=sums is not None)
    readout = _FixedScale(scale) if sums is None else _TrainedWeights.of(len(sums), labels, scale, penalty / len(labels))
    objective = _Objective(program, rows, labels, readout, _as_weights(sample_weight, len(labels)), device)
    if model.contract is None and (columns := column_names(x)) is not None:
        model = model.with_contract(DataContract(columns=columns))
    held_out = None
    if validation is not None:
        check_type(validation, "validation", tuple, "a pair of inputs and labels, or None")
        held = _normalised(*validation[:2], model, "validation x", "validation y", are_classes=sums is not None)
        readout.check(held[1], "validation y")
        held_weights = validation[2] if len(validation) == 3 else None
        held_out = _Objective(program, *held, readout, _as_weights(held_weights, len(held[1])), device)
    theta = (
        np.array([model.params[name] for name in program.names])
        if start == "model"
        else rng.normal(0, start, len(program.names))
    )
    theta = np.concatenate([theta, readout.start(rng)])
    tracker = _Progress(objective, held_out, patience)
    with progress_bar(shown=progress or is_shown(), total=epochs, desc="training", unit="epoch", leave=False) as bar:

        def after_epoch(theta: FloatArray) -> bool:
            keep_training = tracker.add(theta)
            bar.set_postfix_str(f"loss {tracker.rows[-1][0]:.4f}, accuracy {tracker.rows[-1][1]:.3f}", refresh=False)
            bar.update()
            return keep_training

        if optimizer == "adam":
            steps = _adam(objective, theta, rng, epochs, batch_size or objective.samples, learning_rate)
            stopped = "epochs" if all(after_epoch(step) for step in steps) else "patience"
        else:
            stopped = _lbfgs(objective, theta, epochs, after_epoch)
    angles, weights = objective.split(tracker.best_theta)
    return Training(
        model=model.with_params(dict(model.params) | dict(zip(program.names, angles.tolist(), strict=True))),
        history=History(*np.array(tracker.rows).T),
        best_epoch=tracker.best_epoch,
        stopped=stopped,
        seed=seed,
        seconds=time.perf_counter() - start_time,
        observables=() if sums is None else combined_observables(readout.matrix(weights), sums),
        weights=readout.matrix(weights),
    )


def combined_observables(weights: FloatArray, observables: Sequence[cirq.PauliSum]) -> tuple[cirq.PauliSum, ...]:
    """Return the linear combinations of observables with weights (combinations, observables).

    Example:
        >>> qubit = cirq.LineQubit(0)
        >>> print(*combined_observables(np.array([[2.0]]), [cirq.PauliSum.from_pauli_strings(cirq.Z(qubit))]))
        2.000*Z(q(0))
    """
    terms = [list(each) for each in observables]
    return tuple(
        cirq.PauliSum.from_pauli_strings([weight * term for weight, own in zip(row, terms, strict=True) for term in own])
        for row in weights.tolist()
    )


class _Losses(NamedTuple):
    """Losses of samples, (samples,), their derivatives by each score, and True where the sample is classified correctly."""

    values: FloatArray
    slopes: FloatArray
    correct: NDArray[np.bool_]


def _losses(scores: FloatArray, y: FloatArray) -> _Losses:
    """Return the cross-entropy of the softmax of scores (classes, samples), or of one score (samples,) and labels -1, +1."""
    if scores.ndim == 1:
        margins = y * scores
        return _Losses(np.logaddexp(0, -margins), -y * expit(-margins), margins > 0)
    classes, samples = y.astype(np.intp), np.arange(len(y))
    total = logsumexp(scores, axis=0)
    slopes = np.exp(scores - total)
    slopes[classes, samples] -= 1
    return _Losses(total - scores[classes, samples], slopes, np.argmax(scores, axis=0) == classes)


@dataclass(frozen=True)
class _FixedScale:
    """The score of two classes: the expectation times a fixed scale."""

    scale: float

    def start(self, rng: np.random.Generator) -> FloatArray:
        return np.zeros(0)

    def check(self, labels: FloatArray, name: str) -> None:
        """Accept all labels -1 and +1."""

    def scores(self, weights: FloatArray, expectations: FloatArray) -> FloatArray:
        return self.scale * expectations

    def gradients(self, weights: FloatArray, expectations: FloatArray, slopes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the derivatives by the expectations and by the weights."""
        return self.scale * slopes, weights

    def penalty(self, weights: FloatArray) -> tuple[float, FloatArray]:
        return 0.0, weights

    def matrix(self, weights: FloatArray) -> FloatArray:
        return np.zeros((0, 0))


@dataclass(frozen=True)
class _TrainedWeights:
    """Scores that are linear combinations of expectations, with trained weights, (classes, observables); one for two classes.

    Args:
        classes: Number of classes.
        observables: Number of observables.
        unit: Size of the weights at the start, in whose units they are trained, so that the steps of Adam fit them.
        strength: Factor of half the sum of their squares in the mean loss.
    """

    classes: int
    observables: int
    unit: float
    strength: float

    @classmethod
    def of(cls, observables: int, labels: FloatArray, unit: float, strength: float) -> _TrainedWeights:
        classes = int(labels.max()) + 1
        if missing := sorted(set(range(classes)) - set(labels.astype(int).tolist())):
            raise ValueError(f"y has no sample of class {missing[0]}; number the classes that occur from 0")
        if classes < 2:
            raise ValueError("y has one class, 0; give samples of at least two classes")
        return cls(classes, observables, unit, strength)

    @property
    def shape(self) -> tuple[int, int]:
        return 1 if self.classes == 2 else self.classes, self.observables

    def start(self, rng: np.random.Generator) -> FloatArray:
        return (np.eye(*self.shape) + rng.normal(0, _SPREAD, self.shape)).reshape(-1)

    def check(self, labels: FloatArray, name: str) -> None:
        """Refuse a class that was not trained."""
        if labels.max() >= self.classes:
            raise ValueError(f"{name} has the class {int(labels.max())}, which y has not; give y samples of each class")

    def matrix(self, weights: FloatArray) -> FloatArray:
        """Return the weights in full size, (classes, observables)."""
        return self.unit * weights.reshape(self.shape)

    def scores(self, weights: FloatArray, expectations: FloatArray) -> FloatArray:
        scores = self.matrix(weights) @ expectations
        return scores[0] if self.classes == 2 else scores

    def gradients(self, weights: FloatArray, expectations: FloatArray, slopes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the derivatives by the expectations and by the weights."""
        slopes = slopes.reshape(-1, slopes.shape[-1])
        return self.matrix(weights).T @ slopes, self.unit * (slopes @ expectations.T).reshape(-1)

    def penalty(self, weights: FloatArray) -> tuple[float, FloatArray]:
        """Return the penalty in the mean loss, and its derivative."""
        factor = self.strength * self.unit**2
        return float(factor * (weights @ weights) / 2), factor * weights


class _Objective:
    """The loss of a data set, or of a part of it, as a function of angles and weights, with its gradient."""

    def __init__(
        self,
        program: TrainableProgram,
        x: Array,
        y: FloatArray,
        readout: _FixedScale | _TrainedWeights,
        shares: FloatArray | None = None,
        device: Device = CPU,
    ) -> None:
        with device.computing("a copy of the training inputs"):
            self._x = device.asarray(x)
        self._program, self._readout, self._shares, self._device = program, readout, shares, device
        is_binary = isinstance(readout, _TrainedWeights) and readout.classes == 2
        self._y = 2 * y - 1 if is_binary else y
        self.samples = len(y)

    def split(self, point: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the angles and the weights of the readout."""
        angles = len(self._program.names)
        return point[:angles], point[angles:]

    def loss_gradient(self, point: FloatArray, part: slice | NDArray[np.intp] = slice(None)) -> tuple[float, FloatArray]:
        angles, weights = self.split(point)
        y, shares = self._y[part], None if self._shares is None else self._shares[part]
        by_weights = weights

        def loss(expectations: FloatArray) -> tuple[float, FloatArray]:
            nonlocal by_weights
            losses = _losses(self._readout.scores(weights, expectations), y)
            slopes = losses.slopes if shares is None else losses.slopes * shares
            by_expectations, by_weights = self._readout.gradients(weights, expectations, slopes)
            return _mean(losses.values, shares), by_expectations / len(y)

        with self._device.computing("the training"):
            value, by_angles = self._program.loss_gradient(angles, self._columns(part), loss)
        if not len(weights):
            return value, by_angles
        penalty, by_penalty = self._readout.penalty(weights)
        return value + penalty, np.concatenate([by_angles, by_weights / len(y) + by_penalty])

    def _columns(self, part: slice | NDArray[np.intp]) -> Any:
        """Return some of the inputs, where they are."""
        if isinstance(part, slice) or self._device.is_numpy:
            return self._x[:, part]
        return self._device.xp.take(self._x, self._device.asarray(part), axis=1)

    def loss_accuracy(self, point: FloatArray) -> tuple[float, float]:
        angles, weights = self.split(point)
        with self._device.computing("the training"):
            expectations = self._program.expectations(angles, self._x)
        losses = _losses(self._readout.scores(weights, expectations), self._y)
        return _mean(losses.values, self._shares), float(np.mean(losses.correct))


def _mean(values: FloatArray, shares: FloatArray | None) -> float:
    return float(np.mean(values if shares is None else values * shares))


class _Progress:
    """The history so far and the best parameters in it."""

    def __init__(self, training: _Objective, validation: _Objective | None, patience: int | None) -> None:
        self._training, self._validation, self._patience = training, validation, patience
        self.rows: list[tuple[float, float, float, float]] = []
        self.best_epoch, self.best_theta, self._least = 0, np.zeros(0), np.inf

    def add(self, theta: FloatArray) -> bool:
        """Add an epoch, and return True if training should continue."""
        on_training = self._training.loss_accuracy(theta)
        held_out = self._validation.loss_accuracy(theta) if self._validation else (np.nan, np.nan)
        loss = held_out[0] if self._validation else on_training[0]
        if not np.isfinite(loss):
            raise ValueError(f"the loss after epoch {len(self.rows) + 1} is {loss}: lower the learning rate or the scale")
        if loss < self._least:
            self.best_epoch, self.best_theta, self._least = len(self.rows), theta.copy(), loss
        self.rows.append((*on_training, *held_out))
        return self._patience is None or len(self.rows) - 1 - self.best_epoch < self._patience


def _adam(
    objective: _Objective, theta: FloatArray, rng: np.random.Generator, epochs: int, batch_size: int, learning_rate: float
) -> Iterator[FloatArray]:
    """Yield the parameters after each epoch (Kingma and Ba 2015, with a cosine schedule)."""
    first, second, step = np.zeros_like(theta), np.zeros_like(theta), 0
    batches = -(-objective.samples // batch_size)
    for _ in range(epochs):
        for part in np.array_split(rng.permutation(objective.samples), batches):
            _, gradient = objective.loss_gradient(theta, part)
            rate = learning_rate * (1 + np.cos(np.pi * step / (epochs * batches))) / 2
            step += 1
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            theta = theta - rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        yield theta


def _lbfgs(objective: _Objective, theta: FloatArray, iterations: int, after_iteration: Callable[[FloatArray], bool]) -> str:
    """Run SciPy's L-BFGS-B on the whole set, and return the reason why it stopped."""
    out_of_patience = False

    def callback(intermediate_result: OptimizeResult) -> None:
        nonlocal out_of_patience
        if not after_iteration(np.asarray(intermediate_result.x)):
            out_of_patience = True
            raise StopIteration

    result = minimize(
        objective.loss_gradient, theta, jac=True, method="L-BFGS-B", callback=callback, options={"maxiter": iterations}
    )
    if result.nit == 0:  # the start is already a minimum, and counts as the first epoch
        after_iteration(theta)
    if out_of_patience:
        return "patience"
    return "converged" if result.success else "epochs"


def _check_data(
    x: ArrayLike, y: ArrayLike, model: Model | LearnedModel, x_name: str, y_name: str, *, are_classes: bool = False
) -> tuple[Array, FloatArray]:
    """Return rows (samples, features) and labels -1 and +1, or classes from 0, as floats, or raise ValueError."""
    rows = model_inputs(model, x, x_name)
    if rows.ndim != 2 or np.shape(y) != rows.shape[:1] or not len(rows):
        raise ValueError(f"{x_name} {rows.shape} must be (samples, features) and {y_name} {np.shape(y)} (samples,)")
    if not are_classes:
        return rows, as_labels(y, y_name, len(rows)).astype(float)
    advice = f"be a class, a whole number from 0 to {_CLASSES_MAX - 1}"
    numbers = [as_count(label, f"{y_name}[{i}]", 0, _CLASSES_MAX - 1, advice=advice) for i, label in enumerate(np.asarray(y))]
    return rows, np.array(numbers, dtype=float)


def _normalised(
    x: ArrayLike, y: ArrayLike, model: Model, x_name: str, y_name: str, *, are_classes: bool
) -> tuple[Array, FloatArray]:
    """Return normalised columns (features, samples) and labels as floats, or raise ValueError."""
    if not Device.holding(x).is_numpy:
        x = home(x)
    rows, labels = _check_data(x, y, model, x_name, y_name, are_classes=are_classes)
    directions, norms, _ = unit_vectors(rows)
    if not norms.all():
        raise ValueError(f"{x_name}[{int(np.argmin(norms))}] is all zeros and cannot be amplitude-encoded; remove it")
    return np.ascontiguousarray(directions.T), labels


def _as_observables(observables: Sequence[Observable], model: Model) -> list[cirq.PauliSum]:
    if isinstance(observables, str) or not isinstance(observables, Sequence) or not len(observables):
        raise ValueError(f'{observables=} must be a list of at least one observable, such as ["Z0", "Z1"]')
    return [as_pauli_sum(each, model.qubits) for each in observables]


def _as_weights(weights: ArrayLike | None, samples: int) -> FloatArray | None:
    """Return weights of samples with mean 1, (samples,); None for equal ones."""
    if weights is None:
        return None
    given = np.asarray(weights, dtype=float)
    if given.shape != (samples,) or not np.all(np.isfinite(given)) or given.min() < 0 or not given.any():
        raise ValueError(
            f"sample_weight of shape {given.shape} must be ({samples},), one finite number >= 0 per sample, and not all zero"
        )
    return np.asarray(given * (samples / given.sum()))
