"""Every study runs quickly, skips what exists, and says what it found with intervals."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from experiments.runner import registry as suite
from hattriq_cirq.reporting.document import FILE, Section

INTERVAL = re.compile(r"-?\d[\d.,e+-]* \[-?\d[\d.,e+-]*, -?\d[\d.,e+-]*\]")


def stamps(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("tasks/*.json")}


@pytest.mark.parametrize("name", suite.STUDIES)
def test_a_quick_run_tells_something_and_runs_once(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--quick", "--out", str(tmp_path), "--workers", "1"]
    assert suite.run(name, words) == 0
    printed = capsys.readouterr().out
    (folder,) = (file.parent for file in tmp_path.rglob(FILE))
    assert folder.name.startswith("report-quick-")
    section = Section.load(folder)
    assert section.question
    assert section.findings
    assert section.settings
    assert section.pictures
    cells = [cell for table in section.tables for row in table.rows for cell in row]
    assert any(map(INTERVAL.search, cells))
    assert section.markdown() in printed
    written = stamps(tmp_path)
    assert written
    assert suite.run(name, words) == 0
    assert stamps(tmp_path) == written
    assert [file.parent for file in tmp_path.rglob(FILE)] == [folder]


def test_a_study_says_what_it_is_without_being_imported() -> None:
    lines = [suite.summary(name) for name in suite.STUDIES]
    assert len(set(lines)) == len(suite.STUDIES)
    assert all(20 < len(line) < 130 for line in lines)
