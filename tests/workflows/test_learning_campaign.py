"""The circuits of a campaign: which run first and last, with which shots, and how often they are built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hattriq_cirq as hq
from hattriq_cirq.estimators import probe_circuits, probe_design
from hattriq_cirq.estimators.bilinear import pauli_terms
from hattriq_cirq.models.coefficient_fit import CoefficientFit, CoefficientPrior, OutsideStrings, ProbeOutcomes
from hattriq_cirq.models.learned import score_of_outside
from hattriq_cirq.models.pauli_strings import PauliStrings, ProductStates
from hattriq_cirq.pipeline.mitigation import AssumptionWarning
from hattriq_cirq.workflows import learning_batch, learning_campaign
from hattriq_cirq.workflows.generated_models import random_circuit, random_grid, random_ring
from hattriq_cirq.workflows.learn import prepare_learning

Array = np.ndarray[Any, Any]


def campaign_of(model: hq.Model, **options: Any) -> learning_campaign.Campaign:
    return prepare_learning(model, engine=hq.qsim(seed=0), **{"shots": 100_000, "mitigation": "damping", **options}).campaign


def recorded_campaign(model: hq.Model, folder: Path, shots: int, probes: int | None = None) -> learning_campaign.Campaign:
    """Return the campaign that a dry run records in a folder, or that goes on there."""
    engine = hq.qsim(seed=0, journal=folder)
    prepared = prepare_learning(model, engine=engine, shots=shots, probes=probes)
    prepared.record()
    assert engine.journal is not None
    engine.journal.close()
    return prepared.campaign


@pytest.mark.parametrize("model", [random_ring(2, 2, seed=0), random_circuit(2, seed=3, gates="mixed")], ids=["one", "several"])
def test_states_that_are_held_out_run_first_and_last_in_the_same_circuits(model: hq.Model) -> None:
    campaign = campaign_of(model)
    (batch,) = campaign.batches
    rows, count = batch.rows, batch.rows.parts[0].stop
    of_structure = len(campaign.structures) * count
    order = np.argsort(batch.requests, axis=None)
    np.testing.assert_array_equal(np.sort(batch.requests, axis=None), np.arange(campaign.circuits))
    first, last = order[:of_structure] % len(rows.state), order[-of_structure:] % len(rows.state)
    np.testing.assert_array_equal(rows.state[first], rows.state[last])
    np.testing.assert_array_equal(rows.flipped[first], rows.flipped[last])
    held = np.unique(rows.state[first])
    assert (len(held), held.min()) == (8, len(campaign.fitted))
    assert not np.isin(rows.state[rows.parts[1]], held).any()
    shots = np.array(campaign.shots(100_000)[0])
    assert shots.sum() == 100_000
    assert abs(shots[:of_structure].sum() - shots[-of_structure:].sum()) <= of_structure
    of_fit = batch.requests[:, rows.parts[1]][:, np.isin(rows.state[rows.parts[1]], np.setdiff1d(rows.state, held))]
    folded = learning_batch.FOLDED_WEIGHT * len(campaign.folded)
    expected = campaign.share_of_fit(100_000) * (1 + folded / len(campaign.fitted))
    assert shots[of_fit].sum() / shots.sum() == pytest.approx(expected, abs=0.03)


def test_a_campaign_is_designed_and_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def counted(name: str, function: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            calls.append(name)
            return function(*args, **options)

        return call

    for module, name in ((learning_campaign, "probe_structures"), (probe_design, "basis_shares")):
        monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    monkeypatch.setattr(probe_circuits, "pauli_terms", counted("pauli_terms", pauli_terms))
    hq.learn_observable(random_ring(2, 2, seed=0), engine=hq.qsim(seed=0), shots=20_000, prior="magnitude")
    assert sorted(calls) == ["basis_shares", "pauli_terms", "probe_structures"]


def test_basis_that_sees_the_most_strings_is_held_out() -> None:
    campaign = campaign_of(random_ring(3, 2, seed=1))
    seen = abs(campaign.held_out.expectations(campaign.strings)).sum(axis=1)
    others = abs(campaign.fitted.expectations(campaign.strings)).sum(axis=1)
    assert seen.min() >= np.quantile(others, 0.75)
    _, counts = np.unique([campaign.held_out.bases.x_masks, campaign.held_out.bases.z_masks], axis=1, return_counts=True)
    assert counts.tolist() == [2, 2, 2, 2]


def test_drifting_device_fails_and_the_verdict_says_so() -> None:
    model = random_ring(2, 2, seed=3)
    noise = hq.noise.Drift(angles=0.5, readout=0.0, shots=200_000, seed=1)
    drifting = hq.virtual("willow_pink", seed=1, extra_noise=noise)
    test = hq.learn_observable(model, engine=drifting, shots=200_000, probes=60).held_out_test()
    assert test.pvalue < 0.001
    assert "the device has changed" in test.verdict
    assert "drift" in {part.question for part in test.failed}
    still = hq.learn_observable(model, engine=hq.virtual("willow_pink", seed=1), shots=200_000, probes=60).held_out_test()
    assert still.pvalue > 0.001
    assert still.ends is not None
    assert np.abs(still.ends.last - still.ends.first).max() < 6 * np.sqrt(still.ends.variances.max())


def test_strings_outside_the_list_that_have_a_signal_fail_and_the_verdict_says_so(tmp_path: Path) -> None:
    model, x = random_grid(2, 2, 2, seed=3), np.eye(16)[:4]
    options: dict[str, Any] = {"engine": hq.qsim(seed=1), "shots": 200_000, "probes": 120, "inputs": x, "prior": "flat"}
    whole = hq.learn_observable(model, strings="important", **options)
    assert whole.held_out_test().pvalue > 0.001
    short = hq.learn_observable(model, strings=whole.strings.texts[: len(whole.strings) // 3], **options)
    test = short.held_out_test()
    assert "the list is too short" in test.verdict
    assert "list" in {part.question for part in test.failed}
    assert short.outside is not None
    assert not set(short.outside.strings.texts) & set(short.strings.texts)
    again = hq.LearnedModel.load(short.save(tmp_path / "short.npz")).held_out_test()
    assert (again.pvalue, again.parts) == (test.pvalue, test.parts)


def test_test_of_the_list_is_uniform_where_nothing_is_left_out_and_does_not_depend_on_the_scatter() -> None:
    strings, outside = PauliStrings.from_text(["XI", "ZZ"]), PauliStrings.from_text(["IX", "XX", "ZX", "IZ"])
    coefficients, found = np.array([0.6, -0.4]), []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        bases = PauliStrings.from_text(["XX", "ZZ", "ZX", "XZ"] * 15)
        states = ProductStates(bases, rng.integers(4, size=60))
        scatter = 0.02 * rng.uniform(0.5, 3)  # which nobody knows
        values = states.expectations(strings) @ coefficients + scatter * rng.normal(size=60)
        fitted, held = (
            ProbeOutcomes(states.select(own), values[own], np.full(len(own), 0.02**2), np.zeros((len(own), 0)))
            for own in (np.arange(52), np.arange(52, 60))
        )
        prior = None if seed % 2 else CoefficientPrior.known(np.full(2, 0.5))
        fit = CoefficientFit(strings, fitted, np.full(52, 0.02**2), prior)
        left_out = OutsideStrings(outside, np.zeros(4))
        found.append(score_of_outside(fit, held, left_out))
    pvalues = np.array([part.pvalue for part in found if part is not None])
    assert len(pvalues) == 300
    assert np.abs(np.mean(pvalues < 0.5) - 0.5) < 0.12
    assert np.mean(pvalues < 0.05) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make campaigns of few strings run in two stages."""
    monkeypatch.setattr(learning_campaign, "_MANY", 10)


STAGED: dict[str, Any] = {"shots": 60_000, "probes": 108, "seed": 2, "mitigation": "damping,readout"}


@pytest.mark.usefixtures("staged")
def test_second_stage_probes_what_the_first_leaves_uncertain() -> None:
    model = random_grid(2, 2, 2, seed=3)
    prepared = prepare_learning(model, engine=hq.virtual("willow_pink", seed=1), **STAGED)
    campaign = prepared.campaign
    outcomes = prepared.compiled.execute().outcomes
    assert (campaign.stages, len(campaign.batches), campaign.is_complete) == (2, 1, False)
    whole, again = (campaign.following([outcomes], 60_000, prepared.chosen) for _ in range(2))
    for name in ("x_masks", "z_masks"):
        np.testing.assert_array_equal(*(getattr(each.fitted.bases, name) for each in (whole, again)))
    np.testing.assert_array_equal(whole.fitted.signs, again.fitted.signs)
    assert (len(campaign.fitted), len(whole.fitted)) == (50, 100)
    assert sum(map(sum, whole.shots(60_000))) == 60_000
    assert campaign.shots(60_000)[0] == whole.shots(60_000)[0]
    assert [batch.counts for batch in whole.batches] == [(16, 50, 0, 0), (0, 50, 33, 16)]
    first, second = whole.batches
    for batch, rows in ((first, first.rows.parts[0]), (second, second.rows.parts[2])):
        np.testing.assert_array_equal(np.sort(batch.requests[:, rows], axis=None), np.arange(rows.stop - rows.start))
    other = outcomes[::-1]
    assert (campaign.following([other], 60_000, prepared.chosen).fitted.signs != whole.fitted.signs).any()


@pytest.mark.usefixtures("staged")
def test_campaign_of_two_stages_passes_its_tests_and_costs_what_was_planned(tmp_path: Path) -> None:
    model = random_grid(2, 2, 2, seed=3)
    engine = hq.virtual("willow_pink", seed=1, journal=tmp_path)
    plan = prepare_learning(model, engine=engine, **STAGED).record()
    assert engine.journal is not None
    assert len(engine.journal.calls) == 1
    learned = hq.learn_observable(model, engine=engine, **STAGED)
    record = learned.record
    assert len(engine.journal.calls) == 2
    assert (plan.shots, record.shots) == (60_000, 60_000)
    assert record.circuits == pytest.approx(plan.resources.circuits, rel=0.15)  # as many probes, not all with a Y
    assert (plan.resources.programs, plan.resources.mitigation_shots) == (record.programs, record.calibration_shots)
    assert learned.held_out_test().pvalue > 0.001
    assert learned.compare(model).pvalue > 0.001
    assert learned.ends is not None
    assert learned.ends.sensitivities is not None
    assert learned.ends.sensitivities.shape[1] == 4  # each end has a calibration of its own, with two rates
    loaded = hq.LearnedModel.load(learned.save(tmp_path / "learned.npz"), model)
    assert loaded.held_out_test().parts == learned.held_out_test().parts
    exact = learned.strings.coefficients_of(model.matrix)
    off = np.abs(learned.coefficients - exact) / np.sqrt(learned.covariance.diagonal())
    assert np.mean(off < 1.96) > 0.85
    drifting = hq.virtual("willow_pink", seed=1, extra_noise=hq.noise.Drift(angles=0.5, readout=0.0, shots=60_000, seed=1))
    test = hq.learn_observable(model, engine=drifting, **STAGED).held_out_test()
    assert "drift" in {part.question for part in test.failed}


@pytest.mark.usefixtures("staged")
def test_more_shots_are_spread_over_more_probes_and_a_run_of_fewer_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_grid(2, 2, 2, seed=3)
    monkeypatch.setattr(learning_campaign, "_SHOTS_STAGED", 100)
    monkeypatch.setattr(learning_campaign, "_PER_STRING_STAGED", 10)
    few, some, most = (campaign_of(model, shots=shots) for shots in (20_000, 50_000, 100_000))
    strings = len(few.strings)
    assert [each.probes for each in (few, some, most)] == [6 * strings, 500, 10 * strings]

    with monkeypatch.context() as earlier:
        earlier.setattr(learning_campaign, "_PER_STRING_STAGED", 0)
        assert recorded_campaign(model, tmp_path, 50_000).probes == 6 * strings
    assert recorded_campaign(model, tmp_path, 50_000).probes == 6 * strings


@pytest.mark.usefixtures("staged")
def test_more_shots_add_nothing_to_those_held_out_and_a_run_that_holds_out_a_tenth_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_grid(2, 2, 2, seed=3)
    monkeypatch.setattr(learning_campaign, "_HELD_OUT_MAX", 10_000)

    def held_out(shots: int) -> float:
        """Return the share of the shots of states that are held out, without those of folded circuits."""
        campaign = campaign_of(model, shots=shots).expected
        of_fit = sum(len(batch.fitted) for batch in campaign.batches)
        return 1 - of_fit / (
            of_fit + sum(((batch.stage == 0) + batch.is_last) * batch.held_weight for batch in campaign.batches)
        )

    assert [held_out(shots) for shots in (50_000, 100_000, 200_000, 400_000)] == pytest.approx([0.1, 0.1, 0.05, 0.025])
    assert campaign_of(model, shots=200_000).was_planned_otherwise
    few, many = (campaign_of(model, shots=shots) for shots in (200_000, 400_000))
    assert few.share_of_fit(400_000) == many.share_of_fit(400_000) == many.probes / many.weight
    assert many.share_of_fit(200_000) == few.probes / few.weight < many.share_of_fit(400_000)

    for probes in (None, 200):  # two stages and one
        run = model, tmp_path / str(probes), 200_000, probes
        with monkeypatch.context() as earlier:
            earlier.setattr(learning_campaign, "_HELD_OUT_MAX", 100_000)
            assert recorded_campaign(*run).held_share == 0.1
        assert recorded_campaign(*run).held_share == 0.1


def test_device_that_drifts_far_ends_in_a_result_that_fails_its_test() -> None:
    noise = hq.noise.Drift(angles=2.0, readout=0.0, shots=20_000, seed=2)
    drifting = hq.virtual("willow_pink", seed=1, extra_noise=noise)
    with pytest.warns(AssumptionWarning, match="The damping could not be measured"):
        learned = hq.learn_observable(random_ring(2, 2, seed=3), engine=drifting, shots=20_000, probes=60, mitigation="damping")
    assert "the device has changed" in learned.held_out_test().verdict
    assert any("The damping could not be measured" in note for note in learned.record.notes)
    (value,) = learned.errors_of(np.eye(len(learned.strings))[:1])[1]
    assert value == pytest.approx(abs(learned.coefficients[0]))
