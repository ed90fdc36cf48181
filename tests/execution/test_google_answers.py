"""Rare answers of the service and failures of its client: the right result, or the right typed error within its bound."""

from __future__ import annotations

import inspect
import os
import stat
import time
from math import inf, isfinite
from pathlib import Path
from typing import Any

import pytest
from google_client import (
    CALL_TIMEOUT,
    COUNTS,
    JOBS,
    PATIENCE,
    PROCESSOR,
    SLACK,
    UNARY,
    basis_circuit,
    both_transports,
    call_within,
    check_failure,
    check_recovery,
    connected_backend,
    expected_counts,
    impatient_backend,
    patient_backend,
    plain_job,
    run_jobs,
    wait_for_job,
)
from stand_in import Fault, StandIn, break_client
from stand_in_service import CONFIG

from hattriq_cirq.circuits.errors import JobCancelledError, ServiceError, SilenceError
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution.backend import Job, State
from hattriq_cirq.execution.backends.google import GoogleBackend, google
from hattriq_cirq.execution.backends.google_calls import RetryingCaller
from hattriq_cirq.execution.engine import SILENCE, Engine
from hattriq_cirq.execution.journal import Journal

PROGRAM = ParameterizedCircuit(JOBS[0].circuits[0], (0,))


@both_transports
def test_job_that_is_being_cancelled_counts_as_cancelled(service: StandIn, streaming: bool) -> None:
    backend = patient_backend(service, streaming=streaming)
    service.inject(Fault("Job", "cancelling", times=inf, seconds=inf))
    backend.submit(JOBS[0])
    assert call_within(5, lambda: wait_for_job(backend, JOBS[0])) == State("cancelled")
    with pytest.raises(JobCancelledError, match="was cancelled; resume the run"):
        call_within(5, lambda: Engine(backend).execute([PROGRAM], [10]))


@pytest.mark.parametrize("method", UNARY)
@pytest.mark.parametrize("kind", ["unknown", "cancelled_call", "deadline"])
def test_temporary_rare_answer_of_a_call_does_not_change_the_result(service: StandIn, method: str, kind: str) -> None:
    check_recovery(service, Fault(method, kind, times=2))


@pytest.mark.parametrize("times", [1, inf], ids=["once", "for ever"])
@pytest.mark.parametrize("kind", ["unknown", "cancelled_call", "deadline", "internal"])
def test_rare_answer_of_the_stream_does_not_change_the_result(service: StandIn, kind: str, times: float) -> None:
    check_recovery(service, Fault("QuantumRunStream", kind, times=times), streaming=True)


@both_transports
@pytest.mark.parametrize(("kind", "code"), [("unknown", "500: 408: Request Timeout"), ("deadline", "504")])
def test_permanent_rare_answer_is_a_service_error_in_time(service: StandIn, streaming: bool, kind: str, code: str) -> None:
    backend = impatient_backend(service, streaming=streaming)
    service.inject(Fault("*", kind, times=inf))
    check_failure(backend, ServiceError, rf"{code.split(':')[-1].strip()}.*kept failing for 0.4 s; resume the run later")


@both_transports
@pytest.mark.parametrize("kind", ["unspecified", "future"])
def test_job_without_a_known_state_is_asked_for_again(service: StandIn, streaming: bool, kind: str) -> None:
    check_recovery(service, Fault("Job", kind, times=inf, seconds=0.4), streaming=streaming)


@both_transports
@pytest.mark.parametrize(("kind", "name"), [("unspecified", "STATE_UNSPECIFIED"), ("future", "99")])
def test_job_that_never_has_a_known_state_is_a_service_error_in_time(
    service: StandIn, streaming: bool, kind: str, name: str
) -> None:
    backend = impatient_backend(service, streaming=streaming)
    service.inject(Fault("Job", kind, times=inf, seconds=inf))
    engine = Engine(backend, timeout=None, poll_seconds=0.01)
    with pytest.raises(ServiceError, match=f"the state of the job is {name}, and kept failing for 0.4 s; resume the run later"):
        call_within(2 * (PATIENCE + CALL_TIMEOUT) + SLACK, lambda: engine.execute([PROGRAM], [10]))


def test_default_timeout_is_finite(service: StandIn, tmp_path: Path) -> None:
    for function in (Engine, google):
        assert isfinite(inspect.signature(function).parameters["timeout"].default)
    engine = google("p", PROCESSOR, journal=tmp_path, engine=service.engine())
    assert engine._timeout == SILENCE == 86_400


@both_transports
def test_removed_snapshot_ends_a_run_with_the_counts_kept(streaming: bool, tmp_path: Path) -> None:
    def engine(service: StandIn) -> Engine:
        client = service.engine(streaming=streaming)
        settings: dict[str, Any] = {
            "circuits_per_job": 1,
            "jobs": 1,
            "poll_seconds": 0.01,
            "call_timeout": 0.5,
            "patience": 1.0,
        }
        return google("p", PROCESSOR, journal=tmp_path, engine=client, streaming=streaming, **settings)

    def go(own: Engine) -> list[int]:
        programs = [ParameterizedCircuit(basis_circuit(i), (i,)) for i in range(4)]
        return [int(d.counts.argmax()) for d in own.execute(programs, [10, 20, 30, 40])]

    with StandIn() as service:
        first, store = engine(service), Journal.store

        def remove(journal: Journal, job_id: str, distributions: Any) -> None:
            store(journal, job_id, distributions)
            if journal.done == 2:
                service.quantum.removed.add("snapshot-1")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Journal, "store", remove)
            message = rf"the snapshot 'snapshot-1' of the configuration '{CONFIG}' exists no longer.*start a new run in another"
            with pytest.raises(ServiceError, match=message):
                call_within(20, lambda: go(first))
        assert first.journal is not None
        assert first.journal.done == 2
        first.journal.close()
        again = engine(service)  # resuming asks for nothing that is gone until a job must be submitted
        with pytest.raises(ServiceError, match="exists no longer"):
            call_within(20, lambda: go(again))
        service.quantum.removed.clear()
        assert call_within(20, lambda: go(again)) == [0, 1, 2, 3]
        assert list(service.executions.values()) == [1] * 4


RAW = [
    ConnectionResetError(104, "Connection reset by peer"),
    BrokenPipeError(32, "Broken pipe"),
    OSError("the network is down"),
    RuntimeError("the channel is closed"),
    ValueError("cannot be parsed"),
]
CALLS = ("create_quantum_program", "create_quantum_job", "get_quantum_job", "get_quantum_result")


@pytest.mark.parametrize("error", RAW, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("method", CALLS)
def test_raw_error_out_of_the_client_is_repeated(error: Exception, method: str) -> None:
    with StandIn(unique_ids=False) as service:  # a second job of the same id would run twice
        for after in (False, True):
            client = service.engine()
            backend = GoogleBackend(client, PROCESSOR, caller=RetryingCaller(5.0, 20.0))
            backend.describe()
            break_client(client, method, error, times=2, after=after)
            job = plain_job(2 if after else 1)
            assert run_jobs(backend, [job]) == [expected_counts(job, 2 if after else 1)]
        assert service.executions == {"run-1": 1, "run-2": 1}


@pytest.mark.parametrize("error", RAW, ids=lambda e: type(e).__name__)
def test_permanent_raw_error_out_of_the_client_is_a_service_error_in_time(service: StandIn, error: Exception) -> None:
    client = service.engine()
    backend = GoogleBackend(client, PROCESSOR, caller=RetryingCaller(5.0, 20.0))
    backend.describe()
    backend._call = RetryingCaller(CALL_TIMEOUT, PATIENCE)
    break_client(client, "create_quantum_job", error, times=inf)
    check_failure(
        backend, ServiceError, rf"submitting job run-1: the client failed with {type(error).__name__}: .*kept failing"
    )


def test_error_of_a_program_is_not_repeated(service: StandIn) -> None:
    client = service.engine()
    backend = GoogleBackend(client, PROCESSOR)
    backend.describe()
    break_client(client, "create_quantum_job", TypeError("a fault in the code"), times=inf)
    with pytest.raises(TypeError, match="a fault in the code"):
        call_within(SLACK, lambda: backend.submit(plain_job(1)))


# what must not change


def test_last_delay_is_cut_to_what_is_left_of_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    async def fail() -> None:
        raise ConnectionResetError

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    with pytest.raises(ServiceError, match="kept failing for 1 s"):
        RetryingCaller(call_timeout=5.0, patience=1.0)("calling", fail)
    assert slept == pytest.approx([0.1, 0.2, 0.4, 0.3])
    assert sum(slept) == pytest.approx(1.0)


def test_submission_is_recorded_before_the_job_is_sent(service: StandIn, tmp_path: Path) -> None:
    """A process that dies while it submits must find the job again instead of running another one."""
    engine = google("p", PROCESSOR, journal=tmp_path, engine=service.engine(), poll_seconds=0.01)
    journal, submit, recorded = engine.journal, GoogleBackend.submit, list[bool]()
    assert journal is not None

    def submit_and_die(backend: GoogleBackend, job: Job) -> None:
        recorded.append(journal.was_submitted(job.id))
        assert '"status":"submitting"' in (tmp_path / "journal.jsonl").read_text()
        submit(backend, job)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GoogleBackend, "submit", submit_and_die)
        with pytest.raises(KeyboardInterrupt):
            engine.execute([PROGRAM], [10])
    assert recorded == [True]
    sent = service.count("CreateQuantumJob")
    assert [d.shots for d in call_within(10, lambda: engine.execute([PROGRAM], [10]))] == [10]
    assert service.count("CreateQuantumJob") == sent == 1


@pytest.mark.parametrize("restart", [False, True])
def test_interrupt_between_submission_and_its_record_runs_no_job_twice(service: StandIn, restart: bool, tmp_path: Path) -> None:
    engine = google("p", PROCESSOR, journal=tmp_path, engine=service.engine(), poll_seconds=0.01)
    note = Journal.note

    def interrupted(journal: Journal, job_id: str, status: str, message: str = "") -> None:
        if status == "queued":
            raise KeyboardInterrupt
        note(journal, job_id, status, message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "note", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.execute([PROGRAM], [10])
    if restart:
        assert engine.journal is not None
        engine.journal.close()
        engine = google("p", PROCESSOR, journal=tmp_path, engine=service.engine(), poll_seconds=0.01)
    assert [d.shots for d in call_within(10, lambda: engine.execute([PROGRAM], [10]))] == [10]
    assert list(service.executions.values()) == [1]
    assert service.count("CreateQuantumJob") == 1


@pytest.mark.parametrize("kind", ["quota", "denied", "deadline", "aborted"])
def test_job_of_a_broken_stream_is_polled_and_not_sent_again(kind: str) -> None:
    with StandIn(unique_ids=False, job_seconds=0.3) as service:  # a second job of the same id would run twice
        backend = patient_backend(service, streaming=True)
        service.inject(Fault("QuantumRunStream", f"after_{kind}"))
        backend.submit(JOBS[0])
        assert call_within(10, lambda: wait_for_job(backend, JOBS[0])) == State("done")
        assert service.count("GetQuantumJob") >= 1
        assert [d.counts.tolist() for d in call_within(10, lambda: backend.results(JOBS[0]))] == COUNTS[0]
        assert service.count("QuantumRunStream") == 1
        assert service.count("CreateQuantumJob") == 0
        assert service.executions == {JOBS[0].id: 1}


def test_folder_of_a_new_journal_is_on_disk_before_its_first_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, fsync = list[tuple[int, int]](), os.fsync

    def record(descriptor: int) -> None:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            synced.append((status.st_ino, (tmp_path / "deep" / "run" / "journal.jsonl").stat().st_size))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    Journal(tmp_path / "deep" / "run", {"kind": "qsim"}).close()
    folders = [(folder.stat().st_ino, 0) for folder in (tmp_path / "deep" / "run", tmp_path / "deep")]
    assert sorted(synced) == sorted(folders)
    synced.clear()
    Journal(tmp_path / "deep" / "run", {"kind": "qsim"}).close()
    assert not synced


def test_silence_of_a_job_ends_in_the_default_way(service: StandIn) -> None:
    service.inject(Fault("Job", "slow", times=inf, seconds=60.0))
    engine = Engine(connected_backend(service), timeout=0.2, poll_seconds=0.02)
    with pytest.raises(SilenceError, match=r"changed its state for 0\.2 s; they stay with the service: resume the run"):
        call_within(SLACK, lambda: engine.execute([PROGRAM], [10]))
