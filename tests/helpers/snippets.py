"""Code blocks of Markdown pages, in the order in which a reader runs them.

The HTML comment `<!-- not run: REASON -->` above a block leaves it out, and `<!-- after: PAGE -->` says that a page goes on
from the files and names of another one. A command below which the page shows `hattriq: error:` is to fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

#: Begin of the commands that belong to the package.
COMMANDS = ("hattriq ", "python -m experiments")
_BLOCK = re.compile(r"(?P<skipped><!-- not run: .*? -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_AFTER = re.compile(r"^<!-- after: (\S+) -->$", re.MULTILINE)


@dataclass(frozen=True)
class Snippet:
    """A block of Python, or one command of a block of the console, which may be shown to fail."""

    language: str
    code: str
    fails: bool = False


def snippets(text: str) -> Iterator[Snippet]:
    """Yield the Python blocks and the commands of the package that a page shows, without prompts and comments."""
    for block in _BLOCK.finditer(text):
        if block["skipped"]:
            continue
        if block["language"] == "python":
            yield Snippet("python", block["code"])
        elif block["language"] == "console":
            for line, shown in re.findall(r"^\$ ((?:.*\\\n)*.*)\n(?=(.*))", block["code"] + "\n", re.MULTILINE):
                command = _without_comment(line.replace("\\\n", " "))
                if f"{command} ".startswith(COMMANDS):
                    yield Snippet("console", command, fails=shown.startswith("hattriq: error:"))


def _without_comment(line: str) -> str:
    return re.sub(r"\s+#\s.*$", "", line).strip()


def pages_before(text: str) -> list[str]:
    """Return the pages whose snippets run before those of a page.

    Example:
        >>> pages_before("<!-- after: start.md -->")
        ['start.md']
    """
    return _AFTER.findall(text)
