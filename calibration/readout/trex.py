"""Twirled readout: corrects whole attribution maps by random bit flips, also where readout errors are correlated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import cirq
import numpy as np
import sympy
from scipy.sparse import csr_array, eye_array

from calibration.readout.calibration import ReadoutCalibration
from calibration.readout.drift import compare
from hattriq_cirq.circuits.deviation import ALL_KINDS, ErrorKind
from hattriq_cirq.circuits.linear_maps import LinearMap
from hattriq_cirq.circuits.outcomes import Distribution, QuasiDistribution, SharedUncertainty
from hattriq_cirq.circuits.program import ParameterizedCircuit, Point, Programs, only_measurements
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.arrays import FloatArray, parity_signs, walsh_hadamard
from hattriq_cirq.foundation.checks import as_count, as_seed, set_fields
from hattriq_cirq.pipeline.mitigation import Mitigated, Mitigation, MitigationSummary, Outcomes, Variants

_MAX_BITS = 11  # an outcome's derivatives by the calibration are 2**bits squared numbers, 34 MB
_MIN_SIGNIFICANCE = 5.0  # standard errors that a damping factor must be from 0 to be divided by
_SMALLEST_FACTOR = 1e-3  # smallest damping factor that is divided by, even without an error
#: Pairs (request of the variants, mask of its flips).
_Runs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _TwirledRequest:
    """The runs of an original request, and the index of the calibration of its register."""

    runs: _Runs
    calibration: int


@dataclass(frozen=True)
class TwirledReadoutContext:
    """Runs that belong together among the variants of `TwirledReadout`.

    Args:
        requests: Runs of each original request.
        calibrations: Calibration runs of each register of measured qubits.
    """

    requests: Mapping[int, _TwirledRequest]
    calibrations: tuple[_Runs, ...]


@dataclass(frozen=True)
class TwirledReadout(Mitigation[TwirledReadoutContext]):
    """Measures behind random bit flips that are undone in the counts, and divides each Walsh coefficient by its damping.

    Flips over a set of masks make any readout channel diagonal in the Walsh basis: the coefficient <Z^S> of the outcomes is
    damped by a factor f_S, which the same flips measure on |0...0>. The corrected measure is that of <Z^S> / f_S, for all S at
    once, a ratio of means over masks (van den Berg, Minev and Temme, PRA 105, 032620, 2022).

    The masks of a seed are a random linear code with its complements, shifted at random. They cancel exactly, and not only on
    average, every error that distinguishes the states of up to three bits, such as any asymmetry of single bits (their fourth
    order, (e1 - e0)**4, remains) and of pairs; 2**bits masks cancel every such error. Flips that do not depend on the state,
    correlated or not, need no cancelling. The flips of a circuit run as one sweep, a layer of X**0 and X**1 whose own errors
    are part of what the calibration measures. Readout must not change within a run: the calibrations before and after the data
    are compared, and the result says what was found.

    Args:
        masks: Number of masks, a power of 2; a circuit of few bits takes at most 2**bits, and one of more than masks/2 bits
            takes more.
        calibration_shots: Calibration shots for each register of measured qubits in a batch.
        seed: Random seed for the masks.

    Raises:
        ValueError: `masks` is not a power of 2, or there are fewer than two calibration shots per mask.

    Example:
        >>> import hattriq_cirq as hq
        >>> from calibration.testing import FaultyReadout
        >>> model, x = hq.ring_ansatz(2, 1), [0.1, 0.5, -0.3, 0.8]
        >>> engine = hq.sampler(FaultyReadout(e0=0.02, e1=0.1, seed=1))
        >>> options = dict(baseline=0, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=100_000)
        >>> hq.integrated_gradients(model, x, mitigation=TwirledReadout(), **options).values.round(2)
        array([ 0.01,  0.25, -0.09, -0.64])
    """

    masks: int = field(default=16, kw_only=True)
    calibration_shots: int = field(default=20_000, kw_only=True)
    seed: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        set_fields(self, masks=as_count(self.masks, "masks", None), seed=as_seed(self.seed))
        set_fields(self, calibration_shots=as_count(self.calibration_shots, "calibration_shots", None))
        if self.masks < 2 or self.masks.bit_count() != 1:
            raise ValueError(f"{self.masks=} must be a power of 2, at least 2")
        if self.calibration_shots < 2 * self.masks:
            raise ValueError(f"{self.calibration_shots=} must be at least two per mask, for {self.masks} masks")

    def describe(self) -> str:
        """Return the mitigation in a few words, for results."""
        return f"twirled readout ({self.masks} masks, {self.calibration_shots:,} calibration shots)"

    def flip_masks(self, bits: int) -> tuple[int, ...]:
        """Return the flips of a circuit, as big-endian integers: all different, complements next to each other.

        Args:
            bits: Number of bits that the circuit measures.

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
        rows = [2**bits - 1] + [int("".join(str(c >> t & 1) for c in columns), 2) for t in range(dimension - 1)]
        shift = int(rng.integers(2**bits))
        return tuple(
            int(np.bitwise_xor.reduce([shift, *(row for t, row in enumerate(rows) if word >> t & 1)]))
            for word in range(2**dimension)
        )

    @property
    def leaves(self) -> frozenset[ErrorKind]:
        """Errors of gates and idle time stay."""
        return ALL_KINDS - {"readout"}

    def expand(self, engine: Engine, programs: Programs, shots: Sequence[int] | None) -> Variants[TwirledReadoutContext]:
        """Return each program as one sweep over its points and masks; before and after all, the same flips on |0...0>.

        Half of a register's calibration shots are taken at each end, so that a steady drift is corrected at its mean.

        Raises:
            ValueError: A circuit measures more than 11 bits, for which the error of the correction cannot be computed.
        """
        variants: list[ParameterizedCircuit] = []
        counts: list[int] = []

        def add(
            circuit: cirq.OP_TREE, measurement: cirq.Operation, points: Sequence[Point], allotted: Iterable[int | None]
        ) -> list[_Runs]:
            """Append a circuit at its points, each with the flips of all masks."""
            masks, runs_of_points = self.flip_masks(_n_bits(measurement)), []
            flipped: list[Point] = []
            first = len(counts)
            for point, count in zip(points, allotted, strict=True):
                each = _shots_per_mask(count, len(masks))
                runs = tuple(zip(range(len(counts), len(counts) + len(each)), masks, strict=False))
                flipped += [{**point, **_flip_exponents(measurement, mask)} for _, mask in runs]
                counts.extend(each)
                runs_of_points.append(runs)
            with_flips = _with_flips(circuit, measurement)
            variants.append(ParameterizedCircuit(with_flips, tuple(range(first, len(counts))), tuple(flipped)))
            return runs_of_points

        def calibrate(end: int) -> list[_Runs]:
            """Append the flips on |0...0> of each register, with the first or the second half of the calibration's shots."""
            totals = [max(self.calibration_shots, 2 * len(self.flip_masks(_n_bits(register)))) for register in registers]
            halves = [None if shots is None else (total + end) // 2 for total in totals]
            return [add((), register, [{}], [half])[0] for register, half in zip(registers, halves, strict=True)]

        measurements = only_measurements([program.circuit for program in programs])
        registers = list(dict.fromkeys(measurements))
        before = calibrate(0)
        requests: dict[int, _TwirledRequest] = {}
        for program, measurement in zip(programs, measurements, strict=True):
            allotted = [None if shots is None else shots[request] for request in program.requests]
            runs_of_points = add(program.circuit[:-1], measurement, program.points, allotted)
            index = registers.index(measurement)
            requests |= {r: _TwirledRequest(runs, index) for r, runs in zip(program.requests, runs_of_points, strict=True)}
        after = [()] * len(registers) if shots is None else calibrate(1)
        calibrations = tuple(first + last for first, last in zip(before, after, strict=True))
        return Variants(variants, None if shots is None else counts, TwirledReadoutContext(requests, calibrations))

    def combine(self, variants: Variants[TwirledReadoutContext], outcomes: Outcomes) -> Mitigated:
        """Return one corrected measure per request, and the strongest damping; a register's outcomes share its calibration.

        Raises:
            ValueError: A Walsh coefficient is damped so much that its factor is compatible with 0.
        """
        dampings = [_Damping(_undo_flips(runs, outcomes)) for runs in variants.context.calibrations]
        corrected = [
            dampings[twirled.calibration].correct(_undo_flips(twirled.runs, outcomes))
            for _, twirled in sorted(variants.context.requests.items())
        ]
        strongest = [(float(d.factors[s]), float(d.errors[s])) for d in dampings for s in [int(np.argmin(d.factors))]]
        notes = tuple(
            f"readout damps some parity of the bits to {factor:.3f} +- {error:.3f}, which is divided out"
            for factor, error in sorted(strongest)[:1]
        )
        return Mitigated(corrected, MitigationSummary(notes=(*notes, *_drift(variants, outcomes))))


class _Damping:
    """The damping of every Walsh coefficient by a register's readout, from its outcomes for |0...0> with flips undone."""

    def __init__(self, measured: QuasiDistribution) -> None:
        self.measured = measured
        self.factors = walsh_hadamard(measured.probabilities)
        variance = np.maximum(1 - self.factors**2, 0)
        self.errors = np.zeros_like(variance) if measured.shots is None else np.sqrt(variance / measured.shots)
        margins = np.abs(self.factors) - np.maximum(_MIN_SIGNIFICANCE * self.errors, _SMALLEST_FACTOR)
        outcomes = len(self.factors)
        if margins.min() < 0:
            s = int(np.argmin(margins))
            raise ValueError(
                f"readout damps the parity of bits {s:0{outcomes.bit_length() - 1}b} to {self.factors[s]:.4f} +- "
                f"{self.errors[s]:.4f}, too close to 0 to divide by; give more calibration_shots than {measured.shots}, or "
                "measure fewer qubits"
            )
        self.shared = None if measured.shots is None else SharedUncertainty(measured.covariance(csr_array(eye_array(outcomes))))

    def correct(self, outcome: QuasiDistribution) -> QuasiDistribution:
        """Return an outcome divided by the factors; its derivative by the calibration's probabilities q is -b[x ^ y].

        b is the inverse transform of h_S / f_S**2, from the derivative of h_S / f_S with f = walsh_hadamard(q).
        """
        divided = outcome.mapped(LinearMap((1 / self.factors,)))
        slopes: dict[SharedUncertainty, FloatArray] = dict(divided.shared)
        if self.shared is not None:
            index = np.arange(len(self.factors))
            kernel = walsh_hadamard(walsh_hadamard(outcome.probabilities) / self.factors**2) / len(index)
            change = -kernel[index[:, np.newaxis] ^ index]
            slopes[self.shared] = change
            for shared, of_calibration in self.measured.shared.items():
                slopes[shared] = slopes.get(shared, 0.0) + change @ of_calibration
        return replace(divided, shared=slopes)


def _drift(variants: Variants[TwirledReadoutContext], outcomes: Outcomes) -> Iterator[str]:
    """Yield a note for each register on drift between the calibrations at both ends, whose flips prepare all states."""
    measurements = only_measurements([program.circuit for program in variants.programs])
    qubits = {r: m.qubits for program, m in zip(variants.programs, measurements, strict=True) for r in program.requests}
    for runs in variants.context.calibrations:
        counted = [o for o in (outcomes[request] for request, _ in runs) if isinstance(o, Distribution) and o.shots is not None]
        if len(counted) == len(runs):
            register, half = qubits[runs[0][0]], len(runs) // 2
            masks = np.array([mask for _, mask in runs[:half]])
            patterns = (masks[:, np.newaxis] >> np.arange(len(register) - 1, -1, -1) & 1).astype(bool)
            first, last = (ReadoutCalibration.from_outcomes(register, patterns, o) for o in (counted[:half], counted[half:]))
            yield str(compare(first, last))


def _undo_flips(runs: _Runs, outcomes: Outcomes) -> QuasiDistribution:
    """Return all outcomes of a request, or of a calibration, with their flips undone, as one outcome.

    Counts are added up and treated as multinomial: the difference between masks, which is not random, is of second order in
    the readout's asymmetry and only makes the errors larger.
    """
    masked = [(outcomes[request], mask) for request, mask in runs]
    plain = [(o, mask) for o, mask in masked if isinstance(o, Distribution)]
    index = np.arange(len(masked[0][0].probabilities))
    if len(plain) == len(masked) and all(o.shots is not None for o, _ in plain):
        counts = np.sum([o.counts[index ^ mask] for o, mask in plain], axis=0)
        return QuasiDistribution.from_outcome(Distribution.from_counts(counts))
    if len(plain) == len(masked):
        mean = np.mean([o.probabilities[index ^ mask] for o, mask in plain], axis=0)
        return QuasiDistribution.from_outcome(Distribution(mean, None))
    shots = np.array([o.shots or 1 for o, _ in masked])
    unflipped = [QuasiDistribution.from_outcome(o).mapped(LinearMap((parity_signs(index & mask),))) for o, mask in masked]
    return QuasiDistribution.combined((shots / shots.sum()).tolist(), unflipped)


def _with_flips(circuit: cirq.OP_TREE, measurement: cirq.Operation) -> cirq.FrozenCircuit:
    """Return a circuit with a layer of symbolic flips between it and its measurement."""
    before = cirq.Circuit(circuit)
    if used := cirq.parameter_names(before) & set(_symbols(measurement)):
        raise ValueError(f"a circuit has symbols {sorted(used)} already; twirl readout only once")
    flips = [cirq.X(q) ** sympy.Symbol(name) for q, name in zip(measurement.qubits, _symbols(measurement), strict=True)]
    return cirq.FrozenCircuit(*before, cirq.Moment(flips), cirq.Moment(measurement))


def _symbols(measurement: cirq.Operation) -> list[str]:
    return [f"flip{i}" for i in range(len(measurement.qubits))]


def _flip_exponents(measurement: cirq.Operation, mask: int) -> dict[str, float]:
    """Return the exponent of each flip of a mask."""
    names = _symbols(measurement)
    return {name: float(mask >> (len(names) - 1 - i) & 1) for i, name in enumerate(names)}


def _n_bits(measurement: cirq.Operation) -> int:
    """Return the number of measured bits, at most 11."""
    bits = len(measurement.qubits)
    if bits > _MAX_BITS:
        raise ValueError(
            f"a circuit measures {bits} bits; the error of its twirled readout takes 4**{bits} numbers, at most "
            f"4**{_MAX_BITS} are kept: measure fewer qubits, or use calibration.Readout"
        )
    return bits


def _shots_per_mask(shots: int | None, masks: int) -> list[int]:
    """Return the shots of each mask, at least 1; with fewer shots than masks, only that many masks are used."""
    if shots is None:
        return [1] * masks
    used = min(shots, masks)
    each, more = divmod(shots, used)
    return [each + (i < more) for i in range(used)]
