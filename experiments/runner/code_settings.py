"""The constants that decide the results of a function: they stand in modules and not in tasks."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

_PACKAGE = "experiments."
_JUDGED_APART = ("SUBJECTS", "FASHION")  # the settings of models are part of the identity of a task; data have checksums


def code_settings(function: Callable[..., Any]) -> Mapping[str, Any]:
    """Return the constants that a function of a study reaches, by the path of their names.

    Constants are upper-case names of modules of the studies whose values JSON can hold; they are looked for in the function, in
    the functions and classes that it names, and so on.

    Example:
        >>> from experiments.runner.faithfulness_metrics import evaluate_maps
        >>> code_settings(evaluate_maps)["experiments.runner.faithfulness_metrics.SUBSETS"]
        64
    """
    found: dict[str, str] = {}
    waiting: list[object] = [function]
    seen: set[int] = set()
    while waiting:
        value = inspect.unwrap(waiting.pop())  # type: ignore[arg-type]
        if id(value) in seen or not getattr(value, "__module__", "").startswith(_PACKAGE):
            continue
        seen.add(id(value))
        for reached in _functions(value):
            for path, other in _globals(reached):
                name = path.rpartition(".")[2]
                text = _json(other) if name.strip("_").isupper() and name not in _JUDGED_APART else None
                if text is not None:
                    found[path] = text
                elif isinstance(other, FunctionType | type) or hasattr(other, "__wrapped__"):
                    waiting.append(other)
    return {path: json.loads(found[path]) for path in sorted(found)}


def code_settings_digest(function: Callable[..., Any]) -> str | None:
    """Return eight hexadecimal digits that change with the constants that a function reaches; None if there are none."""
    settings = code_settings(function)
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:8] if settings else None


def _functions(value: object) -> list[FunctionType]:
    """Return a function, or the methods of a class and the functions of its properties."""
    members = vars(value).values() if isinstance(value, type) else [value]
    unwrapped = [
        getattr(each, "fget", None) or getattr(each, "func", None) or getattr(each, "__func__", each) for each in members
    ]
    return [each for each in unwrapped if isinstance(each, FunctionType)]


def _globals(function: FunctionType) -> Iterator[tuple[str, object]]:
    """Yield the path and the value of each global name in a function, and of each name of a module of the studies."""
    names, module = set(_names(function.__code__)), function.__module__
    for name in names & function.__globals__.keys():
        value = function.__globals__[name]
        if isinstance(value, ModuleType):
            yield from ((f"{value.__name__}.{each}", vars(value)[each]) for each in names & vars(value).keys())
        else:
            yield f"{module}.{name}", value


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _json(value: object) -> str | None:
    """Return a value as JSON, dataclasses by their fields; None if JSON cannot hold it."""
    try:
        return json.dumps(value, default=_record, sort_keys=True)
    except (TypeError, ValueError):
        return None


def _record(value: object) -> dict[str, Any]:
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"{value!r} is no dataclass")
    given = {each.name: getattr(value, each.name) for each in fields(value)}
    defaults = {each.name: each.default for each in fields(value)}
    return {"type": type(value).__qualname__} | {name: each for name, each in given.items() if each != defaults[name]}
