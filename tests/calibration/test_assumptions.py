"""Corrections test their own assumptions on the calibration shots of a batch, and the result says what was found."""

from __future__ import annotations

import warnings
from itertools import combinations
from typing import Any

import cirq
import numpy as np
import pytest
from readout_faults import Array, FaultyReadout, counted, dense_confusion, observed_outcomes
from scipy.sparse import csr_array

import hattriq_cirq as hq
from calibration import (
    CorrelatedReadout,
    MitigationSequence,
    PauliTwirling,
    Readout,
    ReadoutCalibration,
    TwirledReadout,
    ZeroNoiseExtrapolation,
)
from calibration.gates.fit_residual import residual_note
from calibration.readout.correlated_calibration import batch_verdict, pair_counts
from calibration.readout.measure import Pattern, bit_patterns
from calibration.readout.per_qubit import correct
from hattriq_cirq.circuits.outcomes import Distribution, OutcomeWeights, QuasiDistribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.estimators.bilinear import BilinearTerm
from hattriq_cirq.estimators.plan import Estimate, plan
from hattriq_cirq.execution.backends.simulators import sampler
from hattriq_cirq.pipeline.mitigation import AssumptionWarning, Mitigation, MitigationSummary

Q = tuple(cirq.LineQubit.range(6))
PAIRS = ((0, 1, 0.05), (1, 2, 0.03))
PAIRS_OF_FOUR = list(combinations(range(4), 2))
MODEL = hq.ring_ansatz(2, 1)
X = np.array([0.1, 0.5, -0.3, 0.8])


def bell(n: int) -> ParameterizedCircuit:
    """Return a circuit that measures n qubits."""
    return ParameterizedCircuit(cirq.FrozenCircuit(cirq.H(Q[0]), cirq.Moment(cirq.measure(*Q[:n], key="z"))), (0,))


def summary(mitigation: Mitigation, faulty: FaultyReadout, n: int = 3, shots: int | None = 1000) -> MitigationSummary:
    """Return the findings of a mitigation that runs one circuit of n qubits with faulty readout."""
    engine = sampler(faulty)
    variants = mitigation.expand(engine, [bell(n)], None if shots is None else [shots])
    return mitigation.combine(variants, engine.execute(variants.programs, variants.shots)).summary


def attribute(faults: dict[str, Any], mitigation: Mitigation, shots: int = 2000) -> hq.Attribution:
    engine = sampler(FaultyReadout([*MODEL.qubits, cirq.NamedQubit("ancilla0")], seed=3, **faults))
    settings: dict[str, Any] = {"estimator": hq.ResolvedHadamardTest(), "engine": engine, "shots": shots}
    return hq.integrated_gradients(MODEL, X, baseline=0, mitigation=mitigation, **settings)


# independence of qubits


def test_pair_flips_are_named_in_the_result_of_the_default_correction() -> None:
    """Pairs are flipped together in 5% and 3% of shots."""
    with pytest.warns(AssumptionWarning, match=r"q\(0\) and q\(1\).*use TwirledReadout\(\) or CorrelatedReadout\(\)") as caught:
        a = attribute({"e0": 0.01, "e1": 0.05, "pairs": PAIRS}, Readout())
    assert len(caught) == 1
    (note,) = (note for note in a.assumptions.notes if "are correlated" in note)
    assert note == str(caught[0].message)
    assert "they are flipped together" in note
    for pair in ("q(0) and q(1)", "ancilla0"):
        assert pair in note


@pytest.mark.parametrize("pattern", ["balanced", "full", "complement"])
@pytest.mark.parametrize("budget", [1_000, 20_000])
def test_correlated_readout_is_detected_in_every_batch(budget: int, pattern: Pattern) -> None:
    for seed in range(10):
        found = summary(Readout(shots=budget, pattern=pattern), FaultyReadout(Q, e0=0.01, e1=0.05, pairs=PAIRS, seed=seed))
        (text,) = found.warnings
        assert "q(0) and q(1)" in text
        assert "q(1) and q(2)" in text


def test_intervals_cover_where_the_readout_is_correlated() -> None:
    """Random states of three qubits: what the correction leaves in the states of its calibration widens the intervals."""
    rng, weights, covered = np.random.default_rng(1), OutcomeWeights(csr_array(np.eye(8))), []
    for seed in range(12):
        gates = [cirq.ry(angle)(q) for q, angle in zip(Q, rng.uniform(0, 3, 3), strict=False)]
        circuit = cirq.FrozenCircuit(gates, cirq.CNOT(*Q[:2]), cirq.Moment(cirq.measure(*Q[:3], key="z")))
        engine, mitigation = sampler(FaultyReadout(Q, e0=0.01, e1=0.05, pairs=PAIRS, seed=seed)), Readout()
        variants = mitigation.expand(engine, [ParameterizedCircuit(circuit, (0,))], [1_000_000])
        mitigated = mitigation.combine(variants, engine.execute(variants.programs, variants.shots))
        assert any("leaves a spread of" in note for note in mitigated.summary.notes)
        estimate = Estimate((weights,), tuple(mitigated.outcomes), np.zeros(8))
        (true,) = hq.cirq_simulator().run([circuit], None)
        low, high = estimate.interval()
        assert estimate.systematic.max() < 0.1
        covered.append((low <= true.probabilities) & (true.probabilities <= high))
    assert 0.85 < np.mean(covered) < 1
    assert attribute({"e0": 0.01, "e1": 0.05}, Readout()).systematic is None


@pytest.mark.parametrize(
    "faults",
    [
        {"pairs": [(4, 5, 0.03)]},
        {"pairs": [(0, 5, 0.02)], "e1": 0.1},
        {"pairs": [(0, 1, 0.01), (2, 3, 0.01), (4, 5, 0.01)], "e0": 0.02, "e1": 0.02},
    ],
)
def test_other_pairs_of_six_qubits_are_detected(faults: dict[str, Any]) -> None:
    (text,) = summary(Readout(), FaultyReadout(Q, seed=1, **faults), n=6).warnings
    for i, j, _ in faults["pairs"]:
        assert f"q({i}) and q({j})" in text


def test_rates_that_depend_on_a_neighbour_are_detected() -> None:
    confusion = dense_confusion(2, 0.01, 0.05)
    confusion[3] = np.kron([0.05, 0.95], [0.10, 0.90])  # the second is read worse while the first is 1
    mitigation, rng = Readout(), np.random.default_rng(0)
    variants = mitigation.expand(sampler(FaultyReadout(seed=0)), [bell(2)], [1000])
    outcomes = counted(observed_outcomes(variants, confusion), variants.shots or (), rng)
    (text,) = mitigation.combine(variants, outcomes).summary.warnings
    assert "the second depends on the first's state" in text


@pytest.mark.parametrize("per_state", [10, 200, 5_000])
@pytest.mark.parametrize("pattern", ["balanced", "complement"])
def test_false_alarms_of_correlation_are_rare(pattern: Pattern, per_state: int) -> None:
    """Different asymmetric rates without correlation, 400 calibrations of each kind; the level is one in 1,000."""
    rng, rates = np.random.default_rng(per_state), ((0.01, 0.10), (0.2, 0.02), (0.05, 0.05), (0.003, 0.3))
    patterns = bit_patterns(4, pattern)
    shots = max(1, 2 * per_state // len(patterns))
    alarms = 0
    for _ in range(400):
        outcomes = []
        for row in patterns:
            flips = rng.random((shots, 4)) < [rates[q][int(one)] for q, one in enumerate(row)]
            outcomes.append(Distribution.from_outcomes((flips ^ row) @ [8, 4, 2, 1], 4))
        alarms += batch_verdict(Q[:4], patterns, outcomes, PAIRS_OF_FOUR, neighbours=True).correlated
    assert alarms <= 2


@pytest.mark.slow
def test_false_alarms_of_whole_batches_are_at_most_one_in_100() -> None:
    found = [
        bool(summary(mitigation, FaultyReadout(e0=0.01, e1=0.08, seed=seed), n=6, shots=10).warnings)
        for seed in range(500)
        for mitigation in (Readout(shots=500), CorrelatedReadout(group=3, shots=500))
    ]
    assert np.mean(found) <= 0.01


@pytest.mark.parametrize("mitigation", [Readout(), CorrelatedReadout(group=2)], ids=lambda m: type(m).__name__)
def test_noise_of_gates_in_calibration_circuits_is_not_called_correlation(mitigation: Mitigation) -> None:
    """Noise after every moment: the pattern of zeros, without X gates, has one noisy moment less than all others."""
    for seed in range(10):
        engine = hq.cirq_simulator(seed=seed, noise=cirq.ConstantQubitNoiseModel(cirq.depolarize(0.05)))
        variants = mitigation.expand(engine, [bell(3)], [100])
        assert not mitigation.combine(variants, engine.execute(variants.programs, variants.shots)).summary.warnings


def test_drift_is_not_called_correlation() -> None:
    for seed in range(20):
        found = summary(Readout(), FaultyReadout(e0=0.01, e1=0.05, drift=0.03, over=41_000, seed=seed))
        assert not found.warnings
        assert any("readout drifted" in note for note in found.notes)


def test_uncorrelated_readout_is_said_to_be_compatible_without_a_warning() -> None:
    a = attribute({"e0": 0.01, "e1": 0.05}, Readout())
    assert any(note.startswith("readout errors are compatible with independent ones") for note in a.assumptions.notes)
    assert any(note.startswith("no drift") for note in a.assumptions.notes)


def test_given_calibration_says_that_independence_was_not_tested() -> None:
    given = ReadoutCalibration.from_mapping(dict.fromkeys(Q, (0.01, 0.05)))
    found = summary(Readout(given), FaultyReadout(Q, pairs=PAIRS, seed=0))
    assert any("independence of readout errors was not tested" in note for note in found.notes)
    assert not found.warnings


@pytest.mark.parametrize("shots", [None, 1000])
def test_single_qubits_and_exact_probabilities_are_not_tested(shots: int | None) -> None:
    n = 3 if shots is None else 1
    engine = hq.cirq_simulator(seed=1) if shots is None else sampler(FaultyReadout(seed=0))
    mitigation = Readout()
    variants = mitigation.expand(engine, [bell(n)], None if shots is None else [shots])
    found = mitigation.combine(variants, engine.execute(variants.programs, variants.shots)).summary
    assert not found.warnings
    assert not any("independent" in note for note in found.notes)


def test_pairs_of_more_bits_than_an_array_holds_are_counted() -> None:
    qubits, rng = cirq.LineQubit.range(24), np.random.default_rng(0)
    patterns = bit_patterns(24, "complement")
    flips = rng.random((2, 4000, 24)) < 0.02
    flips[:, :, 7] |= (together := rng.random((2, 4000)) < 0.03)
    flips[:, :, 19] |= together
    powers = 1 << np.arange(23, -1, -1, dtype=np.int64)
    outcomes = [Distribution.from_outcomes((each ^ row) @ powers, 24) for each, row in zip(flips, patterns, strict=True)]
    counts = pair_counts(patterns, outcomes)
    first, second = flips[0, :, 7].astype(int), flips[0, :, 19].astype(int)
    expected = np.bincount(2 * first + second, minlength=4).reshape(2, 2)
    np.testing.assert_array_equal(counts[7, 19, 0, 0], expected)
    verdict = batch_verdict(qubits, patterns, outcomes, list(combinations(range(24), 2)), neighbours=True)
    assert verdict.pair == (qubits[7], qubits[19])
    assert not verdict.others


def test_tests_of_assumptions_do_not_change_values() -> None:
    faulty = FaultyReadout(Q, e0=0.01, e1=0.05, pairs=PAIRS, seed=2)
    engine, mitigation = sampler(faulty), Readout()
    variants = mitigation.expand(engine, [bell(3)], [500])
    outcomes = engine.execute(variants.programs, variants.shots)
    (found,) = mitigation.combine(variants, outcomes).outcomes
    patterns = np.concatenate([bit_patterns(3)] * 2)
    half = len(patterns) // 2
    calibration = ReadoutCalibration.from_outcomes(Q[:3], patterns, [*outcomes[:half], *outcomes[half + 1 :]])
    np.testing.assert_array_equal(found.probabilities, correct(outcomes[half], calibration, Q[:3]).probabilities)


# groups, twirled readout, sequences


def test_correlation_between_groups_is_named_and_within_groups_is_not() -> None:
    across = FaultyReadout(Q, e0=0.01, e1=0.05, pairs=[(2, 3, 0.03)], seed=0)
    (text,) = summary(CorrelatedReadout(group=3), across, n=6).warnings
    assert "between groups, readout errors of q(2) and q(3) are correlated" in text
    assert "use TwirledReadout() or larger groups" in text
    within = FaultyReadout(Q, e0=0.01, e1=0.05, pairs=[(0, 1, 0.05), (4, 5, 0.05)], seed=0)
    found = summary(CorrelatedReadout(group=3), within, n=6)
    assert not found.warnings
    assert any(note.startswith("between groups, readout errors are compatible") for note in found.notes)
    assert sum("are correlated" in note for note in found.notes) == 2  # as before, the diagnosis of each group


def test_crosstalk_within_groups_is_not_called_correlation_between_them() -> None:
    """Both groups read every bit worse while their other bit is 1; their states are prepared in step."""
    group = dense_confusion(2, 0.01, 0.03)
    group[3] = np.kron([0.25, 0.75], [0.25, 0.75])
    mitigation, rng = CorrelatedReadout(group=2), np.random.default_rng(0)
    variants = mitigation.expand(sampler(FaultyReadout(seed=0)), [bell(4)], [1000])
    exact = observed_outcomes(variants, np.kron(group, group))
    for _ in range(10):
        assert not mitigation.combine(variants, counted(exact, variants.shots or (), rng)).summary.warnings


@pytest.mark.parametrize("mitigation", [TwirledReadout(), CorrelatedReadout(), Readout()], ids=lambda m: type(m).__name__)
def test_every_readout_correction_says_whether_readout_drifted(mitigation: Mitigation) -> None:
    steady = summary(mitigation, FaultyReadout(e0=0.01, e1=0.05, seed=1))
    assert any(note.startswith("no drift of readout") for note in steady.notes)
    drifting = summary(mitigation, FaultyReadout(e0=0.01, e1=0.05, drift=0.05, over=40_000, seed=1), shots=20_000)
    assert any(note.startswith("readout drifted: e1 of") for note in drifting.notes)


def test_twirled_readout_does_not_mind_correlated_errors() -> None:
    a = attribute({"e0": 0.01, "e1": 0.05, "pairs": PAIRS}, TwirledReadout())
    assert not any("correlated" in note for note in a.assumptions.notes)


def test_warnings_pass_through_a_sequence_and_appear_once_for_a_batch() -> None:
    with pytest.warns(AssumptionWarning) as caught:
        a = attribute({"e1": 0.05, "pairs": PAIRS}, MitigationSequence([PauliTwirling(2), Readout()]))
    assert len(caught) == 1
    assert str(caught[0].message) in a.assumptions.notes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)
        again = attribute({"e1": 0.05, "pairs": PAIRS}, MitigationSequence([PauliTwirling(2), Readout()]))
    assert again.assumptions.notes == a.assumptions.notes


# zero-noise fits


def decaying(rates: Array, factors: tuple[int, ...], shots: int | None, rng: np.random.Generator) -> list[Distribution]:
    """Return outcomes of two bits whose distribution moves to the uniform one by some share for each factor."""
    start = np.array([0.7, 0.1, 0.15, 0.05])
    exact = [(1 - rate) * start + rate / 4 for rate in rates]
    assert len(exact) == len(factors)
    return [Distribution(p, None) if shots is None else Distribution.from_counts(rng.multinomial(shots, p)) for p in exact]


@pytest.mark.parametrize("factors", [(1, 3, 5), (1, 3, 5, 7)])
def test_zero_noise_fit_that_misses_the_counts_is_said(factors: tuple[int, ...]) -> None:
    rng, at = np.random.default_rng(0), np.array(factors)
    curved = [decaying(1 - np.exp(-0.3 * at), factors, 20_000, rng) for _ in range(3)]
    text = residual_note(factors, 1, curved)
    assert text is not None
    assert "the zero-noise fit of degree 1 does not agree with the counts" in text
    straight = [decaying(0.05 * at, factors, 20_000, rng) for _ in range(3)]
    text = residual_note(factors, 1, straight)
    assert text is not None
    assert text.startswith("the zero-noise fit of degree 1 agrees with the counts")


def test_zero_noise_fit_without_spare_factors_or_counts_is_not_tested() -> None:
    rng = np.random.default_rng(0)
    assert residual_note((1, 3), 1, [decaying(np.array([0.1, 0.5]), (1, 3), 100, rng)]) is None
    assert residual_note((1, 3, 5), 2, [decaying(np.array([0.1, 0.5, 0.6]), (1, 3, 5), 100, rng)]) is None
    assert residual_note((1, 3, 5), 1, [decaying(np.array([0.1, 0.5, 0.6]), (1, 3, 5), None, rng)]) is None
    assert residual_note((1, 3, 5), 1, []) is None


def test_zero_noise_fit_has_few_false_alarms_at_few_shots() -> None:
    rng, factors = np.random.default_rng(1), (1, 3, 5)
    notes = [residual_note(factors, 1, [decaying(0.05 * np.array(factors), factors, 30, rng)]) for _ in range(200)]
    assert sum("does not agree" in (note or "") for note in notes) <= 1


def test_zero_noise_result_says_whether_the_fit_holds() -> None:
    noise = cirq.ConstantQubitNoiseModel(cirq.depolarize(0.05))
    settings: dict[str, Any] = {"estimator": hq.ResolvedHadamardTest(), "engine": hq.cirq_simulator(seed=1, noise=noise)}
    for mitigation in (ZeroNoiseExtrapolation(), MitigationSequence([ZeroNoiseExtrapolation(), Readout()])):
        a = hq.integrated_gradients(MODEL, X, baseline=0, shots=50_000, mitigation=mitigation, **settings)
        assert any("zero-noise fit of degree 1 does not agree with the counts" in note for note in a.assumptions.notes)


# coverage at few shots with a correction


@pytest.mark.slow
@pytest.mark.parametrize("shots", [50, 100])
@pytest.mark.parametrize("mitigation", [Readout(), TwirledReadout()], ids=lambda m: type(m).__name__)
def test_corrected_features_are_covered_at_few_shots(mitigation: Mitigation, shots: int) -> None:
    """Every feature of a decaying input, 4,000 runs; a true coverage of 93% falls below the limit in 1% of cases."""
    x = 0.55 ** np.arange(4)
    x /= np.linalg.norm(x)
    for layers in (0, 2):
        model = hq.ring_ansatz(2, layers)
        model = model.with_params({name: 0.3 * i for i, name in enumerate(model.params)})
        made = plan(hq.ResolvedHadamardTest(), model, [BilinearTerm(x, x)])
        truth = (x * model.observable_action(x)).real
        program = ParameterizedCircuit(made.circuits[0].circuit.freeze(), (0,))
        variants = mitigation.expand(sampler(FaultyReadout(seed=0)), [program], [shots])
        exact = observed_outcomes(variants, dense_confusion(3, 0.02, 0.06))
        rng, held = np.random.default_rng(shots), []
        for _ in range(4000):
            (outcome,) = mitigation.combine(variants, counted(exact, variants.shots or (), rng)).outcomes
            assert isinstance(outcome, QuasiDistribution)
            low, high = made.decode([outcome]).interval()
            held.append((low <= truth) & (truth <= high))
        assert np.mean(held, axis=0).min() >= 0.93 - 2.5 * np.sqrt(0.93 * 0.07 / 4000)
