"""Gate counts of circuits, logical and compiled alike."""

from __future__ import annotations

import cirq


def multi_qubit_gates(circuit: cirq.AbstractCircuit) -> int:
    """Return the number of gates on two or more qubits, measurements excluded.

    Example:
        >>> a, b = cirq.LineQubit.range(2)
        >>> multi_qubit_gates(cirq.Circuit(cirq.H(a), cirq.CZ(a, b), cirq.measure(a, b)))
        1
    """
    return sum(1 for op in circuit.all_operations() if len(op.qubits) > 1 and not cirq.is_measurement(op))


def two_qubit_depth(circuit: cirq.AbstractCircuit) -> int:
    """Return the length of the longest chain of multi-qubit gates in which each gate shares a qubit with the one before.

    Example:
        >>> a, b, c = cirq.LineQubit.range(3)
        >>> two_qubit_depth(cirq.Circuit(cirq.CZ(a, b), cirq.H(b), cirq.CZ(b, c), cirq.CZ(a, b)))
        3
    """
    depths: dict[cirq.Qid, int] = {}
    for op in circuit.all_operations():
        if len(op.qubits) > 1 and not cirq.is_measurement(op):
            depths |= dict.fromkeys(op.qubits, 1 + max(depths.get(q, 0) for q in op.qubits))
    return max(depths.values(), default=0)
