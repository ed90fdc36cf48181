"""Other maps of the same model, to hold integrated gradients against.

All are exact and classical. For the quadratic form two of them are integrated gradients in disguise: the Shapley value is
equal to it, and from the zero baseline gradient times input is twice it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.foundation.arrays import Array, FloatArray, as_amplitudes
from hattriq_cirq.models.model import Form, Model, check_form

_SHAPLEY_MAX = 16  # features up to which all 2**features coalitions are visited
_CHUNK = 2**18


def gradient(model: Model, x: ArrayLike, *, form: Form = "quadratic") -> Array:
    """The gradient of the model by the amplitudes at x.

    For F it is dF/dc_k + i dF/dd_k = 2 (Mx)_k with x_k = c_k + i d_k; for G, 2 ((Mx)_k - G x_k) / <x|x>.

    Args:
        model: F(x) = x' M x.
        x: (..., features), real or complex.
        form: `quadratic` or `normalized`.

    Returns:
        (..., features): real for real x (the derivatives by real amplitudes), else complex, the derivative by the real
        part and, as imaginary part, the derivative by the imaginary part.
    """
    check_form(form)
    x = as_amplitudes(x, features=model.n_features)
    slope = 2 * model.observable_action(x, real_part=not np.iscomplexobj(x))
    if form == "quadratic":
        return slope
    value = model.expectation(x, form="normalized")[..., np.newaxis]
    result: Array = (slope - 2 * value * x) / np.sum(np.abs(x) ** 2, axis=-1, keepdims=True)
    return result


def gradient_times_input(model: Model, x: ArrayLike, *, form: Form = "quadratic") -> FloatArray:
    """Gradient times input, Re(conj(x_k) dF/dx_k), (..., features); it sums to 2 F(x), or to 0 for the normalized form.

    Args and errors as in `gradient`.
    """
    x = as_amplitudes(x, features=model.n_features)
    result: FloatArray = (x.conj() * gradient(model, x, form=form)).real
    return result


def occlusion(model: Model, x: ArrayLike, *, baseline: float | ArrayLike, form: Form = "quadratic") -> FloatArray:
    """What the answer loses when one feature alone is set to the baseline: F(x) - F(x with x_k -> b_k).

    With d = x - b it is 2 Re(conj(d_k) (Mx)_k) - |d_k|^2 M_kk; the normalized form divides by the norm that is left.

    Args:
        model: F(x) = x' M x.
        x: (..., features).
        baseline: a number, or an array that broadcasts to x.
        form: `quadratic` or `normalized`.

    Returns:
        (..., features).

    Raises:
        ValueError: bad input; in the normalized form, an input of which one occlusion leaves nothing.
    """
    check_form(form)
    x = as_amplitudes(x, features=model.n_features)
    d = x - as_amplitudes(np.broadcast_to(np.asarray(baseline), x.shape), "baseline")
    acted = model.observable_action(x)
    loss: FloatArray = 2 * (d.conj() * acted).real - np.abs(d) ** 2 * diagonal(model)
    if form == "quadratic":
        return loss
    f = np.asarray(model.expectation(x))[..., np.newaxis]
    norm = np.sum(np.abs(x) ** 2, axis=-1, keepdims=True)
    left = norm - np.abs(x) ** 2 + np.abs(x - d) ** 2
    if np.any(left <= 1e-14 * norm):
        raise ValueError("occluding one feature leaves a blank input: form='normalized' has no value there")
    result: FloatArray = f / norm - (f - loss) / left
    return result


def shapley(model: Model, x: ArrayLike, *, baseline: float | ArrayLike, form: Form = "quadratic") -> FloatArray:
    """The exact Shapley value of each feature in the game "x on S, baseline off S".

    For the quadratic form it equals integrated gradients, Re(conj(d_k) (M s)_k), and is computed so for any number of
    features; for the normalized form every coalition is visited.

    Args:
        model: F(x) = x' M x.
        x: (features,) or (..., features).
        baseline: a number, or an array that broadcasts to x.
        form: `quadratic`, or `normalized` for at most 16 features and a baseline that leaves no coalition blank.

    Returns:
        (..., features); they sum to the difference between x and the baseline.

    Raises:
        ValueError: bad input, too many features, or a blank coalition in the normalized form.
    """
    check_form(form)
    x = as_amplitudes(x, features=model.n_features)
    b = as_amplitudes(np.broadcast_to(np.asarray(baseline), x.shape), "baseline")
    if form == "quadratic":
        result: FloatArray = ((x - b).conj() * model.observable_action(x + b)).real
        return result
    if model.n_features > _SHAPLEY_MAX:
        raise ValueError(f"{model.n_features} features have too many coalitions; at most {_SHAPLEY_MAX} are visited")
    rows = [_shapley_by_coalitions(model, u, v) for u, v in zip(_rows(x), _rows(b), strict=True)]
    return np.array(rows).reshape(x.shape)


def diagonal(model: Model) -> FloatArray:
    """M_kk = <k|M|k> for every basis state k, (features,): the answer to each feature alone.

    It takes one state vector a feature; the memory stays that of a few hundred thousand amplitudes.
    """
    n = model.n_features
    step = max(1, _CHUNK // n)
    parts = [model.expectation(_basis_rows(n, start, min(start + step, n))) for start in range(0, n, step)]
    return np.concatenate(parts)


def _basis_rows(features: int, start: int, stop: int) -> FloatArray:
    rows = np.zeros((stop - start, features))
    rows[np.arange(stop - start), np.arange(start, stop)] = 1
    return rows


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def _shapley_by_coalitions(model: Model, x: Array, b: Array) -> FloatArray:
    """Each feature's gain averaged over coalitions of the others, a coalition of size s weighing 1 / (n C(n - 1, s))."""
    n = len(x)
    masks = np.arange(2**n)
    member = (masks[:, np.newaxis] >> np.arange(n)) & 1 == 1
    value = model.expectation(np.where(member, x, b), form="normalized")
    size = member.sum(axis=1)
    factorial = np.cumprod(np.concatenate([[1.0], np.arange(1, n + 1)]))
    result = np.empty(n)
    for k in range(n):
        without = masks[~member[:, k]]
        weight = factorial[size[without]] * factorial[n - 1 - size[without]] / factorial[n]
        result[k] = np.sum(weight * (value[without | (1 << k)] - value[without]))
    return result
