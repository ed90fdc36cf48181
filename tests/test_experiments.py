"""The studies run, and the pages they print are what is committed."""

from pathlib import Path

import pytest

from experiments import (
    best_pipeline,
    circuit_diagrams,
)

ROOT = Path(__file__).parent.parent


def test_the_page_of_circuits_is_drawn_from_the_code_as_it_is() -> None:
    assert (ROOT / "docs" / "circuits.md").read_text() == circuit_diagrams.page()


@pytest.mark.slow
def test_the_study_of_the_best_pipeline_runs(capsys: pytest.CaptureFixture[str]) -> None:
    best_pipeline.main(["--quick"])
    assert "| twirling, readout | " in capsys.readouterr().out
