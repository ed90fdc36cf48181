"""Circuits with measurements, classically controlled gates, resets and noise, as a list of elementary instructions.

A channel is described by Kraus operators K_r, of which each is one branch of what can happen: sum_r K_r' K_r = 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import cirq
import numpy as np
from scipy.linalg import null_space

from hattriq_cirq.circuits.unitaries import UNITARY_TOLERANCE, unitary_matrix
from hattriq_cirq.foundation.arrays import Array

Kind = Literal["gate", "measurement", "channel"]
_GOLDEN = (np.sqrt(5) - 1) / 2
_COMPARED_QUBITS = 7  # channels on more qubits are taken to change populations, which is safe and costs an environment qubit
_DIAGONAL = 1e-14  # largest entry, a few roundings, of a block that would change the value of a qubit


@dataclass(frozen=True, eq=False)
class Instruction:
    """One operation of a circuit with channels.

    Args:
        operation: Operation without classical controls.
        kind: Gate, measurement or channel; a channel may have a key too, under which its branch is recorded.
        conditions: Classical controls, all of which must hold for the operation to act.
        resolved: The operation with a generic number for every symbol.
    """

    operation: cirq.Operation
    kind: Kind
    conditions: tuple[cirq.Condition, ...]
    resolved: cirq.Operation

    @cached_property
    def key(self) -> cirq.MeasurementKey | None:
        """Key under which an outcome is recorded."""
        keys = cirq.measurement_key_objs(self.operation)
        return next(iter(keys)) if keys else None

    @property
    def read_keys(self) -> set[cirq.MeasurementKey]:
        """Keys on which the operation depends."""
        return {key for condition in self.conditions for key in condition.keys}

    @property
    def outcome_bits(self) -> int:
        """Number of bits that an outcome has."""
        if self.kind == "measurement":
            return len(self.operation.qubits)
        return (len(kraus_operators(self.operation)) - 1).bit_length()

    @property
    def is_reset(self) -> bool:
        """True for a reset to 0."""
        return isinstance(self.operation.gate, cirq.ResetChannel)

    def keeps_populations(self, qubit: cirq.Qid) -> bool:
        """Return True if the operation is block-diagonal in the values 0 and 1 of a qubit, so that it commutes with Z on it.

        A symbol counts as a generic number.
        """
        if qubit not in self.operation.qubits or self.kind == "measurement":
            return True
        width = len(self.operation.qubits)
        if width > _COMPARED_QUBITS:
            bare = self.operation
            return isinstance(bare, cirq.ControlledOperation) and qubit in bare.controls
        axis = self.operation.qubits.index(qubit)
        operators = np.array([unitary_matrix(self.resolved)]) if self.kind == "gate" else kraus_operators(self.resolved)
        blocks = operators.reshape(len(operators), *(2,) * (2 * width))
        blocks = np.moveaxis(blocks, (1 + axis, 1 + width + axis), (0, 1))
        return bool(max(np.abs(blocks[0, 1]).max(), np.abs(blocks[1, 0]).max()) <= _DIAGONAL)


def instructions_of(circuit: cirq.AbstractCircuit) -> list[Instruction]:
    """Return the operations of a circuit, with or without symbols, as elementary instructions in order.

    Repeated and conditional sub-circuits are unrolled, and measurements of Pauli strings become measurements of a qubit.

    Raises:
        ValueError: A sub-circuit is repeated until a condition holds, a gate depends on a key that was not measured before, or
            an operation is neither a gate nor a channel.

    Example:
        >>> a, b = cirq.LineQubit.range(2)
        >>> circuit = cirq.Circuit(cirq.measure(a, key="m"), cirq.X(b).with_classical_controls("m"), cirq.reset(a))
        >>> [instruction.kind for instruction in instructions_of(circuit)]
        ['measurement', 'gate', 'channel']
    """
    names = sorted(cirq.parameter_names(circuit))
    generic = {name: 0.1 + 0.8 * ((i + 1) * _GOLDEN % 1) for i, name in enumerate(names)}
    instructions, known = [], set[cirq.MeasurementKey]()
    for operation in circuit.all_operations():
        for instruction in _elementary(operation, (), generic):
            if missing := sorted(map(str, instruction.read_keys - known)):
                raise ValueError(
                    f"{instruction.operation} depends on the measurement {missing[0]!r}, which no earlier operation makes; "
                    "measure before the operation, under this key"
                )
            instructions.append(instruction)
            if instruction.key is not None:
                known.add(instruction.key)
    return instructions


def _elementary(
    operation: cirq.Operation, conditions: tuple[cirq.Condition, ...], generic: Mapping[str, float]
) -> Iterator[Instruction]:
    bare = operation.untagged
    if isinstance(bare, cirq.ClassicallyControlledOperation):
        own = tuple(sorted(bare.classical_controls, key=repr))
        yield from _elementary(bare.without_classical_controls(), (*conditions, *own), generic)
    elif isinstance(bare, cirq.CircuitOperation):
        if bare.repeat_until is not None:
            raise ValueError(
                f"a sub-circuit is repeated until {bare.repeat_until}, which has no fixed number of branches; give it a fixed "
                "number of repetitions"
            )
        for part in bare.mapped_circuit().all_operations():
            yield from _elementary(part, conditions, generic)
    else:
        resolved = cirq.resolve_parameters(bare, dict(generic))
        kind = _kind(bare, resolved)
        if kind is not None:
            yield Instruction(bare, kind, conditions, resolved)
            return
        parts = cirq.decompose_once(bare, None)
        if parts is None:
            raise ValueError(
                f"{bare} is neither a gate with a unitary matrix nor a measurement nor a channel with Kraus operators"
            )
        for part in parts:
            yield from _elementary(part, conditions, generic)


def _kind(operation: cirq.Operation, resolved: cirq.Operation) -> Kind | None:
    """Return the kind of an operation; None if it has to be decomposed."""
    if isinstance(operation.gate, cirq.MeasurementGate):
        return "measurement"
    if isinstance(operation.gate, cirq.PauliMeasurementGate):
        return None
    if cirq.has_unitary(resolved):
        return "gate"
    return "channel" if cirq.has_kraus(resolved) else None


def kraus_operators(operation: cirq.Operation) -> Array:
    """Return the Kraus operators of a channel without symbols, (operators, 2**k, 2**k).

    Raises:
        ValueError: The operators are not those of a channel to 1e-6: sum_r K_r' K_r must be 1.

    Example:
        >>> kraus_operators(cirq.amplitude_damp(0.36)(cirq.q(0))).round(3).tolist()
        [[[1.0, 0.0], [0.0, 0.8]], [[0.0, 0.6], [0.0, 0.0]]]
    """
    operators = np.array(cirq.kraus(operation))
    total = np.einsum("rab,rac->bc", operators.conj(), operators)
    deviation = float(np.abs(total - np.eye(len(total))).max())
    if not deviation <= UNITARY_TOLERANCE:
        raise ValueError(
            f"{operation} is not a channel: the sum of K'K of its Kraus operators K differs from 1 by {deviation:.1e}, above "
            f"{UNITARY_TOLERANCE:.0e}; correct the gate"
        )
    return operators if np.iscomplexobj(operators) and operators.imag.any() else operators.real


def dilation_gate(operators: Array) -> tuple[cirq.Gate, int]:
    """Return a gate V with V |psi>|0> = sum_r K_r |psi>|r> for Kraus operators K_r (Stinespring's theorem).

    Args:
        operators: Kraus operators, (operators, 2**k, 2**k).

    Returns:
        The gate on the k qubits and the environment behind them, and the number of environment qubits.

    Example:
        >>> gate, environment = dilation_gate(kraus_operators(cirq.amplitude_damp(0.36)(cirq.q(0))))
        >>> environment, cirq.unitary(gate)[:, 2].round(3).tolist()
        (1, [0.0, 0.6, 0.8, 0.0])
    """
    count, size, _ = operators.shape
    environment = (count - 1).bit_length()
    padded = np.zeros((2**environment, size, size), dtype=operators.dtype)
    padded[:count] = operators
    return isometry_gate(padded.transpose(1, 0, 2).reshape(-1, size)), environment


def isometry_gate(columns: Array) -> cirq.Gate:
    """Return a gate whose matrix has given orthonormal columns, (2**(k+e), 2**k), where the last e qubits enter in |0>.

    Example:
        >>> cirq.unitary(isometry_gate(np.array([[0.6], [0.8]])))[:, 0]
        array([0.6, 0.8])
    """
    total, given = columns.shape
    stride = total // given
    matrix = np.zeros((total, total), dtype=columns.dtype)
    matrix[:, ::stride] = columns
    matrix[:, [i for i in range(total) if i % stride]] = null_space(columns.conj().T)
    return cirq.MatrixGate(matrix, unitary_check=False)


def confusion_gates(confusion: Array, true: Sequence[cirq.Qid], observed: Sequence[cirq.Qid]) -> list[cirq.Operation]:
    """Return operations that write the observed bits of a readout with errors into fresh qubits.

    Args:
        confusion: Probabilities [true, observed], (2**k, 2**k).
        true: Qubits that are read, whose values are not changed.
        observed: As many qubits in |0>; afterwards their values are distributed as those that are observed.

    Example:
        >>> a, b = cirq.LineQubit.range(2)
        >>> for operation in confusion_gates(np.array([[1, 0], [0.5, 0.5]]), [a], [b]):
        ...     print(operation)
        CRy(0.5π)(q(0), q(1))
    """
    if len(true) == 1:
        (after_0, after_1) = (2 * np.arccos(np.sqrt(np.clip(row[0], 0, 1))) for row in confusion)
        flips = [cirq.ry(after_0)(observed[0])] if after_0 else []
        return [*flips, cirq.ry(after_1 - after_0)(observed[0]).controlled_by(true[0])]
    size = len(confusion)
    columns = np.zeros((size, size, size))
    columns[np.arange(size), :, np.arange(size)] = np.sqrt(confusion)
    return [isometry_gate(columns.reshape(-1, size)).on(*true, *observed)]
