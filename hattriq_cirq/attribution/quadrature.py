"""Quadrature rules on [0, 1], and integration to a tolerance."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy.special import roots_legendre

from hattriq_cirq.foundation.arrays import FloatArray, IntArray, freeze
from hattriq_cirq.foundation.checks import check_type
from hattriq_cirq.foundation.frozen import Frozen

_EXACT = "exact"
_STEPS_MAX = 1_000_000
_GAUSS_MAX = 10_000  # takes seconds, in proportion to the square
_LEGGAUSS_UP_TO = 1000  # nodes; NumPy's function takes a time in proportion to their cube, SciPy's to their square
NAMES = ("riemann", "midpoint", "trapezoid", "gauss-legendre")
_BISECTIONS = 60  # largest number of times that a piece is bisected
_PIECES_MAX = 2_000_000  # largest number of pieces that are bisected together
_CHUNK = 4096  # number of pieces that are evaluated together


@dataclass(frozen=True, eq=False)
class Quadrature(Frozen):
    """A rule by which the integral of f over [0, 1] is about sum_i weights[i] f(nodes[i]).

    Args:
        nodes: Nodes in [0, 1], (nodes,).
        weights: Positive weights with sum 1, (nodes,).

    Raises:
        ValueError: The shapes differ, a node is outside [0, 1], or the weights are not positive with sum 1.
    """

    nodes: FloatArray
    weights: FloatArray

    def __post_init__(self) -> None:
        freeze(self, nodes=self.nodes, weights=self.weights)
        nodes, weights = self.nodes, self.weights
        if nodes.ndim != 1 or nodes.shape != weights.shape or not len(nodes):
            raise ValueError(f"{nodes.shape=} and {weights.shape=} must be one equal axis of nodes")
        if not np.all((nodes >= 0) & (nodes <= 1)):
            raise ValueError(f"nodes must lie in [0, 1], got {nodes.min()=}, {nodes.max()=}")
        if not np.all(weights > 0) or abs(weights.sum() - 1) > 1e-12:
            raise ValueError(f"weights must be positive and the weights sum to 1, got {weights.min()=}, {weights.sum()=}")
        super().__post_init__()

    @cached_property
    def mean_node(self) -> float:
        """Weighted mean of the nodes, at which a function that is affine has its integral."""
        return float(self.weights @ self.nodes)


def parse_rule(rule: str) -> Quadrature | None:
    """Return the quadrature rule of a name.

    `riemann:K` is the right-hand sum at k/K, k = 1 .. K, usual for integrated gradients; `midpoint:K` and `trapezoid:K` have K
    intervals; `gauss-legendre:K` has K nodes and is exact for polynomials of degree 2K - 1.

    Args:
        rule: `exact`, or one of the names with a number of steps K >= 1.

    Returns:
        The rule, or None for `exact`.

    Raises:
        ValueError: The name is unknown, or K is missing or below 1.

    Example:
        >>> parse_rule("midpoint:4").nodes
        array([0.125, 0.375, 0.625, 0.875])
    """
    check_type(rule, "rule", str, "'exact', or the name of a rule such as 'riemann:50'")
    return None if rule == _EXACT else _rule(rule)


@lru_cache(maxsize=8)
def _rule(rule: str) -> Quadrature:
    name, _, count = rule.partition(":")
    most = _GAUSS_MAX if name == "gauss-legendre" else _STEPS_MAX
    if name not in NAMES or not re.fullmatch(r"[0-9]{1,9}", count) or not 1 <= int(count) <= most:
        names = ", ".join(f"'{n}:K'" for n in NAMES)
        raise ValueError(f"{rule=} must be 'exact' or one of {names} with K in 1 .. {most}, for example 'riemann:50'")
    steps = int(count)
    if name == "gauss-legendre":
        return Quadrature(*_gauss_legendre(steps))
    if name == "trapezoid":
        weights = np.full(steps + 1, 1 / steps)
        weights[[0, -1]] /= 2
        return Quadrature(np.linspace(0, 1, steps + 1), weights)
    offset = 1.0 if name == "riemann" else 0.5
    return Quadrature((np.arange(steps) + offset) / steps, np.full(steps, 1 / steps))


def _gauss_legendre(count: int) -> tuple[FloatArray, FloatArray]:
    """Return nodes and weights on [0, 1]."""
    exact = np.polynomial.legendre.leggauss if count <= _LEGGAUSS_UP_TO else roots_legendre
    nodes, weights = exact(count)
    return (nodes + 1) / 2, weights / weights.sum()


_RULES = (_gauss_legendre(10), _gauss_legendre(21))  # the second gives the value, their difference its error


def integrate(
    function: Callable[[IntArray, FloatArray], FloatArray],
    low: FloatArray,
    high: FloatArray,
    group: IntArray,
    groups: int,
    tolerance: float,
) -> tuple[FloatArray, FloatArray]:
    """Integrate functions of one variable over pieces, each bisected until the sum over its group is accurate.

    Every piece is integrated by two Gauss-Legendre rules, whose difference bounds the error of the better one. Pieces that
    decide nothing cost nothing more: every group and every component has its own error.

    Args:
        function: Function of the indices of pieces, (m,), and of positions in these, (m, nodes), that returns its values,
            (m, nodes, components).
        low: Lower end of each piece, (pieces,).
        high: Upper end of each piece, (pieces,).
        group: Group of each piece, (pieces,), from 0 on.
        groups: Number of groups.
        tolerance: Largest error of a sum, relative to the integral of the function's absolute value over the group, > 0.

    Returns:
        The sums and their errors, (groups, components) each.

    Raises:
        ValueError: The tolerance is not positive.
        ArithmeticError: The tolerance is not reached; the message has the error that is.

    Example:
        >>> ends, first = np.array([0.0]), np.array([0])
        >>> value, _ = integrate(lambda _, a: np.stack([a, a**2], axis=-1), ends, ends + 1, first, 1, 1e-9)
        >>> value.round(6)
        array([[0.5     , 0.333333]])
    """
    if not tolerance > 0:
        raise ValueError(f"{tolerance=} must be positive")
    piece = np.arange(len(low))
    parts = _integrate_pieces(function, piece, low, high)
    for _ in range(_BISECTIONS):
        value, error, size = (_sum_by(group[piece], part, groups) for part in parts)
        count = np.bincount(group[piece], minlength=groups)[:, np.newaxis]
        allowed = tolerance * size
        missed = error > allowed
        if not missed.any():
            return value, error
        inaccurate = np.any(missed[group[piece]] & (parts[1] > (allowed / (2 * np.maximum(count, 1)))[group[piece]]), axis=1)
        middle = (low + high) / 2
        splittable = inaccurate & (low < middle) & (middle < high)
        if not splittable.any() or splittable.sum() > _PIECES_MAX:
            break
        kept, split = ~splittable, splittable
        new_piece = np.concatenate([piece[split], piece[split]])
        new_low, new_high = np.concatenate([low[split], middle[split]]), np.concatenate([middle[split], high[split]])
        new_parts = _integrate_pieces(function, new_piece, new_low, new_high)
        piece, low, high = (
            np.concatenate([old[kept], new]) for old, new in ((piece, new_piece), (low, new_low), (high, new_high))
        )
        parts = tuple(np.concatenate([old[kept], new]) for old, new in zip(parts, new_parts, strict=True))
    worst = np.max(error / np.where(size > 0, size, 1))
    raise ArithmeticError(
        f"the path integral reached a relative error of {worst:.1e}, not {tolerance=}: the integrand peaks too sharply; "
        "move the baseline, or raise the tolerance"
    )


def _integrate_pieces(
    function: Callable[[IntArray, FloatArray], FloatArray], piece: IntArray, low: FloatArray, high: FloatArray
) -> tuple[FloatArray, ...]:
    """Return the integral over each piece, its error and the integral of the absolute value, (pieces, components) each."""
    chunks = []
    for first in range(0, max(len(piece), 1), _CHUNK):
        own = slice(first, first + _CHUNK)
        width = (high[own] - low[own])[:, np.newaxis]
        integrals = []
        for nodes, weights in _RULES:
            values = function(piece[own], low[own, np.newaxis] + width * nodes)
            integrals.append(width * np.einsum("n,mnc->mc", weights, values))
        size = width * np.einsum("n,mnc->mc", weights, np.abs(values))
        difference = np.abs(integrals[1] - integrals[0])
        chunks.append((integrals[1], difference, size))
    return tuple(np.concatenate(parts) for parts in zip(*chunks, strict=True))


def _sum_by(group: IntArray, values: FloatArray, groups: int) -> FloatArray:
    total = np.zeros((groups, values.shape[1]))
    np.add.at(total, group, values)
    return total
