"""`hattriq doctor`, cancelling by id, and names of engines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest
from command_line import TABLE, run
from journals import ENGINE, distributions_of, make_jobs

from hattriq_cirq.circuits.errors import AccessError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.cli.commands.cancel import cancel_jobs
from hattriq_cirq.execution.backend import Job, Limits, State, Status
from hattriq_cirq.execution.journal import Journal
from hattriq_cirq.workflows.values import parse_engine

# doctor


def test_doctor_of_a_complete_installation(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor") == 0
    rows = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    outcomes = {row[1].removesuffix(":"): row[0] for row in rows}
    assert {"qsim": "ok", "cirq": "ok", "virtual:willow_pink": "ok", "packages": "ok"}.items() <= outcomes.items()
    assert outcomes["google:PROJECT/PROCESSOR"] == "skipped"


@pytest.mark.parametrize("answer", [{"project": "p", "processor": "x", "health": "OK"}, AccessError("no; log in")])
def test_doctor_checks_access_by_one_call(
    answer: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def check_access(project: str, processor: str) -> Any:
        assert (project, processor) == ("p", "x")
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("hattriq_cirq.execution.backends.google.check_access", check_access)
    assert run("doctor --project p --processor x") == isinstance(answer, Exception)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == ("failed   google:p/x: no; log in" if isinstance(answer, Exception) else
                    "ok       google:p/x: project p, processor x, health OK")  # fmt: skip


def test_doctor_names_a_broken_package_and_the_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in [name for name in sys.modules if name.startswith("qsimcirq")]:
        monkeypatch.setitem(sys.modules, module, None)
    assert run("doctor") == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("failed")]
    assert failed[0].split()[1] == "qsim:"
    assert all("pip install" in line for line in failed)


def test_doctor_processor_without_project_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor --processor x") == 2
    assert "--processor 'x' needs --project" in capsys.readouterr().err


# cancelling


class RecordingBackend:
    """Backend that holds jobs in given states and records the ids it has to cancel."""

    name, seed, processor, limits = "far", None, None, Limits()

    def __init__(self, states: dict[str, Status]) -> None:
        self.states, self.cancelled = states, list[str]()

    def describe(self) -> dict[str, Any]:
        return ENGINE

    def check(self, job: Job) -> None:
        pass

    def size(self, job: Job) -> int:
        return 0

    def submit(self, job: Job) -> None:
        raise AssertionError

    def poll(self, job: Job) -> State:
        assert job.circuits
        return State(self.states.get(job.id, "unknown"))

    def results(self, job: Job) -> list[Distribution]:
        return distributions_of(3, 5, 0, 0)

    def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)
        self.states[job_id] = "done" if self.states[job_id] == "running" else "cancelled"


def test_cancel_keeps_counts_of_done_jobs_and_cancels_the_others_by_id(tmp_path: Path) -> None:
    with Journal(tmp_path, ENGINE) as journal:
        jobs = make_jobs(journal, 6)
        done, queued, quick, renamed, unknown, planned = (job.id for job in jobs)
        journal.begin(1, "key", jobs)
        journal.note(renamed, "submitting")
        journal.note(renamed, "failed")
        for job in jobs[:5]:
            journal.note(job.id, "submitting")
        backend = RecordingBackend({done: "done", queued: "queued", quick: "running", f"{renamed}-1": "queued"})
        assert cancel_jobs(backend, journal) == (4, 2)
        assert backend.cancelled == [queued, quick, f"{renamed}-1"]
        for job_id in (done, quick):
            (outcome,) = journal.stored(job_id) or []
            np.testing.assert_array_equal(outcome.counts, [3, 5, 0, 0])
        assert journal.unfinished() == [queued, renamed, unknown, planned]
        assert [journal.attempt(job_id) for job_id in (done, queued, quick, renamed)] == [0, 1, 0, 2]


# names of engines


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("qsim:1", "must be qsim, cirq, virtual:PROCESSOR"),
        ("virtual", "must be qsim, cirq, virtual:PROCESSOR"),
        ("virtual:willow_pink,loud", "must be qsim, cirq, virtual:PROCESSOR"),
        ("virtual:willow", "must be one of willow_pink, weber, rainbow"),
        ("virtual:willow_pink,noise=loud", "must be one of calibrated, none, readout, gates"),
        ("virtual:willow_pink,precision=float16", "precision='float16' must be"),
        ("virtual:willow_pink,precision=float32,noise=none", "must be qsim, cirq, virtual:PROCESSOR"),
        ("google:project", "google:PROJECT/PROCESSOR"),
        ("google:project/processor", "give --shots 1 or more"),
    ],
)
def test_unknown_engine_names_are_rejected(words: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_engine(words, 0)


def test_precision_of_a_virtual_engine_is_read_and_recorded() -> None:
    engine = parse_engine("virtual:willow_pink,noise=gates,precision=float32,zz=0.05", 1)
    record = engine.describe()
    assert (record["noise"], record["precision"]) == ("gates", "float32")
    assert "precision" not in parse_engine("virtual:willow_pink,noise=gates", 1).describe()


def test_resumed_run_on_a_real_processor_keeps_its_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hattriq_cirq.execution.backends.google.Engine", lambda backend, **_: pins.append(backend._given))
    pins: list[tuple[str | None, ...]] = []
    parse_engine("google:p/x", 0, tmp_path)
    Journal(tmp_path, {"kind": "google", "device_config_name": "c", "snapshot": "s1"}).close()
    parse_engine("google:p/x", 0, tmp_path)
    parse_engine("google:p/x", 0, tmp_path, recompile=True)
    assert pins == [(None, None, None), ("c", "s1", None), (None, None, None)]


# common mistakes

MISTAKES = {
    "a spreadsheet called .csv": ("train {home}/sheet.csv --out {home}/new", "is not a text table"),
    "a quote that is never closed": ("train {home}/quote.csv --out {home}/new", "is not a text table"),
    "a table called .npz": ("train {home}/table.npz --out {home}/new", "is not a zip archive"),
    "a JSON of somebody else": ("show {home}/other.json", "nor anything else that hattriq wrote"),
    "a seed below zero": (
        "train bars_and_stripes --out {home}/new --seed -1",
        "--seed: '-1' must be a non-negative",
    ),
    "a seed that is no number": ("train bars_and_stripes --out {home}/new --seed x", "'x' must be a non-negative"),
}


@pytest.mark.parametrize(("line", "words"), MISTAKES.values(), ids=MISTAKES.keys())
def test_common_mistakes_are_one_line(line: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sheet.csv").write_bytes(b"PK\x03\x04\xff\xfe\x80" * 20)
    (tmp_path / "quote.csv").write_text(TABLE + '"1,2')
    (tmp_path / "table.npz").write_text(TABLE)
    (tmp_path / "other.json").write_text(cirq.to_json({"format": "of mine"}))
    assert run(line.format(home=tmp_path)) == 2
    (error_line,) = capsys.readouterr().err.splitlines()
    assert words in error_line
    assert not (tmp_path / "new").exists()
