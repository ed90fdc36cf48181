"""Scores of inputs whose features are removed, that is, replaced by a reference, for many sets of features at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq._moved import keep_old_names
from hattriq_cirq.attribution.baselines import BaselineSet, resolve
from hattriq_cirq.foundation.arrays import Array, BoolArray, FloatArray, as_amplitudes, unit_vectors
from hattriq_cirq.foundation.checks import ArgumentTypeError, shown
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.models.learned import LearnedModel
from hattriq_cirq.models.model import Form, check_columns, check_form, contract_of
from hattriq_cirq.models.quadratic_form import QuadraticForm, check_quadratic_form, quadratic_value

#: Function from inputs, (..., features), to one score per input, (...,), of any model.
ScoreFunction = Callable[[Array], FloatArray]

#: Replacement of removed features: a number, an array that broadcasts to the inputs, or a set whose scores are averaged.
Reference = float | ArrayLike | BaselineSet

_CHUNK = 2**22  # numbers that are passed to a score at once


@dataclass(frozen=True, eq=False)
class FormScore:
    """The value of a quadratic form as a score, see `score_of`.

    Args:
        model: Quadratic form.
        form: `quadratic` or `normalized`.
        decided_by: Score whose sign is the predicted class; None for this one.
    """

    model: QuadraticForm
    form: Form = "quadratic"
    decided_by: FormScore | None = None

    def __post_init__(self) -> None:
        check_form(self.form)
        check_quadratic_form(self.model)

    @property
    def contract(self) -> DataContract | None:
        """Form of the data of the model, with which tables are compared; None if it is not recorded."""
        return contract_of(self.model)

    def __call__(self, x: Array) -> FloatArray:
        """Return the score of inputs, (..., features) -> (...,)."""
        if self.form == "quadratic":
            return quadratic_value(self.model, x)
        directions, norms, _ = unit_vectors(np.asarray(x))
        return np.where(norms[..., 0] > 0, quadratic_value(self.model, directions), self.model.identity_part)

    def samples(self, count: int, *, seed: int) -> list[FormScore]:
        """Return scores that differ from that of a learned model by random errors, with its predicted classes."""
        return [FormScore(each, self.form, self) for each in drawn_forms(self.model, count, seed)]

    def deviations(self, count: int, *, seed: int) -> list[FormScore]:
        """Return the scores of the errors of a learned model, with its predicted classes, see `LearnedModel.deviations`."""
        return [FormScore(each, self.form, self) for each in drawn_forms(self.model, count, seed, deviations=True)]


def drawn_forms(model: QuadraticForm, count: int, seed: int, *, deviations: bool = False) -> Sequence[QuadraticForm]:
    """Return observables that differ from a learned one by random errors, or errors alone.

    Raises:
        ArgumentTypeError: The model was not learned, so that it has no errors.
    """
    if not isinstance(model, LearnedModel):
        raise ArgumentTypeError(f"{shown(model)} was not measured and has no errors; use a LearnedModel")
    return (model.deviations if deviations else model.samples)(count, seed=seed)


def score_of(model: QuadraticForm, *, form: Form = "quadratic") -> FormScore:
    """Return the value of a quadratic form as a score.

    `quadratic` loses the share of the norm that a removed amplitude has; `normalized` is the value of the renormalised state,
    which a processor prepares: removing one feature rescales all others, a property of amplitude encoding. The zero vector
    has no state; its score is that of the maximally mixed state, tr(M) / N, which is 0 for a traceless observable.

    Args:
        model: Quadratic form F(x) = x' M x, such as a `Model`, or a `LearnedModel`, whose errors `measured` propagates.
        form: `quadratic` for F(x), `normalized` for F(x) / x'x.

    Returns:
        The score.

    Raises:
        ValueError: The form is unknown.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> score_of(ring_ansatz(1, 0), form="normalized")(np.array([[1.0, 2.0], [0.0, 0.0]]))
        array([-0.6,  0. ])
    """
    return FormScore(model, form)


def check_inputs_and_maps(score: ScoreFunction, x: ArrayLike, maps: ArrayLike) -> tuple[Array, FloatArray]:
    """Return inputs of a score and their maps as arrays, both (inputs, features), or raise ValueError."""
    check_columns(score, x, "x")
    inputs = np.ascontiguousarray(as_amplitudes(x))  # sums are rounded alike, whether a table holds rows or columns
    if inputs.ndim != 2 or not inputs.size:
        raise ValueError(f"{inputs.shape=} must be (inputs, features) with at least one input; pass x[None] for one")
    return inputs, check_maps(maps, inputs.shape)


def check_maps(maps: ArrayLike, shape: tuple[int, ...] | None = None) -> FloatArray:
    """Return maps as finite real numbers, (inputs, features), or raise ValueError; `shape` is the required shape, if any."""
    values = as_amplitudes(maps, "maps")
    if np.iscomplexobj(values):
        raise ValueError("maps must be real: an attribution is a share of a real score")
    if values.ndim != 2 or (shape is not None and values.shape != shape):
        raise ValueError(f"{values.shape=} of the maps must be (inputs, features){'' if shape is None else f' = {shape}'}")
    return values


def evaluate(score: ScoreFunction, x: Array) -> FloatArray:
    """Return the score of inputs (..., features) as one finite number per input, (...,), or raise ValueError."""
    values = np.asarray(score(x), dtype=float)
    if values.shape != x.shape[:-1]:
        raise ValueError(f"score returned {values.shape=} for {x.shape=}; it must return one number per input, {x.shape[:-1]}")
    if not np.isfinite(values).all():
        raise ValueError("score returned a number that is not finite; choose a reference for which it is defined")
    return values


def predicted_signs(score: ScoreFunction, x: Array) -> FloatArray:
    """Return the predicted class of each input as the sign of its score, (inputs,); 0 counts as +1."""
    return np.where(evaluate(getattr(score, "decided_by", None) or score, x) < 0, -1.0, 1.0)


def scores_without(score: ScoreFunction, x: Array, reference: Reference, removed: BoolArray) -> FloatArray:
    """Return the scores of inputs in which sets of features are replaced, averaged over the references.

    Args:
        score: Score to evaluate.
        x: Inputs, (inputs, features).
        reference: Replacement of removed features.
        removed: True for features that are removed, (inputs or 1, sets, features).

    Returns:
        Scores, (inputs, sets).

    Raises:
        ValueError: The reference does not fit, or the score is not one finite number per input.
    """
    check_columns(score, reference, "reference")
    rows, _ = resolve(reference, x)
    sets = removed.shape[1]
    step = max(1, _CHUNK // x.size)
    total = np.zeros((len(x), sets))
    for row in rows:
        for start in range(0, sets, step):
            part = np.where(removed[:, start : start + step], row[:, np.newaxis], x[:, np.newaxis])
            total[:, start : start + step] += evaluate(score, part)
    return total / len(rows)


keep_old_names(__name__)
