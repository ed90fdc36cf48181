"""Exponents of PhasedXZ gates: those of products are the same whether exponents or matrices are combined."""

from __future__ import annotations

from itertools import product

import cirq
import numpy as np

from hattriq_cirq.circuits.swept_gates import after_z_rotation, phased_xz_exponents, phased_xz_unitaries
from hattriq_cirq.compilation.circuit_stack import CircuitStack, Step
from hattriq_cirq.compilation.cz import merge_rotations

TURNS = np.array([-2.5, -1.0, -0.5, 0.0, 0.3, 1.0, 4.7])


def test_z_rotation_before_a_gate_gives_the_exponents_of_the_product() -> None:
    rng = np.random.default_rng(0)
    special = [0.0, 0.5, 1.0, -0.5]
    exponents = np.array([*product([0.0, 0.5, 1.0], special, special), *rng.uniform(-1, 1, size=(20, 3))]).T
    gates = phased_xz_unitaries(*exponents)
    for turns in TURNS:
        found = after_z_rotation(*phased_xz_exponents(gates), np.array(turns))
        expected = phased_xz_exponents(gates @ cirq.unitary(cirq.Z**turns))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_merged_rotations_of_a_stack_equal_those_of_its_circuits() -> None:
    rng = np.random.default_rng(1)
    q = cirq.LineQubit.range(3)
    steps: list[Step] = []
    for i in range(30):
        a, b = rng.permutation(3)[:2].tolist()
        rows = 4 if i % 2 else 1
        steps += [Step((a,), phased_xz_unitaries(*rng.uniform(-1, 1, size=(3, rows)))), Step((a, b), None)]
    stack = CircuitStack(tuple(q), steps, cirq.measure(*q[:2]), tuple(range(4)))
    merged = merge_rotations(stack)
    np.testing.assert_allclose(merged.probabilities(), stack.probabilities(), rtol=0, atol=1e-12)
    for row in range(4):
        alone = merge_rotations(stack.select([row]))
        assert [step.axes for step in alone.steps] == [step.axes for step in merged.steps]
        for own, step in zip(alone.steps, merged.select([row]).steps, strict=True):
            assert own.matrices is None or np.abs(own.matrices - step.matrices).max() < 1e-12
