"""The journey of a newcomer: from a table as people have it to an answer in words, on a page, and for new rows."""

from __future__ import annotations

import csv
import io
import json
import shutil
import webbrowser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd
import pytest
from command_line import refusal, run

import hattriq_cirq as hq
from hattriq_cirq.reporting.document import Section
from hattriq_cirq.workflows.classifier import AmplitudeClassifier


def table(rows: int = 60) -> pd.DataFrame:
    """Return a table with a column that decides, one that does not, a category and labels as texts."""
    rng = np.random.default_rng(0)
    is_malignant = rng.integers(2, size=rows) == 1
    width = (rng.normal(0, 1.5, rows) + np.where(is_malignant, 14, 6)).round(2)
    colors = np.array(["red", "blue"])[rng.integers(2, size=rows)]
    label = np.where(is_malignant, "malignant", "benign")
    noise = rng.normal(0, 1, rows).round(2)
    return pd.DataFrame({"tumour width": width, "noise": noise, "color": colors, "diagnosis": label})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a table that pandas wrote with its row numbers, and the explanation of it."""
    home = tmp_path_factory.mktemp("newcomer")
    table().to_csv(home / "mine.csv")
    assert run(f"explain {home}/mine.csv --layers 2 --out {home}/why") == 0
    return home


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))


def accuracies(folder: Path) -> dict[str, float]:
    return {row["classifier"]: row["test"] for row in json.loads((folder / "run.json").read_text())["accuracies"]}


def test_table_is_answered_by_names_beside_logistic_regression(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = accuracies(home / "why")
    assert found["this model"] == found["logistic regression"] == 1
    assert found["chance"] < 0.7
    record = json.loads((home / "why" / "run.json").read_text())
    assert all("tumour width" in answer for answer in record["answers"])
    assert run(f"show {home}/why") == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert "predicted 'benign'" in first or "predicted 'malignant'" in first
    assert "tumour width +" in first
    a = hq.Attribution.load(home / "why" / "attribution.npz")
    assert a.feature_name(int(np.argmax(np.abs(a.values).mean(axis=0)))) == "tumour width"


def test_row_numbers_are_recognised_and_no_feature(home: Path) -> None:
    a = hq.Attribution.load(home / "why" / "attribution.npz")
    assert a.contract is not None
    assert a.contract.columns == ("tumour width", "noise", "color=blue", "color=red")
    notes = json.loads((home / "why" / "run.json").read_text())["data"]["notes"]
    assert "'Unnamed: 0' numbers or names the rows and is left out" in notes


def test_report_has_sentences_and_bars_with_names_and_no_picture(home: Path) -> None:
    section = Section.load(home / "why")
    assert section.maps is not None
    assert section.maps.shape is None
    assert {"tumour width", "noise", "color=red"} <= set(section.maps.names)
    page = (home / "why" / "report.html").read_text()
    assert "predicted" in page
    assert "logistic regression" in page


def test_semicolons_and_decimal_commas_give_the_same_answer(home: Path, tmp_path: Path) -> None:
    table().to_csv(tmp_path / "mine.csv", sep=";", decimal=",")
    assert run(f"explain {tmp_path}/mine.csv --layers 2 --out {tmp_path}/why") == 0
    same, own = (hq.Attribution.load(each / "why" / "attribution.npz") for each in (tmp_path, home))
    np.testing.assert_array_equal(same.values, own.values)


def test_new_rows_are_explained_without_labels(home: Path, tmp_path: Path) -> None:
    table().drop(columns="diagnosis").iloc[[3, 0], ::-1].to_csv(tmp_path / "new.csv")
    assert run(f"explain {home}/why {tmp_path}/new.csv --out {tmp_path}/why") == 0
    assert run(f"explain {home}/why --index 3,0 --out {tmp_path}/known") == 0
    new, known = (hq.Attribution.load(tmp_path / name / "attribution.npz") for name in ("why", "known"))
    np.testing.assert_allclose(new.values, known.values, rtol=0, atol=1e-12)


def test_page_offers_every_class_and_the_parts_that_are_asked_for(home: Path, tmp_path: Path) -> None:
    words = "--what maps,counterfactual,orders --target malignant --inputs test:0:1"
    assert run(f"explain {home}/why {words} --out {tmp_path}/why") == 0
    section = Section.load(tmp_path / "why")
    assert section.maps is not None
    assert section.maps.classes == ("benign", "malignant")
    assert [each.first for each in section.maps.inputs] == [1]
    names = {file.name for file in (tmp_path / "why").iterdir()}
    assert {"counterfactual.csv", "orders.csv", "orders.png"} <= names
    record = json.loads((tmp_path / "why" / "run.json").read_text())
    assert record["settings"]["parts"] == ["maps", "counterfactual", "orders"]
    assert "brings it to the decision boundary" in record["answers"][0]
    assert "tumour width" in record["answers"][0].partition("boundary")[2]
    assert record["answers"][-1].startswith("Correlations between qubits: ")
    sums = {row["class"]: 0.0 for row in rows_of(tmp_path / "why" / "maps.csv")}
    for row in rows_of(tmp_path / "why" / "maps.csv"):
        sums[row["class"]] += float(row["value"])
    assert sums["benign"] == pytest.approx(-sums["malignant"], abs=1e-12)


def test_orders_of_new_rows_are_refused(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "leave out ROWS" in refusal(f"explain {home}/why {home}/mine.csv --what orders --out {tmp_path}/why", capsys)


def test_run_that_stopped_does_not_train_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table().to_csv(tmp_path / "mine.csv")
    line = f"explain {tmp_path}/mine.csv --layers 1 --inputs test:0:2 --out {tmp_path}/why"

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(AmplitudeClassifier, "attribute", stop)
        assert run(line) == 130
    assert (tmp_path / "why" / "classifier.json").is_file()
    assert not (tmp_path / "why" / "run.json").exists()
    monkeypatch.setattr(AmplitudeClassifier, "fit", stop)
    assert run(line) == 0
    assert (tmp_path / "why" / "report.html").is_file()


def test_page_opens_in_the_browser_that_the_environment_names(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{tmp_path}/address"\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    monkeypatch.setattr(webbrowser, "_tryorder", None)  # the environment is read anew
    monkeypatch.setattr(webbrowser, "_browsers", {})
    assert run(f"explain {home}/why --index 3 --out {tmp_path}/why --open") == 0
    address = (tmp_path / "address").read_text().strip()
    assert address == (tmp_path / "why" / "report.html").as_uri()
    assert "predicted" in Path(unquote(urlsplit(address).path)).read_text(encoding="utf-8")
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    assert run(f"explain {home}/why --index 3 --out {tmp_path}/again --open") == 0
    assert "no browser was found" in capsys.readouterr().out


def test_folder_is_named_after_the_source(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(home / "why", tmp_path / "mine-explained")
    table().drop(columns="diagnosis").iloc[:2].to_csv("new.csv")
    for words in ("mine-explained", "mine-explained new.csv"):
        assert run(f"explain {words} --index 0") == 0
    assert {path.name for path in tmp_path.iterdir()} == {"mine-explained", "mine-explained-2", "new-explained", "new.csv"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--target nothing", "--target 'nothing' is no class; the classes are 'benign', 'malignant'"),
        ("--label nothing", "has no column 'nothing'"),
        ("--label noise", "measurements or names and no classes"),
        ("--index 500", "row 500 is not there"),
        ("--layers many", "--layers"),
        ("--what pixels", "must be names of maps, interactions, counterfactual, orders, layers"),
    ],
)
def test_bad_options_are_refused_before_any_work(
    options: str, message: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refusal(f"explain {home}/mine.csv {options} --out {tmp_path}/why", capsys)
    assert not (tmp_path / "why").exists()


@pytest.mark.slow
def test_breast_cancer_and_digits_reach_logistic_regression(tmp_path: Path) -> None:
    from sklearn.datasets import load_breast_cancer, load_digits

    cancer = load_breast_cancer(as_frame=True)
    cancer.data.assign(diagnosis=cancer.target_names[cancer.target]).to_csv(tmp_path / "cancer.csv")
    digits = load_digits()
    np.savez(tmp_path / "digits.npz", X=digits.images, y=digits.target)
    for file, least in (("cancer.csv", 0.95), ("digits.npz", 0.93)):
        assert run(f"explain {tmp_path}/{file} --out {tmp_path}/{file}-why") == 0
        found = accuracies(tmp_path / f"{file}-why")
        assert found["this model"] >= max(least, found["logistic regression"] - 0.03)
    a = hq.Attribution.load(tmp_path / "digits.npz-why" / "attribution.npz")
    assert a.contract is not None
    assert a.contract.image_shape == (8, 8)
