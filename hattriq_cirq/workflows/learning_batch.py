"""The circuits of a campaign that run in one call: probes of the fit, folded ones, and states that are held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from calibration.gates.folded_gauges import FoldedGauges, StageGauges
from calibration.sequence import MitigationSequence
from hattriq_cirq.estimators.probe_circuits import ProbeStructure
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import FloatArray, largest_remainders
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.models.pauli_strings import ProductStates
from hattriq_cirq.pipeline.execute import PreparedCircuits
from hattriq_cirq.pipeline.mitigation import Mitigation

#: Number of times that folded circuits are as deep.
DEPTH = 3
#: Shots of a folded probe relative to those of the others: the factor is one number, which needs a tenth of all.
FOLDED_WEIGHT = 1 / 3


@dataclass(frozen=True, eq=False)
class Rows(Frozen):
    """Circuits of one structure, and the units whose value each is a share of.

    A unit is one value of a state: in the fit, held out (in several gauges, each at both ends of the campaign) or folded. A
    state with Y that must not see strings with an odd number of Y is the mean of two circuits with opposite signs of Y.

    Args:
        state: Position of the product state, (rows,).
        flipped: True where the signs of Y are flipped, (rows,).
        unit: Position of the unit, (rows,).
        share: Share of the unit's value, (rows,).
        weight: Number of shots relative to those of a probe of the fit, (rows,).
        parts: Rows that run at the beginning, in the middle and at the end of the campaign.
    """

    state: NDArray[np.int64]
    flipped: NDArray[np.bool_]
    unit: NDArray[np.int64]
    share: FloatArray
    weight: FloatArray
    parts: tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Batch(Frozen):
    """Circuits of a campaign that run in one call, with the units in their order: held out, of the fit, folded, held out.

    Args:
        structures: Circuit structures that measure the observables together.
        fitted: States of the probes of the fit.
        folded: Positions of those that are folded too.
        held_out: States that take no part in the fit.
        gauges: Number of gauges of each of these.
        held_weight: Shots of all of them at one end of the campaign, relative to those of a probe of the fit.
        stage: Number of the batch, from 0.
        is_last: True if it is the last of the campaign: the first one begins and the last one ends with states held out.
        paired: True if probes with Y are averaged over the signs of Y.
        seed: Random seed for gauges.
    """

    structures: tuple[ProbeStructure, ...]
    fitted: ProductStates
    folded: NDArray[np.int64]
    held_out: ProductStates
    gauges: int
    held_weight: float
    stage: int
    is_last: bool
    paired: bool
    seed: int

    @property
    def is_whole(self) -> bool:
        """True if it is the only batch of the campaign."""
        return self.stage == 0 and self.is_last

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Number of units that are held out at the beginning, of the fit, folded, and held out at the end."""
        held = len(self.held_out) * self.gauges
        return held * (self.stage == 0), len(self.fitted), len(self.folded), held * self.is_last

    @property
    def states(self) -> ProductStates:
        """All states: those of the fit, then those held out."""
        return self.fitted.joined(self.held_out)

    @cached_property
    def rows(self) -> Rows:
        """Circuits of each structure, in the order of the units."""
        begin, fit, folded, end = self.counts
        twice = fit + np.repeat(np.arange(len(self.held_out)), self.gauges)
        state = np.concatenate([twice[:begin], np.arange(fit), self.folded, twice[:end]])
        each = np.full(len(twice), self.held_weight / len(twice))
        weight = np.concatenate([each[:begin], np.ones(fit), np.full(folded, FOLDED_WEIGHT), each[:end]])
        has_pair = (self.states.y_masks[state] != 0) & self.paired
        unit = np.repeat(np.arange(len(state)), 1 + has_pair)
        second = np.concatenate([[False], unit[1:] == unit[:-1]])
        share = 1.0 / (1 + has_pair)[unit]
        first, last = np.searchsorted(unit, [begin, begin + fit + folded]).tolist()
        parts = (slice(0, first), slice(first, last), slice(last, len(unit)))
        return Rows(state[unit], second, unit, share, weight[unit] * share, parts)

    @cached_property
    def requests(self) -> NDArray[np.int64]:
        """Number of each circuit, (structures, rows): part by part of the campaign, in the order in which they run.

        Where the circuits at its end are of another batch than those at its beginning, both have the first numbers of their
        batch, so that they are compiled alike.
        """
        places = [0, 1, 2 if self.is_whole else 0]
        part = np.repeat(places, [rows.stop - rows.start for rows in self.rows.parts])
        order = np.argsort(np.tile(part, len(self.structures)), kind="stable")
        return np.argsort(order).reshape(len(self.structures), -1)

    @property
    def circuits(self) -> int:
        """Number of circuits."""
        return len(self.structures) * len(self.rows.state)

    @property
    def weight(self) -> float:
        """Shots relative to those of a probe of the fit."""
        fit, ends = len(self.fitted) + FOLDED_WEIGHT * len(self.folded), (self.stage == 0) + self.is_last
        return fit + ends * self.held_weight

    def shots(self, total: int) -> list[int]:
        """Return the shots of each circuit.

        Raises:
            ValueError: There are fewer shots than circuits.
        """
        weights = np.empty(self.circuits)
        weights[self.requests] = np.multiply.outer([structure.size for structure in self.structures], self.rows.weight)
        if total < len(weights):
            raise ValueError(
                f"shots={total} must be at least {len(weights)}, the number of circuits; use more shots or fewer probes"
            )
        spare = total - len(weights)
        return [1 + more for more in largest_remainders(spare * weights / weights.sum(), spare)]

    def compile(self, engine: Engine, shots: Sequence[int] | None, corrections: Sequence[Mitigation] = ()) -> PreparedCircuits:
        """Return all circuits, compiled for the engine's processor, or as one program and a sweep per structure.

        Args:
            engine: Engine that runs them.
            shots: Shots of each circuit; None for exact probabilities.
            corrections: Corrections of the outcomes.
        """
        states, flipped, requests = self.states.select(self.rows.state), self.rows.flipped, self.requests
        mitigation = MitigationSequence([self._gauges(), *corrections])
        if engine.processor is None:
            pairs = zip(self.structures, requests.tolist(), strict=True)
            programs = [structure.program(states, flipped, own) for structure, own in pairs]
            return PreparedCircuits(engine, programs, shots, mitigation)
        circuits = [circuit for structure in self.structures for circuit in structure.circuits(states, flipped)]
        ordered = [circuits[i] for i in np.argsort(requests, axis=None)]
        return PreparedCircuits.compile(engine, ordered, shots, mitigation)

    def _gauges(self) -> FoldedGauges:
        """Return the mitigation that runs each circuit in a gauge of its own, and folds some."""
        begin, fit, folded, _ = self.counts
        is_folded = (begin + fit <= self.rows.unit) & (self.rows.unit < begin + fit + folded)
        chosen = tuple(np.sort(self.requests[:, is_folded], axis=None).tolist())
        ends = self.rows.parts[0] if begin else self.rows.parts[2]
        repeated = len(self.structures) * (ends.stop - ends.start)
        if self.is_whole:
            return FoldedGauges(chosen, DEPTH, self.seed, repeated)
        return StageGauges(chosen, DEPTH, self.seed, repeated, self.stage)
