"""Options of every command that runs circuits on an engine: its caps. They may change when a run goes on."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Limits on what a run takes, which are no part of its identity: a run that reached one goes on with a larger one.

    Args:
        max_shots (N): Cap on the shots of all jobs, those of earlier processes included; the job that would pass it is not
            submitted, and the run can go on with a larger cap (default: no cap).
        max_jobs (N): Cap on the number of jobs (default: no cap).
        max_seconds (X): Cap on the seconds of waiting for jobs, after which none is submitted (default: no cap).
    """

    max_shots: int | None = None
    max_jobs: int | None = None
    max_seconds: float | None = None

    @property
    def engine_options(self) -> dict[str, Any]:
        """Arguments of `parse_engine` that these options set."""
        return {field.name: getattr(self, field.name) for field in fields(EngineOptions)}

    def check_engine_options(self) -> None:
        """Raise ValueError for an option out of range."""
        from hattriq_cirq.execution.caps import Caps

        Caps(self.max_shots, self.max_jobs, self.max_seconds)
