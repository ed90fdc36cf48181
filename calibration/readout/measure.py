"""Measurement of readout errors: all qubits at once, in bit patterns that prepare every state of each qubit and each pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, get_args

import cirq
import numpy as np

from calibration.readout.calibration import CalibrationError, ReadoutCalibration, source_of
from hattriq_cirq.circuits.outcomes import MAX_DENSE_BITS, too_many_bits
from hattriq_cirq.circuits.program import ParameterizedCircuit, Programs, only_measurements
from hattriq_cirq.estimators.bilinear import KEY
from hattriq_cirq.execution.engine import Call, Engine
from hattriq_cirq.foundation.arrays import BoolArray, parity_signs
from hattriq_cirq.foundation.checks import as_count, check_type
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.pipeline.execute import PreparedCircuits
from hattriq_cirq.pipeline.resources import RunResources

Pattern = Literal["balanced", "complement", "full"]
_MAX_FULL = 10  # qubits of which every bit pattern is prepared
_MAX_AT_ONCE = 20  # qubits that one circuit calibrates
_GROUP = 10  # qubits per circuit where there are more than that


def bit_patterns(qubits: int, pattern: Pattern = "balanced") -> BoolArray:
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
    return [ParameterizedCircuit(circuit, (i,)) for i, circuit in enumerate(readout_circuits(qubits, pattern))]


def readout_circuits(qubits: Sequence[cirq.Qid], pattern: Pattern) -> list[cirq.FrozenCircuit]:
    """Return the circuits of `readout_programs`, one per row of `bit_patterns`."""
    return [basis_state_circuit(qubits, ones) for ones in bit_patterns(len(qubits), pattern)]


def basis_state_circuit(qubits: Sequence[cirq.Qid], ones: BoolArray) -> cirq.FrozenCircuit:
    """Return a circuit that sets some qubits to 1 and measures all, in order."""
    flips = [cirq.X(q) for q, one in zip(qubits, ones, strict=True) if one]
    return cirq.FrozenCircuit([*([cirq.Moment(flips)] if flips else []), cirq.Moment(cirq.measure(*qubits, key=KEY))])


_SHOTS_MAX = 10**15  # counts are 64-bit integers, and rates floating-point numbers


@with_numpy_defaults
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
    return prepare_readout(engine, qubits, shots, pattern).execute()


@with_numpy_defaults
def prepare_readout(
    engine: Engine, qubits: Sequence[cirq.Qid], shots: int | None = 20_000, pattern: Pattern = "balanced"
) -> PreparedReadout:
    """Prepare the measurement of readout errors without running anything; the arguments are those of `measure_readout`.

    Returns:
        The prepared measurement: `.resources` counts exactly what `.execute()` runs.

    Raises:
        CalibrationError: There are no qubits, or no shots.

    Example:
        >>> import hattriq_cirq as hq
        >>> prepared = prepare_readout(hq.virtual("willow_pink", seed=1), cirq.GridQubit.rect(1, 2, 5, 9), shots=1000)
        >>> prepared.resources.shots, prepared.execute().qubits
        (2000, (cirq.GridQubit(5, 9), cirq.GridQubit(5, 10)))
    """
    check_type(engine, "engine", Engine, "an engine, such as hattriq_cirq.virtual('willow_pink')")
    if not qubits:
        raise CalibrationError("there are no qubits to calibrate; name at least one")
    size = len(qubits) if len(qubits) <= _MAX_AT_ONCE else _GROUP
    groups = [tuple(qubits[i : i + size]) for i in range(0, len(qubits), size)]
    patterns = [bit_patterns(len(group), pattern) for group in groups]
    circuits = [circuit for group in groups for circuit in readout_circuits(group, pattern)]
    programs = [ParameterizedCircuit(circuit, (i,)) for i, circuit in enumerate(circuits)]
    allotted = None if shots is None else [count for rows in patterns for count in shots_per_pattern(shots, len(rows))]
    return PreparedReadout(PreparedCircuits(engine, programs, allotted), groups, pattern)


@dataclass(frozen=True, eq=False)
class PreparedReadout:
    """Measurement of readout errors, ready to be priced and run; created by `prepare_readout`.

    Args:
        circuits: Circuits of all groups of qubits.
        groups: Qubits that are calibrated in the same shots.
        pattern: Pattern of the prepared bits.
    """

    circuits: PreparedCircuits
    groups: Sequence[tuple[cirq.Qid, ...]]
    pattern: Pattern

    @property
    def resources(self) -> RunResources:
        """Resources of exactly what `execute` runs."""
        return self._resources(self.circuits.plan())

    def record(self) -> RunResources:
        """Check all jobs and record them in the engine's journal, without submitting any; `execute` runs the recorded jobs.

        Returns:
            The resources of the jobs.

        Raises:
            ValueError: There are no shots, or the engine has no journal.
            CircuitRefusedError: The processor or its service would refuse a job.
        """
        return self._resources(self.circuits.record())

    def _resources(self, call: Call) -> RunResources:
        return RunResources.of_call(self.circuits, call, self.circuits.requests, self.circuits.total_shots)

    def execute(self) -> ReadoutCalibration:
        """Measure the readout errors.

        Raises:
            EngineError: The engine could not run the circuits.
        """
        outcomes, source = iter(self.circuits.execute().outcomes), source_of(self.circuits.engine)
        parts = []
        for group in self.groups:
            rows = bit_patterns(len(group), self.pattern)
            own = list(islice(outcomes, len(rows)))
            parts.append(ReadoutCalibration.from_outcomes(group, rows, own, source=source, pattern=self.pattern))
        counts = [part.counts for part in parts if part.counts is not None]
        known = [part.known for part in parts if part.known is not None]
        return ReadoutCalibration(
            tuple(q for group in self.groups for q in group),
            np.concatenate(counts) if counts else None,
            np.concatenate(known) if known else None,
            source,
            self.pattern,
        )


def measured_qubits(programs: Programs, *, purpose: str | None = None) -> tuple[tuple[cirq.Qid, ...], ...]:
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
    if not 1 <= as_count(shots, "shots", None) <= _SHOTS_MAX:
        raise CalibrationError(f"{shots=} of a calibration must be at least 1 in each state, and at most {_SHOTS_MAX:.0e}")
    return [max(least, -(-2 * shots // patterns))] * patterns
