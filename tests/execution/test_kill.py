"""Runs killed by SIGKILL at any moment: no counts are lost, no finished job runs twice, the result is bitwise the same."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import killed_run
import numpy as np
import pytest
from forked import ForkServer
from killed_run import JOBS, KINDS

from hattriq_cirq.circuits.errors import JournalInUseError
from hattriq_cirq.execution.journal import JOURNAL
from hattriq_cirq.execution.journal_records import read
from hattriq_cirq.execution.journal_summary import read_summary

SCRIPT = killed_run.__file__
KILLS = 20


@dataclass(frozen=True)
class Run:
    """Run with its folder and files."""

    kind: str
    home: Path

    @property
    def words(self) -> list[str]:
        return [self.kind, *map(str, (self.home / "run", self.result, self.home / "log"))]

    @property
    def result(self) -> Path:
        return self.home / "result.npy"

    @property
    def size(self) -> int:
        """Return the number of bytes of the growing journal."""
        path = self.home / "run" / JOURNAL
        return path.stat().st_size if path.exists() else 0

    @property
    def counts(self) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        found: np.ndarray[tuple[int, ...], np.dtype[np.int64]] = np.load(self.result)
        return found

    def recorded(self) -> set[str]:
        """Return the jobs whose counts are in the journal, by their ids without the run's id."""
        path = self.home / "run" / JOURNAL
        contents, _ = read(path.read_bytes() if path.exists() else b"", str(path))
        return {name.partition("-")[2] for name, entry in contents.jobs.items() if entry.counts is not None}

    def executed(self) -> Counter[str]:
        """Return the number of executions of each job."""
        log = self.home / "log"
        return Counter(line.partition("-")[2] for line in log.read_text().split()) if log.exists() else Counter()


def finish(server: ForkServer, run: Run, kill_at: float | None = None) -> int:
    """Return the exit code of a run, -9 if it was killed when its journal reached a number of bytes."""
    pid = server.start(" ".join(run.words))
    if kill_at is None:
        return server.wait()
    while run.size < kill_at and not run.result.exists():
        time.sleep(0.0002)
    return server.kill(pid)


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with ForkServer(SCRIPT) as server:
        yield server


@pytest.fixture(scope="module", params=KINDS)
def unbroken(request: pytest.FixtureRequest, server: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run that was not interrupted."""
    run = Run(request.param, tmp_path_factory.mktemp(request.param))
    assert finish(server, run) == 0
    assert run.executed().total() == JOBS
    return run


@pytest.mark.filterwarnings("ignore::hattriq_cirq.execution.journal.JournalWarning")
def test_run_killed_at_random_moments_resumes_to_the_same_counts(unbroken: Run, server: ForkServer, tmp_path: Path) -> None:
    killed, done = 0, []
    for i, moment in enumerate(np.random.default_rng(5).uniform(0, unbroken.size, KILLS)):
        run = Run(unbroken.kind, tmp_path / str(i))
        run.home.mkdir()
        killed += finish(server, run, kill_at=moment) == -signal.SIGKILL
        before, recorded = run.executed(), run.recorded()
        done.append(len(recorded))
        assert finish(server, run) == 0
        np.testing.assert_array_equal(run.counts, unbroken.counts)
        again = run.executed() - before
        assert set(again) & recorded == set()
        assert set(run.executed()) == set(unbroken.executed())
        assert run.executed().total() <= JOBS + 1  # plus the job that was running
        assert read_summary(run.home / "run").status == "finished"
    assert killed >= KILLS - 1  # the last kill may come too late
    assert min(done) < 10
    assert max(done) > 40


def test_run_killed_repeatedly_still_finishes(unbroken: Run, server: ForkServer, tmp_path: Path) -> None:
    run = Run(unbroken.kind, tmp_path)
    deaths = 0
    while not run.result.exists():
        deaths += finish(server, run, kill_at=run.size + unbroken.size / 7) == -signal.SIGKILL
        assert deaths < 50
    assert deaths >= 3
    np.testing.assert_array_equal(run.counts, unbroken.counts)
    assert run.executed().total() <= JOBS + deaths


def test_process_holds_the_lock_of_its_run_until_it_is_killed(unbroken: Run, server: ForkServer, tmp_path: Path) -> None:
    run = Run(unbroken.kind, tmp_path)
    first = server.start(" ".join(run.words))
    while run.executed().total() < {"slow": 2, "remote": 30}[run.kind]:
        time.sleep(0.002)
    os.kill(first, signal.SIGSTOP)
    with pytest.raises(JournalInUseError, match=f"^process {first} is working on the run in {tmp_path}"):
        killed_run.run_line(" ".join(run.words))
    assert server.kill(first) == -signal.SIGKILL
    recorded, before = run.recorded(), run.executed()
    killed_run.run_line(" ".join(run.words))
    np.testing.assert_array_equal(run.counts, unbroken.counts)
    assert set(run.executed() - before) & recorded == set()
