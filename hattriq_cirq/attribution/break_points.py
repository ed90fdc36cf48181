"""Break points of the path integral of a head: where its argument changes sharply, and where the path is near the origin.

On a straight path every expectation is a quadratic function of the position, so that the points where the argument of a head
passes a given level are known roots. A head is smooth between the levels used here, however steep it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hattriq_cirq.foundation.arrays import FloatArray, IntArray

#: Levels of a head's argument between which the head is smooth; beyond the last one it is constant to double precision.
_LEVELS = np.array([0.0, *(sign * 2.0**k for k in range(7) for sign in (1, -1))])
_NORM_RATIO = 4.0  # ratio of the squared norms of neighbouring break points


@dataclass(frozen=True)
class Panels:
    """Parts of the paths of a batch, each with the quadratic functions expanded around its own anchor.

    The anchors are both ends of the path, its point nearest to the origin, and all zeros of the arguments. An offset from an
    anchor has its own precision, so that a step of a head is resolved even if it is narrower than the spacing of the numbers
    around its position.

    Args:
        row: Row of the batch, (panels,).
        anchor: Position of the anchor on the path, (panels,).
        low: Lowest offset from the anchor, (panels,).
        high: Highest offset, (panels,).
        coefficients: Value, slope and curvature of the squared norm and of every argument at the anchor,
            (panels, 1 + arguments, 3).
    """

    row: IntArray
    anchor: FloatArray
    low: FloatArray
    high: FloatArray
    coefficients: FloatArray

    @classmethod
    def of(cls, coefficients: FloatArray, centre: FloatArray, zeros: bool) -> Panels:
        """Divide every path at the midpoints between its anchors.

        Args:
            coefficients: Coefficients of the squared norm and the arguments around the centre, (rows, 1 + arguments, 3).
            centre: Position of the centre on the path, (rows,).
            zeros: Use the zeros of the arguments and the end of the path as anchors.
        """
        rows, functions, _ = coefficients.shape
        nobody = np.zeros(rows, dtype=np.int64)
        anchors, owners = [np.zeros(rows), centre], [nobody, nobody]
        if zeros:
            for i in range(1, functions):
                for root in _roots(*np.moveaxis(coefficients[:, i], -1, 0)):
                    anchors.append(_at_ends(centre + root, centre))
                    owners.append(np.full(rows, i))
            anchors.append(np.ones(rows))  # after the zeros: of equal anchors the first has the panel on the left
            owners.append(nobody)
        anchor, owner = np.stack(anchors, axis=1), np.stack(owners, axis=1)
        anchor[~((anchor >= 0) & (anchor <= 1))] = np.nan
        order = np.argsort(anchor, axis=1, kind="stable")  # nan comes last
        anchor, owner = np.take_along_axis(anchor, order, axis=1), np.take_along_axis(owner, order, axis=1)
        middle = (anchor[:, 1:] + anchor[:, :-1]) / 2
        high = np.concatenate([middle, np.full((rows, 1), np.nan)], axis=1) - anchor
        high = np.where(np.isnan(high), 1 - anchor, high)
        low = np.concatenate([-anchor[:, :1], middle - anchor[:, 1:]], axis=1)
        row, column = np.nonzero(high > low)
        kept = row, column
        offset = (anchor[kept] - centre[row])[:, np.newaxis]
        value, slope, curvature = np.moveaxis(coefficients[row], -1, 0)
        local = np.stack([value + offset * (slope + offset * curvature), slope + 2 * offset * curvature, curvature], axis=-1)
        own_zero = (owner[kept][:, np.newaxis] == np.arange(functions)) & (np.arange(functions) > 0)
        local[own_zero, 0] = 0.0
        return cls(row, anchor[kept], low[kept], high[kept], local)

    def pieces(self, scale: float | None, by_norm: bool) -> tuple[IntArray, FloatArray, FloatArray]:
        """Return panel, lowest and highest offset of every piece between neighbouring break points.

        Args:
            scale: Factor of the arguments inside the head, if that has steps.
            by_norm: Divide the arguments by the squared norm, and add break points where that changes by a factor.
        """
        norm = self.coefficients[:, 0]
        breaks = [self.low[:, np.newaxis], self.high[:, np.newaxis]]
        constant = np.array([1.0, 0.0, 0.0])
        unit = norm if by_norm else np.broadcast_to(constant, norm.shape)
        if scale is not None:
            levels = (_LEVELS / scale)[:, np.newaxis]
            for i in range(1, self.coefficients.shape[1]):
                shifted = self.coefficients[:, np.newaxis, i] - levels * unit[:, np.newaxis]
                breaks += _roots(*np.moveaxis(shifted, -1, 0))
        if by_norm:
            ends = np.stack([norm[:, 0], *(_evaluate(norm, end) for end in (self.low, self.high))])
            least = np.maximum(ends.min(axis=0), np.finfo(float).tiny)
            count = int(np.ceil(np.log(np.max(ends.max(axis=0) / least, initial=1.0)) / np.log(_NORM_RATIO)))
            for k in range(1, count):
                shifted = norm - (least * _NORM_RATIO**k)[:, np.newaxis] * constant
                breaks += [root[:, np.newaxis] for root in _roots(*np.moveaxis(shifted, -1, 0))]
        points = np.concatenate(breaks, axis=1)
        low, high = self.low[:, np.newaxis], self.high[:, np.newaxis]
        points = np.sort(np.where((points > low) & (points < high), points, high), axis=1)
        points = np.concatenate([low, points], axis=1)
        panel, column = np.nonzero(points[:, 1:] > points[:, :-1])
        return panel, points[panel, column], points[panel, column + 1]


def _evaluate(coefficients: FloatArray, offset: FloatArray) -> FloatArray:
    """Return the values of quadratic functions, (rows,), from their coefficients, (rows, 3)."""
    value, slope, curvature = np.moveaxis(coefficients, -1, 0)
    return np.asarray(value + offset * (slope + offset * curvature))


def _at_ends(position: FloatArray, centre: FloatArray) -> FloatArray:
    """Return the positions of roots, those that only rounding moved off the path moved back to its ends."""
    rounding = 4 * np.finfo(float).eps
    position = np.where((position < 0) & (position >= -rounding * centre), 0.0, position)
    return np.where((position > 1) & (position <= 1 + rounding * (1 - centre)), 1.0, position)


def _roots(value: FloatArray, slope: FloatArray, curvature: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return both roots u of value + slope u + curvature u^2, without cancellation; nan or infinity where there is none."""
    with np.errstate(all="ignore"):
        unit = np.maximum(np.maximum(np.abs(value), np.abs(slope)), np.abs(curvature))
        c, b, a = value / unit, slope / unit, curvature / unit
        discriminant = b**2 - 4 * a * c
        touching = np.abs(discriminant) <= 8 * np.finfo(float).eps * (b**2 + np.abs(4 * a * c))
        far = -(b + np.copysign(np.sqrt(np.where(touching, 0.0, discriminant)), b)) / 2
        return far / a, c / far
