"""Google backend: jobs, results and settings, with the real client against a stand-in for the service."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cirq
import cirq_google as cg
import numpy as np
import pytest
from google_client import (
    PROCESSOR,
    QUBITS,
    SWEPT_CIRCUIT,
    basis_circuit,
    both_transports,
    call_within,
    connected_backend,
    expected_counts,
    plain_job,
    run_jobs,
    swept_job,
    wait_for_job,
)
from stand_in import Fault, StandIn, client, disconnect
from stand_in_service import CONFIG, RUN, SNAPSHOT

from hattriq_cirq.circuits.errors import AccessError, CircuitRefusedError, ServiceError
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution.backend import Job, State
from hattriq_cirq.execution.backends.google import GoogleBackend, check_access, google
from hattriq_cirq.execution.backends.google_calls import RetryingCaller
from hattriq_cirq.execution.backends.google_jobs import MAX_BYTES, SerializedJob
from hattriq_cirq.execution.engine import Engine


@both_transports
def test_google_job_with_one_or_several_circuits_or_points_returns_its_own_counts(service: StandIn, streaming: bool) -> None:
    jobs = [plain_job(1), plain_job(2), plain_job(3, 5, 2, 7), swept_job(4, 1.0, 0.0, 1.0), plain_job(6)]
    found = run_jobs(connected_backend(service, streaming=streaming), jobs)
    wanted = [(1,), (2,), (5, 2, 7), (4, 0, 4), (6,)]
    assert found == [expected_counts(job, *outcomes) for job, outcomes in zip(jobs, wanted, strict=True)]
    assert service.executions == {job.id: 1 for job in jobs}
    assert (service.count("QuantumRunStream") > 0) == streaming
    assert (service.count("CreateQuantumJob") == 0) == streaming


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_bit_order_is_the_measured_order(service: StandIn, order: tuple[int, ...]) -> None:
    circuit = basis_circuit(0b110, [QUBITS[i] for i in order])
    job = Job("run-1", (circuit,), ({},), 9, None)
    assert run_jobs(connected_backend(service), [job]) == [expected_counts(job, 0b110)]


def test_counts_follow_the_probabilities(service: StandIn) -> None:
    job = Job("run-1", (SWEPT_CIRCUIT,), ({"angle": 0.3}, {"angle": 0.5}), 20_000, None)
    (found,) = run_jobs(connected_backend(service), [job])
    for counts, angle in zip(found, (0.3, 0.5), strict=True):
        p = np.sin(np.pi * angle / 2) ** 2
        assert abs(counts[4] / 20_000 - p) < 5 * np.sqrt(p * (1 - p) / 20_000)


def test_google_results_are_fetched_once_and_repeat(service: StandIn) -> None:
    backend, job = connected_backend(service), swept_job(1, 0.5)
    run_jobs(backend, [job])
    first, again = backend.results(job), backend.results(job)
    assert [d.counts.tolist() for d in first] == [d.counts.tolist() for d in again]
    assert service.count("GetQuantumResult") == 1


@both_transports
def test_engine_groups_programs_with_different_shots_into_jobs(service: StandIn, streaming: bool) -> None:
    programs = [ParameterizedCircuit(basis_circuit(i), (i,)) for i in range(5)]
    programs.append(ParameterizedCircuit(SWEPT_CIRCUIT, (5, 6), ({"angle": 0.0}, {"angle": 1.0})))
    shots = [10, 20, 10, 20, 10, 30, 30]
    found = call_within(20, lambda: Engine(connected_backend(service, streaming=streaming)).execute(programs, shots))
    assert [int(np.argmax(d.counts)) for d in found] == [0, 1, 2, 3, 4, 0, 4]
    assert [d.shots for d in found] == shots
    assert len(service.executions) == 3  # 10 shots, 20 shots, the sweep
    assert set(service.executions.values()) == {1}


@both_transports
def test_second_google_backend_identifies_jobs_by_their_ids(service: StandIn, streaming: bool) -> None:
    jobs = [plain_job(1), plain_job(2, 3, 4), swept_job(3, 0.0, 1.0)]
    first = connected_backend(service, streaming=streaming)
    for job in jobs:
        first.submit(job)
    call_within(5, lambda: [wait_for_job(first, job) for job in jobs])
    second = connected_backend(service)
    assert second.poll(plain_job(9)) == State("unknown")
    assert [wait_for_job(second, job).status for job in jobs] == ["done"] * 3
    assert [[d.counts.tolist() for d in second.results(job)] for job in jobs] == run_jobs(first, jobs)
    assert run_jobs(second, jobs) == run_jobs(first, jobs)  # submitted again, not run again
    assert service.executions == {job.id: 1 for job in jobs}


@both_transports
def test_job_id_of_other_circuits_is_rejected(service: StandIn, streaming: bool) -> None:
    run_jobs(connected_backend(service), [plain_job(1)])
    other = Job("run-1", (basis_circuit(7),), ({},), 101, None)
    backend = connected_backend(service, streaming=streaming, call_timeout=0.3)
    with pytest.raises(ServiceError, match=r"run-1 exists in project p with other circuits or shots; start a new run"):
        run_jobs(backend, [other])
    assert service.executions == {"run-1": 1}


@both_transports
@pytest.mark.parametrize("snapshot", [None, "snapshot-of-june"])
def test_every_google_job_names_the_pinned_snapshot(service: StandIn, streaming: bool, snapshot: str | None) -> None:
    engine = service.engine(streaming=streaming)
    backend = GoogleBackend(engine, PROCESSOR, snapshot=snapshot, streaming=streaming)
    run_jobs(backend, [plain_job(1), plain_job(2, 3, 4)])
    for record in service.quantum.jobs.values():
        selector = record.job.scheduling_config.processor_selector
        assert selector.processor == f"projects/p/processors/{PROCESSOR}"
        assert selector.device_config_selector.snapshot_id == (snapshot or SNAPSHOT)
        assert selector.device_config_selector.config_alias == CONFIG
    assert backend.describe()["snapshot"] == (snapshot or SNAPSHOT)


def test_device_configuration_is_requested_once_and_only_if_not_given(service: StandIn) -> None:
    given = GoogleBackend(service.engine(), PROCESSOR, device_config_name=CONFIG, snapshot=SNAPSHOT)
    assert given.describe() == connected_backend(service).describe()
    assert service.count("GetQuantumProcessor") == service.count("GetQuantumProcessorConfig") == 1
    by_run = GoogleBackend(service.engine(), PROCESSOR, run_name=RUN)
    assert by_run.describe() == given.describe() == by_run.describe()
    assert service.count("GetQuantumProcessorConfig") == 2


@both_transports
def test_description_is_json(service: StandIn, streaming: bool) -> None:
    found = connected_backend(service, streaming=streaming).describe()
    assert json.loads(json.dumps(found)) == found
    assert found["kind"] == "google"
    assert (found["project"], found["processor"], found["streaming"]) == ("p", PROCESSOR, streaming)
    assert (found["device_config_name"], found["snapshot"]) == (CONFIG, SNAPSHOT)


def test_google_processor_is_the_pinned_device_and_calibration(service: StandIn) -> None:
    backend = connected_backend(service)
    processor, device = backend.processor, cg.engine.create_device_from_processor_id(PROCESSOR)
    assert device.metadata is not None
    assert (processor.id, processor.snapshot) == (PROCESSOR, SNAPSHOT)
    assert set(processor.graph.nodes) == set(device.metadata.qubit_set)
    assert all(0 < e0 < 0.1 and 0 < e1 < 0.1 for e0, e1 in processor.readout_errors.values())
    assert set(processor.two_qubit_errors) == {frozenset(edge) for edge in processor.graph.edges}


def test_cancel_stops_only_the_given_job() -> None:
    with StandIn(job_seconds=0.5) as service:
        backend = connected_backend(service)
        for job in (plain_job(1), plain_job(2)):
            backend.submit(job)
        assert backend.poll(plain_job(1)).status == "running"
        backend.cancel("run-1")
        backend.cancel("run-9")
        assert backend.poll(plain_job(1)) == State("cancelled")
        assert call_within(5, lambda: wait_for_job(backend, plain_job(2))) == State("done")
        backend.cancel("run-2")
        assert backend.poll(plain_job(2)) == State("done")


SHORT = cirq.FrozenCircuit(cirq.Moment(cirq.measure(QUBITS[0], key="z")))
LONG = cirq.FrozenCircuit([cirq.Moment(cirq.X(QUBITS[0]))] * 10_000 + [cirq.Moment(cirq.measure(QUBITS[0], key="z"))])
UNMEASURED = cirq.FrozenCircuit(cirq.X(QUBITS[0]))
FOREIGN = cirq.FrozenCircuit(cirq.CNOT(*QUBITS[:2]), cirq.measure(QUBITS[0], key="z"))


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
@both_transports
def test_job_that_the_service_would_refuse_is_not_sent(service: StandIn, streaming: bool, job: Job, message: str) -> None:
    backend = connected_backend(service, streaming=streaming)
    before = len(service.calls)
    with pytest.raises(CircuitRefusedError, match=message):
        backend.submit(job)
    assert len(service.calls) == before


def test_job_size_is_the_number_of_bytes_sent(service: StandIn) -> None:
    backend, job = connected_backend(service), swept_job(1, *np.linspace(0, 1, 50))
    size = backend.size(job)
    assert backend.limits.bytes == MAX_BYTES == 10_000_000
    backend.limits = replace(backend.limits, bytes=size - 1)
    with pytest.raises(CircuitRefusedError, match=f"takes {size:,} bytes, the service accepts {size - 1:,}"):
        backend.submit(job)
    backend.limits = replace(backend.limits, bytes=size)
    run_jobs(backend, [job])
    (sent,) = (request.quantum_job for method, request in service.calls if method == "CreateQuantumJob")
    (program,) = (request.quantum_program for method, request in service.calls if method == "CreateQuantumProgram")
    assert sent.run_context.ByteSize() + program.code.ByteSize() == size


def test_fingerprint_is_equal_for_equal_jobs_only() -> None:
    turned = [cirq.X(QUBITS[0]), cirq.X(QUBITS[1])]
    one, same = (
        Job("run-1", (cirq.FrozenCircuit(cirq.Moment(ops), cirq.measure(*QUBITS, key="z")),), ({},), 10, None)
        for ops in (turned, turned[::-1])
    )
    assert SerializedJob.from_job(one).labels == SerializedJob.from_job(same).labels
    others = [
        plain_job(1),
        plain_job(2),
        plain_job(1, 1, 2),
        swept_job(1, 0.5),
        swept_job(1, 0.6),
        Job("a", one.circuits, ({},), 11, None),
        one,
    ]
    assert len({json.dumps(SerializedJob.from_job(job).labels) for job in others}) == len(others)


def test_check_access_needs_two_calls(service: StandIn) -> None:
    assert check_access("p", PROCESSOR, service.engine()) == {
        "project": "p",
        "processor": PROCESSOR,
        "health": "OK",
        "device_config_name": CONFIG,
        "snapshot": SNAPSHOT,
        "calibration_time": "2024-08-16T08:11:17+00:00",
    }
    assert len(service.calls) == 2


def test_unknown_processor_or_configuration_is_an_access_error(service: StandIn) -> None:
    with pytest.raises(AccessError, match=r"'willow_blue' of project 'p': .*404.* check both names"):
        check_access("p", "willow_blue", service.engine())
    wrongs: list[dict[str, Any]] = [{"device_config_name": "x"}, {"run_name": "x"}, {"snapshot": "x"}]
    for wrong in wrongs:
        with pytest.raises(AccessError, match=r"there is none; leave out device_config_name, snapshot and run_name"):
            _ = GoogleBackend(service.engine(), PROCESSOR, **wrong).configuration


def test_google_passes_its_settings_to_engine_and_backend(service: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}
    monkeypatch.setattr(
        "hattriq_cirq.execution.backends.google.Engine", lambda backend, **settings: made.update(settings, backend=backend)
    )
    caps = {"max_shots": 11, "max_jobs": 12, "max_seconds": 13.0, "max_configuration_age": 14.0, "recompile": True}
    settings: dict[str, Any] = {"jobs": 3, "circuits_per_job": 7, "timeout": 9.0, "qubits": QUBITS, **caps}
    google("p", PROCESSOR, journal="folder", engine=service.engine(), **settings)
    backend = made.pop("backend")
    assert made == {"journal": "folder", "qubits": QUBITS, "poll_seconds": 1.0, "timeout": 9.0, "progress": False, **caps}
    assert (backend.limits.jobs, backend.limits.circuits, backend.limits.shots) == (3, 7, 5_000_000)
    assert (backend.name, backend.seed) == (f"google:p/{PROCESSOR}", None)


@pytest.mark.parametrize(("call_timeout", "patience"), [(0.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (float("nan"), 1.0)])
def test_invalid_call_timeout_or_patience_is_rejected(call_timeout: float, patience: float) -> None:
    with pytest.raises(ValueError, match=r"self\.(call_timeout|patience)="):
        RetryingCaller(call_timeout, patience)


def test_stand_in_service_in_a_separate_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.helpers.stand_in", "--log", str(tmp_path / "log")]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        engine = client(f"127.0.0.1:{int(process.stdout.readline())}")
        try:
            assert run_jobs(GoogleBackend(engine, PROCESSOR), [plain_job(1)]) == [expected_counts(plain_job(1), 1)]
        finally:
            disconnect(engine.context.client)
            process.terminate()
    assert (tmp_path / "log").read_text() == "run-1\n"


def test_google_run_without_faults_logs_nothing(service: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="hattriq_cirq.execution"):
        run_jobs(connected_backend(service), [plain_job(1)])
    assert caplog.messages == []
    service.inject(Fault("GetQuantumJob", "unavailable"))
    with caplog.at_level(logging.INFO, logger="hattriq_cirq.execution"):
        run_jobs(connected_backend(service), [plain_job(2)])
    assert len(caplog.messages) == 1
