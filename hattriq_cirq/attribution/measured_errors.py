"""Errors of attributions of learned observables, by the covariance of their campaign."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.baselines import BaselineSet, of_input, resolve
from hattriq_cirq.attribution.result import Attribution, Cost
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.models.learned import LearnedModel
from hattriq_cirq.models.learned_group import LearnedModels
from hattriq_cirq.models.quadratic_form import QuadraticForm

_SAMPLES = 200  # of the bootstrap: its standard errors are right to 5%
_COMMON = (
    "The errors of all inputs come from one campaign and have parts in common, so that a mean over inputs does not average "
    "them away; LearnedModel.propagate gives the covariance of any quantities."
)


def with_measured_errors(
    attribution: Attribution,
    models: Sequence[QuadraticForm],
    compute: Callable[[Sequence[QuadraticForm]], Attribution],
    baseline: float | ArrayLike | BaselineSet,
    weights: Sequence[float] | None,
) -> Attribution:
    """Return an attribution with the standard errors of the learned models among its quadratic forms.

    The map Re(conj(d) o M s) is linear in the measured coefficients and has its errors by linear propagation; any other
    attribution has them by a parametric bootstrap with a fixed seed. Systematic are the error of the damping factor, which
    scales all maps of a campaign alike, and what the list of strings leaves out.

    Args:
        attribution: Attribution without errors.
        models: Its quadratic forms, a `LearnedModel` among them.
        compute: Function that returns the attribution of other quadratic forms without errors.
        baseline: Baseline of the map.
        weights: Weight of each quadratic form in a map that is linear in M; None for any other map.

    Returns:
        The attribution with both parts of its errors, origin and cost of its observables.
    """
    learned = [model for model in models if isinstance(model, LearnedModel)]
    together = LearnedModels(tuple({id(model): model for model in learned}.values()))
    if weights is not None:
        total = {id(model): 0.0 for model in together}
        for model, weight in zip(models, weights, strict=True):
            if isinstance(model, LearnedModel):
                total[id(model)] += weight
        stderr, systematic = _propagated(together, list(total.values()), attribution, baseline)
        gap = np.zeros_like(attribution.f_input)
    else:
        (stderr, gap), systematic = _bootstrapped(models, together, compute), None
    if systematic is None:
        systematic = _of_damping(models, together, compute, attribution)
        stderr = np.sqrt((stderr**2 - systematic**2).clip(0))
    record = learned[0].record
    notes = tuple(dict.fromkeys(note for model in learned for note in (model.record.origin, *model.record.notes)))
    most = max(learned, key=lambda model: model.record.truncated_share)
    if (truncated := most.record.truncated_share) > 0:
        systematic = np.hypot(systematic, most.left_out(attribution.values))
        notes = (*notes, f"The list of strings leaves out {truncated:.2g} of the squared norm of an average map.")
    cost = Cost()
    for positions in together.campaigns:
        cost += cost_of(together[positions[0]])
    assumptions = replace(
        attribution.assumptions,
        observables=tuple(m.record.observable if isinstance(m, LearnedModel) else t for m, t in _named(models, attribution)),
        estimator=f"learned observable, {sum(len(model.strings) for model in learned)} Pauli strings",
        engine=record.engine,
        seed=record.seed,
        calibration_id=record.calibration_id,
        mitigation=record.mitigation,
        notes=(*attribution.assumptions.notes, *notes, _COMMON),
    )
    known = systematic if systematic.any() else None
    return replace(
        attribution, stderr=stderr, systematic=known, completeness_gap_stderr=gap, assumptions=assumptions, cost=cost
    )


def notes_of(model: QuadraticForm) -> tuple[str, ...]:
    """Return what a user of results of a learned model must know about their errors; nothing for another form."""
    return (model.record.origin, *model.record.notes, _COMMON) if isinstance(model, LearnedModel) else ()


def cost_of(model: LearnedModel) -> Cost:
    """Return the cost of the campaign of a learned model, which all its maps share."""
    r = model.record
    return Cost(r.circuits, r.shots or 0, r.two_qubit_gates, r.programs, 0, r.calibration_shots)


def _named(models: Sequence[QuadraticForm], attribution: Attribution) -> list[tuple[QuadraticForm, str]]:
    return list(zip(models, attribution.assumptions.observables, strict=True))


def _propagated(
    learned: LearnedModels, weights: Sequence[float], attribution: Attribution, baseline: float | ArrayLike | BaselineSet
) -> tuple[FloatArray, FloatArray | None]:
    """Return the errors of a weighted sum of maps IG_k = Re(conj(d_k) (M s)_k), in the shape of the attribution.

    Returns:
        The part of the shots and the systematic part; all errors and None if there are several models.
    """
    inputs = attribution.x
    references, _ = resolve(baseline, inputs)
    rows = inputs.reshape(-1, inputs.shape[-1])
    found = np.zeros((2, *rows.shape))
    for i, row in enumerate(track(rows, "propagate errors", "input", total=len(rows))):
        own = of_input(references, i)
        derivatives = [
            weight * np.mean([model.strings.bilinear(row - b, row + b) for b in own], axis=0)
            for model, weight in zip(learned, weights, strict=True)
        ]
        if len(derivatives) == 1:
            found[:, i] = learned[0].errors_of(derivatives[0])
        else:
            found[0, i] = learned.propagate(derivatives).stderr
    stderr, systematic = found.reshape(2, *inputs.shape)
    return stderr, systematic if len(learned) == 1 else None


def _of_damping(
    models: Sequence[QuadraticForm],
    learned: LearnedModels,
    compute: Callable[[Sequence[QuadraticForm]], Attribution],
    attribution: Attribution,
) -> FloatArray:
    """Return the root mean square change of the values by the errors of the damping factors, in the shape of the values."""
    changes = np.zeros_like(attribution.values)
    for factors in learned.damping_factors:
        changed = compute(_replaced(models, learned, [m.scaled(f) for m, f in zip(learned, factors.tolist(), strict=True)]))
        changes = np.hypot(changes, changed.values - attribution.values)
    return changes


def _bootstrapped(
    models: Sequence[QuadraticForm], learned: LearnedModels, compute: Callable[[Sequence[QuadraticForm]], Attribution]
) -> tuple[FloatArray, FloatArray]:
    """Return the standard deviations of the values and of the gap over observables with random errors."""
    drawn = learned.samples(_SAMPLES, seed=0)
    found = [compute(_replaced(models, learned, each)) for each in track(drawn, "bootstrap errors", "sample", total=_SAMPLES)]
    values, gaps = (np.std([getattr(each, name) for each in found], axis=0) for name in ("values", "completeness_gap"))
    return np.asarray(values), np.asarray(gaps)


def _replaced(models: Sequence[QuadraticForm], learned: LearnedModels, others: Sequence[QuadraticForm]) -> list[QuadraticForm]:
    """Return quadratic forms with another one in the place of each learned model."""
    places = {id(model): other for model, other in zip(learned, others, strict=True)}
    return [places.get(id(model), model) for model in models]
