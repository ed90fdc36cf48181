"""Known answers beside a run: they measure what noise and its correction leave, and check what the errors of a result state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cirq
import numpy as np
from scipy.stats import chi2

from calibration.gates.known_circuits import KnownCircuits
from hattriq_cirq.circuits.deviation import ALL_KINDS, Deviation, ErrorKind, Residual, attach
from hattriq_cirq.circuits.outcomes import QuasiDistribution
from hattriq_cirq.circuits.program import Programs, shifted, surround
from hattriq_cirq.compilation.placement import predicted_deviation
from hattriq_cirq.estimators.bilinear import BilinearTerm, Estimator, WeightedCircuit
from hattriq_cirq.estimators.plan import Estimate
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.checks import as_count, as_number, as_seed, set_fields
from hattriq_cirq.foundation.text import number_text, quantity
from hattriq_cirq.models.model import Model
from hattriq_cirq.pipeline.mitigation import Mitigated, Mitigation, MitigationSummary, Outcomes, Variants

_TOLERANCE = 1.35  # factor by which known answers may deviate more than a result states: 9 of them scatter by 0.1
_CERTAIN = 3.0  # standard deviations of the counts beyond which a deviation contradicts what a result states
_FALSE_ALARM = 1e-4  # p-value below which a run is said to drift: without drift, 3 of 400 runs were below 1e-3, none below this
_LEAST_SHOTS = 200  # of a known-answer circuit, at both ends together, below which a run is not checked
_LEAST_OWN_SHOTS = 100  # of every other circuit, which may need them for its variants


@dataclass(frozen=True)
class KnownAnswers(Mitigation[KnownCircuits]):
    """Measures what noise and all mitigations after it leave, on circuits of the same structure with known outcomes.

    The angles of all single-qubit gates of compiled circuits are rounded to multiples of 90 degrees, after random shifts; other
    gates stay as they are. With Clifford gates, such as CZ, the outcomes are those of stabilizer states. The circuits run with
    all variants of the others, and the deviation of their outcomes from the known ones is the systematic part of the errors of
    the map, in place of what the other mitigations report (Czarnik et al., Quantum 5, 592, use such circuits for a correction).
    Values do not change.

    Args:
        circuits: Number of known-answer circuits in a batch, or one for each of as many programs.
        share: Their shots, as a share of the shots of the map, above 0; they come on top.
        seed: Random seed of the rounding.

    Example:
        >>> import hattriq_cirq as hq
        >>> from calibration import MitigationSequence, PauliTwirling
        >>> engine = hq.cirq_simulator(noise=cirq.ConstantQubitNoiseModel(cirq.depolarize(0.01)), seed=1)
        >>> options = dict(baseline=0, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=20_000)
        >>> mitigation = MitigationSequence([KnownAnswers(), PauliTwirling(4)])
        >>> a = hq.integrated_gradients(hq.ring_ansatz(2, 1), [0.1, 0.5, -0.3, 0.8], mitigation=mitigation, **options)
        >>> a.values.round(2), a.systematic.round(2)
        (array([ 0.02,  0.23, -0.09, -0.56]), array([0.  , 0.02, 0.01, 0.04]))
    """

    circuits: int = 8
    share: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        share = as_number(self.share, "share", above=0, advice="be above 0 and finite: its circuits need shots")
        set_fields(self, circuits=as_count(self.circuits, "circuits", 1, 1000), share=share, seed=as_seed(self.seed))

    def describe(self) -> str:
        """Return the mitigation in a few words."""
        return f"known answers ({quantity(self.circuits, 'circuit')}, {number_text(self.share)} of the shots, seed {self.seed})"

    @property
    def leaves(self) -> frozenset[ErrorKind]:
        """Nothing is left to predictions, as all errors are measured."""
        return frozenset()

    @property
    def is_checked(self) -> bool:
        """Known answers measure the errors of the result."""
        return True

    def check(self, mitigation: Mitigation[Any] | None) -> KnownAnswerCheck:
        """Return a mitigation, or None for no correction, with a check of its results by known answers."""
        return KnownAnswerCheck(mitigation)

    def expand(self, engine: Engine, programs: Programs, shots: Sequence[int] | None) -> Variants[KnownCircuits]:
        """Return the programs, and those of known-answer circuits."""
        known = KnownCircuits.beside(programs, shots, circuits=self.circuits, share=self.share, seed=self.seed)
        counts = None if shots is None else [*shots, *(known.shots or ())]
        return Variants([*programs, *known.programs], counts, known)

    def combine(self, variants: Variants[KnownCircuits], outcomes: Outcomes) -> Mitigated:
        """Return the outcomes of the other circuits, with the measured deviation as their systematic uncertainty."""
        known = variants.context
        own = outcomes[: len(outcomes) - len(known.answers)]
        if not known.answers:
            note = "no circuits with known answers were run: the circuits are too large, or rounded ones have no signal"
            return Mitigated(own, MitigationSummary(notes=(note,)))
        deviation = known.deviation(outcomes[len(own) :])
        bare = [QuasiDistribution.from_outcome(outcome).without_systematic for outcome in own]
        summary = MitigationSummary(notes=(known_note(known, deviation),))
        return Mitigated(attach(bare, [deviation] * len(bare)), summary)


def known_note(known: KnownCircuits, deviation: Deviation) -> str:
    """Return a note on the deviation that known-answer circuits showed."""
    of_shots = "" if known.shots is None else f" of {quantity(sum(known.shots), 'shot')}"
    damping, uncertainty, spread = (100 * each for each in (deviation.damping, deviation.uncertainty, deviation.spread))
    return (
        f"{quantity(len(known.answers), 'known-answer circuit')}{of_shots}: outcomes are damped by {damping:.1f} +- "
        f"{uncertainty:.1f}% and spread by {spread:.1f}% of their size; the systematic part of errors is taken from this"
    )


@dataclass(frozen=True, eq=False)
class CheckContext:
    """Known-answer circuits of a check, and all that their comparison needs.

    Args:
        inner: Variants of the mitigation whose results are checked.
        known: Known-answer circuits, with the first requests; without answers if there is no check.
        predicted: What the processor's calibration predicts the mitigation to leave in each; empty without a calibration.
        is_at_both_ends: True if they run after the other circuits too.
        trusted: Words on the calibration that predicts it; empty if nothing is predicted.
    """

    inner: Variants
    known: KnownCircuits
    predicted: tuple[Deviation, ...]
    is_at_both_ends: bool
    trusted: str


@dataclass(frozen=True)
class KnownAnswerCheck(Mitigation[CheckContext]):
    """Checks the errors that a run states by circuits with known answers, and widens them by what these show.

    A part of the shots goes to circuits of the same gates in the same places, with all angles shifted at random by 45 degrees
    (standard deviation), so that their outcomes say nothing on the map and are computed by a simulation. Half of the shots come
    before and half after those of all other circuits, with the same variants and the same correction. The deviation of their
    outcomes from the known ones is compared with the one that the result states: what the processor's calibration predicts the
    correction to leave, and what the correction reports itself. What exceeds it is added to the systematic part of errors. If
    it exceeds it by more than counts and a tolerance of 35% explain, or if the two ends differ, an `AssumptionWarning` names
    the assumption that fails. Values do not change.

    This is what `check=` of `hattriq_cirq.integrated_gradients` and others does. It shows errors of a circuit's structure, of
    up to 16 qubits and 11 measured bits. It cannot show what depends on the angles of the map's own circuits, such as a gate
    that fails at one angle only, what the counts of a tenth of the shots hide, or drift that is undone before the run ends.

    Args:
        mitigation: Mitigation whose results are checked; None for no correction.
        circuits: Number of known-answer circuits in a batch, or one for each of as many programs.
        share: Share of the shots for all of them, between 0 and 1; the other circuits have so many fewer.
        seed: Random seed of the angles.

    Example:
        >>> import hattriq_cirq as hq
        >>> options = dict(baseline=0, estimator=hq.ResolvedHadamardTest(), shots=100_000)
        >>> model, x = hq.ring_ansatz(2, 1), [0.1, 0.5, -0.3, 0.8]
        >>> a = hq.integrated_gradients(model, x, engine=hq.virtual("willow_pink", seed=1), **options)
        >>> [note[:39] for note in a.assumptions.notes if "known-answer" in note]
        ['8 known-answer circuits of 10000 shots:']
    """

    mitigation: Mitigation[Any] | None = None
    circuits: int = 8
    share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        share = as_number(self.share, "share", above=0, below=1, advice="be between 0 and 1")
        set_fields(self, circuits=as_count(self.circuits, "circuits", 1, 1000), share=share, seed=as_seed(self.seed))

    def describe(self) -> str:
        """Return the mitigation that is checked, and the check, in a few words."""
        inner = "none" if self.mitigation is None else self.mitigation.describe()
        circuits = quantity(self.circuits, "known-answer circuit")
        return f"{inner}, checked by {circuits} ({number_text(self.share)} of the shots, seed {self.seed})"

    @property
    def leaves(self) -> frozenset[ErrorKind]:
        """Errors that the mitigation leaves."""
        return ALL_KINDS if self.mitigation is None else self.mitigation.leaves

    @property
    def is_checked(self) -> bool:
        """A second check would add nothing."""
        return True

    def expand(self, engine: Engine, programs: Programs, shots: Sequence[int] | None) -> Variants[CheckContext]:
        """Return the variants of all programs, those of known-answer circuits first and last."""
        known = KnownCircuits((), None, ())
        own = None if shots is None else [int((1 - self.share) * count) for count in shots]
        spare = 0 if own is None or shots is None else sum(shots) - sum(own)
        if own is None or (spare >= _LEAST_SHOTS * self.circuits and min(own) >= _LEAST_OWN_SHOTS):
            options: dict[str, Any] = {"circuits": self.circuits, "share": self.share, "seed": self.seed, "rounded": False}
            beside = KnownCircuits.beside(programs, None, **options)
            first = sum(len(program.requests) for program in programs)
            known = replace(beside, programs=tuple(shifted(beside.programs, -first)))
        if known.answers:
            shots_of_each = [spare // len(known.answers)] * len(known.answers)
            programs, shots = surround(programs, own, known.programs, shots_of_each)
        inner = Variants(programs, shots, None) if self.mitigation is None else self.mitigation.expand(engine, programs, shots)
        predicted, trusted = tuple[Deviation, ...](), ""
        kinds, processor = engine.error_kinds & self.leaves, engine.processor
        if processor is not None and kinds:
            each = [cirq.resolve_parameters(p.circuit, dict(point)) for p in known.programs for point in p.points]
            predicted = tuple(predicted_deviation(processor, circuit, kinds) for circuit in each)
            trusted = f"the calibration {processor.snapshot!r} of {', '.join(sorted(kinds))}"
        context = CheckContext(inner, known, predicted, bool(known.answers) and shots is not None, trusted)
        return Variants(
            inner.programs, inner.shots, context, sum(own) if known.answers and own is not None else inner.own_shots
        )

    def combine(self, variants: Variants[CheckContext], outcomes: Outcomes) -> Mitigated:
        """Return the outcomes of the mitigation, with what known answers show beyond the errors that they state."""
        context = variants.context
        made = Mitigated(outcomes)
        if self.mitigation is not None:
            made = self.mitigation.combine(replace(context.inner, programs=variants.programs), outcomes)
        count, notes, warnings = len(context.known.answers), made.summary.notes, made.summary.warnings
        if not count:
            note = "the errors were not checked by circuits with known answers: too few shots, or circuits too large"
            return replace(made, summary=replace(made.summary, notes=(note, *notes)))
        last = len(made.outcomes) - count * context.is_at_both_ends
        ends = [made.outcomes[:count], made.outcomes[last:]][: 1 + context.is_at_both_ends]
        comparison = _Comparison.of(context, ends)
        summary = replace(made.summary, notes=(comparison.note, *notes), warnings=(*comparison.warnings, *warnings))
        own = made.outcomes[count:last]
        return replace(made, outcomes=attach(own, [comparison.excess] * len(own)), summary=summary)

    def auxiliary_circuits(
        self, model: Model, estimator: Estimator, terms: Sequence[BilinearTerm]
    ) -> list[tuple[WeightedCircuit, float]]:
        """Return the auxiliary circuits of the mitigation."""
        return [] if self.mitigation is None else self.mitigation.auxiliary_circuits(model, estimator, terms)

    def postprocess(self, estimate: Estimate, auxiliary: Sequence[tuple[WeightedCircuit, Any]]) -> Estimate:
        """Return the estimate as the mitigation corrects it."""
        return estimate if self.mitigation is None else self.mitigation.postprocess(estimate, auxiliary)


@dataclass(frozen=True)
class _Comparison:
    """Known answers compared with the errors that a result states.

    Args:
        note: What was found, one sentence.
        warnings: Assumptions that fail, one sentence each.
        excess: Deviation that known answers show beyond the stated one.
    """

    note: str
    warnings: tuple[str, ...]
    excess: Deviation

    @classmethod
    def of(cls, context: CheckContext, ends: Sequence[Outcomes]) -> _Comparison:
        """Compare the outcomes of known-answer circuits, at one end of a run or at both."""
        pooled = [QuasiDistribution.combined([1 / len(ends)] * len(ends), copies) for copies in zip(*ends, strict=True)]
        residuals = context.known.residuals(pooled)
        measured, certain = (Deviation.measured(residuals, significance) for significance in (2.0, _CERTAIN))
        stating = attach(pooled, context.predicted) if context.predicted else pooled
        stated = float(
            np.mean(
                [
                    QuasiDistribution.from_outcome(outcome).shared_variance(systematic=True) / residual.power
                    for outcome, residual in zip(stating, residuals, strict=True)
                ]
            )
        )
        excess = measured.beyond(stated)
        warnings = []
        if certain.variance > _TOLERANCE**2 * stated:
            failing = (
                f"{context.trusted} does not describe the errors of this run"
                if context.trusted
                else ("the correction leaves more than its own fit and tests show")
            )
            warnings.append(
                f"known-answer circuits contradict the errors that the run states: {failing}, as by crosstalk, drift or loss; "
                "the systematic part was widened by what they show. Calibrate anew, or use mitigation='auto'"
            )
        drift = _probability_of_no_drift(residuals, ends)
        if drift < _FALSE_ALARM:
            warnings.append(
                "known-answer circuits at the two ends of the run differ: the processor drifts, and values are means over the "
                "run. Calibrate anew, and split the run into shorter ones"
            )
        of_shots = (
            ""
            if not any(outcome.shots for outcome in pooled)
            else (f" of {quantity(sum(outcome.shots or 0 for outcome in pooled), 'shot')}")
        )
        damping, spread, total, claim = (
            100 * each for each in (measured.damping, measured.spread, measured.variance**0.5, stated**0.5)
        )
        note = (
            f"{quantity(len(pooled), 'known-answer circuit')}{of_shots}: outcomes are damped by {damping:.1f}% and spread by "
            f"{spread:.1f}% of their size, an error of {total:.1f}% where {claim:.1f}% is stated; "
            + ("the systematic part was widened by the difference" if excess.variance else "they agree with the stated errors")
            + ("" if len(ends) == 1 else f"; p = {drift:.2g} that both ends of the run agree")
        )
        return cls(note, tuple(warnings), excess)


def _probability_of_no_drift(residuals: Sequence[Residual], ends: Sequence[Outcomes]) -> float:
    """Return the probability that the same circuits at both ends of a run without drift differ at least as much; 1 for one end.

    The sum of the squares of all differences is compared with a multiple of a chi-squared number of the same mean and variance.
    """
    if len(ends) == 1:
        return 1.0
    total, mean, variance = 0.0, 0.0, 0.0
    for residual, *copies in zip(residuals, *ends, strict=True):
        first, second = map(QuasiDistribution.from_outcome, copies)
        difference = first.probabilities - second.probabilities
        size = len(difference)
        counted = sum(each.total_variance + size * each.spread_variance(systematic=False) for each in (first, second))
        total, mean = total + float(difference @ difference), mean + counted
        variance += 2 * counted**2 / residual.degrees
    return float(chi2.sf(total * 2 * mean / variance, 2 * mean**2 / variance)) if variance else 1.0
