"""Learning of a model's observable on a device: probes in, a `LearnedModel` out, whose maps need no further circuit."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import cirq
import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.gates.folded_gauges import FoldedGauges
from calibration.sequence import MitigationSequence
from hattriq_cirq.attribution.baselines import BaselineSet, resolve
from hattriq_cirq.circuits.outcomes import SharedUncertainty
from hattriq_cirq.estimators.probe_circuits import ProbeStructure, probe_structures
from hattriq_cirq.estimators.probe_design import ProbeDesign, design_probes
from hattriq_cirq.execution.backends.simulators import sampler
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import Array, FloatArray, largest_remainders
from hattriq_cirq.foundation.checks import ArgumentTypeError, as_count, as_seed, as_word, check_type, shown
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.log import Log
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.foundation.progress import progress_bars, track
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.coefficient_fit import CoefficientFit, Damping, ProbeOutcomes, empirical_bayes
from hattriq_cirq.models.learned import LearnedModel, LearningRecord, model_digest
from hattriq_cirq.models.model import Model, check_columns, model_inputs
from hattriq_cirq.models.pauli_propagation import WeightedStrings, exact_strings, important_strings, structure_strings
from hattriq_cirq.models.pauli_strings import PauliStrings, ProductStates
from hattriq_cirq.pipeline.execute import PreparedCircuits
from hattriq_cirq.pipeline.mitigation import AssumptionWarning, Mitigated, Mitigation, Outcomes, as_mitigation
from hattriq_cirq.pipeline.prepare import as_shots, check_model

log = Log("workflows")
Prior = Literal["empirical_bayes", "flat", "magnitude", "none"]
Source = Literal["structure", "important", "given"]
_SHARE = 0.9999  # share of a map's weight that the list of important strings holds
_STRINGS_MAX = 12_000  # their covariance is one matrix
_HELD_OUT = 0.1  # share of the probes that take no part in the fit
_HELD_OUT_MIN = 8
_FOLDED = 1 / 3  # probes that are folded, as a share of the others: a quarter of the shots
_DEPTH = 3
_EXACT_NOISE = 1e-10  # variance that stands for exact outcomes in the fit, as a share of the observable's
_FLOOR = 1e-6  # smallest prior variance of `magnitude`, as a share of the mean
_DAMPING = "damping"


@with_numpy_defaults
def learn_observable(
    model: Model,
    *,
    engine: Engine | cirq.Sampler,
    shots: int | None,
    inputs: ArrayLike | None = None,
    baseline: float | ArrayLike | BaselineSet = 0,
    strings: str | Sequence[str] = "structure",
    prior: str | None = None,
    probes: int | None = None,
    mitigation: Mitigation[Any] | str | Sequence[Mitigation[Any] | str] | None = None,
    seed: int = 0,
) -> LearnedModel:
    """Measure the observable M = U' O U of a model on a device, once for all inputs, baselines, forms and heads.

    The device runs the model's circuit in product states, which take one rotation per qubit and no state preparation. The
    coefficients of M over Pauli strings follow by regression (Huang, Chen and Preskill, PRX Quantum 4, 040337, 2023), with the
    covariance of their errors. Each circuit runs in a random gauge of its own. The result is a quadratic form: give it to
    `integrated_gradients` in place of the model.

    The input must be known as numbers, and where the list of strings is short enough to be learned, M can as a rule be computed
    too. The device adds what its own circuit computes, not a speed-up.

    Args:
        model: Model to learn.
        engine: Engine that runs the circuits, such as `virtual("willow_pink")`, or any `cirq.Sampler`.
        shots: Number of shots of the whole campaign, without those of a readout calibration; None for exact probabilities.
        inputs: Inputs whose maps will be wanted, (..., features), which decide how important each string is and whether inputs
            are real; None for real inputs and equally important strings.
        baseline: Baseline of these maps, as for `integrated_gradients`.
        strings: `structure` for all strings that the circuit's structure allows, which owes nothing to a simulation;
            `important` for those that matter for the inputs according to the simulated circuit; or strings as letters, such as
            `["XIZ", "ZZI"]`.
        prior: `empirical_bayes`, with scales from the data; `flat`; `magnitude`, with variances from the simulated circuit;
            `none` for least squares; None takes `flat` for important strings and else `empirical_bayes`.
        probes: Number of product states; None takes as many as the design needs: without a prior, so that they determine every
            coefficient. A tenth of them takes no part in the fit.
        mitigation: `readout` or a readout correction such as `calibration.Readout()`; `damping`, which spends a quarter of the
            shots on circuits folded three times and divides by the common factor of the noise; several, such as
            `"damping,readout"`, or a sequence of them; None for no correction.
        seed: Random seed for probes and gauges.

    Returns:
        The learned model, with the origin of its strings and prior in its record.

    Raises:
        ValueError: An argument is invalid, there are fewer shots than circuits, or the probes do not determine the strings.
        EngineError: The engine could not run the circuits.

    Example:
        >>> import hattriq_cirq as hq
        >>> model = hq.ring_ansatz(2, layers=1)
        >>> learned = hq.learn_observable(model, engine=hq.cirq_simulator(), shots=None, prior="none")
        >>> dict(zip(learned.strings.texts, (learned.coefficients.round(9) + 0).tolist()))
        {'ZI': 1.0, 'XI': 0.0, 'ZZ': 0.0, 'ZX': 0.0, 'XZ': 0.0, 'XX': 0.0, 'YY': 0.0}
    """
    check_model(model)
    if isinstance(engine, cirq.Sampler):
        engine = sampler(engine)
    check_type(engine, "engine", Engine, "an engine, such as hattriq_cirq.qsim(seed=1), or a cirq.Sampler")
    shots, seed = as_shots(shots), as_seed(seed)
    probes = None if probes is None else as_count(probes, "probes", 2 * _HELD_OUT_MIN, 10**6)
    corrections = _corrections(mitigation)
    chosen_prior: Prior = as_word(prior or ("flat" if strings == "important" else "empirical_bayes"), "prior", get_args(Prior))
    with progress_bars(engine.shows_progress), engine.logged():
        chosen = _ChosenStrings.of(model, inputs, baseline, strings, chosen_prior)
        campaign = _Campaign.of(model, chosen, probes, corrections, seed, least_squares=chosen_prior == "none")
        return campaign.learn(engine, shots, chosen, chosen_prior)


@dataclass(frozen=True)
class _Corrections:
    """Corrections of a campaign: of its counts, and of the damping."""

    outcomes: tuple[Mitigation[Any], ...]
    damping: bool

    def describe(self) -> str:
        words = [*(each.describe() for each in self.outcomes), *(["damping by folded circuits"] if self.damping else [])]
        return " + ".join(["one random gauge per circuit", *words])


def _corrections(mitigation: object) -> _Corrections:
    """Return the corrections that words and mitigations name."""
    if mitigation is None:
        parts: list[object] = []
    elif isinstance(mitigation, str):
        parts = [part.strip() for part in mitigation.split(",")]
    else:
        parts = list(mitigation) if isinstance(mitigation, Sequence) else [mitigation]
    outcomes = tuple(each for part in parts if part != _DAMPING and (each := as_mitigation(part)) is not None)
    return _Corrections(outcomes, _DAMPING in parts)


@dataclass(frozen=True, eq=False)
class _ChosenStrings(Frozen):
    """The strings of a campaign, with their importance and the variances of a prior from the simulated circuit.

    Args:
        strings: Strings whose coefficients are fitted.
        importance: Weight of each for a map, (strings,).
        real: True if inputs are real, so that strings with an odd number of Y are left out.
        source: Origin of the list.
        magnitudes: Squared coefficients of the simulated circuit, (strings,); None if they are not wanted.
        truncated_share: Share of the weight of maps that is left out, as far as it is known.
    """

    strings: PauliStrings
    importance: FloatArray
    real: bool
    source: Source
    magnitudes: FloatArray | None
    truncated_share: float

    @classmethod
    def of(
        cls,
        model: Model,
        inputs: ArrayLike | None,
        baseline: float | ArrayLike | BaselineSet,
        strings: str | Sequence[str],
        prior: Prior,
    ) -> _ChosenStrings:
        """Choose the strings of a model for inputs."""
        ends = None if inputs is None else _ends(model, inputs, baseline)
        real = ends is None or not any(map(np.iscomplexobj, ends))

        def importance(of: PauliStrings) -> FloatArray:
            return np.ones(len(of)) if ends is None else of.importance(*ends)

        found: WeightedStrings | None = None
        source: Source = "given"
        if isinstance(strings, str):
            source = as_word(strings, "strings", ("structure", "important"))
        if source == "important" or prior == "magnitude":
            found = exact_strings(model, real=real)
        if source == "structure":
            chosen = structure_strings(model, real=real)
        elif source == "important" and found is not None:
            found = important_strings(found, importance(found.strings), _SHARE)
            chosen = found.strings
        else:
            chosen = _given_strings(model, strings, real)
        if not len(chosen):
            raise ValueError(
                "there is nothing to learn: no Pauli string of the model acts on "
                f"{'real inputs, whose maps are zero' if real else 'the inputs'}; check the observable"
            )
        if len(chosen) > _STRINGS_MAX:
            raise ValueError(
                f"{len(chosen):,} Pauli strings are too many to learn, at most {_STRINGS_MAX:,}; use strings='important', or a "
                "shallower model"
            )
        magnitudes = None
        if prior == "magnitude" and found is not None:
            known = dict(zip(found.strings.texts, (found.coefficients**2).tolist(), strict=True))
            magnitudes = np.array([known.get(text, 0.0) for text in chosen.texts])
        truncated = found.truncated_share if source == "important" and found is not None else 0.0
        return cls(chosen, importance(chosen), real, source, magnitudes, truncated)


def _ends(model: Model, inputs: ArrayLike, baseline: float | ArrayLike | BaselineSet) -> tuple[Array, Array]:
    """Return the differences x - b and sums x + b of inputs and baselines, (samples, features) each."""
    check_columns(model, baseline, "baseline")
    amplitudes = model_inputs(model, inputs, "inputs")
    references, _ = resolve(baseline, amplitudes)
    rows = amplitudes.reshape(-1, model.n_features)
    if not len(rows) or not (rows - references).any():
        raise ValueError("inputs must hold at least one input that differs from the baseline; leave inputs out for any input")
    return tuple(np.reshape(ends, (-1, model.n_features)) for ends in (rows - references, rows + references))  # type: ignore[return-value]


def _given_strings(model: Model, texts: Sequence[str], real: bool) -> PauliStrings:
    """Return strings that the user lists, checked to fit the model."""
    check_type(texts, "strings", Sequence, "'structure', 'important', or texts such as ['XIZ', 'ZZI']")
    if not all(isinstance(text, str) for text in texts):
        raise ArgumentTypeError(f"strings={shown(texts)} must be texts, such as ['XIZ', 'ZZI']")
    strings = PauliStrings.from_text(list(dict.fromkeys(texts)))
    if strings.n_qubits != model.n_qubits:
        raise ValueError(f"strings of {strings.n_qubits} letters do not fit a model of {quantity(model.n_qubits, 'qubit')}")
    if (strings.supports == 0).any():
        raise ValueError("the identity is among the strings; leave it out: its coefficient is known")
    if real and not strings.is_real.all():
        odd = strings.select(~strings.is_real).texts[0]
        raise ValueError(
            f"string {odd} has an odd number of Y, which real inputs do not see; leave it out, or give complex inputs"
        )
    return strings


@dataclass(frozen=True, eq=False)
class _Rows(Frozen):
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
class _Campaign:
    """The probes of one model and the circuits that measure them.

    Args:
        model: Model to learn.
        structures: Circuit structures that measure the observable together.
        fitted: States of the probes of the fit.
        held_out: States of the probes that are held out.
        folded: Positions of the fit's probes that are folded too.
        paired: True if probes with Y are averaged over the signs of Y.
        corrections: Corrections of the outcomes.
        seed: Random seed for gauges.
    """

    model: Model
    structures: list[ProbeStructure]
    fitted: ProductStates
    held_out: ProductStates
    folded: NDArray[np.int64]
    paired: bool
    corrections: _Corrections
    seed: int

    @classmethod
    def of(
        cls,
        model: Model,
        chosen: _ChosenStrings,
        probes: int | None,
        corrections: _Corrections,
        seed: int,
        *,
        least_squares: bool,
    ) -> _Campaign:
        """Design the probes for strings."""
        held = None if probes is None else max(_HELD_OUT_MIN, round(_HELD_OUT * probes))
        in_fit = None if probes is None or held is None else probes - held
        design = design_probes(chosen.strings, chosen.importance, probes=in_fit, seed=seed, full_rank=least_squares)
        count = held or max(_HELD_OUT_MIN, round(_HELD_OUT / (1 - _HELD_OUT) * len(design.states)))
        apart: ProbeDesign = design_probes(chosen.strings, chosen.importance, probes=count, seed=seed + 1)
        rng = np.random.default_rng([seed, 2])
        folds = max(1, round(_FOLDED * len(design.states))) if corrections.damping else 0
        folded = np.sort(rng.permutation(len(design.states))[:folds])
        structures = probe_structures(model)
        log.info(
            "%s, %s and %s held out", quantity(len(chosen.strings), "string"), quantity(len(design.states), "probe"), count
        )
        return cls(model, structures, design.states, apart.states, folded, chosen.real, corrections, seed)

    @property
    def states(self) -> ProductStates:
        """All states: those of the fit, then those held out."""
        parts = (self.fitted, self.held_out)
        n, bases = self.model.n_qubits, [part.bases for part in parts]
        masks = (np.concatenate([getattr(b, name) for b in bases]) for name in ("x_masks", "z_masks"))
        return ProductStates(PauliStrings(n, *masks), np.concatenate([part.signs for part in parts]))

    def rows(self) -> _Rows:
        """Return the circuits of each structure."""
        fit, held, folded = len(self.fitted), len(self.held_out), len(self.folded)
        state = np.concatenate([np.arange(fit), np.repeat(fit + np.arange(held), 2), self.folded])
        weight = np.concatenate([np.ones(fit), np.full(2 * held, 0.5), np.ones(folded)])
        has_pair = (self.states.y_masks[state] != 0) & self.paired
        unit = np.repeat(np.arange(len(state)), 1 + has_pair)
        second = np.concatenate([[False], unit[1:] == unit[:-1]])
        share = 1.0 / (1 + has_pair)[unit]
        return _Rows(state[unit], second, unit, share, weight[unit] * share)

    def learn(self, engine: Engine, shots: int | None, chosen: _ChosenStrings, prior: Prior) -> LearnedModel:
        """Run the campaign and fit it."""
        rows = self.rows()
        allotted = self._shots(rows, shots)
        prepared = self._prepared(engine, rows, allotted)
        mitigated = prepared.execute()
        for text in mitigated.summary.warnings:
            warnings.warn(text, AssumptionWarning, stacklevel=4)
        decoded = _Decoded.of(self.structures, rows, mitigated.outcomes, allotted)
        return self._fitted(decoded, chosen, prior, self._record(engine, prepared, mitigated, shots, chosen, prior))

    def _shots(self, rows: _Rows, shots: int | None) -> list[int] | None:
        """Return the shots of each circuit, the structures one after the other."""
        if shots is None:
            return None
        weights = np.concatenate([structure.size * rows.weight for structure in self.structures])
        if shots < len(weights):
            raise ValueError(
                f"{shots=} must be at least {len(weights)}, the number of circuits; use more shots or fewer probes"
            )
        spare = shots - len(weights)
        return [1 + more for more in largest_remainders(spare * weights / weights.sum(), spare)]

    def _prepared(self, engine: Engine, rows: _Rows, shots: list[int] | None) -> PreparedCircuits:
        """Return all circuits, compiled for the engine's processor, or as one program and a sweep per structure."""
        states, count = self.states.select(rows.state), len(rows.state)
        first_folded = len(self.fitted) + 2 * len(self.held_out)
        own = np.flatnonzero(rows.unit >= first_folded)
        folded = np.concatenate([own + i * count for i in range(len(self.structures))]).tolist()
        mitigation = MitigationSequence([FoldedGauges(tuple(folded), _DEPTH, self.seed), *self.corrections.outcomes])
        if engine.processor is None:
            programs = [s.program(states, rows.flipped, i * count) for i, s in enumerate(self.structures)]
            return PreparedCircuits(engine, programs, shots, mitigation)
        circuits = [
            circuit
            for structure in track(self.structures, "build circuits", "structure")
            for circuit in structure.circuits(states, rows.flipped)
        ]
        return PreparedCircuits.compile(engine, circuits, shots, mitigation)

    def _fitted(self, decoded: _Decoded, chosen: _ChosenStrings, prior: Prior, record: LearningRecord) -> LearnedModel:
        """Fit the coefficients to decoded outcomes."""
        fit_count, held = len(self.fitted), len(self.held_out)
        units = [np.arange(fit_count), fit_count + np.arange(0, 2 * held, 2), np.arange(fit_count + 2 * held, decoded.count)]
        gauge, gauge_error = decoded.gauge_variance(units[1], units[1] + 1)
        size = sum(structure.size for structure in self.structures)
        noise = np.maximum(decoded.fit_noise(units[0]) + gauge * decoded.squared_shares, _EXACT_NOISE * size**2)
        outcomes = ProbeOutcomes(
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
        strings = chosen.strings
        fit = CoefficientFit(strings, outcomes, noise[units[0]], self._prior(prior, chosen, outcomes, noise[units[0]]))
        damping = None
        if len(self.folded):
            amplified = _DEPTH**2 * gauge * decoded.squared_shares[units[2]]  # coherent errors grow in proportion to the depth
            folded = ProbeOutcomes(
                self.fitted.select(self.folded),
                decoded.values[units[2]],
                decoded.variances[units[2]] + amplified,
                decoded.sensitivities[units[2]],
            )
            damping = Damping.estimate(fit, folded, noise[units[2]] + amplified, _DEPTH)
        factor = 1.0 if damping is None else damping.factor
        identity = self.model.identity_part
        return LearnedModel(fit.coefficients / factor, identity, fit, apart, damping, self.paired, record)

    def _prior(self, prior: Prior, chosen: _ChosenStrings, outcomes: ProbeOutcomes, noise: FloatArray) -> FloatArray | None:
        """Return the prior variances of the coefficients."""
        total = sum(term.coefficient**2 for structure in self.structures for term in structure.terms)  # sum_P m_P^2
        flat = np.full(len(chosen.strings), total / len(chosen.strings))
        if prior == "none":
            return None
        if prior == "flat":
            return flat
        if prior == "magnitude":
            assert chosen.magnitudes is not None
            return np.maximum(chosen.magnitudes, _FLOOR * flat)
        return empirical_bayes(chosen.strings, outcomes, noise)

    def _record(
        self,
        engine: Engine,
        prepared: PreparedCircuits,
        mitigated: Mitigated,
        shots: int | None,
        chosen: _ChosenStrings,
        prior: Prior,
    ) -> LearningRecord:
        """Return the settings and the cost of the campaign."""
        own = shots or 0
        return LearningRecord(
            model_digest=model_digest(self.model),
            observable=self.model.observable_text,
            strings=chosen.source,
            prior=prior,
            truncated_share=chosen.truncated_share,
            engine=engine.name,
            engine_record=engine.describe(),
            seed=self.seed,
            mitigation=self.corrections.describe(),
            calibration_id=mitigated.summary.calibration_id,
            shots=shots,
            circuits=len(mitigated.outcomes),
            programs=len(prepared.programs),
            two_qubit_gates=prepared.two_qubit_gates,
            calibration_shots=max(0, mitigated.shots - own),
            notes=tuple(dict.fromkeys((*mitigated.summary.notes, *mitigated.summary.warnings))),
            qubits=tuple(map(str, self.model.qubits)),
        )


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
    def of(cls, structures: Sequence[ProbeStructure], rows: _Rows, outcomes: Outcomes, shots: Sequence[int] | None) -> _Decoded:
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
                for key, slope in outcome.sensitivities(weights).items():
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
