"""Cards of values: short text at a prompt, and HTML that escapes everything and has no script."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from hattriq_cirq.foundation.card import ROWS, Card

TEXT = st.text(st.characters(exclude_categories=()), max_size=40) | st.sampled_from(
    ["<script>alert(1)</script>", "</style><b>", '" onload="x', "a&amp;b", "a\nb", "\x1b[31m", "\u202e", "\ud800", "x" * 9999]
)
CELLS = st.lists(st.tuples(TEXT, TEXT), max_size=2 * ROWS)


class Elements(HTMLParser):
    """Collects the elements, their attributes and the text outside the style."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


@settings(max_examples=60, deadline=None)
@given(TEXT, CELLS, CELLS, st.lists(TEXT, max_size=3))
def test_no_text_becomes_markup(
    title: str, facts: list[tuple[str, str]], rows: list[tuple[str, str]], notes: list[str]
) -> None:
    card = Card(title, facts, ("<name>", "value"), rows, [(-1.0) ** k for k in range(len(rows))], notes=notes)
    found = Elements()
    found.feed(html := card.html())
    found.close()
    assert found.open == []
    assert set(found.elements) <= {"div", "style", "b", "table", "thead", "tbody", "tr", "th", "td", "p", "i"}
    assert found.elements.count("style") == 1
    assert found.attributes <= {"class", "style"}
    assert html.isprintable()
    assert "<name>" in found.text
    assert len(html) < 60_000
    assert all(line.isprintable() and len(line) < 10_100 for line in str(card).splitlines())


def test_text_of_a_card_is_one_line_or_few() -> None:
    assert str(Card("Engine qsim", [("seed", 1), ("noise", "none")])) == "Engine qsim: seed 1; noise none"
    lines = str(Card("Resources", [(f"figure {k}", "x" * 100) for k in range(20)])).splitlines()
    assert len(lines) == 8
    assert lines[-1].strip() == "..."
    assert all(len(line) < 80 for line in lines)


def test_bars_begin_at_zero_and_have_the_sign_as_colour() -> None:
    html = Card("x", (), ("name", "value"), [("a", 3), ("b", -1)], [3.0, -1.0]).html()
    assert '<i style="margin-left:25.0%;width:75.0%"></i>' in html
    assert '<i class="m" style="margin-left:0.0%;width:25.0%"></i>' in html


def test_rows_that_are_left_out_are_counted() -> None:
    html = Card("x", (), ("name",), [(k,) for k in range(ROWS + 3)]).html()
    assert html.count("<tr><td>") == ROWS
    assert "<p>3 more</p>" in html
