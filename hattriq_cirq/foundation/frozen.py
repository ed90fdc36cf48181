"""Frozen values: what they keep is theirs alone, and what they hand out cannot be changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NoReturn

import numpy as np

from hattriq_cirq.foundation.arrays import is_read_only, read_only

_PLAIN = (str, int, float, bool, type(None))  # types of values that nobody can change


class FrozenDict(dict[Any, Any]):
    """A dictionary that cannot be changed, with values that it owns; JSON, copies and comparisons treat it as a dictionary.

    Example:
        >>> settings = FrozenDict({"noise": "none"})
        >>> settings == {"noise": "none"}
        True
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # those of `dict`
        super().__init__({key: owned(value) for key, value in dict(*args, **kwargs).items()})

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("this mapping belongs to a frozen value and cannot be changed; change a copy of it, dict(...)")

    __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = _refuse

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[Any, Any]]]:
        return FrozenDict, (dict(self),)


class FrozenList(list[Any]):
    """A list that cannot be changed; JSON, copies and comparisons treat it as a list.

    Example:
        >>> FrozenList(["a", "b"]) == ["a", "b"]
        True
    """

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("this list belongs to a frozen value and cannot be changed; change a copy of it, list(...)")

    __setitem__ = __delitem__ = __iadd__ = __imul__ = append = extend = insert = _refuse
    pop = remove = clear = sort = reverse = _refuse

    def __reduce__(self) -> tuple[type[FrozenList], tuple[list[Any]]]:
        return FrozenList, (list(self),)


class Frozen:
    """Base of frozen dataclasses whose fields are arrays, sequences or mappings.

    Arrays become read-only copies, lists tuples, and mappings `FrozenDict`, when the value is created and when it is unpickled.
    A subclass with a `__post_init__` of its own calls that of this class at its end.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Rows(Frozen):
        ...     rows: object
        >>> Rows([1, 2])
        Rows(rows=(1, 2))
    """

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:  # type: ignore[attr-defined]
            kept = getattr(self, name)
            if type(kept) not in _PLAIN:
                object.__setattr__(self, name, tuple(map(owned, kept)) if type(kept) is list else owned(kept))

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, owned(value))


def owned(value: Any) -> Any:
    """Return a value that the caller cannot change: a read-only copy of an array, list or mapping, and others as they are.

    Example:
        >>> owned(np.zeros(2)).flags.writeable, owned({"a": [1]})
        (False, {'a': [1]})
    """
    if type(value) in _PLAIN or isinstance(value, Frozen):
        return value
    if isinstance(value, np.ndarray):
        return value if is_read_only(value) else read_only(value)
    if type(value) is tuple and all(type(item) in _PLAIN for item in value):
        return value
    if type(value).__module__.startswith("scipy.sparse") and value.format == "csr":
        from scipy.sparse import csr_array  # late, because it takes long to import

        parts = (read_only(part) for part in (value.data, value.indices, value.indptr))
        return csr_array(tuple(parts), shape=value.shape)
    if isinstance(value, Mapping):
        return value if isinstance(value, FrozenDict) else FrozenDict(value)
    if type(value) not in (tuple, list, FrozenList):
        return value
    items = tuple(map(owned, value))
    if type(value) is not list and all(new is old for new, old in zip(items, value, strict=True)):
        return value
    return items if type(value) is tuple else FrozenList(items)
