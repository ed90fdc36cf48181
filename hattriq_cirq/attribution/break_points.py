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
    anchor, and that of an anchor from the centre, has its own precision, so that a step of a head is resolved even if it is
    narrower than the spacing of the numbers around its position.

    Args:
        row: Row of the batch, (panels,).
        anchor: Offset of the anchor from the centre, (panels,).
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
        first, last = -centre, 1 - centre
        anchors, roots = [first, np.zeros(rows)], np.full((rows, functions, 2), np.nan)
        if zeros:
            for i in range(1, functions):
                for k, root in enumerate(_roots(*np.moveaxis(coefficients[:, i], -1, 0))):
                    on_path = _at_ends(root, first, last)
                    roots[:, i, k] = np.where((on_path >= first) & (on_path <= last), on_path, np.nan)
            anchors += [*np.moveaxis(roots[:, 1:].reshape(rows, -1), -1, 0), last]
        anchor = np.sort(np.stack(anchors, axis=1), axis=1)  # nan comes last
        half = (anchor[:, 1:] - anchor[:, :-1]) / 2  # exact, whereas the midpoint of two neighbouring numbers is one of them
        high = np.concatenate([half, np.full((rows, 1), np.nan)], axis=1)
        high = np.where(np.isnan(high), last[:, np.newaxis] - anchor, high)
        low = np.concatenate([first[:, np.newaxis] - anchor[:, :1], -half], axis=1)
        row, column = np.nonzero(high > low)
        kept = row, column
        return cls(row, anchor[kept], low[kept], high[kept], _shifted(coefficients[row], anchor[kept], roots[row]))

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


def _shifted(coefficients: FloatArray, offset: FloatArray, roots: FloatArray) -> FloatArray:
    """Return quadratic functions around an offset; those with a zero are computed from their distance to the nearest one.

    In this way a function vanishes at one and the same position in all panels, and its value near that is exact to rounding
    relative to itself, however close the zeros of other functions are.

    Args:
        coefficients: Coefficients around the centre, (panels, functions, 3).
        offset: Offset from the centre, (panels,).
        roots: Zeros on the path as offsets from the centre, (panels, functions, 2), nan where there is none.

    Returns:
        Coefficients around the offset, (panels, functions, 3).
    """
    value, slope, curvature = np.moveaxis(coefficients, -1, 0)
    at = offset[:, np.newaxis]
    distance = at[..., np.newaxis] - roots
    nearest = np.argmin(np.where(np.isnan(distance), np.inf, np.abs(distance)), axis=-1)[..., np.newaxis]
    root, past = (np.take_along_axis(each, nearest, axis=-1)[..., 0] for each in (roots, distance))
    from_root = past * (slope + 2 * root * curvature + past * curvature)
    local = np.where(np.isnan(root), value + at * (slope + at * curvature), from_root)
    return np.stack([local, slope + 2 * at * curvature, curvature], axis=-1)


def _evaluate(coefficients: FloatArray, offset: FloatArray) -> FloatArray:
    """Return the values of quadratic functions, (rows,), from their coefficients, (rows, 3)."""
    value, slope, curvature = np.moveaxis(coefficients, -1, 0)
    return np.asarray(value + offset * (slope + offset * curvature))


def _at_ends(root: FloatArray, first: FloatArray, last: FloatArray) -> FloatArray:
    """Return the offsets of roots, those that only rounding moved off the path moved back to its ends."""
    beyond = 1 + 4 * np.finfo(float).eps
    root = np.where((root < first) & (root >= first * beyond), first, root)
    return np.where((root > last) & (root <= last * beyond), last, root)


def _roots(value: FloatArray, slope: FloatArray, curvature: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return both roots u of value + slope u + curvature u^2, without cancellation; nan or infinity where there is none."""
    with np.errstate(all="ignore"):
        unit = np.maximum(np.maximum(np.abs(value), np.abs(slope)), np.abs(curvature))
        c, b, a = value / unit, slope / unit, curvature / unit
        discriminant = b**2 - 4 * a * c
        touching = np.abs(discriminant) <= 8 * np.finfo(float).eps * (b**2 + np.abs(4 * a * c))
        far = -(b + np.copysign(np.sqrt(np.where(touching, 0.0, discriminant)), b)) / 2
        return far / a, c / far
