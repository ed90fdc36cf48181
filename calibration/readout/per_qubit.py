"""Readout errors undone bit by bit: the inverse of a product of confusion matrices, with what its errors add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cirq
import numpy as np

from calibration.readout.calibration import CalibrationError, OnStale, ReadoutCalibration, source_of
from calibration.readout.drift import compare
from calibration.readout.measure import Pattern, at_both_ends, bit_patterns, readout_programs, shots_each
from hattriq_cirq.circuits.linear_maps import ProductOperator, applied
from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution
from hattriq_cirq.circuits.program import ParameterizedCircuit, only_measurement
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.pipeline.mitigation import Mitigation, MitigationSummary, Outcomes, Variants

_LEAST = 0.05  # of 1 - e0 - e1: below it, what a readout tells is not worth what its inverse costs


def inverse(calibration: ReadoutCalibration, qubits: Sequence[cirq.Qid]) -> ProductOperator:
    """What turns observed probabilities into prepared ones: the inverse of each qubit's transposed confusion matrix.

    observed = confusion.T @ prepared for [prepared, observed], and with d = 1 - e0 - e1 the inverse of confusion.T is
    [[1 - e1, -e1], [-e0, 1 - e0]] / d.

    Args:
        calibration: knows the qubits.
        qubits: in the order they are measured.

    Returns:
        The operator on (2**qubits,) measures.

    Raises:
        CalibrationError: a qubit it does not know, or one whose two states are read nearly alike.
    """
    factors = []
    for q, (e0, e1) in zip(qubits, calibration.of(qubits).errors.tolist(), strict=True):
        told = 1 - e0 - e1
        if told < _LEAST:
            raise CalibrationError(
                f"readout of {q} cannot be undone: e0 + e1 = {e0 + e1:.4f} of calibration {calibration.id} must be at most "
                f"{1 - _LEAST:g}; place the circuits on other qubits"
            )
        factors.append(np.array([[1 - e1, -e1], [-e0, 1 - e0]]) / told)
    return ProductOperator(tuple(factors))


def sensitivities(calibration: ReadoutCalibration, qubits: Sequence[cirq.Qid], corrected: FloatArray) -> FloatArray:
    """How corrected probabilities q change with each error rate of a calibration.

    As dA = -A d(confusion.T) A for the inverse A, dq/de0 = (1, -1) / d on a qubit's bit, times q where that bit is 0; and
    dq/de1 = (-1, 1) / d, times q where it is 1.

    Args:
        calibration: whose rates.
        qubits: in the order they are measured.
        corrected: (2**qubits,), q.

    Returns:
        (2**qubits, 2 rates of every qubit of the calibration), in the order of `calibration.shared`.
    """
    moved = np.zeros((len(corrected), 2 * len(calibration.qubits)))
    for i, q in enumerate(qubits):
        at = calibration.positions[q]
        bits = corrected.reshape(2**i, 2, -1)
        columns = moved.reshape(2**i, 2, -1, moved.shape[1])
        change = bits / (1 - calibration.errors[at].sum())
        columns[:, 0, :, 2 * at], columns[:, 1, :, 2 * at] = change[:, 0], -change[:, 0]
        columns[:, 0, :, 2 * at + 1], columns[:, 1, :, 2 * at + 1] = -change[:, 1], change[:, 1]
    return moved


def corrected(
    outcome: Distribution | QuasiDistribution, calibration: ReadoutCalibration, qubits: Sequence[cirq.Qid]
) -> QuasiDistribution:
    """An outcome with its readout errors undone: linear in the counts, never projected or sampled anew.

    Args:
        outcome: counted, exact, or what another mitigation made of counts.
        calibration: of the qubits, at least; its rates are shared by all outcomes that it corrects.
        qubits: in the order they were measured.

    Returns:
        The quasi-distribution.

    Raises:
        CalibrationError: see `inverse`.
    """
    undone = applied(inverse(calibration, qubits), outcome)
    if calibration.counts is None:
        return undone
    own = sensitivities(calibration, qubits, undone.probabilities)
    return replace(undone, shared={**undone.shared, calibration.shared: undone.shared.get(calibration.shared, 0.0) + own})


@dataclass(frozen=True)
class _Memory:
    """What `combine` needs of `expand`.

    Args:
        measured: the qubits of each request, in order.
        calibration: that was given; None for one that is in the batch.
        qubits: of the calibration circuits in the batch.
        ends: how many of these stand at the front, and how many at the end.
        source: whose readout it is.
    """

    measured: tuple[tuple[cirq.Qid, ...], ...]
    calibration: ReadoutCalibration | None
    qubits: tuple[cirq.Qid, ...]
    ends: tuple[int, int]
    source: Mapping[str, str]


@dataclass(frozen=True)
class Readout(Mitigation):
    """Undoes readout errors bit by bit, by a calibration that is given or measured in the same batch.

    Without a calibration its circuits run with the data, all patterns before them and all of them after, so that drift shows:
    what was counted at both ends corrects, and the difference between them is judged.

    Args:
        calibration: None measures the qubits of each batch.
        shots: of a calibration in the batch: in which each qubit is 0, and again as many in which it is 1.
        pattern: of the prepared bits, see `measure.bit_patterns`.
        max_age: hours that a given calibration may be old; None for any age.
        on_stale: what to do with an older one: `refuse`, or `warn`.
    """

    calibration: ReadoutCalibration | None = None
    shots: int = 20_000
    pattern: Pattern = "balanced"
    max_age: float | None = None
    on_stale: OnStale = "refuse"

    def __post_init__(self) -> None:
        bit_patterns(1, self.pattern)
        shots_each(self.shots, 2)
        if self.on_stale not in ("refuse", "warn"):
            raise CalibrationError(f"{self.on_stale=} must be 'refuse' or 'warn'")
        if self.max_age is not None and not self.max_age > 0:
            raise CalibrationError(f"{self.max_age=} must be a positive number of hours, or None")

    def describe(self) -> str:
        """The mitigation in a few words."""
        if self.calibration is not None:
            return f"readout by calibration {self.calibration.id}"
        return f"readout calibrated in the batch, {self.shots} shots a state, {self.pattern} patterns"

    def expand(self, engine: Engine, programs: Sequence[ParameterizedCircuit], shots: Sequence[int] | None) -> Variants:
        """The programs, between the two halves of a calibration if none was given.

        Raises:
            CalibrationError: the calibration does not belong here, or is too old.
        """
        measured = measured_qubits(programs)
        qubits = tuple(sorted({q for of_one in measured for q in of_one}))
        if self.calibration is not None:
            self.calibration.check(engine, qubits, self.max_age, self.on_stale)
            return Variants(programs, shots, _Memory(measured, self.calibration.of(qubits), (), (0, 0), {}))
        circuits = readout_programs(qubits, self.pattern)
        count = len(circuits)
        ends = (count, 0 if shots is None else count)
        front = circuits
        data = [replace(p, requests=tuple(r + count for r in p.requests)) for p in programs]
        last = [replace(p, requests=(count + len(measured) + i,)) for i, p in enumerate(circuits[: ends[1]])]
        memory = _Memory(measured, None, qubits, ends, source_of(engine))
        if shots is None:
            return Variants([*front, *data], None, memory)
        each = shots_each(self.shots, count, least=3)
        first, rest = at_both_ends(each)
        return Variants([*front, *data, *last], [*first, *shots, *rest], memory)

    def combine(self, variants: Variants, outcomes: Outcomes) -> list[Distribution | QuasiDistribution]:
        """Each outcome with its readout errors undone."""
        memory = variants.context
        assert isinstance(memory, _Memory)
        front, _ = memory.ends
        calibration = self._calibration(memory, outcomes)
        data = outcomes[front : front + len(memory.measured)]
        return [corrected(outcome, calibration, q) for outcome, q in zip(data, memory.measured, strict=True)]

    def report(self, variants: Variants, outcomes: Outcomes) -> MitigationSummary:
        """The calibration's id, its typical errors, and whether it drifted between the ends of the batch."""
        memory = variants.context
        assert isinstance(memory, _Memory)
        if self.calibration is not None:
            age = f"calibration {self.calibration.id} was {self.calibration.age_hours():.1f} hours old"
            return MitigationSummary(self.calibration.id, (age,))
        calibration = self._calibration(memory, outcomes)
        e0, e1 = np.median(calibration.errors, axis=0)
        notes = [f"readout of {len(memory.qubits)} qubits in the batch: median e0 {e0:.4f}, e1 {e1:.4f}"]
        if memory.ends[1]:
            ends = (outcomes[: memory.ends[0]], outcomes[len(outcomes) - memory.ends[1] :])
            first, second = (self._measured(memory, of_end) for of_end in ends)
            notes.append(str(compare(first, second)))
        return MitigationSummary(calibration.id, tuple(notes))

    def _calibration(self, memory: _Memory, outcomes: Outcomes) -> ReadoutCalibration:
        """The one that was given, or the one that the batch holds."""
        front, end = memory.ends
        return memory.calibration or self._measured(memory, [*outcomes[:front], *outcomes[len(outcomes) - end :]])

    def _measured(self, memory: _Memory, outcomes: Outcomes) -> ReadoutCalibration:
        patterns = bit_patterns(len(memory.qubits), self.pattern)
        repeated = np.concatenate([patterns] * (len(outcomes) // len(patterns)))
        return ReadoutCalibration.from_outcomes(memory.qubits, repeated, outcomes, source=memory.source, pattern=self.pattern)


def measured_qubits(programs: Sequence[ParameterizedCircuit]) -> tuple[tuple[cirq.Qid, ...], ...]:
    """The qubits that each request measures, in the order of its bits; requests 0, 1, ...

    Raises:
        ValueError: a measurement that inverts bits.
    """
    found: dict[int, tuple[cirq.Qid, ...]] = {}
    for program in programs:
        measurement = only_measurement(program.circuit)
        assert isinstance(measurement.gate, cirq.MeasurementGate)
        if any(measurement.gate.full_invert_mask()):
            raise ValueError(f"{measurement} inverts bits after reading them; put X before it to flip them")
        found |= dict.fromkeys(program.requests, measurement.qubits)
    return tuple(found[request] for request in sorted(found))
