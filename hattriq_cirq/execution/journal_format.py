"""Packed content of journals: circuits as compressed Cirq JSON, counts as compressed integers, and digests of calls."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, cast
from weakref import finalize

import cirq
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hattriq_cirq.circuits.errors import JournalError
from hattriq_cirq.circuits.outcomes import MAX_DENSE_BITS, Distribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.circuits.serialization import read_cirq_json
from hattriq_cirq.execution.backend import Job
from hattriq_cirq.execution.journal_records import JobPlan, PackedCounts, PackedIntegers, PackedProgram
from hattriq_cirq.foundation.identity import content_digest
from hattriq_cirq.foundation.reading import FileError, inflate, problem_of

MAX_CIRCUIT_BYTES = 2**27  # of the JSON text of one circuit: 128 MiB
MAX_COUNTS = 2**26  # outcomes of one job


def pack_circuit(circuit: cirq.FrozenCircuit) -> tuple[str, str]:
    """Return the name of a circuit, which is the same in every process, and its Cirq JSON, gzipped, in base64."""
    key = id(circuit)  # equal circuits, such as X**0.5 and X**2.5, may have different JSON
    if key not in _packed:
        text = cirq.to_json(circuit, indent=None, separators=(",", ":")).encode()
        _packed[key] = sha256(text).hexdigest(), base64.b64encode(gzip.compress(text, 6, mtime=0)).decode()
        finalize(circuit, _packed.pop, key).atexit = False
    return _packed[key]


_packed: dict[int, tuple[str, str]] = {}  # cache for circuits that are still referenced


def unpack_circuit(text: str, name: str = "") -> cirq.FrozenCircuit:
    """Return the circuit that `pack_circuit` packed.

    Args:
        text: Packed circuit.
        name: Name of the circuit, which must be that of its content; empty for any.

    Raises:
        JournalError: The text is damaged, or is that of another circuit.
    """
    what = f"circuit {name[:12]}".strip()
    try:
        content = inflate(base64.b64decode(text, validate=True), MAX_CIRCUIT_BYTES, what)
        if name and sha256(content).hexdigest() != name:
            raise FileError(what, "its content is that of another circuit")
        return read_cirq_json(content.decode(), what, cirq.FrozenCircuit)
    except ValueError as error:
        raise _unreadable(what, error) from error


def _unreadable(what: str, error: ValueError) -> JournalError:
    return JournalError(
        f"the journal's record of {what} cannot be unpacked: {problem_of(error)}; restore the journal from a copy"
    )


def pack_counts(distributions: Sequence[Distribution]) -> PackedCounts:
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
    lengths = [d.n_bits if sparse else len(d.probabilities) for d in distributions]
    packed: PackedCounts = {
        "seen": _pack_integers([len(index) for index in nonzero]),
        "outcomes": _pack_integers(np.concatenate([np.array([], int), *outcomes])),
        "counts": _pack_integers(
            np.concatenate([np.array([], int), *(counts[index] for counts, index in zip(all_counts, nonzero, strict=True))])
        ),
    }
    return {"bits": _pack_integers(lengths), **packed} if sparse else {"lengths": _pack_integers(lengths), **packed}


def kind_of_counts(packed: PackedCounts) -> str:
    """Return the kind of the record that holds packed counts."""
    return "sparse_counts" if "bits" in packed else "counts"


def unpack_counts(packed: PackedCounts, what: str = "counts") -> list[Distribution]:
    """Return the distributions that `pack_counts` packed, exactly.

    Args:
        packed: Packed counts.
        what: Name of the record in messages.

    Raises:
        JournalError: The record is damaged, or announces more outcomes than it holds.
    """
    try:
        n_bits = _unpack_bits(packed)
        seen, outcomes, counts = (_unpack_integers(packed[name], name) for name in ("seen", "outcomes", "counts"))
        if len(seen) != len(n_bits) or not len(outcomes) == len(counts) == sum(seen.tolist()) or counts.min(initial=1) < 1:
            raise ValueError(
                f"{len(n_bits)} circuits, {len(seen)} of them with outcomes, {len(outcomes)} outcomes, {len(counts)} counts"
            )
        ends = np.cumsum(seen).tolist()
        parts = [slice(end - number, end) for end, number in zip(ends, seen.tolist(), strict=True)]
        if any(outcomes[part].max(initial=0) >= 2**bits for part, bits in zip(parts, n_bits, strict=True)):
            raise ValueError("an outcome has more bits than were measured")
        return [
            Distribution.from_outcomes(outcomes[part], bits, counts[part]) for part, bits in zip(parts, n_bits, strict=True)
        ]
    except ValueError as error:
        raise _unreadable(what, error) from error


def _unpack_bits(packed: PackedCounts) -> list[int]:
    """Return the number of measured bits of each distribution."""
    if ("bits" in packed) == ("lengths" in packed):
        raise ValueError("either bits or lengths must be recorded")
    if "bits" in packed:
        return [int(bits) for bits in _unpack_integers(packed["bits"], "bits")]
    lengths = [int(length) for length in _unpack_integers(packed["lengths"], "lengths")]
    if wrong := [length for length in lengths if length.bit_count() != 1 or length > 2**MAX_DENSE_BITS]:
        raise ValueError(f"{wrong[0]} outcomes of a circuit must be a power of 2, at most 2**{MAX_DENSE_BITS}")
    return [length.bit_length() - 1 for length in lengths]


def _pack_integers(values: ArrayLike) -> PackedIntegers:
    """Return the smallest type that holds the integers, and their compressed bytes in base64."""
    integers = np.asarray(values, dtype=np.uint64)
    dtype = np.min_scalar_type(integers.max(initial=0)).newbyteorder("<")
    kind = cast(Any, dtype.str)
    return kind, base64.b64encode(zlib.compress(integers.astype(dtype).tobytes())).decode()


def _unpack_integers(packed: PackedIntegers, name: str) -> NDArray[np.int64]:
    dtype, text = packed
    content = inflate(base64.b64decode(text, validate=True), MAX_COUNTS * np.dtype(dtype).itemsize, name)
    values = np.frombuffer(content, dtype=dtype)
    if values.max(initial=0) >= 2**63:
        raise ValueError(f"a number of {name} is {values.max()}, must be below 2**63")
    return values.astype(np.int64)


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


def circuits_key(circuits: Iterable[cirq.AbstractCircuit], qubits: Iterable[cirq.Qid] = ()) -> str | None:
    """Return a digest of circuits and of the qubits that they run on, the same in every process; None if it cannot be formed.

    Args:
        circuits: Circuits; one whose gates have no Cirq JSON is known by what pickle would store.
        qubits: Qubits that they are placed on, in order.
    """
    names = [_circuit_name(circuit) for circuit in circuits]
    return None if None in names else content_digest((names, tuple(qubits)))


def _circuit_name(circuit: cirq.AbstractCircuit) -> str | None:
    try:
        return pack_circuit(circuit.freeze())[0]
    except (TypeError, ValueError):
        return content_digest(circuit)


def call_key(circuits: str | None, *settings: object) -> str | None:
    """Return the key of a call of an engine, which identifies it by its content.

    Args:
        circuits: Digest of its circuits, from `circuits_key`.
        settings: Everything else that decides its counts, such as shots and mitigation.

    Returns:
        Digests of the circuits and of the settings, joined by a hyphen; None if either cannot be formed.
    """
    rest = content_digest(settings)
    return None if circuits is None or rest is None else f"{circuits}-{rest}"


def _plain(point: Mapping[str, float]) -> dict[str, float]:
    return {str(name): float(value) for name, value in point.items()}


def _integer(value: int | None) -> int | None:
    return None if value is None else int(value)


def plan_of(jobs: Iterable[Job]) -> tuple[list[JobPlan], dict[str, str]]:
    """Return the plans of jobs as JSON, and every distinct packed circuit by its name."""
    plans: list[JobPlan] = []
    circuits: dict[str, str] = {}
    for job in jobs:
        packed = [pack_circuit(circuit) for circuit in job.circuits]
        names = [name for name, _ in packed]
        points = [_plain(point) for point in job.points]
        plans.append(
            {"id": job.id, "circuits": names, "points": points, "shots": int(job.shots or 0), "seed": _integer(job.seed)}
        )
        circuits |= packed
    return plans, circuits


def pack_programs(programs: Iterable[ParameterizedCircuit]) -> tuple[list[PackedProgram], dict[str, str]]:
    """Return programs as JSON, and every distinct circuit of theirs, packed, by its name."""
    records: list[PackedProgram] = []
    circuits: dict[str, str] = {}
    for program in programs:
        name, text = pack_circuit(program.circuit)
        circuits[name] = text
        points = [_plain(point) for point in program.points]
        records.append({"circuit": name, "requests": list(map(int, program.requests)), "points": points})
    return records, circuits


def unpack_programs(records: Iterable[PackedProgram], circuits: Mapping[str, str]) -> list[ParameterizedCircuit]:
    """Return the programs that `pack_programs` packed.

    Raises:
        JournalError: A circuit is damaged, or a program has another number of points than of requests.
    """
    unpacked = [(record, unpack_circuit(circuits[record["circuit"]], record["circuit"])) for record in records]
    try:
        return [ParameterizedCircuit(circuit, tuple(r["requests"]), tuple(r["points"])) for r, circuit in unpacked]
    except ValueError as error:
        raise _unreadable("programs", error) from error
