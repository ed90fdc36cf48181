"""Pools of tasks: results equal those of a serial run, also after crashes of workers or of the driver."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_study
from dask_cluster import dask_cluster
from tiny_study import COUNT, ORDERS, STUDY, Task

TESTS = Path(__file__).parents[1] / "helpers"
TASKS = [Task(seed) for seed in range(COUNT)]


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of orders, known to this process and to its workers, which can import the test helpers."""
    folder = tmp_path / "orders"
    folder.mkdir()
    monkeypatch.setenv(ORDERS, str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (TESTS, TESTS.parents[1]))))
    return folder


@pytest.fixture
def scheduler(orders: Path) -> Iterator[str]:
    """Return the address of a Dask cluster of two worker processes."""
    with dask_cluster(orders) as cluster:
        yield cluster.address


def serial(root: Path) -> dict[str, dict[str, object]]:
    STUDY.collect(TASKS, root)
    return tiny_study.contents(root)


@pytest.mark.parametrize("pool", ["processes", "dask"])
def test_killed_worker_loses_no_result(pool: str, orders: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    expected = serial(tmp_path / "serial")
    (orders / "log").unlink()
    (orders / "die-5").touch()
    address = request.getfixturevalue("scheduler") if pool == "dask" else None
    done = STUDY.collect(TASKS, tmp_path / "pool", workers=2, scheduler=address)
    assert tiny_study.contents(tmp_path / "pool") == expected
    assert [d.task for d in done] == TASKS
    runs = Counter(tiny_study.started(orders))
    assert not (orders / "die-5").exists()
    assert runs[5] == 2
    assert set(runs) == set(range(COUNT))


def test_task_that_always_crashes_its_worker_is_named_in_the_error(orders: Path, tmp_path: Path) -> None:
    (orders / "always-die-0").touch()
    with pytest.raises(RuntimeError, match=r"1 of 12 tasks of tiny_study failed.*\n.*seed=0.*crashed twice") as caught:
        STUDY.collect(TASKS, tmp_path, workers=2)
    assert "seed=1," not in str(caught.value)
    assert len(tiny_study.contents(tmp_path)) == COUNT - 1


@pytest.mark.parametrize("workers", [1, 2])
def test_failed_task_is_named_in_the_error_and_alone_repeated(workers: int, orders: Path, tmp_path: Path) -> None:
    expected = serial(tmp_path / "serial")
    (orders / "log").unlink()
    (orders / "raise-3").touch()
    with pytest.raises(RuntimeError, match=r"1 of 12 .*\n.*seed=3.*ArithmeticError: no luck with 3 \(tiny_tasks.py, line"):
        STUDY.collect(TASKS, tmp_path / "broken", workers=workers)
    assert sorted(tiny_study.started(orders)) == list(range(COUNT))
    missing = {name for name in expected if name not in tiny_study.contents(tmp_path / "broken")}
    assert missing == {STUDY.path(Task(3), tmp_path).name}
    (orders / "raise-3").unlink()
    STUDY.collect(TASKS, tmp_path / "broken", workers=workers)
    assert tiny_study.started(orders)[COUNT:] == [3]
    assert tiny_study.contents(tmp_path / "broken") == expected


def test_killed_driver_leaves_no_worker_and_resumes(orders: Path, tmp_path: Path) -> None:
    words = [sys.executable, str(TESTS / "tiny_study.py"), "--out", str(tmp_path / "killed"), "--workers", "2"]
    first = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while len(tiny_study.contents(tmp_path / "killed")) < 3:
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)  # ends when no process is left that could write to the pipe
    assert first.returncode == -signal.SIGKILL
    kept = tiny_study.contents(tmp_path / "killed")
    assert 3 <= len(kept) < COUNT
    before = len(tiny_study.started(orders))
    second = subprocess.run(words, capture_output=True, text=True, check=True)
    assert len(tiny_study.started(orders)) - before == COUNT - len(kept)
    STUDY.collect(tiny_study.tasks(False), tmp_path / "serial")
    assert tiny_study.contents(tmp_path / "killed") == tiny_study.contents(tmp_path / "serial")
    section = STUDY.section([STUDY.load(task, tmp_path / "serial") for task in tiny_study.tasks(False)])
    assert section.findings[0] in second.stdout
