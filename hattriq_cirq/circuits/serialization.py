"""Cirq objects from JSON text of files, with one error for everything that can be wrong with it."""

from __future__ import annotations

import json
from math import inf
from typing import TypeVar

import cirq

from hattriq_cirq.foundation.checks import shown
from hattriq_cirq.foundation.reading import FileError, problem_of
from hattriq_cirq.foundation.schema import parse_json

T = TypeVar("T")
_LARGEST = 10**6  # integers, and numbers of repetitions of nested circuits
_OTHERS = {"n_qubits": 8} | dict.fromkeys(("", "x", "row", "col", "picos", "i", "p", "q"), inf)  # limits of other fields
_EXPONENT = 100  # of a power of constants, which SymPy evaluates
_POWERS = 3  # levels of such powers


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
    try:
        _check_sizes(parse_json(text, name))
    except ValueError as error:
        raise FileError(name, problem_of(error)) from error
    try:
        value = cirq.read_json(json_text=text)
    except Exception as error:  # a damaged description can make the constructor of any object fail, in any way
        raise FileError(name, f"Cirq cannot read it: {type(error).__name__}: {error}") from error
    if not isinstance(value, kind):
        raise FileError(name, f"it holds a value of type {type(value).__name__}, must be {kind.__name__}")
    return value


def _check_sizes(value: object, field: str = "", limit: float = 0, powers: int = 0, repeats: int = 1) -> None:
    """Raise ValueError for integers from which Cirq or SymPy would make something that takes all memory or time.

    Args:
        value: Part of the JSON.
        field: Name of the field of a Cirq object that it is in; empty elsewhere.
        limit: Largest integer; 0 for that of the field.
        powers: Number of powers of constants that it is in.
        repeats: Number of times that the circuit around it is repeated.
    """
    if isinstance(value, dict):
        repetitions = value.get("repetitions")
        repeats *= abs(repetitions) if isinstance(repetitions, int) else 1
        if repeats > _LARGEST:
            raise ValueError(f"it repeats a circuit more than {_LARGEST:,} times")
        if value.get("cirq_type") == "sympy.Pow" and "sympy.Symbol" not in (text := json.dumps(value)):
            powers += 1
            arguments = value.get("args")
            exponent = arguments[1:] if isinstance(arguments, list) else arguments
            if powers > _POWERS or json.dumps(exponent).count("cirq_type") > 1:
                raise ValueError(f"the power {shown(text)} is not evaluated")
            _check_sizes(exponent, "exponent", _EXPONENT)
        for name, part in value.items():
            _check_sizes(part, name if "cirq_type" in value else "", limit, powers, repeats)
    elif isinstance(value, list):
        for part in value:
            _check_sizes(part, field, limit, powers, repeats)
    elif isinstance(value, int) and abs(value) > (largest := limit or _OTHERS.get(field, _LARGEST)):
        raise ValueError(f"{field or 'a value'} is {shown(value)}, must be at most {largest:,}")
