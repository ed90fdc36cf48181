"""`hattriq demo`: from data to attribution maps and a one-page report."""

from __future__ import annotations

import os
import sys

from hattriq_cirq.cli.choices import fresh_folder
from hattriq_cirq.cli.report import TOLERANCE, run_section
from hattriq_cirq.cli.runs import AttributeSettings, Task, TrainSettings, attribute_into, train_into
from hattriq_cirq.reporting.html import write_report

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
    maps = []
    for name, task in tasks.items():
        print(f"== {name}")
        trained = train_into(folder / name / "train", task, TrainSettings(epochs=100 if quick else 300))
        trained.print()
        settings = AttributeSettings(inputs="test:0:4" if quick else "test:0:8")
        maps.append(attribute_into(folder / name / "attribution", trained.folder / "model.json", task, settings))
        maps[-1].print()
    page = write_report(
        folder / "report.html",
        "Integrated gradients of two quantum models",
        [run_section(run.folder, TOLERANCE) for run in maps],
        "Each map shows how much every pixel, encoded in an amplitude, pushes the model's answer up or down.",
    )
    print(f"== done: open {page} in a browser; arrays, tables and pictures are in the folders beside it")
    worst = max(run.largest_gap for run in maps)
    if worst > TOLERANCE:
        print(f"hattriq: completeness fails: the largest gap is {worst:.1e}, more than {TOLERANCE:.0e}", file=sys.stderr)
        return 1
    print(f"completeness holds: the largest gap is {worst:.1e}, at most {TOLERANCE:.0e}")
    return 0
