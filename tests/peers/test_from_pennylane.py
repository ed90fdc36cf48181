"""Models from PennyLane: its own scores and Captum's attributions, orders of the wires, trained weights, channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cirq
import numpy as np
import pytest
from peers import peer

import hattriq_cirq as hq

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore::hattriq_cirq.RemovedOperationsWarning")]


@pytest.fixture
def qml() -> Iterator[Any]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what PennyLane's own code calls is its own
        yield peer("pennylane")


def scores(node: Any, x: Any, *args: Any) -> Any:
    """Return all expectations of a node, flat."""
    found = node(x, *args)
    return np.concatenate([np.ravel(each) for each in (found if isinstance(found, list | tuple) else [found])])


def unit(rng: np.random.Generator, n: int) -> Any:
    x = rng.normal(size=2**n) + 1j * rng.normal(size=2**n)
    return x / np.linalg.norm(x)


def test_attributions_of_strongly_entangling_layers_equal_pennylane_and_captum(qml: Any) -> None:
    torch, captum = peer("torch"), peer("captum.attr")
    n, rng = 4, np.random.default_rng(1)
    weights = rng.uniform(0, 2 * np.pi, qml.StronglyEntanglingLayers.shape(3, n))

    @qml.qnode(qml.device("default.qubit", wires=n), interface="torch")  # type: ignore[untyped-decorator]
    def node(x: Any, weights: Any) -> Any:
        qml.AmplitudeEmbedding(x, wires=range(n), normalize=True)
        qml.StronglyEntanglingLayers(weights, wires=range(n))
        return qml.expval(qml.Z(0) @ qml.Z(2))

    x, baseline = rng.normal(size=(3, 2**n)), rng.normal(size=2**n)
    trained = torch.tensor(weights, requires_grad=True)
    model = hq.from_pennylane(node, torch.tensor(x[0]), trained)
    assert isinstance(model, hq.Model)
    assert len(model.params) == weights.size
    assert model.params["weights[2,1,0]"] == weights[2, 1, 0]
    method = captum.IntegratedGradients(lambda rows: node(rows, trained.detach()))
    rows, start = torch.tensor(x), torch.tensor(baseline[np.newaxis])
    # AmplitudeEmbedding divides by the norm: PennyLane's function of x is the normalized form
    found = method.attribute(rows, baselines=start, n_steps=400, method="gausslegendre").detach().numpy()
    ours = hq.integrated_gradients(model, x, baseline=baseline, form="normalized")
    assert np.abs(ours.values).max() > 0.1
    np.testing.assert_allclose(found, ours.values, rtol=0, atol=1e-8)
    own = node(rows, trained.detach()).detach().numpy()
    np.testing.assert_allclose(own, ours.f_input, rtol=0, atol=1e-12)


def every_gate(qml: Any, w: Any, v: Any, shift: Any, a: Any, b: Any, c: Any) -> list[Callable[[], object]]:
    """Return gates of every kind on three wires with angles from two weights, each queued when it is called."""
    return [
        lambda: qml.RX(w, a),
        lambda: qml.RY(2 * w + 0.1, b),
        lambda: qml.RZ(-w / 3, c),
        lambda: qml.Rot(w, v, shift, a),
        lambda: qml.U3(w, 0.3, v, b),
        lambda: qml.U2(w, v, c),
        lambda: qml.PhaseShift(w * v, a),
        lambda: qml.CRot(w, v, 0.4, [a, b]),
        lambda: qml.CRX(w, [b, c]),
        lambda: qml.ControlledPhaseShift(w, [c, a]),
        lambda: qml.IsingXX(w, [a, b]),
        lambda: qml.IsingYY(w, [b, a]),
        lambda: qml.IsingXY(w, [a, c]),
        lambda: qml.MultiRZ(w, [a, b, c]),
        lambda: qml.PauliRot(w, "XYZ", [c, a, b]),
        lambda: qml.SingleExcitation(w, [a, b]),
        lambda: qml.Toffoli([a, b, c]),
        lambda: qml.ctrl(qml.RY(w, c), control=[a, b], control_values=[0, 1]),
        lambda: qml.adjoint(qml.U3(w, 0.2, v, a)),
        lambda: qml.adjoint(qml.S(b)),
        lambda: qml.QFT([a, b]),
        lambda: qml.ctrl(qml.U2(w, v, b), control=[c]),
        lambda: qml.pow(qml.SX(a), 3),
        lambda: qml.BasicEntanglerLayers([[w, v, shift]], wires=[a, b, c]),
    ]


def random_node(
    qml: Any, rng: np.random.Generator, wires: list[Any], embedded: list[Any], device: str = "default.qubit"
) -> Any:
    """Return a node with random gates of every kind, some of their angles functions of its weights."""
    chosen = [rng.permutation(len(wires))[:3].tolist() for _ in range(40)]
    kinds = rng.integers(0, 24, size=40)

    def circuit(x: Any, weights: Any, shift: Any) -> Any:
        qml.StatePrep(x, wires=embedded)
        for k, kind in enumerate(kinds):
            a, b, c = (wires[i] for i in chosen[k])
            w, v = weights[k % 3, k % 2], weights[(k + 1) % 3, 1]
            every_gate(qml, w, v, shift, a, b, c)[kind]()
        return (
            qml.expval(qml.X(wires[0]) @ qml.Z(wires[2])),
            qml.expval(0.5 * qml.Z(wires[1]) - 2 * qml.prod(qml.Y(wires[0]), qml.X(wires[2]))),
            qml.expval(qml.Hermitian(np.array([[1, 1j], [-1j, 0.3]]), wires[2])),
            qml.expval(qml.Projector([1, 0], [wires[2], wires[0]])),
            qml.expval(qml.Hamiltonian([0.2, -1.0], [qml.Z(wires[0]), qml.X(wires[1]) @ qml.Y(wires[2])])),
            qml.probs([wires[1]]),
        )

    return qml.QNode(circuit, qml.device(device, wires=wires))


@pytest.mark.parametrize("seed", range(6))
def test_random_circuits_equal_pennylane_at_other_weights_too(qml: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kinds: list[list[Any]] = [[0, 1, 2], ["a", "b", "c"], [2, 0, 1], [4, 1, 7]]
    wires = kinds[seed % 4]
    embedded = [wires[i] for i in rng.permutation(3)]
    node, weights, shift = random_node(qml, rng, wires, embedded), rng.normal(size=(3, 2)), 0.3
    x = unit(rng, 3)
    models = hq.from_pennylane(node, x, weights, shift)
    assert isinstance(models, list)
    assert len(models) == 7
    found = [float(model.expectation(x)) for model in models]
    np.testing.assert_allclose(found, scores(node, x, weights, shift), rtol=0, atol=1e-10)
    others = rng.normal(size=(3, 2))
    if not any(name.startswith("angle[") for name in models[0].params):
        params = {n: float(others[tuple(map(int, n[8:-1].split(",")))]) if n != "shift" else -0.9 for n in models[0].params}
        moved = [float(model.with_params(params).expectation(x)) for model in models]
        np.testing.assert_allclose(moved, scores(node, x, others, -0.9), rtol=0, atol=1e-10)


@pytest.mark.parametrize("order", ["big-endian", "little-endian", [1, 2, 0]])
def test_order_of_the_wires_is_that_of_the_amplitudes(qml: Any, order: Any) -> None:
    rng = np.random.default_rng(5)
    weights = rng.normal(size=(2, 3, 3))
    wires = {"big-endian": [0, 1, 2], "little-endian": [2, 1, 0]}.get(order, order) if isinstance(order, str) else order

    def layers(weights: Any) -> Any:
        qml.StronglyEntanglingLayers(weights, wires=range(3))
        return qml.expval(qml.Z(0) @ qml.X(1))

    def embedded(x: Any, weights: Any) -> Any:
        qml.AmplitudeEmbedding(x, wires=wires)
        return layers(weights)

    device, x = qml.device("default.qubit", wires=3), unit(rng, 3)
    plain = hq.from_pennylane(qml.QNode(layers, device), weights, qubit_order=order)
    expected = float(qml.QNode(embedded, device)(x, weights))
    assert isinstance(plain, hq.Model)
    assert float(plain.expectation(x)) == pytest.approx(expected, abs=1e-12)
    found = hq.from_pennylane(qml.QNode(embedded, device), x, weights)  # the order of the embedding
    assert isinstance(found, hq.Model)
    assert float(found.expectation(x)) == pytest.approx(expected, abs=1e-12)
    for wrong in ("big-endian", "little-endian"):
        if wrong == order:
            continue
        with pytest.raises(ValueError, match="contradicts the PennyLane circuit"):
            hq.from_pennylane(qml.QNode(embedded, device), x, weights, qubit_order=wrong)
        with pytest.raises(ValueError, match="scores"):
            hq.from_pennylane(qml.QNode(layers, device), weights, qubit_order=wrong, check=(x, expected))


def test_measurements_inside_and_channels(qml: Any) -> None:
    rng = np.random.default_rng(6)
    x = unit(rng, 2)

    @qml.qnode(qml.device("default.qubit"))  # type: ignore[untyped-decorator]
    def measured(x: Any, w: Any) -> Any:
        qml.StatePrep(x, wires=[2, 0])
        qml.RX(w[0], 0)
        m = qml.measure(1)
        qml.cond(m, qml.PauliX)(wires=2)
        qml.CNOT([0, 1])
        again = qml.measure(0, reset=True)
        qml.cond(again, qml.RX)(w[1], wires=2)
        return qml.expval(qml.Z(2) @ qml.Z(1))

    model = hq.from_pennylane(measured, x, np.array([0.4, -0.9]))
    assert isinstance(model, hq.Model)
    assert set(model.params) == {"w[0]", "w[1]"}
    assert float(model.expectation(x)) == pytest.approx(float(measured(x, np.array([0.4, -0.9]))), abs=1e-12)

    @qml.qnode(qml.device("default.mixed", wires=2))  # type: ignore[untyped-decorator]
    def noisy(x: Any, w: float) -> Any:
        qml.StatePrep(x, wires=[0, 1])
        qml.DepolarizingChannel(0.2, wires=0)
        qml.CRY(w, [0, 1])
        qml.AmplitudeDamping(0.3, wires=1)
        return qml.expval(qml.Z(1))

    model = hq.from_pennylane(noisy, x, 0.7)
    assert isinstance(model, hq.Model)
    assert model.has_noise
    assert float(model.expectation(x)) == pytest.approx(float(noisy(x, 0.7)), abs=1e-10)


def test_removed_preparation_is_named_and_trained_weights_train_on(qml: Any) -> None:
    rng = np.random.default_rng(7)

    @qml.qnode(qml.device("default.qubit", wires=2))  # type: ignore[untyped-decorator]
    def node(inputs: Any, weights: Any) -> Any:
        qml.AmplitudeEmbedding(inputs, wires=[0, 1], normalize=True)
        qml.BasicEntanglerLayers(weights, wires=[0, 1], rotation=qml.RY)
        return qml.expval(qml.Z(0))

    weights = qml.numpy.array(rng.normal(size=(2, 2)), requires_grad=True)
    with pytest.warns(hq.RemovedOperationsWarning, match=r"left out the preparation AmplitudeEmbedding on wires \[0, 1\]"):
        model = hq.from_pennylane(node, np.ones(4), weights)
    assert isinstance(model, hq.Model)
    assert {name: round(value, 12) for name, value in model.params.items()} == {
        f"weights[{i},{j}]": round(float(weights[i, j]), 12) for i in range(2) for j in range(2)
    }
    x = rng.normal(size=(40, 4))
    y = np.where(x[:, 0] ** 2 > x[:, 3] ** 2, 1, -1)
    trained = hq.train(model, x, y, seed=0, epochs=20).model
    assert hq.accuracy(trained, x, y) >= hq.accuracy(model, x, y)
    inputs = x[0] / np.linalg.norm(x[0])
    sensitivity = hq.parameter_sensitivity(model, inputs, baseline=0)
    gradient = qml.grad(node, argnums=1)(inputs, weights)
    by_name = dict(zip(sensitivity.names, sensitivity.derivatives.sum(axis=-1), strict=True))
    for i, j in np.ndindex(2, 2):
        assert by_name[f"weights[{i},{j}]"] == pytest.approx(float(gradient[i, j]), abs=1e-10)


def test_tapes_and_what_cannot_be_a_model(qml: Any) -> None:
    tape = qml.tape.QuantumScript([qml.RX(0.3, 0), qml.CNOT([0, 1])], [qml.expval(qml.Z(1))])
    model = hq.from_pennylane(tape)
    assert isinstance(model, hq.Model)
    assert dict(model.params) == {"params[0]": 0.3}
    assert model.circuit.all_qubits() == set(cirq.LineQubit.range(2))
    other = hq.from_pennylane(qml.tape.QuantumScript([qml.RX(0.3, 0)], [qml.state()]), observable="P1(0)")
    assert isinstance(other, hq.Model)
    assert float(other.expectation([1, 0])) == pytest.approx(np.sin(0.15) ** 2)
    refused = {
        "StateMP": ([qml.RX(0.3, 0)], [qml.state()]),
        "VarianceMP": ([qml.RX(0.3, 0)], [qml.var(qml.Z(0))]),
        "returns no expectation": ([qml.RX(0.3, 0)], []),
        "after other operations": ([qml.RX(0.3, 0), qml.StatePrep([1, 0], 0)], [qml.expval(qml.Z(0))]),
        "beside another preparation": ([qml.StatePrep([1, 0], 0), qml.StatePrep([1, 0], 1)], [qml.expval(qml.Z(0))]),
        "batch of angles": ([qml.RX([0.3, 0.4], 0)], [qml.expval(qml.Z(0))]),
    }
    for message, parts in refused.items():
        with pytest.raises(ValueError, match=message):
            hq.from_pennylane(qml.tape.QuantumScript(*parts))
