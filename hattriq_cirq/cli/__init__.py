"""The command line `hattriq`: train, attribute, calibrate, cost, show, report, demo; runs, resume, cancel, doctor.

Only the standard library is imported here: each command imports what it needs when it runs, so that help is instant.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

from hattriq_cirq.cli.parser import make_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: the words after `hattriq`; None takes those of the process.

    Returns:
        The exit code: 0 if all went well, 1 if a check failed, 2 for bad input or a run that stopped (one line on stderr),
        130 for Ctrl-C.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _show_warning
        try:
            chosen = make_parser().parse_args(arguments)
            code: int = chosen.command(chosen)
            sys.stdout.flush()
            return code
        except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except KeyboardInterrupt as error:
            _complain("; ".join(["interrupted", *_notes(error)]))
            return 130
        except _expected() as error:
            _complain("; ".join([f"error: {_describe(error)}", *_notes(error)]))
            return 2


def _expected() -> tuple[type[Exception], ...]:
    """What may go wrong without a defect of the program; engine errors only where engines were loaded."""
    known: tuple[type[Exception], ...] = (ValueError, OSError, ImportError, ArithmeticError)
    engines = sys.modules.get("hattriq_cirq.circuits.errors")
    return known if engines is None else (*known, engines.EngineError)


def _complain(text: str) -> None:
    print(f"hattriq: {' '.join(text.split())}", file=sys.stderr)


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _notes(error: BaseException) -> list[str]:
    """What to do, as those who saw the error pass by have added."""
    return getattr(error, "__notes__", [])


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    _complain(f"warning: {message}")
