"""Choice of the physical qubit for each logical one: patches grown by the calibration, the best few compiled, the best kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import cirq
import networkx as nx
import numpy as np

from hattriq_cirq.compilation.compile import Edges, edges_between, physical_circuit
from hattriq_cirq.compilation.layout_search import Chip, Demand, Search
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.encoding.connectivity import NeighbourEncoder
from hattriq_cirq.encoding.exact import Encoder, encode
from hattriq_cirq.simulation.statevector import final_state

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
        error: Predicted error of a circuit by `predicted_error`, averaged over the compiled circuits.
        circuits: Compiled circuits that the prediction is for.
    """

    error: float
    circuits: tuple[cirq.FrozenCircuit, ...] = ()


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
    demand = Demand.of(circuits, qubits)
    chip = Chip.of(processor, among)
    if len(demand.qubits) > len(chip.qubits):
        raise ValueError(f"the circuits need {len(demand.qubits)} qubits, {processor.id} has {len(chip.qubits)} to choose from")
    assignments = Search(demand, chip).best(_CANDIDATES)
    patches = [dict(zip(demand.qubits, (chip.qubits[i] for i in at), strict=True)) for at in assignments]
    if not patches:
        raise ValueError(f"there is no connected patch of {len(demand.qubits)} qubits on {processor.id}")
    layouts: list[Layout] = []
    shapes: set[Edges] = set()
    for patch in patches:
        shape = edges_between(processor, patch)
        if shape in shapes or len(shapes) < _SHAPES:  # circuits are compiled once per shape, so a known shape costs little
            shapes.add(shape)
            layouts.append(Layout(patch, connectivity_encoder(processor, patch)))
    return [*layouts, Layout(patches[0], encode)]


def evaluate_layout(processor: Processor, layout: Layout, circuits: Sequence[cirq.AbstractCircuit]) -> Placement:
    """Compile circuits for a layout and predict their error.

    Args:
        processor: Processor with its calibration.
        layout: Layout of the circuits' qubits.
        circuits: Logical circuits, prepared by the layout's encoder.

    Returns:
        The layout with its predicted error and the compiled circuits.

    Raises:
        CircuitRefusedError: A circuit cannot be compiled.
    """
    compiled = tuple(physical_circuit(processor, circuit, layout.qubits) for circuit in circuits)
    error = float(np.mean([predicted_error(processor, circuit) for circuit in compiled]))
    return Placement(layout.qubits, layout.encoder, error, compiled)


def best_placement(placements: Iterable[Placement]) -> Placement:
    """Return the placement of the lowest predicted error; the empty one if there are none."""
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
    return best_placement(evaluate_layout(processor, layout, circuits) for layout in layouts)


def predicted_error(processor: Processor, circuit: cirq.AbstractCircuit) -> float:
    """Estimate the trace distance between the output of a compiled circuit on the processor and its ideal output.

    The estimate is 1 - fidelity for random errors plus sqrt(1 - |<ideal|actual>|**2) for the angle errors that the calibration
    states, which are the same in every run: those of a pure state add as amplitudes do. By the triangle inequality the sum
    bounds the distance of a circuit with both (Nielsen and Chuang, section 9.2).

    Args:
        processor: Processor with its calibration.
        circuit: Circuit compiled for it, ending in its measurement.

    Returns:
        At least 0; above 1 nothing of the signal is left.
    """
    random = 1 - processor.fidelity(circuit)
    if not processor.angle_errors or len(circuit.all_qubits()) > _SIMULATED_QUBITS:
        return random
    register = sorted(circuit.all_qubits())
    unitary = circuit[:-1]
    actual = cirq.Circuit(_with_angle_error(op, processor) for op in unitary.all_operations())
    overlap = np.vdot(final_state(unitary, register), final_state(actual, register))
    return float(random + np.sqrt(max(0.0, 1 - np.abs(overlap) ** 2)))


def _with_angle_error(op: cirq.Operation, processor: Processor) -> list[cirq.Operation]:
    angles = processor.angle_errors.get(frozenset(op.qubits))
    return [op] if len(op.qubits) != 2 or angles is None else [op, cirq.FSimGate(*angles)(*op.qubits)]


def connectivity_encoder(processor: Processor, qubits: Mapping[cirq.Qid, cirq.Qid]) -> Encoder:
    """Return the encoder that uses the edges between placed qubits, in terms of the logical ones."""
    graph = nx.Graph(map(tuple, edges_between(processor, qubits)))
    graph.add_nodes_from(qubits)
    return NeighbourEncoder(graph)
