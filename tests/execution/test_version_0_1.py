"""Folders written by version 0.1: shown, listed, reported, loaded and resumed by this version."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run
from journals import assert_from_same_counts, records_of_counts
from stand_in import StandIn

from calibration import Readout
from calibration.readout.calibration import ReadoutCalibration
from hattriq_cirq import PolarizationShift, datasets, google, integrated_gradients, virtual
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.cli.commands.attribute import Attribute
from hattriq_cirq.cli.commands.resume import recorded_command
from hattriq_cirq.execution.journal_summary import read_summary
from hattriq_cirq.models.model import Model
from hattriq_cirq.reporting.document import Section
from hattriq_cirq.reporting.records import read_task

FIXTURES = Path(__file__).parents[1] / "fixtures" / "version_0_1"
FINISHED = ("finished", "maps", "shots")
INTERRUPTED = {"interrupted_mid_call": (9, 25), "interrupted_between_calls": (87, 87), "google_interrupted": (3, 7)}
"""Interrupted runs: number of jobs with counts and number of planned jobs."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the folders, which is the current directory."""
    shutil.copytree(FIXTURES, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def assert_equals_expected(home: Path, name: str, *, compiled_anew: int = 0) -> None:
    """Compare the map of a resumed run with that of version 0.1 without interruption.

    This version compiles other circuits: the last `compiled_anew` inputs, which version 0.1 had not begun, agree to 5 standard
    errors. All other values follow from the same counts.
    """
    result, expected = (Attribution.load(folder / name / "attribution.npz") for folder in (home, home / "expected"))
    kept = len(result.x) - compiled_anew
    for field in ("x", "baseline"):
        np.testing.assert_array_equal(getattr(result, field), getattr(expected, field))
    for field in ("f_input", "f_baseline"):
        assert_from_same_counts(getattr(result, field), getattr(expected, field))
    for field in ("values", "stderr", "completeness_gap_stderr"):
        assert_from_same_counts(getattr(result, field)[:kept], getattr(expected, field)[:kept])
    errors = np.hypot(result.stderr, expected.stderr)
    assert (np.abs(result.values - expected.values) <= 5 * errors).all()
    assert result.imag_values is expected.imag_values is None
    factor = result.cost.variance_factor
    assert result.cost == replace(expected.cost, variance_factor=factor)
    assert_from_same_counts(np.array(factor), np.array(expected.cost.variance_factor))


@pytest.mark.parametrize(
    ("folder", "text"),
    [
        ("trained", "hattriq_cirq 0.1.0"),
        ("maps", "-0.461339"),
        ("shots", "-0.468000"),
        ("finished", "-0.484907"),
        ("calibration/readout.json", "727ce26887cc"),
    ],
)
def test_show_folder_of_version_0_1(home: Path, folder: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"show {folder}") == 0
    assert text in capsys.readouterr().out


@pytest.mark.parametrize("folder", INTERRUPTED)
def test_show_interrupted_run_of_version_0_1_is_rejected(home: Path, folder: str) -> None:
    assert run(f"show {folder}") == 2


@pytest.mark.parametrize("folder", ["shots", "finished"])
def test_resume_finished_run_of_version_0_1_is_rejected(home: Path, folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"resume {folder}") == 2
    assert "nothing is left to do" in capsys.readouterr().err


def test_list_runs_of_version_0_1(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("runs .") == 0
    listed = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert all(" finished " in listed[name] for name in ("shots", "finished"))
    for name, (done, jobs) in INTERRUPTED.items():
        assert " unfinished " in listed[name]
        assert f" {done}/{jobs} " in listed[name]


def test_report_on_runs_and_study_of_version_0_1(home: Path) -> None:
    assert run("report trained maps shots finished study/signs --out report.html") == 0
    page = (home / "report.html").read_text()
    assert page.count("Attribution maps of bars_and_stripes 2x2") >= len(FINISHED)
    assert "Training on bars_and_stripes 2x2" in page
    assert "What the sign means" in page


def test_load_files_of_version_0_1(home: Path) -> None:
    model = Model.load(home / "trained" / "model.json")
    data = datasets.load("bars_and_stripes:side=2,noise=0.2,copies=20")
    maps = Attribution.load(home / "maps" / "attribution.npz")
    indices = json.loads((home / "maps" / "run.json").read_text())["inputs"]["indices"]
    np.testing.assert_allclose(integrated_gradients(model, maps.x, baseline=0).values, maps.values, atol=1e-12)
    np.testing.assert_allclose(maps.f_input, model.expectation(maps.x), atol=1e-12)
    assert len(indices) == len(maps.values) <= len(data.x_test)
    shots = Attribution.load(home / "shots" / "attribution.npz")
    assert (shots.cost.shots, shots.stderr.shape) == (2000, shots.values.shape)
    calibration = ReadoutCalibration.load(home / "calibration" / "readout.json")
    assert len(calibration.qubits) >= 3
    (report,) = (home / "study" / "signs").glob("report-*")
    assert Section.load(report).title == "What the sign means"


@pytest.mark.parametrize("name", ["interrupted_mid_call", "interrupted_between_calls"])
def test_resume_journal_of_version_0_1_on_a_virtual_processor(
    home: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = records_of_counts(home / name)
    assert run(f"resume {name}") == 0
    capsys.readouterr()
    summary = read_summary(home / name)
    assert (summary.status, summary.done) == ("finished", summary.jobs)
    counts = records_of_counts(home / name)
    assert {job: counts[job] for job in recorded} == recorded
    is_new = name == "interrupted_between_calls"  # the second call, with the last input, had not begun
    assert_equals_expected(home, name, compiled_anew=1 if is_new else 0)
    notes = Attribution.load(home / name / "attribution.npz").assumptions.notes
    assert any("recorded in the journal" in note for note in notes)
    assert any("this version compiled it" in note for note in notes) == is_new


@pytest.mark.slow
def test_dry_run_of_a_journal_of_version_0_1_is_repeated_and_resumed(home: Path) -> None:
    name = "interrupted_between_calls"
    recorded = records_of_counts(home / name)
    command = recorded_command(name, read_task(name)[1])
    assert isinstance(command, Attribute)
    for _ in range(2):
        assert replace(command, dry_run=True).run() == 0
        assert records_of_counts(home / name) == recorded
        assert read_summary(home / name).jobs == 96
    assert run(f"resume {name}") == 0
    assert read_summary(home / name).done == 96
    assert_equals_expected(home, name, compiled_anew=1)
    notes = Attribution.load(home / name / "attribution.npz").assumptions.notes
    assert any("this version compiled it" in note for note in notes)


def test_resume_journal_of_version_0_1_on_google(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = records_of_counts(home / "google_interrupted")
    with StandIn() as service, service.connected():
        assert run("resume google_interrupted") == 0
        assert len(service.executions) == 7 - 3
        assert set(service.executions.values()) == {1}
        assert not {job for job in service.executions if job in recorded}
    counts = records_of_counts(home / "google_interrupted")
    assert {job: counts[job] for job in recorded} == recorded
    assert read_summary(home / "google_interrupted").status == "finished"
    assert_equals_expected(home, "google_interrupted")


@pytest.mark.parametrize("name", ["google_interrupted", pytest.param("interrupted_mid_call", marks=pytest.mark.slow)])
def test_script_goes_on_with_a_journal_of_version_0_1(home: Path, name: str) -> None:
    recorded, expected = records_of_counts(home / name), Attribution.load(home / "expected" / name / "attribution.npz")
    data = datasets.load("bars_and_stripes:side=2,noise=0.2,copies=20")
    settings: dict[str, Any] = {"baseline": 0, "estimator": PolarizationShift()}
    with StandIn() as service:
        if name == "google_interrupted":
            engine = google("example", "willow_pink", journal=name, engine=service.engine("example"), poll_seconds=0.01)
            settings |= {"x": data.x_test[:1], "shots": 200}
        else:
            engine = virtual("willow_pink", seed=1, journal=name)
            settings |= {"x": data.x_train[:3], "shots": 1000, "mitigation": Readout(shots=200)}
        a = integrated_gradients(Model.load("trained/model.json"), engine=engine, **settings)
        assert len(service.executions) == (4 if name == "google_interrupted" else 0)
    for field in ("values", "stderr", "completeness_gap_stderr"):
        assert_from_same_counts(getattr(a, field), getattr(expected, field))
    counts = records_of_counts(home / name)
    assert {job: counts[job] for job in recorded} == recorded
    assert read_summary(home / name).done == INTERRUPTED[name][1]
