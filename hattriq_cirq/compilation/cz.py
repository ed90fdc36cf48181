"""Compilation to CZ and single-qubit gates on given couplers, for all circuits of a stack at once.

The steps are those of `cirq.optimize_for_target_gateset`: gates on the same two qubits are merged into blocks, blocks that
fewer CZ can do are decomposed anew, and runs of single-qubit gates become one PhasedXZ gate. Z rotations commute with CZ and
are moved to the measurement, where they have no effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

import cirq
import networkx as nx
import numpy as np

from hattriq_cirq.circuits.swept_gates import after_z_rotation, phased_xz_exponents, phased_xz_unitaries
from hattriq_cirq.compilation.circuit_stack import CircuitStack, Step, apply
from hattriq_cirq.compilation.kak import KakDecompositions, multiply
from hattriq_cirq.foundation.arrays import Array, FloatArray

#: Pairs of positions of qubits, sorted, along which two-qubit gates are possible.
Couplers = tuple[tuple[int, int], ...]
_H = cirq.unitary(cirq.H)[np.newaxis]
_SWAP = cirq.unitary(cirq.SWAP)[np.newaxis]
_IDENTITY = np.eye(2, dtype=np.complex128)[np.newaxis]
_ROUNDING = 1e-9  # off-diagonal elements up to this are zero


def compile_to_cz(stack: CircuitStack, couplers: Couplers | None = None) -> list[CircuitStack]:
    """Compile circuits to CZ and PhasedXZ.

    Gates on qubits without a coupler are done in three ways, of which the one with fewest CZ is kept: by CZ gates along a path
    from either of the qubits, and by Cirq's router, which moves qubits by SWAP.

    Args:
        stack: Circuits of one structure.
        couplers: Pairs of positions that have a coupler; None for a free graph.

    Returns:
        Stacks that together hold all circuits, `rows` numbering those of the argument; there are several if some circuits take
        fewer CZ than others.

    Example:
        >>> a, b = cirq.LineQubit.range(2)
        >>> (compiled,) = compile_to_cz(CircuitStack.of([cirq.Circuit(cirq.SWAP(a, b))]))
        >>> compiled.couplings
        3
    """
    pieces: list[CircuitStack] = []
    for piece in _reduce(stack):
        if couplers is None or _is_local(piece, couplers):
            routes = [piece]
        else:
            routes = [_bridge(piece, couplers), _bridge(piece, couplers, reverse=True), _swap(piece, couplers)]
        pieces += _fully_reduced(routes)
    return [merge_rotations(piece) for piece in pieces]


def _fully_reduced(options: Sequence[CircuitStack]) -> list[CircuitStack]:
    """Decompose blocks of neighbours or of gates that commute as long as fewer CZ come out; the best option is kept."""
    merged = [merge_rotations(option) for option in options]
    reduced = [_reduce(each, commuting=commuting) for commuting in (False, True) for each in merged]
    best = min(reduced, key=lambda pieces: sum(piece.couplings * len(piece.rows) for piece in pieces))
    least = min(option.couplings for option in options)
    return [part for piece in best for part in (_fully_reduced([piece]) if piece.couplings < least else [piece])]


def _is_local(stack: CircuitStack, couplers: Couplers) -> bool:
    """Return True if every two-qubit gate acts along a coupler."""
    return all(len(step.axes) < 2 or tuple(sorted(step.axes)) in couplers for step in stack.steps)


@dataclass
class Block:
    """Neighbouring gates on one or two qubits."""

    axes: tuple[int, ...]
    steps: list[Step] = field(default_factory=list)
    mixed: set[int] = field(default_factory=set)  # axes on which some gate is not diagonal, so that a CZ does not commute

    def add(self, step: Step) -> None:
        """Append a gate."""
        self.steps.append(step)
        if step.matrices is not None and (len(step.axes) > 1 or np.abs(step.matrices[:, [0, 1], [1, 0]]).max() > _ROUNDING):
            self.mixed.update(step.axes)

    @property
    def may_shrink(self) -> bool:
        """True if the block is not already a single CZ with rotations, or rotations alone."""
        couplings = [step for step in self.steps if len(step.axes) > 1]
        return len(couplings) > 1 or any(step.matrices is not None for step in couplings)

    @property
    def unitaries(self) -> Array:
        """Unitaries of the block, (circuits or 1, 4, 4)."""
        count = max(1 if step.matrices is None else len(step.matrices) for step in self.steps)
        columns = np.broadcast_to(np.eye(4, dtype=np.complex128), (count, 4, 4)).reshape(count, 2, 2, 4).copy()
        for axes, matrices in self.steps:
            columns = apply(columns, Step(tuple(self.axes.index(axis) for axis in axes), matrices))
        return columns.reshape(count, 4, 4)


def two_qubit_blocks(steps: Sequence[Step], *, commuting: bool = False) -> list[Block]:
    """Group gates into blocks: a gate joins the last block on its qubits if that block has all of them.

    Args:
        steps: Gates in order.
        commuting: A CZ also joins an earlier block on its qubits if all gates since then are diagonal on them.

    Returns:
        Blocks in an order in which they equal the gates.
    """
    blocks: list[Block] = []
    chains: dict[int, list[Block]] = {}  # blocks on each axis, in order
    for step in steps:
        own = [chains.setdefault(axis, []) for axis in step.axes]
        block = _joined(step, own, commuting)
        if block is None:
            block = Block(step.axes)
            for chain in own:
                if chain and len(chain[-1].axes) == 1:  # rotations before the first two-qubit gate
                    for earlier in chain[-1].steps:
                        block.add(earlier)
                    blocks.remove(chain.pop())
                chain.append(block)
            blocks.append(block)
        block.add(step)
    return blocks


def _joined(step: Step, chains: Sequence[list[Block]], commuting: bool) -> Block | None:
    """Return the block that a gate may join, given the blocks on each of its axes."""
    if step.matrices is not None or not commuting:
        last = [chain[-1] if chain else None for chain in chains]
        return last[0] if all(block is last[0] for block in last) else None
    found: list[Block | None] = []
    for axis, chain in zip(step.axes, chains, strict=True):
        for block in reversed(chain):
            if set(block.axes) == set(step.axes):
                found.append(block)
                break
            if axis in block.mixed:
                return None
        else:
            return None
    return found[0] if all(block is found[0] for block in found) else None


def _reduce(stack: CircuitStack, *, commuting: bool = False) -> list[CircuitStack]:
    """Decompose every block that fewer CZ can do; circuits for which these numbers differ are separated."""
    blocks = two_qubit_blocks(stack.steps, commuting=commuting)
    shrinking = [block for block in blocks if block.may_shrink]
    if not shrinking:
        return [stack]
    unitaries = [block.unitaries for block in shrinking]
    ends = np.cumsum([len(each) for each in unitaries]).tolist()
    decompositions = KakDecompositions.of(np.concatenate(unitaries))
    own = [decompositions[end - len(each) : end] for each, end in zip(unitaries, ends, strict=True)]
    groups: dict[tuple[int, ...], list[int]] = {}
    for row in range(len(stack.rows)):
        groups.setdefault(tuple(int(each.cz_counts[row % len(each.cz_counts)]) for each in own), []).append(row)
    if len(groups) > 1:
        return [piece for rows in groups.values() for piece in _reduce(stack.select(rows), commuting=commuting)]
    for block, decomposition in zip(shrinking, own, strict=True):
        couplings = [step for step in block.steps if len(step.axes) > 1]
        if decomposition.cz_counts[0] < len(couplings) or any(step.matrices is not None for step in couplings):
            block.steps = [Step(tuple(block.axes[i] for i in axes), gate) for axes, gate in decomposition.cz_gates()]
    return [replace(stack, steps=[step for block in blocks for step in block.steps])]


def _bridge(stack: CircuitStack, couplers: Couplers, *, reverse: bool = False) -> CircuitStack:
    """Replace every CZ between qubits without a coupler by CZs along a path between them, which moves no qubit.

    With b next to c on the path from a, CZ(a, c) = CZ(b, c) X CZ(b, c) X, where X is a CNOT from a to b. Which of the two
    qubits is a decides which gates may cancel against their neighbours.
    """

    def bridged(a: int, c: int) -> list[Step]:
        *_, b, _ = _path(couplers, a, c)
        if b == a:
            return [Step((a, c), None)]
        cnot = [Step((b,), _H), *bridged(a, b), Step((b,), _H)]
        return [Step((b, c), None), *cnot, Step((b, c), None), *cnot]

    return replace(
        stack,
        steps=[
            part
            for step in stack.steps
            for part in ([step] if len(step.axes) < 2 else bridged(*sorted(step.axes, reverse=reverse)))
        ],
    )


@lru_cache(maxsize=4096)
def _path(couplers: Couplers, a: int, c: int) -> list[int]:
    return list(nx.shortest_path(nx.Graph(couplers), a, c))


def _swap(stack: CircuitStack, couplers: Couplers) -> CircuitStack:
    """Insert SWAPs by Cirq's router."""
    routed, moved = _route(tuple(step.axes for step in stack.steps), len(stack.qubits), couplers)
    steps = [Step(axes, _SWAP if source is None else stack.steps[source].matrices) for source, axes in routed]
    renamed = {q: stack.qubits[moved[i]] for i, q in enumerate(stack.qubits)}
    measurement = None if stack.measurement is None else stack.measurement.transform_qubits(renamed)
    return replace(stack, steps=steps, measurement=measurement)


@lru_cache(maxsize=64)  # circuits of one structure are routed once
def _route(
    gates: tuple[tuple[int, ...], ...], qubits: int, couplers: Couplers
) -> tuple[list[tuple[int | None, tuple[int, ...]]], list[int]]:
    """Return the position of each gate, or None for a SWAP, with the axes that it acts on; and where each qubit ends."""
    line = cirq.LineQubit.range(qubits)
    axis_of: dict[cirq.Qid, int] = {q: i for i, q in enumerate(line)}
    graph: Any = nx.Graph([(line[a], line[b]) for a, b in couplers])
    kinds = {1: cirq.I, 2: cirq.CZ}
    circuit = cirq.Circuit(kinds[len(axes)](*(line[a] for a in axes)).with_tags(i) for i, axes in enumerate(gates))
    start = cirq.HardCodedInitialMapper({q: q for q in line})
    routed, _, moved = cirq.RouteCQC(graph).route_circuit(circuit + cirq.Circuit(map(cirq.I, line)), initial_mapper=start)
    placed: list[tuple[int | None, tuple[int, ...]]] = []
    for op in routed.all_operations():
        axes = tuple(axis_of[q] for q in op.qubits)
        if op.gate == cirq.SWAP:
            placed.append((None, axes))
        elif op.tags:
            placed.append((int(str(op.tags[0])), axes))
    return placed, [axis_of[moved[q]] for q in line]


def merge_rotations(stack: CircuitStack) -> CircuitStack:
    """Merge runs of single-qubit gates into one PhasedXZ gate; Z rotations are moved through CZ and dropped at the end."""
    products: dict[int, Array] = {}  # of the gates on each qubit since its last gate on two qubits
    ordered: list[_Run | Step] = []
    for step in stack.steps:
        if step.matrices is not None and len(step.axes) == 1:
            (axis,) = step.axes
            products[axis] = multiply(step.matrices, products[axis]) if axis in products else step.matrices
        else:
            ordered += [_Run(axis, products.pop(axis, _IDENTITY), step.matrices is None) for axis in step.axes]
            ordered.append(step)
    measured = () if stack.measurement is None else stack.measurement.qubits
    last = [axis for axis, qubit in enumerate(stack.qubits) if not measured or qubit in measured]
    ordered += [_Run(axis, products.pop(axis, _IDENTITY), bool(measured)) for axis in last]
    rotations = iter(_rotations([each for each in ordered if isinstance(each, _Run)]))
    steps = [next(rotations) if isinstance(each, _Run) else each for each in ordered]
    return replace(stack, steps=[step for step in steps if step is not None])


class _Run(NamedTuple):
    """Single-qubit gates without a two-qubit gate between them.

    Args:
        axis: Position of the qubit.
        product: Product of the gates, (circuits or 1, 2, 2).
        move_z: True if a Z rotation at the end is moved to the qubit's next run.
    """

    axis: int
    product: Array
    move_z: bool


def _rotations(runs: Sequence[_Run]) -> list[Step | None]:
    """Return one PhasedXZ gate for each run, or None for an identity; all are computed together."""
    if not runs:
        return []
    cuts = np.cumsum([len(run.product) for run in runs])[:-1]
    exponents = [np.split(each, cuts) for each in phased_xz_exponents(np.concatenate([run.product for run in runs]))]
    moved: list[FloatArray] = []  # Z rotation that is moved to each run
    pending: dict[int, FloatArray] = {}
    for run, x, z in zip(runs, *exponents[:2], strict=True):
        moved.append(pending.pop(run.axis, np.zeros(1)))
        if run.move_z:
            pending[run.axis] = (x != 1) * (z + moved[-1])
    sizes = [max(map(len, each)) for each in zip(exponents[0], moved, strict=True)]

    def joined(parts: Sequence[FloatArray]) -> FloatArray:
        return np.concatenate([part if len(part) == n else part.repeat(n) for part, n in zip(parts, sizes, strict=True)])

    x, z, a = map(joined, exponents)
    x, z, a = after_z_rotation(x, z, a, joined(moved))
    z = np.where(np.repeat([run.move_z for run in runs], sizes), 0.0, z)
    cuts = np.cumsum(sizes)[:-1]
    needed = np.logical_or.reduceat((x != 0) | (z != 0), [0, *cuts]).tolist()
    matrices = np.split(phased_xz_unitaries(x, z, a), cuts)
    return [Step((run.axis,), each) if some else None for run, each, some in zip(runs, matrices, needed, strict=True)]
