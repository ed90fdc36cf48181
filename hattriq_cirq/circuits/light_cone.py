"""The part of a circuit that an observable depends on."""

from __future__ import annotations

from collections.abc import Sequence

import cirq
import numpy as np


def light_cone(circuit: cirq.AbstractCircuit, pauli: cirq.PauliString[cirq.Qid]) -> cirq.FrozenCircuit:
    """The circuit U without the gates that cancel in U' P U, because they commute with all that follows them and with P."""
    kept: list[cirq.Operation] = []
    for operation in reversed(list(circuit.all_operations())):
        qubits = set(operation.qubits)
        later = [other for other in reversed(kept) if qubits & set(other.qubits)]
        local = [pauli[q](q) for q in operation.qubits if q in pauli]
        if not all(cirq.commutes(operation, other, default=False) for other in later) or not (
            _commutes_with_string(operation, local)
        ):
            kept.append(operation)
    return cirq.FrozenCircuit(reversed(kept))


def _commutes_with_string(operation: cirq.Operation, local: Sequence[cirq.Operation]) -> bool:
    """Whether an operation commutes with the Paulis of a string on its own qubits."""
    if not local:
        return True
    qubits = operation.qubits
    string = cirq.Circuit(local).unitary(qubit_order=qubits, qubits_that_should_be_present=qubits)
    matrix = cirq.unitary(operation)
    return bool(np.allclose(string @ matrix, matrix @ string, atol=1e-9))
