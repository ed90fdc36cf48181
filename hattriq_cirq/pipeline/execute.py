"""Execution of prepared circuits: circuits in, mitigated distributions out, whatever is decoded from them afterwards."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import cirq
import numpy as np

from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.circuits.deviation import ALL_KINDS, Deviation, ErrorKind
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.compilation.placement import Placement, acting_kinds, predicted_deviations
from hattriq_cirq.estimators.plan import Estimate
from hattriq_cirq.execution.engine import Call, Engine
from hattriq_cirq.execution.journal_format import call_key, circuits_key, digest
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.log import Log
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.pipeline.mitigation import Mitigated, Mitigation, MitigationSummary, Variants

log = Log("pipeline")
#: Note on the origin of a call's circuits if another version of the library, or another machine, began the run.
_ORIGIN_NOTES = {
    "recorded": (
        "Part of this run used circuits that an earlier version of hattriq_cirq, or another machine, recorded in the journal.",
    ),
    "new in an earlier journal": (
        "Part of this run was not begun when an earlier version of hattriq_cirq stopped; this version compiled it.",
    ),
}


@dataclass(frozen=True, eq=False)
class PreparedCircuits:
    """Compiled circuits with the variants that a mitigation needs, ready to run.

    Nothing here knows what the outcomes are for: attributions, calibrations and studies all decode them in their own way.

    Args:
        engine: Engine that runs them.
        programs: Compiled programs; together they hold the requests 0, 1, ... once each.
        shots: Repetitions of each request; None for exact probabilities.
        mitigation: Correction of the outcomes; None for no correction.
        key: Digest of the logical circuits and their placement, by which a journal knows them; None if they are not recorded.
        configuration: Index of the earlier configuration of the processor that ran them; None for the present one.

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
    key: str | None = None
    configuration: int | None = None

    @classmethod
    def finished(
        cls,
        engine: Engine,
        circuits: Sequence[cirq.AbstractCircuit],
        shots: Sequence[int] | None,
        mitigation: Mitigation[Any] | None,
        placement: Placement,
        configuration: int,
    ) -> Self | None:
        """Return circuits whose call an earlier configuration of the processor has finished; None if it has not.

        Args:
            engine: Engine with a journal.
            circuits: Logical circuits, as for `compile`.
            shots: Repetitions of each circuit.
            mitigation: Correction of the outcomes; None for no correction.
            placement: Placement on the earlier configuration.
            configuration: Index of that configuration in `journal.engines`.
        """
        key, journal = circuits_key(circuits, sorted(placement.qubits.values())), engine.journal
        programs = None if journal is None or key is None else journal.earlier_programs(configuration, key)
        if programs is None or journal is None:
            return None
        prepared = cls(engine, programs, shots, mitigation, key, configuration)
        return None if prepared.call_key is None or journal.configuration_of(prepared.call_key) is None else prepared

    @classmethod
    def compile(
        cls,
        engine: Engine,
        circuits: Sequence[cirq.AbstractCircuit],
        shots: Sequence[int] | None,
        mitigation: Mitigation[Any] | None = None,
        *,
        placement: Placement | None = None,
    ) -> Self:
        """Compile circuits, or read their programs from the engine's journal if an interrupted run compiled them before.

        Args:
            engine: Engine that runs them.
            circuits: Logical circuits, each ending in one measurement.
            shots: Repetitions of each circuit; None for exact probabilities.
            mitigation: Correction of the outcomes; None for no correction.
            placement: Physical qubits of the logical ones; None chooses them by the first circuits.

        Returns:
            The prepared circuits.

        Raises:
            CircuitRefusedError: The processor cannot run one of the circuits.
        """
        journal = None if shots is None else engine.journal
        key = (
            None if journal is None else circuits_key(circuits, () if placement is None else sorted(placement.qubits.values()))
        )
        programs = None if journal is None or key is None or engine.processor is None else journal.programs(key)
        if programs is not None:
            log.info("%s of the journal run %s", quantity(len(programs), "program"), quantity(len(circuits), "circuit"))
        else:
            start = time.monotonic()
            programs = engine.compile(circuits, placement)
            compiled = quantity(len(circuits), "circuit"), quantity(len(programs), "program")
            log.info("%s compiled to %s in %.1f s", *compiled, time.monotonic() - start)
            if journal is not None and key is not None and engine.processor is not None:
                journal.record_programs(key, programs)
        return cls(engine, programs, shots, mitigation, key)

    def as_begun(self, mitigation: Mitigation[Any] | None) -> Self:
        """Return these circuits with another mitigation if the journal holds their call with that one, else as they are."""
        journal, other = self.engine.journal, replace(self, mitigation=mitigation)
        if journal is None or self.key is None or mitigation is self.mitigation:
            return self
        begun = {call.key for call in journal.calls.values() if call.key.startswith(f"{self.key}-")}
        return other if journal.has_calls_of_earlier_version or (begun and other.call_key in begun) else self

    @cached_property
    def variants(self) -> Variants[Any]:
        """Programs that are run in place of the compiled ones, with their shots."""
        if self.mitigation is None or not self.programs:
            return Variants(self.programs, self.shots, None)
        with self.engine.at_configuration(self.configuration):
            return self.mitigation.expand(self.engine, self.programs, self.shots)

    @property
    def call_key(self) -> str | None:
        """Key by which a journal knows the call of all variants; None if the circuits are not recorded."""
        return None if self.key is None else call_key(self.key, self.variants.shots, self.mitigation)

    @property
    def is_recorded(self) -> bool:
        """True if the engine's journal records the call of all variants."""
        journal, shots = self.engine.journal, self.variants.shots
        if journal is None or shots is None or not journal.calls:
            return False
        key = self.call_key or digest(self.variants.programs, shots)
        return any(call.key == key for call in journal.calls.values())

    def plan(self, after: Collection[int] = ()) -> Call:
        """Return the call that `execute` makes, with its jobs; nothing is recorded and nothing is submitted.

        Args:
            after: Numbers of the calls of the engine that come before this one and are not completed yet.
        """
        return self.engine.plan_call(self.variants.programs, self.variants.shots, self.call_key, after=after)

    def record(self, after: Collection[int] = ()) -> Call:
        """Check all jobs and record them in the engine's journal, from which `execute` runs them; nothing is submitted.

        Args:
            after: Numbers of the calls of the engine that are recorded before this one and are not completed yet.

        Returns:
            The recorded call.

        Raises:
            ValueError: There are no shots, or the engine has no journal.
            CircuitRefusedError: The processor or its service would refuse a job.
        """
        return self.engine.record_call(self.variants.programs, self.variants.shots, self.call_key, after=after)

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

    @property
    def predicted_kinds(self) -> frozenset[ErrorKind]:
        """Kinds of the processor's errors that stay in the outcomes as its calibration predicts them."""
        processor = self.engine.processor
        kinds = self.engine.error_kinds & (ALL_KINDS if self.mitigation is None else self.mitigation.leaves)
        return kinds if processor is None else acting_kinds(processor, kinds)

    def predicted_deviations(self) -> tuple[Deviation, ...] | None:
        """Return what the processor's errors are predicted to leave in each outcome; None without a processor."""
        processor = self.engine.processor
        return None if processor is None else predicted_deviations(processor, self.programs, self.predicted_kinds)

    def execute(self) -> Mitigated:
        """Run all variants and combine their outcomes.

        Returns:
            One outcome per circuit, in order, and the summary of the mitigation.

        Raises:
            EngineError: The engine could not run the circuits.
        """
        variants = self.variants
        outcome = self.engine.execute_call(variants.programs, variants.shots, self.call_key)
        if self.mitigation is None or not self.programs:
            mitigated = Mitigated(list(outcome.distributions), MitigationSummary())
        else:
            mitigated = self.mitigation.combine(replace(variants, programs=outcome.programs), outcome.distributions)
        notes = mitigated.summary.notes + self.engine.notes + _ORIGIN_NOTES.get(outcome.origin, ())
        if self.variants.shots is not None and self.engine.journal is not None:
            notes += self.engine.journal.notes
        shots = sum(distribution.shots or 0 for distribution in outcome.distributions)
        summary = replace(mitigated.summary, notes=notes)
        return replace(mitigated, summary=summary, shots=shots, configuration=outcome.configuration)


class MeasuredArrays(NamedTuple):
    """Values of several estimates with their errors, in one shape.

    Args:
        values: Values.
        stderr: Standard error of each.
        rare_stderr: Standard deviation that outcomes too rare to have been counted add; None for exact probabilities.
        systematic: Standard deviation of what noise and its correction may leave; None where nothing is known of it.
    """

    values: FloatArray
    stderr: FloatArray
    rare_stderr: FloatArray | None
    systematic: FloatArray | None

    @classmethod
    def of(cls, estimates: Sequence[Estimate], engine: Engine, shots: int | None, shape: tuple[int, ...]) -> Self:
        """Return the values of estimates that an engine measured; `shots` is None for exact probabilities."""
        values, stderr, rare, systematic = (
            np.array([getattr(each, name) for each in estimates]).reshape(shape)
            for name in ("values", "stderr", "rare_stderr", "systematic")
        )
        nothing_known = engine.processor is None and not any(each.knows_systematic for each in estimates)
        return cls(values, stderr, None if shots is None else rare, None if nothing_known else systematic)
