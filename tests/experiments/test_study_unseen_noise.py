"""Study of unseen noise: the grid, interval scores, the split of an error, and what it says of intervals that fail."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from experiments.runner.map_metrics import best_constant_score, interval_scores
from experiments.runner.study import Done
from experiments.studies.unseen_noise import NOISES, PIPELINES, PROCESSORS, Task, add_options, case, run, summarise, tasks


def chosen(*words: str) -> Namespace:
    parser = ArgumentParser()
    add_options(parser)
    return parser.parse_args(words)


def made(noise: str, pipeline: str, error: float, width: float, warned: bool = False) -> Done[Task]:
    """Return maps of two inputs that are off by an error in every feature, with intervals of half a width."""
    exact = np.array([[0.5, -0.5], [0.5, 0.5]])
    maps = {"values": (exact + error)[:, np.newaxis].tolist(), "half_width": np.full((2, 1, 2), width).tolist()}
    result: dict[str, Any] = {"exact": exact.tolist(), "maps": {pipeline: maps}, "warnings": ["correlated"] * warned}
    if pipeline == "raw":
        result["split"] = {"model": np.full((2, 2), error / 4).tolist(), "estimator": np.full((2, 2), 3 * error / 4).tolist()}
    return Done(Task(3, 3000, "weber", noise, pipeline, 2, 1000), result, 0.0, {})


def test_best_constant_width_is_the_minimum_over_all_widths() -> None:
    errors = np.random.default_rng(0).standard_cauchy(size=200)
    tried = min(float(interval_scores(errors, width).mean()) for width in np.abs(errors))
    assert best_constant_score(errors) == pytest.approx(tried)
    assert all(interval_scores(errors, width).mean() >= tried * (1 - 1e-12) for width in np.linspace(0, 50, 200))


def test_grid_has_every_pipeline_under_every_noise() -> None:
    full = tasks(False, chosen())
    circuits = {
        n: len({t.seed for t in full if (t.n, t.processor) == n}) for n in dict.fromkeys((t.n, t.processor) for t in full)
    }
    largest = {(5, "willow_pink"): 20}
    assert circuits == {(3, "willow_pink"): 20, (3, "weber"): 6, (3, "rainbow"): 6, (4, "willow_pink"): 20} | largest
    noises = sum(circuits.values()) * len(NOISES) - 20 * (len(NOISES) - 1)
    assert len(full) == len(set(full)) == noises * len(PIPELINES)
    assert {t.noise for t in full if t.n == 5} == {"calibrated"}
    assert {t.noise for t in tasks(False, chosen("--qubits", "5"))} == set(NOISES)
    assert len({t.seed for t in tasks(False, chosen("--circuits", "9", "--processors", "weber"))}) == 9
    assert {t.processor for t in tasks(False, chosen("--qubits", "4"))} == set(PROCESSORS)
    some = tasks(False, chosen("--qubits", "3", "--circuits", "2", "--noises", "loss", "--pipelines", "raw", "auto"))
    assert {(t.n, t.noise, t.pipeline) for t in some} == {(3, "loss", "raw"), (3, "loss", "auto")}
    assert set(some) <= set(full)
    with pytest.raises(ValueError, match="leave out --inputs"):
        tasks(True, chosen("--inputs", "2"))
    with pytest.raises(ValueError, match="--circuits 0 must be at least 1"):
        tasks(False, chosen("--circuits", "0"))


def test_circuits_and_inputs_follow_from_the_seed() -> None:
    model, x = case(3, 3001, 4)
    again, y = case.__wrapped__(3, 3001, 4)
    assert model.circuit == again.circuit
    np.testing.assert_array_equal(x, y)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1)
    assert np.count_nonzero(x) == x.size
    assert case(3, 3002, 4)[0].circuit != model.circuit


def test_parts_of_a_raw_error_sum_to_it() -> None:
    task = Task(2, 3000, "willow_pink", "doubled", "raw", 1, 100_000)
    doubled, calibrated = run(task), run(replace(task, noise="calibrated"))
    off = doubled["maps"]["raw"]["values"][:, 0] - doubled["exact"]
    np.testing.assert_allclose(doubled["split"]["model"] + doubled["split"]["estimator"], off, atol=1e-12)
    own, usual = (np.linalg.norm(each["split"]["model"]) for each in (doubled, calibrated))
    assert 1.5 < own / usual < 2.5  # errors twice as frequent


def test_findings_name_intervals_that_fail_silently() -> None:
    done = [
        made("calibrated", "raw", 0.1, 0.2),
        made("calibrated", "auto", 0.01, 0.005),
        made("loss", "raw", 0.1, 0.05),
        made("loss", "auto", 0.12, 0.2),
        made("joint readout", "raw", 0.1, 0.2),
        made("joint readout", "readout", 0.1, 0.05, warned=True),
    ]
    found = summarise(done)
    text = " ".join(found.findings)
    assert "MISSED by raw 1.000 [1.000, 1.000], auto 0.000 [0.000, 0.000]" in text
    assert "without a warning in every run: raw under loss 0.000 [0.000, 0.000]." in text
    assert "auto is at most 1.20 of that of raw (under loss)" in text
    errors, parts = found.tables
    assert [row[-1] for row in errors.rows] == ["0%", "0%", "0%", "0%", "0%", "100%"]
    assert [row[-2:] for row in parts.rows] == [("0.050 [0.050, 0.050]", "0.150 [0.150, 0.150]")] * 3
    assert len(found.pictures) == 1
