"""Schedules of blocks: the order of products with a state and the layouts of its axes that take the least time on a machine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise, product
from math import prod
from typing import Any, Literal, NamedTuple

from hattriq_cirq.foundation.devices import namespace
from hattriq_cirq.simulation.blocks import Block

_BEAM = 4  # sequences of layouts that are followed
_LOOKAHEAD = 8  # blocks whose axes are gathered in a move
_SLOW = (16, 2.2), (64, 1.25)  # time of a product with less than so many numbers behind the block's axes
_MOVE = (64, 3.2), (16, 5.7), (1, 13.0)  # time to move a number, in multiplications, with at least so many staying together
_JOINED = 4**13  # numbers between the products of a join, up to which a core does not count them
_PASS = 32  # multiplications of a GPU in the time in which it reads or writes one number, by its data sheet

_Place = Literal["stay", "back", "front"]


class _Way(NamedTuple):
    """One of the ways to multiply tensors by a block, which differ in where the axes are before and after.

    Args:
        joined: Names of the tensors that the block acts on; the result takes the first name.
        moves: New order of the axes of each before the product; empty if they stay.
        axes: Axes of the block in this layout.
        before: Numbers in front of them; tensors that are joined have them all in front.
        place: Where they are afterwards: behind or in front of all others costs no move.
        layout: Axes of the result.
        cost: Time, in multiplications.
    """

    joined: tuple[int, ...]
    moves: tuple[tuple[int, ...], ...]
    axes: tuple[int, ...]
    before: int
    place: _Place
    layout: tuple[int, ...]
    cost: float


@dataclass(frozen=True, eq=False)
class _Product:
    """Product of one block with the tensors it acts on.

    Args:
        block: Block, with its axes in the order of the layout.
        way: Layout of the axes before and after.
        shapes: Sizes of the axes of each tensor.
        columns: Numbers of the block's axes of each tensor.
        cost: Multiplications for each point.
    """

    block: Block
    way: _Way
    shapes: tuple[tuple[int, ...], ...]
    columns: tuple[int, ...]
    cost: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes of all tensors."""
        return tuple(chain(*self.shapes))

    def apply(self, xp: Any, tensors: Sequence[Any], matrix: Any) -> Any:
        """Return the new tensor, (points, numbers), from the joined ones and the block's matrix at every point."""
        states = [_moved(xp, *own) for own in zip(tensors, self.shapes, self.way.moves, strict=True)]
        result = self._join(xp, states, matrix) if len(states) > 1 else self._multiply(xp, states[0], matrix)
        return xp.reshape(result, (result.shape[0], -1))

    def _multiply(self, xp: Any, state: Any, matrix: Any) -> Any:
        """Return the product with one tensor; a transposed factor of a matrix product costs nothing."""
        before, place = self.way.before, self.way.place
        state = xp.reshape(state, (state.shape[0], before, matrix.shape[-1], -1))
        if state.shape[-1] == 1 and before > 1:
            rows = state[..., 0]
            return matrix @ xp.matrix_transpose(rows) if place == "front" else rows @ xp.matrix_transpose(matrix)
        if place == "back":
            return xp.matrix_transpose(state) @ xp.matrix_transpose(matrix[:, None, ...])
        return matrix[:, None, ...] @ state

    def _join(self, xp: Any, states: Sequence[Any], matrix: Any) -> Any:
        """Multiply by one tensor after the other, which is faster than by the product of all their numbers."""
        points, rows, left = matrix.shape
        result = matrix
        for state, columns in zip(states, self.columns, strict=True):
            left //= columns
            result = xp.permute_dims(xp.reshape(result, (points, rows, columns, left, -1)), (0, 1, 3, 4, 2))
            result = xp.reshape(result, (points, -1, columns)) @ xp.reshape(state, (state.shape[0], columns, -1))
            points = result.shape[0]
        return result


def _moved(xp: Any, tensor: Any, shape: tuple[int, ...], order: tuple[int, ...]) -> Any:
    """Return a tensor, (points, numbers), with its axes in another order; as it is for an empty one."""
    if not order:
        return tensor
    apart = xp.permute_dims(xp.reshape(tensor, (-1, *shape)), (0, *(1 + axis for axis in order)))
    return xp.reshape(apart, (tensor.shape[0], -1))


class Costs(ABC):
    """Times on one kind of machine, in multiplications, by which a schedule is chosen.

    Args:
        widths: Numbers of axes up to which blocks may be multiplied into wider ones; 0 leaves them as they are.
        reaches_ends: True if axes are also moved to an end of the state when they are together already.
    """

    widths: tuple[int, ...] = (0,)
    reaches_ends = False

    @abstractmethod
    def product(self, numbers: int, rows: int, before: int, behind: int, moved: int) -> float:
        """Return the time of one product.

        Args:
            numbers: Numbers of the state.
            rows: Numbers of the block's axes after it.
            before: Numbers in front of the block's axes.
            behind: Numbers behind them.
            moved: Numbers that stay together in the move before the product; 0 without one.
        """

    def joining(self, between: int) -> float:
        """Return the time to join tensors with so many numbers between the products with one and the next."""
        return float(between)

    def filling(self, block: Block) -> float:
        """Return the time to fill in the angles of a block at one point."""
        return 0.0


class _Core(Costs):
    """One core with NumPy, as it was measured."""

    def product(self, numbers: int, rows: int, before: int, behind: int, moved: int) -> float:
        """Return the time of one product."""
        slow = 1.0 if behind == 1 else next((factor for most, factor in _SLOW if behind < most), 1.0)
        move = next(cost for least, cost in _MOVE if moved >= least) if moved else 0.0
        return numbers * (rows * slow + move)

    def joining(self, between: int) -> float:
        """Return no time up to 12 qubits, so that their schedules, and every bit of their results, stay what they were."""
        return float(between) if between > _JOINED else 0.0


class _Gpu(Costs):
    """A GPU, which multiplies some 30 times in the time in which it reads or writes one number.

    Axes at an end of the state need no more than one product for each point. Those in the middle need a product for each
    number in front of them, and as many copies of the matrix.
    """

    widths = (2, 3, 4)
    reaches_ends = True

    def product(self, numbers: int, rows: int, before: int, behind: int, moved: int) -> float:
        """Return the time of one product."""
        passes = 2 + 2 * (moved > 0) + (2 * rows / behind if before > 1 and behind > 1 else 0.0)
        return numbers * (rows + _PASS * passes)

    def filling(self, block: Block) -> float:
        """Return the time to fill in the angles of a block at one point."""
        size = 4 ** len(block.axes)
        return 0.0 if block.is_constant else (1 + max(block.levels)) * size**2 * (size + 3 * _PASS)


CORE, GPU = _Core(), _Gpu()


@dataclass(frozen=True, eq=False)
class Schedule:
    """Blocks in the order of application to a state that is a product of tensors, which blocks join.

    Args:
        products: Products in order.
        left: Tensors at the end: name -> their axes in order.
        cost: Time, in multiplications.
    """

    products: tuple[_Product, ...]
    left: Mapping[int, tuple[int, ...]]
    cost: float

    @classmethod
    def of(cls, blocks: Sequence[Block], sizes: Mapping[int, int], costs: Costs = CORE) -> Schedule:
        """Schedule blocks on axes with given numbers of expectations, each of which is a tensor at first.

        Of all sequences of layouts it is one of the fastest, found by a beam search.
        """
        start, ordered = sizes, _ordered(blocks, sizes)
        sizes = dict(start)
        routes = [_Route({axis: (axis,) for axis in sizes}, 0.0)]
        for i, block in enumerate(ordered):
            coming = [set(later.axes) for later in ordered[i + 1 : i + 1 + _LOOKAHEAD]]
            best: dict[tuple[tuple[int, ...], ...], _Route] = {}
            for route in routes:
                for way in _ways(block, route.tensors, sizes, coming, costs):
                    tensors = {name: axes for name, axes in route.tensors.items() if name not in way.joined}
                    tensors[way.joined[0]] = way.layout
                    cost, layouts = route.cost + way.cost, tuple(tensors.values())
                    if layouts not in best or cost < best[layouts].cost:
                        best[layouts] = _Route(tensors, cost, (block, way), route)
            routes = sorted(best.values(), key=lambda route: route.cost)[:_BEAM]
            sizes |= block.sizes
        cost = routes[0].cost + sum(map(costs.filling, blocks))
        return cls(tuple(routes[0].products(start)), routes[0].tensors, cost)

    @property
    def order(self) -> list[int]:
        """Axes at the end, of one tensor after the other."""
        return [axis for own in self.left.values() for axis in own]

    @property
    def largest(self) -> int:
        """Largest number of numbers of all tensors before or after a product, for each point."""
        return max([1, *(prod(one.shape) for one in self.products)])

    def run(self, tensors: Mapping[int, Any], matrices: Iterable[Any], points: slice = slice(None)) -> dict[int, Any]:
        """Return the tensors at the end, (points, numbers) each, from those at the start and the matrices of all blocks.

        All arrays lie on one device.
        """
        tensors = dict(tensors)
        xp = namespace(next(iter(tensors.values()), None))
        for one, matrix in zip(self.products, matrices, strict=True):
            own = matrix if matrix.shape[0] == 1 else matrix[points, ...]
            tensors[one.way.joined[0]] = one.apply(xp, [tensors.pop(name) for name in one.way.joined], own)
        return tensors


def _ordered(blocks: Sequence[Block], sizes: Mapping[int, int]) -> list[Block]:
    """Order blocks so that each one, among those that no earlier block holds up, leaves the smallest tensor."""
    sizes, group = dict(sizes), {axis: frozenset([axis]) for axis in sizes}
    queues: dict[int, list[int]] = {axis: [] for axis in sizes}
    for i, block in reversed(list(enumerate(blocks))):
        for axis in block.axes:
            queues[axis].append(i)
    ordered = []
    for _ in blocks:
        heads = {queue[-1] for queue in queues.values() if queue}
        ready = [i for i in heads if all(queues[axis][-1] == i for axis in blocks[i].axes)]

        best = min(ready, key=lambda i: (_numbers(blocks[i], group, sizes), i))
        axes = frozenset[int]().union(*(group[axis] for axis in blocks[best].axes))
        group |= dict.fromkeys(axes, axes)
        sizes |= blocks[best].sizes
        for axis in blocks[best].axes:
            queues[axis].pop()
        ordered.append(blocks[best])
    return ordered


def _numbers(block: Block, group: Mapping[int, frozenset[int]], sizes: Mapping[int, int]) -> int:
    """Return the size of the tensor after a block that joins the groups of its axes."""
    axes = frozenset[int]().union(*(group[axis] for axis in block.axes))
    return prod(block.sizes.get(axis, sizes[axis]) for axis in axes)


class _Route(NamedTuple):
    """Products of the first blocks of a schedule.

    Args:
        tensors: Tensors after them: name -> their axes in order.
        cost: Their time, in multiplications.
        last: The last block and the way to multiply by it; None before the first.
        earlier: The products before it.
    """

    tensors: Mapping[int, tuple[int, ...]]
    cost: float
    last: tuple[Block, _Way] | None = None
    earlier: _Route | None = None

    def products(self, sizes: Mapping[int, int]) -> list[_Product]:
        """Return the products in order, for axes with given sizes at the start."""
        taken: list[_Route] = []
        route: _Route | None = self
        while route is not None:
            taken.append(route)
            route = route.earlier
        sizes, products = dict(sizes), list[_Product]()
        for earlier, later in pairwise(reversed(taken)):
            assert later.last is not None
            block, way = later.last
            orders = [earlier.tensors[name] for name in way.joined]
            shapes = tuple(tuple(sizes[axis] for axis in order) for order in orders)
            columns = tuple(prod(sizes[axis] for axis in order if axis in block.axes) for order in orders)
            cost = prod(block.sizes.values()) * prod(map(prod, shapes))
            products.append(_Product(replace(block, axes=way.axes), way, shapes, columns, cost))
            sizes |= block.sizes
        return products


def _ways(
    block: Block, tensors: Mapping[int, tuple[int, ...]], sizes: Mapping[int, int], coming: Sequence[set[int]], costs: Costs
) -> Iterator[_Way]:
    """Yield the ways to multiply by a block that may be part of a fast schedule."""
    own, rows = set(block.axes), prod(block.sizes.values())
    joined = tuple(sorted(name for name, axes in tensors.items() if not own.isdisjoint(axes)))
    if len(joined) > 1:
        for names in (joined, joined[::-1]):
            for orders in product(*(_ends_in_front(tensors[name], own, coming) for name in names)):
                axes = tuple(axis for order in orders for axis in order if axis in own)
                rest = tuple(axis for order in orders for axis in order if axis not in own)
                moves = tuple(_positions(tensors[name], order) for name, order in zip(names, orders, strict=True))
                first = tensors[names[0]]
                between = rows * prod(sizes[axis] for axis in {*first, *own}) // prod(sizes[axis] for axis in own & set(first))
                yield _Way(names, moves, axes, 1, "front", (*axes, *rest), costs.joining(between))
        return
    order = tensors[joined[0]]
    numbers = prod(sizes[axis] for axis in order)
    for new in _layouts(order, own, coming, reaches_ends=costs.reaches_ends):
        start = min(new.index(axis) for axis in own)
        before, axes, after = new[:start], new[start : start + len(own)], new[start + len(own) :]
        behind = prod(sizes[axis] for axis in after)
        count = prod(sizes[axis] for axis in before)
        cost = costs.product(numbers, rows, count, behind, _staying(order, new, sizes))
        moves = (_positions(order, new),)
        yield _Way(joined, moves, axes, count, "stay", new, cost)
        if after:
            yield _Way(joined, moves, axes, count, "back", (*before, *after, *axes), cost)
        elif before:
            yield _Way(joined, moves, axes, count, "front", (*axes, *before), cost)


def _ends_in_front(order: tuple[int, ...], own: set[int], coming: Sequence[set[int]]) -> Iterator[tuple[int, ...]]:
    """Yield orders with a block's axes in front, of the others those first, or last, that a block needs soonest."""
    needed = {axis: i for i, axes in reversed(list(enumerate(coming))) for axis in axes}
    front = tuple(axis for axis in order if axis in own)
    rest = sorted((axis for axis in order if axis not in own), key=lambda axis: needed.get(axis, len(coming)))
    yield *front, *rest
    yield *front, *reversed(rest)


def _layouts(
    order: tuple[int, ...], own: set[int], coming: Sequence[set[int]], *, reaches_ends: bool
) -> Iterator[tuple[int, ...]]:
    """Yield orders of axes in which those of a block follow each other, and which few moves or cheap ones lead to."""
    places = [order.index(axis) for axis in own]
    is_together = max(places) - min(places) < len(own)
    if is_together:
        yield order
    else:
        for place in (min(places), max(places) + 1):
            front = tuple(axis for axis in order[:place] if axis not in own)
            yield (*front, *(axis for axis in order if axis in own), *(axis for axis in order[place:] if axis not in own))
    if reaches_ends or not is_together:
        yield _gathered(order, [own, *coming])
    if reaches_ends:
        yield (*(axis for axis in order if axis not in own), *(axis for axis in order if axis in own))


def _positions(order: tuple[int, ...], new: tuple[int, ...]) -> tuple[int, ...]:
    """Return the positions in one order of the axes in another; none if they are the same."""
    return () if new == order else tuple(order.index(axis) for axis in new)


def _staying(order: tuple[int, ...], new: tuple[int, ...], sizes: Mapping[int, int]) -> int:
    """Return how many numbers stay together in a move: those of the last axes that stay; 0 if all do."""
    if order == new:
        return 0
    run = 1
    for old, axis in zip(reversed(order), reversed(new), strict=True):
        if old != axis:
            break
        run *= sizes[axis]
    return run


def _gathered(order: tuple[int, ...], blocks: Sequence[set[int]]) -> tuple[int, ...]:
    """Return the order with the first block's axes in front, followed by those of later blocks as far as these allow it."""
    placed: list[int] = []
    for i, axes in enumerate(blocks):
        if not axes <= set(order):
            continue
        following = next((later for later in blocks[i + 1 :] if not later.isdisjoint(axes) and later != axes), set[int]())
        new = sorted(axes.difference(placed), key=lambda axis: (axis in following, order.index(axis)))
        if len(new) == len(axes) or (placed and placed[-1] in axes):
            placed += new
    return (*placed, *(axis for axis in order if axis not in placed))
