"""A scikit-learn transformer that turns any table into columns of numbers with names, and can be recorded as JSON."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from hattriq_cirq.datasets.columns import CellError, Kind, as_text, read_series
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.checks import as_count, as_word, shown
from hattriq_cirq.foundation.contract import DataContract, column_names, same_name
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.foundation.schema import load
from hattriq_cirq.foundation.text import decimal, listed, number_text, quantity

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = "hattriq_cirq.TableEncoder/1"
_DAY = 86_400.0
_OTHER = "(other)"  # name of the rare categories of a column together
_FEWEST = 10  # rows from which columns that number the rows are recognised
_LARGE, _SQUARED = 1e307, 1e150  # numbers whose sum, and whose square, could overflow
_INDEX_NAME = re.compile(
    r"(?i:unnamed: [0-9]+|index|idx|id|nr|no\.?|#|key|uuid|guid|row([ _]?(number|nr|no|id))?|.*[ _-]id)|.*[a-z]I[dD]"
)


def _plain(value: Any) -> Any:
    """Return a value of JSON with lists in place of tuples."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


class TableWarning(UserWarning):
    """A table has a column that numbers its rows, or a category that the training did not have; see `TableEncoder`.

    Example:
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore", TableWarning)  # the notes of the encoder still say it
    """


@dataclass(frozen=True)
class _Column:
    """Knowledge of one column of the table: `fill` and `most_frequent` replace a missing number or text."""

    name: str
    kind: Literal["number", "bool", "date", "category", "index", "empty"]
    missing: int = 0
    fill: float = 0.0
    constant: bool = False
    origin: float = 0.0  # first day of dates, in seconds since 1970
    categories: tuple[str, ...] = ()
    grouped: int = 0  # number of rare categories in the last one
    most_frequent: str = ""

    @property
    def is_used(self) -> bool:
        return self.kind not in ("index", "empty")


#: Values of what is known of a column that its record leaves out.
_DEFAULTS = {each.name: _plain(each.default) for each in fields(_Column) if each.default is not MISSING}


@dataclass(frozen=True)
class _Scaling:
    offset: tuple[float, ...]
    width: tuple[float, ...]


@dataclass(frozen=True)
class _Record:
    format: Literal["hattriq_cirq.TableEncoder/1"]
    parameters: dict[str, Any]
    samples: int
    named: bool
    columns: tuple[_Column, ...]
    scaling: _Scaling | None = None


class TableEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turn any table into columns of numbers with names, as a scikit-learn transformer.

    Numbers stay, truth values become 0 and 1, dates become days since the first day of the training table, and texts become one
    column per value, such as "color=red". Missing values are filled with the median of numbers and dates and with the most
    frequent truth value or text. Columns that number the rows, texts that differ in nearly every row, and columns without any
    value are left out. `notes_` says all this in words.

    `transform` finds columns by their names, in whatever order, and ignores those that the training did not have. `to_record`
    returns the fitted encoder as JSON, which a trained model keeps.

    Args:
        missing: "impute" fills missing values, "refuse" raises an error.
        categories: "one-hot" makes one column of 0 and 1 per value of a text; "ordinal" numbers the values from 0 in
            alphabetical order, or in that of an ordered column of pandas.
        index_columns: "recognise" leaves out columns that number or name the rows, with a warning; "keep" keeps them.
        category_columns: Names of columns whose numbers are names of categories, such as postal codes.
        max_categories: Largest number of columns per text; the rarest values share "(other)".
        scale: None, "minmax" for columns from 0 to 1, or "standard" for columns of mean 0 and standard deviation 1.

    Attributes:
        notes_: Sentences on what the encoder does.
        units_: Units of the columns of numbers, such as "days since 2020-01-31"; empty for none.
        n_features_in_: Number of columns of the table.
        feature_names_in_: Names of the columns of the table, if it has names.

    Raises:
        ValueError: In `fit` and `transform`, a column is missing, a value is infinite or does not fit its column, or all
            columns were left out; the message has the column and the row.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"age": [30, None, 50], "color": ["red", "blue", "red"]})
        >>> encoder = TableEncoder().fit(table)
        >>> encoder.transform(table)
            age  color=blue  color=red
        0  30.0         0.0        1.0
        1  40.0         1.0        0.0
        2  50.0         0.0        1.0
        >>> print(*encoder.notes_, sep=chr(10))
        'age': 1 missing value of 3 is filled with the median, 40
        'color' becomes 'color=blue', 'color=red'
    """

    _scaling: _Scaling | None

    def __init__(
        self,
        missing: Literal["impute", "refuse"] = "impute",
        categories: Literal["one-hot", "ordinal"] = "one-hot",
        index_columns: Literal["recognise", "keep"] = "recognise",
        category_columns: Sequence[str] = (),
        max_categories: int = 20,
        scale: Literal["minmax", "standard"] | None = None,
    ) -> None:
        self.missing = missing
        self.categories = categories
        self.index_columns = index_columns
        self.category_columns = category_columns
        self.max_categories = max_categories
        self.scale = scale

    def fit(self, X: Any, y: object = None) -> TableEncoder:
        """Learn the kinds of the columns, what fills missing values, and the categories.

        Args:
            X: Table, (samples, columns): a frame of pandas, or an array of numbers or objects.
            y: Ignored.

        Returns:
            The encoder.
        """
        self._check_parameters()
        frame = self._as_frame(X, is_new=True)
        if absent := [name for name in self.category_columns if name not in frame.columns]:
            raise ValueError(f"category_columns={absent} are not columns of the table: {listed(frame.columns)}")
        self._set(tuple(self._learned(frame[name]) for name in track(frame.columns, "read columns", "column")), len(frame))
        if self.scale is not None:
            self._scaling = _scaling(self.scale, self._encoded(frame)[1], self._names({}))
        self.notes_ = self._notes()
        if left_out := [column.name for column in self._columns if column.kind == "index"]:
            warnings.warn(
                f"the columns {listed(left_out)} number or name the rows and were left out; index_columns='keep' keeps them",
                TableWarning,
                stacklevel=2,
            )
        return self

    def transform(self, X: Any) -> Any:
        """Return a table as columns of numbers: a frame of pandas for a frame, else an array, float64.

        Args:
            X: Table with the columns of the training, found by their names if it has names.

        Returns:
            The columns, (samples, features), without missing values.
        """
        check_is_fitted(self, "notes_")
        frame = self._as_frame(X, is_new=False)
        unseen, encoded = self._encoded(frame)
        if unseen:
            warnings.warn(f"not in the training: {'; '.join(unseen)}", TableWarning, stacklevel=2)
        if self._scaling is not None:
            encoded = (encoded - self._scaling.offset) / self._scaling.width
        if not hasattr(X, "columns"):
            return encoded
        import pandas as pd

        return pd.DataFrame(encoded, columns=self.get_feature_names_out(), index=frame.index)

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> NDArray[np.object_]:
        """Return the names of the columns of numbers.

        Args:
            input_features: Names of the columns of the table; they must be those of the training.
        """
        check_is_fitted(self, "notes_")
        if input_features is not None and tuple(input_features) != self.names_in_:
            if hasattr(self, "feature_names_in_"):
                raise ValueError("input_features is not equal to feature_names_in_")
            if len(input_features) != self.n_features_in_:
                raise ValueError(f"input_features should have length equal to number of features ({self.n_features_in_})")
            renamed = dict(zip(self.names_in_, input_features, strict=True))
            return np.array(self._names(renamed), dtype=object)
        return np.array(self._names({}), dtype=object)

    @property
    def units_(self) -> tuple[str, ...]:
        """Units of the columns of numbers; empty for none."""
        units: list[str] = []
        for column in self._used:
            first = datetime.fromtimestamp(column.origin, UTC).date()
            units += [f"days since {first}" if column.kind == "date" and self._scaling is None else ""] * self._width(column)
        return tuple(units)

    @property
    def names_in_(self) -> tuple[str, ...]:
        """Names of the columns of the table of the training; x0, x1, ... for an array."""
        return tuple(column.name for column in self._columns)

    @property
    def kinds_(self) -> dict[str, Kind]:
        """Kinds of the columns of the table that are used, by their names."""
        kinds: dict[str, Kind] = {}
        for column in self._used:
            if column.kind in ("number", "bool", "date", "category"):
                kinds[column.name] = column.kind
        return kinds

    @property
    def changes_nothing_(self) -> bool:
        """True if all columns are numbers that stay as they are, and no missing value would be filled."""
        return self.missing == "refuse" and self.scale is None and all(column.kind == "number" for column in self._columns)

    def to_record(self) -> dict[str, Any]:
        """Return the fitted encoder as JSON.

        Example:
            >>> record = TableEncoder().fit([[1.0, 2.0], [3.0, float("nan")]]).to_record()
            >>> TableEncoder.from_record(record).transform([[5.0, float("nan")]])
            array([[5., 2.]])
        """
        check_is_fitted(self, "notes_")
        parameters = {**self.get_params(), "category_columns": list(self.category_columns)}
        columns = [
            {name: value for name, value in _plain(asdict(column)).items() if value != _DEFAULTS.get(name)}
            for column in self._columns
        ]
        scaling = {} if self._scaling is None else {"scaling": _plain(asdict(self._scaling))}
        named = hasattr(self, "feature_names_in_")
        record = {"format": _FORMAT, "parameters": parameters, "samples": self._samples, "named": named, "columns": columns}
        return record | scaling

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> TableEncoder:
        """Return the fitted encoder of a record.

        Raises:
            ValueError: The record is not one of an encoder; the message names the entry.
        """
        read = load(_Record, _plain(record), "encoder")
        unknown = read.parameters.keys() - cls().get_params().keys()
        if unknown:
            raise ValueError(f"the encoder has the parameters {listed(sorted(unknown))}, which this version does not know")
        encoder = cls(**read.parameters)
        encoder.category_columns = tuple(encoder.category_columns)
        encoder._check_parameters()
        encoder.n_features_in_ = len(read.columns)
        if read.named:
            encoder.feature_names_in_ = np.array([column.name for column in read.columns], dtype=object)
        encoder._set(read.columns, read.samples)
        encoder._scaling = read.scaling
        if read.scaling is not None and {len(read.scaling.offset), len(read.scaling.width)} != {len(encoder._names({}))}:
            raise ValueError("the encoder has another number of scales than of columns; restore the file from a copy")
        encoder.notes_ = encoder._notes()
        return encoder

    def __sklearn_tags__(self) -> Any:
        """Return the tags of scikit-learn."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.categorical = True
        tags.input_tags.allow_nan = self.missing == "impute"
        return tags

    def _check_parameters(self) -> None:
        as_word(self.missing, "missing", ("impute", "refuse"))
        as_word(self.categories, "categories", ("one-hot", "ordinal"))
        as_word(self.index_columns, "index_columns", ("recognise", "keep"))
        if self.scale is not None:
            as_word(self.scale, "scale", ("minmax", "standard"))
        as_count(self.max_categories, "max_categories", 2)
        if isinstance(self.category_columns, str):
            raise ValueError(f"category_columns={self.category_columns!r} must be a list of names, such as ['zip']")

    def _as_frame(self, X: Any, *, is_new: bool) -> pd.DataFrame:
        """Return a table as a frame with the names of columns; those of an array are x0, x1, ..."""
        import pandas as pd

        if hasattr(X, "to_pandas") and not isinstance(X, pd.DataFrame):
            X = X.to_pandas()
        names = column_names(X) if isinstance(X, pd.DataFrame) else None
        if names is None:
            given = X if isinstance(X, pd.DataFrame) else None
            checked = validate_data(
                self,
                X,
                dtype=None,
                ensure_all_finite=False,
                reset=is_new,
                skip_check_array=given is not None and 0 not in given.shape,
            )
            if given is not None:
                frame = given.set_axis([f"x{k}" for k in range(given.shape[1])], axis=1)
            else:
                frame = pd.DataFrame(checked, columns=[f"x{k}" for k in range(checked.shape[1])])
            return frame if is_new or not hasattr(self, "feature_names_in_") else frame.set_axis(self.feature_names_in_, axis=1)
        frame = X.set_axis(list(names), axis=1)
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the table has the columns {listed(twice)} more than once; rename them")
        if is_new or not hasattr(self, "feature_names_in_"):
            validate_data(self, frame, reset=is_new, skip_check_array=0 not in frame.shape, dtype=None)
            return frame if is_new else frame.set_axis([f"x{k}" for k in range(frame.shape[1])], axis=1)
        if not len(frame):
            validate_data(self, np.empty(frame.shape), reset=False)  # raises the error of scikit-learn
        wanted = tuple(column.name for column in self._used)
        return frame.iloc[:, list(DataContract(columns=wanted).positions(names))]

    def _learned(self, series: pd.Series) -> _Column:
        """Return what is known of a column."""
        name = str(series.name)
        kind, values = self._read(series, "category" if name in self.category_columns else None)
        is_missing = _is_missing(values)
        known, missing = values[~is_missing], int(is_missing.sum())
        if not len(known):
            return _Column(name, "empty", missing)
        if self.index_columns == "recognise" and _numbers_rows(known, name):
            return _Column(name, "index", missing)
        is_constant = bool((known == known[0]).all())
        if kind != "category":
            origin = float(known.min() // _DAY * _DAY) if kind == "date" else 0.0
            strategy = "most_frequent" if kind == "bool" else "median"
            numbers = _as_days(known, origin, kind).reshape(-1, 1)
            size = 4.0 if np.abs(numbers).max() > _LARGE else 1.0  # so that sums of two stay finite
            fill = size * SimpleImputer(strategy=strategy).fit(numbers / size).statistics_[0]
            return _Column(name, kind, missing, float(fill), is_constant, origin)
        texts = known.reshape(-1, 1)
        one_hot = OneHotEncoder(max_categories=self.max_categories).fit(texts)
        rare = one_hot.infrequent_categories_[0]
        named = [text for text in _in_order(series, one_hot.categories_[0]) if rare is None or text not in rare]
        most_frequent = SimpleImputer(strategy="most_frequent", missing_values=None).fit(texts).statistics_[0]
        categories = tuple(named) if rare is None else (*named, _OTHER)
        return _Column(
            name, kind, missing, 0.0, is_constant, 0.0, categories, 0 if rare is None else len(rare), str(most_frequent)
        )

    def _read(self, series: pd.Series, kind: Kind | None) -> tuple[Kind, Array]:
        """Return the kind and the values of a column; errors name it and the row."""
        try:
            found, values = read_series(series, kind)
        except CellError as error:
            raise ValueError(f"column {shown(series.name)}, row {error.row}: {error.problem}") from None
        if self.missing == "refuse" and (is_missing := _is_missing(values)).any():
            cure = "fill it, or choose missing='impute'"
            raise ValueError(f"column {shown(series.name)}, row {int(np.argmax(is_missing))}: a value is missing (NaN); {cure}")
        return found, values

    def _set(self, columns: tuple[_Column, ...], samples: int) -> None:
        """Keep what is known of the columns, and build the imputers and encoders of scikit-learn, fitted to it."""
        self._columns, self._samples = columns, samples
        self._scaling = None
        if not self._used:
            left_out = listed([column.name for column in columns])
            cure = "index_columns='keep' keeps row numbers"
            raise ValueError(f"no column is left: {left_out} have no values or number the rows; {cure}")
        names = self._names({})
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the columns {listed(twice)} would be there twice; rename them in the table")
        numbers = [column for column in self._used if column.kind != "category"]
        texts = [column for column in self._used if column.kind == "category"]
        self._fill_numbers = SimpleImputer(strategy="most_frequent").fit([[column.fill for column in numbers] or [0.0]])
        prototype = np.array([[column.most_frequent for column in texts] or [""]], dtype=object)
        self._fill_texts = SimpleImputer(strategy="most_frequent", missing_values=None).fit(prototype)
        categories = [list(column.categories) for column in texts] or [[""]]
        if self.categories == "one-hot":
            encoder: Any = OneHotEncoder(categories=categories, handle_unknown="ignore", sparse_output=False)
        else:
            encoder = OrdinalEncoder(categories=categories, handle_unknown="use_encoded_value", unknown_value=-1)
        self._encoder = encoder.fit(prototype)

    def _encoded(self, frame: pd.DataFrame) -> tuple[list[str], FloatArray]:
        """Return sentences on categories that the training did not have, and the columns of numbers before scaling."""
        numbers, texts, unseen = [], [], []
        for column in self._used:
            _, values = self._read(frame[column.name], column.kind)  # type: ignore[arg-type]
            if column.kind != "category":
                numbers.append(_as_days(values, column.origin, column.kind))
                continue
            is_new = ~_is_missing(values) & ~np.isin(values.astype(object), np.array(column.categories, dtype=object))
            if column.grouped:
                values = np.where(is_new, _OTHER, values)
            elif is_new.any():
                unseen.append(f"{column.name!r} {listed(sorted(set(values[is_new])))} in {quantity(int(is_new.sum()), 'row')}")
            texts.append(values)
        parts: dict[bool, FloatArray] = {}
        if numbers:
            parts[False] = self._fill_numbers.transform(np.column_stack(numbers))
        if texts:
            parts[True] = self._encoder.transform(self._fill_texts.transform(np.column_stack(texts)))
        encoded, at = np.empty((len(frame), len(self._names({})))), {False: 0, True: 0}
        start = 0
        for column in self._used:
            is_text, width = column.kind == "category", self._width(column)
            encoded[:, start : start + width] = parts[is_text][:, at[is_text] : at[is_text] + width]
            at[is_text] += width
            start += width
        return unseen, encoded

    @property
    def _used(self) -> list[_Column]:
        return [column for column in self._columns if column.is_used]

    def _width(self, column: _Column) -> int:
        return len(column.categories) if column.kind == "category" and self.categories == "one-hot" else 1

    def _names(self, renamed: Mapping[str, str]) -> list[str]:
        names: list[str] = []
        for column in self._used:
            name = renamed.get(column.name, column.name)
            is_split = column.kind == "category" and self.categories == "one-hot"
            names += [same_name(f"{name}={text}") for text in column.categories] if is_split else [name]
        return names

    def _notes(self) -> tuple[str, ...]:
        """Return sentences on what is done."""
        notes = [note for column in self._columns for note in self._notes_of(column)]
        if constant := [column.name for column in self._used if column.constant and self._samples > 1]:
            are, they, tell = ("is", "it", "tells") if len(constant) == 1 else ("are", "they", "tell")
            rows = f"{listed(constant)} {are} the same in every row of the training table"
            notes.append(f"{rows}, so that {they} {tell} nothing about the classes")
        if self.scale == "minmax":
            notes.append("every column is scaled so that the training table lies between 0 and 1")
        elif self.scale == "standard":
            notes.append("every column is scaled to mean 0 and standard deviation 1 of the training table")
        return tuple(map(printable, notes))

    def _notes_of(self, column: _Column) -> list[str]:
        name = repr(column.name)
        if column.kind == "index":
            return [f"{name} numbers or names the rows and is left out"]
        if column.kind == "empty":
            return [f"{name} has no values and is left out"]
        notes = []
        if column.kind == "category":
            rare = f"; {_OTHER} stands for {quantity(column.grouped, 'rarer value')}" if column.grouped else ""
            if self.categories == "one-hot":
                notes.append(f"{name} becomes {listed([f'{column.name}={text}' for text in column.categories])}{rare}")
            else:
                notes.append(f"{name} becomes the numbers 0, 1, ... of {listed(column.categories)}{rare}")
        elif column.kind == "bool":
            notes.append(f"{name} becomes 0 for False and 1 for True")
        elif column.kind == "date":
            notes.append(f"{name} becomes days since {datetime.fromtimestamp(column.origin, UTC).date()}")
        if column.missing:
            are = "is" if column.missing == 1 else "are"
            filled = {
                "category": f"the most frequent, {column.most_frequent!r}",
                "bool": f"the most frequent, {bool(column.fill)}",
            }
            value = filled.get(column.kind, f"the median, {number_text(float(f'{column.fill:.6g}'))}")
            notes.append(f"{name}: {quantity(column.missing, 'missing value')} of {self._samples} {are} filled with {value}")
        return notes


def numbers_rows(values: FloatArray) -> bool:
    """Return True for a column of whole numbers that counts the rows of a table, or of a part of it, in any order.

    Numbers that do not repeat, although as many drawn at random from their range would repeat (all but 1e-6 of the time), are
    row numbers. Of fewer rows, at least ten, 0, 1, 2, ... or 1, 2, 3, ... in any order and consecutive numbers are.

    Args:
        values: Numbers, (samples,).

    Example:
        >>> numbers_rows(np.arange(1.0, 31.0)[::-1]), numbers_rows(np.array([3.0, 3.0, 1.0] * 10))
        (True, False)
    """
    count = len(values)
    if count < _FEWEST or (values != np.rint(values)).any():
        return False
    if np.ptp(values) + 1 < count:
        return False  # some repeat
    ordered = np.sort(values)
    if (np.diff(ordered) == 0).any():
        return False
    span = ordered[-1] - ordered[0] + 1
    if span == count and (ordered[0] in (0, 1) or len(set(np.diff(values).tolist())) == 1):
        return True
    return bool(count * count / (2 * span) > np.log(1e6))


def _numbers_rows(known: Array, name: str) -> bool:
    """Return True for values that number or name the rows."""
    if known.dtype == object:
        return len(set(known)) > max(_FEWEST, len(known) / 2)
    if numbers_rows(known):
        return True
    is_named = len(known) >= _FEWEST and _INDEX_NAME.fullmatch(name) is not None
    return is_named and bool((known == np.rint(known)).all()) and len(np.unique(known)) == len(known)


def _is_missing(values: Array) -> NDArray[np.bool_]:
    return np.array([value is None for value in values], dtype=bool) if values.dtype == object else np.isnan(values)


def _as_days(values: Array, origin: float, kind: str) -> FloatArray:
    return np.asarray((values - origin) / _DAY if kind == "date" else values, dtype=np.float64)


def _in_order(series: pd.Series, texts: Sequence[str]) -> list[str]:
    """Return categories in the order of a column of pandas that has one, else as numbers or in alphabetical order."""
    categories = getattr(series.dtype, "categories", None)
    order = [] if categories is None else [as_text(value) for value in categories]
    place = {text: k for k, text in enumerate(order)}
    numbers = {text: decimal(text) for text in texts}
    if set(texts) <= place.keys():
        return sorted(texts, key=lambda text: place[text])
    if None not in numbers.values():
        return sorted(texts, key=lambda text: numbers[text] or 0.0)
    return sorted(texts)


def _scaling(scale: str, encoded: FloatArray, names: Sequence[str]) -> _Scaling:
    """Return what is subtracted from columns, and by what they are then divided."""
    large = [name for name, size in zip(names, np.abs(encoded).max(axis=0), strict=True) if size > _SQUARED]
    if large:
        raise ValueError(f"the columns {listed(large)} hold numbers too large to scale; divide them by a power of 10")
    if scale == "minmax":
        scaler = MinMaxScaler().fit(encoded)
        return _Scaling(tuple(scaler.data_min_.tolist()), tuple((1 / scaler.scale_).tolist()))
    standard = StandardScaler().fit(encoded)
    return _Scaling(tuple(standard.mean_.tolist()), tuple(standard.scale_.tolist()))
