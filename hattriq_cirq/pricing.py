"""What an attribution costs before it is run: circuits, qubits, compiled gates, and shots to a wanted precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cirq
import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq._arrays import FloatArray, as_amplitudes
from hattriq_cirq.engines.base import Engine
from hattriq_cirq.engines.local import qsim
from hattriq_cirq.engines.targets import device_graph
from hattriq_cirq.engines.targets import gateset as gateset_named
from hattriq_cirq.estimators.base import Estimator, Plan, multi_qubit_gates, plan
from hattriq_cirq.model import Model
from hattriq_cirq.outcomes import Distribution
from hattriq_cirq.quadrature import parse_rule
from hattriq_cirq.sampled import products


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
        routed: two-qubit gates after routing on the device; None without one.
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
    baseline: float | ArrayLike,
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
        baseline: a number, (features,) or (baselines, features).
        estimator: what would run.
        rule: `exact`, or a quadrature rule with circuits for each of its nodes.
        gateset: `cz`, `sqrt_iswap` or `sycamore`.
        device: route on a Google processor's grid, `willow_pink`, `weber` or `rainbow`; None does not route.
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
    references = np.broadcast_to(np.asarray(baseline), np.broadcast_shapes(np.shape(baseline), row.shape))
    made = plan(estimator, model, products(row, references.reshape(-1, model.n_features), parse_rule(rule)))
    if not made.readings:
        raise ValueError("x equals the baseline: there is nothing to estimate")
    count = len(made.readings)
    chosen = [made.readings[i] for i in np.unique(np.linspace(0, count - 1, min(sample, count)).astype(int))]
    target = gateset_named(gateset)
    circuits = [reading.circuit for reading in chosen]
    compiled = [_compiled(circuit, target) for circuit in circuits]
    graph = None if device is None else device_graph(device)
    return Resources(
        estimator=estimator.describe(),
        circuits=count,
        qubits=max(len(circuit.all_qubits()) for circuit in circuits),
        built=_count(circuits),
        compiled=_count(compiled),
        preparation=_count([_compiled(reading.preparation, target) for reading in chosen]),
        routed=None if graph is None else _count([_routed(circuit, graph, target) for circuit in compiled]),
        compiled_circuits=len(chosen),
        gateset=gateset,
        device=device,
        shots_for_cosine=shots_for_cosine(made, model, row, references, target_cosine),
        shots_for_stderr=shots_for_stderr(made, target_stderr, engine or qsim()),
        target_cosine=target_cosine,
        target_stderr=target_stderr,
    )


def noise_per_shot(made: Plan) -> float:
    """The total squared error of a map times the shots, sum_c spread_c**2 / share_c: a bound, near for small maps.

    With shots shared in proportion to the spreads it is (sum_c spread_c)**2.
    """
    return float(sum(reading.spread**2 / share for reading, share in zip(made.readings, made.shares, strict=True)))


def shots_for_cosine(made: Plan, model: Model, x: ArrayLike, baseline: ArrayLike, cosine: float) -> int:
    """Shots at which a map has the wanted cosine to the exact one: S = V c^2 / ((1 - c^2) |IG|^2).

    V is `noise_per_shot` less |IG|^2 where one circuit reads the whole map; noise of that size in all directions turns the map
    by an angle of that cosine.

    Args:
        made: the plan.
        model: F(x) = x' M x.
        x: (features,).
        baseline: (features,) or (baselines, features).
        cosine: in (0, 1).

    Returns:
        Shots in all, at least one a circuit.

    Raises:
        ValueError: the cosine is out of range, or the exact map is zero.
    """
    if not 0 < cosine < 1:
        raise ValueError(f"target_cosine={cosine} must lie between 0 and 1")
    row = np.asarray(x)
    maps = [((row - b).conj() * model.observable_action(row + b)).real for b in np.atleast_2d(baseline)]
    size = float(np.sum(np.mean(maps, axis=0) ** 2))
    if size == 0:
        raise ValueError("the exact map is zero everywhere: no number of shots gives it a direction")
    noise = max(noise_per_shot(made) - (size if len(made.readings) == 1 else 0.0), 0.0)
    return max(int(np.ceil(noise * cosine**2 / ((1 - cosine**2) * size))), len(made.readings))


def shots_for_stderr(made: Plan, stderr: float, engine: Engine) -> int:
    """Shots at which the largest standard error of a feature is the wanted one, from exact probabilities.

    Args:
        made: the plan.
        stderr: > 0.
        engine: gives exact probabilities.

    Returns:
        Shots in all, at least one a circuit.
    """
    if not stderr > 0:
        raise ValueError(f"target_stderr={stderr} must be positive")
    distributions = engine.run([reading.circuit for reading in made.readings], None)
    return max(int(np.ceil(variances_per_shot(made, distributions).max() / stderr**2)), len(made.readings))


def variances_per_shot(made: Plan, distributions: Sequence[Distribution]) -> FloatArray:
    """The variance of each value times the shots in all, (features,), from exact distributions of every circuit."""
    variances = np.zeros(len(made.offset))
    for reading, distribution, share in zip(made.readings, distributions, made.shares, strict=True):
        variances += distribution.variances_per_shot(reading.weights) / share
    return variances


def _compiled(circuit: cirq.AbstractCircuit, target: cirq.CompilationTargetGateset) -> cirq.AbstractCircuit:
    return cirq.optimize_for_target_gateset(circuit, gateset=target, ignore_failures=False)


def _routed(circuit: cirq.AbstractCircuit, graph: Any, target: cirq.CompilationTargetGateset) -> cirq.AbstractCircuit:
    """Cirq's router on the whole chip, then the gate set again for the SWAPs."""
    routed = cirq.RouteCQC(graph)(circuit)
    return _compiled(routed, target)


def _count(circuits: Sequence[cirq.AbstractCircuit]) -> GateCount:
    gates = [multi_qubit_gates(circuit) for circuit in circuits]
    depths = [sum(multi_qubit_gates(cirq.Circuit(moment)) > 0 for moment in circuit) for circuit in circuits]
    return GateCount(float(np.mean(gates)), max(gates), max(depths))
