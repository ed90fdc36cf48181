"""Exact amplitude encoding for processors whose qubits couple to their neighbours only.

Every multiplexer uses the cheapest basis of parities that trees of neighbours can collect (see `cnot_trees`), so that a
control at distance 2 adds gates to the rarest change of frame only. A qubit that is not yet prepared can carry a parity to a
distant target and keep it: the rotation that prepares the qubit absorbs the parity. A qubit can be prepared in the position
of a neighbour with more edges, and one CNOT then moves its value to its own position. The qubits can be prepared in any
order. A beam search finds the schedule of rotations and fan-ins with the fewest gates, once for a dense vector and once for
the vector that is encoded. The phases of a complex vector are applied as soon as their qubit is prepared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, reduce
from itertools import chain
from operator import or_
from typing import Any

import cirq
import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.encoding.cnot_trees import Edges, FanIn, Parities, Region, RotationStep, region_of
from hattriq_cirq.encoding.exact import circuit_from_ops, encode, phase_levels, real_levels, rotation_angles, unit_vector
from hattriq_cirq.encoding.multiplexer import Multiplexer, RotationTarget, cheapest_gray_code
from hattriq_cirq.foundation.arrays import Array, BoolArray, FloatArray

#: Rotations that prepare all qubits, each with the fan-ins that precede it.
Schedule = tuple[tuple[tuple[FanIn, ...], RotationStep], ...]

#: Number of qubits -> width of the beam search for a dense vector's schedule, and the most fan-ins before a rotation.
_BEAM = {**dict.fromkeys(range(1, 5), (4, 2)), 5: (2, 2), 6: (2, 2), 7: (2, 1), 8: (1, 1)}
_MAX_SUBSETS = 70  # sets of prepared qubits kept at each length of a schedule: all of them up to 8 qubits
_ZERO = 1e-14  # largest amplitude by which a product may differ from a vector of norm 1
#: Number of gates so far, partial schedule, and the parities that the qubits hold after it.
_State = tuple[int, Schedule, Parities]


@dataclass(frozen=True, init=False)
class NeighbourEncoder:
    """An encoder that prepares real and complex vectors exactly, as `encode` does, with two-qubit gates on edges of a graph.

    Each call chooses the order of the qubits and the parities that take the fewest gates. A qubit of the graph that is not
    encoded, such as an ancilla, may be in any state: if gates pass through it, its state is restored.

    Args:
        graph: A `networkx.Graph` whose edges join qubits that can be coupled; it may hold more qubits than are encoded.

    Example:
        >>> import networkx
        >>> qubits = cirq.LineQubit.range(3)
        >>> encoder = NeighbourEncoder(networkx.Graph([(qubits[0], qubits[1]), (qubits[1], qubits[2])]))
        >>> circuit = encoder(range(1, 9), qubits)
        >>> sum(len(operation.qubits) == 2 for operation in circuit.all_operations())
        5
    """

    edges: Edges

    def __init__(self, graph: Any) -> None:
        object.__setattr__(self, "edges", frozenset(frozenset(edge[:2]) for edge in graph.edges if edge[0] != edge[1]))

    def __call__(self, x: ArrayLike, qubits: Sequence[cirq.Qid]) -> cirq.Circuit:
        """Return a circuit that prepares x / |x| from |0...0>, up to a global phase.

        Args:
            x: Real or complex vector, (2**n,), of any norm but 0.
            qubits: The n qubits, most significant first, connected in the graph.

        Returns:
            A circuit of Ry, Rz, CZ and CNOT.

        Raises:
            ValueError: x is the zero vector, not finite or of another size; or a qubit is not in the graph, or not connected
                to the others.
        """
        vector = unit_vector(x, qubits)
        region = region_of(self.edges, tuple(qubits))
        plain = encode(x, qubits)
        if all(len(op.qubits) < 2 or frozenset(op.qubits) in self.edges for op in plain.all_operations()):
            return plain
        schedules = _dense_schedules(region, bool(vector.imag.any()))[:1] + _schedules(region, vector)
        options = [_without_inverses(_operations(region, vector, schedule)) for schedule in schedules]
        if (product := _separate_qubit(vector)) is not None:
            i, alone, rest = product
            entangled = self(rest, [*qubits[:i], *qubits[i + 1 :]])
            options.append([*entangled.all_operations(), *encode(alone, qubits[i : i + 1]).all_operations()])
        return circuit_from_ops(min(options, key=lambda operations: sum(len(op.qubits) > 1 for op in operations)))

    def __str__(self) -> str:
        """The encoder in a few words, for results."""
        return "neighbour encoding"


def _operations(region: Region, vector: Array, schedule: Schedule) -> list[cirq.Operation]:
    """Return the operations that prepare a vector by a schedule."""
    order = [step.qubit for _, step in schedule]
    qubits = [region.qubits[i] for i in order]
    x = vector.reshape((2,) * len(order)).transpose(order).reshape(-1)
    targets = {region.qubits[step.qubit]: (fan_ins, region.target(step)) for fan_ins, step in schedule}

    def ry_target(qubit: cirq.Qid) -> RotationTarget:
        fan_ins, target = targets[qubit]
        return replace(target, fan_in=tuple(cirq.CNOT(region.qubits[a], region.qubits[b]) for a, b in fan_ins))

    def rz_target(qubit: cirq.Qid) -> RotationTarget:
        return replace(targets[qubit][1], initial_parity=())

    if not x.imag.any():
        return list(chain(*real_levels(x.real, qubits, ry_target)))
    real = real_levels(np.abs(x), qubits, ry_target)
    phases = phase_levels(np.angle(x), qubits, x != 0, rz_target)
    return list(chain(*chain(*zip(real, phases, strict=True))))


def _separate_qubit(vector: Array) -> tuple[int, Array, Array] | None:
    """Return the first qubit that is entangled with no other, if any: its position, its vector and that of the others."""
    n = len(vector).bit_length() - 1
    for i in range(n):
        halves = np.moveaxis(vector.reshape((2,) * n), i, 0).reshape(2, -1)
        rest = halves[np.argmax(np.linalg.norm(halves, axis=1))]
        alone = halves @ rest.conj() / np.linalg.norm(rest) ** 2
        if np.abs(halves - np.outer(alone, rest)).max() < _ZERO:
            return i, alone, rest
    return None


def _schedules(region: Region, vector: Array) -> list[Schedule]:
    """Return schedules that take few gates for the magnitudes of a vector."""
    n, is_complex = len(region.qubits), bool(vector.imag.any())
    squares = (np.abs(vector) ** 2).reshape((2,) * n)

    @cache
    def angles(qubit: int, before: tuple[int, ...]) -> tuple[FloatArray, BoolArray]:
        norms = np.sqrt(squares.sum(axis=tuple(i for i in range(n) if i != qubit and i not in before)))
        return rotation_angles(np.moveaxis(norms, sorted([*before, qubit]).index(qubit), -1).reshape(-1))

    def cnot_cost(step: RotationStep) -> int:
        controls = [region.qubits[i] for i in step.before]
        mux = Multiplexer.of(*angles(step.qubit, tuple(step.before)), controls, region.target(step))
        return mux.cnot_count + (sum(_dense_cnot_costs(region, step)) if is_complex else 0)

    return _cheapest_schedules(region, cnot_cost, 1, 1 if n < 6 else 0)


@lru_cache(maxsize=32)
def _dense_schedules(region: Region, is_complex: bool) -> list[Schedule]:
    """Return schedules that take few gates for real or complex vectors without structure."""

    def cnot_cost(step: RotationStep) -> int:
        rotations, closing = _dense_cnot_costs(region, step)
        return 2 * rotations + closing if is_complex else rotations

    width, most = _BEAM.get(len(region.qubits), (1, 0))
    return _cheapest_schedules(region, cnot_cost, width, most)


def _dense_cnot_costs(region: Region, step: RotationStep) -> tuple[int, int]:
    """Return the number of gates between all rotations of a multiplexer, and of those that close it."""
    costs = region.target(step).cnot_costs([region.qubits[i] for i in step.before])
    walk = cheapest_gray_code(costs)
    return int(costs[walk[1:] ^ walk[:-1]].sum()), int(costs[walk[-1]])


def _cheapest_schedules(region: Region, cnot_cost: Callable[[RotationStep], int], width: int, most: int) -> list[Schedule]:
    """Return the cheapest schedule that the search finds for each last qubit, the cheapest first.

    Args:
        region: Qubits to encode.
        cnot_cost: Number of two-qubit gates of a step.
        width: Number of schedules kept per set of prepared qubits, with different parities.
        most: Largest number of fan-ins before a step.
    """
    cnot_cost = cache(cnot_cost)
    n = len(region.qubits)
    final = tuple(1 << i for i in range(n))
    best: dict[Any, _State] = {(): (0, (), (0,) * n)}
    for length in range(1, n + 1):
        kept, best = _best_states(best.values(), width), {}
        for total, schedule, parities in kept:
            for collected, fan_ins in _with_fan_ins(region, parities, most).items():
                for step in region.steps(collected, elsewhere=most > 0):
                    if length < n or step.after == final:
                        state = total + len(fan_ins) + cnot_cost(step), (*schedule, (fan_ins, step)), step.after
                        key = step.after if length < n else step.qubit
                        best[key] = min(state, best.get(key, state))
    if not best:  # no state that was kept can still put every value in its own position
        return _cheapest_schedules(region, cnot_cost, 1, 0)
    return [schedule for _, schedule, _ in sorted(best.values())]


def _best_states(states: Iterable[_State], width: int) -> list[_State]:
    """Return the best states per set of prepared values; each value away from its position will cost at least one gate."""
    by_values: dict[int, list[_State]] = {}
    for state in sorted(states, key=lambda state: (state[0] + _misplaced(state[2]), state)):
        by_values.setdefault(reduce(or_, state[2]), []).append(state)
    return [state for states in list(by_values.values())[:_MAX_SUBSETS] for state in states[:width]]


def _misplaced(parities: Parities) -> int:
    """Return the number of values that are prepared but not in their own position."""
    prepared = reduce(or_, parities)
    return sum(prepared >> i & 1 and parity != 1 << i for i, parity in enumerate(parities))


def _with_fan_ins(region: Region, parities: Parities, most: int) -> dict[Parities, tuple[FanIn, ...]]:
    """Return the parities that at most `most` fan-ins can produce, each with the fan-ins."""
    results: dict[Parities, tuple[FanIn, ...]] = {parities: ()}
    reached = list(results)
    for _ in range(most):
        further = []
        for before in reached:
            for fan_in, after in region.fan_ins(before):
                if after not in results:
                    results[after] = (*results[before], fan_in)
                    further.append(after)
        reached = further
    return results


def _without_inverses(operations: Iterable[cirq.Operation]) -> list[cirq.Operation]:
    """Remove pairs of equal CZ or CNOT with nothing between them but operations that commute with them."""
    kept: list[cirq.Operation] = []
    for op in operations:
        inverse = _inverse_index(op, kept) if len(op.qubits) > 1 else None
        if inverse is None:
            kept.append(op)
        else:
            del kept[inverse]
    return kept


def _inverse_index(op: cirq.Operation, before: Sequence[cirq.Operation]) -> int | None:
    """Return the index of an equal earlier gate that this one cancels, or None."""
    axes = _axes(op)
    for i in range(len(before) - 1, -1, -1):
        other = _axes(before[i])
        if axes == other:
            return i
        if any(other.get(q, axis) != axis for q, axis in axes.items()):
            return None
    return None


_AXES: dict[Any, str] = {cirq.CZ: "zz", cirq.CNOT: "zx"}


@lru_cache(maxsize=4096)
def _axes(op: cirq.Operation) -> dict[cirq.Qid, str]:
    """Return the Pauli axis that an operation preserves on each of its qubits; operations with equal axes commute."""
    axes = _AXES.get(op.gate, "z" if isinstance(op.gate, cirq.Rz) else "y")
    return dict(zip(op.qubits, axes, strict=True))
