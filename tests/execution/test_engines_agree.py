"""The same attribution on every engine: without noise it agrees with the exact map within its standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest
from stand_in import StandIn

import hattriq_cirq as hq
from hattriq_cirq.estimators import Estimator
from hattriq_cirq.execution import Engine
from hattriq_cirq.execution.backends.google import google
from hattriq_cirq.models.model import Model

SHOTS = 40_000


@pytest.fixture(scope="module")
def service() -> Iterator[StandIn]:
    with StandIn() as running:
        yield running


def ring() -> Model:
    rng = np.random.default_rng(3)
    model = hq.ring_ansatz(2, 2)
    return model.with_params({name: float(rng.normal()) for name in model.params})


X = np.array([0.5, -0.3, 0.7, np.sqrt(0.17)])
BASELINES: list[Any] = [0.0, np.array([0.2, 0.1, -0.4, 0.3])]
ENGINES: dict[str, Callable[[StandIn, Path], Engine | cirq.Sampler]] = {
    "qsim": lambda *_: hq.qsim(seed=1),
    "qsim, noise model": lambda *_: hq.qsim(seed=1, noise=cirq.NO_NOISE),
    "cirq": lambda *_: hq.cirq_simulator(seed=1),
    "any sampler": lambda *_: hq.sampler(cirq.Simulator(seed=1)),
    "a sampler as it is": lambda *_: cirq.DensityMatrixSimulator(seed=1),
    "willow_pink": lambda *_: hq.virtual("willow_pink", seed=1, noise="none"),
    "weber": lambda *_: hq.virtual("weber", seed=1, noise="none"),
    "rainbow": lambda *_: hq.virtual("rainbow", seed=1, noise="none", gateset="sqrt_iswap"),
    "google": lambda service, folder: google("p", "willow_pink", journal=folder, engine=service.engine(), poll_seconds=0.01),
    "google, streaming": lambda service, folder: google(
        "p", "willow_pink", journal=folder, engine=service.engine(streaming=True), streaming=True, poll_seconds=0.01
    ),
}


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("baseline", BASELINES, ids=["zero", "non-zero"])
def test_all_engines_give_the_same_attribution(name: str, baseline: Any, service: StandIn, tmp_path: Path) -> None:
    exact = hq.integrated_gradients(ring(), X, baseline=baseline).values
    engine = ENGINES[name](service, tmp_path)
    found = hq.integrated_gradients(
        ring(), X, baseline=baseline, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=SHOTS, check=False
    )
    assert found.cost.shots == SHOTS
    assert (found.stderr > 0).all()
    assert np.abs((found.values - exact) / found.stderr).max() < 5
    assert abs(found.completeness_gap) < 5 * found.completeness_gap_stderr


@pytest.mark.parametrize(
    "estimator",
    [hq.ResolvedHadamardTest(), hq.HadamardTest(), hq.ParallelHadamardTest(2), hq.PolarizationShift()],
    ids=lambda e: e.describe(),
)
def test_all_estimators_on_a_noiseless_processor(estimator: Estimator) -> None:
    engine, baseline = hq.virtual("willow_pink", noise="none"), BASELINES[1]
    exact = hq.integrated_gradients(ring(), X, baseline=baseline).values
    found = hq.integrated_gradients(ring(), X, baseline=baseline, estimator=estimator, engine=engine, shots=None)
    np.testing.assert_allclose(found.values, exact, atol=2e-6)


def test_resolved_test_has_less_gate_noise_than_the_literal_hadamard_test() -> None:
    engine, exact = hq.virtual("willow_pink"), hq.integrated_gradients(ring(), X, baseline=0).values
    errors = {
        literal: np.linalg.norm(
            hq.integrated_gradients(ring(), X, baseline=0, estimator=estimator, engine=engine, shots=None).values - exact
        )
        for literal, estimator in ((False, hq.ResolvedHadamardTest()), (True, hq.HadamardTest(literal=True)))
    }
    assert 0 < errors[False] < errors[True] / 2


def test_path_points_share_one_program_as_the_cost_reports() -> None:
    rng = np.random.default_rng(0)
    model = hq.ring_ansatz(4, 1)
    model = model.with_params({name: float(rng.normal()) for name in model.params})
    x, baseline = rng.normal(size=(2, 16)) / 4
    request: dict[str, Any] = {
        "baseline": baseline,
        "estimator": hq.ResolvedHadamardTest(),
        "shots": 30_000,
        "rule": "midpoint:3",
    }
    found = hq.integrated_gradients(model, x, engine=hq.virtual("willow_pink", seed=1, noise="none"), **request)
    exact = hq.integrated_gradients(model, x, baseline=baseline).values
    assert (found.cost.circuits, found.cost.programs) == (3, 1)
    assert np.abs((found.values - exact) / found.stderr).max() < 5
    again = hq.integrated_gradients(model, x, engine=hq.virtual("willow_pink", seed=1, noise="none"), **request)
    assert (found.values == again.values).all()


def test_input_equal_to_its_baseline_runs_no_circuits() -> None:
    engine = hq.virtual("willow_pink", seed=1)
    found = hq.integrated_gradients(ring(), X, baseline=X, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=100)
    assert (found.values == 0).all()
    assert found.cost.circuits == found.cost.programs == 0
