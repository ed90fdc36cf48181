"""Maps against what is known: the features that decide, other maps of the same input, models with other parameters."""

from __future__ import annotations

from collections.abc import Iterable

import cirq
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from hattriq_cirq.faithfulness.removal import checked_maps
from hattriq_cirq.foundation.arrays import FloatArray, as_amplitudes
from hattriq_cirq.models.model import Model


def pointing_game(maps: ArrayLike, truth: ArrayLike) -> FloatArray:
    """Whether the largest absolute attribution lies on a feature that decides (Zhang et al. 2018).

    Args:
        maps: (inputs, features); the sign does not matter, because evidence against is evidence.
        truth: (features,) or (inputs, features) bool, at least one True a row.

    Returns:
        (inputs,) of 1 and 0; among equal attributions the share on the truth; NaN for a blank map.

    Raises:
        ValueError: bad input, or a row without truth.
    """
    sizes, truth = _sizes_and_truth(maps, truth)
    largest = sizes == sizes.max(axis=1, keepdims=True)
    return np.where(sizes.any(axis=1), (largest & truth).sum(axis=1) / largest.sum(axis=1), np.nan)


def relevance_mass(maps: ArrayLike, truth: ArrayLike) -> FloatArray:
    """The share of absolute attribution that lies on the features that decide (Arras, Osman, Samek 2022).

    Args, errors as in `pointing_game`.

    Returns:
        (inputs,) in [0, 1]; NaN for a blank map.
    """
    sizes, truth = _sizes_and_truth(maps, truth)
    total = sizes.sum(axis=1)
    return np.asarray(np.divide((sizes * truth).sum(axis=1), total, out=np.full(len(sizes), np.nan), where=total > 0))


def signed_correlation(maps: ArrayLike, others: ArrayLike, x: ArrayLike) -> FloatArray:
    """Spearman's correlation of signed maps on the support of the input, |x| > 0.

    Off the support maps from a blank baseline are 0 whatever the model, and absolute values follow the input: either makes
    maps of unrelated models look alike.

    Args:
        maps: (inputs, features).
        others: maps of the same inputs, of the same shape.
        x: (inputs, features), the inputs.

    Returns:
        (inputs,); NaN where one map does not vary on the support.

    Raises:
        ValueError: shapes differ, or a number is not finite.
    """
    inputs = as_amplitudes(x)
    on = np.abs(inputs) > 0
    ranks = [_centred_ranks(checked_maps(values, inputs.shape), on) for values in (maps, others)]
    sizes = np.linalg.norm(ranks[0], axis=1) * np.linalg.norm(ranks[1], axis=1)
    return np.asarray(np.divide(np.sum(ranks[0] * ranks[1], axis=1), sizes, out=np.full(len(on), np.nan), where=sizes > 0))


def parameter_layers(model: Model) -> tuple[tuple[str, ...], ...]:
    """The parameters of a circuit in the order they act, those between two couplings of qubits together.

    Args:
        model: any circuit with symbols.

    Returns:
        Names, a tuple a layer, from the input to the readout; each name once, where it acts first.
    """
    layers: list[list[str]] = [[]]
    seen: set[str] = set()
    for operation in model.circuit.all_operations():
        new = sorted(cirq.parameter_names(operation) - seen)
        layers[-1] += new
        seen.update(new)
        if len(operation.qubits) > 1 and layers[-1]:
            layers.append([])
    return tuple(tuple(layer) for layer in layers if layer)


def randomised(model: Model, seed: int, layers: Iterable[int] | None = None) -> Model:
    """The model with the parameters of some layers replaced by angles drawn evenly from [-pi, pi) (Adebayo et al. 2018).

    A layer's draw depends on the seed and the layer alone, so that a cascade from the readout, `range(k, n)` for falling k,
    keeps what it has replaced; `[k]` randomises a layer by itself.

    Args:
        model: a trained one.
        seed: of the draw.
        layers: indices into `parameter_layers(model)`; None is all.

    Returns:
        Another model.

    Raises:
        ValueError: the circuit has no parameters, or no layer of an index.
    """
    named = parameter_layers(model)
    chosen = range(len(named)) if layers is None else sorted(set(layers))
    if not named or not all(0 <= k < len(named) for k in chosen):
        raise ValueError(f"layers={list(chosen)} must lie in 0..{len(named) - 1}, the layers of parameters of {model!r}")
    params = dict(model.params)
    for k in chosen:
        angles = np.random.default_rng([seed, k]).uniform(-np.pi, np.pi, len(named[k]))
        params |= dict(zip(named[k], angles.tolist(), strict=True))
    return model.with_params(params)


def _sizes_and_truth(maps: ArrayLike, truth: ArrayLike) -> tuple[FloatArray, NDArray[np.bool_]]:
    sizes = np.abs(checked_maps(maps))
    mask = np.asarray(truth)
    if mask.dtype != np.bool_ or mask.shape not in (sizes.shape, sizes.shape[1:]):
        raise ValueError(f"{mask.dtype=}, {mask.shape=} of the truth must be bool, {sizes.shape[1:]} or {sizes.shape}")
    mask = np.broadcast_to(mask, sizes.shape)
    if not mask.any(axis=1).all():
        raise ValueError(f"row {int(np.argmin(mask.any(axis=1)))} of the truth names no feature")
    return sizes, mask


def _centred_ranks(values: FloatArray, on: NDArray[np.bool_]) -> FloatArray:
    """Ranks among the features that are on, less their mean; 0 elsewhere."""
    ranks = rankdata(np.where(on, values, np.inf), axis=1)
    middle = (on.sum(axis=1, keepdims=True) + 1) / 2
    result: FloatArray = np.where(on, ranks - middle, 0.0)
    return result
