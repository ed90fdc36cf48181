"""Integrated gradients of the normalized form and of heads from measured numbers: a few scalars and two maps per observable.

On the line p(a) = b + a d every q_j(a) = <p|M_j|p> is a parabola, known from <x|M_j|x>, <b|M_j|b> and Re<b|M_j|x>; the
integrated gradient is then a combination of d o (M_j x) and d o (M_j b), o elementwise, both measured. Nothing else is needed,
and steps of the path cost no circuit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hattriq_cirq.attribution.objective import Objective
from hattriq_cirq.attribution.path_integral import PathEnd, StraightPath
from hattriq_cirq.attribution.quadrature import Quadrature
from hattriq_cirq.foundation.arrays import Array, FloatArray

_STEP = 1e-4  # of finite differences, relative to the size of the numbers and to the width of the head


@dataclass(frozen=True, eq=False)
class MeasuredPath:
    """The path from a baseline b to an input x, both known, for M_j that are measured.

    Its numbers are, for each observable in turn, Re(conj(d) o (M_j x)) and Re(conj(d) o (M_j b)), (features,) each, and
    <x|M_j|x>, <b|M_j|b>, Re<b|M_j|x>.

    Args:
        x: Input, (features,).
        b: Baseline, (features,).
        objective: Form and head.
        rule: Quadrature rule; None for the exact integral.
        tolerance: Tolerance of the integral.

    Raises:
        ValueError: The path of a normalized form passes through the origin.

    Example:
        >>> from hattriq_cirq.attribution.objective import Head
        >>> x, b = np.array([0.6, 0.8]), np.array([0.0, 1.0])
        >>> path = MeasuredPath(x, b, Objective("normalized", Head()))
        >>> z = np.array([1.0, -1.0])  # M is Z
        >>> numbers = np.concatenate([(x - b) * z * x, (x - b) * z * b, [x @ (z * x), b @ (z * b), b @ (z * x)]])
        >>> values, jacobian = path.evaluate(numbers)
        >>> values.shape, jacobian.shape, round(float(values[:2].sum()), 6), values[2:].round(2)
        ((4,), (4, 7), 0.72, array([-0.28, -1.  ]))
    """

    x: Array
    b: Array
    objective: Objective
    rule: Quadrature | None = None
    tolerance: float = 1e-10

    def __post_init__(self) -> None:
        if self.objective.form == "normalized":
            self._path.origin([0])

    @cached_property
    def _path(self) -> StraightPath:
        """Return the path without observables."""
        rows = self.b[np.newaxis], self.x[np.newaxis]
        return StraightPath.between(*(PathEnd(row, (row,), is_zero=not row.any()) for row in rows))

    def evaluate(self, numbers: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the values of all features, then the scores at x and at b, and their derivatives by the numbers.

        Args:
            numbers: Measured numbers, (observables * (2 features + 3),).

        Returns:
            Values, (features + 2,), and derivatives, (features + 2, numbers).
        """
        path, n = self._path, len(self.x)
        late = float(path.centre[0])
        early, step = 1 - late, path.step[0]
        own = numbers.reshape(-1, 2 * n + 3)
        maps, scalars = own[:, : 2 * n].reshape(-1, 2, n), own[:, 2 * n :]
        # coefficients of the parabola by <x|M|x>, <b|M|b>, Re<b|M|x>
        by_scalar = np.array([[late**2, early**2, 2 * late * early], [2 * late, -2 * early, 2 * (early - late)], [1, 1, -2]])
        coefficients = np.concatenate([path.coefficients[0], scalars @ by_scalar.T])[np.newaxis]
        changes = self._changes(coefficients)
        every = np.concatenate([coefficients, *(coefficients + sign * change for change in changes for sign in (1, -1))])
        weights = self.objective.path_weights(every, np.full(len(every), late), self.rule, self.tolerance)
        by_norm = np.stack([(step.conj() * rows[0]).real for rows in (path.nearest[0], path.step)])
        combined = np.stack([late * maps[:, 0] + early * maps[:, 1], maps[:, 0] - maps[:, 1]], axis=1)
        basis = np.concatenate([by_norm[np.newaxis], combined])  # (1 + observables, 2, features)
        found = np.einsum("sji,jik->sk", weights, basis)
        jacobian = np.zeros((n + 2, *own.shape))
        w = weights[0, 1:]
        index = np.arange(n)
        jacobian[index, :, index] = w[:, 0] * late + w[:, 1]
        jacobian[index, :, n + index] = w[:, 0] * early - w[:, 1]
        sizes = np.array([change[0, 1 + i // 3, i % 3] for i, change in enumerate(changes)])
        slopes = (found[1::2] - found[2::2]) / (2 * sizes[:, np.newaxis])  # (3 observables, features)
        jacobian[:n, :, 2 * n :] = np.einsum("jik,ic->kjc", slopes.reshape(-1, 3, n), by_scalar)
        scores = np.zeros(2)
        for i, row in enumerate((self.x, self.b)):
            q = np.concatenate([[np.vdot(row, row).real], scalars[:, i]])
            scores[i] = self.objective.value(q)
            jacobian[n + i, :, 2 * n + i] = self.objective.gradient(q)[1:]
        return np.concatenate([found[0], scores]), jacobian.reshape(n + 2, -1)

    def _changes(self, coefficients: FloatArray) -> Sequence[FloatArray]:
        """Return a small change of every coefficient of an observable, in the shape of the coefficients."""
        size = float(np.abs(coefficients).max()) or 1.0
        steepness = abs(self.objective.head.scale) * self.objective.head.gain(len(coefficients[0]) - 1)
        argument = steepness * (size if self.objective.form == "quadratic" else 1.0)
        shape = coefficients.shape[1:]
        places = [(j, i) for j in range(1, shape[0]) for i in range(shape[1])]
        return [_STEP * size / max(1.0, argument) * _unit(shape, place)[np.newaxis] for place in places]


def _unit(shape: tuple[int, ...], place: tuple[int, int]) -> FloatArray:
    """Return zeros with a one."""
    found = np.zeros(shape)
    found[place] = 1.0
    return found
