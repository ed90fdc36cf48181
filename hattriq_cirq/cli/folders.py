"""Folders of runs: fresh or continued, with a journal where shots are counted, their records, and tables of what they hold."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import hattriq_cirq as hq
from hattriq_cirq.circuits.errors import JournalError
from hattriq_cirq.cli.values import parse_engine
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.execution.journal import Journal
from hattriq_cirq.execution.journal_records import JOURNAL, as_json, refuse_another
from hattriq_cirq.execution.journal_summary import RunSummary, read_summary
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.provenance import Provenance
from hattriq_cirq.foundation.terminal import shell_word
from hattriq_cirq.workflows.accuracies import Accuracy

FORMAT = "hattriq_cirq.Run/1"
Record = Mapping[str, Any]


@contextmanager
def journaled(folder: Path | None, engine_text: str, seed: int, task: Record) -> Iterator[Engine]:
    """Yield an engine that records its jobs and counts in a folder; leaving without an error marks the run as finished.

    An error passes on with a note on how to continue. A run that stops before its first job leaves nothing behind.

    Args:
        folder: Folder from `check_journaled_run`; None records nothing.
        engine_text: Name of the engine.
        seed: Random seed for the counts.
        task: Everything that `hattriq resume` needs beside the working directory, as JSON.

    Yields:
        The engine.

    Raises:
        JournalInUseError: Another process is working on this run.
        JournalError: The folder holds another run.
    """
    if folder is None:
        yield parse_engine(engine_text, seed)
        return
    task = {**task, "directory": os.getcwd()}
    if (folder / JOURNAL).is_file() and (recorded := read_summary(folder).task) is not None:
        same_task(folder, recorded, task)
        task = recorded
    engine = parse_engine(engine_text, seed, folder)
    with engine_journal(engine) as journal:
        try:
            journal.record_task(task)
            yield engine
            journal.finish()
        except BaseException as error:
            if journal.has_begun:
                error.add_note(how_to_continue(folder))
            else:
                journal.discard()
            raise


def engine_journal(engine: Engine) -> Journal:
    """Return the journal of an engine that has one."""
    assert engine.journal is not None
    return engine.journal


def how_to_continue(folder: Path) -> str:
    """Return the commands that continue or cancel a run."""
    name = shell_word(folder)
    return f"go on with `hattriq resume {name}`, or give up with `hattriq cancel {name}`"


def read_task(folder: str) -> tuple[RunSummary, Record]:
    """Return the summary of a run and the command that its journal records.

    Raises:
        JournalError: The folder holds no run, or the run of a script.
    """
    summary = read_summary(folder)
    if summary.task is None and not summary.jobs:
        raise JournalError(
            f"{folder} records no command and no job: it was made by a script, or stopped at once; repeat what began it"
        )
    if summary.task is None:
        raise JournalError(f"{folder} records no command: it was made by a script; run that again with the same journal")
    return summary, summary.task


def same_task(folder: Path, recorded: Record, task: Record) -> None:
    """Raise JournalError if a recorded task is not the given one.

    Where a data set lies and what another version did not record may differ: folders move between machines and versions.
    """
    refuse_another(folder, "task", *_shared(_without_places(as_json(recorded)), _without_places(as_json(task))))


def _without_places(task: dict[str, Any]) -> dict[str, Any]:
    """Return a task whose files are named without their folders; the record of a data set identifies its files by content."""
    if "out" in task:
        task = task | {"out": Path(task["out"]).name}
    data = task.get("data")
    if not isinstance(data, dict):
        return task
    spec = re.sub(r"(?i)^[^:]*/(?=[^/:]*\.(csv|npz)(:|$))|(?<=path=)[^,]*/", "", str(data.get("spec")))
    return task | {"data": data | {"spec": spec}}


def _shared(known: dict[str, Any], given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return both without the names that only one of them has, at any depth."""
    pairs = {
        name: _shared(known[name], given[name])
        if isinstance(known[name], dict) and isinstance(given[name], dict)
        else (known[name], given[name])
        for name in known.keys() & given.keys()
    }
    return {name: pair[0] for name, pair in pairs.items()}, {name: pair[1] for name, pair in pairs.items()}


def recorded_settings(command: Any, *excluded: str) -> dict[str, Any]:
    """Return the settings of a command as records hold them, without the excluded fields."""
    return {name: value for name, value in asdict(command).items() if name not in excluded}


def data_record(spec: str, data: hq.datasets.Dataset) -> dict[str, Any]:
    """Return the record of a data set and of the text that names it."""
    return {
        "spec": spec,
        "name": data.name,
        "summary": data.summary(),
        "label_names": list(data.label_names),
        "image_shape": data.image_shape,
        "train": len(data.train),
        "test": len(data.test),
        "details": dict(data.details),
    }


def run_record(command: str, spec: str, data: hq.datasets.Dataset, **content: Any) -> str:
    """Return the text of run.json."""
    record = {"format": FORMAT, "command": command, "data": data_record(spec, data), **content}
    return json.dumps(record | {"provenance": asdict(Provenance.now())}, indent=2) + "\n"


def read_record(file: Path) -> Record:
    """Return the content of a run.json.

    Raises:
        ValueError: The file is no run.json of this program.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not a run record: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{file} is not a run record: it must hold format {FORMAT!r}")
    return content


def class_names(label_names: Iterable[str]) -> tuple[str, str] | None:
    """Return the names of the classes -1 and +1; None where they have no other names."""
    minus, plus = label_names
    return None if (minus, plus) == ("-1", "+1") else (minus, plus)


def print_files(folder: Path) -> None:
    """Print the names of the files in a folder."""
    names = sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))
    print(f"wrote {printable(folder)}{os.sep}: {', '.join(names)}")


def accuracy_table(rows: Iterable[Accuracy]) -> str:
    """Return accuracies as lines of text."""
    lines = [f"{'accuracy':<22}{'train':>8}{'test':>8}"]
    for row in rows:
        train_text, test_text = ("-" if value is None else f"{value:.3f}" for value in (row.train, row.test))
        lines.append(f"{row.classifier:<22}{train_text:>8}{test_text:>8}{f'  ({row.note})' if row.note else ''}")
    return "\n".join(lines)


def score_table(a: hq.Attribution, indices: Iterable[int], labels: Iterable[int]) -> str:
    """Return the scores and the completeness gap of each input as lines of text."""
    lines = [f"{'sample':>8}{'label':>7}{'F(input)':>12}{'F(baseline)':>13}{'gap':>11}{'std. error':>12}"]
    columns = (indices, labels, a.f_input, a.f_baseline, a.completeness_gap, a.completeness_gap_stderr)
    for index, label, score, base, gap, error in zip(*columns, strict=True):
        lines.append(f"{index:>8}{label:>+7d}{score:>+12.6f}{base:>+13.6f}{gap:>+11.1e}{error:>12.1e}")
    return "\n".join(lines)
