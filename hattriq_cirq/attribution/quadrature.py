"""Quadrature rules on [0, 1], and integration to a tolerance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.integrate import quad_vec

from hattriq_cirq.foundation.arrays import Array, FloatArray, freeze

_EXACT = "exact"
_STEPS_MAX = 1_000_000
NAMES = ("riemann", "midpoint", "trapezoid", "gauss-legendre")


@dataclass(frozen=True, eq=False)
class Quadrature:
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
    if rule == _EXACT:
        return None
    name, _, count = str(rule).partition(":")
    if name not in NAMES or not count.isdecimal() or not 1 <= int(count) <= _STEPS_MAX:
        names = ", ".join(f"'{n}:K'" for n in NAMES)
        raise ValueError(f"{rule=} must be 'exact' or one of {names} with K in 1 .. {_STEPS_MAX}, for example 'riemann:50'")
    steps = int(count)
    if name == "gauss-legendre":
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        return Quadrature((nodes + 1) / 2, weights / weights.sum())
    if name == "trapezoid":
        weights = np.full(steps + 1, 1 / steps)
        weights[[0, -1]] /= 2
        return Quadrature(np.linspace(0, 1, steps + 1), weights)
    offset = 1.0 if name == "riemann" else 0.5
    return Quadrature((np.arange(steps) + offset) / steps, np.full(steps, 1 / steps))


def integrate(function: Callable[[float], Array], tolerance: float) -> Array:
    """Integrate an array-valued function over [0, 1] to a tolerance, by adaptive Gauss-Kronrod quadrature (SciPy).

    Args:
        function: Function of a number in [0, 1] that returns an array of fixed shape.
        tolerance: Absolute and relative tolerance in the maximum norm, > 0.

    Returns:
        The integral, in the shape of the function's values.

    Raises:
        ValueError: The tolerance is not positive.
        ArithmeticError: The tolerance is not reached; the message has the error that is.

    Example:
        >>> integrate(lambda position: np.array([position, position**2]), 1e-9).round(6)
        array([0.5     , 0.333333])
    """
    if not tolerance > 0:
        raise ValueError(f"{tolerance=} must be positive")
    value, error, info = quad_vec(
        function, 0.0, 1.0, epsabs=tolerance, epsrel=tolerance, norm="max", limit=20_000, full_output=True
    )
    if not info.success and error > tolerance * max(1.0, float(np.max(np.abs(value), initial=0.0))):
        raise ArithmeticError(
            f"the path integral reached an error of {error:.1e}, not {tolerance=}: the integrand peaks too sharply; "
            "move the baseline, or raise the tolerance"
        )
    return np.asarray(value)
