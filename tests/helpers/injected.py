"""Readout with known errors, in dense NumPy that shares no code with the package; matrices are [prepared, observed]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cirq
import numpy as np
from scipy.sparse import csr_array

from hattriq_cirq.circuits.outcomes import Distribution, OutcomeWeights
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.estimators.bilinear import WeightedCircuit
from hattriq_cirq.estimators.plan import Plan
from hattriq_cirq.pipeline.mitigation import Variants

Array = np.ndarray[Any, np.dtype[Any]]
Rates = Mapping[Any, tuple[float, float]]
"""Error probabilities (e0, e1) of each qubit."""


def confusion(e0: float, e1: float) -> Array:
    """Return the confusion matrix of one bit, [prepared, observed]."""
    return np.array([[1 - e0, e0], [e1, 1 - e1]])


def kron(factors: Sequence[Array]) -> Array:
    """Return the Kronecker product of matrices; the first is the most significant."""
    product: Array = np.eye(1)
    for factor in factors:
        product = np.kron(product, factor)
    return product


def joint_confusion(rates: Sequence[tuple[float, float]]) -> Array:
    """Return the confusion matrix of all bits, [prepared, observed]."""
    return kron([confusion(*pair) for pair in rates])


def observed_probabilities(prepared: Array, rates: Sequence[tuple[float, float]]) -> Array:
    """Return the observed probabilities for independent readout errors: p_observed[o] = sum_p p[p] confusion[p, o]."""
    return np.asarray(prepared @ joint_confusion(rates))


def is_calibration(circuit: cirq.AbstractCircuit) -> bool:
    """Return True if a circuit consists of X gates and a measurement."""
    return all(cirq.is_measurement(op) or op.gate == cirq.X for op in circuit.all_operations())


def basis_state(circuit: cirq.AbstractCircuit) -> Array:
    """Return the ideal outcome probabilities of a calibration circuit."""
    (measurement,) = [op for op in circuit.all_operations() if cirq.is_measurement(op)]
    flipped = {op.qubits[0] for op in circuit.all_operations() if op.gate == cirq.X}
    index = int("".join("1" if q in flipped else "0" for q in measurement.qubits), 2)
    return np.asarray(np.eye(2 ** len(measurement.qubits))[index])


def observed_outcomes(variants: Variants, data: Mapping[int, Array], rates: Rates) -> list[Array]:
    """Return the observed probabilities of each request of variants, in order.

    Args:
        variants: Variants of circuits.
        data: Ideal probabilities of each data circuit, by its position among the circuits that are not for calibration.
        rates: Readout errors.
    """
    observed: dict[int, Array] = {}
    position = 0
    for program in variants.programs:
        (measurement,) = [op for op in program.circuit.all_operations() if cirq.is_measurement(op)]
        for request in program.requests:
            if is_calibration(program.circuit):
                prepared = basis_state(program.circuit)
            else:
                prepared, position = data[position], position + 1
            read = observed_probabilities(prepared, [rates[q] for q in measurement.qubits])
            observed[request] = read / read.sum()
    return [observed[request] for request in range(len(observed))]


def counted(observed: Sequence[Array], shots: Sequence[int] | None, rng: np.random.Generator) -> list[Distribution]:
    """Sample the shots of each request from its observed probabilities."""
    assert shots is not None
    return [Distribution.from_counts(rng.multinomial(n, p)) for n, p in zip(shots, observed, strict=True)]


def sample_counts(variants: Variants, data: Mapping[int, Array], rates: Rates, rng: np.random.Generator) -> list[Distribution]:
    """Sample counts with readout errors for each request of variants, in order; see `observed_outcomes`."""
    return counted(observed_outcomes(variants, data, rates), variants.shots, rng)


class ResolvedCase:
    """Resolved test of n data qubits with the zero baseline, by theory, for a random observable M with M M = 1.

    The outcome (a, k) has probability (x_k + (-1)**a (M x)_k)**2 / 4, and the map is x_k (M x)_k.
    """

    def __init__(self, n: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        size = 2**n
        basis, _ = np.linalg.qr(rng.normal(size=(size, size)))
        m = basis @ np.diag(np.repeat([1.0, -1.0], size // 2)) @ basis.T
        x = rng.normal(size=size)
        x /= np.linalg.norm(x)
        self.truth: Array = x * (m @ x)
        self.probabilities: Array = np.concatenate([(x + m @ x) ** 2, (x - m @ x) ** 2]) / 4
        self.qubits = cirq.LineQubit.range(n + 1)
        index = np.arange(size)
        entries = np.repeat([1.0, -1.0], size), (np.tile(index, 2), np.arange(2 * size))
        self.weights = csr_array(entries, shape=(size, 2 * size))
        circuit = cirq.Circuit(cirq.Moment(cirq.H.on_each(self.qubits)), cirq.Moment(cirq.measure(*self.qubits, key="z")))
        self.program = ParameterizedCircuit(circuit.freeze(), (0,))
        self.plan = Plan((WeightedCircuit(circuit, OutcomeWeights(self.weights), cirq.Circuit()),), np.zeros(size), "equal")
