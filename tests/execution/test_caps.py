"""Caps on the shots, jobs and seconds of a run: counted over all processes, checked before each submission."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest
from google_client import PROCESSOR, basis_circuit, call_within
from stand_in import Fault, StandIn

import hattriq_cirq as hq
from hattriq_cirq.circuits.errors import CapReachedError, EngineError, JobFailedError
from hattriq_cirq.execution.backends.sampler import InProcessBackend
from hattriq_cirq.execution.backends.simulators import ExactBackend
from hattriq_cirq.execution.caps import CapWarning
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.execution.journal import JOURNAL, Journal
from hattriq_cirq.execution.journal_records import from_line, read, to_line

Q = cirq.q(0)
CIRCUITS = [cirq.Circuit(cirq.ry(0.2 + i)(Q), cirq.measure(Q, key="m")) for i in range(5)]
SHOTS = [100, 100, 100, 200, 300]
WHOLE = [d.counts.tolist() for d in hq.cirq_simulator(seed=3).run(CIRCUITS, SHOTS)]


def counts(engine: Engine, shots: Sequence[int] = SHOTS) -> list[list[int]]:
    """Run all circuits, warnings left out, and close the journal."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CapWarning)
            return [d.counts.tolist() for d in engine.run(CIRCUITS, shots)]
    finally:
        if engine.journal is not None:
            engine.journal.close()


@pytest.mark.parametrize(
    ("caps", "done", "larger"),
    [
        ({"max_shots": 400}, 3, {"max_shots": 800}),
        ({"max_shots": 799}, 4, {"max_shots": 800}),
        ({"max_shots": 99}, 0, {}),
        ({"max_jobs": 2}, 2, {"max_jobs": 5}),
        ({"max_jobs": 4, "max_shots": 299}, 2, {"max_jobs": 5, "max_shots": 10_000}),
    ],
    ids=str,
)
def test_run_stops_before_the_job_that_would_pass_a_cap_and_goes_on_with_a_larger_one(
    tmp_path: Path, caps: dict[str, Any], done: int, larger: dict[str, Any]
) -> None:
    for _ in range(2):  # the same cap again runs nothing more
        with pytest.raises(CapReachedError) as caught:
            counts(hq.cirq_simulator(seed=3, journal=tmp_path, **caps))
        with Journal(tmp_path, hq.cirq_simulator(seed=3).describe()) as journal:
            assert (journal.done, journal.used.jobs, journal.used.shots) == (done, done, sum(SHOTS[:done]))
    assert isinstance(caught.value, EngineError)
    stated = str(caught.value)
    assert any(stated.startswith(f"{name}={value:g} is reached: ") for name, value in caps.items())
    assert f"{done} job{'s' * (done != 1)} with {sum(SHOTS[:done]):,} shots" in stated
    assert f"the next job takes {SHOTS[done]} shots" in stated
    assert counts(hq.cirq_simulator(seed=3, journal=tmp_path, **larger)) == WHOLE
    assert counts(hq.cirq_simulator(seed=3, journal=tmp_path, **larger)) == WHOLE  # nothing is left to count


def test_error_names_a_cap_that_is_enough(tmp_path: Path) -> None:
    with pytest.raises(CapReachedError, match=r"go on with max_shots=800 and the same calls"):
        counts(hq.cirq_simulator(seed=3, journal=tmp_path, max_shots=250))
    with pytest.raises(CapReachedError, match=r"go on with max_jobs=5 "):
        counts(hq.cirq_simulator(seed=3, journal=tmp_path, max_jobs=3))
    assert counts(hq.cirq_simulator(seed=3, journal=tmp_path, max_shots=800, max_jobs=5)) == WHOLE


@pytest.mark.parametrize("make", [hq.qsim, hq.cirq_simulator, lambda **o: hq.sampler(cirq.Simulator(seed=1), **o)])
def test_caps_count_over_the_calls_of_an_engine_without_a_journal(make: Any) -> None:
    engine = make(max_shots=1000)
    assert len(counts(engine)) == 5
    with pytest.raises(CapReachedError, match=r"7 jobs with 1,000 shots.*100 shots; nothing is recorded without a journal"):
        counts(engine)
    with pytest.raises(CapReachedError):
        engine.run(CIRCUITS[:1], [1])


def test_exact_probabilities_are_not_counted() -> None:
    engine = hq.cirq_simulator(max_shots=1, max_jobs=1, max_seconds=1e-9)
    assert len(engine.run(CIRCUITS, None)) == 5
    assert engine.run(CIRCUITS[:1], [1])[0].shots == 1


def test_need_beyond_the_caps_is_said_before_the_first_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a job was run")

    monkeypatch.setattr(InProcessBackend, "submit", refuse)
    with pytest.raises(CapWarning, match=r"max_shots=799 of 800 shots and max_jobs=4 of 5 jobs that are needed"):
        hq.cirq_simulator(journal=tmp_path, max_shots=799, max_jobs=4).run(CIRCUITS, SHOTS)


def test_caps_that_are_enough_give_no_warning(tmp_path: Path) -> None:
    engine = hq.cirq_simulator(seed=3, journal=tmp_path, max_shots=800, max_jobs=5, max_seconds=1000)
    assert [d.counts.tolist() for d in engine.run(CIRCUITS, SHOTS)] == WHOLE


def test_need_of_all_chunks_is_said_before_the_first_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty inputs are two chunks; the first one alone would fit."""
    model = hq.ring_ansatz(2, layers=1)
    x = np.random.default_rng(0).normal(size=(20, 4))
    settings: dict[str, Any] = {"baseline": 0, "estimator": hq.ResolvedHadamardTest(), "shots": 100}
    with pytest.raises(CapWarning, match=r"max_shots=900 of 2000 shots"):
        hq.integrated_gradients(model, x, engine=hq.qsim(seed=1, max_shots=900), **settings)
    capped = hq.integrated_gradients(model, x, engine=hq.qsim(seed=1, max_shots=2000), **settings)
    np.testing.assert_array_equal(capped.values, hq.integrated_gradients(model, x, engine=hq.qsim(seed=1), **settings).values)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3"])
def test_caps_out_of_range_are_refused(value: Any) -> None:
    for name in ("max_shots", "max_jobs"):
        with pytest.raises(ValueError, match=rf"{name}=.* must be a whole number, at least 1, or None"):
            hq.virtual("willow_pink", **{name: value})
    if value in (0, -1, "3") or value is True:
        with pytest.raises(ValueError, match=r"max_seconds=.* must be a number above 0, or None"):
            hq.qsim(max_seconds=value)


def test_jobs_in_progress_are_awaited_when_a_cap_is_reached(service: StandIn, tmp_path: Path) -> None:
    def go(**caps: Any) -> list[int]:
        engine = google_engine(service, tmp_path, **caps)
        with warnings.catch_warnings(), engine.journal as journal:  # type: ignore[union-attr]
            warnings.simplefilter("ignore", CapWarning)
            try:
                return [int(d.counts.argmax()) for d in engine.run([basis_circuit(i) for i in range(8)], [10] * 8)]
            finally:
                states.append((journal.done, journal.used.jobs, len(journal.unfinished())))

    states: list[tuple[int, int, int]] = []
    service.inject(Fault("Job", "slow", times=8, seconds=0.05))
    with pytest.raises(CapReachedError):
        call_within(20, lambda: go(max_jobs=5))
    assert states == [(5, 5, 3)]
    assert call_within(20, go) == list(range(8))
    assert list(service.executions.values()) == [1] * 8


def test_failed_job_counts_again_when_it_is_submitted_again(service: StandIn, tmp_path: Path) -> None:
    def go(**caps: Any) -> int:
        engine = google_engine(service, tmp_path, **caps)
        with engine.journal as journal:  # type: ignore[union-attr]
            engine.run([basis_circuit(1)], [10])
            return journal.used.jobs

    service.inject(Fault("Job", "failure"))
    with pytest.raises(JobFailedError):
        call_within(20, lambda: go(max_jobs=1))
    with pytest.raises(CapWarning, match="max_jobs=1 of 2 jobs"):
        call_within(20, lambda: go(max_jobs=1))
    assert call_within(20, lambda: go(max_jobs=2)) == 2


def google_engine(service: StandIn, folder: Path, **settings: Any) -> Engine:
    return hq.google(
        "p", PROCESSOR, journal=folder, engine=service.engine(), poll_seconds=0.005, jobs=3, circuits_per_job=1, **settings
    )


# seconds


def test_no_job_is_submitted_after_the_seconds_of_a_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execute = ExactBackend.execute

    def slow(self: ExactBackend, job: Any) -> Any:
        time.sleep(0.02)
        return execute(self, job)

    monkeypatch.setattr(ExactBackend, "execute", slow)
    for folder in (tmp_path, None):
        with pytest.raises(CapReachedError, match=r"max_seconds=0.03 is reached: (1 job|2 jobs) with [12]00 shots in "):
            counts(hq.cirq_simulator(seed=3, journal=folder, max_seconds=0.03))
    with pytest.raises(CapReachedError, match=r"max_seconds=0.01 is reached: (1 job|2 jobs) "):
        counts(hq.cirq_simulator(seed=3, journal=tmp_path, max_seconds=0.01))
    assert counts(hq.cirq_simulator(seed=3, journal=tmp_path, max_seconds=1000)) == WHOLE


def test_seconds_count_only_while_a_process_waits_for_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execute = ExactBackend.execute

    def slow(self: ExactBackend, job: Any) -> Any:
        time.sleep(0.05)
        if len(waited) == 2:
            raise KeyboardInterrupt
        waited.append(job.id)
        return execute(self, job)

    waited: list[str] = []
    engine = hq.cirq_simulator(seed=3, journal=tmp_path)
    start = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(ExactBackend, "execute", slow)
        with pytest.raises(KeyboardInterrupt):
            engine.run(CIRCUITS, SHOTS)
    stop = time.monotonic()
    assert engine.journal is not None
    used = engine.journal.used
    assert 0.14 < used.seconds < stop - start + 0.01
    time.sleep(0.3)  # nobody waits for a job
    assert engine.journal.used == used
    again = time.monotonic()
    assert [d.counts.tolist() for d in engine.run(CIRCUITS, SHOTS)] == WHOLE
    assert engine.journal.used.seconds < used.seconds + time.monotonic() - again + 0.01
    engine.journal.close()


def test_killed_run_counts_up_to_its_last_record(tmp_path: Path) -> None:
    """The records of a process that was killed after a job of a minute, an hour before the next process, are replayed."""
    assert counts(hq.cirq_simulator(seed=3, journal=tmp_path)) == WHOLE
    records = [record for line in (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True) if (record := from_line(line))]
    first_counts = next(i for i, record in enumerate(records) if record["kind"] == "counts")
    for i, record in enumerate(records):
        record["utc"] = f"2026-11-28T12:0{int(i >= first_counts)}:00.000+00:00"
    killed = records[: first_counts + 2]  # the next job was being submitted
    assert (killed[-1]["kind"], killed[-1]["status"]) == ("note", "submitting")
    opened = next(record for record in records if record["kind"] == "opened") | {"utc": "2026-11-28T13:00:00.000+00:00"}
    contents, _ = read(b"".join(map(to_line, [*killed, opened])), "journal")
    assert contents.meter.used.seconds == 60
    assert (contents.meter.used.jobs, contents.meter.used.shots) == (2, 200)


def test_state_that_does_not_change_is_recorded_now_and_then(
    service: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seconds of a long job are known although its process is killed."""
    monkeypatch.setattr("hattriq_cirq.execution.job_runner._SIGN_OF_LIFE", 0.05)
    service.inject(Fault("Job", "slow", seconds=0.4))
    engine = google_engine(service, tmp_path)
    call_within(20, lambda: engine.run([basis_circuit(1)], [10]))
    records = [from_line(line) for line in (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)]
    states = [record["status"] for record in records if record is not None and record["kind"] == "note"]
    assert 2 <= states.count("running") <= 9


@pytest.mark.slow
def test_cap_holds_over_a_killed_process(tmp_path: Path) -> None:
    script = f"""
import warnings, sys; warnings.simplefilter("ignore")
sys.path[:0] = {sys.path!r}
import os, hattriq_cirq as hq
from hattriq_cirq.execution.backends.simulators import ExactBackend
from test_caps import CIRCUITS, SHOTS
execute, left = ExactBackend.execute, [2]
def dying(self, job):
    left[0] -= 1
    return execute(self, job) if left[0] >= 0 else os._exit(9)
ExactBackend.execute = dying
hq.cirq_simulator(seed=3, journal={str(tmp_path)!r}, max_jobs=4).run(CIRCUITS, SHOTS)
"""
    here = str(Path(__file__).parent)
    assert subprocess.run([sys.executable, "-c", script], cwd=here, check=False).returncode == 9
    with pytest.raises(CapReachedError, match="4 jobs with 500 shots"):
        counts(hq.cirq_simulator(seed=3, journal=tmp_path, max_jobs=4))
    assert counts(hq.cirq_simulator(seed=3, journal=tmp_path)) == WHOLE
