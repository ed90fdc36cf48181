"""Sections: the results of a study or a run as text, tables and pictures, saved in folders and shown as Markdown or HTML."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypedDict

from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.files import as_bytes, write_same
from hattriq_cirq.foundation.reading import FileError, problem_of, read_bytes
from hattriq_cirq.foundation.schema import load, read_json
from hattriq_cirq.reporting.maps import Maps

_FORMAT = "hattriq_cirq.Section/1"
_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = 24  # bytes of a PNG file up to the end of width and height
FILE = "section.json"


@dataclass(frozen=True)
class Picture:
    """PNG image with its caption.

    Args:
        png: Content of the PNG file.
        caption: Text below the picture.
        alt: Description for readers who cannot see the picture.
        name: Name of the file without its ending: letters, digits, `-` and `_`.

    Raises:
        ValueError: The content is not a PNG file, or the name has other characters.
    """

    png: bytes
    caption: str
    alt: str
    name: str = "picture"

    def __post_init__(self) -> None:
        if not self.png.startswith(_PNG) or len(self.png) < _HEADER:
            raise ValueError(f"png starts with {self.png[:8]!r}, must be the content of a PNG file")
        if not re.fullmatch(r"[\w-]+", self.name):
            raise ValueError(f"name={self.name!r} must consist of letters, digits, - and _")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, read from the header of the file."""
        width, height = struct.unpack(">II", self.png[16:_HEADER])
        return width, height

    @property
    def data_uri(self) -> str:
        """The picture as a `data:` address that an HTML page can embed."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True)
class _PictureFile:
    """Picture as the file of its section names it; its content is in a file of its own."""

    name: str
    caption: str
    alt: str

    def read(self, folder: Path) -> Picture:
        checked = Picture(_PNG.ljust(_HEADER), self.caption, self.alt, self.name)  # the name is part of a path
        return replace(checked, png=read_bytes(folder / f"{self.name}.png"))


class _Envelope(TypedDict):
    """Part of a section's file that is not a field of the section."""

    format: Literal["hattriq_cirq.Section/1"]
    pictures: list[_PictureFile]


@dataclass(frozen=True)
class Table:
    """Table of text; a number is followed by its interval, as in `0.95 [0.93, 0.97]`.

    Args:
        caption: Description of the numbers: the quantity, the numbers of seeds and inputs, the kind of interval.
        columns: Names of the columns, at least one.
        rows: Cells of each row, one per column.

    Raises:
        ValueError: There is no column, or a row has another number of cells.

    Example:
        >>> print(Table("Mean of 5 seeds.", ("n", "error"), (("4", "0.5 [0.4, 0.6]"),)).markdown())
        Mean of 5 seeds.
        <BLANKLINE>
        | n | error |
        | --- | --- |
        | 4 | 0.5 [0.4, 0.6] |
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
        """Return the table as Markdown, below its caption.

        Args:
            fold: Number of rows from which on the table is collapsed until the reader opens it; None never collapses it.

        Returns:
            Lines without a line break at the end.
        """
        header, *rows = (map(in_markdown, cells) for cells in (self.columns, *self.rows))
        grid = "\n".join(map(_row, (header, ["---"] * len(self.columns), *rows)))
        if fold is not None and len(self.rows) >= fold:
            summary = html.escape(f"{' '.join(self.caption.split())} ({len(self.rows)} rows)", quote=False)
            return f"<details><summary>{summary}</summary>\n\n{grid}\n\n</details>"
        return f"{in_markdown(self.caption)}\n\n{grid}" if self.caption else grid


@dataclass(frozen=True)
class Section:
    """One question and its answer.

    Args:
        title: Title of the section.
        question: Question that the section answers, in one or two sentences.
        findings: Answers, one sentence each, with intervals for all numbers.
        not_claimed: Conclusions that the findings do not support.
        accuracy: Accuracies of the explained models beside classical models; shown first.
        tables: Tables of results.
        pictures: Pictures of maps and curves, each with a different name.
        cost: Circuits, shots, gates and seconds.
        settings: Settings of the run, name -> value.
        assumptions: Assumptions behind the numbers, name -> value.
        provenance: Versions, commit and time, name -> value.
        maps: Answers and attribution maps of some inputs, from which the reader of a page chooses; None for none.

    Raises:
        ValueError: Two pictures have the same name, or one text stands for a sequence of texts.

    Example:
        >>> section = Section("Shot noise", "How does the error fall with shots?", ("The slope is -0.50 [-0.51, -0.49].",))
        >>> print(section.markdown())
        ## Shot noise
        <BLANKLINE>
        How does the error fall with shots?
        <BLANKLINE>
        - The slope is -0.50 [-0.51, -0.49].
        <BLANKLINE>
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
    maps: Maps | None = None

    def __post_init__(self) -> None:
        for name in ("findings", "not_claimed", "tables", "pictures"):
            if isinstance(value := getattr(self, name), str):
                raise ValueError(f"{name}={value!r} is one text, must be a sequence of texts")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("settings", "assumptions", "provenance"):
            object.__setattr__(self, name, {str(key): str(value) for key, value in getattr(self, name).items()})
        names = [picture.name for picture in self.pictures]
        if len(set(names)) != len(names):
            raise ValueError(f"pictures have the names {names}; each needs its own")

    @property
    def digest(self) -> str:
        """The first eight hexadecimal digits of a hash of the whole section."""
        content = b"".join([as_bytes(self._json()), *(picture.png for picture in self.pictures)])
        return hashlib.sha256(content).hexdigest()[:8]

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the section to a folder: `section.json` and one PNG file per picture.

        Args:
            folder: New folder, or one that an interrupted call for the same section left.

        Returns:
            The folder.

        Raises:
            FileExistsError: The folder holds another section, or another picture; nothing is overwritten.
        """
        target = Path(folder)
        for picture in self.pictures:
            write_same(target / f"{picture.name}.png", picture.png)
        write_same(target / FILE, self._json())  # written last: a folder with this file is complete
        return target

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Section:
        """Read a section that `save` wrote.

        Args:
            folder: Folder of the section.

        Returns:
            The section.

        Raises:
            FileNotFoundError: The folder holds no section, or a picture is missing.
            FileError: `section.json` is damaged or of another format; a ValueError.
        """
        source = Path(folder)
        try:
            content = read_json(source / FILE, dict[str, Any])
            files = load(_Envelope, {name: content.pop(name, None) for name in ("format", "pictures")}, FILE)
            pictures = tuple(each.read(source) for each in files["pictures"])
            return replace(load(Section, content, FILE), pictures=pictures)
        except ValueError as error:
            raise FileError(f"{source / FILE} is damaged or no section", problem_of(error)) from error

    def markdown(self, images: str = "", level: int = 2, fold: int | None = None) -> str:
        """Return the section as Markdown.

        Args:
            images: Path that precedes the names of the picture files; an empty path omits the pictures.
            level: Level of the heading.
            fold: Number of rows from which on a table is collapsed until the reader opens it; None never collapses one.

        Returns:
            Paragraphs that end with a line break.
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
        content = {"format": _FORMAT, **asdict(self)}
        if self.maps is None:
            del content["maps"]  # as earlier versions wrote it
        content["pictures"] = [{"name": p.name, "caption": p.caption, "alt": p.alt} for p in self.pictures]
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def in_markdown(text: str) -> str:
    r"""Escape text for Markdown, on one line, so that it is shown without tags or emphasis.

    Args:
        text: Text to show.

    Returns:
        One line of Markdown.

    Example:
        >>> print(in_markdown("2*3 < 7"))
        2\*3 \< 7
    """
    return re.sub(r"([<*~])", r"\\\1", printable(" ".join(text.split())))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def cost_table(cost: Mapping[str, Any], total: str = "Total of all inputs") -> Table:
    """Return the cost of a result as a table.

    Args:
        cost: Entries of a `Cost`, name -> number.
        total: Words for what the numbers are the sum of.

    Example:
        >>> cost_table({"circuits": 0, "two_qubit_gates": 0}).columns
        ('circuits', 'two-qubit gates')
    """
    caption = f"{total}; two-qubit gates of the largest circuit; programs are compiled circuits with parameters."
    return Table(
        caption if cost["circuits"] else "An exact result costs nothing on a quantum computer.",
        tuple(name.replace("two_qubit", "two-qubit").replace("_", " ") for name in cost),
        (tuple(f"{value:.4g}" if isinstance(value, float) else str(value) for value in cost.values()),),
    )


def assumption_texts(assumptions: Mapping[str, Any]) -> dict[str, str]:
    """Return the entries of `Assumptions` as texts by name, without those that are empty.

    Example:
        >>> assumption_texts({"seed": None, "observables": ["Z(q(0))"], "calibration_id": "a"})
        {'observables': 'Z(q(0))', 'calibration id': 'a'}
    """
    texts = {name: ", ".join(value) if isinstance(value, list | tuple) else value for name, value in assumptions.items()}
    return {name.replace("_", " "): str(value) for name, value in texts.items() if value not in (None, "")}
