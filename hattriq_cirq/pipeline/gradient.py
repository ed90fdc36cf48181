"""The gradient of a quadratic form by the real and imaginary parts of its input's amplitudes: exact, learned or measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cirq
import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.result import Cost
from hattriq_cirq.estimators.bilinear import BilinearTerm, Estimator
from hattriq_cirq.estimators.plan import Estimate, Quantity
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import (
    Array,
    FloatArray,
    binary_exponents,
    normal_interval,
    read_only,
    rescaled,
    times_power_of_2,
)
from hattriq_cirq.foundation.checks import check_flag, shown
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.models.learned import LearnedModel
from hattriq_cirq.models.model import Model, model_inputs
from hattriq_cirq.models.quadratic_form import QuadraticForm, check_quadratic_form, observable_action
from hattriq_cirq.pipeline.execute import MeasuredArrays
from hattriq_cirq.pipeline.mitigation import Mitigation, as_mitigation
from hattriq_cirq.pipeline.prepare import PreparedAttribution, as_shots, check_engine, check_together, check_unscaled


@dataclass(frozen=True, eq=False)
class Gradient(Frozen):
    """Gradient of F(x) = x' M x by the amplitudes x_k = c_k + i d_k, one input or a batch; all arrays are read-only.

    Args:
        real: Derivatives dF/dc_k = 2 Re(Mx)_k, (..., features).
        imag: Derivatives dF/dd_k = 2 Im(Mx)_k, (..., features).
        real_stderr: Standard error of each derivative by a real part, (..., features); 0 for an exact gradient.
        imag_stderr: Standard error of each derivative by an imaginary part, (..., features).
        rare_stderr: Standard deviation that outcomes too rare to have been counted add in intervals, (..., 2 features), see
            `Estimate.rare_stderr`; zeros for an exact gradient.
        systematic: Standard deviation of what noise and its correction may leave, (..., 2 features), see `Estimate.systematic`;
            None where nothing is known of it.
        cost: Cost on a quantum computer.
        notes: Findings of the engine and of a mitigation, one sentence each.
        covariances: Functions that return the covariance of each input, see `covariance`.

    Example:
        >>> import hattriq_cirq as hq
        >>> hq.gradient(hq.ring_ansatz(1, 0), [0.6, 0.8]).real
        array([ 1.2, -1.6])
    """

    real: FloatArray
    imag: FloatArray
    real_stderr: FloatArray
    imag_stderr: FloatArray
    rare_stderr: FloatArray
    systematic: FloatArray | None = None
    cost: Cost = field(default_factory=Cost)
    notes: tuple[str, ...] = ()
    covariances: tuple[Callable[[], FloatArray], ...] = field(default=(), repr=False)

    @property
    def values(self) -> Array:
        """The gradient as complex numbers, dF/dc_k + i dF/dd_k = 2 (Mx)_k, (..., features)."""
        return np.asarray(self.real + 1j * self.imag)

    @property
    def covariance(self) -> FloatArray:
        """Covariance of the real derivatives followed by the imaginary ones, (..., 2 features, 2 features).

        It is computed when it is read, without the systematic part of errors.
        """
        size = 2 * self.real.shape[-1]
        own = [each() for each in self.covariances]
        return read_only(np.array(own).reshape(*self.real.shape[:-1], size, size))

    def interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Return the low and high ends of the intervals of all derivatives, as complex numbers (..., features).

        Real parts are those of the real derivatives, imaginary parts those of the imaginary ones.

        Args:
            level: Probability that an interval holds the exact derivative, between 0 and 1.
        """
        values, stderr = (
            np.concatenate(pair, axis=-1) for pair in ((self.real, self.imag), (self.real_stderr, self.imag_stderr))
        )
        ends = normal_interval(values, stderr, level, self.rare_stderr, self.systematic)
        n = self.real.shape[-1]
        low, high = (end[..., :n] + 1j * end[..., n:] for end in ends)
        return low, high


@with_numpy_defaults
def gradient(
    model: QuadraticForm,
    x: ArrayLike,
    *,
    estimator: Estimator | None = None,
    engine: Engine | cirq.Sampler | None = None,
    shots: int | None = None,
    mitigation: Mitigation[Any] | str | None = None,
    progress: bool = False,
    check: bool | None = None,
) -> Gradient:
    """Return the gradient of F(x) = x' M x by the real and imaginary parts of the amplitudes x_k = c_k + i d_k.

    These are the derivatives that integrated gradients average along a path (DiBrita et al., arXiv 2510.02497):
    dF/dc_k = 2 Re(Mx)_k and dF/dd_k = 2 Im(Mx)_k. With an estimator they are measured by its circuits: both are sums
    Re(conj(left_k) (M x)_k), with left_k = 2 and left_k = 2i.

    Args:
        model: `Model`; `LearnedModel`, whose errors the result carries; or another `QuadraticForm`.
        x: Input or batch of inputs, (..., features), real or complex, of any norm.
        estimator: Circuits that measure the gradient of a `Model`, such as `HadamardTest()`; None for the exact gradient, or
            that of a learned model.
        engine: Engine that runs the circuits, or any `cirq.Sampler`.
        shots: Number of shots per input, for all its circuits together; None for exact probabilities.
        mitigation: Correction of the outcomes, such as `calibration.Readout()` or its name; None for no correction.
        progress: Show a progress bar over the inputs.
        check: Check of the errors by circuits with known answers, as in `integrated_gradients`.

    Returns:
        The gradient, in the shape of x.

    Raises:
        ValueError: The input is invalid, or the mitigation rescales maps.
        EngineError: The engine could not run the circuits.

    Example:
        >>> import hattriq_cirq as hq
        >>> model, x = hq.ring_ansatz(2, layers=1), [0.6, 0, 0, 0.8]
        >>> hq.gradient(model, x).real.round(6) + 0
        array([ 1.2,  0. ,  0. , -1.6])
        >>> engine = hq.qsim(seed=1)
        >>> measured = hq.gradient(model, x, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=100_000)
        >>> bool(abs(measured.real - [1.2, 0, 0, -1.6]).max() < 5 * measured.real_stderr.max())
        True
    """
    check_quadratic_form(model)
    check_flag(progress, "progress")
    shots, correction = as_shots(shots), as_mitigation(mitigation)
    check_together(estimator, engine, shots, correction)
    inputs = model_inputs(model, x)
    if estimator is None or engine is None:
        return _learned(model, inputs) if isinstance(model, LearnedModel) else _exact(model, inputs)
    run_on = check_engine(estimator, engine)
    if not isinstance(model, Model):
        raise ValueError(f"an estimator needs a Model, which has a circuit, not {type(model).__name__}")
    if estimator.measured is not None or estimator.part != "real":
        raise ValueError(
            f"estimator={shown(estimator)} must measure all data qubits and the real part: the imaginary derivatives are the "
            "real part for another left side"
        )
    return _measured(model, inputs, estimator, run_on, shots, correction, progress=progress, check=check)


def _exact(model: QuadraticForm, inputs: Array) -> Gradient:
    exponents = binary_exponents(inputs)
    acted = 2 * observable_action(model, times_power_of_2(inputs, -exponents))
    acted = rescaled(acted, exponents, "a derivative of F")
    n, count = inputs.shape[-1], int(np.prod(inputs.shape[:-1]))
    nothing, both = np.zeros(inputs.shape), np.zeros((*inputs.shape[:-1], 2 * n))
    covariances = (lambda: np.zeros((2 * n, 2 * n)),) * count
    imag = acted.imag if np.iscomplexobj(acted) else nothing
    return Gradient(acted.real, imag, nothing, nothing, both, covariances=covariances)


def _learned(model: LearnedModel, inputs: Array) -> Gradient:
    """Return the gradient of a learned model, which is linear in its coefficients, with their errors."""
    exact, n = _exact(model, inputs), inputs.shape[-1]

    def weights(row: Array) -> FloatArray:
        lefts = np.full(n, 2.0), np.full(n, 2.0j)
        return np.concatenate([model.strings.bilinear(left, row) for left in lefts])

    rows = inputs.reshape(-1, n)
    both = np.array([model.errors_of(weights(row)) for row in rows])
    stderr, systematic = (both[:, i].reshape(*inputs.shape[:-1], 2 * n) for i in range(2))
    left_out = [model.left_out(part) for part in (exact.real, exact.imag)]
    systematic = np.hypot(systematic, np.concatenate(left_out, axis=-1))
    return Gradient(
        exact.real,
        exact.imag,
        stderr[..., :n],
        stderr[..., n:],
        np.zeros_like(stderr),
        systematic if systematic.any() else None,
        notes=model.record.notes,
        covariances=tuple(_deferred(model, weights, row) for row in rows),
    )


def _deferred(model: LearnedModel, weights: Callable[[Array], FloatArray], row: Array) -> Callable[[], FloatArray]:
    """Return the function that computes the covariance of a gradient without the systematic part of its errors."""

    def covariance() -> FloatArray:
        own = weights(row)
        found = model.propagate(own)
        if model.damping is None:
            return found.covariance
        return np.asarray(found.covariance - np.outer(found.values, found.values) * model.damping.stderr**2)

    return covariance


def _measured(
    model: Model,
    inputs: Array,
    estimator: Estimator,
    engine: Engine,
    shots: int | None,
    mitigation: Mitigation[Any] | None,
    *,
    progress: bool,
    check: bool | None,
) -> Gradient:
    n = model.n_features
    rows = inputs.reshape(-1, n)
    exponents = binary_exponents(rows)[:, 0]
    by_part = [
        [(BilinearTerm(np.full(n, left), times_power_of_2(row, -exponent)),) for left in (2.0, 2.0j)]
        for row, exponent in zip(rows, exponents, strict=True)
    ]
    terms = [real for real, _ in by_part]
    check_unscaled(mitigation, model, estimator, terms, "a gradient")
    further = [[Quantity(model, estimator, imaginary)] for _, imaginary in by_part]
    options: dict[str, Any] = {"progress": progress, "further": further, "check": check}
    prepared = PreparedAttribution(model, terms, estimator, engine, shots, mitigation, **options)
    execution = prepared.run()
    every = zip(execution.estimates, execution.further, exponents, strict=True)
    found = [Estimate.joined([real, *more]).times_power_of_2(int(exponent)) for real, more, exponent in every]
    shape = (*inputs.shape[:-1], 2 * n)
    values, stderr, rare, systematic = MeasuredArrays.of(found, engine, shots, shape)
    return Gradient(
        values[..., :n],
        values[..., n:],
        stderr[..., :n],
        stderr[..., n:],
        np.zeros(shape) if rare is None else rare,
        systematic,
        execution.cost,
        execution.summary.notes,
        tuple(_covariance_of(each) for each in found),
    )


def _covariance_of(estimate: Estimate) -> Callable[[], FloatArray]:
    return lambda: estimate.covariance
