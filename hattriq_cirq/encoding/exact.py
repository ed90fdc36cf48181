"""Amplitude encoding: circuits that prepare a vector from |0...0>, plain, jointly with an ancilla, or approximately.

A vector is prepared qubit by qubit, most significant first: qubit q turns by an angle that depends on the bits before it, a
uniformly controlled Ry (Mottonen, Vartiainen, Bergholm, Salomaa 2005). Three things make it cheaper than its worst case.
Angles nobody sees, because nothing reaches that branch, are chosen so that controls drop out. Angles that vanish after the
Walsh transform are left out together with the gates around them. And the CZ that would close each multiplexer is left out:
all of them commute to the end of the circuit, where they are signs, and the vector's signs are changed beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cirq
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hattriq_cirq.encoding.multiplexer import Multiplexer, Wiring, direct
from hattriq_cirq.foundation.arrays import Array, FloatArray, as_amplitudes


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
    turned = vector.imag.any()
    operations = [op for level in real_levels(np.abs(vector) if turned else vector.real, qubits, first) for op in level]
    if turned:
        operations += phase_operations(np.angle(vector), qubits, vector != 0)
    return circuit_from_ops(operations)


def circuit_from_ops(operations: Sequence[cirq.Operation]) -> cirq.Circuit:
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
    return [op for level in reversed(phase_levels(phases, qubits, seen)) for op in level]


def phase_levels(
    phases: FloatArray, qubits: Sequence[cirq.Qid], seen: NDArray[np.bool_], wiring: Wiring = direct
) -> list[list[cirq.Operation]]:
    """The operations of `phase_operations` by the qubit that turns; all levels commute."""
    levels: list[list[cirq.Operation]] = []
    for q in range(len(qubits) - 1, -1, -1):
        turns, phases, seen = _paired(phases, seen)
        mux = Multiplexer.of(turns, seen, qubits[:q], wiring(qubits[q]))
        levels.append(mux.operations(cirq.rz, cirq.CNOT) + mux.target.coupled(mux.left_open, cirq.CNOT))
    return levels[::-1]


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


def real_levels(
    x: FloatArray, qubits: Sequence[cirq.Qid], first: int = 0, wiring: Wiring = direct
) -> list[list[cirq.Operation]]:
    """Prepares a real vector from |0...0> by uniformly controlled Ry, in the cheaper of two ways.

    Args:
        x: (2**n,) of norm 1.
        qubits: n of them, most significant first.
        first: qubits before this position are in any state and only select.
        wiring: how qubits are coupled.

    Returns:
        Operations by the qubit that turns; at most 2**n - n - 1 CZ, if all pairs may be coupled and none only selects.
    """
    ways = [_with_open_frames(x, qubits, first, wiring)]
    if (x < 0).any() and first == 0:
        ways.append(_with_signed_branches(x, qubits, wiring))
    levels = min(ways, key=_couplings)
    return [mux.operations(cirq.ry, cirq.CZ) + mux.target.coupled(closing, cirq.CZ) for mux, closing in levels]


_Level = tuple[Multiplexer, list[cirq.Qid]]
"""The multiplexer of a qubit, and the controls to uncouple afterwards."""


def _couplings(levels: Sequence[_Level]) -> int:
    """Two-qubit gates in all."""
    return sum(mux.couplings + mux.target.price(closing) for mux, closing in levels)


def _with_open_frames(x: FloatArray, qubits: Sequence[cirq.Qid], first: int, wiring: Wiring) -> list[_Level]:
    """All signs in the last multiplexer, which also takes in those of the CZ the others leave open."""
    n = len(qubits)
    norms = [x]  # norms[j] belongs to the branches after n - j qubits
    for _ in range(n):
        norms.append(np.hypot(norms[-1][0::2], norms[-1][1::2]))
    levels: list[_Level] = []
    left_open: list[tuple[cirq.Qid, cirq.Qid]] = []
    for q in range(first, n - 1):
        mux = Multiplexer.of(*branch_turns(norms[n - 1 - q]), qubits[:q], wiring(qubits[q]))
        levels.append((mux, []))
        left_open += [(control, qubits[q]) for control in mux.left_open]
    *before, last = qubits
    target = wiring(last)
    signs = _signs(left_open, qubits)
    plain = Multiplexer.of(*branch_turns(x * signs), before, target)
    candidates = [(plain, plain.left_open)]
    if guess := plain.usual_end:  # what is left open decides the signs that it needs itself
        mux = Multiplexer.of(*branch_turns(x * signs * _signs([(control, last) for control in guess], qubits)), before, target)
        closing = set(mux.left_open) ^ set(guess)
        candidates.append((mux, [control for control in before if control in closing]))
    return [*levels, min(candidates, key=lambda level: _couplings([level]))]


def _with_signed_branches(x: FloatArray, qubits: Sequence[cirq.Qid], wiring: Wiring) -> list[_Level]:
    """Every branch with the sign that makes its larger half positive, every frame closed: product states cost nothing."""
    norms = [x]
    for _ in qubits:
        zero, one = norms[-1][0::2], norms[-1][1::2]
        larger = np.where(np.abs(zero) >= np.abs(one), zero, one)
        norms.append(np.copysign(np.hypot(zero, one), larger))
    levels: list[_Level] = []
    for q, qubit in enumerate(qubits):
        level = len(qubits) - 1 - q
        facing = np.repeat(np.copysign(1.0, norms[level + 1]), 2)
        if q == 0:
            facing = np.ones(2)  # the first turn takes the sign of the whole vector
        mux = Multiplexer.of(*branch_turns(norms[level] * facing), qubits[:q], wiring(qubit))
        levels.append((mux, mux.left_open))
    return levels


def branch_turns(norms: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
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
