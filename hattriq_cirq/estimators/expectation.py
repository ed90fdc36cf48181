"""The plain expectation: sums of a bilinear term over all features, from the model's own circuit behind a preparation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cirq
import numpy as np

from hattriq_cirq.encoding.exact import Encoder
from hattriq_cirq.estimators.bilinear import (
    KEY,
    Allocation,
    BilinearTerm,
    Estimator,
    PauliTerm,
    StateTerm,
    WeightedCircuit,
    parity_weights,
)
from hattriq_cirq.foundation.arrays import FloatArray


@dataclass(frozen=True)
class Expectation(Estimator):
    """Estimate Re <left|M|right>, the sum over all features, as F(u) - F(v) with u = (left + right)/2, v = (right - left)/2.

    The circuit prepares u or v, applies U and measures the Pauli string: nothing is controlled and there is no ancilla. For
    left = right = x it measures F(x).

    Args:
        allocation: Allocation of shots among circuits, `error` or `equal`.
        encoder: State preparation; None lets the placement choose an exact one.

    Example:
        >>> import hattriq_cirq as hq
        >>> from hattriq_cirq.estimators.plan import plan
        >>> x = np.array([0.6, 0.0, 0.0, 0.8])
        >>> measured = plan(Expectation(), hq.ring_ansatz(2, layers=1), [BilinearTerm(x, x)])
        >>> len(measured.circuits), measured.offset
        (1, array([0.]))
    """

    allocation: Allocation = "error"
    encoder: Encoder | None = None

    #: No qubit: its values are sums over all features.
    measured = ()

    def describe(self) -> str:
        """Describe the estimator in a few words, for results."""
        return self._with_encoder_name("plain expectation")

    def weighted_circuits(self, pauli: PauliTerm, term: BilinearTerm) -> Iterator[WeightedCircuit]:
        """Build the circuits of u and v, leaving out a zero vector; each outcome adds the parity times the squared norm."""
        qubits = list(pauli.pauli)
        readout = pauli.circuit + cirq.Circuit(pauli.basis_change, cirq.measure(*qubits, key=KEY))
        if isinstance(term, StateTerm):
            yield WeightedCircuit(term.circuit + readout, parity_weights(np.ones((1, 1)), [0], 1, len(qubits)), term.circuit)
            return
        for sign, doubled in ((1.0, term.left + term.right), (-1.0, term.right - term.left)):
            if not doubled.any():
                continue
            norm = float(np.linalg.norm(doubled))
            preparation = self.state_encoder(doubled / norm, list(pauli.model.qubits))
            weights = parity_weights(np.array([[sign * norm**2 / 4]]), [0], 1, len(qubits))
            yield WeightedCircuit(preparation + readout, weights, preparation)

    def identity_term(self, term: BilinearTerm) -> FloatArray:
        """Return the values for M = 1: the squared norm of a prepared state is 1."""
        return np.ones(1) if isinstance(term, StateTerm) else super().identity_term(term)

    def marginalize(self, values: FloatArray) -> FloatArray:
        """Return the sum of all values, one value."""
        return np.array([values.sum()])
