"""The model that a noisy device computes: against density matrices, on processors, and the split of an error by it."""

from __future__ import annotations

from typing import Any

import cirq
import numpy as np
import pytest
from oracle import pauli_matrix
from strategies import Array

import hattriq_cirq as hq
from hattriq_cirq.estimators.bilinear import pauli_terms

LINE = cirq.LineQubit.range(3)
RNG = np.random.default_rng(3)
CIRCUIT = cirq.Circuit(
    [cirq.ry(0.4 + i).on(q) for i, q in enumerate(LINE)],
    cirq.CNOT(LINE[0], LINE[1]),
    cirq.rx(1.0).on(LINE[1]),
    cirq.CZ(LINE[1], LINE[2]),
    cirq.CNOT(LINE[2], LINE[0]),
    [cirq.rz(0.7 - 0.4 * i).on(q) for i, q in enumerate(LINE)],
    cirq.rx(0.3).on_each(LINE),
)
OBSERVABLE = cirq.X(LINE[0]) * cirq.Y(LINE[1]) * cirq.Z(LINE[2]) + 0.5 * cirq.Z(LINE[0]) + 0.1
MODEL = hq.Model(CIRCUIT, LINE, OBSERVABLE)
LOCAL = hq.Model(CIRCUIT[:3], LINE, cirq.Z(LINE[1]))  # qubit 2 takes no part
TEST = hq.ResolvedHadamardTest()
DECAY = cirq.ConstantQubitNoiseModel(cirq.amplitude_damp(0.05))
pytestmark = pytest.mark.filterwarnings("ignore::hattriq_cirq.IdentityPartWarning")


def state(rng: np.random.Generator, size: int = 8) -> Array:
    x = rng.normal(size=size) + 1j * rng.normal(size=size)
    return np.asarray(x / np.linalg.norm(x))


@pytest.mark.parametrize("model", [MODEL, LOCAL])
def test_expectation_of_the_noisy_model_is_that_of_density_matrices(model: hq.Model) -> None:
    """Every string is measured by a circuit of its own, behind which the simulator's noise acts as well."""
    found = hq.noisy_model(model, hq.cirq_simulator(noise=DECAY))
    simulator = cirq.DensityMatrixSimulator(dtype=np.complex128, split_untangled_states=False)
    for _ in range(3):
        x, wanted = state(RNG), model.identity_part
        for term in pauli_terms(model):
            measure = cirq.measure(*term.pauli.qubits, key="z")
            noisy = (term.circuit.unfreeze() + cirq.Circuit(term.basis_change, measure)).with_noise(DECAY)
            end = next(i for i, moment in enumerate(noisy) if any(map(cirq.is_measurement, moment)))
            rho = simulator.simulate(noisy[:end], qubit_order=LINE, initial_state=x).final_density_matrix
            parity = pauli_matrix(cirq.PauliString({q: cirq.Z for q in term.pauli.qubits}), LINE)
            wanted += term.coefficient * np.trace(rho @ parity).real
        np.testing.assert_allclose(found.expectation(x), wanted, rtol=0, atol=1e-12)
        np.testing.assert_allclose(np.vdot(x, found.observable_action(x)).real, wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.matrix, np.conj(found.matrix.T), atol=1e-15)


@pytest.mark.parametrize("name", ["willow_pink", "weber", "rainbow"])
def test_without_noise_it_is_the_model_on_every_gate_set(name: str) -> None:
    for model in (MODEL, LOCAL):
        np.testing.assert_allclose(
            hq.noisy_model(model, hq.virtual(name, noise="none")).matrix, model.matrix, rtol=0, atol=1e-9
        )
    np.testing.assert_allclose(hq.noisy_model(MODEL, hq.cirq_simulator()).matrix, MODEL.matrix, rtol=0, atol=1e-12)


@pytest.mark.parametrize("extra", [None, "zz=0.1,loss=0.01,joint-readout=0.02"])
@pytest.mark.parametrize("name", ["willow_pink", "weber"])
def test_compiled_circuit_with_its_noise_gives_the_expectations_on_any_input(name: str, extra: str | None) -> None:
    engine = hq.virtual(name, extra_noise=extra)
    model = MODEL.with_observable(cirq.Z(LINE[0]) * cirq.Z(LINE[1]))
    prepared = hq.prepare(model, state(RNG), baseline=0, estimator=hq.HadamardTest(), engine=engine, shots=None)
    placement, (term,) = prepared.placement, pauli_terms(model)
    assert placement is not None
    found = hq.noisy_model(model, engine, placement=placement)
    assert dict(found.qubits) == {q: placement.qubits[q] for q in LINE}
    (program,) = engine.compile([term.circuit + cirq.Circuit(cirq.measure(*LINE[:2], key="z"))], placement)
    circuit = cirq.resolve_parameters(program.circuit, dict(program.points[0]))
    data = [placement.qubits[q] for q in LINE]
    register = [*data, *sorted(circuit.all_qubits().difference(data))]
    model_of_noise, noisy = engine.backend.noise_on(circuit), list[cirq.Operation]()  # type: ignore[attr-defined]
    for moment in circuit:
        idle = cirq.Moment(cirq.Z(q).with_tags("end") for q in register)  # so that all qubits idle
        converted = cirq.Circuit(model_of_noise.noisy_moments([moment, idle], sorted(register)))
        noisy += [op for op in converted.all_operations() if "end" not in op.tags and not cirq.is_measurement(op)]
    x = state(RNG)
    start = np.kron(x, np.eye(1, 2 ** (len(register) - 3))[0])
    simulator = cirq.DensityMatrixSimulator(dtype=np.complex128, split_untangled_states=False)
    rho = simulator.simulate(cirq.Circuit(noisy), qubit_order=register, initial_state=start).final_density_matrix
    parity = pauli_matrix(cirq.PauliString({q: cirq.Z for q in circuit[-1].qubits}), register)
    np.testing.assert_allclose(found.expectation(x), np.trace(rho @ parity).real, rtol=0, atol=1e-9)
    assert np.abs(found.matrix - model.matrix).max() > 0.02


@pytest.mark.parametrize(("noise", "tolerance"), [("readout", 1e-6), ("calibrated", 0.02)])
def test_processor_computes_the_noisy_model_for_product_states(noise: Any, tolerance: float) -> None:
    """The engine runs the model's circuit behind preparations that merge with its first gates.

    Coherent errors of CZ act a little differently behind the phases that a preparation leaves.
    """
    circuit = cirq.Circuit(cirq.ry(0.4)(LINE[0]), cirq.ry(1.4)(LINE[1]), cirq.CNOT(*LINE[:2]), cirq.rx(0.4)(LINE[1]))
    model = hq.Model(circuit, LINE[:2], cirq.Z(LINE[1]))
    engine, (term,) = hq.virtual("willow_pink", noise=noise), pauli_terms(model)
    body = term.circuit + cirq.Circuit(cirq.measure(LINE[1], key="z"))
    angles = RNG.uniform(0.3, 2.8, (4, 2, 2))
    rotations = [cirq.Circuit((cirq.ry(y)(q), cirq.rz(z)(q)) for q, (y, z) in zip(LINE, own, strict=False)) for own in angles]
    prepared = hq.prepare(model, state(RNG, 4), baseline=0, estimator=hq.HadamardTest(), engine=engine, shots=None)
    noisy = hq.noisy_model(model, engine, placement=prepared.placement)
    outcomes = engine.execute(engine.compile([own + body for own in rotations], prepared.placement), None)
    states = np.array([own.final_state_vector(qubit_order=LINE[:2]) for own in rotations])
    measured = [d.probabilities @ [1, -1] for d in outcomes]
    np.testing.assert_allclose(noisy.expectation(states), measured, rtol=0, atol=tolerance)
    assert np.abs(np.subtract(measured, model.expectation(states))).max() > 0.005


def test_noise_that_is_not_unital_gives_an_offset_that_traceless_removes() -> None:
    model = MODEL.traceless()
    found = hq.noisy_model(model, hq.cirq_simulator(noise=DECAY))
    assert abs(found.identity_part) > 0.01
    np.testing.assert_allclose(found.identity_part, np.trace(found.matrix).real / 8)
    assert abs(found.traceless().identity_part) < 1e-15
    unital = hq.noisy_model(model, hq.cirq_simulator(noise=cirq.ConstantQubitNoiseModel(cirq.depolarize(0.02))))
    assert abs(unital.identity_part) < 1e-12


def test_maps_of_the_noisy_model_and_the_two_parts_of_an_error() -> None:
    engine = hq.cirq_simulator(noise=cirq.ConstantQubitNoiseModel(cirq.depolarize(0.01)))
    noisy = hq.noisy_model(LOCAL, engine)
    rows, rng = np.stack([state(RNG) for _ in range(2)]), np.random.default_rng(1)
    baselines: list[Any] = [0.0, state(rng) / 2, hq.BaselineSet(np.stack([state(rng), state(rng)]))]
    for baseline in baselines:
        options: dict[str, Any] = {
            "baseline": baseline,
            "estimator": hq.ResolvedHadamardTest(),
            "engine": engine,
            "shots": None,
        }
        measured = hq.integrated_gradients(LOCAL, rows, **options)
        ideal, own = (hq.integrated_gradients(m, rows, baseline=baseline) for m in (LOCAL, noisy))
        np.testing.assert_allclose(own.completeness_gap, 0, atol=1e-12)
        split = noisy.split_error(measured)
        np.testing.assert_allclose(split.model, own.values - ideal.values, atol=1e-12)
        np.testing.assert_allclose(split.estimator, measured.values - own.values, atol=1e-12)
        np.testing.assert_allclose(split.total, measured.values - ideal.values, atol=1e-12)
        assert np.linalg.norm(split.estimator) > 0
    normalized = hq.integrated_gradients(LOCAL, rows, baseline=baselines[1], form="normalized")
    with pytest.raises(ValueError, match="form='normalized', head=identity and rule='exact' is not linear"):
        noisy.split_error(normalized)


def test_engines_without_known_noise_and_large_models_are_refused() -> None:
    with pytest.raises(ValueError, match="the noise of qsim is not known"):
        hq.noisy_model(MODEL, hq.qsim(noise=DECAY))
    wide = hq.ring_ansatz(11, layers=0)
    with pytest.raises(ValueError, match=r"of 11 qubits takes 4\*\*11 numbers; at most 10"):
        hq.noisy_model(wide, hq.cirq_simulator())
    with pytest.raises(ValueError, match="engine=1 must be an engine"):
        hq.noisy_model(MODEL, 1)  # type: ignore[arg-type]
    processor = hq.virtual("willow_pink", noise="none")
    other = hq.prepare(hq.ring_ansatz(2, 1), np.ones(4), baseline=0, estimator=hq.HadamardTest(), engine=processor, shots=None)
    with pytest.raises(ValueError, match=r"no qubits for q\(2\) of the model"):
        hq.noisy_model(MODEL, processor, placement=other.placement)
