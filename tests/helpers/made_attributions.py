"""Attributions made of given numbers, without a model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.result import Assumptions, Attribution
from hattriq_cirq.foundation.contract import DataContract

ASSUMPTIONS = Assumptions("quadratic", "exact", "identity", ("Z(q(0))",), "constant 0")


def made(values: ArrayLike, contract: DataContract | None = None, stderr: float = 0.0, systematic: float = 0.0) -> Attribution:
    """Return an attribution of inputs whose amplitudes all have the same size, with equal errors of all values."""
    array = np.asarray(values, dtype=float)
    lead = array.shape[:-1]
    x = np.full(array.shape, array.shape[-1] ** -0.5)
    total, zero = array.sum(axis=-1), np.zeros(lead)
    errors = np.full(array.shape, stderr)
    a = Attribution(array, errors, None, x, np.zeros(array.shape), total, zero, zero, ASSUMPTIONS, contract=contract)
    return replace(a, systematic=np.full(array.shape, systematic)) if systematic else a
