"""The page on tables: its examples run and give what it says."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from page_script import python_blocks

PAGE = (Path(__file__).parents[2] / "docs" / "classifier.md").read_text(encoding="utf-8")


def test_examples_of_the_page_on_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    with redirect_stdout(io.StringIO()) as out:
        for code in python_blocks(PAGE):
            exec(code, names)
    assert out.getvalue().startswith("predicted 'class_0' (p = 1.00): proline +0.18, alcohol +0.09, ")
    assert round(names["classifier"].score(names["x_test"], names["y_test"]), 2) == 0.98
    assert names["pipeline"][-1].attribute(names["pipeline"][:-1].transform(names["table"][:2])).values.shape == (2, 8)
