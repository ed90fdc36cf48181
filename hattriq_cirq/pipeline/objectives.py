"""Quantities that circuits measure for a score, and the map, gap and scores that their estimates give, with all errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cirq
import numpy as np
from numpy.typing import NDArray

from hattriq_cirq.attribution.measured_path import MeasuredPath
from hattriq_cirq.attribution.objective import Objective
from hattriq_cirq.attribution.quadrature import Quadrature
from hattriq_cirq.estimators.bilinear import BilinearTerm, Estimator, StateTerm
from hattriq_cirq.estimators.expectation import Expectation
from hattriq_cirq.estimators.plan import Estimate, Quantity
from hattriq_cirq.foundation.arrays import Array, FloatArray, scaling_exponents, times_power_of_2
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.models.model import Model

_VALUES_MAX = 2**20  # of the map of a prepared state
_ROUNDINGS = 4  # difference between equal vectors that rounding explains, in units of the double precision


@dataclass(frozen=True, eq=False)
class MeasuredMap(Frozen):
    """Map of one input and the scores that were measured with it.

    Args:
        values: Estimate of the map, (features,).
        gap: Estimate of the completeness gap, one value, whose errors count.
        scores: Estimate of the scores at the input and at the baseline, two values; None if they were not measured.
    """

    values: Estimate
    gap: Estimate
    scores: Estimate | None = None


#: Function of the estimates of all quantities of one input.
Combination = Callable[[Sequence[Estimate]], MeasuredMap]


def with_measured_scores(
    model: Model, terms: Sequence[BilinearTerm], row: Array, references: Array, estimator: Estimator
) -> list[Quantity]:
    """Return the quantities of a quadratic map with its scores F(x) and F(b), the latter as the mean over the baselines."""
    exponent, (x, *baselines) = scaled(row, references)
    direct = Expectation(encoder=estimator.encoder)
    at_baseline = [BilinearTerm(b, b, 1 / len(baselines), exponent) for b in baselines]
    return [
        Quantity(model, estimator, tuple(terms)),
        Quantity(model, direct, (BilinearTerm(x, x, 1.0, exponent),)),
        Quantity(model, direct, tuple(at_baseline)),
    ]


def state_quantities(model: Model, circuit: cirq.AbstractCircuit, estimator: Estimator) -> list[Quantity]:
    """Return the quantities of the map and the score of a state that a circuit prepares, with the zero baseline.

    Raises:
        ValueError: The circuit cannot prepare an input of the model, or the map has a part that needs the state's populations.
    """
    check_preparation(model, circuit)
    if identity := estimator.circuit_model(model).observable_identity:
        raise ValueError(
            f"the observable has the identity part {identity:g}, which adds the unknown populations of the "
            "prepared state to the map; use model.traceless()"
        )
    if estimator.values_of(model) > _VALUES_MAX:
        raise ValueError(
            f"the map has {estimator.values_of(model):,} values, at most {_VALUES_MAX:,}; choose qubits, such as "
            "ResolvedHadamardTest(measured=(0, 1))"
        )
    term = StateTerm(circuit)
    return [Quantity(model, estimator, (term,)), Quantity(model, Expectation(), (term,))]


def check_preparation(model: Model, circuit: cirq.AbstractCircuit) -> None:
    """Raise ValueError for a circuit that does not prepare an input of a model."""
    if foreign := sorted(str(q) for q in circuit.all_qubits() - set(model.qubits)):
        raise ValueError(
            f"the circuit x acts on {foreign}, which are not among the model's qubits; map them with transform_qubits"
        )
    if names := sorted(cirq.parameter_names(circuit)):
        raise ValueError(f"symbols {names} of the circuit x are unresolved; use cirq.resolve_parameters")
    if any(map(cirq.is_measurement, circuit.all_operations())):
        raise ValueError("the circuit x measures; leave measurements out: it prepares the input, and estimators measure")


def combine_state(estimates: Sequence[Estimate]) -> MeasuredMap:
    """Return the map, gap and scores of a prepared state from `state_quantities`; the score of the zero baseline is 0."""
    joined, n = Estimate.joined(estimates), len(estimates[0].offset)
    signs = np.append(np.ones(n), -1.0)[np.newaxis]
    score = np.zeros((2, n + 1))
    score[0, n] = 1.0
    gap = joined.transform(signs, signs @ joined.values)
    return MeasuredMap(estimates[0], gap, joined.transform(score, score @ joined.values))


def combine_with_scores(estimates: Sequence[Estimate]) -> MeasuredMap:
    """Return the map, gap and scores of a quadratic form from the quantities of `with_measured_scores`."""
    values, *scores = estimates
    joined = Estimate.joined(estimates)
    signs = np.concatenate([np.ones(len(values.offset)), [-1.0, 1.0]])
    gap = joined.transform(signs[np.newaxis], np.array([signs @ joined.values]))
    return MeasuredMap(values, gap, Estimate.joined(scores))


@dataclass(frozen=True, eq=False)
class ScoreQuantities:
    """Quantities of one input for a normalized form or a head: maps d o (M x) and d o (M b), and the scores of the ends.

    Args:
        quantities: Each quantity once.
        paths: Path from each baseline, with the positions of its numbers among the values of all quantities.
        measures_scores: True if the scores at the ends are taken from the measured numbers.
    """

    quantities: list[Quantity]
    paths: list[tuple[MeasuredPath, NDArray[np.intp]]]
    measures_scores: bool

    @classmethod
    def of(
        cls,
        models: Sequence[Model],
        row: Array,
        references: Array,
        estimator: Estimator,
        objective: Objective,
        rule: Quadrature | None,
        tolerance: float,
        *,
        measures_scores: bool,
    ) -> ScoreQuantities:
        """List the quantities of one input, (features,), and its baselines, (baselines, features)."""
        exponent, (x, *baselines) = scaled(row, references)
        direct, n = Expectation(encoder=estimator.encoder), len(row)
        quantities: list[Quantity] = []
        ends = [0]

        def add(model: Model, by: Estimator, left: Array, right: Array) -> NDArray[np.intp]:
            quantities.append(Quantity(model, by, (BilinearTerm(left, right, 1.0, exponent),)))
            ends.append(ends[-1] + (n if by is estimator else 1))
            return np.arange(*ends[-2:])

        at_input: dict[int, NDArray[np.intp]] = {}
        paths = []
        for reference, b in zip(references, baselines, strict=True):
            step, index = sum_or_zero(x, -b), []
            for j, model in enumerate(models):
                maps = [add(model, estimator, step, end) for end in (x, b)]
                if j not in at_input:
                    at_input[j] = add(model, direct, x, x)
                index += [*maps, at_input[j], add(model, direct, b, b), add(model, direct, b, x)]
            paths.append((MeasuredPath(row, reference, objective, rule, tolerance), np.concatenate(index)))
        return cls(quantities, paths, measures_scores)

    def combine(self, estimates: Sequence[Estimate]) -> MeasuredMap:
        """Return the map, gap and scores from the estimates of all quantities, by first-order propagation of errors."""
        joined, count = Estimate.joined(estimates), len(self.paths)
        n = len(self.paths[0][0].x)
        values, jacobian = np.zeros(n + 2), np.zeros((n + 2, len(joined.values)))
        for path, index in self.paths:
            own, derivative = path.evaluate(joined.values[index])
            values += own / count
            np.add.at(jacobian.T, index, derivative.T / count)
        signs = np.concatenate([np.ones(n), [-1.0, 1.0] if self.measures_scores else [0.0, 0.0]])[np.newaxis]
        found = joined.transform(jacobian[:n], values[:n])
        gap = joined.transform(signs @ jacobian, signs @ values)
        return MeasuredMap(found, gap, joined.transform(jacobian[n:], values[n:]) if self.measures_scores else None)


def scaled(row: Array, references: Array) -> tuple[int, list[FloatArray]]:
    """Return an input and its baselines at about size 1, with the exponent of the power of 2 that multiplies them."""
    exponent = int(scaling_exponents(row, *references)[0])
    return exponent, [times_power_of_2(vector, -exponent) for vector in (row, *references)]


def sum_or_zero(first: Array, second: Array) -> Array:
    """Return the sum of two vectors, or zeros where rounding of the vectors themselves decides its direction."""
    total = np.asarray(first + second)
    is_zero = np.linalg.norm(total) <= _ROUNDINGS * np.finfo(float).eps * (np.linalg.norm(first) + np.linalg.norm(second))
    return np.zeros_like(total) if is_zero else total
