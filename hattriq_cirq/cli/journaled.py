"""Runs that survive being stopped: an engine with a journal and a task, and words on how to go on."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hattriq_cirq.cli.choices import parse_engine
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.execution.journal import JOURNAL, Journal
from hattriq_cirq.execution.journal_format import refuse_another
from hattriq_cirq.execution.journal_summary import read_summary


@contextmanager
def journaled(folder: Path, engine_text: str, seed: int, task: Mapping[str, Any]) -> Iterator[Engine]:
    """An engine whose jobs and counts are recorded in a folder; leaving without an error marks the run finished.

    An error passes on with a note on how to go on; a run that had begun nothing by then leaves nothing behind.

    Args:
        folder: from `run_folder`.
        engine_text: names the engine.
        seed: of its counts.
        task: what `hattriq resume` needs, as JSON.

    Yields:
        The engine.

    Raises:
        JournalInUseError: another process is working on this run.
        JournalError: the folder holds another run.
    """
    if (folder / JOURNAL).is_file() and (known := read_summary(folder).task) is not None:
        refuse_another(folder, "task", known, task)
    engine = parse_engine(engine_text, seed, folder)
    with journal_of(engine) as journal:
        try:
            journal.record_task(task)
            yield engine
            journal.finish()
        except BaseException as error:
            if journal.has_begun:
                error.add_note(how_to_go_on(folder))
            else:
                journal.discard()
            raise


def journal_of(engine: Engine) -> Journal:
    """The journal of an engine that has one."""
    assert engine.journal is not None
    return engine.journal


def how_to_go_on(folder: Path) -> str:
    """What to type to continue or give up a run."""
    name = shlex.quote(os.fspath(folder))
    return f"go on with `hattriq resume {name}`, or give up with `hattriq cancel {name}`"


def write_missing(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a result unless an earlier sitting of the run got so far; drafts that a kill left are removed."""
    for draft in path.parent.glob(f".{path.name}.*"):
        draft.unlink()
    if not path.exists():
        write(path)
