"""Checks of arguments: number-likes become plain Python numbers, labels become -1 and +1, and anything else is refused.

Every public function checks its arguments here, whether or not this call uses them.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence, Set
from math import inf, isfinite
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from types import UnionType

_Word = TypeVar("_Word", bound=str)
_SHOWN = 80  # characters of a value in an error message
_LISTED = 4  # words in an error message that stand in quotes


class ArgumentTypeError(TypeError, ValueError):
    """An argument has a wrong type; it is a `ValueError` too, as every error for an argument that is refused.

    Example:
        >>> try:
        ...     as_count(2.5, "steps")
        ... except ValueError as error:
        ...     print(error)
        steps=2.5 must be a whole number, at least 1
    """


def as_count(
    value: object, name: str, minimum: int | None = 1, maximum: int | None = None, *, advice: str | None = None
) -> int:
    """Return a whole number as a plain integer.

    Args:
        value: Python or NumPy integer, or an integer array without axes; truth values, floats and texts are refused.
        name: Name of the argument in error messages.
        minimum: Smallest number that is allowed; None for no limit.
        maximum: Largest number that is allowed; None for no limit.
        advice: Words after "must", such as "be at least 1, or None for all"; None states the limits.

    Returns:
        The number.

    Raises:
        ArgumentTypeError: The value is not a whole number.
        ValueError: The number is out of range.

    Example:
        >>> as_count(np.int64(3), "steps")
        3
    """
    limits = f"at least {minimum}" if maximum is None else f"in {minimum}..{maximum}"
    kind = f"a whole number{'' if minimum is None else f', {limits}'}"
    number = _index(value)
    if number is None:
        raise ArgumentTypeError(f"{name}={shown(value)} must {advice or f'be {kind}'}")
    if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
        raise ValueError(f"{name}={shown(number)} must {advice or _verb(limits)}")
    return number


def as_counts(values: object, name: str, minimum: int | None = 1, maximum: int | None = None) -> tuple[int, ...]:
    """Return whole numbers as a tuple of plain integers.

    Args:
        values: Sequence or array of one axis, with numbers as `as_count` accepts them.
        name: Name of the argument in error messages.
        minimum: Smallest number that is allowed; None for no limit.
        maximum: Largest number that is allowed; None for no limit.

    Returns:
        The numbers.

    Raises:
        ArgumentTypeError: The value is not a sequence, or an entry is not a whole number.
        ValueError: A number is out of range.

    Example:
        >>> as_counts(np.array([1, 3, 5]), "factors")
        (1, 3, 5)
    """
    if isinstance(values, str | bytes | Mapping | Set) or not isinstance(values, Iterable) or _is_scalar_array(values):
        raise ArgumentTypeError(f"{name}={shown(values)} must be a sequence of whole numbers")
    return tuple(as_count(value, f"{name}[{i}]", minimum, maximum) for i, value in enumerate(values))


def as_number(
    value: object,
    name: str,
    minimum: float = -inf,
    maximum: float = inf,
    *,
    above: float = -inf,
    below: float = inf,
    advice: str | None = None,
) -> float:
    """Return a finite real number as a plain float.

    Args:
        value: Python or NumPy real number, or a real array without axes; truth values, complex numbers and texts are refused.
        name: Name of the argument in error messages.
        minimum: Smallest number that is allowed.
        maximum: Largest number that is allowed.
        above: Number that the value must exceed.
        below: Number that the value must stay below.
        advice: Words after "must"; None states the limits.

    Returns:
        The number.

    Raises:
        ArgumentTypeError: The value is not a real number.
        ValueError: The number is out of range, infinite or NaN.

    Example:
        >>> as_number(np.float32(0.5), "share", above=0)
        0.5
    """
    if type(value) is float and minimum <= value <= maximum and above < value < below:
        return value
    real = value.item() if isinstance(value, np.generic) or _is_scalar_array(value) else value
    if not _is_real(real):
        raise ArgumentTypeError(f"{name}={shown(value)} must {advice or 'be a number'}")
    try:
        number = float(real)  # type: ignore[arg-type]
    except OverflowError:
        number = inf
    if isfinite(number) and minimum <= number <= maximum and above < number < below:
        return number
    raise ValueError(f"{name}={shown(real)} must {advice or _range(minimum, maximum, above, below)}")


def as_seed(seed: object, name: str = "seed") -> int:
    """Return a random seed as a plain integer.

    Args:
        seed: Whole number of at least 0, as `as_count` accepts it.
        name: Name of the argument in error messages.

    Returns:
        The seed.

    Raises:
        ArgumentTypeError: The seed is not a whole number.
        ValueError: The seed is negative.

    Example:
        >>> as_seed(np.uint32(7))
        7
    """
    return as_count(seed, name, minimum=0)


def as_word(value: object, name: str, words: Sequence[_Word]) -> _Word:
    """Return a text that must be one of some words.

    Example:
        >>> as_word("adam", "optimizer", ("adam", "lbfgs"))
        'adam'
    """
    if isinstance(value, str) and value in words:
        return words[words.index(value)]
    if len(words) > _LISTED:
        listed = f"one of {', '.join(map(repr, words) if any(',' in word for word in words) else words)}"
    else:
        listed = ", ".join(map(repr, words[:-1])) + " or " * (len(words) > 1) + repr(words[-1])
    kind = ValueError if isinstance(value, str) else ArgumentTypeError
    raise kind(f"{name}={shown(value)} must be {listed}")


def as_shape(shape: object, features: int, name: str = "shape") -> tuple[int, int]:
    """Return the shape of an image as two plain integers.

    Args:
        shape: Numbers (rows, cols) with rows * cols = features.
        features: Number of features.
        name: Name of the argument in error messages.

    Returns:
        The numbers of rows and columns.

    Raises:
        ArgumentTypeError: The shape is not a sequence of whole numbers.
        ValueError: The shape does not hold the features.

    Example:
        >>> as_shape(np.array([2, 4]), 8)
        (2, 4)
    """
    sides = as_counts(shape, name, minimum=None)
    if len(sides) != 2 or min(sides) < 1 or sides[0] * sides[1] != features:
        raise ValueError(f"{name}={sides} must hold {features} pixels: (rows, cols) with rows * cols = features = {features}")
    return sides[0], sides[1]


def as_labels(
    y: ArrayLike, name: str = "y", samples: int | tuple[int, ...] | None = None, *, zero_one: bool = False
) -> NDArray[np.int64]:
    """Return class labels as int64 numbers -1 and +1.

    Args:
        y: Labels, each -1 or +1, one per input: a list, an array of integers or floats, or a pandas Series.
        name: Name of the argument in error messages.
        samples: Number of inputs, or the shape of a batch of them; None for one axis of any length.
        zero_one: Accept the labels 0 and 1, or False and True, for -1 and +1.

    Returns:
        Labels, (samples,), int64.

    Raises:
        ValueError: The shape or a value is wrong; if there are exactly two other values, the message says how to convert them.

    Example:
        >>> as_labels([1.0, -1.0])
        array([ 1, -1])
    """
    array = np.asarray(y)
    if samples is None and array.ndim != 1:
        raise ValueError(f"{name}.shape={array.shape} must be (samples,): one label per row")
    shape = (samples,) if isinstance(samples, int) else samples
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name}.shape={array.shape} must be {shape}: one label per input")
    if np.ma.is_masked(y):
        raise ValueError(f"{name} has masked entries; remove their rows")
    values = array.reshape(-1).tolist()
    if zero_one and all(isinstance(value, Real) and value in (0, 1) for value in values):
        return np.array([2 * int(value) - 1 for value in values], dtype=np.int64).reshape(array.shape)
    wrong = next((i for i, value in enumerate(values) if not (_is_real(value) and value in (-1, 1))), None)
    if wrong is None:
        return np.array([int(value) for value in values], dtype=np.int64).reshape(array.shape)
    texts = sorted(set(map(shown, values)))
    if len(texts) == 2:
        first, second = texts
        cure = f"write -1 for {first} and +1 for {second}: np.where({name} == {second}, 1, -1)"
    else:
        cure = "keep two classes and write them as -1 and +1"
    index = ", ".join(str(int(i)) for i in np.unravel_index(wrong, array.shape))
    listed = ", ".join(texts[:5]) + (", ..." if len(texts) > 5 else "")
    raise ValueError(
        f"{name}{f'[{index}]' if index else ''} = {_clipped(str(values[wrong]))} must be -1 or +1: "
        f"{name} must hold only the labels -1 and +1, found {listed}; {cure}"
    )


def check_type(value: object, name: str, kind: type | UnionType | tuple[type, ...], advice: str) -> Any:
    """Return a value of the right type; a class where one of its values is wanted is refused as well.

    Args:
        value: Value of an argument.
        name: Name of the argument in the error message.
        kind: Type or types that are accepted.
        advice: Accepted values in words, such as "an engine, such as hattriq_cirq.qsim(seed=1)".

    Returns:
        The value.

    Raises:
        ArgumentTypeError: The value has another type.

    Example:
        >>> check_type("x", "head", int, "a number")
        Traceback (most recent call last):
        hattriq_cirq.foundation.checks.ArgumentTypeError: head='x' must be a number
    """
    if not isinstance(value, kind):
        raise ArgumentTypeError(f"{name}={shown(value)} must be {advice}")
    return value


def set_fields(value: object, **fields: object) -> None:
    """Set fields of a frozen value to checked numbers, in its `__post_init__`.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Steps:
        ...     count: int
        ...     def __post_init__(self):
        ...         set_fields(self, count=as_count(self.count, "count"))
        >>> Steps(np.int64(3))
        Steps(count=3)
    """
    for name, field in fields.items():
        object.__setattr__(value, name, field)


def check_flag(value: object, name: str) -> bool:
    """Return a truth value; anything but True and False is refused.

    Example:
        >>> check_flag(np.True_, "progress")
        True
    """
    if not isinstance(value, bool | np.bool_):
        raise ArgumentTypeError(f"{name}={shown(value)} must be True or False")
    return bool(value)


def shown(value: object) -> str:
    """Return a value as an error message shows it: shortened, and a class with the advice to create a value of it.

    Example:
        >>> shown(int)
        'the class int (create a value of it, int(...))'
    """
    if isinstance(value, type):
        return f"the class {value.__name__} (create a value of it, {value.__name__}(...))"
    if isinstance(value, np.generic):
        value = value.item()
    try:
        text = repr(value)
    except Exception:  # the value's own representation fails
        text = f"a value of type {type(value).__name__}"
    return _clipped(" ".join(text.split()))


def _clipped(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]} ..."


def _index(value: object) -> int | None:
    """Return a whole number as an integer; None for anything else."""
    if isinstance(value, bool | np.bool_):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def _is_scalar_array(value: object) -> TypeGuard[NDArray[Any]]:
    return isinstance(value, np.ndarray) and value.ndim == 0


def _is_real(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _verb(limits: str) -> str:
    return f"lie {limits}" if limits.startswith("in") else f"be {limits}"


def _range(minimum: float, maximum: float, above: float, below: float) -> str:
    """Return the limits of a finite number in words."""
    if (above, below, minimum, maximum) == (0, inf, -inf, inf):
        return "be positive and finite"
    low = f"above {above:g}" if above >= minimum else f"at least {minimum:g}"
    high = f"below {below:g}" if below <= maximum else f"at most {maximum:g}"
    limits = [words for words, limit in ((low, max(above, minimum)), (high, min(below, maximum))) if isfinite(limit)]
    return "be " + " and ".join(limits if len(limits) == 2 else [*limits, "finite"])
