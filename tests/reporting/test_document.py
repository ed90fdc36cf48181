"""Sections: saved and loaded without loss, validated, and shown unchanged as Markdown."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import SECTION, make_png

from hattriq_cirq.foundation.display import printable
from hattriq_cirq.reporting.document import FILE, Picture, Section, Table, in_markdown

texts = st.text(st.characters(codec="utf-8"), max_size=20)
mappings = st.dictionaries(texts, texts, max_size=3)
tables = st.integers(1, 3).flatmap(
    lambda n: st.builds(
        Table,
        texts,
        st.lists(texts, min_size=n, max_size=n).map(tuple),
        st.lists(st.lists(texts, min_size=n, max_size=n).map(tuple), max_size=3).map(tuple),
    )
)
sections = st.builds(
    Section,
    texts,
    texts,
    st.lists(texts, max_size=3).map(tuple),
    st.lists(texts, max_size=2).map(tuple),
    st.none() | tables,
    st.lists(tables, max_size=2).map(tuple),
    st.lists(st.sampled_from(["a", "b-1", "c_d"]), unique=True, max_size=3).map(
        lambda names: tuple(Picture(make_png(2, 3, k), "caption", "alt", name) for k, name in enumerate(names))
    ),
    st.none() | tables,
    mappings,
    mappings,
    mappings,
)


@given(section=sections)
def test_saved_section_is_loaded_without_loss(section: Section, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = section.save(tmp_path_factory.mktemp("section"))
    assert Section.load(folder) == section
    assert Section.load(folder).digest == section.digest


CHANGED: dict[str, Any] = {
    "title": "b",
    "question": "b",
    "findings": (),
    "not_claimed": (),
    "accuracy": None,
    "tables": SECTION.tables[:1],
    "pictures": (replace(SECTION.pictures[0], png=make_png(1600, 400, 7)), SECTION.pictures[1]),
    "cost": None,
    "settings": {"layers": "5"},
    "assumptions": {},
    "provenance": {},
}


@pytest.mark.parametrize("name", CHANGED)
def test_digest_changes_with_each_field(name: str) -> None:
    assert replace(SECTION, **{name: CHANGED[name]}).digest != SECTION.digest
    assert re.fullmatch("[0-9a-f]{8}", SECTION.digest)


def test_save_overwrites_no_file(tmp_path: Path) -> None:
    SECTION.save(tmp_path)
    kept = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(FileExistsError):
        replace(SECTION, title="b").save(tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == kept


def test_incomplete_folder_is_not_loaded_as_a_section(tmp_path: Path) -> None:
    SECTION.save(tmp_path / "a")
    (tmp_path / "a" / "wide.png").unlink()
    for folder in ("a", "b"):
        with pytest.raises(FileNotFoundError):
            Section.load(tmp_path / folder)


def damaged(**changes: object) -> str:
    """Return the text of section.json of a section without pictures, with changed content."""
    content = {"format": "hattriq_cirq.Section/1", "title": "t", "question": "q", "accuracy": None, "cost": None}
    return json.dumps({**content, "tables": [], "pictures": [], **changes})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '"text"',
        "{}",
        damaged(format="another/1"),
        damaged(unknown=1),
        damaged(settings=["a"]),
        damaged(findings="one text"),
        damaged(tables=[{"caption": "c", "columns": ["a"], "rows": [["1", "2"]]}]),
        damaged(pictures=[{"caption": "no name"}]),
    ],
)
def test_error_of_a_damaged_file_names_it(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(damaged())
    assert Section.load(tmp_path).title == "t"
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ValueError, match=FILE):
        Section.load(tmp_path)


def test_values_are_checked() -> None:
    png = make_png(3, 2)
    assert Picture(png, "", "").size == (3, 2)
    for wrong in (b"GIF89a" + bytes(40), png[:20]):
        with pytest.raises(ValueError, match="PNG"):
            Picture(wrong, "", "")
    with pytest.raises(ValueError, match=r"name='\.\./x'"):
        Picture(png, "", "", "../x")
    with pytest.raises(ValueError, match="at least one column"):
        Table("", (), ())
    with pytest.raises(ValueError, match="must have 2 cells: a, b"):
        Table("", ("a", "b"), (("1",),))
    with pytest.raises(ValueError, match="each needs its own"):
        Section("t", "q", pictures=(Picture(png, "", ""), Picture(png, "", "")))
    with pytest.raises(ValueError, match="findings='one' is one text"):
        Section("t", "q", findings="one")  # type: ignore[arg-type]


# Markdown


def test_order_of_the_markdown_of_a_section() -> None:
    text = SECTION.markdown("images/study-", level=3)
    parts = (
        "### a task",
        "a question",
        "0.987",
        "- the first finding is 0.5 [0.4, 0.6]\n- a target",
        "![the alt](images/study-wide.png)\n\nthe caption",
        "| 0.5 [0.1, 0.9] | 1.5 [1.1, 1.9] |",
        "the cost",
        "Not claimed: that it is so everywhere",
        "Settings. layers: 4;",
        "Assumptions. form: quadratic.",
    )
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "![" not in SECTION.markdown()
    assert text.endswith(".\n")


def test_special_characters_keep_the_shape_of_a_markdown_table() -> None:
    table = Table("caption", ("a|b", "c"), (("1|2", "two\nlines"), ("<O>", "3*4*5")))
    caption, empty, *lines = table.markdown().splitlines()
    assert (caption, empty) == ("caption", "")
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines] == [3] * 4
    assert lines[-1] == r"| \<O> | 3\*4\*5 |"


def test_long_tables_are_collapsed() -> None:
    text = SECTION.markdown(fold=60)
    assert text.count("<details>") == text.count("</details>") == 1
    assert "<details><summary>many rows (60 rows)</summary>\n\n| name | value |" in text
    assert "<details>" not in SECTION.markdown(fold=61)
    folded = Table("<b>a</b>\n\n<script>", ("a",), (("1",),)).markdown(fold=1)
    assert "<summary>&lt;b&gt;a&lt;/b&gt; &lt;script&gt; (1 rows)</summary>" in folded


@given(text=texts)
def test_markdown_shows_text_unchanged(text: str) -> None:
    shown = in_markdown(text)
    assert not re.search(r"(?<!\\)[<*~]", shown)
    assert "\n" not in shown
    assert re.sub(r"\\([<*~])", r"\1", shown) == printable(" ".join(text.split()))
