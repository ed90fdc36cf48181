"""Numbers in circuits: SymPy constants become floats, and nothing that the caller can change later is kept."""

from __future__ import annotations

from typing import Any

import cirq
import sympy

#: Resolver of no symbol of a circuit; Cirq does not look at constants if the resolver is empty.
_NOTHING = cirq.ParamResolver({"": 0})


def owned_circuit(circuit: cirq.AbstractCircuit) -> cirq.FrozenCircuit:
    """Return an equal circuit in which SymPy constants are floats and matrices and parameter maps are copies.

    Args:
        circuit: Circuit with or without symbols.

    Returns:
        The circuit; operations that need no change are shared.

    Example:
        >>> import sympy
        >>> owned_circuit(cirq.Circuit(cirq.rx(sympy.pi / 2)(cirq.q(0))))[0].operations[0].gate.exponent
        0.5
    """
    moments = [_owned_moment(moment) for moment in circuit]
    if all(new is old for new, old in zip(moments, circuit, strict=True)):
        return circuit.freeze()
    return cirq.FrozenCircuit.from_moments(*moments).with_tags(*circuit.freeze().tags)


def _owned_moment(moment: cirq.Moment) -> cirq.Moment:
    operations = [_owned_operation(op) for op in moment]
    unchanged = all(new is old for new, old in zip(operations, moment, strict=True))
    return moment if unchanged else cirq.Moment.from_ops(*operations)


def _owned_operation(operation: cirq.Operation) -> cirq.Operation:
    bare = operation.untagged
    if isinstance(bare, cirq.CircuitOperation):
        new: cirq.Operation = _owned_subcircuit(bare)
    elif isinstance(bare, cirq.ClassicallyControlledOperation):
        new = _owned_conditional(bare)
    elif isinstance(bare, cirq.ControlledOperation):
        inner = _owned_operation(bare.sub_operation)
        same = inner is bare.sub_operation
        new = bare if same else cirq.ControlledOperation(bare.controls, inner, bare.control_values)
    elif type(bare.gate) is cirq.MatrixGate:
        new = _owned_matrix(bare.gate).on(*bare.qubits)
    elif cirq.is_parameterized(bare) and not cirq.parameter_names(bare):
        new = cirq.resolve_parameters(bare, _NOTHING)
    else:
        return operation
    if new is bare:
        return operation
    return new.with_tags(*operation.tags) if operation.tags else new


def _owned_conditional(operation: cirq.ClassicallyControlledOperation) -> cirq.Operation:
    """Return the operation with conditions that files keep: Cirq's JSON leaves out the index of a `KeyCondition`."""
    inside, conditions = operation.without_classical_controls(), sorted(operation.classical_controls, key=repr)
    owned = _owned_operation(inside)
    kept = [
        cirq.BitMaskKeyCondition(condition.key, condition.index)
        if isinstance(condition, cirq.KeyCondition) and condition.index != -1
        else condition
        for condition in conditions
    ]
    return operation if owned is inside and kept == conditions else owned.with_classical_controls(*kept)


def _owned_matrix(gate: cirq.MatrixGate) -> cirq.MatrixGate:
    """Return the gate with a copy of its matrix, which Cirq shares with the caller."""
    return cirq.MatrixGate(cirq.unitary(gate), name=gate._name, qid_shape=cirq.qid_shape(gate), unitary_check=False)


def _owned_subcircuit(operation: cirq.CircuitOperation) -> cirq.CircuitOperation:
    """Return the operation with a parameter map of its own, which Cirq shares with the caller."""
    circuit, given = owned_circuit(operation.circuit), operation.param_resolver.param_dict
    if circuit is operation.circuit and not given and not isinstance(operation.repetitions, sympy.Basic):
        return operation
    params = cirq.ParamResolver({key: _number(value) for key, value in given.items()})
    return operation.replace(circuit=circuit, param_resolver=params, repetitions=_number(operation.repetitions))


def _number(value: Any) -> Any:
    """Return a SymPy constant as a float, and anything else as it is."""
    return _NOTHING.value_of(value) if isinstance(value, sympy.Basic) and not value.free_symbols else value


def constant(value: complex | sympy.Basic, name: str) -> complex:
    """Return a number, or a SymPy expression without symbols, as a plain complex number.

    Args:
        value: Number or expression.
        name: Name of the value in the error message.

    Raises:
        ValueError: The expression has symbols.

    Example:
        >>> constant(sympy.pi / 2, "coefficient")
        (1.5707963267948966+0j)
    """
    if isinstance(value, sympy.Basic) and value.free_symbols:
        raise ValueError(f"{name}={value} has symbols; replace them by numbers")
    return complex(value)
