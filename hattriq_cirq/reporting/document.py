"""What a study or a run has to tell, as a value: kept in a folder, shown as text, as Markdown or on a page of the report."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from hattriq_cirq.foundation.files import write_new

_FORMAT = "hattriq_cirq.Section/1"
_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = 24  # bytes of a PNG file up to the end of width and height
FILE = "section.json"


@dataclass(frozen=True)
class Picture:
    """A PNG image with the words that go with it.

    Args:
        png: the bytes of the file.
        caption: below it.
        alt: what a reader who cannot see it is told.
        name: of its file, without ending; letters, digits, `-` and `_`.

    Raises:
        ValueError: the bytes are not a PNG's, or the name cannot be a file's.
    """

    png: bytes
    caption: str
    alt: str
    name: str = "picture"

    def __post_init__(self) -> None:
        if not self.png.startswith(_PNG) or len(self.png) < _HEADER:
            raise ValueError(f"png starts with {self.png[:8]!r}, must be the bytes of a PNG file")
        if not re.fullmatch(r"[\w-]+", self.name):
            raise ValueError(f"name={self.name!r} must be letters, digits, - and _")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, as the file's header says."""
        width, height = struct.unpack(">II", self.png[16:_HEADER])
        return width, height

    @property
    def data_uri(self) -> str:
        """The picture as text, to stand inside a page."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True)
class Table:
    """Rows of text under names of columns; a number stands with its interval, as `0.95 [0.93, 0.97]`.

    Args:
        caption: what the numbers are, of how many seeds and inputs, and what the intervals are.
        columns: at least one.
        rows: each as long as the columns.

    Raises:
        ValueError: no column, or a row of another length.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(map(str, self.columns)))
        object.__setattr__(self, "rows", tuple(tuple(map(str, row)) for row in self.rows))
        if not self.columns:
            raise ValueError("a table needs at least one column")
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{row=} must have {len(self.columns)} cells: {', '.join(self.columns)}")

    def markdown(self, fold: int | None = None) -> str:
        """The table as Markdown, its caption above it.

        Args:
            fold: rows from which on the table stays closed until a reader opens it; None folds none.

        Returns:
            Lines without a break at the end.
        """
        lines = [_row(map(in_markdown, cells)) for cells in (self.columns, *self.rows)]
        drawn = "\n".join([lines[0], _row(["---"] * len(self.columns)), *lines[1:]])
        if fold is not None and len(self.rows) >= fold:
            summary = html.escape(f"{' '.join(self.caption.split())} ({len(self.rows)} rows)", quote=False)
            return f"<details><summary>{summary}</summary>\n\n{drawn}\n\n</details>"
        return f"{in_markdown(self.caption)}\n\n{drawn}" if self.caption else drawn


@dataclass(frozen=True)
class Section:
    """One question and its answer.

    Args:
        title: of the section.
        question: what was asked, in a sentence or two.
        findings: what was found, a sentence each, numbers with their intervals.
        not_claimed: what the findings do not say.
        accuracy: how good the explained models are, beside classical ones; shown before anything else.
        tables: the numbers.
        pictures: of maps and curves, each with another name.
        cost: circuits, shots, gates, seconds.
        settings: name -> value, what was chosen.
        assumptions: name -> value, what the numbers rest on.
        provenance: name -> value, versions, commit and time.

    Raises:
        ValueError: two pictures of one name, or one text where there should be several.
    """

    title: str
    question: str
    findings: tuple[str, ...] = ()
    not_claimed: tuple[str, ...] = ()
    accuracy: Table | None = None
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    cost: Table | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    assumptions: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("findings", "not_claimed", "tables", "pictures"):
            if isinstance(value := getattr(self, name), str):
                raise ValueError(f"{name}={value!r} is one text, must be a sequence of them")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("settings", "assumptions", "provenance"):
            object.__setattr__(self, name, {str(key): str(value) for key, value in getattr(self, name).items()})
        names = [picture.name for picture in self.pictures]
        if len(set(names)) != len(names):
            raise ValueError(f"pictures have the names {names}; each needs its own")

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that change with anything in the section."""
        made = hashlib.sha256(self._json().encode())
        for picture in self.pictures:
            made.update(picture.png)
        return made.hexdigest()[:8]

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Writes the section into a new folder: `section.json`, and a PNG file for each picture.

        Returns:
            The folder.

        Raises:
            FileExistsError: a file is there; nothing is overwritten.
        """
        target = Path(folder)
        for picture in self.pictures:
            write_new(target / f"{picture.name}.png", picture.png)
        write_new(target / FILE, self._json())  # last: a folder with this file is whole
        return target

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Section:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: there is no section in the folder, or a picture is missing.
            ValueError: the file is no section's.
        """
        source = Path(folder)
        text = (source / FILE).read_text(encoding="utf-8")
        try:
            content = json.loads(text)
            if content.pop("format") != _FORMAT:
                raise ValueError(f"it must hold format {_FORMAT!r}")
            accuracy, cost = (_table(content.pop(name)) for name in ("accuracy", "cost"))
            rows = tuple(Table(**each) for each in content.pop("tables"))
            listed = content.pop("pictures")
            pictures = tuple(Picture((source / f"{each['name']}.png").read_bytes(), **each) for each in listed)
            return cls(**content, accuracy=accuracy, cost=cost, tables=rows, pictures=pictures)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{source / FILE} is not a section that was saved: {error!r}") from error

    def markdown(self, images: str = "", level: int = 2, fold: int | None = None) -> str:
        """The section as Markdown.

        Args:
            images: path before the name of a picture's file; empty leaves pictures out.
            level: of its heading.
            fold: rows from which on a table stays closed until a reader opens it; None folds none.

        Returns:
            Paragraphs, ending in a line break.
        """
        parts = ["#" * level + f" {in_markdown(self.title)}", in_markdown(self.question)]
        if self.accuracy is not None:
            parts.append(self.accuracy.markdown(fold))
        parts.append("\n".join(f"- {in_markdown(line)}" for line in self.findings))
        if images:
            parts += [f"![{in_markdown(p.alt)}]({images}{p.name}.png)\n\n{in_markdown(p.caption)}" for p in self.pictures]
        parts += [table.markdown(fold) for table in self.tables]
        if self.cost is not None:
            parts.append(self.cost.markdown(fold))
        if self.not_claimed:
            parts.append("Not claimed: " + " ".join(map(in_markdown, self.not_claimed)))
        for name in ("settings", "assumptions"):
            if values := getattr(self, name):
                listed = "; ".join(f"{key}: {value}" for key, value in values.items())
                parts.append(f"{name.capitalize()}. {in_markdown(listed)}.")
        return "\n\n".join(filter(None, parts)) + "\n"

    def _json(self) -> str:
        content: dict[str, object] = {"format": _FORMAT}
        for each in fields(self):
            content[each.name] = getattr(self, each.name)
        content["accuracy"], content["cost"] = map(_plain, (self.accuracy, self.cost))
        content["tables"] = [_plain(table) for table in self.tables]
        content["pictures"] = [{"name": p.name, "caption": p.caption, "alt": p.alt} for p in self.pictures]
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def in_markdown(text: str) -> str:
    """Text as Markdown that shows it as it is: nothing is taken for a tag, emphasis or struck out, nor breaks the line."""
    return re.sub(r"([<*~])", r"\\\1", " ".join(text.split()))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _plain(table: Table | None) -> dict[str, object] | None:
    return None if table is None else {"caption": table.caption, "columns": table.columns, "rows": table.rows}


def _table(content: Mapping[str, Sequence[object]] | None) -> Table | None:
    return None if content is None else Table(**content)  # type: ignore[arg-type]
