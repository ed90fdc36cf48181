"""Every page of the documentation runs as it stands, in the order in which a reader meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from page_script import Step, pages_before, script

DOCS = Path(__file__).parents[2] / "docs"
#: Pages that have tests of their own, which run all of them.
TESTED = ("architecture", "classifier", "learned", "night")
PAGES = [page for page in sorted(DOCS.glob("*.md")) if page.stem not in TESTED and list(script(page.read_text("utf-8")))]
PROGRAMS = ("hattriq", "python")


def run(step: Step, names: dict[str, Any]) -> None:
    """Run a step in the working folder, with the names of the Python blocks before it; other programs are left out."""
    if step.is_python:
        exec(compile(step.command, "page", "exec"), names)
        plt.close("all")
    elif step.command.startswith(PROGRAMS):
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = os.environ | {"PATH": path, "PYTHONPATH": str(DOCS.parent), "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(["bash", "-c", step.command], capture_output=True, text=True, env=environment)
        assert done.returncode == (2 if step.fails else 0), f"{step.command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # a reader sees the warnings that a page speaks of
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_runs_as_it_stands(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    text, names = page.read_text("utf-8"), {"__name__": "page"}
    before = [(DOCS / name).read_text("utf-8") for name in pages_before(text)]
    for each in [*before, text]:
        for step in script(each):
            run(step, names)
