"""Files under the rules of Windows: no locks, bytes only where they are asked for, and no open file is removed or renamed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run, train_on_table

import hattriq_cirq as hq
from hattriq_cirq.circuits.errors import JournalError
from hattriq_cirq.execution.journal import Journal, JournalWarning
from hattriq_cirq.foundation import files

BINARY = 1 << 40  # a flag that this system does not have


def open_files() -> set[str]:
    """Return the paths of the files that this process has open."""
    paths = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            paths.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        except FileNotFoundError:  # that of the list itself
            continue
    return paths


@pytest.fixture
def windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files be as on Windows."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs a list of the open files")
    really_open = os.open

    def opened(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        is_written = flags & (os.O_WRONLY | os.O_RDWR) and str(path).startswith(str(tmp_path))
        assert flags & BINARY or not is_written, f"{path} is written as text: line ends would change"
        return really_open(path, flags & ~BINARY, *arguments, **options)

    def refusing(action: Callable[..., Any]) -> Callable[..., Any]:
        def act(path: Any, *arguments: Any, **options: Any) -> Any:
            if options.get("dir_fd") is None and os.path.realpath(path) in open_files():
                raise PermissionError(errno.EACCES, "used by another process", os.fspath(path))
            return action(path, *arguments, **options)

        return act

    monkeypatch.setattr(files, "fcntl", None)
    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "O_BINARY", BINARY, raising=False)
    for flag in ("O_CLOEXEC", "O_NONBLOCK"):
        monkeypatch.delattr(os, flag)
    for name in ("unlink", "remove", "rename", "replace"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))


def test_rules_of_windows_hold_in_these_tests(windows: None, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="written as text"):
        os.open(tmp_path / "a", os.O_WRONLY | os.O_CREAT)
    with open(tmp_path / "a", "wb"):
        for action in ((tmp_path / "a").unlink, lambda: (tmp_path / "a").replace(tmp_path / "b")):
            with pytest.raises(PermissionError):
                action()
    (tmp_path / "a").unlink()


@pytest.mark.parametrize("has_links", [True, False])
def test_files_are_written_replaced_and_leave_nothing(
    has_links: bool, windows: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_links:
        monkeypatch.delattr(os, "link")
    (tmp_path / ".hattriq-0123456789abcdef.draft").write_bytes(b"half")
    os.utime(tmp_path / ".hattriq-0123456789abcdef.draft", (0, 0))
    files.write_new(tmp_path / "a", "one\r\ntwo\n")
    files.write_new(tmp_path / "b", lambda file: file.write(b"x"))
    files.replace(tmp_path / "b", "new")
    with pytest.raises(FileExistsError, match="exists and is not overwritten"):
        files.write_new(tmp_path / "a", "other")
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"a": b"one\r\ntwo\n", "b": b"new"}


def failing(error: BaseException) -> Callable[..., Any]:
    """Return a function that raises an error."""

    def fail(*_: object) -> None:
        raise error

    return fail


def attribute(folder: Path) -> hq.Attribution:
    """Return a map that is measured with a journal in a folder."""
    engine = hq.cirq_simulator(seed=1, journal=folder)
    assert engine.journal is not None
    with engine.journal:
        return hq.integrated_gradients(
            hq.ring_ansatz(2, layers=1),
            [0.6, 0, 0, 0.8],
            baseline=0,
            estimator=hq.ResolvedHadamardTest(),
            engine=engine,
            shots=9,
        )


def test_run_that_stopped_is_resumed(windows: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = attribute(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "store", failing(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            attribute(tmp_path / "run")
    with open(tmp_path / "run" / "journal.jsonl", "ab") as file:
        file.write(b'{"kind": "half')
    with pytest.warns(JournalWarning, match="the last record is incomplete"):
        resumed = attribute(tmp_path / "run")
    np.testing.assert_array_equal(resumed.values, whole.values)


def test_journal_that_records_nothing_is_removed(windows: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Journal(tmp_path / "run", {"name": "a"}).discard()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing(OSError(errno.ENOSPC, "full")))
        with pytest.raises(JournalError, match="the disk is full"):
            Journal(tmp_path / "run", {"name": "a"})
    assert list(tmp_path.iterdir()) == []


def test_commands_write_their_folders(windows: None, tmp_path: Path) -> None:
    train_on_table(tmp_path)
    table = f"{tmp_path}/table.csv --inputs test:0:2"
    assert run(f"attribute {tmp_path}/model --data {table} --out {tmp_path}/maps") == 0
    assert run(f"attribute {tmp_path}/model --data {table} --estimator resolved --shots 50 --out {tmp_path}/shots") == 0
    assert [each.name for each in tmp_path.rglob(".*")] == []
    assert np.isfinite(hq.Attribution.load(tmp_path / "shots" / "attribution.npz").values).all()
