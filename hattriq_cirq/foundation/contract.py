"""The data contract of a model: the form of the data that it was trained on, compared with all data that it meets later."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unicodedata import normalize

import numpy as np

from hattriq_cirq.foundation.checks import ArgumentTypeError, as_count, as_counts, check_flag, shown
from hattriq_cirq.foundation.frozen import owned
from hattriq_cirq.foundation.text import listed

_LISTED = 8  # names in an error message
_listed = partial(listed, most=_LISTED)


@dataclass(frozen=True)
class DataContract:
    """Form of the data that a model is for; what is not known is None and is not compared.

    It says what the numbers of a result mean: `feature_name` and `class_name` are the names in every print, table and picture.

    Args:
        features: Number of features before they are padded to a power of 2, without the constant.
        columns: Names of the features, in order.
        classes: Names of the classes, two or more: of two, the labels are -1 and +1, of more, their indices.
        image_shape: Numbers (rows, cols) of the image that the features make, padding included.
        padding: Numbers of padding pixels (top, bottom, left, right) inside the image.
        preparation: Changes that were made to the features before they were encoded, in words; empty for none.
        label_column: Name of the column with the labels.
        units: Units of the columns, in their order, each of them empty for a number without a unit.
        constant: True if a constant follows the last feature.
        encoder: How a table became the columns: the record of a fitted `TableEncoder`, a mapping that JSON can hold.

    Raises:
        ValueError: A value has a wrong type, or the number of columns is not that of the features.

    Example:
        >>> contract = DataContract(columns=("length", "width"), classes=("no", "yes"), constant=True)
        >>> [contract.feature_name(k) for k in range(4)], contract.class_name(-1)
        (['length', 'width', 'constant', '|11>'], 'no')
    """

    features: int | None = None
    columns: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    image_shape: tuple[int, int] | None = None
    padding: tuple[int, int, int, int] | None = None
    preparation: str | None = None
    label_column: str | None = None
    units: tuple[str, ...] | None = None
    constant: bool | None = None
    encoder: Mapping[str, Any] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        for name, check in _ENTRIES.items():
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, check(value, name))
        if self.columns is not None and self.features is None:
            object.__setattr__(self, "features", len(self.columns))
        if self.columns is not None and len(self.columns) != self.features:
            raise ValueError(f"{len(self.columns)} columns must be as many as features={self.features}")
        if self.units is not None and len(self.units) != len(self.columns or ()):
            raise ValueError(f"{len(self.units)} units must be as many as columns, {len(self.columns or ())}")

    @classmethod
    def from_record(cls, record: object) -> DataContract:
        """Return the contract that a file holds.

        Raises:
            ValueError: The record is not a contract.

        Example:
            >>> DataContract.from_record({"features": 3}).features
            3
        """
        if not isinstance(record, Mapping):
            raise ArgumentTypeError(f"contract={shown(record)} must be a mapping")
        return cls(**{name: record.get(name) for name in cls.__dataclass_fields__})  # a later version may add entries

    def to_record(self) -> dict[str, Any]:
        """Return the contract as JSON, without what is not known."""
        entries = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in entries.items() if value is not None}

    def feature_name(self, feature: int, features: int | None = None) -> str:
        """Return the name of a feature: its column, the constant, its pixel, or its basis state.

        Args:
            feature: Index of the feature, from 0.
            features: Number of amplitudes of the model, a power of 2; None if it is not larger than the data need.

        Example:
            >>> DataContract(image_shape=(4, 4)).feature_name(6), DataContract().feature_name(6, features=16)
            ('row 1, column 2', '|0110>')
        """
        if self.columns is not None and feature < len(self.columns):
            return self.columns[feature]
        if self.constant and feature == self.features:
            return "constant"
        if self.image_shape is not None:
            row, column = divmod(feature, self.image_shape[1])
            return f"row {row}, column {column}"
        amplitudes = features or max(feature + 1, (self.features or 1) + bool(self.constant), 2)
        return f"|{feature:0{(amplitudes - 1).bit_length()}b}>"

    def feature_names(self, features: int) -> tuple[str, ...]:
        """Return the names of all features of a model with a number of amplitudes, see `feature_name`."""
        return tuple(self.feature_name(k, features) for k in range(features))

    def unit(self, feature: int) -> str:
        """Return the unit of a feature, empty if it has none or is not known."""
        return self.units[feature] if self.units is not None and feature < len(self.units) else ""

    def class_index(self, label: int) -> int:
        """Return the index of a class by its label: an index, or with two classes -1 or 1.

        Raises:
            ValueError: There is no such class.

        Example:
            >>> two, three = DataContract(classes=("no", "yes")), DataContract(classes=("a", "b", "c"))
            >>> two.class_index(-1), two.class_index(1), three.class_index(2)
            (0, 1, 2)
        """
        count = len(self.classes or (0, 1))
        index = 0 if label == -1 and count == 2 else int(label)
        if index < 0 or (self.classes is not None and index >= count):
            raise ValueError(f"{label=} must be the index of one of {count} classes, from 0, or with two classes -1 or 1")
        return index

    def class_name(self, label: int) -> str:
        """Return the name of a class by its label; the label itself where the classes have no names.

        Args:
            label: Index of the class, from 0, or with two classes -1 or 1.

        Raises:
            ValueError: There is no such class.
        """
        return str(label) if self.classes is None else self.classes[self.class_index(label)]

    def facts(self) -> list[tuple[str, object]]:
        """Return names and texts of what a reader wants to know first: the features, the classes and the preparation.

        Example:
            >>> DataContract(columns=("length", "width"), classes=("no", "yes")).facts()
            [('features', "'length', 'width'"), ('classes', "'no', 'yes'")]
        """
        found: list[tuple[str, object]] = []
        if self.columns is not None:
            found.append(("features", _listed(self.columns)))
        elif self.image_shape is not None:
            found.append(("features", f"image of {self.image_shape[0]} x {self.image_shape[1]} pixels"))
        found += [] if self.classes is None else [("classes", _listed(self.classes))]
        return found + ([("preparation", self.preparation)] if self.preparation else [])

    def positions(self, columns: Sequence[str]) -> tuple[int, ...]:
        """Return the positions of the contract's columns among the columns of a table, which may have others as well.

        Args:
            columns: Names of the columns of the table, in order.

        Returns:
            One position per column of the contract, in its order.

        Raises:
            ValueError: A column is missing; the message names the difference.
        """
        wanted = self.columns or ()
        if missing := [name for name in wanted if name not in columns]:
            other = [name for name in columns if name not in wanted]
            raise ValueError(
                f"the data lack the columns {_listed(missing)} that the model was trained on"
                + (f", and have {_listed(other)} instead" if other else "")
                + f"; give the columns {_listed(wanted)}"
            )
        return tuple(list(columns).index(name) for name in wanted)

    def check_order(self, columns: Sequence[str] | None, name: str = "x") -> None:
        """Refuse a table whose columns are not those of the contract in the same order; names that are unknown pass.

        Args:
            columns: Names of the columns of the table; None if they have none.
            name: Name of the argument in the error message.

        Raises:
            ValueError: The columns differ; the message names the difference.

        Example:
            >>> DataContract(columns=("a", "b")).check_order(("a", "b"))
        """
        if columns is None or self.columns is None or tuple(columns) == self.columns:
            return
        self.positions(columns)
        raise ValueError(
            f"{name} has the columns {_listed(columns)}, the model was trained on {_listed(self.columns)} in this order; "
            f"select them by name: {name}[{_brackets(self.columns)}]"
        )

    def check_label(self, data: DataContract) -> None:
        """Refuse labels of another column if the table holds the column with the labels of the training as well.

        Args:
            data: Form of the table, all its columns included.

        Raises:
            ValueError: The labels are in another column.
        """
        label = self.label_column
        if label is not None and data.label_column != label and label in (data.columns or ()):
            raise ValueError(
                f"its labels are in the column {data.label_column!r}, those of the training were in {label!r}, which it has "
                f"too; choose it with label_column={label}"
            )

    def compare(self, data: DataContract) -> tuple[bool, tuple[str, ...]]:
        """Compare the form of a data set, its columns aside, with this one.

        Args:
            data: Form of the data.

        Returns:
            True if the classes of the data have the same names in the other order; and the parts that only one side knows
            and that were not compared.

        Raises:
            ValueError: A part differs; the message names the difference.
        """
        parts = {
            "number of features": (self.features, data.features),
            "shape of the image": (self.image_shape, data.image_shape),
            "padding of the image": (self.padding, data.padding),
            "preparation": (self.preparation, data.preparation),
            "constant": (bool(self.constant), bool(data.constant)),
        }
        for part, (own, other) in parts.items():
            if own is not None and other is not None and own != other:
                raise ValueError(f"the {part} of the data, {other or 'none'}, is not that of the model, {own or 'none'}")
        swapped = self.classes is not None and len(self.classes) == 2 and data.classes == self.classes[::-1]
        if self.classes is not None and data.classes is not None and not swapped and data.classes != self.classes:
            raise ValueError(f"the data have the classes {_listed(data.classes)}, the model has {_listed(self.classes)}")
        known: dict[str, tuple[object, object]] = {
            "names of columns": (self.columns, data.columns),
            "names of classes": (self.classes, data.classes),
            "shape of the image": (self.image_shape, data.image_shape),
            "preparation": (self.preparation, data.preparation),
        }
        return swapped, tuple(part for part, pair in known.items() if None in pair and any(pair))


def column_names(table: object) -> tuple[str, ...] | None:
    """Return the names of the columns of a table, or of the entries of one row; None if it has none.

    Args:
        table: Any object; a table of pandas or another library has the attribute `columns`, and a row of it `index`. A list of
            such rows has their names.

    Returns:
        The names; None if there are none, or only the numbers 0, 1, 2, ... in place of names.

    Example:
        >>> column_names([[1, 2]]) is None
        True
    """
    if type(table) in (np.ndarray, int, float):
        return None
    if isinstance(table, list | tuple) and table and not isinstance(table[0], Sequence):
        rows = {column_names(row) for row in table if hasattr(row, "index")}
        if len(rows) > 1:
            raise ValueError(f"the rows have different columns: {'; '.join(_listed(row or ()) or 'none' for row in rows)}")
        return rows.pop() if rows else None
    is_table = hasattr(table, "columns")
    names = getattr(table, "columns", getattr(table, "index", None))
    if names is None or callable(names) or isinstance(names, str):
        return None
    try:
        listed = tuple(names)
    except TypeError:
        return None
    if not listed or not (is_table or all(isinstance(name, str) for name in listed)) or listed == tuple(range(len(listed))):
        return None
    return tuple(same_name(str(name)) for name in listed)


def same_name(name: str) -> str:
    r"""Return a name in the composed form of Unicode, so that names that look the same are the same.

    Example:
        >>> same_name("u\u0308") == "\u00fc"
        True
    """
    return normalize("NFC", name)


def _as_units(value: object, name: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(each, str) for each in value):
        raise ArgumentTypeError(f"{name}={shown(value)} must be names")
    return tuple(value)


def _as_names(value: object, name: str) -> tuple[str, ...]:
    names = _as_units(value, name)
    if len(set(names)) != len(names):
        raise ValueError(f"{name}={shown(value)} must be different names")
    return names


def _as_columns(value: object, name: str) -> tuple[str, ...]:
    return _as_names([*map(same_name, _as_names(value, name))], name)


def _as_classes(value: object, name: str) -> tuple[str, ...]:
    if len(names := _as_names(value, name)) < 2:
        raise ValueError(f"{name}={shown(value)} must be two or more names")
    return names


def _counts(least: int, length: int) -> Callable[[object, str], tuple[int, ...]]:
    def check(value: object, name: str) -> tuple[int, ...]:
        if len(counts := as_counts(value, name, least)) != length:
            raise ValueError(f"{name}={value} must hold {length} numbers")
        return counts

    return check


def _as_text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ArgumentTypeError(f"{name}={shown(value)} must be a text")
    return value


def _as_json(value: object, name: str) -> Any:
    """Return a mapping as it is read back from JSON, which nobody can change."""
    if not isinstance(value, Mapping):
        raise ArgumentTypeError(f"{name}={shown(value)} must be a mapping")
    try:
        return owned(json.loads(json.dumps(dict(value), allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} cannot be written as JSON: {error}; use lists, numbers and text") from error


_ENTRIES: dict[str, Callable[[Any, str], object]] = {
    "features": as_count,
    "columns": _as_columns,
    "classes": _as_classes,
    "image_shape": _counts(1, 2),
    "padding": _counts(0, 4),
    "preparation": _as_text,
    "label_column": _as_text,
    "units": _as_units,
    "constant": check_flag,
    "encoder": _as_json,
}


def _brackets(names: Sequence[str]) -> str:
    return repr(list(names)) if len(names) <= _LISTED else "list(model.contract.columns)"
