"""The circuit estimators: exact without sampling noise, and no circuit more than they need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cirq
import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Array, Case, amplitudes, cases, generators, random_case

from hattriq_cirq.attribution.quadrature import parse_rule
from hattriq_cirq.circuits.light_cone import light_cone
from hattriq_cirq.estimators import (
    BilinearTerm,
    Estimator,
    HadamardTest,
    ParallelHadamardTest,
    Plan,
    PolarizationShift,
    ResolvedHadamardTest,
    plan,
)
from hattriq_cirq.execution import Engine, cirq_simulator, qsim
from hattriq_cirq.models.ansatz import ring_ansatz
from hattriq_cirq.pipeline.prepare import bilinear_terms, estimate

EXACT = [(cirq_simulator(), 1e-10), (qsim(threads=1), 1e-6)]
RULES = ("riemann:3", "gauss-legendre:2")


def every_estimator(n: int) -> list[Estimator]:
    """All of them with all their options; fewer where circuits are large."""
    if n == 6:
        return [ResolvedHadamardTest(), HadamardTest(), PolarizationShift(), ParallelHadamardTest(3)]
    most = n + 1 if n <= 4 else 3
    parallel = [ParallelHadamardTest(m, weighted=weighted) for m in range(1, most + 1) for weighted in (True, False)]
    literal = [HadamardTest(literal=True)] if n <= 4 else []
    return [ResolvedHadamardTest(), HadamardTest(), PolarizationShift(), *literal, *parallel]


SOME = [ResolvedHadamardTest(), HadamardTest(), HadamardTest(literal=True), ParallelHadamardTest(2), PolarizationShift()]


def described(value: Estimator | int) -> str:
    return value.describe() if isinstance(value, Estimator) else str(value)


def unit(x: Array) -> Array:
    return np.asarray(x / np.linalg.norm(x))


def expected(case: Case, x: Array, references: Array, rule: str = "exact") -> Array:
    """The oracle's attributions, averaged over baselines."""
    judge = case.oracle()
    return np.asarray(np.mean([np.add(*judge.integrated_gradients(x, b, rule)) for b in np.atleast_2d(references)], axis=0))


def assert_exact(
    estimator: Estimator,
    case: Case,
    x: Array,
    references: Array,
    rule: str = "exact",
    engines: Sequence[tuple[Engine, float]] = EXACT,
) -> None:
    wanted = expected(case, x, references, rule)
    for engine, tolerance in engines:
        found = estimate(case.kept_model, x, baseline=references, estimator=estimator, engine=engine, shots=None, rule=rule)
        error = np.abs(found.values - wanted).max()
        assert error < tolerance, f"{estimator} on {engine.name}: {error:.1e}"
        assert not found.stderr.any()
        assert not found.covariance.any()
        assert found.shots == 0


def reference(kind: str, rng: np.random.Generator, features: int, imaginary: bool) -> Array:
    rows = [unit(amplitudes(rng, features, imaginary=imaginary)) for _ in range(2)]
    return {"zero": np.zeros(features), "vector": rows[0], "set": np.array(rows)}[kind]


def made(estimator: Estimator, case: Case, x: Array, b: Array) -> Plan:
    return plan(estimator, case.kept_model, bilinear_terms(x, np.atleast_2d(b), None))


# exact without sampling noise


@pytest.mark.parametrize("kind", ["zero", "vector", "set"])
@pytest.mark.parametrize("imaginary", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_every_estimator_is_exact(n: int, imaginary: bool, kind: str) -> None:
    rng = np.random.default_rng([n, imaginary])
    for seed in (0, 1) if n < 3 else (3 + imaginary,):  # real gates, then any
        case = random_case(n, seed, identity=bool(rng.integers(2)))
        x = unit(amplitudes(rng, 2**n, imaginary=imaginary))
        for estimator in every_estimator(n):
            assert_exact(estimator, case, x, reference(kind, rng, 2**n, imaginary))


@pytest.mark.parametrize("estimator", every_estimator(4), ids=described)
def test_four_qubits(estimator: Estimator) -> None:
    rng = np.random.default_rng(4)
    x, b = (unit(amplitudes(rng, 16, imaginary=True)) for _ in range(2))
    case = replace(random_case(4, 1), observable=cirq.X(cirq.LineQubit(0)) * cirq.Y(cirq.LineQubit(2)) * 0.6 + 0.5)
    assert_exact(estimator, case, x, b)


@pytest.mark.parametrize(
    ("n", "estimator"),
    [(n, e) for n in (5, 6) for e in every_estimator(n)],
    ids=described,
)
def test_five_and_six_qubits(n: int, estimator: Estimator) -> None:
    """Two Pauli strings on a random circuit, complex ends that differ in some components."""
    rng = np.random.default_rng(n)
    case = replace(random_case(n, 2), observable=0.8 * cirq.Z(cirq.LineQubit(0)) - 0.4 * cirq.Y(cirq.LineQubit(n - 1)))
    x, b = (unit(amplitudes(rng, 2**n, imaginary=True)) for _ in range(2))
    x[8:] = b[8:]
    assert_exact(estimator, case, x, b)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("estimator", SOME, ids=described)
def test_quadrature_rules_step_by_step(estimator: Estimator, rule: str) -> None:
    rng = np.random.default_rng(7)
    for imaginary in (False, True):
        x, b = (unit(amplitudes(rng, 4, imaginary=imaginary)) for _ in range(2))
        assert_exact(estimator, random_case(2, 1, identity=True), x, b, rule)
        assert_exact(estimator, random_case(2, 3), x, np.zeros(4), rule)


@settings(max_examples=20)
@given(case=cases(3), rng=generators, estimator=st.sampled_from(SOME), imaginary=st.booleans())
def test_inputs_of_any_norm_with_holes(case: Case, rng: np.random.Generator, estimator: Estimator, imaginary: bool) -> None:
    x, b = (amplitudes(rng, case.features, imaginary=imaginary) * (rng.random(case.features) < 0.6) for _ in range(2))
    scale = max(1.0, float(np.linalg.norm(x) + np.linalg.norm(b)) ** 2)
    assert_exact(estimator, case, x, b, engines=[(cirq_simulator(), 1e-10 * scale)])


@given(case=cases(3), rng=generators)
def test_the_imaginary_part_is_that_of_the_product(case: Case, rng: np.random.Generator) -> None:
    (matrix,) = case.matrices()
    for observable, m in ((case.observable, matrix), (case.observable + 0.7, matrix + 0.7 * np.eye(case.features))):
        x, b = (unit(amplitudes(rng, case.features, imaginary=True)) for _ in range(2))
        found = estimate(
            replace(case, observable=observable).model,
            x,
            baseline=b,
            estimator=ResolvedHadamardTest(part="imaginary"),
            engine=cirq_simulator(),
            shots=None,
        )
        np.testing.assert_allclose(found.values, ((x - b).conj() * (m @ (x + b))).imag, rtol=0, atol=1e-10)


@pytest.mark.parametrize("measured", [(0,), (2,), (0, 2), (2, 0), (1, 0, 2), ()])
def test_fewer_measured_qubits_give_marginal_sums(measured: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    case = random_case(3, 4, identity=True)
    x, b = (unit(amplitudes(rng, 8, imaginary=True)) for _ in range(2))
    estimator = ResolvedHadamardTest(measured=measured)
    found = estimate(case.model, x, baseline=b, estimator=estimator, engine=cirq_simulator(), shots=None)
    wanted = np.zeros(2 ** len(measured))
    for k, value in enumerate(expected(case, x, b)):
        wanted[int("0" + "".join(f"{k:03b}"[i] for i in measured), 2)] += value
    np.testing.assert_allclose(found.values, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("estimator", SOME, ids=described)
def test_data_qubits_may_have_any_name(estimator: Estimator) -> None:
    qubits = cirq.NamedQubit.range(2, prefix="ancilla")
    circuit = cirq.Circuit(cirq.ry(0.4)(qubits[0]), cirq.CNOT(*qubits), cirq.ry(1.1)(qubits[1]))
    case = Case(circuit, qubits, cirq.PauliSum() + cirq.Z(qubits[0]) * cirq.X(qubits[1]))
    assert_exact(estimator, case, unit(np.arange(1.0, 5.0)), np.zeros(4))


# the circuits


@pytest.mark.parametrize("imaginary", [False, True])
@pytest.mark.parametrize("n", [1, 3])
def test_every_circuit_ends_in_its_only_measurement(n: int, imaginary: bool) -> None:
    rng = np.random.default_rng(n)
    case = random_case(n, 1)
    x, b = (unit(amplitudes(rng, 2**n, imaginary=imaginary)) for _ in range(2))
    for estimator in every_estimator(n):
        extra = {"ResolvedHadamardTest": 1, "HadamardTest": 1, "PolarizationShift": 0}.get(type(estimator).__name__)
        for reading in made(estimator, case, x, b).circuits:
            measurements = [op for op in reading.circuit.all_operations() if cirq.is_measurement(op)]
            assert list(reading.circuit[-1].operations) == measurements
            assert len(measurements) == 1
            assert reading.weights.shape == (2**n, 2 ** len(measurements[0].qubits))
            wanted = estimator.m if isinstance(estimator, ParallelHadamardTest) else extra
            assert len(reading.circuit.all_qubits() - set(case.qubits)) == wanted


@settings(max_examples=12)
@given(case=cases(3), rng=generators, blank=st.booleans())
def test_only_components_that_matter_cost_circuits(case: Case, rng: np.random.Generator, blank: bool) -> None:
    n, features = len(case.qubits), case.features
    terms = sum(len(term) > 0 for term in case.observable)
    x = unit(amplitudes(rng, features))
    b = np.where(rng.random(features) < 0.5, x, 0 if blank else -0.5 * x)
    moved = int(np.count_nonzero(x != b))

    def count(estimator: Estimator, baseline: Array = b) -> int:
        return len(made(estimator, case, x, baseline).circuits)

    assert count(ResolvedHadamardTest()) == terms * (moved > 0)
    assert count(HadamardTest()) == count(HadamardTest(literal=True)) == terms * moved
    one_hot = blank and moved == np.count_nonzero(x + b) == 1
    assert count(PolarizationShift()) == terms * (1 if one_hot else 2 * moved)
    one = x * np.where(np.arange(features) == rng.integers(features), 0, 1)
    for m in range(1, n + 2):
        groups = -(-features // (2**m - 1)) if m <= n else 1
        assert count(ParallelHadamardTest(m), np.zeros(features)) == 2 * groups * terms
        assert count(ParallelHadamardTest(m), one) == 2 * terms
        assert count(ParallelHadamardTest(m)) <= 2 * terms * min(groups, moved)


@pytest.mark.parametrize("estimator", SOME, ids=described)
def test_what_is_known_beforehand_costs_nothing(estimator: Estimator) -> None:
    """No step, a blank sum of both ends, or an observable that is the identity alone."""
    case, x = random_case(2, 1, identity=True), unit(np.arange(1.0, 5.0))
    trivial = replace(case, observable=cirq.PauliSum() + 0.7)
    for b, wanted in ((x, np.zeros(4)), (-x, np.zeros(4))):
        found = estimate(case.model, x, baseline=b, estimator=estimator, engine=cirq_simulator(seed=1), shots=100)
        assert found.weights == ()
        assert found.shots == 0
        np.testing.assert_array_equal(found.values, wanted)
    found = estimate(trivial.model, x, baseline=0, estimator=estimator, engine=cirq_simulator(seed=1), shots=100)
    assert found.weights == ()
    np.testing.assert_allclose(found.values, 0.7 * x**2, rtol=0, atol=1e-15)
    assert found.sum_stderr == 0


@pytest.mark.parametrize("estimator", SOME, ids=described)
def test_rules_cost_a_plan_for_each_node(estimator: Estimator) -> None:
    case, rng = random_case(2, 1), np.random.default_rng(1)
    x, b = (unit(amplitudes(rng, 4)) for _ in range(2))
    steps = plan(estimator, case.model, bilinear_terms(x, b[np.newaxis], parse_rule("riemann:3")))
    assert len(steps.circuits) == 3 * len(made(estimator, case, x, b).circuits)


def test_eight_qubits_build() -> None:
    x = unit(amplitudes(np.random.default_rng(8), 256))
    model = ring_ansatz(8, 2)
    turned = model.with_params(dict.fromkeys(model.params, 0.3))
    for estimator, count in ((ResolvedHadamardTest(), 1), (HadamardTest(), 256)):
        assert len(plan(estimator, turned, [BilinearTerm(x, x)]).circuits) == count


# the light cone


@settings(max_examples=40)
@given(case=cases(5))
def test_gates_outside_the_light_cone_cancel(case: Case) -> None:
    for term in case.observable:
        whole, cone = (oracle.unitary(c, case.qubits) for c in (case.circuit, light_cone(case.circuit, term)))
        pauli = oracle.pauli_matrix(term, case.qubits)
        np.testing.assert_allclose(cone.conj().T @ pauli @ cone, whole.conj().T @ pauli @ whole, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("layers", "kept"), [(0, 2), (1, 2 + 2 + 6), (2, 2 + 2 + 6 + 4 + 10)])
def test_the_light_cone_of_a_ring_widens_by_a_neighbour_a_layer(layers: int, kept: int) -> None:
    """Z on qubit 0 of 8: the last turn of 1 qubit, then 2 CZ and 3 qubits turned, then 4 CZ and 5 qubits turned."""
    model = ring_ansatz(8, layers)
    turned = model.with_params(dict.fromkeys(model.params, 0.3)).resolved_circuit
    assert len(list(light_cone(turned, cirq.PauliString(cirq.Z(cirq.LineQubit(0)))).all_operations())) == kept


# refusals


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (ResolvedHadamardTest, {"part": "both"}, "part"),
        (ResolvedHadamardTest, {"measured": (0, 0)}, "repeat"),
        (ParallelHadamardTest, {"m": 0}, "at least 1"),
        (ResolvedHadamardTest, {"allocation": "eror"}, "allocation"),
        (HadamardTest, {"allocation": "eror"}, "allocation"),
        (ParallelHadamardTest, {"m": 1, "allocation": "eror"}, "allocation"),
        (PolarizationShift, {"allocation": "eror"}, "allocation"),
    ],
)
def test_unknown_options_are_refused(build: Callable[..., Estimator], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**options)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (ParallelHadamardTest(4), "at most n_qubits"),
        (ResolvedHadamardTest(measured=(2,)), "measured"),
        (ResolvedHadamardTest(measured=(1, -1)), "measured"),
    ],
)
def test_options_that_do_not_fit_the_model_are_refused(estimator: Estimator, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(estimator, random_case(2, 1), np.ones(4), np.zeros(4))
