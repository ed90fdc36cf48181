"""Engines on simulators and samplers: exact probabilities, counts, noise, bit order and rejected input."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable

import cirq
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Array, amplitudes, generators, random_case

from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution import Engine, cirq_simulator, qsim, sampler
from hattriq_cirq.execution.backend import Backend, Job
from hattriq_cirq.execution.backends.simulators import ExactBackend
from hattriq_cirq.simulation.noisy_program import populations

Factory = Callable[..., Engine]
both = pytest.mark.parametrize("factory", [cirq_simulator, qsim])
A, B, C = cirq.NamedQubit.range(3, prefix="q")
TOLERANCE = {"cirq": 1e-12, "qsim": 1e-6}
BELL = cirq.Circuit(cirq.H(A), cirq.CNOT(A, B), cirq.measure(A, B, key="z"))


def turned(angles: dict[cirq.Qid, float], measured: list[cirq.Qid]) -> tuple[cirq.Circuit, Array]:
    """Return a circuit of independent qubits, and the probabilities of their bits in the measured order."""
    expected = np.ones(1)
    for q in measured:
        expected = np.kron(expected, [np.cos(angles[q] / 2) ** 2, np.sin(angles[q] / 2) ** 2])
    turns = [cirq.ry(angle)(q) for q, angle in angles.items()]
    return cirq.Circuit(turns, cirq.measure(*measured, key="z")), expected


@both
@given(order=st.permutations([A, B, C]), count=st.integers(1, 3), rng=generators)
def test_bit_order_is_the_measured_order(factory: Factory, order: list[cirq.Qid], count: int, rng: np.random.Generator) -> None:
    circuit, expected = turned({q: rng.uniform(0, np.pi) for q in (A, B, C)}, order[:count])
    engine = factory(seed=1)
    (exact,) = engine.run([circuit], None)
    np.testing.assert_allclose(exact.probabilities, expected, rtol=0, atol=TOLERANCE[engine.name])


@both
def test_counts_are_in_the_measured_order(factory: Factory) -> None:
    circuit = cirq.Circuit(cirq.X(A), cirq.I(B), cirq.X(C), cirq.measure(C, B, A, key="z"))
    other = cirq.Circuit(cirq.X(A), cirq.I(B), cirq.I(C), cirq.measure(B, C, A, key="z"))
    first, second = factory(seed=1).run([circuit, other], [5, 7])
    assert (first.probabilities[0b101], first.shots) == (1, 5)
    assert (second.probabilities[0b001], second.shots) == (1, 7)


@both
@settings(max_examples=15)
@given(n=st.integers(1, 5), seed=st.integers(0, 1000))
def test_probabilities_agree_with_the_dense_unitary(factory: Factory, n: int, seed: int) -> None:
    case = random_case(n, seed)
    circuit = cirq.Circuit(cirq.I.on_each(case.qubits)) + case.circuit
    wanted = np.abs(circuit.unitary(qubit_order=case.qubits)[:, 0]) ** 2
    engine = factory()
    (exact,) = engine.run([circuit + cirq.Circuit(cirq.measure(*case.qubits, key="z"))], None)
    np.testing.assert_allclose(exact.probabilities, wanted, rtol=0, atol=TOLERANCE[engine.name])
    assert exact.shots is None


@both
def test_counts_follow_the_probabilities_and_sum_to_the_shots(factory: Factory) -> None:
    circuit, expected = turned({A: 1.0, B: 2.0}, [B, A])
    shots = [1, 10, 200_000]
    engine = factory(seed=3)
    found = engine.run([circuit] * 3, shots)
    assert [d.shots for d in found] == shots
    for d, s in zip(found, shots, strict=True):
        counts = d.probabilities * s
        np.testing.assert_allclose(counts, np.round(counts), rtol=0, atol=1e-9)
        assert round(counts.sum()) == s
    sigma = np.sqrt(expected * (1 - expected) / shots[-1])
    pulls = (found[-1].probabilities - expected) / sigma
    assert np.abs(pulls).max() < 5
    assert np.abs(pulls).max() > 1e-3  # sampled, not computed


@both
def test_seed_repeats_and_changes_counts(factory: Factory) -> None:
    def counts(seed: int | None) -> list[float]:
        runs = factory(seed=seed).run([BELL, BELL], [1000, 1000])
        return [float(d.probabilities[0]) for d in runs]

    assert counts(1) == counts(1)
    assert counts(1) != counts(2)
    assert len(set(counts(1))) == 2  # circuits of one call are sampled independently
    assert counts(None) != counts(None) or counts(None) != counts(None)


@both
def test_second_call_of_an_engine_gives_other_counts(factory: Factory) -> None:
    engine = factory(seed=1)
    first, second = (engine.run([BELL], [1000])[0].probabilities[0] for _ in range(2))
    assert first != second


@both
def test_engine_name_and_seed(factory: Factory) -> None:
    engine: Engine = factory(seed=5)
    assert engine.name == {cirq_simulator: "cirq", qsim: "qsim"}[factory]
    assert engine.seed == 5
    assert factory().seed is None


def test_qsim_agrees_with_cirq_simulator() -> None:
    x = amplitudes(np.random.default_rng(0), 8)
    circuit = cirq.Circuit(
        cirq.StatePreparationChannel(x / np.linalg.norm(x))(A, B, C), cirq.CZ(A, B), cirq.H(C), cirq.measure(A, C, key="z")
    )
    one, other = (engine.run([circuit], None)[0] for engine in (cirq_simulator(), qsim(threads=1)))
    np.testing.assert_allclose(one.probabilities, other.probabilities, rtol=0, atol=1e-6)


@both
def test_empty_list_of_circuits_gives_no_distributions(factory: Factory) -> None:
    assert factory(seed=1).run([], None) == []
    assert factory(seed=1).run([], []) == []


@both
@pytest.mark.parametrize(
    "circuit",
    [
        cirq.Circuit(),
        cirq.Circuit(cirq.H(A)),
        cirq.Circuit(cirq.measure(A, key="a"), cirq.measure(B, key="b")),
        cirq.Circuit(cirq.measure(A, key="a"), cirq.Moment(cirq.measure(B, key="b"))),
        cirq.Circuit(cirq.measure(A, key="a"), cirq.Moment(cirq.H(B))),
        cirq.Circuit(cirq.Moment(cirq.measure(A, key="a"), cirq.H(B))),
    ],
)
def test_circuit_without_one_final_measurement_is_rejected(factory: Factory, circuit: cirq.Circuit) -> None:
    with pytest.raises(ValueError, match="must end in one measurement"):
        factory(seed=1).run([circuit], None)


@both
@pytest.mark.parametrize("shots", [[0], [-1], [5, 5], []])
def test_shots_other_than_one_positive_number_per_circuit_are_rejected(factory: Factory, shots: list[int]) -> None:
    with pytest.raises(ValueError, match=r"shots|argument|n < 0"):
        factory(seed=1).run([BELL], shots)


@both
def test_invert_mask_of_a_measurement_is_applied(factory: Factory) -> None:
    circuit = cirq.Circuit(cirq.X(A), cirq.I(B), cirq.measure(A, B, key="z", invert_mask=(True, False)))
    (found,) = factory(seed=1).run([circuit], [10])
    assert found.probabilities[0b00] == 1


NOISE = cirq.ConstantQubitNoiseModel(cirq.depolarize(0.03))
NOISY = cirq.Circuit(cirq.X(A), cirq.I(B), cirq.measure(A, B, key="z"))
FLIPPED = np.kron([0.02, 0.98], [0.98, 0.02])  # a depolarised qubit flips with 2/3 of 0.03


def test_cirq_simulator_noise_is_exact() -> None:
    engine = cirq_simulator(seed=1, noise=NOISE)
    exact, counted = engine.run([NOISY], None)[0], engine.run([NOISY], [100_000])[0]
    np.testing.assert_allclose(exact.probabilities, FLIPPED, rtol=0, atol=1e-12)
    np.testing.assert_allclose(counted.probabilities, FLIPPED, rtol=0, atol=5 * np.sqrt(0.02 * 0.98 / 1e5))


def test_qsim_noise_is_sampled_by_trajectories() -> None:
    first, again, other = (qsim(seed=seed, threads=1, noise=NOISE).run([NOISY], [4000])[0].probabilities for seed in (1, 1, 2))
    np.testing.assert_allclose(first, FLIPPED, rtol=0, atol=5 * np.sqrt(0.02 * 0.98 / 4000))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0
    with pytest.raises(ValueError, match="shots=None asks for exact probabilities, which qsim cannot give"):
        qsim(noise=NOISE).run([NOISY], None)


@pytest.mark.parametrize("simulator", [cirq.Simulator, cirq.DensityMatrixSimulator])
def test_cirq_simulators_as_samplers(simulator: type[cirq.Simulator | cirq.DensityMatrixSimulator]) -> None:
    circuit, expected = turned({A: 1.0, B: 2.0}, [B, A])
    engine = sampler(simulator(seed=1))
    exact, counted = engine.run([circuit], None)[0], engine.run([circuit], [4000])[0]
    np.testing.assert_allclose(exact.probabilities, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(counted.probabilities, expected, rtol=0, atol=5 * np.sqrt(0.25 / 4000))
    assert (engine.name, engine.seed) == (simulator.__name__, None)
    noisy = sampler(simulator(seed=1, noise=NOISE), name="noisy")
    assert noisy.run([NOISY], [100])[0].probabilities[0b10] < 1
    with pytest.raises(ValueError, match="which noisy cannot give; give shots"):
        noisy.run([NOISY], None)


def test_circuit_with_channels_needs_a_density_matrix() -> None:
    circuit = cirq.Circuit(cirq.X(A), cirq.depolarize(0.03)(A), cirq.measure(A, key="z"))
    for engine in (sampler(cirq.DensityMatrixSimulator()), cirq_simulator(noise=cirq.NO_NOISE)):
        np.testing.assert_allclose(engine.run([circuit], None)[0].probabilities, [0.02, 0.98], rtol=0, atol=1e-12)
    for engine in (qsim(), cirq_simulator(), sampler(cirq.Simulator())):
        with pytest.raises(ValueError, match=r"depolarize\(p=0\.03\)\(q0\) is no gate that a state vector can follow"):
            engine.run([circuit], None)


def test_sampler_keeps_the_order_of_bits_and_circuits() -> None:
    circuit = cirq.Circuit(cirq.X(A), cirq.I(B), cirq.measure(B, A, C, key="z", invert_mask=(False, False, True)))
    found = sampler(cirq.Simulator(), name="mine").run([circuit, BELL, circuit], [5, 6, 7])
    assert [d.shots for d in found] == [5, 6, 7]
    assert found[0].probabilities[0b011] == found[2].probabilities[0b011] == 1


def test_custom_sampler_has_no_exact_probabilities() -> None:
    engine = sampler(cirq.ZerosSampler(), name="zeros")
    assert engine.run([BELL], [3])[0].probabilities[0] == 1
    with pytest.raises(ValueError, match="which zeros cannot give; give shots"):
        engine.run([BELL], None)
    with pytest.raises(ValueError, match=r"must be a cirq\.Sampler"):
        sampler(cirq.X)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [cirq_simulator, qsim, lambda seed: sampler(cirq.Simulator(seed=seed))])
def test_sweep_results_are_in_the_order_of_points(make: Factory) -> None:
    circuit = cirq.FrozenCircuit(cirq.X(A) ** sympy.Symbol("t"), cirq.measure(A, key="z"))
    program = ParameterizedCircuit(circuit, (2, 0, 1), ({"t": 1.0}, {"t": 0.0}, {"t": 0.5}))
    for shots in (None, [4000] * 3):
        ones = [d.probabilities[1] for d in make(seed=1).execute([program], shots)]
        np.testing.assert_allclose(ones, [0, 0.5, 1], rtol=0, atol=0.04)


def test_counts_depend_only_on_the_seed_of_the_job() -> None:
    first, second = (cirq_simulator(seed=seed).backend for seed in (1, 2))
    jobs = [Job(str(i), (BELL.freeze(),), ({},), 1000, i) for i in range(4)]
    one = [first.results(job)[0].counts[0] for job in jobs]
    other = [second.results(job)[0].counts[0] for job in reversed(jobs)]
    assert one == other[::-1]
    assert len(set(one)) == 4


def test_in_process_backend_keeps_results_while_the_job_is_referenced() -> None:
    backend: Backend = sampler(cirq.Simulator()).backend
    job, same, other = (Job("j", (BELL.freeze(),), ({},), shots, None) for shots in (1000, 1000, 7))
    assert backend.poll(job).status == "unknown"
    backend.submit(job)
    backend.submit(same)  # not run again
    assert backend.poll(job).status == "done"
    found = backend.results(job)
    assert backend.results(same) is backend.results(job) is found
    assert backend.results(other)[0].shots == 7  # a job of another engine with the same id
    backend.cancel("j")
    backend.cancel("never submitted")
    assert backend.poll(job).status == "done"
    del job
    gc.collect()
    assert backend.poll(same).status == "unknown"


def test_cancelled_job_stays_cancelled() -> None:
    backend = cirq_simulator().backend
    job = Job("j", (BELL.freeze(),), ({},), 10, None)
    backend.submit(job)
    backend.cancel("j")
    assert backend.poll(job).status == "cancelled"


def test_descriptions_of_engines_are_json_and_differ() -> None:
    engines = [qsim(seed=1, threads=1), cirq_simulator(seed=1), cirq_simulator(seed=1, noise=NOISE), sampler(cirq.Simulator())]
    texts = {json.dumps(engine.describe()) for engine in engines}
    assert len(texts) == 4
    assert {json.loads(text)["kind"] for text in texts} == {"simulator", "sampler"}
    assert isinstance(qsim().backend, ExactBackend)
    assert qsim().processor is None


def test_cirq_is_imported_by_engines_and_cirq_google_on_first_use() -> None:
    heavy = "{'cirq', 'cirq_google', 'qsimcirq'} & sys.modules.keys()"
    code = f"import sys, hattriq_cirq.execution as e; print({heavy}); e.Engine; print({heavy})"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output == "set()\n{'cirq'}\n"


@settings(max_examples=6)
@given(rng=generators)
def test_fused_density_matrix_agrees_with_cirq(rng: np.random.Generator) -> None:
    qubits = cirq.LineQubit.range(4)
    circuit = cirq.Circuit()
    for _ in range(8):
        q, p, r = (qubits[i] for i in rng.permutation(4)[:3])
        circuit.append(
            [
                cirq.ry(rng.uniform(0, 6)).on(q),
                cirq.CNOT(p, q) ** rng.uniform(),
                cirq.depolarize(rng.uniform(0, 0.1), 2).on(q, r),
                cirq.amplitude_damp(rng.uniform(0, 0.2)).on(r),
                cirq.generalized_amplitude_damp(0.3, rng.uniform(0, 0.1)).on(p),
                cirq.CCNOT(p, q, r) if rng.random() < 0.2 else [],
            ]
        )
    register = [qubits[i] for i in rng.permutation(4)]
    rho = cirq.DensityMatrixSimulator(dtype=np.complex128).simulate(circuit, qubit_order=register).final_density_matrix
    np.testing.assert_allclose(populations(circuit, register), np.diag(rho).real, rtol=0, atol=1e-12)
