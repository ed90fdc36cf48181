"""Training: results, reproducibility, stopping, and invalid arguments."""

from __future__ import annotations

from typing import Any

import cirq
import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Array, assert_close

from hattriq_cirq.models.ansatz import ring_ansatz
from hattriq_cirq.models.model import Model
from hattriq_cirq.models.training import History, Training, accuracy, train

MODEL = ring_ansatz(2, 1)
OPTIMIZERS = ("adam", "lbfgs")
each_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS)


def separable(samples: int = 20, seed: int = 0) -> tuple[Array, Array]:
    """Return positive amplitudes, larger on the first two features for one class and on the last two for the other."""
    rng = np.random.default_rng(seed)
    y = np.where(np.arange(samples) % 2, 1, -1)
    x = rng.uniform(0, 0.4, (samples, 4))
    x[y > 0, :2] += 1
    x[y < 0, 2:] += 1
    return x, y


def noise(samples: int = 24) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(samples, 4)), rng.choice([-1, 1], samples)


X, Y = separable()


def fitted(**changes: Any) -> Training:
    default: dict[str, Any] = {"model": MODEL, "x": X, "y": Y, "seed": 0, "epochs": 15, "patience": None}
    return train(**(default | changes))


def loss_of(model: Model, x: Array, y: Array, scale: float = 10.0) -> float:
    """Return the mean logistic loss, computed densely."""
    u = oracle.unitary(model.resolved_circuit, model.qubits)
    matrix = u.conj().T @ oracle.pauli_matrix(model.pauli_sum, model.qubits) @ u
    rows = x / np.linalg.norm(x, axis=1, keepdims=True)
    return float(np.mean(np.log(1 + np.exp(-scale * y * oracle.Oracle([matrix]).score(rows)))))


def angles(training: Training) -> Array:
    return np.array(list(training.model.params.values()))


# results


@each_optimizer
@pytest.mark.parametrize("imaginary", [False, True])
def test_training_learns_a_separable_task(optimizer: str, imaginary: bool) -> None:
    phases = np.exp(1j * np.linspace(0, 0.5, 20))[:, np.newaxis] if imaginary else 1
    t = fitted(x=X * phases, optimizer=optimizer, epochs=60, learning_rate=0.1)
    assert accuracy(t.model, X * phases, Y) == 1.0
    assert accuracy(t.model, *separable(200, seed=1)) == 1.0
    assert t.history.accuracy[t.best_epoch] == 1.0
    assert t.model.circuit == MODEL.circuit
    assert t.seconds > 0


@each_optimizer
@pytest.mark.parametrize("scale", [3.0, 10.0])
def test_training_history_and_best_epoch(optimizer: str, scale: float) -> None:
    t = fitted(optimizer=optimizer, scale=scale)
    assert t.best_epoch == int(np.argmin(t.history.loss))
    assert_close(t.history.loss[t.best_epoch], loss_of(t.model, X, Y, scale), 1e-9)
    assert t.history.accuracy[t.best_epoch] == accuracy(t.model, X, Y)
    assert np.isnan(t.history.validation_loss).all()
    assert len(t.history.validation_accuracy) == len(t.history) <= 15


def test_lbfgs_loss_never_increases_and_converges() -> None:
    t = fitted(optimizer="lbfgs", epochs=500, scale=1.0)
    assert (np.diff(t.history.loss) <= 0).all()
    assert t.stopped == "converged"
    assert t.best_epoch == len(t.history) - 1
    again = fitted(model=t.model, start="model", optimizer="lbfgs", scale=1.0)
    assert (len(again.history), again.stopped) in {(1, "converged"), (2, "converged")}


def test_first_adam_step_is_the_learning_rate_against_the_gradient_sign() -> None:
    start = MODEL.with_params({name: 0.4 + 0.2 * i for i, name in enumerate(MODEL.params)})
    before = np.array(list(start.params.values()))
    slope = oracle.finite_difference(
        lambda t: np.asarray(loss_of(start.with_params(dict(zip(start.params, t, strict=True))), *noise(), 1.0)), before
    )
    x, y = noise()
    t = fitted(model=start, start="model", x=x, y=y, epochs=1, batch_size=None, learning_rate=0.01, scale=1.0)
    moves = np.abs(slope) > 1e-3
    assert_close((angles(t) - before)[moves], -0.01 * np.sign(slope)[moves], 1e-4)
    assert moves.sum() >= 4


def test_training_does_not_depend_on_row_norms() -> None:
    assert_close(angles(fitted(x=X * np.linspace(0.1, 10, 20)[:, np.newaxis])), angles(fitted()), 1e-8)


@pytest.mark.parametrize("batch_size", [1, 7, 20, 1000, None])
def test_training_with_minibatches_of_any_size(batch_size: int | None) -> None:
    assert accuracy(fitted(batch_size=batch_size, epochs=60, learning_rate=0.1).model, X, Y) == 1.0


# seed and start


@each_optimizer
def test_training_seed_is_reproducible_and_matters(optimizer: str) -> None:
    first, again, other = (fitted(optimizer=optimizer, seed=seed, epochs=5, batch_size=8) for seed in (3, 3, 4))
    assert first.model == again.model
    np.testing.assert_array_equal(first.history.loss, again.history.loss)
    assert first.seed == 3
    assert first.model != other.model
    assert not np.array_equal(first.history.loss, other.history.loss)


def test_training_seed_orders_the_minibatches() -> None:
    first, other = (fitted(start="model", model=fitted().model, seed=seed, epochs=2, batch_size=4) for seed in (3, 4))
    assert first.model != other.model


def test_training_start_angles() -> None:
    wide = ring_ansatz(2, 30)
    for spread in (0.0, 0.01, 1.0):
        start = angles(fitted(model=wide, start=spread, epochs=1, learning_rate=1e-12))
        assert abs(start.std() - spread) < 0.2 * spread + 1e-9
    trained = fitted(epochs=40).model
    still = fitted(model=trained, start="model", epochs=1, learning_rate=1e-12)
    assert_close(angles(still), list(trained.params.values()), 1e-9)


@each_optimizer
def test_training_continues_from_a_model(optimizer: str) -> None:
    x, y = noise()
    once = fitted(x=x, y=y, epochs=3, optimizer=optimizer)
    more = fitted(x=x, y=y, model=once.model, start="model", epochs=3, optimizer=optimizer, learning_rate=0.01)
    assert more.history.loss[0] < once.history.loss[0]
    assert more.history.loss[more.best_epoch] < once.history.loss[once.best_epoch]


# stopping and results


@pytest.mark.parametrize("patience", [1, 4])
def test_patience_stops_training_without_improvement(patience: int) -> None:
    x, y = noise()
    t = train(MODEL, x, y, seed=0, epochs=300, patience=patience, learning_rate=0.5)
    assert t.stopped == "patience"
    assert len(t.history) == t.best_epoch + 1 + patience < 300
    assert (fitted().stopped, len(fitted().history)) == ("epochs", 15)


def test_patience_stops_lbfgs_on_validation_data() -> None:
    x, y = noise()
    t = train(ring_ansatz(2, 3), x[:6], y[:6], seed=0, epochs=300, patience=2, optimizer="lbfgs", validation=(x[6:], y[6:]))
    assert t.stopped == "patience"
    assert len(t.history) == t.best_epoch + 3


@each_optimizer
def test_validation_selects_the_best_epoch(optimizer: str) -> None:
    x, y = noise()
    t = fitted(model=ring_ansatz(2, 3), x=x[:8], y=y[:8], epochs=60, optimizer=optimizer, validation=(x[8:], y[8:]))
    h, best = t.history, t.best_epoch
    assert best == int(np.argmin(h.validation_loss)) < len(h) - 1
    assert best != int(np.argmin(h.loss))
    assert_close(h.validation_loss[best], loss_of(t.model, x[8:], y[8:]), 1e-9)
    assert_close(h.loss[best], loss_of(t.model, x[:8], y[:8]), 1e-9)
    assert h.validation_accuracy[best] == accuracy(t.model, x[8:], y[8:])


def test_training_progress_bar_changes_no_result(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = fitted(epochs=3)
    assert capsys.readouterr() == ("", "")
    loud = fitted(epochs=3, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "training" in err
    assert loud.model == quiet.model


def test_training_result_is_read_only() -> None:
    t = fitted(epochs=3)
    assert repr(t).startswith("Training(3 epochs in ")
    assert f"best epoch {t.best_epoch + 1}: loss {t.history.loss[t.best_epoch]:.4f}" in repr(t)
    with pytest.raises(ValueError, match="read-only"):
        t.history.loss[0] = 0
    assert len(History(*np.zeros((4, 2)))) == 2


@settings(max_examples=10)
@given(st.lists(st.sampled_from([-1, 1]), min_size=1, max_size=8))
def test_accuracy_counts_signs_and_a_tie_as_an_error(y: list[int]) -> None:
    model = Model(cirq.Circuit(), [cirq.LineQubit(0)], cirq.Z(cirq.LineQubit(0)))
    x = np.tile([1.0, 0.5], (len(y), 1))
    assert_close(accuracy(model, x, y), y.count(1) / len(y), scale=1.0)
    assert accuracy(model, np.ones((len(y), 2)), y) == 0.0


# invalid arguments


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": [1, 0] * 10}, r"y\[1\] = 0 must be -1 or \+1"),
        ({"y": np.append(Y[:-1], np.nan)}, r"y\[19\] = nan must be -1 or \+1"),
        ({"y": ["a", "b"] * 10}, r"y\[0\] = a must be -1 or \+1"),
        ({"y": Y[:-1]}, r"x \(20, 4\) must be .* y \(19,\)"),
        ({"x": X[0], "y": 1}, r"x \(4,\) must be \(samples, features\)"),
        ({"x": X[:0], "y": Y[:0]}, r"x \(0, 4\)"),
        ({"x": X[:, :3]}, r"x.shape=\(20, 3\) must end in 2\*\*n_qubits = 4"),
        ({"x": np.where(np.arange(20)[:, np.newaxis] == 7, 0, X)}, r"x\[7\] is all zeros"),
        ({"x": np.where(np.arange(20)[:, np.newaxis] == 7, np.nan, X)}, r"x\[7, 0\] = nan is not finite"),
        ({"validation": (X, -2 * Y)}, r"validation y\[0\] = 2 must be -1 or \+1"),
        ({"validation": (X[:, :2], Y)}, r"validation x.shape=\(20, 2\)"),
        ({"optimizer": "sgd"}, "optimizer='sgd' must be 'adam' or 'lbfgs'"),
        ({"epochs": 0}, "epochs=0 must be positive"),
        ({"learning_rate": -0.1}, "learning_rate=-0.1 must be positive"),
        ({"scale": 0.0}, "scale=0.0 must be positive"),
        ({"batch_size": 0}, "batch_size=0 must be at least 1"),
        ({"patience": 0}, "patience=0"),
        ({"start": "models"}, "start='models'"),
        ({"model": Model(cirq.Circuit(), MODEL.qubits, MODEL.observable)}, "no parameters to train"),
    ],
)
def test_invalid_training_data_and_settings_are_rejected(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted(**changes)
