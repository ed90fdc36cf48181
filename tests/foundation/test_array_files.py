"""Arrays in files: large ones are written so that they can be read in place, and stay on disk when they are read."""

from __future__ import annotations

import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hattriq_cirq.attribution.result import Assumptions, Attribution
from hattriq_cirq.foundation import array_files
from hattriq_cirq.foundation.array_files import Joined, read_array, read_arrays, write_arrays
from hattriq_cirq.foundation.arrays import Array, is_read_only, zeros
from hattriq_cirq.foundation.reading import FileError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 64))
ARRAYS: dict[str, Array] = {
    "x": X,
    "odd name": RNG.integers(0, 255, (7, 999), dtype=np.uint8),
    "complex": X[:, :32] + 1j * X[:, 32:],
    "columns": np.asfortranarray(X),
    "strided": X[::3, ::2],
    "half": X.astype(np.float32),
    "constant": zeros((300, 64)),
    "small": np.arange(3.0),
    "text": np.array("meta"),
}


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "ON_DISK", 2**12)


@contextmanager
def at_most(allowed: int) -> Iterator[None]:
    """Fail if more bytes are allocated at once within a block."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < allowed
    finally:
        tracemalloc.stop()


def write(path: Path, arrays: Any) -> Path:
    with path.open("wb") as file:
        write_arrays(file, arrays)
    return path


def as_numpy_writes(path: Path, arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def as_numpy_compresses(path: Path, arrays: Any) -> Path:
    np.savez_compressed(path, **arrays)
    return path


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("writer", [write, as_numpy_writes, as_numpy_compresses])
def test_large_arrays_stay_on_disk_and_small_ones_do_not(writer: Callable[..., Path], tmp_path: Path) -> None:
    found = read_arrays(writer(tmp_path / "own.npz", ARRAYS))
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert isinstance(found[name], np.memmap) == (array.nbytes >= 2**12)
        assert found[name].flags.aligned
        assert not found[name].flags.writeable
    with np.load(tmp_path / "own.npz") as numpy_reads:
        assert all(np.array_equal(numpy_reads[name], array) for name, array in ARRAYS.items())


@pytest.mark.usefixtures("small_limit")
def test_only_large_arrays_are_not_compressed(tmp_path: Path) -> None:
    with zipfile.ZipFile(write(tmp_path / "own.npz", ARRAYS)) as archive:
        stored = {each.filename for each in archive.infolist() if each.compress_type == zipfile.ZIP_STORED}
    assert stored == {f"{name}.npy" for name in ARRAYS} - {"small.npy", "text.npy"}


def test_files_of_usual_size_are_compressed_and_read_into_memory(tmp_path: Path) -> None:
    found = read_arrays(write(tmp_path / "own.npz", ARRAYS))
    assert not any(isinstance(array, np.memmap) for array in found.values())
    with zipfile.ZipFile(tmp_path / "own.npz") as archive:
        assert all(each.compress_type == zipfile.ZIP_DEFLATED for each in archive.infolist())


@pytest.mark.parametrize("limit", [2**12, 2**26])
def test_array_in_parts_is_put_together(limit: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(array_files, "ON_DISK", limit)
    file = write(
        tmp_path / "own.npz",
        {"x": Joined(300, (X[:7], X[7:200], X[200:])), "zero": Joined(16, (zeros((7, 64)), zeros((9, 64))))},
    )
    found = read_arrays(file)
    np.testing.assert_array_equal(found["x"], X)
    np.testing.assert_array_equal(found["zero"], np.zeros((16, 64)))


@pytest.mark.usefixtures("small_limit")
def test_array_of_an_npy_file(tmp_path: Path) -> None:
    for name, array in ARRAYS.items():
        np.save(tmp_path / "own.npy", array)
        found = read_array(tmp_path / "own.npy")
        np.testing.assert_array_equal(found, array)
        assert isinstance(found, np.memmap) == (array.nbytes >= 2**12), name


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("writer", [write, as_numpy_compresses])
def test_one_wrong_byte_of_a_large_array_is_noticed(writer: Callable[..., Path], tmp_path: Path) -> None:
    content = bytearray(writer(tmp_path / "own.npz", {"x": X}).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "own.npz").write_bytes(content)
    with pytest.raises(FileError, match=r"own\.npz.*damaged"):
        read_arrays(tmp_path / "own.npz")


def test_npy_files_that_are_damaged_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", X)
    whole = (tmp_path / "own.npy").read_bytes()
    for content, words in ((whole[:-1], "announces"), (b"", "it is not an .npy file"), (whole[:50], "it is not an .npy file")):
        (tmp_path / "own.npy").write_bytes(content)
        with pytest.raises(FileError, match=words):
            read_array(tmp_path / "own.npy")
    np.save(tmp_path / "own.npy", np.array([{}]))
    with pytest.raises(FileError, match="must be numbers or text"):
        read_array(tmp_path / "own.npy")


def attribution(values: Array, x: Array) -> Attribution:
    return Attribution(
        values=values,
        stderr=zeros(values.shape),
        imag_values=None,
        x=x,
        baseline=zeros(values.shape),
        f_input=values[:, 0].copy(),
        f_baseline=zeros(values.shape[:1]),
        completeness_gap_stderr=zeros(values.shape[:1]),
        assumptions=Assumptions("quadratic", "exact", "identity", ("Z(q(0))",), "constant 0"),
    )


@pytest.mark.parametrize("compressed", [False, True])
def test_large_attribution_is_loaded_and_shown_with_little_memory(
    compressed: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Maps of 8 MB beyond limits of 32 KiB and 1 MiB stand for maps of gigabytes beyond those of 16 MiB and 2 GiB."""
    monkeypatch.setattr(array_files, "ON_DISK", 2**15)
    monkeypatch.setattr(array_files, "MAX_BYTES", 2**20)
    monkeypatch.setattr(array_files, "_BLOCK", 2**14)
    values = RNG.normal(size=(1000, 1024))
    whole = attribution(values, RNG.normal(size=(1000, 1024)))
    whole.save(tmp_path / "a.npz")
    if compressed:  # as former versions saved
        with np.load(tmp_path / "a.npz") as arrays:
            full = dict(arrays) | dict.fromkeys(("stderr", "baseline"), np.zeros((1000, 1024)))
        full["meta"] = np.array(str(full["meta"]).replace("Attribution/2", "Attribution/1"))
        as_numpy_compresses(tmp_path / "a.npz", full)
    with at_most(2**21):
        found = Attribution.load(tmp_path / "a.npz")
        assert "1000 inputs, 1024 features" in repr(found)
        assert found[999].top(1)[0][1] == values[999, np.abs(values[999]).argmax()]
    assert found == whole
    assert is_read_only(found.values)


@pytest.mark.slow
def test_attribution_of_more_than_2_gigabytes_is_loaded(tmp_path: Path) -> None:
    values = np.memmap(tmp_path / "values", np.float64, "w+", shape=(280_000, 1024))  # of 2.1 GiB
    values[-1, 7] = 2.5
    values.flush()
    values = np.memmap(tmp_path / "values", np.float64, "r", shape=values.shape)
    attribution(values, zeros(values.shape)).save(tmp_path / "a.npz")
    with at_most(2**26):
        found = Attribution.load(tmp_path / "a.npz")
        assert found[-1].top(1) == [(7, 2.5)]
