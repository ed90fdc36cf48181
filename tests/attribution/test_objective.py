"""Heads: values and gradients by definition, and their integrated gradients against the oracle in both forms."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Any

import cirq
import numpy as np
import oracle
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import (
    KINDS,
    Array,
    Case,
    amplitudes,
    assert_agrees,
    assert_close,
    cases,
    clearance,
    generators,
    random_case,
    random_observable,
    references,
)

from hattriq_cirq.attribution.objective import Head, HeadKind, Objective
from hattriq_cirq.models.model import Form, Model
from hattriq_cirq.pipeline.integrated_gradients import integrated_gradients
from hattriq_cirq.simulation.statevector import Precision

FORMS: tuple[Form, ...] = ("quadratic", "normalized")
ONE_OBSERVABLE: tuple[HeadKind, ...] = ("sigmoid", "tanh")
TWINS = {"sigmoid": oracle.sigmoid, "tanh": oracle.tanh}
scales = st.floats(0.2, 5) | st.floats(-5, -0.2)


def unit(rows: Array) -> Array:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


@pytest.mark.parametrize("rule", ["exact", "riemann:5", "gauss-legendre:4"])
@pytest.mark.parametrize("kind", ONE_OBSERVABLE)
@pytest.mark.parametrize("form", FORMS)
@given(case=cases(), scale=scales, reference=st.sampled_from(KINDS), imaginary=st.booleans(), rng=generators)
def test_heads_on_one_observable_equal_oracle(
    form: Form,
    kind: HeadKind,
    rule: str,
    case: Case,
    scale: float,
    reference: str,
    imaginary: bool,
    rng: np.random.Generator,
) -> None:
    xs = unit(amplitudes(rng, 2, case.features, imaginary=imaginary))
    reference = "constant" if (form, reference) == ("normalized", "zero") else reference
    baseline, bs = references(reference, rng, xs, imaginary)
    assume(form == "quadratic" or clearance(xs, bs) > 0.05)
    a = integrated_gradients(case.model, xs, baseline=baseline, form=form, rule=rule, head=Head(kind, scale))
    assert_agrees(a, case.oracle(form, TWINS[kind](scale)), bs, 1e-9)
    assert a.assumptions.head.startswith(kind)


@pytest.mark.parametrize("rule", ["exact", "trapezoid:5"])
@pytest.mark.parametrize("form", FORMS)
@given(case=cases(), scale=scales, count=st.integers(1, 3), imaginary=st.booleans(), rng=generators)
def test_softmax_on_several_observables_equals_oracle(
    form: Form, rule: str, case: Case, scale: float, count: int, imaginary: bool, rng: np.random.Generator
) -> None:
    xs = unit(amplitudes(rng, 2, case.features, imaginary=imaginary))
    baseline, bs = references("set", rng, xs, imaginary)
    assume(form == "quadratic" or clearance(xs, bs) > 0.05)
    observables = [random_observable(case.qubits, rng) for _ in range(count)]
    target = int(rng.integers(count))
    a = integrated_gradients(
        case.model,
        xs,
        baseline=baseline,
        form=form,
        rule=rule,
        head=Head("softmax", scale, target),
        observables=observables,
    )
    assert_agrees(a, case.oracle(form, oracle.softmax(scale, target), observables), bs, 1e-9)
    if rule == "exact":
        assert np.abs(a.completeness_gap).max() < 1e-9
    assert len(a.assumptions.observables) == count


@given(case=cases(most_qubits=3), scale=scales, rng=generators)
def test_softmax_attributions_sum_to_zero_over_targets(case: Case, scale: float, rng: np.random.Generator) -> None:
    """The components of a softmax sum to 1 everywhere, so that their maps sum to 0."""
    x, b = amplitudes(rng, 2, case.features)
    observables = [random_observable(case.qubits, rng) for _ in range(3)]
    maps = [
        integrated_gradients(case.model, x, baseline=b, head=Head("softmax", scale, j), observables=observables).values
        for j in range(3)
    ]
    assert_close(np.sum(maps, axis=0), np.zeros(case.features), 1e-8, np.abs(maps).max())


def stable_softmax(scale: float, target: int) -> oracle.Head:
    """Return a softmax of logits of any size, analytic for complex steps."""
    return lambda z: (
        np.exp(scale * (z[..., target] - (top := z.real.max(axis=-1))))
        / np.exp(scale * (z - top[..., np.newaxis])).sum(axis=-1)
    )


def steep_oracle(matrices: Sequence[Array], head: oracle.Head, scale: float, x: Array, b: Array, form: str) -> Array:
    """Integrate the gradient between dense break points around every place where two logits are close."""
    score, d = oracle.Oracle(matrices, form, head), x - b
    logits = matrices if len(matrices) > 1 else [matrices[0], np.zeros_like(matrices[0])]
    ends = [0.0, 1.0]
    for first, second in combinations(logits, 2):
        for level in np.linspace(-45, 45, 31) / scale:
            m = first - second - (level * np.eye(len(x)) if form == "normalized" else 0)
            constant = (b.conj() @ m @ b).real - (level if form == "quadratic" else 0)
            ends += [r.real for r in np.roots([(d.conj() @ m @ d).real, 2 * (b.conj() @ m @ d).real, constant])]
    ends = sorted(a for a in ends if 0 <= a <= 1)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    total = np.zeros(len(x))
    for low, high in pairwise(ends):
        at = low + (high - low) * (nodes + 1) / 2
        gradient = score.gradient(b + at[:, np.newaxis] * d)
        total += (high - low) / 2 * (weights @ (np.conj(d) * gradient).real)
    return total


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=20)
@given(case=cases(most_qubits=3), decades=st.floats(0, 7), size=st.sampled_from([1.0, 300.0]), rng=generators)
def test_steep_heads_equal_oracle(
    count: int, form: Form, case: Case, decades: float, size: float, rng: np.random.Generator
) -> None:
    observables = [random_observable(case.qubits, rng) for _ in range(count)]
    matrices = case.matrices(observables)
    x, b = size * amplitudes(rng, 2, case.features)
    assume(form == "quadratic" or clearance(x[np.newaxis], [b]) > 0.05)
    scale = 10**decades
    head = Head("tanh", scale) if count == 1 else Head("softmax", scale, 1)
    twin = oracle.tanh(scale) if count == 1 else stable_softmax(scale, 1)
    a = integrated_gradients(case.model, x, baseline=b, form=form, head=head, observables=observables)
    expected = steep_oracle(matrices, twin, scale, x, b, form)
    assert_close(a.values, expected, 1e-7, 1 + np.abs(expected).max())
    assert abs(a.completeness_gap) < 1e-7


@pytest.mark.parametrize("scale", [5, 1e3, 1e6, 1e12, 1e20, 1e200])
def test_map_of_a_steep_head_does_not_depend_on_its_scale(scale: float) -> None:
    q = cirq.LineQubit(0)
    model = Model(cirq.Circuit(), [q], 1.0 * cirq.Z(q))
    for sign in (1, -1):
        a = integrated_gradients(model, [200.0, 40.0], baseline=[-170.0, 60.0], head=Head("sigmoid", sign * scale))
        assert_close(a.values, sign * np.array([-0.10842491, 0.10842491]), 1e-7)
    from_zero = integrated_gradients(model, [100.0, 40.0], baseline=0, head=Head("sigmoid", scale))
    assert_close(from_zero.values.sum(), 0.5, 1e-7)
    assert_close(from_zero.values, 0.5 * np.array([100.0**2, -(40.0**2)]) / (100.0**2 - 40.0**2), 1e-7)


@pytest.mark.filterwarnings("ignore::hattriq_cirq.attribution.path_integral.CompletenessWarning")
@pytest.mark.parametrize("scale", [1e3, 1e6])
def test_steep_head_on_a_path_that_ends_on_the_boundary(scale: float) -> None:
    """The half step at an end is found, on whichever side of the end rounding puts the zero of the form."""
    a, b = cirq.LineQubit.range(2)
    observable = -0.25 * cirq.Z(a) * cirq.Z(b) + 1.0 * cirq.Z(a)  # at the input: .75 (300^2 - 300^2) + 1.25 (150^2 - 150^2)
    model = Model(cirq.Circuit(), [a, b], observable)
    attribution = integrated_gradients(model, [300, 150, -300, 150], baseline=[0, 0, 150, 150], head=Head("tanh", scale))
    assert_close(attribution.values, [31.2, 13.0, -43.2, 0.0], 1e-5)

    model = Model(cirq.Circuit(), [a, b], 1e-4 * cirq.X(a) * cirq.Z(b) + 1e-4 * cirq.Z(b))
    for sign in (1, -1):  # zero at both ends: two half steps of opposite sign
        attribution = integrated_gradients(
            model, 300 * np.ones(4), baseline=[300, -300, 300, -300], head=Head("sigmoid", sign * scale)
        )
        assert_close(attribution.values, np.zeros(4), 1e-7, 1.0)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("ratio", [1e4, 1e7])
def test_map_of_an_input_that_is_small_beside_the_baseline(ratio: float, precision: Precision) -> None:
    """The head changes close to the input, where the products of the baseline cancel."""
    qubits = cirq.LineQubit.range(2)
    observable = 0.5 * cirq.X(qubits[0]) * cirq.Z(qubits[1]) + 0.5 * cirq.Z(qubits[0])
    model, matrix = Model(cirq.Circuit(), qubits, observable), observable.matrix(qubits)
    x, b = np.array([0.9, 0.1, 1.1, 0.4]), ratio * np.array([1.6, -0.2, -1.9, 0.7])
    a = integrated_gradients(model, x, baseline=b, head=Head("tanh", -1), precision=precision)
    expected = steep_oracle([matrix], oracle.tanh(-1.0), 1.0, x, b, "quadratic")
    assert_close(a.values, expected, 1e-6 if precision == "float64" else 1e-4, 1 + np.abs(expected).max())


def test_observables_argument_replaces_the_model_observable() -> None:
    case, rng = random_case(2, seed=4), np.random.default_rng(0)
    other = random_observable(case.qubits, rng)
    x = amplitudes(rng, 4)
    a = integrated_gradients(case.model, x, baseline=0, observables=[other])
    assert_agrees(a, case.oracle(observables=[other]), [np.zeros(4)])
    assert a.assumptions.observables == (case.model.with_observable(other).observable_text,)


heads = st.one_of(
    st.just(Head()),
    st.builds(Head, st.sampled_from(ONE_OBSERVABLE), scales),
    st.builds(Head, st.just("softmax"), scales, st.integers(0, 2)),
)


@pytest.mark.parametrize("form", FORMS)
@given(head=heads, rng=generators)
def test_objective_gradient_equals_finite_differences(form: Form, head: Head, rng: np.random.Generator) -> None:
    count = 3 if head.kind == "softmax" else 1
    score, q = Objective(form, head), np.concatenate([[rng.uniform(0.5, 2)], rng.normal(size=count)])
    assert_close(score.gradient(q), oracle.finite_difference(score.value, q), 1e-7, 1 + np.abs(score.gradient(q)).max())


@pytest.mark.parametrize(
    ("head", "z", "expected"),
    [
        (Head(), [0.3], 0.3),
        (Head("sigmoid", 2), [0.3], 1 / (1 + np.exp(-0.6))),
        (Head("tanh", 2), [0.3], np.tanh(0.6)),
        (Head("softmax", 2, 1), [0.3, -0.1], 1 / (1 + np.exp(0.8))),
        (Head("sigmoid", 1), [-1000.0], 0.0),
        (Head("sigmoid", 1), [1000.0], 1.0),
        (Head("softmax", 1, 0), [1000.0, -1000.0], 1.0),
    ],
)
def test_head_values_without_overflow(head: Head, z: list[float], expected: float) -> None:
    assert_close(head.value(np.array(z)), expected, scale=1.0)


def test_head_as_text() -> None:
    names = [str(h) for h in (Head(), Head("tanh", 3), Head("softmax", 5, 1))]
    assert names == ["identity", "tanh(scale=3)", "softmax(scale=5, target=1)"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "relu"}, "'relu' must be one of identity, linear, sigmoid, tanh, softmax, ratio"),
        ({"kind": "sigmoid", "scale": 0.0}, "scale=0.0 must be"),
        ({"kind": "sigmoid", "scale": np.nan}, "scale=nan must be"),
        ({"scale": 2.0}, "scale=2.0 has no effect on the identity"),
        ({"kind": "softmax", "target": -1}, "target=-1 must name"),
        ({"kind": "tanh", "target": 1}, "target=1 must name a component of a softmax"),
    ],
)
def test_invalid_heads_are_rejected(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Head(**arguments)


@pytest.mark.parametrize(
    ("head", "count", "message"),
    [
        (Head("softmax", 1, 2), 2, "target=2 must be below the number of observables, 2"),
        (Head("tanh"), 2, "a tanh head takes one observable, got 2"),
        (None, 2, "an? identity head takes one observable, got 2"),
        (Head("softmax"), 0, "observable"),
        (None, 0, "observable"),
    ],
)
def test_head_with_wrong_number_of_observables_is_rejected(head: Head | None, count: int, message: str) -> None:
    q = cirq.LineQubit(0)
    observables = [cirq.X(q) + cirq.Z(q)] * count
    case = random_case(1, seed=1)
    with pytest.raises(ValueError, match=message):
        integrated_gradients(case.model, [1.0, 0.0], baseline=0, head=head, observables=observables)
