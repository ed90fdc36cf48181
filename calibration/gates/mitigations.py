"""Corrections of gate noise that run other circuits in place of each: folded, twirled, or with their idle time filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cirq
import numpy as np

from calibration.gates.folding import apportioned, folded, measured_last, parted
from calibration.gates.pauli_twirling import twirled
from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.compilation.compile import check_runnable
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.pipeline.mitigation import Mitigation, Outcomes, Variants

SCHEMAS = ("DEFAULT", "XX_PAIR", "X_XINV", "YY_PAIR", "Y_YINV")
"""Sequences of pulses that `cirq.add_dynamical_decoupling` knows."""


@dataclass(frozen=True)
class ZeroNoiseExtrapolation(Mitigation):
    """Runs each circuit with its noise made larger by known factors, and extrapolates to none.

    The compiled circuit U becomes U (U' U)^k (`folding.folded`), and a polynomial in the factor is fitted to every outcome's
    probability by least squares: its value at 0 is a combination of the outcomes with known coefficients, so it stays linear
    and its covariance follows. Nothing is weighted by counts, which would bias it. Degree 1 over 1, 3, 5 multiplies the
    variance by 3.4 and leaves the curvature of the decay; degree 2 multiplies it by 12. What coherent errors do need not grow
    smoothly with the factor: put `PauliTwirling` after it in a `Pipeline`, so that every folded circuit is twirled.

    Args:
        factors: odd numbers of at least 1, different, more than the degree.
        degree: of the polynomial, at least 1.
        shares: of a circuit's shots: `optimal`, in proportion to |coefficient|, or `equal`.

    Raises:
        ValueError: other factors, degree or word.
    """

    factors: tuple[int, ...] = (1, 3, 5)
    degree: int = 1
    shares: Literal["optimal", "equal"] = "optimal"

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", tuple(self.factors))
        if any(isinstance(f, bool) or not isinstance(f, int) or f < 1 or f % 2 == 0 for f in self.factors):
            raise ValueError(f"{self.factors=} must be odd numbers of at least 1: a circuit is folded as a whole")
        if self.degree < 1 or len(set(self.factors)) != len(self.factors) or len(self.factors) <= self.degree:
            raise ValueError(f"{self.factors=} must be different and more than {self.degree=}, which is at least 1")
        if self.shares not in ("optimal", "equal"):
            raise ValueError(f"{self.shares=} must be 'optimal' or 'equal'")

    @property
    def coefficients(self) -> FloatArray:
        """(factors,), what each outcome counts for; they sum to 1."""
        powers = np.vander(np.array(self.factors, dtype=float), self.degree + 1, increasing=True)
        return np.asarray(np.linalg.pinv(powers)[0])

    def describe(self) -> str:
        """The mitigation in a few words."""
        kind = {1: "linear", 2: "quadratic"}.get(self.degree, f"degree {self.degree}")
        return f"zero-noise extrapolation ({kind}, {', '.join(map(str, self.factors))})"

    def expand(self, engine: Engine, programs: Sequence[ParameterizedCircuit], shots: Sequence[int] | None) -> Variants:
        """Every program once a factor.

        Raises:
            CircuitRefusedError: a folded circuit has no inverse or takes longer than the processor allows.
            ValueError: fewer shots of a circuit than factors.
        """
        shares = np.abs(self.coefficients) if self.shares == "optimal" else np.ones(len(self.factors))
        made, at = [], _Renumbered(programs, len(self.factors))
        for i, factor in enumerate(self.factors):
            for program in programs:
                circuit = folded(program.circuit, factor)
                cure = "use smaller factors, or a shallower circuit"
                _check(engine, circuit, f"folded {factor} times", cure)
                made.append(replace(program, circuit=circuit, requests=at.requests(program.requests, i)))
        return Variants(made, at.shots(shots, list(shares)))

    def combine(self, variants: Variants, outcomes: Outcomes) -> list[Distribution | QuasiDistribution]:
        """The outcomes of each request extrapolated."""
        return [
            QuasiDistribution.combined(list(self.coefficients), of_one) for of_one in _regrouped(outcomes, len(self.factors))
        ]


@dataclass(frozen=True)
class PauliTwirling(Mitigation):
    """Runs each circuit in several random gauges of its two-qubit gates and takes the mean.

    Coherent errors of the gates become stochastic ones, which are smaller by a power of their angle and shrink a map evenly
    (Wallman and Emerson, PRA 94, 052325). The gauges are Cirq's, one circuit and a sweep, merged into the gates on one
    qubit; no shots are lost. The standard error is that of the counts: that there are only so many gauges is not in it.

    Args:
        twirls: gauges of each circuit, at least 1; over 16 in a row each CZ meets each of its gauges once.
        seed: of the gauges.

    Raises:
        ValueError: no twirls.
    """

    twirls: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if self.twirls < 1:
            raise ValueError(f"{self.twirls=} must be at least 1")

    def describe(self) -> str:
        """The mitigation in a few words."""
        return f"Pauli twirling ({self.twirls} gauges, seed {self.seed})"

    def expand(self, engine: Engine, programs: Sequence[ParameterizedCircuit], shots: Sequence[int] | None) -> Variants:
        """One program for each, its points in every gauge.

        Raises:
            CircuitRefusedError: Cirq has no gauge for a gate, or a circuit takes longer than the processor allows.
            ValueError: fewer shots of a circuit than twirls.
        """
        made, at = [], _Renumbered(programs, self.twirls)
        for i, program in enumerate(programs):
            circuit, points = twirled(program.circuit, program.points, self.twirls, (self.seed, i))
            _check(engine, circuit, "that is twirled", "leave twirling out, or use a shallower circuit")
            requests = tuple(r for twirl in range(self.twirls) for r in at.requests(program.requests, twirl))
            made.append(ParameterizedCircuit(circuit, requests, tuple(points)))
        return Variants(made, at.shots(shots, [1.0] * self.twirls))

    def combine(self, variants: Variants, outcomes: Outcomes) -> list[Distribution | QuasiDistribution]:
        """The mean over the twirls of each request: all shots together where they are plain counts."""
        return [_mean(of_one) for of_one in _regrouped(outcomes, self.twirls)]


@dataclass(frozen=True)
class DynamicalDecoupling(Mitigation):
    """Fills idle time with pulses that cancel each other and what drifts slowly meanwhile, by Cirq's transformer.

    It takes no more circuits or shots. The noise of the virtual processors has no memory, so they cannot tell whether it
    helps on hardware: there it adds only the pulses' own errors.

    Args:
        schema: of the pulses, one of `SCHEMAS`.

    Raises:
        ValueError: another schema.
    """

    schema: str = "DEFAULT"

    def __post_init__(self) -> None:
        if self.schema not in SCHEMAS:
            raise ValueError(f"{self.schema=} must be one of {', '.join(SCHEMAS)}")

    def describe(self) -> str:
        """The mitigation in a few words."""
        return f"dynamical decoupling ({self.schema})"

    def expand(self, engine: Engine, programs: Sequence[ParameterizedCircuit], shots: Sequence[int] | None) -> Variants:
        """Every point of every program as a program without symbols: pulses depend on the gates around them."""
        made = []
        for program in programs:
            for request, point in zip(program.requests, program.points, strict=True):
                body, measurement = parted(cirq.resolve_parameters(program.circuit, dict(point)))
                circuit = measured_last(cirq.add_dynamical_decoupling(body, schema=self.schema), measurement)
                _check(engine, circuit, "that is decoupled", "choose another schema")
                made.append(ParameterizedCircuit(circuit, (request,)))
        return Variants(made, shots)

    def combine(self, variants: Variants, outcomes: Outcomes) -> list[Distribution | QuasiDistribution]:
        """The outcomes as they are."""
        return list(outcomes)


def _check(engine: Engine, circuit: cirq.AbstractCircuit, made: str, cure: str) -> None:
    """Refuses what the engine's processor would refuse; without a processor any circuit runs."""
    if engine.processor is not None:
        check_runnable(engine.processor, circuit, made, cure)


class _Renumbered:
    """Requests in a number of copies: copy i of request r is i * requests + r."""

    def __init__(self, programs: Sequence[ParameterizedCircuit], copies: int) -> None:
        self._count, self._copies = sum(len(program.requests) for program in programs), copies

    def requests(self, requests: Sequence[int], copy: int) -> tuple[int, ...]:
        return tuple(copy * self._count + request for request in requests)

    def shots(self, shots: Sequence[int] | None, shares: Sequence[float]) -> list[int] | None:
        if shots is None:
            return None
        apart = [apportioned(count, shares) for count in shots]
        return [of_one[copy] for copy in range(self._copies) for of_one in apart]


def _regrouped(outcomes: Outcomes, copies: int) -> list[list[Distribution | QuasiDistribution]]:
    """The outcomes of every copy of each request."""
    count = len(outcomes) // copies
    return [[outcomes[copy * count + request] for copy in range(copies)] for request in range(count)]


def _mean(outcomes: Sequence[Distribution | QuasiDistribution]) -> Distribution | QuasiDistribution:
    plain = [outcome for outcome in outcomes if isinstance(outcome, Distribution)]
    if len(plain) < len(outcomes):
        return QuasiDistribution.combined([1 / len(outcomes)] * len(outcomes), outcomes)
    if any(outcome.shots is None for outcome in plain):
        return Distribution(np.mean([outcome.probabilities for outcome in plain], axis=0), None)
    return Distribution.merged(plain)
