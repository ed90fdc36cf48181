"""Faults between the Google backend and the service: the right result or error in time, no shot lost or doubled."""

from __future__ import annotations

import logging
import threading
import time
from math import inf
from pathlib import Path

import pytest
from google_client import (
    CALL_TIMEOUT,
    COUNTS,
    JOBS,
    ONCE,
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
    swept_job,
    wait_for_job,
)
from stand_in import Fault, StandIn

from hattriq_cirq.circuits.errors import (
    AccessError,
    EngineError,
    JobCancelledError,
    JobFailedError,
    QuotaError,
    ServiceError,
    SilenceError,
)
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution.backend import Job, State
from hattriq_cirq.execution.backends.google import GoogleBackend, check_access, google
from hattriq_cirq.execution.backends.google_calls import RefusedError, connect
from hattriq_cirq.execution.engine import Engine


@pytest.mark.parametrize("method", UNARY)
@pytest.mark.parametrize("kind", ["quota", "unavailable", "internal", "hang", "lost", "no_answer"])
def test_temporary_fault_of_a_call_does_not_change_the_result(service: StandIn, method: str, kind: str) -> None:
    check_recovery(service, Fault(method, kind, times=2))


@pytest.mark.parametrize("kind", ["quota", "unavailable", "internal", "hang", "lost", "no_answer", "denied", "unauthenticated"])
@pytest.mark.parametrize("times", [1, inf], ids=["once", "for ever"])
def test_fault_of_the_stream_does_not_change_the_result(service: StandIn, kind: str, times: float) -> None:
    backend = check_recovery(service, Fault("QuantumRunStream", kind, times=times), streaming=True)
    before = service.count("CreateQuantumJob")
    assert run_jobs(backend, [plain_job(4)]) == [expected_counts(plain_job(4), 4)]
    if kind in ("quota", "denied", "unauthenticated"):  # these faults end the stream, which is not used again
        assert service.count("CreateQuantumJob") == before + 1


@pytest.mark.parametrize("kind", ["lost", "no_answer"])
@pytest.mark.parametrize("method", ["CreateQuantumProgram", "CreateQuantumJob"])
def test_lost_answer_is_recovered_by_id_before_resubmission(method: str, kind: str) -> None:
    with StandIn(unique_ids=False) as service:  # a second job of the same id would run twice
        check_recovery(service, Fault(method, kind))


@both_transports
@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("unauthenticated", AccessError, r"401.*gcloud auth application-default login"),
        ("denied", AccessError, r"403.*ask the owner of the project for access"),
        ("quota", QuotaError, r"429.*for 0.4 s; lower `jobs`"),
        ("unavailable", ServiceError, r"503.*kept failing for 0.4 s; resume the run later"),
        ("hang", SilenceError, r"nobody answered.*check the network"),
    ],
)
def test_permanent_fault_is_a_typed_error_in_time(
    service: StandIn, streaming: bool, kind: str, error: type[EngineError], message: str
) -> None:
    backend = impatient_backend(service, streaming=streaming)
    service.inject(Fault("*", kind, times=inf))
    check_failure(backend, error, message)
    assert not service.executions


@pytest.mark.parametrize("kind", ["denied", "unauthenticated"])
@pytest.mark.parametrize("method", UNARY)
def test_access_error_is_raised_without_repetition(service: StandIn, method: str, kind: str) -> None:
    backend = connected_backend(service, patience=60.0)
    service.inject(Fault(method, kind, times=inf))
    with pytest.raises(AccessError, match=kind):
        run_jobs(backend, JOBS, seconds=SLACK)
    assert service.count(method) == 1


def test_error_without_credentials_says_how_to_log_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    with pytest.raises(AccessError, match=r"/nowhere/key.json.*gcloud auth application-default login"):
        call_within(SLACK, lambda: check_access("p", PROCESSOR))
    backend = GoogleBackend(connect("p", streaming=True), PROCESSOR, device_config_name="c", snapshot="s", streaming=True)
    with pytest.raises(AccessError, match=r"gcloud auth application-default login"):
        call_within(SLACK, lambda: backend.submit(plain_job(1)))


@pytest.mark.parametrize("method", ["GetQuantumProcessor", "GetQuantumProcessorConfig"])
@pytest.mark.parametrize(
    ("kind", "error"),
    [("denied", AccessError), ("quota", QuotaError), ("unavailable", ServiceError), ("hang", SilenceError)],
)
def test_connection_fails_with_the_same_typed_errors(
    service: StandIn, method: str, kind: str, error: type[EngineError]
) -> None:
    service.inject(Fault(method, kind, times=inf))
    with pytest.raises(error):
        call_within(
            PATIENCE + CALL_TIMEOUT + SLACK, lambda: connected_backend(service, call_timeout=CALL_TIMEOUT, patience=PATIENCE)
        )
    with pytest.raises(error):
        call_within(
            PATIENCE + CALL_TIMEOUT + SLACK,
            lambda: check_access("p", PROCESSOR, service.engine(), call_timeout=CALL_TIMEOUT, patience=PATIENCE),
        )


@both_transports
def test_slow_job_is_polled_until_it_is_done(service: StandIn, streaming: bool) -> None:
    backend = patient_backend(service, streaming=streaming)
    service.inject(Fault("Job", "slow", times=3, seconds=3 * CALL_TIMEOUT))
    seen = set()

    def work() -> None:
        for job in JOBS:
            backend.submit(job)
        while (state := backend.poll(JOBS[0])).status != "done":
            seen.add(state.status)
            time.sleep(0.02)

    call_within(20, work)
    assert "running" in seen
    assert run_jobs(backend, JOBS) == COUNTS
    assert service.executions == ONCE


@both_transports
def test_job_failure_keeps_code_and_message(service: StandIn, streaming: bool) -> None:
    backend = patient_backend(service, streaming=streaming)
    service.inject(Fault("Job", "failure", times=inf))
    backend.submit(JOBS[0])
    assert call_within(5, lambda: wait_for_job(backend, JOBS[0])) == State("failed", "INVALID_PROGRAM", "Program too long.")
    with pytest.raises(JobFailedError, match=r"job 001-00000 failed: INVALID_PROGRAM: Program too long\.") as caught:
        call_within(5, lambda: Engine(backend).execute([ParameterizedCircuit(JOBS[0].circuits[0], (0,))], [10]))
    assert (caught.value.code, caught.value.message) == ("INVALID_PROGRAM", "Program too long.")


@both_transports
def test_circuit_off_the_device_is_a_job_failure(service: StandIn, streaming: bool) -> None:
    import cirq

    there, apart = cirq.GridQubit(6, 5), cirq.GridQubit(6, 7)
    circuit = cirq.FrozenCircuit(cirq.CZ(there, apart), cirq.measure(there, key="z"))
    backend, job = patient_backend(service, streaming=streaming), Job("run-1", (circuit,), ({},), 10, None)
    backend.submit(job)
    state = call_within(5, lambda: wait_for_job(backend, job))
    assert (state.status, state.code) == ("failed", "INVALID_PROGRAM")
    assert "not valid on device" in state.message or "pair" in state.message


@both_transports
def test_job_cancelled_elsewhere_is_reported_as_cancelled(service: StandIn, streaming: bool) -> None:
    backend = patient_backend(service, streaming=streaming)
    service.inject(Fault("Job", "cancelled", times=inf))
    backend.submit(JOBS[0])
    assert call_within(5, lambda: wait_for_job(backend, JOBS[0])) == State("cancelled")
    with pytest.raises(JobCancelledError, match=r"job 001-00000 was cancelled; resume the run"):
        call_within(5, lambda: Engine(backend).execute([ParameterizedCircuit(JOBS[0].circuits[0], (0,))], [10]))


@both_transports
def test_shuffled_results_are_sorted(service: StandIn, streaming: bool) -> None:
    backend = patient_backend(service, streaming=streaming)
    service.inject(Fault("Job", "shuffled", times=inf))
    assert run_jobs(backend, JOBS) == COUNTS


@both_transports
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("short", r"run-3 asked for 103 shots, 102 came back"),
        ("missing", r"run-3 asked for 2 runs, 1 came back"),
        ("other", r"run-3 measured \['6_5', '6_6', '6_7'\] as 'z', \['0_0', .* came back as \['z'\]"),
    ],
)
def test_results_that_do_not_match_the_job_are_rejected(service: StandIn, streaming: bool, kind: str, message: str) -> None:
    backend = patient_backend(service, streaming=streaming)
    service.inject(Fault("Job", kind))
    with pytest.raises(ServiceError, match=message):
        run_jobs(backend, JOBS[2:])


def test_results_at_other_points_are_rejected(service: StandIn) -> None:
    run_jobs(connected_backend(service), [swept_job(1, 0.0, 1.0)])
    backend, other = connected_backend(service), swept_job(1, 0.0, 0.9)
    with pytest.raises(ServiceError, match=r"run-1: no results for circuit 0 at {'angle': 0.9}"):
        backend.results(other)


@both_transports
def test_job_submitted_twice_runs_once(service: StandIn, streaming: bool) -> None:
    one, other = patient_backend(service, streaming=streaming), patient_backend(service, streaming=streaming)
    for backend in (one, one, other, one):
        for job in JOBS:
            backend.submit(job)
    assert run_jobs(one, JOBS) == run_jobs(other, JOBS) == COUNTS
    assert service.executions == ONCE


def test_program_without_job_is_completed(service: StandIn) -> None:
    backend = impatient_backend(service)
    service.inject(Fault("CreateQuantumJob", "unavailable", times=inf))
    check_failure(backend, ServiceError, "503")  # equivalent to a kill between the two calls
    service.inject()
    assert run_jobs(patient_backend(service), JOBS) == COUNTS
    assert service.executions == ONCE


@pytest.mark.parametrize(("times", "ends_well"), [(1, True), (inf, False)])
def test_conflict_other_than_a_duplicate_id_is_an_error(service: StandIn, times: float, ends_well: bool) -> None:
    backend = patient_backend(service) if ends_well else impatient_backend(service)
    service.inject(Fault("CreateQuantumJob", "aborted", times=times))
    if ends_well:
        assert run_jobs(backend, JOBS) == COUNTS
        assert service.executions == ONCE
    else:
        check_failure(backend, ServiceError, "503: injected: aborted")
        assert not service.executions


@both_transports
def test_service_that_is_down_is_an_error_until_it_is_back(streaming: bool) -> None:
    with StandIn() as service:
        backend = impatient_backend(service, streaming=streaming)
        service.stop()
        check_failure(backend, ServiceError, "failed to connect")
        service.start()
        assert run_jobs(patient_backend(service, streaming=streaming), JOBS) == COUNTS
        assert service.executions == ONCE


@both_transports
def test_service_restart_loses_no_job(streaming: bool) -> None:
    with StandIn(job_seconds=0.2) as service:
        backend = patient_backend(service, streaming=streaming)
        for job in JOBS:
            backend.submit(job)
        assert backend.poll(JOBS[0]).status in ("queued", "running")
        time.sleep(0.1)  # time for the service to read the stream
        service.stop()
        threading.Timer(0.5, service.start).start()
        assert run_jobs(backend, JOBS) == COUNTS
        assert service.executions == ONCE


def test_refused_call_is_not_repeated(service: StandIn) -> None:
    backend = connected_backend(service)
    with pytest.raises(RefusedError, match=r"fetching the results of job run-1: the service answered 404: .* does not exist"):
        backend.results(plain_job(1))
    assert service.count("GetQuantumResult") == 1


def test_every_repeated_call_is_logged(service: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    backend = patient_backend(service)
    service.inject(Fault("CreateQuantumJob", "quota", times=2), Fault("GetQuantumResult", "hang"))
    with caplog.at_level(logging.INFO, logger="hattriq_cirq.execution"):
        run_jobs(backend, JOBS[:1])
    first, second, third = caplog.messages
    assert first.startswith("submitting job run-1: the service answered 429: injected: quota; repeating in 0.1 s, for ")
    assert second.startswith("submitting job run-1: the service answered 429: injected: quota; repeating in 0.2 s, for ")
    assert third.startswith("fetching the results of job run-1: nobody answered; repeating in 0.1 s, for ")


def test_engine_timeout_for_a_job_that_never_ends(service: StandIn) -> None:
    service.inject(Fault("Job", "slow", times=inf, seconds=60.0))
    engine = Engine(connected_backend(service), timeout=0.3, poll_seconds=0.05)
    with pytest.raises(SilenceError, match=rf"no job of google:p/{PROCESSOR} changed its state for 0.3 s"):
        call_within(SLACK, lambda: engine.execute([ParameterizedCircuit(JOBS[0].circuits[0], (0,))], [10]))


def test_resumed_google_run_keeps_its_snapshot(service: StandIn, tmp_path: Path) -> None:
    def go() -> list[int]:
        run_jobs = google("p", PROCESSOR, journal=tmp_path, poll_seconds=0.01, engine=service.engine())
        try:
            found = run_jobs.execute([ParameterizedCircuit(basis_circuit(i), (i,)) for i in range(4)], [10, 20, 30, 40])
            return [int(d.counts.argmax()) for d in found]
        finally:
            assert run_jobs.journal is not None
            run_jobs.journal.close()

    service.inject(Fault("GetQuantumJob", "denied", times=inf))
    with pytest.raises(AccessError):
        call_within(SLACK, go)
    assert len(service.executions) == 4  # submitted, with recorded ids
    service.inject()
    service.quantum.snapshot = "snapshot-2"
    assert call_within(20, go) == call_within(20, go) == [0, 1, 2, 3]
    assert list(service.executions.values()) == [1] * 4
    selectors = [r.job.scheduling_config.processor_selector.device_config_selector for r in service.quantum.jobs.values()]
    assert {selector.snapshot_id for selector in selectors} == {"snapshot-1"}


def test_google_without_access_fails_before_submission(service: StandIn, tmp_path: Path) -> None:
    service.inject(Fault("*", "denied", times=inf))
    with pytest.raises(AccessError, match="403"):
        google("p", PROCESSOR, journal=tmp_path, engine=service.engine())
