"""Compiled circuits of a few models as JSON text, printed for comparison with other processes.

Run `python compiled_models.py NUMBER...`: one line per number, with the circuits and the points of their sweeps.
"""

from __future__ import annotations

import json
import sys

import cirq
import numpy as np

import hattriq_cirq as hq

NUMBERS = range(10)
"""Models: rings, random circuits and grids of 2 to 6 qubits."""


def random_circuit(n: int, rng: np.random.Generator) -> cirq.Circuit:
    """Return a circuit of random gates on a line."""
    q = cirq.LineQubit.range(n)
    circuit = cirq.Circuit()
    for _ in range(4 * n):
        a, b = (q[i] for i in rng.permutation(n)[:2])
        angle = float(rng.normal())
        pairs = (cirq.CNOT, cirq.CZ, cirq.ISWAP**0.5, cirq.ZZ**angle, cirq.SWAP)
        circuit.append([cirq.ry(angle)(a), cirq.rx(2 * angle)(b), cirq.T(a), pairs[rng.integers(len(pairs))](a, b)])
    return circuit


def grid_circuit(n: int, rng: np.random.Generator) -> cirq.Circuit:
    """Return two layers of rotations and CZ on a grid with two columns."""
    q = cirq.GridQubit.rect((n + 1) // 2, 2)[:n]
    pairs = [(a, b) for a in q for b in q if a < b and a.is_adjacent(b)]
    return cirq.Circuit([[cirq.ry(float(rng.normal()))(a) for a in q] + [cirq.CZ(*pair) for pair in pairs] for _ in range(2)])


def model_of(number: int) -> tuple[hq.Model, np.ndarray]:
    """Return a model and three inputs, of which the last has zeros."""
    rng = np.random.default_rng(number)
    n = 2 + number % 5
    if number % 3 == 0:
        model = hq.ring_ansatz(n, 2)
        model = model.with_params({name: float(rng.normal()) for name in model.params})
    else:
        circuit = (random_circuit, grid_circuit)[number % 3 - 1](n, rng)
        q = sorted(circuit.all_qubits())
        observable = 0.5 * cirq.Z(q[0]) * cirq.X(q[-1]) + 1.0 * cirq.Z(q[1]) - 0.25 * cirq.Y(q[0]) * cirq.Y(q[1])
        model = hq.Model(circuit, q, observable)
    x = rng.normal(size=(3, 2**n))
    x[2, rng.integers(2**n, size=2 ** (n - 1))] = 0
    x[2, 0] += 1
    return model, x


def compiled(number: int) -> str:
    """Return the compiled circuits of a model, as JSON."""
    older = "rainbow" if number // 4 % 2 else "weber"
    processor, gateset = (("willow_pink", None), ("willow_pink", None), (older, "sqrt_iswap"), (older, "sycamore"))[number % 4]
    model, x = model_of(number)
    engine = hq.virtual(processor, gateset=gateset, noise="none")
    estimator, baseline = hq.ResolvedHadamardTest(), 0.1 if number % 2 else 0.0
    prepared = hq.prepare(model, x, baseline=baseline, estimator=estimator, engine=engine, shots=1000)
    programs = [program for _, circuits in prepared.chunks() for program in circuits.programs]
    return json.dumps([[cirq.to_json(program.circuit, indent=None), list(program.points)] for program in programs])


if __name__ == "__main__":
    for each in map(int, sys.argv[1:]):
        print(compiled(each))
