"""Python blocks and commands of a page of the documentation, in the order in which a reader runs them.

HTML comments say what a reader does not see: `<!-- not run: REASON -->` above a block leaves it out, `<!-- after: PAGE -->`
says that the page goes on from the files and names of another one, and `<!-- the service: EVENT -->` what a service does while
the next command runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

_PART = re.compile(
    r"^<!-- the service: (?P<event>[^\n]*) -->$"
    r"|(?P<skipped>^<!-- not run: [^\n]* -->\n)?^```(?P<language>\w+)\n(?P<block>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass
class Step:
    """Python block, or command of a block of the console, with what happens meanwhile and what the command prints.

    Args:
        command: Code, or the line after the prompt without its comment.
        event: What the service does meanwhile; empty for nothing.
        printed: Lines that the command prints; `...` stands for any text, alone for any lines.
        is_python: True for a Python block.
    """

    command: str
    event: str = ""
    printed: list[str] = field(default_factory=list)
    is_python: bool = False

    @property
    def fails(self) -> bool:
        """True for a command below which the page shows an error."""
        return any(line.startswith("hattriq: error: ") for line in self.printed)


def script(page: str) -> Iterator[Step]:
    """Yield the Python blocks and the commands of a page."""
    event = ""
    for found in _PART.finditer(page):
        event = found["event"] or event
        if found["skipped"]:
            continue
        if found["language"] == "python":
            yield Step(found["block"], is_python=True)
        elif found["language"] == "console":
            for text in re.split(r"^\$ ", found["block"], flags=re.MULTILINE)[1:]:
                command, *printed = text.replace("\\\n", "").splitlines()
                yield Step(re.sub(r" # .*", "", " ".join(command.split())), event, printed)
                event = ""


def steps(page: str) -> list[Step]:
    """Return the commands of a page."""
    return [step for step in script(page) if not step.is_python]


def python_blocks(page: str) -> list[str]:
    """Return the Python code of a page, a text for each block."""
    return [step.command for step in script(page) if step.is_python]


def pages_before(page: str) -> list[str]:
    """Return the pages whose steps come before those of a page.

    Example:
        >>> pages_before("<!-- after: start.md -->")
        ['start.md']
    """
    return re.findall(r"^<!-- after: (\S+) -->$", page, re.MULTILINE)


def check_printed(step: Step, text: str) -> None:
    """Check that a command prints the lines of the page, in their order."""
    lines = (re.escape(line).replace(re.escape("..."), ".*") + r"\n" for line in step.printed)
    pattern = "".join(r"(?:.*\n)*" if line == r".*\n" else line for line in lines)
    if step.printed and not re.fullmatch(pattern, text):
        pytest.fail("\n".join([f"`{step.command}` printed", text, "instead of", *step.printed]), pytrace=False)
