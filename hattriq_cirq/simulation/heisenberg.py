"""Observables evolved backwards through gates and channels, as real numbers of all Pauli strings (the Heisenberg picture)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.simulation.blocks import Step, gather

_ZERO = np.array([1.0, 0.0, 0.0, 1.0])  # Pauli expectations of |0>
_PAULIS = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])


#: Coefficient of a Pauli string, and the index of its Pauli (1 for X, 2 for Y, 3 for Z) on the axes that it acts on.
Term = tuple[float, Mapping[int, int]]


def evolved_matrix(steps: Iterable[Step], terms: Iterable[Term], axes: int, kept: int) -> Array:
    """Return the matrix E'(O) of an observable O after gates and channels E, (2**kept, 2**kept).

    Args:
        steps: Gates and channels in order, on axes 0 .. axes - 1.
        terms: Pauli strings of O.
        axes: Number of all axes; the work is 4**axes numbers for each step.
        kept: Number of axes, the first ones, on which the matrix acts; the others start in |0>.

    Example:
        >>> evolved_matrix([Step((0,), np.diag([1.0, 1.0, -1.0, -1.0]))], [(1.0, {0: 3})], axes=1, kept=1).real  # Z after X
        array([[-1.,  0.],
               [ 0.,  1.]])
    """
    observable: FloatArray = np.zeros((4,) * axes)
    for coefficient, pauli in terms:
        observable[tuple(pauli.get(axis, 0) for axis in range(axes))] += coefficient
    for block in reversed(gather(steps)):
        size = len(block.axes)
        matrix = block.constant_matrix.reshape((4,) * (2 * size))
        moved = np.tensordot(observable, matrix, (block.axes, range(size)))
        observable = np.moveaxis(moved, range(axes - size, axes), block.axes)
    for _ in range(axes - kept):
        observable = observable @ _ZERO
    return _matrix(observable)


def _matrix(numbers: FloatArray) -> Array:
    """Return the sum of Pauli strings with given numbers, (4,) * n, as a matrix, (2**n, 2**n)."""
    n = numbers.ndim
    matrix: Array = numbers.astype(complex)
    for _ in range(n):  # each axis of four becomes two at the end, for a row and a column
        matrix = np.tensordot(matrix, _PAULIS, (0, 0))
    return matrix.transpose([*range(0, 2 * n, 2), *range(1, 2 * n, 2)]).reshape(2**n, 2**n)
