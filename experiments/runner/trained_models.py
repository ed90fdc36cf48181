"""The models that studies explain: a data set, a circuit and the accuracy it must reach before its maps are worth reading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

import hattriq_cirq as hq
from experiments.runner.bootstrap import bootstrap_interval, with_interval
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.reporting.document import Table
from hattriq_cirq.workflows.accuracies import logistic_regression_accuracy


@dataclass(frozen=True)
class Subject:
    """A data set and the ring model trained on it.

    Args:
        data: the text that `datasets.load` takes; the seed is added.
        layers: of the ring.
        target: mean test accuracy wanted; None where none was set.
        epochs: of training.
    """

    data: str
    layers: int
    target: float | None
    epochs: int = 200

    def meets(self, accuracy: float) -> bool:
        """Whether a mean test accuracy reaches the target, rounding aside; any does where none was set."""
        return self.target is None or accuracy >= self.target - 1e-9

    def verdict(self, accuracy: float) -> str:
        """The target and whether a mean test accuracy meets it, as a cell of a table."""
        return "none set" if self.target is None else f"{self.target:.2f} {'met' if self.meets(accuracy) else 'MISSED'}"


SUBJECTS: Mapping[str, Subject] = {
    "bars_clean": Subject("bars_and_stripes:copies=10", 4, 1.00),
    "bars": Subject("bars_and_stripes:noise=0.2,copies=20", 4, 1.00),
    "bars3": Subject("bars_and_stripes:noise=0.2,copies=20", 3, 1.00, epochs=60),  # shallow enough for noisy processors
    "bars_held_out": Subject("bars_and_stripes", 4, None),  # each pattern once, so those of the test are new
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
    "bad": Subject("mnist:pair=3/5,size=16", 1, None, epochs=1),  # trained on purpose too little
}
"""By the name that tasks use; `bad` is shown, never explained."""
FASHION = Path("data/fashion_mnist")
"""Where the files of FashionMNIST are looked for, below the working directory; no package brings them."""


def present(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the subjects whose data are there: all but FashionMNIST without its folder."""
    return tuple(name for name in names if FASHION.is_dir() or not SUBJECTS[name].data.startswith("fashion"))


@lru_cache(maxsize=4)
def trained(name: str, seed: int) -> tuple[hq.Model, Dataset]:
    """A subject trained with a seed, which also splits its data."""
    subject = SUBJECTS[name]
    data = hq.datasets.load(f"{subject.data}{',' if ':' in subject.data else ':'}seed={seed}")
    model = hq.ring_ansatz(data.n_qubits, subject.layers)
    return hq.train(model, data.x_train, data.y_train, seed=seed, epochs=subject.epochs).model, data


def accuracies(model: hq.Model, data: Dataset) -> dict[str, float]:
    """How good a model is, beside logistic regression on the same split and chance: what a task's result says of its model."""
    logistic = logistic_regression_accuracy(data)
    return {
        "train": hq.accuracy(model, data.x_train, data.y_train),
        "test": hq.accuracy(model, data.x_test, data.y_test),
        "logistic train": logistic[0],
        "logistic test": logistic[1],
        "chance": data.chance,
    }


def accuracy_table(found: Mapping[str, Sequence[Mapping[str, float]]]) -> Table:
    """Accuracies of subjects, by name one entry a seed, as the table that stands before every map."""
    rows = []
    for name, seeds in found.items():
        subject = SUBJECTS[name]
        mean = {key: float(np.mean([each[key] for each in seeds])) for key in seeds[0]}
        tests = [each["test"] for each in seeds]
        rows.append(
            (
                name,
                subject.data,
                str(subject.layers),
                str(len(seeds)),
                f"{mean['train']:.3f}",
                with_interval(mean["test"], bootstrap_interval(tests), 4),
                f"{mean['logistic test']:.3f}",
                f"{mean['chance']:.3f}",
                subject.verdict(mean["test"]),
            )
        )
    columns = ("model", "data", "layers", "seeds", "train", "test", "logistic regression", "chance", "target")
    return Table(
        "Mean accuracies over seeds; of the test accuracy with its 95% bootstrap interval over seeds.", columns, tuple(rows)
    )
