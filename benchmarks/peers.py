"""The same quantities computed by other software: dense NumPy, and if installed PennyLane, TensorCircuit and qulacs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cirq
import numpy as np
from scipy.sparse import csr_array

import hattriq_cirq as hq
from hattriq_cirq.foundation.arrays import Array, FloatArray

#: Function from inputs (samples, features) and a number of path steps to attributions: a right-hand Riemann sum from zero.
Attribute = Callable[[Array, int], Array]


def ours(model: hq.Model, *, keep_matrix: bool = True) -> Attribute:
    """Attribute with this library; without M kept, every call finds the model compiled and builds nothing."""

    def attribute(x: Array, steps: int) -> Array:
        if not keep_matrix:
            forget_matrix(model)
        return hq.integrated_gradients(model, x, baseline=0, rule=f"riemann:{steps}").values

    return attribute


def forget_matrix(model: hq.Model) -> None:
    """Put a model back to where M is not built and no input was counted."""
    vars(model).pop("_inputs_so_far", None)
    vars(model._evolved).pop("matrix", None)
    vars(model._evolved).pop("_factors", None)


def numpy_dense(model: hq.Model) -> Attribute:
    """Compute M once, as a dense matrix from Cirq's own unitary, and multiply by it in every step."""
    unitary = model.resolved_circuit.unitary(qubit_order=model.qubits, qubits_that_should_be_present=model.qubits)
    acted = csr_array(model.pauli_sum.matrix(model.qubits)) @ unitary
    matrix = unitary.real.T @ acted.real + unitary.imag.T @ acted.imag  # the real part of U' (O U)

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


def pennylane_lightning(model: hq.Model) -> Attribute:
    """Compute M x with PennyLane's compiled simulator: the circuit, Z, the adjoint circuit."""
    import pennylane as qml

    n, wire = model.n_qubits, {q: i for i, q in enumerate(model.qubits)}
    operations = list(model.resolved_circuit.all_operations())

    def gates() -> None:
        for operation in operations:
            wires = [wire[q] for q in operation.qubits]
            if operation.gate == cirq.CZ:
                qml.CZ(wires=wires)
            else:
                (qml.RZ if isinstance(operation.gate, cirq.Rz) else qml.RY)(_angle(operation), wires=wires)

    def circuit(state: Array) -> Any:
        qml.StatePrep(state, wires=range(n))
        gates()
        qml.PauliZ(0)
        qml.adjoint(gates)()
        return qml.state()

    acted = qml.QNode(circuit, qml.device("lightning.qubit", wires=n))

    def attribute(x: Array, steps: int) -> Array:
        norms = np.linalg.norm(x, axis=1)
        return _riemann(
            lambda rows: np.stack([norm * acted(row / norm) for row, norm in zip(rows, norms, strict=True)]), x, steps
        )

    return attribute


def tensorcircuit_jax(model: hq.Model) -> Attribute:
    """Differentiate the model's circuit in TensorCircuit by its input with JAX, jitted and batched."""
    import jax.numpy as jnp

    gradients = tensorcircuit_gradients(model)

    def attribute(x: Array, steps: int) -> Array:
        return _riemann(lambda rows: np.asarray(gradients(jnp.asarray(rows))) / 2, x, steps)

    return attribute


def tensorcircuit_gradients(model: hq.Model) -> Any:
    """Return the gradients 2 Re M x of arrays of JAX, (images, features), in TensorCircuit, jitted and batched."""
    import jax
    import jax.numpy as jnp
    import tensorcircuit as tc

    jax.config.update("jax_enable_x64", True)
    tc.set_backend("jax")
    tc.set_dtype("complex128")
    wire = {q: i for i, q in enumerate(model.qubits)}

    def quadratic(x: Any) -> Any:
        circuit = tc.Circuit(model.n_qubits, inputs=x.astype(jnp.complex128))
        for operation in model.resolved_circuit.all_operations():
            wires = [wire[q] for q in operation.qubits]
            if operation.gate == cirq.CZ:
                circuit.cz(*wires)
            else:
                (circuit.rz if isinstance(operation.gate, cirq.Rz) else circuit.ry)(*wires, theta=_angle(operation))
        return circuit.expectation_ps(z=[0]).real

    return jax.jit(jax.vmap(jax.grad(quadratic)))


def qulacs(model: hq.Model) -> Attribute:
    """Compute M x by hand: the circuit, Z, the inverse circuit."""
    from qulacs import QuantumCircuit, QuantumState

    n = model.n_qubits
    wire = {q: n - 1 - i for i, q in enumerate(model.qubits)}
    whole, state = QuantumCircuit(n), QuantumState(n)
    operations = list(model.resolved_circuit.all_operations())

    def add(operation: cirq.Operation, sign: int) -> None:
        wires = [wire[q] for q in operation.qubits]
        if operation.gate == cirq.CZ:
            whole.add_CZ_gate(*wires)
        else:  # qulacs rotates in the other direction
            add_rotation = whole.add_RZ_gate if isinstance(operation.gate, cirq.Rz) else whole.add_RY_gate
            add_rotation(*wires, -sign * _angle(operation))

    for operation in operations:
        add(operation, 1)
    whole.add_Z_gate(n - 1)
    for operation in reversed(operations):
        add(operation, -1)

    def acted(rows: Array) -> Array:
        result = np.empty(rows.shape)
        for row, own in zip(rows, result, strict=True):
            state.load(row.astype(np.complex128))
            whole.update_quantum_state(state)
            own[:] = state.get_vector().real
        return result

    return lambda x, steps: _riemann(acted, x, steps)


#: Name of a peer -> the packages that it needs, and the function that makes it.
PEERS: dict[str, tuple[tuple[str, ...], Callable[[hq.Model], Attribute]]] = {
    "dense NumPy, M precomputed": ((), numpy_dense),
    "PennyLane + JAX": (("pennylane", "jax"), pennylane_jax),
    "PennyLane lightning": (("pennylane", "pennylane_lightning"), pennylane_lightning),
    "TensorCircuit + JAX": (("tensorcircuit", "jax"), tensorcircuit_jax),
    "qulacs by hand": (("qulacs",), qulacs),
}


def _angle(operation: cirq.Operation) -> float:
    assert isinstance(operation.gate, cirq.Rz | cirq.Ry)
    return float(operation.gate._rads)


def _riemann(acted: Callable[[Array], Array], x: Array, steps: int) -> Array:
    """Return the right-hand sum from zero of a gradient 2 M p that is computed at every step."""
    total = sum(2 * acted(step / steps * x).real for step in range(1, steps + 1))
    return np.asarray(x * total / steps)


#: Function from parameters and the indices of a minibatch to the loss and its gradient.
LossGradient = Callable[[FloatArray, Array], tuple[float, FloatArray]]


def pennylane_loss_gradient(model: hq.Model, x: Array, y: FloatArray, scale: float) -> LossGradient:
    """Return the logistic loss of a minibatch and its gradient, jitted, in JAX's default single precision."""
    return _jax_loss_gradient(_pennylane_expectation(model), x, y, scale)


def tensorcircuit_loss_gradient(model: hq.Model, x: Array, y: FloatArray, scale: float) -> LossGradient:
    """Return the logistic loss of a minibatch and its gradient, jitted, in single precision."""
    import jax.numpy as jnp
    import tensorcircuit as tc

    tc.set_backend("jax")
    tc.set_dtype("complex64")
    wire = {q: i for i, q in enumerate(model.qubits)}
    column = {name: i for i, name in enumerate(model.params)}

    def expectation(state: Any, theta: Any) -> Any:
        circuit = tc.Circuit(model.n_qubits, inputs=state.astype(jnp.complex64))
        for operation in model.circuit.all_operations():
            wires = [wire[q] for q in operation.qubits]
            if operation.gate == cirq.CZ:
                circuit.cz(*wires)
            else:
                (name,) = cirq.parameter_names(operation)
                (circuit.rz if isinstance(operation.gate, cirq.Rz) else circuit.ry)(*wires, theta=theta[column[name]])
        return circuit.expectation_ps(z=[0]).real

    return _jax_loss_gradient(expectation, x, y, scale)


#: Name of a peer in training -> the packages that it needs, and the function that makes its loss with gradient.
TRAINING_PEERS: dict[str, tuple[tuple[str, ...], Callable[[hq.Model, Array, FloatArray, float], LossGradient]]] = {
    "PennyLane + JAX": (("pennylane", "jax"), pennylane_loss_gradient),
    "TensorCircuit + JAX": (("tensorcircuit", "jax"), tensorcircuit_loss_gradient),
}


def _jax_loss_gradient(expectation: Any, x: Array, y: FloatArray, scale: float) -> LossGradient:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", False)
    batched = jax.vmap(expectation, in_axes=(0, None))
    rows, labels = jnp.asarray(x), jnp.asarray(y)

    def loss(theta: Any, part: Any) -> Any:
        return jnp.mean(jnp.logaddexp(0.0, -scale * labels[part] * batched(rows[part], theta)))

    compiled = jax.jit(jax.value_and_grad(loss))

    def loss_gradient(theta: FloatArray, part: Array) -> tuple[float, FloatArray]:
        value, gradient = compiled(jnp.asarray(theta), jnp.asarray(part))
        return float(value), np.asarray(gradient, dtype=np.float64)

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
