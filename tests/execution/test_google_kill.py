"""Client of the Google service killed by SIGKILL: the service continues, and the same command finishes the run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from forked import ForkServer
from google_run import JOBS, SHOTS

HERE = Path(__file__).parents[1] / "helpers"
SCRIPT = HERE / "google_run.py"


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """Return the address of a stand-in in a separate process, and its log of executed jobs."""
    monkeypatch.setenv("GRPC_VERBOSITY", "ERROR")
    log = tmp_path / "ran.log"
    command = [sys.executable, str(HERE / "stand_in.py"), "--port", "0", "--job-seconds", "0.02", "--log", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"127.0.0.1:{int(process.stdout.readline())}", log
        process.terminate()


def recorded_counts(folder: Path) -> int:
    """Return the number of records of counts in a journal that is being written."""
    journal = folder / "journal.jsonl"
    return journal.read_bytes().count(b'"kind":"counts"') if journal.exists() else 0


@pytest.fixture
def clients(service: tuple[str, Path]) -> Iterator[ForkServer]:
    with ForkServer(SCRIPT) as server:
        yield server


def test_killed_client_resumes_its_jobs_and_none_runs_twice(
    service: tuple[str, Path], clients: ForkServer, tmp_path: Path
) -> None:
    address, log = service
    rng = np.random.default_rng(5)
    folder, result = tmp_path / "run", tmp_path / "counts.npy"
    for reached in sorted(rng.integers(1, JOBS - 5, size=3).tolist()):
        client = clients.start(f"{address} {folder} {result}")
        deadline = time.monotonic() + 60
        while recorded_counts(folder) < reached and not result.exists() and time.monotonic() < deadline:
            time.sleep(float(rng.uniform(0.001, 0.01)))
        assert clients.kill(client) == -signal.SIGKILL
        assert not result.exists()
    clients.start(f"{address} {folder} {result}")
    assert clients.wait() == 0
    counts = np.load(result)
    assert counts.shape == (JOBS, 4)
    assert (counts.sum(axis=1) == SHOTS).all()
    again = tmp_path / "again.npy"
    clients.start(f"{address} {folder} {again}")
    assert clients.wait() == 0
    assert (np.load(again) == counts).all()
    ran = Counter(log.read_text().split())
    assert len(ran) == JOBS
    assert set(ran.values()) == {1}
