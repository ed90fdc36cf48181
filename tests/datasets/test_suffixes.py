"""Names of files whose suffix is in upper case."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from command_line import TABLE

from hattriq_cirq import datasets
from hattriq_cirq.datasets.images import IDX_FILES


@pytest.mark.parametrize("name", ["DATA.CSV", "Data.Csv", "data.csv", "a.npz.CSV"])
@pytest.mark.parametrize("options", ["", ":seed=1", ":label_column=label,seed=1"])
def test_table_of_text(name: str, options: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(TABLE)
    assert datasets.load(f"{tmp_path}/{name}{options}").n_features == 4


@pytest.mark.parametrize("name", ["DATA.NPZ", "Data.Npz", "data.npz"])
def test_table_of_arrays(name: str, tmp_path: Path) -> None:
    with (tmp_path / name).open("wb") as file:
        np.savez(file, x=np.eye(8)[:, :4] + 1, y=np.array([-1, 1] * 4))
    assert datasets.load(f"{tmp_path}/{name}").n_features == 4
    with (tmp_path / f"images-{name}").open("wb") as file:
        x, y = np.ones((4, 28, 28)), np.arange(4) % 2
        np.savez(file, x_train=x, y_train=y, x_test=x, y_test=y)
    assert datasets.load(f"mnist_idx:path={tmp_path}/images-{name},pair=0/1,size=4").n_features == 16


@pytest.mark.parametrize("ending", ["", ".gz", ".GZ"])
def test_compressed_images(ending: str, tmp_path: Path) -> None:
    for index, name in enumerate(IDX_FILES):
        shape = (4, 28, 28) if index % 2 == 0 else (4,)
        values = np.ones(shape, np.uint8) if index % 2 == 0 else np.arange(4, dtype=np.uint8) % 2
        header = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
        content = header + values.tobytes()
        (tmp_path / f"{name}{ending}").write_bytes(gzip.compress(content) if ending else content)
    assert datasets.load(f"mnist_idx:path={tmp_path},pair=0/1,size=4").n_features == 16


@pytest.mark.parametrize("text", ["DATA.DOC", "data.csv.bak", "csv"])
def test_other_suffix_is_no_table(text: str) -> None:
    with pytest.raises(ValueError, match="is not a data set"):
        datasets.load(text)
