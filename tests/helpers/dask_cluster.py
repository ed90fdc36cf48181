"""A Dask cluster of processes of this machine, for tests that kill its workers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cluster:
    """Address of the scheduler, and its workers, which are not restarted."""

    address: str
    workers: tuple[subprocess.Popen[bytes], ...]


@contextmanager
def dask_cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """Start a scheduler and workers with one thread each; kill them at the end."""
    file = folder / "scheduler.json"
    shared = ["--scheduler-file", str(file), "--no-dashboard", "--host", "127.0.0.1"]
    own = ["--no-nanny", "--nthreads", "1", "--local-directory", str(folder)]
    python = [sys.executable, "-m"]
    worker = [*python, "distributed.cli.dask_worker", *shared, *own]
    commands = [[*python, "distributed.cli.dask_scheduler", *shared, "--port", "0"], *[worker] * workers]
    started = [subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for words in commands]
    try:
        while not file.exists():
            assert started[0].poll() is None
            time.sleep(0.05)
        yield Cluster(f"tcp://127.0.0.1:{_port(file)}", tuple(started[1:]))
    finally:
        for process in started:
            process.kill()
            process.wait()


def _port(file: Path) -> int:
    while True:
        try:
            return int(json.loads(file.read_text(encoding="utf-8"))["address"].rpartition(":")[2])
        except ValueError:  # it is being written
            time.sleep(0.05)
