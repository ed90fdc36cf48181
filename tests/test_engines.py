"""Local engines: exact probabilities, counts, the order of bits, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable

import cirq
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Array, amplitudes, generators, random_case

from hattriq_cirq.engines import Engine, cirq_simulator, qsim
from hattriq_cirq.engines.local import LocalEngine

Factory = Callable[..., LocalEngine]
both = pytest.mark.parametrize("factory", [cirq_simulator, qsim])
A, B, C = cirq.NamedQubit.range(3, prefix="q")
TOLERANCE = {"cirq": 1e-12, "qsim": 1e-6}
BELL = cirq.Circuit(cirq.H(A), cirq.CNOT(A, B), cirq.measure(A, B, key="z"))


def turned(angles: dict[cirq.Qid, float], measured: list[cirq.Qid]) -> tuple[cirq.Circuit, Array]:
    """Independent qubits, and the probabilities of their bits in the measured order."""
    expected = np.ones(1)
    for q in measured:
        expected = np.kron(expected, [np.cos(angles[q] / 2) ** 2, np.sin(angles[q] / 2) ** 2])
    turns = [cirq.ry(angle)(q) for q, angle in angles.items()]
    return cirq.Circuit(turns, cirq.measure(*measured, key="z")), expected


@both
@given(order=st.permutations([A, B, C]), count=st.integers(1, 3), rng=generators)
def test_bits_are_in_the_measured_order(factory: Factory, order: list[cirq.Qid], count: int, rng: np.random.Generator) -> None:
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
def test_probabilities_are_those_of_the_dense_unitary(factory: Factory, n: int, seed: int) -> None:
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
def test_seeds_repeat_and_matter(factory: Factory) -> None:
    def counts(seed: int | None) -> list[float]:
        runs = factory(seed=seed).run([BELL, BELL], [1000, 1000])
        return [float(d.probabilities[0]) for d in runs]

    assert counts(1) == counts(1)
    assert counts(1) != counts(2)
    assert len(set(counts(1))) == 2  # circuits of one call draw apart
    assert counts(None) != counts(None) or counts(None) != counts(None)


@both
def test_an_engine_draws_on(factory: Factory) -> None:
    engine = factory(seed=1)
    first, second = (engine.run([BELL], [1000])[0].probabilities[0] for _ in range(2))
    assert first != second


@both
def test_engines_say_what_they_are(factory: Factory) -> None:
    engine: Engine = factory(seed=5)
    assert engine.name == {cirq_simulator: "cirq", qsim: "qsim"}[factory]
    assert engine.seed == 5
    assert factory().seed is None


def test_qsim_and_cirq_agree() -> None:
    x = amplitudes(np.random.default_rng(0), 8)
    circuit = cirq.Circuit(
        cirq.StatePreparationChannel(x / np.linalg.norm(x))(A, B, C), cirq.CZ(A, B), cirq.H(C), cirq.measure(A, C, key="z")
    )
    one, other = (engine.run([circuit], None)[0] for engine in (cirq_simulator(), qsim(threads=1)))
    np.testing.assert_allclose(one.probabilities, other.probabilities, rtol=0, atol=1e-6)


@both
def test_no_circuits_give_no_distributions(factory: Factory) -> None:
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
def test_a_circuit_must_end_in_one_measurement(factory: Factory, circuit: cirq.Circuit) -> None:
    with pytest.raises(ValueError, match="must end in one measurement"):
        factory(seed=1).run([circuit], None)


@both
@pytest.mark.parametrize("shots", [[0], [-1], [5, 5], []])
def test_shots_are_one_positive_number_a_circuit(factory: Factory, shots: list[int]) -> None:
    with pytest.raises(ValueError, match=r"shots|argument|n < 0"):
        factory(seed=1).run([BELL], shots)


@both
def test_a_measurement_that_inverts_its_bits_is_obeyed(factory: Factory) -> None:
    circuit = cirq.Circuit(cirq.X(A), cirq.I(B), cirq.measure(A, B, key="z", invert_mask=(True, False)))
    (found,) = factory(seed=1).run([circuit], [10])
    assert found.probabilities[0b00] == 1
