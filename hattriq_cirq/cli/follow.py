"""Runs in progress, followed until they end: a line per run with its jobs, shots, time left and last line of its log."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from hattriq_cirq.execution.journal_records import JOURNAL, is_locked
from hattriq_cirq.execution.journal_summary import RunSummary, read_summary
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.log import last_line
from hattriq_cirq.foundation.terminal import Stream
from hattriq_cirq.foundation.text import duration

_TIME = 21  # characters of a log line before its level


@dataclass
class FollowedRun:
    """Run whose journal is read again only after it has grown.

    Args:
        folder: Folder of the run.
    """

    folder: Path
    _size: int = -1
    _summary: RunSummary | None = None

    def update(self) -> RunSummary:
        """Return the present state of the run.

        Raises:
            JournalError: The journal cannot be read.
            OSError: The journal was removed.
        """
        file = self.folder / JOURNAL
        size = file.stat().st_size
        was_running = self._summary is not None and self._summary.status == "running"
        if self._summary is None or size != self._size or was_running != is_locked(file):
            self._size, self._summary = size, read_summary(self.folder)
        return self._summary


def follow(runs: dict[Path, FollowedRun], seconds: float) -> None:
    """Print a line per run until none is in progress: redrawn on a terminal, appended where it has changed otherwise.

    Args:
        runs: Runs by their folders.
        seconds: Seconds between two looks at the runs.
    """
    out = sys.stdout
    redraws = isinstance(out, Stream) and out.isatty()
    before: dict[Path, str] = {}
    while True:
        summaries = [run.update() for run in runs.values()]
        lines = {summary.folder: _line(summary) for summary in summaries}
        if redraws:
            assert isinstance(out, Stream)
            width = shutil.get_terminal_size().columns - 1
            out.move_up(len(before))
            print(*(line[:width] for line in lines.values()), sep="\n", flush=True)
        else:
            for folder, line in lines.items():
                if before.get(folder) != line:
                    print(line, flush=True)
        before = lines
        if all(summary.status != "running" for summary in summaries):
            return
        time.sleep(seconds)


def _line(run: RunSummary) -> str:
    """Return the line of a run."""
    parts = [str(run.folder), run.status, f"{run.done}/{run.jobs} jobs", f"{run.shots_done:,}/{run.shots:,} shots"]
    if run.status == "running" and run.done:
        parts.append(f"about {duration(run.used.seconds / run.done * (run.jobs - run.done))} left")
    return printable("  ".join([*parts, *filter(None, [last_line(run.folder)[_TIME:]])]))
