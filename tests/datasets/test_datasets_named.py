"""The user's own tables, and data sets by name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hattriq_cirq.datasets import NAMES, Dataset, bars_and_stripes, digits, load, read_table, tfim, xor_pixels

# the user's own tables


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_npz_is_read(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((10, 5)) * (1 + 2j)
    y = np.array([1, -1] * 5)
    np.savez(tmp_path / "own.npz", x=x, y=y)
    data = read_table(tmp_path / "own.npz", seed=4)
    np.testing.assert_allclose(data.amplitudes[:, :5], x / np.linalg.norm(x, axis=1)[:, None])
    assert not data.amplitudes[:, 5:].any()
    np.testing.assert_array_equal(data.labels, y)
    assert data.name == "own"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.ones((4, 2))}, "arrays y are missing, found x"),
        ({"x": np.ones((4, 2)), "y": np.array([1, -1, 1, None])}, "must be an .npz"),
        ({"x": np.ones((4, 2)), "y": np.array([0, 1, 0, 2])}, "own.npz: y holds 3 labels, '0', '1', '2', and this takes two"),
        ({"x": np.ones((4, 2)), "y": np.zeros(4)}, "own.npz: y holds only the label '0'"),
        ({"x": np.ones((4, 2)), "y": np.array([1, -1, 1])}, "one label per row"),
    ],
)
def test_invalid_npz_is_rejected(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        read_table(tmp_path / "own.npz")


def test_file_that_is_not_npz_is_rejected(tmp_path: Path) -> None:
    path = write(tmp_path / "own.npz", "hello")
    with pytest.raises(ValueError, match=r"must be an \.npz"):
        read_table(path)
    np.save(tmp_path / "plain.npy", np.ones(3))
    (tmp_path / "plain.npy").rename(tmp_path / "plain.npz")
    with pytest.raises(ValueError, match=r"must be an \.npz"):
        read_table(tmp_path / "plain.npz")


def test_csv_with_label_column_last_or_named(tmp_path: Path) -> None:
    last = write(tmp_path / "last.csv", "\ufeffa,b,label\n3,4,1\n0,2,-1\n\n5,0,+1.0\n-1,0,-1\n")
    data = read_table(last)
    np.testing.assert_allclose(data.amplitudes, np.array([[0.6, 0.8], [0, 1], [1, 0], [-1, 0]]))
    assert data.labels.tolist() == [1, -1, 1, -1]
    assert data.details["columns"] == ["a", "b"]
    named = write(tmp_path / "named.csv", "label,a,b\n1,3,4\n-1,0,2\n1,5,0\n-1,-1,0\n")
    np.testing.assert_array_equal(read_table(named, "label").amplitudes, data.amplitudes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,y\n1,2,1\n1,two,-1\n", r"line 3, column 'b': 'two' is not a finite number"),
        ("a,b,y\n1,2,1\n\n1,nan,-1\n", r"line 4, column 'b': 'nan' is not a finite number"),
        ("a,b,y\n1,,1\n", r"line 2, column 'b': ''"),
        ("a,b,y\n1,2\n", r"line 2: 2 cells, the header names 3"),
        ("a,b,y\n", "no samples"),
        ("", "line 1: must name two or more columns"),
        ("a:b:y\n1:2:1\n", "line 1: must name two or more columns"),
        ("1,2,1\n2,3,-1\n", "line 1: must name two or more columns"),
        ("a,a,y\n2,3,-1\n", "line 1: must name two or more columns, each once"),
        (
            "a,y\n1,cat\n2,dog\n3,cow\n",
            "column 'y', the last one; .*y holds 3 labels, 'cat', 'cow', 'dog', .*AmplitudeClassifier",
        ),
        ("a,y\n" + "".join(f"{k},{k}.5\n" for k in range(1, 40)), "y holds 39 different numbers, '1.5', .*: measurements"),
        ("a,y\n1,cat\n2,\n3,dog\n", "line 3, column 'y': '' is not a value"),
        ("a,y\n1,1\n1,-1\n0,1\n1,-1\n", r"rows \[2\] of x are all zeros"),
    ],
)
def test_invalid_csv_is_rejected(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_table(write(tmp_path / "own.csv", text))


def test_invalid_table_path_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(ValueError, match=r"must end in \.csv or \.npz"):
        read_table(tmp_path / "own.doc")
    with pytest.raises(ValueError, match="label_column='z' is not a column"):
        read_table(write(tmp_path / "own.csv", "a,y\n1,1\n"), "z")
    np.savez(tmp_path / "own.npz", x=np.ones((4, 2)), y=np.ones(4))
    with pytest.raises(ValueError, match=r"label_column='y' is for \.csv"):
        read_table(tmp_path / "own.npz", "y")


# by name


@pytest.mark.parametrize(
    ("text", "builder"),
    [
        ("bars_and_stripes", lambda: bars_and_stripes()),
        ("bars_and_stripes:side=3, noise=0.1,seed=7", lambda: bars_and_stripes(3, 0.1, seed=7)),
        ("digits:0,9", lambda: digits((0, 9))),
        ("digits:2,7,seed=3", lambda: digits((2, 7), seed=3)),
        ("digits:pair=2/7,test_fraction=0.5", lambda: digits((2, 7), 0.5)),
        (
            "tfim:n_qubits=4,samples=8,g_range=0.5/1.5,boundary=open",
            lambda: tfim(4, 8, (0.5, 1.5), 0.0, "open"),
        ),
        ("xor_pixels:pixels=1/2", lambda: xor_pixels(pixels=(1, 2))),
    ],
)
def test_load_by_name(text: str, builder: Callable[[], Dataset]) -> None:
    loaded, expected = load(text), builder()
    np.testing.assert_array_equal(loaded.amplitudes, expected.amplitudes)
    np.testing.assert_array_equal(loaded.train, expected.train)
    assert dict(loaded.details) == dict(expected.details)


def test_load_table_by_path(tmp_path: Path) -> None:
    path = write(tmp_path / "own.csv", "y,a,b\n1,3,4\n-1,0,2\n1,5,0\n-1,-1,0\n")
    assert load(f"{path}:label_column=y,test_fraction=0.5").test.size == 2
    write(tmp_path / "last.csv", "a,y\n1,1\n1,-1\n1,1\n1,-1\n")
    assert load(str(tmp_path / "last.csv")).n_qubits == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mnits", "mnist.*tfim"),
        ("tfim:qubits=4", "options: n_qubits, samples"),
        ("tfim:4", "'4' is not an option=value of tfim"),
        ("tfim:n_qubits=four", "'four' must be a whole number"),
        ("tfim:train_gap=wide", "'wide' must be a number"),
        ("tfim:n_qubits=4,n_qubits=5", "is repeated"),
        ("tfim:g_range=0.5", "2 values separated by a slash"),
        ("digits:0,1,2", "2 values separated by a slash"),
        ("fashion_mnist", "needs path"),
        ("own.csv:path=x", "options: label_column"),
    ],
)
def test_load_of_unknown_names_and_options_lists_the_possibilities(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(text)
    assert "bars_and_stripes" in NAMES


def test_import_of_datasets_loads_no_heavy_package() -> None:
    code = (
        "import sys, hattriq_cirq.datasets\n"
        "print([m for m in ('scipy', 'sklearn', 'mlxtend', 'cirq', 'pandas') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
