"""Dry runs: everything is compiled, checked and recorded, nothing is submitted, and the run that follows is undisturbed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NoReturn
from unittest import mock

import pytest
from command_line import refusal, run, train_on_table
from interrupted import killed_at_call, results
from journals import interrupting
from stand_in import StandIn

from hattriq_cirq.execution import engine
from hattriq_cirq.execution.backends.virtual import VirtualBackend
from hattriq_cirq.execution.journal import Journal
from hattriq_cirq.execution.journal_summary import read_summary
from hattriq_cirq.foundation.recent import Recent
from hattriq_cirq.pipeline import prepare

pytestmark = pytest.mark.usefixtures("small_pictures")

CALIBRATE = "calibrate --engine virtual:willow_pink --qubits 5_9,5_10 --shots 400 --seed 3"
SUBMITTING = ("CreateQuantumProgram", "CreateQuantumJob", "QuantumRunStream")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a table, a model trained on it, and results of runs that nothing disturbed."""
    home = tmp_path_factory.mktemp("home")
    train_on_table(home)
    with mock.patch.object(prepare, "_CHUNK", 1):
        assert run(line(home, home / "whole")) == 0
    (home / "calibrated").mkdir()
    assert run(f"{CALIBRATE} --out {home}/calibrated/readout.json") == 0
    return home


@pytest.fixture(autouse=True)
def _one_input_per_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "_CHUNK", 1)


def line(home: Path, out: Path, on: str = "virtual:willow_pink") -> str:
    options = f"--inputs test:0:3 --estimator polarization --engine {on} --shots 160 --mitigate readout:40 --seed 3"
    return f"attribute {home}/model --data {home}/table.csv {options} --out {out}"


def fail(*_: object, **__: object) -> NoReturn:
    raise AssertionError


def plan(home: Path, folder: Path) -> Path:
    """Return the folder of a dry run during which nothing ran."""
    with mock.patch.object(VirtualBackend, "execute", fail), mock.patch.object(VirtualBackend, "submit", fail):
        assert run(f"{line(home, folder)} --dry-run") == 0
    return folder


def test_dry_run_prints_the_cost_and_is_listed_as_planned(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = plan(home, tmp_path / "run")
    printed = capsys.readouterr().out
    summary = read_summary(planned)
    assert (summary.status, summary.done, summary.shots_done) == ("planned", 0, 0)
    assert re.search(rf"\n  jobs +{summary.jobs}\n", printed)
    assert re.search(rf"\n  shots +480, and {summary.shots - 480} for mitigation and checks\n", printed)
    assert re.search(r"\n  bytes to send +\d+\n(.*\n)*  processor time +about \d+ s \(a rough estimate", printed)
    assert f"dry run: {summary.jobs} jobs recorded in {planned}; nothing was submitted" in printed
    assert run(f"runs {planned}") == 0
    assert f"planned  0/{summary.jobs}" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["again", "resume"])
def test_planned_run_goes_on_to_the_undisturbed_result_and_compiles_nothing(
    home: Path, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan(home, tmp_path / "run")
    jobs = read_summary(planned).jobs
    monkeypatch.setattr(engine, "_programs", Recent(0))
    for owner, name in ((engine, "compile_for"), (prepare, "choose_placement")):
        monkeypatch.setattr(owner, name, fail)
    assert run(f"{line(home, planned)} --dry-run") == 0  # a second dry run finds everything
    assert run(line(home, planned) if how == "again" else f"resume {planned}") == 0
    assert results(planned) == results(home / "whole")
    assert read_summary(planned).jobs == jobs == read_summary(home / "whole").jobs
    assert read_summary(planned).status == "finished"


def test_cost_on_the_command_line_is_that_of_the_planned_run(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan(home, tmp_path / "run")
    printed = capsys.readouterr().out.partition("dry run:")[0]
    options = "--inputs test:0:3 --estimators polarization --engine virtual:willow_pink --shots 160 --mitigate readout:40"
    assert run(f"cost {home}/model --data {home}/table.csv {options} --seed 3") == 0
    assert capsys.readouterr().out == f"n = 2. {printed}"


def test_dry_run_after_a_part_of_the_run_records_the_rest(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "store", interrupting(Journal.store, 3))
        assert run(line(home, tmp_path / "run")) == 130
    before = read_summary(tmp_path / "run")
    assert (before.done, before.status) == (2, "unfinished")
    assert run(f"{line(home, tmp_path / 'run')} --dry-run") == 0
    after = read_summary(tmp_path / "run")
    assert (after.done, after.jobs) == (2, read_summary(home / "whole").jobs)
    assert after.jobs > before.jobs
    assert "2 of them done before" in capsys.readouterr().out
    assert run(f"resume {tmp_path}/run") == 0
    assert results(tmp_path / "run") == results(home / "whole")


@pytest.mark.parametrize("chosen", [20, pytest.param(0, marks=pytest.mark.slow)])
def test_killed_dry_run_is_repeated_or_resumed(home: Path, tmp_path: Path, chosen: int) -> None:
    """Killed at a call of the operating system; at each of them in the slow test."""
    for call in (chosen,) if chosen else range(1, 60):
        folders = {how: tmp_path / f"{call}-{how}" for how in ("repeated", "resumed")}
        for how, folder in folders.items():
            whole = killed_at_call(call, lambda folder=folder: run(f"{line(home, folder)} --dry-run"))  # type: ignore[misc]
            assert not (chosen and whole)
            if how == "repeated":
                assert run(f"{line(home, folder)} --dry-run") == 0
                assert read_summary(folder).status == "planned"
                assert read_summary(folder).jobs == read_summary(home / "whole").jobs
            else:
                assert run(line(home, folder)) == 0
                found = {name: content for name, content in results(folder).items() if "torn" not in name}
                assert found == results(home / "whole")


def test_interrupted_dry_run_says_how_to_go_on(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(VirtualBackend, "check", interrupt)
    assert run(f"{line(home, tmp_path / 'run')} --dry-run") == 130
    assert "the dry run submitted nothing; repeat it to go on" in capsys.readouterr().err


def test_dry_run_calls_no_service_that_creates_a_program_or_a_job(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda size: "0" * 2 * size)  # the counts of the service follow from the ids
    whole, planned = (line(home, tmp_path / name, "google:p/willow_pink") for name in ("whole", "planned"))
    with StandIn() as service, service.connected():
        assert run(whole) == 0
    with StandIn() as service, service.connected():
        capsys.readouterr()
        assert run(f"{planned} --dry-run") == 0
        printed = capsys.readouterr().out
        assert [service.count(method) for method in SUBMITTING] == [0, 0, 0]
        assert service.quantum.programs == service.quantum.jobs == {}
        assert service.count("GetQuantumProcessorConfig") == 1
        assert read_summary(tmp_path / "planned").status == "planned"
        options = "--inputs test:0:3 --estimators polarization --engine google:p/willow_pink --shots 160 --mitigate readout:40"
        assert run(f"cost {home}/model --data {home}/table.csv {options} --seed 3") == 0
        assert capsys.readouterr().out == f"n = 2. {printed.partition('dry run:')[0]}"
        assert [service.count(method) for method in SUBMITTING] == [0, 0, 0]
        assert run(planned) == 0
        assert set(service.executions.values()) == {1}
        assert service.executions.total() == read_summary(tmp_path / "planned").jobs
        sent = [request.quantum_program.code for method, request in service.calls if method == "CreateQuantumProgram"]
        sent += [request.quantum_job.run_context for method, request in service.calls if method == "CreateQuantumJob"]
        assert re.search(rf"\n  bytes to send +{sum(message.ByteSize() for message in sent)}\n", printed)
    assert results(tmp_path / "planned") == results(tmp_path / "whole")


@pytest.mark.parametrize("how", ["again", "resume"])
def test_planned_calibration_goes_on_to_the_undisturbed_result(
    home: Path, tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "readout.run"
    for _ in range(2):
        assert run(f"{CALIBRATE} --out {tmp_path}/readout.json --dry-run") == 0
        assert (read_summary(folder).status, read_summary(folder).shots) == ("planned", 800)
        assert not (tmp_path / "readout.json").exists()
    assert re.search(r"\n  shots +800\n", capsys.readouterr().out)
    assert run(f"{CALIBRATE} --out {tmp_path}/readout.json" if how == "again" else f"resume {folder}") == 0
    (found,) = tmp_path.rglob("readout.json")
    assert results(found.parent)["readout.json"] == results(home / "calibrated")["readout.json"]
    assert read_summary(folder).status == "finished"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--estimator exact", "--dry-run needs an --estimator"),
        ("--shots 0", "--dry-run needs --shots 1 or more"),
        ("--form normalized", "passes through the origin"),
    ],
)
def test_dry_run_without_jobs_is_refused(
    home: Path, tmp_path: Path, options: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = f"attribute {home}/model --data {home}/table.csv --estimator resolved --out {tmp_path}/run"
    assert message in refusal(f"{command} --dry-run {options}", capsys)
    assert not (tmp_path / "run").exists()
