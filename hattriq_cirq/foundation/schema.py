"""The one layer that reads records: every field of a JSON file is checked against a dataclass.

A kind of file declares its fields as a frozen dataclass, or as a TypedDict; `read_json` and `load` return it or raise
`FileError`, which names the file and the field. The sizes of files are bounded by `reading`.
"""

from __future__ import annotations

import json
import math
import os
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, NotRequired, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from hattriq_cirq._version import __version__
from hattriq_cirq.foundation.reading import FileError, read_bytes

T = TypeVar("T")

MAX_NESTING = 100  # levels of lists and objects in JSON
#: Advice for a file with parts that this version does not know.
UPDATE = f"a later version than {__version__} may have written the file: update hattriq_cirq to read it"


@dataclass(frozen=True)
class Range:
    """Bounds of a number in a file, for `Annotated`; both are included.

    Args:
        minimum: Smallest number.
        maximum: Largest number.
    """

    minimum: float
    maximum: float = 2**63 - 1


Count = Annotated[int, Range(0)]
Size = Annotated[int, Range(1)]


class _Mismatch(ValueError):
    """A value of the wrong type; `path` is filled on the way up."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem)
        self.problem, self.path = problem, path


def read_json(path: str | os.PathLike[str], kind: type[T]) -> T:
    """Return the content of a JSON file as a dataclass, or as another type that `load` knows.

    Raises:
        FileNotFoundError: The file does not exist.
        FileError: The file is no JSON, or one of its fields is missing, unknown or of another type.
    """
    return load(kind, parse_json(read_bytes(path), path), path)


def parse_json(text: bytes | str, name: object) -> Any:
    """Return the value of JSON text: of at most `MAX_NESTING` levels.

    Args:
        text: JSON text, in UTF-8.
        name: Name of the file in messages.

    Raises:
        FileError: The text is something else.
    """
    try:
        whole = text if isinstance(text, str) else text.decode()
        value = json.loads(whole)
        if whole.count("[") + whole.count("{") <= MAX_NESTING:
            return value
        level = [value]
        for _ in range(MAX_NESTING):
            level = [child for each in level for child in _children(each) if isinstance(child, dict | list)]
            if not level:
                return value
        raise RecursionError
    except RecursionError:
        raise FileError(name, f"it has more than {MAX_NESTING} levels of lists and objects") from None
    except ValueError as error:
        raise FileError(name, f"it is not JSON: {error}") from None


def _children(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def load(kind: type[T], value: object, name: object, field: str = "") -> T:
    """Return a JSON value as a type: a dataclass, a TypedDict, or an annotation made of these, lists, mappings and plain types.

    A field without a default must be there, an unknown field must not. `Annotated[int, Range(0)]` bounds a number, `Any` takes
    every JSON value. A bool is no number, and a float is finite.

    Args:
        kind: Type of the result.
        value: Value from `parse_json`.
        name: Name of the file in messages.
        field: Path of the value in the file, for messages; empty for the whole file.

    Raises:
        FileError: The value does not fit; the message names the field.

    Example:
        >>> load(dict[str, Count], {"shots": 20}, "run.json")
        {'shots': 20}
        >>> load(dict[str, Count], {"shots": -1}, "run.json")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        hattriq_cirq.foundation.reading.FileError: run.json: shots is -1, must be at least 0; restore the file from a copy, ...
    """
    try:
        return cast(T, _converter(cast(Any, kind))(value))
    except _Mismatch as error:
        raise FileError(name, f"{(field + error.path).removeprefix('.') or 'it'} {error.problem}") from None


def check_format(value: object, *known: str) -> None:
    """Raise ValueError unless the format that a file states is one of those that this version reads.

    Example:
        >>> check_format("hattriq_cirq.Run/1", "hattriq_cirq.Run/1")
    """
    if value not in known:
        raise ValueError(f"its format is {value!r}, this version reads {' and '.join(known)}{_advice(value, known)}")


def _advice(value: object, known: Sequence[object]) -> str:
    """Return advice for the format of a later version; nothing for another value."""
    kinds = {each.rpartition("/")[0] for each in known if isinstance(each, str) and each.startswith("hattriq_cirq.")}
    if not isinstance(value, str) or value.rpartition("/")[0] not in kinds:
        return ""
    return f"; {UPDATE}"


def _is(value: object, wanted: str) -> _Mismatch:
    """Return the error of a value that is not what is wanted; long values are shortened."""
    try:
        text = repr(value) if not isinstance(value, dict | list) else f"{'object' if isinstance(value, dict) else 'list'}"
    except ValueError:  # an integer of more digits than Python prints
        text = "a huge number"
    return _Mismatch(f"is {text if len(text) <= 60 else text[:57] + '...'}, must be {wanted}")


@cache
def _converter(kind: Any) -> Callable[[Any], Any]:
    """Return the function that checks a JSON value and returns it as a type."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if origin in (Annotated, NotRequired):
        return _in_ranges(_converter(parts[0]), [rule for rule in parts[1:] if isinstance(rule, Range)])
    if origin in (Union, types.UnionType):
        (other,) = (part for part in parts if part is not types.NoneType)
        convert = _converter(other)
        return lambda value: None if value is None else convert(value)
    if origin is Literal:
        return _one_of(parts)
    if origin is tuple and parts[1:] != (...,):
        return _fixed(tuple(map(_converter, parts)))
    if origin in (tuple, list, Sequence):
        return _items(_converter(parts[0]), tuple if origin is tuple else list)
    if origin in (dict, Mapping):
        return _named(_converter(parts[1]))
    return _record(kind)


def _text(value: object) -> str:
    if type(value) is not str:
        raise _is(value, "a text")
    return value


def _truth(value: object) -> bool:
    if type(value) is not bool:
        raise _is(value, "true or false")
    return value


def _integer(value: object) -> int:
    if type(value) is not int:
        raise _is(value, "a whole number")
    return value


def _number(value: object) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is not int or abs(value) > sys.float_info.max:
        raise _is(value, "a finite number")
    return float(value)


def _anything(value: object) -> object:
    return value


_SCALARS: dict[Any, Callable[[Any], Any]] = {Any: _anything, str: _text, bool: _truth, int: _integer, float: _number}


def _in_ranges(convert: Callable[[Any], Any], ranges: Sequence[Range]) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        number = convert(value)
        for each in ranges:
            if number is not None and not each.minimum <= number <= each.maximum:
                bound = f"least {each.minimum}" if number < each.minimum else f"most {each.maximum}"
                raise _is(value, f"at {bound}")
        return number

    return checked


def _one_of(values: tuple[Any, ...]) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        if not any(type(value) is type(each) and value == each for each in values):
            raise _is(value, " or ".join(map(repr, values)) + _advice(value, values))
        return value

    return checked


def _items(convert: Callable[[Any], Any], kind: type) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        if type(value) is not list:
            raise _is(value, "a list")
        try:
            return kind(map(convert, value))
        except _Mismatch:  # the slow way names the item
            return kind(_at(convert, item, f"[{i}]") for i, item in enumerate(value))

    return checked


def _fixed(converts: tuple[Callable[[Any], Any], ...]) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        if type(value) is not list or len(value) != len(converts):
            raise _is(value, f"a list of {len(converts)}")
        pairs = list(zip(converts, value, strict=True))
        try:
            return tuple([convert(item) for convert, item in pairs])
        except _Mismatch:
            return tuple(_at(convert, item, f"[{i}]") for i, (convert, item) in enumerate(pairs))

    return checked


def _named(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        if type(value) is not dict:
            raise _is(value, "an object")
        return {name: _at(convert, item, f".{name}") for name, item in value.items()}

    return checked


def _at(convert: Callable[[Any], Any], value: Any, step: str) -> Any:
    try:
        return convert(value)
    except _Mismatch as error:
        raise _Mismatch(error.problem, step + error.path) from None


def _record(kind: type) -> Callable[[Any], Any]:
    """Return the check of an object that becomes a dataclass, or stays a dictionary of the type of a TypedDict."""
    hints = get_type_hints(kind, include_extras=True)
    if is_dataclass(kind):
        known = [each.name for each in fields(kind) if each.init]
        optional = {each.name for each in fields(kind) if (each.default, each.default_factory) != (MISSING, MISSING)}
    else:
        known, optional = list(hints), {name for name, hint in hints.items() if get_origin(hint) is NotRequired}
    converts = {name: _converter(hints[name]) for name in known}
    required = converts.keys() - optional

    def checked(value: Any) -> Any:
        if type(value) is not dict:
            raise _is(value, "an object")
        if "format" in converts and "format" in value:  # that of a later version explains all other differences
            _at(converts["format"], value["format"], ".format")
        for name in sorted(required - value.keys()):
            raise _Mismatch("is missing", f".{name}")
        for name in sorted(value.keys() - converts.keys()):
            raise _Mismatch(f"is a field that this version does not know; {UPDATE}", f".{name}")
        content = {name: _at(converts[name], item, f".{name}") for name, item in value.items()}
        try:
            return kind(**content)
        except ValueError as error:
            raise _Mismatch(f"cannot be used: {error}") from None

    return checked
