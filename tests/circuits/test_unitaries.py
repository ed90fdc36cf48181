"""Gates as matrices: checks of what claims to be unitary, commutation to rounding, and inverses of gates without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cirq
import numpy as np
import pytest

import hattriq_cirq as hq
from hattriq_cirq.circuits.light_cone import light_cone
from hattriq_cirq.circuits.unitaries import commute, inverse_circuit, unitary_matrix
from hattriq_cirq.models.model import Model

A, B, C, D = cirq.LineQubit.range(4)
HADAMARD = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
EXACT = hq.cirq_simulator()


class MatrixOnly(cirq.Gate):
    """A gate with a matrix and nothing else."""

    def __init__(self, matrix: Any, qubits: int = 1) -> None:
        self.matrix, self.qubits = matrix, qubits

    def _num_qubits_(self) -> int:
        return self.qubits

    def _unitary_(self) -> Any:
        return self.matrix


class Applied(MatrixOnly):
    """A gate that multiplies the state by its matrix."""

    def _unitary_(self) -> Any:
        return NotImplemented

    def _has_unitary_(self) -> bool:
        return True

    def _apply_unitary_(self, args: cirq.ApplyUnitaryArgs) -> Any:
        (axis,) = args.axes
        return np.moveaxis(np.tensordot(self.matrix, args.target_tensor, (1, axis)), 0, axis).astype(args.target_tensor.dtype)


class Decomposed(MatrixOnly):
    """A gate of another gate."""

    def _unitary_(self) -> Any:
        return NotImplemented

    def _decompose_(self, qubits: Any) -> Any:
        return [MatrixOnly(self.matrix)(qubits[0])]


class Claiming(MatrixOnly):
    """A gate that claims to be unitary and has no matrix."""

    def _has_unitary_(self) -> bool:
        return True

    def _unitary_(self) -> Any:
        return NotImplemented


class Failing(MatrixOnly):
    """A gate whose matrix cannot be computed."""

    def _unitary_(self) -> Any:
        raise ZeroDivisionError("angle")


ROW_CASE = np.array([[1.0, 1.0], [1.0, -1.0]])
NOT_UNITARY: dict[str, Callable[[], cirq.Gate]] = {
    "matrix": lambda: MatrixOnly(ROW_CASE),
    "zero": lambda: MatrixOnly(np.zeros((2, 2))),
    "slightly": lambda: MatrixOnly(np.diag([1, 1 + 1e-5])),
    "NaN": lambda: MatrixOnly(np.array([[1, 0], [0, np.nan]])),
    "infinite": lambda: MatrixOnly(np.array([[1, 0], [0, np.inf]])),
    "larger matrix": lambda: MatrixOnly(np.eye(4)),
    "flat matrix": lambda: MatrixOnly(np.ones(2)),
    "text": lambda: MatrixOnly([["a", "b"], ["c", "d"]]),
    "applied to the state": lambda: Applied(ROW_CASE),
    "in a decomposition": lambda: Decomposed(ROW_CASE),
    "in a wide decomposition": lambda: Decomposed(ROW_CASE, 5),
    "controlled": lambda: MatrixOnly(ROW_CASE).controlled(),
    "five qubits": lambda: MatrixOnly(2 * np.eye(32), 5),
    "claims only": lambda: Claiming(None),
    "fails": lambda: Failing(None),
    "unchecked by Cirq": lambda: cirq.MatrixGate(ROW_CASE, unitary_check=False),
    "NaN exponent": lambda: cirq.X**np.nan,
    "NaN angle": lambda: cirq.FSimGate(np.nan, 0.1),
}


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("name", NOT_UNITARY)
@pytest.mark.parametrize("nested", [False, True])
def test_gate_that_is_not_unitary_is_refused_by_name(name: str, nested: bool) -> None:
    gate = NOT_UNITARY[name]()
    qubits = cirq.LineQubit.range(max(2, cirq.num_qubits(gate)))
    operation: cirq.Operation = gate.on(*qubits[: cirq.num_qubits(gate)])
    circuit = cirq.Circuit(cirq.CircuitOperation(cirq.FrozenCircuit(operation)) if nested else operation)
    with pytest.raises(ValueError, match=r"is not unitary|has no matrix|has a matrix of shape"):
        Model(circuit, qubits, cirq.X(qubits[0]))


def test_message_names_the_gate_and_the_deviation() -> None:
    with pytest.raises(ValueError, match=r"MatrixOnly.*is not unitary.*1\.0e\+00, above 1e-06"):
        Model(cirq.Circuit(MatrixOnly(ROW_CASE)(A)), [A], cirq.X(A))


@pytest.mark.parametrize("gate", [MatrixOnly(HADAMARD), Applied(HADAMARD), Decomposed(HADAMARD), Decomposed(HADAMARD, 5)])
def test_unitary_gates_of_any_kind_are_accepted(gate: cirq.Gate) -> None:
    qubits = cirq.LineQubit.range(cirq.num_qubits(gate))
    model = Model(cirq.Circuit(gate(*qubits)), qubits, cirq.X(A))
    np.testing.assert_allclose(model.expectation(np.eye(model.n_features)[0]), 1, atol=1e-15)


def test_matrices_in_single_precision_are_accepted() -> None:
    gate = MatrixOnly(HADAMARD.astype(np.complex64))
    assert Model(cirq.Circuit(gate(A)), [A], cirq.X(A)).expectation([1, 0]) == pytest.approx(1, abs=1e-6)
    assert unitary_matrix(gate(A)).dtype == np.complex128


# commutation


@pytest.mark.parametrize("angle", [1e-3, 1e-6, 1e-8, 1e-10, 1e-12])
@pytest.mark.parametrize(
    ("gate", "other"),
    [
        (cirq.rx, cirq.CZ(A, B)),
        (cirq.ry, cirq.CZ(A, B)),
        (cirq.rz, cirq.CNOT(B, A)),
        (cirq.rz, cirq.Y(A)),
        (cirq.rx, cirq.H(A)),
    ],
)
def test_small_angles_do_not_commute(gate: Callable[[float], cirq.Gate], other: cirq.Operation, angle: float) -> None:
    assert not commute(gate(angle)(A), other)
    assert not commute(gate(angle).controlled()(C, A), other)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (cirq.rz(0.3)(A), cirq.CZ(A, B)),
        (cirq.rx(0.3)(B), cirq.CNOT(A, B)),
        (cirq.ZZ(A, B) ** 0.123, cirq.CCZ(B, C, A) ** 0.4),
        (cirq.XX(A, B) ** 0.123, cirq.XX(B, C) ** 0.7),
        (cirq.FSimGate(0.3, 0.7)(A, B), cirq.ISWAP(B, A) ** 0.2),
        (cirq.rx(0.3)(A), cirq.Y(B)),
        (cirq.global_phase_operation(1j), cirq.Y(B)),
        (cirq.Z(D).controlled_by(A, B, C), cirq.Z(C) ** 0.1),
    ],
)
def test_commuting_gates_commute(first: cirq.Operation, second: cirq.Operation) -> None:
    assert commute(first, second)
    assert commute(second, first)


@pytest.mark.parametrize("step", [1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize(
    "estimator",
    [
        hq.ResolvedHadamardTest(),
        hq.HadamardTest(),
        hq.HadamardTest(literal=True),
        hq.ParallelHadamardTest(2),
        hq.PolarizationShift(),
    ],
    ids=lambda e: e.describe(),
)
def test_derivative_of_the_map_by_a_small_angle(estimator: hq.estimators.Estimator, step: float) -> None:
    def values(angle: float) -> Any:
        circuit = cirq.Circuit(
            cirq.ry(0.4)(A), cirq.CNOT(A, B), cirq.ZZPowGate(exponent=angle / np.pi)(A, B), cirq.rz(angle)(B)
        )
        model, y = Model(circuit, [A, B], 1.0 * cirq.Y(B)), [0.6, 0.2, 0.5, 0.3]
        return hq.integrated_gradients(model, y, baseline=0, estimator=estimator, engine=EXACT, shots=None).values

    derivative = (values(step) - values(-step)) / (2 * step)
    np.testing.assert_allclose(derivative, [0.16043202, 0.19158549, -0.02710098, -0.05825445], atol=1e-7 + 1e-14 / step)


def test_light_cone_without_a_small_rotation_changes_nothing_but_rounding() -> None:
    circuit = cirq.Circuit(cirq.H(A), cirq.rx(1e-15)(A), cirq.rx(1e-13)(B), cirq.CZ(A, B))
    kept = light_cone(circuit, cirq.PauliString(cirq.Z(A)))
    assert list(kept.all_operations()) == [cirq.H(A)]
    kept = light_cone(circuit, cirq.PauliString(cirq.Z(B)))
    assert list(kept.all_operations()) == [cirq.rx(1e-13)(B)]


# inverses

PAIR = cirq.testing.random_unitary(4, random_state=1)
WITHOUT_INVERSE: dict[str, cirq.Operation] = {
    "matrix only": MatrixOnly(HADAMARD @ np.diag([1, 1j]))(A),
    "two qubits": MatrixOnly(PAIR, 2)(B, A),
    "three qubits": MatrixOnly(cirq.testing.random_unitary(8, random_state=2), 3)(C, A, B),
    "applied": Applied(HADAMARD)(A),
    "decomposed": Decomposed(HADAMARD)(B),
    "decomposed, four qubits": Decomposed(HADAMARD, 4)(A, B, C, D),
    "tagged": MatrixOnly(PAIR, 2)(B, A).with_tags("a tag"),
    "controlled": MatrixOnly(PAIR, 2)(B, A).controlled_by(C, control_values=[0]),
    "in a subcircuit": cirq.CircuitOperation(cirq.FrozenCircuit(cirq.H(A), MatrixOnly(PAIR, 2)(A, B)), repetitions=3),
    "in a nested subcircuit": cirq.CircuitOperation(
        cirq.FrozenCircuit(cirq.CircuitOperation(cirq.FrozenCircuit(cirq.S(A), MatrixOnly(PAIR, 2)(A, B))))
    ),
}


@pytest.mark.parametrize("name", WITHOUT_INVERSE)
def test_circuit_is_inverted(name: str) -> None:
    circuit = cirq.Circuit(cirq.H.on_each(A, B, C, D), cirq.T(A), WITHOUT_INVERSE[name], cirq.CNOT(A, C))
    product = (circuit + inverse_circuit(circuit)).unitary(qubit_order=[A, B, C, D])
    np.testing.assert_allclose(product, np.eye(16), atol=1e-12)


@pytest.mark.parametrize("name", ["matrix only", "three qubits", "controlled", "in a nested subcircuit"])
@pytest.mark.parametrize("estimator", [hq.ResolvedHadamardTest(), hq.HadamardTest(literal=True)], ids=lambda e: e.describe())
@pytest.mark.parametrize("engine", [hq.qsim(), EXACT], ids=lambda e: e.name)
def test_estimators_take_gates_without_an_inverse(name: str, estimator: hq.estimators.Estimator, engine: Any) -> None:
    model = Model(cirq.Circuit(cirq.H(A), WITHOUT_INVERSE[name], cirq.CNOT(A, B)), [A, B, C], 1.0 * cirq.Z(B))
    x = np.random.default_rng(0).normal(size=8)
    found = hq.integrated_gradients(model, x, baseline=0, estimator=estimator, engine=engine, shots=None)
    np.testing.assert_allclose(found.values, hq.integrated_gradients(model, x, baseline=0).values, atol=1e-5)


def test_wide_gate_without_an_inverse_is_named() -> None:
    wide = MatrixOnly(cirq.testing.random_unitary(16, random_state=3), 4)
    model = Model(cirq.Circuit(wide(A, B, C, D)), [A, B, C, D], 1.0 * cirq.Z(A))
    with pytest.raises(ValueError, match=r"MatrixOnly.*has no inverse.*__pow__"):
        hq.prepare(model, np.ones(16), baseline=0, estimator=hq.ResolvedHadamardTest(), engine=EXACT, shots=None).execute()
