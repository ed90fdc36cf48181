"""Other attribution methods against their definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Case, amplitudes, assert_close, cases, generators, random_case

from hattriq_cirq.attribution import other_methods
from hattriq_cirq.models.model import Form
from hattriq_cirq.pipeline.integrated_gradients import integrated_gradients

FORMS: tuple[Form, ...] = ("quadratic", "normalized")


@pytest.mark.parametrize("form", FORMS)
@given(case=cases(), imaginary=st.booleans(), rng=generators)
def test_gradient_equals_finite_differences(form: Form, case: Case, imaginary: bool, rng: np.random.Generator) -> None:
    x, judge = amplitudes(rng, case.features, imaginary=imaginary), case.oracle(form)
    size = float(np.linalg.norm(x))
    x = x / size
    by_real = oracle.finite_difference(lambda c: judge.score(c + 1j * x.imag), x.real)
    by_imag = oracle.finite_difference(lambda d: judge.score(x.real + 1j * d), x.imag)
    gradient = other_methods.gradient(case.model, size * x, form=form) / size ** (1 if form == "quadratic" else -1)
    assert_close(gradient, by_real + 1j * by_imag if imaginary else by_real, 1e-8, 1.0)
    assert np.iscomplexobj(gradient) == imaginary


@pytest.mark.parametrize("form", FORMS)
@given(case=cases(), imaginary=st.booleans(), rng=generators)
def test_gradient_times_input_and_its_sum(form: Form, case: Case, imaginary: bool, rng: np.random.Generator) -> None:
    xs, judge = amplitudes(rng, 2, case.features, imaginary=imaginary), case.oracle(form)
    values = other_methods.gradient_times_input(case.model, xs, form=form)
    slope, size = judge.gradient(xs), float(np.sum(np.abs(judge.gradient(xs) * xs)))
    assert_close(values, slope.real * xs.real + slope.imag * xs.imag, scale=size)
    assert_close(values.sum(axis=1), 2 * judge.score(xs) if form == "quadratic" else np.zeros(2), scale=size)


@given(case=cases(), rng=generators)
def test_gradient_times_input_is_twice_integrated_gradients_from_zero(case: Case, rng: np.random.Generator) -> None:
    xs = amplitudes(rng, 2, case.features, imaginary=True)
    values = integrated_gradients(case.model, xs, baseline=0).values
    assert_close(other_methods.gradient_times_input(case.model, xs), 2 * values)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["number", "row", "rows"])
@given(case=cases(), imaginary=st.booleans(), rng=generators)
def test_occlusion_equals_its_definition(form: Form, kind: str, case: Case, imaginary: bool, rng: np.random.Generator) -> None:
    xs, b = amplitudes(rng, 2, 2, case.features, imaginary=imaginary)
    baseline = {"number": 0.3, "row": b[0], "rows": b}[kind]
    full, judge = np.broadcast_to(np.asarray(baseline), xs.shape), case.oracle(form)
    expected = np.array([judge.occlusion(x, row) for x, row in zip(xs, full, strict=True)])
    size = max(1.0, float(np.abs(xs).max() ** 2)) if form == "quadratic" else 10.0
    assert_close(other_methods.occlusion(case.model, xs, baseline=baseline, form=form), expected, scale=size)
    one = other_methods.occlusion(case.model, xs[0], baseline=full[0], form=form)
    assert_close(one, expected[0], scale=size)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=12)
@given(case=cases(most_qubits=3), imaginary=st.booleans(), rng=generators)
def test_shapley_equals_the_sum_over_coalitions(form: Form, case: Case, imaginary: bool, rng: np.random.Generator) -> None:
    x, b = amplitudes(rng, 2, case.features, imaginary=imaginary)
    expected = case.oracle(form).shapley(x, b)
    size = float(np.sum(np.abs(x) ** 2 + np.abs(b) ** 2)) if form == "quadratic" else 1.0
    assert_close(other_methods.shapley(case.model, x, baseline=b, form=form), expected, 1e-11, size)
    both = other_methods.shapley(case.model, np.stack([x, b]), baseline=b, form=form)
    assert_close(both, np.stack([expected, np.zeros(case.features)]), 1e-11, size)


@given(case=cases(), rng=generators)
def test_quadratic_shapley_equals_integrated_gradients(case: Case, rng: np.random.Generator) -> None:
    x, b = amplitudes(rng, 2, case.features, imaginary=True)
    values = integrated_gradients(case.model, x, baseline=b).values
    assert_close(other_methods.shapley(case.model, x, baseline=b), values, scale=float(np.abs(values).max()))


def test_normalized_shapley_differs_from_integrated_gradients() -> None:
    case, rng = random_case(2, seed=8), np.random.default_rng(1)
    x, b = amplitudes(rng, 2, 4)
    values = integrated_gradients(case.model, x, baseline=b, form="normalized").values
    by_game = other_methods.shapley(case.model, x, baseline=b, form="normalized")
    assert_close(by_game.sum(), values.sum(), 1e-9, 1.0)
    assert np.abs(by_game - values).max() > 1e-3


@given(case=cases())
def test_diagonal_equals_that_of_the_matrix(case: Case) -> None:
    assert_close(other_methods.diagonal(case.model), np.diag(case.matrices()[0]).real, scale=1.0)


def test_diagonal_is_computed_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    case = random_case(4, seed=1)
    monkeypatch.setattr(other_methods, "_CHUNK", 3 * case.features)
    assert_close(other_methods.diagonal(case.model), np.diag(case.matrices()[0]).real, scale=1.0)


MODEL = random_case(1, seed=1).model
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "form of the gradient": (lambda: other_methods.gradient(MODEL, [1, 0], form="cubic"), "form='cubic'"),  # type: ignore[arg-type]
    "form of occlusion": (
        lambda: other_methods.occlusion(MODEL, [1, 0], baseline=0, form="cubic"),  # type: ignore[arg-type]
        "form='cubic'",
    ),
    "features": (lambda: other_methods.gradient(MODEL, np.ones(3)), r"must end in 2\*\*n_qubits = 2"),
    "gradient at zero": (lambda: other_methods.gradient(MODEL, [0.0, 0.0], form="normalized"), "zero vector"),
    "occluded to nothing": (
        lambda: other_methods.occlusion(MODEL, [1.0, 0.0], baseline=0, form="normalized"),
        "leaves the zero vector",
    ),
    "zero coalition": (lambda: other_methods.shapley(MODEL, [1.0, 1.0], baseline=0, form="normalized"), "zero vector"),
    "baseline shape": (lambda: other_methods.occlusion(MODEL, [1.0, 0.0], baseline=np.ones(3)), "shape"),
    "nan baseline": (lambda: other_methods.shapley(MODEL, [1.0, 0.0], baseline=np.nan), "baseline.* is not finite"),
    "too many features": (
        lambda: other_methods.shapley(random_case(5, seed=1).model, np.ones(32), baseline=2.0, form="normalized"),
        "32 features have too many coalitions; at most 16",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_arguments_are_rejected(name: str) -> None:
    build, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        build()
