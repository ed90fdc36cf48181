"""A circuit with symbols and the points of its sweep, and the one measurement that every circuit ends in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cirq

Point = Mapping[str, float]
"""A value for every symbol of a circuit; empty for a circuit without symbols."""


@dataclass(frozen=True, eq=False)
class ParameterizedCircuit:
    """A circuit as it will run, and which of the requested circuits each of its points is.

    Args:
        circuit: on the qubits of the processor, if there is one; with symbols, if it stands for several requests.
        requests: positions of the requested circuits, one a point.
        points: of the sweep.
    """

    circuit: cirq.FrozenCircuit
    requests: tuple[int, ...]
    points: tuple[Point, ...] = field(default=({},))

    def __post_init__(self) -> None:
        if len(self.requests) != len(self.points):
            raise ValueError(f"{len(self.requests)=} must be that of points, {len(self.points)}: one request a point")


def to_sweep(points: Sequence[Point]) -> cirq.Sweep:
    """Points as Cirq wants them."""
    if not any(points):
        return cirq.UnitSweep if len(points) == 1 else cirq.ListSweep([cirq.ParamResolver({})] * len(points))
    return cirq.ListSweep([cirq.ParamResolver(dict(point)) for point in points])


def points_of(found: cirq.Sweep) -> list[Point]:
    """A sweep of Cirq's as points."""
    return [{str(name): float(value) for name, value in r.param_dict.items()} for r in cirq.to_resolvers(found)]


def only_measurement(circuit: cirq.AbstractCircuit) -> cirq.Operation:
    """The one measurement, alone in the last moment, or an error."""
    last = list(circuit[-1].operations) if len(circuit) else []
    found = [op for op in circuit.all_operations() if cirq.is_measurement(op)]
    if len(found) != 1 or last != found:
        raise ValueError(f"a circuit must end in one measurement alone in the last moment; it has {len(found)}")
    return found[0]
