"""Argument parsers generated from the settings dataclasses of commands and their docstrings.

Only the standard library and modules of the ground floor are imported, so that `hattriq --help` appears at once.
"""

from __future__ import annotations

import argparse
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from inspect import cleandoc
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, NoReturn, Protocol, Union, get_args, get_origin, get_type_hints

from hattriq_cirq.foundation.text import DECIMAL


def parse_seed(text: str) -> int:
    """Return the seed that a text names. Raise ArgumentTypeError for anything but digits."""
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} must be a non-negative whole number, such as 0")
    return int(text)


def parse_int(text: str) -> int:
    """Return the whole number that a text of ASCII digits names; Python's underscores and other digits are refused."""
    if not re.fullmatch(r"[+-]?[0-9]{1,30}", text):
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def parse_text(text: str) -> str:
    """Return a text. Raise ArgumentTypeError for an empty one, which an unset variable of the shell leaves."""
    if not text:
        raise argparse.ArgumentTypeError("the text is empty; is a variable of the shell not set?")
    return text


def parse_float(text: str) -> float:
    """Return the number that a text of ASCII digits names, infinity and NaN included, which the command refuses itself."""
    if not re.fullmatch(f"[+-]?(?:{DECIMAL}|inf|nan)", text):
        raise ValueError(f"{text!r} is no number")
    return float(text)


_PARSERS = {int: parse_int, float: parse_float}
parse_int.__name__, parse_float.__name__ = "int", "float"  # argparse shows the name: invalid int value: '1_1'
#: Type of a field that holds a seed; the function in `Annotated` reads the text of any such option.
Seed = Annotated[int, parse_seed]


class Command(Protocol):
    """Settings dataclass of one command.

    Fields before `KW_ONLY` are positional arguments and fields after it are options. The docstring is the help text: one
    summary line, a description, one entry `name (METAVAR): Text.` per field under `Args:`, and lines to type under `Examples:`.
    Fields that a command inherits are described in the class that defines them, and stand at the end of the help.
    A field with the metadata `{"alias": NAME}` has a second option `--NAME`, which has an entry of its own; one with
    `{"former": NAME}` as well, and the use of that option gives a warning. A positional field with `{"rest": True}` takes all
    words that follow, which the command parses itself.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def run(self) -> int:
        """Run the command and return its exit code."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see {self.prog} --help")


class _Former(argparse.Action):
    """Option under its former name."""

    def __call__(self, parser: object, namespace: argparse.Namespace, values: object, option: str | None = None) -> None:
        warnings.warn(f"{option} is deprecated; use --{self.dest.replace('_', '-')}", FutureWarning, stacklevel=2)
        setattr(namespace, self.dest, values)


def make_parser(commands: Sequence[type[Command]], prog: str, version: str, help_text: str) -> argparse.ArgumentParser:
    """Return a parser with one subparser per command.

    Args:
        commands: Settings dataclasses; a command is called like its class, in lower case.
        prog: Name of the program.
        version: Text that `--version` prints.
        help_text: Description of the program, with the lines to type under `Examples:`.

    Returns:
        The parser; its result holds the class as `command`, one value per field, and `verbose`.
    """
    parser = _Parser(prog=prog, **_help(help_text))
    parser.add_argument("--version", action="version", version=version)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in commands:
        text = "\n\n".join([cleandoc(command.__doc__ or ""), *getattr(command, "help_lists", ())])
        summary = text.partition("\n")[0].replace("%", "%%")
        subparser = subparsers.add_parser(command.__name__.lower(), help=summary, **_help(text))
        subparser.set_defaults(command=command)
        hints, entries = get_type_hints(command, include_extras=True), dict(_entries(text))
        shared = [base for base in command.__mro__[1:] if is_dataclass(base)]
        for base in shared:
            entries |= dict(_entries(cleandoc(base.__doc__ or "")))
        inherited = {field.name for base in shared for field in fields(base)}
        for field in sorted(fields(command), key=lambda field: field.name in inherited):
            _add_field(subparser, field, hints[field.name], entries)
        subparser.add_argument("--verbose", action="store_true", help="Print on stderr what the command does.")
    return parser


def _help(text: str) -> dict[str, Any]:
    """Return a text without its sections as description, and its `Examples:` section as epilog."""
    parts = re.split(r"^(Args|Examples):\n((?:(?: +.*)?(?:\n|$))+)", text, flags=re.MULTILINE)
    lines = [" ".join(line.split()) for line in parts[parts.index("Examples") + 1].splitlines() if line.strip()]
    return {
        "description": "\n\n".join(part.strip() for part in parts[::3] if part.strip()),
        "epilog": "\n  ".join(["examples:", *lines]),
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "allow_abbrev": False,
    }


def _entries(text: str) -> Iterator[tuple[str, tuple[str | None, str]]]:
    """Yield the name, the metavar and the help text of each entry under `Args:`."""
    for name, metavar, entry in re.findall(r"^    (\w+)(?: \((\S+)\))?: (.+(?:\n     +.+)*)", text, flags=re.MULTILINE):
        yield name, (metavar or None, " ".join(entry.split()).replace("%", "%%"))


def _add_field(
    parser: argparse.ArgumentParser, field: Field[Any], hint: Any, entries: dict[str, tuple[str | None, str]]
) -> None:
    options = _options(hint)
    metavar, text = entries[field.name]
    if options.get("type") is str and field.default != "":
        options["type"] = parse_text
    if field.default is not MISSING:
        options |= {"default": field.default} if field.kw_only else {"default": field.default, "nargs": "?"}
        if field.default not in (None, "") and hint is not bool:
            text = f"{text.removesuffix('.')} (default: %(default)s)."
    if field.metadata.get("rest"):
        options = {"nargs": argparse.REMAINDER, "default": []}
    if not field.kw_only:
        parser.add_argument(field.name, metavar=metavar, help=text, **options)
        return
    flag = f"--{field.name.replace('_', '-')}"
    former = field.metadata.get("former")
    if alias := field.metadata.get("alias", former):
        group = parser.add_mutually_exclusive_group()
        group.add_argument(flag, metavar=metavar, help=text, **options)
        metavar, text = entries[alias]
        options |= {"default": argparse.SUPPRESS} | ({"action": _Former} if former else {})
        group.add_argument(f"--{alias}", dest=field.name, metavar=metavar, help=text, **options)
    elif "action" in options:
        parser.add_argument(flag, help=text, **options)
    else:
        parser.add_argument(flag, metavar=metavar, help=text, required=field.default is MISSING, **options)


def _options(hint: Any) -> dict[str, Any]:
    """Return the options of `add_argument` that follow from the type of a field."""
    if get_origin(hint) is Annotated:
        return {"type": get_args(hint)[1]}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if get_origin(hint) is tuple:
        return {"nargs": "+", **_options(get_args(hint)[0])}
    if get_origin(hint) in (Union, UnionType):  # an optional Literal is a Union
        (hint,) = (each for each in get_args(hint) if each is not NoneType)
        return _options(hint)
    return {"action": "store_true"} if hint is bool else {"type": _PARSERS.get(hint, hint)}
