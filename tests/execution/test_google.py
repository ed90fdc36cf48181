"""The backend for Google's processors, by the real client against a stand-in for the service: what it sends and brings back."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import cirq
import cirq_google as cg
import numpy as np
import pytest
import sympy
from stand_in import Fault, StandIn, client, disconnect
from stand_in_service import CONFIG, RUN, SNAPSHOT

from hattriq_cirq.circuits.errors import AccessError, CircuitRefusedError, ServiceError
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution.backend import Job, State
from hattriq_cirq.execution.backends.google import GoogleBackend, check_access, google
from hattriq_cirq.execution.backends.google_calls import RetryingCaller
from hattriq_cirq.execution.backends.google_jobs import MAX_BYTES, SerializedJob
from hattriq_cirq.execution.engine import Engine

T = TypeVar("T")
CHIP = "willow_pink"
LINE = tuple(cirq.GridQubit(6, column) for column in (5, 6, 7))
ANGLE = sympy.Symbol("angle")
both = pytest.mark.parametrize("streaming", [False, True], ids=["polling", "streaming"])


def flips(outcome: int, order: Sequence[cirq.Qid] = LINE) -> cirq.FrozenCircuit:
    """A circuit whose only outcome is this one, read in an order of the line's qubits."""
    bits = dict(zip(order, format(outcome, "03b"), strict=True))
    moments = [cirq.Moment(cirq.X(q) ** int(bits[q]) for q in LINE), cirq.Moment(cirq.measure(*order, key="z"))]
    return cirq.FrozenCircuit(*moments)


SWEPT = cirq.FrozenCircuit(cirq.Moment(cirq.X(LINE[0]) ** ANGLE), cirq.Moment(cirq.measure(*LINE, key="z")))


def plain(number: int, *outcomes: int) -> Job:
    """A job of circuits with these outcomes; its shots tell it from others."""
    return Job(f"run-{number}", tuple(flips(o) for o in outcomes or (number % 8,)), ({},), 100 + number, None)


def swept(number: int, *angles: float) -> Job:
    return Job(f"run-{number}", (SWEPT,), tuple({"angle": a} for a in angles), 100 + number, None)


def within(seconds: float, action: Callable[[], T]) -> T:
    """What an action returns or raises, if it does so in time."""
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(action())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return outcome.result(timeout=seconds)


def connected(service: StandIn, *, streaming: bool = False, patience: float = 20.0, call_timeout: float = 5.0) -> GoogleBackend:
    """A backend that knows its configuration already."""
    caller = RetryingCaller(call_timeout, patience)
    backend = GoogleBackend(service.engine(streaming=streaming), CHIP, caller=caller, streaming=streaming)
    backend.describe()
    return backend


def waited(backend: GoogleBackend, job: Job) -> State:
    while (state := backend.poll(job)).status in ("queued", "running"):
        time.sleep(0.01)
    return state


def run(backend: GoogleBackend, jobs: Sequence[Job], seconds: float = 20.0) -> list[list[list[int]]]:
    """Submits jobs and brings back the counts of every run."""

    def work() -> list[list[list[int]]]:
        for job in jobs:
            backend.submit(job)
        assert [waited(backend, job).status for job in jobs] == ["done"] * len(jobs)
        return [[d.counts.tolist() for d in backend.results(job)] for job in jobs]

    return within(seconds, work)


def expected(job: Job, *outcomes: int) -> list[list[int]]:
    assert job.shots is not None
    return [[job.shots if i == outcome else 0 for i in range(8)] for outcome in outcomes]


@pytest.fixture
def service() -> Iterator[StandIn]:
    with StandIn() as running:
        yield running


@both
def test_jobs_of_every_shape_bring_back_their_own_counts(service: StandIn, streaming: bool) -> None:
    jobs = [plain(1), plain(2), plain(3, 5, 2, 7), swept(4, 1.0, 0.0, 1.0), plain(6)]
    found = run(connected(service, streaming=streaming), jobs)
    wanted = [(1,), (2,), (5, 2, 7), (4, 0, 4), (6,)]
    assert found == [expected(job, *outcomes) for job, outcomes in zip(jobs, wanted, strict=True)]
    assert service.executions == {job.id: 1 for job in jobs}
    assert (service.count("QuantumRunStream") > 0) == streaming
    assert (service.count("CreateQuantumJob") == 0) == streaming


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_bits_are_in_the_measured_order(service: StandIn, order: tuple[int, ...]) -> None:
    circuit = flips(0b110, [LINE[i] for i in order])
    job = Job("run-1", (circuit,), ({},), 9, None)
    assert run(connected(service), [job]) == [expected(job, 0b110)]


def test_counts_follow_the_probabilities(service: StandIn) -> None:
    job = Job("run-1", (SWEPT,), ({"angle": 0.3}, {"angle": 0.5}), 20_000, None)
    (found,) = run(connected(service), [job])
    for counts, angle in zip(found, (0.3, 0.5), strict=True):
        p = np.sin(np.pi * angle / 2) ** 2
        assert abs(counts[4] / 20_000 - p) < 5 * np.sqrt(p * (1 - p) / 20_000)


def test_results_are_the_same_when_asked_again_and_fetched_once(service: StandIn) -> None:
    backend, job = connected(service), swept(1, 0.5)
    run(backend, [job])
    first, again = backend.results(job), backend.results(job)
    assert [d.counts.tolist() for d in first] == [d.counts.tolist() for d in again]
    assert service.count("GetQuantumResult") == 1


@both
def test_an_engine_runs_programs_of_any_shots(service: StandIn, streaming: bool) -> None:
    programs = [ParameterizedCircuit(flips(i), (i,)) for i in range(5)]
    programs.append(ParameterizedCircuit(SWEPT, (5, 6), ({"angle": 0.0}, {"angle": 1.0})))
    shots = [10, 20, 10, 20, 10, 30, 30]
    found = within(20, lambda: Engine(connected(service, streaming=streaming)).execute(programs, shots))
    assert [int(np.argmax(d.counts)) for d in found] == [0, 1, 2, 3, 4, 0, 4]
    assert [d.shots for d in found] == shots
    assert len(service.executions) == 3  # 10 shots, 20 shots, the sweep
    assert set(service.executions.values()) == {1}


@both
def test_a_second_backend_finds_jobs_by_their_ids(service: StandIn, streaming: bool) -> None:
    jobs = [plain(1), plain(2, 3, 4), swept(3, 0.0, 1.0)]
    first = connected(service, streaming=streaming)
    for job in jobs:
        first.submit(job)
    within(5, lambda: [waited(first, job) for job in jobs])
    second = connected(service)
    assert second.poll(plain(9)) == State("unknown")
    assert [waited(second, job).status for job in jobs] == ["done"] * 3
    assert [[d.counts.tolist() for d in second.results(job)] for job in jobs] == run(first, jobs)
    assert run(second, jobs) == run(first, jobs)  # submitted again, not run again
    assert service.executions == {job.id: 1 for job in jobs}


@both
def test_an_id_that_other_circuits_have_taken_lends_no_counts(service: StandIn, streaming: bool) -> None:
    run(connected(service), [plain(1)])
    other = Job("run-1", (flips(7),), ({},), 101, None)
    backend = connected(service, streaming=streaming, call_timeout=0.3)
    with pytest.raises(ServiceError, match=r"run-1 exists in project p with other circuits or shots; start a new run"):
        run(backend, [other])
    assert service.executions == {"run-1": 1}


@both
@pytest.mark.parametrize("snapshot", [None, "snapshot-of-june"])
def test_every_job_names_the_pinned_snapshot(service: StandIn, streaming: bool, snapshot: str | None) -> None:
    engine = service.engine(streaming=streaming)
    backend = GoogleBackend(engine, CHIP, snapshot=snapshot, streaming=streaming)
    run(backend, [plain(1), plain(2, 3, 4)])
    for record in service.quantum.jobs.values():
        selector = record.job.scheduling_config.processor_selector
        assert selector.processor == f"projects/p/processors/{CHIP}"
        assert selector.device_config_selector.snapshot_id == (snapshot or SNAPSHOT)
        assert selector.device_config_selector.config_alias == CONFIG
    assert backend.describe()["snapshot"] == (snapshot or SNAPSHOT)


def test_the_configuration_is_asked_for_once_and_only_if_it_was_not_given(service: StandIn) -> None:
    given = GoogleBackend(service.engine(), CHIP, device_config_name=CONFIG, snapshot=SNAPSHOT)
    assert given.describe() == connected(service).describe()
    assert service.count("GetQuantumProcessor") == service.count("GetQuantumProcessorConfig") == 1
    by_run = GoogleBackend(service.engine(), CHIP, run_name=RUN)
    assert by_run.describe() == given.describe() == by_run.describe()
    assert service.count("GetQuantumProcessorConfig") == 2


@both
def test_a_description_is_json(service: StandIn, streaming: bool) -> None:
    found = connected(service, streaming=streaming).describe()
    assert json.loads(json.dumps(found)) == found
    assert found["kind"] == "google"
    assert (found["project"], found["processor"], found["streaming"]) == ("p", CHIP, streaming)
    assert (found["device_config_name"], found["snapshot"]) == (CONFIG, SNAPSHOT)


def test_the_processor_is_the_pinned_device_and_its_calibration(service: StandIn) -> None:
    backend = connected(service)
    processor, device = backend.processor, cg.engine.create_device_from_processor_id(CHIP)
    assert device.metadata is not None
    assert (processor.id, processor.snapshot) == (CHIP, SNAPSHOT)
    assert set(processor.graph.nodes) == set(device.metadata.qubit_set)
    assert all(0 < e0 < 0.1 and 0 < e1 < 0.1 for e0, e1 in processor.readout_errors.values())
    assert set(processor.two_qubit_errors) == {frozenset(edge) for edge in processor.graph.edges}


def test_cancel_stops_a_job_and_nothing_else() -> None:
    with StandIn(job_seconds=0.5) as service:
        backend = connected(service)
        for job in (plain(1), plain(2)):
            backend.submit(job)
        assert backend.poll(plain(1)).status == "running"
        backend.cancel("run-1")
        backend.cancel("run-9")
        assert backend.poll(plain(1)) == State("cancelled")
        assert within(5, lambda: waited(backend, plain(2))) == State("done")
        backend.cancel("run-2")
        assert backend.poll(plain(2)) == State("done")


SHORT = cirq.FrozenCircuit(cirq.Moment(cirq.measure(LINE[0], key="z")))
LONG = cirq.FrozenCircuit([cirq.Moment(cirq.X(LINE[0]))] * 10_000 + [cirq.Moment(cirq.measure(LINE[0], key="z"))])
UNMEASURED = cirq.FrozenCircuit(cirq.X(LINE[0]))
FOREIGN = cirq.FrozenCircuit(cirq.CNOT(*LINE[:2]), cirq.measure(LINE[0], key="z"))


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (Job("run-1", (SHORT,), ({},), 5_000_001, None), r"job.shots=5000001 .* exceed 5,000,000 per job"),
        (Job("run-1", (SHORT, SHORT), ({},), 2_500_001, None), r"job.runs=2 circuits and points exceed 5,000,000 per job"),
        (Job("run-1", (SHORT,), ({},), None, None), r"job.shots=None: a processor has no exact probabilities"),
        (Job("run-1", (LONG,), ({},), 1, None), r"a circuit has 10,001 moments, the service accepts 10,000"),
        (Job("run-1", (UNMEASURED,), ({},), 1, None), r"must end in one measurement; it has 0"),
        (Job("run-1", (FOREIGN,), ({},), 1, None), r"cannot be sent: Cannot serialize op .*CNOT.*compile its circuits"),
    ],
)
@both
def test_what_the_service_would_refuse_is_not_sent(service: StandIn, streaming: bool, job: Job, message: str) -> None:
    backend = connected(service, streaming=streaming)
    before = len(service.calls)
    with pytest.raises(CircuitRefusedError, match=message):
        backend.submit(job)
    assert len(service.calls) == before


def test_bytes_are_counted_as_they_would_be_sent(service: StandIn) -> None:
    backend, job = connected(service), swept(1, *np.linspace(0, 1, 50))
    size = backend.size(job)
    assert backend.limits.bytes == MAX_BYTES == 10_000_000
    backend.limits = replace(backend.limits, bytes=size - 1)
    with pytest.raises(CircuitRefusedError, match=f"takes {size:,} bytes, the service accepts {size - 1:,}"):
        backend.submit(job)
    backend.limits = replace(backend.limits, bytes=size)
    run(backend, [job])
    (sent,) = (request.quantum_job for method, request in service.calls if method == "CreateQuantumJob")
    (program,) = (request.quantum_program for method, request in service.calls if method == "CreateQuantumProgram")
    assert sent.run_context.ByteSize() + program.code.ByteSize() == size


def test_a_fingerprint_knows_equal_jobs_and_no_others() -> None:
    turned = [cirq.X(LINE[0]), cirq.X(LINE[1])]
    one, same = (
        Job("run-1", (cirq.FrozenCircuit(cirq.Moment(ops), cirq.measure(*LINE, key="z")),), ({},), 10, None)
        for ops in (turned, turned[::-1])
    )
    assert SerializedJob.from_job(one).labels == SerializedJob.from_job(same).labels
    others = [plain(1), plain(2), plain(1, 1, 2), swept(1, 0.5), swept(1, 0.6), Job("a", one.circuits, ({},), 11, None), one]
    assert len({json.dumps(SerializedJob.from_job(job).labels) for job in others}) == len(others)


def test_doctor_sees_the_processor_by_two_small_calls(service: StandIn) -> None:
    assert check_access("p", CHIP, service.engine()) == {
        "project": "p",
        "processor": CHIP,
        "health": "OK",
        "device_config_name": CONFIG,
        "snapshot": SNAPSHOT,
        "calibration_time": "2024-08-16T08:11:17+00:00",
    }
    assert len(service.calls) == 2


def test_names_that_do_not_exist_are_said_to_be_so(service: StandIn) -> None:
    with pytest.raises(AccessError, match=r"'willow_blue' of project 'p': .*404.* check both names"):
        check_access("p", "willow_blue", service.engine())
    wrongs: list[dict[str, Any]] = [{"device_config_name": "x"}, {"run_name": "x"}, {"snapshot": "x"}]
    for wrong in wrongs:
        with pytest.raises(AccessError, match=r"there is none; leave out device_config_name, snapshot and run_name"):
            _ = GoogleBackend(service.engine(), CHIP, **wrong).configuration


def test_the_factory_hands_its_settings_on(service: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}
    monkeypatch.setattr(
        "hattriq_cirq.execution.backends.google.Engine", lambda backend, **settings: made.update(settings, backend=backend)
    )
    google("p", CHIP, journal="folder", jobs=3, circuits_per_job=7, timeout=9.0, qubits=LINE, engine=service.engine())
    backend = made.pop("backend")
    assert made == {"journal": "folder", "qubits": LINE, "poll_seconds": 1.0, "timeout": 9.0, "progress": False}
    assert (backend.limits.jobs, backend.limits.circuits, backend.limits.shots) == (3, 7, 5_000_000)
    assert (backend.name, backend.seed) == (f"google:p/{CHIP}", None)


@pytest.mark.parametrize(("call_timeout", "patience"), [(0.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (float("nan"), 1.0)])
def test_times_must_make_sense(call_timeout: float, patience: float) -> None:
    with pytest.raises(ValueError, match=r"self\.(call_timeout|patience)="):
        RetryingCaller(call_timeout, patience)


def test_the_service_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.helpers.stand_in", "--log", str(tmp_path / "log")]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        engine = client(f"127.0.0.1:{int(process.stdout.readline())}")
        try:
            assert run(GoogleBackend(engine, CHIP), [plain(1)]) == [expected(plain(1), 1)]
        finally:
            disconnect(engine.context.client)
            process.terminate()
    assert (tmp_path / "log").read_text() == "run-1\n"


def test_a_quiet_run_logs_nothing(service: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="hattriq_cirq.execution"):
        run(connected(service), [plain(1)])
    assert caplog.messages == []
    service.inject(Fault("GetQuantumJob", "unavailable"))
    with caplog.at_level(logging.INFO, logger="hattriq_cirq.execution"):
        run(connected(service), [plain(2)])
    assert len(caplog.messages) == 1
