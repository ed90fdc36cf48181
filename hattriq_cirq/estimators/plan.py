"""The plan of one attribution: all its circuits, the shots of each, and the estimate that their outcomes give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import islice

import cirq
import numpy as np

from hattriq_cirq.circuits.outcomes import Outcome, OutcomeWeights, SharedUncertainty
from hattriq_cirq.encoding.exact import Encoder
from hattriq_cirq.estimators.bilinear import Allocation, BilinearTerm, Estimator, WeightedCircuit, pauli_terms
from hattriq_cirq.foundation.arrays import (
    FloatArray,
    largest_first,
    largest_remainders,
    normal_interval,
    read_only,
    rescaled,
    times_power_of_2,
)
from hattriq_cirq.foundation.card import ROWS, Card, Displayed
from hattriq_cirq.foundation.frozen import Frozen, FrozenDict
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.model import Model

#: Variance that rare outcomes add to a value in an interval, in squares of the largest change that one shot makes. Exact
#: coverages of binomial counts are then at least 0.939, for any number of shots; 1.25 gives 0.936, 1 gives 0.930.
RARE_OUTCOMES = 1.5


@dataclass(frozen=True, eq=False)
class Plan(Frozen):
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
        return read_only(norms / norms.sum())

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


@dataclass(frozen=True, eq=False, repr=False)
class Estimate(Displayed, Frozen):
    """Values that are linear in the outcomes of circuits, with their errors: offset + constant + sum_c weights_c @ outcome_c.

    An error has two parts: `stderr`, which more shots make smaller, and `systematic`, what noise and its correction may leave
    whatever the number of shots. Both follow from the sensitivities that the outcomes report. Values, errors and covariance are
    computed when they are first read.

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

    def card(self) -> Card:
        """Return the largest values with their intervals, and the circuits and shots that they are from."""
        low, high = self.interval()
        shots = [outcome.shots for outcome in self.outcomes if outcome.shots is not None]
        facts = [("circuits", len(self.outcomes)), ("shots", sum(shots) if shots else "none: exact probabilities")]
        facts.append(("standard error", f"at most {np.max(self.stderr, initial=0.0):.1e}"))
        largest = largest_first(self.values)[:ROWS].tolist()
        rows = [(k, f"{self.values[k]:+.4g}", f"{low[k]:+.4g} to {high[k]:+.4g}") for k in largest]
        title, header = f"Estimate of {quantity(len(self.offset), 'value')}", ("index", "value", "95% interval")
        return Card(title, facts, header, rows, self.values[largest].tolist(), notes=self.notes)

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

    @classmethod
    def joined(cls, estimates: Sequence[Estimate]) -> Estimate:
        """Return several estimates as one, with the values of one after the other and the errors that they have in common.

        Example:
            >>> import hattriq_cirq as hq
            >>> settings = {"estimator": hq.ResolvedHadamardTest(), "engine": hq.cirq_simulator(seed=1), "shots": 1000}
            >>> one = hq.estimate(hq.ring_ansatz(2, layers=1), [0.6, 0.0, 0.0, 0.8], baseline=0, **settings)
            >>> Estimate.joined([one, one]).covariance.shape
            (8, 8)
        """
        if len(estimates) == 1:
            return estimates[0]
        total, start, exponent = sum(len(e.offset) for e in estimates), 0, max(e.exponent for e in estimates)
        weights: list[OutcomeWeights] = []
        for one in estimates:
            factor = float(np.ldexp(1.0, one.exponent - exponent))
            weights += [(w if factor == 1 else w.scaled(factor)).in_rows(start, total) for w in one.weights]
            start += len(one.offset)
        outcomes = tuple(outcome for one in estimates for outcome in one.outcomes)
        notes = tuple(dict.fromkeys(note for one in estimates for note in one.notes))
        values = np.concatenate([times_power_of_2(one._scaled_values, one.exponent - exponent) for one in estimates])
        bare = cls(tuple(weights), outcomes, np.zeros(total), None, notes, exponent)
        return replace(bare, constant=values - bare._scaled_values)

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
        return read_only(times_power_of_2(self._scaled_values, self.exponent))

    @cached_property
    def _scaled_values(self) -> FloatArray:
        start = np.zeros(len(self.offset)) if self.constant is None else self.constant
        return self.offset + sum((o.expectation(w) for w, o in self._pairs()), start)

    @cached_property
    def sensitivities(self) -> Mapping[SharedUncertainty, FloatArray]:
        """Derivative of the values by each shared parameter, (features, parameters), summed over circuits."""
        return FrozenDict({shared: read_only(times_power_of_2(moved, self.exponent)) for shared, moved in self._slopes.items()})

    @cached_property
    def _slopes(self) -> dict[SharedUncertainty, FloatArray]:
        total: dict[SharedUncertainty, FloatArray] = {}
        for weights, outcome in self._pairs():
            for shared, moved in outcome.sensitivities(weights).items():
                total[shared] = total.get(shared, 0.0) + moved
        return total

    @cached_property
    def stderr(self) -> FloatArray:
        """Standard error of each value, (features,)."""
        counted = sum((o.variances(w) for w, o in self._pairs()), np.zeros(len(self.offset)))
        return read_only(times_power_of_2(np.sqrt(counted + self._shared_variances(systematic=False)), self.exponent))

    @cached_property
    def systematic(self) -> FloatArray:
        """Standard deviation of what noise and its correction may leave in each value, (features,); 0 where none is known."""
        return read_only(times_power_of_2(np.sqrt(self._shared_variances(systematic=True)), self.exponent))

    @property
    def knows_systematic(self) -> bool:
        """True if any outcome reports what noise and its correction may leave in it."""
        return any(key.systematic for key in self._slopes)

    def _shared_variances(self, *, systematic: bool) -> FloatArray:
        kept = [key.variances(moved) for key, moved in self._slopes.items() if key.systematic == systematic]
        return sum(kept, np.zeros(len(self.offset)))

    @cached_property
    def rare_stderr(self) -> FloatArray:
        """Standard deviation that outcomes too rare to have been counted add to each value in an interval, (features,).

        Its square is 1.5 times the square of the largest change that one shot of any circuit makes in the value. Rare outcomes
        of several circuits are rare events of one kind, whose number is as uncertain as if they had happened in one circuit;
        therefore the largest change counts, and not the sum. It falls like 1 / shots and is negligible where about 100 shots
        fell on a value.
        """
        steps = (outcome.steps(weights) for weights, outcome in self._pairs())
        largest: FloatArray = reduce(np.maximum, steps, np.zeros(len(self.offset)))
        return read_only(times_power_of_2(np.sqrt(RARE_OUTCOMES) * largest, self.exponent))

    def interval(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Return the low and the high end of the interval of each value, (features,) each.

        The intervals are wider than the standard errors alone would make them, by outcomes too rare to have been counted
        (`rare_stderr`): 95% intervals cover every value in at least 93% of all runs, down to a handful of shots for each
        circuit. A value on which no shot fell has an interval of 4.8 shots to either side.

        Args:
            level: Probability that the interval holds the exact value, between 0 and 1.

        Returns:
            values -+ z * sqrt(stderr**2 + rare_stderr**2 + systematic**2), with z the quantile of the normal distribution.

        Raises:
            ValueError: The level is out of range.
        """
        return normal_interval(self.values, self.stderr, level, self.rare_stderr, self.systematic)

    @cached_property
    def covariance(self) -> FloatArray:
        """Covariance of the values without the systematic part of their errors, (features, features)."""
        n = len(self.offset)
        counted = sum((o.covariance(w) for w, o in self._pairs()), np.zeros((n, n)))
        random = (shared.covariance(moved) for shared, moved in self._slopes.items() if not shared.systematic)
        covariance = counted + sum(random, np.zeros((n, n)))
        return read_only(times_power_of_2(covariance, 2 * self.exponent))

    @cached_property
    def total(self) -> Estimate:
        """Sum of the values, an estimate of one value."""
        return self.transform(np.ones((1, len(self.offset))), np.array([self.values.sum()]))

    @property
    def sum_stderr(self) -> float:
        """Standard error of the sum of the values."""
        return float(self.total.stderr[0])

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
    offset = np.zeros(estimator.values_of(model))
    model = estimator.circuit_model(model)
    paulis = pauli_terms(model)
    circuits: list[WeightedCircuit] = []
    for term in terms:
        if model.observable_identity:
            offset += term.weight * model.observable_identity * estimator.marginalize(estimator.identity_term(term))
        for pauli in () if term.is_zero else paulis:
            factor = term.weight * pauli.coefficient
            for circuit in estimator.weighted_circuits(pauli, term):
                circuits.append(replace(circuit, weights=circuit.weights.scaled(factor)))
    return Plan(tuple(circuits), offset, estimator.allocation)


@dataclass(frozen=True, eq=False)
class Quantity(Frozen):
    """Values that the circuits of an estimator measure: the sum of bilinear terms of a model.

    Args:
        model: Model of the quadratic form.
        estimator: Estimator that builds the circuits.
        terms: Terms to be summed.
    """

    model: Model
    estimator: Estimator
    terms: tuple[BilinearTerm, ...]

    def plan(self, encoder: Encoder | None = None) -> Plan:
        """Return the plan of all circuits, with states prepared by an encoder unless the estimator names its own."""
        return plan(self.estimator if encoder is None else self.estimator.with_encoder(encoder), self.model, self.terms)


def sample_circuits(estimator: Estimator, model: Model, terms: Sequence[BilinearTerm]) -> list[cirq.Circuit]:
    """Return the first circuit of every term and Pauli string, without building the others; no term may be zero."""
    paulis = pauli_terms(estimator.circuit_model(model))
    return [c.circuit for term in terms for pauli in paulis for c in islice(estimator.weighted_circuits(pauli, term), 1)]
