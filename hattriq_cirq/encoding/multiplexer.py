"""Uniformly controlled rotations: one rotation of a target qubit for each state of its controls.

In Gray-code form (Mottonen, Vartiainen, Bergholm, Salomaa 2005) the target is rotated once for each parity of the controls,
in a frame in which it is coupled to the controls of that parity. Two-qubit gates are needed only to change from one frame to
the next; a `RotationTarget` says how many, and gives the gates. The order of the frames is a Gray code over the cheapest
linear basis of the parities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import cirq
import numpy as np
from numpy.typing import NDArray

from hattriq_cirq.foundation.arrays import BoolArray, FloatArray, parity_signs, walsh_hadamard

_ZERO = 1e-14  # radians; a smaller rotation changes no amplitude by more than rounding

#: Bit masks of sets of controls, or one number per set; bit b, from the least significant, stands for `controls[-1 - b]`.
Subsets = NDArray[np.intp]


@dataclass(frozen=True)
class RotationTarget:
    """A qubit to rotate that can be coupled to all others directly.

    Args:
        qubit: Qubit in |0>, unless it holds a parity.
        initial_parity: Controls whose parity the qubit holds at the start; only rotations by Ry can absorb it.
        fan_in: CNOTs applied before the rotations, which do not act on the target.
    """

    qubit: cirq.Qid
    initial_parity: tuple[cirq.Qid, ...] = ()
    fan_in: tuple[cirq.Operation, ...] = ()

    def cnot_costs(self, controls: Sequence[cirq.Qid]) -> Subsets:
        """Return the number of two-qubit gates that couple each set of controls to the target, (2**controls,)."""
        return _subset_sizes(len(controls))

    def couple(self, controls: Iterable[cirq.Qid], gate: cirq.Gate) -> list[cirq.Operation]:
        """Return the product of gate(control, target) over a set of controls."""
        return [gate(control, self.qubit) for control in controls]

    def cnot_cost(self, controls: Sequence[cirq.Qid]) -> int:
        """Return the number of two-qubit gates that couple all of the controls."""
        return int(self.cnot_costs(controls)[-1])


@dataclass(frozen=True)
class Multiplexer:
    """A uniformly controlled rotation in Gray-code form: rotations, each in a frame of couplings to some controls.

    The frame after the last rotation is left open: the target stays coupled to `open_controls`.

    Args:
        target: Qubit that is rotated.
        controls: Controls that the rotation depends on.
        parities: Frame of each rotation, as a bit mask of controls (see `Subsets`).
        angles: Angle of each rotation in radians.
        cnot_costs: Number of two-qubit gates that change a frame by each set of controls, (2**controls,).
    """

    target: RotationTarget
    controls: tuple[cirq.Qid, ...]
    parities: tuple[int, ...]
    angles: tuple[float, ...]
    cnot_costs: Subsets = field(repr=False, compare=False)

    @classmethod
    def of(cls, angles: FloatArray, reached: BoolArray, controls: Sequence[cirq.Qid], target: RotationTarget) -> Multiplexer:
        """Build the multiplexer of one angle per branch, (2**controls,); angles of branches that are not reached are free."""
        if target.initial_parity:  # Ry(angle - pi) |1> = Ry(angle) |0>
            parity = sum(2 ** (len(controls) - 1 - controls.index(control)) for control in target.initial_parity)
            angles = angles - np.pi * (np.bitwise_count(np.arange(len(angles)) & parity) % 2)
        kept = list(controls)
        for control in controls:
            axis = kept.index(control)
            shape = (2**axis, 2, 2 ** (len(kept) - axis - 1))
            pair, seen = angles.reshape(shape), reached.reshape(shape)
            differs = np.abs(pair[:, 0] - pair[:, 1]) >= _ZERO
            if not (differs & seen[:, 0] & seen[:, 1]).any():  # no branch that is reached depends on this control
                angles = np.where(seen[:, 0], pair[:, 0], pair[:, 1]).reshape(-1)
                reached = (seen[:, 0] | seen[:, 1]).reshape(-1)
                kept.remove(control)
        costs = target.cnot_costs(kept)
        walk = cheapest_gray_code(costs)
        fillings = [np.where(reached, angles, 0.0)]
        if not reached.all():
            fillings.append(_fill_to_end_early(angles, reached, walk))
        options = []
        for filled in fillings:
            rotations = walsh_hadamard(filled) / len(filled)
            order = walk[np.abs(rotations[walk]) > _ZERO]
            options.append(cls(target, tuple(kept), tuple(order.tolist()), tuple(rotations[order].tolist()), costs))
        return min(options, key=lambda option: option.cnot_count)

    @cached_property
    def cnot_count(self) -> int:
        """Number of two-qubit gates, fan-in included, with the last frame left open."""
        parities = np.array((0, *self.parities))
        return int(self.cnot_costs[parities[1:] ^ parities[:-1]].sum()) + len(self.target.fan_in)

    @property
    def open_controls(self) -> list[cirq.Qid]:
        """Controls to which the target is still coupled after the last rotation."""
        return self._controls_in(self.parities[-1]) if self.parities else []

    @property
    def usual_open_controls(self) -> list[cirq.Qid]:
        """The `open_controls` of a multiplexer in which no rotation at the end vanishes."""
        return self._controls_in(int(cheapest_gray_code(self.cnot_costs)[-1]))

    def operations(self, rotation: Callable[[float], cirq.Gate], coupling: cirq.Gate) -> list[cirq.Operation]:
        """Return the rotations and the couplings between them, without those that would close the last frame."""
        operations = list(self.target.fan_in)
        changes: dict[int, list[cirq.Operation]] = {}
        frame = 0
        for parity, angle in zip(self.parities, self.angles, strict=True):
            change = frame ^ parity
            if change not in changes:
                changes[change] = self.target.couple(self._controls_in(change), coupling)
            operations += changes[change]
            operations.append(cirq.GateOperation(rotation(angle), [self.target.qubit]))
            frame = parity
        return operations

    def _controls_in(self, subset: int) -> list[cirq.Qid]:
        return [control for b, control in enumerate(reversed(self.controls)) if subset >> b & 1]


@lru_cache
def _subset_sizes(count: int) -> Subsets:
    return np.bitwise_count(np.arange(2**count)).astype(np.intp)


#: Multiplexer of a qubit, and the controls from which its target is uncoupled afterwards.
ClosedMultiplexer = tuple[Multiplexer, list[cirq.Qid]]


def closed_cnot_count(multiplexers: Sequence[ClosedMultiplexer]) -> int:
    """Return the number of two-qubit gates in all, those that uncouple the targets included."""
    return sum(mux.cnot_count + mux.target.cnot_cost(closing) for mux, closing in multiplexers)


def closed_operations(
    multiplexers: Sequence[ClosedMultiplexer], rotation: Callable[[float], cirq.Gate], coupling: cirq.Gate
) -> list[list[cirq.Operation]]:
    """Return the operations of each multiplexer, those that uncouple its target included."""
    return [mux.operations(rotation, coupling) + mux.target.couple(closing, coupling) for mux, closing in multiplexers]


def cheapest_gray_code(cnot_costs: Subsets) -> Subsets:
    """Return every subset once, from the empty one: a Gray code over the cheapest basis, which uses costly changes least often.

    The cheapest basis is found greedily, and each of its elements is then as cheap as in any other basis (it is a matroid).

    Args:
        cnot_costs: Cost of changing a frame by each subset, (2**controls,).

    Returns:
        Bit masks of subsets, (2**controls,).
    """
    return _gray_code(cnot_costs.tobytes())


@lru_cache(maxsize=4096)
def _gray_code(cnot_costs: bytes) -> Subsets:
    by_cost = np.argsort(np.frombuffer(cnot_costs, dtype=np.intp), kind="stable")
    basis: list[int] = []
    reduced: dict[int, int] = {}  # by highest bit
    for subset in map(int, by_cost):
        rest = subset
        while rest and rest.bit_length() in reduced:
            rest ^= reduced[rest.bit_length()]
        if rest:
            reduced[rest.bit_length()] = rest
            basis.append(subset)
            if 2 ** len(basis) == len(by_cost):
                break
    walk = np.zeros(1, dtype=np.intp)
    for change in basis:
        walk = np.concatenate([walk, walk[::-1] ^ change])
    return walk


def _fill_to_end_early(angles: FloatArray, reached: BoolArray, walk: Subsets) -> FloatArray:
    """Choose the free angles so that as many rotations vanish, from the end of the Gray code, as there are free branches."""
    free = np.flatnonzero(~reached)
    columns = parity_signs(walk[::-1, np.newaxis] & free)
    fixed = parity_signs(walk[::-1, np.newaxis] & np.flatnonzero(reached))
    pivots = _independent_rows(columns)
    filled = angles.copy()
    filled[free] = np.linalg.solve(columns[pivots], -(fixed[pivots] @ angles[reached]))
    return filled


def _independent_rows(matrix: FloatArray) -> NDArray[np.intp]:
    """Return the indices of the first rows that span the row space, in order."""
    basis = np.zeros((0, matrix.shape[1]))
    rows: list[int] = []
    for i, row in enumerate(matrix):
        rest = row - basis.T @ (basis @ row)
        rest -= basis.T @ (basis @ rest)
        size = np.linalg.norm(rest)
        if size > 1e-6 * np.linalg.norm(row):
            basis = np.vstack([basis, rest / size])
            rows.append(i)
            if len(rows) == matrix.shape[1]:
                break
    return np.array(rows)
