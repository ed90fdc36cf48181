"""Benchmark of compiling the points of a path once as a sweep, against compiling each circuit alone.

Run `python -m benchmarks.compiling`. The circuits are those of the resolved test of a ring model of 3 layers on the virtual
Willow processor, one circuit per point of a midpoint rule, and are checked against their sources in both cases.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cirq
import numpy as np

import hattriq_cirq as hq
from benchmarks.timing import alternate, ratio_text
from hattriq_cirq.attribution.quadrature import parse_rule
from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.compilation.compile import compile_for
from hattriq_cirq.compilation.processor import load_processor
from hattriq_cirq.encoding.exact import Encoder
from hattriq_cirq.estimators import plan
from hattriq_cirq.pipeline.prepare import bilinear_terms, choose_placement


def compare(n_qubits: int, points: int, repeats: int = 3) -> str:
    """Return a table row: seconds alone and as a sweep, the ratio, and two-qubit gates of both."""
    rng = np.random.default_rng(n_qubits)
    model = hq.ring_ansatz(n_qubits, 3)
    model = model.with_params({name: float(rng.normal()) for name in model.params})
    x, baseline = rng.normal(size=(2, 2**n_qubits))
    terms = bilinear_terms(x, baseline[np.newaxis], parse_rule(f"midpoint:{points}"))
    processor = load_processor("willow_pink")

    def circuits(encoder: Encoder) -> list[cirq.Circuit]:
        return [r.circuit for r in plan(hq.ResolvedHadamardTest().with_encoder(encoder), model, terms).circuits]

    placement = choose_placement(model, hq.ResolvedHadamardTest(), [terms], hq.virtual("willow_pink", noise="none"))
    assert placement is not None
    path_circuits = circuits(placement.encoder)

    def alone() -> list[ParameterizedCircuit]:
        return [program for circuit in path_circuits for program in compile_for(processor, [circuit], placement.qubits)]

    def swept() -> list[ParameterizedCircuit]:
        return compile_for(processor, path_circuits, placement.qubits)

    seconds = alternate({"alone": alone, "swept": swept}, repeats)
    gates = [max(multi_qubit_gates(program.circuit) for program in method()) for method in (alone, swept)]
    return (
        f"| {n_qubits} | {points} | {np.median(seconds['alone']):.2f} s | {np.median(seconds['swept']):.2f} s | "
        f"{ratio_text(seconds['alone'], seconds['swept'])} | {gates[0]} / {gates[1]} | {len(swept())} |"
    )


def main() -> None:
    """Print the table."""
    print("| n | points | each alone | as a sweep | alone / sweep | 2q gates alone / sweep | programs |")
    print("|---|---|---|---|---|---|---|")
    for n_qubits in (3, 4, 5):
        print(compare(n_qubits, 50), flush=True)


if __name__ == "__main__":
    main()
