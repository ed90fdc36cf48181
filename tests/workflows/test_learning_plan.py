"""Plans of campaigns: the predicted error against measured ones, shots for an error, refusals, and what then runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from swept_engine import swept_engine

import hattriq_cirq as hq
from hattriq_cirq.execution.backends.virtual import VirtualBackend
from hattriq_cirq.workflows.generated_models import random_circuit, random_grid, random_ring
from hattriq_cirq.workflows.learn import prepare_learning

Array = np.ndarray[Any, Any]


def inputs_of(n: int, count: int, *, is_complex: bool = False) -> Array:
    rng = np.random.default_rng(n)
    x = rng.normal(size=(count, 2**n)) + (1j * rng.normal(size=(count, 2**n)) if is_complex else 0)
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def measured_error(model: hq.Model, x: Array, campaigns: int, **options: Any) -> float:
    """Return the relative error of maps over inputs and campaigns, the root of its mean square."""
    exact, squares = hq.integrated_gradients(model, x, baseline=0).values, []
    for seed in range(campaigns):
        learned = hq.learn_observable(model, engine=swept_engine(seed), inputs=x, seed=seed, **options)
        squares.append(np.sum((hq.integrated_gradients(learned, x, baseline=0).values - exact) ** 2, axis=-1))
    return float(np.sqrt(np.mean(squares) / np.mean(np.sum(exact**2, axis=-1))))


@pytest.mark.parametrize("prior", ["none", "flat", "magnitude"])
def test_predicted_error_is_that_of_campaigns(prior: str) -> None:
    model, x = random_ring(3, 2, seed=1), inputs_of(3, 10)
    options: dict[str, Any] = {"shots": 20_000, "prior": prior}
    plan = hq.plan_learning(model, inputs=x, **options)
    assert 0.75 < measured_error(model, x, 12, **options) / plan.error < 1.2


@pytest.mark.slow
@pytest.mark.parametrize("prior", ["none", "flat", "empirical_bayes", "magnitude"])
@pytest.mark.parametrize(
    ("rows", "cols", "layers", "strings", "shots"),
    [(2, 2, 2, "structure", 10**5), (2, 3, 2, "important", 10**6), (2, 3, 3, "important", 10**7)],
)
def test_predicted_error_is_that_of_campaigns_on_grids(
    prior: str, rows: int, cols: int, layers: int, strings: str, shots: int
) -> None:
    """Empirical Bayes has scales of its own, which make it more precise than predicted."""
    model, x = random_grid(rows, cols, layers, seed=1), inputs_of(rows * cols, 20)
    options: dict[str, Any] = {"shots": shots, "prior": prior, "strings": strings}
    plan = hq.plan_learning(model, inputs=x, **options)
    least = 0.5 if prior == "empirical_bayes" else 0.7
    assert least < measured_error(model, x, 10, **options) / plan.error < 1.2


def test_predicted_error_of_sums_and_complex_inputs_is_that_of_campaigns() -> None:
    model, x = random_circuit(2, seed=6, gates="mixed"), inputs_of(2, 10, is_complex=True)
    options: dict[str, Any] = {"shots": 20_000, "prior": "none"}
    plan = hq.plan_learning(model, inputs=x, **options)
    assert len(model.pauli_sum) > 1
    assert 0.5 < measured_error(model, x, 6, **options) / plan.error < 1  # outcomes have variances below the largest


def test_shots_for_an_error_reach_it_and_go_into_the_campaign() -> None:
    model, x = random_ring(3, 2, seed=2), inputs_of(3, 10)
    plan = hq.plan_learning(model, error=0.1, inputs=x)
    assert plan.error == pytest.approx(0.1, rel=1e-4)
    assert plan.shots_for(0.05) > 3.9 * plan.shots
    assert hq.plan_learning(model, shots=plan.shots, inputs=x).error == plan.error
    assert measured_error(model, x, 4, shots=plan.shots) < 0.12
    learned = hq.learn_observable(model, engine=swept_engine(1), shots=plan.shots, inputs=x)
    assert learned.strings.texts == plan.strings.texts
    assert (learned.record.circuits, learned.record.shots) == (plan.resources.circuits, plan.shots)
    from_error = hq.learn_observable(model, engine=swept_engine(1), shots=None, error=0.1, inputs=x)
    assert from_error.record.shots == plan.shots


def test_campaign_that_cannot_reach_the_error_is_refused_before_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(VirtualBackend, "execute", fail)
    model, engine = random_ring(2, 3, seed=1), hq.virtual("willow_pink", seed=1)
    options: dict[str, Any] = {"engine": engine, "probes": 40, "inputs": inputs_of(2, 4), "prior": "none"}
    with pytest.raises(ValueError, match=r"error=0.01 takes [0-9,]+ shots for 9 Pauli strings; 5,000 reach 0\.\d+\. Use more"):
        hq.learn_observable(model, shots=5_000, error=0.01, **options)
    with pytest.raises(ValueError, match=r"error=1e-09 takes \d[.e+0-9]+ shots"):
        hq.plan_learning(model, error=1e-9, **options)


def test_probes_that_do_not_determine_the_strings_are_refused_for_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"no number of shots reaches error=0.01: 8 probes in the fit do not determine 107 Pauli"
    ):
        hq.plan_learning(random_grid(1, 4, 3, seed=1), error=0.01, probes=16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "a plan needs shots or error"),
        ({"error": 0}, "error=0 must be a relative error above 0"),
        ({"error": float("nan")}, "error=nan"),
        ({"shots": 10}, "shots=10 must be at least"),
        ({"shots": 1_000, "strings": "all"}, "strings='all' must be"),
    ],
)
def test_wrong_plan_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hq.plan_learning(random_ring(2, 1, seed=1), **options)


def test_plan_prices_what_runs_on_a_processor(tmp_path: Path) -> None:
    model, x = random_ring(2, 1, seed=6), inputs_of(2, 2)
    engine = hq.virtual("willow_pink", seed=1, journal=tmp_path / "journal")
    options: dict[str, Any] = {"shots": 20_000, "inputs": x, "probes": 40, "mitigation": "damping,readout"}
    plan = hq.plan_learning(model, engine=engine, **options)
    recorded = prepare_learning(model, engine=engine, **options).record()
    assert recorded.to_record() == plan.to_record()
    learned = hq.learn_observable(model, engine=engine, **options)
    assert engine.journal is not None
    assert len(engine.journal.calls) == 1
    resources, record = plan.resources, learned.record
    assert resources.jobs == engine.journal.done
    assert (resources.circuits, resources.programs) == (record.circuits, record.programs)
    assert resources.mitigation_shots == record.calibration_shots
    assert resources.routed is not None
    assert resources.routed.largest == record.two_qubit_gates
    assert (resources.per, resources.processor) == ("model", "willow_pink")
    assert "Gate errors damp the maps" in plan.notes[0]
    assert "40 in the fit" not in repr(plan)
    assert f"{plan.probes} in the fit, {plan.held_out} held out, {plan.folded} folded" in repr(plan)
    assert "predicted fidelity" in repr(plan)


def test_damping_takes_more_shots_on_a_noisy_processor() -> None:
    model, x = random_ring(2, 3, seed=6), inputs_of(2, 2)
    noisy, free = (
        hq.plan_learning(model, engine=engine, shots=50_000, inputs=x, mitigation="damping", probes=60)
        for engine in (hq.virtual("willow_pink"), None)
    )
    assert 1.01 < noisy.error / free.error < 1.2
    plain = hq.plan_learning(model, engine=hq.virtual("willow_pink"), shots=50_000, inputs=x, probes=60)
    assert "mitigation='damping' corrects for it" in plain.notes[0]
    assert free.notes == ()


@pytest.mark.parametrize("prior", ["flat", "none"])
def test_list_of_important_strings_grows_with_the_shots(prior: str) -> None:
    model, x = random_grid(2, 2, 2, seed=1), inputs_of(4, 10)
    options: dict[str, Any] = {"inputs": x, "strings": "important", "prior": prior}
    few, many = (hq.plan_learning(model, shots=shots, **options) for shots in (3_000, 3_000_000))
    assert len(few.strings) < len(many.strings)
    assert few.truncated_share > many.truncated_share
    assert few.strings.texts == many.strings.texts[: len(few.strings)]
    longest = {**options, "strings": many.strings.texts}
    assert few.error < hq.plan_learning(model, shots=3_000, **longest).error
    learned = hq.learn_observable(model, engine=swept_engine(1), shots=3_000, **options)
    assert learned.strings.texts == few.strings.texts
    assert learned.record.truncated_share == pytest.approx(few.truncated_share)
    a = hq.integrated_gradients(learned, x, baseline=0)
    assert a.systematic is not None
    assert a.systematic.max() > 0
    assert hq.plan_learning(model, error=0.3, **options).shots < hq.plan_learning(model, error=0.3, **longest).shots


def test_shorter_list_of_important_strings_has_smaller_errors_and_passes_its_test() -> None:
    model, x = random_grid(2, 2, 2, seed=1), inputs_of(4, 20)
    options: dict[str, Any] = {"shots": 4_000, "prior": "flat"}
    longest = hq.plan_learning(model, inputs=x, strings="important", prior="flat", shots=10**9).strings.texts
    errors = [measured_error(model, x, 6, strings=strings, **options) for strings in ("important", longest)]
    assert errors[0] < 0.9 * errors[1]
    for seed in range(3):
        learned = hq.learn_observable(model, engine=swept_engine(seed), inputs=x, seed=seed, strings="important", **options)
        assert len(learned.strings) < len(longest)
        assert learned.held_out_test().pvalue > 0.001
