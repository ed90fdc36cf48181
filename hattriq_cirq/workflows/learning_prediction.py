"""Errors of the maps of a campaign before it runs, against its shots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from hattriq_cirq.estimators.probe_design import ProbeDesign
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.models.heavy_tails import HeavyTails

_PRECISION = 1e-6  # of the logarithm of a number of shots


@dataclass(frozen=True, eq=False)
class PredictedError(Frozen):
    """Relative L2 error of a map against the shots of a campaign: the root of its mean square over the inputs.

    It counts the shots, the scatter between gauges and the strings that are left out, without the calibration's errors and what
    noise leaves. Measured errors are .75 to 1.35 times as large.

    Args:
        design: Probes of the fit, with the importance of each string.
        prior: Expected variance of each coefficient, (strings,); None for least squares.
        variance: Mean variance of a shot of the probes of the fit.
        share_of_fit: Share of the shots of a campaign that these probes have, for a number of shots.
        map_size: Mean squared L2 norm of the maps.
        left_out: Mean squared L2 norm of what strings outside the list add to the maps.
        scatter: Variance that they and the gauges add to each outcome, divided by the number of probes.
        tails: Expected coefficients, where a prior from the outcomes tells large ones from small ones; None where it cannot, or
            where they are not known.
    """

    design: ProbeDesign
    prior: FloatArray | None
    variance: float
    share_of_fit: Callable[[float], float]
    map_size: float
    left_out: float = 0.0
    scatter: float = 0.0
    tails: HeavyTails | None = None

    def at(self, shots: float) -> float:
        """Return the relative error for a number of shots; infinite if the maps are zero."""
        squared = float(self.design.importance @ self._variances(shots)) + self.left_out
        return float(np.sqrt(squared / self.map_size)) if self.map_size > 0 else np.inf

    def _variances(self, shots: float) -> FloatArray:
        """Return the expected squared error of each coefficient, (strings,)."""
        own = 1 / (self.variance / (self.share_of_fit(shots) * shots) + self.scatter)  # shots of outcomes of variance 1
        if self.tails is not None:
            return self.tails.errors(self.design.shares, probes=len(self.design.states), shots=own)
        return self.design.variances(own * self.design.share_left(own, self.prior), self.prior)

    def shots_for(self, error: float) -> float:
        """Return the number of shots for a relative error; infinite if no number suffices."""
        return _crossing(self.at, error)

    def shots_for_stderr(self, stderr: float, left: Array, right: Array) -> float:
        """Return the number of shots at which no feature of the map of left = x - b and right = x + b has a larger error."""
        squares = self.design.strings.bilinear(left, right) ** 2

        def largest(shots: float) -> float:
            return float(np.sqrt((squares @ self._variances(shots)).max()))

        return _crossing(largest, stderr)


@dataclass(frozen=True, eq=False)
class LargestError(Frozen):
    """Largest relative error of the maps of several observables of one campaign, with the methods of `PredictedError`.

    Args:
        observables: Error of each observable.
    """

    observables: tuple[PredictedError, ...]

    def at(self, shots: float) -> float:
        """Return the largest relative error for a number of shots."""
        return max(each.at(shots) for each in self.observables)

    def shots_for(self, error: float) -> float:
        """Return the number of shots for which no error is larger; infinite if no number suffices."""
        return max(each.shots_for(error) for each in self.observables)

    def shots_for_stderr(self, stderr: float, left: Array, right: Array) -> float:
        """Return the number of shots at which no feature of any map has a larger error."""
        return max(each.shots_for_stderr(stderr, left, right) for each in self.observables)


def _crossing(error: Callable[[float], float], target: float) -> float:
    """Return the shots at which an error that falls with the shots has fallen to a target; infinite if it never does."""
    low, high = 0.0, float(np.log(2.0**100))
    if error(np.exp(low)) <= target:
        return 1.0
    if error(np.exp(high)) > target:
        return float(np.inf)
    return float(np.exp(brentq(lambda log_shots: error(np.exp(log_shots)) - target, low, high, xtol=_PRECISION)))
