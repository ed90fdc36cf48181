"""Log of what a run does: sentences under the loggers `hattriq_cirq.*`, and lines in a file beside the results of the run."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from hattriq_cirq.foundation.display import printable

#: Name of the log file in the folder of a run.
LOG = "hattriq.log"
_TAIL = 4096  # bytes that hold the last line
_file: ContextVar[Path | None] = ContextVar("log_file", default=None)


class Log:
    """Sentences on what a run does, for `logging` and for the log file of the run.

    The file gets every sentence, whatever the levels of `logging` are. A file that cannot be written never stops a run.

    Args:
        name: Name of the logger below `hattriq_cirq`.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"hattriq_cirq.{name}")

    def info(self, text: str, *values: object) -> None:
        """Say what the run does."""
        self._write(logging.INFO, text, values)

    def warning(self, text: str, *values: object) -> None:
        """Say what hinders the run."""
        self._write(logging.WARNING, text, values)

    def _write(self, level: int, text: str, values: tuple[object, ...]) -> None:
        self._logger.log(level, text, *values, stacklevel=3)
        file = _file.get()
        if file is not None:
            sentence = printable(text % values if values else text)
            line = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z {logging.getLevelName(level).lower():<7} {sentence}\n"
            with suppress(OSError), file.open("ab", buffering=0) as stream:
                stream.write(line.encode("utf-8", "backslashreplace"))


@contextmanager
def log_to(folder: str | os.PathLike[str] | None) -> Iterator[None]:
    """Write the sentences that are logged within a block into the file of a run, too.

    Args:
        folder: Folder of the run; None writes them where they are written anyway.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with log_to(folder):
        ...         Log("run").info("placed on %d qubits", 4)
        ...     last_line(folder)[21:]
        'info    placed on 4 qubits'
    """
    token = _file.set(_file.get() if folder is None else Path(folder) / LOG)
    try:
        yield
    finally:
        _file.reset(token)


def last_line(folder: str | os.PathLike[str]) -> str:
    """Return the last line of the log file of a run; an empty text if there is none."""
    with suppress(OSError), (Path(folder) / LOG).open("rb") as stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL))
        lines = stream.read().decode("utf-8", "replace").split("\n")[:-1]
        return printable(lines[-1]) if lines else ""
    return ""
