"""The part of a circuit on which an observable depends."""

from __future__ import annotations

from collections.abc import Sequence

import cirq
import numpy as np


def light_cone(circuit: cirq.AbstractCircuit, pauli: cirq.PauliString[cirq.Qid]) -> cirq.FrozenCircuit:
    """Return the circuit U without the gates that cancel in U' P U.

    A gate cancels if it commutes with all gates that follow it and with P.

    Args:
        circuit: Unitary circuit U.
        pauli: Pauli string P.

    Returns:
        The gates that are left, in order.

    Example:
        >>> a, b = cirq.LineQubit.range(2)
        >>> circuit = cirq.Circuit(cirq.H(a), cirq.H(b), cirq.CZ(a, b))
        >>> list(light_cone(circuit, cirq.PauliString(cirq.Z(a))).all_operations())
        [cirq.H(cirq.LineQubit(0))]
    """
    kept: list[cirq.Operation] = []
    for operation in reversed(list(circuit.all_operations())):
        qubits = set(operation.qubits)
        later = [other for other in reversed(kept) if qubits & set(other.qubits)]
        local = [pauli[q](q) for q in operation.qubits if q in pauli]
        commutes = all(cirq.commutes(operation, other, default=False) for other in later)
        if not (commutes and _commutes_with_string(operation, local)):
            kept.append(operation)
    return cirq.FrozenCircuit(reversed(kept))


def _commutes_with_string(operation: cirq.Operation, local: Sequence[cirq.Operation]) -> bool:
    """Return True if an operation commutes with the Paulis of a string on its own qubits."""
    if not local:
        return True
    qubits = operation.qubits
    string = cirq.Circuit(local).unitary(qubit_order=qubits, qubits_that_should_be_present=qubits)
    matrix = cirq.unitary(operation)
    return bool(np.allclose(string @ matrix, matrix @ string, atol=1e-9))
