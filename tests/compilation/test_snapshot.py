"""Snapshots: one value from names and files, what calibrations lack, and noise of both generations of metric names."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cirq
import cirq_google as cg
import numpy as np
import pytest
from cirq_google.api import v2
from cirq_google.engine.virtual_engine_factory import create_device_spec_from_processor_id
from google.protobuf import json_format, text_format  # type: ignore[import-untyped]
from stand_in_service import TODAY

from hattriq_cirq.compilation.gatesets import PROCESSORS
from hattriq_cirq.compilation.snapshot import Snapshot, find_snapshot, load_processor
from hattriq_cirq.foundation.reading import FileError

BUNDLED = find_snapshot("willow_pink")
SPECIFICATION = create_device_spec_from_processor_id("willow_pink")
PARTS = ("t1_ns", "tphi_ns", "readout_errors", "gate_pauli_errors", "fsim_errors")
Keep = Callable[[str, tuple[str, ...]], bool]


def served(change: Callable[[Any], None], name: str = "willow_pink") -> Snapshot:
    """Return a snapshot from the service whose calibration is the bundled one with a change."""
    bundled = find_snapshot(name)
    assert bundled.metrics is not None
    metrics = v2.metrics_pb2.MetricsSnapshot.FromString(bundled.metrics)
    change(metrics)
    specification = create_device_spec_from_processor_id(name)
    return Snapshot.from_protos(name, specification, metrics, snapshot_id="s1", config_name="c1", project="p")


def without(keep: Keep) -> Snapshot:
    """Return a snapshot whose calibration has only the metrics that a function keeps."""

    def change(metrics: Any) -> None:
        kept = [metric for metric in metrics.metrics if keep(metric.name, tuple(metric.targets))]
        del metrics.metrics[:]
        metrics.metrics.extend(kept)

    return served(change)


def rename(metrics: Any) -> None:
    for metric in metrics.metrics:
        metric.name = TODAY.get(metric.name, metric.name)


@pytest.mark.parametrize("name", PROCESSORS)
def test_bundled_snapshot_has_the_noise_of_cirq_google(name: str) -> None:
    snapshot = find_snapshot(name)
    assert find_snapshot(name) is snapshot
    assert load_processor(name) is snapshot.processor()
    expected = cg.engine.load_device_noise_properties(name)
    assert snapshot.noise_properties() == expected
    assert [list(getattr(snapshot.noise_properties(), part)) for part in PARTS] == [list(getattr(expected, p)) for p in PARTS]
    device = cg.engine.create_device_from_processor_id(name)
    assert snapshot.device == device
    assert snapshot.calibration == cg.engine.load_median_device_calibration(name)


def test_noise_properties_of_a_snapshot_cannot_be_changed_by_their_reader() -> None:
    BUNDLED.noise_properties().t1_ns.clear()
    assert len(BUNDLED.noise_properties().t1_ns) == 105


@pytest.mark.parametrize("change", [lambda _: None, rename], ids=["bundled names", "today's names"])
def test_saved_snapshot_of_the_service_is_loaded_without_loss(change: Callable[[Any], None], tmp_path: Path) -> None:
    snapshot = replace(served(change), taken_utc="2026-01-01T00:00:00+00:00")
    loaded = Snapshot.load(snapshot.save(tmp_path / "device.json"))
    assert loaded == snapshot == find_snapshot(tmp_path / "device.json") == find_snapshot(str(tmp_path / "device.json"))
    assert (loaded.digest, loaded.source, loaded.missing) == (snapshot.digest, "service", ())
    assert loaded.calibration_utc == "2024-08-16T08:11:17+00:00"
    _ = loaded.noise_properties(), loaded.processor()
    assert pickle.loads(pickle.dumps(loaded)) == loaded
    assert len(pickle.dumps(loaded)) < 1.1 * len(loaded.specification + (loaded.metrics or b"")) + 1000
    own, expected = loaded.noise_properties(), BUNDLED.noise_properties()
    assert {part: getattr(own, part) for part in PARTS} == {part: getattr(expected, part) for part in PARTS}
    used, gates = own.gate_times_ns, expected.gate_times_ns
    assert {kind: used[kind] for kind in gates} == gates
    assert loaded.processor().describe() == BUNDLED.processor().describe() | {"snapshot": "s1"}
    with pytest.raises(FileExistsError):
        snapshot.save(tmp_path / "device.json")


def test_saved_bundled_snapshot_stays_the_bundled_one_until_it_is_changed(tmp_path: Path) -> None:
    weber = find_snapshot("weber")
    file = weber.save(tmp_path / "weber.json")
    assert find_snapshot(file) is weber
    content = json.loads(file.read_text())
    content["calibration"]["metrics"][0]["values"][0]["doubleVal"] = 0.25
    file.write_text(json.dumps(content))
    changed = find_snapshot(file)
    assert (changed.source, changed.processor_id) == ("file", "weber")
    assert changed.digest != weber.digest


def test_digest_is_that_of_device_and_calibration() -> None:
    snapshot = served(rename)
    assert snapshot.digest == replace(snapshot, snapshot_id="other", project="q").digest != BUNDLED.digest
    assert served(lambda _: None).digest == BUNDLED.digest


def test_digest_by_which_journals_know_a_snapshot_never_changes() -> None:
    specification = v2.device_pb2.DeviceSpecification(valid_qubits=["0_0", "0_1"])
    metrics = v2.metrics_pb2.MetricsSnapshot(timestamp_ms=5)
    metrics.metrics.add(name="zero_error", targets=["0_0"]).values.add(double_val=0.1)
    known = "ac68f869191cc775f2cd6428b2017a6bfc52e6feb70301ac872e5433f561432d"
    assert Snapshot.from_protos("p", specification, metrics).digest == known


FORMS = {
    "binary": lambda: SPECIFICATION.SerializeToString(),
    "JSON": lambda: json_format.MessageToJson(SPECIFICATION).encode(),
    "text": lambda: text_format.MessageToString(SPECIFICATION).encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_device_specification_file_is_a_snapshot_without_calibration(form: str, tmp_path: Path) -> None:
    (tmp_path / "device").write_bytes(FORMS[form]())
    snapshot = find_snapshot(tmp_path / "device")
    assert snapshot.device == BUNDLED.device
    assert (snapshot.source, snapshot.calibration, snapshot.age_hours) == ("file", None, None)
    assert snapshot.processor_id == f"device-{snapshot.digest[:8]}" == find_snapshot(tmp_path / "device").processor_id
    assert snapshot.missing == ("calibration: there is none; all errors are unknown and count as no error",)
    assert snapshot.processor().missing == snapshot.missing
    assert not snapshot.processor().two_qubit_errors
    assert not snapshot.processor().readout_errors
    renamed = tmp_path / "renamed.json"
    snapshot.save(renamed)
    assert find_snapshot(renamed) == snapshot


def _damaged(change: Callable[[dict[str, Any]], object]) -> bytes:
    snapshot = find_snapshot("rainbow")
    content = {
        "format": "hattriq_cirq.Snapshot/1",
        **{name: getattr(snapshot, name) for name in ("processor_id", "snapshot_id", "config_name", "project", "taken_utc")},
        "source": "service",
        **snapshot._messages(),
    }
    change(content)
    return json.dumps(content).encode()


DAMAGED = {
    "empty": (b"", "has no qubits"),
    "no device": (b"nothing here", "neither a snapshot nor a device specification"),
    "noise": (bytes(range(128, 256)), "neither a snapshot nor a device specification"),
    "other JSON": (b'{"a": 1}', "device_specification cannot be read"),
    "truncated": (_damaged(lambda _: None)[:-5], "is not JSON"),
    "later format": (_damaged(lambda c: c.update(format="hattriq_cirq.Snapshot/2")), "update hattriq_cirq"),
    "unknown field": (_damaged(lambda c: c.update(colour="red")), "colour is a field that this version does not know"),
    "missing field": (_damaged(lambda c: c.pop("processor_id")), "processor_id is missing"),
    "wrong qubit": (_damaged(lambda c: c["device_specification"]["validQubits"].append("x")), "'x'"),
    "wrong metric": (_damaged(lambda c: c["calibration"]["metrics"].append(5)), "calibration cannot be read"),
    "no value": (
        _damaged(lambda c: c["calibration"]["metrics"].append({"name": "zero_error", "targets": ["5_0"], "values": [{}]})),
        "calibration cannot be read",
    ),
    "no qubits of metrics": (
        _damaged(lambda c: c["calibration"]["metrics"].extend([{"name": "zero_error"}] * 2)),
        "calibration cannot be read",
    ),
    "no qubits": (_damaged(lambda c: c.update(device_specification={})), "has no qubits"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_or_foreign_file_is_refused_by_name(name: str, tmp_path: Path) -> None:
    content, message = DAMAGED[name]
    (tmp_path / "device.json").write_bytes(content)
    with pytest.raises(FileError, match=rf"device\.json: .*{message}"):
        find_snapshot(tmp_path / "device.json")


def test_unknown_name_or_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'willow' must be one of willow_pink, weber, rainbow, or a file"):
        find_snapshot("willow")
    with pytest.raises(ValueError, match="'' must be one of willow_pink"):
        find_snapshot("")
    for path in (tmp_path, tmp_path / "a", f"{tmp_path}/a", "device.json"):
        with pytest.raises(FileNotFoundError, match=r"no file .*; name a file from `hattriq snapshot`"):
            find_snapshot(path)
    wrong: Any = 5
    with pytest.raises(TypeError, match="processor=5"):
        find_snapshot(wrong)


LACKING: dict[str, tuple[Keep, tuple[str, ...]]] = {
    "relaxation": (lambda name, _: "t1" not in name, ("t1_ns: the calibration has none; they count as no error",)),
    "dephasing": (lambda name, _: "incoherent" not in name, ("dephasing: the calibration has none; they count as no error",)),
    "readout of 1": (lambda name, _: "p11" not in name, ("e1: the calibration has none; they count as no error",)),
    "one qubit": (
        lambda name, _: "rb_pauli" not in name,
        ("one_qubit_errors: the calibration has none; they count as no error",),
    ),
    "a coupler": (
        lambda name, at: not ("cz" in name and "pauli" in name and at in (("5_5", "5_6"), ("5_6", "5_5"))),
        ("two_qubit_errors of cz: 1 of 182 are the median of the others",),
    ),
    "a qubit": (
        lambda _, at: at != ("5_5",),
        tuple(
            f"{name}: 1 of 105 are the median of the others" for name in ("e0", "e1", "one_qubit_errors", "t1_ns", "dephasing")
        ),
    ),
    "everything": (lambda *_: False, ("calibration: there is none; all errors are unknown and count as no error",)),
}


@pytest.mark.parametrize("case", LACKING)
def test_missing_figures_are_named_and_the_noise_is_complete(case: str) -> None:
    keep, sentences = LACKING[case]
    snapshot = without(keep)
    assert snapshot.missing == snapshot.processor().missing == sentences
    noise, full = snapshot.noise_properties(), BUNDLED.noise_properties()
    cg.NoiseModelFromGoogleNoiseProperties(noise).noisy_moments(
        [cirq.Moment(cirq.CZ(cirq.GridQubit(5, 5), cirq.GridQubit(5, 6)))], [cirq.GridQubit(5, 5), cirq.GridQubit(5, 6)]
    )
    assert noise.t1_ns.keys() == noise.tphi_ns.keys() == full.t1_ns.keys()
    if case in ("a coupler", "a qubit"):
        assert noise.gate_pauli_errors.keys() == full.gate_pauli_errors.keys()
        assert noise.readout_errors.keys() == full.readout_errors.keys()
    if case == "a coupler":
        pair = frozenset([cirq.GridQubit(5, 5), cirq.GridQubit(5, 6)])
        errors = BUNDLED.processor().two_qubit_errors
        median = np.median([error for key, error in errors.items() if key != pair])
        found = {v for key, v in noise.gate_pauli_errors.items() if frozenset(key.qubits) == pair}
        assert found == {median} == {snapshot.processor().two_qubit_errors[pair]}
    if case == "readout of 1":
        assert all(e0 > 0 and e1 < 1e-14 for e0, e1 in noise.readout_errors.values())
    if case == "relaxation":  # the whole error of a gate stays, idling has none
        assert noise.gate_pauli_errors == full.gate_pauli_errors
        assert min(noise.t1_ns.values()) == 1e9


def _set(metric: Any, value: object) -> None:
    del metric.values[:]
    name = {float: "double_val", str: "str_val"}.get(type(value))
    if name:
        metric.values.add(**{name: value})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.5, "unknown", None])
def test_unusable_value_counts_as_missing(value: object) -> None:
    def change(metrics: Any) -> None:
        readout = next(m for m in metrics.metrics if m.name == "single_qubit_p00_error")
        _set(readout, value)

    assert served(change).missing == ("e0: 1 of 105 are the median of the others",)


def test_metric_of_no_qubit_is_ignored() -> None:
    def change(metrics: Any) -> None:
        metrics.metrics.add(name="single_qubit_p00_error", targets=["all"]).values.add(double_val=0.5)
        metrics.metrics.add(name="single_qubit_p00_error", targets=["77_77"]).values.add(double_val=0.5)

    snapshot = served(change)
    assert snapshot.missing == ()
    assert snapshot.processor().readout_errors == BUNDLED.processor().readout_errors


def test_age_is_that_of_the_calibration() -> None:
    assert BUNDLED.age_hours is not None
    assert BUNDLED.age_hours > 24 * 365

    def now(metrics: Any) -> None:
        metrics.timestamp_ms = int(1000 * time.time())

    age = served(now).age_hours
    assert age is not None
    assert -0.1 < age < 0.1


def test_text_names_size_calibration_and_what_is_missing() -> None:
    text = str(without(LACKING["relaxation"][0]))
    assert "willow_pink@s1: 105 qubits, 182 couplers, gate sets cz" in text
    assert "calibration 2024-08-16T08:11:17+00:00" in text
    assert "missing: t1_ns: the calibration has none; they count as no error" in text
