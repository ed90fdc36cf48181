"""Circuits with symbols and the points of their sweeps, and the one measurement that ends every circuit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import cirq

from hattriq_cirq.circuits.constants import owned_circuit
from hattriq_cirq.foundation.frozen import Frozen

#: A value for every symbol of a circuit; empty for a circuit without symbols.
Point = Mapping[str, float]


@dataclass(frozen=True, eq=False)
class ParameterizedCircuit(Frozen):
    """Compiled circuit with the points of its sweep, each of which is one of the requested circuits.

    Args:
        circuit: Circuit on the qubits of the processor, if there is one; with symbols if it stands for several requests.
        requests: Positions of the requested circuits, one per point.
        points: Points of the sweep.

    Raises:
        ValueError: The numbers of requests and points differ.

    Example:
        >>> circuit = cirq.FrozenCircuit(cirq.measure(cirq.q(0)))
        >>> ParameterizedCircuit(circuit, requests=(3,)).points
        ({},)
    """

    circuit: cirq.FrozenCircuit
    requests: tuple[int, ...]
    points: tuple[Point, ...] = field(default=({},))

    def __post_init__(self) -> None:
        object.__setattr__(self, "circuit", owned_circuit(self.circuit))
        if len(self.requests) != len(self.points):
            raise ValueError(
                f"{len(self.requests)=} must equal the number of points, {len(self.points)}: one request per point"
            )
        super().__post_init__()

    def pieces(self, size: int) -> list[ParameterizedCircuit]:
        """Return the same circuit with at most `size` of the points each, in order."""
        starts = range(0, len(self.requests), size)
        return [ParameterizedCircuit(self.circuit, self.requests[i : i + size], self.points[i : i + size]) for i in starts]


#: Programs that hold the requests 0, 1, ... once each, in any order.
Programs = Sequence[ParameterizedCircuit]


def programs_of(circuits: Sequence[cirq.FrozenCircuit]) -> list[ParameterizedCircuit]:
    """Return circuits without symbols as programs of one request each, in order."""
    return [ParameterizedCircuit(circuit, (i,)) for i, circuit in enumerate(circuits)]


def shifted(programs: Programs, by: int) -> list[ParameterizedCircuit]:
    """Return programs whose requests have larger numbers by an integer, so that other programs come before them."""
    return [replace(program, requests=tuple(request + by for request in program.requests)) for program in programs]


def surround(
    programs: Programs, shots: Sequence[int] | None, ends: Programs, shots_of_ends: Sequence[int]
) -> tuple[list[ParameterizedCircuit], list[int] | None]:
    """Return programs and their shots with others before and after them, whose shots are split between both ends.

    Exact probabilities need the others only once, before the programs. The shots at the two ends always differ, so that no job
    holds circuits of both.

    Args:
        programs: Compiled programs.
        shots: Shots of each request; None for exact probabilities.
        ends: Programs to run at both ends, such as those of a calibration.
        shots_of_ends: Shots of each of their requests, at least 3, for both ends together.

    Example:
        >>> program = ParameterizedCircuit(cirq.FrozenCircuit(cirq.measure(cirq.q(0))), (0,))
        >>> around, shots = surround([program], [70], [program], [10])
        >>> [each.requests for each in around], shots
        ([(0,), (1,), (2,)], [6, 70, 4])
    """
    requests, count = (sum(len(program.requests) for program in each) for each in (programs, ends))
    variants = [*ends, *shifted(programs, count)]
    if shots is None:
        return variants, None
    before = [total // 2 + 1 for total in shots_of_ends]
    after = [total - first for total, first in zip(shots_of_ends, before, strict=True)]
    return [*variants, *shifted(ends, count + requests)], [*before, *shots, *after]


def to_sweep(points: Sequence[Point]) -> cirq.Sweep:
    """Return points as a Cirq sweep.

    Example:
        >>> [dict(resolver.param_dict) for resolver in to_sweep([{"a": 0.5}, {"a": 1.0}])]
        [{'a': 0.5}, {'a': 1.0}]
    """
    if not any(points):
        return cirq.UnitSweep if len(points) == 1 else cirq.ListSweep([cirq.ParamResolver({})] * len(points))
    return cirq.ListSweep([cirq.ParamResolver(dict(point)) for point in points])


def points_of(sweep: cirq.Sweep) -> list[Point]:
    """Return the points of a Cirq sweep.

    Example:
        >>> points_of(cirq.Points("a", [0.5, 1.0]))
        [{'a': 0.5}, {'a': 1.0}]
    """
    return [{str(name): float(value) for name, value in r.param_dict.items()} for r in cirq.to_resolvers(sweep)]


def only_measurements(circuits: Sequence[cirq.AbstractCircuit]) -> list[cirq.Operation]:
    """Return the one measurement of each circuit, as `only_measurement` does."""
    return [only_measurement(circuit) for circuit in circuits]


def only_measurement(circuit: cirq.AbstractCircuit) -> cirq.Operation:
    """Return the one measurement of a circuit, which is alone in its last moment.

    Raises:
        ValueError: The circuit has no measurement, several, or one elsewhere.

    Example:
        >>> only_measurement(cirq.Circuit(cirq.X(cirq.q(0)), cirq.measure(cirq.q(0)))).qubits
        (cirq.LineQubit(0),)
    """
    last = list(circuit[-1].operations) if len(circuit) else []
    measurements = [op for op in circuit.all_operations() if cirq.is_measurement(op)]
    if len(measurements) != 1 or last != measurements:
        raise ValueError(f"a circuit must end in one measurement alone in the last moment; it has {len(measurements)}")
    return measurements[0]
