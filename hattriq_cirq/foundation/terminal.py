"""Standard output and error of a command: whatever happens to them, the work goes on.

Only the standard library is imported, so that `hattriq --help` appears at once.
"""

from __future__ import annotations

import errno
import os
import shlex
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from hattriq_cirq.foundation.display import printable


class Stream:
    """Text stream that a command prints to; a failure to write is remembered and never raised.

    A character that the encoding lacks is escaped. A pipe whose reader has gone, as after `| head`, and a closed stream are no
    failure: there is nobody to read.

    Args:
        stream: Stream to write to; None discards everything.
        keep_controls: Let control characters pass, as progress bars need them; false shows them escaped.
        line: Last line of the terminal, which gives way to what is written.
    """

    def __init__(self, stream: TextIO | None, *, keep_controls: bool = False, line: StatusLine | None = None) -> None:
        self._stream: TextIO | None = stream
        self._keep_controls = keep_controls
        self._line = line
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write text; return its length."""
        if self._line is not None:
            self._line.give_way(text)
        if self._stream is not None:
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            shown = text if self._keep_controls else printable(text, lines=True)
            with self._remembering():
                self._stream.write(shown.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        if self._stream is not None:
            with self._remembering():
                self._stream.flush()

    def move_up(self, lines: int) -> None:
        """Go back over the last lines of a terminal and clear them, so that the next ones take their place."""
        if self._line is not None:
            self._line.give_way()
        if lines and self._stream is not None and self.isatty():
            with self._remembering():
                self._stream.write(f"\x1b[{lines}A\x1b[J")

    def isatty(self) -> bool:
        """Return true if a person is reading."""
        with suppress(ValueError):  # it was closed
            return self._stream is not None and self._stream.isatty()
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # a ValueError says that the stream was closed
            if isinstance(error, OSError) and error.errno not in (errno.EPIPE, errno.EBADF):
                self.failure = error
            assert self._stream is not None
            with suppress(OSError, ValueError):  # what is still buffered, up to the end of the process, goes nowhere
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)
            self._stream = None


class StatusLine:
    """Last line of a terminal, which gives way as soon as anything else is printed.

    Args:
        stream: Stream of the terminal; None shows nothing.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = Stream(stream, keep_controls=True)
        self._lock = threading.RLock()  # a thread shows the line, and another one prints
        self._is_shown, self._is_free = False, True
        self.last_print = time.monotonic()

    def show(self, text: str) -> None:
        """Show a text in place of the one that is shown, unless a line of something else has begun."""
        with self._lock:
            if self._is_free:
                self._stream.write(f"\r{text[: self._columns - 1]}\x1b[K")
                self._stream.flush()
                self._is_shown = True

    def give_way(self, text: str = "") -> None:
        """Remove the line, because a text is about to be printed.

        Args:
            text: Text; empty if nothing follows.
        """
        with self._lock:
            if self._is_shown:
                self._stream.write("\r\x1b[K")
                self._stream.flush()
            self._is_shown, self.last_print = False, time.monotonic()
            self._is_free = text.endswith(("\n", "\r")) if text else self._is_free

    @property
    def _columns(self) -> int:
        with suppress(OSError, ValueError):
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        return 80


@contextmanager
def safe_streams() -> Iterator[tuple[Stream, StatusLine]]:
    """Let everything that is printed pass through a `Stream`; yield that of standard output, and the last line of the terminal.

    A descriptor of standard input, output or error that the caller closed is opened on the null device first, so that no file
    of the program takes its number.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null == descriptor:
                os.set_inheritable(null, True)
            else:
                os.dup2(null, descriptor)
                os.close(null)
    before = sys.stdout, sys.stderr
    line = StatusLine(sys.stderr)
    out, err = Stream(sys.stdout, line=line), Stream(sys.stderr, keep_controls=True, line=line)
    sys.stdout, sys.stderr = out, err
    try:
        yield out, line
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before


def exit_code(code: int, out: Stream) -> int:
    """Return the exit code of a command that has printed its last word: 1 if it was 0 and part of the output is lost.

    A closed stream and a pipe whose reader has gone lose nothing. A full disk does, and one line on standard error says so.
    """
    out.flush()
    if out.failure is None:
        return code
    print(f"standard output could not be written: {out.failure.strerror}; the work itself is done", file=sys.stderr)
    return code or 1


def is_watched() -> bool:
    """Return true if a person reads standard error, who wants to see progress."""
    return Stream(sys.stderr).isatty()


def describe(error: Exception) -> str:
    """Return what an error says; that of the operating system with the file it is about."""
    if isinstance(error, OSError) and error.strerror:
        name = printable(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes | os.PathLike) else ""
        return f"{name}: {error.strerror}" if name else error.strerror
    return str(error) or type(error).__name__


def shell_word(path: str | os.PathLike[str]) -> str:
    r"""Return a path as one word to type in a shell, also if it has line breaks, odd bytes or a leading dash.

    Example:
        >>> shell_word("runs/a"), shell_word("my run"), shell_word("-a"), shell_word("a\nb")
        ('runs/a', "'my run'", './-a', "$'a\\x0ab'")
    """
    text = os.fspath(path)
    text = f"./{text}" if text.startswith("-") else text
    if printable(text) == text:
        return shlex.quote(text)
    characters = (f"\\x{byte:02x}" if byte < 32 or byte > 126 or byte in b"'\\" else chr(byte) for byte in os.fsencode(text))
    return f"$'{''.join(characters)}'"
