"""Models from OpenQASM: equal to the circuits that the text describes, in both orders of the qubits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Array, assert_close, generators

import hattriq_cirq as hq

H2 = 'OPENQASM 2.0; include "qelib1.inc";\n'
H3 = 'OPENQASM 3.0; include "stdgates.inc";\n'
GATES: dict[cirq.Gate, int] = {cirq.H: 1, cirq.T: 1, cirq.rx(0.3): 1, cirq.ry(-1.1): 1, cirq.CNOT: 2, cirq.CZ: 2, cirq.SWAP: 2}


def only(model: hq.Model | list[hq.Model]) -> hq.Model:
    assert isinstance(model, hq.Model)
    return model


@settings(max_examples=8)
@given(n=st.integers(2, 4), rng=generators)
def test_round_trip_of_random_circuits_in_both_orders(n: int, rng: np.random.Generator) -> None:
    line = cirq.LineQubit.range(n)
    circuit = cirq.testing.random_circuit(line, 8, 0.8, GATES, random_state=int(rng.integers(2**31)))
    text = circuit.to_qasm(qubit_order=line)
    k = int(rng.integers(n))
    observable = 1.0 * cirq.X(line[0]) * cirq.Z(line[1]) + 0.3 * cirq.Y(line[k])
    for order, register in (
        ("big-endian", line),
        ("little-endian", line[::-1]),
        ([n - 1, *range(n - 1)], [line[-1], *line[:-1]]),
    ):
        u = oracle.unitary(circuit, register)
        expected = u.conj().T @ oracle.pauli_matrix(observable, register) @ u
        model = only(hq.from_qasm(text, f"X0*Z1 + 0.3*Y{k}", qubit_order=order))  # type: ignore[arg-type]
        assert_close(model.matrix, expected, 1e-6, 1.0)  # Cirq writes angles with limited precision
        assert list(model.qubits) == register


def test_wrong_order_is_caught_by_known_scores() -> None:
    text = H2 + "qreg q[2]; ry(0.4) q[0]; cx q[0], q[1];"
    x = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, -0.5, 0.1, 0.7]])
    known = only(hq.from_qasm(text, "Z1", qubit_order="little-endian")).expectation(x)
    hq.from_qasm(text, "Z1", qubit_order="little-endian", check=(x, known))
    with pytest.raises(ValueError, match="with qubit_order='little-endian' they agree"):
        hq.from_qasm(text, "Z1", qubit_order="big-endian", check=(x, known))
    with pytest.raises(ValueError, match="compare the circuit, the observable"):
        hq.from_qasm(text, "Z0", qubit_order="big-endian", check=(x[0], 5.0))
    several = hq.from_qasm(text, ["Z0", "Z1"], qubit_order="big-endian")
    assert isinstance(several, list)
    scores = np.stack([model.expectation(x) for model in several], axis=-1)
    hq.from_qasm(text, ["Z0", "Z1"], qubit_order="big-endian", check=(x, scores))
    with pytest.raises(ValueError, match="with qubit_order='big-endian' they agree"):
        hq.from_qasm(text, ["Z0", "Z1"], qubit_order="little-endian", check=(x, scores))


def test_order_has_to_be_stated() -> None:
    with pytest.raises(TypeError, match="qubit_order"):
        hq.from_qasm(H2 + "qreg q[1]; h q[0];", "Z0")  # type: ignore[call-arg]
    for order, message in (
        ("big", "qubit_order='big' must be 'big-endian' or 'little-endian'"),
        (None, "qubit_order is missing: state 'big-endian' if"),
        ([0, 0], "must name different qubits of 0 .. 1"),
        ([2], "must name different qubits of 0 .. 1"),
        (3, "qubit_order=3 must be 'big-endian' if"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            hq.from_qasm(H2 + "qreg q[2]; h q[0];", "Z0", qubit_order=order)  # type: ignore[arg-type]


def test_preparation_resets_and_measurements_at_the_ends_are_left_out_and_named() -> None:
    text = (
        'OPENQASM 2.0;\ninclude "qelib1.inc"; // a comment\n'
        "gate state_preparation(p0,p1) a { h a; }\n"
        "gate initialize(p0,p1) a,b { reset a; reset b; state_preparation(p0,p1) a; }\n"
        "qreg q[3]; creg c[3];\nreset q;\ninitialize(0.6,0.8) q[0],q[2];\nbarrier q;\nh q[0]; cx q[0],q[1];\n"
        "barrier q[0],q[1];\nmeasure q -> c;"
    )
    with pytest.warns(hq.RemovedOperationsWarning, match="left out the preparation initialize.*reset.*start; the measurement"):
        model = only(hq.from_qasm(text, "Z1", qubit_order="little-endian"))
    a, b, c = cirq.LineQubit.range(3)
    assert model.circuit == cirq.FrozenCircuit(cirq.H(a), cirq.CNOT(a, b))
    assert model.qubits == (c, a)  # the first qubit of a preparation is the least significant
    assert model.environment == (b,)
    with pytest.raises(ValueError, match=r"qubit_order='big-endian' contradicts the OpenQASM circuit.*q\(2\), q\(0\)"):
        hq.from_qasm(text, "Z1", qubit_order="big-endian")
    with pytest.raises(ValueError, match="initialize after 'h q"):
        hq.from_qasm(text.replace("reset q;\n", "h q[1];"), "Z1", qubit_order="little-endian")
    twice = text.replace("barrier q;", "initialize(0.6,0.8) q[1],q[2];")
    with pytest.raises(ValueError, match="more than one state"):
        hq.from_qasm(twice, "Z1", qubit_order="little-endian")


def test_measurements_and_resets_inside_are_channels() -> None:
    text = H2 + "qreg q[2]; creg c[1]; h q[0]; measure q[0] -> c[0]; if (c==1) x q[1]; reset q[0]; ry(0.3) q[0];"
    model = only(hq.from_qasm(text, "Z1 + Z0", qubit_order="big-endian"))
    assert model.has_channels
    a, b = cirq.LineQubit.range(2)
    circuit = cirq.Circuit(
        cirq.H(a), cirq.measure(a, key="m"), cirq.X(b).with_classical_controls("m"), cirq.reset(a), cirq.ry(0.3)(a)
    )
    assert_close(model.matrix, hq.Model(circuit, [a, b], "Z1 + Z0").matrix, 1e-12, 1.0)
    assert np.abs(model.matrix).max() > 0.1


def test_inputs_of_qasm_3_are_symbols_that_can_be_trained() -> None:
    gates = "gate g(a) t {{ ry(2*a) t; }}\ng({0}) q[0]; u3({1}, {0} - {1}, -{0}/2) q[1]; cx q[0], q[1];"
    text = H3 + "input float[64] theta; input angle[32] phi; qubit[2] q;\n" + gates.format("theta", "phi")
    params = {"theta": 0.3, "phi": -0.7}
    model = only(hq.from_qasm(text, "Z1", qubit_order="big-endian", params=params))
    assert dict(model.params) == params
    x = np.array([0.5, 0.1, -0.3, 0.8])
    for theta, phi in ((0.3, -0.7), (1.1, 0.2)):
        plain = H3 + "qubit[2] q;\n" + gates.format(f"({theta})", f"({phi})")
        expected = only(hq.from_qasm(plain, "Z1", qubit_order="big-endian")).expectation(x)
        assert_close(model.with_params({"theta": theta, "phi": phi}).expectation(x), expected, 1e-9, 1.0)
    with_sine = only(hq.from_qasm(text.replace("ry(2*a)", "ry(sin(a))"), "Z0", qubit_order="big-endian", params=params))
    assert_close(with_sine.expectation([1, 0, 0, 0]), np.cos(np.sin(0.3)), 1e-9, 1.0)
    sensitivity = hq.parameter_sensitivity(model, x, baseline=0)
    assert set(sensitivity.names) == {"theta", "phi"}
    assert np.abs(sensitivity.derivatives).max() > 1e-3
    with pytest.raises(ValueError, match=r"symbols .*phi.*theta.* of the circuit are unresolved"):
        hq.from_qasm(text, "Z1", qubit_order="big-endian")


def test_files_and_registers(tmp_path: Path) -> None:
    path = tmp_path / "circuit.qasm"
    path.write_text(H2 + "qreg a[1]; qreg b[2]; x b[1]; cu(0.1, 0.2, 0.3, 0.4) a[0], b[0];")
    for source in (path, str(path)):
        model = only(hq.from_qasm(source, "Z2", qubit_order="big-endian"))
        assert model.qubits == tuple(cirq.LineQubit.range(3))
        assert model.expectation(np.eye(8)[1]) == 1  # X turns |001> into |000>
    with pytest.raises(FileNotFoundError):
        hq.from_qasm(tmp_path / "missing.qasm", "Z0", qubit_order="big-endian")


ANGLES = (-2.3, 0.7, 4.1, -0.4)


def u3(theta: float, phi: float, lam: float) -> Array:
    """Return the gate as the OpenQASM 2 specification writes it, with a real first entry."""
    c, s = np.cos(theta / 2), np.sin(theta / 2)
    return np.array([[c, -np.exp(1j * lam) * s], [np.exp(1j * phi) * s, np.exp(1j * (phi + lam)) * c]])


def controlled(matrix: Array, phase: float = 0.0) -> Array:
    return np.asarray(np.kron(np.diag([1, 0]), np.eye(2)) + np.kron(np.diag([0, 1]), np.exp(1j * phase) * matrix))


DEFINED = {
    "u3": u3(*ANGLES[:3]),
    "u2": u3(np.pi / 2, *ANGLES[:2]),
    "u1": u3(0, 0, ANGLES[0]),
    "cu1": controlled(u3(0, 0, ANGLES[0])),
    "cu3": controlled(u3(*ANGLES[:3])),
    "cu": controlled(u3(*ANGLES[:3]), ANGLES[3]),
}
NUMBERS = {"u3": 3, "u2": 2, "u1": 1, "cu1": 1, "cu3": 3, "cu": 4}


@pytest.mark.parametrize("name", DEFINED)
def test_gates_with_angles_of_several_turns_are_those_of_the_specification(name: str) -> None:
    expected, angles = DEFINED[name], ANGLES[: NUMBERS[name]]
    n = 1 if len(expected) == 2 else 2
    numbers, further = ", ".join(map(str, angles)), "".join(f", {angle}" for angle in angles[1:])
    target, inside = ", ".join(f"q[{i}]" for i in range(n)), ", ".join("st"[:n])
    direct = f"qreg q[{n}]; {name}({numbers}) {target};"
    defined = f"gate g(a) {inside} {{ {name}(a{further}) {inside}; }} qreg q[{n}]; g({angles[0]}) {target};"
    for text in (direct, defined):
        u = only(hq.from_qasm(H2 + text, "Z0", qubit_order="big-endian")).circuit.unitary()
        cirq.testing.assert_allclose_up_to_global_phase(u, expected, atol=1e-7)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (H2 + "qreg q[1]; nosuch q[0];", 'Cirq cannot read this OpenQASM: Unknown gate "nosuch" at line 2'),
        (H2 + "qreg q[1];\nh q[3];", "Out of bounds qubit index 3 on register q of size 1 at line 3"),
        ("qreg q[1]; h q[0];", "does not state its version"),
        (H2, "declares no qubit"),
        (3, "source=3 must be the text of an OpenQASM circuit, or the path of its file"),
        (H2 + "qreg q[1]; initialize(1,0) r[0];", "undefined register 'r'"),
    ],
)
def test_texts_that_describe_no_circuit_are_refused(source: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hq.from_qasm(source, "Z0", qubit_order="big-endian")
