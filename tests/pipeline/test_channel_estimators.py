"""Estimators, mitigation, gradients and learning of models with measurements, feed-forward, resets and noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cirq
import numpy as np
import oracle
import pytest
from channel_circuits import CASES, OBSERVABLE, QUBITS, A, B, C
from strategies import amplitudes, assert_close

import hattriq_cirq as hq
from hattriq_cirq.circuits.light_cone import light_cone
from hattriq_cirq.estimators.plan import plan

X, BASELINE = amplitudes(np.random.default_rng(5), 2, 8, imaginary=True) / 3
ESTIMATORS: dict[str, hq.estimators.Estimator] = {
    "Hadamard": hq.HadamardTest(),
    "parallel": hq.ParallelHadamardTest(2),
    "polarization": hq.PolarizationShift(),
    "resolved": hq.ResolvedHadamardTest(),
}
EXACT, WITH_NOISE = hq.cirq_simulator(), hq.cirq_simulator(noise=cirq.NO_NOISE)


def expected(name: str) -> Any:
    return np.real(np.conj(X - BASELINE) * (CASES[name].matrix @ (X + BASELINE)))


def slow_if(is_slow: bool) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow] if is_slow else []


@pytest.mark.parametrize(
    ("name", "estimator"),
    [
        pytest.param(name, each, marks=slow_if(each in ("parallel", "polarization") and "feed-forward" not in name))
        for name in CASES
        for each in ESTIMATORS
    ],
)
def test_estimators_agree_with_the_sum_over_kraus_operators(name: str, estimator: str) -> None:
    engine = WITH_NOISE if name == "noise" and estimator != "resolved" else EXACT
    found = hq.estimate(CASES[name].model, X, baseline=BASELINE, estimator=ESTIMATORS[estimator], engine=engine, shots=None)
    assert_close(found.values, expected(name), 1e-10)


@pytest.mark.parametrize("estimator", ["Hadamard", "resolved"])
@pytest.mark.parametrize("name", [name for name in CASES if name != "noise"])
def test_estimators_run_on_qsim(name: str, estimator: str) -> None:
    engine = hq.qsim()
    found = hq.estimate(CASES[name].model, X, baseline=BASELINE, estimator=ESTIMATORS[estimator], engine=engine, shots=None)
    assert_close(found.values, expected(name), 1e-6, float(np.linalg.norm(X)) ** 2)


def test_noise_of_a_model_runs_on_state_vectors_by_its_dilation() -> None:
    model = CASES["noise"].model
    with pytest.raises(ValueError, match=r"no gate that a state vector can follow.*cirq_simulator\(noise=cirq.NO_NOISE\)"):
        hq.estimate(model, X, baseline=0, estimator=hq.HadamardTest(), engine=hq.qsim(), shots=None)
    found = hq.estimate(model.dilated(), X, baseline=BASELINE, estimator=hq.HadamardTest(), engine=hq.qsim(), shots=None)
    assert_close(found.values, expected("noise"), 1e-6, float(np.linalg.norm(X)) ** 2)


def test_unitary_gate_with_a_sum_of_products_as_control_runs_on_qsim() -> None:
    different = cirq.SumOfProducts([(0, 1), (1, 0)])
    circuit = cirq.Circuit(cirq.H.on_each(*QUBITS), cirq.ry(0.7)(C).controlled_by(A, B, control_values=different))
    model = hq.Model(circuit, QUBITS, OBSERVABLE)
    found = hq.estimate(model, X, baseline=0, estimator=hq.ResolvedHadamardTest(), engine=hq.qsim(), shots=None)
    assert_close(found.values, np.real(X.conj() * model.observable_action(X)), 1e-6, float(np.linalg.norm(X)) ** 2)


def test_resolved_test_reads_the_data_qubits_only() -> None:
    model = CASES["reset and reuse"].model
    (first, *_) = plan(hq.ResolvedHadamardTest(), model, [hq.estimators.BilinearTerm(X, X)]).circuits
    *_, measurement = first.circuit.all_operations()
    assert set(measurement.qubits[1:]) == set(QUBITS)
    assert first.circuit.all_qubits() > {*measurement.qubits}


def test_imaginary_part_of_the_resolved_test() -> None:
    name = "two keys with conditions of SymPy"
    estimator = hq.ResolvedHadamardTest(part="imaginary")
    found = hq.estimate(CASES[name].model, X, baseline=BASELINE, estimator=estimator, engine=EXACT, shots=None)
    assert_close(found.values, np.imag(np.conj(X - BASELINE) * (CASES[name].matrix @ (X + BASELINE))), 1e-10)


def test_hadamard_test_of_the_circuit_with_real_feed_forward_gives_the_same() -> None:
    """The ancilla is a spectator: X of it times O after the channel, on a density matrix of all branches."""
    name, k = "measurement with feed-forward", 3
    x = X / np.linalg.norm(X)
    ancilla = cirq.NamedQubit("a")
    start = np.concatenate([np.eye(8)[k], x]) / np.sqrt(2)
    observable = oracle.pauli_matrix(cirq.X(ancilla) * OBSERVABLE, [ancilla, *QUBITS])
    matrix = oracle.channel_matrix(CASES[name].circuit, [ancilla, *QUBITS], observable)
    assert abs((start.conj() @ matrix @ start).real - (CASES[name].matrix @ x)[k].real) < 1e-12


def test_literal_test_says_that_a_channel_cannot_be_controlled() -> None:
    model, literal = CASES["measurement with feed-forward"].model, hq.HadamardTest(literal=True)
    with pytest.raises(ValueError, match=r"a measurement or a channel cannot be controlled; use HadamardTest\(\), or.*dilated"):
        hq.estimate(model, X, baseline=0, estimator=literal, engine=EXACT, shots=None)
    found = hq.estimate(model.dilated(), X, baseline=BASELINE, estimator=literal, engine=EXACT, shots=None)
    assert_close(found.values, expected("measurement with feed-forward"), 1e-10)


def test_attribution_says_that_feed_forward_became_quantum_control() -> None:
    found = hq.integrated_gradients(
        CASES["measurement with feed-forward"].model,
        X,
        baseline=0,
        estimator=hq.ResolvedHadamardTest(),
        engine=EXACT,
        shots=None,
    )
    (note,) = found.assumptions.notes
    assert "1 measurement, 1 conditional operation ran as quantum control with 1 environment qubit" in note
    assert np.max(np.abs(found.completeness_gap)) < 1e-10


def test_counts_of_a_processor_agree_with_the_exact_map() -> None:
    model = hq.qcnn_ansatz(2)
    model = model.with_params(dict(zip(model.params, np.random.default_rng(0).uniform(0, 6, len(model.params)), strict=True)))
    x = np.array([0.1, 0.5, -0.3, 0.8])
    engine = hq.virtual("willow_pink", noise="none", seed=2)
    found = hq.integrated_gradients(model, x, baseline=0, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=40_000)
    assert np.max(np.abs(found.values - x * model.observable_action(x).real) / found.stderr.clip(1e-3)) < 5


def test_gradient_and_scores_from_circuits() -> None:
    case = CASES["key measured twice"]
    found = hq.gradient(case.model, X, estimator=hq.HadamardTest(), engine=EXACT, shots=None)
    assert_close(found.real + 1j * found.imag, 2 * case.matrix @ X, 1e-10)
    scored = hq.integrated_gradients(
        case.model, X, baseline=BASELINE, estimator=hq.ResolvedHadamardTest(), engine=EXACT, shots=None, scores="measured"
    )
    assert_close(scored.f_input, (X.conj() @ case.matrix @ X).real, 1e-10)


CIRCUIT = CASES["measurement with feed-forward"].circuit
SELECTED = hq.Model(CIRCUIT, QUBITS, cirq.Z(A) * cirq.X(B) + 0.5 * cirq.X(A), postselect={"m": 1})


def selected(p: Any) -> Any:
    above, below = SELECTED.numerator.matrix, SELECTED.denominator.matrix
    return (p.conj() @ above @ p).real / (p.conj() @ below @ p).real


def test_map_of_selected_runs_is_the_path_integral_of_the_ratio() -> None:
    found = hq.integrated_gradients(SELECTED, X, baseline=BASELINE)
    judge = oracle.Oracle([SELECTED.numerator.matrix, SELECTED.denominator.matrix], head=lambda z: z[..., 0] / z[..., 1])
    real, imaginary = judge.integrated_gradients(X, BASELINE)
    assert_close(found.values, real + imaginary, 1e-9)
    assert abs(found.values.sum() - selected(X) + selected(BASELINE)) < 1e-12
    nodes = hq.integrated_gradients(SELECTED, X, baseline=BASELINE, rule="gauss-legendre:32")
    assert_close(nodes.values, found.values, 1e-9)


def test_map_of_selected_runs_by_circuits() -> None:
    exact = hq.integrated_gradients(SELECTED, X, baseline=BASELINE)
    found = hq.integrated_gradients(
        SELECTED, X, baseline=BASELINE, estimator=hq.ResolvedHadamardTest(), engine=EXACT, shots=None, scores="measured"
    )
    assert_close(found.values, exact.values, 1e-8)
    assert_close(found.f_input, exact.f_input, 1e-9)


@pytest.mark.parametrize("name", [pytest.param("two keys with conditions of SymPy", marks=pytest.mark.slow), "reset and reuse"])
def test_noisy_model_of_a_circuit_that_measures_is_its_own_matrix_without_noise(name: str) -> None:
    assert_close(hq.noisy_model(CASES[name].model, WITH_NOISE).matrix, CASES[name].matrix)


def test_learned_model_of_a_circuit_that_measures() -> None:
    model = hq.qcnn_ansatz(2)
    model = model.with_params(dict(zip(model.params, np.random.default_rng(1).uniform(0, 6, len(model.params)), strict=True)))
    learned = hq.learn_observable(model, engine=hq.cirq_simulator(seed=3), shots=400_000, seed=0)
    x = np.array([0.1, 0.5, -0.3, 0.8])
    exact = model.observable_action(x).real
    assert np.linalg.norm(learned.observable_action(x).real - exact) < 0.05 * np.linalg.norm(exact)
    assert learned.compare(model) is not None


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "learning an identity part": (
        lambda: hq.learn_observable(CASES["reset and reuse"].model, engine=EXACT, shots=1000),
        "needs 2 environment qubits.*probes do not measure",
    ),
    "zero baseline of a ratio": (lambda: hq.integrated_gradients(SELECTED, X, baseline=0), "not above 0.*baselines.mean"),
    "head of a ratio": (
        lambda: hq.integrated_gradients(SELECTED, X, baseline=BASELINE, head=hq.Head("tanh")),
        r"head=tanh\(scale=1.*leave them out",
    ),
    "light cone": (
        lambda: light_cone(cirq.Circuit(cirq.measure(A, key="m"), cirq.X(B).with_classical_controls("m"))),
        r"a circuit that measures has no light cone; take that of model.dilated",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_say_what_to_do(name: str) -> None:
    build, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        build()


def test_light_cone_of_noise_keeps_what_reaches_the_string() -> None:
    noisy = cirq.Circuit(cirq.H(A), cirq.depolarize(0.1)(A), cirq.H(B), cirq.amplitude_damp(0.2)(B))
    kept = light_cone(noisy, cirq.PauliString(cirq.Z(B)))
    assert list(kept.all_operations()) == [cirq.H(B), cirq.amplitude_damp(0.2)(B)]
