"""The estimators that studies compare, by the names that tasks and tables use."""

from __future__ import annotations

from collections.abc import Mapping

import hattriq_cirq as hq
from hattriq_cirq.estimators import Estimator

ESTIMATORS: Mapping[str, Estimator] = {
    "resolved": hq.ResolvedHadamardTest(),
    "Hadamard": hq.HadamardTest(),
    "Hadamard, literal": hq.HadamardTest(literal=True),
    "polarization": hq.PolarizationShift(),
    "paper": hq.HadamardTest(allocation="equal"),  # the outcomes of the literal circuit have the same probabilities
} | {f"parallel, m={m}": hq.ParallelHadamardTest(m) for m in range(1, 6)}
