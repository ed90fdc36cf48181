"""Attribution maps taken apart and summed up: population and interference, qubits, rows, regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.other_methods import diagonal
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.models.model import Model


@dataclass(frozen=True, eq=False)
class Split:
    """A map as the sum of what each feature does alone and what it does together with others, both (..., features)."""

    population: FloatArray
    interference: FloatArray


def split_population(model: Model, attribution: Attribution) -> Split:
    """Splits a quadratic attribution into population and interference.

    Population is M_kk (|x_k|^2 - |b_k|^2): feature k's own weight times its answer alone. Interference is the rest: the
    terms of M that pair k with other features. Over a set of baselines |b_k|^2 is the mean.

    Args:
        model: the model the attribution is of.
        attribution: of the quadratic form, without a head.

    Returns:
        Both parts; they sum to the map.

    Raises:
        ValueError: another form, a head, or a model of another size or observable.
    """
    a = attribution.assumptions
    if a.form != "quadratic" or a.head != "identity":
        raise ValueError(f"only a quadratic score splits so; this attribution has form={a.form!r}, head={a.head!r}")
    if a.observables != (str(model.pauli_sum),) or attribution.n_features != model.n_features:
        raise ValueError(f"the attribution is of {a.observables} on {attribution.n_features} features, not of {model!r}")
    reference = np.abs(attribution.baseline) ** 2
    if reference.ndim > attribution.values.ndim:
        reference = reference.mean(axis=0)
    population = diagonal(model) * (np.abs(attribution.x) ** 2 - reference)
    return Split(population, attribution.values - population)


def by_qubit(values: ArrayLike) -> FloatArray:
    """Sums over the basis states in which each qubit is 0, and in which it is 1.

    Args:
        values: (..., 2**n).

    Returns:
        (..., n, 2), the most significant qubit first; each pair sums to the whole map.

    Raises:
        ValueError: the number of features is no power of 2.
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
    """Sums over each row of the image, (..., rows)."""
    sums: FloatArray = _image(values, image_shape).sum(axis=-1)
    return sums


def by_column(values: ArrayLike, image_shape: tuple[int, int]) -> FloatArray:
    """Sums over each column of the image, (..., cols)."""
    sums: FloatArray = _image(values, image_shape).sum(axis=-2)
    return sums


def by_region(values: ArrayLike, regions: ArrayLike) -> FloatArray:
    """Sums over labelled regions.

    Args:
        values: (..., features).
        regions: (features,) or an image of that many pixels: an integer label for each feature, 0 .. R - 1.

    Returns:
        (..., R).

    Raises:
        ValueError: another number of labels, or a label below 0.
    """
    values, labels = np.asarray(values, dtype=float), np.asarray(regions).reshape(-1)
    if labels.shape != values.shape[-1:] or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(f"{labels.shape=} must hold a label >= 0 for each of {values.shape[-1]} features")
    sums: FloatArray = values @ np.eye(labels.max() + 1)[labels]
    return sums


def _image(values: ArrayLike, image_shape: tuple[int, int]) -> FloatArray:
    values = np.asarray(values, dtype=float)
    if image_shape[0] * image_shape[1] != values.shape[-1]:
        raise ValueError(f"{image_shape=} must hold {values.shape[-1]} features")
    return values.reshape(*values.shape[:-1], *image_shape)
