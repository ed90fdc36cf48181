"""Kinds of the columns of a table: numbers, truth values, dates and categories, in files of text and in frames of pandas."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.checks import shown
from hattriq_cirq.foundation.text import DECIMAL, number_text

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["number", "bool", "date", "category"]
#: Texts that stand for a missing value.
MISSING = frozenset(("", "?", "#N/A", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"))
_NUMBER = {".": re.compile(f"[+-]?{DECIMAL}"), ",": re.compile("[+-]?{}".format(DECIMAL.replace(r"\.", ",")))}
_LIKE_A_NUMBER = re.compile(r"[-+]*[.,]?[0-9][0-9.,_' ]*([eE][-+]?[0-9.,_]*)?")
_WITH_UNIT = re.compile(r"([$€£¥]?) ?([-+]?[0-9][0-9.,]*) ?([^\d.,]*)")
_TRUTH = {"true": 1.0, "false": 0.0}
_TIME = r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
_ISO_DATE = re.compile(f"[0-9]{{4}}-[01]?[0-9]-[0-3]?[0-9]([T ]{_TIME})?")
_OTHER_DATE = re.compile(r"[0-9]{1,2}[./-][0-9]{1,2}[./-]([0-9]{4}|[0-9]{2})")


class CellError(ValueError):
    """Cell that does not fit its column.

    Args:
        row: Position of the cell in its column, from 0.
        problem: Problem with the value echoed, and the cure.
    """

    def __init__(self, row: int, problem: str) -> None:
        super().__init__(problem)
        self.row, self.problem = row, problem


def decimal_mark(columns: Sequence[Sequence[str]]) -> str:
    """Return the decimal mark of the numbers in columns of text: a comma if some cell needs it and none has a point.

    Example:
        >>> decimal_mark([["1,5", "2"]]), decimal_mark([["1.5", "2"]]), decimal_mark([["1,5", "x"], ["2.5", "3"]])
        (',', '.', '.')
    """
    marks = set()
    for cells in columns:
        for mark, pattern in _NUMBER.items():
            if any(mark in cell and pattern.fullmatch(cell.strip(" \t")) for cell in cells):
                marks.add(mark)
    return "," if marks == {","} else "."


def read_cells(cells: Sequence[Any], kind: Kind | None = None, mark: str = ".") -> tuple[Kind, Array]:
    """Return the kind of a column of text and its values: most of its cells decide, and the others must agree.

    Args:
        cells: Cells; those that are no text are missing.
        kind: Kind of the column; None decides by its cells.
        mark: Decimal mark of numbers.

    Returns:
        The kind, and float64 values of numbers, truth values (0 and 1) and dates (seconds since 1970), or texts of categories;
        NaN and None where a value is missing.

    Raises:
        CellError: A cell is of another kind than most cells of the column.

    Example:
        >>> read_cells(["1", "", "2.5"])
        ('number', array([1. , nan, 2.5]))
        >>> read_cells(["red", "NA", "blue"])
        ('category', array(['red', None, 'blue'], dtype=object))
    """
    texts = [cell.strip(" \t") if isinstance(cell, str) else "" for cell in cells]
    filled = [row for row, text in enumerate(texts) if text not in MISSING]
    kind = kind or _kind_of([texts[row] for row in filled], filled, mark)
    if kind == "category":
        values = np.full(len(texts), None, dtype=object)
        values[filled] = [texts[row] for row in filled]
        return kind, values
    read = {"number": _numbers, "bool": _truths, "date": _dates}[kind]
    numbers = np.full(len(texts), np.nan)
    numbers[filled] = read([texts[row] for row in filled], filled, mark)
    return kind, numbers


def read_series(series: pd.Series, kind: Kind | None = None) -> tuple[Kind, Array]:
    """Return the kind of a column of pandas, or of an array, and its values, as `read_cells` does of one of text.

    Raises:
        CellError: A value is of another kind than most values, is infinite, or is neither a number, a text nor a date.

    Example:
        >>> import pandas as pd
        >>> read_series(pd.Series([True, False]))
        ('bool', array([1., 0.]))
    """
    import pandas as pd
    from pandas.api import types

    own: Kind | None = None
    missing = series.isna().to_numpy(dtype=bool)
    if isinstance(series.dtype, pd.CategoricalDtype):
        own = "category"
    elif types.is_bool_dtype(series.dtype):
        own = "bool"
    elif types.is_complex_dtype(series.dtype):
        raise CellError(0, f"Complex data not supported: {shown(series.iloc[0])}; give real and imaginary parts as two columns")
    elif types.is_numeric_dtype(series.dtype):
        own = "number"
    elif isinstance(series.dtype, pd.PeriodDtype):
        series, own = series.dt.to_timestamp(), "date"
    elif types.is_datetime64_any_dtype(series.dtype):
        own = "date"
    elif types.is_timedelta64_dtype(series.dtype):
        series, own = series.dt.total_seconds() / 86_400, "number"
    if own in (None, "category") or kind == "category" or (kind is not None and (kind == "date") != (own == "date")):
        texts = [None if gone else as_text(value, row) for row, (value, gone) in enumerate(zip(series, missing, strict=True))]
        return read_cells(texts, kind or own)
    if own == "date":
        return own, np.where(missing, np.nan, _seconds(series if series.dt.tz is None else series.dt.tz_convert(None)))
    values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(values).any():
        row = int(np.argmax(np.isinf(values)))
        raise CellError(row, f"{shown(values[row])} is infinity; write a finite number, or leave the cell empty")
    return kind or own, values


def as_text(value: Any, row: int = 0) -> str:
    """Return a value of a column of mixed types as the text that a person writes for it.

    Raises:
        CellError: The value is complex.
        TypeError: The value is neither a number, a text nor a date.

    Example:
        >>> as_text(3.0), as_text(True), as_text("red")
        ('3', 'True', 'red')
    """
    import datetime
    from decimal import Decimal
    from numbers import Real

    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, Real | Decimal):
        return number_text(float(value))
    if isinstance(value, datetime.date):  # and datetime.datetime
        return value.isoformat()
    if isinstance(value, complex | np.complexfloating):
        raise CellError(row, f"Complex data not supported: {shown(value)}; give real and imaginary parts as two columns")
    raise TypeError(f"row {row}: argument must be a string, a number or a date, not {shown(value)}")


def _kind_of(texts: Sequence[str], rows: Sequence[int], mark: str) -> Kind:
    """Return the kind of most of the texts, which are not missing; a column without any is one of numbers."""

    def most(pattern: re.Pattern[str]) -> bool:
        return 2 * sum(pattern.fullmatch(text) is not None for text in texts) >= len(texts)

    if most(_NUMBER[mark]):
        return "number"
    if most(_OTHER_DATE):
        row, text = next(pair for pair in zip(rows, texts, strict=True) if _OTHER_DATE.fullmatch(pair[1]))
        raise CellError(row, f"{shown(text)} may be a date in which the day or the month is first; write it as 2020-12-31")
    if most(_LIKE_A_NUMBER):
        return "number"
    if most(_ISO_DATE):
        return "date"
    parts = [_WITH_UNIT.fullmatch(text) for text in texts]
    if len(set(texts)) > 1 and None not in parts and len({part.group(1, 3) for part in parts if part}) == 1:
        cure = "write numbers, with the unit in the name of the column, or name the column in category_columns"
        raise CellError(rows[0], f"{shown(texts[0])} is a number with a unit, as in the whole column; {cure}")
    return "bool" if all(text.lower() in _TRUTH for text in texts) else "category"


def _numbers(texts: Sequence[str], rows: Sequence[int], mark: str) -> Array:
    pattern = _NUMBER[mark]
    is_number = [pattern.fullmatch(text) is not None for text in texts]
    plain = [text.replace(",", ".") for text in texts] if mark == "," else texts
    numbers = np.array([float(text) if fits else np.inf for text, fits in zip(plain, is_number, strict=True)])
    if not np.isfinite(numbers).all():
        wrong = int(np.argmax(~np.isfinite(numbers)))
        notation = " (the decimal mark of the table is a comma)" if mark == "," else ""
        problem = f"{shown(texts[wrong])} is not a finite number{notation}, as the column holds; write digits 0 to 9"
        raise CellError(rows[wrong], problem)
    return numbers


def _truths(texts: Sequence[str], rows: Sequence[int], mark: str) -> list[float]:
    for text, row in zip(texts, rows, strict=True):
        if text.lower() not in _TRUTH and text not in ("0", "1"):
            raise CellError(row, f"{shown(text)} is neither True nor False, as the column holds")
    return [_TRUTH.get(text.lower(), float(text == "1")) for text in texts]


def _dates(texts: Sequence[str], rows: Sequence[int], mark: str) -> Array:
    moments = _moments(texts)
    if moments is None:
        first, end = 0, len(texts)
        while end - first > 1:
            middle = (first + end) // 2
            first, end = (first, middle) if _moments(texts[first:middle]) is None else (middle, end)
        raise CellError(rows[first], f"{shown(texts[first])} is not a date, as the column holds; write it as 2020-12-31")
    return _seconds(moments.dt.tz_convert(None))


def _moments(texts: Sequence[str]) -> pd.Series | None:
    """Return texts as dates of any year, in whole microseconds; None if one is no date."""
    import pandas as pd

    if all(map(_ISO_DATE.fullmatch, texts)):
        with suppress(ValueError):
            return pd.Series([text.replace(",", ".") for text in texts], dtype=object).astype("datetime64[us, UTC]")
    return None


def _seconds(dates: pd.Series) -> Array:
    """Return dates without a time zone as seconds since 1970."""
    return np.asarray(dates.to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6)
