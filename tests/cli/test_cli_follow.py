"""`hattriq runs --follow`: runs in progress until they end."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cirq
import pytest
from command_line import run

import hattriq_cirq as hq
from hattriq_cirq.cli import follow as following
from hattriq_cirq.cli.follow import FollowedRun
from hattriq_cirq.execution.backends.simulators import ExactBackend
from hattriq_cirq.execution.journal import JOURNAL
from hattriq_cirq.execution.journal_summary import read_summary
from hattriq_cirq.foundation.terminal import Stream

Q = cirq.q(0)
CIRCUITS = [cirq.Circuit(cirq.ry(0.1 + i)(Q), cirq.measure(Q, key="m")) for i in range(8)]


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield the folder of a run in progress in another thread."""
    folder, execute = tmp_path / "slow", ExactBackend.execute

    def slow(self: ExactBackend, job: Any) -> Any:
        time.sleep(0.1)
        return execute(self, job)

    def work() -> None:
        engine = hq.cirq_simulator(seed=1, journal=folder)
        assert engine.journal is not None
        with engine.journal:
            engine.run(CIRCUITS, [100] * 8)

    monkeypatch.setattr(ExactBackend, "execute", slow)
    thread = threading.Thread(target=work)
    thread.start()
    while not (folder / JOURNAL).is_file() or not read_summary(folder).done:
        assert thread.is_alive()
        time.sleep(0.01)
    yield folder
    thread.join(timeout=30)


def test_run_in_progress_is_followed_to_its_end(
    running: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hattriq_cirq.cli.commands.runs._SECONDS", 0.05)
    assert run(f"runs {tmp_path} --follow") == 0
    first, *_, last = lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(set(lines)) >= 4
    assert first.startswith(f"{running}  running  ")
    assert "/8 jobs  " in first
    assert re.search(r"00/800 shots  about \d+ s left  info    job ", first)
    assert last.startswith(f"{running}  finished  8/8 jobs  800/800 shots  info    job ")
    assert run(f"runs {tmp_path} --follow") == 0
    assert "no run is in progress" in capsys.readouterr().out


def test_ctrl_c_ends_following_quietly(
    running: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(folder: Path) -> str:
        if len(looks) == 1:
            raise KeyboardInterrupt
        looks.append(folder)
        return ""

    looks: list[Path] = []
    with monkeypatch.context() as patch:
        patch.setattr(following, "last_line", stop)
        assert run(f"runs {tmp_path} --follow") == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1
    assert printed.err == ""


class Terminal:
    """Text stream that claims to be a terminal."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


def test_lines_are_redrawn_on_a_terminal(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal: Any = Terminal()
    monkeypatch.setattr(sys, "stdout", Stream(terminal))
    following.follow({running: FollowedRun(running)}, 0.1)
    drawn = terminal.text.split("\x1b[1A\x1b[J")
    assert len(drawn) >= 3
    assert all(part.count("\n") == 1 and part.startswith(str(running)[:20]) for part in drawn)
    assert all(len(part) <= 80 or len(part.rstrip("\n")) < 200 for part in drawn)
    assert "\x1b" not in "".join(drawn)


def test_journal_is_read_again_only_after_it_has_grown(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []

    def counted(folder: Path) -> Any:
        reads.append(folder)
        return read_summary(folder)

    monkeypatch.setattr(following, "read_summary", counted)
    followed = FollowedRun(running)
    while followed.update().status == "running":
        time.sleep(0.05)
    known = len(reads)
    assert followed.update().done == 8
    assert len(reads) == known
