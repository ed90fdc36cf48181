"""Bias that a zero-noise fit may leave, from its difference to other fits that the same outcomes admit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hattriq_cirq.circuits.deviation import Deviation, Residual
from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution
from hattriq_cirq.foundation.arrays import FloatArray

Grouped = Sequence[Sequence[Distribution | QuasiDistribution]]


def difference_of_fits(
    factors: Sequence[int], coefficients: FloatArray, degree: int, grouped: Grouped
) -> tuple[Deviation, str]:
    """Return the deviation that a fit may leave, and a note on it.

    The fit is compared with an exponential decay at the mean rate of all outcomes, and with the polynomial of the next degree
    where there are enough factors. The larger damping counts. The spread of single outcomes is that of the polynomial; without
    one it is as large as the damping.

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
    decay = _exponential_damping(factors, coefficients, dense)
    if len(factors) < degree + 2:
        return Deviation(decay, abs(decay)), _note(f"an exponential decay by {_percent(decay)}", undetermined=True)
    higher = np.linalg.pinv(np.vander(np.array(factors, dtype=float), degree + 2, increasing=True))[0]
    residuals = [_residual(coefficients, higher, copies) for copies in dense]
    polynomial = Deviation.measured(residuals)
    compared = f"a fit of degree {degree + 1} by {_percent(polynomial.damping)} and an exponential decay by {_percent(decay)}"
    damping = max(polynomial.damping, decay, key=abs)
    return Deviation(damping, polynomial.spread), _note(compared, undetermined=False)


def _note(compared: str, *, undetermined: bool) -> str:
    no_more = "; a higher degree needs more factors" if undetermined else ""
    return f"the zero-noise fit differs in scale from {compared}{no_more}; the systematic part of errors is taken from this"


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


def _exponential_damping(
    factors: Sequence[int], coefficients: FloatArray, dense: Sequence[Sequence[QuasiDistribution]]
) -> float:
    """Return the damping that a fit leaves if all outcomes decay to uniform at the rate between the two smallest factors."""
    first, second = np.argsort(factors)[:2]
    own = cross = noise = 0.0
    for copies in dense:
        near, far = (copies[i].probabilities - 1 / len(copies[i].probabilities) for i in (first, second))
        own, cross = own + float(near @ near) - copies[first].total_variance, cross + float(near @ far)
        noise += (copies[first].total_variance + copies[second].total_variance) * float(near @ near) / len(near)
    if own <= 0 or cross <= 0:
        return 0.0
    uncertainty = 2 * np.sqrt(noise) / own
    ratio = min(1.0, cross / own + uncertainty)  # a decay that the counts do not show is none
    rate = ratio ** (1 / (factors[second] - factors[first]))
    return 1 - float(coefficients @ rate ** np.array(factors, dtype=float))
