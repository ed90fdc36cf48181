"""Whether two readout calibrations are of the same readout, or it drifted between them."""

from __future__ import annotations

from dataclasses import dataclass

import cirq
import numpy as np

from calibration.readout.calibration import CalibrationError, ReadoutCalibration
from calibration.readout.correlated_calibration import fisher, p_words


@dataclass(frozen=True)
class DriftVerdict:
    """What a comparison of two calibrations found.

    Args:
        drifted: whether `p_value` is below the level.
        p_value: of the rate that changed most tellingly, times the number of rates (Bonferroni).
        qubit: whose rate it is.
        state: 0 for e0, the chance that 0 is read as 1; 1 for e1.
        first: the rate before.
        second: the rate after.
        level: of false alarms.
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
            return f"readout drifted: {figures} ({p_words(self.p_value)}); calibrate more often, or within the run"
        return f"no drift of readout at level {self.level:g}: at most {figures} ({p_words(self.p_value)})"


def compare(first: ReadoutCalibration, second: ReadoutCalibration, level: float = 0.005) -> DriftVerdict:
    """Tests whether any e0 or e1 differs between two calibrations, by Fisher's exact test of each.

    Args:
        first: counted.
        second: counted, of the same qubits in any order.
        level: the chance of a false alarm over all rates together, at most: p-values are multiplied by their number. The
            default leaves room below 1 in 100.

    Returns:
        The verdict, with the rate whose change is most telling.

    Raises:
        CalibrationError: of other qubits, or known rates, which have no counts to compare.
        ValueError: a level outside 0 .. 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"{level=} must be between 0 and 1")
    if set(first.qubits) != set(second.qubits):
        apart = ", ".join(map(str, sorted(set(first.qubits) ^ set(second.qubits))))
        raise CalibrationError(f"calibrations must be of the same qubits to be compared; {apart} are in one of them only")
    same = second.of(first.qubits)
    if first.counts is None or same.counts is None:
        raise CalibrationError("known rates have no counts to compare; measure both calibrations")
    tables = np.stack([first.counts, same.counts], axis=2)  # [qubit, prepared, calibration, observed]
    chances = fisher(tables.reshape(-1, 2, 2))
    worst = int(np.argmin(chances))
    qubit, state = divmod(worst, 2)
    p_value = min(1.0, float(chances[worst]) * len(chances))
    before, after = (float(c.errors[qubit, state]) for c in (first, same))
    return DriftVerdict(p_value < level, p_value, first.qubits[qubit], state, before, after, level)
