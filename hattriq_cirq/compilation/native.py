"""Compilation to the native two-qubit gates of cirq-google's processors, on a free graph or on given couplers.

Circuits become CZ circuits first (`cz`). For sqrt-iSWAP and Sycamore, every block of them on two qubits is then split into
interactions that a short sequence of native gates can do. The gates between native gates are formulas of the interaction; those
before and after them follow from the Cartan decompositions of the block and of the sequence (`kak`). Formulas have no inverse
cosine near its ends, where rounding errors become their square roots, and values at a border count as on it, so that the gates
are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import cirq
import numpy as np

from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.circuits.swept_gates import phased_xz_exponents, phased_xz_unitaries
from hattriq_cirq.compilation.circuit_stack import CircuitStack, Step
from hattriq_cirq.compilation.cz import compile_to_cz, merge_rotations, two_qubit_blocks
from hattriq_cirq.compilation.kak import Gates, KakDecompositions, interaction, multiply
from hattriq_cirq.compilation.routing import Couplers
from hattriq_cirq.foundation.arrays import Array

_IDENTITY = np.eye(2)[np.newaxis]
_SAME = 1e-9  # radians by which interaction coefficients of the same gate may differ
#: Coefficients x, y, z of an interaction exp(i (x XX + y YY + z ZZ)).
Coefficients = tuple[float, float, float]
#: Single-qubit gates on both qubits between two native gates.
Layer = tuple[Array, Array]


def compile_stack(stack: CircuitStack, name: str, couplers: Couplers | None = None) -> list[ParameterizedCircuit]:
    """Compile circuits of one structure to a gate set.

    Args:
        stack: Circuits of one structure.
        name: Name of the gate set: `cz`, `sqrt_iswap` or `sycamore`.
        couplers: Pairs of positions that have a coupler; None for a free graph.

    Returns:
        Programs that together hold all circuits of the stack.

    Example:
        >>> a, b = cirq.LineQubit.range(2)
        >>> (program,) = compile_stack(CircuitStack.of([cirq.Circuit(cirq.CZ(a, b))]), "sqrt_iswap")
        >>> sum(len(op.qubits) == 2 for op in program.circuit.all_operations())
        2
    """
    pieces = compile_to_cz(stack, couplers)
    if name == "cz":
        return [piece.to_program() for piece in pieces]
    singles = [piece.select([i]) for piece in pieces for i in range(len(piece.rows))]
    native = cirq.SQRT_ISWAP if name == "sqrt_iswap" else _sycamore()
    return [_replace_cz(single, native).to_program(native) for single in singles]


def _replace_cz(stack: CircuitStack, native: cirq.Gate) -> CircuitStack:
    """Replace the CZ of one circuit by another two-qubit gate."""
    steps: list[Step] = []
    for block in two_qubit_blocks(stack.steps):
        if len(block.axes) == 1:
            steps += block.steps
            continue
        for axes, matrix in _native_gates(block.unitaries[0], native):
            at = tuple(block.axes[i] for i in axes)
            steps.append(Step(at, (cirq.unitary(native) if matrix is None else matrix)[np.newaxis]))
    return merge_rotations(replace(stack, steps=_move_z(steps)))


def _move_z(steps: Sequence[Step]) -> list[Step]:
    """Move Z rotations behind native gates, which commute with the same rotation of both qubits, where a gate is saved."""
    moved: list[Step] = []
    pending: dict[int, Array] = {}  # rotation on each qubit since its last native gate
    for axes, matrices in steps:
        assert matrices is not None
        if len(axes) == 1:
            pending[axes[0]] = multiply(matrices, pending.get(axes[0], _IDENTITY))
            continue
        own = [pending.pop(axis, _IDENTITY) for axis in axes]
        turns = [z for x, z, _ in map(phased_xz_exponents, own) if x == 0]
        options = []
        for turn in (np.zeros(1), *turns):
            rest = [multiply(phased_xz_unitaries(0 * turn, -turn, 0 * turn), rotation) for rotation in own]
            options.append((sum(_is_rotation(each) for each in rest), rest, phased_xz_unitaries(0 * turn, turn, 0 * turn)))
        _, rest, behind = min(options, key=lambda option: option[0])
        moved += [Step((axis,), rotation) for axis, rotation in zip(axes, rest, strict=True)]
        moved.append(Step(axes, matrices))
        pending.update(dict.fromkeys(axes, behind))
    return [*moved, *(Step((axis,), rotation) for axis, rotation in pending.items())]


def _is_rotation(matrices: Array) -> bool:
    """Return True if a single-qubit gate is not the identity."""
    x, z, _ = phased_xz_exponents(matrices)
    return bool(x.any() or z.any())


def _native_gates(unitary: Array, native: cirq.Gate) -> Gates:
    """Return gates that equal a unitary, (4, 4), up to a global phase; None is the native gate."""
    kak = KakDecompositions.of(unitary[np.newaxis]).canonical()
    before, after = [*kak.single_qubit_operations_before], [*kak.single_qubit_operations_after]
    parts = _split(kak.interaction_coefficients, native)
    if parts == [kak.interaction_coefficients]:
        middle, own = _sequence(kak.interaction_coefficients, native)
        for i in (0, 1):
            before[i] = own.single_qubit_operations_before[i].conj().T @ before[i]
            after[i] = after[i] @ own.single_qubit_operations_after[i].conj().T
    else:
        middle = [gate for part in parts for gate in _interaction_gates(part, native)]
    return [((0,), before[0]), ((1,), before[1]), *middle, ((0,), after[0]), ((1,), after[1])]


@lru_cache(maxsize=4096)
def _interaction_gates(coefficients: Coefficients, native: cirq.Gate) -> Gates:
    """Return gates that equal an interaction up to a global phase."""
    return _native_gates(interaction(np.array(coefficients)), native)


@lru_cache(maxsize=4096)  # most blocks are one CZ with rotations
def _sequence(coefficients: Coefficients, native: cirq.Gate) -> tuple[Gates, cirq.KakDecomposition]:
    """Return native gates and the gates between them that do an interaction up to single-qubit gates, and their product."""
    if _is_native(coefficients, native):
        layers: list[Layer] = []
    elif native == cirq.SQRT_ISWAP:
        layers = [_between_sqrt_iswaps(*coefficients)]
    else:
        layers = [_between_sycamores(coefficients[0])]
    gates: Gates = [((0, 1), None)]
    matrix = cirq.unitary(native)
    for first, second in layers:
        gates += [((0,), first), ((1,), second), ((0, 1), None)]
        matrix = cirq.unitary(native) @ np.kron(first, second) @ matrix
    return gates, KakDecompositions.of(matrix[np.newaxis]).canonical()


def _is_native(coefficients: Coefficients, native: cirq.Gate) -> bool:
    """Return True if an interaction is the native gate up to single-qubit gates."""
    return bool(np.allclose(_coefficients(native), coefficients, rtol=0, atol=_SAME))


@lru_cache(maxsize=4)
def _coefficients(native: cirq.Gate) -> Coefficients:
    return KakDecompositions.of(cirq.unitary(native)[np.newaxis]).canonical().interaction_coefficients


def _split(coefficients: Coefficients, native: cirq.Gate) -> list[Coefficients]:
    """Return interactions, each of at most two native gates, whose product is an interaction in canonical form.

    Two sqrt-iSWAP gates do the interactions with x >= y + |z| (Huang et al. 2021, arXiv:2105.06074). From any other, one gate
    is split off. Two Sycamore gates do an interaction along one axis.
    """
    x, y, z = coefficients
    if _is_native(coefficients, native):
        return [coefficients]
    if native != cirq.SQRT_ISWAP:
        return [part for part in ((x, 0.0, 0.0), (0.0, y, 0.0), (0.0, 0.0, z)) if max(map(abs, part)) > _SAME]
    if x < _SAME:
        return []
    if x - y - abs(z) > -_SAME:
        return [coefficients]
    eighth = np.pi / 8
    one = (0.0, eighth, eighth if z >= 0 else -eighth) if y > eighth + _SAME else (-eighth, eighth, 0.0)
    return [one, (x - one[0], y - one[1], z - one[2])]


def _between_sqrt_iswaps(x: float, y: float, z: float) -> Layer:
    """Return the gates between two sqrt-iSWAP gates, whose product does an interaction with x >= y + |z| in canonical form.

    They are RZ(-gamma) RX(-alpha) RZ(-gamma) and RX(-beta) of Huang et al. 2021 (arXiv:2105.06074), equations 4 to 8, written
    with sines and cosines of half angles, which do not cancel. What is within rounding of x = pi/4, y = pi/4 or x = y + |z| is
    on it, since the angles change there as a square root.
    """
    slack = x - y - abs(z) if x - y - abs(z) > _SAME else 0.0
    a, b, c = np.sin(x + y), np.sin(slack + abs(z)), np.sin(abs(z))
    p, q = np.sqrt(np.sin(x + y - z) * np.sin(x + y + z)), np.sqrt(np.sin(slack) * np.sin(slack + 2 * abs(z)))
    cos_2x, cos_2y = (np.cos(2 * each) if each < np.pi / 4 - _SAME else 0.0 for each in (x, y))
    alpha = 2 * np.arcsin(c * (a + b + p + q) / np.sqrt(2 * (a + p) * (b + q))) if c else 0.0
    cos_beta = np.sqrt((np.sin(2 * x) * np.sin(2 * y) / (p + q)) ** 2 / 2 + cos_2x + 2 * (np.sin(x) * np.sin(y)) ** 2)
    beta = 2 * np.arctan2(np.sqrt(a * b + c**2 + p * q), cos_beta)
    sin_gamma, cos_gamma = np.sqrt(cos_2x * cos_2y * np.cos(2 * z)), 2 * np.cos(x) * np.cos(z) * np.sin(y)
    gamma = np.arctan2(sin_gamma, -cos_gamma if z < 0 else cos_gamma)
    about_z = cirq.unitary(cirq.rz(-gamma))
    return about_z @ cirq.unitary(cirq.rx(-alpha)) @ about_z, cirq.unitary(cirq.rx(-beta))


def _between_sycamores(x: float) -> Layer:
    """Return the gates between two Sycamore gates whose product does the interaction exp(i x XX), for x up to pi/4.

    The product of two Sycamore gates with RX(2 t) on one qubit between them has the operator Schmidt coefficients of an
    interaction with sin x = cos(pi/12) cos t.
    """
    angle = 2 * np.arccos(np.sin(x) / np.cos(np.pi / 12))
    return np.eye(2), cirq.unitary(cirq.rx(angle))


def _sycamore() -> cirq.Gate:
    from cirq_google import SYC

    return SYC
