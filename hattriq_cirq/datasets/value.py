"""The data set as a value: amplitudes of norm 1, labels -1 and +1, and a fixed split."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.datasets.split import IntArray, stratified_split
from hattriq_cirq.foundation.array_files import take_rows
from hattriq_cirq.foundation.arrays import (
    Array,
    BoolArray,
    as_amplitudes,
    binary_exponents,
    freeze,
    make_read_only,
    plain,
    read_only,
    times_power_of_2,
)
from hattriq_cirq.foundation.checks import as_counts, as_labels, as_number, as_seed, as_shape, check_type, set_fields
from hattriq_cirq.foundation.contract import DataContract, column_names
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.frozen import Frozen, owned
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.foundation.parts import in_parts
from hattriq_cirq.foundation.text import quantity

#: Numbers of padding pixels inside an image: (top, bottom, left, right).
Padding = tuple[int, int, int, int]
_NO_NAMES = ("-1", "+1")  # of classes that have no other names
_FEATURE_COUNTS = ("features_given", "trailing_zero_features")  # details that from_features adds


class _Samples(Frozen):
    """Rows of amplitudes and their form, with or without labels."""

    name: str
    amplitudes: Array
    image_shape: tuple[int, int] | None
    padding: Padding
    details: Mapping[str, object]
    preparation: str
    label_names: tuple[str, str]

    def _check_rows(self) -> None:
        """Check what describes the rows, and keep it read-only; amplitudes on disk stay there."""
        for name in ("name", "preparation"):
            check_type(getattr(self, name), name, str, "a text")
        amplitudes = as_amplitudes(self.amplitudes, "amplitudes")
        if amplitudes.ndim != 2 or amplitudes.shape[1] < 2 or amplitudes.shape[1] & (amplitudes.shape[1] - 1):
            raise ValueError(f"{amplitudes.shape=} must be (samples, 2**n_qubits); from_features pads and normalises")
        norms = in_parts(lambda part: {"norm": np.linalg.norm(amplitudes[part], axis=1)}, amplitudes, phase="check inputs")
        deviation = np.abs(norms["norm"] - 1)
        if (deviation > 1e-9).any():
            row = int(np.argmax(deviation))
            raise ValueError(f"amplitudes[{row}] has a norm off 1 by {deviation[row]:.3g}; from_features normalises")
        set_fields(self, padding=as_counts(self.padding, "padding", minimum=None))
        if self.image_shape is not None:
            set_fields(self, image_shape=as_shape(self.image_shape, amplitudes.shape[1], "image_shape"))
        _check_padding(self.image_shape, self.padding)
        try:
            details = json.loads(json.dumps(dict(self.details), allow_nan=False, default=plain))
        except (TypeError, ValueError) as error:
            raise ValueError(f"details cannot be written as JSON: {error}; use lists, numbers and text") from error
        set_fields(self, amplitudes=owned(amplitudes), details=details)

    @property
    def n_features(self) -> int:
        """Number of amplitudes of a sample, 2**n_qubits."""
        return int(self.amplitudes.shape[1])

    @property
    def n_qubits(self) -> int:
        """Number of qubits that encode a sample."""
        return self.n_features.bit_length() - 1

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the features that were given, in order; None if they have none."""
        columns = self.details.get("columns")
        return tuple(map(str, columns)) if isinstance(columns, list) and columns else None

    @property
    def contract(self) -> DataContract:
        """Form of the data, which a model that is trained on them records: see `for_model`."""
        if self.image_shape is None:
            padded = int(str(self.details.get("trailing_zero_features", 0)))
            features = self.n_features - padded - (1 if self.details.get("constant") else 0)
        else:
            top, bottom, left, right = self.padding
            features = (self.image_shape[0] - top - bottom) * (self.image_shape[1] - left - right)
        return DataContract(
            features=features,
            columns=self.columns,
            classes=None if self.label_names == _NO_NAMES else self.label_names,
            image_shape=self.image_shape,
            padding=None if self.image_shape is None else self.padding,
            preparation=self.preparation,
            label_column=None if (label := self.details.get("label_column")) is None else str(label),
            units=tuple(map(str, units)) if isinstance(units := self.details.get("units"), list) else None,
            constant=True if self.details.get("constant") else None,
            encoder=encoder if isinstance(encoder := self.details.get("encoder"), Mapping) else None,
        )

    def to_image(self, values: ArrayLike) -> Array:
        """Return values of the features as images, with the padding removed.

        Args:
            values: One number per feature, (..., features): amplitudes, attributions, a mask.

        Returns:
            Images without padding, (..., rows, cols), with the same dtype.

        Raises:
            ValueError: The data set has no image_shape, or the last axis is not features.

        Example:
            >>> from hattriq_cirq.datasets import bars_and_stripes
            >>> bars_and_stripes(side=2).to_image([1, 2, 3, 4])
            array([[1, 2],
                   [3, 4]])
        """
        if self.image_shape is None:
            raise ValueError(f"{self.image_shape=}: {self.name} is not made of images; plot its features as a line")
        array = np.asarray(values)
        if array.shape[-1:] != (self.n_features,):
            raise ValueError(f"{array.shape=} must end in features = {self.n_features}")
        rows, cols = self.image_shape
        top, bottom, left, right = self.padding
        return array.reshape(*array.shape[:-1], rows, cols)[..., top : rows - bottom, left : cols - right]

    def _sizes(self) -> str:
        """Return the sizes of the rows in words."""
        shape = "" if self.image_shape is None else " as {}x{} pixels".format(*self.image_shape)
        return f"{self.n_qubits} qubits, {self.n_features} features{shape}"


@dataclass(frozen=True, eq=False, repr=False)
class Inputs(_Samples):
    """Samples without labels as amplitude-encoded states, which can be attributed.

    Args:
        name: Name in tables and plots.
        amplitudes: Rows of norm 1 to 1e-9, (samples, features), as in `Dataset`.
        image_shape: As in `Dataset`.
        padding: As in `Dataset`.
        details: As in `Dataset`.
        preparation: As in `Dataset`.

    Raises:
        ValueError: An argument violates these rules; the message has the value and says what to do.

    Example:
        >>> Inputs("own", [[0.6, 0.8]]).summary()
        'own: 1 sample without labels, 1 qubits, 2 features'
    """

    name: str
    amplitudes: Array
    image_shape: tuple[int, int] | None = None
    padding: Padding = (0, 0, 0, 0)
    details: Mapping[str, object] = field(default_factory=dict)
    preparation: str = ""
    label_names = _NO_NAMES

    def __post_init__(self) -> None:
        self._check_rows()
        super().__post_init__()

    def for_model(self, contract: DataContract | None) -> tuple[Inputs, tuple[str, ...]]:
        """Return the inputs and notes on what could not be compared, as `Dataset.for_model` does.

        Raises:
            ValueError: Inputs and model do not fit; the message names the difference.
        """
        if contract is None:
            return self, ()
        try:
            _, unknown = contract.compare(self.contract)
        except ValueError as error:
            raise ValueError(f"{self.name} does not fit the model: {error}") from error
        unknown = tuple(part for part in unknown if part != "names of classes")  # which inputs without labels do not have
        return self, (
            f"{self.name}: not compared, because only the data or only the model know it: {', '.join(unknown)}.",
        ) * bool(unknown)

    def summary(self) -> str:
        """Return the inputs in one line."""
        return printable(f"{self.name}: {quantity(len(self.amplitudes), 'sample')} without labels, {self._sizes()}")

    def __repr__(self) -> str:
        return f"<Inputs {self.summary()}>"


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(_Samples):
    """Samples of a two-class task as amplitude-encoded states, with one train and test split.

    Args:
        name: Name in tables and plots.
        amplitudes: Rows of norm 1 to 1e-9, (samples, features), float64 or complex128, features = 2**n_qubits.
        labels: Labels -1 and +1, (samples,).
        train: Indices of the training samples, (n_train,), in the order of x_train.
        test: Indices of the test samples, (n_test,), disjoint from train; samples may be in neither.
        label_names: Meaning of -1 and of +1, in this order.
        image_shape: Numbers (rows, cols) of the image that the features make row by row, padding included; None if there is
            none.
        padding: Numbers of padding pixels (top, bottom, left, right) inside image_shape.
        truth: True for the features that decide the label, (features,) or (samples, features); None if they are not known.
        details: Notes that can be written as JSON (NumPy numbers and arrays become plain): source and version, seed, checksums.
        preparation: Changes that were made to the features, in words; empty for none but padding and norm 1.

    Raises:
        ValueError: An argument violates these rules; the message has the value and says what to do.

    Example:
        >>> data = from_features([[1, 2], [2, 1], [1, 3], [3, 1]], [1, -1, 1, -1], name="own")
        >>> data.summary()
        'own: 4 samples (2 train, 2 test), 1 qubits, 2 features, -1 = -1, +1 = +1, chance 0.500'
    """

    name: str
    amplitudes: Array
    labels: IntArray
    train: IntArray
    test: IntArray
    label_names: tuple[str, str] = ("-1", "+1")
    image_shape: tuple[int, int] | None = None
    padding: Padding = (0, 0, 0, 0)
    truth: BoolArray | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    preparation: str = ""

    def __post_init__(self) -> None:
        self._check_rows()
        labels = as_labels(self.labels, "labels")
        if len(labels) != len(self.amplitudes):
            raise ValueError(f"{len(labels)=} must equal len(amplitudes)={len(self.amplitudes)}: one label per row")
        train = _as_indices(self.train, "train", len(labels))
        test = _as_indices(self.test, "test", len(labels))
        both = np.intersect1d(train, test)
        if both.size:
            raise ValueError(f"train and test share samples {both[:10].tolist()}; make them disjoint")
        names = tuple(self.label_names)
        if len(names) != 2 or names[0] == names[1] or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{self.label_names=} must be two different names, for -1 and +1")
        set_fields(self, label_names=names)
        if self.truth is not None:
            truth = np.asarray(self.truth)
            shape = self.amplitudes.shape
            if truth.dtype != np.bool_ or truth.shape not in (shape, shape[1:]):
                raise ValueError(f"{truth.shape=}, {truth.dtype=}: must be bool, {shape[1:]} or {shape}")
            freeze(self, truth=truth)
        freeze(self, labels=labels, train=train, test=test)
        super().__post_init__()

    def for_model(self, contract: DataContract | None) -> tuple[Dataset, tuple[str, ...]]:
        """Return the data as a model takes them that was trained on data of another table or another order of classes.

        Columns are selected by their names; columns that the model does not know are left out. Classes with the same names in
        the other order exchange their labels. What only one of the two sides knows is not compared.

        Args:
            contract: Form of the data that the model was trained on; None if it is not recorded.

        Returns:
            The data, and notes on what was changed or could not be compared, one sentence each.

        Raises:
            ValueError: Data and model do not fit; the message names the difference.

        Example:
            >>> x, y = [[3, 4], [0, 1], [1, 0], [5, 1]], [1, -1, 1, -1]
            >>> data = from_features(x, y, name="own", details={"columns": ["b", "a"]})
            >>> matched, notes = data.for_model(DataContract(columns=("a", "b")))
            >>> matched.amplitudes[0], notes
            (array([0.8, 0.6]), ('own: the columns were brought into the order of the model.',))
        """
        if contract is None:
            return self, (f"{self.name}: the model records nothing about its data, so that names were not compared.",)
        try:
            contract.check_label(self.contract)
            data, notes = self._with_columns(contract)
            swapped, unknown = contract.compare(data.contract)
        except ValueError as error:
            raise ValueError(f"{self.name} does not fit the model: {error}") from error
        if swapped:
            data = replace(data, labels=-data.labels, label_names=data.label_names[::-1])
            notes += (f"{self.name}: the labels were exchanged, because the classes of the model are in the other order.",)
        if unknown:
            notes += (f"{self.name}: not compared, because only the data or only the model know it: {', '.join(unknown)}.",)
        return data, notes

    def _with_columns(self, contract: DataContract) -> tuple[Dataset, tuple[str, ...]]:
        """Return the data with the columns of a contract, in its order, and notes on the difference."""
        columns, wanted = self.columns, contract.columns
        if columns is None or wanted is None or columns == wanted:
            return self, ()
        positions = [*contract.positions(columns), *([len(columns)] if self.details.get("constant") else [])]
        details = {name: value for name, value in self.details.items() if name not in _FEATURE_COUNTS}
        data = from_features(
            self.amplitudes[:, positions],
            self.labels,
            name=self.name,
            label_names=self.label_names,
            split=(self.train, self.test),
            truth=None if self.truth is None else self.truth[..., positions],
            details=details | {"columns": list(wanted)},
            preparation=self.preparation,
        )
        others = [name for name in columns if name not in wanted]
        in_order = [name for name in columns if name in wanted] == list(wanted)
        changes = [f"the columns {', '.join(map(repr, others))} were left out"] if others else []
        changes += [] if in_order else ["the columns were brought into the order of the model"]
        return data, (f"{self.name}: {'; '.join(changes)}.",)

    @property
    def x_train(self) -> Array:
        """Training amplitudes, (n_train, features)."""
        return take_rows(self.amplitudes, self.train)

    @property
    def y_train(self) -> IntArray:
        """Training labels, (n_train,)."""
        return read_only(self.labels[self.train])

    @property
    def x_test(self) -> Array:
        """Test amplitudes, (n_test, features)."""
        return take_rows(self.amplitudes, self.test)

    @property
    def y_test(self) -> IntArray:
        """Test labels, (n_test,)."""
        return read_only(self.labels[self.test])

    @property
    def chance(self) -> float:
        """Test accuracy of always predicting the most frequent training label (+1 in a tie), 0 to 1."""
        commonest = 1 if self.y_train.sum() >= 0 else -1
        return float(np.mean(self.y_test == commonest))

    def summary(self) -> str:
        """Return the data set in one line: sizes, meaning of the labels, chance."""
        return printable(
            f"{self.name}: {len(self.labels)} samples ({self.train.size} train, {self.test.size} test), {self._sizes()}, "
            f"-1 = {self.label_names[0]}, +1 = {self.label_names[1]}, chance {self.chance:.3f}"
        )

    def __repr__(self) -> str:
        return f"<Dataset {self.summary()}>"


@with_numpy_defaults
def from_features(  # noqa: PLR0913
    x: ArrayLike,
    y: ArrayLike,
    *,
    name: str,
    label_names: tuple[str, str] = ("-1", "+1"),
    test_fraction: float = 0.3,
    seed: int = 0,
    split: tuple[ArrayLike, ArrayLike] | None = None,
    image_shape: tuple[int, int] | None = None,
    padding: Padding = (0, 0, 0, 0),
    truth: ArrayLike | None = None,
    details: Mapping[str, object] | None = None,
    preparation: str = "",
) -> Dataset:
    """Return a data set of raw rows, which are padded with trailing zeros to a power of 2, normalised and split.

    Args:
        x: Real or complex rows of any norm but 0, (samples, features), with any number of features; a table that has column
            names, such as that of pandas, keeps them.
        y: Labels -1 and +1, both present, (samples,).
        name: Name in tables and plots.
        label_names: Meaning of -1 and of +1.
        test_fraction: Share of each class in the test set, between 0 and 1.
        seed: Random seed of the stratified split.
        split: Indices (train, test) to use instead; test_fraction and seed are then ignored.
        image_shape: As in `Dataset`, for the padded features.
        padding: As in `Dataset`.
        truth: True for the deciding features, padded like x.
        details: Notes to keep; the number of padded features and the names of the columns of a table are added.
        preparation: Changes that were made to the features, in words, as in `Dataset`.

    Returns:
        The data set.

    Raises:
        ValueError: Rows are all zeros (the message has their indices) or not finite, labels are wrong or of one class only, or
            lengths differ.

    Example:
        >>> from_features([[3, 4, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]], [1, -1, 1, -1], name="own").amplitudes[0]
        array([0.6, 0.8, 0. , 0. ])
    """
    test_fraction, seed = as_number(test_fraction, "test_fraction", above=0, below=1), as_seed(seed)
    rows, labels = _as_rows(x), as_labels(y)
    if len(rows) != len(labels):
        raise ValueError(f"{len(rows)=} must equal {len(labels)=}: one label per row")
    if abs(int(labels.sum())) == len(labels):
        raise ValueError(f"y holds only the label {labels[0]:+d}: a two-class task needs -1 and +1")
    amplitudes = _unit_rows(rows)
    given, extra = rows.shape[1], amplitudes.shape[1] - rows.shape[1]
    if truth is not None:
        mask = np.asarray(truth, dtype=np.bool_)
        truth = np.pad(mask, [(0, 0)] * (mask.ndim - 1) + [(0, extra)])
    notes: dict[str, object] = {} if (columns := column_names(x)) is None else {"columns": list(columns)}
    if split is None:
        notes |= {"test_fraction": test_fraction, "split_seed": seed}
        split = stratified_split(labels, test_fraction, seed=seed)
    if extra:
        notes |= {"features_given": given, "trailing_zero_features": extra}
    return Dataset(
        name,
        amplitudes,
        labels,
        np.asarray(split[0]),
        np.asarray(split[1]),
        label_names,
        image_shape,
        padding,
        truth,
        notes | dict(details or {}),
        preparation,
    )


@with_numpy_defaults
def from_images(images: ArrayLike, y: ArrayLike, *, padding: Padding = (0, 0, 0, 0), **options: Any) -> Dataset:
    """Return a data set of images, with one feature per pixel, row by row.

    Args:
        images: Pixels, (samples, rows, cols).
        y: Labels -1 and +1, (samples,).
        padding: Numbers of zero pixels (top, bottom, left, right) to add; rows * cols must then be a power of 2.
        **options: Other arguments of `from_features`.

    Returns:
        The data set.

    Raises:
        ValueError: The array has no images, the number of padded pixels is not a power of 2, or as in `from_features`.

    Example:
        >>> images = np.arange(1, 17).reshape(4, 2, 2)
        >>> from_images(images, [1, -1, 1, -1], name="own").image_shape
        (2, 2)
    """
    pixels = np.asarray(images)
    if pixels.ndim != 3:
        raise ValueError(f"{pixels.shape=} must be (samples, rows, cols)")
    padded = np.pad(pixels, ((0, 0), padding[:2], padding[2:]))
    return from_features(padded.reshape(len(padded), -1), y, image_shape=padded.shape[1:], padding=padding, **options)


@with_numpy_defaults
def unlabelled(
    x: ArrayLike,
    *,
    name: str,
    image_shape: tuple[int, int] | None = None,
    padding: Padding = (0, 0, 0, 0),
    details: Mapping[str, object] | None = None,
    preparation: str = "",
) -> Inputs:
    """Return raw rows without labels as inputs, padded and normalised as `from_features` does.

    Args:
        x: Real or complex rows of any norm but 0, (samples, features).
        name: Name in tables and plots.
        image_shape: As in `Dataset`, for the padded features.
        padding: As in `Dataset`.
        details: Notes to keep; the number of padded features is added.
        preparation: Changes that were made to the features, in words, as in `Dataset`.

    Returns:
        The inputs.

    Raises:
        ValueError: Rows are all zeros (the message has their indices) or not finite.

    Example:
        >>> unlabelled([[3, 4, 0]], name="own").amplitudes
        array([[0.6, 0.8, 0. , 0. ]])
    """
    rows = _as_rows(x)
    amplitudes = _unit_rows(rows)
    extra = amplitudes.shape[1] - rows.shape[1]
    notes = {"features_given": rows.shape[1], "trailing_zero_features": extra} if extra else {}
    return Inputs(name, amplitudes, image_shape, padding, notes | dict(details or {}), preparation)


def _as_rows(x: ArrayLike) -> Array:
    """Return rows as an array, (samples, features); those of a file, `numpy.memmap`, are checked when they are read."""
    rows = x if isinstance(x, np.memmap) else as_amplitudes(x, "x")
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"{rows.shape=} must be (samples, features), with at least one of each")
    return rows


def _unit_rows(rows: Array) -> Array:
    """Return rows padded with trailing zeros to a power of 2, with norm 1, read-only; those of a file are on disk."""
    extra = max(2, 1 << (rows.shape[1] - 1).bit_length()) - rows.shape[1]

    def of_part(part: slice) -> dict[str, Array]:
        own = as_amplitudes(rows[part], "x", first_row=part.start)
        own = times_power_of_2(own, -binary_exponents(own))
        scale = np.abs(own).max(axis=1, keepdims=True)
        own = np.pad(own / np.where(scale > 0, scale, 1), ((0, 0), (0, extra)))
        norm = np.linalg.norm(own, axis=1, keepdims=True)
        return {"rows": own / np.where(scale > 0, norm, 1), "is_zero": scale[:, 0] == 0}

    found = in_parts(of_part, rows, phase="prepare inputs")
    if zero_rows := np.flatnonzero(found["is_zero"]).tolist():
        shown = f"{zero_rows[:10]}" + (f" and {len(zero_rows) - 10} more" if len(zero_rows) > 10 else "")
        raise ValueError(f"rows {shown} of x are all zeros and cannot be amplitude-encoded; remove them")
    make_read_only(found["rows"])
    return found["rows"]


def _as_indices(values: ArrayLike, name: str, samples: int) -> IntArray:
    """Return one part of the split as distinct integers in 0..samples-1, at least one, or raise ValueError."""
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be (n,) integer indices, not empty; got {array.shape=}, {array.dtype=}")
    if array.min() < 0 or array.max() >= samples:
        raise ValueError(f"{name} ranges over {array.min()}..{array.max()} and must lie in 0..{samples - 1}")
    if np.unique(array).size != array.size:
        raise ValueError(f"{name} contains a sample twice; keep each index once")
    return array.astype(np.int64)


def _check_padding(image_shape: tuple[int, int] | None, padding: Padding) -> None:
    """Raise ValueError unless the padding leaves at least one pixel of the image."""
    if len(padding) != 4 or min(padding) < 0:
        raise ValueError(f"{padding=} must be (top, bottom, left, right) pixels, none negative")
    if image_shape is None:
        if any(padding):
            raise ValueError(f"{padding=} needs an image_shape to lie in; give one or leave out the padding")
        return
    if padding[0] + padding[1] >= image_shape[0] or padding[2] + padding[3] >= image_shape[1]:
        raise ValueError(f"{padding=} must leave at least one pixel of {image_shape=}")
