"""A sampler whose counts do not depend on the ids of jobs."""

from __future__ import annotations

import zlib

import cirq


class ContentSampler(cirq.Sampler):
    """Sampler whose counts follow from the circuit and the shots alone, so that runs with other job ids can be compared."""

    def run_sweep(self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int = 1) -> list[cirq.Result]:
        """Run each point with a seed that is a checksum of its circuit."""
        found: list[cirq.Result] = []
        for point in cirq.to_resolvers(params):
            text = f"{cirq.to_json(cirq.resolve_parameters(program, point))} {repetitions}"
            found += cirq.Simulator(seed=zlib.crc32(text.encode())).run_sweep(program, point, repetitions)
        return found
