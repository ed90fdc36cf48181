"""Completeness rescaling and noise estimation: known noise, pulls, and maps that are left unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cirq
import numpy as np
import pytest
from scipy.sparse import csr_array
from strategies import Array, amplitudes, random_case

import hattriq_cirq as hq
from calibration.auxiliary_measurement import AuxiliaryCircuit
from calibration.rescaling import CompletenessRescaling, NoiseEstimation
from hattriq_cirq.circuits.outcomes import Distribution, LinearTerm, OutcomeWeights, QuasiDistribution, SharedUncertainty
from hattriq_cirq.estimators import Estimator, HadamardTest, ParallelHadamardTest, PolarizationShift, ResolvedHadamardTest
from hattriq_cirq.estimators.bilinear import BilinearTerm, WeightedCircuit
from hattriq_cirq.estimators.plan import Estimate, Plan, plan
from hattriq_cirq.pipeline.mitigation import Mitigation
from hattriq_cirq.pipeline.prepare import bilinear_terms
from hattriq_cirq.simulation.statevector import outcome_probabilities

X = np.abs(np.random.default_rng(3).normal(size=8))
MODEL = hq.train(hq.ring_ansatz(3, 2), np.array([X, -X[::-1]]), [1, -1], seed=0, epochs=3).model
PLAN = plan(ResolvedHadamardTest(), MODEL, bilinear_terms(X, np.zeros((1, 8)), None))
EXACT = np.real(X * MODEL.observable_action(X))
every_mitigation = pytest.mark.parametrize(
    "mitigation",
    [CompletenessRescaling(), CompletenessRescaling(additive=True), NoiseEstimation(), NoiseEstimation(circuits=1)],
    ids=lambda m: m.describe(),
)


def depolarized(circuit: cirq.AbstractCircuit, chance: float) -> Array:
    """Return the distribution of a circuit whose result is replaced by noise with some probability."""
    clean = outcome_probabilities(circuit)
    return np.asarray((1 - chance) * clean + chance / len(clean))


@lru_cache
def auxiliary(mitigation: Mitigation) -> list[tuple[WeightedCircuit, float]]:
    return mitigation.auxiliary_circuits(MODEL, ResolvedHadamardTest(), bilinear_terms(X, np.zeros((1, 8)), None))


def corrected(
    mitigation: Mitigation,
    outcome: Distribution | QuasiDistribution,
    auxiliary_outcomes: Sequence[Distribution | QuasiDistribution],
) -> Estimate:
    readings = [reading for reading, _ in auxiliary(mitigation)]
    return mitigation.postprocess(PLAN.decode([outcome]), list(zip(readings, auxiliary_outcomes, strict=True)))


# noise that is known


@every_mitigation
def test_rescaling_without_noise_changes_nothing(mitigation: Mitigation) -> None:
    engine = hq.virtual("willow_pink", noise="none")
    a = hq.integrated_gradients(MODEL, X, baseline=0, estimator=ResolvedHadamardTest(), engine=engine, mitigation=mitigation)
    np.testing.assert_allclose(a.values, EXACT, rtol=0, atol=1e-6 * float(X @ X))
    (note,) = a.assumptions.notes
    assert note.startswith(f"{mitigation.describe()} assumes that noise changes all values of a map alike")


def test_noise_estimation_corrects_even_damping() -> None:
    mitigation = NoiseEstimation()
    auxiliary_outcomes = [Distribution(depolarized(r.circuit, 0.3), None) for r, _ in auxiliary(mitigation)]
    (reading,) = PLAN.circuits
    estimate = corrected(mitigation, Distribution(depolarized(reading.circuit, 0.3), None), auxiliary_outcomes)
    np.testing.assert_allclose(estimate.values, EXACT, rtol=0, atol=1e-9)
    assert not estimate.stderr.any()
    assert estimate.shots == 0


@pytest.mark.parametrize("additive", [False, True])
def test_completeness_gives_the_map_the_measured_sum(additive: bool) -> None:
    """With an even damping and a perfect direct measurement, rescaling corrects the map; the shift corrects only its sum."""
    mitigation = CompletenessRescaling(additive=additive)
    auxiliary_outcomes = [Distribution(outcome_probabilities(r.circuit), None) for r, _ in auxiliary(mitigation)]
    (reading,) = PLAN.circuits
    estimate = corrected(mitigation, Distribution(depolarized(reading.circuit, 0.3), None), auxiliary_outcomes)
    np.testing.assert_allclose(estimate.values.sum(), EXACT.sum(), atol=1e-9)
    if not additive:
        np.testing.assert_allclose(estimate.values, EXACT, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("zero", [False, True])
def test_completeness_circuits_measure_the_difference_of_scores(seed: int, zero: bool) -> None:
    """Random circuits and sums of Pauli strings with an identity part, two baselines; x'Mx - b'Mb by dense matrices."""
    case, rng = random_case(2, seed, identity=True), np.random.default_rng(seed)
    x, b = amplitudes(rng, 4, imaginary=seed % 2 == 1), (0 if zero else 1) * amplitudes(rng, 2, 4)
    terms = bilinear_terms(x, b, None)
    readings = [r for r, _ in CompletenessRescaling().auxiliary_circuits(case.model, ResolvedHadamardTest(), terms)]
    measured = sum(float((r.weights @ outcome_probabilities(r.circuit))[0]) for r in readings)
    measured += plan(ResolvedHadamardTest(), case.model, terms).offset.sum()
    (m,) = case.matrices()
    expected = (x.conj() @ m @ x).real - np.mean([(row.conj() @ m @ row).real for row in b])
    np.testing.assert_allclose(measured, expected, rtol=0, atol=1e-9 * max(1, float(np.vdot(x, x).real)))


@pytest.mark.parametrize(
    "estimator", [HadamardTest(), ParallelHadamardTest(2), PolarizationShift()], ids=lambda e: e.describe()
)
def test_completeness_with_every_estimator(estimator: Estimator) -> None:
    engine = hq.cirq_simulator()
    a = hq.integrated_gradients(
        MODEL, X, baseline=0, estimator=estimator, engine=engine, mitigation=CompletenessRescaling(), rule="exact"
    )
    np.testing.assert_allclose(a.values, EXACT, rtol=0, atol=1e-9)
    assert a.cost.mitigation_circuits == 1


def test_rounded_circuits_keep_their_two_qubit_gates() -> None:
    (reading,) = PLAN.circuits

    def shape(circuit: cirq.AbstractCircuit) -> list[tuple[object, tuple[cirq.Qid, ...]]]:
        return [(type(op.gate), op.qubits) for op in circuit.all_operations()]

    readings = [r for r, _ in auxiliary(NoiseEstimation())]
    assert len(readings) == 3
    for rounded in readings:
        assert shape(rounded.circuit) == shape(reading.circuit)
        after = list(rounded.circuit.all_operations())[len(list(rounded.preparation.all_operations())) :]
        assert all(cirq.has_stabilizer_effect(op) for op in after)


# errors


@every_mitigation
@pytest.mark.parametrize("shots", [2_000, 50_000])
def test_rescaled_pulls_have_unit_width(mitigation: Mitigation, shots: int) -> None:
    """Pulls of each value and of the sum in 250 sampled runs, against the map of the same probabilities without shot noise."""
    (reading,) = PLAN.circuits
    own_circuits = auxiliary(mitigation)
    chances = [depolarized(reading.circuit, 0.2)] + [depolarized(r.circuit, 0.1) for r, _ in own_circuits]
    counts = [shots] + [round(share * shots) for _, share in own_circuits]
    truth = corrected(mitigation, Distribution(chances[0], None), [Distribution(p, None) for p in chances[1:]]).values
    if isinstance(mitigation, CompletenessRescaling) and mitigation.additive:  # without shot noise it moves values otherwise
        total = sum(float((r.weights @ p)[0]) for (r, _), p in zip(own_circuits, chances[1:], strict=True))
        before = PLAN.decode([Distribution(chances[0], None)]).values
        variances = np.asarray(Distribution(chances[0], shots).variances(reading.weights))
        truth = before + variances / variances.sum() * (total - before.sum())
    rng, pulls, sums = np.random.default_rng(0), [], []
    for _ in range(250):
        first, *rest = [Distribution.from_counts(rng.multinomial(n, p)) for n, p in zip(counts, chances, strict=True)]
        estimate = corrected(mitigation, first, rest)
        assert not estimate.notes
        assert estimate.shots == sum(counts)
        np.testing.assert_allclose(estimate.stderr**2, np.diag(estimate.covariance))
        pulls.append((estimate.values - truth) / estimate.stderr)
        sums.append((estimate.values - truth).sum() / estimate.sum_stderr)
    assert 0.9 < np.std(pulls) < 1.1
    assert 0.9 < np.std(sums) < 1.1


@every_mitigation
def test_shared_uncertainty_of_the_map_and_its_auxiliary_number(mitigation: Mitigation) -> None:
    """A parameter changes all outcomes; the derivative of the values is a finite difference."""
    rng = np.random.default_rng(0)
    own_circuits, shared = auxiliary(mitigation), SharedUncertainty(np.array([[1e-8]]))
    circuits = [PLAN.circuits[0].circuit, *(r.circuit for r, _ in own_circuits)]
    chances = [depolarized(circuit, 0.2) for circuit in circuits]
    slopes = [p * (d - p @ d) for p in chances for d in [rng.normal(size=len(p))]]

    def at(moved: float) -> Estimate:
        first, *rest = [
            QuasiDistribution((LinearTerm(Distribution(p + moved * s, 10**6)),), {shared: s[:, np.newaxis]})
            for p, s in zip(chances, slopes, strict=True)
        ]
        return corrected(mitigation, first, rest)

    estimate = at(0.0)
    assert not estimate.notes
    expected = (at(1e-4).values - at(-1e-4).values) / 2e-4
    apart = np.abs(estimate.sensitivities[shared][:, 0] - expected).max() / np.abs(expected).max()
    if isinstance(mitigation, CompletenessRescaling) and mitigation.additive:  # its shares, the variances, move a little, too
        assert apart < 5e-3
        return
    assert apart < 1e-6
    first, *rest = [Distribution(p, 10**6) for p in chances]
    bare = corrected(mitigation, first, rest)
    moved = estimate.sensitivities[shared]
    np.testing.assert_allclose(estimate.covariance, bare.covariance + 1e-8 * moved @ moved.T, atol=1e-12)
    np.testing.assert_allclose(estimate.sum_stderr**2, bare.sum_stderr**2 + 1e-8 * float(moved.sum()) ** 2, rtol=1e-9)


# where it must not act


def rescaled(values: Array, measured: float, shots: int | None, mitigation: Mitigation) -> Estimate:
    """Return the correction of a map of two features that is +-1 in each shot, by a number of the same kind."""

    def chances(mean: float) -> Distribution:
        return Distribution(np.array([(1 + mean) / 2, (1 - mean) / 2]), shots)

    signs = OutcomeWeights(csr_array(np.array([[1.0, -1.0]])))
    readings = [WeightedCircuit(cirq.Circuit(), signs.combined(np.eye(2)[:, [i]]), cirq.Circuit()) for i in range(2)]
    estimate = Plan(tuple(readings), np.zeros(2), "equal").decode([chances(v) for v in values])
    return mitigation.postprocess(
        estimate, [(AuxiliaryCircuit(cirq.Circuit(), signs, cirq.Circuit(), mitigation=mitigation), chances(measured))]
    )


@pytest.mark.parametrize("shots", [None, 1000])
@pytest.mark.parametrize(
    ("values", "measured"), [([0.5, -0.5], 0.2), ([0.2, 0.1], 0.95), ([0.4, 0.4], -0.3), ([0.6, 0.5], 0.01)]
)
def test_sum_near_zero_or_ratio_out_of_bounds_leaves_the_map_unchanged(
    values: list[float], measured: float, shots: int | None
) -> None:
    estimate = rescaled(np.array(values), measured, shots, CompletenessRescaling(largest=3.0))
    np.testing.assert_allclose(estimate.values, values)
    (note,) = estimate.notes
    assert "left a map as it was" in note


def test_sum_just_clear_of_zero_is_used() -> None:
    estimate = rescaled(np.array([0.3, -0.1]), 0.25, 10_000, CompletenessRescaling())
    np.testing.assert_allclose(estimate.values, [0.375, -0.125], rtol=1e-9)
    assert not estimate.notes


@pytest.mark.parametrize(("damping", "shots"), [(0.02, None), (-0.5, None), (0.4, 60)])
def test_damping_near_zero_leaves_the_map_unchanged(damping: float, shots: int | None) -> None:
    estimate = rescaled(np.array([0.5, 0.2]), damping, shots, NoiseEstimation())
    np.testing.assert_allclose(estimate.values, [0.5, 0.2])
    assert len(estimate.notes) == 1


def test_rescaling_note_reaches_the_attribution() -> None:
    """With x'Mx = 0 the sum of the map is 0."""
    model = hq.Model(cirq.Circuit(), cirq.LineQubit.range(1), cirq.PauliString(cirq.Z(cirq.LineQubit(0))))
    a = hq.integrated_gradients(
        model,
        np.ones(2),
        baseline=0,
        estimator=ResolvedHadamardTest(),
        engine=hq.cirq_simulator(seed=1),
        shots=1000,
        mitigation=CompletenessRescaling(),
    )
    assert any("within 4 standard errors of 0" in note for note in a.assumptions.notes)


# refusals


@pytest.mark.parametrize(
    ("mitigation", "estimator", "message"),
    [
        (NoiseEstimation(), HadamardTest(), "needs ResolvedHadamardTest"),
        (NoiseEstimation(), PolarizationShift(), "many"),
        (CompletenessRescaling(), ResolvedHadamardTest(part="imaginary"), "must be 'real'"),
    ],
)
def test_rescaling_with_unsuitable_estimators_is_rejected(mitigation: Mitigation, estimator: Estimator, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mitigation.auxiliary_circuits(MODEL, estimator, [BilinearTerm(X, X)])


@pytest.mark.parametrize(
    "gate",
    [
        cirq.ISWAP**0.5,
        cirq.XXPowGate(exponent=0.3),
        cirq.ZZPowGate(exponent=0.3),
        cirq.CZ**0.3,
        cirq.FSimGate(np.pi / 2, np.pi / 6),
        cirq.MatrixGate(cirq.testing.random_unitary(4, random_state=1)),
        cirq.PhasedXZGate(x_exponent=0.3, z_exponent=0.1, axis_phase_exponent=0.2),
        cirq.PhasedXPowGate(exponent=0.3, phase_exponent=0.1),
        cirq.Y**0.3,
        cirq.T,
        cirq.MatrixGate(cirq.testing.random_unitary(2, random_state=1)),
    ],
    ids=str,
)
def test_noise_estimation_with_any_gate_corrects_even_damping(gate: cirq.Gate) -> None:
    """Gates on two qubits stay as they are; single-qubit gates become Clifford gates, of which the known map is computed."""
    q = cirq.LineQubit.range(2)
    turns = [cirq.ry(0.4)(q[0]), cirq.rx(1.1)(q[1])]
    circuit = cirq.Circuit(turns, gate(*q[: cirq.num_qubits(gate)]), cirq.CNOT(*q), turns)
    model, x = hq.Model(circuit, q, cirq.Z(q[0]) + 0.3 * cirq.X(q[1])), np.array([0.3, -0.5, 0.7, 0.2])
    terms, mitigation = bilinear_terms(x, np.zeros((1, 4)), None), NoiseEstimation()
    own = plan(ResolvedHadamardTest(), model, terms)
    added = [r for r, _ in mitigation.auxiliary_circuits(model, ResolvedHadamardTest(), terms)]
    for rounded in added:
        after = list(rounded.circuit.all_operations())[len(list(rounded.preparation.all_operations())) :]
        assert all(cirq.has_stabilizer_effect(op) for op in after if len(op.qubits) == 1 and not cirq.is_measurement(op))
    assert cirq.num_qubits(gate) == 1 or any(op.gate == gate for r in added for op in r.circuit.all_operations())
    damped = [Distribution(depolarized(r.circuit, 0.3), None) for r in (*own.circuits, *added)]
    estimate = mitigation.postprocess(own.decode(damped[:2]), list(zip(added, damped[2:], strict=True)))
    np.testing.assert_allclose(estimate.values, (x * model.observable_action(x)).real, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_noise_estimation_with_random_circuits_corrects_even_damping(seed: int) -> None:
    case = random_case(3, seed)
    x = amplitudes(np.random.default_rng(seed), 8)
    terms, mitigation = bilinear_terms(x, np.zeros((1, 8)), None), NoiseEstimation()
    own = plan(ResolvedHadamardTest(), case.model, terms)
    added = [r for r, _ in mitigation.auxiliary_circuits(case.model, ResolvedHadamardTest(), terms)]
    damped = [Distribution(depolarized(r.circuit, 0.2), None) for r in (*own.circuits, *added)]
    count = len(own.circuits)
    estimate = mitigation.postprocess(own.decode(damped[:count]), list(zip(added, damped[count:], strict=True)))
    expected = (x * case.model.observable_action(x)).real
    np.testing.assert_allclose(estimate.values, expected, rtol=0, atol=1e-8 * float(x @ x))


@pytest.mark.parametrize("wrong", [{"share": 0.0}, {"share": float("nan")}, {"largest": 1.0}, {"circuits": 0}])
def test_invalid_rescaling_settings_are_rejected(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        NoiseEstimation(**wrong)  # type: ignore[arg-type]


def test_rounding_seed_repeats_and_matters() -> None:
    def circuits(seed: int) -> list[cirq.Circuit]:
        return [reading.circuit for reading, _ in auxiliary(NoiseEstimation(seed=seed))]

    assert circuits(1) == circuits(1)
    assert circuits(1) != circuits(2)


def test_map_with_zero_rounded_maps_is_left_unchanged() -> None:
    qubit = cirq.LineQubit(0)
    model = hq.Model(cirq.Circuit(cirq.ry(0.3)(qubit)), [qubit], cirq.X(qubit))
    x = np.array([1.0, 0.0])  # a circuit rounded to the identity has M = X and map 0; others do not
    terms = bilinear_terms(x, np.zeros((1, 2)), None)
    mitigations = [NoiseEstimation(circuits=1, seed=seed) for seed in range(40)]
    unused = [m for m in mitigations if not m.auxiliary_circuits(model, ResolvedHadamardTest(), terms)]
    assert 0 < len(unused) < len(mitigations)
    engine, estimator = hq.qsim(seed=1), ResolvedHadamardTest()
    a = hq.integrated_gradients(model, x, baseline=0, estimator=estimator, engine=engine, mitigation=unused[0])
    np.testing.assert_allclose(a.values, [np.sin(0.3), 0], rtol=0, atol=1e-6)
    assert any("left a map as it was" in note for note in a.assumptions.notes)
