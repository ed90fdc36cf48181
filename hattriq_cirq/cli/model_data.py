"""Saved models and the data that they meet: the form of the data is compared with that of the data of the training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import hattriq_cirq as hq
from hattriq_cirq.cli.tables import data_contract
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.reporting.records import Record, read_record
from hattriq_cirq.workflows.values import find_model, select_inputs

_DOMINANT = 0.5  # share of the squared norm from which one column outweighs all others


def load_form(path: str | os.PathLike[str]) -> tuple[Path, hq.Model | hq.LearnedModel]:
    """Return the file of a model, or of a learned one, that a path is or holds, and the model.

    Raises:
        FileNotFoundError: There is no model.
        ValueError: A file is damaged.
    """
    file = find_model(path)
    return (file, hq.LearnedModel.load(file)) if file.suffix.lower() == ".npz" else load_model(file)


def load_form_for(path: str | os.PathLike[str], estimator: str, results: str) -> tuple[Path, hq.Model | hq.LearnedModel]:
    """Return the same as `load_form`, for results by an estimator.

    Args:
        path: Path of a model or its folder.
        estimator: Estimator as text.
        results: Results in a word, for the message.

    Raises:
        ValueError: The model was learned, and the estimator runs circuits.
    """
    file, model = load_form(path)
    if isinstance(model, hq.LearnedModel) and estimator != "exact":
        raise ValueError(
            f"--estimator {estimator!r} runs circuits, and {file} was learned: its {results} need none; leave it out, or give "
            "the model that was trained"
        )
    return file, model


def load_model(path: str | os.PathLike[str]) -> tuple[Path, hq.Model]:
    """Return the model file that a path is or holds, and the model.

    A model that an earlier version trained records nothing about its data; its run.json does, if it is beside the model.

    Raises:
        FileNotFoundError: There is no model.
        ValueError: A file is damaged, or holds a learned model, which has no circuit.
    """
    file = find_model(path)
    if file.suffix.lower() == ".npz":
        raise ValueError(f"{file} holds a learned model, which has no circuit; give the model from which it was learned")
    model, record = hq.Model.load(file), file.parent / "run.json"
    if model.contract is None and file.name == "model.json" and record.is_file():
        model = model.with_contract(_recorded_contract(read_record(record)))
    return file, model


def load_data(spec: str, model: hq.Model | hq.LearnedModel, path: Path) -> tuple[hq.datasets.Dataset, hq.datasets.Dataset]:
    """Return a data set as its file or its name says, and as a model takes it; what was changed or not compared is printed.

    Args:
        spec: Text that names the data set.
        model: Model that meets the data.
        path: File of the model, for messages.

    Returns:
        The data set before and after its columns and classes were brought into the order of the model.

    Raises:
        ValueError: There is no such data set, or it does not fit the model; the message names the difference.
    """
    data = hq.datasets.load(spec, model.contract or DataContract())
    matched = as_model_takes(data, model, path)
    assert isinstance(matched, hq.datasets.Dataset)  # as data are
    return data, matched


def as_model_takes(
    data: hq.datasets.Dataset | hq.datasets.Inputs, model: hq.Model | hq.LearnedModel, path: Path
) -> hq.datasets.Dataset | hq.datasets.Inputs:
    """Return data with columns and classes in the order of a model; what was changed or not compared is printed.

    Args:
        data: Data set, or inputs without labels.
        model: Model that meets the data.
        path: File of the model, for messages.

    Raises:
        ValueError: The data do not fit the model; the message names the difference.
    """
    contract = model.contract
    for note in _notes(data):
        print(f"note: {data.name}: {note}")
    if data.columns is None or contract is None or contract.columns is None:
        _check_features(data, model, path)
    matched, notes = data.for_model(contract)
    _check_features(matched, model, path)
    for note in notes:
        print(f"note: {note}")
    return matched


def chosen_inputs(
    spec: str, inputs: str, model: hq.Model | hq.LearnedModel, path: Path
) -> tuple[hq.datasets.Dataset | hq.datasets.Inputs, hq.datasets.Dataset | hq.datasets.Inputs, Array, Array | None]:
    """Return data as they are and as a model takes them, the indices of the chosen inputs, and their labels if they are known.

    Args:
        spec: Text that names the data set, or inputs without labels.
        inputs: Text that chooses inputs.
        model: Model that meets the data.
        path: File of the model, for messages.
    """
    loaded = hq.datasets.load_inputs(spec, model.contract or DataContract())
    data = as_model_takes(loaded, model, path)
    indices = select_inputs(inputs, data)
    return loaded, data, indices, None if isinstance(data, hq.datasets.Inputs) else data.labels[indices]


def recorded_data(path: Path) -> str:
    """Return the text that names the data set of the run that trained a model, or that learned its observable.

    Args:
        path: File of the model, or of the learned one.

    Raises:
        ValueError: No data set is recorded beside the model.
    """
    record = path.parent / "run.json"
    found = read_record(record) if record.is_file() else {}
    if found.get("command") not in ("train", "learn"):
        raise ValueError(f"no data set is recorded beside {path}; name it with --data")
    return str(found["data"]["spec"])


def table_notes(data: hq.datasets.Dataset | hq.datasets.Inputs) -> tuple[str, ...]:
    """Return sentences on what was done to the columns of a table, and on what its model cannot see."""
    notes: list[str] = []
    if isinstance(record := data.details.get("encoder"), Mapping):
        notes += hq.TableEncoder.from_record(record).notes_
    if data.columns is None or np.iscomplexobj(data.amplitudes):
        return tuple(notes)
    if not data.details.get("constant"):
        notes.append(
            "a quantum model cannot tell x from -x, and learns no offset; the option constant=yes adds a column of ones"
        )
    shares = np.mean(data.amplitudes**2, axis=0)[: len(data.columns)]
    columns, largest = data.columns, int(np.argmax(shares))
    if len(shares) > 2 and shares[largest] > _DOMINANT:
        notes.append(
            f"{columns[largest]!r} has {shares[largest]:.0%} of the squared norm of the rows, so that others barely count; "
            "the option scale=minmax brings all columns to the same range"
        )
    return tuple(map(printable, notes))


def _notes(data: hq.datasets.Dataset | hq.datasets.Inputs) -> tuple[str, ...]:
    """Return sentences on what of a table was not used."""
    notes: list[str] = []
    if isinstance(names := data.details.get("left_out"), list):
        notes.append(f"the columns {', '.join(map(repr, names))} were left out.")
    if "unsplit" in data.details:
        notes.append("the labels are not used, because a class has fewer than two rows; choose the inputs with --inputs all.")
    return tuple(map(printable, notes))


def _check_features(data: hq.datasets.Dataset | hq.datasets.Inputs, model: hq.Model | hq.LearnedModel, path: Path) -> None:
    if data.n_features != model.n_features:
        raise ValueError(
            f"{path} takes {model.n_features} features, {data.name} has {data.n_features}; "
            "give the data the model was trained on"
        )


def _recorded_contract(record: Record) -> DataContract | None:
    """Return what the record of a training run of any version says about its data."""
    if record.get("command") != "train":
        return None
    if "contract" in record:
        return DataContract.from_record(record["contract"])
    return data_contract(record["data"])
