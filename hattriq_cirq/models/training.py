"""Training: the logistic loss of a model's sign, minimised by Adam or L-BFGS with exact adjoint gradients."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult, minimize
from scipy.special import expit

from hattriq_cirq.foundation.arrays import Array, FloatArray, freeze, scaling_exponents, times_power_of_2, unit_vectors
from hattriq_cirq.foundation.checks import as_count, as_labels, as_number, as_seed, as_word, check_flag, check_type
from hattriq_cirq.foundation.contract import DataContract, column_names
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.foundation.progress import progress_bar
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.gradients import TrainableProgram
from hattriq_cirq.models.learned import LearnedModel
from hattriq_cirq.models.model import Model, model_inputs

Optimizer = Literal["adam", "lbfgs"]
_EPOCHS_MAX = 10**9
_SCALE_MAX = 1e6  # the logistic loss is a step from here on, and its gradient soon overflows
_ANGLE_MAX = 1e3  # radians
_A_MODEL = "a Model, such as ring_ansatz(n_qubits, layers)"


@dataclass(frozen=True, eq=False)
class History(Frozen):
    """Losses and accuracies after each epoch; `validation_*` are NaN if there is no validation set.

    Args:
        loss: Mean logistic loss on the training set, (epochs,).
        accuracy: Accuracy on the training set in [0, 1], (epochs,).
        validation_loss: Mean logistic loss on the validation set, (epochs,).
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
class Training:
    """A trained model with the history of its training.

    Args:
        model: Model with the parameters of the best epoch: the least validation loss, or the least loss without validation.
        history: Losses and accuracies, one entry per epoch.
        best_epoch: Index of the best epoch in the history, from 0; texts and pictures count epochs from 1.
        stopped: Reason why training ended: `epochs`, `patience` or `converged`.
        seed: Random seed of the initial angles and of the minibatches.
        seconds: Wall time.

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
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    patience: int | None = 50,
    progress: bool = False,
) -> Training:
    """Train the parameters of a model so that the sign of its expectation is the label.

    The loss is the mean of log(1 + exp(-scale y F(x))) with F of the normalised rows, so that |F| <= 1 for a Pauli string.

    Args:
        model: Model whose params are trained; `gradients.TrainableProgram` lists the gates it may contain.
        x: Inputs, (samples, features), real or complex; rows are normalised. If it is a table with column names, the trained
            model keeps them, and refuses tables with other columns.
        y: Labels -1 and +1, (samples,).
        seed: Random seed of the initial angles and of the order of minibatches.
        optimizer: `adam` on minibatches, or `lbfgs` (SciPy) on the whole set.
        epochs: Largest number of passes over the data, or of L-BFGS iterations; >= 1.
        batch_size: Number of samples in a minibatch of Adam; None for the whole set.
        learning_rate: Learning rate of Adam, which falls to 0 along a half cosine over the epochs.
        scale: Steepness of the logistic loss, > 0.
        start: Standard deviation of the initial angles in radians, small so that the first gradients do not vanish; `model`
            to start from the model's own params.
        validation: Inputs and labels that are held out; the best epoch is then the one with the least loss on them.
        patience: Number of epochs without improvement after which training stops; None to never stop early.
        progress: Show a progress bar.

    Returns:
        The trained model, its history and the reason why training stopped.

    Raises:
        ValueError: The data or the settings are invalid.

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
    program = TrainableProgram(model)
    objective = _Objective(program, *_normalised(x, y, model, "x", "y"), scale)
    if model.contract is None and (columns := column_names(x)) is not None:
        model = model.with_contract(DataContract(columns=columns))
    held_out = None
    if validation is not None:
        check_type(validation, "validation", tuple, "a pair of inputs and labels, or None")
        held_out = _Objective(program, *_normalised(*validation, model, "validation x", "validation y"), scale)
    theta = (
        np.array([model.params[name] for name in program.names])
        if start == "model"
        else rng.normal(0, start, len(program.names))
    )
    tracker = _Progress(objective, held_out, patience)
    with progress_bar(shown=progress, total=epochs, desc="training", unit="epoch", leave=False) as bar:

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
    return Training(
        model=model.with_params(dict(model.params) | dict(zip(program.names, tracker.best_theta.tolist(), strict=True))),
        history=History(*np.array(tracker.rows).T),
        best_epoch=tracker.best_epoch,
        stopped=stopped,
        seed=seed,
        seconds=time.perf_counter() - start_time,
    )


class _Objective:
    """The logistic loss of a data set, or of a part of it, with its gradient."""

    def __init__(self, program: TrainableProgram, x: Array, y: FloatArray, scale: float) -> None:
        self._program, self._x, self._y, self._scale = program, x, y, scale
        self.samples = len(y)

    def loss_gradient(self, theta: FloatArray, part: slice | NDArray[np.intp] = slice(None)) -> tuple[float, FloatArray]:
        y = self._y[part]
        return self._program.loss_gradient(theta, self._x[:, part], lambda f: self._logistic(f, y))

    def loss_accuracy(self, theta: FloatArray) -> tuple[float, float]:
        expectations = self._program.expectations(theta, self._x)
        return self._logistic(expectations, self._y)[0], float(np.mean(self._y * expectations > 0))

    def _logistic(self, expectations: FloatArray, y: FloatArray) -> tuple[float, FloatArray]:
        margins = self._scale * y * expectations
        return float(np.mean(np.logaddexp(0, -margins))), -self._scale * y * expit(-margins) / len(y)


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


def _check_data(x: ArrayLike, y: ArrayLike, model: Model | LearnedModel, x_name: str, y_name: str) -> tuple[Array, FloatArray]:
    """Return rows (samples, features) and float labels, or raise ValueError."""
    rows = model_inputs(model, x, x_name)
    if rows.ndim != 2 or np.shape(y) != rows.shape[:1] or not len(rows):
        raise ValueError(f"{x_name} {rows.shape} must be (samples, features) and {y_name} {np.shape(y)} (samples,)")
    return rows, as_labels(y, y_name, len(rows)).astype(float)


def _normalised(x: ArrayLike, y: ArrayLike, model: Model, x_name: str, y_name: str) -> tuple[Array, FloatArray]:
    """Return normalised columns (features, samples) and float labels, or raise ValueError."""
    rows, labels = _check_data(x, y, model, x_name, y_name)
    directions, norms, _ = unit_vectors(rows)
    if not norms.all():
        raise ValueError(f"{x_name}[{int(np.argmin(norms))}] is all zeros and cannot be amplitude-encoded; remove it")
    return np.ascontiguousarray(directions.T), labels
