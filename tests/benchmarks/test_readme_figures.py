"""The README's figures of speed are those of the page that the benchmarks write."""

from __future__ import annotations

import pytest

from benchmarks import readme

COLUMNS = "n | images | steps | first call | later calls | M kept | PennyLane + JAX | TensorCircuit + JAX | qulacs by hand"
ROWS = (
    "4 | 1 | 1 | 90 ms | 0.02 ms | 0.01 ms | 0.1 ms, 5.0x [4.0, 6.0] | 0.1 ms, 5.1x [4.1, 6.1] | 0.1 ms, 5.2x [4.2, 6.2]",
    "8 | 1 | 1 | 90 ms | 0.03 ms | 0.01 ms | - | - | -",
    "8 | 100 | 1 | 90 ms | 0.04 ms | 0.01 ms | - | - | -",
    "8 | 100 | 50 | 90 ms | 0.05 ms | 0.01 ms | - | - | -",
    "12 | 100 | 1 | 90 ms | 0.06 ms | 0.01 ms | - | - | 0.1 ms, 0.9x [0.8, 1.1]",
)


def page(*ahead: str, rows: tuple[str, ...] = ROWS) -> str:
    """Return a page with the tables that the README needs."""
    table = [f"| {line} |" for line in (COLUMNS, "---", *rows)]
    training = [
        "| until 95% are right | seconds | epochs |",
        "|---|",
        "| this library | 0.10 | 4 |",
        "| PennyLane + JAX | 9.50 | 4 |",
    ]
    return "\n".join([*table, "", *(f"- {line}, later calls" for line in ahead), "", *training, ""])


def test_readme_shows_the_figures_of_the_page() -> None:
    text = readme.README.read_text(encoding="utf-8")
    stored = (readme.README.parent / "docs" / "speed.md").read_text(encoding="utf-8")
    assert readme.updated(text, stored) == text


def test_figures_of_a_page_reach_the_readme() -> None:
    found = readme.updated(f"# T\n\n{readme.HEADING}\n\nold\n\n## Next\n\nkept\n", page())
    assert found.startswith(f"# T\n\n{readme.HEADING}\n\nExact maps")
    assert "right after 0.10 s, with PennyLane after 9.50 s" in found
    assert "| 4 | 1 | 0.02 ms | 5.0 [4.0, 6.0] | 5.1 [4.1, 6.1] | 5.2 [4.2, 6.2] |" in found
    assert "| 8 | 100 | 0.04 ms | - | - | - |" in found
    assert "0.05" not in found
    assert found.endswith("| 12 | 100 | 0.06 ms | - | - | 0.9 [0.8, 1.1] |\n\n## Next\n\nkept\n")


def test_readme_names_every_peer_that_is_ahead() -> None:
    dense = [f"n = {n}, 1 images, 1 steps: {readme.DENSE} takes 0.2x [0.1, 0.3] the time of this library" for n in (4, 10)]
    qulacs = "n = 12, 100 images, 1 steps: qulacs by hand takes 0.9x [0.8, 1.1] the time of this library"
    found = readme.chapter(page(*dense, qulacs))
    assert "is ahead up to 10 qubits." in found
    assert found.endswith("\nqulacs by hand is ahead at n = 12 with 100 images.")


def test_page_without_a_row_of_the_readme_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks rows"):
        readme.chapter(page(rows=ROWS[1:]))
    with pytest.raises(ValueError, match="no heading"):
        readme.updated("# T\n", page())
