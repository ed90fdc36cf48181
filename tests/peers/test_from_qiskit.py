"""Models from Qiskit: its own states and operators, in both orders of the qubits; parameters, measurements and channels."""

from __future__ import annotations

from typing import Any

import cirq
import numpy as np
import pytest
from peers import peer

import hattriq_cirq as hq

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore::hattriq_cirq.RemovedOperationsWarning")]
LEFT_OUT = ("measure", "reset", "delay")


@pytest.fixture
def qiskit() -> Any:
    return peer("qiskit")


def only(model: hq.Model | list[hq.Model]) -> hq.Model:
    assert isinstance(model, hq.Model)
    return model


def random_circuit(qiskit: Any, rng: np.random.Generator, n: int, gates: int) -> Any:
    """Return random standard gates with symbolic angles, and a unitary without a name."""
    library = peer("qiskit.circuit.library")
    info = peer("qiskit.quantum_info")
    known = [
        g for name, g in library.get_standard_gate_name_mapping().items() if name not in LEFT_OUT and 0 < g.num_qubits <= n
    ]
    circuit, angles = qiskit.QuantumCircuit(n), qiskit.circuit.ParameterVector("t", 3)
    for k in rng.permutation(len(known))[:gates]:
        gate, scale = known[k], float(rng.choice([1.0, -2.0, 0.5]))
        params = [scale * angles[int(rng.integers(3))] + float(rng.normal()) for _ in gate.params]
        circuit.append(type(gate)(*params) if params else gate, rng.permutation(n)[: gate.num_qubits].tolist())
    circuit.append(library.RXGate(angles[0]).control(n - 1, ctrl_state=1, annotated=False), rng.permutation(n).tolist())
    circuit.unitary(info.random_unitary(4, seed=int(rng.integers(1000))), rng.permutation(n)[:2].tolist())
    return circuit


@pytest.mark.parametrize("order", ["little-endian", "big-endian", [1, 2, 0]])
@pytest.mark.parametrize("seed", range(3))
def test_random_circuits_equal_qiskit_in_every_order(qiskit: Any, seed: int, order: Any) -> None:
    info, rng, n = peer("qiskit.quantum_info"), np.random.default_rng(seed), 3
    circuit = random_circuit(qiskit, rng, n, 20)
    values = rng.normal(size=len(circuit.parameters))
    operator = info.SparsePauliOp(["ZIX", "IYI", "XXZ"], [0.5, -1.0, 0.3])
    matrix = rng.normal(size=(8, 8))
    observables = [operator, "0.5*X0*Z2 - Y1 + 0.3*Z0*X1*X2", info.Pauli("-YZI"), info.Operator(matrix + matrix.T)]
    models = hq.from_qiskit(circuit, observables, params=values, qubit_order=order)
    assert isinstance(models, list)
    assert set(models[0].params) <= {parameter.name for parameter in circuit.parameters}
    bound = info.Operator(circuit.assign_parameters(values)).data
    words = {"little-endian": [2, 1, 0], "big-endian": [0, 1, 2]}
    first_to_last = words[order] if isinstance(order, str) else order
    for model, observable in zip(models, [operator, operator, *observables[2:]], strict=True):
        whole = bound.conj().T @ info.Operator(observable).data @ bound
        axes = [n - 1 - q for q in first_to_last]  # axes of Qiskit's matrices run from the last qubit to the first
        expected = whole.reshape((2,) * 2 * n).transpose([*axes, *(n + a for a in axes)]).reshape(2**n, 2**n)
        np.testing.assert_allclose(model.matrix, expected, rtol=0, atol=1e-10)


def test_wrong_order_is_caught(qiskit: Any) -> None:
    rng, info = np.random.default_rng(3), peer("qiskit.quantum_info")
    x = rng.normal(size=8) / 3
    x = x / np.linalg.norm(x)
    circuit = random_circuit(qiskit, rng, 3, 12)
    values = rng.normal(size=len(circuit.parameters))
    state = info.Statevector(x).evolve(circuit.assign_parameters(values))
    score = float(state.expectation_value(info.SparsePauliOp("IZX")).real)
    options: dict[str, Any] = {"params": values, "check": (x, score)}
    assert only(hq.from_qiskit(circuit, "X0*Z1", **options)).expectation(x) == pytest.approx(score, abs=1e-12)
    with pytest.raises(ValueError, match="with qubit_order='little-endian' they agree"):
        hq.from_qiskit(circuit, "X0*Z1", qubit_order="big-endian", **options)
    prepared = qiskit.QuantumCircuit(3)
    prepared.initialize(x, [0, 1, 2])
    prepared.compose(circuit, inplace=True)
    prepared.measure_all()
    with pytest.warns(hq.RemovedOperationsWarning, match="initialize of qubits 0, 1, 2; the measurement of .* at the end"):
        model = only(hq.from_qiskit(prepared, "X0*Z1", params=values))
    assert float(model.expectation(x)) == pytest.approx(score, abs=1e-12)
    with pytest.raises(ValueError, match="qubit_order='big-endian' contradicts the Qiskit circuit"):
        hq.from_qiskit(prepared, "X0*Z1", params=values, qubit_order="big-endian")


def test_parameters_stay_symbols_by_name_object_or_order(qiskit: Any) -> None:
    theta, vector = qiskit.circuit.Parameter("θ"), qiskit.circuit.ParameterVector("w", 2)
    circuit = qiskit.QuantumCircuit(2)
    circuit.ry(2 * theta - vector[0], 0)
    circuit.crz(vector[1], 0, 1)
    circuit.rx(0.5, 1)
    circuit.cx(0, 1)
    forms: list[Any] = [{"w[0]": 0.1, vector[1]: 0.2, theta: 0.3}, {vector[0]: 0.1, "w[1]": 0.2, "θ": 0.3}]
    forms.append([{"w[0]": 0.1, "w[1]": 0.2, "θ": 0.3}[p.name] for p in circuit.parameters])
    for form in forms:
        model = only(hq.from_qiskit(circuit, "Z1", params=form))
        assert dict(model.params) == {"w[0]": 0.1, "w[1]": 0.2, "θ": 0.3}
    sensitivity = hq.parameter_sensitivity(model, [0.5, 0.5, -0.5, 0.5], baseline=0)
    derivatives = dict(zip(sensitivity.names, sensitivity.derivatives.sum(axis=-1), strict=True))
    assert derivatives["θ"] == pytest.approx(-2 * derivatives["w[0]"], abs=1e-12)
    assert abs(derivatives["θ"]) > 1e-3
    with pytest.raises(ValueError, match=r"symbols .*w\[0\].* of the circuit are unresolved"):
        hq.from_qiskit(circuit, "Z1")
    with pytest.raises(ValueError, match="must have 3 numbers, one for each parameter"):
        hq.from_qiskit(circuit, "Z1", params=[1.0])


def test_measurements_resets_and_noise_inside_are_channels(qiskit: Any) -> None:
    info = peer("qiskit.quantum_info")
    a, b, c = cirq.LineQubit.range(3)
    circuit = qiskit.QuantumCircuit(3, 3)
    circuit.reset([0, 1, 2])
    circuit.ry(0.7, 0)
    circuit.cx(0, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)) as otherwise:
        circuit.x(2)
    with otherwise:
        circuit.h(2)
    circuit.reset(1)
    circuit.rx(0.2, 1)
    circuit.barrier()
    circuit.measure([1, 2], [1, 2])
    with pytest.warns(
        hq.RemovedOperationsWarning, match="the reset of .* at the start; the measurement of q.1., q.2. at the end"
    ):
        model = only(hq.from_qiskit(circuit, "Z2 + Z1*Z0"))
    expected = cirq.Circuit(
        cirq.ry(0.7)(a),
        cirq.CNOT(a, b),
        cirq.measure(a, key="m"),
        cirq.X(c).with_classical_controls("m"),
        cirq.X(a),
        cirq.measure(a, key="n"),
        cirq.X(a),
        cirq.H(c).with_classical_controls("n"),
        cirq.reset(b),
        cirq.rx(0.2)(b),
    )
    np.testing.assert_allclose(model.matrix, hq.Model(expected, [c, b, a], "Z2 + Z1*Z0").matrix, atol=1e-12)
    noisy = qiskit.QuantumCircuit(2)
    noisy.h(0)
    flip = info.Kraus([np.sqrt(0.9) * np.eye(4), np.sqrt(0.1) * np.kron([[0, 1], [1, 0]], [[1, 0], [0, -1]])])
    noisy.append(flip.to_instruction(), [0, 1])
    noisy.cx(0, 1)
    noisy.reset(0)
    model = only(hq.from_qiskit(noisy, "Z1 + X0"))
    x = np.array([0.1, 0.3, -0.5, 0.8])
    state = info.DensityMatrix(np.outer(x, x)).evolve(noisy)
    expected_score = state.expectation_value(info.SparsePauliOp(["ZI", "IX"])).real
    assert float(model.expectation(x)) == pytest.approx(expected_score, abs=1e-12)


def test_what_cannot_be_a_model_is_refused_by_name(qiskit: Any) -> None:
    loop = qiskit.QuantumCircuit(1, 1)
    loop.measure(0, 0)
    with loop.while_loop((loop.clbits[0], 1)):
        loop.h(0)
    late = qiskit.QuantumCircuit(1)
    late.h(0)
    late.initialize([0, 1], 0)
    twice = qiskit.QuantumCircuit(2)
    twice.initialize([0, 1], 0)
    twice.initialize([0, 1], 1)
    for circuit, message in ((loop, "while_loop"), (late, "initialize of qubit 0 after other"), (twice, "beside another")):
        with pytest.raises(ValueError, match=f"Qiskit: a model cannot hold the operation .*{message}"):
            hq.from_qiskit(circuit, "Z0")
    with pytest.raises(ValueError, match="acts on 1 qubits, and the circuit has 2"):
        hq.from_qiskit(qiskit.QuantumCircuit(2), peer("qiskit.quantum_info").SparsePauliOp("Z"))


@pytest.mark.parametrize("seed", range(2))
def test_circuits_that_qiskit_writes_as_openqasm_are_the_same_model(qiskit: Any, seed: int) -> None:
    qasm2, rng = peer("qiskit.qasm2"), np.random.default_rng(seed)
    circuit = random_circuit(qiskit, rng, 3, 30)
    values = rng.normal(size=len(circuit.parameters))
    direct = only(hq.from_qiskit(circuit, "Z0*X2", params=values))
    written = qasm2.dumps(circuit.assign_parameters(values))
    read = only(hq.from_qasm(written, "Z0*X2", qubit_order="little-endian"))
    np.testing.assert_allclose(read.matrix, direct.matrix, rtol=0, atol=1e-7)
    x = rng.normal(size=8)
    with pytest.raises(ValueError, match="with qubit_order='little-endian' they agree"):
        hq.from_qasm(written, "Z0*X2", qubit_order="big-endian", check=(x, direct.expectation(x)))
