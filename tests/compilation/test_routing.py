"""Routing brings every gate to a coupler, computes the same, and counts the CZ that SWAPs take beside other gates."""

from __future__ import annotations

import cirq
import networkx as nx
import numpy as np
import pytest

from hattriq_cirq.circuits.errors import CircuitRefusedError
from hattriq_cirq.compilation.circuit_stack import CircuitStack
from hattriq_cirq.compilation.compile import compile_on_edges
from hattriq_cirq.compilation.cz import compile_to_cz
from hattriq_cirq.compilation.routing import Couplers, route
from hattriq_cirq.compilation.snapshot import load_processor

LINE: Couplers = ((0, 1), (1, 2), (2, 3))


def stack_of(gates: list[tuple[cirq.Gate, tuple[int, int]]], qubits: int) -> CircuitStack:
    """Return a circuit of rotations and gates on pairs of a line."""
    q = cirq.LineQubit.range(qubits)
    rng = np.random.default_rng(len(gates))
    parts = [[[cirq.ry(float(rng.normal()))(q[i]) for i in pair], gate(*(q[i] for i in pair))] for gate, pair in gates]
    return CircuitStack.of([cirq.Circuit(parts, cirq.measure(*q))])


def couplings(gates: list[tuple[cirq.Gate, tuple[int, int]]], couplers: Couplers, qubits: int) -> int:
    """Return the CZ of a routed circuit, checked to compute the same on couplers."""
    stack = stack_of(gates, qubits)
    (compiled,) = compile_to_cz(stack, couplers)
    assert all(tuple(sorted(step.axes)) in couplers for step in compiled.steps if len(step.axes) == 2)
    np.testing.assert_allclose(compiled.probabilities(), stack.probabilities(), rtol=0, atol=1e-9)
    return compiled.couplings


def test_swap_beside_a_gate_on_its_qubits_takes_one_cz_more() -> None:
    assert couplings([(cirq.CZ, (0, 1)), (cirq.SWAP, (0, 1)), (cirq.CZ, (0, 1))], LINE[:1], 2) <= 3
    assert couplings([(cirq.CZ, (0, 1)), (cirq.ISWAP, (0, 2)), (cirq.ISWAP, (0, 2))], LINE[:2], 3) <= 2 + 3


def test_distant_cz_between_gates_of_three_cz_is_a_bridge() -> None:
    moves = route(((0, 2, 1), (0, 1, 3), (1, 2, 3), (0, 1, 3)), 3, LINE[:2])
    assert moves[0] in [(0, (0, 1, 2)), (0, (2, 1, 0))]


def test_route_without_bridges_uses_swaps_only() -> None:
    moves = route(((0, 1, 3), (0, 2, 1), (0, 1, 3)), 3, LINE[:2], bridges=False)
    assert {len(path) for _, path in moves} == {2}
    assert None in [number for number, _ in moves]


@pytest.mark.parametrize("seed", range(6))
def test_random_circuits_compute_the_same_after_routing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tree = nx.random_labeled_tree(5, seed=seed)
    couplers: Couplers = tuple(sorted((min(edge), max(edge)) for edge in tree.edges))
    kinds = [cirq.CZ, cirq.ISWAP**0.3, cirq.SWAP, cirq.CNOT, cirq.ZZ**0.2]
    gates: list[tuple[cirq.Gate, tuple[int, int]]] = []
    for _ in range(15):
        a, b = rng.permutation(5)[:2].tolist()
        gates.append((kinds[rng.integers(len(kinds))], (a, b)))
    assert couplings(gates, couplers, 5) <= 3 * 3 * len(gates)


def test_long_distances_take_swaps_in_proportion() -> None:
    line: Couplers = tuple((i, i + 1) for i in range(7))
    assert couplings([(cirq.ISWAP**0.3, (0, 7)), (cirq.ISWAP**0.3, (0, 7))], line, 8) <= 6 * 3 + 3


def test_gate_on_qubits_that_no_couplers_join_is_refused() -> None:
    a, b, c, d = cirq.LineQubit.range(4)
    edges = frozenset({frozenset({a, b}), frozenset({c, d})})
    circuit = cirq.Circuit(cirq.CZ(a, b), cirq.CZ(c, d), cirq.CZ(a, d), cirq.measure(a, d))
    with pytest.raises(CircuitRefusedError, match="no couplers join"):
        compile_on_edges(load_processor("willow_pink"), [circuit], edges)
