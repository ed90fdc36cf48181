"""Distances of maps from the exact ones, one number per map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hattriq_cirq.foundation.arrays import FloatArray

_MISS = 0.05  # probability that a 95% interval leaves out the exact value


def errors(maps: FloatArray, exact: FloatArray) -> FloatArray:
    """Return the relative L2 errors, (...,), of maps (..., features)."""
    return np.asarray(np.linalg.norm(maps - exact, axis=-1) / np.linalg.norm(exact, axis=-1))


def cosines(maps: FloatArray, exact: FloatArray) -> FloatArray:
    """Return the cosines to the exact maps, (...,); 0 for a map that is zero everywhere."""
    sizes = np.linalg.norm(maps, axis=-1) * np.linalg.norm(exact, axis=-1)
    return np.asarray(np.divide(np.sum(maps * exact, axis=-1), sizes, out=np.zeros_like(sizes), where=sizes > 0))


def slopes(maps: FloatArray, exact: FloatArray) -> FloatArray:
    """Return the slopes of maps against the exact ones, (...,)."""
    return np.asarray(np.sum(maps * exact, axis=-1) / np.sum(exact**2, axis=-1))


def sign_agreement(maps: FloatArray, exact: FloatArray, share: float = 0.1) -> FloatArray:
    """Return the share of the main features whose sign is right, (...,) in [0, 1].

    The main features are those of at least a share of the largest absolute value of the exact map.
    """
    main = np.abs(exact) >= share * np.abs(exact).max(axis=-1, keepdims=True)
    return np.asarray(np.sum((maps * exact > 0) & main, axis=-1) / main.sum(axis=-1))


def interval_scores(error: FloatArray, half_width: FloatArray | float) -> FloatArray:
    """Return the interval score (Winkler) of each 95% interval: its width, and 40 times what it misses the exact value by.

    Args:
        error: Centre of each interval minus the exact value.
        half_width: Half the width of each.

    Example:
        >>> interval_scores(np.array([0.0, 1.5]), 1.0)
        array([ 2., 22.])
    """
    return np.asarray(2 * half_width + 2 / _MISS * np.maximum(0, np.abs(error) - half_width))


def best_constant_score(error: FloatArray) -> float:
    """Return the smallest mean score of intervals of one width, chosen with the errors at hand, (values,).

    Example:
        >>> best_constant_score(np.array([-2.0, 1.0]))
        4.0
    """
    sizes = np.sort(np.abs(error))  # the score is piecewise linear in the width, with corners at the errors
    above = np.concatenate([np.cumsum(sizes[::-1])[::-1][1:], [0.0]]) - sizes * np.arange(len(sizes) - 1, -1, -1)
    return float(np.min(2 * sizes + 2 / _MISS * above / len(sizes)))


METRICS: Mapping[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "error": errors,
    "cosine": cosines,
    "slope": slopes,
    "signs": sign_agreement,
}


def metric_of_maps(result: Mapping[str, Any], level: str, metric: str) -> FloatArray:
    """Return a metric of every map of a task's result, (inputs, runs).

    Args:
        result: Result with `exact` maps, (inputs, features), and under `maps` the `values`, (inputs, runs, features).
        level: Key of `maps`: strength of the noise, number of shots, or a word.
        metric: `error`, `cosine`, `slope`, `signs`; `gap`, the absolute completeness gap; `coverage`, the share of features
            whose 95% interval holds the exact value; or `cosine on support`, which leaves out the features that are 0.
    """
    maps, exact = result["maps"][level], np.array(result["exact"])[:, np.newaxis]
    values = np.array(maps["values"])
    if metric == "gap":
        return np.asarray(np.abs(np.array(maps["gap"])), dtype=float)
    if metric == "coverage":
        return np.asarray(np.mean(np.abs(values - exact) <= np.array(maps["half_width"]) + 1e-12, axis=-1))
    if metric == "cosine on support":
        return cosines(np.where(np.array(result["x"])[:, np.newaxis] != 0, values, 0), exact)
    return METRICS[metric](values, exact)
