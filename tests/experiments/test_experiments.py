"""The studies run, and the pages they print are what is committed."""

from pathlib import Path

from experiments import circuit_diagrams

ROOT = Path(__file__).parents[2]


def test_the_page_of_circuits_is_drawn_from_the_code_as_it_is() -> None:
    assert (ROOT / "docs" / "circuits.md").read_text() == circuit_diagrams.page()
