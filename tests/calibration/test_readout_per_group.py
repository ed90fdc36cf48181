"""Correlated readout: measured, distinguished from independent readout, and corrected."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import cirq
import numpy as np
import pytest
from readout_faults import Array, FaultyReadout, counted, dense_confusion, observed_outcomes
from scipy.stats import fisher_exact

import hattriq_cirq as hq
from calibration.readout.calibration import CalibrationError
from calibration.readout.correlated_calibration import (
    CorrelatedCalibration,
    correlation_test,
    fisher_p_values,
    measure_correlated,
)
from calibration.readout.per_group import CorrelatedReadout, correct
from calibration.readout.per_qubit import Readout
from calibration.readout.trex import TwirledReadout
from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.estimators.bilinear import BilinearTerm
from hattriq_cirq.estimators.plan import Plan, plan
from hattriq_cirq.execution.backends.simulators import sampler
from hattriq_cirq.pipeline.mitigation import Mitigation

PAIRS = ((0, 1, 0.04), (1, 2, 0.02))
Q = cirq.LineQubit.range(5)


def calibrated(confusion: Array, shots: int | None, rng: np.random.Generator) -> CorrelatedCalibration:
    """Return a calibration with counts sampled from a confusion, with `shots` shots per prepared state."""
    rows = [
        Distribution(row, None) if shots is None else Distribution.from_counts(rng.multinomial(shots, row)) for row in confusion
    ]
    return CorrelatedCalibration(tuple(Q[: len(confusion).bit_length() - 1]), tuple(rows))


def attributed(seed: int) -> tuple[Plan, Array]:
    """Return the resolved test of one input of two data qubits, three bits in all, and the exact attributions Re x_k (Mx)_k."""
    model = hq.ring_ansatz(2, 2)
    angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(model.params))
    model = model.with_params(dict(zip(model.params, angles.tolist(), strict=True)))
    x = np.random.default_rng(seed).normal(size=4)
    x /= np.linalg.norm(x)
    return plan(hq.ResolvedHadamardTest(), model, [BilinearTerm(x, x)]), (x * model.observable_action(x)).real


@pytest.mark.parametrize("faults", [{}, {"pairs": PAIRS}], ids=["independent", "pairs"])
def test_measured_confusion_has_prepared_states_in_its_rows(faults: dict[str, Any]) -> None:
    engine = sampler(FaultyReadout(Q[:3], e0=0.01, e1=0.10, seed=0, **faults))
    result = measure_correlated(engine, Q[:3], 200_000)
    expected = dense_confusion(3, 0.01, 0.10, faults.get("pairs", ()))
    assert {row.shots for row in result.rows} == {50_000}
    spread = np.sqrt(expected * (1 - expected) / 50_000) + 1 / 50_000
    assert (np.abs(result.confusion - expected) / spread).max() < 5
    assert (np.abs(result.confusion.T - expected) / spread).max() > 50
    with pytest.raises(CalibrationError, match="a group has 1 to 5"):
        measure_correlated(engine, cirq.LineQubit.range(6), 100)


def test_fisher_p_values_are_twice_the_smaller_tail() -> None:
    tables = np.random.default_rng(0).integers(1, 9, (50, 2, 2))
    expected = [min(1, 2 * min(fisher_exact(t, side).pvalue for side in ("less", "greater"))) for t in tables]
    np.testing.assert_allclose(fisher_p_values(tables), expected, atol=1e-9)


@pytest.mark.parametrize("pair", [(0, 1, 0.04), (1, 2, 0.02)])
def test_correlation_test_detects_pair_flips(pair: tuple[int, int, float]) -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        verdict = correlation_test(calibrated(dense_confusion(3, 0.01, 0.10, [pair]), 2_000, rng))
        assert verdict.correlated
        assert verdict.pair == (Q[pair[0]], Q[pair[1]])
    assert verdict.together - verdict.expected == pytest.approx(pair[2], abs=0.015)
    assert "are correlated, p " in str(verdict)


def test_correlation_test_false_alarms_are_at_most_one_in_100() -> None:
    rng = np.random.default_rng(2)
    confusion = dense_confusion(3, 0.01, 0.10)
    flagged = [correlation_test(calibrated(confusion, shots, rng)).correlated for shots in (200, 5_000) for _ in range(500)]
    assert np.mean(flagged) <= 0.01
    assert "independent" in str(correlation_test(calibrated(confusion, 5_000, rng)))


def test_correlation_test_detects_rates_that_depend_on_a_neighbour() -> None:
    confusion = dense_confusion(2, 0.01, 0.05)
    confusion[3] = np.kron([0.05, 0.95], [0.10, 0.90])  # the second is read worse while the first is 1
    verdict = correlation_test(calibrated(confusion, 5_000, np.random.default_rng(3)))
    assert verdict.correlated
    assert verdict.kind == "the second depends on the first's state"


def test_correlation_test_needs_counts_of_two_qubits() -> None:
    rng = np.random.default_rng(0)
    for calibration in (
        calibrated(dense_confusion(1, 0.1, 0.1), 100, rng),
        calibrated(dense_confusion(2, 0.1, 0.1), None, rng),
    ):
        with pytest.raises(CalibrationError, match="needs counts of 2 qubits or more"):
            correlation_test(calibration)


def run(mitigation: Mitigation, seed: int, shots: int) -> tuple[Array, Array, tuple[str, ...]]:
    """Return the error of each attribution, its standard error, and the notes, with correlated and asymmetric readout."""
    attribution_plan, exact = attributed(seed)
    circuit = attribution_plan.circuits[0].circuit.freeze()
    measured = next(iter(circuit[-1].operations)).qubits
    engine = sampler(FaultyReadout(measured, e0=0.01, e1=0.10, pairs=PAIRS, seed=seed))
    programs = [ParameterizedCircuit(circuit, (0,))]
    variants = mitigation.expand(engine, programs, [shots])
    outcomes = engine.execute(variants.programs, variants.shots)
    mitigated = mitigation.combine(variants, outcomes)
    estimate = attribution_plan.decode(mitigated.outcomes)
    return estimate.values - exact, estimate.stderr, mitigated.summary.notes


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pair_flips_bias_the_product_correction_only(seed: int) -> None:
    budget = 4_000_000
    off, error, _ = run(Readout(shots=budget), seed, budget)
    assert np.abs(off / error).max() > 10
    for mitigation in (TwirledReadout(calibration_shots=budget), CorrelatedReadout(shots=budget)):
        off, error, notes = run(mitigation, seed, budget)
        assert np.abs(off / error).max() < 4
        assert error.max() < 0.002
    assert any("are correlated" in note for note in notes)  # the diagnosis of the correlated confusion


def test_correction_by_groups_inverts_any_confusion_within_groups() -> None:
    rng = np.random.default_rng(4)
    small, large = (0.8 * np.eye(n) + 0.2 * rng.dirichlet(np.ones(n), size=n) for n in (4, 8))
    true = rng.dirichlet(np.ones(32))
    observed = Distribution(true @ np.kron(small, large), None)
    first = CorrelatedCalibration(tuple(Q[:2]), tuple(Distribution(row, None) for row in small))
    second = CorrelatedCalibration(tuple(Q[2:]), tuple(Distribution(row, None) for row in large))
    np.testing.assert_allclose(correct(observed, [first, second]).probabilities, true, atol=1e-12)


def test_correlated_sensitivities_are_finite_differences() -> None:
    rng = np.random.default_rng(5)
    observed = Distribution.from_counts(rng.multinomial(1000, rng.dirichlet(np.ones(8))))
    first = calibrated(dense_confusion(1, 0.02, 0.1), 500, rng)
    second = CorrelatedCalibration(tuple(Q[1:3]), calibrated(dense_confusion(2, 0.02, 0.1, [(0, 1, 0.05)]), 500, rng).rows)
    before = correct(observed, [first, second])
    assert second.shared is not None
    moved = before.shared[second.shared]
    change = np.zeros((4, 4))
    change[2, 2], change[2, 1], change[3, 0], change[3, 3] = -1e-6, 1e-6, 1e-6, -1e-6
    rows = tuple(Distribution(row, None) for row in second.confusion + change)
    after = correct(observed, [first, CorrelatedCalibration(second.qubits, rows)])
    np.testing.assert_allclose(after.probabilities - before.probabilities, moved @ change.ravel(), rtol=1e-3, atol=1e-12)


@pytest.mark.parametrize("shots", [1_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_correlated_readout_pulls_have_unit_width(shots: int) -> None:
    attribution_plan, exact = attributed(seed=3)
    mitigation = CorrelatedReadout(shots=shots)
    programs = [ParameterizedCircuit(attribution_plan.circuits[0].circuit.freeze(), (0,))]
    variants = mitigation.expand(sampler(FaultyReadout(seed=0)), programs, [20_000])
    exactly = observed_outcomes(variants, dense_confusion(3, 0.01, 0.10, PAIRS))
    rng = np.random.default_rng(shots)
    pulls, sums = [], []
    for _ in range(800):
        estimate = attribution_plan.decode(mitigation.combine(variants, counted(exactly, variants.shots or (), rng)).outcomes)
        pulls.append((estimate.values - exact) / estimate.stderr)
        sums.append((estimate.values - exact).sum() / estimate.sum_stderr)
    widths = [*np.std(pulls, axis=0), np.std(sums)]
    assert min(widths) > 0.9
    assert max(widths) < 1.1


def test_given_group_calibrations_are_matched_in_any_order() -> None:
    rng = np.random.default_rng(6)
    confusion = dense_confusion(3, 0.01, 0.1, PAIRS)
    whole = calibrated(confusion, None, rng)
    true = rng.dirichlet(np.ones(8))
    for order in permutations(range(3)):
        axes = np.arange(8).reshape(2, 2, 2).transpose(order).ravel()
        observed = Distribution((true @ confusion)[axes], None)
        qubits = [Q[i] for i in order]
        mitigation = CorrelatedReadout((whole,))
        circuit = cirq.FrozenCircuit(cirq.Moment(cirq.measure(*qubits, key="z")))
        variants = mitigation.expand(sampler(FaultyReadout(seed=0)), [ParameterizedCircuit(circuit, (0,))], [10])
        assert len(variants.programs) == 1
        (result,) = mitigation.combine(variants, [observed]).outcomes
        np.testing.assert_allclose(result.probabilities, true[axes], atol=1e-12)
    foreign = cirq.FrozenCircuit(cirq.Moment(cirq.measure(Q[0], Q[4], key="z")))
    with pytest.raises(CalibrationError, match=r"no calibration is of a group that begins with q\(0\)"):
        mitigation.expand(sampler(FaultyReadout(seed=0)), [ParameterizedCircuit(foreign, (0,))], [10])


@pytest.mark.parametrize("group", [5, 2])
def test_correlated_readout_on_a_virtual_processor_gives_the_exact_map(group: int) -> None:
    model = hq.ring_ansatz(2, 1)
    x = np.array([0.1, 0.5, -0.3, 0.8])
    result = hq.integrated_gradients(
        model,
        x,
        baseline=0,
        estimator=hq.ResolvedHadamardTest(),
        engine=hq.virtual("willow_pink", noise="readout"),
        shots=None,
        mitigation=CorrelatedReadout(group=group),
    )
    np.testing.assert_allclose(result.values, (x * model.observable_action(x)).real, atol=1e-6)


def test_invalid_correlated_readout_is_rejected() -> None:
    with pytest.raises(CalibrationError, match=r"must be 1 to 5 bits"):
        CorrelatedReadout(group=6)
    with pytest.raises(CalibrationError, match="8 rows of"):
        CorrelatedCalibration(tuple(Q[:3]), calibrated(dense_confusion(2, 0.1, 0.1), None, np.random.default_rng(0)).rows)
    blind = calibrated(dense_confusion(2, 0.48, 0.49), None, np.random.default_rng(0))
    with pytest.raises(CalibrationError, match=r"singular value of 0\.00"):
        correct(Distribution(np.full(4, 0.25), None), [blind])
    mitigation = CorrelatedReadout()
    variants = mitigation.expand(
        sampler(FaultyReadout(seed=0)),
        [ParameterizedCircuit(cirq.FrozenCircuit(cirq.Moment(cirq.measure(*Q[:2], key="z"))), (0,))],
        None,
    )
    changed = [QuasiDistribution(()) for _ in range(5)]
    with pytest.raises(CalibrationError, match="put the readout last"):
        mitigation.combine(variants, changed)


def test_faulty_readout_has_the_given_rates_and_drift() -> None:
    circuit = cirq.Circuit(cirq.Moment(cirq.X(q) for q in Q[:2]), cirq.Moment(cirq.measure(*Q[:2], key="z")))
    faulty = FaultyReadout(Q[:3], e1=[0.0, 0.1, 0.0], pairs=[(0, 1, 0.04), (1, 2, 0.02)], seed=1)
    bits = faulty.run(circuit, repetitions=200_000).measurements["z"]
    second = 1 - (0.9 * (0.96 * 0.98 + 0.04 * 0.02))  # neither pair flips or both do, and then it is read right
    np.testing.assert_allclose(1 - bits.mean(axis=0), [0.04, second], atol=0.005)
    drifting = FaultyReadout(e1=0.05, drift=0.02, over=100_000, seed=1)
    rates = [1 - drifting.run(circuit, repetitions=50_000).measurements["z"].mean() for _ in range(3)]
    np.testing.assert_allclose(rates, [0.055, 0.065, 0.07], atol=0.004)
    again = (FaultyReadout(e1=0.05, seed=seed).run(circuit, repetitions=50).measurements["z"].sum() for seed in (1, 1, 2, 3, 4))
    first, same, *others = again
    assert first == same
    assert set(others) != {first}
    with pytest.raises(ValueError, match="from 0 to 1"):
        FaultyReadout(e1=0.9, drift=0.2)
    with pytest.raises(ValueError, match="name the qubits"):
        FaultyReadout(pairs=PAIRS)
