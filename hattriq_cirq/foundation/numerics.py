"""NumPy's own error settings, whatever the caller has set with `numpy.seterr`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def numpy_defaults() -> np.errstate:
    """Return a context in which floating-point errors are handled as NumPy does by default.

    Underflow to 0 is harmless everywhere in this package, so that a caller who makes it an error gets the same numbers.

    Example:
        >>> with np.errstate(all="raise"), numpy_defaults():
        ...     print(np.exp(np.float64(-800.0)))
        0.0
    """
    return np.errstate(divide="warn", over="warn", under="ignore", invalid="warn")


def with_numpy_defaults(
    function: Callable[_Arguments, _Result], rename: Callable[[dict[str, Any]], dict[str, Any] | None] | None = None
) -> Callable[_Arguments, _Result]:
    """Decorate a public function so that it runs in the context of `numpy_defaults`.

    The decorated function has the file and the globals of the original, so that doctest and inspect treat it alike.

    Args:
        function: Function.
        rename: Function that returns the keyword arguments for those of a call that was refused with a TypeError, or None to
            let the error pass; calls that are not refused pay nothing for it.

    Example:
        >>> with np.errstate(all="raise"):
        ...     print(with_numpy_defaults(np.exp)(np.float64(-800.0)))
        0.0
    """
    guarded = numpy_defaults()(function)  # enters the context in a third of the time of a with statement

    def call(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        return guarded(*args, **kwargs)

    def call_or_rename(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        try:
            return guarded(*args, **kwargs)
        except TypeError:
            renamed = None if rename is None else rename(kwargs)
            if renamed is None:
                raise
        return guarded(*args, **renamed)

    call = call if rename is None else call_or_rename
    if isinstance(function, FunctionType):
        code = function.__code__
        own = call.__code__.replace(co_filename=code.co_filename, co_firstlineno=code.co_firstlineno)
        moved = FunctionType(own, function.__globals__, function.__name__, None, call.__closure__)
        return wraps(function)(cast(Callable[_Arguments, _Result], moved))
    return wraps(function)(call)
