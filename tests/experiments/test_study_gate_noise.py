"""Studies of gate noise, placement and encodings: exact simulation of noise, verdicts, and tasks."""

from __future__ import annotations

from typing import Any

import cirq
import numpy as np
import pytest

import hattriq_cirq as hq
from experiments.runner import depolarizing
from experiments.runner.estimators import ESTIMATORS
from experiments.runner.map_metrics import slopes
from experiments.runner.study import Done
from experiments.runner.trained_models import trained
from experiments.studies import approximate_encoding, mitigation_report, noise_presets, placement
from hattriq_cirq.circuits.counting import multi_qubit_gates
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.estimators import BilinearTerm, plan

STRENGTHS = (0.0, 0.003, 0.05)


def done(task: Any, result: dict[str, Any]) -> Done[Any]:
    return Done(task, result, 1.0, {})


def random_circuit(seed: int, flipped: bool = False) -> cirq.Circuit:
    """Return a circuit of CZ between all pairs of three qubits and rotations, which measures two qubits in another order."""
    a, b, c = cirq.LineQubit.range(3)
    rng = np.random.default_rng(seed)
    circuit = cirq.Circuit()
    for pair in ((a, b), (c, b), (a, c), (b, a)):
        circuit.append(cirq.ry(rng.normal())(q) for q in (a, b, c))
        circuit.append([cirq.rz(rng.normal())(pair[0]), cirq.CZ(*pair)])
    circuit.append([cirq.H(a), cirq.H(c)])
    circuit.append(cirq.Moment(cirq.measure(c, a, key="m", invert_mask=(flipped, False))))
    return circuit


class AfterEveryCz(cirq.NoiseModel):
    def __init__(self, strength: float) -> None:
        self.strength = strength

    def noisy_operation(self, op: cirq.Operation) -> cirq.OP_TREE:
        return [op, cirq.depolarize(self.strength, 2)(*op.qubits)] if isinstance(op.gate, cirq.CZPowGate) else op


def by_cirq(circuit: cirq.Circuit, strength: float) -> np.ndarray[Any, Any]:
    """Return the outcome probabilities, (4,), of a `random_circuit` by Cirq's own density matrices."""
    noisy = circuit[:-1].with_noise(AfterEveryCz(strength))
    rho = cirq.DensityMatrixSimulator(dtype=np.complex128).simulate(noisy, qubit_order=cirq.LineQubit.range(3))
    a_b_c = np.diag(rho.final_density_matrix).real.reshape(2, 2, 2)
    c_a = a_b_c.sum(axis=1).T
    gate = circuit[-1].operations[0].gate
    assert isinstance(gate, cirq.MeasurementGate)
    return np.asarray((c_a[::-1] if gate.full_invert_mask()[0] else c_a).reshape(-1))


def test_depolarised_probabilities_equal_those_of_cirq() -> None:
    circuits = [random_circuit(0), random_circuit(1), random_circuit(2, flipped=True)]
    circuits[1].insert(0, cirq.X(cirq.LineQubit(1)))  # of another shape
    for circuit, found in zip(circuits, depolarizing.probabilities(circuits, STRENGTHS), strict=True):
        np.testing.assert_allclose(found, [by_cirq(circuit, p) for p in STRENGTHS], atol=1e-12)


def test_depolarising_channel_of_full_strength_gives_uniform_outcomes() -> None:
    (found,) = depolarizing.probabilities([random_circuit(3)], [15 / 16])
    np.testing.assert_allclose(found, by_cirq(random_circuit(3), 15 / 16)[np.newaxis], atol=1e-12)
    a, b = cirq.LineQubit.range(2)
    bell = cirq.Circuit(cirq.H(a), cirq.H(b), cirq.CZ(a, b), cirq.measure(a, b))
    np.testing.assert_allclose(depolarizing.probabilities([bell], [15 / 16])[0], [[0.25] * 4], atol=1e-12)


def test_gates_other_than_cz_are_compiled_or_rejected() -> None:
    a, b = cirq.LineQubit.range(2)
    circuit = cirq.Circuit(cirq.H(a), cirq.CNOT(a, b), cirq.measure(a, b))
    with pytest.raises(ValueError, match="compile the circuit with in_cz"):
        depolarizing.probabilities([circuit], [0.1])
    (found,) = depolarizing.probabilities([depolarizing.in_cz(circuit)], [0.0])
    np.testing.assert_allclose(found, [[0.5, 0, 0, 0.5]], atol=1e-9)


@pytest.mark.parametrize("name", ["resolved", "parallel, m=2", "polarization"])
def test_maps_without_noise_are_exact(name: str) -> None:
    model, data = trained("bars3", 0)
    x = data.x_test[0]
    made = plan(ESTIMATORS[name], model, [BilinearTerm(x, x)])
    chances = depolarizing.probabilities([depolarizing.in_cz(r.circuit) for r in made.circuits], [0.0])
    values = made.decode([Distribution(of_one[0], None) for of_one in chances]).values
    np.testing.assert_allclose(values, hq.integrated_gradients(model, x, baseline=0).values, atol=1e-7)


def test_compiling_does_not_reduce_the_cz_of_the_estimators() -> None:
    model, data = trained("bars3", 0)
    x = data.x_test[0]
    for name in ("resolved", "polarization"):
        circuit = plan(ESTIMATORS[name], model, [BilinearTerm(x, x)]).circuits[0].circuit
        assert depolarizing.in_cz(circuit) is circuit
        compiled = cirq.optimize_for_target_gateset(circuit, gateset=cirq.CZTargetGateset())
        pairs = [
            sum(len(op.qubits) == 2 and not cirq.is_measurement(op) for op in c.all_operations()) for c in (circuit, compiled)
        ]
        assert pairs[0] == pairs[1]


def test_slope_of_maps_decreases_with_the_strength_of_noise() -> None:
    result = noise_presets.run(noise_presets.Task("resolved", mitigation_report.DEPOLARISING, "none", 0, 3))
    slope = np.array([slopes(result["maps"][str(p)]["values"][:, 0], result["exact"]) for p in noise_presets.STRENGTHS])
    assert np.all(np.diff(slope, axis=0) < 0)
    assert np.all((slope > 0.5) & (slope < 1))


def test_gate_noise_has_five_seeds_and_a_hundred_inputs_of_the_cheap_estimators() -> None:
    tasks = noise_presets.gate_noise_tasks(quick=False)
    assert len(set(tasks)) == len(tasks)
    for name in ("resolved", "polarization"):
        of_it = [t for t in tasks if (t.estimator, t.noise) == (name, mitigation_report.DEPOLARISING)]
        assert {t.seed for t in of_it} == set(range(5))
        assert sum(t.inputs for t in of_it) == 140  # all 28 pictures of each seed
    corrections = {t.mitigation for t in tasks if t.noise == "willow_pink"}
    assert corrections == {"none", *noise_presets.CORRECTIONS}


@pytest.mark.parametrize(
    ("chosen", "rank_verdict", "ratio_verdict"), [(0.1, "met", "met"), (0.19, "met", "MISSED"), (0.5, "MISSED", "MISSED")]
)
def test_placement_reports_which_targets_are_met(chosen: float, rank_verdict: str, ratio_verdict: str) -> None:
    accuracy = dict.fromkeys(("train", "test", "logistic train", "logistic test", "chance"), 1.0)
    results = [
        done(placement.Task(seed, kind, number, 1), {"error": [error], "two_qubit_gates": 10 + number, "accuracy": accuracy})
        for seed in (0, 1)
        for kind, number, error in (
            (placement.KINDS[0], 0, chosen),
            *((kind, number, 0.1 + 0.1 * number) for kind in placement.KINDS[1:] for number in (1, 2, 3)),
        )
    ]
    section = placement.summarise(results)
    for finding in section.findings:
        assert f"4 of 5, {rank_verdict})" in finding
        assert f"0.5, {ratio_verdict})" in finding
        assert f"{chosen / 0.3:.3f} [" in finding


def test_chosen_qubits_have_a_small_error() -> None:
    found = placement.run(placement.Task(0, placement.KINDS[0], 0, 1))
    assert 0 < found["error"][0] < 0.5
    assert found["two_qubit_gates"] < 40


def test_truncation_stays_within_its_budget_and_is_exact_if_the_budget_allows() -> None:
    x = np.random.default_rng(0).normal(size=16)
    x /= np.linalg.norm(x)
    qubits: list[cirq.Qid] = list(cirq.LineQubit.range(4))
    for budget in (3, 6, 40):
        circuit = approximate_encoding.truncated(x, qubits, budget)
        assert multi_qubit_gates(circuit) <= budget
    state = cirq.Simulator(dtype=np.complex128).simulate(circuit, qubit_order=qubits).final_state_vector
    assert abs(state @ x) == pytest.approx(1, abs=1e-9)


def test_study_of_encodings_covers_every_picture_once() -> None:
    tasks = approximate_encoding.tasks(quick=False)
    for data, pictures in {"digits:pair=3/5": 24, "mnist:pair=3/5,size=16": 24, "mnist:pair=3/5,size=28": 20}.items():
        covered = [picture for t in tasks if t.data == data for picture in range(t.first, t.first + t.pictures)]
        assert covered == list(range(pictures))
