"""The file of a fitted `AmplitudeClassifier`: JSON, read through the schema layer."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hattriq_cirq.foundation.arrays import Array, FloatArray, plain
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.reading import FileError, problem_of
from hattriq_cirq.foundation.schema import UPDATE, read_json
from hattriq_cirq.models.model import Model
from hattriq_cirq.models.training import History
from hattriq_cirq.workflows.row_encoding import RowEncoding

_FORMAT = "hattriq_cirq.AmplitudeClassifier/1"
_HISTORY = ("loss", "accuracy", "validation_loss", "validation_accuracy")
_CLASSES_MAX = 1000
_LABELS = {str, int, float, bool}


@dataclass(frozen=True)
class _Encoding:
    shift: tuple[float, ...]
    factor: tuple[float, ...]
    constant: float
    n_qubits: int


@dataclass(frozen=True)
class _File:
    format: Literal["hattriq_cirq.AmplitudeClassifier/1"]
    parameters: dict[str, Any]
    classes: list[Any]
    class_weights: list[list[Any]]
    contract: dict[str, Any]
    encoding: _Encoding
    mean_row: tuple[float, ...]
    history: tuple[tuple[float | None, ...], ...]
    comparison: dict[str, float]
    circuit: dict[str, Any]
    observables: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, eq=False)
class ClassifierRecord:
    """Record of a fitted classifier.

    Args:
        parameters: Parameters of the classifier.
        classes: Labels, sorted, (classes,).
        model: Trained circuit with the data contract.
        observables: Labels of the observables that are measured.
        weights: Their weights in the scores, (classes, observables), or (1, observables) for two classes.
        encoding: Encoding of rows.
        mean_row: Mean encoded training row.
        history: History of the training.
        comparison: Accuracies of this classifier and of logistic regression.
    """

    parameters: Mapping[str, Any]
    classes: Array
    model: Model
    observables: tuple[str, ...]
    weights: FloatArray
    encoding: RowEncoding
    mean_row: FloatArray
    history: History
    comparison: Mapping[str, float]

    @property
    def contract(self) -> DataContract:
        """Names of columns and classes."""
        assert self.model.contract is not None
        return self.model.contract

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the record to a new file; a function as ansatz is left out."""
        weights = self.parameters["class_weight"]
        left_out = {"ansatz": callable(self.parameters["ansatz"]), "class_weight": isinstance(weights, Mapping)}
        content = {
            "format": _FORMAT,
            "parameters": {name: None if left_out.get(name) else value for name, value in self.parameters.items()},
            "classes": self.classes,
            "class_weights": [list(pair) for pair in weights.items()] if isinstance(weights, Mapping) else [],
            "contract": self.contract.to_record(),
            "encoding": {name: getattr(self.encoding, name) for name in _Encoding.__dataclass_fields__},
            "mean_row": self.mean_row,
            "history": [[None if np.isnan(each) else each for each in getattr(self.history, name)] for name in _HISTORY],
            "comparison": self.comparison,
            "circuit": json.loads(self.model.with_contract(None).to_json()),
            "observables": self.observables,
            "weights": self.weights,
        }
        return write_new(path, json.dumps(content, default=plain, allow_nan=False))

    @classmethod
    def load(cls, path: str | os.PathLike[str], names: set[str]) -> ClassifierRecord:
        """Read a record.

        Args:
            path: Path of the file.
            names: Names of the parameters that this version knows.

        Raises:
            FileError: The file is damaged or of another kind; the message has the entry.
        """
        file = read_json(path, _File)
        try:
            return _record(file, names)
        except (ValueError, TypeError) as error:
            raise FileError(path, problem_of(error)) from error


def _record(file: _File, names: set[str]) -> ClassifierRecord:
    if unknown := sorted(file.parameters.keys() - names):
        raise ValueError(f"its parameters {', '.join(unknown)} are ones that this version does not know; {UPDATE}")
    parameters = dict(file.parameters)
    if file.class_weights:
        parameters["class_weight"] = dict(map(_pair, file.class_weights))
    contract = DataContract.from_record(file.contract)
    classes = _classes(file.classes)
    if contract.classes != tuple(map(str, file.classes)):
        raise ValueError(f"the classes of its contract, {contract.classes}, are not its classes, {tuple(file.classes)}")
    e = file.encoding
    encoding = RowEncoding(np.array(e.shift, float), np.array(e.factor, float), e.constant, e.n_qubits)
    if contract.features != len(encoding.shift) or bool(contract.constant) != bool(encoding.constant):
        raise ValueError(f"its contract has {contract.features} features, its encoding {len(encoding.shift)}")
    model = Model.from_json(json.dumps(file.circuit)).with_contract(contract)
    if model.n_qubits != encoding.n_qubits or not model.is_unitary or model.environment:
        raise ValueError(f"its circuit has {model.n_qubits} data qubits, its encoding {encoding.n_qubits}")
    rows = [[np.nan if each is None else each for each in row] for row in file.history]
    scores = 1 if len(classes) == 2 else len(classes)
    return ClassifierRecord(
        parameters=parameters,
        classes=classes,
        model=model,
        observables=file.observables,
        weights=_array(file.weights, (scores, len(file.observables)), "weights"),
        encoding=encoding,
        mean_row=_array(file.mean_row, (model.n_features,), "mean_row"),
        history=History(*_array(rows, (len(_HISTORY), len(rows[0]) if rows else 0), "history")),
        comparison=dict(file.comparison),
    )


def _pair(value: list[Any]) -> tuple[Any, float]:
    if [type(each) in kinds for each, kinds in zip(value, (_LABELS, {int, float}), strict=False)] != [True, True]:
        raise ValueError(f"class_weights has {value!r}, must be pairs of a class and its weight")
    return value[0], float(value[1])


def _classes(values: list[Any]) -> Any:
    """Return the classes as an array of their own type, sorted as the classes of a fitted classifier are."""
    kinds = {type(value) for value in values}
    if len(kinds) != 1 or not kinds <= _LABELS or not 2 <= len(values) <= _CLASSES_MAX:
        raise ValueError(f"its {len(values)} classes must be at least 2 of one type: texts, numbers, or true and false")
    classes = np.array(values)
    if not np.array_equal(np.unique(classes), classes):
        raise ValueError("its classes must be sorted and different")
    return classes


def _array(values: Any, shape: tuple[int, ...], name: str) -> FloatArray:
    if (not len(shape) == 1 and any(len(row) != shape[1] for row in values)) or len(values) != shape[0]:
        raise ValueError(f"{name} must have the shape {shape}")
    return np.array(values, dtype=float).reshape(shape)
