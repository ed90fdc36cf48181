"""Uniformly controlled rotations: one turn of a target qubit for each state of its controls.

In Gray-code form (Mottonen, Vartiainen, Bergholm, Salomaa 2005) the target turns once for each parity of the controls, in a
frame that is coupled to the controls of that parity. Moving from frame to frame is what costs two-qubit gates; a `Target`
says how many, and how it is done. The walk through all frames is a Gray code over the cheapest linear basis of the parities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import cirq
import numpy as np
from numpy.typing import NDArray

from hattriq_cirq.foundation.arrays import FloatArray, parity_signs, walsh_hadamard

_ZERO = 1e-14  # radians; a turn below this changes no amplitude by more than rounding

Masks = NDArray[np.intp]
"""Sets of controls, or numbers one for each set; bit b, counted from the least significant, stands for `controls[-1 - b]`."""


@dataclass(frozen=True)
class Target:
    """A qubit to turn, which all others may be coupled to directly.

    Args:
        qubit: in |0>, unless it holds a parity.
        held: the controls whose parity it holds at the start; only a turn by Ry takes it in.
        loading: what comes before the turns, apart from the target.
    """

    qubit: cirq.Qid
    held: tuple[cirq.Qid, ...] = ()
    loading: tuple[cirq.Operation, ...] = ()

    def prices(self, controls: Sequence[cirq.Qid]) -> Masks:
        """The two-qubit gates that couple each set of controls to the target, (2**controls,)."""
        return _sizes(len(controls))

    def coupled(self, controls: Iterable[cirq.Qid], gate: cirq.Gate) -> list[cirq.Operation]:
        """The product of gate(control, target) over a set of controls."""
        return [gate(control, self.qubit) for control in controls]

    def price(self, controls: Sequence[cirq.Qid]) -> int:
        """The two-qubit gates that couple all these controls."""
        return int(self.prices(controls)[-1])


Wiring = Callable[[cirq.Qid], Target]
"""Where the value of a qubit is prepared, and how others couple to it."""

direct: Wiring = Target
"""All pairs of qubits are coupled, and each value is prepared in its place."""


@dataclass(frozen=True)
class Multiplexer:
    """A uniformly controlled rotation in Gray-code form: turns, each in a frame of couplings to some controls.

    Bit b of a mask, counted from the least significant, stands for `controls[-1 - b]`. The frame after the last turn is left
    open; `left_open` names the controls it is coupled to.
    """

    target: Target
    controls: tuple[cirq.Qid, ...]
    masks: tuple[int, ...]
    angles: tuple[float, ...]
    prices: Masks = field(repr=False, compare=False)

    @classmethod
    def of(cls, angles: FloatArray, reached: NDArray[np.bool_], controls: Sequence[cirq.Qid], target: Target) -> Multiplexer:
        """From one angle a branch, (2**controls,); the angles of branches that nothing reaches are free."""
        if target.held:  # Ry(angle - pi) |1> = Ry(angle) |0>
            held = sum(2 ** (len(controls) - 1 - controls.index(control)) for control in target.held)
            angles = angles - np.pi * (np.bitwise_count(np.arange(len(angles)) & held) % 2)
        kept = list(controls)
        for control in controls:
            axis = kept.index(control)
            shape = (2**axis, 2, 2 ** (len(kept) - axis - 1))
            pair, seen = angles.reshape(shape), reached.reshape(shape)
            differs = np.abs(pair[:, 0] - pair[:, 1]) >= _ZERO
            if not (differs & seen[:, 0] & seen[:, 1]).any():  # this control changes nothing anybody sees
                angles = np.where(seen[:, 0], pair[:, 0], pair[:, 1]).reshape(-1)
                reached = (seen[:, 0] | seen[:, 1]).reshape(-1)
                kept.remove(control)
        prices = target.prices(kept)
        walk = cheapest_walk(prices)
        fillings = [np.where(reached, angles, 0.0)]
        if not reached.all():
            fillings.append(_filled_to_end_early(angles, reached, walk))
        options = []
        for filled in fillings:
            turns = walsh_hadamard(filled) / len(filled)
            order = walk[np.abs(turns[walk]) > _ZERO]
            options.append(cls(target, tuple(kept), tuple(order.tolist()), tuple(turns[order].tolist()), prices))
        return min(options, key=lambda option: option.couplings)

    @cached_property
    def couplings(self) -> int:
        """Two-qubit gates, loading included, with the last frame left open."""
        masks = np.array((0, *self.masks))
        return int(self.prices[masks[1:] ^ masks[:-1]].sum()) + len(self.target.loading)

    @property
    def left_open(self) -> list[cirq.Qid]:
        """Controls to which the target is still coupled after the last turn."""
        return self._named(self.masks[-1]) if self.masks else []

    @property
    def usual_end(self) -> list[cirq.Qid]:
        """What `left_open` is where no turn at the end vanishes."""
        return self._named(int(cheapest_walk(self.prices)[-1]))

    def operations(self, turn: Callable[[float], cirq.Gate], coupling: cirq.Gate) -> list[cirq.Operation]:
        """The turns and the couplings between them, without those that would close the last frame."""
        operations = list(self.target.loading)
        moves: dict[int, list[cirq.Operation]] = {}
        frame = 0
        for mask, angle in zip(self.masks, self.angles, strict=True):
            move = frame ^ mask
            if move not in moves:
                moves[move] = self.target.coupled(self._named(move), coupling)
            operations += moves[move]
            operations.append(cirq.GateOperation(turn(angle), [self.target.qubit]))
            frame = mask
        return operations

    def _named(self, mask: int) -> list[cirq.Qid]:
        return [control for b, control in enumerate(reversed(self.controls)) if mask >> b & 1]


@lru_cache
def _sizes(count: int) -> Masks:
    return np.bitwise_count(np.arange(2**count)).astype(np.intp)


def cheapest_walk(prices: Masks) -> Masks:
    """Every mask once, from 0: a Gray code over the cheapest basis of the masks, its dearest moves made least often.

    The cheapest basis is found greedily, and every one of its moves is then as cheap as in any other (it is a matroid).

    Args:
        prices: (2**controls,), what it costs to change a frame by each mask.

    Returns:
        (2**controls,) masks.
    """
    return _walk(prices.tobytes())


@lru_cache(maxsize=4096)
def _walk(prices: bytes) -> Masks:
    by_price = np.argsort(np.frombuffer(prices, dtype=np.intp), kind="stable")
    basis: list[int] = []
    reduced: dict[int, int] = {}  # by highest bit
    for mask in map(int, by_price):
        rest = mask
        while rest and rest.bit_length() in reduced:
            rest ^= reduced[rest.bit_length()]
        if rest:
            reduced[rest.bit_length()] = rest
            basis.append(mask)
            if 2 ** len(basis) == len(by_price):
                break
    walk = np.zeros(1, dtype=np.intp)
    for move in basis:
        walk = np.concatenate([walk, walk[::-1] ^ move])
    return walk


def _filled_to_end_early(angles: FloatArray, reached: NDArray[np.bool_], walk: Masks) -> FloatArray:
    """Chooses the free angles so that as many turns vanish, from the end of the walk, as there are free branches."""
    free = np.flatnonzero(~reached)
    columns = parity_signs(walk[::-1, np.newaxis] & free)
    known = parity_signs(walk[::-1, np.newaxis] & np.flatnonzero(reached))
    pivots = _independent_rows(columns)
    solution = np.linalg.solve(columns[pivots], -(known[pivots] @ angles[reached]))
    filled = angles.copy()
    filled[free] = solution
    return filled


def _independent_rows(matrix: FloatArray) -> NDArray[np.intp]:
    """The first rows that span the row space, in order."""
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
