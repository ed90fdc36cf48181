"""Pictures of runs, which follow from the results in their folders."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import hattriq_cirq as hq
from hattriq_cirq.cli.tables import data_contract
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.reading import FileError, read_bytes
from hattriq_cirq.foundation.text import decimal
from hattriq_cirq.models.training import History
from hattriq_cirq.reporting.records import Record

TRAINING, GALLERY, TESTS = "training.png", "gallery.png", "tests.png"
GALLERY_MAX = 32  # inputs that fit a readable gallery
COLUMNS = ("loss", "accuracy", "validation_loss", "validation_accuracy")


def draw_training(folder: Path, record: Record) -> Axes:
    """Return the curves of a training from the files in its folder.

    Args:
        folder: Folder that `hattriq train` wrote.
        record: Content of its run.json.
    """
    curves = _read_curves(folder / "training.csv")
    if record["training"]["best_epoch"] >= len(curves["loss"]):
        raise FileError(folder / "training.csv", f"it has no epoch {record['training']['best_epoch'] + 1}, the best one")
    summary = {name: record["training"][name] for name in ("best_epoch", "stopped", "seconds")}
    seed = record["settings"]["seed"]
    return hq.plot_training(hq.Training(hq.Model.load(folder / "model.json"), History(**curves), seed=seed, **summary))


def _read_curves(file: Path) -> dict[str, Array]:
    """Return the columns of a training.csv; an empty cell is NaN."""
    header, *rows = list(csv.reader(read_bytes(file).decode("utf-8", "replace").splitlines())) or [[]]
    numbers = [[decimal(cell) if cell else nan for cell in row] for row in rows]
    if header != ["epoch", *COLUMNS] or any(len(row) != len(header) or None in row for row in numbers):
        raise FileError(file, f"it must hold numbers in the columns epoch, {', '.join(COLUMNS)}")
    columns = np.array(numbers, dtype=float).reshape(-1, len(header)).T
    return dict(zip(COLUMNS, columns[1:], strict=True))


def draw_tests(learned: hq.LearnedModel, model: hq.Model | None) -> Figure:
    """Return the picture of the tests of a learned model: held-out probes and, with a model to simulate, the comparison.

    Args:
        learned: Learned model.
        model: Model from which it was learned; None leaves out the comparison.
    """
    figure = Figure(figsize=(4.9 if model is None else 9.6, 5.3), layout="constrained")
    axes = figure.subplots(1, 1 if model is None else 2, squeeze=False)[0]
    hq.plot_probe_test(learned.held_out_test(), axes[0], title="Does the fit describe the device? Held-out probes")
    if model is not None:
        hq.plot_probe_test(learned.compare(model), axes[1], title="Does the device compute the model? All probes")
    return figure


def draw_gallery(a: hq.Attribution, labels: Sequence[int] | Array | None, data: Record) -> Figure:
    """Return the gallery of the first inputs of an attribution, or the map of a state of unknown amplitudes.

    Args:
        a: Attribution of a batch.
        labels: Labels of its inputs; None if they are not known.
        data: Record of the data set.
    """
    if not a.knows_input:  # of one state that a circuit prepared
        figure = hq.plot_attribution(a[0]).figure
        assert isinstance(figure, Figure)  # and no part of one
        return figure
    shown = a[:GALLERY_MAX]
    shown = shown if shown.contract is not None else replace(shown, contract=data_contract(data))
    return hq.plot_gallery(shown, labels=None if labels is None else list(labels[:GALLERY_MAX]))
