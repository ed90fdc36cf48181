"""Options of every command that runs circuits on an engine: caps, workers, the device. They may change when a run goes on."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Limits, workers and device of a run, which are no part of its identity: a run goes on with other ones.

    Args:
        max_shots (N): Cap on the shots of all jobs, those of earlier processes included; the job that would pass it is not
            submitted, and the run can go on with a larger cap (default: no cap).
        max_jobs (N): Cap on the number of jobs (default: no cap).
        max_seconds (X): Cap on the seconds of waiting for jobs, after which none is submitted (default: no cap).
        max_configuration_age (HOURS): Largest age of the configuration of a google processor, that is of its own calibration,
            checked when the first job is submitted and when the run is resumed (default: any age).
        recompile: If a google processor has a new configuration, compile the unfinished inputs anew for it and begin them
            again; finished inputs stay (default: the run stays on the configuration that it began with).
        workers (N): Number of processes of this machine that simulate; the results do not depend on it.
        scheduler (ADDRESS): Address of a Dask cluster whose workers simulate, such as tcp://127.0.0.1:8786 (default: none).
        device (NAME): Device that computes exact results and virtual processors, cpu, cuda or cuda:1; its results agree with
            those of cpu to the precision.
    """

    max_shots: int | None = None
    max_jobs: int | None = None
    max_seconds: float | None = None
    max_configuration_age: float | None = None
    recompile: bool = False
    workers: int = 1
    scheduler: str | None = None
    device: str = "cpu"

    @property
    def engine_options(self) -> dict[str, Any]:
        """Arguments of `parse_engine` that these options set."""
        return {field.name: getattr(self, field.name) for field in fields(EngineOptions)}

    def check_engine_options(self, engine: str) -> None:
        """Raise ValueError for an option out of range, or one that the named engine has no use for."""
        from hattriq_cirq.execution.caps import Caps
        from hattriq_cirq.foundation.devices import Device
        from hattriq_cirq.foundation.pool import check_workers

        Device.of(self.device)
        Caps(self.max_shots, self.max_jobs, self.max_seconds, self.max_configuration_age)
        if (self.max_configuration_age is not None or self.recompile) and not engine.startswith("google:"):
            raise ValueError(
                "--max-configuration-age and --recompile are for google:PROJECT/PROCESSOR, whose configuration changes; that "
                f"of {engine!r} does not"
            )
        if check_workers(self.workers, self.scheduler) != (1, None) and engine.startswith("google:"):
            raise ValueError(f"--workers and --scheduler are for simulators; {engine!r} runs its jobs itself")
