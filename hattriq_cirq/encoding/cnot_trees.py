"""Coupling a qubit to others on a graph where only neighbours couple: what each set of them costs, and how it is done.

CNOTs along a tree of neighbours gather a parity in the qubit beside the target, one gate couples it, and the same CNOTs put
the tree back: a connected set of s qubits costs 2 s - 1 gates. Sets that are not connected take several trees. Of the qubits
that are not controls of the target, those not yet prepared may hold 0 and add nothing, or have been loaded with a parity of
prepared ones, which stands in for it. All others must cancel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, reduce
from itertools import combinations
from operator import or_, xor
from typing import Any, NamedTuple

import cirq
import networkx
import numpy as np

from hattriq_cirq.encoding.multiplexer import Masks, Target

_LARGEST = 16  # qubits, those between included: moves are tables of 2**16 sets

Edges = frozenset[frozenset[cirq.Qid]]
FanIn = tuple[int, int]
"""A CNOT from one qubit to encode to another that nothing is lost in, by position."""
Contents = tuple[int, ...]


class Step(NamedTuple):
    """The turn that prepares one more qubit, perhaps in the place of another.

    Args:
        place: the position of the qubit that turns.
        qubit: the position of the qubit whose value it takes.
        contents: the parity that each qubit to encode holds before: bit i stands for the value of the i-th.
    """

    place: int
    qubit: int
    contents: Contents

    @property
    def before(self) -> list[int]:
        """Positions of the qubits whose values are prepared."""
        return _members(reduce(or_, self.contents))

    @property
    def after(self) -> Contents:
        """What is held after the turn."""
        return (*self.contents[: self.place], 1 << self.qubit, *self.contents[self.place + 1 :])


@dataclass(frozen=True, eq=False)
class _Moves:
    """The cheapest ways to couple sets of qubits to one target, at position `target`, by gates on edges.

    Bit i of a set stands for the qubit at position i. A tree lists its edges (child, parent) from the leaves to the target.
    """

    trees: dict[int, tuple[tuple[int, int], ...]]
    prices: Masks
    last: Masks

    @classmethod
    def of(cls, target: int, neighbours: Sequence[Sequence[int]]) -> _Moves:
        """From what each qubit is coupled to."""
        trees: dict[int, tuple[tuple[int, int], ...]] = {1 << root: ((root, target),) for root in neighbours[target]}
        growing, reached = list(trees), reduce(or_, trees, 0)
        while growing and reached.bit_count() < len(neighbours) - 1:  # paths to all other qubits, and trees as large
            grown: dict[int, tuple[tuple[int, int], ...]] = {}
            for small, parent in [(tree, qubit) for tree in growing for qubit in _members(tree)]:
                for child in neighbours[parent]:
                    if child != target and not small >> child & 1:
                        grown.setdefault(small | 1 << child, ((child, parent), *trees[small]))
            trees |= grown
            growing, reached = list(grown), reduce(or_, grown, reached)
        index = np.arange(2 ** len(neighbours))
        prices = np.full(len(index), 4 ** len(neighbours))
        prices[0] = 0
        last = np.zeros(len(index), dtype=np.intp)
        for tree in trees:  # each is used once or not at all
            offers = prices[index ^ tree] + 2 * len(trees[tree]) - 1
            better = offers < prices
            prices[better], last[better] = offers[better], tree
        return cls(trees, prices, last)

    def used(self, qubits: int) -> Iterator[tuple[tuple[int, int], ...]]:
        """The trees that couple a set of qubits."""
        while qubits:
            tree = int(self.last[qubits])
            yield self.trees[tree]
            qubits ^= tree


@dataclass(frozen=True, eq=False)
class Relayed(Target):
    """A qubit to turn that is coupled to its neighbours only.

    Args:
        region: the qubits around it.
        step: which qubit it is, and what the others hold.
    """

    region: Region = field(kw_only=True)
    step: Step = field(kw_only=True)
    _known: dict[tuple[cirq.Qid, ...], Masks] = field(init=False, default_factory=dict)

    def prices(self, controls: Sequence[cirq.Qid]) -> Masks:
        """The two-qubit gates that couple each set of controls to the target, (2**controls,)."""
        key = tuple(controls)
        if key not in self._known:
            sets = _spanned(self._source(q) for q in reversed(key))[:, np.newaxis] ^ self._idle
            self._known[key] = self.region.moves[self.step.place].prices[sets].min(axis=1)
        return self._known[key]

    def coupled(self, controls: Iterable[cirq.Qid], gate: cirq.Gate) -> list[cirq.Operation]:
        """The product of gate(control, target) over a set of controls, on edges."""
        moves, qubits = self.region.moves[self.step.place], self.region.all_qubits
        sets = reduce(xor, map(self._source, controls), 0) ^ self._idle
        operations: list[cirq.Operation] = []
        for *gathering, (root, target) in moves.used(int(sets[np.argmin(moves.prices[sets])])):
            gathered = [cirq.CNOT(qubits[child], qubits[parent]) for child, parent in gathering]
            operations += [*gathered, gate(qubits[root], qubits[target]), *reversed(gathered)]
        return operations

    def _source(self, control: cirq.Qid) -> int:
        """Qubits whose parity is the value of a control."""
        return sources(self.step.contents, self.step.place)[0][self.region.position[control]]

    @cached_property
    def _idle(self) -> Masks:
        """Sets of qubits whose parity is always 0."""
        return _spanned(sources(self.step.contents, self.step.place)[1])


class Region:
    """Qubits to encode, and those between them.

    Args:
        qubits: those to encode.
        neighbours: of each of these and of those between, in order.
    """

    def __init__(self, qubits: Sequence[cirq.Qid], neighbours: dict[cirq.Qid, list[cirq.Qid]]) -> None:
        self.qubits, self.all_qubits = tuple(qubits), tuple(neighbours)
        self.position = {q: i for i, q in enumerate(self.all_qubits)}
        self.neighbours = [tuple(self.position[other] for other in near) for near in neighbours.values()]
        self.moves = [_Moves.of(i, self.neighbours) for i in range(len(qubits))]
        self._targets: dict[Step, Relayed] = {}

    def target(self, step: Step) -> Relayed:
        """How the qubit of a step is coupled to, before any loads."""
        if step not in self._targets:
            held = tuple(self.qubits[i] for i in _members(step.contents[step.place]))
            self._targets[step] = Relayed(self.qubits[step.place], held, region=self, step=step)
        return self._targets[step]

    def steps(self, contents: Contents, *, elsewhere: bool) -> Iterator[Step]:
        """Turns that prepare one more qubit in its place, or elsewhere: beside it."""
        prepared = reduce(or_, contents)
        for place in range(len(self.qubits)):
            if is_free(contents, place):
                for qubit in (place, *(self.neighbours[place] if elsewhere else ())):
                    if qubit < len(self.qubits) and not prepared >> qubit & 1:
                        yield Step(place, qubit, contents)

    def loads(self, contents: Contents) -> Iterator[tuple[FanIn, Contents]]:
        """CNOTs that lose nothing, and what is held after each."""
        for i in range(len(self.qubits)):
            if is_free(contents, i):
                for near in self.neighbours[i]:
                    if near < len(self.qubits) and contents[near]:
                        yield (near, i), (*contents[:i], contents[i] ^ contents[near], *contents[i + 1 :])


@lru_cache(maxsize=2**16)
def sources(contents: Contents, place: int) -> tuple[dict[int, int], list[int]]:
    """Where the prepared values are, without the qubit in one place.

    Args:
        contents: the parity that each qubit holds.
        place: the position left out.

    Returns:
        For each value, where it can be had, a set of qubits whose parity it is; and a basis of the sets that hold 0.
    """
    pivots: dict[int, tuple[int, int]] = {}  # by highest bit: a parity, and a set of qubits that holds it
    idle = []

    def reduced(parity: int, qubits: int) -> tuple[int, int]:
        while parity and parity.bit_length() in pivots:
            pivot = pivots[parity.bit_length()]
            parity, qubits = parity ^ pivot[0], qubits ^ pivot[1]
        return parity, qubits

    for i, content in enumerate(contents):
        if i != place:
            parity, qubits = reduced(content, 1 << i)
            if parity:
                pivots[parity.bit_length()] = parity, qubits
            else:
                idle.append(qubits)
    solved = {value: reduced(1 << value, 0) for value in _members(reduce(or_, contents))}
    return {value: qubits for value, (rest, qubits) in solved.items() if not rest}, idle


def is_free(contents: Contents, place: int) -> bool:
    """Whether the others hold all values that are prepared."""
    return len(sources(contents, place)[0]) == reduce(or_, contents).bit_count()


@lru_cache(maxsize=32)
def region_of(edges: Edges, qubits: tuple[cirq.Qid, ...]) -> Region:
    """The couplings of these qubits, and of others on paths between them that are shorter than those inside.

    Args:
        edges: pairs of qubits that couple.
        qubits: to encode.

    Returns:
        The region.

    Raises:
        ValueError: a qubit occurs twice, has no edge, or no path to another; or too many qubits lie between.
    """
    if len(set(qubits)) < len(qubits):
        raise ValueError(f"qubits = {', '.join(map(str, qubits))} must differ from each other")
    graph: Any = networkx.Graph(sorted(sorted(edge) for edge in edges))
    if len(qubits) == 1:
        graph.add_nodes_from(qubits)
    if missing := [str(q) for q in qubits if q not in graph]:
        raise ValueError(f"no edge of the graph ends in {', '.join(missing)}; encode on some of {', '.join(map(str, graph))}")
    inside = dict(networkx.all_pairs_shortest_path_length(graph.subgraph(qubits)))
    region = dict.fromkeys(qubits)
    for a, b in combinations(qubits, 2):
        if not networkx.has_path(graph, a, b):
            raise ValueError(f"no path in the graph joins {a} and {b}; add edges between them, or encode on connected qubits")
        path = networkx.shortest_path(graph, a, b)
        if len(path) <= inside[a].get(b, len(graph)):
            region |= dict.fromkeys(path)
    if len(region) > _LARGEST:
        raise ValueError(
            f"{len(region)} qubits lie on the paths that join {len(qubits)}, more than {_LARGEST}; choose nearer ones"
        )
    return Region(qubits, {q: [other for other in graph[q] if other in region] for q in region})


def _members(qubits: int) -> list[int]:
    """The positions in a set."""
    return [i for i in range(qubits.bit_length()) if qubits >> i & 1]


def _spanned(generators: Iterable[int]) -> Masks:
    """All sums of sets, (2**generators,): bit b of the index stands for generator b."""
    found = np.zeros(1, dtype=np.intp)
    for generator in generators:
        found = np.concatenate([found, found ^ generator])
    return found
