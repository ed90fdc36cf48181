"""The quantum convolutional network: pooling by measurement, its unitary form, training, and exact gradients with channels."""

from __future__ import annotations

import cirq
import numpy as np
import oracle
import pytest
import sympy
from channel_circuits import QUBITS, A, B, C
from strategies import amplitudes, assert_close

import hattriq_cirq as hq
from hattriq_cirq.models.gradients import TrainableProgram


def with_random_angles(model: hq.Model, seed: int = 0) -> hq.Model:
    rng = np.random.default_rng(seed)
    return model.with_params({name: rng.uniform(0, 6) for name in model.params})


@pytest.mark.parametrize("n_qubits", [2, 3, 4, 5])
def test_pooling_measures_all_qubits_but_one(n_qubits: int) -> None:
    model = hq.qcnn_ansatz(n_qubits)
    measured = [op.qubits[0] for op in model.circuit.all_operations() if cirq.is_measurement(op)]
    assert sorted(measured) == cirq.LineQubit.range(1, n_qubits)
    assert model.observable == cirq.PauliSum.from_pauli_strings([cirq.PauliString(cirq.Z(cirq.q(0)))])
    assert set(model.params.values()) == {0.0}


def test_feed_forward_and_quantum_control_have_the_same_matrix() -> None:
    model = with_random_angles(hq.qcnn_ansatz(4))
    observable = oracle.pauli_matrix(model.pauli_sum, model.qubits)
    expected = oracle.channel_matrix(model.resolved_circuit, model.qubits, observable)
    assert_close(model.matrix, expected)
    assert model.dilated().is_unitary
    assert model.dilated().environment == ()
    unitary = oracle.unitary(model.dilated().resolved_circuit.unfreeze(), model.qubits)
    assert_close(unitary.conj().T @ observable @ unitary, expected)


def test_exact_map_and_both_tests_agree_without_shots() -> None:
    model, x = with_random_angles(hq.qcnn_ansatz(4), 1), amplitudes(np.random.default_rng(2), 16)
    exact = hq.integrated_gradients(model, x, baseline=0).values
    for estimator in (hq.ResolvedHadamardTest(), hq.HadamardTest()):
        found = hq.estimate(model, x, baseline=0, estimator=estimator, engine=hq.cirq_simulator(), shots=None)
        assert_close(found.values, exact, 1e-10)


def test_every_parameter_matters_for_a_generic_observable() -> None:
    q = cirq.LineQubit.range(2)
    model = with_random_angles(hq.qcnn_ansatz(2, cirq.X(q[0]) + 0.7 * cirq.Z(q[0])))
    x = amplitudes(np.random.default_rng(0), 4, imaginary=True)
    moves = {name: model.with_params({**model.params, name: model.params[name] + 0.1}) for name in model.params}
    still = [name for name, moved in moves.items() if abs(moved.expectation(x) - model.expectation(x)) < 1e-6]
    assert still == []


@pytest.mark.parametrize("n_qubits", [1, 0, 63])
def test_invalid_numbers_of_qubits_are_rejected(n_qubits: int) -> None:
    with pytest.raises(ValueError, match=f"n_qubits={n_qubits} must be at least 2 and at most 62"):
        hq.qcnn_ansatz(n_qubits)


def test_network_learns_bars_and_stripes() -> None:
    data = hq.datasets.bars_and_stripes(side=2, copies=4)
    training = hq.train(hq.qcnn_ansatz(data.n_qubits), data.x_train, data.y_train, seed=0, epochs=60)
    assert hq.accuracy(training.model, data.x_test, data.y_test) == 1.0
    assert any(cirq.is_measurement(op) for op in training.model.circuit.all_operations())
    assert hq.Model.from_json(training.model.to_json()) == training.model


def channel_model() -> hq.Model:
    """Return a model with symbols around a measurement that needs the environment, a reset and noise."""
    a, b, c = sympy.symbols("a b c")
    circuit = cirq.Circuit(
        [cirq.ry(a)(A), cirq.CNOT(A, B), cirq.measure(A, key="m"), cirq.ry(b)(A)],
        [cirq.rx(c)(B).with_classical_controls("m"), cirq.amplitude_damp(0.2)(B), cirq.reset(C), cirq.ry(a + 2 * b)(C)],
    )
    observable = cirq.Z(A) * cirq.X(B) + 0.5 * cirq.Z(C) - 0.3 * cirq.Y(B)
    return hq.Model(circuit, QUBITS, observable, {"a": 0.7, "b": -0.4, "c": 1.1}, record="2 - m")


@pytest.mark.parametrize("samples", [2, 100])
def test_gradients_by_parameters_are_exact_with_an_environment(samples: int) -> None:
    model, x = channel_model(), amplitudes(np.random.default_rng(0), samples, 8).T
    program = TrainableProgram(model)
    assert len(model.dilated().environment) == 3

    def value(theta: oracle.Array) -> oracle.Array:
        there = model.with_params(dict(zip(program.names, map(float, theta), strict=True)))
        return np.asarray(np.sum(there.expectation(x.T)))

    theta = np.array([model.params[name] for name in program.names])
    loss, gradient = program.loss_gradient(theta, x, lambda f: (float(f.sum()), np.ones_like(f)))
    assert_close(loss, value(theta))
    assert_close(gradient, oracle.finite_difference(value, theta), 1e-7)
    assert_close(program.expectations(theta, x), model.expectation(x.T))


def test_map_moves_with_the_parameters_of_a_model_with_an_environment() -> None:
    model, x = channel_model(), amplitudes(np.random.default_rng(3), 8)
    found = hq.parameter_sensitivity(model, x, baseline=0)

    def values(theta: oracle.Array) -> oracle.Array:
        there = model.with_params(dict(zip(found.names, map(float, theta), strict=True)))
        return np.asarray(x * there.observable_action(x).real)

    slopes = oracle.finite_difference(values, np.array([model.params[name] for name in found.names]))
    assert_close(found.derivatives, slopes.T, 1e-7)


def test_layers_of_the_network_are_those_of_its_unitary_form() -> None:
    model, x = with_random_angles(hq.qcnn_ansatz(2)), amplitudes(np.random.default_rng(4), 4)
    found = hq.layer_attribution(model, x)
    assert_close(found.values[0], hq.integrated_gradients(model, x, baseline=0).values)
    assert_close(found.values.sum(axis=-1), np.full(len(found.values), model.expectation(x)))
    with pytest.raises(ValueError, match=r"has no layers.*unitary on the data qubits alone"):
        hq.layer_attribution(channel_model(), amplitudes(np.random.default_rng(4), 8))
