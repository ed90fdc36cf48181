"""Journals with incomplete records, on full disks, after interrupts, and used by several processes."""

from __future__ import annotations

import errno
import gc
import os
import resource
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import run
from hypothesis import given
from hypothesis import strategies as st
from journals import ENGINE, distributions_of, make_jobs, read_records, write_journal

from hattriq_cirq.circuits.errors import JournalError, JournalInUseError
from hattriq_cirq.execution.journal import JOURNAL, Journal, JournalWarning
from hattriq_cirq.execution.journal_records import to_line
from hattriq_cirq.execution.journal_summary import read_summary

# incomplete and damaged files


@given(st.data())
def test_truncated_journal_keeps_every_complete_record(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("cut")
    write_journal(folder)
    whole = (folder / JOURNAL).read_bytes()
    size = data.draw(st.integers(0, len(whole)))
    (folder / JOURNAL).write_bytes(whole[:size])
    kept = whole[:size].count(b"\n")
    rest = whole[:size].rpartition(b"\n")[2]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Journal(folder, ENGINE).close()
    assert [type(warning.message) for warning in caught] == [JournalWarning] * bool(rest)
    assert (folder / JOURNAL).read_bytes().startswith(whole[:size].removesuffix(rest))
    if kept:
        assert [record["kind"] for record in read_records(folder)[kept:]] == ["opened"]
    torn = list(folder.glob("journal.torn-*"))
    assert [file.read_bytes() for file in torn] == ([rest] if rest else [])


@given(st.data())
def test_flipped_bit_is_detected(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("flip")
    write_journal(folder)
    whole = (folder / JOURNAL).read_bytes()
    place, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    damaged = bytearray(whole)
    damaged[place] ^= 1 << bit
    (folder / JOURNAL).write_bytes(damaged)
    last = damaged.rfind(b"\n", 0, len(whole) - 1) + 1
    if place >= last:
        with pytest.warns(JournalWarning, match=r"the last record is incomplete.* moved to journal.torn-1"):
            Journal(folder, ENGINE).close()
        assert (folder / JOURNAL).read_bytes().startswith(whole[:last])
    else:
        number = whole[:place].count(b"\n") + 1
        with pytest.raises(JournalError, match=rf"line {number}:? (cannot be read|is no header)") as caught:
            Journal(folder, ENGINE)
        assert JOURNAL in str(caught.value)
        assert (folder / JOURNAL).read_bytes() == damaged


def test_incomplete_records_are_moved_to_numbered_files(tmp_path: Path) -> None:
    write_journal(tmp_path)
    for number in (1, 2):
        with (tmp_path / JOURNAL).open("ab") as file:
            file.write(b"1234")
        with pytest.warns(JournalWarning, match=rf"moved to journal.torn-{number}"):
            Journal(tmp_path, ENGINE).close()
    assert {file.name for file in tmp_path.iterdir()} == {JOURNAL, "journal.torn-1", "journal.torn-2"}


@pytest.mark.parametrize("content", [b"a table of mine", b"\0" * 100, b"a\nb\n"])
def test_file_of_another_kind_is_rejected_and_unchanged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / JOURNAL).write_bytes(content)
    with pytest.raises(JournalError, match=r"not a journal of a run|line 1 cannot be read"):
        Journal(tmp_path, ENGINE)
    assert (tmp_path / JOURNAL).read_bytes() == content


def test_journal_of_a_later_version_is_rejected(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_bytes(to_line({"kind": "header", "utc": "", "format": "hattriq_cirq.Journal/3"}))
    with pytest.raises(JournalError, match=r"line 1 cannot be read: its format is 'hattriq_cirq\.Journal/3'"):
        Journal(tmp_path, ENGINE)


@pytest.mark.parametrize("size", [0, 5, 100])
def test_journal_of_a_run_that_stopped_at_once_starts_anew(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fixtures = Path(__file__).parents[1] / "fixtures"
    shutil.copytree(fixtures / "version_0_1" / "trained", tmp_path / "trained")
    (tmp_path / "run").mkdir()
    content = (fixtures / "journal_2" / "interrupted" / JOURNAL).read_bytes()[:size]
    (tmp_path / "run" / JOURNAL).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    for command in ("resume run", "cancel run"):
        assert run(command) == 2
        assert "run records no command and no job" in capsys.readouterr().err
        assert (tmp_path / "run" / JOURNAL).read_bytes() == content
    assert run("runs run") == 0
    assert "repeat what began it" in (listed := capsys.readouterr().out)
    assert "resume" not in listed
    assert run("show run") == 2
    assert "run holds no result yet; `hattriq runs run`" in capsys.readouterr().err
    data = "--data bars_and_stripes:side=2,noise=0.2,copies=20 --inputs test:0:1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JournalWarning)
        assert run(f"attribute trained {data} --estimator resolved --shots 50 --engine cirq --out run") == 0
    assert read_summary(tmp_path / "run").status == "finished"


# a full disk


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Limit the size of files of this process by the kernel, which acts like a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, 50])
def test_full_disk_leaves_a_complete_journal(tmp_path: Path, room: int) -> None:
    with Journal(tmp_path, ENGINE) as journal:
        (job,) = make_jobs(journal, 1)
        journal.begin(1, "key", [job])
        before = (tmp_path / JOURNAL).read_bytes()
        with (
            no_file_beyond(len(before) + room),
            pytest.raises(JournalError, match=r"the disk is full.* is safe; free some space"),
        ):
            journal.store(job.id, distributions_of(1, 7, 0, 0))
        assert (tmp_path / JOURNAL).read_bytes() == before
        assert journal.stored(job.id) is None
        journal.store(job.id, distributions_of(1, 7, 0, 0))
    with Journal(tmp_path, ENGINE) as journal:
        assert journal.stored(job.id) is not None


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_failing_sync_leaves_a_complete_journal(tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: int) -> None:
        raise OSError(code, os.strerror(code))

    with Journal(tmp_path, ENGINE) as journal:
        before = (tmp_path / JOURNAL).read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fails)
            with pytest.raises(JournalError, match=r"cannot grow.* and resume the run") as caught:
                journal.finish()
        assert ("the disk is full" in str(caught.value)) == (code != errno.EIO)
        assert (tmp_path / JOURNAL).read_bytes() == before
        assert read_summary(tmp_path).status == "running"


def test_interrupt_while_writing_leaves_a_complete_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with Journal(tmp_path, ENGINE) as journal:
        before = (tmp_path / JOURNAL).read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", interrupt)
            with pytest.raises(KeyboardInterrupt):
                journal.finish()
        assert (tmp_path / JOURNAL).read_bytes() == before


def test_journal_that_was_removed_takes_no_more_records(tmp_path: Path) -> None:
    with Journal(tmp_path / "run", ENGINE) as journal:
        shutil.rmtree(tmp_path / "run")
        with pytest.raises(JournalError, match="was removed, nothing can be recorded"):
            journal.finish()


def test_name_of_no_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(JournalError, match="'' names no folder"):
        Journal("", ENGINE)
    assert not list(tmp_path.iterdir())


# two processes


def test_journal_that_only_an_exception_keeps_can_be_opened_again(tmp_path: Path) -> None:
    def run(fault: type[Exception] | None) -> None:
        Journal(tmp_path, ENGINE)
        try:
            if fault is not None:
                raise fault
        except OSError as error:
            kept = error  # noqa: F841  a cycle: the exception refers to this frame

    gc.disable()
    try:
        run(OSError)
        run(None)
    finally:
        gc.enable()


def test_second_process_gets_an_error_that_names_the_first(tmp_path: Path) -> None:
    with Journal(tmp_path, ENGINE):
        before = (tmp_path / JOURNAL).read_bytes()
        with pytest.raises(JournalInUseError, match=f"another engine of this process is working on the run in {tmp_path}"):
            Journal(tmp_path, ENGINE)
        code = f"from hattriq_cirq.execution.journal import Journal\nJournal({str(tmp_path)!r}, {ENGINE!r})"
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert f"JournalInUseError: process {os.getpid()} is working on the run in {tmp_path}" in second.stderr.replace(
            "hattriq_cirq.circuits.errors.", ""
        )
        assert read_summary(tmp_path).status == "running"
        assert (tmp_path / JOURNAL).read_bytes() == before
    Journal(tmp_path, ENGINE).close()
