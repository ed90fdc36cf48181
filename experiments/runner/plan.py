"""Plans of studies: the grid of a study as a TOML file or as options of the command line."""

from __future__ import annotations

import argparse
import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

from hattriq_cirq.foundation.checks import as_count, as_counts, as_seed
from hattriq_cirq.foundation.devices import Device
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.reading import FileError, problem_of, read_bytes
from hattriq_cirq.foundation.schema import load

EXAMPLE = """# Plan of a mitigation study: every combination of the values below is measured and compared with the exact map.
#   hattriq study {name} --list          prints the tasks with their cost and runs none
#   hattriq study {name}                 runs what has no result yet, and writes tables, pictures and a page
# Add a value to a list and run again: only what is new is computed.

# Models: a folder of `hattriq train`, a model.json, or random:n=3,seed=7,gates=cz (cnot, sqrt_iswap, mixed),
# ring:n=3,layers=2,seed=0 or grid:rows=2,cols=2,layers=2,seed=0 with random parameters.
models = ["random:n=3,seed=7"]

# Data set with the inputs, as `hattriq attribute --data` takes it, such as "digits:pair=0/1" or "my.csv".
data = ["random_states:n_qubits=3,seed=1"]

# Inputs: test, train, a slice of them, or indices of the whole data set; all inputs of one text are measured together.
inputs = ["test:0:3"]

# Baselines: zero, mean, class_mean, opposite_class_mean, blur:SIGMA, uniform, max_distance or sample:COUNT.
baselines = ["zero"]

# Engines: qsim, cirq, virtual:PROCESSOR[,noise=NOISE] or google:PROJECT/PROCESSOR. PROCESSOR of virtual is weber, rainbow,
# willow_pink, or a file that `hattriq snapshot` wrote.
engines = ["virtual:weber"]

# Estimators: resolved, hadamard, hadamard-literal, parallel:M or polarization; learned, learned:important or learned:magnitude
# for one campaign that measures each model's observable for all inputs and baselines.
estimators = ["resolved"]

# Mitigations, as `hattriq attribute --mitigate` takes them; "none" for none. A learned model takes those of `hattriq learn`,
# such as "damping,readout"; each estimator is combined with those that it can take.
mitigations = ["none", "readout", "twirl:4,readout"]

# Shots per input, for learned models those of the campaign, which serves all inputs; 0 takes exact probabilities of the noisy
# engine.
shots = [20_000]

# Seeds of counts, twirls and sampled baselines, and the number of runs with each seed. The first run of a seed is that of
# `hattriq attribute --seed SEED`.
seeds = [0]
repeats = 2

# Device that computes virtual processors: cpu, or a GPU, cuda or cuda:1. Results agree to rounding, so it may change later.
device = "cpu"
"""
_LISTS = ("models", "data", "inputs", "baselines", "engines", "estimators", "mitigations", "shots", "seeds")


@dataclass(frozen=True)
class Plan:
    """Grid of a study: its tasks are all combinations.

    Args:
        models: Saved models, or texts such as `random:n=3,seed=7`.
        data: Data sets with the inputs.
        inputs: Selections of inputs.
        baselines: Names of baselines.
        engines: Names of engines.
        estimators: Names of estimators, and of learned models.
        mitigations: Names of mitigations with commas; `none` for none.
        shots: Numbers of shots per input, of a learned model for all inputs together; 0 for exact probabilities.
        seeds: Random seeds.
        repeats: Number of runs with each seed.
        device: Device that computes virtual processors, `cpu`, `cuda` or `cuda:1`.

    Raises:
        ValueError: A list is empty or a number is out of range.
        DeviceError: There is no such device.

    Example:
        >>> Plan(models=("random:n=3,seed=7",), data=("random_states:n_qubits=3",), engines=("qsim",)).shots
        (20000,)
    """

    models: tuple[str, ...]
    data: tuple[str, ...]
    engines: tuple[str, ...]
    inputs: tuple[str, ...] = ("test:0:3",)
    baselines: tuple[str, ...] = ("zero",)
    estimators: tuple[str, ...] = ("resolved",)
    mitigations: tuple[str, ...] = ("none",)
    shots: tuple[int, ...] = (20_000,)
    seeds: tuple[int, ...] = (0,)
    repeats: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in _LISTS:
            if not getattr(self, name):
                raise ValueError(f"{name} is an empty list; give one value or more")
        as_counts(self.shots, "shots", 0, 10**15)
        for i, seed in enumerate(self.seeds):
            as_seed(seed, f"seeds[{i}]")
        as_count(self.repeats, "repeats", 1, 10_000)
        Device.of(self.device)


T = TypeVar("T")
_STUDY = "study"  # key of a plan that names its study
_CURE = "correct the plan; `hattriq study --new FILE` writes an example"


def study_of(path: str | os.PathLike[str]) -> str | None:
    """Return the name of the study that a plan is for; None if it names none.

    Raises:
        FileNotFoundError: The file does not exist.
        FileError: The file is no TOML, or the name is no text; a ValueError.
    """
    name = _content(path).get(_STUDY)
    if name is not None and not isinstance(name, str):
        raise FileError(path, f"{_STUDY} is {name!r}, must be the name of a study", _CURE)
    return name


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """Read a plan of a grid of pipelines from a TOML file; a single value may stand for a list of one.

    Raises:
        FileNotFoundError: The file does not exist.
        FileError: The file is no TOML, or a key is unknown, missing or of another type; a ValueError.
    """
    return read_grid(path, Plan)


def read_grid(path: str | os.PathLike[str], kind: type[T]) -> T:
    """Read the values of a dataclass from a TOML file; a single value may stand for a list of one.

    Raises:
        FileNotFoundError: The file does not exist.
        FileError: The file is no TOML, or a key is unknown, missing or of another type; a ValueError.
    """
    content, hints = _content(path), get_type_hints(kind)
    content.pop(_STUDY, None)
    for key in content:
        if key not in hints:
            near = difflib.get_close_matches(key, hints, 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(hints)}"
            raise FileError(path, f"key {key!r} is unknown; {hint}", _CURE)
    is_list = {key: get_origin(hint) is tuple for key, hint in hints.items()}
    listed = {key: [value] if is_list[key] and not isinstance(value, list) else value for key, value in content.items()}
    try:
        return load(kind, listed, path)
    except FileError as error:
        raise FileError(path, problem_of(error), _CURE) from None


def _content(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(read_bytes(path).decode())
    except ValueError as error:
        raise FileError(path, f"it is no TOML: {problem_of(error)}", _CURE) from None


def write_example(path: str | os.PathLike[str]) -> Path:
    """Write a commented plan that runs as it stands; a file that exists raises FileExistsError."""
    return write_new(path, EXAMPLE.format(name=os.fspath(path)))


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Add the option `--plan` and one option for each list of a plan."""
    parser.add_argument("--plan", type=Path, metavar="FILE", help="TOML file with the grid, instead of the options below")
    texts: Mapping[str, tuple[Sequence[str], str, str]] = {
        "models": (("--model",), "MODEL", "saved models, or random:n=3,seed=7, ring:n=3,layers=2, grid:rows=2,cols=2"),
        "data": ((), "DATA", "data sets with the inputs, as `hattriq attribute` takes them"),
        "engines": (("--engine",), "ENGINE", "engines, such as qsim or virtual:weber"),
        "inputs": ((), "INPUTS", "selections of inputs, such as test:0:3"),
        "baselines": (("--baseline",), "NAME", "baselines"),
        "estimators": (("--estimator",), "NAME", "estimators, or learned, learned:important, learned:magnitude"),
        "mitigations": (("--mitigation",), "NAMES", "mitigations with commas, separated by spaces; none for none"),
        "shots": ((), "N", "shots per input, or per campaign; 0 for exact probabilities"),
        "seeds": (("--seed",), "N", "random seeds"),
    }
    defaults: dict[str, Any] = {each.name: each.default for each in fields(Plan)}
    for name, (short, metavar, text) in texts.items():
        shown = "" if defaults[name] is MISSING else f" (default: {' '.join(map(str, defaults[name]))})"
        kind = int if name in ("shots", "seeds") else str
        parser.add_argument(f"--{name}", *short, dest=name, nargs="+", type=kind, metavar=metavar, help=text + shown)
    parser.add_argument("--repeats", type=int, metavar="N", help="runs with each seed (default: 1)")
    parser.add_argument("--device", metavar="NAME", help="device of virtual processors, cpu, cuda or cuda:1 (default: cpu)")


def plan_of_options(chosen: argparse.Namespace) -> Plan | None:
    """Return the plan of parsed options; None if there is none.

    Raises:
        ValueError: A plan and options of a plan are given together, or an option is missing.
    """
    given: dict[str, Any] = {name: getattr(chosen, name) for name in get_type_hints(Plan)}
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items() if value is not None}
    if chosen.plan is not None:
        if given:
            raise ValueError(f"--{min(given)} is given by the plan {chosen.plan}; change it there")
        return read_plan(chosen.plan)
    if not given:
        return None
    missing = [each.name for each in fields(Plan) if each.default is MISSING and each.name not in given]
    if missing:
        raise ValueError(f"--{missing[0]} is missing; give it, or a --plan")
    return Plan(**given)
