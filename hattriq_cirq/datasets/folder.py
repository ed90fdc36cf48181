"""A folder of image files, read one after the other; many of them are prepared on disk instead of in memory."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hattriq_cirq.datasets.images import area_average
from hattriq_cirq.datasets.value import Dataset, Inputs, Padding, from_features, unlabelled
from hattriq_cirq.foundation.array_files import ON_DISK, empty_on_disk
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.checks import as_count
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.foundation.reading import FileError, read_bytes

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_GREY = ("1", "L", "I;16", "I;16B", "I", "F")  # modes of images whose pixels are one number


def image_folder(
    path: str | Path, pair: tuple[str, str] | None = None, size: int | None = None, test_fraction: float = 0.3, *, seed: int = 0
) -> Dataset | Inputs:
    """Return the images of a folder, in the order of their paths, as grey values, one feature per pixel.

    Images of two classes lie in a folder for each class, whose names are those of the classes. Images that lie in the folder
    itself have no labels: they can be attributed.

    Args:
        path: Folder with image files of one size (PNG, JPEG, TIFF, BMP, GIF, PGM, PPM, WebP), or with a folder for each class.
        pair: Names of the folders of the classes -1 and +1; None for the two that there are, in alphabetical order.
        size: Number of pixels along a side of square images after area averaging; None keeps every pixel. Sides are padded
            evenly with zeros to powers of 2.
        test_fraction: Share of each class in the test set, between 0 and 1.
        seed: Random seed of the split.

    Returns:
        The data set, or inputs without labels.

    Raises:
        FileNotFoundError: The folder, or a folder of a class, does not exist.
        ValueError: There are no images, their sizes differ, a file is no image, or an argument is out of range.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for k in range(3):
        ...         Image.fromarray(np.full((4, 4), k + 1, np.uint8)).save(f"{folder}/{k}.png")
        ...     print(image_folder(folder).n_features)
        16
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}; give one with image files, or with a folder of images for each class")
    flat = _images_in(folder)
    names = sorted(each.name for each in folder.iterdir() if each.is_dir() and _images_in(each))
    if flat and names:
        raise ValueError(f"{folder} holds images and folders of images; move the images into folders of two classes")
    if not flat and not names:
        raise ValueError(f"{folder} holds no images; give a folder with files that end in {', '.join(SUFFIXES)}")
    if flat and pair is not None:
        raise ValueError(f"{pair=}: {folder} has no folders of classes; leave pair out")
    if names and (len(set(chosen := pair or names)) != 2 or not set(chosen) <= set(names)):
        raise ValueError(
            f"{pair=} must be two different folders of {folder}, which has {', '.join(names)}; such as pair=cat/dog"
        )
    if names and pair is None:
        pair = names[0], names[1]
    of_classes = [_images_in(folder / name) for name in pair or ()]
    files = [file for of_class in of_classes for file in of_class] if pair else flat
    pixels, padding, digest = _read(files, folder, size)
    shape = (pixels.shape[1], pixels.shape[2])
    form: dict[str, Any] = {
        "name": folder.resolve().name,
        "image_shape": shape,
        "padding": padding,
        "preparation": "" if size is None else f"area average to {size}x{size} pixels",
        "details": {"source": folder.resolve().name, "files": len(files), "sha256": digest},
    }
    rows = pixels.reshape(len(pixels), -1)
    try:
        if pair is None:
            return unlabelled(rows, **form)
        labels = np.repeat([-1, 1], [len(of_class) for of_class in of_classes])
        return from_features(rows, labels, label_names=pair, test_fraction=test_fraction, seed=seed, **form)
    except ValueError as error:
        raise ValueError(f"{folder}, images in the order of their paths: {error}") from error


def _images_in(folder: Path) -> list[Path]:
    """Return the image files that lie in a folder, sorted."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith("."))


def _read(files: Sequence[Path], folder: Path, size: int | None) -> tuple[Array, Padding, str]:
    """Return padded images, (samples, rows, cols), their padding, and the checksum of all names and files."""
    digest, given = hashlib.sha256(), _grey(files[0], read_bytes(files[0])).shape
    if size is not None and (given[0] != given[1] or not 1 <= as_count(size, "size", None) <= given[0]):
        raise ValueError(
            f"{size=} must lie in 1..{given[0]} for square images; those of {folder} have {given[0]}x{given[1]} pixels"
        )
    rows, cols = given if size is None else (size, size)
    padding = *margins(rows), *margins(cols)
    shape = len(files), rows + sum(padding[:2]), cols + sum(padding[2:])
    is_large = np.prod(shape) * np.dtype(np.float64).itemsize >= ON_DISK
    pixels: Array = empty_on_disk(shape, np.float64) if is_large else np.zeros(shape)
    inside = pixels[:, padding[0] : padding[0] + rows, padding[2] : padding[2] + cols]
    for k, file in enumerate(track(files, "read images", "image")):
        content = read_bytes(file)
        image = _grey(file, content)
        if image.shape != given:
            shapes = " and ".join(f"{height}x{width}" for height, width in (image.shape, given))
            raise ValueError(f"{file} and {files[0].name} have {shapes} pixels; give images of one size")
        inside[k] = image if size is None else area_average(image[np.newaxis], size)[0]
        digest.update(f"{file.relative_to(folder).as_posix()} {hashlib.sha256(content).hexdigest()}\n".encode())
    return pixels, padding, digest.hexdigest()


def _grey(file: Path, content: bytes) -> Array:
    """Return the pixels of an image file as grey values, (rows, cols)."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return np.asarray(image if image.mode in _GREY else image.convert("L"), dtype=np.float64)
    except Exception as error:  # a damaged image can raise any error
        raise FileError(file, f"it cannot be read as an image ({type(error).__name__}: {error})", "remove it") from None


def margins(side: int) -> tuple[int, int]:
    """Return the zeros before and after a side that make it a power of 2."""
    extra = (1 << (side - 1).bit_length()) - side
    return extra // 2, extra - extra // 2
