"""Alternating timings: each candidate runs once in turn, so that a change of the machine's speed affects all equally."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from hattriq_cirq.foundation.arrays import FloatArray


def alternate(candidates: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, FloatArray]:
    """Time candidates in turn, after one warm-up run of each.

    Args:
        candidates: Name -> function to time.
        repeats: Number of timed runs of each.

    Returns:
        Name -> seconds, (repeats,); runs with the same index were timed next to each other.
    """
    for run in candidates.values():
        run()
    seconds: dict[str, FloatArray] = {name: np.empty(repeats) for name in candidates}
    for i in range(repeats):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            seconds[name][i] = time.perf_counter() - start
    return seconds


def ratio_text(peer: FloatArray, own: FloatArray) -> str:
    """Return the ratio of the peer's time to ours, pair by pair, as text: median [least, most]."""
    ratios = peer / own
    return f"{np.median(ratios):.1f}x [{ratios.min():.1f}, {ratios.max():.1f}]"
