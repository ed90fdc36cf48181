"""Routing: SWAPs and bridges that bring two-qubit gates to couplers, such that few CZ remain after compilation.

A two-qubit unitary takes at most 3 CZ. A SWAP takes 3 CZ alone, but at most 1 more beside other gates on the same two qubits.
A bridge replaces a CZ by 4 gates along two couplers and moves no qubit. A beam search over both counts CZ in this way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import networkx as nx

#: Pairs of positions of qubits, sorted, along which two-qubit gates are possible.
Couplers = tuple[tuple[int, int], ...]
#: Positions of the two qubits of a block of gates, and the number of CZ that it takes.
Interaction = tuple[int, int, int]
#: Number of an interaction or None for a SWAP, and the path from one of the qubits to the other along which it is done.
Move = tuple[int | None, tuple[int, ...]]

#: CZ of all gates on a pair of qubits, without and with a SWAP, by the CZ of the other gates.
_CZ = (0, 1, 2, 3), (3, 2, 3, 3)
_WIDTH = 16  # states kept after each move
_AHEAD = 16  # interactions whose distances count
_SCALE = 1000  # ranks are integers, so that equal ones are equal on every machine
_WEIGHTS = [round(_SCALE * 0.9**i) for i in range(_AHEAD)]  # of each coupler too many between the qubits of one of those


@lru_cache(maxsize=64)  # circuits of one structure are routed once
def route(interactions: tuple[Interaction, ...], qubits: int, couplers: Couplers, *, bridges: bool = True) -> list[Move]:
    """Find SWAPs and bridges after which every interaction is done on couplers.

    Args:
        interactions: Blocks of gates in order.
        qubits: Number of qubits, each at its own position at the start.
        couplers: Pairs of positions that have a coupler; paths of them join the qubits of every interaction.
        bridges: False for SWAPs only.

    Returns:
        The interactions and SWAPs in order. An interaction along a path of 3 positions is a CZ that is done by a bridge.

    Example:
        >>> route(((0, 1, 1), (0, 2, 3)), 3, ((0, 1), (1, 2)))
        [(0, (0, 1)), (None, (0, 1)), (1, (1, 2))]
    """
    problem = _Problem(interactions, qubits, couplers, bridges)
    start = _State(problem, list(range(qubits)), [-1] * qubits, [(0, False)] * len(couplers))
    start.advance()
    beam, found = [start], None
    cheapest: dict[tuple[int, tuple[int, ...]], int] = {}
    while beam:
        following: dict[tuple[int, tuple[int, ...]], _State] = {}
        for state in beam:
            if not state.ahead:
                found = state if found is None or state.cost < found.cost else found
                continue
            for option in state.options():
                key = option.done, tuple(option.places)
                if option.cost < cheapest.get(key, option.cost + 1):
                    cheapest[key] = option.cost
                    following[key] = option
        open_states = [state for state in following.values() if found is None or state.cost < found.cost]
        beam = sorted(open_states, key=lambda state: state.rank)[:_WIDTH]
    assert found is not None
    return found.moves


@lru_cache(maxsize=4096)
def path_between(couplers: Couplers, a: int, b: int) -> tuple[int, ...]:
    """Return the positions on a shortest path of couplers between two.

    Raises:
        ValueError: There is none.

    Example:
        >>> path_between(((0, 1), (1, 2)), 0, 2)
        (0, 1, 2)
    """
    try:
        return tuple(nx.shortest_path(nx.Graph(couplers), a, b))
    except (nx.NetworkXNoPath, nx.NodeNotFound):
        raise ValueError(f"no couplers join qubits {a} and {b} of the circuit; place it on connected qubits") from None


@dataclass(frozen=True, eq=False)
class _Problem:
    """Arguments of `route`."""

    interactions: tuple[Interaction, ...]
    qubits: int
    couplers: Couplers
    bridges: bool

    @cached_property
    def number(self) -> dict[tuple[int, int], int]:
        """Number of the coupler between two positions."""
        return {pair: i for i, (a, b) in enumerate(self.couplers) for pair in ((a, b), (b, a))}

    @cached_property
    def distance(self) -> dict[int, dict[int, int]]:
        """Number of couplers from each position to those that can be reached."""
        graph: Any = nx.Graph(self.couplers)
        graph.add_nodes_from(range(self.qubits))
        return dict(nx.all_pairs_shortest_path_length(graph))


@dataclass(eq=False)
class _State:
    """Interactions done and qubits moved so far.

    Args:
        problem: Arguments of `route`.
        places: Position of each qubit.
        last: Coupler of the last gates on each position, or -1.
        blocks: CZ of the last gates on each coupler without a SWAP, and True if there is a SWAP among them.
        moves: Moves so far.
        done: Interactions that are done, as a set.
        first: Number of interactions before the first that is not done.
        cost: Number of CZ so far, less those of the interactions themselves.
        rank: Number of CZ that the whole is expected to take, scaled.
        ahead: First interactions that are not done.
    """

    problem: _Problem
    places: list[int]
    last: list[int]
    blocks: list[tuple[int, bool]]
    moves: list[Move] = field(default_factory=list)
    done: int = 0
    first: int = 0
    cost: int = 0
    rank: int = 0
    ahead: list[int] = field(default_factory=list)

    def options(self) -> Iterator[_State]:
        """Yield the states after a SWAP or bridge for an interaction that could be next, and what follows without another."""
        blocked: set[int] = set()
        near: set[int] = set()
        for i in self.ahead:
            a, b, cz = self.problem.interactions[i]
            if a not in blocked and b not in blocked:
                near |= {self.places[a], self.places[b]}
                for path in self._short_paths(self.places[a], self.places[b]) if self.problem.bridges and cz == 1 else ():
                    option = self._copy()
                    option._bridge(i, path)
                    option.advance()
                    yield option
            blocked |= {a, b}
        for pair in self.problem.couplers:
            if not near.isdisjoint(pair):
                option = self._copy()
                option._swap(*pair)
                option.advance()
                yield option

    def advance(self) -> None:
        """Do all interactions that are possible without a move, and rank the state by the distances in those ahead."""
        blocked = 0
        rank = 0
        self.ahead = []
        problem, places = self.problem, self.places
        for i in range(self.first, len(problem.interactions)):
            if self.done >> i & 1:
                continue
            a, b, cz = problem.interactions[i]
            pair = places[a], places[b]
            qubits = 1 << a | 1 << b
            if not blocked & qubits and pair in problem.number:
                self.cost += self._add(pair, cz) - cz
                self.done |= 1 << i
                self.moves.append((i, pair))
            else:
                rank += _WEIGHTS[len(self.ahead)] * (problem.distance[pair[0]][pair[1]] - 1)
                blocked |= qubits
                self.ahead.append(i)
                if len(self.ahead) == _AHEAD:
                    break
        self.first = self.ahead[0] if self.ahead else len(problem.interactions)
        self.rank = rank + _SCALE * self.cost

    def _copy(self) -> _State:
        lists = [*self.places], [*self.last], [*self.blocks], [*self.moves]
        return _State(self.problem, *lists, self.done, self.first, self.cost)

    def _short_paths(self, a: int, b: int) -> Iterator[tuple[int, int, int]]:
        """Yield the paths over one other position between two, in both directions."""
        for middle in range(self.problem.qubits):
            if (a, middle) in self.problem.number and (middle, b) in self.problem.number:
                yield a, middle, b
                yield b, middle, a

    def _bridge(self, i: int, path: tuple[int, int, int]) -> None:
        a, b, c = path
        self.cost += sum(self._add(pair, 1) for pair in ((b, c), (a, b)) * 2) - 1
        self.done |= 1 << i
        self.moves.append((i, path))

    def _swap(self, a: int, b: int) -> None:
        self.cost += self._add((a, b), 0, swap=True)
        exchanged = {a: b, b: a}
        self.places = [exchanged.get(place, place) for place in self.places]
        self.moves.append((None, (a, b)))

    def _add(self, pair: tuple[int, int], cz: int, *, swap: bool = False) -> int:
        """Add gates to those that are the last on both positions of a coupler, if any; return how many CZ more they take."""
        number = self.problem.number[pair]
        earlier, swapped = self.blocks[number] if all(self.last[place] == number for place in pair) else (0, False)
        self.blocks[number] = after = min(3, earlier + cz), swapped != swap
        for place in pair:
            self.last[place] = number
        return _CZ[after[1]][after[0]] - _CZ[swapped][earlier]
