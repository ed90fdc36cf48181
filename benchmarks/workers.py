"""Benchmark of `workers=`: noisy simulation of a campaign of circuits by one process and by two.

Run `python -m benchmarks.workers`. The campaign is a sweep of noisy circuits on the virtual Willow processor: 8 qubits, 30 CZ,
random angles of all single-qubit gates. All processes are warm, and the counts of all runs are compared bit for bit. Seconds
are of the clock; the table also states the processor time of this process and of each worker, and the load of the machine,
which must be below the number of idle cores for the speed-up to mean anything.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
from functools import partial
from pathlib import Path

import cirq
import numpy as np

import hattriq_cirq as hq
from benchmarks.timing import alternate, ratio_text
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.compilation.snapshot import load_processor
from hattriq_cirq.foundation.arrays import FloatArray

POINTS, SHOTS, REPEATS = 600, 1000, 5
LAYERS = 30


def campaign(angles_seed: int, n_qubits: int = 8, points: int = POINTS) -> ParameterizedCircuit:
    """Return a program with a symbol for every angle: a path of qubits, a CZ in each layer, and gates on its two qubits."""
    graph, rng = load_processor("willow_pink").graph, np.random.default_rng(0)
    path: list[cirq.Qid] = []
    while len(path) < n_qubits:  # a random path that never meets itself
        path = path if path else [sorted(graph)[rng.integers(len(graph))]]
        free = [q for q in sorted(graph.neighbors(path[-1])) if q not in path]
        path = [*path, free[rng.integers(len(free))]] if free else []
    moments: list[cirq.Moment] = [_turned(path, 0)]
    for layer in range(LAYERS):
        pair = path[layer % (n_qubits - 1) : layer % (n_qubits - 1) + 2]
        moments += [cirq.Moment(cirq.CZ(*pair)), _turned(pair, layer + 1)]
    circuit = cirq.FrozenCircuit.from_moments(*moments, cirq.Moment(cirq.measure(*path, key="m")))
    names = sorted(cirq.parameter_names(circuit))
    angles = np.random.default_rng(angles_seed).uniform(-1, 1, (points, len(names)))
    sweep = tuple(dict(zip(names, map(float, row), strict=True)) for row in angles)
    return ParameterizedCircuit(circuit, tuple(range(points)), sweep)


def _turned(qubits: list[cirq.Qid], layer: int) -> cirq.Moment:
    import sympy

    def gate(i: int) -> cirq.Gate:
        x, z, a = sympy.symbols(f"x{layer}_{i} z{layer}_{i} a{layer}_{i}")
        return cirq.PhasedXZGate(x_exponent=x, z_exponent=z, axis_phase_exponent=a)

    return cirq.Moment(gate(i).on(q) for i, q in enumerate(qubits))


def children() -> dict[int, float]:
    """Return the processor time in seconds of each process that this one started and that still runs; on Linux only."""
    tick, found = os.sysconf("SC_CLK_TCK"), {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(words[1]) == os.getpid():
            found[int(stat.parent.name)] = (int(words[11]) + int(words[12])) / tick
    return found


def main() -> None:
    """Print the table."""
    programs = [campaign(seed) for seed in range(REPEATS + 2)]
    counts: dict[int, list[FloatArray]] = {1: [], 2: []}
    engines = {workers: hq.virtual("willow_pink", seed=1, workers=workers, max_shots=10**12) for workers in (1, 2)}

    def run(workers: int) -> None:
        found = engines[workers].execute([programs[len(counts[workers])]], [SHOTS] * POINTS)  # other angles in each call
        counts[workers].append(np.array([each.counts for each in found]))

    start = time.perf_counter()
    run(2)
    first = time.perf_counter() - start
    run(1)
    before, own = children(), time.process_time()
    seconds = alternate({str(workers): partial(run, workers) for workers in (1, 2)}, REPEATS)
    own, spent = time.process_time() - own, {pid: after - before[pid] for pid, after in children().items()}
    np.testing.assert_array_equal(counts[1], counts[2])
    print(f"{POINTS} circuits of 8 qubits and {LAYERS} CZ, {SHOTS} shots each; load {os.getloadavg()[0]:.1f}")
    print(f"first run with 2 workers, which start: {first:.1f} s")
    print("| workers | seconds, median [least, most] | speed-up |")
    print("|---|---|---|")
    for workers, each in seconds.items():
        times = f"{np.median(each):.2f} [{each.min():.2f}, {each.max():.2f}]"
        print(f"| {workers} | {times} | {ratio_text(seconds['1'], each)} |")
    each_run = ", ".join(f"{value / (REPEATS + 1):.2f}" for value in spent.values())
    print(f"processor time of each worker per run: {each_run} s; of this process for both runs: {own / (REPEATS + 1):.2f} s")


if __name__ == "__main__":
    main()
