"""Readout errors: calibrations, their corrections, and tests of drift and of correlation."""

from __future__ import annotations

from typing import Any

from hattriq_cirq._moved import moved


def __getattr__(name: str) -> Any:
    """Return a name that this path had as a module of version 0.1 (PEP 562)."""
    return moved("calibration.readout", name)
