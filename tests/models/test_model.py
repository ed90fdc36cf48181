"""The model against the dense oracle, and its validation, comparison and files."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import cirq
import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from strategies import Case, amplitudes, assert_close, cases, random_case, random_observable

from hattriq_cirq.circuits.light_cone import light_cone
from hattriq_cirq.models import model as model_module
from hattriq_cirq.models.ansatz import ring_ansatz
from hattriq_cirq.models.model import Form, Model
from hattriq_cirq.simulation import evolved_observable, statevector
from hattriq_cirq.simulation.evolved_observable import EvolvedObservable

A, B, C = cirq.LineQubit.range(3)
ANGLE = sympy.Symbol("angle")
FORMS: tuple[Form, ...] = ("quadratic", "normalized")
pytestmark = pytest.mark.usefixtures("gate_by_gate")


def test_light_cone_of_a_string_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Mock(wraps=light_cone)
    monkeypatch.setattr(model_module, "light_cone", counted)
    model = ring_ansatz(2, 1)
    for qubit in (*model.qubits, *model.qubits):
        pauli: cirq.PauliString[cirq.Qid] = cirq.PauliString(cirq.Z(qubit))
        assert model.light_cone(pauli) == light_cone(model.resolved_circuit, pauli)
    assert counted.call_count == 2


# against the oracle


@pytest.mark.parametrize("form", FORMS)
@given(case=cases(), imaginary=st.booleans(), rows=st.sampled_from([0, 1, 5]), seed=st.integers(0, 10**6))
def test_expectation_agrees_with_oracle(form: Form, case: Case, imaginary: bool, rows: int, seed: int) -> None:
    x = amplitudes(np.random.default_rng(seed), rows, case.features, imaginary=imaginary)
    assert_close(case.model.expectation(x, form=form), case.oracle(form).score(x))
    for row in x[:1]:
        value = case.model.expectation(row, form=form)
        assert_close(value, case.oracle(form).score(row), scale=float(np.linalg.norm(row)) ** 2)


@given(case=cases(), imaginary=st.booleans(), many=st.booleans(), seed=st.integers(0, 10**6))
def test_observable_action_equals_oracle_by_gates_and_by_matrix(case: Case, imaginary: bool, many: bool, seed: int) -> None:
    x = amplitudes(np.random.default_rng(seed), 2, case.features if many else 1, case.features, imaginary=imaginary)
    model, (matrix,) = case.model, case.matrices()
    assert_close(model.observable_action(x), x @ matrix.T)
    assert_close(model.observable_action(x, real_part=True), (x @ matrix.T).real, scale=np.abs(x @ matrix.T).max())
    if not many:
        assert_close(model.observable_action(x[0, 0]), matrix @ x[0, 0])


@given(case=cases(), imaginary=st.booleans(), seed=st.integers(0, 10**6))
def test_evolve_equals_unitary_and_adjoint(case: Case, imaginary: bool, seed: int) -> None:
    x = amplitudes(np.random.default_rng(seed), 3, case.features, imaginary=imaginary)
    u = np.asarray(case.circuit.unitary(qubit_order=case.qubits, qubits_that_should_be_present=case.qubits))
    assert_close(case.model.evolve(x), x @ u.T)
    assert_close(case.model.evolve(x, adjoint=True), x @ u.conj())


@given(case=cases())
def test_matrix_equals_oracle_and_is_cached_and_read_only(case: Case) -> None:
    model, (expected,) = case.model, case.matrices()
    assert_close(model.matrix, expected)
    assert model.matrix is model.matrix
    with pytest.raises(ValueError, match="read-only"):
        model.matrix[0, 0] = 1


def test_matrix_is_built_after_enough_rows_and_then_used(monkeypatch: pytest.MonkeyPatch) -> None:
    case = random_case(5, seed=1)
    few, many, in_parts = case.model, case.model, case.model
    few.observable_action(np.ones((2 * case.features - 1, case.features)))
    many.observable_action(np.ones((2 * case.features, case.features)))
    for _ in range(2):
        in_parts.observable_action(np.ones((case.features, case.features)))
    assert [model.keeps_matrix for model in (few, many, in_parts)] == [False, True, True]
    held, x = case.model, amplitudes(np.random.default_rng(0), case.features, imaginary=True)
    assert_close(held.matrix, case.matrices()[0])
    monkeypatch.delattr(EvolvedObservable, "_by_gates")  # no way but the matrix
    assert_close(held.observable_action(x), case.matrices()[0] @ x)


def test_small_matrix_is_kept_from_the_first_product_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evolved_observable, "_MATRIX_AT_ONCE", 8)
    small, larger = random_case(3, seed=1).model, random_case(4, seed=1).model
    for model in (small, larger):
        model.observable_action(np.ones(model.n_features))
    assert (small.keeps_matrix, larger.keeps_matrix) == (True, False)


def test_batches_larger_than_the_cache_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    case = random_case(4, seed=5)
    monkeypatch.setattr(statevector, "CHUNK", 2 * case.features)
    x = amplitudes(np.random.default_rng(0), 5, case.features, imaginary=True)
    assert_close(case.model.expectation(x), case.oracle().score(x))
    assert_close(case.model.observable_action(x), x @ case.matrices()[0].T)


@pytest.mark.parametrize("qsim_from", [1, 99])
@given(case=cases(), imaginary=st.booleans(), seed=st.integers(0, 10**6))
def test_single_precision_is_accurate_to_five_digits(qsim_from: int, case: Case, imaginary: bool, seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statevector, "QSIM_FROM", qsim_from)
        x = amplitudes(np.random.default_rng(seed), 2, case.features, imaginary=imaginary)
        size = 3 * float(np.sum(np.abs(x) ** 2, axis=1).max())
        model = case.model
        assert_close(model.expectation(x, precision="float32"), case.oracle().score(x), 1e-5, size)
        assert_close(model.observable_action(x, precision="float32"), x @ case.matrices()[0].T, 1e-5, np.abs(x).max() * 3)
        assert_close(model.evolve(model.evolve(x, precision="float32"), precision="float32", adjoint=True), x, 1e-5)
        assert model.evolve(x, precision="float32").dtype in (np.float32, np.complex64)


@pytest.mark.parametrize("qsim_from", [1, 99])
def test_zero_input_gives_zero_in_single_precision(qsim_from: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statevector, "QSIM_FROM", qsim_from)
    assert random_case(3, seed=2).model.expectation(np.zeros(8), precision="float32") == 0


# identity part


@given(st.integers(1, 4), st.integers(0, 10**6))
def test_traceless_removes_exactly_the_identity_part(n_qubits: int, seed: int) -> None:
    case = random_case(n_qubits, seed, identity=True)
    trace = np.trace(case.matrices()[0]).real / case.features
    assert_close(case.model.identity_part, trace)
    kept = case.model.traceless()
    assert kept.identity_part == 0
    assert_close(kept.matrix, case.matrices()[0] - trace * np.eye(case.features))
    assert kept.traceless() is kept


# values


def test_with_observable_and_with_params_return_other_models() -> None:
    model = Model(cirq.Circuit(cirq.ry(ANGLE)(A)), [A], cirq.Z(A), {"angle": 0.3})
    x = np.array([1.0, 0.0])
    assert_close(model.expectation(x), np.cos(0.3))
    model.matrix  # noqa: B018  # cached: must not leak into the others
    assert_close(model.with_params({"angle": 1.1}).expectation(x), np.cos(1.1))
    assert_close(model.with_observable(cirq.X(A)).expectation(x), np.sin(0.3))
    assert_close(model.with_observable(cirq.X(A)).matrix[0, 0], np.sin(0.3))
    assert model.expectation(x) == model.with_params({"angle": 0.3}).expectation(x)


def test_model_equality_and_hash() -> None:
    base = Model(cirq.Circuit(cirq.ry(ANGLE)(A), cirq.I(B)), [A, B], cirq.Z(A), {"angle": 0.3})
    again = Model(cirq.Circuit(cirq.ry(ANGLE)(A), cirq.I(B)), (A, B), 1.0 * cirq.Z(A), {"angle": 0.3})
    assert base == again
    assert hash(base) == hash(again)
    others = [
        base.with_params({"angle": 0.4}),
        base.with_observable(cirq.Z(B)),
        Model(base.circuit, [B, A], cirq.Z(A), {"angle": 0.3}),
        Model(cirq.Circuit(cirq.rx(ANGLE)(A), cirq.I(B)), [A, B], cirq.Z(A), {"angle": 0.3}),
    ]
    assert all(base != other for other in others)
    assert base != "base"


def test_model_can_be_copied_and_pickled() -> None:
    model = ring_ansatz(2, 1)
    assert copy.deepcopy(model) == model
    assert pickle.loads(pickle.dumps(model)) == model


def test_model_does_not_change_with_its_arguments() -> None:
    circuit, qubits, params = cirq.Circuit(cirq.ry(ANGLE)(A)), [A], {"angle": 0.3}
    observable = cirq.PauliSum.from_pauli_strings([cirq.PauliString(cirq.Z(A))])
    model = Model(circuit, qubits, observable, params)
    before = model.to_json()
    circuit.append(cirq.X(A))
    qubits.append(B)
    params["angle"] = 1.0
    observable += cirq.X(A)
    assert model.to_json() == before
    with pytest.raises(TypeError):
        model.params["angle"] = 1.0  # type: ignore[index]


def test_model_repr() -> None:
    assert repr(ring_ansatz(3, 1)) == "Model(3 qubits, 15 gates, 12 params, observable 1.0*Z(q(0)))"


@given(st.integers(1, 5), st.integers(0, 10**6))
def test_model_json_round_trip(n_qubits: int, seed: int) -> None:
    case = random_case(n_qubits, seed, identity=seed % 2 == 0)
    model = Model(case.circuit + cirq.X(case.qubits[0]) ** ANGLE, case.qubits, case.observable, {"angle": 0.1 + seed})
    again = Model.from_json(model.to_json())
    assert again == model
    x = amplitudes(np.random.default_rng(seed), case.features, imaginary=True)
    assert again.expectation(x) == model.expectation(x)


def test_model_file_round_trip_and_no_overwriting(tmp_path: Path) -> None:
    model, path = ring_ansatz(2, 1), tmp_path / "new" / "model.json"
    assert model.save(path) == path
    assert Model.load(path) == model
    content = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"model\.json exists and is not overwritten"):
        model.with_observable(cirq.X(A)).save(path)
    assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == ["model.json"]


WRITTEN = ring_ansatz(1, 0).to_json()
NOT_MODELS = {
    "nothing": "",
    "half": WRITTEN[: len(WRITTEN) // 2],
    "list": "[1, 2]",
    "no format": "{}",
    "another format": WRITTEN.replace("hattriq_cirq.Model/1", "hattriq_cirq.Model/99"),
    "only the format": '{"format": "hattriq_cirq.Model/1"}',
    "missing part": WRITTEN.replace('"circuit"', '"circus"'),
    "unknown class": WRITTEN.replace('"LineQubit"', '"LineQubyte"'),
    "bad field": WRITTEN.replace('"exponent": 1.0', '"exponent": []'),
    "bad params": WRITTEN.replace('"params": {', '"params": [], "spare": {'),
    "bad types": '{"format": "hattriq_cirq.Model/1", "circuit": 3, "qubits": [], "observable": 1, "params": {}}',
}


@pytest.mark.parametrize("name", NOT_MODELS)
def test_invalid_model_file_is_rejected(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(NOT_MODELS[name])
    assert NOT_MODELS[name] != WRITTEN
    with pytest.raises(ValueError, match=r"model\.json: not a model file"):
        Model.load(path)


def test_missing_or_binary_model_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        Model.load(tmp_path / "nothing.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"binary\.json"):
        Model.load(tmp_path / "binary.json")


# invalid arguments

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "unresolved symbol": (lambda: Model(cirq.Circuit(cirq.X(A) ** ANGLE), [A], cirq.Z(A)), "'angle'.*unresolved"),
    "unknown param": (lambda: Model(cirq.Circuit(cirq.X(A)), [A], cirq.Z(A), {"beta": 1}), "'beta'.*not symbols"),
    "nan param": (
        lambda: Model(cirq.Circuit(cirq.X(A) ** ANGLE), [A], cirq.Z(A), {"angle": np.nan}),
        "'angle'.*not finite",
    ),
    "infinite param": (
        lambda: Model(cirq.Circuit(cirq.X(A) ** ANGLE), [A], cirq.Z(A), {"angle": np.inf}),
        "'angle'.*not finite",
    ),
    "foreign circuit qubit": (lambda: Model(cirq.Circuit(cirq.CZ(A, C)), [A, B], cirq.Z(A)), r"circuit .*q\(2\)"),
    "foreign observable qubit": (lambda: Model(cirq.Circuit(), [A, B], cirq.Z(C)), r"observable .*q\(2\)"),
    "repeated qubits": (lambda: Model(cirq.Circuit(), [A, B, A], cirq.Z(A)), r"q\(0\).*must not repeat"),
    "no qubits": (lambda: Model(cirq.Circuit(), [], cirq.PauliString(coefficient=1)), "at least one data qubit"),
    "three levels": (lambda: Model(cirq.Circuit(), [cirq.LineQid(0, 3)], cirq.Z(A)), r"q\(0\).*not two-level"),
    "not Hermitian": (lambda: Model(cirq.Circuit(), [A], 1j * cirq.Z(A)), "not Hermitian.*Z"),
    "not Hermitian sum": (lambda: Model(cirq.Circuit(), [A], cirq.X(A) + 1j * cirq.Z(A)), "not Hermitian.*Z"),
    "nan observable": (lambda: Model(cirq.Circuit(), [A], np.nan * cirq.Z(A)), "Hermitian|finite"),
    "zero observable": (lambda: Model(cirq.Circuit(), [A], cirq.Z(A) - cirq.Z(A)), "observable is zero"),
    "zero string": (lambda: Model(cirq.Circuit(), [A], 0.0 * cirq.Z(A)), "observable is zero"),
    "not an observable": (
        lambda: Model(cirq.Circuit(), [A], 3),  # type: ignore[arg-type]
        "observable=3 must be a cirq.PauliString or cirq.PauliSum, a label",
    ),
    "unreadable label": (lambda: Model(cirq.Circuit(), [A], "Z"), "observable='Z' cannot be read at 'Z'"),
    "foreign new observable": (lambda: ring_ansatz(1, 0).with_observable(cirq.Z(C)), r"observable .*q\(2\)"),
    "form": (lambda: ring_ansatz(1, 0).expectation([1, 0], form="cubic"), "form='cubic' must be"),  # type: ignore[arg-type]
    "precision": (lambda: ring_ansatz(1, 0).evolve([1, 0], precision="half"), "precision='half'"),  # type: ignore[arg-type]
    "features": (lambda: ring_ansatz(2, 0).expectation(np.ones((3, 5))), r"x.shape=\(3, 5\) must end in .* 4"),
    "scalar": (lambda: ring_ansatz(2, 0).evolve(1.0), "features axis"),
    "text": (lambda: ring_ansatz(1, 0).evolve(["a", "b"]), "must hold numbers"),
    "nan": (lambda: ring_ansatz(1, 0).observable_action(np.diag([1, np.nan])), r"x\[1, 1\] = nan is not finite"),
    "blank": (lambda: ring_ansatz(1, 0).expectation([[1, 0], [0, 0]], form="normalized"), "row 1 of x is all zeros"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_models_and_inputs_are_rejected(name: str) -> None:
    build, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        build()


def test_pauli_string_and_pauli_sum_give_equal_models() -> None:
    rng = np.random.default_rng(0)
    string: cirq.PauliString[cirq.Qid] = cirq.PauliString({A: cirq.Z, B: cirq.Y}, coefficient=0.5)
    as_sum = cirq.PauliSum.from_pauli_strings([string])
    assert Model(cirq.Circuit(), [A, B], string) == Model(cirq.Circuit(), [A, B], as_sum)
    observable = random_observable([A, B], rng)
    assert Model(cirq.Circuit(), [A, B], observable).pauli_sum == observable
