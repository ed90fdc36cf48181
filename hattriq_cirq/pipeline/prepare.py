"""From inputs to the bilinear terms whose sum is their attribution."""

from __future__ import annotations

import cirq
import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.baselines import BaselineSet, resolve
from hattriq_cirq.attribution.quadrature import Quadrature
from hattriq_cirq.estimators.bilinear import BilinearTerm, Estimator
from hattriq_cirq.execution.backends.simulators import sampler
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import Array


def bilinear_terms(row: Array, references: Array, rule: Quadrature | None) -> list[BilinearTerm]:
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
            found.append(BilinearTerm(step, row + reference, 1 / len(references)))
        else:
            found += [
                BilinearTerm(step, 2 * (reference + position * step), weight / len(references))
                for position, weight in zip(rule.nodes, rule.weights, strict=True)
            ]
    return found


def bilinear_terms_of_rows(rows: Array, references: Array, rule: Quadrature | None) -> list[list[BilinearTerm]]:
    """The `products` of every row of a batch; `references` is (baselines, samples or 1, features)."""
    return [bilinear_terms(row, references[:, i if references.shape[1] > 1 else 0], rule) for i, row in enumerate(rows)]


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
