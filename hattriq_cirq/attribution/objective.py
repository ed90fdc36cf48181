"""The function that is attributed: a form of the model, and a head on one or several of its expectations.

Along a straight line every <p|M_j|p> and the norm <p|p> are quadratic in the position, and every objective is a function of
these numbers. Its gradient therefore needs M_j x and M_j b only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, cast, get_args

import numpy as np

from hattriq_cirq.attribution.break_points import Panels
from hattriq_cirq.attribution.quadrature import Quadrature, integrate
from hattriq_cirq.foundation.arrays import FloatArray, IntArray
from hattriq_cirq.foundation.checks import ArgumentTypeError, as_count, as_number, as_word, set_fields, shown
from hattriq_cirq.foundation.identity import content_digest
from hattriq_cirq.foundation.text import number_text, quantity
from hattriq_cirq.models.model import Form, check_form

_SAMPLES = 1024  # number of paths that are integrated together
_CONSTANT = 1000.0  # argument from which on every head with steps is constant to double precision
_SHOWN = 12  # largest number of weights that the text of a head lists; it states a digest of more
HeadKind = Literal["identity", "linear", "sigmoid", "tanh", "softmax", "ratio"]
_UNSCALED: tuple[HeadKind, ...] = ("identity", "linear", "ratio")
_AFFINE: tuple[HeadKind, ...] = ("identity", "linear")
_WEIGHTED: tuple[HeadKind, ...] = ("linear", "sigmoid", "tanh", "softmax")


@dataclass(frozen=True)
class Head:
    """A classical function of the expectations z_j of one or several observables: a linear map, then a function of its values.

    The map gives the logits y = weights z + bias, or y = z without weights. `linear` is logit y_t with t = `target`, `sigmoid`
    is 1 / (1 + exp(-scale y_t)), `tanh` is tanh(scale y_t), and `softmax` is component t of softmax(scale y). `identity` is the
    expectation of one observable, and `ratio` is z_0 / z_1 with z_1 > 0, such as the expectation in the runs that a measurement
    selects.

    Args:
        kind: `identity` (one observable), `linear` and `softmax` (one or more), `sigmoid` and `tanh` (one, or more with
            weights), or `ratio` (two).
        scale: Finite factor other than 0 that multiplies every logit; 1 for `identity`, `linear` and `ratio`.
        target: Logit that is attributed, counted from 0, such as the class of a softmax; or one for each input, in the shape of
            the inputs without their features, (samples,).
        weights: Weights of the linear map, (logits, observables), or (observables,) for a single logit; None for y = z.
        bias: Constants that are added to the logits, (logits,), or a number for a single logit; None for zeros.

    Raises:
        ValueError: The kind is unknown, the scale is 0, the target is negative or no logit, or the weights do not fit.

    Example:
        >>> print(Head("softmax", scale=5, target=1))
        softmax(scale=5, target=1)
        >>> print(Head("linear", weights=[0.5, -2], bias=1))
        linear(weights=[[0.5, -2]], bias=[1])
    """

    kind: HeadKind = "identity"
    scale: float = 1.0
    target: Any = 0
    weights: Any = None
    bias: Any = None

    def __post_init__(self) -> None:
        as_word(self.kind, "kind", get_args(HeadKind))
        set_fields(self, scale=as_number(self.scale, "scale", advice="be a finite number other than 0"))
        if self.scale == 0:
            raise ValueError(f"scale={self.scale} must be a finite number other than 0")
        set_fields(self, target=_as_target(self.target), weights=_as_weights(self.weights))
        set_fields(self, bias=_as_bias(self.bias, None if self.weights is None else len(self.weights)))
        if self.kind in _UNSCALED and self.scale != 1:
            cure = "multiply the weights by it" if self.kind == "linear" else "scale the observable instead"
            raise ValueError(f"{self.scale=} has no effect on the {self.kind} head; {cure}")
        if self.kind not in _WEIGHTED and not (self.weights is None and self.bias is None):
            raise ValueError(f"the {self.kind} head takes no weights and no bias; use one of {', '.join(_WEIGHTED)}")
        if self.target != 0 and (self.kind not in _WEIGHTED or (self.kind in ("sigmoid", "tanh") and self.weights is None)):
            raise ValueError(f"{self.target=} must name a component of a softmax, from 0, or a row of weights")
        if self.weights is not None:
            self._check_target(len(self.weights), "the number of rows of weights")

    def _check_target(self, logits: int, what: str) -> None:
        largest = int(np.max(self.target, initial=0))
        if largest >= logits:
            raise ValueError(f"self.target={largest} must be below {what}, {logits}")

    def __str__(self) -> str:
        if self.kind == "identity":
            return self.kind
        settings = [] if self.kind in _UNSCALED else [f"scale={number_text(self.scale)}"]
        if self.has_targets:
            settings.append("a target per input")
        elif self.kind == "softmax" or self.target != 0:
            settings.append(f"target={self.target}")
        settings += [f"{name}={_text(kept)}" for name in ("weights", "bias") if (kept := getattr(self, name)) is not None]
        return f"{self.kind}({', '.join(settings)})" if settings else self.kind

    @property
    def has_targets(self) -> bool:
        """True if every input has a target of its own."""
        return not isinstance(self.target, int)

    @property
    def is_affine(self) -> bool:
        """True if the head is a linear function of the expectations plus a constant."""
        return self.kind in _AFFINE

    def logits(self, observables: int) -> int:
        """Return the number of logits of a number of observables, of which `target` is one."""
        if self.weights is not None:
            return len(self.weights)
        return observables if self.kind in ("linear", "softmax") else 1

    def targets_of(self, shape: tuple[int, ...]) -> IntArray:
        """Return the target of every input of a batch, (inputs,).

        Args:
            shape: Shape of the inputs without their features.

        Raises:
            ValueError: The head has targets for another shape.

        Example:
            >>> Head("softmax", target=[0, 2]).targets_of((2,))
            array([0, 2])
        """
        targets = np.asarray(self.target, dtype=np.int64)
        if targets.ndim and targets.shape != shape:
            raise ValueError(
                f"target of shape {targets.shape} must be one number, or have the shape {shape} of the inputs: one target each"
            )
        return np.array(np.broadcast_to(targets, shape)).reshape(-1)

    def with_target(self, target: int) -> Head:
        """Return the head with one target for all inputs.

        Example:
            >>> print(Head("softmax", target=[0, 2]).with_target(2))
            softmax(scale=1, target=2)
        """
        return replace(self, target=int(target))

    def check_count(self, observables: int) -> None:
        """Raise ValueError for a number of observables that the head cannot combine."""
        if self.kind == "identity" and observables == 1:
            return
        if self.kind == "ratio":
            if observables != 2:
                raise ValueError(f"a ratio head takes two observables, got {observables}")
        elif self.weights is not None:
            if len(self.weights[0]) != observables:
                raise ValueError(
                    f"the head has {quantity(len(self.weights[0]), 'weight')} per logit, one per observable, and there are "
                    f"{quantity(observables, 'observable')}"
                )
        elif self.kind in ("linear", "softmax"):
            self._check_target(observables, "the number of observables")
            if self.bias is not None and len(self.bias) != observables:
                raise ValueError(f"bias={_text(self.bias)} must have one number for each of {observables} observables")
        elif observables != 1:
            cure = "kind='linear' or 'softmax'" if self.kind == "identity" else "weights, or kind='softmax'"
            raise ValueError(f"a {self.kind} head takes one observable, got {observables}; use {cure}")

    def linear_map(self, observables: int) -> FloatArray:
        """Return the arguments that the head depends on as linear functions of 1 and the expectations.

        These are the columns of the result, (arguments, 1 + observables). The argument is logit y_t with t = `target`; for a
        softmax there is one for every other logit y_i, y_t - y_i, and for a ratio both expectations.
        """
        if self.kind == "ratio":
            return np.eye(observables + 1)[1:]
        weights = np.eye(observables) if self.weights is None else np.asarray(self.weights)
        bias = np.zeros(len(weights)) if self.bias is None else np.asarray(self.bias)
        logits, target = np.concatenate([bias[:, np.newaxis], weights], axis=1), cast(int, self.target)
        if self.kind == "softmax":
            return np.asarray(logits[target] - np.delete(logits, target, axis=0))
        return logits[[target]]

    def weights_of(self, observables: int) -> tuple[float, ...]:
        """Return the weight of each expectation in the logit of the target.

        Example:
            >>> Head("linear", weights=[[1, 2], [3, 4]], target=1).weights_of(2)
            (3.0, 4.0)
        """
        if self.kind == "identity":
            return (1.0,) * observables
        return tuple(self.linear_map(observables)[0, 1:].tolist())

    def gain(self, observables: int) -> float:
        """Return the largest change of an argument when every expectation changes by 1 at most, without the scale."""
        if self.weights is None and self.kind != "softmax":
            return 1.0
        return float(np.abs(self.linear_map(observables)[:, 1:]).sum(axis=1).max(initial=0.0))

    def signs(self, observables: int) -> FloatArray:
        """Return changes of the expectations, +1 or -1, by which the arguments change most, (observables,)."""
        if self.kind == "ratio":
            return np.array([1.0, -1.0])
        return np.where(self.linear_map(observables)[:, 1:].sum(axis=0) < 0, -1.0, 1.0)

    def score(self, arguments: FloatArray) -> FloatArray:
        """Return the head as a function of its scaled arguments, (..., arguments) -> (...,)."""
        if self.kind in _AFFINE:
            return arguments[..., 0]
        if self.kind == "tanh":
            return np.tanh(arguments[..., 0])
        if self.kind == "ratio":
            return np.asarray(arguments[..., 0] / arguments[..., 1])
        return self._probabilities(arguments)[..., 0]

    def slopes(self, arguments: FloatArray) -> FloatArray:
        """Return the derivative of the score by each scaled argument, in the shape of the arguments."""
        if self.kind in _AFFINE:
            return np.ones_like(arguments)
        if self.kind == "tanh":
            decay = np.exp(-2 * np.abs(arguments))  # 1 - tanh^2 without cancellation, where the head is nearly constant
            return np.asarray(4 * decay / (1 + decay) ** 2)
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
            return self.score(self._arguments(z))

    def gradient(self, z: FloatArray) -> FloatArray:
        """Return the derivative by each expectation, (..., observables)."""
        by_expectation = self.linear_map(z.shape[-1])[:, 1:]
        return np.asarray(self.scale * self.slopes(self._arguments(z)) @ by_expectation)

    def _arguments(self, z: FloatArray) -> FloatArray:
        """Return the scaled arguments at expectations, (..., observables) -> (..., arguments)."""
        linear = self.linear_map(z.shape[-1])
        return self.scaled(z @ linear[:, 1:].T + linear[:, 0])

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


def _as_target(target: Any) -> int | tuple[Any, ...]:
    """Return one target as a number, and targets of a batch as nested tuples of numbers."""
    advice = "name a component of a softmax, from 0, or one for each input"
    if np.ndim(target) == 0:
        return as_count(target, "target", 0, advice=advice)
    targets = np.asarray(target)
    if targets.dtype.kind not in "iu":
        raise ArgumentTypeError(f"target={shown(target)} must {advice}")
    if targets.size and targets.min() < 0:
        raise ValueError(f"target={int(targets.min())} must {advice}")
    return cast(tuple[Any, ...], _tuples(targets.tolist()))


def _as_weights(weights: Any) -> tuple[tuple[float, ...], ...] | None:
    if weights is None:
        return None
    rows = _as_reals(weights, "weights")
    if rows.ndim not in (1, 2) or not rows.size:
        raise ValueError(f"weights of shape {rows.shape} must be (logits, observables), or (observables,) for one logit")
    return tuple(map(tuple, np.atleast_2d(rows).tolist()))


def _as_bias(bias: Any, logits: int | None) -> tuple[float, ...] | None:
    if bias is None:
        return None
    numbers = _as_reals(bias, "bias")
    if numbers.ndim > 1 or (logits is not None and numbers.size != logits):
        count = "one number per logit" if logits is None else f"one number for each of {quantity(logits, 'logit')}"
        raise ValueError(f"bias of shape {numbers.shape} must have {count}, as many as weights has rows")
    return tuple(np.atleast_1d(numbers).tolist())


def _as_reals(numbers: Any, name: str) -> FloatArray:
    array = np.asarray(numbers)
    if array.dtype.kind not in "iuf":
        raise ArgumentTypeError(f"{name}={shown(numbers)} must be an array of numbers")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}={shown(numbers)} must be finite")
    return array.astype(np.float64)


def _tuples(nested: Any) -> Any:
    return tuple(map(_tuples, nested)) if isinstance(nested, list) else nested


def _text(numbers: Any) -> str:
    """Return nested numbers as text, or their shape and a digest if there are many."""
    array = np.asarray(numbers)
    if array.size > _SHOWN:
        return f"{' x '.join(map(str, array.shape))} numbers {str(content_digest(numbers))[:12]}"
    rows = [_text(row) if isinstance(row, tuple) else number_text(row) for row in numbers]
    return f"[{', '.join(rows)}]"


@dataclass(frozen=True)
class Objective:
    """A head on the quadratic forms q_1 .. q_J of an input, or on their ratios to its squared norm q_0."""

    form: Form
    head: Head

    def __post_init__(self) -> None:
        check_form(self.form)

    @cached_property
    def is_quadratic(self) -> bool:
        """True if the objective is F itself, which circuits measure as it is."""
        return self.form == "quadratic" and self.head.kind == "identity"

    @cached_property
    def is_affine(self) -> bool:
        """True if the objective is one quadratic form plus a constant, so that its gradient is affine on the path."""
        return self.form == "quadratic" and self.head.is_affine

    @cached_property
    def is_homogeneous(self) -> bool:
        """True if the map of all points times c is a power of c times the map."""
        return self.form == "normalized" or self.head.is_affine

    def of_target(self, target: int) -> Objective:
        """Return the objective with one target for all inputs."""
        return replace(self, head=self.head.with_target(target))

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
        return float(np.max(abs(self.head.scale) * self.head.gain(change.shape[1]) * change, initial=0.0))

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
        linear = self.head.linear_map(functions - 1)
        constants, by_expectation = linear[:, 0], linear[:, 1:]
        arguments = np.einsum("mj,sjk->smk", by_expectation, coefficients[:, 1:])
        if constants.any():  # times 1, or times the squared norm by which the arguments are divided later
            one = coefficients[:, :1] if self.form == "normalized" else np.array([1.0, 0.0, 0.0])
            arguments = arguments + constants[:, np.newaxis] * one
        arguments = np.concatenate([coefficients[:, :1], arguments], axis=1)
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
        by_observable = np.einsum("smi,mj->sji", by_argument[:, 1:], self.head.scale * by_expectation)
        by_norm = by_argument[:, :1]
        if self.form == "normalized" and constants.any():
            by_norm = by_norm + np.einsum("smi,m->si", by_argument[:, 1:], self.head.scale * constants)[:, np.newaxis]
        return np.concatenate([by_norm, by_observable], axis=1)

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
