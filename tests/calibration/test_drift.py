"""Test of readout drift: its power, its rate of false alarms, and its use within a run."""

from __future__ import annotations

import cirq
import numpy as np
import pytest
from readout_faults import FaultyReadout

from calibration.readout.calibration import CalibrationError, ReadoutCalibration
from calibration.readout.drift import compare
from calibration.readout.per_qubit import Readout
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.execution.backends.simulators import sampler

Q = tuple(cirq.LineQubit.range(5))


def sample_calibration(e0: float, e1: float, shots: int, rng: np.random.Generator) -> ReadoutCalibration:
    """Counted calibration of all qubits, with `shots` shots per state."""
    zero, one = rng.binomial(shots, e0, len(Q)), rng.binomial(shots, e1, len(Q))
    return ReadoutCalibration(Q, np.stack([shots - zero, zero, one, shots - one], axis=1).reshape(-1, 2, 2))


def test_drift_of_one_qubit_in_five_is_detected_99_times_in_100() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(1000):
        before, after = sample_calibration(0.01, 0.05, 20_000, rng), sample_calibration(0.01, 0.05, 20_000, rng)
        counts = np.array(after.counts)
        wrong = rng.binomial(20_000, 0.07)
        counts[3, 1] = wrong, 20_000 - wrong
        verdict = compare(before, ReadoutCalibration(Q, counts))
        found.append(verdict.drifted and (verdict.qubit, verdict.state) == (Q[3], 1))
    assert np.mean(found) >= 0.99
    assert str(verdict).startswith("readout drifted: e1 of q(3) went from 0.0")


@pytest.mark.parametrize("shots", [50, 1_000, 20_000])
def test_drift_false_alarms_are_at_most_one_in_100(shots: int) -> None:
    rng = np.random.default_rng(shots)
    flagged = [
        compare(sample_calibration(0.01, 0.05, shots, rng), sample_calibration(0.01, 0.05, 2 * shots, rng)).drifted
        for _ in range(1000)
    ]
    assert np.mean(flagged) <= 0.01


def test_drift_verdict_text_without_drift() -> None:
    rng = np.random.default_rng(1)
    verdict = compare(sample_calibration(0.01, 0.05, 5_000, rng), sample_calibration(0.01, 0.05, 5_000, rng))
    assert not verdict.drifted
    assert verdict.p_value > 0.01
    assert str(verdict).startswith("no drift of readout at level 0.005: at most e")


def test_drift_comparison_matches_qubits_in_any_order() -> None:
    rng = np.random.default_rng(2)
    first = sample_calibration(0.01, 0.05, 20_000, rng)
    assert first.counts is not None
    counts = first.counts.copy()
    counts[0, 0] = 15_000, 5_000  # qubit 0 is read quite differently
    other = ReadoutCalibration(Q, counts)
    turned = ReadoutCalibration(Q[::-1], counts[::-1])
    assert not compare(other, turned).drifted
    assert compare(other, turned).p_value == 1
    assert compare(first, turned).qubit == Q[0]


@pytest.mark.parametrize(("drift", "least", "most"), [(0.02, 99, 100), (0.0, 0, 1)])
def test_drift_within_a_run_is_detected_by_its_calibration(drift: float, least: int, most: int) -> None:
    """e1 goes from 0.05 to 0.07 within a run whose calibration has 20,000 shots per state, half of them at each end."""
    budget, data = 20_000, 200_000
    circuit = cirq.FrozenCircuit(cirq.Moment(cirq.X(q) for q in Q[:3]), cirq.Moment(cirq.measure(*Q[:3], key="z")))
    drifted = 0
    for seed in range(100):
        engine = sampler(FaultyReadout(e0=0.01, e1=0.05, drift=drift, over=2 * budget + data, seed=seed))
        mitigation = Readout(shots=budget)
        variants = mitigation.expand(engine, [ParameterizedCircuit(circuit, (0,))], [data])
        outcomes = engine.execute(variants.programs, variants.shots)
        drifted += any("readout drifted" in note for note in mitigation.combine(variants, outcomes).summary.notes)
    assert least <= drifted <= most


def test_comparison_of_incompatible_calibrations_is_rejected() -> None:
    rng = np.random.default_rng(3)
    counts = sample_calibration(0.01, 0.05, 100, rng)
    known = ReadoutCalibration.from_mapping(dict.fromkeys(Q, (0.01, 0.05)))
    with pytest.raises(CalibrationError, match="no counts to compare"):
        compare(counts, known)
    with pytest.raises(CalibrationError, match=r"same qubits to be compared; q\(4\) are in one"):
        compare(counts, counts.of(Q[:4]))
    with pytest.raises(ValueError, match="level=1"):
        compare(counts, counts, level=1)
