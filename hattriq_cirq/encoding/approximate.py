"""Approximate amplitude encoding: fewer two-qubit gates than the exact circuit, for a fidelity below 1 that is reported.

The circuit is made of staircases of two-qubit rotations along the line of qubits. One staircase prepares any matrix-product
state of bond dimension 2; more are found layer by layer, each undoing what is left of the state (Ran, Phys. Rev. A 101,
032310, 2020). Every rotation is then replaced, in sweeps, by the best one with all others held (the polar factor of its
environment), which can only raise the fidelity. docs/approximate_encoding.md holds the measurements.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate

import cirq
import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.encoding.exact import encode, unit_vector
from hattriq_cirq.foundation.arrays import FloatArray, read_only

_SETTLED = 1e-8  # overlap; a sweep that gains less is the last
_Gate = tuple[int, FloatArray]  # (4, 4) rotation of qubits q and q + 1


@dataclass(frozen=True, eq=False)
class ApproximateEncoding:
    """A circuit for a state near the one wanted.

    Args:
        circuit: CZ and one-qubit gates; prepares `vector` from |0...0>, up to a global phase.
        vector: (2**n,) real, of norm 1; its overlap with the vector wanted is not negative.
        fidelity: the square of that overlap.
        layers: staircases in the circuit.
    """

    circuit: cirq.FrozenCircuit
    vector: FloatArray
    fidelity: float
    layers: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "vector", read_only(self.vector))

    @property
    def two_qubit_gates(self) -> int:
        """CZ gates of the circuit."""
        return multi_qubit_gates(self.circuit)


@dataclass(frozen=True)
class ApproximateEncoder:
    """An encoder for estimators that prepares amplitudes approximately; arguments as in `approximate_encoding`."""

    layers: int | None = None
    min_fidelity: float | None = None
    sweeps: int = 100

    def __call__(self, x: ArrayLike, qubits: Sequence[cirq.Qid]) -> cirq.Circuit:
        """The circuit of `approximate_encoding` for a real vector."""
        found = approximate_encoding(x, qubits, layers=self.layers, min_fidelity=self.min_fidelity, sweeps=self.sweeps)
        return found.circuit.unfreeze()

    def __str__(self) -> str:
        aim = f"{self.layers} layers" if self.layers is not None else f"fidelity {self.min_fidelity:g}"
        return f"approximate encoding of {aim}"


def approximate_encoding(
    x: ArrayLike,
    qubits: Sequence[cirq.Qid],
    *,
    layers: int | None = None,
    min_fidelity: float | None = None,
    sweeps: int = 100,
) -> ApproximateEncoding:
    """Prepares x / |x| from |0...0> approximately, in 2 (n - 1) layers - 1 CZ at most.

    Give either `layers` or `min_fidelity`. The result depends on the arguments alone.

    Args:
        x: (2**n,) real, any norm but 0.
        qubits: n >= 2 of them, most significant first; neighbours in this order are coupled.
        layers: staircases of two-qubit rotations, >= 1.
        min_fidelity: between 0 and 1; layers are added until it is reached, while they cost no more than `encode`.
        sweeps: improvements of all rotations, there and back, after each layer, >= 0; ends early once they settle.

    Returns:
        The circuit, the vector it prepares and its fidelity.

    Raises:
        ValueError: x is complex, blank, not finite or of another size; an argument out of range; min_fidelity not reached.
    """
    target = _unit_vector(x, qubits)
    if (layers is None) == (min_fidelity is None):
        raise ValueError(f"give either layers or min_fidelity, got {layers=} and {min_fidelity=}")
    if layers is not None and layers < 1:
        raise ValueError(f"{layers=} must be at least 1")
    if min_fidelity is not None and not 0 < min_fidelity < 1:
        raise ValueError(f"{min_fidelity=} must lie between 0 and 1; hattriq_cirq.encoding.encode is exact")
    if sweeps < 0:
        raise ValueError(f"{sweeps=} must not be negative")
    exact = multi_qubit_gates(encode(target, qubits))
    most = layers or max(1, (exact + 1) // (2 * len(qubits) - 2))
    start = np.eye(1, len(target))[0]
    for gates in _grown(target, start, most, sweeps):
        vector = reduce(_apply, gates, start)
        fidelity = min(1.0, float(vector @ target) ** 2)
        if min_fidelity is not None and fidelity >= min_fidelity:
            break
    if min_fidelity is not None and fidelity < min_fidelity:
        raise ValueError(
            f"{min_fidelity=} is not reached: {most} layers, as many as cost no more than the {exact} two-qubit gates of the "
            f"exact circuit, give {fidelity:.6f}; use hattriq_cirq.encoding.encode, which is exact, or ask for less"
        )
    used = len(gates) // (len(qubits) - 1)
    return ApproximateEncoding(_circuit(gates, qubits), vector if vector @ target >= 0 else -vector, fidelity, used)


def _unit_vector(x: ArrayLike, qubits: Sequence[cirq.Qid]) -> FloatArray:
    if len(qubits) < 2:
        raise ValueError(f"{len(qubits)=} must be at least 2; hattriq_cirq.encoding.encode prepares one qubit exactly")
    vector = unit_vector(x, qubits)
    if vector.imag.any():
        raise ValueError("x is complex: only real vectors are approximated; use hattriq_cirq.encoding.encode")
    return vector.real


def _grown(target: FloatArray, start: FloatArray, layers: int, sweeps: int) -> Iterator[list[_Gate]]:
    """The gates from start to target, with one layer more each time; a new layer comes first in the circuit."""
    n = len(target).bit_length() - 1
    idle = [(q, np.eye(4)) for q in range(n - 1)]
    gates: list[_Gate] = []
    for _ in range(layers):
        rest = reduce(_apply, _adjoint(gates), target)
        layer = max(_staircase(rest), idle, key=lambda gates: float(reduce(_apply, gates, start) @ rest))
        gates = _improved([*layer, *gates], start, target, sweeps)
        yield gates


def _staircase(state: FloatArray) -> list[_Gate]:
    """Gates that prepare a bond-dimension-2 matrix-product state near a state, by truncation from the last qubit on.

    The two leading directions of the last pair of qubits are what a gate on it sends to |00> and |10>: the last qubit
    drops out, and the one before it carries the bond.
    """
    gates: list[_Gate] = []
    for q in range(len(state).bit_length() - 3, -1, -1):
        pairs = state.reshape(-1, 4)
        directions = np.linalg.eigh(pairs.T @ pairs).eigenvectors[:, ::-1]
        gate = directions[:, [0, 2, 1, 3]]
        gate[:, 3] *= np.sign(np.linalg.det(gate))  # determinant 1, or else a gate takes a third CZ
        gates.insert(0, (q, gate))
        state = (pairs @ gate)[:, [0, 2]].reshape(-1)
    if gates and state[0] < 0:
        gates[0] = (0, -gates[0][1])
    return gates


def _improved(gates: list[_Gate], start: FloatArray, end: FloatArray, sweeps: int) -> list[_Gate]:
    """Sweeps there and back until nothing is gained."""
    best = -1.0
    for _ in range(sweeps):
        back, _ = _swept(gates, start, end)
        gates, overlap = _swept(back, end, start)
        if overlap - best < _SETTLED:
            break
        best = overlap
    return gates


def _swept(gates: list[_Gate], start: FloatArray, end: FloatArray) -> tuple[list[_Gate], float]:
    """Replaces each gate, last first, by the rotation that raises the overlap most.

    Returns:
        The adjoint circuit, which leads from end to start, and the overlap.
    """
    kets = list(accumulate(gates[:-1], _apply, initial=start))
    bra = end
    adjoint: list[_Gate] = []
    for (q, _), ket in zip(reversed(gates), reversed(kets), strict=True):
        shape = (2**q, 4, -1)
        environment = np.tensordot(bra.reshape(shape), ket.reshape(shape), axes=((0, 2), (0, 2)))
        left, _, right = np.linalg.svd(environment)
        left[:, 3] *= np.sign(np.linalg.det(left @ right))
        adjoint.append((q, (left @ right).T))
        bra = _apply(bra, adjoint[-1])
    return adjoint, float(bra @ start)


def _apply(state: FloatArray, gate: _Gate) -> FloatArray:
    q, matrix = gate
    applied: FloatArray = (matrix @ state.reshape(2**q, 4, -1)).reshape(-1)
    return applied


def _adjoint(gates: list[_Gate]) -> list[_Gate]:
    return [(q, matrix.T) for q, matrix in reversed(gates)]


def _circuit(gates: list[_Gate], qubits: Sequence[cirq.Qid]) -> cirq.FrozenCircuit:
    """The gates as CZ and one-qubit gates; the first sees |00> alone, which takes 1 CZ and not 2."""
    (_, first), *others = gates
    circuit = encode(first[:, 0], qubits[:2])
    for q, matrix in others:
        circuit.append(cirq.two_qubit_matrix_to_cz_operations(qubits[q], qubits[q + 1], matrix, allow_partial_czs=False))
    return cirq.optimize_for_target_gateset(circuit, gateset=cirq.CZTargetGateset()).freeze()
