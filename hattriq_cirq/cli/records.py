"""Records of runs as values: run.json, and the command that a journal records. Nothing here imports Cirq."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict, TypeVar

from hattriq_cirq.circuits.errors import JournalError
from hattriq_cirq.execution.journal_records import as_json, refuse_another
from hattriq_cirq.execution.journal_summary import RunSummary, read_summary
from hattriq_cirq.foundation.reading import FileError, problem_of
from hattriq_cirq.foundation.schema import Count, Range, Size, check_format, load, read_json
from hattriq_cirq.foundation.terminal import shell_word

FORMAT = "hattriq_cirq.Run/1"
Record = Mapping[str, Any]
T = TypeVar("T")
_Share = Annotated[float, Range(0, 1)]
_Label = Annotated[int, Range(-(2**31), 2**31 - 1)]


class DataRecord(TypedDict):
    """Data set of a run."""

    spec: str
    name: str
    summary: str
    label_names: tuple[str, str]
    image_shape: tuple[Size, Size] | None
    train: Count
    test: Count
    details: dict[str, Any]


class AccuracyRecord(TypedDict):
    """Accuracies of one classifier."""

    classifier: str
    train: _Share | None
    test: _Share | None
    note: str


class TrainingRecord(TypedDict):
    """End of a training."""

    best_epoch: Count
    epochs: Count
    stopped: str
    seconds: Annotated[float, Range(0)]


class SourceRecord(TypedDict):
    """File that a run read, with its SHA-256 checksum."""

    path: str
    sha256: str


class ModelRecord(SourceRecord):
    """Model that was attributed."""

    repr: str


class InputsRecord(TypedDict):
    """Inputs that were attributed, and their scores: lists of one length."""

    indices: list[Count]
    labels: list[_Label]
    f_input: list[float]
    f_baseline: list[float]
    completeness_gap: list[float]
    completeness_gap_stderr: list[float]


class ProvenanceRecord(TypedDict):
    """Versions and time of a run."""

    versions: dict[str, str]
    created_utc: str


class _Run(TypedDict):
    format: Literal["hattriq_cirq.Run/1"]
    command: str
    data: DataRecord
    settings: dict[str, Any]
    provenance: ProvenanceRecord


class TrainRecord(_Run):
    """The run.json of `hattriq train`; version 0.1 recorded no contract."""

    accuracies: list[AccuracyRecord]
    training: TrainingRecord
    model: str
    contract: NotRequired[dict[str, Any]]


class AttributeRecord(_Run):
    """The run.json of `hattriq attribute`."""

    model: ModelRecord
    engine: dict[str, Any] | None
    inputs: InputsRecord
    assumptions: dict[str, Any]
    cost: dict[str, Any]


#: Command -> its record, and the settings that other commands read, with their types.
_KINDS: dict[object, tuple[type[_Run], dict[str, Any]]] = {
    "train": (TrainRecord, {"seed": Annotated[int, Range(0, inf)]}),
    "attribute": (AttributeRecord, {"estimator": str, "engine": str}),
}


class AttributeTask(TypedDict):
    """Command `hattriq attribute` in a journal."""

    command: Literal["attribute"]
    settings: dict[str, Any]
    model: SourceRecord
    data: DataRecord
    calibration: NotRequired[SourceRecord]
    snapshot: NotRequired[SourceRecord]
    directory: str


class CalibrateTask(TypedDict):
    """Command `hattriq calibrate` in a journal."""

    command: Literal["calibrate"]
    settings: dict[str, Any]
    out: str
    directory: str


def read_record(file: Path) -> Record:
    """Return the content of a run.json: a `TrainRecord` or an `AttributeRecord`.

    Raises:
        FileNotFoundError: The file does not exist.
        FileError: The file is no run.json of this program, or is damaged; a ValueError.
    """
    try:
        content = read_json(file, dict[str, Any])
        check_format(content.get("format"), FORMAT)
    except ValueError as error:
        raise FileError(f"{file} is not a run record", problem_of(error)) from error
    command = content.get("command")
    try:
        if not isinstance(command, str) or command not in _KINDS:
            raise ValueError(f"its command is none of {', '.join(map(str, _KINDS))}")
        kind, settings = _KINDS[command]
        record: Record = dict(load(kind, content, file))
        for name, hint in settings.items():
            load(hint, record["settings"].get(name), file, f"settings.{name}")
        if command == "attribute":
            _check_attribution(record, file)
        return record
    except ValueError as error:
        cure = "repeat the run in another folder"
        raise FileError(f"{file} is not as hattriq wrote it", problem_of(error), cure) from error


def _check_attribution(record: Record, file: Path) -> None:
    from hattriq_cirq.attribution.result import Assumptions, Cost

    load(Assumptions, record["assumptions"], file, "assumptions")
    load(Cost, record["cost"], file, "cost")
    if len({len(values) for values in record["inputs"].values()}) > 1:
        raise ValueError("the lists in inputs have different lengths")


def read_task(folder: str | os.PathLike[str]) -> tuple[RunSummary, AttributeTask | CalibrateTask]:
    """Return the summary of a run and the command that its journal records.

    Raises:
        JournalError: The folder holds no run, the run of a script, or a journal that is damaged.
    """
    summary = read_summary(folder)
    if summary.task is None and not summary.jobs:
        raise JournalError(
            f"{folder} records no command and no job: it was made by a script, or stopped at once; repeat what began it"
        )
    if summary.task is None:
        raise JournalError(f"{folder} records no command: it was made by a script; run that again with the same journal")
    try:
        kind: type[Any] = CalibrateTask if summary.task.get("command") == "calibrate" else AttributeTask
        return summary, load(kind, summary.task, folder, "task")
    except FileError as error:
        raise JournalError(str(error)) from error


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
