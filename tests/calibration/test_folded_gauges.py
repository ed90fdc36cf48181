"""One random gauge per circuit of a campaign, and folded circuits among them."""

from __future__ import annotations

import cirq
import numpy as np
import oracle
import sympy

import hattriq_cirq as hq
from calibration.gates.folded_gauges import FoldedGauges, StageGauges
from calibration.gates.pauli_twirling import twirl_each
from hattriq_cirq.circuits.program import ParameterizedCircuit

A, B = cirq.LineQubit.range(2)
CIRCUIT = cirq.FrozenCircuit(
    cirq.ry(sympy.Symbol("t"))(A),
    cirq.ry(1.1)(B),
    cirq.CZ(A, B),
    cirq.ry(0.4)(B),
    cirq.CZ(A, B),
    cirq.Moment(cirq.measure(A, B)),
)
POINTS = tuple({"t": 0.1 * i} for i in range(16))


def distributions(circuit: cirq.FrozenCircuit, points: tuple[dict[str, float], ...]) -> oracle.Array:
    return np.array([oracle.distribution(cirq.resolve_parameters(circuit, point)) for point in points])


def test_every_point_has_its_own_gauge_and_keeps_its_probabilities() -> None:
    twirled, points = twirl_each(CIRCUIT, POINTS, seed=(1,))
    own = tuple(dict(point) for point in points)
    np.testing.assert_allclose(distributions(twirled, own), distributions(CIRCUIT, POINTS), atol=1e-9)
    same, repeated = twirl_each(CIRCUIT, ({"t": 0.3},) * 16, seed=(1,))
    assert len({tuple(point.values()) for point in repeated}) > 12
    other = twirl_each(CIRCUIT, POINTS, seed=(2,))[1]
    assert [dict(p) for p in other] != [dict(p) for p in points] == [dict(p) for p in twirl_each(CIRCUIT, POINTS, seed=(1,))[1]]
    assert same == twirl_each(CIRCUIT, ({"t": 0.3},) * 16, seed=(1,))[0]


def test_coherent_error_averages_out_over_the_circuits() -> None:
    def with_error(circuit: cirq.AbstractCircuit) -> cirq.FrozenCircuit:
        parts = ([op, cirq.ISWAP(A, B) ** 0.02] if op.gate == cirq.CZ else [op] for op in circuit.all_operations())
        return cirq.FrozenCircuit(parts)

    gates = [cirq.ry(sympy.Symbol("t"))(A), cirq.rx(0.9)(B), cirq.CZ(A, B), cirq.rx(0.3)(A), cirq.ry(0.4)(B), cirq.CZ(A, B)]
    circuit = cirq.FrozenCircuit(gates, cirq.rx(0.5)(A), cirq.ry(0.8)(B), cirq.Moment(cirq.measure(A, B)))
    still = ({"t": 0.7},)
    ideal, coherent = (distributions(each, still)[0] for each in (circuit, with_error(circuit)))
    twirled, points = twirl_each(circuit, still * 256, seed=(3,))
    mean = distributions(with_error(twirled), tuple(dict(point) for point in points)).mean(axis=0)
    assert np.abs(mean - ideal).max() < 0.1 * np.abs(coherent - ideal).max()


def test_chosen_requests_are_folded_and_compute_the_same() -> None:
    program = ParameterizedCircuit(CIRCUIT, tuple(range(16)), POINTS)
    variants = FoldedGauges(folded=(2, 5), seed=4).expand(hq.cirq_simulator(), [program], [10] * 16)
    gates = {each.requests: sum(op.gate == cirq.CZ for op in each.circuit.all_operations()) for each in variants.programs}
    assert gates == {tuple(i for i in range(16) if i not in (2, 5)): 2, (2, 5): 6}
    assert variants.shots == [10] * 16
    for each in variants.programs:
        expected = distributions(CIRCUIT, tuple(POINTS[i] for i in each.requests))
        np.testing.assert_allclose(distributions(each.circuit, tuple(dict(p) for p in each.points)), expected, atol=1e-9)


def test_repeated_circuits_run_first_and_last_in_the_same_gauges() -> None:
    program = ParameterizedCircuit(CIRCUIT, (0, 3, 1, 2, 4, 5), tuple(POINTS[i] for i in (0, 3, 1, 2, 0, 1)))
    shots = [20, 10, 7, 7, 20, 10]
    variants = FoldedGauges(folded=(3,), seed=4, repeated=2).expand(hq.cirq_simulator(), [program], shots)
    points = {request: point for each in variants.programs for request, point in zip(each.requests, each.points, strict=True)}
    assert [each.requests for each in variants.programs] == [(1, 0), (2,), (5, 4), (3,)]
    assert (points[4], points[5]) == (points[0], points[1])
    assert len({tuple(point.values()) for point in points.values()}) == 4


def test_stages_share_the_gauges_of_their_first_requests_alone() -> None:
    stages = []
    for stage, others in enumerate((range(4), range(8, 12))):
        points = (*POINTS[:2], *(POINTS[i] for i in others))
        gauges = StageGauges(folded=(5,), seed=4, repeated=2, stage=stage)
        variants = gauges.expand(hq.cirq_simulator(), [ParameterizedCircuit(CIRCUIT, tuple(range(6)), points)], [10] * 6)
        stages.append(
            {
                request: (each.circuit, point)
                for each in variants.programs
                for request, point in zip(each.requests, each.points, strict=True)
            }
        )
        assert [each.requests for each in variants.programs] == ([(0, 1), (2, 3, 4), (5,)], [(2, 3, 4), (0, 1), (5,)])[stage]
    first, second = ({request: cirq.resolve_parameters(*pair) for request, pair in stage.items()} for stage in stages)
    for request in range(6):
        assert (first[request] == second[request]) == (request < 2)
        exact = (first[request], 0), (second[request], 8)
        for circuit, offset in exact:
            point = POINTS[request] if request < 2 else POINTS[request - 2 + offset]
            expected = oracle.distribution(cirq.resolve_parameters(CIRCUIT, point))
            np.testing.assert_allclose(oracle.distribution(circuit), expected, atol=1e-9)
