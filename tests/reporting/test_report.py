"""HTML pages: complete, in the documented order, and with all text escaped."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pages import SECTION, Page, make_png

from hattriq_cirq import datasets
from hattriq_cirq.models.ansatz import ring_ansatz
from hattriq_cirq.models.model import Model
from hattriq_cirq.reporting.document import Picture, Section, Table
from hattriq_cirq.reporting.html import number_and_interval, render, verdict, write_report
from hattriq_cirq.workflows.accuracies import Accuracy, accuracies, table_of_accuracies

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=y>"


def test_pictures_are_embedded_in_the_page() -> None:
    images = Page(render("t", [SECTION])).all("img")
    decoded = [base64.b64decode(str(each["src"]).removeprefix("data:image/png;base64,")) for each in images]
    assert decoded == [picture.png for picture in SECTION.pictures]
    assert [(each["alt"], each["width"], each["height"]) for each in images] == [
        ("the alt", "1600", "400"),
        ("second alt", "90", "300"),
    ]


def test_page_needs_no_other_file() -> None:
    text = render("t", [SECTION])
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    assert not {tag for tag, _ in Page(text).tags} & {"script", "link", "iframe", "object"}


def test_order_of_the_parts_of_a_section() -> None:
    text = render("t", [SECTION])
    sections = [str(attributes["id"]).removeprefix("section-1-") for attributes in Page(text).all("section")]
    assert sections == [
        "settings",
        "accuracy",
        "findings",
        "pictures",
        "tables",
        "cost",
        "assumptions",
        "not-claimed",
        "provenance",
    ]
    places = [text.index(words) for words in ("a question", "0.987", "0.975", "not installed", "0.500", "the first finding")]
    assert max(places) < text.index("<img")


def test_all_text_of_a_section_is_on_the_page() -> None:
    text = render("the page", [SECTION], "what it shows")
    words = ["the page", "what it shows", SECTION.title, SECTION.question, *SECTION.findings, *SECTION.not_claimed]
    for values in (SECTION.settings, SECTION.assumptions, SECTION.provenance):
        words += [*values, *values.values()]
    for table in SECTION.tables:
        words += [table.caption, *table.columns, *(row[0] for row in table.rows)]
    words += [picture.caption for picture in SECTION.pictures] + ["the cost", "1000"]
    assert [each for each in words if f">{each}<" not in text] == []
    assert "[3.1, 3.9]" in text


def test_empty_parts_of_a_section_are_omitted() -> None:
    page = Page(render("t", [Section("only a title", "only a question")]))
    assert page.all("section") == page.all("img") == page.all("table") == page.all("nav") == []


def test_contents_link_to_the_sections() -> None:
    page = Page(render("t", [SECTION, replace(SECTION, title="b"), replace(SECTION, title="c")]))
    links = [each["href"] for each in page.all("a")]
    assert {f"#{each['id']}" for each in page.all("article")} < set(links)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {str(link).removeprefix("#") for link in links} <= set(ids)


def test_hostile_text_is_escaped() -> None:
    table = Table(HOSTILE, (HOSTILE, "b"), ((HOSTILE, HOSTILE),))
    section = Section(
        HOSTILE,
        HOSTILE,
        (HOSTILE,),
        (HOSTILE,),
        table_of_accuracies((Accuracy(HOSTILE, 1, 1, HOSTILE),), 1, 1),
        (table,),
        (Picture(make_png(2, 2), HOSTILE, HOSTILE),),
        table,
        {HOSTILE: HOSTILE},
        {HOSTILE: HOSTILE},
        {HOSTILE: HOSTILE},
    )
    page = Page(render(HOSTILE, [section, section], HOSTILE))
    assert "script" not in {tag for tag, _ in page.tags}
    images = page.all("img")
    assert [image["alt"] for image in images] == [HOSTILE] * 2
    assert set(images[0]) == {"src", "alt", "width", "height"}
    assert not [attributes for _, attributes in page.tags if "onerror" in attributes]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("0.98 met", "good"),
        ("holds", "good"),
        ("0.98 MISSED", "bad"),
        ("fails", "bad"),
        ("Completeness fails for 2 of 4 inputs", "bad"),
        ("metric", ""),
        ("DISMISSED", ""),
        ("0.98", ""),
    ],
)
def test_verdict_of_a_text_and_its_table_cell(text: str, word: str) -> None:
    assert verdict(text) == word
    section = Section("t", "q", tables=(Table("", ("a", "b"), (("x", text),)),))
    assert (f'<td class="{word}">{text}</td>' in render("t", [section])) == bool(word)


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        ("0.5", ("0.5", "")),
        ("-0.5 [-0.6, -0.4]", ("-0.5", "[-0.6, -0.4]")),
        ("1.2e-05 [1e-06, 2E5]", None),
        ("1.2e-05 [1e-06, 2e+05]", ("1.2e-05", "[1e-06, 2e+05]")),
        ("10,000", ("10,000", "")),
        ("12% [10, 14]", ("12%", "[10, 14]")),
        ("-", ("-", "")),
        ("bars 0.5", None),
        ("", None),
        ("1_10", None),
    ],
)
def test_split_of_a_cell_into_number_and_interval(cell: str, parts: tuple[str, str] | None) -> None:
    assert number_and_interval(cell) == parts


def test_alignment_of_number_columns_with_empty_cells() -> None:
    rows = (("a", "1.0", "2.0", ""), ("b", "", "none", ""))
    cells = Page(render("t", [Section("t", "q", tables=(Table("", ("w", "x", "y", "z"), rows),))])).all("th")
    assert [each.get("class") == "number" for each in cells if each["scope"] == "col"] == [False, True, False, False]


def test_page_has_styles_for_dark_and_narrow_screens() -> None:
    text = render("t", [SECTION])
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_write_report_does_not_overwrite(tmp_path: Path) -> None:
    path = write_report(tmp_path / "deep" / "report.html", "t", [SECTION])
    assert path.read_text(encoding="utf-8") == render("t", [SECTION])
    with pytest.raises(FileExistsError, match="not overwritten"):
        write_report(path, "t", [SECTION])


def test_values_are_checked() -> None:
    with pytest.raises(ValueError, match=r"test=1\.2"):
        Accuracy("x", 1.0, 1.2)
    with pytest.raises(ValueError, match="at least one section"):
        render("t", [])


def test_test_accuracies_have_wilson_intervals() -> None:
    rows = (Accuracy("a", 1.0, 0.9), Accuracy("b", 0.5, None), Accuracy("chance", None, 0.5))
    cells = [row[1:] for row in table_of_accuracies(rows, 90, 10).rows]
    z, p, n = 1.959964, 0.9, 10  # Wilson 1927
    middle, half = p + z**2 / 2 / n, z * np.sqrt(p * (1 - p) / n + (z / 2 / n) ** 2)
    low, high = ((middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    assert cells == [("1.000", f"0.900 [{low:.3f}, {high:.3f}]"), ("0.500", "-"), ("-", "0.500")]


# accuracies


def planted(model_sign: int) -> Model:
    """Return a model of +-Z; +Z classifies `task` correctly."""
    model = ring_ansatz(1, 0)
    return model.with_observable(model.pauli_sum * model_sign)


def task(imaginary: bool = False) -> datasets.Dataset:
    """Return a linearly separable task: the label is +1 if amplitude 0 is the larger one."""
    share = np.concatenate([np.linspace(0.0, 0.4, 20), np.linspace(0.6, 1.0, 20)])
    x = np.stack([np.sqrt(share), np.sqrt(1 - share)], axis=1)
    return datasets.from_features(x * 1j if imaginary else x, np.repeat([-1, 1], 20), name="share")


@pytest.mark.parametrize("imaginary", [False, True])
def test_accuracies_of_a_task_with_known_answers(imaginary: bool) -> None:
    model, regression, chance = accuracies(planted(+1), task(imaginary))
    assert (model.train, model.test) == (1, 1)
    assert (regression.train, regression.test) == (1, 1)
    assert (chance.train, chance.test) == (None, 0.5)
    assert (accuracies(planted(-1), task())[0].train, accuracies(planted(-1), task())[0].test) == (0, 0)
