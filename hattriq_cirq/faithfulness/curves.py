"""Curves of a score while features are removed or put in by the rank of their attribution, and the areas under them.

Samek et al. 2017; Petsiuk, Das, Saenko 2018; SRG: Bluecher, Vielhaben, Strodthoff 2024.

How signs are treated: the predicted class is the sign of the score (0 counts as +1). Both the scores of a curve and the
attributions that rank features are multiplied by it, so a curve starts at |score(x)| and the most relevant feature is the one
with the largest attribution in favour of the predicted class, not the largest absolute value; evidence against it comes last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.faithfulness.removal import Reference, ScoreFunction, checked, scores_without, sides
from hattriq_cirq.foundation.arrays import Array, FloatArray, read_only

Order = Literal["morf", "lerf"]
STEPS = 32


@dataclass(frozen=True, eq=False)
class Curve:
    """Scores in favour of the class that was predicted, while more and more features are changed.

    Args:
        fractions: (points,) of features changed, rising from 0 to 1.
        scores: (inputs, points).

    Raises:
        ValueError: shapes disagree, or fractions do not rise from 0 to 1.
    """

    fractions: FloatArray
    scores: FloatArray

    def __post_init__(self) -> None:
        fractions, scores = (read_only(np.asarray(v, dtype=float)) for v in (self.fractions, self.scores))
        if fractions.ndim != 1 or scores.ndim != 2 or scores.shape[1] != len(fractions) or len(fractions) < 2:
            raise ValueError(f"{fractions.shape=} must be (points,), 2 or more, and {scores.shape=} (inputs, points)")
        if fractions[0] != 0 or fractions[-1] != 1 or not (np.diff(fractions) > 0).all():
            raise ValueError(f"{fractions=} must rise from 0 to 1")
        object.__setattr__(self, "fractions", fractions)
        object.__setattr__(self, "scores", scores)


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
    """The score while features are removed, the most relevant first (MoRF) or the least relevant first (LeRF).

    Args:
        score: of inputs; its sign is the predicted class.
        x: (inputs, features).
        maps: (inputs, features), signed: + pushes the score up.
        reference: what a removed feature becomes; over a `BaselineSet` scores are averaged.
        order: `morf` removes the largest attribution in favour of the predicted class first, `lerf` exactly the reverse.
        steps: points after the first, at most one a feature.
        seed: of the order among equal attributions, the same for all inputs.

    Returns:
        The curve, from x to the reference.

    Raises:
        ValueError: bad input, an unknown order, or steps < 1.
    """
    x, rank, side = _ranked(score, x, maps, order, seed)
    counts = _counts(x.shape[1], steps)
    return _curve(score, x, reference, rank[:, np.newaxis] < counts[:, np.newaxis], counts, side)


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
    """The score while features of x are put into the reference, the most relevant first (MoRF) or the least (LeRF).

    Args, errors as in `deletion_curve`; the predicted class is that of x.

    Returns:
        The curve, from the reference to x.
    """
    x, rank, side = _ranked(score, x, maps, order, seed)
    counts = _counts(x.shape[1], steps)
    return _curve(score, x, reference, rank[:, np.newaxis] >= counts[:, np.newaxis], counts, side)


def area(curve: Curve) -> FloatArray:
    """The area under each curve by trapezoids, (inputs,): the mean score on the way."""
    return np.asarray(np.trapezoid(curve.scores, curve.fractions, axis=1))


def srg(
    score: ScoreFunction, x: ArrayLike, maps: ArrayLike, *, reference: Reference, steps: int = STEPS, seed: int = 0
) -> FloatArray:
    """Symmetric relevance gain: the area under the LeRF deletion curve less that under the MoRF one.

    Positive for a map that ranks features as the score does; about 0 for a random one; of a map with all signs flipped it is
    the negative (without ties). In the units of the score.

    Args, errors as in `deletion_curve`.

    Returns:
        (inputs,).
    """
    curves = (
        deletion_curve(score, x, maps, reference=reference, order=order, steps=steps, seed=seed) for order in ("lerf", "morf")
    )
    lerf, morf = map(area, curves)
    return lerf - morf


def _ranked(score: ScoreFunction, x: ArrayLike, maps: ArrayLike, order: str, seed: int) -> tuple[Array, Array, FloatArray]:
    """Inputs, the place of each feature in the order, (inputs, features), and the predicted class of each input."""
    if order not in ("morf", "lerf"):
        raise ValueError(f"{order=} must be 'morf' (most relevant first) or 'lerf'")
    x, values = checked(x, maps)
    side = sides(score, x)
    shuffled = np.random.default_rng(seed).permutation(x.shape[1])
    relevance = (side[:, np.newaxis] * values)[:, shuffled]
    places = shuffled[np.argsort(-relevance, axis=1, kind="stable")]
    rank = np.argsort(places, axis=1)
    return x, rank if order == "morf" else x.shape[1] - 1 - rank, side


def _counts(features: int, steps: int) -> FloatArray:
    if steps < 1:
        raise ValueError(f"{steps=} must be at least 1")
    return np.unique(np.round(np.linspace(0, features, min(steps, features) + 1)))


def _curve(score: ScoreFunction, x: Array, reference: Reference, removed: Array, counts: FloatArray, side: FloatArray) -> Curve:
    scores = scores_without(score, x, reference, removed)
    return Curve(counts / x.shape[1], side[:, np.newaxis] * scores)
