"""Folding, Pauli twirling and dynamical decoupling: equivalent circuits that the device takes, and their combined outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import cirq
import numpy as np
import pytest
import sympy
from oracle import distribution
from scipy.sparse import csr_array
from strategies import Array

import hattriq_cirq as hq
from calibration.gates.folding import allocate_shots, fold
from calibration.gates.mitigations import DynamicalDecoupling, PauliTwirling, ZeroNoiseExtrapolation
from calibration.gates.pauli_twirling import twirl
from calibration.sequence import MitigationSequence
from hattriq_cirq.circuits.errors import CircuitRefusedError
from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.estimators.plan import plan
from hattriq_cirq.execution import Engine
from hattriq_cirq.pipeline.mitigation import Mitigation
from hattriq_cirq.pipeline.prepare import bilinear_terms

X = np.random.default_rng(3).normal(size=(2, 4))
MODEL = hq.train(hq.ring_ansatz(2, 2), X, [1, -1], seed=0, epochs=3).model
PLANS = [plan(hq.ResolvedHadamardTest(), MODEL, bilinear_terms(x, np.zeros((1, 4)), None)) for x in X]
every_mitigation = pytest.mark.parametrize(
    "mitigation", [ZeroNoiseExtrapolation(), PauliTwirling(16), DynamicalDecoupling()], ids=lambda m: m.describe()
)


@lru_cache
def compiled() -> tuple[Engine, tuple[ParameterizedCircuit, ...]]:
    """Return two requests as one sweep on a virtual processor without noise."""
    engine = hq.virtual("willow_pink", noise="none")
    programs = engine.compile([p.circuits[0].circuit for p in PLANS])
    assert [len(program.points) for program in programs] == [2]
    return engine, tuple(programs)


def requested(programs: Sequence[ParameterizedCircuit]) -> dict[int, Array]:
    """Return the distribution of each request without noise."""
    return {
        request: distribution(cirq.resolve_parameters(program.circuit, dict(point)))
        for program in programs
        for request, point in zip(program.requests, program.points, strict=True)
    }


def two_qubit_gates(circuit: cirq.AbstractCircuit) -> int:
    return sum(op.gate == cirq.CZ for op in circuit.all_operations())


# all of them


@every_mitigation
def test_gate_mitigation_variants_are_equivalent_and_run_on_the_device(mitigation: Mitigation) -> None:
    engine, programs = compiled()
    assert engine.processor is not None
    source = requested(programs)
    variants = mitigation.expand(engine, programs, None)
    results = requested(variants.programs)
    assert sorted(results) == list(range(len(results)))
    for program in variants.programs:
        engine.processor.device.validate_circuit(program.circuit)
        assert [cirq.is_measurement(op) for op in program.circuit[-1]] == [True]
        assert program.circuit[-1].qubits == programs[0].circuit[-1].qubits
    combined = mitigation.combine(variants, [Distribution(results[i], None) for i in range(len(results))]).outcomes
    for request, given in source.items():
        for i in range(request, len(results), len(source)):
            np.testing.assert_allclose(results[i], given, rtol=0, atol=1e-6)
        np.testing.assert_allclose(combined[request].probabilities, given, rtol=0, atol=1e-6)
        assert combined[request].shots is None


@every_mitigation
def test_gate_mitigation_without_noise_gives_the_exact_map(mitigation: Mitigation) -> None:
    exact = hq.integrated_gradients(MODEL, X, baseline=0).values
    a = hq.integrated_gradients(
        MODEL, X, baseline=0, estimator=hq.ResolvedHadamardTest(), engine=compiled()[0], mitigation=mitigation
    )
    np.testing.assert_allclose(a.values, exact, rtol=0, atol=1e-6 * np.abs(X).max() ** 2 * 4)


@every_mitigation
def test_gate_mitigation_variants_share_the_shots_of_a_request(mitigation: Mitigation) -> None:
    engine, programs = compiled()
    variants = mitigation.expand(engine, programs, [1000, 777])
    assert variants.shots is not None
    assert [sum(variants.shots[0::2]), sum(variants.shots[1::2])] == [1000, 777]
    assert min(variants.shots) >= 1
    if not isinstance(mitigation, DynamicalDecoupling):
        with pytest.raises(ValueError, match=r"shots=2 of a circuit must be at least (3|16)"):
            mitigation.expand(engine, programs, [1000, 2])


# extrapolation


@pytest.mark.parametrize(
    ("factors", "degree", "coefficients"),
    [
        ((1, 3, 5), 1, [13 / 12, 1 / 3, -5 / 12]),
        ((1, 3), 1, [3 / 2, -1 / 2]),
        ((1, 3, 5), 2, [15 / 8, -5 / 4, 3 / 8]),
    ],
)
def test_extrapolation_coefficients_by_least_squares(factors: tuple[int, ...], degree: int, coefficients: list[float]) -> None:
    np.testing.assert_allclose(ZeroNoiseExtrapolation(factors, degree).coefficients, coefficients, rtol=1e-12)


@pytest.mark.parametrize("degree", [1, 2])
def test_extrapolation_of_a_polynomial_decay_is_exact_with_its_variance(degree: int) -> None:
    """Two outcomes with probability p(factor); the variance is that of a sum of independent counts."""
    zne = ZeroNoiseExtrapolation(degree=degree)
    engine, programs = compiled()
    variants = zne.expand(engine, programs, [12_000, 12_000])
    chances = [0.9 - 0.05 * f + (0.004 * f**2 if degree == 2 else 0) for f in (1, 1, 3, 3, 5, 5)]
    assert variants.shots is not None
    given = [Distribution(np.array([p, 1 - p]), n) for p, n in zip(chances, variants.shots, strict=True)]
    first, second = zne.combine(variants, given).outcomes
    np.testing.assert_allclose([first.probabilities, second.probabilities], [[0.9, 0.1]] * 2, atol=1e-12)
    weights = csr_array(np.array([[1.0, 0.0]]))
    terms = zip(zne.coefficients, chances[::2], variants.shots[::2], strict=True)
    expected = sum(c**2 * p * (1 - p) / n for c, p, n in terms)
    np.testing.assert_allclose(first.variances(weights), [expected], rtol=2e-3)
    shares = np.array(variants.shots[::2]) / 12_000
    np.testing.assert_allclose(shares, np.abs(zne.coefficients) / np.abs(zne.coefficients).sum(), atol=1e-3)


def test_folding_repeats_the_circuit_and_keeps_its_symbols() -> None:
    _, (program,) = compiled()
    threefold = fold(program.circuit, 3)
    assert two_qubit_gates(threefold) == 3 * two_qubit_gates(program.circuit) > 0
    assert cirq.parameter_names(threefold) == cirq.parameter_names(program.circuit) != set()
    symbolic = [op for op in threefold.all_operations() if cirq.is_parameterized(op)]
    assert all(isinstance(op.gate, cirq.PhasedXZGate) for op in symbolic)
    assert fold(program.circuit, 1) == program.circuit


def test_folded_circuit_that_is_too_long_is_rejected_with_its_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, programs = compiled()
    processor = engine.processor
    assert processor is not None
    once = processor.duration_ns(programs[0].circuit)
    monkeypatch.setattr(Engine, "processor", replace(processor, max_duration_ns=4 * once))
    ZeroNoiseExtrapolation((1, 3)).expand(engine, programs, None)
    with pytest.raises(CircuitRefusedError, match=rf"folded 5 times takes {5 * once / 1000:.1f} us.*smaller factors"):
        ZeroNoiseExtrapolation().expand(engine, programs, None)


def test_folding_of_a_circuit_without_inverse_is_rejected() -> None:
    q = cirq.LineQubit(0)
    with pytest.raises(CircuitRefusedError, match="inverse"):
        fold(cirq.Circuit(cirq.reset(q), cirq.measure(q)), 3)


# twirling


def error_by_hand(angle: float, twirl: bool) -> Array:
    """Return P(00), ... of H H, CZ, exp(-i angle ZX / 2), H H on two qubits: the mean over all Paulis if twirled."""
    paulis = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])]
    h, cz = np.array([[1, 1], [1, -1]]) / np.sqrt(2), np.diag([1, 1, 1, -1])
    zx = np.kron(paulis[3], paulis[1])
    error = np.cos(angle / 2) * np.eye(4) - 1j * np.sin(angle / 2) * zx
    state = cz @ np.kron(h, h) @ np.array([1, 0, 0, 0])
    group = [np.kron(a, b) for a in paulis for b in paulis] if twirl else [np.eye(4)]
    return np.asarray(np.mean([np.abs(np.kron(h, h) @ p.conj().T @ error @ p @ state) ** 2 for p in group], axis=0))


class _Slanted(cirq.NoiseModel):
    """Noise model with exp(-i angle ZX / 2) after each CZ."""

    def noisy_moment(self, moment: cirq.Moment, system_qubits: Sequence[cirq.Qid]) -> list[cirq.Moment]:
        errors = [cirq.MatrixGate(_ZX).on(*op.qubits) for op in moment if op.gate == cirq.CZ]
        return [moment, cirq.Moment(errors)] if errors else [moment]


ANGLE = 0.7
_ZX = np.cos(ANGLE / 2) * np.eye(4) - 1j * np.sin(ANGLE / 2) * np.kron(np.diag([1, -1]), np.array([[0, 1], [1, 0]]))


@pytest.mark.parametrize("twirl", [False, True])
def test_sixteen_twirls_of_one_gate_are_the_full_pauli_average(twirl: bool) -> None:
    a, b = cirq.LineQubit.range(2)
    hh = [cirq.H(a), cirq.H(b)]
    circuit = cirq.FrozenCircuit(hh, cirq.CZ(a, b), hh, cirq.measure(a, b, key="z"))
    engine = hq.cirq_simulator(noise=_Slanted())
    mitigation = PauliTwirling(16) if twirl else PauliTwirling(1)
    programs = [ParameterizedCircuit(circuit, (0,))]
    if twirl:
        variants = mitigation.expand(engine, programs, None)
        (results,) = mitigation.combine(variants, engine.execute(variants.programs, None)).outcomes
    else:
        (results,) = engine.execute(programs, None)
    np.testing.assert_allclose(results.probabilities, error_by_hand(ANGLE, twirl), rtol=0, atol=1e-9)


def test_twirled_sweep_has_each_point_in_every_gauge() -> None:
    _, (program,) = compiled()
    circuit, points = twirl(program.circuit, program.points, 4, (0,))
    assert len(points) == 4 * len(program.points)
    assert {frozenset(point) for point in points} == {frozenset(cirq.parameter_names(circuit))}
    assert two_qubit_gates(circuit) == two_qubit_gates(program.circuit)


def test_twirling_symbols_do_not_collide_with_those_of_the_circuit() -> None:
    a, b = cirq.LineQubit.range(2)
    turn = cirq.PhasedXZGate(**{f"{n}_exponent": sympy.Symbol(n[0] + "0") for n in ("x", "z", "axis_phase")})
    circuit = cirq.FrozenCircuit(turn(a), cirq.CZ(a, b), turn(b), cirq.CZ(a, b), turn(a), cirq.measure(a, b, key="z"))
    points = [{"x0": 0.3, "z0": 0.2, "a0": 0.9}, {"x0": 0.1, "z0": -0.2, "a0": 0.4}]
    made, results = twirl(circuit, points, 3, (1,))
    for i, point in enumerate(results):
        expected = distribution(cirq.resolve_parameters(circuit, points[i % 2]))
        np.testing.assert_allclose(distribution(cirq.resolve_parameters(made, dict(point))), expected, rtol=0, atol=1e-9)


def test_twirling_seed_repeats_and_matters() -> None:
    _, (program,) = compiled()

    def drawn(seed: int) -> list[tuple[float, ...]]:
        return [tuple(point.values()) for point in twirl(program.circuit, program.points, 3, (seed,))[1]]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_twirled_counts_are_pooled_and_corrected_outcomes_averaged() -> None:
    twirling = PauliTwirling(2)
    engine, programs = compiled()
    variants = twirling.expand(engine, programs, [10, 10])
    counts = [Distribution.from_counts(np.array(c)) for c in ([4, 1], [1, 4], [2, 3], [5, 0])]
    first, second = twirling.combine(variants, counts).outcomes
    measures = [QuasiDistribution.from_outcome(each) for each in (first, second)]
    pooled = [[term.counted.counts.tolist() for term in each.terms] for each in measures]
    assert pooled == [[[6, 4]], [[6, 4]]]
    mixed, _ = twirling.combine(variants, [QuasiDistribution.combined([1.0], [counts[0]]), *counts[1:]]).outcomes
    np.testing.assert_allclose(mixed.probabilities, [0.6, 0.4])
    assert mixed.shots == 10


# decoupling


def test_dynamical_decoupling_fills_idle_time() -> None:
    engine, programs = compiled()
    made = DynamicalDecoupling("XX_PAIR").expand(engine, programs, None).programs
    (point, _), (program,) = programs[0].points, programs
    before = cirq.resolve_parameters(program.circuit, dict(point))
    assert len(list(made[0].circuit.all_operations())) > len(list(before.all_operations()))
    assert len(made) == 2


# refusals, errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ZeroNoiseExtrapolation((1, 2)), "odd"),
        (lambda: ZeroNoiseExtrapolation((1,)), "more than"),
        (lambda: ZeroNoiseExtrapolation((3, 3)), "different"),
        (lambda: ZeroNoiseExtrapolation((1, 3), degree=2), "more than"),
        (lambda: ZeroNoiseExtrapolation(shares="best"), "shares"),  # type: ignore[arg-type]
        (lambda: PauliTwirling(0), "at least 1"),
        (lambda: DynamicalDecoupling("XYZ"), "one of DEFAULT"),
    ],
)
def test_invalid_gate_mitigation_settings_are_rejected(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=message):
        make()


def test_allocated_shots_sum_to_the_total() -> None:
    assert allocate_shots(10, [1, 0, 3]) == [3, 1, 6]
    assert sum(allocate_shots(1001, [0.3, 0.3, 0.4])) == 1001


def test_pulls_of_extrapolated_and_twirled_maps_have_unit_width() -> None:
    """Maps sampled from the noisy probabilities in the gauges of 20 seeds, against the mean over all without shot noise."""
    noisy = hq.virtual("willow_pink", noise="gates")
    _, programs = compiled()
    chosen, truth = [], np.zeros((len(PLANS), 4))
    for seed in range(20):
        mitigation = MitigationSequence([ZeroNoiseExtrapolation(), PauliTwirling(16, seed=seed)])
        variants = mitigation.expand(noisy, programs, [20_000, 20_000])
        exact = noisy.execute(variants.programs, None)
        chosen.append((mitigation, variants, exact))
        truth += [PLANS[i].decode([mean]).values / 20 for i, mean in enumerate(mitigation.combine(variants, exact).outcomes)]
    rng, pulls, sums = np.random.default_rng(0), [], []
    for mitigation, variants, exact in 15 * chosen:
        drawn = [
            Distribution.from_counts(rng.multinomial(n, d.probabilities))
            for n, d in zip(variants.shots or [], exact, strict=True)
        ]
        for i, results in enumerate(mitigation.combine(variants, drawn).outcomes):
            estimate = PLANS[i].decode([results])
            pulls.append((estimate.values - truth[i]) / estimate.stderr)
            sums.append((estimate.values - truth[i]).sum() / estimate.sum_stderr)
    assert 0.9 < np.std(pulls) < 1.1
    assert 0.9 < np.std(sums) < 1.1
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.3
