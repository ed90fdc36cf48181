"""Baselines against their definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Array, amplitudes, assert_close, generators, random_case

from hattriq_cirq.attribution import baselines
from hattriq_cirq.attribution.baselines import BaselineSet
from hattriq_cirq.pipeline.integrated_gradients import integrated_gradients

LABELS = np.array([1, -1, 1, 1, -1])
RNG = np.random.default_rng(0)
DATA = np.abs(amplitudes(RNG, 5, 16))
X = np.abs(amplitudes(RNG, 4, 16))
OWN = np.array([1, 1, -1, -1])

HELPERS: dict[str, Callable[[Array], Array]] = {
    "uniform": baselines.uniform,
    "mean": lambda x: baselines.mean(x, DATA),
    "class_mean": lambda x: baselines.class_mean(x, OWN if x.ndim > 1 else OWN[0], DATA, LABELS),
    "opposite_class_mean": lambda x: baselines.opposite_class_mean(x, OWN if x.ndim > 1 else OWN[0], DATA, LABELS),
    "blur": lambda x: baselines.blur(x, (4, 4)),
    "max_distance": baselines.max_distance,
}
each_helper = pytest.mark.parametrize("helper", HELPERS.values(), ids=HELPERS)


def rescaled(rows: Array, x: Array) -> Array:
    return np.asarray(rows * np.linalg.norm(x, axis=-1, keepdims=True) / np.linalg.norm(rows, axis=-1, keepdims=True))


@each_helper
@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_baselines_keep_shape_and_norm(helper: Callable[[Array], Array], factor: float) -> None:
    model = random_case(4, seed=2).model
    for x in (factor * X, factor * X[0]):
        b = helper(x)
        assert b.shape == x.shape
        assert_close(np.linalg.norm(b, axis=-1), np.linalg.norm(x, axis=-1))
        a = integrated_gradients(model, x, baseline=b, form="normalized")
        assert np.abs(a.completeness_gap).max() < 1e-9


@each_helper
def test_baseline_of_a_batch_equals_baselines_of_rows(helper: Callable[[Array], Array]) -> None:
    assert_close(helper(X)[0], helper(X[0]))


def test_baseline_names_are_functions() -> None:
    assert set(baselines.NAMES) == {*HELPERS, "zero", "sample"}
    assert all(callable(getattr(baselines, name)) for name in baselines.NAMES)


def test_zero_baseline() -> None:
    np.testing.assert_array_equal(baselines.zero(X), np.zeros_like(X), strict=True)
    assert baselines.zero(1j * X).dtype == np.complex128


def test_uniform_baseline() -> None:
    b = baselines.uniform(X)
    assert_close(b, np.linalg.norm(X, axis=1, keepdims=True) * np.ones((1, 16)) / 4)
    assert (b > 0).all()


def test_mean_and_class_mean_baselines() -> None:
    assert_close(baselines.mean(X, DATA), rescaled(np.broadcast_to(DATA.mean(axis=0), X.shape), X))
    of_plus, of_minus = DATA[[0, 2, 3]].mean(axis=0), DATA[[1, 4]].mean(axis=0)
    assert_close(baselines.class_mean(X, OWN, DATA, LABELS), rescaled(np.array([of_plus] * 2 + [of_minus] * 2), X))
    assert_close(baselines.opposite_class_mean(X, OWN, DATA, LABELS), rescaled(np.array([of_minus] * 2 + [of_plus] * 2), X))


def test_mean_baseline_of_complex_data_is_complex() -> None:
    data = DATA * np.exp(1j * DATA)
    assert_close(baselines.mean(X[0], data), rescaled(data.mean(axis=0), X[0]))
    assert_close(baselines.class_mean(X, OWN, data, LABELS)[0], rescaled(data[[0, 2, 3]].mean(axis=0), X[0]))


def test_blur_of_a_point_is_a_gaussian() -> None:
    point = np.zeros((9, 9))
    point[4, 4] = 1
    offsets = np.arange(-4, 5)
    gaussian = np.exp(-(offsets[:, np.newaxis] ** 2 + offsets**2) / 2)
    assert_close(baselines.blur(point.ravel(), (9, 9), sigma=1.0), rescaled(gaussian.ravel(), point.ravel()), 1e-3)


def test_blur_of_rows_columns_and_uniform_images() -> None:
    stripe = np.zeros((2, 8))
    stripe[0] = 1
    blurred = baselines.blur(stripe.ravel(), (2, 8), sigma=0.5).reshape(2, 8)
    assert_close(blurred, np.broadcast_to(blurred[:, :1], (2, 8)))
    assert blurred[0, 0] > blurred[1, 0] > 0
    assert_close(baselines.blur(np.full(16, 0.3), (2, 8)), np.full(16, 0.3))


def test_blur_does_not_mix_inputs() -> None:
    x = np.stack([np.eye(16)[5], np.full(16, 0.25)])
    assert_close(baselines.blur(x, (4, 4))[1], x[1])


@given(generators, st.one_of(st.none(), st.floats(1.5, 3)))
def test_max_distance_baseline(rng: np.random.Generator, high: float | None) -> None:
    x = rng.uniform(0, 1.5, (3, 8))
    b = baselines.max_distance(x, 0.1, high)
    for row, reference in zip(x, b, strict=True):
        top = row.max() if high is None else high
        ends = np.array([max((0.1, top), key=lambda end: abs(end - value)) for value in row])
        assert_close(reference, rescaled(ends, row))


def test_sample_without_replacement_and_seed() -> None:
    data = np.arange(40.0).reshape(10, 4)
    chosen = baselines.sample(data, 6, seed=1)
    assert len(chosen) == 6
    assert len({row[0] for row in chosen.rows}) == 6
    assert {row[0] for row in chosen.rows} <= set(data[:, 0])
    np.testing.assert_array_equal(chosen.rows, baselines.sample(data, 6, seed=1).rows)
    assert not np.array_equal(chosen.rows, baselines.sample(data, 6, seed=2).rows)
    assert sorted(baselines.sample(data, 10, seed=1).rows[:, 0]) == data[:, 0].tolist()


def test_baseline_set_is_a_read_only_copy() -> None:
    rows = np.ones((2, 4))
    fixed = BaselineSet(rows)
    rows[0] = 7
    np.testing.assert_array_equal(fixed.rows, np.ones((2, 4)))
    with pytest.raises(ValueError, match="read-only"):
        fixed.rows[0, 0] = 1


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "set of one axis": (lambda: BaselineSet(np.ones(4)), "at least one baseline"),
    "empty set": (lambda: BaselineSet(np.ones((0, 4))), "at least one baseline"),
    "set with nan": (lambda: BaselineSet(np.array([[1, np.nan]])), r"rows\[0, 1\] = nan"),
    "sample of none": (lambda: baselines.sample(DATA, 0, seed=0), "count=0 must be between 1 and .* 5"),
    "sample of too many": (lambda: baselines.sample(DATA, 6, seed=0), "count=6 must be between 1 and .* 5"),
    "missing class": (lambda: baselines.class_mean(X, OWN, DATA, np.ones(5)), "no row of class -1"),
    "missing other class": (
        lambda: baselines.opposite_class_mean(X[:1], [1], DATA, np.ones(5)),
        "no row of class -1",
    ),
    "labels": (lambda: baselines.class_mean(X, OWN[:3], DATA, LABELS), r"labels.shape=\(3,\) must be \(4,\)"),
    "data labels": (lambda: baselines.class_mean(X, OWN, DATA, OWN), r"data_labels.shape=\(4,\) must be \(5,\)"),
    "complex blur": (lambda: baselines.blur(1j * X, (4, 4)), "x is complex"),
    "shape of blur": (lambda: baselines.blur(X, (3, 4)), r"image_shape=\(3, 4\) must hold 16 pixels"),
    "width of blur": (lambda: baselines.blur(X, (4, 4), sigma=0), "sigma=0 must be positive"),
    "complex distance": (lambda: baselines.max_distance(1j * X), "must be real"),
    "zero mean": (lambda: baselines.mean(X, np.array([[1.0] * 16, [-1.0] * 16])), "all zeros"),
    "other features": (lambda: baselines.mean(X, np.ones((3, 8))), "8|features|shape"),
    "one row as data": (lambda: baselines.mean(X, np.ones(16)), "data.*samples, features"),
    "empty data": (lambda: baselines.mean(X, np.ones((0, 16))), "data"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_baselines_are_rejected(name: str) -> None:
    build, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        build()


def test_baselines_of_many_equal_amplitudes_warn_of_nothing() -> None:
    flat = np.full((2, 1024), 1 / 32)
    np.testing.assert_allclose(baselines.uniform(flat), flat)
