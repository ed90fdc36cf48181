"""What a mitigation is to the rest of the library: more circuits before the run, better outcomes after it.

The mitigations themselves are in the package `calibration`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hattriq_cirq.engines.base import Program
from hattriq_cirq.engines.engine import Engine
from hattriq_cirq.estimators.base import Estimate, Estimator, Product, Reading
from hattriq_cirq.model import Model
from hattriq_cirq.outcomes import Distribution, Quasi

Outcomes = Sequence[Distribution | Quasi]


@dataclass(frozen=True, eq=False)
class Variants:
    """What is run in place of some programs.

    Args:
        programs: together they hold the requests 0, 1, ... once each, in a numbering of their own.
        shots: of each request; None for exact probabilities.
        memory: whatever `Mitigation.combine` needs to know of how they were made.
    """

    programs: Sequence[Program]
    shots: Sequence[int] | None
    memory: Any = None


@dataclass(frozen=True)
class Report:
    """What a mitigation has to say after a run.

    Args:
        calibration_id: of the calibration that was used; None without one.
        notes: findings, such as the verdict on drift, a sentence each.
    """

    calibration_id: str | None = None
    notes: tuple[str, ...] = ()


class Mitigation(ABC):
    """Two functions that must agree: programs to the variants to run, and their outcomes to one outcome a request.

    Both are pure but for what `expand` asks an engine; whatever is random is drawn from a seed of the mitigation's own.
    """

    @abstractmethod
    def describe(self) -> str:
        """The mitigation in a few words, for results."""

    @abstractmethod
    def expand(self, engine: Engine, programs: Sequence[Program], shots: Sequence[int] | None) -> Variants:
        """The variants to run in place of compiled programs.

        Args:
            engine: that will run them; its processor and name tell whether a calibration belongs to it.
            programs: compiled.
            shots: of each request of theirs; the variants of a request share them out. What a calibration takes comes on top.

        Returns:
            The variants.
        """

    @abstractmethod
    def combine(self, variants: Variants, outcomes: Outcomes) -> list[Distribution | Quasi]:
        """One outcome for each request of the programs, in order, from those of the variants."""

    def report(self, variants: Variants, outcomes: Outcomes) -> Report:
        """What is worth knowing of this run beside the outcomes."""
        return Report()

    def extra(self, model: Model, estimator: Estimator, products: Sequence[Product]) -> list[tuple[Reading, float]]:
        """Circuits to run beside those of one input, each with its shots as a share of the input's."""
        return []

    def finish(self, estimate: Estimate, extra: Sequence[tuple[Reading, Distribution | Quasi]]) -> Estimate:
        """The estimate of one input, corrected by its extra circuits, each with its outcome."""
        return estimate
