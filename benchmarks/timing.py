"""Alternating timings: each candidate runs in turn, so that a change of the machine's speed affects all equally."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from hattriq_cirq.foundation.arrays import FloatArray

WARM_UP = 2  # runs of each candidate before it is timed: the first compiles, the second shows how long a run takes
_RUN = 5e-3  # seconds of a run, in which what happened before it does not matter


def alternate(candidates: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, FloatArray]:
    """Time candidates in turn, after `WARM_UP` runs of each.

    Args:
        candidates: Name -> function to time.
        repeats: Number of timed runs of each; a run repeats a short candidate until it takes 5 ms.

    Returns:
        Name -> seconds per call, (repeats,); runs with the same index were timed next to each other.
    """
    calls = {}
    for name, run in candidates.items():
        run()
        start = time.perf_counter()
        run()
        calls[name] = max(1, round(_RUN / (time.perf_counter() - start)))
    seconds: dict[str, FloatArray] = {name: np.empty(repeats) for name in candidates}
    for i in range(repeats):
        for name, run in candidates.items():
            start = time.perf_counter()
            for _ in range(calls[name]):
                run()
            seconds[name][i] = (time.perf_counter() - start) / calls[name]
    return seconds


def ratio_text(peer: FloatArray, own: FloatArray) -> str:
    """Return the ratio of the peer's time to ours, pair by pair, as text: median [least, most]."""
    ratios = peer / own
    return f"{np.median(ratios):.1f}x [{ratios.min():.1f}, {ratios.max():.1f}]"
