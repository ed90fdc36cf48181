"""Labels of -1 and +1, and seeded draws in which every class keeps its share."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

IntArray = NDArray[np.int64]


def as_labels(y: ArrayLike, name: str = "y") -> IntArray:
    """Turns labels into int64 of -1 and +1.

    Args:
        y: (samples,) numbers, each -1 or +1.
        name: what the caller calls them, for the error.

    Returns:
        (samples,) int64.

    Raises:
        ValueError: another shape or value; if exactly two other values occur the error says how to map them.
    """
    array = np.asarray(y)
    if array.ndim != 1:
        raise ValueError(f"{name}.shape={array.shape} must be (samples,): one label a row")
    found = sorted(set(array.tolist()), key=repr)
    if array.dtype.kind in "biuf" and set(found) <= {-1, 1}:
        return array.astype(np.int64)
    if len(found) == 2:
        first, second = found
        cure = f"write -1 for {first!r} and +1 for {second!r}: np.where(y == {second!r}, 1, -1)"
    else:
        cure = "keep two classes and write them as -1 and +1"
    shown = ", ".join(map(repr, found[:5])) + (", ..." if len(found) > 5 else "")
    raise ValueError(f"{name} must hold only the labels -1 and +1, found {shown}; {cure}")


def stratified_split(labels: ArrayLike, test_fraction: float = 0.3, *, seed: int = 0) -> tuple[IntArray, IntArray]:
    """Splits samples at random into train and test, each class in the same proportion to the nearest sample.

    Both sides hold at least one sample of every class, and come shuffled: a prefix of either is mixed.

    Args:
        labels: (samples,) class of each sample, any values.
        test_fraction: share of each class that goes to the test set, 0 < test_fraction < 1.
        seed: of the shuffle.

    Returns:
        (n_train,) and (n_test,) indices, disjoint, together all samples.

    Raises:
        ValueError: fraction out of range, or a class of fewer than two samples.
    """
    if not 0 < test_fraction < 1:
        raise ValueError(f"{test_fraction=} must lie between 0 and 1, both excluded; 0.3 is common")
    rng = np.random.default_rng(seed)
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
    """Draws exactly so many samples without repetition, every stratum in its share to within one sample.

    Args:
        strata: (available,) stratum of each sample, any values.
        samples: how many to draw, at most available and enough for one of every stratum.
        seed: of the draw.

    Returns:
        (samples,) ascending indices into strata.

    Raises:
        ValueError: more samples than there are, or so few that a stratum gets none.
    """
    groups = _strata(strata)
    sizes = np.array([members.size for _, members in groups], dtype=np.int64)
    if not 1 <= samples <= sizes.sum():
        raise ValueError(f"{samples=} must lie in 1..{sizes.sum()}, the samples there are")
    share = sizes * (samples / sizes.sum())
    take = np.floor(share).astype(np.int64)
    take[np.argsort(take - share, kind="stable")[: samples - take.sum()]] += 1
    if not take.all():
        raise ValueError(f"{samples=} leaves some of the {len(groups)} groups (class, train or test) empty; raise it")
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(members)[:count] for (_, members), count in zip(groups, take, strict=True)]
    return np.sort(np.concatenate(drawn))


def _strata(labels: ArrayLike) -> list[tuple[object, IntArray]]:
    """Returns each value that occurs, ascending, with the indices where it does."""
    array = np.asarray(labels)
    return [(value.item(), np.flatnonzero(array == value).astype(np.int64)) for value in np.unique(array)]
