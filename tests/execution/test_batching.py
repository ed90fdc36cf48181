"""Batches of programs for jobs: the shots of every request, within all limits."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import cirq
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution.backend import Job, Limits
from hattriq_cirq.execution.batching import batches

Q = cirq.LineQubit(0)
PLAIN = cirq.FrozenCircuit(cirq.X(Q), cirq.measure(Q, key="z"))
TURNED = cirq.FrozenCircuit(cirq.X(Q) ** sympy.Symbol("a"), cirq.measure(Q, key="z"))


def backend(limits: Limits) -> Any:
    """Backend whose jobs have a hundred bytes per circuit and ten per point."""
    return SimpleNamespace(limits=limits, size=lambda job: 100 * len(job.circuits) + 10 * len(job.points))


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=6),
    st.lists(st.sampled_from([1, 7, 40]), min_size=30, max_size=30),
    st.integers(1, 4),
    st.integers(10, 200),
    st.sampled_from([None, 115, 130, 250, 1000]),
)
def test_batches_give_every_request_its_shots_within_the_limits(
    points: list[int], shots: list[int], circuits: int, most: int, size: int | None
) -> None:
    programs, request = [], 0
    for count in points:
        requests = tuple(range(request, request + count))
        circuit = PLAIN if count == 1 else TURNED
        programs.append(ParameterizedCircuit(circuit, requests, tuple({"a": r / 10} if count > 1 else {} for r in requests)))
        request += count
    made = backend(Limits(shots=most, circuits=circuits, bytes=size))
    found = batches(programs, shots[:request], made)
    given_shots: Counter[int] = Counter()
    for lot in found:
        job = lot.job("id", 1)
        assert job.runs == len(lot.requests)
        assert len(job.circuits) <= circuits
        assert (job.shots or 0) * job.runs <= most
        assert size is None or job.runs == 1 or made.size(job) <= size
        for r in lot.requests:
            given_shots[r] += lot.shots or 0
        for r, point in zip(lot.requests, lot.points, strict=False):
            assert not point or point["a"] == r / 10
    assert [given_shots[r] for r in range(request)] == shots[:request]


def test_circuits_with_equal_shots_and_points_of_a_sweep_share_a_job() -> None:
    programs = [
        ParameterizedCircuit(PLAIN, (0,)),
        ParameterizedCircuit(TURNED, (1, 2), ({"a": 0.1}, {"a": 0.2})),
        ParameterizedCircuit(PLAIN, (3,)),
    ]
    found = batches(programs, [5, 6, 6, 5], backend(Limits(circuits=10)))
    assert [(lot.requests, lot.shots, len(lot.circuits), len(lot.points)) for lot in found] == [
        ((0, 3), 5, 2, 1),
        ((1, 2), 6, 1, 2),
    ]


def test_single_point_of_a_symbolic_circuit_is_resolved() -> None:
    (lot,) = batches([ParameterizedCircuit(TURNED, (0,), ({"a": 1.0},))], [10], backend(Limits()))
    assert lot.points == ({},)
    assert lot.circuits[0] == cirq.FrozenCircuit(cirq.X(Q), cirq.measure(Q, key="z"))


def test_batch_for_exact_probabilities_has_no_shots() -> None:
    found = batches([ParameterizedCircuit(PLAIN, (0,)), ParameterizedCircuit(PLAIN, (1,))], None, backend(Limits(circuits=1)))
    assert [(lot.requests, lot.shots) for lot in found] == [((0,), None), ((1,), None)]
    assert batches([], None, backend(Limits())) == []


def test_single_circuit_above_the_size_limit_is_left_to_the_backend() -> None:
    found = batches([ParameterizedCircuit(PLAIN, (0,))], [3], backend(Limits(bytes=1)))
    assert [lot.shots for lot in found] == [3]


def test_program_needs_one_request_per_point() -> None:
    with pytest.raises(ValueError, match="must equal the number of points, 2"):
        ParameterizedCircuit(TURNED, (0,), ({"a": 1.0}, {"a": 2.0}))


def test_job_runs_are_circuits_times_points() -> None:
    assert Job("a", (PLAIN, PLAIN), ({},), 3, None).runs == 2
