"""Reference inputs: what an attribution is measured against.

Every helper returns amplitudes that `integrated_gradients(baseline=...)` takes. All but `zero` are rescaled to the norm of
the input, so that both ends of the path are states a device could be fed; the normalized form takes all but `zero`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter

from hattriq_cirq.foundation.arrays import Array, as_amplitudes, read_only

NAMES = ("zero", "mean", "class_mean", "opposite_class_mean", "blur", "uniform", "max_distance", "sample")


@dataclass(frozen=True, eq=False)
class BaselineSet:
    """Several baselines for one attribution: expected gradients, the mean over the set.

    Args:
        rows: (baselines, features), real or complex.

    Raises:
        ValueError: not two axes, no row, or a number that is not finite.
    """

    rows: Array

    def __post_init__(self) -> None:
        rows = read_only(as_amplitudes(self.rows, "rows"))
        if rows.ndim != 2 or not len(rows):
            raise ValueError(f"{rows.shape=} must be (baselines, features) with at least one baseline")
        object.__setattr__(self, "rows", rows)

    def __len__(self) -> int:
        return len(self.rows)


def zero(x: ArrayLike) -> Array:
    """The blank baseline, 0 in every amplitude: for +-1 classifiers the undecided point, F(0) = 0.

    Args:
        x: (..., features).

    Returns:
        Zeros of the same shape.
    """
    return np.zeros_like(as_amplitudes(x))


def uniform(x: ArrayLike) -> Array:
    """The same positive amplitude everywhere, of the norm of each row of x.

    Args:
        x: (..., features).

    Returns:
        (..., features).
    """
    return _scaled(np.ones(as_amplitudes(x).shape), x)


def mean(x: ArrayLike, data: ArrayLike) -> Array:
    """The mean row of the data, rescaled to each row of x.

    Args:
        x: (..., features).
        data: (samples, features), the training inputs.

    Returns:
        (..., features).
    """
    x = as_amplitudes(x)
    return _scaled(np.broadcast_to(_rows(data).mean(axis=0), x.shape), x)


def class_mean(x: ArrayLike, labels: ArrayLike, data: ArrayLike, data_labels: ArrayLike) -> Array:
    """The mean training row of each input's own class, rescaled.

    Args:
        x: (..., features).
        labels: (...,) in {-1, +1}, the class of each input.
        data: (samples, features), the training inputs.
        data_labels: (samples,) in {-1, +1}.

    Returns:
        (..., features).

    Raises:
        ValueError: a class has no training row, or shapes disagree.
    """
    x, data = as_amplitudes(x), _rows(data)
    labels, data_labels = np.asarray(labels), np.asarray(data_labels)
    if labels.shape != x.shape[:-1] or data_labels.shape != data.shape[:-1]:
        raise ValueError(f"{labels.shape=} must be {x.shape[:-1]} and {data_labels.shape=} must be {data.shape[:-1]}")
    rows = np.empty(x.shape, dtype=np.result_type(x, data))
    for label in np.unique(labels):
        if not (data_labels == label).any():
            raise ValueError(f"data_labels has no row of class {label}; its mean does not exist")
        rows[labels == label] = data[data_labels == label].mean(axis=0)
    return _scaled(rows, x)


def opposite_class_mean(x: ArrayLike, labels: ArrayLike, data: ArrayLike, data_labels: ArrayLike) -> Array:
    """The mean training row of the other class, rescaled: what would have to change for the other answer.

    Args, returns and errors as in `class_mean`.
    """
    return class_mean(x, -np.asarray(labels), data, data_labels)


def blur(x: ArrayLike, image_shape: tuple[int, int], sigma: float = 2.0) -> Array:
    """Each image smoothed by a Gaussian, rescaled: what is there without its detail.

    Args:
        x: (..., features), real.
        image_shape: (rows, cols) with rows * cols = features.
        sigma: width in pixels, > 0.

    Returns:
        (..., features).

    Raises:
        ValueError: the shape does not match, sigma is not positive, or x is complex.
    """
    x = as_amplitudes(x)
    if np.iscomplexobj(x):
        raise ValueError("blur smooths images, which are real; x is complex")
    if image_shape[0] * image_shape[1] != x.shape[-1] or not sigma > 0:
        raise ValueError(f"{image_shape=} must hold {x.shape[-1]} pixels and {sigma=} must be positive")
    images = x.reshape(*x.shape[:-1], *image_shape)
    widths = (0.0,) * (x.ndim - 1) + (sigma, sigma)
    return _scaled(gaussian_filter(images, widths, mode="nearest").reshape(x.shape), x)


def max_distance(x: ArrayLike, low: float = 0.0, high: float | None = None) -> Array:
    """In every feature the end of the range that lies farther from x, rescaled (Sturmfels, Lundberg, Lee 2020).

    Args:
        x: (..., features), real.
        low: the least amplitude a feature can take.
        high: the greatest; None is the greatest of each row.

    Returns:
        (..., features).

    Raises:
        ValueError: x is complex.
    """
    x = as_amplitudes(x)
    if np.iscomplexobj(x):
        raise ValueError("max_distance compares amplitudes by size, so x must be real")
    top = np.max(x, axis=-1, keepdims=True) if high is None else np.asarray(high)
    return _scaled(np.where(np.abs(x - low) >= np.abs(top - x), low, top), x)


def sample(data: ArrayLike, count: int, *, seed: int) -> BaselineSet:
    """Rows drawn from the data without repeats, for expected gradients (Erion et al. 2021).

    Args:
        data: (samples, features).
        count: how many, 1 .. samples.
        seed: of the draw.

    Returns:
        The set.

    Raises:
        ValueError: count is out of range.
    """
    data = _rows(data)
    if not 1 <= count <= len(data):
        raise ValueError(f"{count=} must be between 1 and the number of rows, {len(data)}")
    return BaselineSet(data[np.random.default_rng(seed).choice(len(data), count, replace=False)])


def resolve(baseline: float | ArrayLike | BaselineSet, inputs: Array) -> tuple[Array, str]:
    """Any baseline as (baselines, samples or 1, features), and how to call it; errors name what does not fit."""
    features = inputs.shape[-1]
    if isinstance(baseline, BaselineSet):
        rows = as_amplitudes(baseline.rows, "baseline.rows", features)
        return rows[:, np.newaxis], f"set of {len(rows)}"
    array = as_amplitudes(np.atleast_1d(np.asarray(baseline)), "baseline")
    try:
        full = np.broadcast_to(array, inputs.shape)
    except ValueError:
        raise ValueError(f"baseline.shape={array.shape} must broadcast to x.shape={inputs.shape}") from None
    label = f"constant {np.asarray(baseline).item():g}" if np.ndim(baseline) == 0 else "array"
    if array.ndim == 1:
        return np.broadcast_to(array, features).reshape(1, 1, features), label
    return full.reshape(1, -1, features), label


def _rows(data: ArrayLike) -> Array:
    rows = as_amplitudes(data, "data")
    if rows.ndim != 2 or not len(rows):
        raise ValueError(f"data.shape={rows.shape} must be (samples, features) with at least one sample")
    return rows


def _scaled(rows: Array, x: ArrayLike) -> Array:
    """Rows rescaled to the norms of x; a blank row has no direction and is refused."""
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    if not norms.all():
        raise ValueError("the baseline is blank in some row and cannot be rescaled; use baselines.zero if that is meant")
    scaled: Array = rows * (np.linalg.norm(np.asarray(x), axis=-1, keepdims=True) / norms)
    return scaled
