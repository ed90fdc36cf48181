"""`hattriq runs`, `hattriq resume` and `hattriq cancel`: what became of runs, and what is to become of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import chdir, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from hattriq_cirq.circuits.errors import JournalError
from hattriq_cirq.cli.calibrate import CalibrateRun, CalibrateSettings, calibrate_into
from hattriq_cirq.cli.choices import parse_engine
from hattriq_cirq.cli.journaled import journal_of
from hattriq_cirq.cli.runs import AttributeRun, AttributeSettings, Task, attribute_into
from hattriq_cirq.execution.backend import Backend
from hattriq_cirq.execution.journal import JOURNAL, Journal
from hattriq_cirq.execution.journal_summary import RunSummary, read_summary

_HEADINGS: tuple[str, ...] = ("folder", "command", "engine", "status", "jobs", "shots", "updated (UTC)")


def list_runs(folder: str | os.PathLike[str]) -> None:
    """Prints a line for every run below a folder, the one last written to at the end.

    Args:
        folder: where to look.

    Raises:
        FileNotFoundError: no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}; give one that holds runs")
    found, unreadable = [], []
    for run in _folders_of_runs(root):
        try:
            found.append(read_summary(run))
        except JournalError as error:
            unreadable.append(str(error))
    if not found and not unreadable:
        print(f"no run on an engine below {root}; `hattriq attribute --help` shows how to start one")
        return
    rows = [_HEADINGS]
    rows += [_row(run) for run in sorted(found, key=lambda run: run.updated_utc)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for line in unreadable:
        print(f"unreadable: {line}")
    if any(run.status not in ("finished", "running") for run in found):
        print("`hattriq resume FOLDER` goes on with a run that is not finished")


def resume(run: str | os.PathLike[str]) -> AttributeRun | CalibrateRun:
    """Goes on with a run from what its journal says of the task.

    Args:
        run: its folder.

    Returns:
        The finished run.

    Raises:
        ValueError: nothing is left to do.
        JournalError: the folder holds no run, one of a script, or one that another process is working on.
    """
    summary, task = _open_task(run)
    if summary.status == "finished":
        raise ValueError(f"{run} is finished, nothing is left to do; `hattriq show {run}` prints it")
    folder, home = Path(run).absolute(), task["directory"]
    with chdir(home) if Path(home).is_dir() else nullcontext():
        if task["command"] == "calibrate":
            return calibrate_into(Path(task["out"]), CalibrateSettings(**task["settings"]))
        model, data = Path(task["model"]["path"]), Task.load(task["data"]["spec"])
        return replace(attribute_into(folder, model, data, AttributeSettings(**task["settings"])), folder=Path(run))


def cancel(run: str | os.PathLike[str]) -> None:
    """Cancels what a run has with its backend and records that it was given up.

    Args:
        run: its folder.

    Raises:
        ValueError: nothing is left to cancel.
        JournalError: the folder holds no run, one of a script, or one that another process is working on.
    """
    summary, task = _open_task(run)
    if summary.status in ("finished", "cancelled"):
        raise ValueError(f"{run} is {summary.status} already, nothing is left to cancel")
    engine = parse_engine(task["settings"]["engine"], task["settings"]["seed"], Path(run))
    with journal_of(engine) as journal:
        cancelled, kept = cancel_jobs(engine.backend, journal)
        journal.cancel()
        print(f"{run}: cancelled {cancelled} jobs, kept the counts of {kept}; `hattriq resume {run}` would still go on")


def cancel_jobs(backend: Backend, journal: Journal) -> tuple[int, int]:
    """Cancels the jobs of a journal that its backend still has; what was done by then is recorded.

    Args:
        backend: where they are.
        journal: what knows them.

    Returns:
        How many jobs are without counts and cancelled, and how many have counts.
    """
    for job_id in journal.unfinished():
        if journal.was_submitted(job_id):
            job = journal.job(job_id)
            if backend.poll(job).status in ("queued", "running"):
                backend.cancel(job.id)
            if backend.poll(job).status == "done":  # also if it was quicker than the cancellation
                journal.store(job_id, backend.results(job))
                continue
        journal.note(job_id, "cancelled", "by hattriq cancel")
    return len(journal.unfinished()), journal.done


def _folders_of_runs(root: Path) -> Iterator[Path]:
    """Every folder with a journal; hidden folders, such as those of installed packages, are left out."""
    for parent, folders, files in os.walk(root):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        if JOURNAL in files:
            yield Path(parent)


def _open_task(run: str | os.PathLike[str]) -> tuple[RunSummary, Mapping[str, Any]]:
    summary = read_summary(run)
    if summary.task is None:
        raise JournalError(f"{run} records no command: it was made by a script; run that again with the same journal")
    return summary, summary.task


def _row(run: RunSummary) -> tuple[str, ...]:
    task = run.task or {}
    return (
        str(run.folder),
        task.get("command", "-"),
        task.get("settings", {}).get("engine") or str(run.engine.get("kind", "-")),
        run.status,
        f"{run.done}/{run.jobs}",
        f"{run.shots_done}/{run.shots}",
        run.updated_utc[:19].replace("T", " "),
    )
