"""Numbers that a mitigation measures beside a map, and maps that are functions of what was measured and of such a number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution, SharedUncertainty
from hattriq_cirq.estimators.bilinear import WeightedCircuit
from hattriq_cirq.estimators.plan import Estimate
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.pipeline.mitigation import Mitigation


@dataclass(frozen=True, eq=False)
class AuxiliaryCircuit(WeightedCircuit):
    """A circuit beside those of a map, worth one number: weights (1, 2**bits).

    Args:
        wanted_by: the mitigation that reads it.
    """

    wanted_by: Mitigation = field(kw_only=True)


@dataclass(frozen=True)
class MeasuredNumber:
    """A measured number: its value, its variance from counts, and how it changes with what others share, (parameters,)."""

    value: float
    counted: float = 0.0
    moved: Mapping[SharedUncertainty, FloatArray] = field(default_factory=dict)
    shots: int = 0

    @classmethod
    def read(
        cls, mitigation: Mitigation, extra: Iterable[tuple[WeightedCircuit, Distribution | QuasiDistribution]]
    ) -> MeasuredNumber:
        """The sum of all that a mitigation asked for."""
        value, counted, shots = 0.0, 0.0, 0
        moved: dict[SharedUncertainty, FloatArray] = {}
        for reading, outcome in extra:
            if isinstance(reading, AuxiliaryCircuit) and reading.wanted_by == mitigation:
                value += float((reading.weights @ outcome.probabilities)[0])
                counted += float(outcome.variances(reading.weights)[0])
                shots += outcome.shots or 0
                for shared, change in outcome.sensitivities(reading.weights).items():
                    moved[shared] = moved.get(shared, 0.0) + change[0]
        return cls(value, counted, moved, shots)

    @property
    def stderr(self) -> float:
        """The standard error, everything included."""
        return float(np.sqrt(self.counted + sum(shared.variances(m[np.newaxis])[0] for shared, m in self.moved.items())))


@dataclass(frozen=True, eq=False)
class CorrectedEstimate(Estimate):
    """An estimate whose values are a function of those measured and of one more number, to first order in their errors.

    Args:
        measured: before the correction.
        number: independent of it but for what both share.
        corrected: (features,), the values.
        by_values: (features, features), how they change with those measured.
        by_number: (features,), how they change with the number.
    """

    measured: Estimate = field(kw_only=True)
    number: MeasuredNumber = field(kw_only=True)
    corrected: FloatArray = field(kw_only=True)
    by_values: FloatArray = field(kw_only=True)
    by_number: FloatArray = field(kw_only=True)

    @classmethod
    def of(
        cls, measured: Estimate, number: MeasuredNumber, corrected: FloatArray, by_values: FloatArray, by_number: FloatArray
    ) -> CorrectedEstimate:
        """From what was measured; the arguments are those of the class."""
        return cls(
            measured.plan,
            measured.outcomes,
            measured.notes,
            measured=measured,
            number=number,
            corrected=corrected,
            by_values=by_values,
            by_number=by_number,
        )

    @cached_property
    def values(self) -> FloatArray:
        """(features,)."""
        return self.corrected

    @cached_property
    def sensitivities(self) -> dict[SharedUncertainty, FloatArray]:
        """How the values change with what all circuits share, the number's included, (features, parameters) of each."""
        total = {shared: self.by_values @ moved for shared, moved in self.measured.sensitivities.items()}
        for shared, moved in self.number.moved.items():
            total[shared] = total.get(shared, 0.0) + np.outer(self.by_number, moved)
        return total

    @cached_property
    def covariance(self) -> FloatArray:
        """(features, features), of the values, by the delta method."""
        before = self.measured.covariance - _shared_covariance(self.measured.sensitivities)
        counted = self.by_values @ before @ self.by_values.T + self.number.counted * np.outer(self.by_number, self.by_number)
        return np.asarray(counted + _shared_covariance(self.sensitivities))

    @cached_property
    def stderr(self) -> FloatArray:
        """(features,), the standard error of each value."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0))

    @cached_property
    def sum_stderr(self) -> float:
        """The standard error of the sum of the values."""
        return float(np.sqrt(max(self.covariance.sum(), 0)))

    @property
    def shots(self) -> int:
        """All shots, those behind the number included."""
        return self.measured.shots + self.number.shots


def _shared_covariance(sensitivities: Mapping[SharedUncertainty, FloatArray]) -> FloatArray | float:
    return sum((shared.covariance(moved) for shared, moved in sensitivities.items()), 0.0)
