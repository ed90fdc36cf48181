"""Execution of prepared circuits: circuits in, mitigated distributions out, whatever is decoded from them afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import cirq

from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.compilation.placement import Placement
from hattriq_cirq.execution.engine import Call, Engine
from hattriq_cirq.pipeline.mitigation import Mitigated, Mitigation, MitigationSummary, Variants


@dataclass(frozen=True, eq=False)
class PreparedCircuits:
    """Compiled circuits with the variants that a mitigation needs, ready to run.

    Nothing here knows what the outcomes are for: attributions, calibrations and studies all decode them in their own way.

    Args:
        engine: Engine that runs them.
        programs: Compiled programs; together they hold the requests 0, 1, ... once each.
        shots: Repetitions of each request; None for exact probabilities.
        mitigation: Correction of the outcomes; None for no correction.

    Example:
        >>> import cirq
        >>> import hattriq_cirq as hq
        >>> q = cirq.LineQubit(0)
        >>> circuit = cirq.Circuit(cirq.X(q), cirq.measure(q))
        >>> PreparedCircuits.compile(hq.qsim(seed=1), [circuit], [100]).execute().outcomes[0].probabilities
        array([0., 1.])
    """

    engine: Engine
    programs: Sequence[ParameterizedCircuit]
    shots: Sequence[int] | None
    mitigation: Mitigation[Any] | None = None

    @classmethod
    def compile(
        cls,
        engine: Engine,
        circuits: Sequence[cirq.AbstractCircuit],
        shots: Sequence[int] | None,
        mitigation: Mitigation[Any] | None = None,
        *,
        placement: Placement | None = None,
        key: str | None = None,
    ) -> Self:
        """Compile circuits, or read their programs from the engine's journal if an interrupted run compiled them before.

        Args:
            engine: Engine that runs them.
            circuits: Logical circuits, each ending in one measurement.
            shots: Repetitions of each circuit; None for exact probabilities.
            mitigation: Correction of the outcomes; None for no correction.
            placement: Physical qubits of the logical ones; None chooses them by the first circuits.
            key: Key of the programs in the journal, which says what is run; None records no programs.

        Returns:
            The prepared circuits.

        Raises:
            CircuitRefusedError: The processor cannot run one of the circuits.
        """
        journal = engine.journal if key is not None and shots is not None and engine.processor is not None else None
        programs = None if journal is None or key is None else journal.programs(key)
        if programs is None:
            programs = engine.compile(circuits, placement)
            if journal is not None and key is not None:
                journal.record_programs(key, programs)
        return cls(engine, programs, shots, mitigation)

    @cached_property
    def variants(self) -> Variants[Any]:
        """Programs that are run in place of the compiled ones, with their shots."""
        if self.mitigation is None or not self.programs:
            return Variants(self.programs, self.shots, None)
        return self.mitigation.expand(self.engine, self.programs, self.shots)

    @property
    def requests(self) -> int:
        """Number of circuits that are run, with those of the mitigation."""
        return sum(len(program.requests) for program in self.variants.programs)

    @property
    def total_shots(self) -> int:
        """Number of shots of all circuits that are run; 0 for exact probabilities."""
        return sum(self.variants.shots or ())

    @property
    def two_qubit_gates(self) -> int:
        """Largest number of two-qubit gates of the compiled programs."""
        return max((multi_qubit_gates(program.circuit) for program in self.programs), default=0)

    def execute(self) -> Mitigated:
        """Run all variants and combine their outcomes.

        Returns:
            One outcome per circuit, in order, and the summary of the mitigation.

        Raises:
            EngineError: The engine could not run the circuits.
        """
        variants = self.variants
        call = self.engine.begin(variants.programs, variants.shots)
        outcomes = self.engine.complete(call)
        if self.mitigation is None or not self.programs:
            mitigated = Mitigated(list(outcomes), MitigationSummary())
        else:
            ran = replace(variants, programs=call.programs)
            mitigated = self.mitigation.combine(ran, outcomes)
        if notes := _origin_notes(call):
            summary = replace(mitigated.summary, notes=mitigated.summary.notes + notes)
            return replace(mitigated, summary=summary)
        return mitigated


def _origin_notes(call: Call) -> tuple[str, ...]:
    """Say where the circuits of a call come from if an earlier version of the library began the run."""
    if call.origin == "recorded":
        return ("Part of this run used circuits that an earlier version of hattriq_cirq compiled and recorded in the journal.",)
    if call.origin == "new in an earlier journal":
        return ("Part of this run was not begun when an earlier version of hattriq_cirq stopped; this version compiled it.",)
    return ()
