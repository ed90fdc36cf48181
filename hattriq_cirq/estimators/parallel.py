"""The ancilla-parallel Hadamard test: m ancillas read 2**m - 1 components from a pair of circuits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cirq
import numpy as np

from hattriq_cirq.encoding.exact import Encoder, encode_joint, phase_operations
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
from hattriq_cirq.foundation.arrays import parity_signs, unit_vector_and_norm
from hattriq_cirq.foundation.checks import as_count, check_flag, set_fields

_ANCILLAS_MAX = 62


@dataclass(frozen=True)
class ParallelHadamardTest(Estimator):
    """Estimate 2**m - 1 components from two circuits with m ancillas.

    The circuit prepares sum_j a_j |j>|phi_j> on the ancillas and the data, phi_0 = right, phi_j = |k_j>, applies U, and
    measures X on every ancilla and P on the data. The Walsh coefficient j of the ancillas' outcomes times P holds 2 a_0 a_j
    Re<k_j|M|right> and terms <k_i|M|k_j> without the input; the latter drop out of the difference of two circuits with +right
    and -right. The k_j are an affine image of j, made by CNOTs from the ancillas, so that only one branch is an encoding.

    The test saves circuits, not shots: with `weighted` (a_0 = 1/sqrt 2, the rest equal) the shots to a given error are up to
    about twice those of separate circuits, N / eps^2; with equal amplitudes they are about 2**m / 4 times as many.

    Args:
        m: Number of ancillas, 1 .. n_qubits + 1.
        weighted: Give the input's branch half of the weight.
        allocation: Allocation of shots among circuits, `error` or `equal`.
        encoder: State preparation; None lets the placement choose an exact one. `encoding.ApproximateEncoder(layers=4)` uses
            fewer gates and is not exact.

    Raises:
        ValueError: There is no ancilla, or the allocation is unknown.

    Example:
        >>> import hattriq_cirq as hq
        >>> hq.ParallelHadamardTest(2).describe()
        'parallel Hadamard test, m=2'
    """

    m: int
    weighted: bool = True
    allocation: Allocation = "error"
    encoder: Encoder | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, m=as_count(self.m, "m", 1, _ANCILLAS_MAX, advice=f"be at least 1 ancilla and at most {_ANCILLAS_MAX}"))
        check_flag(self.weighted, "weighted")

    def describe(self) -> str:
        """Describe the estimator in a few words, for results."""
        return self._with_encoder_name(f"parallel Hadamard test, m={self.m}" + ("" if self.weighted else ", equal amplitudes"))

    def weighted_circuits(self, pauli: PauliTerm, term: BilinearTerm) -> Iterator[WeightedCircuit]:
        """Build two circuits for each group of components in which some left_k is not 0."""
        qubits = list(pauli.model.qubits)
        n = len(qubits)
        if self.m > n + 1:
            raise ValueError(f"{self.m=} must be at most n_qubits + 1 = {n + 1}: there are no components for more ancillas")
        register = ancillas(pauli, self.m)
        direction, norm = unit_vector_and_norm(term.right)
        labels = _labels(self.m, n)
        share = 0.5 if self.weighted else 1 / (1 + len(labels))
        amplitude = np.sqrt(share * (1 - share) / len(labels))  # a_0 a_j
        ground_state = np.sqrt(1 - share) * np.eye(1, 2**n)[0]
        superposition = _superpose_labels(register, labels)
        measured = [*register, *pauli.pauli.qubits]
        readout = pauli.circuit + cirq.Circuit(cirq.H.on_each(register), pauli.basis_change, cirq.measure(*measured, key=KEY))
        walsh = parity_signs(np.array(labels)[:, np.newaxis] & np.arange(2**self.m))
        encodings = {
            sign: encode_joint(sign * np.sqrt(share) * direction, ground_state, register[0], qubits, encoder=self.state_encoder)
            for sign in (1, -1)
        }
        unread = term.left != 0
        for offset, columns in _groups(n, self.m):
            features = np.array([offset ^ _xor(columns, j) for j in labels])
            left = np.where(unread[features], term.left[features], 0)
            unread[features] = False
            if not left.any():
                continue
            select = cirq.Circuit(
                [cirq.CNOT(register[0], q) for q in qubits_set(offset, qubits)],
                superposition,
                [cirq.CNOT(a, q) for a, column in zip(register, columns, strict=True) for q in qubits_set(column, qubits)],
            )
            if np.iscomplexobj(left):
                phases = np.zeros(2**self.m)
                phases[labels] = np.angle(left)
                select += cirq.Circuit(phase_operations(phases, register))
                left = np.abs(left)
            rows = (norm / (4 * amplitude) * left)[:, np.newaxis] * walsh
            for sign, encoding in encodings.items():
                preparation = encoding + select
                weights = parity_weights(sign * rows, features, 2**n, len(pauli.pauli))
                yield WeightedCircuit(preparation + readout, weights, preparation)


def _labels(m: int, n: int) -> list[int]:
    """Return the ancilla states that select a component: all but 0, or those with the first bit set where these suffice."""
    return list(range(1, 2**m)) if m <= n else list(range(2 ** (m - 1), 2**m))


def _superpose_labels(register: Sequence[cirq.Qid], labels: Sequence[int]) -> list[cirq.Operation]:
    """Return operations that keep |0...0> and map |10...0> to the equal superposition of the labels."""
    first, others = register[0], register[1:]
    operations: list[cirq.Operation] = []
    if others and labels[0] == 1:  # move the labels with first bit 0 onto |0>|10...0>, then superpose these recursively
        moved = (len(labels) - 1) / 2 / len(labels)
        operations += [cirq.ry(2 * np.arcsin(np.sqrt(moved))).on(others[0]).controlled_by(first), cirq.CNOT(others[0], first)]
        operations += _superpose_labels(others, range(1, 2 ** len(others)))
    return operations + [cirq.H(other).controlled_by(first) for other in others]


def _groups(n: int, m: int) -> Iterator[tuple[int, list[int]]]:
    """Yield the ceil(2**n / (2**m - 1)) affine maps j -> offset ^ (columns j) whose images of the labels cover 0 .. 2**n - 1.

    Each group is an m-dimensional box without its offset. The offsets that remain are again a box, of n - m dimensions, and
    are covered in the same way, until fewer than m dimensions remain; these fit one group with an offset outside the box.
    """
    if m > n:  # all labels have the first bit set; the other ancillas select the component
        yield 0, [0, *(1 << b for b in reversed(range(n)))]
        return
    low = 0  # all components that are not covered yet have zeros in the bits below this one
    while n - low >= m:
        for high in range(2 ** (n - low - m)):
            yield high << (low + m), [1 << (low + b) for b in reversed(range(m))]
        low += m
    rest = n - low
    yield 1, [1 << b for b in [*reversed(range(low, n)), *reversed(range(m - rest))]]


def _xor(columns: Sequence[int], j: int) -> int:
    result = 0
    for b, column in enumerate(reversed(columns)):
        if j >> b & 1:
            result ^= column
    return result
