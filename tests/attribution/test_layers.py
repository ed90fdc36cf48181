"""Layer attributions against dense matrices, and their circuits."""

from __future__ import annotations

from collections.abc import Callable

import cirq
import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Case, amplitudes, assert_close, cases, generators, random_case

import hattriq_cirq as hq
from hattriq_cirq.attribution.layers import default_cuts
from hattriq_cirq.estimators.bilinear import BilinearTerm
from hattriq_cirq.estimators.layers import LayerTest
from hattriq_cirq.estimators.plan import plan
from hattriq_cirq.execution.engine import Engine


def trained_like(n: int, layers: int, seed: int = 0) -> hq.Model:
    model, rng = hq.ring_ansatz(n, layers), np.random.default_rng(seed)
    return model.with_params({name: rng.normal() for name in model.params})


@given(case=cases(4), imaginary=st.booleans(), rng=generators)
def test_maps_populations_and_flows_are_those_of_dense_matrices(case: Case, imaginary: bool, rng: np.random.Generator) -> None:
    x, b = amplitudes(rng, 2, case.features, imaginary=imaginary)
    model = case.model
    found = hq.layer_attribution(model, x, baseline=b, flow=True)
    observable = oracle.pauli_matrix(case.observable, case.qubits)
    size = float(np.linalg.norm(x) + np.linalg.norm(b)) ** 2
    for i, cut in enumerate(found.cuts):
        first, rest = (
            oracle.unitary(cirq.Circuit(part) + cirq.Circuit(cirq.I.on_each(*case.qubits)), case.qubits)
            for part in (model.resolved_circuit[:cut], model.resolved_circuit[cut:])
        )
        inner = rest.conj().T @ observable @ rest
        d, s = first @ (x - b), first @ (x + b)
        assert_close(found.values[i], (d.conj() * (inner @ s)).real, 1e-12, size)
        populations = np.diag(inner).real @ (np.abs(first @ x) ** 2 - np.abs(first @ b) ** 2)
        assert found.population is not None
        assert_close(found.population[i], populations, 1e-12, size)
        assert found.flow is not None
        paths = ((first * (x - b)).conj() * (inner @ s)[:, np.newaxis]).real
        assert_close(found.flow[i], paths, 1e-12, size)
    assert found.flow is not None
    assert_close(found.flow.sum(axis=-1), found.values, 1e-12, size)
    assert_close(found.flow.sum(axis=-2), np.broadcast_to(found.values[0], found.values.shape), 1e-12, size)
    assert_close(found.values.sum(axis=-1), np.full(len(found.cuts), found.f_input - found.f_baseline), 1e-12, size)


def test_diagonal_observable_is_all_population_behind_the_circuit() -> None:
    model = trained_like(3, 2)
    xs = amplitudes(np.random.default_rng(1), 2, 8)
    found = hq.layer_attribution(model, xs / np.linalg.norm(xs, axis=1, keepdims=True))
    assert found.interference is not None
    np.testing.assert_allclose(found.interference[:, -1], 0, atol=1e-12)
    assert np.abs(found.interference[:, 0]).min() > 1e-3


def test_change_of_basis_at_a_cut_changes_its_map_and_not_its_sum() -> None:
    model, x = trained_like(2, 1), np.array([0.5, 0.1, 0.7, 0.5])
    (first, *_), cut = model.qubits, 3
    circuit = model.resolved_circuit
    turned = (
        circuit[:cut].unfreeze()
        + cirq.Circuit(cirq.Moment(cirq.H(first)), cirq.Moment(cirq.H(first)))
        + circuit[cut:].unfreeze()
    )
    other = hq.layer_attribution(hq.Model(turned, model.qubits, model.observable), x, cuts=[cut + 1])
    own = hq.layer_attribution(model, x, cuts=[cut])
    np.testing.assert_allclose(other.values.sum(), own.values.sum(), atol=1e-12)
    assert np.abs(other.values - own.values).max() > 0.01


def test_sets_and_batches_of_baselines_average_and_pair() -> None:
    model, rng = trained_like(2, 1), np.random.default_rng(2)
    xs, bs = amplitudes(rng, 2, 2, 4)
    over_set = hq.layer_attribution(model, xs, baseline=hq.BaselineSet(bs))
    single = [hq.layer_attribution(model, xs, baseline=b) for b in bs]
    np.testing.assert_allclose(over_set.values, np.mean([each.values for each in single], axis=0), atol=1e-12)
    paired = hq.layer_attribution(model, xs, baseline=bs)
    np.testing.assert_allclose(paired.values[1], single[1].values[1], atol=1e-12)
    np.testing.assert_allclose(paired[1].f_baseline, single[1].f_baseline[1], atol=1e-12)


@pytest.mark.parametrize("simulator", [hq.cirq_simulator, hq.qsim])
@pytest.mark.parametrize("observable", ["string", "sum with an identity"])
def test_circuits_measure_the_maps_of_all_cuts(observable: str, simulator: Callable[[], Engine]) -> None:
    case = random_case(2, 9, identity=observable != "string")
    model, (x, b) = case.model, amplitudes(np.random.default_rng(4), 2, 4, imaginary=True)
    x, b = x / np.linalg.norm(x), b / np.linalg.norm(b)
    exact = hq.layer_attribution(model, x, baseline=b)
    found = hq.layer_attribution(model, x, baseline=b, estimator=hq.ResolvedHadamardTest(), engine=simulator())
    np.testing.assert_allclose(found.values, exact.values, atol=1e-6)
    assert found.population is None


def test_measured_maps_lie_within_their_errors() -> None:
    model, x = trained_like(3, 2), np.sqrt(np.arange(8) / 28)
    exact = hq.layer_attribution(model, x, cuts=[0, 8])
    settings = {"estimator": hq.ResolvedHadamardTest(), "engine": hq.cirq_simulator(seed=3), "shots": 50_000}
    found = hq.layer_attribution(model, x, cuts=[0, 8], **settings)  # type: ignore[arg-type]
    pulls = (found.values - exact.values)[found.stderr > 0] / found.stderr[found.stderr > 0]
    assert np.abs(pulls).max() < 5
    assert 0.4 < np.sqrt(np.mean(pulls**2)) < 1.8


def test_later_cuts_take_fewer_gates() -> None:
    model, x = trained_like(4, 3), np.full(16, 0.25)
    counts = [
        sum(
            len(op.qubits) > 1
            for op in plan(LayerTest(cut=cut), model, [BilinearTerm(x, x)]).circuits[0].circuit.all_operations()
        )
        for cut in default_cuts(model)
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < counts[0]


def test_pictures_show_qubits_and_shares() -> None:
    model, x = trained_like(3, 2), amplitudes(np.random.default_rng(6), 8)
    found = hq.layer_attribution(model, x)
    figure = hq.plot_layers(found)
    contrast = np.asarray(figure.axes[0].images[0].get_array())
    assert contrast.shape == (3, len(found.cuts))
    ones = [k for k in range(8) if k & 4]
    np.testing.assert_allclose(contrast[0], 2 * found.values[:, ones].sum(axis=1) - found.values.sum(axis=1), atol=1e-12)
    heights = [bar.get_height() for bar in figure.axes[1].containers[0]]
    assert found.population is not None
    np.testing.assert_allclose(heights, found.population)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cuts": [9]}, r"cuts\[0\]=9"),
        ({"cuts": [1, 1]}, "each once"),
        ({"estimator": hq.HadamardTest(), "engine": hq.cirq_simulator()}, "which measures layers"),
        ({"estimator": hq.ResolvedHadamardTest(), "engine": hq.cirq_simulator(), "flow": True}, "not measured"),
        ({"shots": 5}, "need an estimator"),
    ],
)
def test_invalid_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hq.layer_attribution(hq.ring_ansatz(2, 1), [0.6, 0.0, 0.8, 0.0], **arguments)  # type: ignore[arg-type]


def test_circuits_with_channels_or_an_environment_are_refused_with_the_cure() -> None:
    a, b = cirq.LineQubit.range(2)
    circuit = cirq.Circuit(cirq.ry(0.4)(a), cirq.reset(a), cirq.CNOT(a, b))
    model = hq.Model(circuit, [a, b], cirq.Z(b))
    for each in (model, model.dilated()):
        with pytest.raises(ValueError, match=r"has no layers: .* take dilated = model.dilated\(\)"):
            hq.layer_attribution(each, [0.6, 0.0, 0.8, 0.0])
    dilated = model.dilated()
    whole = hq.Model(dilated.circuit, [*dilated.qubits, *dilated.environment], dilated.observable)
    x = np.array([0.6, 0.0, 0.8, 0.0])
    found = hq.layer_attribution(whole, np.kron(x, np.eye(1, 2 ** len(dilated.environment))[0]))
    np.testing.assert_allclose(found.values.sum(axis=-1), model.expectation(x), atol=1e-12)


def test_forms_without_a_circuit_are_refused() -> None:
    form = hq.ring_ansatz(2, 1)
    with pytest.raises(ValueError, match="layers are those of its circuit"):
        hq.layer_attribution(form.matrix, [1, 0, 0, 0])  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [1e-150, 1e140])
def test_layers_of_inputs_of_any_size(scale: float) -> None:
    model, x = trained_like(2, 1), np.array([0.5, 0.1, 0.7, 0.5])
    own, other = hq.layer_attribution(model, x), hq.layer_attribution(model, scale * x)
    np.testing.assert_allclose(other.values, own.values * scale**2, rtol=1e-12, atol=1e-14 * scale**2)
    assert own.population is not None
    assert other.population is not None
    np.testing.assert_allclose(other.population, own.population * scale**2, rtol=1e-12, atol=1e-14 * scale**2)
