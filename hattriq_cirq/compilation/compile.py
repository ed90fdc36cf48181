"""Compilation for a processor: circuits placed, routed, compiled to a gate set, validated and compared with their sources.

Circuits that differ only in the angles of their rotations are compiled once, with symbols for the angles, and run as a
sweep, unless that takes more two-qubit gates than compiling them one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import cirq
import networkx as nx
import numpy as np
import sympy

from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.circuits.errors import CircuitRefusedError
from hattriq_cirq.circuits.program import ParameterizedCircuit, Point, points_of, to_sweep
from hattriq_cirq.compilation.gatesets import compile_to_gateset
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.simulation.statevector import outcome_probabilities

#: Physical qubit of each logical one.
QubitMap = Mapping[cirq.Qid, cirq.Qid]
#: Pairs of qubits with a coupler between them.
Edges = frozenset[frozenset[cirq.Qid]]
_TOLERANCE = 1e-6  # largest difference of an outcome probability between a compiled circuit and its source
_CHECKED_QUBITS = 12  # circuits of at most this many qubits are compared with their sources
_ROTATIONS = (cirq.Rx, cirq.Ry, cirq.Rz)


def compile_for(processor: Processor, circuits: Sequence[cirq.AbstractCircuit], qubits: QubitMap) -> list[ParameterizedCircuit]:
    """Compile circuits for a processor.

    Args:
        processor: Processor that will run the circuits.
        circuits: Logical circuits, each ending in one measurement.
        qubits: Physical qubit for each logical one; together they are connected.

    Returns:
        Programs whose points are together all the circuits; each point gives the outcome probabilities of its circuit to 1e-6.

    Raises:
        CircuitRefusedError: A circuit takes longer than the processor allows, or does not fit its gates or couplers.
    """
    programs: list[ParameterizedCircuit] = []
    for requests in _families(circuits):
        members = [circuits[i] for i in requests]
        programs += _compile_as_sweep(processor, members, requests, qubits) or [
            ParameterizedCircuit(physical_circuit(processor, circuit, qubits), (i,))
            for i, circuit in zip(requests, members, strict=True)
        ]
    for program in programs:
        description = f"of {multi_qubit_gates(program.circuit)} two-qubit gates"
        check_runnable(processor, program.circuit, description, "use fewer layers or features, or an approximate encoder")
        for request, point in zip(program.requests, program.points, strict=True):
            _check_equal(circuits[request], cirq.resolve_parameters(program.circuit, dict(point)))
    return programs


def physical_circuit(processor: Processor, circuit: cirq.AbstractCircuit, qubits: QubitMap) -> cirq.FrozenCircuit:
    """Compile one circuit to a processor's qubits and gates, its measurement alone in the last moment.

    Args:
        processor: Processor that will run the circuit.
        circuit: Logical circuit, with symbols or without.
        qubits: Physical qubit for each logical one.

    Returns:
        The circuit, routed with Cirq's router where gates join qubits without a coupler.

    Raises:
        CircuitRefusedError: An operation cannot be compiled.
    """
    (edges,) = edges_of_layouts(processor, [qubits])
    try:
        return _compile_on_edges(processor, circuit.freeze(), edges).unfreeze().transform_qubits(dict(qubits)).freeze()
    except ValueError as error:
        raise CircuitRefusedError(f"a circuit cannot be compiled for {processor.id}: {error}") from error


def physical_circuits(
    processor: Processor, circuits: Sequence[Sequence[cirq.AbstractCircuit]], layouts: Sequence[QubitMap]
) -> list[list[cirq.FrozenCircuit]]:
    """Compile some circuits for each of several layouts; arguments and errors are those of `physical_circuit`."""
    return [
        [physical_circuit(processor, circuit, qubits) for circuit in of_layout]
        for of_layout, qubits in zip(circuits, layouts, strict=True)
    ]


def edges_of_layouts(processor: Processor, layouts: Sequence[QubitMap]) -> list[Edges]:
    """Return, for each layout, the pairs of logical qubits that have a coupler where they are placed."""
    found = []
    for qubits in layouts:
        logical = {physical: q for q, physical in qubits.items()}
        edges = processor.graph.subgraph(qubits.values()).edges
        found.append(frozenset(frozenset((logical[a], logical[b])) for a, b in edges))
    return found


@lru_cache(maxsize=256)  # many patches have the same shape
def _compile_on_edges(processor: Processor, circuit: cirq.FrozenCircuit, edges: Edges) -> cirq.FrozenCircuit:
    """Compile a circuit to the processor's gates on logical qubits, with two-qubit gates on the given edges only."""
    graph = nx.Graph(sorted(tuple(sorted(pair)) for pair in edges))
    graph.add_nodes_from(sorted(circuit.all_qubits()))
    if not _is_local(circuit, graph):
        circuit = _to_cz(processor, circuit)
    if _is_local(circuit, graph):
        compiled = compile_to_gateset(circuit, processor.gateset)
    else:
        start = cirq.HardCodedInitialMapper({q: q for q in circuit.all_qubits()})
        swapped = cirq.RouteCQC(graph)(circuit, initial_mapper=start)
        routed = (compile_to_gateset(option, processor.gateset) for option in (_bridge(circuit, graph), swapped))
        compiled = min(routed, key=multi_qubit_gates)
    return cirq.synchronize_terminal_measurements(compiled).freeze()


@lru_cache(maxsize=64)  # the same circuit is tried on several shapes
def _to_cz(processor: Processor, circuit: cirq.FrozenCircuit) -> cirq.FrozenCircuit:
    """Compile a circuit to CZ and single-qubit gates, which are bridged or routed whatever the processor's own gate is."""
    native = isinstance(processor.gateset, cirq.CZTargetGateset)
    return compile_to_gateset(circuit, processor.gateset if native else cirq.CZTargetGateset()).freeze()


def _is_local(circuit: cirq.AbstractCircuit, graph: Any) -> bool:
    """Return True if every gate acts on one qubit or along an edge of the graph."""
    return all(
        cirq.is_measurement(op) or len(op.qubits) < 2 or (len(op.qubits) == 2 and graph.has_edge(*op.qubits))
        for op in circuit.all_operations()
    )


def _bridge(circuit: cirq.AbstractCircuit, graph: Any) -> cirq.Circuit:
    """Replace every CZ between qubits without an edge by CZs along a path between them, which moves no qubit.

    With b next to c on the path from a, CZ(a, c) = CZ(b, c) X CZ(b, c) X, where X is a CNOT from a to b.
    """

    def bridged(a: cirq.Qid, c: cirq.Qid) -> list[cirq.Operation]:
        *_, b, _ = nx.shortest_path(graph, a, c)
        if b == a:
            return [cirq.CZ(a, c)]
        cnot = [cirq.H(b), *bridged(a, b), cirq.H(b)]
        return [cirq.CZ(b, c), *cnot, cirq.CZ(b, c), *cnot]

    return cirq.Circuit(
        op if len(op.qubits) < 2 or cirq.is_measurement(op) else bridged(*op.qubits) for op in circuit.all_operations()
    )


def _families(circuits: Sequence[cirq.AbstractCircuit]) -> list[list[int]]:
    """Group the positions of circuits that differ only in the angles of their rotations."""
    families: dict[Any, list[int]] = {}
    for i, circuit in enumerate(circuits):
        shape = tuple((type(op.gate), op.qubits) if isinstance(op.gate, _ROTATIONS) else op for op in circuit.all_operations())
        families.setdefault(shape, []).append(i)
    return list(families.values())


def _compile_as_sweep(
    processor: Processor, circuits: Sequence[cirq.AbstractCircuit], requests: Sequence[int], qubits: QubitMap
) -> list[ParameterizedCircuit]:
    """Compile circuits of one family as one program with one point per circuit.

    Returns:
        The program; an empty list if there is one circuit only, or if symbols would cost two-qubit gates.
    """
    if len(circuits) < 2:
        return []
    angles = np.array(
        [
            [op.gate.exponent * np.pi for op in circuit.all_operations() if isinstance(op.gate, _ROTATIONS)]
            for circuit in circuits
        ]
    )
    varies = np.ptp(angles, axis=0) > 0
    next_varies = iter(varies)
    symbols: list[sympy.Symbol] = []

    def with_symbol(op: cirq.Operation, _: int) -> cirq.Operation:
        if not isinstance(op.gate, _ROTATIONS) or not next(next_varies):
            return op
        symbols.append(sympy.Symbol(f"t{len(symbols)}"))
        (kind,) = (kind for kind in _ROTATIONS if isinstance(op.gate, kind))
        rotation: cirq.Operation = kind(rads=symbols[-1])(*op.qubits)
        return rotation

    template = cirq.map_operations(circuits[0].unfreeze(), with_symbol)
    points: list[Point] = [dict(zip(map(str, symbols), row, strict=True)) for row in angles[:, varies].tolist()]
    try:
        compiled = physical_circuit(processor, template, qubits)
    except CircuitRefusedError:  # a gate set without symbolic rotations, such as that of sqrt-iSWAP
        return []
    if multi_qubit_gates(compiled) > multi_qubit_gates(physical_circuit(processor, circuits[0], qubits)):
        return []
    merged, sweep = cirq.merge_single_qubit_gates_to_phxz_symbolized(compiled, sweep=to_sweep(points))
    circuit = cirq.synchronize_terminal_measurements(merged).freeze()
    return [ParameterizedCircuit(circuit, tuple(requests), tuple(points_of(sweep)))]


def check_runnable(processor: Processor, circuit: cirq.AbstractCircuit, description: str, cure: str) -> None:
    """Raise an error for a circuit that its processor would refuse.

    Args:
        processor: Processor that the circuit is for.
        circuit: Compiled circuit, possibly changed since.
        description: Kind of circuit for the message, such as `folded 3 times`.
        cure: Advice for the message.

    Raises:
        CircuitRefusedError: The circuit takes too long, or has a gate that is not native.
    """
    try:
        processor.device.validate_circuit(circuit)
    except ValueError as error:
        raise CircuitRefusedError(f"{processor.id} would refuse a circuit {description}: {error}; {cure}") from error
    if (duration := processor.duration_ns(circuit)) > processor.max_duration_ns:
        raise CircuitRefusedError(
            f"a circuit {description} takes {duration / 1000:.1f} us on {processor.id}, which allows "
            f"{processor.max_duration_ns / 1000:g} us; {cure}"
        )


def largest_difference(first: cirq.AbstractCircuit, second: cirq.AbstractCircuit) -> float | None:
    """Return the largest difference between outcome probabilities of two circuits; None if they are too large to simulate."""
    if max(len(first.all_qubits()), len(second.all_qubits())) > _CHECKED_QUBITS:
        return None
    return float(np.abs(outcome_probabilities(first) - outcome_probabilities(second)).max())


def _check_equal(source: cirq.AbstractCircuit, compiled: cirq.AbstractCircuit) -> None:
    difference = largest_difference(source, compiled)
    if difference is not None and difference > _TOLERANCE:
        raise CircuitRefusedError(
            f"a compiled circuit differs from its source by {difference:.1e} in an outcome's probability, more than "
            f"{_TOLERANCE:g}; this is a fault of the compiler: name other qubits, or report it"
        )
