"""`hattriq cancel`: give up a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hattriq_cirq.cli.commands.resume import recorded_command
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.terminal import shell_word
from hattriq_cirq.foundation.text import quantity

if TYPE_CHECKING:
    from hattriq_cirq.execution.backend import Backend
    from hattriq_cirq.execution.journal import Journal


@dataclass(frozen=True)
class Cancel:
    """Give up a run.

    The jobs of a stopped run that are still with the service are cancelled, and the run is recorded as cancelled.

    Counts of jobs that were done before are kept, and `hattriq resume` can still continue the run.

    Args:
        folder (RUN): Folder of the run.

    Examples:
        hattriq cancel runs/noisy
    """

    folder: str

    def run(self) -> int:
        """Cancel the jobs of the run and record that it was given up."""
        from hattriq_cirq.reporting.records import read_task

        summary, task = read_task(self.folder)
        if summary.status in ("finished", "cancelled"):
            raise ValueError(f"{self.folder} is {summary.status} already, nothing is left to cancel")
        done = f"{summary.done} of {summary.jobs} jobs are done"
        print(f"{printable(self.folder)}: {done}, cancelling the others", flush=True)
        command = recorded_command(self.folder, task)
        from hattriq_cirq.cli.folders import engine_journal
        from hattriq_cirq.workflows.values import parse_engine

        engine = parse_engine(command.engine, command.seed, Path(self.folder))
        with engine_journal(engine) as journal:
            cancelled, kept = cancel_jobs(engine.backend, journal)
            journal.cancel()
        print(
            f"{printable(self.folder)}: cancelled {quantity(cancelled, 'job')}, kept the counts of {kept}; "
            f"`hattriq resume {shell_word(self.folder)}` can still continue the run"
        )
        return 0


def cancel_jobs(backend: Backend, journal: Journal) -> tuple[int, int]:
    """Cancel the unfinished jobs of a journal, and record the counts of those that were done in the meantime.

    Args:
        backend: Backend that runs the jobs.
        journal: Journal that records them.

    Returns:
        The number of jobs without counts, which are cancelled, and the number of jobs with counts.
    """
    for job_id in journal.unfinished():
        if journal.was_submitted(job_id):
            job = journal.job(job_id)
            if backend.poll(job).status in ("queued", "running"):
                backend.cancel(job.id)
            if backend.poll(job).status == "done":  # also if it finished before the cancellation
                journal.store(job_id, backend.results(job))
                continue
        journal.note(job_id, "cancelled", "by hattriq cancel")
    return len(journal.unfinished()), journal.done
