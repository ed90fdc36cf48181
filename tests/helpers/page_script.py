"""Commands of a page of the documentation, in their order, with what they print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest


@dataclass
class Step:
    """Command of the page, with what happens meanwhile and what it prints.

    Args:
        command: Line after the prompt.
        event: What the service does meanwhile; empty for nothing.
        printed: Lines that it prints; `...` stands for any text, alone for any lines.
    """

    command: str
    event: str = ""
    printed: list[str] = field(default_factory=list)


def steps(page: str) -> Iterator[Step]:
    """Yield the commands of a page."""
    event = ""
    pattern = r"^<!-- the service: (?P<event>[^\n]*) -->$|^```console\n(?P<block>.*?)^```$"
    for found in re.finditer(pattern, page, re.M | re.S):
        event = found["event"] or event
        for text in re.split(r"^\$ ", found["block"] or "", flags=re.M)[1:]:
            command, *printed = text.replace("\\\n", "").splitlines()
            yield Step(" ".join(command.split()), event, printed)
            event = ""


def python_blocks(page: str) -> list[str]:
    """Return the Python code of a page, a text for each block."""
    return re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)


def check_printed(step: Step, text: str) -> None:
    """Check that a command prints the lines of the page, in their order."""
    lines = (re.escape(line).replace(re.escape("..."), ".*") + r"\n" for line in step.printed)
    pattern = "".join(r"(?:.*\n)*" if line == r".*\n" else line for line in lines)
    if step.printed and not re.fullmatch(pattern, text):
        pytest.fail("\n".join([f"`{step.command}` printed", text, "instead of", *step.printed]), pytrace=False)
