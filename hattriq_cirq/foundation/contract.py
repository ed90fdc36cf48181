"""The data contract of a model: the form of the data that it was trained on, compared with all data that it meets later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from unicodedata import normalize

import numpy as np

from hattriq_cirq.foundation.checks import ArgumentTypeError, as_count, as_counts, shown

_LISTED = 8  # names in an error message


@dataclass(frozen=True)
class DataContract:
    """Form of the data that a model is for; what is not known is None and is not compared.

    Args:
        features: Number of features before they are padded to a power of 2.
        columns: Names of the features, in order.
        classes: Names of the classes -1 and +1.
        image_shape: Numbers (rows, cols) of the image that the features make, padding included.
        padding: Numbers of padding pixels (top, bottom, left, right) inside the image.
        preparation: Changes that were made to the features before they were encoded, in words; empty for none.
        label_column: Name of the column with the labels.

    Raises:
        ValueError: A value has a wrong type, or the number of columns is not that of the features.

    Example:
        >>> DataContract(columns=("a", "b", "c")).positions(("c", "id", "b", "a"))
        (3, 2, 0)
    """

    features: int | None = None
    columns: tuple[str, ...] | None = None
    classes: tuple[str, str] | None = None
    image_shape: tuple[int, int] | None = None
    padding: tuple[int, int, int, int] | None = None
    preparation: str | None = None
    label_column: str | None = None

    def __post_init__(self) -> None:
        for name, length in (("columns", None), ("classes", 2)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _as_names(value, name, length))
        if self.columns is not None:
            object.__setattr__(self, "columns", _as_names([same_name(name) for name in self.columns], "columns", None))
        for name, least, length in (("image_shape", 1, 2), ("padding", 0, 4)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, as_counts(value, name, least))
                if len(getattr(self, name)) != length:
                    raise ValueError(f"{name}={value} must hold {length} numbers")
        for name in ("preparation", "label_column"):
            if not isinstance(getattr(self, name), str | None):
                raise ArgumentTypeError(f"{name}={shown(getattr(self, name))} must be a text")
        if self.features is not None:
            object.__setattr__(self, "features", as_count(self.features, "features"))
        elif self.columns is not None:
            object.__setattr__(self, "features", len(self.columns))
        if self.columns is not None and len(self.columns) != self.features:
            raise ValueError(f"{len(self.columns)} columns must be as many as features={self.features}")

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
        return {name: value for name, value in asdict(self).items() if value is not None}

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
        }
        for part, (own, other) in parts.items():
            if own is not None and other is not None and own != other:
                raise ValueError(f"the {part} of the data, {other or 'none'}, is not that of the model, {own or 'none'}")
        swapped = self.classes is not None and data.classes == self.classes[::-1]
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


def _as_names(value: object, name: str, length: int | None) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(each, str) for each in value):
        raise ArgumentTypeError(f"{name}={shown(value)} must be names")
    if len(set(value)) != len(value) or (length is not None and len(value) != length):
        raise ValueError(f"{name}={shown(value)} must be {'different' if length is None else f'{length} different'} names")
    return tuple(value)


def _listed(names: Sequence[str]) -> str:
    """Return names for an error message, in quotes, so that control characters are escaped."""
    return ", ".join(map(repr, names[:_LISTED])) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")


def _brackets(names: Sequence[str]) -> str:
    return repr(list(names)) if len(names) <= _LISTED else "list(model.contract.columns)"
