"""The Hadamard test of one component: the paper's circuit, literally, and the same number without controlled U."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import cirq
import numpy as np

from hattriq_cirq.encoding.exact import Encoder, encode, encode_controlled, encode_joint
from hattriq_cirq.estimators.bilinear import (
    KEY,
    Allocation,
    BilinearTerm,
    Estimator,
    PauliTerm,
    WeightedCircuit,
    ancillas,
    flips,
    outcome_signs,
    outcome_weights,
)
from hattriq_cirq.foundation.arrays import FloatArray


@dataclass(frozen=True)
class HadamardTest(Estimator):
    """One circuit and one ancilla for each component k, to an L2 error of about sqrt(N / shots).

    By default it prepares (|0>|right> + |1>|k>) / sqrt 2, applies U, and measures X on the ancilla times the Pauli string P on
    the data: Re<k|M|right>. Only the preparation is controlled. The preparation is shared by all components; flips by the
    ancilla make |k> of |0...0>.

    With `literal=True` it is the paper's circuit: every gate of V(x), U, P and U' controlled by the ancilla, which alone is
    measured.

    Args:
        literal: build the paper's circuit.
        allocation: of shots among components, `error` (in proportion to |left_k|) or `equal`.
        encoder: prepares amplitudes; `approximate.ApproximateEncoder(layers=4)` does it with fewer gates, not exactly.
    """

    literal: bool = False
    allocation: Allocation = "error"
    encoder: Encoder = encode

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.literal and self.encoder is not encode:
            raise ValueError("the literal circuit controls every gate of an exact encoder; leave out encoder or literal")

    def prepared_by(self, encoder: Encoder) -> Self:
        """The same with an encoder that suits its qubits; the literal circuit keeps its own."""
        return self if self.literal else super().prepared_by(encoder)

    def describe(self) -> str:
        """The estimator in a few words."""
        return self.with_encoder("Hadamard test, literal" if self.literal else "Hadamard test")

    def weighted_circuits(self, term: PauliTerm, product: BilinearTerm) -> Iterator[WeightedCircuit]:
        """A circuit for each component with left_k != 0; outcomes are worth +-|left_k| |right| to it alone."""
        build = _literal_circuits(term, product) if self.literal else _lean_circuits(term, product, self.encoder)
        norm = float(np.linalg.norm(product.right))
        features = len(product.left)
        for k, circuit, prepared, signs in build:
            worth = abs(product.left[k]) * norm * signs
            yield WeightedCircuit(circuit, outcome_weights(worth[np.newaxis], [k], features), prepared)


_Built = Iterator[tuple[int, cirq.Circuit, cirq.Circuit, FloatArray]]
"""Component, circuit, its preparation, and the sign of each outcome."""


def _lean_circuits(term: PauliTerm, product: BilinearTerm, encoder: Encoder) -> _Built:
    qubits = list(term.model.qubits)
    (ancilla,) = ancillas(term, 1)
    blank = np.eye(1, len(product.right))[0]
    shared = encode_joint(product.right / np.linalg.norm(product.right), blank, ancilla, qubits, encoder=encoder)
    measured = [ancilla, *term.pauli.qubits]
    end = term.circuit + cirq.Circuit(cirq.H(ancilla), term.basis_change, cirq.measure(*measured, key=KEY))
    for k in map(int, np.flatnonzero(product.left)):
        select = [cirq.CNOT(ancilla, q) for q in flips(k, qubits)]
        prepared = shared + cirq.Circuit(select, _phase_of(product, k, ancilla))
        yield k, prepared + end, prepared, outcome_signs(len(measured))


def _literal_circuits(term: PauliTerm, product: BilinearTerm) -> _Built:
    model = term.model
    qubits = list(model.qubits)
    (ancilla,) = ancillas(term, 1)
    inside = (
        model.resolved_circuit.unfreeze()
        + cirq.Circuit(pauli(q) for q, pauli in term.pauli.items())
        + cirq.inverse(model.resolved_circuit)
    )
    middle = cirq.Circuit(op.controlled_by(ancilla) for op in inside.all_operations())
    prepared = cirq.Circuit(cirq.H(ancilla)) + encode_controlled(product.right, [ancilla], 1, qubits)
    for k in map(int, np.flatnonzero(product.left)):
        unselect = [cirq.CNOT(ancilla, q) for q in flips(k, qubits)]
        turn = [op**-1 for op in _phase_of(product, k, ancilla)]
        end = cirq.Circuit(unselect, turn, cirq.H(ancilla), cirq.measure(ancilla, key=KEY))
        yield k, prepared + middle + end, prepared, outcome_signs(1)


def _phase_of(product: BilinearTerm, k: int, ancilla: cirq.Qid) -> list[cirq.Operation]:
    """Gives the branch of ancilla 1 the phase of left_k."""
    phase = float(np.angle(product.left[k]))
    return [cirq.Z(ancilla) ** (phase / np.pi)] if phase else []
