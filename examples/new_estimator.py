"""An estimator of your own: the derivative by each amplitude as a difference of two expectation values.

For real inputs, 2 t (M r)_k = F(r + t e_k) - F(r) - t^2 F(e_k) for every step t. Shots, errors, covariance, placement on a
processor and mitigation follow from the circuits and their weights.

$ python examples/new_estimator.py
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cirq
import numpy as np

import hattriq_cirq as hq
from hattriq_cirq.estimators import BilinearTerm, Estimator, PauliTerm, WeightedCircuit
from hattriq_cirq.estimators.bilinear import KEY, parity_weights


@dataclass(frozen=True)
class ForwardDifference(Estimator):
    """Two circuits and one of the basis state for each feature whose factor is not 0."""

    allocation: str = "error"
    encoder: object = None

    def describe(self) -> str:
        """Return the name in records and tables."""
        return "forward difference"

    def weighted_circuits(self, pauli: PauliTerm, term: BilinearTerm) -> Iterator[WeightedCircuit]:
        """Yield the circuits of Re(conj(left) o (M right)) and what their outcomes count."""
        features, step = len(term.right), np.linalg.norm(term.right)
        readout = pauli.circuit + cirq.Circuit(pauli.basis_change, cirq.measure(*pauli.pauli.qubits, key=KEY))
        for k in np.flatnonzero(term.left):
            unit = np.eye(features)[k]
            for vector, factor in ((term.right + step * unit, 1.0), (term.right, -1.0), (unit, -(step**2))):
                preparation = self.state_encoder(vector, list(pauli.model.qubits))
                scale = np.array([[term.left[k] * factor * (vector @ vector) / (2 * step)]])
                weights = parity_weights(scale, [k], features, len(pauli.pauli))
                yield WeightedCircuit(preparation + readout, weights, preparation)


def main(shots: int = 100_000) -> hq.Attribution:
    """Compare the estimator with the exact map, and return its map with errors."""
    model, x = hq.ring_ansatz(2, layers=1), [0.5, 0.5, 0.1, 0.7]
    exact = hq.integrated_gradients(model, x, baseline=0)
    for engine in (hq.qsim(seed=1), hq.virtual("willow_pink", seed=1)):
        own = hq.integrated_gradients(model, x, baseline=0, estimator=ForwardDifference(), engine=engine, shots=shots)
        print(np.round(np.stack([exact.values, own.values, own.stderr]), 4))
    return own


if __name__ == "__main__":
    main()
