"""Amplitude encoding: circuits that prepare a vector from |0...0>, plain, jointly with an ancilla, or approximately.

A vector is prepared qubit by qubit, most significant first: qubit q turns by an angle that depends on the bits before it, a
uniformly controlled Ry (Mottonen, Vartiainen, Bergholm, Salomaa 2005). Three things make it cheaper than its worst case.
Angles nobody sees, because nothing reaches that branch, are chosen so that controls drop out. Angles that vanish after the
Walsh transform are left out together with the gates around them. And the CZ that would close each multiplexer is left out:
all of them commute to the end of the circuit, where they are signs, and the vector's signs are changed beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import cirq
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hattriq_cirq._arrays import Array, FloatArray, as_amplitudes, parity_signs, walsh_hadamard

_ZERO = 1e-14  # radians; a turn below this changes no amplitude by more than rounding


def encode(x: ArrayLike, qubits: Sequence[cirq.Qid], *, global_phase: bool = False) -> cirq.Circuit:
    """Prepares x / |x| from |0...0>, up to a global phase, exactly.

    Real vectors of any sign take at most 2**n - n - 1 CZ, complex ones at most 2**n - 2 CNOT more. A uniform vector takes
    none, and zero blocks none for the controls they free.

    Args:
        x: (2**n,) real or complex, any norm but 0.
        qubits: n of them, most significant first.
        global_phase: add the phase that complex vectors otherwise lose, for circuits that will be controlled.

    Returns:
        A circuit of Ry, Rz, CZ and CNOT, and with `global_phase` a global phase gate.

    Raises:
        ValueError: x is blank, not finite or of another size.
    """
    vector = unit_vector(x, qubits)
    circuit = _prepared(vector, qubits)
    if global_phase and vector.imag.any():
        circuit.append(cirq.global_phase_operation(np.exp(1j * _mean_phase(np.angle(vector), vector != 0))))
    return circuit


def unit_vector(x: ArrayLike, qubits: Sequence[cirq.Qid]) -> Array:
    """X / |x| for these qubits, (2**n,), or an error that says why x cannot be encoded."""
    vector = as_amplitudes(x, "x", 2 ** len(qubits))
    if vector.ndim != 1:
        raise ValueError(f"{vector.shape=} must be one vector; encode the rows of a batch one by one")
    norm = np.linalg.norm(vector)
    if norm == 0:
        raise ValueError("x is blank: amplitude encoding needs a direction")
    unit: Array = vector / norm
    return unit


def _prepared(vector: Array, qubits: Sequence[cirq.Qid], first: int = 0) -> cirq.Circuit:
    """Turns for the magnitudes, then for the phases; qubits before the `first` only select."""
    if not vector.imag.any():
        return _placed(_real_operations(vector.real, qubits, first))
    phases = phase_operations(np.angle(vector), qubits, vector != 0)
    return _placed(_real_operations(np.abs(vector), qubits, first) + phases)


def _placed(operations: Sequence[cirq.Operation]) -> cirq.Circuit:
    """A circuit of these operations; a long one a moment each, since all but a few are serial and placing them is slow."""
    if len(operations) < 64:
        return cirq.Circuit(operations)
    moments = {id(op): cirq.Moment.from_ops(op) for op in {id(op): op for op in operations}.values()}
    return cirq.Circuit.from_moments(*(moments[id(op)] for op in operations))


Encoder = Callable[[ArrayLike, Sequence[cirq.Qid]], cirq.Circuit]
"""Prepares a vector from |0...0> on qubits, most significant first: `encode`, or an approximation of it."""


def encode_joint(
    zero: ArrayLike, one: ArrayLike, ancilla: cirq.Qid, qubits: Sequence[cirq.Qid], *, encoder: Encoder = encode
) -> cirq.Circuit:
    """Prepares (|0>|zero> + |1>|one>) / norm on an ancilla and data qubits, as one vector of twice the size.

    With `one` = |0...0> it is the controlled encoding of `zero`, at most 2**(n + 1) - n - 2 CZ for real vectors; with equal
    vectors it is an H on the ancilla beside the plain encoding.

    Args:
        zero: (2**n,), the branch of ancilla 0; its norm is its weight.
        one: (2**n,), the branch of ancilla 1.
        ancilla: the qubit that selects.
        qubits: n data qubits, most significant first.
        encoder: prepares the vector of twice the size.

    Returns:
        The circuit, from |0...0>.

    Raises:
        ValueError: both are blank, or sizes differ.
    """
    branches = [as_amplitudes(branch, name, 2 ** len(qubits)) for name, branch in (("zero", zero), ("one", one))]
    return encoder(np.concatenate(branches), [ancilla, *qubits])


def encode_controlled(
    x: ArrayLike,
    ancillas: Sequence[cirq.Qid],
    value: int,
    qubits: Sequence[cirq.Qid],
    *,
    literal: bool = False,
) -> cirq.Circuit:
    """Prepares x / |x| on qubits in |0...0> where the ancillas, in any state, hold a value; elsewhere it does nothing.

    It is one multiplexed rotation a qubit, selected by ancillas and qubits alike: with one ancilla at most 2**(n + 1) - 2
    CZ for a real x. The relative phase of the branches is exact.

    Args:
        x: (2**n,) real or complex, any norm but 0.
        ancillas: one or more, most significant first; they are not turned.
        value: what they must hold, 0 .. 2**len(ancillas) - 1.
        qubits: n data qubits, most significant first, in |0...0>.
        literal: control every gate of the plain encoding instead, as the paper's circuits do; for pricing.

    Returns:
        The circuit.

    Raises:
        ValueError: x is blank or of another size, or the value is out of range.
    """
    if not ancillas or not 0 <= value < 2 ** len(ancillas):
        raise ValueError(f"{value=} must be a state of the {len(ancillas)} ancillas, 0 .. {2 ** len(ancillas) - 1}")
    if literal:
        held = [value >> i & 1 for i in reversed(range(len(ancillas)))]
        plain = encode(x, qubits, global_phase=True)
        return cirq.Circuit(op.controlled_by(*ancillas, control_values=held) for op in plain.all_operations())
    vector = unit_vector(x, qubits)
    branches = np.zeros((2 ** len(ancillas), len(vector)), dtype=vector.dtype)
    branches[:, 0] = 1
    branches[value] = vector
    return _prepared(branches.reshape(-1), [*ancillas, *qubits], first=len(ancillas))


def phase_operations(
    phases: FloatArray, qubits: Sequence[cirq.Qid], seen: NDArray[np.bool_] | None = None
) -> list[cirq.Operation]:
    """Multiplies amplitude k by exp(i phases[k]), up to a global phase: a cascade of uniformly controlled Rz.

    Args:
        phases: (2**n,), radians.
        qubits: n of them, most significant first.
        seen: (2**n,), False where the amplitude is 0, so that its phase does not matter; None sees all.

    Returns:
        Operations with at most 2**n - 2 CNOT.
    """
    seen = np.ones(len(phases), dtype=bool) if seen is None else seen
    operations: list[cirq.Operation] = []
    for q in range(len(qubits) - 1, -1, -1):
        turns, phases, seen = _paired(phases, seen)
        mux = _Multiplexer.of(turns, seen, qubits[:q])
        operations += mux.operations(qubits[q], cirq.rz, cirq.CNOT)
        operations += [cirq.CNOT(control, qubits[q]) for control in mux.left_open]
    return operations


def _paired(phases: FloatArray, seen: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """The phases of neighbours as an Rz angle and a mean; an unseen neighbour takes the phase of the seen one."""
    zero = np.where(seen[0::2], phases[0::2], phases[1::2])
    one = np.where(seen[1::2], phases[1::2], phases[0::2])
    return one - zero, (zero + one) / 2, seen[0::2] | seen[1::2]


def _mean_phase(phases: FloatArray, seen: NDArray[np.bool_]) -> float:
    """The global phase that `phase_operations` leaves out."""
    while len(phases) > 1:
        _, phases, seen = _paired(phases, seen)
    return float(phases[0])


def _real_operations(x: FloatArray, qubits: Sequence[cirq.Qid], first: int = 0) -> list[cirq.Operation]:
    """Ry multiplexers that prepare a real vector, in the cheaper of two ways; qubits before the `first` only select."""
    ways = [_with_open_frames(x, qubits, first)]
    if (x < 0).any() and first == 0:
        ways.append(_with_signed_branches(x, qubits))
    _, levels = min(ways, key=lambda found: found[0])
    qubits = qubits[first:]
    operations: list[cirq.Operation] = []
    for (mux, closing), qubit in zip(levels, qubits, strict=True):
        operations += mux.operations(qubit, cirq.ry, cirq.CZ)
        operations += [cirq.CZ(control, qubit) for control in closing]
    return operations


_Levels = tuple[int, list[tuple["_Multiplexer", list[cirq.Qid]]]]
"""Couplings in all, and for each qubit its multiplexer and the controls to uncouple afterwards."""


def _with_open_frames(x: FloatArray, qubits: Sequence[cirq.Qid], first: int) -> _Levels:
    """All signs in the last multiplexer, which also takes in those of the CZ the others leave open."""
    n = len(qubits)
    norms = [x]  # norms[j] belongs to the branches after n - j qubits
    for _ in range(n):
        norms.append(np.hypot(norms[-1][0::2], norms[-1][1::2]))
    levels: list[tuple[_Multiplexer, list[cirq.Qid]]] = []
    left_open: list[tuple[cirq.Qid, cirq.Qid]] = []
    for q in range(first, n - 1):
        mux = _Multiplexer.of(*_turns(norms[n - 1 - q]), qubits[:q])
        levels.append((mux, []))
        left_open += [(control, qubits[q]) for control in mux.left_open]
    signs = _signs(left_open, qubits)
    plain = _Multiplexer.of(*_turns(x * signs), qubits[:-1])
    candidates = [(plain, plain.left_open)]
    for guess in plain.controls[:1]:  # the end of a full Gray code; the CZ left open decides its own signs
        mux = _Multiplexer.of(*_turns(x * signs * _signs([(guess, qubits[-1])], qubits)), qubits[:-1])
        closing = set(mux.left_open) ^ {guess}
        candidates.append((mux, [control for control in qubits[:-1] if control in closing]))
    levels.append(min(candidates, key=lambda found: found[0].couplings + len(found[1])))
    return sum(mux.couplings + len(closing) for mux, closing in levels), levels


def _with_signed_branches(x: FloatArray, qubits: Sequence[cirq.Qid]) -> _Levels:
    """Every branch with the sign that makes its larger half positive, every frame closed: product states cost nothing."""
    norms = [x]
    for _ in qubits:
        zero, one = norms[-1][0::2], norms[-1][1::2]
        larger = np.where(np.abs(zero) >= np.abs(one), zero, one)
        norms.append(np.copysign(np.hypot(zero, one), larger))
    levels: list[tuple[_Multiplexer, list[cirq.Qid]]] = []
    for q in range(len(qubits)):
        level = len(qubits) - 1 - q
        facing = np.repeat(np.copysign(1.0, norms[level + 1]), 2)
        if q == 0:
            facing = np.ones(2)  # the first turn takes the sign of the whole vector
        mux = _Multiplexer.of(*_turns(norms[level] * facing), qubits[:q])
        levels.append((mux, mux.left_open))
    return sum(mux.couplings + len(closing) for mux, closing in levels), levels


def _turns(norms: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """The Ry angle of each branch, and whether anything reaches it."""
    zero, one = norms[0::2], norms[1::2]
    return 2 * np.arctan2(one, zero), (np.abs(zero) > 0) | (np.abs(one) > 0)


def _signs(pairs: Sequence[tuple[cirq.Qid, cirq.Qid]], qubits: Sequence[cirq.Qid]) -> FloatArray:
    """What CZ gates on these pairs do to each amplitude, +1 or -1."""
    n = len(qubits)
    index = np.arange(2**n)
    bit = {q: index >> (n - 1 - i) & 1 for i, q in enumerate(qubits)}
    odd = sum((bit[a] & bit[b] for a, b in pairs), np.zeros(2**n, dtype=int))
    return np.where(odd % 2, -1.0, 1.0)


@dataclass(frozen=True)
class _Multiplexer:
    """A uniformly controlled rotation in Gray-code form: turns, each in a frame of couplings to some controls.

    Bit b of a mask, counted from the least significant, stands for `controls[-1 - b]`. The frame after the last turn is left
    open; `left_open` names the controls it is coupled to.
    """

    controls: tuple[cirq.Qid, ...]
    masks: tuple[int, ...]
    angles: tuple[float, ...]

    @classmethod
    def of(cls, angles: FloatArray, reached: NDArray[np.bool_], controls: Sequence[cirq.Qid]) -> _Multiplexer:
        """From one angle a branch, (2**controls,); the angles of branches that nothing reaches are free."""
        kept = list(controls)
        for control in controls:
            axis = kept.index(control)
            shape = (2**axis, 2, 2 ** (len(kept) - axis - 1))
            pair, seen = angles.reshape(shape), reached.reshape(shape)
            differs = np.abs(pair[:, 0] - pair[:, 1]) >= _ZERO
            if not (differs & seen[:, 0] & seen[:, 1]).any():  # this control changes nothing anybody sees
                angles = np.where(seen[:, 0], pair[:, 0], pair[:, 1]).reshape(-1)
                reached = (seen[:, 0] | seen[:, 1]).reshape(-1)
                kept.remove(control)
        gray = np.arange(len(angles)) ^ np.arange(len(angles)) >> 1
        fillings = [np.where(reached, angles, 0.0)]
        if not reached.all():
            fillings.append(_filled_to_end_early(angles, reached, gray))
        options = []
        for filled in fillings:
            turns = walsh_hadamard(filled) / len(filled)
            order = gray[np.abs(turns[gray]) > _ZERO]
            options.append(cls(tuple(kept), tuple(order.tolist()), tuple(turns[order].tolist())))
        return min(options, key=lambda option: option.couplings)

    @cached_property
    def couplings(self) -> int:
        """Two-qubit gates, with the last frame left open."""
        masks = np.array((0, *self.masks))
        return int(np.bitwise_count(masks[1:] ^ masks[:-1]).sum())

    @property
    def left_open(self) -> list[cirq.Qid]:
        """Controls to which the target is still coupled after the last turn."""
        return self._named(self.masks[-1]) if self.masks else []

    def operations(self, target: cirq.Qid, turn: Callable[[float], cirq.Gate], coupling: cirq.Gate) -> list[cirq.Operation]:
        """The turns and the couplings between them, without those that would close the last frame."""
        operations: list[cirq.Operation] = []
        couple = {control: coupling(control, target) for control in self.controls}
        moves: dict[int, list[cirq.Operation]] = {}
        frame = 0
        for mask, angle in zip(self.masks, self.angles, strict=True):
            move = frame ^ mask
            if move not in moves:
                moves[move] = [couple[control] for control in self._named(move)]
            operations += moves[move]
            operations.append(cirq.GateOperation(turn(angle), [target]))
            frame = mask
        return operations

    def _named(self, mask: int) -> list[cirq.Qid]:
        return [control for b, control in enumerate(reversed(self.controls)) if mask >> b & 1]


def _filled_to_end_early(angles: FloatArray, reached: NDArray[np.bool_], gray: NDArray[np.intp]) -> FloatArray:
    """Chooses the free angles so that as many turns vanish, from the end of the Gray code, as there are free branches."""
    free = np.flatnonzero(~reached)
    columns = parity_signs(gray[::-1, np.newaxis] & free)
    known = parity_signs(gray[::-1, np.newaxis] & np.flatnonzero(reached))
    pivots = _independent_rows(columns)
    solution = np.linalg.solve(columns[pivots], -(known[pivots] @ angles[reached]))
    filled = angles.copy()
    filled[free] = solution
    return filled


def _independent_rows(matrix: FloatArray) -> NDArray[np.intp]:
    """The first rows that span the row space, in order."""
    basis = np.zeros((0, matrix.shape[1]))
    rows: list[int] = []
    for i, row in enumerate(matrix):
        rest = row - basis.T @ (basis @ row)
        rest -= basis.T @ (basis @ rest)
        size = np.linalg.norm(rest)
        if size > 1e-6 * np.linalg.norm(row):
            basis = np.vstack([basis, rest / size])
            rows.append(i)
            if len(rows) == matrix.shape[1]:
                break
    return np.array(rows)
