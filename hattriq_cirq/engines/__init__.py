"""Engines run circuits and hand back distributions; estimators never see them."""

from hattriq_cirq.engines.base import Engine
from hattriq_cirq.engines.local import cirq_simulator, qsim

__all__ = ["Engine", "cirq_simulator", "qsim"]
