"""Forms in which a model takes parameters and constants, what it keeps of them, and its copies and pickles."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest
import sympy

import hattriq_cirq as hq
from hattriq_cirq.models.model import Model

A, B = cirq.LineQubit.range(2)
X = np.array([0.5, 0.5, 0.3, -0.4])
ALPHA, BETA = sympy.symbols("alpha beta")


class Custom(cirq.Gate):
    """A gate that Cirq's JSON does not know."""

    def __init__(self, angle: float) -> None:
        self.angle = angle

    def _num_qubits_(self) -> int:
        return 1

    def _unitary_(self) -> Any:
        return cirq.unitary(cirq.ry(self.angle))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Custom) and self.angle == other.angle

    def __hash__(self) -> int:
        return hash(self.angle)


PARAMS: dict[str, Any] = {
    "map": {"alpha": 0.3},
    "resolver": cirq.ParamResolver({"alpha": 0.3}),
    "SymPy symbol": {ALPHA: 0.3},
    "resolver of a symbol": cirq.ParamResolver({ALPHA: 0.3}),
    "expression of another entry": {"alpha": 2 * BETA, "beta": 0.15},
    "resolver with nested values": cirq.ParamResolver({"alpha": BETA, BETA: 0.3}),
    "resolver of a resolver": cirq.ParamResolver(cirq.ParamResolver({"alpha": 0.3})),
    "SymPy number": {"alpha": sympy.Float(0.3)},
    "NumPy number": {"alpha": np.float64(0.3)},
    "array without axes": {"alpha": np.array(0.3)},
}


@pytest.mark.parametrize("name", PARAMS)
def test_parameters_in_any_form(name: str) -> None:
    model = Model(cirq.Circuit(cirq.rx(ALPHA)(A)), [A], cirq.Z(A), PARAMS[name])
    assert dict(model.params) == {"alpha": 0.3}
    assert model == model.with_params(PARAMS[name])
    assert model.expectation([1, 0]) == pytest.approx(np.cos(0.3))


def test_parameters_may_be_constants_and_integers() -> None:
    circuit = cirq.Circuit(cirq.rx(ALPHA)(A))
    for value, number in ((sympy.pi / 2, np.pi / 2), (np.int64(2), 2.0), (sympy.Integer(1), 1.0), (np.float32(0.5), 0.5)):
        assert Model(circuit, [A], cirq.Z(A), {"alpha": value}).params["alpha"] == number


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"alpha": BETA, "beta": ALPHA}, "depends on itself"),
        ({"alpha": BETA}, r"params\['alpha'\].*must be a number"),
        ({"alpha": "0.3"}, r"params\['alpha'\].*must be a number"),
        ({"alpha": True}, r"params\['alpha'\].*must be a number"),
        ({"alpha": 1j}, r"params\['alpha'\].*must be a number"),
        ({"alpha": sympy.I}, r"params\['alpha'\].*must be a number"),
        ({"alpha": 0.1, ALPHA: 0.2}, "name a symbol twice"),
        ({"alpha": 0.1, "gamma": 0.2}, "'gamma'.*not symbols of the circuit"),
        ({3: 0.1}, "no name of a symbol"),
        ([("alpha", 0.1)], "must be a map from names to numbers"),
        (0.3, "must be a map from names to numbers"),
    ],
)
def test_wrong_parameters_are_refused(params: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Model(cirq.Circuit(cirq.rx(ALPHA)(A)), [A], cirq.Z(A), params)


CONSTANTS: dict[str, tuple[cirq.Operation, cirq.Operation]] = {
    "pi / 2": (cirq.rx(sympy.pi / 2)(A), cirq.rx(np.pi / 2)(A)),
    "a - a": (cirq.ry(ALPHA - ALPHA)(A), cirq.ry(0)(A)),
    "square root": ((cirq.X ** sympy.sqrt(2))(A), (cirq.X ** np.sqrt(2))(A)),
    "rational": (cirq.CZ(A, B) ** sympy.Rational(1, 3), cirq.CZ(A, B) ** (1 / 3)),
    "controlled": (cirq.rx(sympy.pi / 3)(A).controlled_by(B), cirq.rx(np.pi / 3)(A).controlled_by(B)),
    "tagged": (cirq.rx(sympy.pi / 3)(A).with_tags("tag"), cirq.rx(np.pi / 3)(A)),
    "two angles": (cirq.FSimGate(sympy.pi / 3, 0.2)(A, B), cirq.FSimGate(np.pi / 3, 0.2)(A, B)),
    "PhasedXZ": (
        cirq.PhasedXZGate(x_exponent=sympy.Rational(1, 4), z_exponent=0.2, axis_phase_exponent=sympy.sqrt(2))(B),
        cirq.PhasedXZGate(x_exponent=0.25, z_exponent=0.2, axis_phase_exponent=np.sqrt(2))(B),
    ),
    "in a subcircuit": (
        cirq.CircuitOperation(cirq.FrozenCircuit(cirq.rx(sympy.pi / 3)(A))),
        cirq.rx(np.pi / 3)(A),
    ),
    "bound in a subcircuit": (
        cirq.CircuitOperation(cirq.FrozenCircuit(cirq.rx(ALPHA)(A)), param_resolver={"alpha": sympy.pi / 3}),
        cirq.rx(np.pi / 3)(A),
    ),
    "in a nested subcircuit": (
        cirq.CircuitOperation(
            cirq.FrozenCircuit(cirq.CircuitOperation(cirq.FrozenCircuit(cirq.ry(sympy.pi / 3)(A)), repetitions=2))
        ),
        cirq.ry(2 * np.pi / 3)(A),
    ),
}


@pytest.mark.parametrize("with_symbol", [False, True])
@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_of_sympy_are_numbers(name: str, with_symbol: bool) -> None:
    constant, number = CONSTANTS[name]
    rest = [cirq.H(A), cirq.ry(BETA)(B)] if with_symbol else [cirq.H(A), cirq.ry(0.4)(B)]
    params = {"beta": 0.4} if with_symbol else {}
    model, plain = (Model(cirq.Circuit(*rest, op, cirq.CNOT(A, B)), [A, B], cirq.Z(B), params) for op in (constant, number))
    np.testing.assert_allclose(model.expectation(X), plain.expectation(X), atol=1e-15)
    found = hq.integrated_gradients(
        model, X, baseline=0, estimator=hq.ResolvedHadamardTest(), engine=hq.cirq_simulator(), shots=None
    )
    np.testing.assert_allclose(found.values, hq.integrated_gradients(plain, X, baseline=0).values, atol=1e-14)


def test_constants_of_sympy_in_a_circuit_for_an_engine() -> None:
    circuit = cirq.Circuit(cirq.ry(sympy.pi / 2)(A), cirq.measure(A))
    for engine in (hq.qsim(), hq.cirq_simulator()):
        np.testing.assert_allclose(engine.run([circuit], None)[0].probabilities, [0.5, 0.5], atol=1e-6)


def test_constants_of_sympy_in_the_observable() -> None:
    string: cirq.PauliString[cirq.Qid] = cirq.PauliString({A: cirq.Z}, coefficient=sympy.pi / 2)
    for observable in (string, string + 0.0 * cirq.X(B)):
        assert Model(cirq.Circuit(), [A, B], observable).expectation([1, 0, 0, 0]) == pytest.approx(np.pi / 2)
    with pytest.raises(ValueError, match=r"coefficient=.*alpha has symbols"):
        Model(cirq.Circuit(), [A], cirq.PauliString({A: cirq.Z}, coefficient=ALPHA))


# nothing mutable is kept or handed out


def test_observable_cannot_be_changed_in_place() -> None:
    given = 1.0 * cirq.Z(A) + 0.5 * cirq.X(B)
    model = Model(cirq.Circuit(), [A, B], given)
    before, text = model.expectation(X), str(model.observable)
    given += 10.0 * cirq.X(A)
    handed_out = model.observable
    handed_out += 10.0 * cirq.X(A)
    handed_out *= 3
    other = model.pauli_sum
    other -= cirq.Z(A)
    assert str(model.observable) == text
    assert model.expectation(X) == before
    assert hq.resources(model, X, 0, hq.ResolvedHadamardTest()).circuits == 2
    with pytest.raises(AttributeError):
        model.observable = given  # type: ignore[misc]


def test_gate_matrices_and_parameter_maps_of_subcircuits_are_copied() -> None:
    matrix, params = cirq.unitary(cirq.ry(0.4)), {"alpha": 0.3}
    inner = cirq.CircuitOperation(cirq.FrozenCircuit(cirq.ry(ALPHA)(B)), param_resolver=params)
    circuit = cirq.Circuit(cirq.MatrixGate(matrix)(A), cirq.MatrixGate(matrix)(A).controlled_by(B), inner)
    model = Model(circuit, [A, B], cirq.Z(A) * cirq.Z(B))
    json, before = model.to_json(), model.expectation(X)
    matrix[:] = np.eye(2)
    params["alpha"] = 2.0
    circuit.append(cirq.X(A))
    assert model.to_json() == json
    assert Model.from_json(json).expectation(X) == before == model.with_observable(model.observable).expectation(X)


def test_params_cannot_be_changed() -> None:
    given = {"alpha": 0.3}
    model = Model(cirq.Circuit(cirq.rx(ALPHA)(A)), [A], cirq.Z(A), given)
    given["alpha"] = 2.0
    assert model.params["alpha"] == 0.3
    with pytest.raises(TypeError):
        model.params["alpha"] = 2.0  # type: ignore[index]


# the observable in full


@pytest.mark.parametrize(
    ("observable", "text"),
    [
        (1.0 * cirq.Z(A), "1.0*Z(q(0))"),
        (1e-4 * cirq.Z(A), "0.0001*Z(q(0))"),
        (cirq.Z(B) * cirq.X(A) / 3, "0.3333333333333333*X(q(0))*Z(q(1))"),
        (0.25 * cirq.Z(B) - cirq.Z(A) + 1e-30, "1e-30*I-1.0*Z(q(0))+0.25*Z(q(1))"),
    ],
)
def test_observable_is_recorded_in_full(observable: cirq.PauliSum, text: str) -> None:
    model = Model(cirq.Circuit(), [A, B], observable)
    assert model.observable_text == text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hattriq_cirq.attribution.path_integral.warn_of_identity_part", lambda _: None)
        assert hq.integrated_gradients(model, X, baseline=0).assumptions.observables == (text,)


# copies


def custom_model() -> Model:
    return Model(cirq.Circuit(Custom(0.3)(A), cirq.CNOT(A, B)), [A, B], 1.0 * cirq.Z(B) + 0.5 * cirq.X(A) * cirq.Y(B))


COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


@pytest.mark.parametrize("name", COPIES)
def test_model_with_a_gate_of_ones_own_is_copied(name: str) -> None:
    model = custom_model()
    again = COPIES[name](model)
    assert again == model
    assert hash(again) == hash(model)
    np.testing.assert_array_equal(again.expectation(X), model.expectation(X))
    inside = COPIES[name]({"models": [model, model]})
    assert inside["models"][1] == model


def test_model_with_a_gate_that_json_does_not_know_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot be saved.*use pickle"):
        custom_model().save(tmp_path / "model.json")
    assert list(tmp_path.iterdir()) == []


def test_pickle_is_read_in_a_process_with_another_hash_seed(tmp_path: Path) -> None:
    model = hq.ring_ansatz(3, 1)
    (tmp_path / "model").write_bytes(pickle.dumps({model: 1}))
    code = (
        "import pickle, sys, hattriq_cirq as hq; held = pickle.load(open(sys.argv[1], 'rb')); print(held[hq.ring_ansatz(3, 1)])"
    )
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    command = [sys.executable, "-c", code, str(tmp_path / "model")]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.split() == ["1"]
