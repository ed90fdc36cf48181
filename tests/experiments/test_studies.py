"""Quick runs of all studies: reports with intervals, results that exist are not computed again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from experiments.runner import registry
from hattriq_cirq.reporting.document import FILE, Section

INTERVAL = re.compile(r"-?\d[\d.,e+-]* \[-?\d[\d.,e+-]*, -?\d[\d.,e+-]*\]")


def stamps(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("tasks/*.json")}


#: Studies whose quick run takes the longest.
LONG = (
    "attribution_gallery",
    "baselines",
    "best_pipeline",
    "learned",
    "noise_mitigation",
    "readout_mitigation",
    "shot_noise",
    "unseen_noise",
)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in registry.STUDIES])
def test_quick_run_reports_intervals_and_is_not_repeated(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--quick", "--out", str(tmp_path), "--workers", "1"]
    assert registry.run(name, words) == 0
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
    assert registry.run(name, words) == 0
    assert stamps(tmp_path) == written
    assert [file.parent for file in tmp_path.rglob(FILE)] == [folder]


def test_summaries_of_studies_are_read_without_import() -> None:
    lines = [registry.summary(name) for name in registry.STUDIES]
    assert len(set(lines)) == len(registry.STUDIES)
    assert all(20 < len(line) < 130 for line in lines)
