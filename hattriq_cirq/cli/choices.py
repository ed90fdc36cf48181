"""What the words of a command line choose: folders, models, inputs, baselines, heads."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hattriq_cirq import baselines
from hattriq_cirq._arrays import Array
from hattriq_cirq.ansatz import grid_ansatz, ring_ansatz
from hattriq_cirq.baselines import BaselineSet
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.engines import Engine, cirq_simulator, qsim
from hattriq_cirq.estimators import (
    Estimator,
    HadamardTest,
    ParallelHadamardTest,
    PolarizationShift,
    ResolvedHadamardTest,
)
from hattriq_cirq.model import Model
from hattriq_cirq.scores import Head


def fresh_folder(path: str | os.PathLike[str]) -> Path:
    """Checks that a folder can take results; it is made when the first file is written.

    Raises:
        FileExistsError: it holds something, or is a file.
        OSError: no file could be written there.
    """
    folder = Path(path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and is not an empty folder; results are never overwritten: choose another")
    parent = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise OSError(f"{folder} cannot be made: {parent} is not a folder that can be written to")
    return folder


def build_model(ansatz: str, n_qubits: int, layers: int) -> Model:
    """An untrained model by "ring" or "grid:RxC". Raises ValueError for another text or number of qubits."""
    if ansatz == "ring":
        return ring_ansatz(n_qubits, layers)
    match = re.fullmatch(r"grid:(\d+)x(\d+)", ansatz)
    if not match:
        raise ValueError(f"ansatz {ansatz!r} must be ring or grid:RxC, such as grid:2x3")
    rows, cols = int(match[1]), int(match[2])
    if rows * cols != n_qubits:
        raise ValueError(f"ansatz {ansatz!r} has {rows * cols} qubits, the data need {n_qubits}")
    return grid_ansatz(rows, cols, layers)


def find_model(path: str | os.PathLike[str]) -> Path:
    """The model file that a path is or holds. Raises FileNotFoundError."""
    file = Path(path) / "model.json" if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no file {file}; give a model.json that `hattriq train` wrote, or its folder")
    return file


def select_inputs(text: str, data: Dataset) -> Array:
    """Samples of a data set by "test", "train:0:8" (a slice of a side) or "4,0,7" (samples of the whole set).

    Returns:
        (inputs,) indices, at least one.

    Raises:
        ValueError: another text, an index out of range, or nothing chosen.
    """
    if match := re.fullmatch(r"(test|train)(?::(\d*):(\d*))?", text):
        start, stop = (int(bound) if bound else None for bound in match.group(2, 3))
        chosen: Array = getattr(data, match[1])[start:stop]
        if not len(chosen):
            raise ValueError(
                f"inputs {text!r} choose nothing: {data.name} has {len(getattr(data, match[1]))} {match[1]} samples"
            )
        return chosen
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise ValueError(f"inputs {text!r} must be test, train, a slice such as test:0:8, or indices such as 0,1,2")
    indices = np.array([int(part) for part in text.split(",")])
    if indices.max() >= len(data.labels):
        raise ValueError(f"input {indices.max()} is out of range: {data.name} has samples 0..{len(data.labels) - 1}")
    return indices


def make_baseline(text: str, data: Dataset, indices: Array, seed: int) -> tuple[str, Array | BaselineSet]:
    """The baseline a text names, for chosen inputs of a data set; its data are the training samples.

    Returns:
        How to call it, and (inputs, features) amplitudes or a set.

    Raises:
        ValueError: an unknown name, or one these inputs have no use for.
    """
    name, colon, argument = text.partition(":")
    x, y, known, labels = data.amplitudes[indices], data.labels[indices], data.x_train, data.y_train
    plain: dict[str, Callable[[], Array]] = {
        "zero": lambda: baselines.zero(x),
        "mean": lambda: baselines.mean(x, known),
        "class_mean": lambda: baselines.class_mean(x, y, known, labels),
        "opposite_class_mean": lambda: baselines.opposite_class_mean(x, y, known, labels),
        "uniform": lambda: baselines.uniform(x),
        "max_distance": lambda: baselines.max_distance(x),
    }
    if name in plain and not colon:
        return name, plain[name]()
    if name == "blur":
        if data.image_shape is None:
            raise ValueError(f"baseline {text!r} smooths pictures, which {data.name} is not made of; choose another")
        sigma = _number(argument or "2", "the width of blur")
        return f"blur:{sigma:g}", baselines.blur(x, data.image_shape, sigma)
    if name == "sample" and argument.isdecimal():
        return f"{text}, seed {seed}", baselines.sample(known, int(argument), seed=seed)
    raise ValueError(f"baseline {text!r} must be one of {', '.join(plain)}, blur or blur:SIGMA, sample:COUNT")


def parse_head(text: str) -> Head:
    """A head by "identity", "sigmoid:5" or "tanh:2". Raises ValueError for anything else."""
    kind, _, scale = text.partition(":")
    if text == "identity":
        return Head()
    if kind == "sigmoid":
        return Head("sigmoid", _number(scale or "1", "the scale of sigmoid"))
    if kind == "tanh":
        return Head("tanh", _number(scale or "1", "the scale of tanh"))
    raise ValueError(f"head {text!r} must be identity, sigmoid:SCALE or tanh:SCALE")


def parse_estimator(text: str) -> Estimator | None:
    """An estimator by "exact" (None), "resolved", "hadamard", "hadamard-literal", "parallel:M" or "polarization"."""
    plain: dict[str, Callable[[], Estimator | None]] = {
        "exact": lambda: None,
        "resolved": ResolvedHadamardTest,
        "hadamard": HadamardTest,
        "hadamard-literal": lambda: HadamardTest(literal=True),
        "polarization": PolarizationShift,
    }
    if text in plain:
        return plain[text]()
    name, _, count = text.partition(":")
    if name == "parallel" and count.isdecimal():
        return ParallelHadamardTest(int(count))
    raise ValueError(f"estimator {text!r} must be one of {', '.join(plain)}, parallel:M")


def parse_engine(text: str, seed: int) -> Engine:
    """A seeded engine by "qsim" or "cirq". Raises ValueError for anything else."""
    if text == "qsim":
        return qsim(seed=seed)
    if text == "cirq":
        return cirq_simulator(seed=seed)
    raise ValueError(f"engine {text!r} must be qsim or cirq")


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} is {text!r}, must be a number") from None
