"""The search for good patches of a chip: what circuits ask of their qubits, what the calibration says, and where both meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import cirq
import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import shortest_path

from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.foundation.arrays import FloatArray

Assignment = tuple[int, ...]
"""The position on the chip of each logical qubit, in order."""
_CYCLE_NS = 70.0  # a two-qubit gate and a turn: what idling qubits wait for one after another
_ANGLE_WEIGHT = 0.15  # of an angle that is off, per radian, beside a Pauli error: what it adds to a trace distance


@dataclass(frozen=True, eq=False)
class Demand:
    """What circuits ask of their qubits, the mean over circuits.

    Args:
        qubits: logical, in order.
        couplings: (qubits, qubits), how often each pair couples, symmetric.
        turns: (qubits,), single-qubit gates.
        measured: (qubits,), 1 where measured.
    """

    qubits: tuple[cirq.Qid, ...]
    couplings: FloatArray
    turns: FloatArray
    measured: FloatArray

    @classmethod
    def of(cls, circuits: Sequence[cirq.AbstractCircuit], also: Sequence[cirq.Qid] = ()) -> Demand:
        """Counts the gates of circuits; a gate on several qubits couples all its pairs."""
        qubits = tuple(sorted({q for circuit in circuits for q in circuit.all_qubits()} | set(also)))
        at = {q: i for i, q in enumerate(qubits)}
        couplings, turns, measured = np.zeros((len(qubits),) * 2), np.zeros(len(qubits)), np.zeros(len(qubits))
        for circuit in circuits:
            for op in circuit.all_operations():
                where = [at[q] for q in op.qubits]
                if cirq.is_measurement(op):
                    measured[where] += 1
                elif len(where) == 1:
                    turns[where] += 1
                else:
                    for i in where:
                        couplings[i, [j for j in where if j != i]] += 1
        count = max(1, len(circuits))
        return cls(qubits, couplings / count, turns / count, measured / count)


@dataclass(frozen=True, eq=False)
class Chip:
    """A processor in numbers.

    `between` is (qubits, qubits), the error of coupling two qubits over the best way; `adjacent` whether they are coupled;
    `turn`, `readout` and `decay` are (qubits,), of a gate, a readout and a nanosecond of waiting.
    """

    qubits: tuple[cirq.Qid, ...]
    between: FloatArray
    adjacent: NDArray[np.bool_]
    turn: FloatArray
    readout: FloatArray
    decay: FloatArray

    @classmethod
    def of(cls, processor: Processor, among: Sequence[cirq.Qid] | None) -> Chip:
        """Of a processor, or of some of its qubits.

        Raises:
            ValueError: qubits that it lacks, or that are not connected.
        """
        graph = processor.graph
        foreign = sorted(str(q) for q in set(among or ()) - set(graph))
        if foreign:
            raise ValueError(f"qubits {foreign} are not on {processor.id}")
        graph = graph.subgraph(graph if among is None else among)
        if among is not None and not nx.is_connected(graph):
            raise ValueError(f"qubits {sorted(map(str, among))} are not connected on {processor.id}; add those between them")
        qubits = tuple(sorted(graph))
        at = {q: i for i, q in enumerate(qubits)}
        edges = np.zeros((len(qubits),) * 2)
        fallback = float(np.median([*processor.two_qubit_errors.values()] or [0.01]))
        for a, b in graph.edges:
            angles = processor.angle_errors.get(frozenset((a, b)), (0.0, 0.0))
            error = processor.two_qubit_errors.get(frozenset((a, b)), fallback) + _ANGLE_WEIGHT * float(np.abs(angles).sum())
            edges[at[a], at[b]] = edges[at[b], at[a]] = max(error, 1e-6)
        path, before = shortest_path(edges, directed=False, return_predecessors=True)
        steps = _steps(before)
        between = path * (2 - 1 / np.maximum(steps, 1))  # 2d - 1 gates over d couplers
        e0, e1 = (np.array([processor.readout_errors.get(q, (0.0, 0.0))[bit] for q in qubits]) for bit in (0, 1))
        turn = np.array([processor.one_qubit_errors.get(q, 0.0) for q in qubits])
        decay = np.array([1 / processor.t1_ns[q] if q in processor.t1_ns else 0.0 for q in qubits])
        return cls(qubits, between, edges > 0, turn, (e0 + e1) / 2, decay)


def _steps(before: NDArray[np.integer]) -> FloatArray:
    """Couplers on the way between any two qubits, from the predecessors on it."""
    count = len(before)
    steps = np.zeros((count, count))
    row = np.arange(count)[:, None]
    at = np.tile(np.arange(count), (count, 1))
    while True:
        previous = before[row, at]
        moving = previous >= 0
        if not moving.any():
            return steps
        steps += moving
        at = np.where(moving, previous, at)


@dataclass(frozen=True, eq=False)
class Search:
    """Logical qubits on a chip: grown patches, improved by moves and swaps."""

    demand: Demand
    chip: Chip

    @cached_property
    def single(self) -> FloatArray:
        """(logical, physical), the error that each logical qubit meets on each physical one by itself."""
        demand, chip = self.demand, self.chip
        waiting = _CYCLE_NS * demand.couplings.sum() / 2
        once: FloatArray = demand.turns[:, None] * chip.turn + demand.measured[:, None] * chip.readout + waiting * chip.decay
        return once

    def cost(self, at: Sequence[int]) -> float:
        """The predicted error of an assignment: of couplings over the way between their qubits, and of single qubits."""
        where = np.array(at)
        coupling = (self.demand.couplings * self.chip.between[where[:, None], where]).sum() / 2
        return float(coupling + self.single[np.arange(len(where)), where].sum())

    def best(self, count: int) -> list[Assignment]:
        """The best assignments found: one grown from each qubit and improved, and what one swap makes of the best of them."""
        ends = {end for start in range(len(self.chip.qubits)) if (end := self._improved(self._grown(start))) is not None}
        first = sorted(ends, key=self.cost)[: max(1, count // 3)]
        swapped = {tuple(option) for end in first for option in _swaps(end)}
        return sorted(ends | swapped, key=lambda at: (self.cost(at), at))[:count]

    @cached_property
    def _order(self) -> list[int]:
        """Logical qubits, each the one that couples most to those before it."""
        couplings = self.demand.couplings
        order = [int(np.argmax(couplings.sum(axis=1)))]
        while len(order) < len(couplings):
            pull = couplings[:, order].sum(axis=1)
            pull[order] = -1
            order.append(int(np.argmax(pull)))
        return order

    def _grown(self, start: int) -> Assignment | None:
        """The first logical qubit at the start, each next one where it costs least beside those placed."""
        placed = {self._order[0]: start}
        for logical in self._order[1:]:
            taken = list(placed.values())
            free = np.flatnonzero(self.chip.adjacent[taken].any(axis=0))
            free = free[~np.isin(free, taken)]
            if free.size == 0:
                return None
            ways = self.chip.between[free[:, None], taken] @ self.demand.couplings[logical, list(placed)]
            placed[logical] = int(free[np.argmin(self.single[logical, free] + ways)])
        return tuple(placed[i] for i in range(len(placed)))

    def _improved(self, at: Assignment | None) -> Assignment | None:
        """The best of all swaps of two qubits and moves of one, until none helps; patches stay connected."""
        while at is not None:
            options = [*_swaps(at), *self._moves(at)]
            option = min(options, key=lambda other: (self.cost(other), other), default=at)
            if self.cost(option) >= self.cost(at) - 1e-12:
                return at
            at = option
        return None

    def _moves(self, at: Assignment) -> Iterator[Assignment]:
        beside = np.flatnonzero(self.chip.adjacent[list(at)].any(axis=0))
        for new in beside[~np.isin(beside, at)].tolist():
            for i in range(len(at)):
                moved = (*at[:i], new, *at[i + 1 :])
                if self._connected(moved):
                    yield moved

    def _connected(self, at: Assignment) -> bool:
        seen, edge = {at[0]}, [at[0]]
        while edge:
            here = edge.pop()
            new = [q for q in at if q not in seen and self.chip.adjacent[here, q]]
            seen.update(new)
            edge += new
        return len(seen) == len(at)


def _swaps(at: Assignment) -> Iterator[Assignment]:
    for i in range(len(at)):
        for j in range(i):
            swapped = list(at)
            swapped[i], swapped[j] = at[j], at[i]
            yield tuple(swapped)
