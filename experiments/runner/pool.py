"""Independent tasks on a pool: processes of this machine or an existing Dask cluster; a worker that crashes loses no result."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hattriq_cirq.foundation.arrays import plain
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
        run: Function of a module, so that another process can import it; JSON can hold its results, with NumPy numbers and
            arrays converted.
        tasks: Tasks to run.
        keep: Function called in this process with a task, its result and its processor time in seconds.
        name: Label of the progress bar.
        done: Number of tasks that have a result already, for the progress bar.
        workers: Number of processes; 1 runs the tasks in this one.
        scheduler: Address of a Dask scheduler that replaces the processes.

    Raises:
        RuntimeError: Some tasks failed; the results of all others have been kept.
        ImportError: A scheduler was given and Dask is not installed.
        OSError: The scheduler does not answer.
    """
    if scheduler is not None:
        outcomes = _on_dask(run, tasks, scheduler)
    elif workers == 1 or len(tasks) < 2:
        outcomes = (_run_one(run, task) for task in tasks)
    else:
        outcomes = _on_processes(run, tasks, workers)
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


def _on_processes(run: Run[T], tasks: Sequence[T], workers: int) -> Generator[_Outcome[T], None, None]:
    """Run tasks on new processes of this machine; if one crashes, each task that it may have been running is run again, alone.

    A task whose process crashes a second time has failed; the others continue.
    """
    waiting = list(tasks)
    while waiting:
        left = yield from _until_a_crash(run, waiting, workers)
        for task in left[:workers]:  # tasks are started in order, so no others were started
            if (yield from _until_a_crash(run, [task], 1)):
                yield _Outcome(task, {}, 0.0, "its process died twice, the second time running only this task (out of memory?)")
        waiting = left[workers:]


def _until_a_crash(run: Run[T], tasks: Sequence[T], workers: int) -> Generator[_Outcome[T], None, list[T]]:
    """Return the tasks, in order, that have not ended because a process crashed; none if no process did."""
    places: dict[Future[_Outcome[T]], int] = {}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=spawn, initializer=_end_with_the_driver) as pool:
        try:
            with suppress(BrokenProcessPool):
                for i, task in enumerate(tasks):
                    places[pool.submit(_run_one, run, task)] = i
            left = set(range(len(tasks)))
            for future in as_completed(places):
                if not isinstance(future.exception(), BrokenProcessPool):
                    left.remove(places[future])
                    yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [tasks[i] for i in sorted(left)]


def _end_with_the_driver() -> None:
    """End this worker when the process that started it is gone; a worker that waits for tasks would otherwise never end."""
    driver = multiprocessing.parent_process()
    assert driver is not None

    def watch() -> None:
        driver.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _on_dask(run: Run[T], tasks: Sequence[T], scheduler: str) -> Generator[_Outcome[T], None, None]:
    """Run tasks on the workers of a Dask cluster, which moves the tasks of a crashed worker to others."""
    try:
        from distributed import Client
        from distributed import as_completed as as_completed_on_dask
    except ImportError as error:
        raise ImportError("--scheduler needs Dask: pip install hattriq_cirq[dask]") from error
    with Client(scheduler, timeout=20, set_as_default=False) as client:  # type: ignore[no-untyped-call]
        futures = client.map(_run_one, [run] * len(tasks), tasks, pure=False)
        places = {future.key: task for future, task in zip(futures, tasks, strict=True)}
        coming = as_completed_on_dask(futures, loop=client.loop)  # type: ignore[no-untyped-call]
        del futures  # so that results already fetched are not computed again when their worker crashes later
        for future in coming:
            try:
                outcome = future.result()
            except Exception as error:  # its workers crashed too often, or the scheduler is gone
                outcome = _Outcome(places[future.key], {}, 0.0, f"{future.status} by the cluster: {error!r}")
            yield outcome
