"""Other attribution maps of the same quadratic form, for comparison with integrated gradients.

All are exact and classical. For the quadratic form two of them are integrated gradients in another form: the Shapley value is
equal to them, and from the zero baseline gradient times input is twice them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import comb

from hattriq_cirq.foundation.arrays import (
    Array,
    FloatArray,
    as_amplitudes,
    rescaled,
    scaling_exponents,
    times_power_of_2,
    unit_vectors,
)
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.models.model import Form, check_columns, check_form, model_inputs
from hattriq_cirq.models.quadratic_form import QuadraticForm, observable_action, quadratic_value

_SHAPLEY_MAX = 16  # features up to which all 2**features coalitions are evaluated
_CHUNK = 2**18


@with_numpy_defaults
def gradient(model: QuadraticForm, x: ArrayLike, *, form: Form = "quadratic") -> Array:
    """Return the gradient of the model by the amplitudes at x.

    For F it is dF/dc_k + i dF/dd_k = 2 (Mx)_k with x_k = c_k + i d_k; for G, 2 ((Mx)_k - G x_k) / <x|x>.

    Args:
        model: Quadratic form F(x) = x' M x.
        x: Inputs, (..., features), real or complex.
        form: `quadratic` or `normalized`.

    Returns:
        Gradients, (..., features): real for real x (the derivatives by real amplitudes), else complex, with the derivative by
        the real part as real part and the derivative by the imaginary part as imaginary part.

    Raises:
        ValueError: The input is invalid, or is the zero vector in the normalized form.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> gradient(ring_ansatz(1, 0), [0.6, 0.8])  # F = x_0^2 - x_1^2
        array([ 1.2, -1.6])
    """
    check_form(form)
    x = model_inputs(model, x)
    exponents = scaling_exponents(x)
    scaled = times_power_of_2(x, -exponents)
    return rescaled(_gradient(model, scaled, form), exponents if form == "quadratic" else -exponents, "the gradient")


def _gradient(model: QuadraticForm, x: Array, form: Form) -> Array:
    slope = 2 * observable_action(model, x, real_part=not np.iscomplexobj(x))
    if form == "quadratic":
        return slope
    norm = _squared_norm(x)
    value = (x.conj() * slope).real.sum(axis=-1, keepdims=True) / (2 * norm)
    return np.asarray((slope - 2 * value * x) / norm)


@with_numpy_defaults
def gradient_times_input(model: QuadraticForm, x: ArrayLike, *, form: Form = "quadratic") -> FloatArray:
    """Return gradient times input, Re(conj(x_k) dF/dx_k); its sum is 2 F(x), or 0 for the normalized form.

    Args:
        model: Quadratic form F(x) = x' M x.
        x: Inputs, (..., features), real or complex.
        form: `quadratic` or `normalized`.

    Returns:
        Attribution maps, (..., features).

    Raises:
        ValueError: The input is invalid, or is the zero vector in the normalized form.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> gradient_times_input(ring_ansatz(1, 0), [0.6, 0.8]).round(2)
        array([ 0.72, -1.28])
    """
    check_form(form)
    x = model_inputs(model, x)
    exponents = scaling_exponents(x)
    scaled = times_power_of_2(x, -exponents)
    return _share((scaled.conj() * _gradient(model, scaled, form)).real, exponents, form)


@with_numpy_defaults
def occlusion(model: QuadraticForm, x: ArrayLike, *, baseline: float | ArrayLike, form: Form = "quadratic") -> FloatArray:
    """Return the decrease of the score when one feature alone is set to the baseline: F(x) - F(x with x_k -> b_k).

    With d = x - b it is 2 Re(conj(d_k) (Mx)_k) - |d_k|^2 M_kk; the normalized form divides by the norm that remains.

    Args:
        model: Quadratic form F(x) = x' M x.
        x: Inputs, (..., features).
        baseline: Number, or array that broadcasts to x.
        form: `quadratic` or `normalized`.

    Returns:
        Attribution maps, (..., features).

    Raises:
        ValueError: The input is invalid, or in the normalized form one occlusion leaves the zero vector.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> occlusion(ring_ansatz(1, 0), [0.6, 0.8], baseline=0).round(2)
        array([ 0.36, -0.64])
    """
    check_form(form)
    x = model_inputs(model, x)
    b = _baseline(model, baseline, x)
    exponents = scaling_exponents(x, b)
    x, b = (times_power_of_2(v, -exponents) for v in (x, b))
    return _share(_occlusion(model, x, b, form), exponents, form)


def _occlusion(model: QuadraticForm, x: Array, b: Array, form: Form) -> FloatArray:
    d, acted = x - b, observable_action(model, x)
    loss: FloatArray = 2 * (d.conj() * acted).real - np.abs(d) ** 2 * diagonal(model)
    if form == "quadratic":
        return loss
    f = (x.conj() * acted).real.sum(axis=-1, keepdims=True)
    norm = _squared_norm(x)
    remaining = norm - np.abs(x) ** 2 + np.abs(x - d) ** 2
    if np.any(remaining <= 1e-14 * norm):
        raise ValueError("occluding one feature leaves the zero vector: form='normalized' has no value there")
    return np.asarray(f / norm - (f - loss) / remaining)


@with_numpy_defaults
def shapley(model: QuadraticForm, x: ArrayLike, *, baseline: float | ArrayLike, form: Form = "quadratic") -> FloatArray:
    """Return the exact Shapley value of each feature in the game "x on S, baseline off S".

    For the quadratic form it equals integrated gradients, Re(conj(d_k) (M s)_k), which is used for any number of features; for
    the normalized form every coalition is evaluated.

    Args:
        model: Quadratic form F(x) = x' M x.
        x: Inputs, (..., features).
        baseline: Number, or array that broadcasts to x.
        form: `quadratic`, or `normalized` for at most 16 features and a baseline for which no coalition is the zero vector.

    Returns:
        Attribution maps, (..., features), whose sum is the difference of the scores at x and at the baseline.

    Raises:
        ValueError: The input is invalid, there are too many features, or in the normalized form a coalition is the zero vector.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> shapley(ring_ansatz(1, 0), [0.6, 0.8], baseline=0).round(2)
        array([ 0.36, -0.64])
    """
    check_form(form)
    x = model_inputs(model, x)
    b = _baseline(model, baseline, x)
    exponents = scaling_exponents(x, b)
    x, b = (times_power_of_2(v, -exponents) for v in (x, b))
    if form == "quadratic":
        return _share(((x - b).conj() * observable_action(model, x + b)).real, exponents, form)
    n = model.n_features
    if n > _SHAPLEY_MAX:
        raise ValueError(f"{n} features have too many coalitions; at most {_SHAPLEY_MAX} are possible")
    rows = [_shapley_by_coalitions(model, u, v) for u, v in zip(x.reshape(-1, n), b.reshape(-1, n), strict=True)]
    return np.array(rows).reshape(x.shape)


def _share(values: FloatArray, exponents: Array, form: Form) -> FloatArray:
    """Return values of scaled inputs in the unit of the score: the square of the inputs' unit, or 1 if it is normalized."""
    return rescaled(values, 2 * exponents, "an attribution") if form == "quadratic" else values


def _baseline(model: QuadraticForm, baseline: float | ArrayLike, x: Array) -> Array:
    """Return the baseline of each input, (..., features)."""
    check_columns(model, baseline, "baseline")
    return as_amplitudes(np.broadcast_to(np.asarray(baseline), x.shape), "baseline")


@with_numpy_defaults
def diagonal(model: QuadraticForm) -> FloatArray:
    """Return M_kk = <k|M|k>, the value of each feature alone, (features,).

    M is applied to one basis state per feature, in batches of a few hundred thousand amplitudes.

    Args:
        model: Quadratic form with matrix M.

    Returns:
        The diagonal, (features,).

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> diagonal(ring_ansatz(1, 0))
        array([ 1., -1.])
    """
    n = model.n_features
    step = max(1, _CHUNK // n)
    batches = [np.eye(min(step, n - start), n, start) for start in range(0, n, step)]
    return np.concatenate([quadratic_value(model, batch) for batch in batches])


def _squared_norm(x: Array) -> FloatArray:
    """Return the squared norm of each input, (..., 1), or raise ValueError for the zero vector."""
    norm: FloatArray = np.sum(np.abs(x) ** 2, axis=-1, keepdims=True)
    if not norm.all():
        raise ValueError("an input is the zero vector: form='normalized' has no value there")
    return norm


def _shapley_by_coalitions(model: QuadraticForm, x: Array, b: Array) -> FloatArray:
    """Average each feature's gain over coalitions of the others, with weight 1 / (n C(n - 1, s)) for a coalition of size s."""
    n = len(x)
    masks = np.arange(2**n)
    member = (masks[:, np.newaxis] >> np.arange(n)) & 1 == 1
    points = np.where(member, x, b)
    directions, norms, _ = unit_vectors(points)
    if not norms.all():
        raise ValueError("a coalition is the zero vector: form='normalized' has no value there")
    value = quadratic_value(model, directions)
    size = member.sum(axis=1)
    result = np.empty(n)
    for k in range(n):
        without = masks[~member[:, k]]
        result[k] = np.sum((value[without | (1 << k)] - value[without]) / (n * comb(n - 1, size[without])))
    return result
