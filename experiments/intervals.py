"""The interval that stands beside every figure of a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from hattriq_cirq._arrays import FloatArray


def bootstrap_interval(values: Sequence[float] | FloatArray, statistic: Callable[..., Any] = np.mean) -> tuple[float, float]:
    """The 95% percentile bootstrap interval of a statistic; equal values have an interval of no width.

    Args:
        values: (samples,), at least one.
        statistic: `np.mean` or `np.median`.

    Returns:
        Its low and high end.
    """
    if len({float(value) for value in values}) == 1:
        return float(values[0]), float(values[0])
    interval = bootstrap((values,), statistic, method="percentile", rng=np.random.default_rng(0)).confidence_interval
    return float(interval.low), float(interval.high)
