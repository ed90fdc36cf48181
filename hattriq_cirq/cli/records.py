"""Commands from the records of runs, and the words on how a run goes on. Nothing here imports Cirq."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

from hattriq_cirq.execution.journal_records import as_json, refuse_another
from hattriq_cirq.foundation.reading import FileError
from hattriq_cirq.foundation.schema import load
from hattriq_cirq.foundation.terminal import shell_word
from hattriq_cirq.reporting.records import AttributeTask, CalibrateTask, Record

T = TypeVar("T")


def command_from_task(kind: type[T], task: AttributeTask | CalibrateTask, folder: object, **given: str) -> T:
    """Return a command with the settings that a task records.

    Args:
        kind: Class of the command.
        task: Task from `read_task`.
        folder: Folder of the run, for messages.
        **given: Fields of the command that are no settings.

    Raises:
        FileError: A setting is unknown or of another type; a ValueError.
    """
    if doubled := given.keys() & task["settings"].keys():
        raise FileError(folder, f"task.settings.{min(doubled)} is a field that this version does not know")
    return load(kind, task["settings"] | given, folder, "task.settings")


def how_to_continue(folder: Path, error: object = "") -> str:
    """Return the commands that continue or cancel a run.

    Args:
        folder: Folder of the run.
        error: Error that stopped it; one that names the first command itself needs only the second.
    """
    name = shell_word(folder)
    if f"`hattriq resume {name}" in str(error):
        return f"or give up with `hattriq cancel {name}`"
    if "--recompile" in str(error):
        return f"go on with `hattriq resume {name} --recompile`, or give up with `hattriq cancel {name}`"
    return f"go on with `hattriq resume {name}`, or give up with `hattriq cancel {name}`"


def how_to_go_on_dry(folder: Path) -> str:
    """Return what continues a dry run that stopped."""
    return f"the dry run submitted nothing; repeat it to go on, or run it with `hattriq resume {shell_word(folder)}`"


def same_task(folder: Path, recorded: Record, task: Record) -> None:
    """Raise JournalError if a recorded task is not the given one.

    Where a data set lies and what another version did not record may differ: folders move between machines and versions.
    """
    refuse_another(folder, "task", *_shared(_without_places(as_json(recorded)), _without_places(as_json(task))))


def _without_places(task: dict[str, Any]) -> dict[str, Any]:
    """Return a task whose files are named without their folders; the record of a data set identifies its files by content."""
    if "out" in task:
        task = task | {"out": Path(task["out"]).name}
    if (snapshot := task.get("snapshot")) and (settings := task["settings"]):
        named = {name: text for name in ("engine", "processor") if isinstance(text := settings.get(name), str)}
        known = {name: text.replace(snapshot["path"], snapshot["sha256"], 1) for name, text in named.items()}
        task = task | {"settings": settings | known}
    data = task.get("data")
    if not isinstance(data, dict):
        return task
    spec = re.sub(r"(?i)^[^:]*/(?=[^/:]*\.(csv|npz|qasm|json)(:|$))|(?<=path=)[^,]*/", "", str(data.get("spec")))
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
