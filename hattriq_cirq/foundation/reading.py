"""Bytes and arrays from files, with every size bounded before memory is taken."""

from __future__ import annotations

import math
import os
import stat
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import IO, Any

import numpy as np

from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.display import printable

#: Largest number of bytes that a file, or what a compressed file expands to, may take in memory: 2 GiB.
MAX_BYTES = 2**31
_INFLATION = 1032  # largest ratio by which deflate compresses, rounded up
_LONGEST = 500  # characters of a problem in a message
_RESTORE = "restore the file from a copy, or make it again"


class FileError(ValueError):
    """File that is damaged, too large or of another kind; the message names the file and, if there is one, the field.

    Args:
        name: Path of the file, or the name of a part of it.
        problem: Problem with the value echoed.
        cure: Advice.

    Example:
        >>> raise FileError("run.json", "it is not JSON")
        Traceback (most recent call last):
        ...
        hattriq_cirq.foundation.reading.FileError: run.json: it is not JSON; restore the file from a copy, or make it again
    """

    def __init__(self, name: object, problem: str, cure: str = _RESTORE) -> None:
        self.problem = _shortened(problem)
        super().__init__(printable(f"{name}: {self.problem}; {cure}"))


def problem_of(error: Exception) -> str:
    """Return what an error says, shortened, without the name of the file and the advice if it is a `FileError`."""
    return error.problem if isinstance(error, FileError) else _shortened(str(error))


def _shortened(text: str) -> str:
    return printable(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")


@contextmanager
def open_file(path: str | os.PathLike[str]) -> Iterator[tuple[IO[bytes], int]]:
    """Yield an open regular file and its size; a pipe, a device or a folder is refused."""
    no_wait = getattr(os, "O_NONBLOCK", 0)  # so that opening a pipe does not wait for its writer
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | no_wait)) as file:
        information = os.fstat(file.fileno())
        if not stat.S_ISREG(information.st_mode):
            raise FileError(path, "it is not a regular file", "name a file")
        yield file, information.st_size


def read_bytes(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> bytes:
    """Return the content of a regular file.

    Args:
        path: Path of the file.
        limit: Largest number of bytes.

    Raises:
        FileNotFoundError: The file does not exist.
        FileError: The path is no regular file, or the file is too large.
    """
    with open_file(path) as (file, size):
        check_size(size, path, "it holds", limit)
        try:
            return file.read()
        except MemoryError:
            raise FileError(path, f"its {size:,} bytes need more memory than there is", "use a smaller file") from None


def checksum(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 checksum of a file in hexadecimal, which identifies the data of a result."""
    return sha256(read_bytes(path)).hexdigest()


def check_size(size: int, name: object, words: str = "it needs", limit: int = MAX_BYTES) -> None:
    """Raise FileError if a number of bytes is above a limit."""
    if size > limit:
        raise FileError(name, f"{words} {size:,} bytes, more than the limit of {limit:,}", "use a smaller file")


def check_expansion(compressed: int, announced: int, name: object, ratio: int = _INFLATION) -> None:
    """Raise FileError if so many compressed bytes cannot hold the number of bytes that is announced."""
    if announced > ratio * (compressed + 1):
        raise FileError(name, f"its {compressed:,} compressed bytes cannot hold the {announced:,} that are announced")


def inflate(data: bytes, limit: int, name: object) -> bytes:
    """Return the content of one zlib or gzip stream, refused as soon as it exceeds a number of bytes.

    Args:
        data: Compressed bytes.
        limit: Largest number of bytes of the result.
        name: Name of the file, or of its part, in messages.

    Raises:
        FileError: The stream is damaged or incomplete, or expands further.
    """
    stream = zlib.decompressobj(wbits=47)  # zlib or gzip, by their headers
    try:
        content = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise FileError(name, f"its compressed bytes are damaged: {error}") from None
    if len(content) > limit:
        raise FileError(name, f"its compressed bytes expand to more than {limit:,} bytes")
    if not stream.eof or stream.unused_data:
        raise FileError(name, "its compressed bytes are incomplete, or more follow them")
    return content


def read_arrays(path: str | os.PathLike[str], names: Sequence[str] | None = None) -> dict[str, Array]:
    """Return arrays of an .npz file: numbers, truth values or text, never Python objects.

    The size that an array announces is compared with the archive, with the file and with `MAX_BYTES` before memory is taken.

    Args:
        path: Path of the file.
        names: Names of the arrays to read; None reads all.

    Raises:
        FileNotFoundError: The file does not exist.
        FileError: The file is no .npz archive, one of the arrays is missing, or a part is damaged or too large.
    """
    with open_file(path) as (file, file_size):
        try:
            with zipfile.ZipFile(file) as archive:
                members = {each.filename.removesuffix(".npy"): each for each in archive.infolist()}
                if missing := [name for name in names or () if name not in members]:
                    raise FileError(path, f"arrays {', '.join(missing)} are missing, found {', '.join(members) or 'none'}")
                chosen = {name: members[name] for name in (members if names is None else names)}
                check_size(sum(each.file_size for each in chosen.values()), path, "its arrays expand to")
                return {name: _read_member(archive, member, file_size, path) for name, member in chosen.items()}
        except FileError:
            raise
        except MemoryError:
            raise FileError(path, "its arrays need more memory than there is", "use a smaller file") from None
        except Exception as error:  # a damaged archive or header can raise any error, from struct.error to TokenError
            raise FileError(path, f"it is not a zip archive, or a damaged one ({type(error).__name__}: {error})") from None


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, file_size: int, path: str | os.PathLike[str]) -> Array:
    name = f"array {member.filename.removesuffix('.npy')}:"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
        raise FileError(
            path, f"{name} compression method {member.compress_type} or encryption is not read", "numpy.savez writes one"
        )
    is_stored = member.compress_type == zipfile.ZIP_STORED
    check_expansion(min(member.compress_size, file_size), member.file_size, path, 1 if is_stored else _INFLATION)
    with archive.open(member) as stream:
        shape, fortran, dtype = _read_header(stream)
        if dtype.hasobject or dtype.kind not in "biufcUS":
            raise FileError(path, f"{name} its type is {dtype}, must be numbers or text", "save arrays of numbers")
        size = math.prod(shape) * dtype.itemsize
        left = member.file_size - stream.tell()
        if size != left:
            raise FileError(path, f"{name} its header announces {shape} of {dtype}, {size:,} bytes; the archive holds {left:,}")
        content = stream.read(size)
        if len(content) != size or stream.read(1):
            raise FileError(path, f"{name} it has {len(content):,} bytes, its header announces {size:,}")
    if (
        dtype.kind == "U"
        and np.frombuffer(content, np.dtype(np.uint32).newbyteorder(dtype.byteorder)).max(initial=0) > sys.maxunicode
    ):
        raise FileError(path, f"{name} its text has a character beyond the last one, {sys.maxunicode:#x}")
    return np.frombuffer(content, dtype=dtype).reshape(shape, order="F" if fortran else "C")


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"format {version} of arrays is not read")
    shape, fortran, dtype = read(stream)
    if any(length < 0 for length in shape):
        raise ValueError(f"shape {shape} has a negative length")
    return shape, fortran, dtype
