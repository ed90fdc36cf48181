"""Known-answer circuits: their structure, their answers, and the deviation that they measure."""

from __future__ import annotations

from typing import Any

import cirq
import numpy as np
import pytest

import hattriq_cirq as hq
from calibration import KnownAnswers, MitigationSequence, PauliTwirling, Readout
from calibration.gates import known_circuits
from calibration.gates.known_circuits import KnownCircuits
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.pipeline.mitigation import Mitigation
from hattriq_cirq.workflows.generated_models import random_circuit

MODEL, X = random_circuit(2, seed=4), np.array([0.1, 0.5, -0.3, 0.8])
NOISY = hq.virtual("willow_pink", noise="gates")


def prepared(engine: Engine, mitigation: Mitigation | None, shots: int | None = None) -> Any:
    options: dict[str, Any] = {"baseline": 0, "estimator": hq.ResolvedHadamardTest(), "engine": engine, "shots": shots}
    return hq.prepare(MODEL, X, mitigation=mitigation, **options)


def programs_of(engine: Engine) -> list[ParameterizedCircuit]:
    ((_, circuits),) = prepared(engine, None).chunks()
    return list(circuits.programs)


def structure(circuit: cirq.AbstractCircuit) -> list[tuple[tuple[cirq.Qid, ...], str]]:
    """Return the places of all gates, moment by moment, with the gates on several qubits."""
    places = [{op.qubits: "" if len(op.qubits) == 1 else str(op.gate) for op in moment} for moment in circuit]
    return [place for moment in places for place in sorted(moment.items())]


def test_rounded_circuits_have_the_same_gates_in_the_same_places_and_known_outcomes() -> None:
    programs = programs_of(NOISY)
    known = KnownCircuits.beside(programs, None, circuits=6, share=0.2, seed=1)
    assert sum(len(program.points) for program in known.programs) == len(known.answers) >= 6
    answers = iter(known.answers)
    for original, rounded in zip(programs, known.programs, strict=True):
        assert structure(rounded.circuit) == structure(original.circuit)
        for point in rounded.points:
            assert all(2 * value == round(2 * value) for value in point.values())
            circuit = cirq.resolve_parameters(rounded.circuit, dict(point))
            state = cirq.Simulator(dtype=np.complex128).simulate(circuit[:-1], qubit_order=sorted(circuit.all_qubits()))
            (measurement,) = circuit[-1].operations
            tensor = np.abs(state.final_state_vector.reshape((2,) * len(circuit.all_qubits()))) ** 2
            order = [sorted(circuit.all_qubits()).index(q) for q in measurement.qubits]
            rest = tuple(i for i in range(tensor.ndim) if i not in order)
            moved = np.transpose(tensor, (*order, *rest)).reshape(2 ** len(order), -1).sum(axis=1)
            answer = next(answers)
            np.testing.assert_allclose(answer, moved, atol=1e-9)
            seen = answer[answer > 1e-9]
            np.testing.assert_allclose(seen, 1 / len(seen), atol=1e-9)  # a stabilizer state


def test_rounding_repeats_and_its_seed_matters() -> None:
    programs = programs_of(NOISY)
    points = [KnownCircuits.beside(programs, None, circuits=4, share=0.2, seed=seed).programs[0].points for seed in (1, 1, 2)]
    assert points[0] == points[1] != points[2]


def test_systematic_part_is_the_deviation_that_known_answers_show() -> None:
    exact = hq.integrated_gradients(MODEL, X, baseline=0).values
    bare: Attribution = prepared(NOISY, PauliTwirling()).execute()
    a: Attribution = prepared(NOISY, MitigationSequence([KnownAnswers(), PauliTwirling()])).execute()
    np.testing.assert_allclose(a.values, bare.values, atol=1e-12)
    assert a.systematic is not None
    assert 0.5 < np.linalg.norm(a.systematic) / np.linalg.norm(a.values - exact) < 2
    assert any(" known-answer circuit" in note for note in a.assumptions.notes)
    assert not any("the data do not test this" in note for note in a.assumptions.notes)


def test_nothing_is_left_without_noise() -> None:
    a: Attribution = prepared(hq.cirq_simulator(), KnownAnswers()).execute()
    assert a.systematic is not None
    np.testing.assert_allclose(a.systematic, 0, atol=1e-9)


def test_shots_of_known_answers_come_on_top_and_are_stated() -> None:
    run = prepared(hq.cirq_simulator(seed=1), KnownAnswers(share=0.3), 10_000)
    a: Attribution = run.execute()
    assert a.cost.shots == 10_000
    assert 2950 < a.cost.mitigation_shots < 3050
    assert run.run_resources().mitigation_shots == a.cost.mitigation_shots


def test_circuits_that_are_too_large_have_no_known_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_circuits, "_QUBITS_MAX", 2)
    a: Attribution = prepared(hq.cirq_simulator(), KnownAnswers()).execute()
    assert any("no circuits with known answers were run" in note for note in a.assumptions.notes)


def test_known_answers_stand_first_in_a_sequence() -> None:
    with pytest.raises(ValueError, match="put it first"):
        MitigationSequence([PauliTwirling(), KnownAnswers(), Readout()])
