"""Records in the folders of runs: run.json, and the commands of journals and unfinished runs. Nothing here imports Cirq."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from hattriq_cirq.circuits.errors import JournalError
from hattriq_cirq.execution.journal_records import JOURNAL
from hattriq_cirq.execution.journal_summary import RunSummary, read_summary
from hattriq_cirq.foundation.progress import announced
from hattriq_cirq.foundation.reading import FileError, checksum, open_file, problem_of, read_bytes
from hattriq_cirq.foundation.schema import Count, Range, Size, check_format, load, parse_json, read_json

FORMAT = "hattriq_cirq.Run/1"
#: Table of the scores of a run with maps of many inputs, of which run.json lists the first only.
SCORES = "scores.csv"
RECORD, MODEL, ATTRIBUTION, LEARNED, GRADIENT = "run.json", "model.json", "attribution.npz", "learned.npz", "gradient.npz"
#: Command -> the result that its run.json stands beside.
RESULT_OF = {"train": MODEL, "attribute": ATTRIBUTION, "learn": LEARNED, "explain": ATTRIBUTION, "gradient": GRADIENT}
#: Hidden file with the command of a run without a journal that has not ended.
BEGUN = ".hattriq-begun.json"
BEGUN_FORMAT = "hattriq_cirq.Begun/1"
Record = Mapping[str, Any]
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
    """Inputs that were attributed, and their scores: lists of one length, those of the first inputs only if there is a count.

    There are no labels if they are not known.
    """

    count: NotRequired[Size]
    summary: NotRequired[str]
    indices: list[Count]
    labels: NotRequired[list[_Label]]
    f_input: list[float]
    f_baseline: list[float]
    completeness_gap: list[float]
    completeness_gap_stderr: list[float]


class SamplesRecord(TypedDict):
    """Inputs of a run by their indices, with their labels if these are known."""

    indices: list[Count]
    labels: NotRequired[list[_Label]]


class ProvenanceRecord(TypedDict):
    """Versions and time of a run."""

    versions: dict[str, str]
    created_utc: str


class CalibrationRecord(TypedDict):
    """File of a readout calibration; its counts are left as they are."""

    format: Literal["hattriq_cirq.ReadoutCalibration/1"]
    qubits: list[dict[str, Any]]
    counts: list[Any] | None
    known: list[Any] | None
    source: dict[str, Any]
    pattern: str
    provenance: ProvenanceRecord
    id: str


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
    """The run.json of `hattriq attribute`; records of earlier versions name no device, which is the CPU."""

    model: ModelRecord
    engine: dict[str, Any] | None
    inputs: InputsRecord
    assumptions: dict[str, Any]
    cost: dict[str, Any]
    device: NotRequired[str]


class GradientRecord(_Run):
    """The run.json of `hattriq gradient`."""

    model: ModelRecord
    engine: dict[str, Any] | None
    inputs: SamplesRecord
    cost: dict[str, Any]
    notes: list[str]


class ProbeTestRecord(TypedDict):
    """Test of a learned model, and the factor that was fitted to its prediction."""

    statistic: float | None
    degrees_of_freedom: Count
    pvalue: _Share
    verdict: str
    damping: float


class MapsRecord(TypedDict):
    """Maps of a learned model against the exact ones: relative L2 errors and cosines over inputs."""

    inputs: str
    count: Count
    median_error: float
    percentile_90: float
    median_cosine: float


class LearnRecord(_Run):
    """The run.json of `hattriq learn`; the comparison and the maps are None where no simulator reaches."""

    model: ModelRecord
    engine: dict[str, Any]
    accuracies: list[AccuracyRecord]
    plan: dict[str, Any] | None
    learning: dict[str, Any]
    held_out: ProbeTestRecord
    comparison: ProbeTestRecord | None
    maps: MapsRecord | None
    cost: dict[str, Any]


class TableRecord(TypedDict):
    """Table of a run, with its split and the record of its encoder."""

    spec: str
    sha256: str
    summary: str
    label_column: str
    classes: list[str]
    image_shape: tuple[Size, Size] | None
    train: list[Count]
    test: list[Count]
    encoder: dict[str, Any]
    notes: list[str]


class ExplainRecord(TypedDict):
    """The run.json of `hattriq explain` of a table; `source` is the run whose classifier explains new rows."""

    format: Literal["hattriq_cirq.Run/1"]
    command: str
    data: TableRecord
    settings: dict[str, Any]
    accuracies: list[AccuracyRecord]
    source: NotRequired[str]
    answers: list[str]
    provenance: ProvenanceRecord


#: Command -> its record, and the settings that other commands read, with their types.
_KINDS: dict[object, tuple[type[_Run] | type[ExplainRecord], dict[str, Any]]] = {
    "train": (TrainRecord, {"seed": Annotated[int, Range(0, inf)]}),
    "attribute": (AttributeRecord, {"estimator": str, "engine": str}),
    "gradient": (GradientRecord, {"estimator": str, "engine": str}),
    "learn": (LearnRecord, {"engine": str, "seed": Annotated[int, Range(0, inf)]}),
    "explain": (ExplainRecord, {"seed": Annotated[int, Range(0, inf)]}),
}


class AttributeTask(TypedDict):
    """Command `hattriq attribute`, `hattriq gradient` or `hattriq learn` in a journal."""

    command: Literal["attribute", "gradient", "learn"]
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
    """Return the content of a run.json: a `TrainRecord`, `AttributeRecord`, `GradientRecord`, `LearnRecord` or `ExplainRecord`.

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
        if command == "learn":
            _check_learning(record, file)
        if command == "gradient":
            load(_cost_type(), record["cost"], file, "cost")
        return record
    except ValueError as error:
        cure = "repeat the run in another folder"
        raise FileError(f"{file} is not as hattriq wrote it", problem_of(error), cure) from error


def _check_attribution(record: Record, file: Path) -> None:
    from hattriq_cirq.attribution.result import Assumptions, Cost

    load(Assumptions, record["assumptions"], file, "assumptions")
    load(Cost, record["cost"], file, "cost")
    lengths = {len(values) for name, values in record["inputs"].items() if name not in ("count", "summary")}
    if len(lengths) > 1:
        raise ValueError("the lists in inputs have different lengths")


def _cost_type() -> type[Any]:
    from hattriq_cirq.attribution.result import Cost

    return Cost


def _check_learning(record: Record, file: Path) -> None:
    from hattriq_cirq.attribution.result import Cost
    from hattriq_cirq.models.learned import LearningRecord

    load(LearningRecord, record["learning"], file, "learning")
    load(Cost, record["cost"], file, "cost")


def read_calibration(file: Path) -> CalibrationRecord:
    """Return the content of the file of a readout calibration.

    Raises:
        FileNotFoundError: The file does not exist.
        FileError: The file is no readout calibration, or is damaged; a ValueError.
    """
    try:
        return read_json(file, CalibrationRecord)
    except ValueError as error:
        raise FileError(f"{file} is no readout calibration, or a damaged one", problem_of(error)) from error


def read_task(folder: str | os.PathLike[str]) -> tuple[RunSummary, AttributeTask | CalibrateTask]:
    """Return the summary of a run and the command that its journal records.

    Raises:
        JournalError: The folder holds no run, the run of a script, or a journal that is damaged.
    """
    with announced("read the journal"):
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


def read_begun(folder: Path) -> Record | None:
    """Return the command of a run without a journal that has not ended; None if none is recorded completely."""
    try:
        content = parse_json(read_bytes(folder / BEGUN), folder / BEGUN)
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("format") != BEGUN_FORMAT or not isinstance(content.get("task"), dict):
        return None
    task: Record = content["task"]
    return task if all(isinstance(task.get(name, {}), dict) for name in ("settings", "data", "model")) else None


def begun_command(folder: Path) -> str | None:
    """Return the name of the command whose run without a journal has not ended in a folder, or None."""
    begun = read_begun(folder)
    return None if begun is None else str(begun.get("command"))


def calibration_file(folder: Path, record: Record) -> Path | None:
    """Return the file that a run of `hattriq calibrate` in a folder has written in or beside it; None if there is none."""
    if "out" not in record:
        return None
    name = Path(record["out"]).name
    return next((file for file in (folder / name, folder.parent / name) if file.is_file()), None)


def model_file(folder: Path, record: Record) -> Path | None:
    """Return the file of the model that a run attributed, if it has not changed since.

    The recorded path is looked for from the present folder, and from the folder of the run upwards.
    """
    model = record.get("model")
    if not isinstance(model, Mapping) or not {"path", "sha256"} <= model.keys():
        return None
    places = [Path(model["path"]), *(parent / model["path"] for parent in folder.absolute().parents)]
    return next((file for file in places if file.is_file() and checksum(file) == model["sha256"]), None)


def training_run(folder: Path, record: Record) -> tuple[Path, Record] | None:
    """Return the folder and the record of the run that trained or learned the model of a run; None if it is not where it was.

    A run of `hattriq train` or `hattriq learn` is its own.
    """
    if record.get("command") in ("train", "learn") and "accuracies" in record:
        return folder, record
    file = model_file(folder, record)
    if file is None or not (file.parent / RECORD).is_file():
        return None
    trained = read_record(file.parent / RECORD)
    return (file.parent, trained) if trained["command"] in ("train", "learn") else None


def find_runs(root: Path) -> Iterator[Path]:
    """Yield every folder with a run at or below a folder, and the files of readout calibrations, sorted.

    Hidden folders, such as those of installed packages, are left out.
    """
    for parent, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if not {JOURNAL, RECORD, BEGUN, ATTRIBUTION}.isdisjoint(files):
            yield Path(parent)
        for name in sorted(files):
            if name.endswith(".json") and name != RECORD and _is_calibration(Path(parent, name)):
                yield Path(parent, name)


def _is_calibration(file: Path) -> bool:
    try:
        with open_file(file) as (stream, _):
            return b"hattriq_cirq.ReadoutCalibration/" in stream.read(100)
    except (OSError, FileError):
        return False
