"""Labels of two classes of any kind, and options of tables by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import TABLE

from hattriq_cirq.datasets import Dataset, from_features, load, load_inputs, read_table, stratified_split
from hattriq_cirq.datasets.labels import two_classes


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([-1, 1], ("-1", "+1")),
        ([1.0, -1.0], ("-1", "+1")),
        ([0, 1], ("0", "1")),
        ([0.5, 10], ("0.5", "10")),
        ([9, 10], ("9", "10")),
        ([True, False], ("False", "True")),
        (["yes", "no"], ("no", "yes")),
        ([np.str_("malignant"), "benign"], ("benign", "malignant")),
    ],
)
def test_larger_of_two_labels_is_positive_whatever_their_order(labels: list[Any], names: tuple[str, str]) -> None:
    for order in (labels, labels[::-1]):
        found, meaning = two_classes(order * 2)
        assert meaning == names
        assert found.tolist() == [1 if str(label) in (names[1], "1", "1.0") else -1 for label in order * 2]


def test_positive_label_can_be_chosen() -> None:
    assert two_classes(["a", "b", "a"], positive="a")[0].tolist() == [1, -1, 1]
    assert two_classes(["a", "b", "a"], positive="a")[1] == ("b", "a")
    with pytest.raises(ValueError, match="positive='c' is no label of the table, which has 'a', 'b'"):
        two_classes(["a", "b"], positive="c")


def test_labels_of_a_model_are_those_of_its_classes() -> None:
    assert two_classes(["dog"], classes=("cat", "dog")) == (np.array([1]), ("cat", "dog"))
    with pytest.raises(
        ValueError, match="holds the labels 'cow', and 'cow' is not one of the classes of the model, 'cat', 'dog'"
    ):
        two_classes(["cow"], classes=("cat", "dog"))


def write(tmp_path: Path, name: str, text: str) -> Path:
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_table_of_plain_numbers_is_as_before(tmp_path: Path) -> None:
    columns = [f"c{k}" for k in range(13)]
    x = np.random.default_rng(0).normal(size=(40, 13)) * np.logspace(-9, 9, 13)
    lines = [",".join([*map(repr, row.tolist()), "+1.0" if k % 2 else "-1"]) for k, row in enumerate(x)]
    wide = read_table(write(tmp_path, "wide.csv", "\n".join([",".join([*columns, "y"]), *lines])))
    expected = from_features(x, [1 if k % 2 else -1 for k in range(40)], name="wide")
    assert wide.amplitudes.tobytes() == expected.amplitudes.tobytes()
    data = read_table(write(tmp_path, "own.csv", TABLE))
    rows = np.array([[float(cell) for cell in line.split(",")] for line in TABLE.splitlines()[1:]])
    np.testing.assert_array_equal(data.labels, rows[:, -1])
    np.testing.assert_array_equal(data.amplitudes, from_features(rows[:, :4], rows[:, -1], name="own").amplitudes)
    train, test = stratified_split(rows[:, -1].astype(int), 0.3, seed=0)
    np.testing.assert_array_equal(data.train, train)
    np.testing.assert_array_equal(data.test, test)
    assert {*data.details} == {"source", "sha256", "columns", "label_column", "test_fraction", "split_seed"}
    assert data.contract.to_record() == {
        "features": 4, "columns": ("a", "b", "c", "d"), "preparation": "", "label_column": "label",
    }  # fmt: skip


def test_options_of_a_table_by_name(tmp_path: Path) -> None:
    rows = "".join(f"{k % 7},{'NA' if k == 3 else k % 3},{k % 2},{('no', 'yes')[k % 2]}\n" for k in range(20))
    path = write(tmp_path, "own.csv", "a,zip,flag,label\n" + rows)
    options = "missing=impute,category_columns=zip/flag,scale=minmax,constant=yes,positive=no,seed=3,label_column=label"
    data = load(f"{path}:{options}")
    assert data.columns == ("a", "zip=0", "zip=1", "zip=2", "flag=0", "flag=1")
    assert data.label_names == ("yes", "no")
    assert data.contract.constant
    assert data.contract.features == 6
    assert data.contract.feature_name(6) == "constant"
    scaled = data.amplitudes[:, 0] / data.amplitudes[:, 6]
    np.testing.assert_allclose(scaled, np.arange(20) % 7 / max(data.train % 7), atol=1e-15)
    np.testing.assert_allclose(data.amplitudes[:, 6] ** 2 * (3 + scaled**2), 1)
    for text, message in (
        ("constant=maybe", "'maybe' must be yes or no"),
        ("missing=drop", "missing='drop' must be"),
        ("separator=;", "separator=';' must be"),
        ("color=red", "options: label_column, test_fraction"),
    ):
        with pytest.raises(ValueError, match=message):
            load(f"{path}:{text}")


def test_encoder_learns_from_the_training_rows_only(tmp_path: Path) -> None:
    rows = [f"{k % 5},{k % 2}" for k in range(20)]
    first = read_table(write(tmp_path, "own.csv", "a,label\n" + "\n".join(rows) + "\n"), scale="minmax", constant=True)
    rows[int(first.test[0])] = f"1000,{int(first.test[0]) % 2}"
    second = read_table(write(tmp_path, "own.csv", "a,label\n" + "\n".join(rows) + "\n"), scale="minmax", constant=True)
    assert first.contract.encoder == second.contract.encoder
    np.testing.assert_array_equal(first.x_train, second.x_train)


def test_images_of_an_archive_are_padded_to_powers_of_two(tmp_path: Path) -> None:
    images = np.random.default_rng(0).uniform(1, 2, (8, 5, 4))
    np.savez(tmp_path / "own.npz", X=images, labels=np.array(["cat", "dog"] * 4))
    data = load(str(tmp_path / "own.npz"))
    assert isinstance(data, Dataset)
    assert (data.image_shape, data.padding, data.label_names) == ((8, 4), (1, 2, 0, 0), ("cat", "dog"))
    np.testing.assert_allclose(data.to_image(data.amplitudes), images / np.linalg.norm(images, axis=(1, 2), keepdims=True))
    np.savez(tmp_path / "own.npz", X=images)
    assert load_inputs(str(tmp_path / "own.npz")).image_shape == (8, 4)
