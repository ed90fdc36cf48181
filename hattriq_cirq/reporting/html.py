"""Accuracies of a model beside classical ones, and a one-page HTML report of sections that opens from disk."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import jinja2

from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.reporting.document import Section

_SIGNED = r"[-+]?[\d.,]*\d(?:e[-+]?\d+)?"
_NUMBER = re.compile(rf"({_SIGNED}(?: ?(?:%|times|ms|s))?|-)(?: (\[{_SIGNED}, {_SIGNED}\]))?")


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
        loader=jinja2.PackageLoader("hattriq_cirq.reporting"),
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
