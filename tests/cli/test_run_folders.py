"""Folders of runs: at any moment finished, or finished by the same command; nothing of another run is overwritten."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from command_line import TABLE, refusal, run
from interrupted import WRITING, at_call, failing, killed_at_call, results
from pages import small_pictures

from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.cli import run_folder
from hattriq_cirq.cli.commands.calibrate import journal_folder
from hattriq_cirq.execution.backend import Job
from hattriq_cirq.execution.backends.simulators import ExactBackend
from hattriq_cirq.reporting.records import BEGUN

TRAIN = "train bars_and_stripes --epochs 3 --seed 5 --out"
TRAINED = {"model.json", "training.csv", "run.json", "training.png"}
LONG = "a" * 250
ATTRIBUTED = {"attribution.npz", "attribution.csv", "run.json", "gallery.png"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a trained model and its maps, exact and counted."""
    home = tmp_path_factory.mktemp("home")
    assert run(f"{TRAIN} {home}/bars") == 0
    assert run(f"{attribute(home)} {home}/maps") == 0
    assert run(f"{attribute(home)} {home}/counted --estimator resolved --engine cirq --shots 100") == 0
    return home


def attribute(home: Path) -> str:
    return f"attribute {home}/bars --data bars_and_stripes --inputs test:0:2 --out"


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def copy_without(folder: Path, copy: Path, missing: set[str]) -> None:
    """Copy a folder but for some of its files."""
    shutil.copytree(folder, copy)
    for name in missing:
        (copy / name).unlink()


# what is missing is written


def slow(*values: object) -> list[Any]:
    """Return values of a parameter that are left to the slow tests."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


@pytest.mark.parametrize("damage", ["missing", *slow("empty", "cut off", "changed")])
@pytest.mark.parametrize(("name", "picture"), [("bars", "training.png"), ("maps", "gallery.png"), ("counted", "gallery.png")])
def test_picture_is_drawn_again_by_the_same_command_and_by_report(
    name: str, picture: str, damage: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hattriq_cirq.models.training.train", None)  # nothing is computed again
    shutil.copytree(home / name, tmp_path / name)
    whole = (home / name / picture).read_bytes()
    damaged = {"missing": None, "empty": b"", "cut off": whole[:-20], "changed": whole[:-50] + b"x" + whole[-49:]}[damage]
    (tmp_path / name / picture).unlink()
    if damaged is not None:
        (tmp_path / name / picture).write_bytes(damaged)
    for folder, page in ((tmp_path, "again.html"), (home, "whole.html")):
        assert run(f"report {folder}/{name} --out {tmp_path}/{page}") == 0
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "whole.html").read_bytes()
    options = " --estimator resolved --engine cirq --shots 100" if name == "counted" else ""
    command = TRAIN if name == "bars" else attribute(home)
    assert run(f"{command} {tmp_path}/{name}{options}") == 0
    assert (tmp_path / name / picture).read_bytes() == whole
    assert names(tmp_path / name) == names(home / name)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("bars", TRAINED - {"model.json"}),
        ("bars", {"training.csv"}),
        *(pytest.param("bars", each, marks=pytest.mark.slow) for each in ({"run.json", "training.png"}, {"model.json"})),
        ("maps", ATTRIBUTED - {"attribution.npz"}),
        ("maps", {"attribution.csv"}),
        ("maps", {"attribution.npz", "gallery.png"}),
    ],
)
def test_results_that_version_0_1_left_are_completed(name: str, missing: set[str], home: Path, tmp_path: Path) -> None:
    copy_without(home / name, tmp_path / name, missing)
    assert run(f"{TRAIN if name == 'bars' else attribute(home)} {tmp_path}/{name}") == 0
    assert results(tmp_path / name) == results(home / name)


@pytest.mark.parametrize("missing", ["training.png", "model.json", "run.json"])
def test_incomplete_folder_of_another_run_is_not_changed(
    missing: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_without(home / "bars", tmp_path / "bars", {missing})
    before = results(tmp_path)
    for _ in range(2):
        line = refusal(f"{TRAIN} {tmp_path}/bars --epochs 4", capsys)
        assert "epochs was 3 and is now 4" in line or "holds other results than this run" in line
        assert results(tmp_path) == before


def test_file_of_the_user_is_never_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.json").write_text("mine")
    for _ in range(2):
        assert "model.json exists and holds other results" in refusal(f"{TRAIN} {tmp_path}", capsys)
        assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"model.json": "mine"}


# stopped at any call


def check_kills(command: str, whole: Path, where: Path, chosen: Iterator[int]) -> int:
    """Kill a command at calls of the system, repeat it, and compare the results; return the number of kills."""
    for number in chosen:
        out = where / str(number)
        out.mkdir()
        if killed_at_call(number, partial(run, f"{command} {out}/new")):
            return number
        assert run(f"{command} {out}/new") == 0 or results(out) == results(whole)  # it was finished
        assert results(out) == results(whole)
    return 0


def test_train_that_was_killed_at_a_call_is_finished_by_the_same_command(tmp_path: Path) -> None:
    with small_pictures():
        assert run(f"{TRAIN} {tmp_path}/whole/new") == 0
        check_kills(f"{TRAIN}", tmp_path / "whole", tmp_path, iter((6, 28, 39, 48)))


def lines(home: Path) -> dict[str, str]:
    """Return commands without the path that they write to."""
    return {
        "train": TRAIN,
        "attribute": attribute(home),
        "counted": f"{attribute(home).removesuffix(' --out')} --estimator resolved --engine cirq --shots 100 --out",
        "cost": "cost --qubits 1,2 --layers 1 --estimators resolved --out",
        "report": f"report {home}/bars --out",
        "calibrate": "calibrate --engine virtual:willow_pink --qubits 4_10 --shots 40 --out",
    }


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "attribute", "counted", "cost", "report", "calibrate"])
def test_command_that_was_killed_at_any_call_is_finished_by_the_same_command(command: str, home: Path, tmp_path: Path) -> None:
    line = lines(home)[command]
    with small_pictures():
        assert run(f"{line} {tmp_path}/whole/new") == 0
        assert check_kills(line, tmp_path / "whole", tmp_path, iter(range(1, 400))) > 7


def check_full_disk(command: str, whole: Path, where: Path, chosen: Iterator[int], capsys: pytest.CaptureFixture[str]) -> int:
    """Let the disk be full at calls of the system, repeat the command, and compare the results."""
    for number in chosen:
        out = where / f"full-{number}"
        out.mkdir()
        capsys.readouterr()
        with at_call(number, failing(errno.ENOSPC), WRITING) as calls:
            code = run(f"{command} {out}/new")
        if code:
            (line,) = capsys.readouterr().err.splitlines()
            assert line.startswith("hattriq: error: ")
            assert "No space left on device" in line or "the disk is full" in line
            assert run(f"{command} {out}/new") == 0
        assert results(out) == results(whole)
        if calls.count < number:
            return number
    return 0


def test_full_disk_while_training_is_one_error_and_blocks_no_repetition(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_pictures():
        assert run(f"{TRAIN} {tmp_path}/whole/new") == 0
        check_full_disk(TRAIN, tmp_path / "whole", tmp_path, iter((2, 4, 12, 33)), capsys)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "attribute", "counted", "cost", "report", "calibrate"])
def test_full_disk_at_any_call_is_one_error_and_blocks_no_repetition(
    command: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = lines(home)[command]
    with small_pictures():
        assert run(f"{line} {tmp_path}/whole/new") == 0
        assert check_full_disk(line, tmp_path / "whole", tmp_path, iter(range(1, 400)), capsys) > 7


@pytest.mark.parametrize("number", [errno.EPERM, *slow(errno.EOPNOTSUPP, errno.ENOSYS)])
def test_run_on_a_file_system_without_hard_links(
    number: int, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", lambda *_: failing(number)())
    with small_pictures():
        assert run(f"{TRAIN} {tmp_path}/bars") == 0
        assert run(f"{attribute(home)} {tmp_path}/counted --estimator resolved --engine cirq --shots 100") == 0
    assert names(tmp_path / "bars") == TRAINED
    assert names(tmp_path / "counted") == ATTRIBUTED | {"journal.jsonl", "hattriq.log"}
    assert run(f"{TRAIN} {tmp_path}/bars") == 2


@pytest.mark.parametrize("number", [errno.ENOLCK, *slow(errno.EOPNOTSUPP)])
def test_run_on_a_file_system_without_locks_that_cannot_sync_folders(
    number: int, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def sync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "a folder")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr("fcntl.flock", lambda *_: failing(number)())
    with small_pictures():
        assert run(f"{TRAIN} {tmp_path}/bars") == 0
        for _ in range(2):
            run(f"{attribute(home)} {tmp_path}/counted --estimator resolved --engine cirq --shots 100")
    assert names(tmp_path / "bars") == TRAINED
    assert names(tmp_path / "counted") == ATTRIBUTED | {"journal.jsonl", "hattriq.log"}


# what is in the way


@pytest.mark.parametrize("name", [".hattriq-0123456789abcdef.draft", ".model.json.a1b2c3d4", BEGUN, ".DS_Store"])
def test_folder_with_hidden_files_is_empty(name: str, home: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"half")
    with small_pictures():
        assert run(f"{TRAIN} {tmp_path}") == 0
    assert names(tmp_path) - {".DS_Store"} == TRAINED


def test_task_of_a_dead_process_without_results_blocks_no_other_command(home: Path, tmp_path: Path) -> None:
    (tmp_path / BEGUN).write_text(json.dumps({"format": "hattriq_cirq.Begun/1", "task": {"command": "train", "settings": {}}}))
    with small_pictures():
        assert run(f"{attribute(home)} {tmp_path}") == 0
    assert names(tmp_path) == ATTRIBUTED


def test_folder_that_another_process_writes_into_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = {"command": "train", "settings": {}, "data": {}}
    with run_folder.open_run(tmp_path / "a", task, TRAINED, ()):
        assert "another process is writing into this folder" in refusal(f"{TRAIN} {tmp_path}/a", capsys)
    assert not (tmp_path / "a" / BEGUN).exists()


def test_advice_for_a_run_without_a_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with mock.patch("hattriq_cirq.reporting.plotting.png", side_effect=KeyboardInterrupt):
        assert run(f"{TRAIN} {tmp_path}/a") == 130
    assert names(tmp_path / "a") == TRAINED - {"training.png"} | {BEGUN}
    assert "repeat the command" in refusal(f"resume {tmp_path}/a", capsys)
    assert run(f"{TRAIN} {tmp_path}/a") == 0
    assert names(tmp_path / "a") == TRAINED


def test_empty_journal_is_begun_anew_and_gets_the_right_advice(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "journal.jsonl").touch()
    for words in (f"resume {tmp_path}", f"cancel {tmp_path}", f"report {tmp_path} --out {tmp_path}/page.html"):
        line = refusal(words, capsys)
        assert "stopped at once" in line
        assert "hattriq resume" not in line
    with small_pictures():
        assert run(f"{attribute(home)} {tmp_path} --estimator resolved --engine cirq --shots 100") == 0
    assert names(tmp_path) == ATTRIBUTED | {"journal.jsonl", "hattriq.log"}


@pytest.mark.parametrize(
    "name", ["a\nb", "-a", "a" * 255, *slow("a b", "a/", "a/./b", "ü" * 127, "x.run", "link/new", "*", "\\")]
)
def test_any_name_of_a_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("real").mkdir()
    Path("link").symlink_to("real")
    with small_pictures():
        assert run(f"train bars_and_stripes --epochs 3 --out={shlex.quote(name)}") == 0
        assert names(Path(name)) == TRAINED


@pytest.mark.parametrize("name", ["a\nb.html", "-page", "p" * 255, "link/new/page"])
def test_any_name_of_a_page(name: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("real").mkdir()
    Path("link").symlink_to("real")
    assert run(f"report {home}/bars --out={shlex.quote(name)}") == 0
    assert Path(name).read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("a.json", "a.run"),
        ("a.b.json", "a.b.run"),
        ("a", "a.run"),
        ("x.run", "x.run.run"),
        ("a" * 250 + ".json", "a" * 250 + ".run"),
    ],
)
def test_folder_of_the_jobs_of_a_calibration(name: str, folder: str) -> None:
    assert journal_folder(Path("runs") / name) == Path("runs") / folder


@pytest.mark.parametrize("name", ["a" * 255, "a" * 252, "b" * 251 + ".run", "ü" * 127])
def test_folder_of_the_jobs_of_a_calibration_with_a_long_name(name: str, tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / name)
    folder.mkdir()
    assert folder != tmp_path / name
    assert folder != journal_folder(tmp_path / f"c{name[1:]}")


@pytest.mark.parametrize("stopped_at", ["hattriq_cirq.cli.folders.run_record", "hattriq_cirq.reporting.plotting.png"])
def test_unfinished_run_that_was_moved_is_finished_elsewhere(
    stopped_at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "own.csv").write_text(TABLE)
    with mock.patch(stopped_at, side_effect=KeyboardInterrupt):
        assert run(f"train {tmp_path}/there/own.csv --epochs 3 --out {tmp_path}/there/run") == 130
    (tmp_path / "there").rename(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    with small_pictures():
        assert run("train own.csv --epochs 3 --out run") == 0
    assert names(tmp_path / "here" / "run") == TRAINED


def test_stopped_run_with_a_journal_that_was_moved_is_continued_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "there"
    (there / "data").mkdir(parents=True)
    (there / "data" / "own.CSV").write_text(TABLE)
    counted = "--estimator hadamard --engine cirq --shots 400 --inputs test:0:2"
    with small_pictures():
        assert run(f"train {there}/data/own.CSV:seed=1 --epochs 3 --out {there}/bars") == 0
        attributed = f"attribute {there}/bars --data {there}/data/own.CSV:seed=1 {counted} --out"
        assert run(f"{attributed} {there}/whole") == 0
        execute, remaining = ExactBackend.execute, iter(range(2))

        def stopping(self: ExactBackend, job: Job) -> list[Distribution]:
            if next(remaining, None) is None:
                raise KeyboardInterrupt
            return execute(self, job)

        with mock.patch.object(ExactBackend, "execute", stopping):
            assert run(f"{attributed} {there}/stopped") == 130
        there.rename(tmp_path / "here")
        assert "repeat the command with their present paths" in refusal(f"resume {tmp_path}/here/stopped", capsys)
        monkeypatch.chdir(tmp_path / "here")
        line = refusal(f"attribute bars --data data/own.CSV:seed=2 {counted} --out stopped", capsys)
        assert "task.data.spec was" in line
        assert run(f"attribute bars --data data/own.CSV:seed=1 {counted} --out stopped") == 0
    assert results(Path("stopped")).keys() == results(Path("whole")).keys()
    assert results(Path("stopped"))["attribution.npz"] == results(Path("whole"))["attribution.npz"]
    assert run("report stopped --out page.html") == 0
