"""The studies of corrections: their scores are what they say, tasks repeat, and charts and findings follow the numbers."""

from __future__ import annotations

import json
from typing import Any

import cirq
import numpy as np
import pytest

from calibration import measure_correlated, measure_readout
from calibration.testing import FaultyReadout
from experiments.runner.bias_and_coverage import summarize_map_errors
from experiments.runner.figures import confusion_figure, drift_figure, error_figure, map_figure
from experiments.runner.study import Done
from experiments.studies import best_pipeline, noise_mitigation, readout_mitigation
from hattriq_cirq.execution.backends.simulators import sampler


def made(bias: float, spread: float, claimed: float, seed: int = 0, inputs: int = 200, runs: int = 4) -> dict[str, Any]:
    """A result with maps of four features of size 1 with normal errors."""
    exact = np.tile([0.5, -0.5, 0.5, -0.5], (inputs, 1))
    noise = np.random.default_rng(seed).normal(scale=spread, size=(inputs, runs, 4))
    values = exact[:, np.newaxis] * (1 + bias) + noise
    maps = {"values": values.tolist(), "stderr": np.full(values.shape, claimed).tolist(), "variance_factor": [1.5] * inputs}
    return {"exact": exact.tolist(), "maps": {"raw": {"1000": maps}}}


def test_scores_are_those_of_known_errors() -> None:
    right = summarize_map_errors([made(bias=0.0, spread=0.1, claimed=0.1, seed=seed) for seed in range(5)], "raw", 1000)
    assert right.error[0] == pytest.approx(0.2, rel=0.05)  # 4 features of 0.1
    assert right.error[1][0] < 0.2 < right.error[1][1]
    assert right.coverage[0] == pytest.approx(0.95, abs=0.01)
    assert right.bias[0] < 0.04
    assert right.bias[1][0] == 0
    assert right.variance_factor == pytest.approx(1.5)
    biased = summarize_map_errors([made(bias=0.3, spread=0.1, claimed=0.1)], "raw", 1000)
    assert biased.bias[0] == pytest.approx(0.3, abs=0.01)
    assert biased.bias[1][0] > 0.28
    assert biased.coverage[0] < 0.75  # a bias of 1.5 standard errors


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


def test_errors_are_drawn_with_their_intervals() -> None:
    lines = {
        "raw": {100: (0.2, (0.1, 0.3)), 1000: (0.1, (0.05, 0.2))},
        "product": {100: (0.4, (0.3, 0.5)), 1000: (0.1, (0.1, 0.1))},
    }
    figure = error_figure({"strong": lines, "drifting": lines})
    assert [ax.get_title() for ax in figure.axes] == ["strong", "drifting"]
    raw, product = figure.axes[0].lines
    np.testing.assert_array_equal(raw.get_xydata(), [[100, 0.2], [1000, 0.1]])
    np.testing.assert_array_equal(product.get_ydata(), [0.4, 0.1])
    band = np.asarray(figure.axes[0].collections[0].get_paths()[0].vertices)
    assert {tuple(point) for point in np.round(band, 9).tolist()} >= {(100, 0.1), (100, 0.3), (1000, 0.05), (1000, 0.2)}


def test_maps_share_a_scale_and_what_is_far_off_is_crossed() -> None:
    exact = np.array([1.0, -2.0, 0.5, 0.0])
    far = exact + np.array([0, 0.3, 0, 0])
    figure = map_figure({"raw": (far, np.full(4, 0.1)), "product": (exact, np.full(4, 0.1))}, exact, "some maps")
    raw, product, last = figure.axes[:3]
    assert last.get_title() == "exact"
    np.testing.assert_array_equal(raw.lines[0].get_xydata(), [[1, 0]])  # second pixel of the first row
    assert np.size(product.lines[0].get_xdata()) == 0
    assert {ax.images[0].get_clim() for ax in (raw, product, last)} == {(-2.0, 2.0)}


def test_a_task_of_readout_repeats_and_its_seed_matters() -> None:
    task = readout_mitigation.Task("strong", 0, 1, 2)
    first, again = (json.dumps(readout_mitigation.run(task)["maps"]["TREX"], default=np.ndarray.tolist) for _ in range(2))
    assert first == again
    values = np.array(json.loads(first)["2000"]["values"])
    assert not np.array_equal(values[:, 0], values[:, 1])  # every run has shots and a calibration of its own


@pytest.mark.slow
def test_readout_of_a_virtual_processor_is_corrected() -> None:
    result = readout_mitigation.run(readout_mitigation.Task("willow_pink", 0, 1, 2))
    assert result["calibrations"] is None
    exact = np.array(result["exact"])[:, np.newaxis]
    for method in ("product", "correlated", "TREX"):
        maps = result["maps"][method]["200000"]
        assert (np.abs(maps["values"] - exact) < 5 * maps["stderr"]).all()
        assert maps["extra_shots"] == 40_000
    assert np.linalg.norm(result["maps"]["raw"]["200000"]["values"] - exact) > 2 * np.linalg.norm(
        result["maps"]["product"]["200000"]["values"] - exact
    )


EXACT = np.array([0.3, -0.4, 0.0, 0.0])
PLAIN = {"train": 1.0, "test": 1.0, "logistic train": 0.5, "logistic test": 0.5, "chance": 0.5}
ORIGIN = {"versions": {}, "created_utc": "2026-01-01T00:00:00+00:00", "commit": "none"}


def piped(option: str, seed: int, off: float) -> Done[best_pipeline.Task]:
    """Two pictures whose maps are off by so much, sideways."""
    values = EXACT + off * np.array([0.4, 0.3, 0, 0])  # at right angles to the exact map and as long
    result = {
        "accuracy": PLAIN,
        "exact": [EXACT.tolist()] * 2,
        "values": [values.tolist()] * 2,
        "stderr": [[0.01] * 4] * 2,
        "gap": [0.01, -0.03],
        "circuits": 34,
        "shots": 2_000_000,
        "two_qubit_gates": 20,
        "variance_factor": 1.2,
    }
    return Done(best_pipeline.Task(option, seed, 0, 2), result, 1.0, ORIGIN)


@pytest.mark.parametrize(("off", "verdict"), [(0.05, "met, with both intervals; 4 of 4"), (0.2, "MISSED; 0 of 4")])
def test_the_target_of_the_best_pipeline_is_met_or_missed_by_its_numbers(off: float, verdict: str) -> None:
    best = list(best_pipeline.OPTIONS)[-1]
    section = best_pipeline.summarise([piped(o, seed, 0.5 if o == "none" else off) for o in ("none", best) for seed in (1, 2)])
    raw, mitigated = section.findings
    assert "MISSED" in raw
    assert f"median relative L2 error {off:.3f} [{off:.3f}, {off:.3f}]" in mitigated
    assert f"{1 / np.hypot(1, off):.4f} [" in mitigated  # the cosine of such a map
    assert verdict in mitigated
    row = section.tables[0].rows[1]
    assert row[:3] == (best, "4", f"{off:.3f} [{off:.3f}, {off:.3f}]")
    assert row[5:7] == ("17", "1,000,000")


@pytest.mark.slow
def test_shots_of_the_best_pipeline_are_counted_with_the_calibration() -> None:
    result = best_pipeline.run(best_pipeline.Task("readout", 30, 12, 2))
    assert result["shots"] == 2 * best_pipeline.SHOTS
    assert np.shape(result["values"]) == (2, 16)


def corrected(option: str, seed: int, off: float) -> Done[noise_mitigation.Task]:
    """Two pictures whose maps are off by a share of themselves, more so at fewer shots."""

    def maps(size: float) -> dict[str, Any]:
        return {"values": [(EXACT * (1 - size)).tolist()] * 2, "stderr": [[0.01] * 4] * 2, "gap": [size, -size]}

    counts = {noise_mitigation.EXACT: off} | {str(shots): off + 10 / shots for shots in noise_mitigation.SHOTS}
    cost = {"circuits": [3, 5], "extra_shots": [100, 300], "variance_factor": [1.0, 2.0], "two_qubit_gates": [20, 22]}
    result = {
        "accuracy": PLAIN,
        "exact": [EXACT.tolist()] * 2,
        "maps": {name: maps(size) for name, size in counts.items()},
        "cost": cost,
    }
    return Done(noise_mitigation.Task(option, "clean", seed, 2), result, 1.0, ORIGIN)


def test_corrections_of_noise_are_told_apart_by_what_they_do_to_the_same_pictures() -> None:
    sizes = {"none": 0.2, "twirling": 0.1, "decoupling": 0.3}
    section = noise_mitigation.summarise([corrected(o, seed, off) for o, off in sizes.items() for seed in (20, 21)])
    best, told = section.findings
    assert "the smallest median error is that of twirling, 0.100 [0.100, 0.100]" in best
    assert "smaller with twirling (0.50 [0.50, 0.50]). Larger with decoupling (1.50 [1.50, 1.50])" in told
    bias, shots = section.tables
    assert bias.rows[1] == ("twirling", "4", *(f"{v:.3f} [{v:.3f}, {v:.3f}]" for v in (0.1, 1.0, 0.9, 0.1)))
    assert shots.rows[0][1].startswith("0.201 [")  # 0.2 + 10 / 10,000
    assert section.cost is not None
    assert section.cost.rows[1] == ("twirling", "4", "21", "200", "1.5")


def test_the_longest_option_sees_the_first_picture_of_the_others() -> None:
    chosen = noise_mitigation.tasks(False)
    assert {task.inputs for task in chosen if task.option == noise_mitigation.LONGEST} == {1}
    assert {task.option for task in chosen} == set(noise_mitigation.OPTIONS)
    one, two = (noise_mitigation.run(noise_mitigation.Task("none", "clean", 20, inputs)) for inputs in (1, 2))
    np.testing.assert_allclose(one["exact"][0], two["exact"][0], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(one["maps"]["10000"]["values"][0], two["maps"]["10000"]["values"][0])
    assert not np.allclose(two["exact"][0], two["exact"][1])
