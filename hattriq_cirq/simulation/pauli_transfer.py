"""Density matrices as real vectors in the Pauli basis, with gates and channels fused, for all points of a sweep at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce

import cirq
import numpy as np

from hattriq_cirq.foundation.arrays import Array, FloatArray

_PAULIS = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])


@dataclass(frozen=True, eq=False)
class Channel:
    """A channel on some qubits: matrix[i, j] = Tr(P_i E(P_j)) / 2**k for Pauli strings P on k qubits.

    Args:
        qubits: Qubits.
        matrix: Real matrix, (4**k, 4**k), or one for each point of a sweep, (points, 4**k, 4**k).
    """

    qubits: tuple[cirq.Qid, ...]
    matrix: FloatArray

    @classmethod
    def of(cls, channel: cirq.Operation) -> Channel:
        """Return an operation without symbols."""
        return cls(channel.qubits, transfer_matrix(np.array(cirq.kraus(channel))))

    def on(self, qubits: tuple[cirq.Qid, ...]) -> FloatArray:
        """Return the matrix on the same two qubits, in their order."""
        if self.qubits == qubits:
            return self.matrix
        tensor = self.matrix.reshape(*self.matrix.shape[:-2], 4, 4, 4, 4)
        return np.asarray(np.moveaxis(tensor, (-4, -2), (-3, -1)).reshape(self.matrix.shape))


def transfer_matrix(kraus: Array) -> FloatArray:
    """Return the matrix, (..., 4**k, 4**k), in the Pauli basis of a channel with Kraus operators (..., operators, 2**k, 2**k).

    Example:
        >>> transfer_matrix(cirq.unitary(cirq.X)[np.newaxis]).diagonal()
        array([ 1.,  1., -1., -1.])
    """
    size = kraus.shape[-1]
    basis = _basis(size.bit_length() - 1)
    moved = np.einsum("...kab,...kcd->...acbd", kraus, kraus.conj()).reshape(*kraus.shape[:-3], size**2, size**2)
    return np.asarray((basis.conj() @ moved @ basis.T).real / size)


def populations(circuit: cirq.AbstractCircuit, register: Sequence[cirq.Qid]) -> FloatArray:
    """Return the probabilities of the basis states after a circuit of gates and channels that starts from |0...0>.

    The density matrix is kept as the vector of its 4**n Pauli expectations, on which every channel acts as a real matrix.
    Channels that follow each other on the same two qubits are multiplied before they are applied. With a processor's noise this
    is 10 times as fast as `cirq.DensityMatrixSimulator` on 5 qubits, and 60 times as fast on 8.

    Args:
        circuit: Circuit without measurements.
        register: Its qubits, most significant first.

    Returns:
        Probabilities, (2**n,), whose sum is 1 up to rounding.

    Example:
        >>> qubit = cirq.LineQubit(0)
        >>> populations(cirq.Circuit(cirq.X(qubit), cirq.bit_flip(0.25)(qubit)), [qubit]).round(6)
        array([0.25, 0.75])
    """
    return np.asarray(populations_of_sweep(channels_of(circuit.all_operations()), register, 1)[0])


def channels_of(operations: Iterable[cirq.Operation]) -> Iterator[Channel]:
    """Yield operations without symbols as channels; the matrix of an object that occurs again is computed once."""
    known: dict[int, Channel] = {}  # by gate object, because noise models insert the same objects many times
    for op in operations:
        channel = op if op.gate is None else op.gate
        if id(channel) not in known:
            known[id(channel)] = Channel.of(op)
        yield replace(known[id(channel)], qubits=op.qubits)


def populations_of_sweep(channels: Iterable[Channel], register: Sequence[cirq.Qid], points: int) -> FloatArray:
    """Return the probabilities of the basis states after channels that act on |0...0>, at every point of a sweep.

    Args:
        channels: Channels in order.
        register: Their qubits, most significant first.
        points: Number of points.

    Returns:
        Probabilities, (points, 2**n), each row with sum 1 up to rounding.

    Example:
        >>> qubit = cirq.LineQubit(0)
        >>> flips = transfer_matrix(np.array([[cirq.unitary(gate)] for gate in (cirq.I, cirq.X)]))
        >>> populations_of_sweep([Channel((qubit,), flips)], [qubit], 2).round(6)
        array([[1., 0.],
               [0., 1.]])
    """
    state: FloatArray = reduce(np.multiply.outer, [np.array([1.0, 0.0, 0.0, 1.0])] * len(register), np.ones(1))
    order = list(register)  # qubit of each axis after the first, which is that of the points
    for channel in fused(channels):
        axes = [order.index(q) + 1 for q in channel.qubits]
        state = np.moveaxis(state, axes, range(1, len(axes) + 1))
        state = (channel.matrix @ state.reshape(len(state), channel.matrix.shape[-1], -1)).reshape(-1, *state.shape[1:])
        order = [*channel.qubits, *(q for q in order if q not in channel.qubits)]
    for axis in range(1, len(order) + 1):
        state = np.moveaxis(np.tensordot([[0.5, 0, 0, 0.5], [0.5, 0, 0, -0.5]], state, (1, axis)), 0, axis)
    state = np.moveaxis(state, [order.index(q) + 1 for q in register], range(1, len(order) + 1))
    return np.broadcast_to(state.reshape(len(state), -1), (points, 2 ** len(order)))


def fused(channels: Iterable[Channel]) -> Iterator[Channel]:
    """Yield channels multiplied together as long as they act on the same two qubits, so that fewer are left."""
    pairs: dict[cirq.Qid, Channel] = {}  # latest channel on two qubits, under both of them
    singles: dict[cirq.Qid, Channel] = {}  # later channels on one qubit
    for channel in channels:
        qubits = channel.qubits
        if len(qubits) == 1:
            (qubit,) = qubits
            singles[qubit] = Channel(qubits, channel.matrix @ singles[qubit].matrix) if qubit in singles else channel
            continue
        earlier = list({id(pair): pair for q in qubits if (pair := pairs.pop(q, None)) is not None}.values())
        for q in (q for pair in earlier for q in pair.qubits):
            pairs.pop(q, None)
        later = [singles.pop(q, None) for q in qubits]
        if len(qubits) > 2:
            yield from (*earlier, *(single for single in later if single is not None), channel)
            continue
        if any(later):
            both = _kron(*(np.eye(4) if single is None else single.matrix for single in later))
            channel = Channel(qubits, channel.matrix @ both)
        if len(earlier) == 1 and set(earlier[0].qubits) == set(qubits):
            channel = Channel(qubits, channel.matrix @ earlier[0].on(qubits))
        else:
            yield from earlier
        pairs |= dict.fromkeys(qubits, channel)
    yield from {id(pair): pair for pair in pairs.values()}.values()
    yield from singles.values()


def _kron(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the Kronecker product of the last two axes of arrays (..., 4, 4)."""
    product = np.einsum("...ij,...kl->...ikjl", first, second)
    return np.asarray(product.reshape(*product.shape[:-4], 16, 16))


@lru_cache(maxsize=8)
def _basis(qubits: int) -> Array:
    """Return the Pauli strings on k qubits, one flattened matrix per row, (4**k, 4**k)."""
    strings = reduce(lambda left, right: np.array([np.kron(a, b) for a in left for b in right]), [_PAULIS] * qubits)
    return np.asarray(strings.reshape(4**qubits, -1))
