"""A model of two qubits with complex amplitudes, an observable of several Pauli strings, an input, and all estimators."""

from __future__ import annotations

import cirq
import numpy as np

import hattriq_cirq as hq

LINE = cirq.LineQubit.range(2)
CIRCUIT = cirq.Circuit(
    cirq.ry(0.7)(LINE[0]), cirq.rx(0.4)(LINE[1]), cirq.CZ(*LINE), cirq.ry(-1.1)(LINE[0]), cirq.rx(2.0)(LINE[1])
)
OBSERVABLE = cirq.Z(LINE[0]) * cirq.Y(LINE[1]) * 0.7 + cirq.X(LINE[0]) + 0.2
MODEL = hq.Model(CIRCUIT, LINE, OBSERVABLE)
RNG = np.random.default_rng(5)
X = RNG.normal(size=4) + 1j * RNG.normal(size=4)
B = (RNG.normal(size=4) + 1j * RNG.normal(size=4)) / 2
ESTIMATORS = [
    hq.ResolvedHadamardTest(),
    hq.HadamardTest(),
    hq.HadamardTest(literal=True),
    hq.ParallelHadamardTest(2),
    hq.PolarizationShift(),
]
