"""Readout correction per qubit, against dense NumPy: values, errors and coverage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cirq
import numpy as np
import pytest
import sympy
from injected import (
    Array,
    Rates,
    ResolvedCase,
    confusion,
    counted,
    is_calibration,
    joint_confusion,
    kron,
    observed_outcomes,
    observed_probabilities,
    sample_counts,
)
from scipy.sparse import csr_array

from calibration import (
    CalibrationError,
    CorrelatedReadout,
    MitigationSequence,
    PauliTwirling,
    Readout,
    ReadoutCalibration,
    StaleCalibrationWarning,
)
from calibration.readout.measure import Pattern
from calibration.readout.per_qubit import correct, inverse_map, sensitivities
from hattriq_cirq.circuits.linear_maps import LinearMap
from hattriq_cirq.circuits.outcomes import Distribution, LinearTerm, QuasiDistribution, SharedUncertainty
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.estimators import ResolvedHadamardTest
from hattriq_cirq.execution import qsim, sampler, virtual
from hattriq_cirq.models.ansatz import ring_ansatz
from hattriq_cirq.pipeline.integrated_gradients import integrated_gradients
from hattriq_cirq.pipeline.mitigation import Mitigation

QUBITS = cirq.LineQubit.range(4)
PAIRS = [(0.01, 0.10), (0.02, 0.20), (0.05, 0.03), (0.3, 0.1)]
KNOWN = ReadoutCalibration.from_mapping(dict(zip(QUBITS, PAIRS, strict=True)))
COUNTED = ReadoutCalibration.from_mapping(dict(zip(QUBITS, PAIRS, strict=True)), shots=1000)
DENSE: Array = np.asarray(np.linalg.inv(joint_confusion(PAIRS).T))


def some_counts(seed: int = 0, shots: int = 300) -> Distribution:
    rng = np.random.default_rng(seed)
    return Distribution.from_counts(rng.multinomial(shots, rng.dirichlet(np.ones(16))))


def some_weights(kind: str) -> csr_array:
    rng = np.random.default_rng(1)
    dense: Array = rng.normal(size=(12, 16))
    if kind == "sparse":
        dense *= np.array([rng.permutation(16) < count for count in [0, 1, 2, 3] * 3])
    elif kind == "resolved":
        dense = np.kron([[1.0, -1.0]], np.eye(8))
    elif kind == "one row":
        dense[1:] = 0
    elif kind == "empty":
        dense[:] = 0
    return csr_array(dense)


# the operator


def test_known_rates_are_corrected_exactly() -> None:
    prepared = np.random.default_rng(0).dirichlet(np.ones(16))
    read = Distribution(observed_probabilities(prepared, PAIRS), None)
    np.testing.assert_allclose(correct(read, KNOWN, QUBITS).probabilities, prepared, atol=1e-14)


@pytest.mark.parametrize("kind", ["dense", "sparse", "resolved", "one row", "empty"])
def test_corrected_values_and_covariances_are_those_of_the_dense_inverse(kind: str) -> None:
    counts, weights = some_counts(), some_weights(kind)
    operator = inverse_map(KNOWN, QUBITS)
    np.testing.assert_allclose(operator.apply(counts.probabilities), DENSE @ counts.probabilities, atol=1e-13)
    likely = (counts.counts + 4 / 16) / (300 + 4)
    seen = weights.toarray() @ DENSE
    expected = (seen @ np.diag(likely) @ seen.T - np.outer(seen @ likely, seen @ likely)) / 300
    np.testing.assert_allclose(operator.adjoint(weights.toarray()), seen, atol=1e-12)
    np.testing.assert_allclose(LinearTerm(counts, operator).covariance(weights), expected, atol=1e-12)
    np.testing.assert_allclose(
        QuasiDistribution((LinearTerm(counts, operator),)).variances(weights), np.diag(expected), atol=1e-12
    )
    assert not QuasiDistribution((LinearTerm(Distribution(np.eye(16)[3], None), operator),)).variances(weights).any()


def test_linear_map_factors_of_several_bits() -> None:
    rng = np.random.default_rng(2)
    factors = tuple(rng.normal(size=(size, size)) for size in (4, 2, 8))
    dense, counts = kron(factors), Distribution.from_counts(rng.integers(1, 9, size=64))
    operator = LinearMap(factors)
    measures = rng.normal(size=(64, 3))
    np.testing.assert_allclose(operator.apply(measures), dense @ measures, atol=1e-12)
    weights = csr_array(np.kron([[1.0, -2.0]], np.eye(32)))
    seen, shots = weights.toarray() @ dense, counts.shots or 0
    likely = (counts.counts + 4 / 64) / (shots + 4)
    expected = (seen**2 @ likely - (seen @ likely) ** 2) / shots
    np.testing.assert_allclose(QuasiDistribution((LinearTerm(counts, operator),)).variances(weights), expected, rtol=1e-9)


def test_readout_sensitivities_are_derivatives_of_the_dense_inverse() -> None:
    counts, step = some_counts(), 1e-6
    results = sensitivities(KNOWN, QUBITS, DENSE @ counts.probabilities)
    for parameter in range(8):
        moved = []
        for sign in (1, -1):
            pairs = np.array(PAIRS)
            pairs.reshape(-1)[parameter] += sign * step
            inverted = np.linalg.inv(joint_confusion(pairs.tolist()).T)
            moved.append(inverted @ counts.probabilities)
        np.testing.assert_allclose(results[:, parameter], (moved[0] - moved[1]) / (2 * step), atol=1e-7)


def test_corrected_circuits_on_other_qubits_share_one_set_of_rates() -> None:
    """Circuits on fewer bits, in another order, have derivatives in the columns of one calibration, so that they add up."""
    few = Distribution.from_counts(np.array([5, 6, 7, 8]))
    one, other = correct(few, COUNTED, [QUBITS[2], QUBITS[0]]), correct(few, COUNTED, [QUBITS[3], QUBITS[2]])
    assert list(one.shared) == list(other.shared) == [COUNTED.shared]
    moved, moved_other = one.shared[COUNTED.shared], other.shared[COUNTED.shared]
    assert moved.shape == (4, 8)
    assert np.flatnonzero(np.abs(moved).sum(axis=0)).tolist() == [0, 1, 4, 5]
    assert np.flatnonzero(np.abs(moved_other).sum(axis=0)).tolist() == [4, 5, 6, 7]
    both = QuasiDistribution.combined([1.0, -1.0], [one, one])
    assert not both.shared[COUNTED.shared].any()
    assert correct(few, KNOWN, QUBITS[:2]).shared == {}


def test_outcome_of_another_mitigation_is_corrected_term_by_term() -> None:
    first, second = some_counts(3), some_counts(4, 500)
    shared = SharedUncertainty(np.array([[0.04]]))
    slopes = np.random.default_rng(5).normal(size=(16, 1))
    flip = LinearMap((np.array([[0.0, 1.0], [1.0, 0.0]]),) + (np.eye(2),) * 3)
    result = correct(
        QuasiDistribution((LinearTerm(first, scale=1.5), LinearTerm(second, flip, -0.5)), {shared: slopes}), KNOWN, QUBITS
    )
    dense_flip = np.kron(np.array([[0, 1], [1, 0]]), np.eye(8))
    expected = DENSE @ (1.5 * first.probabilities - 0.5 * dense_flip @ second.probabilities)
    np.testing.assert_allclose(result.probabilities, expected, atol=1e-12)
    np.testing.assert_allclose(result.shared[shared], DENSE @ slopes, atol=1e-12)
    weights = some_weights("sparse")
    covariance = np.zeros((12, 12))
    for part, scale, matrix in ((first, 1.5, DENSE), (second, -0.5, DENSE @ dense_flip)):
        shots, seen = part.shots or 0, weights.toarray() @ matrix
        p = (part.counts + 4 / 16) / (shots + 4)
        covariance += scale**2 * (seen @ np.diag(p) @ seen.T - np.outer(seen @ p, seen @ p)) / shots
    np.testing.assert_allclose(result.covariance(weights), covariance, atol=1e-12)
    np.testing.assert_allclose(result.variances(weights), np.diag(covariance), atol=1e-12)
    both = result.terms[1].linear_map
    assert both is not None
    assert [factor.shape for factor in both.factors] == [(2, 2)] * 4  # the composition is still a product


@pytest.mark.parametrize("pair", [(0.5, 0.5), (0.4, 0.57), (0.9, 0.9)])
def test_nearly_singular_readout_is_rejected(pair: tuple[float, float]) -> None:
    bad = ReadoutCalibration.from_mapping({QUBITS[0]: pair})
    with pytest.raises(CalibrationError, match=rf"e0 \+ e1 = {sum(pair):.4f}.*at most 0.95"):
        inverse_map(bad, QUBITS[:1])
    with pytest.raises(ValueError, match="must begin with 16"):
        inverse_map(KNOWN, QUBITS).apply(np.ones(8))
    with pytest.raises(ValueError, match=r"\(2\*\*bits, 2\*\*bits\)"):
        LinearMap((np.ones((2, 3)),))


# bias, coverage


def pulls(case: ResolvedCase, rates: Rates, readout: Readout, shots: int, runs: int, seed: int) -> dict[str, Array]:
    """Return pulls, (runs, features) and (runs,) of the sum; those called `counts` leave out the calibration's error."""
    variants, rng = readout.expand(qsim(), [case.program], [shots]), np.random.default_rng(seed)
    observed = observed_outcomes(variants, {0: case.probabilities}, rates)
    results: dict[str, list[Any]] = {"each": [], "sum": [], "counts each": [], "counts sum": []}
    for _ in range(runs):
        (outcome,) = readout.combine(variants, counted(observed, variants.shots, rng)).outcomes
        assert isinstance(outcome, QuasiDistribution)
        for name, read in (("", outcome), ("counts ", QuasiDistribution(outcome.terms))):
            result = case.plan.decode([read])
            results[f"{name}each"].append((result.values - case.truth) / result.stderr)
            results[f"{name}sum"].append((result.values - case.truth).sum() / result.sum_stderr)
    return {name: np.array(values) for name, values in results.items()}


@pytest.mark.parametrize("budget", [1000, *(pytest.param(budget, marks=pytest.mark.slow) for budget in (100, 20_000))])
def test_readout_pulls_have_unit_width_only_with_the_calibration_error(budget: int) -> None:
    case = ResolvedCase(3, 0)
    results = pulls(case, dict.fromkeys(case.qubits, (0.02, 0.20)), Readout(shots=budget), 40_000, 700, 1)
    for name in ("each", "sum"):
        spread = np.atleast_1d(results[name].std(axis=0))
        assert ((spread > 0.9) & (spread < 1.1)).all(), (name, spread)
    assert results["counts each"].std(axis=0).max() > 1.1
    if budget < 20_000:
        assert (results["counts each"].std(axis=0) > 1.1).all()
        assert results["counts sum"].std() > 1.1


@pytest.mark.parametrize("pattern", ["balanced", "complement", "full"])
@pytest.mark.parametrize("pair", [(0.01, 0.10), (0.02, 0.20)])
def test_asymmetric_readout_is_corrected_without_bias(pair: tuple[float, float], pattern: Pattern) -> None:
    """With 10**7 shots, 4 standard errors are about 0.001; the error of the transposed matrix is 20 times larger."""
    case, shots = ResolvedCase(3, 1), 10**7
    rates = dict.fromkeys(case.qubits, pair)
    readout = Readout(shots=shots, pattern=pattern)
    variants = readout.expand(qsim(), [case.program], [shots])
    (outcome,) = readout.combine(
        variants, sample_counts(variants, {0: case.probabilities}, rates, np.random.default_rng(2))
    ).outcomes
    result = case.plan.decode([outcome])
    assert result.stderr.max() < 1e-3
    assert np.abs((result.values - case.truth) / result.stderr).max() < 4
    assert abs((result.values - case.truth).sum() / result.sum_stderr) < 4


@pytest.mark.parametrize("pair", [(0.01, 0.10), (0.02, 0.20)])
def test_transposed_confusion_matrix_is_clearly_biased(pair: tuple[float, float]) -> None:
    """Inverting the confusion in place of its transpose fails the same test of bias that the correction passes."""
    case, shots = ResolvedCase(3, 1), 10**7
    read = observed_probabilities(case.probabilities, [pair] * 4)
    counts = Distribution.from_counts(np.random.default_rng(2).multinomial(shots, read))
    rates = ReadoutCalibration.from_mapping(dict.fromkeys(case.qubits, pair))
    trap = LinearMap(tuple(np.linalg.inv(confusion(*pair)) for _ in case.qubits))
    right = case.plan.decode([correct(counts, rates, case.qubits)])
    wrong = case.plan.decode([QuasiDistribution((LinearTerm(counts, trap),))])
    assert np.abs((right.values - case.truth) / right.stderr).max() < 4
    assert np.abs((wrong.values - case.truth) / wrong.stderr).max() > 20


# the mitigation


def trained(n: int, seed: int) -> tuple[Any, Array]:
    rng = np.random.default_rng(seed)
    model = ring_ansatz(n, 2)
    model = model.with_params({name: float(rng.normal()) for name in model.params})
    x = rng.normal(size=(10, 2**n))
    return model, x / np.linalg.norm(x, axis=1, keepdims=True)


def check_virtual(inputs: int, shots: int) -> None:
    model, x = trained(3, 0)
    a, raw = (
        integrated_gradients(
            model,
            x[:inputs],
            baseline=0,
            estimator=ResolvedHadamardTest(),
            engine=virtual("willow_pink", noise="readout", seed=3),
            shots=shots,
            mitigation=mitigation,
            check=False,
        )
        for mitigation in (Readout(), None)
    )
    truth = integrated_gradients(model, x[:inputs], baseline=0).values
    assert np.abs((a.values - truth) / a.stderr).max() < 4
    assert np.abs((raw.values - truth) / raw.stderr).max() > 5
    assert np.abs(a.completeness_gap / a.completeness_gap_stderr).max() < 4
    assert a.cost.mitigation_circuits == 16
    assert a.cost.mitigation_shots == 40_000
    assert a.cost.variance_factor > 1
    assert a.assumptions.calibration_id is not None
    assert any("no drift" in note for note in a.assumptions.notes)


def test_readout_on_a_virtual_processor_gives_the_exact_map_within_its_errors() -> None:
    check_virtual(2, 200_000)


@pytest.mark.slow
def test_readout_on_a_virtual_processor_gives_ten_exact_maps() -> None:
    check_virtual(10, 200_000)


def test_readout_of_exact_probabilities_is_corrected_exactly() -> None:
    model, x = trained(2, 1)
    engine = virtual("willow_pink", noise="readout")
    assert engine.processor is not None
    truth = integrated_gradients(model, x[0], baseline=0).values
    given = ReadoutCalibration.from_processor(engine.processor)
    for mitigation in (Readout(), Readout(given)):
        a = integrated_gradients(
            model, x[0], baseline=0, estimator=ResolvedHadamardTest(), engine=engine, shots=None, mitigation=mitigation
        )
        np.testing.assert_allclose(a.values, truth, atol=1e-5)
        assert not a.stderr.any()


class Recorder(cirq.Sampler):
    """Sampler that records the kind and the repetitions of each circuit, in order."""

    def __init__(self) -> None:
        self.ran: list[tuple[bool, int]] = []

    def run_sweep(self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int = 1) -> list[cirq.Result]:
        self.ran.append((is_calibration(program), repetitions))
        return list(cirq.Simulator(seed=0).run_sweep(program, params, repetitions))


def data_programs() -> list[ParameterizedCircuit]:
    """Return two plain circuits around one with two points."""
    a, b = QUBITS[:2]
    plain = [cirq.FrozenCircuit(cirq.H(a), cirq.Moment(cirq.measure(b, a, key="z"))) for _ in range(2)]
    swept = cirq.FrozenCircuit(cirq.X(b) ** sympy.Symbol("t"), cirq.Moment(cirq.measure(b, key="z")))
    return [
        ParameterizedCircuit(plain[0], (0,)),
        ParameterizedCircuit(swept, (2, 1), ({"t": 0.0}, {"t": 1.0})),
        ParameterizedCircuit(plain[1], (3,)),
    ]


@pytest.mark.parametrize("pattern", ["balanced", "complement"])
def test_readout_calibration_runs_half_before_and_half_after_the_data(pattern: Pattern) -> None:
    readout, recorder = Readout(shots=50, pattern=pattern), Recorder()
    engine = sampler(recorder)
    variants = readout.expand(engine, data_programs(), [7, 50, 60, 8])
    assert sorted(r for p in variants.programs for r in p.requests) == list(range(len(variants.shots or ())))
    results = engine.execute(variants.programs, variants.shots)
    kinds = [calibrates for calibrates, _ in recorder.ran]
    count = 4 if pattern == "balanced" else 2
    assert kinds == [True] * count + [False] * (len(kinds) - 2 * count) + [True] * count
    assert sum(shots for calibrates, shots in recorder.ran if calibrates) == 2 * 50
    first, second, third, fourth = readout.combine(variants, results).outcomes
    assert [o.shots for o in (first, second, third, fourth)] == [7, 50, 60, 8]
    assert len(first.probabilities) == 4
    np.testing.assert_allclose(second.probabilities, [0, 1])  # request 1 is the point t = 1
    np.testing.assert_allclose(third.probabilities, [1, 0])


def test_readout_summary_reports_drift_within_a_batch() -> None:
    case, readout = ResolvedCase(2, 0), Readout(shots=20_000)
    variants = readout.expand(qsim(), [case.program], [1000])
    rng = np.random.default_rng(0)
    before, after = (
        sample_counts(variants, {0: case.probabilities}, dict.fromkeys(case.qubits, (0.01, e1)), rng) for e1 in (0.05, 0.07)
    )
    count = len(variants.programs) // 2
    steady = readout.combine(variants, before).summary
    drifted = readout.combine(variants, [*before[:count], *after[count:]]).summary
    assert any("no drift" in note for note in steady.notes)
    assert any("drifted" in note for note in drifted.notes)
    assert steady.calibration_id != drifted.calibration_id


def test_given_calibration_is_checked_and_named() -> None:
    case = ResolvedCase(2, 0)
    given = ReadoutCalibration.from_mapping(dict.fromkeys(case.qubits, (0.01, 0.1)), shots=100)
    readout = Readout(given)
    variants = readout.expand(qsim(), [case.program], [1000])
    assert list(variants.programs) == [case.program]
    results = sample_counts(
        variants, {0: case.probabilities}, dict.fromkeys(case.qubits, (0.01, 0.1)), np.random.default_rng(0)
    )
    assert readout.combine(variants, results).summary.calibration_id == given.id
    assert given.id in readout.describe()
    (outcome,) = readout.combine(variants, results).outcomes
    assert list(outcome.sensitivities(case.weights)) == [given.of(case.qubits).shared]
    with pytest.raises(CalibrationError, match="does not know qubits"):
        Readout(given.of(case.qubits[:1])).expand(qsim(), [case.program], [1000])
    with pytest.raises(CalibrationError, match="hours old"):
        Readout(given, max_age=1e-9).expand(qsim(), [case.program], [1000])
    with pytest.warns(StaleCalibrationWarning):
        Readout(given, max_age=1e-9, on_stale="warn").expand(qsim(), [case.program], [1000])


@pytest.mark.parametrize(
    "options",
    [{"shots": 0}, {"pattern": "random"}, {"on_stale": "ignore"}, {"max_age": 0}, {"max_age": float("nan")}],
    ids=str,
)
def test_invalid_readout_settings_are_rejected(options: dict[str, Any]) -> None:
    with pytest.raises(CalibrationError):
        Readout(**options)


def test_measurements_with_inverted_bits_are_rejected() -> None:
    circuit = cirq.FrozenCircuit(cirq.Moment(cirq.measure(QUBITS[0], key="z", invert_mask=(True,))))
    with pytest.raises(ValueError, match="inverts bits"):
        Readout().expand(qsim(), [ParameterizedCircuit(circuit, (0,))], [10])


@pytest.mark.parametrize("in_sequence", [False, True])
@pytest.mark.parametrize("mitigation", [Readout(shots=20_000), CorrelatedReadout(shots=20_000)], ids=["product", "groups"])
def test_combination_takes_qubits_from_the_programs_that_were_run(mitigation: Mitigation, in_sequence: bool) -> None:
    """A resumed run may have recorded the same requests on other physical qubits, here with other error rates."""
    case = ResolvedCase(2, 0)
    used = MitigationSequence([PauliTwirling(1), mitigation]) if in_sequence else mitigation
    variants = used.expand(qsim(), [case.program], [50_000])
    others: dict[cirq.Qid, cirq.Qid] = dict(zip(case.qubits, [QUBITS[2], QUBITS[3], QUBITS[0]], strict=True))
    programs = [replace(p, circuit=p.circuit.unfreeze().transform_qubits(others).freeze()) for p in variants.programs]
    recorded = replace(variants, programs=programs)
    rates = dict(zip(QUBITS, PAIRS, strict=True))
    outcomes = sample_counts(recorded, {0: case.probabilities}, rates, np.random.default_rng(0))
    estimate = case.plan.decode(used.combine(recorded, outcomes).outcomes)
    assert np.abs((estimate.values - case.truth) / estimate.stderr).max() < 4
