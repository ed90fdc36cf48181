"""How well a map adds up: attributions summed over random sets of features against what the score loses without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hattriq_cirq.faithfulness.removal import Reference, ScoreFunction, checked, scored, scores_without
from hattriq_cirq.foundation.arrays import Array, FloatArray, as_amplitudes


def sensitivity_n(
    score: ScoreFunction,
    x: ArrayLike,
    maps: ArrayLike,
    *,
    reference: Reference,
    sizes: Sequence[int],
    samples: int = 100,
    seed: int = 0,
) -> FloatArray:
    """Correlation, over random sets of n features, of their summed attribution with the loss of score without them.

    Ancona et al. 2018. It is 1 for every n where the score is a sum over features and the map holds the terms; at n = all
    features there is one set, and no correlation.

    Args:
        score: of inputs.
        x: (inputs, features).
        maps: (inputs, features), signed.
        reference: what a removed feature becomes; over a `BaselineSet` scores are averaged.
        sizes: the n, each in 1 .. features - 1.
        samples: sets of each size, at least 2, the same for all inputs.
        seed: of the sets.

    Returns:
        (inputs, sizes), Pearson's r; NaN where the sums or the losses do not vary.

    Raises:
        ValueError: bad input, a size or number of samples out of range.
    """
    x, values = checked(x, maps)
    rng = np.random.default_rng(seed)
    found = [_pearson(*_sums_and_losses(score, x, values, reference, _sets(rng, x.shape[1], size, samples))) for size in sizes]
    return np.stack(found, axis=1) if found else np.zeros((len(x), 0))


def faithfulness_correlation(
    score: ScoreFunction, x: ArrayLike, maps: ArrayLike, *, reference: Reference, size: int, samples: int = 100, seed: int = 0
) -> FloatArray:
    """Faithfulness correlation (Bhatt, Weller, Moura 2020): sensitivity-n at one size, (inputs,).

    Args, errors as in `sensitivity_n`.
    """
    found = sensitivity_n(score, x, maps, reference=reference, sizes=[size], samples=samples, seed=seed)
    return found[:, 0]


def infidelity(
    score: ScoreFunction,
    x: ArrayLike,
    maps: ArrayLike,
    *,
    reference: Reference,
    samples: int = 100,
    seed: int = 0,
    scaled: bool = False,
) -> FloatArray:
    """Mean squared gap between the summed attribution of random sets of features and the loss of score without them.

    Yeh et al. 2019, for maps that are shares of a score: a set holds each feature with probability 1/2. It is 0 where the score
    is a sum over features and the map holds the terms. The infidelity of a blank map is the mean squared loss itself.

    Args:
        score: of inputs.
        x: (inputs, features).
        maps: (inputs, features), signed.
        reference: what a removed feature becomes; over a `BaselineSet` scores are averaged.
        samples: sets, at least 2, the same for all inputs.
        seed: of the sets.
        scaled: multiply each map by the number that makes its infidelity least, so that maps of other units compare.

    Returns:
        (inputs,), in units of the score squared.

    Raises:
        ValueError: bad input, or samples < 2.
    """
    x, values = checked(x, maps)
    removed = np.random.default_rng(seed).random((_at_least_2(samples), x.shape[1])) < 0.5
    sums, losses = _sums_and_losses(score, x, values, reference, removed)
    if scaled:
        squares = np.sum(sums**2, axis=1)
        best = np.divide(np.sum(sums * losses, axis=1), squares, out=np.zeros(len(x)), where=squares > 0)
        sums = best[:, np.newaxis] * sums
    result: FloatArray = np.mean((sums - losses) ** 2, axis=1)
    return result


def max_sensitivity(
    explain: Callable[[Array], FloatArray], x: ArrayLike, *, radius: float, samples: int = 10, seed: int = 0
) -> FloatArray:
    """How far a map can move when its input moves a little: the largest relative change found (Yeh et al. 2019).

    Args:
        explain: (inputs, features) -> their maps, of the same shape.
        x: (inputs, features), real.
        radius: of the box around x from which samples are drawn evenly, > 0, in amplitude.
        samples: drawn an input, at least 1.
        seed: of the samples.

    Returns:
        (inputs,), the largest L2 change relative to the map at x; NaN for a blank map.

    Raises:
        ValueError: bad input, radius not positive, samples < 1, complex x.
    """
    inputs = as_amplitudes(x)
    if np.iscomplexobj(inputs):
        raise ValueError("max_sensitivity draws real changes, so x must be real")
    if not (radius > 0 and np.isfinite(radius)) or samples < 1:
        raise ValueError(f"{radius=} must be positive and {samples=} at least 1")
    inputs, at_x = checked(inputs, explain(inputs))
    rng = np.random.default_rng(seed)
    worst = np.zeros(len(inputs))
    for _ in range(samples):
        _, moved = checked(inputs, explain(inputs + rng.uniform(-radius, radius, inputs.shape)))
        worst = np.maximum(worst, np.linalg.norm(moved - at_x, axis=1))
    sizes = np.linalg.norm(at_x, axis=1)
    return np.asarray(np.divide(worst, sizes, out=np.full(len(inputs), np.nan), where=sizes > 0))


def _sets(rng: np.random.Generator, features: int, size: int, samples: int) -> NDArray[np.bool_]:
    """Random sets of a size, (samples, features)."""
    if not 1 <= size < features:
        raise ValueError(f"{size=} must lie in 1..{features - 1}, below the number of features")
    return rng.random((_at_least_2(samples), features)).argsort(axis=1) < size


def _at_least_2(samples: int) -> int:
    if samples < 2:
        raise ValueError(f"{samples=} must be at least 2")
    return samples


def _sums_and_losses(
    score: ScoreFunction, x: Array, values: FloatArray, reference: Reference, removed: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """Of sets of features (sets, features): their summed attribution and what the score loses, both (inputs, sets)."""
    losses = scored(score, x)[:, np.newaxis] - scores_without(score, x, reference, removed[np.newaxis])
    return values @ removed.T.astype(float), losses


def _pearson(left: FloatArray, right: FloatArray) -> FloatArray:
    """Correlation along the last axis, (inputs,); NaN where one side does not vary beyond rounding."""
    a, b = (v - v.mean(axis=1, keepdims=True) for v in (left, right))
    sizes = [np.linalg.norm(v, axis=1) for v in (a, b)]
    vary = [s > 1e-12 * np.linalg.norm(v, axis=1) for s, v in zip(sizes, (left, right), strict=True)]
    r = np.full(len(a), np.nan)
    np.divide(np.sum(a * b, axis=1), sizes[0] * sizes[1], out=r, where=vary[0] & vary[1])
    return r
