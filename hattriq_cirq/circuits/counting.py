"""What is counted of circuits, logical and compiled alike."""

from __future__ import annotations

import cirq


def multi_qubit_gates(circuit: cirq.AbstractCircuit) -> int:
    """Gates of a circuit on two or more qubits, measurements apart."""
    return sum(1 for op in circuit.all_operations() if len(op.qubits) > 1 and not cirq.is_measurement(op))


def two_qubit_depth(circuit: cirq.AbstractCircuit) -> int:
    """Return the length of the longest chain of gates on two or more qubits, each after the one before on a shared qubit."""
    depths: dict[cirq.Qid, int] = {}
    for op in circuit.all_operations():
        if len(op.qubits) > 1 and not cirq.is_measurement(op):
            depths |= dict.fromkeys(op.qubits, 1 + max(depths.get(q, 0) for q in op.qubits))
    return max(depths.values(), default=0)
