"""Compilation to the native two-qubit gates of cirq-google's processors, on a free graph or on given couplers.

Circuits become CZ circuits first (`cz`). For sqrt-iSWAP and Sycamore, every block of them on two qubits is then decomposed by
Cirq from its Cartan decomposition, which is computed here (`kak`) so that it is the same in every process.
"""

from __future__ import annotations

from dataclasses import replace

import cirq
import numpy as np

from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.compilation.circuit_stack import CircuitStack, Step
from hattriq_cirq.compilation.cz import compile_to_cz, merge_rotations, two_qubit_blocks
from hattriq_cirq.compilation.kak import KakDecompositions
from hattriq_cirq.compilation.routing import Couplers

_SAME = 1e-9  # radians by which interaction coefficients of the same gate may differ


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
        else:
            pair: list[cirq.Qid] = [*cirq.LineQubit.range(2)]
            kak = KakDecompositions.of(block.unitaries).canonical()
            for op in _operations(kak, native, *pair):
                axes = tuple(block.axes[pair.index(q)] for q in op.qubits)
                steps.append(Step(axes, cirq.unitary(op).astype(np.complex128)[np.newaxis]))
    return merge_rotations(replace(stack, steps=steps))


def _operations(kak: cirq.KakDecomposition, native: cirq.Gate, a: cirq.Qid, b: cirq.Qid) -> list[cirq.Operation]:
    """Decompose a two-qubit unitary into a native gate and single-qubit gates."""
    if native == cirq.SQRT_ISWAP:
        return [*cirq.two_qubit_matrix_to_sqrt_iswap_operations(a, b, kak, clean_operations=False)]  # type: ignore[arg-type]
    own = KakDecompositions.of(cirq.unitary(native)[np.newaxis]).canonical()
    if np.allclose(own.interaction_coefficients, kak.interaction_coefficients, rtol=0, atol=_SAME):
        before = zip(own.single_qubit_operations_before, kak.single_qubit_operations_before, (a, b), strict=True)
        after = zip(own.single_qubit_operations_after, kak.single_qubit_operations_after, (a, b), strict=True)
        first = [cirq.MatrixGate(inner.conj().T @ outer)(q) for inner, outer, q in before]
        last = [cirq.MatrixGate(outer @ inner.conj().T)(q) for inner, outer, q in after]
        return [*first, native(a, b), *last]
    from cirq_google import two_qubit_matrix_to_sycamore_operations

    decomposed = two_qubit_matrix_to_sycamore_operations(a, b, kak, clean_operations=False)  # type: ignore[arg-type]
    return [*cirq.flatten_to_ops(decomposed)]


def _sycamore() -> cirq.Gate:
    from cirq_google import SYC

    return SYC
