"""Pieces that all commands of the command line share; only the standard library is imported."""

from __future__ import annotations

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser whose errors go the way of all others."""

    def error(self, message: str) -> NoReturn:
        """Raises what is wrong with the words of a command line."""
        raise ValueError(f"{message}; see {self.prog} --help")


def add_command(
    commands: argparse._SubParsersAction[Parser], name: str, summary: str, description: str, examples: str
) -> argparse.ArgumentParser:
    """A command of the program, with a line for the list of commands, a description and examples."""
    return commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def seed(text: str) -> int:
    """A seed from its text."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} must be a non-negative whole number, such as 0")
    return int(text)
