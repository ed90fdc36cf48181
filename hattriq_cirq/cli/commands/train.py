"""`hattriq train`: train a model and write it into a new folder."""

from __future__ import annotations

import argparse
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from hattriq_cirq.cli.arguments import Seed
from hattriq_cirq.cli.help_lists import DATA_SETS

if TYPE_CHECKING:
    from hattriq_cirq.models.training import History


def _batch_size(text: str) -> int | None:
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of samples, or all")
    return None if text == "all" else int(text)


@dataclass(frozen=True)
class Train:
    """Train a model on a data set.

    A quantum classifier is trained. The model, its training history, a picture and all settings are written into a new
    folder. Its accuracy is printed beside that of logistic regression on the same split and that of chance.

    Args:
        data (DATA): Data set, as listed above.
        out (DIR): New or empty folder for the results.
        ansatz (ring|grid:RxC): Circuit of the model.
        layers (N): Number of coupling layers.
        optimizer: Optimizer.
        epochs (N): Largest number of epochs.
        batch_size (N|all): Number of samples per minibatch of adam.
        learning_rate (X): Learning rate of adam.
        scale (X): Steepness of the logistic loss.
        seed (N): Random seed for initial parameters and minibatches.

    Examples:
        hattriq train digits:pair=0/1 --out runs/digits
        hattriq train bars_and_stripes --out runs/bars --ansatz grid:2x2 --layers 4 --optimizer lbfgs
        hattriq train my.csv --out runs/mine --epochs 100 --seed 3
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

    def run(self) -> int:
        """Train the model, write model.json, run.json, training.csv and training.png, and print the result."""
        import sys
        from dataclasses import asdict

        from hattriq_cirq import datasets
        from hattriq_cirq.cli.run_folder import accuracy_table, fresh_folder, print_files, run_record, settings_of
        from hattriq_cirq.cli.values import build_model
        from hattriq_cirq.foundation.files import write_new
        from hattriq_cirq.models.training import train
        from hattriq_cirq.reporting import plotting
        from hattriq_cirq.workflows.accuracies import accuracies

        folder, data = fresh_folder(self.out), datasets.load(self.data)
        training = train(
            build_model(self.ansatz, data.n_qubits, self.layers),
            data.x_train,
            data.y_train,
            seed=self.seed,
            optimizer=self.optimizer,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            scale=self.scale,
            progress=sys.stderr.isatty(),
        )
        rows = accuracies(training.model, data)
        training.model.save(folder / "model.json")
        record = run_record(
            "train",
            self.data,
            data,
            settings=settings_of(self, "data", "out"),
            accuracies=[asdict(row) for row in rows],
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
        print(data.summary(), training, accuracy_table(rows), sep="\n")
        print_files(folder)
        return 0


def _history_csv(history: History) -> str:
    import csv
    import io
    from math import isnan

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ("loss", "accuracy", "validation_loss", "validation_accuracy")
    writer.writerow(["epoch", *names])
    for epoch, row in enumerate(zip(*(getattr(history, name) for name in names), strict=True), start=1):
        writer.writerow([epoch, *("" if isnan(value) else repr(float(value)) for value in row)])
    return text.getvalue()
