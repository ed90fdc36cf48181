"""One campaign for several observables: the errors they have in common, its circuits, heads of its models, and its files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest
from swept_engine import swept_engine

import hattriq_cirq as hq
from calibration import Readout
from hattriq_cirq.circuits.outcomes import Distribution
from hattriq_cirq.foundation.reading import FileError
from hattriq_cirq.workflows.generated_models import random_circuit, random_ring
from hattriq_cirq.workflows.learn import prepare_learning

Array = np.ndarray[Any, Any]
SOFTMAX = hq.Head("softmax", scale=3, target=1)


def heads_of(model: hq.Model) -> list[hq.Model]:
    """Return observables that can be read together, and one that needs a basis of its own."""
    a, b = model.qubits[:2]
    return [model.with_observable(each) for each in (cirq.Z(a) * 1.0, cirq.Z(a) + 0.5 * cirq.Z(a) * cirq.Z(b), cirq.X(b) * 1.0)]


def inputs_of(n: int, count: int, *, seed: int) -> Array:
    x = np.random.default_rng([seed, n]).normal(size=(count, 2**n))
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


class Repeated:
    """A campaign whose circuits have exact multinomial counts, with depolarizing noise and a scatter between gauges.

    The noise leaves a share of every expectation, the third power of it in folded circuits. Each circuit's probabilities are
    tilted at random, by three times as much where it is folded.
    """

    def __init__(self, models: list[hq.Model], *, shots: int, left: float = 0.8, tilt: float = 0.01, **options: Any) -> None:
        self.prepared = prepare_learning(models, engine=swept_engine(), shots=None, prior="none", **options)
        campaign = self.prepared.campaign
        self.total, (self.shots,) = shots, campaign.shots(shots)
        rows = campaign.batches[0].rows
        depth = np.where(rows.unit >= len(campaign.fitted) + 2 * len(campaign.held_out), 3, 1)
        depths = np.tile(depth, len(campaign.structures))
        exact = [each.probabilities for each in self.prepared.compiled.execute().outcomes]
        self.means = [left**d * p + (1 - left**d) / len(p) for p, d in zip(exact, depths, strict=True)]
        self.tilts = tilt * depths
        self.pattern = hq.learn_observable(models[0], engine=swept_engine(), shots=None, prior="none", probes=60)

    def run(self, rng: np.random.Generator) -> hq.LearnedModels:
        """Return the models of one campaign."""
        outcomes = []
        for mean, tilt, count in zip(self.means, self.tilts, self.shots, strict=True):
            step = rng.normal(size=len(mean))
            outcomes.append(Distribution.from_counts(rng.multinomial(count, mean + tilt * (step - step.mean()))))
        found = self.prepared.campaign.fit([outcomes], self.total, self.prepared.chosen)
        return hq.LearnedModels(tuple(replace(self.pattern, **self.fields(each)) for each in found))

    @staticmethod
    def fields(found: Any) -> dict[str, Any]:
        factor = 1.0 if found.damping is None else found.damping.factor
        fields = {name: getattr(found, name) for name in ("fit", "held_out", "damping", "share")}
        return {"coefficients": found.fit.coefficients / factor, **fields}


def stacked(learned: hq.LearnedModels) -> tuple[Array, Array]:
    """Return all coefficients of all models, and their joint covariance."""
    counts = [len(each.strings) for each in learned]
    weights = np.split(np.eye(sum(counts)), np.cumsum(counts)[:-1], axis=1)
    propagated = learned.propagate(weights)
    np.testing.assert_allclose(propagated.values, np.concatenate([each.coefficients for each in learned]))
    return propagated.values, propagated.covariance


def repeated(count: int, models: list[hq.Model], **options: Any) -> tuple[Array, Array]:
    """Return all coefficients of repeated campaigns, (campaigns, coefficients), and their joint covariances."""
    campaign, rng = Repeated(models, shots=1_000_000, **options), np.random.default_rng(1)
    every = [stacked(campaign.run(rng)) for _ in range(count)]
    return np.array([values for values, _ in every]), np.array([covariance for _, covariance in every])


def assert_covariance_of(found: Array, expected: Array) -> None:
    """Assert that samples have a covariance, each entry within 4.5 of its standard errors."""
    sizes = expected.diagonal()
    errors = np.sqrt((np.outer(sizes, sizes) + expected**2) / len(found))
    assert np.abs((np.cov(found.T) - expected) / errors).max() < 4.5


def test_joint_covariance_is_that_of_repeated_campaigns() -> None:
    models = heads_of(random_ring(2, 1, seed=3))[:2]
    found, covariances = repeated(50, models, mitigation="damping", probes=24)
    assert_covariance_of(found, covariances.mean(axis=0))


@pytest.mark.slow
@pytest.mark.parametrize("mitigation", [None, "damping"])
def test_joint_covariance_is_that_of_two_thousand_campaigns(mitigation: str | None) -> None:
    models = heads_of(random_ring(2, 1, seed=3))
    found, covariances = repeated(2_000, models, mitigation=mitigation, probes=40)
    assert_covariance_of(found, covariances.mean(axis=0))
    sizes = [len(each.strings) for each in prepare_learning(models, engine=swept_engine(), shots=None, prior="none").chosen]
    alone = np.equal.outer(*[np.repeat(range(len(models)), sizes)] * 2)
    with pytest.raises(AssertionError):  # the observables are correlated
        assert_covariance_of(found, np.where(alone, covariances.mean(axis=0), 0))


@pytest.mark.parametrize("prior", ["none", "empirical_bayes"])
def test_bootstrap_samples_have_the_joint_covariance(prior: str) -> None:
    models = heads_of(random_ring(2, 1, seed=3))
    options: dict[str, Any] = {"shots": 20_000, "prior": prior, "probes": 40, "mitigation": ["damping", Readout(shots=2_000)]}
    learned = hq.learn_observable(models, engine=swept_engine(3, e0=0.02, e1=0.05), seed=3, **options)
    samples = np.array([np.concatenate([each.coefficients for each in one]) for one in learned.samples(4_000, seed=1)])
    values, covariance = stacked(learned)
    assert np.abs((samples.mean(axis=0) - values) / np.sqrt(covariance.diagonal() / len(samples))).max() < 4.5
    assert_covariance_of(samples, covariance)
    for i, each in enumerate(learned):
        own = slice(*np.cumsum([0, *(len(one.strings) for one in learned)])[i : i + 2])
        np.testing.assert_allclose(covariance[own, own], each.covariance, rtol=1e-6, atol=1e-12)


def test_observables_that_are_read_together_take_the_circuits_of_one() -> None:
    first, second, third = heads_of(random_ring(2, 1, seed=3))
    x = inputs_of(2, 2, seed=1) * 1j  # complex inputs take one circuit for every probe, whatever its basis
    options: dict[str, Any] = {"shots": 10_000, "probes": 40, "prior": "none", "inputs": x}
    alone, one, pair, apart = (
        hq.plan_learning(models, **options) for models in (second, [second], [first, second], [second, third])
    )
    assert alone.resources.circuits == one.resources.circuits == pair.resources.circuits
    assert apart.resources.circuits == 2 * pair.resources.circuits  # X of a qubit whose Z is read
    of_first = hq.plan_learning(first, **options).strings.texts
    assert set(pair.strings.texts) == {*of_first, *alone.strings.texts}
    assert len(pair.strings) == len(set(pair.strings.texts))
    learned = hq.learn_observable([first, second], engine=swept_engine(1), **options)
    assert learned[0].record.circuits == learned[1].record.circuits == pair.resources.circuits
    assert hq.integrated_gradients(learned, inputs_of(2, 1, seed=1), baseline=0, head=SOFTMAX).cost.shots == 10_000


def test_every_observable_of_a_campaign_is_exact_without_noise_and_shots() -> None:
    models = heads_of(random_circuit(2, seed=5, gates="mixed"))
    x = inputs_of(2, 2, seed=1) + 1j * inputs_of(2, 2, seed=2)
    learned = hq.learn_observable(models, engine=swept_engine(), shots=None, inputs=x, prior="none")
    for each, model in zip(learned, models, strict=True):
        np.testing.assert_allclose(each.observable.matrix, model.matrix, atol=1e-10)
        each.check_model(model)
        assert (each.held_out_test().pvalue, each.compare(model).pvalue) == (1, 1)
    exact = hq.integrated_gradients(models, x, baseline=0.1, head=SOFTMAX)
    np.testing.assert_allclose(hq.integrated_gradients(learned, x, baseline=0.1, head=SOFTMAX).values, exact.values, atol=1e-8)


def coverage(campaigns: int, **options: Any) -> Array:
    """Return the share of values of a softmax head's map that a 95% interval of their own campaign holds, (campaigns,)."""
    shares = []
    for seed in range(campaigns):
        models, x = heads_of(random_circuit(3, seed=seed)), inputs_of(3, 1, seed=seed)
        learned = hq.learn_observable(models, engine=swept_engine(seed, e0=0.02, e1=0.05), inputs=x, seed=seed, **options)
        low, high = hq.integrated_gradients(learned, x, baseline=0, head=SOFTMAX).interval()
        exact = hq.integrated_gradients(models, x, baseline=0, head=SOFTMAX).values
        shares.append(np.mean((low <= exact) & (exact <= high)))
    return np.array(shares)


@pytest.mark.slow
@pytest.mark.parametrize("prior", ["none", "empirical_bayes"])
def test_intervals_of_a_softmax_of_one_campaign_cover(prior: str) -> None:
    shares = coverage(200, shots=60_000, prior=prior, probes=120, mitigation=Readout(shots=4_000))
    assert 0.92 < shares.mean() < 0.98


def test_difference_of_observables_has_smaller_errors_than_if_they_were_independent() -> None:
    models, x = heads_of(random_ring(2, 1, seed=3))[:2], inputs_of(2, 1, seed=3)[0]
    learned = hq.learn_observable(models, engine=swept_engine(2), shots=20_000, prior="none", seed=2)
    weights = [sign * each.strings.bilinear(x, x) for sign, each in zip((1, -1), learned, strict=True)]
    independent = np.hypot(*(each.propagate(rows).stderr for each, rows in zip(learned, weights, strict=True)))
    assert (learned.propagate(weights).stderr < 0.8 * independent).all()
    apart = hq.LearnedModels(
        [hq.learn_observable(m, engine=swept_engine(i), shots=20_000, prior="none") for i, m in enumerate(models)]
    )
    independent = np.hypot(*(each.propagate(rows).stderr for each, rows in zip(apart, weights, strict=True)))
    np.testing.assert_allclose(apart.propagate(weights).stderr, independent)
    assert (len(learned.campaigns), len(apart.campaigns)) == (1, 2)


def test_saved_models_of_a_campaign_still_share_their_errors(tmp_path: Path) -> None:
    models = heads_of(random_ring(2, 1, seed=3))
    options: dict[str, Any] = {"shots": 20_000, "probes": 40, "mitigation": "damping"}
    learned = hq.learn_observable(models, engine=swept_engine(1), **options)
    _, covariance = stacked(learned)
    loaded = hq.LearnedModels.load(learned.save(tmp_path / "all.npz"), models)
    apart = hq.LearnedModels([hq.LearnedModel.load(each.save(tmp_path / f"{i}.npz")) for i, each in enumerate(learned)])
    for found in (loaded, apart, learned[:]):
        np.testing.assert_array_equal(stacked(found)[1], covariance)
        assert [each.record for each in found] == [each.record for each in learned]
    with pytest.raises(ValueError, match="holds 3 learned models, not 2"):
        hq.LearnedModels.load(tmp_path / "all.npz", models[:2])
    with pytest.raises(ValueError, match="belongs to a model with observable"):
        hq.LearnedModels.load(tmp_path / "all.npz", models[::-1])
    with pytest.raises(FileError, match="holds no saved learned models"):
        hq.LearnedModels.load(tmp_path / "0.npz")
    with pytest.raises(FileError, match="is not a saved learned model"):
        hq.LearnedModel.load(tmp_path / "all.npz")


def test_models_that_are_not_observables_of_one_circuit_are_refused() -> None:
    first, second, _ = heads_of(random_ring(2, 1, seed=3))
    for models, message in (
        ([], "empty sequence"),
        ([first, heads_of(random_ring(2, 1, seed=4))[0]], "another circuit"),
        ([first, first], "given twice"),
    ):
        with pytest.raises(ValueError, match=message):
            hq.learn_observable(models, engine=swept_engine(1), shots=10_000)
    with pytest.raises(TypeError, match="must be"):
        hq.learn_observable([first, "second"], engine=swept_engine(1), shots=10_000)  # type: ignore[list-item]
    learned = hq.learn_observable(second, engine=swept_engine(1), shots=10_000)
    with pytest.raises(ValueError, match="given twice"):
        hq.LearnedModels([learned, learned])
