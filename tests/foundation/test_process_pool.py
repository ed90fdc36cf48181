"""Pools of worker processes: results, errors, crashes, and processes that never outlive their owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest

from hattriq_cirq.foundation import pool as pools
from hattriq_cirq.foundation.pool import CRASHED, WorkerCrashedError, check_workers, open_pool, random_streams

SCRIPT = """
import signal, sys, time
from hattriq_cirq.foundation.pool import open_pool

signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background of a shell inherits that it is ignored

def double(x):  # a function of a script without a guard, which no other process can import
    return 2 * x

pool = open_pool(2)
print([pool.submit(double, i).result() for i in range(3)], flush=True)
if sys.argv[1] == "wait":
    print(*[process._process.pid for process in pool._queue._processes], flush=True)
    busy = [pool.submit(time.sleep, 100) for _ in range(4)]
    busy[0].result()
"""


class OddError(Exception):
    """Error that can be pickled and not read again."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def _crash(marks: Path, times: int, slow: Path | None = None) -> int:
    """Crash the worker until as many marks are there."""
    number = len(list(marks.iterdir()))
    (marks / f"{number}-{os.getpid()}").touch()
    if number < times:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _log(file: Path, name: str, seconds: float) -> None:
    with file.open("a", encoding="utf-8") as log:
        log.write(f"+{name} ")
    time.sleep(seconds)
    with file.open("a", encoding="utf-8") as log:
        log.write(f"-{name} ")


def _environment() -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")}


def _fail(odd: bool) -> None:
    print("what a task prints")
    raise OddError(1, 2) if odd else ArithmeticError("no luck")


def test_tasks_run_on_processes_with_one_thread_of_linear_algebra() -> None:
    def local(x: int) -> tuple[int, int]:
        return os.getpid(), x + offset

    offset = 10
    with open_pool(2) as pool:
        answers = [pool.submit(local, i) for i in range(20)]
        assert [answer.result()[1] for answer in answers] == list(range(10, 30))
        processes = {answer.result()[0] for answer in answers}
        assert os.getpid() not in processes
        assert 1 <= len(processes) <= 2
        assert pool.submit(_environment).result() == {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        for odd, kind, text in ((False, ArithmeticError, "no luck"), (True, RuntimeError, "OddError: 1 and 2")):
            with pytest.raises(kind, match=text) as caught:
                pool.submit(_fail, odd).result()
            assert "in _fail" in str(caught.value.__cause__)
        with pytest.raises(TypeError, match=r"lock object.* cannot be sent to another process"):
            pool.submit(print, threading.Lock())


def test_task_of_a_crashed_worker_runs_again_alone_and_fails_at_the_second_crash(tmp_path: Path) -> None:
    once, always, log = tmp_path / "once", tmp_path / "always", tmp_path / "log"
    once.mkdir()
    always.mkdir()
    with open_pool(2) as pool:
        first = pool.submit(_crash, once, 1)
        others = [pool.submit(_log, log, str(i), 0.02) for i in range(6)]
        assert first.result() == 1
        with pytest.raises(WorkerCrashedError) as caught:
            pool.submit(_crash, always, 99).result()
        assert [other.result() for other in others] == [None] * 6
    assert str(caught.value) == CRASHED
    assert len(list(once.iterdir())) == len(list(always.iterdir())) == 2


def test_closed_pool_cancels_its_tasks_and_ends_its_processes() -> None:
    pool = open_pool(1)
    running, waiting = pool.submit(time.sleep, 100), pool.submit(os.getpid)
    while not running.running():
        time.sleep(0.01)
    pool.close()
    for task in (running, waiting):
        with pytest.raises(CancelledError):
            task.result(timeout=10)
    with pytest.raises(RuntimeError, match="the pool is closed"):
        pool.submit(os.getpid)


def test_idle_process_ends_and_the_next_task_starts_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_IDLE", 0.05)
    with open_pool(1) as pool:
        first = pool.submit(os.getpid).result()
        while Path(f"/proc/{first}").exists():
            time.sleep(0.01)
        assert pool.submit(os.getpid).result() != first


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_script_without_a_guard_leaves_no_process_however_it_ends(how: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    words = [sys.executable, str(script), "wait"]
    run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert run.stdout is not None
    assert run.stdout.readline() == "[0, 2, 4]\n"
    processes = list(map(int, run.stdout.readline().split()))
    os.killpg(run.pid, how)  # what Ctrl-C does
    _, errors = run.communicate(timeout=60)  # ends when no process is left that could write to the pipe
    assert 1 <= len(processes) <= 2
    while any(_is_alive(pid) for pid in processes):  # the pipe is closed a moment before the process is gone
        time.sleep(0.01)
    assert errors.count("Traceback") == (how == signal.SIGINT)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_wrong_workers_and_schedulers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for workers in (0, -1, 1.5, "2", True, 5000):
        with pytest.raises(ValueError, match="workers="):
            check_workers(workers, None)
    with pytest.raises(ValueError, match=r"has workers of its own; leave out workers=2"):
        check_workers(2, "tcp://127.0.0.1:8786")
    for scheduler in ("", " ", 8786):
        with pytest.raises(ValueError, match="must be the address of a Dask scheduler"):
            check_workers(1, scheduler)
    monkeypatch.setattr(pools, "_CONNECT", 0.2)
    for address in ("tcp://127.0.0.1:9", "odd://there"):
        with pytest.raises(OSError, match=f"no Dask scheduler answers at '{address}'.*start one with `dask scheduler`"):
            open_pool(1, address)


def test_random_streams_of_a_value_are_named() -> None:
    stream = np.random.default_rng(0)
    assert random_streams({"held": [stream]}) == ["Generator", "PCG64"]
    assert random_streams([np.random, 1, "text"]) == []
