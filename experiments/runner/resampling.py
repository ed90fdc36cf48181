"""Maps resampled from exact distributions: circuits are simulated once, then counts of any number of shots are sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array, hstack

import hattriq_cirq as hq
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.estimators import BilinearTerm, Estimator, Plan, plan
from hattriq_cirq.estimators.plan import RARE_OUTCOMES
from hattriq_cirq.foundation.arrays import Array, FloatArray, normal_interval
from hattriq_cirq.workflows.generated_models import random_ring


@dataclass(frozen=True, eq=False)
class ResampledMaps:
    """The circuits of one map with their exact distributions.

    Args:
        plan: Circuits with their weights, all with the same number of outcomes.
        distributions: Exact distribution of each circuit.
    """

    plan: Plan
    distributions: Sequence[Distribution]

    @classmethod
    def simulate(cls, model: hq.Model, x: Array, estimator: Estimator) -> ResampledMaps:
        """Simulate the circuits that attribute x, (features,), against the zero baseline."""
        circuits = plan(estimator, model, [BilinearTerm(x, x)])
        return cls(circuits, hq.qsim(threads=1).run([each.circuit for each in circuits.circuits], None))

    @cached_property
    def _weights(self) -> csr_array:
        """(features, circuits * outcomes)."""
        return csr_array(hstack([each.weights.explicit for each in self.plan.circuits], format="csr"))

    def counts(self, shots: int, replicates: int, rng: np.random.Generator) -> Array:
        """Sample independent counts of all circuits, (replicates, circuits, outcomes); the shots are those of one replicate."""
        probabilities = np.array([d.probabilities for d in self.distributions])
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return rng.multinomial(self.plan.shots(shots), probabilities, size=(replicates, len(probabilities)))

    def values(self, counts: Array) -> FloatArray:
        """Decode counts as `Plan.decode` does, (replicates, features)."""
        frequencies = counts / counts.sum(axis=2, keepdims=True)
        return np.asarray(self.plan.offset + (self._weights @ frequencies.reshape(len(counts), -1).T).T)

    def stderr(self, counts: Array) -> FloatArray:
        """Compute the standard errors that `Plan.decode` reports, (replicates, features), by `Distribution.variances`."""
        total = np.zeros((len(self.plan.offset), len(counts)))
        for c, circuit in enumerate(self.plan.circuits):
            observed = counts[:, c]
            shots = observed.sum(axis=1, keepdims=True)
            smoothed = ((observed + 4 / observed.shape[1]) / (shots + 4)).T
            weights = circuit.weights.explicit
            squares = weights.multiply(weights) @ smoothed
            total += np.maximum(squares - (weights @ smoothed) ** 2, 0) / shots.T
        return np.asarray(np.sqrt(total).T)

    def half_widths(self, counts: Array, level: float = 0.95) -> FloatArray:
        """Compute half the widths of the intervals that `Estimate.interval` returns, (replicates, features)."""
        shots = counts[0].sum(axis=1)
        steps = [circuit.weights.ranges / n for circuit, n in zip(self.plan.circuits, shots, strict=True)]
        stderr = np.sqrt(self.stderr(counts) ** 2 + RARE_OUTCOMES * np.max(steps, axis=0) ** 2)
        return normal_interval(np.zeros(stderr.shape), stderr, level)[1]


def random_model(n_qubits: int, layers: int, seed: int) -> hq.Model:
    """Return a ring model with normally distributed parameters, which behaves like an untrained one."""
    return random_ring(n_qubits, layers, seed)


def random_inputs(n_qubits: int, seed: int, count: int) -> FloatArray:
    """Return dense real inputs of norm 1, (count, features)."""
    x = np.random.default_rng([seed, n_qubits, 7]).normal(size=(count, 2**n_qubits))
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def exponents(at: Sequence[float] | Array, values: Any) -> FloatArray:
    """Fit the exponents a of values ~ at**a by least squares of logarithms.

    Args:
        at: Positive numbers, (points,).
        values: Positive values, (points, ...).

    Returns:
        The exponents, (...,).
    """
    logs = np.log(np.asarray(values, dtype=float))
    fitted = np.polyfit(np.log(np.asarray(at, dtype=float)), logs.reshape(len(logs), -1), 1)[0]
    return np.asarray(fitted.reshape(logs.shape[1:]))
