"""Records of files checked against dataclasses and typed dictionaries, and JSON of any depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest

from hattriq_cirq.foundation.reading import FileError
from hattriq_cirq.foundation.schema import MAX_NESTING, Count, Range, Size, load, parse_json, read_json


class Point(TypedDict):
    x: float
    label: NotRequired[str]


@dataclass(frozen=True)
class Card:
    name: str
    count: Count
    share: Annotated[float, Range(0, 1)] | None
    kind: Literal["a", "b"] = "a"
    size: tuple[Size, Size] = (1, 1)
    points: tuple[Point, ...] = ()
    texts: Mapping[str, str] | None = None
    rest: Any = None

    def __post_init__(self) -> None:
        if self.name == "wrong":
            raise ValueError("name='wrong' is not possible")


GOOD = {"name": "n", "count": 3, "share": 0.5}
BAD: dict[str, tuple[Any, str]] = {
    "no object": ([], "it is list, must be an object"),
    "missing": ({"name": "n", "count": 3}, "share is missing"),
    "unknown": (GOOD | {"sahre": 1}, "sahre is a field that this version does not know"),
    "number for a text": (GOOD | {"name": 3}, "name is 3, must be a text"),
    "text for a number": (GOOD | {"count": "3"}, "count is '3', must be a whole number"),
    "bool for a number": (GOOD | {"count": True}, "count is True, must be a whole number"),
    "float for a whole number": (GOOD | {"count": 3.0}, "count is 3.0, must be a whole number"),
    "negative count": (GOOD | {"count": -1}, "count is -1, must be at least 0"),
    "70 bits": (GOOD | {"count": 2**70}, f"count is {2**70}, must be at most {2**63 - 1}"),
    "share above 1": (GOOD | {"share": 1.5}, "share is 1.5, must be at most 1"),
    "huge number for a float": (GOOD | {"share": 10**400}, "must be a finite number"),
    "infinity": (GOOD | {"share": float("inf")}, "share is inf, must be a finite number"),
    "no number": (GOOD | {"share": float("nan")}, "share is nan, must be a finite number"),
    "bool for a float": (GOOD | {"share": False}, "share is False, must be a finite number"),
    "other word": (GOOD | {"kind": "c"}, "kind is 'c', must be 'a' or 'b'"),
    "list of another length": (GOOD | {"size": [1]}, "size is list, must be a list of 2"),
    "item": (GOOD | {"size": [1, 0]}, "size[1] is 0, must be at least 1"),
    "object for a list": (GOOD | {"points": {}}, "points is object, must be a list"),
    "field of an item": (GOOD | {"points": [{"x": 1}, {"x": None}]}, "points[1].x is None, must be a finite number"),
    "unknown field of an item": (GOOD | {"points": [{"x": 1, "y": 2}]}, "points[0].y is a field that this version does not"),
    "entry": (GOOD | {"texts": {"a": "b", "c": 4}}, "texts.c is 4, must be a text"),
    "invariant": (GOOD | {"name": "wrong"}, "it cannot be used: name='wrong' is not possible"),
    "long text": (GOOD | {"count": "9" * 1000}, "count is '" + "9" * 56 + "..., must be"),
    "escape sequence": (GOOD | {"\x1b[31m": 3}, r"\x1b[31m is a field that"),
}


def test_record_becomes_a_dataclass() -> None:
    content = GOOD | {"size": [2, 3], "points": [{"x": 1}], "texts": {"a": "b"}, "rest": [{}]}
    assert load(Card, content, "card.json") == Card("n", 3, 0.5, "a", (2, 3), ({"x": 1.0},), {"a": "b"}, [{}])


@pytest.mark.parametrize(("content", "words"), BAD.values(), ids=BAD.keys())
def test_wrong_field_is_named_with_its_value(content: Any, words: str) -> None:
    with pytest.raises(FileError) as caught:
        load(Card, content, "card.json")
    assert str(caught.value).startswith("card.json: ")
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000 + "]" * 100_000, f"more than {MAX_NESTING} levels"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, f"more than {MAX_NESTING} levels"),
        ("[" * (MAX_NESTING + 1) + "]" * (MAX_NESTING + 1), f"more than {MAX_NESTING} levels"),
        ("9" * 5000, "it is not JSON"),
        ("{", "it is not JSON: Expecting property name"),
        ("", "it is not JSON"),
        (b"\xff", "it is not JSON: 'utf-8' codec"),
    ],
    ids=lambda value: str(value)[:10],
)
def test_text_that_is_no_json_is_refused(text: str | bytes, words: str) -> None:
    with pytest.raises(FileError) as caught:
        parse_json(text, "some.json")
    assert words in str(caught.value)


def test_deepest_json_is_read(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * MAX_NESTING + "]" * MAX_NESTING)
    assert read_json(tmp_path / "deep.json", list[Any]) != []
