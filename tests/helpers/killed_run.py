"""Runs of 50 jobs in forked processes to be killed, one for each line KIND FOLDER RESULT LOG of standard input."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cirq
import numpy as np
from forked import serve

from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.execution.backend import Job, Limits, State
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.execution.journal_format import pack_circuit

JOBS, SHOTS, SEED = 50, 1000, 7
SECONDS = 0.002  # duration of a job
QUBITS = cirq.LineQubit.range(3)


class SlowBackend:
    """Backend that runs a job slowly when its results are requested and keeps nothing when its process ends."""

    name, seed, processor = "slow", SEED, None
    limits = Limits(circuits=1, jobs=1)

    def __init__(self, log: Path) -> None:
        self.log = log

    def describe(self) -> dict[str, Any]:
        return {"kind": self.name, "seed": self.seed}

    def size(self, job: Job) -> int:
        return 0

    def check(self, job: Job) -> None:
        pass

    def submit(self, job: Job) -> None:
        pass

    def poll(self, job: Job) -> State:
        return State("done")

    def results(self, job: Job) -> list[Distribution]:
        return self.execute(job)

    def cancel(self, job_id: str) -> None:
        pass

    def execute(self, job: Job) -> list[Distribution]:
        """Sample counts with the job's seed and add the job to the log."""
        with self.log.open("a") as log:
            log.write(f"{job.id}\n")
        time.sleep(SECONDS)
        rng = np.random.default_rng(job.seed)
        probabilities = [np.abs(cirq.final_state_vector(circuit[:-1], qubit_order=QUBITS)) ** 2 for circuit in job.circuits]
        return [
            Distribution.from_counts(rng.multinomial(job.shots or 0, p.astype(float) / p.sum(dtype=float)))
            for p in probabilities
        ]


class RemoteBackend(SlowBackend):
    """Backend whose jobs are kept in a folder like those of a service: a known job is not run again."""

    name = "remote"
    limits = Limits(circuits=1, jobs=4)

    def _file(self, job: Job) -> Path:
        return self.log.parent / f"{self.log.name}-{job.id}.npy"

    def submit(self, job: Job) -> None:
        if not self._file(job).exists():
            (found,) = self.execute(job)
            draft = self._file(job).with_suffix(".draft.npy")
            np.save(draft, found.counts)
            draft.rename(self._file(job))

    def poll(self, job: Job) -> State:
        if not self._file(job).exists():
            return State("unknown")
        age = time.time() - self._file(job).stat().st_mtime
        return State("queued" if age < 2 * SECONDS else "done")  # never "running", so that journals are of one size

    def results(self, job: Job) -> list[Distribution]:
        return [Distribution.from_counts(np.load(self._file(job)))]


KINDS: dict[str, Callable[[Path], SlowBackend]] = {"slow": SlowBackend, "remote": RemoteBackend}


def circuits() -> list[cirq.Circuit]:
    """Return fifty different circuits."""
    tail = [cirq.CZ(*QUBITS[:2]), cirq.measure(*QUBITS, key="m")]
    return [cirq.Circuit([cirq.ry(0.1 + i / 9 + k)(q) for k, q in enumerate(QUBITS)], tail) for i in range(JOBS)]


def run(kind: str, folder: Path, result: Path, log: Path) -> None:
    """Start or resume the run and save the counts."""
    engine = Engine(KINDS[kind](log), journal=folder, poll_seconds=0.001)
    found = engine.run(circuits(), [SHOTS] * JOBS)
    draft = result.with_suffix(".draft.npy")
    np.save(draft, np.array([distribution.counts for distribution in found]))
    draft.rename(result)


def run_line(line: str) -> int:
    """Run once, with the words of a line."""
    kind, *paths = line.split()
    run(kind, *map(Path, paths))
    return 0


if __name__ == "__main__":
    cirq.final_state_vector(circuits()[0][:-1])  # slow only the first time
    pack_circuit(circuits()[0].freeze())
    serve(run_line)
