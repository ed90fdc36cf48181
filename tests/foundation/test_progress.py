"""Progress bars: drawn for every phase where a caller asks for them, and nowhere else."""

from __future__ import annotations

import pytest

from hattriq_cirq.foundation.progress import announced, progress_bars, say, track


def test_bars_are_drawn_within_a_block_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track([1, 2], "first phase", "step")) == [1, 2]
    assert capsys.readouterr().err == ""
    with progress_bars(True), progress_bars(False):
        assert list(track(iter("abc"), "second phase", "step", total=3)) == ["a", "b", "c"]
    assert "second phase" in capsys.readouterr().err
    assert list(track([1], "third phase", "step")) == [1]
    assert capsys.readouterr().err == ""


def test_block_that_fails_ends_the_bars(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), progress_bars(True):
        raise RuntimeError
    list(track([1], "phase", "step"))
    assert capsys.readouterr().err == ""


def test_phase_without_steps_and_lines_are_shown_to_watchers_only(capsys: pytest.CaptureFixture[str]) -> None:
    with announced("load the library"):
        say("unseen")
    assert capsys.readouterr().err == ""
    with progress_bars(True), announced("load the library"):
        assert "load the library ..." in capsys.readouterr().err
        say("10 circuits\x1b[2J")
        assert "10 circuits\\x1b[2J\n" in capsys.readouterr().err
