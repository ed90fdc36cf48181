"""Alternating timings: each candidate runs once in turn, so that a change of the machine's speed meets all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from hattriq_cirq.foundation.arrays import FloatArray


def alternate(candidates: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, FloatArray]:
    """Times candidates in turn, after one warm-up each.

    Args:
        candidates: name -> what to time.
        repeats: timed runs of each.

    Returns:
        name -> (repeats,) seconds; the i-th of each were measured next to each other.
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
    """How many times longer the peer takes, pair by pair: median [least, most]."""
    ratios = peer / own
    return f"{np.median(ratios):.1f}x [{ratios.min():.1f}, {ratios.max():.1f}]"
