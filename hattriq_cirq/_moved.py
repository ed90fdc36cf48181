"""Deprecated module paths and names of version 0.1. They work for one more release, with a warning that gives the new name."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

_modules, _names = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").split("\n\n")
#: Deprecated module -> the module that took its place.
MODULES = dict(line.split() for line in _modules.splitlines()[1:])
#: Deprecated module and name -> new module and name, for names that did not move with their module or were renamed.
NAMES = dict(line.split() for line in _names.splitlines()[1:])


def moved(module: str, name: str) -> Any:
    """Return the object that an old name of an old module refers to now, and warn with its new name.

    Args:
        module: Old module path, such as `hattriq_cirq.engines.base`.
        name: Name in that module.

    Returns:
        The object under its new name.

    Raises:
        AttributeError: Neither the old nor the new module has the name.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(record=True, action="always"):
        ...     moved("hattriq_cirq.model", "Model").__name__
        'Model'
    """
    old = f"{module}.{name}"
    new = NAMES.get(old, f"{MODULES.get(module, module)}.{name}")
    if name.startswith("__") or new == old:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    home, _, new_name = new.rpartition(".")
    value = getattr(import_module(home), new_name)
    warnings.warn(f"{old} is deprecated; use {new}", DeprecationWarning, stacklevel=2)
    return value


def keep_old_names(module: str) -> None:
    """Let a module resolve the names that `MODULES` and `NAMES` list for its path; call it at the module's end.

    Args:
        module: Path of the module, its `__name__`.
    """
    sys.modules[module].__dict__["__getattr__"] = partial(moved, module)  # found by PEP 562, invisible to type checkers


class _CallableModule(ModuleType):
    """Old module that, once imported, hides a public function of the same name, as `hattriq_cirq.report` does; it calls it."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        package, _, name = self.__name__.rpartition(".")
        return getattr(import_module(import_module(package)._HOME[name]), name)(*args, **options)


class _OldModuleFinder(MetaPathFinder, Loader):
    """Importer of old module paths that no longer have a file."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in MODULES:
            return None
        return ModuleSpec(fullname, self, is_package=any(name.startswith(f"{fullname}.") for name in MODULES))

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        if any(name.startswith(f"{old}.") for name in (*NAMES, *MODULES)):
            keep_old_names(old)
            module.__class__ = _CallableModule
        else:  # every name is in the new module, which takes the place of the old one
            warnings.warn(f"{old} is deprecated; use {MODULES[old]}", DeprecationWarning, stacklevel=2)
            sys.modules[old] = import_module(MODULES[old])


def install() -> None:
    """Make old module paths importable; further calls change nothing."""
    if not any(isinstance(finder, _OldModuleFinder) for finder in sys.meta_path):
        sys.meta_path.append(_OldModuleFinder())
