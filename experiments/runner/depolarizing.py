"""Exact simulation of CZ circuits with a depolarising channel after every CZ, for many strengths at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import cirq
import numpy as np

from hattriq_cirq.circuits.program import only_measurement
from hattriq_cirq.execution.backends.simulators import marginal_probabilities
from hattriq_cirq.foundation.arrays import Array, FloatArray


def in_cz(circuit: cirq.Circuit) -> cirq.Circuit:
    """Compile a circuit to CZ and one-qubit gates, its measurement last; a circuit of these gates is returned as it is."""
    if all(len(op.qubits) == 1 or cirq.is_measurement(op) or _is_cz(op) for op in circuit.all_operations()):
        return circuit
    compiled = cirq.optimize_for_target_gateset(circuit, gateset=cirq.CZTargetGateset(), ignore_failures=False)
    return cirq.synchronize_terminal_measurements(compiled).unfreeze()


def probabilities(circuits: Sequence[cirq.Circuit], strengths: Sequence[float]) -> list[FloatArray]:
    """Compute the exact outcome probabilities of circuits in which a depolarising channel follows every CZ, on its two qubits.

    The channel is `cirq.depolarize(p, n_qubits=2)`: one of the 15 Pauli pairs with probability p, rho to (1 - q) rho + q I/4
    (x) Tr rho with q = 16 p / 15. Gates on one qubit, idling and readout have no noise.

    Args:
        circuits: Circuits of CZ and one-qubit gates, each ending in one measurement; those of one shape are evolved together.
        strengths: Probabilities p, (strengths,), in [0, 15/16].

    Reunitaries:
        Probabilities of each circuit, (strengths, 2**measured).
    """
    shapes: dict[tuple[object, ...], list[int]] = {}
    for i, circuit in enumerate(circuits):
        shapes.setdefault(tuple(op.qubits for op in circuit.all_operations()), []).append(i)
    result: list[FloatArray] = [np.empty(0)] * len(circuits)
    for members in shapes.values():
        register = sorted(circuits[members[0]].all_qubits())
        populations = _evolved([circuits[i] for i in members], register, np.asarray(strengths, dtype=float))
        for i, of_one in zip(members, np.moveaxis(populations, 1, 0), strict=True):
            measurement = only_measurement(circuits[i])
            result[i] = np.array([marginal_probabilities(probabilities, register, measurement) for probabilities in of_one])
    return result


def _evolved(circuits: Sequence[cirq.Circuit], register: Sequence[cirq.Qid], strengths: FloatArray) -> FloatArray:
    """Return the populations, (strengths, circuits, 2**qubits), of circuits whose gates act on the same qubits in turn."""
    n = len(register)
    rho = np.zeros((len(strengths), len(circuits), 4**n), dtype=complex)
    rho[:, :, 0] = 1
    rho = rho.reshape(*rho.shape[:2], *(2,) * (2 * n))
    kept = 1 - 16 * strengths / 15
    for ops in zip(*(circuit.all_operations() for circuit in circuits), strict=True):
        if cirq.is_measurement(ops[0]):
            continue
        axes = [2 + register.index(q) for q in ops[0].qubits]
        if len(axes) == 1:
            unitaries = np.array([cirq.unitary(op) for op in ops])
            rho = _rotated(_rotated(rho, unitaries, axes[0]), unitaries.conj(), axes[0] + n)
        else:
            if not all(map(_is_cz, ops)):
                raise ValueError(f"{ops[0]} must be CZ or a gate on one qubit; compile the circuit with in_cz")
            _cz_and_noise(np.moveaxis(rho, [*axes, *(axis + n for axis in axes)], range(-4, 0)), kept)
    flat = rho.reshape(len(strengths), len(circuits), 2**n, 2**n)
    return np.asarray(np.diagonal(flat, axis1=2, axis2=3).real)


def _rotated(rho: Array, unitaries: Array, axis: int) -> Array:
    """Apply matrices (circuits, 2, 2) to one axis of (strengths, circuits, 2, 2, ...)."""
    apart = rho.reshape(*rho.shape[:2], 2 ** (axis - 2), 2, -1)
    return np.asarray(np.einsum("cij,lcajb->lcaib", unitaries, apart)).reshape(rho.shape)


def _cz_and_noise(rho: Array, kept: FloatArray) -> None:
    """Apply CZ and the channel in place to the last four axes of a view, two of rows and two of columns."""
    rho[..., 1, 1, :, :] *= -1
    rho[..., :, :, 1, 1] *= -1
    factor = kept.reshape(-1, *(1,) * (rho.ndim - 5))
    pairs = list(product((0, 1), repeat=2))
    rest = sum(rho[..., i, j, i, j] for i, j in pairs) * (1 - factor) / 4
    rho *= factor[..., None, None, None, None]
    for i, j in pairs:
        rho[..., i, j, i, j] += rest


def _is_cz(op: cirq.Operation) -> bool:
    return isinstance(op.gate, cirq.CZPowGate) and len(op.qubits) == 2 and abs(op.gate.exponent) == 1
