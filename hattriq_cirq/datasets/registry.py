"""Data sets from a short text, as used by the command line and by experiments."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from hattriq_cirq.datasets.generated import bars_and_stripes, planted_pixel, xor_pixels
from hattriq_cirq.datasets.images import digits, fashion_mnist, mnist, mnist_idx
from hattriq_cirq.datasets.tfim import tfim
from hattriq_cirq.datasets.user import read_table
from hattriq_cirq.datasets.value import Dataset

_FUNCTIONS = (bars_and_stripes, digits, fashion_mnist, mnist, mnist_idx, planted_pixel, tfim, xor_pixels)
_BUILDERS: dict[str, Callable[..., Dataset]] = {function.__name__: function for function in _FUNCTIONS}
#: Names of the data sets that `load` can create.
NAMES: tuple[str, ...] = tuple(_BUILDERS)


def load(name: str) -> Dataset:
    """Return the data set that a text describes: "name" or "name:option=value,option=value".

    A slash separates the numbers of a tuple: "mnist:pair=3/5,size=16", "tfim:g_range=0.5/1.5". "digits:0,1" is short for
    "digits:pair=0/1". A path that ends in .csv or .npz is the user's own table: "my/data.csv" or
    "my/data.csv:label_column=y,seed=1".

    Args:
        name: One of NAMES or a path, and options by the argument names of the function that creates the data set.

    Returns:
        The data set.

    Raises:
        ValueError: The name or an option is unknown, or a value has the wrong type; the message lists the possibilities.

    Example:
        >>> load("planted_pixel:n_qubits=2,pixel=3").name
        'planted_pixel 3'
    """
    is_path = name.lower().endswith((".csv", ".npz")) and name.partition(":")[0] not in _BUILDERS
    key, _, text = (name, "", "") if is_path else name.partition(":")
    if key in _BUILDERS:
        return _BUILDERS[key](**_options(_BUILDERS[key], key, text))
    if key.lower().endswith((".csv", ".npz")):
        return read_table(key, **_options(read_table, key, text, given="path"))
    raise ValueError(f"{name=} is not a data set; choose one of {', '.join(NAMES)}, or a path to a .csv or .npz")


def _options(builder: Callable[..., Dataset], key: str, text: str, given: str = "") -> dict[str, Any]:
    """Parse "option=value,..." by the argument names and types of a function."""
    arguments = {name: argument for name, argument in signature(builder).parameters.items() if name != given}
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
    """Return text as a value of an annotated type: a number, a tuple with slashes, "none", or the text itself."""
    members = get_args(hint)
    if get_origin(hint) is tuple:
        parts = text.split("/")
        if len(parts) != len(members):
            raise ValueError(f"{text!r} must be {len(members)} values separated by a slash, such as 3/5")
        return tuple(_parse(member, part) for member, part in zip(members, parts, strict=True))
    if NoneType in members:
        return None if text.lower() == "none" else _parse(members[0], text)
    if hint in (int, float):
        try:
            if "_" in text or not text.isascii():
                raise ValueError(text)
            return hint(text)
        except ValueError as error:
            raise ValueError(f"{text!r} must be {'a whole number' if hint is int else 'a number'}") from error
    return text
