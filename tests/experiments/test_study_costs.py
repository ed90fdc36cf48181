"""Studies of cost: resampled maps and scaled steps equal the library's, fits recover known laws, verdicts can fail."""

from __future__ import annotations

import json
from typing import Any

import cirq
import numpy as np
import pytest

import hattriq_cirq as hq
from experiments.runner import bootstrap as intervals
from experiments.runner.estimators import ESTIMATORS
from experiments.runner.resampling import ResampledMaps, exponents, random_inputs, random_model
from experiments.runner.study import Done
from experiments.studies import ancillas, budget, compiled_cost, shot_noise
from hattriq_cirq.attribution.quadrature import parse_rule
from hattriq_cirq.circuits.counting import two_qubit_depth
from hattriq_cirq.circuits.errors import CircuitRefusedError
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.estimators import BilinearTerm, Plan, plan
from hattriq_cirq.pipeline.prepare import bilinear_terms
from hattriq_cirq.pipeline.resources import shots_for_cosine, shots_for_stderr, variances_per_shot


def done(task: Any, result: Any) -> Done[Any]:
    return Done(task, json.loads(json.dumps(result, default=lambda value: value.tolist())), 1.0, {})


@pytest.mark.parametrize("name", shot_noise.NAMES)
def test_resampled_maps_equal_decoded_ones(name: str) -> None:
    model, x = random_model(3, 2, 0), random_inputs(3, 0, 1)[0]
    drawn = ResampledMaps.simulate(model, x, ESTIMATORS[name])
    counts = drawn.counts(500, 4, np.random.default_rng(0))
    np.testing.assert_array_equal(counts.sum(axis=2), np.tile(drawn.plan.shots(500), (4, 1)))
    values, stderr = drawn.values(counts), drawn.stderr(counts)
    for i in range(4):
        estimate = drawn.plan.decode([Distribution.from_counts(c) for c in counts[i]])
        np.testing.assert_allclose(values[i], estimate.values, atol=1e-12)
        np.testing.assert_allclose(stderr[i], estimate.stderr, atol=1e-12)
    assert len({row.tobytes() for row in counts}) == 4


def test_exponents_of_power_laws() -> None:
    at = np.array([2.0, 4.0, 16.0])
    found = exponents(at, np.stack([3 * at**-0.5, 0.1 * at**2], axis=1))
    np.testing.assert_allclose(found, [-0.5, 2.0], atol=1e-12)


def test_scaled_steps_cost_the_same_as_a_plan_of_all_circuits() -> None:
    """The paper's 50 steps by scaling one, and by a plan of all 50 * N circuits."""
    model, x = random_model(2, 2, 1), random_inputs(2, 1, 1)[0]
    estimator = ESTIMATORS["paper"]
    stepped = budget.Stepped.by_rule(ResampledMaps.simulate(model, x, estimator), "riemann:50")
    whole = plan(estimator, model, bilinear_terms(x, np.zeros((1, 4)), parse_rule("riemann:50")))
    distributions = hq.qsim().run([reading.circuit for reading in whole.circuits], None)
    assert stepped.count == len(whole.circuits) == 200
    assert stepped.for_stderr(0.01) == pytest.approx(shots_for_stderr(whole, distributions, 0.01), rel=1e-3)
    assert stepped.for_cosine(0.99) == pytest.approx(shots_for_cosine(whole, distributions, 0.99), rel=1e-2)
    maps = stepped.maps(20_000, 2_000, np.random.default_rng(0))
    exact = whole.decode(distributions).values
    spread = variances_per_shot(whole, distributions) / 20_000
    assert np.all(np.abs(maps.mean(axis=0) - exact) < 5 * np.sqrt(spread / 2_000) + 1e-6)
    np.testing.assert_allclose(maps.var(axis=0), spread, rtol=0.2)


def test_needed_shots_agree_with_the_planner_and_are_at_least_one_per_circuit() -> None:
    model, x = random_model(4, 3, 0), random_inputs(4, 0, 1)[0]
    exact = hq.integrated_gradients(model, x, baseline=0).values
    stepped = budget.Stepped.by_rule(ResampledMaps.simulate(model, x, hq.HadamardTest()), "exact")
    planned = stepped.for_cosine(0.95)
    needed = stepped.needed_for_cosine(exact, planned, np.random.default_rng(1))
    assert needed == pytest.approx(planned, rel=0.25)
    assert stepped.needed_for_cosine(exact, stepped.count, np.random.default_rng(1)) is None


def test_two_qubit_depth_is_the_longest_chain_for_any_moments() -> None:
    a, b, c, d = cirq.LineQubit.range(4)
    gates = [cirq.CZ(a, b), cirq.CZ(c, d), cirq.X(b), cirq.CZ(b, c), cirq.CZ(a, b)]
    packed = cirq.Circuit(gates, cirq.measure(a, b, c, d))
    apart = cirq.Circuit.from_moments(*packed.all_operations())
    assert two_qubit_depth(packed) == two_qubit_depth(apart) == 3
    assert two_qubit_depth(cirq.Circuit(cirq.X(a), cirq.measure(a, b))) == 0


def test_counts_of_compiled_circuits_on_a_free_graph_and_on_a_processor() -> None:
    free = compiled_cost.run(compiled_cost.Task("free", "polarization", 2, 1, 0, 2))
    assert free["circuits"] == 8
    assert free["cz"]["preparation"] == [1, 1]  # a dense real vector of 2 qubits: 2**n - n - 1
    assert all(free[name]["off"] < 1e-6 for name in ("cz", "sqrt_iswap", "sycamore"))
    there = compiled_cost.run(compiled_cost.Task("willow_pink", "resolved", 2, 1, 0, 1))
    assert (there["circuits"], there["programs"], len(there["gates"])) == (1, 1, 1)
    assert 1 <= there["depth"][0] <= there["gates"][0]
    assert 0 < there["fidelity"][0] < 1
    assert there["off"] < 1e-6


def test_circuit_refused_by_a_processor_is_recorded_as_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise CircuitRefusedError("it takes 58.6 us")

    monkeypatch.setattr(hq, "prepare", refuse)
    task = compiled_cost.Task("willow_pink", "Hadamard, literal", 2, 3, 0, 1)
    assert compiled_cost.run(task) == {"refused": "it takes 58.6 us"}


@pytest.mark.parametrize(("n", "m"), [(2, 1), (2, 2), (3, 2), (2, 3)])
def test_cost_of_ancillas_in_theory_agrees_with_the_outcome_weights(n: int, m: int) -> None:
    """The bound on one shot's part goes like 1 / (a_0 a_j), so its square has the ratio that variances have."""
    model, x = random_model(n, 1, 0), np.full(2**n, 2 ** (-n / 2))
    weighted, equal = (plan(hq.ParallelHadamardTest(m, weighted=w), model, [BilinearTerm(x, x)]) for w in (True, False))

    def bound(made: Plan) -> float:
        return sum(reading.max_shot_norm for reading in made.circuits) ** 2

    assert len(weighted.circuits) == ancillas.circuits_in_theory(n, m)
    assert bound(equal) / bound(weighted) == pytest.approx(ancillas.equal_over_weighted(n, m))
    if m <= n:
        assert ancillas.equal_over_weighted(n, m) == pytest.approx(4**m / 4 / (2**m - 1))


def test_slopes_and_coverage_are_compared_with_their_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Artificial results: errors that fall like shots**-0.5, coverage of 0.95, but of the Hadamard test 0.9."""
    monkeypatch.setattr(intervals, "_RESAMPLES", 50)
    shots = np.array(shot_noise.SHOTS)
    finished = []
    for task in shot_noise.tasks(True):
        covered = 18 if task.estimator == "Hadamard" else 19
        result = {
            "accuracy": {"train": 1.0, "test": 1.0, "logistic test": 0.5, "chance": 0.5},
            "noise": [1.0 if task.estimator == "resolved" else 2 ** (task.n_qubits / 2)] * task.inputs,
            "features": [20] * task.inputs,
            "error": [[[5 * s**-0.5] * 3 for s in shots]] * task.inputs,
            "covered": [[[covered] * 3 for _ in shots]] * task.inputs,
        }
        finished.append(done(task, result))
    section = shot_noise.summarise(finished)
    assert "the means lie between -0.500 and -0.500" in section.findings[0]
    assert "in 12 of 16 cells" in section.findings[1]
    assert section.findings[1].endswith("MISSED, by bars Hadamard.")
    assert "Hadamard N^1.00" in section.findings[2]
    (row,) = (row for row in section.tables[1].rows if row[1] == "Hadamard")
    assert all(cell == "0.900 [0.900, 0.900] MISSED" for cell in row[2:])
