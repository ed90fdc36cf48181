"""`hattriq show`: the content of a file or folder of this program, as text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any

import hattriq_cirq as hq
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.text import quantity

_COEFFICIENTS, _DERIVATIVES = "coefficients", "real_stderr"  # arrays of learned models and of gradients


@dataclass(frozen=True)
class Show:
    """Print a saved model, learned model, attribution, gradient, calibration, snapshot or run.

    An attribution begins with its answer: the class or the score, and the features that decide, by their names. A model is
    printed with its accuracies, a learned model with its tests, and a run with its settings. For a folder, every run below
    it is printed.

    Args:
        path (PATH): An attribution.npz, gradient.npz, learned.npz, model.json, run.json, readout calibration or snapshot, or a
            folder.
        png (FILE): New file for a picture of the input and its map.
        input (K): Index of the input in the attribution or gradient, from 0.
        top (N): Number of features, or derivatives, to list.
        shape (RxC): Rows and columns of the image (default: those of the data; a table has none).

    Examples:
        hattriq show runs/digits
        hattriq show runs/digits-maps --input 2 --top 5 --png map.png
        hattriq show attribution.npz --shape 8x8 --png map.png
    """

    path: str
    _: KW_ONLY
    png: str | None = None
    input: int = 0
    top: int = 10
    shape: str | None = None

    def run(self) -> int:
        """Print the files that the path names, and draw a map where --png asks for it."""
        if self.top < 1:
            raise ValueError(f"--top {self.top} must be at least 1")
        if self.input < 0:
            raise ValueError(f"--input {self.input} must be at least 0")
        if self.shape is not None and not re.fullmatch("[1-9][0-9]{0,8}x[1-9][0-9]{0,8}", self.shape):
            raise ValueError(f"--shape {self.shape!r} must be rows x columns, such as 8x8")
        from hattriq_cirq.foundation.files import check_new
        from hattriq_cirq.reporting.records import read_record

        files = _files(Path(self.path))
        arrays = {file: _array_of(file) for file in files if file.suffix.lower() == ".npz"}
        learned = {file for file, name in arrays.items() if name == _COEFFICIENTS}
        maps = [file for file, name in arrays.items() if name not in (_COEFFICIENTS, _DERIVATIVES)]
        if self.png is not None and len(maps) != 1:
            raise ValueError(
                f"--png draws one attribution, {self.path} holds {len(maps)}; name one attribution.npz or its folder"
            )
        if self.png is not None:
            check_new(self.png)
        for file in files:
            if len(files) > 1:
                print(f"== {printable(file)}")
            record = read_record(file.parent / "run.json") if (file.parent / "run.json").is_file() else {}
            if file in maps:
                self._show_attribution(hq.Attribution.load(file), record)
            elif arrays.get(file) == _DERIVATIVES:
                self._show_gradient(hq.Gradient.load(file), record)
            elif file.name == "run.json":
                _show_record(read_record(file))
            elif (value := _calibration_or_snapshot(file)) is not None:
                print(value)
            else:
                print(hq.LearnedModel.load(file) if file in learned else _model(file))
                _show_record(record)
        return 0

    def _show_attribution(self, attribution: hq.Attribution, record: Mapping[str, Any]) -> None:
        from hattriq_cirq.cli import tables
        from hattriq_cirq.foundation.files import write_new

        axes = attribution.values.shape[:-1]
        attribution = attribution if len(axes) < 2 else attribution.as_batch()
        count = len(attribution) if axes else 1
        if not 0 <= self.input < count:
            raise ValueError(f"--input {self.input} is out of range: there are inputs 0..{count - 1}")
        attribution = self._named(attribution, record)
        one = attribution[self.input] if axes else attribution
        if axes:
            print(f"input {self.input}: {one.answer()}")
        print(attribution)
        _show_record(record)
        inputs = record.get("inputs")
        if inputs and (recorded := inputs.get("count", len(inputs["indices"]))) != count:
            raise ValueError(f"the run record has {quantity(recorded, 'input')}, its attribution {count}; one is damaged")
        if axes and inputs:
            tables.print_scores(attribution, inputs)
        print(f"input {self.input}: the {min(self.top, one.n_features)} largest of {one.n_features} features")
        print(tables.feature_table(one, self.top))
        if self.png is not None:
            from hattriq_cirq.reporting.plotting import png

            print(f"wrote {printable(write_new(self.png, png(hq.plot_attribution(one))))}")

    def _show_gradient(self, gradient: hq.Gradient, record: Mapping[str, Any]) -> None:
        from hattriq_cirq.cli import tables

        gradient = gradient.as_batch()
        if self.input >= len(gradient.real):
            raise ValueError(f"--input {self.input} is out of range: there are inputs 0..{len(gradient.real) - 1}")
        print(*gradient.notes, tables.derivative_table(gradient, self.input, self.top), sep="\n")
        _show_record(record)

    def _named(self, attribution: hq.Attribution, record: Mapping[str, Any]) -> hq.Attribution:
        """Return the attribution with the names that its run records if it has none, and with the shape that was asked for."""
        from hattriq_cirq.cli.tables import data_contract
        from hattriq_cirq.foundation.checks import as_shape
        from hattriq_cirq.foundation.contract import DataContract

        contract = attribution.contract
        if contract is None:
            contract = data_contract(record["data"]) if record else DataContract()
        if self.shape is not None:
            rows, cols = map(int, self.shape.split("x"))
            shape = as_shape((rows, cols), attribution.n_features, "--shape")
            contract = replace(contract, image_shape=shape, columns=None, units=None)
        return attribution if contract == attribution.contract else replace(attribution, contract=contract)


def _files(path: Path) -> list[Path]:
    """Return the files to print: the path itself, or the result of each run below a folder."""
    from hattriq_cirq.execution.journal_records import JOURNAL
    from hattriq_cirq.foundation.terminal import shell_word

    if not path.is_dir():
        if not path.exists():
            raise FileNotFoundError(f"no file or folder {path}; give an attribution.npz, a model.json or a run's folder")
        return [path]
    names = ("model.json", "attribution.npz", "learned.npz", "gradient.npz")
    files = [file for name in names for file in path.rglob(name)]
    if not files and next(path.rglob(JOURNAL), None) is not None:
        raise ValueError(
            f"{path} holds no result yet; `hattriq runs {shell_word(path)}` lists its runs and how to continue them"
        )
    if not files:
        raise ValueError(f"{path} holds no {', '.join(names[:-1])} or {names[-1]}: no run of this program")
    return sorted(files, key=lambda file: file.stat().st_mtime_ns)


def _calibration_or_snapshot(file: Path) -> object:
    """Return the readout calibration or the snapshot in a file; None if it holds something else."""
    from hattriq_cirq.foundation.reading import read_bytes

    begin = b"" if file.suffix.lower() == ".npz" else read_bytes(file)[:100]
    if b"hattriq_cirq.ReadoutCalibration/" in begin:
        from calibration import ReadoutCalibration

        return ReadoutCalibration.load(file)
    return hq.Snapshot.load(file) if b"hattriq_cirq.Snapshot/" in begin else None


def _array_of(file: Path) -> str | None:
    """Return the array by which a file of a learned model or of a gradient is known; None for any other file."""
    from hattriq_cirq.foundation.array_files import array_names
    from hattriq_cirq.foundation.reading import FileError

    try:
        names = array_names(file)
    except FileError:
        return None  # what is wrong with it is said where it is read as an attribution
    return next((name for name in (_COEFFICIENTS, _DERIVATIVES) if name in names), None)


def _model(file: Path) -> hq.Model:
    from hattriq_cirq.foundation.reading import read_bytes

    try:
        return hq.Model.load(file)
    except ValueError as error:
        if b"hattriq_cirq.Model/" in read_bytes(file)[:100]:
            raise
        raise ValueError(
            f"{file} is not a model file, nor anything else that hattriq wrote; "
            "give an attribution.npz, a model.json, a run.json, a readout calibration or a run's folder"
        ) from error


def _show_record(record: Mapping[str, Any]) -> None:
    from hattriq_cirq.cli.tables import accuracy_table, learning_texts

    if "data" in record:
        print(record["data"]["summary"])
    if "accuracies" in record:
        print(accuracy_table(record["accuracies"]))
    for text in learning_texts(record):
        print(text)
    if "settings" in record:
        print("settings: " + ", ".join(f"{name}={value}" for name, value in record["settings"].items()))
    if "provenance" in record:
        versions = ", ".join(f"{name} {value}" for name, value in record["provenance"]["versions"].items())
        print(f"created {record['provenance']['created_utc']} with {versions}")
