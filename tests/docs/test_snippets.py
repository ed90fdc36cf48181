"""Every page of the documentation runs as it stands, in the order in which a reader meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from snippets import Snippet, pages_before, snippets

DOCS = Path(__file__).parents[2] / "docs"
#: Pages with snippets; tests/execution/test_night.py runs the commands of night.md against a service.
PAGES = [
    page
    for page in sorted(DOCS.glob("*.md"))
    if page.stem not in ("night", "architecture") and any(True for _ in snippets(page.read_text(encoding="utf-8")))
]


def run(snippet: Snippet, names: dict[str, Any]) -> None:
    """Run a snippet in the working folder, with the names of the Python blocks before it."""
    if snippet.language == "python":
        exec(compile(snippet.code, "page", "exec"), names)
        plt.close("all")
        return
    folder = Path(sys.executable).parent
    environment = os.environ | {"PYTHONPATH": str(DOCS.parent), "OPENBLAS_NUM_THREADS": "1"}
    environment["PATH"] = f"{folder}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(["bash", "-c", snippet.code], capture_output=True, text=True, env=environment)
    assert done.returncode == (2 if snippet.fails else 0), f"{snippet.code}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_runs_as_it_stands(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    text, names = page.read_text(encoding="utf-8"), {"__name__": "page"}
    before = [(DOCS / name).read_text(encoding="utf-8") for name in pages_before(text)]
    for each in [*before, text]:
        for snippet in snippets(each):
            run(snippet, names)
