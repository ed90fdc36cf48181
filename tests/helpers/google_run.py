"""Runs of 50 jobs on the stand-in service in forked processes, one for each line ADDRESS FOLDER RESULT of standard input."""

from __future__ import annotations

import cirq
import numpy as np
from forked import serve
from stand_in import client, disconnect

from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution.backends.google import google

JOBS, SHOTS = 50, 200


def circuits() -> list[cirq.FrozenCircuit]:
    """Return circuits with different rotation angles."""
    a, b = cirq.GridQubit.rect(1, 2, 5, 9)
    return [
        cirq.FrozenCircuit(cirq.X(a) ** (i / JOBS), cirq.X(b), cirq.CZ(a, b), cirq.measure(a, b, key="z")) for i in range(JOBS)
    ]


def main(address: str, folder: str, result: str) -> None:
    """Start or resume the run and write the counts."""
    engine = client(address)
    try:
        runs = google("p", "willow_pink", journal=folder, engine=engine, circuits_per_job=1, jobs=5, poll_seconds=0.005)
        distributions = runs.execute(
            [ParameterizedCircuit(circuit, (i,)) for i, circuit in enumerate(circuits())], [SHOTS] * JOBS
        )
        np.save(result, np.array([distribution.counts for distribution in distributions]))
    finally:
        disconnect(engine.context.client)


if __name__ == "__main__":
    serve(lambda line: main(*line.split()))
