"""Circuits with every kind of channel, on three qubits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import cirq
import numpy as np
import oracle
import sympy

from hattriq_cirq.models.model import Model

A, B, C = QUBITS = cirq.LineQubit.range(3)
OBSERVABLE = cirq.Z(A) * cirq.X(B) + 0.5 * cirq.Z(C) - 0.3 * cirq.Y(A) * cirq.Z(B) * cirq.X(C) + 0.7 * cirq.X(A)


def entangler(seed: int, qubits: list[cirq.LineQubit] = QUBITS) -> cirq.Circuit:
    """Return random rotations of each qubit and CZ between neighbours."""
    rng = np.random.default_rng(seed)
    rotations = [
        gate(angle)(q) for q in qubits for gate, angle in zip((cirq.rz, cirq.ry, cirq.rz), rng.uniform(0, 6, 3), strict=True)
    ]
    return cirq.Circuit(rotations, [cirq.CZ(a, b) for a, b in pairwise(qubits)])


M, K = sympy.symbols("m k")
FIRST = cirq.KeyCondition(cirq.MeasurementKey("m"), 0)
CONFUSION: dict[tuple[int, ...], oracle.Array] = {(0,): np.array([[0.9, 0.1], [0.25, 0.75]])}
KINDS = {
    "noise": cirq.Circuit(
        entangler(0),
        [cirq.depolarize(0.1)(A), cirq.amplitude_damp(0.2)(B), cirq.phase_damp(0.3)(C)],
        cirq.generalized_amplitude_damp(0.6, 0.25)(A),
        entangler(1),
    ),
    "measurement with feed-forward": cirq.Circuit(
        entangler(2), cirq.measure(A, key="m"), cirq.X(B).with_classical_controls("m"), entangler(3)
    ),
    "two keys with conditions of SymPy": cirq.Circuit(
        entangler(4),
        cirq.measure(A, B, key="m"),
        cirq.measure(C, key="k"),
        cirq.ry(0.7)(C).with_classical_controls(sympy.Eq(M, 2) | sympy.Eq(K, 1)),
        cirq.CZ(A, C).with_classical_controls(M > K),
        entangler(5),
    ),
    "reset and reuse": cirq.Circuit(entangler(6), cirq.reset(A), entangler(7), cirq.reset(B), entangler(8)),
    "readout confusion with inverted bits": cirq.Circuit(
        entangler(9),
        cirq.MeasurementGate(2, "m", invert_mask=(True, True), confusion_map=CONFUSION).on(A, C),
        cirq.Y(B).with_classical_controls("m"),
        entangler(10),
    ),
    "measurement of a Pauli string": cirq.Circuit(
        entangler(11),
        cirq.measure_single_paulistring(cirq.X(A) * cirq.Y(C), key="p"),
        cirq.X(B).with_classical_controls("p"),
        entangler(12),
    ),
    "key measured twice": cirq.Circuit(
        entangler(13),
        cirq.measure(A, key="m"),
        entangler(14),
        cirq.measure(A, key="m"),
        cirq.X(B).with_classical_controls(FIRST),
        cirq.ry(1.1)(C).with_classical_controls("m"),
        entangler(15),
    ),
}


@dataclass(frozen=True)
class ChannelCase:
    """A circuit with channels, as a model and as its oracle."""

    circuit: cirq.Circuit

    @property
    def model(self) -> Model:
        """A new model, which has computed nothing yet."""
        return Model(self.circuit, QUBITS, OBSERVABLE)

    @cached_property
    def matrix(self) -> oracle.Array:
        return oracle.channel_matrix(self.circuit, QUBITS, oracle.pauli_matrix(OBSERVABLE, QUBITS))


CASES = {name: ChannelCase(circuit) for name, circuit in KINDS.items()}


def random_channel_circuit(seed: int, length: int = 10) -> cirq.Circuit:
    """Return a random sequence of gates, measurements, conditional operations, resets and noise on the three qubits."""
    rng = np.random.default_rng(seed)
    widths: dict[str, int] = {}
    operations: list[cirq.Operation] = list(entangler(seed).all_operations())
    for _ in range(length):
        a, b = (QUBITS[i] for i in rng.permutation(3)[:2])
        gates: list[cirq.Operation] = [cirq.ry(rng.uniform(0, 6))(a), cirq.CNOT(a, b), cirq.CZ(a, b) ** 0.3, cirq.T(a)]
        gates += [cirq.reset(a), cirq.amplitude_damp(0.3)(a), cirq.phase_damp(0.4)(a), cirq.bit_flip(0.2)(b)]
        kind = rng.integers(3)
        if kind == 0:
            key = "mk"[rng.integers(2)]
            confusion = CONFUSION if rng.integers(3) == 0 else {}
            widths.setdefault(key, int(rng.integers(1, 3)))
            measured = (a, b)[: widths[key]]
            inverted = tuple(bool(bit) for bit in rng.integers(2, size=len(measured)))
            operations.append(cirq.MeasurementGate(len(measured), key, inverted, confusion_map=confusion).on(*measured))
        elif kind == 1 and widths:
            key = sorted(widths)[rng.integers(len(widths))]
            conditions = [key, sympy.Eq(sympy.Symbol(key), int(rng.integers(2 ** widths[key]))), sympy.Symbol(key) < 1]
            operations.append(gates[rng.integers(len(gates))].with_classical_controls(conditions[rng.integers(3)]))
        else:
            operations.append(gates[rng.integers(len(gates))])
    return cirq.Circuit(operations, entangler(seed + 1)[: int(rng.integers(4))])
