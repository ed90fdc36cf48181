"""Measurements with confusion maps and inverted bits, written in the circuit or made by a noise model, on every simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cirq
import numpy as np
import pytest

import hattriq_cirq as hq
from hattriq_cirq.circuits.errors import CircuitRefusedError
from hattriq_cirq.execution import Engine
from hattriq_cirq.execution.backend import Job
from hattriq_cirq.execution.backends.google_jobs import SerializedJob

A, B, C = cirq.LineQubit.range(3)
SYMMETRIC = np.array([[0.8, 0.2], [0.2, 0.8]])
SKEWED = np.array([[0.9, 0.1], [0.3, 0.7]])
PAIR = np.array([[0.7, 0.1, 0.1, 0.1], [0.05, 0.9, 0.05, 0], [0, 0.2, 0.6, 0.2], [0.1, 0.1, 0.1, 0.7]])
SHOTS = 20_000

EXACT: dict[str, Callable[[], Engine]] = {
    "qsim": lambda: hq.qsim(seed=1),
    "cirq": lambda: hq.cirq_simulator(seed=1),
    "density matrix": lambda: hq.cirq_simulator(seed=1, noise=cirq.NO_NOISE),
    "sampler": lambda: hq.sampler(cirq.Simulator(seed=1)),
    "density-matrix sampler": lambda: hq.sampler(cirq.DensityMatrixSimulator(seed=1)),
    "virtual": lambda: hq.virtual("willow_pink", seed=1, noise="none"),
}
ENGINES = EXACT | {"trajectories": lambda: hq.qsim(seed=1, noise=cirq.NO_NOISE)}


class Readout(cirq.NoiseModel):
    """Readout noise written as the confusion map of the measurement."""

    def noisy_operation(self, operation: cirq.Operation) -> cirq.OP_TREE:
        if not cirq.is_measurement(operation):
            return operation
        gate = operation.gate
        assert isinstance(gate, cirq.MeasurementGate)
        maps: dict[tuple[int, ...], Any] = {(i,): SKEWED for i in range(gate.num_qubits())}
        confused = cirq.MeasurementGate(gate.num_qubits(), gate.mkey, gate.invert_mask, confusion_map=maps)
        return confused.on(*operation.qubits)


class Splitting(cirq.NoiseModel):
    """Noise model that measures every qubit by itself."""

    def noisy_operation(self, operation: cirq.Operation) -> cirq.OP_TREE:
        return [cirq.measure(q, key=str(q)) for q in operation.qubits] if cirq.is_measurement(operation) else operation


def measured(**settings: object) -> cirq.Circuit:
    gate = cirq.MeasurementGate(3, "z", **settings)  # type: ignore[arg-type]
    return cirq.Circuit(cirq.H(A), cirq.ry(0.7)(B), cirq.CNOT(A, C), gate(C, A, B))


def by_definition(inverted: tuple[bool, ...], confusion: dict[tuple[int, ...], np.ndarray]) -> np.ndarray:
    """Return the probabilities by the definition: bits are confused, each group by its matrix, and then inverted."""
    state = measured()[:-1].final_state_vector(qubit_order=[C, A, B])
    expected = np.zeros((2, 2, 2))
    for true in np.ndindex(2, 2, 2):
        for seen in np.ndindex(2, 2, 2):
            chance = abs(state.reshape(2, 2, 2)[true]) ** 2
            for positions, matrix in confusion.items():
                row, column = (int("".join(str(bits[i]) for i in positions), 2) for bits in (true, seen))
                chance *= matrix[row, column]
            kept = set(range(3)).difference(*confusion)
            if all(true[i] == seen[i] for i in kept):
                expected[tuple(bit ^ flip for bit, flip in zip(seen, inverted, strict=True))] += chance
    return expected.reshape(-1)


CASES: dict[str, tuple[tuple[bool, ...], dict[tuple[int, ...], np.ndarray]]] = {
    "plain": ((False, False, False), {}),
    "inverted": ((True, False, True), {}),
    "confused": ((False, False, False), {(1,): SKEWED}),
    "confused in pairs": ((False, False, False), {(2, 0): PAIR, (1,): SKEWED}),
    "confused and inverted": ((True, True, False), {(2, 0): PAIR}),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_confused_measurement_after_x(engine: str) -> None:
    gate = cirq.MeasurementGate(1, "m", confusion_map={(0,): SYMMETRIC})
    circuit = (
        cirq.Circuit(cirq.X(cirq.q(0, 0)), gate(cirq.q(0, 0))) if engine == "virtual" else cirq.Circuit(cirq.X(A), gate(A))
    )
    if engine in EXACT:
        np.testing.assert_allclose(ENGINES[engine]().run([circuit], None)[0].probabilities, [0.2, 0.8], atol=1e-6)
    counted = ENGINES[engine]().run([circuit], [SHOTS])[0].probabilities
    np.testing.assert_allclose(counted, [0.2, 0.8], atol=5 * 0.4 / np.sqrt(SHOTS))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("engine", ENGINES)
def test_measurement_by_its_definition(engine: str, case: str) -> None:
    inverted, confusion = CASES[case]
    circuit, expected = measured(invert_mask=inverted, confusion_map=confusion), by_definition(inverted, confusion)
    if engine in EXACT:
        np.testing.assert_allclose(ENGINES[engine]().run([circuit], None)[0].probabilities, expected, atol=2e-6)
    counted = ENGINES[engine]().run([circuit], [SHOTS])[0].probabilities
    np.testing.assert_allclose(counted, expected, atol=5 * 0.5 / np.sqrt(SHOTS))


@pytest.mark.parametrize("inverted", [(False, False, False), (True, False, True)])
def test_noise_model_of_confused_measurements_is_honoured(inverted: tuple[bool, ...]) -> None:
    circuit, expected = measured(invert_mask=inverted), by_definition(inverted, {(i,): SKEWED for i in range(3)})
    np.testing.assert_allclose(hq.cirq_simulator(noise=Readout()).run([circuit], None)[0].probabilities, expected, atol=1e-6)
    for engine in (hq.cirq_simulator(seed=1, noise=Readout()), hq.qsim(seed=1, noise=Readout())):
        counted = engine.run([circuit], [SHOTS])[0].probabilities
        np.testing.assert_allclose(counted, expected, atol=5 * 0.5 / np.sqrt(SHOTS))


def test_noise_model_that_splits_the_measurement_is_refused() -> None:
    for engine in (hq.cirq_simulator(noise=Splitting()), hq.qsim(seed=1, noise=Splitting())):
        with pytest.raises(ValueError, match="must keep one measurement of the same qubits"):
            engine.run([measured()], [10])


def test_service_refuses_confusion_maps() -> None:
    job = Job("job", (measured(confusion_map={(1,): SKEWED}).freeze(),), ({},), 10, None)
    with pytest.raises(CircuitRefusedError, match="confusion map"):
        SerializedJob.from_job(job)
