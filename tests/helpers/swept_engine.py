"""An engine that simulates all points of a sweep at once, without noise but for readout errors of one size."""

from __future__ import annotations

import numpy as np

from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.compilation.circuit_stack import stack_of_program
from hattriq_cirq.execution.backend import Job, Limits
from hattriq_cirq.execution.backends.sampler import InProcessBackend, sample_counts
from hattriq_cirq.execution.engine import Engine


class SweptBackend(InProcessBackend):
    """Backend of state vectors whose bits are read with independent errors.

    Args:
        seed: Random seed of the counts.
        e0: Probability that 0 is read as 1.
        e1: Probability that 1 is read as 0.
    """

    def __init__(self, seed: int | None, e0: float, e1: float) -> None:
        super().__init__("swept", seed, Limits(), {"kind": "test", "e0": e0, "e1": e1})
        self._confusion = np.array([[1 - e0, e1], [e0, 1 - e1]])

    def execute(self, job: Job) -> list[Distribution]:
        rng = np.random.default_rng(job.seed)
        found: list[Distribution] = []
        for circuit in job.circuits:
            program = ParameterizedCircuit(circuit.freeze(), tuple(range(len(job.points))), tuple(job.points))
            table = stack_of_program(program).probabilities()
            table = table.reshape(-1, *(2,) * (table.shape[1].bit_length() - 1))
            for axis in range(1, table.ndim):
                table = np.moveaxis(np.tensordot(table, self._confusion, (axis, 1)), -1, axis)
            for row in table.reshape(len(table), -1).clip(0):
                found.append(sample_counts(row / row.sum(), job.shots, rng))
        return found


def swept_engine(seed: int | None = None, *, e0: float = 0.0, e1: float = 0.0, journal: str | None = None) -> Engine:
    """Return an engine on a `SweptBackend`."""
    return Engine(SweptBackend(seed, e0, e1), journal=journal)
