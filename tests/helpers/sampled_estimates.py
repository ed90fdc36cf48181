"""Repetitions of a prepared run by sampling its exact outcome probabilities, which are computed once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.estimators.plan import Estimate
from hattriq_cirq.pipeline.prepare import PreparedAttribution


def sampled_estimates(prepared: PreparedAttribution, count: int, seed: int) -> Iterator[list[Estimate]]:
    """Yield the estimates of all quantities of the first input of a run without noise, each from other counts."""
    rng = np.random.default_rng(seed)
    inputs, circuits = next(prepared.chunks())
    exact = prepared.engine.execute(circuits.programs, None)
    for _ in range(count):
        counts = [
            Distribution.from_counts(rng.multinomial(shots, one.probabilities / one.probabilities.sum()))
            for shots, one in zip(inputs[0].shots or [], exact, strict=False)
        ]
        yield inputs[0].decode(counts, None)[0]
