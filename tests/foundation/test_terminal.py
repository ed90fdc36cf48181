"""Printing: encodings, closed streams, pipes whose reader has gone, full disks, and words for a shell."""

from __future__ import annotations

import errno
import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hattriq_cirq.foundation.progress import progress_bar
from hattriq_cirq.foundation.terminal import Stream, describe, exit_code, is_watched, safe_streams, shell_word

NAMES = ("münchen", "漢字", "😀", os.fsdecode(b"bad\xff"), "a\x1b[31m", "\u202e", "\x85")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8", "utf-16", "shift_jis"])
def test_every_text_is_shown_in_every_encoding(encoding: str) -> None:
    raw = io.BytesIO()
    stream = Stream(io.TextIOWrapper(raw, encoding=encoding, newline=""))
    print("start", *NAMES, "\tend", file=stream, flush=True)
    shown = raw.getvalue().decode(encoding)
    assert shown.startswith("start ")
    assert shown.endswith("\tend\n")
    assert "\x1b" not in shown
    assert ("münchen" if encoding in ("latin-1", "cp437", "utf-8", "utf-16") else r"m\xfcnchen") in shown
    assert stream.failure is None


@given(st.text(alphabet=st.characters(codec=None)))
def test_no_text_fails(text: str) -> None:
    print(text, file=Stream(io.TextIOWrapper(io.BytesIO(), encoding="ascii")), flush=True)


class Failing(io.TextIOBase):
    """A stream that fails with an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def write(self, text: str) -> int:
        raise self.error

    def flush(self) -> None:
        raise self.error

    def close(self) -> None:
        """Flush nothing when the stream is collected."""


@pytest.mark.parametrize("error", [BrokenPipeError(errno.EPIPE, "pipe"), OSError(errno.EBADF, "closed"), ValueError("closed")])
def test_stream_without_a_reader_is_no_failure(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Failing(error))
    with safe_streams() as (out, _):
        for _ in range(3):
            print("text", flush=True)
        assert exit_code(0, out) == 0
        assert exit_code(2, out) == 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_lost_output_is_said_and_ends_with_1(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", Failing(OSError(number, os.strerror(number))))
    with safe_streams() as (out, _):
        print("text")
        assert exit_code(0, out) == 1
        assert exit_code(2, out) == 2
    assert capsys.readouterr().err.startswith(f"standard output could not be written: {os.strerror(number)}")


@pytest.mark.parametrize("missing", [("stdout",), ("stderr",), ("stdout", "stderr")])
def test_missing_streams_take_everything(missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in missing:
        monkeypatch.setattr(sys, name, None)
    with safe_streams() as (out, _):
        print("text", flush=True)
        print("text", file=sys.stderr, flush=True)
        assert not any(getattr(sys, name).isatty() for name in missing)
        assert exit_code(0, out) == 0
    assert all(getattr(sys, name) is None for name in missing)


PROGRAM = """
import sys
from hattriq_cirq.foundation.terminal import exit_code, safe_streams
with safe_streams() as (out, _):
    with open("work", "w") as file:
        for number in range(20_000):
            print("line", number, "\\u00fc")
        print("a word", file=sys.stderr)
        file.write(f"{file.fileno() > 2}")
    raise SystemExit(exit_code(0, out))
"""


@pytest.mark.parametrize(
    ("redirection", "code"),
    [
        *((">&-", 0), ("2>&-", 0), (">&- 2>&-", 0), ("<&- >&- 2>&-", 0), ("> /dev/null", 0), ("> /dev/full", 1)),
        *(("2> /dev/full > /dev/null", 0), ("| head -1", 0), ("2>&1 | true", 0)),
    ],
)
def test_work_stands_whatever_happens_to_the_streams(redirection: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shlex.quote(sys.executable)} program.py {redirection}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, (tmp_path / "work").read_text()) == (code, "True")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    "name", ["a", "-a", "a b", "a'b", 'a"b', "a\nb", "a\tb", "\\", "$HOME", "ü", os.fsdecode(b"\xff'\\"), ""]
)
def test_shell_reads_the_word_for_a_path(name: str) -> None:
    printed = subprocess.run(["bash", "-c", f"printf %s {shell_word(name)}"], capture_output=True, check=True).stdout
    assert os.fsdecode(printed).removeprefix("./") == name.removeprefix("./")
    assert not shell_word(name).startswith("-")


def test_error_of_the_operating_system_names_its_file() -> None:
    assert describe(OSError(errno.ENOSPC, "No space left on device", "a\nb")) == r"a\nb: No space left on device"
    assert describe(OSError(errno.ENOSPC, "No space left on device")) == "No space left on device"
    assert describe(BlockingIOError(errno.EAGAIN, "busy")) == "busy"
    assert describe(ValueError()) == "ValueError"


@pytest.mark.parametrize(
    "error", [BrokenPipeError(errno.EPIPE, "pipe"), OSError(errno.EIO, "hangup"), ValueError("closed"), None]
)
def test_progress_bar_never_stops_the_work(error: Exception | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None if error is None else Failing(error))
    with progress_bar(shown=True, total=3, desc="work") as bar:
        for _ in range(3):
            bar.update()
    assert list(progress_bar(shown=True, iterable=range(3))) == [0, 1, 2]
    assert not is_watched()


def test_progress_bar_is_drawn_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress_bar(shown=True, iterable=range(3), desc="steps")) == [0, 1, 2]
    assert "steps: 100%" in capsys.readouterr().err
    assert list(progress_bar(shown=False, iterable=range(3))) == [0, 1, 2]
    assert capsys.readouterr().err == ""
