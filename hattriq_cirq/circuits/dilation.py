"""Circuits with channels as unitary circuits on more qubits, which start in |0> and are not read: the environment.

A measured qubit that afterwards only controls other operations is itself the quantum control, so that most measurements
need no further qubit (deferred measurement). Any other measurement is copied to a qubit of the environment, a reset takes a
fresh qubit from there, and noise acts as a gate on both (Stinespring). M = <0|V'OV|0> for the unitary circuit V.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import count, product

import cirq
import numpy as np
from numpy.typing import NDArray

from hattriq_cirq.circuits.channels import Instruction, confusion_gates, dilation_gate, instructions_of, kraus_operators

_CONTROL_BITS_MAX = 12  # recorded bits on which one operation depends: a gate may be needed for each of their values


@dataclass(frozen=True)
class RecordedBit:
    """Bit of a measurement's outcome, held by a qubit until the end.

    Args:
        wire: Qubit with the bit.
        inverted: True if the outcome is the other value.
    """

    wire: cirq.Qid
    inverted: bool = False


#: Outcome of one measurement, most significant bit first, and the qubits that it measured; none for the branch of a channel.
Recorded = tuple[tuple[RecordedBit, ...], tuple[cirq.Qid, ...] | None]


@dataclass(frozen=True, eq=False)
class Dilation:
    """Circuit on data and environment qubits that does the same as a circuit with channels.

    Args:
        circuit: Circuit V; it contains noise only if that was kept.
        environment: Qubits that start in |0>.
        wires: Qubit of V that carries each data qubit at the end; it is another one after a reset.
        outcomes: Bits of the latest outcome recorded under each key, most significant first.
    """

    circuit: cirq.FrozenCircuit
    environment: tuple[cirq.Qid, ...]
    wires: Mapping[cirq.Qid, cirq.Qid]
    outcomes: Mapping[str, tuple[RecordedBit, ...]]


def dilate(
    circuit: cirq.AbstractCircuit,
    qubits: Sequence[cirq.Qid],
    mixed: Set[cirq.Qid],
    *,
    read: Set[str] = frozenset(),
    keep_noise: bool = False,
) -> Dilation:
    """Return a circuit with channels as a circuit on data and environment qubits without measurements.

    Args:
        circuit: Circuit, which may have symbols in its gates.
        qubits: Data qubits.
        mixed: Data qubits on which the observable that follows is not diagonal.
        read: Keys of the outcomes that are needed after the circuit.
        keep_noise: Keep noise and resets as channels, where no outcome depends on them.

    Returns:
        The dilation.

    Raises:
        ValueError: The circuit cannot be unrolled, or a gate depends on too many recorded bits.

    Example:
        >>> a, b = cirq.LineQubit.range(2)
        >>> pooled = cirq.Circuit(cirq.measure(a, key="m"), cirq.X(b).with_classical_controls("m"))
        >>> dilate(pooled, [a, b], set()).circuit == cirq.FrozenCircuit(cirq.CNOT(a, b))
        True
        >>> len(dilate(cirq.Circuit(cirq.H(a), cirq.reset(a)), [a], set()).environment)
        1
    """
    builder = _Builder(
        instructions_of(circuit), [*qubits, *sorted(circuit.all_qubits().difference(qubits))], mixed, read, keep_noise
    )
    for i in range(len(builder.instructions)):
        builder.add(i)
    return builder.dilation()


class _Builder:
    """The circuit so far, with the wire of each qubit and all recorded outcomes."""

    def __init__(
        self,
        instructions: Sequence[Instruction],
        qubits: Sequence[cirq.Qid],
        mixed: Set[cirq.Qid],
        read: Set[str],
        keep_noise: bool,
    ) -> None:
        self.instructions, self._mixed, self._keep_noise = instructions, mixed, keep_noise
        self._wires = {q: q for q in qubits}
        self._operations: list[cirq.Operation] = []
        self._environment: list[cirq.Qid] = []
        self._records: dict[cirq.MeasurementKey, list[Recorded]] = {}
        self._names = (q for i in count() if (q := cirq.NamedQubit(f"environment{i}")) not in self._wires)
        self._last_read = {key: i for i, instruction in enumerate(instructions) for key in instruction.read_keys}
        self._last_read |= {
            instruction.key: len(instructions)
            for instruction in instructions
            if instruction.key is not None and str(instruction.key) in read
        }

    def dilation(self) -> Dilation:
        latest = {str(key): recorded[-1][0] for key, recorded in self._records.items()}
        return Dilation(cirq.FrozenCircuit(self._operations), tuple(self._environment), dict(self._wires), latest)

    def add(self, i: int) -> None:
        instruction = self.instructions[i]
        if instruction.kind == "measurement":
            self._measure(i)
        elif instruction.is_reset:
            self._reset(instruction)
        elif instruction.kind == "gate" or (self._keep_noise and instruction.key is None and not instruction.conditions):
            self._emit(instruction, instruction.operation.transform_qubits(self._wires))
        else:
            self._add_channel(instruction)

    def _fresh(self, number: int) -> list[cirq.Qid]:
        qubits: list[cirq.Qid] = [next(self._names) for _ in range(number)]
        self._environment += qubits
        return qubits

    def _emit(self, instruction: Instruction, operation: cirq.Operation) -> None:
        """Add an operation once for each combination of recorded bits for which the instruction's conditions hold."""
        for controls, values in self._controls(instruction):
            self._operations.append(operation.controlled_by(*controls, control_values=values) if controls else operation)

    def _controls(self, instruction: Instruction) -> Iterator[tuple[list[cirq.Qid], list[int]]]:
        """Yield control qubits with their values; no control once if the operation always acts."""
        if not instruction.conditions:
            yield [], []
            return
        recorded = {key: self._records[key] for key in sorted(instruction.read_keys, key=str)}
        wires = list(dict.fromkeys(bit.wire for each in recorded.values() for bits, _ in each for bit in bits))
        if len(wires) > _CONTROL_BITS_MAX:
            raise ValueError(
                f"{instruction.operation} depends on {len(wires)} measured bits, at most {_CONTROL_BITS_MAX} are possible; "
                "measure the bits that it needs under a key of their own"
            )
        holds = np.zeros((2,) * len(wires), dtype=bool)
        for values in product((0, 1), repeat=len(wires)):
            holds[values] = _hold(instruction, recorded, dict(zip(wires, values, strict=True)))
        wires, holds = needed_bits(wires, holds)
        for index in np.argwhere(holds):
            yield wires, index.tolist()

    def _measure(self, i: int) -> None:
        instruction = self.instructions[i]
        gate, key = instruction.operation.gate, instruction.key
        assert isinstance(gate, cirq.MeasurementGate)
        assert key is not None
        is_read = self._last_read.get(key, -1) > i
        wires = [self._wires[q] for q in instruction.operation.qubits]
        held: list[cirq.Qid] = list(wires)
        for positions, confusion in gate.confusion_map.items() if is_read else ():
            observed = self._fresh(len(positions))
            self._operations += confusion_gates(np.asarray(confusion), [wires[p] for p in positions], observed)
            for p, wire in zip(positions, observed, strict=True):
                held[p] = wire
        for p, qubit in enumerate(instruction.operation.qubits):
            if self._stays_classical(i, qubit, key):
                continue
            if self._keep_noise and not (is_read and held[p] == wires[p]):
                self._operations.append(cirq.phase_flip(0.5)(wires[p]))
                continue
            (copy,) = self._fresh(1)
            self._operations.append(cirq.CNOT(wires[p], copy))
            if held[p] == wires[p]:
                held[p] = copy
        if not is_read:
            return
        inverted = gate.full_invert_mask()
        bits = tuple(RecordedBit(wire, bool(flip)) for wire, flip in zip(held, inverted, strict=True))
        self._records.setdefault(key, []).append((bits, instruction.operation.qubits))

    def _stays_classical(self, i: int, qubit: cirq.Qid, key: cirq.MeasurementKey) -> bool:
        """Return True if a measured qubit only controls what follows, up to its reset or to the observable."""
        for instruction in self.instructions[i + 1 :]:
            if qubit not in instruction.operation.qubits:
                continue
            if instruction.is_reset and not instruction.conditions:
                return True
            if not instruction.keeps_populations(qubit) or key in instruction.read_keys:
                return False
        return qubit not in self._mixed

    def _reset(self, instruction: Instruction) -> None:
        (qubit,) = instruction.operation.qubits
        wire = self._wires[qubit]
        if instruction.conditions:
            (fresh,) = self._fresh(1)
            self._emit(instruction, cirq.SWAP(wire, fresh))
        elif self._keep_noise and not self._holds_record(wire):
            self._operations.append(cirq.reset(wire))
        else:
            (self._wires[qubit],) = self._fresh(1)

    def _holds_record(self, wire: cirq.Qid) -> bool:
        return any(bit.wire == wire for each in self._records.values() for bits, _ in each for bit in bits)

    def _add_channel(self, instruction: Instruction) -> None:
        if cirq.is_parameterized(instruction.operation):
            names = sorted(cirq.parameter_names(instruction.operation))
            raise ValueError(f"{instruction.operation} has symbols {names}: noise with symbols needs numbers for them first")
        operators = kraus_operators(instruction.operation)
        if instruction.key is None:  # otherwise the index of each operator is an outcome
            operators = operators[np.abs(operators).max(axis=(1, 2)) > 0]
        gate, number = dilation_gate(operators)
        environment = self._fresh(number)
        self._emit(instruction, gate.on(*(self._wires[q] for q in instruction.operation.qubits), *environment))
        if instruction.key is not None:
            self._records.setdefault(instruction.key, []).append((tuple(map(RecordedBit, environment)), None))


def needed_bits(wires: Sequence[cirq.Qid], table: NDArray[np.generic]) -> tuple[list[cirq.Qid], NDArray[np.generic]]:
    """Leave out the bits that a function of bits does not depend on.

    Args:
        wires: Qubits with the bits.
        table: Value of the function for all values of the bits, (2,) * bits.

    Returns:
        The other qubits, and the function of their bits.

    Example:
        >>> a, b = cirq.LineQubit.range(2)
        >>> needed_bits([a, b], np.array([[1, 2], [1, 2]]))
        ([cirq.LineQubit(1)], array([1, 2]))
    """
    kept = list(wires)
    for wire in wires:
        axis = kept.index(wire)
        if np.array_equal(table.take(0, axis), table.take(1, axis)):
            kept, table = kept[:axis] + kept[axis + 1 :], np.asarray(table.take(0, axis))
    return kept, table


def _hold(
    instruction: Instruction, recorded: Mapping[cirq.MeasurementKey, Sequence[Recorded]], values: Mapping[cirq.Qid, int]
) -> bool:
    """Return True if the conditions of a instruction hold for some values of the recorded bits."""
    store = cirq.ClassicalDataDictionaryStore()  # a new one, because copies share their lists
    for key, outcomes in recorded.items():
        for bits, measured in outcomes:
            digits = [values[bit.wire] ^ bit.inverted for bit in bits]
            if measured is None:
                store.record_channel_measurement(key, cirq.big_endian_bits_to_int(digits))
            else:
                store.record_measurement(key, digits, measured)
    try:
        return all(condition.resolve(store) for condition in instruction.conditions)
    except (IndexError, ValueError, TypeError) as error:
        raise ValueError(
            f"a condition of {instruction.operation} cannot be evaluated: {error}; correct {instruction.conditions}"
        ) from error
