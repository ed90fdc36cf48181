"""Array types and the checks every public entry makes at its door."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Array = NDArray[Any]
"""Real or complex numbers: amplitudes may be either."""

_Item = TypeVar("_Item")
_Scalar = TypeVar("_Scalar", bound=np.generic)


def read_only(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Returns a copy of an array that refuses to be written, for the fields of frozen values."""
    copy = np.array(array)
    copy.flags.writeable = False
    return copy


def as_amplitudes(x: ArrayLike, name: str = "x", features: int | None = None) -> Array:
    """Turns an input into finite float64 or complex128 amplitudes with features on the last axis.

    Args:
        x: (..., features) numbers, real or complex; any norm.
        name: what the caller calls it, for the error.
        features: the number of features wanted, 2**n_qubits; None takes any.

    Returns:
        (..., features) float64 or complex128; not a copy where none is needed.

    Raises:
        ValueError: not numeric, no axis, another number of features, NaN or infinity (with the first index).
    """
    array = np.asarray(x)
    if array.dtype.kind not in "biufc":
        raise ValueError(f"{name} must hold numbers, got dtype {array.dtype}")
    array = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64, copy=False)
    if array.ndim == 0:
        raise ValueError(f"{name} must have a features axis, got a scalar; pass an array of shape (..., features)")
    if features is not None and array.shape[-1] != features:
        raise ValueError(f"{name}.shape={array.shape} must end in 2**n_qubits = {features}")
    finite = np.isfinite(array)
    if not finite.all():
        index = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(f"{name}[{', '.join(map(str, index))}] = {array[index]} is not finite; remove or fill it")
    return array


def walsh_hadamard(values: FloatArray) -> FloatArray:
    """The Walsh-Hadamard transform sum_p (-1)**popcount(p & m) values[p] of (..., 2**n) numbers, not normalised.

    It is a product on the first half of the bits and one on the second: a matrix of 2**(n/2) each.
    """
    n = values.shape[-1].bit_length() - 1
    square = values.reshape(*values.shape[:-1], 2 ** (n // 2), 2 ** (n - n // 2))
    result: FloatArray = (_hadamard(n // 2) @ square @ _hadamard(n - n // 2)).reshape(values.shape)
    return result


@cache
def _hadamard(n: int) -> FloatArray:
    index = np.arange(2**n)
    return parity_signs(index[:, np.newaxis] & index)


def parity_signs(masks: Array) -> FloatArray:
    """(-1)**popcount of every integer mask."""
    signs: FloatArray = 1.0 - 2.0 * (np.bitwise_count(masks) % 2)
    return signs


def largest_remainders(ideal: FloatArray, total: int) -> list[int]:
    """Numbers that sum to a whole total, rounded: those with the largest remainders up, the others down."""
    whole = np.floor(ideal).astype(int)
    whole[np.argsort(whole - ideal, kind="stable")[: total - int(whole.sum())]] += 1
    return [int(count) for count in whole]


def evenly_spaced(items: Sequence[_Item], count: int) -> list[_Item]:
    """Return at most `count` items, evenly spaced from the first to the last."""
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).astype(int))]


def plain(value: object) -> object:
    """What JSON holds in place of a NumPy number or array, for `json.dumps(..., default=plain)`."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{value!r} is {type(value).__name__}, which JSON cannot hold")
