"""Vectors to encode, and checks of the circuits that prepare them."""

from __future__ import annotations

from collections.abc import Sequence

import cirq
import numpy as np
from hypothesis import strategies as st
from strategies import Array, amplitudes, generators


def unit(x: Array) -> Array:
    return np.asarray(x / np.linalg.norm(x))


def prepared(circuit: cirq.AbstractCircuit, qubits: Sequence[cirq.Qid]) -> Array:
    """Return the state of all qubits, idle ones too, from |0...0>."""
    whole = cirq.Circuit(cirq.I.on_each(qubits)) + circuit
    return np.asarray(whole.final_state_vector(qubit_order=qubits, dtype=np.complex128))


def cnot_count(circuit: cirq.AbstractCircuit) -> int:
    """Return the number of two-qubit gates, which must be CZ or CNOT; all others must act on one qubit or none."""
    wide = [op for op in circuit.all_operations() if len(op.qubits) > 1]
    assert all(op.gate in (cirq.CZ, cirq.CNOT) for op in wide)
    return len(wide)


def max_cnot_count(n: int, imaginary: bool) -> int:
    """Return the bound on the count: 2**n - n - 1, and for complex vectors 2**n - 2 more."""
    return int(2**n - n - 1 + (2**n - 2 if imaginary else 0))


def assert_prepares(circuit: cirq.AbstractCircuit, qubits: Sequence[cirq.Qid], x: Array) -> None:
    """Check that the state is x / |x| up to a global phase, in fidelity and in each amplitude."""
    state, expected = prepared(circuit, qubits), unit(x)
    overlap = np.vdot(expected, state)
    assert abs(abs(overlap) ** 2 - 1) < 1e-12
    np.testing.assert_allclose(state * (abs(overlap) / overlap), expected, rtol=0, atol=1e-12)


@st.composite
def vectors(draw: st.DrawFn, most_qubits: int = 5, least_qubits: int = 1) -> Array:
    """Generate real vectors of any sign, positive, of few distinct values, or complex; dense, sparse, or with zero blocks."""
    n, rng = draw(st.integers(least_qubits, most_qubits)), draw(generators)
    imaginary = draw(st.booleans())
    x = amplitudes(rng, 2**n, imaginary=imaginary)
    shape = draw(st.sampled_from(["any", "positive", "few values"]))
    if shape == "positive":
        x = np.abs(x)
    elif shape == "few values":
        x = np.round(2 * unit(x) * 2 ** (n / 2))
    blocks = 2 ** draw(st.integers(0, n))
    kept = np.repeat(rng.random(blocks) < draw(st.sampled_from([0.3, 0.7, 1.0])), 2**n // blocks)
    kept = np.roll(kept, draw(st.integers(0, 2**n - 1)))
    x = np.where(kept, x, 0)
    return x if x.any() else np.eye(2**n)[rng.integers(2**n)]
