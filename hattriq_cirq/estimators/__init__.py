"""Circuit estimators of integrated gradients, a file each: what builds the circuits also says what their outcomes are worth."""

from hattriq_cirq.estimators.base import Estimate, Estimator, Plan, Product, Reading, Term, light_cone, plan
from hattriq_cirq.estimators.hadamard import HadamardTest
from hattriq_cirq.estimators.parallel import ParallelHadamardTest
from hattriq_cirq.estimators.polarization import PolarizationShift
from hattriq_cirq.estimators.resolved import ResolvedHadamardTest

__all__ = [
    "Estimate",
    "Estimator",
    "HadamardTest",
    "ParallelHadamardTest",
    "Plan",
    "PolarizationShift",
    "Product",
    "Reading",
    "ResolvedHadamardTest",
    "Term",
    "light_cone",
    "plan",
]
