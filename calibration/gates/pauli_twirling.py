"""Pauli twirling: random gauges of two-qubit gates, which change the direction of coherent errors and not the result."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cirq
import numpy as np
import sympy
from numpy.typing import NDArray

from calibration.gates.folding import append_measurement, split_measurement
from hattriq_cirq.circuits.local_gates import Dressings, gauges
from hattriq_cirq.circuits.program import Point
from hattriq_cirq.circuits.swept_gates import Columns, columns_of, phased_xz_exponents, unitaries
from hattriq_cirq.foundation.arrays import Array, FloatArray

_PAULI_STRINGS = 16  # of two qubits
_CONSTANT = 1e-12  # exponents that differ by less over a sweep are the same but for rounding


def twirl(
    circuit: cirq.FrozenCircuit, points: Sequence[Point], twirls: int, seed: tuple[int, ...]
) -> tuple[cirq.FrozenCircuit, list[Point]]:
    """Return one circuit whose points are the given points in every gauge.

    The gauges are multiplied into the single-qubit gates between the two-qubit gates, at all points at once.

    Args:
        circuit: Compiled circuit with a symbol for every name in a point.
        points: Points of its sweep.
        twirls: Number of gauges. A gate takes each of its gauges (16 for CZ, 8 for sqrt-iSWAP and Sycamore) once before any
            comes again, so that the first order of its coherent error cancels exactly after that many twirls. The 16 of CZ come
            in blocks of 4, after each of which the first order of its usual errors cancels.
        seed: Random seed for the gauges.

    Returns:
        The circuit, with the same two-qubit gates and PhasedXZ between them, and its points, those of one twirl together. A
        circuit without gates on several qubits is returned unchanged.

    Example:
        >>> a, b = cirq.LineQubit.range(2)
        >>> circuit = cirq.FrozenCircuit(cirq.H(a), cirq.CZ(a, b), cirq.measure(a, b, key="z"))
        >>> twirled, points = twirl(circuit, [{}], 4, seed=(0,))
        >>> len(points), sum(op.gate == cirq.CZ for op in twirled.all_operations())
        (4, 1)
    """
    return _in_gauges(circuit, points, twirls, seed, own=False)


def twirl_each(
    circuit: cirq.FrozenCircuit, points: Sequence[Point], seed: tuple[int, ...]
) -> tuple[cirq.FrozenCircuit, list[Point]]:
    """Return a circuit with each of its points in one gauge of its own, balanced over the points as `twirl` is over the gauges.

    Args:
        circuit: Compiled circuit with a symbol for every name in a point.
        points: Points of its sweep.
        seed: Random seed for the gauges.

    Returns:
        The circuit, with the same two-qubit gates, and as many points.

    Example:
        >>> a, b = cirq.LineQubit.range(2)
        >>> circuit = cirq.FrozenCircuit(cirq.H(a), cirq.CZ(a, b), cirq.measure(a, b, key="z"))
        >>> twirled, points = twirl_each(circuit, [{}] * 16, seed=(0,))
        >>> len(points), len({tuple(point.values()) for point in points})
        (16, 16)
    """
    return _in_gauges(circuit, points, len(points), seed, own=True)


def block_size(circuit: cirq.AbstractCircuit) -> int:
    """Return the number of gauges in a row of `twirl` whose mean has no coherent error of first order of any gate.

    Example:
        >>> a, b = cirq.LineQubit.range(2)
        >>> block_size(cirq.Circuit(cirq.CZ(a, b))), block_size(cirq.Circuit(cirq.SQRT_ISWAP(a, b)))
        (4, 8)
    """
    several = {op.gate or op for op in circuit.all_operations() if len(op.qubits) > 1 and not cirq.is_measurement(op)}
    return max((_blocks(len(gauges(gate))).shape[1] for gate in several), default=1)


def _in_gauges(
    circuit: cirq.FrozenCircuit, points: Sequence[Point], gauges_drawn: int, seed: tuple[int, ...], *, own: bool
) -> tuple[cirq.FrozenCircuit, list[Point]]:
    """Return a circuit and its points in gauges: every point in each of them, or each point in its own."""
    body, measurement = split_measurement(circuit)
    layers = _Layers.of(body, columns_of(points), len(points))
    if not any(len(step.op.qubits) > 1 for step in layers.steps):
        return circuit, list(points) if own else list(points) * gauges_drawn
    exponents = np.array(phased_xz_exponents(layers.in_gauges(gauges_drawn, np.random.default_rng(seed), own=own)))
    twirled, swept = layers.circuit(exponents.reshape(3, len(layers.gates), -1), points)
    return append_measurement(twirled, measurement), swept


@dataclass(frozen=True)
class _Step:
    """An operation that stays as it is, between the single-qubit gates of its qubits.

    Args:
        op: Operation.
        moment: Number of its moment.
        before: Position of the single-qubit gate before it on each of its qubits.
        after: Position of the one after it.
    """

    op: cirq.Operation
    moment: int
    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Layers:
    """A circuit as operations that stay as they are, with one single-qubit gate on each qubit between them.

    Args:
        steps: Operations on several qubits, and those that are not unitary.
        gates: Unitaries of the single-qubit gates at every point, (gates, points, 2, 2).
        ends: Position of the last single-qubit gate of each qubit.
    """

    steps: tuple[_Step, ...]
    gates: Array
    ends: dict[cirq.Qid, int]

    @classmethod
    def of(cls, body: cirq.AbstractCircuit, columns: Columns, points: int) -> _Layers:
        """Return the layers of a circuit without measurement."""
        steps: list[_Step] = []
        gates: list[Array] = []
        ends: dict[cirq.Qid, int] = {}

        def start(qubits: Iterable[cirq.Qid]) -> tuple[int, ...]:
            for qubit in qubits:
                ends[qubit] = len(gates)
                gates.append(np.eye(2)[np.newaxis])
            return tuple(ends[qubit] for qubit in qubits)

        for number, moment in enumerate(body):
            for op in moment:
                start(qubit for qubit in op.qubits if qubit not in ends)
                if len(op.qubits) == 1 and _is_local_gate(op, columns):
                    gates[ends[op.qubits[0]]] = unitaries(op, columns) @ gates[ends[op.qubits[0]]]
                elif op.qubits:
                    before = tuple(ends[qubit] for qubit in op.qubits)
                    steps.append(_Step(op, number, before, start(op.qubits)))
        shape = (len(gates), points, 2, 2)
        filled = np.array([np.broadcast_to(gate, shape[1:]) for gate in gates], dtype=complex).reshape(shape)
        return cls(tuple(steps), filled, ends)

    def in_gauges(self, twirls: int, rng: np.random.Generator, *, own: bool = False) -> Array:
        """Return the single-qubit gates in random gauges of the operations, (gates, twirls, points, 2, 2).

        With `own`, gauge i is that of point i alone: (gates, points, 1, 2, 2).
        """
        before, after = np.zeros((2, len(self.gates), twirls, 1, 2, 2), dtype=complex) + np.eye(2)
        for step, known, chosen in _balanced_choices(self.steps, twirls, rng):
            for i, (gate_before, gate_after) in enumerate(zip(step.before, step.after, strict=True)):
                after[gate_before, :, 0] = known.before[chosen, i]
                before[gate_after, :, 0] = known.after[chosen, i]
        gates = self.gates[:, :, np.newaxis] if own else self.gates[:, np.newaxis]
        return np.asarray(after @ gates @ before)

    def circuit(self, exponents: FloatArray, points: Sequence[Point]) -> tuple[cirq.Circuit, list[Point]]:
        """Return the circuit with PhasedXZ gates of given exponents (3, gates, twirls * points), and its points.

        Exponents that vary are symbols; operations that stay as they are keep theirs.
        """
        kept = sorted({name for step in self.steps for name in cirq.parameter_names(step.op)})
        twirls = exponents.shape[2] // len(points)
        values = {name: [point[name] for point in points] * twirls for name in kept}
        mark = "_" * any(re.fullmatch(r"[xza]_*\d+", name) for name in kept)

        def phased_xz(qubit: cirq.Qid, position: int) -> list[cirq.Operation]:
            row: list[sympy.Symbol | float] = []
            for letter, over_points in zip("xza", exponents[:, position], strict=True):
                if np.ptp(over_points) < _CONSTANT:
                    row.append(float(over_points[0]))
                else:
                    name = f"{letter}{mark}{position}"
                    values[name] = over_points.tolist()
                    row.append(sympy.Symbol(name))
            if all(isinstance(value, float) and abs(value) < _CONSTANT for value in row):
                return []
            return [cirq.PhasedXZGate(x_exponent=row[0], z_exponent=row[1], axis_phase_exponent=row[2])(qubit)]

        moments: dict[int, tuple[list[cirq.Operation], list[cirq.Operation]]] = {}
        for step in self.steps:
            local, constant = moments.setdefault(step.moment, ([], []))
            local += [op for at in zip(step.op.qubits, step.before, strict=True) for op in phased_xz(*at)]
            constant.append(step.op)
        last = [op for at in sorted(self.ends.items()) for op in phased_xz(*at)]
        layers = [*(part for pair in moments.values() for part in pair), last]
        circuit = cirq.Circuit(cirq.Moment(ops) for ops in layers if ops)
        rows = zip(*values.values(), strict=True) if values else [()] * exponents.shape[2]
        return circuit, [dict(zip(values, row, strict=True)) for row in rows]


def _balanced_choices(
    steps: Sequence[_Step], twirls: int, rng: np.random.Generator
) -> Iterable[tuple[_Step, Dressings, NDArray[np.int64]]]:
    """Yield the gauges of each operation on several qubits and the one it takes in each twirl, all of them before any again."""
    gauged = [(step, gauges(step.op.gate or step.op)) for step in steps if len(step.op.qubits) > 1]
    for count in sorted({len(known) for _, known in gauged}):
        of_count = [(step, known) for step, known in gauged if len(known) == count]
        blocks = _blocks(count)
        rounds = np.tile(np.arange(len(blocks)), (len(of_count), -(-twirls // count), 1))
        order = rng.permuted(rounds, axis=2).reshape(len(of_count), -1)  # of blocks, all of them before any again
        chosen = rng.permuted(blocks[order], axis=2).reshape(len(of_count), -1)[:, :twirls]
        yield from ((step, known, row) for (step, known), row in zip(of_count, chosen, strict=True))


def _blocks(count: int) -> NDArray[np.int64]:
    """Return the gauges of an operation in blocks, (blocks, gauges), each of which cancels its usual coherent errors.

    The 16 Pauli strings of a pair of qubits, numbered so that products are bitwise sums, are four cosets of II, XY, YZ, ZX.
    None of XX, YY, ZZ, IZ and ZI commutes with these four, and every error that does not is cancelled by each coset.
    """
    if count != _PAULI_STRINGS:
        return np.arange(count)[np.newaxis]
    return np.asarray(np.arange(4)[:, np.newaxis] ^ np.array([0b0000, 0b0110, 0b1011, 0b1101]))


def _is_local_gate(op: cirq.Operation, columns: Columns) -> bool:
    if isinstance(op.gate, cirq.WaitGate):
        return False  # it is a time, not only the identity
    if isinstance(op.gate, cirq.PhasedXZGate) or cirq.has_unitary(op):
        return True
    names = cirq.parameter_names(op)
    return bool(names) and cirq.has_unitary(cirq.resolve_parameters(op, {name: columns[name][0] for name in names}))
