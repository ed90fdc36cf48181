"""Heads of any scale: steps where one or several arguments vanish at one point of the path, against the limit of theory."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy.integrate import quad

from hattriq_cirq.attribution.objective import Head, HeadKind, Objective
from hattriq_cirq.attribution.path_integral import CompletenessWarning, exact_attribution
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.models.model import Form

SCALES = [10.0**power for power in (9, 12, 14, 15, 16, 17, 25, 100, 290)]


@dataclass(frozen=True)
class Diagonal:
    """Quadratic form with a diagonal matrix."""

    entries: FloatArray
    identity_part: float = 0.0

    @property
    def n_features(self) -> int:
        return len(self.entries)

    def observable_action(self, x: ArrayLike) -> Array:
        return np.asarray(self.entries * np.asarray(x))


def vanishing_at(at: float, x: FloatArray, b: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return the entries of a diagonal matrix whose quadratic form is 0 at one position of the path, but for rounding."""
    d, squares = x - b, (b + at * (x - b)) ** 2
    while True:
        entries = rng.normal(size=len(x))
        entries = entries - squares * (entries @ squares) / (squares @ squares)
        other = b @ (entries * b) / (d @ (entries * d)) / at  # the product of both zeros is the ratio of the outer coefficients
        if abs(other - 0.5) > 0.6:  # off the path
            return np.asarray(entries)


def limit(x: FloatArray, b: FloatArray, at: float, differences: list[FloatArray], form: Form) -> FloatArray:
    """Return the map of a softmax, as its scale grows, whose arguments p' D_j p all vanish at one position of the path.

    Near that position the arguments are tau times their slopes, so that the weights are integrals over tau.
    """
    d, point = x - b, b + at * (x - b)
    norm = 1.0 if form == "quadratic" else float(point @ point)
    slopes = [2 * float(point @ (entries * d)) / norm for entries in differences]

    def product(tau: float, j: int) -> float:
        logits = np.array([0.0, *(-slope * tau for slope in slopes)])
        p = np.exp(logits - logits.max())
        return float(p[0] * p[1 + j] / p.sum() ** 2)

    reach = 60 / min(map(abs, slopes))
    weights = [2 * quad(product, -reach, reach, args=(j,), points=[0.0], limit=500)[0] for j in range(len(slopes))]
    return np.asarray(sum(w * d * (entries * point) / norm for w, entries in zip(weights, differences, strict=True)))


@pytest.mark.parametrize("form", ["quadratic", "normalized"])
@pytest.mark.parametrize("arguments", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_softmax_whose_arguments_vanish_at_one_point(arguments: int, seed: int, form: Form) -> None:
    """The map sums to the change of the score; where rounding separates the zeros of the arguments, a warning says so."""
    rng = np.random.default_rng([seed, arguments])
    x, b = rng.normal(size=(2, 4)) + 0.2
    at = [0.5, 0.3, 0.9, 1 / 3][seed]
    differences = [vanishing_at(at, x, b, rng) for _ in range(arguments)]
    target = rng.normal(size=4)
    models = [Diagonal(target), *(Diagonal(target - entries) for entries in differences)]
    expected = limit(x, b, at, differences, form)
    assert np.abs(expected).max() > 1e-3
    for scale in SCALES:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            a = exact_attribution(models, x, baseline=b, objective=Objective(form, Head("softmax", scale)))
        assert abs(a.completeness_gap) < 1e-12
        is_exact = np.abs(a.values - expected).max() < 1e-6 * np.abs(expected).max()
        assert is_exact or [each.category for each in caught] == [CompletenessWarning]
        assert is_exact or (arguments > 1 and scale > SCALES[0])


@pytest.mark.parametrize("kind", ["sigmoid", "tanh"])
@pytest.mark.parametrize("at", [0.5, 0.3, 1 / 3, 1e-9])
def test_step_of_one_argument_is_counted_once_at_every_scale(kind: HeadKind, at: float) -> None:
    rng = np.random.default_rng(3)
    x, b = rng.normal(size=(2, 4))
    entries, d = vanishing_at(at, x, b, rng), x - b
    point = b + at * d
    rise = np.sign(point @ (entries * d)) * (1.0 if kind == "sigmoid" else 2.0)
    expected = rise * d * (entries * point) / (d @ (entries * point))
    for scale in SCALES[1:]:
        a = exact_attribution([Diagonal(entries)], x, baseline=b, objective=Objective("quadratic", Head(kind, scale)))
        np.testing.assert_allclose(a.values, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
        assert abs(a.completeness_gap) < 1e-12
