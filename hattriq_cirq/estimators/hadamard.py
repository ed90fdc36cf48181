"""The Hadamard test of one component: the paper's circuit, literally, and the same number without controlled U."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import cirq
import numpy as np

from hattriq_cirq.circuits.unitaries import inverse_circuit
from hattriq_cirq.encoding.exact import Encoder, encode_controlled, encode_joint
from hattriq_cirq.estimators.bilinear import (
    KEY,
    Allocation,
    BilinearTerm,
    Estimator,
    PauliTerm,
    WeightedCircuit,
    ancillas,
    parity_weights,
    qubits_set,
)
from hattriq_cirq.foundation.arrays import unit_vector_and_norm
from hattriq_cirq.foundation.checks import check_flag
from hattriq_cirq.models.model import Model


@dataclass(frozen=True)
class HadamardTest(Estimator):
    """Estimate each component k from one circuit with one ancilla, to an L2 error of about sqrt(N / shots).

    By default the circuit prepares (|0>|right> + |1>|k>) / sqrt 2, applies U, and measures X on the ancilla times the Pauli
    string P on the data: Re<k|M|right>. Only the preparation is controlled. All components share one preparation; CNOTs from
    the ancilla turn |0...0> into |k>.

    With `literal=True` it is the paper's circuit: every gate of V(x), U, P and U' is controlled by the ancilla, which alone is
    measured.

    Args:
        literal: Build the paper's circuit.
        allocation: Allocation of shots among components: `error` (in proportion to |left_k|) or `equal`.
        encoder: State preparation; None lets the placement choose an exact one. `encoding.ApproximateEncoder(layers=4)` uses
            fewer gates and is not exact.

    Raises:
        ValueError: The allocation is unknown, or the literal circuit is given an encoder.

    Example:
        >>> import hattriq_cirq as hq
        >>> hq.HadamardTest(literal=True).describe()
        'Hadamard test, literal'
    """

    literal: bool = False
    allocation: Allocation = "error"
    encoder: Encoder | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self.literal, "literal")
        if self.literal and self.encoder is not None:
            raise ValueError("the literal circuit controls every gate of an exact encoder; leave out encoder or literal")

    def with_encoder(self, encoder: Encoder) -> Self:
        """Return the same test with an encoder that suits its qubits; the literal circuit keeps its own."""
        return self if self.literal else super().with_encoder(encoder)

    def circuit_model(self, model: Model) -> Model:
        """Return the model whose circuit is run.

        Raises:
            ValueError: The test is the literal one, and the model's circuit measures or has noise.
        """
        if self.literal and not model.is_unitary:
            raise ValueError(
                "HadamardTest(literal=True) controls every operation of the model, and a measurement or a channel cannot be "
                "controlled; use HadamardTest(), or the unitary circuit of model.dilated()"
            )
        return super().circuit_model(model)

    def describe(self) -> str:
        """Describe the estimator in a few words, for results."""
        return self._with_encoder_name("Hadamard test, literal" if self.literal else "Hadamard test")

    def weighted_circuits(self, pauli: PauliTerm, term: BilinearTerm) -> Iterator[WeightedCircuit]:
        """Build one circuit for each component with left_k != 0; each outcome adds +-|left_k| |right| to it alone."""
        build = _literal_circuits(pauli, term) if self.literal else _lean_circuits(pauli, term, self.state_encoder)
        _, norm = unit_vector_and_norm(term.right)
        features = len(term.left)
        for k, circuit, preparation, bits in build:
            scale = np.array([[abs(term.left[k]) * norm]])
            yield WeightedCircuit(circuit, parity_weights(scale, [k], features, bits), preparation)


#: Component, circuit, its preparation, and the number of measured bits, whose parity is the sign of an outcome.
_Components = Iterator[tuple[int, cirq.Circuit, cirq.Circuit, int]]


def _lean_circuits(pauli: PauliTerm, term: BilinearTerm, encoder: Encoder) -> _Components:
    qubits = list(pauli.model.qubits)
    (ancilla,) = ancillas(pauli, 1)
    ground_state = np.eye(1, len(term.right))[0]
    direction, _ = unit_vector_and_norm(term.right)
    shared = encode_joint(direction, ground_state, ancilla, qubits, encoder=encoder)
    measured = [ancilla, *pauli.pauli.qubits]
    readout = pauli.circuit + cirq.Circuit(cirq.H(ancilla), pauli.basis_change, cirq.measure(*measured, key=KEY))
    for k in map(int, np.flatnonzero(term.left)):
        select = [cirq.CNOT(ancilla, q) for q in qubits_set(k, qubits)]
        preparation = shared + cirq.Circuit(select, _phase_of(term, k, ancilla))
        yield k, preparation + readout, preparation, len(measured)


def _literal_circuits(pauli: PauliTerm, term: BilinearTerm) -> _Components:
    model = pauli.model
    qubits = list(model.qubits)
    (ancilla,) = ancillas(pauli, 1)
    inside = (
        model.resolved_circuit.unfreeze()
        + cirq.Circuit(factor(q) for q, factor in pauli.pauli.items())
        + inverse_circuit(model.resolved_circuit)
    )
    controlled = cirq.Circuit(op.controlled_by(ancilla) for op in inside.all_operations())
    preparation = cirq.Circuit(cirq.H(ancilla)) + encode_controlled(term.right, [ancilla], 1, qubits)
    for k in map(int, np.flatnonzero(term.left)):
        unselect = [cirq.CNOT(ancilla, q) for q in qubits_set(k, qubits)]
        phase = [op**-1 for op in _phase_of(term, k, ancilla)]
        readout = cirq.Circuit(unselect, phase, cirq.H(ancilla), cirq.measure(ancilla, key=KEY))
        yield k, preparation + controlled + readout, preparation, 1


def _phase_of(term: BilinearTerm, k: int, ancilla: cirq.Qid) -> list[cirq.Operation]:
    """Return the operation that gives the branch of ancilla 1 the phase of left_k."""
    phase = float(np.angle(term.left[k]))
    return [cirq.Z(ancilla) ** (phase / np.pi)] if phase else []
