"""Exact amplitude encoding: circuits that prepare a vector from |0...0>, alone or jointly with an ancilla.

A vector is prepared qubit by qubit, most significant first: each qubit is rotated by an angle that depends on the qubits
before it, a uniformly controlled Ry (Mottonen, Vartiainen, Bergholm, Salomaa 2005). Three things reduce the number of gates.
Angles of branches with zero amplitude are free, and are chosen so that controls drop out. Angles that vanish after the Walsh
transform are left out together with the gates around them. And the CZ gates that would close each multiplexer are left out:
they commute to the end of the circuit, where they only change signs, and the vector's signs are changed beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

import cirq
import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.encoding.multiplexer import (
    ClosedMultiplexer,
    Multiplexer,
    RotationTarget,
    closed_cnot_count,
    closed_operations,
)
from hattriq_cirq.foundation.arrays import Array, BoolArray, FloatArray, as_amplitudes, unit_vectors

#: Function that returns a circuit which prepares a vector from |0...0> on qubits, most significant first, such as `encode`.
Encoder = Callable[[ArrayLike, Sequence[cirq.Qid]], cirq.Circuit]
#: Function from a qubit to the qubit that is rotated to prepare its value, with the CNOT counts that reach it.
TargetFactory = Callable[[cirq.Qid], RotationTarget]


def encode(x: ArrayLike, qubits: Sequence[cirq.Qid], *, global_phase: bool = False) -> cirq.Circuit:
    """Return a circuit that prepares x / |x| from |0...0> exactly, up to a global phase.

    Real vectors of any sign take at most 2**n - n - 1 CZ, complex ones at most 2**n - 2 CNOT more. A uniform vector takes no
    two-qubit gate, and blocks of zeros save the controls that would select them.

    Args:
        x: Real or complex vector, (2**n,), of any norm but 0.
        qubits: The n qubits, most significant first.
        global_phase: Include the global phase, which matters in a circuit that will be controlled.

    Returns:
        A circuit of Ry, Rz, CZ and CNOT, and with `global_phase` a global phase gate.

    Raises:
        ValueError: x is the zero vector, not finite, or of another size.

    Example:
        >>> circuit = encode([3, 4], cirq.LineQubit.range(1))
        >>> circuit.final_state_vector().real.round(2)
        array([0.6, 0.8])
    """
    vector = unit_vector(x, qubits)
    is_complex = vector.imag.any()
    operations = list(chain(*real_levels(np.abs(vector) if is_complex else vector.real, qubits)))
    if is_complex:
        operations += phase_operations(np.angle(vector), qubits, vector != 0)
    circuit = circuit_from_ops(operations)
    if global_phase and is_complex:
        circuit.append(cirq.global_phase_operation(np.exp(1j * _mean_phase(np.angle(vector), vector != 0))))
    return circuit


def unit_vector(x: ArrayLike, qubits: Sequence[cirq.Qid]) -> Array:
    """Return x / |x|, checked to fit the qubits.

    Args:
        x: Real or complex vector, (2**n,), of any norm but 0.
        qubits: The n qubits.

    Returns:
        The vector of norm 1, (2**n,).

    Raises:
        ValueError: x is the zero vector, not finite, or of another size.

    Example:
        >>> unit_vector([3, 4], cirq.LineQubit.range(1))
        array([0.6, 0.8])
    """
    vector = as_amplitudes(x, "x", 2 ** len(qubits))
    if vector.ndim != 1:
        raise ValueError(f"{vector.shape=} must be one vector; encode the rows of a batch one by one")
    direction, _, _ = unit_vectors(vector)
    if not direction.any():
        raise ValueError("x is the zero vector, which has no direction and cannot be amplitude-encoded; remove it")
    return direction


def circuit_from_ops(operations: Sequence[cirq.Operation]) -> cirq.Circuit:
    """Return a circuit of operations.

    A long circuit has one moment per operation, because nearly all operations are serial and packing them is slow.
    """
    if len(operations) < 64:
        return cirq.Circuit(operations)
    moments = {id(op): cirq.Moment.from_ops(op) for op in {id(op): op for op in operations}.values()}
    return cirq.Circuit.from_moments(*(moments[id(op)] for op in operations))


def encode_joint(
    zero: ArrayLike, one: ArrayLike, ancilla: cirq.Qid, qubits: Sequence[cirq.Qid], *, encoder: Encoder = encode
) -> cirq.Circuit:
    """Return a circuit that prepares (|0>|zero> + |1>|one>) / norm on an ancilla and data qubits, as one larger vector.

    With `one` = |0...0> it is the controlled encoding of `zero`, at most 2**(n + 1) - n - 2 CZ for real vectors; with equal
    vectors it is an H on the ancilla beside the plain encoding.

    Args:
        zero: Vector of the branch in which the ancilla is 0, (2**n,); its norm is its weight.
        one: Vector of the branch in which the ancilla is 1, (2**n,).
        ancilla: Qubit that selects the branch.
        qubits: The n data qubits, most significant first.
        encoder: Encoder of the vector of twice the size.

    Returns:
        The circuit, which starts from |0...0>.

    Raises:
        ValueError: Both vectors are zero, or their sizes differ.

    Example:
        >>> ancilla, data = cirq.LineQubit.range(2)
        >>> encode_joint([1, 0], [0, 1], ancilla, [data]).final_state_vector().real.round(3)
        array([0.707, 0.   , 0.   , 0.707])
    """
    branches = [as_amplitudes(branch, name, 2 ** len(qubits)) for name, branch in (("zero", zero), ("one", one))]
    return encoder(np.concatenate(branches), [ancilla, *qubits])


def encode_controlled(x: ArrayLike, ancillas: Sequence[cirq.Qid], value: int, qubits: Sequence[cirq.Qid]) -> cirq.Circuit:
    """Return the encoding of x with every gate controlled by ancillas, as in the circuits of the paper.

    Args:
        x: Real or complex vector, (2**n,), of any norm but 0.
        ancillas: One or more qubits in any state, most significant first.
        value: Value of the ancillas for which x is prepared, 0 .. 2**len(ancillas) - 1; for others nothing happens.
        qubits: The n data qubits, most significant first, in |0...0>.

    Returns:
        The circuit, exact in the relative phase of the branches.

    Raises:
        ValueError: x is the zero vector or of another size, or the value is out of range.

    Example:
        >>> ancilla, data = cirq.LineQubit.range(2)
        >>> circuit = cirq.Circuit(cirq.X(ancilla)) + encode_controlled([3, 4], [ancilla], 1, [data])
        >>> circuit.final_state_vector().real.round(2)
        array([0. , 0. , 0.6, 0.8])
    """
    if not ancillas or not 0 <= value < 2 ** len(ancillas):
        raise ValueError(f"{value=} must be a state of the {len(ancillas)} ancillas, 0 .. {2 ** len(ancillas) - 1}")
    bits = [value >> i & 1 for i in reversed(range(len(ancillas)))]
    plain = encode(x, qubits, global_phase=True)
    return cirq.Circuit(op.controlled_by(*ancillas, control_values=bits) for op in plain.all_operations())


def phase_operations(phases: FloatArray, qubits: Sequence[cirq.Qid], nonzero: BoolArray | None = None) -> list[cirq.Operation]:
    """Return operations that multiply amplitude k by exp(i phases[k]), up to a global phase: uniformly controlled Rz.

    Args:
        phases: Phases in radians, (2**n,).
        qubits: The n qubits, most significant first.
        nonzero: False for amplitudes that are 0 and whose phase does not matter, (2**n,); None if all phases matter.

    Returns:
        Operations with at most 2**n - 2 CNOT.

    Example:
        >>> phase_operations(np.array([0.0, np.pi]), cirq.LineQubit.range(1))
        [cirq.Rz(rads=3.141592653589793).on(cirq.LineQubit(0))]
    """
    nonzero = np.ones(len(phases), dtype=bool) if nonzero is None else nonzero
    return list(chain(*reversed(phase_levels(phases, qubits, nonzero))))


def phase_levels(
    phases: FloatArray, qubits: Sequence[cirq.Qid], nonzero: BoolArray, target_of: TargetFactory = RotationTarget
) -> list[list[cirq.Operation]]:
    """Return the operations of `phase_operations` per rotated qubit; all of these lists commute with each other."""
    levels: list[list[cirq.Operation]] = []
    for q in range(len(qubits) - 1, -1, -1):
        angles, phases, nonzero = _merge_pairs(phases, nonzero)
        mux = Multiplexer.of(angles, nonzero, qubits[:q], target_of(qubits[q]))
        levels.append(mux.operations(cirq.rz, cirq.CNOT) + mux.target.couple(mux.open_controls, cirq.CNOT))
    return levels[::-1]


def _merge_pairs(phases: FloatArray, nonzero: BoolArray) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return the difference (an Rz angle) and the mean of each pair of phases; a free phase takes the value of the other."""
    zero = np.where(nonzero[0::2], phases[0::2], phases[1::2])
    one = np.where(nonzero[1::2], phases[1::2], phases[0::2])
    return one - zero, (zero + one) / 2, nonzero[0::2] | nonzero[1::2]


def _mean_phase(phases: FloatArray, nonzero: BoolArray) -> float:
    """Return the global phase that `phase_operations` leaves out."""
    while len(phases) > 1:
        _, phases, nonzero = _merge_pairs(phases, nonzero)
    return float(phases[0])


def real_levels(
    x: FloatArray, qubits: Sequence[cirq.Qid], target_of: TargetFactory = RotationTarget
) -> list[list[cirq.Operation]]:
    """Return operations that prepare a real vector by uniformly controlled Ry, in the cheaper of two ways.

    Args:
        x: Real vector of norm 1, (2**n,).
        qubits: The n qubits, most significant first.
        target_of: Rotated qubit of each qubit, with its CNOT costs.

    Returns:
        Operations per rotated qubit; at most 2**n - n - 1 CZ in all if every pair of qubits can be coupled.
    """
    options = [_with_signs_last(x, qubits, target_of)]
    if (x < 0).any():
        options.append(_with_signs_per_branch(x, qubits, target_of))
    return closed_operations(min(options, key=closed_cnot_count), cirq.ry, cirq.CZ)


def _with_signs_last(x: FloatArray, qubits: Sequence[cirq.Qid], target_of: TargetFactory) -> list[ClosedMultiplexer]:
    """Prepare magnitudes first; the last multiplexer adds the signs, among them those of the CZ gates that others leave out."""
    n = len(qubits)
    norms = [x]  # norms[j] belongs to the branches after n - j qubits
    for _ in range(n):
        norms.append(np.hypot(norms[-1][0::2], norms[-1][1::2]))
    levels: list[ClosedMultiplexer] = []
    open_pairs: list[tuple[cirq.Qid, cirq.Qid]] = []
    for q in range(n - 1):
        mux = Multiplexer.of(*rotation_angles(norms[n - 1 - q]), qubits[:q], target_of(qubits[q]))
        levels.append((mux, []))
        open_pairs += [(control, qubits[q]) for control in mux.open_controls]
    *before, last = qubits
    target = target_of(last)
    signs = _cz_signs(open_pairs, qubits)
    plain = Multiplexer.of(*rotation_angles(x * signs), before, target)
    candidates = [(plain, plain.open_controls)]
    if guess := plain.usual_open_controls:  # the CZ gates left out decide which signs the multiplexer itself needs
        guessed = _cz_signs([(control, last) for control in guess], qubits)
        mux = Multiplexer.of(*rotation_angles(x * signs * guessed), before, target)
        closing = set(mux.open_controls) ^ set(guess)
        candidates.append((mux, [control for control in before if control in closing]))
    return [*levels, min(candidates, key=lambda level: closed_cnot_count([level]))]


def _with_signs_per_branch(x: FloatArray, qubits: Sequence[cirq.Qid], target_of: TargetFactory) -> list[ClosedMultiplexer]:
    """Give every branch the sign that makes its larger half positive and close every frame: product states need no gate."""
    norms = [x]
    for _ in qubits:
        zero, one = norms[-1][0::2], norms[-1][1::2]
        larger = np.where(np.abs(zero) >= np.abs(one), zero, one)
        norms.append(np.copysign(np.hypot(zero, one), larger))
    levels: list[ClosedMultiplexer] = []
    for q, qubit in enumerate(qubits):
        level = len(qubits) - 1 - q
        signs = np.repeat(np.copysign(1.0, norms[level + 1]), 2)
        if q == 0:
            signs = np.ones(2)  # the first rotation takes the sign of the whole vector
        mux = Multiplexer.of(*rotation_angles(norms[level] * signs), qubits[:q], target_of(qubit))
        levels.append((mux, mux.open_controls))
    return levels


def rotation_angles(norms: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Return the Ry angle of each branch, and False for branches of norm 0."""
    zero, one = norms[0::2], norms[1::2]
    return 2 * np.arctan2(one, zero), (np.abs(zero) > 0) | (np.abs(one) > 0)


def _cz_signs(pairs: Sequence[tuple[cirq.Qid, cirq.Qid]], qubits: Sequence[cirq.Qid]) -> FloatArray:
    """Return the sign, +1 or -1, by which CZ gates on pairs of qubits multiply each amplitude."""
    n = len(qubits)
    index = np.arange(2**n)
    bit = {q: index >> (n - 1 - i) & 1 for i, q in enumerate(qubits)}
    odd = sum((bit[a] & bit[b] for a, b in pairs), np.zeros(2**n, dtype=int))
    return np.where(odd % 2, -1.0, 1.0)
