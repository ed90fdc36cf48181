"""Bytes from files, with every size bounded before memory is taken; `array_files` reads arrays."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from io import BufferedReader

from hattriq_cirq.foundation.display import printable

#: Largest number of bytes that a file, or what a compressed file expands to, may take in memory: 2 GiB.
MAX_BYTES = 2**31
#: Largest ratio by which deflate compresses, rounded up.
INFLATION = 1032
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
def open_file(path: str | os.PathLike[str]) -> Iterator[tuple[BufferedReader, int]]:
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
    with open_file(path) as (file, _):
        return file_digest(file, "sha256").hexdigest()


def check_size(size: int, name: object, words: str = "it needs", limit: int = MAX_BYTES) -> None:
    """Raise FileError if a number of bytes is above a limit."""
    if size > limit:
        raise FileError(name, f"{words} {size:,} bytes, more than the limit of {limit:,}", "use a smaller file")


def check_expansion(compressed: int, announced: int, name: object, ratio: int = INFLATION) -> None:
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
