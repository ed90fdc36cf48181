"""Corrections of gate noise by variants of each circuit: folded, twirled, or with pulses in its idle time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import cirq
import numpy as np

from calibration.gates.fit_difference import difference_of_fits
from calibration.gates.fit_residual import residual_note
from calibration.gates.folding import allocate_shots, append_measurement, fold, split_measurement
from calibration.gates.gauge_scatter import mean_over_gauges, scatter_note
from calibration.gates.pauli_twirling import block_size, twirl
from hattriq_cirq.circuits.deviation import ALL_KINDS, ErrorKind, attach
from hattriq_cirq.circuits.local_gates import gauges
from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution
from hattriq_cirq.circuits.program import ParameterizedCircuit, Programs
from hattriq_cirq.compilation.compile import check_runnable
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.checks import as_count, as_counts, as_seed, as_word, set_fields
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.pipeline.mitigation import Mitigated, Mitigation, MitigationSummary, Outcomes, Variants

#: Pulse sequences of `cirq.add_dynamical_decoupling`.
SCHEMAS = ("DEFAULT", "XX_PAIR", "X_XINV", "YY_PAIR", "Y_YINV")

_FACTOR_MAX = 999  # a circuit folded that often holds nothing but noise
_TWIRLS_MAX = 10_000


@dataclass(frozen=True)
class ZeroNoiseExtrapolation(Mitigation[None]):
    """Runs each circuit with its noise amplified by known factors, and extrapolates to zero noise.

    The compiled circuit U becomes U (U' U)^k (`folding.fold`). A polynomial in the factor is fitted to every outcome's
    probability by least squares; its value at 0 is a linear combination of the outcomes with known coefficients, so that the
    covariance follows. The fit is not weighted by counts, which would bias it. Degree 1 over 1, 3, 5 multiplies the variance
    by 3.4 and leaves the curvature of the decay; degree 2 multiplies it by 12. The effect of coherent errors need not grow
    smoothly with the factor: put `PauliTwirling` after this mitigation in a `MitigationSequence`, so that every folded circuit
    is twirled. With more factors than coefficients, the result says whether the counts follow the polynomial.

    Args:
        factors: Different odd numbers of at least 1, more of them than the degree.
        degree: Degree of the polynomial, at least 1.
        shares: Allocation of a circuit's shots: `optimal`, in proportion to |coefficient|, or `equal`.

    Raises:
        ValueError: The factors, the degree or the word are out of range.

    Example:
        >>> ZeroNoiseExtrapolation().coefficients.round(3)
        array([ 1.083,  0.333, -0.417])
        >>> print(ZeroNoiseExtrapolation((1, 3)).describe())
        zero-noise extrapolation (linear, 1, 3)
    """

    factors: tuple[int, ...] = (1, 3, 5)
    degree: int = 1
    shares: Literal["optimal", "equal"] = "optimal"

    def __post_init__(self) -> None:
        factors = as_counts(self.factors, "factors", minimum=None)
        set_fields(self, factors=factors, degree=as_count(self.degree, "degree"))
        if any(factor < 1 or factor % 2 == 0 or factor > _FACTOR_MAX for factor in factors):
            raise ValueError(f"{factors=} must be odd numbers from 1 to {_FACTOR_MAX}: a circuit is folded as a whole")
        if len(set(self.factors)) != len(self.factors) or len(self.factors) <= self.degree:
            raise ValueError(f"{self.factors=} must be different and more than {self.degree=}, which is at least 1")
        as_word(self.shares, "shares", ("optimal", "equal"))

    @property
    def coefficients(self) -> FloatArray:
        """Coefficient of the outcome with each factor, (factors,); they sum to 1."""
        powers = np.vander(np.array(self.factors, dtype=float), self.degree + 1, increasing=True)
        return np.asarray(np.linalg.pinv(powers)[0])

    def describe(self) -> str:
        """Return the mitigation in a few words."""
        kind = {1: "linear", 2: "quadratic"}.get(self.degree, f"degree {self.degree}")
        return f"zero-noise extrapolation ({kind}, {', '.join(map(str, self.factors))})"

    @property
    def leaves(self) -> frozenset[ErrorKind]:
        """Errors of angles need not grow with the factor, and readout is not amplified."""
        return ALL_KINDS - {"gates"}

    def expand(self, engine: Engine, programs: Programs, shots: Sequence[int] | None) -> Variants[None]:
        """Return every program once per factor.

        Raises:
            CircuitRefusedError: A circuit has no inverse, or is too long for the processor when folded.
            ValueError: A circuit has fewer shots than there are factors.
        """
        shares = np.abs(self.coefficients) if self.shares == "optimal" else np.ones(len(self.factors))
        variants, copies = [], _Copies(programs, len(self.factors))
        for i, program in track(list(product(range(len(self.factors)), programs)), "fold", "program"):
            circuit = fold(program.circuit, self.factors[i])
            _check(engine, circuit, f"folded {self.factors[i]} times", "use smaller factors, or a shallower circuit")
            variants.append(replace(program, circuit=circuit, requests=copies.requests(program.requests, i)))
        return Variants(variants, copies.shots(shots, list(shares)), None)

    def combine(self, variants: Variants[None], outcomes: Outcomes) -> Mitigated:
        """Return the extrapolated outcome of each request, and a note on the residuals of the fit."""
        grouped = _outcomes_by_request(outcomes, len(self.factors))
        note = residual_note(self.factors, self.degree, grouped)
        extrapolated = [QuasiDistribution.combined(list(self.coefficients), copies) for copies in grouped]
        left, compared = difference_of_fits(self.factors, self.coefficients, self.degree, grouped)
        notes = (compared,) if note is None else (note, compared)
        return Mitigated(attach(extrapolated, [left] * len(extrapolated)), MitigationSummary(notes=notes))


@dataclass(frozen=True)
class PauliTwirling(Mitigation[None]):
    """Runs each circuit in several random gauges of its two-qubit gates and takes the mean.

    Coherent errors of the gates become stochastic ones, which are smaller by a power of their angle and shrink a map evenly
    (Wallman and Emerson, PRA 94, 052325). The gauges, those of `local_gates.gauges`, are run as one circuit and a sweep, merged
    into the single-qubit gates; no shots are lost. All Pauli strings are gauges of CZ. Of sqrt-iSWAP and Sycamore only some
    are, so that errors of the angle of these gates stay coherent. A gate on more than 3 qubits has none and stays as it is; the
    result says so. The standard error includes the finite number of gauges, by the scatter between blocks of gauges in each of
    which the first order of coherent errors cancels: 4 gauges of CZ, 8 of sqrt-iSWAP and Sycamore.

    Args:
        twirls: Number of gauges of each circuit, at least 1; over 16 in a row each CZ takes each of its gauges once, each
            sqrt-iSWAP or Sycamore twice.
        seed: Random seed for the gauges.

    Raises:
        ValueError: There are no twirls.

    Example:
        >>> import hattriq_cirq as hq
        >>> model, x = hq.ring_ansatz(2, 1), [0.1, 0.5, -0.3, 0.8]
        >>> options = dict(baseline=0, estimator=hq.ResolvedHadamardTest(), engine=hq.cirq_simulator(seed=1), shots=1000)
        >>> attribution = hq.integrated_gradients(model, x, mitigation=PauliTwirling(4), **options)
        >>> attribution.cost.circuits, attribution.cost.mitigation_circuits
        (1, 3)
    """

    twirls: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        set_fields(
            self,
            twirls=as_count(self.twirls, "twirls", 1, _TWIRLS_MAX, advice=f"be at least 1 and at most {_TWIRLS_MAX}"),
            seed=as_seed(self.seed),
        )

    def describe(self) -> str:
        """Return the mitigation in a few words."""
        return f"Pauli twirling ({quantity(self.twirls, 'gauge')}, seed {self.seed})"

    @property
    def leaves(self) -> frozenset[ErrorKind]:
        """Errors of angles become random ones, smaller by a power, but for those that all gauges have in common."""
        return ALL_KINDS - {"angles"}

    def expand(self, engine: Engine, programs: Programs, shots: Sequence[int] | None) -> Variants[None]:
        """Return one program for each, with its points in every gauge.

        Raises:
            CircuitRefusedError: A circuit is too long for the processor.
            ValueError: A circuit has fewer shots than there are twirls.
        """
        variants, copies = [], _Copies(programs, self.twirls)
        for i, program in enumerate(track(programs, "twirl", "program", total=len(programs))):
            circuit, points = twirl(program.circuit, program.points, self.twirls, (self.seed, i))
            _check(engine, circuit, "that is twirled", "leave twirling out, or use a shallower circuit")
            requests = tuple(r for copy in range(self.twirls) for r in copies.requests(program.requests, copy))
            variants.append(ParameterizedCircuit(circuit, requests, tuple(points)))
        return Variants(variants, copies.shots(shots, [1.0] * self.twirls), None)

    def combine(self, variants: Variants[None], outcomes: Outcomes) -> Mitigated:
        """Return the mean over the twirls of each request, with the scatter between them in its standard error."""
        sizes = {r: size for program in variants.programs for size in [block_size(program.circuit)] for r in program.requests}
        grouped = _outcomes_by_request(outcomes, self.twirls)
        mean = [mean_over_gauges(copies, sizes[request]) for request, copies in enumerate(grouped)]
        alone = sorted({kind for program in variants.programs for kind in _gates_without_gauges(program.circuit)})
        notes = [scatter_note(mean, self.twirls)]
        notes += [f"gates that have no gauge were not twirled: {', '.join(alone)}"] if alone else []
        return Mitigated(mean, MitigationSummary(notes=tuple(notes)))


@dataclass(frozen=True)
class DynamicalDecoupling(Mitigation[None]):
    """Fills idle time with pulses that cancel each other and slow drifts of the phase, by Cirq's transformer.

    It takes no additional circuits or shots. The noise of the virtual processors has no memory, so that they cannot show
    whether it helps on hardware: there it adds only the errors of the pulses.

    Args:
        schema: Pulse sequence, one of `SCHEMAS`.

    Raises:
        ValueError: The schema is unknown.

    Example:
        >>> import hattriq_cirq as hq
        >>> a, b = cirq.LineQubit.range(2)
        >>> idle = [cirq.Moment(cirq.T(b))] * 4
        >>> circuit = cirq.FrozenCircuit(cirq.CZ(a, b), idle, cirq.CZ(a, b), cirq.Moment(cirq.M(a, b)))
        >>> program = ParameterizedCircuit(circuit, (0,))
        >>> variants = DynamicalDecoupling("XX_PAIR").expand(hq.cirq_simulator(), [program], None)
        >>> print(variants.programs[0].circuit)
        0: ───@───X───X───X───X───@───M───
              │                   │   │
        1: ───@───T───T───T───T───@───M───
    """

    schema: str = "DEFAULT"

    def __post_init__(self) -> None:
        as_word(self.schema, "schema", SCHEMAS)

    def describe(self) -> str:
        """Return the mitigation in a few words."""
        return f"dynamical decoupling ({self.schema})"

    def expand(self, engine: Engine, programs: Programs, shots: Sequence[int] | None) -> Variants[None]:
        """Return every point of every program as a program without symbols: pulses depend on the gates around them."""
        variants = []
        for program in track(programs, "fill idle time", "program"):
            for request, point in zip(program.requests, program.points, strict=True):
                body, measurement = split_measurement(cirq.resolve_parameters(program.circuit, dict(point)))
                decoupled = cirq.add_dynamical_decoupling(body, schema=self.schema)
                if engine.processor is not None:
                    decoupled = cirq.map_operations(decoupled, _as_phased_xz)
                circuit = append_measurement(decoupled, measurement)
                _check(engine, circuit, "that is decoupled", "choose another schema")
                variants.append(ParameterizedCircuit(circuit, (request,)))
        return Variants(variants, shots, None)

    def combine(self, variants: Variants[None], outcomes: Outcomes) -> Mitigated:
        """Return the outcomes as they are."""
        note = "dynamical decoupling assumes noise that is slow compared with its pulses; the data do not test this"
        return Mitigated(outcomes, MitigationSummary(notes=(note,)))


def _as_phased_xz(op: cirq.Operation, _: int) -> cirq.Operation:
    """Return a Pauli pulse as the gate whose error processors state."""
    return cirq.PhasedXZGate.from_matrix(cirq.unitary(op))(*op.qubits) if isinstance(op.gate, cirq.Pauli) else op


def _check(engine: Engine, circuit: cirq.AbstractCircuit, change: str, cure: str) -> None:
    """Refuse a circuit that the engine's processor would refuse; without a processor any circuit runs."""
    if engine.processor is not None:
        check_runnable(engine.processor, circuit, change, cure)


class _Copies:
    """Several copies of each request: copy i of request r has the number i * requests + r."""

    def __init__(self, programs: Programs, copies: int) -> None:
        self._count, self._copies = sum(len(program.requests) for program in programs), copies

    def requests(self, requests: Sequence[int], copy: int) -> tuple[int, ...]:
        return tuple(copy * self._count + request for request in requests)

    def shots(self, shots: Sequence[int] | None, shares: Sequence[float]) -> list[int] | None:
        if shots is None:
            return None
        by_request = [allocate_shots(count, shares) for count in shots]
        return [each[copy] for copy in range(self._copies) for each in by_request]


def _outcomes_by_request(outcomes: Outcomes, copies: int) -> list[list[Distribution | QuasiDistribution]]:
    """Return the outcomes of all copies of each request."""
    count = len(outcomes) // copies
    return [[outcomes[copy * count + request] for copy in range(copies)] for request in range(count)]


def _gates_without_gauges(circuit: cirq.AbstractCircuit) -> Iterator[str]:
    """Yield the type and number of qubits of the gates on several qubits that twirling leaves as they are."""
    for op in circuit.all_operations():
        gate = op.gate or op
        if len(op.qubits) > 1 and not cirq.is_measurement(op) and len(gauges(gate)) == 1:
            yield f"{type(gate).__name__} on {quantity(len(op.qubits), 'qubit')}"
