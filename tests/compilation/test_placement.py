"""Placement of circuits: good, connected qubits, always the same ones, or those that the user names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cirq
import networkx as nx
import numpy as np
import pytest

import hattriq_cirq as hq
from hattriq_cirq.circuits.deviation import ALL_KINDS
from hattriq_cirq.compilation.layout_search import GateCounts
from hattriq_cirq.compilation.placement import (
    Layout,
    Placement,
    acting_kinds,
    best_placement,
    candidate_layouts,
    connectivity_encoder,
    predicted_deviation,
    predicted_errors,
)
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.compilation.snapshot import load_processor
from hattriq_cirq.encoding.exact import Encoder, encode
from hattriq_cirq.estimators import BilinearTerm, plan

WILLOW = load_processor("willow_pink")
Build = Callable[[Encoder], Sequence[cirq.AbstractCircuit]]
"""Function that returns circuits for an encoder."""


def place(
    processor: Processor, build: Build, qubits: Sequence[cirq.Qid] = (), *, among: Sequence[cirq.Qid] | None = None
) -> Placement:
    """Return the best of the candidate layouts, each evaluated with the circuits of its encoder."""
    layouts = candidate_layouts(processor, build(encode), qubits, among=among)
    return best_placement(processor, layouts, {layout.encoder: build(layout.encoder) for layout in layouts})


def resolved(n_qubits: int, layers: int = 2) -> Build:
    rng = np.random.default_rng(n_qubits)
    model = hq.ring_ansatz(n_qubits, layers)
    model = model.with_params({name: float(rng.normal()) for name in model.params})
    x = rng.normal(size=2**n_qubits)

    def build(encoder: Encoder) -> list[cirq.Circuit]:
        return [r.circuit for r in plan(hq.ResolvedHadamardTest(encoder=encoder), model, [BilinearTerm(x, x)]).circuits]

    return build


@pytest.mark.parametrize("n_qubits", [1, 2, 3, 4])
def test_placement_is_injective_and_connected(n_qubits: int) -> None:
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


def test_square_model_is_placed_on_a_square_with_its_ancilla_adjacent() -> None:
    found = place(WILLOW, resolved(4)).qubits
    data = [found[q] for q in cirq.LineQubit.range(4)]
    graph = WILLOW.graph
    assert all(graph.has_edge(data[i], data[(i + 1) % 4]) for i in range(4))
    assert graph.has_edge(found[cirq.NamedQubit("ancilla0")], data[0])


def test_predicted_error_is_below_that_of_random_patches() -> None:
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


def test_qubits_with_large_gate_errors_are_avoided() -> None:
    build = resolved(2)
    usual = set(place(WILLOW, build).qubits.values())
    spoiled = replace(WILLOW, two_qubit_errors={e: 0.2 if e & usual else v for e, v in WILLOW.two_qubit_errors.items()})
    assert not usual & set(place(spoiled, build).qubits.values())


def test_qubits_with_large_readout_errors_are_avoided() -> None:
    build = resolved(2)
    usual = set(place(WILLOW, build).qubits.values())
    spoiled = replace(WILLOW, readout_errors={q: (0.4, 0.4) if q in usual else v for q, v in WILLOW.readout_errors.items()})
    assert not usual & set(place(spoiled, build).qubits.values())


def test_placement_uses_the_given_qubits() -> None:
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
def test_given_qubits_that_cannot_be_used_are_rejected(named: list[cirq.Qid], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        place(WILLOW, resolved(2), among=named)


def test_placement_of_no_circuits_is_empty() -> None:
    assert place(WILLOW, lambda _: []).qubits == {}


def test_extra_qubits_are_placed() -> None:
    extra = cirq.NamedQubit("extra")
    assert extra in place(WILLOW, resolved(1), [extra]).qubits


def test_gate_counts_of_pairs_single_qubits_and_measurements() -> None:
    a, b, c = cirq.LineQubit.range(3)
    circuit = cirq.Circuit(cirq.H(a), cirq.CZ(a, b), cirq.CZ(b, a), cirq.CCX(a, b, c), cirq.measure(a, c, key="z"))
    counts = GateCounts.from_circuits([circuit, cirq.Circuit(cirq.H(a))])
    np.testing.assert_array_equal(counts.pairs, np.array([[0, 3, 1], [3, 0, 1], [1, 1, 0]]) / 2)
    np.testing.assert_array_equal(counts.single, [1, 0, 0])
    np.testing.assert_array_equal(counts.measured, [0.5, 0, 0.5])


def test_best_placement_has_the_lowest_predicted_error() -> None:
    build = resolved(2)
    found = place(WILLOW, build)
    encoder = connectivity_encoder(WILLOW, found.qubits)
    other = best_placement(WILLOW, [Layout(found.qubits, encoder)], {encoder: build(encoder)})
    assert found.error <= other.error + 1e-12


def test_predicted_error_adds_random_errors_and_angle_errors() -> None:
    a, b = cirq.GridQubit.rect(1, 2, 5, 9)
    circuit = cirq.Circuit(cirq.Y(a) ** 0.5, cirq.Y(b) ** 0.5, cirq.CZ(a, b), cirq.measure(a, b, key="z"))
    straight = replace(WILLOW, angle_errors={})
    assert predicted_errors(straight, [circuit])[0] == 1 - WILLOW.fidelity(circuit)
    phi = 0.3  # phase of |11>, a quarter of the state: the overlap is 3/4 + exp(-i phi)/4
    off = replace(WILLOW, angle_errors={frozenset((a, b)): (0.0, phi)})
    expected = 1 - abs(0.75 + 0.25 * np.exp(-1j * phi)) ** 2
    assert predicted_errors(off, [circuit])[0] == pytest.approx(1 - WILLOW.fidelity(circuit) + np.sqrt(expected), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "gateset", "keeps"),
    [("willow_pink", "cz", False), ("weber", "sycamore", True), ("weber", "sqrt_iswap", True), ("rainbow", "sycamore", True)],
)
def test_angles_that_no_gauge_averages_act_where_twirling_leaves_them(name: str, gateset: str, keeps: bool) -> None:
    processor = load_processor(name, gateset)
    qubits = next(
        list(edge) for edge in sorted(map(sorted, processor.graph.edges)) if frozenset(edge) in processor.angle_errors
    )
    turned = [
        cirq.Moment(cirq.PhasedXZGate.from_matrix(cirq.testing.random_unitary(2, random_state=k))(q) for q in qubits)
        for k in range(4)
    ]
    entangled = [cirq.Moment(processor.two_qubit_gate(*qubits))] * 3
    moments = [moment for pair in zip(turned, [*entangled, cirq.Moment()], strict=True) for moment in pair]
    circuit = cirq.Circuit(*moments, cirq.Moment(cirq.measure(*qubits, key="z")))
    raw, twirled, without = (
        predicted_deviation(processor, circuit, kinds)
        for kinds in (ALL_KINDS, ALL_KINDS - {"angles"}, ALL_KINDS - {"angles", "untwirled angles"})
    )
    assert raw.damping == twirled.damping == without.damping > 0
    assert (without.spread < twirled.spread) == keeps
    assert without.spread <= twirled.spread < raw.spread
    assert predicted_deviation(processor, circuit, ALL_KINDS - {"untwirled angles"}) == raw
    assert acting_kinds(processor, ALL_KINDS) == ALL_KINDS - {"untwirled angles"}
    assert ("untwirled angles" in acting_kinds(processor, ALL_KINDS - {"angles"})) == keeps
