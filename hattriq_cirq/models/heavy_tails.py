"""Errors of a fit with a heavy-tailed prior before any outcome, from the coefficients that are expected."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.models.coefficient_fit import SCALES, STEP, mixture_weights

_DRAWS = 8  # outcomes of each coefficient over which errors are averaged
_ITERATIONS, _CONVERGED = 40, 1e-3
_LEAST_SHARE = 1e-9


@dataclass(frozen=True, eq=False)
class HeavyTails(Frozen):
    """Coefficients whose classes have the mixtures that `empirical_bayes` will find for them.

    The errors follow from the equations of approximate message passing that the fit solves: what all outcomes say about one
    coefficient is one measurement with a normal error, whose variance counts what is uncertain of all others (state evolution:
    Bayati and Montanari, IEEE Transactions on Information Theory 57, 764, 2011).

    Args:
        coefficients: Expected coefficients, such as those of the simulated circuit, (strings,).
        classes: Class of each string, (strings,).

    Example:
        >>> tails = HeavyTails(np.array([0.8, 0.0, 0.0, 0.0]), np.zeros(4, dtype=np.int64))
        >>> few, many = (tails.errors(np.full(4, 0.3), probes=40, shots=shots).sum() for shots in (1_000, 100_000))
        >>> bool(0 < many < few < 0.1)
        True
    """

    coefficients: FloatArray
    classes: NDArray[np.int64]

    @cached_property
    def _mixture(self) -> tuple[FloatArray, FloatArray]:
        """Variances of the mixture, (scales,), and the logarithms of their weights for each string, (strings, scales)."""
        squares = self.coefficients**2
        largest = max(float(squares.max(initial=0.0)), 1e-300)
        variances = np.asarray(largest * STEP ** -np.arange(SCALES), dtype=float)
        nearest = np.rint(np.log(largest / np.maximum(squares, 1e-300)) / np.log(STEP)).clip(0, SCALES - 1).astype(np.int64)
        _, index = np.unique(self.classes, return_inverse=True)
        log_weights = np.asarray(np.log(mixture_weights(index, np.eye(SCALES)[nearest])), dtype=float)
        return variances, log_weights[index]

    def errors(self, shares: FloatArray, *, probes: int, shots: float) -> FloatArray:
        """Return the expected squared error of each coefficient, (strings,).

        Args:
            shares: Share of the probes that see each string, (strings,).
            probes: Number of probes.
            shots: Number of shots of all of them, each with outcomes of variance 1.
        """
        return self._evolved(shares, probes, shots)[0]

    def uncertainty(self, shares: FloatArray, *, probes: int, shots: float) -> FloatArray:
        """Return the expected square of each error as one fit will state it, (strings,), with the arguments of `errors`."""
        return self._evolved(shares, probes, shots)[1]

    def _evolved(self, shares: FloatArray, probes: int, shots: float) -> tuple[FloatArray, FloatArray]:
        variances, log_weights = self._mixture
        half = np.random.default_rng(0).normal(size=(_DRAWS // 2, len(self.coefficients)))
        normal = np.concatenate([half, -half])
        errors: FloatArray = self.coefficients**2
        stated = errors
        for _ in range(_ITERATIONS):
            scatter = (probes / shots + float(shares @ errors)) / (probes * np.maximum(shares, _LEAST_SHARE))
            kept = scatter[:, np.newaxis] / (variances + scatter[:, np.newaxis])
            shrinkage = 1 - kept
            separate = self.coefficients + np.sqrt(scatter) * normal
            squared = (separate**2 / scatter)[..., np.newaxis] * kept
            weights = softmax(log_weights + (np.log(kept) - squared) / 2, axis=-1)
            shrunk = np.sum(weights * shrinkage, axis=-1)
            doubt = (np.sum(weights * shrinkage**2, axis=-1) - shrunk**2).clip(0) * separate**2
            found = np.mean((shrunk * separate - self.coefficients) ** 2, axis=0)
            change, stated = float(shares @ (found - errors)), np.asarray((shrunk * scatter + doubt)[0])
            errors = np.asarray(found)
            if abs(change) <= _CONVERGED * float(shares @ found):
                break
        return errors, stated
