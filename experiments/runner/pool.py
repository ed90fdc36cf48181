"""Independent tasks on a pool: processes of this machine, or an existing Dask cluster; a worker that dies loses nothing."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tqdm import tqdm

from hattriq_cirq.foundation.arrays import plain

T = TypeVar("T")
Result = Mapping[str, Any]
Run = Callable[[T], Result]


@dataclass(frozen=True)
class _Ended(Generic[T]):
    """A task that ran, with its result or what went wrong."""

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
    """Runs tasks in any order and hands each result over as soon as it is there.

    Args:
        run: a module's function, so that another process can import it; its results are what JSON can hold, where NumPy
            numbers and arrays turn plain.
        tasks: what to run.
        keep: is given a task, its result and its seconds, in this process.
        name: beside the progress bar.
        done: tasks that need not be run, for the bar.
        workers: processes; 1 runs in this one.
        scheduler: the address of a Dask scheduler, in place of processes.

    Raises:
        RuntimeError: some tasks failed; all others have been kept.
        ImportError: a scheduler was named and Dask is not installed.
        OSError: the scheduler does not answer.
    """
    if scheduler is not None:
        ended = _on_dask(run, tasks, scheduler)
    elif workers == 1 or len(tasks) < 2:
        ended = (_run_one(run, task) for task in tasks)
    else:
        ended = _on_processes(run, tasks, workers)
    failed: list[_Ended[T]] = []
    bar = tqdm(total=done + len(tasks), initial=done, desc=name, unit="task", disable=not sys.stderr.isatty())
    with bar, closing(ended):
        for each in ended:
            if each.error:
                failed.append(each)
            else:
                keep(each.task, each.result, each.seconds)
            bar.update()
    if failed:
        listed = "".join(f"\n  {each.task}: {each.error}" for each in failed[:5])
        more = f"\n  and {len(failed) - 5} more" if len(failed) > 5 else ""
        raise RuntimeError(f"{len(failed)} of {len(tasks)} tasks of {name} failed, the others are kept:{listed}{more}")


def _run_one(run: Run[T], task: T) -> _Ended[T]:
    start = time.process_time()
    try:
        result = json.loads(json.dumps(run(task), default=plain, allow_nan=False))
    except Exception as error:  # whatever it is, it must not cost the other tasks
        place = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__}: {error} ({os.path.basename(place.filename)}, line {place.lineno})"
        return _Ended(task, {}, time.process_time() - start, message)
    return _Ended(task, result, time.process_time() - start)


def _on_processes(run: Run[T], tasks: Sequence[T], workers: int) -> Generator[_Ended[T], None, None]:
    """On new processes of this machine; where one dies, every task it may have been at is run again, alone.

    One whose process dies then as well has failed, and the others go on.
    """
    waiting = list(tasks)
    while waiting:
        left = yield from _until_one_dies(run, waiting, workers)
        for task in left[:workers]:  # they are begun in order, so no others were
            if (yield from _until_one_dies(run, [task], 1)):
                yield _Ended(task, {}, 0.0, "its process died twice, the second time alone; is there enough memory?")
        waiting = left[workers:]


def _until_one_dies(run: Run[T], tasks: Sequence[T], workers: int) -> Generator[_Ended[T], None, list[T]]:
    """Returns the tasks, in order, that have not ended because a process died; none if all are well."""
    places: dict[Future[_Ended[T]], int] = {}
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
    """Ends this worker when the process that started it is gone: waiting for tasks it would not notice, and stay for ever."""
    driver = multiprocessing.parent_process()
    assert driver is not None

    def watch() -> None:
        driver.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _on_dask(run: Run[T], tasks: Sequence[T], scheduler: str) -> Generator[_Ended[T], None, None]:
    """On the workers of a Dask cluster, which runs the tasks of a worker that died on others."""
    try:
        from distributed import Client
        from distributed import as_completed as as_completed_on_dask
    except ImportError as error:
        raise ImportError("--scheduler needs Dask: pip install hattriq_cirq[dask]") from error
    with Client(scheduler, timeout=20, set_as_default=False) as client:  # type: ignore[no-untyped-call]
        futures = client.map(_run_one, [run] * len(tasks), tasks, pure=False)
        places = {future.key: task for future, task in zip(futures, tasks, strict=True)}
        coming = as_completed_on_dask(futures, loop=client.loop)  # type: ignore[no-untyped-call]
        del futures  # what has been fetched is forgotten, so a worker that dies later does not have it run again
        for future in coming:
            try:
                ended = future.result()
            except Exception as error:  # its workers died too often, or the scheduler is gone
                ended = _Ended(places[future.key], {}, 0.0, f"{future.status} by the cluster: {error!r}")
            yield ended
