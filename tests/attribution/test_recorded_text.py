"""What a result records and what it is compared by: all digits, and the content."""

from __future__ import annotations

from dataclasses import replace

import cirq
import numpy as np
import pytest

import hattriq_cirq as hq
from calibration.rescaling import CompletenessRescaling
from hattriq_cirq import decomposition
from hattriq_cirq.models.model import Model

A, B = cirq.LineQubit.range(2)
X = np.array([0.5, 0.5, 0.3, -0.4])
CIRCUIT = cirq.Circuit(cirq.ry(0.3)(A), cirq.CNOT(A, B))


def model_of(observable: cirq.PauliSum) -> Model:
    return Model(CIRCUIT, [A, B], observable)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (1e-4 * cirq.Z(A), 1e-4 * cirq.X(A)),
        (1e-4 * cirq.Z(A), 2e-4 * cirq.Z(A)),
        (cirq.Z(A) + 0.5 * cirq.X(B), cirq.Z(A) + 0.50001 * cirq.X(B)),
        (1.0 * cirq.Z(A), -1.0 * cirq.Z(A)),
    ],
)
def test_population_of_another_observable_is_refused(first: cirq.PauliSum, second: cirq.PauliSum) -> None:
    a = hq.integrated_gradients(model_of(first), X, baseline=0)
    decomposition.split_population(model_of(first), a)
    with pytest.raises(ValueError, match="the attribution is of"):
        decomposition.split_population(model_of(second), a)


def test_population_of_another_circuit_is_refused() -> None:
    a = hq.integrated_gradients(model_of(1.0 * cirq.Z(A)), X, baseline=0.1)
    other = Model(cirq.Circuit(cirq.ry(0.31)(A)), [A, B], 1.0 * cirq.Z(A))
    with pytest.raises(ValueError, match="another model"):
        decomposition.split_population(other, a)


@pytest.mark.parametrize("text", ["1.000*Z(q(0))*X(q(1))-0.500*X(q(0))", "-0.500*X(q(0))+1.000*X(q(1))*Z(q(0))"])
def test_population_of_a_map_of_version_0_1_is_split(text: str) -> None:
    model = model_of(cirq.Z(A) * cirq.X(B) - 0.5 * cirq.X(A))
    a = hq.integrated_gradients(model, X, baseline=0)
    old = replace(a, assumptions=replace(a.assumptions, observables=(text,)))
    np.testing.assert_array_equal(
        decomposition.split_population(model, old).population, decomposition.split_population(model, a).population
    )
    wrong = replace(a, assumptions=replace(a.assumptions, observables=(text.replace("0.500", "0.600"),)))
    with pytest.raises(ValueError, match="the attribution is of"):
        decomposition.split_population(model, wrong)


@pytest.mark.parametrize("power", [-500, -250, 250, 500])
def test_population_at_every_scale(power: int) -> None:
    model = model_of(1.0 * cirq.Z(A))
    at_one, scaled = (
        decomposition.split_population(model, hq.integrated_gradients(model, x, baseline=x[::-1] / 2)).population
        for x in (X, np.ldexp(X, power))
    )
    np.testing.assert_allclose(np.ldexp(scaled, -2 * power), at_one, rtol=1e-13)


def test_numbers_are_recorded_with_all_digits() -> None:
    assert str(hq.Head("sigmoid", scale=1.23456789)) == "sigmoid(scale=1.23456789)"
    assert str(hq.Head("softmax", scale=5.0, target=1)) == "softmax(scale=5, target=1)"
    a = hq.integrated_gradients(model_of(1.0 * cirq.Z(A)), X, baseline=0.123456789)
    assert a.assumptions.baseline == "constant 0.123456789"
    assert str(hq.encoding.ApproximateEncoder(min_fidelity=0.99999999)) == "approximate encoding of fidelity 0.99999999"
    assert str(hq.encoding.ApproximateEncoder(layers=2, sweeps=7)) == "approximate encoding of 2 layers, 7 sweeps"
    assert "0.123456789 of the shots" in CompletenessRescaling(share=0.123456789).describe()
