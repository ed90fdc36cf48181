"""Accuracies of a model beside classical ones, and a one-page HTML report of sections that opens from disk."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from scipy.stats import binomtest

from hattriq_cirq._files import write_new
from hattriq_cirq.classical import logistic_regression_accuracy
from hattriq_cirq.datasets import Dataset
from hattriq_cirq.model import Model
from hattriq_cirq.section import Section, Table
from hattriq_cirq.training import accuracy

_SIGNED = r"[-+]?[\d.,]*\d(?:e[-+]?\d+)?"
_NUMBER = re.compile(rf"({_SIGNED}(?: ?(?:%|times|ms|s))?|-)(?: (\[{_SIGNED}, {_SIGNED}\]))?")


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


def table_of_accuracies(rows: Sequence[Accuracy], train_samples: int, test_samples: int) -> Table:
    """Accuracies as the table that stands before every map.

    Args:
        rows: the model first, then what to compare it with.
        train_samples: how many the accuracies on the training set are of.
        test_samples: how many those on the test set are of; the 95% Wilson interval beside a classifier's follows from it.

    Returns:
        A table of four columns; a number that is missing is a dash.
    """
    notes = "; ".join(f"{row.classifier}: {row.note}" for row in rows if row.note)
    return Table(
        f"Accuracy on {train_samples} training and {test_samples} test samples; of tests with the 95% Wilson interval."
        + (f" {notes}" if notes else ""),
        ("classifier", "train", "test"),
        tuple((row.classifier, _share(row.train), _tested(row, test_samples)) for row in rows),
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _tested(row: Accuracy, samples: int) -> str:
    if row.train is None or row.test is None:  # chance is no estimate
        return _share(row.test)
    interval = binomtest(round(row.test * samples), samples).proportion_ci(method="wilson")
    return f"{row.test:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def render(title: str, sections: Sequence[Section], summary: str = "") -> str:
    """Sections as one HTML page that needs no other file; every text in it is escaped.

    Args:
        title: of the page.
        sections: one or more.
        summary: what the page shows, in a sentence or two.

    Returns:
        The text of the page.

    Raises:
        ValueError: no section.
    """
    if not sections:
        raise ValueError("a report needs at least one section")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hattriq_cirq"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number_and_interval": number_and_interval, "verdict": verdict}
    return environment.get_template("report.html").render(title=title, sections=sections, summary=summary)


def write_report(path: str | os.PathLike[str], title: str, sections: Sequence[Section], summary: str = "") -> Path:
    """Writes sections to a new HTML file.

    Args:
        path: where; an existing file is refused.
        title: of the page.
        sections: one or more.
        summary: what the page shows, in a sentence or two.

    Returns:
        The path.

    Raises:
        FileExistsError: the path exists.
        ValueError: no section.
    """
    return write_new(path, render(title, sections, summary))


def number_and_interval(cell: str) -> tuple[str, str] | None:
    """A cell of a table taken apart, the interval empty where there is none; None if the cell is no number."""
    match = _NUMBER.fullmatch(cell)
    return (match[1], match[2] or "") if match else None


def verdict(text: str) -> str:
    """Whether a text says of itself that a target was reached: "good", "bad", or nothing."""
    if re.search(r"\b(MISSED|fails)\b", text):
        return "bad"
    return "good" if re.search(r"\b(met|holds)$", text) else ""
