"""Compilation for a processor: circuits placed, routed, compiled to a gate set, validated and compared with their sources.

Circuits that differ only in the angles of their rotations are compiled together and run as the points of a sweep, unless some
of them take fewer two-qubit gates than others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cirq
import networkx as nx
import numpy as np

from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.circuits.errors import CircuitRefusedError
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.compilation.circuit_stack import ROTATIONS, CircuitStack, stack_of_program
from hattriq_cirq.compilation.gatesets import gateset_name
from hattriq_cirq.compilation.native import compile_stack
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.compilation.routing import Couplers
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.simulation.statevector import outcome_probabilities

#: Physical qubit of each logical one.
QubitMap = Mapping[cirq.Qid, cirq.Qid]
#: Pairs of qubits with a coupler between them.
Edges = frozenset[frozenset[cirq.Qid]]
_TOLERANCE = 1e-6  # largest difference of an outcome probability between a compiled circuit and its source
_CHECKED_QUBITS = 12  # circuits of at most this many qubits are compared with their sources


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
    programs = [on_qubits(program, qubits) for program in compile_on_edges(processor, circuits, edges_of(processor, qubits))]
    for program in track(programs, "check circuits", "program"):
        description = f"of {multi_qubit_gates(program.circuit)} two-qubit gates"
        check_runnable(processor, program.circuit, description, "use fewer layers or features, or an approximate encoder")
        _check_equal([circuits[request] for request in program.requests], program)
    return programs


def compile_on_edges(
    processor: Processor, circuits: Sequence[cirq.AbstractCircuit], edges: Edges
) -> list[ParameterizedCircuit]:
    """Compile circuits to a processor's gates on their logical qubits, with two-qubit gates on the given edges only.

    Args:
        processor: Processor that will run the circuits.
        circuits: Logical circuits, each ending in one measurement.
        edges: Pairs of logical qubits that have a coupler where they are placed.

    Returns:
        Programs whose points are together all the circuits.

    Raises:
        CircuitRefusedError: An operation cannot be compiled.
    """
    programs: list[ParameterizedCircuit] = []
    for requests in track(_families(circuits), "compile circuits", "structure"):
        try:
            stack = CircuitStack.of([circuits[i] for i in requests], _needed_between(circuits[requests[0]], edges))
            compiled = compile_stack(stack, gateset_name(processor.gateset), _couplers(stack, edges))
        except ValueError as error:
            raise CircuitRefusedError(f"a circuit cannot be compiled for {processor.id}: {error}") from error
        programs += [
            ParameterizedCircuit(each.circuit, tuple(requests[i] for i in each.requests), each.points) for each in compiled
        ]
    return programs


def physical_circuit(processor: Processor, circuit: cirq.AbstractCircuit, qubits: QubitMap) -> cirq.FrozenCircuit:
    """Compile one circuit to a processor's qubits and gates, its measurement alone in the last moment.

    Args:
        processor: Processor that will run the circuit.
        circuit: Logical circuit without symbols.
        qubits: Physical qubit for each logical one.

    Returns:
        The circuit, routed where gates join qubits without a coupler.

    Raises:
        CircuitRefusedError: An operation cannot be compiled.
    """
    (program,) = compile_on_edges(processor, [circuit], edges_of(processor, qubits))
    return on_qubits(program, qubits).circuit


def on_qubits(program: ParameterizedCircuit, qubits: QubitMap) -> ParameterizedCircuit:
    """Return a program on the physical qubits of its logical ones."""
    circuit = program.circuit.unfreeze().transform_qubits(dict(qubits)).freeze()
    return ParameterizedCircuit(circuit, program.requests, program.points)


def edges_of(processor: Processor, qubits: QubitMap) -> Edges:
    """Return the pairs of logical qubits that have a coupler where they are placed."""
    logical = {physical: q for q, physical in qubits.items()}
    edges = processor.graph.subgraph(qubits.values()).edges
    return frozenset(frozenset((logical[a], logical[b])) for a, b in edges)


def _needed_between(circuit: cirq.AbstractCircuit, edges: Edges) -> frozenset[cirq.Qid]:
    """Return the qubits beside a circuit's own if its gates need them as way stations, none if its own couplers are enough.

    A circuit need not use all qubits of its patch: a gate may join two of them that only an unused qubit lies between.
    """
    own = circuit.all_qubits()
    graph = nx.Graph([tuple(edge) for edge in edges])
    parts = list(nx.connected_components(graph.subgraph(own)))
    gates = (op for op in circuit.all_operations() if len(op.qubits) > 1 and not cirq.is_measurement(op))
    is_joined = (any(part.issuperset(gate.qubits) for part in parts) for gate in gates)
    return frozenset() if all(is_joined) else frozenset(graph) - own


def _couplers(stack: CircuitStack, edges: Edges) -> Couplers:
    """Return the edges between the qubits of a stack, as positions."""
    position = {q: i for i, q in enumerate(stack.qubits)}
    pairs = [sorted(position[q] for q in edge) for edge in edges if edge <= position.keys()]
    return tuple(sorted((a, b) for a, b in pairs))


def _families(circuits: Sequence[cirq.AbstractCircuit]) -> list[list[int]]:
    """Group the positions of circuits that differ only in the angles of their rotations."""
    families: dict[Any, list[int]] = {}
    for i, circuit in enumerate(circuits):
        shape = tuple((type(op.gate), op.qubits) if isinstance(op.gate, ROTATIONS) else op for op in circuit.all_operations())
        families.setdefault(shape, []).append(i)
    return list(families.values())


def check_runnable(processor: Processor, circuit: cirq.AbstractCircuit, description: str, cure: str) -> None:
    """Raise an error for a circuit that its processor would refuse, or whose errors its calibration does not state.

    Args:
        processor: Processor that the circuit is for.
        circuit: Compiled circuit, possibly changed since.
        description: Kind of circuit for the message, such as `folded 3 times`.
        cure: Advice for the message.

    Raises:
        CircuitRefusedError: The circuit takes too long, or has a gate that the processor does not offer, or a two-qubit gate
            other than the one whose errors its calibration states.
    """
    check_on_device(processor, circuit, description, cure)
    for op in circuit.all_operations():
        if len(op.qubits) == 2 and not cirq.is_measurement(op) and not processor.is_native(op):
            raise CircuitRefusedError(
                f"a circuit {description} has {op}, whose error on {processor.id} is not known: its calibration is for "
                f"{gateset_name(processor.gateset)} gates on couplers; compile the circuit to these"
            )


def check_on_device(processor: Processor, circuit: cirq.AbstractCircuit, description: str, cure: str) -> None:
    """Raise an error for a circuit that its processor would refuse.

    Args:
        processor: Processor that the circuit is for.
        circuit: Circuit of gates on physical qubits.
        description: Kind of circuit for the message, such as `folded 3 times`.
        cure: Advice for the message.

    Raises:
        CircuitRefusedError: The circuit takes too long, or has a qubit or a gate that the processor does not offer.
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


def _check_equal(sources: Sequence[cirq.AbstractCircuit], program: ParameterizedCircuit) -> None:
    """Compare the outcome probabilities of all points of a program with those of their source circuits."""
    if max(len(circuit.all_qubits()) for circuit in (*sources, program.circuit)) > _CHECKED_QUBITS:
        return
    found, expected = stack_of_program(program).probabilities(), CircuitStack.of(sources).probabilities()
    difference = float(np.abs(found - expected).max())
    if difference > _TOLERANCE:
        raise CircuitRefusedError(
            f"a compiled circuit differs from its source by {difference:.1e} in an outcome's probability, more than "
            f"{_TOLERANCE:g}; this is a fault of the compiler: name other qubits, or report it"
        )
