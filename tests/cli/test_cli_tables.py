"""A newcomer's own table on the command line: row numbers, names, missing values, and a new table for a trained model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import refusal, run
from sklearn.datasets import load_breast_cancer

import hattriq_cirq as hq
from hattriq_cirq.cli.model_data import table_notes

SHIP = "ship.csv:missing=impute,scale=minmax,constant=yes"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a European table of every kind of column, and with a model that was trained on it."""
    home, rng, rows = tmp_path_factory.mktemp("home"), np.random.default_rng(0), 120
    table = pd.DataFrame(
        {
            "": rng.permutation(rows) + 1,
            "alter": rng.normal(40, 12, rows).round(1),
            "farbe": rng.choice(["rot", "grün", "blau"], rows),
            "mitglied": rng.choice([True, False], rows),
            "seit": pd.Timestamp(2020, 1, 1) + pd.to_timedelta(rng.integers(0, 900, rows), "D"),
        }
    )
    table["gerettet"] = np.where(table["alter"] + 10 * (table["farbe"] == "rot") > 42, "ja", "nein")
    table.loc[::9, "alter"], table.loc[::11, "farbe"] = np.nan, None
    table.to_csv(home / "ship.csv", sep=";", decimal=",", index=False, encoding="cp1252")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert run(f"train {SHIP} --epochs 30 --layers 2 --out model") == 0
    return home


def test_row_number_is_no_feature_and_names_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cancer = load_breast_cancer(as_frame=True)
    diagnosis = np.where(cancer.target == 0, "malignant", "benign")
    cancer.data.assign(diagnosis=diagnosis).to_csv("cancer.csv")
    with pytest.warns(hq.TableWarning, match="the columns 'Unnamed: 0' number or name the rows and were left out"):
        raw = hq.datasets.load("cancer.csv")
    left_out, sign, size = table_notes(raw)
    assert left_out == "'Unnamed: 0' numbers or names the rows and is left out"
    assert sign.startswith("a quantum model cannot tell x from -x, and learns no offset; the option constant=yes")
    assert size.startswith("'worst area' has 61% of the squared norm of the rows")
    assert run("train cancer.csv:scale=minmax,constant=yes --epochs 40 --layers 3 --out model") == 0
    printed = capsys.readouterr()
    assert "warning: the columns 'Unnamed: 0'" in printed.err
    assert f"note: {left_out}" in printed.out
    assert "-1 = benign, +1 = malignant" in printed.out
    assert "x from -x" not in printed.out
    rows = {row["classifier"]: row for row in json.loads(Path("model/run.json").read_text(encoding="utf-8"))["accuracies"]}
    assert rows["this model"]["test"] > 0.92
    contract = hq.Model.load("model/model.json").contract
    assert contract is not None
    assert contract.columns == tuple(cancer.feature_names)
    assert contract.classes == ("benign", "malignant")
    assert (contract.features, contract.constant, contract.feature_name(30)) == (30, True, "constant")
    again = hq.datasets.load("cancer.csv", contract)
    scaled = hq.TableEncoder.from_record(contract.encoder or {}).transform(cancer.data)
    np.testing.assert_allclose((again.amplitudes / again.amplitudes[:, [30]])[:, :30], scaled, rtol=1e-12, atol=1e-12)


def test_what_was_done_is_said_and_recorded(home: Path) -> None:
    contract = hq.Model.load(home / "model/model.json").contract
    assert contract is not None
    assert contract.columns == ("alter", "farbe=blau", "farbe=grün", "farbe=rot", "mitglied", "seit")
    assert (contract.classes, contract.label_column) == (("ja", "nein"), "gerettet")
    assert json.loads((home / "model/run.json").read_text())["contract"]["encoder"]["columns"][0]["kind"] == "index"
    encoder = hq.TableEncoder.from_record(contract.encoder or {})
    assert any("'alter'" in note and "filled with the median" in note for note in encoder.notes_)


@pytest.fixture
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Work in the folder and return its table."""
    monkeypatch.chdir(home)
    return hq.datasets.read_frame("ship.csv")


def test_new_table_in_any_form_gives_the_same_maps(
    at_home: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = hq.Model.load("model/model.json")
    own = hq.datasets.load("ship.csv", model.contract)
    turned = at_home[at_home.columns[::-1]].drop(columns="Unnamed: 0").assign(bemerkung="neu")
    turned.to_csv(tmp_path / "turned.tsv", sep="\t", index=False, encoding="utf-16")
    assert run(f"attribute model --data {tmp_path}/turned.tsv --inputs test:0:4 --out {tmp_path}/maps") == 0
    assert "note: turned: the columns 'bemerkung' were left out." in capsys.readouterr().out
    maps = hq.Attribution.load(tmp_path / "maps/attribution.npz")
    np.testing.assert_array_equal(maps.values, hq.integrated_gradients(model, own.x_test[:4], baseline=0.0).values)
    assert json.loads((tmp_path / "maps/run.json").read_text())["inputs"]["labels"] == own.y_test[:4].tolist()
    at_home.drop(columns="gerettet").to_csv(tmp_path / "new.csv", index=False)
    new = hq.datasets.load_inputs(f"{tmp_path}/new.csv", model.contract)
    assert isinstance(new, hq.datasets.Inputs)
    np.testing.assert_array_equal(new.amplitudes, own.amplitudes)


def test_row_without_others_of_its_class_is_attributed(
    at_home: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at_home[:1].assign(farbe="lila").to_csv(tmp_path / "one.csv", index=False)
    assert run(f"attribute model --data {tmp_path}/one.csv --inputs all --out {tmp_path}/one") == 0
    printed = capsys.readouterr()
    assert "the labels are not used, because a class has fewer than two rows" in printed.out
    assert "warning: not in the training: 'farbe' 'lila' in 1 row" in printed.err


def test_new_table_that_does_not_fit_is_refused(
    at_home: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, table, message in (
        ("renamed", at_home.rename(columns={"alter": "age"}), "lack the columns 'alter' that the model was trained on"),
        ("labels", at_home.replace({"gerettet": {"ja": "oui"}}), "'oui' is not one of the classes of the model, 'ja', 'nein'"),
        ("text", at_home.assign(alter="alt"), "line 2, column 'alter': 'alt' is not a finite number"),
    ):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
        assert message in refusal(f"attribute model --data {tmp_path}/{name}.csv --inputs all --out {tmp_path}/{name}", capsys)
        assert not (tmp_path / name).exists()


@pytest.mark.usefixtures("at_home")
def test_cost_takes_the_table_of_a_model() -> None:
    assert run("cost model --data ship.csv --estimators resolved") == 0


def test_missing_values_are_refused_before_work_with_the_cure(
    at_home: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refusal(f"train ship.csv --out {tmp_path}/out", capsys)
    assert "ship.csv, line 2, column 'alter': '' is not a finite number (14 of 120 are missing in this column)" in error
    assert "ship.csv:missing=impute fills missing values" in error
