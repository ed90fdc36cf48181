"""Quantum processors: device, native two-qubit gate, and the calibrated errors of every qubit and coupler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import exp
from statistics import median
from typing import TYPE_CHECKING, Any

import cirq
import networkx as nx

from hattriq_cirq.compilation.gatesets import gateset as gateset_by_name
from hattriq_cirq.compilation.gatesets import gateset_name, native_gates
from hattriq_cirq.compilation.metrics import CalibratedDevice

if TYPE_CHECKING:
    import cirq_google as cg


@dataclass(frozen=True, eq=False)
class Processor:
    """Quantum processor that circuits are placed on, compiled for and validated by.

    If the calibration lacks a metric altogether, its mapping is empty, which counts as no error, and `missing` lists it.

    Args:
        id: Name of the processor, such as `willow_pink`.
        device: Device that validates circuits; its metadata has the coupling graph and gate durations.
        gateset: Gate set that circuits are compiled to, with one kind of two-qubit gate, whose errors the calibration states.
        snapshot: Name of the calibration that the errors are from.
        two_qubit_errors: Pauli error of the gate set's two-qubit gate on each pair of coupled qubits.
        one_qubit_errors: Pauli error of a single-qubit gate on each qubit.
        readout_errors: Probabilities (e0, e1) for each qubit that 0 is read as 1, and 1 as 0.
        t1_ns: Relaxation time of each qubit, nanoseconds.
        max_duration_ns: Maximum duration of a circuit without its measurement, nanoseconds.
        missing: Figures that the calibration lacks and the values used instead, one sentence each.
        angle_errors: Angles (theta, phi) of the FSim gate that describes the coherent error of each coupled pair's two-qubit
            gate, radians; empty if the calibration has none.
        snapshot_digest: Digest of the snapshot that the processor is from; empty if there is none.

    Example:
        >>> from hattriq_cirq.compilation.snapshot import load_processor
        >>> processor = load_processor("willow_pink")
        >>> processor.graph.number_of_nodes(), gateset_name(processor.gateset)
        (105, 'cz')
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
    snapshot_digest: str = ""

    @classmethod
    def from_calibration(
        cls, id: str, device: cirq.Device, calibration: cg.Calibration | None, snapshot: str, *, gateset: str | None = None
    ) -> Processor:
        """Return a processor with the errors of a calibration; missing qubits are given the median of the others.

        Args:
            id: Name of the processor.
            device: Device with metadata.
            calibration: Calibration of today's service or one bundled with cirq_google, whose metric names are both known; None
                if there is none.
            snapshot: Name of the calibration.
            gateset: Gate set, cz, sqrt_iswap or sycamore; None takes the device's first one whose errors the calibration has.

        Returns:
            The processor.

        Raises:
            ValueError: The device lacks the gate set, or has no metadata.
        """
        if not isinstance(device.metadata, cirq.GridDeviceMetadata):
            raise ValueError(f"{device.metadata=} of {id} must be cirq.GridDeviceMetadata, which has couplers and gate sets")
        calibrated = CalibratedDevice(device, calibration)
        offered = [gateset_name(target) for target in device.metadata.compilation_target_gatesets]
        if gateset is None:
            gateset = next((name for name in offered if calibrated.stated(name)), next(iter(offered), None))
        if gateset is None or gateset not in offered:
            raise ValueError(f"{gateset=} is not one of {id}, which has {', '.join(offered) or 'none'}")

        def per_qubit(figure: str) -> dict[cirq.Qid, float]:
            return {q: value for (q,), value in calibrated.completed(figure)[0].items()}

        e0, e1 = per_qubit("e0"), per_qubit("e1")
        theta, phi = (calibrated.stated(f"{angle} of {gateset}") for angle in ("theta", "phi"))
        return cls(
            id,
            device,
            gateset_by_name(gateset),
            snapshot,
            two_qubit_errors=calibrated.completed(gateset)[0],
            one_qubit_errors=per_qubit("one_qubit_errors"),
            readout_errors={q: (e0.get(q, 0.0), e1.get(q, 0.0)) for q in e0.keys() | e1.keys()},
            t1_ns={q: 1000 * micros for q, micros in per_qubit("t1_ns").items()},
            missing=calibrated.missing(gateset),
            angle_errors={pair: (theta.get(pair, 0.0), phi.get(pair, 0.0)) for pair in theta.keys() | phi.keys()},
        )

    @cached_property
    def graph(self) -> nx.Graph:
        """Coupling graph: qubits as nodes, couplers as edges."""
        assert self.device.metadata is not None
        return nx.Graph(self.device.metadata.nx_graph)

    @cached_property
    def _gate_ns(self) -> dict[Any, float]:
        """Cache of durations by gate type and tags."""
        return {}

    @property
    def two_qubit_gate(self) -> cirq.Gate:
        """Gate on two qubits that circuits are compiled to."""
        return native_gates(gateset_name(self.gateset))[0]

    def gate_ns(self, op: cirq.Operation) -> float:
        """Return the duration of a gate in nanoseconds.

        It is the device's figure, or that of Google's noise properties if the device states 0 for a physical gate.

        Raises:
            ValueError: The operation is no gate of this processor.
        """
        gate = op.gate
        if isinstance(gate, cirq.WaitGate):
            return float(gate.duration.total_nanos())
        key = type(gate), op.tags
        if key not in self._gate_ns:
            self._gate_ns[key] = self._look_up_ns(op)
        return self._gate_ns[key]

    def _look_up_ns(self, op: cirq.Operation) -> float:
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
        """Return the duration of a compiled circuit without its measurement, ns: the longest gate of each moment, summed."""
        return sum(
            max((self.gate_ns(op) for op in moment.operations if not _is_measurement(op)), default=0.0) for moment in circuit
        )

    def is_native(self, op: cirq.Operation) -> bool:
        """Return True if an operation is the gate set's two-qubit gate on a pair of qubits whose error is known."""
        known = self.two_qubit_errors or {frozenset(edge): 0.0 for edge in self.graph.edges}
        return op.gate in native_gates(gateset_name(self.gateset)) and frozenset(op.qubits) in known

    def fidelity(self, circuit: cirq.AbstractCircuit) -> float:
        """Predict the probability that one run of a compiled circuit has no error.

        The prediction is the product of 1 - error over gates (a virtual Z has no error), of 1 - (e0 + e1)/2 over measured
        qubits, and of exp(-t/(2 T1)) over qubits, where t is the time without a gate between the qubit's first gate and the end
        of the circuit: the Pauli error of relaxation is t/(2 T1) for t small against T1. Waits and identities count
        as idle time.

        Example:
            >>> from hattriq_cirq.compilation.snapshot import load_processor
            >>> processor = load_processor("willow_pink")
            >>> circuit = cirq.Circuit(cirq.X(cirq.GridQubit(6, 6)), cirq.measure(cirq.GridQubit(6, 6)))
            >>> bool(0.98 < processor.fidelity(circuit) < 1)
            True
        """
        return self.usage(circuit).fidelity(self, {q: q for q in circuit.all_qubits()})

    def usage(self, circuit: cirq.AbstractCircuit) -> Usage:
        """Return the gates, measurements and idle times of a circuit of native gates on any qubits."""
        usage = Usage()
        busy: dict[cirq.Qid, float] = {}  # start of a qubit's first gate plus the durations of its gates so far
        now = 0.0
        for moment in circuit:
            longest = 0.0
            for op in moment.operations:
                if _is_measurement(op):
                    usage.measurements.update(op.qubits)
                    continue
                ns = self.gate_ns(op)
                longest = max(longest, ns)
                if isinstance(op.gate, cirq.WaitGate | cirq.IdentityGate) or is_virtual(op):
                    continue
                usage.gates[tuple(sorted(op.qubits))] += 1
                for q in op.qubits:
                    busy[q] = busy.get(q, now) + ns
            now += longest
        usage.idle_ns.update({q: now - time for q, time in busy.items()})
        return usage

    def describe(self) -> dict[str, Any]:
        """Return the record of the processor as JSON."""
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


@dataclass(frozen=True, eq=False)
class Usage:
    """Use that a compiled circuit makes of its qubits, from which its errors follow wherever it is placed.

    Args:
        gates: Number of gates on each qubit or sorted pair, virtual Z rotations excluded.
        measurements: Number of measurements of each qubit.
        idle_ns: Time of each qubit without a gate between its first gate and the end of the circuit, nanoseconds.
    """

    gates: Counter[tuple[cirq.Qid, ...]] = field(default_factory=Counter)
    measurements: Counter[cirq.Qid] = field(default_factory=Counter)
    idle_ns: dict[cirq.Qid, float] = field(default_factory=dict)

    def fidelity(self, processor: Processor, qubits: Mapping[cirq.Qid, cirq.Qid]) -> float:
        """Predict the probability that one run on physical qubits has no error, as `Processor.fidelity` does."""
        fidelity = 1.0
        for key, count in self.gates.items():
            at = [qubits[q] for q in key]
            one, two = processor.one_qubit_errors, processor.two_qubit_errors
            fidelity *= (1 - (two.get(frozenset(at), 0.0) if len(at) == 2 else one.get(at[0], 0.0))) ** count
        for q, count in self.measurements.items():
            fidelity *= (1 - sum(processor.readout_errors.get(qubits[q], (0.0, 0.0))) / 2) ** count
        decay = sum(ns / (2 * processor.t1_ns[qubits[q]]) for q, ns in self.idle_ns.items() if qubits[q] in processor.t1_ns)
        return fidelity * exp(-decay)


def is_virtual(op: cirq.Operation) -> bool:
    """Return True for a Z rotation that is not tagged as physical: a change of frame without duration and error."""
    return isinstance(op.gate, cirq.ZPowGate) and not op.tags


def _median(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return median(numbers) if numbers else None


def _is_measurement(op: cirq.Operation) -> bool:
    return isinstance(op.gate, cirq.MeasurementGate)
