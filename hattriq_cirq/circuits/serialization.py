"""Cirq objects from JSON text of files, with one error for everything that can be wrong with it."""

from __future__ import annotations

from typing import TypeVar

import cirq

from hattriq_cirq.foundation.reading import FileError
from hattriq_cirq.foundation.schema import parse_json

T = TypeVar("T")


def read_cirq_json(text: str, name: object, kind: type[T]) -> T:
    """Return the object that Cirq's JSON text describes.

    Args:
        text: JSON text.
        name: Name of the file in messages.
        kind: Type that the object must have.

    Raises:
        FileError: The text is no JSON, nothing that Cirq can read, or an object of another type.

    Example:
        >>> read_cirq_json(cirq.to_json(cirq.LineQubit(3)), "qubit.json", cirq.LineQubit)
        cirq.LineQubit(3)
    """
    parse_json(text, name)
    try:
        value = cirq.read_json(json_text=text)
    except Exception as error:  # a damaged description can make the constructor of any object fail, in any way
        raise FileError(name, f"Cirq cannot read it: {type(error).__name__}: {error}") from error
    if not isinstance(value, kind):
        raise FileError(name, f"it holds a value of type {type(value).__name__}, must be {kind.__name__}")
    return value
