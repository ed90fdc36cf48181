"""Unitary operations as matrices: checks of what claims to be unitary, commutators to rounding, and inverses of any gate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

import cirq
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.complex128]

#: Largest entry of V'V - 1 of a gate V that counts as unitary; gates given in single precision differ by up to 1e-7.
UNITARY_TOLERANCE = 1e-6
_ROUNDING = 1e-14  # largest entry of the commutator of two gates that commute, a few roundings of their matrices
_COMPARED_QUBITS = 8  # two gates on more qubits together are taken not to commute, which keeps both
_INVERTED_QUBITS = 3  # a gate without an inverse is inverted as a matrix on at most this many qubits


def unitary_matrix(operation: cirq.Operation) -> Matrix:
    """Return the matrix of an operation without symbols, checked to be unitary to 1e-6.

    Args:
        operation: Operation on a few qubits.

    Returns:
        The matrix, (2**qubits, 2**qubits).

    Raises:
        ValueError: The operation is not unitary, although its gate may claim so, or its matrix cannot be computed.

    Example:
        >>> unitary_matrix(cirq.X(cirq.q(0))).real
        array([[0., 1.],
               [1., 0.]])
    """
    size = prod(cirq.qid_shape(operation))
    try:
        given = cirq.unitary(operation, None)
        matrix = None if given is None else np.asarray(given, dtype=np.complex128)
    except Exception as error:  # code of a user's gate can raise any error
        raise ValueError(f"{operation} has no matrix: computing it failed with {error!r}; correct the gate") from error
    if matrix is None:
        raise ValueError(f"{operation} is not unitary, and no channel whose Kraus operators are known; correct the gate")
    if matrix.shape != (size, size):
        raise ValueError(f"{operation} has a matrix of shape {matrix.shape}, which must be {(size, size)}; correct the gate")
    gram = matrix.conj().T @ matrix
    gram.flat[:: size + 1] -= 1
    deviation = float(np.abs(gram).max())
    if not deviation <= UNITARY_TOLERANCE:
        raise ValueError(
            f"{operation} is not unitary: its matrix V has an entry of V'V - 1 of size {deviation:.1e}, above "
            f"{UNITARY_TOLERANCE:.0e}; correct the gate"
        )
    return matrix


def has_channels(operation: cirq.Operation) -> bool:
    """Return True if an operation measures, depends on a measurement, or is a channel but not a unitary gate.

    Example:
        >>> q = cirq.q(0)
        >>> [has_channels(op) for op in (cirq.X(q), cirq.measure(q), cirq.reset(q), cirq.X(q).with_classical_controls("m"))]
        [False, True, True, True]
    """
    if cirq.is_measurement(operation) or cirq.control_keys(operation):
        return True
    try:
        return not cirq.has_unitary(operation) and cirq.has_kraus(operation)
    except Exception:  # code of a user's gate can raise any error, which `unitary_matrix` then explains
        return False


def commute(first: cirq.Operation, second: cirq.Operation) -> bool:
    """Return True if two operations commute to rounding: no entry of their commutator is larger than 1e-14.

    Operations on more than 8 qubits together are taken not to commute, and so are a channel and what shares a qubit with it.

    Args:
        first: Operation without symbols.
        second: Operation without symbols.

    Example:
        >>> a, b = cirq.LineQubit.range(2)
        >>> commute(cirq.CZ(a, b), cirq.rz(0.3)(a)), commute(cirq.CZ(a, b), cirq.rx(1e-9)(a))
        (True, False)
    """
    if not set(first.qubits) & set(second.qubits):
        return True
    register = tuple(dict.fromkeys((*first.qubits, *second.qubits)))
    if len(register) > _COMPARED_QUBITS or has_channels(first) or has_channels(second):
        return False
    left, right = (_embedded(unitary_matrix(op), op.qubits, register) for op in (first, second))
    return bool(np.abs(left @ right - right @ left).max() <= _ROUNDING)


def _embedded(matrix: Matrix, qubits: Sequence[cirq.Qid], register: Sequence[cirq.Qid]) -> Matrix:
    """Return a matrix on some qubits as a matrix on a register, with the identity on the others."""
    n = len(register)
    order = [*qubits, *(q for q in register if q not in qubits)]
    wide = np.kron(matrix, np.eye(2 ** (n - len(qubits)))).reshape((2,) * (2 * n))
    axes = [order.index(q) for q in register]
    return np.asarray(wide.transpose([*axes, *(n + axis for axis in axes)]).reshape(2**n, 2**n), dtype=np.complex128)


def inverse_circuit(circuit: cirq.AbstractCircuit) -> cirq.FrozenCircuit:
    """Return the adjoint of a unitary circuit without symbols.

    A gate without an inverse of its own is replaced by its parts, or on at most 3 qubits by the adjoint of its matrix.

    Raises:
        ValueError: A gate on more qubits has neither an inverse nor a decomposition.

    Example:
        >>> inverse_circuit(cirq.Circuit(cirq.S(cirq.q(0)), cirq.H(cirq.q(0)))) == cirq.FrozenCircuit(
        ...     cirq.H(cirq.q(0)), cirq.S(cirq.q(0)) ** -1
        ... )
        True
    """
    try:
        whole: Any = cirq.inverse(circuit, None)
    except (TypeError, ValueError):  # a gate inside has no inverse
        whole = None
    if isinstance(whole, cirq.AbstractCircuit):
        return whole.freeze()
    return cirq.FrozenCircuit(_inverses(circuit.all_operations()))


def _inverses(operations: Iterable[cirq.Operation]) -> list[cirq.Operation]:
    """Return the inverses of operations, the last one first."""
    return [inverse for operation in reversed(list(operations)) for inverse in _inverse(operation)]


def _inverse(operation: cirq.Operation) -> list[cirq.Operation]:
    try:
        inverse: Any = cirq.inverse(operation, None)
    except (TypeError, ValueError):  # a gate inside has no inverse
        inverse = None
    if isinstance(inverse, cirq.Operation):
        return [inverse]
    bare = operation.untagged
    parts = list(bare.mapped_circuit().all_operations()) if isinstance(bare, cirq.CircuitOperation) else None
    if parts is None and len(operation.qubits) > _INVERTED_QUBITS:
        parts = cirq.decompose_once(operation, None)
        if parts is None:
            raise ValueError(
                f"{operation} has no inverse, which this estimator's circuits need; give its gate a __pow__ or a _decompose_"
            )
    if parts is not None:
        return _inverses(parts)
    return [cirq.MatrixGate(unitary_matrix(operation).conj().T, unitary_check=False)(*operation.qubits)]
