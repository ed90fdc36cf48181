"""Measuring readout: all qubits at once, in bit patterns that leave no state of a qubit, or of a pair, unprepared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import cirq
import numpy as np
from numpy.typing import NDArray

from calibration.readout.calibration import CalibrationError, ReadoutCalibration, source_of
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.estimators.bilinear import KEY
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import parity_signs

Pattern = Literal["balanced", "complement", "full"]
_MOST_FULL = 10  # qubits of which every bit pattern is prepared
_MOST_AT_ONCE = 20  # qubits of one circuit: an outcome is a vector of 2**qubits numbers
_GROUP = 10  # qubits of a circuit where there are more than that


def bit_patterns(qubits: int, pattern: Pattern = "balanced") -> NDArray[np.bool_]:
    """Which qubits are prepared as 1 in each circuit; each pattern is followed by its complement.

    Args:
        qubits: how many.
        pattern: `complement`, all zeros and all ones; `balanced`, rows of Sylvester's Hadamard matrix and their negatives,
            by which every pair of qubits meets its four states equally often; `full`, all 2**qubits.

    Returns:
        (patterns, qubits): 2, less than 4 times the qubits, or 2**qubits patterns.

    Raises:
        CalibrationError: another word, or too many qubits for `full`.
    """
    if pattern not in get_args(Pattern):
        raise CalibrationError(f"{pattern=} must be one of {', '.join(get_args(Pattern))}")
    if pattern == "full" and qubits > _MOST_FULL:
        raise CalibrationError(f"pattern='full' of {qubits} qubits takes 2**{qubits} circuits; at most {_MOST_FULL} qubits")
    if pattern == "balanced":
        rows = np.arange(2 ** (qubits - 1).bit_length())
        half = parity_signs(rows[:, np.newaxis] & np.arange(qubits)) < 0
    else:
        rows = np.arange(2 ** (qubits - 1) if pattern == "full" else 1)
        half = (rows[:, np.newaxis] >> np.arange(qubits - 1, -1, -1) & 1).astype(bool)
    return np.stack([half, ~half], axis=1).reshape(-1, qubits)


def readout_programs(qubits: Sequence[cirq.Qid], pattern: Pattern = "balanced") -> list[ParameterizedCircuit]:
    """The circuits of `bit_patterns`, on these very qubits: X where a qubit is 1, then one measurement.

    Args:
        qubits: physical, in the order they are measured.
        pattern: see `bit_patterns`.

    Returns:
        A program for each pattern, requests 0, 1, ...
    """
    return [ParameterizedCircuit(prepared(qubits, ones), (i,)) for i, ones in enumerate(bit_patterns(len(qubits), pattern))]


def prepared(qubits: Sequence[cirq.Qid], ones: NDArray[np.bool_]) -> cirq.FrozenCircuit:
    """A circuit that sets some qubits to 1 and measures all, in order."""
    turned = [cirq.X(q) for q, one in zip(qubits, ones, strict=True) if one]
    return cirq.FrozenCircuit([*([cirq.Moment(turned)] if turned else []), cirq.Moment(cirq.measure(*qubits, key=KEY))])


def measure_readout(
    engine: Engine, qubits: Sequence[cirq.Qid], shots: int | None = 20_000, pattern: Pattern = "balanced"
) -> ReadoutCalibration:
    """Measures how often each qubit is read wrong, all of them in the same shots.

    Args:
        engine: what reads them.
        qubits: of its processor; more than 20 are measured in groups of 10.
        shots: in which each qubit is 0, and again as many in which it is 1; shared out among the patterns. None for exact
            probabilities, where the engine can give them.
        pattern: see `bit_patterns`.

    Returns:
        The calibration.

    Raises:
        CalibrationError: no qubits, or too few shots for one a pattern.
        EngineError: the engine could not run the circuits.
    """
    if not qubits:
        raise CalibrationError("no qubits to calibrate")
    size = len(qubits) if len(qubits) <= _MOST_AT_ONCE else _GROUP
    groups = [list(qubits[i : i + size]) for i in range(0, len(qubits), size)]
    programs: list[ParameterizedCircuit] = []
    allotted: list[int] = []
    for group in groups:
        of_group = readout_programs(group, pattern)
        programs += [ParameterizedCircuit(p.circuit, (len(programs) + i,)) for i, p in enumerate(of_group)]
        allotted += [] if shots is None else shots_each(shots, len(of_group))
    outcomes = iter(engine.execute(programs, None if shots is None else allotted))
    parts = []
    for group in groups:
        patterns = bit_patterns(len(group), pattern)
        given = [next(outcomes) for _ in patterns]
        parts.append(ReadoutCalibration.from_outcomes(group, patterns, given, source=source_of(engine), pattern=pattern))
    counts, known = [part.counts for part in parts], [part.known for part in parts]
    return ReadoutCalibration(
        tuple(qubits),
        None if shots is None else np.concatenate([c for c in counts if c is not None]),
        np.concatenate([k for k in known if k is not None]) if shots is None else None,
        source_of(engine),
        pattern,
    )


def shots_each(shots: int, patterns: int, least: int = 1) -> list[int]:
    """Shots of each pattern, so that every qubit spends at least so many shots in each of its states.

    Args:
        shots: in each state.
        patterns: how many circuits, an even number.
        least: of each circuit.

    Returns:
        Equal numbers: patterns come in complement pairs, and a qubit is 1 in one of each pair.

    Raises:
        CalibrationError: no shots.
    """
    if shots < 1:
        raise CalibrationError(f"{shots=} of a calibration must be at least 1 in each state")
    return [max(least, -(-2 * shots // patterns))] * patterns


def at_both_ends(each: Sequence[int]) -> tuple[list[int], list[int]]:
    """Shots of calibration circuits cut into those before the data and those after it.

    Never as many before as after, so that no job holds circuits of both ends.
    """
    first = [one // 2 + 1 for one in each]
    return first, [one - before for one, before in zip(each, first, strict=True)]
