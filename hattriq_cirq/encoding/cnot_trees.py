"""Coupling a qubit to sets of others on a graph in which only neighbours couple: the CNOT counts and the gates.

CNOTs along a tree of neighbours collect a parity in the qubit beside the target, one gate couples that qubit to the target,
and the same CNOTs restore the tree: a connected set of s qubits costs 2 s - 1 gates. A set that is not connected takes
several trees. Qubits in the tree that are not controls must contribute nothing. Qubits that are not yet prepared may hold 0,
which adds nothing, or a parity of prepared qubits (a fan-in), which can then be collected in place of those qubits. The
contributions of all others must cancel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache, reduce
from itertools import combinations
from operator import or_, xor
from typing import Any, NamedTuple

import cirq
import networkx
import numpy as np

from hattriq_cirq.encoding.multiplexer import RotationTarget, Subsets

_MAX_REGION = 16  # qubits, those between included: the costs are tables of 2**16 sets

#: Pairs of qubits that can be coupled.
Edges = frozenset[frozenset[cirq.Qid]]
#: A CNOT (control, target), by position, between qubits to encode, of which the target holds no value of its own.
FanIn = tuple[int, int]
#: Parity that each qubit to encode holds: bit i stands for the value of the i-th qubit.
Parities = tuple[int, ...]


class RotationStep(NamedTuple):
    """The rotation that prepares the value of one more qubit, perhaps in the position of another qubit.

    Args:
        position: Position of the qubit that is rotated.
        qubit: Position of the qubit whose value is prepared.
        parities: Parity that each qubit holds before the rotation.
    """

    position: int
    qubit: int
    parities: Parities

    @property
    def before(self) -> list[int]:
        """Positions of the qubits whose values are already prepared."""
        return _elements(reduce(or_, self.parities))

    @property
    def after(self) -> Parities:
        """Parities that the qubits hold after the rotation."""
        return (*self.parities[: self.position], 1 << self.qubit, *self.parities[self.position + 1 :])


@dataclass(frozen=True, eq=False)
class SteinerCosts:
    """The cheapest ways to couple sets of qubits to one target by gates on edges.

    Bit i of a set stands for the qubit at position i.

    Args:
        trees: Edges (child, parent) of a tree that spans a set and the target, listed from the leaves to the target.
        cnot_costs: Number of gates that couple each set, (2**qubits,).
        last: Set whose tree is the last that couples each set, (2**qubits,).
    """

    trees: dict[int, tuple[tuple[int, int], ...]]
    cnot_costs: Subsets
    last: Subsets

    @classmethod
    def of(cls, target: int, neighbours: Sequence[Sequence[int]]) -> SteinerCosts:
        """Compute the costs from the neighbours of each position."""
        trees: dict[int, tuple[tuple[int, int], ...]] = {1 << root: ((root, target),) for root in neighbours[target]}
        growing, reached = list(trees), reduce(or_, trees, 0)
        while growing and reached.bit_count() < len(neighbours) - 1:  # until paths to all qubits, and trees as large, exist
            grown: dict[int, tuple[tuple[int, int], ...]] = {}
            for small, parent in [(tree, qubit) for tree in growing for qubit in _elements(tree)]:
                for child in neighbours[parent]:
                    if child != target and not small >> child & 1:
                        grown.setdefault(small | 1 << child, ((child, parent), *trees[small]))
            trees |= grown
            growing, reached = list(grown), reduce(or_, grown, reached)
        index = np.arange(2 ** len(neighbours))
        costs = np.full(len(index), 4 ** len(neighbours))
        costs[0] = 0
        last = np.zeros(len(index), dtype=np.intp)
        for tree in trees:  # each is used once or not at all
            candidates = costs[index ^ tree] + 2 * len(trees[tree]) - 1
            better = candidates < costs
            costs[better], last[better] = candidates[better], tree
        return cls(trees, costs, last)

    def trees_of(self, qubits: int) -> Iterator[tuple[tuple[int, int], ...]]:
        """Yield the trees that together couple a set of qubits."""
        while qubits:
            tree = int(self.last[qubits])
            yield self.trees[tree]
            qubits ^= tree


@dataclass(frozen=True, eq=False)
class TreeTarget(RotationTarget):
    """A qubit to rotate that can be coupled to its neighbours only.

    Args:
        region: Qubits around it.
        step: Rotation to be done, with the parities that the qubits hold.
    """

    region: Region = field(kw_only=True)
    step: RotationStep = field(kw_only=True)
    _cache: dict[tuple[cirq.Qid, ...], Subsets] = field(init=False, default_factory=dict)

    def cnot_costs(self, controls: Sequence[cirq.Qid]) -> Subsets:
        """Return the number of two-qubit gates that couple each set of controls to the target, (2**controls,)."""
        key = tuple(controls)
        if key not in self._cache:
            sets = _span(self._source(q) for q in reversed(key))[:, np.newaxis] ^ self._idle
            self._cache[key] = self.region.steiner_costs[self.step.position].cnot_costs[sets].min(axis=1)
        return self._cache[key]

    def couple(self, controls: Iterable[cirq.Qid], gate: cirq.Gate) -> list[cirq.Operation]:
        """Return the product of gate(control, target) over a set of controls, as gates on edges."""
        steiner, qubits = self.region.steiner_costs[self.step.position], self.region.all_qubits
        sets = reduce(xor, map(self._source, controls), 0) ^ self._idle
        operations: list[cirq.Operation] = []
        for *inner, (root, target) in steiner.trees_of(int(sets[np.argmin(steiner.cnot_costs[sets])])):
            collect = [cirq.CNOT(qubits[child], qubits[parent]) for child, parent in inner]
            operations += [*collect, gate(qubits[root], qubits[target]), *reversed(collect)]
        return operations

    def _source(self, control: cirq.Qid) -> int:
        """Return a set of qubits whose parity is the value of a control."""
        return parity_sources(self.step.parities, self.step.position)[0][self.region.position[control]]

    @cached_property
    def _idle(self) -> Subsets:
        """Sets of qubits whose parity is always 0."""
        return _span(parity_sources(self.step.parities, self.step.position)[1])


def canonical_order(neighbours: Sequence[Sequence[int]], encoded: int) -> list[int]:
    """Return the nodes of a graph in an order that all numberings of the same graph lead to, nodes to encode first.

    Nodes are distinguished by their neighbours as far as possible (colour refinement); otherwise each of them is tried.

    Example:
        >>> [canonical_order(path, 3) for path in ([[1], [0, 2], [1]], [[1, 2], [0], [0]])]
        [[0, 2, 1], [1, 2, 0]]
    """
    nodes = range(len(neighbours))

    def refine(colours: list[int]) -> list[int]:
        while True:
            keys = [(colours[i], *sorted(colours[j] for j in neighbours[i])) for i in nodes]
            finer = [sorted(set(keys)).index(key) for key in keys]
            if len(set(finer)) == len(set(colours)):
                return finer
            colours = finer

    def orders(colours: list[int]) -> Iterator[list[int]]:
        colours = refine(colours)
        alike = next((same for c in sorted(colours) if len(same := [i for i in nodes if colours[i] == c]) > 1), [])
        if not alike:
            yield sorted(nodes, key=lambda i: colours[i])
        around = [set(neighbours[i]) - set(alike) for i in alike]
        inside = {len(set(neighbours[i]) & set(alike)) for i in alike}
        if all(each == around[0] for each in around) and inside <= {0} | {len(alike) - 1}:  # they can be exchanged
            alike = alike[:1]
        for i in alike:
            yield from orders([2 * c - (j == i) for j, c in enumerate(colours)])

    def numbered(order: list[int]) -> list[list[int]]:
        place = {node: i for i, node in enumerate(order)}
        return [sorted(place[near] for near in neighbours[node]) for node in order]

    return min(orders([int(i >= encoded) for i in nodes]), key=numbered)


class DenseCosts(NamedTuple):
    """Number of two-qubit gates of a multiplexer in which no rotation vanishes.

    Args:
        values: Number of values that the parities of the other qubits give.
        rotations: Gates before and between the rotations.
        closing: Gates that uncouple the target after the last rotation.
    """

    values: int
    rotations: int
    closing: int

    @classmethod
    @cache
    def of(cls, costs: tuple[int, ...]) -> DenseCosts:
        """Return the costs for the cheapest basis of parities: its cheapest element changes at every second rotation."""
        rotations = sum(cost << len(costs) - 1 - i for i, cost in enumerate(costs))
        return cls(len(costs), rotations, costs[-1] if costs else 0)


class Region:
    """Qubits to encode, and those on the paths between them.

    Args:
        qubits: Qubits to encode.
        neighbours: Neighbours of each qubit to encode, and then of each qubit between them.
    """

    def __init__(self, qubits: Sequence[cirq.Qid], neighbours: dict[cirq.Qid, list[cirq.Qid]]) -> None:
        self.qubits, self.all_qubits = tuple(qubits), tuple(neighbours)
        self.position = {q: i for i, q in enumerate(self.all_qubits)}
        self.neighbours = [tuple(self.position[other] for other in near) for near in neighbours.values()]
        self.steiner_costs = [SteinerCosts.of(i, self.neighbours) for i in range(len(qubits))]
        self._targets: dict[RotationStep, TreeTarget] = {}
        self._dense_costs: dict[Parities, dict[int, DenseCosts]] = {}
        self._costs_by_others: dict[tuple[int, ...], DenseCosts] = {}
        self._growth = [_growth(own.trees) for own in self.steiner_costs]

    def target(self, step: RotationStep) -> TreeTarget:
        """Return the target of a step, before any fan-in."""
        if step not in self._targets:
            parity = tuple(self.qubits[i] for i in _elements(step.parities[step.position]))
            self._targets[step] = TreeTarget(self.qubits[step.position], parity, region=self, step=step)
        return self._targets[step]

    def renumbered(self, order: Sequence[int]) -> Region:
        """Return the region with its qubits in another order, those to encode first."""
        place = {position: i for i, position in enumerate(order)}
        names = cirq.LineQubit.range(len(order))
        neighbours = {names[i]: [names[place[j]] for j in self.neighbours[position]] for i, position in enumerate(order)}
        return Region(names[: len(self.qubits)], {q: sorted(near) for q, near in neighbours.items()})

    def is_connected_without(self, position: int) -> bool:
        """Return True if the other qubits to encode are connected without the one in a position."""
        others = set(range(len(self.qubits))) - {position}
        pending = [min(others)]
        while pending:
            others.discard(pending[-1])
            pending += [near for near in self.neighbours[pending.pop()] if near in others]
        return not others

    def dense_costs(self, parities: Parities) -> dict[int, DenseCosts]:
        """Return the costs of rotating a qubit by an angle for every value of the others, for each qubit that may be rotated.

        These are the positions of qubits without which the others hold all values that are prepared.
        """
        if parities not in self._dense_costs:
            self._dense_costs[parities] = {i: self._costs_at(i, parities) for i in _elements(_dependent(parities))}
        return self._dense_costs[parities]

    def _costs_at(self, position: int, parities: Parities) -> DenseCosts:
        """Return the costs of rotating one qubit, which do not depend on the parity that it holds itself."""
        others = (position, *parities[:position], 0, *parities[position + 1 :])
        if others not in self._costs_by_others:
            self._costs_by_others[others] = self._cheapest_basis(*others)
        return self._costs_by_others[others]

    def _cheapest_basis(self, position: int, *parities: int) -> DenseCosts:
        """Find the cheapest basis of parities; its elements are single trees, since the trees of a set each cost less."""
        contents = [*parities, *[0] * (len(self.all_qubits) - len(parities))]
        prepared = reduce(or_, parities).bit_count()
        basis: list[int] = []
        costs: list[int] = []
        collected = [0]  # parity of no tree, and of each tree, from the smallest to the largest
        for smaller, child, cost in self._growth[position]:
            parity = collected[smaller] ^ contents[child]
            collected.append(parity)
            for element in basis:
                if parity ^ element < parity:
                    parity ^= element
            if parity:
                basis.append(parity)
                costs.append(cost)
                if len(costs) == prepared:
                    break
        return DenseCosts.of(tuple(costs))

    def steps(self, parities: Parities, *, elsewhere: bool) -> Iterator[tuple[int, int]]:
        """Yield the position and the qubit of rotations that prepare one more qubit, in its own position or a neighbour's.

        Args:
            parities: Parity that each qubit holds.
            elsewhere: True to allow the position of a neighbour.
        """
        prepared, count = reduce(or_, parities), len(self.qubits)
        for position in self.dense_costs(parities):
            for qubit in (position, *(self.neighbours[position] if elsewhere else ())):
                if qubit < count and not prepared >> qubit & 1:
                    yield position, qubit

    def fan_ins(self, parities: Parities) -> Iterator[tuple[FanIn, Parities]]:
        """Yield the CNOTs that lose no value, each with the parities after it."""
        for i in self.dense_costs(parities):
            for near in self.neighbours[i]:
                if near < len(self.qubits) and parities[near]:
                    yield (near, i), (*parities[:i], parities[i] ^ parities[near], *parities[i + 1 :])


@lru_cache(maxsize=2**16)
def parity_sources(parities: Parities, position: int) -> tuple[dict[int, int], list[int]]:
    """Return sets of qubits that hold the prepared values, without the qubit in one position.

    Args:
        parities: Parity that each qubit holds.
        position: Position that is left out.

    Returns:
        For each value that is available, a set of qubits whose parity it is; and a basis of the sets whose parity is 0.
    """
    pivots: dict[int, tuple[int, int]] = {}  # by highest bit: a parity, and a set of qubits that holds it
    idle = []

    def reduced(parity: int, qubits: int) -> tuple[int, int]:
        while parity and parity.bit_length() in pivots:
            pivot = pivots[parity.bit_length()]
            parity, qubits = parity ^ pivot[0], qubits ^ pivot[1]
        return parity, qubits

    for i, content in enumerate(parities):
        if i != position:
            parity, qubits = reduced(content, 1 << i)
            if parity:
                pivots[parity.bit_length()] = parity, qubits
            else:
                idle.append(qubits)
    solved = {value: reduced(1 << value, 0) for value in _elements(reduce(or_, parities))}
    return {value: qubits for value, (rest, qubits) in solved.items() if not rest}, idle


@lru_cache(maxsize=32)
def region_of(edges: Edges, qubits: tuple[cirq.Qid, ...]) -> Region:
    """Return the region of qubits, with others on paths between them that are not longer than paths inside.

    Args:
        edges: Pairs of qubits that can be coupled.
        qubits: Qubits to encode.

    Returns:
        The region.

    Raises:
        ValueError: A qubit occurs twice, has no edge, or no path to another; or too many qubits lie between.
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
    if len(region) > _MAX_REGION:
        raise ValueError(
            f"{len(region)} qubits lie on the paths that join {len(qubits)}, more than {_MAX_REGION}; choose nearer ones"
        )
    return Region(qubits, {q: [other for other in graph[q] if other in region] for q in region})


def _growth(trees: dict[int, tuple[tuple[int, int], ...]]) -> list[tuple[int, int, int]]:
    """Return how each tree grows from a smaller one: the smaller one's number, from 1, the qubit added, and the gates.

    A tree of a single qubit grows from number 0.
    """
    numbers = {tree: i for i, tree in enumerate((0, *trees))}
    added = [(tree, edges[0][0], 2 * len(edges) - 1) for tree, edges in trees.items()]
    return [(numbers[tree ^ 1 << child], child, cost) for tree, child, cost in added]


def _dependent(parities: Parities) -> int:
    """Return the positions of the parities that are sums of others, as a set."""
    n = len(parities)
    basis: list[int] = []
    dependent = 0
    for i, parity in enumerate(parities):
        rest = parity << n | 1 << i  # the low bits say which parities were added
        for element in basis:
            rest = min(rest, rest ^ element)
        if rest >> n:
            basis.append(rest)
        else:
            dependent |= rest
    return dependent


def _elements(subset: int) -> list[int]:
    """Return the positions in a set."""
    return [i for i in range(subset.bit_length()) if subset >> i & 1]


def _span(generators: Iterable[int]) -> Subsets:
    """Return all sums modulo 2 of sets, (2**generators,): bit b of the index stands for generator b."""
    sums = np.zeros(1, dtype=np.intp)
    for generator in generators:
        sums = np.concatenate([sums, sums ^ generator])
    return sums
