"""The polarization shift: components from differences of plain expectations, without ancilla or control."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cirq
import numpy as np

from hattriq_cirq.encoding.exact import Encoder, encode
from hattriq_cirq.estimators.bilinear import (
    KEY,
    Allocation,
    BilinearTerm,
    Estimator,
    PauliTerm,
    WeightedCircuit,
    outcome_signs,
    outcome_weights,
)


@dataclass(frozen=True)
class PolarizationShift(Estimator):
    """Two circuits a component: F at the input shifted by +-t along it, exact for every t because F is quadratic.

    Re(conj(left_k) (M right)_k) = |left_k| (F(right + t e_k) - F(right - t e_k)) / 4t, with e_k the basis state times the phase
    of left_k. Each shifted vector is prepared normalised and its expectation multiplied by the square of its norm. The shift is
    t = |right|, where that costs the fewest shots.

    Args:
        allocation: of shots among circuits, `error` or `equal`.
        encoder: prepares amplitudes; `approximate.ApproximateEncoder(layers=4)` does it with fewer gates, not exactly.
    """

    allocation: Allocation = "error"
    encoder: Encoder = encode

    def describe(self) -> str:
        """The estimator in a few words."""
        return self.with_encoder("polarization shift")

    def weighted_circuits(self, term: PauliTerm, product: BilinearTerm) -> Iterator[WeightedCircuit]:
        """Two circuits for each component with left_k != 0."""
        qubits = list(term.model.qubits)
        shift = float(np.linalg.norm(product.right))
        features = len(product.left)
        signs = outcome_signs(len(term.pauli))
        end = term.circuit + cirq.Circuit(term.basis_change, cirq.measure(*term.pauli.qubits, key=KEY))
        for k in map(int, np.flatnonzero(product.left)):
            size = abs(product.left[k])
            for sign in (1, -1):
                shifted = product.right + np.eye(1, features, k)[0] * (sign * shift * product.left[k] / size)
                norm = np.linalg.norm(shifted)
                if norm <= 1e-14 * shift:  # a blank vector: F is 0 there and needs no circuit
                    continue
                worth = sign * size * norm**2 / (4 * shift) * signs
                prepared = self.encoder(shifted, qubits)
                yield WeightedCircuit(prepared + end, outcome_weights(worth[np.newaxis], [k], features), prepared)
