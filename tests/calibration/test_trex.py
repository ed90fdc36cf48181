"""Twirled readout: masks, correction of any readout channel, errors, and circuits on a processor."""

from __future__ import annotations

import cirq
import cirq_google as cg
import numpy as np
import pytest
from readout_faults import Array, FaultyReadout, counted, dense_confusion, observed_outcomes
from scipy.sparse import csr_array

import hattriq_cirq as hq
from calibration.readout.trex import TwirledReadout
from hattriq_cirq.circuits.linear_maps import LinearMap
from hattriq_cirq.circuits.outcomes import Distribution, LinearTerm, QuasiDistribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.estimators.bilinear import BilinearTerm
from hattriq_cirq.estimators.plan import Plan, plan
from hattriq_cirq.execution.backends.simulators import sampler
from hattriq_cirq.pipeline.mitigation import Variants

PAIRS = ((0, 1, 0.04), (1, 2, 0.02))


def random_program(bits: int, seed: int) -> ParameterizedCircuit:
    """Return a circuit with a random distribution over its bits."""
    qubits = cirq.LineQubit.range(bits)
    unitary = cirq.MatrixGate(cirq.testing.random_unitary(2**bits, random_state=seed))
    return ParameterizedCircuit(
        cirq.FrozenCircuit(cirq.Moment(unitary(*qubits)), cirq.Moment(cirq.measure(*qubits, key="z"))), (0,)
    )


def truth_of(program: ParameterizedCircuit) -> Array:
    """Return the probabilities of `random_program`, by Cirq's simulator."""
    state = cirq.Simulator(dtype=np.complex128).simulate(program.circuit[:-1]).final_state_vector
    return np.asarray(np.abs(state) ** 2)


def expanded(mitigation: TwirledReadout, programs: list[ParameterizedCircuit], shots: list[int] | None) -> Variants:
    return mitigation.expand(sampler(FaultyReadout(seed=0)), programs, shots)


@pytest.mark.parametrize("bits", range(1, 12))
def test_flip_masks_are_complement_pairs_that_cancel_signs_of_up_to_three_bits(bits: int) -> None:
    masks = TwirledReadout(seed=bits).flip_masks(bits)
    assert len(set(masks)) == len(masks) == min(2**bits, 32 if bits > 8 else 16)
    assert all(first ^ second == 2**bits - 1 for first, second in zip(masks[::2], masks[1::2], strict=True))
    for watched in range(1, 2**bits):
        if watched.bit_count() <= 3:
            assert sum((-1) ** (mask & watched).bit_count() for mask in masks) == 0


def test_flip_mask_seed_repeats_and_matters() -> None:
    assert TwirledReadout(seed=1).flip_masks(5) == TwirledReadout(seed=1).flip_masks(5)
    assert len({TwirledReadout(seed=seed).flip_masks(5) for seed in range(20)}) > 10


def test_flip_masks_are_uniform_over_seeds() -> None:
    first = np.bincount([TwirledReadout(seed=seed).flip_masks(3)[0] for seed in range(800)], minlength=8)
    assert np.abs(first - 100).max() < 5 * np.sqrt(100)


def test_linear_map_of_walsh_coefficients_is_its_dense_matrix() -> None:
    rng = np.random.default_rng(0)
    factors, weights, measure = rng.normal(size=8), rng.normal(size=(3, 8)), rng.dirichlet(np.ones(8))
    hadamard = np.array([[(-1) ** (a & b).bit_count() for b in range(8)] for a in range(8)])
    dense = hadamard @ np.diag(factors) @ hadamard / 8
    inner = LinearMap((rng.normal(size=8),))
    both = dense @ hadamard @ np.diag(inner.factors[0]) @ hadamard / 8
    np.testing.assert_allclose(LinearMap((factors,)).apply(measure), dense @ measure, atol=1e-12)
    counts = Distribution(measure, 1000)
    likely = (1000 * measure + 0.5) / 1004
    expected = (weights @ both) @ (np.diag(likely) - np.outer(likely, likely)) @ (weights @ both).T / 1000
    term = LinearTerm(counts, LinearMap((factors,)) @ inner)
    np.testing.assert_allclose(term.covariance(csr_array(weights)), expected, atol=1e-12)
    np.testing.assert_allclose(QuasiDistribution((term,)).variances(csr_array(weights)), np.diag(expected), atol=1e-12)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_all_masks_correct_any_readout_channel_exactly(bits: int) -> None:
    rng = np.random.default_rng(bits)
    confusion = 0.7 * np.eye(2**bits) + 0.3 * rng.dirichlet(np.ones(2**bits), size=2**bits)
    program = random_program(bits, seed=bits)
    mitigation = TwirledReadout()
    variants = expanded(mitigation, [program], None)
    (corrected,) = mitigation.combine(variants, observed_outcomes(variants, confusion)).outcomes
    np.testing.assert_allclose(corrected.probabilities, truth_of(program), atol=1e-7)
    assert np.abs(truth_of(program) @ confusion - truth_of(program)).max() > 0.01


def test_sixteen_masks_on_five_bits_leave_the_fourth_order_of_an_asymmetry() -> None:
    program = random_program(5, seed=0)
    error = []
    for e1 in (0.1, 0.2):
        confusion = dense_confusion(5, 0.01, e1, PAIRS)
        mitigation = TwirledReadout(seed=1)
        variants = expanded(mitigation, [program], None)
        (corrected,) = mitigation.combine(variants, observed_outcomes(variants, confusion)).outcomes
        error.append(np.abs(corrected.probabilities - truth_of(program)).max())
    assert error[0] < 1e-4
    assert error[1] < 5e-3
    whole = TwirledReadout(masks=32)
    variants = expanded(whole, [program], None)
    (corrected,) = whole.combine(variants, observed_outcomes(variants, dense_confusion(5, 0.01, 0.2, PAIRS))).outcomes
    np.testing.assert_allclose(corrected.probabilities, truth_of(program), atol=1e-7)


def test_ratio_of_means_is_unbiased_unlike_the_mean_of_ratios() -> None:
    e0, e1 = 0.01, 0.10
    q = cirq.LineQubit(0)
    one = ParameterizedCircuit(cirq.FrozenCircuit(cirq.Moment(cirq.X(q)), cirq.Moment(cirq.measure(q, key="z"))), (0,))
    mitigation = TwirledReadout()
    variants = expanded(mitigation, [one], None)
    outcomes = observed_outcomes(variants, dense_confusion(1, e0, e1))
    (corrected,) = mitigation.combine(variants, outcomes).outcomes
    assert corrected.probabilities @ [1, -1] == pytest.approx(-1, abs=1e-12)
    z = np.array([outcome.probabilities @ [1, -1] for outcome in outcomes])  # two masks of |0>, two of the circuit
    ratios = z[2:] / z[:2]  # the signs of the flips cancel
    predicted = -((1 - 2 * e1) / (1 - 2 * e0) + (1 - 2 * e0) / (1 - 2 * e1)) / 2
    assert ratios.mean() == pytest.approx(predicted)
    assert predicted == pytest.approx(-1.0207, abs=1e-4)


def test_twirled_readout_sensitivities_are_finite_differences() -> None:
    program = random_program(3, seed=2)
    mitigation = TwirledReadout(calibration_shots=80_000)
    variants = expanded(mitigation, [program], [80_000])
    rng = np.random.default_rng(0)
    outcomes = counted(observed_outcomes(variants, dense_confusion(3, 0.02, 0.1, PAIRS)), variants.shots or (), rng)
    (corrected,) = mitigation.combine(variants, outcomes).outcomes
    assert isinstance(corrected, QuasiDistribution)
    (moved,) = corrected.shared.values()
    calibration = variants.programs[0]
    at, mask = calibration.requests[0], int("".join(str(int(v)) for v in calibration.points[0].values()), 2)
    shift = np.zeros(8, dtype=int)
    shift[[0, 5]] = -40, 40  # one of eight masks, before the data: 40 shots of 80,000 in all
    changed = list(outcomes)
    changed[at] = Distribution.from_counts(outcomes[at].counts + shift)
    (after,) = mitigation.combine(variants, changed).outcomes
    undone = shift[np.arange(8) ^ mask] / 80_000
    np.testing.assert_allclose(after.probabilities - corrected.probabilities, moved @ undone, rtol=0.01, atol=1e-7)


def with_random_angles(model: hq.Model, seed: int) -> hq.Model:
    """Return the model with random angles."""
    angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(model.params))
    return model.with_params(dict(zip(model.params, angles.tolist(), strict=True)))


def attributed(seed: int = 0) -> tuple[Plan, Array]:
    """Return the resolved test of one input, and the exact attributions Re x_k (Mx)_k."""
    model = with_random_angles(hq.ring_ansatz(3, 2), seed)
    x = np.random.default_rng(seed).normal(size=8)
    x /= np.linalg.norm(x)
    return plan(hq.ResolvedHadamardTest(), model, [BilinearTerm(x, x)]), (x * model.observable_action(x)).real


@pytest.mark.parametrize("calibration_shots", [1_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_twirled_readout_pulls_have_unit_width(calibration_shots: int) -> None:
    attribution_plan, exact = attributed()
    mitigation = TwirledReadout(calibration_shots=calibration_shots)
    variants = expanded(mitigation, [ParameterizedCircuit(attribution_plan.circuits[0].circuit.freeze(), (0,))], [20_000])
    exactly = observed_outcomes(variants, dense_confusion(4, 0.01, 0.10, PAIRS))
    rng = np.random.default_rng(calibration_shots)
    pulls, sums, naive = [], [], []
    for _ in range(800):
        estimate = attribution_plan.decode(mitigation.combine(variants, counted(exactly, variants.shots or (), rng)).outcomes)
        error = estimate.values - exact
        pulls.append(error / estimate.stderr)
        sums.append(error.sum() / estimate.sum_stderr)
        (outcome,) = estimate.outcomes
        naive.append(error / np.sqrt(outcome.variances(attribution_plan.circuits[0].weights)))
    widths = np.std(pulls, axis=0)
    assert widths.min() > 0.9
    assert widths.max() < 1.1
    assert 0.9 < np.std(sums) < 1.1
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.2  # the ratio's own bias, of the order of 1/calibration_shots
    if calibration_shots == 1_000:
        assert np.std(naive, axis=0).max() > 1.3  # errors of counts alone are too small


@pytest.mark.parametrize(
    "faults",
    [{"e0": 0.01, "e1": 0.10}, {"e0": 0.02, "e1": 0.20}, {"pairs": PAIRS}, {"e0": 0.01, "e1": 0.10, "pairs": PAIRS}],
    ids=["asymmetric", "strong", "correlated", "both"],
)
def test_twirled_readout_maps_are_unbiased_at_ten_million_shots(faults: dict[str, object]) -> None:
    attribution_plan, exact = attributed(seed=1)
    circuit = attribution_plan.circuits[0].circuit.freeze()
    engine = sampler(FaultyReadout(circuit[-1].operations[0].qubits, seed=1, **faults))  # type: ignore[arg-type]
    mitigation = TwirledReadout(calibration_shots=10_000_000)
    variants = mitigation.expand(engine, [ParameterizedCircuit(circuit, (0,))], [10_000_000])
    outcomes = engine.execute(variants.programs, variants.shots)
    estimate = attribution_plan.decode(mitigation.combine(variants, outcomes).outcomes)
    raw = attribution_plan.decode(engine.execute([ParameterizedCircuit(circuit, (0,))], [10_000_000]))
    assert np.abs((estimate.values - exact) / estimate.stderr).max() < 4
    assert np.linalg.norm(raw.values - exact) > 10 * np.linalg.norm(estimate.values - exact)


def test_twirled_program_is_one_sweep_that_shares_its_shots() -> None:
    mitigation = TwirledReadout(masks=8, calibration_shots=1_003)
    programs = [
        random_program(4, 0),
        ParameterizedCircuit(random_program(4, 1).circuit, (1,)),
        ParameterizedCircuit(random_program(2, 2).circuit, (2,)),
    ]
    variants = expanded(mitigation, programs, [1_001, 5, 100])
    assert [len(program.points) for program in variants.programs] == [8, 4, 8, 5, 4, 8, 4]  # two registers, at both ends
    assert sorted(r for program in variants.programs for r in program.requests) == list(range(41))
    shots = np.array(variants.shots)
    taken = [int(shots[list(program.requests)].sum()) for program in variants.programs]
    assert taken == [501, 501, 1_001, 5, 100, 502, 502]
    assert np.ptp(shots[list(variants.programs[2].requests)]) == 1


def test_twirled_readout_of_mitigated_outcomes() -> None:
    program = random_program(3, seed=3)
    mitigation = TwirledReadout(calibration_shots=8_000)
    variants = expanded(mitigation, [program], [8_000])
    plain = counted(observed_outcomes(variants, dense_confusion(3, 0.01, 0.1)), variants.shots or (), np.random.default_rng(1))
    nested = [QuasiDistribution((LinearTerm(outcome),)) for outcome in plain]
    weights = csr_array(np.random.default_rng(2).normal(size=(4, 8)))
    (one,), (other,) = mitigation.combine(variants, plain).outcomes, mitigation.combine(variants, nested).outcomes
    np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-12)
    np.testing.assert_allclose(one.variances(weights), other.variances(weights), rtol=0.05)  # each mask smoothed apart
    assert one.shots == other.shots == 8_000


@pytest.mark.parametrize("estimator", [hq.ResolvedHadamardTest(), hq.HadamardTest()], ids=["resolved", "Hadamard"])
def test_twirled_readout_on_a_virtual_processor_gives_the_exact_map(estimator: hq.Estimator) -> None:
    model = with_random_angles(hq.ring_ansatz(2, 1), 0)
    x = np.array([0.1, 0.5, -0.3, 0.8])
    engine = hq.virtual("willow_pink", noise="readout")  # serialises and validates every job as the service does
    corrected = hq.integrated_gradients(
        model, x, baseline=0, estimator=estimator, engine=engine, shots=None, mitigation=TwirledReadout()
    )
    np.testing.assert_allclose(corrected.values, (x * model.observable_action(x)).real, atol=1e-6)
    raw = hq.integrated_gradients(model, x, baseline=0, estimator=estimator, engine=engine, shots=None)
    assert np.abs(raw.values - corrected.values).max() > 1e-3


def test_flips_are_symbols_beside_those_of_the_sweep_on_the_device() -> None:
    a, b = cirq.LineQubit.range(2)
    angles = (0.3, 1.0, 2.2)
    circuits = [cirq.Circuit(cirq.ry(t)(a), cirq.ry(2 * t)(b), cirq.CZ(a, b), cirq.ry(1)(a)) for t in angles]
    engine = hq.virtual("willow_pink", noise="readout")
    programs = engine.compile([cirq.Circuit(c, cirq.Moment(cirq.measure(a, b, key="z"))) for c in circuits])
    assert [len(program.points) for program in programs] == [3]  # a sweep before there are flips
    mitigation = TwirledReadout()
    variants = mitigation.expand(engine, programs, None)
    assert engine.processor is not None
    for program in variants.programs:
        engine.processor.device.validate_circuit(program.circuit)
        sent = cg.CIRCUIT_SERIALIZER.serialize(program.circuit.unfreeze())
        received = cg.CIRCUIT_SERIALIZER.deserialize(sent)
        assert cirq.parameter_names(received) == cirq.parameter_names(program.circuit)
        assert len(list(received.all_operations())) == len(list(program.circuit.all_operations()))
        assert all(set(point) == cirq.parameter_names(program.circuit) for point in program.points)
        *_, flips, last = program.circuit
        assert len(last.operations) == 1
        assert flips.qubits == last.qubits
    corrected = mitigation.combine(variants, engine.execute(variants.programs, None)).outcomes
    expected = [np.abs(circuit.unitary(qubit_order=[a, b])[:, 0]) ** 2 for circuit in circuits]
    np.testing.assert_allclose([outcome.probabilities for outcome in corrected], expected, atol=1e-6)


def test_damping_factors_near_zero_are_rejected_with_their_value() -> None:
    mitigation = TwirledReadout(calibration_shots=100)
    variants = expanded(mitigation, [random_program(4, 0)], [100])
    outcomes = counted(
        observed_outcomes(variants, dense_confusion(4, 0.2, 0.2)), variants.shots or (), np.random.default_rng(0)
    )
    with pytest.raises(ValueError, match=r"parity of bits [01]{4} to -?0\.\d+ \+- 0\.\d+, too close to 0 .* calibration_shots"):
        mitigation.combine(variants, outcomes)


def test_twirled_readout_summary_reports_the_strongest_damping() -> None:
    mitigation = TwirledReadout()
    variants = expanded(mitigation, [random_program(3, 0)], None)
    (note,) = mitigation.combine(variants, observed_outcomes(variants, dense_confusion(3, 0.05, 0.05))).summary.notes
    assert "0.729" in note  # (1 - .1)**3


def test_invalid_twirled_readout_is_rejected() -> None:
    with pytest.raises(ValueError, match="power of 2"):
        TwirledReadout(masks=12)
    with pytest.raises(ValueError, match="at least two per mask"):
        TwirledReadout(calibration_shots=3)
    qubits = cirq.LineQubit.range(12)
    wide = ParameterizedCircuit(cirq.FrozenCircuit(cirq.Moment(cirq.measure(*qubits, key="z"))), (0,))
    with pytest.raises(ValueError, match=r"measures 12 bits.* 4\*\*11"):
        expanded(TwirledReadout(), [wide], None)
    twice = expanded(TwirledReadout(), [random_program(2, 0)], None).programs
    with pytest.raises(ValueError, match="twirl readout only once"):
        expanded(TwirledReadout(), list(twice), None)
