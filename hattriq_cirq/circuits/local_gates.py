"""Products of single-qubit gates that a gate turns into products of single-qubit gates, or into its own inverse.

Everything here is computed from the gate's matrix, so that it holds for every gate: CZ, whose Pauli strings all stay Pauli
strings, sqrt-iSWAP and Sycamore, for which some do, and any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import product

import cirq
import numpy as np

from hattriq_cirq.foundation.arrays import Array

_TOLERANCE = 1e-9  # relative distance from a product at which a matrix counts as one
_MAX_QUBITS = 3  # gates on more qubits are left as they are
_ENOUGH = 8  # products of a two-qubit gate from which no others than Pauli strings are looked for
_PAULIS = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
_S = np.diag([1, 1j])


@dataclass(frozen=True, eq=False)
class Dressings:
    """Pairs of products of single-qubit gates, each of which leaves a gate G as it is, up to a phase: after G before = G.

    Args:
        before: Gates before G, (pairs, qubits, 2, 2).
        after: Gates after it, (pairs, qubits, 2, 2).
    """

    before: Array
    after: Array

    def __len__(self) -> int:
        return len(self.before)


@lru_cache(maxsize=256)
def gauges(gate: cirq.Gate | cirq.Operation) -> Dressings:
    """Return the gauges of a gate: products of single-qubit gates that it turns into others.

    They are the Pauli strings that the gate turns into products of single-qubit gates: all 16 for CZ, 8 for Sycamore. A
    two-qubit gate that has few of them, such as sqrt-iSWAP, is also given their products with S on both qubits, or else the
    strings XX, YY and ZZ in the frame in which the gate is a product of rotations about these (its KAK decomposition).

    Args:
        gate: Gate on two or more qubits without symbols.

    Returns:
        The gauges, the identity first; nothing else for a gate on more than 3 qubits.

    Example:
        >>> len(gauges(cirq.CZ)), len(gauges(cirq.SQRT_ISWAP)), len(gauges(cirq.CCZ))
        (16, 8, 8)
    """
    qubits = cirq.num_qubits(gate)
    strings = [np.array(string) for string in product(_PAULIS, repeat=qubits)] if qubits <= _MAX_QUBITS else []
    if not strings or not cirq.has_unitary(gate):
        identity = np.array([[np.eye(2)] * qubits])
        return Dressings(identity, identity)
    matrix = cirq.unitary(gate)
    found = list(_pairs(strings, matrix, matrix.conj().T))
    if qubits == 2 and len(found) < _ENOUGH:
        found += _pairs([_S @ before for before, _ in found], matrix, matrix.conj().T)
    if len(found) < 4 and qubits == 2:
        frame = cirq.kak_decomposition(matrix).single_qubit_operations_before
        turned = [np.array([b.conj().T @ pauli @ b for b in frame]) for pauli in _PAULIS]
        found = list(_pairs(turned, matrix, matrix.conj().T))
    before, after = zip(*found, strict=True)
    return Dressings(np.array(before), np.array(after))


def averaged_over_gauges(error: Array, gate: cirq.Gate) -> Array:
    """Return what a small error of a gate becomes on average over the gauges of the gate, to first order of the error.

    Args:
        error: Unitary after the gate, (states, states), near the identity up to a phase.
        gate: Gate that runs in random gauges.

    Returns:
        Unitary after the gate, (states, states): of an error of its angles the part that is the same in all gauges.

    Example:
        >>> twisted = np.diag([1, 1, 1, np.exp(0.01j)])
        >>> abs(np.trace(averaged_over_gauges(twisted, cirq.CZ))).round(6).item()  # the identity up to a phase
        4.0
    """
    turned = [after @ error @ after.conj().T for after in (reduce(np.kron, each) for each in gauges(gate).after)]
    left, _, right = np.linalg.svd(np.mean(turned, axis=0))
    return np.asarray(left @ right)


@lru_cache(maxsize=256)
def own_inverse(gate: cirq.Gate) -> tuple[Array, Array] | None:
    """Return single-qubit gates before and after a gate, each (qubits, 2, 2), that make it its own inverse; None without any.

    A processor runs the inverse of its two-qubit gate only in this form: sqrt-iSWAP between Z on one qubit, and Sycamore
    between X on one qubit and its image.

    Example:
        >>> before, after = own_inverse(cirq.SQRT_ISWAP)
        >>> before.real.round(3).tolist()
        [[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, -1.0]]]
    """
    qubits = cirq.num_qubits(gate)
    if not 1 < qubits <= _MAX_QUBITS or not cirq.has_unitary(gate):
        return None
    inverse = cirq.unitary(gate).conj().T
    return next(_pairs([np.array(string) for string in product(_PAULIS, repeat=qubits)], inverse, inverse), None)


def _pairs(candidates: Sequence[Array], left: Array, right: Array) -> Iterator[tuple[Array, Array]]:
    """Yield the candidates b, (qubits, 2, 2), with the product a = left b' right, where this is one of single-qubit gates."""
    for before in candidates:
        after = _local_factors(left @ reduce(np.kron, before).conj().T @ right)
        if after is not None:
            yield before, after


def _local_factors(matrix: Array) -> Array | None:
    """Return unitaries (qubits, 2, 2) whose Kronecker product is a unitary matrix up to its phase; None if there are none."""
    factors: list[Array] = []
    while (half := len(matrix) // 2) > 1:
        table = matrix.reshape(2, half, 2, half).transpose(0, 2, 1, 3).reshape(4, -1)
        row = table[np.argmax(np.linalg.norm(table, axis=1))]
        rest = row * np.sqrt(half) / np.linalg.norm(row)
        first = table @ rest.conj() / half
        if not np.allclose(np.outer(first, rest), table, rtol=0, atol=_TOLERANCE):
            return None
        factors.append(first.reshape(2, 2))
        matrix = rest.reshape(half, half)
    return np.array([*factors, matrix])
