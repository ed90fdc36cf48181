"""Bias, error and coverage of repeated maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.runner.bootstrap import Interval, nested_bootstrap, nested_estimate
from experiments.runner.map_metrics import metric_of_maps
from hattriq_cirq.foundation.arrays import FloatArray


@dataclass(frozen=True)
class MapErrorSummary:
    """Errors of maps, each number with its 95% interval by bootstrap over models and inputs.

    Args:
        bias: Relative L2 norm of the error that the runs of one input have in common, as a root mean square over inputs; 0 if
            its square is estimated below 0. The errors of two runs are independent but for this common part, so that their
            inner product estimates its square.
        error: Relative L2 error of a map, as a root mean square.
        coverage: Share of the features whose `interval(0.95)`, of both parts of the error, holds the exact value.
        variance_factor: Mean of the summed variance of a map over that of as many shots read without error.
    """

    bias: Interval
    error: Interval
    coverage: Interval
    variance_factor: float


def summarize_map_errors(results: Sequence[Mapping[str, Any]], level: str) -> MapErrorSummary:
    """Summarise the errors of the maps of all models at one number of shots.

    Args:
        results: Result of each model, with `exact` maps, (inputs, features), and under `maps` the `values` and `half_width`,
            (inputs, runs, features), of at least two runs, and `variance_factor`, (inputs,).
        level: Key of `maps`.
    """
    common, squares, covered, factors = [], [], [], []
    for result in results:
        maps, exact = result["maps"][level], np.array(result["exact"])
        off, size = np.array(maps["values"]) - exact[:, np.newaxis], np.sum(exact**2, axis=1)
        runs, each = off.shape[1], np.sum(off**2, axis=2)
        common.append((np.sum(off.sum(axis=1) ** 2, axis=1) - each.sum(axis=1)) / (runs * (runs - 1)) / size)
        squares.append(each.mean(axis=1) / size)
        covered.append(metric_of_maps(result, level, "coverage").mean(axis=1))
        factors += list(maps["variance_factor"])
    return MapErrorSummary(_root_mean(common), _root_mean(squares), nested_estimate(covered), float(np.mean(factors)))


def _root_mean(groups: Sequence[FloatArray]) -> Interval:
    mean, low, high = np.sqrt(np.maximum(nested_bootstrap(groups), 0)).tolist()
    return mean, (low, high)
