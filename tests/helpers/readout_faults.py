"""Outcomes with readout errors and dense confusion matrices, for the tests of the calibration package."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import cirq
import numpy as np
from numpy.typing import NDArray

from calibration.testing import FaultyReadout
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.pipeline.mitigation import Variants
from hattriq_cirq.simulation.statevector import outcome_probabilities

__all__ = ["FaultyReadout", "counted", "dense_confusion", "observed_outcomes"]
Array = NDArray[Any]


def dense_confusion(bits: int, e0: float, e1: float, pairs: Sequence[tuple[int, int, float]] = ()) -> Array:
    """Return the confusion [prepared, observed] of pair flips, followed by single errors, written out entry by entry."""
    confusion = np.eye(2**bits)
    for i, j, probability in pairs:
        mask = (1 << (bits - 1 - i)) | (1 << (bits - 1 - j))
        flips = np.zeros((2**bits, 2**bits))
        for state in range(2**bits):
            flips[state, state] += 1 - probability
            flips[state, state ^ mask] += probability
        confusion = confusion @ flips
    return np.asarray(confusion @ reduce(np.kron, [np.array([[1 - e0, e0], [e1, 1 - e1]])] * bits))


def observed_outcomes(variants: Variants, confusion: Array) -> list[Distribution]:
    """Return the exact distribution of every request of variants, observed through a confusion [prepared, observed]."""
    outcomes: dict[int, Distribution] = {}
    for program in variants.programs:
        for request, point in zip(program.requests, program.points, strict=True):
            true = outcome_probabilities(cirq.resolve_parameters(program.circuit, dict(point)))
            outcomes[request] = Distribution(true @ confusion, None)
    return [outcomes[request] for request in sorted(outcomes)]


def counted(exact: Sequence[Distribution], shots: Sequence[int], rng: np.random.Generator) -> list[Distribution]:
    """Return counts sampled from exact distributions."""
    return [
        Distribution.from_counts(rng.multinomial(n, d.probabilities / d.probabilities.sum()))
        for d, n in zip(exact, shots, strict=True)
    ]
