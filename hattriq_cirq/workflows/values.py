"""Values that short texts name: models, inputs, baselines, heads, estimators, mitigations and engines."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np

from hattriq_cirq.attribution import baselines
from hattriq_cirq.attribution.baselines import BaselineSet
from hattriq_cirq.attribution.objective import Head, HeadKind
from hattriq_cirq.compilation.snapshot import find_snapshot
from hattriq_cirq.datasets import Dataset, Inputs
from hattriq_cirq.estimators import Estimator, HadamardTest, ParallelHadamardTest, PolarizationShift, ResolvedHadamardTest
from hattriq_cirq.execution.backends.simulators import cirq_simulator, qsim
from hattriq_cirq.execution.backends.virtual import virtual
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.checks import as_count, as_number
from hattriq_cirq.foundation.terminal import is_watched
from hattriq_cirq.foundation.text import decimal, is_count
from hattriq_cirq.models.ansatz import grid_ansatz, qcnn_ansatz, ring_ansatz
from hattriq_cirq.models.model import Model
from hattriq_cirq.pipeline.mitigation import Mitigation, named_mitigation
from hattriq_cirq.simulation.noise import WORDS

#: Name of a baseline that follows from the input alone -> its function.
_OF_INPUT: dict[str, Callable[[Array], Array]] = {
    "zero": baselines.zero,
    "uniform": baselines.uniform,
    "max_distance": baselines.max_distance,
}
_BASELINES = ("zero", "mean", "class_mean", "opposite_class_mean", "uniform", "max_distance")  # those without numbers
#: Engine that simulates a processor: the name of the processor or its file, noise, precision, and noise beyond the calibration.
_VIRTUAL = re.compile(rf"virtual:(.+?)(?:,noise=([^,=]+))?(?:,precision=([^,=]+))?((?:,(?:{'|'.join(WORDS)})=[^,=]+)*)")
#: Options of engines that real processors have no use for, and those that simulators have no use for.
_FOR_SIMULATORS, _FOR_PROCESSORS = ("workers", "scheduler"), ("max_configuration_age", "recompile")


def build_model(ansatz: str, n_qubits: int, layers: int) -> Model:
    """Return an untrained model.

    Args:
        ansatz: Name of the circuit, `ring`, `grid:RxC` or `qcnn`.
        n_qubits: Number of data qubits.
        layers: Number of coupling layers; a `qcnn` has as many stages as its pooling needs.

    Returns:
        The model.

    Raises:
        ValueError: The text names no circuit, or a grid with another number of qubits.
    """
    if ansatz == "ring":
        return ring_ansatz(n_qubits, layers)
    if ansatz == "qcnn":
        return qcnn_ansatz(n_qubits)
    match = re.fullmatch(r"grid:([0-9]+)x([0-9]+)", ansatz)
    if not match:
        raise ValueError(f"ansatz {ansatz!r} must be ring or grid:RxC, such as grid:2x3, or qcnn")
    rows, cols = int(match[1]), int(match[2])
    if rows * cols != n_qubits:
        raise ValueError(f"ansatz {ansatz!r} has {rows * cols} qubits, the data need {n_qubits}")
    return grid_ansatz(rows, cols, layers)


def find_model(path: str | os.PathLike[str]) -> Path:
    """Return the file of a model, or of a learned one, that a path is or holds. Raise FileNotFoundError if there is none."""
    file = Path(path)
    if file.is_dir():
        learned = file / "learned.npz"
        file = learned if learned.is_file() else file / "model.json"
    if not file.is_file():
        raise FileNotFoundError(f"no file {file}; give a model.json that `hattriq train` wrote, or its folder")
    return file


def select_inputs(text: str, data: Dataset | Inputs) -> Array:
    """Return the indices of the samples that a text selects.

    Args:
        text: Side of the split or the whole set (`test`, `train`, `all`), slice of these (`train:0:8`) or indices of the whole
            set (`4,0,7`).
        data: Data set, or inputs without labels, which have no sides.

    Returns:
        (inputs,) Indices, at least one.

    Raises:
        ValueError: The text is malformed, an index is out of range, or nothing is selected.
    """
    check_inputs(text)
    count = len(data.amplitudes)
    if match := re.fullmatch(r"(test|train|all)(?::([0-9]*):([0-9]*))?", text):
        start, stop = (int(bound) if bound else None for bound in match.group(2, 3))
        if match[1] != "all" and isinstance(data, Inputs):
            raise ValueError(f"inputs {text!r} choose nothing: {data.name} has no labels and no split; choose all, or all:0:8")
        side: Array = np.arange(count) if match[1] == "all" else getattr(data, match[1])
        if not len(side[start:stop]):
            raise ValueError(f"inputs {text!r} choose nothing: {data.name} has {len(side)} {match[1]} samples")
        return side[start:stop]
    indices = np.array([int(part) for part in text.split(",")])
    if indices.max() >= count:
        raise ValueError(f"input {indices.max()} is out of range: {data.name} has samples 0..{count - 1}")
    return indices


def make_baseline(text: str, data: Dataset | Inputs, indices: Array, seed: int) -> tuple[str, Array | BaselineSet]:
    """Return the baseline of selected inputs; means and samples are taken from the training samples.

    Args:
        text: Name of the baseline.
        data: Data set, or inputs without labels.
        indices: (inputs,) Samples that are attributed.
        seed: Random seed for `sample:COUNT`.

    Returns:
        The label of the baseline for results, and (inputs, features) amplitudes or a set of baselines.

    Raises:
        ValueError: The name is unknown, or the baseline does not apply to these inputs.
    """
    label, baseline = baseline_of(text, data, seed)
    return label, baseline(indices)


def baseline_of(text: str, data: Dataset | Inputs, seed: int) -> tuple[str, Callable[[Array], Array | BaselineSet]]:
    """Return the label of a baseline and the function that computes it for samples, by their indices.

    What is taken from the training samples is computed once. Arguments and errors are those of `make_baseline`.
    """
    check_baseline(text)
    name, _, argument = text.partition(":")
    if name == "blur":
        if (shape := data.image_shape) is None:
            raise ValueError(f"baseline {text!r} smooths images, and {data.name} has none; choose another baseline")
        sigma = _number(argument or "2", "the width of blur")
        return f"blur:{sigma:g}", lambda indices: baselines.blur(data.amplitudes[indices], shape, sigma)
    if name in _OF_INPUT:
        return name, lambda indices: _OF_INPUT[name](data.amplitudes[indices])
    if isinstance(data, Inputs):
        raise ValueError(f"baseline {text!r} is taken from training samples, and {data.name} has no labels; choose another one")
    if name == "sample":
        drawn = baselines.sample(data.x_train, int(argument), seed=seed)
        return f"{text}, seed {seed}", lambda indices: drawn
    if name == "mean":
        mean = baselines.MeanRow.of(data.x_train)
        return name, lambda indices: mean.scaled_to(data.amplitudes[indices])
    means, sign = baselines.mean_rows(data.x_train, data.y_train), 1 if name == "class_mean" else -1
    return name, lambda indices: baselines.class_rows(data.amplitudes[indices], sign * data.labels[indices], means)


def parse_head(text: str) -> Head:
    """Return the head of one score that a text names: `identity`, `sigmoid:SCALE`, `tanh:SCALE` or `linear:WEIGHT[:BIAS]`.

    Raises:
        ValueError: The text names no head, or one of several scores.

    Example:
        >>> print(parse_head("linear:-2:0.5"))
        linear(weights=[[-2]], bias=[0.5])
    """
    kind, *numbers = text.split(":")
    if text == "identity":
        return Head()
    if kind == "linear" and len(numbers) in (1, 2):
        weight, bias = (_number(number, f"a number of head {text!r}") for number in [*numbers, "0"][:2])
        return Head("linear", weights=[weight], bias=bias)
    if kind in ("sigmoid", "tanh") and len(numbers) < 2:
        return Head(cast(HeadKind, kind), _number((numbers or ["1"])[0], f"the scale of {kind}"))
    if kind in ("softmax", "ratio"):
        raise ValueError(
            f"head {text!r} is of several scores, and a model has one: for two classes take sigmoid:SCALE; `hattriq explain "
            f"TABLE` explains the answers to tables with more classes, and Python's Head({kind!r}) takes any observables"
        )
    raise ValueError(f"head {text!r} must be identity, sigmoid:SCALE, tanh:SCALE or linear:WEIGHT:BIAS")


def parse_estimator(text: str) -> Estimator | None:
    """Return the estimator that a text names, None for `exact`. Raise ValueError for an unknown name."""
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
    if name == "parallel" and is_count(count):
        return ParallelHadamardTest(int(count))
    if name == "resolved" and re.fullmatch(r"[0-9]{1,3}(\+[0-9]{1,3})*", count):
        return ResolvedHadamardTest(measured=tuple(map(int, count.split("+"))))
    raise ValueError(f"estimator {text!r} must be one of {', '.join(plain)}, parallel:M, resolved:Q+Q")


#: Names of learned models where estimators are named -> the origin of the strings and the prior.
LEARNED = {
    "learned": ("structure", None),
    "learned:important": ("important", "flat"),
    "learned:magnitude": ("important", "magnitude"),
}


def parse_mitigation(text: str, seed: int, calibration: str | None = None, max_age: float | None = None) -> Mitigation | None:
    """Return the mitigation that names separated by commas describe, see `named_mitigation`.

    Args:
        text: Names in any order, such as `zne,twirl:8,readout:1000`; an empty text for none.
        seed: Random seed of the mitigations.
        calibration: File of a saved calibration for `readout`; None measures a calibration with the data.
        max_age: Largest age of that calibration in hours.

    Returns:
        The mitigation; None for an empty text.

    Raises:
        ValueError: A name is unknown or repeated, a number has no meaning, or the calibration is not used.
        CalibrationError: The file is not a calibration.
    """
    from calibration import ReadoutCalibration

    names = {word.partition(":")[0].strip() for word in text.split(",")}
    if "readout" not in names and (calibration is not None or max_age is not None):
        raise ValueError("--calibration and --max-age are for --mitigate readout")
    if calibration is None and max_age is not None:
        raise ValueError("--max-age is the age of a --calibration; without one the readout is measured with the data")
    saved = {} if calibration is None else {"calibration": ReadoutCalibration.load(calibration), "max_age": max_age}
    return named_mitigation(text, seed, readout=saved) if text else None


def parse_corrections(
    text: str, seed: int, calibration: str | None = None, max_age: float | None = None
) -> list[Mitigation | str]:
    """Return the corrections of a campaign that names separated by commas describe: `damping`, and those of `parse_mitigation`.

    Args:
        text: Names in any order, such as `damping,readout`; an empty text for none.
        seed: Random seed of the mitigations.
        calibration: File of a saved calibration for `readout`, or None.
        max_age: Largest age of that calibration in hours, or None.

    Raises:
        ValueError: A name is unknown or repeated.
    """
    from hattriq_cirq.workflows.learning_campaign import split_damping

    others, has_damping = split_damping(text) if text else ("", False)
    found = parse_mitigation(others, seed, calibration, max_age)
    return [*([] if found is None else [found]), *(["damping"] if has_damping else [])]


def is_of_campaigns(text: str) -> bool:
    """Return True if names of corrections are for campaigns of learned models alone."""
    from hattriq_cirq.workflows.learning_campaign import split_damping

    return bool(text) and split_damping(text)[1]


def parse_engine(text: str, seed: int, journal: Path | None = None, **options: Any) -> Engine:
    """Return the engine that a text names.

    Args:
        text: Name such as `qsim`, `cirq`, `virtual:PROCESSOR[,noise=NOISE][,precision=float32][,EXTRA=NUMBER ...]` or
            `google:PROJECT/PROCESSOR`; PROCESSOR of virtual is a bundled processor or a file with a snapshot or a device, EXTRA
            a word of `noise.WORDS`.
        seed: Random seed for the counts; a real processor has none.
        journal: Folder of the run; `google` needs one.
        **options: Further arguments of every engine, such as `max_shots`; a `device` other than `cpu` is one of virtual
            processors.

    Returns:
        The engine.

    Raises:
        ValueError: The text names no engine.
        EngineError: The processor cannot be reached, or the journal belongs to another run or is in use.
    """
    options |= {"journal": journal, "progress": is_watched()}
    unused = _FOR_SIMULATORS if text.startswith("google:") else _FOR_PROCESSORS
    options = {name: value for name, value in options.items() if name not in unused}
    if (device := options.pop("device", "cpu")) != "cpu":
        if not text.startswith("virtual:"):
            raise ValueError(
                f"engine {text!r} does not compute on {device!r}; --device is for virtual processors and exact maps"
            )
        options["device"] = device
    if text == "qsim" or text == "cirq":
        return (qsim if text == "qsim" else cirq_simulator)(seed=seed, **options)
    if match := _VIRTUAL.fullmatch(text):
        source, noise, precision = match[1], cast(Any, match[2] or "calibrated"), cast(Any, match[3] or "float64")
        if not re.search("[,=]", source) or Path(source).exists():
            extra = match[4][1:] or None
            return virtual(source, seed=seed, noise=noise, precision=precision, extra_noise=extra, **options)
    if match := re.fullmatch(r"google:([^/]+)/([^/]+)", text):
        from hattriq_cirq.execution.backends.google import google

        if journal is None:
            raise ValueError(f"engine {text!r} counts shots and cannot give exact probabilities; give --shots 1 or more")
        return google(match[1], match[2], **options)
    raise ValueError(
        f"engine {text!r} must be qsim, cirq, virtual:PROCESSOR[,noise=NOISE][,precision=float32][,EXTRA=NUMBER ...] or "
        "google:PROJECT/PROCESSOR"
    )


def check_engine(text: str) -> None:
    """Raise ValueError unless a text names an engine; a real processor is not asked, and warnings come when the engine runs."""
    if not re.fullmatch(r"google:[^/]+/[^/]+", text):
        with warnings.catch_warnings(action="ignore"):
            parse_engine(text, 0)


def snapshot_file(engine: str | None, processor: str | None = None) -> dict[str, dict[str, str]]:
    """Return the record of the file of a virtual engine, or of a processor, by its content; empty if there is no such file."""
    match = _VIRTUAL.fullmatch(engine or "")
    path = match[1] if match else processor
    if path is None or not Path(path).is_file():
        return {}
    return {"snapshot": {"path": path, "sha256": find_snapshot(path).digest}}


def check_inputs(text: str) -> None:
    """Raise ValueError unless a text selects inputs of a data set."""
    if not re.fullmatch(r"(test|train|all)(:[0-9]*:[0-9]*)?|[0-9]+(,[0-9]+)*", text):
        raise ValueError(f"inputs {text!r} must be test, train, all, a slice such as test:0:8, or indices such as 0,1,2")


def check_shots(shots: int, estimator: str | None = None, *, dry_run: bool) -> None:
    """Raise ValueError for a number of shots out of range, or for a dry run that would have no jobs.

    Args:
        shots: Number of shots; 0 takes exact probabilities.
        estimator: Estimator as text; None for a campaign, which always runs circuits.
        dry_run: True if jobs are recorded and not submitted.
    """
    if dry_run and estimator == "exact":
        raise ValueError("--dry-run needs an --estimator whose circuits are compiled; 'exact' runs none")
    if dry_run and shots == 0:
        raise ValueError("--dry-run needs --shots 1 or more; --shots 0 takes exact probabilities, which are no jobs")
    as_count(shots, "shots", 0, 10**15, advice="be at least 0, which takes exact probabilities, and at most 1e15")


def check_baseline(text: str) -> None:
    """Raise ValueError unless a text names a baseline."""
    name, colon, argument = text.partition(":")
    if name == "blur" and colon:
        as_number(_number(argument, "the width of blur"), "sigma", above=0)
    elif not (text in (*_BASELINES, "blur") or (name == "sample" and is_count(argument))):
        raise ValueError(f"baseline {text!r} must be one of {', '.join(_BASELINES)}, blur or blur:SIGMA, sample:COUNT")


def _number(text: str, name: str) -> float:
    number = decimal(text)
    if number is None:
        raise ValueError(f"{name} is {text!r}, must be a number")
    return number
