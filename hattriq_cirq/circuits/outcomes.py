"""Outcomes of circuits: counted distributions, and the signed measures that mitigations compute from them, with their errors.

Attributions are linear in outcomes. An outcome therefore offers the expectation of any weights, its covariance from the counts,
and its derivative by uncertain numbers that many outcomes share, such as the error rates of a readout calibration. Shared
contributions are added up over circuits before the variance is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack, kron

from hattriq_cirq.circuits.linear_maps import LinearMap, Moments
from hattriq_cirq.foundation.arrays import FloatArray, freeze, parity_signs, read_only
from hattriq_cirq.foundation.frozen import Frozen, owned

#: Largest number of measured bits for which counts are kept as an array of 2**bits numbers.
MAX_DENSE_BITS = 20
_MAX_BITS = 62  # outcomes are 64-bit integers


@dataclass(frozen=True, eq=False)
class OutcomeWeights(Frozen):
    """Weights of a circuit's outcomes, (values, 2**bits): a sparse matrix on the first bits, times the parity of the others.

    The weight of outcome (a, b) is matrix[:, a] * (-1)**popcount(b). The values are `outcome.expectation(weights)`.

    Args:
        matrix: Sparse array (values, 2**first_bits).
        parity_bits: Number of bits, after the first ones, of which only the parity counts.

    Example:
        >>> weights = OutcomeWeights(csr_array([[0.5, -0.5]]), parity_bits=2)
        >>> weights.shape
        (1, 8)
        >>> weights.columns(np.array([0, 1, 3, 4])).toarray()
        array([[ 0.5, -0.5,  0.5, -0.5]])
    """

    matrix: csr_array
    parity_bits: int = 0

    @classmethod
    def from_matrix(cls, weights: csr_array | OutcomeWeights) -> OutcomeWeights:
        """Return explicit weights (values, 2**bits), or weights of this class as they are."""
        return weights if isinstance(weights, OutcomeWeights) else cls(csr_array(weights))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of values and of outcomes."""
        return self.matrix.shape[0], self.matrix.shape[1] << self.parity_bits

    @cached_property
    def explicit(self) -> csr_array:
        """The whole matrix (values, 2**bits); for few bits."""
        if not self.parity_bits:
            return self.matrix
        whole = kron(self.matrix, parity_signs(np.arange(2**self.parity_bits))[np.newaxis], format="csr")
        explicit: csr_array = owned(csr_array(whole))
        return explicit

    def columns(self, outcomes: NDArray[np.int64]) -> csr_array:
        """Return the weights of some outcomes, (values, outcomes)."""
        first = csr_array(self.matrix[:, outcomes >> self.parity_bits])
        if not self.parity_bits:
            return first
        return csr_array(first.multiply(parity_signs(outcomes & (2**self.parity_bits - 1))[np.newaxis]))

    @property
    def distinct_columns(self) -> tuple[csr_array, float]:
        """Columns (values, columns) that are not zero, each once, and the share of all outcomes that has each of them."""
        used, index = np.unique(self.matrix.indices, return_inverse=True)
        columns = csr_array((self.matrix.data, index, self.matrix.indptr), shape=(self.matrix.shape[0], len(used)))
        if not self.parity_bits:
            return columns, 1 / self.matrix.shape[1]
        return csr_array(hstack([columns, -columns])), 0.5 / self.matrix.shape[1]

    def __matmul__(self, probabilities: FloatArray) -> FloatArray:
        """Return the values for probabilities of all outcomes, (2**bits,)."""
        return np.asarray(self.explicit @ probabilities)

    def scaled(self, factor: float) -> OutcomeWeights:
        """Return all weights multiplied by a number."""
        return replace(self, matrix=csr_array(factor * self.matrix))

    def combined(self, coefficients: FloatArray) -> OutcomeWeights:
        """Return the weights of linear combinations of the values; `coefficients` is (combinations, values)."""
        return replace(self, matrix=csr_array(coefficients @ self.matrix))

    def in_rows(self, start: int, total: int) -> OutcomeWeights:
        """Return the weights of these values among others: values from `start` on of a total number, the others zero."""
        counts = np.zeros(total + 1, dtype=self.matrix.indptr.dtype)
        counts[start + 1 : start + 1 + self.matrix.shape[0]] = np.diff(self.matrix.indptr)
        matrix = csr_array((self.matrix.data, self.matrix.indices, np.cumsum(counts)), shape=(total, self.matrix.shape[1]))
        return replace(self, matrix=matrix)

    @cached_property
    def ranges(self) -> FloatArray:
        """Difference between the largest and the smallest weight of each value, (values,)."""
        largest, smallest = (found.toarray().reshape(-1) for found in (self.matrix.max(axis=1), self.matrix.min(axis=1)))
        return read_only(2 * np.maximum(largest, -smallest) if self.parity_bits else largest - smallest)

    @cached_property
    def norms(self) -> FloatArray:
        """Root of the summed squares of all weights of each value, (values,)."""
        squares = np.asarray(self.matrix.multiply(self.matrix).sum(axis=1)).reshape(-1)
        return read_only(np.sqrt(squares * 2.0**self.parity_bits))

    @cached_property
    def max_shot_norm(self) -> float:
        """Largest L2 norm of the values of one shot: a bound on its standard deviation."""
        return float(np.sqrt(np.asarray(self.matrix.multiply(self.matrix).sum(axis=0)).max(initial=0.0)))


#: Weights of outcomes, (values, 2**bits): an explicit sparse array, or a product with parity signs.
Weights = csr_array | OutcomeWeights


@dataclass(frozen=True, eq=False)
class SharedUncertainty(Frozen):
    """Uncertain numbers that many outcomes depend on, such as the error rates of a calibration; compared by identity.

    Args:
        matrix: Covariance of the numbers, (parameters, parameters).
        systematic: True for numbers that more shots do not make more certain, such as the damping that a correction may leave:
            they are the systematic part of an error, and all others belong to its standard error.
    """

    matrix: FloatArray
    systematic: bool = False

    def covariance(self, sensitivity: FloatArray) -> FloatArray:
        """Return the covariance (values, values) of values whose derivatives by the numbers are (values, parameters)."""
        return np.asarray(sensitivity @ self.matrix @ sensitivity.T)

    def variances(self, sensitivity: FloatArray) -> FloatArray:
        """Return the diagonal of `covariance`, (values,)."""
        return np.asarray(np.einsum("vp,vp->v", sensitivity @ self.matrix, sensitivity))


class Outcome(Protocol):
    """The outcome of a circuit, as an estimate reads it."""

    @property
    def probabilities(self) -> FloatArray:
        """Real numbers with a sum of about 1: one per outcome, (2**bits,), or beyond 20 bits one per outcome that was seen."""

    @property
    def plain_counts(self) -> Distribution:
        """A distribution with the same shots and nonnegative probabilities, to compare variances with."""

    @property
    def shots(self) -> int | None:
        """All shots behind the outcome except those of a calibration; None where it is exact."""

    def expectation(self, weights: Weights) -> FloatArray:
        """Return the values weights @ probabilities, (values,)."""

    def covariance(self, weights: Weights) -> FloatArray:
        """Return the covariance of the values, (values, values), from the counts of this outcome alone."""

    def variances(self, weights: Weights) -> FloatArray:
        """Return the diagonal of `covariance`, (values,)."""

    def steps(self, weights: Weights) -> FloatArray:
        """Return the largest change of each value by another outcome of one shot, (values,); 0 where they are exact."""

    def sensitivities(self, weights: Weights) -> Mapping[SharedUncertainty, FloatArray]:
        """Return the derivatives of the values by each shared parameter, (values, parameters) for each uncertainty."""


@dataclass(frozen=True, eq=False)
class Distribution(Frozen):
    """The outcomes of one circuit, big-endian over its measured qubits.

    Up to 20 measured bits the probabilities of all 2**bits outcomes are kept; with more bits, only the outcomes that were
    seen, in `support`.

    Args:
        probabilities: Relative frequencies or exact probabilities with sum 1, (2**bits,) or one for each outcome in `support`.
        shots: Number of shots counted; None where the probabilities are exact.
        support: Outcomes that were seen, sorted; None for all 2**bits outcomes.
        n_bits: Number of measured bits; needed with `support` only.

    Raises:
        ValueError: The probabilities are not those of 2**bits outcomes, do not sum to 1, or come from no shots.

    Example:
        >>> counted = Distribution.from_counts(np.array([3, 0, 1, 4]))
        >>> counted.probabilities, counted.shots
        (array([0.375, 0.   , 0.125, 0.5  ]), 8)
        >>> ghz = Distribution.from_outcomes(np.array([0, 2**30 - 1]), 30, counts=np.array([51, 49]))
        >>> ghz.support.tolist(), ghz.probabilities.tolist()
        ([0, 1073741823], [0.51, 0.49])
        >>> parity = OutcomeWeights(csr_array([[1.0]]), parity_bits=30)
        >>> ghz.expectation(parity), ghz.variances(parity).round(6)
        (array([1.]), array([0.000754]))
    """

    probabilities: FloatArray
    shots: int | None
    support: NDArray[np.int64] | None = None
    n_bits: int = -1

    def __post_init__(self) -> None:
        probabilities = np.array(self.probabilities, dtype=float)
        probabilities.flags.writeable = False
        if self.support is not None:
            support = np.asarray(self.support, dtype=np.int64)
            if support.shape != probabilities.shape or (np.diff(support) <= 0).any() or not 0 < self.n_bits <= _MAX_BITS:
                raise ValueError(
                    f"{support.shape=} must be that of the probabilities, {probabilities.shape}, its outcomes sorted, with "
                    f"{self.n_bits=} from 1 to {_MAX_BITS}"
                )
            freeze(self, support=support)
        elif probabilities.ndim != 1 or probabilities.size.bit_count() != 1:
            raise ValueError(f"{probabilities.shape=} must be one axis of 2**bits outcomes")
        else:
            object.__setattr__(self, "n_bits", probabilities.size.bit_length() - 1)
        if not abs(probabilities.sum() - 1) <= 1e-5:
            raise ValueError(f"{probabilities.sum()=} must be 1")
        if self.shots is not None and self.shots < 1:
            raise ValueError(f"{self.shots=} must be at least 1, or None for exact probabilities")
        object.__setattr__(self, "probabilities", probabilities)
        super().__post_init__()

    @classmethod
    def from_counts(cls, counts: NDArray[np.integer]) -> Distribution:
        """Return the distribution in which each of 2**bits outcomes was seen `counts` times."""
        shots = int(counts.sum())
        if shots < 1:
            raise ValueError(f"counts sum to {shots} shots, must be at least 1")
        if counts.size > 2**MAX_DENSE_BITS and counts.size.bit_count() == 1:
            seen = np.flatnonzero(counts)
            return cls(counts[seen] / shots, shots, seen, counts.size.bit_length() - 1)
        return cls(counts / shots, shots)

    @classmethod
    def from_bits(cls, samples: Sequence[NDArray[np.integer]]) -> list[Distribution]:
        """Return the distribution of each array of measured bits, (shots, bits), big-endian."""
        powers = 1 << np.arange(_MAX_BITS - 1, -1, -1, dtype=np.int64)
        return [cls.from_outcomes(np.asarray(bits) @ powers[_MAX_BITS - bits.shape[1] :], bits.shape[1]) for bits in samples]

    @classmethod
    def from_outcomes(
        cls, outcomes: NDArray[np.integer], n_bits: int, counts: NDArray[np.integer] | None = None
    ) -> Distribution:
        """Return the distribution of sampled outcomes, kept sparse where there are more than 20 bits.

        Args:
            outcomes: Outcomes as big-endian integers, in any order; an outcome may be repeated.
            n_bits: Number of measured bits.
            counts: Number of times that each entry of `outcomes` was seen; None for once each.
        """
        if not 0 <= n_bits <= _MAX_BITS:
            raise ValueError(
                f"{n_bits=} measured bits must be at most {_MAX_BITS}: an outcome is a 64-bit integer; measure fewer"
            )
        if n_bits <= MAX_DENSE_BITS:
            return cls.from_counts(np.bincount(outcomes, counts, 2**n_bits).astype(np.int64))
        support, index = np.unique(outcomes, return_inverse=True)
        seen = np.bincount(index, counts)
        shots = int(seen.sum())
        return cls(seen / shots, shots, support.astype(np.int64), n_bits)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of times that each outcome was seen, in the order of `probabilities`.

        Raises:
            ValueError: The probabilities are exact, or are not whole numbers of shots.
        """
        if self.shots is None:
            raise ValueError("exact probabilities have no counts")
        expected = self.probabilities * self.shots
        counts = np.rint(expected)
        if (off := np.abs(expected - counts) > 1e-9 * max(self.shots, 1_000)).any():
            share = float(self.probabilities[off][0])
            raise ValueError(
                f"probabilities are not counts of {self.shots} shots: {share:g} of them is {share * self.shots:g}, not a whole "
                "number"
            )
        return counts.astype(np.int64)

    @classmethod
    def merged(cls, parts: Sequence[Distribution]) -> Distribution:
        """Return all shots of several distributions of one circuit together."""
        if len(parts) == 1:
            return parts[0]
        supports = [part.support for part in parts if part.support is not None]
        if not supports:
            return cls.from_counts(np.sum([part.counts for part in parts], axis=0))
        return cls.from_outcomes(np.concatenate(supports), parts[0].n_bits, np.concatenate([part.counts for part in parts]))

    def expectation(self, weights: Weights) -> FloatArray:
        """Return weights @ probabilities, (values,)."""
        return np.asarray(_seen(weights, self.support) @ self.probabilities)

    def covariance(self, weights: Weights) -> FloatArray:
        """Return the covariance of the values weights @ probabilities: that of multinomial counts, or 0 where they are exact.

        It is taken at (counts + 4/K) / (shots + 4) for K outcomes (Agresti and Coull 1998), so that outcomes that were never
        seen still contribute an error. At few shots that is not enough for an interval of each value; see `Estimate.interval`.

        Args:
            weights: Weights (values, 2**bits).

        Returns:
            Array (values, values).
        """
        if self.shots is None:
            return np.zeros((weights.shape[0], weights.shape[0]))
        return _covariance(*self._smoothed(weights)) / self.shots

    def sensitivities(self, weights: Weights) -> Mapping[SharedUncertainty, FloatArray]:
        """Return nothing: counts alone depend on no shared number."""
        return {}

    def covariance_per_shot(self, weights: Weights) -> FloatArray:
        """Return the covariance of one shot, (values, values), as if the probabilities were exact."""
        return _covariance(_seen(weights, self.support), self.probabilities)

    def variances(self, weights: Weights) -> FloatArray:
        """Return the diagonal of `covariance`, (values,), without the rest of it."""
        if self.shots is None:
            return np.zeros(weights.shape[0])
        return _variances(*self._smoothed(weights)) / self.shots

    def steps(self, weights: Weights) -> FloatArray:
        """Return the largest change of each value by another outcome of one shot, (values,); 0 where they are exact."""
        return np.zeros(weights.shape[0]) if self.shots is None else OutcomeWeights.from_matrix(weights).ranges / self.shots

    def _smoothed(self, weights: Weights) -> tuple[csr_array, FloatArray]:
        """Return weights and smoothed probabilities: of all outcomes, or of those seen and of each distinct column."""
        if self.support is None:
            return _seen(weights, None), self.smoothed_probabilities
        columns, share = OutcomeWeights.from_matrix(weights).distinct_columns
        shots = self.shots or 0
        counted, uniform = self.probabilities * shots, np.full(columns.shape[1], 4 * share)
        both = csr_array(hstack([_seen(weights, self.support), columns]))
        return both, np.concatenate([counted, uniform]) / (shots + 4)

    def variances_per_shot(self, weights: Weights) -> FloatArray:
        """Return the variance of one shot, (values,), as if the probabilities were exact."""
        return _variances(_seen(weights, self.support), self.probabilities)

    @property
    def smoothed_probabilities(self) -> FloatArray:
        """Probabilities that errors are taken at, (2**bits,): those counted, with four more shots spread over all outcomes.

        Raises:
            ValueError: The probabilities are exact, or are kept for the outcomes seen only.
        """
        if self.shots is None:
            raise ValueError("exact probabilities have no errors")
        if self.support is not None:
            raise ValueError(too_many_bits(self.n_bits, "an array of smoothed probabilities"))
        outcomes = len(self.probabilities)
        return (self.probabilities * self.shots + 4 / outcomes) / (self.shots + 4)

    @property
    def plain_counts(self) -> Distribution:
        """The distribution itself; see `QuasiDistribution.plain_counts`."""
        return self


def bit_counts(outcomes: Sequence[Distribution]) -> list[FloatArray]:
    """Return the marginal counts of each measured bit, (bits, 2) per distribution; probabilities where these are exact."""
    found = []
    for outcome in outcomes:
        measure = outcome.probabilities if outcome.shots is None else outcome.counts
        found.append(np.zeros((outcome.n_bits, 2)))
        for i in range(outcome.n_bits):
            if outcome.support is None:
                found[-1][i] = measure.reshape(2**i, 2, -1).sum(axis=(0, 2))
            else:
                found[-1][i] = np.bincount(outcome.support >> (outcome.n_bits - 1 - i) & 1, measure, 2)
    return found


@dataclass(frozen=True, eq=False)
class LinearTerm(Frozen):
    """One term of a signed measure: scale * linear_map(counted).

    Args:
        counted: Distribution that was counted, or is exact.
        linear_map: Map that was applied to it, such as the inverse of a confusion matrix; None for none.
        scale: Coefficient of the term.

    Raises:
        ValueError: A linear map is to be applied to more than 20 bits.
    """

    counted: Distribution
    linear_map: LinearMap | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.linear_map is not None and self.counted.support is not None:
            raise ValueError(too_many_bits(self.counted.n_bits, "a correction"))
        super().__post_init__()

    @cached_property
    def probabilities(self) -> FloatArray:
        """The signed measure of this term, (2**bits,), or in the order of `counted.support`."""
        counted = self.counted.probabilities
        return read_only(self.scale * (counted if self.linear_map is None else self.linear_map.apply(counted)))

    def covariance(self, weights: Weights) -> FloatArray:
        """Return the covariance of weights @ probabilities, (values, values)."""
        counted, linear_map = self.counted, self.linear_map
        if linear_map is None or counted.shots is None:
            return self.scale**2 * counted.covariance(weights)
        per_shot = linear_map.covariance(_seen(weights, None), counted.smoothed_probabilities)
        return self.scale**2 * (per_shot / counted.shots)

    def variances(self, weights: Weights, moments: Moments | None = None) -> FloatArray:
        """Return the diagonal of `covariance`, (values,).

        Args:
            weights: Weights of the outcomes.
            moments: `linear_map.moments_of` the weights, where several terms have one map; None computes them.
        """
        counted, linear_map = self.counted, self.linear_map
        if linear_map is None or counted.shots is None:
            return self.scale**2 * counted.variances(weights)
        mean, second = (moments or linear_map.moments_of(_seen(weights, None)))(counted.smoothed_probabilities)
        return self.scale**2 * (np.maximum(second - mean**2, 0) / counted.shots)

    @property
    def total_variance(self) -> float:
        """Sum of the variances of all outcomes from the counts; 0 where they are exact."""
        counted = self.counted
        if counted.shots is None:
            return 0.0
        squares = counted.probabilities
        if self.linear_map is not None:
            squares = self.linear_map.squared_columns * counted.probabilities
        mapped = self.probabilities / self.scale if self.scale else np.zeros(1)
        return self.scale**2 * max(0.0, float(squares.sum() - mapped @ mapped)) / counted.shots


@dataclass(frozen=True, eq=False)
class QuasiDistribution(Frozen):
    """A signed measure that is linear in several counted distributions and depends on numbers shared with other outcomes.

    Args:
        terms: Terms whose sum is the measure; no distribution is in two of them.
        shared: Derivatives of the measure by the parameters of each shared uncertainty, (2**bits, parameters).
        spreads: Factors of further errors, which are independent of each other for all outcomes of the measure; the one entry
            of the uncertainty's matrix is the variance of each.

    Example:
        >>> ones, zeros = (Distribution.from_counts(np.array(counts)) for counts in ([10, 90], [80, 20]))
        >>> extrapolated = QuasiDistribution.combined([1.5, -0.5], [ones, zeros])
        >>> extrapolated.probabilities, extrapolated.shots
        (array([-0.25,  1.25]), 200)
    """

    terms: tuple[LinearTerm, ...]
    shared: Mapping[SharedUncertainty, FloatArray] = field(default_factory=dict)
    spreads: Mapping[SharedUncertainty, float] = field(default_factory=dict)

    @cached_property
    def support(self) -> NDArray[np.int64] | None:
        """Outcomes that were seen in some term, sorted, where there are more than 20 bits; None for all 2**bits outcomes."""
        supports = [term.counted.support for term in self.terms if term.counted.support is not None]
        return np.unique(np.concatenate(supports)) if supports else None

    @cached_property
    def probabilities(self) -> FloatArray:
        """The signed measure, (2**bits,), or of each outcome in `support`."""
        if self.support is None:
            return read_only(np.sum([term.probabilities for term in self.terms], axis=0))
        total = np.zeros(len(self.support))
        for term in self.terms:
            assert term.counted.support is not None
            total[np.searchsorted(self.support, term.counted.support)] += term.probabilities
        return read_only(total)

    @property
    def shots(self) -> int | None:
        """All shots of the terms; None where all of them are exact."""
        counts = [term.counted.shots for term in self.terms if term.counted.shots is not None]
        return sum(counts) if counts else None

    def expectation(self, weights: Weights) -> FloatArray:
        """Return weights @ probabilities, (values,)."""
        return np.asarray(_seen(weights, self.support) @ self.probabilities)

    def covariance(self, weights: Weights) -> FloatArray:
        """Return the covariance of weights @ probabilities, (values, values), from the counts."""
        return np.asarray(np.sum([term.covariance(weights) for term in self.terms], axis=0))

    def variances(self, weights: Weights) -> FloatArray:
        """Return the diagonal of `covariance`, (values,)."""
        maps = {term.linear_map for term in self.terms if term.counted.shots is not None} - {None}
        moments = {each: each.moments_of(_seen(weights, None)) for each in maps if each is not None}
        each_term = [term.variances(weights, moments.get(term.linear_map)) for term in self.terms]  # type: ignore[arg-type]
        return np.asarray(np.sum(each_term, axis=0))

    def steps(self, weights: Weights) -> FloatArray:
        """Return the largest change of each value by one shot of any term, (values,), with the gains of maps in the L2 norm."""
        largest: dict[LinearMap | None, float] = {}
        for term in self.terms:
            if term.counted.shots is not None:
                largest[term.linear_map] = max(largest.get(term.linear_map, 0.0), abs(term.scale) / term.counted.shots)
        if not largest:
            return np.zeros(weights.shape[0])
        gains = [size if each is None else size * each.gains(_seen(weights, None)) for each, size in largest.items()]
        return np.asarray(OutcomeWeights.from_matrix(weights).ranges * reduce(np.maximum, gains))

    def sensitivities(self, weights: Weights) -> Mapping[SharedUncertainty, FloatArray]:
        """Return the derivatives of weights @ probabilities by each shared parameter, (values, parameters).

        Errors of single outcomes count as one parameter, with the root of the summed squares as each value's derivative.
        """
        found = {shared: np.asarray(_seen(weights, None) @ slopes) for shared, slopes in self.shared.items()}
        if self.spreads:
            norms = OutcomeWeights.from_matrix(weights).norms[:, np.newaxis]
            found |= {shared: factor * norms for shared, factor in self.spreads.items()}
        return found

    @property
    def total_variance(self) -> float:
        """Sum of the variances of all outcomes from the counts; 0 where they are exact."""
        return sum(term.total_variance for term in self.terms)

    def spread_variance(self, *, systematic: bool) -> float:
        """Return the variance of each outcome by errors that are its own: systematic ones, or random ones as of twirls."""
        return sum(f**2 * float(key.matrix[0, 0]) for key, f in self.spreads.items() if key.systematic == systematic)

    def shared_variance(self, *, systematic: bool) -> float:
        """Return the sum of the variances of all outcomes by uncertain numbers: by systematic ones, or by all others."""
        slopes = [key.variances(each).sum() for key, each in self.shared.items() if key.systematic == systematic]
        return float(sum(slopes)) + len(self.probabilities) * self.spread_variance(systematic=systematic)

    def with_uncertainty(
        self,
        *,
        slopes: Mapping[SharedUncertainty, FloatArray] | None = None,
        spreads: Mapping[SharedUncertainty, float] | None = None,
    ) -> QuasiDistribution:
        """Return the measure with further uncertainties: derivatives by shared parameters, and errors of single outcomes."""
        return replace(self, shared={**self.shared, **(slopes or {})}, spreads={**self.spreads, **(spreads or {})})

    @property
    def without_systematic(self) -> QuasiDistribution:
        """The measure with its standard error alone."""
        shared = {key: slopes for key, slopes in self.shared.items() if not key.systematic}
        spreads = {key: factor for key, factor in self.spreads.items() if not key.systematic}
        return replace(self, shared=shared, spreads=spreads)

    @property
    def plain_counts(self) -> Distribution:
        """A distribution with the same shots whose probabilities are those of the measure, cut off at 0 and normalized."""
        positive = np.maximum(self.probabilities, 0)
        n_bits = self.terms[0].counted.n_bits
        return Distribution(positive / positive.sum(), self.shots, self.support, n_bits)

    @classmethod
    def from_outcome(cls, outcome: Distribution | QuasiDistribution) -> QuasiDistribution:
        """Return a distribution as the only term of a signed measure, or a signed measure as it is."""
        return outcome if isinstance(outcome, QuasiDistribution) else cls((LinearTerm(outcome),))

    def mapped(self, linear_map: LinearMap) -> QuasiDistribution:
        """Return the measure with a linear map applied to every term and to the derivatives by shared parameters."""
        maps = {inner: linear_map if inner is None else linear_map @ inner for inner in {t.linear_map for t in self.terms}}
        terms = tuple(replace(term, linear_map=maps[term.linear_map]) for term in self.terms)
        shared = {key: linear_map.apply(slopes) for key, slopes in self.shared.items()}
        return QuasiDistribution(terms, shared, {key: linear_map.mean_gain * each for key, each in self.spreads.items()})

    @classmethod
    def combined(cls, coefficients: Sequence[float], outcomes: Sequence[Distribution | QuasiDistribution]) -> QuasiDistribution:
        """Return a linear combination of outcomes of copies of one circuit, such as a mean over twirls or an extrapolation.

        Systematic errors of single outcomes are those of one process in all copies: they are added up with their coefficients,
        and no number of copies averages them out.

        Args:
            coefficients: One coefficient per outcome.
            outcomes: Outcomes with independent counts.

        Returns:
            The combination, with the terms and the sensitivities of all outcomes.
        """
        terms: list[LinearTerm] = []
        shared: dict[SharedUncertainty, FloatArray] = {}
        spreads: dict[SharedUncertainty, float] = {}
        common = 0.0
        for coefficient, outcome in zip(coefficients, map(cls.from_outcome, outcomes), strict=True):
            terms += [replace(term, scale=coefficient * term.scale) for term in outcome.terms]
            for key, slopes in outcome.shared.items():
                shared[key] = shared.get(key, 0.0) + coefficient * slopes
            for key, factor in outcome.spreads.items():
                if not key.systematic:
                    spreads[key] = spreads.get(key, 0.0) + coefficient * factor
            common += coefficient * float(np.sqrt(outcome.spread_variance(systematic=True)))
        if common:
            spreads[SharedUncertainty(np.ones((1, 1)), systematic=True)] = common
        return cls(tuple(terms), shared, spreads)


def too_many_bits(n_bits: int, purpose: str) -> str:
    """Return the message that refuses what would take an array of 2**bits numbers."""
    return (
        f"a circuit measures {n_bits} bits, but {purpose} takes arrays of 2**bits numbers, for at most {MAX_DENSE_BITS} bits; "
        "measure fewer qubits (for example ResolvedHadamardTest(measured=...)), or leave the correction out"
    )


def _seen(weights: Weights, support: NDArray[np.int64] | None) -> csr_array:
    """Return the weights of the outcomes in `support`, or of all."""
    if support is not None:
        return OutcomeWeights.from_matrix(weights).columns(support)
    return weights.explicit if isinstance(weights, OutcomeWeights) else weights


def _covariance(weights: csr_array, probabilities: FloatArray) -> FloatArray:
    mean = np.asarray(weights @ probabilities)
    second = weights.multiply(probabilities[np.newaxis, :]).tocsr() @ weights.T
    return np.asarray(second.toarray() - np.outer(mean, mean))


def _variances(weights: csr_array, probabilities: FloatArray) -> FloatArray:
    mean = np.asarray(weights @ probabilities)
    if not weights.has_canonical_format:  # an entry may be stored in parts
        weights = csr_array(weights, copy=True)
        weights.sum_duplicates()
    return np.asarray(np.maximum(np.asarray(weights.power(2) @ probabilities) - mean**2, 0))
