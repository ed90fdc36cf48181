"""Runs of the command line on the service of a real processor, by the real client against a stand-in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import run, train_on_table
from journals import interrupting
from stand_in import StandIn

from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.execution.journal import JOURNAL, Journal
from hattriq_cirq.execution.journal_summary import read_summary

pytestmark = pytest.mark.usefixtures("small_pictures")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a table and a model trained on it."""
    home = tmp_path_factory.mktemp("home")
    train_on_table(home)
    return home


def line(home: Path, out: Path) -> str:
    options = "--inputs test --estimator polarization --engine google:p/willow_pink --shots 480"
    return f"attribute {home}/model --data {home}/table.csv {options} --out {out}"


def test_resumed_run_on_google_runs_no_job_twice(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with StandIn() as service, service.connected():
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "store", interrupting(Journal.store, 2))
            assert run(line(home, tmp_path / "a")) == 130
        assert "hattriq resume" in capsys.readouterr().err
        before = read_summary(tmp_path / "a")
        assert (before.done, before.status) == (1, "unfinished")
        assert before.jobs > sum(service.executions.values()) > 1
        assert run(f"resume {tmp_path}/a") == 0
        assert set(service.executions.values()) == {1}
    summary = read_summary(tmp_path / "a")
    assert (summary.status, summary.done) == ("finished", sum(service.executions.values()))
    attribution = Attribution.load(tmp_path / "a" / "attribution.npz")
    assert summary.shots_done == summary.shots == attribution.cost.shots
    assert json.loads((tmp_path / "a" / "run.json").read_text())["engine"]["snapshot"] == summary.engine["snapshot"]


def test_cancelled_run_on_google_leaves_no_job_with_the_service(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with StandIn(job_seconds=1.0) as service, service.connected():
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "note", interrupting(Journal.note, 2, lambda _, status, *__: status == "queued"))
            assert run(line(home, tmp_path / "a")) == 130
        assert run(f"cancel {tmp_path}/a") == 0
        assert "kept the counts of 0" in capsys.readouterr().out
        assert service.count("CancelQuantumJob") == 2
        assert read_summary(tmp_path / "a").status == "cancelled"
        assert run(f"resume {tmp_path}/a") == 0
    records = [json.loads(record[9:]) for record in (tmp_path / "a" / JOURNAL).read_text().splitlines()]
    summary = read_summary(tmp_path / "a")
    assert sum(record["kind"] == "counts" for record in records) == summary.jobs
    assert summary.status == "finished"


def test_new_configuration_of_the_next_day_on_the_command_line(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a"
    with StandIn() as service, service.connected():
        service.quantum.publish("snapshot-1", hours_ago=30)
        assert run(f"{line(home, folder)} --max-configuration-age 24") == 2
        assert "'snapshot-1' is 30.0 hours old" in capsys.readouterr().err
        assert run(f"resume {folder} --max-jobs 1 --max-configuration-age 48") == 2
        assert f"`hattriq resume {folder} --max-jobs " in capsys.readouterr().err
        service.quantum.publish("snapshot-2")
        service.quantum.removed.add("snapshot-1")
        assert run(f"resume {folder} --max-jobs 1000") == 2
        (error,) = capsys.readouterr().err.splitlines()
        assert "the snapshot 'snapshot-1' of the configuration 'config-1' exists no longer" in error
        assert error.endswith(f"go on with `hattriq resume {folder} --recompile`, or give up with `hattriq cancel {folder}`")
        assert run(f"resume {folder} --recompile") == 0
        assert "snapshot 'snapshot-2'" in capsys.readouterr().out
        assert set(service.executions.values()) == {1}
    record = json.loads((folder / "run.json").read_text())
    assert record["engine"]["snapshot"] == "snapshot-2"
    assert sorted(file.name for file in folder.glob("*.snapshot.json")) == [
        "snapshot-1.snapshot.json",
        "snapshot-2.snapshot.json",
    ]
    assert run(f"{line(home, tmp_path / 'b').replace('google:p/willow_pink', 'qsim')} --recompile") == 2
    assert "--recompile are for google:PROJECT/PROCESSOR" in capsys.readouterr().err


def test_google_processor_without_access_is_one_line(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with StandIn() as service, service.connected():
        assert run(line(home, tmp_path / "a").replace("p/willow_pink", "p/nowhere")) == 2
    (error_line,) = capsys.readouterr().err.splitlines()
    assert error_line.startswith("hattriq: error: ")
    assert "nowhere" in error_line
    assert not (tmp_path / "a").exists()
