"""Heads with weights and with a target per input: against the oracle, one input at a time, and from circuits and campaigns."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import cirq
import numpy as np
import oracle
import pytest
from entangled_pair import CIRCUIT, LINE, MODEL, OBSERVABLE, B, X
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import Array, Case, amplitudes, assert_close, cases, clearance, generators, random_observable
from swept_engine import swept_engine

import hattriq_cirq as hq
from hattriq_cirq.attribution.objective import HeadKind, Objective
from hattriq_cirq.models.model import Form

FORMS: tuple[Form, ...] = ("quadratic", "normalized")
KINDS: tuple[HeadKind, ...] = ("linear", "sigmoid", "tanh", "softmax")
pytestmark = pytest.mark.filterwarnings("ignore::hattriq_cirq.IdentityPartWarning")


def twin(kind: str, scale: float, target: int, weights: Array, bias: Array) -> oracle.Head:
    """Return the head written as in its definition, analytic for complex steps."""
    functions: dict[str, Callable[[Array], Array]] = {
        "linear": lambda y: y[..., target],
        "sigmoid": lambda y: 1 / (1 + np.exp(-scale * y[..., target])),
        "tanh": lambda y: np.tanh(scale * y[..., target]),
        "softmax": lambda y: np.exp(scale * y[..., target]) / np.exp(scale * y).sum(axis=-1),
    }
    return lambda z: functions[kind](z @ weights.T + bias)


def random_head(kind: HeadKind, rng: np.random.Generator, observables: int, target: Any) -> tuple[hq.Head, float, Array, Array]:
    scale = 1.0 if kind == "linear" else float(rng.choice([-2.0, 0.5, 3.0]))
    weights, bias = rng.normal(size=(3, observables)), rng.normal(size=3)
    return hq.Head(kind, scale, target, weights, bias), scale, weights, bias


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=5)
@given(case=cases(most_qubits=3), count=st.integers(1, 3), imaginary=st.booleans(), rng=generators)
def test_head_with_weights_and_a_target_per_input_equals_the_oracle(
    form: Form, kind: HeadKind, case: Case, count: int, imaginary: bool, rng: np.random.Generator
) -> None:
    x, b = amplitudes(rng, 5, case.features, imaginary=imaginary), amplitudes(rng, case.features)
    x, b = x / np.linalg.norm(x, axis=1, keepdims=True), b / np.linalg.norm(b)
    assume(form == "quadratic" or clearance(x, [b]) > 0.05)
    observables = [random_observable(case.qubits, rng) for _ in range(count)]
    targets = rng.integers(0, 3, size=5)
    head, scale, weights, bias = random_head(kind, rng, count, targets)
    for rule in ("exact", "trapezoid:3"):
        options: dict[str, Any] = {"baseline": b, "form": form, "rule": rule, "observables": observables}
        a = hq.integrated_gradients(case.model, x, head=head, **options)
        for i, target in enumerate(targets):
            own = case.oracle(form, twin(kind, scale, int(target), weights, bias), observables)
            values = np.sum(own.integrated_gradients(x[i], b, rule), axis=0)
            assert_close(a.values[i], values, 1e-8, 1 + np.abs(values).max())
            assert_close([a.f_input[i], a.f_baseline[i]], [own.score(x[i]), own.score(b)], 1e-10, 1 + np.abs(values).max())
        if rule == "exact":
            assert np.abs(a.completeness_gap).max() < 1e-8
    assert a.target is not None
    assert a.target.tolist() == targets.tolist()
    assert "a target per input" in a.assumptions.head
    one = hq.integrated_gradients(case.model, x[1], head=head.with_target(int(targets[1])), **options)
    assert_close(one.values, a.values[1], 1e-12, 1 + np.abs(a.values[1]).max())


@settings(max_examples=10)
@given(case=cases(most_qubits=3), rng=generators)
def test_linear_head_is_the_weighted_sum_of_maps_at_any_size_of_inputs(case: Case, rng: np.random.Generator) -> None:
    """One quadratic form: no integral, inputs of any size, and the constant belongs to the scores alone."""
    observables = [random_observable(case.qubits, rng) for _ in range(3)]
    weights, bias = rng.normal(size=3), float(rng.normal())
    head = hq.Head("linear", weights=weights, bias=bias)
    for size in (1.0, 1e-140, 1e140):
        x, b = size * amplitudes(rng, 2, case.features)
        a = hq.integrated_gradients(case.model, x, baseline=b, observables=observables, head=head)
        maps = [hq.integrated_gradients(case.model, x, baseline=b, observables=[o]) for o in observables]
        for name, constant in (("values", 0.0), ("f_input", bias), ("f_baseline", bias)):
            each = np.array([w * getattr(m, name) for w, m in zip(weights, maps, strict=True)])
            assert_close(getattr(a, name), each.sum(axis=0) + constant, 1e-12, np.abs(each).max() + abs(constant))
        assert a.target is None


def test_linear_head_without_weights_picks_an_observable() -> None:
    observables = [OBSERVABLE, -0.5 * cirq.Z(LINE[1])]
    for target in (0, 1):
        a = hq.integrated_gradients(MODEL, X, baseline=B, head=hq.Head("linear", target=target), observables=observables)
        alone = hq.integrated_gradients(MODEL, X, baseline=B, observables=[observables[target]])
        np.testing.assert_allclose(a.values, alone.values, rtol=0, atol=1e-14)
    zero = hq.integrated_gradients(MODEL, X, baseline=B, head=hq.Head("linear", weights=[0.0], bias=2))
    assert not zero.values.any()
    assert zero.f_input == zero.f_baseline == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
@given(rng=generators)
def test_gradient_of_a_head_with_weights_equals_finite_differences(
    form: Form, kind: HeadKind, rng: np.random.Generator
) -> None:
    head, scale, weights, bias = random_head(kind, rng, 2, 2)
    score, q = Objective(form, head), np.concatenate([[rng.uniform(0.5, 2)], rng.normal(size=2)])
    assert_close(score.gradient(q), oracle.finite_difference(score.value, q), 1e-7, 1 + np.abs(score.gradient(q)).max())
    z = q[1:] if form == "quadratic" else q[1:] / q[0]
    assert_close(score.value(q), twin(kind, scale, 2, weights, bias)(z), 1e-12, 1.0)


@pytest.mark.parametrize("decades", [2, 5])
@pytest.mark.parametrize("form", FORMS)
def test_steep_softmax_of_logits_with_weights_and_bias_is_complete(form: Form, decades: int) -> None:
    """The steps of the softmax are where two logits are equal: roots that weights and bias move."""
    rng = np.random.default_rng(decades)
    weights, bias = rng.normal(size=(3, 2)), 0.1 * rng.normal(size=3)
    observables = [OBSERVABLE, -0.5 * cirq.Z(LINE[1])]
    for target in range(3):
        head = hq.Head("softmax", 10.0**decades, target, weights, bias)
        a = hq.integrated_gradients(MODEL, X, baseline=B, form=form, head=head, observables=observables)
        assert abs(a.completeness_gap) < 1e-9
    maps = [
        hq.integrated_gradients(MODEL, X, baseline=B, form=form, head=head.with_target(t), observables=observables).values
        for t in range(3)
    ]
    assert_close(np.sum(maps, axis=0), np.zeros(len(X)), 1e-8, np.abs(maps).max())
    assert np.abs(maps).max() > 0.01


def matrices() -> list[Array]:
    u = oracle.unitary(CIRCUIT, LINE)
    return [u.conj().T @ oracle.pauli_matrix(o, LINE) @ u for o in (OBSERVABLE, -0.5 * cirq.Z(LINE[1]))]


@pytest.mark.parametrize("kind", ["linear", "softmax"])
def test_circuits_measure_heads_with_weights_and_a_target_per_input(kind: HeadKind) -> None:
    rng, x = np.random.default_rng(3), np.stack([X, X[::-1]])
    head, scale, weights, bias = random_head(kind, rng, 2, [2, 0])
    a = hq.integrated_gradients(
        MODEL,
        x,
        baseline=B,
        head=head,
        observables=[OBSERVABLE, -0.5 * cirq.Z(LINE[1])],
        estimator=hq.ResolvedHadamardTest(),
        engine=hq.cirq_simulator(),
        shots=None,
        scores="measured",
    )
    for i, target in enumerate([2, 0]):
        own = oracle.Oracle(matrices(), "quadratic", twin(kind, scale, target, weights, bias))
        np.testing.assert_allclose(a.values[i], np.sum(own.integrated_gradients(x[i], B), axis=0), rtol=0, atol=1e-9)
        np.testing.assert_allclose([a.f_input[i], a.f_baseline[i]], [own.score(x[i]), own.score(B)], atol=1e-10)
    assert a.target is not None
    assert a.target.tolist() == [2, 0]


def test_learned_models_take_heads_with_weights() -> None:
    heads = [MODEL.with_observable(o) for o in (OBSERVABLE, -0.5 * cirq.Z(LINE[1]))]
    learned = hq.learn_observable(heads, engine=swept_engine(), shots=None, inputs=X[np.newaxis], prior="none")
    assert isinstance(learned, hq.LearnedModels)
    for kind in ("linear", "softmax"):
        head = hq.Head(kind, weights=[[1, -0.5], [0.3, 2]], bias=[0, 0.1], target=[1])
        found = hq.integrated_gradients(learned, X[np.newaxis], baseline=B, head=head)
        exact = hq.integrated_gradients(heads, X[np.newaxis], baseline=B, head=head)
        np.testing.assert_allclose(found.values, exact.values, rtol=0, atol=1e-8)
        np.testing.assert_allclose(found.f_input, exact.f_input, rtol=0, atol=1e-8)


def test_errors_of_a_linear_head_on_learned_models_are_those_of_a_bootstrap() -> None:
    """Another rule, exact for quadratic forms too, has its errors from random observables and not by propagation."""
    heads = [MODEL.with_observable(o) for o in (OBSERVABLE, -0.5 * cirq.Z(LINE[1]))]
    learned = hq.learn_observable(
        heads, engine=swept_engine(1), shots=20_000, inputs=X[np.newaxis], prior="none", mitigation="damping", seed=1
    )
    head = hq.Head("linear", weights=[1.0, -2.0], bias=0.3)
    exact = hq.integrated_gradients(
        [learned[0], learned[1], learned[0]], X, baseline=B, head=hq.Head("linear", weights=[0.4, -2, 0.6])
    )
    found = hq.integrated_gradients(learned, X, baseline=B, head=head)
    np.testing.assert_allclose(found.stderr, exact.stderr, rtol=1e-9)
    drawn = hq.integrated_gradients(learned, X, baseline=B, head=head, rule="gauss-legendre:2")
    np.testing.assert_allclose(drawn.values, found.values, rtol=0, atol=1e-12)
    assert found.systematic is not None
    assert drawn.systematic is not None
    np.testing.assert_allclose(drawn.systematic, found.systematic, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(drawn.stderr, found.stderr, rtol=0.25)  # 200 samples: within 5%
    alone = [hq.integrated_gradients(each, X, baseline=B).stderr for each in learned]
    assert not np.allclose(found.stderr, np.hypot(alone[0], 2 * alone[1]), rtol=0.02)  # the campaign's errors are correlated
    assert not found.completeness_gap_stderr.any()


def test_targets_have_the_shape_of_the_batch() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    head = hq.Head("softmax", target=[[0, 1, 0], [1, 1, 0]])
    a = hq.integrated_gradients(MODEL, x, baseline=0.1, head=head, observables=[OBSERVABLE, "Z1"])
    assert a.target is not None
    assert a.target.shape == a.f_input.shape == (2, 3)
    alone = hq.integrated_gradients(MODEL, x[1, 0], baseline=0.1, head=head.with_target(1), observables=[OBSERVABLE, "Z1"])
    np.testing.assert_allclose(a.values[1, 0], alone.values, rtol=0, atol=1e-12)
    assert alone.target is not None
    assert alone.target.shape == ()
    with pytest.raises(ValueError, match=r"target of shape \(2, 3\) must be one number, or have the shape \(3,\)"):
        hq.integrated_gradients(MODEL, x[0], baseline=0.1, head=head, observables=[OBSERVABLE, "Z1"])


def test_text_of_heads_with_weights() -> None:
    heads = [
        hq.Head("linear", weights=[0.5, -2], bias=1),
        hq.Head("softmax", 5, [1, 0]),
        hq.Head("sigmoid", target=1, weights=[[1], [2]]),
    ]
    assert list(map(str, heads)) == [
        "linear(weights=[[0.5, -2]], bias=[1])",
        "softmax(scale=5, a target per input)",
        "sigmoid(scale=1, target=1, weights=[[1], [2]])",
    ]
    many = [str(hq.Head("softmax", weights=np.arange(20.0).reshape(10, 2) + i)) for i in range(2)]
    assert many[0].startswith("softmax(scale=1, target=0, weights=10 x 2 numbers ")
    assert many[0] != many[1]


def test_heads_are_values() -> None:
    weights = np.array([[1.0, 2.0], [3.0, 4.0]])
    head = hq.Head("softmax", target=[0, 1], weights=weights)
    same = hq.Head("softmax", target=(0, 1), weights=weights.tolist())
    assert head == same
    assert hash(head) == hash(same)
    assert pickle.loads(pickle.dumps(head)) == head
    weights[0, 0] = 9
    assert head == same


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "linear", "scale": 2.0}, "multiply the weights by it"),
        ({"kind": "identity", "weights": [1.0]}, "the identity head takes no weights"),
        ({"kind": "ratio", "bias": 1.0}, "the ratio head takes no weights"),
        ({"kind": "linear", "weights": [[1.0, np.nan]]}, "must be finite"),
        ({"kind": "linear", "weights": [["a"]]}, "must be an array of numbers"),
        ({"kind": "linear", "weights": []}, r"shape \(0,\)"),
        ({"kind": "linear", "weights": [[1.0]], "bias": [1, 2]}, "one number for each of 1 logit"),
        (
            {"kind": "softmax", "weights": [[1.0], [2.0]], "target": 2},
            "target=2 must be below the number of rows of weights, 2",
        ),
        ({"kind": "softmax", "target": [0, -1]}, "target=-1 must name a component"),
        ({"kind": "softmax", "target": [0.5]}, "target=.* must name a component"),
        *(({"kind": "softmax", "target": target}, "target=") for target in (True, 1.0, np.float64(1), "1", 1j, object())),
    ],
)
def test_invalid_weights_and_targets_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hq.Head(**arguments)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (hq.Head("linear", weights=[1.0, 2.0, 3.0]), "3 weights per logit, one per observable, and there are 2 observables"),
        (hq.Head("linear", target=2), "target=2 must be below the number of observables, 2"),
        (hq.Head("softmax", bias=[1.0]), "one number for each of 2 observables"),
        (hq.Head("softmax", target=[0, 2]), "target=2 must be below"),
    ],
)
def test_heads_that_do_not_fit_the_observables_are_refused(head: hq.Head, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hq.integrated_gradients(MODEL, np.stack([X, X]), baseline=B, head=head, observables=[OBSERVABLE, "Z1"])
