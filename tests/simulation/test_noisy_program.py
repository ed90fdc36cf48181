"""Noisy programs: probabilities against Cirq's density matrices, the same to the last bit for any number of points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cirq
import numpy as np
import pytest
from devices import DEVICES
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Array

from hattriq_cirq.foundation.devices import Device, DeviceError
from hattriq_cirq.simulation import noisy_program
from hattriq_cirq.simulation.blocks import Step
from hattriq_cirq.simulation.noisy_program import NoisyProgram, populations
from hattriq_cirq.simulation.pauli_transfer import phased_xz_transfer, transfer_matrix
from hattriq_cirq.simulation.schedule import Schedule
from hattriq_cirq.simulation.statevector import Precision

TOLERANCE = {"float64": 1e-12, "float32": 1e-7}
ON_DEVICES = {"float64": 1e-12, "float32": 1e-5}


def by_cirq(circuit: cirq.Circuit, qubits: Sequence[cirq.Qid], measured: Sequence[int]) -> Array:
    """Return the probabilities of the measured bits from Cirq's density matrix."""
    rho = cirq.DensityMatrixSimulator(dtype=np.complex128).simulate(circuit, qubit_order=qubits).final_density_matrix
    reduced = cirq.partial_trace(rho.reshape((2,) * (2 * len(qubits))), list(measured)).reshape((2 ** len(measured),) * 2)
    return np.asarray(np.diag(reduced).real)


class Random:
    """A random noisy circuit as steps, with gates of random angles at every point, and as one Cirq circuit for each point."""

    def __init__(self, seed: int, n: int, length: int, swept: float, points: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.qubits = cirq.LineQubit.range(n)
        self.circuits = [cirq.Circuit() for _ in range(points)]
        self.steps: list[Step] = []
        self.gates: list[Array] = []
        channels: list[cirq.Gate] = [
            *(cirq.CZ, cirq.ISWAP**0.3, cirq.amplitude_damp(0.1), cirq.H, cirq.depolarize(0.05, 2), cirq.ResetChannel()),
            *(cirq.CCX, cirq.generalized_amplitude_damp(0.7, 0.2), cirq.CZ, cirq.CZ, cirq.phase_damp(0.1)),
        ]
        channels = [channel for channel in channels if cirq.num_qubits(channel) <= n]
        for i in range(length):
            if rng.random() < swept and i < length * 2 * swept:
                x, z, a = rng.uniform(-1, 1, (3, points))
                axes: tuple[int, ...] = (int(rng.integers(n)),)
                self.steps.append(Step(axes, len(self.gates)))
                self.gates.append(phased_xz_transfer(x, z, a))
                turns = [
                    cirq.PhasedXZGate(x_exponent=x[j], z_exponent=z[j], axis_phase_exponent=a[j]).on(self.qubits[axes[0]])
                    for j in range(points)
                ]
            else:
                channel = channels[int(rng.integers(len(channels)))]
                axes = tuple(int(axis) for axis in rng.permutation(n)[: cirq.num_qubits(channel)])
                self.steps.append(Step(axes, transfer_matrix(np.array(cirq.kraus(channel)))))
                turns = [channel.on(*(self.qubits[axis] for axis in axes))] * points
            for circuit, op in zip(self.circuits, turns, strict=True):
                circuit.append(op)
        self.measured = [int(axis) for axis in rng.permutation(n)[: rng.integers(1, n + 1)]]

    def populations(self, precision: Precision = "float64") -> Array:
        """Return the program's probabilities, (points, 2**measured)."""
        program = NoisyProgram.compile(self.steps, len(self.qubits), self.measured)
        return self.at_every_point(program.populations(self.gates, precision))

    def at_every_point(self, rows: Array) -> Array:
        return np.broadcast_to(rows, (len(self.circuits), 2 ** len(self.measured)))

    def expected(self) -> Array:
        return np.array([by_cirq(circuit, self.qubits, self.measured) for circuit in self.circuits])


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("swept", [0.0, 0.3, 0.6])
def test_probabilities_of_random_noisy_circuits_agree_with_density_matrices(swept: float, precision: Precision) -> None:
    for seed in range(12):
        random = Random(seed, n=1 + seed % 5, length=2 + 4 * seed, swept=swept)
        np.testing.assert_allclose(random.populations(precision), random.expected(), rtol=0, atol=TOLERANCE[precision])


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("numbers", [1, 3 * 4**5])
def test_result_of_a_point_is_the_same_to_the_last_bit_for_any_number_of_points(
    numbers: int, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(7, n=5, length=60, swept=0.5, points=7)
    program = NoisyProgram.compile(random.steps, 5, random.measured)
    together = program.populations(random.gates, precision)
    assert np.ptp(together, axis=0).max() > 1e-3
    for name in ("_STATE_BYTES", "_MATRIX_NUMBERS"):
        monkeypatch.setattr(noisy_program, name, numbers)
    np.testing.assert_array_equal(program.populations(random.gates, precision), together)
    for i, row in enumerate(together):
        np.testing.assert_array_equal(program.populations([gate[i : i + 1] for gate in random.gates], precision)[0], row)


def layers(n: int, depth: int) -> list[Step]:
    """Return layers of noisy CZ on a line, of which each second layer is shifted."""
    pair = transfer_matrix(np.array(cirq.kraus(cirq.depolarize(0.05, 2)))) @ transfer_matrix(cirq.unitary(cirq.CZ)[np.newaxis])
    turned = transfer_matrix(cirq.unitary(cirq.X**0.3)[np.newaxis])
    moments = []
    for layer in range(depth):
        moments += [Step((axis,), turned) for axis in range(n)]
        moments += [Step((axis, axis + 1), pair) for axis in range(layer % 2, n - 1, 2)]
    return moments


def test_blocks_outside_the_light_cone_are_left_out_and_the_state_shrinks() -> None:
    program = NoisyProgram.compile([*[Step((axis,), axis) for axis in range(8)], *layers(8, 2)], 8, [0])
    kept = {axis for one in program.schedule.products for axis in one.block.axes}
    assert kept <= {0, 1, 2}
    assert max(np.prod(one.shape) for one in NoisyProgram.compile(layers(8, 8), 8, range(8)).schedule.products) <= 4**8


def test_constant_ending_acts_on_the_observables() -> None:
    """A probe in front of a fixed circuit of which one qubit is read: no point evolves a state of more than four qubits."""
    probe = [Step((axis,), axis) for axis in range(6)]
    few = NoisyProgram.compile([*probe, *layers(6, 6)], 6, [2])
    assert few.observables is not None
    assert max(np.prod(one.shape) for one in few.schedule.products) <= 4**4
    angles = np.random.default_rng(0).uniform(-1, 1, (3, 6, 4))
    gates = list(phased_xz_transfer(*angles))
    every = NoisyProgram.compile([*probe, *layers(6, 6)], 6, range(6)).populations(gates)
    marginal = every.reshape(4, 4, 2, 8).sum(axis=(1, 3))
    np.testing.assert_allclose(few.populations(gates), marginal, rtol=0, atol=1e-13)


def test_single_precision_with_a_large_error_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(3, n=4, length=40, swept=0.5)
    monkeypatch.setattr(noisy_program, "_FLOAT32_ERROR", 1e-10)
    with pytest.raises(ArithmeticError, match=r"single precision changes probabilities by .*; use precision='float64'"):
        random.populations("float32")


def test_measured_qubits_without_gates_read_zero() -> None:
    qubits = cirq.LineQubit.range(3)
    np.testing.assert_array_equal(populations(cirq.Circuit(cirq.X(qubits[1])), qubits), np.eye(8)[2])


def test_matrix_of_phased_xz_agrees_with_its_unitary() -> None:
    exponents = np.random.default_rng(1).uniform(-2, 2, (3, 20))
    for x, z, a in exponents.T:
        gate = cirq.PhasedXZGate(x_exponent=x, z_exponent=z, axis_phase_exponent=a)
        expected = transfer_matrix(cirq.unitary(gate)[np.newaxis])
        np.testing.assert_allclose(phased_xz_transfer(*map(np.array, (x, z, a))), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", DEVICES)
def test_devices_give_the_probabilities_of_numpy(name: str, precision: Precision) -> None:
    device = Device.of(name)

    @settings(max_examples=12)
    @given(st.integers(0, 2**16), st.integers(1, 5), st.integers(1, 40), st.sampled_from([0.0, 0.3, 0.6]))
    def check(seed: int, n: int, length: int, swept: float) -> None:
        random = Random(seed, n, length, swept)
        program = NoisyProgram.compile(random.steps, n, random.measured)
        found = program.populations(random.gates, precision, device)
        assert type(found) is np.ndarray
        np.testing.assert_allclose(found, program.populations(random.gates), rtol=0, atol=ON_DEVICES[precision])

    check()


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("free", [0, 2**20, None])
def test_batch_on_a_device_is_cut_to_the_free_memory(name: str, free: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    random, device, batches = Random(7, n=5, length=60, swept=0.5, points=7), Device.of(name), []
    program = NoisyProgram.compile(random.steps, 5, random.measured)
    expected = program.populations(random.gates)
    on_device = [device.asarray(gate) for gate in random.gates]
    run = Schedule.run

    def counted(self: Schedule, tensors: Any, matrices: Any, points: slice = slice(None)) -> Any:
        batches.append(points.stop - points.start)
        return run(self, tensors, matrices, points)

    monkeypatch.setattr(Schedule, "run", counted)
    monkeypatch.setattr(Device, "free_memory", lambda _: free)
    if free == 0:
        with pytest.raises(DeviceError, match=r"a density matrix in float64 needs .* GiB of memory, .* has 0.0 GiB"):
            program.populations(on_device, device=device)
        return
    np.testing.assert_allclose(program.populations(on_device, device=device), expected, rtol=0, atol=1e-13)
    assert sum(batches) == 7
    assert max(batches) == 7 if free is None else 1 < max(batches) < 7


@pytest.mark.parametrize("name", DEVICES)
def test_constants_are_moved_to_a_device_once_and_single_precision_is_checked_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, device = Random(3, n=4, length=40, swept=0.5), Device.of(name)
    program = NoisyProgram.compile(random.steps, 4, random.measured)
    gates = [device.asarray(gate) for gate in random.gates]
    first = program.populations(gates, "float32", device)
    monkeypatch.setattr(noisy_program, "_FLOAT32_ERROR", 1e-12)
    with monkeypatch.context() as patch:
        patch.setattr(Device, "asarray", lambda *_: pytest.fail("moved again"))
        np.testing.assert_array_equal(program.populations(gates, "float32", device), first)
    with pytest.raises(ArithmeticError, match="single precision changes probabilities"):
        NoisyProgram.compile(random.steps, 4, random.measured).populations(gates, "float32", device)


def test_wider_blocks_on_a_gpu_need_fewer_passes_over_the_state() -> None:
    """The floor is one read and one write of the state for each pair of qubits, in which a GPU multiplies some 60 times."""
    program = NoisyProgram.compile(layers(10, 12), 10, range(10))
    pairs = program.schedule.products
    fused = program.schedule_for(Device("array_api_strict"))
    assert {len(one.block.axes) for one in fused.products} >= {3}
    assert len(fused.products) < 0.6 * len(pairs)
    assert fused.cost < 1.5 * sum(2 * 32 * np.prod(one.shape) for one in pairs)
