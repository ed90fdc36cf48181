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
from functools import cache, lru_cache, partial, reduce
from heapq import nsmallest
from itertools import chain
from operator import ne, or_
from typing import Any, NamedTuple

import cirq
import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.encoding.cnot_trees import Edges, FanIn, Parities, Region, RotationStep, canonical_order, region_of
from hattriq_cirq.encoding.exact import circuit_from_ops, encode, phase_levels, real_levels, rotation_angles, unit_vector
from hattriq_cirq.encoding.multiplexer import Multiplexer, RotationTarget
from hattriq_cirq.foundation.arrays import Array, BoolArray, FloatArray

#: Rotations that prepare all qubits, each with the fan-ins that precede it.
Schedule = tuple[tuple[tuple[FanIn, ...], RotationStep], ...]

#: Number of qubits -> width of the beam search for a dense vector's schedule, and the most fan-ins before a rotation.
_BEAM = {**dict.fromkeys(range(1, 5), (4, 2)), 5: (2, 2), 6: (2, 2), 7: (2, 1), 8: (1, 1)}
_NARROW = 7  # qubits from which the beam is too narrow for the best schedule
_NUMBERINGS = 4  # numberings of the qubits on which such a search is done
_MAX_SUBSETS = 70  # sets of prepared qubits kept at each length of a schedule: all of them up to 8 qubits
_SPECIAL = 1e-9  # radians; a rotation this near to a special value counts as the special value
_ZERO = 1e-14  # largest amplitude by which a product may differ from a vector of norm 1
#: Pauli axis that an operation preserves on each of its qubits.
Axes = dict[cirq.Qid, str]


class _State(NamedTuple):
    """Partial schedule of a search; the smallest of states for the same values is the best.

    Args:
        bound: Least number of gates of the whole schedule: each value away from its position will cost at least one more.
        cost: Number of gates so far.
        earlier: Schedule without its last step.
        fan_ins: Fan-ins before the last step.
        position: Position of the qubit that is rotated last.
        qubit: Position of the qubit whose value is prepared last.
        before: Parities that the qubits hold before the last rotation.
        after: Parities that the qubits hold after it.
    """

    bound: int
    cost: int
    earlier: Schedule
    fan_ins: tuple[FanIn, ...]
    position: int
    qubit: int
    before: Parities
    after: Parities

    @property
    def schedule(self) -> Schedule:
        """The partial schedule."""
        return (*self.earlier, (self.fan_ins, RotationStep(self.position, self.qubit, self.before)))


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
        options = [_operations(region, vector, _schedule_for(region, vector))]
        if (product := _separate_qubit(vector)) is not None:
            i, alone, rest = product
            entangled = self(rest, [*qubits[:i], *qubits[i + 1 :]])
            options.append([*entangled.all_operations(), *encode(alone, qubits[i : i + 1]).all_operations()])
        return circuit_from_ops(min(options, key=_coupling_count))

    def __str__(self) -> str:
        """The encoder in a few words, for results."""
        return "neighbour encoding"


def _schedule_for(region: Region, vector: Array) -> Schedule:
    """Return the schedule that takes the fewest gates for a vector, searched once for all vectors of the same structure."""
    typical = _typical(vector)
    if np.array_equal(_structure(vector), _structure(typical)):
        return _schedule_for_bytes(region, typical.tobytes())
    return _best_schedule(region, vector)


@lru_cache(maxsize=64)
def _schedule_for_bytes(region: Region, vector: bytes) -> Schedule:
    return _best_schedule(region, np.frombuffer(vector, dtype=np.complex128))


def _typical(vector: Array) -> Array:
    """Return a fixed vector of norm 1 with the zeros and the unentangled qubits of a vector, (2**n,)."""
    if len(vector) > 2 and (product := _separate_qubit(vector)) is not None:
        i, alone, rest = product
        halves = np.multiply.outer(np.round(alone / np.linalg.norm(alone), 12), _typical(rest))
        tensor = np.moveaxis(halves.reshape((2,) * (len(vector).bit_length() - 1)), 0, i)
        return np.asarray(tensor.reshape(-1))
    parts = np.random.default_rng(len(vector)).normal(size=(2, len(vector)))
    if vector.all():
        typical = parts[0] + 1j * parts[1] * vector.imag.any()
    else:  # with few branches, angles that differ in sign only may let a control drop out
        typical = np.abs(parts[0]) * np.sign(vector.real) + 1j * np.abs(parts[1]) * np.sign(vector.imag)
    return np.asarray(typical / np.linalg.norm(typical))


def _structure(vector: Array) -> BoolArray:
    """Return which rotations of a vector's magnitudes vanish, (qubits, 3, ..., 3), for every order of preparation.

    The first axis is the qubit that is prepared. The index of each other qubit is 0 or 1 if the rotation is for an even or odd
    function of that qubit's value, and 2 if that qubit is prepared later. Rotations by half a turn are counted as well: those
    of a target that holds a parity are shifted by it.
    """
    n = len(vector).bit_length() - 1
    norms = (np.abs(vector) ** 2).reshape((2,) * n)
    for axis in range(n):
        norms = np.concatenate([norms, norms.sum(axis=axis, keepdims=True)], axis=axis)
    norms = np.sqrt(norms)
    structure = []
    for qubit in range(n):
        zero, one, _ = np.moveaxis(norms, qubit, 0)
        rotations = 2 * np.arctan2(one, zero)
        unreached = (zero == 0) & (one == 0)
        for axis in range(n - 1):
            even, odd, absent = np.moveaxis(rotations, axis, 0)
            rotations = np.stack([(even + odd) / 2, (even - odd) / 2, absent], axis=axis)
        sizes = np.abs(rotations)
        structure.append((sizes < _SPECIAL) | (np.abs(sizes - np.pi / 2) < _SPECIAL) | unreached)
    return np.array(structure)


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
        return _without_inverses(chain(*real_levels(x.real, qubits, ry_target)))
    real = real_levels(np.abs(x), qubits, ry_target)
    phases = phase_levels(np.angle(x), qubits, x != 0, rz_target)
    return _without_inverses(chain(*chain(*zip(real, phases, strict=True))))


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


def _best_schedule(region: Region, vector: Array) -> Schedule:
    """Return the schedule that takes the fewest gates for a vector, of those found for it and for a dense one.

    The schedule for a dense vector is of no use to a qubit that is entangled with no other, unless it joins the others.
    """
    product = _separate_qubit(vector)
    is_dense = product is None or not region.is_connected_without(product[0])
    dense = _dense_schedules(region, bool(vector.imag.any()))[:1] if is_dense else []
    schedules = [*dense, *_schedules(region, vector)]
    return min(dict.fromkeys(schedules), key=lambda schedule: _coupling_count(_operations(region, vector, schedule)))


def _coupling_count(operations: Iterable[cirq.Operation]) -> int:
    return sum(len(op.qubits) > 1 for op in operations)


def _schedules(region: Region, vector: Array) -> list[Schedule]:
    """Return schedules that take few gates for the magnitudes of a vector."""
    n, is_complex = len(region.qubits), bool(vector.imag.any())
    squares = (np.abs(vector) ** 2).reshape((2,) * n)

    @cache
    def angles(qubit: int, before: tuple[int, ...]) -> tuple[FloatArray, BoolArray]:
        norms = np.sqrt(squares.sum(axis=tuple(i for i in range(n) if i != qubit and i not in before)))
        return rotation_angles(np.moveaxis(norms, sorted([*before, qubit]).index(qubit), -1).reshape(-1))

    @cache
    def cnot_cost(position: int, qubit: int, parities: Parities) -> int:
        step = RotationStep(position, qubit, parities)
        controls = [region.qubits[i] for i in step.before]
        mux = Multiplexer.of(*angles(qubit, tuple(step.before)), controls, region.target(step))
        dense = region.dense_costs(parities)[position]
        return mux.cnot_count + (dense.rotations + dense.closing if is_complex else 0)

    cost = cnot_cost if _structure(vector).any() else partial(_dense_cnot_cost, region, is_complex)
    return _cheapest_schedules(region, cost, 1, 1 if n < 6 else 0)


@lru_cache(maxsize=32)
def _dense_schedules(region: Region, is_complex: bool) -> list[Schedule]:
    """Return schedules that take few gates for vectors without structure, the cheapest first.

    With a narrow beam the result depends on the numbers of the qubits. Such a search is done once for all regions of the same
    shape, on several numberings.
    """
    n = len(region.qubits)
    if n < _NARROW:
        return _search_dense(region, is_complex)
    order = canonical_order(region.neighbours, n)
    found = _dense_schedules_on(tuple(region.renumbered(order).neighbours), n, is_complex)
    return [_renumbered(schedule, order) for schedule in found]


@lru_cache(maxsize=32)
def _dense_schedules_on(neighbours: tuple[tuple[int, ...], ...], encoded: int, is_complex: bool) -> list[Schedule]:
    names = cirq.LineQubit.range(len(neighbours))
    region = Region(names[:encoded], {q: [names[j] for j in near] for q, near in zip(names, neighbours, strict=True)})
    rng, schedules = np.random.default_rng(0), []
    for _ in range(_NUMBERINGS):
        order = [*rng.permutation(encoded).tolist(), *range(encoded, len(neighbours))]
        schedules += [_renumbered(schedule, order) for schedule in _search_dense(region.renumbered(order), is_complex)]
    return sorted(
        schedules, key=lambda s: sum(len(fan_ins) + _dense_cnot_cost(region, is_complex, *step) for fan_ins, step in s)
    )


def _search_dense(region: Region, is_complex: bool) -> list[Schedule]:
    width, most = _BEAM.get(len(region.qubits), (1, 0))
    return _cheapest_schedules(region, partial(_dense_cnot_cost, region, is_complex), width, most)


def _renumbered(schedule: Schedule, order: Sequence[int]) -> Schedule:
    """Return a schedule in terms of the positions that `order` lists, of which its own are the indices."""

    def renumber(step: RotationStep) -> RotationStep:
        masks = [sum(1 << order[i] for i in range(parity.bit_length()) if parity >> i & 1) for parity in step.parities]
        parities = tuple(mask for _, mask in sorted(zip(order, masks, strict=False)))
        return RotationStep(order[step.position], order[step.qubit], parities)

    return tuple((tuple((order[a], order[b]) for a, b in fan_ins), renumber(step)) for fan_ins, step in schedule)


def _dense_cnot_cost(region: Region, is_complex: bool, position: int, qubit: int, parities: Parities) -> int:
    """Return the number of gates of a step for a vector without structure, which is the same for every qubit."""
    costs = region.dense_costs(parities)[position]
    return 2 * costs.rotations + costs.closing if is_complex else costs.rotations


def _cheapest_schedules(
    region: Region, cnot_cost: Callable[[int, int, Parities], int], width: int, most: int
) -> list[Schedule]:
    """Return the cheapest schedule that the search finds for each last qubit, the cheapest first.

    Args:
        region: Qubits to encode.
        cnot_cost: Number of two-qubit gates of a step, by its position, its qubit and the parities before it.
        width: Number of schedules kept per set of prepared qubits, with different parities.
        most: Largest number of fan-ins before a step.
    """
    n = len(region.qubits)
    final = tuple(1 << i for i in range(n))
    best: dict[Any, _State] = {}
    kept: list[tuple[int, Schedule, Parities]] = [(0, (), (0,) * n)]
    for length in range(1, n + 1):
        best = {}
        for total, earlier, parities in kept:
            for before, fan_ins in _with_fan_ins(region, parities, most).items():
                for position, qubit in region.steps(before, elsewhere=most > 0):
                    after = (*before[:position], 1 << qubit, *before[position + 1 :])
                    if length < n or after == final:
                        cost = total + len(fan_ins) + cnot_cost(position, qubit, before)
                        key = after if length < n else qubit
                        other = best.get(key)
                        if other is None or cost <= other.cost:
                            bound = cost + sum(map(ne, after, final)) - (n - length)
                            state = _State(bound, cost, earlier, fan_ins, position, qubit, before, after)
                            best[key] = state if other is None else min(state, other)
        kept = [(state.cost, state.schedule, state.after) for state in _best_states(best.values(), width)]
    if not best:  # no state that was kept can still put every value in its own position
        return _cheapest_schedules(region, cnot_cost, 1, 0)
    return [state.schedule for state in sorted(best.values())]


def _best_states(states: Iterable[_State], width: int) -> list[_State]:
    """Return the best states per set of prepared values."""
    by_values: dict[int, list[_State]] = {}
    for state in states:
        by_values.setdefault(reduce(or_, state.after), []).append(state)
    best = sorted(nsmallest(width, alike) for alike in by_values.values())[:_MAX_SUBSETS]
    return [state for alike in best for state in alike]


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
    kept: list[tuple[cirq.Operation, Axes]] = []
    for op in operations:
        axes = _axes(op)
        inverse = _inverse_index(axes, kept) if len(axes) > 1 else None
        if inverse is None:
            kept.append((op, axes))
        else:
            del kept[inverse]
    return [op for op, _ in kept]


def _inverse_index(axes: Axes, before: Sequence[tuple[cirq.Operation, Axes]]) -> int | None:
    """Return the index of an equal earlier gate that one with these axes cancels, or None."""
    for i in range(len(before) - 1, -1, -1):
        other = before[i][1]
        if axes == other:
            return i
        if any(other.get(q, axis) != axis for q, axis in axes.items()):
            return None
    return None


def _axes(op: cirq.Operation) -> Axes:
    """Return the Pauli axis that an operation preserves on each of its qubits; operations with equal axes commute."""
    if len(op.qubits) == 1:
        return {op.qubits[0]: "z" if isinstance(op.gate, cirq.Rz) else "y"}
    control, target = op.qubits
    return {control: "z", target: "z" if op.gate is cirq.CZ else "x"}
