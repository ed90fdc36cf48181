"""What a circuit gave: the distribution of its outcomes, or what a mitigation makes of several, and how sure it is.

Everything that attributions are read from is linear: an `Outcome` knows its signed measure over bit strings, the covariance
that linear functions of it have from its own counts, and how they depend on uncertain numbers that many outcomes share, such as
the error rates of a readout calibration. What is shared must not be averaged away: it is added up first and squared afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hattriq_cirq.foundation.arrays import FloatArray, read_only


@dataclass(frozen=True, eq=False)
class SharedUncertainty:
    """Uncertain numbers that many outcomes depend on, such as the error rates of a calibration; compared by identity.

    Args:
        matrix: (parameters, parameters), their covariance.
    """

    matrix: FloatArray

    def covariance(self, sensitivity: FloatArray) -> FloatArray:
        """Of values that change by `sensitivity`, (values, parameters), with the numbers: (values, values)."""
        return np.asarray(sensitivity @ self.matrix @ sensitivity.T)

    def variances(self, sensitivity: FloatArray) -> FloatArray:
        """The diagonal of `covariance`, (values,)."""
        return np.asarray(np.einsum("vp,vp->v", sensitivity @ self.matrix, sensitivity))


class Outcome(Protocol):
    """What a circuit gave, as an estimate reads it."""

    @property
    def probabilities(self) -> FloatArray:
        """(2**bits,), real, summing to about 1; after a mitigation not all need be positive."""

    @property
    def shots(self) -> int | None:
        """All shots behind it, those of a calibration apart; None where it is exact."""

    def covariance(self, weights: csr_array) -> FloatArray:
        """Of weights @ probabilities, (values, values), from the counts of this outcome alone."""

    def variances(self, weights: csr_array) -> FloatArray:
        """The diagonal of `covariance`, (values,)."""

    def sensitivities(self, weights: csr_array) -> Mapping[SharedUncertainty, FloatArray]:
        """How weights @ probabilities changes with each shared parameter, (values, parameters) of each."""


@dataclass(frozen=True, eq=False)
class Distribution:
    """The outcomes of one circuit, big-endian over its measured qubits.

    Args:
        probabilities: (2**bits,), relative frequencies or exact probabilities; they sum to 1.
        shots: how many were counted; None where the probabilities are exact.

    Raises:
        ValueError: not a power of 2 of outcomes, not summing to 1, or no shots.
    """

    probabilities: FloatArray
    shots: int | None

    def __post_init__(self) -> None:
        probabilities = read_only(np.asarray(self.probabilities, dtype=float))
        if probabilities.ndim != 1 or probabilities.size.bit_count() != 1:
            raise ValueError(f"{probabilities.shape=} must be one axis of 2**bits outcomes")
        if not abs(probabilities.sum() - 1) <= 1e-5:
            raise ValueError(f"{probabilities.sum()=} must be 1")
        if self.shots is not None and self.shots < 1:
            raise ValueError(f"{self.shots=} must be at least 1, or None for exact probabilities")
        object.__setattr__(self, "probabilities", probabilities)

    @classmethod
    def from_counts(cls, counts: NDArray[np.integer]) -> Distribution:
        """From how often each of 2**bits outcomes was seen."""
        shots = int(counts.sum())
        if shots < 1:
            raise ValueError(f"counts sum to {shots} shots, must be at least 1")
        return cls(counts / shots, shots)

    @property
    def counts(self) -> NDArray[np.int64]:
        """How often each outcome was seen, (2**bits,).

        Raises:
            ValueError: the probabilities are exact.
        """
        if self.shots is None:
            raise ValueError("exact probabilities have no counts")
        return np.rint(self.probabilities * self.shots).astype(np.int64)

    @classmethod
    def merged(cls, parts: Sequence[Distribution]) -> Distribution:
        """All shots of several distributions of one circuit together."""
        if len(parts) == 1:
            return parts[0]
        return cls.from_counts(np.sum([part.counts for part in parts], axis=0))

    def covariance(self, weights: csr_array) -> FloatArray:
        """The covariance of weights @ probabilities: that of multinomial counts, or 0 where they are exact.

        It is taken at (counts + 4/K) / (shots + 4) for K outcomes (Agresti and Coull 1998), so that outcomes that were never
        seen still leave an error and intervals keep their coverage at few shots.

        Args:
            weights: (values, 2**bits), sparse.

        Returns:
            (values, values).
        """
        if self.shots is None:
            return np.zeros((weights.shape[0], weights.shape[0]))
        return _covariance(weights, self.smoothed_probabilities) / self.shots

    def sensitivities(self, weights: csr_array) -> Mapping[SharedUncertainty, FloatArray]:
        """Counts by themselves depend on nothing shared."""
        return {}

    def covariance_per_shot(self, weights: csr_array) -> FloatArray:
        """The covariance of one shot, (values, values), if the probabilities are exact."""
        return _covariance(weights, self.probabilities)

    def variances(self, weights: csr_array) -> FloatArray:
        """The diagonal of `covariance`, (values,), without the rest of it."""
        if self.shots is None:
            return np.zeros(weights.shape[0])
        return _variances(weights, self.smoothed_probabilities) / self.shots

    def variances_per_shot(self, weights: csr_array) -> FloatArray:
        """The variance of one shot, (values,), if the probabilities are exact."""
        return _variances(weights, self.probabilities)

    @property
    def smoothed_probabilities(self) -> FloatArray:
        """(2**bits,), what errors are taken at: probabilities drawn towards equal ones by four shots' worth.

        Raises:
            ValueError: the probabilities are exact.
        """
        if self.shots is None:
            raise ValueError("exact probabilities have no errors")
        outcomes = len(self.probabilities)
        return (self.probabilities * self.shots + 4 / outcomes) / (self.shots + 4)


class LinearMap(Protocol):
    """A linear map of signed measures, such as the inverse of a confusion matrix, that need not be held as a matrix."""

    def apply(self, measure: FloatArray) -> FloatArray:
        """(2**bits,) to (2**bits,)."""

    def covariance(self, weights: csr_array, counted: Distribution) -> FloatArray:
        """Of weights @ apply(probabilities) for counted probabilities, (values, values)."""

    def variances(self, weights: csr_array, counted: Distribution) -> FloatArray:
        """The diagonal of `covariance`, (values,)."""


@dataclass(frozen=True)
class Identity:
    """The operator that changes nothing."""

    def apply(self, measure: FloatArray) -> FloatArray:
        """The same measure."""
        return measure

    def covariance(self, weights: csr_array, counted: Distribution) -> FloatArray:
        """That of the counts."""
        return counted.covariance(weights)

    def variances(self, weights: csr_array, counted: Distribution) -> FloatArray:
        """Those of the counts."""
        return counted.variances(weights)


@dataclass(frozen=True, eq=False)
class LinearTerm:
    """One term of a quasi-distribution: scale * operator(counted)."""

    counted: Distribution
    operator: LinearMap = field(default_factory=Identity)
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class QuasiDistribution:
    """A signed measure made of several counted distributions, and of numbers shared with other outcomes.

    Args:
        parts: their sum is the measure; no distribution is in two of them.
        shared: how the measure changes with each shared parameter, (2**bits, parameters).
    """

    parts: tuple[LinearTerm, ...]
    shared: Mapping[SharedUncertainty, FloatArray] = field(default_factory=dict)

    @cached_property
    def probabilities(self) -> FloatArray:
        """(2**bits,), signed."""
        return read_only(np.sum([p.scale * p.operator.apply(p.counted.probabilities) for p in self.parts], axis=0))

    @property
    def shots(self) -> int | None:
        """All shots of its parts; None where one is exact."""
        counts = [part.counted.shots for part in self.parts]
        return None if None in counts else sum(count or 0 for count in counts)

    def covariance(self, weights: csr_array) -> FloatArray:
        """Of weights @ probabilities, (values, values), from the counts."""
        return np.asarray(np.sum([p.scale**2 * p.operator.covariance(weights, p.counted) for p in self.parts], axis=0))

    def variances(self, weights: csr_array) -> FloatArray:
        """The diagonal of `covariance`, (values,)."""
        return np.asarray(np.sum([p.scale**2 * p.operator.variances(weights, p.counted) for p in self.parts], axis=0))

    def sensitivities(self, weights: csr_array) -> Mapping[SharedUncertainty, FloatArray]:
        """How weights @ probabilities changes with each shared parameter."""
        return {shared: np.asarray(weights @ moved) for shared, moved in self.shared.items()}

    @classmethod
    def of(cls, outcome: Distribution | QuasiDistribution) -> QuasiDistribution:
        """A distribution as the one part of a quasi-distribution; one that is such already as it is."""
        return outcome if isinstance(outcome, QuasiDistribution) else cls((LinearTerm(outcome),))

    @classmethod
    def combined(cls, coefficients: Sequence[float], outcomes: Sequence[Distribution | QuasiDistribution]) -> QuasiDistribution:
        """A linear combination of outcomes, such as a mean over twirls or an extrapolation.

        Args:
            coefficients: one an outcome.
            outcomes: of independent counts.

        Returns:
            Their combination, its parts and sensitivities those of all.
        """
        parts: list[LinearTerm] = []
        shared: dict[SharedUncertainty, FloatArray] = {}
        for coefficient, outcome in zip(coefficients, outcomes, strict=True):
            made = cls.of(outcome)
            parts += [replace(part, scale=coefficient * part.scale) for part in made.parts]
            for key, moved in made.shared.items():
                shared[key] = shared.get(key, 0.0) + coefficient * moved
        return cls(tuple(parts), shared)


def _covariance(weights: csr_array, probabilities: FloatArray) -> FloatArray:
    mean = np.asarray(weights @ probabilities)
    second = weights.multiply(probabilities[np.newaxis, :]).tocsr() @ weights.T
    return np.asarray(second.toarray() - np.outer(mean, mean))


def _variances(weights: csr_array, probabilities: FloatArray) -> FloatArray:
    mean = np.asarray(weights @ probabilities)
    spread: FloatArray = np.maximum(np.asarray(weights.multiply(weights) @ probabilities) - mean**2, 0)
    return spread
