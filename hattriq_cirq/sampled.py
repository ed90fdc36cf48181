"""Attributions read from circuits: inputs to products, products to a plan, the engine's counts to an estimate."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from tqdm import tqdm

from hattriq_cirq._arrays import Array, as_amplitudes
from hattriq_cirq.attribution import Cost
from hattriq_cirq.baselines import BaselineSet, resolve
from hattriq_cirq.engines.base import Engine
from hattriq_cirq.estimators.base import Estimate, Estimator, Plan, Product, multi_qubit_gates, plan
from hattriq_cirq.model import Model
from hattriq_cirq.quadrature import Quadrature, parse_rule


def products(row: Array, references: Array, rule: Quadrature | None) -> list[Product]:
    """What has to be estimated for one input: for each baseline d = x - b with s = x + b, or with each step of a rule.

    Args:
        row: (features,), x.
        references: (baselines, features).
        rule: None for the exact path integral, one product a baseline; else one a node p, Re(conj(d) o (M 2p)).

    Returns:
        The products, whose sum is the mean over the baselines.
    """
    found = []
    for reference in references:
        step = row - reference
        if rule is None:
            found.append(Product(step, row + reference, 1 / len(references)))
        else:
            found += [
                Product(step, 2 * (reference + position * step), weight / len(references))
                for position, weight in zip(rule.nodes, rule.weights, strict=True)
            ]
    return found


def references_of(baseline: float | ArrayLike | BaselineSet, row: Array) -> Array:
    """The baselines of one input, (baselines, features)."""
    if row.ndim != 1:
        raise ValueError(f"x.shape={row.shape} must be one input, (features,); choose a row of a batch")
    if isinstance(baseline, BaselineSet) or np.ndim(baseline) < 2:
        return resolve(baseline, row)[0][:, 0]
    return resolve(BaselineSet(np.asarray(baseline)), row)[0][:, 0]


def check_request(estimator: object, engine: object, shots: object) -> None:
    """Refuses what is no estimator, no engine or no number of shots, with what to give instead."""
    if not isinstance(estimator, Estimator):
        raise ValueError(f"estimator={estimator!r} must be an estimator, such as ResolvedHadamardTest()")
    if isinstance(engine, type) or not (hasattr(engine, "name") and hasattr(engine, "run")):
        raise ValueError(f"engine={engine!r} must be an engine, such as hattriq_cirq.qsim(seed=1)")
    if shots is not None and (isinstance(shots, bool) or not isinstance(shots, int | np.integer) or shots < 1):
        raise ValueError(f"{shots=} must be a whole number, at least 1, or None for exact probabilities")


def run(plan_: Plan, engine: Engine, shots: int | None) -> Estimate:
    """Runs a plan's circuits on an engine and decodes what comes back."""
    allotted = None if shots is None else plan_.shots(shots)
    return plan_.decode(engine.run([reading.circuit for reading in plan_.readings], allotted))


def estimate(
    model: Model,
    x: ArrayLike,
    *,
    baseline: float | ArrayLike | BaselineSet,
    estimator: Estimator,
    engine: Engine,
    shots: int | None,
    rule: str = "exact",
) -> Estimate:
    """Estimates the quadratic attributions of one input, with their full covariance.

    Args:
        model: F(x) = x' M x.
        x: (features,).
        baseline: a number, (features,), or a `BaselineSet` for the mean over it.
        estimator: which circuits; with `measured` qubits the values are summed over the others.
        engine: what runs them.
        shots: in all; None for exact probabilities.
        rule: `exact`, or a quadrature rule with a circuit for each of its nodes.

    Returns:
        The estimate: values, standard errors, covariance, shots.

    Raises:
        ValueError: bad input, or fewer shots than circuits.
    """
    row = as_amplitudes(x, "x", model.n_features)
    check_request(estimator, engine, shots)
    return run(plan(estimator, model, products(row, references_of(baseline, row), parse_rule(rule))), engine, shots)


def estimate_rows(
    model: Model,
    rows: Array,
    references: Array,
    rule: Quadrature | None,
    estimator: Estimator,
    engine: Engine,
    shots: int | None,
    progress: bool,
) -> tuple[list[Estimate], Cost]:
    """Estimates for every row of a batch, as in `estimate`, and what they cost together.

    `rows` is (samples, features), `references` (baselines, samples or 1, features); the shots are for each row.
    """
    if estimator.measured is not None:
        raise ValueError("an estimator that measures some qubits has no value for each feature; use hq.estimate")
    if estimator.part != "real":
        raise ValueError("an attribution is the real part; use hq.estimate for the imaginary part")
    estimates, circuits, gates = [], 0, 0
    for i, row in enumerate(tqdm(rows, desc=estimator.describe(), unit="input", disable=not progress)):
        made = plan(estimator, model, products(row, references[:, i if references.shape[1] > 1 else 0], rule))
        estimates.append(run(made, engine, shots))
        circuits += len(made.readings)
        gates = max([gates, *(multi_qubit_gates(reading.circuit) for reading in made.readings)])
    return estimates, Cost(circuits, sum(e.shots for e in estimates), gates)
