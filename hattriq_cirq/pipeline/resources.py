"""Cost of an attribution before it is run: circuits, qubits, compiled gates, and the shots to a wanted precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cirq
import numpy as np
from scipy.optimize import brentq

from hattriq_cirq.circuits.counting import multi_qubit_gates, two_qubit_depth
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.estimators.plan import Plan
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.text import quantity


@dataclass(frozen=True)
class GateCount:
    """Two-qubit gates and two-qubit depth of some circuits.

    Args:
        mean: Mean number of two-qubit gates per circuit.
        largest: Largest number of two-qubit gates of a circuit.
        depth: Length of the longest chain of two-qubit gates, each after the one before on a shared qubit.
        sampled: Number of circuits that were counted if there are more; 0 if all were, so that `largest` is a bound.

    Example:
        >>> import cirq
        >>> a, b = cirq.LineQubit.range(2)
        >>> print(GateCount.of([cirq.Circuit(cirq.CZ(a, b), cirq.CZ(a, b))]))
        2.0 (at most 2, depth 2)
    """

    mean: float
    largest: int
    depth: int
    sampled: int = 0

    @classmethod
    def of(cls, circuits: Sequence[cirq.AbstractCircuit], total: int | None = None) -> GateCount:
        """Count the gates of circuits, which are all there are or a sample of a total number."""
        gates = [multi_qubit_gates(circuit) for circuit in circuits]
        sampled = 0 if total is None or total <= len(circuits) else len(circuits)
        return cls(float(np.mean(gates)), max(gates), max(map(two_qubit_depth, circuits)), sampled)

    def __str__(self) -> str:
        bound = f"largest of {self.sampled} sampled" if self.sampled else "at most"
        return f"{self.mean:.1f} ({bound} {self.largest}, depth {self.depth})"


@dataclass(frozen=True)
class Resources:
    """Cost of an attribution with one estimator.

    Args:
        estimator: Description of the estimator.
        circuits: Number of circuits, all inputs, path steps and Pauli strings together.
        qubits: Number of data qubits and ancillas.
        built: Gates on two or more qubits, as the estimator builds the circuits.
        compiled: Two-qubit gates after compiling to the gate set.
        preparation: Two-qubit gates of the state preparation alone, compiled.
        routed: Two-qubit gates as they run on the processor; None without one.
        compiled_circuits: Number of circuits that the gate counts on a free graph are for, evenly spaced among all.
        gateset: Name of the gate set.
        processor: Name of the processor, or None.
        shots_for_cosine: Shots per input so that the mean cosine of the map to the exact one is the target.
        shots_for_stderr: Shots per input so that no feature has a larger standard error than the target.
        target_cosine: Target cosine, between 0 and 1.
        target_stderr: Target standard error, above 0.
        shots: Shots that the run would take, those of a mitigation included; 0 for exact probabilities or an unprepared run.
        programs: Number of compiled programs that would run, each with a sweep; 0 if they were not compiled.
        mitigation_circuits: Circuits that the mitigation adds to those of the estimator.

    Example:
        >>> import hattriq_cirq as hq
        >>> cost = hq.resources(hq.ring_ansatz(2, layers=1), [0.6, 0.0, 0.0, 0.8], 0, hq.ResolvedHadamardTest())
        >>> cost.circuits, cost.qubits, cost.gateset
        (1, 3, 'cz')
    """

    estimator: str
    circuits: int
    qubits: int
    built: GateCount
    compiled: GateCount
    preparation: GateCount
    routed: GateCount | None
    compiled_circuits: int
    gateset: str
    processor: str | None
    shots_for_cosine: int
    shots_for_stderr: int
    target_cosine: float
    target_stderr: float
    shots: int = 0
    programs: int = 0
    mitigation_circuits: int = 0

    def __str__(self) -> str:
        lines = [
            f"{self.estimator}: {quantity(self.circuits, 'circuit')} on {quantity(self.qubits, 'qubit')}",
            f"  two-qubit gates as built    {self.built}",
            f"  compiled to {self.gateset:<15} {self.compiled}, preparation alone {self.preparation.mean:.1f}",
        ]
        if self.routed is not None:
            lines.append(f"  routed on {self.processor:<17} {self.routed}")
        if self.compiled_circuits < self.circuits:
            lines.append(f"  (gates from {quantity(self.compiled_circuits, 'circuit')} evenly spaced among {self.circuits})")
        if self.programs:
            lines.append(f"  this run: {quantity(self.programs, 'program')}, {quantity(self.shots, 'shot')}")
        if self.mitigation_circuits:
            lines.append(f"  circuits added by the mitigation: {self.mitigation_circuits}")
        lines.append(f"  shots to cosine {self.target_cosine:g}: {self.shots_for_cosine}")
        lines.append(f"  shots to a standard error of {self.target_stderr:g} everywhere: {self.shots_for_stderr}")
        return "\n".join(lines)


def shots_for_cosine(plan: Plan, distributions: Sequence[Distribution], cosine: float) -> int:
    """Predict the shots at which the mean cosine of a map to the exact one reaches a target.

    The error of a map is taken as normal, with the covariance that one shot has, divided by the shots; 400 such errors are
    sampled and the equation is solved for the shots. For many features the solution is S = V c^2 / ((1 - c^2) |IG|^2), with V
    the trace of the covariance of one shot.

    Args:
        plan: Plan of the estimator.
        distributions: Exact distribution of every circuit.
        cosine: Target, between 0 and 1.

    Returns:
        Number of all shots, at least one per circuit.

    Raises:
        ValueError: The cosine is out of range, or the exact map is zero.
    """
    if not 0 < cosine < 1:
        raise ValueError(f"target_cosine={cosine} must lie between 0 and 1")
    exact = plan.decode(distributions).values
    size = float(np.linalg.norm(exact))
    covariance = covariance_per_shot(plan, distributions)
    if size <= 1e-6 * np.sqrt(np.trace(covariance)):
        raise ValueError("the exact map is zero everywhere: no number of shots gives it a direction")
    eigenvalues, directions = np.linalg.eigh(covariance)
    samples = np.random.default_rng(0).normal(size=(400, len(exact))) * np.sqrt(np.maximum(eigenvalues, 0))
    errors = samples @ directions.T

    def mean_cosine(log_shots: float) -> float:
        maps = exact + errors * np.exp(-log_shots / 2)
        return float(np.mean(maps @ exact / np.linalg.norm(maps, axis=1) / size))

    least, most = np.log(1e-3), np.log(max(np.trace(covariance), 1e-300) / size**2 / (1 - cosine**2)) + 5
    if mean_cosine(least) >= cosine or mean_cosine(most) <= cosine:
        return len(plan.circuits)
    shots = np.exp(brentq(lambda log_shots: mean_cosine(log_shots) - cosine, least, most, xtol=1e-3))
    return max(int(np.ceil(shots)), len(plan.circuits))


def shots_for_stderr(plan: Plan, distributions: Sequence[Distribution], stderr: float) -> int:
    """Predict the shots at which the largest standard error of a feature reaches a target.

    Args:
        plan: Plan of the estimator.
        distributions: Exact distribution of every circuit.
        stderr: Target, above 0.

    Returns:
        Number of all shots, at least one per circuit.

    Raises:
        ValueError: The target is not positive.
    """
    if not stderr > 0:
        raise ValueError(f"target_stderr={stderr} must be positive")
    with np.errstate(all="ignore"):
        shots = np.ceil((np.sqrt(variances_per_shot(plan, distributions).max()) / stderr) ** 2)
    if not shots < 2**62:
        raise ValueError(f"target_stderr={stderr} takes more than 2**62 shots; give a larger one")
    return max(int(shots), len(plan.circuits))


def covariance_per_shot(plan: Plan, distributions: Sequence[Distribution]) -> FloatArray:
    """Return the covariance of the values times the number of all shots, (features, features), from exact distributions."""
    total = np.zeros((len(plan.offset), len(plan.offset)))
    for circuit, distribution, share in zip(plan.circuits, distributions, plan.shares, strict=True):
        total += distribution.covariance_per_shot(circuit.weights) / share
    return total


def variances_per_shot(plan: Plan, distributions: Sequence[Distribution]) -> FloatArray:
    """Return the variance of each value times the number of all shots, (features,), from exact distributions."""
    variances = np.zeros(len(plan.offset))
    for circuit, distribution, share in zip(plan.circuits, distributions, plan.shares, strict=True):
        variances += distribution.variances_per_shot(circuit.weights) / share
    return variances
