"""The network that pools by measurement, from the command line: trained, attributed and measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import run

import hattriq_cirq as hq


def test_network_is_trained_and_attributed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"train bars_and_stripes --out {tmp_path}/run --ansatz qcnn --epochs 2") == 0
    model = hq.Model.load(tmp_path / "run" / "model.json")
    assert model.has_channels
    measured = "--data bars_and_stripes --inputs test:0:2 --estimator resolved --engine qsim --shots 2000"
    assert run(f"attribute {tmp_path}/run --out {tmp_path}/maps {measured}") == 0
    assert "ran as quantum control with no further qubit" in capsys.readouterr().out
    maps = hq.Attribution.load(tmp_path / "maps" / "attribution.npz")
    exact = hq.integrated_gradients(model, maps.x, baseline=maps.baseline)
    assert np.abs(maps.values - exact.values).max() < 5 * maps.stderr.max()
