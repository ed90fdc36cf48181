"""What a score becomes when features are removed: replaced by a reference, for many sets of features at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hattriq_cirq._moved import keep_old_names
from hattriq_cirq.attribution.baselines import BaselineSet, resolve
from hattriq_cirq.foundation.arrays import Array, FloatArray, as_amplitudes
from hattriq_cirq.models.model import Form, Model, check_form

ScoreFunction = Callable[[Array], FloatArray]
"""(..., features) -> (...,): an answer to each input, whichever model gives it."""

Reference = float | ArrayLike | BaselineSet
"""What a removed feature becomes: a number, an array that broadcasts to the inputs, or a set to average scores over."""

_CHUNK = 2**22  # numbers handed to a score at once


def score_of(model: Model, *, form: Form = "quadratic") -> ScoreFunction:
    """The answer of a quantum model as a score.

    `quadratic` keeps a removed amplitude's share of the norm missing; `normalized` is the renormalised state, what a device is
    fed: removing one feature rescales all others, which is special to amplitude encoding. A blank input has no state; its
    score is that of the maximally mixed one, tr(O) / 2**n, 0 for a traceless observable.

    Args:
        model: F(x) = x' M x.
        form: `quadratic` for F(x), `normalized` for F(x) / x'x.

    Returns:
        The score.

    Raises:
        ValueError: another form.
    """
    check_form(form)

    def score(x: Array) -> FloatArray:
        acted = model.observable_action(x, real_part=not np.iscomplexobj(x))  # M is built and kept where that pays
        values: FloatArray = np.einsum("...k,...k->...", np.conj(x), acted).real
        if form == "quadratic":
            return values
        norms = np.sum(np.abs(x) ** 2, axis=-1)
        result: FloatArray = np.where(norms > 0, values, model.identity_part) / np.where(norms > 0, norms, 1)
        return result

    return score


def checked(x: ArrayLike, maps: ArrayLike) -> tuple[Array, FloatArray]:
    """Inputs and their maps, both (inputs, features), or an error that says what does not fit."""
    inputs = as_amplitudes(x)
    if inputs.ndim != 2 or not inputs.size:
        raise ValueError(f"{inputs.shape=} must be (inputs, features) with at least one input; pass x[None] for one")
    return inputs, checked_maps(maps, inputs.shape)


def checked_maps(maps: ArrayLike, shape: tuple[int, ...] | None = None) -> FloatArray:
    """Maps (inputs, features) of finite real numbers, of a shape that is wanted."""
    values = as_amplitudes(maps, "maps")
    if np.iscomplexobj(values):
        raise ValueError("maps must be real: an attribution is a share of a real score")
    if values.ndim != 2 or (shape is not None and values.shape != shape):
        raise ValueError(f"{values.shape=} of the maps must be (inputs, features){'' if shape is None else f' = {shape}'}")
    return values


def scored(score: ScoreFunction, x: Array) -> FloatArray:
    """The score of inputs (..., features), checked: one finite number each, (...,)."""
    values = np.asarray(score(x), dtype=float)
    if values.shape != x.shape[:-1]:
        raise ValueError(f"score gave {values.shape=} for {x.shape=}; it must give one number an input, {x.shape[:-1]}")
    if not np.isfinite(values).all():
        raise ValueError("score gave a number that is not finite; is it defined on the reference?")
    return values


def sides(score: ScoreFunction, x: Array) -> FloatArray:
    """The predicted class of each input as the sign of its score, (inputs,); 0 counts as +1."""
    return np.where(scored(score, x) < 0, -1.0, 1.0)


def scores_without(score: ScoreFunction, x: Array, reference: Reference, removed: NDArray[np.bool_]) -> FloatArray:
    """Scores of inputs of which sets of features are replaced, averaged over the references.

    Args:
        score: what is asked.
        x: (inputs, features).
        reference: what a removed feature becomes.
        removed: (inputs or 1, sets, features), True where a feature is removed.

    Returns:
        (inputs, sets).

    Raises:
        ValueError: the reference does not fit, or the score is not one finite number an input.
    """
    rows, _ = resolve(reference, x)
    sets = removed.shape[1]
    step = max(1, _CHUNK // x.size)
    total = np.zeros((len(x), sets))
    for row in rows:
        for start in range(0, sets, step):
            part = np.where(removed[:, start : start + step], row[:, np.newaxis], x[:, np.newaxis])
            total[:, start : start + step] += scored(score, part)
    result: FloatArray = total / len(rows)
    return result


keep_old_names(__name__)
