"""The page on models with channels: its examples run and give what it says."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from page_script import python_blocks

import hattriq_cirq as hq

PAGE = (Path(__file__).parents[2] / "docs" / "channels.md").read_text(encoding="utf-8")


def test_examples_of_the_page_run_and_agree_with_each_other() -> None:
    names: dict[str, Any] = {}
    with redirect_stdout(io.StringIO()) as out:
        for code in python_blocks(PAGE):
            exec(code, names)
    assert "1 measurement, 1 conditional operation, 1 reset, 1 channel" in out.getvalue()
    assert "ran as quantum control with 2 environment qubits" in out.getvalue()
    model, x, kept, corner = (names[name] for name in ("model", "x", "kept", "corner"))
    assert len(names["unitary"].environment) == 2
    assert np.abs(names["unitary"].matrix - model.matrix).max() < 1e-12
    assert abs(model.identity_part) > 1e-3
    assert model.observable_identity == 0
    assert abs(kept.values.sum() - names["selected"].expectation(x) + names["selected"].expectation(corner)) < 1e-12
    counted, exact = names["counted"], names["exact"]
    assert np.abs(counted.values - exact.values).max() < 5 * counted.stderr.max()
    assert hq.accuracy(names["network"], names["data"].x_test, names["data"].y_test) > 0.9
