"""Logical circuits made physical: placed, routed, compiled to a gate set, validated, and compared with their sources.

Circuits that differ only in the angles of their rotations are compiled once, with symbols for the angles, and run as a
sweep, unless that takes more two-qubit gates than compiling them apart.
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
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.simulation.statevector import outcome_probabilities

QubitMap = Mapping[cirq.Qid, cirq.Qid]
"""The physical qubit of each logical one."""
Edges = frozenset[frozenset[cirq.Qid]]
"""Pairs of qubits that are coupled."""
_TOLERANCE = 1e-6  # of outcome probabilities, between a compiled circuit and its source
_CHECKED_QUBITS = 12  # up to which that is checked
_TURNS = (cirq.Rx, cirq.Ry, cirq.Rz)


def compile_for(processor: Processor, circuits: Sequence[cirq.AbstractCircuit], placed: QubitMap) -> list[ParameterizedCircuit]:
    """Compiles circuits for a processor.

    Args:
        processor: what they will run on.
        circuits: logical, each ending in one measurement.
        placed: a physical qubit for each logical one; together they are connected.

    Returns:
        Programs whose points are together all the circuits; each point gives the outcome probabilities of its circuit to 1e-6.

    Raises:
        CircuitRefusedError: a circuit takes longer than the processor allows, or does not fit its gates or couplers.
    """
    programs: list[ParameterizedCircuit] = []
    for requests in _families(circuits):
        members = [circuits[i] for i in requests]
        programs += _swept(processor, members, requests, placed) or [
            ParameterizedCircuit(physical(processor, circuit, placed), (i,))
            for i, circuit in zip(requests, members, strict=True)
        ]
    for program in programs:
        size = f"of {multi_qubit_gates(program.circuit)} two-qubit gates"
        check_runnable(processor, program.circuit, size, "use fewer layers or features, or an approximate encoder")
        for request, point in zip(program.requests, program.points, strict=True):
            _check_equal(circuits[request], cirq.resolve_parameters(program.circuit, dict(point)))
    return programs


def physical(processor: Processor, circuit: cirq.AbstractCircuit, placed: QubitMap) -> cirq.FrozenCircuit:
    """One circuit on a processor's qubits and gates, its measurement alone in the last moment.

    Args:
        processor: what it is for.
        circuit: logical; with symbols or without.
        placed: a physical qubit for each logical one.

    Returns:
        The circuit, routed with Cirq's router where gates join qubits that are not coupled.

    Raises:
        CircuitRefusedError: something in it cannot be compiled.
    """
    couplings = edges_between(processor, placed)
    try:
        return _on_couplings(processor, circuit.freeze(), couplings).unfreeze().transform_qubits(dict(placed)).freeze()
    except ValueError as error:
        raise CircuitRefusedError(f"a circuit cannot be compiled for {processor.id}: {error}") from error


def edges_between(processor: Processor, placed: QubitMap) -> Edges:
    """Which logical qubits are coupled where they are placed."""
    logical = {where: q for q, where in placed.items()}
    edges = processor.graph.subgraph(placed.values()).edges
    return frozenset(frozenset((logical[a], logical[b])) for a, b in edges)


@lru_cache(maxsize=256)  # many patches have the same shape
def _on_couplings(processor: Processor, circuit: cirq.FrozenCircuit, couplings: Edges) -> cirq.FrozenCircuit:
    """A circuit in the processor's gates on logical qubits, its two-qubit gates on couplings only."""
    graph = nx.Graph(sorted(tuple(sorted(pair)) for pair in couplings))
    graph.add_nodes_from(sorted(circuit.all_qubits()))
    if not _is_local(circuit, graph):
        circuit = _in_cz(processor, circuit)
    if _is_local(circuit, graph):
        compiled = _optimized(processor, circuit)
    else:
        start = cirq.HardCodedInitialMapper({q: q for q in circuit.all_qubits()})
        swapped = cirq.RouteCQC(graph)(circuit, initial_mapper=start)
        compiled = min((_optimized(processor, way) for way in (_bridged(circuit, graph), swapped)), key=multi_qubit_gates)
    return cirq.synchronize_terminal_measurements(compiled).freeze()


def _optimized(processor: Processor, circuit: cirq.AbstractCircuit) -> cirq.AbstractCircuit:
    return cirq.optimize_for_target_gateset(circuit, gateset=processor.gateset, ignore_failures=False)


@lru_cache(maxsize=64)  # the same circuit is tried on several shapes
def _in_cz(processor: Processor, circuit: cirq.FrozenCircuit) -> cirq.FrozenCircuit:
    """The circuit in CZ and gates on one qubit: what is bridged or routed, whatever the processor's own gate is."""
    native = isinstance(processor.gateset, cirq.CZTargetGateset)
    target = processor.gateset if native else cirq.CZTargetGateset()
    return cirq.optimize_for_target_gateset(circuit, gateset=target, ignore_failures=False).freeze()


def _is_local(circuit: cirq.AbstractCircuit, graph: Any) -> bool:
    """Whether every gate acts on one qubit or on a coupled pair."""
    return all(
        cirq.is_measurement(op) or len(op.qubits) < 2 or (len(op.qubits) == 2 and graph.has_edge(*op.qubits))
        for op in circuit.all_operations()
    )


def _bridged(circuit: cirq.AbstractCircuit, graph: Any) -> cirq.Circuit:
    """Every CZ of qubits that are not coupled by CZs on the way between them, which moves no qubit.

    With b next to c on the way from a, CZ(a, c) = CZ(b, c) X CZ(b, c) X, where X stands for a CNOT from a to b.
    """

    def coupled(a: cirq.Qid, c: cirq.Qid) -> list[cirq.Operation]:
        *_, b, _ = nx.shortest_path(graph, a, c)
        if b == a:
            return [cirq.CZ(a, c)]
        added = [cirq.H(b), *coupled(a, b), cirq.H(b)]
        return [cirq.CZ(b, c), *added, cirq.CZ(b, c), *added]

    return cirq.Circuit(
        op if len(op.qubits) < 2 or cirq.is_measurement(op) else coupled(*op.qubits) for op in circuit.all_operations()
    )


def _families(circuits: Sequence[cirq.AbstractCircuit]) -> list[list[int]]:
    """Positions of circuits that differ only in the angles of their turns."""
    families: dict[Any, list[int]] = {}
    for i, circuit in enumerate(circuits):
        shape = tuple((type(op.gate), op.qubits) if isinstance(op.gate, _TURNS) else op for op in circuit.all_operations())
        families.setdefault(shape, []).append(i)
    return list(families.values())


def _angles(circuit: cirq.AbstractCircuit) -> FloatArray:
    """The angle of every turn, radians."""
    found = [op.gate.exponent * np.pi for op in circuit.all_operations() if isinstance(op.gate, _TURNS)]
    return np.array(found, dtype=float)


def _swept(
    processor: Processor, circuits: Sequence[cirq.AbstractCircuit], requests: Sequence[int], placed: QubitMap
) -> list[ParameterizedCircuit]:
    """One program with a point a circuit; none where there is one circuit only, or where symbols cost two-qubit gates."""
    if len(circuits) < 2:
        return []
    angles = np.array([_angles(circuit) for circuit in circuits])
    differs = np.ptp(angles, axis=0) > 0
    varied = iter(differs)
    symbols: list[sympy.Symbol] = []

    def with_symbol(op: cirq.Operation, _: int) -> cirq.Operation:
        if not isinstance(op.gate, _TURNS) or not next(varied):
            return op
        symbols.append(sympy.Symbol(f"t{len(symbols)}"))
        return _turn_by(op, symbols[-1])

    template = cirq.map_operations(circuits[0].unfreeze(), with_symbol)
    points: list[Point] = [dict(zip(map(str, symbols), row, strict=True)) for row in angles[:, differs].tolist()]
    try:
        compiled = physical(processor, template, placed)
    except CircuitRefusedError:  # a gate set without turns by symbols, such as sqrt-iSWAP's
        return []
    if multi_qubit_gates(compiled) > multi_qubit_gates(physical(processor, circuits[0], placed)):
        return []
    merged, found = cirq.merge_single_qubit_gates_to_phxz_symbolized(compiled, sweep=to_sweep(points))
    return [
        ParameterizedCircuit(cirq.synchronize_terminal_measurements(merged).freeze(), tuple(requests), tuple(points_of(found)))
    ]


def _turn_by(op: cirq.Operation, angle: sympy.Symbol) -> cirq.Operation:
    """The same turn by another angle."""
    (turn,) = (kind for kind in _TURNS if isinstance(op.gate, kind))
    turned: cirq.Operation = turn(rads=angle)(*op.qubits)
    return turned


def check_runnable(processor: Processor, circuit: cirq.AbstractCircuit, made: str, cure: str) -> None:
    """Refuses a circuit that its processor would refuse, with the figure.

    Args:
        processor: what the circuit is for.
        circuit: compiled, and perhaps changed since.
        made: what kind of circuit it is, such as `folded 3 times`.
        cure: what helps.

    Raises:
        CircuitRefusedError: it takes too long, or has a gate that is not native.
    """
    try:
        processor.device.validate_circuit(circuit)
    except ValueError as error:
        raise CircuitRefusedError(f"{processor.id} would refuse a circuit {made}: {error}; {cure}") from error
    if (duration := processor.duration_ns(circuit)) > processor.max_duration_ns:
        raise CircuitRefusedError(
            f"a circuit {made} takes {duration / 1000:.1f} us on {processor.id}, which allows "
            f"{processor.max_duration_ns / 1000:g} us; {cure}"
        )


def _check_equal(source: cirq.AbstractCircuit, compiled: cirq.AbstractCircuit) -> None:
    if max(len(source.all_qubits()), len(compiled.all_qubits())) > _CHECKED_QUBITS:
        return
    off = float(np.abs(outcome_probabilities(source) - outcome_probabilities(compiled)).max())
    if off > _TOLERANCE:
        raise CircuitRefusedError(
            f"a compiled circuit differs from its source by {off:.1e} in an outcome's probability, more than {_TOLERANCE:g}; "
            "this is a fault of the compiler: name other qubits, or report it"
        )
