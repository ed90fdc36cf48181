"""Captum and SHAP, if installed, compute the same numbers for the same function."""

from __future__ import annotations

import numpy as np
import pytest

import hattriq_cirq as hq
from hattriq_cirq.faithfulness import randomised


def model_and_inputs(n_qubits: int) -> tuple[hq.Model, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    model = randomised(hq.ring_ansatz(n_qubits, 2), seed=3)
    return model, rng.normal(size=(4, 2**n_qubits)), rng.normal(size=2**n_qubits)


def test_integrated_gradients_equal_captum() -> None:
    torch = pytest.importorskip("torch")
    captum = pytest.importorskip("captum.attr")
    model, x, baseline = model_and_inputs(3)
    matrix = torch.tensor(np.array(model.matrix.real))
    method = captum.IntegratedGradients(lambda rows: torch.einsum("sk,kl,sl->s", rows, matrix, rows))
    rows, start = torch.tensor(x), torch.tensor(baseline[np.newaxis])
    actual = method.attribute(rows, baselines=start, n_steps=8, method="gausslegendre").numpy()
    exact = hq.integrated_gradients(model, x, baseline=baseline).values
    assert np.linalg.norm(exact) > 0.1
    np.testing.assert_allclose(actual, exact, atol=1e-7)  # Captum's steps are single precision in places


def test_integrated_gradients_equal_shapley_values_of_shap() -> None:
    shap = pytest.importorskip("shap")
    model, x, baseline = model_and_inputs(3)
    explainer = shap.explainers.Exact(model.expectation, baseline[np.newaxis])
    exact = hq.integrated_gradients(model, x, baseline=baseline).values
    np.testing.assert_allclose(explainer(x).values, exact, atol=1e-10)
