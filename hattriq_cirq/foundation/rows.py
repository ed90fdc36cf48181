"""Rows of amplitudes that may lie on a device, and the numbers of each row, which come home as NumPy arrays.

Rows are large, (samples, features), and stay where they are. One number per row, such as a norm or a score, is small: it is
computed where the row is, and all that follows from it in NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hattriq_cirq.foundation.arrays import Array, FloatArray, IntArray
from hattriq_cirq.foundation.devices import Device, namespace


def device_amplitudes(x: Any, name: str, features: int) -> Any:
    """Return an input on a device as amplitudes with features on the last axis, copied only if its numbers are of another type.

    Args:
        x: Numbers of CuPy or PyTorch, (..., features), real or complex.
        name: Name of the argument in error messages.
        features: Required number of features.

    Returns:
        Amplitudes in single or double precision, (..., features), on the same device.

    Raises:
        ValueError: The input holds no numbers, or has another number of features.

    Example:
        >>> device_amplitudes(np.ones((1, 2), dtype=int), "x", 2)
        array([[1., 1.]])
    """
    xp = namespace(x)
    if not xp.isdtype(x.dtype, ("numeric", "bool")):
        raise ValueError(f"{name} must hold numbers, got dtype {x.dtype}")
    if not x.ndim or x.shape[-1] != features:
        raise ValueError(f"{name}.shape={tuple(x.shape)} must end in 2**n_qubits = {features}")
    x = x.detach() if hasattr(x, "detach") else x  # a tensor of PyTorch may record its derivatives
    return x if is_single(x) else in_precision(x, single=False)


def is_complex(rows: Any) -> bool:
    """Return True for complex numbers.

    Example:
        >>> is_complex(np.zeros(2)), is_complex(np.array([1j]))
        (False, True)
    """
    if type(rows) is np.ndarray:
        return bool(rows.dtype.kind == "c")
    return bool(namespace(rows).isdtype(rows.dtype, "complex floating"))


def is_single(rows: Any) -> bool:
    """Return True for numbers in single precision, real or complex.

    Example:
        >>> is_single(np.zeros(2)), is_single(np.zeros(2, np.complex64))
        (False, True)
    """
    xp = namespace(rows)
    return bool(rows.dtype in (xp.float32, xp.complex64))


def real(rows: Any) -> Any:
    """Return the real parts.

    Example:
        >>> real(np.array([1 + 2j]))
        array([1.])
    """
    if type(rows) is np.ndarray:
        return rows.real
    return namespace(rows).real(rows) if is_complex(rows) else rows


def imag(rows: Any) -> Any:
    """Return the imaginary parts of complex numbers."""
    return rows.imag if type(rows) is np.ndarray else namespace(rows).imag(rows)


def conjugate(rows: Any) -> Any:
    """Return the complex conjugates.

    Example:
        >>> conjugate(np.array([1 + 2j]))
        array([1.-2.j])
    """
    return namespace(rows).conj(rows) if is_complex(rows) else rows


def in_precision(rows: Any, *, single: bool) -> Any:
    """Return rows of a device, of numbers of any type, in single or double precision.

    Example:
        >>> in_precision(np.array([1, 2]), single=True).dtype
        dtype('float32')
    """
    xp = namespace(rows)
    types = (xp.complex64, xp.complex128) if is_complex(rows) else (xp.float32, xp.float64)
    return xp.astype(rows, types[not single], copy=False)


def reshaped(rows: Any, shape: tuple[int, ...]) -> Any:
    """Return the same numbers in another shape."""
    return rows.reshape(shape) if isinstance(rows, np.ndarray) else namespace(rows).reshape(rows, shape)


def beside(rows: Any, numbers: Array) -> Any:
    """Return real numbers of NumPy, or truth values, where some rows lie, in their precision; for rows of NumPy as they are.

    Example:
        >>> beside(np.zeros((2, 1), np.float32), np.array([[0.5], [1.0]])).dtype
        dtype('float64')
    """
    if type(rows) is np.ndarray:
        return numbers
    dtype = None if numbers.dtype.kind != "f" else np.float32 if is_single(rows) else np.float64
    return Device.holding(rows).asarray(numbers, dtype)


def home(numbers: Any) -> Array:
    """Return numbers of any device as an array of NumPy; those of a device in double precision.

    Example:
        >>> home(np.zeros(2))
        array([0., 0.])
    """
    if type(numbers) is np.ndarray:
        return numbers
    found = Device.holding(numbers).to_numpy(numbers)
    wide = {"f": np.float64, "c": np.complex128}.get(found.dtype.kind)
    return found if wide is None else found.astype(wide, copy=False)


def has_numbers(rows: Any) -> bool:
    """Return True unless all numbers are zero.

    Example:
        >>> has_numbers(np.zeros(2))
        False
    """
    if type(rows) is np.ndarray:
        return bool(rows.any())
    return bool(namespace(rows).any(rows != 0))


def row_sums(rows: Any) -> FloatArray:
    """Return the sum of each row of real numbers, (samples,), in double precision.

    Example:
        >>> row_sums(np.array([[3.0, 4.0]]))
        array([7.])
    """
    if type(rows) is np.ndarray:
        return np.asarray(rows.sum(axis=-1))
    xp = namespace(rows)
    return home(xp.sum(rows, axis=-1, dtype=xp.float64))


def row_maxima(rows: Any) -> tuple[FloatArray, IntArray]:
    """Return the largest number of each row and its index, (samples,) each.

    Example:
        >>> row_maxima(np.array([[3.0, 4.0]]))
        (array([4.]), array([1]))
    """
    if type(rows) is np.ndarray:
        return rows.max(axis=-1), rows.argmax(axis=-1)
    xp = namespace(rows)
    return home(xp.max(rows, axis=-1)), home(xp.argmax(rows, axis=-1))


def row_norms(rows: Any) -> FloatArray:
    """Return the norm of each row, (samples,).

    Example:
        >>> row_norms(np.array([[3.0, 4.0]]))
        array([5.])
    """
    if type(rows) is np.ndarray:
        return np.asarray(np.linalg.norm(rows, axis=-1))
    return np.asarray(np.sqrt(inner_product(rows, rows)))


def row_sizes(rows: Any) -> FloatArray:
    """Return the largest absolute value of a real or an imaginary part of each row, (samples, 1).

    Example:
        >>> row_sizes(np.array([[3.0, -5.0]]))
        array([[5.]])
    """
    xp = namespace(rows)
    parts = [real(rows), imag(rows)] if is_complex(rows) else [rows]
    sizes = [home(xp.max(xp.abs(part), axis=-1, keepdims=True)) for part in parts]
    return np.asarray(np.maximum(sizes[0], sizes[-1]))


def inner_product(left: Any, right: Any) -> FloatArray:
    """Return Re <left|right> of each row, (samples,), in double precision, which one of them has or which is summed in.

    Example:
        >>> inner_product(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
        array([11.])
    """
    if type(left) is np.ndarray:
        products: FloatArray = np.vecdot(left, right).real
        return products
    products = real(left) * real(right)
    if is_complex(left) and is_complex(right):
        products = products + imag(left) * imag(right)
    return row_sums(products)


def inner_products(left: Any, actions: Sequence[Any]) -> FloatArray:
    """Return Re <left|action> of each row and action, (samples, actions), in double precision.

    Example:
        >>> inner_products(np.array([[1.0, 2.0]]), [np.array([[3.0, 4.0]])])
        array([[11.]])
    """
    return np.stack([inner_product(left, action) for action in actions], axis=-1)


def times_powers(rows: Any, exponents: IntArray) -> Any:
    """Return rows of a device times powers of 2, (samples, 1), exact unless a number leaves the range of its precision.

    A number that becomes too large is then not finite.

    Example:
        >>> times_powers(np.array([[1.0, 3.0]]), np.array([[2]]))
        array([[ 4., 12.]])
    """
    half = exponents // 2
    with np.errstate(over="ignore"):
        return rows * beside(rows, np.ldexp(1.0, half)) * beside(rows, np.ldexp(1.0, exponents - half))


def taken(rows: Any, indices: IntArray) -> Any:
    """Return some of the rows, in the order of their indices.

    Example:
        >>> taken(np.array([[1.0], [2.0]]), np.array([1, 0]))
        array([[2.],
               [1.]])
    """
    if type(rows) is np.ndarray:
        return rows[indices]
    return namespace(rows).take(rows, beside(rows, indices), axis=0)


def joined(parts: Sequence[Any]) -> Any:
    """Return arrays of one device as one, one after the other along the first axis.

    Example:
        >>> joined([np.zeros(1), np.ones(1)])
        array([0., 1.])
    """
    return parts[0] if len(parts) == 1 else namespace(parts[0]).concat(list(parts))
