"""How good repeated maps are: what their errors have in common, how large they are, and whether their intervals hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.runner.bootstrap import nested_interval
from hattriq_cirq.foundation.arrays import FloatArray


@dataclass(frozen=True)
class MapErrorSummary:
    """How good maps are, each number with its 95% interval, bootstrap over models and inputs.

    Args:
        bias: relative L2 norm of the error that runs of an input have in common, root mean square over inputs; 0 where what
            they have in common is less than nothing. Two runs' errors are independent but for it, so that their inner product
            estimates its square.
        error: relative L2 error of a map, root mean square.
        coverage: how many 95% intervals of features hold the exact value.
        variance_factor: summed variance of a map over that of as many shots read without error, mean.
    """

    bias: tuple[float, tuple[float, float]]
    error: tuple[float, tuple[float, float]]
    coverage: tuple[float, tuple[float, float]]
    variance_factor: float


def summarize_map_errors(results: Sequence[Mapping[str, Any]], method: str, shots: int) -> MapErrorSummary:
    """Judges the maps of one correction at so many shots on all models; two runs an input at least."""
    common, squares, held, factors = [], [], [], []
    for result in results:
        maps, exact = result["maps"][method][str(shots)], np.array(result["exact"])
        off, size = np.array(maps["values"]) - exact[:, np.newaxis], np.sum(exact**2, axis=1)
        runs, each = off.shape[1], np.sum(off**2, axis=2)
        common.append((np.sum(off.sum(axis=1) ** 2, axis=1) - each.sum(axis=1)) / (runs * (runs - 1)) / size)
        squares.append(each.mean(axis=1) / size)
        held.append(np.mean(np.abs(off) <= 1.96 * np.array(maps["stderr"]), axis=(1, 2)))
        factors += maps["variance_factor"]
    coverage = float(np.mean(np.concatenate(held))), nested_interval(held)
    return MapErrorSummary(_root_mean(common), _root_mean(squares), coverage, float(np.mean(factors)))


def _root_mean(groups: Sequence[FloatArray]) -> tuple[float, tuple[float, float]]:
    mean, (low, high) = float(np.mean(np.concatenate(groups))), nested_interval(groups)
    return _root(mean), (_root(low), _root(high))


def _root(square: float) -> float:
    return float(np.sqrt(max(0.0, square)))
