"""Search for good layouts: gate counts of circuits, calibrated errors of a processor, and the assignment that matches both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import cirq
import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import shortest_path

from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.foundation.arrays import FloatArray

#: Index of the physical qubit of each logical qubit, in order.
Assignment = tuple[int, ...]
_CYCLE_NS = 70.0  # duration of a two-qubit gate and a rotation, during which the other qubits idle
_DECIMALS = 9  # costs that agree to this many decimals are equal
_ANGLE_WEIGHT = 0.15  # contribution of an angle error to a trace distance, per radian, relative to a Pauli error


@dataclass(frozen=True, eq=False)
class GateCounts:
    """Gate counts of circuits, averaged over the circuits.

    Args:
        qubits: Logical qubits, in order.
        pairs: Number of gates on each pair of qubits, (qubits, qubits), symmetric.
        single: Number of single-qubit gates on each qubit, (qubits,).
        measured: Number of measurements of each qubit, (qubits,).
    """

    qubits: tuple[cirq.Qid, ...]
    pairs: FloatArray
    single: FloatArray
    measured: FloatArray

    @classmethod
    def from_circuits(cls, circuits: Sequence[cirq.AbstractCircuit], extra: Sequence[cirq.Qid] = ()) -> GateCounts:
        """Count the gates of circuits; a gate on several qubits counts for all its pairs.

        Args:
            circuits: Logical circuits.
            extra: Further logical qubits.

        Returns:
            The mean counts.

        Example:
            >>> a, b = cirq.LineQubit.range(2)
            >>> GateCounts.from_circuits([cirq.Circuit(cirq.H(a), cirq.CZ(a, b), cirq.measure(b))]).pairs.tolist()
            [[0.0, 1.0], [1.0, 0.0]]
        """
        qubits = tuple(sorted({q for circuit in circuits for q in circuit.all_qubits()} | set(extra)))
        index = {q: i for i, q in enumerate(qubits)}
        pairs, single, measured = np.zeros((len(qubits),) * 2), np.zeros(len(qubits)), np.zeros(len(qubits))
        for circuit in circuits:
            for op in circuit.all_operations():
                targets = [index[q] for q in op.qubits]
                if cirq.is_measurement(op):
                    measured[targets] += 1
                elif len(targets) == 1:
                    single[targets] += 1
                else:
                    for i in targets:
                        pairs[i, [j for j in targets if j != i]] += 1
        count = max(1, len(circuits))
        return cls(qubits, pairs / count, single / count, measured / count)


@dataclass(frozen=True, eq=False)
class ProcessorErrors:
    """Errors of a processor's qubits as arrays.

    Args:
        qubits: Physical qubits, in order.
        pairs: Predicted error of a gate on each pair of qubits along the best path between them, (qubits, qubits).
        adjacent: True for each pair with a coupler, (qubits, qubits).
        single: Error of a single-qubit gate on each qubit, (qubits,).
        readout: Error of the readout of each qubit, (qubits,).
        decay: Error of each qubit per nanosecond of idling, (qubits,).
    """

    qubits: tuple[cirq.Qid, ...]
    pairs: FloatArray
    adjacent: NDArray[np.bool_]
    single: FloatArray
    readout: FloatArray
    decay: FloatArray

    @classmethod
    def from_processor(cls, processor: Processor, among: Sequence[cirq.Qid] | None) -> ProcessorErrors:
        """Return the errors of a processor.

        Args:
            processor: Processor with its calibration.
            among: Physical qubits to which the errors are restricted; None is all.

        Returns:
            The errors.

        Raises:
            ValueError: The processor lacks one of the qubits, or they are not connected.

        Example:
            >>> from hattriq_cirq.compilation.snapshot import load_processor
            >>> errors = ProcessorErrors.from_processor(load_processor("rainbow"), None)
            >>> errors.pairs.shape, bool((errors.pairs >= 0).all())
            ((23, 23), True)
        """
        graph = processor.graph
        foreign = sorted(str(q) for q in set(among or ()) - set(graph))
        if foreign:
            raise ValueError(f"qubits {foreign} are not on {processor.id}")
        graph = graph.subgraph(graph if among is None else among)
        if among is not None and not nx.is_connected(graph):
            raise ValueError(f"qubits {sorted(map(str, among))} are not connected on {processor.id}; add those between them")
        qubits = tuple(sorted(graph))
        index = {q: i for i, q in enumerate(qubits)}
        edges = np.zeros((len(qubits),) * 2)
        fallback = float(np.median([*processor.two_qubit_errors.values()] or [0.01]))
        for a, b in graph.edges:
            angles = processor.angle_errors.get(frozenset((a, b)), (0.0, 0.0))
            error = processor.two_qubit_errors.get(frozenset((a, b)), fallback) + _ANGLE_WEIGHT * float(np.abs(angles).sum())
            edges[index[a], index[b]] = edges[index[b], index[a]] = max(error, 1e-6)
        path_errors, predecessors = shortest_path(edges, directed=False, return_predecessors=True)
        lengths = _path_lengths(predecessors)
        pairs = path_errors * (2 - 1 / np.maximum(lengths, 1))  # 2d - 1 gates over d couplers
        e0, e1 = (np.array([processor.readout_errors.get(q, (0.0, 0.0))[bit] for q in qubits]) for bit in (0, 1))
        single = np.array([processor.one_qubit_errors.get(q, 0.0) for q in qubits])
        decay = np.array([1 / processor.t1_ns[q] if q in processor.t1_ns else 0.0 for q in qubits])
        return cls(qubits, pairs, edges > 0, single, (e0 + e1) / 2, decay)


def _path_lengths(predecessors: NDArray[np.integer]) -> FloatArray:
    """Return the number of couplers on the path between any two qubits."""
    count = len(predecessors)
    lengths = np.zeros((count, count))
    row = np.arange(count)[:, None]
    position = np.tile(np.arange(count), (count, 1))
    while True:
        previous = predecessors[row, position]
        moving = previous >= 0
        if not moving.any():
            return lengths
        lengths += moving
        position = np.where(moving, previous, position)


@dataclass(frozen=True, eq=False)
class LayoutSearch:
    """Search for assignments: connected patches grown from every qubit, then improved by moves and swaps.

    Args:
        counts: Gate counts of the circuits.
        errors: Errors of the processor.
    """

    counts: GateCounts
    errors: ProcessorErrors

    @cached_property
    def single(self) -> FloatArray:
        """Predicted error of each logical qubit on each physical one without two-qubit gates, (logical, physical)."""
        counts, errors = self.counts, self.errors
        idle_ns = _CYCLE_NS * counts.pairs.sum() / 2
        total: FloatArray = (
            counts.single[:, None] * errors.single + counts.measured[:, None] * errors.readout + idle_ns * errors.decay
        )
        return total

    def costs(self, assignments: Sequence[Assignment]) -> FloatArray:
        """Return the predicted error of each assignment: of gates along the paths between qubits, and of single qubits.

        Costs are rounded, so that of equal ones the first is chosen on every machine.
        """
        physical = np.array(assignments).reshape(len(assignments), len(self.counts.qubits))
        pairs = (self.counts.pairs * self.errors.pairs[physical[:, :, None], physical[:, None]]).sum(axis=(1, 2)) / 2
        total: FloatArray = pairs + self.single[np.arange(physical.shape[1]), physical].sum(axis=1)
        return np.round(total, _DECIMALS)

    def best(self, count: int) -> list[Assignment]:
        """Return the assignments with the lowest predicted errors.

        One assignment is grown from each qubit and improved; the best third of them is also tried with any two qubits swapped.

        Args:
            count: Maximum number of assignments.

        Returns:
            Assignments, best first.
        """
        starts = range(len(self.errors.qubits))
        improved = self._sorted({end for start in starts if (end := self._improve(self._grow(start))) is not None})
        swapped = [option for assignment in improved[: max(1, count // 3)] for option in _swaps(assignment)]
        return self._sorted({*improved, *swapped})[:count]

    def _sorted(self, assignments: Iterable[Assignment]) -> list[Assignment]:
        """Return assignments by cost, equal ones in their own order."""
        ordered = sorted(assignments)
        return [ordered[i] for i in np.argsort(self.costs(ordered), kind="stable")]

    @cached_property
    def _order(self) -> list[int]:
        """Logical qubits, each followed by the one that has most gates with those before it."""
        pairs = self.counts.pairs
        order = [int(np.argmax(pairs.sum(axis=1)))]
        while len(order) < len(pairs):
            gates = pairs[:, order].sum(axis=1)
            gates[order] = -1
            order.append(int(np.argmax(gates)))
        return order

    def _grow(self, start: int) -> Assignment | None:
        """Place the first logical qubit at the start and each further one where it adds the least predicted error."""
        placed = {self._order[0]: start}
        for logical in self._order[1:]:
            occupied = list(placed.values())
            free = np.flatnonzero(self.errors.adjacent[occupied].any(axis=0))
            free = free[~np.isin(free, occupied)]
            if free.size == 0:
                return None
            pairs = self.errors.pairs[free[:, None], occupied] @ self.counts.pairs[logical, list(placed)]
            added = np.round(self.single[logical, free] + pairs, _DECIMALS)
            placed[logical] = int(free[np.argmin(added)])
        return tuple(placed[i] for i in range(len(placed)))

    def _improve(self, assignment: Assignment | None) -> Assignment | None:
        """Apply the best swap of two qubits or move of one until none helps; patches stay connected."""
        while assignment is not None:
            options = [assignment, *_swaps(assignment), *self._moves(assignment)]
            costs = self.costs(options)
            better = (options[i] for i in np.argsort(costs, kind="stable") if costs[i] < costs[0])
            option = next((option for option in better if self._is_connected(option)), None)
            if option is None:
                return assignment
            assignment = option
        return None

    def _moves(self, assignment: Assignment) -> Iterator[Assignment]:
        """Yield the assignments with one qubit moved to a free neighbour of the patch, connected or not."""
        neighbours = np.flatnonzero(self.errors.adjacent[list(assignment)].any(axis=0))
        for new in neighbours[~np.isin(neighbours, assignment)].tolist():
            for i in range(len(assignment)):
                yield (*assignment[:i], new, *assignment[i + 1 :])

    def _is_connected(self, assignment: Assignment) -> bool:
        """Return True if the physical qubits of an assignment are connected."""
        visited, pending = {assignment[0]}, [assignment[0]]
        while pending:
            qubit = pending.pop()
            new = [q for q in assignment if q not in visited and self.errors.adjacent[qubit, q]]
            visited.update(new)
            pending += new
        return len(visited) == len(assignment)


def _swaps(assignment: Assignment) -> Iterator[Assignment]:
    """Yield the assignments with two qubits swapped."""
    for i in range(len(assignment)):
        for j in range(i):
            swapped = list(assignment)
            swapped[i], swapped[j] = assignment[j], assignment[i]
            yield tuple(swapped)
