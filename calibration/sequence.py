"""Several mitigations as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from calibration.readout.per_group import CorrelatedReadout
from calibration.readout.per_qubit import Readout
from calibration.readout.trex import TwirledReadout
from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.estimators.bilinear import BilinearTerm, Estimator, WeightedCircuit
from hattriq_cirq.estimators.plan import Estimate
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.models.model import Model
from hattriq_cirq.pipeline.mitigation import Mitigation, MitigationSummary, Outcomes, Variants

_OF_READOUT = (Readout, CorrelatedReadout, TwirledReadout)


@dataclass(frozen=True)
class MitigationSequence(Mitigation):
    """Mitigations inside each other: the first makes variants of the circuits, the next variants of these, and so on.

    Outcomes go the other way: the last corrects what was counted, the first combines what all others made of it. So a readout
    correction comes last, and twirling after extrapolation: `Pipeline([ZeroNoiseExtrapolation(), PauliTwirling(), Readout()])`
    twirls every folded circuit. What rescales a map does so after all, in order; its circuits are mitigated like the others.

    Args:
        parts: mitigations, first = outermost; pipelines among them count as their parts.

    Raises:
        ValueError: none, something else than a mitigation, one twice, or a readout correction that is not the last.
    """

    parts: Sequence[Mitigation]

    def __post_init__(self) -> None:
        if not all(isinstance(part, Mitigation) for part in self.parts) or not self.parts:
            raise ValueError(f"{self.parts=} must be mitigations, one or more, such as [PauliTwirling(), Readout()]")
        flat = tuple(p for part in self.parts for p in (part.parts if isinstance(part, MitigationSequence) else (part,)))
        twice = next((part for i, part in enumerate(flat) if part in flat[:i]), None)
        if twice is not None:
            raise ValueError(f"{twice.describe()} stands twice in a pipeline; leave one out")
        for part in flat[:-1]:
            if isinstance(part, _OF_READOUT):
                *_, last = flat
                both = isinstance(last, _OF_READOUT)
                cure = f"leave it or {type(last).__name__} out: one corrects readout" if both else "put it last"
                raise ValueError(
                    f"{type(part).__name__} stands before {type(last).__name__}, but readout is corrected in what was counted, "
                    f"before anything is made of it; {cure}"
                )
        object.__setattr__(self, "parts", flat)

    def describe(self) -> str:
        """The parts' descriptions."""
        return " + ".join(part.describe() for part in self.parts)

    def expand(self, engine: Engine, programs: Sequence[ParameterizedCircuit], shots: Sequence[int] | None) -> Variants:
        """The variants that the last part makes of those of all others."""
        made: list[Variants] = []
        for part in self.parts:
            made.append(part.expand(engine, programs, shots))
            programs, shots = made[-1].programs, made[-1].shots
        return Variants(programs, shots, tuple(made))

    def combine(self, variants: Variants, outcomes: Outcomes) -> list[Distribution | QuasiDistribution]:
        """The outcomes combined by the last part, then by the one before it, and so on."""
        for part, made in zip(reversed(self.parts), reversed(variants.context), strict=True):
            outcomes = part.combine(made, outcomes)
        return list(outcomes)

    def report(self, variants: Variants, outcomes: Outcomes) -> MitigationSummary:
        """All reports in one, the last part's first; the calibration is that of the first that has one."""
        found = [part.report(made, given) for part, made, given in self._backwards(variants, outcomes)]
        ids = [report.calibration_id for report in found if report.calibration_id is not None]
        return MitigationSummary(next(iter(ids), None), tuple(note for report in found for note in report.notes))

    def auxiliary_circuits(
        self, model: Model, estimator: Estimator, products: Sequence[BilinearTerm]
    ) -> list[tuple[WeightedCircuit, float]]:
        """The circuits that all parts want."""
        return [wanted for part in self.parts for wanted in part.auxiliary_circuits(model, estimator, products)]

    def postprocess(
        self, estimate: Estimate, extra: Sequence[tuple[WeightedCircuit, Distribution | QuasiDistribution]]
    ) -> Estimate:
        """The estimate corrected by each part in turn; each knows its own circuits."""
        for part in self.parts:
            estimate = part.postprocess(estimate, extra)
        return estimate

    def _backwards(self, variants: Variants, outcomes: Outcomes) -> Iterator[tuple[Mitigation, Variants, Outcomes]]:
        """Each part with its variants and their outcomes, from the last to the first."""
        for part, made in zip(reversed(self.parts), reversed(variants.context), strict=True):
            yield part, made, outcomes
            outcomes = part.combine(made, outcomes)
