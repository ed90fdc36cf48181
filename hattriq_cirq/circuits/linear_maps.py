"""Linear maps of measures over bit strings that are products over groups of bits, never held as one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from scipy.sparse import csr_array

from hattriq_cirq.circuits.outcomes import Distribution, Identity, LinearMap, QuasiDistribution
from hattriq_cirq.foundation.arrays import FloatArray, read_only

_BLOCK = 16  # small factors are multiplied together up to this size, which takes fewer passes over the measure


@dataclass(frozen=True, eq=False)
class ProductOperator:
    """The Kronecker product of square matrices, as an `Operator`: each acts on a group of bits, most significant first.

    Args:
        factors: (2**b, 2**b) for b bits each; measure'[i] = sum_j factor[i, j] measure[j].
    """

    factors: tuple[FloatArray, ...]

    def __post_init__(self) -> None:
        factors = tuple(read_only(np.asarray(factor, dtype=float)) for factor in self.factors)
        for factor in factors:
            if factor.ndim != 2 or factor.shape[0] != factor.shape[1] or factor.shape[0].bit_count() != 1:
                raise ValueError(f"{factor.shape=} of a factor must be (2**bits, 2**bits)")
        object.__setattr__(self, "factors", factors)

    def apply(self, measure: FloatArray) -> FloatArray:
        """(2**bits, ...) to the same shape: in time 2**bits times bits for each column."""
        return _product(self.factors, measure)

    def transposed(self, rows: FloatArray) -> FloatArray:
        """What weights (rows, 2**bits) of the result are worth as weights of the measure itself: rows @ this operator."""
        return _product([factor.T for factor in self.factors], rows.T).T

    def covariance(self, weights: csr_array, counted: Distribution) -> FloatArray:
        """Of weights @ apply(probabilities), (values, values), from the counts."""
        return counted.covariance(csr_array(self.transposed(weights.toarray())))

    def variances(self, weights: csr_array, counted: Distribution) -> FloatArray:
        """The diagonal of `covariance`, (values,), without 2**bits numbers a value where rows of weights are sparse.

        With q = A p, Cov(q_i, q_j) = (sum_l A_il A_jl p_l - q_i q_j) / shots. For j = i ^ m the sum is entry i of a product
        operator again, with factors A[i, l] A[i ^ m, l], applied to p: one pass for each difference m of outcomes in a row.
        """
        if counted.shots is None:
            return np.zeros(weights.shape[0])
        per_row = np.diff(weights.indptr)
        used = np.flatnonzero(per_row)
        widest = int(per_row.max(initial=0))
        result = np.zeros(weights.shape[0])
        if len(used) <= widest:
            result[used] = counted.variances(csr_array(self.transposed(weights[used].toarray())))
            return result
        likely = counted.smoothed_probabilities
        column = np.arange(widest)
        inside = column < per_row[used, np.newaxis]
        at = np.where(inside, weights.indptr[used, np.newaxis] + column, 0)
        index = np.where(inside, weights.indices[at], 0).astype(np.int64)
        value = np.where(inside, weights.data[at], 0.0)
        second = np.zeros(len(used))
        for a in range(widest):
            for b in range(a, widest):
                worth = value[:, a] * value[:, b] * (1 if a == b else 2)
                difference = np.where(worth != 0, index[:, a] ^ index[:, b], -1)
                for mask in np.unique(difference[difference >= 0]).tolist():
                    rows = difference == mask
                    second[rows] += worth[rows] * self._second_moments(mask, likely)[index[rows, a]]
        result[used] = np.maximum(second - np.asarray(weights[used] @ self.apply(likely)) ** 2, 0) / counted.shots
        return result

    def _second_moments(self, mask: int, probabilities: FloatArray) -> FloatArray:
        """sum_l A_il A_jl p_l with j = i ^ mask, for every i."""
        factors, rest = [], mask
        for factor in reversed(self.factors):
            size = len(factor)
            factors.append(factor * factor[np.arange(size) ^ (rest % size)])
            rest //= size
        return _product(factors[::-1], probabilities)


@dataclass(frozen=True)
class Composed:
    """A product operator after another operator.

    Args:
        outer: applied last.
        inner: applied first, to what was counted.
    """

    outer: ProductOperator
    inner: LinearMap

    def apply(self, measure: FloatArray) -> FloatArray:
        """Both, in turn."""
        return self.outer.apply(self.inner.apply(measure))

    def covariance(self, weights: csr_array, counted: Distribution) -> FloatArray:
        """Of weights @ apply(probabilities), (values, values), from the counts."""
        return self.inner.covariance(self._seen(weights), counted)

    def variances(self, weights: csr_array, counted: Distribution) -> FloatArray:
        """The diagonal of `covariance`, (values,)."""
        return self.inner.variances(self._seen(weights), counted)

    def _seen(self, weights: csr_array) -> csr_array:
        """The weights of what the inner operator gives: dense, which is for few bits."""
        return csr_array(self.outer.transposed(weights.toarray()))


def _product(factors: Sequence[FloatArray], measure: FloatArray) -> FloatArray:
    """A Kronecker product of matrices times (2**bits, ...)."""
    size = prod(len(factor) for factor in factors)
    if len(measure) != size:
        raise ValueError(f"{measure.shape=} must begin with {size} outcomes")
    blocks: list[FloatArray] = []
    for factor in factors:
        if blocks and len(blocks[-1]) * len(factor) <= _BLOCK:
            blocks[-1] = np.asarray(np.kron(blocks[-1], factor), dtype=np.float64)
        else:
            blocks.append(factor)
    result, left = measure, 1
    for block in blocks:
        shaped = result.reshape(left, len(block), -1)
        result = shaped[:, :, 0] @ block.T if shaped.shape[2] == 1 else block @ shaped
        left *= len(block)
    return result.reshape(measure.shape)


def applied(operator: ProductOperator, outcome: Distribution | QuasiDistribution) -> QuasiDistribution:
    """An operator after whatever made an outcome: on every part, and on what the outcome shares with others."""
    made = QuasiDistribution.of(outcome)
    parts = tuple(
        replace(part, operator=operator if isinstance(part.operator, Identity) else Composed(operator, part.operator))
        for part in made.parts
    )
    return QuasiDistribution(parts, {key: operator.apply(moved) for key, moved in made.shared.items()})
