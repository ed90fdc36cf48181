"""Integrated gradients of a model along the straight line from a baseline to an input.

M is linear, so M p on the whole line p(a) = b + a (x - b) is known from M x and M b: path steps cost no circuit and no
further state vector. What is left to integrate are a few numbers an input (`scores.Score.path_weights`).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cirq
import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.baselines import BaselineSet, resolve
from hattriq_cirq.attribution.objective import Head, Objective
from hattriq_cirq.attribution.quadrature import Quadrature, parse_rule
from hattriq_cirq.attribution.result import Assumptions, Attribution, Cost
from hattriq_cirq.estimators.bilinear import Estimator
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import Array, FloatArray, as_amplitudes
from hattriq_cirq.models.model import Form, IdentityPartWarning, Model
from hattriq_cirq.pipeline.execute import Execution, estimate_rows
from hattriq_cirq.pipeline.mitigation import Mitigation, MitigationSummary
from hattriq_cirq.pipeline.prepare import checked_engine
from hattriq_cirq.simulation.statevector import Precision

_GAP = 1e-6  # of an exact result, relative to the scores, above which it is warned of
_ORIGIN = 1e-8  # a segment is said to pass through the origin below this distance, relative to its longer end


class CompletenessWarning(UserWarning):
    """An exact attribution does not sum to the difference of the scores."""


def integrated_gradients(
    model: Model,
    x: ArrayLike,
    *,
    baseline: float | ArrayLike | BaselineSet,
    form: Form = "quadratic",
    rule: str = "exact",
    head: Head | None = None,
    observables: Sequence[cirq.PauliSum | cirq.PauliString[cirq.Qid]] | None = None,
    tolerance: float = 1e-10,
    precision: Precision = "float64",
    estimator: Estimator | None = None,
    engine: Engine | cirq.Sampler | None = None,
    shots: int | None = None,
    mitigation: Mitigation | None = None,
    progress: bool = False,
) -> Attribution:
    """Attributes a model's answer to the amplitudes of its input, by integrated gradients (Sundararajan et al. 2017).

    For the quadratic form IG_k = Re(conj(d_k) (M s)_k) with d = x - b, s = x + b: the exact Shapley value of feature k.
    A positive value pushes the score up from f_baseline, a negative one pushes it down; together they make the difference.

    Args:
        model: F(x) = x' M x.
        x: (..., features), real or complex, any norm; one input or a batch.
        baseline: a number for every amplitude, an array that broadcasts to x, or a `BaselineSet` for the mean over it.
        form: `quadratic` attributes x' M x, `normalized` attributes x' M x / x' x.
        rule: `exact`, or `riemann:K`, `midpoint:K`, `trapezoid:K`, `gauss-legendre:K` for comparison.
        head: a classical function on top, such as `Head("softmax", scale=5, target=1)`; None is the expectation itself.
        observables: what the head reads in place of the model's own observable.
        tolerance: of the path integral where it has no closed form, relative and absolute, > 0.
        precision: `float64` or `float32`.
        estimator: read the quadratic form from circuits, such as `ResolvedHadamardTest()`; None computes it exactly. F(x) and
            F(b) are still computed exactly, so the completeness gap measures the circuits.
        engine: what runs the circuits, such as `qsim(seed=1)`, `virtual("willow_pink")`, or any `cirq.Sampler`.
        shots: for each input, all its circuits and path steps together; None takes exact probabilities.
        mitigation: corrects outcomes before they are read, such as `calibration.Readout()`; None leaves them.
        progress: show a progress bar over inputs, with an estimator.

    Returns:
        The attribution, of the shape of x.

    Raises:
        ValueError: bad input, an unknown rule or form, or a segment through the origin in the normalized form.

    Warns:
        IdentityPartWarning: a quadratic score whose observable is not traceless.
        CompletenessWarning: an exact result whose values do not sum to the difference of the scores.
    """
    quadrature = parse_rule(rule)
    score = Objective(form, head or Head())
    models = [model] if observables is None else [model.with_observable(o) for o in observables]
    score.head.check_count(len(models))
    if form == "quadratic":
        _warn_of_identity(models)
    inputs = as_amplitudes(x, "x", model.n_features)
    references, label = resolve(baseline, inputs)
    rows = inputs.reshape(-1, model.n_features)
    ran_on = _checked_engine(estimator, engine, shots, mitigation, score)
    real = not _any_complex(inputs, references)
    at_x = _Point.of(models, rows, real, precision)
    at_baselines = [_Point.of(models, reference, real, precision) for reference in references]
    if estimator is None or ran_on is None:
        report = MitigationSummary()
        read = _exactly(at_x, at_baselines, score, quadrature, tolerance)
    else:
        ran = estimate_rows(models[0], rows, references, quadrature, estimator, ran_on, shots, mitigation, progress)
        read, report = _from_circuits(ran), ran.report
    f_input = score.value(at_x.forms)
    f_baseline = np.mean([score.value(b.forms) for b in at_baselines], axis=0) + np.zeros(len(rows))
    if quadrature is None and not score.is_quadratic and precision == "float64":
        _warn_of_gap(read.values.sum(axis=1) - (f_input - f_baseline), np.abs(f_input) + np.abs(f_baseline))
    is_set = isinstance(baseline, BaselineSet)
    lead, count = inputs.shape[:-1], len(references)
    return Attribution(
        values=read.values.reshape(inputs.shape),
        stderr=read.stderr.reshape(inputs.shape),
        imag_values=None if read.imag_values is None else read.imag_values.reshape(inputs.shape),
        x=inputs,
        baseline=references.reshape(count, *(1 for _ in lead), -1) if is_set else _full(references[0], inputs),
        f_input=f_input.reshape(lead),
        f_baseline=f_baseline.reshape(lead),
        completeness_gap_stderr=read.sum_stderr.reshape(lead),
        cost=read.cost,
        assumptions=Assumptions(
            form=form,
            rule=rule,
            head=str(score.head),
            observables=tuple(str(m.pauli_sum) for m in models),
            baseline=label,
            precision=precision,
            estimator="exact" if estimator is None else estimator.describe(),
            engine="exact" if ran_on is None else ran_on.name,
            seed=None if ran_on is None else ran_on.seed,
            calibration_id=report.calibration_id,
            mitigation="none" if mitigation is None else mitigation.describe(),
            notes=report.notes,
        ),
    )


@dataclass(frozen=True)
class _Read:
    """Attributions of all rows, (samples, features), with their errors and cost, computed or read from circuits."""

    values: FloatArray
    imag_values: FloatArray | None
    stderr: FloatArray
    sum_stderr: FloatArray
    cost: Cost


def _exactly(
    at_x: _Point, at_baselines: Sequence[_Point], score: Objective, rule: Quadrature | None, tolerance: float
) -> _Read:
    shape, share = at_x.rows.shape, 1 / len(at_baselines)
    values, imag_values = np.zeros(shape), None
    for at_b in at_baselines:
        path = _Path(at_b, at_x)
        if score.is_quadratic:
            weights = score.affine_weights(rule)
        else:
            if score.form == "normalized":
                path.refuse_the_origin()
            weights = score.path_weights(path.coefficients, path.centre, rule, tolerance)
        slope = path.attributed(share * weights)
        values += path.step.real * slope.real
        if np.iscomplexobj(path.step):
            imaginary = path.step.imag * slope.imag
            values += imaginary
            imag_values = imaginary if imag_values is None else imag_values + imaginary
    return _Read(values, imag_values, np.zeros(shape), np.zeros(shape[0]), Cost())


def _from_circuits(ran: Execution) -> _Read:
    values, stderr = (np.array([getattr(e, name) for e in ran.estimates]) for name in ("values", "stderr"))
    return _Read(values, None, stderr, np.array([e.sum_stderr for e in ran.estimates]), ran.cost)


def _checked_engine(
    estimator: Estimator | None,
    engine: Engine | cirq.Sampler | None,
    shots: int | None,
    mitigation: Mitigation | None,
    score: Objective,
) -> Engine | None:
    if estimator is None:
        if engine is not None or shots is not None or mitigation is not None:
            raise ValueError("engine, shots and mitigation need an estimator, such as estimator=ResolvedHadamardTest()")
        return None
    if engine is None:
        raise ValueError("an estimator needs an engine to run its circuits, such as engine=hattriq_cirq.qsim(seed=1)")
    ran_on = checked_engine(estimator, engine, shots)
    if not score.is_quadratic:
        raise ValueError(
            f"circuits read the quadratic form without a head, not form={score.form!r}, head={score.head}; "
            "leave out estimator for an exact result"
        )
    return ran_on


@dataclass(frozen=True)
class _Point:
    """Both ends of a path look like this: amplitudes, what every A_j makes of them, and their quadratic forms.

    `rows` is (samples, features), 1 sample standing for all; `actions` holds A_j rows, A_0 = 1 and A_j = M_j, only their
    real parts where the whole path is real; `forms` is (samples, 1 + observables), <p|A_j|p>.
    """

    rows: Array
    actions: tuple[Array, ...]
    forms: FloatArray

    @classmethod
    def of(cls, models: Sequence[Model], rows: Array, real: bool, precision: Precision) -> _Point:
        if rows.any():
            acted = tuple(model.observable_action(rows, real_part=real, precision=precision) for model in models)
        else:
            acted = tuple(rows for _ in models)
        actions = (rows, *acted)
        return cls(rows, actions, _forms(rows, actions))


@dataclass(frozen=True)
class _Path:
    """The straight line p(a) = b + a d, its quadratic forms written around its point nearest to the origin.

    q_j(a) = c_j0 + c_j1 (a - centre) + c_j2 (a - centre)^2: around that point nothing cancels, however near it is.
    """

    start: _Point
    end: _Point

    @cached_property
    def step(self) -> Array:
        """d, (samples, features)."""
        return self.end.rows - self.start.rows

    @cached_property
    def step_actions(self) -> tuple[Array, ...]:
        """A_j d."""
        ends = zip(self.start.actions[1:], self.end.actions[1:], strict=True)
        return (self.step, *(end - start for start, end in ends))

    @cached_property
    def centre(self) -> FloatArray:
        """(samples,), the position in [0, 1] nearest to the origin."""
        length, overlap = (_forms(rows, (self.step,))[:, 0] for rows in (self.step, self.start.rows))
        return np.clip(np.divide(-overlap, length, out=np.zeros(len(length)), where=length > 0), 0, 1)

    @cached_property
    def nearest(self) -> tuple[Array, ...]:
        """A_j p there."""
        at = self.centre[:, np.newaxis]
        return tuple(s + at * d for s, d in zip(self.start.actions, self.step_actions, strict=True))

    @cached_property
    def coefficients(self) -> FloatArray:
        """(samples, 1 + observables, 3), the c."""
        constant, linear = (_forms(rows, self.nearest) for rows in (self.nearest[0], self.step))
        return np.stack([constant, 2 * linear, _forms(self.step, self.step_actions)], axis=-1)

    def attributed(self, weights: FloatArray) -> Array:
        """The gradient averaged over the path: sum_j (w_j0 A_j b + w_j1 A_j d), (samples, features)."""
        total: Array = np.zeros(1)
        for j, (start, step) in enumerate(zip(self.start.actions, self.step_actions, strict=True)):
            if weights[:, j].any():
                total = total + weights[:, [j], 1] * step
                if start.any():
                    total += weights[:, [j], 0] * start
        return total

    def refuse_the_origin(self) -> None:
        distance = np.linalg.norm(self.nearest[0], axis=-1)
        scale = np.sqrt(np.maximum(self.start.forms[:, 0], self.end.forms[:, 0]))
        through = np.flatnonzero(distance <= _ORIGIN * scale)
        if through.size:
            raise ValueError(
                f"the segment from the baseline to x[{through[0]}] passes through the origin, where the normalized form "
                "x'Mx / x'x has no value: its integrated gradients diverge like log(1/eps) while their sum stays finite; "
                "use form='quadratic', or a baseline off the line through x and 0, such as baselines.mean"
            )


def _forms(left: Array, actions: Sequence[Array]) -> FloatArray:
    """Re <left|action> of every row and action, (samples, actions), in double precision."""
    return np.stack([np.einsum("sk,sk->s", left.conj(), a, dtype=_double(left, a)).real for a in actions], axis=-1)


def _double(*arrays: Array) -> type[np.float64] | type[np.complex128]:
    return np.complex128 if any(map(np.iscomplexobj, arrays)) else np.float64


def _any_complex(*arrays: Array) -> bool:
    return any(map(np.iscomplexobj, arrays))


def _full(reference: Array, inputs: Array) -> Array:
    return np.broadcast_to(reference, (inputs.size // inputs.shape[-1], inputs.shape[-1])).reshape(inputs.shape)


def _warn_of_gap(gaps: FloatArray, scale: FloatArray) -> None:
    """Says when an integral that claims to be exact misses part of the score: a peak was stepped over, or lost to rounding."""
    missed = np.flatnonzero(np.abs(gaps) > _GAP * np.maximum(scale, 1))
    if missed.size:
        warnings.warn(
            f"the path integral of input {missed[0]} misses {gaps[missed[0]]:.1e} of the score, which changes too sharply "
            "on the path; lower the head's scale, or move the baseline away from -x",
            CompletenessWarning,
            stacklevel=3,
        )


def _warn_of_identity(models: Sequence[Model]) -> None:
    for model in models:
        if model.identity_part:
            c = model.identity_part
            warnings.warn(
                f"the observable {model.pauli_sum} has identity part {c:g}, which adds {c:g} (|x_k|^2 - |b_k|^2) to the map: "
                "a picture of the input, whatever the model has learned; model.traceless() splits it off",
                IdentityPartWarning,
                stacklevel=3,
            )
