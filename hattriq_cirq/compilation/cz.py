"""Compilation to CZ and single-qubit gates on given couplers, for all circuits of a stack at once.

The steps are those of `cirq.optimize_for_target_gateset`: gates on the same two qubits are merged into blocks, blocks that
fewer CZ can do are decomposed anew, and runs of single-qubit gates become one PhasedXZ gate. Z rotations commute with CZ and
are moved to the measurement, where they have no effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import cirq
import numpy as np

from hattriq_cirq.circuits.swept_gates import after_z_rotation, phased_xz_exponents, phased_xz_unitaries
from hattriq_cirq.compilation.circuit_stack import CircuitStack, Step, apply
from hattriq_cirq.compilation.kak import KakDecompositions, multiply
from hattriq_cirq.compilation.routing import Couplers, path_between, route
from hattriq_cirq.foundation.arrays import Array, FloatArray

_H = cirq.unitary(cirq.H)[np.newaxis]
_SWAP = cirq.unitary(cirq.SWAP)[np.newaxis]
_IDENTITY = np.eye(2, dtype=np.complex128)[np.newaxis]
_FEW_BRIDGES = 1.7  # bridges of all gates are tried if they have fewer CZ than this many times those of the circuit
_ROUNDING = 1e-9  # off-diagonal elements up to this are zero


def compile_to_cz(stack: CircuitStack, couplers: Couplers | None = None) -> list[CircuitStack]:
    """Compile circuits to CZ and PhasedXZ.

    Gates on qubits without a coupler are done by bridges only, if these are few, or by SWAPs with or without bridges; the way
    with fewest CZ is kept.

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
            bridged = [_bridged(piece, couplers, reverse=reverse) for reverse in (False, True)]
            routes = [each for each in bridged if each.couplings < _FEW_BRIDGES * piece.couplings]
            routes += [_routed(piece, couplers, bridges=bridges) for bridges in (True, False)]
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
    def couplings(self) -> int:
        """Number of gates on two qubits."""
        return sum(len(step.axes) > 1 for step in self.steps)

    @property
    def is_cz_only(self) -> bool:
        """True if all gates on two qubits are CZ."""
        return all(len(step.axes) < 2 or step.matrices is None for step in self.steps)

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
    shrinking = [block for block in blocks if block.couplings > 1 or not block.is_cz_only]
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
        if decomposition.cz_counts[0] < block.couplings or not block.is_cz_only:
            block.steps = [Step(tuple(block.axes[i] for i in axes), gate) for axes, gate in decomposition.cz_gates()]
    return [replace(stack, steps=[step for block in blocks for step in block.steps])]


def _routed(stack: CircuitStack, couplers: Couplers, *, bridges: bool) -> CircuitStack:
    """Insert SWAPs, and replace CZ by bridges if that is allowed."""
    blocks = two_qubit_blocks(stack.steps)
    pairs = [block for block in blocks if len(block.axes) == 2]
    interactions = tuple((block.axes[0], block.axes[1], min(3, block.couplings)) for block in pairs)
    steps = [step for block in blocks if len(block.axes) == 1 for step in block.steps]
    places = list(range(len(stack.qubits)))
    for number, path in route(interactions, len(places), couplers, bridges=bridges):
        if number is None:
            exchanged = dict(zip(path, reversed(path), strict=True))
            places = [exchanged.get(place, place) for place in places]
            steps.append(Step(path, _SWAP))
            continue
        for axes, matrices in pairs[number].steps:
            is_bridge = len(axes) == 2 and len(path) > 2
            steps += _bridge(path) if is_bridge else [Step(tuple(places[axis] for axis in axes), matrices)]
    renamed = {q: stack.qubits[place] for q, place in zip(stack.qubits, places, strict=True)}
    measurement = None if stack.measurement is None else stack.measurement.transform_qubits(renamed)
    return replace(stack, steps=steps, measurement=measurement)


def _bridged(stack: CircuitStack, couplers: Couplers, *, reverse: bool) -> CircuitStack:
    """Replace every CZ by gates along a path between its qubits, from the one or the other, which moves no qubit."""
    steps: list[Step] = []
    for step in stack.steps:
        steps += _bridge(path_between(couplers, *sorted(step.axes, reverse=reverse))) if len(step.axes) == 2 else [step]
    return replace(stack, steps=steps)


def _bridge(path: tuple[int, ...]) -> list[Step]:
    """Return gates along a path that equal a CZ between its ends, which moves no qubit.

    With b next to c on the path from a, CZ(a, c) = CZ(b, c) X CZ(b, c) X, where X is a CNOT from a to b. Which of the two ends
    is a decides which gates may cancel against their neighbours.
    """
    *_, b, c = path
    if len(path) == 2:
        return [Step(path, None)]
    cnot = [Step((b,), _H), *_bridge(path[:-1]), Step((b,), _H)]
    return [Step((b, c), None), *cnot, Step((b, c), None), *cnot]


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
