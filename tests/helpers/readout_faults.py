"""The sampler that reads wrongly, and dense confusions to compare with, for the tests of the calibration layer."""

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

__all__ = ["FaultyReadout", "as_read", "counted", "dense_confusion"]
Array = NDArray[Any]


def dense_confusion(bits: int, e0: float, e1: float, pairs: Sequence[tuple[int, int, float]] = ()) -> Array:
    """[prepared, observed] of pair flips, then of single errors: written out entry by entry."""
    confusion = np.eye(2**bits)
    for i, j, chance in pairs:
        mask = (1 << (bits - 1 - i)) | (1 << (bits - 1 - j))
        flips = np.zeros((2**bits, 2**bits))
        for state in range(2**bits):
            flips[state, state] += 1 - chance
            flips[state, state ^ mask] += chance
        confusion = confusion @ flips
    return np.asarray(confusion @ reduce(np.kron, [np.array([[1 - e0, e0], [e1, 1 - e1]])] * bits))


def as_read(variants: Variants, confusion: Array) -> list[Distribution]:
    """The exact distribution of every request of variants, read through a confusion [prepared, observed]."""
    found: dict[int, Distribution] = {}
    for program in variants.programs:
        for request, point in zip(program.requests, program.points, strict=True):
            true = outcome_probabilities(cirq.resolve_parameters(program.circuit, dict(point)))
            found[request] = Distribution(true @ confusion, None)
    return [found[request] for request in sorted(found)]


def counted(exact: Sequence[Distribution], shots: Sequence[int], rng: np.random.Generator) -> list[Distribution]:
    """Counts drawn from exact distributions."""
    return [
        Distribution.from_counts(rng.multinomial(n, d.probabilities / d.probabilities.sum()))
        for d, n in zip(exact, shots, strict=True)
    ]
