"""`hattriq explain`: its page, its numbers, its refusals, and the page of the documentation on it."""

from __future__ import annotations

import csv
import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from command_line import refusal, run, train_on_table
from page_script import python_blocks

import hattriq_cirq as hq
from hattriq_cirq.reporting.document import Section

PAGE = (Path(__file__).parents[2] / "docs" / "explanations.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model of a table, and an explanation of all parts."""
    home = tmp_path_factory.mktemp("home")
    train_on_table(home, epochs=3)
    return home


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))


def test_all_parts_are_on_the_page_and_in_files(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = home / "why"
    assert run(f"explain {home}/model --data {home}/table.csv --inputs test:0:2 --out {out}") == 0
    printed = capsys.readouterr().out
    model, data = hq.Model.load(home / "model" / "model.json"), hq.datasets.load(str(home / "table.csv"))
    indices = data.test[:2]
    maps = hq.integrated_gradients(model, data.amplitudes[indices], baseline=0)
    found = rows_of(out / "maps.csv")
    np.testing.assert_allclose([float(row["value"]) for row in found], maps.values.ravel())
    assert data.columns is not None
    assert {row["name"] for row in found} >= set(data.columns)
    for index, one in zip(indices, maps, strict=True):
        assert re.search(rf"^Input {index} \(label .*\): {re.escape(one.answer())}\. ", printed, re.M)
    pairs = [row for row in rows_of(out / "interactions.csv") if row["sample"] == str(indices[0])]
    exact = hq.interactions(model, data.amplitudes[indices[0]]).pairs(1)[0]
    assert float(pairs[0]["pair_effect"]) == pytest.approx(exact.value)
    assert {row["cut"] for row in rows_of(out / "layers.csv")} >= {"0", str(len(model.resolved_circuit))}
    parts = rows_of(out / "orders.csv")
    assert sum(float(row["part"]) for row in parts if row["sample"] == parts[0]["sample"]) == pytest.approx(
        float(parts[0]["score"])
    )
    padding = [row for row in rows_of(out / "counterfactual.csv") if row["name"] not in data.columns]
    assert all(row["input"] == row["changed"] for row in padding)
    page = (out / "report.html").read_text(encoding="utf-8")
    section = Section.load(out)
    assert section.title in page
    assert len(section.pictures) == 7  # three of each input, and the orders
    assert section.maps is not None
    assert [each.name for each in section.maps.inputs] == [f"Input {index}" for index in indices]
    assert set(section.maps.names) == set(data.columns)
    assert hq.Attribution.load(out / "attribution.npz").values.shape == maps.values.shape
    assert run(f"report {out} --out {home}/page.html") == 0
    assert run(f"show {out}") == 0


def test_chosen_parts_of_chosen_inputs(home: Path) -> None:
    out = home / "few"
    assert run(f"explain {home}/model --data {home}/table.csv --what maps,orders --index 3 --out {out}") == 0
    assert {file.name for file in out.glob("*.csv")} == {"maps.csv", "orders.csv"}
    assert [picture.name for picture in Section.load(out).pictures] == ["orders"]


def test_learned_models_are_explained_with_their_errors(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learned = home / "learned"
    assert run(f"learn {home}/model --data {home}/table.csv --engine qsim --shots 20000 --probes 40 --out {learned}") == 0
    capsys.readouterr()
    assert run(f"explain {learned} --out {home}/why-learned --inputs test:0:1") == 0
    printed = capsys.readouterr().out
    assert "note: layers are those of a circuit, and a learned model has none" in printed
    found = rows_of(home / "why-learned" / "interactions.csv")
    assert all(float(row["stderr"]) > 0 for row in found)
    assert "with standard errors" in Section.load(home / "why-learned").tables[0].caption


def test_parts_that_do_not_exist_or_do_not_apply_are_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = f"explain {home}/model --data {home}/table.csv --out {home}/none"
    assert "--what 'maps,nonsense' must be names of maps, interactions" in refusal(f"{start} --what maps,nonsense", capsys)
    assert "each once" in refusal(f"{start} --what maps,maps", capsys)
    assert "input 3 is given twice" in refusal(f"{start} --index 3,1,3", capsys)
    assert not (home / "none").exists()
    (home / "model.json").write_bytes((home / "model" / "model.json").read_bytes())
    message = refusal(f"explain {home}/model.json --out {home}/none", capsys)
    assert "no data set is recorded beside" in message
    assert "--data" in message


def test_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with redirect_stdout(io.StringIO()):
        for code in python_blocks(PAGE):
            exec(code, names)
    row, pair = names["row"], names["pair"]
    assert isinstance(row, hq.Interactions)
    assert isinstance(pair, hq.Interactions)
    exact = names["found"]
    assert isinstance(exact, hq.Interactions)
    assert abs(row.values[0, 27] - exact.values[19, 27]) < 5 * row.stderr[0, 27]
    assert abs(pair.values[0, 0] - exact.values[19, 27]) < 5 * pair.stderr[0, 0]


@pytest.mark.slow
def test_commands_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^\$ hattriq ((?:train|explain) (?:digits:|runs/digits).*)$", PAGE, re.M)
    assert len(commands) == 3
    assert [run(command) for command in commands] == [0, 0, 0]
    assert (tmp_path / "runs" / "two" / "report.html").is_file()
