"""Choice of the physical qubit for each logical one: patches grown by the calibration, the best few compiled, the best kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cirq
import networkx as nx
import numpy as np

from hattriq_cirq.compilation.compile import Edges, edges_of_layouts, physical_circuits
from hattriq_cirq.compilation.layout_search import GateCounts, LayoutSearch, ProcessorErrors
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.encoding.connectivity import NeighbourEncoder
from hattriq_cirq.encoding.exact import Encoder, encode
from hattriq_cirq.simulation.statevector import state_fidelities

_CANDIDATES = 24  # assignments whose predicted error is compared
_SHAPES = 4  # different coupling graphs among them, for each of which circuits are compiled
_SIMULATED_QUBITS = 12  # circuits of at most this many qubits are simulated to predict the effect of angle errors


@dataclass(frozen=True, eq=False)
class Layout:
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
        """Return the placement that `to_record` describes, on the same processor and without its circuits."""
        qubits = dict(cirq.read_json(json_text=record["qubits"]))
        encoder = connectivity_encoder(processor, qubits) if record["uses_edges"] else encode
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
            f"the circuits need {len(counts.qubits)} qubits, {processor.id} has {len(errors.qubits)} to choose from"
        )
    assignments = LayoutSearch(counts, errors).best(_CANDIDATES)
    patches = [dict(zip(counts.qubits, (errors.qubits[i] for i in at), strict=True)) for at in assignments]
    if not patches:
        raise ValueError(f"there is no connected patch of {len(counts.qubits)} qubits on {processor.id}")
    encoders: dict[Edges, Encoder] = {}
    layouts: list[Layout] = []
    for patch, edges in zip(patches, edges_of_layouts(processor, patches), strict=True):
        if edges not in encoders and len(encoders) < _SHAPES:
            encoders[edges] = encoder_for_edges(edges, patch)
        if edges in encoders:  # circuits are compiled once per shape, so another layout of a known shape costs little
            layouts.append(Layout(patch, encoders[edges]))
    return [*layouts, Layout(patches[0], encode)]


def best_placement(
    processor: Processor, layouts: Sequence[Layout], circuits: Mapping[Encoder, Sequence[cirq.AbstractCircuit]]
) -> Placement:
    """Compile circuits for every layout and keep the layout of the lowest predicted error.

    Args:
        processor: Processor with its calibration.
        layouts: Layouts of the circuits' qubits.
        circuits: Logical circuits by the encoder that prepares their amplitudes, for the encoder of every layout.

    Returns:
        The best layout with its predicted error and its compiled circuits; the empty placement if there are no layouts.

    Raises:
        CircuitRefusedError: A circuit cannot be compiled.
    """
    compiled = physical_circuits(processor, [circuits[one.encoder] for one in layouts], [one.qubits for one in layouts])
    errors = iter(predicted_errors(processor, [circuit for own in compiled for circuit in own]))
    placements = [
        Placement(one.qubits, one.encoder, float(np.mean([next(errors) for _ in own])), tuple(own))
        for one, own in zip(layouts, compiled, strict=True)
    ]
    return min(placements, key=lambda placement: placement.error, default=Placement({}, encode, 0.0))


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
    errors = [1 - fidelity for fidelity in processor.fidelities(circuits)]
    if not processor.angle_errors:
        return errors
    small = [i for i, circuit in enumerate(circuits) if len(circuit.all_qubits()) <= _SIMULATED_QUBITS]
    ideal = [circuits[i][:-1] for i in small]
    actual = [cirq.Circuit(_with_angle_error(op, processor) for op in circuit.all_operations()) for circuit in ideal]
    for i, fidelity in zip(small, state_fidelities(ideal, actual), strict=True):
        errors[i] = float(errors[i] + np.sqrt(max(0.0, 1 - fidelity)))
    return errors


def _with_angle_error(op: cirq.Operation, processor: Processor) -> list[cirq.Operation]:
    angles = processor.angle_errors.get(frozenset(op.qubits))
    return [op] if len(op.qubits) != 2 or angles is None else [op, cirq.FSimGate(*angles)(*op.qubits)]


def connectivity_encoder(processor: Processor, qubits: Mapping[cirq.Qid, cirq.Qid]) -> Encoder:
    """Return the encoder that uses the edges between placed qubits, in terms of the logical ones."""
    return encoder_for_edges(edges_of_layouts(processor, [qubits])[0], qubits)


def encoder_for_edges(edges: Edges, qubits: Iterable[cirq.Qid]) -> Encoder:
    """Return the encoder that uses the given edges between logical qubits."""
    graph = nx.Graph(map(tuple, edges))
    graph.add_nodes_from(qubits)
    return NeighbourEncoder(graph)
