"""Maps drawn from exact distributions: circuits are simulated once, and counts of any number of shots cost next to nothing."""

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
from hattriq_cirq.foundation.arrays import Array, FloatArray


@dataclass(frozen=True, eq=False)
class ResampledMaps:
    """The circuits of one map with their exact distributions.

    Args:
        plan: circuits with their weights, all of as many outcomes.
        distributions: exact, one a circuit.
    """

    plan: Plan
    distributions: Sequence[Distribution]

    @classmethod
    def of(cls, model: hq.Model, x: Array, estimator: Estimator) -> ResampledMaps:
        """The attributions of x, (features,), against the zero baseline, simulated by qsim."""
        made = plan(estimator, model, [BilinearTerm(x, x)])
        return cls(made, hq.qsim(threads=1).run([reading.circuit for reading in made.circuits], None))

    @cached_property
    def _weights(self) -> csr_array:
        """(features, circuits * outcomes)."""
        return csr_array(hstack([reading.weights.explicit for reading in self.plan.circuits], format="csr"))

    def counts(self, shots: int, replicates: int, rng: np.random.Generator) -> Array:
        """Independent counts of all circuits, (replicates, circuits, outcomes), with so many shots in all each time."""
        chances = np.array([d.probabilities for d in self.distributions])
        chances /= chances.sum(axis=1, keepdims=True)
        return rng.multinomial(self.plan.shots(shots), chances, size=(replicates, len(chances)))

    def values(self, counts: Array) -> FloatArray:
        """What `Plan.decode` makes of counts, (replicates, features)."""
        frequencies = counts / counts.sum(axis=2, keepdims=True)
        return np.asarray(self.plan.offset + (self._weights @ frequencies.reshape(len(counts), -1).T).T)

    def stderr(self, counts: Array) -> FloatArray:
        """The standard errors that `Plan.decode` reports, (replicates, features), by `Distribution.variances`."""
        total = np.zeros((len(self.plan.offset), len(counts)))
        for c, reading in enumerate(self.plan.circuits):
            seen = counts[:, c]
            shots = seen.sum(axis=1, keepdims=True)
            likely = ((seen + 4 / seen.shape[1]) / (shots + 4)).T
            squares = reading.weights.explicit.multiply(reading.weights.explicit) @ likely
            total += np.maximum(squares - (reading.weights @ likely) ** 2, 0) / shots.T
        return np.asarray(np.sqrt(total).T)


def random_model(n_qubits: int, layers: int, seed: int) -> hq.Model:
    """A ring model with normal random parameters: as good as untrained."""
    rng = np.random.default_rng([seed, n_qubits, layers])
    model = hq.ring_ansatz(n_qubits, layers)
    return model.with_params({name: float(rng.normal()) for name in model.params})


def random_inputs(n_qubits: int, seed: int, count: int) -> FloatArray:
    """Dense real unit inputs, (count, features)."""
    x = np.random.default_rng([seed, n_qubits, 7]).normal(size=(count, 2**n_qubits))
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def exponents(at: Sequence[float] | Array, values: Any) -> FloatArray:
    """Exponents a of values ~ at**a by least squares of logarithms.

    Args:
        at: (points,), positive.
        values: (points, ...), positive.

    Returns:
        (...,).
    """
    logs = np.log(np.asarray(values, dtype=float))
    fitted = np.polyfit(np.log(np.asarray(at, dtype=float)), logs.reshape(len(logs), -1), 1)[0]
    return np.asarray(fitted.reshape(logs.shape[1:]))
