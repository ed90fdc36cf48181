"""The systematic part of a map's errors: what is known of it on each engine, and what is written of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hattriq_cirq as hq
from calibration import MitigationSequence, PauliTwirling, Readout, ZeroNoiseExtrapolation
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.pipeline.mitigation import Mitigation
from hattriq_cirq.workflows.generated_models import random_circuit

MODEL, X = random_circuit(2, seed=4), np.array([0.1, 0.5, -0.3, 0.8])
BEST = MitigationSequence([ZeroNoiseExtrapolation(), PauliTwirling(), Readout()])


def attribution(engine: Engine, mitigation: Mitigation | None = None, shots: int | None = 20_000) -> Attribution:
    options: dict[str, Any] = {"baseline": 0, "estimator": hq.ResolvedHadamardTest(), "engine": engine, "shots": shots}
    return hq.integrated_gradients(MODEL, X, mitigation=mitigation, check=False, **options)  # a check adds what it sees itself


def systematic(a: Attribution) -> float:
    assert a.systematic is not None
    return float(np.linalg.norm(a.systematic))


def test_nothing_is_known_on_an_engine_without_a_calibration() -> None:
    a = attribution(hq.qsim(seed=1))
    assert a.systematic is None
    assert a.rare_stderr is not None
    np.testing.assert_allclose(a.interval()[1] - a.values, 1.96 * np.sqrt(a.stderr**2 + a.rare_stderr**2), rtol=1e-4)


def test_only_simulated_and_uncorrected_errors_count() -> None:
    virtual = {noise: hq.virtual("willow_pink", noise=noise, seed=1) for noise in ("none", "readout", "gates", "calibrated")}
    raw = {noise: systematic(attribution(engine)) for noise, engine in virtual.items()}
    assert raw["none"] == 0 < raw["readout"] < raw["gates"] < raw["calibrated"]
    assert systematic(attribution(virtual["readout"], Readout())) == 0
    corrected = attribution(virtual["calibrated"], Readout())
    assert 0 < systematic(corrected) < raw["calibrated"]
    assert any("errors of angles, gates damp outcomes by" in note for note in corrected.assumptions.notes)
    twirled = attribution(virtual["calibrated"], MitigationSequence([PauliTwirling(), Readout()]))
    assert systematic(twirled) < systematic(corrected)


@pytest.mark.parametrize(("processor", "kinds"), [("willow_pink", "gates"), ("weber", "gates, untwirled angles")])
def test_twirled_map_names_the_errors_of_angles_that_stay(processor: str, kinds: str) -> None:
    twirled = attribution(hq.virtual(processor, seed=1), MitigationSequence([PauliTwirling(), Readout()]))
    assert any(f"errors of {kinds} damp outcomes by" in note for note in twirled.assumptions.notes)


def test_extrapolation_reports_the_difference_of_its_fits() -> None:
    """Without shot noise: the systematic part falls with the bias that the fit leaves."""
    noisy = hq.virtual("willow_pink", noise="gates")
    exact = hq.integrated_gradients(MODEL, X, baseline=0).values
    twirled, fitted = (attribution(noisy, m, None) for m in (PauliTwirling(), MitigationSequence(BEST.parts[:2])))
    assert 0.3 < systematic(fitted) / np.linalg.norm(fitted.values - exact) < 3
    assert systematic(fitted) < systematic(twirled) / 2
    assert any("the zero-noise fit differs in scale from a fit of degree 2 by" in note for note in fitted.assumptions.notes)


@pytest.mark.parametrize("shots", [pytest.param(3000, marks=pytest.mark.slow), 100_000])
def test_intervals_of_an_extrapolated_map_cover_without_noise(shots: int) -> None:
    mitigation = MitigationSequence(BEST.parts[:2])
    options: dict[str, Any] = {
        "baseline": 0,
        "estimator": hq.ResolvedHadamardTest(),
        "engine": hq.cirq_simulator(),
        "shots": shots,
    }
    ((inputs, circuits),) = hq.prepare(MODEL, X, mitigation=mitigation, **options).chunks()
    true, variants = hq.qsim().execute(circuits.programs, None), circuits.variants
    exact, covered, rng = hq.integrated_gradients(MODEL, X, baseline=0).values, [], np.random.default_rng(shots)
    for _ in range(150):
        counts = [
            Distribution.from_counts(rng.multinomial(n, p / p.sum()))
            for n, p in zip(variants.shots or [], cycle([each.probabilities for each in true]), strict=False)
        ]
        (found,), _ = inputs[0].decode(mitigation.combine(variants, counts).outcomes, mitigation)
        low, high = found.interval()
        covered.append((low <= exact) & (exact <= high))
    assert 0.93 < np.mean(covered) < 0.97


def test_systematic_part_is_printed_saved_and_read_back(tmp_path: Path) -> None:
    a = attribution(hq.virtual("willow_pink", seed=1))
    assert "systematic part at most" in repr(a)
    assert Attribution.load(a.save(tmp_path / "a.npz")) == a
    header, first, *_ = a.to_csv(tmp_path / "a.csv").read_text().splitlines()
    assert a.systematic is not None
    assert header.endswith("stderr,systematic")
    assert float(first.split(",")[-1]) == a.systematic[0]
    without = replace(a, systematic=None)
    assert Attribution.load(without.save(tmp_path / "b.npz")).systematic is None
    assert without.to_csv(tmp_path / "b.csv").read_text().splitlines()[1].endswith(",")


@pytest.mark.slow
@pytest.mark.parametrize("mitigation", [None, Readout(), MitigationSequence(BEST.parts[1:]), BEST], ids=str)
def test_intervals_cover_maps_of_random_circuits_under_the_noise_of_a_processor(mitigation: Mitigation | None) -> None:
    covered = []
    for seed in range(2000, 2012):
        model, x = random_circuit(3, seed=seed), np.random.default_rng(seed).normal(size=8)
        options: dict[str, Any] = {
            "baseline": 0,
            "estimator": hq.ResolvedHadamardTest(),
            "shots": 1_000_000,
            "mitigation": mitigation,
        }
        low, high = hq.integrated_gradients(model, x, engine=hq.virtual("willow_pink", seed=seed), **options).interval()
        exact = hq.integrated_gradients(model, x, baseline=0).values
        covered.append((low <= exact) & (exact <= high))
    assert np.mean(covered) > 0.85
