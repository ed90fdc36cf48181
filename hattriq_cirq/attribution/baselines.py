"""Baselines: reference inputs with which an attribution compares the input.

Every function returns amplitudes for `integrated_gradients(baseline=...)`. All but `zero` are rescaled to the norm of the
input, so that both ends of the path are states that a processor can prepare; the normalized form accepts all but `zero`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter

from hattriq_cirq.foundation.array_files import take_rows
from hattriq_cirq.foundation.arrays import (
    Array,
    FloatArray,
    as_amplitudes,
    binary_exponents,
    exact_sum,
    freeze,
    rescaled,
    row_blocks,
    times_power_of_2,
    unit_vectors,
    zeros,
)
from hattriq_cirq.foundation.checks import ArgumentTypeError, as_count, as_labels, as_number, as_seed, as_shape, set_fields
from hattriq_cirq.foundation.contract import DataContract, column_names
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.foundation.text import number_text

_SIGMA_MAX = 1e4  # pixels: the cost of a Gaussian grows with its width
_ZERO = 1e-12  # norm of a sum, relative to that of its summands, below which rounding decides its direction
_ZERO_ROUNDINGS = 64  # the same in units of the precision of data in less than double precision
NAMES = ("zero", "mean", "class_mean", "opposite_class_mean", "blur", "uniform", "max_distance", "sample")


@dataclass(frozen=True, eq=False)
class BaselineSet(Frozen):
    """Several baselines for one attribution: expected gradients, the mean over the set.

    Args:
        rows: Baselines, (baselines, features), real or complex.

    Raises:
        ValueError: The array does not have two axes, has no row, or contains a number that is not finite.

    Example:
        >>> len(BaselineSet([[0.0, 0.0], [0.6, 0.8]]))
        2
    """

    rows: Array
    columns: tuple[str, ...] | None = field(default=None, init=False, repr=False, compare=False)  # of a table, None for none

    def __post_init__(self) -> None:
        set_fields(self, columns=column_names(self.rows))
        rows = as_amplitudes(self.rows, "rows")
        if rows.ndim != 2 or not len(rows):
            raise ValueError(f"{rows.shape=} must be (baselines, features) with at least one baseline")
        freeze(self, rows=rows)
        super().__post_init__()

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class MeanRow(Frozen):
    """Mean row of data, computed once for the baselines of many inputs.

    Args:
        row: Multiple of the mean row, the same for every order of the rows, (features,).
        size: Root mean square of the norms of the rows in the same unit.
        tolerance: Norm of the mean, relative to the size, below which rounding decides its direction.

    Example:
        >>> MeanRow.of([[0.0, 1.0], [1.0, 0.0]]).scaled_to([0.6, 0.8]).round(3)
        array([0.707, 0.707])
    """

    row: Array
    size: float
    tolerance: float

    @classmethod
    def of(cls, data: ArrayLike, *, like: ArrayLike | None = None) -> MeanRow:
        """Compute the mean row, with a part of the data in memory at a time.

        Args:
            data: Rows, (samples, features).
            like: Inputs; if they and the data are tables, their columns must be the same.
        """
        rows = _rows(data, like=like)
        exponent = max((int(binary_exponents(block.reshape(-1))[0]) for block in row_blocks(rows) if block.any()), default=0)
        norms = [np.linalg.norm(times_power_of_2(block, -exponent)) for block in row_blocks(rows)]
        size = float(np.linalg.norm(norms) / np.sqrt(len(rows)))
        return cls(exact_sum(rows, -exponent) / len(rows), size, _tolerance(data))

    def scaled_to(self, x: ArrayLike) -> Array:
        """Return the mean row, rescaled to each row of x, (..., features).

        Raises:
            ValueError: The mean is zero to rounding.
        """
        x = as_amplitudes(x)
        return _scaled(np.broadcast_to(self.row, x.shape), x, self.size, self.tolerance)


def mean_rows(data: ArrayLike, labels: ArrayLike, *, like: ArrayLike | None = None) -> dict[int, MeanRow]:
    """Return the mean row of each class.

    Args:
        data: Rows, (samples, features).
        labels: Class of each row, -1 or +1, (samples,).
        like: Inputs; if they and the data are tables, their columns must be the same.

    Example:
        >>> sorted(mean_rows([[0.0, 1.0], [1.0, 0.0]], [1, -1]))
        [-1, 1]
    """
    rows, tolerance = _rows(data, like=like), _tolerance(data)
    classes = as_labels(labels, "data_labels", len(rows))
    found = {int(label): MeanRow.of(take_rows(rows, np.flatnonzero(classes == label))) for label in np.unique(classes)}
    return {label: replace(own, tolerance=tolerance) for label, own in found.items()}


def class_rows(x: ArrayLike, labels: ArrayLike, means: Mapping[int, MeanRow]) -> Array:
    """Return the mean row of the class of each input, rescaled.

    Args:
        x: Inputs, (..., features).
        labels: Class of each input, -1 or +1, (...,).
        means: Mean row of each class, from `mean_rows`.

    Raises:
        ValueError: A class has no mean, or its mean is zero to rounding.

    Example:
        >>> class_rows([0.6, 0.8], 1, mean_rows([[0.0, 1.0], [1.0, 0.0]], [1, -1]))
        array([0., 1.])
    """
    x = as_amplitudes(x)
    classes = as_labels(labels, "labels", x.shape[:-1])
    rows = np.empty(x.shape, np.result_type(x, *(own.row for own in means.values())))
    for label in np.unique(classes):
        if label not in means:
            raise ValueError(f"data_labels has no row of class {label}; its mean does not exist")
        rows[classes == label] = means[label].scaled_to(x[classes == label])
    return rows


def zero(x: ArrayLike) -> Array:
    """Return the zero baseline, which for classifiers with labels -1 and +1 is the undecided point, F(0) = 0.

    Args:
        x: Inputs, (..., features).

    Returns:
        Zeros in the shape of x.

    Example:
        >>> zero([0.6, 0.8])
        array([0., 0.])
    """
    return np.zeros_like(as_amplitudes(x))


@with_numpy_defaults
def uniform(x: ArrayLike) -> Array:
    """Return the same positive amplitude for every feature, with the norm of each row of x.

    Args:
        x: Inputs, (..., features).

    Returns:
        Baselines, (..., features).

    Example:
        >>> uniform([0.6, 0.8]).round(3)
        array([0.707, 0.707])
    """
    return _scaled(np.ones(as_amplitudes(x).shape), x)


@with_numpy_defaults
def mean(x: ArrayLike, data: ArrayLike) -> Array:
    """Return the mean row of the data, rescaled to each row of x.

    Args:
        x: Inputs, (..., features).
        data: Training inputs, (samples, features), whose order does not matter.

    Returns:
        Baselines, (..., features).

    Raises:
        ValueError: The mean is zero to rounding, as that of standardised data.

    Example:
        >>> mean([0.6, 0.8], [[0.0, 1.0], [1.0, 0.0]]).round(3)
        array([0.707, 0.707])
    """
    return MeanRow.of(data, like=x).scaled_to(x)


@with_numpy_defaults
def class_mean(x: ArrayLike, labels: ArrayLike, data: ArrayLike, data_labels: ArrayLike) -> Array:
    """Return the mean training row of each input's own class, rescaled.

    Args:
        x: Inputs, (..., features).
        labels: Class of each input, -1 or +1, (...,).
        data: Training inputs, (samples, features).
        data_labels: Class of each training input, -1 or +1, (samples,).

    Returns:
        Baselines, (..., features).

    Raises:
        ValueError: A class has no training row, its mean is zero to rounding, or the shapes do not match.

    Example:
        >>> class_mean([0.6, 0.8], 1, [[0.0, 1.0], [1.0, 0.0]], [1, -1])
        array([0., 1.])
    """
    return class_rows(x, labels, mean_rows(data, data_labels, like=x))


@with_numpy_defaults
def opposite_class_mean(x: ArrayLike, labels: ArrayLike, data: ArrayLike, data_labels: ArrayLike) -> Array:
    """Return the mean training row of the other class, rescaled: the baseline that shows what separates the two classes.

    Args:
        x: Inputs, (..., features).
        labels: Class of each input, -1 or +1, (...,).
        data: Training inputs, (samples, features).
        data_labels: Class of each training input, -1 or +1, (samples,).

    Returns:
        Baselines, (..., features).

    Raises:
        ValueError: A class has no training row, or the shapes do not match.

    Example:
        >>> opposite_class_mean([0.6, 0.8], 1, [[0.0, 1.0], [1.0, 0.0]], [1, -1])
        array([1., 0.])
    """
    return class_mean(x, -as_labels(labels, "labels", np.shape(x)[:-1]), data, data_labels)


@with_numpy_defaults
def blur(x: ArrayLike, image_shape: tuple[int, int], sigma: float = 2.0) -> Array:
    """Return each image smoothed by a Gaussian, rescaled: the image without its details.

    Args:
        x: Images, (..., features), real.
        image_shape: Numbers (rows, cols) with rows * cols = features.
        sigma: Width of the Gaussian in pixels, > 0.

    Returns:
        Baselines, (..., features).

    Raises:
        ValueError: The shape does not match, sigma is not positive, x is complex, or the smoothed image is zero to rounding.

    Example:
        >>> blur([1.0, 0.0, 0.0, 0.0], (2, 2), sigma=100).round(2)
        array([0.5, 0.5, 0.5, 0.5])
    """
    x = as_amplitudes(x)
    if np.iscomplexobj(x):
        raise ValueError("blur smooths images, which are real; x is complex")
    as_number(sigma, "sigma", above=0, maximum=_SIGMA_MAX, advice=f"be positive and at most {_SIGMA_MAX:g} pixels")
    image_shape = as_shape(image_shape, x.shape[-1], "image_shape")
    scaled = times_power_of_2(x, -binary_exponents(x))
    images = scaled.reshape(*x.shape[:-1], *image_shape)
    widths = (0.0,) * (x.ndim - 1) + (sigma, sigma)
    smooth = gaussian_filter(images, widths, mode="nearest").reshape(x.shape)
    return _scaled(smooth, x, np.linalg.norm(scaled, axis=-1, keepdims=True))


@with_numpy_defaults
def max_distance(x: ArrayLike, low: float = 0.0, high: float | None = None) -> Array:
    """Return for every feature the end of its range that is farther from x, rescaled (Sturmfels, Lundberg, Lee 2020).

    Args:
        x: Inputs, (..., features), real.
        low: Smallest amplitude of a feature.
        high: Largest amplitude of a feature; None for the largest of each row.

    Returns:
        Baselines, (..., features).

    Raises:
        ValueError: x is complex.

    Example:
        >>> max_distance([0.0, 0.6, 0.8]).round(2)
        array([1., 0., 0.])
    """
    x = as_amplitudes(x)
    if np.iscomplexobj(x):
        raise ValueError("max_distance compares amplitudes by size, so x must be real")
    low = as_number(low, "low")
    top = np.max(x, axis=-1, keepdims=True) if high is None else np.asarray(as_number(high, "high"))
    with np.errstate(over="ignore"):
        farther = np.where(np.abs(x - low) >= np.abs(top - x), low, top)
    return _scaled(farther, x)


def sample(data: ArrayLike, count: int, *, seed: int) -> BaselineSet:
    """Sample rows of the data without replacement, for expected gradients (Erion et al. 2021).

    Args:
        data: Training inputs, (samples, features).
        count: Number of rows, 1 .. samples.
        seed: Random seed of the sample.

    Returns:
        The set of baselines.

    Raises:
        ValueError: The count is out of range.

    Example:
        >>> sample([[0.0, 1.0], [1.0, 0.0]], 2, seed=0).rows.shape
        (2, 2)
    """
    data = _rows(data)
    advice = f"be between 1 and the number of rows, {len(data)}"
    count = as_count(count, "count", 1, len(data), advice=advice)
    return BaselineSet(data[np.random.default_rng(as_seed(seed)).choice(len(data), count, replace=False)])


def resolve(baseline: float | ArrayLike | BaselineSet, inputs: Array) -> tuple[Array, str]:
    """Return any baseline as an array, (baselines, samples or 1, features), and its description.

    Raises:
        ValueError: The baseline does not fit the inputs.

    Example:
        >>> rows, description = resolve(0.5, np.ones((3, 2)))
        >>> rows.shape, description
        ((1, 1, 2), 'constant 0.5')
    """
    features = inputs.shape[-1]
    if type(baseline) in (int, float) and baseline == 0:
        return zeros((1, 1, features)), "constant 0"
    if isinstance(baseline, BaselineSet):
        rows = as_amplitudes(baseline.rows, "baseline.rows", features)
        return rows[:, np.newaxis], f"set of {len(rows)}"
    if isinstance(baseline, bool | np.bool_):
        raise ArgumentTypeError(f"{baseline=} must be a number, amplitudes or a BaselineSet")
    if isinstance(baseline, int | float) and not isinstance(baseline, np.generic) and isfinite(baseline):
        return np.full((1, 1, features), float(baseline)), f"constant {number_text(baseline)}"
    array = as_amplitudes(np.atleast_1d(np.asanyarray(baseline)), "baseline")
    if np.ndim(baseline) == 0:
        return np.full((1, 1, features), array[0]), f"constant {number_text(np.asarray(baseline).item())}"
    try:
        full = np.broadcast_to(array, inputs.shape)
    except ValueError:
        raise ValueError(f"baseline.shape={array.shape} must broadcast to x.shape={inputs.shape}") from None
    if array.ndim == 1:
        return np.broadcast_to(array, features).reshape(1, 1, features), "array"
    return full.reshape(1, -1, features), "array"


def of_input(references: Array, index: int) -> Array:
    """Return the baselines of one input, (baselines, features), of resolved ones, (baselines, samples or 1, features).

    Example:
        >>> of_input(np.array([[[0.0, 1.0]]]), 5)
        array([[0., 1.]])
    """
    return np.asarray(references[:, index if references.shape[1] > 1 else 0])


def _rows(data: ArrayLike, like: ArrayLike | None = None) -> Array:
    """Return data as rows; if they and the inputs `like` are tables, their columns must be the same."""
    DataContract(columns=column_names(like)).check_order(column_names(data), "data")
    rows = as_amplitudes(data, "data")
    if rows.ndim != 2 or not len(rows):
        raise ValueError(f"data.shape={rows.shape} must be (samples, features) with at least one sample")
    return rows


def _tolerance(data: ArrayLike) -> float:
    """Return the relative norm of a sum of data below which rounding decides its direction."""
    dtype = np.asarray(data).dtype
    return max(_ZERO, _ZERO_ROUNDINGS * float(np.finfo(dtype).eps)) if dtype.kind in "fc" else _ZERO


def _scaled(rows: Array, x: ArrayLike, sizes: float | FloatArray = 0.0, tolerance: float = _ZERO) -> Array:
    """Return rows rescaled to the norms of x; a row that is zero has no direction and raises ValueError.

    Args:
        rows: Baselines of any norm but 0, (..., features).
        x: Inputs, (..., features).
        sizes: Norms of what was summed in each row, (..., 1); a row that is small compared with it is zero.
        tolerance: Relative norm of a row that counts as zero.
    """
    exponents = binary_exponents(rows)
    scaled = times_power_of_2(rows, -exponents)
    norms = np.linalg.norm(scaled, axis=-1, keepdims=True)
    if not norms.all():
        raise ValueError("a row of the baseline is all zeros and cannot be rescaled; use baselines.zero for the zero baseline")
    summed = times_power_of_2(np.broadcast_to(sizes, norms.shape), -exponents)
    if (lost := norms <= tolerance * summed).any():
        share = float((norms[lost] / summed[lost]).min())
        raise ValueError(
            f"a row of the baseline is zero to rounding: its norm is {share:.1e} of that of what was summed, so that "
            "its direction means nothing; use data that are not centred, or baselines.zero for the zero baseline"
        )
    _, x_norms, x_exponents = unit_vectors(as_amplitudes(x))
    return rescaled(scaled * (x_norms / norms), x_exponents, "a baseline with the norm of x")
