"""Study of a user's own table: main feature, identity of tasks, and errors of bad files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.studies import user_data
from hattriq_cirq.reporting.document import FILE, Section


def write_table(path: Path, header: str = "noise a,noise b,TELLS ALL,noise c,label") -> Path:
    rng = np.random.default_rng(0)
    labels = rng.choice([-1, 1], 80)
    x = rng.uniform(0.4, 0.6, (80, 4))
    x[:, 2] = 0.75 * labels
    rows = [",".join(map(str, [*row, label])) for row, label in zip(x.tolist(), labels.tolist(), strict=True)]
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def run_study(tmp_path: Path, path: Path, *more: str) -> Section:
    words = ["--data", str(path), "--quick", "--workers", "1", "--out", str(tmp_path / "runs"), *more]
    assert user_data.STUDY.main(words) == 0
    (folder,) = (file.parent for file in tmp_path.rglob(FILE))
    return Section.load(folder)


def test_main_feature_is_named_and_tasks_follow_the_content_of_the_table(tmp_path: Path) -> None:
    path = write_table(tmp_path / "own.csv")
    section = run_study(tmp_path, path, "--layers", "2")
    table = section.tables[0]
    assert {row[0] for row in table.rows} == {"noise a", "noise b", "TELLS ALL", "noise c"}
    assert table.rows[0][0] == "TELLS ALL"
    assert section.settings["data"] == "own.csv"
    before = user_data.table_tasks(path, None, 2, True)
    path.write_text(path.read_text().replace("0.75", "0.76"))
    assert user_data.table_tasks(path, None, 2, True) != before
    with pytest.raises(ValueError, match="run the command again"):
        user_data.run(before[0])


def test_npz_table_has_numbered_features(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    y = np.repeat([-1, 1], 20)
    np.savez(tmp_path / "own.npz", x=rng.uniform(0.1, 1, (40, 3)), y=y)
    section = run_study(tmp_path, tmp_path / "own.npz", "--layers", "1")
    assert {row[0] for row in section.tables[0].rows} == {"feature 0", "feature 1", "feature 2"}


def test_bad_table_is_rejected_before_anything_runs(tmp_path: Path) -> None:
    words = ["--quick", "--workers", "1", "--out", str(tmp_path / "runs")]
    with pytest.raises(FileNotFoundError, match="give the path"):
        user_data.STUDY.main(["--data", str(tmp_path / "none.csv"), *words])
    path = write_table(tmp_path / "own.csv")
    with pytest.raises(ValueError, match="columns: noise a"):
        user_data.STUDY.main(["--data", str(path), "--label-column", "target", *words])
    assert not (tmp_path / "runs").exists()
