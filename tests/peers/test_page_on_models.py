"""The page on imported models: its examples run in order, those that need PennyLane and Qiskit included."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from peers import peer

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]
PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def test_examples_of_the_page_run_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    peer("pennylane")
    peer("qiskit")
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert "with qubit_order='little-endian' they agree" in capsys.readouterr().out
