"""What an engine is to the rest of the library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cirq

from hattriq_cirq.outcomes import Distribution


class Engine(Protocol):
    """Runs circuits that end in one measurement each."""

    @property
    def name(self) -> str:
        """What results say they were run on."""

    @property
    def seed(self) -> int | None:
        """The seed of everything random in it; None where there is none."""

    def run(self, circuits: Sequence[cirq.Circuit], shots: Sequence[int] | None) -> list[Distribution]:
        """Runs each circuit.

        Args:
            circuits: each ends in one measurement.
            shots: repetitions of each; None for exact probabilities, where the engine can give them.

        Returns:
            A distribution over the measured bits of each circuit, in order.

        Raises:
            ValueError: a circuit or a number of shots that this engine cannot run.
        """
