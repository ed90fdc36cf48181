"""Models with measurements, feed-forward, resets and noise, against sums over Kraus operators and Cirq's density matrices."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import cirq
import numpy as np
import oracle
import pytest
import sympy
from channel_circuits import CASES, CONFUSION, OBSERVABLE, QUBITS, A, B, C, K, M, entangler, random_channel_circuit
from strategies import amplitudes, assert_close

from hattriq_cirq.attribution.path_integral import exact_attribution
from hattriq_cirq.models import channels
from hattriq_cirq.models.model import IdentityPartWarning, Model

INPUTS = amplitudes(np.random.default_rng(0), 4, 8, imaginary=True)


def by_states(model: Model) -> oracle.Array:
    """Return M by the unitary circuit on data and environment qubits."""
    return model.dilated().matrix


def by_strings(model: Model) -> oracle.Array:
    """Return M by the Heisenberg picture."""
    noisy = model.dilated(noise=False)
    return channels.heisenberg(noisy).full_matrix


@pytest.mark.parametrize("way", [by_states, by_strings])
@pytest.mark.parametrize("name", CASES)
def test_matrix_equals_the_sum_over_kraus_operators_in_every_way(name: str, way: Callable[[Model], Any]) -> None:
    case = CASES[name]
    assert_close(way(case.model), case.matrix)


@pytest.mark.parametrize("name", CASES)
def test_every_quantity_follows_from_that_matrix(name: str) -> None:
    case, model = CASES[name], CASES[name].model
    judge = oracle.Oracle([case.matrix])
    assert not model.is_unitary
    assert_close(model.observable_action(INPUTS), INPUTS @ case.matrix.T)
    assert_close(model.expectation(INPUTS), judge.score(INPUTS))
    assert_close(model.dilated().expectation(INPUTS), judge.score(INPUTS))
    trace = np.trace(case.matrix).real / 8
    assert abs(model.identity_part - trace) < 1e-12
    kept = model.traceless()
    assert abs(kept.identity_part) < 1e-12
    assert_close(kept.matrix, case.matrix - trace * np.eye(8))


@pytest.mark.parametrize("name", CASES)
def test_expectation_equals_the_density_matrix_of_cirq(name: str) -> None:
    x = INPUTS[0] / np.linalg.norm(INPUTS[0])
    circuit = cirq.Circuit(cirq.I.on_each(*QUBITS), CASES[name].circuit, cirq.I.on_each(*QUBITS))
    deferred = cirq.drop_terminal_measurements(cirq.defer_measurements(circuit))
    unread = cirq.map_operations(deferred, lambda op, _: [] if cirq.is_measurement(op) else op)
    register = [*QUBITS, *sorted(unread.all_qubits() - set(QUBITS))]
    start = np.kron(x, np.eye(1, 2 ** (len(register) - 3))[0]).astype(np.complex128)
    simulator = cirq.DensityMatrixSimulator(dtype=np.complex128)
    rho = simulator.simulate(unread, qubit_order=register, initial_state=start).final_density_matrix
    expected = np.trace(rho @ oracle.pauli_matrix(OBSERVABLE, register)).real
    assert abs(CASES[name].model.expectation(x) - expected) < 1e-12


@pytest.mark.parametrize("name", CASES)
def test_map_is_complete_and_is_the_shapley_value(name: str) -> None:
    model, (x, b) = CASES[name].model.traceless(), INPUTS[:2]
    trace = np.trace(CASES[name].matrix) / 8
    judge = oracle.Oracle([CASES[name].matrix - trace * np.eye(8)])
    found = exact_attribution([model], x, baseline=b)
    assert abs(found.values.sum() - (found.f_input - found.f_baseline)) < 1e-12 * np.abs(found.values).max()
    assert_close(found.values, judge.shapley(x, b), 1e-11)


SMALL = (201, 203, 205, 206, 207, 208, 211, 213, 214, 223, 225, 227, 235, 237, 241, 242, 248, 255)  # at most 7 further qubits


@pytest.mark.parametrize("seed", [37, 64, 185, *(pytest.param(seed, marks=pytest.mark.slow) for seed in SMALL)])
def test_random_circuits_have_the_same_matrix_in_every_way(seed: int) -> None:
    circuit = random_channel_circuit(seed)
    model = Model(circuit, QUBITS, OBSERVABLE)
    expected = oracle.channel_matrix(circuit, QUBITS, oracle.pauli_matrix(OBSERVABLE, QUBITS))
    assert_close(by_states(model), expected)
    assert_close(by_strings(model), expected)
    assert_close(channels.branch_tree(model.dilated(), largest=1).full_matrix, expected)


# the number of environment qubits


def environment_of(*operations: cirq.OP_TREE, observable: cirq.PauliSum | cirq.PauliString[cirq.Qid] = OBSERVABLE) -> int:
    circuit = entangler(0) + cirq.Circuit(operations)
    model = Model(circuit, QUBITS, observable)
    assert_close(model.dilated().matrix, oracle.channel_matrix(circuit, QUBITS, oracle.pauli_matrix(observable, QUBITS)))
    return len(model.dilated().environment)


POOLED = cirq.X(C) * cirq.Y(B)
NOT_NEEDED = {
    "control of a gate": [cirq.measure(A, key="m"), cirq.ry(0.4)(B).with_classical_controls("m")],
    "measured twice": [
        cirq.measure(A, key="m"),
        cirq.CZ(A, B),
        cirq.measure(A, key="m"),
        cirq.H(C).with_classical_controls("m"),
    ],
    "phase gates": [cirq.measure(A, key="m"), cirq.CZ(A, B), cirq.rz(0.3)(A), cirq.Y(C).with_classical_controls("m")],
    "dephasing": [cirq.measure(A, key="m"), cirq.H(B).with_classical_controls("m")],
    "two keys": [cirq.measure(A, key="m"), cirq.measure(B, key="k"), cirq.H(C).with_classical_controls(M > K)],
}


@pytest.mark.parametrize("name", NOT_NEEDED)
def test_measured_qubit_that_only_controls_needs_no_environment(name: str) -> None:
    observable = cirq.X(C) * cirq.Z(B) if name == "two keys" else POOLED
    assert environment_of(*NOT_NEEDED[name], observable=observable) == 0


NEEDED = {
    "gate on it": ([cirq.measure(A, key="m"), cirq.H(A)], 1),
    "observable on it": ([cirq.measure(A, key="m")], 1),
    "gate on it by its own outcome": ([cirq.measure(A, key="m"), cirq.X(A).with_classical_controls("m")], 1),
    "phase by its own outcome": ([cirq.measure(A, key="m"), cirq.S(A).with_classical_controls("m")], 1),
    "reset": ([cirq.reset(A)], 1),
    "measurement before a reset": ([cirq.measure(A, key="m"), cirq.reset(A), cirq.X(B).with_classical_controls("m")], 1),
    "reset by an outcome": ([cirq.measure(A, key="m"), cirq.reset(B).with_classical_controls("m")], 2),
    "readout errors that nothing depends on": (
        [cirq.MeasurementGate(1, "m", confusion_map=CONFUSION)(A)],
        1,
    ),
}


@pytest.mark.parametrize("name", NEEDED)
def test_measured_qubit_that_is_changed_needs_environment(name: str) -> None:
    operations, number = NEEDED[name]
    assert environment_of(*operations) == number


def test_symbol_counts_as_a_generic_angle() -> None:
    angle = sympy.Symbol("angle")
    circuit = cirq.Circuit(cirq.measure(A, key="m"), cirq.ry(angle)(A), cirq.H(B).with_classical_controls("m"))
    model = Model(circuit, QUBITS, OBSERVABLE, {"angle": 0.0})
    assert len(model.dilated().environment) == 1
    there = model.dilated().with_params({"angle": 0.9})
    resolved = cirq.resolve_parameters(circuit, {"angle": 0.9})
    assert_close(there.matrix, oracle.channel_matrix(resolved, QUBITS, oracle.pauli_matrix(OBSERVABLE, QUBITS)))


# further circuits

NAMED = [np.sqrt(0.3) * np.eye(2), np.sqrt(0.7) * np.array([[0, 1], [1, 0]])]
JOINT: dict[tuple[int, ...], oracle.Array] = {
    (0, 1): np.array([[0.7, 0.1, 0.1, 0.1], [0, 1, 0, 0], [0.2, 0, 0.8, 0], [0, 0.3, 0.3, 0.4]])
}
FURTHER: dict[str, list[cirq.Operation]] = {
    "channel with a key": [cirq.KrausChannel(NAMED, key="r").on(A), cirq.Z(B).with_classical_controls("r")],
    "mixture with a key": [
        cirq.MixedUnitaryChannel([(0.5, np.eye(2)), (0.25, cirq.unitary(cirq.X)), (0.25, cirq.unitary(cirq.H))], key="r").on(A),
        cirq.ry(0.3)(C).with_classical_controls(sympy.Eq(sympy.Symbol("r"), 2)),
    ],
    "equal measurements at both ends": [cirq.measure(A, key="m"), cirq.X(A), cirq.measure(A, key="m")],
    "bit mask with an index": [
        cirq.measure(A, B, key="m"),
        cirq.H(A),
        cirq.measure(A, B, key="m"),
        cirq.X(C).with_classical_controls(cirq.BitMaskKeyCondition("m", 0, 1, True, 1)),
    ],
    "readout errors of two qubits together": [
        cirq.MeasurementGate(3, "m", invert_mask=(False, True), confusion_map=JOINT)(A, B, C),
        cirq.ry(0.7)(A).with_classical_controls(M > 4),
    ],
    "noise on two qubits": [cirq.depolarize(0.3, n_qubits=2)(A, C)],
    "noise by an outcome": [cirq.measure(A, key="m"), cirq.amplitude_damp(0.4)(B).with_classical_controls("m")],
    "gate that happens by chance": [cirq.CNOT(A, B).with_probability(0.3)],
    "repeated sub-circuit": [
        cirq.CircuitOperation(
            cirq.FrozenCircuit(cirq.H(A), cirq.measure(A, key="m"), cirq.X(B).with_classical_controls("m")),
            repetitions=2,
            use_repetition_ids=False,
        )
    ],
    "sub-circuit by an outcome": [
        cirq.measure(A, key="m"),
        cirq.CircuitOperation(cirq.FrozenCircuit(cirq.H(B), cirq.CZ(B, C))).with_classical_controls("m"),
    ],
    "never": [cirq.measure(A, key="m"), cirq.H(B).with_classical_controls(M > 1)],
    "five measured qubits' worth of bits": [
        cirq.measure(A, B, C, key="m"),
        cirq.H(A),
        cirq.measure(A, B, key="k"),
        cirq.Y(C).with_classical_controls(sympy.Eq(M, 2 * K + 1)),
    ],
}


@pytest.mark.parametrize("name", FURTHER)
def test_further_channels_equal_the_sum_over_kraus_operators(name: str) -> None:
    circuit = entangler(1) + cirq.Circuit(FURTHER[name]) + entangler(2)
    model = Model(circuit, QUBITS, OBSERVABLE)
    unrolled = cirq.Circuit(map(unconditional, circuit.all_operations()))
    expected = oracle.channel_matrix(unrolled, QUBITS, oracle.pauli_matrix(OBSERVABLE, QUBITS))
    assert_close(by_states(model), expected)
    assert_close(by_strings(model), expected)
    if "with a key" in name:  # Cirq cannot hash them, which its files need
        with pytest.raises(ValueError, match=r"cannot be saved.*use pickle"):
            model.to_json()
    else:
        assert Model.from_json(model.to_json()) == model


def unconditional(operation: cirq.Operation) -> list[cirq.Operation]:
    """Return a conditional sub-circuit as conditional operations."""
    inner = operation.without_classical_controls()
    if not operation.classical_controls or not isinstance(inner, cirq.CircuitOperation):
        return [operation]
    return [op.with_classical_controls(*operation.classical_controls) for op in inner.mapped_circuit().all_operations()]


def test_controls_are_gates_with_one_assignment_each() -> None:
    for case in CASES.values():
        for operation in case.model.dilated().circuit.all_operations():
            if isinstance(operation, cirq.ControlledOperation):
                assert len(list(operation.control_values.expand())) == 1


def test_cheaper_way_is_chosen_by_size() -> None:
    noisy = Model(cirq.Circuit(cirq.H.on_each(*QUBITS)).with_noise(cirq.depolarize(0.1)), QUBITS, OBSERVABLE)
    pooled = Model(cirq.Circuit(cirq.measure(A, key="m"), cirq.X(B).with_classical_controls("m")), QUBITS, cirq.X(B))
    assert "M x by the Heisenberg picture" in repr(noisy)
    assert "1 measurement, 1 conditional operation" in repr(pooled)
    assert "M x by a unitary circuit with no extra qubit" in repr(pooled)
    many = cirq.Circuit((cirq.H(A), cirq.reset(A)) for _ in range(40))  # all but the last one cancel
    assert "1 environment qubit" in repr(Model(many, QUBITS, OBSERVABLE))


def test_model_that_fits_no_way_is_refused() -> None:
    qubits = cirq.LineQubit.range(13)
    noisy = cirq.Circuit(cirq.H.on_each(*qubits), cirq.CZ.on(*qubits[:2])).with_noise(cirq.amplitude_damp(0.1))
    model = Model(noisy, qubits, cirq.DensePauliString("Z" * 13).on(*qubits))
    with pytest.raises(ValueError, match=r"13 data and \d+ environment qubits, at most 22 at a time and 30 in all"):
        model.expectation(np.eye(1, 2**13)[0])


@pytest.mark.parametrize("name", CASES)
def test_branch_tree_equals_the_sum_over_kraus_operators(name: str) -> None:
    tree = channels.branch_tree(CASES[name].model.dilated(), largest=1)  # split whatever can be
    assert_close(tree.full_matrix, CASES[name].matrix)
    assert tree.widest == 3 + tree.environment - tree.branches
    joins_after_another = ("noise", "reset and reuse", "readout confusion with inverted bits", "key measured twice")
    assert (tree.branches > 0) == (name in joins_after_another)


def test_branches_limit_the_memory_of_many_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "_HEISENBERG_QUBITS_MAX", 0)
    monkeypatch.setattr(channels, "_STATE_QUBITS_MAX", 5)
    monkeypatch.setattr(channels, "_TRACE_MAX", 4)
    parts = [(entangler(i), cirq.measure(A, key="m"), cirq.ry(0.5)(B).with_classical_controls("m")) for i in range(5)]
    circuit = cirq.Circuit(parts, entangler(5))
    model = Model(circuit, QUBITS, OBSERVABLE)
    assert "M x by a tree of 8 branches" in repr(model)
    expected = oracle.channel_matrix(circuit, QUBITS, oracle.pauli_matrix(OBSERVABLE, QUBITS))
    assert_close(model.observable_action(INPUTS), INPUTS @ expected.T)
    with pytest.warns(IdentityPartWarning, match=r"was not computed; compare model\.identity_part"):
        exact_attribution([model], INPUTS, baseline=0)
    assert abs(model.identity_part - np.trace(expected).real / 8) < 1e-12


# the identity part


@pytest.mark.parametrize("name", ["noise", "measurement of a Pauli string"])
def test_identity_part_of_a_unital_circuit_is_that_of_the_observable(name: str) -> None:
    operations = [cirq.depolarize(0.2)(A), cirq.measure(B, key="m"), cirq.H(B), cirq.phase_damp(0.3)(B)]
    circuit = cirq.Circuit(entangler(1), operations, entangler(2))
    model = Model(circuit, QUBITS, OBSERVABLE + 0.25)
    assert model.identity_part == 0.25
    expected = oracle.channel_matrix(circuit, QUBITS, oracle.pauli_matrix(OBSERVABLE + 0.25, QUBITS))
    assert abs(np.trace(expected).real / 8 - 0.25) < 1e-12
    assert abs(CASES[name].model.identity_part - np.trace(CASES[name].matrix).real / 8) < 1e-12


def test_reset_of_the_read_qubit_copies_the_input_into_the_map() -> None:
    model = Model(cirq.Circuit(cirq.reset(A)), [A], cirq.Z(A))
    assert model.identity_part == pytest.approx(1.0)
    with pytest.warns(IdentityPartWarning, match=r"offset of the device.*traceless"):
        found = exact_attribution([model], [0.6, 0.8], baseline=0)
    assert_close(found.values, [0.36, 0.64])
    assert_close(model.traceless().observable_action([0.6, 0.8]), [0.0, 0.0], scale=1.0)


# models as values


@pytest.mark.parametrize("name", CASES)
def test_channel_model_survives_files_and_pickles(name: str) -> None:
    model = Model(CASES[name].circuit, QUBITS, OBSERVABLE, record="1" if name == "noise" else None)
    assert Model.from_json(model.to_json()) == model
    assert pickle.loads(pickle.dumps(model)) == model
    assert '"hattriq_cirq.Model/2"' in model.to_json()


def test_environment_of_a_unitary_model_is_its_own() -> None:
    model = Model(cirq.Circuit(cirq.CNOT(A, B), cirq.H(B)), [A], cirq.X(B) * cirq.Z(A), environment=[B])
    assert (model.n_features, model.register) == (2, (A, B))
    u = oracle.unitary(model.resolved_circuit.unfreeze(), [A, B])
    whole = u.conj().T @ oracle.pauli_matrix(cirq.X(B) * cirq.Z(A), [A, B]) @ u
    assert_close(model.matrix, whole[::2, ::2])
    assert model.dilated() is model
    assert repr(model).endswith(
        "1 environment qubit, observable 1.0*Z(q(0))*X(q(1)), M x by a unitary circuit with 1 environment qubit)"
    )
    assert Model.from_json(model.to_json()) == model
    with pytest.raises(ValueError, match="amplitudes of the environment"):
        model.evolve([1, 0])


# outcomes as part of the answer


def sign(record: oracle.Record) -> float:
    return float((-1) ** record["m"][-1][0])


@pytest.mark.parametrize("record", ["(-1)**m", (-1) ** M, lambda outcomes: 1 - 2 * outcomes["m"]])
def test_record_weighs_every_branch(record: Any) -> None:
    circuit = CASES["measurement with feed-forward"].circuit
    model = Model(circuit, QUBITS, OBSERVABLE, record=record)
    expected = oracle.channel_matrix(circuit, QUBITS, oracle.pauli_matrix(OBSERVABLE, QUBITS), sign)
    assert_close(by_states(model), expected)
    assert_close(by_strings(model), expected)
    assert Model.from_json(model.to_json()) == model
    trace = np.trace(expected).real / 8
    assert_close(model.traceless().matrix, expected - trace * np.eye(8))


def test_record_of_inverted_bits_and_of_several_keys() -> None:
    circuit = entangler(3) + cirq.Circuit(
        cirq.MeasurementGate(2, "m", invert_mask=(True, False), confusion_map=CONFUSION)(A, B), cirq.measure(C, key="k")
    )

    def weight(r: oracle.Record) -> float:
        return 2 * r["m"][-1][0] + r["m"][-1][1] + 0.5 * r["k"][-1][0] ** 2

    model = Model(circuit, QUBITS, cirq.PauliString(), record="m + k**2/2")
    assert_close(model.matrix, oracle.channel_matrix(circuit, QUBITS, np.eye(8), weight))


@pytest.mark.parametrize("accepted", [{"m": 0}, {"m": [0]}, "1 - m", sympy.Eq(M, 0), lambda outcomes: outcomes["m"] == 0])
def test_postselection_is_a_ratio_of_two_forms(accepted: Any) -> None:
    circuit = CASES["measurement with feed-forward"].circuit
    model = Model(circuit, QUBITS, OBSERVABLE, postselect=accepted)

    def zero(record: oracle.Record) -> float:
        return float(record["m"][-1][0] == 0)

    above = oracle.channel_matrix(circuit, QUBITS, oracle.pauli_matrix(OBSERVABLE, QUBITS), zero)
    below = oracle.channel_matrix(circuit, QUBITS, np.eye(8), zero)
    assert_close(model.numerator.matrix, above)
    assert_close(model.denominator.matrix, below)
    expected = [(x.conj() @ above @ x).real / (x.conj() @ below @ x).real for x in INPUTS]
    assert_close(model.expectation(INPUTS), expected)
    assert Model.from_json(model.to_json()) == model


def test_branches_of_all_outcomes_sum_to_the_whole_matrix() -> None:
    case = CASES["two keys with conditions of SymPy"]
    accepted = ({"m": 0, "k": 1}, {"m": [1, 2, 3], "k": 1}, {"k": 0})
    parts = [Model(case.circuit, QUBITS, OBSERVABLE, postselect=each).numerator.matrix for each in accepted]
    assert_close(sum(parts), case.matrix)


# refusals

UNTIL = cirq.CircuitOperation(
    cirq.FrozenCircuit(cirq.H(A), cirq.measure(A, key="m")),
    use_repetition_ids=False,
    repeat_until=cirq.KeyCondition(cirq.MeasurementKey("m")),
)


class Half(cirq.Gate):
    """Half of a channel."""

    def _num_qubits_(self) -> int:
        return 1

    def _kraus_(self) -> list[Any]:
        return [np.eye(2) / 2]


def measured(*operations: cirq.Operation, **options: Any) -> Model:
    return Model(cirq.Circuit(cirq.measure(A, key="m"), operations), QUBITS, OBSERVABLE, **options)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "until": (lambda: Model(cirq.Circuit(UNTIL), QUBITS, OBSERVABLE), "repeated until.*fixed number of repetitions"),
    "no channel": (lambda: Model(cirq.Circuit(Half()(A)), QUBITS, OBSERVABLE), "not a channel.*differs from 1 by 7.5e-01"),
    "key before its measurement": (lambda: measured(cirq.X(B).with_classical_controls("k")), "depends on the measurement 'k'"),
    "evolve": (lambda: measured(cirq.H(A)).evolve(np.eye(8)[0]), r"U x needs a unitary.*1 measurement.*model\.dilated"),
    "light cone": (
        lambda: measured(cirq.H(A)).light_cone(cirq.PauliString(cirq.Z(A))),
        r"a circuit that measures has no light cone.*model\.dilated",
    ),
    "bits of a gate": (
        lambda: Model(
            cirq.Circuit((cirq.H(A), cirq.measure(A, key=f"m{i}")) for i in range(13))
            + cirq.X(B).with_classical_controls(*(f"m{i}" for i in range(13))),
            QUBITS,
            OBSERVABLE,
        ).dilated(),
        "depends on 13 measured bits, at most 12",
    ),
    "condition out of range": (
        lambda: measured(cirq.X(B).with_classical_controls(cirq.KeyCondition(cirq.MeasurementKey("m"), 3))).dilated(),
        "condition of X.*cannot be evaluated",
    ),
    "record of an unknown key": (lambda: measured(record="k"), r"record depends on \['k'\].*it measures \['m'\]"),
    "record that is no expression": (lambda: measured(record="1 +"), "record=.* is no expression"),
    "record of another type": (lambda: measured(record=3.5), "record=3.5 must be an expression"),
    "record that is not real": (lambda: measured(record="sqrt(-1 - m)"), "must be a real number"),
    "record that is not finite": (lambda: measured(record="1/m"), "must be a real number|not finite"),
    "outcome out of range": (lambda: measured(postselect={"m": 2}), r"postselect\['m'\]=2 is no outcome of 1 measured bit"),
    "nothing accepted": (lambda: measured(postselect="0*m"), "accepts no outcome"),
    "M x of a ratio": (
        lambda: measured(postselect={"m": 0}).observable_action(np.eye(8)[0]),
        "numerator and model.denominator",
    ),
    "dilation of a ratio": (lambda: measured(postselect={"m": 0}).dilated(), "numerator and model.denominator"),
    "impossible outcome": (lambda: measured(postselect={"m": 1}).expectation(np.eye(8)[0]), "no run of some input is accepted"),
    "environment among qubits": (lambda: Model(cirq.Circuit(), QUBITS, OBSERVABLE, environment=[A]), "must not repeat"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_say_what_to_do(name: str) -> None:
    build, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        build()
