"""Test of two readout calibrations for drift."""

from __future__ import annotations

from dataclasses import dataclass

import cirq
import numpy as np

from calibration.readout.calibration import CalibrationError, ReadoutCalibration
from calibration.readout.correlated_calibration import fisher_p_values, format_p_value
from hattriq_cirq.foundation.checks import as_number, check_type
from hattriq_cirq.foundation.numerics import with_numpy_defaults


@dataclass(frozen=True)
class DriftVerdict:
    """The result of a comparison of two calibrations.

    Args:
        drifted: True if `p_value` is below the level.
        p_value: Smallest p-value of all rates, times the number of rates (Bonferroni).
        qubit: Qubit with the smallest p-value.
        state: Prepared state of that rate: 0 for e0, the probability that 0 is read as 1; 1 for e1.
        first: The rate in the first calibration.
        second: The rate in the second calibration.
        level: Probability of a false alarm, at most.

    Example:
        >>> verdict = DriftVerdict(True, 0.0004, cirq.GridQubit(4, 10), 1, 0.05, 0.07, 0.005)
        >>> print(verdict)
        readout drifted: e1 of q(4, 10) went from 0.0500 to 0.0700 (p = 0.0004); calibrate more often, or within the run
    """

    drifted: bool
    p_value: float
    qubit: cirq.Qid
    state: int
    first: float
    second: float
    level: float

    def __str__(self) -> str:
        figures = f"e{self.state} of {self.qubit} went from {self.first:.4f} to {self.second:.4f}"
        if self.drifted:
            return f"readout drifted: {figures} ({format_p_value(self.p_value)}); calibrate more often, or within the run"
        return f"no drift of readout at level {self.level:g}: at most {figures} ({format_p_value(self.p_value)})"


@with_numpy_defaults
def compare(first: ReadoutCalibration, second: ReadoutCalibration, level: float = 0.005) -> DriftVerdict:
    """Test two calibrations for a change of any error rate, by Fisher's exact test of each.

    Args:
        first: Counted calibration.
        second: Counted calibration of the same qubits, in any order.
        level: Largest probability of a false alarm over all rates together: p-values are multiplied by their number.

    Returns:
        The verdict, with the rate that has the smallest p-value.

    Raises:
        CalibrationError: The calibrations are of different qubits, or have known rates, without counts to compare.
        ValueError: The level is outside 0 .. 1.

    Example:
        >>> before, after = (
        ...     ReadoutCalibration.from_mapping({cirq.GridQubit(4, 10): (0.01, e1)}, shots=20_000) for e1 in (0.05, 0.07)
        ... )
        >>> compare(before, after).drifted
        True
    """
    for name, calibration in (("first", first), ("second", second)):
        check_type(calibration, name, ReadoutCalibration, "a ReadoutCalibration, as measure_readout gives it")
    level = as_number(level, "level", above=0, below=1, advice="be between 0 and 1")
    if set(first.qubits) != set(second.qubits):
        different = ", ".join(map(str, sorted(set(first.qubits) ^ set(second.qubits))))
        raise CalibrationError(f"calibrations must be of the same qubits to be compared; {different} are in one of them only")
    reordered = second.of(first.qubits)
    if first.counts is None or reordered.counts is None:
        raise CalibrationError("known rates have no counts to compare; measure both calibrations")
    tables = np.stack([first.counts, reordered.counts], axis=2)  # [qubit, prepared, calibration, observed]
    p_values = fisher_p_values(tables.reshape(-1, 2, 2))
    smallest = int(np.argmin(p_values))
    qubit, state = divmod(smallest, 2)
    p_value = min(1.0, float(p_values[smallest]) * len(p_values))
    before, after = (float(c.errors[qubit, state]) for c in (first, reordered))
    return DriftVerdict(p_value < level, p_value, first.qubits[qubit], state, before, after, level)
