"""Pictures of runs, which follow from the results in their folders."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import hattriq_cirq as hq
from hattriq_cirq.cli.folders import Record, class_names
from hattriq_cirq.models.training import History
from hattriq_cirq.reporting.plotting import basis_grid

TRAINING, GALLERY = "training.png", "gallery.png"
GALLERY_MAX = 32  # inputs that fit a readable gallery
COLUMNS = ("loss", "accuracy", "validation_loss", "validation_accuracy")


def draw_training(folder: Path, record: Record) -> Axes:
    """Return the curves of a training from the files in its folder.

    Args:
        folder: Folder that `hattriq train` wrote.
        record: Content of its run.json.
    """
    with (folder / "training.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    curves = {name: np.array([float(row[name] or "nan") for row in rows]) for name in COLUMNS}
    summary = {name: record["training"][name] for name in ("best_epoch", "stopped", "seconds")}
    seed = record["settings"]["seed"]
    return hq.plot_training(hq.Training(hq.Model.load(folder / "model.json"), History(**curves), seed=seed, **summary))


def draw_gallery(a: hq.Attribution, labels: Sequence[int], data: Record) -> Figure:
    """Return the gallery of the first inputs of an attribution.

    Args:
        a: Attribution of a batch.
        labels: Labels of its inputs.
        data: Record of the data set.
    """
    shape = data["image_shape"] or basis_grid(a.n_features)
    return hq.plot_gallery(
        a[:GALLERY_MAX],
        shape=(shape[0], shape[1]),
        labels=list(labels[:GALLERY_MAX]),
        classes=class_names(data["label_names"]),
    )
