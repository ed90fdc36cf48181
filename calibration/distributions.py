"""Corrected histograms that look like histograms, for pictures only: what makes them positive makes them biased.

Nothing here is for attributions. Both methods end inside the probability simplex, which no unbiased estimate of a
distribution with empty outcomes does, and what they return has no covariance, so that no estimate can be read from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import cirq
import numpy as np
from scipy.optimize import nnls

from calibration.readout.calibration import ReadoutCalibration
from hattriq_cirq.circuits.linear_maps import ProductOperator
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.foundation.arrays import FloatArray, read_only

_MOST = 10  # bits of a dense confusion
_SUM_WEIGHT = 1e3  # of the condition that probabilities sum to 1, beside the squared misfit of each


@dataclass(frozen=True, eq=False)
class BiasedHistogram:
    """A corrected histogram for looking at; not an unbiased estimate, and without an error.

    Args:
        probabilities: (2**bits,), none negative, of sum 1.
        method: how it was made.
        misfit: the L2 distance of what the confusion makes of it to what was observed.
        biased: always true.
    """

    probabilities: FloatArray
    method: str
    misfit: float
    biased: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "probabilities", read_only(self.probabilities))

    def __str__(self) -> str:
        return f"biased histogram by {self.method}, misfit {self.misfit:.2g}: for pictures, not for attributions"


def confusions(calibration: ReadoutCalibration, qubits: Sequence[cirq.Qid]) -> tuple[FloatArray, ...]:
    """The confusion matrix of each measured qubit, (2, 2) [prepared, observed]."""
    return tuple(calibration.confusion(q) for q in qubits)


def least_squares(observed: Distribution, factors: Sequence[FloatArray]) -> BiasedHistogram:
    """The distribution whose confusion is nearest to what was observed, among all that are positive and sum to 1.

    Biased: outcomes that are rare are pushed up to 0 and others down. Solved by `scipy.optimize.nnls`.

    Args:
        observed: counted or exact, up to 10 bits.
        factors: confusions [prepared, observed] of consecutive groups of bits, together all of them.

    Returns:
        The histogram.

    Raises:
        ValueError: too many bits, or confusions of another number of bits.
    """
    outcomes = _checked(observed, factors)
    if outcomes > 2**_MOST:
        raise ValueError(f"{outcomes=} must be at most 2**{_MOST}, a dense confusion is solved; use unfold")
    forward = ProductOperator(tuple(factor.T for factor in factors))
    matrix = np.vstack([forward.apply(np.eye(outcomes)), np.full((1, outcomes), _SUM_WEIGHT)])
    found = nnls(matrix, np.append(observed.probabilities, _SUM_WEIGHT))[0]
    return _histogram(found / found.sum(), "least squares on the simplex", forward, observed)


def unfold(observed: Distribution, factors: Sequence[FloatArray], iterations: int = 100) -> BiasedHistogram:
    """Iterative Bayesian unfolding, from equal probabilities; matrix-free.

    p_i <- p_i sum_j C_ij observed_j / sum_k p_k C_kj (D'Agostini 1995; the EM algorithm of the multinomial likelihood).

    Biased: stopped early it keeps some of the equal probabilities it starts from, run long it fits the noise.

    Args:
        observed: counted or exact.
        factors: confusions [prepared, observed] of consecutive groups of bits, together all of them.
        iterations: at least 1; fewer regularise more.

    Returns:
        The histogram.

    Raises:
        ValueError: no iterations, or confusions of another number of bits.
    """
    outcomes = _checked(observed, factors)
    if iterations < 1:
        raise ValueError(f"{iterations=} must be at least 1")
    backward = ProductOperator(tuple(factors))
    forward = ProductOperator(tuple(factor.T for factor in factors))
    found = np.full(outcomes, 1 / outcomes)
    for _ in range(iterations):
        expected = forward.apply(found)
        ratio = np.divide(observed.probabilities, expected, out=np.zeros(outcomes), where=expected > 0)
        found = found * backward.apply(ratio)
    return _histogram(found / found.sum(), f"Bayesian unfolding, {iterations} iterations", forward, observed)


def _histogram(found: FloatArray, method: str, forward: ProductOperator, observed: Distribution) -> BiasedHistogram:
    return BiasedHistogram(found, method, float(np.linalg.norm(forward.apply(found) - observed.probabilities)))


def _checked(observed: Distribution, factors: Sequence[FloatArray]) -> int:
    outcomes = len(observed.probabilities)
    if prod(len(factor) for factor in factors) != outcomes:
        raise ValueError(f"confusions of shapes {[f.shape for f in factors]} must together be of {outcomes} outcomes")
    for factor in factors:
        if (factor < 0).any() or not np.allclose(factor.sum(axis=1), 1):
            raise ValueError(f"each row of a confusion must be chances of sum 1, [prepared, observed], got {factor.tolist()}")
    return outcomes
