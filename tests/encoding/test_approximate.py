"""Approximate encoding: reported and simulated states agree, and layers and sweeps raise the fidelity."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce

import cirq
import numpy as np
import pytest
from numpy.typing import NDArray

import hattriq_cirq as hq
from hattriq_cirq.encoding.approximate import ApproximateEncoder, ApproximateEncoding, approximate_encoding
from hattriq_cirq.encoding.exact import encode
from hattriq_cirq.estimators import Estimator
from hattriq_cirq.workflows.map_effect import map_effect

Vector = NDArray[np.float64]


def line(n: int) -> list[cirq.Qid]:
    return list(cirq.LineQubit.range(n))


def random_vector(n: int, seed: int = 0) -> Vector:
    vector: Vector = np.random.default_rng(seed).normal(size=2**n)
    return vector


def matrix_product_vector(n: int, bond: int, seed: int = 0) -> Vector:
    """Return a random matrix-product state, contracted site by site."""
    rng = np.random.default_rng(seed)
    state = rng.normal(size=(2, bond))
    for _ in range(n - 2):
        state = np.einsum("ka,asb->ksb", state, rng.normal(size=(bond, 2, bond))).reshape(-1, bond)
    return np.asarray(np.einsum("ka,as->ks", state, rng.normal(size=(bond, 2))).reshape(-1))


def simulated(encoding: ApproximateEncoding, n: int) -> NDArray[np.complex128]:
    simulator = cirq.Simulator(dtype=np.complex128)
    return simulator.simulate(encoding.circuit, qubit_order=line(n)).final_state_vector.astype(np.complex128)


@pytest.mark.parametrize("n", [2, 3, 5, 8])
@pytest.mark.parametrize("sweeps", [0, 5])
def test_approximate_encoding_reports_the_simulated_state(n: int, sweeps: int) -> None:
    x = 3 * random_vector(n, seed=n)
    encoding = approximate_encoding(x, line(n), layers=2, sweeps=sweeps)
    state = simulated(encoding, n)
    assert abs(np.vdot(state, x / np.linalg.norm(x))) ** 2 == pytest.approx(encoding.fidelity, abs=1e-10)
    assert abs(np.vdot(state, encoding.vector)) == pytest.approx(1, abs=1e-10)
    assert encoding.vector @ x > 0
    assert (encoding.vector @ x) ** 2 / (x @ x) == pytest.approx(encoding.fidelity, abs=1e-12)
    assert encoding.layers == 2


@pytest.mark.parametrize("n", [3, 4, 7])
def test_approximate_encoding_reports_the_compiled_gate_count(n: int) -> None:
    encoding = approximate_encoding(random_vector(n), line(n), layers=3, sweeps=2)
    compiled = cirq.optimize_for_target_gateset(encoding.circuit, gateset=cirq.CZTargetGateset())
    cz = [operation for operation in compiled.all_operations() if len(operation.qubits) == 2]
    assert encoding.two_qubit_gates == len(cz) == 2 * (n - 1) * 3 - 1
    assert all(operation.gate == cirq.CZ for operation in cz)
    assert all(abs(a.x - b.x) == 1 for a, b in (operation.qubits for operation in cz))  # type: ignore[attr-defined]


@pytest.mark.parametrize("sweeps", [0, 3])
@pytest.mark.parametrize("seed", range(5))
def test_fidelity_does_not_decrease_with_layers(sweeps: int, seed: int) -> None:
    x = random_vector(5, seed)
    fidelities = [approximate_encoding(x, line(5), layers=layers, sweeps=sweeps).fidelity for layers in range(1, 6)]
    assert np.all(np.diff(fidelities) > -1e-12)
    assert fidelities[-1] > fidelities[0]


@pytest.mark.parametrize("seed", range(5))
def test_fidelity_does_not_decrease_with_sweeps(seed: int) -> None:
    x = random_vector(6, seed)
    fidelities = [approximate_encoding(x, line(6), layers=1, sweeps=sweeps).fidelity for sweeps in (0, 1, 4, 16)]
    assert np.all(np.diff(fidelities) > -1e-12)
    assert fidelities[-1] > fidelities[0] + 1e-3


@pytest.mark.parametrize("bond", [1, 2])
@pytest.mark.parametrize("n", [2, 3, 6, 9])
@pytest.mark.parametrize("sweeps", [0, 2])
def test_approximate_encoding_is_exact_up_to_bond_dimension_2(bond: int, n: int, sweeps: int) -> None:
    encoding = approximate_encoding(matrix_product_vector(n, bond), line(n), layers=1, sweeps=sweeps)
    assert encoding.fidelity == pytest.approx(1, abs=1e-10)
    assert encoding.two_qubit_gates <= 2 * (n - 1) - 1


@pytest.mark.parametrize("n", [3, 5])
def test_approximate_encoding_is_exact_for_signed_basis_states(n: int) -> None:
    for k in range(2**n):
        encoding = approximate_encoding(-np.eye(2**n)[k], line(n), layers=1)
        np.testing.assert_allclose(encoding.vector, -np.eye(2**n)[k], atol=1e-10)


def test_one_layer_is_inexact_beyond_bond_dimension_2() -> None:
    assert approximate_encoding(matrix_product_vector(6, 4), line(6), layers=1).fidelity < 0.999


def test_min_fidelity_is_reached_with_the_fewest_layers() -> None:
    x = random_vector(6) + 2
    expected = approximate_encoding(x, line(6), min_fidelity=0.97)
    assert expected.fidelity >= 0.97
    assert expected.two_qubit_gates <= sum(len(op.qubits) == 2 for op in encode(x, line(6)).all_operations())
    assert approximate_encoding(x, line(6), layers=expected.layers).fidelity == expected.fidelity
    assert expected.layers > 1
    assert approximate_encoding(x, line(6), layers=expected.layers - 1).fidelity < 0.97


def test_min_fidelity_that_costs_more_than_exact_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"is not reached: .* exact circuit, give 0"):
        approximate_encoding(random_vector(4), line(4), min_fidelity=0.999999, sweeps=2)


def test_approximate_encoding_is_deterministic() -> None:
    x = random_vector(5)
    first, second = (approximate_encoding(x, line(5), layers=2) for _ in range(2))
    assert first.circuit == second.circuit
    np.testing.assert_array_equal(first.vector, second.vector)
    with pytest.raises(ValueError, match="read-only"):
        first.vector[0] = 1


def test_approximate_encoding_of_joint_vectors() -> None:
    encoder = partial(approximate_encoding, layers=4)
    x = np.abs(random_vector(4))
    joint = np.concatenate([x - 0.5, x + 0.5])
    encoding = encoder(joint, [cirq.NamedQubit("a"), *line(4)])
    assert encoding.vector.shape == (32,)
    assert encoding.fidelity > 0.95


def trained_model(n: int) -> hq.Model:
    model = hq.ring_ansatz(n, 2)
    angles = np.random.default_rng(1).uniform(-3, 3, len(model.params))
    return model.with_params(dict(zip(model.params, angles.tolist(), strict=True)))


@pytest.mark.parametrize("baseline", [0.0, 0.2])
def test_map_effect_compares_integrated_gradients(baseline: float) -> None:
    model, x = trained_model(5), 2 * random_vector(5)
    encoding = approximate_encoding(x, model.qubits, layers=1)
    held = float(np.linalg.norm(x)) * encoding.vector
    exact, other = (np.asarray(hq.integrated_gradients(model, p, baseline=baseline).values) for p in (x, held))
    effect = map_effect(model, x, encoding, baseline)
    assert effect.cosine == pytest.approx(exact @ other / np.linalg.norm(exact) / np.linalg.norm(other), abs=1e-12)
    assert effect.relative_error == pytest.approx(np.linalg.norm(other - exact) / np.linalg.norm(exact), abs=1e-12)
    assert effect.cosine < 0.9999


def test_map_effect_of_an_exact_encoding_is_zero() -> None:
    model, x = trained_model(4), matrix_product_vector(4, 2)
    effect = map_effect(model, x, approximate_encoding(x, model.qubits, layers=1))
    assert effect.cosine == pytest.approx(1, abs=1e-10)
    assert effect.relative_error == pytest.approx(0, abs=1e-5)


def test_map_effect_of_a_zero_map_is_rejected() -> None:
    model, x = trained_model(3), np.ones(8)
    with pytest.raises(ValueError, match="zero everywhere"):
        map_effect(model, x, approximate_encoding(x, model.qubits, layers=1), baseline=x)


@pytest.mark.parametrize(
    ("x", "n", "options", "message"),
    [
        (np.ones(8) * 1j, 3, {"layers": 1}, "complex"),
        (np.zeros(8), 3, {"layers": 1}, "zero vector"),
        (np.full(8, np.nan), 3, {"layers": 1}, "not finite"),
        (np.ones(8), 4, {"layers": 1}, "must end in"),
        (np.ones((2, 8)), 3, {"layers": 1}, "one vector"),
        (np.ones(2), 1, {"layers": 1}, "at least 2"),
        (np.ones(8), 3, {}, "either layers or min_fidelity"),
        (np.ones(8), 3, {"layers": 1, "min_fidelity": 0.9}, "either layers or min_fidelity"),
        (np.ones(8), 3, {"layers": 0}, "layers=0 must be at least 1"),
        (np.ones(8), 3, {"min_fidelity": 1.0}, "min_fidelity=1.0 must lie between"),
        (np.ones(8), 3, {"layers": 1, "sweeps": -1}, "sweeps=-1 must not be negative"),
    ],
)
def test_approximate_encoding_rejects_invalid_arguments(x: Vector, n: int, options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        approximate_encoding(x, line(n), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "estimator",
    [hq.ResolvedHadamardTest, hq.HadamardTest, hq.PolarizationShift, partial(hq.ParallelHadamardTest, 2)],
    ids=["resolved", "hadamard", "polarization", "parallel"],
)
def test_estimators_accept_the_approximate_encoder(estimator: Callable[..., Estimator]) -> None:
    """A joint vector of a product state has bond dimension 2, so that one layer is exact, and therefore the map as well."""
    angles = np.random.default_rng(2).uniform(0.2, 1.3, size=3)
    x = reduce(np.kron, [np.array([np.cos(a), np.sin(a)]) for a in angles])
    model = trained_model(3)
    chosen = estimator(encoder=ApproximateEncoder(layers=1))
    assert chosen.describe().endswith(", approximate encoding of 1 layer")
    read = hq.integrated_gradients(model, x, baseline=0.0, estimator=chosen, engine=hq.cirq_simulator())
    np.testing.assert_allclose(read.values, hq.integrated_gradients(model, x, baseline=0.0).values, atol=1e-6)


def test_approximate_encoder_saves_gates_and_changes_the_map() -> None:
    model, x = trained_model(6), random_vector(6)
    exact = hq.integrated_gradients(model, x, baseline=0.0)
    gates = []
    for chosen in (hq.ResolvedHadamardTest(), hq.ResolvedHadamardTest(encoder=ApproximateEncoder(layers=2, sweeps=5))):
        read = hq.integrated_gradients(model, x, baseline=0.0, estimator=chosen, engine=hq.qsim())
        gates.append(read.cost.two_qubit_gates)
    assert gates[1] < gates[0] - 30
    assert np.linalg.norm(read.values - exact.values) / np.linalg.norm(exact.values) > 1e-3


def test_literal_hadamard_test_rejects_another_encoder() -> None:
    with pytest.raises(ValueError, match="leave out encoder or literal"):
        hq.HadamardTest(literal=True, encoder=ApproximateEncoder(layers=1))
