"""Lists of processors, by the real client against the stand-in service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cirq_google.cloud import quantum
from google_client import CALL_TIMEOUT, PATIENCE, PROCESSOR
from stand_in import Fault, StandIn
from stand_in_service import CONFIG, SNAPSHOT

import hattriq_cirq as hq
from hattriq_cirq.circuits.errors import AccessError, EngineError, QuotaError, ServiceError, SilenceError
from hattriq_cirq.compilation.snapshot import find_snapshot

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
BUNDLED = ["willow_pink", "weber", "rainbow"]


def slot(kind: str, start: timedelta, end: timedelta, **config: object) -> quantum.QuantumTimeSlot:
    times = {"start_time": NOW + start, "end_time": NOW + end}
    return quantum.QuantumTimeSlot(time_slot_type=kind, **times, **config)


def test_bundled_processors_need_no_service() -> None:
    listed = hq.processors()
    assert [each.id for each in listed] == BUNDLED
    assert [len(listed), listed[-1].id, listed["weber"].id, len(listed[:2])] == [3, "rainbow", "weber", 2]
    assert [each.snapshot for each in listed] == [find_snapshot(name) for name in BUNDLED]
    with pytest.raises(KeyError, match="no processor 'willow'; there are willow_pink, weber, rainbow"):
        listed["willow"]
    weber = listed["weber"].figures()
    assert weber["cz_error"] is None
    assert weber["sycamore_error"] == pytest.approx(0.0187, abs=1e-4)
    lines = str(listed).splitlines()
    assert lines[1].split()[:4] == ["willow_pink", "105", "182", "simulated"]
    assert "2024-08-16 08:11" in lines[1]
    assert "cz 0.34%" in lines[1]
    assert "weber: two_qubit_errors of cz: the calibration has none; they count as no error" in lines


def test_processors_of_a_project_come_with_configuration_and_schedule() -> None:
    with StandIn() as service:
        service.quantum.use_todays_names()
        service.quantum.descriptions[PROCESSOR] = {"activity_stats": {"active_jobs_count": 3}}
        service.quantum.slots[PROCESSOR] = [
            slot("RESERVATION", 2 * HOUR, 3 * HOUR, reservation_config={"project_id": "p"}),
            slot("MAINTENANCE", -HOUR, HOUR, maintenance_config={"title": "warm-up"}),
            slot("OPEN_SWIM", 3 * HOUR, 5 * HOUR),
        ]
        listed = hq.processors("p", engine=service.engine())
        assert [method for method, _ in service.calls] == [
            "ListQuantumProcessors",
            "GetQuantumProcessorConfig",
            "ListQuantumTimeSlots",
        ]
    assert [each.id for each in listed] == [PROCESSOR, *BUNDLED]
    own, row = listed[0], listed.rows()[0]
    assert (own.project, own.problem, own.health) == ("p", "", "OK")
    assert [each.kind for each in own.schedule or ()] == ["maintenance", "reservation", "open_swim"]
    assert own.active_slot is not None
    assert own.active_slot.title == "warm-up"
    until = f"{NOW + HOUR:%Y-%m-%d %H:%M}"
    assert own.availability == f"OK, in maintenance until {until}, 3 active jobs"
    assert (row["configuration"], row["snapshot"]) == (CONFIG, SNAPSHOT)
    assert (row["qubits"], row["couplers"], row["gatesets"]) == (105, 182, "cz")
    assert row["calibration_utc"] == "2024-08-16T08:11:17+00:00"
    for figure in ("cz_error", "one_qubit_error", "e0", "e1"):
        assert row[figure] == listed.rows()[1][figure]
    text = str(listed)
    assert f"{PROCESSOR}: maintenance (warm-up)" in text
    assert f"{PROCESSOR}: 1 further time slot" in text


def test_processor_without_readable_configuration_is_listed_with_the_reason() -> None:
    with StandIn() as service:
        service.quantum.descriptions["closed"] = {
            "health": quantum.QuantumProcessor.Health.DOWN,
            "expected_recovery_time": NOW + HOUR,
        }
        service.quantum.unreadable.add("closed")
        service.inject(Fault("ListQuantumTimeSlots", "denied", times=9))
        listed = hq.processors("p", engine=service.engine())
    open_one, closed = listed[0], listed["closed"]
    assert open_one.snapshot is not None
    assert open_one.schedule is None
    assert closed.snapshot is None
    assert "403" in closed.problem
    assert closed.availability == f"DOWN, expected back {NOW + HOUR:%Y-%m-%d %H:%M}"
    assert closed.figures() == {}
    assert closed.row().keys() == open_one.row().keys()
    assert "closed: its configuration cannot be read: asking for the configuration" in str(listed)


def test_project_without_processors_is_an_access_error() -> None:
    with StandIn() as service:
        service.quantum.descriptions.clear()
        with pytest.raises(AccessError, match="processors of project 'p': there are none; ask Google for access"):
            hq.processors("p", engine=service.engine())


@pytest.mark.parametrize(
    ("kind", "error", "cure"),
    [
        ("unauthenticated", AccessError, "401.*run `gcloud auth application-default login`"),
        ("denied", AccessError, "403.*ask the owner of the project for access"),
        ("disabled", AccessError, "403.*gcloud services enable quantum.googleapis.com"),
        ("not_found", AccessError, "404.*check the id of the project"),
        ("quota", QuotaError, "429"),
        ("unavailable", ServiceError, "503"),
        ("hang", SilenceError, "check the network"),
    ],
)
def test_failing_list_is_a_typed_error_with_a_cure(kind: str, error: type[EngineError], cure: str) -> None:
    with StandIn() as service:
        service.inject(Fault("ListQuantumProcessors", kind, times=99))
        with pytest.raises(error, match=cure) as caught:
            hq.processors("p", engine=service.engine(), call_timeout=CALL_TIMEOUT, patience=PATIENCE)
        assert type(caught.value) is error


def test_snapshot_of_the_service_needs_two_calls_and_names_its_origin() -> None:
    with StandIn() as service:
        taken = hq.snapshot("p", PROCESSOR, engine=service.engine())
        assert len(service.calls) == 2
        origin = (taken.processor_id, taken.snapshot_id, taken.config_name, taken.project, taken.source)
        assert origin == (PROCESSOR, SNAPSHOT, CONFIG, "p", "service")
        assert datetime.fromisoformat(taken.taken_utc) - NOW < HOUR
        assert taken.digest == find_snapshot(PROCESSOR).digest
        service.quantum.snapshot = "snapshot-2"
        assert hq.snapshot("p", PROCESSOR, engine=service.engine()).snapshot_id == "snapshot-2"
        assert hq.snapshot("p", PROCESSOR, snapshot=SNAPSHOT, engine=service.engine()).snapshot_id == SNAPSHOT
        with pytest.raises(AccessError, match=r"404.*check both names"):
            hq.snapshot("p", "nowhere", engine=service.engine())


def test_answer_that_is_no_configuration_is_a_service_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with StandIn() as service:
        monkeypatch.setattr("stand_in_service.pack_any", lambda message: {"type_url": "x/y", "value": b"z"})
        with pytest.raises(ServiceError, match="the answer cannot be read"):
            hq.snapshot("p", PROCESSOR, engine=service.engine())


def test_processor_without_calibration_says_so() -> None:
    with StandIn() as service:
        service.quantum.drop_metrics(lambda *_: False)
        (own, *_) = hq.processors("p", engine=service.engine())
    assert own.snapshot is not None
    assert own.snapshot.calibration is None
    row = own.row()
    assert [row[name] for name in ("calibration_utc", "age_hours", "cz_error", "e0")] == [None] * 4
    assert own.snapshot.missing == ("calibration: there is none; all errors are unknown and count as no error",)
