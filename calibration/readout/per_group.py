"""Readout errors undone by the full confusion of groups of qubits: right where the errors within a group are correlated.

One convention everywhere: confusion[prepared, observed].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import cirq
import numpy as np
from numpy.typing import NDArray

from calibration.readout.calibration import CalibrationError
from calibration.readout.correlated_calibration import (
    MOST,
    CorrelatedCalibration,
    CorrelationVerdict,
    correlation_test,
    from_patterns,
    measure_correlated,
)
from calibration.readout.measure import at_both_ends, bit_patterns, prepared, shots_each
from calibration.readout.per_qubit import measured_qubits
from hattriq_cirq.circuits.linear_maps import ProductOperator, applied
from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution, SharedUncertainty
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.pipeline.mitigation import Mitigation, MitigationSummary, Outcomes, Variants

__all__ = [
    "CorrelatedCalibration",
    "CorrelatedReadout",
    "CorrelationVerdict",
    "corrected",
    "correlation_test",
    "measure_correlated",
]


@dataclass(frozen=True, eq=False)
class _Group:
    """Bits of a register that are calibrated as one, by circuits of the batch or by a calibration that was given."""

    qubits: tuple[cirq.Qid, ...]
    first: int
    given: CorrelatedCalibration | None


@dataclass(frozen=True, eq=False)
class _Register:
    """Qubits measured together: their groups, the patterns of their calibration circuits, and where among all these are."""

    groups: tuple[_Group, ...]
    patterns: NDArray[np.bool_]
    where: slice


@dataclass(frozen=True, eq=False)
class _Memory:
    """The qubits of each request; their registers; calibration circuits at each end, and at how many ends they are."""

    measured: tuple[tuple[cirq.Qid, ...], ...]
    registers: dict[tuple[cirq.Qid, ...], _Register]
    count: int
    ends: int


@dataclass(frozen=True)
class CorrelatedReadout(Mitigation):
    """Undoes readout errors group by group of bits, by the full confusion of each: right for whatever happens within a group.

    Args:
        calibrations: of groups that stand next to each other in what is measured; none measures them in each batch.
        group: bits of a group in a batch, at most 5; measured bits are cut into groups of nearly equal sizes.
        shots: in the batch, in which each qubit is 0, and again as many in which it is 1.

    Raises:
        CalibrationError: a group of no or too many bits, or no shots.
    """

    calibrations: tuple[CorrelatedCalibration, ...] = field(default=())
    group: int = field(default=MOST, kw_only=True)
    shots: int = field(default=20_000, kw_only=True)

    def __post_init__(self) -> None:
        if not 1 <= self.group <= MOST:
            raise CalibrationError(f"{self.group=} must be 1 to {MOST} bits: 2**bits states are prepared")
        shots_each(self.shots, 2)
        object.__setattr__(self, "calibrations", tuple(self.calibrations))

    def describe(self) -> str:
        """The mitigation in a few words, for results."""
        if self.calibrations:
            return f"correlated readout by {len(self.calibrations)} calibrations of groups"
        return f"correlated readout in groups of {self.group}, {self.shots} shots a state"

    def expand(self, engine: Engine, programs: Sequence[ParameterizedCircuit], shots: Sequence[int] | None) -> Variants:
        """The programs, and before and after them every state of each group of measured qubits, all groups at once.

        Raises:
            CalibrationError: the calibrations given are not of the measured qubits.
        """
        measured = measured_qubits(programs)
        registers: dict[tuple[cirq.Qid, ...], _Register] = {}
        circuits: list[cirq.FrozenCircuit] = []
        first: list[int] = []
        rest: list[int] = []
        for qubits in dict.fromkeys(measured):
            groups = tuple(self._groups(qubits))
            states = 0 if self.calibrations else 2 ** max(len(group.qubits) for group in groups)
            of_groups = [bit_patterns(len(group.qubits), "full") for group in groups]
            patterns = np.concatenate([rows[np.arange(states) % len(rows)] for rows in of_groups], axis=1)
            registers[qubits] = _Register(groups, patterns, slice(len(circuits), len(circuits) + states))
            circuits += [prepared(qubits, row) for row in patterns]
            each = shots_each(self.shots, states, least=3) if states else []
            front, end = at_both_ends(each)
            first += front
            rest += end
        count = len(circuits)
        made = [ParameterizedCircuit(circuit, (i,)) for i, circuit in enumerate(circuits)]
        made += [replace(program, requests=tuple(r + count for r in program.requests)) for program in programs]
        if shots is None:
            return Variants(made, None, _Memory(measured, registers, count, 1))
        made += [ParameterizedCircuit(circuit, (count + len(measured) + i,)) for i, circuit in enumerate(circuits)]
        return Variants(made, [*first, *shots, *rest], _Memory(measured, registers, count, 2))

    def _groups(self, qubits: tuple[cirq.Qid, ...]) -> Iterator[_Group]:
        """The groups of a register, in order."""
        if not self.calibrations:
            for part in np.array_split(np.arange(len(qubits)), -(-len(qubits) // self.group)):
                yield _Group(tuple(qubits[i] for i in part), int(part[0]), None)
            return
        first = 0
        while first < len(qubits):
            here = [c for c in self.calibrations if set(qubits[first : first + len(c.qubits)]) == set(c.qubits)]
            if not here:
                raise CalibrationError(
                    f"no calibration is of a group that begins with {qubits[first]} in {', '.join(map(str, qubits))}; measure "
                    "groups of neighbours in this order, or give none to have them measured"
                )
            group = qubits[first : first + len(here[0].qubits)]
            yield _Group(group, first, here[0].ordered(group))
            first += len(group)

    def _calibrations(self, memory: _Memory, outcomes: Outcomes) -> dict[tuple[cirq.Qid, ...], list[CorrelatedCalibration]]:
        ends = [outcomes[: memory.count], outcomes[len(outcomes) - memory.count :]][: memory.ends]
        found = {}
        for qubits, register in memory.registers.items():
            ran = [outcome for end in ends for outcome in end[register.where]]
            patterns = np.concatenate([register.patterns] * memory.ends)
            found[qubits] = [
                g.given or from_patterns(g.qubits, range(g.first, g.first + len(g.qubits)), patterns, ran)
                for g in register.groups
            ]
        return found

    def combine(self, variants: Variants, outcomes: Outcomes) -> list[Distribution | QuasiDistribution]:
        """Each outcome with its readout errors undone."""
        memory = variants.context
        assert isinstance(memory, _Memory)
        found = self._calibrations(memory, outcomes)
        data = outcomes[memory.count : memory.count + len(memory.measured)]
        return [corrected(outcome, found[qubits]) for outcome, qubits in zip(data, memory.measured, strict=True)]

    def report(self, variants: Variants, outcomes: Outcomes) -> MitigationSummary:
        """Whether the readout of each group is correlated."""
        memory = variants.context
        assert isinstance(memory, _Memory)
        found = [c for of_one in self._calibrations(memory, outcomes).values() for c in of_one]
        testable = [c for c in found if len(c.qubits) > 1 and c.shared is not None]
        return MitigationSummary(notes=tuple(str(correlation_test(c)) for c in testable))


def corrected(outcome: Distribution | QuasiDistribution, calibrations: Sequence[CorrelatedCalibration]) -> QuasiDistribution:
    """An outcome with its readout errors undone by the confusions of groups of bits, linear in the counts.

    Args:
        outcome: counted, exact, or what another mitigation made of counts.
        calibrations: of consecutive bits, together all of them; their entries are shared by all outcomes they correct. With
            q = A p and A the inverse of C.T, dq = -A dC.T q.

    Returns:
        The quasi-distribution.
    """
    made = applied(ProductOperator(tuple(c.inverse for c in calibrations)), outcome)
    shared: dict[SharedUncertainty, FloatArray] = dict(made.shared)
    undone, before = made.probabilities, 1
    for calibration in calibrations:
        states = len(calibration.rows)
        if calibration.shared is not None:
            moved = -np.einsum("xy,arb->axbry", calibration.inverse, undone.reshape(before, states, -1))
            own = moved.reshape(len(undone), states**2)
            shared[calibration.shared] = shared.get(calibration.shared, 0.0) + own
        before *= states
    return replace(made, shared=shared)
