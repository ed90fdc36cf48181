"""The work behind the commands: train into a folder, attribute into a folder."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hattriq_cirq import datasets
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.cli.choices import (
    build_model,
    make_baseline,
    parse_engine,
    parse_estimator,
    parse_head,
    parse_mitigation,
    select_inputs,
)
from hattriq_cirq.cli.journaled import journaled, write_missing
from hattriq_cirq.cli.tables import accuracy_table, score_table
from hattriq_cirq.datasets.user import checksum
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.provenance import Provenance
from hattriq_cirq.models.model import Form, Model
from hattriq_cirq.models.training import History, Optimizer, Training, train
from hattriq_cirq.pipeline.integrated_gradients import integrated_gradients
from hattriq_cirq.reporting import plotting
from hattriq_cirq.simulation.statevector import Precision
from hattriq_cirq.workflows.accuracies import Accuracy, accuracies

FORMAT = "hattriq_cirq.Run/1"
_GALLERY_MAX = 32  # inputs that fit a readable gallery


@dataclass(frozen=True)
class TrainSettings:
    """How a model is made and trained; names and defaults as in `training.train`."""

    ansatz: str = "ring"
    layers: int = 4
    optimizer: Optimizer = "adam"
    epochs: int = 200
    batch_size: int | None = 64
    learning_rate: float = 0.05
    scale: float = 10.0
    seed: int = 0


@dataclass(frozen=True)
class AttributeSettings:
    """Which inputs are attributed, and how; `seed` is that of a sampled baseline and of the counts.

    `shots` is for each input; 0 takes exact probabilities. An exact attribution has neither engine nor shots nor mitigation.
    `mitigate` names mitigations with commas; `calibration` is a file for that of the readout, `max_age` its age in hours.
    """

    inputs: str = "test:0:8"
    baseline: str = "zero"
    form: Form = "quadratic"
    rule: str = "exact"
    head: str = "identity"
    precision: Precision = "float64"
    estimator: str = "exact"
    engine: str = "qsim"
    shots: int = 20_000
    seed: int = 0
    mitigate: str = ""
    calibration: str | None = None
    max_age: float | None = None

    @property
    def counts(self) -> bool:
        """Whether shots are counted on an engine, which is what a journal is for."""
        return self.estimator != "exact" and self.shots != 0


@dataclass(frozen=True)
class Task:
    """A data set and the text that names it."""

    spec: str
    data: datasets.Dataset

    @classmethod
    def load(cls, spec: str) -> Task:
        """Reads the data set a text names."""
        return cls(spec, datasets.load(spec))

    @property
    def classes(self) -> tuple[str, str] | None:
        """What -1 and +1 mean, if they are called anything else."""
        return None if self.data.label_names == ("-1", "+1") else self.data.label_names

    def record(self) -> dict[str, object]:
        """The task for run.json."""
        data = self.data
        return {
            "spec": self.spec,
            "name": data.name,
            "summary": data.summary(),
            "label_names": list(data.label_names),
            "image_shape": data.image_shape,
            "train": len(data.train),
            "test": len(data.test),
            "details": dict(data.details),
        }


@dataclass(frozen=True)
class TrainRun:
    """A finished training and where it lies."""

    folder: Path
    task: Task
    settings: TrainSettings
    training: Training
    accuracies: tuple[Accuracy, ...]

    def print(self) -> None:
        """Prints the task, how training went, accuracies and files."""
        print(self.task.data.summary())
        print(self.training)
        print(accuracy_table(self.accuracies))
        print_files(self.folder)


@dataclass(frozen=True)
class AttributeRun:
    """A finished attribution and where it lies; `indices` are samples of the data set."""

    folder: Path
    task: Task
    settings: AttributeSettings
    indices: Array
    attribution: Attribution

    @property
    def largest_gap(self) -> float:
        """The largest absolute completeness gap."""
        return float(np.max(np.abs(self.attribution.completeness_gap)))

    def print(self) -> None:
        """Prints the attribution, the score of each input, the gap and files."""
        print(self.attribution)
        print(score_table(self.attribution, self.indices, self.task.data.labels[self.indices]))
        print_files(self.folder)
        if len(self.indices) > _GALLERY_MAX:
            print(f"gallery.png shows the first {_GALLERY_MAX} of {len(self.indices)} inputs; `hattriq show` draws any")


def train_into(folder: Path, task: Task, settings: TrainSettings) -> TrainRun:
    """Trains a model and writes model.json, run.json, training.csv and training.png.

    Args:
        folder: from `fresh_folder`.
        task: the data.
        settings: of model and training.

    Returns:
        The run.

    Raises:
        ValueError: bad settings.
    """
    data = task.data
    model = build_model(settings.ansatz, data.n_qubits, settings.layers)
    training = train(
        model,
        data.x_train,
        data.y_train,
        seed=settings.seed,
        optimizer=settings.optimizer,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        scale=settings.scale,
        progress=sys.stderr.isatty(),
    )
    run = TrainRun(folder, task, settings, training, accuracies(training.model, data))
    training.model.save(folder / "model.json")
    record = _record(
        "train",
        task,
        settings=asdict(settings),
        accuracies=[asdict(row) for row in run.accuracies],
        training={
            "best_epoch": training.best_epoch,
            "epochs": len(training.history),
            "stopped": training.stopped,
            "seconds": training.seconds,
        },
        model=repr(training.model),
    )
    write_new(folder / "run.json", record)
    write_new(folder / "training.csv", _history_csv(training.history))
    write_new(folder / "training.png", plotting.png(plotting.plot_training(training)))
    return run


def attribute_into(folder: Path, model_path: Path, task: Task, settings: AttributeSettings) -> AttributeRun:
    """Attributes a saved model and writes attribution.npz, run.json, attribution.csv and gallery.png.

    A run that counts shots is journaled: called again with the folder of one that stopped, it goes on, and writes what
    results are missing.

    Args:
        folder: from `fresh_folder`, or from `run_folder` where shots are counted.
        model_path: a model file.
        task: where the inputs come from.
        settings: which inputs, baseline, form, rule, head, precision, estimator, engine, shots.

    Returns:
        The run.

    Raises:
        ValueError: bad settings, or a model of another number of features.
        EngineError: the engine could not run the circuits, or the folder is another run's or in use.
    """
    data, model = task.data, Model.load(model_path)
    if model.n_features != data.n_features:
        raise ValueError(
            f"{model_path} takes {model.n_features} features, {data.name} has {data.n_features}; "
            "give the data the model was trained on"
        )
    source = {"path": str(model_path), "sha256": checksum(model_path)}
    if not settings.counts:
        estimator = parse_estimator(settings.estimator)
        engine = None if estimator is None else parse_engine(settings.engine, settings.seed)
        return _attribute(folder, model, source, task, settings, engine)
    record = {
        "command": "attribute",
        "data": task.record(),
        "settings": asdict(settings),
        "model": source,
        "directory": os.getcwd(),
    }
    if settings.calibration is not None:
        record["calibration"] = {"path": settings.calibration, "sha256": checksum(Path(settings.calibration))}
    with journaled(folder, settings.engine, settings.seed, record) as engine:
        return _attribute(folder, model, source, task, settings, engine)


def _attribute(
    folder: Path, model: Model, source: Mapping[str, str], task: Task, settings: AttributeSettings, engine: Engine | None
) -> AttributeRun:
    """Computes everything, then writes it."""
    data = task.data
    indices = select_inputs(settings.inputs, data)
    label, baseline = make_baseline(settings.baseline, data, indices, settings.seed)
    attribution = integrated_gradients(
        model,
        data.amplitudes[indices],
        baseline=baseline,
        form=settings.form,
        rule=settings.rule,
        head=parse_head(settings.head),
        precision=settings.precision,
        estimator=parse_estimator(settings.estimator),
        engine=engine,
        shots=None if engine is None else settings.shots or None,
        mitigation=parse_mitigation(settings.mitigate, settings.seed, settings.calibration, settings.max_age),
        progress=engine is None and sys.stderr.isatty(),
    )
    attribution = replace(attribution, assumptions=replace(attribution.assumptions, baseline=label))
    write_missing(folder / "attribution.npz", attribution.save)
    record = _record(
        "attribute",
        task,
        settings=asdict(settings),
        model={**source, "repr": repr(model)},
        engine=None if engine is None else engine.describe(),
        inputs={
            "indices": indices.tolist(),
            "labels": data.labels[indices].tolist(),
            "f_input": attribution.f_input.tolist(),
            "f_baseline": attribution.f_baseline.tolist(),
            "completeness_gap": attribution.completeness_gap.tolist(),
            "completeness_gap_stderr": attribution.completeness_gap_stderr.tolist(),
        },
        assumptions=asdict(attribution.assumptions),
        cost=asdict(attribution.cost),
    )
    write_missing(folder / "run.json", lambda path: write_new(path, record))
    write_missing(folder / "attribution.csv", attribution.to_csv)
    figure = plotting.plot_gallery(
        attribution[:_GALLERY_MAX],
        shape=data.image_shape or plotting.basis_grid(data.n_features),
        labels=data.labels[indices[:_GALLERY_MAX]],
        classes=task.classes,
    )
    write_missing(folder / "gallery.png", lambda path: write_new(path, plotting.png(figure)))
    return AttributeRun(folder, task, settings, indices, attribution)


def print_files(folder: Path) -> None:
    """Prints what a folder holds."""
    print(f"wrote {folder}{os.sep}: {', '.join(sorted(file.name for file in folder.iterdir()))}")


def _record(command: str, task: Task, **content: Any) -> str:
    """What run.json holds."""
    record: Mapping[str, object] = {
        "format": FORMAT,
        "command": command,
        "data": task.record(),
        **content,
        "provenance": asdict(Provenance.now()),
    }
    return json.dumps(record, indent=2) + "\n"


def _history_csv(history: History) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ("loss", "accuracy", "validation_loss", "validation_accuracy")
    writer.writerow(["epoch", *names])
    for epoch, row in enumerate(zip(*(getattr(history, name) for name in names), strict=True), start=1):
        writer.writerow([epoch, *("" if np.isnan(value) else repr(float(value)) for value in row)])
    return text.getvalue()
