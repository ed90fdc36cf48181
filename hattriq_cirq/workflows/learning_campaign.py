"""A campaign that learns an observable: its probes, the batches of circuits that measure them, and their fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibration.sequence import MitigationSequence
from hattriq_cirq.estimators.probe_circuits import ProbeStructure, probe_structures
from hattriq_cirq.estimators.probe_design import HELD_OUT, ProbeDesign, design_probes, number_of_probes
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.identity import content_digest
from hattriq_cirq.foundation.log import Log
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.coefficient_errors import CampaignShare
from hattriq_cirq.models.coefficient_fit import CoefficientFit, Damping, ProbeOutcomes, RepeatedOutcomes
from hattriq_cirq.models.heavy_tails import HeavyTails
from hattriq_cirq.models.model import Model
from hattriq_cirq.models.pauli_strings import PauliStrings, ProductStates
from hattriq_cirq.pipeline.execute import PreparedCircuits
from hattriq_cirq.pipeline.mitigation import Mitigation, Outcomes, as_mitigation
from hattriq_cirq.workflows.learning_batch import DEPTH, FOLDED_WEIGHT, Batch
from hattriq_cirq.workflows.learning_outcomes import Decoded
from hattriq_cirq.workflows.learning_strings import ChosenStrings, class_means

log = Log("workflows")
_HELD_OUT = 0.1  # share of the shots for the states that take no part in the fit, without those of folded circuits
_HELD_OUT_MAX = 200_000  # their shots at most: twice those with which the tests find what the documentation says of them
_GAUGES_MIN = 2  # gauges in which each of these states is measured at least
_SHOTS_PER_PROBE = 2_000  # in that many the scatter between the gauges of a dozen CZ is as large as that of counts
_PROBES_MAX = 6_000  # probes above which no more are taken for the sake of gauges
_PER_STRING_STAGED, _SHOTS_STAGED = 3, 1_000  # probes for each string of two stages, as far as each has that many shots
_FOLDED = 1 / 3  # probes that are folded, as a share of the others
_FOLDED_STAGED = 1_000  # that many give the one factor of a long list with a far smaller error than its coefficients have
_MANY = 1_000  # strings above which a second stage pays: of fewer each has six probes, and the prior decides little
#: Rules for campaigns: the present one; and what earlier versions did: a tenth of any number of shots is held out, then for
#: many strings also two stages of fewer probes, and one batch.
RULES = ("present", "tenth", "few", "one")
_STAGED = 20  # shots for each probe of a campaign of two stages, at least
_SURE = 1e-6  # share of an expected square that stays uncertain
_EXACT_NOISE = 1e-10  # variance that stands for exact outcomes in the fit, as a share of the observable's
_DAMPING = "damping"


def split_damping(text: str) -> tuple[str, bool]:
    """Return names of corrections without `damping`, which campaigns alone take, and whether it is among them.

    Raises:
        ValueError: A name is empty, or `damping` is repeated.

    Example:
        >>> split_damping("damping, readout")
        ('readout', True)
    """
    words = [word.strip() for word in text.split(",")]
    if "" in words or words.count(_DAMPING) > 1:
        raise ValueError(f"mitigation {text!r} must be names with commas between them, each at most once")
    return ",".join(word for word in words if word != _DAMPING), _DAMPING in words


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
            others, has_damping = split_damping(mitigation)
            parts = [*([others] if others else []), *([_DAMPING] if has_damping else [])]
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
class Campaign:
    """The probes of one or several observables of one circuit, and the circuits that measure them, batch by batch.

    A campaign of two stages spends the shots of the second on what the outcomes of the first leave uncertain: its second batch
    is known when the first has run. States that are held out run first and last.

    Args:
        models: Models to learn, with the same circuit and an observable each.
        structures: Circuit structures that measure the observables together.
        designs: Probes of the fit, and states that are held out, the same for all observables, with the strings of each.
        batches: Batches so far.
        stages: Number of batches of the whole campaign.
        probes: Number of probes of the fit of the whole campaign.
        folds: Number of them that are folded too.
        paired: True if probes with Y are averaged over the signs of Y.
        corrections: Corrections of the outcomes.
        seed: Random seed for probes and gauges.
        held_share: Share of the shots of states that are held out, without those of folded circuits.
        planned_shots: Shots for which the probes are best; None for exact probabilities.
        tails: Expected coefficients of each observable, by which batches are priced that are not known yet; None without.
    """

    models: tuple[Model, ...]
    structures: tuple[ProbeStructure, ...]
    designs: tuple[ProbeDesign, ...]
    batches: tuple[Batch, ...]
    stages: int
    probes: int
    folds: int
    paired: bool
    corrections: Corrections
    seed: int
    held_share: float = _HELD_OUT
    planned_shots: int | None = None
    tails: tuple[HeavyTails | None, ...] = ()

    @classmethod
    def of(
        cls,
        models: Sequence[Model],
        chosen: Sequence[ChosenStrings],
        probes: int | None,
        corrections: Corrections,
        seed: int,
        shots: int | None = None,
        *,
        rule: str = RULES[0],
    ) -> Campaign:
        """Design the probes of the first batch; without a prior, so that they determine every coefficient.

        Args:
            models: Models to learn.
            chosen: Strings of each with their importance.
            probes: Number of probes; None takes as many as the design needs.
            corrections: Corrections of the outcomes.
            seed: Random seed for probes and gauges.
            shots: Number of shots for which the probes are best: the more there are, the more gauges they are spread over and
                the less a prior decides; None for exact probabilities.
            rule: One of `RULES`; others than the first go on with runs of earlier versions.
        """
        structures = tuple(probe_structures(*models))
        strings, importance = _together(chosen)
        held_share, is_many = _held_share(shots) if rule == RULES[0] else _HELD_OUT, rule in RULES[:2]
        known = _known_magnitudes(chosen, _sizes(structures), None if shots is None else (1 - held_share) * shots)
        fitted = None if probes is None else probes - HELD_OUT
        least = min(_PROBES_MAX, (shots or 0) // _SHOTS_PER_PROBE)
        usual = number_of_probes(len(strings), least)
        is_staged = rule != "one" and _is_staged(chosen, fitted or usual, shots)
        if is_staged:
            more = min(_PER_STRING_STAGED * len(strings), (shots or 0) // _SHOTS_STAGED) if is_many else 0
            fitted = fitted or max(usual, more)
        design = design_probes(
            strings,
            importance,
            probes=fitted // 2 if is_staged and fitted else fitted,
            seed=seed,
            least=least,
            known=known,
            full_rank=chosen[0].prior == "none",
        )
        named = quantity(len(strings), "string"), quantity(len(design.states), "probe")
        log.info("%s, %s and %d held out", *named, len(design.held_out))
        designs = tuple(replace(design, strings=each.strings, importance=each.importance) for each in chosen)
        count = fitted if is_staged and fitted else len(design.states)
        folds = max(1, round(_FOLDED * count)) if corrections.damping else 0
        if is_staged and is_many:
            folds = min(folds, _FOLDED_STAGED)
        stages, real = 2 if is_staged else 1, chosen[0].real
        tails = tuple(own.tails for own in chosen)
        empty = cls(
            *(tuple(models), structures, designs, (), stages, count, folds, real, corrections, seed),
            held_share=held_share,
            planned_shots=shots,
            tails=tails,
        )
        priors = [np.ones(len(own.strings)) if (prior := own.prior_variances()) is None else prior for own in chosen]
        return empty._with_batch(design, priors)

    def _with_batch(self, design: ProbeDesign, squares: Sequence[FloatArray]) -> Campaign:
        """Return the campaign with one more batch.

        Args:
            design: Probes of the batch.
            squares: Expected square of each coefficient of each observable, which chooses the probes that are folded.
        """
        stage = len(self.batches)
        is_last, states = stage == self.stages - 1, design.states
        folded = self._most_signal(states, squares) if self.folds and is_last else np.zeros(0, dtype=np.int64)
        batch = Batch(
            self.structures,
            states,
            folded,
            self.held_out,
            self.gauges,
            self._held_weight / 2,
            stage,
            is_last,
            self.paired,
            self.seed,
        )
        batches = (*self.batches, batch)
        fitted = batches[0].fitted.joined(*(each.fitted for each in batches[1:]))
        designs = tuple(replace(own, states=fitted) for own in self.designs)
        return replace(self, designs=designs, batches=batches)

    def _most_signal(self, states: ProductStates, squares: Sequence[FloatArray]) -> NDArray[np.int64]:
        """Return the positions of the states that are folded: those with the largest expected squares, see `_with_batch`."""
        tables = [abs(states.expectations(own.strings)) for own in self.designs]
        signal = np.sum([table @ own for table, own in zip(tables, squares, strict=True)], axis=0)
        ties = np.random.default_rng([self.seed, 2]).random(len(signal))
        return np.sort(np.lexsort((ties, -signal))[: self.folds])

    @property
    def was_planned_otherwise(self) -> bool:
        """True if earlier versions planned another campaign in its place."""
        return self.stages > 1 or self.held_share < _HELD_OUT

    @property
    def is_complete(self) -> bool:
        """True if all batches are known."""
        return len(self.batches) == self.stages

    @cached_property
    def expected(self) -> Campaign:
        """The campaign with all batches, for its price: those that are not known yet by the expected coefficients.

        Where none are known they repeat the probes of the first batch.
        """
        if self.is_complete or self.planned_shots is None:
            return self
        own, count = self.designs[0], len(self.fitted)
        shots = self.planned_shots * count / self.weight
        left, squares = [], []
        for design, tails, size in zip(self.designs, self.tails, self.sizes.tolist(), strict=True):
            if tails is None:
                return self._with_batch(own, [np.ones(len(each.strings)) for each in self.designs])
            left.append(tails.uncertainty(design.shares, probes=count, shots=shots / size**2))
            squares.append(tails.coefficients**2)
        doubts = [
            _doubtful(doubt, square, design.strings) for doubt, square, design in zip(left, squares, self.designs, strict=True)
        ]
        return self._with_batch(self._next_design(doubts, self.planned_shots), squares)

    def following(self, outcomes: Sequence[Outcomes], shots: int, chosen: Sequence[ChosenStrings]) -> Campaign:
        """Return the campaign with its next batch, whose probes see most of what the outcomes so far leave uncertain.

        Args:
            outcomes: Outcomes of every batch so far.
            shots: Shots of the whole campaign.
            chosen: Strings of each observable with their prior.
        """
        fits = [fit for fit, _ in self._fits(self._decoded(outcomes, shots), chosen)]
        spreads = [fit.uncertainty if fit.prior is None else fit.prior.spread for fit in fits]
        doubts = [_doubtful(fit.uncertainty, spread, fit.strings) for fit, spread in zip(fits, spreads, strict=True)]
        design = self._next_design(doubts, shots)
        log.info("%s chosen by the outcomes of %s", quantity(len(design.states), "probe"), quantity(len(self.fitted), "probe"))
        return self._with_batch(design, [fit.coefficients**2 + fit.uncertainty for fit in fits])

    def _next_design(self, doubts: Sequence[FloatArray], shots: int) -> ProbeDesign:
        """Return the probes of the next batch for the square that stands for what is uncertain of each coefficient."""
        count = self.probes - len(self.fitted)
        left = (shots - sum(map(sum, self.shots(shots)))) * count / (self.weight - sum(each.weight for each in self.batches))
        known = [size**2 / (left * own) for own, size in zip(doubts, self.sizes, strict=True)]
        strings, importance = _together(self.designs)
        least = _least_known(self.designs, known)
        return design_probes(strings, importance, probes=count, seed=(self.seed, 3, len(self.batches)), known=least)

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
    def folded(self) -> ProductStates:
        """States of the probes that are folded too."""
        return self.batches[-1].fitted.select(self.batches[-1].folded)

    @property
    def sizes(self) -> FloatArray:
        """Bound of each observable, (observables,): the variance of a probe's value is at most size^2 / shots."""
        return _sizes(self.structures)

    @property
    def _held_weight(self) -> float:
        """Shots of all states that are held out, relative to those of a probe of the fit: each has at least as many."""
        return max(len(self.held_out), self.held_share / (1 - self.held_share) * self.probes)

    @property
    def weight(self) -> float:
        """All shots relative to those of a probe of the fit."""
        return self.probes + self._held_weight + FOLDED_WEIGHT * self.folds

    def share_of_fit(self, shots: float) -> float:
        """Return the share of all shots that the probes of the fit have if the campaign is planned for a number of shots."""
        return self.probes / replace(self, held_share=_held_share(shots)).weight

    @property
    def gauges(self) -> int:
        """Number of gauges of each state that is held out, so that its circuits have half the shots of a probe of the fit."""
        return max(_GAUGES_MIN, round(self._held_weight / len(self.held_out)))

    @property
    def circuits(self) -> int:
        """Number of circuits of all batches, as far as they are known."""
        return sum(batch.circuits for batch in self.expected.batches)

    def shots(self, total: int) -> list[list[int]]:
        """Return the shots of each circuit of each batch.

        Raises:
            ValueError: There are fewer shots than circuits.
        """
        ends = np.cumsum([batch.weight for batch in self.batches]) / self.weight
        if self.is_complete:
            ends[-1] = 1.0
        budgets = np.diff(np.rint(total * ends), prepend=0).astype(np.int64).tolist()
        return [batch.shots(own) for batch, own in zip(self.batches, budgets, strict=True)]

    def compile(self, stage: int, engine: Engine, shots: Sequence[int] | None) -> PreparedCircuits:
        """Return the circuits of a batch, compiled for the engine's processor, or as one program and a sweep per structure."""
        return self.batches[stage].compile(engine, shots, self.corrections.outcomes)

    def _decoded(self, outcomes: Sequence[Outcomes], shots: int | None) -> Decoded:
        """Return the values of all units of the batches so far."""
        every: Sequence[Sequence[int] | None] = [None] * len(outcomes) if shots is None else self.shots(shots)
        return Decoded.of(self.batches, outcomes, every)

    def _units(self) -> _Units:
        """Return the positions of all units of the batches so far."""
        begin, fit, folded, end = np.sum([batch.counts for batch in self.batches], axis=0)
        parts = np.split(np.arange(begin + fit + folded + end), np.cumsum([begin, fit, folded]))
        ends = [part.reshape(-1, self.gauges) for part in (parts[0], parts[3]) if len(part)]
        return _Units(parts[1], parts[2], ends)

    def _fits(self, decoded: Decoded, chosen: Sequence[ChosenStrings]) -> list[tuple[CoefficientFit, FloatArray]]:
        """Return the fit of each observable to the batches so far, and the variance that weights every unit."""
        units = self._units()
        scatter, found = decoded.scatter(units.ends), []
        for i, own in enumerate(chosen):
            noise = np.maximum(
                decoded.fit_noise(units.fit, i) + scatter.gauge[i, i] * decoded.squared_shares,
                _EXACT_NOISE * self.sizes[i] ** 2,
            )
            fitted = own.with_outside(decoded.outcomes(i, units.fit, self.fitted, scatter))
            if own.outside is not None:
                noise[units.fit] += own.outside.variance_in(self.fitted)
            prior = own.fitted_prior(fitted, noise[units.fit])
            found.append((CoefficientFit(own.strings, fitted, noise[units.fit], prior), noise))
        return found

    def fit(self, outcomes: Sequence[Outcomes], shots: int | None, chosen: Sequence[ChosenStrings]) -> list[Fitted]:
        """Return the fit of each observable, and what it has in common with the others.

        Args:
            outcomes: Outcome of every circuit of every batch, the structures one after the other.
            shots: Shots of the campaign; None for exact probabilities.
            chosen: Strings of each observable with their prior.
        """
        decoded, units = self._decoded(outcomes, shots), self._units()
        scatter, (begin, end) = decoded.scatter(units.ends), units.ends
        amplified = scatter.times(DEPTH**2)  # coherent errors grow in proportion to the depth
        found: list[Fitted] = []
        slopes = np.zeros((len(chosen), len(units.folded)))
        for i, (own, (fit, noise)) in enumerate(zip(chosen, self._fits(decoded, chosen), strict=True)):
            held_out, ends = decoded.both_ends(i, begin, end, self.held_out, scatter)
            damping = None
            if len(units.folded):
                deeper = decoded.outcomes(i, units.folded, self.folded, amplified)
                weights = noise[units.folded] + amplified.gauge[i, i] * decoded.squared_shares[units.folded]
                damping, slopes[i] = Damping.estimate(fit, deeper, weights, DEPTH)
            found.append(Fitted(fit, own.with_outside(held_out), ends, damping))
        if len(found) == 1:
            return found
        outcomes_of_fit = decoded.covariances(units.fit, scatter)
        of_damping = np.einsum("if,fij,jf->ij", slopes, decoded.covariances(units.folded, amplified), slopes)
        campaign = content_digest((decoded.values, outcomes_of_fit, self.seed)) or ""
        return [
            replace(each, share=CampaignShare(campaign, i, outcomes_of_fit[:, i].T, of_damping[i]))
            for i, each in enumerate(found)
        ]


class _Units(NamedTuple):
    """Positions of units among all of the batches.

    Args:
        fit: Units of the fit.
        folded: Folded ones.
        ends: Those held out at each end of the campaign that has run, (states, gauges) each.
    """

    fit: NDArray[np.int64]
    folded: NDArray[np.int64]
    ends: Sequence[NDArray[np.int64]]


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


def _sizes(structures: Sequence[ProbeStructure]) -> FloatArray:
    """Return the square root of the variance times all shots that each observable has at most, (observables,).

    Each structure has shots in proportion to its size.
    """
    sizes = np.array([structure.size for structure in structures])
    squares = sum(structure.sizes**2 / structure.size for structure in structures)
    return np.asarray(np.sqrt(sizes.sum() * squares))


def _is_staged(chosen: Sequence[ChosenStrings], probes: int, shots: int | None) -> bool:
    """Return True if a second stage pays: where a prior from the outcomes decides, since each string has few probes."""
    most = max(len(own.strings) for own in chosen)
    return chosen[0].prior == "empirical_bayes" and most > _MANY and (shots or 0) >= _STAGED * probes


def _doubtful(uncertainty: FloatArray, spread: FloatArray, strings: PauliStrings) -> FloatArray:
    """Return the square that stands for what is uncertain of each coefficient in the design of the next probes, (strings,).

    A string whose coefficient seems known is not given up, since half of the shots may have missed it: it is the geometric mean
    of what is uncertain and of the mean of the strings on as many qubits.

    Args:
        uncertainty: Expected square of the error of each coefficient.
        spread: Expected square of each coefficient.
        strings: The strings.
    """
    of_class = class_means(spread, strings.weights, _SURE)
    return np.asarray(np.sqrt(np.maximum(uncertainty, _SURE * of_class) * of_class))


def _held_share(shots: float | None) -> float:
    """Return the share of a number of shots that is held out; None for exact probabilities."""
    return _HELD_OUT if shots is None else min(_HELD_OUT, _HELD_OUT_MAX / shots)


def _together(chosen: Sequence[ChosenStrings | ProbeDesign]) -> tuple[PauliStrings, FloatArray]:
    """Return the strings of all observables, each once, and their summed importance."""
    distinct, index = _distinct([own.strings for own in chosen])
    importance = np.bincount(index, np.concatenate([own.importance for own in chosen]))
    return distinct, np.asarray(importance, dtype=float)


def _known_magnitudes(chosen: Sequence[ChosenStrings], sizes: FloatArray, shots: float | None) -> FloatArray | None:
    """Return what a prior by magnitude says about each string beside the shots of the fit, see `design_probes`.

    Equal variances hardly change a design.
    """
    if shots is None or chosen[0].prior != "magnitude":
        return None
    priors = [own.prior_variances() for own in chosen]
    known = [size**2 / (shots * prior) for prior, size in zip(priors, sizes, strict=True) if prior is not None]
    return _least_known(chosen, known)


def _least_known(chosen: Sequence[ChosenStrings | ProbeDesign], known: Sequence[FloatArray]) -> FloatArray:
    """Return what is known of each string of any observable: of one in several, as much as in that which knows least."""
    distinct, index = _distinct([own.strings for own in chosen])
    least = np.full(len(distinct), np.inf)
    np.minimum.at(least, index, np.concatenate(known))
    return least


def _distinct(lists: Sequence[PauliStrings]) -> tuple[PauliStrings, NDArray[np.intp]]:
    """Return the strings of several lists, each once, and the position of every string of the lists among them."""
    if len(lists) == 1:
        return lists[0], np.arange(len(lists[0]))
    every = lists[0].joined(*lists[1:])
    _, first, index = np.unique([every.x_masks, every.z_masks], axis=1, return_index=True, return_inverse=True)
    order = np.argsort(first)  # that of the lists
    return every.select(first[order]), np.argsort(order)[index.reshape(-1)]
