"""Curves of a score while features are removed or inserted by the rank of their attribution, and the areas under them.

Samek et al. 2017; Petsiuk, Das, Saenko 2018; SRG: Bluecher, Vielhaben, Strodthoff 2024.

Signs: the predicted class is the sign of the score (0 counts as +1). Both the scores of a curve and the attributions that
rank features are multiplied by it, so that a curve starts at |score(x)| and the most relevant feature is the one with the
largest attribution in favour of the predicted class, not the one with the largest absolute value; evidence against the class
comes last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.faithfulness.removal import Reference, ScoreFunction, check_inputs_and_maps, predicted_signs, scores_without
from hattriq_cirq.foundation.arrays import FloatArray, freeze
from hattriq_cirq.foundation.checks import as_count, as_seed, as_word
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.numerics import with_numpy_defaults

Order = Literal["morf", "lerf"]
STEPS = 32


@dataclass(frozen=True, eq=False)
class Curve(Frozen):
    """Scores in favour of the predicted class while more and more features are changed.

    Args:
        fractions: Fractions of features that are changed, increasing from 0 to 1, (points,).
        scores: Scores, (inputs, points).

    Raises:
        ValueError: The shapes do not match, or the fractions do not increase from 0 to 1.

    Example:
        >>> area(Curve([0, 0.5, 1], [[1, 0.5, 0]]))
        array([0.5])
    """

    fractions: FloatArray
    scores: FloatArray

    def __post_init__(self) -> None:
        fractions, scores = (np.asarray(v, dtype=float) for v in (self.fractions, self.scores))
        if fractions.ndim != 1 or scores.ndim != 2 or scores.shape[1] != len(fractions) or len(fractions) < 2:
            raise ValueError(f"{fractions.shape=} must be (points,), 2 or more, and {scores.shape=} (inputs, points)")
        if fractions[0] != 0 or fractions[-1] != 1 or not (np.diff(fractions) > 0).all():
            raise ValueError(f"{fractions=} must rise from 0 to 1")
        freeze(self, fractions=fractions, scores=scores)
        super().__post_init__()


@with_numpy_defaults
def deletion_curve(
    score: ScoreFunction,
    x: ArrayLike,
    maps: ArrayLike,
    *,
    reference: Reference,
    order: Order = "morf",
    steps: int = STEPS,
    seed: int = 0,
) -> Curve:
    """Return the score while features are removed, the most relevant first (MoRF) or the least relevant first (LeRF).

    Args:
        score: Score of inputs, whose sign is the predicted class.
        x: Inputs, (inputs, features).
        maps: Signed maps, (inputs, features), in which a positive value raises the score.
        reference: Replacement of removed features; for a `BaselineSet` scores are averaged.
        order: `morf` to remove the largest attribution in favour of the predicted class first, `lerf` for exactly the reverse.
        steps: Number of points after the first, at most one per feature.
        seed: Random seed of the order among equal attributions, the same for all inputs.

    Returns:
        The curve, from x to the reference.

    Raises:
        ValueError: The input is invalid, the order is unknown, or steps < 1.

    Example:
        >>> deletion_curve(lambda x: x @ np.array([1, 2]), [[1, 1]], [[1, 2]], reference=0).scores
        array([[3., 1., 0.]])
    """
    return _curve(score, x, maps, reference, order, steps, seed, insert=False)


@with_numpy_defaults
def insertion_curve(
    score: ScoreFunction,
    x: ArrayLike,
    maps: ArrayLike,
    *,
    reference: Reference,
    order: Order = "morf",
    steps: int = STEPS,
    seed: int = 0,
) -> Curve:
    """Return the score while features of x are inserted into the reference, the most or the least relevant first.

    Args:
        score: Score of inputs; the predicted class is the sign of the score at x.
        x: Inputs, (inputs, features).
        maps: Signed maps, (inputs, features), in which a positive value raises the score.
        reference: Initial value of features; for a `BaselineSet` scores are averaged.
        order: `morf` to insert the largest attribution in favour of the predicted class first, `lerf` for exactly the reverse.
        steps: Number of points after the first, at most one per feature.
        seed: Random seed of the order among equal attributions, the same for all inputs.

    Returns:
        The curve, from the reference to x.

    Raises:
        ValueError: The input is invalid, the order is unknown, or steps < 1.

    Example:
        >>> insertion_curve(lambda x: x @ np.array([1, 2]), [[1, 1]], [[1, 2]], reference=0).scores
        array([[0., 2., 3.]])
    """
    return _curve(score, x, maps, reference, order, steps, seed, insert=True)


@with_numpy_defaults
def area(curve: Curve) -> FloatArray:
    """Return the area under each curve by the trapezoidal rule, (inputs,): the mean score along the curve.

    Example:
        >>> area(Curve([0, 1], [[1, 0]]))
        array([0.5])
    """
    return np.asarray(np.trapezoid(curve.scores, curve.fractions, axis=1))


@with_numpy_defaults
def srg(
    score: ScoreFunction, x: ArrayLike, maps: ArrayLike, *, reference: Reference, steps: int = STEPS, seed: int = 0
) -> FloatArray:
    """Return the symmetric relevance gain: the area under the LeRF deletion curve minus that under the MoRF curve.

    It is positive for a map that ranks features as the score does, about 0 for a random map, and changes sign with all signs of
    the map (without ties). Its unit is that of the score.

    Args:
        score: Score of inputs, whose sign is the predicted class.
        x: Inputs, (inputs, features).
        maps: Signed maps, (inputs, features), in which a positive value raises the score.
        reference: Replacement of removed features; for a `BaselineSet` scores are averaged.
        steps: Number of points after the first, at most one per feature.
        seed: Random seed of the order among equal attributions, the same for all inputs.

    Returns:
        The gain, (inputs,).

    Raises:
        ValueError: The input is invalid, or steps < 1.

    Example:
        >>> srg(lambda x: x @ np.array([1, 2]), [[1, 1]], [[1, 2]], reference=0)
        array([0.5])
    """
    lerf, morf = (area(_curve(score, x, maps, reference, order, steps, seed, insert=False)) for order in ("lerf", "morf"))
    return lerf - morf


def _curve(
    score: ScoreFunction, x: ArrayLike, maps: ArrayLike, reference: Reference, order: str, steps: int, seed: int, insert: bool
) -> Curve:
    """Return the scores with features changed in order of relevance; `insert` starts from the reference instead of x."""
    as_word(order, "order", ("morf", "lerf"))
    steps, rng = as_count(steps, "steps"), np.random.default_rng(as_seed(seed))
    x, values = check_inputs_and_maps(score, x, maps)
    features = x.shape[1]
    sign = predicted_signs(score, x)[:, np.newaxis]
    shuffled = rng.permutation(features)  # breaks ties
    by_relevance = shuffled[np.argsort(-(sign * values)[:, shuffled], axis=1, kind="stable")]
    rank = np.argsort(by_relevance, axis=1)
    if order == "lerf":
        rank = features - 1 - rank
    counts = np.unique(np.round(np.linspace(0, features, min(steps, features) + 1)))
    changed = rank[:, np.newaxis] < counts[:, np.newaxis]
    return Curve(counts / features, sign * scores_without(score, x, reference, ~changed if insert else changed))
