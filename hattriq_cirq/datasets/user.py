"""The user's own table, in any file that `read_frame` reads, as a data set of two classes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from hattriq_cirq._moved import keep_old_names
from hattriq_cirq.datasets.folder import margins
from hattriq_cirq.datasets.frame import (
    LABEL_ARRAYS,
    SUFFIXES,
    TableFile,
    open_table,
    read_labelled_arrays,
)
from hattriq_cirq.datasets.labels import two_classes
from hattriq_cirq.datasets.split import stratified_split
from hattriq_cirq.datasets.value import Dataset, Inputs, from_features, unlabelled
from hattriq_cirq.foundation.array_files import array_names, read_array
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.contract import DataContract, same_name
from hattriq_cirq.foundation.reading import checksum

if TYPE_CHECKING:
    import pandas as pd

    from hattriq_cirq.datasets.table_encoder import TableEncoder

_NO_LABEL = "remove the rows without a label, or write one"


class _Rows(NamedTuple):
    """Rows of numbers, labels if there are any, and what describes them."""

    x: Array
    labels: Array | None
    label_names: tuple[str, str]
    details: dict[str, object]
    form: dict[str, Any]


class _Encoding(NamedTuple):
    """Choices of the encoder of a table whose training this is."""

    missing: Literal["impute", "refuse"]
    categories: Literal["one-hot", "ordinal"]
    index_columns: Literal["recognise", "keep"]
    category_columns: tuple[str, ...]
    scale: Literal["minmax", "standard"] | None


def read_table(  # noqa: PLR0913
    path: str | Path,
    label_column: str | None = None,
    test_fraction: float = 0.3,
    *,
    seed: int = 0,
    positive: str | None = None,
    missing: Literal["impute", "refuse"] = "refuse",
    categories: Literal["one-hot", "ordinal"] = "one-hot",
    category_columns: tuple[str, ...] = (),
    index_columns: Literal["recognise", "keep"] = "recognise",
    scale: Literal["minmax", "standard"] | None = None,
    constant: bool = False,
    separator: str | None = None,
    decimal_point: str | None = None,
    encoding: str | None = None,
) -> Dataset:
    r"""Read the user's own table as a data set of two classes, as `from_features` returns it.

    Columns of numbers stay as they are. What a `TableEncoder` does with other columns is recorded in the contract of the data.

    Args:
        path: Path of a table that `read_frame` reads: .csv, .tsv, .txt, .parquet, or an .npz with features or images X, real or
            complex, and labels y.
        label_column: Column with the labels of two classes, whatever they are; None for the last one.
        test_fraction: Share of each class in the test set, between 0 and 1.
        seed: Random seed of the stratified split.
        positive: Label that becomes +1; None takes the larger number, or the last text in alphabetical order.
        missing: "refuse" raises an error with the place of a missing value, "impute" fills it as `TableEncoder` does.
        categories: As in `TableEncoder`.
        category_columns: As in `TableEncoder`.
        index_columns: As in `TableEncoder`.
        scale: As in `TableEncoder`.
        constant: Add a feature that is 1 in every row. A quantum model cannot tell x from -x, nor learn an offset without it.
        separator: As in `read_frame`.
        decimal_point: As in `read_frame`.
        encoding: As in `read_frame`.

    Returns:
        The data set.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is no table, a cell is not a number (the message has line and column), there are more than two
            labels, or a row is all zeros.

    Example:
        >>> _ = Path("own.csv").write_text("a,color,label\n1,red,yes\n2,blue,no\n3,red,yes\n4,blue,no\n")
        >>> data = read_table("own.csv")
        >>> data.columns, data.label_names
        (('a', 'color=blue', 'color=red'), ('no', 'yes'))
    """
    path = _checked(path, label_column)
    if path.suffix.lower() == ".npz":
        read = _of_arrays(path, positive, None, is_labelled=True)
    else:
        table = open_table(path, separator, encoding)
        choices = _Encoding(missing, categories, index_columns, category_columns, scale)
        read = _for_training(table, label_column, decimal_point, choices, positive, test_fraction, seed)
    data = _finished(path, read, test_fraction, seed, has_constant=constant)
    assert isinstance(data, Dataset)  # as there are labels
    return data


def read_for_model(path: str | Path, contract: DataContract, options: dict[str, Any]) -> Dataset | Inputs:
    """Read the user's own table for a model that was trained: what was done to the table of its training is done again.

    Args:
        path: Path as for `read_table`.
        contract: Form of the data of the training.
        options: Other arguments of `read_table`. Those of the encoder, the constant and the scale are the model's.

    Returns:
        The data set; inputs without labels if the table has no column with labels.

    Raises:
        ValueError: As for `read_table`, or a column that the model needs is missing.
    """
    label_column = options.get("label_column")
    path = _checked(path, label_column)
    if path.suffix.lower() == ".npz":
        read = _of_arrays(path, options.get("positive"), _class_texts(contract), is_labelled=False)
    else:
        table = open_table(path, options.get("separator"), options.get("encoding"))
        read = _as_trained(table, label_column, options.get("decimal_point"), contract)
    if read.labels is not None and min(np.sum(read.labels == label) for label in (-1, 1)) < 2:
        read = read._replace(labels=None, details=read.details | {"unsplit": "fewer than two rows of a class"})
    fraction, seed = options.get("test_fraction", 0.3), options.get("seed", 0)
    return _finished(path, read, fraction, seed, has_constant=bool(contract.constant))


def read_inputs(path: str | Path, contract: DataContract | None = None) -> Inputs | None:
    """Return the rows of an .npy file, or of an .npz file without labels, as inputs; None for a file that may have labels.

    Args:
        path: Path of the file.
        contract: Form of the data of the model that takes the inputs; its constant is added.

    Example:
        >>> np.savez("own.npz", x=[[3.0, 4.0]])
        >>> read_inputs("own.npz").amplitudes
        array([[0.6, 0.8]])
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".npy", ".npz") or not path.is_file():
        return None
    if suffix == ".npz" and not {*LABEL_ARRAYS}.isdisjoint(array_names(path)):
        return None
    if suffix == ".npz":
        read = _of_arrays(path, None, None, is_labelled=False)
    else:
        read = _Rows(read_array(path), None, ("-1", "+1"), _source(path), {})
    inputs = _finished(path, read, 0.3, 0, has_constant=contract is not None and bool(contract.constant))
    assert isinstance(inputs, Inputs)
    return inputs


def _checked(path: str | Path, label_column: str | None) -> Path:
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"{path.name} must end in .csv or .npz, or in .tsv, .txt or .parquet; numpy.savez(path, x=x, y=y) writes an .npz"
        )
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; give the path of a .csv or .npz")
    if path.suffix.lower() == ".npz" and label_column is not None:
        raise ValueError(f"{label_column=} is for .csv files: the labels of an .npz are its array y")
    return path


def _source(path: Path) -> dict[str, object]:
    return {"source": path.name, "sha256": checksum(path)}


def _of_arrays(path: Path, positive: str | None, classes: tuple[str, str] | None, *, is_labelled: bool) -> _Rows:
    """Return the arrays of an .npz file; images are padded evenly to powers of 2."""
    x, y = read_labelled_arrays(path, is_labelled=is_labelled)
    details, form = _source(path), dict[str, Any]()
    if x.ndim == 3:
        padding = *margins(x.shape[1]), *margins(x.shape[2])
        x = np.pad(x, ((0, 0), padding[:2], padding[2:])) if any(padding) else x
        form = {"image_shape": x.shape[1:], "padding": padding}
        x = x.reshape(len(x), -1)
    if y is None:
        return _Rows(x, None, ("-1", "+1"), details, form)
    try:
        labels, names = two_classes(y.tolist(), positive, classes)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return _Rows(x, labels, names, details | {"columns": []}, form)


def _for_training(
    table: TableFile,
    label_column: str | None,
    decimal_point: str | None,
    choices: _Encoding,
    positive: str | None,
    test_fraction: float,
    seed: int,
) -> _Rows:
    """Return the rows of a table as an encoder makes them that learns from the training rows only."""
    from hattriq_cirq.datasets.table_encoder import TableEncoder

    label = _label_column(table, label_column) or table.names[-1]
    frame = table.frame(decimal_point, {name: "category" for name in choices.category_columns}, table.names)
    table.refuse_missing(frame[[label]], _NO_LABEL)
    if choices.missing == "refuse":
        table.refuse_missing(frame)
    labels, names = _labels(table, frame[label], positive, None, is_last=label_column is None)
    features = frame[[name for name in table.names if name != label]]
    details = _source(table.path) | {"columns": list(features.columns), "label_column": label}
    encoder = TableEncoder(**choices._asdict())
    try:
        train, _ = stratified_split(labels, test_fraction, seed=seed)
        encoder.fit(features.iloc[np.sort(train)])
        if encoder.changes_nothing_:
            return _Rows(features.to_numpy(dtype=np.float64), labels, names, details, {})
        encoded = encoder.transform(features)
    except ValueError as error:
        raise ValueError(f"{table.path}: {error}") from error
    details |= {"columns": list(encoded.columns), **_encoding_details(encoder)}
    return _Rows(encoded.to_numpy(), labels, names, details, {})


def _as_trained(table: TableFile, label_column: str | None, decimal_point: str | None, contract: DataContract) -> _Rows:
    """Return the rows of a table as the encoder of a trained model makes them, or its numbers if the model has no encoder."""
    from hattriq_cirq.datasets.table_encoder import TableEncoder

    encoder = None if contract.encoder is None else TableEncoder.from_record(contract.encoder)
    label = _label_for_model(table, label_column, contract, contract.columns or () if encoder is None else encoder.kinds_)
    details, labels, names = _source(table.path), None, ("-1", "+1")
    if label is not None:
        series = table.frame(decimal_point, {}, [label])
        table.refuse_missing(series, _NO_LABEL)
        labels, names = _labels(table, series[label], None, _class_texts(contract), is_last=label_column is None)
        details |= {"label_column": label}
    features = [name for name in table.names if name != label]
    if encoder is None:
        frame = _known_numbers(table, features, decimal_point, contract.columns)
        if labels is None and contract.columns is not None:
            frame = frame.iloc[:, list(contract.positions(list(frame.columns)))]
        left_out = [name for name in features if name not in frame.columns]
    else:
        left_out = [name for name in features if name not in encoder.names_in_]
        frame = table.frame(decimal_point, encoder.kinds_, [name for name in features if name in encoder.kinds_])
        if encoder.missing == "refuse":
            table.refuse_missing(frame)
        try:
            frame = encoder.transform(frame)
        except ValueError as error:
            raise ValueError(f"{table.path} does not fit the model: {error}") from error
        details |= _encoding_details(encoder)
    details |= {"columns": list(frame.columns)} | ({"left_out": left_out} if left_out else {})
    return _Rows(frame.to_numpy(dtype=np.float64), labels, names, details, {})


def _label_for_model(table: TableFile, label_column: str | None, contract: DataContract, needed: Collection[str]) -> str | None:
    """Return the column with labels: the chosen one, that of the training, or the last one unless the model needs it."""
    label = _label_column(table, label_column)
    if label is None and contract.label_column in table.names:
        label = contract.label_column
    if label is None and table.names[-1] not in needed:
        label = table.names[-1]
    try:
        contract.check_label(DataContract(columns=tuple(table.names), label_column=label))
    except ValueError as error:
        raise ValueError(f"{table.path} does not fit the model: {error}") from error
    return label


def _known_numbers(table: TableFile, names: list[str], decimal_point: str | None, wanted: Sequence[str] | None) -> pd.DataFrame:
    """Return the columns that a model needs, or all if that is not known, as numbers, and others that are numbers as well."""
    known = [name for name in names if wanted is None or name in wanted]
    frame = table.frame(decimal_point, dict.fromkeys(known, "number"), known)
    table.refuse_missing(frame)
    for name in names:
        if name not in known and (column := _number_column(table, name, decimal_point)) is not None:
            frame[name] = column
    return frame[[name for name in names if name in frame.columns]]


def _number_column(table: TableFile, name: str, decimal_point: str | None) -> pd.Series | None:
    """Return a column that the model does not know if it holds numbers only, so that its name can be compared."""
    try:
        column = table.frame(decimal_point, {}, [name])[name]
    except ValueError:
        return None
    return column if column.dtype.kind in "iuf" and not column.isna().any() else None


def _label_column(table: TableFile, label_column: str | None) -> str | None:
    if label_column is None:
        return None
    label = same_name(label_column)
    if label not in table.names:
        raise ValueError(f"{label_column=} is not a column of {table.path}; columns: {', '.join(table.names)}")
    return label


def _labels(
    table: TableFile, series: pd.Series, positive: str | None, classes: tuple[str, str] | None, *, is_last: bool
) -> tuple[Array, tuple[str, str]]:
    """Return labels -1 and +1 and their names; an error names their column."""
    try:
        return two_classes(series.tolist(), positive, classes)
    except ValueError as error:
        last = f", the last one; name another with {table.path.name}:label_column=NAME" if is_last else ""
        raise ValueError(f"{table.path}: the labels are read from the column {series.name!r}{last}: {error}") from error


def _class_texts(contract: DataContract) -> tuple[str, str] | None:
    """Return the labels of a table that are -1 and +1 for a model of two classes with names."""
    classes = contract.classes
    return (classes[0], classes[1]) if classes is not None and len(classes) == 2 else None


def _encoding_details(encoder: TableEncoder) -> dict[str, object]:
    units = {"units": list(encoder.units_)} if any(encoder.units_) else {}
    return {"encoder": encoder.to_record(), **units}


def _finished(path: Path, read: _Rows, test_fraction: float, seed: int, *, has_constant: bool) -> Dataset | Inputs:
    """Return rows as a data set, or as inputs without labels."""
    x, details = np.ascontiguousarray(read.x), read.details  # so that sums have the same rounding as ever
    if has_constant:
        x, details = np.column_stack([x, np.ones(len(x))]), details | {"constant": True}
    form: dict[str, Any] = {"name": path.stem, "details": details, **read.form}
    try:
        if read.labels is None:
            return unlabelled(x, **form)
        return from_features(x, read.labels, label_names=read.label_names, test_fraction=test_fraction, seed=seed, **form)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


keep_old_names(__name__)
