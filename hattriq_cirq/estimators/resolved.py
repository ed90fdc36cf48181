"""The resolved Hadamard test: one circuit whose signed histogram is the attribution map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import cirq
import numpy as np
from scipy.sparse import csr_array

from hattriq_cirq.circuits.outcomes import OutcomeWeights
from hattriq_cirq.encoding.approximate import reweighting
from hattriq_cirq.encoding.exact import Encoder, encode, encode_joint
from hattriq_cirq.estimators.bilinear import (
    KEY,
    Allocation,
    BilinearTerm,
    Estimator,
    PauliTerm,
    StateTerm,
    WeightedCircuit,
    ancillas,
)
from hattriq_cirq.foundation.arrays import Array, FloatArray, unit_vector_and_norm
from hattriq_cirq.foundation.checks import as_counts, as_word, check_flag, set_fields, shown
from hattriq_cirq.simulation.statevector import final_state

_REAL = 1e-6  # largest imaginary part of an amplitude that rounding in a compiled circuit can cause


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
        reweight: Multiply each value by the factor of `encoding.reweighting`, which replaces the left amplitude that an
            approximate encoder prepares by the wanted one. The preparation is simulated for that, one state vector per
            circuit. The right side, on which M acts, keeps its errors. Only for real inputs and an approximate encoder: with an
            exact one it would shrink small values for nothing. Standard errors are those of the multiplied values.

    Raises:
        ValueError: The part or the allocation is unknown, a measured qubit is repeated, or reweighting has no approximate
            encoder or no value for each feature.

    Example:
        >>> import hattriq_cirq as hq
        >>> hq.ResolvedHadamardTest(measured=(0, 1)).describe()
        'resolved Hadamard test'
    """

    part: Literal["real", "imaginary"] = "real"
    measured: tuple[int, ...] | None = None
    allocation: Allocation = "error"
    encoder: Encoder | None = None
    reweight: bool = False

    inverts_model: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        as_word(self.part, "part", ("real", "imaginary"))
        check_flag(self.reweight, "reweight")
        if self.reweight and (self.encoder is None or self.encoder is encode):
            raise ValueError(
                f"reweight=True needs an approximate encoder, not encoder={shown(self.encoder)}; use "
                "encoder=ApproximateEncoder(layers=4), or leave out reweight"
            )
        if self.reweight and self.measured is not None:
            raise ValueError(f"reweight=True needs a value for each feature; leave out measured={self.measured}")
        if self.measured is not None:
            set_fields(self, measured=as_counts(self.measured, "measured", minimum=None))
            if len(set(self.measured)) != len(self.measured):
                raise ValueError(f"{self.measured=} must not repeat a qubit")

    def describe(self) -> str:
        """Describe the estimator in a few words, for results."""
        words = "resolved Hadamard test" + (", imaginary part" if self.part == "imaginary" else "")
        return self._with_encoder_name(words) + (", reweighted" if self.reweight else "")

    def weighted_circuits(self, pauli: PauliTerm, term: BilinearTerm) -> Iterator[WeightedCircuit]:
        """Build the one circuit: outcome (ancilla, k) adds +-|left| |right| to feature k."""
        qubits = list(pauli.model.qubits)
        (ancilla,) = ancillas(pauli, 1)
        read = qubits if self.measured is None else [qubits[i] for i in self.measured]
        if isinstance(term, StateTerm):
            preparation, scale = cirq.Circuit(cirq.H(ancilla)) + term.circuit, 1.0
        else:
            (left, left_norm), (right, right_norm) = (unit_vector_and_norm(side) for side in (term.left, term.right))
            preparation, scale = encode_joint(left, right, ancilla, qubits, encoder=self.state_encoder), left_norm * right_norm
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
        scales = np.full(features, scale)
        if self.reweight:
            left, right = (unit_vector_and_norm(side)[0] for side in (term.left, term.right))
            scales *= _reweighting(left, right, final_state(preparation, [ancilla, *qubits]))
        index = np.arange(features)
        entries = np.concatenate([scales, -scales]), (np.tile(index, 2), np.arange(2 * features))
        weights = OutcomeWeights(csr_array(entries, shape=(features, 2 * features)))
        yield WeightedCircuit(circuit, weights, preparation)


def _reweighting(left: Array, right: Array, prepared: Array) -> FloatArray:
    """Return the factors that replace the left amplitudes of the prepared state by the wanted ones, (features,).

    Args:
        left: Left side of norm 1, (features,).
        right: Right side of norm 1, (features,).
        prepared: State in place of (left, right) / sqrt 2, up to a global phase, (2 features,).

    Raises:
        ValueError: The left side is complex, or is prepared with complex amplitudes.
    """
    overlap = np.vdot(prepared, np.concatenate([left, right]))
    own = np.sqrt(2) * prepared[: len(left)] * (overlap / abs(overlap) if overlap else 1.0)
    if max(np.abs(np.imag(side)).max() for side in (left, own)) > _REAL:
        raise ValueError("reweight=True replaces real amplitudes, and the left side is complex; leave it out")
    return reweighting(np.real(left), own.real)
