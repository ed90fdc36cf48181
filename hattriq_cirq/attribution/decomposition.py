"""Parts and sums of attribution maps: population and interference, qubits, rows, columns and regions."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.other_methods import diagonal
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.foundation.arrays import FloatArray, rescaled, scaling_exponents, times_power_of_2
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.models.model import Model
from hattriq_cirq.models.quadratic_form import QuadraticForm, observable_name, quadratic_value

#: Difference between the scores of a model and recorded ones that rounding explains, relative to their size.
_SCORES = {"float64": 1e-9, "float32": 1e-4}


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
        ValueError: The attribution has another form or a head, or is not that of the model: it has another size or observable,
            or its scores at the input and at the baseline are not the model's.

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
    if not attribution.knows_input:
        raise ValueError("the parts need amplitudes, and those of a state that a circuit prepared are not known")
    if not _is_of(model, a.observables) or attribution.n_features != model.n_features:
        raise ValueError(f"the attribution is of {a.observables} on {attribution.n_features} features, not of {model!r}")
    _check_scores(model, attribution)
    x, baseline = attribution.x, attribution.baseline
    is_set = baseline.ndim > x.ndim
    exponents = scaling_exponents(x, *(baseline if is_set else [baseline]))
    squares, reference = (np.abs(times_power_of_2(v, -exponents)) ** 2 for v in (x, baseline))
    population = diagonal(model) * (squares - (reference.mean(axis=0) if is_set else reference))
    population = rescaled(population, 2 * exponents, "the population")
    return Split(population, attribution.values - population)


def _is_of(model: QuadraticForm, observables: tuple[str, ...]) -> bool:
    """Return True if the recorded observable is the model's; version 0.1 recorded it with three decimals."""
    if observables == (observable_name(model),):
        return True
    rounded = str(model.pauli_sum) if isinstance(model, Model) else ""
    return len(observables) == 1 and sorted(_terms(observables[0])) == sorted(_terms(rounded))


def _terms(text: str) -> list[str]:
    """Return the terms of a recorded observable, whose order depended on the process."""
    return ["*".join(sorted(term.lstrip("+").split("*"))) for term in re.split(r"(?<=[)I])(?=[+-])", text)]


def _check_scores(model: QuadraticForm, attribution: Attribution) -> None:
    """Raise ValueError if the recorded scores are not those of the model, as those of a model with another circuit."""
    share = _SCORES[attribution.assumptions.precision]
    f_baseline = quadratic_value(model, attribution.baseline)
    if attribution.baseline.ndim > attribution.x.ndim:
        f_baseline = np.mean(f_baseline, axis=0)
    for name, own, recorded in (
        ("x", quadratic_value(model, attribution.x), attribution.f_input),
        ("the baseline", f_baseline, attribution.f_baseline),
    ):
        size = np.maximum(np.abs(own), np.abs(recorded)).max(initial=0.0)
        if np.abs(own - recorded).max(initial=0.0) > share * max(size, float(np.abs(attribution.values).max(initial=0.0))):
            raise ValueError(f"the attribution is of another model than {model!r}: its scores at {name} are not this model's")


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
