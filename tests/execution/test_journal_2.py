"""Journals of format 2: shown and resumed by this version, to the results of the undisturbed runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import cirq
import numpy as np
import pytest
from command_line import run
from journals import assert_from_same_counts, records_of_counts
from stand_in import StandIn

import hattriq_cirq as hq
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.execution.backends import virtual
from hattriq_cirq.execution.journal_summary import read_summary

FIXTURES = Path(__file__).parents[1] / "fixtures"
INTERRUPTED = {"interrupted": (9, 23), "interrupted_twirled": (3, 8), "google_interrupted": (3, 7)}
"""Interrupted runs of commands: number of jobs with counts and number of planned jobs."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the folders, with the trained model, which is the current directory."""
    shutil.copytree(FIXTURES / "journal_2", tmp_path / "home")
    shutil.copytree(FIXTURES / "version_0_1" / "trained", tmp_path / "home" / "trained")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def check_resume(home: Path, name: str) -> None:
    """Resume a run and compare it with the undisturbed one: recorded counts exactly, and the numbers that follow from all."""
    done, jobs = INTERRUPTED[name]
    before = read_summary(home / name)
    assert (before.status, before.done, before.jobs) == ("unfinished", done, jobs)
    recorded = records_of_counts(home / name)
    assert run(f"resume {name}") == 0
    after = read_summary(home / name)
    assert (after.status, after.done, after.jobs) == ("finished", jobs, jobs)
    counts = records_of_counts(home / name)
    assert {job: counts[job] for job in recorded} == recorded
    result, expected = (Attribution.load(folder / name / "attribution.npz") for folder in (home, home / "expected"))
    for field in ("x", "baseline"):
        np.testing.assert_array_equal(getattr(result, field), getattr(expected, field))
    for field in ("values", "stderr", "completeness_gap_stderr", "f_input", "f_baseline"):
        assert_from_same_counts(getattr(result, field), getattr(expected, field))


def test_show_finished_run_of_format_2(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show finished") == 0
    assert "-0.651000" in capsys.readouterr().out
    assert read_summary(home / "finished").status == "finished"


@pytest.mark.parametrize("name", ["interrupted", pytest.param("interrupted_twirled", marks=pytest.mark.slow)])
def test_resume_journal_of_format_2_on_a_virtual_processor(home: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The X gates of readout calibrations had no error in the noise of that version, which is simulated here."""
    monkeypatch.setattr(virtual, "_PulseNoise", lambda calibrated: calibrated)
    check_resume(home, name)


@pytest.mark.slow
def test_resumed_calibration_has_the_noise_of_this_version(home: Path) -> None:
    run("resume interrupted_twirled")
    result, expected = (
        Attribution.load(folder / "interrupted_twirled" / "attribution.npz") for folder in (home, home / "expected")
    )
    assert expected.stderr is not None
    assert 0 < np.abs(result.values - expected.values).max() < 0.01 * expected.stderr.min()


def test_resume_journal_of_format_2_on_google(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with StandIn() as service, service.connected():
        check_resume(home, "google_interrupted")
        assert len(service.executions) == 7 - 3


def script_circuits() -> list[cirq.Circuit]:
    """Return the circuits of the script that wrote `script_interrupted`."""
    q = cirq.LineQubit.range(2)
    return [
        cirq.Circuit(cirq.ry(0.3 + k / 4)(q[0]), cirq.CNOT(*q), cirq.rz(k / 3)(q[1]), cirq.measure(*q, key="m"))
        for k in range(8)
    ]


def test_script_goes_on_with_its_journal_of_format_2(home: Path) -> None:
    recorded, circuits = records_of_counts(home / "script_interrupted"), script_circuits()
    engine = hq.cirq_simulator(seed=5, journal=home / "script_interrupted")
    first, second = ([d.counts.tolist() for d in engine.run(part, [100] * len(part))] for part in (circuits[:3], circuits))
    with np.load(home / "expected" / "script_interrupted" / "counts.npz") as expected:
        assert (first, second) == (expected["first"].tolist(), expected["second"].tolist())
    counts = records_of_counts(home / "script_interrupted")
    assert len(counts) == 11
    assert {job: counts[job] for job in recorded} == recorded
