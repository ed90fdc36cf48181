"""Study: paths and files of results, identity of tasks, errors of damaged files, and the command line."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tiny_study
from hypothesis import given
from hypothesis import strategies as st
from interrupted import killed_at_call
from pages import SECTION
from tiny_study import ORDERS, STUDY, Task
from tiny_tasks import unfit

from experiments.runner import trained_models
from experiments.runner.registry import study
from experiments.runner.study import Findings, Study, newest_report, slug
from experiments.runner.trained_models import SUBJECTS
from hattriq_cirq.reporting.document import Section


@dataclass(frozen=True)
class Named:
    """A task of text and a number."""

    text: str
    number: float


@given(st.lists(st.builds(Named, st.text(max_size=200), st.floats(allow_nan=False)), min_size=2, max_size=2, unique_by=str))
def test_slugs_of_different_tasks_differ_and_are_valid_file_names(tasks: list[Named]) -> None:
    names = [slug(asdict(task)) for task in tasks]
    assert names[0] != names[1]
    for name in names:
        assert "/" not in name
        assert "\0" not in name
        assert len(f"{name}.json".encode()) <= 255
    assert slug(asdict(replace(tasks[0]))) == names[0]


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "orders"
    folder.mkdir()
    monkeypatch.setenv(ORDERS, str(folder))
    return folder


def test_existing_result_is_not_overwritten(tmp_path: Path) -> None:
    STUDY.save(Task(1), {"numbers": np.arange(3)}, 1.5, tmp_path)
    before = STUDY.path(Task(1), tmp_path).read_bytes()
    STUDY.save(Task(1), {"numbers": [7]}, 2.5, tmp_path)
    assert STUDY.path(Task(1), tmp_path).read_bytes() == before
    loaded = STUDY.load(Task(1), tmp_path)
    assert (loaded.result, loaded.seconds) == ({"numbers": [0, 1, 2]}, 1.5)
    assert {"versions", "created_utc", "commit"} <= set(loaded.provenance)


@pytest.mark.parametrize("damage", ["another task's", "cut off", "another study's"])
def test_damaged_or_foreign_result_file_is_rejected(damage: str, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("workers", [1, 2])
def test_result_that_json_cannot_hold_is_reported(workers: int, tmp_path: Path) -> None:
    study: Study[Task] = replace(STUDY, run=unfit)
    with pytest.raises(RuntimeError, match="2 of 4 tasks") as caught:
        study.collect([Task(seed) for seed in range(4)], tmp_path, workers=workers)
    assert "not JSON compliant" in str(caught.value)
    assert "which JSON cannot hold" in str(caught.value)
    assert len(tiny_study.contents(tmp_path)) == 2


def test_main_prints_and_keeps_the_report_and_returns_1_for_missed_targets(
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
    assert tiny_study.started(orders) == [0, 1, 2]
    assert newest_report(tmp_path / "runs", STUDY.name, "full") is None


def test_zero_workers_are_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        STUDY.main(["--workers", "0"])
    assert "--workers 0 must be at least 1" in capsys.readouterr().err


@dataclass(frozen=True)
class Explained:
    """A task that names the model it explains."""

    subject: str
    seed: int


def explaining_study() -> Study[Explained]:
    return Study("tiny", "", lambda quick: [], lambda task: {}, lambda done: Findings(()))


def test_path_of_a_result_follows_from_the_settings_of_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, study = Explained("digits", 0), explaining_study()
    study.save(task, {"value": 1}, 1.0, tmp_path)
    digits = SUBJECTS["digits"]
    paths = {study.path(task, tmp_path)}
    for changed in (replace(digits, layers=5), replace(digits, epochs=3), replace(digits, data="digits:pair=3/5")):
        monkeypatch.setattr(trained_models, "SUBJECTS", {**SUBJECTS, "digits": changed})
        paths.add(study.path(task, tmp_path))
        assert not study.path(task, tmp_path).exists()
    assert len(paths) == 4
    monkeypatch.setattr(trained_models, "SUBJECTS", {**SUBJECTS, "digits": replace(digits, target=0.5)})
    assert study.load(task, tmp_path).result == {"value": 1}


def test_results_of_version_0_1_are_used_while_their_model_is_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, study = Explained("digits", 0), explaining_study()
    record = {"format": "hattriq_cirq.Result/1", "study": "tiny", "task": asdict(task), "result": {"value": 1}}
    old = tmp_path / "tiny" / "tasks" / "subject=digits,seed=0.json"
    old.parent.mkdir(parents=True)
    old.write_text(json.dumps(record | {"seconds": 1.0, "provenance": {}}))
    assert study.load(task, tmp_path).result == {"value": 1}
    monkeypatch.setattr(trained_models, "SUBJECTS", {**SUBJECTS, "digits": replace(SUBJECTS["digits"], layers=5)})
    with pytest.raises(FileNotFoundError):
        study.load(task, tmp_path)


def test_study_of_version_0_1_is_reported_without_running_its_tasks_again(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "version_0_1" / "study", tmp_path, dirs_exist_ok=True)
    (old,) = (tmp_path / "signs" / "tasks").iterdir()
    before = old.read_bytes()
    assert study("signs").main(["--quick", "--workers", "1", "--out", str(tmp_path)]) == 0
    assert [path.read_bytes() for path in (tmp_path / "signs" / "tasks").iterdir()] == [before]


def test_path_of_a_result_follows_from_the_revision_of_the_study(tmp_path: Path) -> None:
    paths = {replace(STUDY, revision=revision).path(Task(1), tmp_path) for revision in range(3)}
    assert len(paths) == 3
    STUDY.save(Task(1), {"value": 1}, 1.0, tmp_path)
    assert STUDY.path(Task(1), tmp_path) in paths
    with pytest.raises(FileNotFoundError):
        replace(STUDY, revision=1).load(Task(1), tmp_path)


def test_report_names_all_versions_and_commits_of_its_results(tmp_path: Path) -> None:
    for seed in (1, 2):
        STUDY.save(Task(seed), {"numbers": [1.0]}, 1.0, tmp_path)
    done = [STUDY.load(Task(seed), tmp_path) for seed in (1, 2)]
    old = {**done[0].provenance, "versions": {**done[0].provenance["versions"], "numpy": "1.0"}, "commit": "abc"}
    section = STUDY.section([replace(done[0], provenance=old), done[1]])
    assert f"numpy 1.0 and {done[1].provenance['versions']['numpy']}" in section.provenance["versions"]
    assert f"commit abc and {done[1].provenance['commit']}" in section.provenance["versions"]


@pytest.mark.parametrize("chosen", [1, 8, 11, 19, 28])
def test_report_whose_writing_was_killed_is_finished_by_the_same_command(chosen: int, tmp_path: Path) -> None:
    def summarise(done: object) -> Findings:
        return Findings(("A finding.",), pictures=SECTION.pictures)

    pictured = replace(STUDY, summarise=summarise)
    pictured.save(Task(1), {"numbers": [1.0]}, 1.0, tmp_path)
    done = [pictured.load(Task(1), tmp_path)]
    killed_at_call(chosen, lambda: pictured.report(done, tmp_path, "full"))
    section, folder = pictured.report(done, tmp_path, "full")
    assert Section.load(folder) == section
    assert {file.name for file in folder.iterdir()} == {"section.json", *(f"{each.name}.png" for each in SECTION.pictures)}
