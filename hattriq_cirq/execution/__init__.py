"""Engines run circuits and hand back distributions; estimators never see them.

Names are imported on first use, so that journals are listed without importing Cirq. `google` is in
`hattriq_cirq.execution.backends.google`, and is `hattriq_cirq.google` to users; only that module loads cirq_google on import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hattriq_cirq.execution.backends.simulators import cirq_simulator, qsim, sampler
    from hattriq_cirq.execution.backends.virtual import virtual
    from hattriq_cirq.execution.engine import Engine

_HOME = dict.fromkeys(("cirq_simulator", "qsim", "sampler"), "backends.simulators") | {
    "Engine": "engine",
    "virtual": "backends.virtual",
}

__all__ = ["Engine", "cirq_simulator", "qsim", "sampler", "virtual"]


def __getattr__(name: str) -> Any:
    """Import a public name at its first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
