"""Arrays in .npz and .npy files; those that are too large for the memory stay on disk and are read where they are used.

An array on disk is a `numpy.memmap`: a part of it takes memory only while it is used. Large arrays are written uncompressed, so
that they can be read in place; others from a compressed file are expanded into a temporary file, which vanishes with the array.
"""

from __future__ import annotations

import errno
import math
import os
import struct
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any, Literal, NamedTuple

import numpy as np

from hattriq_cirq.foundation.arrays import Array, make_read_only, read_only
from hattriq_cirq.foundation.reading import INFLATION, MAX_BYTES, FileError, check_expansion, check_size, open_file

#: Number of bytes from which an array of a file stays on disk: 16 MiB.
ON_DISK = 2**24
_RATIO = 64  # largest ratio of arrays of more than 2 GiB to their file: a smaller file is no file of numbers
_BLOCK = 2**20  # bytes that are read or written at once
_ALIGNMENT = 64  # of arrays within a file that is written, in bytes
_PADDING = 0xD935  # header of an extra field that only fills up
_LOCAL_HEADER, _ZIP64 = 30, 20  # bytes of the header before the name of a member, and of the extra field of a long one


def empty_on_disk(shape: tuple[int, ...], dtype: np.dtype[Any] | type) -> np.memmap[Any, Any]:
    """Return an array for numbers to be computed, in a temporary file that vanishes with it.

    Example:
        >>> empty_on_disk((2,), float)
        memmap([0., 0.])
    """
    with tempfile.TemporaryFile(prefix="hattriq_cirq-") as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def take_rows(array: Array, indices: Sequence[int] | Array) -> Array:
    """Return rows of an array by their indices, read-only; those of an array on disk are copied there, part by part.

    Example:
        >>> take_rows(np.array([[1.0], [2.0], [3.0]]), [2, 0])
        array([[3.],
               [1.]])
    """
    if not is_on_disk(array):
        return read_only(array[np.asarray(indices)])
    taken = empty_on_disk((len(indices), *array.shape[1:]), array.dtype)
    step = max(1, _BLOCK * len(array) // array.nbytes)
    for start in range(0, len(indices), step):
        taken[start : start + step] = array[indices[start : start + step]]
    make_read_only(taken)
    return taken


def is_on_disk(array: Array) -> bool:
    """Return True for an array that is a `numpy.memmap`, or a view of one.

    Example:
        >>> is_on_disk(np.asarray(empty_on_disk((2,), float))), is_on_disk(np.zeros(2))
        (True, False)
    """
    base: Any = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    return isinstance(base, np.memmap)


def read_arrays(path: str | os.PathLike[str], names: Sequence[str] | None = None) -> dict[str, Array]:
    """Return arrays of an .npz file: numbers, truth values or text, never Python objects; from `ON_DISK` bytes on, on disk.

    The size that an array announces is compared with the archive and the file before memory is taken, and its checksum is
    compared with its content.

    Args:
        path: Path of the file.
        names: Names of the arrays to read; None reads all.

    Raises:
        FileNotFoundError: The file does not exist.
        FileError: The file is no .npz archive, one of the arrays is missing, or a part is damaged or too large.
    """
    with open_file(path) as (file, file_size), _named_damage(path, "a zip archive"), zipfile.ZipFile(file) as archive:
        members = {each.filename.removesuffix(".npy"): each for each in archive.infolist()}
        if missing := [name for name in names or () if name not in members]:
            raise FileError(path, f"arrays {', '.join(missing)} are missing, found {', '.join(members) or 'none'}")
        chosen = {name: members[name] for name in (members if names is None else names)}
        sizes = [each.file_size for each in chosen.values()]
        check_size(sum(sizes), path, "its arrays expand to", max(MAX_BYTES, _RATIO * file_size))
        check_size(sum(size for size in sizes if size < ON_DISK), path, "its small arrays expand to")
        return {name: _read_member(archive, member, file, file_size, path) for name, member in chosen.items()}


def array_names(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of the arrays in an .npz file.

    Raises:
        FileNotFoundError: The file does not exist.
        FileError: The file is no .npz archive.
    """
    with open_file(path) as (file, _), _named_damage(path, "a zip archive"), zipfile.ZipFile(file) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def read_array(path: str | os.PathLike[str]) -> Array:
    """Return the array of an .npy file: numbers, truth values or text, never Python objects; from `ON_DISK` bytes on, on disk.

    Raises:
        FileNotFoundError: The file does not exist.
        FileError: The file is no .npy file, is damaged, or holds something else than numbers.
    """
    with open_file(path) as (file, file_size), _named_damage(path, "an .npy file"):
        header = _Header.of(file, file_size, path, "it:")
        return header.mapped(file, file.tell()) if header.size >= ON_DISK else header.read(file, path, "it:")


class Joined(NamedTuple):
    """An array in parts that follow one another along the first axis: their length together, and the parts, one at a time."""

    length: int
    parts: Iterable[Array]


def write_arrays(file: IO[bytes], arrays: Mapping[str, Array | Joined]) -> None:
    """Write arrays into an open file as an .npz archive, part by part; large ones so that `read_arrays` reads them in place.

    Args:
        file: File, open for writing.
        arrays: Arrays by their names.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, given in arrays.items():
            parts = iter(given.parts if isinstance(given, Joined) else [given])
            first = next(parts)
            shape = (given.length, *first.shape[1:]) if isinstance(given, Joined) else first.shape
            entry = zipfile.ZipInfo(f"{name}.npy")
            if math.prod(shape) * first.itemsize < ON_DISK:
                entry.compress_type = zipfile.ZIP_DEFLATED
            else:
                header = file.tell() + _LOCAL_HEADER + len(entry.filename) + _ZIP64 + 4
                entry.extra = struct.pack("<HH", _PADDING, fill := -header % _ALIGNMENT) + bytes(fill)
            with archive.open(entry, "w", force_zip64=True) as stream:
                head = {"descr": np.lib.format.dtype_to_descr(first.dtype), "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(stream, head)
                for part in chain([first], parts):
                    for block in _blocks(part):
                        stream.write(block.tobytes())


def _blocks(array: Array) -> Iterator[Array]:
    """Yield an array in parts of about `_BLOCK` bytes, in order."""
    if array.nbytes <= _BLOCK or not array.ndim:
        yield array
    elif len(array) == 1:
        yield from _blocks(array[0])
    else:
        step = max(1, _BLOCK * len(array) // array.nbytes)
        for start in range(0, len(array), step):
            yield from _blocks(array[start : start + step])


@dataclass(frozen=True)
class _Header:
    """Form of an array, as its file announces it."""

    shape: tuple[int, ...]
    order: Literal["C", "F"]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, stream: IO[bytes], size: int, path: object, name: str) -> _Header:
        """Read the header of an array and compare it with the number of bytes that there are, its own included."""
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if read is None:
            raise ValueError(f"format {version} of arrays is not read")
        shape, fortran, dtype = read(stream)
        if any(length < 0 for length in shape):
            raise ValueError(f"shape {shape} has a negative length")
        if dtype.hasobject or dtype.kind not in "biufcUS":
            raise FileError(path, f"{name} its type is {dtype}, must be numbers or text", "save arrays of numbers")
        found, left = cls(shape, "F" if fortran else "C", dtype), size - stream.tell()
        if found.size != left:
            raise FileError(
                path, f"{name} its header announces {shape} of {dtype}, {found.size:,} bytes; the archive holds {left:,}"
            )
        return found

    @property
    def size(self) -> int:
        """Number of bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def mapped(self, file: IO[bytes], offset: int) -> Array:
        """Return the array as it lies in an open file."""
        return np.memmap(file, self.dtype, "r", offset, self.shape, self.order)

    def read(self, stream: IO[bytes], path: object, name: str) -> Array:
        """Return the array in memory."""
        content = stream.read(self.size)
        if len(content) != self.size or stream.read(1):
            raise FileError(path, f"{name} it has {len(content):,} bytes, its header announces {self.size:,}")
        if (
            self.dtype.kind == "U"
            and np.frombuffer(content, np.dtype(np.uint32).newbyteorder(self.dtype.byteorder)).max(initial=0) > sys.maxunicode
        ):
            raise FileError(path, f"{name} its text has a character beyond the last one, {sys.maxunicode:#x}")
        return np.frombuffer(content, dtype=self.dtype).reshape(self.shape, order=self.order)

    def expanded(self, stream: IO[bytes], path: object, name: str) -> Array:
        """Return the array in a temporary file, in which zeros take no space."""
        with tempfile.TemporaryFile(prefix="hattriq_cirq-") as file:
            done = 0
            while block := stream.read(_BLOCK):
                done += len(block)
                if block == bytes(len(block)):
                    file.seek(done)
                else:
                    file.write(block)
            if done != self.size:
                raise FileError(path, f"{name} it has {done:,} bytes, its header announces {self.size:,}")
            file.truncate(done)
            return self.mapped(file, 0)


def _read_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: IO[bytes], file_size: int, path: str | os.PathLike[str]
) -> Array:
    name = f"array {member.filename.removesuffix('.npy')}:"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
        raise FileError(
            path, f"{name} compression method {member.compress_type} or encryption is not read", "numpy.savez writes one"
        )
    is_stored = member.compress_type == zipfile.ZIP_STORED
    check_expansion(min(member.compress_size, file_size), member.file_size, path, 1 if is_stored else INFLATION)
    with archive.open(member) as stream:
        header = _Header.of(stream, member.file_size, path, name)
        if header.size < ON_DISK:
            return header.read(stream, path, name)
        start = stream.tell()
        if is_stored and (_content_start(file, member) + start) % header.dtype.alignment == 0:
            while stream.read(_BLOCK):
                pass  # so that its checksum is compared
            return header.mapped(file, _content_start(file, member) + start)
        return header.expanded(stream, path, name)


def _content_start(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Return the position in its file at which the content of a member begins."""
    file.seek(member.header_offset)
    lengths: tuple[int, int] = struct.unpack("<26xHH", file.read(_LOCAL_HEADER))
    return member.header_offset + _LOCAL_HEADER + sum(lengths)


@contextmanager
def _named_damage(path: str | os.PathLike[str], kind: str) -> Iterator[None]:
    """Raise FileError with the name of the file for every error of reading it."""
    try:
        yield
    except FileError:
        raise
    except MemoryError:
        raise FileError(path, "its arrays need more memory than there is", "use a smaller file") from None
    except Exception as error:  # a damaged archive or header can raise any error, from struct.error to TokenError
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # the disk of the temporary file is full
        raise FileError(path, f"it is not {kind}, or a damaged one ({type(error).__name__}: {error})") from None
