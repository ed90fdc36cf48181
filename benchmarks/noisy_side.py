"""One side of `benchmarks.noisy`: runs a stored program with whatever version of the package is imported.

Run by its path, with the package's checkout in PYTHONPATH: python noisy_side.py PROGRAM POINTS RESULT SHOTS METHOD. METHOD is
"float64" or "float32" for the engine, or "rebuild" to convert the noise of every circuit anew, as `noisy_probabilities` does.
Each line that is read starts a run on a new engine, "warm" on one that has run the circuit at another point before; its
processor seconds are printed and its probabilities are saved.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from time import process_time
from typing import Any

import cirq
import numpy as np

from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution import Engine, virtual
from hattriq_cirq.execution.backends import simulators
from hattriq_cirq.execution.backends.virtual import VirtualBackend


def main(program: str, points_file: str, result: str, shots: str, method: str) -> None:
    circuit = cirq.read_json(program).freeze()
    points = json.loads(Path(points_file).read_text(encoding="utf-8"))
    settings: dict[str, Any] = {"precision": "float32"} if method == "float32" else {}
    for line in sys.stdin:
        start, engine = process_time(), virtual("willow_pink", seed=1, **settings)
        if line.strip() == "warm":
            by_engine(engine, circuit, [dict.fromkeys(points[0], 0.1)] * 2, None)
            start = process_time()
        if method == "rebuild":
            probabilities = rebuilt(circuit, points)
        else:
            probabilities = by_engine(engine, circuit, points, int(shots) or None)
        print(process_time() - start, flush=True)
        np.save(result, np.array(probabilities))


def by_engine(engine: Engine, circuit: cirq.FrozenCircuit, points: list[dict[str, float]], shots: int | None) -> list[Any]:
    """Run all points as one sweep."""
    program = ParameterizedCircuit(circuit, tuple(range(len(points))), tuple(points))
    return [one.probabilities for one in engine.execute([program], None if shots is None else [shots] * len(points))]


def rebuilt(circuit: cirq.FrozenCircuit, points: list[dict[str, float]]) -> list[Any]:
    """Convert the noise of every circuit and simulate it alone."""
    try:
        populations = import_module("hattriq_cirq.simulation.noisy_program").populations
    except ImportError:  # versions before it
        populations = import_module("hattriq_cirq.simulation.pauli_transfer").populations
    noise = VirtualBackend("willow_pink").noise_on(circuit)
    resolved = [cirq.resolve_parameters(circuit, cirq.ParamResolver(dict(point))) for point in points]
    return [simulators.noisy_probabilities(one, noise, populations) for one in resolved]


if __name__ == "__main__":
    main(*sys.argv[1:])
