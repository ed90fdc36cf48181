"""Usage of a run: the shots, jobs and seconds that it has taken so far. Nothing here imports Cirq."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from hattriq_cirq.foundation.text import quantity


@dataclass(frozen=True)
class Usage:
    """Shots, jobs and seconds of a run.

    Args:
        shots: Number of shots of all submitted jobs.
        jobs: Number of submitted jobs.
        seconds: Seconds during which a process waited for at least one job.

    Example:
        >>> print(Usage(4000, 2, 1.5) + Usage(2000, 1))
        3 jobs with 6,000 shots in 1.5 s
    """

    shots: int = 0
    jobs: int = 0
    seconds: float = 0.0

    def __add__(self, other: Self) -> Usage:
        return Usage(self.shots + other.shots, self.jobs + other.jobs, self.seconds + other.seconds)

    def __str__(self) -> str:
        return f"{quantity(self.jobs, 'job')} with {self.shots:,} shots in {self.seconds:.1f} s"


class Meter:
    """Counter of the usage of a run.

    A job counts from its submission on, whatever becomes of it; one that is submitted again after it failed or was cancelled
    counts again, since the service may have run it. Time counts while at least one job is in progress and a process waits for
    it.
    """

    def __init__(self) -> None:
        self._used = Usage()
        self._in_progress: set[str] = set()
        self._last = 0.0

    def submit(self, job_id: str, shots: int) -> None:
        """Count a job that is submitted."""
        self._used += Usage(shots, 1)
        self._in_progress.add(job_id)

    def wait_for(self, job_id: str) -> None:
        """Count the time from now on, because a job is in progress."""
        self._in_progress.add(job_id)

    def end(self, job_id: str) -> None:
        """Count no more time for a job, which has ended."""
        self._in_progress.discard(job_id)

    def pause(self) -> None:
        """Count no more time for any job, because nobody waits."""
        self._in_progress.clear()

    def advance(self, now: float) -> None:
        """Count the seconds that have passed since the last call, if jobs were in progress."""
        if self._in_progress:
            self._used += Usage(seconds=max(0.0, now - self._last))
        self._last = now

    @property
    def used(self) -> Usage:
        """Usage up to the last call of `advance`."""
        return self._used
