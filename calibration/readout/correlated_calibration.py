"""Joint readout of a few qubits: the confusion matrix of all their states, and a test of independence.

Confusion matrices are always indexed confusion[prepared, observed].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import cirq
import numpy as np
from scipy.linalg import block_diag
from scipy.stats import hypergeom

from calibration.readout.calibration import CalibrationError
from calibration.readout.measure import bit_patterns, readout_programs, shots_per_pattern
from hattriq_cirq.circuits.outcomes import Distribution, SharedUncertainty
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import BoolArray, FloatArray, IntArray, read_only
from hattriq_cirq.foundation.card import Card, Displayed
from hattriq_cirq.foundation.checks import as_number, check_type
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.pipeline.execute import PreparedCircuits
from hattriq_cirq.pipeline.mitigation import Outcomes

#: Largest number of qubits of a group: its confusion takes 2**qubits circuits, and its error 4**qubits numbers per outcome.
MAX_GROUP = 5
#: Largest probability of a false alarm with which a correction tests its own assumption in a batch.
BATCH_LEVEL = 0.001
_SMALLEST_SINGULAR_VALUE = 0.05  # of a confusion that is inverted
_TOGETHER = "they are flipped together"
_LISTED = 5  # further pairs that a verdict names


@dataclass(frozen=True, eq=False, repr=False)
class CorrelatedCalibration(Displayed, Frozen):
    """The readout of a group of qubits in every state that it can be prepared in.

    Args:
        qubits: Calibrated qubits in order, 5 or fewer.
        rows: Observed distribution for each of the 2**qubits prepared states, big-endian.

    Raises:
        CalibrationError: There are no qubits or too many, or the rows have another shape.

    Example:
        >>> rows = tuple(Distribution(np.array(row), None) for row in ([0.98, 0.02], [0.1, 0.9]))
        >>> CorrelatedCalibration((cirq.GridQubit(4, 10),), rows).inverse.round(3)
        array([[ 1.023, -0.114],
               [-0.023,  1.114]])
    """

    qubits: tuple[cirq.Qid, ...]
    rows: tuple[Distribution, ...]

    def __post_init__(self) -> None:
        n = len(self.qubits)
        if not 1 <= n <= MAX_GROUP or len(set(self.qubits)) != n:
            raise CalibrationError(
                f"{self.qubits=} are {n} qubits; a joint confusion takes 1 to {MAX_GROUP} different ones: use smaller groups"
            )
        shapes = {row.probabilities.shape for row in self.rows}
        if len(self.rows) != 2**n or shapes != {(2**n,)}:
            raise CalibrationError(f"{len(self.rows)} rows of shapes {shapes} must be {2**n} rows of ({2**n},)")
        super().__post_init__()

    def card(self) -> Card:
        """Return the qubits, and the probability that each prepared state is read as itself."""
        n = len(self.qubits)
        rows = [(f"|{k:0{n}b}>", f"{p:.4f}") for k, p in enumerate(np.diag(self.confusion).tolist())]
        facts = [("qubits", ", ".join(map(str, self.qubits)))]
        title = f"CorrelatedCalibration of {quantity(n, 'qubit')}"
        return Card(title, facts, ("prepared", "read as prepared"), rows)

    @cached_property
    def confusion(self) -> FloatArray:
        """Confusion matrix (2**qubits, 2**qubits), [prepared, observed]; its rows sum to 1."""
        return read_only(np.array([row.probabilities for row in self.rows]))

    @cached_property
    def inverse(self) -> FloatArray:
        """Inverse of the transposed confusion, (2**qubits, 2**qubits): the map from observed to prepared probabilities.

        Raises:
            CalibrationError: Two of the states, or mixtures of them, are read nearly alike.
        """
        least = float(np.linalg.svd(self.confusion, compute_uv=False).min())
        if least < _SMALLEST_SINGULAR_VALUE:
            raise CalibrationError(
                f"the confusion of {', '.join(map(str, self.qubits))} has a singular value of {least:.4f}, must be at least "
                f"{_SMALLEST_SINGULAR_VALUE}; take more shots, other qubits, or smaller groups"
            )
        return read_only(np.asarray(np.linalg.inv(self.confusion.T), dtype=float))

    @cached_property
    def shared(self) -> SharedUncertainty | None:
        """Covariance of the entries of the confusion, row by row, (4**qubits, 4**qubits); None where they are exact."""
        blocks = []
        for row in self.rows:
            if row.shots is None:
                return None
            p = row.smoothed_probabilities
            blocks.append((np.diag(p) - np.outer(p, p)) / row.shots)
        return SharedUncertainty(block_diag(*blocks))

    def reordered(self, qubits: Sequence[cirq.Qid]) -> CorrelatedCalibration:
        """Return the calibration with its qubits in another order."""
        if tuple(qubits) == self.qubits:
            return self
        axes = [self.qubits.index(q) for q in qubits]
        index = np.arange(len(self.rows)).reshape((2,) * len(axes)).transpose(axes).reshape(-1)
        rows = tuple(Distribution(self.rows[i].probabilities[index], self.rows[i].shots) for i in index)
        return CorrelatedCalibration(tuple(qubits), rows)


@with_numpy_defaults
def measure_correlated(engine: Engine, qubits: Sequence[cirq.Qid], shots: int | None = 20_000) -> CorrelatedCalibration:
    """Measure the confusion matrix of all states of a group of qubits.

    Args:
        engine: Engine that runs the circuits.
        qubits: One to five qubits of its processor.
        shots: Shots in which each qubit is prepared as 0, and as many in which it is 1, shared among the 2**qubits states;
            None for exact probabilities, where the engine can give them.

    Returns:
        The calibration.

    Raises:
        CalibrationError: There are too many qubits, or no shots.
        EngineError: The engine could not run the circuits.

    Example:
        >>> import hattriq_cirq as hq
        >>> from calibration.testing import FaultyReadout
        >>> qubits = cirq.LineQubit.range(2)
        >>> engine = hq.sampler(FaultyReadout(qubits, e0=0.01, e1=0.05, pairs=[(0, 1, 0.04)], seed=1))
        >>> measure_correlated(engine, qubits, shots=200_000).confusion.round(2)
        array([[0.94, 0.01, 0.01, 0.04],
               [0.05, 0.9 , 0.04, 0.01],
               [0.05, 0.04, 0.9 , 0.01],
               [0.04, 0.05, 0.04, 0.87]])
    """
    check_type(engine, "engine", Engine, "an engine, such as hattriq_cirq.virtual('willow_pink')")
    if not 1 <= len(qubits) <= MAX_GROUP:
        raise CalibrationError(
            f"{len(qubits)} qubits have 2**{len(qubits)} states; a group has 1 to {MAX_GROUP}: measure several groups"
        )
    programs = readout_programs(qubits, "full")
    allotted = None if shots is None else shots_per_pattern(shots, len(programs))
    outcomes = PreparedCircuits(engine, programs, allotted).execute().outcomes
    return from_patterns(qubits, range(len(qubits)), bit_patterns(len(qubits), "full"), outcomes)


def from_patterns(
    qubits: Sequence[cirq.Qid], bits: Sequence[int], patterns: BoolArray, outcomes: Outcomes
) -> CorrelatedCalibration:
    """Return the calibration of a group of qubits from circuits that prepared and measured them, perhaps among others.

    Args:
        qubits: Qubits of the group, in order.
        bits: Their positions among all measured bits.
        patterns: Prepared states, (circuits, measured bits), True for 1; every state of the group at least once.
        outcomes: One outcome per circuit.

    Raises:
        CalibrationError: Another mitigation has changed the outcomes.
    """
    width = patterns.shape[1]
    rest = tuple(i for i in range(width) if i not in bits)
    parts: dict[int, list[Distribution]] = {}
    for pattern, outcome in zip(patterns, outcomes, strict=True):
        if not isinstance(outcome, Distribution):
            raise CalibrationError(
                "calibration circuits were changed by another mitigation; put the readout last in the sequence"
            )
        marginal = outcome.probabilities.reshape((2,) * width).sum(axis=rest).reshape(-1)
        state = int("".join(str(int(pattern[bit])) for bit in bits), 2)
        parts.setdefault(state, []).append(Distribution(marginal, outcome.shots))
    exact = any(part.shots is None for of_state in parts.values() for part in of_state)
    by_state = [parts[state] for state in range(2 ** len(bits))]
    if exact:
        rows = [Distribution(np.mean([part.probabilities for part in of_state], axis=0), None) for of_state in by_state]
    else:
        rows = [Distribution.merged(of_state) for of_state in by_state]
    return CorrelatedCalibration(tuple(qubits), tuple(rows))


#: Pair of bits, by position, and the kind of dependence that a table of counts tests.
Subject = tuple[tuple[int, int], str]


@dataclass(frozen=True)
class CorrelationVerdict:
    """The result of a test of independence of the readout errors of several qubits.

    Args:
        correlated: True if `p_value` is below the level.
        p_value: Smallest p-value of all tests, times the number of tests (Bonferroni).
        pair: Pair of qubits with the smallest p-value.
        kind: Kind of dependence: the qubits are flipped together, or the flips of one depend on the state of the other.
        together: Probability that both qubits of the pair are flipped, averaged over the prepared states.
        expected: The same probability if the flips were independent.
        level: Probability of a false alarm, at most.
        others: All other pairs whose p-value, times the number of tests, is below the level; smallest first.
    """

    correlated: bool
    p_value: float
    pair: tuple[cirq.Qid, cirq.Qid]
    kind: str
    together: float
    expected: float
    level: float
    others: tuple[tuple[cirq.Qid, cirq.Qid], ...] = ()

    def __str__(self) -> str:
        names = " and ".join(map(str, self.pair))
        if not self.correlated:
            return f"readout errors are compatible with independent ones ({format_p_value(self.p_value)}, smallest for {names})"
        figures = f"both flipped {self.together:.4f} of the time, {self.expected:.4f} if independent"
        found = f"readout errors of {names} are correlated, {format_p_value(self.p_value)}: {self.kind}; {figures}"
        if not self.others:
            return found
        listed = [f"{a} and {b}" for a, b in self.others[:_LISTED]]
        more = len(self.others) - len(listed)
        return f"{found}; so are those of {', of '.join(listed)}" + (f", and of {more} more pairs" if more else "")


@with_numpy_defaults
def correlation_test(calibration: CorrelatedCalibration, level: float = 0.01) -> CorrelationVerdict:
    """Test a measured joint confusion against a product of single-qubit confusions.

    For each pair of qubits and each of its prepared states, the two flips are tested for independence; and for each ordered
    pair, the flips of the one qubit for dependence on the prepared state of the other. Every test is Fisher's, which is exact
    at small counts. Dependence that shows in three or more qubits only is not tested.

    Args:
        calibration: Counted calibration of two qubits or more.
        level: Largest probability of a false alarm over all tests together.

    Returns:
        The verdict.

    Raises:
        CalibrationError: The calibration has a single qubit, or exact probabilities.
        ValueError: The level is outside 0 .. 1.

    Example:
        >>> import hattriq_cirq as hq
        >>> from calibration.testing import FaultyReadout
        >>> qubits = cirq.LineQubit.range(3)
        >>> engine = hq.sampler(FaultyReadout(qubits, e1=0.05, pairs=[(0, 1, 0.04)], seed=1))
        >>> verdict = correlation_test(measure_correlated(engine, qubits, shots=20_000))
        >>> verdict.correlated, verdict.pair, verdict.kind
        (True, (cirq.LineQubit(0), cirq.LineQubit(1)), 'they are flipped together')
    """
    check_type(calibration, "calibration", CorrelatedCalibration, "a CorrelatedCalibration, as measure_correlated gives it")
    n = len(calibration.qubits)
    if n < 2 or any(row.shots is None for row in calibration.rows):
        raise CalibrationError(
            f"a test of correlation needs counts of 2 qubits or more, got {quantity(n, 'qubit')}; measure_correlated"
        )
    level = as_number(level, "level", above=0, below=1, advice="be between 0 and 1")
    states = np.arange(2**n)[:, np.newaxis] >> np.arange(n - 1, -1, -1) & 1
    counts = pair_counts(states.astype(bool), calibration.rows)
    tables: list[IntArray] = []
    subjects: list[Subject] = []
    for pair in combinations(range(n), 2):
        of_states, names = _tables_of_neighbours(counts[pair])
        tables += [*counts[pair].reshape(4, 2, 2), *of_states]
        subjects += [(pair, name) for name in [_TOGETHER] * 4 + names]
    return _verdict(calibration.qubits, counts, tables, subjects, level)


def batch_verdict(
    qubits: Sequence[cirq.Qid],
    patterns: BoolArray,
    outcomes: Sequence[Distribution],
    pairs: Sequence[tuple[int, int]],
    *,
    neighbours: bool,
) -> CorrelationVerdict:
    """Test some pairs of qubits for independence by the calibration circuits of a batch, at the level 0.001.

    The flips of two qubits are compared within each prepared pattern, so that nothing that differs between patterns can look
    like a correlation: rates that depend on other qubits of a group, or noise of the layer of X gates.

    Args:
        qubits: Measured qubits.
        patterns: Prepared states, (circuits, qubits), True for 1; a pattern may be repeated.
        outcomes: Counted outcome of each circuit.
        pairs: Pairs to test, by position; at least one.
        neighbours: Test whether the flips of one qubit depend on the state of the other too. The pattern of zeros, which has no
            layer of X gates, is left out of this test.
    """
    rows, index = np.unique(patterns, axis=0, return_inverse=True)
    by_row = [[o for k, o in zip(index, outcomes, strict=True) if k == row] for row in range(len(rows))]
    counts = [pair_counts(np.stack([row] * len(same)), same) for row, same in zip(rows, by_row, strict=True)]
    tables = [each[pair].sum(axis=(0, 1)) for each in counts for pair in pairs]
    subjects: list[Subject] = [(pair, _TOGETHER) for _ in counts for pair in pairs]
    excited = [each for each, row in zip(counts, rows, strict=True) if row.any()]
    if neighbours:
        by_state = np.sum(excited, axis=0)
        for pair in pairs:
            of_states, names = _tables_of_neighbours(by_state[pair])
            tables += of_states
            subjects += [(pair, name) for name in names]
    return _verdict(qubits, np.sum(counts, axis=0), tables, subjects, BATCH_LEVEL)


def _tables_of_neighbours(four: IntArray) -> tuple[list[IntArray], list[str]]:
    """Return tables of one qubit's flips by the other's state, from counts [i prepared, j prepared, i flipped, j flipped]."""
    names = ["the first depends on the second's state"] * 2 + ["the second depends on the first's state"] * 2
    return [*four.sum(axis=3), *four.sum(axis=2).transpose(1, 0, 2)], names


def _verdict(
    qubits: Sequence[cirq.Qid], counts: IntArray, tables: Sequence[IntArray], subjects: Sequence[Subject], level: float
) -> CorrelationVerdict:
    """Return the verdict of Fisher's test of tables of counts, (2, 2) each, one per pair and kind of dependence."""
    p_values = np.minimum(1.0, fisher_p_values(np.array(tables)) * len(tables))
    order = np.argsort(p_values, kind="stable")
    (i, j), kind = subjects[order[0]]
    found = dict.fromkeys(subjects[k][0] for k in order if p_values[k] < level)
    others = tuple((qubits[a], qubits[b]) for a, b in found if (a, b) != (i, j))
    both = counts[i, j].sum(axis=(0, 1)) / counts[i, j].sum()
    together, expected = float(both[1, 1]), float(both[1].sum() * both[:, 1].sum())
    p_value = float(p_values[order[0]])
    return CorrelationVerdict(p_value < level, p_value, (qubits[i], qubits[j]), kind, together, expected, level, others)


def pair_counts(patterns: BoolArray, outcomes: Sequence[Distribution]) -> IntArray:
    """Count the flips of every pair of measured bits.

    Args:
        patterns: Prepared states, (circuits, bits), True for 1.
        outcomes: Counted outcome of each circuit.

    Returns:
        Array (bits, bits, 2, 2, 2, 2), [i, j, i prepared, j prepared, i flipped, j flipped].

    Example:
        >>> outcome = Distribution.from_counts(np.array([90, 6, 3, 1]))
        >>> pair_counts(np.array([[False, False]]), [outcome])[0, 1, 0, 0]
        array([[90,  6],
               [ 3,  1]])
    """
    bits = patterns.shape[1]
    counts = np.zeros((bits, bits, 2, 2, 2, 2), dtype=np.int64)
    first, second = np.arange(bits)[:, np.newaxis], np.arange(bits)
    for prepared, outcome in zip(patterns.astype(np.int64), outcomes, strict=True):
        seen = np.flatnonzero(outcome.counts)
        states = seen if outcome.support is None else outcome.support[seen]
        flips = (states[:, np.newaxis] >> np.arange(bits - 1, -1, -1) & 1) ^ prepared
        kinds = np.concatenate([1 - flips, flips], axis=1)  # not flipped, then flipped: (outcomes, 2 * bits)
        table = (kinds.T * outcome.counts[seen]) @ kinds
        counts[first, second, prepared[:, np.newaxis], prepared] += table.reshape(2, bits, 2, bits).transpose(1, 3, 0, 2)
    return counts


def format_p_value(p_value: float) -> str:
    """Return a p-value as text; one that is too small for a floating-point number is not shown as 0."""
    return f"p = {p_value:.2g}" if p_value > 1e-300 else "p < 1e-300"


def fisher_p_values(tables: IntArray) -> FloatArray:
    """Return two-sided p-values of Fisher's exact test: twice the smaller tail of the hypergeometric distribution, at most 1.

    Args:
        tables: Counts (tables, 2, 2).

    Returns:
        Array (tables,).
    """
    total, row, column = tables.sum(axis=(1, 2)), tables[:, 0].sum(axis=1), tables[:, :, 0].sum(axis=1)
    is_above_mean = tables[:, 0, 0] * total > row * column
    folded = np.where(is_above_mean[:, np.newaxis, np.newaxis], tables[:, :, ::-1], tables)  # its upper tail is a lower one
    seen, column = folded[:, 0, 0], folded[:, :, 0].sum(axis=1)
    tail = hypergeom.cdf(seen, total, row, column)
    if (rest := tail > 0.5).any():
        tail[rest] = np.minimum(tail[rest], hypergeom.sf(seen[rest] - 1, total[rest], row[rest], column[rest]))
    return np.asarray(np.minimum(1.0, 2 * tail))
