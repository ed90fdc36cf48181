"""From the outcomes of a campaign's circuits to the values of its units, with what they are uncertain by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hattriq_cirq.circuits.outcomes import SharedUncertainty
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.models.coefficient_errors import roots
from hattriq_cirq.models.coefficient_fit import ProbeOutcomes, RepeatedOutcomes
from hattriq_cirq.models.pauli_strings import ProductStates
from hattriq_cirq.pipeline.mitigation import Outcomes
from hattriq_cirq.workflows.learning_batch import Batch


@dataclass(frozen=True, eq=False)
class Scatter(Frozen):
    """Scatter of values between the gauges of a circuit.

    Args:
        gauge: Covariance of the observables in one circuit, (observables, observables).
        errors: Errors of its diagonal, (observables,).
    """

    gauge: FloatArray
    errors: FloatArray

    def times(self, factor: float) -> Scatter:
        """Return the scatter of circuits in which it is larger by a factor."""
        return Scatter(factor * self.gauge, factor * self.errors)


@dataclass(frozen=True, eq=False)
class Decoded(Frozen):
    """Values of all units of a campaign's batches.

    Args:
        values: Values, (units, observables).
        counted: Covariances from counts, (units, observables, observables).
        plain: Variances that do not depend on the outcomes: those of the largest spread, (units, observables).
        squared_shares: Sums of the squared shares of the units' circuits, (units,): scatter of gauges relative to one circuit.
        sensitivities: Derivatives by shared numbers of variance 1, (units, observables, numbers).
    """

    values: FloatArray
    counted: FloatArray
    plain: FloatArray
    squared_shares: FloatArray
    sensitivities: FloatArray

    @property
    def count(self) -> int:
        """Number of units."""
        return len(self.values)

    @classmethod
    def of(cls, batches: Sequence[Batch], outcomes: Sequence[Outcomes], shots: Sequence[Sequence[int] | None]) -> Decoded:
        """Decode the outcomes of all circuits of some batches; the units of each follow those of the one before."""
        starts = np.cumsum([0, *(sum(batch.counts) for batch in batches)]).tolist()
        units, observables = starts[-1], len(batches[0].structures[0].sizes)
        total, plain = np.zeros((2, units, observables))
        counted = np.zeros((units, observables, observables))
        slopes: dict[SharedUncertainty, FloatArray] = {}
        places = [
            (k, i, j, int(request)) for k, batch in enumerate(batches) for (i, j), request in np.ndenumerate(batch.requests)
        ]
        for k, i, j, request in track(places, "decode probes", "circuit"):
            outcome, rows, structure, own = outcomes[k][request], batches[k].rows, batches[k].structures[i], shots[k]
            weights, unit, share = structure.weights, starts[k] + rows.unit[j], rows.share[j]
            total[unit] += share * outcome.expectation(weights)
            counted[unit] += share**2 * (outcome.variances if observables == 1 else outcome.covariance)(weights)
            if own is not None:
                plain[unit] += (share * structure.sizes) ** 2 / own[request]
            random = {key: slope for key, slope in outcome.sensitivities(weights).items() if not key.systematic}
            for key, slope in random.items():
                slopes.setdefault(key, np.zeros((units, *slope.shape)))[unit] += share * slope
        columns = [slope @ roots(key.matrix) for key, slope in slopes.items()]
        squared = np.concatenate(
            [np.bincount(each.rows.unit, each.rows.share**2, sum(each.counts)) for each in batches]
        ).astype(float)
        return cls(total, counted, plain, squared, np.concatenate([np.zeros((units, observables, 0)), *columns], axis=-1))

    def fit_noise(self, units: NDArray[np.int64], observable: int) -> FloatArray:
        """Return the variances that weight all units in a fit, (units,): of one size for equal shots."""
        plain = float(self.plain[units, observable].mean())
        ratio = float(self.counted[units, observable, observable].mean()) / plain if plain else 0.0
        return np.asarray(self.plain[:, observable] * ratio)

    def scatter(self, ends: Sequence[NDArray[np.int64]]) -> Scatter:
        """Return the scatter between the gauges of a circuit, with variances of at least 0.

        Args:
            ends: Units of states in several gauges, (states, gauges), each time that they were measured.
        """
        free, times = ends[0].shape[1] - 1, len(ends)
        values = np.sum([self.values[units] for units in ends], axis=0) / times
        counted = np.sum([self.counted[units] for units in ends], axis=0).mean(axis=1) / times**2
        shares = self.squared_shares[ends[0]].mean(axis=1)[:, np.newaxis, np.newaxis]
        difference = values - values.mean(axis=1, keepdims=True)
        excess = np.einsum("pgi,pgj->pij", difference, difference) / free - counted
        own = np.einsum("pii->pi", counted)
        products = np.einsum("pi,pj->pij", own, own)
        weights = np.where(products.all(axis=0), shares / np.where(products > 0, products, 1), 1.0)  # precise ones show most
        units = np.sum(weights * shares, axis=0)
        gauge = np.sum(weights * excess, axis=0) / units
        variances = gauge.diagonal().clip(0)
        largest = np.sqrt(np.outer(variances, variances))
        gauge = np.clip(gauge, -largest, largest)
        spread = weights * (counted + gauge * shares)
        return Scatter(gauge, np.sqrt(2 / free) * np.linalg.norm(np.einsum("pii->pi", spread), axis=0) / units.diagonal())

    def covariances(self, units: NDArray[np.int64], scatter: Scatter) -> FloatArray:
        """Return the covariances of values from counts and gauges, (units, observables, observables)."""
        return np.asarray(self.counted[units] + self.squared_shares[units, np.newaxis, np.newaxis] * scatter.gauge)

    def outcomes(self, observable: int, units: NDArray[np.int64], states: ProductStates, scatter: Scatter) -> ProbeOutcomes:
        """Return the outcomes of one observable in the states of some units."""
        own = self.squared_shares[units]
        return ProbeOutcomes(
            states,
            self.values[units, observable],
            self.counted[units, observable, observable] + scatter.gauge[observable, observable] * own,
            self.sensitivities[units, observable],
            scatter.errors[observable] * own,
        )

    def both_ends(
        self, observable: int, begin: NDArray[np.int64], end: NDArray[np.int64], states: ProductStates, scatter: Scatter
    ) -> tuple[ProbeOutcomes, RepeatedOutcomes]:
        """Return the outcomes of states over both ends of a campaign, and those at each end, see `scatter`."""
        first, last = (self.values[units, observable].mean(axis=1) for units in (begin, end))
        gauges = begin.shape[1]
        counted = (self.counted[begin] + self.counted[end])[:, :, observable, observable].mean(axis=1) / gauges
        shares = self.squared_shares[begin].mean(axis=1) / gauges
        held_out = ProbeOutcomes(
            states,
            (first + last) / 2,
            counted / 4 + scatter.gauge[observable, observable] * shares,
            (self.sensitivities[begin] + self.sensitivities[end])[:, :, observable].mean(axis=1) / 2,
            scatter.errors[observable] * shares,
        )
        shared = [self.sensitivities[units][:, :, observable].mean(axis=1) for units in (begin, end)]
        of_one = ~np.logical_and(*(each.any(axis=0) for each in shared))  # numbers of both ends change both alike
        differences = (shared[0] - shared[1])[:, of_one]
        return held_out, RepeatedOutcomes(first, last, counted, differences)
