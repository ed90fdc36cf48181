"""Runs of the command line on engines: recorded, stopped, resumed, listed and cancelled."""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import refusal, run, start

from hattriq_cirq import ResolvedHadamardTest, datasets, integrated_gradients, qsim
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.circuits.errors import JobFailedError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.execution.backend import Job
from hattriq_cirq.execution.backends.simulators import ExactBackend
from hattriq_cirq.execution.journal import JOURNAL, Journal
from hattriq_cirq.execution.journal_summary import read_summary
from hattriq_cirq.foundation.log import LOG
from hattriq_cirq.foundation.recent import Recent
from hattriq_cirq.models.model import Model

pytestmark = pytest.mark.usefixtures("small_pictures")

RESULTS = {"attribution.npz", "attribution.csv", "gallery.png", "run.json"}
OPTIONS = "--data bars_and_stripes --inputs test:0:3 --estimator hadamard --engine cirq --shots 1600 --seed 4"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a trained model and an uninterrupted run."""
    home = tmp_path_factory.mktemp("home")
    assert run(f"train bars_and_stripes --out {home}/bars --epochs 20 --seed 5") == 0
    assert run(f"attribute {home}/bars {OPTIONS} --out {home}/whole") == 0
    return home


def line(home: Path, out: Path, options: str = OPTIONS) -> str:
    return f"attribute {home}/bars {options} --out {out}"


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def assert_same_arrays(left: Path, right: Path) -> None:
    with np.load(left / "attribution.npz") as a, np.load(right / "attribution.npz") as b:
        assert set(a.files) == set(b.files)
        for name in set(a.files) - {"meta"}:
            np.testing.assert_array_equal(a[name], b[name])


def failing_after(count: int, error: BaseException) -> Callable[[ExactBackend, Job], list[Distribution]]:
    """Return a method that executes the given number of jobs, then fails."""
    execute, remaining = ExactBackend.execute, iter(range(count))

    def fails(self: ExactBackend, job: Job) -> list[Distribution]:
        if next(remaining, None) is None:
            raise error
        return execute(self, job)

    return fails


@pytest.fixture
def stopped(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return the folder of a run that Ctrl-C stopped after 10 jobs."""
    with monkeypatch.context() as patch:
        patch.setattr(ExactBackend, "execute", failing_after(10, KeyboardInterrupt()))
        assert run(line(home, tmp_path / "stopped")) == 130
    capsys.readouterr()
    return tmp_path / "stopped"


# journals


def test_journal_of_a_finished_run(home: Path) -> None:
    assert names(home / "whole") == RESULTS | {JOURNAL, LOG}
    summary = read_summary(home / "whole")
    assert (summary.status, summary.done, summary.shots_done) == ("finished", summary.jobs, 3 * 1600)
    assert summary.task is not None
    assert summary.task["settings"]["engine"] == "cirq"
    assert len(summary.task["model"]["sha256"]) == 64
    assert json.loads((home / "whole" / "run.json").read_text())["engine"] == summary.engine


def test_journaled_run_equals_that_of_the_library(home: Path, tmp_path: Path) -> None:
    options = "--data bars_and_stripes --inputs test:0:2 --estimator resolved --engine qsim --shots 500 --seed 9"
    assert run(line(home, tmp_path / "a", options)) == 0
    direct = integrated_gradients(
        Model.load(home / "bars" / "model.json"),
        datasets.bars_and_stripes().x_test[:2],
        baseline=0.0,
        estimator=ResolvedHadamardTest(),
        engine=qsim(seed=9),
        shots=500,
    )
    np.testing.assert_array_equal(Attribution.load(tmp_path / "a" / "attribution.npz").values, direct.values)


@pytest.mark.parametrize("options", ["", "--estimator resolved --shots 0"])
def test_exact_values_need_no_journal(home: Path, tmp_path: Path, options: str) -> None:
    assert run(line(home, tmp_path / "a", f"--data bars_and_stripes --inputs test:0:1 {options}")) == 0
    assert names(tmp_path / "a") == RESULTS


def test_journal_of_a_run_on_a_virtual_processor(home: Path, tmp_path: Path) -> None:
    options = (
        "--data bars_and_stripes --inputs test:0:1 --estimator resolved --shots 200 --engine virtual:willow_pink,noise=readout"
    )
    assert run(line(home, tmp_path / "a", options)) == 0
    summary = read_summary(tmp_path / "a")
    assert summary.engine["kind"] == "virtual"
    assert summary.engine["noise"] == "readout"


# stopped and resumed


@pytest.mark.parametrize("how", ["again", "resume"])
def test_killed_run_continues_to_the_same_result(home: Path, tmp_path: Path, how: str) -> None:
    process = start(line(home, tmp_path / "a"))
    while not (tmp_path / "a" / JOURNAL).exists() or read_summary(tmp_path / "a").done < 5:
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = read_summary(tmp_path / "a").done
    assert read_summary(tmp_path / "a").status == "unfinished"
    assert names(tmp_path / "a") <= {JOURNAL, LOG, "journal.torn-1"}
    assert run(line(home, tmp_path / "a") if how == "again" else f"resume {tmp_path}/a") == 0
    assert_same_arrays(tmp_path / "a", home / "whole")
    counted = [record for record in (tmp_path / "a" / JOURNAL).read_text().splitlines() if '"kind":"counts"' in record]
    assert len(counted) == read_summary(tmp_path / "a").jobs > done >= 5


def test_ctrl_c_prints_how_to_continue(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my run"
    with monkeypatch.context() as patch:
        patch.setattr(ExactBackend, "execute", failing_after(3, KeyboardInterrupt()))
        assert run(f"attribute {home}/bars {OPTIONS} --out '{folder}'") == 130
    (error_line,) = capsys.readouterr().err.splitlines()
    assert error_line == (
        f"hattriq: interrupted; go on with `hattriq resume '{folder}'`, or give up with `hattriq cancel '{folder}'`"
    )
    assert run(f"resume '{folder}'") == 0
    assert_same_arrays(folder, home / "whole")


def test_engine_error_is_one_line_with_how_to_continue(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ExactBackend, "execute", failing_after(3, JobFailedError("j", "INVALID", "Program\ntoo long.")))
        assert run(line(home, tmp_path / "a")) == 2
    (error_line,) = capsys.readouterr().err.splitlines()
    assert error_line.startswith("hattriq: error: job j failed: INVALID: Program too long.; go on with `hattriq resume ")
    assert names(tmp_path / "a") == {JOURNAL, LOG}
    assert run(f"resume {tmp_path}/a") == 0
    assert_same_arrays(tmp_path / "a", home / "whole")


def test_run_that_stops_before_its_first_job_leaves_no_folder(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"{line(home, tmp_path / 'a')} --rule simpson:3") == 2
    assert "resume" not in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("command", ["resume", "cancel"])
def test_first_line_is_printed_before_cirq_is_imported(stopped: Path, command: str) -> None:
    script = (
        "import builtins, sys; from hattriq_cirq.cli import main\n"
        "def first_line(text, **_):\n"
        "    sys.stdout.write(text)\n"
        "    raise SystemExit(3 if 'cirq' in sys.modules else 0)\n"
        "builtins.print = first_line\n"
        f"main([{command!r}, {str(stopped)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{stopped}: 10 of ")


def test_resume_from_another_directory(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    with monkeypatch.context() as patch:
        patch.setattr(ExactBackend, "execute", failing_after(3, KeyboardInterrupt()))
        assert run(f"attribute bars {OPTIONS} --out elsewhere") == 130
    interrupted = shutil.copytree("elsewhere", "again")
    assert run(f"resume {interrupted}") == 0
    assert f"wrote again{os.sep}: " in capsys.readouterr().out
    shutil.rmtree(interrupted)
    monkeypatch.chdir(tmp_path)
    assert run(f"resume {shlex.quote(os.path.relpath(home / 'elsewhere'))}") == 0
    assert Path.cwd() == tmp_path
    assert_same_arrays(home / "elsewhere", home / "whole")
    shutil.rmtree(home / "elsewhere")


def test_resume_writes_only_missing_results(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    shutil.copytree(home / "whole", folder)
    lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    assert b'"finished"' in lines[-1]
    (folder / JOURNAL).write_bytes(b"".join(lines[:-1]))
    for name in ("gallery.png", "attribution.csv"):
        (folder / name).unlink()
    (folder / ".gallery.png.a1b2c3").write_bytes(b"half")
    kept = {name: (folder / name).stat().st_mtime_ns for name in ("attribution.npz", "run.json")}
    assert run(f"resume {folder}") == 0
    assert {name: (folder / name).stat().st_mtime_ns for name in kept} == kept
    assert names(folder) == RESULTS | {JOURNAL, LOG}
    assert (folder / "attribution.csv").read_bytes() == (home / "whole" / "attribution.csv").read_bytes()
    assert read_summary(folder).status == "finished"


def test_incomplete_record_is_reported_and_repeated(home: Path, stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = (stopped / JOURNAL).read_bytes()
    (stopped / JOURNAL).write_bytes(content[: content.rindex(b'"kind":"counts"') + 30])
    assert run(f"resume {stopped}") == 0
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"hattriq: warning: {stopped / JOURNAL}: the last record is incomplete")
    assert_same_arrays(stopped, home / "whole")


def test_run_continues_after_a_full_disk(home: Path, stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((stopped / JOURNAL).stat().st_size + 1500, hard))
    try:
        code = run(f"resume {stopped}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 2
    (error_line,) = capsys.readouterr().err.splitlines()
    assert error_line.startswith("hattriq: error: the disk is full")
    assert f"go on with `hattriq resume {stopped}`" in error_line
    assert run(f"resume {stopped}") == 0
    assert_same_arrays(stopped, home / "whole")


# caps


@pytest.mark.parametrize("how", ["again", "resume"])
def test_cap_stops_a_run_that_goes_on_with_a_larger_one(
    home: Path, tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a"
    assert run(f"{line(home, folder)} --max-shots 1000") == 2
    warning, error = capsys.readouterr().err.splitlines()
    assert "max_shots=1000 of 4800 shots" in warning
    assert error.startswith("hattriq: error: max_shots=1000 is reached: 5 jobs with 1,000 shots in ")
    assert error.endswith(f"go on with `hattriq resume {folder} --max-shots 4800`; or give up with `hattriq cancel {folder}`")
    summary = read_summary(folder)
    assert (summary.done, summary.shots_done, summary.status) == (5, 1000, "unfinished")
    assert run(f"resume {folder}") == 2  # the cap holds until a larger one is given
    assert "max_shots=1000 is reached: 5 jobs" in capsys.readouterr().err
    assert run(f"resume {folder} --max-shots 4800" if how == "resume" else f"{line(home, folder)} --max-shots 4800") == 0
    assert_same_arrays(folder, home / "whole")
    assert capsys.readouterr().err == ""


def test_calibration_stops_at_its_cap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"calibrate --engine virtual:willow_pink --qubits 4_10,5_10 --shots 100 --out {tmp_path}/readout.json"
    assert run(f"{words} --max-shots 199") == 2
    warning, error = capsys.readouterr().err.splitlines()
    assert "max_shots=199 of 200 shots" in warning
    assert "max_shots=199 is reached: 0 jobs with 0 shots" in error
    assert names(tmp_path) == set()
    assert run(f"{words} --max-jobs 4 --max-shots 200") == 0


# refused commands


def test_folder_of_another_run_is_refused_with_the_differences(
    home: Path, stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (stopped / JOURNAL).read_bytes()
    error_line = refusal(f"{line(home, stopped)} --shots 3200 --seed 7", capsys)
    assert f"{stopped} holds another run: task.settings.seed was 4 and is now 7" in error_line
    assert "task.settings.shots was 1600 and is now 3200" in error_line
    assert "not an empty folder" in refusal(f"attribute {home}/bars --data bars_and_stripes --out {stopped}", capsys)
    assert (stopped / JOURNAL).read_bytes() == before


def test_changed_model_is_refused(home: Path, tmp_path: Path, stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"train bars_and_stripes --out {tmp_path}/other --epochs 2") == 0
    capsys.readouterr()
    assert "task.model.sha256 was" in refusal(f"attribute {tmp_path}/other {OPTIONS} --out {stopped}", capsys)


def test_finished_run_is_not_changed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {file: file.read_bytes() for file in (home / "whole").iterdir()}
    assert "holds a finished run" in refusal(line(home, home / "whole"), capsys)
    assert "nothing is left to do" in refusal(f"resume {home}/whole", capsys)
    assert "nothing is left to cancel" in refusal(f"cancel {home}/whole", capsys)
    assert {file: file.read_bytes() for file in (home / "whole").iterdir()} == before


def test_run_in_use_by_another_process_is_refused(home: Path, stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Journal(stopped, read_summary(stopped).engine):
        for words in (line(home, stopped), f"resume {stopped}", f"cancel {stopped}"):
            assert f"is working on the run in {stopped}" in refusal(words, capsys)


@pytest.mark.parametrize("command", ["resume", "cancel"])
def test_folder_without_recorded_command_is_refused(
    command: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "holds no run" in refusal(f"{command} {home}/bars", capsys)
    Journal(tmp_path, {"kind": "qsim"}).close()
    assert "made by a script" in refusal(f"{command} {tmp_path}", capsys)


# listed and cancelled


def table(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    capsys.readouterr()
    assert run(f"runs {folder}") == 0
    return [row.split() for row in capsys.readouterr().out.splitlines()]


def test_runs_lists_progress(home: Path, stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(home / "whole", tmp_path / "deep" / "whole")
    header, *rows, hint = table(tmp_path, capsys)
    assert header == ["folder", "command", "engine", "status", "jobs", "shots", "updated", "(UTC)"]
    listed = {Path(row[0]): row[1:6] for row in rows}
    all_jobs = read_summary(home / "whole").jobs
    assert listed[tmp_path / "deep" / "whole"] == ["attribute", "cirq", "finished", f"{all_jobs}/{all_jobs}", "4800/4800"]
    summary = read_summary(stopped)
    assert summary.done == 10
    assert listed[stopped] == [
        "attribute", "cirq", "unfinished", f"10/{summary.jobs}", f"{summary.shots_done}/{summary.shots}"
    ]  # fmt: skip
    assert hint[:2] == ["`hattriq", "resume"]


def test_runs_of_an_empty_folder_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("runs") == 0
    assert "no run on an engine below ." in capsys.readouterr().out
    assert "no folder" in refusal(f"runs {tmp_path}/none", capsys)


def test_unreadable_runs_are_listed_with_the_others(stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / JOURNAL).write_text("a\nb\n")
    rows = table(tmp_path, capsys)
    assert [str(stopped)] == [row[0] for row in rows if row[0] == str(stopped)]
    assert any(row[0] == "unreadable:" and str(tmp_path / "odd") in row[1] for row in rows)


def test_cancelled_run_can_be_resumed(home: Path, stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"cancel {stopped}") == 0
    assert "kept the counts of 1" in capsys.readouterr().out
    assert read_summary(stopped).status == "cancelled"
    assert "is cancelled already" in refusal(f"cancel {stopped}", capsys)
    assert run(f"resume {stopped}") == 0
    assert_same_arrays(stopped, home / "whole")


@pytest.mark.parametrize("command", ["runs", "resume", "cancel", "doctor", "attribute"])
def test_help_has_description_arguments_and_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        run(f"{command} --help")
    shown: Any = capsys.readouterr().out
    assert f"examples:\n  hattriq {command}" in shown
    assert len(shown.split("\n\n")) >= 4


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_run_stopped_before_its_first_job_keeps_what_was_prepared(
    stop: type[BaseException], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Placement and circuits are not computed again after an interrupt; a run that was refused leaves no folder."""
    options = "--data bars_and_stripes --inputs test:0:1 --estimator resolved --engine virtual:willow_pink --shots 400"
    command = f"attribute {home}/bars {options} --mitigate zne,twirl:2,readout:100 --out"

    def stopped(*_: object) -> None:
        raise stop

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "begin", stopped)
        assert run(f"{command} {tmp_path}/run") != 0
    if stop is ValueError:
        assert not (tmp_path / "run").exists()
        return
    with monkeypatch.context() as patch:
        patch.setattr("hattriq_cirq.execution.engine._programs", Recent(0))
        patch.setattr("hattriq_cirq.execution.engine.compile_for", stopped)
        patch.setattr("hattriq_cirq.pipeline.prepare.choose_placement", stopped)
        assert run(f"resume {tmp_path}/run") == 0
    assert names(tmp_path / "run") >= RESULTS
