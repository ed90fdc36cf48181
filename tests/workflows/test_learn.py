"""Learning of a model's observable: exactness, errors that cover, tests that tell, files, and resumed campaigns."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest
from swept_engine import swept_engine

import hattriq_cirq as hq
from calibration import Readout
from hattriq_cirq.circuits.errors import CapReachedError
from hattriq_cirq.models.model import IdentityPartWarning
from hattriq_cirq.workflows.generated_models import random_circuit, random_grid, random_ring
from hattriq_cirq.workflows.learning_strings import ChosenStrings

Array = np.ndarray[Any, Any]


def inputs_of(n: int, count: int, *, seed: int, is_complex: bool = False) -> Array:
    rng = np.random.default_rng([seed, n])
    x = rng.normal(size=(count, 2**n)) + (1j * rng.normal(size=(count, 2**n)) if is_complex else 0)
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def one_string(model: hq.Model) -> hq.Model:
    return model.with_observable(next(iter(model.pauli_sum)))


def broken(model: hq.Model, seed: int = 0) -> hq.Model:
    """Return the model with two of its angles swapped, which changes its observable."""
    rng, names = np.random.default_rng(seed), sorted(model.params)
    while True:
        params = dict(model.params)
        first, second = rng.choice(names, 2, replace=False)
        params[first], params[second] = params[second], params[first]
        changed = model.with_params(params)
        if np.linalg.norm(changed.matrix - model.matrix) > 0.2 * np.sqrt(model.n_features):
            return changed


def assert_learns_exactly(n: int, seed: int, *, is_complex: bool) -> None:
    model, x = random_circuit(n, seed=seed, gates="mixed"), inputs_of(n, 2, seed=seed, is_complex=is_complex)
    learned = hq.learn_observable(model, engine=swept_engine(), shots=None, inputs=x, prior="none", seed=seed)
    matrix = learned.observable.matrix
    exact = model.matrix if is_complex else model.matrix.real
    np.testing.assert_allclose(matrix, exact, atol=1e-10)
    np.testing.assert_allclose(learned.coefficients, learned.strings.coefficients_of(model.matrix), atol=1e-10)
    assert (learned.held_out_test().pvalue, learned.compare(model).pvalue) == (1, 1)
    exact_map = hq.integrated_gradients(model, x, baseline=0.1)
    learned_map = hq.integrated_gradients(learned, x, baseline=0.1)
    np.testing.assert_allclose(learned_map.values, exact_map.values, atol=1e-10)
    assert learned_map.stderr.max() < 1e-10


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_learned_observable_is_exact_without_noise_and_shots(n: int, is_complex: bool) -> None:
    assert_learns_exactly(n, 0, is_complex=is_complex)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("n", "is_complex"), [(1, False), (1, True), (2, True), (3, True), (4, False), (4, True), (5, False)])
def test_learned_observable_is_exact_for_more_circuits(n: int, is_complex: bool, seed: int) -> None:
    assert_learns_exactly(n, seed, is_complex=is_complex)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "is_complex"), [(5, True), (6, False)])
def test_learned_observable_is_exact_for_many_strings(n: int, is_complex: bool) -> None:
    assert_learns_exactly(n, 1, is_complex=is_complex)


def test_identity_part_is_that_of_the_observable() -> None:
    q = cirq.LineQubit(0)
    model = hq.Model(cirq.Circuit(cirq.ry(0.4)(q)), [q], cirq.Z(q) + 0.25)
    learned = hq.learn_observable(model, engine=hq.cirq_simulator(), shots=None, prior="none")
    x = inputs_of(1, 3, seed=0)
    np.testing.assert_allclose(learned.expectation(x), model.expectation(x), atol=1e-12)
    with pytest.warns(IdentityPartWarning):
        hq.integrated_gradients(learned, x, baseline=0)


def coverage(n: int, campaigns: int, *, prior: str, e0: float, e1: float, mitigation: Any) -> Array:
    """Return the share of map values that a 95% interval of their own campaign holds, (campaigns,)."""
    shares = []
    for seed in range(campaigns):
        model, x = one_string(random_circuit(n, seed=seed)), inputs_of(n, 1, seed=seed)
        engine = swept_engine(seed, e0=e0, e1=e1)
        options: dict[str, Any] = {"shots": 40_000, "prior": prior, "probes": {3: 80, 4: 300}[n], "mitigation": mitigation}
        learned = hq.learn_observable(model, engine=engine, inputs=x, seed=seed, **options)
        low, high = hq.integrated_gradients(learned, x, baseline=0).interval()
        exact = hq.integrated_gradients(model, x, baseline=0).values
        shares.append(np.mean((low <= exact) & (exact <= high)))
    return np.array(shares)


def test_intervals_of_maps_cover() -> None:
    shares = coverage(3, 16, prior="empirical_bayes", e0=0.02, e1=0.08, mitigation=Readout(shots=2_000))
    assert 0.95 - 4 * shares.std() / 4 < shares.mean() < 0.95 + 4 * shares.std() / 4
    assert shares.std() < 0.12


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 4])
@pytest.mark.parametrize(
    ("prior", "e0", "e1", "mitigation"),
    [("none", 0.0, 0.0, None), ("empirical_bayes", 0.02, 0.08, Readout(shots=2_000)), ("empirical_bayes", 0.0, 0.0, "damping")],
    ids=["least squares", "readout errors", "damping"],
)
def test_intervals_of_maps_cover_in_a_thousand_campaigns(n: int, prior: str, e0: float, e1: float, mitigation: Any) -> None:
    assert 0.93 < coverage(n, 1_000, prior=prior, e0=e0, e1=e1, mitigation=mitigation).mean() < 0.97


def noisy_grid(seed: int, cols: int = 2, **given: Any) -> tuple[hq.Model, hq.LearnedModel]:
    """Return a model and what the virtual processor computes for it, with all its noise."""
    model, x = random_grid(2, cols, 2, seed=seed), inputs_of(2 * cols, 4, seed=seed)
    options: dict[str, Any] = {"shots": 1_000_000, "inputs": x, "mitigation": "damping,readout", "probes": 250, "seed": seed}
    return model, hq.learn_observable(model, **{"engine": hq.virtual("willow_pink", seed=seed), **options, **given})


def breakages(model: hq.Model, seed: int) -> list[hq.Model]:
    """Return a model of layers with two angles swapped, one layer's rotations left out, or two qubits permuted."""
    rng = np.random.default_rng([seed, 1])
    layers = sorted({name[1:].split("_")[0] for name in model.params})
    without = [
        model.with_params({name: 0.0 if name[1:].split("_")[0] == layer else v for name, v in model.params.items()})
        for layer in layers
    ]
    permuted = []
    pairs = list(combinations(model.qubits, 2))
    for pair in rng.permutation(len(pairs)):
        a, b = pairs[pair]
        circuit = model.circuit.unfreeze().transform_qubits({a: b, b: a})
        permuted.append(hq.Model(circuit, model.qubits, model.pauli_sum, dict(model.params)))
    differ = [
        [each for each in kind if np.linalg.norm(each.matrix - model.matrix) > 0.2 * np.sqrt(model.n_features)]
        for kind in ([broken(model, seed)], without, permuted)
    ]
    return [kind[0] for kind in differ if kind]


@pytest.mark.slow
@pytest.mark.parametrize(("strings", "prior"), [("structure", "empirical_bayes"), ("important", "flat")])
def test_honest_noisy_processor_passes_both_tests(strings: str, prior: str) -> None:
    campaigns = [noisy_grid(seed, strings=strings, prior=prior) for seed in range(200)]
    pvalues = np.array([(own.compare(model).pvalue, own.held_out_test().pvalue) for model, own in campaigns])
    rejected = np.mean(pvalues < 0.05, axis=0)
    assert rejected.max() <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("cols", [2, 3])
@pytest.mark.parametrize("prior", ["empirical_bayes", "flat", "magnitude", "none"])
def test_noisy_processor_that_computes_something_else_fails_the_comparison(prior: str, cols: int) -> None:
    detected = []
    for seed in range(8 if cols == 2 else 3):
        model, learned = noisy_grid(seed, cols, prior=prior, probes=250 if cols == 2 else None)
        detected += [learned.compare(each).pvalue < 0.05 for each in breakages(model, seed)]
    assert len(detected) >= 8
    assert np.mean(detected) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("cols", [2, 3])
@pytest.mark.parametrize("prior", ["empirical_bayes", "flat", "magnitude", "none"])
def test_noisy_processor_fails_the_held_out_test_where_the_list_is_too_short(prior: str, cols: int) -> None:
    rejected = []
    for seed in range(20):
        model, x = random_grid(2, cols, 2, seed=seed), inputs_of(2 * cols, 4, seed=seed)
        few = ChosenStrings.of(model, x, 0, "important", "flat").strings.texts
        learned = noisy_grid(seed, cols, strings=few[: max(1, len(few) // 3)], prior=prior, probes=None)[1]
        rejected.append(learned.held_out_test().pvalue < 0.05)
    assert np.mean(rejected) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("cols", [2, 3])
@pytest.mark.parametrize("prior", ["empirical_bayes", "magnitude"])
def test_noisy_processor_that_drifts_fails_the_held_out_test(prior: str, cols: int) -> None:
    rejected = []
    for seed in range(20):
        engine = hq.virtual("willow_pink", seed=seed, extra_noise=hq.noise.Drift(angles=0.2, readout=0.0, seed=seed))
        test = noisy_grid(seed, cols, engine=engine, prior=prior, probes=None)[1].held_out_test()
        rejected.append(test.pvalue < 0.05 and "drift" in {part.question for part in test.failed})
    assert np.mean(rejected) >= 0.9


def test_pairs_of_signs_cancel_strings_with_an_odd_number_of_y() -> None:
    q = cirq.LineQubit.range(2)
    model = hq.Model(cirq.Circuit(cirq.rx(0.7)(q[0]), cirq.CZ(*q)), q, cirq.Z(q[0]) * cirq.X(q[1]) + cirq.Y(q[0]))
    learned = hq.learn_observable(model, engine=swept_engine(), shots=None, prior="none")
    assert learned.strings.is_real.all()
    np.testing.assert_allclose(learned.observable.matrix, model.matrix.real, atol=1e-10)
    with pytest.raises(ValueError, match="x is complex, but this model was learned for real inputs"):
        learned.observable_action([1, 1j, 0, 0])


@pytest.mark.parametrize("prior", ["empirical_bayes", "flat", "magnitude", "none"])
@pytest.mark.parametrize("strings", ["structure", "important"])
def test_broken_device_fails_the_comparison_and_an_honest_one_does_not(prior: str, strings: str) -> None:
    model, x = random_ring(2, 2, seed=3), inputs_of(2, 4, seed=3)
    options: dict[str, Any] = {"shots": 200_000, "inputs": x, "prior": prior, "strings": strings}
    learned = hq.learn_observable(model, engine=swept_engine(5), **options)
    assert learned.compare(model).pvalue > 0.001
    assert learned.held_out_test().pvalue > 0.001
    assert learned.compare(broken(model)).pvalue < 1e-6
    assert (learned.record.prior, learned.record.strings) == (prior, strings)


def test_list_that_is_too_short_fails_the_held_out_test() -> None:
    model = one_string(random_circuit(3, seed=2))
    options: dict[str, Any] = {"engine": swept_engine(1), "shots": 200_000, "prior": "flat", "probes": 100}
    assert hq.learn_observable(model, **options).held_out_test().pvalue > 0.001
    short = hq.learn_observable(model, strings=["ZII", "XII", "IZI"], **options)
    assert short.held_out_test().pvalue < 1e-6
    assert short.record.strings == "given"


def test_seed_repeats_and_matters() -> None:
    model = random_ring(2, 1, seed=1)
    first, same, other = (
        hq.learn_observable(model, engine=swept_engine(9), shots=10_000, seed=seed).coefficients for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_errors_of_a_batch_have_parts_in_common() -> None:
    model, x = random_ring(2, 1, seed=1), np.repeat(inputs_of(2, 1, seed=1), 4, axis=0)
    learned = hq.learn_observable(model, engine=swept_engine(2), shots=10_000, inputs=x)
    weights = np.array([learned.strings.bilinear(row, row)[0] for row in x])
    single, mean = learned.propagate(weights[:1]), learned.propagate(weights.mean(axis=0, keepdims=True))
    np.testing.assert_allclose(single.stderr, mean.stderr, rtol=1e-9)
    attribution = hq.integrated_gradients(learned, x, baseline=0)
    np.testing.assert_allclose(attribution.stderr[:, 0], np.repeat(single.stderr, 4), rtol=1e-9)
    assert "does not average them away" in attribution.assumptions.notes[-1]
    low, high = single.interval()
    assert low < single.values < high


def test_error_of_a_score_is_that_of_the_sum_of_its_map() -> None:
    model, x = random_ring(2, 1, seed=1), inputs_of(2, 2, seed=1)
    learned = hq.learn_observable(model, engine=swept_engine(2), shots=10_000, inputs=x)
    total = learned.propagate(learned.strings.bilinear(x[0], x[0]).sum(axis=0, keepdims=True))
    np.testing.assert_allclose(learned.expectation(x)[0], total.values[0], atol=1e-12)
    np.testing.assert_allclose(learned.expectation_stderr(x)[0], total.stderr[0], rtol=1e-9)


def test_steep_head_has_errors_by_bootstrap_that_agree_with_the_linear_ones_where_it_is_flat() -> None:
    model, x = random_ring(2, 1, seed=1), inputs_of(2, 2, seed=1)
    learned = hq.learn_observable(model, engine=swept_engine(2), shots=20_000, inputs=x)
    linear = hq.integrated_gradients(learned, x, baseline=0).stderr
    flat = hq.integrated_gradients(learned, x, baseline=0, head=hq.Head("sigmoid", scale=1e-3)).stderr
    np.testing.assert_allclose(4e3 * flat, linear, rtol=0.25, atol=1e-6)


def test_damping_of_a_noisy_device_is_measured_and_removed() -> None:
    model, x = random_ring(2, 2, seed=4), inputs_of(2, 3, seed=4)
    engine = hq.cirq_simulator(noise=cirq.ConstantQubitNoiseModel(cirq.depolarize(0.01)))
    options: dict[str, Any] = {"engine": engine, "shots": None, "inputs": x, "prior": "none", "probes": 30}
    exact = hq.integrated_gradients(model, x, baseline=0).values
    errors = {}
    for mitigation in (None, "damping"):
        learned = hq.learn_observable(model, mitigation=mitigation, **options)
        errors[mitigation] = np.linalg.norm(hq.integrated_gradients(learned, x, baseline=0).values - exact)
    assert 0.7 < learned.factor < 0.97
    assert errors["damping"] < 0.3 * errors[None]


def test_error_of_the_damping_is_the_systematic_part_and_leaves_intervals_as_wide() -> None:
    model, x = random_ring(2, 2, seed=4), inputs_of(2, 3, seed=4)
    options: dict[str, Any] = {"engine": swept_engine(2), "shots": 20_000, "inputs": x, "prior": "none", "probes": 30}
    learned = hq.learn_observable(model, mitigation="damping", **options)
    assert learned.damping is not None
    a = hq.integrated_gradients(learned, x, baseline=0)
    assert a.systematic is not None
    weights = learned.strings.bilinear(x[0], x[0])
    np.testing.assert_allclose(a.systematic, np.abs(a.values) * learned.damping.stderr, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(np.hypot(a.stderr, a.systematic)[0], learned.propagate(weights).stderr, rtol=1e-9)
    flat = hq.integrated_gradients(learned, x, baseline=0, head=hq.Head("sigmoid", scale=1e-3))
    assert flat.systematic is not None
    np.testing.assert_allclose(4e3 * flat.systematic, a.systematic, rtol=1e-3, atol=1e-9)
    undamped = hq.integrated_gradients(hq.learn_observable(model, **options), x, baseline=0)
    assert undamped.systematic is None


def test_strings_that_the_list_leaves_out_are_a_systematic_part() -> None:
    model, x = random_grid(2, 2, 2, seed=1), inputs_of(4, 20, seed=1)
    learned = hq.learn_observable(model, engine=swept_engine(2), shots=50_000, inputs=x, strings="important")
    a = hq.integrated_gradients(learned, x, baseline=0)
    left_out = hq.integrated_gradients(model, x, baseline=0).values - np.array(
        [learned.strings.bilinear(row, row) @ learned.strings.coefficients_of(model.matrix) for row in x]
    )
    size = np.mean(np.sum((left_out + a.values) ** 2, axis=-1))
    assert 0 < learned.record.truncated_share < 0.05
    assert 0.2 < np.mean(np.sum(left_out**2, axis=-1)) / size / learned.record.truncated_share < 2
    assert a.systematic is not None
    expected = learned.record.truncated_share * (a.values**2).sum(axis=-1)
    np.testing.assert_allclose((a.systematic**2).sum(axis=-1), expected)


def test_learned_model_is_saved_and_loaded_without_loss(tmp_path: Path) -> None:
    model, x = random_ring(2, 1, seed=1), inputs_of(2, 2, seed=1)
    engine = swept_engine(2, e0=0.02, e1=0.05)
    learned = hq.learn_observable(model, engine=engine, shots=20_000, inputs=x, mitigation="damping,readout")
    loaded = hq.LearnedModel.load(learned.save(tmp_path / "learned.npz"), model)
    assert (loaded.record, loaded.provenance, repr(loaded)) == (learned.record, learned.provenance, repr(learned))
    np.testing.assert_array_equal(loaded.covariance, learned.covariance)
    for test in ("held_out_test", "compare"):
        arguments = () if test == "held_out_test" else (model,)
        assert getattr(loaded, test)(*arguments).statistic == getattr(learned, test)(*arguments).statistic
    one, other = (hq.integrated_gradients(form, x, baseline=0) for form in (learned, loaded))
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.stderr, other.stderr)
    with pytest.raises(ValueError, match="belongs to a model with observable"):
        hq.LearnedModel.load(tmp_path / "learned.npz", broken(model))
    with pytest.raises(FileExistsError):
        learned.save(tmp_path / "learned.npz")


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    learned = hq.learn_observable(random_ring(1, 1), engine=swept_engine(2), shots=5_000)
    path = learned.save(tmp_path / "learned.npz")
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(tmp_path / "short.npz", **{name: array for name, array in arrays.items() if name != "noise"})
    np.savez(tmp_path / "other.npz", **{**arrays, "coefficients": arrays["coefficients"][:-1]})
    (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:200])
    for name in ("short", "other", "cut"):
        with pytest.raises(ValueError, match=f"{name}.npz is not a saved learned model"):
            hq.LearnedModel.load(tmp_path / f"{name}.npz")


def test_interrupted_campaign_resumes_from_its_journal(tmp_path: Path) -> None:
    model = random_ring(2, 1, seed=1)
    options: dict[str, Any] = {"shots": 10_000, "probes": 30, "seed": 4}
    whole = hq.learn_observable(model, engine=hq.qsim(seed=3), **options)
    engine = hq.qsim(seed=3, journal=tmp_path / "journal", max_jobs=1)
    with pytest.warns(UserWarning, match="the run will stop before"), pytest.raises(CapReachedError):
        hq.learn_observable(model, engine=engine, **options)
    assert engine.journal is not None
    engine.journal.close()
    resumed = hq.qsim(seed=3, journal=tmp_path / "journal")
    learned = hq.learn_observable(model, engine=resumed, **options)
    np.testing.assert_array_equal(learned.coefficients, whole.coefficients)


def test_any_sampler_and_a_virtual_processor_learn() -> None:
    model, x = random_ring(2, 1, seed=6), inputs_of(2, 2, seed=6)
    exact = hq.integrated_gradients(model, x, baseline=0).values
    engines: list[Any] = [cirq.Simulator(seed=1), hq.virtual("willow_pink", seed=1)]
    for engine in engines:
        mitigation = "damping,readout" if isinstance(engine, hq.qsim().__class__) else None
        learned = hq.learn_observable(model, engine=engine, shots=100_000, inputs=x, probes=40, mitigation=mitigation)
        attribution = hq.integrated_gradients(learned, x, baseline=0)
        assert (np.abs(attribution.values - exact) < 5 * attribution.stderr + 0.02).all()
        assert learned.compare(model).pvalue > 1e-4
    assert learned.record.programs <= 2
    assert learned.record.calibration_id is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shots": 50}, "shots=50 must be at least"),
        ({"strings": "all"}, "strings='all' must be 'structure' or 'important'"),
        ({"strings": ["ZZZ"]}, "strings of 3 letters do not fit a model of 2 qubits"),
        ({"strings": ["II"]}, "the identity is among the strings"),
        ({"strings": ["YI"]}, "string YI has an odd number of Y"),
        ({"prior": "wide"}, "prior='wide' must be"),
        ({"probes": 3}, "probes=3 must"),
        ({"probes": 16, "prior": "none"}, "probes=8 cannot determine 9 coefficients"),
        ({"mitigation": "magic"}, "mitigation 'magic' must be of"),
        ({"mitigation": "damping,"}, "mitigation 'damping,' must be names with commas between them"),
        ({"mitigation": "damping,damping"}, "mitigation 'damping,damping' must be names with commas"),
        ({"inputs": np.zeros((2, 4))}, "differs from the baseline"),
        ({"inputs": np.ones((2, 3))}, "must end in"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_wrong_argument_is_refused_before_anything_runs(options: dict[str, Any], message: str) -> None:
    model = random_ring(2, 3, seed=1)
    given: dict[str, Any] = {"engine": swept_engine(1), "shots": 10_000, **options}
    with pytest.raises(ValueError, match=message):
        hq.learn_observable(model, **given)


def test_observable_that_real_inputs_do_not_see_is_refused() -> None:
    q = cirq.LineQubit(0)
    with pytest.raises(ValueError, match="there is nothing to learn"):
        hq.learn_observable(hq.Model(cirq.Circuit(), [q], cirq.Y(q)), engine=swept_engine(1), shots=1_000)
