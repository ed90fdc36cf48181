"""Random samples in which every class keeps its share."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hattriq_cirq.foundation.arrays import largest_remainders
from hattriq_cirq.foundation.checks import as_number, as_seed

IntArray = NDArray[np.int64]
#: Largest number of samples of a generated data set.
SAMPLES_MAX = 10_000_000
#: Words for the accepted shares of the test set.
FRACTION = "be between 0 and 1, both excluded; 0.3 is common"


def stratified_split(labels: ArrayLike, test_fraction: float = 0.3, *, seed: int = 0) -> tuple[IntArray, IntArray]:
    """Split samples at random into train and test, with the same proportion of each class to the nearest sample.

    Both parts contain at least one sample of every class, and are shuffled, so that their first samples are mixed as well.

    Args:
        labels: Class of each sample, any values, (samples,).
        test_fraction: Share of each class in the test set, 0 < test_fraction < 1.
        seed: Random seed of the shuffle.

    Returns:
        Indices of the training samples, (n_train,), and of the test samples, (n_test,), disjoint, together all samples.

    Raises:
        ValueError: The fraction is out of range, or a class has fewer than two samples.

    Example:
        >>> train, test = stratified_split([1, 1, 1, -1, -1, -1], 0.3, seed=0)
        >>> len(train), len(test)
        (4, 2)
    """
    as_number(test_fraction, "test_fraction", advice=FRACTION, above=0, below=1)
    rng = np.random.default_rng(as_seed(seed))
    train, test = [], []
    for value, members in _strata(labels):
        if members.size < 2:
            raise ValueError(f"class {value!r} has {members.size} sample: a split needs two or more of every class")
        shuffled = rng.permutation(members)
        count = int(np.clip(np.rint(test_fraction * members.size), 1, members.size - 1))
        test.append(shuffled[:count])
        train.append(shuffled[count:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(test))


def stratified_draw(strata: ArrayLike, samples: int, *, seed: int = 0) -> IntArray:
    """Sample a given number of samples without replacement, with every stratum in its share to within one sample.

    Args:
        strata: Stratum of each sample, any values, (available,).
        samples: Number of samples, at most those available and enough for one of every stratum.
        seed: Random seed of the sample.

    Returns:
        Indices into strata in ascending order, (samples,).

    Raises:
        ValueError: There are fewer samples, or a stratum would get none.

    Example:
        >>> chosen = stratified_draw([1, 1, 1, 1, -1, -1], 3, seed=0)
        >>> int((chosen < 4).sum())
        2
    """
    groups = _strata(strata)
    sizes = np.array([members.size for _, members in groups], dtype=np.int64)
    if not 1 <= samples <= sizes.sum():
        raise ValueError(f"{samples=} must lie in 1..{sizes.sum()}, the number of available samples")
    counts = largest_remainders(sizes * (samples / sizes.sum()), samples)
    if not all(counts):
        raise ValueError(f"{samples=} leaves some of the {len(groups)} groups (class, train or test) empty; raise it")
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(members)[:count] for (_, members), count in zip(groups, counts, strict=True)]
    return np.sort(np.concatenate(chosen))


def _strata(labels: ArrayLike) -> list[tuple[object, IntArray]]:
    """Return each value, in ascending order, with its indices."""
    array = np.asarray(labels)
    return [(value.item(), np.flatnonzero(array == value).astype(np.int64)) for value in np.unique(array)]
