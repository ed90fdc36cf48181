"""What a mitigation is to the rest of the library: more circuits before the run, better outcomes after it.

The mitigations themselves are in the package `calibration`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic

from typing_extensions import TypeVar

from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.estimators.bilinear import BilinearTerm, Estimator, WeightedCircuit
from hattriq_cirq.estimators.plan import Estimate
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.models.model import Model

Outcomes = Sequence[Distribution | QuasiDistribution]


V = TypeVar("V", default=Any)


@dataclass(frozen=True, eq=False)
class Variants(Generic[V]):
    """What is run in place of some programs.

    Args:
        programs: together they hold the requests 0, 1, ... once each, in a numbering of their own.
        shots: of each request; None for exact probabilities.
        context: whatever `Mitigation.combine` needs to know of how they were made.
    """

    programs: Sequence[ParameterizedCircuit]
    shots: Sequence[int] | None
    context: Any = None


@dataclass(frozen=True)
class MitigationSummary:
    """What a mitigation has to say after a run.

    Args:
        calibration_id: of the calibration that was used; None without one.
        notes: findings, such as the verdict on drift, a sentence each.
    """

    calibration_id: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mitigated:
    """Outcomes and summary."""

    outcomes: list[Distribution | QuasiDistribution]
    summary: MitigationSummary


C = TypeVar("C", default=Any)


class Mitigation(ABC, Generic[C]):
    """Two functions that must agree: programs to the variants to run, and their outcomes to one outcome a request.

    Both are pure but for what `expand` asks an engine; whatever is random is drawn from a seed of the mitigation's own.
    """

    @abstractmethod
    def describe(self) -> str:
        """The mitigation in a few words, for results."""

    @abstractmethod
    def expand(self, engine: Engine, programs: Sequence[ParameterizedCircuit], shots: Sequence[int] | None) -> Variants:
        """The variants to run in place of compiled programs.

        Args:
            engine: that will run them; its processor and name tell whether a calibration belongs to it.
            programs: compiled.
            shots: of each request of theirs; the variants of a request share them out. What a calibration takes comes on top.

        Returns:
            The variants.
        """

    @abstractmethod
    def combine(self, variants: Variants, outcomes: Outcomes) -> list[Distribution | QuasiDistribution]:
        """One outcome for each request of the programs, in order, from those of the variants."""

    def report(self, variants: Variants, outcomes: Outcomes) -> MitigationSummary:
        """What is worth knowing of this run beside the outcomes."""
        return MitigationSummary()

    def auxiliary_circuits(
        self, model: Model, estimator: Estimator, products: Sequence[BilinearTerm]
    ) -> list[tuple[WeightedCircuit, float]]:
        """Circuits to run beside those of one input, each with its shots as a share of the input's."""
        return []

    def postprocess(
        self, estimate: Estimate, extra: Sequence[tuple[WeightedCircuit, Distribution | QuasiDistribution]]
    ) -> Estimate:
        """The estimate of one input, corrected by its extra circuits, each with its outcome."""
        return estimate
