"""Auxiliary circuits of a mitigation: numbers that it measures beside a map, as an estimate of one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution
from hattriq_cirq.estimators.bilinear import WeightedCircuit
from hattriq_cirq.estimators.plan import Estimate
from hattriq_cirq.pipeline.mitigation import Mitigation

#: Circuits to run beside those of one input, each with its shots as a share of the input's.
CircuitShares = list[tuple[WeightedCircuit, float]]
#: Circuits that were run beside those of one input, each with its outcome.
MeasuredCircuits = Sequence[tuple[WeightedCircuit, Distribution | QuasiDistribution]]


@dataclass(frozen=True, eq=False)
class AuxiliaryCircuit(WeightedCircuit):
    """A circuit run beside those of a map, whose outcomes estimate one number: weights (1, 2**bits).

    Args:
        mitigation: Mitigation that uses the number.
    """

    mitigation: Mitigation = field(kw_only=True)


def auxiliary_estimate(mitigation: Mitigation, auxiliary: MeasuredCircuits) -> Estimate:
    """Return the sum of the numbers that a mitigation's own auxiliary circuits measured, an estimate of one value."""
    own = [(c.weights, outcome) for c, outcome in auxiliary if isinstance(c, AuxiliaryCircuit) and c.mitigation == mitigation]
    return Estimate(tuple(weights for weights, _ in own), tuple(outcome for _, outcome in own), np.zeros(1))
