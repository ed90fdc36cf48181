"""Progress of a run, read from its journal without continuing the run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hattriq_cirq.circuits.errors import JournalError
from hattriq_cirq.execution.journal_records import JOURNAL, CapsRecord, Contents, is_locked, read, read_content
from hattriq_cirq.execution.usage import Usage

RunStatus = Literal["finished", "planned", "unfinished", "running", "failed", "cancelled"]


@dataclass(frozen=True)
class RunSummary:
    """Progress of a run.

    Args:
        folder: Folder of the run.
        run_id: Prefix of its jobs' ids.
        task: Record of the command that the run belongs to, if there is one.
        engine: Record of the backend.
        jobs: Number of jobs that were planned so far.
        done: Number of jobs whose counts are recorded.
        circuits: Number of circuits of all planned jobs, each point of a sweep counted.
        shots_done: Number of shots of these finished jobs.
        shots: Number of shots of all planned jobs.
        status: Status of the run; `planned` if its jobs are recorded and none was submitted, as by a dry run, `running` if a
            living process works on it, `failed` or `cancelled` if one of its jobs was.
        begun_utc: Time of the first record, ISO 8601.
        updated_utc: Time of the last record, ISO 8601.
        used: Shots, jobs and seconds that count towards the caps.
        caps: Caps of the run; None if it never had any.
    """

    folder: Path
    run_id: str
    task: Mapping[str, Any] | None
    engine: Mapping[str, Any]
    jobs: int
    done: int
    circuits: int
    shots_done: int
    shots: int
    status: RunStatus
    begun_utc: str
    updated_utc: str
    used: Usage
    caps: CapsRecord | None


def read_summary(folder: str | os.PathLike[str]) -> RunSummary:
    """Read the progress of a run, also while another process works on it.

    Args:
        folder: Folder of the run.

    Returns:
        The summary.

    Raises:
        JournalError: The folder holds no journal, or one that cannot be read.
    """
    path = Path(folder) / JOURNAL
    if not path.is_file():
        raise JournalError(f"{folder} holds no run: there is no {JOURNAL} in it; `hattriq runs` lists the runs below a folder")
    locked = is_locked(path)
    contents, _ = read(read_content(path), str(path))
    entries = contents.jobs.values()
    return RunSummary(
        folder=Path(folder),
        run_id=contents.header.get("run_id", ""),
        task=contents.task,
        engine=contents.engines[-1] if contents.engines else {},
        jobs=len(entries),
        done=sum(entry.counts is not None for entry in entries),
        circuits=sum(len(entry.plan["circuits"]) * len(entry.plan["points"]) for entry in entries),
        shots_done=sum(entry.shots for entry in entries if entry.counts is not None),
        shots=sum(entry.shots for entry in entries),
        status="running" if locked else _status(contents),
        begun_utc=contents.header.get("utc", ""),
        updated_utc=contents.updated_utc,
        used=contents.meter.used,
        caps=contents.caps,
    )


def _status(contents: Contents) -> RunStatus:
    """Return the status of a run that no process works on; a run without a task is finished when its jobs are."""
    states = {entry.status for entry in contents.jobs.values()}
    if contents.ended == "finished" or (contents.task is None and states == {"done"}):
        return "finished"
    if contents.ended == "cancelled" or "cancelled" in states:
        return "cancelled"
    if states == {"planned"}:
        return "planned"
    return "failed" if "failed" in states else "unfinished"
