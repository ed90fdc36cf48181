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
from hattriq_cirq.estimators.probe_design import ProbeDesign, design_probes
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import FloatArray, largest_remainders
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.log import Log
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.coefficient_fit import CoefficientFit, Damping, ProbeOutcomes
from hattriq_cirq.models.model import Model
from hattriq_cirq.models.pauli_strings import PauliStrings, ProductStates
from hattriq_cirq.pipeline.execute import PreparedCircuits
from hattriq_cirq.pipeline.mitigation import Mitigation, Outcomes, as_mitigation
from hattriq_cirq.workflows.learning_strings import ChosenStrings

log = Log("workflows")
HELD_OUT_MIN = 8  # probes that take no part in the fit
_HELD_OUT = 0.1  # share of the probes that take no part in the fit
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

    A unit is one value of a probe: in the fit, held out (in two gauges) or folded. A probe with Y that must not see strings
    with an odd number of Y is the mean of two circuits with opposite signs of Y.

    Args:
        state: Position of the product state, (rows,).
        flipped: True where the signs of Y are flipped, (rows,).
        unit: Position of the unit, (rows,).
        share: Share of the unit's value, (rows,).
        weight: Number of shots relative to those of a probe of the fit, (rows,).
    """

    state: NDArray[np.int64]
    flipped: NDArray[np.bool_]
    unit: NDArray[np.int64]
    share: FloatArray
    weight: FloatArray


@dataclass(frozen=True, eq=False)
class Campaign:
    """The probes of one model and the circuits that measure them.

    Args:
        model: Model to learn.
        design: Probes of the fit.
        held_out: States of the probes that are held out.
        folded: Positions of the fit's probes that are folded too.
        paired: True if probes with Y are averaged over the signs of Y.
        corrections: Corrections of the outcomes.
        seed: Random seed for gauges.
    """

    model: Model
    design: ProbeDesign
    held_out: ProductStates
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
        held = None if probes is None else max(HELD_OUT_MIN, round(_HELD_OUT * probes))
        in_fit = None if probes is None or held is None else probes - held
        least_squares = chosen.prior == "none"
        known, prior = None, chosen.prior_variances()
        if shots is not None and prior is not None and chosen.prior == "magnitude":  # equal variances hardly change a design
            size = sum(structure.size for structure in probe_structures(model))
            known = size**2 / ((1 - _HELD_OUT) * shots * prior)
        design = design_probes(
            chosen.strings,
            chosen.importance,
            probes=in_fit,
            seed=seed,
            least=min(_PROBES_MAX, (shots or 0) // _SHOTS_PER_PROBE),
            known=known,
            full_rank=least_squares,
        )
        count = held or max(HELD_OUT_MIN, round(_HELD_OUT / (1 - _HELD_OUT) * len(design.states)))
        apart = design_probes(chosen.strings, chosen.importance, probes=count, seed=seed + 1)
        rng = np.random.default_rng([seed, 2])
        folds = max(1, round(_FOLDED * len(design.states))) if corrections.damping else 0
        signal = abs(design.states.expectations(chosen.strings)) @ (np.ones(len(chosen.strings)) if prior is None else prior)
        folded = np.sort(np.lexsort((rng.random(len(signal)), -signal))[:folds])  # those with the largest expected squares
        log.info(
            "%s, %s and %s held out", quantity(len(chosen.strings), "string"), quantity(len(design.states), "probe"), count
        )
        return cls(model, design, apart.states, folded, chosen.real, corrections, seed)

    @property
    def fitted(self) -> ProductStates:
        """States of the probes of the fit."""
        return self.design.states

    @cached_property
    def structures(self) -> list[ProbeStructure]:
        """Circuit structures that measure the observable together."""
        return probe_structures(self.model)

    @property
    def size(self) -> float:
        """Largest value of one shot of every structure, summed: the variance of a probe's value is at most size^2 / shots."""
        return sum(structure.size for structure in self.structures)

    @property
    def share_of_fit(self) -> float:
        """Share of all shots that the probes of the fit have."""
        return len(self.fitted) / (len(self.fitted) + len(self.held_out) + _FOLDED_WEIGHT * len(self.folded))

    @property
    def states(self) -> ProductStates:
        """All states: those of the fit, then those held out."""
        parts = (self.fitted, self.held_out)
        n, bases = self.model.n_qubits, [part.bases for part in parts]
        masks = (np.concatenate([getattr(b, name) for b in bases]) for name in ("x_masks", "z_masks"))
        return ProductStates(PauliStrings(n, *masks), np.concatenate([part.signs for part in parts]))

    @cached_property
    def rows(self) -> Rows:
        """Circuits of each structure."""
        fit, held, folded = len(self.fitted), len(self.held_out), len(self.folded)
        state = np.concatenate([np.arange(fit), np.repeat(fit + np.arange(held), 2), self.folded])
        weight = np.concatenate([np.ones(fit), np.full(2 * held, 0.5), np.full(folded, _FOLDED_WEIGHT)])
        has_pair = (self.states.y_masks[state] != 0) & self.paired
        unit = np.repeat(np.arange(len(state)), 1 + has_pair)
        second = np.concatenate([[False], unit[1:] == unit[:-1]])
        share = 1.0 / (1 + has_pair)[unit]
        return Rows(state[unit], second, unit, share, weight[unit] * share)

    @property
    def circuits(self) -> int:
        """Number of circuits."""
        return len(self.structures) * len(self.rows.state)

    def shots(self, total: int) -> list[int]:
        """Return the shots of each circuit, the structures one after the other.

        Raises:
            ValueError: There are fewer shots than circuits.
        """
        weights = np.concatenate([structure.size * self.rows.weight for structure in self.structures])
        if total < len(weights):
            raise ValueError(
                f"shots={total} must be at least {len(weights)}, the number of circuits; use more shots or fewer probes"
            )
        spare = total - len(weights)
        return [1 + more for more in largest_remainders(spare * weights / weights.sum(), spare)]

    def compile(self, engine: Engine, shots: Sequence[int] | None) -> PreparedCircuits:
        """Return all circuits, compiled for the engine's processor, or as one program and a sweep per structure."""
        states, count, rows = self.states.select(self.rows.state), len(self.rows.state), self.rows
        own = np.flatnonzero(rows.unit >= len(self.fitted) + 2 * len(self.held_out))
        folded = np.concatenate([own + i * count for i in range(len(self.structures))]).tolist()
        mitigation = MitigationSequence([FoldedGauges(tuple(folded), _DEPTH, self.seed), *self.corrections.outcomes])
        if engine.processor is None:
            programs = [s.program(states, rows.flipped, i * count) for i, s in enumerate(self.structures)]
            return PreparedCircuits(engine, programs, shots, mitigation)
        circuits = [circuit for structure in self.structures for circuit in structure.circuits(states, rows.flipped)]
        return PreparedCircuits.compile(engine, circuits, shots, mitigation)

    def fit(
        self, outcomes: Outcomes, shots: Sequence[int] | None, chosen: ChosenStrings
    ) -> tuple[CoefficientFit, ProbeOutcomes, Damping | None]:
        """Return the fit of the coefficients, the outcomes that are held out, and the damping factor if it was measured.

        Args:
            outcomes: Outcome of every circuit, the structures one after the other.
            shots: Shots of each; None for exact probabilities.
            chosen: Strings with their prior.
        """
        decoded = _Decoded.of(self.structures, self.rows, outcomes, shots)
        fit_count, held = len(self.fitted), len(self.held_out)
        units = [np.arange(fit_count), fit_count + np.arange(0, 2 * held, 2), np.arange(fit_count + 2 * held, decoded.count)]
        gauge, gauge_error = decoded.gauge_variance(units[1], units[1] + 1)
        noise = np.maximum(decoded.fit_noise(units[0]) + gauge * decoded.squared_shares, _EXACT_NOISE * self.size**2)
        fitted = ProbeOutcomes(
            self.fitted,
            decoded.values[units[0]],
            (decoded.variances + gauge * decoded.squared_shares)[units[0]],
            decoded.sensitivities[units[0]],
            gauge_error * decoded.squared_shares[units[0]],
        )
        pair = [units[1], units[1] + 1]
        apart = ProbeOutcomes(
            self.held_out,
            np.mean([decoded.values[p] for p in pair], axis=0),
            np.sum([decoded.variances[p] + gauge * decoded.squared_shares[p] for p in pair], axis=0) / 4,
            np.mean([decoded.sensitivities[p] for p in pair], axis=0),
            np.sum([gauge_error * decoded.squared_shares[p] for p in pair], axis=0) / 4,
        )
        prior = chosen.fitted_prior(fitted, noise[units[0]])
        fit = CoefficientFit(chosen.strings, fitted, noise[units[0]], prior)
        if not len(self.folded):
            return fit, apart, None
        amplified = _DEPTH**2 * gauge * decoded.squared_shares[units[2]]  # coherent errors grow in proportion to the depth
        folded = ProbeOutcomes(
            self.fitted.select(self.folded),
            decoded.values[units[2]],
            decoded.variances[units[2]] + amplified,
            decoded.sensitivities[units[2]],
        )
        return fit, apart, Damping.estimate(fit, folded, noise[units[2]] + amplified, _DEPTH)


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

    @classmethod
    def of(cls, structures: Sequence[ProbeStructure], rows: Rows, outcomes: Outcomes, shots: Sequence[int] | None) -> _Decoded:
        """Decode the outcomes of all circuits, the structures one after the other."""
        units, count = int(rows.unit[-1]) + 1, len(rows.unit)
        total, variances, plain = np.zeros((3, units))
        slopes: dict[SharedUncertainty, FloatArray] = {}
        for i, structure in enumerate(structures):
            weights, own = structure.weights, outcomes[i * count : (i + 1) * count]
            for j, outcome in enumerate(track(own, "decode probes", "circuit", total=count)):
                unit, share = rows.unit[j], rows.share[j]
                total[unit] += share * outcome.expectation(weights)[0]
                variances[unit] += share**2 * outcome.variances(weights)[0]
                if shots is not None:
                    plain[unit] += (share * structure.size) ** 2 / shots[i * count + j]
                random = {key: slope for key, slope in outcome.sensitivities(weights).items() if not key.systematic}
                for key, slope in random.items():
                    slopes.setdefault(key, np.zeros((units, slope.shape[1])))[unit] += share * slope[0]
        columns = [slope @ _root(key.matrix) for key, slope in slopes.items()]
        squared = np.bincount(rows.unit, rows.share**2, units).astype(float)
        return cls(total, variances, plain, squared, np.concatenate([np.zeros((units, 0)), *columns], axis=1))

    def fit_noise(self, units: NDArray[np.int64]) -> FloatArray:
        """Return the variances that weight units in a fit: of one size for all, whatever their outcomes, (units,)."""
        plain = float(self.plain[units].mean())
        return self.plain * (float(self.variances[units].mean()) / plain if plain else 0.0)

    def gauge_variance(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> tuple[float, float]:
        """Return the variance between the gauges of a circuit, at least 0, and its error, from probes measured twice."""
        counted = self.variances[first] + self.variances[second]
        shares = self.squared_shares[first] + self.squared_shares[second]
        excess = (self.values[first] - self.values[second]) ** 2 - counted
        weights = shares / counted**2 if counted.all() else np.ones(len(shares))  # precise pairs show a small scatter best
        unit = float(weights @ shares)
        variance = max(0.0, float(weights @ excess) / unit)
        return variance, float(np.linalg.norm(weights * (counted + variance * shares))) * np.sqrt(2) / unit


def _root(covariance: FloatArray) -> FloatArray:
    """Return a matrix L with L L' equal to a covariance."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(values.clip(0)))
