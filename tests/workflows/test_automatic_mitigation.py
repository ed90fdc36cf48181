"""Automatic choice of a mitigation: the choices, their shots, and their errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hattriq_cirq as hq
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.workflows.automatic_mitigation import AutomaticMitigation
from hattriq_cirq.workflows.generated_models import random_circuit
from hattriq_cirq.workflows.values import parse_mitigation

MODEL, X = random_circuit(2, seed=4), np.array([0.1, 0.5, -0.3, 0.8])
EXACT = hq.integrated_gradients(MODEL, X, baseline=0).values


def automatic(engine: Engine, shots: int | None, mitigation: Any = "auto") -> Attribution:
    options: dict[str, Any] = {"baseline": 0, "estimator": hq.ResolvedHadamardTest(), "engine": engine, "shots": shots}
    return hq.integrated_gradients(MODEL, X, mitigation=mitigation, **options)


def choice(a: Attribution) -> str:
    (note,) = [note for note in a.assumptions.notes if note.startswith("automatic mitigation chose ")]
    return note.removeprefix("automatic mitigation chose ").partition(":")[0]


def error(a: Attribution) -> float:
    return float(np.linalg.norm(a.values - EXACT) / np.linalg.norm(EXACT))


@pytest.mark.parametrize(
    ("noise", "shots", "expected"),
    [("calibrated", 200, "none"), ("none", 1_000_000, "none"), ("readout", 1_000_000, "readout")],
)
def test_correction_is_chosen_by_calibration_and_shots(noise: Any, shots: int, expected: str) -> None:
    a = automatic(hq.virtual("willow_pink", noise=noise, seed=1), shots)
    assert choice(a) == expected
    assert a.cost.shots + a.cost.mitigation_shots <= shots
    low, high = a.interval(0.999)
    assert ((low <= EXACT) & (high >= EXACT)).all()


def test_extrapolation_is_chosen_for_many_shots_and_stays_within_them() -> None:
    engine = hq.virtual("willow_pink", seed=1)
    raw, a = automatic(engine, 1_000_000, None), automatic(engine, 1_000_000)
    assert "extrapolation" in choice(a)
    assert error(a) < error(raw) / 3
    assert 0.95e6 < a.cost.shots + a.cost.mitigation_shots <= 1e6
    assert a.systematic is not None
    low, high = a.interval(0.999)
    assert ((low <= EXACT) & (high >= EXACT)).all()
    assert any("known-answer circuits of 1" in note for note in a.assumptions.notes)
    options: dict[str, Any] = {"baseline": 0, "estimator": hq.ResolvedHadamardTest(), "engine": engine, "mitigation": "auto"}
    run = hq.prepare(MODEL, X, shots=1_000_000, **options).run_resources()
    assert run.mitigation_shots == a.cost.mitigation_shots
    assert run.shots - run.mitigation_shots == a.cost.shots


@pytest.mark.slow
def test_without_noise_known_answers_show_that_nothing_is_to_be_corrected() -> None:
    """On an engine without a calibration, whose circuits are folded to find out."""
    a = automatic(hq.cirq_simulator(seed=2), 200_000)
    assert choice(a) == "twirling and readout"
    assert a.systematic is not None
    assert np.linalg.norm(a.systematic) < np.linalg.norm(a.stderr)
    assert error(a) < 0.05


def test_choice_repeats_from_a_journal(tmp_path: Path) -> None:
    runs = [automatic(hq.virtual("willow_pink", noise="gates", seed=3, journal=tmp_path / "run"), 400_000) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].values, runs[1].values)
    assert runs[0].systematic is not None
    np.testing.assert_array_equal(runs[0].systematic, runs[1].systematic)
    assert choice(runs[0]) == choice(runs[1])


def test_automatic_mitigation_has_a_name_and_stands_alone() -> None:
    assert parse_mitigation("auto", 7) == AutomaticMitigation(seed=7)
    with pytest.raises(ValueError, match="auto chooses all corrections itself"):
        parse_mitigation("auto,twirl", 0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        AutomaticMitigation(share=1.0)


@pytest.mark.slow
@pytest.mark.parametrize(("processor", "gateset"), [("weber", "sqrt_iswap"), ("rainbow", "sycamore")])
def test_automatic_mitigation_leaves_a_third_of_the_error_on_older_processors(processor: str, gateset: str) -> None:
    errors = []
    for seed in range(3000, 3006):
        model, x = random_circuit(3, seed=seed), np.random.default_rng(seed).normal(size=8)
        exact = hq.integrated_gradients(model, x, baseline=0).values
        options: dict[str, Any] = {"baseline": 0, "estimator": hq.ResolvedHadamardTest(), "shots": 1_000_000}
        engine = hq.virtual(processor, gateset=gateset, seed=seed)
        maps = [hq.integrated_gradients(model, x, engine=engine, mitigation=m, **options) for m in (None, "auto")]
        errors.append([np.linalg.norm(a.values - exact) / np.linalg.norm(exact) for a in maps])
    raw, corrected = np.median(errors, axis=0)
    assert corrected < raw / 3
