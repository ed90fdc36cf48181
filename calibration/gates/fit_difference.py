"""Bias that a zero-noise fit may leave, from its difference to other fits that the same outcomes admit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hattriq_cirq.circuits.deviation import Deviation, Residual
from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution
from hattriq_cirq.foundation.arrays import FloatArray

#: Outcomes of each circuit, one per factor.
Grouped = Sequence[Sequence[Distribution | QuasiDistribution]]
_RATE_SCATTER = 0.25  # standard deviation of the rates of single outcomes, relative to the mean rate
_NOT_SMOOTH = 0.08, 0.7  # spread that any fit leaves, per damping that it removes and per square of it
_LEAST_RATIO = 0.1  # smallest ratio of the outcomes with more and with less noise; less signal is noise


def damping_left(factors: Sequence[int], coefficients: FloatArray, rate: float) -> float:
    """Return the damping that a fit leaves of outcomes that decay to uniform at a rate per unit of the factor.

    Example:
        >>> round(damping_left((1, 3), np.array([1.5, -0.5]), 0.9), 4)
        0.0145
    """
    return 1 - float(coefficients @ rate ** np.array(factors, dtype=float))


def spread_left(factors: Sequence[int], coefficients: FloatArray, rate: float) -> float:
    """Return the spread that a fit leaves of outcomes whose rates scatter by a quarter about the mean rate.

    On random circuits of 3 and 4 qubits a fit leaves besides, in single outcomes, 8% of the damping d that it removes, and
    0.7 d**2: errors of heavy noise are not those of one decay.
    """
    ends = [damping_left(factors, coefficients, rate ** (1 + sign * _RATE_SCATTER)) for sign in (-1, 1)]
    removed = 1 - rate if np.count_nonzero(coefficients) > 1 else 0.0
    return float(np.linalg.norm([(ends[1] - ends[0]) / 2, _NOT_SMOOTH[0] * removed, _NOT_SMOOTH[1] * removed**2]))


def mean_rate(factors: Sequence[int], grouped: Grouped, significance: float = 0.0) -> float:
    """Return the mean decay of the deviation of outcomes from uniform, per unit of the factor, at most 1.

    Args:
        factors: Noise amplification factors; the two smallest are compared.
        grouped: Outcomes of each circuit, one per factor.
        significance: Number of standard deviations of the counts by which a rate may be below 1 and still count as 1.
    """
    first, second = np.argsort(factors)[:2]
    own = cross = noise = 0.0
    for copies in grouped:
        near, far = (QuasiDistribution.from_outcome(copies[i]) for i in (first, second))
        signal, damped = (each.probabilities - 1 / len(each.probabilities) for each in (near, far))
        own, cross = own + float(signal @ signal) - near.total_variance, cross + float(signal @ damped)
        noise += (near.total_variance + far.total_variance) * float(signal @ signal) / len(signal)
    if own <= 0 or cross <= 0:
        return 1.0
    ratio = np.clip(cross / own + significance * np.sqrt(noise) / own, _LEAST_RATIO, 1.0)
    return float(ratio ** (1 / (factors[second] - factors[first])))


def difference_of_fits(
    factors: Sequence[int], coefficients: FloatArray, degree: int, grouped: Grouped
) -> tuple[Deviation, str]:
    """Return the deviation that a fit may leave, and a note on it.

    The fit is compared with an exponential decay at the mean rate of all outcomes, and with the polynomial of the next degree
    where there are enough factors. The larger damping counts, and the larger spread.

    Args:
        factors: Noise amplification factors.
        coefficients: Coefficients of the fit, (factors,).
        degree: Degree of the fit.
        grouped: Outcomes of each circuit, one per factor.

    Returns:
        The deviation, and one sentence.
    """
    measures = [[QuasiDistribution.from_outcome(outcome).without_systematic for outcome in copies] for copies in grouped]
    dense = [copies for copies in measures if all(copy.support is None for copy in copies)]
    if not dense:
        return Deviation(0.0, 0.0), "the bias of the zero-noise fit was not estimated: circuits measure too many bits"
    rate = mean_rate(factors, dense, significance=2.0)
    decay, spread = damping_left(factors, coefficients, rate), spread_left(factors, coefficients, rate)
    if len(factors) < degree + 2:
        compared = f"an exponential decay by {_percent(decay)}; a higher degree needs more factors"
        return Deviation(decay, spread), _note(compared)
    higher = np.linalg.pinv(np.vander(np.array(factors, dtype=float), degree + 2, increasing=True))[0]
    polynomial = Deviation.measured(_residual(coefficients, higher, copies) for copies in dense)
    compared = f"a fit of degree {degree + 1} by {_percent(polynomial.damping)} and an exponential decay by {_percent(decay)}"
    damping = max(polynomial.damping, decay, key=abs)
    return Deviation(damping, max(polynomial.spread, spread)), _note(compared)


def _note(compared: str) -> str:
    return f"the zero-noise fit differs in scale from {compared}; the systematic part of errors is taken from this"


def _percent(damping: float) -> str:
    return f"{100 * damping:.1f}%"


def _residual(coefficients: FloatArray, higher: FloatArray, copies: Sequence[QuasiDistribution]) -> Residual:
    """Return the difference of a fit to one of a higher degree, which is taken as the reference, for one circuit."""
    outcomes = np.array([copy.probabilities for copy in copies])
    variances = np.array([copy.total_variance for copy in copies])
    return Residual(
        (coefficients - higher) @ outcomes,
        coefficients @ outcomes - 1 / outcomes.shape[1],
        float((coefficients - higher) ** 2 @ variances),
        float(coefficients**2 @ variances),
    )
