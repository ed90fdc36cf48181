"""`hattriq runs`: the runs on engines below a folder and their progress."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.text import aligned

if TYPE_CHECKING:
    from hattriq_cirq.execution.journal_summary import RunSummary

_HEADINGS: tuple[str, ...] = ("folder", "command", "engine", "status", "jobs", "shots", "updated (UTC)")
_SECONDS = 1.0  # between two looks at runs in progress


@dataclass(frozen=True)
class Runs:
    """List runs and their progress.

    Every run on an engine below a folder is listed as finished, planned (recorded by a dry run, nothing submitted),
    unfinished, running (a process is working on it), failed or cancelled, with the jobs and shots whose counts are recorded.

    `hattriq resume` continues planned, unfinished, failed and cancelled runs.

    With --csv, a table of all runs is printed, also of those without an engine: training, exact maps and calibrations. It
    holds settings, model, engine, processor, accuracy, errors, completeness gap and cost. In Python, `hq.runs.to_frame(FOLDER)`
    is the same table. The exit code is 1 if a run cannot be read; its row says why.

    With --follow, the runs in progress are shown with the time left and the last line of their logs, until none is left
    or Ctrl-C ends it; the runs themselves go on. Each run has a log, `hattriq.log`, in its folder.

    Args:
        folder (FOLDER): Folder to search.
        follow: Follow the runs in progress.
        csv: Print a table of all runs as CSV.
        per (WHAT): Rows of the table, one per run or one per input.

    Examples:
        hattriq runs
        hattriq runs runs
        hattriq runs runs/hardware --follow
        hattriq runs runs --csv > runs.csv
        hattriq runs runs --csv --per input > inputs.csv
    """

    folder: str = "."
    _: KW_ONLY
    follow: bool = False
    csv: bool = False
    per: Literal["run", "input"] = "run"

    def run(self) -> int:
        """Print one line per run, the one that was updated last at the end, or a table of all."""
        if self.csv and self.follow:
            raise ValueError("--csv prints a table and --follow watches runs in progress; give one of them")
        if self.per != "run" and not self.csv:
            raise ValueError(f"--per {self.per} is for the table that --csv prints; give both")
        root = Path(self.folder)
        if not root.is_dir():
            raise FileNotFoundError(f"no folder {root}; give one that holds runs")
        if self.csv:
            return _print_table(root, self.per)
        runs, unreadable = _summaries(root)
        if not runs and not unreadable:
            print(f"no run on an engine below {root}; `hattriq attribute --help` shows how to start one")
            return 0
        if self.follow:
            return _follow(runs, root)
        rows = [_HEADINGS, *(_row(run) for run in sorted(runs, key=lambda run: run.updated_utc))]
        print(aligned(rows))
        for line in unreadable:
            print(line)
        stopped = [run for run in runs if run.status not in ("finished", "running")]
        if any(run.task is not None for run in stopped):
            print("`hattriq resume FOLDER` continues a run that is not finished")
        if any(run.task is None for run in stopped):
            print("a run without a command was made by a script, or stopped at once: repeat what began it")
        return 0


def _summaries(root: Path) -> tuple[list[RunSummary], list[str]]:
    """Return the runs with a journal at or below a folder, and a line for each journal that cannot be read."""
    from hattriq_cirq.circuits.errors import JournalError
    from hattriq_cirq.execution.journal_records import JOURNAL
    from hattriq_cirq.execution.journal_summary import read_summary
    from hattriq_cirq.reporting.records import find_runs

    runs, unreadable = [], []
    for folder in find_runs(root):
        if (folder / JOURNAL).is_file():
            try:
                runs.append(read_summary(folder))
            except (JournalError, OSError) as error:
                unreadable.append(printable(f"unreadable: {error}"))
    return runs, unreadable


def _print_table(root: Path, per: Literal["run", "input"]) -> int:
    """Print the table of all runs as CSV; return 1 if one of them cannot be read."""
    from hattriq_cirq.foundation.progress import progress_bars
    from hattriq_cirq.foundation.terminal import is_watched
    from hattriq_cirq.reporting.records import find_runs
    from hattriq_cirq.reporting.runs import to_frame

    with progress_bars(is_watched()):
        table = to_frame(find_runs(root), per=per)
    sys.stdout.write(table.to_csv(index=False, lineterminator="\n"))
    return int((table["status"] == "unreadable").any())


def _follow(runs: Sequence[RunSummary], root: Path) -> int:
    """Follow the runs in progress until they end or Ctrl-C is pressed."""
    from hattriq_cirq.cli.follow import FollowedRun, follow

    followed = {run.folder: FollowedRun(run.folder) for run in runs if run.status == "running"}
    if not followed:
        print(printable(f"no run is in progress below {root}; `hattriq runs {root}` lists all"))
        return 0
    with suppress(KeyboardInterrupt):
        follow(followed, _SECONDS)
    return 0


def _row(run: RunSummary) -> tuple[str, ...]:
    task = run.task or {}
    settings = task.get("settings")
    engine = settings.get("engine") if isinstance(settings, dict) else None
    cells = (
        run.folder,
        task.get("command", "-"),
        engine or run.engine.get("kind", "-"),
        run.status,
        f"{run.done}/{run.jobs}",
        f"{run.shots_done}/{run.shots}",
        run.updated_utc[:19].replace("T", " "),
    )
    return tuple(printable(cell) for cell in cells)
