"""States of unknown amplitudes that a circuit prepares: maps, marginals and scores, also of large registers."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest
import sympy
from oracle import Oracle, pauli_matrix, unitary
from sampled_estimates import sampled_estimates
from strategies import Array

import calibration
import hattriq_cirq as hq

LINE = cirq.LineQubit.range(3)
CIRCUIT = cirq.Circuit(
    [cirq.ry(0.4 + i).on(q) for i, q in enumerate(LINE)], cirq.CNOT(*LINE[:2]), cirq.rx(1.0).on(LINE[1]), cirq.CZ(*LINE[1:])
)
OBSERVABLE = 0.7 * cirq.X(LINE[0]) * cirq.Y(LINE[1]) + cirq.Z(LINE[2])
MODEL = hq.Model(CIRCUIT, LINE, OBSERVABLE)


def trotter(qubits: list[cirq.LineQubit], field: float, steps: int) -> cirq.Circuit:
    """Return Trotter steps of the transverse-field Ising model from |0...0>, with angles that grow from step to step."""
    circuit = cirq.Circuit()
    for step in range(1, steps + 1):
        share = step / steps
        circuit += [cirq.ZZ(a, b) ** (0.2 * share) for a, b in pairwise(qubits)]
        circuit += [cirq.rx(0.4 * field).on(q) for q in qubits]
    return circuit


STATE = trotter(LINE, 0.8, 3)
X = np.asarray(STATE.final_state_vector(qubit_order=LINE, dtype=np.complex128))
TEST = hq.ResolvedHadamardTest()


def by_oracle() -> tuple[Array, float]:
    u = unitary(CIRCUIT, LINE)
    oracle = Oracle([u.conj().T @ pauli_matrix(OBSERVABLE, LINE) @ u])
    return np.sum(oracle.integrated_gradients(X, np.zeros(8)), axis=0), float(oracle.score(X))


def test_map_and_score_of_a_trotterised_ising_state_are_those_of_its_amplitudes() -> None:
    values, score = by_oracle()
    measured = hq.integrated_gradients(MODEL, STATE, baseline=0, estimator=TEST, engine=hq.cirq_simulator(), shots=None)
    exact = hq.integrated_gradients(MODEL, STATE, baseline=0)
    for a in (measured, exact):
        np.testing.assert_allclose(a.values, values, rtol=0, atol=1e-10)
        np.testing.assert_allclose([a.f_input, a.f_baseline], [score, 0], rtol=0, atol=1e-10)
    assert (measured.assumptions.scores, measured.assumptions.input, measured.cost.circuits) == ("measured", "circuit", 4)
    assert not measured.knows_input
    np.testing.assert_allclose(exact.x, X, atol=1e-10)


@pytest.mark.parametrize("measured", [(0,), (2, 0), (0, 1, 2)])
def test_marginals_of_a_prepared_state_sum_its_map(measured: tuple[int, ...]) -> None:
    values, score = by_oracle()
    wanted = np.moveaxis(values.reshape((2,) * 3), measured, range(len(measured))).reshape(2 ** len(measured), -1).sum(axis=1)
    test = hq.ResolvedHadamardTest(measured=measured)
    options: dict[str, Any] = {"baseline": 0, "estimator": test, "engine": hq.cirq_simulator(), "shots": None}
    np.testing.assert_allclose(hq.estimate(MODEL, STATE, **options).values, wanted, rtol=0, atol=1e-10)
    a = hq.integrated_gradients(MODEL, STATE, **options)
    np.testing.assert_allclose(a.values, wanted, rtol=0, atol=1e-10)
    np.testing.assert_allclose(a.f_input, score, atol=1e-10)
    imaginary = hq.ResolvedHadamardTest(part="imaginary", measured=measured)
    np.testing.assert_allclose(hq.estimate(MODEL, STATE, **options | {"estimator": imaginary}).values.sum(), 0, atol=1e-10)


def test_errors_of_map_score_and_gap_of_a_prepared_state() -> None:
    values, score = by_oracle()
    prepared = hq.prepare(MODEL, STATE, baseline=0, estimator=TEST, engine=hq.cirq_simulator(seed=1), shots=8000)
    pulls = list[Array]()
    for estimates in sampled_estimates(prepared, 60, 1):
        found = prepared.combine[0](estimates)
        assert found.scores is not None
        own: list[Any] = [(found.values.values - values) / found.values.stderr]
        own.append([(found.scores.values[0] - score) / found.scores.stderr[0], found.gap.values[0] / found.gap.stderr[0]])
        pulls.append(np.concatenate(own))
    assert np.all(np.abs(np.sqrt(np.mean(np.square(pulls), axis=0)) - 1) < 0.35)
    a = prepared.execute()
    assert a.f_baseline == a.f_baseline_stderr == 0
    assert a.cost.shots == 8000


def test_processor_runs_the_circuit_of_a_state_with_corrections_and_resumes(tmp_path: Path) -> None:
    values, score = by_oracle()
    found = []
    for _ in range(2):
        engine = hq.virtual("willow_pink", seed=2, noise="readout", journal=tmp_path / "run")
        mitigation = calibration.MitigationSequence([calibration.CompletenessRescaling(), calibration.Readout()])
        options: dict[str, Any] = {"estimator": TEST, "engine": engine, "shots": 20_000, "mitigation": mitigation}
        a = hq.integrated_gradients(MODEL, STATE, baseline=0, **options)
        assert engine.journal is not None
        engine.journal.close()
        found.append(a)
    np.testing.assert_array_equal(found[0].values, found[1].values)
    assert np.all(np.abs(a.values - values) < 5 * a.stderr)
    assert abs(a.f_input - score) < 5 * (a.f_input_stderr or 0)


def test_marginal_of_thirty_qubits_needs_no_amplitudes() -> None:
    """The input is |+...+>, which CZ turn into a cluster state: with its stabiliser X Z as observable, M x = x."""
    qubits = cirq.LineQubit.range(30)
    chain = cirq.Circuit(cirq.CZ(a, b) for a, b in pairwise(qubits))
    model = hq.Model(chain, qubits, cirq.X(qubits[0]) * cirq.Z(qubits[1]))
    engine = hq.sampler(cirq.CliffordSimulator(seed=1))
    test = hq.ResolvedHadamardTest(measured=(0, 1))
    options: dict[str, Any] = {"baseline": 0, "estimator": test, "engine": engine, "shots": 400}
    a = hq.integrated_gradients(model, cirq.Circuit(cirq.H.on_each(qubits)), **options)
    assert a.f_input == 1
    assert np.all(np.abs(a.values - 0.25) < 5 * a.stderr)
    assert abs(a.completeness_gap) < 1e-12
    wide = hq.ResolvedHadamardTest(measured=tuple(range(21)))
    with pytest.raises(ValueError, match=r"2,097,152 values, at most 1,048,576; choose qubits"):
        hq.estimate(model, chain, **options | {"estimator": wide})


def test_map_of_a_state_is_saved_printed_and_plotted(tmp_path: Path) -> None:
    a = hq.integrated_gradients(MODEL, STATE, baseline=0, estimator=TEST, engine=hq.cirq_simulator(seed=1), shots=100)
    assert hq.Attribution.load(a.save(tmp_path / "a.npz")) == a
    row = a.to_csv(tmp_path / "a.csv").read_text().splitlines()[1].split(",")
    assert row[:4] == ["0", "0", "000", ""]
    assert "(measured)" in repr(a)
    assert hq.plot_attribution(a, shape=(2, 4)).get_title().startswith("score")
    for refused in (
        lambda: hq.plot_gallery(a, shape=(2, 4)),
        lambda: hq.decomposition.split_population(MODEL, a),
        lambda: a.real_values,
    ):
        with pytest.raises(ValueError, match=r"not known|measure the sum"):
            refused()


@pytest.mark.parametrize(
    ("state", "options", "message"),
    [
        (STATE, {"baseline": 0.1}, "baseline=0.1 must be 0 for a state"),
        (STATE, {"baseline": hq.BaselineSet(np.zeros((1, 8)))}, "must be 0 for a state"),
        (STATE, {"estimator": hq.HadamardTest()}, "amplitudes of a state that a circuit prepares are not known; use Resolved"),
        (STATE, {"estimator": hq.PolarizationShift()}, "are not known; use ResolvedHadamardTest"),
        (STATE, {"form": "normalized"}, "form='normalized', .* need known amplitudes"),
        (STATE, {"head": hq.Head("tanh")}, "head=tanh.* need known amplitudes"),
        (STATE, {"scores": "exact"}, "scores='exact' need known amplitudes"),
        (STATE, {"mitigation": "noise-estimation"}, "no mitigation that computes maps"),
        (cirq.Circuit(cirq.H(cirq.q(7))), {}, r"acts on \['q\(7\)'\], which are not among the model's qubits"),
        (cirq.Circuit(cirq.measure(LINE[0])), {}, "the circuit x measures"),
        (cirq.Circuit(cirq.rx(sympy.Symbol("t"))(LINE[0])), {}, r"symbols \['t'\] of the circuit x are unresolved"),
        (cirq.Circuit(cirq.depolarize(0.1)(LINE[0])), {"estimator": None, "engine": None}, "the circuit x has channels"),
    ],
)
def test_states_that_cannot_be_attributed_are_refused(state: cirq.Circuit, options: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"baseline": 0, "estimator": TEST, "engine": hq.qsim(seed=1), **options}
    with pytest.raises(ValueError, match=message):
        hq.integrated_gradients(MODEL, state, **given)


def test_identity_part_of_an_observable_is_refused_for_a_prepared_state() -> None:
    model = MODEL.with_observable(OBSERVABLE + 0.5)
    options: dict[str, Any] = {"baseline": 0, "estimator": TEST, "engine": hq.cirq_simulator(), "shots": None}
    with pytest.raises(ValueError, match=r"use model.traceless\(\)"):
        hq.integrated_gradients(model, STATE, **options)
    np.testing.assert_allclose(hq.integrated_gradients(model.traceless(), STATE, **options).values, by_oracle()[0], atol=1e-10)
