"""Engines run circuits and hand back distributions; estimators never see them.

`google` stays in `hattriq_cirq.engines.google`, and is `hattriq_cirq.google` to users: it alone loads cirq_google on import.
"""

from hattriq_cirq.engines.engine import Engine
from hattriq_cirq.engines.local import cirq_simulator, qsim, sampler
from hattriq_cirq.engines.virtual import virtual

__all__ = ["Engine", "cirq_simulator", "qsim", "sampler", "virtual"]
