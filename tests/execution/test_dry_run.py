"""Calls that are recorded without being submitted, and executed afterwards as if they never had been."""

from __future__ import annotations

from pathlib import Path

import cirq
import pytest
from journals import read_records

import hattriq_cirq as hq
from hattriq_cirq.circuits.errors import CircuitRefusedError
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution import Engine
from hattriq_cirq.execution.journal_summary import read_summary

Programs = list[ParameterizedCircuit]


def programs(engine: Engine, angle: float) -> Programs:
    q = cirq.LineQubit(0)
    return engine.compile([cirq.Circuit(cirq.ry(angle + i)(q), cirq.measure(q)) for i in range(3)])


def counts(engine: Engine, angle: float) -> list[list[int]]:
    return [distribution.counts.tolist() for distribution in engine.execute(programs(engine, angle), [100] * 3)]


def recorded(engine: Engine, *angles: float) -> list[int]:
    """Record one call after the other and return their numbers."""
    numbers: list[int] = []
    for angle in angles:
        numbers.append(engine.record_call(programs(engine, angle), [100] * 3, after=numbers).number)
    return numbers


def engine_in(folder: Path) -> Engine:
    return hq.cirq_simulator(seed=1, journal=folder)


def close(engine: Engine) -> None:
    assert engine.journal is not None
    engine.journal.close()


def test_recorded_calls_run_with_the_counts_of_calls_that_were_not_recorded(tmp_path: Path) -> None:
    angles = (0.1, 0.2, 0.1)  # the third call equals the first
    plain = hq.cirq_simulator(seed=1)
    expected = [counts(plain, angle) for angle in angles]
    engine = engine_in(tmp_path)
    assert recorded(engine, *angles) == [1, 2, 3]
    assert recorded(engine, *angles) == [1, 2, 3]  # a second dry run records nothing
    assert [record["kind"] for record in read_records(tmp_path)].count("begin") == 3
    assert [counts(engine, angle) for angle in angles] == expected
    close(engine)


def test_dry_run_after_a_restart_and_after_a_part_of_the_run_records_only_what_is_missing(tmp_path: Path) -> None:
    angles = (0.1, 0.2, 0.1, 0.3)
    plain = hq.cirq_simulator(seed=1)
    expected = [counts(plain, angle) for angle in angles]
    engine = engine_in(tmp_path)
    recorded(engine, *angles[:2])
    assert counts(engine, angles[0]) == expected[0]
    close(engine)
    engine = engine_in(tmp_path)
    assert recorded(engine, *angles) == [1, 2, 3, 4]
    close(engine)
    engine = engine_in(tmp_path)
    assert [counts(engine, angle) for angle in angles] == expected
    assert [record["kind"] for record in read_records(tmp_path)].count("begin") == 4
    close(engine)


def test_recorded_jobs_are_planned_and_none_is_submitted(tmp_path: Path) -> None:
    engine = engine_in(tmp_path)
    call = engine.record_call(programs(engine, 0.1), [100] * 3)
    planned = engine.plan_call(programs(engine, 0.1), [100] * 3)
    assert [job.id for job in call.jobs] == [job.id for job in planned.jobs]
    assert {record["kind"] for record in read_records(tmp_path)} == {"header", "opened", "begin"}
    close(engine)
    summary = read_summary(tmp_path)
    assert (summary.status, summary.jobs, summary.done, summary.shots, summary.shots_done) == ("planned", 3, 0, 300, 0)


def test_run_is_planned_until_its_first_job_is_submitted(tmp_path: Path) -> None:
    engine = engine_in(tmp_path)
    recorded(engine, 0.1, 0.2)
    assert engine.journal is not None
    engine.journal.note(engine.journal.unfinished()[0], "submitting")
    close(engine)
    assert read_summary(tmp_path).status == "unfinished"


def test_recording_without_a_journal_or_shots_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="only with a journal"):
        recorded(hq.cirq_simulator(seed=1), 0.1)
    engine = engine_in(tmp_path)
    with pytest.raises(ValueError, match="only with shots"):
        engine.record_call(programs(engine, 0.1), None)
    close(engine)


@pytest.mark.parametrize(
    ("circuit", "message"),
    [
        (cirq.Circuit(cirq.X(cirq.q(99, 99)), cirq.measure(cirq.q(99, 99))), "would refuse a circuit"),
        (cirq.Circuit([cirq.Moment(cirq.X(cirq.q(6, 6)))] * 2000, cirq.measure(cirq.q(6, 6))), "takes 50.0 us on willow_pink"),
        (cirq.Circuit([cirq.Z(cirq.q(6, 6))] * 10_000, cirq.measure(cirq.q(6, 6))), "has 10,001 moments"),
    ],
    ids=["qubit", "duration", "moments"],
)
def test_recording_refuses_what_the_service_would_refuse_and_records_nothing(
    tmp_path: Path, circuit: cirq.Circuit, message: str
) -> None:
    engine = hq.virtual("willow_pink", seed=1, journal=tmp_path)
    with pytest.raises(CircuitRefusedError, match=message):
        engine.record_call([ParameterizedCircuit(circuit.freeze(), (0,))], [10])
    assert engine.journal is not None
    assert not engine.journal.has_begun
    close(engine)


def test_planning_changes_nothing(tmp_path: Path) -> None:
    engine = engine_in(tmp_path)
    before = (tmp_path / "journal.jsonl").read_bytes()
    call = engine.plan_call(programs(engine, 0.1), [100] * 3)
    assert (tmp_path / "journal.jsonl").read_bytes() == before
    executed = engine.execute(programs(engine, 0.1), [100] * 3)
    assert sum(job.shots * job.runs for job in call.jobs if job.shots) == sum(d.shots or 0 for d in executed)
    assert [circuit for job in call.jobs for circuit in job.circuits] == [p.circuit for p in programs(engine, 0.1)]
    close(engine)
