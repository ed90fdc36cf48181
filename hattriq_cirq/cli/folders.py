"""Runs with a journal where shots are counted, and the records that runs write."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hattriq_cirq as hq
from hattriq_cirq.cli.engine_options import EngineOptions
from hattriq_cirq.cli.records import how_to_continue, how_to_go_on_dry, same_task
from hattriq_cirq.cli.run_folder import RunFolder, open_run
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.execution.journal import Journal
from hattriq_cirq.execution.journal_records import JOURNAL
from hattriq_cirq.execution.journal_summary import read_summary
from hattriq_cirq.execution.usage import Usage
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.log import Log
from hattriq_cirq.foundation.provenance import Provenance
from hattriq_cirq.foundation.reading import checksum
from hattriq_cirq.foundation.terminal import shell_word
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.pipeline.resources import RunResources
from hattriq_cirq.reporting.records import FORMAT, Record
from hattriq_cirq.workflows.state_files import PreparedState
from hattriq_cirq.workflows.values import parse_engine

log = Log("cli")


@contextmanager
def journaled(
    folder: Path | None, engine_text: str, seed: int, task: Record, options: Mapping[str, Any], *, dry_run: bool = False
) -> Iterator[Engine]:
    """Yield an engine that records its jobs and counts in a folder; leaving without an error marks the run as finished.

    An error passes on with a note on how to continue. A run that fails before its first job leaves nothing behind; one that is
    interrupted keeps the circuits that were prepared.

    Args:
        folder: Folder from `check_journaled_run`; None records nothing.
        engine_text: Name of the engine.
        seed: Random seed for the counts.
        task: Everything that `hattriq resume` needs beside the working directory, as JSON.
        options: Options of the engine, which may change when the run goes on.
        dry_run: True if the jobs are only recorded, so that the run is not finished when they are.

    Yields:
        The engine.

    Raises:
        JournalInUseError: Another process is working on this run.
        JournalError: The folder holds another run.
    """
    if folder is None:
        yield parse_engine(engine_text, seed, **options)
        return
    task = {**task, "directory": os.getcwd()}
    if (folder / JOURNAL).is_file() and (recorded := read_summary(folder).task) is not None:
        same_task(folder, recorded, task)
        task = recorded
    engine = parse_engine(engine_text, seed, folder, **options)
    with engine_journal(engine) as journal, engine.logged():
        log.info("process %d works on `hattriq %s` with the engine %s", os.getpid(), task["command"], engine.name)
        try:
            journal.record_task(task)
            yield engine
            if not dry_run:
                journal.finish()
                log.info("finished: %s", journal.used)
        except BaseException as error:
            if journal.has_begun or (journal.has_prepared and not isinstance(error, Exception)):
                error.add_note(how_to_go_on_dry(folder) if dry_run else how_to_continue(folder, error))
            else:
                journal.discard()
            raise


@contextmanager
def opened(
    command: Any,
    task: dict[str, Any],
    results: tuple[str, ...],
    pictures: tuple[str, ...] = (),
    *,
    runs_circuits: bool,
    is_counted: bool,
) -> Iterator[tuple[RunFolder, Engine | None]]:
    """Yield the folder of a run and its engine, if it has one, with a journal where shots are counted.

    Args:
        command: Settings of the command: an `EngineOptions` with `out`, `engine`, `seed`, `calibration` and `dry_run`.
        task: Everything that decides the results, as JSON.
        results: Names of the results, the record among them.
        pictures: Names of the pictures.
        runs_circuits: True if the run has an engine.
        is_counted: True if it counts shots.
    """
    if not is_counted:
        with open_run(command.out, task, results, pictures) as folder:
            options = command.engine_options
            yield folder, parse_engine(command.engine, command.seed, **options) if runs_circuits else None
        return
    if command.calibration is not None:
        task = {**task, "calibration": {"path": command.calibration, "sha256": checksum(Path(command.calibration))}}
    out, options = Path(command.out), command.engine_options
    with journaled(out, command.engine, command.seed, task, options, dry_run=command.dry_run) as engine:
        yield RunFolder(out), engine


@contextmanager
def only_planning(engine_text: str, seed: int) -> Iterator[Engine]:
    """Yield an engine whose runs are compiled and counted; nothing is run, and nothing is kept.

    Args:
        engine_text: Name of the engine; the service is called for the device and the calibration of a real processor.
        seed: Random seed of the engine.
    """
    if not engine_text.startswith("google:"):
        yield parse_engine(engine_text, seed)
        return
    with TemporaryDirectory() as folder:  # this engine works with a journal only
        engine = parse_engine(engine_text, seed, Path(folder))
        with engine_journal(engine):
            yield engine


def print_plan(resources: RunResources, engine: Engine, text: object = None) -> None:
    """Print a plan as its text, which is by default that of its resources, and how to go on from a dry run."""
    journal = engine_journal(engine)
    log.info("dry run: %s recorded, nothing submitted", quantity(resources.jobs, "job"))
    print(resources if text is None else text)
    jobs = f"{quantity(resources.jobs, 'job')} recorded in {printable(journal.folder)}"
    done = f", {journal.done} of them done before" if journal.done else ""
    print(f"dry run: {jobs}{done}; nothing was submitted")
    if shortfall := engine.caps.shortfall(Usage(resources.shots, resources.jobs)):
        print(f"the run will stop early: {shortfall}")
    print(f"`hattriq resume {shell_word(journal.folder)}`, or the same command without --dry-run, goes on from here")


def engine_journal(engine: Engine) -> Journal:
    """Return the journal of an engine that has one."""
    assert engine.journal is not None
    return engine.journal


def recorded_settings(command: Any, *excluded: str) -> dict[str, Any]:
    """Return the settings of a command as records hold them, without the excluded fields and the options of its engine."""
    options = {field.name for field in fields(EngineOptions)} if isinstance(command, EngineOptions) else set()
    return {name: value for name, value in asdict(command).items() if name not in excluded and name not in options}


def data_record(spec: str, data: hq.datasets.Dataset | hq.datasets.Inputs | PreparedState) -> dict[str, Any]:
    """Return the record of a data set and of the text that names it."""
    return {
        "spec": spec,
        "name": data.name,
        "summary": data.summary(),
        "label_names": list(data.label_names),
        "image_shape": data.image_shape,
        "train": 0 if isinstance(data, hq.datasets.Inputs) else len(data.train),
        "test": 0 if isinstance(data, hq.datasets.Inputs) else len(data.test),
        "details": dict(data.details),
    }


def run_record(command: str, spec: str, data: hq.datasets.Dataset | hq.datasets.Inputs | PreparedState, **content: Any) -> str:
    """Return the text of run.json."""
    record = {"format": FORMAT, "command": command, "data": data_record(spec, data), **content}
    return json.dumps(record | {"provenance": asdict(Provenance.now())}, indent=2) + "\n"
