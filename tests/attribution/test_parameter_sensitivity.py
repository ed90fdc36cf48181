"""Sensitivity of maps to parameters against finite differences and random parameters."""

from __future__ import annotations

import cirq
import numpy as np
import pytest
import sympy
from strategies import amplitudes

import hattriq_cirq as hq

A, B, C = sympy.symbols("a b c")


def circuits() -> dict[str, cirq.Circuit]:
    p, q = cirq.LineQubit.range(2)
    return {
        "rotations": cirq.Circuit(cirq.ry(A)(p), cirq.rz(B)(q), cirq.CZ(p, q), cirq.rx(C)(q), cirq.ry(0.4)(p)),
        "shared and affine symbols": cirq.Circuit(cirq.ry(A)(p), cirq.ry(2 * A + B)(q), cirq.CNOT(p, q), cirq.rx(A - C)(p)),
        "iSWAP and CZ powers": cirq.Circuit(cirq.H(p), cirq.ISWAP(p, q) ** A, cirq.CZ(p, q) ** B, cirq.ry(C)(q), cirq.H(q)),
        "controlled rotations": cirq.Circuit(cirq.H(p), cirq.ry(A).controlled()(p, q), cirq.rz(B)(p), cirq.H(q), cirq.rx(C)(p)),
    }


@pytest.mark.parametrize("kind", list(circuits()))
@pytest.mark.parametrize("imaginary", [False, True])
def test_derivatives_are_those_of_finite_differences(kind: str, imaginary: bool) -> None:
    qubits = cirq.LineQubit.range(2)
    model = hq.Model(circuits()[kind], qubits, cirq.Z(qubits[0]) + 0.5 * cirq.X(qubits[1]), {"a": 0.7, "b": -0.4, "c": 1.1})
    xs, bs = amplitudes(np.random.default_rng(3), 2, 2, 4, imaginary=imaginary)
    found = hq.parameter_sensitivity(model, xs, baseline=bs)
    step = 1e-5
    for j, name in enumerate(found.names):
        ends = [
            hq.integrated_gradients(
                model.with_params({**model.params, name: model.params[name] + sign * step}), xs, baseline=bs
            )
            for sign in (1, -1)
        ]
        slope = (ends[0].values - ends[1].values) / (2 * step)
        np.testing.assert_allclose(found.derivatives[:, j], slope, atol=1e-8 * np.abs(xs).max() ** 2 * 10)


def test_covariance_is_that_of_maps_of_random_parameters() -> None:
    model, rng = hq.ring_ansatz(2, layers=1), np.random.default_rng(5)
    theta = rng.normal(size=len(model.params))
    model = model.with_params(dict(zip(model.params, theta, strict=True)))
    x = amplitudes(rng, 4)
    found = hq.parameter_sensitivity(model, x)
    spread = 0.01
    drawn = theta + spread * rng.normal(size=(400, len(theta)))
    maps = [
        hq.integrated_gradients(model.with_params(dict(zip(model.params, row, strict=True))), x, baseline=0).values
        for row in drawn
    ]
    np.testing.assert_allclose(found.stderr(spread), np.std(maps, axis=0), rtol=0.15)
    covariance = found.covariance(np.eye(len(theta)) * spread**2)
    np.testing.assert_allclose(covariance, found.covariance(np.full(len(theta), spread)))
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), found.stderr(spread))


def test_models_with_channels_have_derivatives() -> None:
    p, q = cirq.LineQubit.range(2)
    circuit = cirq.Circuit(
        *(cirq.ry(A)(p), cirq.CNOT(p, q), cirq.rx(B)(p), cirq.measure(p, key="m"), cirq.ry(C)(q).with_classical_controls("m")),
        *(cirq.H(p), cirq.CZ(p, q), cirq.rx(0.3)(q), cirq.amplitude_damp(0.1)(q)),
    )
    model = hq.Model(circuit, [p, q], cirq.Z(q) + 0.3 * cirq.X(p), {"a": 0.7, "b": -0.4, "c": 1.1})
    x, step = np.array([0.5, 0.1, -0.7, 0.5]), 1e-5
    found = hq.parameter_sensitivity(model, x)
    assert np.abs(found.derivatives).max() > 0.01
    for j, name in enumerate(found.names):
        moved = [model.with_params({**model.params, name: model.params[name] + sign * step}) for sign in (1, -1)]
        above, below = ((x * each.observable_action(x)).real for each in moved)
        np.testing.assert_allclose(found.derivatives[j], (above - below) / (2 * step), atol=1e-8)


def test_dead_parameters_have_no_effect() -> None:
    model = hq.ring_ansatz(3, layers=1)
    model = model.with_params({name: 0.3 + 0.1 * i for i, name in enumerate(model.params)})
    found = hq.parameter_sensitivity(model, amplitudes(np.random.default_rng(2), 8))
    sizes = dict(zip(found.names, np.abs(found.derivatives).max(axis=-1), strict=True))
    assert sizes["y1_2"] < 1e-12 < sizes["y1_0"]  # behind the last CZ, only the measured qubit matters


@pytest.mark.parametrize("given", [np.ones(3), np.array([[1.0, 0.5], [0.0, 1.0]]), np.nan])
def test_invalid_covariances_are_refused(given: object) -> None:
    found = hq.parameter_sensitivity(hq.ring_ansatz(1, 0), [0.6, 0.8])
    with pytest.raises(ValueError, match="of_parameters"):
        found.covariance(given)  # type: ignore[arg-type]


def test_models_without_parameters_are_refused() -> None:
    qubit = cirq.LineQubit(0)
    with pytest.raises(ValueError, match="no parameters"):
        hq.parameter_sensitivity(hq.Model(cirq.Circuit(cirq.X(qubit)), [qubit], cirq.Z(qubit)), [0.6, 0.8])


@pytest.mark.parametrize("scale", [1e-150, 1e140])
def test_derivatives_of_inputs_of_any_size(scale: float) -> None:
    model, x = hq.ring_ansatz(2, layers=1), np.array([0.5, 0.1, 0.7, 0.5])
    model = model.with_params({name: 0.3 + 0.1 * i for i, name in enumerate(model.params)})
    own, other = hq.parameter_sensitivity(model, x), hq.parameter_sensitivity(model, scale * x)
    np.testing.assert_allclose(other.derivatives, own.derivatives * scale**2, rtol=1e-11, atol=1e-13 * scale**2)
