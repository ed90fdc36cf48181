"""Attributions read from circuits: inputs to products, products to a plan, the engine's counts to an estimate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import cirq
import numpy as np
from numpy.typing import ArrayLike
from tqdm import tqdm

from hattriq_cirq._arrays import Array, as_amplitudes
from hattriq_cirq.attribution import Cost
from hattriq_cirq.baselines import BaselineSet, resolve
from hattriq_cirq.encoding import Encoder
from hattriq_cirq.engines.engine import Engine
from hattriq_cirq.engines.local import sampler
from hattriq_cirq.estimators.base import Estimate, Estimator, Plan, Product, multi_qubit_gates, plan
from hattriq_cirq.model import Model
from hattriq_cirq.quadrature import Quadrature, parse_rule

_T = TypeVar("_T")
_BATCH = 256  # circuits that are compiled and run together, or those of one input if they are more
_LOOKED_AT = 2  # circuits by which qubits are chosen


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


def checked_engine(estimator: object, engine: object, shots: object) -> Engine:
    """The engine, made of a `cirq.Sampler` if it is one; refuses what is no estimator, no engine or no number of shots."""
    if not isinstance(estimator, Estimator):
        raise ValueError(f"estimator={estimator!r} must be an estimator, such as ResolvedHadamardTest()")
    if shots is not None and (isinstance(shots, bool) or not isinstance(shots, int | np.integer) or shots < 1):
        raise ValueError(f"{shots=} must be a whole number, at least 1, or None for exact probabilities")
    if isinstance(engine, cirq.Sampler):
        return sampler(engine)
    if not isinstance(engine, Engine):
        raise ValueError(f"engine={engine!r} must be an engine, such as hattriq_cirq.qsim(seed=1), or a cirq.Sampler")
    return engine


def estimate(
    model: Model,
    x: ArrayLike,
    *,
    baseline: float | ArrayLike | BaselineSet,
    estimator: Estimator,
    engine: Engine | cirq.Sampler,
    shots: int | None,
    rule: str = "exact",
) -> Estimate:
    """Estimates the quadratic attributions of one input, with their full covariance.

    Args:
        model: F(x) = x' M x.
        x: (features,).
        baseline: a number, (features,), or a `BaselineSet` for the mean over it.
        estimator: which circuits; with `measured` qubits the values are summed over the others.
        engine: what runs them; a `cirq.Sampler` runs them as they are.
        shots: in all; None for exact probabilities.
        rule: `exact`, or a quadrature rule with a circuit for each of its nodes.

    Returns:
        The estimate: values, standard errors, covariance, shots.

    Raises:
        ValueError: bad input, or fewer shots than circuits.
        EngineError: the engine could not run the circuits.
    """
    row = as_amplitudes(x, "x", model.n_features)
    wanted = products(row, references_of(baseline, row), parse_rule(rule))
    (found,), _ = _run(model, estimator, [wanted], checked_engine(estimator, engine, shots), shots)
    return found


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
    wanted = [products(row, references[:, i if references.shape[1] > 1 else 0], rule) for i, row in enumerate(rows)]
    return _run(model, estimator, wanted, engine, shots, progress)


def _run(
    model: Model,
    estimator: Estimator,
    wanted: Sequence[Sequence[Product]],
    engine: Engine,
    shots: int | None,
    progress: bool = False,
) -> tuple[list[Estimate], Cost]:
    """Sums of products to estimates, by way of circuits that are placed once for all and run in batches.

    `wanted` holds the products of each input; the shots are for each input.
    """

    def some_circuits(encoder: Encoder) -> list[cirq.Circuit]:
        chosen, asking = (
            estimator.prepared_by(encoder),
            [p for of_one in wanted for p in of_one if p.left.any() and p.right.any()],
        )
        readings = [r for product in _spread(asking, _LOOKED_AT) for r in plan(chosen, model, [product]).readings]
        return [reading.circuit for reading in _spread(readings, _LOOKED_AT)]

    placement = engine.place(some_circuits, model.qubits)
    suited = estimator if placement is None else estimator.prepared_by(placement.encoder)
    estimates: list[Estimate] = []
    cost = Cost()
    with tqdm(total=len(wanted), desc=estimator.describe(), unit="input", disable=not progress) as bar:
        for plans in _batches(plan(suited, model, of_one) for of_one in wanted):
            circuits = [reading.circuit for made in plans for reading in made.readings]
            allotted = None if shots is None else [count for made in plans for count in made.shots(shots)]
            programs = engine.compile(circuits, placement)
            found = iter(engine.execute(programs, allotted))
            made_of = [made.decode(list(islice(found, len(made.readings)))) for made in plans]
            estimates += made_of
            cost = cost + Cost(
                circuits=len(circuits),
                shots=sum(e.shots for e in made_of),
                two_qubit_gates=max((multi_qubit_gates(program.circuit) for program in programs), default=0),
                programs=len(programs),
            )
            bar.update(len(plans))
    return estimates, cost


def _batches(plans: Iterable[Plan]) -> Iterator[list[Plan]]:
    """Plans together that are to be compiled and run together, a few hundred circuits at once."""
    batch: list[Plan] = []
    for made in plans:
        batch.append(made)
        if sum(len(p.readings) for p in batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _spread(items: Sequence[_T], count: int) -> list[_T]:
    """At most so many items, evenly spaced."""
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).astype(int))]
