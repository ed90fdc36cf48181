"""Interactions between features: exact, of a learned model, or measured by the circuits of an estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cirq
import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.baselines import BaselineSet, of_input, resolve
from hattriq_cirq.attribution.interactions import Interactions, exact_interactions, group_members
from hattriq_cirq.estimators.bilinear import BilinearTerm, Estimator
from hattriq_cirq.estimators.plan import Quantity
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import Array, FloatArray, IntArray
from hattriq_cirq.foundation.checks import as_count, check_flag, shown
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.models.model import Model, check_columns, model_inputs
from hattriq_cirq.models.quadratic_form import QuadraticForm
from hattriq_cirq.pipeline.execute import MeasuredArrays
from hattriq_cirq.pipeline.mitigation import Mitigation, as_mitigation
from hattriq_cirq.pipeline.objectives import scaled, sum_or_zero
from hattriq_cirq.pipeline.prepare import PreparedAttribution, as_shots, check_engine, check_together, check_unscaled


@with_numpy_defaults
def interactions(  # noqa: PLR0913  one argument for each choice of the user
    model: QuadraticForm,
    x: ArrayLike,
    *,
    baseline: float | ArrayLike | BaselineSet = 0,
    groups: ArrayLike | None = None,
    rows: Sequence[int] | None = None,
    columns: Sequence[int] | None = None,
    estimator: Estimator | None = None,
    engine: Engine | cirq.Sampler | None = None,
    shots: int | None = None,
    mitigation: Mitigation[Any] | str | None = None,
    progress: bool = False,
) -> Interactions:
    """Return how much of F(x) - F(b) pairs of features contribute together: the SHAP interaction matrix.

    A quadratic form has main effects m_k and pair effects I_jk only. The matrix has m_k on its diagonal and I_jk / 2 beside it;
    its rows sum to integrated gradients (see `attribution.interactions` for the formulas). From circuits, a row takes one
    circuit per Pauli string with `ResolvedHadamardTest`, and a single pair (`rows=[j], columns=[k]`) two circuits with
    `PolarizationShift`, which prepare superpositions of two basis states.

    Args:
        model: `Model`; `LearnedModel`, whose errors the result carries; or another `QuadraticForm`.
        x: Input or batch of inputs, (..., features), real or complex.
        baseline: Number, array that broadcasts to x, or a `BaselineSet`, over which the matrices are averaged.
        groups: Integer label of each feature, 0 .. R - 1, (features,) or an image, for the interactions between R groups; None
            for those between all features, which take 8 N^2 bytes per input.
        rows: Features, or groups, of the rows that are wanted; None for all.
        columns: Features, or groups, of the columns; None for all.
        estimator: Circuits that measure the rows of a `Model`; None for the exact matrix, or that of a learned model.
        engine: Engine that runs the circuits, or any `cirq.Sampler`.
        shots: Number of shots per input, for all its rows together; None for exact probabilities.
        mitigation: Correction of the outcomes: `calibration.Readout()`, or names, `twirl,readout`; None for none.
        progress: Show a progress bar over the inputs.

    Returns:
        The interactions, (..., rows, columns), with their errors.

    Raises:
        ValueError: An argument is invalid, or the matrices do not fit into memory.
        EngineError: The engine could not run the circuits.

    Example:
        >>> import cirq
        >>> import hattriq_cirq as hq
        >>> model, x = hq.ring_ansatz(2, layers=0, observable=cirq.X(cirq.q(0))), [0.6, 0.0, 0.8, 0.0]
        >>> hq.interactions(model, x).values.round(2)[[0, 2]]
        array([[0.  , 0.  , 0.48, 0.  ],
               [0.48, 0.  , 0.  , 0.  ]])
        >>> pair = {"rows": [0], "columns": [2], "estimator": hq.PolarizationShift(), "engine": hq.cirq_simulator(seed=1)}
        >>> bool(abs(hq.interactions(model, x, **pair, shots=10_000).values[0, 0] - 0.48) < 0.05)
        True
    """
    check_flag(progress, "progress")
    shots, correction = as_shots(shots), as_mitigation(mitigation)
    check_together(estimator, engine, shots, correction)
    if estimator is None or engine is None:
        whole = exact_interactions(model, x, baseline=baseline, groups=groups)
        size = whole.values.shape[-1]
        return whole.select(_as_indices(rows, "rows", size), _as_indices(columns, "columns", size))
    run_on = check_engine(estimator, engine)
    if not isinstance(model, Model):
        raise ValueError(f"an estimator needs a Model, which has a circuit, not {type(model).__name__}")
    if estimator.measured is not None or estimator.part != "real":
        raise ValueError(f"estimator={shown(estimator)} must measure all data qubits and the real part")
    check_columns(model, x, "x")
    inputs, member = model_inputs(model, x), group_members(groups, model.n_features)
    own_rows, own_columns = (_as_indices(given, name, len(member)) for given, name in ((rows, "rows"), (columns, "columns")))
    references, _ = resolve(baseline, inputs)
    flat = inputs.reshape(-1, model.n_features)
    wanted = member[own_columns].sum(axis=0)
    by_input = [[_terms(x, of_input(references, i), member[row], wanted) for row in own_rows] for i, x in enumerate(flat)]
    check_unscaled(correction, model, estimator, [first for first, *_ in by_input], "interactions")
    further = [[Quantity(model, estimator, terms) for terms in others] for _, *others in by_input]
    firsts = [first for first, *_ in by_input]
    prepared = PreparedAttribution(model, firsts, estimator, run_on, shots, correction, progress=progress, further=further)
    execution = prepared.run()
    found = [
        one.transform(member[own_columns], member[own_columns] @ one.values)
        for first, more in zip(execution.estimates, execution.further, strict=True)
        for one in (first, *more)
    ]
    shape = (*inputs.shape[:-1], len(own_rows), len(own_columns))
    arrays = MeasuredArrays.of(found, run_on, shots, shape)
    contract, notes = model.contract if groups is None else None, execution.summary.notes
    return Interactions(rows=own_rows, columns=own_columns, notes=notes, contract=contract, **arrays._asdict())


def _terms(x: Array, references: Array, row: FloatArray, columns: FloatArray) -> tuple[BilinearTerm, ...]:
    """Return the terms of one row: Re(conj(d) o M d_row) on the columns, and 2 Re(conj(d_row) o M b) on the diagonal."""
    exponent, (end, *starts) = scaled(x, references)
    terms, share = [], 1 / len(references)
    for b in starts:
        d = sum_or_zero(end, -b)
        terms.append(BilinearTerm(columns * d, row * d, share, exponent))
        if b.any():
            terms.append(BilinearTerm(columns * row * d, b, 2 * share, exponent))
    return tuple(terms)


def _as_indices(given: Sequence[int] | None, name: str, size: int) -> IntArray:
    if given is None:
        return np.arange(size)
    listed = np.atleast_1d(np.asarray(given)).tolist()
    indices = [as_count(index, f"{name}[{i}]", 0, size - 1) for i, index in enumerate(listed)]
    if not indices or len(set(indices)) != len(indices):
        raise ValueError(f"{name}={given!r} must name at least one feature or group, each once")
    return np.array(indices)
