"""The Pauli strings of a model's observable M = U' O U: those that its structure allows, and those that matter.

Gates act on strings in the Heisenberg picture: each turns a string into a few others on its own qubits, by its Pauli transfer
matrix. With the matrix's zeros alone this gives the strings that a circuit of this structure can have; with its numbers and a
limit on the number of strings, Pauli propagation (Rall, Liang, Cook and Kretschmer, PRA 99, 062337, 2019).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import cirq
import numpy as np
from numpy.typing import NDArray

from hattriq_cirq.circuits.light_cone import light_cone
from hattriq_cirq.circuits.unitaries import unitary_matrix
from hattriq_cirq.foundation.arrays import Array, FloatArray, largest_first
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.models.model import Model
from hattriq_cirq.models.pauli_strings import PauliStrings
from hattriq_cirq.simulation.pauli_transfer import transfer_matrix
from hattriq_cirq.simulation.statevector import elementary_operations

#: Largest number of qubits for which M is built as a matrix to read its coefficients.
MATRIX_QUBITS = 12
_ZERO = 1e-10  # smaller entries of a transfer matrix are zero but for rounding
_GATE_QUBITS = 4  # transfer matrices have 16**qubits entries
_PROPAGATED_MAX = 2**16  # strings that are kept in truncated propagation
_LETTERS = np.array([0, 3, 1, 2])  # I, Z, X, Y, by x bit and then z bit, as positions in I, X, Y, Z


@dataclass(frozen=True, eq=False)
class WeightedStrings(Frozen):
    """Pauli strings with coefficients, and what was left out.

    Args:
        strings: The strings.
        coefficients: Coefficient of each, (strings,).
        truncated_share: Share of the total weight that belongs to strings that were left out, as far as it is known.
    """

    strings: PauliStrings
    coefficients: FloatArray
    truncated_share: float = 0.0


def structure_strings(model: Model, *, real: bool, limit: int = 2**20) -> PauliStrings:
    """Return the strings that a circuit of the model's structure can have in U' O U, the identity left out.

    Symbols of the circuit stand for any angle: the strings follow from the light cone and from which Pauli strings each gate
    can turn into which, and owe nothing to the values of the parameters.

    Args:
        model: Model with a unitary circuit.
        real: Keep only strings with an even number of Y, which are all that real inputs see.
        limit: Largest number of strings.

    Returns:
        The strings, by weight and then by masks.

    Raises:
        ValueError: There are more strings than the limit.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> structure_strings(ring_ansatz(2, layers=1), real=True).texts
        ['ZI', 'XI', 'ZZ', 'ZX', 'XZ', 'XX', 'YY']
    """
    generic = {name: float(value) for name, value in zip(sorted(model.params), _generic_angles(len(model.params)), strict=True)}
    symbolic = model.with_params(generic)
    allowed = np.zeros(0, dtype=np.int64)
    n = model.n_qubits
    for term in model.pauli_sum:
        codes = _codes(*PauliStrings.of_observable(cirq.PauliSum.from_pauli_strings([term]), model.qubits))[0]
        for axes, table in _reversed_transfers(symbolic, term):
            codes = np.unique(_spread(codes, axes, np.abs(table) > _ZERO, n)[1])
            if len(codes) > limit:
                raise ValueError(
                    f"the circuit's structure allows more than {limit:,} Pauli strings; use strings='important', or fewer gates"
                )
        allowed = np.union1d(allowed, codes)
    strings = _strings(allowed, n)
    strings = strings.select(strings.is_real) if real else strings
    return strings.select(np.lexsort((strings.z_masks, strings.x_masks, strings.weights)))


def exact_strings(model: Model, *, real: bool, limit: int = _PROPAGATED_MAX) -> WeightedStrings:
    """Return all strings of M = U' O U with their coefficients, from the matrix or, beyond 12 qubits, by Pauli propagation.

    Args:
        model: Model with a unitary circuit.
        real: Keep only strings with an even number of Y.
        limit: Number of strings that propagation keeps after each gate, those with the largest coefficients.

    Returns:
        The strings, the identity left out; `truncated_share` is the share of sum_P m_P^2 that propagation has dropped.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> found = exact_strings(ring_ansatz(2, layers=1), real=True)
        >>> found.strings.texts, found.coefficients.tolist()
        (['ZI'], [1.0])
    """
    if model.n_qubits <= MATRIX_QUBITS:
        strings = PauliStrings.every(model.n_qubits)
        strings = strings.select(strings.is_real) if real else strings
        coefficients = strings.coefficients_of(model.matrix)
        kept = np.abs(coefficients) > _ZERO * np.abs(coefficients).max(initial=1e-300)
        return WeightedStrings(strings.select(kept), coefficients[kept])
    return _propagated(model, real, limit)


def important_strings(found: WeightedStrings, importance: FloatArray, share: float) -> WeightedStrings:
    """Return the fewest strings that hold a share of the weight sum_P w_P m_P^2 of an attribution map.

    Args:
        found: Strings of M with their coefficients.
        importance: Weight w_P of each for the maps, (strings,), from `PauliStrings.importance`.
        share: Share of the weight, such as 0.9999.

    Returns:
        The strings, the most important first; `truncated_share` is the share that is missing.

    Example:
        >>> found = WeightedStrings(PauliStrings.from_text(["Z", "X"]), np.array([1.0, 0.001]))
        >>> important_strings(found, np.ones(2), 0.99).strings.texts
        ['Z']
    """
    weight = importance * found.coefficients**2
    order = largest_first(weight)
    cumulated = np.cumsum(weight[order])
    total = float(cumulated[-1]) if len(order) else 0.0
    kept = order[: int(np.searchsorted(cumulated, share * total)) + 1]
    missing = 1 - float(weight[kept].sum()) / total if total else 0.0
    truncated = found.truncated_share + (1 - found.truncated_share) * max(0.0, missing)
    return WeightedStrings(found.strings.select(kept), found.coefficients[kept], truncated)


def _propagated(model: Model, real: bool, limit: int) -> WeightedStrings:
    """Return the strings of M by propagation of each term of O, of which the largest are kept after each gate."""
    n = model.n_qubits
    all_codes: list[NDArray[np.int64]] = []
    all_values: list[FloatArray] = []
    dropped = 0.0
    for term in model.pauli_sum:
        codes, values = _codes(*PauliStrings.of_observable(cirq.PauliSum.from_pauli_strings([term]), model.qubits))
        for axes, table in _reversed_transfers(model, term):
            source, spread, factors = _spread(codes, axes, np.where(np.abs(table) > _ZERO, table, 0.0), n)
            codes, values = _merged(spread, values[source] * factors)
            if len(codes) > limit:
                order = np.argpartition(-np.abs(values), limit)
                dropped += float(np.sum(values[order[limit:]] ** 2))
                codes, values = codes[order[:limit]], values[order[:limit]]
        all_codes.append(codes)
        all_values.append(values)
    codes, values = _merged(np.concatenate(all_codes), np.concatenate(all_values))
    strings = _strings(codes, n)
    kept = strings.is_real if real else np.ones(len(strings), dtype=bool)
    total = float(np.sum(values**2)) + dropped
    return WeightedStrings(strings.select(kept), values[kept], dropped / total if total else 0.0)


def _merged(codes: NDArray[np.int64], values: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    """Return each string once, with the sum of its values."""
    unique, index = np.unique(codes, return_inverse=True)
    return unique, np.bincount(index, values, len(unique)).astype(float)


def _generic_angles(count: int) -> FloatArray:
    """Return angles at which no entry of a gate's matrix vanishes by chance."""
    return np.asarray(np.random.default_rng(0).uniform(0.3, 1.2, count))


def _codes(strings: PauliStrings, coefficients: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    """Return strings as single integers, and their coefficients."""
    return strings.x_masks << strings.n_qubits | strings.z_masks, coefficients


def _strings(codes: NDArray[np.int64], n: int) -> PauliStrings:
    """Return single integers as strings, the identity left out."""
    codes = codes[codes > 0]
    return PauliStrings(n, codes >> n, codes & (2**n - 1))


def _reversed_transfers(model: Model, term: cirq.PauliString[cirq.Qid]) -> Iterator[tuple[tuple[int, ...], FloatArray]]:
    """Yield the qubits and the transfer matrix of each gate in the light cone of a term, the last gate first."""
    if not term:
        return
    axis_of = {q: i for i, q in enumerate(model.qubits)}
    for operation in reversed(elementary_operations(light_cone(model.resolved_circuit, term))):
        if operation.qubits:
            yield tuple(axis_of[q] for q in operation.qubits), _transfer(unitary_matrix(operation), len(operation.qubits))


def _transfer(matrix: Array, qubits: int) -> FloatArray:
    """Return tr(P_out G' P_in G) / 2**qubits, (in, out), with the letters of each qubit by x bit, then z bit."""
    if qubits > _GATE_QUBITS:
        raise ValueError(f"a gate acts on {qubits} qubits; strings are followed through gates on at most {_GATE_QUBITS}")
    order = reduce(lambda left, right: np.add.outer(4 * left, right).ravel(), [_LETTERS] * qubits)
    return np.asarray(transfer_matrix(matrix[np.newaxis])[np.ix_(order, order)])


def _spread(
    codes: NDArray[np.int64], axes: tuple[int, ...], table: NDArray[np.bool_] | FloatArray, n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Return the strings that a gate turns strings into: the position of the source, the code, and the entry of the table."""
    local, cleared = np.zeros_like(codes), codes
    patterns = np.zeros(len(table), dtype=np.int64)
    letters = np.arange(len(table))
    for i, axis in enumerate(axes):
        shift = n - 1 - axis
        local = local << 2 | (codes >> (n + shift) & 1) << 1 | (codes >> shift & 1)
        cleared = cleared & ~((1 << (n + shift)) | (1 << shift))
        own = letters >> 2 * (len(axes) - 1 - i)
        patterns |= (own >> 1 & 1) << (n + shift) | (own & 1) << shift
    source, target = np.nonzero(table[local])
    return source, cleared[source] | patterns[target], table[local[source], target]
