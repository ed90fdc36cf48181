"""The part of a circuit on which an observable depends."""

from __future__ import annotations

import cirq

from hattriq_cirq.circuits.unitaries import commute


def light_cone(circuit: cirq.AbstractCircuit, *paulis: cirq.PauliString[cirq.Qid]) -> cirq.FrozenCircuit:
    """Return the circuit U without the gates that cancel in U' P U for every given P.

    A gate cancels if it commutes with all gates that follow it and with every P, to an entry of 1e-14 in the commutator. U' P U
    therefore changes by rounding only, however small the angles of the gates are. A channel cancels if what follows it acts on
    other qubits.

    Args:
        circuit: Circuit of gates, and of channels without outcomes.
        paulis: Pauli strings P.

    Returns:
        The gates that are left, in order.

    Raises:
        ValueError: The circuit measures, so that later gates may depend on earlier ones that act on other qubits.

    Example:
        >>> a, b = cirq.LineQubit.range(2)
        >>> circuit = cirq.Circuit(cirq.H(a), cirq.H(b), cirq.CZ(a, b))
        >>> list(light_cone(circuit, cirq.PauliString(cirq.Z(a))).all_operations())
        [cirq.H(cirq.LineQubit(0))]
    """
    if any(cirq.is_measurement(op) or cirq.control_keys(op) for op in circuit.all_operations()):
        raise ValueError("a circuit that measures has no light cone; take that of model.dilated(), which is unitary")
    kept: list[cirq.Operation] = []
    for operation in reversed(list(circuit.all_operations())):
        local: list[cirq.PauliString[cirq.Qid]] = [
            cirq.PauliString({q: pauli[q] for q in operation.qubits if q in pauli}) for pauli in paulis
        ]
        if not all(commute(operation, later) for later in (*reversed(kept), *local)):
            kept.append(operation)
    return cirq.FrozenCircuit(reversed(kept))
