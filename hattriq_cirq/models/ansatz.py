"""Ready-made trainable circuits. Any other circuit with symbols can be trained as well."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cirq
import sympy

from hattriq_cirq.foundation.checks import as_count
from hattriq_cirq.models.model import Model

_QUBITS_MAX = 62  # the index of a feature is a 64-bit integer
_LAYERS_MAX = 10_000
Observable = cirq.PauliSum | cirq.PauliString[cirq.Qid]


def ring_ansatz(n_qubits: int, layers: int, observable: Observable | None = None) -> Model:
    """Return a hardware-efficient model on a ring: layers of Rz and Ry on every qubit and of CZ between ring neighbours.

    Rotations follow the last CZ gates as well, so that every layer of CZ matters. Rz before the CZ gates and Ry Rz after them
    amount to a general rotation of each qubit, because Rz and CZ commute.

    Args:
        n_qubits: Number of qubits, >= 1; they are `cirq.LineQubit.range(n_qubits)`.
        layers: Number of layers of CZ, >= 0.
        observable: Observable that is measured; None for Z on qubit 0.

    Returns:
        A model whose 2 * n_qubits * (layers + 1) parameters are 0; `train` chooses their initial values.

    Raises:
        ValueError: n_qubits < 1 or layers < 0.

    Example:
        >>> ring_ansatz(4, 2)
        Model(4 qubits, 32 gates, 24 params, observable 1.0*Z(q(0)))
    """
    n_qubits = _size(n_qubits, "n_qubits", 1, _QUBITS_MAX)
    qubits = cirq.LineQubit.range(n_qubits)
    pairs = [(qubits[i], qubits[(i + 1) % n_qubits]) for i in range(n_qubits if n_qubits > 2 else n_qubits - 1)]
    return _layered(qubits, pairs, layers, observable)


def grid_ansatz(rows: int, cols: int, layers: int, observable: Observable | None = None) -> Model:
    """Return a model with the same layers on a rectangle of a square grid, where a processor with a grid needs no SWAP.

    Args:
        rows: Number of rows of qubits, >= 1.
        cols: Number of columns, >= 1; the qubits are `cirq.GridQubit.rect(rows, cols)`, row by row.
        layers: Number of layers of CZ, >= 0; each couples every horizontal and every vertical pair once.
        observable: Observable that is measured; None for Z on the first qubit.

    Returns:
        A model on rows * cols qubits whose parameters are 0.

    Raises:
        ValueError: rows or cols < 1, or layers < 0.

    Example:
        >>> grid_ansatz(2, 2, 1)
        Model(4 qubits, 20 gates, 16 params, observable 1.0*Z(q(0, 0)))
    """
    rows = _size(rows, "rows", 1, _QUBITS_MAX)
    cols = _size(cols, "cols", 1, _QUBITS_MAX // rows)
    qubits = cirq.GridQubit.rect(rows, cols)
    steps = (cirq.GridQubit(0, 1), cirq.GridQubit(1, 0))
    pairs = [(q, q + step) for step in steps for q in qubits if q + step in qubits]
    return _layered(qubits, pairs, layers, observable)


def qcnn_ansatz(n_qubits: int, observable: Observable | None = None) -> Model:
    """Return a quantum convolutional network, which pools by measuring every second qubit and rotating its neighbour.

    Each stage has a convolution and a pooling. The convolution is Rz Ry on every active qubit, CZ between neighbours on a ring,
    and Rz Ry again. The pooling measures the second qubit of each pair of neighbours, which is not used again, and rotates the
    first one by Rz Ry Rz if the outcome is 1; an odd qubit stays. The last qubit is rotated and read. A measured qubit only
    controls what follows, so that the circuit is also a unitary one on the same qubits (`Model.dilated`), in which it trains
    and runs.

    Args:
        n_qubits: Number of qubits, >= 2; they are `cirq.LineQubit.range(n_qubits)`. n_qubits - 1 of them are measured.
        observable: Observable that is measured; None for Z on qubit 0, the last one that is active.

    Returns:
        A model whose parameters are 0; `train` chooses their initial values.

    Raises:
        ValueError: n_qubits < 2.

    Example:
        >>> model = qcnn_ansatz(4)
        >>> print(model)  # doctest: +ELLIPSIS
        Model(4 qubits, ... 3 measurements, 9 conditional operations, ... M x by a unitary circuit with no extra qubit)
    """
    qubits = cirq.LineQubit.range(_size(n_qubits, "n_qubits", 2, _QUBITS_MAX))
    circuit, names, active, stage = cirq.Circuit(), list[str](), qubits, 0

    def rotated(label: str, axes: str, among: Sequence[cirq.LineQubit]) -> list[cirq.Operation]:
        names.extend(own := [f"{axis}{stage}{label}{i}_{q.x}" for i, axis in enumerate(axes) for q in among])
        gates = {"z": cirq.rz, "y": cirq.ry}
        pairs = [(axis, q) for axis in axes for q in among]
        return [gates[axis](sympy.Symbol(name))(q) for name, (axis, q) in zip(own, pairs, strict=True)]

    while len(active) > 1:
        ring = [(active[i], active[(i + 1) % len(active)]) for i in range(len(active) if len(active) > 2 else 1)]
        circuit.append([rotated("a", "zy", active), [cirq.CZ(a, b) for a, b in ring], rotated("b", "zy", active)])
        kept, pooled = active[::2], active[1::2]
        for target, measured in zip(kept, pooled, strict=False):
            circuit.append(cirq.measure(measured, key=f"pool{measured.x}"))
            circuit.append(op.with_classical_controls(f"pool{measured.x}") for op in rotated("p", "zyz", [target]))
        active, stage = kept, stage + 1
    circuit.append(rotated("", "zy", active))
    observable = cirq.PauliString(cirq.Z(active[0])) if observable is None else observable
    return Model(circuit, qubits, observable, dict.fromkeys(names, 0.0))


def _layered(
    qubits: Sequence[cirq.Qid], pairs: Iterable[tuple[cirq.Qid, cirq.Qid]], layers: int, observable: Observable | None
) -> Model:
    cz_gates = [cirq.CZ(a, b) for a, b in pairs]
    circuit, names = cirq.Circuit(), []
    layers = _size(layers, "layers", 0, _LAYERS_MAX)
    for layer in range(layers + 1):
        for axis, gate in (("z", cirq.rz), ("y", cirq.ry)):
            symbols = [sympy.Symbol(f"{axis}{layer}_{i}") for i in range(len(qubits))]
            circuit.append(cirq.Moment(gate(symbol)(q) for symbol, q in zip(symbols, qubits, strict=True)))
            names += [symbol.name for symbol in symbols]
        if layer < layers:
            circuit.append(cz_gates)
    observable = cirq.PauliString(cirq.Z(qubits[0])) if observable is None else observable
    return Model(circuit, qubits, observable, dict.fromkeys(names, 0.0))


def _size(value: int, name: str, least: int, most: int) -> int:
    return as_count(value, name, least, most, advice=f"be at least {least} and at most {most}")
