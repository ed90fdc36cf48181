"""Readout of a few qubits as one: the confusion of all their states, and whether it is a product.

One convention everywhere: confusion[prepared, observed].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import cirq
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag
from scipy.sparse import csr_array, eye_array
from scipy.stats import hypergeom

from calibration.readout.calibration import CalibrationError
from calibration.readout.measure import bit_patterns, readout_programs, shots_each
from hattriq_cirq.circuits.outcomes import Distribution, SharedUncertainty
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import FloatArray, read_only
from hattriq_cirq.pipeline.mitigation import Outcomes

MOST = 5
"""Qubits of a group: its confusion takes 2**qubits circuits, and its error 4**qubits numbers an outcome."""
_LEAST = 0.05  # the smallest singular value of a confusion that is inverted


@dataclass(frozen=True, eq=False)
class CorrelatedCalibration:
    """How a group of qubits is read, for every state that it is prepared in.

    Args:
        qubits: at most 5, in order.
        rows: (2**qubits) distributions, of what is observed in each prepared state, big-endian.

    Raises:
        CalibrationError: no qubits, too many, rows of another shape, or a confusion too close to singular.
    """

    qubits: tuple[cirq.Qid, ...]
    rows: tuple[Distribution, ...]

    def __post_init__(self) -> None:
        n = len(self.qubits)
        if not 1 <= n <= MOST or len(set(self.qubits)) != n:
            raise CalibrationError(
                f"{self.qubits=} are {n} qubits; a full confusion is of 1 to {MOST} different ones: use smaller groups"
            )
        shapes = {row.probabilities.shape for row in self.rows}
        if len(self.rows) != 2**n or shapes != {(2**n,)}:
            raise CalibrationError(f"{len(self.rows)} rows of shapes {shapes} must be {2**n} rows of ({2**n},)")

    @cached_property
    def confusion(self) -> FloatArray:
        """(2**qubits, 2**qubits), [prepared, observed]; rows sum to 1."""
        return read_only(np.array([row.probabilities for row in self.rows]))

    @cached_property
    def inverse(self) -> FloatArray:
        """(2**qubits, 2**qubits), of the transposed confusion: what turns observed probabilities into prepared ones.

        Raises:
            CalibrationError: two of the states, or mixtures of them, are read nearly alike.
        """
        least = float(np.linalg.svd(self.confusion, compute_uv=False).min())
        if least < _LEAST:
            raise CalibrationError(
                f"the confusion of {', '.join(map(str, self.qubits))} has a singular value of {least:.4f}, must be at least "
                f"{_LEAST}; take more shots, other qubits, or smaller groups"
            )
        return read_only(np.asarray(np.linalg.inv(self.confusion.T), dtype=float))

    @cached_property
    def shared(self) -> SharedUncertainty | None:
        """The covariance of the confusion's entries, row by row, (4**qubits, 4**qubits); None where they are exact."""
        if any(row.shots is None for row in self.rows):
            return None
        every = csr_array(eye_array(len(self.rows)))
        return SharedUncertainty(block_diag(*(row.covariance(every) for row in self.rows)))

    def ordered(self, qubits: Sequence[cirq.Qid]) -> CorrelatedCalibration:
        """The same calibration with its qubits in another order."""
        if tuple(qubits) == self.qubits:
            return self
        axes = [self.qubits.index(q) for q in qubits]
        index = np.arange(len(self.rows)).reshape((2,) * len(axes)).transpose(axes).reshape(-1)
        rows = tuple(Distribution(self.rows[i].probabilities[index], self.rows[i].shots) for i in index)
        return CorrelatedCalibration(tuple(qubits), rows)


def measure_correlated(engine: Engine, qubits: Sequence[cirq.Qid], shots: int | None = 20_000) -> CorrelatedCalibration:
    """Measures the confusion of all states of a group of qubits.

    Args:
        engine: what reads them.
        qubits: of its processor, 1 to 5.
        shots: in which each qubit is 0, and again as many in which it is 1, shared out among the 2**qubits states; None for
            exact probabilities, where the engine can give them.

    Returns:
        The calibration.

    Raises:
        CalibrationError: too many qubits, or no shots.
        EngineError: the engine could not run the circuits.
    """
    if not 1 <= len(qubits) <= MOST:
        raise CalibrationError(f"{len(qubits)} qubits have 2**{len(qubits)} states; a group has 1 to {MOST}: measure several")
    programs = readout_programs(qubits, "full")
    outcomes = engine.execute(programs, None if shots is None else shots_each(shots, len(programs)))
    return from_patterns(qubits, range(len(qubits)), bit_patterns(len(qubits), "full"), outcomes)


def from_patterns(
    qubits: Sequence[cirq.Qid], bits: Sequence[int], patterns: NDArray[np.bool_], outcomes: Outcomes
) -> CorrelatedCalibration:
    """The confusion of a group of qubits from circuits that prepared and measured it, perhaps among others.

    Args:
        qubits: of the group, in order.
        bits: their positions among all that was measured.
        patterns: (circuits, measured), which were prepared as 1; every state of the group at least once.
        outcomes: one a circuit.

    Returns:
        The calibration.

    Raises:
        CalibrationError: outcomes that another mitigation has changed.
    """
    width = patterns.shape[1]
    rest = tuple(i for i in range(width) if i not in bits)
    parts: dict[int, list[Distribution]] = {}
    for pattern, outcome in zip(patterns, outcomes, strict=True):
        if not isinstance(outcome, Distribution):
            raise CalibrationError(
                "calibration circuits were changed by another mitigation; in a pipeline put the readout last"
            )
        marginal = outcome.probabilities.reshape((2,) * width).sum(axis=rest).reshape(-1)
        state = int("".join(str(int(pattern[bit])) for bit in bits), 2)
        parts.setdefault(state, []).append(Distribution(marginal, outcome.shots))
    exact = any(part.shots is None for of_state in parts.values() for part in of_state)
    rows = tuple(
        Distribution(np.mean([part.probabilities for part in parts[state]], axis=0), None)
        if exact
        else Distribution.merged(parts[state])
        for state in range(2 ** len(bits))
    )
    return CorrelatedCalibration(tuple(qubits), rows)


@dataclass(frozen=True)
class CorrelationVerdict:
    """Whether the readout of a group of qubits is that of each by itself.

    Args:
        correlated: whether `p_value` is below the level.
        p_value: of the most telling test, times the number of tests (Bonferroni).
        pair: of qubits that it is about.
        kind: flipped together, or the one's flips depend on the other's state.
        together: the chance that both qubits of the pair are flipped, the mean over prepared states.
        expected: the same if they were independent.
        level: of false alarms.
    """

    correlated: bool
    p_value: float
    pair: tuple[cirq.Qid, cirq.Qid]
    kind: str
    together: float
    expected: float
    level: float

    def __str__(self) -> str:
        names = " and ".join(map(str, self.pair))
        if not self.correlated:
            return f"readout errors are independent as far as can be told ({p_words(self.p_value)}, most suspect {names})"
        figures = f"both flipped {self.together:.4f} of the time, {self.expected:.4f} if independent"
        return f"readout errors of {names} are correlated, {p_words(self.p_value)}: {self.kind}; {figures}"


def correlation_test(calibration: CorrelatedCalibration, level: float = 0.01) -> CorrelationVerdict:
    """Tests whether a product of single-qubit confusions explains a measured joint one.

    For each pair of qubits and each of its prepared states, whether the two are flipped independently; and for each ordered
    pair, whether a qubit's flips depend on what its neighbour was prepared as. Every test is Fisher's, exact at small counts;
    what needs three qubits at once to be seen is not tested.

    Args:
        calibration: counted, of 2 qubits or more.
        level: the chance of a false alarm, at most.

    Returns:
        The verdict.

    Raises:
        CalibrationError: a single qubit, or exact probabilities.
        ValueError: a level outside 0 .. 1.
    """
    n = len(calibration.qubits)
    if n < 2 or any(row.shots is None for row in calibration.rows):
        raise CalibrationError(f"a test of correlation needs counts of 2 qubits or more, got {n} qubits; measure_correlated")
    if not 0 < level < 1:
        raise ValueError(f"{level=} must be between 0 and 1")
    index = np.arange(2**n)
    counts = np.array([row.counts[state ^ index] for state, row in enumerate(calibration.rows)])  # [prepared, flips]
    tensor = counts.reshape((2,) * (2 * n))
    tables: list[NDArray[np.int64]] = []
    about: list[tuple[tuple[int, int], str]] = []
    joint: dict[tuple[int, int], FloatArray] = {}
    for i, j in combinations(range(n), 2):
        kept = (i, j, n + i, n + j)
        four = tensor.sum(axis=tuple(axis for axis in range(2 * n) if axis not in kept))  # [i, j prepared, i, j flipped]
        joint[i, j] = four.sum(axis=(0, 1)) / four.sum()
        tables += [*four.reshape(4, 2, 2), *four.sum(axis=3), *four.sum(axis=2).transpose(1, 0, 2)]
        about += [((i, j), "they are flipped together")] * 4
        about += [((i, j), "the first depends on the second's state")] * 2
        about += [((i, j), "the second depends on the first's state")] * 2
    chances = fisher(np.array(tables))
    worst = int(np.argmin(chances))
    (i, j), kind = about[worst]
    p_value = min(1.0, float(chances[worst]) * len(chances))
    both = joint[i, j]
    expected = float(both[1].sum() * both[:, 1].sum())
    pair = calibration.qubits[i], calibration.qubits[j]
    return CorrelationVerdict(p_value < level, p_value, pair, kind, float(both[1, 1]), expected, level)


def p_words(p_value: float) -> str:
    """A p-value as text; what is too small for a floating-point number is not said to be 0."""
    return f"p = {p_value:.2g}" if p_value > 1e-300 else "p < 1e-300"


def fisher(tables: NDArray[np.int64]) -> FloatArray:
    """Two-sided p-values of Fisher's exact test: twice the smaller tail of the hypergeometric distribution, at most 1.

    Args:
        tables: (tables, 2, 2) counts.

    Returns:
        (tables,).
    """
    total, row, column = tables.sum(axis=(1, 2)), tables[:, 0].sum(axis=1), tables[:, :, 0].sum(axis=1)
    seen = tables[:, 0, 0]
    below, above = hypergeom.cdf(seen, total, row, column), hypergeom.sf(seen - 1, total, row, column)
    chances: FloatArray = np.minimum(1.0, 2 * np.minimum(below, above))
    return chances
