"""HTML reports: sections on one page that needs no other file."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.reporting.document import Section

_SIGNED = r"[-+]?[\d.,]*\d(?:e[-+]?\d+)?"
_NUMBER = re.compile(rf"({_SIGNED}(?: ?(?:%|times|ms|s))?|-)(?: (\[{_SIGNED}, {_SIGNED}\]))?")


def render(title: str, sections: Sequence[Section], summary: str = "") -> str:
    """Return sections as one HTML page that needs no other file; all text in it is escaped.

    Args:
        title: Title of the page.
        sections: Sections in their order, at least one.
        summary: Summary of the page in one or two sentences.

    Returns:
        The HTML text.

    Raises:
        ValueError: There is no section.

    Example:
        >>> from hattriq_cirq.reporting.document import Section
        >>> render("Report", [Section("Signs", "What does the sign mean?")]).count("Signs")
        1
    """
    if not sections:
        raise ValueError("a report needs at least one section")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hattriq_cirq.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters |= {"number_and_interval": number_and_interval, "verdict": verdict}
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    style = _part("report.css")
    script = _part("report.js") if any(section.maps for section in sections) else None
    sources = f"img-src data:; style-src {_source(style)}; script-src {_source(script)}"
    policy = f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'"
    return environment.get_template("report.html").render(
        title=title, sections=sections, summary=summary, style=style, script=script, policy=policy
    )


def write_report(path: str | os.PathLike[str], title: str, sections: Sequence[Section], summary: str = "") -> Path:
    """Write sections to a new HTML file.

    Args:
        path: Path of the new file.
        title: Title of the page.
        sections: Sections in their order, at least one.
        summary: Summary of the page in one or two sentences.

    Returns:
        The path.

    Raises:
        FileExistsError: The file exists; it is not overwritten.
        ValueError: There is no section.
    """
    return write_new(path, render(title, sections, summary))


def _part(name: str) -> Markup:
    """Return the style or the script of every page."""
    return Markup((resources.files("hattriq_cirq.reporting") / "templates" / name).read_text(encoding="utf-8"))


def _source(part: str | None) -> str:
    """Return the source of a content security policy that allows one style or script and no other."""
    if part is None:
        return "'none'"
    return f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'"


def _shown(value: object) -> object:
    """Return plain text without control characters; markup of the template's own stays as it is."""
    return printable(value, lines=True) if type(value) is str else value


def number_and_interval(cell: str) -> tuple[str, str] | None:
    """Split the text of a table cell into a number and its interval.

    Args:
        cell: Text of the cell; `-` stands for a missing number.

    Returns:
        The number and the interval, which is empty if there is none; None if the cell is not a number.

    Example:
        >>> number_and_interval("0.95 [0.93, 0.97]"), number_and_interval("12%"), number_and_interval("none")
        (('0.95', '[0.93, 0.97]'), ('12%', ''), None)
    """
    match = _NUMBER.fullmatch(cell)
    return (match[1], match[2] or "") if match else None


def verdict(text: str) -> str:
    """Return the CSS class of a text that states if a target was reached.

    Args:
        text: Text of a table cell or a finding.

    Returns:
        `good`, `bad`, or an empty text where no target is mentioned.

    Example:
        >>> verdict("0.98 met"), verdict("0.93 MISSED"), verdict("0.95")
        ('good', 'bad', '')
    """
    if re.search(r"\b(MISSED|fails)\b", text):
        return "bad"
    return "good" if re.search(r"\b(met|holds)$", text) else ""
