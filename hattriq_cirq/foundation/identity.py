"""Identity by content: a digest of any value that is equal in every process for equal values, and differs for others."""

from __future__ import annotations

import dis
import enum
import functools
import random
import struct
import sys
import sysconfig
from collections.abc import Callable, Iterable, KeysView, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import BuiltinFunctionType, CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any

import numpy as np

#: Packages whose classes and functions are known by their names, whatever version is installed.
_NAMED_PACKAGES = {"hattriq_cirq", "calibration", "experiments"}
#: Attributes in which Cirq keeps results of methods that were called; whether they were is no part of the content.
_CACHE_PREFIX = "_method_cache_"
#: Streams of random numbers; which numbers were drawn already is no part of the content.
STREAMS = np.random.Generator | np.random.RandomState | np.random.BitGenerator | random.Random
_IGNORED_IN_CLASSES = {
    "__dict__",
    "__weakref__",
    "__doc__",
    "__module__",
    "__annotations__",
    "__abstractmethods__",
    "_abc_impl",
} | {
    "__firstlineno__",
    "__static_attributes__",
}


class IncomparableError(TypeError):
    """A value, such as an open file or a connection, has no content that could be compared."""


def content_digest(value: object) -> str | None:
    """Return a digest of the content of a value, the same in every process; None if it cannot be compared.

    Values of Cirq are known by their JSON or by what Cirq compares, others by what pickle would store, never by their `repr`.
    The order of sets and dictionaries, results that an object has cached, and the position of a random generator in its stream
    do not matter. A class or function of an installed package is known by its name; any other, such as one of a notebook or a
    script, by its name, its compiled code and the variables that the code refers to, so that its digest holds for one minor
    version of Python.

    Args:
        value: Any value, such as a noise model, a sampler or a calibration.

    Returns:
        SHA-256 digest in hexadecimal; None if the value holds something that has no content, such as an open file.

    Example:
        >>> import cirq
        >>> content_digest(cirq.depolarize(0.01)) == content_digest(cirq.depolarize(np.float64(0.01)))
        True
        >>> content_digest(cirq.depolarize(0.01)) == content_digest(cirq.depolarize(0.2))
        False
        >>> print(content_digest(number for number in [1]))
        None
    """
    try:
        return _Walk().digest(value).hex()
    except (IncomparableError, RecursionError):
        return None


def describe_content(value: object) -> str:
    """Return the text that stands for a value in records: its `repr`, or its type if the `repr` holds a memory address.

    Example:
        >>> describe_content(1.5), describe_content(object())
        ('1.5', 'builtins.object')
    """
    try:
        text = repr(value)
    except Exception:  # a repr of the user's may fail in any way
        text = " at 0x"
    return f"{type(value).__module__}.{type(value).__qualname__}" if " at 0x" in text else text


@dataclass
class _Walk:
    """One walk through a value.

    Args:
        finished: Digests of walked objects by their addresses, with the objects, so that no other takes the address.
        open: Positions of the objects whose walk has begun, by their addresses; a cycle ends at them.
    """

    finished: dict[int, tuple[bytes, object]] = field(default_factory=dict)
    open: dict[int, int] = field(default_factory=dict)

    def digest(self, value: object) -> bytes:
        """Return the digest of a value of any type."""
        plain = _plain_bytes(value)
        if plain is not None:
            return _hash(type(value).__name__.encode(), plain)
        if id(value) in self.finished:
            return self.finished[id(value)][0]
        if id(value) in self.open:
            return _hash(b"cycle", str(self.open[id(value)]).encode())
        self.open[id(value)] = len(self.open)
        digest = self._compound(value)
        del self.open[id(value)]
        self.finished[id(value)] = digest, value
        return digest

    def _all(self, label: str, parts: Iterable[object]) -> bytes:
        return _hash(label.encode(), *map(self.digest, parts))

    def _unordered(self, label: str, parts: Iterable[object]) -> bytes:
        """Return a digest that does not depend on the order; every part is walked on its own."""
        return _hash(label.encode(), *sorted(_Walk().digest(part) for part in parts))

    def _mapping(self, label: str, mapping: Mapping[Any, Any]) -> bytes:
        keyed = sorted(((_Walk().digest(key), value) for key, value in mapping.items()), key=lambda pair: pair[0])
        return _hash(label.encode(), *(part for key, value in keyed for part in (key, self.digest(value))))

    def _compound(self, value: Any) -> bytes:
        """Return the digest of a value with parts."""
        walks: tuple[tuple[Any, Callable[[], bytes]], ...] = (
            (np.generic, lambda: self.digest(value.item())),
            (np.ndarray, lambda: self._array(value)),
            (set | frozenset | KeysView, lambda: self._unordered("set", value)),
            (STREAMS, lambda: _hash(b"stream", _name(type(value)))),
            (ModuleType, lambda: _hash(b"module", value.__name__.encode())),
            (CodeType, lambda: self._code(value)),
            (type, lambda: self._class(value)),
        )
        for kinds, walk in walks:
            if isinstance(value, kinds):
                return walk()
        if type(value) in (tuple, list):
            return self._all(type(value).__name__, value)
        if type(value) in (dict, MappingProxyType):
            return self._mapping("dict", value)
        return self._function(value) if _is_function(value) else self._object(value)

    def _array(self, array: np.ndarray[Any, Any]) -> bytes:
        if array.dtype.hasobject:
            return self._all(f"objects{array.shape}", array.reshape(-1).tolist())
        contiguous = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
        return _hash(b"array", str(contiguous.dtype.str).encode(), str(array.shape).encode(), contiguous.tobytes())

    def _class(self, kind: type) -> bytes:
        """Return the digest of a class: its name, and its code if it belongs to no installed package."""
        if _is_installed(kind.__module__):
            return _hash(b"class", _name(kind))
        content = {
            name: item
            for name, item in vars(kind).items()
            if name not in _IGNORED_IN_CLASSES and not type(item).__name__.endswith("_descriptor")
        }
        return _hash(b"class", _name(kind), self._all("bases", kind.__bases__), self._mapping("members", content))

    def _function(self, function: Any) -> bytes:
        """Return the digest of a function: its name, and its code if it belongs to no installed package."""
        if isinstance(function, MethodType):
            return self._all("method", (function.__self__, function.__func__))
        if isinstance(function, functools.partial):
            return self._all("partial", (function.func, function.args, function.keywords))
        if isinstance(function, BuiltinFunctionType) and not isinstance(function.__self__, ModuleType | type | None):
            return self._all("builtin", (function.__self__, function.__name__))
        wrapped = getattr(function, "__wrapped__", None)
        if not isinstance(function, FunctionType):
            return _hash(b"function", _name(function)) if wrapped is None else self._all("wrapped", (wrapped,))
        name = _name(function)
        if _is_installed(function.__module__ or "") and b"<" not in name:
            return _hash(b"function", name)
        code = function.__code__
        cells = dict(zip(code.co_freevars, map(_content_of_cell, function.__closure__ or ()), strict=True))
        used = _used({**function.__globals__, **cells}, _names_in(code) | cells.keys(), _attributes_in(code))
        parts = (code, function.__defaults__, function.__kwdefaults__, used)
        return _hash(b"function", name, self._all("parts", parts))

    def _code(self, code: CodeType) -> bytes:
        flags = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
        names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
        version = sys.version_info[:2]  # other versions compile the same text to other code
        return self._all("code", (version, code.co_code, code.co_consts, flags, names))

    def _object(self, value: Any) -> bytes:
        """Return the digest of an object: its Cirq JSON where its own class defines one, otherwise what pickle would store."""
        kind = type(value)
        if isinstance(value, enum.Enum):
            return self._all("enum", (kind, value.name, value.value))
        if isinstance(value, property | classmethod | staticmethod | functools.cached_property):
            parts = ("fget", "fset", "fdel", "__func__", "func")
            return self._all(kind.__name__, [getattr(value, part, None) for part in parts])
        if (content := _cirq_content(value)) is not None:
            return self._all("cirq", (kind, content))
        try:
            stored = value.__reduce_ex__(4)
        except Exception as error:
            raise IncomparableError(f"{kind.__qualname__} cannot be pickled: {error}") from error
        if isinstance(stored, str):
            return _hash(b"global", _name(kind), stored.encode())
        function, arguments, state, items, pairs = (*stored, None, None, None)[:5]
        if isinstance(state, dict):
            state = _without_caches(kind, state) or None  # as for an object without attributes
        return self._all("object", [kind, function, arguments, state, list(items or ()), dict(pairs or ())])


def _plain_bytes(value: object) -> bytes | None:
    """Return the content of a value without parts; None for any other."""
    if value is None or value is Ellipsis or value is NotImplemented or isinstance(value, bool):
        return repr(value).encode()
    kind = type(value)
    if kind is int:
        return str(value).encode()
    if kind is float:
        return struct.pack("<d", value)
    if kind is complex:
        return struct.pack("<dd", value.real, value.imag)  # type: ignore[attr-defined]
    if kind is str:
        return value.encode("utf-8", "surrogatepass")  # type: ignore[attr-defined,no-any-return]
    return bytes(value) if kind in (bytes, bytearray) else None  # type: ignore[call-overload]


def _hash(label: bytes, *parts: bytes) -> bytes:
    """Return the digest of parts, each with its length, so that no two lists of parts look alike."""
    digest = sha256()
    for part in (label, *parts):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.digest()


def _name(thing: Any) -> bytes:
    return f"{getattr(thing, '__module__', None)}.{getattr(thing, '__qualname__', type(thing).__qualname__)}".encode()


def _is_function(value: object) -> bool:
    kinds = FunctionType, BuiltinFunctionType, MethodType, functools.partial
    return isinstance(value, kinds) or type(value).__name__ in _FUNCTION_TYPES


_FUNCTION_TYPES = {
    "_lru_cache_wrapper",
    "wrapper_descriptor",
    "method_descriptor",
    "method-wrapper",
    "classmethod_descriptor",
    "ufunc",
    "builtin_function_or_method",
}


def _content_of_cell(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that has no value yet
        return None


def _names_in(code: CodeType) -> set[str]:
    """Return the names of the global variables that a code and the functions in it refer to."""
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    own = {
        str(step.argval) for step in dis.get_instructions(code) if step.opname.startswith("LOAD_") and _is_global(step.opname)
    }
    return own.union(*map(_names_in, inner))


def _attributes_in(code: CodeType) -> set[str]:
    """Return the names of all attributes that a code and the functions in it refer to."""
    return set(code.co_names).union(*(_attributes_in(const) for const in code.co_consts if isinstance(const, CodeType)))


def _used(variables: Mapping[str, Any], names: set[str], attributes: set[str], seen: tuple[object, ...] = ()) -> dict[str, Any]:
    """Return the variables of these names; a module of the user's stands for those of its variables that may be used."""
    used = {name: variables[name] for name in sorted(names & variables.keys())}
    for name, value in used.items():
        if isinstance(value, ModuleType) and value not in seen and not _is_installed(value.__name__):
            used[name] = _used(vars(value), attributes, attributes, (*seen, value))
    return used


def _is_global(operation: str) -> bool:
    return operation.endswith(("_GLOBAL", "_NAME", "_GLOBALS"))


@functools.cache
def _is_installed(module: str) -> bool:
    """Return True if a module belongs to an installed package or to Python; `__main__` does not."""
    top = module.partition(".")[0]
    if top in _NAMED_PACKAGES or top == "builtins":
        return True
    if module == "__main__" or module not in sys.modules:
        return False
    path = getattr(sys.modules[module], "__file__", None)
    if path is None:
        return top in sys.stdlib_module_names
    return bool(path.startswith(_installed_paths()))


@functools.cache
def _installed_paths() -> tuple[str, ...]:
    """Return the folders of installed packages: of this Python, of its user, and of other environments on its path."""
    paths = sysconfig.get_paths()
    folders = {folder for folder in sys.path if folder.endswith(("site-packages", "dist-packages"))}
    return tuple(folders | {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def _cirq_content(value: Any) -> object:
    """Return the content of an object by its class's own word, Cirq JSON or else the values by which Cirq compares it.

    A class of the user's that inherits both may hold more, so only its own are taken. Cirq writes dictionaries as lists of
    pairs, in any order.
    """
    kind = type(value)
    for method in ("_json_dict_", "_value_equality_values_"):
        if not hasattr(kind, method) or not (_is_installed(kind.__module__) or method in vars(kind)):
            continue
        try:
            content = getattr(value, method)()
        except Exception:  # some objects of a class that has a JSON have none
            continue
        if method == "_json_dict_":
            own = {name: getattr(value, name, None) for name in content}
            return {name: own[name] if isinstance(own[name], dict) else item for name, item in content.items()}
        return content
    return None


def _without_caches(kind: type, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an object without the results of cached properties and methods."""
    cached = {name for base in kind.__mro__ for name, item in vars(base).items() if isinstance(item, functools.cached_property)}
    return {name: item for name, item in state.items() if name not in cached and not str(name).startswith(_CACHE_PREFIX)}
