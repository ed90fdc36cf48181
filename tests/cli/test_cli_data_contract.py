"""Data that meet a trained model on the command line are compared with the data of its training."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import TABLE, run

from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.models.model import Model

ROWS = list(csv.DictReader(io.StringIO(TABLE)))
COMMANDS = {
    "attribute": "attribute {model} --data {data} --inputs test:0:3 --out {out}",
    "cost": "cost {model} --data {data} --estimators resolved --out {out}",
    "calibrate": "calibrate {model} --data {data} --inputs test:0:1 --shots 100 --out {out} "
    "--engine virtual:willow_pink,noise=readout",
}
each_command = pytest.mark.parametrize("command", COMMANDS)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with models of a table, of three of its columns, and of two digits."""
    home = tmp_path_factory.mktemp("home")
    (home / "table.csv").write_text(TABLE)
    (home / "three.csv").write_text(table("b", "c", "d", "label"))
    for name, data in (("model", f"{home}/table.csv"), ("three", f"{home}/three.csv"), ("digits", "digits:pair=0/1")):
        assert run(f"train {data} --out {home}/{name} --epochs 3 --layers 1") == 0
    return home


def table(*columns: str, **renamed: str) -> str:
    """Return the rows with columns in an order, and under other names; `id` and unknown columns are numbers of rows."""
    lines = [[renamed.get(name, name) for name in columns]]
    lines += [[row.get(name, str(k + 1)) for name in columns] for k, row in enumerate(ROWS)]
    return "\n".join(map(",".join, lines)) + "\n"


def attribution(out: Path) -> Any:
    return Attribution.load(out / "attribution.npz"), json.loads((out / "run.json").read_text())


@pytest.mark.parametrize(
    "columns",
    [
        ("d", "b", "c", "a", "label"),
        ("d", "c", "b", "a", "label"),
        ("b", "a", "c", "d", "label"),
        ("id", "a", "b", "c", "d", "label"),
        ("d", "id", "b", "other", "c", "a", "label"),
        ("label", "d", "c", "b", "a"),
    ],
    ids=",".join,
)
def test_columns_are_matched_by_name(
    home: Path, tmp_path: Path, columns: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.csv").write_text(table(*columns))
    assert run(COMMANDS["attribute"].format(model=home / "model", data=home / "table.csv", out=tmp_path / "a")) == 0
    capsys.readouterr()
    data = f"{tmp_path}/other.csv:label_column=label"
    assert run(COMMANDS["attribute"].format(model=home / "model", data=data, out=tmp_path / "b")) == 0
    (own, _), (other, record) = attribution(tmp_path / "a"), attribution(tmp_path / "b")
    np.testing.assert_allclose(other.values, own.values, rtol=0, atol=1e-14)
    np.testing.assert_allclose(other.x, own.x, rtol=0, atol=1e-15)
    assert record["data"]["details"]["columns"] == ["a", "b", "c", "d"]
    printed = capsys.readouterr().out
    for name in set(columns) - {"a", "b", "c", "d", "label"}:
        assert f"'{name}'" in printed
    assert printed.startswith("note: other: ")


@each_command
@pytest.mark.parametrize(
    ("content", "difference"),
    [
        (table("a", "b", "c", "d", "label", d="e"), "lack the columns 'd' that the model was trained on, and have 'e' instead"),
        (table("a", "b", "c", "d", "label", a="A"), "lack the columns 'a'"),
        (table("a", "b", "c", "label"), "lack the columns 'd'"),
        (table("id", "a", "b", "c", "label"), "lack the columns 'd' that the model was trained on, and have 'id' instead"),
        (np.ones((8, 3)) + np.eye(8, 3), "the number of features of the data, 3, is not that of the model, 4"),
    ],
    ids=["renamed", "other case", "fewer", "id in place of one", "npz of three features"],
)
def test_data_that_do_not_fit_are_refused_with_the_difference(
    home: Path, tmp_path: Path, command: str, content: Any, difference: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / ("other.csv" if isinstance(content, str) else "other.npz")
    if isinstance(content, str):
        data.write_text(content)
    else:
        np.savez(data, x=content, y=[1, -1] * 4)
    assert run(COMMANDS[command].format(model=home / "model", data=data, out=tmp_path / "out")) == 2
    printed = capsys.readouterr()
    assert difference in printed.err
    assert len(printed.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_array_of_more_features_that_is_padded_alike_is_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "other.npz", x=1 + np.eye(8, 4), y=[1, -1] * 4)
    assert run(COMMANDS["attribute"].format(model=home / "three", data=tmp_path / "other.npz", out=tmp_path / "a")) == 2
    assert "the number of features of the data, 4, is not that of the model, 3" in capsys.readouterr().err


def test_array_without_names_is_accepted_with_a_note(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "other.npz", x=1 + np.eye(8, 4), y=[1, -1] * 4)
    assert run(COMMANDS["attribute"].format(model=home / "model", data=tmp_path / "other.npz", out=tmp_path / "a")) == 0
    assert "only the data or only the model know it: names of columns" in capsys.readouterr().out


def test_control_characters_in_column_names_are_escaped(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.csv").write_text(table("a", "b", "c", "d", "label", d="\x1b[31mred"))
    assert run(COMMANDS["cost"].format(model=home / "model", data=tmp_path / "other.csv", out=tmp_path / "a")) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_class_names_are_those_of_the_model_whatever_the_order_of_the_data(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, pair in (("own", "0/1"), ("swapped", "1/0")):
        assert run(f"attribute {home}/digits --data digits:pair={pair} --index 0,1,2,9 --out {tmp_path}/{name}") == 0
    assert "the labels were exchanged" in capsys.readouterr().out
    (own, record), (other, swapped) = attribution(tmp_path / "own"), attribution(tmp_path / "swapped")
    assert record["data"]["label_names"] == swapped["data"]["label_names"] == ["digit 0", "digit 1"]
    assert set(record["inputs"]["labels"]) == {-1, 1}
    assert record["inputs"]["labels"] == swapped["inputs"]["labels"]
    np.testing.assert_array_equal(own.values, other.values)
    assert (tmp_path / "own/gallery.png").read_bytes() == (tmp_path / "swapped/gallery.png").read_bytes()


@each_command
def test_other_classes_are_refused(home: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(COMMANDS[command].format(model=home / "digits", data="digits:pair=3/5", out=tmp_path / "out")) == 2
    assert "the data have the classes 'digit 3', 'digit 5', the model has 'digit 0', 'digit 1'" in capsys.readouterr().err


def test_other_preparation_of_images_is_refused(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = "mnist:pair=0/1,size=8,samples=40"
    assert run(COMMANDS["attribute"].format(model=home / "digits", data=data, out=tmp_path / "out")) == 2
    assert (
        "the preparation of the data, area average of 28x28 pixels, is not that of the model, none" in capsys.readouterr().err
    )


def test_model_file_and_run_record_hold_the_form_of_the_data(home: Path) -> None:
    assert json.loads((home / "three/run.json").read_text())["contract"] == {
        "features": 3,
        "columns": ["b", "c", "d"],
        "preparation": "",
        "label_column": "label",
    }
    contract = Model.load(home / "digits/model.json").contract
    assert contract is not None
    assert contract.classes == ("digit 0", "digit 1")
    assert (contract.features, contract.image_shape, contract.padding) == (64, (8, 8), (0, 0, 0, 0))


@pytest.fixture
def earlier(home: Path, tmp_path: Path) -> Path:
    """Return the folder of a model of an earlier version, which records the data of its training in run.json only."""
    folder = shutil.copytree(home / "model", tmp_path / "earlier")
    for name in ("model.json", "run.json"):
        content = json.loads((folder / name).read_text())
        del content["contract"]
        (folder / name).write_text(json.dumps(content))
    return folder


def test_model_of_an_earlier_version_is_compared_by_the_record_of_its_training(
    home: Path, tmp_path: Path, earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.csv").write_text(table("a", "b", "c", "d", "label", d="e"))
    assert run(COMMANDS["attribute"].format(model=earlier, data=tmp_path / "other.csv", out=tmp_path / "a")) == 2
    assert "lack the columns 'd'" in capsys.readouterr().err
    (earlier / "run.json").unlink()
    assert run(COMMANDS["attribute"].format(model=earlier, data=tmp_path / "other.csv", out=tmp_path / "a")) == 0
    assert "note: other: the model records nothing about its data, so that names were not compared." in capsys.readouterr().out


@each_command
def test_labels_are_those_of_the_column_of_the_training(
    home: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{line},{('male', 1, -1)[bool(k) + k % 2]}" for k, line in enumerate(TABLE.splitlines())]
    (tmp_path / "other.csv").write_text("\n".join(rows) + "\n")
    data = f"{tmp_path}/other.csv:label_column=male"
    assert run(COMMANDS[command].format(model=home / "model", data=data, out=tmp_path / "out")) == 2
    assert "its labels are in the column 'male', those of the training were in 'label'" in capsys.readouterr().err
    for name, data in (("own", f"{home}/table.csv"), ("other", f"{tmp_path}/other.csv")):
        assert run(COMMANDS["attribute"].format(model=home / "model", data=data, out=tmp_path / name)) == 0
    assert "note: other: the columns 'male' were left out." in capsys.readouterr().out
    (own, record), (other, again) = attribution(tmp_path / "own"), attribution(tmp_path / "other")
    np.testing.assert_allclose(other.values, own.values, rtol=0, atol=1e-14)
    assert again["inputs"]["labels"] == record["inputs"]["labels"]


def test_table_with_labels_elsewhere_is_refused_with_the_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "first.csv").write_text(table("label", "a", "b", "c"))
    assert run(f"train {tmp_path}/first.csv --out {tmp_path}/out") == 2
    assert "from the column 'c', the last one; name another with first.csv:label_column=NAME" in capsys.readouterr().err
