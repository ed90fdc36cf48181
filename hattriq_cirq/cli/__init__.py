"""The command line `hattriq`: one file per command in `commands`.

Each command imports the library only when it runs, so that help appears at once.
"""

from __future__ import annotations

import atexit
import gc
import logging
import sys
import warnings
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from functools import cache

from hattriq_cirq._version import __version__
from hattriq_cirq.cli.arguments import Command, make_parser
from hattriq_cirq.cli.commands import (
    attribute,
    calibrate,
    cancel,
    cost,
    demo,
    doctor,
    explain,
    gradient,
    learn,
    processors,
    report,
    resume,
    runs,
    show,
    snapshot,
    study,
    train,
)
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.progress import print_beside_bars, progress_bars
from hattriq_cirq.foundation.pulse import pulse
from hattriq_cirq.foundation.terminal import describe, exit_code, is_watched, safe_streams

_COMMANDS: tuple[type[Command], ...] = (
    *(
        train.Train,
        attribute.Attribute,
        gradient.Gradient,
        explain.Explain,
        learn.Learn,
        calibrate.Calibrate,
        cost.Cost,
        show.Show,
        report.Report,
        demo.Demo,
    ),
    *(runs.Runs, resume.Resume, cancel.Cancel, doctor.Doctor, processors.Processors, snapshot.Snapshot),
    study.Study,
)

_HELP = """Input attribution of amplitude-encoded quantum models by integrated gradients.

Examples:
    hattriq demo --out demo
    hattriq train digits:pair=0/1 --out runs/digits
    hattriq doctor
    hattriq COMMAND --help
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Printing never stops the work: a stream that is closed, and a pipe whose reader has gone, take nothing more.

    Args:
        arguments: Words after `hattriq`; None takes those of the process.

    Returns:
        The exit code: 0 for success, 1 if a check failed or the output did not fit on the disk, 2 for bad input or a run that
        stopped (one line on stderr), 130 for Ctrl-C.
    """
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)  # the end of the process does not search all modules for garbage, which takes half a second
    with safe_streams() as (out, line), pulse(line), warnings.catch_warnings(), progress_bars(is_watched()):
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("always", FutureWarning)  # of former options
        warnings.showwarning = lambda message, *_, **__: _print_error(f"warning: {message}")
        try:
            command, verbose = _parse(arguments)
            with _printed_log() if verbose else nullcontext():
                return exit_code(command.run(), out)
        except KeyboardInterrupt as error:
            _print_error("; ".join(["interrupted", *_notes(error)]))
            return 130
        except _expected_errors() as error:
            _print_error("; ".join([f"error: {describe(error)}", *_notes(error)]))
            return 2


@cache
def command_line_parser() -> ArgumentParser:
    """Return the parser of `hattriq`, with a subparser for each command, made once in a process."""
    return make_parser(_COMMANDS, "hattriq", f"hattriq {__version__}", _HELP)


def parse(arguments: Sequence[str] | None = None) -> Command:
    """Return the settings of the command that the words after `hattriq` name.

    Raises:
        ValueError: The words are not a command of the program.
    """
    return _parse(arguments)[0]


def _parse(arguments: Sequence[str] | None) -> tuple[Command, bool]:
    """Return the command that the words name, and true if its log is to be printed."""
    values = vars(command_line_parser().parse_args(arguments))
    command: type[Command] = values.pop("command")
    verbose: bool = values.pop("verbose")
    return command(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}), verbose


@contextmanager
def _printed_log() -> Iterator[None]:
    """Print on standard error what the library logs, beside the progress bars."""
    logger, handler = logging.getLogger("hattriq_cirq"), _Printer()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


class _Printer(logging.Handler):
    """Handler that prints sentences on standard error without breaking a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a sentence with its time."""
        at = f"{datetime.fromtimestamp(record.created):%H:%M:%S}"
        print_beside_bars(f"{at} {printable(record.getMessage())}")


def _expected_errors() -> tuple[type[Exception], ...]:
    """Return the errors that are no defect of the program; engine errors only if engines were imported."""
    expected: tuple[type[Exception], ...] = (ValueError, OSError, ImportError, ArithmeticError)
    errors = sys.modules.get("hattriq_cirq.circuits.errors")
    return expected if errors is None else (*expected, errors.EngineError)


def _print_error(text: str) -> None:
    print_beside_bars(f"hattriq: {printable(' '.join(text.split()))}")


def _notes(error: BaseException) -> list[str]:
    """Return the advice that was added to an error on its way up."""
    return getattr(error, "__notes__", [])
