"""Rows of benchmarks, kept in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import rows
from benchmarks.rows import Rows


def measured(file: Path, name: str, value: object) -> object:
    """Return the measurement of a name by new rows, which measure the value if none is kept."""
    return Rows(file).get(name, 100, measure=lambda: value)


def test_stopped_benchmark_goes_on_with_the_rows_that_it_kept(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "rows.json"
    kept = Rows(file)
    kept.get("first", 100, measure=lambda: ["| a |", 1.5])
    with pytest.raises(KeyboardInterrupt):
        kept.get("second", 100, measure=_interrupt)
    assert Rows(file).has("first", 100)
    assert not Rows(file).has("second", 100)
    assert measured(file, "first", "anew") == ["| a |", 1.5]
    assert measured(file, "second", "measured") == "measured"


def test_rows_of_other_source_code_are_measured_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rows.json"
    measured(file, "first", 1)
    monkeypatch.setattr(rows, "_digest_of_code", lambda: "other")
    assert measured(file, "first", 2) == 2
    assert list(json.loads(file.read_text())["rows"].values()) == [2]


def _interrupt() -> object:
    raise KeyboardInterrupt
