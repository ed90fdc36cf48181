"""Choice of the physical qubit for each logical one: patches grown by the calibration, the best few compared, the best kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cirq
import networkx as nx
import numpy as np

from hattriq_cirq.circuits.deviation import Deviation, ErrorKind
from hattriq_cirq.circuits.errors import JournalError
from hattriq_cirq.circuits.local_gates import averaged_over_gauges, gauges
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.circuits.serialization import read_cirq_json
from hattriq_cirq.compilation.circuit_stack import CircuitStack, Step, final_states, stack_of_program
from hattriq_cirq.compilation.compile import Edges, QubitMap, compile_on_edges, edges_of
from hattriq_cirq.compilation.layout_search import GateCounts, LayoutSearch, ProcessorErrors
from hattriq_cirq.compilation.processor import Processor, Usage
from hattriq_cirq.encoding.connectivity import NeighbourEncoder
from hattriq_cirq.encoding.exact import Encoder, encode
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.checks import shown
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.foundation.reading import problem_of
from hattriq_cirq.foundation.text import quantity

_CANDIDATES = 48  # assignments whose predicted error is compared
_SHAPES = 4  # different coupling graphs among them, for each of which circuits are compiled
_FURTHER_ERROR = 0.02  # error that the best layout of a shape may have more than the best one to be compared
_NEAR = 0.03  # layouts whose predicted errors differ by less than this fraction are compared by fidelity
_MARGIN = 1e-9  # errors this close are equal, so that rounding does not choose between layouts
#: Spread of single outcomes per predicted error of each kind, as found on random circuits of 3 and 4 qubits.
_SPREAD: Mapping[ErrorKind, float] = {"gates": 0.25, "angles": 1.3, "readout": 0.7}
_PAULI_STRINGS = 16  # on two qubits
_SIMULATED_QUBITS = 12  # circuits of at most this many qubits are simulated to predict the effect of angle errors


@dataclass(frozen=True, eq=False)
class Layout(Frozen):
    """Physical qubits for logical ones, and the state preparation that suits their couplers.

    Args:
        qubits: Physical qubit of each logical one.
        encoder: State preparation that uses the edges between these qubits, or the exact one for a free graph.
    """

    qubits: Mapping[cirq.Qid, cirq.Qid]
    encoder: Encoder


@dataclass(frozen=True, eq=False)
class Placement(Layout):
    """Layout with its predicted error.

    Args:
        qubits: Physical qubit of each logical one.
        encoder: State preparation that suits these qubits.
        error: Predicted error of a circuit by `predicted_errors`, averaged over the compiled circuits.
        circuits: Compiled circuits that the prediction is for.
    """

    error: float
    circuits: tuple[cirq.FrozenCircuit, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """Return the qubits, the kind of encoder and the error, as JSON."""
        pairs = cirq.to_json([list(pair) for pair in self.qubits.items()], indent=None)
        return {"qubits": pairs, "uses_edges": self.encoder is not encode, "error": self.error}

    @classmethod
    def from_record(cls, processor: Processor, record: Mapping[str, Any]) -> Placement:
        """Return the placement that `to_record` describes, on the same processor and without its circuits.

        Raises:
            JournalError: The record is damaged, or is of another processor.
        """
        try:
            pairs = read_cirq_json(record["qubits"], "qubits", list)
            qubits: dict[cirq.Qid, cirq.Qid] = dict(pairs)
            if not qubits or set(qubits.values()) - set(processor.graph):
                raise ValueError(f"{shown(list(qubits.values()))} are no qubits of {processor.id}")
            encoder = connectivity_encoder(processor, qubits) if record["uses_edges"] else encode
        except (LookupError, TypeError, ValueError, nx.NetworkXException) as error:
            raise JournalError(
                f"the recorded placement cannot be used: {problem_of(error)}; restore the journal from a copy"
            ) from error
        return cls(qubits, encoder, record["error"])


def candidate_layouts(
    processor: Processor,
    circuits: Sequence[cirq.AbstractCircuit],
    qubits: Sequence[cirq.Qid] = (),
    *,
    among: Sequence[cirq.Qid] | None = None,
) -> list[Layout]:
    """Find layouts on good, connected qubits for a few circuits, by predicted error without compiling anything.

    The prediction for a patch adds, for every pair of logical qubits, the number of gates between them times the errors on the
    path between them, and for every qubit its single-qubit, readout and relaxation errors. Nothing is random.

    Args:
        processor: Processor with its calibration.
        circuits: Circuits to be placed, prepared by the exact encoder for a free graph.
        qubits: Further logical qubits to place beside those of the circuits.
        among: Physical qubits to choose from; None is all of the processor's.

    Returns:
        Layouts from the best prediction on, each with an encoder for its edges; the last one is the first again, prepared as on
        a free graph. Empty if there are no circuits.

    Raises:
        ValueError: There are too few qubits, or the processor lacks the given ones or they are not connected.
    """
    if not circuits:
        return []
    counts = GateCounts.from_circuits(circuits, qubits)
    errors = ProcessorErrors.from_processor(processor, among)
    if len(counts.qubits) > len(errors.qubits):
        raise ValueError(
            f"the circuits need {quantity(len(counts.qubits), 'qubit')}, {processor.id} has {len(errors.qubits)} to choose from"
        )
    assignments = LayoutSearch(counts, errors).best(_CANDIDATES)
    patches = [dict(zip(counts.qubits, (errors.qubits[i] for i in at), strict=True)) for at in assignments]
    if not patches:
        raise ValueError(f"there is no connected patch of {quantity(len(counts.qubits), 'qubit')} on {processor.id}")
    encoders: dict[Edges, Encoder] = {}
    layouts: list[Layout] = []
    for patch in patches:
        edges = edges_of(processor, patch)
        if edges not in encoders and len(encoders) < _SHAPES:
            encoders[edges] = encoder_for_edges(edges, patch)
        if edges in encoders:  # circuits are compiled once per shape, so another layout of a known shape costs little
            layouts.append(Layout(patch, encoders[edges]))
    return [*layouts, Layout(patches[0], encode)]


def promising_layouts(
    processor: Processor, layouts: Sequence[Layout], unprepared: Sequence[cirq.AbstractCircuit]
) -> list[Layout]:
    """Return the layouts whose couplers suit circuits apart from their state preparation.

    Preparation takes nearly as many gates on patches of equal size, and the search for it takes most of the time.

    Args:
        processor: Processor with its calibration.
        layouts: Layouts of the circuits' qubits.
        unprepared: The circuits without their state preparation.

    Returns:
        The layouts of the coupling graphs on which these circuits can have nearly the lowest random error, in the same order.
    """
    shapes: dict[Edges, list[int]] = {}
    for i, layout in enumerate(layouts):
        shapes.setdefault(edges_of(processor, layout.qubits), []).append(i)
    errors: dict[Edges, float] = {}
    for edges, members in shapes.items():
        compiled = [compile_on_edges(processor, [circuit], edges)[0].circuit for circuit in unprepared]
        uses = [processor.usage(circuit) for circuit in compiled]
        errors[edges] = min(
            float(np.mean([1 - use.fidelity(processor, layouts[i].qubits) for use in uses] or [0.0])) for i in members
        )
    most = min(errors.values(), default=0.0) + _FURTHER_ERROR
    return [layouts[i] for i in sorted(i for edges, members in shapes.items() if errors[edges] <= most for i in members)]


def best_placement(
    processor: Processor, layouts: Sequence[Layout], circuits: Mapping[Encoder, Sequence[cirq.AbstractCircuit]]
) -> Placement:
    """Compile circuits once for every shape of layouts and keep the layout of the lowest predicted error.

    Args:
        processor: Processor with its calibration.
        layouts: Layouts of the circuits' qubits.
        circuits: Logical circuits by the encoder that prepares their amplitudes, for the encoder of every layout.

    Returns:
        The best layout with its predicted error and its compiled circuits, the first of equal ones; the empty placement if
        there are no layouts. Of layouts with nearly the lowest error that of the highest fidelity is the best; an error above 1
        counts as 1.

    Raises:
        CircuitRefusedError: A circuit cannot be compiled.
    """
    if not layouts:
        return Placement({}, encode, 0.0)
    shapes: dict[tuple[Encoder, Edges], list[int]] = {}
    for i, layout in enumerate(layouts):
        shapes.setdefault((layout.encoder, edges_of(processor, layout.qubits)), []).append(i)
    random, coherent = np.zeros(len(layouts)), np.zeros(len(layouts))
    compiled: dict[int, list[cirq.FrozenCircuit]] = {}
    for (encoder, edges), members in track(shapes.items(), "compare layouts", "layout", total=len(shapes)):
        own = [compile_on_edges(processor, [circuit], edges)[0].circuit for circuit in circuits[encoder]]
        placed = [layouts[i].qubits for i in members]
        random[members], coherent[members] = (part.mean(axis=1) for part in _layout_errors(processor, own, placed))
        compiled |= dict.fromkeys(members, own)
    capped = np.minimum(random + coherent, 1.0)
    candidates = np.flatnonzero(capped <= capped.min() * (1 + _NEAR) + _MARGIN)
    best = int(candidates[np.argmax(random[candidates] <= random[candidates].min() + _MARGIN)])
    qubits = dict(layouts[best].qubits)
    on_processor = tuple(circuit.unfreeze().transform_qubits(qubits).freeze() for circuit in compiled[best])
    return Placement(qubits, layouts[best].encoder, float(random[best] + coherent[best]), on_processor)


def place_circuits(
    processor: Processor,
    circuits: Sequence[cirq.AbstractCircuit],
    qubits: Sequence[cirq.Qid] = (),
    *,
    among: Sequence[cirq.Qid] | None = None,
) -> Placement:
    """Place circuits that are the same for every layout; arguments and errors are those of `candidate_layouts`."""
    layouts = candidate_layouts(processor, circuits, qubits, among=among)
    return best_placement(processor, layouts, {layout.encoder: circuits for layout in layouts})


def predicted_errors(processor: Processor, circuits: Sequence[cirq.AbstractCircuit]) -> list[float]:
    """Estimate the trace distance between the output of each compiled circuit on the processor and its ideal output.

    The estimate is 1 - fidelity for random errors plus sqrt(1 - |<ideal|actual>|**2) for the angle errors that the calibration
    states, which are the same in every run: those of a pure state add as amplitudes do. By the triangle inequality the sum
    bounds the distance of a circuit with both (Nielsen and Chuang, section 9.2).

    Args:
        processor: Processor with its calibration.
        circuits: Circuits compiled for it, each ending in its measurement.

    Returns:
        Numbers of at least 0; above 1 nothing of the signal is left.
    """
    parts = [_layout_errors(processor, [circuit], [{q: q for q in circuit.all_qubits()}]) for circuit in circuits]
    return [float((random + coherent)[0, 0]) for random, coherent in parts]


def predicted_deviation(processor: Processor, circuit: cirq.AbstractCircuit, kinds: Collection[ErrorKind]) -> Deviation:
    """Predict the deviation of the outcomes of a compiled circuit by some kinds of the processor's calibrated errors.

    Random errors draw the outcomes to the uniform distribution by 1 - fidelity. The spread of single outcomes is relative to
    the deviation of the true ones from uniform; its factors are those of random circuits of 3 and 4 qubits.

    Args:
        processor: Processor with its calibration.
        circuit: Circuit compiled for it without symbols, ending in its measurement.
        kinds: Kinds of errors that act on the circuit.
    """
    usage, same = processor.usage(circuit), {q: q for q in circuit.all_qubits()}
    acting = acting_kinds(processor, kinds)
    gates = 1 - replace(usage, measurements=Counter()).fidelity(processor, same) if "gates" in acting else 0.0
    readout = 1 - Usage(measurements=usage.measurements).fidelity(processor, same) if "readout" in acting else 0.0
    twirled = processor.two_qubit_gate if "untwirled angles" in acting else None
    has_angles = twirled is not None or "angles" in acting
    angles = float(_coherent_errors(processor, circuit, [same], twirled)[0]) if has_angles else 0.0
    spread = float(np.linalg.norm([_SPREAD["gates"] * gates, _SPREAD["angles"] * angles, _SPREAD["readout"] * readout]))
    return Deviation(1 - (1 - gates) * (1 - readout), spread)


def acting_kinds(processor: Processor, kinds: Collection[ErrorKind]) -> frozenset[ErrorKind]:
    """Return the kinds of errors that act apart from the others: untwirled angles do where twirling averages all others.

    Every error of the angle of CZ is averaged: its gauges are all 16 Pauli strings. Sycamore keeps the error of its phase,
    and sqrt-iSWAP those of both angles.
    """
    apart = frozenset(kinds)
    averages_all = len(gauges(processor.two_qubit_gate)) == _PAULI_STRINGS
    return apart - {"untwirled angles"} if "angles" in apart or averages_all else apart


def predicted_deviations(
    processor: Processor, programs: Iterable[ParameterizedCircuit], kinds: Collection[ErrorKind]
) -> tuple[Deviation, ...]:
    """Predict the deviation of each request of compiled programs; circuits of one program have that of the first of them.

    Args:
        processor: Processor with its calibration.
        programs: Compiled programs, which together hold the requests 0, 1, ... once each.
        kinds: Kinds of errors that act on their outcomes.
    """
    found: dict[int, Deviation] = {}
    for program in programs:
        circuit = cirq.resolve_parameters(program.circuit, dict(program.points[0]))
        found |= dict.fromkeys(program.requests, predicted_deviation(processor, circuit, kinds))
    return tuple(found[request] for request in range(len(found)))


def _layout_errors(
    processor: Processor, circuits: Sequence[cirq.AbstractCircuit], layouts: Sequence[QubitMap]
) -> tuple[FloatArray, FloatArray]:
    """Return the random and the coherent part of the predicted errors of circuits on layouts, (layouts, circuits) each."""
    random, coherent = np.zeros((2, len(layouts), len(circuits)))
    for i, circuit in enumerate(circuits):
        usage = processor.usage(circuit)
        random[:, i] = [1 - usage.fidelity(processor, qubits) for qubits in layouts]
        coherent[:, i] = _coherent_errors(processor, circuit, layouts)
    return random, coherent


def _coherent_errors(
    processor: Processor, circuit: cirq.AbstractCircuit, layouts: Sequence[QubitMap], twirled: cirq.Gate | None = None
) -> FloatArray:
    """Return the errors of a circuit by the angle errors of each layout, (layouts,), see `predicted_errors`.

    Args:
        processor: Processor with its calibration.
        circuit: Compiled circuit.
        layouts: Physical qubit of each of its qubits.
        twirled: Two-qubit gate that runs in random gauges, so that only the errors that all of them have in common are left;
            None if it does not.
    """
    if not processor.angle_errors or len(circuit.all_qubits()) > _SIMULATED_QUBITS:
        return np.zeros(len(layouts))
    stack = stack_of_program(ParameterizedCircuit(circuit.freeze(), (0,)))
    return np.sqrt(np.maximum(0.0, 1 - _overlaps(processor, stack, layouts, twirled)))


def _overlaps(processor: Processor, stack: CircuitStack, layouts: Sequence[QubitMap], twirled: cirq.Gate | None) -> FloatArray:
    """Return |<ideal|actual>|**2 for a circuit with the angle errors of each layout, (layouts,)."""
    none = (0.0, 0.0)
    steps: list[Step] = []
    for step in stack.steps:
        steps.append(step)
        if len(step.axes) == 2:
            pairs = [frozenset(qubits[stack.qubits[axis]] for axis in step.axes) for qubits in layouts]
            angles = tuple(processor.angle_errors.get(pair, none) for pair in pairs)
            steps.append(Step(step.axes, _fsim_matrices(angles, twirled)))
    (ideal,) = final_states(stack)
    actual = final_states(replace(stack, steps=steps, rows=tuple(range(len(layouts)))))
    overlaps: FloatArray = np.abs((ideal.conj() * actual).reshape(len(layouts), -1).sum(axis=1)) ** 2
    return overlaps


@lru_cache(maxsize=256)
def _fsim_matrices(angles: tuple[tuple[float, float], ...], twirled: cirq.Gate | None) -> Array:
    """Return the matrices of FSim gates, (gates, 4, 4), or their averages over the gauges of the gate that they follow."""
    matrices = [cirq.unitary(cirq.FSimGate(*each)) for each in angles]
    return np.array(matrices if twirled is None else [averaged_over_gauges(each, twirled) for each in matrices])


def connectivity_encoder(processor: Processor, qubits: Mapping[cirq.Qid, cirq.Qid]) -> Encoder:
    """Return the encoder that uses the edges between placed qubits, in terms of the logical ones."""
    return encoder_for_edges(edges_of(processor, qubits), qubits)


def encoder_for_edges(edges: Edges, qubits: Iterable[cirq.Qid]) -> Encoder:
    """Return the encoder that uses the given edges between logical qubits."""
    graph = nx.Graph(sorted(tuple(sorted(edge)) for edge in edges))
    graph.add_nodes_from(sorted(qubits))
    return NeighbourEncoder(graph)
