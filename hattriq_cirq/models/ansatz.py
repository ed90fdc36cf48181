"""Ready-made trainable circuits. Any other circuit with symbols trains just as well."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cirq
import sympy

from hattriq_cirq.models.model import Model

Observable = cirq.PauliSum | cirq.PauliString[cirq.Qid]


def ring_ansatz(n_qubits: int, layers: int, observable: Observable | None = None) -> Model:
    """A hardware-efficient circuit on a ring: each layer turns every qubit by Rz, Ry and couples ring neighbours by CZ.

    A last turn follows the last coupling, so every layer of CZs acts. Rz before the CZs and Ry Rz after them make each
    turn a general one, because Rz and CZ commute.

    Args:
        n_qubits: >= 1; qubits are `cirq.LineQubit.range(n_qubits)`.
        layers: coupling layers, >= 0.
        observable: what is measured; None is Z on qubit 0.

    Returns:
        A model whose 2 * n_qubits * (layers + 1) parameters are 0; `train` gives them their start.

    Raises:
        ValueError: n_qubits < 1 or layers < 0.
    """
    qubits = cirq.LineQubit.range(_at_least(n_qubits, 1, "n_qubits"))
    pairs = [(qubits[i], qubits[(i + 1) % n_qubits]) for i in range(n_qubits if n_qubits > 2 else n_qubits - 1)]
    return _layered(qubits, pairs, layers, observable)


def grid_ansatz(rows: int, cols: int, layers: int, observable: Observable | None = None) -> Model:
    """The same layers on a rectangle of a square grid: every CZ joins neighbours, so a grid device needs no SWAP.

    Args:
        rows: >= 1, of qubits.
        cols: >= 1; qubits are `cirq.GridQubit.rect(rows, cols)`, row by row.
        layers: coupling layers, >= 0; each couples every horizontal and every vertical pair once.
        observable: what is measured; None is Z on the first qubit.

    Returns:
        A model on rows * cols qubits whose parameters are 0.

    Raises:
        ValueError: rows or cols < 1, or layers < 0.
    """
    qubits = cirq.GridQubit.rect(_at_least(rows, 1, "rows"), _at_least(cols, 1, "cols"))
    on_grid = set(qubits)
    steps = (cirq.GridQubit(0, 1), cirq.GridQubit(1, 0))
    pairs = [(q, q + step) for step in steps for q in qubits if q + step in on_grid]
    return _layered(qubits, pairs, layers, observable)


def _layered(
    qubits: Sequence[cirq.Qid],
    pairs: Iterable[tuple[cirq.Qid, cirq.Qid]],
    layers: int,
    observable: Observable | None,
) -> Model:
    couplings = [cirq.CZ(a, b) for a, b in pairs]
    circuit, names = cirq.Circuit(), []
    for layer in range(_at_least(layers, 0, "layers") + 1):
        for axis, gate in (("z", cirq.rz), ("y", cirq.ry)):
            symbols = [sympy.Symbol(f"{axis}{layer}_{i}") for i in range(len(qubits))]
            circuit.append(cirq.Moment(gate(symbol)(q) for symbol, q in zip(symbols, qubits, strict=True)))
            names += [symbol.name for symbol in symbols]
        if layer < layers:
            circuit.append(couplings)
    return Model(
        circuit,
        qubits,
        cirq.PauliString(cirq.Z(qubits[0])) if observable is None else observable,
        dict.fromkeys(names, 0.0),
    )


def _at_least(value: int, least: int, name: str) -> int:
    if value < least:
        raise ValueError(f"{name}={value} must be at least {least}")
    return value
