"""Noise that kills the process which simulates it, for worker processes to import."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cirq


@dataclass(frozen=True)
class CrashingNoise(cirq.NoiseModel):
    """Bit flips; a process other than that of the test crashes if a file of orders exists.

    Args:
        orders: Path of the file, which holds `once`, and is then removed, or `always`.
        test: Id of the process of the test.
    """

    orders: str
    test: int

    def noisy_moment(self, moment: cirq.Moment, system_qubits: Sequence[cirq.Qid]) -> cirq.OP_TREE:
        """Return the moment and a flip of every qubit."""
        orders = Path(self.orders)
        if os.getpid() != self.test and orders.exists():
            if orders.read_text(encoding="utf-8") == "once":
                orders.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return [moment, cirq.bit_flip(0.1).on_each(*system_qubits)]
