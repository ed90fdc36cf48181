"""Maps of a report: rounded numbers, names, limits of a page, and their file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_attributions import made
from pages import SECTION

import hattriq_cirq as hq
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.reporting.document import FILE, Section
from hattriq_cirq.reporting.html import render
from hattriq_cirq.reporting.maps import ClassMap, InputMaps, Maps, in_unit

TWO = DataContract(columns=("length", "width"), units=("mm", ""), classes=("no", "yes"))


def test_rows_are_the_strongest_values_with_their_intervals() -> None:
    a = made(np.random.default_rng(0).normal(size=(2, 32)), stderr=0.03, systematic=0.04)
    rows = Maps.of([a]).rows()
    strongest = a[0].top(15)
    low, high = a[0].interval()
    assert len(rows) == 15
    for row, (feature, value) in zip(rows, strongest, strict=True):
        assert row.name == f"|{feature:05b}>"
        assert float(row.value) == pytest.approx(value, abs=0.001)
        ends = [float(end) for end in row.interval.strip("[]").split(", ")]
        assert ends == pytest.approx([low[feature], high[feature]], abs=0.002)
        assert row.sign == ("plus" if value > 0 else "minus")
        assert row.start + row.width == pytest.approx(max(row.zero, row.start + row.width))


def test_bars_and_intervals_share_one_axis_that_holds_zero() -> None:
    maps = Maps.of([made([[0.5, 0.25, -0.5, 0.0]])])
    assert [(row.zero, row.start, row.width) for row in maps.rows()] == [
        (50, 50, 50),
        (50, 0, 50),
        (50, 50, 25),
        (50, 50, 0),
    ]
    assert Maps.of([made([[0.0, 0.0]])]).rows()[0].zero == 50


def test_names_units_labels_and_values_of_a_table() -> None:
    table = pd.DataFrame({"width": [12345678, 4], "length": [1234.5678, np.nan], "other": ["a", "b"]}, index=[7, 8])
    labels = pd.Series(["yes", "no"], index=[7, 8])
    maps = Maps.of([made([[0.5, -0.25], [0.1, 0.2]], TWO)], labels=labels, table=table)
    assert [(row.name, row.shown, row.value) for row in maps.rows()] == [
        ("length", "1234.57 mm", "+0.5000"),
        ("width", "12345678", "-0.2500"),
    ]
    assert maps.inputs[1].shown == ("missing", "4")
    assert maps.quantity == "input"
    assert "speaks for yes" in maps.signs
    assert maps.heading(maps.inputs[0]) == "Input 0, labelled yes. Score +0.25, at the baseline 0."
    assert maps.answers()[1].startswith("Input 1 (label no): ")


def test_padding_of_tables_and_images_is_left_out() -> None:
    values = np.arange(16.0)
    table = Maps.of([replace(made(np.where(values < 3, 1.0, 0.0), DataContract(features=3)), x=np.eye(16)[0])])
    assert len(table.names) == 3
    image = DataContract(image_shape=(4, 4), padding=(1, 0, 0, 2))
    maps = Maps.of([made(values, image)])
    assert (maps.shape, maps.names[-1]) == ((3, 2), "row 3, column 1")
    assert [one.values for one in maps.inputs[0].maps] == [(400, 500, 800, 900, 1200, 1300)]
    assert len(list(maps.cells())) == 6


def test_a_constant_and_a_feature_that_is_zero_are_shown() -> None:
    contract = DataContract(columns=("a", "b", "c"), constant=True)
    assert Maps.of([made([0.0, 0.0, 1.0, 0.0], contract)]).names == ("a", "b", "c", "constant")


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.0, 0.0], ["0", "0"]),
        ([1e-12, -2.5e-13], ["+1.000e-12", "-2.50e-13"]),
        ([3e7, 1.0], ["+3.000e+7", "0"]),
        ([1234.0, -0.4], ["+1234", "0"]),
    ],
)
def test_texts_of_zero_small_and_huge_values(values: list[float], texts: list[str]) -> None:
    assert [row.value for row in Maps.of([made(values)]).rows()] == texts


def test_digits_follow_a_large_error() -> None:
    assert Maps.of([made([0.12347, -0.05], stderr=0.01)]).rows()[0].value == "+0.123"
    assert Maps.of([made([0.12347, -0.05], stderr=1e-7)]).rows()[0].value == "+0.1235"
    assert [row.interval for row in Maps.of([made([0.0, 0.0], stderr=0.01)]).rows()] == ["[-0.020, +0.020]"] * 2


def test_maps_of_several_classes_start_with_the_predicted_one() -> None:
    contract = DataContract(classes=("a", "b", "c"))
    batch = made(np.random.default_rng(1).normal(size=(2, 4)), contract)
    predicted = np.array([2, 0])
    ones = [replace(batch, target=np.full(2, k), predicted=predicted, values=batch.values + k) for k in range(3)]
    maps = Maps.of(ones)
    assert maps.classes == ("a", "b", "c")
    assert [each.first for each in maps.inputs] == [2, 0]
    with pytest.raises(ValueError, match="same for each class"):
        Maps.of([ones[0], ones[1][:1]])


def test_page_keeps_the_strongest_of_many_features_and_the_first_of_many_inputs() -> None:
    values = np.random.default_rng(2).normal(size=(1200, 128))
    maps = Maps.of([made(values)])
    assert (len(maps.inputs), len(maps.inputs[0].shown)) == (1024, 64)
    assert maps.note == (
        "Of 128 features, the 64 strongest of each input are on this page. Of 1200 inputs, the first 1024 are on this page."
    )
    assert maps.inputs[7].features == tuple(np.sort(np.argsort(-abs(values[7]))[:64]).tolist())
    assert len(render("t", [replace(SECTION, maps=maps)])) < 2_000_000


def test_a_page_of_100_inputs_with_30_features_is_small() -> None:
    values = np.random.default_rng(3).normal(size=(100, 32))
    maps = Maps.of([made(values, stderr=0.1, systematic=0.1)])
    assert len(render("t", [Section("t", "q", maps=maps)])) < 250_000


def test_section_with_maps_is_saved_and_loaded_without_loss(tmp_path: Path) -> None:
    section = replace(SECTION, maps=Maps.of([made(np.eye(4), DataContract(image_shape=(2, 2)), stderr=0.1, systematic=0.1)]))
    section.save(tmp_path)
    assert Section.load(tmp_path) == section
    assert section.digest != SECTION.digest
    assert "maps" not in json.loads(SECTION._json())


def test_damaged_maps_of_a_file_are_refused(tmp_path: Path) -> None:
    replace(SECTION, maps=Maps.of([made([0.5, 0.25])])).save(tmp_path)
    text = (tmp_path / FILE).read_text()
    for old, new in (("5000", "NaN"), ("5000", "0.5"), ('"first": 0', '"first": 1'), ('"|1>"', '"|1>", "|2>"')):
        (tmp_path / FILE).write_text(text.replace(old, new))
        with pytest.raises(ValueError, match=FILE):
            Section.load(tmp_path)


def test_values_of_maps_are_checked() -> None:
    one = ClassMap("", "s", "", -3, (1, 2))
    with pytest.raises(ValueError, match="1 halves must be as many as the 2 values"):
        replace(one, halves=(1,))
    with pytest.raises(ValueError, match="one for each of its 1 features"):
        InputMaps("a", "", ("1",), (one,))
    with pytest.raises(ValueError, match="first=0 must be the index of one of 0 maps"):
        InputMaps("a", "", (), ())
    with pytest.raises(ValueError, match="at least one input"):
        Maps((), ())
    with pytest.raises(ValueError, match="labels must be one for each of 2 inputs"):
        Maps.of([made(np.eye(2))], labels=["a"])
    with pytest.raises(TypeError, match="must be a table of pandas"):
        Maps.of([made(np.eye(2))], table=np.eye(2))


def test_number_in_a_unit_is_rounded_once() -> None:
    assert [in_unit(number, -2) for number in (1, -199, 0)] == ["+0.01", "-1.99", "0"]


def test_report_of_an_attribution_is_a_page(tmp_path: Path) -> None:
    a = hq.integrated_gradients(hq.ring_ansatz(2, layers=1), [0.6, 0.0, 0.8, 0.0], baseline=0)
    page = hq.report(a, tmp_path / "report.html", title="Why").read_text()
    assert "<h1>Why</h1>" in page
    assert "|10&gt;" in page
    with pytest.raises(FileExistsError, match="not overwritten"):
        hq.report(a, tmp_path / "report.html")
    with pytest.raises(TypeError, match="explained"):
        hq.report(3, tmp_path / "other.html")  # type: ignore[arg-type]
