"""The pulse of a command: whatever lasts over a second has a bar whose clock goes on, or is named on the last line."""

from __future__ import annotations

import io
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from hattriq_cirq.foundation import pulse as module
from hattriq_cirq.foundation.progress import progress_bar
from hattriq_cirq.foundation.pulse import LOADING, PHASES, WORKING, beat, phase_of, pulse, words_of
from hattriq_cirq.foundation.terminal import StatusLine, Stream, safe_streams

ROOT = Path(__file__).parents[2]


def frame_in(name: str) -> FrameType:
    """Return the frame of a function of a library that a module calls."""
    library: dict[str, Any] = {"__name__": "library", "sys": sys}
    exec("def called():\n    return sys._getframe()", library)
    own: dict[str, Any] = {"__name__": name, "called": library["called"]}
    exec("def function():\n    return called()", own)
    found: FrameType = own["function"]()
    return found


def is_late(line: StatusLine) -> StatusLine:
    """Let a second pass since the last print."""
    line.last_print = time.monotonic() - 1
    return line


def test_every_folder_has_words_for_what_it_does() -> None:
    folders = [
        path.parent for top in ("hattriq_cirq", "calibration", "experiments") for path in (ROOT / top).rglob("__init__.py")
    ]
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    helpers = {
        name for name in names if name == "hattriq_cirq" or name.startswith(("hattriq_cirq.cli", "hattriq_cirq.foundation"))
    }
    assert {name for name in names - helpers if not words_of(name)} == set()
    assert len(names) > len(helpers) > 3


def test_every_name_with_words_begins_that_of_a_module() -> None:
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in ROOT.glob("[hce]*/**/*.py")}
    for name in PHASES:
        assert any(module == name or module.startswith((f"{name}.", f"{name}_")) for module in modules), name


def test_innermost_module_of_the_project_says_what_is_done() -> None:
    assert phase_of(frame_in("hattriq_cirq.compilation.compile")) == "compile circuits"
    assert phase_of(frame_in("hattriq_cirq.reporting.plotting")) == "draw pictures"
    assert phase_of(frame_in("numpy.linalg")) == phase_of(None) == WORKING


def test_import_of_modules_differs_from_their_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_to_load.py").write_text("import sys\nframe = sys._getframe()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = import_module("slow_to_load").frame
    assert phase_of(found) == LOADING
    sys.modules.pop("slow_to_load")


def test_line_gives_way_to_what_is_printed_and_waits_for_the_end_of_a_line() -> None:
    terminal = io.StringIO()
    line = StatusLine(terminal)
    stream = Stream(terminal, line=line)
    beat(line, None)
    assert terminal.getvalue() == ""
    beat(is_late(line), frame_in("hattriq_cirq.compilation.compile"))
    stream.write("circuits: ")
    beat(is_late(line), None)
    stream.write("12\n")
    beat(is_late(line), None)
    shown = terminal.getvalue()
    assert shown == "\rcompile circuits ... 1 s\x1b[K\r\x1b[Kcircuits: 12\n\rwork ... 1 s\x1b[K"


def test_clock_of_a_bar_that_stands_still_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    with safe_streams() as (_, line):
        with progress_bar(shown=True, total=3, desc="slow steps") as bar:
            bar.start_t -= 75
            beat(is_late(line), frame_in("hattriq_cirq.compilation.compile"))
        assert "slow steps:   0%" in terminal.getvalue()
        assert "01:15" in terminal.getvalue()
        assert "compile" not in terminal.getvalue()
        beat(is_late(line), frame_in("hattriq_cirq.compilation.compile"))
        assert terminal.getvalue().endswith("\rcompile circuits ... 1 s\x1b[K")


def test_thread_shows_what_is_done_and_ends_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, shown = [], threading.Event()

    def show(_: StatusLine, text: str) -> None:
        texts.append(text)
        shown.set()

    monkeypatch.setattr(StatusLine, "show", show)
    monkeypatch.setattr(module, "is_watched", lambda: True)
    monkeypatch.setattr(module, "_PERIOD", 0.01)
    before, line = threading.active_count(), StatusLine(None)
    with pulse(is_late(line)):
        assert shown.wait(60)
    assert texts[0] == f"{WORKING} ... 1 s"
    assert threading.active_count() == before


def test_nothing_is_shown_where_nobody_reads() -> None:
    before = threading.active_count()
    with pulse(StatusLine(None)):
        assert threading.active_count() == before
