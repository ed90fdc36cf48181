"""The models that studies explain: a data set, a circuit, and the accuracy that the model must reach before it is explained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import hattriq_cirq as hq
from experiments.runner.bootstrap import bootstrap_text
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.reporting.document import Table
from hattriq_cirq.workflows.accuracies import logistic_regression_accuracy
from hattriq_cirq.workflows.values import build_model


@dataclass(frozen=True)
class Subject:
    """A data set and the settings of the model trained on it.

    Args:
        data: Data set, as `datasets.load` takes it; the seed is added.
        layers: Number of layers of the circuit.
        target: Target of the mean test accuracy; None for no target.
        epochs: Number of training epochs.
        ansatz: Circuit, `ring`, or `grid:RxC` for a processor.
    """

    data: str
    layers: int
    target: float | None
    epochs: int = 200
    ansatz: str = "ring"

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the seed that decides the model."""
        own = {"data": self.data, "layers": self.layers, "epochs": self.epochs}
        return own if self.ansatz == "ring" else own | {"ansatz": self.ansatz}

    def meets(self, accuracy: float) -> bool:
        """Return true if a mean test accuracy reaches the target, rounding aside, or if there is no target."""
        return self.target is None or accuracy >= self.target - 1e-9

    def verdict(self, accuracy: float) -> str:
        """Return the target, and `met` or `MISSED`, as a cell of a table."""
        return "none set" if self.target is None else f"{self.target:.2f} {'met' if self.meets(accuracy) else 'MISSED'}"


#: Subjects by the name that tasks use; `bad` is shown but never explained.
SUBJECTS: Mapping[str, Subject] = {
    "bars_clean": Subject("bars_and_stripes:copies=10", 4, 1.00),
    "bars": Subject("bars_and_stripes:noise=0.2,copies=20", 4, 1.00),
    "bars3": Subject("bars_and_stripes:noise=0.2,copies=20", 3, 1.00, epochs=60),  # shallow enough for noisy processors
    "bars_held_out": Subject("bars_and_stripes", 4, None),  # each pattern occurs once, so the test patterns are new
    "digits": Subject("digits:pair=0/1", 4, 0.99),
    "mnist01": Subject("mnist:pair=0/1,size=16", 4, 0.99, epochs=60),
    "mnist19": Subject("mnist:pair=1/9,size=16", 6, 0.98, epochs=100),
    "mnist35": Subject("mnist:pair=3/5,size=16", 8, 0.95, epochs=100),
    "mnist01_28": Subject("mnist:pair=0/1,size=28", 4, 0.99, epochs=40),
    "mnist19_28": Subject("mnist:pair=1/9,size=28", 6, 0.98, epochs=50),
    "mnist35_28": Subject("mnist:pair=3/5,size=28", 10, 0.95, epochs=80),
    "fashion": Subject("fashion_mnist:path=data/fashion_mnist,pair=0/1,size=16,samples=2000", 4, 0.95, epochs=40),
    "fashion_28": Subject("fashion_mnist:path=data/fashion_mnist,pair=0/1,size=28,samples=1000", 4, 0.95, epochs=40),
    "tfim": Subject("tfim:n_qubits=8", 4, 0.97),
    "tfim10": Subject("tfim:n_qubits=10", 4, 0.97, epochs=60),
    "tfim12": Subject("tfim:n_qubits=12,samples=100", 4, 0.97, epochs=30),
    "tfim_split": Subject("tfim:n_qubits=8,train_gap=0.4", 4, 0.97),  # trained far from g = 1, tested everywhere
    "planted": Subject("planted_pixel:n_qubits=6", 2, None, epochs=60),
    "xor": Subject("xor_pixels:n_qubits=6,samples=2000", 4, None, epochs=100),
    "bad": Subject("mnist:pair=3/5,size=16", 1, None, epochs=1),  # trained too little on purpose
    # shallow circuits on a grid, whose observables a noisy processor can measure
    "digits35_grid": Subject("digits:pair=3/5", 2, 0.94, ansatz="grid:2x3"),
    "mnist19_grid": Subject("mnist:pair=1/9,size=16", 2, 0.94, epochs=60, ansatz="grid:4x2"),
    "mnist01_grid": Subject("mnist:pair=0/1,size=16", 3, 0.98, epochs=60, ansatz="grid:2x4"),
    "mnist35_grid": Subject("mnist:pair=3/5,size=16", 3, 0.94, ansatz="grid:2x4"),
    "mnist01_28_grid": Subject("mnist:pair=0/1,size=28", 3, 0.98, epochs=40, ansatz="grid:2x5"),
}
#: Folder of the files of FashionMNIST, below the working directory; no package contains them.
FASHION = Path("data/fashion_mnist")
#: Digests of the settings that the subjects had in version 0.1.
_VERSION_0_1 = (
    "1fa0c551 e7d926ab 64f32467 0d68b7d0 35d29af7 2d7d9b5c 6ad9a392 3377b846 5ffdd1b8 1111a2c4 2ef89798 d1e0c1eb "
    "413fab5b fe3d6daa 236e97b9 5a3933cf 0240d08a f0aac8b1 a72d8c68 c7a0a497"
)


@dataclass(frozen=True)
class Task:
    """One trained model and its first test inputs: the task of studies that take no more."""

    subject: str
    seed: int
    inputs: int


def present(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of subjects whose data are present: FashionMNIST only if its folder is."""
    return tuple(name for name in names if FASHION.is_dir() or not SUBJECTS[name].data.startswith("fashion"))


@lru_cache(maxsize=4)
def trained(name: str, seed: int) -> tuple[hq.Model, Dataset]:
    """Train a subject; the seed also splits its data."""
    subject = SUBJECTS[name]
    data = hq.datasets.load(f"{subject.data}{',' if ':' in subject.data else ':'}seed={seed}")
    model = build_model(subject.ansatz, data.n_qubits, subject.layers).with_contract(data.contract)
    return hq.train(model, data.x_train, data.y_train, seed=seed, epochs=subject.epochs).model, data


def settings_of(task: object) -> dict[str, Any] | None:
    """Return everything but the seed that decides the model of a task, or None if the task names no subject."""
    subject = SUBJECTS.get(getattr(task, "subject", ""))
    return None if subject is None else subject.settings


def settings_digest(task: object) -> str | None:
    """Return eight hexadecimal digits that change with the settings of a task's model; None without a model."""
    settings = settings_of(task)
    return None if settings is None else digest([getattr(task, "subject", ""), settings])


def digest(value: object) -> str:
    """Return eight hexadecimal digits that change with a value as JSON holds it; what JSON cannot hold counts as its text."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:8]


def unchanged_since_version_0_1(task: object) -> bool:
    """Return true if a task's model has the settings that it had in version 0.1."""
    return settings_digest(task) in _VERSION_0_1.split()


def accuracies(model: hq.Model, data: Dataset) -> dict[str, float]:
    """Return the accuracies of a model, of logistic regression on the same split, and of chance, for the result of a task."""
    data, _ = data.for_model(model.contract)
    logistic = logistic_regression_accuracy(data)
    return {
        "train": hq.accuracy(model, data.x_train, data.y_train),
        "test": hq.accuracy(model, data.x_test, data.y_test),
        "logistic train": logistic[0],
        "logistic test": logistic[1],
        "chance": data.chance,
    }


def accuracy_table(done: Iterable[Any]) -> Table | None:
    """Return the table of accuracies that stands before every map.

    Args:
        done: Finished tasks; those that name a subject and a seed are listed, each model once.

    Returns:
        The table, or None if no task names a subject.
    """
    by_subject: dict[str, dict[int, Mapping[str, float]]] = {}
    for d in done:
        if settings_of(d.task) is not None:
            by_subject.setdefault(d.task.subject, {})[d.task.seed] = d.result["accuracy"]
    rows = [_accuracy_row(name, list(seeds.values())) for name, seeds in by_subject.items()]
    columns = ("model", "data", "layers", "seeds", "train", "test", "logistic regression", "chance", "target")
    caption = "Mean accuracies over seeds; the test accuracy with its 95% bootstrap interval over seeds."
    return Table(caption, columns, tuple(rows)) if rows else None


def _accuracy_row(name: str, seeds: Sequence[Mapping[str, float]]) -> tuple[str, ...]:
    subject = SUBJECTS[name]
    mean = {key: float(np.mean([each[key] for each in seeds])) for key in seeds[0]}
    layers = str(subject.layers) if subject.ansatz == "ring" else f"{subject.layers}, {subject.ansatz}"
    train, logistic, chance = (f"{mean[key]:.3f}" for key in ("train", "logistic test", "chance"))
    test, counts = bootstrap_text([each["test"] for each in seeds], digits=4), (layers, str(len(seeds)))
    return name, subject.data, *counts, train, test, logistic, chance, subject.verdict(mean["test"])
