"""A processor as circuits meet it: its device, its native two-qubit gate, and what its calibration says of every qubit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from math import exp, isfinite
from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar

import cirq
import networkx as nx

from hattriq_cirq.compilation.gatesets import DEVICES, GATESETS

if TYPE_CHECKING:
    import cirq_google as cg

Key = TypeVar("Key", cirq.Qid, frozenset[cirq.Qid])

_METRICS = {
    "e0": ("zero_error", "single_qubit_p00_error"),
    "e1": ("one_error", "single_qubit_p11_error"),
    "one_qubit_errors": ("sq_rb_pauli_error", "single_qubit_rb_pauli_error_per_gate"),
    "t1_ns": ("single_qubit_idle_t1_micros",),
    "cz": ("cz_inferred_gate_error_pauli", "two_qubit_parallel_cz_gate_xeb_pauli_error_per_cycle"),
    "sqrt_iswap": ("two_qubit_parallel_sqrt_iswap_gate_xeb_pauli_error_per_cycle",),
    "sycamore": ("two_qubit_parallel_sycamore_gate_xeb_pauli_error_per_cycle",),
    **{
        f"{angle} of {gate}": (f"two_qubit_parallel_{gate}_gate_xeb_entangler_{angle}_error_per_cycle",)
        for gate in GATESETS
        for angle in ("theta", "phi")
    },
}
"""What the service calls each figure: today's name, if there is one, and that of the calibrations bundled with cirq_google."""


@dataclass(frozen=True, eq=False)
class Processor:
    """What circuits are placed on, compiled for and validated by.

    A mapping whose metric the calibration lacks altogether is empty, and counts as no error; `missing` says so.

    Args:
        id: such as `willow_pink`.
        device: validates circuits; its metadata has the coupling graph and gate durations.
        gateset: what circuits are compiled to.
        snapshot: names the calibration that the errors are from.
        two_qubit_errors: Pauli error of the gate set's two-qubit gate on each pair of coupled qubits.
        one_qubit_errors: Pauli error of a single-qubit gate on each qubit.
        readout_errors: (e0, e1) of each qubit: the chance that 0 is read as 1, and 1 as 0.
        t1_ns: relaxation time of each qubit, nanoseconds.
        max_duration_ns: of a circuit without its measurement, which the service refuses beyond.
        missing: what the calibration did not say and what was put in its place, a sentence each.
        angle_errors: (theta, phi) of the FSim gate by which each coupled pair's two-qubit gate is off, radians; empty where
            the calibration does not say.
    """

    id: str
    device: cirq.Device
    gateset: cirq.CompilationTargetGateset
    snapshot: str
    two_qubit_errors: Mapping[frozenset[cirq.Qid], float]
    one_qubit_errors: Mapping[cirq.Qid, float]
    readout_errors: Mapping[cirq.Qid, tuple[float, float]]
    t1_ns: Mapping[cirq.Qid, float]
    max_duration_ns: float = 40_000.0
    missing: tuple[str, ...] = ()
    angle_errors: Mapping[frozenset[cirq.Qid], tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def from_calibration(
        cls, id: str, device: cirq.Device, calibration: cg.Calibration, snapshot: str, *, gateset: str | None = None
    ) -> Processor:
        """A processor with the errors of a calibration; qubits it leaves out are given the median of the others.

        Args:
            id: of the processor.
            device: with metadata.
            calibration: of today's service, or bundled with cirq_google: both kinds of metric names are known.
            snapshot: names the calibration.
            gateset: cz, sqrt_iswap or sycamore; None takes the device's first whose errors the calibration has.

        Returns:
            The processor.

        Raises:
            ValueError: a gate set that the device lacks, or a device without metadata.
        """
        if not isinstance(device.metadata, cirq.GridDeviceMetadata):
            raise ValueError(f"{device.metadata=} of {id} must be cirq.GridDeviceMetadata, which has couplers and gate sets")
        offered = {gateset_name(target): target for target in device.metadata.compilation_target_gatesets}
        if gateset is None:
            gateset = next((name for name in offered if _metric(calibration, name)), next(iter(offered), None))
        if gateset is None or gateset not in offered:
            raise ValueError(f"{gateset=} is not one of {id}, which has {', '.join(offered) or 'none'}")
        qubits = sorted(device.metadata.qubit_set)
        pairs = [frozenset(edge) for edge in device.metadata.nx_graph.edges]
        missing: list[str] = []

        def one(name: str) -> dict[cirq.Qid, float]:
            values = {key[0]: value for key, value in _metric(calibration, name).items()}
            return _filled(name, values, qubits, missing)

        e0, e1 = one("e0"), one("e1")
        theta, phi = (
            {frozenset(key): value for key, value in _metric(calibration, f"{angle} of {gateset}").items()}
            for angle in ("theta", "phi")
        )
        errors = {frozenset(key): value for key, value in _metric(calibration, gateset).items()}
        return cls(
            id,
            device,
            offered[gateset],
            snapshot,
            two_qubit_errors=_filled(f"two_qubit_errors of {gateset}", errors, pairs, missing),
            one_qubit_errors=one("one_qubit_errors"),
            readout_errors={q: (e0.get(q, 0.0), e1.get(q, 0.0)) for q in e0.keys() | e1.keys()},
            t1_ns={q: 1000 * micros for q, micros in one("t1_ns").items()},
            missing=tuple(missing),
            angle_errors={pair: (theta.get(pair, 0.0), phi.get(pair, 0.0)) for pair in theta.keys() | phi.keys()},
        )

    @cached_property
    def graph(self) -> nx.Graph:
        """The coupling graph: qubits, and an edge for each coupler."""
        assert self.device.metadata is not None
        return nx.Graph(self.device.metadata.nx_graph)

    @cached_property
    def _known_ns(self) -> dict[Any, float]:
        """Durations by gate type and tags, as they are asked for."""
        return {}

    def gate_ns(self, op: cirq.Operation) -> float:
        """How long a gate takes, ns: what the device says, or Google's noise properties where it says 0 of a physical gate.

        Raises:
            ValueError: no gate of this processor.
        """
        gate = op.gate
        if isinstance(gate, cirq.WaitGate):
            return float(gate.duration.total_nanos())
        key = type(gate), op.tags
        if key not in self._known_ns:
            self._known_ns[key] = self._looked_up_ns(op)
        return self._known_ns[key]

    def _looked_up_ns(self, op: cirq.Operation) -> float:
        from cirq_google.engine.calibration_to_noise_properties import DEFAULT_GATE_NS

        assert isinstance(self.device.metadata, cirq.GridDeviceMetadata)
        durations = self.device.metadata.gate_durations or {}
        stated = next((float(ns.total_nanos()) for family, ns in durations.items() if op in family), None)
        if stated or is_virtual(op):
            return stated or 0.0
        usual = next((ns for kind, ns in DEFAULT_GATE_NS.items() if isinstance(op.gate, kind)), stated)
        if usual is None:
            raise ValueError(f"{op} is no gate of {self.id}; compile the circuit first")
        return usual

    def duration_ns(self, circuit: cirq.AbstractCircuit) -> float:
        """How long a compiled circuit takes without its measurement, ns: the longest gate of each moment, summed."""
        return sum(
            max((self.gate_ns(op) for op in moment.operations if not _is_measurement(op)), default=0.0) for moment in circuit
        )

    def fidelity(self, circuit: cirq.AbstractCircuit) -> float:
        """The predicted chance that nothing goes wrong in one run of a compiled circuit.

        It is the product of 1 - error over gates (a virtual Z has none), of 1 - (e0 + e1)/2 over measured qubits, and of
        exp(-t/(2 T1)) over qubits, t the time that each spends without a gate between its first one and the end of the
        circuit: the Pauli error of relaxation is t/(2 T1) while t is short of T1. A Wait and an identity are idle time.
        """
        two, one, readout, t1 = self.two_qubit_errors, self.one_qubit_errors, self.readout_errors, self.t1_ns
        begun: dict[cirq.Qid, float] = {}  # when a qubit's first gate began, plus the time that its gates took since
        now, chance = 0.0, 1.0
        for moment in circuit:
            longest = 0.0
            for op in moment.operations:
                gate, qubits = op.gate, op.qubits
                if _is_measurement(op):
                    for q in qubits:
                        chance *= 1 - sum(readout.get(q, (0.0, 0.0))) / 2
                    continue
                ns = self.gate_ns(op)
                longest = max(longest, ns)
                if isinstance(gate, cirq.WaitGate | cirq.IdentityGate) or is_virtual(op):
                    continue
                chance *= 1 - (two.get(frozenset(qubits), 0.0) if len(qubits) == 2 else one.get(qubits[0], 0.0))
                for q in qubits:
                    begun[q] = begun.get(q, now) + ns
            now += longest
        return chance * exp(-sum((now - then) / (2 * t1[q]) for q, then in begun.items() if q in t1))

    def describe(self) -> dict[str, Any]:
        """What a record needs to know of the processor, as JSON."""
        return {
            "id": self.id,
            "snapshot": self.snapshot,
            "gateset": gateset_name(self.gateset),
            "qubits": self.graph.number_of_nodes(),
            "couplers": self.graph.number_of_edges(),
            "max_duration_ns": self.max_duration_ns,
            "median_two_qubit_error": _median(self.two_qubit_errors.values()),
            "median_one_qubit_error": _median(self.one_qubit_errors.values()),
            "median_e0": _median(e0 for e0, _ in self.readout_errors.values()),
            "median_e1": _median(e1 for _, e1 in self.readout_errors.values()),
            "median_t1_ns": _median(self.t1_ns.values()),
            "missing": list(self.missing),
        }


def load_processor(name: str, gateset: str | None = None) -> Processor:
    """A processor bundled with cirq_google, with its median calibration; loaded once.

    Args:
        name: willow_pink, weber or rainbow.
        gateset: cz, sqrt_iswap or sycamore; None takes the first whose errors the calibration has.

    Returns:
        The processor.

    Raises:
        ValueError: another name or gate set.
    """
    if name not in DEVICES:
        raise ValueError(f"processor {name!r} must be one of {', '.join(DEVICES)}")
    return _loaded(name, gateset)


@lru_cache(maxsize=16)
def _loaded(name: str, gateset: str | None) -> Processor:
    from cirq_google.engine import create_device_from_processor_id, load_median_device_calibration

    calibration = load_median_device_calibration(name)
    measured = datetime.fromtimestamp(calibration.timestamp / 1000, UTC).isoformat(timespec="seconds")
    device = create_device_from_processor_id(name)
    return Processor.from_calibration(name, device, calibration, f"median {measured}", gateset=gateset)


def gateset_name(gateset: cirq.CompilationTargetGateset) -> str:
    """Which of cz, sqrt_iswap and sycamore a gate set is made of."""
    kinds = dict(zip(GATESETS, (cirq.CZTargetGateset, cirq.SqrtIswapTargetGateset, object), strict=True))
    return next(name for name, kind in kinds.items() if isinstance(gateset, kind))


def is_virtual(op: cirq.Operation) -> bool:
    """Whether an operation is a change of frame that takes no time and makes no error: a Z turn not tagged as physical."""
    return isinstance(op.gate, cirq.ZPowGate) and not op.tags


def _metric(calibration: cg.Calibration, name: str) -> dict[tuple[cirq.Qid, ...], float]:
    """The finite values of a figure by qubits; empty if the calibration has none under any of its names."""
    found = next((calibration[metric] for metric in _METRICS[name] if metric in calibration), {})
    values = {calibration.key_to_qubits(key): calibration.value_to_float(value) for key, value in found.items()}
    return {qubits: value for qubits, value in values.items() if isfinite(value)}


def _filled(name: str, values: Mapping[Key, float], wanted: Collection[Key], missing: list[str]) -> dict[Key, float]:
    """The wanted values, missing ones replaced by the median and noted; empty if there are none at all."""
    known = {key: values[key] for key in wanted if key in values}
    if not known:
        missing.append(f"{name}: the calibration has none; they count as no error")
    elif len(known) < len(wanted):
        missing.append(f"{name}: {len(wanted) - len(known)} of {len(wanted)} are the median of the others")
        known |= dict.fromkeys(set(wanted) - known.keys(), median(known.values()))
    return known


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return median(found) if found else None


def _is_measurement(op: cirq.Operation) -> bool:
    return isinstance(op.gate, cirq.MeasurementGate)
