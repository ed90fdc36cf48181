"""The resolved Hadamard test: one circuit whose signed histogram is the attribution map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cirq
import numpy as np
from scipy.sparse import csr_array

from hattriq_cirq.circuits.outcomes import OutcomeWeights
from hattriq_cirq.encoding.exact import Encoder, encode_joint
from hattriq_cirq.estimators.bilinear import KEY, Allocation, BilinearTerm, Estimator, PauliTerm, WeightedCircuit, ancillas
from hattriq_cirq.foundation.arrays import unit_vector_and_norm
from hattriq_cirq.foundation.checks import as_counts, as_word, set_fields


@dataclass(frozen=True)
class ResolvedHadamardTest(Estimator):
    """Estimate all attributions from one circuit, to an L2 error of at most |x - b| |x + b| / sqrt(shots), whatever N.

    The circuit prepares (|0>|left> + |1>|right>) / sqrt 2 with both sides normalised, applies U, then P controlled by the
    ancilla, then U', then H on the ancilla, and measures everything: |left| |right| (P(0, k) - P(1, k)) is
    Re(conj(left_k) (M right)_k). With the zero baseline the preparation is an H on the ancilla beside V(x), so that only P is
    controlled. A sum of Pauli strings takes one circuit per string; expected gradients take one circuit per baseline, at no
    extra shots.

    Args:
        part: `real`, or `imaginary` for Im(conj(left_k) (M right)_k), by a phase gate on the ancilla.
        measured: Positions of the data qubits to measure, most significant first; None measures all. With fewer qubits the
            map is summed over the others: (2**measured,) values, for `hattriq_cirq.estimate`.
        allocation: Allocation of shots among circuits: `error` (in proportion to what a shot can add) or `equal`.
        encoder: State preparation; None lets the placement choose an exact one. `encoding.ApproximateEncoder(layers=4)` uses
            fewer gates and is not exact.

    Raises:
        ValueError: The part or the allocation is unknown, or a measured qubit is repeated.

    Example:
        >>> import hattriq_cirq as hq
        >>> hq.ResolvedHadamardTest(measured=(0, 1)).describe()
        'resolved Hadamard test'
    """

    part: Literal["real", "imaginary"] = "real"
    measured: tuple[int, ...] | None = None
    allocation: Allocation = "error"
    encoder: Encoder | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        as_word(self.part, "part", ("real", "imaginary"))
        if self.measured is not None:
            set_fields(self, measured=as_counts(self.measured, "measured", minimum=None))
            if len(set(self.measured)) != len(self.measured):
                raise ValueError(f"{self.measured=} must not repeat a qubit")

    def describe(self) -> str:
        """Describe the estimator in a few words, for results."""
        return self._with_encoder_name("resolved Hadamard test" + (", imaginary part" if self.part == "imaginary" else ""))

    def weighted_circuits(self, pauli: PauliTerm, term: BilinearTerm) -> Iterator[WeightedCircuit]:
        """Build the one circuit: outcome (ancilla, k) adds +-|left| |right| to feature k."""
        qubits = list(pauli.model.qubits)
        (ancilla,) = ancillas(pauli, 1)
        (left, left_norm), (right, right_norm) = (unit_vector_and_norm(side) for side in (term.left, term.right))
        read = qubits if self.measured is None else [qubits[i] for i in self.measured]
        preparation = encode_joint(left, right, ancilla, qubits, encoder=self.state_encoder)
        circuit = (
            preparation
            + pauli.circuit
            + cirq.Circuit(factor.controlled()(ancilla, q) for q, factor in pauli.pauli.items())
            + pauli.inverse
            + cirq.Circuit(
                [cirq.S(ancilla) ** -1] if self.part == "imaginary" else [],
                cirq.H(ancilla),
                cirq.measure(ancilla, *read, key=KEY),
            )
        )
        features = 2 ** len(read)
        scale = left_norm * right_norm
        index = np.arange(features)
        entries = np.repeat([scale, -scale], features), (np.tile(index, 2), np.arange(2 * features))
        weights = OutcomeWeights(csr_array(entries, shape=(features, 2 * features)))
        yield WeightedCircuit(circuit, weights, preparation)
