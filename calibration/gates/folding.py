"""Circuits folded onto themselves, so that their noise grows while what they compute stays, and how shots are shared out."""

from __future__ import annotations

from collections.abc import Sequence

import cirq
import numpy as np

from hattriq_cirq.circuits.errors import CircuitRefusedError
from hattriq_cirq.foundation.arrays import largest_remainders


def parted(circuit: cirq.AbstractCircuit) -> tuple[cirq.Circuit, cirq.Operation]:
    """A circuit without the measurement that ends it, and that measurement."""
    found = list(circuit.findall_operations(cirq.is_measurement))
    if len(found) != 1:
        raise ValueError(f"{len(found)} measurements in a circuit, must be the one that ends it")
    body = circuit.unfreeze(copy=True)
    body.batch_remove(found)
    return cirq.drop_empty_moments(body), found[0][1]


def measured_last(body: cirq.AbstractCircuit, measurement: cirq.Operation) -> cirq.FrozenCircuit:
    """A circuit with its measurement alone in a last moment."""
    return cirq.FrozenCircuit([*body.moments, cirq.Moment(measurement)])


def folded(circuit: cirq.AbstractCircuit, factor: int) -> cirq.FrozenCircuit:
    """U (U' U)^k in place of U, factor = 2 k + 1 times as many gates; the measurement stays at the end.

    Args:
        circuit: compiled, with symbols or without; inverses of PhasedXZ, turns and CZ are native wherever these are.
        factor: odd, 1 changes nothing.

    Returns:
        The folded circuit (Giurgica-Tiron et al., QCE 2020, arXiv 2005.10921), moment by moment.

    Raises:
        CircuitRefusedError: a gate has no inverse.
    """
    body, measurement = parted(circuit)
    try:
        inverse = cirq.inverse(body)
    except TypeError as error:
        raise CircuitRefusedError(f"a circuit cannot be folded, because not all of it has an inverse: {error}") from error
    return measured_last(body + (inverse + body) * (factor // 2), measurement)


def apportioned(total: int, shares: Sequence[float]) -> list[int]:
    """Shares shots out in proportion to shares, at least one each.

    Args:
        total: shots.
        shares: positive or 0, of any sum.

    Returns:
        Shots that sum to the total.

    Raises:
        ValueError: fewer shots than shares.
    """
    if total < len(shares):
        raise ValueError(f"shots={total} of a circuit must be at least {len(shares)}: that many variants of it are run")
    ideal = (total - len(shares)) * np.asarray(shares) / np.sum(shares)
    return [1 + more for more in largest_remainders(ideal, total - len(shares))]
