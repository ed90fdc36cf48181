"""Readout calibrations: measurement, errors, files, and rejected input."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import cirq
import cirq_google as cg
import numpy as np
import pytest
from cirq_google.api import v2
from hypothesis import given
from hypothesis import strategies as st
from injected import Array, basis_state, observed_probabilities

from calibration import CalibrationError, ReadoutCalibration, StaleCalibrationWarning, measure_readout, readout_programs
from calibration.readout.measure import Pattern, bit_patterns, shots_per_pattern
from hattriq_cirq.circuits.outcomes import Distribution, LinearTerm, QuasiDistribution
from hattriq_cirq.compilation.processor import Processor
from hattriq_cirq.compilation.snapshot import load_processor
from hattriq_cirq.execution import qsim, virtual
from hattriq_cirq.foundation.provenance import Provenance

A, B, C = cirq.GridQubit.rect(1, 3)
RATES = {A: (0.01, 0.10), B: (0.02, 0.20), C: (0.05, 0.03)}


def counted(*rows: list[list[int]], **options: Any) -> ReadoutCalibration:
    return ReadoutCalibration(tuple(cirq.GridQubit.rect(1, len(rows))), counts=np.array(rows), **options)


def measured_by_theory(pattern: Pattern, shots: int | None, rng: np.random.Generator) -> ReadoutCalibration:
    """Return a calibration of three qubits with known rates, its counts sampled from dense probabilities."""
    outcomes = []
    for program in readout_programs([A, B, C], pattern):
        read = observed_probabilities(basis_state(program.circuit), list(RATES.values()))
        outcomes.append(Distribution(read, None) if shots is None else Distribution.from_counts(rng.multinomial(shots, read)))
    return ReadoutCalibration.from_outcomes([A, B, C], bit_patterns(3, pattern), outcomes)


# patterns


@pytest.mark.parametrize("qubits", [1, 2, 3, 5, 8, 17])
def test_balanced_patterns_have_every_state_of_qubits_and_pairs_equally_often(qubits: int) -> None:
    patterns = bit_patterns(qubits, "balanced")
    assert len(patterns) < 4 * max(qubits, 1)
    np.testing.assert_array_equal(patterns[1::2], ~patterns[::2])
    assert (patterns.sum(axis=0) * 2 == len(patterns)).all()
    for a, b in combinations(range(qubits), 2):
        states = 2 * patterns[:, a] + patterns[:, b]
        assert (np.bincount(states, minlength=4) * 4 == len(patterns)).all()


def test_complement_and_full_patterns() -> None:
    np.testing.assert_array_equal(bit_patterns(3, "complement"), [[False] * 3, [True] * 3])
    full = bit_patterns(3, "full")
    assert sorted((full @ [4, 2, 1]).tolist()) == list(range(8))
    np.testing.assert_array_equal(full[1::2], ~full[::2])


def test_readout_programs_prepare_their_patterns_and_run_on_a_processor() -> None:
    processor = load_processor("willow_pink")
    qubits = [cirq.GridQubit(4, 10), cirq.GridQubit(5, 10), cirq.GridQubit(4, 9)]
    programs = readout_programs(qubits, "full")
    for program, pattern in zip(programs, bit_patterns(3, "full"), strict=True):
        processor.device.validate_circuit(program.circuit)
        assert basis_state(program.circuit)[int(pattern @ [4, 2, 1])] == 1
    assert [p.requests for p in programs] == [(i,) for i in range(8)]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: bit_patterns(3, "random"), "balanced"),  # type: ignore[arg-type]
        (lambda: bit_patterns(11, "full"), "at most 10"),
        (lambda: shots_per_pattern(0, 4), "at least 1"),
        (lambda: measure_readout(qsim(), []), "no qubits"),
    ],
)
def test_invalid_readout_measurements_are_rejected(make: Any, words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        make()


# estimates


@pytest.mark.parametrize("pattern", ["balanced", "complement", "full"])
def test_exact_calibration_outcomes_give_the_known_rates(pattern: Pattern) -> None:
    found = measured_by_theory(pattern, None, np.random.default_rng(0))
    np.testing.assert_allclose(found.errors, list(RATES.values()), atol=1e-14)
    assert not found.variances.any()
    np.testing.assert_allclose(found.confusion(B), [[0.98, 0.02], [0.20, 0.80]])


@pytest.mark.parametrize("pattern", ["balanced", "complement", "full"])
def test_calibration_counts_estimate_every_rate_without_bias_and_with_its_error(pattern: Pattern) -> None:
    rng = np.random.default_rng(1)
    found = [measured_by_theory(pattern, 2000, rng) for _ in range(400)]
    pulls = np.array([(f.errors - list(RATES.values())) / np.sqrt(f.variances) for f in found])
    means = np.mean([f.errors for f in found], axis=0) - list(RATES.values())
    spread = np.std([f.errors for f in found], axis=0)
    assert np.abs(means / spread).max() < 4 / np.sqrt(400)
    assert np.abs(pulls.std(axis=0) - 1).max() < 4 / np.sqrt(2 * 400)
    assert len({f.id for f in found}) == 400


@pytest.mark.parametrize("row", [[[100, 0], [0, 100]], [[1, 0], [0, 1]], [[0, 1], [1, 0]]])
def test_rate_errors_are_finite_without_flips_or_with_flips_only(row: list[list[int]]) -> None:
    measured = counted(row)
    assert np.isfinite(measured.errors).all()
    assert ((measured.variances > 0) & np.isfinite(measured.variances)).all()


def test_rate_covariance_is_in_the_order_of_qubits_and_states() -> None:
    measured = counted([[90, 10], [30, 70]], [[80, 20], [40, 60]])
    np.testing.assert_allclose(measured.errors, [[0.1, 0.3], [0.2, 0.4]])
    expected = [p * (1 - p) / 100 for p in (10.5 / 101, 30.5 / 101, 20.5 / 101, 40.5 / 101)]
    np.testing.assert_allclose(measured.shared.matrix, np.diag(expected))
    swapped = measured.of(measured.qubits[::-1])
    np.testing.assert_allclose(np.diag(swapped.shared.matrix), [*expected[2:], *expected[:2]])
    assert measured.of(measured.qubits[::-1]) is swapped  # so that outcomes share one uncertainty
    assert measured.of(measured.qubits) is measured


def test_calibration_of_a_virtual_processor_recovers_its_rates() -> None:
    engine = virtual("willow_pink", noise="readout", seed=1)
    assert engine.processor is not None
    qubits = sorted(engine.processor.graph)[:4]
    truth = np.array([engine.processor.readout_errors[q] for q in qubits])
    np.testing.assert_allclose(measure_readout(engine, qubits, None).errors, truth, atol=1e-6)
    found = measure_readout(engine, qubits, 20_000)
    assert np.abs((found.errors - truth) / np.sqrt(found.variances)).max() < 5
    assert found.source == {
        "engine": "virtual:willow_pink",
        "processor": "willow_pink",
        "snapshot": engine.processor.snapshot,
        "noise": "readout",
    }
    again, other = (measure_readout(virtual("willow_pink", noise="readout", seed=s), qubits, 20_000) for s in (1, 2))
    fresh = measure_readout(virtual("willow_pink", noise="readout", seed=1), qubits, 20_000)
    assert again.counts is not None
    assert fresh.counts is not None
    np.testing.assert_array_equal(again.counts, fresh.counts)
    assert other.counts is not None
    assert (other.counts != again.counts).any()


def test_readout_of_many_qubits_is_measured_in_groups() -> None:
    engine = virtual("willow_pink", noise="readout", seed=1)
    assert engine.processor is not None
    qubits = sorted(engine.processor.graph)[:23]
    found = measure_readout(engine, qubits, 1000)
    truth = np.array([engine.processor.readout_errors[q] for q in qubits])
    assert found.qubits == tuple(qubits)
    assert (found.shots >= 1000).all()
    assert np.abs((found.errors - truth) / np.sqrt(truth * (1 - truth) / 1000)).max() < 5


# other sources


def test_known_rates_have_no_error_unless_shots_are_given() -> None:
    known = ReadoutCalibration.from_mapping(RATES)
    np.testing.assert_allclose(known.errors, list(RATES.values()))
    assert not known.variances.any()
    counted_as = ReadoutCalibration.from_mapping(RATES, shots=1000)
    np.testing.assert_allclose(counted_as.errors, list(RATES.values()))
    np.testing.assert_allclose(counted_as.variances[0], [0.01 * 0.99 / 1000, 0.1 * 0.9 / 1000], rtol=0.06)


def test_rates_that_shots_cannot_give_are_refused() -> None:
    """0.4 and 1.4 wrong readings of 20 used to become 0 and 1."""
    with pytest.raises(CalibrationError, match=r"e0 = 0.02 of q\(0, 0\) is 0.4 wrong readings of shots=20, no whole number"):
        ReadoutCalibration.from_mapping({A: (0.02, 0.07)}, shots=20)
    with pytest.raises(ValueError, match=r"shots=20\.0 must be"):
        ReadoutCalibration.from_mapping({A: (0.05, 0.1)}, shots=20.0)  # type: ignore[arg-type]
    for shots in (0, -20, True):
        with pytest.raises(ValueError, match="shots="):
            ReadoutCalibration.from_mapping({A: (0.05, 0.1)}, shots=shots)


@given(shots=st.integers(1, 10**9), wrong=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_rates_are_kept_as_given_or_refused(shots: int, wrong: tuple[float, float]) -> None:
    counts = [round(share * shots) for share in wrong]
    rates = counts[0] / shots, counts[1] / shots
    assert ReadoutCalibration.from_mapping({A: rates}, shots=shots).errors.tolist() == [list(rates)]
    if all(abs(share * shots - round(share * shots)) > 1e-6 * shots for share in wrong):
        with pytest.raises(CalibrationError, match="no whole number"):
            ReadoutCalibration.from_mapping({A: wrong}, shots=shots)


@pytest.mark.parametrize("wrong", [20.4, 0.5, np.nan, np.inf, 2.0**64, "20", None, 1j])
def test_counts_that_are_no_whole_numbers_are_refused(wrong: Any) -> None:
    with pytest.raises(CalibrationError, match=r"counts=.*must be"):
        ReadoutCalibration((A,), counts=np.array([[[980, wrong], [100, 900]]]))
    with pytest.raises(CalibrationError, match=r"counts=.*must be"):
        ReadoutCalibration((A,), counts=np.ones((1, 2, 2), dtype=bool))


def test_whole_numbers_of_any_type_are_counts() -> None:
    for kind in (np.int16, np.uint64, np.float64, object):
        counts = np.array([[[980, 20], [100, 900]]]).astype(kind)
        if kind is object:
            counts = counts.tolist()
        found = ReadoutCalibration((A,), counts=counts)
        assert found.counts is not None
        assert found.counts.dtype == np.int64
        np.testing.assert_array_equal(found.errors, [[0.02, 0.1]])


def test_distributions_that_are_no_counts_do_not_become_counts() -> None:
    """0.4 of 20 shots used to be counted as none, so that a calibration from it had other rates."""
    outcomes = [Distribution(np.array(p), 20) for p in ([0.98, 0.02], [0.07, 0.93])]
    with pytest.raises(ValueError, match=r"not counts of 20 shots: 0.98 of them is 19.6, not a whole number"):
        ReadoutCalibration.from_outcomes([A], np.array([[False], [True]]), outcomes)
    for shots in (1, 3, 7, 10**6, 10**9 + 7, 10**12):
        counts = np.array([shots - shots // 3, shots // 3])
        np.testing.assert_array_equal(Distribution.from_counts(counts).counts, counts)


def test_calibration_from_a_processor_is_dated_by_its_snapshot() -> None:
    processor = load_processor("willow_pink")
    measured = ReadoutCalibration.from_processor(processor)
    q = cirq.GridQubit(4, 10)
    assert tuple(measured.errors[measured.positions[q]]) == processor.readout_errors[q]
    assert measured.provenance.created_utc.startswith("2024-08-16T")
    with pytest.raises(CalibrationError, match="hours old"):
        measured.check(virtual("willow_pink"), [q], max_age=24)
    measured.check(virtual("willow_pink"), [q])
    with pytest.raises(CalibrationError, match="has no readout errors"):
        ReadoutCalibration.from_processor(replace(processor, readout_errors={}))


@pytest.mark.parametrize("names", [("zero_error", "one_error"), ("single_qubit_p00_error", "single_qubit_p11_error")])
def test_calibration_from_both_generations_of_metric_names(names: tuple[str, str]) -> None:
    device = load_processor("willow_pink").device
    qubits = [cirq.GridQubit(4, 10), cirq.GridQubit(5, 10)]
    metrics: dict[str, dict[Any, list[Any]]] = {
        name: {(q,): [value] for q, value in zip(qubits, values, strict=True)}
        for name, values in zip(names, [(0.01, 0.02), (0.1, 0.2)], strict=True)
    }
    processor = Processor.from_calibration(
        "p", device, cg.Calibration(calibration=v2.metrics_pb2.MetricsSnapshot(), metrics=metrics), "now"
    )
    measured = ReadoutCalibration.from_processor(processor, measured_utc="2026-01-02T03:04:05+00:00").of(qubits)
    np.testing.assert_allclose(measured.errors, [[0.01, 0.1], [0.02, 0.2]])
    assert measured.provenance.created_utc == "2026-01-02T03:04:05+00:00"


# files


def test_calibration_file_round_trip(tmp_path: Path) -> None:
    for i, measured in enumerate(
        [measured_by_theory("balanced", 50, np.random.default_rng(0)), ReadoutCalibration.from_mapping(RATES)]
    ):
        file = measured.save(tmp_path / f"{i}.json")
        back = ReadoutCalibration.load(file)
        assert (back.qubits, back.id, back.source, back.pattern) == (
            measured.qubits,
            measured.id,
            measured.source,
            measured.pattern,
        )
        assert back.provenance == measured.provenance
        np.testing.assert_array_equal(back.errors, measured.errors)
        np.testing.assert_array_equal(back.variances, measured.variances)
        with pytest.raises(FileExistsError):
            measured.save(file)
        assert str(back) == str(measured)


def damage(content: dict[str, Any], how: str) -> str:
    if how == "count":
        content["counts"][0][0][0] += 1
    elif how == "negative":
        content["counts"][0][0][1] = -1
    elif how == "missing":
        del content["provenance"]
    elif how == "format":
        content["format"] = "other/1"
    elif how == "time":
        content["provenance"]["created_utc"] = "yesterday"
    text = json.dumps(content)
    return {"torn": text[: len(text) // 2], "list": "[1, 2]", "null": "null"}.get(how, text)


@pytest.mark.parametrize("how", ["count", "negative", "missing", "format", "time", "torn", "list", "null"])
def test_damaged_calibration_file_is_rejected(how: str, tmp_path: Path) -> None:
    file = measured_by_theory("balanced", 50, np.random.default_rng(0)).save(tmp_path / "good.json")
    bad = tmp_path / "bad.json"
    bad.write_text(damage(json.loads(file.read_text()), how))
    with pytest.raises(CalibrationError, match=r"bad\.json"):
        ReadoutCalibration.load(bad)


# refusals


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "either counts or known"),
        ({"known": np.array([[0.1, 0.2]]), "counts": np.ones((1, 2, 2), int)}, "either counts or known"),
        ({"known": np.array([[0.1, 1.2]])}, "0 .. 1"),
        ({"known": np.array([[0.1, np.nan]])}, "0 .. 1"),
        ({"known": np.array([0.1, 0.2])}, r"\(1, 2\)"),
        ({"counts": np.ones((1, 2), int)}, r"\(1, 2, 2\)"),
        ({"counts": np.array([[[10, 0], [0, 0]]])}, "prepared at least once"),
        ({"qubits": (), "known": np.zeros((0, 2))}, "at least one"),
        ({"qubits": (A, A), "known": np.zeros((2, 2))}, "different qubits"),
        ({"known": np.zeros((1, 2)), "provenance": Provenance({}, "2999-01-01T00:00:00+00:00")}, "future"),
    ],
)
def test_invalid_calibrations_are_rejected(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        ReadoutCalibration(**{"qubits": (A,), **fields})


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"engine": "virtual:rainbow"}, "engine 'virtual:rainbow'"),
        ({"processor": "rainbow"}, "processor 'rainbow'"),
        ({"snapshot": "median 2001"}, "snapshot 'median 2001'"),
        ({"noise": "none"}, "noise 'none'"),
    ],
)
def test_calibration_of_another_source_is_rejected(source: dict[str, str], words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        counted([[9, 1], [1, 9]], source=source).check(virtual("willow_pink"), [A])


def test_calibration_without_a_qubit_names_it() -> None:
    measured = counted([[9, 1], [1, 9]])
    with pytest.raises(CalibrationError, match=r"does not know qubits q\(0, 2\)"):
        measured.check(qsim(), [A, C])
    with pytest.raises(CalibrationError, match="does not know qubit"):
        measured.confusion(C)


def test_stale_calibration_is_rejected_or_warned_about() -> None:
    when = (datetime.now(UTC) - timedelta(hours=5)).isoformat(timespec="seconds")
    measured = counted([[9, 1], [1, 9]], provenance=Provenance({}, when))
    measured.check(qsim(), [A], max_age=6)
    with pytest.raises(CalibrationError, match=r"5\.0 hours old, more than 4"):
        measured.check(qsim(), [A], max_age=4)
    with pytest.warns(StaleCalibrationWarning, match="used nevertheless"):
        measured.check(qsim(), [A], max_age=4, on_stale="warn")
    with pytest.raises(CalibrationError, match="on_stale"):
        measured.check(qsim(), [A], on_stale="ignore")  # type: ignore[arg-type]


def test_mitigated_or_mixed_calibration_outcomes_are_rejected() -> None:
    patterns, exact = bit_patterns(1, "complement"), Distribution(np.array([1.0, 0.0]), None)
    some: Array = np.array([3, 1])
    with pytest.raises(CalibrationError, match="readout last"):
        ReadoutCalibration.from_outcomes([A], patterns, [QuasiDistribution((LinearTerm(exact),)), exact])
    with pytest.raises(CalibrationError, match="all counted or all exact"):
        ReadoutCalibration.from_outcomes([A], patterns, [Distribution.from_counts(some), exact])


@pytest.mark.parametrize(
    "rates",
    [{A: (True, False)}, {"q": (0.1, 0.1)}, {A: 0.1}, {A: (0.1,)}, {A: (0.1, 0.1, 0.1)}, {A: ("a", 0)}, {A: "ab"}],
    ids=str,
)
def test_rates_of_a_wrong_type_are_refused(rates: Any) -> None:
    with pytest.raises(ValueError, match="rates"):
        ReadoutCalibration.from_mapping(rates)
