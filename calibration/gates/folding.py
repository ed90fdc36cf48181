"""Folding of circuits, which amplifies their noise and keeps what they compute, and the shots of their variants."""

from __future__ import annotations

from collections.abc import Sequence

import cirq
import numpy as np

from hattriq_cirq.circuits.errors import CircuitRefusedError
from hattriq_cirq.circuits.local_gates import own_inverse
from hattriq_cirq.circuits.swept_gates import phased_xz_exponents
from hattriq_cirq.foundation.arrays import largest_remainders


def split_measurement(circuit: cirq.AbstractCircuit) -> tuple[cirq.Circuit, cirq.Operation]:
    """Return a circuit without the measurement that ends it, and the measurement."""
    measurements = list(circuit.findall_operations(cirq.is_measurement))
    if len(measurements) != 1:
        raise ValueError(f"{len(measurements)} measurements in a circuit, must be the one that ends it")
    body = circuit.unfreeze(copy=True)
    body.batch_remove(measurements)
    return cirq.drop_empty_moments(body), measurements[0][1]


def append_measurement(body: cirq.AbstractCircuit, measurement: cirq.Operation) -> cirq.FrozenCircuit:
    """Return a circuit with a measurement alone in its last moment."""
    return cirq.FrozenCircuit([*body.moments, cirq.Moment(measurement)])


def fold(circuit: cirq.AbstractCircuit, factor: int) -> cirq.FrozenCircuit:
    """Return U (U' U)^k in place of U, with factor = 2 k + 1 times as many gates; the measurement stays at the end.

    The inverse of a two-qubit gate is the same gate between single-qubit gates where such gates exist: CZ is its own inverse,
    sqrt-iSWAP is inverted by Z before and after it, which takes no time, and Sycamore by gates that are merged into those
    around it. A circuit of one native two-qubit gate is therefore folded into a circuit of this gate. Errors of the angle of
    sqrt-iSWAP and Sycamore change their sign with the gate, so that folding does not amplify them.

    Args:
        circuit: Compiled circuit, with or without symbols.
        factor: Odd number; 1 changes nothing.

    Returns:
        The folded circuit (Giurgica-Tiron et al., QCE 2020, arXiv 2005.10921), moment by moment.

    Raises:
        CircuitRefusedError: A gate has no inverse.

    Example:
        >>> q = cirq.LineQubit(0)
        >>> print(fold(cirq.Circuit(cirq.S(q), cirq.measure(q, key="z")), 3))
        0: ───S───S^-1───S───M('z')───
    """
    body, measurement = split_measurement(circuit)
    try:
        inverse = _inverse(body)
    except TypeError as error:
        raise CircuitRefusedError(f"a circuit cannot be folded, because not all of it has an inverse: {error}") from error
    return append_measurement(body + (inverse + body) * (factor // 2), measurement)


def _inverse(body: cirq.Circuit) -> cirq.Circuit:
    """Return the inverse of a circuit without measurement, by the same gates on several qubits where this is possible."""
    moments: list[list[cirq.Operation]] = []
    must_merge = False
    for moment in reversed(body):
        before: list[cirq.Operation] = []
        inverted: list[cirq.Operation] = []
        after: list[cirq.Operation] = []
        for op in moment:
            dressing = None if op.gate is None or len(op.qubits) < 2 else own_inverse(op.gate)
            inverted.append(cirq.inverse(op) if dressing is None else op)
            for dressed, unitaries in zip((before, after), () if dressing is None else dressing, strict=False):
                for qubit, unitary in zip(op.qubits, unitaries, strict=True):
                    x, z, axis = map(float, phased_xz_exponents(unitary))
                    must_merge |= x != 0
                    if x:
                        dressed.append(cirq.PhasedXZGate(x_exponent=x, z_exponent=z, axis_phase_exponent=axis)(qubit))
                    elif z:
                        dressed.append(cirq.Z(qubit) ** z)
        moments += [before, inverted, after]
    inverse = cirq.Circuit(cirq.Moment(operations) for operations in moments if operations)
    if must_merge and not cirq.is_parameterized(inverse):
        return cirq.drop_empty_moments(cirq.merge_single_qubit_gates_to_phxz(inverse))
    return inverse


def allocate_shots(total: int, shares: Sequence[float]) -> list[int]:
    """Divide shots in proportion to shares, at least one each.

    Args:
        total: Shots in all.
        shares: Nonnegative numbers of any sum.

    Returns:
        Shots that sum to the total.

    Raises:
        ValueError: There are fewer shots than shares.

    Example:
        >>> allocate_shots(10, [1, 0, 3])
        [3, 1, 6]
    """
    if total < len(shares):
        raise ValueError(f"shots={total} of a circuit must be at least {len(shares)}: that many variants of it are run")
    ideal = (total - len(shares)) * np.asarray(shares) / np.sum(shares)
    return [1 + more for more in largest_remainders(ideal, total - len(shares))]
