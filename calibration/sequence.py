"""A sequence of mitigations as one mitigation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from calibration.auxiliary_measurement import CircuitShares, MeasuredCircuits
from calibration.gates.known_answers import KnownAnswers
from calibration.readout.per_group import CorrelatedReadout
from calibration.readout.per_qubit import Readout
from calibration.readout.trex import TwirledReadout
from hattriq_cirq.circuits.deviation import ErrorKind
from hattriq_cirq.circuits.program import Programs
from hattriq_cirq.estimators.bilinear import BilinearTerm, Estimator
from hattriq_cirq.estimators.plan import Estimate
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.checks import ArgumentTypeError, check_type, shown
from hattriq_cirq.models.model import Model
from hattriq_cirq.pipeline.mitigation import Mitigated, Mitigation, MitigationSummary, Outcomes, Variants

_READOUT_CORRECTIONS = (Readout, CorrelatedReadout, TwirledReadout)
_Stages = tuple[Variants, ...]


@dataclass(frozen=True)
class MitigationSequence(Mitigation[_Stages]):
    """Mitigations nested in each other: the first makes variants of the circuits, the next variants of these, and so on.

    Outcomes go the other way: the last mitigation corrects the counts, and the first combines what all others return. Known
    answers therefore come first, a readout correction last, and twirling after extrapolation:
    `MitigationSequence([ZeroNoiseExtrapolation(), PauliTwirling(), Readout()])` twirls every folded circuit. Mitigations that
    rescale a map act at the end, in order; their own circuits are mitigated like the others.

    Args:
        parts: Mitigations, the outermost first; the parts of a sequence among them are taken in its place.

    Raises:
        ValueError: There are no parts, one is not a mitigation or occurs twice, known answers are not the first,
            or a readout correction is not the last.

    Example:
        >>> import hattriq_cirq as hq
        >>> from calibration import PauliTwirling, Readout
        >>> from calibration.testing import FaultyReadout
        >>> sequence = MitigationSequence([PauliTwirling(4), Readout()])
        >>> print(sequence.describe())
        Pauli twirling (4 gauges, seed 0) + readout calibrated in the batch, 20000 shots a state, balanced patterns
        >>> options = dict(baseline=0, estimator=hq.ResolvedHadamardTest(), shots=100_000, mitigation=sequence)
        >>> engine = hq.sampler(FaultyReadout(e0=0.02, e1=0.1, seed=1))
        >>> hq.integrated_gradients(hq.ring_ansatz(2, 1), [0.1, 0.5, -0.3, 0.8], engine=engine, **options).values.round(2)
        array([ 0.01,  0.25, -0.09, -0.64])
    """

    parts: Sequence[Mitigation]

    def __post_init__(self) -> None:
        check_type(self.parts, "parts", Sequence, "mitigations, one or more, such as [PauliTwirling(), Readout()]")
        if not all(isinstance(part, Mitigation) for part in self.parts) or not self.parts:
            raise ArgumentTypeError(
                f"parts={shown(self.parts)} must be mitigations, one or more, such as [PauliTwirling(), Readout()]"
            )
        flat = tuple(p for part in self.parts for p in (part.parts if isinstance(part, MitigationSequence) else (part,)))
        twice = next((part for i, part in enumerate(flat) if part in flat[:i]), None)
        if twice is not None:
            raise ValueError(f"{twice.describe()} is twice in a sequence; leave one out")
        if any(isinstance(part, KnownAnswers) for part in flat[1:]):
            raise ValueError("KnownAnswers measures what the mitigations after it leave; put it first")
        for part in flat[:-1]:
            if isinstance(part, _READOUT_CORRECTIONS):
                *_, last = flat
                both = isinstance(last, _READOUT_CORRECTIONS)
                cure = f"leave it or {type(last).__name__} out: one corrects readout" if both else "put it last"
                raise ValueError(
                    f"{type(part).__name__} stands before {type(last).__name__}, but a readout correction takes the counts "
                    f"themselves; {cure}"
                )
        object.__setattr__(self, "parts", flat)

    def describe(self) -> str:
        """Return the descriptions of the parts."""
        return " + ".join(part.describe() for part in self.parts)

    @property
    def leaves(self) -> frozenset[ErrorKind]:
        """Errors that no part answers for."""
        return frozenset.intersection(*(part.leaves for part in self.parts))

    @property
    def is_checked(self) -> bool:
        """True if a part measures known answers."""
        return any(part.is_checked for part in self.parts)

    def expand(self, engine: Engine, programs: Programs, shots: Sequence[int] | None) -> Variants[_Stages]:
        """Return the variants that the last part makes of those of all others."""
        stages: list[Variants] = []
        for part in self.parts:
            stages.append(part.expand(engine, programs, shots))
            programs, shots = stages[-1].programs, stages[-1].shots
        return Variants(programs, shots, tuple(stages))

    def combine(self, variants: Variants[_Stages], outcomes: Outcomes) -> Mitigated:
        """Return the outcomes combined by the last part, then by the one before it, and so on.

        All findings are returned, those of the last part first; the calibration is that of the first part that has one.
        """
        *outer, last = variants.context
        stages = [*outer, replace(last, programs=variants.programs)]
        notes: list[str] = []
        warnings: list[str] = []
        calibration_id: str | None = None
        readout_rates: Mapping[str, tuple[float, float, float, float]] = {}
        for part, stage in zip(reversed(self.parts), reversed(stages), strict=True):
            mitigated = part.combine(stage, outcomes)
            outcomes = mitigated.outcomes
            notes += mitigated.summary.notes
            warnings += mitigated.summary.warnings
            calibration_id = calibration_id or mitigated.summary.calibration_id
            readout_rates = readout_rates or mitigated.summary.readout_rates
        return Mitigated(outcomes, MitigationSummary(calibration_id, tuple(notes), tuple(warnings), readout_rates))

    def auxiliary_circuits(self, model: Model, estimator: Estimator, terms: Sequence[BilinearTerm]) -> CircuitShares:
        """Return the auxiliary circuits of all parts."""
        return [circuit for part in self.parts for circuit in part.auxiliary_circuits(model, estimator, terms)]

    def postprocess(self, estimate: Estimate, auxiliary: MeasuredCircuits) -> Estimate:
        """Return the estimate corrected by each part in turn; each part recognizes its own circuits."""
        for part in self.parts:
            estimate = part.postprocess(estimate, auxiliary)
        return estimate
