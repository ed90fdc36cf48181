"""The file of a fitted `AmplitudeClassifier`: JSON, read through the schema layer."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from hattriq_cirq.foundation.arrays import FloatArray, plain
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.reading import FileError, problem_of
from hattriq_cirq.foundation.schema import UPDATE, read_json
from hattriq_cirq.models.model import Model
from hattriq_cirq.models.training import History
from hattriq_cirq.workflows.row_encoding import RowEncoding

if TYPE_CHECKING:
    from hattriq_cirq.workflows.classifier import AmplitudeClassifier

    _Classifier = TypeVar("_Classifier", bound=AmplitudeClassifier)

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


def save(classifier: AmplitudeClassifier, path: str | os.PathLike[str]) -> Path:
    """Write a fitted classifier to a new file."""
    parameters = classifier.get_params()
    weights = parameters["class_weight"]
    if callable(parameters["ansatz"]):
        parameters["ansatz"] = None
    if isinstance(weights, dict):
        parameters["class_weight"] = None
    model, encoding, history = classifier.measured_[0], classifier.encoding_, classifier.history_
    assert model.contract is not None
    content = {
        "format": _FORMAT,
        "parameters": parameters,
        "classes": classifier.classes_,
        "class_weights": [list(pair) for pair in weights.items()] if isinstance(weights, dict) else [],
        "contract": model.contract.to_record(),
        "encoding": {name: getattr(encoding, name) for name in _Encoding.__dataclass_fields__},
        "mean_row": classifier.mean_row_,
        "history": [[None if np.isnan(each) else float(each) for each in getattr(history, name)] for name in _HISTORY],
        "comparison": classifier.comparison_,
        "circuit": json.loads(model.with_contract(None).to_json()),
        "observables": classifier._strings(),
        "weights": classifier.weights_,
    }
    return write_new(path, json.dumps(content, default=plain, allow_nan=False))


def load(kind: type[_Classifier], path: str | os.PathLike[str]) -> _Classifier:
    """Read a fitted classifier.

    Raises:
        FileError: The file is damaged or of another kind; the message has the entry.
    """
    file = read_json(path, _File)
    try:
        return _restored(kind, file)
    except (ValueError, TypeError) as error:
        raise FileError(path, problem_of(error)) from error


def _restored(kind: type[_Classifier], file: _File) -> _Classifier:
    if unknown := sorted(file.parameters.keys() - kind().get_params().keys()):
        raise ValueError(f"its parameters {', '.join(unknown)} are ones that this version does not know; {UPDATE}")
    classifier = kind(**file.parameters)
    if file.class_weights:
        classifier.class_weight = dict(_pair(each) for each in file.class_weights)
    contract = DataContract.from_record(file.contract)
    classes = _classes(file.classes)
    if contract.classes != tuple(map(str, file.classes)):
        raise ValueError(f"the classes of its contract, {contract.classes}, are not its classes, {tuple(file.classes)}")
    e = file.encoding
    encoding = RowEncoding(np.array(e.shift, float), np.array(e.factor, float), e.constant, e.n_qubits)
    if contract.features != len(encoding.shift) or bool(contract.constant) != bool(encoding.constant):
        raise ValueError(f"its contract has {contract.features} features, its encoding {len(encoding.shift)}")
    model = Model.from_json(json.dumps(file.circuit))
    if model.n_qubits != encoding.n_qubits or not model.is_unitary or model.environment:
        raise ValueError(f"its circuit has {model.n_qubits} data qubits, its encoding {encoding.n_qubits}")
    classifier.n_features_in_ = len(encoding.shift)
    if contract.columns is not None:
        classifier.feature_names_in_ = np.array(contract.columns, dtype=object)
    classifier.classes_, classifier.encoding_ = classes, encoding
    classifier.mean_row_ = _array(file.mean_row, (model.n_features,), "mean_row")
    rows = [[np.nan if each is None else each for each in row] for row in file.history]
    classifier.history_ = History(*_array(rows, (len(_HISTORY), len(rows[0]) if rows else 0), "history"))
    classifier.comparison_ = dict(file.comparison)
    scores = 1 if len(classes) == 2 else len(classes)
    weights = _array(file.weights, (scores, len(file.observables)), "weights")
    classifier._set_models(model, file.observables, weights)
    return classifier


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
