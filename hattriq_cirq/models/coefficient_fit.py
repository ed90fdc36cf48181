"""The fit of an observable's coefficients to the outcomes of probes: ridge regression with its covariance, and its prior.

Every outcome y is linear in the coefficients m with a table A of numbers 0, -1 and +1. With prior variances D and variances V
of the outcomes the fit is m = G y, G = (A' V^-1 A + D^-1)^-1 A' V^-1, without a prior least squares. V depends on the shots
alone and not on the outcomes, so that the fit is linear in the data; its covariance is computed with the measured variances.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from hattriq_cirq.foundation.arrays import FloatArray, read_only
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.models.pauli_strings import PauliStrings, ProductStates

_ITERATIONS = 40
_CONVERGED = 0.02  # relative change of the prior variances between iterations, far below their own uncertainty
_SMALLEST = 1e-9  # smallest prior variance, as a share of the largest


@dataclass(frozen=True, eq=False)
class ProbeOutcomes(Frozen):
    """Measured expectations of an observable in product states.

    Args:
        states: Product state of each probe.
        values: Measured expectations, (probes,).
        variances: Variances from counts and gauges, independent between probes, (probes,).
        sensitivities: Derivatives of the values by uncorrelated numbers of variance 1 that all probes share, such as the rates
            of a readout calibration in units of their errors, (probes, numbers).
        variance_errors: Errors of the variances, which all probes share because the scatter of gauges is one estimate,
            (probes,); None for none.

    Raises:
        ValueError: The shapes differ, or a variance is negative.
    """

    states: ProductStates
    values: FloatArray
    variances: FloatArray
    sensitivities: FloatArray
    variance_errors: FloatArray | None = None

    def __post_init__(self) -> None:
        count = len(self.states)
        if self.variance_errors is None:
            object.__setattr__(self, "variance_errors", np.zeros(count))
        if self.values.shape != (count,) or self.variances.shape != (count,) or self.sensitivities.shape[:1] != (count,):
            raise ValueError(
                f"{self.values.shape=}, {self.variances.shape=} and {self.sensitivities.shape=} must begin with {count} probes"
            )
        if not (self.variances >= 0).all():
            raise ValueError(f"{self.variances.min()=} of the outcomes must be at least 0")
        super().__post_init__()


@dataclass(frozen=True, eq=False)
class CoefficientFit(Frozen):
    """A linear fit of coefficients to the outcomes of probes.

    Args:
        strings: Strings whose coefficients are fitted.
        outcomes: Outcomes of the probes.
        noise: Variance of each outcome that weights it in the fit, (probes,).
        prior: Prior variance of each coefficient, (strings,); None for least squares.

    Example:
        >>> strings = PauliStrings.from_text(["X", "Z"])
        >>> states = ProductStates(PauliStrings.from_text(["X", "Z", "Z"]), np.array([0, 0, 1]))
        >>> outcomes = ProbeOutcomes(states, np.array([0.6, 0.8, -0.8]), np.full(3, 0.01), np.zeros((3, 0)))
        >>> fit = CoefficientFit(strings, outcomes, np.full(3, 0.01), None)
        >>> fit.coefficients.round(9), fit.covariance.round(9).tolist()
        (array([0.6, 0.8]), [[0.01, 0.0], [0.0, 0.005]])
    """

    strings: PauliStrings
    outcomes: ProbeOutcomes
    noise: FloatArray
    prior: FloatArray | None

    @cached_property
    def table(self) -> FloatArray:
        """Expectation of each string in each state, (probes, strings)."""
        return read_only(self.outcomes.states.expectations(self.strings))

    @cached_property
    def gain(self) -> FloatArray:
        """The matrix G of the fit, coefficients = G values, (strings, probes)."""
        table = self.table
        if self.prior is not None and len(self.strings) > len(self.noise):
            kernel = (table * self.prior) @ table.T
            kernel.flat[:: len(kernel) + 1] += self.noise
            return read_only(self.prior[:, np.newaxis] * cho_solve(cho_factor(kernel, lower=True), table).T)
        return read_only(cho_solve(_precision_factor(table, self.noise, self.prior), table.T / self.noise))

    @cached_property
    def coefficients(self) -> FloatArray:
        """Fitted coefficients, (strings,)."""
        return read_only(self.gain @ self.outcomes.values)

    @cached_property
    def shared(self) -> FloatArray:
        """Derivatives of the coefficients by the shared numbers, (strings, numbers)."""
        return read_only(self.gain @ self.outcomes.sensitivities)

    @cached_property
    def covariance(self) -> FloatArray:
        """Covariance of the errors of the coefficients, (strings, strings): counts and gauges, prior, and shared numbers."""
        total = (self.gain * self.outcomes.variances) @ self.gain.T + self.shared @ self.shared.T
        if self.prior is not None:
            missed = self.missed(np.eye(len(self.strings)), self.gain)
            total += (missed * self.prior) @ missed.T
        return read_only(total)

    def missed(self, rows: FloatArray, gains: FloatArray) -> FloatArray:
        """Return the part of quantities, (rows, strings), that their estimates from the values, (rows, probes), miss."""
        return np.asarray(rows - gains @ self.table)


def _precision_factor(table: FloatArray, noise: FloatArray, prior: FloatArray | None) -> tuple[FloatArray, bool]:
    """Return the Cholesky factor of A' V^-1 A + D^-1."""
    precision = (table.T / noise) @ table
    if prior is not None:
        precision.flat[:: len(precision) + 1] += 1 / prior
    factor, lower = cho_factor(precision, lower=True)
    return np.asarray(factor), bool(lower)


def empirical_bayes(
    strings: PauliStrings, outcomes: ProbeOutcomes, noise: FloatArray, *, classes: NDArray[np.int64] | None = None
) -> FloatArray:
    """Return prior variances, one scale for each class of strings, that maximize the likelihood of the outcomes.

    The iteration is MacKay's fixed point (Neural Computation 4, 415, 1992), from estimates by second moments.

    Args:
        strings: Strings whose coefficients are to be fitted.
        outcomes: Outcomes of the probes.
        noise: Variance of each outcome, (probes,).
        classes: Class of each string, (strings,); None takes the number of qubits it acts on.

    Returns:
        Prior variance of each coefficient, (strings,).

    Example:
        >>> strings = PauliStrings.every(2)
        >>> states = ProductStates(PauliStrings.from_text(["XX", "YY", "ZZ"] * 4), np.repeat([0, 1, 2, 3], 3))
        >>> values = states.expectations(PauliStrings.from_text(["XI", "ZI"])) @ [0.6, 0.8]
        >>> outcomes = ProbeOutcomes(states, values, np.full(12, 1e-4), np.zeros((12, 0)))
        >>> prior = empirical_bayes(strings, outcomes, outcomes.variances)
        >>> bool(prior[strings.weights == 1].min() > 100 * prior[strings.weights == 2].max())
        True
    """
    _, index = np.unique(strings.weights if classes is None else classes, return_inverse=True)
    table, values = outcomes.states.expectations(strings), outcomes.values
    scales = _moments(table, values, noise, index)
    for _ in range(_ITERATIONS):
        prior = np.maximum(scales, _SMALLEST * scales.max())[index]
        squares, effective = _effective_numbers(table, values, noise, prior)
        updated = np.bincount(index, squares) / np.maximum(np.bincount(index, effective), 1e-12)
        change = np.abs(updated - scales).max() / updated.max()
        scales = updated
        if change < _CONVERGED:
            break
    return np.asarray(np.maximum(scales, _SMALLEST * scales.max())[index])


def _moments(table: FloatArray, values: FloatArray, noise: FloatArray, index: NDArray[np.intp]) -> FloatArray:
    """Return scales by which the quadratic forms |A_c' y|^2 of the classes have their expectations, and at least a little."""
    count = int(index.max()) + 1
    own = [table[:, index == c] for c in range(count)]
    overlaps = np.array([[float(np.sum((a.T @ b) ** 2)) for b in own] for a in own])
    squares = np.array([float(np.sum((a.T @ values) ** 2) - np.sum(a**2 * noise[:, np.newaxis])) for a in own])
    scales = np.linalg.lstsq(overlaps, squares, rcond=None)[0].clip(0)
    typical = max(float(np.mean(values**2)), float(noise.mean())) / table.shape[1]
    return np.asarray(np.maximum(scales, 1e-3 * max(typical, float(scales.max()))))


def _effective_numbers(
    table: FloatArray, values: FloatArray, noise: FloatArray, prior: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the square of each fitted coefficient, and the share of it that the data and not the prior decides."""
    if table.shape[1] > table.shape[0]:
        kernel = (table * prior) @ table.T
        kernel.flat[:: len(kernel) + 1] += noise
        factor = cho_factor(kernel, lower=True)
        fitted = prior * (table.T @ cho_solve(factor, values))
        return fitted**2, prior * np.einsum("ps,ps->s", table, cho_solve(factor, table))
    factor = _precision_factor(table, noise, prior)
    fitted = cho_solve(factor, table.T @ (values / noise))
    posterior = np.diag(cho_solve(factor, np.eye(len(prior))))
    return fitted**2, 1 - posterior / prior


@dataclass(frozen=True, eq=False)
class Damping(Frozen):
    """The common factor by which noise damps all expectations, from circuits with their noise amplified.

    Args:
        factor: Ratio of a measured expectation to the noiseless one.
        stderr: Relative standard error of the factor from the counts of the folded circuits.
        gradient: Derivatives of its logarithm by the fitted coefficients, (strings,).
        shared: Derivatives of its logarithm by the shared numbers, (numbers,).
    """

    factor: float
    stderr: float
    gradient: FloatArray
    shared: FloatArray

    @classmethod
    def estimate(cls, fit: CoefficientFit, folded: ProbeOutcomes, noise: FloatArray, depth: int) -> Damping:
        """Estimate the factor over all folded probes together: their outcomes are factor^(depth - 1) times those of the fit.

        Args:
            fit: Fit of the probes that were not folded.
            folded: Outcomes of folded probes.
            noise: Variance of each that weights it, (probes,).
            depth: Number of times that they are as deep.

        Raises:
            ValueError: Nothing of the signal is left in the folded circuits.
        """
        table = folded.states.expectations(fit.strings)
        predicted = table @ fit.coefficients
        spread = np.einsum("ps,ps->p", table @ fit.covariance, table)
        size = float(np.sum((predicted**2 - spread) / noise))
        ratio = float(np.sum(predicted * folded.values / noise)) / size if size > 0 else -1.0
        if ratio <= 0:
            raise ValueError(
                f"the expectations of circuits folded {depth} times are {ratio:.2g} of the others: the damping cannot be "
                "estimated; use more shots, or leave out the correction"
            )
        unit = 1 / (size * ratio * (depth - 1))
        gradient = unit * (table.T @ ((folded.values - 2 * ratio * predicted) / noise))
        own = unit * predicted / noise
        return cls(
            factor=ratio ** (1 / (depth - 1)),
            stderr=float(np.sqrt(np.sum(own**2 * folded.variances))),
            gradient=gradient,
            shared=own @ folded.sensitivities,
        )
