"""qsim runs whatever Cirq's simulators run, and gives the same probabilities."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cirq
import numpy as np
import pytest
import sympy
from qsimcirq import qsim_simulator

import hattriq_cirq as hq
from hattriq_cirq.foundation.devices import DeviceError
from hattriq_cirq.simulation.qsim import for_qsim

A, B, C, D = QUBITS = cirq.LineQubit.range(4)


class Unknown(cirq.Gate):
    """A gate with a matrix and nothing else."""

    def __init__(self, qubits: int) -> None:
        self.qubits = qubits

    def _num_qubits_(self) -> int:
        return self.qubits

    def _unitary_(self) -> Any:
        return cirq.testing.random_unitary(2**self.qubits, random_state=self.qubits)


class Composite(cirq.Gate):
    """A gate with a decomposition, a global phase included."""

    def _num_qubits_(self) -> int:
        return 2

    def _decompose_(self, qubits: Any) -> Any:
        return [Unknown(1)(qubits[0]), cirq.CNOT(*qubits), cirq.global_phase_operation(1j)]


class Borrowing(cirq.Gate):
    """A gate whose decomposition uses another qubit, and which has a matrix."""

    def _num_qubits_(self) -> int:
        return 2

    def _unitary_(self) -> Any:
        return cirq.testing.random_unitary(4, random_state=9)

    def _decompose_(self, qubits: Any) -> Any:
        return [cirq.CNOT(qubits[0], cirq.NamedQubit("borrowed")), cirq.CNOT(qubits[0], cirq.NamedQubit("borrowed"))]


DIFFERENT = cirq.SumOfProducts([(0, 1), (1, 0)])
OPERATIONS: dict[str, cirq.Operation] = {
    "sum of products": cirq.X(C).controlled_by(A, B, control_values=DIFFERENT),
    "sum of products of three": cirq.ry(0.4)(D).controlled_by(
        A, B, C, control_values=cirq.SumOfProducts([(0, 1, 1), (1, 0, 0), (1, 1, 1)])
    ),
    "sum of products, tagged": cirq.X(C).controlled_by(A, B, control_values=DIFFERENT).with_tags("a tag"),
    "sum of products of an unknown gate": Unknown(2)(C, D).controlled_by(A, B, control_values=DIFFERENT),
    "sum of products of a controlled gate": cirq.X(D).controlled_by(C).controlled_by(A, B, control_values=DIFFERENT),
    "sum of products of a phase": cirq.global_phase_operation(np.exp(0.3j)).controlled_by(A, B, control_values=DIFFERENT),
    "several values of one control": cirq.X(C).controlled_by(A, B, control_values=[(0, 1), 1]),
    "any value of the control": cirq.X(C).controlled_by(B, control_values=[(0, 1)]),
    "control on 0": cirq.X(C).controlled_by(B, control_values=[0]),
    "controlled PhasedXZ": cirq.PhasedXZGate(x_exponent=0.3, z_exponent=0.2, axis_phase_exponent=0.1)(C).controlled_by(A),
    "controlled matrix": cirq.MatrixGate(cirq.testing.random_unitary(4, random_state=1))(C, D).controlled_by(
        A, control_values=[0]
    ),
    "controlled unknown gate": Unknown(1)(C).controlled_by(A, B),
    "controlled composite gate": Composite()(C, D).controlled_by(A),
    "controlled Fourier transform": cirq.QuantumFourierTransformGate(3)(A, B, C).controlled_by(D),
    "controlled permutation": cirq.QubitPermutationGate([2, 0, 1])(A, B, C).controlled_by(D),
    "controlled phase": cirq.global_phase_operation(1j).controlled_by(A),
    "controlled subcircuit": cirq.CircuitOperation(cirq.FrozenCircuit(cirq.H(A), cirq.CNOT(A, B))).controlled_by(C),
    "composite gate": Composite()(C, D),
    "gate with a borrowed qubit": Borrowing()(A, D),
    "unknown gate on 1": Unknown(1)(B),
    "unknown gate on 3": Unknown(3)(B, D, C),
    "unknown gate on 4": Unknown(4)(A, C, B, D),
    "repeated subcircuit": cirq.CircuitOperation(cirq.FrozenCircuit(cirq.H(A), Unknown(2)(A, B)), repetitions=3),
    "global phase": cirq.global_phase_operation(1j),
    "waiting": cirq.wait(A, nanos=5),
    "identity": cirq.IdentityGate(3)(A, B, C),
    "Pauli string": cirq.X(A) * cirq.Z(B),
    "power of a Pauli string": (cirq.X(A) * cirq.Z(B)) ** 0.3,
    "dense Pauli string": cirq.DensePauliString("XYZ")(A, B, C),
    "Boolean Hamiltonian": cirq.BooleanHamiltonianGate(["x", "y"], ["x ^ y"], 0.3)(A, B),
    "SymPy constant": cirq.rx(sympy.pi / 3)(A),
    "controlled SymPy constant": cirq.rx(sympy.pi / 3)(A).controlled_by(B),
}


def circuit_with(operation: cirq.Operation) -> cirq.Circuit:
    start = [cirq.H.on_each(*QUBITS), cirq.ry(0.3)(A), cirq.T(B), cirq.rx(0.7)(C), cirq.CNOT(C, D), cirq.ry(1.1)(D)]
    return cirq.Circuit(start, operation, cirq.H.on_each(*QUBITS), cirq.measure(*QUBITS, key="z"))


@pytest.mark.parametrize("name", OPERATIONS)
def test_qsim_gives_the_probabilities_of_cirq(name: str) -> None:
    circuit = circuit_with(OPERATIONS[name])
    (exact,), (found,) = (engine.run([circuit], None) for engine in (hq.cirq_simulator(), hq.qsim()))
    np.testing.assert_allclose(found.probabilities, exact.probabilities, atol=2e-6)


@pytest.mark.parametrize("name", ["sum of products", "controlled unknown gate", "gate with a borrowed qubit", "global phase"])
def test_trajectories_of_qsim_agree_with_the_density_matrix(name: str) -> None:
    noise, circuit, shots = cirq.ConstantQubitNoiseModel(cirq.depolarize(0.02)), circuit_with(OPERATIONS[name]), 4000
    (exact,) = hq.cirq_simulator(noise=noise).run([circuit], None)
    (found,) = hq.qsim(noise=noise, seed=1).run([circuit], [shots])
    assert np.abs(found.probabilities - exact.probabilities).max() < 5 * np.sqrt(0.25 / shots)


def test_prepared_state_is_the_same_on_both_simulators() -> None:
    circuit = cirq.Circuit(cirq.StatePreparationChannel(np.array([0.6, 0.8]))(A), cirq.CNOT(A, B), cirq.measure(A, B))
    for engine in (hq.cirq_simulator(), hq.qsim()):
        np.testing.assert_allclose(engine.run([circuit], None)[0].probabilities, [0.36, 0, 0, 0.64], atol=1e-6)


REFUSED: dict[str, tuple[cirq.Operation, str]] = {
    "reset": (cirq.reset(A), "no gate that a state vector can follow"),
    "channel": (cirq.depolarize(0.1)(A), "no gate that a state vector can follow"),
    "preparation later": (cirq.StatePreparationChannel(np.array([0.6, 0.8]))(A), "no gate that a state vector can follow"),
    "symbol": (cirq.rx(sympy.Symbol("angle"))(A), r"symbols \['angle'\] of a circuit have no value"),
    "qutrit": (cirq.MatrixGate(np.eye(3), qid_shape=(3,))(cirq.LineQid(7, 3)), "a system of 3 levels"),
    "classical control": (cirq.X(A).with_classical_controls("k"), r"gates depend on the measurements \['k'\]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_both_simulators_refuse_with_the_same_error(name: str) -> None:
    operation, message = REFUSED[name]
    for engine in (hq.cirq_simulator(), hq.qsim()):
        with pytest.raises(ValueError, match=message):
            engine.run([circuit_with(operation)], None)


def test_circuit_of_gates_that_qsim_reads_is_not_changed() -> None:
    circuit = cirq.FrozenCircuit(cirq.H(A), cirq.CNOT(A, B), cirq.FSimGate(0.1, 0.2)(B, C), cirq.measure(A, B))
    assert for_qsim(circuit).moments == circuit.moments


def test_wide_gate_without_decomposition_is_refused() -> None:
    qubits = cirq.LineQubit.range(7)
    with pytest.raises(ValueError, match="neither a matrix on at most 6 qubits nor a decomposition"):
        for_qsim(cirq.Circuit(Unknown(7)(*qubits)))


@pytest.mark.parametrize(("mode", "library"), [(0, "CUDA"), (1, "cuStateVec")])
def test_gpu_with_a_wheel_without_it_points_to_the_instructions_of_qsim(
    mode: int, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qsim_simulator, ("qsim_gpu", "qsim_custatevec")[mode], None)
    with pytest.raises(DeviceError, match=rf"gpu=True: qsimcirq .* without {library}, .*; compile qsim .*https://.*"):
        hq.qsim(gpu=True, gpu_mode=mode)


@pytest.mark.parametrize("noise", [None, cirq.depolarize(0.01)])
@pytest.mark.parametrize("mode", [0, 1])
def test_gpu_options_pass_through_to_qsim(mode: int, noise: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulator of the CPU stands for that of a qsimcirq that was compiled for a GPU."""
    given: set[Any] = set()
    simulator = qsim_simulator.QSimSimulator

    def kept(options: Any, seed: int) -> Any:
        given.add((options.cpu_threads, options.max_fused_gate_size, options.use_gpu, options.gpu_mode))
        return simulator(replace(options, use_gpu=False), seed=seed)

    monkeypatch.setattr(qsim_simulator, ("qsim_gpu", "qsim_custatevec")[mode], "a module")
    monkeypatch.setattr(qsim_simulator, "QSimSimulator", kept)
    engine = hq.qsim(seed=1, threads=1, gpu=True, gpu_mode=mode, fused_qubits=3, noise=noise)
    (found,) = engine.run([cirq.Circuit(cirq.X(A), cirq.measure(A))], [100])
    assert found.counts[1] > 90
    assert given == {(1, 3, True, mode)}
    assert engine.describe()["device"] == f"cuda: qsim, gpu_mode={mode}"
    with pytest.raises(ValueError, match="gpu=True computes a whole job at once in one process, which workers="):
        hq.qsim(gpu=True, gpu_mode=mode, workers=2)


@pytest.mark.parametrize("wrong", [{"gpu": 1}, {"gpu_mode": 2}, {"fused_qubits": 7}, {"fused_qubits": "4"}])
def test_wrong_options_of_qsim_are_refused(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises((TypeError, ValueError), match=f"{name}=.* must (be|lie)"):
        hq.qsim(**wrong)
