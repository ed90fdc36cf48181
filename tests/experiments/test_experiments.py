"""Pages about the studies: the example of the README runs, and the page of circuits is up to date."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from experiments import circuit_diagrams
from experiments.runner.study import newest_report
from hattriq_cirq.reporting.document import Section

ROOT = Path(__file__).parents[2]


def test_page_of_circuits_is_up_to_date() -> None:
    assert (ROOT / "docs" / "circuits.md").read_text() == circuit_diagrams.page()


def test_example_study_of_the_readme_has_at_most_30_lines_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "experiments" / "README.md").read_text(), re.S)
    assert len([line for line in example.splitlines() if line.strip()]) <= 30
    (tmp_path / "study_of_the_readme.py").write_text(example)
    monkeypatch.syspath_prepend(tmp_path)
    study = import_module("study_of_the_readme").STUDY
    assert study.main(["--quick", "--workers", "1", "--out", str(tmp_path)]) == 0
    folder = newest_report(tmp_path, study.name, "quick")
    assert folder is not None
    section = Section.load(folder)
    assert section.findings[0].startswith("With 1,000 shots the error is ")
    assert section.settings == {"subject": "bars", "seed": "0", "shots": "1000, 10000"}
    assert section.accuracy is not None
    assert section.accuracy.rows[0][0] == "bars"
