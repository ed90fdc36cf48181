"""Commands answer before they load the library, which takes seconds."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / "fixtures/journal_2/interrupted"
CODE = """
import sys
from hattriq_cirq.cli import main
from hattriq_cirq.cli.commands import cancel, resume

def stop(command):
    print("loaded before the answer:", sorted({"cirq", "pandas", "sklearn", "matplotlib"} & sys.modules.keys()))
    raise SystemExit

cancel.load_modules = resume.load_modules = stop
main(sys.argv[1:])
"""


@pytest.mark.parametrize("command", ["resume", "cancel"])
def test_stopped_run_is_answered_for_before_the_library_is_loaded(command: str, tmp_path: Path) -> None:
    shutil.copytree(RUN, tmp_path / "run")
    words = [sys.executable, "-c", CODE, command, str(tmp_path / "run")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    answer, loaded = done.stdout.splitlines()
    assert answer.startswith(f"{tmp_path}/run: ")
    assert "jobs are done" in answer
    assert loaded == "loaded before the answer: []"


def test_loading_is_said_on_a_watched_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from hattriq_cirq import cli

    monkeypatch.setattr(cli, "is_watched", lambda: True)
    assert cli.main(["train", "no_such_data", "--out", "unused"]) == 2
    assert "load the library ..." in capsys.readouterr().err
