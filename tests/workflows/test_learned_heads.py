"""Learned models of several observables under a softmax head, and learned models of complex inputs."""

from __future__ import annotations

from typing import Any

import cirq
import numpy as np
import pytest
from swept_engine import swept_engine

import hattriq_cirq as hq
from hattriq_cirq.workflows.generated_models import random_circuit

Array = np.ndarray[Any, Any]
SOFTMAX = hq.Head("softmax", scale=2, target=1)


def complex_inputs(n: int, count: int) -> Array:
    rng = np.random.default_rng([3, n])
    x = rng.normal(size=(count, 2**n)) + 1j * rng.normal(size=(count, 2**n))
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def two_observables() -> tuple[hq.Model, list[Any]]:
    model = random_circuit(2, seed=5, gates="mixed")
    return model, [cirq.Z(model.qubits[0]) * 1.0, cirq.X(model.qubits[1]) * 1.0]


def test_softmax_of_learned_models_is_that_of_the_observables() -> None:
    model, observables = two_observables()
    x = complex_inputs(2, 3)
    learned = [
        hq.learn_observable(model.with_observable(o), engine=swept_engine(), shots=None, inputs=x, prior="none", seed=i)
        for i, o in enumerate(observables)
    ]
    exact = hq.integrated_gradients(model, x, baseline=0.1, head=SOFTMAX, observables=observables)
    found = hq.integrated_gradients(learned, x, baseline=0.1, head=SOFTMAX)
    np.testing.assert_allclose(found.values, exact.values, atol=1e-8)
    np.testing.assert_allclose(found.f_input, exact.f_input, atol=1e-8)
    assert found.cost.circuits == sum(each.record.circuits for each in learned)
    assert found.assumptions.observables == tuple(each.record.observable for each in learned)


@pytest.mark.slow
def test_errors_of_a_softmax_of_learned_models_are_those_of_repeated_campaigns() -> None:
    model, observables = two_observables()
    x = complex_inputs(2, 1)
    exact = hq.integrated_gradients(model, x, baseline=0, head=SOFTMAX, observables=observables).values
    pulls = []
    for seed in range(25):
        learned = [
            hq.learn_observable(
                model.with_observable(o),
                engine=swept_engine(2 * seed + i),
                shots=4_000,
                inputs=x,
                prior="none",
                seed=2 * seed + i,
            )
            for i, o in enumerate(observables)
        ]
        found = hq.integrated_gradients(learned, x, baseline=0, head=SOFTMAX)
        pulls.append((found.values - exact) / found.stderr)
    assert 0.75 < np.sqrt(np.mean(np.square(pulls))) < 1.3  # 100 pulls, of which four at a time are dependent


def test_several_forms_that_do_not_fit_are_refused() -> None:
    model, x = hq.ring_ansatz(2, 1), [0.6, 0, 0, 0.8]
    for models, options, message in (
        ([], {}, "empty sequence"),
        ([model, hq.ring_ansatz(3, 1)], {"head": SOFTMAX}, "4 and 8 features"),
        ([model, model], {}, "takes one observable"),
        ([model, model], {"head": SOFTMAX, "observables": [cirq.Z(model.qubits[0])]}, "several quadratic forms"),
    ):
        with pytest.raises(ValueError, match=message):
            hq.integrated_gradients(models, x, baseline=0, **options)
    with pytest.raises(TypeError, match="must be a Model or another QuadraticForm"):
        hq.integrated_gradients([model, "model"], x, baseline=0, head=SOFTMAX)  # type: ignore[list-item]


@pytest.mark.parametrize("form", ["quadratic", "normalized"])
def test_complex_inputs_of_three_qubits_are_learned_end_to_end(form: Any) -> None:
    model, x = random_circuit(3, seed=8, gates="mixed"), complex_inputs(3, 2)
    learned = hq.learn_observable(model, engine=swept_engine(), shots=None, inputs=x, prior="none", seed=1)
    assert not learned.y_paired
    baseline = complex_inputs(3, 3)[2]
    exact = hq.integrated_gradients(model, x, baseline=baseline, form=form)
    found = hq.integrated_gradients(learned, x, baseline=baseline, form=form)
    np.testing.assert_allclose(found.values, exact.values, atol=1e-10)


@pytest.mark.slow
def test_intervals_of_complex_inputs_cover() -> None:
    held = []
    for seed in range(12):
        model = random_circuit(3, seed=seed, gates="mixed")
        x = complex_inputs(3, 4)
        learned = hq.learn_observable(model, engine=swept_engine(seed), shots=20_000, inputs=x, seed=seed)
        low, high = (found := hq.integrated_gradients(learned, x, baseline=0)).interval(0.95)
        exact = hq.integrated_gradients(model, x, baseline=0).values
        assert found.stderr.max() < 0.2
        held.append((low <= exact) & (exact <= high))
    assert 0.9 < np.mean(held) < 0.99
