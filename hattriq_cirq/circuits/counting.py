"""What is counted of circuits, logical and compiled alike."""

from __future__ import annotations

import cirq


def multi_qubit_gates(circuit: cirq.AbstractCircuit) -> int:
    """Gates of a circuit on two or more qubits, measurements apart."""
    return sum(1 for op in circuit.all_operations() if len(op.qubits) > 1 and not cirq.is_measurement(op))
