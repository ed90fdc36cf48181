"""The user's own table, .npz or .csv, as a data set."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hattriq_cirq._moved import keep_old_names
from hattriq_cirq.datasets.value import Dataset, Inputs, from_features, unlabelled
from hattriq_cirq.foundation.array_files import array_names, read_array, read_arrays
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.checks import as_labels, shown
from hattriq_cirq.foundation.contract import same_name
from hattriq_cirq.foundation.reading import FileError, checksum, read_bytes
from hattriq_cirq.foundation.text import decimal, quantity


class LabelledTable(NamedTuple):
    """Rows of a file before their meaning is checked: x (samples, features), y (samples,), names of columns, None for none."""

    x: Array
    y: Array
    columns: list[str]
    label_column: str | None


def read_table(path: str | Path, label_column: str | None = None, test_fraction: float = 0.3, *, seed: int = 0) -> Dataset:
    r"""Read an .npz file with arrays x and y, or a .csv file with a header line, and return its rows as `from_features` does.

    Args:
        path: Path of an .npz file with x (samples, features), real or complex, and y (samples,), or of a .csv file with one
            sample per line, separated by commas.
        label_column: Column of the .csv file with the labels -1 and +1; None for the last.
        test_fraction: Share of each class in the test set, between 0 and 1.
        seed: Random seed of the stratified split.

    Returns:
        The data set.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The suffix is unknown, a cell is not a number (the message has line and column), a label is neither -1
            nor +1 (the message says how to convert labels), or a row is all zeros.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "own.csv"
        ...     _ = path.write_text("a,b,label\n1,2,1\n2,1,-1\n3,4,1\n4,3,-1\n")
        ...     print(read_table(path).n_features)
        2
    """
    path = Path(path)
    if path.suffix.lower() not in (".csv", ".npz"):
        raise ValueError(f"{path.name} must end in .csv or .npz; numpy.savez(path, x=x, y=y) writes one")
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; give the path of a .csv or .npz")
    if path.suffix.lower() == ".npz" and label_column is not None:
        raise ValueError(f"{label_column=} is for .csv files: the labels of an .npz are its array y")
    try:
        table = _read_npz(path) if path.suffix.lower() == ".npz" else _read_csv(path, label_column)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a text table ({error}); save it as comma-separated values (CSV) in UTF-8") from error
    details: dict[str, object] = {"source": path.name, "sha256": checksum(path), "columns": table.columns}
    if table.label_column is not None:
        details |= {"label_column": table.label_column}
        _check_labels(table, path, label_column is None)
    try:
        return from_features(
            table.x,
            table.y,
            name=path.stem,
            test_fraction=test_fraction,
            seed=seed,
            details=details,
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_inputs(path: str | Path) -> Inputs | None:
    """Return the rows of an .npy file, or of an .npz file without labels, as inputs; None for a file that may have labels.

    Example:
        >>> np.savez("own.npz", x=[[3.0, 4.0]])
        >>> read_inputs("own.npz").amplitudes
        array([[0.6, 0.8]])
    """
    path = Path(path)
    if path.suffix.lower() == ".csv" or not path.is_file() or (path.suffix.lower() == ".npz" and "y" in array_names(path)):
        return None
    rows = read_array(path) if path.suffix.lower() == ".npy" else load_arrays(path, ("x",))[0]
    try:
        return unlabelled(rows, name=path.stem, details={"source": path.name, "sha256": checksum(path)})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def load_arrays(path: Path, names: tuple[str, ...]) -> list[Array]:
    """Return the named arrays of an .npz file, without unpickling.

    Raises:
        FileError: The file is not an .npz archive, an array is missing, or an array contains Python objects; a ValueError.
    """
    try:
        return list(read_arrays(path, names).values())
    except FileError as error:
        cure = "numpy.savez writes one, and a text table must end in .csv"
        raise FileError(f"{path} must be an .npz with arrays {', '.join(names)} of numbers", error.problem, cure) from error


def _read_npz(path: Path) -> LabelledTable:
    x, y = load_arrays(path, ("x", "y"))
    return LabelledTable(x, y, [], None)


def _read_csv(path: Path, label_column: str | None) -> LabelledTable:
    """Read the header, then every cell as a finite number; labels may be text, which `from_features` reports later."""
    reader = csv.reader(io.StringIO(read_bytes(path).decode("utf-8-sig"), newline=""), strict=True)
    header = [same_name(cell.strip(" \t")) for cell in next(reader, [])]
    label_column = None if label_column is None else same_name(label_column)
    if len(header) < 2 or len(set(header)) != len(header) or all(decimal(cell) is not None for cell in header):
        raise ValueError(f"{path}, line 1: must name two or more columns, each once, by commas; got {shown(header[:5])}")
    if odd := next((name for name in header if not name.isprintable()), None):
        raise ValueError(
            f"{path}, line 1, column {header.index(odd) + 1}: {shown(odd)} holds a character that cannot be seen; rename it"
        )
    if label_column is not None and label_column not in header:
        raise ValueError(f"{label_column=} is not a column of {path}; columns: {', '.join(header)}")
    label = header[-1] if label_column is None else label_column
    features = [name for name in header if name != label]
    x, y = [], []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{path}, line {reader.line_num}"
        if len(cells) != len(header):
            raise ValueError(f"{where}: {quantity(len(cells), 'cell')}, the header names {quantity(len(header), 'column')}")
        row = dict(zip(header, cells, strict=True))
        numbers = {name: decimal(row[name]) for name in features}
        for name, number in numbers.items():
            if number is None or not math.isfinite(number):
                raise ValueError(f"{where}, column {name!r}: {shown(row[name])} is not a finite number")
        x.append(list(numbers.values()))
        y.append(row[label].strip(" \t"))
        if decimal(y[-1]) is None and _is_odd_number(row[label]):
            raise ValueError(f"{where}, column {label!r}: {shown(row[label])} is not a plain number; write digits 0 to 9")
    if not x:
        raise ValueError(f"{path} has a header and no samples")
    values = [decimal(text) for text in y]
    return LabelledTable(np.array(x, dtype=np.float64), np.array(y if None in values else values), features, label)


def _check_labels(table: LabelledTable, path: Path, is_last: bool) -> None:
    """Raise ValueError unless the labels of a text table are -1 and +1; the message names their column."""
    try:
        as_labels(table.y)
    except ValueError as error:
        last = f", the last one; name another with {path.name}:label_column=NAME" if is_last else ""
        raise ValueError(f"{path}: the labels are read from the column {table.label_column!r}{last}: {error}") from error


def _is_odd_number(text: str) -> bool:
    """Return true for text that Python takes for a number or that holds a character which cannot be seen."""
    try:
        float(text)
        return True
    except ValueError:
        return not text.strip().isprintable()


keep_old_names(__name__)
