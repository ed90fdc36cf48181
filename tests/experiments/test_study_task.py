"""A task decides its path, a result is kept once and is only ever its own task's, and a section says where it comes from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_study
from hypothesis import given
from hypothesis import strategies as st
from tiny_study import ORDERS, STUDY, Task

from experiments.runner.study import Study, newest_report, slug
from hattriq_cirq.reporting.document import Section


@dataclass(frozen=True)
class Named:
    """A task of text and a number."""

    text: str
    number: float


@given(st.lists(st.builds(Named, st.text(max_size=200), st.floats(allow_nan=False)), min_size=2, max_size=2, unique_by=str))
def test_different_tasks_have_different_names_that_a_folder_can_hold(tasks: list[Named]) -> None:
    names = [slug(task) for task in tasks]
    assert names[0] != names[1]
    for name in names:
        assert "/" not in name
        assert "\0" not in name
        assert len(name.encode()) < 250 or not name.isascii()
    assert slug(replace(tasks[0])) == names[0]


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "orders"
    folder.mkdir()
    monkeypatch.setenv(ORDERS, str(folder))
    return folder


def test_a_result_that_exists_stays_as_it_is(tmp_path: Path) -> None:
    STUDY.save(Task(1), {"numbers": np.arange(3)}, 1.5, tmp_path)
    before = STUDY.path(Task(1), tmp_path).read_bytes()
    STUDY.save(Task(1), {"numbers": [7]}, 2.5, tmp_path)
    assert STUDY.path(Task(1), tmp_path).read_bytes() == before
    loaded = STUDY.load(Task(1), tmp_path)
    assert (loaded.result, loaded.seconds) == ({"numbers": [0, 1, 2]}, 1.5)
    assert {"versions", "created_utc", "commit"} <= set(loaded.provenance)


@pytest.mark.parametrize("damage", ["another task's", "cut off", "another study's"])
def test_a_file_that_is_not_the_result_of_its_task_is_refused_with_the_cure(damage: str, tmp_path: Path) -> None:
    STUDY.save(Task(1), {}, 1.0, tmp_path)
    path = STUDY.path(Task(1), tmp_path)
    record = json.loads(path.read_text())
    if damage == "another task's":
        record["task"] = asdict(Task(2))
    if damage == "another study's":
        record["study"] = "other"
    path.write_text(json.dumps(record)[: -5 if damage == "cut off" else None])
    with pytest.raises(ValueError, match=r"is not the result of Task\(seed=1.*remove it and run again"):
        STUDY.load(Task(1), tmp_path)


def unfit(task: Task) -> dict[str, Any]:
    return {"value": float("nan") if task.seed == 0 else object() if task.seed == 1 else 1.0}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_result_that_json_cannot_hold_is_named_and_costs_no_other(workers: int, tmp_path: Path) -> None:
    study: Study[Task] = replace(STUDY, run=unfit)
    with pytest.raises(RuntimeError, match="2 of 4 tasks") as caught:
        study.collect([Task(seed) for seed in range(4)], tmp_path, workers=workers)
    assert "not JSON compliant" in str(caught.value)
    assert "which JSON cannot hold" in str(caught.value)
    assert len(tiny_study.contents(tmp_path)) == 2


def test_main_prints_what_was_found_keeps_it_and_says_whether_it_is_as_wanted(
    orders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--quick", "--workers", "1", "--out", str(tmp_path / "runs")]
    assert STUDY.main(words) == 0
    folder = newest_report(tmp_path / "runs", STUDY.name, "quick")
    assert folder is not None
    section = Section.load(folder)
    printed = capsys.readouterr().out
    assert section.findings[0] in printed
    assert str(folder) in printed
    assert (section.title, section.question) == (STUDY.title, STUDY.question)
    assert section.provenance["tasks"] == "3"
    assert replace(STUDY, passes=lambda done: len(done) > 3).main(words) == 1
    assert tiny_study.begun(orders) == [0, 1, 2]
    assert newest_report(tmp_path / "runs", STUDY.name, "full") is None


def test_no_workers_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        STUDY.main(["--workers", "0"])
    assert "--workers 0 must be at least 1" in capsys.readouterr().err
