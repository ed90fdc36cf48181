"""Bootstrap intervals, which stand beside every figure of a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from hattriq_cirq.foundation.arrays import FloatArray

#: A value, then the low and high end of its 95% interval.
Interval = tuple[float, tuple[float, float]]
Values = Sequence[float] | FloatArray
_RESAMPLES = 2_000


def bootstrap_interval(values: Values, statistic: Callable[..., Any] = np.mean) -> tuple[float, float]:
    """Compute the 95% percentile bootstrap interval of a statistic; equal values have an interval of width 0.

    Args:
        values: Values, (samples,), at least one.
        statistic: `np.mean` or `np.median`.

    Returns:
        Low and high end of the interval.
    """
    if len({float(value) for value in values}) == 1:
        return float(values[0]), float(values[0])
    interval = bootstrap((values,), statistic, method="percentile", rng=np.random.default_rng(0)).confidence_interval
    return float(interval.low), float(interval.high)


def nested_bootstrap(
    groups: Sequence[Values], statistic: Callable[..., Any] = np.mean, *, by_counts: bool = False
) -> FloatArray:
    """Compute a statistic of grouped values with its 95% percentile interval, resampling both levels.

    Groups (models, seeds) are resampled with replacement, then values (inputs) within each, so that the interval includes the
    spread between models. Columns are resampled together.

    Args:
        groups: Values of each group, (values,) or (values, columns); NaN is left out.
        statistic: `np.mean` or `np.median`.
        by_counts: Draw how often each value occurs, by multinomial distributions, instead of indices. This is faster for means
            of hundreds of columns, of which some entries may be NaN.

    Returns:
        Statistic, low and high end, (3,) or (3, columns); NaN where there are no values.
    """
    valid = [np.asarray(group, dtype=float) for group in groups]
    valid = [group[~np.isnan(group).all(axis=tuple(range(1, group.ndim)))] for group in valid]
    columns = valid[0].shape[1:]
    valid = [group for group in valid if len(group)]
    result = np.full((3, *columns), np.nan)
    if not valid:
        return result
    rng, count, values = np.random.default_rng(0), len(valid), np.concatenate(valid)
    sizes = list(map(len, valid))
    if not by_counts:
        if not columns and len(set(sizes)) == 1:
            resampled = statistic(values[_resampled_rows(rng, count, sizes[0])], axis=1)
        else:
            resampled = []
            for _ in range(_RESAMPLES):
                chosen = (valid[i] for i in rng.integers(count, size=count))
                rows = np.concatenate([group[rng.integers(len(group), size=len(group))] for group in chosen])
                resampled.append(statistic(rows, axis=0))
        return np.stack([statistic(values, axis=0), *np.quantile(resampled, (0.025, 0.975), axis=0)])
    seeds = rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
    parts = [rng.multinomial(seeds[:, g] * size, np.full(size, 1 / size)) for g, size in enumerate(sizes)]
    weights = np.vstack([np.ones(len(values)), np.concatenate(parts, axis=1)])
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (weights @ np.where(present, values, 0.0)) / (weights @ present.astype(float))
    some = present.any(axis=0)
    result[0], result[1:, some] = means[0], np.nanquantile(means[1:, some], (0.025, 0.975), axis=0)
    return result


def _resampled_rows(rng: np.random.Generator, count: int, size: int) -> NDArray[np.int64]:
    """Return the rows of all resamples of groups of one size, (resamples, rows); the numbers are those of single resamples."""
    bounds = np.repeat([count, size], [count, count * size])
    numbers = rng.integers(np.broadcast_to(bounds, (_RESAMPLES, len(bounds))))
    return numbers[:, :count].repeat(size, axis=1) * size + numbers[:, count:]


def nested_estimate(groups: Sequence[Values], statistic: Callable[..., Any] = np.mean) -> Interval:
    """Return a statistic of grouped values with its interval, as `nested_bootstrap` computes them."""
    value, low, high = nested_bootstrap(groups, statistic).tolist()
    return value, (low, high)


def nested_interval(groups: Sequence[Values], statistic: Callable[..., Any] = np.mean) -> tuple[float, float]:
    """Return the 95% interval of a statistic of grouped values alone."""
    return nested_estimate(groups, statistic)[1]


def nested_text(groups: Sequence[Values], statistic: Callable[..., Any] = np.mean, digits: int = 3) -> str:
    """Return a statistic of grouped values and its interval as a cell of a table."""
    return with_interval(*nested_estimate(groups, statistic), digits)


def bootstrap_text(values: Values, statistic: Callable[..., Any] = np.mean, digits: int = 3) -> str:
    """Return a statistic of values and its bootstrap interval as a cell of a table."""
    return with_interval(float(statistic(values)), bootstrap_interval(values, statistic), digits)


def with_interval(value: float, interval: tuple[float, float], digits: int = 3) -> str:
    """Return a number and its interval as a cell of a table; NaN as a dash."""
    if np.isnan(value):
        return "-"
    return f"{value:.{digits}f} [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"
