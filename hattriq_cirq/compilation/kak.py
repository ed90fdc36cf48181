"""Cartan's decomposition of two-qubit unitaries into the fewest CZ gates, the same on every machine.

A two-qubit unitary is A exp(i (x XX + y YY + z ZZ)) B with single-qubit gates A and B, and x, y, z decide how many CZ it takes
(Vatan and Williams 2004; Shende, Bullock, Markov 2004). Libraries of linear algebra return any basis of a degenerate
eigenspace, which depends on rounding and so on the machine. Here matrices are diagonalised by Jacobi rotations that leave
alone what is within rounding of diagonal, and every choice between equals is made with a margin.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, permutations

import cirq
import numpy as np
from numpy.typing import NDArray

from hattriq_cirq.foundation.arrays import Array, FloatArray

_ZERO = 1e-9  # radians and matrix elements within this of a special value are the special value
_SWEEPS = 8  # largest number of Jacobi sweeps over a 4 x 4 matrix, which converge quadratically
_MAGIC = np.array([[1, 0, 0, 1j], [0, 1j, 1, 0], [0, 1j, -1, 0], [1, 0, 0, -1j]]) / np.sqrt(2)
#: Eigenvalues of XX, YY and ZZ on the columns of the magic basis.
_SIGNS = np.array([[1, 1, -1, -1], [-1, 1, -1, 1], [1, -1, -1, 1]])
_X, _Y, _Z, _H = (cirq.unitary(gate) for gate in (cirq.X, cirq.Y, cirq.Z, cirq.H))
_PAULIS = np.array([_X, _Y, _Z])
#: Gates as the positions of their qubits and their matrices; None is a CZ.
Gates = list[tuple[tuple[int, ...], Array | None]]


def multiply(left: Array, right: Array) -> Array:
    """Return the products of stacked matrices, (matrices or 1, size, size), computed element by element.

    Example:
        >>> multiply(np.eye(2)[np.newaxis], 2 * np.eye(2)[np.newaxis]).tolist()
        [[[2.0, 0.0], [0.0, 2.0]]]
    """
    return np.asarray((left[:, :, :, np.newaxis] * right[:, np.newaxis, :, :]).sum(axis=2))


@dataclass(frozen=True, eq=False)
class KakDecompositions:
    """Cartan's decompositions of some two-qubit unitaries: L exp(i phases) R' in the magic basis, with L and R in SO(4).

    Args:
        left: Matrices L, (unitaries, 4, 4).
        phases: Phases in radians, (unitaries, 4).
        right: Matrices R, (unitaries, 4, 4).

    Example:
        >>> gates = [cirq.I, cirq.CZ, cirq.ISWAP, cirq.SWAP]
        >>> unitaries = np.array([np.eye(4), *(cirq.unitary(gate) for gate in gates[1:])])
        >>> KakDecompositions.of(unitaries).cz_counts.tolist()
        [0, 1, 2, 3]
    """

    left: FloatArray
    phases: FloatArray
    right: FloatArray

    @classmethod
    def of(cls, unitaries: Array) -> KakDecompositions:
        """Decompose unitaries, (unitaries, 4, 4)."""
        magic = multiply(multiply(_MAGIC.conj().T[np.newaxis], unitaries), _MAGIC[np.newaxis])
        square = multiply(magic.transpose(0, 2, 1), magic)
        right = _common_eigenvectors(square.real, square.imag)
        values = multiply(multiply(right.transpose(0, 2, 1), square), right)
        phases = np.angle(np.diagonal(values, axis1=1, axis2=2))
        phases = np.where(phases < -np.pi + _ZERO, phases + 2 * np.pi, phases) / 2
        left = (multiply(magic, right) * np.exp(-1j * phases)[:, np.newaxis]).real
        mirrored = np.linalg.det(left) < 0
        left[mirrored, :, 0] *= -1
        phases[mirrored, 0] += np.pi
        return cls(left, phases, right)

    def __getitem__(self, rows: slice) -> KakDecompositions:
        """Return some of the decompositions."""
        return KakDecompositions(self.left[rows], self.phases[rows], self.right[rows])

    @cached_property
    def cz_counts(self) -> NDArray[np.intp]:
        """Least number of CZ gates that each unitary takes, (unitaries,)."""
        sizes = np.sort(np.abs(_reduced(self.phases @ _SIGNS.T / 4)[0]), axis=1)
        small = sizes < _ZERO
        is_cz = small[:, 1] & (np.abs(sizes[:, 2] - np.pi / 4) < _ZERO)
        return np.where(small[:, 2], 0, np.where(is_cz, 1, np.where(small[:, 0], 2, 3)))

    def canonical(self) -> cirq.KakDecomposition:
        """Return the first decomposition as Cirq's value, up to a global phase, as a function of the unitary alone.

        Coefficients are x >= y >= |z| with x <= pi/4, and z >= 0 if x = pi/4; those within rounding of 0 and pi/4 are equal to
        them. Single-qubit gates do not depend on the way in which eigenvectors were computed; their errors are rounding errors
        divided by the smallest difference between eigenvalues that are not equal within rounding.
        """
        left, phases, right = _standard_form(self.left[0], self.phases[0], self.right[0])
        coefficients, before, after = _ordered(_SIGNS @ phases / 4)
        coefficients = np.where(np.abs(coefficients) < _ZERO, 0.0, coefficients)
        coefficients = np.where(np.abs(coefficients - np.pi / 4) < _ZERO, np.pi / 4, coefficients)
        x, y, z = (float(each) for each in coefficients)
        flip, shift = np.eye(2), np.eye(2)  # XX, YY and ZZ change sign in pairs if one qubit is flipped on both sides
        if x < 0 or y < 0:
            flip = _Z if x < 0 and y < 0 else _Y if x < 0 else _X
            x, y, z = abs(x), abs(y), z if x < 0 and y < 0 else -z
        if x == np.pi / 4 and z < 0:  # exp(i pi/2 XX) is X on both qubits
            flip, shift, z = _Y @ flip, _X, -z
        outer = [_local_factors(_MAGIC @ side @ _MAGIC.conj().T) for side in (right.T, left)]
        return cirq.KakDecomposition(
            global_phase=1,
            single_qubit_operations_before=(flip @ shift @ before @ outer[0][0], shift @ before @ outer[0][1]),
            interaction_coefficients=(x, y, z),
            single_qubit_operations_after=(outer[1][0] @ after @ flip.conj().T, outer[1][1] @ after),
        )

    def cz_gates(self) -> Gates:
        """Return gates that equal unitaries of the same `cz_counts` up to a global phase, with stacked matrices."""
        count = int(self.cz_counts[0])
        sequences = [_sequence(*pieces, count) for pieces in zip(self.left, self.phases, self.right, strict=True)]
        return [
            (axes, None if matrix is None else np.array([sequence[i][1] for sequence in sequences]))
            for i, (axes, matrix) in enumerate(sequences[0])
        ]


def _sequence(left: FloatArray, phases: FloatArray, right: FloatArray, count: int) -> Gates:
    """Return the gates of left * exp(i phases) * right' in the magic basis."""
    (x, y, z), before, after = _ordered(_SIGNS @ phases / 4)
    core: Gates
    cz: tuple[tuple[int, ...], Array | None] = ((0, 1), None)
    if count == 0:
        core = []
    elif count == 1:
        sign = np.diag(np.exp(np.sign(x) * 0.25j * np.pi * np.array([1, -1])))
        core = [((0,), _H), ((1,), _H), cz, ((0,), _H @ sign), ((1,), _H @ sign)]
    elif count == 2:
        core = [
            ((0,), _power(_X, 0.5)), ((1,), _H), cz,
            ((0,), _power(_X, -2 * x / np.pi)), ((1,), _H @ _power(_Y, -2 * y / np.pi) @ _H), cz,
            ((0,), _power(_X, -0.5)), ((1,), _H),
        ]  # fmt: skip
    else:
        a, b, c = (-2 * angle / np.pi + 0.5 for angle in (x, y, z))
        core = [
            ((0,), _power(_X, 0.5)), ((1,), _H), cz,
            ((0,), _H @ _power(_X, a)), ((1,), _power(_Y, b) @ _H), cz,
            ((0,), _H), ((1,), _H @ _power(_Z, c) @ _power(_X, -0.5)), cz,
            ((1,), _H),
        ]  # fmt: skip
    outer = [_local_factors(_MAGIC @ side @ _MAGIC.conj().T) for side in (right.T, left)]
    first = [((i,), before @ factor) for i, factor in enumerate(outer[0])]
    last = [((i,), factor @ after) for i, factor in enumerate(outer[1])]
    return [*first, *core, *last]


def interaction(coefficients: FloatArray) -> Array:
    """Return the matrix exp(i (x XX + y YY + z ZZ)), (4, 4).

    Example:
        >>> interaction(np.array([0, 0, np.pi / 2])).diagonal().round(9) + 0
        array([0.+1.j, 0.-1.j, 0.-1.j, 0.+1.j])
    """
    return np.asarray(_MAGIC * np.exp(1j * _SIGNS.T @ coefficients) @ _MAGIC.conj().T)


def _standard_form(left: FloatArray, phases: FloatArray, right: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return a decomposition of the same matrix that depends on the matrix only.

    The phases are in order, and those of equal eigenvalues are equal. The eigenvectors of an eigenvalue are the projections of
    unit vectors onto its eigenspace, in the order of their lengths.
    """
    matrix = left * np.exp(1j * phases) @ right.T
    values = np.exp(2j * phases)
    halves = np.angle(values) / 2
    halves = np.where(halves < -np.pi / 2 + _ZERO, halves + np.pi, halves)
    vectors: list[FloatArray] = []
    centers: list[float] = []
    remaining = np.argsort(halves)
    while len(remaining):
        first = remaining[0]
        equal = np.abs(values[remaining] - values[first]) < _ZERO
        own, remaining = remaining[equal], remaining[~equal]
        centers += [halves[first] + np.angle(values[own] * values[first].conj()).mean() / 2] * len(own)
        projector = right[:, own] @ right[:, own].T
        for _ in own:
            pivot = int(np.argmax(np.round(np.diagonal(projector), 6)))
            vectors.append(projector[:, pivot] / np.sqrt(projector[pivot, pivot]))
            projector = projector - np.outer(vectors[-1], vectors[-1])
    right, phases = np.array(vectors).T, np.array(centers)
    right[:, 0] *= np.sign(np.linalg.det(right))
    left = (matrix @ right * np.exp(-1j * phases)).real
    if np.linalg.det(left) < 0:
        left[:, 0] *= -1
        phases[0] += np.pi
    return left, phases, right


def _ordered(angles: FloatArray) -> tuple[FloatArray, Array, Array]:
    """Return coefficients in (-pi/4, pi/4] of decreasing size with the gates on both qubits before and after them."""
    angles, turns = _reduced(angles)
    order = np.argsort(-np.round(np.abs(angles) / _ZERO) * _ZERO, kind="stable")
    frame = _CLIFFORDS[tuple(order.tolist())]
    shift = np.eye(2)
    for pauli, turn in zip(_PAULIS, turns, strict=True):
        if turn % 2:
            shift = pauli @ shift
    return angles[order], frame @ shift, frame.conj().T


def _power(pauli: Array, exponent: float) -> Array:
    """Return a power of a Pauli matrix."""
    half = np.exp(0.5j * np.pi * exponent)
    return np.asarray(half * (np.cos(np.pi * exponent / 2) * np.eye(2) - 1j * np.sin(np.pi * exponent / 2) * pauli))


def _local_factors(matrix: Array) -> tuple[Array, Array]:
    """Return the two unitary factors of a tensor product, up to phases."""
    tensor = matrix.reshape(2, 2, 2, 2)
    row, column = divmod(int(np.argmax(np.round(np.abs(tensor).sum(axis=(0, 2)), 6))), 2)
    first = tensor[:, row, :, column]
    first = first / np.sqrt((np.abs(first) ** 2).sum() / 2)
    second = np.einsum("ji,jaib->ab", first.conj().T, tensor.transpose(2, 1, 0, 3)) / 2
    return first, second


def _reduced(angles: FloatArray) -> tuple[FloatArray, NDArray[np.int_]]:
    """Return angles reduced to (-pi/4, pi/4] by half of half turns, and their numbers; the border has a margin."""
    turns = np.ceil(2 * angles / np.pi - 0.5 - _ZERO).astype(int)
    return angles - turns * np.pi / 2, turns


def _common_eigenvectors(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return a rotation that diagonalises two commuting symmetric matrices, (matrices, 4, 4), by Jacobi's method."""
    pair = np.stack([first, second])
    vectors = np.broadcast_to(np.eye(4), first.shape).copy()
    for _ in range(_SWEEPS):
        is_diagonal = True
        for p, q in combinations(range(4), 2):
            difference, off = pair[:, :, p, p] - pair[:, :, q, q], 2 * pair[:, :, p, q]
            on_axis, off_axis = (difference**2 - off**2).sum(axis=0), 2 * (difference * off).sum(axis=0)
            size = np.hypot(on_axis, off_axis)
            angle = np.arctan2(off_axis, on_axis + size) / 2
            angle = np.where((on_axis < 0) & (np.abs(off_axis) < _ZERO * size), np.pi / 4, angle)
            angle = np.where(np.abs(off).max(axis=0) < 1e-13, 0.0, angle)
            if not angle.any():
                continue
            is_diagonal = False
            cosine, sine = np.cos(angle)[:, np.newaxis], np.sin(angle)[:, np.newaxis]
            for matrices in (pair.transpose(0, 1, 3, 2), pair, vectors[np.newaxis]):
                old = matrices[..., p].copy()
                matrices[..., p] = cosine * old + sine * matrices[..., q]
                matrices[..., q] = cosine * matrices[..., q] - sine * old
        if is_diagonal:
            break
    return vectors


def _clifford(order: tuple[int, ...]) -> Array:
    """Return C with C P C' = X and C Q C' = Y up to signs, for the Paulis P and Q at the first two positions of an order."""
    gates = [cirq.unitary(gate) for gate in (cirq.I, cirq.S, cirq.H)]
    products = [np.eye(2)]
    for _ in range(4):
        products += [gate @ product for gate in gates for product in products]
        for product in products:
            images = [product @ _PAULIS[k] @ product.conj().T for k in order]
            if all(abs(np.trace(image @ pauli)) > 1.5 for image, pauli in zip(images, _PAULIS, strict=True)):
                return np.asarray(product)
    raise AssertionError(order)


_CLIFFORDS = {order: _clifford(order) for order in permutations(range(3))}
