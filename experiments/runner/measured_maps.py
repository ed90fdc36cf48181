"""Maps measured on an engine, with their errors, intervals and cost, as results of tasks hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

import hattriq_cirq as hq
from hattriq_cirq.compilation.placement import Placement
from hattriq_cirq.estimators import Estimator
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.pipeline.mitigation import Mitigation


def measure(
    model: hq.Model,
    x: Array,
    engine: Engine,
    shots: int,
    *,
    baseline: float | Array | hq.BaselineSet,
    estimator: Estimator,
    mitigation: Mitigation[Any] | None,
    placement: Placement | None = None,
) -> hq.Attribution:
    """Measure the maps of a batch of inputs, or of one; 0 shots take exact probabilities, and none go to a check of errors."""
    options: dict[str, Any] = {"baseline": baseline, "estimator": estimator, "mitigation": mitigation, "check": False}
    return hq.prepare(model, x, engine=engine, shots=shots or None, placement=placement, **options).execute()


def collect(runs: Sequence[Sequence[hq.Attribution]]) -> dict[str, Any]:
    """Return what results hold of repeated maps.

    Args:
        runs: Attributions of each batch of inputs, or of each input, one per run.

    Returns:
        Values, standard errors and half the widths of 95% intervals, (inputs, runs, features), completeness gaps,
        (inputs, runs), and the cost of the first run of each batch.
    """

    def rows(name: str) -> FloatArray:
        return np.concatenate([np.stack([np.atleast_2d(getattr(a, name)) for a in again], axis=1) for again in runs])

    gaps = [np.stack([np.atleast_1d(a.completeness_gap) for a in again], axis=-1) for again in runs]
    widths = [np.stack([np.atleast_2d(a.interval(0.95)[1] - a.values) for a in again], axis=1) for again in runs]
    return {
        "values": rows("values"),
        "stderr": rows("stderr"),
        "half_width": np.concatenate(widths),
        "gap": np.concatenate(gaps),
        "cost": [asdict(again[0].cost) for again in runs],
    }
