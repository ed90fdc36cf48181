"""The adjoint gradient against finite differences and against the parameter-shift rule of the dense oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import cirq
import numpy as np
import oracle
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Array, amplitudes, assert_close, generators, random_observable

from hattriq_cirq.models.ansatz import grid_ansatz, ring_ansatz
from hattriq_cirq.models.gradients import TrainableProgram
from hattriq_cirq.models.model import Model

A, B, C = sympy.symbols("a b c")
Gates = Callable[[Sequence[cirq.Qid], Any, Any], cirq.OP_TREE]

PARAMETERIZED_GATES: list[Gates] = [  # on three qubits, with two exponents affine in the symbols
    lambda q, s, t: cirq.rx(s)(q[0]),
    lambda q, s, t: cirq.rz(s)(q[0]).with_tags("tagged"),
    lambda q, s, t: cirq.X(q[0]) ** s,
    lambda q, s, t: cirq.H(q[0]) ** s,
    lambda q, s, t: cirq.PhasedXPowGate(phase_exponent=s, exponent=t)(q[0]),
    lambda q, s, t: cirq.PhasedXZGate(x_exponent=s, z_exponent=t, axis_phase_exponent=0.3)(q[0]),
    lambda q, s, t: cirq.CZ(q[0], q[1]) ** s,
    lambda q, s, t: cirq.CNOT(q[0], q[1]) ** s,
    lambda q, s, t: cirq.ZZ(q[0], q[1]) ** s,
    lambda q, s, t: cirq.ISWAP(q[0], q[1]) ** s,
    lambda q, s, t: cirq.FSimGate(s, t)(q[0], q[1]),
    lambda q, s, t: cirq.PhasedISwapPowGate(phase_exponent=0.2, exponent=s)(q[0], q[1]),
    lambda q, s, t: (cirq.Y(q[0]) ** s).controlled_by(q[1]),
    lambda q, s, t: cirq.CCZ(*q) ** s,
    lambda q, s, t: cirq.CircuitOperation(cirq.FrozenCircuit(cirq.X(q[0]) ** s, cirq.CZ(q[0], q[2]) ** t), repetitions=2),
    lambda q, s, t: [cirq.CCX(*q), cirq.T(q[1]), cirq.global_phase_operation(1j)],
    lambda q, s, t: cirq.SQRT_ISWAP(q[0], q[2]),
]


def mixed_model(n_qubits: int, rng: np.random.Generator) -> Model:
    """Return a model with all kinds of gates on distant and near qubits, with exponents that share three symbols."""
    qubits = [cirq.LineQubit(int(i)) for i in rng.permutation(n_qubits)]
    circuit = cirq.Circuit(cirq.H.on_each(*qubits))
    for turn in [PARAMETERIZED_GATES[i] for i in rng.permutation(len(PARAMETERIZED_GATES))[:10]]:
        s, t = (reduce(lambda total, symbol: total + rng.uniform(0.2, 1) * symbol, (A, B, C), 0.3) for _ in "st")
        circuit.append(turn([qubits[i] for i in rng.permutation(n_qubits)[:3]], s, t))
    circuit.append([cirq.X(qubits[0]) ** A, cirq.ISWAP(qubits[0], qubits[-1]) ** (A / 2 + 0.3 * B), cirq.Z(qubits[1]) ** C])
    return Model(circuit, qubits, random_observable(qubits, rng), {"b": 0.4, "a": -0.7, "c": 0.2})


def explicit_model() -> Model:
    q = cirq.LineQubit.range(6)
    circuit = cirq.Circuit(
        cirq.H.on_each(*q),
        cirq.rx(A)(q[0]),
        cirq.ISWAP(q[0], q[5]) ** (A / 2 + 0.3 * B),
        cirq.CZ(q[2], q[4]) ** B,
        cirq.PhasedXPowGate(phase_exponent=C, exponent=A)(q[3]),
        cirq.FSimGate(A, B)(q[1], q[4]),
        cirq.ZZ(q[0], q[3]) ** A,
        cirq.CNOT(q[5], q[2]) ** A,
        cirq.rx(B)(q[5]),
    )
    return Model(circuit, q, cirq.Z(q[0]) * cirq.X(q[4]) + 0.5 * cirq.Y(q[2]), {"a": 0.3, "b": -0.8, "c": 1.1})


def with_angles(model: Model, rng: np.random.Generator) -> Model:
    return model.with_params({name: rng.uniform(0.2, 3) for name in model.params})


def expectations(model: Model, circuit: cirq.AbstractCircuit, x: Array) -> Array:
    """Return F of every column, computed densely."""
    states = oracle.unitary(circuit, model.qubits) @ x
    observed = oracle.pauli_matrix(model.pauli_sum, model.qubits) @ states
    return np.asarray(np.sum(states.conj() * observed, axis=0).real)


def at(model: Model, theta: Array) -> cirq.AbstractCircuit:
    return cirq.resolve_parameters(model.circuit, dict(zip(model.params, theta, strict=True)))


def logistic(f: Array) -> tuple[float, Array]:
    """Return a nonlinear loss with its slopes, in which samples have different weights."""
    weights = np.linspace(1, 2, len(f))
    return float(weights @ np.log1p(np.exp(-3 * f))), -3 * weights / (1 + np.exp(3 * f))


def few_and_many(features: int) -> tuple[int, int]:
    return 3, int(2.5 * features) + 1


def assert_gradient_is_right(model: Model, samples: int, imaginary: bool, rng: np.random.Generator) -> None:
    x = amplitudes(rng, samples, model.n_features, imaginary=imaginary)
    x = np.ascontiguousarray((x / np.linalg.norm(x, axis=1, keepdims=True)).T)
    theta = np.array(list(model.params.values()))
    program = TrainableProgram(model)
    value, gradient = program.loss_gradient(theta, x, logistic)
    exact = expectations(model, at(model, theta), x)
    assert program.names == tuple(model.params)
    assert_close(program.expectations(theta, x), exact, scale=1.0)
    assert_close(value, logistic(exact)[0])
    by_difference = oracle.finite_difference(lambda t: np.asarray(logistic(expectations(model, at(model, t), x))[0]), theta)
    shifted = oracle.parameter_shift(model.circuit, model.params, lambda circuit: expectations(model, circuit, x))
    by_shift = logistic(exact)[1] @ shifted
    assert_close(gradient, by_shift, 1e-10, float(np.abs(shifted).sum(axis=0).max()))
    assert_close(gradient, by_difference, 1e-7, float(np.abs(shifted).sum(axis=0).max()) + value)


@pytest.mark.parametrize("many", [False, True])
@settings(max_examples=12)
@given(n_qubits=st.integers(3, 5), imaginary=st.booleans(), rng=generators)
def test_gradient_of_mixed_circuits_by_columns_and_by_matrix(
    many: bool, n_qubits: int, imaginary: bool, rng: np.random.Generator
) -> None:
    assert_gradient_is_right(mixed_model(n_qubits, rng), few_and_many(2**n_qubits)[many], imaginary, rng)


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("imaginary", [False, True])
@pytest.mark.parametrize(
    "build",
    [
        lambda: ring_ansatz(5, 1),
        lambda: ring_ansatz(1, 1, cirq.X(cirq.LineQubit(0))),
        lambda: grid_ansatz(2, 3, 1),
        explicit_model,
    ],
    ids=["ring", "one qubit", "grid", "mixed"],
)
def test_gradient_of_ansatz_and_mixed_circuits(build: Callable[[], Model], imaginary: bool, many: bool) -> None:
    rng = np.random.default_rng(1)
    model = with_angles(build(), rng)
    assert_gradient_is_right(model, few_and_many(model.n_features)[many], imaginary, rng)


@pytest.mark.parametrize(
    "gate",
    [
        lambda q: cirq.ry(A)(q[0]).controlled_by(q[2]),
        lambda q: cirq.rz(A)(q[2]).controlled_by(q[1], q[0]),
        lambda q: (cirq.ISWAP(q[0], q[2]) ** A).controlled_by(q[1]),
        lambda q: cirq.rx(A)(q[0]).controlled_by(q[1]).controlled_by(q[2]),
        lambda q: cirq.PhasedISwapPowGate(phase_exponent=A, exponent=0.5)(q[0], q[2]),
    ],
    ids=["control", "two controls", "controlled ISWAP", "control in control", "phase of ISWAP"],
)
def test_gradient_of_controlled_and_phased_gates(gate: Callable[[Any], cirq.Operation]) -> None:
    q = cirq.LineQubit.range(3)
    circuit = cirq.Circuit(cirq.ry(0.7).on_each(*q), gate(q), cirq.rx(A + B)(q[1]).controlled_by(q[0]))
    x, theta = amplitudes(np.random.default_rng(0), 8, 3, imaginary=True), np.array([0.3, 0.9])
    model = Model(circuit, q, cirq.X(q[0]) + cirq.Z(q[1]) + cirq.Y(q[2]), {"a": 0.3, "b": 0.9})
    expected = oracle.finite_difference(lambda t: np.asarray(logistic(expectations(model, at(model, t), x))[0]), theta)
    assert np.abs(expected).min() > 1e-3
    assert_close(TrainableProgram(model).loss_gradient(theta, x, logistic)[1], expected, 1e-7)


def test_gradient_of_many_samples_uses_the_matrix() -> None:
    """Without this, the tests above might run the same code twice."""
    program, theta = TrainableProgram(ring_ansatz(3, 1)), np.zeros(12)
    for samples, columns in zip(few_and_many(8), (3, 8), strict=True):
        _, states, _ = program._observed.ends(program._bind(theta)[0], np.ones((8, samples)), logistic)
        assert states.shape == (8, columns)


def test_gradient_is_deterministic_and_keeps_its_inputs() -> None:
    model, rng = with_angles(ring_ansatz(4, 2), np.random.default_rng(0)), np.random.default_rng(1)
    program, x, theta = TrainableProgram(model), amplitudes(rng, 16, 5), np.array(list(model.params.values()))
    x_before, theta_before = x.copy(), theta.copy()
    first, second = (program.loss_gradient(theta, x, logistic)[1] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(theta, theta_before)


class Unknown(cirq.Gate):
    """A gate with a symbol and without a decomposition."""

    def _num_qubits_(self) -> int:
        return 1

    def _is_parameterized_(self) -> bool:
        return True

    def _parameter_names_(self) -> set[str]:
        return {"a"}

    def _resolve_parameters_(self, resolver: cirq.ParamResolver, recursive: bool) -> cirq.Gate:
        return cirq.X

    def __repr__(self) -> str:
        return "Unknown()"


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (lambda q: cirq.X(q[0]) ** sympy.sin(A), r"X\*\*sin\(a\).*must be affine in a"),
        (lambda q: cirq.CZ(*q) ** (A * A), r"a\*\*2 must be affine in a"),
        (lambda q: cirq.ry(A * B)(q[0]), "must be affine in"),
        (lambda q: cirq.ry(A)(q[0]).controlled_by(q[1], control_values=[0]), "C0Y.* cannot be differentiated"),
        (lambda q: Unknown()(q[0]), r"Unknown\(\).* cannot be differentiated"),
        (lambda q: cirq.GlobalPhaseGate(sympy.exp(sympy.I * A))(), "cannot be differentiated"),
    ],
)
def test_gates_without_a_derivative_are_rejected_by_name(gate: Callable[[Any], cirq.Operation], message: str) -> None:
    q = cirq.LineQubit.range(2)
    circuit = cirq.Circuit(gate(q), cirq.X(q[0]) ** A, cirq.X(q[0]) ** B)
    with pytest.raises(ValueError, match=message):
        TrainableProgram(Model(circuit, q, cirq.Z(q[0]), {"a": 0.1, "b": 0.2}))


def test_model_without_parameters_is_rejected() -> None:
    q = cirq.LineQubit(0)
    with pytest.raises(ValueError, match="no parameters to train"):
        TrainableProgram(Model(cirq.Circuit(cirq.X(q)), [q], cirq.Z(q)))
