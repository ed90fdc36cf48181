"""Amplitude encoding for processors whose qubits couple to their neighbours only.

Every multiplexer runs over the cheapest basis of parities that trees of neighbours can gather (see `relays`), so a control at
distance 2 is paid for in the rarest move alone. A qubit not yet prepared can also carry a parity across, and keep it: the
turn that prepares it takes in what it holds. A qubit may turn in the place of a neighbour with better couplings, and one CNOT
moves its value home. And the qubits may be prepared in any order. The cheapest schedule of turns and loads is found by a beam
search, once for a dense vector and once for the vector at hand. Phases are turned in as soon as their qubit is prepared.
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
from numpy.typing import ArrayLike, NDArray

from hattriq_cirq.encoding.cnot_trees import Contents, Edges, FanIn, Region, Step, region_of
from hattriq_cirq.encoding.exact import branch_turns, circuit_from_ops, encode, phase_levels, real_levels, unit_vector
from hattriq_cirq.encoding.multiplexer import Multiplexer, Target, cheapest_walk
from hattriq_cirq.foundation.arrays import Array, FloatArray

Schedule = tuple[tuple[tuple[FanIn, ...], Step], ...]
"""Which qubits to prepare, each with the loads that come before."""

_EFFORT = {**dict.fromkeys(range(1, 5), (4, 2)), 5: (2, 2), 6: (2, 2), 7: (2, 1), 8: (1, 1)}
"""For each number of qubits, how wide to search for a dense vector's schedule, and how many loads to try before a step."""
_SETS = 70  # sets of prepared qubits kept at each length of a schedule: all of them up to 8 qubits
_ZERO = 1e-14  # amplitude that a product may miss of a vector of norm 1
_State = tuple[int, Schedule, Contents]


@dataclass(frozen=True, init=False)
class NeighbourEncoder:
    """Prepares real and complex vectors exactly, as `encode` does, by two-qubit gates on the edges of a graph only.

    Each call chooses the order of the qubits and the parities that take the fewest gates. A qubit of the graph that is not
    encoded, such as an ancilla, may be in any state: where a path leads through it, it is put back.

    Args:
        graph: a `networkx.Graph` whose edges join qubits that can be coupled; it may hold more than are encoded.
    """

    edges: Edges

    def __init__(self, graph: Any) -> None:
        object.__setattr__(self, "edges", frozenset(frozenset(edge[:2]) for edge in graph.edges if edge[0] != edge[1]))

    def __call__(self, x: ArrayLike, qubits: Sequence[cirq.Qid]) -> cirq.Circuit:
        """Prepares x / |x| from |0...0>, up to a global phase.

        Args:
            x: (2**n,) real or complex, any norm but 0.
            qubits: n of them, most significant first, connected in the graph.

        Returns:
            A circuit of Ry, Rz, CZ and CNOT.

        Raises:
            ValueError: x is blank, not finite or of another size; a qubit is not in the graph, or cut off from the others.
        """
        vector = unit_vector(x, qubits)
        region = region_of(self.edges, tuple(qubits))
        plain = encode(x, qubits)
        if all(len(op.qubits) < 2 or frozenset(op.qubits) in self.edges for op in plain.all_operations()):
            return plain
        schedules = _dense_schedules(region, bool(vector.imag.any()))[:1] + _schedules(region, vector)
        ways = [_without_inverses(_operations(region, vector, schedule)) for schedule in schedules]
        if (product := _separated(vector)) is not None:
            i, alone, rest = product
            entangled = self(rest, [*qubits[:i], *qubits[i + 1 :]])
            ways.append([*entangled.all_operations(), *encode(alone, qubits[i : i + 1]).all_operations()])
        return circuit_from_ops(min(ways, key=_couplings))

    def __str__(self) -> str:
        """The encoder in a few words, for results."""
        return "neighbour encoding"


def _operations(region: Region, vector: Array, schedule: Schedule) -> list[cirq.Operation]:
    """Prepares a vector by a schedule."""
    order = [step.qubit for _, step in schedule]
    qubits = [region.qubits[i] for i in order]
    x = vector.reshape((2,) * len(order)).transpose(order).reshape(-1)
    targets = {region.qubits[step.qubit]: (loads, region.target(step)) for loads, step in schedule}

    def loaded(qubit: cirq.Qid) -> Target:
        loads, target = targets[qubit]
        return replace(target, loading=tuple(cirq.CNOT(region.qubits[a], region.qubits[b]) for a, b in loads))

    def turned(qubit: cirq.Qid) -> Target:
        return replace(targets[qubit][1], held=())

    if not x.imag.any():
        return list(chain(*real_levels(x.real, qubits, wiring=loaded)))
    real = real_levels(np.abs(x), qubits, wiring=loaded)
    phases = phase_levels(np.angle(x), qubits, x != 0, turned)
    return list(chain(*chain(*zip(real, phases, strict=True))))


def _separated(vector: Array) -> tuple[int, Array, Array] | None:
    """The first qubit that is entangled with no other, if there is one: its position, its vector, and that of the others."""
    n = len(vector).bit_length() - 1
    for i in range(n):
        halves = np.moveaxis(vector.reshape((2,) * n), i, 0).reshape(2, -1)
        rest = halves[np.argmax(np.linalg.norm(halves, axis=1))]
        alone = halves @ rest.conj() / np.linalg.norm(rest) ** 2
        if np.abs(halves - np.outer(alone, rest)).max() < _ZERO:
            return i, alone, rest
    return None


def _schedules(region: Region, vector: Array) -> list[Schedule]:
    """Schedules that need few gates for the magnitudes of a vector."""
    n, turned = len(region.qubits), bool(vector.imag.any())
    squares = (np.abs(vector) ** 2).reshape((2,) * n)

    @cache
    def turns(qubit: int, before: tuple[int, ...]) -> tuple[FloatArray, NDArray[np.bool_]]:
        norms = np.sqrt(squares.sum(axis=tuple(i for i in range(n) if i != qubit and i not in before)))
        return branch_turns(np.moveaxis(norms, sorted([*before, qubit]).index(qubit), -1).reshape(-1))

    def couplings(step: Step) -> int:
        angles, reached = turns(step.qubit, tuple(step.before))
        mux = Multiplexer.of(angles, reached, [region.qubits[i] for i in step.before], region.target(step))
        return mux.couplings + (sum(_dense_price(region, step)) if turned else 0)

    return _cheapest_schedules(region, couplings, 1, 1 if n < 6 else 0)


@lru_cache(maxsize=32)
def _dense_schedules(region: Region, turned: bool) -> list[Schedule]:
    """Schedules that need few gates for real or complex vectors without structure."""

    def couplings(step: Step) -> int:
        turns, closing = _dense_price(region, step)
        return 2 * turns + closing if turned else turns

    width, most = _EFFORT.get(len(region.qubits), (1, 0))
    return _cheapest_schedules(region, couplings, width, most)


def _dense_price(region: Region, step: Step) -> tuple[int, int]:
    """What all turns of a multiplexer cost, and closing it."""
    prices = region.target(step).prices([region.qubits[i] for i in step.before])
    walk = cheapest_walk(prices)
    return int(prices[walk[1:] ^ walk[:-1]].sum()), int(prices[walk[-1]])


def _cheapest_schedules(region: Region, couplings: Callable[[Step], int], width: int, most: int) -> list[Schedule]:
    """The cheapest schedule found for each last qubit, the best first.

    Args:
        region: the qubits.
        couplings: the two-qubit gates of a step.
        width: schedules kept for each set of prepared qubits, no two of which hold the same.
        most: loads before a step.
    """
    price = cache(couplings)
    n = len(region.qubits)
    done = tuple(1 << i for i in range(n))
    best: dict[Any, _State] = {(): (0, (), (0,) * n)}
    for length in range(1, n + 1):
        kept, best = _kept(best.values(), width), {}
        for total, schedule, contents in kept:
            for loaded, loads in _loaded(region, contents, most).items():
                for step in region.steps(loaded, elsewhere=most > 0):
                    if length < n or step.after == done:
                        offer = total + len(loads) + price(step), (*schedule, (loads, step)), step.after
                        key = step.after if length < n else step.qubit
                        best[key] = min(offer, best.get(key, offer))
    if not best:  # nothing kept can be put in its place
        return _cheapest_schedules(region, couplings, 1, 0)
    return [schedule for _, schedule, _ in sorted(best.values())]


def _kept(states: Iterable[_State], width: int) -> list[_State]:
    """The best states of each set of prepared values; each value away from its place will cost at least one gate."""
    found: dict[int, list[_State]] = {}
    for state in sorted(states, key=lambda state: (state[0] + _misplaced(state[2]), state)):
        found.setdefault(reduce(or_, state[2]), []).append(state)
    return [state for states in list(found.values())[:_SETS] for state in states[:width]]


def _misplaced(contents: Contents) -> int:
    """Values that are prepared but not in their place."""
    prepared = reduce(or_, contents)
    return sum(prepared >> i & 1 and content != 1 << i for i, content in enumerate(contents))


def _loaded(region: Region, contents: Contents, most: int) -> dict[Contents, tuple[FanIn, ...]]:
    """What can be held after some loads, and which."""
    found: dict[Contents, tuple[FanIn, ...]] = {contents: ()}
    reached = list(found)
    for _ in range(most):
        further = []
        for before in reached:
            for load, after in region.loads(before):
                if after not in found:
                    found[after] = (*found[before], load)
                    further.append(after)
        reached = further
    return found


def _couplings(operations: Iterable[cirq.Operation]) -> int:
    return sum(len(op.qubits) > 1 for op in operations)


def _without_inverses(operations: Iterable[cirq.Operation]) -> list[cirq.Operation]:
    """Leaves out pairs of equal CZ or CNOT with nothing but what commutes with them in between."""
    kept: list[cirq.Operation] = []
    for op in operations:
        twin = _twin(op, kept) if len(op.qubits) > 1 else None
        if twin is None:
            kept.append(op)
        else:
            del kept[twin]
    return kept


def _twin(op: cirq.Operation, before: Sequence[cirq.Operation]) -> int | None:
    """The place of an equal gate that this one cancels."""
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
    """The Pauli axis that an operation keeps, on each of its qubits; operations with equal axes on shared qubits commute."""
    known = _AXES.get(op.gate, "z" if isinstance(op.gate, cirq.Rz) else "y")
    return dict(zip(op.qubits, known, strict=True))
