"""Log of a run: a file beside its journal, records of `logging`, and lines on standard error."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cirq
import pytest
from command_line import TABLE, run

import hattriq_cirq as hq
from hattriq_cirq.circuits.errors import CapReachedError
from hattriq_cirq.foundation.log import LOG, Log, last_line, log_to
from hattriq_cirq.foundation.progress import print_beside_bars, progress_bar
from hattriq_cirq.foundation.terminal import safe_streams

Q = cirq.q(0)
CIRCUITS = [cirq.Circuit(cirq.ry(0.2 + i)(Q), cirq.measure(Q, key="m")) for i in range(3)]


def sentences(folder: Path) -> list[str]:
    lines = (folder / LOG).read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ (info   |warning) \S", line) for line in lines)
    return [line[29:] for line in lines]


def test_log_of_a_run_says_what_it_does(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="max_jobs=2"), pytest.raises(CapReachedError):
        hq.qsim(seed=1, journal=tmp_path, max_jobs=2).run(CIRCUITS, [100] * 3)
    said = "\n".join(sentences(tmp_path))
    for pattern in (
        r"^the caps allow only max_jobs=2 of 3 jobs that are needed$",
        r"^job \S+-001-00000 submitted with 100 shots: 1 circuit at 1 point$",
        r"^job \S+-001-00000 finished after \d\.\d s with 100 shots$",
        r"^stopped with 0 jobs in progress: max_jobs=2 is reached: 2 jobs with 200 shots",
    ):
        assert len(re.findall(pattern, said, re.M)) == 1, pattern
    assert last_line(tmp_path).endswith(said.splitlines()[-1])


def test_runs_of_one_process_have_their_own_logs(tmp_path: Path) -> None:
    for name in ("a", "b"):
        hq.qsim(seed=1, journal=tmp_path / name).run(CIRCUITS, [100] * 3)
    ids = [{word for line in sentences(tmp_path / name) for word in re.findall(r"\w{8}-\d{3}", line)} for name in ("a", "b")]
    assert len(ids[0]) == len(ids[1]) == 1
    assert ids[0] != ids[1]


@pytest.mark.parametrize("obstacle", ["a folder", "read-only folder", "full disk"])
def test_log_that_cannot_be_written_does_not_stop_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str) -> None:
    whole = [d.counts.tolist() for d in hq.qsim(seed=1).run(CIRCUITS, [100] * 3)]
    if obstacle == "a folder":
        (tmp_path / LOG).mkdir()
    else:
        code = {"read-only folder": 30, "full disk": 28}[obstacle]
        opened = Path.open

        def refuse(self: Path, *words: Any, **named: Any) -> Any:
            if self.name == LOG:
                raise OSError(code, os.strerror(code))
            return opened(self, *words, **named)

        monkeypatch.setattr(Path, "open", refuse)
    engine = hq.qsim(seed=1, journal=tmp_path)
    assert [d.counts.tolist() for d in engine.run(CIRCUITS, [100] * 3)] == whole
    assert last_line(tmp_path) == ""


def test_levels_of_logging_are_those_of_the_program(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The file has every sentence; handlers of the program see what its levels let pass."""
    with log_to(tmp_path):
        Log("execution").info("at work on %s", "two\nlines")
        with caplog.at_level(logging.INFO, logger="hattriq_cirq"):
            Log("execution").info("heard by %s", "all")
    assert caplog.messages == ["heard by all"]
    assert sentences(tmp_path) == [r"at work on two\nlines", "heard by all"]
    assert caplog.records[0].funcName == "test_levels_of_logging_are_those_of_the_program"


def test_library_prints_nothing_by_itself(tmp_path: Path) -> None:
    script = (
        "import hattriq_cirq, logging; from hattriq_cirq.foundation.log import Log; Log('execution').warning('quiet');"
        "assert logging.getLogger('hattriq_cirq').level == logging.NOTSET"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


def test_verbose_prints_the_log_and_leaves_the_results_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    assert run(f"train {tmp_path}/table.csv --out {tmp_path}/model --epochs 2 --layers 1") == 0
    line = f"attribute {tmp_path}/model --data {tmp_path}/table.csv --inputs test:0:1 --estimator resolved --shots 100 --out"
    assert run(f"{line} {tmp_path}/quiet") == 0
    quiet = capsys.readouterr()
    assert run(f"{line} {tmp_path}/loud --verbose") == 0
    loud = capsys.readouterr()
    assert loud.out.replace("loud", "quiet") == quiet.out[quiet.out.index("input 0: ") :]
    assert quiet.err == ""
    printed = [text[9:] for text in loud.err.splitlines()]
    assert printed == sentences(tmp_path / "loud")
    assert printed[0].startswith("process ")
    assert printed[-1].startswith("finished: 1 job with 100 shots in ")
    assert not [handler for handler in logging.getLogger("hattriq_cirq").handlers if type(handler) is not logging.NullHandler]


def test_log_is_printed_beside_progress_bars(capsys: pytest.CaptureFixture[str]) -> None:
    with safe_streams(), progress_bar(shown=True, total=2, desc="jobs") as bar:
        bar.update()
        print_beside_bars("a sentence")
        bar.update()
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    assert "a sentence" in lines  # alone on its line
