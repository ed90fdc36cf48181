"""Tables in files as frames of pandas: text with any separator, decimal mark and encoding, parquet, and arrays of numbers."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from hattriq_cirq.datasets.columns import CellError, Kind, decimal_mark, read_cells, read_series
from hattriq_cirq.foundation.array_files import array_names, read_arrays
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.checks import as_word, shown
from hattriq_cirq.foundation.contract import same_name
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.foundation.reading import FileError, check_size, open_file, read_bytes
from hattriq_cirq.foundation.text import decimal, quantity

if TYPE_CHECKING:
    import pandas as pd

#: Endings of the names of tables of text, and of all files that `read_frame` reads.
TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
SUFFIXES = (*TEXT_SUFFIXES, ".parquet", ".npz")
#: Names of the arrays of features and of labels in an .npz file; the first that is there counts.
FEATURE_ARRAYS, LABEL_ARRAYS = ("x", "X"), ("y", "Y", "labels", "label", "target")
_SEPARATORS = {"tab": "\t", "semicolon": ";", "bar": "|", "comma": ",", "space": " "}
_MARKS = {"point": ".", "comma": ","}
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_PART = 10_000  # records that are read at once
_SNIFFED = 50  # records that decide about the separator
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def read_frame(
    path: str | Path,
    *,
    separator: str | None = None,
    decimal_point: str | None = None,
    encoding: str | None = None,
    missing: Literal["keep", "refuse"] = "keep",
    kinds: Mapping[str, Kind] | None = None,
    only: Collection[str] | None = None,
) -> pd.DataFrame:
    r"""Read a table from a file as a frame of pandas.

    The separator, the decimal mark and the encoding of a table of text are found from its content. A column is of numbers,
    truth values, dates or texts; one cell that does not fit the others is refused with its place, and never read as a text.

    Args:
        path: Path of a table of text (.csv, .tsv, .txt) whose first line names the columns, of a .parquet file, or of an .npz
            file with an array X of features, or of images (samples, rows, columns), and one of labels, y.
        separator: Separator of a table of text: comma, semicolon, tab, bar or space; None finds it.
        decimal_point: Decimal mark of a table of text: point or comma; None finds it.
        encoding: Encoding of a table of text; None finds UTF-8 and UTF-16, and reads others as Windows-1252.
        missing: Missing values are kept as such, or refused with the place of the first one.
        kinds: Kinds of columns by their names, number, bool, date or category; the others are found from their cells.
        only: Names of the columns to read; None for all. Names that the table lacks are left out.

    Returns:
        The frame. A missing value is NaN, or NaT in a column of dates. `attrs["image_shape"]` has the shape of images.

    Raises:
        FileNotFoundError: The file does not exist.
        ImportError: The file is in parquet and pyarrow is not installed.
        ValueError: The file is no table; the message has the line and the column.

    Example:
        >>> _ = Path("own.csv").write_text("length;color\n1,5;red\n2,25;blue\n")
        >>> read_frame("own.csv")
           length color
        0    1.50   red
        1    2.25  blue
    """
    as_word(missing, "missing", ("keep", "refuse"))
    table = open_table(path, separator, encoding)
    frame = table.frame(decimal_point, kinds or {}, [name for name in table.names if only is None or name in only])
    if missing == "refuse":
        table.refuse_missing(frame)
    return frame


def open_table(path: str | Path, separator: str | None = None, encoding: str | None = None) -> TableFile:
    """Return the table of a file, whose columns have names, before the kinds of the columns are decided; see `read_frame`."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path.name} must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}; save the table as CSV")
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; give the path of a table, such as a .csv")
    if suffix in TEXT_SUFFIXES:
        return TextFile.read(path, separator, encoding)
    for name, value in (("separator", separator), ("encoding", encoding)):
        if value is not None:
            raise ValueError(f"{name}={value!r} is for tables of text, and {path.name} is none; leave it out")
    return TableFile(path, _of_arrays(path) if suffix == ".npz" else _of_parquet(path))


class TableFile:
    """Table of a file whose columns have their types already.

    Args:
        path: Path of the file.
        content: Its columns.
    """

    def __init__(self, path: Path, content: pd.DataFrame) -> None:
        self.path, self.content = path, content
        self.names = [str(name) for name in content.columns]
        if len(set(self.names)) != len(self.names) or not len(content):
            raise ValueError(
                f"{path} must have columns of different names and at least one row; it has {shown(self.names[:5])}"
            )

    def frame(self, decimal_point: str | None, kinds: Mapping[str, Kind], names: Sequence[str]) -> pd.DataFrame:
        """Return columns of given names.

        Args:
            decimal_point: As in `read_frame`.
            kinds: As in `read_frame`.
            names: Names of the columns.
        """
        import pandas as pd

        if decimal_point is not None:
            raise ValueError(f"{decimal_point=} is for tables of text, and {self.path.name} is none; leave it out")
        columns = {}
        for name in names:
            columns[name] = series = self.content[name]
            if name in kinds:
                try:
                    columns[name] = _as_series(*read_series(series, kinds[name]))
                except CellError as error:
                    raise ValueError(f"{self.place(error.row, name)}: {error.problem}") from None
        frame = pd.DataFrame(columns)
        frame.attrs.update(self.content.attrs)
        return frame

    def place(self, row: int, column: str) -> str:
        """Return the place of a cell in words."""
        return f"{self.path}, row {row + 1}, column {column!r}"

    def cell(self, row: int, column: str) -> object:
        """Return the content of a cell for an error message."""
        return self.content[column].iloc[row]

    def refuse_missing(self, frame: pd.DataFrame, cure: str = "") -> None:
        """Raise ValueError with the place of the first missing value of a frame of this table.

        Args:
            frame: Columns of the table.
            cure: Advice; empty for that on features.
        """
        gone = frame.isna().to_numpy()
        if not gone.any():
            return
        row = int(np.argmax(gone.any(axis=1)))
        column = int(np.argmax(gone[row]))
        name, count = str(frame.columns[column]), int(gone[:, column].sum())
        wanted = "value" if frame.dtypes.iloc[column].kind == "O" else "finite number"
        more = "" if count == 1 else f" ({count} of {len(frame)} are missing in this column)"
        cure = cure or f"write one, or {self.path.name}:missing=impute fills missing values"
        raise ValueError(f"{self.place(row, name)}: {shown(self.cell(row, name))} is not a {wanted}{more}; {cure}")


class TextFile(TableFile):
    """Table of text, of which every cell is known by its line.

    Args:
        path: Path of the file.
        records: Its records as rows of texts, the names of the columns first; a cell that is absent is NaN.
    """

    def __init__(self, path: Path, records: pd.DataFrame) -> None:
        self.path = path
        if len(records) and not records.iloc[:, -1].fillna("").str.strip().any():
            records = records.iloc[:, :-1]  # every line ends with a separator
        self.records = records
        self.names = self._header()
        given = records.iloc[1:]
        text, is_there = given.to_numpy(dtype=object), given.notna().to_numpy()
        is_blank = ~is_there.any(axis=1)
        for k in np.flatnonzero(given[0].fillna("").str.strip() == "").tolist():
            is_blank[k] = all(not isinstance(cell, str) or not cell.strip() for cell in text[k])
        self.rows = given.index.to_numpy()[~is_blank]
        self.text = text[~is_blank]
        counts = is_there[~is_blank].sum(axis=1)
        if (counts < len(self.names)).any():
            row = int(np.argmax(counts < len(self.names)))
            raise ValueError(f"{self._line_of(row)}: {_width(int(counts[row]), len(self.names))}")
        if not len(self.rows):
            raise ValueError(f"{path} has a header and no samples")

    @classmethod
    def read(cls, path: Path, separator: str | None, encoding: str | None) -> TextFile:
        """Read all cells as texts."""
        import pandas as pd

        try:
            text = _decoded(read_bytes(path), encoding)
            chosen = _sniffed(text) if separator is None else _SEPARATORS[as_word(separator, "separator", tuple(_SEPARATORS))]
            return cls(path, _records(text, chosen))
        except (UnicodeError, pd.errors.ParserError, csv.Error) as error:
            if wide := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error)):
                width, record, count = map(int, wide.groups())
                line = record + _breaks(_records(text, chosen, record - 1))
                raise ValueError(f"{path}, line {line}: {_width(count, width)}") from None
            cure = "save it as comma-separated values (CSV) in UTF-8"
            raise ValueError(f"{path} is not a text table ({error}); {cure}") from None

    def frame(self, decimal_point: str | None, kinds: Mapping[str, Kind], names: Sequence[str]) -> pd.DataFrame:
        """Return columns of given names as numbers, truth values, dates and texts."""
        import pandas as pd

        chosen = {name: self.text[:, self.names.index(name)] for name in names}
        if decimal_point is None:
            mark = decimal_mark(list(chosen.values()))
        else:
            mark = _MARKS[as_word(decimal_point, "decimal_point", tuple(_MARKS))]
        columns = {}
        for name, cells in track(chosen.items(), "read columns", "column"):
            try:
                columns[name] = _as_series(*read_cells(cells, kinds.get(name), mark))
            except CellError as error:
                raise ValueError(f"{self.place(error.row, name)}: {error.problem}") from None
        return pd.DataFrame(columns)

    def place(self, row: int, column: str) -> str:
        """Return the place of a cell in words."""
        return f"{self._line_of(row)}, column {column!r}"

    def cell(self, row: int, column: str) -> object:
        """Return the content of a cell for an error message."""
        return self.text[row, self.names.index(column)]

    def _line_of(self, row: int) -> str:
        """Return the line in which a row ends; a cell in quotes can take several lines."""
        record = int(self.rows[row])
        return f"{self.path}, line {1 + record + _breaks(self.records.iloc[: record + 1])}"

    def _header(self) -> list[str]:
        cells = [cell if isinstance(cell, str) else "" for cell in self.records.iloc[0]] if len(self.records) else []
        header = [same_name(cell.strip(" \t")) for cell in cells]
        names = [name or f"Unnamed: {k}" for k, name in enumerate(header)]
        if len(names) < 2 or len(set(names)) != len(names) or all(decimal(name) is not None for name in header):
            raise ValueError(
                f"{self.path}, line 1: must name two or more columns, each once, by commas; got {shown(header[:5])}"
            )
        if odd := next((name for name in names if not name.isprintable()), None):
            raise ValueError(
                f"{self.path}, line 1, column {names.index(odd) + 1}: {shown(odd)} holds a character that cannot be seen; "
                "rename it"
            )
        return names


def _records(text: str, separator: str, count: int | None = None) -> pd.DataFrame:
    """Return the records of a table of text, the first one included, as a frame of texts; a cell that is absent is NaN."""
    import pandas as pd

    if not text.strip():
        return pd.DataFrame()
    parts = pd.read_csv(
        io.StringIO(text, newline=""),
        sep=separator,
        header=None,
        dtype=str,
        keep_default_na=False,
        skip_blank_lines=False,
        skipinitialspace=separator == " ",
        nrows=count,
        chunksize=_PART,
        engine="python",
    )
    with parts:
        return pd.concat(track(parts, "read rows", f"{_PART} rows", total=text.count("\n") // _PART + 1))


def _breaks(records: pd.DataFrame) -> int:
    """Return the number of line breaks inside the cells of records."""
    return sum(cell.count("\n") for cell in records.to_numpy(dtype=object).ravel() if isinstance(cell, str))


def _width(count: int, width: int) -> str:
    return f"{quantity(count, 'cell')}, the header names {quantity(width, 'column')}"


def _decoded(content: bytes, encoding: str | None) -> str:
    """Return the text of a file; one that is not in UTF-8 or UTF-16 is read as Windows-1252, and refused if it is no text."""
    if encoding is not None:
        try:
            return content.decode(encoding).removeprefix("\ufeff")
        except LookupError:
            raise ValueError(f"{encoding=} is not an encoding that Python knows; give one such as utf-8 or latin-1") from None
    for bom, name in _BOMS:
        if content.startswith(bom):
            return content.decode(name)
    if content[1:64:2].count(0) > 16 or (len(content) < 64 and content[1::2].count(0) * 4 > len(content)):
        return content.decode("utf-16-le")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        text = content.decode("cp1252", errors="replace")
        if _NO_TEXT.search(text) or "\ufffd" in text:
            raise error from None
        return text


def _sniffed(text: str) -> str:
    """Return the separator for which the first records have most often as many cells as the header, two or more."""
    best, chosen = (0.0, 0), ","
    for separator in _SEPARATORS.values():
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=separator == " ")
        widths = []
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    widths.append(len(cells))
                if len(widths) > _SNIFFED:
                    break
        except csv.Error:
            pass  # the records before the damage decide
        if not widths or widths[0] < 2:
            continue
        score = (sum(width == widths[0] for width in widths[1:]) / max(1, len(widths) - 1), widths[0])
        if score > best:
            best, chosen = score, separator
    return chosen


def _as_series(kind: Kind, values: Array) -> pd.Series:
    """Return a column as pandas holds it: whole numbers and truth values as such if none is missing."""
    import pandas as pd

    if kind == "category":
        return pd.Series(values, dtype=object).where(~pd.isna(values), np.nan)
    if kind == "date":
        microseconds = np.rint(np.where(np.isnan(values), 0, values) * 1e6).astype(np.int64).astype("datetime64[us]")
        return pd.Series(np.where(np.isnan(values), np.datetime64("NaT", "us"), microseconds))
    if kind == "bool":
        return pd.Series(values.astype(bool)) if not np.isnan(values).any() else pd.Series(values).astype("boolean")
    is_whole = (values == np.rint(values)) & (np.abs(values) < 2**53) & ~((values == 0) & np.signbit(values))
    return pd.Series(values.astype(np.int64) if is_whole.all() else values)


def _of_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    with open_file(path) as (_, size):
        check_size(size, path)
    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise ImportError(f"{path}: parquet is read with pyarrow: pip install pyarrow, or save the table as CSV") from error
    except Exception as error:  # a damaged file can raise any error of pyarrow
        raise FileError(path, f"it is not a parquet file, or a damaged one ({type(error).__name__}: {error})") from None
    if frame.index.name is not None:
        frame = frame.reset_index()
    return frame.rename(columns=lambda name: same_name(str(name)))


def _of_arrays(path: Path) -> pd.DataFrame:
    import pandas as pd

    x, y = read_labelled_arrays(path)
    rows = x.reshape(len(x), -1)
    width = x.shape[-1]
    names = [f"row {k // width}, column {k % width}" if x.ndim == 3 else f"x{k}" for k in range(rows.shape[1])]
    frame = pd.DataFrame(rows, columns=names)
    if y is not None:
        frame["y"] = y
    if x.ndim == 3:
        frame.attrs["image_shape"] = x.shape[1:]
    return frame


def read_labelled_arrays(path: Path, *, is_labelled: bool = False) -> tuple[Array, Array | None]:
    """Return the features of an .npz file, (samples, features) or (samples, rows, columns), and its labels, None for none.

    Args:
        path: Path of the file.
        is_labelled: True if there must be labels.

    Raises:
        FileError: The file is not an .npz archive, an array is missing or damaged, or its shape is another one; a ValueError.
    """
    try:
        names = array_names(path)
    except FileError:
        names = []  # which `load_arrays` says
    features = next((name for name in FEATURE_ARRAYS if name in names), "x")
    labels = next((name for name in LABEL_ARRAYS if name in names), "y" if is_labelled else None)
    x, *others = load_arrays(path, (features,) if labels is None else (features, labels))
    y = others[0] if others else None
    if x.ndim not in (2, 3) or 0 in x.shape:
        cure = "save (samples, features), or images (samples, rows, columns)"
        raise FileError(path, f"{features}.shape={x.shape} has no rows of features", cure)
    if y is not None and y.ndim != 1:
        raise FileError(path, f"{labels}.shape={y.shape} must be (samples,)", "save one label per row")
    if y is not None and len(y) != len(x):
        raise FileError(
            path, f"len(rows)={len(x)} must equal len(labels)={len(y)}: one label per row", "save one label per row"
        )
    return x, y


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
