"""Files that are complete or absent: written to a hidden draft beside them, brought to the disk, then given their name.

A draft is locked while its process lives. Drafts whose process was killed are removed by the next write into the same folder.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import IO

from hattriq_cirq.foundation.display import printable

_HIDDEN = re.compile(r"\.hattriq-[0-9a-f]{16}\.(draft|turn)")
_FORMER_DRAFT = r"\.{name}\.[a-z0-9_]{{6,8}}"  # as version 0.1 named the draft of a file
_ABANDONED = 3600.0  # seconds after which a draft without a lock is abandoned, where the file system has no locks
_TURN = 5.0  # the same for a turn, which takes a few system calls

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def write_new(path: str | os.PathLike[str], content: bytes | str | Callable[[IO[bytes]], object]) -> Path:
    """Write a new file, completely or not at all.

    Args:
        path: Path of the file; missing folders are created.
        content: Bytes, or text that is written as UTF-8; what UTF-8 cannot hold, such as a byte of a file name, is escaped. Or
            a function that writes to an open file, for content that is too large for the memory.

    Returns:
        The path.

    Raises:
        FileExistsError: The path exists; nothing is changed.
        OSError: The file cannot be written, for instance because the disk is full; nothing is left.
    """
    return _write(Path(path), content, _name_new)


def write_same(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write a file as `write_new` does, unless a file with the same content exists.

    Raises:
        FileExistsError: The path exists and holds something else; nothing is changed.
        OSError: The file cannot be written; nothing is left.
    """
    file = Path(path)
    if not file.is_file() or file.read_bytes() != as_bytes(content):
        write_new(file, content)
    return file


def replace(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write a file as `write_new` does, in place of one that exists: at any moment the path holds one of the two.

    Raises:
        OSError: The file cannot be written; the present one stays.
    """
    return _write(Path(path), content, os.replace)


def as_bytes(content: bytes | str) -> bytes:
    """Return content as the functions of this module write it."""
    return content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content


def check_new(path: str | os.PathLike[str]) -> Path:
    """Return a path at which a new file can be written, before any work is done for it.

    Raises:
        FileExistsError: The path exists.
        OSError: The path names a folder, its name is too long, or no file could be written there.
    """
    text = os.fspath(path)
    if not text or text.endswith(os.sep):
        raise IsADirectoryError(f"{text!r} names no file; give the path of a new file")
    remove_drafts(Path(text).parent, Path(text).name)
    if exists(text):
        raise FileExistsError(f"{printable(text)} exists and is not overwritten; choose another path or remove it")
    check_writable(Path(text).parent)
    return Path(text)


def check_writable(folder: Path) -> None:
    """Raise an OSError if a folder could not be written to, or created where it does not exist."""
    parent = next(each for each in (folder, *folder.absolute().parents) if exists(each))
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise OSError(f"{printable(folder)} cannot be created: {printable(parent)} is not a folder that can be written to")


def exists(path: str | os.PathLike[str]) -> bool:
    """Return true if a path exists, also as a link to nothing. Raise OSError for a name that no file can have."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def looks_empty(folder: Path) -> bool:
    """Return true if a folder holds nothing but hidden files, such as drafts; nothing that is written is hidden."""
    return all(name.startswith(".") for name in os.listdir(folder))


def remove_drafts(folder: Path, name: str = "") -> None:
    """Remove the drafts of killed processes from a folder, and the draft of a file of this name that version 0.1 left."""
    former = re.compile(_FORMER_DRAFT.format(name=re.escape(name)))
    names: list[str] = []
    with suppress(OSError):
        names = os.listdir(folder)
    for each in names:
        if _HIDDEN.fullmatch(each):
            _remove_abandoned(folder / each)
        elif name and former.fullmatch(each):
            with suppress(OSError):
                (folder / each).unlink()


def try_lock(descriptor: int, *, exclusive: bool = True) -> bool | None:
    """Lock an open file until it is closed or its process ends.

    Args:
        descriptor: Descriptor of the file.
        exclusive: True for the lock of one owner, false for one that only such an owner denies.

    Returns:
        True if it is locked now, false if it was locked already, None if the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (AttributeError, OSError):
        return None
    return True


def open_binary(path: str | os.PathLike[str], flags: int) -> int:
    """Open a file with the same bytes on every system; a new one has the mode that `open` gives."""
    return os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666)


def remove_open(path: Path, close: Callable[[], object]) -> None:
    """Remove an open file while it is locked, then close it; Windows, which removes no open file, closes it first."""
    if not _has_locks():
        close()
        path.unlink(missing_ok=True)
        return
    try:
        path.unlink(missing_ok=True)
    finally:
        close()


def _has_locks() -> bool:
    """Return True if the system has the locks of this module; Windows has not."""
    return fcntl is not None


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write(path: Path, content: bytes | str | Callable[[IO[bytes]], object], name: Callable[[Path, Path], None]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_drafts(path.parent, path.name)
    try:
        with _draft(path.parent) as (draft, handle):
            if callable(content):
                with open(handle.fileno(), "wb", closefd=False) as file:
                    content(file)
                os.fsync(handle.fileno())
            else:
                write_all(handle.fileno(), as_bytes(content))
            if not _has_locks():  # Windows renames no open file, and its age protects a draft there
                handle.close()
            name(draft, path)
    except FileExistsError:
        raise FileExistsError(f"{printable(path)} exists and is not overwritten; choose another path or remove it") from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error  # names the file instead of its draft
    sync_folder(path.parent)
    return path


def write_all(descriptor: int, content: bytes) -> None:
    """Write all bytes to an open file and wait for the disk."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)


@contextmanager
def _draft(folder: Path) -> Iterator[tuple[Path, FileIO]]:
    """Yield a new locked file, which is gone afterwards, and its handle; its short name lets a file have any name."""
    descriptor = None
    while descriptor is None:
        draft = folder / f".hattriq-{secrets.token_hex(8)}.draft"
        descriptor = _create_locked(draft)
    handle = FileIO(descriptor, "wb")
    try:
        yield draft, handle
    finally:
        handle.close()
        with suppress(OSError):
            draft.unlink()


def _create_locked(hidden: Path) -> int | None:
    """Create and lock a file; return None if it exists, or if another process locked it first, which removes it."""
    try:
        descriptor = open_binary(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return None
    if try_lock(descriptor) is not False:
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(hidden)):
                return descriptor
    os.close(descriptor)
    return None


def _name_new(draft: Path, path: Path) -> None:
    """Give a draft a name that no file has."""
    try:
        os.link(draft, path)  # unlike a rename, a link does not replace a file
    except FileExistsError:
        raise
    except (AttributeError, NotImplementedError, OSError):  # a file system or a platform without hard links
        with _turn(path):
            if exists(path):
                raise FileExistsError from None
            os.rename(draft, path)


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Let one process at a time name a file: the one that creates a hidden file, which no two can."""
    turn = path.parent / f".hattriq-{sha256(os.fsencode(path.name)).hexdigest()[:16]}.turn"
    while (descriptor := _create_locked(turn)) is None:
        _remove_abandoned(turn)
        time.sleep(0.01)
    try:
        yield
    finally:
        with suppress(OSError):
            remove_open(turn, partial(os.close, descriptor))


def _remove_abandoned(hidden: Path) -> None:
    """Remove a hidden file unless a living process holds it; where there are no locks, its age decides."""
    with suppress(OSError):
        descriptor = os.open(hidden, os.O_RDONLY)
        locked, age = try_lock(descriptor), time.time() - os.fstat(descriptor).st_mtime
        if locked or (locked is None and age > (_TURN if hidden.suffix == ".turn" else _ABANDONED)):
            remove_open(hidden, partial(os.close, descriptor))
        else:
            os.close(descriptor)
