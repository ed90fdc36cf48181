"""Caps of a run: the most shots, jobs and seconds that it may take, counted over all processes that work on it."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from pathlib import Path

from hattriq_cirq.circuits.errors import CapReachedError
from hattriq_cirq.execution.usage import Usage
from hattriq_cirq.foundation.checks import as_count, as_number, set_fields
from hattriq_cirq.foundation.terminal import shell_word
from hattriq_cirq.foundation.text import number_text


class CapWarning(UserWarning):
    """A run needs more than its caps allow; it will stop when it reaches one of them."""


@dataclass(frozen=True)
class Caps:
    """Largest usage of a run; None sets no limit.

    Args:
        shots: Number of shots of all jobs together.
        jobs: Number of jobs.
        seconds: Seconds of waiting for jobs, after which no job is submitted; jobs in progress are awaited.
        configuration_age: Largest age of the processor's configuration in hours, at the first submission of each process.

    Raises:
        ValueError: A cap is below 1, or not above 0 seconds.

    Example:
        >>> caps = Caps(shots=5000, jobs=10)
        >>> caps.reached(Usage(4000, 4), next_shots=1000), caps.reached(Usage(4000, 4), next_shots=2000)
        (None, 'shots')
    """

    shots: int | None = None
    jobs: int | None = None
    seconds: float | None = None
    configuration_age: float | None = None

    def __post_init__(self) -> None:
        shots, jobs = (
            None if value is None else as_count(value, f"max_{name}", advice="be a whole number, at least 1, or None")
            for name, value in (("shots", self.shots), ("jobs", self.jobs))
        )
        seconds, age = (
            None if value is None else as_number(value, f"max_{name}", above=0, advice="be a number above 0, or None")
            for name, value in (("seconds", self.seconds), ("configuration_age", self.configuration_age))
        )
        set_fields(self, shots=shots, jobs=jobs, seconds=seconds, configuration_age=age)

    def __bool__(self) -> bool:
        return self != Caps()

    def __str__(self) -> str:
        return (
            ", ".join(f"max_{name}={number_text(value)}" for name, value in vars(self).items() if value is not None) or "none"
        )

    def reached(self, used: Usage, next_shots: int) -> str | None:
        """Return the name of the first cap that another job of some shots would pass; None if the job may be submitted."""
        after = used + Usage(next_shots, 1)
        if self.shots is not None and after.shots > self.shots:
            return "shots"
        if self.jobs is not None and after.jobs > self.jobs:
            return "jobs"
        return "seconds" if self.seconds is not None and used.seconds >= self.seconds else None

    def shortfall(self, needed: Usage) -> str:
        """Return a sentence on the caps that are smaller than what is needed; an empty text if everything fits."""
        short = [
            f"max_{name}={allowed} of {getattr(needed, name)} {name}"
            for name, allowed in (("shots", self.shots), ("jobs", self.jobs))
            if allowed is not None and allowed < getattr(needed, name)
        ]
        return f"the caps allow only {' and '.join(short)} that are needed" if short else ""

    def error(
        self, name: str, used: Usage, next_shots: int, needed: Usage, folder: Path | None, *, is_command: bool
    ) -> CapReachedError:
        """Return the error of a run that reached a cap.

        Args:
            name: Name of the cap, from `reached`.
            used: Usage so far.
            next_shots: Number of shots of the job that was not submitted.
            needed: Usage that the run needs in all, as far as it is known.
            folder: Folder of the run; None if nothing is recorded.
            is_command: True if `hattriq resume` continues the run.
        """
        cap, enough = getattr(self, name), getattr(needed, name)
        if name == "seconds":
            enough = ceil(max(2 * cap, used.seconds * needed.jobs / max(used.jobs, 1)))
        if folder is None:
            cure = f"nothing is recorded without a journal; repeat the run with max_{name}={enough}"
        elif is_command:
            cure = f"all counts are kept; go on with `hattriq resume {shell_word(folder)} --max-{name} {enough}`"
        else:
            cure = f"all counts are kept in {folder}; go on with max_{name}={enough} and the same calls"
        return CapReachedError(
            f"max_{name}={number_text(cap)} is reached: {used} were submitted, the next job takes {next_shots:,} shots; {cure}"
        )
