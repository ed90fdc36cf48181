"""Benchmarks of placement and compilation on the virtual Willow processor, for the resolved test of a ring of 3 layers.

Run `python -m benchmarks.compiling`. The first table compares placing and compiling one circuit with one pass of Cirq's
`optimize_for_target_gateset` over the same circuit. The second compares compiling the points of a path once as a sweep with
compiling each circuit alone. All circuits are checked against their sources. Seconds are processor time of one thread.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from time import process_time

import cirq
import numpy as np

import hattriq_cirq as hq
from benchmarks.timing import alternate, ratio_text
from hattriq_cirq.attribution.quadrature import parse_rule
from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.compilation.compile import compile_for
from hattriq_cirq.compilation.snapshot import load_processor
from hattriq_cirq.encoding.exact import Encoder
from hattriq_cirq.estimators import plan
from hattriq_cirq.pipeline.prepare import bilinear_terms, choose_placement


def first_circuit(n_qubits: int) -> str:
    """Return a table row: seconds to place and compile one input, of one pass, the ratio, CZ, and predicted fidelity."""
    rng = np.random.default_rng(n_qubits)
    model = hq.ring_ansatz(n_qubits, 3)
    model = model.with_params({name: float(rng.normal()) for name in model.params})
    x, engine = rng.normal(size=2**n_qubits), hq.virtual("willow_pink", noise="none")
    start = process_time()
    prepared = hq.prepare(model, x, baseline=0, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=1000)
    ((_, circuits),) = prepared.chunks()
    ours = process_time() - start
    (source,) = (circuit for plan in prepared.input_plans() for circuit in plan.circuits)
    start = process_time()
    cirq.optimize_for_target_gateset(source, gateset=cirq.CZTargetGateset(), ignore_failures=False)
    one_pass = process_time() - start
    (program,) = circuits.programs
    fidelity = load_processor("willow_pink").fidelity(program.circuit)
    gates = multi_qubit_gates(program.circuit)
    return f"| {n_qubits} | {ours:.2f} s | {one_pass:.3f} s | {ours / one_pass:.1f} | {gates} | {fidelity:.3f} |"


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
    """Print the tables."""
    print("| n | placed and compiled | one pass | ratio | CZ | predicted fidelity |")
    print("|---|---|---|---|---|---|")
    for n_qubits in (4, 5, 6, 8):
        print(first_circuit(n_qubits), flush=True)
    print()
    print("| n | points | each alone | as a sweep | alone / sweep | 2q gates alone / sweep | programs |")
    print("|---|---|---|---|---|---|---|")
    for n_qubits in (3, 4, 5):
        print(compare(n_qubits, 50), flush=True)


if __name__ == "__main__":
    main()
