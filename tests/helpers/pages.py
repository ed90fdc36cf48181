"""A section with every part, and a parser of the tags of a page."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import IO
from unittest import mock

from matplotlib.figure import Figure

from hattriq_cirq.reporting.document import Picture, Section, Table
from hattriq_cirq.workflows.accuracies import Accuracy, table_of_accuracies


def make_png(width: int, height: int, shade: int = 128) -> bytes:
    """Return a grey PNG picture."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = (b"\0" + bytes([shade]) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@contextmanager
def small_pictures() -> Iterator[None]:
    """Paint nothing: every picture that a command writes is the same small one, after its figure was made."""

    def save(_: Figure, file: IO[bytes], **__: object) -> None:
        file.write(make_png(8, 8, 0))

    with mock.patch.object(Figure, "savefig", save):
        yield


SECTION = Section(
    title="a task",
    question="a question",
    findings=("the first finding is 0.5 [0.4, 0.6]", "a target of 0.9 was MISSED"),
    not_claimed=("that it is so everywhere",),
    accuracy=table_of_accuracies(
        (
            Accuracy("this model", 0.987, 0.975),
            Accuracy("logistic regression", None, None, "not installed"),
            Accuracy("chance", None, 0.5),
        ),
        train_samples=80,
        test_samples=40,
    ),
    tables=(
        Table("many columns", tuple(f"column {k}" for k in range(14)), (tuple(f"{k}.5 [{k}.1, {k}.9]" for k in range(14)),)),
        Table("many rows", ("name", "value"), tuple((f"row {k}", f"{k}") for k in range(60))),
    ),
    pictures=(
        Picture(make_png(1600, 400), "the caption", "the alt", "wide"),
        Picture(make_png(90, 300), "second", "second alt", "tall"),
    ),
    cost=Table("the cost", ("circuits", "shots"), (("3", "1000"),)),
    settings={"layers": "4", "a_setting_whose_name_has_no_place_to_break_and_goes_on_and_on": "x" * 90},
    assumptions={"form": "quadratic"},
    provenance={"commit": "0123456789ab", "python": "3.11"},
)


class Page(HTMLParser):
    """Parser that collects the tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every tag with the name."""
        return [attributes for name, attributes in self.tags if name == tag]
