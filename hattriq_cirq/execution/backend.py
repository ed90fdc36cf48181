"""What runs circuits: one small interface for simulators on this machine and processors far away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import cirq

from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import Point
from hattriq_cirq.compilation.processor import Processor

Status = Literal["unknown", "queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, eq=False)
class Job:
    """One submission: every circuit at every point, `shots` times each.

    Args:
        id: chosen by us and recorded before the job is submitted, so that it can be found again.
        circuits: as they will run; each ends in one measurement. Several circuits have no symbols.
        points: of the sweep.
        shots: of each circuit at each point; None for exact probabilities.
        seed: of its counts, where the backend draws them; a job gives the same counts whenever it runs.
    """

    id: str
    circuits: tuple[cirq.FrozenCircuit, ...]
    points: tuple[Point, ...]
    shots: int | None
    seed: int | None

    @property
    def runs(self) -> int:
        """Circuits times points: how many distributions its results hold, points within circuits."""
        return len(self.circuits) * len(self.points)


@dataclass(frozen=True)
class State:
    """Where a job is, as its backend sees it; `unknown` if it never heard of it.

    `code` and `message` explain a failure.
    """

    status: Status
    code: str = ""
    message: str = ""


@dataclass(frozen=True)
class Limits:
    """What fits into one job, and how many jobs may be under way.

    Args:
        shots: circuits times points times shots of a job, at most.
        circuits: different circuits in one job, at most.
        bytes: of a job's serialised circuits and sweep, at most; None where nothing is sent.
        jobs: submitted and not finished, at most.
    """

    shots: int = 5_000_000
    circuits: int = 1
    bytes: int | None = None
    jobs: int = 1


class Backend(Protocol):
    """What an engine needs of whatever runs circuits."""

    @property
    def name(self) -> str:
        """What results say they were run on."""

    @property
    def seed(self) -> int | None:
        """The seed of everything random in it; None where nothing can be seeded."""

    @property
    def limits(self) -> Limits:
        """What fits into one job."""

    @property
    def processor(self) -> Processor | None:
        """What circuits must be compiled for; None where any circuit runs."""

    def describe(self) -> dict[str, Any]:
        """What a record needs to know of it, as JSON: kind, processor, configuration and snapshot ids, settings."""

    def size(self, job: Job) -> int:
        """The bytes that submitting a job would send; asked for only where `limits.bytes` is a number."""

    def submit(self, job: Job) -> None:
        """Hands a job over without waiting for it; one whose id is known already is not run again."""

    def poll(self, job: Job) -> State:
        """Where a job is; jobs of other processes are found by their ids."""

    def results(self, job: Job) -> list[Distribution]:
        """The distributions of a finished job, one for each point of each circuit; the same ones when asked again."""

    def cancel(self, job_id: str) -> None:
        """Cancels a job that has not finished; nothing happens to others."""
