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
from tqdm import tqdm

from hattriq_cirq.foundation.arrays import Array, FloatArray, as_amplitudes, read_only
from hattriq_cirq.models.gradients import TrainableProgram
from hattriq_cirq.models.model import Model

Optimizer = Literal["adam", "lbfgs"]


@dataclass(frozen=True, eq=False)
class History:
    """What training saw after each epoch; `validation_*` are NaN where there was no validation set.

    Args:
        loss: (epochs,), the mean logistic loss on the training set.
        accuracy: (epochs,), in [0, 1].
        validation_loss: (epochs,).
        validation_accuracy: (epochs,).
    """

    loss: FloatArray
    accuracy: FloatArray
    validation_loss: FloatArray
    validation_accuracy: FloatArray

    def __post_init__(self) -> None:
        for name in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
            object.__setattr__(self, name, read_only(np.asarray(getattr(self, name), dtype=float)))

    def __len__(self) -> int:
        return len(self.loss)


@dataclass(frozen=True, eq=False)
class Training:
    """A trained model and how it came about.

    Args:
        model: with the parameters of the best epoch: least validation loss, or least loss where nothing was held out.
        history: one entry an epoch.
        best_epoch: index into the history.
        stopped: why training ended: `epochs`, `patience` or `converged`.
        seed: of the start and of the minibatches.
        seconds: wall time.
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
            f"Training({len(h)} epochs in {self.seconds:.1f} s, stopped by {self.stopped}; best epoch {i}: "
            f"loss {h.loss[i]:.4f}, accuracy {h.accuracy[i]:.4f})"
        )


def accuracy(model: Model, x: ArrayLike, y: ArrayLike) -> float:
    """The share of inputs whose label is the sign of the expectation; an expectation of exactly 0 is an error.

    Args:
        model: the classifier.
        x: (samples, features).
        y: (samples,) in {-1, +1}.

    Returns:
        In [0, 1].
    """
    return float(np.mean(model.expectation(x) * np.asarray(y) > 0))


def train(
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
    """Trains the parameters of a model to give labels their sign.

    The loss is the mean of log(1 + exp(-scale y F(x))) with F of the normalised rows, so F in [-1, 1] for a Pauli string.

    Args:
        model: its params are what is trained; see `gradients.TrainableProgram` for the gates it may hold.
        x: (samples, features), real or complex; rows are normalised.
        y: (samples,) in {-1, +1}.
        seed: of the start and of the order of minibatches.
        optimizer: `adam` on minibatches, or `lbfgs` (SciPy) on the whole batch.
        epochs: the most passes over the data, or L-BFGS iterations; >= 1.
        batch_size: samples in a minibatch of Adam; None is the whole set.
        learning_rate: of Adam; it falls to 0 along a half cosine over the epochs.
        scale: steepness of the logistic loss, > 0.
        start: standard deviation of the angles at the start in radians, small so that the first gradients do not vanish;
            `model` starts from the model's own params.
        validation: inputs and labels held out; the best epoch is then the one with the least loss on them.
        patience: epochs without a better one before training stops; None never stops early.
        progress: show a progress bar.

    Returns:
        The trained model, its history and why it stopped.

    Raises:
        ValueError: bad data or settings.
    """
    if optimizer not in ("adam", "lbfgs"):
        raise ValueError(f"{optimizer=} must be 'adam' or 'lbfgs'")
    for name, number in (("epochs", epochs), ("learning_rate", learning_rate), ("scale", scale)):
        if not 0 < number < np.inf:
            raise ValueError(f"{name}={number} must be positive and finite")
    for name, count in (("batch_size", batch_size), ("patience", patience)):
        if count is not None and count < 1:
            raise ValueError(f"{name}={count} must be at least 1, or None")
    if isinstance(start, str) and start != "model":
        raise ValueError(f"{start=} must be a number of radians, or 'model'")
    began = time.perf_counter()
    rng = np.random.default_rng(seed)
    program = TrainableProgram(model)
    objective = _Objective(program, *_checked(x, y, model, "x", "y"), scale)
    held_out = (
        None
        if validation is None
        else _Objective(program, *_checked(*validation, model, "validation x", "validation y"), scale)
    )
    theta = np.array(list(model.params.values())) if start == "model" else rng.normal(0, start, len(program.names))
    record = _Record(objective, held_out, patience)
    with tqdm(total=epochs, desc="training", unit="epoch", disable=not progress, leave=False) as bar:

        def after_epoch(theta: FloatArray) -> bool:
            going = record.add(theta)
            bar.set_postfix_str(f"loss {record.rows[-1][0]:.4f}, accuracy {record.rows[-1][1]:.3f}", refresh=False)
            bar.update()
            return going

        if optimizer == "adam":
            steps = _adam(objective, theta, rng, epochs, batch_size or objective.samples, learning_rate)
            stopped = "epochs" if all(after_epoch(step) for step in steps) else "patience"
        else:
            stopped = _lbfgs(objective, theta, epochs, after_epoch)
    return Training(
        model=model.with_params(dict(zip(program.names, record.best_theta.tolist(), strict=True))),
        history=History(*np.array(record.rows).T),
        best_epoch=record.best_epoch,
        stopped=stopped,
        seed=seed,
        seconds=time.perf_counter() - began,
    )


class _Objective:
    """The logistic loss of a data set, whole or a part of it, with its gradient."""

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


class _Record:
    """The history so far and the best parameters in it."""

    def __init__(self, training: _Objective, validation: _Objective | None, patience: int | None) -> None:
        self._training, self._validation, self._patience = training, validation, patience
        self.rows: list[tuple[float, float, float, float]] = []
        self.best_epoch, self.best_theta, self._least = 0, np.zeros(0), np.inf

    def add(self, theta: FloatArray) -> bool:
        """Adds an epoch; returns whether to go on."""
        seen = self._training.loss_accuracy(theta)
        held_out = self._validation.loss_accuracy(theta) if self._validation else (np.nan, np.nan)
        judged = held_out[0] if self._validation else seen[0]
        if judged < self._least:
            self.best_epoch, self.best_theta, self._least = len(self.rows), theta.copy(), judged
        self.rows.append((*seen, *held_out))
        return self._patience is None or len(self.rows) - 1 - self.best_epoch < self._patience


def _adam(
    objective: _Objective,
    theta: FloatArray,
    rng: np.random.Generator,
    epochs: int,
    batch_size: int,
    learning_rate: float,
) -> Iterator[FloatArray]:
    """Yields the parameters after each epoch (Kingma and Ba 2015, with a cosine schedule)."""
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
    """Runs SciPy's L-BFGS-B on the whole batch; returns why it stopped."""
    out_of_patience = False

    def callback(intermediate_result: OptimizeResult) -> None:
        nonlocal out_of_patience
        if not after_iteration(np.asarray(intermediate_result.x)):
            out_of_patience = True
            raise StopIteration

    result = minimize(
        objective.loss_gradient, theta, jac=True, method="L-BFGS-B", callback=callback, options={"maxiter": iterations}
    )
    if result.nit == 0:  # the start is a minimum already: it is the first epoch
        after_iteration(theta)
    if out_of_patience:
        return "patience"
    return "converged" if result.success else "epochs"


def _checked(x: ArrayLike, y: ArrayLike, model: Model, x_name: str, y_name: str) -> tuple[Array, FloatArray]:
    """Normalised columns (features, samples) and float labels, or a clear error."""
    rows = as_amplitudes(x, x_name, model.n_features)
    labels = np.asarray(y)
    if rows.ndim != 2 or labels.shape != rows.shape[:1] or not len(rows):
        raise ValueError(f"{x_name} {rows.shape} must be (samples, features) and {y_name} {labels.shape} (samples,)")
    wrong = np.flatnonzero(~np.isin(labels, (-1, 1)))
    if wrong.size:
        raise ValueError(f"{y_name}[{wrong[0]}] = {labels[wrong[0]]} must be -1 or +1")
    norms = np.linalg.norm(rows, axis=1)
    if not norms.all():
        raise ValueError(f"{x_name}[{int(np.argmin(norms))}] is blank: amplitude encoding needs a direction; drop it")
    return np.ascontiguousarray((rows / norms[:, np.newaxis]).T), labels.astype(float)
