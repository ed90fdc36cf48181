"""The interval that stands beside every figure of a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from hattriq_cirq.foundation.arrays import FloatArray

_RESAMPLES = 2_000


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


def median_text(values: FloatArray) -> str:
    """The median of values and its 95% bootstrap interval, as a cell of a table."""
    return with_interval(float(np.median(values)), bootstrap_interval(values, np.median))


def with_interval(value: float, interval: tuple[float, float], digits: int = 3) -> str:
    """A number and its interval, as a cell of a table; NaN as a dash."""
    if np.isnan(value):
        return "-"
    return f"{value:.{digits}f} [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"


def nested_interval(
    groups: Sequence[Sequence[float] | FloatArray], statistic: Callable[..., Any] = np.mean
) -> tuple[float, float]:
    """The 95% percentile interval of a statistic of all values, when they come in groups: a bootstrap of both levels.

    Groups (seeds, models) are drawn with replacement, then values (inputs) within each, so that the spread between models is
    part of the interval.

    Args:
        groups: values of each group, at least one; NaN is left out.
        statistic: `np.mean` or `np.median`.

    Returns:
        Its low and high end.
    """
    kept = [np.asarray(group, dtype=float)[~np.isnan(group)] for group in groups]
    kept = [group for group in kept if group.size]
    if not kept:
        return float("nan"), float("nan")
    rng = np.random.default_rng(0)
    found = []
    for _ in range(_RESAMPLES):
        drawn = (kept[i] for i in rng.integers(len(kept), size=len(kept)))
        found.append(statistic(np.concatenate([group[rng.integers(group.size, size=group.size)] for group in drawn])))
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def nested_text(
    groups: Sequence[Sequence[float] | FloatArray], statistic: Callable[..., Any] = np.mean, digits: int = 3
) -> str:
    """A statistic of values that come in groups and its `nested_interval`, as a cell of a table."""
    values = np.concatenate([np.asarray(group, dtype=float) for group in groups])
    values = values[~np.isnan(values)]
    value = float(statistic(values)) if values.size else float("nan")
    return with_interval(value, nested_interval(groups, statistic), digits)
