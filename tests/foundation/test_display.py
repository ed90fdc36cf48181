"""Text from outside as it is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.progress import progress_bar


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, münchen, 東京, \N{SNOWMAN}", "plain, münchen, 東京, \N{SNOWMAN}"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x9b31m", r"\x9b31m"),
        ("a\rb\bc\x07", r"a\rb\x08c\x07"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("bad\udcff", r"bad\udcff"),
        ("\U000e0041", r"\U000e0041"),
        ("\u2028", r"\u2028"),
        ("\xa0", r"\xa0"),
        ("\U0010ffff", r"\U0010ffff"),
    ],
)
def test_control_characters_are_shown_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_shown_text_has_no_control_characters_and_stays(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    assert printable(text, lines=True).replace("\n", "").replace("\t", "") == printable(
        text.replace("\n", "").replace("\t", "")
    )


def test_progress_bar_shows_its_name_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(shown=True, total=1, desc="\x1b[31mengine") as bar:
        bar.update()
    assert r"\x1b[31mengine" in capsys.readouterr().err
