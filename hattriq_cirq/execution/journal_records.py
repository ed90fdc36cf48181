"""Records of journals: lines with a checksum, the fields of each kind of record, and the state that the records add up to.

Nothing here imports Cirq: circuits and counts stay packed, so that runs are listed at once. `journal_format` unpacks them.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from hattriq_cirq.circuits.errors import JournalError
from hattriq_cirq.execution.usage import Meter
from hattriq_cirq.foundation import files
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.reading import FileError, problem_of, read_bytes
from hattriq_cirq.foundation.schema import UPDATE, Count, Range, Size, check_format, load, parse_json

JOURNAL = "journal.jsonl"
FORMAT = "hattriq_cirq.Journal/2"
#: Formats that this version reads; the first one has no records of placements and programs.
READABLE = ("hattriq_cirq.Journal/1", FORMAT)
MAX_JOURNAL_BYTES = 2**33  # 8 GiB
_HEADER_BYTES = 2**20
_MAY_DIFFER = {"threads", "versions", "directory", "path", "streaming", "device"}  # settings that do not change the results
_HEADER = b' {"kind":"header"'
Record = dict[str, Any]
_Seed = Annotated[int, Range(0, 2**64 - 1)]
#: Integers: type of the numbers, and their bytes, compressed, in base64.
PackedIntegers = tuple[Literal["|u1", "<u2", "<u4", "<u8"], str]


class JobPlan(TypedDict):
    """Circuits by name, points, shots and seed of a job, recorded before it is submitted."""

    id: str
    circuits: list[str]
    points: list[dict[str, float]]
    shots: Size
    seed: _Seed | None


class PackedProgram(TypedDict):
    """Compiled program: the name of its circuit, its requests and points."""

    circuit: str
    requests: list[Count]
    points: list[dict[str, float]]


class PackedCounts(TypedDict):
    """Counts of a job, as `journal_format.pack_counts` returns them; either `lengths` or `bits` is there."""

    lengths: NotRequired[PackedIntegers]
    bits: NotRequired[PackedIntegers]
    seen: PackedIntegers
    outcomes: PackedIntegers
    counts: PackedIntegers


class PlacementRecord(TypedDict):
    """Physical qubits of a run as Cirq JSON, the kind of its encoder, and its predicted error."""

    qubits: str
    uses_edges: bool
    error: float


class _Any(TypedDict):
    kind: str
    utc: str


class _Header(_Any):
    format: str
    run_id: str
    engine: dict[str, Any]


class _Opened(_Any):
    pid: Count
    directory: str
    versions: dict[str, str]


class _Task(_Any):
    task: dict[str, Any]


class _Begin(_Any):
    call: Size
    key: str
    jobs: list[JobPlan]
    circuits: dict[str, str]
    requests: NotRequired[list[list[Count]]]


class _Placement(_Any):
    key: str
    placement: PlacementRecord


class _Programs(_Any):
    key: str
    programs: list[PackedProgram]
    circuits: dict[str, str]


class CapsRecord(TypedDict):
    """Caps of a run, and the largest age of the processor's configuration in hours; None sets no limit."""

    shots: Size | None
    jobs: Size | None
    seconds: Annotated[float, Range(0)] | None
    configuration_age: Annotated[float, Range(0)] | None


class _Caps(_Any):
    caps: CapsRecord


class _Configuration(_Any):
    engine: dict[str, Any]


class _Changed(_Any):
    text: str


class _Note(_Any):
    job: str
    status: str
    message: str


class _Counts(_Any):
    job: str
    counts: PackedCounts


#: Kind of a record -> its fields.
_KINDS: dict[str, type[_Any]] = {
    "header": _Header,
    "opened": _Opened,
    "task": _Task,
    "begin": _Begin,
    "placement": _Placement,
    "programs": _Programs,
    "caps": _Caps,
    "configuration": _Configuration,
    "changed": _Changed,
    "note": _Note,
    "paused": _Any,
    "counts": _Counts,
    "sparse_counts": _Counts,
    "finished": _Any,
    "cancelled": _Any,
}


def to_line(record: Mapping[str, Any]) -> bytes:
    """Return a record as a line: CRC-32 in 8 hexadecimal digits, a space, JSON."""
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def from_line(line: bytes) -> Record | None:
    """Return the record of a line; None if the line is incomplete or its checksum is wrong.

    Raises:
        FileError: The checksum is right, but the record is not as this version knows it.
    """
    text = line[9:-1]
    if line[-1:] != b"\n" or line[:9] != b"%08x " % zlib.crc32(text):
        return None
    content = parse_json(text, "record")
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind == "header":
        check_format(content.get("format"), *READABLE)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise FileError("record", f"a record of kind {kind!r}, which this version does not know; {UPDATE}")
    record: Record = dict(load(_KINDS[kind], content, "record"))
    return record


@dataclass
class Entry:
    """State of a job as recorded.

    Args:
        plan: Circuits, points, shots and seed, recorded before submission.
        status: Last recorded status.
        message: Explanation of a failure.
        attempt: Number of attempts that ended without counts.
        submitted: True if the submission of the present attempt had begun.
        counts: Packed counts, once they are recorded.
    """

    plan: JobPlan
    status: str = "planned"
    message: str = ""
    attempt: int = 0
    submitted: bool = False
    counts: PackedCounts | None = None

    @property
    def shots(self) -> int:
        """Number of shots of all its circuits and points."""
        return int(self.plan["shots"]) * len(self.plan["circuits"]) * len(self.plan["points"])


@dataclass(frozen=True)
class RecordedCall:
    """Call of an engine as recorded before its jobs were submitted.

    Args:
        key: Digest of its content; in journals of earlier versions, of its compiled programs and shots.
        jobs: Planned ids of its jobs.
        requests: Requests that each job belongs to; None in journals of earlier versions.
        versions: Versions of the software that recorded it.
        configuration: Index of the configuration of the processor that its jobs run on.
    """

    key: str
    jobs: tuple[str, ...]
    requests: tuple[tuple[int, ...], ...] | None
    versions: Mapping[str, str]
    configuration: int = 0


@dataclass
class Contents:
    """State of a run, obtained by applying the records of its journal in order."""

    header: Record = field(default_factory=dict)
    task: Record | None = None
    pid: int = 0
    ended: str = ""
    updated_utc: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    used_versions: list[Mapping[str, str]] = field(default_factory=list)
    calls: dict[int, RecordedCall] = field(default_factory=dict)
    jobs: dict[str, Entry] = field(default_factory=dict)
    circuits: dict[str, str] = field(default_factory=dict)
    prepared: dict[tuple[str, str], Any] = field(default_factory=dict)
    earlier: list[dict[tuple[str, str], Any]] = field(default_factory=list)
    engines: list[dict[str, Any]] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    last_call: int = 0
    caps: CapsRecord | None = None
    meter: Meter = field(default_factory=Meter)

    def apply(self, record: Record) -> None:
        """Apply the next record."""
        self.updated_utc = record["utc"]
        if record["kind"] == "opened":
            self.meter.pause()  # the process that wrote the records before has ended
        self.meter.advance(datetime.fromisoformat(record["utc"]).timestamp())
        match record["kind"]:
            case "header":
                if self.header:
                    raise ValueError("a second header")
                self.header, self.engines = record, [record["engine"]]
            case "opened":
                self.pid, self.versions = record["pid"], record["versions"]
                self.ended = "" if self.ended == "cancelled" else self.ended
            case "task":
                self.task = record["task"]
            case "begin":
                self.ended = ""
                self._use_versions()
                requests = record.get("requests")  # also of a call that a later version added to a journal of version 0.1
                self.calls[record["call"]] = RecordedCall(
                    record["key"],
                    tuple(plan["id"] for plan in record["jobs"]),
                    None if requests is None else _requests_of_jobs(record["jobs"], requests),
                    self.versions,
                    len(self.engines) - 1,
                )
                self.last_call = max(self.last_call, record["call"])
                self.circuits |= record["circuits"]
                self._check_circuits(name for plan in record["jobs"] for name in plan["circuits"])
                self.jobs |= {plan["id"]: Entry(plan) for plan in record["jobs"]}
            case "placement" | "programs" as kind:
                self.circuits |= record.get("circuits", {})
                self._check_circuits(program["circuit"] for program in record.get("programs", ()))
                self.prepared[kind, record["key"]] = record[kind]
            case "note" | "counts" | "sparse_counts":
                self._apply_to_job(record)
            case "finished" | "cancelled":
                self.ended = record["kind"]
            case _:
                self._apply_to_limits(record)

    def _apply_to_limits(self, record: Record) -> None:
        """Apply a record on the caps, the waiting or the processor's configuration."""
        match record["kind"]:
            case "caps":
                self.caps = record["caps"]
            case "paused":
                self.meter.pause()
            case "changed":
                self.changes.append(record["text"])
            case "configuration":
                self._begin_configuration(record["engine"])

    def _begin_configuration(self, engine: dict[str, Any]) -> None:
        """Go on with another configuration of the processor: calls that are not finished are forgotten and begin anew."""
        self.engines.append(engine)
        self.earlier.append(self.prepared)
        self.prepared, self.changes = {}, []
        for number, call in list(self.calls.items()):
            if any(self.jobs[job_id].counts is None for job_id in call.jobs):
                del self.calls[number]
                for job_id in call.jobs:
                    del self.jobs[job_id]

    def _apply_to_job(self, record: Record) -> None:
        """Apply a record of a job: its status or its counts."""
        entry = self._recorded_job(record["job"])
        if record["kind"] == "note":
            entry.status, entry.message = record["status"], record["message"]
        else:
            entry.status, entry.message, entry.counts = "done", "", record["counts"]
            self._use_versions()
        if entry.status == "submitting" and not entry.submitted:
            entry.submitted = True
            self.meter.submit(record["job"], entry.shots)
        elif entry.status in ("submitting", "queued", "running"):
            self.meter.wait_for(record["job"])
        else:
            self.meter.end(record["job"])
        if entry.status in ("failed", "cancelled"):
            entry.attempt, entry.submitted = entry.attempt + 1, False

    def _use_versions(self) -> None:
        """Remember the versions that plan a job or count its outcomes."""
        if self.versions not in self.used_versions:
            self.used_versions.append(self.versions)

    def version_notes(self) -> tuple[str, ...]:
        """Return a sentence on the versions that took part in the run one after the other; none if there is only one."""
        used = [*self.used_versions, *([] if self.versions in self.used_versions else [self.versions])]
        changes = []
        for name in dict.fromkeys(name for versions in used for name in versions):
            numbers = list(dict.fromkeys(versions.get(name, "none") for versions in used))
            if len(numbers) > 1:
                changes.append(f"{name} {', then '.join(numbers)}")
        return (f"This run was continued with other versions: {'; '.join(changes)}.",) if self.jobs and changes else ()

    def _recorded_job(self, job_id: str) -> Entry:
        if job_id not in self.jobs:
            raise ValueError(f"job {job_id!r} is not recorded")
        return self.jobs[job_id]

    def _check_circuits(self, names: Iterable[str]) -> None:
        if missing := next((name for name in names if name not in self.circuits), None):
            raise ValueError(f"circuit {missing!r} is not recorded")


def _requests_of_jobs(plans: Sequence[JobPlan], requests: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Return the requests of each job, one for each of its circuits and points."""
    if [len(own) for own in requests] != [len(plan["circuits"]) * len(plan["points"]) for plan in plans]:
        raise ValueError("its requests must be one for each circuit and point of each job")
    return tuple(map(tuple, requests))


def read(content: bytes, name: str) -> tuple[Contents, int]:
    """Return the state that a journal records and the number of bytes of its complete records; only the last may be incomplete.

    Args:
        content: Content of the file.
        name: Name of the file, for messages.

    Raises:
        JournalError: A record before the last is damaged, or the file is no journal.
    """
    contents, whole = Contents(), 0
    lines = [line for line in re.split(rb"(?<=\n)", content) if line]
    if lines and not _HEADER.startswith(lines[0][8 : 8 + len(_HEADER)]):
        raise JournalError(
            f"{printable(name)} is not a journal of a run: line 1 is no header; move the file away, or name another folder"
        )
    for number, line in enumerate(lines, start=1):
        try:
            record = from_line(line)
            if record is None and number == len(lines):
                break
            if record is None:
                raise ValueError("its checksum is wrong")
            contents.apply(record)
        except (LookupError, ValueError) as error:
            raise JournalError(
                printable(f"{name}, line {number} cannot be read: {problem_of(error)}; restore the file from a copy")
            ) from error
        whole += len(line)
    return contents, whole


def recorded_engine(folder: str | os.PathLike[str]) -> Mapping[str, Any]:
    """Return the description of the engine with which a run began; nothing of a folder without a journal that can be read."""
    path = Path(folder) / JOURNAL
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as file:
            record = from_line(file.readline(_HEADER_BYTES))
    except (OSError, LookupError, ValueError):
        return {}  # the journal says so when it is opened
    engine: Mapping[str, Any] = (record or {}).get("engine", {})
    return engine


def read_content(path: Path) -> bytes:
    """Return the bytes of a journal.

    Raises:
        JournalError: The path is no regular file, or the file is too large.
    """
    try:
        return read_bytes(path, MAX_JOURNAL_BYTES)
    except FileError as error:
        raise JournalError(str(error)) from None


def is_locked(path: Path) -> bool:
    """Return True if a running process holds the lock of a journal."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return not try_lock(descriptor, exclusive=False)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, *, exclusive: bool) -> bool:
    """Lock an open journal and return True, or return False if another process holds the lock.

    Where the file system has no locks, nobody holds one.
    """
    return files.try_lock(descriptor, exclusive=exclusive) is not False


def refuse_another(folder: Path, what: str, known: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise an error if the recorded engine or task of a run is not the given one.

    Args:
        folder: Folder of the run.
        what: Word for the compared records, such as `engine`.
        known: Recorded settings.
        given: Settings of the present run.

    Raises:
        JournalError: Settings that can change the results differ; the message lists them.
    """
    differences = list(_differences(known, as_json(given), what))
    if differences:
        raise JournalError(
            f"{folder} holds another run: {'; '.join(differences)}; repeat the run as it was, or give another folder"
        )


def as_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value after a round trip through JSON, so that it compares equal to a recorded one."""
    plain: dict[str, Any] = json.loads(json.dumps(value))
    return plain


def _differences(known: Any, given: Any, where: str) -> Iterator[str]:
    """Yield the differences between recorded and given JSON, in words."""
    if isinstance(known, dict) and isinstance(given, dict):
        for name in sorted((known.keys() | given.keys()) - _MAY_DIFFER):
            yield from _differences(known.get(name), given.get(name), f"{where}.{name}")
    elif known != given:
        yield f"{where} was {json.dumps(known)} and is now {json.dumps(given)}"
