"""Which physical qubit each logical one becomes: patches grown by the calibration, the best few compiled, the best kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import cirq
import networkx as nx
import numpy as np

from hattriq_cirq.compilation.compile import Edges, edges_between, physical
from hattriq_cirq.compilation.layout_search import Chip, Demand, Search
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.encoding.connectivity import NeighbourEncoder
from hattriq_cirq.encoding.exact import Encoder, encode
from hattriq_cirq.simulation.statevector import final_state

Build = Callable[[Encoder], Sequence[cirq.AbstractCircuit]]
"""Circuits whose amplitudes are prepared by an encoder."""
_CANDIDATES = 24  # assignments that are judged
_SHAPES = 4  # different coupling graphs among them, for each of which circuits are compiled
_SIMULATED_QUBITS = 12  # up to which angles that are off are followed through the circuit


@dataclass(frozen=True, eq=False)
class Placement:
    """Where circuits run.

    Args:
        qubits: the physical qubit of each logical one.
        encoder: prepares amplitudes with the couplings that are there.
        error: predicted of a circuit by `predicted_error`; the mean over those compiled.
        circuits: those by which it was chosen, compiled.
    """

    qubits: Mapping[cirq.Qid, cirq.Qid]
    encoder: Encoder
    error: float
    circuits: tuple[cirq.FrozenCircuit, ...] = ()


def place(
    processor: Processor, build: Build, qubits: Sequence[cirq.Qid] = (), *, among: Sequence[cirq.Qid] | None = None
) -> Placement:
    """Finds good qubits: greedy patches and assignments by predicted error, the best few compiled, the best kept.

    The prediction of a patch adds, for every pair of logical qubits, how often they couple times the errors on the way
    between them, and for every qubit its single-qubit, readout and relaxation errors. Nothing is random.

    Args:
        processor: with its calibration.
        build: makes a few circuits, the same ones with any encoder.
        qubits: logical ones to place beside those of the circuits.
        among: physical qubits to choose from; None is all.

    Returns:
        The placement of the lowest predicted error.

    Raises:
        ValueError: too few qubits, or named ones that the processor lacks or that are not connected.
        CircuitRefusedError: no placement lets the circuits be compiled.
    """
    build = cache(build)  # patches of the same shape take the same circuits
    circuits = build(encode)
    demand = Demand.of(circuits, qubits)
    if not circuits:
        return Placement({}, encode, 0.0)
    chip = Chip.of(processor, among)
    if len(demand.qubits) > len(chip.qubits):
        raise ValueError(f"the circuits need {len(demand.qubits)} qubits, {processor.id} has {len(chip.qubits)} to choose from")
    found = Search(demand, chip).best(_CANDIDATES)
    patches = [dict(zip(demand.qubits, (chip.qubits[i] for i in at), strict=True)) for at in found]
    if not patches:
        raise ValueError(f"there is no connected patch of {len(demand.qubits)} qubits on {processor.id}")
    options: list[Placement] = []
    shapes: set[Edges] = set()
    for patch in patches:
        shape = edges_between(processor, patch)
        if shape in shapes or len(shapes) < _SHAPES:  # a new shape is to be compiled, a known one only to be judged
            shapes.add(shape)
            options.append(judged(processor, build, patch, neighbour_encoder(processor, patch)))
    options.append(judged(processor, build, patches[0], encode))  # prepared as on a free graph, and routed
    return min(options, key=lambda option: option.error)


def judged(processor: Processor, build: Build, qubits: Mapping[cirq.Qid, cirq.Qid], encoder: Encoder) -> Placement:
    """A placement with its predicted error, from circuits compiled there.

    Raises:
        CircuitRefusedError: they cannot be compiled.
    """
    compiled = tuple(physical(processor, circuit, qubits) for circuit in build(encoder))
    return Placement(qubits, encoder, float(np.mean([predicted_error(processor, circuit) for circuit in compiled])), compiled)


def predicted_error(processor: Processor, circuit: cirq.AbstractCircuit) -> float:
    """An estimate of how far what a compiled circuit gives is from what it should give, as a trace distance.

    1 - fidelity for what goes wrong at random, and sqrt(1 - |<wanted|made>|**2) for angles that are off in the same way
    every time, as the calibration states them: those of a pure state, which add up as amplitudes do. By the triangle
    inequality the sum bounds the distance of a circuit with both (Nielsen and Chuang, section 9.2).

    Args:
        processor: with its calibration.
        circuit: compiled for it, ending in its measurement.

    Returns:
        At least 0; above 1 nothing is left.
    """
    random = 1 - processor.fidelity(circuit)
    if not processor.angle_errors or len(circuit.all_qubits()) > _SIMULATED_QUBITS:
        return random
    register = sorted(circuit.all_qubits())
    unitary = circuit[:-1]
    off = cirq.Circuit(_with_angle_error(op, processor) for op in unitary.all_operations())
    overlap = np.vdot(final_state(unitary, register), final_state(off, register))
    return float(random + np.sqrt(max(0.0, 1 - np.abs(overlap) ** 2)))


def _with_angle_error(op: cirq.Operation, processor: Processor) -> list[cirq.Operation]:
    angles = processor.angle_errors.get(frozenset(op.qubits))
    return [op] if len(op.qubits) != 2 or angles is None else [op, cirq.FSimGate(*angles)(*op.qubits)]


def neighbour_encoder(processor: Processor, placed: Mapping[cirq.Qid, cirq.Qid]) -> Encoder:
    """The encoder that uses the couplings between placed qubits, in terms of the logical ones."""
    graph = nx.Graph(map(tuple, edges_between(processor, placed)))
    graph.add_nodes_from(placed)
    return NeighbourEncoder(graph)
