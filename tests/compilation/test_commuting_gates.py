"""Gates on one pair of qubits are compiled together when the gates between them commute with them."""

from __future__ import annotations

import cirq
import numpy as np
import pytest

from hattriq_cirq.compilation.circuit_stack import CircuitStack
from hattriq_cirq.compilation.cz import compile_to_cz


@pytest.mark.parametrize("couplers", [None, ((0, 1), (1, 2))])
def test_cz_that_commute_cancel(couplers: tuple[tuple[int, int], ...] | None) -> None:
    a, b, c = cirq.LineQubit.range(3)
    circuit = cirq.Circuit(cirq.CZ(a, b), cirq.T(b), cirq.CZ(b, c), cirq.rx(0.3)(c), cirq.CZ(a, b))
    (compiled,) = compile_to_cz(CircuitStack.of([circuit]), couplers)
    assert compiled.couplings == 1


@pytest.mark.parametrize("seed", range(6))
def test_compiled_circuits_give_the_same_outcomes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    q = cirq.LineQubit.range(4)
    circuit = cirq.Circuit()
    for _ in range(20):
        a, b = (q[i] for i in rng.permutation(4)[:2])
        circuit.append([cirq.CZ(a, b), cirq.ry(float(rng.normal()))(a) if rng.random() < 0.5 else cirq.T(b)])
    circuit.append(cirq.Moment(cirq.measure(*q, key="z")))
    expected = CircuitStack.of([circuit]).probabilities()
    for couplers in (None, ((0, 1), (1, 2), (2, 3))):
        (compiled,) = compile_to_cz(CircuitStack.of([circuit]), couplers)
        np.testing.assert_allclose(compiled.probabilities(), expected, atol=1e-8)
