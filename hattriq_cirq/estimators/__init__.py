"""Circuit estimators of integrated gradients, one file each, which builds the circuits and the weights of their outcomes."""

from hattriq_cirq._moved import keep_old_names
from hattriq_cirq.circuits.light_cone import light_cone
from hattriq_cirq.estimators.bilinear import BilinearTerm, Estimator, PauliTerm, WeightedCircuit
from hattriq_cirq.estimators.hadamard import HadamardTest
from hattriq_cirq.estimators.parallel import ParallelHadamardTest
from hattriq_cirq.estimators.plan import Estimate, Plan, plan
from hattriq_cirq.estimators.polarization import PolarizationShift
from hattriq_cirq.estimators.resolved import ResolvedHadamardTest

__all__ = [
    "BilinearTerm",
    "Estimate",
    "Estimator",
    "HadamardTest",
    "ParallelHadamardTest",
    "PauliTerm",
    "Plan",
    "PolarizationShift",
    "ResolvedHadamardTest",
    "WeightedCircuit",
    "light_cone",
    "plan",
]

keep_old_names(__name__)
