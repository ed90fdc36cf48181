"""Arguments of a function from a short text, "option=value,option=value"."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

_TRUTH = {"yes": True, "true": True, "no": False, "false": False}


def parse_options(builder: Callable[..., Any], key: str, text: str, *given: str) -> dict[str, Any]:
    """Parse "option=value,..." by the argument names and types of a function.

    Args:
        builder: Function whose arguments are the options.
        key: Name that stands before the options, for messages.
        text: Options; a slash separates the numbers of a tuple.
        given: Names of arguments that are no options.

    Returns:
        Arguments by name.

    Raises:
        ValueError: An option is unknown, repeated or missing, or its value has the wrong type.

    Example:
        >>> def ring(n: int, layers: int = 2) -> None: ...
        >>> parse_options(ring, "ring", "n=3")
        {'n': 3}
    """
    arguments = {name: argument for name, argument in signature(builder).parameters.items() if name not in given}
    listed, hints = f"options: {', '.join(arguments)}", get_type_hints(builder)
    items = [item.strip() for item in text.split(",") if item.strip()]
    bare = [item for item in items if "=" not in item]
    if bare and "pair" in arguments:
        items = [item for item in items if "=" in item] + [f"pair={'/'.join(bare)}"]
    options: dict[str, Any] = {}
    for item in items:
        option, equals, value = item.partition("=")
        if not equals or option not in arguments or option in options:
            raise ValueError(f"{item!r} is not an option=value of {key}, or is repeated; {listed}")
        try:
            options[option] = _parse(hints[option], value)
        except ValueError as error:
            raise ValueError(f"{item!r} of {key}: {error}") from error
    missing = [name for name, each in arguments.items() if each.default is each.empty and name not in options]
    if missing:
        raise ValueError(f"{key} needs {', '.join(missing)}, as in {key}:{missing[0]}=...; {listed}")
    return options


def _parse(hint: Any, text: str) -> Any:
    """Return text as a value of an annotated type: a number, yes or no, a tuple with slashes, "none", or the text itself."""
    members = get_args(hint)
    if get_origin(hint) is tuple:
        parts = text.split("/")
        if members[1:] == (...,):
            return tuple(_parse(members[0], part) for part in parts)
        if len(parts) != len(members):
            raise ValueError(f"{text!r} must be {len(members)} values separated by a slash, such as 3/5")
        return tuple(_parse(member, part) for member, part in zip(members, parts, strict=True))
    if NoneType in members:
        return None if text.lower() == "none" else _parse(members[0], text)
    if hint is bool:
        if text.lower() not in _TRUTH:
            raise ValueError(f"{text!r} must be yes or no")
        return _TRUTH[text.lower()]
    if hint in (int, float):
        try:
            if "_" in text or not text.isascii():
                raise ValueError(text)
            return hint(text)
        except ValueError as error:
            raise ValueError(f"{text!r} must be {'a whole number' if hint is int else 'a number'}") from error
    return text
