"""Pools that run independent tasks on processes of this machine or on a Dask cluster; a worker that crashes loses no task."""

from __future__ import annotations

import io
import json
import os
import pickle
import queue
import struct
import subprocess
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Any, Self, TypeVar
from weakref import finalize

from hattriq_cirq.foundation.checks import ArgumentTypeError, as_count, shown
from hattriq_cirq.foundation.identity import STREAMS
from hattriq_cirq.foundation.machine import keep_freed_memory, one_blas_thread

T = TypeVar("T")
WORKERS_MAX = 4096
CRASHED = "The worker process crashed twice, the second time running only this task (out of memory?)."
_ADDRESS = "tcp://127.0.0.1:8786"
_IDLE = 60.0  # seconds without a task after which a process ends
_CONNECT = 20.0  # seconds to wait for a scheduler
_COUNT_AGAIN = 5.0  # seconds after which the threads of a cluster are counted again
_LENGTH = struct.Struct("<Q")  # precedes every message
_SERVE = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from hattriq_cirq.foundation.pool import serve; serve()"
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS"), "1")


class WorkerCrashedError(RuntimeError):
    """The worker process that ran a task crashed, and crashed again when the task was repeated."""


class Pool(ABC):
    """Workers that run tasks.

    A task is a function with its arguments. Functions of a script or a notebook are sent as code, all others by their names.
    Linear algebra is held to one thread in each worker.
    """

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of tasks that run at the same time, at least 1."""

    @abstractmethod
    def submit(self, function: Callable[..., T], *arguments: object) -> Future[T]:
        """Send a task to a worker without waiting for it.

        Returns:
            The future result. Its error is the one that the function raised; `WorkerCrashedError`; or `CancelledError` if the
            pool was closed or the cluster is gone.

        Raises:
            TypeError: The function or an argument cannot be sent to another process.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop all workers of this pool at once; tasks that have not ended are cancelled."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_workers(workers: object, scheduler: object) -> tuple[int, str | None]:
    """Return a number of worker processes and the address of a scheduler, or raise an error for values that are neither.

    Raises:
        ValueError: The number is below 1, the address is empty, or both are given.

    Example:
        >>> check_workers(2, None), check_workers(1, "tcp://127.0.0.1:8786")
        ((2, None), (1, 'tcp://127.0.0.1:8786'))
    """
    count = as_count(workers, "workers", maximum=WORKERS_MAX, advice=f"be at least 1 and at most {WORKERS_MAX}")
    if scheduler is None:
        return count, None
    if not isinstance(scheduler, str) or not scheduler.strip():
        raise ArgumentTypeError(f"scheduler={shown(scheduler)} must be the address of a Dask scheduler, such as '{_ADDRESS}'")
    if count > 1:
        raise ValueError(f"{scheduler=} has workers of its own; leave out {workers=}")
    return count, scheduler


def open_pool(workers: int, scheduler: str | None = None) -> Pool:
    """Return a pool of processes, which start with the first tasks, or of the workers of a Dask cluster.

    Args:
        workers: Number of processes of this machine.
        scheduler: Address of a Dask scheduler whose workers replace the processes.

    Raises:
        ImportError: A scheduler was given and Dask is not installed.
        OSError: The scheduler does not answer.

    Example:
        >>> with open_pool(2) as pool:
        ...     pool.submit(divmod, 7, 3).result()
        (2, 1)
    """
    return ProcessPool(workers) if scheduler is None else DaskPool(scheduler)


def sent(*values: object) -> bytes:
    """Return values as bytes for another process.

    Raises:
        TypeError: One of them cannot be sent.
    """
    import cloudpickle

    try:
        content: bytes = cloudpickle.dumps(values)
    except Exception as error:  # whatever the `__reduce__` of a user's class raises
        raise TypeError(f"{', '.join(map(shown, values))} cannot be sent to another process: {error}") from error
    return content


def random_streams(value: object) -> list[str]:
    """Return the types of the random streams that a value holds, whose copies in other processes would be equal.

    Example:
        >>> import numpy as np
        >>> random_streams([1, np.random.default_rng(0)]), random_streams(np.zeros(2))
        (['Generator', 'PCG64'], [])
    """
    import cloudpickle

    found: set[str] = set()

    class Finder(cloudpickle.Pickler):  # type: ignore[misc]
        def persistent_id(self, held: object) -> None:
            if isinstance(held, STREAMS):
                found.add(type(held).__name__)

    with suppress(Exception):  # `sent` refuses what cannot be pickled
        Finder(io.BytesIO()).dump(value)
    return sorted(found)


def _answer(task: bytes) -> bytes:
    """Run a task; return what came of it: True and the result, or False, the error and its traceback as text."""
    try:
        function, arguments = pickle.loads(task)
        with one_blas_thread():
            return pickle.dumps((True, function(*arguments), ""))
    except Exception as error:
        return _failure(error, traceback.format_exc())


def _failure(error: Exception, trace: str) -> bytes:
    try:
        failure = pickle.dumps((False, error, trace))
        pickle.loads(failure)  # some errors can be pickled, and not read again
    except Exception:
        return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}"), trace))
    return failure


class _RemoteTraceback(Exception):
    """Traceback of an error in a worker."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _settle(future: Future[Any], answer: bytes) -> None:
    """Hand what came of a task over to its future."""
    try:
        succeeded, value, trace = pickle.loads(answer)
    except Exception as error:  # a class that only the worker can import
        succeeded, value, trace = False, error, ""
    if succeeded:
        future.set_result(value)
    else:
        value.__cause__ = _RemoteTraceback(trace) if trace else None
        future.set_exception(value)


class ProcessPool(Pool):
    """Pool of processes of this machine, each of which runs one task at a time.

    A task whose process crashed is run once more, by a new process and while no other task runs: a lack of memory, the usual
    reason, may be the fault of all tasks together. Processes end when they have had no task for a minute, when the pool is
    closed or forgotten, and when this process ends in whatever way. They do not import the script that made the pool.

    Args:
        workers: Number of processes.
    """

    def __init__(self, workers: int) -> None:
        self._size, self._queue = workers, _Queue()
        self._end = finalize(self, _Queue.close, self._queue)

    @property
    def size(self) -> int:
        """Number of processes."""
        return self._size

    def submit(self, function: Callable[..., T], *arguments: object) -> Future[T]:
        """Send a task to a worker without waiting for it."""
        task = _Task(sent(function, arguments))
        if self._queue.add(task, self._size):
            threading.Thread(target=_drive, args=(self._queue,), daemon=True).start()
        return task.future

    def close(self) -> None:
        """Stop all processes at once; tasks that have not ended are cancelled."""
        self._end()


@dataclass(eq=False)
class _Task:
    """Task of a pool of processes."""

    content: bytes
    future: Future[Any] = field(default_factory=Future)
    has_crashed: bool = False


class _Queue:
    """Tasks that wait, shared by the threads that each drive one process."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._changed = threading.Condition()
        self._waiting: deque[_Task] = deque()
        self._crashed: deque[_Task] = deque()  # to be run alone
        self._running: set[_Task] = set()
        self._processes: set[_Process] = set()
        self._threads = 0
        self._is_closed = False

    def add(self, task: _Task, workers: int) -> bool:
        """Add a task; return True if it needs another thread."""
        with self._changed:
            if self._is_closed:
                raise RuntimeError("the pool is closed; open another one")
            self._waiting.append(task)
            self._changed.notify()
            needed = len(self._running) + len(self._waiting) + len(self._crashed)
            is_short = self._threads < min(workers, needed)
            self._threads += is_short
            return is_short

    def take(self) -> _Task | None:
        """Return the next task, as soon as there is one; None for a thread that shall end."""
        with self._changed:
            while not self._is_closed:
                task = self._next()
                if task is not None:
                    self._running.add(task)
                    return task
                if not self._changed.wait(_IDLE) and not self._waiting and not self._crashed:
                    break
            self._threads -= 1
            return None

    def _next(self) -> _Task | None:
        """Return a task that may start: one that crashed only if no other runs, others only if none that crashed is left."""
        if any(task.has_crashed for task in self._running) or (self._crashed and self._running):
            return None
        tasks = self._crashed or self._waiting
        while tasks:
            task = tasks.popleft()
            if task.has_crashed or task.future.set_running_or_notify_cancel():
                return task
        return None

    def started(self) -> _Process:
        """Return a new process."""
        process = _Process()
        with self._changed:
            self._processes.add(process)
            if self._is_closed:
                process.kill()
        return process

    def ended(self, process: _Process) -> None:
        """Forget a process and make sure that it ends; called by the thread that drives it."""
        with self._changed:
            self._processes.discard(process)
        process.close()

    def crashed(self, task: _Task) -> None:
        """Let a task whose process crashed run again, or fail at the second time."""
        if self._is_closed:
            self.settled(task, partial(task.future.set_exception, CancelledError("the pool was closed")))
        elif task.has_crashed:
            self.settled(task, partial(task.future.set_exception, WorkerCrashedError(CRASHED)))
        else:
            with self._changed:
                task.has_crashed = True
                self._running.discard(task)
                self._crashed.append(task)
                self._changed.notify_all()

    def settled(self, task: _Task, settle: Callable[[], None]) -> None:
        """Let the next task start and hand over what came of one."""
        with self._changed:
            self._running.discard(task)
            self._changed.notify_all()
        settle()

    def close(self) -> None:
        """Stop everything."""
        if self._owner != os.getpid():
            return  # the processes belong to the process that this one was forked from
        with self._changed:
            self._is_closed = True
            left = [*self._waiting, *self._crashed]
            self._waiting.clear()
            self._crashed.clear()
            for process in self._processes:
                process.kill()
            self._changed.notify_all()
        for task in left:
            if not task.future.cancel():
                task.future.set_exception(CancelledError("the pool was closed"))


def _drive(tasks: _Queue) -> None:
    """Give one process after the other tasks, until none is left or the pool is closed."""
    process: _Process | None = None
    while (task := tasks.take()) is not None:
        try:
            process = process or tasks.started()
        except OSError as error:  # no memory for another process
            tasks.settled(task, partial(task.future.set_exception, error))
            continue
        try:
            answer = process.ask(task.content)
        except (EOFError, OSError):
            tasks.ended(process)
            process = None
            tasks.crashed(task)
        else:
            tasks.settled(task, partial(_settle, task.future, answer))
        del task
    if process is not None:
        tasks.ended(process)


class _Process:
    """Process that runs tasks which are written to its standard input, in a process group of its own: Ctrl-C spares it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | _ONE_THREAD,
            process_group=None if os.name == "nt" else 0,
        )

    def ask(self, task: bytes) -> bytes:
        """Return the answer to a task. Raise EOFError or OSError if the process crashed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        _write(self._process.stdin, task)
        return _read(self._process.stdout)

    def kill(self) -> None:
        """End the process; a thread that waits for its answer gets an EOFError."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the process and close the streams to it."""
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError, ValueError):
                stream.close()  # type: ignore[union-attr]


def _write(stream: IO[bytes], message: bytes) -> None:
    stream.write(_LENGTH.pack(len(message)) + message)
    stream.flush()


def _read(stream: IO[bytes]) -> bytes:
    """Return the next message. Raise EOFError if the stream ends."""
    message = b""
    for length in (_LENGTH.size, None):
        wanted = _LENGTH.unpack(message)[0] if length is None else length
        message = stream.read(wanted)
        if len(message) < wanted:
            raise EOFError("the stream ended")
    return message


def serve() -> None:
    """Run the tasks that arrive on standard input until it ends, which it does with the process that started this one.

    What tasks print goes to standard error.
    """
    keep_freed_memory()
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def receive() -> None:
        with suppress(EOFError):
            while True:
                waiting.put(_read(orders))
        os._exit(0)  # at once, also in the middle of a task

    threading.Thread(target=receive, daemon=True).start()
    while True:
        _write(answers, _answer(waiting.get()))


class DaskPool(Pool):
    """Pool of the workers of an existing Dask cluster, which moves the tasks of a crashed worker to others.

    Args:
        scheduler: Address of the scheduler.

    Raises:
        ImportError: Dask is not installed.
        OSError: The scheduler does not answer.
    """

    def __init__(self, scheduler: str) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise ImportError(f"{scheduler=} needs Dask: pip install hattriq_cirq[dask]") from error
        try:
            self._client: Any = Client(scheduler, timeout=_CONNECT, set_as_default=False)  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:
            raise OSError(f"no Dask scheduler answers at {scheduler!r} ({error}); start one with `dask scheduler`") from error
        self._size, self._counted = 1, -_COUNT_AGAIN
        self._end = finalize(self, self._client.close)

    @property
    def size(self) -> int:
        """Number of threads of all workers, which may join and leave."""
        now = time.monotonic()
        if now - self._counted > _COUNT_AGAIN:
            self._size, self._counted = max(1, sum(self._client.nthreads().values())), now
        return self._size

    def submit(self, function: Callable[..., T], *arguments: object) -> Future[T]:
        """Send a task to the cluster without waiting for it."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        remote = self._client.submit(_answer, sent(function, arguments), pure=False)
        remote.add_done_callback(partial(_settle_remote, future))
        return future

    def close(self) -> None:
        """Leave the cluster; tasks that have not ended are cancelled."""
        self._end()


def _settle_remote(future: Future[Any], remote: Any) -> None:
    """Hand what came of a task of a cluster over to its future."""
    from distributed.scheduler import KilledWorker

    try:
        answer = remote.result()
    except KilledWorker as error:
        text = f"{error.allowed_failures + 1} workers of the cluster crashed while running this task (out of memory?)."
        future.set_exception(WorkerCrashedError(text))
    except (Exception, CancelledError) as error:
        future.set_exception(CancelledError(f"the cluster did not finish the task: {remote.status}: {error!r}"))
    else:
        _settle(future, answer)
