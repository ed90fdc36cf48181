"""Explanations of the rows of a table: a classifier is trained on them, or was before, and its answers are explained.

The classifier is written as soon as it is trained, so that a run that stops does not train again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import hattriq_cirq as hq
from hattriq_cirq.cli import tables
from hattriq_cirq.cli.run_folder import RunFolder, check_run, open_run
from hattriq_cirq.datasets.table_encoder import TableEncoder
from hattriq_cirq.foundation.arrays import IntArray
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.provenance import Provenance
from hattriq_cirq.foundation.reading import checksum
from hattriq_cirq.foundation.terminal import is_watched
from hattriq_cirq.reporting.document import FILE
from hattriq_cirq.reporting.html import write_report
from hattriq_cirq.reporting.records import FORMAT, Record, read_record
from hattriq_cirq.workflows.accuracies import Accuracy, table_of_accuracies
from hattriq_cirq.workflows.explain import PARTS, Explanation
from hattriq_cirq.workflows.table_answer import (
    LabelledTable,
    PreparedTable,
    TableClassifier,
    accuracy_records,
    select_rows,
)

CLASSIFIER, REPORT = "classifier.json", "report.html"
_NOTES = 8  # on columns that are printed
_ANSWERS = 5  # that are printed


@dataclass(frozen=True)
class Choices:
    """Options of an explanation of rows.

    Args:
        out: Folder of the results.
        label: Column of labels, or None.
        layers: Number of layers, or `auto`.
        inputs: Rows to explain, as text.
        baseline: Baseline, `mean` or `zero`.
        target: Class that is explained; None for the predicted one.
        top: Number of features in a sentence.
        seed: Random seed of split and training.
        device: Device that trains.
        parts: Parts of the explanation.
    """

    out: Path
    label: str | None
    layers: str
    inputs: str
    baseline: str
    target: str | None
    top: int
    seed: int
    device: str = "cpu"
    parts: tuple[str, ...] = ("maps",)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that decide the results; the parts, unless they are the maps alone."""
        left_out = {"out"} | ({"parts"} if self.parts == ("maps",) else set())
        return {name: list(value) if name == "parts" else value for name, value in asdict(self).items() if name not in left_out}

    @property
    def results(self) -> tuple[str, ...]:
        """Names of the files with the results, that of the record last."""
        numbers = (f"{part}.csv" for part in PARTS if part in {"maps", *self.parts})
        return ("attribution.npz", *numbers, FILE, REPORT, "run.json")


def explain_table(source: Path, choices: Choices) -> list[str]:
    """Train a classifier on a table and explain its answers to some rows; return the sentences that answer.

    Args:
        source: File of the table.
        choices: Options.
    """
    results = (CLASSIFIER, *choices.results)
    check_run(choices.out, results)
    table = LabelledTable.read(source, choices.label)
    layers: Any = choices.layers if choices.layers == "auto" else int(choices.layers)
    classifier = hq.AmplitudeClassifier(layers=layers, seed=choices.seed, verbose=is_watched(), device=choices.device)
    prepared = PreparedTable.of(table, classifier, seed=choices.seed)
    chosen = select_rows(choices.inputs, table.rows, prepared.train, prepared.test)
    if choices.target is not None and choices.target not in table.classes:
        raise ValueError(f"--target {choices.target!r} is no class; the classes are {', '.join(map(repr, table.classes))}")
    data = _data_record(source, prepared)
    task = {"command": "explain", "settings": choices.settings, "data": {"spec": os.fspath(source), "sha256": data["sha256"]}}
    with open_run(choices.out, task, results, ()) as folder:
        print(table, *table.notes, *_few(prepared.notes), sep="\n")
        trained = _trained(folder, prepared)
        rows = prepared.accuracies(trained.classifier)
        print(tables.accuracy_table(accuracy_records(rows)), flush=True)
        return _explained(folder.path, trained, table, chosen, choices, data, rows)


def explain_rows(source: Path, rows_file: Path | None, choices: Choices) -> list[str]:
    """Explain more answers of a classifier that an earlier run trained; return the sentences that answer.

    Args:
        source: Folder of the earlier run.
        rows_file: File of new rows, with the columns of the training; None for the table of the training.
        choices: Options.
    """
    check_run(choices.out, choices.results)
    record, trained = load_run(source)
    if rows_file is None:
        file, digest = recorded_table(source, record), record["data"]["sha256"]
        table = LabelledTable.read(file, trained.label_column)
        chosen = select_rows(choices.inputs, table.rows, trained.train, trained.test)
    else:
        file, digest = rows_file, checksum(rows_file)
        table = LabelledTable.read_new(file, trained.encoder, trained.label_column)
        chosen = select_rows(choices.inputs, table.rows, None, None)
    data = {**record["data"], "spec": os.fspath(file), "sha256": digest, "summary": str(table)}
    task = {"command": "explain", "settings": choices.settings, "data": {"spec": data["spec"], "sha256": data["sha256"]}}
    with open_run(choices.out, task, choices.results, ()) as folder:
        print(table, flush=True)
        known = [Accuracy(**row) for row in record["accuracies"]]
        return _explained(folder.path, trained, table, chosen, choices, data, known, source)


def recorded_table(source: Path, record: Record) -> Path:
    """Return the table that an earlier run read, if it is still there and the same.

    Args:
        source: Folder of the run, for the message.
        record: Record of the run.

    Raises:
        ValueError: It was moved or changed.
    """
    data = record["data"]
    file = Path(data["spec"])
    if not file.is_file() or checksum(file) != data["sha256"]:
        raise ValueError(f"the table of {source}, {file}, was moved or changed; name the rows: hattriq explain {source} ROWS")
    return file


def load_run(source: Path) -> tuple[Record, TableClassifier]:
    """Return the record of an earlier run on a table, and its classifier.

    Args:
        source: Folder of the run.

    Raises:
        ValueError: The folder holds no such run, or a damaged file.
    """
    record = read_record(source / "run.json")
    data = record["data"]
    trained = TableClassifier(
        TableEncoder.from_record(data["encoder"]),
        hq.AmplitudeClassifier.load(source / CLASSIFIER),
        np.array(data["train"]),
        np.array(data["test"]),
        data["label_column"],
        data["image_shape"],
    )
    return record, trained


def _trained(folder: RunFolder, prepared: PreparedTable) -> TableClassifier:
    """Return the classifier that a run which stopped has written, or train it."""
    file = folder.path / CLASSIFIER
    if file.exists():
        print("the classifier was trained before; going on from there", flush=True)
        return prepared.with_classifier(hq.AmplitudeClassifier.load(file))
    print(prepared.plan(), flush=True)
    trained = prepared.fit()
    trained.classifier.save(file)
    return trained


def _explained(
    folder: Path,
    trained: TableClassifier,
    table: LabelledTable,
    chosen: IntArray,
    choices: Choices,
    data: Mapping[str, Any],
    accuracies: Sequence[Accuracy],
    source: Path | None = None,
) -> list[str]:
    """Attribute rows and write the results, the record last; return the answers."""
    for file in (*(folder / name for name in choices.results), *folder.glob("*.png")):
        file.unlink(missing_ok=True)  # of this run, which stopped before its record was written
    features = table.features.iloc[chosen]
    maps = trained.attribute(features, baseline=choices.baseline, target=choices.target)
    names = map(str, trained.classifier.classes_.tolist())
    has_tests = "orders" in choices.parts and len(table) > int(np.max(trained.test)) and table.labels is not None
    explanation = Explanation(
        maps,
        model=trained.scores,
        classes=[trained.attribute(features, baseline=choices.baseline, target=name) for name in names],
        parts=[part for part in PARTS if part in {"maps", *choices.parts}],
        tested=trained.tested(table) if has_tests else None,
        spreads=trained.spreads(),
        indices=table.rows[chosen],
        labels=None if table.labels is None else table.labels[chosen].tolist(),
        table=features if trained.image_shape is None else None,
        title=f"Why? Answers to {table.name}",
        question=f"{data['summary']}. Which features decide the answers of a quantum classifier?",
        accuracy=table_of_accuracies(accuracies, len(trained.train), len(trained.test)),
        settings={name: str(value) for name, value in choices.settings.items() if value is not None},
        findings=tuple(data["notes"]),
    )
    section = explanation.section()
    explanation.save(folder)
    section.save(folder)
    write_report(folder / REPORT, section.title, [section])
    labels = [""] * len(chosen) if table.labels is None else [f" (label {table.labels[k]})" for k in chosen]
    answers = [
        printable(
            f"row {table.rows[k]}{label}: {'. '.join([maps.answer(i, count=choices.top), *explanation.remarks[i : i + 1]])}"
        )
        for i, (k, label) in enumerate(zip(chosen.tolist(), labels, strict=True))
    ]
    answers += section.findings[len(data["notes"]) :]
    record = {
        "format": FORMAT,
        "command": "explain",
        "data": data,
        "settings": choices.settings,
        "accuracies": accuracy_records(accuracies),
        **({} if source is None else {"source": os.fspath(source)}),
        "answers": answers,
        "provenance": asdict(Provenance.now()),
    }
    write_new(folder / "run.json", json.dumps(record, indent=2) + "\n")
    return answers


def _data_record(source: Path, prepared: PreparedTable) -> dict[str, Any]:
    table = prepared.table
    return {
        "spec": os.fspath(source),
        "sha256": checksum(source),
        "summary": str(table),
        "label_column": table.label_column,
        "classes": table.classes,
        "image_shape": table.image_shape,
        "train": prepared.train.tolist(),
        "test": prepared.test.tolist(),
        "encoder": prepared.encoder.to_record(),
        "notes": [*table.notes, *prepared.notes],
    }


def _few(notes: Sequence[str]) -> list[str]:
    left = len(notes) - _NOTES
    return [*notes[:_NOTES], *([f"and {left} notes more, see the report"] if left > 0 else [])]
