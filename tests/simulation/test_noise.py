"""Noise beyond a calibration as noise models of Cirq: each against matrices written out, alone and after one another."""

from __future__ import annotations

from typing import Any

import cirq
import numpy as np
import pytest
from strategies import Array

import hattriq_cirq as hq
from hattriq_cirq.foundation.identity import content_digest
from hattriq_cirq.simulation import noise

A, B, C = LINE = cirq.LineQubit.range(3)
CIRCUIT = cirq.Circuit(
    cirq.Moment(cirq.ry(0.7).on(A), cirq.ry(1.1).on(B), cirq.ry(-0.4).on(C)),
    cirq.Moment(cirq.CZ(A, B)),
    cirq.Moment(cirq.ry(0.3).on(A), cirq.ry(0.9).on(B), cirq.ry(1.4).on(C)),
    cirq.Moment(cirq.measure(*LINE, key="z")),
)


def exact(model: cirq.NoiseModel) -> Array:
    """Return the probabilities of the measured bits by Cirq's density matrices."""
    (found,) = hq.cirq_simulator(noise=model).run([CIRCUIT], None)
    return np.asarray(found.probabilities)


def without_noise(*between: cirq.Operation) -> Array:
    """Return the populations of the circuit, with operations after its gate on two qubits."""
    circuit = cirq.Circuit(CIRCUIT[:2], between, CIRCUIT[2])
    rho = cirq.DensityMatrixSimulator(dtype=np.complex128).simulate(circuit, qubit_order=LINE).final_density_matrix
    return np.asarray(np.diag(rho).real)


def confused(populations: Array, pairs: list[tuple[int, int]], joint: float, conditional: float) -> Array:
    """Return populations after common flips of neighbours, computed state by state."""
    for first, second in pairs:
        populations = (1 - joint) * populations + joint * populations[np.arange(8) ^ first ^ second]
    for control, flipped in [order for pair in pairs for order in (pair, pair[::-1])]:
        after = np.zeros(8)
        for state, probability in enumerate(populations):
            chance = conditional if state & control else 0
            after[state] += (1 - chance) * probability
            after[state ^ flipped] += chance * probability
        populations = after
    return populations


def test_crosstalk_turns_the_neighbours_of_a_gate_and_not_the_pair_that_it_joins() -> None:
    turned = cirq.MatrixGate(np.diag(np.exp(-0.5j * 0.3 * np.array([1, -1, -1, 1])))).on(B, C)
    np.testing.assert_allclose(exact(noise.ZZCrosstalk(0.3)), without_noise(turned), rtol=0, atol=1e-12)
    assert np.abs(exact(noise.ZZCrosstalk(0.3)) - without_noise()).max() > 0.01


def test_lost_qubits_are_replaced_by_one() -> None:
    kraus = [np.sqrt(0.9) * np.eye(2), np.sqrt(0.1) * np.array([[0, 0], [1, 0]]), np.sqrt(0.1) * np.array([[0, 0], [0, 1]])]
    lost = [cirq.KrausChannel(kraus).on(q) for q in (A, B)]
    np.testing.assert_allclose(exact(noise.Loss(0.1)), without_noise(*lost), rtol=0, atol=1e-12)
    assert np.abs(exact(noise.Loss(0.1)) - without_noise()).max() > 0.01


@pytest.mark.parametrize(("joint", "conditional"), [(0.1, 0.0), (0.0, 0.2), (0.05, 0.1)])
def test_correlated_readout_flips_neighbouring_bits_together(joint: float, conditional: float) -> None:
    wanted = confused(without_noise(), [(4, 2), (2, 1)], joint, conditional)
    np.testing.assert_allclose(exact(noise.CorrelatedReadout(joint, conditional)), wanted, rtol=0, atol=1e-12)
    assert np.abs(wanted - without_noise()).max() > 0.01


def test_several_models_act_one_after_the_other_and_not_on_what_others_added() -> None:
    models = [noise.ZZCrosstalk(0.3), noise.Loss(0.1), noise.CorrelatedReadout(0.05, 0.1)]
    turned = (cirq.ZZ**0.2).on(B, C)  # stands for the crosstalk; only the number of losses is counted
    lossy = cirq.Circuit(cirq.CZ(A, B), turned).with_noise(noise.Loss(0.1))
    counted = cirq.Circuit(cirq.CZ(A, B), cirq.X(C)).with_noise(noise.NoiseSequence(models[:2]))
    losses = [
        sum(cirq.num_qubits(op) == 1 and cirq.VirtualTag() in op.tags for op in c.all_operations()) for c in (lossy, counted)
    ]
    assert losses == [4, 2]
    kraus = [np.sqrt(0.9) * np.eye(2), np.sqrt(0.1) * np.array([[0, 0], [1, 0]]), np.sqrt(0.1) * np.array([[0, 0], [0, 1]])]
    zz = cirq.MatrixGate(np.diag(np.exp(-0.5j * 0.3 * np.array([1, -1, -1, 1])))).on(B, C)
    wanted = confused(without_noise(*(cirq.KrausChannel(kraus).on(q) for q in (A, B)), zz), [(4, 2), (2, 1)], 0.05, 0.1)
    np.testing.assert_allclose(exact(noise.NoiseSequence(models)), wanted, rtol=0, atol=1e-12)


def test_neighbours_are_adjacent_and_named_qubits_follow_each_other() -> None:
    grid = cirq.GridQubit.square(2)
    assert set(noise.neighbours(tuple(grid))) == {
        (grid[0], grid[1]),
        (grid[0], grid[2]),
        (grid[1], grid[3]),
        (grid[2], grid[3]),
    }
    named = cirq.NamedQubit("ancilla0")
    assert noise.neighbours((named, B, A)) == ((A, B), *[p for p in [(B, named), (named, A)] if sorted(p) == list(p)])


def test_drift_turns_rotations_and_flips_bits_in_proportion_to_the_shots() -> None:
    gate = cirq.PhasedXZGate(x_exponent=0.5, z_exponent=0.25, axis_phase_exponent=0.1)
    circuit = cirq.FrozenCircuit(gate.on(A), gate.on(B), cirq.measure(A, B, key="z"))
    drift = noise.Drift(angles=0.1, readout=0.2, shots=1000, seed=3)
    found = [drift.apply(circuit, shots) for shots in (0, 500, 1000)]
    exponents = np.array([[op.gate.x_exponent / 0.5 - 1 for op in c[0]] for c in found])  # type: ignore[union-attr]
    np.testing.assert_allclose(exponents, np.multiply.outer([0, 0.5, 1], exponents[2]), atol=1e-15)
    assert len(set(exponents[2].tolist())) == 2
    assert 0.001 < np.abs(exponents[2]).max() < 0.1
    maps = [c[-1].operations[0].gate.confusion_map for c in found]  # type: ignore[union-attr]
    assert maps[0] == {}
    for i in range(2):
        full = maps[2][(i,)][0, 1]
        np.testing.assert_allclose(maps[1][(i,)], [[1 - full / 2, full / 2], [full / 2, 1 - full / 2]], atol=1e-15)
        assert 0 < full < 0.2
    other = noise.Drift(angles=0.1, readout=0.2, shots=1000, seed=4).apply(circuit, 1000)
    assert other != found[2]
    assert drift.apply(circuit, 1000) == found[2]
    assert max(op.max() for op in drift.apply(circuit, 1e9)[-1].operations[0].gate.confusion_map.values()) == 0.5  # type: ignore[union-attr]


def test_flipped_bits_follow_the_confusion_and_precede_inversion_whatever_computes_them() -> None:
    skewed: dict[tuple[int, ...], Array] = {(1,): np.array([[0.9, 0.1], [0.3, 0.7]])}
    measured = cirq.MeasurementGate(2, "z", (False, True), confusion_map=skewed).on(A, B)
    flipped = noise.with_flipped_bits(measured, [0.2, 0.05])
    circuit = cirq.Circuit(cirq.X(B), flipped)
    (found,) = hq.cirq_simulator().run([circuit], None)
    bit = np.array([0.3, 0.7]) @ np.array([[0.95, 0.05], [0.05, 0.95]])
    np.testing.assert_allclose(found.probabilities, np.kron([0.8, 0.2], bit[::-1]), rtol=0, atol=1e-12)
    as_channels = noise.confusion_as_channels(circuit)
    (same,) = hq.cirq_simulator(noise=cirq.NO_NOISE).run([as_channels], None)
    np.testing.assert_allclose(same.probabilities, found.probabilities, rtol=0, atol=1e-12)


def test_text_and_record_give_the_same_values() -> None:
    text = "zz=0.05, loss=1e-3,joint-readout=.02,conditional-readout=0.01,scale=2,drift=0.1,readout-drift=0.2"
    values = noise.as_extra_noise(text)
    assert values == noise.as_extra_noise(list(values)) == noise.from_record(noise.to_record(values))
    assert noise.as_extra_noise(noise.Loss(0.1)) == (noise.Loss(0.1),)
    assert noise.as_extra_noise(None) == ()
    digests = [content_digest(value) for value in values]
    assert None not in digests
    assert len(set(digests)) == len(values)
    assert {type(value) for value in values} == set(noise._KINDS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: noise.Loss(1.5), r"rate=1.5 must"),
        (lambda: noise.Loss(True), r"rate=True must"),
        (lambda: noise.CorrelatedReadout(joint=0.6), r"joint=0.6 must"),
        (lambda: noise.ScaledErrors(0), r"factor=0 must be positive"),
        (lambda: noise.ZZCrosstalk("large"), r"angle='large' must"),  # type: ignore[arg-type]
        (lambda: noise.Drift(shots=0), r"shots=0 must"),
        (lambda: noise.Drift(seed=-1), r"seed=-1 must"),
        (lambda: noise.NoiseSequence(()), r"models=\(\) must be noise models of Cirq"),
        (lambda: noise.as_extra_noise("zz=a"), r"'zz=a' must be WORD=NUMBER, with one of the words zz, "),
        (lambda: noise.as_extra_noise("noise=1"), r"'noise=1' must be WORD=NUMBER"),
        (lambda: noise.as_extra_noise("scale"), r"'scale' must be WORD=NUMBER"),
        (lambda: noise.as_extra_noise(noise.Loss), r"the class Loss .* must be values of hattriq_cirq.noise"),
        (lambda: noise.as_extra_noise(cirq.NO_NOISE), r"must be values of hattriq_cirq.noise \(ZZCrosstalk, "),
        (lambda: noise.from_record([{"kind": "Rain"}]), r"must list kinds of ZZCrosstalk"),
        (lambda: noise.from_record([{"kind": "Loss", "speed": 1}]), r"must list kinds of"),
    ],
)
def test_wrong_noise_is_refused_with_the_value_and_the_cure(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
