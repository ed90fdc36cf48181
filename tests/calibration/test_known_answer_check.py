"""The check of a run by circuits with known answers: what it sees, what it costs, and runs that began without it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hattriq_cirq as hq
from calibration import CompletenessRescaling, KnownAnswers, MitigationSequence, Readout
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.circuits.errors import CapReachedError
from hattriq_cirq.execution.caps import CapWarning
from hattriq_cirq.pipeline.mitigation import AssumptionWarning
from hattriq_cirq.workflows.generated_models import random_circuit

MODEL, X = random_circuit(2, seed=4), np.array([0.1, 0.5, -0.3, 0.8])


def measured(shots: int | None, *, x: Any = X, noise: str | None = None, **options: Any) -> tuple[Attribution, str]:
    """Return a map from the virtual Willow, and its warnings."""
    engine = options.pop("engine", None) or hq.virtual("willow_pink", seed=3, extra_noise=noise)
    prepared = hq.prepare(MODEL, x, baseline=0, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=shots, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore", CapWarning)
        warnings.simplefilter("always", AssumptionWarning)
        a = prepared.execute()
    return a, " ".join(str(each.message) for each in caught)


def systematic(a: Attribution) -> float:
    assert a.systematic is not None
    return float(np.linalg.norm(a.systematic))


@pytest.mark.parametrize("mitigation", [None, Readout()])
def test_calibrated_noise_agrees_with_the_stated_errors(mitigation: Readout | None) -> None:
    a, warned = measured(200_000, mitigation=mitigation)
    assert not warned
    (note,) = [note for note in a.assumptions.notes if "known-answer" in note]
    assert "is stated" in note
    assert "both ends" in note
    plain, _ = measured(200_000, mitigation=mitigation, check=False)
    assert 0.95 < systematic(a) / systematic(plain) < 1.5
    assert any("the data do not test this" in note for note in plain.assumptions.notes)
    assert not any("the data do not test this" in note for note in a.assumptions.notes)


def test_crosstalk_is_named_and_widens_the_errors() -> None:
    a, warned = measured(200_000, noise="zz=0.1")
    plain, silent = measured(200_000, noise="zz=0.1", check=False)
    assert "contradict the errors that the run states" in warned
    assert "mitigation='auto'" in warned
    assert not silent
    assert systematic(a) > 1.5 * systematic(plain)


def test_drift_is_seen_at_the_two_ends_of_the_run() -> None:
    _, warned = measured(400_000, noise="drift=0.1")
    assert "the two ends of the run differ" in warned


def test_check_takes_a_tenth_of_the_shots_and_is_priced() -> None:
    engine = hq.virtual("willow_pink", seed=3)
    options: dict[str, Any] = {"baseline": 0, "estimator": hq.ResolvedHadamardTest(), "engine": engine, "shots": 100_000}
    prepared = hq.prepare(MODEL, X, **options)
    run, cost = prepared.run_resources(), prepared.execute().cost
    assert 99_900 < run.shots <= 100_000
    assert 9_900 < run.mitigation_shots <= 10_010
    assert (cost.shots + cost.mitigation_shots, cost.mitigation_circuits) == (run.shots, run.mitigation_circuits)
    named: dict[str, Any] = {"processor": "willow_pink", "shots": 100_000}
    assert hq.resources(MODEL, X, 0, hq.ResolvedHadamardTest(), **named).mitigation_shots == run.mitigation_shots


@pytest.mark.parametrize(
    ("shots", "options"),
    [
        (100_000, {"check": False}),
        (None, {}),
        (100_000, {"engine": hq.qsim(seed=1)}),
        (100_000, {"engine": hq.virtual("willow_pink", noise="none", seed=1)}),
    ],
)
def test_runs_without_a_check(shots: int | None, options: dict[str, Any]) -> None:
    a, _ = measured(shots, **options)
    assert a.cost.mitigation_circuits == 0
    assert not any("known" in note for note in a.assumptions.notes)


def test_few_shots_are_not_checked_and_the_result_says_so() -> None:
    a, _ = measured(5_000)
    assert a.cost.mitigation_circuits == 0
    assert a.cost.shots == 5_000
    assert any("not checked by circuits with known answers" in note for note in a.assumptions.notes)


def test_engine_without_a_calibration_is_checked_on_request() -> None:
    a, warned = measured(200_000, engine=hq.cirq_simulator(noise=hq.noise.Loss(0.05), seed=1), check=True)
    assert systematic(a) > 0
    assert "leaves more than its own fit and tests show" in warned


def test_known_answers_of_a_mitigation_and_rescalings() -> None:
    """A mitigation that measures known answers is not checked twice; auxiliary circuits are scaled like the others."""
    a, _ = measured(100_000, mitigation=MitigationSequence([KnownAnswers(), Readout(shots=1000)]))
    assert a.cost.shots == 100_000
    rescaled, _ = measured(100_000, mitigation=CompletenessRescaling())
    assert 89_990 <= rescaled.cost.shots <= 90_000
    exact = hq.integrated_gradients(MODEL, X, baseline=0).values
    assert np.linalg.norm(rescaled.values - exact) < 0.3 * np.linalg.norm(exact)


def test_check_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="check='yes' must be True, False, or None"):
        measured(1000, check="yes")


def test_interrupted_run_that_began_without_a_check_goes_on_without_it(tmp_path: Path) -> None:
    """Earlier versions ran no known-answer circuits: such a run resumes to the same counts."""
    x = np.stack([X, -X[::-1]])
    whole, _ = measured(50_000, x=x, check=False)
    stopped = hq.virtual("willow_pink", seed=3, journal=tmp_path, max_jobs=1)
    with pytest.raises(CapReachedError):
        measured(50_000, x=x, engine=stopped, check=False)
    assert stopped.journal is not None
    stopped.journal.close()
    resumed, _ = measured(50_000, x=x, engine=hq.virtual("willow_pink", seed=3, journal=tmp_path))
    np.testing.assert_array_equal(resumed.values, whole.values)
    assert resumed.cost == whole.cost
