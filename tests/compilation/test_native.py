"""Sqrt-iSWAP and Sycamore circuits: equal to their sources, as few gates as Cirq's, and not decided by rounding."""

from __future__ import annotations

import cirq
import cirq_google as cg
import numpy as np
import pytest
from strategies import Array

from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.compilation.gatesets import compile_to_gateset, gateset
from hattriq_cirq.compilation.kak import KakDecompositions, interaction

A, B = cirq.LineQubit.range(2)
Q = np.pi / 4
#: Interactions on borders: equal coefficients, 0 and pi/4, and x = y + |z|, beyond which sqrt-iSWAP takes three gates.
BORDERS = {
    "identity": (0, 0, 0),
    "cz": (Q, 0, 0),
    "iswap": (Q, Q, 0),
    "swap": (Q, Q, Q),
    "sqrt_iswap": (Q / 2, Q / 2, 0),
    "sqrt_swap": (Q / 2, Q / 2, Q / 2),
    "inverse_sqrt_swap": (Q / 2, Q / 2, -Q / 2),
    "b": (Q, Q / 2, 0),
    "cphase": (0.3, 0, 0),
    "two_axes": (0.5, 0.2, 0),
    "equal_axes": (0.3, 0.3, 0),
    "two_or_three": (0.5, 0.3, 0.2),
    "two_or_three_negative": (0.5, 0.3, -0.2),
    "two_or_three_at_border": (Q, 0.4, Q - 0.4),
    "split": (0.5, Q / 2, 0.3),
    "border": (Q, 0.6, 0.5),
    "sycamore": (Q, Q, np.pi / 24),
}


def local(rng: np.random.Generator) -> Array:
    """Return the matrix of random single-qubit gates on two qubits."""
    seeds = (int(seed) for seed in rng.integers(2**31, size=2))
    return np.kron(*(cirq.testing.random_unitary(2, random_state=seed) for seed in seeds))


def around(coefficients: tuple[float, float, float], rng: np.random.Generator) -> Array:
    """Return an interaction between random single-qubit gates."""
    return np.asarray(local(rng) @ interaction(np.array(coefficients)) @ local(rng))


def perturbed(unitary: Array, size: float, rng: np.random.Generator) -> Array:
    """Return a unitary that differs from another by random rotations of a small size."""
    real, imaginary = rng.normal(size=(2, 4, 4))
    generator = real + real.T + 1j * (imaginary - imaginary.T)
    return np.asarray(unitary @ (np.eye(4) + 1j * size * generator / np.linalg.norm(generator)))


def compiled(unitary: Array, name: str) -> cirq.AbstractCircuit:
    circuit = compile_to_gateset(cirq.Circuit(cirq.MatrixGate(unitary)(A, B)), gateset(name))
    found = circuit.unitary(qubit_order=[A, B], qubits_that_should_be_present=[A, B])
    cirq.testing.assert_allclose_up_to_global_phase(found, unitary, rtol=0, atol=1e-8)
    return circuit


def gates_and_angles(circuit: cirq.AbstractCircuit) -> tuple[list[tuple[object, ...]], list[float]]:
    """Return the types and qubits of all gates, and the angles of the single-qubit gates in half turns."""
    operations = list(circuit.all_operations())
    rotations = [op.gate for op in operations if isinstance(op.gate, cirq.PhasedXZGate)]
    angles = [float(x) for gate in rotations for x in (gate.x_exponent, gate.z_exponent, gate.axis_phase_exponent)]
    return [(type(op.gate), op.qubits) for op in operations], angles


def assert_stable(unitary: Array, name: str, size: float, rng: np.random.Generator) -> None:
    """Check that small perturbations leave gates and qubits alone and change angles by less than 1e-9."""
    gates, angles = gates_and_angles(compiled(unitary, name))
    for _ in range(2):
        others, changed = gates_and_angles(compiled(perturbed(unitary, size, rng), name))
        assert others == gates
        np.testing.assert_allclose(changed, angles, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["sqrt_iswap", "sycamore"])
@pytest.mark.parametrize("kind", BORDERS)
def test_gates_at_a_border_are_not_decided_by_rounding(kind: str, name: str) -> None:
    rng = np.random.default_rng(len(kind))
    assert_stable(around(BORDERS[kind], rng), name, 1e-15, rng)
    assert_stable(interaction(np.array(BORDERS[kind])), name, 1e-15, rng)


@pytest.mark.parametrize("name", ["sqrt_iswap", "sycamore"])
def test_angles_of_random_unitaries_change_no_more_than_the_unitary(name: str) -> None:
    rng = np.random.default_rng(0)
    for seed in range(12):
        unitary = cirq.testing.random_unitary(4, random_state=seed)
        x, y, z = KakDecompositions.of(unitary[np.newaxis]).canonical().interaction_coefficients
        if min(Q - x, x - y, y - abs(z), abs(z), abs(x - y - abs(z)), abs(y - Q / 2)) > 0.01:
            assert_stable(unitary, name, 1e-12, rng)


@pytest.mark.parametrize("kind", BORDERS)
def test_two_qubit_gates_are_no_more_than_those_of_cirq(kind: str) -> None:
    rng = np.random.default_rng(len(kind))
    unitary = around(BORDERS[kind], rng)
    iswaps = cirq.two_qubit_matrix_to_sqrt_iswap_operations(A, B, unitary)
    sycamores = cirq.flatten_to_ops(cg.two_qubit_matrix_to_sycamore_operations(A, B, unitary))
    for name, operations in (("sqrt_iswap", iswaps), ("sycamore", sycamores)):
        assert multi_qubit_gates(compiled(unitary, name)) <= multi_qubit_gates(cirq.Circuit(operations))


def test_canonical_decomposition_of_a_native_gate_needs_no_other_gate() -> None:
    for name, gate in (("sqrt_iswap", cirq.SQRT_ISWAP), ("sycamore", cg.SYC)):
        assert [op.gate for op in compiled(cirq.unitary(gate), name).all_operations()] == [gate]


@pytest.mark.parametrize("seed", range(5))
def test_canonical_decomposition_equals_the_unitary(seed: int) -> None:
    unitary = cirq.testing.random_unitary(4, random_state=seed)
    kak = KakDecompositions.of(unitary[np.newaxis]).canonical()
    cirq.testing.assert_allclose_up_to_global_phase(cirq.unitary(kak), unitary, rtol=0, atol=1e-12)
    np.testing.assert_allclose(kak.interaction_coefficients, cirq.kak_vector(unitary), rtol=0, atol=1e-7)
