"""Correction of readout errors by the full confusion of groups of qubits, within which errors may be correlated.

Confusion matrices are always indexed confusion[prepared, observed].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import cirq
import numpy as np

from calibration.readout.calibration import CalibrationError, ReadoutCalibration
from calibration.readout.correlated_calibration import (
    MAX_GROUP,
    CorrelatedCalibration,
    batch_verdict,
    correlation_test,
    from_patterns,
)
from calibration.readout.drift import compare
from calibration.readout.measure import basis_state_circuit, bit_patterns, measured_qubits, shots_per_pattern
from hattriq_cirq.circuits.deviation import ALL_KINDS, ErrorKind
from hattriq_cirq.circuits.linear_maps import LinearMap
from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution, SharedUncertainty
from hattriq_cirq.circuits.program import Programs, programs_of, surround
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import BoolArray, FloatArray
from hattriq_cirq.foundation.checks import as_count, check_type, set_fields
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.pipeline.mitigation import Mitigated, Mitigation, MitigationSummary, Outcomes, Variants


@dataclass(frozen=True, eq=False)
class _Group:
    """Neighbouring bits that are calibrated together, by circuits of the batch or by a given calibration."""

    qubits: tuple[cirq.Qid, ...]
    first: int
    given: CorrelatedCalibration | None


@dataclass(frozen=True, eq=False)
class _Register:
    """Qubits measured together: their groups, and the prepared states of their calibration circuits, (circuits, qubits)."""

    qubits: tuple[cirq.Qid, ...]
    groups: tuple[_Group, ...]
    patterns: BoolArray

    def calibrations(self, outcomes: Outcomes) -> list[CorrelatedCalibration]:
        """Return the calibration of each group, from outcomes of the circuits with these patterns, once or repeated."""
        patterns = np.concatenate([self.patterns] * (len(outcomes) // max(len(self.patterns), 1)) or [self.patterns])
        bits = [range(g.first, g.first + len(g.qubits)) for g in self.groups]
        return [g.given or from_patterns(g.qubits, b, patterns, outcomes) for g, b in zip(self.groups, bits, strict=True)]

    def assumptions(self, before: Outcomes, after: Outcomes) -> tuple[list[str], list[str]]:
        """Return notes and warnings on drift and on the independence of groups, from calibration circuits at both ends.

        A group's errors may depend on all of its bits, which are prepared in step with those of other groups: only flips within
        each prepared pattern are compared.
        """
        if len(self.groups) > 1 and any(group.given for group in self.groups):
            return ["independence of groups was not tested: given calibrations have no joint counts of different groups"], []
        counted = [o for o in (*before, *after) if isinstance(o, Distribution) and o.shots is not None]
        if not after or len(counted) < len(before) + len(after):
            return [], []
        first, last = (ReadoutCalibration.from_outcomes(self.qubits, self.patterns, part) for part in (before, after))
        notes = [str(compare(first, last))]
        if len(self.groups) == 1:
            return notes, []
        number = [k for k, group in enumerate(self.groups) for _ in group.qubits]
        apart = [(i, j) for i, j in combinations(range(len(number)), 2) if number[i] != number[j]]
        patterns = np.concatenate([self.patterns] * 2)
        verdict = batch_verdict(self.qubits, patterns, counted, apart, neighbours=False)
        if not verdict.correlated:
            return [*notes, f"between groups, {verdict}"], []
        cure = "CorrelatedReadout() assumes that groups are independent; use TwirledReadout() or larger groups"
        return notes, [f"between groups, {verdict}. {cure}"]


@dataclass(frozen=True)
class CorrelatedReadoutContext:
    """Position of the calibration circuits among the variants of `CorrelatedReadout`.

    Args:
        before: Number of calibration circuits before the data.
        after: Number of calibration circuits after the data.
    """

    before: int
    after: int


@dataclass(frozen=True)
class CorrelatedReadout(Mitigation[CorrelatedReadoutContext]):
    """Corrects readout errors by the full confusion of groups of bits; it is right for any errors within a group.

    Args:
        calibrations: Calibrations of groups that stand next to each other in what is measured; none measures them in each
            batch.
        group: Largest number of bits of a group in a batch, at most 5; measured bits are cut into groups of nearly equal sizes.
        shots: Shots in the batch in which each qubit is prepared as 0, and as many in which it is 1.

    Raises:
        CalibrationError: A group has no bits or too many, or there are no shots.

    Example:
        >>> import hattriq_cirq as hq
        >>> from calibration.testing import FaultyReadout
        >>> model, x = hq.ring_ansatz(2, 1), [0.1, 0.5, -0.3, 0.8]
        >>> engine = hq.sampler(FaultyReadout([*model.qubits, cirq.NamedQubit("ancilla0")], pairs=[(0, 1, 0.04)], seed=1))
        >>> options = dict(baseline=0, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=100_000)
        >>> hq.integrated_gradients(model, x, **options).values.round(2)
        array([-0.02,  0.23, -0.08, -0.62])
        >>> hq.integrated_gradients(model, x, mitigation=CorrelatedReadout(), **options).values.round(2)
        array([ 0.01,  0.25, -0.09, -0.64])
    """

    calibrations: tuple[CorrelatedCalibration, ...] = field(default=())
    group: int = field(default=MAX_GROUP, kw_only=True)
    shots: int = field(default=20_000, kw_only=True)

    def __post_init__(self) -> None:
        set_fields(self, group=as_count(self.group, "group", None), shots=as_count(self.shots, "shots", None))
        if not 1 <= self.group <= MAX_GROUP:
            raise CalibrationError(f"{self.group=} must be 1 to {MAX_GROUP} bits: 2**bits states are prepared")
        shots_per_pattern(self.shots, 2)
        check_type(self.calibrations, "calibrations", Sequence, "a sequence of CorrelatedCalibration, empty to measure them")
        for calibration in self.calibrations:
            check_type(calibration, "calibrations", CorrelatedCalibration, "a sequence of CorrelatedCalibration")
        set_fields(self, calibrations=tuple(self.calibrations))

    def describe(self) -> str:
        """Return the mitigation in a few words, for results."""
        if self.calibrations:
            return f"correlated readout by {quantity(len(self.calibrations), 'calibration')} of groups"
        return f"correlated readout in groups of {self.group}, {quantity(self.shots, 'shot')} a state"

    @property
    def leaves(self) -> frozenset[ErrorKind]:
        """Errors of gates and idle time stay."""
        return ALL_KINDS - {"readout"}

    def expand(self, engine: Engine, programs: Programs, shots: Sequence[int] | None) -> Variants[CorrelatedReadoutContext]:
        """Return the programs, and before and after them every state of each group of measured qubits, all groups at once.

        Raises:
            CalibrationError: The given calibrations are not of the measured qubits.
            ValueError: A circuit measures more than 20 bits.
        """
        circuits: list[cirq.FrozenCircuit] = []
        calibration_shots: list[int] = []
        for register in self._registers(measured_qubits(programs, purpose="the readout correction")):
            states = len(register.patterns)
            circuits += [basis_state_circuit(register.qubits, row) for row in register.patterns]
            calibration_shots += shots_per_pattern(self.shots, states, least=3) if states else []
        context = CorrelatedReadoutContext(len(circuits), 0 if shots is None else len(circuits))
        return Variants(*surround(programs, shots, programs_of(circuits), calibration_shots), context)

    def _registers(self, measured: Sequence[tuple[cirq.Qid, ...]]) -> Iterator[_Register]:
        """Yield each different register of measured qubits."""
        for qubits in dict.fromkeys(measured):
            groups = tuple(self._groups(qubits))
            states = 0 if self.calibrations else 2 ** max(len(group.qubits) for group in groups)
            rows = [bit_patterns(len(group.qubits), "full") for group in groups]
            patterns = np.concatenate([of_group[np.arange(states) % len(of_group)] for of_group in rows], axis=1)
            yield _Register(qubits, groups, patterns)

    def _groups(self, qubits: tuple[cirq.Qid, ...]) -> Iterator[_Group]:
        """Yield the groups of a register, in order."""
        if not self.calibrations:
            for part in np.array_split(np.arange(len(qubits)), -(-len(qubits) // self.group)):
                yield _Group(tuple(qubits[i] for i in part), int(part[0]), None)
            return
        first = 0
        while first < len(qubits):
            matching = [c for c in self.calibrations if set(qubits[first : first + len(c.qubits)]) == set(c.qubits)]
            if not matching:
                raise CalibrationError(
                    f"no calibration is of a group that begins with {qubits[first]} in {', '.join(map(str, qubits))}; measure "
                    "groups of neighbours in this order, or give none to have them measured"
                )
            group = qubits[first : first + len(matching[0].qubits)]
            yield _Group(group, first, matching[0].reordered(group))
            first += len(group)

    def combine(self, variants: Variants[CorrelatedReadoutContext], outcomes: Outcomes) -> Mitigated:
        """Return each outcome corrected, and the verdict on correlations in each group."""
        before, after = variants.context.before, variants.context.after
        end = len(outcomes) - after
        measured = measured_qubits(variants.programs)[before:end]
        calibrations, start = {}, 0
        notes: list[str] = []
        violated: list[str] = []
        for register in self._registers(measured):
            ends = [part[start : start + len(register.patterns)] for part in (outcomes[:before], outcomes[end:])]
            calibrations[register.qubits] = register.calibrations([outcome for part in ends for outcome in part])
            start += len(register.patterns)
            tested, contradicted = register.assumptions(*ends)
            notes += tested
            violated += contradicted
        data = zip(outcomes[before:end], measured, strict=True)
        corrected = [correct(outcome, calibrations[qubits]) for outcome, qubits in data]
        testable = [c for each in calibrations.values() for c in each if len(c.qubits) > 1 and c.shared is not None]
        notes = [*(str(correlation_test(c)) for c in testable), *notes]
        return Mitigated(corrected, MitigationSummary(notes=tuple(notes), warnings=tuple(violated)))


def correct(outcome: Distribution | QuasiDistribution, calibrations: Sequence[CorrelatedCalibration]) -> QuasiDistribution:
    """Return an outcome corrected by the confusions of groups of bits, linear in the counts.

    Args:
        outcome: Outcome that was counted, is exact, or comes from another mitigation.
        calibrations: Calibrations of consecutive groups, together of all bits; all outcomes that they correct share their
            entries. With q = A p and A the inverse of C.T, dq = -A dC.T q.
    """
    result = QuasiDistribution.from_outcome(outcome).mapped(LinearMap(tuple(c.inverse for c in calibrations)))
    shared: dict[SharedUncertainty, FloatArray] = dict(result.shared)
    before = 1
    for calibration in calibrations:
        states = len(calibration.rows)
        if calibration.shared is not None:
            slopes = -np.einsum("xy,arb->axbry", calibration.inverse, result.probabilities.reshape(before, states, -1))
            shared[calibration.shared] = shared.get(calibration.shared, 0.0) + slopes.reshape(-1, states**2)
        before *= states
    return replace(result, shared=shared)
