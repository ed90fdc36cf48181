"""The circuits of a campaign that learns an observable, and their values: probes, gauges, folded probes and their shots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.gates.folded_gauges import FoldedGauges
from calibration.sequence import MitigationSequence
from hattriq_cirq.circuits.outcomes import SharedUncertainty
from hattriq_cirq.estimators.probe_circuits import ProbeStructure, probe_structures
from hattriq_cirq.estimators.probe_design import HELD_OUT, ProbeDesign, design_probes
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import FloatArray, largest_remainders
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.log import Log
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.coefficient_fit import CoefficientFit, Damping, ProbeOutcomes, RepeatedOutcomes
from hattriq_cirq.models.model import Model
from hattriq_cirq.models.pauli_strings import PauliStrings, ProductStates
from hattriq_cirq.pipeline.execute import PreparedCircuits
from hattriq_cirq.pipeline.mitigation import Mitigation, Outcomes, as_mitigation
from hattriq_cirq.workflows.learning_strings import ChosenStrings

log = Log("workflows")
_HELD_OUT = 0.1  # share of the shots for the states that take no part in the fit, without those of folded circuits
_GAUGES_MIN = 2  # gauges in which each of these states is measured at least
_SHOTS_PER_PROBE = 2_000  # in that many the scatter between the gauges of a dozen CZ is as large as that of counts
_PROBES_MAX = 3_000  # probes above which no more are taken for the sake of gauges
_FOLDED = 1 / 3  # probes that are folded, as a share of the others
_FOLDED_WEIGHT = 1 / 3  # their shots relative to those of the others: the factor is one number, which needs a tenth of all
_DEPTH = 3
_EXACT_NOISE = 1e-10  # variance that stands for exact outcomes in the fit, as a share of the observable's
_DAMPING = "damping"


@dataclass(frozen=True)
class Corrections:
    """Corrections of a campaign: of its counts, and of the damping by noise.

    Args:
        outcomes: Corrections of the counts.
        damping: True if the common damping factor is measured by folded circuits and divided out.

    Example:
        >>> Corrections.of("damping").describe()
        'one random gauge per circuit + damping by folded circuits'
    """

    outcomes: tuple[Mitigation[Any], ...]
    damping: bool

    @classmethod
    def of(cls, mitigation: object) -> Corrections:
        """Return the corrections that words, mitigations or a sequence of them name."""
        if mitigation is None:
            parts: list[object] = []
        elif isinstance(mitigation, str):
            parts = [part.strip() for part in mitigation.split(",")]
        else:
            parts = list(mitigation) if isinstance(mitigation, Sequence) else [mitigation]
        outcomes = tuple(each for part in parts if part != _DAMPING and (each := as_mitigation(part)) is not None)
        for each in outcomes:
            for one in each.parts if isinstance(each, MitigationSequence) else (each,):
                if type(one).auxiliary_circuits is not Mitigation.auxiliary_circuits:
                    raise ValueError(
                        f"{one.describe()} measures circuits beside those of each input, and a campaign has no inputs; use "
                        "'damping' and 'readout'"
                    )
        return cls(outcomes, _DAMPING in parts)

    def describe(self) -> str:
        """Return the corrections in a few words."""
        words = [*(each.describe() for each in self.outcomes), *(["damping by folded circuits"] if self.damping else [])]
        return " + ".join(["one random gauge per circuit", *words])


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
class Campaign:
    """The probes of one model and the circuits that measure them.

    Args:
        model: Model to learn.
        structures: Circuit structures that measure its observable together.
        design: Probes of the fit, and the states that are held out.
        folded: Positions of the fit's probes that are folded too.
        paired: True if probes with Y are averaged over the signs of Y.
        corrections: Corrections of the outcomes.
        seed: Random seed for gauges.
    """

    model: Model
    structures: tuple[ProbeStructure, ...]
    design: ProbeDesign
    folded: NDArray[np.int64]
    paired: bool
    corrections: Corrections
    seed: int

    @classmethod
    def of(
        cls,
        model: Model,
        chosen: ChosenStrings,
        probes: int | None,
        corrections: Corrections,
        seed: int,
        shots: int | None = None,
    ) -> Campaign:
        """Design the probes for strings; without a prior, so that they determine every coefficient.

        Args:
            model: Model to learn.
            chosen: Strings with their importance.
            probes: Number of probes; None takes as many as the design needs.
            corrections: Corrections of the outcomes.
            seed: Random seed for probes and gauges.
            shots: Number of shots for which the probes are best: the more there are, the more gauges they are spread over and
                the less a prior decides; None for exact probabilities.
        """
        structures = tuple(probe_structures(model))
        known, prior = None, chosen.prior_variances()
        if shots is not None and prior is not None and chosen.prior == "magnitude":  # equal variances hardly change a design
            size = sum(structure.size for structure in structures)
            known = size**2 / ((1 - _HELD_OUT) * shots * prior)
        design = design_probes(
            chosen.strings,
            chosen.importance,
            probes=None if probes is None else probes - HELD_OUT,
            seed=seed,
            least=min(_PROBES_MAX, (shots or 0) // _SHOTS_PER_PROBE),
            known=known,
            full_rank=chosen.prior == "none",
        )
        rng = np.random.default_rng([seed, 2])
        folds = max(1, round(_FOLDED * len(design.states))) if corrections.damping else 0
        signal = abs(design.states.expectations(chosen.strings)) @ (np.ones(len(chosen.strings)) if prior is None else prior)
        folded = np.sort(np.lexsort((rng.random(len(signal)), -signal))[:folds])  # those with the largest expected squares
        strings, states = quantity(len(chosen.strings), "string"), quantity(len(design.states), "probe")
        log.info("%s, %s and %d held out", strings, states, len(design.held_out))
        return cls(model, structures, design, folded, chosen.real, corrections, seed)

    @property
    def fitted(self) -> ProductStates:
        """States of the probes of the fit."""
        return self.design.states

    @property
    def held_out(self) -> ProductStates:
        """States that take no part in the fit."""
        return self.design.held_out

    @property
    def size(self) -> float:
        """Largest value of one shot of every structure, summed: the variance of a probe's value is at most size^2 / shots."""
        return sum(structure.size for structure in self.structures)

    @property
    def _held_weight(self) -> float:
        """Shots of all states that are held out, relative to those of a probe of the fit: each has at least as many."""
        return max(len(self.held_out), _HELD_OUT / (1 - _HELD_OUT) * len(self.fitted))

    @property
    def share_of_fit(self) -> float:
        """Share of all shots that the probes of the fit have."""
        return len(self.fitted) / (len(self.fitted) + self._held_weight + _FOLDED_WEIGHT * len(self.folded))

    @property
    def gauges(self) -> int:
        """Number of gauges of each state that is held out, so that its circuits have half the shots of a probe of the fit."""
        return max(_GAUGES_MIN, round(self._held_weight / len(self.held_out)))

    @property
    def states(self) -> ProductStates:
        """All states: those of the fit, then those held out."""
        parts = (self.fitted, self.held_out)
        n, bases = self.model.n_qubits, [part.bases for part in parts]
        masks = (np.concatenate([getattr(b, name) for b in bases]) for name in ("x_masks", "z_masks"))
        return ProductStates(PauliStrings(n, *masks), np.concatenate([part.signs for part in parts]))

    @cached_property
    def rows(self) -> Rows:
        """Circuits of each structure: those held out, of the fit and folded, and again those held out."""
        fit, held, folded = len(self.fitted), len(self.held_out) * self.gauges, len(self.folded)
        twice = fit + np.repeat(np.arange(len(self.held_out)), self.gauges)
        state = np.concatenate([twice, np.arange(fit), self.folded, twice])
        each = np.full(held, self._held_weight / (2 * held))
        weight = np.concatenate([each, np.ones(fit), np.full(folded, _FOLDED_WEIGHT), each])
        has_pair = (self.states.y_masks[state] != 0) & self.paired
        unit = np.repeat(np.arange(len(state)), 1 + has_pair)
        second = np.concatenate([[False], unit[1:] == unit[:-1]])
        share = 1.0 / (1 + has_pair)[unit]
        begin, end = np.searchsorted(unit, [held, held + fit + folded]).tolist()
        parts = (slice(0, begin), slice(begin, end), slice(end, len(unit)))
        return Rows(state[unit], second, unit, share, weight[unit] * share, parts)

    @cached_property
    def requests(self) -> NDArray[np.int64]:
        """Number of each circuit in the order in which they run, (structures, rows): part by part of the campaign."""
        part = np.repeat([0, 1, 2], [rows.stop - rows.start for rows in self.rows.parts])
        order = np.argsort(np.tile(part, len(self.structures)), kind="stable")
        return np.argsort(order).reshape(len(self.structures), -1)

    @property
    def circuits(self) -> int:
        """Number of circuits."""
        return len(self.structures) * len(self.rows.state)

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

    def compile(self, engine: Engine, shots: Sequence[int] | None) -> PreparedCircuits:
        """Return all circuits, compiled for the engine's processor, or as one program and a sweep per structure."""
        states, flipped, requests = self.states.select(self.rows.state), self.rows.flipped, self.requests
        of_fit = len(self.held_out) * self.gauges + len(self.fitted)
        is_folded = (of_fit <= self.rows.unit) & (self.rows.unit < of_fit + len(self.folded))
        repeated = len(self.structures) * self.rows.parts[0].stop
        gauges = FoldedGauges(tuple(np.sort(requests[:, is_folded], axis=None).tolist()), _DEPTH, self.seed, repeated)
        mitigation = MitigationSequence([gauges, *self.corrections.outcomes])
        if engine.processor is None:
            pairs = zip(self.structures, requests.tolist(), strict=True)
            programs = [structure.program(states, flipped, own) for structure, own in pairs]
            return PreparedCircuits(engine, programs, shots, mitigation)
        circuits = [circuit for structure in self.structures for circuit in structure.circuits(states, flipped)]
        ordered = [circuits[i] for i in np.argsort(requests, axis=None)]
        return PreparedCircuits.compile(engine, ordered, shots, mitigation)

    def fit(self, outcomes: Outcomes, shots: Sequence[int] | None, chosen: ChosenStrings) -> MeasuredCampaign:
        """Return what a campaign has measured, with the fit of the coefficients.

        Args:
            outcomes: Outcome of every circuit.
            shots: Shots of each; None for exact probabilities.
            chosen: Strings with their prior.
        """
        decoded = self._decoded(outcomes, shots)
        held, fit_count, gauges = len(self.held_out) * self.gauges, len(self.fitted), self.gauges
        begin = np.arange(held).reshape(-1, gauges)
        in_fit = held + np.arange(fit_count)
        amplified = np.arange(held + fit_count, decoded.count - held)
        end = decoded.count - held + begin
        gauge, gauge_error = decoded.gauge_variance(begin, end)
        noise = np.maximum(decoded.fit_noise(in_fit) + gauge * decoded.squared_shares, _EXACT_NOISE * self.size**2)
        fitted = ProbeOutcomes(
            self.fitted,
            decoded.values[in_fit],
            (decoded.variances + gauge * decoded.squared_shares)[in_fit],
            decoded.sensitivities[in_fit],
            gauge_error * decoded.squared_shares[in_fit],
        )
        first, last = (decoded.values[at].mean(axis=1) for at in (begin, end))
        ends = RepeatedOutcomes(first, last, decoded.count_variance(begin, end))
        scatter = decoded.squared_shares[begin].mean(axis=1) / gauges
        apart = ProbeOutcomes(
            self.held_out,
            (ends.first + ends.last) / 2,
            ends.variances / 4 + gauge * scatter,
            (decoded.sensitivities[begin] + decoded.sensitivities[end]).mean(axis=1) / 2,
            gauge_error * scatter,
        )
        prior = chosen.fitted_prior(fitted, noise[in_fit])
        fit = CoefficientFit(chosen.strings, fitted, noise[in_fit], prior)
        if not len(self.folded):
            return MeasuredCampaign(fit, apart, ends, None)
        grown = _DEPTH**2 * gauge * decoded.squared_shares[amplified]  # coherent errors grow in proportion to the depth
        folded = ProbeOutcomes(
            self.fitted.select(self.folded),
            decoded.values[amplified],
            decoded.variances[amplified] + grown,
            decoded.sensitivities[amplified],
        )
        return MeasuredCampaign(fit, apart, ends, Damping.estimate(fit, folded, noise[amplified] + grown, _DEPTH))

    def _decoded(self, outcomes: Outcomes, shots: Sequence[int] | None) -> _Decoded:
        """Decode the outcomes of all circuits."""
        rows, units = self.rows, int(self.rows.unit[-1]) + 1
        total, variances, plain = np.zeros((3, units))
        slopes: dict[SharedUncertainty, FloatArray] = {}
        places = [(i, j, int(request)) for (i, j), request in np.ndenumerate(self.requests)]
        for i, j, request in track(places, "decode probes", "circuit"):
            structure, outcome, unit, share = self.structures[i], outcomes[request], rows.unit[j], rows.share[j]
            weights = structure.weights
            total[unit] += share * outcome.expectation(weights)[0]
            variances[unit] += share**2 * outcome.variances(weights)[0]
            if shots is not None:
                plain[unit] += (share * structure.size) ** 2 / shots[request]
            random = {key: slope for key, slope in outcome.sensitivities(weights).items() if not key.systematic}
            for key, slope in random.items():
                slopes.setdefault(key, np.zeros((units, slope.shape[1])))[unit] += share * slope[0]
        columns = [slope @ _root(key.matrix) for key, slope in slopes.items()]
        squared = np.bincount(rows.unit, rows.share**2, units).astype(float)
        return _Decoded(total, variances, plain, squared, np.concatenate([np.zeros((units, 0)), *columns], axis=1))


@dataclass(frozen=True, eq=False)
class MeasuredCampaign(Frozen):
    """Outcome of a campaign.

    Args:
        fit: Fit of the coefficients.
        held_out: Outcomes of the states that are held out, over both ends of the campaign.
        ends: The same states at its beginning and at its end.
        damping: Damping factor; None if it was not measured.
    """

    fit: CoefficientFit
    held_out: ProbeOutcomes
    ends: RepeatedOutcomes
    damping: Damping | None


@dataclass(frozen=True, eq=False)
class _Decoded(Frozen):
    """Values of all units of a campaign.

    Args:
        values: Values, (units,).
        variances: Variances from counts, (units,).
        plain: Variances that do not depend on the outcomes: those of the largest spread, (units,).
        squared_shares: Sums of the squared shares of the units' circuits, (units,): scatter of gauges relative to one circuit.
        sensitivities: Derivatives by shared numbers of variance 1, (units, numbers).
    """

    values: FloatArray
    variances: FloatArray
    plain: FloatArray
    squared_shares: FloatArray
    sensitivities: FloatArray

    @property
    def count(self) -> int:
        """Number of units."""
        return len(self.values)

    def fit_noise(self, units: NDArray[np.int64]) -> FloatArray:
        """Return the variances that weight units in a fit: of one size for all, whatever their outcomes, (units,)."""
        plain = float(self.plain[units].mean())
        return self.plain * (float(self.variances[units].mean()) / plain if plain else 0.0)

    def count_variance(self, *units: NDArray[np.int64]) -> FloatArray:
        """Return the variance from counts of the difference of the means of units, (states,), each (states, gauges)."""
        return np.asarray(np.sum([self.variances[own].mean(axis=1) / own.shape[1] for own in units], axis=0))

    def gauge_variance(self, begin: NDArray[np.int64], end: NDArray[np.int64]) -> tuple[float, float]:
        """Return the variance between the gauges of a circuit, at least 0, and its error.

        Args:
            begin: Units of states in several gauges, (states, gauges).
            end: Units of the same circuits, measured again.
        """
        values, counted = (self.values[begin] + self.values[end]) / 2, (self.variances[begin] + self.variances[end]) / 4
        free = begin.shape[1] - 1
        shares, expected = self.squared_shares[begin].mean(axis=1), counted.mean(axis=1)
        excess = values.var(axis=1, ddof=1) - expected
        weights = free * shares / expected**2 if expected.all() else np.ones(len(shares))  # the precise ones show it best
        unit = float(weights @ shares)
        variance = max(0.0, float(weights @ excess) / unit)
        errors = weights * (expected + variance * shares) * np.sqrt(2 / free)
        return variance, float(np.linalg.norm(errors)) / unit


def _root(covariance: FloatArray) -> FloatArray:
    """Return a matrix L with L L' equal to a covariance."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(values.clip(0)))
