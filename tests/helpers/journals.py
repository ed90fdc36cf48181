"""Small journals and their records."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import sympy

from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.execution.backend import Job
from hattriq_cirq.execution.journal import JOURNAL, Journal
from hattriq_cirq.foundation.arrays import FloatArray

ENGINE = {"kind": "qsim", "seed": 1, "threads": 2}
TASK = {"command": "attribute", "settings": {"shots": 100, "seed": 1}, "directory": "/here"}
QUBITS = cirq.LineQubit.range(2)


def circuit(angle: float | sympy.Symbol = 0.25) -> cirq.FrozenCircuit:
    return cirq.FrozenCircuit(cirq.ry(angle)(QUBITS[0]), cirq.CZ(*QUBITS), cirq.measure(*QUBITS, key="m"))


def make_jobs(journal: Journal, count: int, shots: int = 8) -> list[Job]:
    return [Job(f"{journal.run_id}-001-{i:05d}", (circuit(i / 7),), ({},), shots, 2**63 + i) for i in range(count)]


def distributions_of(*counts: int) -> list[Distribution]:
    return [Distribution.from_counts(np.array(counts))]


def write_journal(folder: Path, count: int = 3) -> list[str]:
    """Write a journal of `count` jobs, all but the last with counts, and return their ids."""
    with Journal(folder, ENGINE, TASK) as journal:
        jobs = make_jobs(journal, count)
        journal.begin(1, "key", jobs)
        for i, job in enumerate(jobs[:-1]):
            journal.note(job.id, "submitting")
            journal.note(job.id, "queued")
            journal.store(job.id, distributions_of(i, 8 - i, 0, 0))
        journal.note(jobs[-1].id, "submitting")
    return [job.id for job in jobs]


def read_records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line[9:]) for line in (folder / JOURNAL).read_text().splitlines()]


def records_of_counts(folder: Path) -> dict[str, str]:
    """Return the records of counts in a journal by job, without their times."""
    return {record["job"]: json.dumps(record["counts"]) for record in read_records(folder) if record["kind"] == "counts"}


def interrupting(method: Callable[..., None], number: int, matches: Callable[..., bool] | None = None) -> Callable[..., None]:
    """Return a method of the journal that raises KeyboardInterrupt at the given number of calls that match, or of all."""
    left = [number]

    def called(self: Journal, *words: Any) -> None:
        left[0] -= matches is None or matches(*words)
        if not left[0]:
            raise KeyboardInterrupt
        method(self, *words)

    return called


def assert_from_same_counts(numbers: FloatArray, expected: FloatArray) -> None:
    """Raise AssertionError unless numbers that a file holds follow from the same counts.

    Linear algebra rounds differently on another kind of processor than the one that wrote the file; a count that is one more or
    less changes the numbers by over 1e-6.
    """
    np.testing.assert_allclose(numbers, expected, rtol=0, atol=1e-15)
