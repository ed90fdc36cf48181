"""The fit of an observable's coefficients to the outcomes of probes: ridge regression with its covariance, and its prior.

Every outcome y is linear in the coefficients m with a sparse table A of numbers 0, -1 and +1. With prior variances D and
variances V of the outcomes the fit is m = G y, where

    G = (A' V^-1 A + D^-1)^-1 A' V^-1 = D A' K^-1,    K = A D A' + V,

is computed in the smaller of the two spaces, that of the strings or that of the probes; without a prior it is least squares.
V depends on the shots alone and not on the outcomes, so that the fit is linear in the data; its covariance is computed with
the measured variances.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, pinvh
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, cg
from scipy.special import softmax

from hattriq_cirq.foundation.arrays import FloatArray, read_only
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.models.outcome_covariance import OutcomeCovariance
from hattriq_cirq.models.pauli_strings import PauliStrings, ProductStates

#: Number of variances in a mixture, from the largest down, and their ratio.
SCALES, STEP = 11, 4.0
_EVEN = 3  # strings of evenly spread variances that are added to those of all classes
_POOLED = 30  # strings with the variances of all classes that are added to each class
_ITERATIONS, _EM_STEPS = 60, 3
_CONVERGED = 2e-3  # relative change of the coefficients between iterations
_PRECISION = 1e-6  # smallest variance of an outcome for the prior's sake, as a share of the mean square
_UNSEEN = 1e6  # variance that stands for no measurement, as a share of the largest prior variance
_SPARE = 1.2  # outcomes for each string from which on the coefficients are explained without a prior
_UNKNOWN = 1.0  # relative error of a damping factor of which nothing is known
_SOLVED, _SOLVER_STEPS = 1e-3, 500  # relative residual of the equations of one iteration, and most steps


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
class OutsideStrings(Frozen):
    """Strings that an observable may have and that a fit leaves out.

    Args:
        strings: The strings.
        variances: Expected square of the coefficient of each, (strings,): 0 where it is taken to be zero.

    Raises:
        ValueError: The numbers differ, or a variance is negative.

    Example:
        >>> outside = OutsideStrings(PauliStrings.from_text(["X", "Z"]), np.array([0.04, 0.0]))
        >>> outside.variance_in(ProductStates(PauliStrings.from_text(["X", "Z"]), np.array([0, 0])))
        array([0.04, 0.  ])
    """

    strings: PauliStrings
    variances: FloatArray

    def __post_init__(self) -> None:
        if self.variances.shape != (len(self.strings),) or not (self.variances >= 0).all():
            raise ValueError(
                f"{self.variances.shape=} must be ({len(self.strings)},), one number of at least 0 for each string"
            )
        super().__post_init__()

    def joined(self, others: OutsideStrings) -> OutsideStrings:
        """Return these strings and then others."""
        return OutsideStrings(self.strings.joined(others.strings), np.concatenate([self.variances, others.variances]))

    def variance_in(self, states: ProductStates) -> FloatArray:
        """Return the variance that the strings add to the expectation in each state, (states,)."""
        expected = np.flatnonzero(self.variances)
        return np.asarray(abs(states.expectations(self.strings.select(expected))) @ self.variances[expected])


@dataclass(frozen=True, eq=False)
class RepeatedOutcomes(Frozen):
    """Expectations of an observable in the same states, by the same circuits, at the beginning and at the end of a campaign.

    Args:
        first: Values at the beginning, (states,).
        last: Values at the end, (states,).
        variances: Variances of their differences on a device that does not change, from counts alone, (states,).
        sensitivities: Derivatives of the differences by uncorrelated numbers of variance 1, such as the rates of readout
            calibrations of each end, (states, numbers); None for none.

    Raises:
        ValueError: The shapes differ, or a variance is negative.
    """

    first: FloatArray
    last: FloatArray
    variances: FloatArray
    sensitivities: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.sensitivities is None:
            object.__setattr__(self, "sensitivities", np.zeros((len(self.first), 0)))
        if (
            self.first.ndim != 1
            or not self.first.shape == self.last.shape == self.variances.shape
            or (self.variances < 0).any()
        ):
            shapes = self.first.shape, self.last.shape, self.variances.shape
            raise ValueError(f"repeated outcomes of shapes {shapes} must be alike, (states,), with variances of at least 0")
        super().__post_init__()

    @property
    def covariance(self) -> OutcomeCovariance:
        """Covariance of the differences on a device that does not change."""
        return OutcomeCovariance.of(self.variances, np.asarray(self.sensitivities))


@dataclass(frozen=True, eq=False)
class CoefficientPrior(Frozen):
    """Independent normal distributions of coefficients around 0, before the data.

    Args:
        variances: Variance of each coefficient, (strings,).
        errors: Derivatives of the variances by uncorrelated numbers of variance 1, (strings, numbers): the errors of scales
            that several coefficients share.
        doubt: What the errors of each coefficient's own variance add to the expected square of the coefficient, (strings,).

    Raises:
        ValueError: A variance is not positive, or the shapes differ.
    """

    variances: FloatArray
    errors: FloatArray
    doubt: FloatArray

    def __post_init__(self) -> None:
        shape = self.variances.shape
        if len(shape) != 1 or self.errors.shape[:-1] != shape or self.doubt.shape != shape or not (self.variances > 0).all():
            raise ValueError(f"prior of shapes {shape}, {self.errors.shape} and {self.doubt.shape} must be positive and match")
        super().__post_init__()

    @classmethod
    def known(cls, variances: FloatArray) -> CoefficientPrior:
        """Return a prior whose variances are known."""
        return cls(variances, np.zeros((len(variances), 0)), np.zeros(len(variances)))

    @property
    def spread(self) -> FloatArray:
        """Expected square of each coefficient, (strings,): the variance that its error has where nothing is measured."""
        return self.variances + self.doubt


@dataclass(frozen=True, eq=False)
class CoefficientFit(Frozen):
    """A linear fit of coefficients to the outcomes of probes.

    Args:
        strings: Strings whose coefficients are fitted.
        outcomes: Outcomes of the probes.
        noise: Variance of each outcome that weights it in the fit, (probes,).
        prior: Prior of the coefficients; None for least squares.

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
    prior: CoefficientPrior | None

    @cached_property
    def table(self) -> csr_array:
        """Expectation of each string in each state, (probes, strings)."""
        return self.outcomes.states.expectations(self.strings)

    @cached_property
    def gain(self) -> FloatArray:
        """The matrix G of the fit, coefficients = G values, (strings, probes)."""
        return _gain(self.table, self.noise, None if self.prior is None else self.prior.variances)

    @cached_property
    def coefficients(self) -> FloatArray:
        """Fitted coefficients, (strings,)."""
        return read_only(self.gain @ self.outcomes.values)

    @property
    def uncertainty(self) -> FloatArray:
        """Expected square of the error of each coefficient, (strings,): what probes and prior leave of its expected square.

        It is the diagonal of the covariance without the errors that all probes share.
        """
        if self.prior is None:
            return np.asarray(self.scatter(self.gain).diagonal())
        missed = 1 - np.asarray(self.table.T.multiply(self.gain).sum(axis=1)).reshape(-1)
        return np.asarray(self.prior.variances * missed + self.prior.doubt * missed**2)

    def residual_weights(self, table: csr_array, covariance: FloatArray) -> tuple[FloatArray, int]:
        """Return the inverse covariance of what the coefficients cannot explain in outcomes, (outcomes, outcomes).

        The prior takes part only where there are too few outcomes to do without it.

        Args:
            table: Derivatives of the outcomes by the coefficients, (outcomes, strings).
            covariance: Covariance of the outcomes for known coefficients, (outcomes, outcomes).

        Returns:
            The matrix, and the number of independent outcomes that are left.
        """
        count, strings = table.shape
        if self.prior is not None and count < _SPARE * strings:
            return _inverse(covariance + (table.multiply(self.prior.spread).tocsr() @ table.T).toarray()), count
        inverse = _inverse(covariance.copy())
        explained = inverse @ table.toarray()
        separate, rank = pinvh(table.T @ explained, return_rank=True)
        return np.asarray(inverse - explained @ separate @ explained.T), count - int(rank)

    @cached_property
    def shared(self) -> FloatArray:
        """Derivatives of the coefficients by the shared numbers, (strings, numbers)."""
        return read_only(self.gain @ self.outcomes.sensitivities)

    @cached_property
    def covariance(self) -> FloatArray:
        """Covariance of the errors of the coefficients, (strings, strings): counts and gauges, prior, and shared numbers."""
        if self.prior is None:
            return self.scatter(self.gain) + self.shared @ self.shared.T
        missed = -(self.gain @ self.table)
        missed.flat[:: len(missed) + 1] += 1
        common = np.concatenate([self.shared, self.scaled(np.eye(len(self.strings)), self.gain)], axis=1)
        missed *= np.sqrt(self.prior.spread)
        total = self.scatter(self.gain)
        total += missed @ missed.T
        total += common @ common.T
        return total

    def covariance_of(self, rows: csr_array, sensitivities: FloatArray) -> FloatArray:
        """Return the covariance of the errors of predictions, (rows, rows), against values that share errors with the fit.

        Args:
            rows: Derivatives of the predictions by the coefficients, (rows, strings).
            sensitivities: Derivatives of the values they are compared with by the shared numbers, (rows, numbers).
        """
        gains = rows @ self.gain
        total = self.scatter(gains)
        common = gains @ self.outcomes.sensitivities - sensitivities
        if self.prior is not None:
            missed = rows - gains @ self.table
            total += (missed * self.prior.spread) @ missed.T
            common = np.concatenate([common, self.scaled(rows, gains)], axis=1)
        return np.asarray(total + common @ common.T)

    def scatter(self, gains: FloatArray) -> FloatArray:
        """Return the covariance of linear functions of the values, (rows, probes), from the scatter of the outcomes."""
        scaled = gains * np.sqrt(self.outcomes.variances)
        return np.asarray(scaled @ scaled.T)

    def scaled(self, rows: FloatArray | csr_array, gains: FloatArray) -> FloatArray:
        """Return the derivatives of functions of the coefficients by the errors of the prior, (rows, numbers).

        Args:
            rows: Derivatives of the functions by the coefficients, (rows, strings).
            gains: The same functions of the values, (rows, probes).
        """
        assert self.prior is not None
        changes = self.prior.errors * (self.coefficients / self.prior.variances)[:, np.newaxis]
        return np.asarray(rows @ changes - gains @ (self.table @ changes))


def _gain(table: csr_array, noise: FloatArray, prior: FloatArray | None) -> FloatArray:
    """Return the matrix G of the fit, (strings, probes)."""
    if prior is not None and table.shape[1] > table.shape[0]:
        gain = np.asarray(table.T @ _kernel_inverse(table, noise, prior))
        gain *= prior[:, np.newaxis]
        return gain
    return np.asarray((table @ _posterior(table, noise, prior)).T / noise)


def _kernel_inverse(table: csr_array, noise: FloatArray, prior: FloatArray) -> FloatArray:
    """Return the inverse of K = A D A' + V, (probes, probes)."""
    kernel = (table.multiply(prior).tocsr() @ table.T).toarray()
    kernel.flat[:: len(kernel) + 1] += noise
    return _inverse(kernel)


def _posterior(table: csr_array, noise: FloatArray, prior: FloatArray | None) -> FloatArray:
    """Return the inverse of A' V^-1 A + D^-1, (strings, strings)."""
    precision = (table.T.multiply(1 / noise).tocsr() @ table).toarray()
    if prior is not None:
        precision.flat[:: len(precision) + 1] += 1 / prior
    return _inverse(precision)


def _inverse(matrix: FloatArray) -> FloatArray:
    """Return the inverse of a positive definite matrix, which is overwritten."""
    factor, failed = dpotrf(matrix, lower=1, overwrite_a=1)
    if failed:
        raise LinAlgError("the probes and the prior do not determine the coefficients")
    inverse, _ = dpotri(factor, lower=1, overwrite_c=1)
    upper = np.triu_indices(len(inverse), 1)
    inverse[upper] = inverse.T[upper]
    return np.asarray(inverse)


def empirical_bayes(
    strings: PauliStrings, outcomes: ProbeOutcomes, noise: FloatArray, *, classes: NDArray[np.int64] | None = None
) -> CoefficientPrior:
    """Return a heavy-tailed prior whose shape is from the outcomes: in each class of strings a few coefficients may be large.

    Within a class the coefficients follow a mixture of normal distributions around 0 with fixed variances v_k and unknown
    weights (adaptive shrinkage: Stephens, Biostatistics 18, 275, 2017). What all outcomes say about one coefficient m_P is
    close to one measurement R_P = m_P + noise of variance t_P, so that its posterior mean is R_P times
    sum_k Pr(k | R_P) v_k / (v_k + t_P). The prior variance of the ridge regression is the one that shrinks as much, and R_P and
    t_P follow from that regression: these equations of approximate message passing (Rangan, ISIT 2168, 2011) are solved by
    repeating it, and the weights by expectation maximization.

    Args:
        strings: Strings whose coefficients are to be fitted.
        outcomes: Outcomes of the probes.
        noise: Variance of each outcome, (probes,).
        classes: Class of each string, (strings,); None takes the number of qubits it acts on.

    Returns:
        The prior, with what the doubt about each variance adds to the errors.

    Example:
        >>> strings = PauliStrings.every(2)
        >>> states = ProductStates(PauliStrings.from_text(["XX", "YY", "ZZ"] * 4), np.repeat([0, 1, 2, 3], 3))
        >>> values = states.expectations(PauliStrings.from_text(["XI", "ZI"])) @ [0.6, 0.8]
        >>> outcomes = ProbeOutcomes(states, values, np.full(12, 1e-4), np.zeros((12, 0)))
        >>> prior = empirical_bayes(strings, outcomes, outcomes.variances)
        >>> strings.select(prior.variances > 0.2).texts
        ['ZI', 'XI']
    """
    _, index = np.unique(strings.weights if classes is None else classes, return_inverse=True)
    table, values = outcomes.states.expectations(strings), outcomes.values
    columns, squares = table.T.tocsr(), abs(table)
    size = float(np.mean(values**2))
    noise = np.maximum(noise, max(_PRECISION * size, 1e-300))
    largest = max(float(np.max(values**2, initial=0.0)), float(noise.mean()))
    variances = largest * STEP ** -np.arange(SCALES)
    weights = np.full((int(index.max()) + 1, SCALES), 1 / SCALES)
    prior = np.full(len(index), max(size, float(noise.mean())) * len(values) / max(1, table.nnz))
    errors, solved = prior, np.zeros(len(values))
    for _ in range(_ITERATIONS):
        precision = squares.T @ (1 / (noise + squares @ errors))
        scatter = 1 / np.maximum(precision, 1 / (_UNSEEN * largest))
        solved = _solve(table, columns, noise, prior, solved, values)
        slope = columns @ solved
        fitted = prior * slope
        separate = fitted + scatter * slope
        shrinkage = variances / (variances + scatter[:, np.newaxis])
        for _ in range(_EM_STEPS):
            squared = (separate**2 / scatter)[:, np.newaxis] * (1 - shrinkage)
            shares = softmax(np.log(weights)[index] + (np.log1p(-shrinkage) - squared) / 2, axis=1)
            weights = mixture_weights(index, shares)
        shrunk = np.sum(shares * shrinkage, axis=1)
        doubt = (np.sum(shares * shrinkage**2, axis=1) - shrunk**2).clip(0) * separate**2
        errors = shrunk * scatter + doubt
        prior = scatter * shrunk / (1 - shrunk)
        if np.linalg.norm(shrunk * separate - fitted) <= _CONVERGED * np.linalg.norm(fitted):
            break
    return CoefficientPrior(prior, np.zeros((len(prior), 0)), doubt / (1 - shrunk) ** 2)


def mixture_weights(index: NDArray[np.int64], shares: FloatArray) -> FloatArray:
    """Return the weights of the variances in each class, (classes, variances), a few strings of all classes added to each.

    Args:
        index: Class of each string, from 0, (strings,).
        shares: Probability of each variance for each string, (strings, variances).
    """
    weights = np.stack([np.bincount(index, share) for share in shares.T], axis=1)
    everywhere = weights.sum(axis=0) + _EVEN / SCALES
    weights += _POOLED * everywhere / everywhere.sum()
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _solve(
    table: csr_array, columns: csr_array, noise: FloatArray, prior: FloatArray, start: FloatArray, values: FloatArray
) -> FloatArray:
    """Return K^-1 y for K = A D A' + V, (probes,), by conjugate gradients from a start."""
    inverse = 1 / (noise + abs(table) @ prior)
    shape = (len(noise), len(noise))
    kernel = LinearOperator(shape, matvec=lambda vector: noise * vector + table @ (prior * (columns @ vector)))
    scaled = LinearOperator(shape, matvec=lambda vector: inverse * vector)
    solution, _ = cg(kernel, values, x0=start, rtol=_SOLVED, maxiter=_SOLVER_STEPS, M=scaled)
    return np.asarray(solution)


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

    @property
    def is_known(self) -> bool:
        """False if it could not be measured; the factor is then 1, with an error as large."""
        return self.stderr < _UNKNOWN

    @classmethod
    def estimate(cls, fit: CoefficientFit, folded: ProbeOutcomes, noise: FloatArray, depth: int) -> tuple[Damping, FloatArray]:
        """Estimate the factor over all folded probes together: their outcomes are factor^(depth - 1) times those of the fit.

        The outcomes are regressed on the fit's predictions. Errors of a fit by least squares make its predictions too large,
        and their squares are subtracted; those of a fit with a prior are uncorrelated with its predictions.

        Args:
            fit: Fit of the probes that were not folded.
            folded: Outcomes of folded probes.
            noise: Variance of each that weights it, (probes,).
            depth: Number of times that they are as deep.

        Returns:
            The factor, and the derivatives of its logarithm by the outcomes of the folded probes, (probes,). The factor is
            unknown where nothing of the signal is left in the folded circuits.
        """
        table = folded.states.expectations(fit.strings)
        predicted = table @ fit.coefficients
        size = float(np.sum(predicted**2 / noise))
        if fit.prior is None:
            size -= float(np.sum(table.multiply(table @ fit.covariance).sum(axis=1) / noise))
        ratio = float(np.sum(predicted * folded.values / noise)) / size if size > 0 else -1.0
        if ratio <= 0:
            nothing = np.zeros(len(fit.strings)), np.zeros(folded.sensitivities.shape[1])
            return cls(1.0, _UNKNOWN, *nothing), np.zeros(len(predicted))
        unit = 1 / (size * (depth - 1))
        own = unit / ratio * predicted / noise
        damping = cls(
            factor=ratio ** (1 / (depth - 1)),
            stderr=float(np.sqrt(np.sum(own**2 * folded.variances))),
            gradient=-unit * (table.T @ (predicted / noise)),
            shared=own @ folded.sensitivities,
        )
        return damping, own
