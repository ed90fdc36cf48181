"""Noise beyond a processor's calibration, on which no correction was tuned: `hattriq_cirq.virtual(..., extra_noise=)`.

`ZZCrosstalk`, `CorrelatedReadout` and `Loss` are noise models of Cirq, which any simulator takes. `ScaledErrors` changes the
errors of a calibration, and `Drift` changes with the place of each circuit in the run: only a virtual processor knows these.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache, reduce
from hashlib import sha256
from itertools import combinations, pairwise
from typing import Any, cast

import cirq
import numpy as np

from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.checks import ArgumentTypeError, as_count, as_number, as_seed, set_fields, shown
from hattriq_cirq.foundation.text import decimal

_VIRTUAL = cirq.VirtualTag()
_READOUT_MAX = 0.5  # largest probability of a flipped bit: it is then random
_ON_A_LATTICE = cirq.GridQubit | cirq.LineQubit


@dataclass(frozen=True)
class ZZCrosstalk(cirq.NoiseModel):
    """Coherent ZZ crosstalk: a two-qubit gate turns the pairs that its qubits form with their other neighbours.

    In each moment with two-qubit gates, exp(-i angle/2 ZZ) acts on every pair of neighbours of which at least one takes part in
    a gate of the moment and which no gate joins. Neighbours are adjacent `cirq.GridQubit` or `cirq.LineQubit`; qubits of
    other types are neighbours of those next to them in Cirq's order.

    Args:
        angle: Angle per moment in radians.

    Example:
        >>> a, b, c = cirq.LineQubit.range(3)
        >>> [op] = cirq.Circuit(cirq.CZ(a, b), cirq.X(c)).with_noise(ZZCrosstalk(np.pi / 4))[1]
        >>> op.qubits == (b, c), op.gate.exponent
        (True, 0.25)
    """

    angle: float = 0.05

    def __post_init__(self) -> None:
        set_fields(self, angle=as_number(self.angle, "angle"))

    def noisy_moment(self, moment: cirq.Moment, system_qubits: Sequence[cirq.Qid]) -> list[cirq.Moment]:
        """Return the moment, followed by the crosstalk."""
        joined = {frozenset(op.qubits) for op in _gates_on_pairs(moment)}
        active = frozenset[cirq.Qid]().union(*joined)
        gate = cirq.ZZPowGate(exponent=self.angle / np.pi, global_shift=-0.5)
        turned = [
            gate.on(*pair)
            for pair in neighbours(tuple(system_qubits))
            if not active.isdisjoint(pair) and frozenset(pair) not in joined
        ]
        return [moment, *_virtual_moments(turned)]


@dataclass(frozen=True)
class CorrelatedReadout(cirq.NoiseModel):
    """Readout errors that neighbouring qubits have in common, which no correction per qubit can remove.

    Immediately before the measurement, both bits of each pair of measured neighbours (as for `ZZCrosstalk`) are flipped
    together with probability `joint`; and each bit is flipped with probability `conditional` where its neighbour is 1.

    Args:
        joint: Probability of a common flip, 0 to 0.5.
        conditional: Probability of a flip next to a 1, 0 to 0.5.

    Example:
        >>> a, b = cirq.LineQubit.range(2)
        >>> noisy = cirq.Circuit(cirq.X(a), cirq.measure(a, b)).with_noise(CorrelatedReadout(joint=0.1, conditional=0))
        >>> rho = cirq.DensityMatrixSimulator().simulate(noisy[:-1], qubit_order=[a, b]).final_density_matrix
        >>> [float(f"{p:.3f}") for p in np.diag(rho).real]
        [0.0, 0.1, 0.9, 0.0]
    """

    joint: float = 0.01
    conditional: float = 0.01

    def __post_init__(self) -> None:
        probabilities = {name: as_number(getattr(self, name), name, 0, _READOUT_MAX) for name in ("joint", "conditional")}
        set_fields(self, **probabilities)

    def noisy_moment(self, moment: cirq.Moment, system_qubits: Sequence[cirq.Qid]) -> list[cirq.Moment]:
        """Return the moment, preceded by common errors of what it measures."""
        measured = sorted(q for op in moment if cirq.is_measurement(op) for q in op.qubits)
        pairs = neighbours(tuple(measured))
        flips = [cirq.asymmetric_depolarize(error_probabilities=_joint_flip(self.joint)).on(*pair) for pair in pairs]
        beside = [_flip_beside(self.conditional).on(*order) for a, b in pairs for order in ((a, b), (b, a))]
        return [*_virtual_moments([*(flips if self.joint else []), *(beside if self.conditional else [])]), moment]


@dataclass(frozen=True)
class Loss(cirq.NoiseModel):
    """Loss of a qubit in a two-qubit gate, as by leakage: the qubit is replaced by |1>, as which a leaked qubit is read.

    It acts after each two-qubit gate on each of its qubits. Simulated qubits have two levels, so that later gates act on the
    replaced qubit as on any other.

    Args:
        rate: Probability per two-qubit gate and qubit, 0 to 1.

    Example:
        >>> a, b = cirq.LineQubit.range(2)
        >>> rho = cirq.DensityMatrixSimulator(noise=Loss(0.1)).simulate(cirq.Circuit(cirq.CZ(a, b))).final_density_matrix
        >>> [float(f"{p:.3f}") for p in np.diag(rho).real]
        [0.81, 0.09, 0.09, 0.01]
    """

    rate: float = 0.002

    def __post_init__(self) -> None:
        set_fields(self, rate=as_number(self.rate, "rate", 0, 1))

    def noisy_moment(self, moment: cirq.Moment, system_qubits: Sequence[cirq.Qid]) -> list[cirq.Moment]:
        """Return the moment, followed by the loss of qubits of its two-qubit gates."""
        return [moment, *_virtual_moments([_loss(self.rate).on(q) for op in _gates_on_pairs(moment) for q in op.qubits])]


@dataclass(frozen=True)
class ScaledErrors:
    """All errors of a calibration multiplied by a factor: decay, dephasing, gates, and readout.

    Systematic errors of two-qubit angles are multiplied by the square root of the factor, so that their part of the gates'
    errors is multiplied by the factor too.

    Args:
        factor: Factor, above 0.

    Example:
        >>> ScaledErrors(2)
        ScaledErrors(factor=2.0)
    """

    factor: float = 2.0

    def __post_init__(self) -> None:
        set_fields(self, factor=as_number(self.factor, "factor", above=0))


@dataclass(frozen=True)
class Drift:
    """Errors that grow with the shots that a run has taken, at a rate of its own for each qubit.

    After t times `shots` shots, every PhasedXZ rotation of qubit q turns by 1 + angles * u_q * t times its angle, and its
    measured bit is flipped with the additional probability readout * v_q * t, at most 0.5. The numbers u_q in -1..1 and v_q in
    0..1 are random and fixed by the seed. Each circuit at each point of a sweep has the errors of the middle of its shots;
    exact probabilities (`shots=None`) are those at the beginning of the run.

    Args:
        angles: Largest relative change of rotation angles after `shots` shots.
        readout: Largest additional probability of a flipped bit after `shots` shots, at least 0.
        shots: Number of shots in which errors grow by these amounts.
        seed: Random seed for the rates of qubits.

    Example:
        >>> q = cirq.GridQubit(0, 0)
        >>> turned = cirq.PhasedXZGate(x_exponent=0.5, z_exponent=0, axis_phase_exponent=0).on(q)
        >>> drifted = Drift(angles=0.1, readout=0).apply(cirq.FrozenCircuit(turned, cirq.measure(q)), 500_000)
        >>> 0 < abs(drifted[0].operations[0].gate.x_exponent - 0.5) < 0.025
        True
    """

    angles: float = 0.02
    readout: float = 0.01
    shots: int = 1_000_000
    seed: int = 0

    def __post_init__(self) -> None:
        set_fields(
            self,
            angles=as_number(self.angles, "angles"),
            readout=as_number(self.readout, "readout", 0),
            shots=as_count(self.shots, "shots"),
            seed=as_seed(self.seed),
        )

    def apply(self, circuit: cirq.FrozenCircuit, shots: float) -> cirq.FrozenCircuit:
        """Return a circuit without symbols with the errors that a run has after a number of shots.

        Flipped bits are a part of the measurement's confusion map.
        """
        time = shots / self.shots

        def drift(op: cirq.Operation) -> cirq.Operation:
            if isinstance(op.gate, cirq.PhasedXZGate) and self.angles:
                gate, factor = op.gate, 1 + self.angles * self._rates(op.qubits[0])[0] * time
                turned = cirq.PhasedXZGate(
                    x_exponent=gate.x_exponent * factor,
                    z_exponent=gate.z_exponent,
                    axis_phase_exponent=gate.axis_phase_exponent,
                )
                return turned.on(*op.qubits).with_tags(*op.tags)
            if isinstance(op.gate, cirq.MeasurementGate) and self.readout:
                flips = [min(_READOUT_MAX, self.readout * self._rates(q)[1] * time) for q in op.qubits]
                return with_flipped_bits(op, flips)
            return op

        def drifted(moment: cirq.Moment) -> cirq.Moment:
            changed = [drift(op) for op in moment]
            return (
                moment if all(new is old for new, old in zip(changed, moment, strict=True)) else cirq.Moment.from_ops(*changed)
            )

        return cirq.FrozenCircuit.from_moments(*map(drifted, circuit))

    def _rates(self, qubit: cirq.Qid) -> tuple[float, float]:
        return _random_rates(self.seed, repr(qubit))


#: Any noise beyond a calibration.
ExtraNoise = ZZCrosstalk | CorrelatedReadout | Loss | ScaledErrors | Drift
_KINDS = (ZZCrosstalk, CorrelatedReadout, Loss, ScaledErrors, Drift)
#: Word of a text -> the noise of the number that follows it.
WORDS: Mapping[str, Any] = {
    "zz": ZZCrosstalk,
    "joint-readout": lambda number: CorrelatedReadout(number, 0.0),
    "conditional-readout": lambda number: CorrelatedReadout(0.0, number),
    "loss": Loss,
    "scale": ScaledErrors,
    "drift": lambda number: Drift(number, 0.0),
    "readout-drift": lambda number: Drift(0.0, number),
}


@dataclass(frozen=True)
class NoiseSequence(cirq.NoiseModel):
    """Several noise models, one after the other; each leaves the operations that earlier ones added as they are.

    Args:
        models: Noise models of Cirq.

    Example:
        >>> import hattriq_cirq as hq
        >>> engine = hq.cirq_simulator(noise=NoiseSequence([ZZCrosstalk(0.1), Loss(0.01)]))
    """

    models: Sequence[cirq.NoiseModel]

    def __post_init__(self) -> None:
        models = tuple(self.models) if isinstance(self.models, Iterable) else ()
        if not models or not all(isinstance(model, cirq.NoiseModel) for model in models):
            raise ArgumentTypeError(f"models={shown(self.models)} must be noise models of Cirq, at least one")
        set_fields(self, models=models)

    def noisy_moments(self, moments: Iterable[cirq.Moment], system_qubits: Sequence[cirq.Qid]) -> list[cirq.OP_TREE]:
        """Return moments with the noise of all models."""
        return cast(list[cirq.OP_TREE], reduce(lambda kept, model: _noisy(model, kept, system_qubits), self.models, moments))


def as_extra_noise(value: object) -> tuple[ExtraNoise, ...]:
    """Return noise beyond a calibration, given as one value, several, or a text.

    Args:
        value: Value such as `ZZCrosstalk(0.05)`, sequence of such values, text such as "zz=0.05,scale=2", or None for none.

    Returns:
        The values, in order.

    Raises:
        ValueError: The value is something else, or the text names no noise.

    Example:
        >>> as_extra_noise("zz=0.05,scale=2")
        (ZZCrosstalk(angle=0.05), ScaledErrors(factor=2.0))
    """
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(map(_parse, value.split(",")))
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not all(isinstance(each, _KINDS) for each in values):
        names = ", ".join(kind.__name__ for kind in _KINDS)
        raise ArgumentTypeError(
            f"extra_noise={shown(value)} must be values of hattriq_cirq.noise ({names}), a text such as 'zz=0.05,scale=2', or "
            "None"
        )
    return values


def _parse(text: str) -> ExtraNoise:
    """Return the noise that "word=number" names."""
    word, _, number = text.strip().partition("=")
    size = decimal(number) if re.fullmatch(r"\S+", number) else None
    if word not in WORDS or size is None:
        raise ValueError(f"extra noise {text!r} must be WORD=NUMBER, with one of the words {', '.join(WORDS)}")
    found: ExtraNoise = WORDS[word](size)
    return found


def to_record(noise: Sequence[ExtraNoise]) -> list[dict[str, Any]]:
    """Return noise beyond a calibration as JSON, which `from_record` reads.

    Example:
        >>> to_record([Loss(0.01)])
        [{'kind': 'Loss', 'rate': 0.01}]
    """
    return [{"kind": type(each).__name__, **asdict(each)} for each in noise]


def from_record(record: Sequence[Mapping[str, Any]]) -> tuple[ExtraNoise, ...]:
    """Return the noise that a record of an engine names under `extra_noise`.

    Raises:
        ValueError: The record names no such noise.

    Example:
        >>> from_record([{"kind": "Loss", "rate": 0.01}])
        (Loss(rate=0.01),)
    """
    kinds: dict[str, Any] = {kind.__name__: kind for kind in _KINDS}
    try:
        return tuple(kinds[each["kind"]](**{k: v for k, v in each.items() if k != "kind"}) for each in record)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"extra_noise={shown(record)} of a record must list kinds of {', '.join(kinds)}") from error


@lru_cache(maxsize=256)
def neighbours(qubits: tuple[cirq.Qid, ...]) -> tuple[tuple[cirq.Qid, cirq.Qid], ...]:
    """Return the pairs of neighbours among qubits.

    Neighbours are adjacent qubits of a grid or line; a qubit of another type is a neighbour of those next to it in Cirq's
    order.

    Example:
        >>> neighbours((cirq.GridQubit(0, 0), cirq.GridQubit(0, 1), cirq.GridQubit(2, 0)))
        ((cirq.GridQubit(0, 0), cirq.GridQubit(0, 1)),)
    """
    ordered = sorted(qubits)
    adjacent = [
        (a, b) for a, b in combinations(ordered, 2) if isinstance(a, _ON_A_LATTICE) and type(a) is type(b) and a.is_adjacent(b)
    ]
    others = [(a, b) for a, b in pairwise(ordered) if not (isinstance(a, _ON_A_LATTICE) and isinstance(b, _ON_A_LATTICE))]
    return (*adjacent, *others)


def with_flipped_bits(measurement: cirq.Operation, probabilities: Sequence[float]) -> cirq.Operation:
    """Return a measurement whose bits are flipped with given probabilities, (bits,), after any other error of its readout.

    Example:
        >>> with_flipped_bits(cirq.measure(cirq.q(0)), [0.25]).gate.confusion_map[(0,)].tolist()
        [[0.75, 0.25], [0.25, 0.75]]
    """
    gate = measurement.gate
    assert isinstance(gate, cirq.MeasurementGate)
    flips = [np.array([[1 - p, p], [p, 1 - p]]) for p in probabilities]
    confusion: dict[tuple[int, ...], FloatArray] = {
        positions: matrix @ reduce(np.kron, [flips[i] for i in positions]) for positions, matrix in gate.confusion_map.items()
    }
    apart = set(range(len(flips))).difference(*gate.confusion_map)
    confusion |= {(i,): flips[i] for i in sorted(apart) if probabilities[i]}
    return cirq.MeasurementGate(gate.num_qubits(), gate.mkey, gate.invert_mask, confusion_map=confusion).on(*measurement.qubits)


def confusion_as_channels(circuit: cirq.AbstractCircuit) -> cirq.Circuit:
    """Return a circuit whose measurement at the end confuses no bits, because channels in front of it do.

    Example:
        >>> circuit = cirq.Circuit(with_flipped_bits(cirq.measure(cirq.q(0)), [0.25]))
        >>> [len(moment) for moment in confusion_as_channels(circuit)]
        [1, 1]
    """
    (measurement,) = circuit[-1].operations
    gate = measurement.gate
    assert isinstance(gate, cirq.MeasurementGate)
    channels = [
        _classical_channel(matrix).on(*(measurement.qubits[i] for i in positions)).with_tags(_VIRTUAL)
        for positions, matrix in gate.confusion_map.items()
    ]
    plain = cirq.MeasurementGate(gate.num_qubits(), gate.mkey, gate.invert_mask).on(*measurement.qubits)
    return cirq.Circuit(circuit[:-1], cirq.Moment(channels), cirq.Moment(plain))


def _classical_channel(matrix: FloatArray) -> cirq.Gate:
    """Return the channel that replaces basis states with probabilities [before, after]."""
    size = len(matrix)
    kraus = [np.sqrt(matrix[i, j]) * np.outer(np.eye(size)[j], np.eye(size)[i]) for i, j in np.argwhere(matrix > 0)]
    return _Channel(f"confusion {matrix.tolist()}", tuple(kraus))


@dataclass(frozen=True)
class _Channel(cirq.Gate):
    """Channel that is known by a text, since Cirq's own `KrausChannel` cannot be hashed."""

    text: str
    kraus: tuple[FloatArray, ...] = field(compare=False, repr=False)

    def _num_qubits_(self) -> int:
        return len(self.kraus[0]).bit_length() - 1

    def _kraus_(self) -> tuple[FloatArray, ...]:
        return self.kraus

    def _circuit_diagram_info_(self, args: cirq.CircuitDiagramInfoArgs) -> tuple[str, ...]:
        return (self.text,) * self._num_qubits_()


def _noisy(model: cirq.NoiseModel, moments: Iterable[cirq.Moment], qubits: Sequence[cirq.Qid]) -> list[cirq.Moment]:
    return list(cirq.Circuit(model.noisy_moments(moments, qubits)))


def _gates_on_pairs(moment: cirq.Moment) -> list[cirq.Operation]:
    """Return the two-qubit gates of a moment, without what noise models added."""
    return [op for op in moment if len(op.qubits) == 2 and not cirq.is_measurement(op) and _VIRTUAL not in op.tags]


def _virtual_moments(operations: Iterable[cirq.Operation]) -> Iterator[cirq.Moment]:
    """Yield operations in moments; they are tagged as virtual, so that other noise models leave them as they are."""
    yield from cirq.Circuit(op.with_tags(_VIRTUAL) for op in operations)


def _joint_flip(probability: float) -> dict[str, float]:
    return {"II": 1 - probability, "XX": probability}


@lru_cache(maxsize=64)
def _flip_beside(probability: float) -> cirq.Gate:
    """Return the flip of the second of two qubits with a given probability where the first is 1."""
    flipped = cirq.unitary(cirq.CNOT).real
    return _Channel(f"flip beside 1 ({probability})", (np.sqrt(1 - probability) * np.eye(4), np.sqrt(probability) * flipped))


@lru_cache(maxsize=64)
def _loss(rate: float) -> cirq.Gate:
    """Return the replacement of a qubit by |1> with a given probability."""
    replaced = [np.sqrt(rate) * np.outer([0, 1], before) for before in np.eye(2)]
    return _Channel(f"loss ({rate})", (np.sqrt(1 - rate) * np.eye(2), *replaced))


@lru_cache(maxsize=4096)
def _random_rates(seed: int, qubit: str) -> tuple[float, float]:
    """Return two random numbers of a qubit, in -1..1 and in 0..1, which are the same in every process."""
    rng = np.random.default_rng([seed, int.from_bytes(sha256(qubit.encode()).digest()[:8])])
    return float(rng.uniform(-1, 1)), float(rng.uniform(0, 1))
