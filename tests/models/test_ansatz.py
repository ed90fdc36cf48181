"""Ansatz circuits: coupled qubits, numbers of parameters, and invalid arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cirq
import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import amplitudes, assert_close, generators

from hattriq_cirq.models.ansatz import grid_ansatz, ring_ansatz
from hattriq_cirq.models.model import Model


def couplings(model: Model) -> list[frozenset[cirq.Qid]]:
    return [frozenset(op.qubits) for op in model.circuit.all_operations() if len(op.qubits) > 1]


@given(st.integers(1, 8), st.integers(0, 4))
def test_ring_ansatz_couples_ring_neighbours_only(n_qubits: int, layers: int) -> None:
    model = ring_ansatz(n_qubits, layers)
    q = cirq.LineQubit.range(n_qubits)
    ring = {frozenset((q[i], q[(i + 1) % n_qubits])) for i in range(n_qubits)} if n_qubits > 1 else set()
    assert model.qubits == tuple(q)
    assert set(couplings(model)) == (ring if layers else set())
    assert len(couplings(model)) == layers * len(ring)
    assert len(model.params) == 2 * n_qubits * (layers + 1)
    assert model.observable == cirq.PauliSum.from_pauli_strings([cirq.PauliString(cirq.Z(q[0]))])


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 3))
def test_grid_ansatz_couples_each_neighbouring_pair_once_per_layer(rows: int, cols: int, layers: int) -> None:
    model = grid_ansatz(rows, cols, layers)
    pairs = couplings(model)
    assert all(len(pair) == 2 and next(iter(pair)).is_adjacent(*(pair - {next(iter(pair))})) for pair in pairs)  # type: ignore[attr-defined]
    each = rows * (cols - 1) + cols * (rows - 1)
    assert (len(set(pairs)), len(pairs)) == (each if layers else 0, each * layers)
    assert model.qubits == tuple(cirq.GridQubit.rect(rows, cols))
    assert len(model.params) == 2 * rows * cols * (layers + 1)


@pytest.mark.parametrize("build", [lambda o=None: ring_ansatz(4, 2, o), lambda o=None: grid_ansatz(2, 2, 2, o)])
def test_ansatz_parameters_are_zero_and_all_matter(build: Callable[..., Model]) -> None:
    model = build()
    assert set(model.params.values()) == {0.0}
    rng = np.random.default_rng(0)
    mixed = build(cirq.X(model.qubits[0]) + cirq.X(model.qubits[1]) * cirq.Z(model.qubits[3]) + cirq.Z(model.qubits[2]))
    there = mixed.with_params({name: rng.uniform(0, 6) for name in mixed.params})
    x = amplitudes(rng, 16, imaginary=True)
    for name in there.params:
        moved = there.with_params({**there.params, name: there.params[name] + 0.1})
        assert abs(moved.expectation(x) - there.expectation(x)) > 1e-6, name


@given(st.integers(2, 4), st.integers(0, 2), generators)
def test_ansatz_layer_is_rz_ry_cz(n_qubits: int, layers: int, rng: np.random.Generator) -> None:
    model = ring_ansatz(n_qubits, layers)
    params = {name: rng.uniform(0, 6) for name in model.params}
    q, circuit = cirq.LineQubit.range(n_qubits), cirq.Circuit()
    for i in range(layers + 1):
        circuit += [cirq.rz(params[f"z{i}_{k}"])(q[k]) for k in range(n_qubits)]
        circuit += [cirq.ry(params[f"y{i}_{k}"])(q[k]) for k in range(n_qubits)]
        if i < layers:
            circuit += [cirq.CZ(q[k], q[(k + 1) % n_qubits]) for k in range(n_qubits if n_qubits > 2 else 1)]
    u = oracle.unitary(circuit, q)
    x = amplitudes(rng, 2**n_qubits, imaginary=True)
    assert_close(model.with_params(params).evolve(x), u @ x)


def test_ansatz_with_another_observable() -> None:
    q = cirq.LineQubit(1)
    assert ring_ansatz(2, 1, cirq.X(q)) == ring_ansatz(2, 1).with_observable(cirq.X(q))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ring_ansatz(0, 1), "n_qubits=0 must be at least 1"),
        (lambda: ring_ansatz(2, -1), "layers=-1 must be at least 0"),
        (lambda: grid_ansatz(0, 2, 1), "rows=0 must be at least 1"),
        (lambda: grid_ansatz(2, 0, 1), "cols=0 must be at least 1"),
        (lambda: grid_ansatz(2, 2, -2), "layers=-2 must be at least 0"),
        (lambda: ring_ansatz(2, 1, cirq.X(cirq.LineQubit(5))), r"observable acts on \['q\(5\)'\]"),
    ],
)
def test_invalid_ansatz_sizes_are_rejected(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
