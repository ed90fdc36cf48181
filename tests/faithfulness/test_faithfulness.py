"""Metrics of faithfulness against theory (additive scores, the quadratic form as a game, symmetries) and other libraries."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from peers import peer
from scipy.stats import spearmanr
from strategies import Array, Case, amplitudes, assert_close, cases, generators, random_case

from hattriq_cirq import faithfulness as ff
from hattriq_cirq.attribution.baselines import BaselineSet
from hattriq_cirq.models.ansatz import ring_ansatz
from hattriq_cirq.pipeline.integrated_gradients import integrated_gradients

FEATURES = 12


def additive(weights: Array) -> ff.ScoreFunction:
    """Return the score sum_k w_k x_k^2, the quadratic form of a diagonal M."""
    return lambda x: np.asarray((x**2) @ weights)


def problem(seed: int, inputs: int = 4) -> tuple[Array, Array, Array]:
    """Return weights, inputs and a reference of an additive score."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=FEATURES), rng.normal(size=(inputs, FEATURES)), rng.normal(size=(inputs, FEATURES))


seeds = st.integers(0, 10_000)


@given(case=cases(4), imaginary=st.booleans(), rng=generators)
def test_score_of_a_model_equals_oracle(case: Case, imaginary: bool, rng: np.random.Generator) -> None:
    x = amplitudes(rng, 2, 3, case.features, imaginary=imaginary)
    for form in ("quadratic", "normalized"):
        size = float(np.abs(case.matrices()[0]).sum() * (np.abs(x).max() ** 2 if form == "quadratic" else 1))
        assert_close(ff.score_of(case.model, form=form)(x), case.oracle(form).score(x), scale=size)


def test_score_of_the_zero_vector_is_the_identity_part() -> None:
    case = random_case(2, seed=5, identity=True)
    blank = np.zeros((2, 4))
    assert_close(ff.score_of(case.model, form="normalized")(blank), np.full(2, case.matrices()[0].trace().real / 4), scale=1.0)
    assert_close(ff.score_of(case.model)(blank), np.zeros(2), scale=1.0)


@given(seed=seeds)
def test_deletion_curve_of_an_additive_score(seed: int) -> None:
    weights, x, reference = problem(seed)
    score, terms = additive(weights), weights * (x**2 - reference**2)
    side = np.where(score(x) < 0, -1, 1)[:, np.newaxis]
    orders: dict[Literal["morf", "lerf"], int] = {"morf": -1, "lerf": 1}
    for order, sign in orders.items():
        curve = ff.deletion_curve(score, x, terms, reference=reference, order=order, steps=FEATURES)
        gone = np.cumsum(np.sort(sign * side * terms, axis=1) * sign, axis=1)
        start = side * score(x)[:, np.newaxis]
        assert_close(curve.scores, np.concatenate([start, start - gone], axis=1), 1e-12, 100.0)
        assert_close(curve.fractions, np.arange(FEATURES + 1) / FEATURES)


@given(seed=seeds)
def test_srg_of_an_additive_score_is_the_maximum(seed: int) -> None:
    weights, x, reference = problem(seed)
    score, terms = additive(weights), weights * (x**2 - reference**2)
    best = ff.srg(score, x, terms, reference=reference)
    other = ff.srg(score, x, np.random.default_rng(seed).normal(size=x.shape), reference=reference)
    assert (best > 0).all()
    assert (best >= other - 1e-12).all()


@given(case=cases(4, 2), imaginary=st.booleans(), rng=generators)
def test_curves_end_at_input_and_reference(case: Case, imaginary: bool, rng: np.random.Generator) -> None:
    x, b = amplitudes(rng, 2, 3, case.features, imaginary=imaginary)
    maps, score = rng.normal(size=x.shape), ff.score_of(case.model)
    side = np.where(score(x) < 0, -1, 1)
    deleted = ff.deletion_curve(score, x, maps, reference=b).scores
    inserted = ff.insertion_curve(score, x, maps, reference=b).scores
    size = float(case.features * max(np.abs(x).max(), np.abs(b).max()) ** 2 * np.abs(case.matrices()[0]).max())
    for curve, ends in ((deleted, (x, b)), (inserted, (b, x))):
        assert_close(curve[:, [0, -1]], np.stack([side * score(end) for end in ends], axis=1), scale=size)


@given(seed=seeds)
def test_symmetries_of_curves(seed: int) -> None:
    model = random_case(4, seed).model
    rng = np.random.default_rng(seed)
    x, maps = rng.normal(size=(3, 16)), rng.normal(size=(3, 16))
    score = ff.score_of(model, form="normalized")
    gain = ff.srg(score, x, maps, reference=0.1)
    assert_close(ff.srg(score, x, -maps, reference=0.1), -gain, scale=1.0)
    assert_close(ff.srg(score, x, 3 * maps + 1 * np.sign(maps), reference=0.1), gain, scale=1.0)
    assert_close(ff.srg(lambda v: -score(v), x, -maps, reference=0.1), gain, scale=1.0)  # the other class, the other sign
    lerf = ff.deletion_curve(score, x, maps, reference=0.1, order="lerf").scores
    assert_close(ff.insertion_curve(score, x, maps, reference=0.1).scores, lerf[:, ::-1], scale=1.0)


def test_area_of_straight_and_bent_curves() -> None:
    curve = ff.Curve(np.array([0, 0.25, 1]), np.array([[1, 0.75, 0], [0, 1, 1]]))
    assert_close(ff.area(curve), np.array([0.5, 0.125 + 0.75]))


def test_seed_orders_equal_attributions() -> None:
    weights, x, _ = problem(1)
    blank, score = np.zeros(x.shape), additive(weights)
    first, again, other = (ff.deletion_curve(score, x, blank, reference=0, seed=s).scores for s in (1, 1, 2))
    assert_close(first, again)
    assert np.abs(first - other).max() > 0.01


@given(seed=seeds)
def test_baseline_set_reference_is_the_mean(seed: int) -> None:
    weights, x, _ = problem(seed)
    rows = np.random.default_rng(seed).normal(size=(3, FEATURES))
    maps = np.random.default_rng(seed + 1).normal(size=x.shape)
    score = additive(weights)
    each = [ff.deletion_curve(score, x, maps, reference=row).scores for row in rows]
    assert_close(ff.deletion_curve(score, x, maps, reference=BaselineSet(rows)).scores, np.mean(each, axis=0))


@given(seed=seeds)
def test_additive_score_is_explained_completely(seed: int) -> None:
    weights, x, reference = problem(seed)
    score, terms = additive(weights), weights * (x**2 - reference**2)
    r = ff.sensitivity_n(score, x, terms, reference=reference, sizes=[1, 5, FEATURES - 1])
    assert_close(r, np.ones((4, 3)))
    assert_close(ff.sensitivity_n(score, x, -2 * terms, reference=reference, sizes=[5]), -np.ones((4, 1)))
    assert_close(ff.faithfulness_correlation(score, x, terms, reference=reference, size=4), np.ones(4))
    assert_close(ff.infidelity(score, x, terms, reference=reference), np.zeros(4), scale=100.0)
    assert_close(ff.infidelity(score, x, 5 * terms, reference=reference, scaled=True), np.zeros(4), scale=100.0)
    wrong = ff.infidelity(score, x, terms[:, ::-1], reference=reference)
    assert (wrong >= ff.infidelity(score, x, terms[:, ::-1], reference=reference, scaled=True)).all()
    assert (wrong > 1e-3).any()


def test_infidelity_approaches_the_mean_over_all_coalitions() -> None:
    case = random_case(3, seed=4)
    rng = np.random.default_rng(0)
    x, b, maps = rng.normal(size=(3, 2, 8))
    judge, masks = case.oracle(), np.array(list(product([0, 1], repeat=8)))
    gaps = [
        [(m @ row - (judge.score(u) - judge.score(np.where(m, v, u)))) ** 2 for m in masks]
        for u, v, row in zip(x, b, maps, strict=True)
    ]
    samples = 4000
    actual = ff.infidelity(ff.score_of(case.model), x, maps, reference=b, samples=samples, seed=3)
    error = np.std(gaps, axis=1) / np.sqrt(samples)
    assert (np.abs(actual - np.mean(gaps, axis=1)) < 5 * error).all()
    assert (actual != ff.infidelity(ff.score_of(case.model), x, maps, reference=b, samples=samples, seed=4)).all()


@given(case=cases(3), rng=generators)
def test_integrated_gradients_minimise_infidelity(case: Case, rng: np.random.Generator) -> None:
    """A quadratic form has no terms of three features: its Shapley values are the least-squares fit over all sets."""
    x, b = amplitudes(rng, 2, case.features)
    masks = np.array(list(product([0, 1], repeat=case.features)))
    judge = case.oracle()
    losses = np.array([judge.score(x) - judge.score(np.where(mask, b, x)) for mask in masks])
    fitted = np.linalg.lstsq(np.concatenate([masks, np.ones((len(masks), 1))], axis=1), losses, rcond=None)[0][:-1]
    values = integrated_gradients(case.model, x, baseline=b).values
    assert_close(values, fitted, 1e-9, max(float(np.abs(losses).max()), float(np.abs(values).max())))


def test_correlations_without_variation_are_nan() -> None:
    _, x, _ = problem(2)
    r = ff.sensitivity_n(lambda v: np.ones(v.shape[:-1]), x, x, reference=0, sizes=[3])
    assert np.isnan(r).all()


def test_max_sensitivity_of_a_linear_map() -> None:
    rng = np.random.default_rng(5)
    x, a = rng.normal(size=(3, 4)), rng.normal(size=(4, 4))
    corners = 0.1 * np.array(list(product([-1, 1], repeat=4))) @ a.T
    bound = np.linalg.norm(corners, axis=1).max() / np.linalg.norm(x @ a.T, axis=1)
    actual = ff.max_sensitivity(lambda v: v @ a.T, x, radius=0.1, samples=3000, seed=1)
    assert (actual <= bound).all()
    assert (actual > 0.8 * bound).all()
    few = [ff.max_sensitivity(lambda v: v @ a.T, x, radius=0.1, samples=3, seed=s) for s in (1, 1, 2)]
    assert_close(few[0], few[1])
    assert (few[0] != few[2]).all()
    assert np.isnan(ff.max_sensitivity(lambda v: 0 * v, x, radius=0.1)).all()


def test_pointing_game_and_relevance_mass_ignore_signs() -> None:
    maps = np.array([[0, -3, 1, 0], [2, 0, 2, 0], [4, 1, 0, 0], [0, 0, 0, 0]])
    truth = np.array([False, True, True, False])
    assert_close(ff.pointing_game(maps[:3], truth), np.array([1, 0.5, 0]))
    assert_close(ff.relevance_mass(maps[:3], truth), np.array([1, 0.5, 0.2]))
    assert np.isnan([ff.pointing_game(maps, truth)[3], ff.relevance_mass(maps, truth)[3]]).all()
    rows = np.array([truth, ~truth, ~truth])
    assert_close(ff.relevance_mass(maps[:3], rows), np.array([1, 0.5, 0.8]))


@given(seed=seeds)
def test_signed_correlation_equals_spearman_on_the_support(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, (3, 20)) * rng.normal(size=(3, 20))
    maps, others = rng.integers(-3, 4, (2, 3, 20)).astype(float)
    expected = [spearmanr(m[on], o[on]).statistic for m, o, on in zip(maps, others, np.abs(x) > 0, strict=True)]
    assert_close(ff.signed_correlation(maps, others, x), np.array(expected), 1e-12, 1.0)


MODEL = ring_ansatz(3, 2).with_params({name: 0.1 for name in ring_ansatz(3, 2).params})


def test_parameter_layers_are_separated_by_two_qubit_gates() -> None:
    layers = ff.parameter_layers(MODEL)
    assert [sorted(layer) for layer in layers] == [sorted(f"{a}{k}_{i}" for a in "yz" for i in range(3)) for k in range(3)]


def test_randomised_changes_only_the_given_layers() -> None:
    layers = ff.parameter_layers(MODEL)
    changed = {
        chosen: {n for n, v in ff.randomised(MODEL, 1, chosen).params.items() if v != MODEL.params[n]}
        for chosen in ((2,), (1, 2), None)
    }
    assert changed == {(2,): {*layers[2]}, (1, 2): {*layers[1], *layers[2]}, None: {*MODEL.params}}
    cascade, alone = ff.randomised(MODEL, 1, [1, 2]).params, ff.randomised(MODEL, 1, [2]).params
    assert all(cascade[name] == alone[name] for name in layers[2])
    assert ff.randomised(MODEL, 1) == ff.randomised(MODEL, 1) != ff.randomised(MODEL, 2)
    assert ff.randomised(MODEL, 1, []) == MODEL


X, SCORE = np.ones((2, 4)), additive(np.ones(4))
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "one input": (lambda: ff.srg(SCORE, X[0], X[0], reference=0), "must be .inputs, features"),
    "other maps": (lambda: ff.srg(SCORE, X, X[:1], reference=0), r"values.shape=\(1, 4\)"),
    "complex maps": (lambda: ff.srg(SCORE, X, X * 1j, reference=0), "maps must be real"),
    "nan map": (lambda: ff.srg(SCORE, X, X * np.nan, reference=0), "is not finite"),
    "reference": (lambda: ff.srg(SCORE, X, X, reference=np.ones(3)), "must broadcast"),
    "order": (lambda: ff.deletion_curve(SCORE, X, X, reference=0, order="best"), "order='best'"),  # type: ignore[arg-type]
    "steps": (lambda: ff.deletion_curve(SCORE, X, X, reference=0, steps=0), "steps=0"),
    "score's shape": (lambda: ff.srg(lambda x: x, X, X, reference=0), "one number per input"),
    "score not finite": (lambda: ff.srg(lambda x: x[..., 0] / 0.0 + np.inf, X, X, reference=0), "not finite"),
    "size": (lambda: ff.sensitivity_n(SCORE, X, X, reference=0, sizes=[4]), "size=4 must lie in 1..3"),
    "samples": (lambda: ff.infidelity(SCORE, X, X, reference=0, samples=1), "samples=1 must be at least 2"),
    "radius": (lambda: ff.max_sensitivity(lambda x: x, X, radius=0), "radius=0"),
    "complex input": (lambda: ff.max_sensitivity(lambda x: x, X * 1j, radius=1), "x must be real"),
    "truth": (lambda: ff.pointing_game(X, np.zeros(4, dtype=bool)), "names no feature"),
    "truth's shape": (lambda: ff.relevance_mass(X, np.ones(3, dtype=bool)), "of the truth must be bool"),
    "layer": (lambda: ff.randomised(MODEL, 0, [3]), r"layers=\[3\] must lie in 0..2"),
    "curve": (lambda: ff.Curve(np.array([0.0, 0.5]), np.zeros((1, 2))), "must rise from 0 to 1"),
    "form": (lambda: ff.score_of(MODEL, form="cubic"), "form='cubic'"),  # type: ignore[arg-type]
}


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("name", REFUSED)
def test_invalid_arguments_are_rejected(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        call()


def recorded(score: ff.ScoreFunction) -> tuple[ff.ScoreFunction, list[Array]]:
    """Return a score that records its inputs, so that another library can be given the same ones."""
    recorded_inputs: list[Array] = []

    def keep(x: Array) -> Array:
        recorded_inputs.append(np.array(x))
        return score(x)

    return keep, recorded_inputs


@pytest.mark.peers
def test_infidelity_and_max_sensitivity_equal_captum() -> None:
    torch, metrics = peer("torch"), peer("captum.metrics")
    case, rng, samples = random_case(3, seed=3), np.random.default_rng(1), 20
    x, b, maps = rng.normal(size=(3, 2, 8))
    matrix = torch.tensor(case.matrices()[0].real)
    score, recorded_inputs = recorded(ff.score_of(case.model))
    removed = None
    for scaled in (False, True):
        recorded_inputs.clear()
        actual = ff.infidelity(score, x, maps, reference=b, samples=samples, scaled=scaled)
        removed = torch.tensor((recorded_inputs[1] != x[:, np.newaxis]).astype(float)).reshape(
            -1, 8
        )  # (inputs * samples, features)

        def perturbed(inputs: Any, masks: Any = removed) -> Any:
            return masks, torch.where(masks > 0, torch.tensor(np.repeat(b, samples, axis=0)), inputs)

        theirs = metrics.infidelity(
            lambda v: torch.einsum("ij,jk,ik->i", v, matrix, v),
            perturbed,
            torch.tensor(x),
            torch.tensor(maps),
            n_perturb_samples=samples,
            normalize=scaled,
        )
        assert_close(actual, theirs.numpy(), 1e-9)
    explain, recorded_inputs = recorded(lambda v: v @ case.matrices()[0].real)
    mine = ff.max_sensitivity(explain, x, radius=0.1, samples=samples)
    moved = torch.tensor(np.stack(recorded_inputs[1:], axis=1).reshape(-1, 8))
    each = iter(moved.reshape(-1, samples, 8))  # an input at a time: captum batches in ways of its own
    theirs = torch.cat(
        [
            metrics.sensitivity_max(
                lambda v: (v[0] @ matrix,),
                torch.tensor(row[np.newaxis]),
                perturb_func=lambda *_: (next(each),),
                n_perturb_samples=samples,
                max_examples_per_batch=samples,
            )
            for row in x
        ]
    )
    assert_close(mine, theirs.numpy(), 1e-9)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_curves_and_truth_metrics_equal_quantus() -> None:
    torch, quantus = peer("torch"), peer("quantus")
    case, rng = random_case(4, seed=3), np.random.default_rng(1)
    x, maps = rng.normal(size=(2, 3, 16))
    matrix = torch.tensor(case.matrices()[0].real)

    class Module(torch.nn.Module):  # type: ignore[misc,name-defined]
        """A classifier with the two outputs F and -F."""

        def forward(self, v: Any) -> Any:
            f = torch.einsum(
                "ij,jk,ik->i", v.reshape(len(v), -1).to(matrix.dtype), matrix, v.reshape(len(v), -1).to(matrix.dtype)
            )
            return torch.stack([f, -f], dim=1)

    score, module = ff.score_of(case.model), Module().eval()
    side = np.where(score(x) < 0, -1, 1)
    images, y = x.reshape(3, 1, 4, 4), (side < 0).astype(int)
    shown = {"model": module, "x_batch": images, "y_batch": y, "channel_first": True}
    options = {"disable_warnings": True, "abs": False, "normalise": False}
    signed = (side[:, np.newaxis] * maps).reshape(images.shape)
    flipped = quantus.PixelFlipping(features_in_step=1, perturb_baseline="black", return_auc_per_sample=False, **options)
    curve = ff.deletion_curve(score, x, maps, reference=x.min(axis=1, keepdims=True), steps=16).scores
    theirs = np.array(flipped(a_batch=signed, softmax=False, **shown))
    assert_close(theirs, curve[:, 1:], 1e-5, float(np.abs(curve).max()))
    truth = np.arange(16) % 5 == 0
    masks = np.broadcast_to(truth.reshape(1, 1, 4, 4), images.shape)
    mass = quantus.RelevanceMassAccuracy(disable_warnings=True, abs=True, normalise=False)
    assert_close(np.array(mass(a_batch=np.abs(signed), s_batch=masks, **shown)), ff.relevance_mass(maps, truth), 1e-6)
    pointing = quantus.PointingGame(disable_warnings=True, abs=True, normalise=False)
    assert_close(
        np.array(pointing(a_batch=np.abs(signed), s_batch=masks, **shown)).astype(float), ff.pointing_game(maps, truth)
    )
