"""Linear maps of measures over bit strings, held as products over groups of bits and never as one matrix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from math import prod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hattriq_cirq.foundation.arrays import FloatArray, read_only, read_only_copies, walsh_hadamard
from hattriq_cirq.foundation.frozen import Frozen

_MERGED_SIZE = 16  # small factors are multiplied together up to this size, which takes fewer passes over the measure
_LARGEST_PRODUCT = 2**11  # outcomes of a block that two different maps are multiplied out on
_CHUNK = 2**22  # numbers of the dense rows that are held at once


@dataclass(frozen=True, eq=False)
class LinearMap(Frozen):
    """A linear map of signed measures over bit strings, such as the inverse of a confusion matrix: a Kronecker product.

    Each factor acts on a group of neighbouring bits, the most significant group first. A factor is a square matrix, or the
    numbers by which the Walsh coefficients of its bits are multiplied (a convolution over XOR).

    Args:
        factors: Arrays (2**b, 2**b), measure'[i] = sum_j factor[i, j] measure[j], or (2**b,) for the Walsh coefficient of
            each set of bits.

    Raises:
        ValueError: A factor has another shape.

    Example:
        >>> import numpy as np
        >>> flip_first_bit = LinearMap((np.array([[0, 1], [1, 0]]), np.eye(2)))
        >>> flip_first_bit.apply(np.array([0.7, 0.3, 0.0, 0.0]))
        array([0. , 0. , 0.7, 0.3])
        >>> halve_parity = LinearMap((np.array([1, 1, 1, 0.5]),))
        >>> (halve_parity @ flip_first_bit).apply(np.array([1.0, 0.0, 0.0, 0.0]))
        array([ 0.125, -0.125,  0.875,  0.125])
    """

    factors: tuple[FloatArray, ...]

    def __post_init__(self) -> None:
        factors = read_only_copies(self.factors)
        for factor in factors:
            if factor.ndim not in (1, 2) or len(set(factor.shape)) != 1 or len(factor).bit_count() != 1:
                raise ValueError(
                    f"{factor.shape=} of a factor must be (2**bits, 2**bits), or (2**bits,) for Walsh coefficients"
                )
        object.__setattr__(self, "factors", factors)
        super().__post_init__()

    def apply(self, measure: FloatArray) -> FloatArray:
        """Return the mapped measure, or each column of (2**bits, columns) mapped, in time 2**bits times bits."""
        size = prod(len(factor) for factor in self.factors)
        if len(measure) != size:
            raise ValueError(f"{measure.shape=} must begin with {size} outcomes")
        result, before = measure, 1
        for factor in self._merged_factors:
            shaped = result.reshape(before, len(factor), -1)
            if factor.ndim == 1:
                coefficients = factor * walsh_hadamard(shaped.swapaxes(1, 2))
                result = (walsh_hadamard(coefficients) / len(factor)).swapaxes(1, 2)
            else:
                result = shaped[:, :, 0] @ factor.T if shaped.shape[2] == 1 else factor @ shaped
            before *= len(factor)
        return result.reshape(measure.shape)

    def adjoint(self, weights: FloatArray) -> FloatArray:
        """Return `weights`, (rows, 2**bits), of the mapped measure as weights of the measure itself: weights @ map."""
        return LinearMap(tuple(factor.T for factor in self.factors)).apply(weights.T).T

    def __matmul__(self, inner: LinearMap) -> LinearMap:
        """Return the map that applies `inner` first, as a product over the blocks of bits that both maps keep apart."""
        sizes = [prod(len(factor) for factor in each.factors) for each in (self, inner)]
        if sizes[0] != sizes[1]:
            raise ValueError(f"a map of {sizes[0]} outcomes cannot follow a map of {sizes[1]}")
        outer_factors, inner_factors = iter(self.factors), iter(inner.factors)
        blocks: list[FloatArray] = []
        for left in outer_factors:
            right = next(inner_factors)
            while len(left) != len(right):
                if len(left) < len(right):
                    left = _kron(left, next(outer_factors))
                else:
                    right = _kron(right, next(inner_factors))
            blocks.append(left * right if left.ndim == right.ndim == 1 else _matrix(left) @ _matrix(right))
        return LinearMap(tuple(blocks))

    def covariance(self, weights: csr_array, probabilities: FloatArray) -> FloatArray:
        """Return the covariance of weights @ apply(one shot), for one shot distributed by `probabilities`.

        Args:
            weights: Sparse weights (values, 2**bits) of the mapped measure.
            probabilities: Distribution (2**bits,) of a shot.

        Returns:
            Array (values, values).
        """
        mean = np.asarray(weights @ self.apply(probabilities))
        second = np.zeros((len(mean), len(mean)))
        for rows, dense in self.adjoint_rows(weights):
            second[rows] = (weights @ self.apply((dense * probabilities).T)).T
        return second - np.outer(mean, mean)

    def moments_of(self, weights: csr_array) -> Moments:
        """Return the first and second moments of weighted values of one shot as functions of its distribution.

        What depends on the map and the weights only is computed once, for all distributions. It takes less than 2**bits numbers
        per value where the rows are sparse. With q = A p, the second moment of outcomes i and j is sum_l A_il A_jl p_l. For
        j = i ^ m it is entry i of another product applied to p, with factors A[i, l] A[i ^ m, l]: one pass for each difference
        m of two outcomes in a row.

        Args:
            weights: Sparse weights (values, 2**bits) of the mapped measure.
        """
        per_row = np.diff(weights.indptr)
        widest = int(per_row.max(initial=0))
        if np.count_nonzero(per_row) > widest * (widest + 1) // 2:  # fewer pairs of outcomes in a row than rows
            return _MomentsByPairs(self, weights, tuple(self._pairs(weights, widest)))
        return _MomentsByRows(self, weights)

    @cached_property
    def squared_columns(self) -> FloatArray:
        """Sum of the squares of each column of the matrix, (2**bits,): the growth of the variance of an outcome's counts."""
        columns = (np.full(len(f), np.mean(f**2)) if f.ndim == 1 else (f**2).sum(axis=0) for f in self.factors)
        return read_only(reduce(_kron, columns, np.ones(1)))

    @property
    def mean_gain(self) -> float:
        """Root mean square of the singular values: the factor of independent errors of equal size of all outcomes."""
        return float(np.sqrt(self.squared_columns.mean()))

    def gains(self, weights: csr_array) -> FloatArray:
        """Return the factors by which the map increases the L2 norm of each row of weights, (values,); 1 for a row of zeros."""
        before = np.asarray(weights.multiply(weights).sum(axis=1)).reshape(-1)
        _, after = self.moments_of(weights)(np.ones(weights.shape[1]))
        return np.asarray(np.sqrt(np.divide(after, before, out=np.ones_like(before), where=before > 0)))

    def _pairs(self, weights: csr_array, widest: int) -> Iterator[_Pairs]:
        """Yield the pairs of the at most `widest` outcomes in a row by their positions in it and their difference."""
        used = np.flatnonzero(np.diff(weights.indptr))
        column = np.arange(widest)
        inside = column < np.diff(weights.indptr)[used, np.newaxis]
        position = np.where(inside, weights.indptr[used, np.newaxis] + column, 0)
        index = np.where(inside, weights.indices[position], 0).astype(np.int64)
        value = np.where(inside, weights.data[position], 0.0)
        for a in range(widest):
            for b in range(a, widest):
                product = value[:, a] * value[:, b] * (1 if a == b else 2)
                difference = np.where(product != 0, index[:, a] ^ index[:, b], -1)
                for mask in np.unique(difference[difference >= 0]).tolist():
                    rows = difference == mask
                    yield _Pairs(used[rows], product[rows], index[rows, a], self._products_of_rows(mask))

    def adjoint_rows(self, weights: csr_array) -> Iterator[tuple[NDArray[np.intp], FloatArray]]:
        """Yield the rows of `weights` that are not empty, a few at once, with their dense adjoints."""
        used = np.flatnonzero(np.diff(weights.indptr))
        at_once = max(1, _CHUNK // weights.shape[1])
        for start in range(0, len(used), at_once):
            rows = used[start : start + at_once]
            yield rows, self.adjoint(weights[rows].toarray())

    def _products_of_rows(self, mask: int) -> LinearMap:
        """Return the map with the entries A[i, l] A[i ^ mask, l]."""
        factors, rest = [], mask
        for factor in reversed(self.factors):
            size = len(factor)
            shifted = np.arange(size) ^ (rest % size)
            if factor.ndim == 1:
                kernel = walsh_hadamard(factor) / size
                factors.append(walsh_hadamard(kernel * kernel[shifted]))
            else:
                factors.append(factor * factor[shifted])
            rest //= size
        return LinearMap(tuple(factors[::-1]))

    @cached_property
    def _merged_factors(self) -> list[FloatArray]:
        """Return the factors, with small neighbouring matrices multiplied together."""
        blocks: list[FloatArray] = []
        for factor in self.factors:
            if blocks and blocks[-1].ndim == factor.ndim == 2 and len(blocks[-1]) * len(factor) <= _MERGED_SIZE:
                blocks[-1] = np.asarray(np.kron(blocks[-1], factor), dtype=np.float64)
            else:
                blocks.append(factor)
        return blocks


class Moments(Protocol):
    """First and second moments of weighted values of one shot, as a function of its distribution."""

    def __call__(self, probabilities: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return both moments of each value, (values,), for a distribution (2**bits,)."""


@dataclass(frozen=True)
class _MomentsByRows:
    """Moments by dense adjoints of the rows of weights, a few rows at once, and their squares."""

    linear_map: LinearMap
    weights: csr_array

    @cached_property
    def _kept(self) -> list[tuple[NDArray[np.intp], FloatArray, FloatArray]] | None:
        """All rows with their squares, if they are few enough to be held."""
        if np.count_nonzero(np.diff(self.weights.indptr)) * self.weights.shape[1] > _CHUNK:
            return None
        return list(self._computed())

    def _computed(self) -> Iterator[tuple[NDArray[np.intp], FloatArray, FloatArray]]:
        for rows, dense in self.linear_map.adjoint_rows(self.weights):
            yield rows, dense, dense**2

    def __call__(self, probabilities: FloatArray) -> tuple[FloatArray, FloatArray]:
        mean, second = np.zeros((2, self.weights.shape[0]))
        for rows, dense, squares in self._computed() if self._kept is None else self._kept:
            mean[rows], second[rows] = dense @ probabilities, squares @ probabilities
        return mean, second


@dataclass(frozen=True)
class _Pairs:
    """Pairs of outcomes with one difference: their rows, products of weights, first outcomes, and the map of their moments."""

    rows: NDArray[np.intp]
    products: FloatArray
    outcomes: NDArray[np.int64]
    linear_map: LinearMap


@dataclass(frozen=True)
class _MomentsByPairs:
    """Moments by pairs of outcomes in a row."""

    linear_map: LinearMap
    weights: csr_array
    pairs: tuple[_Pairs, ...]

    def __call__(self, probabilities: FloatArray) -> tuple[FloatArray, FloatArray]:
        second = np.zeros(self.weights.shape[0])
        for each in self.pairs:
            second[each.rows] += each.products * each.linear_map.apply(probabilities)[each.outcomes]
        return np.asarray(self.weights @ self.linear_map.apply(probabilities)), second


def _matrix(factor: FloatArray) -> FloatArray:
    """Return a factor as a matrix: that of Walsh coefficients is kernel[i ^ j]."""
    if factor.ndim == 2:
        return factor
    index = np.arange(len(factor))
    return np.asarray((walsh_hadamard(factor) / len(factor))[index[:, np.newaxis] ^ index])


def _kron(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return the Kronecker product of two factors as one factor."""
    if left.ndim == right.ndim == 1:
        return np.asarray(np.kron(left, right), dtype=float)
    if len(left) * len(right) > _LARGEST_PRODUCT:
        raise ValueError(
            f"two corrections act on groups of bits that overlap in a block of {len(left) * len(right)} outcomes; at most "
            f"{_LARGEST_PRODUCT} are multiplied out: use the same groups in both"
        )
    return np.asarray(np.kron(_matrix(left), _matrix(right)), dtype=float)
