"""Attributions read from circuits through `integrated_gradients` and `sampled.estimate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest
from strategies import Array, Case, amplitudes, assert_agrees, assert_close, random_case, references

from hattriq_cirq.attribution.baselines import BaselineSet
from hattriq_cirq.attribution.objective import Head
from hattriq_cirq.attribution.result import Attribution, Cost
from hattriq_cirq.estimators import Estimator, HadamardTest, ParallelHadamardTest, PolarizationShift, ResolvedHadamardTest
from hattriq_cirq.execution import cirq_simulator, qsim
from hattriq_cirq.models.ansatz import ring_ansatz
from hattriq_cirq.models.model import IdentityPartWarning, Model
from hattriq_cirq.pipeline.integrated_gradients import integrated_gradients
from hattriq_cirq.pipeline.prepare import estimate

ESTIMATORS: list[Estimator] = [
    ResolvedHadamardTest(),
    HadamardTest(),
    HadamardTest(literal=True),
    ParallelHadamardTest(2),
    PolarizationShift(),
]
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: e.describe())
Z = cirq.Z(cirq.LineQubit(0))


def unit(x: Array) -> Array:
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))


def attributed(case: Case, x: Array, b: Any, **options: Any) -> Attribution:
    return integrated_gradients(case.model, x, baseline=b, **{"estimator": ResolvedHadamardTest(), **options})


# results


@pytest.mark.parametrize("rule", ["exact", "riemann:2"])
@pytest.mark.parametrize("imaginary", [False, True])
@pytest.mark.parametrize("kind", ["zero", "constant", "vector", "per sample", "set"])
def test_without_noise_a_batch_is_the_oracles(kind: str, imaginary: bool, rule: str) -> None:
    rng = np.random.default_rng(1)
    case, x = random_case(2, 4), amplitudes(rng, 2, 1, 4, imaginary=imaginary)
    b, bs = references(kind, rng, x, imaginary)
    a = attributed(case, x, b, engine=cirq_simulator(), rule=rule)
    judge, full = case.oracle(), [np.broadcast_to(b, x.shape) for b in bs]
    truth = [np.mean([np.add(*judge.integrated_gradients(x[i, 0], b[i, 0], rule)) for b in full], axis=0) for i in range(2)]
    assert_close(a.values[:, 0], truth, 1e-10)
    assert_close(a.f_input, judge.score(x), 1e-10)
    assert_close(a.f_baseline, np.mean([judge.score(b) for b in full], axis=0), 1e-10)
    if rule == "exact":
        assert_close(a.completeness_gap, np.zeros((2, 1)), 1e-10, float(np.abs(x).max() ** 2))


@pytest.mark.parametrize("imaginary", [False, True])
def test_shares_of_imaginary_parts_are_never_called_real(imaginary: bool) -> None:
    """Circuits read the sum of both shares; where amplitudes are complex, `real_values` is their own share or refused."""
    case, x = random_case(2, 4), amplitudes(np.random.default_rng(1), 4, imaginary=imaginary)
    a = attributed(case, x, 0, engine=cirq_simulator())
    real, _ = case.oracle().integrated_gradients(x, np.zeros(4))
    if imaginary and a.imag_values is None:
        with pytest.raises(ValueError, match="imaginary"):
            _ = a.real_values
    else:
        assert_close(a.real_values, real, 1e-10)


@every_estimator
def test_with_noise_values_gap_and_errors_agree(estimator: Estimator) -> None:
    rng = np.random.default_rng(2)
    case = random_case(3, 1)
    x, b = unit(amplitudes(rng, 3, 8)), unit(amplitudes(rng, 8))
    a = attributed(case, x, b, estimator=estimator, engine=qsim(seed=1), shots=5000)
    truth = np.array([np.add(*case.oracle().integrated_gradients(row, b)) for row in x])
    assert (a.stderr > 0).all()
    pulls = (a.values - truth) / a.stderr
    assert np.abs(pulls).max() < 5
    assert 0.5 < pulls.std() < 2
    assert_close(a.f_input, case.oracle().score(x), 1e-10)
    assert_close(a.f_baseline, np.full(3, case.oracle().score(b)), 1e-10)
    gap = a.values.sum(axis=-1) - (a.f_input - a.f_baseline)
    np.testing.assert_array_equal(a.completeness_gap, gap)
    assert (a.completeness_gap_stderr > 0).all()
    assert np.abs(gap / a.completeness_gap_stderr).max() < 5


def test_one_shot_leaves_an_error() -> None:
    """However few the counts, a sampled value is not certain."""
    case, x = random_case(2, 1), unit(np.arange(1.0, 5.0))
    circuits = attributed(case, x, 0, estimator=HadamardTest(), engine=cirq_simulator()).cost.circuits
    a = attributed(case, x, 0, estimator=HadamardTest(), engine=cirq_simulator(seed=1), shots=circuits)
    assert (a.stderr > 0).all()


def test_seeds_repeat_and_matter() -> None:
    case, x = random_case(2, 1), np.arange(1.0, 5.0)

    def values(seed: int) -> tuple[float, ...]:
        a = attributed(case, x, 0, engine=qsim(seed=seed), shots=500)
        assert a.assumptions.seed == seed
        return tuple(a.values)

    assert values(1) == values(1)
    assert values(1) != values(2)


def test_cost_counts_circuits_shots_and_gates_of_the_batch() -> None:
    """Turns without coupling on a uniform input: the controlled Z is the only two-qubit gate."""
    qubits = cirq.LineQubit.range(2)
    model = Model(cirq.Circuit(cirq.ry(0.3).on_each(qubits)), qubits, Z)
    x = np.array([np.ones(4), np.zeros(4), -np.ones(4)])
    a = integrated_gradients(model, x, baseline=0, estimator=ResolvedHadamardTest(), engine=cirq_simulator(seed=1), shots=100)
    assert a.cost == Cost(circuits=2, shots=200, two_qubit_gates=1, programs=2)
    assert not a.stderr[1].any()
    exact = integrated_gradients(model, x, baseline=0, estimator=HadamardTest(), engine=cirq_simulator(), rule="riemann:5")
    assert (exact.cost.circuits, exact.cost.shots) == (2 * 4 * 5, 0)
    assert not exact.stderr.any()
    assert not exact.completeness_gap_stderr.any()


def test_what_was_assumed_is_kept_and_saved(tmp_path: Path) -> None:
    case = random_case(2, 1)
    x = np.random.default_rng(0).normal(size=(2, 4))
    rows = BaselineSet(np.random.default_rng(1).normal(size=(3, 4)))
    a = attributed(case, x, rows, estimator=ParallelHadamardTest(2), engine=qsim(seed=7), shots=999, rule="midpoint:2")
    assumed = a.assumptions
    assert (assumed.form, assumed.rule, assumed.baseline) == ("quadratic", "midpoint:2", "set of 3")
    assert (assumed.engine, assumed.seed) == ("qsim", 7)
    assert assumed.estimator == "parallel Hadamard test, m=2"
    a.save(tmp_path / "map.npz")
    loaded = Attribution.load(tmp_path / "map.npz")
    for name in ("values", "stderr", "completeness_gap", "completeness_gap_stderr", "f_input", "f_baseline", "x", "baseline"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(a, name))
    assert (loaded.cost, loaded.assumptions) == (a.cost, assumed)


def test_a_set_of_baselines_takes_no_more_shots() -> None:
    case, rng = random_case(3, 1), np.random.default_rng(0)
    x, rows = unit(amplitudes(rng, 8)), unit(amplitudes(rng, 4, 8))
    terms = len(case.observable)
    one, many = (attributed(case, x, b, engine=cirq_simulator(seed=1), shots=4000) for b in (rows[0], BaselineSet(rows)))
    assert one.cost.shots == many.cost.shots == 4000
    assert many.cost.circuits == 4 * one.cost.circuits == 4 * terms
    bound = 2 * sum(abs(term.coefficient) for term in case.observable) / np.sqrt(4000)  # (|x|^2 + |b|^2) / sqrt(shots)
    assert np.linalg.norm(many.stderr) < bound


def test_the_first_of_other_observables_is_read() -> None:
    case, x = random_case(2, 1), unit(np.arange(1.0, 5.0))
    other = cirq.PauliSum() + cirq.X(cirq.LineQubit(1))
    a = attributed(case, x, 0, engine=cirq_simulator(), observables=[other])
    assert_agrees(a, case.oracle(observables=[other]), [np.zeros(4)], 1e-10)


def test_the_identity_part_is_added_and_warned_of() -> None:
    case, x = random_case(2, 1, identity=True), unit(np.arange(1.0, 5.0))
    with pytest.warns(IdentityPartWarning):
        a = attributed(case, x, 0, engine=cirq_simulator())
    assert_agrees(a, case.oracle(), [np.zeros(4)], 1e-10)


def test_one_input_with_its_full_covariance() -> None:
    case, rng = random_case(2, 1), np.random.default_rng(0)
    x, rows = unit(amplitudes(rng, 4)), unit(amplitudes(rng, 3, 4))
    found = estimate(case.model, x, baseline=rows, estimator=ResolvedHadamardTest(), engine=cirq_simulator(seed=1), shots=4000)
    truth = np.mean([np.add(*case.oracle().integrated_gradients(x, b)) for b in rows], axis=0)
    apart = found.values - truth
    chi2 = float(apart @ np.linalg.solve(found.covariance, apart))
    assert 0.01 < chi2 < 25  # 4 degrees of freedom
    assert found.shots == 4000


# refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": ResolvedHadamardTest()}, "needs an engine"),
        ({"engine": cirq_simulator()}, "need an estimator"),
        ({"shots": 100}, "need an estimator"),
        ({"form": "normalized", "mitigation": "completeness"}, "rescales the map of the quadratic form"),
        ({"head": Head("sigmoid"), "mitigation": "noise-estimation"}, "rescales the map of the quadratic form"),
        ({"scores": "simulated"}, "scores='simulated' must be 'exact' or 'measured'"),
        ({"estimator": ResolvedHadamardTest(measured=(0,))}, "estimate"),
        ({"estimator": ResolvedHadamardTest(part="imaginary")}, "imaginary"),
        ({"estimator": HadamardTest(), "shots": 3}, "shots=3 must be at least the number of circuits, 4"),
        ({"shots": 0}, "shots=0"),
    ],
)
def test_calls_that_mean_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    alone = len(options) == 1 and message.startswith("need")
    whole = options if alone else {"estimator": ResolvedHadamardTest(), "engine": cirq_simulator(seed=1), **options}
    with pytest.raises(ValueError, match=message):
        integrated_gradients(ring_ansatz(2, 1), np.arange(1.0, 5.0), baseline=-1.0, **whole)


@pytest.mark.parametrize(
    ("x", "baseline", "message"),
    [
        (np.ones((2, 4)), 0.0, "one input"),
        (np.ones(3), 0.0, r"must end in 2\*\*n_qubits = 4"),
        (np.ones(4), np.nan, "not finite"),
        (np.ones(4), np.ones(3), "baseline|shape"),
    ],
)
def test_what_is_no_single_input_is_refused(x: Array, baseline: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        estimate(ring_ansatz(2, 1), x, baseline=baseline, estimator=ResolvedHadamardTest(), engine=cirq_simulator(), shots=None)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"estimator": "resolved"}, "must be an estimator, such as ResolvedHadamardTest"),
        ({"estimator": ResolvedHadamardTest}, "must be an estimator"),
        ({"engine": "qsim"}, "must be an engine, such as hattriq_cirq.qsim"),
        ({"engine": cirq.Simulator}, "must be an engine"),
        ({"shots": 2.0}, "must be a whole number"),
        ({"shots": True}, "must be a whole number"),
        ({"shots": 0}, "must be a whole number, at least 1"),
    ],
)
def test_what_is_no_estimator_engine_or_number_of_shots_is_refused(wrong: dict[str, Any], message: str) -> None:
    request: dict[str, Any] = {"estimator": ResolvedHadamardTest(), "engine": cirq_simulator(seed=1), "shots": 10} | wrong
    for call in (estimate, integrated_gradients):
        with pytest.raises(ValueError, match=message):
            call(ring_ansatz(1, 1), np.array([0.6, 0.8]), baseline=0.0, **request)


def test_several_observables_need_a_head_also_for_circuits() -> None:
    model = ring_ansatz(2, layers=1)
    with pytest.raises(ValueError, match="identity head takes one observable, got 2"):
        integrated_gradients(
            model,
            np.array([0.6, 0.0, 0.0, 0.8]),
            baseline=0,
            observables=[cirq.PauliString(cirq.Z(q)) for q in model.qubits],
            estimator=ResolvedHadamardTest(),
            engine=qsim(seed=1),
            shots=100,
        )
