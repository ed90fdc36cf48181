"""What an attribution costs before it is run: circuits, qubits, compiled gates, and shots to a wanted precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cirq
import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from hattriq_cirq.attribution.baselines import BaselineSet
from hattriq_cirq.attribution.quadrature import parse_rule
from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.compilation.gatesets import gateset as gateset_named
from hattriq_cirq.compilation.placement import place
from hattriq_cirq.compilation.processor import load_processor
from hattriq_cirq.encoding.exact import Encoder
from hattriq_cirq.estimators.bilinear import Estimator
from hattriq_cirq.estimators.plan import Plan, plan
from hattriq_cirq.execution.backends.simulators import qsim
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import FloatArray, as_amplitudes
from hattriq_cirq.models.model import Model
from hattriq_cirq.pipeline.prepare import bilinear_terms, references_of


@dataclass(frozen=True)
class GateCount:
    """Two-qubit gates and two-qubit depth of circuits: the mean over those looked at, and the largest."""

    mean: float
    largest: int
    depth: int

    def __str__(self) -> str:
        return f"{self.mean:.1f} (at most {self.largest}, depth {self.depth})"


@dataclass(frozen=True)
class Resources:
    """The cost of one attribution with one estimator.

    Args:
        estimator: in words.
        circuits: how many, all path steps and Pauli strings together.
        qubits: data and ancillas.
        built: gates on two or more qubits, as the estimator makes the circuits.
        compiled: two-qubit gates after compiling to the gate set.
        preparation: two-qubit gates of the state preparation alone, compiled.
        routed: two-qubit gates after placement and routing on the device; None without one.
        compiled_circuits: how many circuits were compiled for the figures; they are evenly spaced among all.
        gateset: name of the gate set.
        device: name of the device, or None.
        shots_for_cosine: shots in all so that the map has the target cosine to the exact one, in the mean.
        shots_for_stderr: shots in all so that no feature has a larger standard error than the target.
        target_cosine: in (0, 1).
        target_stderr: > 0.
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
    device: str | None
    shots_for_cosine: int
    shots_for_stderr: int
    target_cosine: float
    target_stderr: float

    def __str__(self) -> str:
        lines = [
            f"{self.estimator}: {self.circuits} circuits on {self.qubits} qubits",
            f"  two-qubit gates as built    {self.built}",
            f"  compiled to {self.gateset:<15} {self.compiled}, preparation alone {self.preparation.mean:.1f}",
        ]
        if self.routed is not None:
            lines.append(f"  routed on {self.device:<17} {self.routed}")
        if self.compiled_circuits < self.circuits:
            lines.append(f"  (gates from {self.compiled_circuits} circuits evenly spaced among {self.circuits})")
        lines.append(f"  shots to cosine {self.target_cosine:g}: {self.shots_for_cosine}")
        lines.append(f"  shots to a standard error of {self.target_stderr:g} everywhere: {self.shots_for_stderr}")
        return "\n".join(lines)


def resources(
    model: Model,
    x: ArrayLike,
    baseline: float | ArrayLike | BaselineSet,
    estimator: Estimator,
    *,
    rule: str = "exact",
    gateset: str = "cz",
    device: str | None = None,
    target_cosine: float = 0.95,
    target_stderr: float = 0.01,
    sample: int = 4,
    engine: Engine | None = None,
) -> Resources:
    """Prices one attribution: compiles its circuits and predicts its shots, without a quantum computer.

    Args:
        model: F(x) = x' M x.
        x: (features,).
        baseline: a number, (features,) or a `BaselineSet`.
        estimator: what would run.
        rule: `exact`, or a quadrature rule with circuits for each of its nodes.
        gateset: `cz`, `sqrt_iswap` or `sycamore`.
        device: place and route on a Google processor by its calibration, `willow_pink`, `weber` or `rainbow`; None does not.
        target_cosine: in (0, 1).
        target_stderr: > 0.
        sample: the most circuits to compile.
        engine: exact simulator for the prediction; None is qsim.

    Returns:
        The cost.

    Raises:
        ValueError: bad input, or nothing to estimate (x equals the baseline).
    """
    row = as_amplitudes(x, "x", model.n_features)
    wanted = bilinear_terms(row, references_of(baseline, row), parse_rule(rule))
    made = plan(estimator, model, wanted)
    if not made.circuits:
        raise ValueError("there is nothing to estimate: x equals the baseline, or the observable is a multiple of the identity")
    distributions = (engine or qsim()).run([reading.circuit for reading in made.circuits], None)
    count = len(made.circuits)
    positions = np.unique(np.linspace(0, count - 1, min(sample, count)).astype(int))
    chosen = [made.circuits[i] for i in positions]
    target = gateset_named(gateset)
    circuits = [reading.circuit for reading in chosen]
    compiled = [_compiled(circuit, target) for circuit in circuits]
    routed = None
    if device is not None:

        def build(encoder: Encoder) -> list[cirq.Circuit]:
            prepared = plan(estimator.with_encoder(encoder), model, wanted).circuits
            return [prepared[i].circuit for i in positions]

        routed = _count(place(load_processor(device, gateset), build).circuits)
    return Resources(
        estimator=estimator.describe(),
        circuits=count,
        qubits=max(len(circuit.all_qubits()) for circuit in circuits),
        built=_count(circuits),
        compiled=_count(compiled),
        preparation=_count([_compiled(reading.preparation, target) for reading in chosen]),
        routed=routed,
        compiled_circuits=len(chosen),
        gateset=gateset,
        device=device,
        shots_for_cosine=shots_for_cosine(made, distributions, target_cosine),
        shots_for_stderr=shots_for_stderr(made, distributions, target_stderr),
        target_cosine=target_cosine,
        target_stderr=target_stderr,
    )


def shots_for_cosine(made: Plan, distributions: Sequence[Distribution], cosine: float) -> int:
    """Shots at which the mean cosine of a map to the exact one is the wanted one.

    The error of a map is taken as normal, with the covariance that one shot has, over the shots; 400 such errors are drawn and
    the shots solved for. For many features this is S = V c^2 / ((1 - c^2) |IG|^2) with V the error's trace.

    Args:
        made: the plan.
        distributions: the exact one of every circuit.
        cosine: in (0, 1).

    Returns:
        Shots in all, at least one a circuit.

    Raises:
        ValueError: the cosine is out of range, or the exact map is zero.
    """
    if not 0 < cosine < 1:
        raise ValueError(f"target_cosine={cosine} must lie between 0 and 1")
    exact = made.decode(distributions).values
    size = float(np.linalg.norm(exact))
    covariance = covariance_per_shot(made, distributions)
    if size <= 1e-6 * np.sqrt(np.trace(covariance)):
        raise ValueError("the exact map is zero everywhere: no number of shots gives it a direction")
    eigenvalues, directions = np.linalg.eigh(covariance)
    drawn = np.random.default_rng(0).normal(size=(400, len(exact))) * np.sqrt(np.maximum(eigenvalues, 0))
    errors = drawn @ directions.T

    def mean_cosine(log_shots: float) -> float:
        maps = exact + errors * np.exp(-log_shots / 2)
        return float(np.mean(maps @ exact / np.linalg.norm(maps, axis=1) / size))

    least, most = np.log(1e-3), np.log(max(np.trace(covariance), 1e-300) / size**2 / (1 - cosine**2)) + 5
    if mean_cosine(least) >= cosine or mean_cosine(most) <= cosine:
        return len(made.circuits)
    shots = np.exp(brentq(lambda log_shots: mean_cosine(log_shots) - cosine, least, most, xtol=1e-3))
    return max(int(np.ceil(shots)), len(made.circuits))


def covariance_per_shot(made: Plan, distributions: Sequence[Distribution]) -> FloatArray:
    """The covariance of the values times the shots in all, (features, features), from exact distributions."""
    total = np.zeros((len(made.offset), len(made.offset)))
    for reading, distribution, share in zip(made.circuits, distributions, made.shares, strict=True):
        total += distribution.covariance_per_shot(reading.weights) / share
    return total


def shots_for_stderr(made: Plan, distributions: Sequence[Distribution], stderr: float) -> int:
    """Shots at which the largest standard error of a feature is the wanted one.

    Args:
        made: the plan.
        distributions: the exact one of every circuit.
        stderr: > 0.

    Returns:
        Shots in all, at least one a circuit.
    """
    if not stderr > 0:
        raise ValueError(f"target_stderr={stderr} must be positive")
    return max(int(np.ceil(variances_per_shot(made, distributions).max() / stderr**2)), len(made.circuits))


def variances_per_shot(made: Plan, distributions: Sequence[Distribution]) -> FloatArray:
    """The variance of each value times the shots in all, (features,), from exact distributions of every circuit."""
    variances = np.zeros(len(made.offset))
    for reading, distribution, share in zip(made.circuits, distributions, made.shares, strict=True):
        variances += distribution.variances_per_shot(reading.weights) / share
    return variances


def _compiled(circuit: cirq.AbstractCircuit, target: cirq.CompilationTargetGateset) -> cirq.AbstractCircuit:
    return cirq.optimize_for_target_gateset(circuit, gateset=target, ignore_failures=False)


def _count(circuits: Sequence[cirq.AbstractCircuit]) -> GateCount:
    gates = [multi_qubit_gates(circuit) for circuit in circuits]
    depths = [sum(multi_qubit_gates(cirq.Circuit(moment)) > 0 for moment in circuit) for circuit in circuits]
    return GateCount(float(np.mean(gates)), max(gates), max(depths))
