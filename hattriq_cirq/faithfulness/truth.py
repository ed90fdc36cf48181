"""Comparison of maps with known truth: the deciding features, other maps of the same input, models with other parameters."""

from __future__ import annotations

from collections.abc import Iterable

import cirq
import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from hattriq_cirq.faithfulness.removal import check_maps
from hattriq_cirq.foundation.arrays import BoolArray, FloatArray, as_amplitudes, binary_exponents, times_power_of_2
from hattriq_cirq.foundation.checks import as_counts, as_seed, check_type
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.models.model import Model


@with_numpy_defaults
def pointing_game(maps: ArrayLike, truth: ArrayLike) -> FloatArray:
    """Return 1 if the largest absolute attribution lies on a deciding feature, else 0 (Zhang et al. 2018).

    Args:
        maps: Maps, (inputs, features); the sign does not matter, because evidence against a class is evidence.
        truth: True for features that decide, (features,) or (inputs, features), at least one per row.

    Returns:
        Numbers 1 and 0, (inputs,); among equal attributions the share on deciding features; NaN for a map of zeros.

    Raises:
        ValueError: The input is invalid, or a row has no deciding feature.

    Example:
        >>> pointing_game([[0.1, -0.9], [0.8, 0.2]], np.array([False, True]))
        array([1., 0.])
    """
    sizes, truth = _sizes_and_truth(maps, truth)
    largest = sizes == sizes.max(axis=1, keepdims=True)
    return np.where(sizes.any(axis=1), (largest & truth).sum(axis=1) / largest.sum(axis=1), np.nan)


@with_numpy_defaults
def relevance_mass(maps: ArrayLike, truth: ArrayLike) -> FloatArray:
    """Return the share of absolute attribution that lies on the deciding features (Arras, Osman, Samek 2022).

    Args:
        maps: Maps, (inputs, features); the sign does not matter.
        truth: True for features that decide, (features,) or (inputs, features), at least one per row.

    Returns:
        Share in [0, 1], (inputs,); NaN for a map of zeros.

    Raises:
        ValueError: The input is invalid, or a row has no deciding feature.

    Example:
        >>> relevance_mass([[0.1, -0.9], [0.8, 0.2]], np.array([False, True]))
        array([0.9, 0.2])
    """
    sizes, truth = _sizes_and_truth(maps, truth)
    sizes = times_power_of_2(sizes, -binary_exponents(sizes))
    total = sizes.sum(axis=1)
    return np.asarray(np.divide((sizes * truth).sum(axis=1), total, out=np.full(len(sizes), np.nan), where=total > 0))


@with_numpy_defaults
def signed_correlation(maps: ArrayLike, others: ArrayLike, x: ArrayLike) -> FloatArray:
    """Return Spearman's correlation of signed maps on the support of the input, |x| > 0.

    Outside the support maps from the zero baseline are 0 for every model, and absolute values resemble the input: both make
    maps of unrelated models look alike.

    Args:
        maps: Maps, (inputs, features).
        others: Other maps of the same inputs, in the same shape.
        x: Inputs, (inputs, features).

    Returns:
        Correlation, (inputs,); NaN if one map does not vary on the support.

    Raises:
        ValueError: The shapes differ, or a number is not finite.

    Example:
        >>> signed_correlation([[1, 2, 3]], [[2, 4, 9]], [[0.1, 0.2, 0.3]]).round(6)
        array([1.])
    """
    inputs = as_amplitudes(x)
    support = np.abs(inputs) > 0
    ranks = [_centred_ranks(check_maps(values, inputs.shape), support) for values in (maps, others)]
    sizes = np.linalg.norm(ranks[0], axis=1) * np.linalg.norm(ranks[1], axis=1)
    return np.asarray(np.divide(np.sum(ranks[0] * ranks[1], axis=1), sizes, out=np.full(len(support), np.nan), where=sizes > 0))


def parameter_layers(model: Model) -> tuple[tuple[str, ...], ...]:
    """Return the parameters of a circuit in the order in which they act, grouped between two-qubit gates.

    Args:
        model: Model with a circuit that has symbols.

    Returns:
        Names of parameters, one tuple per layer, from the input to the measurement; each name once, in the layer where it
        acts first.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> parameter_layers(ring_ansatz(2, 1))
        (('z0_0', 'z0_1', 'y0_0', 'y0_1'), ('z1_0', 'z1_1', 'y1_0', 'y1_1'))
    """
    check_type(model, "model", Model, "a Model, such as ring_ansatz(n_qubits, layers)")
    layers: list[list[str]] = [[]]
    listed: set[str] = set()
    for operation in model.circuit.all_operations():
        new = sorted(cirq.parameter_names(operation) - listed)
        layers[-1] += new
        listed.update(new)
        if len(operation.qubits) > 1 and layers[-1]:
            layers.append([])
    return tuple(tuple(layer) for layer in layers if layer)


def randomised(model: Model, seed: int, layers: Iterable[int] | None = None) -> Model:
    """Return the model with the parameters of some layers replaced by uniform random angles in [-pi, pi) (Adebayo et al. 2018).

    The angles of a layer depend on the seed and on the layer only, so that a cascade from the measurement, `range(k, n)` for
    decreasing k, keeps the angles that it has already replaced; `[k]` randomises a single layer.

    Args:
        model: Trained model.
        seed: Random seed of the angles.
        layers: Indices into `parameter_layers(model)`; None for all layers.

    Returns:
        The model with other parameters.

    Raises:
        ValueError: The circuit has no parameters, or an index is out of range.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> model = randomised(ring_ansatz(2, 1), seed=0, layers=[1])
        >>> model.params["y0_0"], round(model.params["y1_0"], 3)
        (0.0, 1.891)
    """
    seed, by_layer = as_seed(seed), parameter_layers(model)
    chosen = range(len(by_layer)) if layers is None else sorted(set(as_counts(layers, "layers", minimum=None)))
    if not by_layer or not all(0 <= k < len(by_layer) for k in chosen):
        raise ValueError(f"layers={list(chosen)} must lie in 0..{len(by_layer) - 1}, the layers of parameters of {model!r}")
    params = dict(model.params)
    for k in chosen:
        angles = np.random.default_rng([seed, k]).uniform(-np.pi, np.pi, len(by_layer[k]))
        params |= dict(zip(by_layer[k], angles.tolist(), strict=True))
    return model.with_params(params)


def _sizes_and_truth(maps: ArrayLike, truth: ArrayLike) -> tuple[FloatArray, BoolArray]:
    sizes = np.abs(check_maps(maps))
    mask = np.asarray(truth)
    if mask.dtype != np.bool_ or mask.shape not in (sizes.shape, sizes.shape[1:]):
        raise ValueError(f"{mask.dtype=}, {mask.shape=} of the truth must be bool, {sizes.shape[1:]} or {sizes.shape}")
    mask = np.broadcast_to(mask, sizes.shape)
    if not mask.any(axis=1).all():
        raise ValueError(f"row {int(np.argmin(mask.any(axis=1)))} of the truth names no feature")
    return sizes, mask


def _centred_ranks(values: FloatArray, support: BoolArray) -> FloatArray:
    """Return ranks among the features of the support, minus their mean; 0 elsewhere."""
    ranks = rankdata(np.where(support, values, np.inf), axis=1)
    middle = (support.sum(axis=1, keepdims=True) + 1) / 2
    return np.where(support, ranks - middle, 0.0)
