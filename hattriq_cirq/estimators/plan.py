"""The plan of one attribution: all its circuits, the shots of each, and the estimate that their outcomes give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

import cirq
import numpy as np
from scipy.sparse import csr_array

from hattriq_cirq.circuits.outcomes import Outcome, SharedUncertainty
from hattriq_cirq.estimators.bilinear import Allocation, BilinearTerm, Estimator, PauliTerm, WeightedCircuit
from hattriq_cirq.foundation.arrays import FloatArray, largest_remainders
from hattriq_cirq.models.model import Model


@dataclass(frozen=True, eq=False)
class Plan:
    """All circuits of one attribution.

    Args:
        circuits: with their weights.
        offset: (features,), what is known without a circuit: the identity part of the observable.
        allocation: `error` or `equal`.
    """

    circuits: tuple[WeightedCircuit, ...]
    offset: FloatArray
    allocation: Allocation

    @cached_property
    def shares(self) -> FloatArray:
        """(circuits,), the share of each in all shots.

        `error` shares in proportion to each circuit's `spread`, which minimises the bound on the total squared error
        sum_c spread_c**2 / S_c (Neyman allocation); `equal` gives all the same.
        """
        spreads = np.array([r.max_shot_norm if self.allocation == "error" else 1.0 for r in self.circuits])
        shares: FloatArray = spreads / spreads.sum()
        return shares

    def shots(self, total: int) -> list[int]:
        """Shares a total among the circuits by `shares`, at least one each.

        Args:
            total: shots in all, at least the number of circuits.

        Returns:
            Shots of each circuit; they sum to the total.

        Raises:
            ValueError: fewer shots than circuits.
        """
        count = len(self.circuits)
        if count == 0:
            return []
        if total < count:
            raise ValueError(f"shots={total} must be at least the number of circuits, {count}: each is run once or more")
        return [1 + more for more in largest_remainders((total - count) * self.shares, total - count)]

    def decode(self, outcomes: Sequence[Outcome]) -> Estimate:
        """Attributions from one outcome a circuit, in order."""
        return Estimate(self, tuple(outcomes))


@dataclass(frozen=True, eq=False)
class Estimate:
    """Attributions read from circuits, with their errors; computed from the outcomes when asked for."""

    plan: Plan
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()
    """What a mitigation found out about this input, a sentence each."""

    def _parts(self) -> Iterator[tuple[csr_array, Outcome]]:
        return ((r.weights, o) for r, o in zip(self.plan.circuits, self.outcomes, strict=True))

    @cached_property
    def values(self) -> FloatArray:
        """(features,)."""
        return self.plan.offset + sum(
            (np.asarray(weights @ o.probabilities) for weights, o in self._parts()), np.zeros(len(self.plan.offset))
        )

    @cached_property
    def sensitivities(self) -> dict[SharedUncertainty, FloatArray]:
        """How the values change with what all circuits share, (features, parameters) of each: added up over circuits."""
        total: dict[SharedUncertainty, FloatArray] = {}
        for weights, outcome in self._parts():
            for shared, moved in outcome.sensitivities(weights).items():
                total[shared] = total.get(shared, 0.0) + moved
        return total

    @cached_property
    def stderr(self) -> FloatArray:
        """(features,), the standard error of each value."""
        counted = sum((o.variances(weights) for weights, o in self._parts()), np.zeros(len(self.plan.offset)))
        return np.sqrt(counted + sum(shared.variances(moved) for shared, moved in self.sensitivities.items()))

    @cached_property
    def covariance(self) -> FloatArray:
        """(features, features), of the values."""
        n = len(self.plan.offset)
        counted = sum((o.covariance(weights) for weights, o in self._parts()), np.zeros((n, n)))
        return counted + sum(shared.covariance(moved) for shared, moved in self.sensitivities.items())

    @cached_property
    def sum_stderr(self) -> float:
        """The standard error of the sum of the values."""
        ones = [(csr_array(weights.sum(axis=0)[np.newaxis, :]), o) for weights, o in self._parts()]
        counted = sum(o.variances(weights)[0] for weights, o in ones)
        common = sum(shared.variances(moved.sum(axis=0, keepdims=True))[0] for shared, moved in self.sensitivities.items())
        return float(np.sqrt(counted + common))

    @property
    def shots(self) -> int:
        """All shots; 0 where the outcomes are exact."""
        return sum(o.shots or 0 for o in self.outcomes)


def plan(estimator: Estimator, model: Model, products: Sequence[BilinearTerm]) -> Plan:
    """Asks an estimator for all circuits of a sum of products, every Pauli string of the observable apart.

    Args:
        estimator: which circuits to use.
        model: F(x) = x' M x.
        products: to be summed.

    Returns:
        The plan; a product that is zero whatever M is asks for no circuit.
    """
    if not set(estimator.measured or ()) <= set(range(model.n_qubits)):
        raise ValueError(f"{estimator.measured=} must be positions of data qubits, 0 .. {model.n_qubits - 1}")
    offset = np.zeros(model.n_features)
    terms = [PauliTerm(model, pauli) for pauli in model.pauli_sum if len(pauli) > 0]
    readings: list[WeightedCircuit] = []
    for product in products:
        offset += product.weight * model.identity_part * estimator.identity_term(product)
        if product.left.any() and product.right.any() and product.weight:
            for term in terms:
                factor = product.weight * term.coefficient
                for reading in estimator.weighted_circuits(term, product):
                    readings.append(replace(reading, weights=csr_array(factor * reading.weights)))
    return Plan(tuple(readings), estimator.marginalize(offset), estimator.allocation)


def sample_circuits(estimator: Estimator, model: Model, products: Sequence[BilinearTerm]) -> list[cirq.Circuit]:
    """The first circuit for every product and Pauli string, without making the others; no product has a blank side."""
    terms = [PauliTerm(model, pauli) for pauli in model.pauli_sum if len(pauli) > 0]
    return [r.circuit for product in products for term in terms for r in islice(estimator.weighted_circuits(term, product), 1)]
