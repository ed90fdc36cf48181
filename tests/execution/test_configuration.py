"""Configurations of a real processor that age, change, vanish or lose qubits while a run is under way."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cirq_google.cloud import quantum
from google_client import PROCESSOR, QUBITS, basis_circuit, call_within
from stand_in import Fault, StandIn

import hattriq_cirq as hq
from hattriq_cirq.circuits.errors import (
    CapReachedError,
    CircuitRefusedError,
    EngineError,
    JobFailedError,
    ProcessorUnavailableError,
    StaleConfigurationError,
)
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.log import LOG

MODEL = hq.ring_ansatz(1, layers=1)
X = np.random.default_rng(1).normal(size=(11, 2))
FIRST = range(8)  # inputs of the first chunk


@pytest.fixture
def service() -> Iterator[StandIn]:
    with StandIn() as running:
        running.quantum.publish("snapshot-1", hours_ago=2)
        yield running


def engine(service: StandIn, folder: Path, **settings: Any) -> Engine:
    settings = {"poll_seconds": 0.005, "circuits_per_job": 1, **settings}
    return hq.google("p", PROCESSOR, journal=folder, engine=service.engine(), **settings)


def run(service: StandIn, folder: Path, **settings: Any) -> list[int]:
    """Run eight basis states and return their outcomes."""

    def go() -> list[int]:
        own = engine(service, folder, **settings)
        assert own.journal is not None
        with own.journal, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            programs = [ParameterizedCircuit(basis_circuit(i), (i,)) for i in range(8)]
            return [int(d.counts.argmax()) for d in own.execute(programs, [10] * 8)]

    return call_within(30, go)


def attribute(service: StandIn, folder: Path, **settings: Any) -> hq.Attribution:
    def go() -> hq.Attribution:
        own = engine(service, folder, **settings)
        assert own.journal is not None
        with own.journal, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator = hq.PolarizationShift()
            return hq.integrated_gradients(MODEL, X, baseline=0.0, estimator=estimator, engine=own, shots=400)

    return call_within(60, go)


def snapshots(service: StandIn) -> dict[str, set[str]]:
    """Return the ids of the executed jobs by their snapshots."""
    found: dict[str, set[str]] = {}
    for name, record in service.quantum.jobs.items():
        selector = record.job.scheduling_config.processor_selector.device_config_selector
        found.setdefault(selector.snapshot_id, set()).add(name.rpartition("/")[2])
    return found


# age


def test_configuration_that_is_too_old_is_refused_before_the_first_job(service: StandIn, tmp_path: Path) -> None:
    with pytest.raises(StaleConfigurationError, match=r"'snapshot-1' is 2.0 hours old, of 20.*max_configuration_age=1; wait"):
        run(service, tmp_path, max_configuration_age=1)
    assert not service.executions
    assert run(service, tmp_path, max_configuration_age=3) == list(range(8))


def test_age_is_checked_again_at_a_resume_which_still_fetches_what_was_submitted(service: StandIn, tmp_path: Path) -> None:
    with pytest.raises(CapReachedError):
        run(service, tmp_path, max_jobs=3)
    service.inject(Fault("GetQuantumResult", "denied", times=inf))
    with pytest.raises(EngineError):
        run(service, tmp_path, max_jobs=5)
    service.inject()
    service.quantum.publish("snapshot-2")
    with pytest.raises(
        StaleConfigurationError, match=r"max_configuration_age=1; compile the unfinished part anew .*--recompile"
    ):
        run(service, tmp_path, max_configuration_age=1)
    with engine(service, tmp_path).journal as journal:  # type: ignore[union-attr]
        assert journal.done == len(service.executions) == 5
    assert run(service, tmp_path, max_configuration_age=24) == list(range(8))
    assert set(service.executions.values()) == {1}


def test_configuration_without_a_date_is_refused_if_its_age_is_limited(service: StandIn, tmp_path: Path) -> None:
    device, _ = service.quantum.published["snapshot-1"]
    service.quantum.published["snapshot-1"] = device, type(service.quantum.calibration)()
    with pytest.raises(StaleConfigurationError, match="has no date"):
        run(service, tmp_path, max_configuration_age=1000)


# a new configuration


def notes_on_configuration(a: hq.Attribution) -> list[str]:
    """Return the notes on the configuration that a run took; that on predicted errors, which names their source, is none."""
    about = [note for note in a.assumptions.notes if "snapshot" in note or "configuration" in note]
    return [note for note in about if not note.startswith("systematic part of errors: by the calibration ")]


def test_resumed_run_stays_on_its_snapshot_and_its_result_says_so(service: StandIn, tmp_path: Path) -> None:
    with pytest.raises(CapReachedError):
        attribute(service, tmp_path, max_jobs=20)
    service.quantum.publish("snapshot-2")
    with pytest.raises(CapReachedError):
        attribute(service, tmp_path, max_jobs=22)
    a = attribute(service, tmp_path)
    assert set(snapshots(service)) == {"snapshot-1"}
    (note,) = notes_on_configuration(a)
    assert "present snapshot is 'snapshot-2' (calibration of 20" in note
    assert "stayed on 'snapshot-1' (calibration of 20" in note
    assert set(service.executions.values()) == {1}


def test_undisturbed_run_has_no_note_on_its_configuration(service: StandIn, tmp_path: Path) -> None:
    a = attribute(service, tmp_path)
    assert not notes_on_configuration(a)
    assert "the processor takes jobs" in (tmp_path / LOG).read_text()


def test_removed_snapshot_is_typed_and_a_recompiled_run_keeps_its_finished_inputs(service: StandIn, tmp_path: Path) -> None:
    """The first chunk is finished, of the second one two jobs are paid; its inputs begin anew on the new configuration."""
    with pytest.raises(CapReachedError):
        attribute(service, tmp_path, max_jobs=34)
    finished = set(service.executions)
    kept = snapshots(service)["snapshot-1"]
    service.quantum.publish("snapshot-2", error_factor=5.0)
    service.quantum.removed.add("snapshot-1")
    with pytest.raises(StaleConfigurationError, match=r"'snapshot-1' .* exists no longer.*--recompile"):
        attribute(service, tmp_path)
    a = attribute(service, tmp_path, recompile=True)
    assert set(service.executions.values()) == {1}
    ran_on = snapshots(service)
    assert ran_on["snapshot-1"] == kept == finished
    assert len(ran_on["snapshot-2"]) == 12
    (note,) = notes_on_configuration(a)
    assert "inputs 0 to 7 ran on the snapshot 'snapshot-1' of 'config-1'" in note
    assert "inputs 8 to 10 ran on the snapshot 'snapshot-2' of 'config-1'" in note
    exact = hq.integrated_gradients(MODEL, X, baseline=0.0).values
    assert np.abs(a.values - exact).max() < 5 * a.stderr.max()  # the service has no noise
    service.quantum.removed.add("snapshot-2")
    again = attribute(service, tmp_path)  # a further resume reads the configurations beside the journal and runs nothing
    np.testing.assert_array_equal(again.values, a.values)
    assert again.assumptions.notes == a.assumptions.notes
    assert set(service.executions.values()) == {1}


def test_recompiling_without_a_new_configuration_changes_nothing(service: StandIn, tmp_path: Path) -> None:
    with pytest.raises(CapReachedError):
        run(service, tmp_path, max_jobs=3)
    assert run(service, tmp_path, recompile=True) == list(range(8))
    assert set(service.executions.values()) == {1}
    assert len(service.executions) == 8


def test_jobs_of_the_earlier_configuration_are_cancelled(service: StandIn, tmp_path: Path) -> None:
    service.inject(Fault("Job", "slow", times=inf, seconds=30.0))
    with pytest.raises(EngineError):
        run(service, tmp_path, timeout=0.3, jobs=2)
    service.inject()
    service.quantum.publish("snapshot-2")
    assert run(service, tmp_path, recompile=True) == list(range(8))
    assert service.count("CancelQuantumJob") == 2
    assert {name: len(jobs) for name, jobs in snapshots(service).items()} == {"snapshot-1": 2, "snapshot-2": 8}


# qubits


def test_qubit_that_the_new_device_lacks_is_refused_before_it_is_used(service: StandIn, tmp_path: Path) -> None:
    with pytest.raises(CapReachedError):
        run(service, tmp_path, max_jobs=3)
    service.quantum.publish("snapshot-2", without=QUBITS[1:2])
    message = r"use qubits q\(6, 6\), which the present configuration 'snapshot-2' .*recompile"
    with pytest.raises(CircuitRefusedError, match=message):
        run(service, tmp_path)
    assert len(service.executions) == 3
    service.quantum.publish("snapshot-3")
    assert run(service, tmp_path) == list(range(8))


def test_qubit_that_dies_during_a_run_is_typed(service: StandIn, tmp_path: Path) -> None:
    service.quantum.dead.add(QUBITS[1])
    with pytest.raises(JobFailedError, match=r"INVALID_PROGRAM: qubits .* are not available"):  # the device still lists it
        run(service, tmp_path, jobs=1)
    service.quantum.publish("snapshot-1", hours_ago=2, without=QUBITS[1:2])
    settings = {"jobs": 1, "device_config_name": "config-1", "snapshot": "snapshot-1"}
    job_failed = r"qubits q\(6, 6\).*job .* failed: INVALID_PROGRAM: qubits .* are not available"
    with pytest.raises(CircuitRefusedError, match=rf"{job_failed}|use qubits q\(6, 6\)"):
        run(service, tmp_path, **settings)
    service.quantum.dead.clear()
    service.quantum.publish("snapshot-1", hours_ago=2)
    assert run(service, tmp_path, jobs=1) == list(range(8))


# availability

Health = quantum.QuantumProcessor.Health
Slot = quantum.QuantumTimeSlot


def slot(kind: str, start: float, end: float, project: str = "p") -> quantum.QuantumTimeSlot:
    """Return a time slot that starts and ends some hours from now."""
    now = datetime.datetime.now(datetime.UTC)
    own: dict[str, Any] = {"reservation_config": Slot.ReservationConfig(project_id=project)} if kind == "RESERVATION" else {}
    return Slot(
        start_time=now + datetime.timedelta(hours=start),
        end_time=now + datetime.timedelta(hours=end),
        time_slot_type=getattr(Slot.TimeSlotType, kind),
        **own,
    )


@pytest.mark.parametrize("health", ["DOWN", "UNAVAILABLE", "INACTIVE"])
def test_processor_that_is_down_is_typed_before_a_job_is_submitted(service: StandIn, tmp_path: Path, health: str) -> None:
    recovery = datetime.datetime(2026, 12, 1, 8, 30, tzinfo=datetime.UTC)
    service.quantum.descriptions[PROCESSOR] = {"health": getattr(Health, health), "expected_recovery_time": recovery}
    with pytest.raises(
        ProcessorUnavailableError, match=rf"takes no jobs now: {health}, expected back 2026-12-01 08:30; resume"
    ):
        run(service, tmp_path)
    assert not service.executions
    service.quantum.descriptions[PROCESSOR] = {}
    assert run(service, tmp_path) == list(range(8))


def test_processor_in_maintenance_is_typed(service: StandIn, tmp_path: Path) -> None:
    service.quantum.slots[PROCESSOR] = [slot("MAINTENANCE", -1, 2)]
    with pytest.raises(
        ProcessorUnavailableError, match=r"takes no jobs now: OK, in maintenance until 20.*; resume the run later"
    ):
        run(service, tmp_path)
    assert not service.executions


@pytest.mark.parametrize("what", ["time slot over", "time slot of others", "down"])
def test_processor_that_stops_taking_jobs_during_a_run_is_typed_and_the_run_goes_on(
    service: StandIn, tmp_path: Path, what: str
) -> None:
    service.quantum.slots[PROCESSOR] = [slot("RESERVATION", -1, 1)]
    create = service.quantum.create_job

    def stops(job: Any) -> Any:
        if len(service.executions) == 3:
            later = slot("RESERVATION", 5, 6)
            service.quantum.slots[PROCESSOR] = (
                [slot("RESERVATION", 0, 1, "others"), later] if what == "time slot of others" else [later]
            )
            if what == "down":
                service.quantum.descriptions[PROCESSOR] = {"health": Health.DOWN}
                service.quantum.slots.clear()
        return create(job)

    message = (
        "takes no jobs now: DOWN" if what == "down" else r"the time slot of project p .* is over.*in the next one, reservation"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.quantum, "create_job", stops)
        if what == "time slot of others":
            patch.setattr(service.quantum, "check_available", refused_after(service, 3))
        with pytest.raises(ProcessorUnavailableError, match=message):
            run(service, tmp_path, jobs=1)
    assert len(service.executions) == 3
    service.quantum.slots.clear()
    service.quantum.descriptions[PROCESSOR] = {}
    assert run(service, tmp_path) == list(range(8))
    assert set(service.executions.values()) == {1}


def refused_after(service: StandIn, jobs: int) -> Any:
    """Return a check that refuses jobs after a number of them, as a service does in a time slot of others."""
    import grpc  # type: ignore[import-untyped]
    from stand_in_service import Code, Refusal

    def check(project: str) -> None:
        if len(service.executions) >= jobs:
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, Code.INVALID_ARGUMENT, "not now")

    return check
