"""Noisy circuits compiled once for all angles: probabilities of the measured bits at every point of a sweep.

A density matrix is the vector of its Pauli expectations, on which a gate with its noise is a real matrix (`pauli_transfer`).
`NoisyProgram.compile` fixes everything that does not depend on angles: steps are multiplied into blocks on two qubits, what
no measured bit depends on is left out, qubits join the state when they are first needed and keep only the expectations that
are still to be read, and blocks without angles at the end act on the observables instead of on every point (the Heisenberg
picture) where this is cheaper. `NoisyProgram.populations` then fills in the angles of all points.

Every point is computed by the same operations on arrays of the same shape, whatever the number of points, so that its result
is the same to the last bit. All operations on states are plain array operations with the points on the leading axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import chain, pairwise, product
from math import prod
from typing import Literal, NamedTuple

import cirq
import numpy as np

from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.machine import keep_freed_memory, one_blas_thread
from hattriq_cirq.simulation.pauli_transfer import transfer_matrix
from hattriq_cirq.simulation.statevector import Precision, dtypes

_STATE_BYTES = 2**19  # size of all states that are evolved at once: they stay in the cache
_MATRIX_NUMBERS = 2**21  # numbers of all blocks whose angles are filled in at once
_OBSERVABLE_NUMBERS = 2**22  # numbers of all observables that are kept for the Heisenberg picture
_POINTS = 32  # points that share the evolution of observables when its cost is compared with that of states
_READ = 4  # multiplications of a block that take as long as reading one number of an observable
_BEAM = 4  # sequences of layouts that are followed
_LOOKAHEAD = 8  # blocks whose axes are gathered in a move
_SLOW = (16, 2.2), (64, 1.25)  # time of a product with less than so many numbers behind the block's axes
_MOVE = (64, 3.2), (16, 5.7), (1, 13.0)  # time to move a number, in multiplications, with at least so many staying together
_FLOAT32_ERROR = 1e-6

#: Indices of the Paulis I, X, Y, Z of an axis whose expectations are still to be read.
Paulis = tuple[int, ...]
_Place = Literal["stay", "back", "front"]
_ALL, _DIAGONAL, _TRACE = (0, 1, 2, 3), (0, 3), (0,)
_ZERO = np.array([1.0, 0.0, 0.0, 1.0])  # expectations of |0>


@dataclass(frozen=True, eq=False)
class Step:
    """A gate or channel on axes of the register.

    Args:
        axes: Axes that it acts on.
        factor: Its real matrix, (4**k, 4**k), or the index of the gate whose matrices are filled in for each point.
    """

    axes: tuple[int, ...]
    factor: FloatArray | int


@dataclass(frozen=True, eq=False)
class Block:
    """Steps on the same few axes, applied as one matrix.

    Args:
        axes: Axes that the matrix acts on, in its order.
        steps: Steps in order.
        kept: Paulis of each axis that are read after the block.
        transposed: True for the block as it acts on observables, from those after it to those before it.
    """

    axes: tuple[int, ...]
    steps: tuple[Step, ...]
    kept: Mapping[int, Paulis]
    transposed: bool = False

    @property
    def sizes(self) -> dict[int, int]:
        """Number of expectations of each axis after the block."""
        return {axis: 4 if self.transposed else len(self.kept[axis]) for axis in self.axes}

    @cached_property
    def is_constant(self) -> bool:
        """True if the matrix is the same at every point."""
        return not any(isinstance(step.factor, int) for step in self.steps)

    @cached_property
    def keeps_trace(self) -> bool:
        """True if every step keeps the trace, as gates and physical channels do."""
        rows = [step.factor[0] for step in self.steps if not isinstance(step.factor, int)]
        return all(abs(row[0] - 1) < 1e-14 and np.abs(row[1:]).max() < 1e-14 for row in rows)

    @cached_property
    def _layers(self) -> list[FloatArray | list[tuple[tuple[int, ...], int]]]:
        """Constant matrices and gates with angles (positions, index), in turn: each step in the first layer it can be in."""
        levels = dict.fromkeys(range(len(self.axes)), 0)
        layers: dict[int, FloatArray | list[tuple[tuple[int, ...], int]]] = {}
        for step in self.steps:
            where = tuple(self.axes.index(axis) for axis in step.axes)
            level = max(levels[i] for i in where)
            if isinstance(step.factor, int):
                level += 1 + level % 2
                layers.setdefault(level, []).append((where, step.factor))  # type: ignore[union-attr]
            else:
                level += level % 2
                own = _on_axes(step.factor, where, len(self.axes))
                layers[level] = own @ layers[level] if level in layers else own
            levels |= dict.fromkeys(where, level)
        rows = _indices([self.kept[axis] for axis in self.axes])
        if len(rows) < 4 ** len(self.axes):
            last = max(layers)
            layers[last + last % 2] = layers.get(last + last % 2, np.eye(4 ** len(self.axes)))[rows]  # type: ignore[call-overload]
        return [layers[level] for level in sorted(layers)]

    def matrix(self, gates: Sequence[FloatArray], dtype: type[np.floating]) -> FloatArray:
        """Return the matrix at every point, (points, numbers after, numbers before), or with one point if it is constant.

        Args:
            gates: Matrices of the gates with angles, (points, 4**k, 4**k) or (1, 4**k, 4**k) each.
            dtype: Type of the result.
        """
        factors = (
            layer.astype(dtype)[np.newaxis]
            if isinstance(layer, np.ndarray)
            else _beside([(where, gates[index].astype(dtype, copy=False)) for where, index in layer], len(self.axes))
            for layer in self._layers
        )
        matrix = reduce(lambda earlier, later: later @ earlier, factors)
        return matrix.swapaxes(-1, -2) if self.transposed else matrix


def _indices(paulis: Sequence[Paulis]) -> list[int]:
    """Return the indices of all strings of given Paulis among the strings of any Paulis."""
    return [reduce(lambda index, pauli: 4 * index + pauli, string, 0) for string in product(*paulis)]


def _on_axes(matrix: FloatArray, where: Sequence[int], axes: int) -> FloatArray:
    """Return matrices on some axes, (..., 4**k, 4**k), with the identity on all others, (..., 4**axes, 4**axes)."""
    rest = [i for i in range(axes) if i not in where]
    if list(where) == list(range(axes)):
        return matrix
    lead = matrix.shape[:-2]
    wide = matrix[..., :, np.newaxis, :, np.newaxis] * np.eye(4 ** len(rest), dtype=matrix.dtype)[:, np.newaxis, :]
    position = np.argsort([*where, *rest])
    order = [*range(len(lead)), *(len(lead) + position), *(len(lead) + axes + position)]
    return np.asarray(wide.reshape(*lead, *(4,) * (2 * axes)).transpose(order).reshape(*lead, 4**axes, 4**axes))


def _beside(gates: Sequence[tuple[tuple[int, ...], FloatArray]], axes: int) -> FloatArray:
    """Return gates on different axes, (points, 4**k, 4**k) each, as one matrix, (points, 4**axes, 4**axes)."""
    if axes == 2 and len(gates) == 2:
        (_, first), (_, second) = sorted(gates, key=lambda gate: gate[0])
        both = first[:, :, np.newaxis, :, np.newaxis] * second[:, np.newaxis, :, np.newaxis, :]
        return np.asarray(both.reshape(-1, 16, 16))
    return reduce(np.matmul, (_on_axes(matrix, where, axes) for where, matrix in gates))


def gather(steps: Iterable[Step]) -> list[Block]:
    """Multiply steps into as few blocks as their order allows.

    A step on one axis joins the latest block on this axis, or the first that follows; a step on several axes joins the latest
    block if that acts on all of them.

    Example:
        >>> flip = np.diag([1.0, 1.0, -1.0, -1.0])
        >>> [block.axes for block in gather([Step((0,), flip), Step((0, 1), np.eye(16)), Step((1,), flip)])]
        [(0, 1)]
    """
    members: list[list[Step]] = []
    latest: dict[int, int | None] = {}
    waiting: dict[int, list[Step]] = {}
    for step in steps:
        ends = {latest.get(axis) for axis in step.axes}
        end = ends.pop() if len(ends) == 1 else None
        if end is not None:
            members[end].append(step)
        elif len(step.axes) == 1:
            waiting.setdefault(step.axes[0], []).append(step)
        else:
            latest |= dict.fromkeys(step.axes, len(members))
            members.append([*(single for axis in step.axes for single in waiting.pop(axis, ())), step])
    groups = [(tuple(sorted({axis for step in own for axis in step.axes})), tuple(own)) for own in members]
    alone = [((axis,), tuple(own)) for axis, own in waiting.items()]
    return [Block(axes, own, dict.fromkeys(axes, _ALL)) for axes, own in (*groups, *alone)]


def read_only_by(blocks: Sequence[Block], read: Mapping[int, Paulis]) -> tuple[list[Block], dict[int, Paulis]]:
    """Leave out what nothing depends on that is read at the end.

    Args:
        blocks: Blocks in order.
        read: Paulis of each axis that are read at the end.

    Returns:
        The blocks that are left, each with the Paulis to keep, and the Paulis of each axis that are read at the start.
    """
    read, left = dict(read), list[Block]()
    for block in reversed(blocks):
        if block.keeps_trace and all(read[axis] == _TRACE for axis in block.axes):
            continue
        left.append(replace(block, kept={axis: read[axis] for axis in block.axes}))
        read |= dict.fromkeys(block.axes, _ALL)
    return left[::-1], read


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

    def apply(self, tensors: Sequence[FloatArray], matrix: FloatArray) -> FloatArray:
        """Return the new tensor, (points, numbers), from the joined ones and the block's matrix at every point."""
        states = list(map(_moved, tensors, self.shapes, self.way.moves))
        result = self._join(states, matrix) if len(states) > 1 else self._multiply(states[0], matrix)
        return np.asarray(result.reshape(len(result), -1))

    def _multiply(self, state: FloatArray, matrix: FloatArray) -> FloatArray:
        """Return the product with one tensor; a transposed factor of a matrix product costs nothing."""
        before, place = self.way.before, self.way.place
        state = state.reshape(len(state), before, matrix.shape[-1], -1)
        if state.shape[-1] == 1 and before > 1:
            rows = state[..., 0]
            return matrix @ rows.swapaxes(1, 2) if place == "front" else rows @ matrix.swapaxes(1, 2)
        if place == "back":
            return state.swapaxes(2, 3) @ matrix[:, np.newaxis].swapaxes(2, 3)
        return matrix[:, np.newaxis] @ state

    def _join(self, states: Sequence[FloatArray], matrix: FloatArray) -> FloatArray:
        """Multiply by one tensor after the other, which is faster than by the product of all their numbers."""
        rows, left = matrix.shape[1:]
        result = matrix
        for state, columns in zip(states, self.columns, strict=True):
            left //= columns
            result = result.reshape(len(result), rows, columns, left, -1).transpose(0, 1, 3, 4, 2)
            result = result.reshape(len(result), -1, columns) @ state.reshape(len(state), columns, -1)
        return result


def _moved(tensor: FloatArray, shape: tuple[int, ...], order: tuple[int, ...]) -> FloatArray:
    """Return a tensor, (points, numbers), with its axes in another order; as it is for an empty one."""
    if not order:
        return tensor
    return tensor.reshape(-1, *shape).transpose(0, *(1 + axis for axis in order)).reshape(len(tensor), -1)


def _outer(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the products of all numbers of two tensors, (points, numbers) each."""
    both = first[:, :, np.newaxis] * second[:, np.newaxis, :]
    return both.reshape(len(both), -1)


@dataclass(frozen=True, eq=False)
class Schedule:
    """Blocks in the order of application to a state that is a product of tensors, which blocks join.

    Args:
        products: Products in order.
        left: Tensors at the end: name -> their axes in order.
    """

    products: tuple[_Product, ...]
    left: Mapping[int, tuple[int, ...]]

    @classmethod
    def of(cls, blocks: Sequence[Block], sizes: Mapping[int, int]) -> Schedule:
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
                for way in _ways(block, route.tensors, sizes, coming):
                    tensors = {name: axes for name, axes in route.tensors.items() if name not in way.joined}
                    tensors[way.joined[0]] = way.layout
                    cost, layouts = route.cost + way.cost, tuple(tensors.values())
                    if layouts not in best or cost < best[layouts].cost:
                        best[layouts] = _Route(tensors, cost, (block, way), route)
            routes = sorted(best.values(), key=lambda route: route.cost)[:_BEAM]
            sizes |= block.sizes
        return cls(tuple(routes[0].products(start)), routes[0].tensors)

    def run(
        self, tensors: Mapping[int, FloatArray], matrices: Sequence[FloatArray], points: slice = slice(None)
    ) -> dict[int, FloatArray]:
        """Return the tensors at the end, (points, numbers) each, from those at the start and the matrices of all blocks."""
        tensors = dict(tensors)
        for one, matrix in zip(self.products, matrices, strict=True):
            own = matrix if len(matrix) == 1 else matrix[points]
            tensors[one.way.joined[0]] = one.apply([tensors.pop(name) for name in one.way.joined], own)
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
    block: Block, tensors: Mapping[int, tuple[int, ...]], sizes: Mapping[int, int], coming: Sequence[set[int]]
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
                yield _Way(names, moves, axes, 1, "front", (*axes, *rest), 0.0)
        return
    order = tensors[joined[0]]
    numbers = prod(sizes[axis] for axis in order)
    for new in _layouts(order, own, coming):
        start = min(new.index(axis) for axis in own)
        before, axes, after = new[:start], new[start : start + len(own)], new[start + len(own) :]
        behind = prod(sizes[axis] for axis in after)
        slow = 1.0 if behind == 1 else next((factor for most, factor in _SLOW if behind < most), 1.0)
        cost = numbers * (rows * slow + _move_cost(order, new, sizes))
        moves = (_positions(order, new),)
        count = prod(sizes[axis] for axis in before)
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


def _layouts(order: tuple[int, ...], own: set[int], coming: Sequence[set[int]]) -> Iterator[tuple[int, ...]]:
    """Yield orders of axes in which those of a block follow each other, and which few moves or cheap ones lead to."""
    places = [order.index(axis) for axis in own]
    if max(places) - min(places) < len(own):
        yield order
    else:
        for place in (min(places), max(places) + 1):
            front = tuple(axis for axis in order[:place] if axis not in own)
            yield (*front, *(axis for axis in order if axis in own), *(axis for axis in order[place:] if axis not in own))
        yield _gathered(order, [own, *coming])


def _positions(order: tuple[int, ...], new: tuple[int, ...]) -> tuple[int, ...]:
    """Return the positions in one order of the axes in another; none if they are the same."""
    return () if new == order else tuple(order.index(axis) for axis in new)


def _move_cost(order: tuple[int, ...], new: tuple[int, ...], sizes: Mapping[int, int]) -> float:
    """Return the time to move one number, in multiplications: less where the last axes stay."""
    if order == new:
        return 0.0
    run = 1
    for old, axis in zip(reversed(order), reversed(new), strict=True):
        if old != axis:
            break
        run *= sizes[axis]
    return next(cost for least, cost in _MOVE if run >= least)


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


@dataclass(frozen=True, eq=False)
class NoisyProgram:
    """A noisy circuit that starts from |0...0>, compiled for all values of its angles.

    Args:
        schedule: Blocks that act on the states.
        start: Expectations of each axis that a block needs at the start, (1, numbers).
        measured: Measured axes, most significant first.
        observables: Expectations that are read, as functions of the tensors that are left one after another,
            (numbers, 2**measured); None if the tensors hold the expectations themselves.
    """

    schedule: Schedule
    start: Mapping[int, FloatArray]
    measured: tuple[int, ...]
    observables: FloatArray | None

    @classmethod
    def compile(cls, steps: Iterable[Step], axes: int, measured: Sequence[int]) -> NoisyProgram:
        """Compile gates and channels.

        Args:
            steps: Gates and channels in order, each of which keeps the trace.
            axes: Number of qubits.
            measured: Measured axes, most significant first.

        Example:
            >>> flip = np.diag([1.0, 1.0, -1.0, -1.0])
            >>> NoisyProgram.compile([Step((0,), flip)], 1, [0]).populations([])
            array([[0., 1.]])
        """
        read = {axis: _DIAGONAL if axis in measured else _TRACE for axis in range(axes)}
        blocks, at_start = read_only_by(gather(steps), read)
        schedule = Schedule.of(blocks, _sizes(at_start))
        ending = _cheapest_ending(schedule, len(measured))
        if not ending:
            return cls(schedule, _start(at_start), tuple(measured), None)
        last = set(map(id, ending))
        _, at_cut = read_only_by(ending, read)
        blocks, at_start = read_only_by([one.block for one in schedule.products if id(one.block) not in last], at_cut)
        schedule = Schedule.of(blocks, _sizes(at_start))
        order = [axis for own in schedule.left.values() for axis in own]
        return cls(schedule, _start(at_start), tuple(measured), _observables(ending, read, tuple(measured), order))

    def populations(self, gates: Sequence[FloatArray], precision: Precision = "float64") -> FloatArray:
        """Return the probabilities of the measured bits at every point, (points, 2**measured), with sum 1 up to rounding.

        Args:
            gates: Matrices of the gates with angles in the Pauli basis, (points, 4**k, 4**k) or (1, 4**k, 4**k) each.
            precision: Precision of the states; for float32 the error is checked at the first point.

        Raises:
            ArithmeticError: The error of single precision is larger than 1e-6.
        """
        result = self._populations(gates, precision)
        if precision == "float32":
            error = float(np.abs(self._populations([gate[:1] for gate in gates], "float64")[0] - result[0]).max())
            if error > _FLOAT32_ERROR:
                raise ArithmeticError(f"single precision changes probabilities by {error:.1e}; use precision='float64'")
        return result

    def _populations(self, gates: Sequence[FloatArray], precision: Precision) -> FloatArray:
        dtype, _ = dtypes(precision)
        points = max(map(len, gates), default=1)
        blocks = [one.block for one in self.schedule.products]
        numbers = sum(prod(block.sizes.values()) * 4 ** len(block.axes) for block in blocks if not block.is_constant)
        built = max(1, _MATRIX_NUMBERS // max(1, numbers))
        largest = max([1, *(prod(one.shape) for one in self.schedule.products)])
        at_once = max(1, _STATE_BYTES // (np.dtype(dtype).itemsize * largest))
        rows = []
        keep_freed_memory()
        with one_blas_thread():
            fixed = [block.matrix((), dtype) if block.is_constant else None for block in blocks]
            start = {axis: tensor.astype(dtype) for axis, tensor in self.start.items()}
            for first in range(0, points, built):
                own = [gate if len(gate) == 1 else gate[first : first + built] for gate in gates]
                pairs = zip(blocks, fixed, strict=True)
                matrices = [block.matrix(own, dtype) if matrix is None else matrix for block, matrix in pairs]
                last = min(built, points - first)
                for some in range(0, last, at_once):
                    tensors = self.schedule.run(start, matrices, slice(some, min(some + at_once, last)))
                    read = self._read(tensors)
                    rows.append(np.broadcast_to(read, (min(at_once, last - some), *read.shape[1:])))
        return _to_probabilities(np.concatenate(rows).astype(np.float64))

    def _read(self, tensors: Mapping[int, FloatArray]) -> FloatArray:
        """Return the expectations of all strings of I and Z on the measured axes, (points, 2**measured)."""
        if self.observables is None:
            state = reduce(_outer, tensors.values(), np.ones((1, 1)))
            order = [axis for name in tensors for axis in self.schedule.left[name] if axis in self.measured]
            positions = [1 + order.index(axis) for axis in self.measured]
            return np.asarray(state.reshape(-1, *(2,) * len(order)).transpose(0, *positions).reshape(len(state), -1))
        values = self.observables.astype(next(iter(tensors.values())).dtype, copy=False)[np.newaxis]
        for tensor in tensors.values():
            values = tensor[:, np.newaxis] @ values.reshape(len(values), tensor.shape[1], -1)
        return values.reshape(len(values), -1)


def populations(circuit: cirq.AbstractCircuit, register: Sequence[cirq.Qid]) -> FloatArray:
    """Return the probabilities of the basis states after a circuit of gates and channels that starts from |0...0>.

    Args:
        circuit: Circuit without symbols and measurements.
        register: Its qubits, most significant first.

    Returns:
        Probabilities, (2**n,), whose sum is 1 up to rounding.

    Example:
        >>> qubit = cirq.LineQubit(0)
        >>> populations(cirq.Circuit(cirq.X(qubit), cirq.bit_flip(0.25)(qubit)), [qubit]).round(6)
        array([0.25, 0.75])
    """
    steps = steps_of(circuit.all_operations(), register)
    return np.asarray(NoisyProgram.compile(steps, len(register), range(len(register))).populations([])[0])


def steps_of(operations: Iterable[cirq.Operation], register: Sequence[cirq.Qid]) -> Iterator[Step]:
    """Yield operations without symbols as steps; the matrix of an object that occurs again is computed once."""
    axis = {qubit: i for i, qubit in enumerate(register)}
    known: dict[int, tuple[object, FloatArray]] = {}  # by gate object, because noise models insert the same objects many times
    for op in operations:
        channel = op if op.gate is None else op.gate
        if id(channel) not in known:
            known[id(channel)] = channel, transfer_matrix(np.array(cirq.kraus(op)))
        yield Step(tuple(axis[q] for q in op.qubits), known[id(channel)][1])


def _sizes(read: Mapping[int, Paulis]) -> dict[int, int]:
    """Return the numbers of expectations of the axes that anything depends on."""
    return {axis: len(paulis) for axis, paulis in read.items() if paulis != _TRACE}


def _start(read: Mapping[int, Paulis]) -> dict[int, FloatArray]:
    """Return the expectations of |0> of the axes that anything depends on."""
    return {axis: _ZERO[list(read[axis])][np.newaxis] for axis in _sizes(read)}


def _cheapest_ending(schedule: Schedule, measured: int) -> list[Block]:
    """Return the constant blocks at the end, in order, that are cheaper on the observables than on the states."""
    observables = 2**measured
    saved = once = best_saving = 0
    ending: list[Block] = []
    best: list[Block] = []
    blocked: set[int] = set()
    axes: set[int] = set()
    for one in reversed(schedule.products):
        if not one.block.is_constant or not blocked.isdisjoint(one.block.axes):
            blocked |= set(one.block.axes)
            continue
        ending.insert(0, one.block)
        axes |= set(one.block.axes)
        numbers = observables * 4 ** max(len(axes), measured)
        if numbers > _OBSERVABLE_NUMBERS:
            break
        saved, once = saved + one.cost, once + 16 * numbers
        saving = saved - _READ * numbers - once // _POINTS
        if saving > best_saving:
            best, best_saving = list(ending), saving
    return best


def _observables(
    blocks: Sequence[Block], read: Mapping[int, Paulis], measured: tuple[int, ...], order: Sequence[int]
) -> FloatArray:
    """Return the expectations after blocks as functions of those before them, (numbers, 2**measured), axes in order."""
    backwards = [replace(block, transposed=True) for block in reversed(blocks)]
    axes = {axis for block in blocks for axis in block.axes}.union(measured)
    strings = np.array(list(product((0, 1), repeat=len(measured)))).T
    tensors = {axis: np.ones((1, 1)) for axis in axes}
    tensors |= {axis: np.eye(2)[string] for axis, string in zip(measured, strings, strict=True)}
    schedule = Schedule.of(backwards, {axis: len(read[axis]) for axis in axes})
    with one_blas_thread():
        tensors = schedule.run(tensors, [one.block.matrix((), np.float64) for one in schedule.products])
    joined = reduce(_outer, tensors.values())
    own = [axis for name in tensors for axis in schedule.left[name]]
    touched = {axis for block in blocks for axis in block.axes}
    shape = [4 if axis in touched else len(read[axis]) for axis in own]
    positions = [1 + own.index(axis) for axis in order if axis in own]
    return np.ascontiguousarray(joined.reshape(-1, *shape).transpose(*positions, 0).reshape(-1, len(joined)))


def _to_probabilities(expectations: FloatArray) -> FloatArray:
    """Return the probabilities of bits from the expectations of strings of I and Z, (points, 2**bits) each."""
    points, numbers = expectations.shape
    behind = numbers
    while behind > 1:
        behind //= 2
        pairs = expectations.reshape(points, -1, 2, behind)
        identity, parity = pairs[:, :, 0], pairs[:, :, 1]
        expectations = np.stack([identity + parity, identity - parity], axis=2) / 2
    return expectations.reshape(points, numbers)
