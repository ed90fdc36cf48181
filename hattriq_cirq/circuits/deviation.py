"""Deviation of outcomes that noise or its correction may leave: the systematic part of errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.optimize import brentq

from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution, SharedUncertainty
from hattriq_cirq.foundation.arrays import FloatArray

#: Kinds of a processor's errors: random errors of gates and idle time, errors of the angles of its gates, those among these
#: that all gauges of the gate have in common, so that no twirling averages them, and errors of readout.
ErrorKind = Literal["gates", "angles", "untwirled angles", "readout"]
ALL_KINDS: frozenset[ErrorKind] = frozenset(get_args(ErrorKind))

#: A damping leaves a share exp(-s) of a signal, and s is as uncertain as the rates of errors that add up to it: on random
#: circuits of 3 and 4 qubits it was 1.0 times the predicted one, with a standard deviation of 0.2. A 95% interval, of a half
#: width of `_OF_INTERVAL` standard deviations, therefore reaches as far as a damping with `_LARGEST_RATE` times this s.
_LARGEST_RATE, _OF_INTERVAL = 1.47, 1.96
_LARGEST_DAMPING = 0.9
_ROUNDING = 1e-12
_SIGNIFICANCE = 2.0  # standard deviations of the counts that are no deviation


@dataclass(frozen=True)
class Deviation:
    """Deviation of outcome probabilities q from the true ones p: a damping common to all circuits, and a spread.

    Noise draws the outcomes of a circuit to the uniform distribution u, and changes each of them besides:
    q = p - damping * (p - u) + spread * rms(p - u) * e, with independent e of variance 1 for all outcomes of all circuits.

    Args:
        damping: Damping, below 1; negative where a correction goes too far.
        spread: Spread, at least 0.
        uncertainty: Standard deviation of the damping, where it was measured.

    Example:
        >>> outcome = Distribution(np.array([0.9, 0.1]), None)
        >>> (uncertain,) = attach([outcome], [Deviation(damping=0.1, spread=0.0)])
        >>> [slopes.round(3).tolist() for slopes in uncertain.shared.values()]
        [[[0.034], [-0.034]]]
    """

    damping: float
    spread: float
    uncertainty: float = 0.0

    @property
    def left(self) -> float:
        """Share of the signal that the damping leaves."""
        return 1 - min(self.damping, _LARGEST_DAMPING)

    @property
    def size_of_damping(self) -> float:
        """Standard deviation that stands for the damping, which has a known sign, relative to the damped signal."""
        return float(abs(self.left**-_LARGEST_RATE - 1)) / _OF_INTERVAL

    @property
    def loss(self) -> float:
        """The same standard deviation relative to the whole signal."""
        return self.size_of_damping * self.left

    @property
    def variance(self) -> float:
        """Mean square of the relative deviation of outcomes for which this one stands in their errors."""
        return self.loss**2 + self.spread**2

    def beyond(self, variance: float) -> Deviation:
        """Return the deviation that makes up this one together with deviations of a mean square; zero if they suffice."""
        share = float(np.sqrt(max(0.0, 1 - variance / self.variance))) if self.variance else 0.0
        wanted = share * self.loss
        damping = float(brentq(lambda smaller: Deviation(smaller, 0.0).loss - wanted, 0.0, 1 - self.left)) if wanted else 0.0
        return Deviation(damping, share * self.spread)

    @classmethod
    def measured(cls, residuals: Iterable[Residual], significance: float = _SIGNIFICANCE) -> Deviation:
        """Estimate the deviation from circuits whose outcomes can be compared with others; zero without any.

        What the counts may explain, up to two standard deviations, is subtracted, so that circuits without noise have hardly
        any deviation.

        Args:
            residuals: Comparisons, one per circuit; those whose reference is uniform say nothing.
            significance: Number of standard deviations to subtract.
        """
        used = [each for each in residuals if each.power > 0]
        if not used:
            return cls(0.0, 0.0)
        damping = float(np.mean([each.damping for each in used]))
        uncertainty = float(np.sqrt(np.sum([each.damping_variance for each in used]))) / len(used)
        square = float(np.mean([each.squared_spread(damping) for each in used]))
        noise = float(np.sqrt(np.sum([each.spread_variance for each in used]))) / len(used)
        significant = np.sqrt(max(0.0, damping**2 - (significance * uncertainty) ** 2))
        spread = np.sqrt(max(0.0, square - significance * noise))
        return cls(float(np.copysign(significant, damping)), float(spread), uncertainty)


@dataclass(frozen=True, eq=False)
class Residual:
    """Difference between the outcome of a circuit and what it is compared with.

    Args:
        difference: Outcome minus reference, (2**bits,).
        reference: Reference minus the uniform distribution, (2**bits,).
        variance: Sum of the variances of the difference from the counts.
        reference_variance: Sum of the variances of the reference; 0 where it is known.
    """

    difference: FloatArray
    reference: FloatArray
    variance: float
    reference_variance: float = 0.0

    @property
    def power(self) -> float:
        """Sum of the squares of the reference, without what the counts contribute; 0 where rounding explains it."""
        power = float(self.reference @ self.reference) - 2 * self.reference_variance
        return power if power > 1e-9 else 0.0

    @property
    def damping(self) -> float:
        """Share of the reference that the difference takes away."""
        return -float(self.difference @ self.reference) / self.power

    @property
    def damping_variance(self) -> float:
        """Variance of `damping` from the counts."""
        return self.variance / len(self.reference) / self.power

    def squared_spread(self, damping: float) -> float:
        """Return the squared norm of what a damping does not explain, without what the counts do, relative to the reference."""
        rest = self.difference + damping * self.reference
        return (float(rest @ rest) - self.variance) / self.power

    @property
    def spread_variance(self) -> float:
        """Variance of `squared_spread` from the counts."""
        return 2 * self.variance**2 / self.degrees / self.power**2

    @property
    def degrees(self) -> float:
        """Number of independent errors of one size that scatter like those of the counts: few where few outcomes occur."""
        probabilities = np.maximum(self.reference + 1 / len(self.reference), 0)
        first, second, third = (float(np.sum(probabilities**power)) for power in (1, 2, 3))
        squares = second - 2 * third / first + (second / first) ** 2  # of all entries of the covariance of multinomial counts
        return max(1.0, (first - second / first) ** 2 / squares) if squares > _ROUNDING else 1.0


def attach(
    outcomes: Sequence[Distribution | QuasiDistribution], deviations: Sequence[Deviation]
) -> list[Distribution | QuasiDistribution]:
    """Return outcomes with their deviations as systematic uncertainties; the damping is one uncertain number of all of them.

    Args:
        outcomes: Outcomes; those of more than 20 bits, whose zeros are not kept, are returned as they are.
        deviations: Deviation of each.
    """
    damping = SharedUncertainty(np.ones((1, 1)), systematic=True)
    uncertain: list[Distribution | QuasiDistribution] = []
    for outcome, deviation in zip(outcomes, deviations, strict=True):
        measure = QuasiDistribution.from_outcome(outcome)
        if measure.support is not None or deviation == Deviation(0.0, 0.0):
            uncertain.append(outcome)
            continue
        from_uniform = measure.probabilities - 1 / len(measure.probabilities)
        power = max(0.0, float(from_uniform @ from_uniform) - measure.total_variance)
        size_of_damping = float(np.hypot(deviation.size_of_damping, deviation.uncertainty / deviation.left))
        slopes = (size_of_damping * from_uniform)[:, np.newaxis]
        size = deviation.spread * float(np.sqrt(power / len(from_uniform))) / deviation.left
        own = SharedUncertainty(np.ones((1, 1)), systematic=True)
        uncertain.append(measure.with_uncertainty(slopes={damping: slopes}, spreads={own: size}))
    return uncertain
