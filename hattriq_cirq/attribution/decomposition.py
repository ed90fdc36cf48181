"""Parts and sums of attribution maps: population and interference, qubits, rows, columns and regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.other_methods import diagonal
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.models.quadratic_form import QuadraticForm, observable_name


@dataclass(frozen=True, eq=False)
class Split(Frozen):
    """A map as the sum of the contribution of each feature alone and of its interference with others, both (..., features).

    Example:
        >>> parts = Split(np.array([0.36, 0.64]), np.array([-0.1, -0.1]))
        >>> parts.population + parts.interference
        array([0.26, 0.54])
    """

    population: FloatArray
    interference: FloatArray


def split_population(model: QuadraticForm, attribution: Attribution) -> Split:
    """Split a quadratic attribution into population and interference.

    Population is M_kk (|x_k|^2 - |b_k|^2): the contribution of feature k alone. Interference is the rest: the terms of M that
    pair k with other features. For a set of baselines |b_k|^2 is the mean.

    Args:
        model: Quadratic form that was attributed.
        attribution: Attribution of the quadratic form, without a head.

    Returns:
        Both parts, whose sum is the map.

    Raises:
        ValueError: The attribution has another form or a head, or the model has another size or observable.

    Example:
        >>> import hattriq_cirq as hq
        >>> model = hq.ring_ansatz(1, 0)
        >>> split_population(model, hq.integrated_gradients(model, [0.6, 0.8], baseline=0)).population.round(2)
        array([ 0.36, -0.64])
    """
    a = attribution.assumptions
    if a.form != "quadratic" or a.head != "identity":
        raise ValueError(
            f"only a quadratic score without a head has these parts; this attribution has form={a.form!r}, head={a.head!r}"
        )
    if a.observables != (observable_name(model),) or attribution.n_features != model.n_features:
        raise ValueError(f"the attribution is of {a.observables} on {attribution.n_features} features, not of {model!r}")
    reference = np.abs(attribution.baseline) ** 2
    if reference.ndim > attribution.values.ndim:
        reference = reference.mean(axis=0)
    population = diagonal(model) * (np.abs(attribution.x) ** 2 - reference)
    return Split(population, attribution.values - population)


def by_qubit(values: ArrayLike) -> FloatArray:
    """Return the sums over the basis states in which each qubit is 0, and in which it is 1.

    Args:
        values: Attribution maps, (..., 2**n).

    Returns:
        Sums, (..., n, 2), the most significant qubit first; the two sums of a qubit add up to the sum of the map.

    Raises:
        ValueError: The number of features is not a power of 2.

    Example:
        >>> by_qubit([1, 2, 3, 4])
        array([[3., 7.],
               [4., 6.]])
    """
    values = np.asarray(values, dtype=float)
    n = (values.shape[-1] - 1).bit_length()
    if values.shape[-1] != 2**n:
        raise ValueError(f"{values.shape=} must end in a power of 2")
    tensor = values.reshape(*values.shape[:-1], *(2,) * n)
    lead = values.ndim - 1
    sums = [tensor.sum(axis=tuple(lead + other for other in range(n) if other != qubit)) for qubit in range(n)]
    return np.stack(sums, axis=-2) if sums else np.zeros((*values.shape[:-1], 0, 2))


def by_row(values: ArrayLike, image_shape: tuple[int, int]) -> FloatArray:
    """Return the sum over each row of the image, (..., rows).

    Example:
        >>> by_row([1, 2, 3, 4], (2, 2))
        array([3., 7.])
    """
    return np.asarray(_image(values, image_shape).sum(axis=-1))


def by_column(values: ArrayLike, image_shape: tuple[int, int]) -> FloatArray:
    """Return the sum over each column of the image, (..., cols).

    Example:
        >>> by_column([1, 2, 3, 4], (2, 2))
        array([4., 6.])
    """
    return np.asarray(_image(values, image_shape).sum(axis=-2))


def by_region(values: ArrayLike, regions: ArrayLike) -> FloatArray:
    """Return the sum over each labelled region.

    Args:
        values: Attribution maps, (..., features).
        regions: Integer label of each feature, 0 .. R - 1, (features,) or an image with this number of pixels.

    Returns:
        Sums, (..., R).

    Raises:
        ValueError: The number of labels is wrong, or a label is negative.

    Example:
        >>> by_region([1, 2, 3, 4], [0, 1, 1, 1])
        array([1., 9.])
    """
    values, labels = np.asarray(values, dtype=float), np.asarray(regions).reshape(-1)
    if labels.shape != values.shape[-1:] or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(f"{labels.shape=} must hold a label >= 0 for each of {values.shape[-1]} features")
    return np.asarray(values @ np.eye(labels.max() + 1)[labels])


def _image(values: ArrayLike, image_shape: tuple[int, int]) -> FloatArray:
    values = np.asarray(values, dtype=float)
    if image_shape[0] * image_shape[1] != values.shape[-1]:
        raise ValueError(f"{image_shape=} must hold {values.shape[-1]} features")
    return values.reshape(*values.shape[:-1], *image_shape)
