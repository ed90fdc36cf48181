"""Jobs for the backend of Google's processors, run against the stand-in service within time limits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

import cirq
import pytest
import sympy
from stand_in import Fault, StandIn

from hattriq_cirq.circuits.errors import EngineError
from hattriq_cirq.execution.backend import Job, State
from hattriq_cirq.execution.backends.google import GoogleBackend
from hattriq_cirq.execution.backends.google_calls import RetryingCaller

T = TypeVar("T")
PROCESSOR = "willow_pink"
QUBITS = tuple(cirq.GridQubit(6, column) for column in (5, 6, 7))
ANGLE = sympy.Symbol("angle")
both_transports = pytest.mark.parametrize("streaming", [False, True], ids=["polling", "streaming"])


def basis_circuit(outcome: int, order: Sequence[cirq.Qid] = QUBITS) -> cirq.FrozenCircuit:
    """Return a circuit whose only outcome is the given one, measured in an order of the qubits."""
    bits = dict(zip(order, format(outcome, "03b"), strict=True))
    moments = [cirq.Moment(cirq.X(q) ** int(bits[q]) for q in QUBITS), cirq.Moment(cirq.measure(*order, key="z"))]
    return cirq.FrozenCircuit(*moments)


SWEPT_CIRCUIT = cirq.FrozenCircuit(cirq.Moment(cirq.X(QUBITS[0]) ** ANGLE), cirq.Moment(cirq.measure(*QUBITS, key="z")))


def plain_job(number: int, *outcomes: int) -> Job:
    """Return a job of circuits with the given outcomes; jobs differ in their shots."""
    return Job(f"run-{number}", tuple(basis_circuit(o) for o in outcomes or (number % 8,)), ({},), 100 + number, None)


def swept_job(number: int, *angles: float) -> Job:
    """Return a job of one circuit at several angles."""
    return Job(f"run-{number}", (SWEPT_CIRCUIT,), tuple({"angle": a} for a in angles), 100 + number, None)


def call_within(seconds: float, action: Callable[[], T]) -> T:
    """Return or raise the result of an action, which must end in time."""
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(action())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return outcome.result(timeout=seconds)


def connected_backend(
    service: StandIn, *, streaming: bool = False, patience: float = 20.0, call_timeout: float = 5.0
) -> GoogleBackend:
    """Return a backend that has requested its configuration."""
    caller = RetryingCaller(call_timeout, patience)
    backend = GoogleBackend(service.engine(streaming=streaming), PROCESSOR, caller=caller, streaming=streaming)
    backend.describe()
    return backend


def wait_for_job(backend: GoogleBackend, job: Job) -> State:
    """Poll a job until it has ended and return its state."""
    while (state := backend.poll(job)).status in ("queued", "running"):
        time.sleep(0.01)
    return state


def run_jobs(backend: GoogleBackend, jobs: Sequence[Job], seconds: float = 20.0) -> list[list[list[int]]]:
    """Submit jobs and return the counts of every run."""

    def work() -> list[list[list[int]]]:
        for job in jobs:
            backend.submit(job)
        assert [wait_for_job(backend, job).status for job in jobs] == ["done"] * len(jobs)
        return [[d.counts.tolist() for d in backend.results(job)] for job in jobs]

    return call_within(seconds, work)


def expected_counts(job: Job, *outcomes: int) -> list[list[int]]:
    """Return the counts of a job whose runs have one outcome each."""
    assert job.shots is not None
    return [[job.shots if i == outcome else 0 for i in range(8)] for outcome in outcomes]


CALL_TIMEOUT, PATIENCE, SLACK = 0.2, 0.4, 3.0
"""Seconds allowed for one call, for its repetitions, and for delays of a busy machine."""
UNARY = ("CreateQuantumProgram", "CreateQuantumJob", "GetQuantumJob", "GetQuantumResult")
JOBS = [plain_job(1), plain_job(2, 3, 4), swept_job(3, 0.0, 1.0)]
COUNTS = [expected_counts(job, *outcomes) for job, outcomes in zip(JOBS, [(1,), (3, 4), (0, 4)], strict=True)]
ONCE = {job.id: 1 for job in JOBS}


def impatient_backend(service: StandIn, *, streaming: bool = False) -> GoogleBackend:
    """Return a connected backend with short time limits; connecting itself may take longer on a busy machine."""
    backend = connected_backend(service, streaming=streaming)
    backend._call = RetryingCaller(call_timeout=CALL_TIMEOUT, patience=PATIENCE)
    return backend


def patient_backend(service: StandIn, *, streaming: bool = False) -> GoogleBackend:
    """Return a backend with a short timeout per call that repeats calls for long."""
    return connected_backend(service, streaming=streaming, call_timeout=CALL_TIMEOUT)


def check_recovery(service: StandIn, fault: Fault, *, streaming: bool = False) -> GoogleBackend:
    """Check that every job runs once and has its counts in spite of a fault; return the backend."""
    backend = patient_backend(service, streaming=streaming)
    service.inject(fault)
    assert run_jobs(backend, JOBS) == COUNTS
    assert service.executions == ONCE
    return backend


def check_failure(backend: GoogleBackend, error: type[EngineError], message: str, *, calls: int = 1) -> None:
    """Check that a run ends in the given error within the time limits of a number of calls."""
    with pytest.raises(error, match=message) as caught:
        run_jobs(backend, JOBS, seconds=calls * (PATIENCE + CALL_TIMEOUT) + SLACK)
    assert type(caught.value) is error
