"""Captum, SHAP and PennyLane compute the same numbers for the same function; `make test-peers` installs them."""

from __future__ import annotations

import cirq
import numpy as np
import pytest
from peers import peer

import hattriq_cirq as hq
from hattriq_cirq.faithfulness import randomised

pytestmark = pytest.mark.peers


def model_and_inputs(n_qubits: int) -> tuple[hq.Model, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    model = randomised(hq.ring_ansatz(n_qubits, 2), seed=3)
    return model, rng.normal(size=(4, 2**n_qubits)), rng.normal(size=2**n_qubits)


def test_integrated_gradients_equal_captum() -> None:
    torch, captum = peer("torch"), peer("captum.attr")
    model, x, baseline = model_and_inputs(3)
    matrix = torch.tensor(np.array(model.matrix.real))
    method = captum.IntegratedGradients(lambda rows: torch.einsum("sk,kl,sl->s", rows, matrix, rows))
    rows, start = torch.tensor(x), torch.tensor(baseline[np.newaxis])
    actual = method.attribute(rows, baselines=start, n_steps=8, method="gausslegendre").numpy()
    exact = hq.integrated_gradients(model, x, baseline=baseline).values
    assert np.linalg.norm(exact) > 0.1
    np.testing.assert_allclose(actual, exact, atol=1e-7)  # Captum's steps are single precision in places


def test_integrated_gradients_equal_shapley_values_of_shap() -> None:
    shap = peer("shap")
    model, x, baseline = model_and_inputs(3)
    explainer = shap.explainers.Exact(model.expectation, baseline[np.newaxis])
    exact = hq.integrated_gradients(model, x, baseline=baseline).values
    np.testing.assert_allclose(explainer(x).values, exact, atol=1e-10)


@pytest.mark.parametrize("baseline_is_zero", [True, False])
def test_interactions_equal_shapley_interaction_values_of_shap(baseline_is_zero: bool) -> None:
    shap = peer("shap")
    model, x, baseline = model_and_inputs(3)
    baseline = baseline * (not baseline_is_zero)
    explainer = shap.explainers.Exact(model.expectation, baseline[np.newaxis])
    found = hq.interactions(model, x, baseline=baseline)
    np.testing.assert_allclose(explainer(x, interactions=2).values, found.values, atol=1e-10)


def test_score_equals_that_of_a_pennylane_circuit() -> None:
    qml = peer("pennylane")
    model, x, _ = model_and_inputs(3)

    def score(amplitudes: np.ndarray) -> object:
        qml.AmplitudeEmbedding(amplitudes, wires=range(3), normalize=False)
        for op in model.resolved_circuit.all_operations():
            wires = [model.qubits.index(q) for q in op.qubits]
            if op.gate == cirq.CZ:
                qml.CZ(wires)
            elif isinstance(op.gate, cirq.Rz):
                qml.RZ(np.pi * op.gate.exponent, wires)
            else:
                assert isinstance(op.gate, cirq.Ry)
                qml.RY(np.pi * op.gate.exponent, wires)
        return qml.expval(qml.PauliZ(0))

    unit = x[0] / np.linalg.norm(x[0])
    node = qml.QNode(score, qml.device("default.qubit", wires=3))
    assert float(node(unit)) == pytest.approx(float(model.expectation(unit)), abs=1e-12)
