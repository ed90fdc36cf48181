"""Commands answer before they load the library, which takes seconds."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import cleandoc
from pathlib import Path
from typing import Any

import pytest

from hattriq_cirq import cli
from hattriq_cirq.foundation import pulse
from hattriq_cirq.foundation.terminal import StatusLine

RUN = Path(__file__).parents[1] / "fixtures/journal_2/interrupted"
CODE = """
import sys
from hattriq_cirq.cli import main

class Stop:
    def find_spec(self, name, path=None, target=None):
        if name in ("cirq", "pandas", "sklearn", "matplotlib"):
            print("begins to load the library")
            raise SystemExit

sys.meta_path.insert(0, Stop())
main(sys.argv[1:])
"""


@pytest.mark.parametrize("command", ["resume", "cancel"])
def test_stopped_run_is_answered_for_before_the_library_is_loaded(command: str, tmp_path: Path) -> None:
    shutil.copytree(RUN, tmp_path / "run")
    words = [sys.executable, "-c", CODE, command, str(tmp_path / "run")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    answer, then = done.stdout.splitlines()
    assert answer.startswith(f"{tmp_path}/run: ")
    assert "jobs are done" in answer
    assert then == "begins to load the library"


def first_words(command: type[Any]) -> list[str]:
    """Return the words of the first example of a command in its help."""
    found = re.search(rf"^ +hattriq ({command.__name__.lower()}\b.*)$", cleandoc(command.__doc__ or ""), re.MULTILINE)
    assert found is not None
    return found[1].split()


@pytest.mark.parametrize("command", cli._COMMANDS, ids=lambda command: command.__name__)
def test_no_command_is_silent_for_over_a_second(
    command: type[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command that does nothing for a second, by the clock of the terminal, has said what it does."""
    shown = threading.Event()
    show = StatusLine.show

    def showing(line: StatusLine, text: str) -> None:
        show(line, text)
        shown.set()

    def wait(_: object) -> int:
        (line,) = lines
        line.last_print -= 1
        assert shown.wait(60)
        return 0

    lines: list[StatusLine] = []

    @contextmanager
    def watched(line: StatusLine) -> Iterator[None]:
        lines.append(line)
        with pulse.pulse(line):
            yield

    monkeypatch.setattr(pulse, "is_watched", lambda: True)
    monkeypatch.setattr(pulse, "_PERIOD", 0.01)
    monkeypatch.setattr(cli, "pulse", watched)
    monkeypatch.setattr(StatusLine, "show", showing)
    monkeypatch.setattr(command, "run", wait)
    assert cli.main(first_words(command)) == 0
    assert "... 1 s" in capsys.readouterr().err


def test_training_says_its_time_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "is_watched", lambda: True)
    assert cli.main(["train", "bars_and_stripes", "--epochs", "1", "--layers", "1", "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().err
    assert "rows of 16 amplitudes in at most 1 epoch; about 2 s on an idle core (a rough guess)" in said
    assert said.index("idle core") < said.index("training:")
