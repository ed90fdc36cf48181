"""<0|V' O V|0> of circuits on more qubits than a state vector holds: qubits that are no longer acted on become branches.

Once a qubit only controls what follows, its two values never meet again, and can be followed one after the other. A qubit of
the environment joins the state when a gate first changes it. As long as the state has room nothing is split, so that a small
circuit has one branch. The work is that of the whole state vector; the memory is that of the largest state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import cirq
import numpy as np

from hattriq_cirq.foundation.arrays import Array, read_only
from hattriq_cirq.simulation import statevector
from hattriq_cirq.simulation.evolved_observable import ObservableOnAxes
from hattriq_cirq.simulation.statevector import Gate, PauliAction, Precision, drop_zero_imaginary, dtypes

_DIAGONAL = 1e-14  # largest entry, a few roundings, of a block that would change the value of a qubit


@dataclass(frozen=True, eq=False)
class _Event:
    """Change of the state: a gate, a qubit that joins it, or one whose values become branches.

    Args:
        kind: Kind of the change.
        axes: Axis that joins or is split, or the axes of the gate.
        live: Axes of the state before the change, in order.
        matrix: Matrix of the gate.
    """

    kind: Literal["gate", "join", "split"]
    axes: tuple[int, ...]
    live: tuple[int, ...]
    matrix: Array | None = None

    @cached_property
    def inside(self) -> tuple[int, ...]:
        """Positions of the axes that are part of the state."""
        return tuple(self.live.index(axis) for axis in self.axes if axis in self.live)

    def at(self, values: Mapping[int, int]) -> Array:
        """Return the gate's matrix on the axes of the state, for the values of its other axes."""
        assert self.matrix is not None
        width = len(self.axes)
        fixed = tuple(slice(None) if axis in self.live else values[axis] for axis in self.axes)
        block = self.matrix.reshape((2,) * (2 * width))[(*fixed, *fixed)]
        return block.reshape(2 ** len(self.inside), -1)


@dataclass(frozen=True)
class BranchTree(ObservableOnAxes):
    """M = <0|V' O V|0>, branch by branch.

    Args:
        events: Changes of the state in order.
        terms: Pauli strings of O, with their coefficients and the index of the Pauli on each axis.
        left: Axes of the state at the end, in order.
        branches: Number of axes that are split.
    """

    events: tuple[_Event, ...]
    terms: tuple[tuple[float, Mapping[int, cirq.Pauli]], ...]
    left: tuple[int, ...]
    branches: int

    @classmethod
    def of(
        cls,
        gates: Sequence[Gate],
        terms: Sequence[tuple[float, Mapping[int, cirq.Pauli]]],
        n_qubits: int,
        axes: Sequence[int],
        largest: int,
    ) -> BranchTree:
        """Plan the branches of a circuit.

        Args:
            gates: Gates of V that reach the observable, on axes of the register and, behind it, of the environment.
            terms: Pauli strings of O, with their coefficients.
            n_qubits: Number of qubits of the register; all others start in |0>.
            axes: Axes of the register that the gates or O act on.
            largest: Largest wanted number of axes of a state.

        Returns:
            The plan. A state has more axes where none of them can be split.
        """
        last = {axis: len(gates) for _, paulis in terms for axis, pauli in paulis.items() if pauli != cirq.Z}
        changing = [[axis for axis in gate.axes if not _keeps_populations(gate, axis)] for gate in gates]
        for i, changed in enumerate(changing):
            last |= {axis: max(i, last.get(axis, i)) for axis in changed}
        live, events = list(axes), list[_Event]()
        flipped = [axis for axis, end in last.items() if end == len(gates)]  # by the observable
        for i, (gate, changed) in enumerate(zip([*gates, None], [*changing, flipped], strict=True)):
            for axis in changed:
                if axis in live:
                    continue
                finished = [each for each in live if last.get(each, -1) < i]
                if len(live) >= largest and finished:
                    events.append(_Event("split", (finished[0],), tuple(live)))
                    live.remove(finished[0])
                events.append(_Event("join", (axis,), tuple(live)))
                live.append(axis)
            if gate is not None:
                events.append(_Event("gate", gate.axes, tuple(live), gate.matrix))
        splits = sum(event.kind == "split" for event in events)
        return cls(n_qubits, tuple(axes), tuple(events), tuple(terms), tuple(live), splits)

    @property
    def environment(self) -> int:
        """Number of qubits of the environment that join the state."""
        return sum(event.kind == "join" for event in self.events)

    @property
    def widest(self) -> int:
        """Largest number of axes of a state."""
        return max([len(self.left), *(len(event.live) for event in self.events)])

    @cached_property
    def matrix(self) -> Array:
        """Its matrix on its own axes, Hermitian, real if possible, (size, size)."""
        return read_only(drop_zero_imaginary(self.product("float64")(np.eye(self.size)).T))

    @property
    def is_fast(self) -> Mapping[bool, bool]:
        """False: the matrix costs as many products as it has rows, of which each takes long."""
        return {True: False, False: False}

    def product(self, precision: Precision) -> Callable[[Array], Array]:
        """Return the product with rows on its own axes."""
        _, complex_ = dtypes(precision)
        step = max(1, statevector.CHUNK >> self.widest)

        def by_branches(rows: Array) -> Array:
            parts = (rows[first : first + step] for first in range(0, max(1, len(rows)), step))
            return np.concatenate([self._follow(0, np.array(part.T, complex_), {}).T for part in parts])

        return by_branches

    def _follow(self, first: int, states: Array, values: Mapping[int, int]) -> Array:
        """Return the product with a batch, (amplitudes, samples), of what follows some of the changes."""
        done: list[_Event] = []
        for i in range(first, len(self.events)):
            event = self.events[i]
            if event.kind == "split":
                states = self._split(i, states, values)
                break
            states = _applied(event, states, values)
            done.append(event)
        else:
            states = self._observe(states, values)
        for event in reversed(done):
            states = _applied(event, states, values, adjoint=True)
        return states

    def _split(self, i: int, states: Array, values: Mapping[int, int]) -> Array:
        event = self.events[i]
        (position,) = event.inside
        halves = states.reshape(2**position, 2, -1, states.shape[1])
        result = np.zeros_like(halves)
        for value in (0, 1):
            half = halves[:, value].reshape(-1, states.shape[1])
            if not half.any():
                continue
            followed = self._follow(i + 1, half, {**values, event.axes[0]: value})
            result[:, value] = followed.reshape(result[:, value].shape)
        return result.reshape(states.shape)

    def _observe(self, states: Array, values: Mapping[int, int]) -> Array:
        """Return O on the axes that are left, with the values of all others."""
        qubits = cirq.LineQubit.range(len(self.left))
        total = cirq.PauliSum()
        for coefficient, paulis in self.terms:
            sign = (-1) ** sum(values.get(axis, 0) for axis in paulis if axis not in self.left)
            factors = {qubits[self.left.index(axis)]: pauli for axis, pauli in paulis.items() if axis in self.left}
            total += cirq.PauliString(factors, coefficient=sign * coefficient)
        return PauliAction.of(total, qubits).apply(states) if len(total) else np.zeros_like(states)


def _applied(event: _Event, states: Array, values: Mapping[int, int], *, adjoint: bool = False) -> Array:
    """Return a batch after a gate or with a further qubit in |0>, or before it."""
    samples = states.shape[1]
    if event.kind == "join":
        if adjoint:
            return states.reshape(-1, 2, samples)[:, values.get(event.axes[0], 0)]
        wide = np.zeros((len(states), 2, samples), dtype=states.dtype)
        wide[:, values.get(event.axes[0], 0)] = states
        return wide.reshape(-1, samples)
    known = {axis: values.get(axis, 0) for axis in event.axes}
    matrix = event.at(known).astype(states.dtype)
    where, count = event.inside, len(event.live)
    tensor = np.moveaxis(states.reshape((2,) * count + (samples,)), where, range(len(where)))
    moved = (matrix.conj().T if adjoint else matrix) @ tensor.reshape(len(matrix), -1)
    return np.ascontiguousarray(np.moveaxis(moved.reshape(tensor.shape), range(len(where)), where)).reshape(states.shape)


def _keeps_populations(gate: Gate, axis: int) -> bool:
    """Return True if a gate does not change the value of an axis."""
    assert gate.matrix is not None
    width = len(gate.axes)
    position = gate.axes.index(axis)
    blocks = np.moveaxis(gate.matrix.reshape((2,) * (2 * width)), (position, width + position), (0, 1))
    return bool(max(np.abs(blocks[0, 1]).max(), np.abs(blocks[1, 0]).max()) <= _DIAGONAL)
