"""Covariances of many outcomes, solved in the smaller of two spaces: that of the outcomes, or that of what they share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array, hstack

from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.frozen import Frozen

_JITTER = 1e-13  # smallest variance that double precision tells from zero, as a share of the largest
_SMALLEST = 1e-9  # own variance below which what is shared is not solved for alone, as a share of the largest variance


@dataclass(frozen=True, eq=False)
class OutcomeCovariance(Frozen):
    """Covariance of outcomes: a diagonal of their own variances V and what they share, R R'.

    With fewer shared numbers than outcomes its inverse is V^-1 - V^-1 R (1 + R' V^-1 R)^-1 R' V^-1 (Woodbury).

    Args:
        own: Variance of each outcome alone, (outcomes,).
        roots: Derivatives of the outcomes by uncorrelated numbers of variance 1, (outcomes, numbers).

    Example:
        >>> covariance = OutcomeCovariance(np.full(3, 0.5), csr_array([[1.0], [1.0], [0.0]]))
        >>> covariance.diagonal, covariance.solve(np.array([1.0, 1.0, 1.0]))
        (array([1.5, 1.5, 0.5]), array([0.4, 0.4, 2. ]))
    """

    own: FloatArray
    roots: csr_array

    @classmethod
    def of(cls, own: FloatArray, *shared: FloatArray | csr_array) -> OutcomeCovariance:
        """Return the covariance of outcomes with several kinds of shared numbers, (outcomes, numbers) each."""
        return cls(own, csr_array(hstack([csr_array(each) for each in shared], format="csr")))

    @cached_property
    def diagonal(self) -> FloatArray:
        """Variance of each outcome, (outcomes,)."""
        return np.asarray(self.own + self.roots.power(2).sum(axis=1))

    @cached_property
    def _is_thin(self) -> bool:
        """True if the shared numbers are the smaller space, and no outcome is known without an error of its own."""
        count, numbers = self.roots.shape
        return numbers < count and bool(self.own.min() > _SMALLEST * self.diagonal.max())

    @cached_property
    def _factor(self) -> tuple[FloatArray, bool]:
        """Cholesky factor of the covariance, or of 1 + R' V^-1 R."""
        if self._is_thin:
            matrix = (self.roots.T @ self._scaled).toarray()
            matrix.flat[:: len(matrix) + 1] += 1
        else:
            matrix = (self.roots @ self.roots.T).toarray()
            matrix.flat[:: len(matrix) + 1] += self.own + _JITTER * self.diagonal.max()
        factor, lower = cho_factor(matrix, lower=True, overwrite_a=True)
        return np.asarray(factor), bool(lower)

    @cached_property
    def _scaled(self) -> csr_array:
        """The matrix V^-1 R."""
        return self.roots.multiply(1 / self.own[:, np.newaxis]).tocsr()

    def solve(self, values: FloatArray) -> FloatArray:
        """Return the inverse times values, (outcomes,)."""
        if not self._is_thin:
            return np.asarray(cho_solve(self._factor, values))
        return np.asarray(values / self.own - self._scaled @ cho_solve(self._factor, self._scaled.T @ values))

    @cached_property
    def inverse_diagonal(self) -> FloatArray:
        """Diagonal of the inverse, (outcomes,)."""
        inverse = cho_solve(self._factor, np.eye(len(self._factor[0])))
        if not self._is_thin:
            return np.asarray(inverse.diagonal())
        return np.asarray(1 / self.own - self._scaled.multiply(self._scaled @ inverse).sum(axis=1))
