"""Automatic choice of a mitigation, by the calibration of the processor and by circuits with known answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration import MitigationSequence, PauliTwirling, Readout, ZeroNoiseExtrapolation
from calibration.gates.fit_difference import damping_left, mean_rate, spread_left
from calibration.gates.known_answers import known_note
from calibration.gates.known_circuits import KnownCircuits
from hattriq_cirq.circuits.deviation import ALL_KINDS, Deviation, ErrorKind, attach
from hattriq_cirq.circuits.errors import CircuitRefusedError
from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution
from hattriq_cirq.circuits.program import Programs, only_measurement
from hattriq_cirq.compilation.placement import predicted_deviations
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.checks import as_count, as_number, as_seed, set_fields
from hattriq_cirq.foundation.text import number_text
from hattriq_cirq.pipeline.mitigation import Mitigated, Mitigation, Outcomes, Variants

_FACTORS = (1, 3, 5)
_CALIBRATION_SHARE = 0.02  # largest share of the shots in each state of a readout calibration
_CALIBRATION_SHOTS = 20_000
_ROUNDED_UP = 100  # shots by which a calibration may exceed those that were asked for
_LEAST_CALIBRATION = 100  # shots in each state below which readout is not calibrated
_Outcome = Distribution | QuasiDistribution


@dataclass(frozen=True)
class _Fit:
    """A combination of the outcomes with amplified noise.

    Args:
        name: Name of the fit, for notes.
        factors: Number of the smallest factors that it uses.
        degree: Degree of the polynomial; 0 takes the mean at the smallest factor.
        decays: True if the polynomial is multiplied by an exponential decay at the mean rate.
    """

    name: str
    factors: int
    degree: int
    decays: bool = False

    def coefficients(self, rate: float) -> FloatArray:
        """Return the coefficients of the outcomes of all factors, for the mean decay per unit of the factor, at most 1."""
        used = np.array(_FACTORS[: self.factors], dtype=float)
        design = np.vander(used, self.degree + 1, increasing=True)
        if self.decays:
            design *= rate ** used[:, np.newaxis]
        return np.concatenate([np.linalg.pinv(design)[0], np.zeros(len(_FACTORS) - self.factors)])

    def deviation(self, rate: float, measured: Deviation) -> Deviation:
        """Return the deviation that known answers show; what they are too few to show is taken from the mean rate."""
        predicted = damping_left(_FACTORS, self.coefficients(rate), rate)
        damping = float(np.copysign(min(abs(predicted), 2 * measured.uncertainty), predicted))
        return replace(
            measured,
            damping=max(damping, measured.damping, key=abs),
            spread=max(spread_left(_FACTORS, self.coefficients(rate), rate), measured.spread),
        )


_FITS = (
    _Fit("twirling and readout", 1, 0),
    _Fit("linear extrapolation of factors 1, 3 with twirling and readout", 2, 1),
    _Fit("linear extrapolation of factors 1, 3, 5 with twirling and readout", 3, 1),
    _Fit("quadratic extrapolation of factors 1, 3, 5 with twirling and readout", 3, 2),
    _Fit("extrapolation of a decay times a line, factors 1, 3, 5, with twirling and readout", 3, 1, decays=True),
)


@dataclass(frozen=True, eq=False)
class AutomaticContext:
    """Choice that was made before a run, and all that its outcomes need.

    Args:
        name: Name of the choice.
        reason: Predicted errors of all choices, one sentence.
        inner: Mitigation whose variants are run; None for none.
        variants: Variants of the inner mitigation.
        known: Circuits with known answers among the requests of the inner mitigation.
        predicted: Deviation of each outcome that the calibration predicts; empty where known answers measure it.
        is_folded: True if each request of the inner mitigation was run with every factor.
    """

    name: str
    reason: str
    inner: Mitigation | None
    variants: Variants
    known: KnownCircuits
    predicted: tuple[Deviation, ...]
    is_folded: bool


_NO_KNOWN = KnownCircuits((), None, ())


@dataclass(frozen=True)
class AutomaticMitigation(Mitigation[AutomaticContext]):
    """Chooses the correction with the smallest predicted total error, bias and shot noise together; it may choose none.

    Before the run, the processor's calibration and the number of shots decide between no correction, a readout correction, and
    folded and twirled circuits with a readout correction; on an engine without a calibration the last is taken. After the run,
    circuits with known answers (`calibration.KnownAnswers`) decide which of several fits to zero noise, or none of them, has
    the smallest error; the deviation that they measure is the systematic part of the errors. All shots, those of the
    calibration and of known answers included, are within those of the map. The notes of the result give the choice and its
    reason.

    Args:
        circuits: Number of known-answer circuits in a batch.
        share: Shots of all of them, as a share of all shots, between 0 and 1.
        seed: Random seed of gauges and of known answers.

    Example:
        >>> import hattriq_cirq as hq
        >>> options = dict(baseline=0, estimator=hq.ResolvedHadamardTest(), engine=hq.virtual("willow_pink", seed=1))
        >>> model, x = hq.ring_ansatz(2, 1), [0.1, 0.5, -0.3, 0.8]
        >>> a = hq.integrated_gradients(model, x, shots=500, mitigation="auto", **options)
        >>> [note[:32] for note in a.assumptions.notes if "automatic" in note]
        ['automatic mitigation chose none:']
    """

    circuits: int = 8
    share: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        share = as_number(self.share, "share", above=0, below=1, advice="be between 0 and 1")
        set_fields(self, circuits=as_count(self.circuits, "circuits", 1, 1000), share=share, seed=as_seed(self.seed))

    def describe(self) -> str:
        """Return the mitigation in a few words."""
        return f"automatic mitigation ({number_text(self.share)} of the shots for known answers, seed {self.seed})"

    @property
    def leaves(self) -> frozenset[ErrorKind]:
        """The choice answers for all errors."""
        return frozenset()

    @property
    def is_checked(self) -> bool:
        """The choice measures known answers itself."""
        return True

    def expand(self, engine: Engine, programs: Programs, shots: Sequence[int] | None) -> Variants[AutomaticContext]:
        """Return the variants of the correction that the calibration predicts to have the smallest error."""
        total = None if shots is None else sum(shots)
        calibration = _CALIBRATION_SHOTS if total is None else min(_CALIBRATION_SHOTS, int(_CALIBRATION_SHARE * total))
        readout = Readout(shots=max(1, calibration))
        spent = 0.0 if total is None else (2 * calibration + _ROUNDED_UP) / total
        folded = MitigationSequence([ZeroNoiseExtrapolation(_FACTORS, degree=2), PauliTwirling(seed=self.seed), readout])
        predictions = _Predictions(engine, programs)
        errors = self._predicted(engine, programs, shots, spent, predictions)
        if total is not None and calibration < _LEAST_CALIBRATION:
            errors = {"none": errors["none"]}
        listed = ", ".join(f"{name} {error:.3g}" for name, error in errors.items())
        for name in sorted(errors, key=lambda name: errors[name]):
            reason = f"predicted relative errors of outcomes: {listed}"
            if name == "none":
                return self._alone(engine, programs, shots, name, reason, None, predictions)
            if name == "readout":
                return self._alone(engine, programs, _scaled(shots, 1 - spent), name, reason, readout, predictions)
            try:
                return self._folded(engine, programs, shots, reason, folded, spent)
            except CircuitRefusedError as error:
                listed += f" (not possible: {error})"
        raise ValueError("no correction is possible")  # pragma: no cover  "none" always is

    def _alone(
        self,
        engine: Engine,
        programs: Programs,
        shots: Sequence[int] | None,
        name: str,
        reason: str,
        inner: Mitigation | None,
        predictions: _Predictions,
    ) -> Variants[AutomaticContext]:
        """Return the variants of a mitigation whose errors are those that the calibration predicts."""
        variants = Variants(programs, shots, None) if inner is None else inner.expand(engine, programs, shots)
        predicted = predictions.of(ALL_KINDS if inner is None else inner.leaves)
        context = AutomaticContext(name, reason, inner, variants, _NO_KNOWN, predicted, False)
        return Variants(variants.programs, variants.shots, context, None if shots is None else sum(shots))

    def _folded(
        self,
        engine: Engine,
        programs: Programs,
        shots: Sequence[int] | None,
        reason: str,
        inner: MitigationSequence,
        spent: float,
    ) -> Variants[AutomaticContext]:
        """Return folded and twirled circuits, and known-answer circuits in the same variants."""
        share = self.share / (1 - self.share - spent)
        own = _scaled(shots, 1 - self.share - spent)
        known = KnownCircuits.beside(programs, own, circuits=self.circuits, share=share, seed=self.seed)
        counts = None if own is None else [*own, *(known.shots or ())]
        variants = inner.expand(engine, [*programs, *known.programs], counts)
        context = AutomaticContext("extrapolation", reason, inner, variants, known, (), bool(known.answers))
        return Variants(variants.programs, variants.shots, context, None if own is None else sum(own))

    def _predicted(
        self, engine: Engine, programs: Programs, shots: Sequence[int] | None, spent: float, predictions: _Predictions
    ) -> dict[str, float]:
        """Return the predicted relative error of outcomes for each correction that is possible."""
        least = None if shots is None else min(_scaled(shots, 1 - self.share - spent) or [0])
        can_fold = least is None or least >= 2 * len(_FACTORS) * PauliTwirling().twirls
        if engine.processor is None:
            return {"extrapolation": 0.0} if can_fold else {"none": 0.0}
        bits = max(len(only_measurement(program.circuit).qubits) for program in programs)
        noise = 0.0 if shots is None else 2**bits / float(np.mean(shots))  # relative variance of outcomes of random circuits

        def total(kinds: frozenset[ErrorKind], share: float) -> float:
            found = predictions.of(kinds)
            bias = np.mean([deviation.damping**2 + deviation.spread**2 for deviation in found])
            return float(np.sqrt(bias + noise / share))

        errors = {"none": total(ALL_KINDS, 1.0), "readout": total(ALL_KINDS - {"readout"}, max(1e-9, 1 - spent))}
        if can_fold:
            gates = predictions.of(frozenset({"gates"}))
            rate = 1 - float(np.mean([deviation.damping for deviation in gates]))
            share = 1 - self.share - spent
            errors["extrapolation"] = min(_total_of_fit(fit, rate, noise / share) for fit in _FITS)
        return errors

    def combine(self, variants: Variants[AutomaticContext], outcomes: Outcomes) -> Mitigated:
        """Return corrected outcomes, by the fit that known answers favour."""
        context = variants.context
        stages = replace(context.variants, programs=variants.programs)
        if context.inner is None:
            made = Mitigated(outcomes)
        elif context.is_folded:
            return self._fitted(context, stages, outcomes)
        else:
            made = context.inner.combine(stages, outcomes)
        if context.predicted:
            made = replace(made, outcomes=attach(made.outcomes, context.predicted))
        return _with_note(made, f"automatic mitigation chose {context.name}: {context.reason}")

    def _fitted(self, context: AutomaticContext, stages: Variants, outcomes: Outcomes) -> Mitigated:
        """Return the outcomes of the best fit of the folded circuits."""
        assert isinstance(context.inner, MitigationSequence)
        inner = MitigationSequence(context.inner.parts[1:])  # all but the folding
        made = inner.combine(Variants(stages.programs, stages.shots, stages.context[1:]), outcomes)
        count = len(made.outcomes) // len(_FACTORS)
        by_factor = [made.outcomes[i * count : (i + 1) * count] for i in range(len(_FACTORS))]
        known = context.known
        first = count - len(known.answers)
        rate = mean_rate(_FACTORS, list(zip(*by_factor, strict=True)))
        best, figures = None, []
        for fit in _FITS:
            fitted = [_combined(fit.coefficients(rate), [copies[k] for copies in by_factor]) for k in range(count)]
            deviation = fit.deviation(rate, known.deviation(fitted[first:]))
            own = [QuasiDistribution.from_outcome(outcome) for outcome in fitted[:first]]
            total = float(np.sqrt(deviation.damping**2 + deviation.spread**2 + _noise(own)))
            figures.append(f"{fit.name} {total:.3g}")
            if best is None or total < best[0]:
                best = total, fit, deviation, own
        assert best is not None
        _, fit, deviation, own = best
        bare = [outcome.without_systematic for outcome in own]
        made = Mitigated(attach(bare, [deviation] * len(bare)), made.summary)
        chosen = (
            f"automatic mitigation chose {fit.name}: {context.reason}; relative errors by known answers and counts: "
            f"{', '.join(figures)}"
        )
        return _with_note(_with_note(made, known_note(known, deviation)), chosen)


def _with_note(made: Mitigated, note: str) -> Mitigated:
    """Return a result with one more note, in front."""
    return replace(made, summary=replace(made.summary, notes=(note, *made.summary.notes)))


def _scaled(shots: Sequence[int] | None, share: float) -> list[int] | None:
    """Return a share of the shots of each request, at least one."""
    return None if shots is None else [max(1, int(share * count)) for count in shots]


class _Predictions:
    """Deviations that the calibration of an engine's processor predicts for programs, each kind of errors once.

    Args:
        engine: Engine that will run them.
        programs: Compiled programs.
    """

    def __init__(self, engine: Engine, programs: Programs) -> None:
        self._engine, self._programs = engine, programs
        self._known: dict[frozenset[ErrorKind], tuple[Deviation, ...]] = {}

    def of(self, kinds: frozenset[ErrorKind]) -> tuple[Deviation, ...]:
        """Return the deviation of each request by errors of some kinds; none without a processor."""
        kinds, processor = self._engine.error_kinds & kinds, self._engine.processor
        if processor is None:
            return ()
        if kinds not in self._known:
            self._known[kinds] = predicted_deviations(processor, self._programs, kinds)
        return self._known[kinds]


def _total_of_fit(fit: _Fit, rate: float, noise: float) -> float:
    """Return the predicted relative error of a fit: the damping and spread of a decay that it leaves, and shot noise."""
    coefficients = fit.coefficients(rate)
    damping, spread = (left(_FACTORS, coefficients, rate) for left in (damping_left, spread_left))
    return float(np.sqrt(damping**2 + spread**2 + np.sum(np.abs(coefficients)) ** 2 * noise))


def _combined(coefficients: FloatArray, copies: Sequence[_Outcome]) -> QuasiDistribution:
    """Return a combination of outcomes; the uniform distribution makes up for coefficients that do not sum to 1."""
    used = list(zip(coefficients.tolist(), copies, strict=True))
    size = len(QuasiDistribution.from_outcome(copies[0]).probabilities)
    rest = 1 - float(coefficients.sum())
    if abs(rest) > 1e-12:
        used.append((rest, Distribution(np.full(size, 1 / size), None)))
    return QuasiDistribution.combined([c for c, _ in used], [copy for _, copy in used])


def _noise(outcomes: Sequence[QuasiDistribution]) -> float:
    """Return the mean relative variance of outcomes by their counts."""
    shares = []
    for outcome in outcomes:
        from_uniform = outcome.probabilities - 1 / len(outcome.probabilities)
        variance = outcome.total_variance
        shares.append(variance / max(float(from_uniform @ from_uniform) - variance, variance, 1e-12))
    return float(np.mean(shares))
