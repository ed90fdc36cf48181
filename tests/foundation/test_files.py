"""Files that are complete or absent: names, modes, full disks, kills, file systems without hard links, and drafts."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

import pytest
from interrupted import WRITING, at_call, failing, killed_at_call

from hattriq_cirq.foundation import files
from hattriq_cirq.foundation.files import check_new, looks_empty, replace, write_new, write_same

NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EMLINK, errno.EACCES, errno.EXDEV)


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("mask", [0o077, 0o022, 0o002, 0o000, 0o027])
def test_mode_of_a_new_file_is_that_of_open(mask: int, tmp_path: Path) -> None:
    os.umask(mask)
    with (tmp_path / "opened").open("w"):
        pass
    for write in (write_new, write_same, replace):
        file = write(tmp_path / write.__name__, "x")
        assert file.stat().st_mode == (tmp_path / "opened").stat().st_mode


@pytest.mark.parametrize(
    "name",
    [
        *("a" * length for length in (1, 200, 245, 246, 250, 254, 255)),
        *(
            "ü" * 127,
            "漢" * 85,
            "-x",
            "a b",
            "line\nbreak",
            "tab\t",
            "'\"$`\\",
            ".hidden",
            "x.",
            "*?[",
            os.fsdecode(b"bad\xff"),
        ),
    ],
)
def test_any_name_that_open_takes(name: str, tmp_path: Path) -> None:
    assert write_new(tmp_path / name, b"content") == tmp_path / name
    assert [file.name for file in tmp_path.iterdir()] == [name]
    with pytest.raises(FileExistsError, match="not overwritten"):
        write_new(tmp_path / name, b"other")
    replace(tmp_path / name, b"other")
    assert (tmp_path / name).read_bytes() == b"other"


def test_name_that_is_too_long_is_an_error_at_the_door(tmp_path: Path) -> None:
    for door in (check_new, lambda path: write_new(path, "")):
        with pytest.raises(OSError, match="too long") as caught:
            door(tmp_path / ("a" * 256))
        assert caught.value.errno == errno.ENAMETOOLONG
    assert list(tmp_path.iterdir()) == []


def test_text_that_utf_8_cannot_hold_is_escaped(tmp_path: Path) -> None:
    assert write_new(tmp_path / "a", os.fsdecode(b"bad\xff.csv")).read_bytes() == rb"bad\udcff.csv"


def test_content_that_a_function_writes_is_complete_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "a"

    def fail(file: IO[bytes]) -> None:
        file.write(b"half")
        raise ArithmeticError("the rest cannot be computed")

    with pytest.raises(ArithmeticError, match="the rest"):
        write_new(path, fail)
    assert not list(tmp_path.iterdir())
    assert write_new(path, lambda file: file.write(b"whole")).read_bytes() == b"whole"
    with pytest.raises(FileExistsError, match="exists and is not overwritten"):
        write_new(path, lambda file: file.write(b"other"))
    assert path.read_bytes() == b"whole"


def test_door_for_new_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    (tmp_path / "linked").symlink_to("folder")
    for name in ("file", "link", "folder", "linked"):
        with pytest.raises(FileExistsError, match=rf"{name} exists and is not overwritten"):
            check_new(tmp_path / name)
    with pytest.raises(OSError, match="is not a folder that can be written to"):
        check_new(tmp_path / "file" / "new")
    for text in (f"{tmp_path}/new/", ""):
        with pytest.raises(IsADirectoryError, match="give the path of a new file"):
            check_new(text)
    assert check_new(tmp_path / "linked" / "deep" / "new") == tmp_path / "linked" / "deep" / "new"
    write_new(tmp_path / "linked" / "deep" / "new", "x")
    assert (tmp_path / "folder" / "deep" / "new").read_text() == "x"


def test_same_content_is_accepted_and_other_content_is_kept(tmp_path: Path) -> None:
    for _ in range(2):
        write_same(tmp_path / "a", "x")
    with pytest.raises(FileExistsError):
        write_same(tmp_path / "a", "y")
    assert (tmp_path / "a").read_text() == "x"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
@pytest.mark.parametrize("write", [write_new, write_same, replace])
def test_full_disk_at_any_call_leaves_the_old_state_or_the_new_one(
    write: Callable[..., Path], number: int, tmp_path: Path
) -> None:
    file, old = tmp_path / "deep" / "file", b"old" if write is replace else None
    for chosen in range(1, 40):
        if old is not None:
            replace(file, old)
        error: OSError | None = None
        with at_call(chosen, failing(number), WRITING) as calls:
            try:
                write(file, b"new" * 1000)
            except OSError as caught:
                error = caught
        assert (file.read_bytes() if file.exists() else None) == (b"new" * 1000 if error is None else old)
        assert error is None or (error.errno, error.filename) in ((number, str(file)), (number, None))
        if file.parent.exists():
            assert {each.name for each in file.parent.iterdir()} <= {"file"}
        if calls.count < chosen:
            break
        file.unlink(missing_ok=True)
    assert chosen > 5


@pytest.mark.parametrize("has_links", [True, False])
def test_kill_at_any_call_leaves_a_whole_file_or_none(has_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_links:
        monkeypatch.setattr(os, "link", lambda *_: failing(errno.EPERM)())
    for chosen in range(1, 40):
        folder = tmp_path / str(chosen)
        ended = killed_at_call(chosen, partial(write_new, folder / "file", b"new"))
        if (folder / "file").exists():
            assert (folder / "file").read_bytes() == b"new"
        elif folder.exists():
            assert looks_empty(folder)
        write_same(folder / "file", b"new")
        write_new(folder / "other", b"")
        assert {each.name for each in folder.iterdir()} == {"file", "other"}
        if ended:
            break
    assert chosen > 7


@pytest.mark.parametrize("number", NO_LINKS)
def test_file_system_without_hard_links(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", lambda *_: failing(number)())
    write_new(tmp_path / "a", "x")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "a", "y")
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"a": "x"}


@pytest.mark.parametrize("has_links", [True, False])
def test_one_of_many_writers_wins(has_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_links:
        monkeypatch.delattr(os, "link")
    won, start = [], threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        try:
            write_new(tmp_path / "a", str(number) * 10_000)
            won.append(number)
        except FileExistsError:
            pass

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = won
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"a": str(winner) * 10_000}


def test_abandoned_drafts_are_removed_and_living_ones_stay(tmp_path: Path) -> None:
    for name in (".hattriq-0123456789abcdef.draft", ".page.html.a1b2c3d4", ".other.html.a1b2c3d4", ".page.html.swp", "page"):
        (tmp_path / name).write_text("half")
    with files._draft(tmp_path) as (living, _):
        write_new(tmp_path / "page.html", "x")
        assert {each.name for each in tmp_path.iterdir()} == {
            *(living.name, "page.html", ".other.html.a1b2c3d4", ".page.html.swp", "page")
        }


def test_without_locks_drafts_are_removed_by_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "fcntl", None)
    for name, age in ((".hattriq-0123456789abcdef.draft", 7200), (".hattriq-fedcba9876543210.draft", 60)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, (tmp_path / name).stat().st_mtime - age))
    write_new(tmp_path / "a", "x")
    assert {each.name for each in tmp_path.iterdir()} == {"a", ".hattriq-fedcba9876543210.draft"}


def test_draft_that_a_remover_locked_first_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that removes abandoned drafts may lock a new one before its creator does."""
    lock, removers = files.try_lock, list[int]()

    def late(descriptor: int) -> bool | None:
        if not removers:
            (removed,) = tmp_path.iterdir()
            removers.append(os.open(removed, os.O_RDONLY))
            assert lock(removers[0])
        return lock(descriptor)

    monkeypatch.setattr(files, "try_lock", late)
    with files._draft(tmp_path):
        os.close(removers[0])
        assert len(list(tmp_path.iterdir())) == 2  # that of the remover, and the one that is used
