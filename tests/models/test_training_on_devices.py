"""Training on devices: the same steps as those of NumPy."""

from __future__ import annotations

from typing import Any

import cirq
import numpy as np
import pytest
import sympy
from devices import DEVICES
from strategies import assert_close

import hattriq_cirq as hq
from hattriq_cirq.foundation.devices import Device

#: Ways to train; each takes another path through the gradient.
WAYS: dict[str, dict[str, Any]] = {
    "minibatches": {"batch_size": 5},
    "whole set": {"optimizer": "lbfgs"},
    "diagonal observables": {"observables": ["Z0", "Z1", "Z0*Z1"]},
    "other observables": {"observables": ["X0", "Z1"], "batch_size": 5},
}


def scores_of(training: hq.Training) -> list[hq.Model]:
    """Return the trained scores as models."""
    return [training.model.with_observable(each) for each in training.observables] or [training.model]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("imaginary", [False, True], ids=["real", "complex"])
def test_training_takes_the_same_steps(device: str, way: str, imaginary: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(24, 8)) + (1j * rng.normal(size=(24, 8)) if imaginary else 0)
    is_first = np.abs(x[:, 0]) > np.abs(x[:, 1])
    y = is_first.astype(int) if "observables" in WAYS[way] else np.where(is_first, 1, -1)
    options: dict[str, Any] = {"seed": 1, "epochs": 3, "validation": (x[:7], y[:7]), **WAYS[way]}
    expected = hq.train(hq.ring_ansatz(3, 1), x, y, **options)
    for found in (
        hq.train(hq.ring_ansatz(3, 1), x, y, device=device, **options),
        hq.train(hq.ring_ansatz(3, 1), Device.of(device).asarray(x), y, **options),
    ):
        assert_close(found.history.loss, expected.history.loss)
        assert_close(found.history.validation_loss, expected.history.validation_loss)
        # Adam moves a parameter without effect by the rounding of its gradient: products with M are compared, not parameters
        for own, other in zip(scores_of(found), scores_of(expected), strict=True):
            assert_close(own.observable_action(x), other.observable_action(x), 1e-9)
        assert_close(found.weights, expected.weights, 1e-9)


@pytest.mark.parametrize("device", DEVICES)
def test_model_with_an_environment_trains(device: str) -> None:
    x, (data, outside) = np.random.default_rng(0).normal(size=(9, 2)), cirq.LineQubit.range(2)
    circuit = cirq.Circuit(cirq.H(outside), cirq.CZ(data, outside) ** sympy.Symbol("t"), cirq.ry(sympy.Symbol("u"))(data))
    model = hq.Model(circuit, [data], cirq.Z(data), {"t": 0.0, "u": 0.0}, environment=[outside])
    y = np.where(x[:, 0] > 0, 1, -1)
    expected, found = (hq.train(model, x, y, seed=1, epochs=2, device=on) for on in ("cpu", device))
    assert_close(found.history.loss, expected.history.loss)
