"""The function that is attributed: a form of the model, and a head on one or several of its expectations.

Along a straight line every <p|M_j|p> and the norm <p|p> are quadratic in the position, and every objective is a function of
these numbers. Its gradient therefore needs M_j x and M_j b only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from hattriq_cirq.attribution.break_points import Panels
from hattriq_cirq.attribution.quadrature import Quadrature, integrate
from hattriq_cirq.foundation.arrays import FloatArray, IntArray
from hattriq_cirq.foundation.checks import as_count, as_number, as_word, set_fields
from hattriq_cirq.foundation.text import number_text
from hattriq_cirq.models.model import Form, check_form

_SAMPLES = 1024  # number of paths that are integrated together
_CONSTANT = 1000.0  # argument from which on every head with steps is constant to double precision
HeadKind = Literal["identity", "sigmoid", "tanh", "softmax", "ratio"]
_UNSCALED: tuple[HeadKind, ...] = ("identity", "ratio")


@dataclass(frozen=True)
class Head:
    """A classical function of the expectations z_j of one or several observables.

    `sigmoid` is 1 / (1 + exp(-scale z)), `tanh` is tanh(scale z), `softmax` is component `target` of softmax(scale z), and
    `ratio` is z_0 / z_1 with z_1 > 0, such as the expectation in the runs that a measurement selects.

    Args:
        kind: `identity`, `sigmoid`, `tanh` (one observable each), `softmax` (one or more) or `ratio` (two).
        scale: Finite factor other than 0 that multiplies every z_j; 1 for the identity and the ratio.
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
        as_word(self.kind, "kind", get_args(HeadKind))
        set_fields(self, scale=as_number(self.scale, "scale", advice="be a finite number other than 0"))
        if self.scale == 0:
            raise ValueError(f"scale={self.scale} must be a finite number other than 0")
        set_fields(self, target=as_count(self.target, "target", 0, advice="name a component of a softmax, from 0"))
        if self.kind in _UNSCALED and self.scale != 1:
            raise ValueError(f"{self.scale=} has no effect on the {self.kind} head; scale the observable instead")
        if self.target > 0 and self.kind != "softmax":
            raise ValueError(f"{self.target=} must name a component of a softmax, from 0")

    def __str__(self) -> str:
        target = f", target={self.target}" if self.kind == "softmax" else ""
        return self.kind if self.kind in _UNSCALED else f"{self.kind}(scale={number_text(self.scale)}{target})"

    def check_count(self, observables: int) -> None:
        """Raise ValueError for a number of observables that the head cannot combine."""
        if self.kind == "softmax":
            if self.target >= observables:
                raise ValueError(f"{self.target=} must be below the number of observables, {observables}")
        elif self.kind == "ratio":
            if observables != 2:
                raise ValueError(f"a ratio head takes two observables, got {observables}")
        elif observables != 1:
            raise ValueError(f"a {self.kind} head takes one observable, got {observables}; use kind='softmax'")

    def contrasts(self, observables: int) -> FloatArray:
        """Return the combinations of the expectations that the head depends on, (arguments, observables).

        These are the expectations themselves, or for a softmax the differences between the target's and every other one.
        """
        if self.kind != "softmax":
            return np.eye(observables)
        others = np.delete(-np.eye(observables), self.target, axis=0)
        others[:, self.target] = 1.0
        return others

    def score(self, arguments: FloatArray) -> FloatArray:
        """Return the head as a function of its scaled arguments, (..., arguments) -> (...,)."""
        if self.kind == "identity":
            return arguments[..., 0]
        if self.kind == "tanh":
            return np.tanh(arguments[..., 0])
        if self.kind == "ratio":
            return np.asarray(arguments[..., 0] / arguments[..., 1])
        return self._probabilities(arguments)[..., 0]

    def slopes(self, arguments: FloatArray) -> FloatArray:
        """Return the derivative of the score by each scaled argument, in the shape of the arguments."""
        if self.kind == "identity":
            return np.ones_like(arguments)
        if self.kind == "tanh":
            return np.asarray(1 - np.tanh(arguments) ** 2)
        if self.kind == "ratio":
            above, below = arguments[..., 0], arguments[..., 1]
            return np.stack([1 / below, -above / below**2], axis=-1)
        p = self._probabilities(arguments)
        return np.asarray(p[..., :1] * p[..., 1:])

    def value(self, z: FloatArray) -> FloatArray:
        """Return the head of expectations (..., observables), (...,).

        Example:
            >>> Head("tanh").value(np.array([[0.0], [0.5]])).round(3)
            array([0.   , 0.462])
        """
        if self.kind == "identity":
            return z[..., 0]
        if self.kind == "ratio" and not np.all(z[..., 1] > 0):
            raise ValueError(
                "a ratio head has no value where its second expectation is not above 0, as for the zero vector; choose another "
                "input, or a baseline such as baselines.mean"
            )
        with np.errstate(under="ignore"):
            return self.score(self.scaled(z @ self.contrasts(z.shape[-1]).T))

    def gradient(self, z: FloatArray) -> FloatArray:
        """Return the derivative by each expectation, (..., observables)."""
        contrasts = self.contrasts(z.shape[-1])
        return np.asarray(self.scale * self.slopes(self.scaled(z @ contrasts.T)) @ contrasts)

    def scaled(self, arguments: FloatArray) -> FloatArray:
        """Return the arguments times the scale, limited to where a head with steps is constant to double precision."""
        if self.kind in _UNSCALED:
            return arguments
        with np.errstate(over="ignore"):
            return np.clip(self.scale * arguments, -_CONSTANT, _CONSTANT)

    @staticmethod
    def _probabilities(arguments: FloatArray) -> FloatArray:
        """Return the softmax of the target, with logit 0, and of the others, with logits -arguments, (..., 1 + arguments)."""
        logits = np.concatenate([np.zeros((*arguments.shape[:-1], 1)), -arguments], axis=-1)
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Objective:
    """A head on the quadratic forms q_1 .. q_J of an input, or on their ratios to its squared norm q_0."""

    form: Form
    head: Head

    def __post_init__(self) -> None:
        check_form(self.form)

    @cached_property
    def is_quadratic(self) -> bool:
        """True if the objective is F itself, whose gradient is affine on the path."""
        return self.form == "quadratic" and self.head.kind == "identity"

    @cached_property
    def is_homogeneous(self) -> bool:
        """True if the objective of all points times c is a power of c times the objective."""
        return self.form == "normalized" or self.head.kind == "identity"

    @cached_property
    def is_affected_by_identity(self) -> bool:
        """True if the identity part of M copies the input into the map; dividing by a norm or probability prevents that."""
        return self.form == "quadratic" and self.head.kind != "ratio"

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

    def largest_change(self, coefficients: FloatArray, others: FloatArray) -> float:
        """Return how much the head's arguments on the paths may change between coefficients, at most."""
        change = np.abs(others - coefficients).sum(axis=-1)[:, 1:]
        if self.form == "normalized":
            change = change / coefficients[:, :1, 0]
        return float(np.max(abs(self.head.scale) * change, initial=0.0))

    @np.errstate(over="ignore", under="ignore")
    def path_weights(
        self, coefficients: FloatArray, centre: FloatArray, rule: Quadrature | None, tolerance: float
    ) -> FloatArray:
        """Return the weights of A_j p_c and A_j d in the integrated gradient, with A_0 = 1, A_j = M_j, p_c = p(centre).

        On p(a) = b + a d, with q_j(a) = c_j0 + c_j1 (a - centre) + c_j2 (a - centre)^2, the gradient by p is
        2 sum_j (df/dq_j) A_j p, so that the integrated gradient is Re(conj(d) sum_j (w_j0 A_j p_c + w_j1 A_j d)) with
        w_ji = 2 int_0^1 (df/dq_j) (a - centre)^i da.

        Args:
            coefficients: Coefficients c, (samples, 1 + observables, 3).
            centre: Position on the path around which they are expanded, (samples,).
            rule: Quadrature rule; None to integrate to the tolerance.
            tolerance: Largest error of every weight, relative to the integral of its absolute value.

        Returns:
            Weights w, (samples, 1 + observables, 2).
        """
        samples, functions, _ = coefficients.shape
        if not samples:
            return np.zeros((samples, functions, 2))
        contrasts = self.head.contrasts(functions - 1)
        arguments = np.concatenate([coefficients[:, :1], np.einsum("mj,sjk->smk", contrasts, coefficients[:, 1:])], axis=1)
        if rule is not None:
            offset = rule.nodes - centre[:, np.newaxis]
            by_position = self._integrand(arguments, offset, np.zeros((samples, 1)))
            by_argument = np.einsum("n,snmi->smi", rule.weights, by_position)
        else:
            by_argument = np.concatenate(
                [
                    self._integrate(arguments[first : first + _SAMPLES], centre[first : first + _SAMPLES], tolerance)
                    for first in range(0, samples, _SAMPLES)
                ]
            )
        by_observable = np.einsum("smi,mj->sji", by_argument[:, 1:], self.head.scale * contrasts)
        return np.concatenate([by_argument[:, :1], by_observable], axis=1)

    def _integrate(self, arguments: FloatArray, centre: FloatArray, tolerance: float) -> FloatArray:
        """Return the integrals of `_integrand` over the paths, (samples, 1 + arguments, 2)."""
        has_steps, by_norm = self.head.kind not in _UNSCALED, self.form == "normalized"
        panels = Panels.of(arguments, centre, zeros=has_steps)
        panel, low, high = panels.pieces(abs(self.head.scale) if has_steps else None, by_norm)

        def function(piece: IntArray, offset: FloatArray) -> FloatArray:
            own = panel[piece]
            values = self._integrand(panels.coefficients[own], offset, panels.anchor[own, np.newaxis])
            return values.reshape(*offset.shape, -1)

        samples, functions, _ = arguments.shape
        value, _ = integrate(function, low, high, panels.row[panel], samples, tolerance)
        return value.reshape(samples, functions, 2)

    def _integrand(self, coefficients: FloatArray, offset: FloatArray, distance: FloatArray) -> FloatArray:
        """Return 2 df/dq (a - centre)^i of the squared norm and of every argument, (rows, nodes, 1 + arguments, 2).

        The derivative by an argument is that by the argument times the scale.

        Args:
            coefficients: Coefficients around the anchor, (rows, 1 + arguments, 3).
            offset: Offset of every node from the anchor, (rows, nodes).
            distance: Position of the anchor, counted from the centre, (rows, 1).
        """
        value, slope, curvature = np.moveaxis(coefficients[:, np.newaxis], -1, 0)
        at = offset[..., np.newaxis]
        q = value + at * (slope + at * curvature)
        norm, arguments = q[..., :1], q[..., 1:]
        if self.form == "normalized":
            arguments = arguments / norm
        scaled = self.head.scaled(arguments)
        by_argument = self.head.slopes(scaled)
        if self.form == "quadratic":
            by_q = np.concatenate([np.zeros_like(norm), by_argument], axis=-1)
        else:
            by_norm = -np.sum(by_argument * scaled, axis=-1, keepdims=True)
            by_q = np.concatenate([by_norm, by_argument], axis=-1) / norm
        return 2 * np.stack([by_q, (distance + offset)[..., np.newaxis] * by_q], axis=-1)


#: The quadratic form itself, which circuits measure.
QUADRATIC = Objective("quadratic", Head())
