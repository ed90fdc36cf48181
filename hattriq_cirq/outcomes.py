"""What a circuit gave: the distribution of its outcomes, and what linear functions of it are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hattriq_cirq._arrays import FloatArray, read_only


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
        return _covariance(weights, self._likely()) / self.shots

    def covariance_per_shot(self, weights: csr_array) -> FloatArray:
        """The covariance of one shot, (values, values), if the probabilities are exact."""
        return _covariance(weights, self.probabilities)

    def variances(self, weights: csr_array) -> FloatArray:
        """The diagonal of `covariance`, (values,), without the rest of it."""
        if self.shots is None:
            return np.zeros(weights.shape[0])
        return _variances(weights, self._likely()) / self.shots

    def variances_per_shot(self, weights: csr_array) -> FloatArray:
        """The variance of one shot, (values,), if the probabilities are exact."""
        return _variances(weights, self.probabilities)

    def _likely(self) -> FloatArray:
        """Probabilities drawn towards equal ones by four shots' worth."""
        assert self.shots is not None
        outcomes = len(self.probabilities)
        return (self.probabilities * self.shots + 4 / outcomes) / (self.shots + 4)


def _covariance(weights: csr_array, probabilities: FloatArray) -> FloatArray:
    mean = np.asarray(weights @ probabilities)
    second = weights.multiply(probabilities[np.newaxis, :]).tocsr() @ weights.T
    return np.asarray(second.toarray() - np.outer(mean, mean))


def _variances(weights: csr_array, probabilities: FloatArray) -> FloatArray:
    mean = np.asarray(weights @ probabilities)
    spread: FloatArray = np.maximum(np.asarray(weights.multiply(weights) @ probabilities) - mean**2, 0)
    return spread
