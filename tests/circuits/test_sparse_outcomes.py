"""Outcomes of more than 20 bits: kept sparse from the sampler through the journal to the estimate."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cirq
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from strategies import Array, generators

import hattriq_cirq as hq
from calibration import CorrelatedReadout, PauliTwirling, Readout, TwirledReadout, ZeroNoiseExtrapolation, measure_readout
from hattriq_cirq.circuits.linear_maps import LinearMap
from hattriq_cirq.circuits.outcomes import Distribution, LinearTerm, OutcomeWeights, QuasiDistribution
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.estimators.plan import Estimate
from hattriq_cirq.execution.journal_format import kind_of_counts, pack_counts, unpack_counts
from hattriq_cirq.pipeline.mitigation import Mitigation


class CliffordSampler(cirq.Sampler):
    """Cirq's Clifford simulator; each measured bit is flipped with some probability."""

    def __init__(self, flip: float = 0.0) -> None:
        self._flip, self._rng = flip, np.random.default_rng(1)

    def run_sweep(self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int = 1) -> Sequence[cirq.Result]:
        (resolver,) = cirq.to_resolvers(params)
        result = cirq.CliffordSimulator(seed=2).run(cirq.resolve_parameters(program, resolver), repetitions=1)
        ((key, bits),) = result.measurements.items()
        # a GHZ state: the simulator gives one shot, and all shots are that one or its complement
        shots = np.repeat(bits, repetitions, axis=0) ^ self._rng.integers(2, size=(repetitions, 1))
        flips = self._rng.random(shots.shape) < self._flip
        return [cirq.ResultDict(params=resolver, measurements={key: (shots ^ flips).astype(np.uint8)})]


def ghz(n: int) -> cirq.FrozenCircuit:
    """A GHZ state of n qubits, all of them measured."""
    qubits = cirq.LineQubit.range(n)
    entangled = [cirq.H(qubits[0]), *([cirq.H(b), cirq.CZ(a, b), cirq.H(b)] for a, b in pairwise(qubits))]
    return cirq.FrozenCircuit(entangled, cirq.Moment(cirq.measure(*qubits, key="z")))


def test_thirty_qubit_ghz_parity_with_its_standard_error_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of 30 bits is flipped with probability 0.01, so that the parity is 0.98**30."""
    shots, circuit = 4000, ghz(30)
    tracemalloc.start()
    engine = hq.sampler(CliffordSampler(0.01), journal=tmp_path / "run")
    (measured,) = engine.execute([ParameterizedCircuit(circuit, (0,))], [shots])
    assert engine.journal is not None
    engine.journal.close()
    text = (tmp_path / "run" / "journal.jsonl").read_text()
    assert '"kind":"sparse_counts"' in text
    resumed = hq.sampler(CliffordSampler(0.01), journal=tmp_path / "run")
    monkeypatch.setattr(CliffordSampler, "run_sweep", None)  # a resumed run has nothing left to run
    (recorded,) = resumed.execute([ParameterizedCircuit(circuit, (0,))], [shots])
    parity = OutcomeWeights(csr_array(np.ones((1, 1))), parity_bits=30)
    estimate = Estimate((parity,), (recorded,), np.zeros(1))
    (value,), (stderr,) = estimate.values, estimate.stderr
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6
    assert recorded.support is not None
    assert measured.support is not None
    np.testing.assert_array_equal(recorded.support, measured.support)
    np.testing.assert_array_equal(recorded.probabilities, measured.probabilities)
    assert stderr == pytest.approx(np.sqrt((1 - 0.98**60) / shots), rel=0.05)
    assert abs(value - 0.98**30) < 4 * stderr


@given(rng=generators, shots=st.integers(1, 40))
def test_sparse_moments_are_those_of_a_dense_smoothed_distribution(rng: np.random.Generator, shots: int) -> None:
    """The same counts of 5 bits, kept sparse by hand, against NumPy over all 32 outcomes."""
    sampled = rng.integers(32, size=shots)
    counts = np.bincount(sampled, minlength=32)
    support = np.unique(sampled)
    sparse = Distribution(counts[support] / shots, shots, support, 5)
    matrix = rng.normal(size=(3, 8)) * (rng.random((3, 8)) < 0.7)
    signs = np.array([(-1.0) ** i.bit_count() for i in range(4)])
    dense: Array = np.kron(matrix, signs)
    weights = OutcomeWeights(csr_array(matrix), parity_bits=2)
    smoothed = (counts + 4 / 32) / (shots + 4)
    covariance = ((dense * smoothed) @ dense.T - np.outer(dense @ smoothed, dense @ smoothed)) / shots
    for each in (weights, csr_array(dense)):
        np.testing.assert_allclose(sparse.expectation(each), dense @ counts / shots, atol=1e-12)
        np.testing.assert_allclose(sparse.covariance(each), covariance, atol=1e-12)
        np.testing.assert_allclose(sparse.variances(each), np.diag(covariance), atol=1e-12)
    bare = counts / shots
    per_shot = (dense * bare) @ dense.T - np.outer(dense @ bare, dense @ bare)
    np.testing.assert_allclose(sparse.covariance_per_shot(weights), per_shot, atol=1e-12)
    np.testing.assert_allclose(sparse.variances_per_shot(weights), np.diag(per_shot), atol=1e-12)


@given(rng=generators)
def test_parity_weights_are_those_of_their_explicit_matrix(rng: np.random.Generator) -> None:
    matrix, parity_bits = rng.normal(size=(2, 4)), int(rng.integers(4))
    weights = OutcomeWeights(csr_array(matrix), parity_bits)
    signs = np.array([(-1.0) ** i.bit_count() for i in range(2**parity_bits)])
    dense = np.kron(matrix, signs)
    assert weights.shape == dense.shape
    np.testing.assert_array_equal(weights.explicit.toarray(), dense)
    some = rng.integers(dense.shape[1], size=6)
    np.testing.assert_array_equal(weights.columns(some).toarray(), dense[:, some])
    columns, share = weights.distinct_columns
    np.testing.assert_allclose(columns.sum(axis=1) * share, dense.mean(axis=1), atol=1e-15)
    np.testing.assert_allclose((columns @ columns.T).toarray() * share, dense @ dense.T / dense.shape[1], atol=1e-12)
    np.testing.assert_allclose(weights.scaled(-2.0).explicit.toarray(), -2 * dense)
    coefficients = rng.normal(size=(1, 2))
    np.testing.assert_allclose(weights.combined(coefficients).explicit.toarray(), coefficients @ dense)
    assert weights.max_shot_norm == pytest.approx(np.linalg.norm(dense, axis=0).max())


def test_sampled_outcomes_are_dense_up_to_twenty_bits_and_sparse_beyond() -> None:
    few = Distribution.from_outcomes(np.array([3, 0, 3]), 2)
    assert few.support is None
    np.testing.assert_allclose(few.probabilities, [1 / 3, 0, 0, 2 / 3])
    assert Distribution.from_outcomes(np.array([5]), 20).support is None
    many = Distribution.from_outcomes(np.array([2**24, 7, 2**24]), 25, counts=np.array([1, 2, 4]))
    assert many.support is not None
    assert (many.support.tolist(), many.counts.tolist(), many.shots, many.n_bits) == ([7, 2**24], [2, 5], 7, 25)
    dense = np.zeros(2**21, dtype=int)
    dense[[4, 9]] = 1, 3
    assert Distribution.from_counts(dense).counts.tolist() == [1, 3]
    with pytest.raises(ValueError, match="at most 62"):
        Distribution.from_outcomes(np.array([0]), 63)
    with pytest.raises(ValueError, match="smoothed probabilities takes arrays"):
        _ = many.smoothed_probabilities
    with pytest.raises(ValueError, match="sorted"):
        Distribution(np.array([0.5, 0.5]), 2, np.array([7, 7]), 25)


def test_sparse_distributions_merge_and_combine() -> None:
    first = Distribution.from_outcomes(np.array([1, 2**29]), 30, counts=np.array([3, 1]))
    second = Distribution.from_outcomes(np.array([0, 1]), 30, counts=np.array([1, 3]))
    both = Distribution.merged([first, second])
    assert both.support is not None
    assert (both.support.tolist(), both.counts.tolist()) == ([0, 1, 2**29], [1, 6, 1])
    difference = QuasiDistribution.combined([2.0, -1.0], [first, second])
    assert difference.support is not None
    assert difference.support.tolist() == [0, 1, 2**29]
    np.testing.assert_allclose(difference.probabilities, [-0.25, 0.75, 0.5])
    np.testing.assert_allclose(difference.plain_counts.probabilities, [0, 0.6, 0.4])
    parity = OutcomeWeights(csr_array(np.ones((1, 1))), parity_bits=30)
    np.testing.assert_allclose(difference.expectation(parity), [-0.25 - 0.75 - 0.5])
    np.testing.assert_allclose(difference.variances(parity), 4 * first.variances(parity) + second.variances(parity), rtol=1e-12)
    np.testing.assert_allclose(np.diag(difference.covariance(parity)), difference.variances(parity), rtol=1e-12)


def test_journal_records_of_up_to_twenty_bits_keep_their_format() -> None:
    few, many = Distribution.from_outcomes(np.array([3, 0]), 2), Distribution.from_outcomes(np.array([2**40, 1]), 41)
    assert kind_of_counts(pack_counts([few])) == "counts"
    assert set(pack_counts([few])) == {"lengths", "seen", "outcomes", "counts"}
    assert kind_of_counts(pack_counts([few, many])) == "sparse_counts"  # a kind that version 0.1 refuses by name
    back = unpack_counts(pack_counts([few, many]))
    np.testing.assert_array_equal(back[0].probabilities, few.probabilities)
    assert back[1].support is not None
    assert back[1].support.tolist() == [1, 2**40]
    assert back[1].n_bits == 41


@pytest.mark.parametrize("mitigation", [Readout(), CorrelatedReadout(), TwirledReadout()], ids=lambda m: type(m).__name__)
def test_corrections_that_take_all_outcomes_refuse_more_than_twenty_bits(mitigation: Mitigation) -> None:
    program = ParameterizedCircuit(ghz(21), (0,))
    with pytest.raises(ValueError, match=r"measures 21 bits.*measure fewer qubits"):
        mitigation.expand(hq.sampler(CliffordSampler()), [program], [100])
    with pytest.raises(ValueError, match=r"measures 30 bits.*leave the correction out"):
        LinearTerm(Distribution.from_outcomes(np.array([1]), 30), LinearMap((np.eye(2),) * 30))


@pytest.mark.parametrize("mitigation", [ZeroNoiseExtrapolation((1, 3)), PauliTwirling(2)], ids=lambda m: type(m).__name__)
def test_gate_mitigations_combine_sparse_outcomes(mitigation: Mitigation) -> None:
    """Without readout errors a GHZ state of an even number of qubits has parity 1, and so has every combination."""
    engine = hq.sampler(_AnyCircuit())
    variants = mitigation.expand(engine, [ParameterizedCircuit(ghz(22), (0,))], [100])
    (combined,) = mitigation.combine(variants, engine.execute(variants.programs, variants.shots)).outcomes
    parity = OutcomeWeights(csr_array(np.ones((1, 1))), parity_bits=22)
    np.testing.assert_allclose(combined.expectation(parity), [1.0])
    assert 0 < np.sqrt(combined.variances(parity)[0]) < 0.2


class _AnyCircuit(cirq.Sampler):
    """All zeros and all ones in turn, whatever the circuit."""

    def run_sweep(self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int = 1) -> Sequence[cirq.Result]:
        ones = np.arange(repetitions)[:, np.newaxis] % 2 * np.ones(22, dtype=np.uint8)
        return [cirq.ResultDict(params=r, measurements={"z": ones.astype(np.uint8)}) for r in cirq.to_resolvers(params)]


def test_readout_rates_come_from_sparse_calibration_circuits_too() -> None:
    """A batch whose circuits measure 24 different qubits together is calibrated by circuits of 24 bits."""
    qubits = cirq.LineQubit.range(24)
    programs = [
        ParameterizedCircuit(cirq.FrozenCircuit(cirq.Moment(cirq.measure(*part, key="z"))), (i,))
        for i, part in enumerate((qubits[:12], qubits[12:]))
    ]
    engine = hq.sampler(_FlippedZeros())
    mitigation = Readout(shots=20_000, pattern="complement")
    variants = mitigation.expand(engine, programs, [1000, 1000])
    mitigated = mitigation.combine(variants, engine.execute(variants.programs, variants.shots))
    assert "median e0 0.0200, e1 0.0000" in mitigated.summary.notes[0]
    assert measure_readout(engine, qubits, 2_000, "complement").errors.max() == 0.02


class _FlippedZeros(cirq.Sampler):
    """Basis states; every 50th shot reads all zeros as ones."""

    def run_sweep(self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int = 1) -> Sequence[cirq.Result]:
        ones = {op.qubits[0] for op in program.all_operations() if op.gate == cirq.X}
        (measurement,) = (op for op in program.all_operations() if cirq.is_measurement(op))
        bits = np.tile([int(q in ones) for q in measurement.qubits], (repetitions, 1))
        bits[::50] = 1
        return [cirq.ResultDict(params=r, measurements={"z": bits.astype(np.uint8)}) for r in cirq.to_resolvers(params)]
