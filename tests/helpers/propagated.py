"""Standard errors of any function of a learned model, by its derivatives by the coefficients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hattriq_cirq.models.learned import LearnedModel
from hattriq_cirq.models.pauli_strings import PauliObservable


def propagated_stderr(
    learned: LearnedModel, function: Callable[[PauliObservable], NDArray[np.float64]], step: float = 1e-4
) -> NDArray[np.float64]:
    """Return the standard errors of a function's values, with derivatives by central differences."""

    def at(change: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(function(PauliObservable(learned.strings, learned.coefficients + change, learned.identity_part)))

    rows = np.eye(len(learned.strings)) * step
    slopes = np.array([(at(row) - at(-row)) / (2 * step) for row in rows])
    flat = slopes.reshape(len(slopes), -1)
    variances = np.einsum("sv,st,tv->v", flat, learned.covariance, flat)
    return np.asarray(np.sqrt(variances.clip(0)).reshape(slopes.shape[1:]))
