"""Additivity of a map: attributions summed over random sets of features, compared with the loss of score without the sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.faithfulness.removal import Reference, ScoreFunction, check_inputs_and_maps, evaluate, scores_without
from hattriq_cirq.foundation.arrays import (
    Array,
    BoolArray,
    FloatArray,
    as_amplitudes,
    binary_exponents,
    rescaled,
    scaling_exponents,
    times_power_of_2,
)
from hattriq_cirq.foundation.checks import as_count, as_counts, as_number, as_seed, check_flag
from hattriq_cirq.foundation.numerics import with_numpy_defaults

_SET_MEMBERS_MAX = 2**27  # sets times features, 1 GB of random numbers


@with_numpy_defaults
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
    """Return the correlation, over random sets of n features, of their summed attribution with the loss of score without them.

    Ancona et al. 2018. It is 1 for every n if the score is a sum over features and the map holds the terms; for n = all
    features there is only one set, and no correlation.

    Args:
        score: Score of inputs.
        x: Inputs, (inputs, features).
        maps: Signed maps, (inputs, features).
        reference: Replacement of removed features; for a `BaselineSet` scores are averaged.
        sizes: Sizes n of the sets, each in 1 .. features - 1.
        samples: Number of sets of each size, at least 2, the same for all inputs.
        seed: Random seed of the sets.

    Returns:
        Pearson's r, (inputs, sizes); NaN if the sums or the losses do not vary.

    Raises:
        ValueError: The input is invalid, or a size or the number of samples is out of range.

    Example:
        >>> sensitivity_n(lambda x: x @ np.array([1, 2]), [[1, 1]], [[1, 2]], reference=0, sizes=[1]).round(6)
        array([[1.]])
    """
    x, values = check_inputs_and_maps(score, x, maps)
    rng, samples = np.random.default_rng(as_seed(seed)), _check_samples(samples, x.shape[1])
    sets = [_random_sets(rng, x.shape[1], size, samples) for size in as_counts(sizes, "sizes")]
    columns = [_pearson(*_sums_and_losses(score, x, values, reference, rechanged)) for rechanged in sets]
    return np.stack(columns, axis=1) if columns else np.zeros((len(x), 0))


@with_numpy_defaults
def faithfulness_correlation(
    score: ScoreFunction, x: ArrayLike, maps: ArrayLike, *, reference: Reference, size: int, samples: int = 100, seed: int = 0
) -> FloatArray:
    """Return the faithfulness correlation (Bhatt, Weller, Moura 2020): sensitivity-n at one size.

    Args:
        score: Score of inputs.
        x: Inputs, (inputs, features).
        maps: Signed maps, (inputs, features).
        reference: Replacement of removed features; for a `BaselineSet` scores are averaged.
        size: Number of features in a set, in 1 .. features - 1.
        samples: Number of sets, at least 2, the same for all inputs.
        seed: Random seed of the sets.

    Returns:
        Pearson's r, (inputs,); NaN if the sums or the losses do not vary.

    Raises:
        ValueError: The input is invalid, or the size or the number of samples is out of range.

    Example:
        >>> faithfulness_correlation(lambda x: x @ np.array([1, 2]), [[1, 1]], [[1, 2]], reference=0, size=1).round(6)
        array([1.])
    """
    return sensitivity_n(score, x, maps, reference=reference, sizes=[size], samples=samples, seed=seed)[:, 0]


@with_numpy_defaults
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
    """Return the mean squared difference between the summed attribution of random sets of features and the loss of score.

    Yeh et al. 2019, for maps that are shares of a score: a set contains each feature with probability 1/2. It is 0 if the
    score is a sum over features and the map holds the terms. The infidelity of a map of zeros is the mean squared loss itself.

    Args:
        score: Score of inputs.
        x: Inputs, (inputs, features).
        maps: Signed maps, (inputs, features).
        reference: Replacement of removed features; for a `BaselineSet` scores are averaged.
        samples: Number of sets, at least 2, the same for all inputs.
        seed: Random seed of the sets.
        scaled: Multiply each map by the number that minimises its infidelity, to compare maps in different units.

    Returns:
        Infidelity in units of the squared score, (inputs,).

    Raises:
        ValueError: The input is invalid, or samples < 2.

    Example:
        >>> infidelity(lambda x: x @ np.array([1, 2]), [[1, 1]], [[1, 2]], reference=0)
        array([0.])
    """
    x, values = check_inputs_and_maps(score, x, maps)
    check_flag(scaled, "scaled")
    rechanged = np.random.default_rng(as_seed(seed)).random((_check_samples(samples, x.shape[1]), x.shape[1])) < 0.5
    sums, losses = _sums_and_losses(score, x, values, reference, rechanged)
    exponents = scaling_exponents(sums, losses)
    sums, losses = (times_power_of_2(v, -exponents) for v in (sums, losses))
    if scaled:
        own = -binary_exponents(sums)
        sums = times_power_of_2(sums, own)
        squares = np.sum(sums**2, axis=1)
        best = np.divide(np.sum(sums * losses, axis=1), squares, out=np.zeros(len(x)), where=squares > 0)
        sums = best[:, np.newaxis] * sums
    return rescaled(np.mean((sums - losses) ** 2, axis=1), 2 * exponents[:, 0], "the infidelity")


@with_numpy_defaults
def max_sensitivity(
    explain: Callable[[Array], FloatArray], x: ArrayLike, *, radius: float, samples: int = 10, seed: int = 0
) -> FloatArray:
    """Return the largest relative change of a map over small changes of its input (Yeh et al. 2019).

    Args:
        explain: Function from inputs, (inputs, features), to their maps in the same shape.
        x: Inputs, (inputs, features), real.
        radius: Half width of the box around x from which changed inputs are sampled uniformly, > 0, in amplitude.
        samples: Number of changed inputs per input, at least 1.
        seed: Random seed of the samples.

    Returns:
        The largest L2 change relative to the map at x, (inputs,); NaN for a map of zeros.

    Raises:
        ValueError: The input is invalid or complex, the radius is not positive, or samples < 1.

    Example:
        >>> max_sensitivity(lambda x: 2 * x, [[0.6, 0.8]], radius=0.1).round(3)
        array([0.133])
    """
    inputs = as_amplitudes(x)
    if np.iscomplexobj(inputs):
        raise ValueError("max_sensitivity adds real numbers to the inputs, so x must be real")
    radius, samples = as_number(radius, "radius", above=0), as_count(samples, "samples")
    rng = np.random.default_rng(as_seed(seed))
    inputs, at_x = check_inputs_and_maps(explain, inputs, explain(inputs))
    unit = binary_exponents(at_x)
    scaled, largest = times_power_of_2(at_x, -unit), np.zeros(len(inputs))
    for _ in range(samples):
        _, changed = check_inputs_and_maps(explain, inputs, explain(inputs + rng.uniform(-radius, radius, inputs.shape)))
        largest = np.maximum(largest, np.linalg.norm(times_power_of_2(changed, -unit) - scaled, axis=1))
    sizes = np.linalg.norm(scaled, axis=1)
    return np.asarray(np.divide(largest, sizes, out=np.full(len(inputs), np.nan), where=sizes > 0))


def _random_sets(rng: np.random.Generator, features: int, size: int, samples: int) -> BoolArray:
    """Return random sets of a size, (samples, features)."""
    return rng.random((samples, features)).argsort(axis=1) < as_count(size, "size", 1, features - 1)


def _check_samples(samples: int, features: int) -> int:
    """Return the number of sets if they fit into memory."""
    least, most = as_count(samples, "samples", 2), max(2, _SET_MEMBERS_MAX // features)
    return as_count(least, "samples", 2, most)


def _sums_and_losses(
    score: ScoreFunction, x: Array, values: FloatArray, reference: Reference, rechanged: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Return the summed attribution and the loss of score of sets of features (sets, features), both (inputs, sets)."""
    losses = evaluate(score, x)[:, np.newaxis] - scores_without(score, x, reference, rechanged[np.newaxis])
    return values @ rechanged.T.astype(float), losses


def _pearson(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return the correlation along the last axis, (inputs,); NaN if one side does not vary beyond rounding."""
    left, right = (times_power_of_2(v, -binary_exponents(v)) for v in (left, right))
    a, b = (v - v.mean(axis=1, keepdims=True) for v in (left, right))
    sizes = [np.linalg.norm(v, axis=1) for v in (a, b)]
    vary = [s > 1e-12 * np.linalg.norm(v, axis=1) for s, v in zip(sizes, (left, right), strict=True)]
    r = np.full(len(a), np.nan)
    np.divide(np.sum(a * b, axis=1), sizes[0] * sizes[1], out=r, where=vary[0] & vary[1])
    return r
