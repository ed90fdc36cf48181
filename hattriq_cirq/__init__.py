"""Input attribution of amplitude-encoded quantum models by integrated gradients, with Cirq.

Public names are imported on first use, so that `import hattriq_cirq` and `hattriq --help` stay instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hattriq_cirq._version import __version__

if TYPE_CHECKING:
    from hattriq_cirq import datasets as datasets

_HOME: dict[str, str] = {}

__all__ = ["__version__", "datasets", *_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """Imports a public name, or a module of the package, when it is first asked for (PEP 562)."""
    if name in _HOME:
        return getattr(import_module(f"hattriq_cirq.{_HOME[name]}"), name)
    if name == "datasets":
        return import_module("hattriq_cirq.datasets")
    raise AttributeError(
        f"module 'hattriq_cirq' has no attribute {name!r}; public names: {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return sorted(__all__)
