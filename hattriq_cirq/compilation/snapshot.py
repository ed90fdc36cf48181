"""Snapshots: device and calibration of a processor as one value, taken from the service, from files or from cirq_google.

Every processor comes from a snapshot: `find_snapshot` and `hattriq_cirq.snapshot` return one; it makes the `Processor` that
circuits are placed on, compiled for and priced by, and the noise that `hattriq_cirq.virtual` simulates.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import cirq

from hattriq_cirq.compilation.gatesets import PROCESSORS, gateset_name
from hattriq_cirq.compilation.metrics import CalibratedDevice
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.foundation.checks import check_type
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.reading import FileError, read_bytes
from hattriq_cirq.foundation.schema import load, parse_json

if TYPE_CHECKING:
    import cirq_google as cg
    from cirq_google.api.v2.device_pb2 import DeviceSpecification
    from cirq_google.api.v2.metrics_pb2 import MetricsSnapshot

FORMAT = "hattriq_cirq.Snapshot/1"
Source = Literal["bundled", "service", "file"]
_Message = TypeVar("_Message")
_ADVICE = "name a file from `hattriq snapshot`, or a DeviceSpecification in binary, JSON or text form"
_NO_REPAIR = "the device cannot be used"


@dataclass(frozen=True)
class _File:
    """Content of a saved snapshot."""

    format: Literal["hattriq_cirq.Snapshot/1"]
    processor_id: str
    snapshot_id: str
    config_name: str
    project: str
    source: Source
    taken_utc: str
    device_specification: dict[str, Any]
    calibration: dict[str, Any] | None


@dataclass(frozen=True)
class Snapshot:
    """Device and calibration of a processor at one time.

    Two snapshots are equal if all their fields are; `digest` compares only device and calibration.

    Args:
        processor_id: Id of the processor, such as `willow_pink`.
        specification: Serialised `DeviceSpecification` of cirq_google.
        metrics: Serialised `MetricsSnapshot` of cirq_google; None if there is no calibration.
        snapshot_id: Name of the snapshot: that of the service, `median DATE` for a bundled calibration, empty without one.
        config_name: Name of the device configuration; empty if there is none.
        project: Google Cloud project that the snapshot was taken from; empty if there is none.
        source: Origin: `bundled` with cirq_google, taken from the `service`, or a `file` with a device.
        taken_utc: Time at which the snapshot was taken from the service, ISO 8601; empty if it was not.

    Example:
        >>> snapshot = find_snapshot("willow_pink")
        >>> snapshot.processor().graph.number_of_nodes(), snapshot.calibration_utc, snapshot.missing
        (105, '2024-08-16T08:11:17+00:00', ())
    """

    processor_id: str
    specification: bytes = field(repr=False)
    metrics: bytes | None = field(repr=False)
    snapshot_id: str = ""
    config_name: str = ""
    project: str = ""
    source: Source = "service"
    taken_utc: str = ""

    @classmethod
    def from_protos(
        cls, processor_id: str, specification: DeviceSpecification, calibration: MetricsSnapshot | None, **origin: Any
    ) -> Snapshot:
        """Return the snapshot of cirq_google's messages.

        Args:
            processor_id: Id of the processor.
            specification: Device.
            calibration: Calibration; None, or one without metrics, if there is none.
            **origin: Further fields, such as snapshot_id.

        Raises:
            ValueError: The specification describes no device, or the calibration cannot be read.
        """
        has_metrics = calibration is not None and len(calibration.metrics) > 0
        metrics = calibration.SerializeToString(deterministic=True) if calibration is not None and has_metrics else None
        snapshot = cls(processor_id, specification.SerializeToString(deterministic=True), metrics, **origin)
        if not snapshot.qubits:
            raise ValueError("the device specification has no qubits")
        try:
            _ = snapshot.calibration
        except (AssertionError, TypeError) as error:  # of cirq_google, for metrics without qubits or without a value
            raise ValueError(f"the calibration cannot be read: {error}") from error
        return snapshot

    def __reduce__(self) -> tuple[type[Snapshot], tuple[Any, ...]]:
        """Pickle the fields only, since everything else follows from them."""
        return Snapshot, tuple(getattr(self, each.name) for each in fields(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Snapshot:
        """Return a snapshot that `save` or `hattriq snapshot` wrote.

        Raises:
            FileNotFoundError: The file does not exist.
            FileError: The file is no snapshot, or is damaged; a ValueError.
        """
        return _from_json(parse_json(read_bytes(path), path), path)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the snapshot into a new JSON file, which `load` and `find_snapshot` read, and return its path.

        Raises:
            FileExistsError: The file exists.
        """
        content = {
            "format": FORMAT,
            **{name: getattr(self, name) for name in _File.__dataclass_fields__ if name in self.__dataclass_fields__},
            **self._messages(),
        }
        return write_new(path, json.dumps(content, indent=1) + "\n")

    @cached_property
    def device(self) -> cg.GridDevice:
        """Device that validates circuits; its metadata has the coupling graph, the gates and their durations."""
        import cirq_google as cg
        from cirq_google.api.v2.device_pb2 import DeviceSpecification

        return cg.GridDevice.from_proto(DeviceSpecification.FromString(self.specification))

    @property
    def qubits(self) -> int:
        """Number of qubits."""
        return len(self._metadata.qubit_set)

    @property
    def couplers(self) -> int:
        """Number of coupled pairs of qubits."""
        return int(self._metadata.nx_graph.number_of_edges())

    @property
    def gatesets(self) -> tuple[str, ...]:
        """Names of the gate sets that circuits can be compiled to."""
        return tuple(gateset_name(target) for target in self._metadata.compilation_target_gatesets)

    @property
    def _metadata(self) -> cirq.GridDeviceMetadata:
        assert isinstance(self.device.metadata, cirq.GridDeviceMetadata)
        return self.device.metadata

    @property
    def calibration(self) -> cg.Calibration | None:
        """Calibration, with its time; None if there is none."""
        import cirq_google as cg
        from cirq_google.api.v2.metrics_pb2 import MetricsSnapshot

        return None if self.metrics is None else cg.Calibration(MetricsSnapshot.FromString(self.metrics))

    @cached_property
    def calibration_utc(self) -> str | None:
        """Time of the calibration, ISO 8601; None if there is no calibration or it states no time."""
        calibration = self.calibration
        if calibration is None or not calibration.timestamp:
            return None
        return datetime.fromtimestamp(calibration.timestamp / 1000, UTC).isoformat(timespec="seconds")

    @property
    def age_hours(self) -> float | None:
        """Age of the calibration in hours; None if its time is unknown."""
        if self.calibration_utc is None:
            return None
        return (datetime.now(UTC) - datetime.fromisoformat(self.calibration_utc)).total_seconds() / 3600

    @property
    def name(self) -> str:
        """Name for people: the processor and, unless it is bundled, the snapshot."""
        return (
            self.processor_id if self.source == "bundled" or not self.snapshot_id else f"{self.processor_id}@{self.snapshot_id}"
        )

    def __str__(self) -> str:
        """Return the snapshot as text: its name, size and calibration, and what the calibration lacks."""
        age = "" if self.age_hours is None else f" ({self.age_hours:.1f} hours ago)"
        lines = [
            f"{self.name}: {self.qubits} qubits, {self.couplers} couplers, gate sets {', '.join(self.gatesets) or 'none'}",
            f"  configuration {self.config_name or '-'}, calibration {self.calibration_utc or 'of unknown time'}{age}",
        ]
        return "\n".join(printable(line) for line in [*lines, *(f"  missing: {sentence}" for sentence in self.missing)])

    @cached_property
    def digest(self) -> str:
        """SHA-256 digest of device and calibration, in hexadecimal, by which journals know the snapshot wherever it lies."""
        return sha256(json.dumps(self._messages(), sort_keys=True).encode()).hexdigest()

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Figures that the calibration lacks for any gate set of the device, and the values used instead, one sentence each."""
        return CalibratedDevice(self.device, self.calibration).missing(*self.gatesets)

    def processor(self, gateset: str | None = None) -> Processor:
        """Return the processor that circuits are placed on and compiled for; it is made once for each gate set.

        Args:
            gateset: Gate set, cz, sqrt_iswap or sycamore; None takes the first one whose errors the calibration has.

        Raises:
            ValueError: The device has no such gate set.
        """
        if gateset not in self._processors:
            name = self.snapshot_id or "none"
            made = Processor.from_calibration(self.processor_id, self.device, self.calibration, name, gateset=gateset)
            made = replace(made, snapshot_digest=self.digest)
            self._processors[gateset] = self._processors.setdefault(gateset_name(made.gateset), made)
        return self._processors[gateset]

    @cached_property
    def _processors(self) -> dict[str | None, Processor]:
        """Processors made so far, by gate set."""
        return {}

    def noise_properties(self) -> cg.GoogleNoiseProperties:
        """Return the noise of the device by its calibration, complete for all qubits as `missing` says.

        Those of a bundled processor are cirq_google's own, which include phase errors that no calibration states.
        """
        own = self._noise_properties
        names = ("gate_times_ns", "t1_ns", "tphi_ns", "readout_errors", "gate_pauli_errors", "fsim_errors")
        parts: dict[str, Any] = {name: dict(getattr(own, name)) for name in names}
        return replace(own, **parts)

    @cached_property
    def _noise_properties(self) -> cg.GoogleNoiseProperties:
        from cirq_google.engine import load_device_noise_properties, noise_properties_from_calibration

        if self.source == "bundled":
            return load_device_noise_properties(self.processor_id)
        calibration = CalibratedDevice(self.device, self.calibration).calibration_for_noise()
        return noise_properties_from_calibration(calibration, gate_times_ns=self._gate_times_ns())

    def _gate_times_ns(self) -> dict[type[cirq.Gate], float]:
        """Return the durations of gates, ns: the device's, or Google's usual ones where it states 0 for a physical gate."""
        from cirq_google.engine.calibration_to_noise_properties import DEFAULT_GATE_NS
        from cirq_google.engine.virtual_engine_factory import extract_gate_times_ns_from_device

        stated = extract_gate_times_ns_from_device(self.device)
        return DEFAULT_GATE_NS | {kind: ns for kind, ns in stated.items() if ns or kind is cirq.ZPowGate}

    def _messages(self) -> dict[str, Any]:
        """Return device and calibration as JSON of their messages."""
        from cirq_google.api.v2.device_pb2 import DeviceSpecification
        from cirq_google.api.v2.metrics_pb2 import MetricsSnapshot
        from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]

        metrics = None if self.metrics is None else MessageToDict(MetricsSnapshot.FromString(self.metrics))
        return {
            "device_specification": MessageToDict(DeviceSpecification.FromString(self.specification)),
            "calibration": metrics,
        }


def find_snapshot(source: str | os.PathLike[str] | Snapshot) -> Snapshot:
    """Return the snapshot that a name or a file stands for.

    Args:
        source: Name of a processor bundled with cirq_google (willow_pink, weber or rainbow), path of a saved snapshot, path of
            a `DeviceSpecification` in binary, JSON or text form, which has no calibration, or a snapshot.

    Returns:
        The snapshot; bundled ones are loaded once.

    Raises:
        ValueError: There is no such processor, or the file is neither.
        FileNotFoundError: The path names no file.

    Example:
        >>> find_snapshot("weber").processor("sqrt_iswap").graph.number_of_edges()
        86
    """
    if isinstance(source, Snapshot):
        return source
    check_type(source, "processor", str | os.PathLike, "the name of a processor, such as 'willow_pink', a file or a snapshot")
    if source in PROCESSORS:
        return _bundled(str(source))
    path = Path(source)
    if path.is_file():
        return _from_file(path)
    if isinstance(source, os.PathLike) or path.suffix or len(path.parts) > 1:
        raise FileNotFoundError(f"no file {path}; {_ADVICE}, or one of {', '.join(PROCESSORS)}")
    raise ValueError(f"processor {source!r} must be one of {', '.join(PROCESSORS)}, or a file; {_ADVICE}")


def load_processor(source: str | os.PathLike[str] | Snapshot, gateset: str | None = None) -> Processor:
    """Return the processor of a name or file with its calibration: `find_snapshot(source).processor(gateset)`.

    Args:
        source: Name of a bundled processor, such as willow_pink, or what else `find_snapshot` takes.
        gateset: Gate set, cz, sqrt_iswap or sycamore; None takes the first one whose errors the calibration has.

    Returns:
        The processor; that of a name is made once.

    Raises:
        ValueError: The name or the gate set is unknown.

    Example:
        >>> load_processor("rainbow").graph.number_of_nodes()
        23
    """
    return find_snapshot(source).processor(gateset)


@lru_cache(maxsize=len(PROCESSORS))
def _bundled(name: str) -> Snapshot:
    from cirq_google.engine import load_median_device_calibration
    from cirq_google.engine.virtual_engine_factory import create_device_spec_from_processor_id

    calibration = load_median_device_calibration(name)
    metrics = calibration.to_proto()
    metrics.timestamp_ms = calibration.timestamp  # omitted by to_proto
    measured = datetime.fromtimestamp(calibration.timestamp / 1000, UTC).isoformat(timespec="seconds")
    specification = create_device_spec_from_processor_id(name)
    return Snapshot.from_protos(name, specification, metrics, snapshot_id=f"median {measured}", source="bundled")


def _from_file(path: Path) -> Snapshot:
    """Return the snapshot of a file, whose kind is known by its content."""
    content = read_bytes(path)
    if content.lstrip()[:1] == b"{":
        value = parse_json(content, path)
        if isinstance(value, dict) and "format" in value:
            return _from_json(value, path)
        return _from_specification(_parse_json_message(value, path, "device_specification"), path)
    return _from_specification(_parse_message(content, path), path)


def _from_json(value: object, path: str | os.PathLike[str]) -> Snapshot:
    """Return the snapshot of a saved file's content."""
    from cirq_google.api.v2.metrics_pb2 import MetricsSnapshot

    content = load(_File, value, path)
    specification = _parse_json_message(content.device_specification, path, "device_specification")
    metrics = None
    if content.calibration is not None:
        metrics = _parse_json_message(content.calibration, path, "calibration", MetricsSnapshot)
    names = ("snapshot_id", "config_name", "project", "source", "taken_utc")
    try:
        origin = {name: getattr(content, name) for name in names}
        snapshot = Snapshot.from_protos(content.processor_id, specification, metrics, **origin)
    except ValueError as error:
        raise FileError(path, f"{_NO_REPAIR}: {error}") from error
    if snapshot.source != "bundled":
        return snapshot
    bundled = _bundled(snapshot.processor_id) if snapshot.processor_id in PROCESSORS else None
    return bundled if bundled is not None and bundled.digest == snapshot.digest else replace(snapshot, source="file")


def _from_specification(specification: DeviceSpecification, path: Path) -> Snapshot:
    """Return a snapshot without calibration, named by its content, so that a renamed file is the same."""
    try:
        snapshot = Snapshot.from_protos("device", specification, None, source="file")
    except ValueError as error:
        raise FileError(path, f"{_NO_REPAIR}: {error}", _ADVICE) from error
    return replace(snapshot, processor_id=f"device-{snapshot.digest[:8]}")


def _parse_json_message(value: object, path: object, name: str, kind: Any = None) -> Any:
    """Return a message from its JSON, a `DeviceSpecification` if no other kind is given."""
    from cirq_google.api.v2.device_pb2 import DeviceSpecification
    from google.protobuf.json_format import ParseDict, ParseError

    try:
        if not isinstance(value, Mapping):
            raise ParseError("it is no object")
        return ParseDict(value, (DeviceSpecification if kind is None else kind)())
    except ParseError as error:
        raise FileError(path, f"its {name} cannot be read: {error}", _ADVICE) from error


def _parse_message(content: bytes, path: Path) -> DeviceSpecification:
    """Return the `DeviceSpecification` of a text or binary file."""
    from cirq_google.api.v2.device_pb2 import DeviceSpecification
    from google.protobuf import text_format  # type: ignore[import-untyped]
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    message = DeviceSpecification()
    try:
        text_format.Parse(content.decode(), message)
        return message
    except (UnicodeDecodeError, text_format.ParseError):
        message.Clear()
    try:
        message.ParseFromString(content)
        return message
    except DecodeError as error:
        raise FileError(path, f"it is neither a snapshot nor a device specification: {error}", _ADVICE) from error
