"""Accuracies of a model beside classical ones, and a one-page HTML report that opens from disk."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jinja2

from hattriq_cirq._files import write_new
from hattriq_cirq._provenance import Provenance
from hattriq_cirq.classical import logistic_regression_accuracy
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.model import Model
from hattriq_cirq.training import accuracy

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Accuracy:
    """What one classifier reaches on a split.

    Args:
        classifier: its name.
        train: in [0, 1]; None where there is none.
        test: in [0, 1]; None where there is none.
        note: why a number is missing.
    """

    classifier: str
    train: float | None
    test: float | None
    note: str = ""

    def __post_init__(self) -> None:
        for name in ("train", "test"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name}={value} must be an accuracy in [0, 1]")


def accuracies(model: Model, data: Dataset) -> tuple[Accuracy, ...]:
    """Compares a model with logistic regression on the same split, and with chance.

    The regression (scikit-learn, standardised features, its default penalty) sees the amplitudes, real and imaginary
    parts apart. Chance always answers the commonest training label.

    Args:
        model: the classifier sign F(x).
        data: the task.

    Returns:
        Three rows: the model, logistic regression (without numbers where scikit-learn is not installed), chance.
    """
    return (
        Accuracy("this model", accuracy(model, data.x_train, data.y_train), accuracy(model, data.x_test, data.y_test)),
        _logistic_regression(data),
        Accuracy("chance", None, data.chance),
    )


def _logistic_regression(data: Dataset) -> Accuracy:
    name = "logistic regression"
    try:
        return Accuracy(name, *logistic_regression_accuracy(data))
    except ImportError as error:
        return Accuracy(name, None, None, str(error))


@dataclass(frozen=True)
class Picture:
    """A PNG image with the words that go with it.

    Args:
        png: the bytes of the file.
        caption: below it.
        alt: what a reader who cannot see it is told.

    Raises:
        ValueError: the bytes are not a PNG's.
    """

    png: bytes
    caption: str
    alt: str

    def __post_init__(self) -> None:
        if not self.png.startswith(_PNG):
            raise ValueError(f"png starts with {self.png[:8]!r}, must be the bytes of a PNG file")

    @property
    def data_uri(self) -> str:
        """The picture as text, to stand inside a page."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True)
class Study:
    """One model on one task: a section of the report.

    Args:
        title: the task.
        summary: the data in one sentence.
        train_samples: how many the accuracies on the training set are of.
        test_samples: how many those on the test set are of.
        accuracies: the model, and what to compare it with.
        pictures: maps and curves.
        largest_gap: the largest absolute completeness gap of the inputs that were attributed.
        inputs: how many those are.
        settings: name -> value of training and attribution.
        assumptions: name -> value, what the maps rest on.
    """

    title: str
    summary: str
    train_samples: int
    test_samples: int
    accuracies: tuple[Accuracy, ...]
    pictures: tuple[Picture, ...]
    largest_gap: float
    inputs: int
    settings: Mapping[str, object]
    assumptions: Mapping[str, object]


@dataclass(frozen=True)
class Report:
    """A page: studies, and where they come from.

    Args:
        title: of the page.
        summary: what it shows, in a sentence or two.
        studies: one or more.
        tolerance: the completeness gap that is allowed.
        provenance: versions and time.

    Raises:
        ValueError: no study.
    """

    title: str
    summary: str
    studies: tuple[Study, ...]
    tolerance: float
    provenance: Provenance = field(default_factory=Provenance.now)

    def __post_init__(self) -> None:
        if not self.studies:
            raise ValueError("a report needs at least one study")


def render(report: Report) -> str:
    """A report as HTML text that needs no other file; every text in it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hattriq_cirq"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(report=report)


def write_report(path: str | os.PathLike[str], report: Report) -> Path:
    """Writes a report to a new HTML file.

    Args:
        path: where; an existing file is refused.
        report: what it says.

    Returns:
        The path.

    Raises:
        FileExistsError: the path exists.
    """
    return write_new(path, render(report))
