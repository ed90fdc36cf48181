"""The resolved Hadamard test: one circuit whose signed histogram is the attribution map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cirq
import numpy as np
from scipy.sparse import csr_array

from hattriq_cirq.encoding.exact import Encoder, encode, encode_joint
from hattriq_cirq.estimators.bilinear import KEY, Allocation, BilinearTerm, Estimator, PauliTerm, WeightedCircuit, ancillas


@dataclass(frozen=True)
class ResolvedHadamardTest(Estimator):
    """All attributions from one circuit, to an L2 error of at most |x - b| |x + b| / sqrt(shots), whatever N.

    It prepares (|0>|left> + |1>|right>) / sqrt 2 with both sides normalised, applies U, P controlled by the ancilla, U', and
    H on the ancilla, and measures everything: |left| |right| (P(0, k) - P(1, k)) = Re(conj(left_k) (M right)_k). With the zero
    baseline the preparation is an H on the ancilla beside V(x): nothing but P is controlled. A sum of Pauli strings takes
    one circuit a string; expected gradients one a baseline, at no extra shots.

    Args:
        part: `real`, or `imaginary` for Im(conj(left_k) (M right)_k), by a phase gate on the ancilla.
        measured: positions of the data qubits to measure, most significant first; None measures all. With fewer the map
            is summed over the others: (2**measured,) values, for `hattriq_cirq.estimate`.
        allocation: of shots among circuits, `error` (in proportion to what a shot can add) or `equal`.
        encoder: prepares amplitudes; `approximate.ApproximateEncoder(layers=4)` does it with fewer gates, not exactly.
    """

    part: Literal["real", "imaginary"] = "real"
    measured: tuple[int, ...] | None = None
    allocation: Allocation = "error"
    encoder: Encoder = encode

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.part not in ("real", "imaginary"):
            raise ValueError(f"{self.part=} must be 'real' or 'imaginary'")
        if self.measured is not None and len(set(self.measured)) != len(self.measured):
            raise ValueError(f"{self.measured=} must not repeat a qubit")

    def describe(self) -> str:
        """The estimator in a few words."""
        return self.with_encoder("resolved Hadamard test" + (", imaginary part" if self.part == "imaginary" else ""))

    def weighted_circuits(self, term: PauliTerm, product: BilinearTerm) -> Iterator[WeightedCircuit]:
        """One circuit: outcome (ancilla, k) is worth +-|left| |right| to feature k."""
        qubits = list(term.model.qubits)
        (ancilla,) = ancillas(term, 1)
        left, right = (np.linalg.norm(side) for side in (product.left, product.right))
        read = qubits if self.measured is None else [qubits[i] for i in self.measured]
        prepared = encode_joint(product.left / left, product.right / right, ancilla, qubits, encoder=self.encoder)
        circuit = (
            prepared
            + term.circuit
            + cirq.Circuit(pauli.controlled()(ancilla, q) for q, pauli in term.pauli.items())
            + term.inverse
            + cirq.Circuit(
                [cirq.S(ancilla) ** -1] if self.part == "imaginary" else [],
                cirq.H(ancilla),
                cirq.measure(ancilla, *read, key=KEY),
            )
        )
        features = 2 ** len(read)
        worth = left * right
        index = np.arange(features)
        entries = np.repeat([worth, -worth], features), (np.tile(index, 2), np.arange(2 * features))
        yield WeightedCircuit(circuit, csr_array(entries, shape=(features, 2 * features)), prepared)
