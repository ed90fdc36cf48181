"""The circuits of a campaign that learns an observable, and their values: probes, gauges, folded probes and their shots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from hattriq_cirq.foundation.identity import content_digest
from hattriq_cirq.foundation.log import Log
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.coefficient_errors import CampaignShare, roots
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
_PROBES_MAX = 6_000  # probes above which no more are taken for the sake of gauges
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
    """The probes of one or several observables of one circuit, and the circuits that measure them.

    Args:
        models: Models to learn, with the same circuit and an observable each.
        structures: Circuit structures that measure the observables together.
        designs: Probes of the fit, and states that are held out, the same for all observables, with the strings of each.
        folded: Positions of the fit's probes that are folded too.
        paired: True if probes with Y are averaged over the signs of Y.
        corrections: Corrections of the outcomes.
        seed: Random seed for gauges.
    """

    models: tuple[Model, ...]
    structures: tuple[ProbeStructure, ...]
    designs: tuple[ProbeDesign, ...]
    folded: NDArray[np.int64]
    paired: bool
    corrections: Corrections
    seed: int

    @classmethod
    def of(
        cls,
        models: Sequence[Model],
        chosen: Sequence[ChosenStrings],
        probes: int | None,
        corrections: Corrections,
        seed: int,
        shots: int | None = None,
    ) -> Campaign:
        """Design the probes for strings; without a prior, so that they determine every coefficient.

        Args:
            models: Models to learn.
            chosen: Strings of each with their importance.
            probes: Number of probes; None takes as many as the design needs.
            corrections: Corrections of the outcomes.
            seed: Random seed for probes and gauges.
            shots: Number of shots for which the probes are best: the more there are, the more gauges they are spread over and
                the less a prior decides; None for exact probabilities.
        """
        structures = tuple(probe_structures(*models))
        sizes = _sizes(structures)
        strings, importance, known = _together(chosen, sizes, shots)
        design = design_probes(
            strings,
            importance,
            probes=None if probes is None else probes - HELD_OUT,
            seed=seed,
            least=min(_PROBES_MAX, (shots or 0) // _SHOTS_PER_PROBE),
            known=known,
            full_rank=chosen[0].prior == "none",
        )
        rng = np.random.default_rng([seed, 2])
        folds = max(1, round(_FOLDED * len(design.states))) if corrections.damping else 0
        priors = [np.ones(len(own.strings)) if (prior := own.prior_variances()) is None else prior for own in chosen]
        tables = [abs(design.states.expectations(own.strings)) for own in chosen]
        signal = np.sum([table @ prior for table, prior in zip(tables, priors, strict=True)], axis=0)
        folded = np.sort(np.lexsort((rng.random(len(signal)), -signal))[:folds])  # those with the largest expected squares
        named = quantity(len(strings), "string"), quantity(len(design.states), "probe")
        log.info("%s, %s and %d held out", *named, len(design.held_out))
        designs = tuple(replace(design, strings=each.strings, importance=each.importance) for each in chosen)
        return cls(tuple(models), structures, designs, folded, chosen[0].real, corrections, seed)

    @property
    def strings(self) -> PauliStrings:
        """Strings of all observables, each once."""
        return _distinct([design.strings for design in self.designs])[0]

    @property
    def fitted(self) -> ProductStates:
        """States of the probes of the fit."""
        return self.designs[0].states

    @property
    def held_out(self) -> ProductStates:
        """States that take no part in the fit."""
        return self.designs[0].held_out

    @property
    def sizes(self) -> FloatArray:
        """Bound of each observable, (observables,): the variance of a probe's value is at most size^2 / shots."""
        return _sizes(self.structures)

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
        n, bases = self.models[0].n_qubits, [part.bases for part in parts]
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

    def fit(self, outcomes: Outcomes, shots: Sequence[int] | None, chosen: Sequence[ChosenStrings]) -> list[Fitted]:
        """Return the fit of each observable, and what it has in common with the others.

        Args:
            outcomes: Outcome of every circuit, the structures one after the other.
            shots: Shots of each; None for exact probabilities.
            chosen: Strings of each observable with their prior.
        """
        decoded = _Decoded.of(self, outcomes, shots)
        held, gauges = len(self.held_out) * self.gauges, self.gauges
        begin, in_fit, folded, end = np.split(np.arange(decoded.count), np.cumsum([held, len(self.fitted), len(self.folded)]))
        begin, end = begin.reshape(-1, gauges), end.reshape(-1, gauges)
        scatter = decoded.scatter(begin, end)
        found: list[Fitted] = []
        slopes = np.zeros((len(chosen), len(folded)))
        for i, own in enumerate(chosen):
            noise = np.maximum(
                decoded.fit_noise(in_fit, i) + scatter.gauge[i, i] * decoded.squared_shares, _EXACT_NOISE * self.sizes[i] ** 2
            )
            fitted = decoded.outcomes(i, in_fit, self.fitted, scatter)
            fit = CoefficientFit(own.strings, fitted, noise[in_fit], own.fitted_prior(fitted, noise[in_fit]))
            held_out, ends = decoded.both_ends(i, begin, end, self.held_out, scatter)
            damping = None
            if len(folded):
                amplified = scatter.times(_DEPTH**2)  # coherent errors grow in proportion to the depth
                deeper = decoded.outcomes(i, folded, self.fitted.select(self.folded), amplified)
                weights = noise[folded] + amplified.gauge[i, i] * decoded.squared_shares[folded]
                damping, slopes[i] = Damping.estimate(fit, deeper, weights, _DEPTH)
            found.append(Fitted(fit, held_out, ends, damping))
        if len(found) == 1:
            return found
        outcomes_of_fit = decoded.covariances(in_fit, scatter)
        of_damping = np.einsum("if,fij,jf->ij", slopes, decoded.covariances(folded, scatter.times(_DEPTH**2)), slopes)
        campaign = content_digest((decoded.values, outcomes_of_fit, self.seed)) or ""
        return [
            replace(each, share=CampaignShare(campaign, i, outcomes_of_fit[:, i].T, of_damping[i]))
            for i, each in enumerate(found)
        ]


@dataclass(frozen=True, eq=False)
class Fitted(Frozen):
    """Result of a campaign for one observable.

    Args:
        fit: Fit of the coefficients.
        held_out: Outcomes of the states that took no part in it, over both ends of the campaign.
        ends: The same states at its beginning and at its end.
        damping: Damping factor; None if it was not measured.
        share: What the observable has in common with others of the campaign; None if there are none.
    """

    fit: CoefficientFit
    held_out: ProbeOutcomes
    ends: RepeatedOutcomes
    damping: Damping | None
    share: CampaignShare | None = None


@dataclass(frozen=True, eq=False)
class _Scatter(Frozen):
    """Scatter of values between the gauges of a circuit.

    Args:
        gauge: Covariance of the observables in one circuit, (observables, observables).
        errors: Errors of its diagonal, (observables,).
    """

    gauge: FloatArray
    errors: FloatArray

    def times(self, factor: float) -> _Scatter:
        """Return the scatter of circuits in which it is larger by a factor."""
        return _Scatter(factor * self.gauge, factor * self.errors)


@dataclass(frozen=True, eq=False)
class _Decoded(Frozen):
    """Values of all units of a campaign.

    Args:
        values: Values, (units, observables).
        counted: Covariances from counts, (units, observables, observables).
        plain: Variances that do not depend on the outcomes: those of the largest spread, (units, observables).
        squared_shares: Sums of the squared shares of the units' circuits, (units,): scatter of gauges relative to one circuit.
        sensitivities: Derivatives by shared numbers of variance 1, (units, observables, numbers).
    """

    values: FloatArray
    counted: FloatArray
    plain: FloatArray
    squared_shares: FloatArray
    sensitivities: FloatArray

    @property
    def count(self) -> int:
        """Number of units."""
        return len(self.values)

    @classmethod
    def of(cls, campaign: Campaign, outcomes: Outcomes, shots: Sequence[int] | None) -> _Decoded:
        """Decode the outcomes of all circuits."""
        rows, structures = campaign.rows, campaign.structures
        units, observables = int(rows.unit[-1]) + 1, len(campaign.models)
        total, plain = np.zeros((2, units, observables))
        counted = np.zeros((units, observables, observables))
        slopes: dict[SharedUncertainty, FloatArray] = {}
        places = [(i, j, int(request)) for (i, j), request in np.ndenumerate(campaign.requests)]
        for i, j, request in track(places, "decode probes", "circuit"):
            outcome, weights, unit, share = outcomes[request], structures[i].weights, rows.unit[j], rows.share[j]
            total[unit] += share * outcome.expectation(weights)
            counted[unit] += share**2 * (outcome.variances if observables == 1 else outcome.covariance)(weights)
            if shots is not None:
                plain[unit] += (share * structures[i].sizes) ** 2 / shots[request]
            random = {key: slope for key, slope in outcome.sensitivities(weights).items() if not key.systematic}
            for key, slope in random.items():
                slopes.setdefault(key, np.zeros((units, *slope.shape)))[unit] += share * slope
        columns = [slope @ roots(key.matrix) for key, slope in slopes.items()]
        squared = np.bincount(rows.unit, rows.share**2, units).astype(float)
        return cls(total, counted, plain, squared, np.concatenate([np.zeros((units, observables, 0)), *columns], axis=-1))

    def fit_noise(self, units: NDArray[np.int64], observable: int) -> FloatArray:
        """Return the variances that weight all units in a fit, (units,): of one size for equal shots."""
        plain = float(self.plain[units, observable].mean())
        ratio = float(self.counted[units, observable, observable].mean()) / plain if plain else 0.0
        return np.asarray(self.plain[:, observable] * ratio)

    def scatter(self, begin: NDArray[np.int64], end: NDArray[np.int64]) -> _Scatter:
        """Return the scatter between the gauges of a circuit, with variances of at least 0.

        Args:
            begin: Units of states in several gauges, (states, gauges).
            end: Units of the same circuits, measured again.
        """
        free = begin.shape[1] - 1
        values = (self.values[begin] + self.values[end]) / 2
        counted = (self.counted[begin] + self.counted[end]).mean(axis=1) / 4
        shares = self.squared_shares[begin].mean(axis=1)[:, np.newaxis, np.newaxis]
        difference = values - values.mean(axis=1, keepdims=True)
        excess = np.einsum("pgi,pgj->pij", difference, difference) / free - counted
        own = np.einsum("pii->pi", counted)
        products = np.einsum("pi,pj->pij", own, own)
        weights = np.where(products.all(axis=0), shares / np.where(products > 0, products, 1), 1.0)  # precise ones show most
        units = np.sum(weights * shares, axis=0)
        gauge = np.sum(weights * excess, axis=0) / units
        variances = gauge.diagonal().clip(0)
        largest = np.sqrt(np.outer(variances, variances))
        gauge = np.clip(gauge, -largest, largest)
        spread = weights * (counted + gauge * shares)
        return _Scatter(gauge, np.sqrt(2 / free) * np.linalg.norm(np.einsum("pii->pi", spread), axis=0) / units.diagonal())

    def covariances(self, units: NDArray[np.int64], scatter: _Scatter) -> FloatArray:
        """Return the covariances of values from counts and gauges, (units, observables, observables)."""
        return np.asarray(self.counted[units] + self.squared_shares[units, np.newaxis, np.newaxis] * scatter.gauge)

    def outcomes(self, observable: int, units: NDArray[np.int64], states: ProductStates, scatter: _Scatter) -> ProbeOutcomes:
        """Return the outcomes of one observable in the states of some units."""
        own = self.squared_shares[units]
        return ProbeOutcomes(
            states,
            self.values[units, observable],
            self.counted[units, observable, observable] + scatter.gauge[observable, observable] * own,
            self.sensitivities[units, observable],
            scatter.errors[observable] * own,
        )

    def both_ends(
        self, observable: int, begin: NDArray[np.int64], end: NDArray[np.int64], states: ProductStates, scatter: _Scatter
    ) -> tuple[ProbeOutcomes, RepeatedOutcomes]:
        """Return the outcomes of states over both ends of a campaign, and those at each end, see `scatter`."""
        first, last = (self.values[units, observable].mean(axis=1) for units in (begin, end))
        gauges = begin.shape[1]
        counted = (self.counted[begin] + self.counted[end])[:, :, observable, observable].mean(axis=1) / gauges
        shares = self.squared_shares[begin].mean(axis=1) / gauges
        held_out = ProbeOutcomes(
            states,
            (first + last) / 2,
            counted / 4 + scatter.gauge[observable, observable] * shares,
            (self.sensitivities[begin] + self.sensitivities[end])[:, :, observable].mean(axis=1) / 2,
            scatter.errors[observable] * shares,
        )
        return held_out, RepeatedOutcomes(first, last, counted)


def _sizes(structures: Sequence[ProbeStructure]) -> FloatArray:
    """Return the square root of the variance times all shots that each observable has at most, (observables,).

    Each structure has shots in proportion to its size.
    """
    sizes = np.array([structure.size for structure in structures])
    squares = sum(structure.sizes**2 / structure.size for structure in structures)
    return np.asarray(np.sqrt(sizes.sum() * squares))


def _together(
    chosen: Sequence[ChosenStrings], sizes: FloatArray, shots: int | None
) -> tuple[PauliStrings, FloatArray, FloatArray | None]:
    """Return the strings of all observables, each once, their summed importance, and what is known, see `design_probes`.

    Equal variances hardly change a design, so that only `magnitude` says what is known: of a string in several observables,
    as much as in that which knows least.
    """
    is_known = shots is not None and chosen[0].prior == "magnitude"
    known = []
    for own, size in zip(chosen, sizes, strict=True):
        prior = own.prior_variances()
        known.append(size**2 / ((1 - _HELD_OUT) * shots * prior) if is_known and shots and prior is not None else None)
    distinct, index = _distinct([own.strings for own in chosen])
    importance = np.bincount(index, np.concatenate([own.importance for own in chosen]))
    least: FloatArray | None = None
    if is_known:
        least = np.full(len(distinct), np.inf)
        np.minimum.at(least, index, np.concatenate([each for each in known if each is not None]))
    return distinct, np.asarray(importance, dtype=float), least


def _distinct(lists: Sequence[PauliStrings]) -> tuple[PauliStrings, NDArray[np.intp]]:
    """Return the strings of several lists, each once, and the position of every string of the lists among them."""
    if len(lists) == 1:
        return lists[0], np.arange(len(lists[0]))
    masks = np.concatenate([[own.x_masks, own.z_masks] for own in lists], axis=1)
    _, first, index = np.unique(masks, axis=1, return_index=True, return_inverse=True)
    order = np.argsort(first)  # that of the lists
    return PauliStrings(lists[0].n_qubits, *masks[:, first[order]]), np.argsort(order)[index.reshape(-1)]
