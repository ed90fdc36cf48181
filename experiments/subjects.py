"""The models that studies explain: a data set, a circuit and the accuracy it must reach before its maps are worth reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

import hattriq_cirq as hq
from experiments.intervals import bootstrap_interval, with_interval
from hattriq_cirq.classical import logistic_regression_accuracy
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.section import Table


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


SUBJECTS: Mapping[str, Subject] = {
    "bars": Subject("bars_and_stripes:noise=0.2,copies=20", 4, 1.00),
    "bars3": Subject("bars_and_stripes:noise=0.2,copies=20", 3, 1.00, epochs=60),  # shallow enough for noisy processors
    "digits": Subject("digits:pair=0/1", 4, 0.99),
    "mnist01": Subject("mnist:pair=0/1,size=16", 4, 0.99, epochs=60),
    "mnist19": Subject("mnist:pair=1/9,size=16", 6, 0.98, epochs=100),
    "mnist35": Subject("mnist:pair=3/5,size=16", 8, 0.95, epochs=100),
    "tfim": Subject("tfim:n_qubits=8", 4, 0.97),
    "bad": Subject("mnist:pair=3/5,size=16", 1, None, epochs=1),  # trained on purpose too little
}
"""By the name that tasks use; `bad` is shown, never explained."""


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
        if subject.target is None:
            verdict = "none set"
        else:
            verdict = f"{subject.target:.2f} {'met' if mean['test'] >= subject.target else 'MISSED'}"
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
                verdict,
            )
        )
    columns = ("model", "data", "layers", "seeds", "train", "test", "logistic regression", "chance", "target")
    return Table(
        "Mean accuracies over seeds; of the test accuracy with its 95% bootstrap interval over seeds.", columns, tuple(rows)
    )
