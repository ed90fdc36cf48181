"""Where circuits are placed: on good, connected qubits, always the same ones, or on those the user names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cirq
import networkx as nx
import numpy as np
import pytest

import hattriq_cirq as hq
from hattriq_cirq.compilation.layout_search import Demand
from hattriq_cirq.compilation.placement import (
    Layout,
    Placement,
    best_placement,
    candidate_layouts,
    connectivity_encoder,
    evaluate_layout,
    predicted_error,
)
from hattriq_cirq.compilation.processor import Processor, load_processor
from hattriq_cirq.encoding.exact import Encoder, encode
from hattriq_cirq.estimators import BilinearTerm, plan

WILLOW = load_processor("willow_pink")
Build = Callable[[Encoder], Sequence[cirq.AbstractCircuit]]
"""Circuits whose amplitudes an encoder prepares."""


def place(
    processor: Processor, build: Build, qubits: Sequence[cirq.Qid] = (), *, among: Sequence[cirq.Qid] | None = None
) -> Placement:
    """The best of the candidate layouts, each with the circuits that its encoder makes."""
    layouts = candidate_layouts(processor, build(encode), qubits, among=among)
    return best_placement(evaluate_layout(processor, layout, build(layout.encoder)) for layout in layouts)


def resolved(n_qubits: int, layers: int = 2) -> Build:
    rng = np.random.default_rng(n_qubits)
    model = hq.ring_ansatz(n_qubits, layers)
    model = model.with_params({name: float(rng.normal()) for name in model.params})
    x = rng.normal(size=2**n_qubits)

    def build(encoder: Encoder) -> list[cirq.Circuit]:
        return [r.circuit for r in plan(hq.ResolvedHadamardTest(encoder=encoder), model, [BilinearTerm(x, x)]).circuits]

    return build


@pytest.mark.parametrize("n_qubits", [1, 2, 3, 4])
def test_every_logical_qubit_gets_its_own_and_the_patch_is_connected(n_qubits: int) -> None:
    build = resolved(n_qubits)
    found = place(WILLOW, build)
    assert set(found.qubits) == build(encode)[0].all_qubits()
    assert len(set(found.qubits.values())) == n_qubits + 1
    assert nx.is_connected(WILLOW.graph.subgraph(found.qubits.values()))
    assert 0 < found.error < 1


def test_placement_repeats() -> None:
    first, second = (place(WILLOW, resolved(3)) for _ in range(2))
    assert first.qubits == second.qubits
    assert first.error == second.error


def test_a_square_model_lands_on_a_square_with_its_ancilla_beside_the_qubit_it_controls() -> None:
    found = place(WILLOW, resolved(4)).qubits
    data = [found[q] for q in cirq.LineQubit.range(4)]
    graph = WILLOW.graph
    assert all(graph.has_edge(data[i], data[(i + 1) % 4]) for i in range(4))
    assert graph.has_edge(found[cirq.NamedQubit("ancilla0")], data[0])


def test_the_predicted_error_is_below_that_of_random_patches() -> None:
    build, rng, graph = resolved(3), np.random.default_rng(0), WILLOW.graph
    ours = place(WILLOW, build).error
    others = []
    for _ in range(12):
        patch = [sorted(graph)[rng.integers(len(graph))]]
        while len(patch) < 4:
            beside = sorted({q for p in patch for q in graph[p]} - set(patch))
            patch.append(beside[rng.integers(len(beside))])
        others.append(place(WILLOW, build, among=patch).error)
    assert ours <= min(others)


def test_bad_qubits_are_avoided() -> None:
    build = resolved(2)
    usual = set(place(WILLOW, build).qubits.values())
    spoiled = replace(WILLOW, two_qubit_errors={e: 0.2 if e & usual else v for e, v in WILLOW.two_qubit_errors.items()})
    assert not usual & set(place(spoiled, build).qubits.values())


def test_bad_readout_is_avoided_as_well() -> None:
    build = resolved(2)
    usual = set(place(WILLOW, build).qubits.values())
    spoiled = replace(WILLOW, readout_errors={q: (0.4, 0.4) if q in usual else v for q, v in WILLOW.readout_errors.items()})
    assert not usual & set(place(spoiled, build).qubits.values())


def test_named_qubits_are_the_ones_used() -> None:
    named = cirq.GridQubit.rect(1, 3, 5, 9)
    assert set(place(WILLOW, resolved(2), among=named).qubits.values()) == set(named)
    wider = cirq.GridQubit.rect(2, 3, 5, 9)
    assert set(place(WILLOW, resolved(2), among=wider).qubits.values()) <= set(wider)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ([cirq.GridQubit(90, 90), cirq.GridQubit(5, 9)], r"qubits \['q\(90, 90\)'\] are not on willow_pink"),
        ([cirq.GridQubit(5, 9), cirq.GridQubit(5, 11), cirq.GridQubit(5, 10 + 2)], "are not connected on willow_pink"),
        (cirq.GridQubit.rect(1, 2, 5, 9), "need 3 qubits, willow_pink has 2 to choose from"),
    ],
)
def test_named_qubits_that_cannot_be_used_are_refused(named: list[cirq.Qid], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        place(WILLOW, resolved(2), among=named)


def test_nothing_to_place_is_placed_nowhere() -> None:
    assert place(WILLOW, lambda _: []).qubits == {}


def test_qubits_that_only_other_circuits_use_are_placed_too() -> None:
    extra = cirq.NamedQubit("extra")
    assert extra in place(WILLOW, resolved(1), [extra]).qubits


def test_demand_counts_couplings_turns_and_measurements() -> None:
    a, b, c = cirq.LineQubit.range(3)
    circuit = cirq.Circuit(cirq.H(a), cirq.CZ(a, b), cirq.CZ(b, a), cirq.CCX(a, b, c), cirq.measure(a, c, key="z"))
    demand = Demand.of([circuit, cirq.Circuit(cirq.H(a))])
    np.testing.assert_array_equal(demand.couplings, np.array([[0, 3, 1], [3, 0, 1], [1, 1, 0]]) / 2)
    np.testing.assert_array_equal(demand.turns, [1, 0, 0])
    np.testing.assert_array_equal(demand.measured, [0.5, 0, 0.5])


def test_the_kept_placement_is_the_best_of_those_compiled() -> None:
    build = resolved(2)
    found = place(WILLOW, build)
    encoder = connectivity_encoder(WILLOW, found.qubits)
    other: Placement = evaluate_layout(WILLOW, Layout(found.qubits, encoder), build(encoder))
    assert found.error <= other.error + 1e-12


def test_the_predicted_error_is_the_random_part_and_the_angles_that_are_off() -> None:
    a, b = cirq.GridQubit.rect(1, 2, 5, 9)
    circuit = cirq.Circuit(cirq.Y(a) ** 0.5, cirq.Y(b) ** 0.5, cirq.CZ(a, b), cirq.measure(a, b, key="z"))
    straight = replace(WILLOW, angle_errors={})
    assert predicted_error(straight, circuit) == 1 - WILLOW.fidelity(circuit)
    phi = 0.3  # |11>, a quarter of the state, is turned by it: the overlap is 3/4 + exp(-i phi)/4
    off = replace(WILLOW, angle_errors={frozenset((a, b)): (0.0, phi)})
    expected = 1 - abs(0.75 + 0.25 * np.exp(-1j * phi)) ** 2
    assert predicted_error(off, circuit) == pytest.approx(1 - WILLOW.fidelity(circuit) + np.sqrt(expected), abs=1e-12)
