"""Captum's argument names: each is taken where it means the same, or refused with the name that takes its place."""

from __future__ import annotations

import traceback
from typing import Any

import numpy as np
import pytest
from entangled_pair import MODEL, OBSERVABLE, B, X

import hattriq_cirq as hq
from hattriq_cirq.pipeline.captum_names import NAMES

OBSERVABLES = [OBSERVABLE, "Z1 - 0.3*X0"]
pytestmark = pytest.mark.filterwarnings("ignore::hattriq_cirq.IdentityPartWarning")
HEAD = hq.Head("softmax", 2, target=1)
TAKEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "inputs": ({"inputs": X, "baseline": B}, {"x": X, "baseline": B}),
    "baselines": ({"x": X, "baselines": B}, {"x": X, "baseline": B}),
    "no baselines": ({"x": X, "baselines": None}, {"x": X, "baseline": 0}),
    "target": (
        {"x": X, "baselines": 0, "target": 1, "observables": OBSERVABLES},
        {"x": X, "baseline": 0, "observables": OBSERVABLES[1:]},
    ),
    "target of a head": (
        {"x": X, "baseline": 0, "target": 1, "observables": OBSERVABLES, "head": hq.Head("softmax", 2)},
        {"x": X, "baseline": 0, "observables": OBSERVABLES, "head": HEAD},
    ),
    "no target": ({"x": X, "baseline": 0, "target": None}, {"x": X, "baseline": 0}),
    "n_steps": ({"x": X, "baselines": B, "n_steps": 3}, {"x": X, "baseline": B, "rule": "gauss-legendre:3"}),
    "method": ({"x": X, "baselines": B, "method": "riemann_right"}, {"x": X, "baseline": B, "rule": "riemann:50"}),
    "both": (
        {"x": X, "baselines": B, "n_steps": 4, "method": "riemann_middle"},
        {"x": X, "baseline": B, "rule": "midpoint:4"},
    ),
    "additional_forward_args": ({"x": X, "baseline": 0, "additional_forward_args": None}, {"x": X, "baseline": 0}),
    "internal_batch_size": ({"x": X, "baseline": 0, "internal_batch_size": None}, {"x": X, "baseline": 0}),
    "return_convergence_delta": ({"x": X, "baseline": 0, "return_convergence_delta": False}, {"x": X, "baseline": 0}),
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "inputs": ({"inputs": (X, X), "baseline": 0}, "inputs=.* Captum; here its place is taken by x, .* a tuple"),
    "baselines": ({"x": X, "baselines": (B,)}, "baselines=.* Captum; here its place is taken by baseline, a number"),
    "baselines twice": ({"x": X, "baselines": B, "baseline": 0}, "baselines and baseline=0 say the same"),
    "target": ({"x": X, "baseline": 0, "target": (1,)}, "target=.* its place is taken by head, such as"),
    "additional_forward_args": ({"x": X, "baseline": 0, "additional_forward_args": 3}, "the model's own parameters"),
    "n_steps": ({"x": X, "baseline": 0, "n_steps": 5, "rule": "exact"}, "n_steps and rule='exact' say the same"),
    "method": ({"x": X, "baseline": 0, "method": "riemann_trapezoid"}, "method='riemann_trapezoid' .* rule='exact', or"),
    "internal_batch_size": ({"x": X, "baseline": 0, "internal_batch_size": 8}, "workers= sets the number of threads"),
    "return_convergence_delta": ({"x": X, "baseline": 0, "return_convergence_delta": True}, "completeness_gap of the result"),
}


def test_every_argument_of_captum_is_in_both_tables() -> None:
    assert set(NAMES) <= TAKEN.keys()
    assert set(NAMES) <= REFUSED.keys()


@pytest.mark.parametrize("case", TAKEN)
def test_names_that_mean_the_same_are_taken(case: str) -> None:
    theirs, ours = TAKEN[case]
    found, expected = hq.integrated_gradients(MODEL, **theirs), hq.integrated_gradients(MODEL, **ours)
    np.testing.assert_allclose(found.values, expected.values, rtol=0, atol=1e-13)
    assert found.assumptions.rule == expected.assumptions.rule
    assert np.abs(expected.values).max() > 0.01


@pytest.mark.parametrize("case", REFUSED)
def test_names_that_mean_something_else_are_refused_with_ours(case: str) -> None:
    arguments, message = REFUSED[case]
    with pytest.raises(TypeError, match=message) as caught:
        hq.integrated_gradients(MODEL, **arguments)
    assert "During handling" not in "".join(traceback.format_exception(caught.value))


def test_other_errors_of_arguments_are_as_before() -> None:
    options: dict[str, Any] = {"nonsense": 1}
    with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
        hq.integrated_gradients(MODEL, X, baseline=0, **options)
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'baseline'"):
        hq.integrated_gradients(MODEL, X)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="n_steps=0 must"):
        hq.integrated_gradients(MODEL, X, baseline=0, **{"n_steps": 0})  # type: ignore[arg-type]
