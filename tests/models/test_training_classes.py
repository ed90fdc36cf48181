"""Training of several classes: the loss and its gradient against a dense oracle, weights, and invalid arguments."""

from __future__ import annotations

from typing import Any

import cirq
import numpy as np
import oracle
import pytest
from strategies import Array, amplitudes, assert_close

from hattriq_cirq.models.ansatz import qcnn_ansatz, ring_ansatz
from hattriq_cirq.models.gradients import TrainableProgram
from hattriq_cirq.models.observables import as_pauli_sum
from hattriq_cirq.models.training import Training, _Objective, _TrainedWeights, train

MODEL = ring_ansatz(2, 1)
DIAGONAL, MIXED = ("Z0", "Z1", "0.5*Z0*Z1"), ("X0", "Z1 + 0.3*Y0*X1")
each_set = pytest.mark.parametrize("strings", [DIAGONAL, MIXED], ids=["diagonal", "mixed"])
each_count = pytest.mark.parametrize("samples", [3, 40], ids=["few", "many"])


def sums(strings: tuple[str, ...]) -> list[cirq.PauliSum]:
    return [as_pauli_sum(each, MODEL.qubits) for each in strings]


def dense_expectations(theta: Array, rows: Array, observables: Any) -> Array:
    """Return the expectations of normalised rows, (observables, samples), computed densely."""
    model = MODEL.with_params(dict(zip(MODEL.params, theta.tolist(), strict=True)))
    states = oracle.unitary(model.resolved_circuit, model.qubits) @ rows.T
    matrices = [oracle.pauli_matrix(each, model.qubits) for each in observables]
    return np.stack([np.einsum("ks,ks->s", states.conj(), matrix @ states).real for matrix in matrices])


def cross_entropy(scores: Array, y: Array) -> float:
    """Return the mean cross-entropy of scores, (classes, samples); of a single score, (1, samples), between 0 and the score."""
    if len(scores) == 1:
        scores = np.concatenate([0 * scores, scores])
    return float(np.mean(np.log(np.exp(scores).sum(axis=0)) - scores[y, np.arange(len(y))]))


def three_classes(samples: int = 30, seed: int = 0) -> tuple[Array, Array]:
    """Return positive amplitudes of which one of the first three is larger, and its index."""
    rng = np.random.default_rng(seed)
    y = np.arange(samples) % 3
    x = rng.uniform(0, 0.4, (samples, 4))
    x[np.arange(samples), y] += 1
    return x, y


X, Y = three_classes()


def fitted(**changes: Any) -> Training:
    default: dict[str, Any] = {
        "model": MODEL,
        "x": X,
        "y": Y,
        "seed": 0,
        "epochs": 60,
        "observables": DIAGONAL,
        "batch_size": 10,
    }
    return train(**(default | changes))


@each_set
@each_count
@pytest.mark.parametrize("imaginary", [False, True], ids=["real", "complex"])
def test_expectations_of_several_observables(strings: tuple[str, ...], samples: int, imaginary: bool) -> None:
    rng = np.random.default_rng(1)
    program, theta = TrainableProgram(MODEL, sums(strings)), rng.normal(size=8)
    x = amplitudes(rng, 4, samples, imaginary=imaginary)
    assert_close(program.expectations(theta, x), dense_expectations(theta, x.T, sums(strings)), 1e-12)


@each_set
@each_count
@pytest.mark.parametrize("classes", [2, 3])
def test_loss_and_gradient_of_angles_and_weights(strings: tuple[str, ...], samples: int, classes: int) -> None:
    rng = np.random.default_rng(2)
    rows = amplitudes(rng, 4, samples, imaginary=True).T
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    y = np.arange(samples) % classes
    readout = _TrainedWeights.of(len(strings), y.astype(float), 3.0, 0.02)
    objective = _Objective(TrainableProgram(MODEL, sums(strings)), rows.T, y.astype(float), readout)
    point = rng.normal(size=8 + readout.start(rng).size)

    def dense(point: Array) -> Array:
        weights = 3.0 * point[8:].reshape(-1, len(strings))
        scores = weights @ dense_expectations(point[:8], rows, sums(strings))
        return np.asarray(cross_entropy(scores, y) + 0.01 * np.sum(weights**2))

    value, gradient = objective.loss_gradient(point)
    assert_close(value, dense(point), 1e-12)
    assert_close(gradient, oracle.finite_difference(dense, point), 1e-7)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_training_separates_three_classes(optimizer: str) -> None:
    t = fitted(optimizer=optimizer, validation=three_classes(12, seed=1))
    assert t.history.accuracy[t.best_epoch] == t.history.validation_accuracy[t.best_epoch] == 1.0
    assert len(t.observables) == 3
    x, y = three_classes(90, seed=2)
    rows = x / np.linalg.norm(x, axis=1, keepdims=True)
    theta = np.array(list(t.model.params.values()))
    assert np.mean(np.argmax(dense_expectations(theta, rows, t.observables), axis=0) == y) == 1.0
    own = X / np.linalg.norm(X, axis=1, keepdims=True)
    assert_close(t.history.loss[t.best_epoch], cross_entropy(dense_expectations(theta, own, t.observables), Y), 1e-9)


def test_two_classes_have_one_score_whose_sign_is_the_class() -> None:
    two = Y < 2
    t = fitted(x=X[two], y=Y[two], observables=["Z0"])
    (score,) = t.observables
    assert len(score) == 1
    signs = np.sign(t.model.with_observable(score).expectation(X[two]))
    np.testing.assert_array_equal(signs, 2 * Y[two] - 1)


def test_penalty_bounds_the_weights() -> None:
    sizes = [max(abs(term.coefficient) for each in fitted(penalty=p).observables for term in each) for p in (0.0, 0.01, 10.0)]
    assert sizes[0] > sizes[1] > 2 * sizes[2]


def test_sample_weights_are_repetitions() -> None:
    rng = np.random.default_rng(3)
    weights = rng.integers(0, 3, len(Y))
    settings: dict[str, Any] = {"epochs": 5, "batch_size": None, "penalty": 0.0}
    weighted = fitted(sample_weight=weights, **settings)
    repeated = fitted(x=np.repeat(X, weights, axis=0), y=np.repeat(Y, weights), **settings)
    assert_close(list(weighted.model.params.values()), list(repeated.model.params.values()), 1e-9)
    assert_close(weighted.history.loss, repeated.history.loss, 1e-9)


def test_weights_of_validation_rows_are_repetitions() -> None:
    x, y = three_classes(12, seed=1)
    weights = np.arange(12) % 3
    weighted = fitted(epochs=3, validation=(x, y, weights)).history
    repeated = fitted(epochs=3, validation=(np.repeat(x, weights, axis=0), np.repeat(y, weights))).history
    assert_close(weighted.validation_loss, repeated.validation_loss, 1e-12)
    assert not np.allclose(weighted.validation_loss, fitted(epochs=3, validation=(x, y)).history.validation_loss)


def test_training_of_classes_is_reproducible_and_the_seed_matters() -> None:
    first, again, other = (fitted(seed=seed, epochs=2) for seed in (1, 1, 2))
    assert (first.model, first.observables) == (again.model, again.observables)
    assert first.observables != other.observables


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": np.where(Y == 1, 3, Y)}, "y has no sample of class 1; number the classes"),
        ({"y": 0 * Y}, "y has one class, 0; give samples of at least two classes"),
        ({"y": Y - 1}, r"y\[0\]=-1 must be a class, a whole number from 0"),
        ({"y": Y / 2}, r"y\[0\]=0.0 must be a class"),
        ({"validation": (X, Y + 1)}, "validation y has the class 3, which y has not"),
        ({"observables": []}, "must be a list of at least one observable"),
        ({"observables": "Z0"}, "must be a list of at least one observable"),
        ({"observables": ["Z7"]}, "7"),
        ({"penalty": -1}, "penalty=-1"),
        ({"sample_weight": -np.ones(30)}, r"sample_weight of shape \(30,\) must be \(30,\), one finite number >= 0"),
        ({"sample_weight": np.ones(2)}, r"sample_weight of shape \(2,\)"),
        ({"model": qcnn_ansatz(2)}, "several observables need a unitary circuit"),
    ],
)
def test_invalid_training_of_classes_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted(**changes)
