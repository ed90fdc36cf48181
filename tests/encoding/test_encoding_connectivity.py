"""Encoding on a graph of edges: prepared states, the edges that are used, and two-qubit gate counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cirq
import cirq_google
import networkx
import numpy as np
import pytest
from encoded import assert_prepares, cnot_count, max_cnot_count, unit, vectors
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Array, amplitudes, generators

import hattriq_cirq as hq
from hattriq_cirq import datasets
from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.encoding.connectivity import NeighbourEncoder
from hattriq_cirq.encoding.exact import Encoder, encode, encode_joint
from hattriq_cirq.estimators import BilinearTerm, PauliTerm, plan
from hattriq_cirq.estimators.bilinear import ancillas

Q = cirq.LineQubit.range(8)
ANCILLA = cirq.NamedQubit("ancilla0")
GATES = cirq_google.GoogleCZTargetGateset()


def graph_of(edges: Sequence[tuple[int, int]], ancilla_at: int | None = None) -> Any:
    more = [] if ancilla_at is None else [(ANCILLA, Q[ancilla_at])]
    return networkx.Graph([(Q[a], Q[b]) for a, b in edges] + more)


def line(n: int) -> list[tuple[int, int]]:
    return [(i, i + 1) for i in range(n - 1)]


def star(n: int) -> list[tuple[int, int]]:
    return [(0, i) for i in range(1, n)]


def ladder(columns: int) -> list[tuple[int, int]]:
    """Return two rows of a square grid, numbered row by row."""
    rows = [(r * columns + c, r * columns + c + 1) for r in range(2) for c in range(columns - 1)]
    return rows + [(c, c + columns) for c in range(columns)]


SQUARE = [(0, 1), (1, 2), (2, 3), (3, 0)]
HOUSE = [*ladder(2), (3, 4)]  # a square and one more beside it


def random_graph(n: int, rng: np.random.Generator) -> Any:
    """Return a random tree with additional edges, on shuffled qubits."""
    edges = [(int(rng.integers(i)), i) for i in range(1, n)]
    edges += [(a, b) for a in range(n) for b in range(a) if rng.random() < 0.2]
    names = rng.permutation(n)
    return graph_of([(int(names[a]), int(names[b])) for a, b in edges])


def compiled(circuit: cirq.AbstractCircuit) -> cirq.AbstractCircuit:
    return cirq.optimize_for_target_gateset(circuit, gateset=GATES, ignore_failures=False)


def routed(circuit: cirq.AbstractCircuit, graph: Any) -> cirq.AbstractCircuit:
    """Return the circuit after Cirq's router, with every qubit starting in its own position."""
    names: dict[cirq.Qid, cirq.Qid] = {q: cirq.LineQubit(100 + i) for i, q in enumerate(graph)}
    router = cirq.RouteCQC(networkx.relabel_nodes(graph, names))
    start = cirq.HardCodedInitialMapper({q: q for q in names.values()})
    return compiled(router(compiled(circuit).unfreeze().transform_qubits(names), initial_mapper=start))


def assert_on_edges(circuit: cirq.AbstractCircuit, graph: Any) -> None:
    wide = [op for op in circuit.all_operations() if len(op.qubits) > 1 and not cirq.is_measurement(op)]
    assert all(graph.has_edge(*op.qubits) for op in wide)


# prepared states


@settings(max_examples=60, deadline=None)
@given(x=vectors(6), rng=generators)
def test_neighbour_encoder_is_exact_on_every_connected_graph(x: Array, rng: np.random.Generator) -> None:
    n = len(x).bit_length() - 1
    graph = random_graph(n, rng)
    circuit = NeighbourEncoder(graph)(x, Q[:n])
    assert_prepares(circuit, Q[:n], x)
    assert_on_edges(circuit, graph)


@settings(max_examples=30, deadline=None)
@given(x=vectors(4), rng=generators, imaginary=st.booleans())
def test_neighbour_encoder_of_joint_vectors_is_exact(x: Array, rng: np.random.Generator, imaginary: bool) -> None:
    n = len(x).bit_length() - 1
    graph = random_graph(n, rng)
    graph.add_edge(ANCILLA, Q[int(rng.integers(n))])
    for other in (x, amplitudes(rng, len(x), imaginary=imaginary)):
        circuit = encode_joint(x, other, ANCILLA, Q[:n], encoder=NeighbourEncoder(graph))
        assert_prepares(circuit, [ANCILLA, *Q[:n]], np.concatenate([x, other]))
        assert_on_edges(circuit, graph)


@settings(max_examples=40, deadline=None)
@given(x=vectors(5, 2), rng=generators)
def test_neighbour_encoder_restores_the_state_of_qubits_in_between(x: Array, rng: np.random.Generator) -> None:
    n = len(x).bit_length() - 1
    graph = random_graph(n + 2, rng)
    places = rng.permutation(n + 2)
    encoded, others = [Q[i] for i in places[:n]], [Q[i] for i in places[n:]]
    held = unit(amplitudes(rng, 4, imaginary=True))
    circuit = NeighbourEncoder(graph)(x, encoded)
    assert_on_edges(circuit, graph)
    start = np.kron(np.eye(len(x))[0], held).astype(np.complex128)
    final = cirq.Simulator(dtype=np.complex128).simulate(circuit, initial_state=start, qubit_order=[*encoded, *others])
    state, expected = final.final_state_vector, np.kron(unit(x), held)
    overlap = np.vdot(expected, state)
    np.testing.assert_allclose(state * (abs(overlap) / overlap), expected, rtol=0, atol=1e-12)


def test_neighbour_encoder_uses_a_path_through_an_ancilla_if_necessary() -> None:
    graph = networkx.Graph([(Q[0], ANCILLA), (ANCILLA, Q[1])])
    x = amplitudes(np.random.default_rng(0), 4)
    circuit = NeighbourEncoder(graph)(x, Q[:2])
    assert ANCILLA in circuit.all_qubits()
    assert_prepares(circuit, [*Q[:2], ANCILLA], np.kron(x, [1, 0]))
    assert cnot_count(circuit) == 4


@pytest.mark.parametrize("imaginary", [False, True])
@pytest.mark.parametrize(("n", "edges"), [(7, line(7)), (8, ladder(4))])
def test_neighbour_encoder_on_seven_and_eight_qubits(n: int, edges: list[tuple[int, int]], imaginary: bool) -> None:
    rng = np.random.default_rng(n)
    for share in (0.2, 1.0):
        x = amplitudes(rng, 2**n, imaginary=imaginary) * (rng.random(2**n) < share)
        circuit = NeighbourEncoder(graph_of(edges))(x, Q[:n])
        assert_prepares(circuit, Q[:n], x)
        assert_on_edges(circuit, graph_of(edges))


@settings(deadline=None)
@given(x=vectors(5))
def test_neighbour_encoder_on_a_complete_graph_is_the_plain_encoding(x: Array) -> None:
    n = len(x).bit_length() - 1
    everything = graph_of([(a, b) for a in range(n) for b in range(a)])
    assert NeighbourEncoder(everything)(x, Q[:n]) == encode(x, Q[:n])


def test_neighbour_encoder_of_a_single_qubit_needs_no_edge() -> None:
    assert_prepares(NeighbourEncoder(networkx.Graph())([1, 2j], Q[:1]), Q[:1], np.array([1, 2j]))


# two-qubit gate counts


@pytest.mark.parametrize(
    ("n", "edges", "ancilla_at", "real", "complex_"),
    [
        (2, line(2), None, 1, 3),
        (3, line(3), None, 5, 11),
        (4, line(4), None, 15, 33),
        (4, star(4), None, 13, 27),
        (4, SQUARE, None, 14, 32),
        (5, line(5), None, 39, 85),
        (5, star(5), None, 29, 59),
        (4, SQUARE, 0, 32, 66),
        (6, ladder(3), None, 70, 144),
    ],
)
def test_neighbour_encoder_cnot_count_of_dense_vectors(
    n: int, edges: list[tuple[int, int]], ancilla_at: int | None, real: int, complex_: int
) -> None:
    graph = graph_of(edges, ancilla_at)
    qubits = Q[:n] if ancilla_at is None else [ANCILLA, *Q[:n]]
    for imaginary, bound in ((False, real), (True, complex_)):
        x = amplitudes(np.random.default_rng(n), 2 ** len(qubits), imaginary=imaginary)
        circuit = NeighbourEncoder(graph)(x, qubits)
        assert max_cnot_count(len(qubits), imaginary) <= cnot_count(circuit) <= bound
        assert_prepares(circuit, qubits, x)
        small = compiled(circuit)
        assert_on_edges(small, graph)
        assert multi_qubit_gates(small) <= cnot_count(circuit)
        if n < 6:
            assert multi_qubit_gates(small) <= multi_qubit_gates(routed(encode(x, qubits), graph))


@settings(max_examples=60, deadline=None)
@given(x=vectors(4, 2), rng=generators)
def test_neighbour_encoder_needs_no_more_cnots_than_a_plain_encoding_that_fits(x: Array, rng: np.random.Generator) -> None:
    n = len(x).bit_length() - 1
    graph = random_graph(n, rng)
    plain = encode(x, Q[:n])
    if all(graph.has_edge(*op.qubits) for op in plain.all_operations() if len(op.qubits) > 1):
        assert cnot_count(NeighbourEncoder(graph)(x, Q[:n])) <= cnot_count(plain)


@pytest.mark.parametrize("edges", [line(5), star(5), HOUSE])
def test_neighbour_encoder_of_product_states_needs_no_cnot(edges: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(0)
    for imaginary in (False, True):
        x: Array = np.ones(1)
        for _ in range(5):
            x = np.kron(x, amplitudes(rng, 2, imaginary=imaginary))
        circuit = NeighbourEncoder(graph_of(edges))(x, Q[:5])
        assert cnot_count(circuit) == 0
        assert_prepares(circuit, Q[:5], x)


@pytest.mark.parametrize("edges", [line(4), star(4), SQUARE])
def test_joint_encoding_of_equal_branches_adds_no_cnot(edges: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(1)
    encoder = NeighbourEncoder(graph_of(edges, 0))
    for imaginary in (False, True):
        x = amplitudes(rng, 16, imaginary=imaginary)
        assert cnot_count(encode_joint(x, x, ANCILLA, Q[:4], encoder=encoder)) <= cnot_count(encoder(x, Q[:4]))


def resolved(model: hq.Model, x: Array, baseline: Array, encoder: Encoder) -> cirq.Circuit:
    (reading,) = plan(hq.ResolvedHadamardTest(encoder=encoder), model, [BilinearTerm(x - baseline, x + baseline)]).circuits
    return reading.circuit


@pytest.mark.parametrize("baseline", [0.0, 0.5])
@pytest.mark.parametrize("layers", [3, 4])
def test_resolved_test_on_a_square_needs_at_most_a_fifth_more_gates(layers: int, baseline: float) -> None:
    rng = np.random.default_rng(layers)
    model = hq.ring_ansatz(4, layers)
    model = model.with_params({name: rng.uniform(0, 2 * np.pi) for name in model.params})
    graph = graph_of(SQUARE, 0)
    (pauli,) = model.pauli_sum
    assert ancillas(PauliTerm(model, pauli), 1) == [ANCILLA]
    images = np.unique(datasets.bars_and_stripes().amplitudes, axis=0)[::5]
    for inputs in (amplitudes(rng, 2, 16), images):
        costs = []
        for x in inputs:
            here = compiled(resolved(model, x, np.full(16, baseline), NeighbourEncoder(graph)))
            assert_on_edges(here, graph)
            anywhere = compiled(resolved(model, x, np.full(16, baseline), encode))
            costs.append([multi_qubit_gates(here), multi_qubit_gates(anywhere)])
        assert max(on_edges / free for on_edges, free in costs) <= 1.2


def test_attribution_does_not_depend_on_the_encoder() -> None:
    rng = np.random.default_rng(5)
    model = hq.ring_ansatz(3, 2)
    model = model.with_params({name: rng.uniform(0, 2 * np.pi) for name in model.params})
    x, encoder = unit(amplitudes(rng, 8)), NeighbourEncoder(graph_of(line(3), 0))
    exact = hq.integrated_gradients(model, x, baseline=0.1).values
    engine = hq.cirq_simulator()
    for estimator in (
        hq.ResolvedHadamardTest(encoder=encoder),
        hq.HadamardTest(encoder=encoder),
        hq.PolarizationShift(encoder=encoder),
    ):
        read = hq.integrated_gradients(model, x, baseline=0.1, estimator=estimator, engine=engine, shots=None)
        np.testing.assert_allclose(read.values, exact, rtol=0, atol=1e-9)
        assert "neighbour encoding" in estimator.describe()


# equality and invalid arguments


def test_neighbour_encoders_of_equal_graphs_are_equal() -> None:
    x = amplitudes(np.random.default_rng(0), 16)
    one = NeighbourEncoder(graph_of(SQUARE, 0))
    other = NeighbourEncoder(networkx.Graph([tuple(reversed(edge)) for edge in reversed(list(graph_of(SQUARE, 0).edges))]))
    assert one == other
    assert hash(one) == hash(other)
    assert one != NeighbourEncoder(graph_of(line(4)))
    assert one(x, Q[:4]) == other(x, Q[:4])
    assert str(one) == "neighbour encoding"
    assert repr(hq.ResolvedHadamardTest(encoder=one)) == repr(hq.ResolvedHadamardTest(encoder=one))


@pytest.mark.parametrize(
    ("edges", "qubits", "message"),
    [
        (line(3), [0, 1, 5], r"no edge of the graph ends in q\(5\); encode on some of q\(0\), q\(1\), q\(2\)"),
        ([(0, 1), (2, 3)], [0, 1, 2], r"no path in the graph joins q\(0\) and q\(2\); add edges"),
        (line(3), [0, 1, 1], "must differ"),
    ],
)
def test_neighbour_encoder_rejects_disconnected_qubits(edges: list[tuple[int, int]], qubits: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NeighbourEncoder(graph_of(edges))(np.arange(1, 9), [Q[i] for i in qubits])


def test_neighbour_encoder_rejects_distant_qubits() -> None:
    far = cirq.LineQubit.range(40)
    with pytest.raises(ValueError, match="40 qubits lie on the paths that join 2, more than 16; choose nearer ones"):
        NeighbourEncoder(networkx.path_graph(far))([1, 2, 3, 5], [far[0], far[-1]])


def test_neighbour_encoder_rejects_invalid_vectors() -> None:
    encoder = NeighbourEncoder(graph_of(line(2)))
    for x, message in (([0, 0, 0, 0], "zero vector"), ([1, 2], "must end in"), ([1, np.nan, 0, 0], "not finite")):
        with pytest.raises(ValueError, match=message):
            encoder(x, Q[:2])
