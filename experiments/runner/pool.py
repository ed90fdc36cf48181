"""The tasks of a study, in this process or on a pool: the result of each is kept as soon as it is known."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import CancelledError, as_completed
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hattriq_cirq.foundation.arrays import plain
from hattriq_cirq.foundation.pool import WorkerCrashedError, open_pool
from hattriq_cirq.foundation.progress import progress_bar
from hattriq_cirq.foundation.terminal import is_watched

T = TypeVar("T")
Result = Mapping[str, Any]
Run = Callable[[T], Result]


@dataclass(frozen=True)
class _Outcome(Generic[T]):
    """A task that ran, with its result or its error message."""

    task: T
    result: Result
    seconds: float
    error: str = ""


def run_all(
    run: Run[T],
    tasks: Sequence[T],
    keep: Callable[[T, Result, float], None],
    *,
    name: str,
    done: int = 0,
    workers: int = 1,
    scheduler: str | None = None,
) -> None:
    """Run tasks in any order and hand over each result as soon as it is known.

    Args:
        run: Function that another process can run; JSON can hold its results, with NumPy numbers and arrays converted.
        tasks: Tasks to run.
        keep: Function called in this process with a task, its result and its processor time in seconds.
        name: Label of the progress bar.
        done: Number of tasks that have a result already, for the progress bar.
        workers: Number of processes; 1 runs the tasks in this one.
        scheduler: Address of a Dask scheduler whose workers replace the processes.

    Raises:
        RuntimeError: Some tasks failed; the results of all others have been kept.
        ImportError: A scheduler was given and Dask is not installed.
        OSError: The scheduler does not answer.
    """
    in_process = scheduler is None and (workers == 1 or len(tasks) < 2)
    outcomes = (_run_one(run, task) for task in tasks) if in_process else _on_workers(run, tasks, workers, scheduler)
    failed: list[_Outcome[T]] = []
    bar = progress_bar(shown=is_watched(), total=done + len(tasks), initial=done, desc=name, unit="task")
    with bar, closing(outcomes):
        for each in outcomes:
            if each.error:
                failed.append(each)
            else:
                keep(each.task, each.result, each.seconds)
            bar.update()
    if failed:
        listed = "".join(f"\n  {each.task}: {each.error}" for each in failed[:5])
        more = f"\n  and {len(failed) - 5} more" if len(failed) > 5 else ""
        raise RuntimeError(f"{len(failed)} of {len(tasks)} tasks of {name} failed, the others are kept:{listed}{more}")


def _run_one(run: Run[T], task: T) -> _Outcome[T]:
    start = time.process_time()
    try:
        result = json.loads(json.dumps(run(task), default=plain, allow_nan=False))
    except Exception as error:  # no error of one task may stop the others
        place = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__}: {error} ({os.path.basename(place.filename)}, line {place.lineno})"
        return _Outcome(task, {}, time.process_time() - start, message)
    return _Outcome(task, result, time.process_time() - start)


def _on_workers(run: Run[T], tasks: Sequence[T], workers: int, scheduler: str | None) -> Generator[_Outcome[T], None, None]:
    """Run tasks on a pool; one whose worker crashes twice has failed, and the others continue."""
    with open_pool(min(workers, max(1, len(tasks))), scheduler) as pool:
        places = {pool.submit(_run_one, run, task): task for task in tasks}
        for future in as_completed(list(places)):
            task = places.pop(future)
            try:
                outcome = future.result()
            except (WorkerCrashedError, CancelledError) as error:
                outcome = _Outcome(task, {}, 0.0, str(error))
            yield outcome
