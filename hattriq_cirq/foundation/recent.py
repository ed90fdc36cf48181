"""The values that were computed last in this process, for work that repeats what it did a moment ago."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class Recent(Generic[_Value]):
    """Values that nobody changes, found again by equal keys until newer ones need their place.

    Args:
        room: Largest sum of the sizes of the values that are kept.

    Example:
        >>> squares = Recent[int](room=2)
        >>> [squares.get(n, lambda: print("computed") or 9) for n in (3, 3)]
        computed
        [9, 9]
    """

    def __init__(self, room: int) -> None:
        self.room, self._used, self._lock = room, 0, Lock()
        self._kept: OrderedDict[Hashable, tuple[_Value, int]] = OrderedDict()

    def get(self, key: Hashable | None, compute: Callable[[], _Value], size: Callable[[_Value], int] = lambda _: 1) -> _Value:
        """Return the value of a key, computed unless it is kept.

        Args:
            key: Everything that decides the value; None, or what has no hash, to compute without keeping it.
            compute: Function that returns the value.
            size: Function that returns the room that a value takes; one that takes more than all is not kept.
        """
        try:
            hash(key)
        except TypeError:
            key = None
        if key is None:
            return compute()
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
        value = compute()
        taken = size(value)
        if taken > self.room:
            return value
        with self._lock:
            if key not in self._kept:
                self._kept[key] = value, taken
                self._used += taken
            while self._used > self.room:
                _, (_, freed) = self._kept.popitem(last=False)
                self._used -= freed
        return value
