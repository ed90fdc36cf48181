"""What the words of a command line choose: folders, models, inputs, baselines, heads."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np

from hattriq_cirq.attribution import baselines
from hattriq_cirq.attribution.baselines import BaselineSet
from hattriq_cirq.attribution.objective import Head
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.estimators import Estimator, HadamardTest, ParallelHadamardTest, PolarizationShift, ResolvedHadamardTest
from hattriq_cirq.execution.backends.simulators import cirq_simulator, qsim
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.execution.journal import JOURNAL
from hattriq_cirq.execution.journal_summary import read_summary
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.models.ansatz import grid_ansatz, ring_ansatz
from hattriq_cirq.models.model import Model
from hattriq_cirq.pipeline.mitigation import Mitigation

MITIGATIONS: dict[str, tuple[str, str | None, bool]] = {
    "completeness": ("CompletenessRescaling", None, False),
    "noise-estimation": ("NoiseEstimation", None, True),
    "zne": ("ZeroNoiseExtrapolation", None, False),
    "twirl": ("PauliTwirling", "twirls", True),
    "dd": ("DynamicalDecoupling", None, False),
    "readout": ("Readout", "shots", False),
    "correlated-readout": ("CorrelatedReadout", "shots", False),
    "twirled-readout": ("TwirledReadout", "masks", True),
}
"""What `--mitigate` names, outermost first: a class of `calibration`, what a number after a colon is, whether it is seeded."""


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


def run_folder(path: str | os.PathLike[str]) -> Path:
    """Checks that a folder can take a run on an engine: a fresh one, or one whose run stopped.

    Raises:
        FileExistsError: it holds a finished run, or anything else.
        OSError: no file could be written there.
        JournalError: its journal cannot be read.
    """
    if not (Path(path) / JOURNAL).is_file():
        return fresh_folder(path)
    if read_summary(path).status == "finished":
        raise FileExistsError(f"{path} holds a finished run; results are never overwritten: choose another")
    return Path(path)


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


def parse_mitigation(text: str, seed: int, calibration: str | None = None, max_age: float | None = None) -> Mitigation | None:
    """Mitigations by names of `MITIGATIONS` with commas, in any order; several make a pipeline in that of the list.

    Args:
        text: such as "zne,twirl:8,readout:1000"; "" for none.
        seed: of whatever they draw.
        calibration: file of a saved one for `readout`; None measures it with the data.
        max_age: hours that it may be old.

    Returns:
        The mitigation; None for "".

    Raises:
        ValueError: an unknown name, one given twice, a number where there is no use for one, or a calibration that is not used.
        CalibrationError: a file that is no calibration.
    """
    import calibration as layer

    words = [word.partition(":") for word in text.split(",")] if text else []
    numbers = {name: number for name, _, number in words}
    if not set(numbers) <= set(MITIGATIONS) or len(numbers) < len(words):
        raise ValueError(f"mitigations {text!r} must be of {', '.join(MITIGATIONS)}, each at most once, with commas")
    if "readout" not in numbers and (calibration is not None or max_age is not None):
        raise ValueError("--calibration and --max-age are for --mitigate readout")
    if calibration is None and max_age is not None:
        raise ValueError("--max-age is of a --calibration; without one the readout is measured with the data")
    parts: list[Mitigation] = []
    for name, (kind, counted, seeded) in MITIGATIONS.items():
        if name not in numbers:
            continue
        options: dict[str, Any] = {"seed": seed} if seeded else {}
        if number := numbers[name]:
            if counted is None or not number.isdecimal() or (name == "readout" and calibration is not None):
                raise ValueError(f"mitigation '{name}:{number}' has no use for {number!r}; leave it out")
            options[counted] = int(number)
        if name == "readout" and calibration is not None:
            options |= {"calibration": layer.ReadoutCalibration.load(calibration), "max_age": max_age}
        parts.append(getattr(layer, kind)(**options))
    if len(parts) > 1:
        parts = [layer.MitigationSequence(parts)]
    return parts[0] if parts else None


def parse_engine(text: str, seed: int, journal: Path | None = None) -> Engine:
    """An engine by "qsim", "cirq", "virtual:PROCESSOR[,noise=NOISE]" or "google:PROJECT/PROCESSOR".

    Args:
        text: names it.
        seed: of its counts; a real processor has none.
        journal: the folder of the run, which google needs.

    Raises:
        ValueError: another text.
        EngineError: the processor cannot be reached, or the journal is another run's or in use.
    """
    kind, _, rest = text.partition(":")
    progress = sys.stderr.isatty()
    if text == "qsim":
        return qsim(seed=seed, journal=journal, progress=progress)
    if text == "cirq":
        return cirq_simulator(seed=seed, journal=journal, progress=progress)
    if match := kind == "virtual" and re.fullmatch(r"([^,=]+)(?:,noise=([^,=]+))?", rest):
        from hattriq_cirq.execution.backends.virtual import Noise, virtual

        noise = cast(Noise, match[2] or "calibrated")
        return virtual(match[1], seed=seed, noise=noise, journal=journal, progress=progress)
    if match := kind == "google" and re.fullmatch(r"([^/]+)/([^/]+)", rest):
        from hattriq_cirq.execution.backends.google import google

        if journal is None:
            raise ValueError(f"engine {text!r} counts shots and cannot give exact probabilities; give --shots 1 or more")
        config, snapshot = _pinned(journal)
        return google(match[1], match[2], journal=journal, device_config_name=config, snapshot=snapshot, progress=progress)
    raise ValueError(f"engine {text!r} must be qsim, cirq, virtual:PROCESSOR[,noise=NOISE] or google:PROJECT/PROCESSOR")


def _pinned(journal: Path) -> tuple[str | None, str | None]:
    """The device configuration and snapshot that a run on a real processor began with, so that it goes on with the same."""
    engine = read_summary(journal).engine if (journal / JOURNAL).is_file() else {}
    return engine.get("device_config_name"), engine.get("snapshot")


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} is {text!r}, must be a number") from None
