"""Circuits of one structure as arrays: the same gates on the same qubits, with the matrices of all circuits stacked.

A campaign is many circuits that differ in the angles of their rotations. Every step of compilation (merging, decomposition,
checking) is done for all of them at once by NumPy, and a single circuit is a stack of one. Matrices of size 2 and 4 are
multiplied and diagonalised element by element and not by a linear algebra library, so that the result is the same for every
library and every number of threads.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import cirq
import numpy as np
import sympy

from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.circuits.swept_gates import NEGLIGIBLE, columns_of, phased_xz_exponents, unitaries
from hattriq_cirq.foundation.arrays import Array, FloatArray

#: Gates whose angles may differ between the circuits of a stack.
ROTATIONS = (cirq.Rx, cirq.Ry, cirq.Rz)
_CHUNK = 2**14  # amplitudes that are simulated together: they stay in the cache
_RELATIVE_NS = 25.0, 42.0  # durations of gates on one and on two qubits


class Step(NamedTuple):
    """One gate of all circuits of a stack.

    Args:
        axes: Positions of the gate's qubits.
        matrices: Unitary matrices, (circuits or 1, 2**axes, 2**axes); None is a CZ.
    """

    axes: tuple[int, ...]
    matrices: Array | None


#: Gates in order.
Steps = list[Step]


@dataclass(frozen=True, eq=False)
class CircuitStack:
    """Circuits that differ in their matrices only.

    Args:
        qubits: The qubits, in order.
        steps: Gates on one or two qubits.
        measurement: Measurement that ends every circuit, if there is one.
        rows: Number of each circuit.

    Example:
        >>> q = cirq.LineQubit(0)
        >>> stack = CircuitStack.of([cirq.Circuit(cirq.ry(angle)(q), cirq.measure(q)) for angle in (0.0, np.pi)])
        >>> stack.probabilities().round(9).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    qubits: tuple[cirq.Qid, ...]
    steps: Steps
    measurement: cirq.Operation | None
    rows: tuple[int, ...]

    @classmethod
    def of(cls, circuits: Sequence[cirq.AbstractCircuit], beside: Collection[cirq.Qid] = ()) -> CircuitStack:
        """Stack circuits whose operations differ in the angles of Rx, Ry and Rz only.

        Args:
            circuits: The circuits.
            beside: Further qubits, on which the circuits do not act.

        Raises:
            ValueError: An operation is not unitary or has no decomposition, or a measurement is not the last operation.
        """
        qubits = tuple(sorted({*circuits[0].all_qubits(), *beside}))
        axis_of = {q: i for i, q in enumerate(qubits)}
        steps: Steps = []
        measurement = None
        for together in zip(*(circuit.all_operations() for circuit in circuits), strict=True):
            first = together[0]
            if measurement is not None:
                raise ValueError(f"{first} follows the measurement, which must come last")
            if cirq.is_measurement(first):
                measurement = first
            elif isinstance(first.gate, ROTATIONS):
                angles = np.array([op.gate.exponent for op in together]) * np.pi
                rotations = _rotation_matrices(first.gate, angles[:1] if np.ptp(angles) == 0 else angles)
                steps.append(Step((axis_of[first.qubits[0]],), rotations))
            else:
                steps += [Step(tuple(axis_of[q] for q in op.qubits), _constant(op)) for op in _elementary(first)]
        return cls(qubits, steps, measurement, tuple(range(len(circuits))))

    @property
    def couplings(self) -> int:
        """Number of gates on two qubits of each circuit."""
        return sum(len(step.axes) > 1 for step in self.steps)

    def select(self, positions: Sequence[int]) -> CircuitStack:
        """Return the stack of the circuits at some positions of `rows`."""
        at = list(positions)
        steps = [s if s.matrices is None or len(s.matrices) == 1 else Step(s.axes, s.matrices[at]) for s in self.steps]
        return replace(self, steps=steps, rows=tuple(self.rows[i] for i in at))

    def probabilities(self) -> FloatArray:
        """Return the exact outcome probabilities of the measurement, (circuits, 2**bits)."""
        assert self.measurement is not None
        axes = [self.qubits.index(q) for q in self.measurement.qubits]
        count, size = len(self.rows), max(1, _CHUNK >> len(self.qubits))
        chunks = [range(start, min(start + size, count)) for start in range(0, count, size)]
        return np.concatenate([_marginals(final_states(self.select(chunk)), axes) for chunk in chunks])

    def to_program(self, native: cirq.Gate = cirq.CZ) -> ParameterizedCircuit:
        """Return the circuits as one Cirq circuit of PhasedXZ and a native gate, with a symbol for every exponent that varies.

        Gates are placed as late as possible, because a qubit does not decay before its first gate. The measurement is alone in
        the last moment.
        """
        symbols: list[FloatArray] = []

        def exponent(values: FloatArray) -> float | sympy.Symbol:
            if np.ptp(values) < NEGLIGIBLE:
                return float(values[0])
            symbols.append(values)
            return sympy.Symbol(f"t{len(symbols) - 1}")

        rotations = [step.matrices for step in self.steps if len(step.axes) == 1 and step.matrices is not None]
        cuts = np.cumsum([0, *map(len, rotations)])
        exponents = phased_xz_exponents(np.concatenate([np.zeros((0, 2, 2)), *rotations]))
        moments: dict[int, list[cirq.Operation]] = {}
        done = len(rotations)
        for step, at in zip(reversed(self.steps), _levels(self.steps, len(self.qubits)), strict=True):
            qubits = [self.qubits[axis] for axis in step.axes]
            if len(qubits) == 2:
                moments.setdefault(at, []).append(native(*qubits))
            else:
                done -= 1
                x, z, a = (exponent(values[cuts[done] : cuts[done + 1]]) for values in exponents)
                gate = cirq.PhasedXZGate(x_exponent=x, z_exponent=z, axis_phase_exponent=a)
                moments.setdefault(at, []).append(gate(*qubits))
        ordered = [cirq.Moment(moments[at]) for at in sorted(moments, reverse=True)]
        if self.measurement is not None:
            ordered.append(cirq.Moment(self.measurement))
        names = [f"t{i}" for i in range(len(symbols))]
        table = np.array(symbols).reshape(len(symbols), len(self.rows)).T
        points = tuple(dict(zip(names, row, strict=True)) for row in table.tolist())
        return ParameterizedCircuit(cirq.FrozenCircuit.from_moments(*ordered), self.rows, points)


def _levels(steps: Steps, qubits: int) -> list[int]:
    """Return the moment of each gate, from the last gate on, counted from the end.

    There are three ways to place gates as late as possible: each as soon as its qubits are free, and with two-qubit gates in
    even or in odd moments and single-qubit gates in the others, so that long and short gates share no moment. The way with the
    least time from the qubits' first gates to the end is taken.
    """
    ways = []
    for parity in (0, 1, None):
        level = [0] * qubits
        levels = []
        for step in reversed(steps):
            at = max(level[axis] for axis in step.axes) + 1
            if parity is not None:
                at += (at + len(step.axes) + parity) % 2
            for axis in step.axes:
                level[axis] = at
            levels.append(at)
        longest: dict[int, float] = {}
        for step, at in zip(reversed(steps), levels, strict=True):
            longest[at] = max(longest.get(at, 0.0), _RELATIVE_NS[len(step.axes) - 1])
        ways.append((sum(ns * sum(at <= first for first in level) for at, ns in longest.items()), levels))
    return min(ways, key=lambda way: way[0])[1]


def stack_of_program(program: ParameterizedCircuit) -> CircuitStack:
    """Return a compiled program as the stack of its points."""
    columns = columns_of(program.points)
    qubits = tuple(sorted(program.circuit.all_qubits()))
    axis_of = {q: i for i, q in enumerate(qubits)}
    steps = [
        Step(tuple(axis_of[q] for q in op.qubits), unitaries(op, columns) if cirq.is_parameterized(op) else _constant(op))
        for op in program.circuit.all_operations()
        if not cirq.is_measurement(op)
    ]
    *_, last = program.circuit.all_operations()
    return CircuitStack(qubits, steps, last if cirq.is_measurement(last) else None, tuple(range(len(program.points))))


def final_states(stack: CircuitStack) -> Array:
    """Return the states that the circuits prepare from |0...0>, (circuits, 2, ..., 2)."""
    n = len(stack.qubits)
    states = np.zeros((len(stack.rows), *(2,) * n), dtype=np.complex128)
    states.reshape(len(stack.rows), -1)[:, 0] = 1
    for step in stack.steps:
        states = apply(states, step)
    return states


def apply(states: Array, step: Step) -> Array:
    """Return states, (circuits, 2, ..., 2), after a gate; the input is overwritten."""
    order = _axes_in_front(step.axes, states.ndim)
    moved = states.transpose(order)
    if step.matrices is None:
        moved[:, 1, 1] *= -1
        return states
    size = 2 ** len(step.axes)
    old = moved.reshape(len(states), size, -1)
    new = sum(step.matrices[:, :, k, np.newaxis] * old[:, k, np.newaxis] for k in range(size))
    result = np.empty_like(states)
    result.transpose(order)[...] = np.reshape(new, moved.shape)
    return result


@lru_cache(maxsize=4096)
def _axes_in_front(axes: tuple[int, ...], dimensions: int) -> tuple[int, ...]:
    """Return the order of dimensions in which the circuits come first, followed by the given axes and by all others."""
    return (0, *(axis + 1 for axis in axes), *(i + 1 for i in range(dimensions - 1) if i not in axes))


def _marginals(states: Array, axes: Sequence[int]) -> FloatArray:
    """Return the probabilities of the bits on some axes, (circuits, 2**bits)."""
    populations = states.real**2 + states.imag**2
    others = tuple(i + 1 for i in range(states.ndim - 1) if i not in axes)
    kept = sorted(axes)
    summed = populations.sum(axis=others)
    ordered = np.transpose(summed, [0, *(kept.index(axis) + 1 for axis in axes)])
    return np.asarray(ordered.reshape(len(states), -1))


def _rotation_matrices(gate: cirq.Gate | None, angles: FloatArray) -> Array:
    """Return the matrices of Rx, Ry or Rz, (angles, 2, 2)."""
    cosine, sine = np.cos(angles / 2), np.sin(angles / 2)
    if isinstance(gate, cirq.Rx):
        return _matrices(cosine, -1j * sine, -1j * sine, cosine)
    if isinstance(gate, cirq.Ry):
        return _matrices(cosine, -sine, sine, cosine)
    return _matrices(cosine - 1j * sine, 0 * sine, 0 * sine, cosine + 1j * sine)


def _matrices(m00: Array, m01: Array, m10: Array, m11: Array) -> Array:
    return np.stack([m00, m01, m10, m11], axis=-1).astype(np.complex128).reshape(-1, 2, 2)


def _constant(op: cirq.Operation) -> Array | None:
    """Return the matrix of an operation, (1, size, size), or None for a CZ."""
    return None if op.gate == cirq.CZ else _unitary(op.untagged)


@lru_cache(maxsize=4096)
def _unitary(op: cirq.Operation) -> Array:
    return cirq.unitary(op).astype(np.complex128)[np.newaxis]


def _elementary(op: cirq.Operation) -> list[cirq.Operation]:
    """Decompose an operation into unitary operations on one or two qubits.

    Raises:
        ValueError: An operation has neither a unitary of this size nor a decomposition.
    """

    def fits(part: cirq.Operation) -> bool:
        is_circuit = isinstance(part.untagged, cirq.CircuitOperation)
        return len(part.qubits) <= 2 and not is_circuit and cirq.has_unitary(part)

    def unable(part: cirq.Operation) -> ValueError:
        return ValueError(f"{part} has no decomposition into unitary gates on one or two qubits")

    if op.gate is not None and fits(op):
        return [op]
    return [part for part in cirq.decompose(op, keep=fits, on_stuck_raise=unable) if part.qubits]
