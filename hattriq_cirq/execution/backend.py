"""The `Backend` interface, implemented by simulators and remote processors, and the jobs that it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import cirq

from hattriq_cirq.circuits.errors import EngineError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import Point
from hattriq_cirq.compilation.processor import Processor

Status = Literal["unknown", "queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, eq=False)
class Job:
    """One submission: every circuit at every point, each with the same number of shots.

    Args:
        id: Id chosen by the engine and recorded before submission, so that the job can be identified later.
        circuits: Compiled circuits, each ending in one measurement. If there are several, they have no symbols.
        points: Points of the sweep.
        shots: Number of shots of each circuit at each point; None for exact probabilities.
        seed: Random seed of the counts, for backends that sample them; the same seed gives the same counts.
        shots_before: Number of shots of the run that come before those of the job, for backends whose errors drift.
    """

    id: str
    circuits: tuple[cirq.FrozenCircuit, ...]
    points: tuple[Point, ...]
    shots: int | None
    seed: int | None
    shots_before: int = 0

    @property
    def runs(self) -> int:
        """Number of distributions in the results: circuits times points, ordered by circuit, then by point."""
        return len(self.circuits) * len(self.points)


@dataclass(frozen=True)
class State:
    """State of a job at its backend; `unknown` if the backend has no job of this id.

    Args:
        status: Status of the job.
        code: Error code of a failure.
        message: Explanation of a failure.
        error: Error that says what to do about a job that failed or was cancelled; None if the backend knows no more.
    """

    status: Status
    code: str = ""
    message: str = ""
    error: EngineError | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Limits:
    """Largest size of a job and largest number of unfinished jobs.

    Args:
        shots: Maximum of circuits times points times shots per job.
        circuits: Maximum number of different circuits per job.
        bytes: Maximum size of a job's serialised circuits and sweep; None if nothing is sent.
        jobs: Maximum number of jobs that are submitted and not finished.
    """

    shots: int = 5_000_000
    circuits: int = 1
    bytes: int | None = None
    jobs: int = 1


class Backend(Protocol):
    """Interface between an engine and the simulator or processor that runs its jobs."""

    @property
    def name(self) -> str:
        """Name that results carry."""

    @property
    def seed(self) -> int | None:
        """Random seed from which all counts follow; None if the backend cannot be seeded."""

    @property
    def limits(self) -> Limits:
        """Limits of one job."""

    @property
    def processor(self) -> Processor | None:
        """Processor that circuits must be compiled for; None if the backend runs any circuit."""

    def describe(self) -> dict[str, Any]:
        """Return the record of the backend as JSON: kind, processor, configuration and snapshot ids, settings."""

    def size(self, job: Job) -> int:
        """Return the number of bytes that submitting a job would send; called only if `limits.bytes` is a number."""

    def check(self, job: Job) -> None:
        """Raise an error for a job that cannot be run, such as `CircuitRefusedError`; nothing is submitted."""

    def submit(self, job: Job) -> None:
        """Submit a job without waiting for it; a job whose id is already known is not run again."""

    def poll(self, job: Job) -> State:
        """Return the state of a job; a job that another process submitted is identified by its id."""

    def results(self, job: Job) -> list[Distribution]:
        """Return the distributions of a finished job, ordered by circuit, then by point; every call returns the same ones."""

    def cancel(self, job_id: str) -> None:
        """Cancel a job if it has not finished; other ids are ignored."""


@runtime_checkable
class ConfiguredBackend(Protocol):
    """Backend of a processor whose configuration changes with time, while its jobs are pinned to one snapshot."""

    def check_configuration(self, max_age_hours: float | None, jobs: Sequence[Job]) -> str:
        """Check that the processor takes jobs, and that the pinned configuration may still be used for some of them.

        Args:
            max_age_hours: Largest age of the pinned configuration; None for any.
            jobs: Jobs that are about to be submitted.

        Returns:
            Note for the result if the processor has another configuration by now; else an empty text.

        Raises:
            ProcessorUnavailableError: The processor takes no jobs now.
            StaleConfigurationError: The pinned configuration is too old, or no longer offered.
            CircuitRefusedError: The circuits use qubits that the processor no longer has.
        """

    def keep_configuration(self) -> None:
        """Write the pinned configuration into the folder of the run, so that a resume does not depend on the service."""

    def earlier_processor(self, record: Mapping[str, Any]) -> Processor:
        """Return the processor of an earlier configuration of the run, from the record of the backend that ran on it."""
