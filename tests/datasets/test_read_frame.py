"""Tables in files of any separator, decimal mark and encoding."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from hattriq_cirq.datasets import read_frame

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".txt", ".CSV"])
def test_separator_is_found_whatever_the_ending(tmp_path: Path, separator: str, ending: str) -> None:
    path = write(tmp_path / f"own{ending}", separator.join("abc") + "\n" + separator.join("123") + "\n")
    assert read_frame(path).to_dict("list") == {"a": [1], "b": [2], "c": [3]}


def test_columns_separated_by_spaces_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "own.txt", "  a   b c\n 1.5  2 -3\n10    20 30\n")
    assert read_frame(path).to_dict("list") == {"a": [1.5, 10], "b": [2, 20], "c": [-3, 30]}


@pytest.mark.parametrize(
    ("encoding", "prefix"),
    [
        *(("utf-8", ""), ("utf-8", "\ufeff"), ("utf-16", ""), ("utf-16-le", ""), ("utf-16-le", "\ufeff")),
        *(("utf-16-be", "\ufeff"), ("latin-1", ""), ("cp1252", ""), ("utf-32", "")),
    ],
)
def test_encoding_is_found(tmp_path: Path, encoding: str, prefix: str) -> None:
    path = write(tmp_path / "own.csv", f"{prefix}größe,ort\n1,Köln\n2,Århus\n", encoding)
    assert read_frame(path).to_dict("list") == {"größe": [1, 2], "ort": ["Köln", "Århus"]}


def test_other_encoding_is_chosen(tmp_path: Path) -> None:
    path = write(tmp_path / "own.csv", "\u0433\u043e\u0434,n\n1,2\n", "koi8-r")
    assert read_frame(path, encoding="koi8-r").columns.tolist() == ["\u0433\u043e\u0434", "n"]
    with pytest.raises(ValueError, match="encoding='klingon' is not an encoding"):
        read_frame(path, encoding="klingon")


def test_decimal_comma_is_found_and_a_thousands_mark_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "own.csv", "a;b;c\n1,5;2;x\n-2,25;3e1;y\n")
    assert read_frame(path).to_dict("list") == {"a": [1.5, -2.25], "b": [2, 30], "c": ["x", "y"]}
    path = write(tmp_path / "own.csv", "a;b\n1,5;1.234\n2,5;2.345\n")
    with pytest.raises(ValueError, match=r"line 2, column 'a': '1,5' is not a finite number"):
        read_frame(path)
    with pytest.raises(
        ValueError, match=r"line 2, column 'b': '1\.234' is not a finite number \(the decimal mark .* is a comma"
    ):
        read_frame(path, decimal_point="comma")


def test_kinds_of_columns_are_decided_by_most_of_their_cells(tmp_path: Path) -> None:
    path = write(tmp_path / "own.csv", "n,w,b,t,d,z\n1.5,1,True,red,2020-01-31,10115\n,2,false,NA,2020-02-01 12:00,\n")
    frame = read_frame(path, kinds={"z": "category"})
    assert frame["n"].tolist()[0] == 1.5
    assert np.isnan(frame["n"][1])
    assert frame["w"].dtype == np.int64
    assert frame["b"].tolist() == [True, False]
    assert frame["t"].tolist()[0] == "red"
    assert frame["t"].isna().tolist() == [False, True]
    assert frame["d"].tolist() == [pd.Timestamp(2020, 1, 31), pd.Timestamp(2020, 2, 1, 12)]
    assert frame["z"].tolist()[0] == "10115"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n2,two\n3,4\n", r"line 3, column 'b': 'two' is not a finite number"),
        ("a,b\n1,2020-01-31\n2,2020-01-32\n", r"line 3, column 'b': '2020-01-32' is not a date"),
        ("a,b\n1,31.01.2020\n2,01.02.2020\n", r"line 2, column 'b': '31\.01\.2020' may be a date .* write it as 2020-12-31"),
        ('a,b\n"1\n",red\n2,"x\ny"\n3,4,5\n', r"line 6: 3 cells, the header names 2"),
        ('a,b\n1,red\n\n2,"x\ny"\n3\n', r"line 6: 1 cell, the header names 2"),
        ("a,b\n1,5 kg\n2,70 kg\n", r"line 2, column 'b': '5 kg' is a number with a unit, .* category_columns"),
        ("a,b\n1,€5\n2,€70\n", r"line 2, column 'b': '€5' is a number with a unit"),
        ("a,b\n1,2\n3,inf\n", r"line 3, column 'b': 'inf' is not a finite number"),
        ("a,b\n1,2\n3,1e999\n", r"line 3, column 'b': '1e999' is not a finite number"),
    ],
)
def test_cell_of_another_kind_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_frame(write(tmp_path / "own.csv", text))


def test_missing_values_are_kept_or_refused_with_the_first_place(tmp_path: Path) -> None:
    path = write(tmp_path / "own.csv", "a,t\n1,red\nNA,\n3,?\n")
    assert read_frame(path).isna().to_numpy().tolist() == [[False, False], [True, True], [False, True]]
    with pytest.raises(ValueError, match=r"line 3, column 'a': 'NA' is not a finite number; .*own\.csv:missing=impute"):
        read_frame(path, missing="refuse")
    with pytest.raises(ValueError, match=r"line 3, column 't': '' is not a value \(2 of 3 are missing"):
        read_frame(path, missing="refuse", only=["t"])


def test_column_without_a_name_gets_one(tmp_path: Path) -> None:
    assert read_frame(write(tmp_path / "own.csv", ",a\n0,5\n1,6\n")).columns.tolist() == ["Unnamed: 0", "a"]


def test_separator_at_the_end_of_every_line_adds_no_column(tmp_path: Path) -> None:
    assert read_frame(write(tmp_path / "own.csv", "a;b;\n1;2;\n3;4;\n")).to_dict("list") == {"a": [1, 3], "b": [2, 4]}


@pytest.mark.parametrize("cells", [["P001", "P002"], ["1st", "2nd"], ["3A", "4B"], ["5%", "5%"], ["10:30", "11:30"]])
def test_codes_are_texts(tmp_path: Path, cells: list[str]) -> None:
    path = write(tmp_path / "own.csv", "a,b\n" + "".join(f"1,{cell}\n" for cell in cells))
    assert read_frame(path)["b"].tolist() == cells


def test_dates_far_away_are_read(tmp_path: Path) -> None:
    frame = read_frame(write(tmp_path / "own.csv", "a,d\n1,1600-02-01\n2,9999-12-31T23:59:59.5\n3,\n"))
    assert frame["d"].dt.year.tolist()[:2] == [1600, 9999]
    assert frame["d"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize("mark", [".", ","])
def test_parts_of_a_second_have_either_decimal_mark(mark: str, tmp_path: Path) -> None:
    frame = read_frame(write(tmp_path / "own.tsv", f"a\td\n1\t2020-01-31 12:00:00{mark}25\n2\t2020-02-01\n"))
    assert frame["d"].dt.microsecond.tolist() == [250_000, 0]


@pytest.mark.parametrize("wrong", [0, 36, 71])
def test_first_text_that_is_no_date_is_named(wrong: int, tmp_path: Path) -> None:
    dates = ["2020-02-29" if row < wrong else "2021-02-29" for row in range(73)]
    if wrong == 36:
        dates[36] = "soon"
    path = write(tmp_path / "own.csv", "a,d\n" + "".join(f"1,{date}\n" for date in dates))
    with pytest.raises(ValueError, match=rf"line {wrong + 2}, column 'd': '{dates[wrong]}' is not a date"):
        read_frame(path)


def test_arrays_and_images_become_columns(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", X=[[1.0, 2.0], [3.0, 4.0]], labels=["a", "b"])
    assert read_frame(tmp_path / "own.npz").to_dict("list") == {"x0": [1, 3], "x1": [2, 4], "y": ["a", "b"]}
    np.savez(tmp_path / "own.npz", X=np.arange(12.0).reshape(2, 2, 3), y=[0, 1])
    frame = read_frame(tmp_path / "own.npz")
    assert frame.columns[4] == "row 1, column 1"
    assert frame.attrs["image_shape"] == (2, 3)
    np.testing.assert_array_equal(frame.to_numpy()[:, :6], np.arange(12.0).reshape(2, 6))


def test_parquet_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match="parquet is read with pyarrow: pip install pyarrow, or save the table as CSV"):
        read_frame(tmp_path / "own.parquet")


def test_parquet_is_read_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"a": [1.5, None], "t": ["x", "y"]})
    frame.to_parquet(tmp_path / "own.parquet")
    assert_frame_equal(read_frame(tmp_path / "own.parquet"), frame, check_dtype=False)
    (tmp_path / "own.parquet").write_bytes(b"PAR1 damaged")
    with pytest.raises(ValueError, match=r"own\.parquet: it is not a parquet file"):
        read_frame(tmp_path / "own.parquet")


@pytest.mark.parametrize(("name", "words"), [("own.xlsx", "must end in"), ("none.csv", "no file")])
def test_other_file_is_refused(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "own.xlsx").write_bytes(b"PK")
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        read_frame(tmp_path / name)


TEXTS = st.text(st.characters(codec="cp1252", categories=("L", "P", "S", "Zs")), min_size=1, max_size=6).map(
    lambda text: f"t{text.strip()}"
)
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "number": st.none() | st.floats(-1e6, 1e6, allow_nan=False),
    "whole": st.integers(-(10**9), 10**9),
    "bool": st.booleans(),
    "date": st.datetimes(min_value=pd.Timestamp(1950, 1, 1), max_value=pd.Timestamp(2100, 1, 1)).map(
        lambda time: pd.Timestamp(time).floor("s")
    ),
    "text": st.none() | TEXTS,
}


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Return a table of two or more rows and columns of every kind, without empty rows or columns."""
    kinds = ["whole", *draw(st.lists(st.sampled_from(list(CELLS)), min_size=1, max_size=4))]
    rows = draw(st.integers(2, 8))
    columns = {}
    for k, kind in enumerate(kinds):
        cells = draw(st.lists(CELLS[kind], min_size=rows, max_size=rows))
        if all(cell is None for cell in cells):
            cells[0] = 1.5 if kind == "number" else "t"
        columns[f"{kind} {k}"] = pd.Series(cells, dtype=object if kind == "text" else None)
    return pd.DataFrame(columns)


@settings(max_examples=20)
@given(
    frame=frames(),
    separator=st.sampled_from(list(SEPARATORS)),
    comma=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_table_written_in_any_dialect_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame, separator: str, comma: bool, encoding: str, end: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    mark = "," if comma and separator != "comma" else "."
    frame.to_csv(path, index=False, sep=SEPARATORS[separator], decimal=mark, encoding=encoding, lineterminator=end)
    read = read_frame(path, separator=separator, decimal_point="comma" if mark == "," else "point")
    assert read.columns.tolist() == frame.columns.tolist()
    for name in frame.columns:
        given_cells, cells = frame[name], read[name]
        assert cells.isna().tolist() == given_cells.isna().tolist()
        known = ~given_cells.isna()
        if name.startswith("text"):
            assert cells[known].tolist() == [text.strip(" \t") for text in given_cells[known]]
        else:
            assert cells[known].tolist() == given_cells[known].tolist()
