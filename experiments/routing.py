"""What processors make of every estimator's circuits: two-qubit gates after routing, and how long compiling takes.

Run `python -m experiments.routing`, or with `--quick` for a small sample. Random ring models of 3 layers, random dense inputs,
zero baseline; at most 16 circuits of an attribution, evenly spaced; two-qubit gates of the largest as built, compiled for
all-to-all coupling, and placed and routed on the virtual processor; predicted fidelity by its calibration; seconds to place and
to compile them. Prints the table.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cirq
import numpy as np

import hattriq_cirq as hq
from experiments.calibrated_noise import ESTIMATORS, PROCESSOR
from hattriq_cirq._circuits import multi_qubit_gates
from hattriq_cirq.encoding import Encoder
from hattriq_cirq.engines.errors import CircuitRefusedError
from hattriq_cirq.engines.processor import load_processor
from hattriq_cirq.estimators import Product, plan
from hattriq_cirq.sampled import placed


@dataclass(frozen=True)
class Row:
    """One estimator on one number of data qubits; `refused` says why nothing was compiled."""

    n_qubits: int
    estimator: str
    circuits: int
    compiled: int = 0
    programs: int = 0
    built: int = 0
    free: int = 0
    routed: int = 0
    fidelity: float = 0.0
    microseconds: float = 0.0
    place_seconds: float = 0.0
    compile_seconds: float = 0.0
    refused: str = ""

    def __str__(self) -> str:
        lead = f"| {self.n_qubits} | {self.estimator} | {self.circuits} |"
        if self.refused:
            return f"{lead} refused: {self.refused} |"
        return (
            f"{lead} {self.compiled} | {self.programs} | {self.built} | {self.free} | {self.routed} | {self.fidelity:.2f} | "
            f"{self.microseconds:.1f} | {self.place_seconds:.1f} | {self.compile_seconds:.1f} |"
        )


def row(n_qubits: int, name: str, most: int) -> Row:
    """Places and compiles the circuits of one attribution, at most so many of them, evenly spaced."""
    rng = np.random.default_rng(n_qubits)
    model = hq.ring_ansatz(n_qubits, 3)
    model = model.with_params({parameter: float(rng.normal()) for parameter in model.params})
    x = rng.normal(size=2**n_qubits)
    x /= np.linalg.norm(x)
    engine, estimator = hq.virtual(PROCESSOR), ESTIMATORS[name]
    processor = load_processor(PROCESSOR)

    def circuits(encoder: Encoder) -> list[cirq.Circuit]:
        return [r.circuit for r in plan(estimator.prepared_by(encoder), model, [Product(x, x)]).readings]

    every = circuits(hq.encoding.encode)
    total = len(every)
    looked_at = np.unique(np.linspace(0, total - 1, min(most, total)).astype(int))
    plain = [every[i] for i in looked_at]
    try:
        start = time.perf_counter()
        placement = placed(model, estimator, [[Product(x, x)]], engine)
        chosen = time.perf_counter()
        assert placement is not None
        made = circuits(placement.encoder)
        programs = engine.compile([made[i] for i in looked_at], placement)
        compiled = time.perf_counter()
    except CircuitRefusedError as error:
        return Row(n_qubits, name, total, refused=str(error))
    free = [cirq.optimize_for_target_gateset(c, gateset=processor.gateset, ignore_failures=False) for c in plain[:3]]
    return Row(
        n_qubits,
        name,
        total,
        len(plain),
        len(programs),
        max(map(multi_qubit_gates, plain)),
        max(map(multi_qubit_gates, free)),
        max(multi_qubit_gates(program.circuit) for program in programs),
        float(np.mean([processor.fidelity(circuit) for circuit in placement.circuits])),
        max(processor.duration_ns(program.circuit) for program in programs) / 1000,
        chosen - start,
        compiled - chosen,
    )


def rows(qubits: Sequence[int], most: int) -> Iterator[Row]:
    """Every estimator on every number of qubits."""
    for n_qubits in qubits:
        for name in ESTIMATORS:
            yield row(n_qubits, name, most)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], prog="python -m experiments.routing")
    parser.add_argument("--quick", action="store_true", help="2 and 3 qubits, at most 4 circuits each")
    chosen = parser.parse_args(arguments)
    qubits, most = ((2, 3), 4) if chosen.quick else ((2, 3, 4, 5, 6), 16)
    columns = "n | estimator | circuits | compiled | programs | 2q as built | 2q free | 2q routed | fidelity | us"
    print(f"| {columns} | place, s | compile, s |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for line in rows(qubits, most):
        print(line, flush=True)


if __name__ == "__main__":
    main()
