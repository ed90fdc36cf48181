"""`hattriq report`: studies and runs on one page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.cli.journaled import how_to_go_on
from hattriq_cirq.cli.show import Record, read_record
from hattriq_cirq.datasets.user import checksum
from hattriq_cirq.execution.journal import JOURNAL
from hattriq_cirq.reporting.document import FILE, Picture, Section, Table
from hattriq_cirq.reporting.html import write_report
from hattriq_cirq.workflows.accuracies import Accuracy, table_of_accuracies

TOLERANCE = 1e-9
"""The completeness gap that is allowed where nothing was sampled."""
_WANTED = "give the folder of a study, of one of its reports, of `hattriq train` or of `hattriq attribute`"
_ERRORS = 5.0  # standard errors that a sampled gap may be from 0
_Z95 = 1.96
_NO_HARDWARE = "Anything about a quantum processor: everything was simulated."


def report(folders: Sequence[str], out: str | os.PathLike[str], title: str) -> None:
    """Writes what studies and runs have to tell into one HTML page.

    Args:
        folders: one section each, in this order.
        out: the file to be written.
        title: of the page.

    Raises:
        FileExistsError: the file exists.
        FileNotFoundError: a folder does not, or lacks a file.
        ValueError: a folder holds nothing that can be told, or a damaged file.
    """
    if Path(out).exists():
        raise FileExistsError(f"{out} exists and is not overwritten; choose another path or remove it")
    sections = [section_of(Path(folder)) for folder in folders]
    print(f"wrote {write_report(out, title, sections)}: {'; '.join(section.title for section in sections)}")
    print("open it in a browser; it needs no other file and no network")


def section_of(folder: Path) -> Section:
    """What a folder has to tell.

    Raises:
        FileNotFoundError: there is no such folder, or a file that belongs to it is missing.
        ValueError: it holds nothing that can be told, or a damaged file.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}; {_WANTED}")
    if (folder / FILE).is_file():
        return Section.load(folder)
    if (folder / "run.json").is_file():
        return run_section(folder)
    if reports := list(folder.glob(f"report-*/{FILE}")):
        return Section.load(max((file.parent for file in reports), key=lambda made: made.stat().st_mtime_ns))
    if (folder / JOURNAL).is_file():
        raise ValueError(f"{folder} holds a run that is not finished; {how_to_go_on(folder)}")
    if (folder / "tasks").is_dir():
        raise ValueError(
            f"{folder} holds results of a study but no report yet; finish it: "
            f"python -m experiments {folder.resolve().name} --out {folder.parent}"
        )
    raise ValueError(f"{folder} holds nothing to report; {_WANTED}")


def run_section(folder: Path, tolerance: float = TOLERANCE) -> Section:
    """A run of `hattriq train` or `hattriq attribute` as a section.

    Args:
        folder: of the run.
        tolerance: the completeness gap that is allowed where nothing was sampled.

    Returns:
        The section. Beside maps stand the accuracies of the run that trained the model, if it is where it was.

    Raises:
        FileNotFoundError: a picture or an array is missing.
        ValueError: a file is damaged.
    """
    file = folder / "run.json"
    record = read_record(file)
    try:
        if record["command"] == "train":
            return _training(folder, record)
        return _attribution(folder, record, Attribution.load(folder / "attribution.npz"), tolerance)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is not as hattriq wrote it: {error!r}; make the run again in another folder") from error


def _training(folder: Path, record: Record) -> Section:
    training, settings = record["training"], record["settings"]
    return Section(
        title=f"Training on {record['data']['name']}",
        question=f"How well does a trained quantum model tell the classes apart? {record['data']['summary']}",
        findings=(
            f"Training went on for {training['epochs']} epochs (stopped by {training['stopped']}); the parameters kept are "
            f"those of epoch {training['best_epoch']}.",
        ),
        not_claimed=("An accuracy beyond this split and this seed.", _NO_HARDWARE),
        accuracy=_accuracies(record),
        pictures=(_training_picture(folder),),
        cost=Table(
            "Training, on this machine.",
            ("epochs", "best epoch", "seconds"),
            ((str(training["epochs"]), str(training["best_epoch"]), f"{training['seconds']:.1f}"),),
        ),
        settings={"data": record["data"]["spec"], **settings},
        assumptions={"model": record["model"], "loss": "logistic, of the exact score"},
        provenance=_provenance(record),
    )


def _attribution(folder: Path, record: Record, a: Attribution, tolerance: float) -> Section:
    data, settings = record["data"], record["settings"]
    minus, plus = data["label_names"]
    trained = _training_of(record)
    allowed = tolerance + _ERRORS * a.completeness_gap_stderr
    holds = np.abs(a.completeness_gap) <= allowed
    what = f"at most {tolerance:.0e}" + (f" and {_ERRORS:g} standard errors" if a.completeness_gap_stderr.any() else "")
    verdict = "holds" if holds.all() else f"fails for {np.sum(~holds)} of {len(a)} inputs"
    pictures = [
        Picture(
            (folder / "gallery.png").read_bytes(),
            f"Inputs above their signed maps. Red pushes towards +1 ({plus}), blue towards -1 ({minus}).",
            f"Pictures of inputs of {data['name']}, and below each its attribution map in red and blue",
            "gallery",
        )
    ]
    used: dict[str, Any] = {"data": data["spec"], "model": record["model"]["path"]}
    if trained is None:
        used |= settings
    else:
        pictures.append(_training_picture(trained[0]))
        used |= {f"attribution: {name}": value for name, value in settings.items()}
        used |= {f"training: {name}": value for name, value in trained[1]["settings"].items()}
    unknown = () if trained else (f"How accurate the model is: the run that trained it is not at {record['model']['path']}.",)
    on_processor = settings["estimator"] != "exact" and settings["engine"].startswith("google:")
    return Section(
        title=f"Attribution maps of {data['name']}",
        question="How much does each feature, encoded in an amplitude, push the model's answer up or down? " + data["summary"],
        findings=(
            f"Completeness {verdict}: the values of a map sum to the score at the input less the score at the baseline; the "
            f"largest gap of {len(a)} inputs is {np.max(np.abs(a.completeness_gap)):.1e}, allowed is {what}.",
        ),
        not_claimed=(
            "That a map explains the data: it explains the answers of this model.",
            *unknown,
            *(() if on_processor else (_NO_HARDWARE,)),
        ),
        accuracy=None if trained is None else _accuracies(trained[1]),
        pictures=tuple(pictures),
        tables=(_inputs(record, a, holds),),
        cost=_cost(record["cost"]),
        settings=used,
        assumptions={**_assumptions(record["assumptions"]), "model": record["model"]["repr"]},
        provenance=_provenance(record),
    )


def _training_of(record: Record) -> tuple[Path, Record] | None:
    """The run that trained the model of an attribution, if its file is still the one that was used."""
    model = Path(record["model"]["path"])
    file = model.parent / "run.json"
    if not (model.is_file() and file.is_file() and checksum(model) == record["model"]["sha256"]):
        return None
    trained = read_record(file)
    return (model.parent, trained) if trained.get("command") == "train" else None


def _accuracies(record: Record) -> Table:
    rows = [Accuracy(**row) for row in record["accuracies"]]
    return table_of_accuracies(rows, record["data"]["train"], record["data"]["test"])


def _inputs(record: Record, a: Attribution, holds: np.ndarray[Any, np.dtype[np.bool_]]) -> Table:
    """Each input with its scores, its gap and its largest feature."""
    rows = []
    for index, label, one, whole in zip(record["inputs"]["indices"], record["inputs"]["labels"], a, holds, strict=True):
        ((feature, value),) = one.top(1)
        gap = _with_error(float(one.completeness_gap), float(one.completeness_gap_stderr), ".1e")
        rows.append(
            (
                str(index),
                f"{label:+d}",
                f"{float(one.f_input):+.4f}",
                f"{float(one.f_baseline):+.4f}",
                gap,
                "holds" if whole else "fails",
                str(feature),
                _with_error(value, float(one.stderr[feature]), "+.4f"),
            )
        )
    sampled = " 95% intervals are 1.96 standard errors either way." if a.stderr.any() else " Nothing was sampled."
    return Table(
        f"Scores at input and baseline, what the sum of the map lacks of their difference, its largest value.{sampled}",
        ("sample", "label", "F(input)", "F(baseline)", "gap", "completeness", "largest at", "its value"),
        tuple(rows),
    )


def _with_error(value: float, stderr: float, digits: str) -> str:
    text = f"{value:{digits}}"
    return f"{text} [{value - _Z95 * stderr:{digits}}, {value + _Z95 * stderr:{digits}}]" if stderr else text


def _cost(cost: Mapping[str, Any]) -> Table:
    what = "All inputs together; two-qubit gates of the largest circuit; programs are different circuits compiled."
    what = what if cost["circuits"] else "An exact result costs nothing on a quantum computer."
    words = {"two_qubit_gates": "two-qubit gates"}
    return Table(what, tuple(words.get(name, name.replace("_", " ")) for name in cost), (tuple(map(str, cost.values())),))


def _assumptions(found: Mapping[str, Any]) -> dict[str, str]:
    texts = {name: ", ".join(value) if isinstance(value, list) else value for name, value in found.items()}
    return {name.replace("_", " "): str(value) for name, value in texts.items() if value not in (None, "")}


def _provenance(record: Record) -> dict[str, str]:
    made = record["provenance"]
    return {"created (UTC)": made["created_utc"], **made["versions"]}


def _training_picture(folder: Path) -> Picture:
    caption = "Loss and accuracy on the training set after each epoch."
    return Picture((folder / "training.png").read_bytes(), caption, "Curves of " + caption[0].lower() + caption[1:], "training")
