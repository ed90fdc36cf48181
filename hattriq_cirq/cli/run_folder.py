"""Folders of runs without a journal: at any moment a folder is finished, or the same command finishes it.

A hidden file says which command writes into the folder, and its lock says that a process is at work. Results are written one by
one, the record `run.json` after them: a folder with a record holds every result. Pictures follow from the results; they come
after the record and are drawn again where they are missing or damaged.
"""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from hattriq_cirq.cli.records import same_task
from hattriq_cirq.execution.journal_records import JOURNAL
from hattriq_cirq.execution.journal_summary import read_summary
from hattriq_cirq.foundation import files
from hattriq_cirq.foundation.array_files import read_arrays
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.files import looks_empty, open_binary, remove_open, try_lock
from hattriq_cirq.foundation.reading import FileError, read_bytes
from hattriq_cirq.foundation.schema import parse_json
from hattriq_cirq.reporting.records import BEGUN, BEGUN_FORMAT, RECORD, Record, read_begun, read_record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND"


@dataclass(frozen=True)
class RunFolder:
    """Folder that one process writes the results of one command into.

    Args:
        path: Path of the folder.
        is_recorded: True if the record of this command is there, and with it every result.
        existing: Treatment of a result that exists: `keep` it, `replace` it, or `compare` it with that of this run.
    """

    path: Path
    is_recorded: bool = False
    existing: Literal["keep", "replace", "compare"] = "keep"

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        """Write a result with a function that writes a new file, such as the `save` of a value.

        Raises:
            FileExistsError: A file that had to be compared differs.
        """
        file = self.path / name
        if file.exists() and self.existing == "replace":
            file.unlink()
        if not file.exists():
            write(file)
        elif self.existing == "compare" and name != RECORD and not _would_be_same(file, write):
            raise FileExistsError(f"{printable(file)} exists and holds other results than this run; choose another folder")

    def draw(self, name: str, drawing: Callable[[], Axes | Figure]) -> None:
        """Write a picture unless a whole one is there."""
        draw_missing(self.path / name, drawing)


@contextmanager
def open_run(
    path: str | os.PathLike[str], task: Record, results: Collection[str], pictures: Collection[str]
) -> Iterator[RunFolder]:
    """Yield the folder of a command that writes the same results whenever it is repeated; leaving it normally ends the run.

    After an error the same command goes on; nothing is left of a run that has no result yet.

    Args:
        path: Folder that does not exist, is empty, or holds what this command wrote before it was stopped.
        task: Everything that decides the results, as JSON, with `command`, `settings` and `data`.
        results: Names of the results, the record among them.
        pictures: Names of the pictures.

    Yields:
        The folder.

    Raises:
        FileExistsError: The path is a file, or a folder that holds a finished run or anything else.
        JournalError: The folder holds another run that is not finished.
        OSError: Nothing can be written there, or another process is writing.
    """
    folder = check_run(path, results, pictures)
    created = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = _lock(folder)
        close = partial(os.close, descriptor)
        try:
            yield _begin(folder, descriptor, task, results, pictures)
        except BaseException:
            if looks_empty(folder) or not os.fstat(descriptor).st_size:
                remove_open(folder / BEGUN, close)
            else:
                close()
            raise
        remove_open(folder / BEGUN, close)
    except BaseException:
        for each in created:
            with suppress(OSError):
                each.rmdir()
        raise


def _begin(folder: Path, descriptor: int, task: Record, results: Collection[str], pictures: Collection[str]) -> RunFolder:
    """Compare the folder with the task, record the task, and remove what killed processes left."""
    check_run(folder, results, pictures)  # another process may have ended in the meantime
    begun = None if looks_empty(folder) else read_begun(folder)
    record = read_record(folder / RECORD) if (folder / RECORD).exists() else None
    for known in (begun, record):
        if known is not None:
            same_task(folder, known, task)
    if looks_empty(folder):  # else what is there may be of another command: this one only adds to it
        os.ftruncate(descriptor, 0)
        try:
            files.write_all(descriptor, json.dumps({"format": BEGUN_FORMAT, "task": task}).encode())
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fspath(folder)) from error
        files.sync_folder(folder)
    is_recorded = record is not None and all((folder / name).exists() for name in results)
    return RunFolder(folder, is_recorded, "replace" if begun is not None and record is None else "compare")


def check_run(path: str | os.PathLike[str], results: Collection[str] = (), pictures: Collection[str] = ()) -> Path:
    """Return a folder that a run may be written to, before any work is done for it.

    Args:
        path: Folder that does not exist or looks empty, or that holds an unfinished run.
        results: Names of the results, the record among them; none for a folder that must be empty.
        pictures: Names of the pictures.

    Raises:
        FileExistsError: The path is a file, or the folder holds a finished run or anything else.
        OSError: No file could be written there.
    """
    folder = Path(path)
    if not os.fspath(path):
        raise FileNotFoundError("'' names no folder; give the path of a new one")
    if files.exists(folder):
        for name in (*results, *pictures):
            files.remove_drafts(folder, name)
        is_folder, state = folder.is_dir(), ""
        present = {name for name in os.listdir(folder) if not name.startswith(".")} if is_folder else set()
        is_run = RECORD in results and (RECORD in present or (folder / BEGUN).exists())
        if not is_folder or not (is_run or present <= {*results, *pictures}):
            state = "is not an empty folder"
        elif results and is_finished(folder, results, pictures):
            state = "holds a finished run"
        if state:
            raise FileExistsError(
                f"{printable(folder)} exists and {state}; results are never overwritten: choose another folder"
            )
    files.check_writable(folder)
    return folder


def check_journaled_run(path: str | os.PathLike[str], results: Collection[str] = (), pictures: Collection[str] = ()) -> Path:
    """Return a folder that can take a run with a journal: one as `check_run` accepts, or that of a run that stopped.

    Raises:
        FileExistsError: The folder holds a finished run or anything else.
        OSError: No file could be written there.
        JournalError: The journal in the folder cannot be read.
    """
    folder = Path(path)
    if not (folder / JOURNAL).is_file():
        return check_run(path)
    if read_summary(folder).status == "finished" and is_finished(folder, results, pictures):
        raise FileExistsError(f"{path} holds a finished run; results are never overwritten: choose another folder")
    for name in (*results, *pictures):
        files.remove_drafts(folder, name)
    return folder


def is_finished(folder: Path, results: Collection[str], pictures: Collection[str]) -> bool:
    """Return true if a folder holds all results and pictures and no command has begun to write into it."""
    return (
        not (folder / BEGUN).exists()
        and all((folder / name).is_file() for name in results)
        and all(read_picture(folder / name) is not None for name in pictures)
    )


def is_unfinished(folder: Path) -> bool:
    """Return true if a folder holds the journal of a run that is not finished."""
    return (folder / JOURNAL).is_file() and read_summary(folder).status != "finished"


def read_picture(file: Path) -> bytes | None:
    """Return the content of a PNG file, or None if it is missing or damaged."""
    try:
        content = read_bytes(file)
    except (FileNotFoundError, FileError):
        return None
    position = len(_PNG)
    while content.startswith(_PNG) and position + 12 <= len(content):
        size = int.from_bytes(content[position : position + 4], "big")
        chunk, check = content[position + 4 : position + 8 + size], content[position + 8 + size : position + 12 + size]
        if zlib.crc32(chunk).to_bytes(4, "big") != check:
            return None
        if chunk.startswith(_PNG_END):
            return content
        position += 12 + size
    return None


def draw_missing(file: Path, drawing: Callable[[], Axes | Figure]) -> None:
    """Write a picture unless a whole one is there; a damaged one is replaced."""
    from hattriq_cirq.reporting.plotting import png

    if read_picture(file) is None:
        (files.replace if file.exists() else files.write_new)(file, png(drawing()))


def _would_be_same(file: Path, write: Callable[[Path], object]) -> bool:
    """Return true if a file holds what a function would write; of archives the arrays count, and JSON may lack newer fields."""
    import numpy as np

    with TemporaryDirectory() as folder:
        other = Path(folder) / file.name
        write(other)
        if file.suffix == ".json":
            return _says_less(_json(file), json.loads(other.read_bytes()))
        if file.suffix != ".npz":
            return file.read_bytes() == other.read_bytes()
        try:
            left, right = read_arrays(file), read_arrays(other)
        except FileError:
            return False
        names = (left.keys() | right.keys()) - {"meta"}
        return all(name in left and name in right and np.array_equal(left[name], right[name]) for name in names)


def _says_less(known: object, given: object) -> bool:
    """Return true if JSON equals other JSON as far as it goes; it must say something."""
    if isinstance(known, dict) and isinstance(given, dict):
        return bool(known) and all(
            name in given and (known[name] == given[name] or _says_less(known[name], given[name])) for name in known
        )
    return known == given


def _lock(folder: Path) -> int:
    """Open and lock the file that says which command writes into a folder."""
    file = folder / BEGUN
    while True:
        descriptor = open_binary(file, os.O_RDWR | os.O_CREAT)
        if try_lock(descriptor) is False:
            os.close(descriptor)
            raise BlockingIOError(errno.EAGAIN, "another process is writing into this folder; wait until it ends", str(folder))
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                return descriptor
        os.close(descriptor)  # its process has ended, and has removed it, in the meantime


def _json(file: Path) -> object:
    """Return the content of a JSON file; None if there is none."""
    try:
        return parse_json(read_bytes(file), file)
    except (OSError, ValueError):
        return None
