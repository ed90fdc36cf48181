"""The studies run, and the pages they print are what is committed."""

from pathlib import Path

import pytest

from experiments import (
    approximate_encoding,
    best_pipeline,
    calibrated_noise,
    circuit_diagrams,
    placement,
)

ROOT = Path(__file__).parent.parent


def test_the_page_of_circuits_is_drawn_from_the_code_as_it_is() -> None:
    assert (ROOT / "docs" / "circuits.md").read_text() == circuit_diagrams.page()


@pytest.mark.slow
def test_the_study_of_approximate_encoding_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    approximate_encoding.main(["--quick", "--out", str(tmp_path / "new")])
    assert "staircases, swept" in capsys.readouterr().out
    assert any(path.suffix == ".png" for path in (tmp_path / "new").iterdir())


def test_the_study_of_placement_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    errors = [
        placement.Error(placement.Task(seed, kind, number, 1), 0.1 * (1 + number), 10 + number)
        for seed in (0, 1)
        for kind, number in ((placement.KINDS[0], 0), (placement.KINDS[1], 1), (placement.KINDS[2], 2))
    ]
    lines = placement.table(errors)
    assert "in the best tenth for 2 of 2 models" in lines[-2]
    assert "error over the random mean 0.500" in lines[-2]
    assert len(placement.figure(errors).axes) == 1
    chosen = placement.measured_error(placement.Task(0, placement.KINDS[0], 0, 1))
    assert 0 < chosen.error < 0.5
    assert chosen.two_qubit_gates < 40


@pytest.mark.slow
def test_the_study_of_placement_writes_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    placement.main(["--quick", "--out", str(tmp_path / "new"), "--workers", "1"])
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"placement.json", "placement.png"}
    assert "target: at most 0.5" in capsys.readouterr().out


@pytest.mark.slow
def test_the_study_of_calibrated_noise_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calibrated_noise.main(["--quick", "--out", str(tmp_path / "new"), "--workers", "1"])
    assert (tmp_path / "new" / "calibrated_noise.json").is_file()
    assert "| resolved | " in capsys.readouterr().out


@pytest.mark.slow
def test_the_study_of_the_best_pipeline_runs(capsys: pytest.CaptureFixture[str]) -> None:
    best_pipeline.main(["--quick"])
    assert "| twirling, readout | " in capsys.readouterr().out
