"""The ancilla-parallel Hadamard test: m ancillas read 2**m - 1 components from a pair of circuits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cirq
import numpy as np

from hattriq_cirq.encoding.exact import Encoder, encode, encode_joint, phase_operations
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
from hattriq_cirq.foundation.arrays import parity_signs


@dataclass(frozen=True)
class ParallelHadamardTest(Estimator):
    """2**m - 1 components from two circuits on m ancillas.

    It prepares sum_j a_j |j>|phi_j> on the ancillas and the data, phi_0 = right, phi_j = |k_j>, applies U, and measures X on
    every ancilla and P on the data. The Walsh coefficient j of the ancillas' outcomes times P holds 2 a_0 a_j Re<k_j|M|right>
    and terms <k_i|M|k_j> without the input; the latter drop out of the difference of two circuits with +right and -right.
    The k_j are an affine image of j, made by CNOTs from the ancillas, so that only one branch is an encoding.

    It saves circuits, not shots: with `weighted` (a_0 = 1/sqrt 2, the rest equal) the shots to a given error are about those
    of separate circuits, N / eps^2; with equal amplitudes they are about 2**m / 4 times as many.

    Args:
        m: ancillas, 1 .. n_qubits + 1.
        weighted: give the input's branch half of the weight.
        allocation: of shots among circuits, `error` or `equal`.
        encoder: prepares amplitudes; `approximate.ApproximateEncoder(layers=4)` does it with fewer gates, not exactly.
    """

    m: int
    weighted: bool = True
    allocation: Allocation = "error"
    encoder: Encoder = encode

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.m < 1:
            raise ValueError(f"{self.m=} must be at least 1 ancilla")

    def describe(self) -> str:
        """The estimator in a few words."""
        return self.with_encoder(f"parallel Hadamard test, m={self.m}" + ("" if self.weighted else ", equal amplitudes"))

    def weighted_circuits(self, term: PauliTerm, product: BilinearTerm) -> Iterator[WeightedCircuit]:
        """Two circuits for each group of components in which some left_k is not 0."""
        qubits = list(term.model.qubits)
        n = len(qubits)
        if self.m > n + 1:
            raise ValueError(f"{self.m=} must be at most n_qubits + 1 = {n + 1}: more ancillas find no component to read")
        register = ancillas(term, self.m)
        norm = float(np.linalg.norm(product.right))
        labels = _labels(self.m, n)
        share = 0.5 if self.weighted else 1 / (1 + len(labels))
        amplitude = np.sqrt(share * (1 - share) / len(labels))  # a_0 a_j
        blank = np.sqrt(1 - share) * np.eye(1, 2**n)[0]
        spread = _spread(register, labels)
        measured = [*register, *term.pauli.qubits]
        end = term.circuit + cirq.Circuit(cirq.H.on_each(register), term.basis_change, cirq.measure(*measured, key=KEY))
        signs = outcome_signs(len(term.pauli))
        walsh = parity_signs(np.array(labels)[:, np.newaxis] & np.arange(2**self.m))
        starts = {
            sign: encode_joint(sign * np.sqrt(share) * product.right / norm, blank, register[0], qubits, encoder=self.encoder)
            for sign in (1, -1)
        }
        fresh = product.left != 0
        for offset, columns in _groups(n, self.m):
            features = np.array([offset ^ _xor(columns, j) for j in labels])
            left = np.where(fresh[features], product.left[features], 0)
            fresh[features] = False
            if not left.any():
                continue
            select = cirq.Circuit(
                [cirq.CNOT(register[0], q) for q in flips(offset, qubits)],
                spread,
                [cirq.CNOT(a, q) for a, column in zip(register, columns, strict=True) for q in flips(column, qubits)],
            )
            if np.iscomplexobj(left):
                phases = np.zeros(2**self.m)
                phases[labels] = np.angle(left)
                select += cirq.Circuit(phase_operations(phases, register))
                left = np.abs(left)
            rows = np.kron((norm / (4 * amplitude) * left)[:, np.newaxis] * walsh, signs)
            for sign, start in starts.items():
                prepared = start + select
                yield WeightedCircuit(prepared + end, outcome_weights(sign * rows, features, 2**n), prepared)


def _labels(m: int, n: int) -> list[int]:
    """The ancilla states that select a component: all but 0, or those with the first bit set where that is enough."""
    return list(range(1, 2**m)) if m <= n else list(range(2 ** (m - 1), 2**m))


def _spread(register: Sequence[cirq.Qid], labels: Sequence[int]) -> list[cirq.Operation]:
    """Fixes |0...0> and takes |10...0> to the equal superposition of the labels."""
    first, others = register[0], register[1:]
    operations: list[cirq.Operation] = []
    if others and labels[0] == 1:  # move the labels with first bit 0 onto |0>|10...0>, then spread those in turn
        moved = (len(labels) - 1) / 2 / len(labels)
        operations += [cirq.ry(2 * np.arcsin(np.sqrt(moved))).on(others[0]).controlled_by(first), cirq.CNOT(others[0], first)]
        operations += _spread(others, range(1, 2 ** len(others)))
    return operations + [cirq.H(other).controlled_by(first) for other in others]


def _groups(n: int, m: int) -> Iterator[tuple[int, list[int]]]:
    """Affine maps j -> offset ^ (columns j) whose images of the labels cover 0 .. 2**n - 1, in ceil(2**n / (2**m - 1)) groups.

    Each group is an m-dimensional box without its offset. The offsets left over are again a box, of n - m dimensions, and
    are covered in the same way, until fewer than m dimensions are left; those fit one group, seen from an offset outside.
    """
    if m > n:  # labels with the first bit set: the other ancillas name the component
        yield 0, [0, *(1 << b for b in reversed(range(n)))]
        return
    low = 0  # all components still to be covered have the bits below this one at 0
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
