"""Approximate amplitude encoding: fewer two-qubit gates than the exact circuit, at a fidelity below 1 that is reported.

The circuit consists of staircases of two-qubit rotations along the line of qubits. One staircase prepares any matrix-product
state of bond dimension 2; more are added layer by layer, each of which disentangles what the others leave (Ran, Phys. Rev. A
101, 032310, 2020). Every rotation is then replaced, in sweeps, by the best one with all others fixed (the polar factor of its
environment), which can only raise the fidelity. docs/approximate_encoding.md contains the measurements.
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
from hattriq_cirq.foundation.arrays import FloatArray, read_only, unit_vector_and_norm
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.text import number_text, quantity

_CONVERGED = 1e-8  # gain in overlap below which sweeps stop
_SMALLEST = 0.02  # amplitude of a vector of norm 1 below which a quotient of amplitudes is damped
#: Position q, and the (4, 4) rotation of qubits q and q + 1.
_Gate = tuple[int, FloatArray]


@dataclass(frozen=True, eq=False)
class ApproximateEncoding(Frozen):
    """A circuit that prepares a state close to a target vector.

    Args:
        circuit: Circuit of CZ and one-qubit gates that prepares `vector` from |0...0>, up to a global phase.
        vector: Real vector of norm 1, (2**n,); its overlap with the target is not negative.
        fidelity: Square of the overlap.
        layers: Number of staircases in the circuit.

    Example:
        >>> approximate_encoding([1, 2, 3, 4, 4, 3, 2, 0], cirq.LineQubit.range(3), layers=1).two_qubit_gates
        3
    """

    circuit: cirq.FrozenCircuit
    vector: FloatArray
    fidelity: float
    layers: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "vector", read_only(self.vector))
        super().__post_init__()

    @property
    def two_qubit_gates(self) -> int:
        """Number of CZ gates in the circuit."""
        return multi_qubit_gates(self.circuit)


@dataclass(frozen=True)
class ApproximateEncoder:
    """An encoder for estimators that prepares amplitudes approximately.

    Args:
        layers: As in `approximate_encoding`.
        min_fidelity: As in `approximate_encoding`.
        sweeps: As in `approximate_encoding`.

    Example:
        >>> encoder = ApproximateEncoder(layers=1)
        >>> sum(len(op.qubits) == 2 for op in encoder([1, 2, 3, 4, 4, 3, 2, 0], cirq.LineQubit.range(3)).all_operations())
        3
    """

    layers: int | None = None
    min_fidelity: float | None = None
    sweeps: int = 100

    def __call__(self, x: ArrayLike, qubits: Sequence[cirq.Qid]) -> cirq.Circuit:
        """Return the circuit of `approximate_encoding` for a real vector."""
        encoding = approximate_encoding(x, qubits, layers=self.layers, min_fidelity=self.min_fidelity, sweeps=self.sweeps)
        return encoding.circuit.unfreeze()

    def __str__(self) -> str:
        aim = quantity(self.layers, "layer") if self.layers is not None else f"fidelity {number_text(self.min_fidelity or 0)}"
        sweeps = "" if self.sweeps == ApproximateEncoder.sweeps else f", {quantity(self.sweeps, 'sweep')}"
        return f"approximate encoding of {aim}{sweeps}"


def approximate_encoding(
    x: ArrayLike, qubits: Sequence[cirq.Qid], *, layers: int | None = None, min_fidelity: float | None = None, sweeps: int = 100
) -> ApproximateEncoding:
    """Return a circuit that prepares x / |x| from |0...0> approximately, with at most 2 (n - 1) layers - 1 CZ.

    Give either `layers` or `min_fidelity`. The result depends on the arguments alone.

    Args:
        x: Real vector, (2**n,), of any norm but 0.
        qubits: The n >= 2 qubits, most significant first; neighbours in this order are coupled.
        layers: Number of staircases of two-qubit rotations, >= 1.
        min_fidelity: Fidelity between 0 and 1; layers are added until it is reached, while they cost no more than `encode`.
        sweeps: Largest number of sweeps over all rotations, back and forth, after each layer, >= 0; fewer if they converge.

    Returns:
        The circuit, the vector that it prepares and its fidelity.

    Raises:
        ValueError: x is complex, the zero vector, not finite or of another size; an argument is out of range; or min_fidelity
            is not reached.

    Example:
        >>> x = [1, 2, 3, 4, 5, 6, 7, 9, 1, 1, 5, 3, 2, 4, 4, 0]
        >>> encoding = approximate_encoding(x, cirq.LineQubit.range(4), layers=1)  # the exact circuit has 11 CZ
        >>> encoding.two_qubit_gates, round(encoding.fidelity, 2)
        (5, 0.97)
    """
    if len(qubits) < 2:
        raise ValueError(f"{len(qubits)=} must be at least 2; hattriq_cirq.encoding.encode prepares one qubit exactly")
    target = unit_vector(x, qubits)
    if target.imag.any():
        raise ValueError("x is complex: only real vectors are approximated; use hattriq_cirq.encoding.encode")
    target = target.real
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
    for gates in _layer_by_layer(target, start, most, sweeps):
        vector = reduce(_apply, gates, start)
        fidelity = min(1.0, float(vector @ target) ** 2)
        if min_fidelity is not None and fidelity >= min_fidelity:
            break
    if min_fidelity is not None and fidelity < min_fidelity:
        raise ValueError(
            f"{min_fidelity=} is not reached: {most} layers, which cost no more than the {exact} two-qubit gates of the "
            f"exact circuit, give {fidelity:.6f}; use hattriq_cirq.encoding.encode, which is exact, or ask for less"
        )
    vector = vector if vector @ target >= 0 else -vector
    return ApproximateEncoding(_circuit(gates, qubits), vector, fidelity, len(gates) // (len(qubits) - 1))


def reweighting(wanted: FloatArray, prepared: FloatArray) -> FloatArray:
    """Return the factors x x' / (x'**2 + 0.02**2) that correct a map for the amplitudes x' prepared in place of x.

    Value k of a map is a product of amplitude k with row k of M: multiplied by x_k / x'_k it has the wanted amplitude. The
    quotient is damped where little was prepared, as in a Wiener filter, because the map has no signal there. The amplitudes on
    which M acts keep their errors. In simulations without noise, L2 errors of maps of 256 pixels fell by about 40%.

    Args:
        wanted: Real vector that was to be prepared, (features,), of any norm but 0.
        prepared: Real vector that is prepared instead, (features,), of the same norm or nearly so.

    Returns:
        Factors, (features,); 0 where the wanted amplitude is 0.

    Example:
        >>> reweighting(np.array([0.6, 0.8, 0.0]), np.array([0.5, 0.85, 0.1])).round(2)
        array([1.2 , 0.94, 0.  ])
    """
    direction, norm = unit_vector_and_norm(wanted)
    own = prepared / norm
    return np.asarray(direction * own / (own**2 + _SMALLEST**2))


def _layer_by_layer(target: FloatArray, start: FloatArray, layers: int, sweeps: int) -> Iterator[list[_Gate]]:
    """Yield the gates from start to target, with one more layer each time; a new layer comes first in the circuit."""
    n = len(target).bit_length() - 1
    idle = [(q, np.eye(4)) for q in range(n - 1)]
    gates: list[_Gate] = []
    for _ in range(layers):
        adjoint = [(q, matrix.T) for q, matrix in reversed(gates)]
        rest = reduce(_apply, adjoint, target)
        layer = max(_staircase(rest), idle, key=lambda gates: float(reduce(_apply, gates, start) @ rest))
        gates = _optimize([*layer, *gates], start, target, sweeps)
        yield gates


def _staircase(state: FloatArray) -> list[_Gate]:
    """Return gates that prepare a bond-dimension-2 matrix-product state near a state, by truncation from the last qubit on.

    The two leading directions of the last pair of qubits are the images of |00> and |10> under the gate on this pair: the last
    qubit separates, and the one before it carries the bond.
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


def _optimize(gates: list[_Gate], start: FloatArray, end: FloatArray, sweeps: int) -> list[_Gate]:
    """Sweep back and forth until the overlap converges."""
    best = -1.0
    for _ in range(sweeps):
        back, _ = _sweep(gates, start, end)
        gates, overlap = _sweep(back, end, start)
        if overlap - best < _CONVERGED:
            break
        best = overlap
    return gates


def _sweep(gates: list[_Gate], start: FloatArray, end: FloatArray) -> tuple[list[_Gate], float]:
    """Replace each gate, last first, by the rotation that raises the overlap most.

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
    return (matrix @ state.reshape(2**q, 4, -1)).reshape(-1)


def _circuit(gates: list[_Gate], qubits: Sequence[cirq.Qid]) -> cirq.FrozenCircuit:
    """Return the gates as CZ and one-qubit gates; the first acts on |00> only, which takes 1 CZ instead of 2."""
    (_, first), *others = gates
    circuit = encode(first[:, 0], qubits[:2])
    for q, matrix in others:
        circuit.append(cirq.two_qubit_matrix_to_cz_operations(qubits[q], qubits[q + 1], matrix, allow_partial_czs=False))
    return cirq.optimize_for_target_gateset(circuit, gateset=cirq.CZTargetGateset()).freeze()
