"""Client of the Google service killed by SIGKILL: the service continues, and the same command finishes the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from google_run import JOBS, SHOTS

HERE = Path(__file__).parents[1] / "helpers"
SCRIPT = HERE / "google_run.py"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Return the address of a stand-in in a separate process, and its log of executed jobs."""
    log = tmp_path / "ran.log"
    command = [sys.executable, str(HERE / "stand_in.py"), "--port", "0", "--job-seconds", "0.02", "--log", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"GRPC_VERBOSITY": "ERROR"}) as process:
        assert process.stdout is not None
        yield f"127.0.0.1:{int(process.stdout.readline())}", log
        process.terminate()


def start(address: str, folder: Path, result: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(SCRIPT), address, str(folder), str(result)]
    return subprocess.Popen(command, env=os.environ | {"GRPC_VERBOSITY": "ERROR"})


def recorded_counts(folder: Path) -> int:
    """Return the number of records of counts in a journal that is being written."""
    journal = folder / "journal.jsonl"
    return journal.read_bytes().count(b'"kind":"counts"') if journal.exists() else 0


def test_killed_client_resumes_its_jobs_and_none_runs_twice(service: tuple[str, Path], tmp_path: Path) -> None:
    address, log = service
    rng = np.random.default_rng(5)
    folder, result = tmp_path / "run", tmp_path / "counts.npy"
    for reached in sorted(rng.integers(1, JOBS - 5, size=3).tolist()):
        process = start(address, folder, result)
        deadline = time.monotonic() + 60
        while recorded_counts(folder) < reached and process.poll() is None and time.monotonic() < deadline:
            time.sleep(float(rng.uniform(0.001, 0.01)))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not result.exists()
    assert start(address, folder, result).wait() == 0
    counts = np.load(result)
    assert counts.shape == (JOBS, 4)
    assert (counts.sum(axis=1) == SHOTS).all()
    again = tmp_path / "again.npy"
    assert start(address, folder, again).wait() == 0
    assert (np.load(again) == counts).all()
    ran = Counter(log.read_text().split())
    assert len(ran) == JOBS
    assert set(ran.values()) == {1}
