"""Independent tasks on a pool: processes of this machine, or an existing Dask cluster; a worker that dies loses nothing."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tqdm import tqdm

T = TypeVar("T")
Result = Mapping[str, Any]
Run = Callable[[T], Result]
_LIVES = 3  # times in a row that a pool may break without a task having ended in between


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
        run: a module's function, so that another process can import it.
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
        ended = _on_processes(run, tasks, min(workers, len(tasks)))
    failed: list[_Ended[T]] = []
    with tqdm(total=done + len(tasks), initial=done, desc=name, unit="task", disable=not sys.stderr.isatty()) as bar:
        for each in ended:
            if each.error:
                failed.append(each)
            else:
                keep(each.task, each.result, each.seconds)
            bar.update()
    if failed:
        raise RuntimeError(
            f"{len(failed)} of {len(tasks)} tasks of {name} failed, the others are kept; the first is {failed[0].task}: "
            f"{failed[0].error}"
        )


def _run_one(run: Run[T], task: T) -> _Ended[T]:
    start = time.process_time()
    try:
        result = run(task)
    except Exception as error:  # whatever it is, it must not cost the other tasks
        return _Ended(task, {}, time.process_time() - start, f"{type(error).__name__}: {error}")
    return _Ended(task, result, time.process_time() - start)


def _on_processes(run: Run[T], tasks: Sequence[T], workers: int) -> Iterator[_Ended[T]]:
    """On new processes of this machine; where one dies, the tasks that were not done are run again on others."""
    waiting, lives = dict(enumerate(tasks)), _LIVES
    while waiting:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            futures = {pool.submit(_run_one, run, task): i for i, task in waiting.items()}
            try:
                for future in as_completed(futures):
                    ended = future.result()
                    del waiting[futures[future]]
                    lives = _LIVES
                    yield ended
            except BrokenProcessPool as error:
                lives -= 1
                if not lives:
                    raise RuntimeError(
                        f"workers died {_LIVES} times in a row with {len(waiting)} tasks left, {next(iter(waiting.values()))} "
                        "the first; what was done is kept; is there enough memory? try --workers 1"
                    ) from error
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _on_dask(run: Run[T], tasks: Sequence[T], scheduler: str) -> Iterator[_Ended[T]]:
    """On the workers of a Dask cluster, which runs the tasks of a worker that died on others."""
    try:
        from distributed import Client
        from distributed import as_completed as as_completed_on_dask
    except ImportError as error:
        raise ImportError("--scheduler needs Dask: pip install hattriq_cirq[dask]") from error
    with Client(scheduler, timeout=20, set_as_default=False) as client:
        futures = client.map(_run_one, [run] * len(tasks), tasks, pure=False)
        places = {future.key: task for future, task in zip(futures, tasks, strict=True)}
        for future in as_completed_on_dask(futures):
            if future.status == "finished":
                yield future.result()
            else:
                yield _Ended(places[future.key], {}, 0.0, f"{future.status}: {future.exception()}")
