"""`hattriq demo`: from data to attribution maps and a one-page report."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path

from hattriq_cirq.cli.choices import fresh_folder
from hattriq_cirq.cli.runs import (
    AttributeRun,
    AttributeSettings,
    Task,
    TrainRun,
    TrainSettings,
    attribute_into,
    train_into,
)
from hattriq_cirq.report import Picture, Report, Study, write_report

TOLERANCE = 1e-9
TASKS = {"bars_and_stripes": "bars_and_stripes", "digits": "digits:pair=0/1"}


def demo(out: str | os.PathLike[str], *, quick: bool = False) -> int:
    """Trains on Bars and Stripes and on digits, attributes test inputs, checks completeness and writes a report.

    Args:
        out: new or empty folder.
        quick: fewer epochs and inputs.

    Returns:
        0, or 1 if a completeness gap exceeds TOLERANCE; everything is written either way.

    Raises:
        FileExistsError: the folder holds something.
        ImportError: the digits are not installed.
    """
    folder = fresh_folder(out)
    tasks = {name: Task.load(spec) for name, spec in TASKS.items()}
    runs = []
    for name, task in tasks.items():
        print(f"== {name}")
        trained = train_into(folder / name / "train", task, TrainSettings(epochs=100 if quick else 300))
        trained.print()
        settings = AttributeSettings(inputs="test:0:4" if quick else "test:0:8")
        attributed = attribute_into(folder / name / "attribution", trained.folder / "model.json", task, settings)
        attributed.print()
        runs.append((trained, attributed))
    report = Report(
        title="Integrated gradients of two quantum models",
        summary="Each map shows how much every pixel, encoded in an amplitude, pushes the model's answer up or down.",
        studies=tuple(study(trained, attributed) for trained, attributed in runs),
        tolerance=TOLERANCE,
    )
    page = write_report(folder / "report.html", report)
    print(f"== done: open {page} in a browser; arrays, tables and pictures are in the folders beside it")
    worst = max(attributed.largest_gap for _, attributed in runs)
    if worst > TOLERANCE:
        print(f"hattriq: completeness fails: the largest gap is {worst:.1e}, more than {TOLERANCE:.0e}", file=sys.stderr)
        return 1
    print(f"completeness holds: the largest gap is {worst:.1e}, at most {TOLERANCE:.0e}")
    return 0


def study(trained: TrainRun, attributed: AttributeRun) -> Study:
    """One model and its maps as a section of a report; the pictures are those the runs wrote."""
    data, assumptions = trained.task.data, attributed.attribution.assumptions
    minus, plus = data.label_names
    return Study(
        title=data.name,
        summary=data.summary(),
        train_samples=len(data.train),
        test_samples=len(data.test),
        accuracies=trained.accuracies,
        pictures=(
            _picture(
                attributed.folder / "gallery.png",
                f"Test inputs above their signed maps. Red pushes towards +1 ({plus}), blue towards -1 ({minus}).",
            ),
            _picture(trained.folder / "training.png", "Loss and accuracy on the training set after each epoch."),
        ),
        largest_gap=attributed.largest_gap,
        inputs=len(attributed.attribution),
        settings={f"training: {name}": value for name, value in asdict(trained.settings).items()}
        | {f"attribution: {name}": value for name, value in asdict(attributed.settings).items()},
        assumptions={name: value for name, value in asdict(assumptions).items() if value is not None}
        | {"observables": ", ".join(assumptions.observables)},
    )


def _picture(file: Path, caption: str) -> Picture:
    return Picture(file.read_bytes(), caption, alt=caption)
