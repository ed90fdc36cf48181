"""`hattriq train`: train a model and write it into a new folder."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass
from math import isnan
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import hattriq_cirq as hq
from hattriq_cirq.cli.arguments import Seed
from hattriq_cirq.cli.help_lists import DATA_SETS

if TYPE_CHECKING:
    from hattriq_cirq.cli.run_folder import RunFolder

RESULTS, PICTURES = ("model.json", "training.csv", "run.json"), ("training.png",)


def _batch_size(text: str) -> int | None:
    if text != "all" and not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of samples, or all")
    return None if text == "all" else int(text)


@dataclass(frozen=True)
class Train:
    """Train a model on a data set.

    A quantum classifier is trained. The model, its training history, a picture and all settings are written into a new
    folder. Its accuracy is printed beside that of logistic regression on the same split and that of chance.

    Args:
        data (DATA): Data set, as listed above.
        out (DIR): New or empty folder for the results, or the folder of this run if it stopped.
        ansatz (ring|grid:RxC|qcnn): Circuit of the model; qcnn pools by measurements, whatever the layers.
        layers (N): Number of coupling layers.
        optimizer: Optimizer.
        epochs (N): Largest number of epochs.
        batch_size (N|all): Number of samples per minibatch of adam.
        learning_rate (X): Learning rate of adam.
        scale (X): Steepness of the logistic loss.
        seed (N): Random seed for initial parameters and minibatches.
        device (NAME): Device that computes, cpu, cuda or cuda:1. Rounding differs between devices, and so does the end of a
            long training.

    Examples:
        hattriq train digits:pair=0/1 --out runs/digits
        hattriq train bars_and_stripes --out runs/bars --ansatz grid:2x2 --layers 4 --optimizer lbfgs
        hattriq train digits:pair=0/1 --out runs/qcnn --ansatz qcnn
        hattriq train my.csv --out runs/mine --epochs 100 --seed 3
        hattriq train my.csv:missing=impute,scale=minmax,constant=yes --out runs/scaled --epochs 100
    """

    help_lists: ClassVar = (DATA_SETS,)

    data: str
    _: KW_ONLY
    out: str
    ansatz: str = "ring"
    layers: int = 4
    optimizer: Literal["adam", "lbfgs"] = "adam"
    epochs: int = 200
    batch_size: Annotated[int | None, _batch_size] = 64
    learning_rate: float = 0.05
    scale: float = 10.0
    seed: Seed = 0
    device: str = "cpu"

    def run(self) -> int:
        """Train the model, write model.json, training.csv, run.json and training.png, and print the result.

        A run that was stopped goes on: what is missing is written.
        """
        from hattriq_cirq.cli import folders, model_data, pictures, tables
        from hattriq_cirq.cli.run_folder import check_run, open_run
        from hattriq_cirq.foundation.devices import Device
        from hattriq_cirq.reporting.records import read_record

        Device.of(self.device)
        check_run(self.out, RESULTS, PICTURES)
        data = hq.datasets.load(self.data)
        settings = folders.recorded_settings(self, "data", "out")
        task = {"command": "train", "settings": settings, "data": folders.data_record(self.data, data)}
        with open_run(self.out, task, RESULTS, PICTURES) as folder:
            print(data.summary())
            for note in model_data.table_notes(data):
                print(f"note: {note}")
            if not folder.is_recorded:
                print(self._train(folder, data, settings))
            record = read_record(folder.path / "run.json")
            folder.draw("training.png", lambda: pictures.draw_training(folder.path, record))
        print(tables.accuracy_table(record["accuracies"]))
        tables.print_files(folder.path)
        return 0

    def _train(self, folder: RunFolder, data: hq.datasets.Dataset, settings: Mapping[str, Any]) -> hq.Training:
        """Train the model and write the results."""
        from hattriq_cirq.cli import folders
        from hattriq_cirq.foundation.files import write_new
        from hattriq_cirq.foundation.progress import say
        from hattriq_cirq.foundation.terminal import is_watched
        from hattriq_cirq.foundation.text import quantity
        from hattriq_cirq.workflows import values
        from hattriq_cirq.workflows.accuracies import accuracies, expected_training_time

        options = {name: value for name, value in settings.items() if name not in ("ansatz", "layers")}
        model = values.build_model(self.ansatz, data.n_qubits, self.layers)
        say(
            f"training on {len(data.train)} rows of {data.n_features} amplitudes in at most {quantity(self.epochs, 'epoch')}; "
            + expected_training_time(len(data.train), data.n_qubits, self.layers, self.epochs)
        )
        training = hq.train(model, data.x_train, data.y_train, progress=is_watched(), **options)
        trained = training.model.with_contract(data.contract)
        rows = accuracies(trained, data)
        summary = {name: getattr(training, name) for name in ("best_epoch", "stopped", "seconds")}
        record = folders.run_record(
            "train",
            self.data,
            data,
            settings=settings,
            accuracies=[asdict(row) for row in rows],
            training=summary | {"epochs": len(training.history)},
            contract=data.contract.to_record(),
            model=repr(trained),
        )
        folder.write("model.json", trained.save)
        folder.write("training.csv", lambda file: write_new(file, _history_csv(training)))
        folder.write("run.json", lambda file: write_new(file, record))
        return training


def _history_csv(training: hq.Training) -> str:
    from hattriq_cirq.cli.pictures import COLUMNS

    lines = [",".join(["epoch", *COLUMNS])]
    for epoch, row in enumerate(zip(*(getattr(training.history, name) for name in COLUMNS), strict=True), start=1):
        lines.append(",".join([str(epoch), *("" if isnan(value) else repr(float(value)) for value in row)]))
    return "\n".join(lines) + "\n"
