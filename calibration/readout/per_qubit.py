"""Correction of readout errors qubit by qubit: the inverse of a product of confusion matrices, with its calibration's error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations, pairwise

import cirq
import numpy as np

from calibration.readout.calibration import CalibrationError, OnStale, ReadoutCalibration, source_of
from calibration.readout.correlated_calibration import batch_verdict
from calibration.readout.drift import compare
from calibration.readout.measure import Pattern, bit_patterns, measured_qubits, readout_circuits, shots_per_pattern
from hattriq_cirq.circuits.deviation import ALL_KINDS, Deviation, ErrorKind, Residual, attach
from hattriq_cirq.circuits.linear_maps import LinearMap
from hattriq_cirq.circuits.outcomes import MAX_DENSE_BITS, Distribution, QuasiDistribution
from hattriq_cirq.circuits.program import Programs, programs_of, surround
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.checks import as_count, as_number, check_type, set_fields
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.pipeline.mitigation import Mitigated, Mitigation, MitigationSummary, Outcomes, Variants

_SMALLEST_DETERMINANT = 0.05  # of a confusion matrix, 1 - e0 - e1: below it, inverting multiplies the variance by over 400


def inverse_map(calibration: ReadoutCalibration, qubits: Sequence[cirq.Qid]) -> LinearMap:
    """Return the map from observed to prepared probabilities: the inverse of each qubit's transposed confusion matrix.

    observed = confusion.T @ prepared for [prepared, observed], and with d = 1 - e0 - e1 the inverse of confusion.T is
    [[1 - e1, -e1], [-e0, 1 - e0]] / d.

    Args:
        calibration: Calibration of the qubits, perhaps among others.
        qubits: Qubits in the order in which they are measured.

    Returns:
        Map of measures (2**qubits,).

    Raises:
        CalibrationError: The calibration lacks a qubit, or the two states of a qubit are read nearly alike.

    Example:
        >>> qubit = cirq.GridQubit(4, 10)
        >>> calibration = ReadoutCalibration.from_mapping({qubit: (0.02, 0.1)})
        >>> inverse_map(calibration, [qubit]).apply(np.array([0.1, 0.9])).round(12) + 0
        array([0., 1.])
    """
    return _inverse_map(calibration, tuple(qubits))


@lru_cache(maxsize=64)
def _inverse_map(calibration: ReadoutCalibration, qubits: tuple[cirq.Qid, ...]) -> LinearMap:
    """Return `inverse_map`, one value for all outcomes of a run."""
    factors = []
    for q, (e0, e1) in zip(qubits, calibration.of(qubits).errors.tolist(), strict=True):
        determinant = 1 - e0 - e1
        if determinant < _SMALLEST_DETERMINANT:
            raise CalibrationError(
                f"readout of {q} cannot be inverted: e0 + e1 = {e0 + e1:.4f} of calibration {calibration.id} must be at most "
                f"{1 - _SMALLEST_DETERMINANT:g}; place the circuits on other qubits"
            )
        factors.append(np.array([[1 - e1, -e1], [-e0, 1 - e0]]) / determinant)
    return LinearMap(tuple(factors))


def sensitivities(calibration: ReadoutCalibration, qubits: Sequence[cirq.Qid], corrected: FloatArray) -> FloatArray:
    """Return the derivatives of corrected probabilities q by each error rate of a calibration.

    As dA = -A d(confusion.T) A for the inverse A, dq/de0 = (1, -1) / d on a qubit's bit, times q where that bit is 0; and
    dq/de1 = (-1, 1) / d, times q where it is 1.

    Args:
        calibration: Calibration with the rates.
        qubits: Qubits in the order in which they are measured.
        corrected: Corrected probabilities q, (2**qubits,).

    Returns:
        Array (2**qubits, 2 rates of every qubit of the calibration), its columns in the order of `calibration.shared`.
    """
    slopes = np.zeros((len(corrected), 2 * len(calibration.qubits)))
    for i, q in enumerate(qubits):
        position = calibration.positions[q]
        bits = corrected.reshape(2**i, 2, -1)
        columns = slopes.reshape(2**i, 2, -1, slopes.shape[1])
        change = bits / (1 - calibration.errors[position].sum())
        columns[:, 0, :, 2 * position], columns[:, 1, :, 2 * position] = change[:, 0], -change[:, 0]
        columns[:, 0, :, 2 * position + 1], columns[:, 1, :, 2 * position + 1] = -change[:, 1], change[:, 1]
    return slopes


def correct(
    outcome: Distribution | QuasiDistribution, calibration: ReadoutCalibration, qubits: Sequence[cirq.Qid]
) -> QuasiDistribution:
    """Return an outcome with its readout errors corrected: linear in the counts, without projection or resampling.

    Args:
        outcome: Outcome that was counted, is exact, or comes from another mitigation.
        calibration: Calibration of the qubits, perhaps among others; all outcomes that it corrects share its rates.
        qubits: Qubits in the order in which they were measured.

    Raises:
        CalibrationError: See `inverse_map`.
    """
    result = QuasiDistribution.from_outcome(outcome).mapped(inverse_map(calibration, qubits))
    if calibration.counts is None:
        return result
    slopes = sensitivities(calibration, qubits, result.probabilities)
    return replace(result, shared={**result.shared, calibration.shared: result.shared.get(calibration.shared, 0.0) + slopes})


@dataclass(frozen=True)
class ReadoutContext:
    """Position of the calibration circuits among the variants of `Readout`.

    Args:
        before: Number of calibration circuits before the data.
        after: Number of calibration circuits after the data.
        source: Origin of the calibration, see `ReadoutCalibration`.
    """

    before: int
    after: int
    source: Mapping[str, str]


@dataclass(frozen=True)
class Readout(Mitigation[ReadoutContext]):
    """Corrects readout errors qubit by qubit, by a given calibration or by one measured in the same batch.

    It is right where the errors of different qubits are independent. A calibration within the batch is taken half before and
    half after the data: the counts of both ends correct the data, the difference between the ends is tested for drift, and the
    errors of all pairs of qubits are tested for independence (at most one false alarm in 1,000 batches). The
    result says what was found. An `AssumptionWarning` names qubits whose errors are correlated, and the systematic part of
    errors is then what the correction leaves in the calibration's own states.

    Args:
        calibration: Calibration to use; None measures the qubits of each batch.
        shots: Shots of a calibration in the batch in which each qubit is prepared as 0, and as many in which it is 1.
        pattern: Pattern of the prepared bits, see `measure.bit_patterns`.
        max_age: Largest age of a given calibration in hours; None for any age.
        on_stale: Reaction to an older calibration: `refuse`, or `warn`.

    Raises:
        CalibrationError: A setting is out of range.

    Example:
        >>> import hattriq_cirq as hq
        >>> from calibration.testing import FaultyReadout
        >>> engine = hq.sampler(FaultyReadout(e0=0.02, e1=0.1, seed=1))
        >>> options = dict(baseline=0, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=100_000)
        >>> model, x = hq.ring_ansatz(2, 1), [0.1, 0.5, -0.3, 0.8]
        >>> hq.integrated_gradients(model, x, baseline=0).values
        array([ 0.01,  0.25, -0.09, -0.64])
        >>> hq.integrated_gradients(model, x, **options).values.round(2)
        array([ 0.02,  0.16, -0.11, -0.42])
        >>> hq.integrated_gradients(model, x, mitigation=Readout(), **options).values.round(2)
        array([ 0.01,  0.25, -0.09, -0.64])
    """

    calibration: ReadoutCalibration | None = None
    shots: int = 20_000
    pattern: Pattern = "balanced"
    max_age: float | None = None
    on_stale: OnStale = "refuse"

    def __post_init__(self) -> None:
        advice = "a ReadoutCalibration, such as that of calibration.measure_readout, or None to measure one"
        check_type(self.calibration, "calibration", ReadoutCalibration | None, advice)
        bit_patterns(1, self.pattern)
        set_fields(self, shots=as_count(self.shots, "shots", None))
        shots_per_pattern(self.shots, 2)
        if self.on_stale not in ("refuse", "warn"):
            raise CalibrationError(f"{self.on_stale=} must be 'refuse' or 'warn'")
        try:
            if self.max_age is not None:
                as_number(self.max_age, "max_age", above=0, advice="be a positive number of hours, or None")
        except ValueError as error:
            raise CalibrationError(str(error)) from error

    def describe(self) -> str:
        """Return the mitigation in a few words."""
        if self.calibration is not None:
            return f"readout by calibration {self.calibration.id}"
        return f"readout calibrated in the batch, {quantity(self.shots, 'shot')} a state, {self.pattern} patterns"

    @property
    def leaves(self) -> frozenset[ErrorKind]:
        """Errors of gates and idle time stay; correlated readout errors are tested for."""
        return ALL_KINDS - {"readout"}

    def expand(self, engine: Engine, programs: Programs, shots: Sequence[int] | None) -> Variants[ReadoutContext]:
        """Return the programs, between the two halves of a calibration if none was given.

        Raises:
            CalibrationError: The calibration does not belong to this engine, or is too old.
            ValueError: A circuit measures more than 20 bits.
        """
        qubits = _union(measured_qubits(programs, purpose="the readout correction"))
        if self.calibration is not None:
            self.calibration.check(engine, qubits, self.max_age, self.on_stale)
            return Variants(programs, shots, ReadoutContext(0, 0, {}))
        circuits = readout_circuits(qubits, self.pattern)
        count = len(circuits)
        counts = shots_per_pattern(self.shots, count, least=3)
        context = ReadoutContext(count, 0 if shots is None else count, source_of(engine))
        return Variants(*surround(programs, shots, programs_of(circuits), counts), context)

    def combine(self, variants: Variants[ReadoutContext], outcomes: Outcomes) -> Mitigated:
        """Return each outcome corrected, the calibration's id, its typical errors, and the verdict on drift."""
        context = variants.context
        end = len(outcomes) - context.after
        violated: tuple[str, ...] = ()
        measured = measured_qubits(variants.programs)
        if self.calibration is not None:
            calibration = self.calibration.of(_union(measured))
            notes = [
                f"calibration {self.calibration.id} was {self.calibration.age_hours():.1f} hours old",
                "independence of readout errors was not tested: a given calibration has no joint counts of pairs of qubits",
            ]
            identifier = self.calibration.id
        else:
            qubits, parts = measured[0], (outcomes[: context.before], outcomes[end:])
            calibrations = [self._measured(qubits, part, context.source) for part in parts if part]
            calibration = ReadoutCalibration.pooled(calibrations)
            e0, e1 = np.median(calibration.errors, axis=0)
            notes = [f"readout of {quantity(len(qubits), 'qubit')} in the batch: median e0 {e0:.4f}, e1 {e1:.4f}"]
            notes += [str(compare(first, second)) for first, second in pairwise(calibrations)]
            tested, violated = self._independence(qubits, [*outcomes[: context.before], *outcomes[end:]])
            notes += tested
            identifier = calibration.id
        data = zip(outcomes[context.before : end], measured[context.before : end], strict=True)
        corrected: list[Distribution | QuasiDistribution] = [correct(outcome, calibration, bits) for outcome, bits in data]
        if violated and len(measured[0]) > MAX_DENSE_BITS:
            notes.append(f"what the correction leaves is not known for more than {MAX_DENSE_BITS} qubits together")
        elif violated:
            left = self._left_of_states(measured[0], calibration, [*outcomes[: context.before], *outcomes[end:]])
            corrected = attach(corrected, [left] * len(corrected))
            notes.append(
                f"the correction leaves a spread of {100 * left.spread:.1f}% in the calibration's own states, which is the "
                "systematic part of errors of readout"
            )
        return Mitigated(corrected, MitigationSummary(identifier, tuple(notes), violated, calibration.rates))

    def _left_of_states(self, qubits: Sequence[cirq.Qid], calibration: ReadoutCalibration, outcomes: Outcomes) -> Deviation:
        """Return the deviation of the corrected outcomes of calibration circuits from the states that they prepare."""
        rows = bit_patterns(len(qubits), self.pattern)
        residuals = []
        for i, row in enumerate(rows):
            pooled = Distribution.merged([o for o in outcomes[i :: len(rows)] if isinstance(o, Distribution)])
            state = np.zeros(2 ** len(qubits))
            state[int("".join(map(str, row.astype(int))), 2)] = 1
            found = correct(pooled, calibration, qubits)
            residuals.append(Residual(found.probabilities - state, state - 1 / len(state), found.total_variance))
        return Deviation.measured(residuals)

    def _independence(self, qubits: Sequence[cirq.Qid], outcomes: Outcomes) -> tuple[list[str], tuple[str, ...]]:
        """Return notes and warnings on the independence of readout errors, as calibration circuits show it."""
        counted = [o for o in outcomes if isinstance(o, Distribution) and o.shots is not None]
        if len(qubits) < 2 or len(counted) < len(outcomes):
            return [], ()
        rows = bit_patterns(len(qubits), self.pattern)
        patterns = np.concatenate([rows] * (len(outcomes) // len(rows)))
        pairs = list(combinations(range(len(qubits)), 2))
        verdict = batch_verdict(qubits, patterns, counted, pairs, neighbours=True)
        if not verdict.correlated:
            return [str(verdict)], ()
        return [], (f"{verdict}. Readout() assumes independent errors; use TwirledReadout() or CorrelatedReadout()",)

    def _measured(self, qubits: Sequence[cirq.Qid], outcomes: Outcomes, source: Mapping[str, str]) -> ReadoutCalibration:
        patterns = bit_patterns(len(qubits), self.pattern)
        return ReadoutCalibration.from_outcomes(qubits, patterns, outcomes, source=source, pattern=self.pattern)


def _union(measured: Sequence[Sequence[cirq.Qid]]) -> tuple[cirq.Qid, ...]:
    """Return all measured qubits, sorted."""
    return tuple(sorted({q for qubits in measured for q in qubits}))
