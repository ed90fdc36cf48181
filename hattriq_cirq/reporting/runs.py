"""Runs as values, and many runs as one table: whatever commands and scripts left in folders, finished or not."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.circuits.errors import JournalError
from hattriq_cirq.execution.journal_records import JOURNAL, is_locked
from hattriq_cirq.execution.journal_summary import RunStatus, RunSummary, read_summary
from hattriq_cirq.foundation.checks import as_word
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.foundation.reading import FileError, read_bytes
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.reporting.records import (
    ATTRIBUTION,
    BEGUN,
    LEARNED,
    MODEL,
    RECORD,
    RESULT_OF,
    SCORES,
    Record,
    calibration_file,
    find_runs,
    model_file,
    read_begun,
    read_calibration,
    read_record,
    read_task,
    training_run,
)

if TYPE_CHECKING:
    import pandas as pd

    from hattriq_cirq.models.learned import LearnedModel
    from hattriq_cirq.models.model import Model

_EXPECTED = "name a folder that a command or an engine wrote, or a readout calibration"
#: Columns of every table -> their types in pandas; the settings of the commands follow, one column each.
_OF_RUNS = {
    **dict.fromkeys(("folder", "command", "status", "problem", "data", "model", "estimator", "engine"), "string"),
    **dict.fromkeys(("processor", "snapshot", "mitigation", "calibration_id"), "string"),
    **dict.fromkeys(("seed", "inputs"), "Int64"),
    **dict.fromkeys(("accuracy_train", "accuracy_test", "mean_stderr", "mean_systematic"), "float64"),
    **dict.fromkeys(("completeness_gap", "completeness_gap_stderr"), "float64"),
    **dict.fromkeys(("circuits", "shots", "two_qubit_gates", "programs"), "Int64"),
    **dict.fromkeys(("mitigation_circuits", "mitigation_shots"), "Int64"),
    "variance_factor": "float64",
    **dict.fromkeys(("jobs", "jobs_done", "circuits_planned", "shots_planned", "shots_done"), "Int64"),
    "seconds": "float64",
    **dict.fromkeys(("begun_utc", "updated_utc"), "datetime64[s, UTC]"),
    **dict.fromkeys(("version", "notes"), "string"),
}
#: Additional columns of a table with one row per input.
_OF_INPUTS = {
    **dict.fromkeys(("input", "sample", "label"), "Int64"),
    **dict.fromkeys(("f_input", "f_baseline", "f_input_stderr", "f_baseline_stderr"), "float64"),
    "largest_feature": "Int64",
    **dict.fromkeys(("largest_value", "largest_value_stderr", "largest_value_systematic"), "float64"),
}
_SETTINGS = "settings."


@dataclass(frozen=True, eq=False)
class Run(Frozen):
    """Run of a command or a script, as its folder holds it.

    Args:
        folder: Folder of the run, or the file of a readout calibration.
        command: Command such as `attribute`; None for a script.
        settings: Settings of the command as they are recorded.
        status: Status as `hattriq runs` lists it; `planned` after a dry run.
        attribution: Maps; None if the run computes none, or has not got so far.
        record: Content of run.json or of the calibration; of a run that is not finished, the command as it was recorded.
        journal: Progress of its jobs; None for a run without a journal.

    Example:
        >>> import hattriq_cirq as hq
        >>> a = hq.integrated_gradients(hq.ring_ansatz(1, 0), [0.6, 0.8], baseline=0)
        >>> Path("maps").mkdir()
        >>> _ = a.save("maps/attribution.npz")
        >>> run = hq.runs.load("maps")
        >>> run.status, run.attribution == a
        ('finished', True)
    """

    folder: Path
    command: str | None
    settings: Mapping[str, Any]
    status: RunStatus
    attribution: Attribution | None = field(repr=False)
    record: Record = field(repr=False)
    journal: RunSummary | None = field(repr=False)

    @cached_property
    def model(self) -> Model | None:
        """Model that was trained or attributed; None if its file is not where it was, or has changed."""
        from hattriq_cirq.models.model import Model  # late: tables of many runs need no circuits

        if self.command == "train" and (self.folder / MODEL).is_file():
            return Model.load(self.folder / MODEL)
        file = model_file(self.folder, self.record)
        return None if file is None else Model.load(file)

    @cached_property
    def learned(self) -> LearnedModel | None:
        """Learned model of a run of `hattriq learn`; None for any other run, or before it is there."""
        from hattriq_cirq.models.learned import LearnedModel  # late, as above

        file = self.folder / LEARNED
        return LearnedModel.load(file) if self.command == "learn" and file.is_file() else None

    def rows(self, per: Literal["run", "input"] = "run") -> list[dict[str, Any]]:
        """Return the rows of the run in a table, with plain values; None stands for what is not known.

        Args:
            per: `run` for one row, `input` for one row per input; a run without maps has one row as well.
        """
        row = self._row() | {f"{_SETTINGS}{name}": value for name, value in self.settings.items()}
        if self.attribution is None:
            return [row]
        if per == "input":
            return [row | one for one in _input_rows(self.attribution, _recorded_inputs(self.folder, self.record))]
        names = ("completeness_gap", "completeness_gap_stderr")
        of_inputs = {name: getattr(self.attribution, name).ravel() for name in names}
        worst = int(np.argmax(np.abs(of_inputs[names[0]])))
        gaps = {name: float(found[worst]) for name, found in of_inputs.items()}
        systematic = self.attribution.systematic
        errors = {
            "mean_stderr": float(np.mean(self.attribution.stderr)),
            "mean_systematic": None if systematic is None else float(np.mean(systematic)),
        }
        return [row | errors | gaps]

    def _row(self) -> dict[str, Any]:
        """Return what does not depend on the input."""
        return {
            "folder": os.fspath(self.folder),
            "command": self.command,
            "status": self.status,
            "data": self.record.get("data", {}).get("spec"),
            **self._device(),
            **self._accuracies(),
            **self._results(),
            **self._progress(),
        }

    def _device(self) -> dict[str, Any]:
        """Return the engine with its processor and snapshot, as they were recorded last."""
        engine = self.record.get("engine") or self.record.get("source") or (self.journal.engine if self.journal else {})
        processor = engine.get("processor")
        if isinstance(processor, Mapping):
            named = {"processor": processor.get("id"), "snapshot": processor.get("snapshot")}
        else:
            named = {"processor": processor, "snapshot": engine.get("snapshot")}
        recorded = engine.get("name") or engine.get("engine") or engine.get("kind")
        used = None if self.attribution is None else self.attribution.assumptions.engine
        runs_no_circuit = self.settings.get("estimator") == "exact"  # the engine is then that of a learned model, if any
        return {
            "engine": used if runs_no_circuit or used == "exact" else self.settings.get("engine") or recorded or used,
            **named,
        }

    def _accuracies(self) -> dict[str, Any]:
        """Return the accuracies of the model, from the run that trained it."""
        try:
            trained = training_run(self.folder, self.record)
        except (ValueError, OSError) as error:
            return {"problem": f"the accuracy of the model is unknown: {error}"}
        rows = [] if trained is None else trained[1]["accuracies"]
        own: Record = next((row for row in rows if row["classifier"] == "this model"), {})
        return {f"accuracy_{side}": own.get(side) for side in ("train", "test")}

    def _results(self) -> dict[str, Any]:
        """Return model, estimator and mitigation, and the cost of maps."""
        model = self.record.get("model")
        row = {
            "model": model.get("path") if isinstance(model, Mapping) else os.fspath(self.folder / MODEL) if model else None,
            "estimator": self.settings.get("estimator"),
            "mitigation": self.settings["mitigate"] or "none" if "mitigate" in self.settings else None,
            "calibration_id": self.record.get("id"),
            "seed": self.settings.get("seed"),
        }
        if self.command == "learn" and "cost" in self.record:
            learning, cost_of = self.record["learning"], self.record["cost"]
            origin = f"learned: strings {learning['strings']}, prior {learning['prior']}"
            found = {name: value for name, value in cost_of.items() if name in _OF_RUNS}
            notes = " ".join(learning["notes"]) or None
            return row | found | {"estimator": origin, "calibration_id": learning["calibration_id"], "notes": notes}
        if self.command == "gradient" and "cost" in self.record:
            found = {name: value for name, value in self.record["cost"].items() if name in _OF_RUNS}
            own = {"inputs": len(self.record["inputs"]["indices"]), "notes": " ".join(self.record["notes"]) or None}
            return row | found | own
        if self.attribution is None:
            return row
        used, cost = self.attribution.assumptions, self.attribution.cost
        if row["estimator"] == "exact":
            row |= {"estimator": used.estimator, "mitigation": used.mitigation}
        return row | {
            "estimator": row["estimator"] or used.estimator,
            "mitigation": row["mitigation"] or used.mitigation,
            "calibration_id": used.calibration_id,
            "seed": used.seed if row["seed"] is None else row["seed"],
            "inputs": int(np.prod(self.attribution.values.shape[:-1], dtype=int)),
            **{name: getattr(cost, name) for name in _OF_RUNS if hasattr(cost, name)},
            "notes": " ".join(used.notes) or None,
        }

    def _progress(self) -> dict[str, Any]:
        """Return jobs, shots, times and the version of the software."""
        provenance = self.record.get("provenance", {})
        if self.attribution is not None and not provenance:
            made = self.attribution.provenance
            provenance = {"versions": made.versions, "created_utc": made.created_utc}
        row = {
            "updated_utc": provenance.get("created_utc"),
            "version": provenance.get("versions", {}).get("hattriq_cirq"),
            "seconds": self.record.get("training", {}).get("seconds"),
        }
        if self.journal is None:
            return row
        return row | {
            "jobs": self.journal.jobs,
            "jobs_done": self.journal.done,
            "circuits_planned": self.journal.circuits,
            "shots_planned": self.journal.shots,
            "shots_done": self.journal.shots_done,
            "seconds": self.journal.used.seconds,
            "begun_utc": self.journal.begun_utc or None,
            "updated_utc": self.journal.updated_utc or row["updated_utc"],
            "version": row["version"] or self.journal.engine.get("versions", {}).get("hattriq_cirq"),
        }


def load(folder: str | os.PathLike[str]) -> Run:
    """Read a run, finished or not, also while another process works on it.

    Args:
        folder: Folder of `hattriq train`, `attribute`, `learn` or `calibrate`, or one that a script gave to an engine as
            `journal` or saved an attribution.npz into; or the file of a readout calibration.

    Returns:
        The run.

    Raises:
        FileNotFoundError: There is no such folder, or a result of a finished run is missing.
        ValueError: The path holds no run, or a damaged file.
        JournalError: The journal is damaged.

    Example:
        >>> import hattriq_cirq as hq
        >>> engine = hq.cirq_simulator(seed=1, journal="shots")
        >>> settings = {"estimator": hq.ResolvedHadamardTest(), "engine": engine, "shots": 100}
        >>> a = hq.integrated_gradients(hq.ring_ansatz(1, 0), [0.6, 0.8], baseline=0, **settings)
        >>> load("shots").journal.shots_done
        100
    """
    path = Path(folder)
    if path.is_file():
        return Run(path, "calibrate", {}, "finished", None, read_calibration(path), None)
    if not path.is_dir():
        raise FileNotFoundError(f"no folder {path}; {_EXPECTED}")
    journal = read_summary(path) if (path / JOURNAL).is_file() else None
    record = _record(path, journal)
    if (file := calibration_file(path, record)) is not None:
        record = {**record, **read_calibration(file)}
    attribution = Attribution.load(path / ATTRIBUTION) if (path / ATTRIBUTION).is_file() else None
    if journal is None and not record and attribution is None and not (path / BEGUN).is_file():
        raise FileError(path, "it holds no run", _EXPECTED)
    if attribution is not None and (inputs := record.get("inputs")):
        recorded, found = inputs.get("count", len(inputs["indices"])), int(np.prod(attribution.values.shape[:-1], dtype=int))
        if recorded != found:
            raise FileError(path, f"its {RECORD} holds {quantity(recorded, 'input')}, its {ATTRIBUTION} {found}")
    return Run(path, record.get("command"), record.get("settings", {}), _status(path, journal), attribution, record, journal)


def _record(path: Path, journal: RunSummary | None) -> Record:
    """Return what a folder records about its command: run.json, or the command that has not ended; empty for a script."""
    if (path / RECORD).is_file():
        record = read_record(path / RECORD)
        result = RESULT_OF[record["command"]]
        if not (path / result).is_file():
            raise FileNotFoundError(f"{path} holds a {RECORD} and no {result}; restore the folder from a copy")
        return record
    if journal is not None:
        return {} if journal.task is None else read_task(path)[1]
    return read_begun(path) or {}


def _status(path: Path, journal: RunSummary | None) -> RunStatus:
    if journal is not None:
        return journal.status
    if not (path / BEGUN).is_file():
        return "finished"
    return "running" if is_locked(path / BEGUN) else "unfinished"


def _recorded_inputs(folder: Path, record: Record) -> Mapping[str, Any]:
    """Return the samples and labels of all inputs of a run by name, as run.json lists them, or the table of many inputs."""
    inputs: Mapping[str, Any] = record.get("inputs", {})
    if "count" not in inputs:
        return inputs
    rows = list(csv.DictReader(read_bytes(folder / SCORES).decode().splitlines()))
    labels = {"labels": [int(row["label"]) for row in rows]} if "labels" in inputs else {}
    return {"indices": [int(row["sample"]) for row in rows]} | labels


def _input_rows(a: Attribution, recorded: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what a table holds of each input."""
    values, errors = (each.reshape(-1, a.n_features) for each in (a.values, a.stderr))
    left = None if a.systematic is None else a.systematic.reshape(values.shape)
    names = ("f_input", "f_baseline", "f_input_stderr", "f_baseline_stderr", "completeness_gap", "completeness_gap_stderr")
    scores = {name: found.ravel() for name in names if (found := getattr(a, name)) is not None}
    for k, (value, error) in enumerate(zip(values, errors, strict=True)):
        largest = int(np.argmax(np.abs(value)))
        yield {
            "input": k,
            **{name: recorded[list_][k] for name, list_ in (("sample", "indices"), ("label", "labels")) if list_ in recorded},
            **{name: float(score[k]) for name, score in scores.items()},
            "mean_stderr": float(np.mean(error)),
            "mean_systematic": None if left is None else float(np.mean(left[k])),
            "largest_feature": largest,
            "largest_value": float(value[largest]),
            "largest_value_stderr": float(error[largest]),
            "largest_value_systematic": None if left is None else float(left[k, largest]),
        }


def to_frame(
    folders: str | os.PathLike[str] | Run | Iterable[str | os.PathLike[str] | Run],
    *,
    per: Literal["run", "input"] = "run",
    unreadable: Literal["row", "raise"] = "row",
) -> pd.DataFrame:
    """Return runs as one pandas table.

    The columns are the same for all kinds of runs: folder, command, status, data, model, estimator, engine, processor, snapshot
    and mitigation; the accuracy of the model; the mean standard error and the completeness gap of the maps (that of the input
    with the largest gap, in a table of runs); circuits, shots, gates and jobs; times; and each setting of the commands as
    `settings.NAME`. What a run does not have is missing in its row.

    `shots` counts those of the maps, `mitigation_shots` those that a mitigation adds, `shots_planned` and `shots_done` those of
    all jobs in the journal, circuits likewise. `seconds` is the time of training, or that during which jobs were in progress.

    Args:
        folders: Folders, each with every run in and below it, or runs from `load`.
        per: `run` for one row per run, or `input` for one row per input, with its score, gap and largest feature; runs without
            maps have one row.
        unreadable: Treatment of a run that cannot be read: a `row` with the status `unreadable` and the reason in `problem`, or
            `raise`.

    Returns:
        The table.

    Raises:
        ValueError: An argument is none of these words.
        Exception: A run cannot be read, and `unreadable` is `raise`; see `load`.

    Example:
        >>> import hattriq_cirq as hq
        >>> a = hq.integrated_gradients(hq.ring_ansatz(1, 0), [[0.6, 0.8], [0.8, 0.6]], baseline=0)
        >>> Path("runs/maps").mkdir(parents=True)
        >>> _ = a.save("runs/maps/attribution.npz")
        >>> to_frame("runs/maps")[["folder", "status", "inputs", "shots"]]
              folder    status  inputs  shots
        0  runs/maps  finished       2      0
        >>> len(to_frame("runs/maps", per="input"))
        2
    """
    as_word(per, "per", ("run", "input"))
    as_word(unreadable, "unreadable", ("row", "raise"))
    given = [folders] if isinstance(folders, str | os.PathLike | Run) else list(folders)
    rows, covered = [], set()
    for each in track(list(_found(given)), "read runs", "run"):
        try:
            run = each if isinstance(each, Run) else load(each)
            own = run.rows(per)
        except (ValueError, OSError, JournalError) as error:
            if unreadable == "raise":
                raise
            folder = each.folder if isinstance(each, Run) else each
            rows.append({"folder": os.fspath(folder), "status": "unreadable", "problem": str(error)})
        else:
            if (file := calibration_file(run.folder, run.record)) is not None:
                covered.add(file)
            rows += own
    kept = [row for row in rows if row["status"] == "unreadable" or Path(row["folder"]) not in covered]
    return _frame(kept, _OF_RUNS | (_OF_INPUTS if per == "input" else {}))


def _found(given: Iterable[str | os.PathLike[str] | Run]) -> Iterator[Path | Run]:
    """Yield the runs that are given, or in and below a given folder, each once."""
    seen = set()
    for each in given:
        if isinstance(each, Run):
            yield each
            continue
        path = Path(each)
        for found in list(find_runs(path)) or [path]:  # a folder without runs is unreadable
            if (place := os.path.realpath(found)) not in seen:
                seen.add(place)
                yield found


def _frame(rows: list[dict[str, Any]], types: Mapping[str, str]) -> pd.DataFrame:
    """Return a table with the columns of these types, followed by those of the settings, whose values stay as they are."""
    import pandas as pd

    settings = dict.fromkeys(name for row in rows for name in row if name.startswith(_SETTINGS))
    columns = {}
    for name, kind in types.items():
        values: Any = [row.get(name) for row in rows]
        if kind == "string":
            values = [None if value is None else str(value) for value in values]
        elif kind == "Int64":
            values = [value if type(value) is int else None for value in values]
        elif kind.startswith("datetime"):
            values = pd.to_datetime(values, utc=True, format="ISO8601", errors="coerce")
        columns[name] = pd.Series(values, dtype=kind)
    columns |= {name: pd.Series([row.get(name) for row in rows], dtype=object) for name in settings}
    return pd.DataFrame(columns)
