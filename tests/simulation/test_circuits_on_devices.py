"""Circuits and observables on devices: the same numbers as those of NumPy, in both precisions, and where the states are."""

from __future__ import annotations

from typing import Any

import cirq
import numpy as np
import pytest
from devices import DEVICES
from hypothesis import HealthCheck, given, settings
from strategies import Case, amplitudes, assert_close, cases, generators

from hattriq_cirq import Model
from hattriq_cirq.foundation.devices import Device
from hattriq_cirq.simulation.statevector import Precision, compile_circuit

TOLERANCE: dict[Precision, float] = {"float64": 1e-12, "float32": 1e-5}
SLOW_IMPORT = settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def in_type(x: Any, precision: Precision) -> Any:
    single = np.complex64 if np.iscomplexobj(x) else np.float32
    return x.astype(single) if precision == "float32" else x


@pytest.mark.parametrize("name", DEVICES)
@given(case=cases(most_qubits=5), rng=generators)
@SLOW_IMPORT
def test_every_product_equals_that_of_numpy(name: str, case: Case, rng: np.random.Generator) -> None:
    device, model = Device.of(name), Model(case.circuit, case.qubits, case.observable)
    for precision, tolerance in TOLERANCE.items():
        for imaginary in (False, True):
            x = in_type(amplitudes(rng, 3, model.n_features, imaginary=imaginary), precision)
            for real_part in (False, True):
                expected = model.action_of_rows(x, real_part=real_part)
                found = model.action_of_rows(device.asarray(x), real_part=real_part, precision=precision)
                assert Device.holding(found) == device
                assert (
                    device.to_numpy(found).dtype.itemsize == expected.astype(in_type(expected, precision).dtype).dtype.itemsize
                )
                assert_close(device.to_numpy(found), expected, tolerance)


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("samples", [1, 3])
def test_product_by_the_matrix_equals_that_by_the_gates(name: str, samples: int) -> None:
    device, qubits, rng = Device.of(name), cirq.LineQubit.range(5), np.random.default_rng(0)
    circuit = cirq.Circuit(cirq.Y(qubits[3]) ** 0.3, cirq.CNOT(qubits[3], qubits[1]), cirq.X(qubits[1]) ** 0.4)
    by_gates, by_matrix = (Model(circuit, qubits, cirq.Z(qubits[1])) for _ in range(2))
    assert by_matrix.matrix.shape == (32, 32)
    x = device.asarray(amplitudes(rng, samples, 32, imaginary=True))
    assert by_matrix.keeps_matrix
    assert not by_gates.keeps_matrix
    assert_close(device.to_numpy(by_matrix.action_of_rows(x)), device.to_numpy(by_gates.action_of_rows(x)))


@pytest.mark.parametrize("name", DEVICES)
def test_gate_on_distant_qubits_and_whole_diagonals(name: str) -> None:
    device, qubits, rng = Device.of(name), cirq.LineQubit.range(7), np.random.default_rng(1)
    pairs = [cirq.CZ(qubits[i], qubits[j]) ** 0.3 for i in range(7) for j in range(i)]
    program = compile_circuit(cirq.Circuit(pairs, cirq.CNOT(qubits[0], qubits[6]), cirq.ISWAP(qubits[1], qubits[5])), qubits)
    assert {len(block.axes) for block in program.blocks} >= {0, 2}
    states = amplitudes(rng, 2**7, 2)
    assert_close(device.to_numpy(program.apply(device.asarray(states))), program.apply(states))
    back = program.adjoint.apply(program.apply(device.asarray(states)))
    assert_close(device.to_numpy(back), states)


@pytest.mark.parametrize("name", DEVICES)
def test_factors_go_to_the_device_once(name: str) -> None:
    device, qubits = Device.of(name), cirq.LineQubit.range(2)
    program = compile_circuit(cirq.Circuit(cirq.H(qubits[0]), cirq.CNOT(*qubits)), qubits)
    states = device.asarray(np.eye(4))
    assert program.beside(states) is program.beside(device.asarray(np.ones((4, 1))))
    assert program.beside(np.eye(4)) is program.blocks


@pytest.mark.parametrize("name", DEVICES)
def test_circuit_that_measures_runs_in_main_memory_if_it_must(name: str) -> None:
    device, qubits, rng = Device.of(name), cirq.LineQubit.range(3), np.random.default_rng(2)
    circuit = cirq.Circuit(cirq.H(qubits[0]), cirq.measure(qubits[0], key="m"), cirq.X(qubits[1]).with_classical_controls("m"))
    noisy = Model(circuit + cirq.depolarize(0.1)(qubits[1]), qubits, cirq.Z(qubits[1]))
    beside = Model(
        cirq.Circuit(cirq.CNOT(qubits[2], qubits[1]), cirq.H(qubits[0])), qubits[:2], cirq.Z(qubits[1]), environment=qubits[2:]
    )
    for model in (noisy, beside):
        x = amplitudes(rng, 2, model.n_features, imaginary=True)
        assert_close(device.to_numpy(model.action_of_rows(device.asarray(x))), model.action_of_rows(x))
