"""Gates and channels as real matrices in the Pauli basis, multiplied into blocks on a few qubits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial, reduce
from itertools import product
from typing import Any

import numpy as np

from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.devices import Device, namespace

#: Indices of the Paulis I, X, Y, Z of an axis whose expectations are still to be read.
Paulis = tuple[int, ...]
#: Factor of a block's matrix: a constant, or gates beside each other, each with its positions and its index or a constant.
Layer = FloatArray | tuple[tuple[tuple[int, ...], int | FloatArray], ...]
ALL: Paulis = (0, 1, 2, 3)
TRACE: Paulis = (0,)


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
    def levels(self) -> list[int]:
        """Level of each step, which is that of the first factor that it can be in: even for constants, odd for angles."""
        reached, levels = dict.fromkeys(self.axes, 0), []
        for step in self.steps:
            level = max(reached[axis] for axis in step.axes)
            levels.append(level + level % 2 + isinstance(step.factor, int))
            reached |= dict.fromkeys(step.axes, levels[-1])
        return levels

    @cached_property
    def layers(self) -> list[Layer]:
        """Factors whose product, the first one on the right, is the matrix.

        A factor is a constant matrix, or gates with angles beside each other, each with its positions among the axes and its
        index, or the identity in place of the index.
        """
        constant: dict[int, FloatArray] = {}
        angled: dict[int, dict[tuple[int, ...], int | FloatArray]] = {}
        for step, level in zip(self.steps, self.levels, strict=True):
            where = tuple(self.axes.index(axis) for axis in step.axes)
            if isinstance(step.factor, int):
                angled.setdefault(level, {})[where] = step.factor
            else:
                own = _on_axes(step.factor, where, len(self.axes))
                constant[level] = own @ constant[level] if level in constant else own
        rows = _indices([self.kept[axis] for axis in self.axes])
        if len(rows) < 4 ** len(self.axes):
            last = max((*constant, *angled))
            last += last % 2
            constant[last] = constant.get(last, np.eye(4 ** len(self.axes)))[rows]
        for gates in angled.values():
            gates |= {(i,): np.eye(4) for i in set(range(len(self.axes))).difference(*gates)}
        layers: dict[int, Layer] = {**constant, **{level: tuple(gates.items()) for level, gates in angled.items()}}
        return [layers[level] for level in sorted(layers)]

    def layers_on(self, device: Device, dtype: type[np.floating]) -> list[Any]:
        """Return the factors with their constants on a device, (1, rows, columns) each."""
        # with NumPy three gates are multiplied in the order of the steps, because results repeat to the last bit
        ordered = sorted if len(self.axes) < 3 or not device.is_numpy else list

        def moved(matrix: FloatArray) -> Any:
            return device.asarray(matrix[np.newaxis], dtype)

        return [
            moved(layer)
            if isinstance(layer, np.ndarray)
            else [(where, gate if isinstance(gate, int) else moved(gate)) for where, gate in ordered(layer)]
            for layer in self.layers
        ]

    def filled(self, layers: Sequence[Any], gates: Sequence[Any]) -> Any:
        """Return the matrix at every point, (points, numbers after, numbers before), or with one point if it is constant.

        Args:
            layers: Factors of `layers_on`.
            gates: Matrices of the gates with angles, (points, 4**k, 4**k) or (1, 4**k, 4**k) each, on the same device.
        """
        factors = (
            _beside([(where, gates[gate] if isinstance(gate, int) else gate) for where, gate in layer])
            if isinstance(layer, list)
            else layer
            for layer in layers
        )
        matrix = reduce(lambda earlier, later: later @ earlier, factors)
        return namespace(matrix).matrix_transpose(matrix) if self.transposed else matrix

    @property
    def constant_matrix(self) -> FloatArray:
        """Matrix of a block without angles, (numbers after, numbers before)."""
        return np.asarray(self.filled(self.layers_on(Device(), np.float64), ())[0])


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


def _beside(gates: Sequence[tuple[tuple[int, ...], Any]]) -> Any:
    """Return gates that together act once on each axis, (points, 4**k, 4**k) each, as one matrix, (points, 4**n, 4**n)."""
    xp = namespace(gates[0][1])
    matrix = reduce(partial(_kronecker, xp), (gate for _, gate in gates))
    order = [i for where, _ in gates for i in where]
    axes = len(order)
    if order != sorted(order):
        places = [order.index(i) for i in range(axes)]
        apart = xp.reshape(matrix, (-1, *(4,) * (2 * axes)))
        apart = xp.permute_dims(apart, (0, *(1 + i for i in places), *(1 + axes + i for i in places)))
        matrix = xp.reshape(apart, (-1, 4**axes, 4**axes))
    return matrix


def _kronecker(xp: Any, first: Any, second: Any) -> Any:
    """Return the Kronecker products of matrices, (points, m, m) and (points, n, n), as (points, m * n, m * n)."""
    both = first[:, :, None, :, None] * second[:, None, :, None, :]
    size = first.shape[1] * second.shape[1]
    return xp.reshape(both, (-1, size, size))


def gather(steps: Iterable[Step], widest: int = 0) -> list[Block]:
    """Multiply steps into as few blocks as their order allows.

    A step on one axis joins the latest block on this axis, or the first that follows; a step on several axes joins the latest
    block on any of them, if that acts on all of them or the two together act on few enough axes.

    Args:
        steps: Steps in order.
        widest: Largest number of axes of a block, unless a step has more.

    Example:
        >>> flip = np.diag([1.0, 1.0, -1.0, -1.0])
        >>> steps = [Step((0,), flip), Step((0, 1), np.eye(16)), Step((1,), flip), Step((1, 2), np.eye(16))]
        >>> [block.axes for block in gather(steps)], [block.axes for block in gather(steps, widest=3)]
        ([(0, 1), (1, 2)], [(0, 1, 2)])
    """
    members: list[list[Step]] = []
    axes: list[set[int]] = []
    latest: dict[int, int] = {}
    waiting: dict[int, list[Step]] = {}
    for step in steps:
        end = max((latest[axis] for axis in step.axes if axis in latest), default=None)
        if end is not None and len(axes[end].union(step.axes)) <= max(widest, len(axes[end])):
            members[end] += [*(single for axis in step.axes for single in waiting.pop(axis, ())), step]
            axes[end].update(step.axes)
            latest |= dict.fromkeys(step.axes, end)
        elif len(step.axes) == 1:
            waiting.setdefault(step.axes[0], []).append(step)
        else:
            latest |= dict.fromkeys(step.axes, len(members))
            members.append([*(single for axis in step.axes for single in waiting.pop(axis, ())), step])
            axes.append(set(step.axes))
    groups = [(tuple(sorted(own)), tuple(its)) for own, its in zip(axes, members, strict=True)]
    alone = [((axis,), tuple(its)) for axis, its in waiting.items()]
    return [Block(own, its, dict.fromkeys(own, ALL)) for own, its in (*groups, *alone)]


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
        if block.keeps_trace and all(read[axis] == TRACE for axis in block.axes):
            continue
        left.append(replace(block, kept={axis: read[axis] for axis in block.axes}))
        read |= dict.fromkeys(block.axes, ALL)
    return left[::-1], read
