"""Quadrature rules: weights, degrees of exactness, and orders of convergence measured on the normalized form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Array, assert_close, generators, random_case

from hattriq_cirq.attribution.quadrature import NAMES, Quadrature, integrate, parse_rule
from hattriq_cirq.foundation.arrays import FloatArray, IntArray
from hattriq_cirq.pipeline.integrated_gradients import integrated_gradients

STEPS = (8, 16, 32, 64, 128)


def rule(text: str) -> Quadrature:
    parsed = parse_rule(text)
    assert parsed is not None
    return parsed


@given(st.sampled_from(NAMES), st.integers(1, 200))
def test_quadrature_weights_are_positive_and_sum_to_one(name: str, steps: int) -> None:
    r = rule(f"{name}:{steps}")
    assert_close(r.weights.sum(), 1.0, 1e-14)
    assert (r.weights > 0).all()
    assert (np.diff(r.nodes) > 0).all()
    assert r.nodes.min() >= 0
    assert r.nodes.max() <= 1
    assert len(r.nodes) == steps + (name == "trapezoid")


@given(st.sampled_from(NAMES), st.integers(1, 12))
def test_quadrature_degree_of_exactness(name: str, steps: int) -> None:
    r, degree = rule(f"{name}:{steps}"), {"riemann": 0, "gauss-legendre": 2 * steps - 1}.get(name, 1)
    for power in range(degree + 1):
        assert_close(r.weights @ r.nodes**power, 1 / (power + 1), 1e-13)
    miss = r.weights @ (2 * r.nodes - 1) ** (degree + 1) - (degree % 2) / (degree + 2)
    assert abs(miss) > 1e-8


@given(st.sampled_from(NAMES), st.integers(1, 30))
def test_quadrature_equals_explicit_sums(name: str, steps: int) -> None:
    r = rule(f"{name}:{steps}")
    assert_close(r.weights @ np.exp(r.nodes), oracle.STEP_BY_STEP[name](lambda a: np.asarray(np.exp(a)), steps))


def errors_on_the_normalized_form(name: str, steps: tuple[int, ...]) -> Array:
    """Return the largest error of the map per number of steps, on a path that bends near the origin."""
    case = random_case(3, seed=7)
    x = np.linspace(0.2, 1, 8)
    b = x[::-1] - 0.7
    exact = sum(case.oracle("normalized").integrated_gradients(x, b))
    maps = [integrated_gradients(case.model, x, baseline=b, form="normalized", rule=f"{name}:{k}").values for k in steps]
    return np.asarray(np.abs(np.array(maps) - exact).max(axis=1))


@pytest.mark.parametrize(("name", "order"), [("riemann", -1), ("midpoint", -2), ("trapezoid", -2)])
def test_quadrature_error_decreases_with_the_order_of_the_rule(name: str, order: int) -> None:
    slope = np.polyfit(np.log(STEPS), np.log(errors_on_the_normalized_form(name, STEPS)), 1)[0]
    assert abs(slope - order) < 0.1


def test_gauss_legendre_error_decreases_geometrically() -> None:
    nodes = (2, 4, 6, 8, 10, 12)
    logs = np.log(errors_on_the_normalized_form("gauss-legendre", nodes))
    rate, start = np.polyfit(nodes, logs, 1)
    assert rate < -0.5
    assert np.abs(logs - (start + rate * np.array(nodes))).max() < 1.5  # a straight line on a logarithmic scale
    assert errors_on_the_normalized_form("gauss-legendre", (60,)) < 1e-12


def test_one_midpoint_is_exact_for_the_quadratic_form() -> None:
    case, x = random_case(3, seed=7), np.linspace(0.2, 1, 8)
    exact = sum(case.oracle().integrated_gradients(x, x[::-1] - 0.7))
    by_rule = {name: integrated_gradients(case.model, x, baseline=x[::-1] - 0.7, rule=f"{name}:1").values for name in NAMES}
    for name in ("midpoint", "trapezoid", "gauss-legendre"):
        assert_close(by_rule[name], exact)
    assert np.abs(by_rule["riemann"] - exact).max() > 1e-3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "riemann",
        "riemann:",
        "riemann:0",
        "riemann:-3",
        "riemann:2.5",
        "riemann:50:2",
        "simpson:4",
        "Exact",
        "exact:3",
        "riemann: 5",
    ],
)
def test_unknown_quadrature_rule_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=f"rule='{text}' must be 'exact' or one of 'riemann:K'"):
        parse_rule(text)


def test_exact_rule_has_no_quadrature() -> None:
    assert parse_rule("exact") is None


@pytest.mark.parametrize(
    ("nodes", "weights", "message"),
    [
        ([0.5], [0.9], "weights sum to 1"),
        ([-0.1, 0.5], [0.5, 0.5], r"lie in \[0, 1\]"),
        ([0.1, 1.5], [0.5, 0.5], r"lie in \[0, 1\]"),
        ([0.1, 0.5], [1.0], "one equal axis"),
        ([[0.5]], [[1.0]], "one equal axis"),
        ([], [], "nodes"),
        ([0.1, 0.5], [1.5, -0.5], "positive"),
        ([np.nan], [1.0], "nodes"),
    ],
)
def test_invalid_nodes_and_weights_are_rejected(nodes: list[float], weights: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Quadrature(np.array(nodes), np.array(weights))


def test_nodes_and_weights_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        rule("midpoint:2").weights[0] = 1


def integrate_one(function: Callable[[FloatArray], FloatArray], tolerance: float) -> FloatArray:
    """Integrate a function of positions, (m, nodes) -> (m, nodes, components), over [0, 1]."""
    value, error = integrate(
        lambda _, a: function(a), np.zeros(1), np.ones(1), np.zeros(1, dtype=np.int64), groups=1, tolerance=tolerance
    )
    assert np.all(error >= 0)
    return np.asarray(value[0])


@given(st.floats(1e-3, 1), st.floats(0, 1))
def test_integration_of_peaks_reaches_the_tolerance(width: float, centre: float) -> None:
    value = integrate_one(lambda a: np.stack([width / ((a - centre) ** 2 + width**2), np.cos(a)], axis=-1), 1e-11)
    assert_close(value, [np.arctan((1 - centre) / width) + np.arctan(centre / width), np.sin(1)], 1e-10)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, np.nan])
def test_tolerance_that_is_not_positive_is_rejected(tolerance: float) -> None:
    with pytest.raises(ValueError, match=f"tolerance={tolerance} must be positive"):
        integrate_one(lambda a: np.ones((*a.shape, 1)), tolerance)


def test_integration_that_misses_its_tolerance_raises() -> None:
    with pytest.raises(ArithmeticError, match="the integrand peaks too sharply"):
        integrate_one(lambda a: 1 / np.maximum(np.abs(a - 1 / np.pi), 1e-30)[..., np.newaxis], 1e-12)


@given(st.integers(1, 6), generators)
def test_integration_sums_the_pieces_of_each_group(pieces_count: int, rng: np.random.Generator) -> None:
    low = rng.uniform(-3, 3, pieces_count)
    high = low + rng.uniform(0.1, 2, pieces_count)
    group, rate = rng.integers(0, 3, len(low)), rng.uniform(-2, 2, len(low))

    def function(piece: IntArray, a: FloatArray) -> FloatArray:
        return np.asarray(np.exp(rate[piece, np.newaxis] * a)[..., np.newaxis])

    value, error = integrate(function, low, high, group, groups=3, tolerance=1e-12)
    pieces = (np.exp(rate * high) - np.exp(rate * low)) / rate
    assert_close(value[:, 0], [pieces[group == g].sum() for g in range(3)], 1e-11, pieces.max())
    assert np.all(error[:, 0] <= 1e-12 * value[:, 0])
