"""The study of readout corrections runs, and its scores are what they say."""

from __future__ import annotations

from pathlib import Path

import cirq
import numpy as np
import pytest

from calibration.correlated import measure_correlated
from calibration.faults import FaultyReadout
from calibration.measure import measure_readout
from experiments import readout_mitigation
from experiments.readout_charts import confusion_figure, drift_figure
from experiments.readout_mitigation import Attributed, Task, score
from hattriq_cirq.engines.local import sampler


def made(bias: float, spread: float, claimed: float, runs: int = 2000) -> Attributed:
    """Maps of four features of size 1 with normal errors."""
    exact = np.array([0.5, -0.5, 0.5, -0.5])
    values = exact * (1 + bias) + np.random.default_rng(0).normal(scale=spread, size=(runs, 4))
    task = Task("asymmetric", "raw", 1000, runs)
    return Attributed(task, exact.tolist(), values.tolist(), np.full((runs, 4), claimed).tolist(), 0, 0, 1.0)


def test_scores_are_those_of_known_errors() -> None:
    judged = score(made(bias=0.0, spread=0.1, claimed=0.1))
    assert judged.error == pytest.approx(0.2, rel=0.05)  # 4 features of 0.1
    assert judged.error_interval[0] < 0.2 < judged.error_interval[1]
    assert judged.coverage == pytest.approx(0.95, abs=0.01)
    assert judged.surest_bias < 4
    assert judged.bias < 0.01
    biased = score(made(bias=0.3, spread=0.1, claimed=0.1))
    assert biased.bias == pytest.approx(0.3, abs=0.01)
    assert biased.surest_bias > 20
    assert biased.coverage < 0.75  # a bias of 1.5 standard errors


def test_the_chart_of_drift_says_its_verdict() -> None:
    engine = sampler(FaultyReadout(e0=0.01, e1=0.05, drift=0.05, over=80_000, seed=0))
    figure = drift_figure([measure_readout(engine, cirq.LineQubit.range(2), 10_000) for _ in range(4)])
    assert figure.axes[0].get_title().startswith("readout drifted: e1 of q(")


def test_the_heat_map_shows_what_a_product_leaves_unexplained() -> None:
    qubits = cirq.LineQubit.range(2)
    engine = sampler(FaultyReadout(qubits, e0=0.01, e1=0.05, pairs=[(0, 1, 0.04)], seed=0))
    figure = confusion_figure(measure_correlated(engine, qubits), measure_readout(engine, qubits))
    left, right = figure.axes[:2]
    assert right.get_title() == "correlated"
    assert np.asarray(left.images[0].get_array())[0, 3] == pytest.approx(0.04 * 0.95**2, abs=0.01)  # 00 read as 11


@pytest.mark.slow
def test_the_study_of_readout_corrections_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--quick", "--out", str(tmp_path / "new"), "--workers", "1"]
    readout_mitigation.main(arguments)
    names = {path.name for path in (tmp_path / "new").iterdir()}
    figures = {f"readout_mitigation_{name}.png" for name in ("error", "maps", "confusion", "drift")}
    assert names == {"readout_mitigation.json"} | figures
    assert "| correlated | TREX | 50,000 |" in capsys.readouterr().out
