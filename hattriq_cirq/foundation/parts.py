"""Large batches in parts: on several threads, and on disk instead of in memory, with results that depend on neither."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import numpy as np

from hattriq_cirq.foundation.array_files import empty_on_disk
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.machine import available_cores, keep_freed_memory, one_blas_thread
from hattriq_cirq.foundation.progress import track

PART = 2**18  # numbers of a part: with all that is computed from it, it stays in the cache


def in_parts(
    function: Callable[[slice], Mapping[str, Array]],
    rows: Array,
    workers: int | None = None,
    phase: str = "attribute inputs",
    *,
    step: int | None = None,
) -> Mapping[str, Array]:
    """Apply a function to parts of the rows of a batch and return its results for the whole batch.

    The parts are the same whatever the number of threads, each of which does its linear algebra alone, so that every bit of
    the results is.

    Args:
        function: Function of a slice of the rows that returns arrays whose first axis is that of the rows, by their names.
        rows: Batch, (samples, features). For one that is a file, `numpy.memmap`, results with two axes are on disk too, in
            temporary files that vanish with the arrays.
        workers: Number of threads; None for one on every core.
        phase: Name of the work for the progress bar.
        step: Number of rows of a part; None for as many as stay in the cache.

    Returns:
        The results of all rows, by their names.

    Example:
        >>> x = np.ones((3, 2))
        >>> in_parts(lambda part: {"sum": x[part].sum(axis=1)}, x)["sum"]
        array([2., 2., 2.])
    """
    step = step or max(1, PART // max(1, rows.shape[1]))
    first = function(slice(0, step))
    if len(rows) <= step:
        return first
    whole = {name: _empty((len(rows), *of_part.shape[1:]), of_part.dtype, like=rows) for name, of_part in first.items()}

    def compute(part: slice) -> None:
        _put(whole, part, function(part))

    _put(whole, slice(0, step), first)
    parts = [slice(start, start + step) for start in range(step, len(rows), step)]
    keep_freed_memory()
    threads = min(available_cores() if workers is None else workers, len(parts))
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(copy_context().run, compute, part) for part in parts]
        try:
            for future in track(futures, phase, "part"):
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return whole


def _put(whole: Mapping[str, Array], part: slice, found: Mapping[str, Array]) -> None:
    for name, values in found.items():
        whole[name][part] = values


def _empty(shape: tuple[int, ...], dtype: np.dtype, *, like: Array) -> Array:
    """Return an array for results, on disk if the batch is there and the results are rows too."""
    if not isinstance(like, np.memmap) or len(shape) != 2:
        return np.empty(shape, dtype)
    return empty_on_disk(shape, dtype)
