"""One owner for what holds an open file, a connection or a position in a run: the process that created it."""

from __future__ import annotations

import os
from typing import Any, NoReturn, Self

from hattriq_cirq.circuits.errors import OwnerError


class Owned:
    """Base class of objects that belong to the process that created them: engines, backends and journals.

    A copy would share the file or the connection and close it twice, and it would repeat the random numbers of the original.
    Copying and pickling are therefore refused, and so is any use by another process, such as a forked worker.

    Example:
        >>> import copy
        >>> import hattriq_cirq as hq
        >>> try:
        ...     copy.deepcopy(hq.qsim())
        ... except TypeError as error:
        ...     print(error)
        Engine objects cannot be copied or pickled: each belongs to the process that made it; make the engine in the worker
    """

    _owner: int

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Create the object and record the process that owns it."""
        created = super().__new__(cls)
        created._owner = os.getpid()
        return created

    def __reduce_ex__(self, _: object) -> NoReturn:
        """Refuse to be copied or pickled.

        Raises:
            OwnerError: Always.
        """
        raise OwnerError(
            f"{type(self).__name__} objects cannot be copied or pickled: each belongs to the process that made it; make the "
            "engine in the worker"
        )

    def check_owner(self) -> None:
        """Raise an error in any other process than the owner.

        Raises:
            OwnerError: This process is another one, such as a forked worker.
        """
        if self._owner != os.getpid():
            raise OwnerError(
                f"this {type(self).__name__} belongs to process {self._owner} and cannot be used in process {os.getpid()}, "
                "which was forked from it; make the engine in the worker, with a journal of its own"
            )
