"""Measurement of readout errors: all qubits at once, in bit patterns that prepare every state of each qubit and each pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import cirq
import numpy as np
from numpy.typing import NDArray

from calibration.readout.calibration import CalibrationError, ReadoutCalibration, source_of
from hattriq_cirq.circuits.outcomes import MAX_DENSE_BITS, too_many_bits
from hattriq_cirq.circuits.program import ParameterizedCircuit, only_measurements
from hattriq_cirq.estimators.bilinear import KEY
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import parity_signs

Pattern = Literal["balanced", "complement", "full"]
_MAX_FULL = 10  # qubits of which every bit pattern is prepared
_MAX_AT_ONCE = 20  # qubits that one circuit calibrates
_GROUP = 10  # qubits per circuit where there are more than that


def bit_patterns(qubits: int, pattern: Pattern = "balanced") -> NDArray[np.bool_]:
    """Return the qubits that each circuit prepares as 1; each pattern is followed by its complement.

    Args:
        qubits: Number of qubits.
        pattern: `complement`, all zeros and all ones; `balanced`, rows of Sylvester's Hadamard matrix and their negatives,
            in which every pair of qubits has its four states equally often; `full`, all 2**qubits.

    Returns:
        Array (patterns, qubits): 2, less than 4 times the qubits, or 2**qubits patterns.

    Raises:
        CalibrationError: The word is unknown, or there are too many qubits for `full`.

    Example:
        >>> bit_patterns(3, "balanced").astype(int)
        array([[0, 0, 0],
               [1, 1, 1],
               [0, 1, 0],
               [1, 0, 1],
               [0, 0, 1],
               [1, 1, 0],
               [0, 1, 1],
               [1, 0, 0]])
    """
    if pattern not in get_args(Pattern):
        raise CalibrationError(f"{pattern=} must be one of {', '.join(get_args(Pattern))}")
    if pattern == "full" and qubits > _MAX_FULL:
        raise CalibrationError(f"pattern='full' of {qubits} qubits takes 2**{qubits} circuits; at most {_MAX_FULL} qubits")
    if pattern == "balanced":
        rows = np.arange(2 ** (qubits - 1).bit_length())
        half = parity_signs(rows[:, np.newaxis] & np.arange(qubits)) < 0
    else:
        rows = np.arange(2 ** (qubits - 1) if pattern == "full" else 1)
        half = (rows[:, np.newaxis] >> np.arange(qubits - 1, -1, -1) & 1).astype(bool)
    return np.stack([half, ~half], axis=1).reshape(-1, qubits)


def readout_programs(qubits: Sequence[cirq.Qid], pattern: Pattern = "balanced") -> list[ParameterizedCircuit]:
    """Return the circuits of `bit_patterns` on given qubits: X where a qubit is 1, then one measurement.

    Args:
        qubits: Physical qubits in the order in which they are measured.
        pattern: See `bit_patterns`.

    Returns:
        One program per pattern, requests 0, 1, ...

    Example:
        >>> zeros, ones = readout_programs([cirq.GridQubit(4, 10), cirq.GridQubit(5, 10)], "complement")
        >>> print(ones.circuit)
        (4, 10): ───X───M('z')───
                        │
        (5, 10): ───X───M────────
    """
    return [
        ParameterizedCircuit(basis_state_circuit(qubits, ones), (i,))
        for i, ones in enumerate(bit_patterns(len(qubits), pattern))
    ]


def basis_state_circuit(qubits: Sequence[cirq.Qid], ones: NDArray[np.bool_]) -> cirq.FrozenCircuit:
    """Return a circuit that sets some qubits to 1 and measures all, in order."""
    flips = [cirq.X(q) for q, one in zip(qubits, ones, strict=True) if one]
    return cirq.FrozenCircuit([*([cirq.Moment(flips)] if flips else []), cirq.Moment(cirq.measure(*qubits, key=KEY))])


def measure_readout(
    engine: Engine, qubits: Sequence[cirq.Qid], shots: int | None = 20_000, pattern: Pattern = "balanced"
) -> ReadoutCalibration:
    """Measure the readout error rates of all qubits in the same shots.

    Args:
        engine: Engine that runs the circuits.
        qubits: Qubits of its processor; more than 20 are measured in groups of 10.
        shots: Shots in which each qubit is prepared as 0, and as many in which it is 1, shared among the patterns; None for
            exact probabilities, where the engine can give them.
        pattern: See `bit_patterns`.

    Returns:
        The calibration.

    Raises:
        CalibrationError: There are no qubits, or fewer shots than patterns.
        EngineError: The engine could not run the circuits.

    Example:
        >>> import hattriq_cirq as hq
        >>> from calibration.testing import FaultyReadout
        >>> engine = hq.sampler(FaultyReadout(e0=0.02, e1=0.1, seed=1))
        >>> measure_readout(engine, cirq.LineQubit.range(2), shots=20_000).errors.round(3)
        array([[0.021, 0.099],
               [0.018, 0.099]])
    """
    if not qubits:
        raise CalibrationError("there are no qubits to calibrate; name at least one")
    size = len(qubits) if len(qubits) <= _MAX_AT_ONCE else _GROUP
    groups = [list(qubits[i : i + size]) for i in range(0, len(qubits), size)]
    programs: list[ParameterizedCircuit] = []
    allotted: list[int] = []
    for group in groups:
        group_programs = readout_programs(group, pattern)
        programs += [ParameterizedCircuit(p.circuit, (len(programs) + i,)) for i, p in enumerate(group_programs)]
        allotted += [] if shots is None else shots_per_pattern(shots, len(group_programs))
    outcomes = iter(engine.execute(programs, None if shots is None else allotted))
    parts = []
    for group in groups:
        patterns = bit_patterns(len(group), pattern)
        group_outcomes = [next(outcomes) for _ in patterns]
        parts.append(
            ReadoutCalibration.from_outcomes(group, patterns, group_outcomes, source=source_of(engine), pattern=pattern)
        )
    counts, known = [part.counts for part in parts], [part.known for part in parts]
    return ReadoutCalibration(
        tuple(qubits),
        None if shots is None else np.concatenate([c for c in counts if c is not None]),
        np.concatenate([k for k in known if k is not None]) if shots is None else None,
        source_of(engine),
        pattern,
    )


def measured_qubits(
    programs: Sequence[ParameterizedCircuit], *, purpose: str | None = None
) -> tuple[tuple[cirq.Qid, ...], ...]:
    """Return the qubits that each request measures, in the order of its bits; requests 0, 1, ...

    Args:
        programs: Compiled programs.
        purpose: Name of a correction that takes 2**bits numbers, for the error; None allows any number of bits.

    Raises:
        ValueError: A measurement inverts bits, or a circuit measures more than 20 bits and there is a purpose.
    """
    by_request: dict[int, tuple[cirq.Qid, ...]] = {}
    for program, measurement in zip(programs, only_measurements([p.circuit for p in programs]), strict=True):
        assert isinstance(measurement.gate, cirq.MeasurementGate)
        if any(measurement.gate.full_invert_mask()):
            raise ValueError(f"{measurement} inverts bits after reading them; put X before it to flip them")
        if purpose and len(measurement.qubits) > MAX_DENSE_BITS:
            raise ValueError(too_many_bits(len(measurement.qubits), purpose))
        by_request |= dict.fromkeys(program.requests, measurement.qubits)
    return tuple(by_request[request] for request in sorted(by_request))


def shots_per_pattern(shots: int, patterns: int, least: int = 1) -> list[int]:
    """Return the shots of each pattern, so that every qubit has at least `shots` shots in each of its states.

    Args:
        shots: Shots in each state.
        patterns: Number of circuits, an even number.
        least: Smallest number of shots of a circuit.

    Returns:
        Equal numbers: patterns come in complement pairs, and a qubit is 1 in one of each pair.

    Raises:
        CalibrationError: There are no shots.
    """
    if shots < 1:
        raise CalibrationError(f"{shots=} of a calibration must be at least 1 in each state")
    return [max(least, -(-2 * shots // patterns))] * patterns


def split_before_after(counts: Sequence[int]) -> tuple[list[int], list[int]]:
    """Split the shots of calibration circuits into those before the data and those after it.

    The two numbers always differ, so that no job holds circuits of both ends.
    """
    before = [count // 2 + 1 for count in counts]
    return before, [count - first for count, first in zip(counts, before, strict=True)]
