"""`hattriq report` of runs and studies, and the report of the demo."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from pages import SECTION, Page

from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.cli import main
from hattriq_cirq.cli.commands import demo as demo_module

# demo


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_demo_writes_records_arrays_tables_pictures_and_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--quick"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "completeness holds" in shown.out
    assert str(out / "report.html") in shown.out
    assert names(out) == {"bars_and_stripes", "digits", "report.html"}
    page = (out / "report.html").read_text()
    for task in ("bars_and_stripes", "digits"):
        assert names(out / task / "train") == {"model.json", "run.json", "training.csv", "training.png"}
        maps = out / task / "attribution"
        assert names(maps) == {"attribution.npz", "attribution.csv", "gallery.png", "run.json"}
        assert np.abs(Attribution.load(maps / "attribution.npz").completeness_gap).max() < 1e-12
        record = json.loads((out / task / "train" / "run.json").read_text())
        assert record["accuracies"][0]["test"] >= 0.99
        assert page.count(record["data"]["name"]) >= 3
        assert record["data"]["summary"] in page
        provenance = json.loads((maps / "run.json").read_text())["provenance"]
        for words in (
            "layers",
            "quadratic",
            provenance["created_utc"],
            provenance["versions"]["cirq-core"],
        ):
            assert words in page
    assert page.count("data:image/png;base64,") == 4
    sections = [str(each["id"]).partition("-")[2] for each in Page(page).all("section")]
    assert [name for name in sections if name.endswith(("accuracy", "pictures"))] == [
        "1-accuracy",
        "1-pictures",
        "2-accuracy",
        "2-pictures",
    ]
    assert ">holds<" in page
    assert ">fails<" not in page


def test_demo_with_a_completeness_gap_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_module, "TOLERANCE", -1.0)
    monkeypatch.setattr(demo_module, "TASKS", {"bars_and_stripes": "bars_and_stripes"})
    assert main(["demo", "--out", f"{tmp_path}/demo", "--quick"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "completeness fails" in line
    assert ">fails<" in (tmp_path / "demo" / "report.html").read_text()


# runs and studies


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a training run, exact maps and sampled maps."""
    home = tmp_path_factory.mktemp("home")
    words = f"attribute {home}/bars --data bars_and_stripes --inputs test:0:3"
    assert run(f"train bars_and_stripes --epochs 5 --out {home}/bars") == 0
    assert run(f"{words} --out {home}/maps") == 0
    assert run(f"{words} --estimator resolved --shots 500 --out {home}/shots") == 0
    return home


def test_report_of_runs_and_studies_is_one_page(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = replace(SECTION, title="an older report"), replace(SECTION, title="the newest report")
    for number, section in enumerate((new, old)):
        folder = section.save(tmp_path / "study" / f"report-full-{number}")
        os.utime(folder, (1000 - number, 1000 - number))
    assert run(f"report {tmp_path}/study {home}/bars {home}/maps --out {tmp_path}/page.html --title 'A <title>'") == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert f"wrote {tmp_path}/page.html" in shown.out
    page = (tmp_path / "page.html").read_text()
    assert len(Page(page).all("article")) == 3
    assert "the newest report" in page
    assert "an older report" not in page
    assert "<h1>A &lt;title&gt;</h1>" in page
    images = {str(each["src"]).partition(",")[2] for each in Page(page).all("img")}
    for file in (home / "bars" / "training.png", home / "maps" / "gallery.png"):
        assert base64.b64encode(file.read_bytes()).decode() in images


def test_report_of_sampled_maps_shows_intervals_and_cost(home: Path, tmp_path: Path) -> None:
    assert run(f"report {home}/shots --out {tmp_path}/page.html") == 0
    page = (tmp_path / "page.html").read_text()
    a = Attribution.load(home / "shots" / "attribution.npz")
    for one in a:
        ((feature, value),) = one.top(1)
        low, high = (end[feature] for end in one.interval())
        assert high - low > 2 * 1.96 * one.stderr[feature]  # wider by outcomes too rare to have been counted
        assert f'{value:+.4f}<span class="interval"> [{low:+.4f}, {high:+.4f}]' in page
    assert f">{a.cost.shots}<" in page
    assert page.count(">holds<") == 3


def test_report_of_maps_without_training_run_says_that_the_accuracy_is_unknown(home: Path, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_bytes((home / "bars" / "model.json").read_bytes())
    maps = f"attribute {tmp_path}/model.json --data bars_and_stripes --inputs test:0:1 --out {tmp_path}/maps"
    assert run(maps) == 0
    (tmp_path / "run.json").write_bytes((home / "bars" / "run.json").read_bytes())
    (tmp_path / "training.png").write_bytes((home / "bars" / "training.png").read_bytes())
    assert run(f"report {tmp_path}/maps --out {tmp_path}/known.html") == 0
    (tmp_path / "model.json").write_text("another model by now")
    assert run(f"report {tmp_path}/maps --out {tmp_path}/unknown.html") == 0
    known, unknown = ((tmp_path / f"{name}.html").read_text() for name in ("known", "unknown"))
    assert "How accurate the model is" in unknown
    assert "How accurate the model is" not in known
    accuracy_of = [[str(each["id"]) for each in Page(page).all("section")] for page in (known, unknown)]
    assert ["section-1-accuracy" in ids for ids in accuracy_of] == [True, False]


def test_existing_report_is_not_overwritten(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "page.html").write_text("mine")
    assert run(f"report {home}/bars --out {tmp_path}/page.html") == 2
    assert "not overwritten" in capsys.readouterr().err
    assert (tmp_path / "page.html").read_text() == "mine"


def error_line(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line of a command that must fail."""
    assert run(line) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_report_errors_name_the_cure(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = f"--out {tmp_path}/page.html"
    (tmp_path / "empty").mkdir()
    (tmp_path / "runs" / "signs" / "tasks").mkdir(parents=True)
    (tmp_path / "stopped").mkdir()
    (tmp_path / "stopped" / "journal.jsonl").write_text("{}")
    assert "give the folder of a study" in error_line(f"report {tmp_path}/nowhere {out}", capsys)
    assert "give the folder of a study" in error_line(f"report {tmp_path}/empty {out}", capsys)
    assert "give the folder of a study" in error_line(f"report {home}/bars/model.json {out}", capsys)
    assert f"python -m experiments signs --out {tmp_path}/runs" in error_line(f"report {tmp_path}/runs/signs {out}", capsys)
    assert f"hattriq resume {tmp_path}/stopped" in error_line(f"report {tmp_path}/stopped {out}", capsys)
    assert not (tmp_path / "page.html").exists()


def test_report_of_a_damaged_run_names_its_file(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("bars", "maps"):
        record = json.loads((home / name / "run.json").read_text())
        del record["settings"]
        (tmp_path / name).mkdir()
        for file in (home / name).iterdir():
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
        (tmp_path / name / "run.json").write_text(json.dumps(record))
        line = error_line(f"report {tmp_path}/{name} --out {tmp_path}/page.html", capsys)
        assert f"{tmp_path}/{name}/run.json is not as hattriq wrote it" in line
    (tmp_path / "maps" / "attribution.npz").unlink()
    assert "attribution.npz" in error_line(f"report {tmp_path}/maps --out {tmp_path}/page.html", capsys)
