"""The command line in this process and in others, and a small table of data."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hattriq_cirq.cli import main

TABLE = "a,b,c,d,label\n" + "".join(f"{1 + k % 3},{k % 2},{k % 5},1,{1 if k % 2 else -1}\n" for k in range(20))


def run(line: str) -> int:
    """Run the words after `hattriq` and return the exit code."""
    return main(shlex.split(line))


def train_on_table(home: Path, epochs: int = 5) -> None:
    """Write the table and a model trained on it into a folder."""
    (home / "table.csv").write_text(TABLE)
    assert run(f"train {home}/table.csv --out {home}/model --epochs {epochs} --layers 1") == 0


def refusal(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must be refused; return its one line."""
    capsys.readouterr()
    assert run(line) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("hattriq: error: ")
    assert error.isprintable()
    assert len(error) < 1500
    return error


def start(line: str) -> subprocess.Popen[str]:
    """Run the words after `hattriq` in another process."""
    code = "from hattriq_cirq.cli import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, *shlex.split(line)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
