"""File format of journals: lines with a checksum, compressed circuits and counts, and the state that the lines add up to."""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from weakref import finalize

import cirq
import numpy as np
from numpy.typing import NDArray

from hattriq_cirq.circuits.errors import JournalError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution.backend import Job

FORMAT = "hattriq_cirq.Journal/2"
#: Formats that this version reads; the first one has no records of placements and programs.
READABLE = ("hattriq_cirq.Journal/1", FORMAT)
_MAY_DIFFER = {"threads", "versions", "directory", "path", "streaming"}  # settings that do not change the results
_HEADER = b' {"kind":"header"'
Record = dict[str, Any]


def to_line(record: Mapping[str, Any]) -> bytes:
    """Return a record as a line: CRC-32 in 8 hexadecimal digits, a space, JSON."""
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def from_line(line: bytes) -> Record | None:
    """Return the record of a line; None if the line is incomplete or its checksum is wrong."""
    text = line[9:-1]
    if line[-1:] != b"\n" or line[:9] != b"%08x " % zlib.crc32(text):
        return None
    record: Record = json.loads(text)
    return record


def pack_circuit(circuit: cirq.FrozenCircuit) -> tuple[str, str]:
    """Return the name of a circuit, which is the same in every process, and its Cirq JSON, gzipped, in base64."""
    key = id(circuit)  # equal circuits, such as X**0.5 and X**2.5, may have different JSON
    if key not in _packed:
        text = cirq.to_json(circuit, indent=None, separators=(",", ":")).encode()
        _packed[key] = sha256(text).hexdigest(), base64.b64encode(gzip.compress(text, 6, mtime=0)).decode()
        finalize(circuit, _packed.pop, key).atexit = False
    return _packed[key]


_packed: dict[int, tuple[str, str]] = {}  # cache for circuits that are still referenced


def unpack_circuit(text: str) -> cirq.FrozenCircuit:
    """Return the circuit that `pack_circuit` packed."""
    circuit: cirq.FrozenCircuit = cirq.read_json(json_text=gzip.decompress(base64.b64decode(text)).decode())
    return circuit


def pack_counts(distributions: Sequence[Distribution]) -> Record:
    """Return the counts of distributions: number of outcomes, or of bits, of each; outcomes seen; how often each was seen.

    Up to 20 measured bits the record gives the number of outcomes (`lengths`); if a distribution has more, it gives the number
    of bits instead, as a record of the kind `sparse_counts`, which older versions refuse.

    Raises:
        ValueError: The probabilities are not counts.
    """
    all_counts = [distribution.counts for distribution in distributions]
    for counts, distribution in zip(all_counts, distributions, strict=True):
        if not np.array_equal(counts / max(counts.sum(), 1), distribution.probabilities):
            raise ValueError(f"probabilities are not counts of {distribution.shots} shots, so they cannot be recorded")
    nonzero = [np.flatnonzero(counts) for counts in all_counts]
    outcomes = [
        index if distribution.support is None else distribution.support[index]
        for index, distribution in zip(nonzero, distributions, strict=True)
    ]
    sparse = any(distribution.support is not None for distribution in distributions)
    columns = {
        "bits" if sparse else "lengths": [d.n_bits if sparse else len(d.probabilities) for d in distributions],
        "seen": [len(index) for index in nonzero],
        "outcomes": np.concatenate([np.array([], int), *outcomes]),
        "counts": np.concatenate(
            [np.array([], int), *(counts[index] for counts, index in zip(all_counts, nonzero, strict=True))]
        ),
    }
    return {name: _pack_integers(np.asarray(column, dtype=np.uint64)) for name, column in columns.items()}


def kind_of_counts(packed: Record) -> str:
    """Return the kind of the record that holds packed counts."""
    return "sparse_counts" if "bits" in packed else "counts"


def unpack_counts(record: Mapping[str, Any]) -> list[Distribution]:
    """Return the distributions that `pack_counts` packed, exactly."""
    seen, outcomes, counts = (_unpack_integers(record[name]) for name in ("seen", "outcomes", "counts"))
    if "bits" in record:
        n_bits = _unpack_integers(record["bits"]).tolist()
    else:
        n_bits = [length.bit_length() - 1 for length in _unpack_integers(record["lengths"]).tolist()]
    distributions, start = [], 0
    for bits, number in zip(n_bits, seen.tolist(), strict=True):
        part = slice(start, start + number)
        distributions.append(Distribution.from_outcomes(outcomes[part], bits, counts[part]))
        start += number
    return distributions


def _pack_integers(values: NDArray[np.uint64]) -> list[str]:
    """Return the smallest type that holds the integers, and their compressed bytes in base64."""
    dtype = np.min_scalar_type(values.max(initial=0)).newbyteorder("<")
    return [dtype.str, base64.b64encode(zlib.compress(values.astype(dtype).tobytes())).decode()]


def _unpack_integers(packed: Sequence[str]) -> NDArray[np.int64]:
    return np.frombuffer(zlib.decompress(base64.b64decode(packed[1])), dtype=packed[0]).astype(np.int64)


def digest(programs: Sequence[ParameterizedCircuit], shots: Sequence[int] | None) -> str:
    """Return a key that identifies a call of an engine by its content, the same in every process.

    Args:
        programs: Programs of the call; the key depends on their circuits, points and requests.
        shots: Number of shots of each request; None for exact probabilities.

    Returns:
        A SHA-256 digest in hexadecimal.
    """
    parts = [[pack_circuit(p.circuit)[0], [_plain(point) for point in p.points], list(map(int, p.requests))] for p in programs]
    counts = None if shots is None else [int(count) for count in shots]
    return sha256(json.dumps([parts, counts], sort_keys=True).encode()).hexdigest()


def _plain(point: Mapping[str, float]) -> dict[str, float]:
    return {str(name): float(value) for name, value in point.items()}


def _integer(value: int | None) -> int | None:
    return None if value is None else int(value)


def plan_of(jobs: Iterable[Job]) -> tuple[list[Record], dict[str, str]]:
    """Return the plans of jobs as JSON, and every distinct packed circuit by its name."""
    plans: list[Record] = []
    circuits: dict[str, str] = {}
    for job in jobs:
        packed = [pack_circuit(circuit) for circuit in job.circuits]
        names = [name for name, _ in packed]
        points = [_plain(point) for point in job.points]
        plans.append(
            {"id": job.id, "circuits": names, "points": points, "shots": _integer(job.shots), "seed": _integer(job.seed)}
        )
        circuits |= packed
    return plans, circuits


def pack_programs(programs: Iterable[ParameterizedCircuit]) -> tuple[list[Record], dict[str, str]]:
    """Return programs as JSON, and every distinct circuit of theirs, packed, by its name."""
    records: list[Record] = []
    circuits: dict[str, str] = {}
    for program in programs:
        name, text = pack_circuit(program.circuit)
        circuits[name] = text
        points = [_plain(point) for point in program.points]
        records.append({"circuit": name, "requests": list(map(int, program.requests)), "points": points})
    return records, circuits


def unpack_programs(records: Iterable[Record], circuits: Mapping[str, str]) -> list[ParameterizedCircuit]:
    """Return the programs that `pack_programs` packed."""
    return [
        ParameterizedCircuit(unpack_circuit(circuits[r["circuit"]]), tuple(r["requests"]), tuple(r["points"])) for r in records
    ]


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

    plan: Record
    status: str = "planned"
    message: str = ""
    attempt: int = 0
    submitted: bool = False
    counts: Record | None = None

    @property
    def shots(self) -> int:
        """Number of shots of all its circuits and points."""
        return int(self.plan["shots"]) * len(self.plan["circuits"]) * len(self.plan["points"])


@dataclass
class Contents:
    """State of a run, obtained by applying the records of its journal in order."""

    header: Record = field(default_factory=dict)
    task: Record | None = None
    pid: int = 0
    ended: str = ""
    updated_utc: str = ""
    calls: dict[int, str] = field(default_factory=dict)
    jobs: dict[str, Entry] = field(default_factory=dict)
    circuits: dict[str, str] = field(default_factory=dict)
    prepared: dict[tuple[str, str], Any] = field(default_factory=dict)

    def apply(self, record: Record) -> None:
        """Apply the next record."""
        self.updated_utc = record["utc"]
        match record["kind"]:
            case "header":
                if record["format"] not in READABLE:
                    raise ValueError(f"its format is {record['format']!r}, this version reads {', '.join(READABLE)}")
                self.header = record
            case "opened":
                self.pid = record["pid"]
                self.ended = "" if self.ended == "cancelled" else self.ended
            case "task":
                self.task = record["task"]
            case "begin":
                self.ended = ""
                self.calls[record["call"]] = record["key"]
                self.circuits |= record["circuits"]
                self.jobs |= {plan["id"]: Entry(plan) for plan in record["jobs"]}
            case "placement" | "programs" as kind:
                self.circuits |= record.get("circuits", {})
                self.prepared[kind, record["key"]] = record[kind]
            case "note":
                entry = self.jobs[record["job"]]
                entry.status, entry.message = record["status"], record["message"]
                if entry.status == "submitting":
                    entry.submitted = True
                elif entry.status in ("failed", "cancelled"):
                    entry.attempt, entry.submitted = entry.attempt + 1, False
            case "counts" | "sparse_counts":
                entry = self.jobs[record["job"]]
                entry.status, entry.message, entry.counts = "done", "", record["counts"]
            case "finished" | "cancelled":
                self.ended = record["kind"]
            case kind:
                raise ValueError(f"a record of kind {kind!r}, which this version does not know")


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
        raise JournalError(f"{name} is not a journal of a run: line 1 is no header; move the file away, or name another folder")
    for number, line in enumerate(lines, start=1):
        try:
            record = from_line(line)
            if record is None and number == len(lines):
                break
            if record is None:
                raise ValueError("its checksum is wrong")
            contents.apply(record)
        except (LookupError, TypeError, ValueError) as error:
            raise JournalError(f"{name}, line {number} cannot be read: {error}; restore the file from a copy") from error
        whole += len(line)
    return contents, whole


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
