"""Readout twirled by random bit flips: right for whole attribution maps, also where readout errors are correlated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import cirq
import numpy as np
import sympy
from scipy.sparse import csr_array, eye_array

from hattriq_cirq.circuits.outcomes import Distribution, Identity, LinearMap, LinearTerm, QuasiDistribution, SharedUncertainty
from hattriq_cirq.circuits.program import ParameterizedCircuit, Point, only_measurement
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import FloatArray, parity_signs, read_only, walsh_hadamard
from hattriq_cirq.pipeline.mitigation import Mitigation, MitigationSummary, Outcomes, Variants

_WIDEST = 11  # bits: what an outcome remembers of the calibration is 2**bits squared numbers, 34 MB
_Runs = tuple[tuple[int, int], ...]
"""(variant, mask) pairs."""
_CLEAR = 5.0  # standard errors that a factor must be from 0 to be divided by
_LEAST = 1e-3  # what a factor must exceed even without an error


@dataclass(frozen=True, eq=False)
class WalshFactors:
    """The operator that multiplies each Walsh coefficient by a factor: a convolution over XOR, so that it is symmetric.

    Args:
        factors: (2**bits,), of the coefficient of each set of bits.
        inner: what is applied first.
    """

    factors: FloatArray
    inner: LinearMap = field(default_factory=Identity)

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", read_only(np.asarray(self.factors, dtype=float)))

    def multiplied(self, measures: FloatArray) -> FloatArray:
        """(..., 2**bits) measures, each with its coefficients multiplied."""
        return walsh_hadamard(self.factors * walsh_hadamard(measures)) / len(self.factors)

    def apply(self, measure: FloatArray) -> FloatArray:
        """(2**bits,) to (2**bits,)."""
        return self.multiplied(self.inner.apply(measure))

    def covariance(self, weights: csr_array, counted: Distribution) -> FloatArray:
        """Of weights @ apply(probabilities), (values, values)."""
        return self.inner.covariance(csr_array(self.multiplied(weights.toarray())), counted)

    def variances(self, weights: csr_array, counted: Distribution) -> FloatArray:
        """The diagonal of `covariance`, (values,)."""
        return self.inner.variances(csr_array(self.multiplied(weights.toarray())), counted)

    def after(self, outcome: QuasiDistribution) -> QuasiDistribution:
        """An outcome with the operator applied to it."""
        parts = tuple(replace(part, operator=WalshFactors(self.factors, part.operator)) for part in outcome.parts)
        return QuasiDistribution(parts, {shared: self.multiplied(moved.T).T for shared, moved in outcome.shared.items()})


@dataclass(frozen=True)
class _Twirled:
    """What is run for a request, and which calibration belongs to it."""

    runs: _Runs
    calibration: int


@dataclass(frozen=True)
class _Memory:
    requests: Mapping[int, _Twirled]
    calibrations: tuple[_Runs, ...]


@dataclass(frozen=True)
class TwirledReadout(Mitigation):
    """Measures behind bit flips that are undone in the counts, and divides every Walsh coefficient by its measured damping.

    Flips drawn over a set of masks make any readout channel diagonal in the Walsh basis: the coefficient <Z^S> of the
    outcomes is damped by a factor f_S, which the same flips measure on |0...0>. The corrected measure is that of <Z^S> / f_S,
    for all S at once, a ratio of means over masks (van den Berg, Minev and Temme, PRA 105, 032620, 2022).

    The masks of one seed are a random linear code with its complements, shifted at random. Without a shift of the average
    they cancel, exactly, every error that tells the states of up to three bits apart, such as any asymmetry of single bits
    (their fourth order, (e1 - e0)**4, is left) and of pairs; with 2**bits masks every error whatever. Flips that do not
    care for the state, correlated or not, need no cancelling. Flips run as one sweep a circuit, a layer of X**0 and X**1
    whose own errors are part of what the calibration measures.

    Args:
        masks: a power of 2; a circuit of few bits takes no more than its 2**bits, one of more than masks/2 bits takes more.
        calibration_shots: in all for each register of measured qubits of a batch.
        seed: of the masks.

    Raises:
        ValueError: no power of 2, or fewer calibration shots than two a mask.
    """

    masks: int = field(default=16, kw_only=True)
    calibration_shots: int = field(default=20_000, kw_only=True)
    seed: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        if self.masks < 2 or self.masks.bit_count() != 1:
            raise ValueError(f"{self.masks=} must be a power of 2, at least 2")
        if self.calibration_shots < 2 * self.masks:
            raise ValueError(f"{self.calibration_shots=} must be at least two for each of {self.masks} masks")

    def describe(self) -> str:
        """The mitigation in a few words, for results."""
        return f"twirled readout ({self.masks} masks, {self.calibration_shots:,} calibration shots)"

    def masks_of(self, bits: int) -> tuple[int, ...]:
        """The flips of a circuit, as big-endian integers: all different, complements next to each other.

        Args:
            bits: that it measures.

        Returns:
            The code {sum of some rows} + shift, row 0 all ones. The columns of the other rows are all different, so that no
            sum of fewer than four whole columns vanishes: the sign (-1)**popcount(m & W) of up to three bits W averages to 0.
        """
        rng = np.random.default_rng([self.seed, bits])
        dimension = min(bits, max(self.masks.bit_length() - 1, (2 * bits - 1).bit_length()))
        columns = [0, *(1 << t for t in range(dimension - 1))]  # so that no two masks are the same
        others = [int(c) for c in rng.permutation(2 ** (dimension - 1)) if c not in columns]
        while len(columns) < bits:
            sums = {a ^ b ^ c for a, b, c in combinations(columns, 3)}
            columns.append(others.pop(next((i for i, c in enumerate(others) if c not in sums), 0)))
        columns = [columns[i] for i in rng.permutation(bits)]
        rows = [2**bits - 1] + [_packed(c >> t & 1 for c in columns) for t in range(dimension - 1)]
        shift = int(rng.integers(2**bits))
        return tuple(
            int(np.bitwise_xor.reduce([shift, *(row for t, row in enumerate(rows) if word >> t & 1)]))
            for word in range(2**dimension)
        )

    def expand(self, engine: Engine, programs: Sequence[ParameterizedCircuit], shots: Sequence[int] | None) -> Variants:
        """Each program as one sweep over its points and masks; before and after all, the same flips on |0...0>.

        Half of a register's calibration shots are taken at each end, so that what drifts steadily is met at its mean.

        Raises:
            ValueError: a circuit measures more bits than the error of its correction can be remembered for.
        """
        made: list[ParameterizedCircuit] = []
        counts: list[int] = []

        def add(
            circuit: Any, measurement: cirq.Operation, points: Sequence[Point], allotted: Iterable[int | None]
        ) -> list[_Runs]:
            """Appends a circuit at its points, each with the flips of all masks."""
            masks, of_points = self.masks_of(_width(measurement)), []
            flipped: list[Point] = []
            first = len(counts)
            for point, count in zip(points, allotted, strict=True):
                shared_out = _shared_out(count, len(masks))
                runs = tuple(zip(range(len(counts), len(counts) + len(shared_out)), masks, strict=False))
                flipped += [{**point, **_flips(measurement, mask)} for _, mask in runs]
                counts.extend(shared_out)
                of_points.append(runs)
            made.append(
                ParameterizedCircuit(_with_flips(circuit, measurement), tuple(range(first, len(counts))), tuple(flipped))
            )
            return of_points

        def calibrate(end: int) -> list[_Runs]:
            """Appends the flips on |0...0> of each register, with the first or the second half of the calibration's shots."""
            totals = [max(self.calibration_shots, 2 * len(self.masks_of(_width(register)))) for register in registers]
            halves = [None if shots is None else (total + end) // 2 for total in totals]
            return [add((), register, [{}], [half])[0] for register, half in zip(registers, halves, strict=True)]

        measurements = [only_measurement(program.circuit) for program in programs]
        registers = list(dict.fromkeys(measurements))
        before = calibrate(0)
        requests: dict[int, _Twirled] = {}
        for program, measurement in zip(programs, measurements, strict=True):
            allotted = [None if shots is None else shots[request] for request in program.requests]
            of_points = add(program.circuit[:-1], measurement, program.points, allotted)
            at = registers.index(measurement)
            requests |= {request: _Twirled(runs, at) for request, runs in zip(program.requests, of_points, strict=True)}
        after = [()] * len(registers) if shots is None else calibrate(1)
        calibrations = tuple(first + last for first, last in zip(before, after, strict=True))
        return Variants(made, None if shots is None else counts, _Memory(requests, calibrations))

    def combine(self, variants: Variants, outcomes: Outcomes) -> list[Distribution | QuasiDistribution]:
        """One corrected measure for each request; those of one register share their calibration's error.

        Raises:
            ValueError: a Walsh coefficient is damped so much that its factor cannot be told from 0.
        """
        memory: _Memory = variants.context
        found = [_Damping(_undone(runs, outcomes)) for runs in memory.calibrations]
        return [
            found[twirled.calibration].corrected(_undone(twirled.runs, outcomes))
            for _, twirled in sorted(memory.requests.items())
        ]

    def report(self, variants: Variants, outcomes: Outcomes) -> MitigationSummary:
        """The strongest damping that was corrected for."""
        memory: _Memory = variants.context
        found = [_Damping(_undone(runs, outcomes)) for runs in memory.calibrations]
        if not found:
            return MitigationSummary()
        least, error = min((float(d.factors[s]), float(d.errors[s])) for d in found for s in [int(np.argmin(d.factors))])
        return MitigationSummary(
            notes=(f"readout damps some parity of the bits to {least:.3f} +- {error:.3f}, which is divided out",)
        )


class _Damping:
    """How a register's readout damps every Walsh coefficient, from its outcomes for |0...0> with flips undone."""

    def __init__(self, measured: QuasiDistribution) -> None:
        self.measured = measured
        self.factors = walsh_hadamard(measured.probabilities)
        spread = np.maximum(1 - self.factors**2, 0)
        self.errors = np.zeros_like(spread) if measured.shots is None else np.sqrt(spread / measured.shots)
        doubtful = np.abs(self.factors) - np.maximum(_CLEAR * self.errors, _LEAST)
        if doubtful.min() < 0:
            s = int(np.argmin(doubtful))
            raise ValueError(
                f"readout damps the parity of bits {s:0{_bits(measured)}b} to {self.factors[s]:.4f} +- {self.errors[s]:.4f}, "
                f"too close to 0 to divide by; give more calibration_shots than {measured.shots}, or measure fewer qubits"
            )
        outcomes = len(self.factors)
        self.shared = None if measured.shots is None else SharedUncertainty(measured.covariance(csr_array(eye_array(outcomes))))

    def corrected(self, outcome: QuasiDistribution) -> QuasiDistribution:
        """An outcome divided by the factors; its change with the calibration's probabilities q is -b[x ^ y].

        b is the inverse transform of h_S / f_S**2, from the derivative of h_S / f_S with f = walsh_hadamard(q).
        """
        divided = WalshFactors(1 / self.factors).after(outcome)
        moved: dict[SharedUncertainty, FloatArray] = dict(divided.shared)
        if self.shared is not None:
            index = np.arange(len(self.factors))
            kernel = walsh_hadamard(walsh_hadamard(outcome.probabilities) / self.factors**2) / len(index)
            change = -kernel[index[:, np.newaxis] ^ index]
            moved[self.shared] = change
            for shared, of_calibration in self.measured.shared.items():
                moved[shared] = moved.get(shared, 0.0) + change @ of_calibration
        return QuasiDistribution(divided.parts, moved)


def _undone(pairs: _Runs, outcomes: Outcomes) -> QuasiDistribution:
    """All outcomes of a request, or of a calibration, with their flips undone, as one.

    Counts are added up and taken for multinomial ones: the spread between masks, which is not random, is of second order
    in the readout's asymmetry and makes errors no smaller than they are.
    """
    runs = [(outcomes[number], mask) for number, mask in pairs]
    plain = [(o, mask) for o, mask in runs if isinstance(o, Distribution)]
    index = np.arange(len(runs[0][0].probabilities))
    if len(plain) == len(runs) and all(o.shots is not None for o, _ in plain):
        return QuasiDistribution(
            (LinearTerm(Distribution.from_counts(np.sum([o.counts[index ^ mask] for o, mask in plain], axis=0))),)
        )
    if len(plain) == len(runs):
        mean = np.mean([o.probabilities[index ^ mask] for o, mask in plain], axis=0)
        return QuasiDistribution((LinearTerm(Distribution(mean, None)),))
    shots = np.array([o.shots or 1 for o, _ in runs])
    turned = [WalshFactors(parity_signs(index & mask)).after(QuasiDistribution.of(o)) for o, mask in runs]
    return QuasiDistribution.combined((shots / shots.sum()).tolist(), turned)


def _with_flips(circuit: Any, measurement: cirq.Operation) -> cirq.FrozenCircuit:
    """A circuit with a layer of flips by symbols between it and its measurement."""
    before = cirq.Circuit(circuit)
    if taken := cirq.parameter_names(before) & set(_names(measurement)):
        raise ValueError(f"a circuit has symbols {sorted(taken)} already; twirl readout once only")
    flips = [cirq.X(q) ** sympy.Symbol(name) for q, name in zip(measurement.qubits, _names(measurement), strict=True)]
    return cirq.FrozenCircuit(*before, cirq.Moment(flips), cirq.Moment(measurement))


def _names(measurement: cirq.Operation) -> list[str]:
    return [f"flip{i}" for i in range(len(measurement.qubits))]


def _flips(measurement: cirq.Operation, mask: int) -> dict[str, float]:
    """The exponents of a mask's flips."""
    names = _names(measurement)
    return {name: float(mask >> (len(names) - 1 - i) & 1) for i, name in enumerate(names)}


def _width(measurement: cirq.Operation) -> int:
    bits = len(measurement.qubits)
    if bits > _WIDEST:
        raise ValueError(
            f"a circuit measures {bits} qubits; the error of its twirled readout takes 4**{bits} numbers, at most "
            f"4**{_WIDEST} are kept: measure fewer qubits, or use the product correction"
        )
    return bits


def _bits(outcome: QuasiDistribution) -> int:
    return len(outcome.probabilities).bit_length() - 1


def _packed(bits: Iterable[int]) -> int:
    """Big-endian bits as an integer."""
    return int("".join(map(str, bits)), 2)


def _shared_out(shots: int | None, masks: int) -> list[int]:
    """Shots of each mask, at least 1; the first so many masks only where there are fewer shots."""
    if shots is None:
        return [1] * masks
    used = min(shots, masks)
    each, more = divmod(shots, used)
    return [each + (i < more) for i in range(used)]
