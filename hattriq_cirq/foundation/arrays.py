"""Array types, checks of input arrays, and small numerical functions."""

from __future__ import annotations

from cmath import isfinite
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache, reduce
from mmap import mmap
from statistics import NormalDist
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hattriq_cirq.foundation.checks import as_number

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
#: Real or complex numbers: amplitudes may be either.
Array = NDArray[Any]

_SEEN_TOGETHER = 2**20  # numbers that are checked at once
_WITHOUT_SCALING = 200  # powers of 2 whose fourth powers can be represented
_SURELY_ABOVE = 60  # powers of 2 by which a squared norm exceeds the square of the largest part of a vector, at most

_Item = TypeVar("_Item")
_Scalar = TypeVar("_Scalar", bound=np.generic)


def read_only(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Return a copy of an array that cannot be written to, for the fields of frozen values."""
    copy = np.array(array)
    copy.flags.writeable = False
    return copy


_ZERO = read_only(np.zeros(()))


@lru_cache(maxsize=64)
def zeros(shape: tuple[int, ...]) -> FloatArray:
    """Return zeros that cannot be changed and take no memory.

    Example:
        >>> zeros((2,))
        array([0., 0.])
    """
    return np.broadcast_to(_ZERO, shape)


def is_read_only(array: Array) -> bool:
    """Return True if neither an array nor what it is a view of can be written to: another array, or a file mapped to read.

    Example:
        >>> is_read_only(np.zeros(2)), is_read_only(np.broadcast_to(read_only(np.zeros(1)), 2))
        (False, True)
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return False
        base = base.base
    return base is None or isinstance(base, mmap)


def make_read_only(*arrays: Array) -> None:
    """Forbid changes of arrays, and of the arrays that they are views of.

    Example:
        >>> array = np.zeros((2, 2))
        >>> make_read_only(array[0])
        >>> array.flags.writeable
        False
    """
    own: Any
    for own in arrays:
        while isinstance(own, np.ndarray):
            own.setflags(write=False)
            own = own.base


def read_only_copies(arrays: Iterable[ArrayLike]) -> tuple[FloatArray, ...]:
    """Return read-only copies of real arrays, in double precision."""
    return tuple(read_only(np.asarray(array, dtype=np.float64)) for array in arrays)


def freeze(value: object, **arrays: ArrayLike) -> None:
    """Set fields of a frozen value to read-only copies of arrays."""
    for name, array in arrays.items():
        object.__setattr__(value, name, read_only(np.asarray(array)))


def as_amplitudes(x: ArrayLike, name: str = "x", features: int | None = None, *, first_row: int = 0) -> Array:
    """Return an input as finite float64 or complex128 amplitudes with features on the last axis.

    Args:
        x: Numbers, (..., features), real or complex, of any norm.
        name: Name of the argument in error messages.
        features: Required number of features, 2**n_qubits; None for any.
        first_row: Index of the first row in error messages, for a part of a batch.

    Returns:
        Amplitudes, (..., features), float64 or complex128, copied only if necessary.

    Raises:
        ValueError: The input is not numeric, has no axis or another number of features, or contains NaN or infinity (the
            message has the first index).

    Example:
        >>> as_amplitudes([1, 2j])
        array([1.+0.j, 0.+2.j])
    """
    array = _in_double_precision(_checked_form(x, name, features))
    _check_finite(array, name, first_row)
    return array


def stored_amplitudes(x: ArrayLike, name: str, features: int) -> tuple[Array, bool]:
    """Return an input as `as_amplitudes` does, or a file of numbers, `numpy.memmap`, unread: its parts are checked when read.

    Args:
        x: Numbers, (..., features).
        name: Name of the argument in error messages.
        features: Required number of features.

    Returns:
        The amplitudes, and True if the pass that checks them shows that no vector needs scaling (`needs_scaling`).

    Example:
        >>> stored_amplitudes([1, 2], "x", 2)
        (array([1., 2.]), True)
    """
    array = _checked_form(x, name, features)
    if isinstance(array, np.memmap) and array.ndim == 2:
        return array, False
    array = _in_double_precision(array)
    is_ordinary = array.flags.c_contiguous and _is_ordinary(array, _WITHOUT_SCALING)
    if not is_ordinary:
        _check_finite(array, name, 0)
    return array, is_ordinary


def _in_double_precision(array: Array) -> Array:
    """Return numbers of any type as float64 or complex128, copied only if necessary, and never as a file."""
    kind = array.dtype.kind
    return np.asarray(array, dtype=np.complex128 if kind == "c" else np.float64)


def _check_finite(array: Array, name: str, first_row: int) -> None:
    """Raise ValueError for amplitudes that are not finite, with the first index, counted from the first row of the batch."""
    if not all_finite(array):
        row, *rest = map(int, np.argwhere(~np.isfinite(array))[0])
        index = ", ".join(map(str, (first_row + row, *rest)))
        raise ValueError(f"{name}[{index}] = {array[row, *rest]} is not finite; remove or replace it")


def _checked_form(x: ArrayLike, name: str, features: int | None) -> Array:
    """Return an input as an array, whose type and shape are checked."""
    if type(x) is np.ndarray:
        array = x
    elif np.ma.is_masked(x):
        raise ValueError(f"{name} has masked entries; remove their rows or fill them")
    else:
        array = x if isinstance(x, np.memmap) else np.asarray(x)
    if array.dtype.kind not in "biufc":
        raise ValueError(f"{name} must hold numbers, got dtype {array.dtype}")
    if array.ndim == 0:
        raise ValueError(f"{name} must have a features axis, got a scalar; pass an array of shape (..., features)")
    if features is not None and array.shape[-1] != features:
        raise ValueError(f"{name}.shape={array.shape} must end in 2**n_qubits = {features}")
    return array


def all_finite(array: Array) -> bool:
    """Return True if all numbers are finite, looking once at those that the array repeats and at a part of it at a time.

    Example:
        >>> all_finite(np.array([1.0, np.inf]))
        False
    """
    if array.size == 1:
        return isfinite(array.item())
    if array.flags.c_contiguous and isfinite(np.vdot(array, array)):  # one pass; a sum of squares may also overflow
        return True
    if array.size <= _SEEN_TOGETHER:
        return bool(np.logical_and.reduce(np.isfinite(array), axis=None))
    once = array[tuple(slice(1) if stride == 0 else slice(None) for stride in array.strides)]
    if once.ndim == 0 or len(once) == 1:
        return all(map(all_finite, once)) if once.ndim > 1 else bool(np.isfinite(once).all())
    step = max(1, _SEEN_TOGETHER * len(once) // once.size)
    return all(bool(np.isfinite(once[i : i + step]).all()) for i in range(0, len(once), step))


def binary_exponents(x: Array) -> NDArray[np.int64]:
    """Return the exponent e of each vector, (..., 1), for which its largest real or imaginary part is in [2**(e-1), 2**e).

    Example:
        >>> binary_exponents(np.array([[3.0, -5.0], [0.0, 0.0], [1e-320, 0.0]])).ravel()
        array([    3,     0, -1063])
    """
    parts = np.abs(x.real), np.abs(x.imag) if np.iscomplexobj(x) else 0.0
    largest = np.maximum(*parts).max(axis=-1, keepdims=True, initial=0.0)
    return np.asarray(np.frexp(largest)[1], dtype=np.int64)


def needs_scaling(x: Array, power: int = _WITHOUT_SCALING) -> bool:
    """Return True if the largest part of some vector, (..., features), is neither 0 nor between 2**-power and 2**power."""
    if _is_ordinary(x, power):
        return False
    largest = np.maximum.reduce  # without the checks of `max`, which take longer than the maximum of one vector
    sizes = largest(np.abs(x.real), axis=-1, initial=0.0)
    if np.iscomplexobj(x):
        sizes = np.maximum(sizes, largest(np.abs(x.imag), axis=-1, initial=0.0))
    if not largest(sizes, axis=None, initial=0.0) <= 2.0**power:
        return True
    least = 2.0**-power
    return bool(np.minimum.reduce(sizes, axis=None, initial=1.0) < least and ((sizes < least) & (sizes > 0)).any())


def _is_ordinary(x: Array, power: int) -> bool:
    """Return True if squared norms show that all vectors have parts between 2**-power and 2**power; False tells nothing."""
    least, most = 2.0 ** (_SURELY_ABOVE - 2 * power), 2.0 ** (2 * power)
    if x.size == x.shape[-1] > 0:
        return least < float(np.vdot(x, x).real) < most or not x.any()
    squares = np.einsum("...k,...k->...", x.real, x.real)  # which does not warn of an overflow
    if np.iscomplexobj(x):
        squares = squares + np.einsum("...k,...k->...", x.imag, x.imag)
    return squares.size > 0 and bool(least < np.minimum.reduce(squares, axis=None) and squares.max() < most)


def times_power_of_2(x: Array, exponents: ArrayLike) -> Array:
    """Return x * 2**exponents, exact unless it overflows to infinity or loses digits of subnormal numbers."""
    with np.errstate(all="ignore"):
        if not np.iscomplexobj(x):
            return np.asarray(np.ldexp(x, exponents))
        shape = np.broadcast_shapes(np.shape(x), np.shape(exponents))
        result = np.empty(shape, dtype=x.dtype)
        result.real, result.imag = np.ldexp(x.real, exponents), np.ldexp(x.imag, exponents)
        return result


def rescaled(values: Array, exponents: ArrayLike, name: str) -> Array:
    """Return values * 2**exponents, or raise ValueError where the result is too large for a number in double precision."""
    result = times_power_of_2(values, exponents) if np.any(exponents) else values
    if not np.isfinite(result).all():
        raise ValueError(f"{name} is too large for a number in double precision; divide the inputs by a common factor")
    return result


def unit_vectors(x: Array) -> tuple[Array, FloatArray, NDArray[np.int64]]:
    """Return each vector as direction, norm and power of 2: x = direction * norm * 2**exponent, whatever its size.

    Args:
        x: Vectors, (..., features), finite.

    Returns:
        Vectors of norm 1, or 0 for the zero vector, (..., features); norms, 0 or from 1/2 to sqrt(2 features), (..., 1);
        exponents, (..., 1).

    Example:
        >>> direction, norm, exponent = unit_vectors(np.array([3e200, 4e200]))
        >>> direction, np.ldexp(norm, exponent)
        (array([0.6, 0.8]), array([5.e+200]))
    """
    exponents = binary_exponents(x)
    scaled = times_power_of_2(x, -exponents)
    # one vector has its norm by a scalar product, which rounds as it always did: resumed runs repeat every bit
    norms = np.linalg.norm(scaled, axis=None if x.ndim == 1 else -1, keepdims=True)
    return np.asarray(scaled / np.where(norms > 0, norms, 1)), norms, exponents


def unit_vector_and_norm(x: Array) -> tuple[Array, float]:
    """Return the direction of one vector, (features,), and its norm; the zero vector has the direction 0.

    Raises:
        ValueError: The norm is too large for a number in double precision.

    Example:
        >>> direction, norm = unit_vector_and_norm(np.array([3e200, 4e200]))
        >>> direction, f"{norm:.3g}"
        (array([0.6, 0.8]), '5e+200')
    """
    direction, norm, exponent = unit_vectors(x)
    return direction, float(rescaled(norm, exponent, "a norm")[0])


def scaling_exponents(*vectors: Array, power: int = _WITHOUT_SCALING) -> NDArray[np.int64]:
    """Return for every row the exponent by which to divide several vectors; zeros if all fourth powers can be represented.

    Args:
        vectors: Vectors, (..., features), that broadcast against each other.
        power: Power of 2 whose fourth power can be represented.

    Returns:
        Exponents of the largest numbers, (..., 1), or zeros if these lie between 2**-power and 2**power.

    Example:
        >>> scaling_exponents(np.array([[1.0, 2.0]])), scaling_exponents(np.array([[1e-100, 0.0]]), np.array([1e100, 1e-200]))
        (array([[0]]), array([[333]]))
    """
    if not any(needs_scaling(v, power) for v in vectors):
        return np.zeros((*np.broadcast_shapes(*(v.shape[:-1] for v in vectors)), 1), dtype=np.int64)
    sizes = [np.where(v.any(axis=-1, keepdims=True), binary_exponents(v), -(2**11)) for v in vectors]
    largest = np.maximum.reduce(np.broadcast_arrays(*sizes))
    largest = np.where(largest == -(2**11), 0, largest)
    return largest if (np.abs(largest) > power).any() else np.zeros_like(largest)


def row_blocks(rows: Array) -> Iterator[Array]:
    """Yield parts of the rows of an array, of about a million numbers each, in order.

    Example:
        >>> [len(block) for block in row_blocks(np.zeros((5, 2**19)))]
        [2, 2, 1]
    """
    step = max(1, _SEEN_TOGETHER * len(rows) // max(1, rows.size))
    return (rows[start : start + step] for start in range(0, len(rows), step))


def exact_sum(rows: Array, exponent: int = 0) -> Array:
    """Return the sum over the first axis, which does not depend on the order and is exact to 1e-30 of the largest number.

    Numbers are split into parts that are multiples of one unit each, so that no sum of parts is rounded (Demmel and Nguyen
    2013).

    Args:
        rows: Numbers, (rows, ...), of which a part at a time is copied.
        exponent: Power of 2 that all numbers are multiplied by; they are then between about 1e-200 and 1e200.

    Example:
        >>> exact_sum(np.array([1e16, 1.0, -1e16]))
        array(1.)
    """
    if np.iscomplexobj(rows):
        return np.asarray(exact_sum(rows.real, exponent) + 1j * exact_sum(rows.imag, exponent))
    spread = max(2, len(rows)).bit_length() + 1
    parts, units = list[Array](), list[float]()
    for _ in range(3):
        rests = (_rest(times_power_of_2(block, exponent), units) for block in row_blocks(rows))
        largest = max((float(np.abs(rest).max(initial=0.0)) for rest in rests), default=0.0)
        unit = float(np.ldexp(1.0, int(np.frexp(largest)[1]) + spread))
        rests = (_rest(times_power_of_2(block, exponent), units) for block in row_blocks(rows))
        parts.append(np.asarray(sum(((rest + unit) - unit).sum(axis=0) for rest in rests)))
        units.append(unit)
    return np.asarray((parts[2] + parts[1]) + parts[0])


def _rest(rows: Array, units: Iterable[float]) -> Array:
    """Return what is left of numbers without their multiples of some units."""
    for unit in units:
        rows = rows - ((rows + unit) - unit)
    return rows


def walsh_hadamard(values: FloatArray) -> FloatArray:
    """Return the Walsh-Hadamard transform sum_p (-1)**popcount(p & m) values[p] of (..., 2**n) numbers, not normalised.

    It is computed as two products, one on each half of the bits, with matrices of size 2**(n/2).

    Example:
        >>> walsh_hadamard(np.array([1.0, 2.0, 3.0, 4.0]))
        array([10., -2., -4.,  0.])
    """
    n = values.shape[-1].bit_length() - 1
    square = values.reshape(*values.shape[:-1], 2 ** (n // 2), 2 ** (n - n // 2))
    return (_hadamard(n // 2) @ square @ _hadamard(n - n // 2)).reshape(values.shape)


@cache
def _hadamard(n: int) -> FloatArray:
    index = np.arange(2**n)
    return parity_signs(index[:, np.newaxis] & index)


def parity_signs(masks: Array) -> FloatArray:
    """Return (-1)**popcount of every integer mask.

    Example:
        >>> parity_signs(np.arange(4))
        array([ 1., -1., -1.,  1.])
    """
    return 1.0 - 2.0 * (np.bitwise_count(masks) % 2)


def normal_interval(
    values: FloatArray, stderr: FloatArray, level: float, *further: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Return the low and high ends of intervals of values with normally distributed errors.

    All parts of an error are combined here: values -+ z * sqrt(stderr**2 + the squares of the further parts), with z the
    quantile of the normal distribution.

    Args:
        values: Values, (...,).
        stderr: Standard error of each value, (...,).
        level: Probability that an interval holds the true value, between 0 and 1.
        further: Standard deviations of further independent parts of the errors, (...,) each, such as the systematic part; None
            for a part of which nothing is known.

    Returns:
        Low and high ends, (...,) each.

    Raises:
        ValueError: The level is out of range.

    Example:
        >>> low, high = normal_interval(np.array([1.0]), np.array([0.5]), 0.95)
        >>> low.round(2), high.round(2)
        (array([0.02]), array([1.98]))
    """
    deviation = reduce(np.hypot, (part for part in further if part is not None), stderr)
    half = NormalDist().inv_cdf((1 + as_number(level, "level", above=0, below=1)) / 2) * deviation
    return values - half, values + half


def largest_remainders(ideal: FloatArray, total: int) -> list[int]:
    """Round numbers to integers with a given sum: those with the largest remainders up, the others down.

    Example:
        >>> largest_remainders(np.array([1.2, 1.7, 2.1]), 5)
        [1, 2, 2]
    """
    whole = np.floor(ideal).astype(int)
    whole[np.argsort(whole - ideal, kind="stable")[: total - int(whole.sum())]] += 1
    return [int(count) for count in whole]


def largest_first(values: ArrayLike) -> NDArray[np.intp]:
    """Return indices along the last axis by decreasing absolute value; equal ones keep their order.

    Example:
        >>> largest_first([1.0, -3.0, 3.0, 0.0])
        array([1, 2, 0, 3])
    """
    return np.argsort(-np.abs(values), axis=-1, kind="stable")


def evenly_spaced(items: Sequence[_Item], count: int) -> list[_Item]:
    """Return at most `count` items, evenly spaced from the first to the last."""
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).astype(int))]


def plain(value: object) -> object:
    """Return the JSON equivalent of a NumPy number or array, for `json.dumps(..., default=plain)`."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{value!r} is {type(value).__name__}, which JSON cannot hold")
