"""An answer from a table: rows with labels are read, split and encoded, a classifier is trained on them and compared."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.datasets.columns import as_text
from hattriq_cirq.datasets.frame import LABEL_ARRAYS, open_table
from hattriq_cirq.datasets.split import stratified_split
from hattriq_cirq.datasets.table_encoder import TableEncoder, TableWarning
from hattriq_cirq.foundation.arrays import Array, FloatArray, IntArray
from hattriq_cirq.foundation.checks import shown
from hattriq_cirq.foundation.contract import DataContract, same_name
from hattriq_cirq.foundation.text import decimal, listed, quantity
from hattriq_cirq.models.model import Model
from hattriq_cirq.workflows.accuracies import Accuracy, expected_training_time
from hattriq_cirq.workflows.classical import logistic_regression_of_classes
from hattriq_cirq.workflows.classifier import AmplitudeClassifier, readout_qubits
from hattriq_cirq.workflows.row_encoding import qubits_of_row

if TYPE_CHECKING:
    import pandas as pd

_TEST_FRACTION = 0.3
_LISTED = 6  # names in a sentence
_CLASSES_MAX = 50  # different values of a column of labels
_LABEL_NAME = re.compile(
    r"(?i:label|labels|target|targets|class|classes|y|outcome|diagnosis|species|category|survived|response|result)"
)


@dataclass(frozen=True, eq=False)
class LabelledTable:
    r"""Table of the user with its labels.

    Args:
        name: Name of the file.
        features: Columns without the labels.
        labels: Label of each row as text, (rows,); None if the table has none.
        label_column: Name of the column of labels; None if there is none.
        rows: Number of each row in the file, from 0; rows without a label are left out of a training.
        notes: Sentences on how the labels were found.

    Example:
        >>> _ = Path("own.csv").write_text("length,color\n1,blue\n2,red\n3,blue\n4,red\n")
        >>> table = LabelledTable.read("own.csv")
        >>> table.label_column, list(table.features.columns), table.labels.tolist()
        ('color', ['length'], ['blue', 'red', 'blue', 'red'])
    """

    name: str
    features: pd.DataFrame
    labels: Array | None
    label_column: str | None
    rows: IntArray
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: str | Path, label_column: str | None = None) -> LabelledTable:
        """Read a table to train on.

        Args:
            path: Any file that `datasets.read_frame` reads.
            label_column: Name of the column of labels; None looks for it.

        Raises:
            FileNotFoundError: The file does not exist.
            ValueError: The file is no table, or has no column of two or more classes.
        """
        opened = open_table(path)
        frame = opened.frame(None, {}, opened.names)
        name, reason = _label_column(frame, opened.path, label_column)
        is_known = frame[name].notna().to_numpy()
        labels = np.array([as_text(value) for value in frame[name][is_known]], dtype=str)
        counts = _counts(labels)
        if problem := _no_classes(counts, len(labels)):
            raise ValueError(f"{opened.path}: {problem}; choose the column of labels with --label: {listed(frame.columns)}")
        each = ", ".join(f"{label!r} {count}" for label, count in [*counts.items()][:_LISTED])
        more = f" and {len(counts) - _LISTED} more" if len(counts) > _LISTED else ""
        notes = [f"labels: column {name!r}{reason}: {quantity(len(counts), 'class', 'classes')}, {each}{more}"]
        if missing := int(np.sum(~is_known)):
            notes.append(f"{quantity(missing, 'row')} without a label {'is' if missing == 1 else 'are'} left out")
        features = frame.loc[is_known, [column for column in frame.columns if column != name]].reset_index(drop=True)
        features.attrs.update(frame.attrs)
        return cls(opened.path.name, features, labels, name, np.flatnonzero(is_known), tuple(notes))

    @classmethod
    def read_new(cls, path: str | Path, encoder: TableEncoder, label_column: str) -> LabelledTable:
        """Read rows for a classifier that is trained: its columns are found by their names, and labels may be missing.

        Args:
            path: Any file that `datasets.read_frame` reads.
            encoder: Encoder of the training.
            label_column: Column of the labels in the training.
        """
        opened = open_table(path)
        kinds, has_labels = encoder.kinds_, label_column in opened.names
        wanted = [name for name in opened.names if name in kinds]
        frame = opened.frame(None, kinds, wanted)
        labels = None
        if has_labels:
            column = opened.frame(None, {}, [label_column])[label_column]
            labels = np.array(["" if value is None or value != value else as_text(value) for value in column], dtype=str)
        return cls(opened.path.name, frame, labels, label_column if has_labels else None, np.arange(len(frame)))

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in their order."""
        return [*_counts(self.labels)]

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Numbers (rows, cols) of the images, if the rows are images."""
        shape = self.features.attrs.get("image_shape")
        return None if shape is None else (int(shape[0]), int(shape[1]))

    def __len__(self) -> int:
        return len(self.features)

    def __str__(self) -> str:
        """Return the size of the table."""
        columns = len(self.features.columns)
        what = f"images of {'x'.join(map(str, self.image_shape))} pixels" if self.image_shape else quantity(columns, "column")
        return f"{self.name}: {quantity(len(self), 'row')}, {what}"


@dataclass(frozen=True, eq=False)
class TableClassifier:
    """Classifier of the rows of a table, with the encoder that makes numbers of them and the split that it was tested on.

    Args:
        encoder: Fitted encoder of tables.
        classifier: Fitted classifier.
        train: Rows of the training, by their numbers in the table without unlabelled rows.
        test: Rows of the test.
        label_column: Name of the column of labels.
        image_shape: Numbers (rows, cols) of the images, if rows are images.
    """

    encoder: TableEncoder
    classifier: AmplitudeClassifier
    train: IntArray
    test: IntArray
    label_column: str
    image_shape: tuple[int, int] | None = None

    def encoded(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return columns of numbers."""
        return self.encoder.transform(features)

    @property
    def contract(self) -> DataContract:
        """Names of features and classes, units, and how the table becomes numbers."""
        own = self.classifier.measured_[0].contract or DataContract()
        if self.image_shape is not None and own.features == self.image_shape[0] * self.image_shape[1]:
            own = replace(own, columns=None, image_shape=self.image_shape)
        units = self.encoder.units_ if own.columns is not None and any(self.encoder.units_) else None
        return replace(own, label_column=self.label_column, encoder=self.encoder.to_record(), units=units)

    def class_of(self, name: str) -> Any:
        """Return the class that a text names.

        Raises:
            ValueError: There is no such class.
        """
        found = [label for label in self.classifier.classes_.tolist() if str(label) == name]
        if not found:
            raise ValueError(f"--target {name!r} is no class; the classes are {listed(self.classifier.classes_)}")
        return found[0]

    def attribute(self, features: pd.DataFrame, *, baseline: str = "mean", target: str | None = None) -> Attribution:
        """Return the attribution of the predicted class of each row, or of a chosen one, to the encoded columns.

        Args:
            features: Rows of a table.
            baseline: `mean` or `zero`, as in `AmplitudeClassifier.attribute`.
            target: Name of the class; None for the predicted one.
        """
        chosen = None if target is None else self.class_of(target)
        a = self.classifier.attribute(self.encoded(features), baseline=baseline, target=chosen)
        return replace(a, contract=self.contract)

    @property
    def scores(self) -> tuple[Model, ...]:
        """Models of one circuit whose observables are the scores of the classes."""
        own = self.classifier.models_
        return own if len(own) > 1 else (own[0].with_observable(-own[0].pauli_sum), own[0])

    def spreads(self) -> FloatArray:
        """Change of each column for a change of 1 of its amplitude, (features,); NaN for a constant column and for padding."""
        factor = self.classifier.encoding_.factor
        spreads = np.full(2**self.classifier.encoding_.n_qubits, np.nan)
        np.divide(1.0, factor, out=spreads[: len(factor)], where=factor != 0)
        return spreads

    def tested(self, table: LabelledTable) -> tuple[Array, IntArray, IntArray]:
        """Return the amplitudes of the test rows, the index of the class of each, and their numbers in the file."""
        x, y = self.encoded(table.features.iloc[self.test]), as_classes(table.labels)[self.test]
        index = {label: k for k, label in enumerate(self.classifier.classes_.tolist())}
        labels = np.array([index[label] for label in y.tolist()], dtype=np.int64)
        return self.classifier.encoding_.amplitudes(x.to_numpy(dtype=float)), labels, table.rows[self.test]


@dataclass(frozen=True, eq=False)
class PreparedTable:
    """Table that is split and encoded, ready for the training of its classifier.

    Args:
        table: Table with labels.
        encoder: Encoder, fitted to the training rows.
        train: Training rows.
        test: Test rows.
        x: Encoded columns of all rows.
        classifier: Classifier before it is fitted.
    """

    table: LabelledTable
    encoder: TableEncoder
    train: IntArray
    test: IntArray
    x: pd.DataFrame
    classifier: AmplitudeClassifier = field(default_factory=AmplitudeClassifier)

    @classmethod
    def of(cls, table: LabelledTable, classifier: AmplitudeClassifier, *, seed: int = 0) -> PreparedTable:
        """Split a table at random into rows to train on and rows to test on, three tenths of each class, and encode it.

        Args:
            table: Table with labels.
            classifier: Classifier to be fitted.
            seed: Random seed of the split.
        """
        try:
            train, test = stratified_split(table.labels if table.labels is not None else (), _TEST_FRACTION, seed=seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TableWarning)  # the notes of the encoder say the same
                encoder = TableEncoder().fit(table.features.iloc[np.sort(train)])
            return cls(table, encoder, train, test, encoder.transform(table.features), classifier)
        except ValueError as error:
            raise ValueError(f"{table.name}: {error}") from error

    @property
    def notes(self) -> list[str]:
        """Sentences on what the encoder does."""
        others = self.table.features.iloc[self.test][list(self.encoder.kinds_)]
        missing = int(others.isna().to_numpy().sum())
        filled = (
            f"{quantity(missing, 'missing value')} of the test rows {'is' if missing == 1 else 'are'} filled as in the training"
        )
        return [*self.encoder.notes_, *([filled] if missing else [])]

    def plan(self) -> str:
        """Return what the training does and how long it takes on an idle core, in one line."""
        columns, samples = self.x.shape[1], len(self.train)
        qubits = qubits_of_row(
            columns, constant=self.classifier.constant, least=readout_qubits(len(_counts(self.table.labels)))
        )
        time = expected_training_time(samples, qubits, self.classifier.layers_for(qubits), self.classifier.epochs_for(samples))
        return (
            f"training on {samples} rows, {len(self.test)} are kept for the test: {quantity(columns, 'feature')} "
            f"and a constant in {quantity(qubits, 'qubit')}; {time}"
        )

    def fit(self) -> TableClassifier:
        """Train the classifier."""
        y = as_classes(self.table.labels)
        fitted = self.classifier.fit(self.x.iloc[self.train], y[self.train])
        return self.with_classifier(fitted)

    def with_classifier(self, fitted: AmplitudeClassifier) -> TableClassifier:
        """Return a classifier that was fitted to the training rows before, with encoder and split."""
        column = self.table.label_column
        assert column is not None  # as there are labels
        return TableClassifier(self.encoder, fitted, self.train, self.test, column, self.table.image_shape)

    def accuracies(self, fitted: AmplitudeClassifier) -> tuple[Accuracy, ...]:
        """Return the accuracy on the split, beside logistic regression on the same columns and rows, and chance."""
        y = as_classes(self.table.labels)
        sides = [(self.x.iloc[side], y[side]) for side in (self.train, self.test)]
        own = [float(fitted.score(*side)) for side in sides]
        regression = logistic_regression_of_classes(*sides[0])
        other = [float(regression.score(*side)) for side in sides]
        values, counts = np.unique(y[self.train], return_counts=True)
        chance = float(np.mean(y[self.test] == values[np.argmax(counts)]))
        return (
            Accuracy("this model", own[0], own[1]),
            Accuracy("logistic regression", other[0], other[1]),
            Accuracy("chance", None, chance),
        )


def select_rows(text: str, rows: IntArray, train: IntArray | None, test: IntArray | None) -> IntArray:
    """Return the rows that a text selects, by their places in a table.

    Args:
        text: One side of the split or all rows (`test`, `train`, `all`), a slice of these (`test:0:8`), or row numbers of the
            file, from 0 (`3,17`).
        rows: Number in the file of each row of the table.
        train: Places of the training rows; None if there is no split.
        test: Places of the test rows; None if there is no split.

    Raises:
        ValueError: Nothing is selected, or a row is not there.

    Example:
        >>> select_rows("7,5", np.array([5, 6, 7]), None, None)
        array([2, 0])
    """
    side, _, part = text.partition(":")
    sides = {"all": np.arange(len(rows)), "train": train, "test": test}
    if side not in sides:
        place = {int(number): k for k, number in enumerate(rows)}
        wanted = [int(number) for number in text.split(",")]
        if missing := [number for number in wanted if number not in place]:
            raise ValueError(
                f"row {missing[0]} is not there: the rows are 0 to {int(rows[-1])}; rows without a label are left out"
            )
        return np.array([place[number] for number in wanted])
    chosen = sides[side]
    if chosen is None:
        raise ValueError(f"inputs {text!r}: new rows are not split into {side} and others; use all, all:0:8 or row numbers")
    begin, _, end = part.partition(":")
    found = chosen[int(begin or 0) : int(end) if end else None]
    if not len(found):
        raise ValueError(f"inputs {text!r} select none of the {quantity(len(chosen), 'row')}")
    return np.asarray(found)


def as_classes(labels: Array | None) -> Array:
    """Return labels in the order in which people count them: as whole numbers where all of them are, else as texts.

    Example:
        >>> as_classes(np.array(["10", "9"])), as_classes(np.array(["no", "9"]))
        (array([10,  9]), array(['no', '9'], dtype='<U2'))
    """
    assert labels is not None  # as tables to train on have them
    numbers = [decimal(text) for text in labels]
    if all(number is not None and number == int(number) and abs(number) < 2**53 for number in numbers):
        return np.array(numbers, dtype=np.float64).astype(np.int64)
    return np.array(labels, dtype=str)


def _label_column(frame: pd.DataFrame, path: Path, chosen: str | None) -> tuple[str, str]:
    """Return the column of labels, and how it was found, in words."""
    names = [str(name) for name in frame.columns]
    if chosen is not None:
        if same_name(chosen) not in names:
            raise ValueError(f"{path} has no column {chosen!r}; its columns are {listed(names)}")
        return same_name(chosen), ""
    if path.suffix.lower() == ".npz":
        if names[-1] not in LABEL_ARRAYS:
            raise ValueError(f"{path} holds no labels: numpy.savez(path, X=x, y=labels) writes them beside the rows")
        return names[-1], ""
    counts = {name: _counts([as_text(value) for value in frame[name].dropna()]) for name in names}
    possible = [name for name in names if not _no_classes(counts[name], int(frame[name].notna().sum()))]
    named = [name for name in possible if _LABEL_NAME.fullmatch(name.strip())]
    if len(named) == 1:
        return named[0], " (by its name; --label chooses another)"
    if named:
        raise ValueError(f"{path}: the columns {listed(named)} may all be labels; choose one with --label")
    texts = [name for name in possible if frame[name].dtype.kind in "Ob"]
    if names[-1] in possible:
        return names[-1], " (the last one; --label chooses another)"
    if len(texts) == 1:
        return texts[0], " (the only column of a few texts; --label chooses another)"
    raise ValueError(f"{path}: no column is plainly that of the labels; choose one with --label: {listed(names)}")


def _no_classes(counts: Mapping[str, int], rows: int) -> str:
    """Return why values are no labels of classes; empty if they are."""
    if len(counts) < 2:
        return f"its labels are all {shown(next(iter(counts)))}, one class" if counts else "its labels are all missing"
    if len(counts) > _CLASSES_MAX or 2 * len(counts) > rows:
        return f"its labels have {len(counts)} different values in {rows} rows, measurements or names and no classes"
    if rare := [label for label, count in counts.items() if count < 2]:
        return f"the label {rare[0]!r} occurs once, and every class needs a row to train on and one to test on"
    return ""


def _counts(labels: Sequence[str] | Array | None) -> dict[str, int]:
    """Return the number of rows of each label, in the order of the classes."""
    texts, counts = np.unique(np.array([] if labels is None else labels, dtype=str), return_counts=True)
    if not len(texts):
        return {}
    return {str(texts[k]): int(counts[k]) for k in np.argsort(as_classes(texts), kind="stable")}


def accuracy_records(rows: Sequence[Accuracy]) -> list[dict[str, Any]]:
    """Return accuracies as JSON."""
    return [asdict(row) for row in rows]
