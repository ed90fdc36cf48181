"""Benchmark of `workers=`: noisy simulation of a campaign of circuits by one process and by two.

Run `python -m benchmarks.workers`. Campaigns are sweeps of noisy circuits on the virtual Willow processor, with random angles
of all single-qubit gates: 8 qubits with 30 CZ, and 9 qubits with 100 CZ. All processes are warm, each run has other angles, and
the counts of all runs are compared bit for bit. Seconds are of the clock, and mean little unless the cores are idle. Processor
time depends less on the load: on idle cores a run takes at most that of this process and the mean of the workers, one after
the other.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import time
from functools import partial
from pathlib import Path

import cirq
import numpy as np

import hattriq_cirq as hq
from benchmarks.rows import Rows
from benchmarks.timing import WARM_UP, alternate, ratio_text
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.compilation.snapshot import load_processor
from hattriq_cirq.foundation.arrays import FloatArray

SHOTS, REPEATS = 1000, 3
_NOTE = """\
Noisy simulation of a campaign by one process and by two, equal bit for bit. Seconds are of the clock; on idle cores a
run of two takes at most the processor time of this process and that of one worker.
"""
#: Qubits, CZ and circuits of each campaign.
CAMPAIGNS = ((8, 30, 6000), (9, 100, 64))


def campaign(angles_seed: int, n_qubits: int, layers: int, points: int) -> ParameterizedCircuit:
    """Return a program with a symbol for every angle: a path of qubits, a CZ in each layer, and gates on its two qubits."""
    graph, rng = load_processor("willow_pink").graph, np.random.default_rng(0)
    path: list[cirq.Qid] = []
    while len(path) < n_qubits:  # a random path that never meets itself
        path = path if path else [sorted(graph)[rng.integers(len(graph))]]
        free = [q for q in sorted(graph.neighbors(path[-1])) if q not in path]
        path = [*path, free[rng.integers(len(free))]] if free else []
    moments: list[cirq.Moment] = [_turned(path, 0)]
    for layer in range(layers):
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


def compare(n_qubits: int, layers: int, points: int) -> str:
    """Return a table row: seconds of one process and of two, the ratio, processor times, and the ratio that these allow."""
    programs = [campaign(seed, n_qubits, layers, points) for seed in range(WARM_UP + REPEATS)]
    counts: dict[int, list[FloatArray]] = {1: [], 2: []}
    spent: dict[int, list[float]] = {1: [], 2: []}
    shares: list[float] = []
    engines = {workers: hq.virtual("willow_pink", seed=1, workers=workers) for workers in (1, 2)}

    def run(workers: int) -> None:
        start, before = time.process_time(), children()
        found = engines[workers].execute([programs[len(counts[workers])]], [SHOTS] * points)
        counts[workers].append(np.array([each.counts for each in found]))
        spent[workers].append(time.process_time() - start)
        if workers == 2:
            shares.append(sum(after - before.get(pid, 0.0) for pid, after in children().items()) / 2)

    seconds = alternate({str(workers): partial(run, workers) for workers in (1, 2)}, REPEATS)
    np.testing.assert_array_equal(counts[1], counts[2])
    one, own, worker = (float(np.median(each[WARM_UP:])) for each in (spent[1], spent[2], shares))
    return (
        f"| {n_qubits} | {layers} | {points} | {np.median(seconds['1']):.2f} s | {np.median(seconds['2']):.2f} s | "
        f"{ratio_text(seconds['1'], seconds['2'])} | {one:.2f} s | {own:.2f} + {worker:.2f} s | {one / (own + worker):.2f} | "
        f"{os.getloadavg()[0]:.1f} |"
    )


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    Rows.add_argument(parser)
    rows = Rows.of(parser.parse_args(arguments))
    print(_NOTE)
    print(
        "| qubits | CZ | circuits | 1 process | 2 workers | speed-up | CPU, 1 process | CPU, this + a worker | ratio | load |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for sizes in CAMPAIGNS:
        print(rows.get("workers", *sizes, measure=partial(compare, *sizes)), flush=True)


if __name__ == "__main__":
    main()
