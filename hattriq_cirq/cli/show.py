"""`hattriq show`: what a file or folder of this program holds, as text."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calibration.readout.calibration import ReadoutCalibration
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.cli.runs import FORMAT
from hattriq_cirq.cli.tables import accuracy_table, feature_table, score_table
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.models.model import Model
from hattriq_cirq.reporting import plotting
from hattriq_cirq.workflows.accuracies import Accuracy

Record = Mapping[str, Any]


def show(
    path: str | os.PathLike[str], *, png: str | None = None, index: int = 0, top: int = 10, shape: str | None = None
) -> None:
    """Prints a saved model, attribution, readout calibration or run, or every run below a folder.

    Args:
        path: attribution.npz, model.json, run.json, a calibration, or a folder that holds runs.
        png: where to draw input `index` and its map, for an attribution only.
        index: which input of an attribution, from 0.
        top: features to list, >= 1.
        shape: "RxC" of the image, in place of what run.json says.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it is nothing this program wrote, or the options do not fit it.
    """
    chosen = _find(Path(path))
    maps = [file for file in chosen if file.suffix == ".npz"]
    if png is not None and len(maps) != 1:
        raise ValueError(f"--png draws one attribution, {path} holds {len(maps)}; name one attribution.npz or its folder")
    for file in chosen:
        if len(chosen) > 1:
            print(f"== {file}")
        record = read_record(file.parent / "run.json") if (file.parent / "run.json").is_file() else {}
        if file.suffix == ".npz":
            _show_attribution(Attribution.load(file), record, png, index, top, shape)
        elif file.name == "run.json":
            _show_record(read_record(file))
        elif (saved := _calibration(file)) is not None:
            print(saved)
        else:
            print(_model(file))
            _show_record(record)


def _find(path: Path) -> list[Path]:
    """The files to print: a file itself, or of each run in a folder its result."""
    if not path.is_dir():
        if not path.exists():
            raise FileNotFoundError(f"no file or folder {path}; give an attribution.npz, a model.json or a run's folder")
        return [path]
    found = [file for name in ("model.json", "attribution.npz") for file in path.rglob(name)]
    if not found:
        raise ValueError(f"{path} holds no model.json and no attribution.npz: no run of this program")
    return sorted(found, key=lambda file: file.stat().st_mtime_ns)


def _calibration(file: Path) -> ReadoutCalibration | None:
    """A readout calibration, if the file says that it is one."""
    return ReadoutCalibration.load(file) if b"hattriq_cirq.ReadoutCalibration/" in file.read_bytes()[:100] else None


def _model(file: Path) -> Model:
    try:
        return Model.load(file)
    except ValueError as error:
        raise ValueError(
            f"{file} is not a model file, nor anything else that hattriq wrote; "
            "give an attribution.npz, a model.json, a run.json, a readout calibration or a run's folder"
        ) from error


def read_record(file: Path) -> Record:
    """What a run.json holds. Raises ValueError for any other file."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not a run record: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{file} is not a run record: it must hold format {FORMAT!r}")
    return content


def _show_record(record: Record) -> None:
    if "data" in record:
        print(record["data"]["summary"])
    if "accuracies" in record:
        print(accuracy_table(tuple(Accuracy(**row) for row in record["accuracies"])))
    if "settings" in record:
        print("settings: " + ", ".join(f"{name}={value}" for name, value in record["settings"].items()))
    if "provenance" in record:
        versions = ", ".join(f"{name} {value}" for name, value in record["provenance"]["versions"].items())
        print(f"made {record['provenance']['created_utc']} with {versions}")


def _show_attribution(
    attribution: Attribution, record: Record, png: str | None, index: int, top: int, shape_text: str | None
) -> None:
    lead = attribution.values.shape[:-1]
    count = lead[0] if lead else 1
    if len(lead) > 1:
        raise ValueError(f"{attribution.values.shape=} has several axes of inputs; save one batch, (inputs, features)")
    if not 0 <= index < count:
        raise ValueError(f"--input {index} is out of range: there are inputs 0..{count - 1}")
    if top < 1:
        raise ValueError(f"--top {top} must be at least 1")
    one = attribution[index] if lead else attribution
    print(attribution)
    _show_record(record)
    inputs = record.get("inputs")
    if lead and inputs:
        print(score_table(attribution, np.array(inputs["indices"]), np.array(inputs["labels"])))
    shape = _shape(shape_text, record)
    print(f"input {index}: the {min(top, one.n_features)} largest of {one.n_features} features")
    print(feature_table(one, top, shape))
    if png is not None:
        names = tuple(record["data"]["label_names"]) if record else ()
        classes = (names[0], names[1]) if names and names != ("-1", "+1") else None
        picture = plotting.png(plotting.plot_attribution(one, shape=shape, classes=classes))
        print(f"wrote {write_new(png, picture)}")


def _shape(text: str | None, record: Record) -> tuple[int, int] | None:
    if text is None:
        known = record["data"]["image_shape"] if record else None
        return (known[0], known[1]) if known else None
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise ValueError(f"--shape {text!r} must be rows x columns, such as 8x8")
    return int(match[1]), int(match[2])
