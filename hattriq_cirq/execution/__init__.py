"""Engines run circuits and hand back distributions; estimators never see them.

`google` is in `hattriq_cirq.execution.backends.google`, and is `hattriq_cirq.google` to users;
only that module loads cirq_google on import.
"""

from hattriq_cirq.execution.backends.simulators import cirq_simulator, qsim, sampler
from hattriq_cirq.execution.backends.virtual import virtual
from hattriq_cirq.execution.engine import Engine

__all__ = ["Engine", "cirq_simulator", "qsim", "sampler", "virtual"]
