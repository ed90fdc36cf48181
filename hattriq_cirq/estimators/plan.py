"""The plan of one attribution: all its circuits, the shots of each, and the estimate that their outcomes give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import islice

import cirq
import numpy as np

from hattriq_cirq.circuits.outcomes import Outcome, OutcomeWeights, SharedUncertainty
from hattriq_cirq.estimators.bilinear import Allocation, BilinearTerm, Estimator, WeightedCircuit, pauli_terms
from hattriq_cirq.foundation.arrays import FloatArray, largest_remainders, normal_interval, rescaled, times_power_of_2
from hattriq_cirq.models.model import Model

#: Variance that rare outcomes add to a value, in squares of the largest change that one shot makes. Exact coverages of binomial
#: counts are at least 0.939 with it, for any number of shots; 1.25 gives 0.936 and 1 gives 0.930.
RARE_OUTCOMES = 1.5


@dataclass(frozen=True, eq=False)
class Plan:
    """All circuits of one attribution.

    Args:
        circuits: Circuits with the weights of their outcomes.
        offset: Values known without a circuit, from the identity part of the observable, (features,).
        allocation: Allocation of shots among circuits, `error` or `equal`.

    Example:
        >>> import hattriq_cirq as hq
        >>> import numpy as np
        >>> x = np.array([0.6, 0.0, 0.0, 0.8])
        >>> terms = [hq.estimators.BilinearTerm(x, x)]
        >>> plan(hq.PolarizationShift(), hq.ring_ansatz(2, layers=1), terms).shots(1000)
        [343, 86, 513, 58]
    """

    circuits: tuple[WeightedCircuit, ...]
    offset: FloatArray
    allocation: Allocation

    @cached_property
    def shares(self) -> FloatArray:
        """Share of each circuit in all shots, (circuits,).

        The allocation `error` shares shots in proportion to each circuit's `max_shot_norm`, which minimises the bound on the
        total squared error sum_c max_shot_norm_c**2 / S_c (Neyman allocation); `equal` gives every circuit the same share.
        """
        norms = np.array([c.max_shot_norm if self.allocation == "error" else 1.0 for c in self.circuits])
        shares: FloatArray = norms / norms.sum()
        return shares

    def shots(self, total: int) -> list[int]:
        """Distribute a total number of shots among the circuits by `shares`, at least one each.

        Args:
            total: Shots of all circuits together, at least the number of circuits.

        Returns:
            Shots of each circuit; they sum to the total.

        Raises:
            ValueError: There are fewer shots than circuits.
        """
        count = len(self.circuits)
        if count == 0:
            return []
        if total < count:
            raise ValueError(f"shots={total} must be at least the number of circuits, {count}: each is run once or more")
        return [1 + more for more in largest_remainders((total - count) * self.shares, total - count)]

    def decode(self, outcomes: Sequence[Outcome]) -> Estimate:
        """Return the estimate that one outcome per circuit gives, in order."""
        return Estimate(tuple(c.weights for c in self.circuits), tuple(outcomes), self.offset)


@dataclass(frozen=True, eq=False)
class Estimate:
    """Values that are linear in the outcomes of circuits, with their errors: offset + constant + sum_c weights_c @ outcome_c.

    Values, standard errors and covariance are computed when they are first read.

    Args:
        weights: Weights of each circuit's outcomes, (features, 2**bits) each.
        outcomes: Outcome of each circuit.
        offset: Values known without a circuit, (features,).
        constant: Further constant, (features,), by which `transform` keeps the transformed values; None is zero.
        notes: Findings of a mitigation about this input, one sentence each.
        exponent: Power of 2 that multiplies all values; weights, offset and constant are without it, so that values of any
            size have errors although their variance could not be represented.

    Example:
        >>> import hattriq_cirq as hq
        >>> settings = {"estimator": hq.ResolvedHadamardTest(), "engine": hq.cirq_simulator(seed=1), "shots": 1000}
        >>> result = hq.estimate(hq.ring_ansatz(2, layers=1), [0.6, 0.0, 0.0, 0.8], baseline=0, **settings)
        >>> result.values.shape, result.stderr.shape, result.covariance.shape
        ((4,), (4,), (4, 4))
    """

    weights: tuple[OutcomeWeights, ...]
    outcomes: tuple[Outcome, ...]
    offset: FloatArray
    constant: FloatArray | None = None
    notes: tuple[str, ...] = ()
    exponent: int = 0

    def transform(
        self,
        jacobian: FloatArray,
        values: FloatArray,
        *,
        auxiliary: Estimate | None = None,
        auxiliary_jacobian: FloatArray | None = None,
    ) -> Estimate:
        """Return new values that are a function of these and of an auxiliary estimate, with errors to first order.

        Errors propagate by the delta method: with J = d values / d self.values and A = d values / d auxiliary.values, every
        circuit's weights W become J W, and those of the auxiliary circuits A W. Uncertainties shared between circuits, such
        as a calibration's, therefore stay shared.

        Args:
            jacobian: Derivative of the new values by the present ones, (new values, features).
            values: New values, (new values,).
            auxiliary: Estimate that the new values depend on as well, from circuits of its own.
            auxiliary_jacobian: Derivative of the new values by the auxiliary ones, (new values, auxiliary values).

        Returns:
            The estimate of the new values.
        """
        weights = [w.combined(jacobian) for w in self.weights]
        outcomes = self.outcomes
        if auxiliary is not None:
            assert auxiliary_jacobian is not None
            weights += [w.combined(auxiliary_jacobian) for w in auxiliary.weights]
            outcomes += auxiliary.outcomes
        offset = self.offset if len(values) == len(self.offset) else np.zeros(len(values))
        bare = Estimate(tuple(weights), outcomes, offset, None, self.notes, self.exponent)
        return replace(bare, constant=times_power_of_2(values, -self.exponent) - bare._scaled_values)

    def times_power_of_2(self, exponent: int) -> Estimate:
        """Return the estimate of the values times 2**exponent.

        Raises:
            ValueError: A value is too large for a number in double precision.
        """
        result = replace(self, exponent=self.exponent + exponent)
        rescaled(result._scaled_values, result.exponent, "an attribution")
        return result

    def _pairs(self) -> Iterator[tuple[OutcomeWeights, Outcome]]:
        return zip(self.weights, self.outcomes, strict=True)

    @cached_property
    def values(self) -> FloatArray:
        """Estimated values, (features,)."""
        return times_power_of_2(self._scaled_values, self.exponent)

    @cached_property
    def _scaled_values(self) -> FloatArray:
        start = np.zeros(len(self.offset)) if self.constant is None else self.constant
        return self.offset + sum((o.expectation(w) for w, o in self._pairs()), start)

    @cached_property
    def sensitivities(self) -> dict[SharedUncertainty, FloatArray]:
        """Derivative of the values by each shared parameter, (features, parameters), summed over circuits."""
        return {shared: times_power_of_2(moved, self.exponent) for shared, moved in self._slopes.items()}

    @cached_property
    def _slopes(self) -> dict[SharedUncertainty, FloatArray]:
        total: dict[SharedUncertainty, FloatArray] = {}
        for weights, outcome in self._pairs():
            for shared, moved in outcome.sensitivities(weights).items():
                total[shared] = total.get(shared, 0.0) + moved
        return total

    @cached_property
    def stderr(self) -> FloatArray:
        """Standard error of each value, (features,), large enough that the values' 95% intervals hold at few shots.

        Its square is the variance of the counts and of shared numbers, plus 1.5 squares of the largest change that one shot
        can make in the value: the share of outcomes that are too rare to have been counted. The intervals values +-
        1.96 stderr then cover each value in at least 93% of all runs, down to a handful of shots for each circuit; counts of
        0 leave an interval of 4.8 counts. The addition falls like 1 / shots**2 and is negligible beyond about 100 counts.
        """
        return times_power_of_2(np.sqrt(self._variances + self._rare_changes**2), self.exponent)

    def interval(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Return the low and the high end of the interval of each value, (features,) each.

        Args:
            level: Probability that the interval holds the exact value, between 0 and 1.

        Returns:
            values -+ z * stderr, with z the quantile of the normal distribution.

        Raises:
            ValueError: The level is out of range.
        """
        return normal_interval(self.values, self.stderr, level)

    @cached_property
    def covariance(self) -> FloatArray:
        """Covariance of the values, (features, features); its diagonal is `stderr`**2, and it sums to `sum_stderr`**2."""
        n = len(self.offset)
        counted = sum((o.covariance(w) for w, o in self._pairs()), np.zeros((n, n)))
        rare, correlation = self._rare_changes, self._correlation_of_rare_changes
        added = (1 - correlation) * np.diag(rare**2) + correlation * np.outer(rare, rare)
        shared = sum(shared.covariance(moved) for shared, moved in self._slopes.items())
        return times_power_of_2(added + counted + shared, 2 * self.exponent)

    @cached_property
    def sum_stderr(self) -> float:
        """Standard error of the sum of the values."""
        rare, correlation = self._rare_changes, self._correlation_of_rare_changes
        added = (1 - correlation) * np.sum(rare**2) + correlation * np.sum(rare) ** 2
        return float(times_power_of_2(np.sqrt(self._sum._variances[0] + added), self.exponent))

    @cached_property
    def _sum(self) -> Estimate:
        return self.transform(np.ones((1, len(self.offset))), np.array([self.values.sum()]))

    @cached_property
    def _variances(self) -> FloatArray:
        """Variance of each value, (features,), from counts and shared numbers, without outcomes too rare to be counted."""
        counted = sum((o.variances(w) for w, o in self._pairs()), np.zeros(len(self.offset)))
        return counted + sum(shared.variances(moved) for shared, moved in self._slopes.items())

    @cached_property
    def _rare_changes(self) -> FloatArray:
        """Standard deviation that outcomes too rare to have been counted add to each value, (features,).

        It is that of one circuit, the one whose shots change the value most: rare outcomes of several circuits are rare events
        of one kind, whose number is as uncertain as if they had happened in one circuit.
        """
        steps = (outcome.steps(weights) for weights, outcome in self._pairs())
        largest: FloatArray = reduce(np.maximum, steps, np.zeros(len(self.offset)))
        return np.asarray(np.sqrt(RARE_OUTCOMES) * largest)

    @cached_property
    def _correlation_of_rare_changes(self) -> float:
        """Correlation between the rare changes of any two values.

        It is negative, so that the sum of many values is only as uncertain as its own counts leave it.
        """
        rare = self._rare_changes
        alone, together = float(np.sum(rare**2)), float(np.sum(rare) ** 2)
        if together <= alone:  # one value at most
            return 0.0
        least = -1 / (np.count_nonzero(rare) - 1)
        return max(least, (float(self._sum._rare_changes[0]) ** 2 - alone) / (together - alone))

    @property
    def shots(self) -> int:
        """Number of all shots; 0 where the outcomes are exact."""
        return sum(o.shots or 0 for o in self.outcomes)


def plan(estimator: Estimator, model: Model, terms: Sequence[BilinearTerm]) -> Plan:
    """Build all circuits of a sum of bilinear terms, one set for each Pauli string of the observable.

    Args:
        estimator: Estimator that builds the circuits.
        model: Model of the quadratic form F(x) = x' M x.
        terms: Terms to be summed.

    Returns:
        The plan; a term that is zero for every M needs no circuit.

    Raises:
        ValueError: The estimator measures a qubit that the model does not have.

    Example:
        >>> import hattriq_cirq as hq
        >>> import numpy as np
        >>> x = np.array([0.6, 0.0, 0.0, 0.8])
        >>> terms = [hq.estimators.BilinearTerm(x, x)]
        >>> len(plan(hq.HadamardTest(), hq.ring_ansatz(2, layers=1), terms).circuits)
        2
    """
    if not set(estimator.measured or ()) <= set(range(model.n_qubits)):
        raise ValueError(f"{estimator.measured=} must be positions of data qubits, 0 .. {model.n_qubits - 1}")
    offset = np.zeros(model.n_features)
    paulis = pauli_terms(model)
    circuits: list[WeightedCircuit] = []
    for term in terms:
        offset += term.weight * model.identity_part * estimator.identity_term(term)
        for pauli in () if term.is_zero else paulis:
            factor = term.weight * pauli.coefficient
            for circuit in estimator.weighted_circuits(pauli, term):
                circuits.append(replace(circuit, weights=circuit.weights.scaled(factor)))
    return Plan(tuple(circuits), estimator.marginalize(offset), estimator.allocation)


def sample_circuits(estimator: Estimator, model: Model, terms: Sequence[BilinearTerm]) -> list[cirq.Circuit]:
    """Return the first circuit of every term and Pauli string, without building the others; no term may be zero."""
    paulis = pauli_terms(model)
    return [c.circuit for term in terms for pauli in paulis for c in islice(estimator.weighted_circuits(pauli, term), 1)]
