"""The polarization shift: components from differences of plain expectations, without ancilla or control."""

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
    WeightedCircuit,
    parity_weights,
)
from hattriq_cirq.foundation.arrays import unit_vector_and_norm


@dataclass(frozen=True)
class PolarizationShift(Estimator):
    """Estimate each component from two circuits: F at the input shifted by +-t along it, exact for every t as F is quadratic.

    Re(conj(left_k) (M right)_k) = |left_k| (F(right + t e_k) - F(right - t e_k)) / 4t, with e_k the basis state times the phase
    of left_k. Each shifted vector is prepared normalised and its expectation multiplied by the square of its norm. The shift is
    t = |right|, which costs the fewest shots.

    Args:
        allocation: Allocation of shots among circuits, `error` or `equal`.
        encoder: State preparation; None lets the placement choose an exact one. `encoding.ApproximateEncoder(layers=4)` uses
            fewer gates and is not exact.

    Raises:
        ValueError: The allocation is unknown.

    Example:
        >>> import hattriq_cirq as hq
        >>> hq.PolarizationShift().describe()
        'polarization shift'
    """

    allocation: Allocation = "error"
    encoder: Encoder | None = None

    def describe(self) -> str:
        """Describe the estimator in a few words, for results."""
        return self._with_encoder_name("polarization shift")

    def weighted_circuits(self, pauli: PauliTerm, term: BilinearTerm) -> Iterator[WeightedCircuit]:
        """Build two circuits for each component with left_k != 0."""
        qubits = list(pauli.model.qubits)
        _, shift = unit_vector_and_norm(term.right)
        exponent = int(np.frexp(shift)[1])  # squares of norms are taken at about size 1
        features = len(term.left)
        readout = pauli.circuit + cirq.Circuit(pauli.basis_change, cirq.measure(*pauli.pauli.qubits, key=KEY))
        for k in map(int, np.flatnonzero(term.left)):
            size = abs(term.left[k])
            for sign in (1, -1):
                shifted = term.right + np.eye(1, features, k)[0] * (sign * shift * term.left[k] / size)
                _, norm = unit_vector_and_norm(shifted)
                if norm <= 1e-14 * shift:  # F(0) = 0 needs no circuit
                    continue
                unscaled = sign * size * np.ldexp(norm, -exponent) ** 2 / (4 * np.ldexp(shift, -exponent))
                scale = np.array([[np.ldexp(unscaled, exponent)]])
                preparation = self.state_encoder(shifted, qubits)
                weights = parity_weights(scale, [k], features, len(pauli.pauli))
                yield WeightedCircuit(preparation + readout, weights, preparation)
