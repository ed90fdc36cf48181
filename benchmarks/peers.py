"""The same quantities computed by other software: dense NumPy, and PennyLane with jitted JAX if it is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import hattriq_cirq as hq
from hattriq_cirq.foundation.arrays import Array, FloatArray

#: Function from inputs (samples, features) and a number of path steps to attributions: a right-hand Riemann sum from zero.
Attribute = Callable[[Array, int], Array]


def ours(model: hq.Model) -> Attribute:
    def attribute(x: Array, steps: int) -> Array:
        return hq.integrated_gradients(model, x, baseline=0.0, rule=f"riemann:{steps}").values

    return attribute


def numpy_dense(model: hq.Model) -> Attribute:
    """Compute M once, as a dense matrix from Cirq's own unitary, and multiply by it in every step."""
    unitary = model.resolved_circuit.unitary(qubit_order=model.qubits, qubits_that_should_be_present=model.qubits)
    observable = model.pauli_sum.matrix(model.qubits)
    matrix = (unitary.conj().T @ observable @ unitary).real

    def attribute(x: Array, steps: int) -> Array:
        total = np.zeros_like(x)
        for step in range(1, steps + 1):
            total += 2 * ((step / steps) * x) @ matrix.T
        return x * total / steps

    return attribute


def pennylane_jax(model: hq.Model) -> Attribute:
    """Differentiate the model's circuit in PennyLane by its input with JAX, jitted and batched."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    expectation = _pennylane_expectation(model)
    params = jnp.array(list(model.params.values()))

    def quadratic(x: Any) -> Any:
        norm = jnp.linalg.norm(x)
        return norm**2 * expectation(x / norm, params)

    gradients = jax.jit(jax.vmap(jax.grad(quadratic)))

    def attribute(x: Array, steps: int) -> Array:
        total = np.zeros_like(x)
        for step in range(1, steps + 1):
            total += np.asarray(gradients(jnp.asarray((step / steps) * x)))
        return x * total / steps

    return attribute


def pennylane_loss_gradient(model: hq.Model, x: Array, y: FloatArray, scale: float) -> Callable[[FloatArray, Array], Any]:
    """Return a jitted function (theta, indices) -> (loss, gradient): the logistic loss of a minibatch."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", False)  # single precision, JAX's own default
    batched = jax.vmap(_pennylane_expectation(model), in_axes=(0, None))
    rows, labels = jnp.asarray(x), jnp.asarray(y)

    def loss(theta: Any, part: Any) -> Any:
        return jnp.mean(jnp.logaddexp(0.0, -scale * labels[part] * batched(rows[part], theta)))

    compiled = jax.jit(jax.value_and_grad(loss))

    def loss_gradient(theta: FloatArray, part: Array) -> Any:
        value, gradient = compiled(jnp.asarray(theta), jnp.asarray(part))
        return float(value), np.asarray(gradient)

    return loss_gradient


def _pennylane_expectation(model: hq.Model) -> Any:
    """Return <x|U' O U|x> of a unit vector as a PennyLane node, with the gates of the ring ansatz."""
    import cirq
    import pennylane as qml

    n = model.n_qubits
    wire = {q: i for i, q in enumerate(model.qubits)}
    column = {name: i for i, name in enumerate(model.params)}

    def expectation(state: Any, theta: Any) -> Any:
        qml.StatePrep(state, wires=range(n))
        for operation in model.circuit.all_operations():
            wires = [wire[q] for q in operation.qubits]
            if operation.gate == cirq.CZ:
                qml.CZ(wires=wires)
            else:
                rotation = qml.RZ if isinstance(operation.gate, cirq.Rz) else qml.RY
                (name,) = cirq.parameter_names(operation)
                rotation(theta[column[name]], wires=wires)
        return qml.expval(qml.PauliZ(0))

    return qml.QNode(expectation, qml.device("default.qubit", wires=n), interface="jax", diff_method="backprop")
