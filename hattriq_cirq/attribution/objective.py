"""The function that is attributed: a form of the model, and a head on one or several of its expectations.

Along a straight line every <p|M_j|p> and the norm <p|p> are quadratic in the position, and every objective is a function of
these numbers. Its gradient therefore needs M_j x and M_j b only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hattriq_cirq.attribution.quadrature import Quadrature, integrate
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.models.model import Form, check_form

HeadKind = Literal["identity", "sigmoid", "tanh", "softmax"]


@dataclass(frozen=True)
class Head:
    """A classical function of the expectations z_j of one or several observables.

    `sigmoid` is 1 / (1 + exp(-scale z)), `tanh` is tanh(scale z), `softmax` is component `target` of softmax(scale z).

    Args:
        kind: `identity`, `sigmoid`, `tanh` (one observable each) or `softmax` (one or more).
        scale: Finite factor other than 0 that multiplies every z_j; 1 for the identity.
        target: Component of the softmax, counted from 0.

    Raises:
        ValueError: The kind is unknown, the scale is 0, or the target is negative.

    Example:
        >>> print(Head("softmax", scale=5, target=1))
        softmax(scale=5, target=1)
    """

    kind: HeadKind = "identity"
    scale: float = 1.0
    target: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("identity", "sigmoid", "tanh", "softmax"):
            raise ValueError(f"{self.kind=} must be 'identity', 'sigmoid', 'tanh' or 'softmax'")
        if not np.isfinite(self.scale) or self.scale == 0:
            raise ValueError(f"{self.scale=} must be a finite number other than 0")
        if self.kind == "identity" and self.scale != 1:
            raise ValueError(f"{self.scale=} has no effect on the identity head; scale the observable instead")
        if self.target < 0 or (self.target > 0 and self.kind != "softmax"):
            raise ValueError(f"{self.target=} must name a component of a softmax, from 0")

    def __str__(self) -> str:
        target = f", target={self.target}" if self.kind == "softmax" else ""
        return self.kind if self.kind == "identity" else f"{self.kind}(scale={self.scale:g}{target})"

    def check_count(self, observables: int) -> None:
        """Raise ValueError for a number of observables that the head cannot combine."""
        if self.kind == "softmax":
            if self.target >= observables:
                raise ValueError(f"{self.target=} must be below the number of observables, {observables}")
        elif observables != 1:
            raise ValueError(f"a {self.kind} head takes one observable, got {observables}; use kind='softmax'")

    def value(self, z: FloatArray) -> FloatArray:
        """Return the head of expectations (..., observables), (...,).

        Example:
            >>> Head("tanh").value(np.array([[0.0], [0.5]])).round(3)
            array([0.   , 0.462])
        """
        if self.kind == "identity":
            return z[..., 0]
        if self.kind == "softmax":
            return self._softmax(z)[..., self.target]
        half = self.scale * z[..., 0] / (1 if self.kind == "tanh" else 2)
        return np.tanh(half) if self.kind == "tanh" else (1 + np.tanh(half)) / 2

    def gradient(self, z: FloatArray) -> FloatArray:
        """Return the derivative by each expectation, (..., observables)."""
        if self.kind == "identity":
            return np.ones_like(z)
        if self.kind == "softmax":
            p = self._softmax(z)
            by_z = p[..., [self.target]] * (np.eye(z.shape[-1])[self.target] - p)
        else:
            value = self.value(z)[..., np.newaxis]
            by_z = (1 - value**2) if self.kind == "tanh" else value * (1 - value)
        return np.asarray(self.scale * by_z)

    def _softmax(self, z: FloatArray) -> FloatArray:
        powers = np.exp(self.scale * z - np.max(self.scale * z, axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Objective:
    """A head on the quadratic forms q_1 .. q_J of an input, or on their ratios to its squared norm q_0."""

    form: Form
    head: Head

    def __post_init__(self) -> None:
        check_form(self.form)

    @property
    def is_quadratic(self) -> bool:
        """True if the objective is F itself, whose gradient is affine on the path."""
        return self.form == "quadratic" and self.head.kind == "identity"

    def value(self, q: FloatArray) -> FloatArray:
        """Return the score of numbers q, (..., 1 + observables), of which the first is the squared norm; (...,)."""
        return self.head.value(q[..., 1:] if self.form == "quadratic" else q[..., 1:] / q[..., :1])

    def gradient(self, q: FloatArray) -> FloatArray:
        """Return the derivative of the score by each q, in the shape of q."""
        if self.form == "quadratic":
            by_z = self.head.gradient(q[..., 1:])
            return np.concatenate([np.zeros_like(q[..., :1]), by_z], axis=-1)
        norm, z = q[..., :1], q[..., 1:] / q[..., :1]
        by_z = self.head.gradient(z)
        return np.concatenate([-np.sum(by_z * z, axis=-1, keepdims=True), by_z], axis=-1) / norm

    def affine_weights(self, rule: Quadrature | None) -> FloatArray:
        """Return the `path_weights` of F itself, (1, 2, 2); its gradient is affine, so one node in the middle is exact."""
        middle = 0.5 if rule is None else float(rule.weights @ rule.nodes)
        return np.array([[[0.0, 0.0], [2.0, 2.0 * middle]]])

    def path_weights(
        self, coefficients: FloatArray, centre: FloatArray, rule: Quadrature | None, tolerance: float
    ) -> FloatArray:
        """Return the weights of A_j b and A_j d in the integrated gradient, with A_0 = 1 and A_j = M_j.

        On p(a) = b + a d, with q_j(a) = c_j0 + c_j1 (a - centre) + c_j2 (a - centre)^2, the gradient by p is
        2 sum_j (df/dq_j) A_j p, so that the integrated gradient is Re(conj(d) sum_j (w_j0 A_j b + w_j1 A_j d)) with
        w_ji = 2 int_0^1 (df/dq_j) a^i da.

        Args:
            coefficients: Coefficients c, (samples, 1 + observables, 3).
            centre: Position on the path around which they are expanded, (samples,).
            rule: Quadrature rule; None to integrate to the tolerance.
            tolerance: Tolerance of the integral, relative to its natural size (see `_unit`).

        Returns:
            Weights w, (samples, 1 + observables, 2).
        """
        if not len(coefficients):
            return np.zeros((*coefficients.shape[:2], 2))
        unit = self._unit(coefficients)

        def integrand(position: float) -> Array:
            offset = (position - centre)[:, np.newaxis]
            q = coefficients[..., 0] + offset * (coefficients[..., 1] + offset * coefficients[..., 2])
            by_q = 2 * self.gradient(q / unit)
            return np.stack([by_q, position * by_q], axis=-1)

        if rule is None:
            weights = integrate(integrand, tolerance)
        else:
            weights = np.zeros((*coefficients.shape[:2], 2))
            for position, weight in zip(rule.nodes, rule.weights, strict=True):
                weights += weight * integrand(position)
        return np.asarray(weights / unit[..., np.newaxis])

    def _unit(self, coefficients: FloatArray) -> FloatArray:
        """Return the unit of the q, (samples, 1), in which the integrals of every sample are of order 1.

        The normalized form depends on ratios only; its integrals grow like 1 / (distance to the origin x length).
        """
        if self.form == "quadratic":
            return np.ones((len(coefficients), 1))
        norm = coefficients[:, 0]
        return np.asarray(np.sqrt(norm[:, :1] * np.abs(norm).max(axis=1, keepdims=True)))
