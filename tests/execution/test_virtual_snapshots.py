"""Virtual processors of snapshots: the numbers of the real calibration, what it lacks, and journals that know its content."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import pytest
from google_client import PROCESSOR
from stand_in import StandIn

import hattriq_cirq as hq
from hattriq_cirq.circuits.errors import CircuitRefusedError, JournalError
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.compilation.snapshot import Snapshot, find_snapshot
from hattriq_cirq.execution.backends.virtual import MissingCalibrationWarning, Noise

A, B, C = cirq.GridQubit(6, 6), cirq.GridQubit(6, 7), cirq.GridQubit(6, 8)
CIRCUIT = cirq.Circuit(
    cirq.Moment(cirq.PhasedXZGate(x_exponent=0.5, z_exponent=0.2, axis_phase_exponent=0.1).on_each(A, B, C)),
    cirq.Moment(cirq.CZ(A, B)),
    cirq.Moment(cirq.PhasedXZGate(x_exponent=0.3, z_exponent=0.1, axis_phase_exponent=0.7).on_each(A, C)),
    cirq.Moment(cirq.CZ(B, C)),
    cirq.Moment(cirq.measure(A, B, C, key="z")),
)
IDLE = cirq.Circuit(
    cirq.Moment(cirq.X(A)), cirq.Moment(cirq.WaitGate(cirq.Duration(micros=30))(A)), cirq.Moment(cirq.measure(A, key="z"))
)


def taken(change: Callable[[Any], object] = lambda _: None) -> Snapshot:
    """Return a snapshot that the real client takes from the stand-in service."""
    with StandIn() as service:
        change(service.quantum)
        return hq.snapshot("p", PROCESSOR, engine=service.engine())


@pytest.fixture(scope="module")
def device() -> Snapshot:
    return taken()


def probabilities(source: str | Path | Snapshot, noise: Noise = "calibrated") -> Any:
    (found,) = hq.virtual(source, noise=noise).run([CIRCUIT], None)
    return found.probabilities


def ones_after_idling(source: Snapshot) -> float:
    """Return the probability of 1 of a qubit that was excited and idled, which compilation would leave out."""
    (found,) = hq.virtual(source, noise="gates").execute([ParameterizedCircuit(IDLE.freeze(), (0,))], None)
    return float(found.probabilities[1])


def test_snapshot_of_the_service_is_simulated_as_the_same_bundled_calibration(device: Snapshot, tmp_path: Path) -> None:
    todays = taken(lambda quantum: quantum.use_todays_names())
    expected = probabilities(PROCESSOR)
    for source in (device, todays, todays.save(tmp_path / "device.json")):
        np.testing.assert_array_equal(probabilities(source), expected)


def test_processor_of_the_engine_is_that_of_the_snapshot(device: Snapshot) -> None:
    engine = hq.virtual(device, seed=1)
    assert engine.processor is device.processor()
    assert (engine.name, engine.notes) == ("virtual:willow_pink@snapshot-1", ())
    described = json.loads(json.dumps(engine.describe()))
    assert described["snapshot"] == device.digest
    assert described["processor"]["snapshot"] == "snapshot-1"
    assert "snapshot" not in hq.virtual(PROCESSOR).describe()  # as version 0.1 recorded it


def test_circuit_that_the_service_would_refuse_is_refused(device: Snapshot) -> None:
    off = cirq.FrozenCircuit(cirq.Moment(cirq.X(cirq.GridQubit(99, 0))), cirq.Moment(cirq.measure(cirq.GridQubit(99, 0))))
    with pytest.raises(CircuitRefusedError, match=r"virtual:willow_pink@snapshot-1 refuses job .*99"):
        hq.virtual(device).execute([ParameterizedCircuit(off, (0,))], [10])


def test_missing_relaxation_is_warned_of_recorded_and_noted_and_idling_is_free() -> None:
    device = taken(lambda quantum: quantum.drop_metrics(lambda name, _: "t1" not in name))
    sentence = "t1_ns: the calibration has none; they count as no error"
    with pytest.warns(MissingCalibrationWarning, match=sentence):
        engine = hq.virtual(device)
    assert engine.notes == (f"Noise of willow_pink@snapshot-1: {sentence}.",)
    assert engine.describe()["processor"]["missing"] == [sentence]
    with pytest.warns(MissingCalibrationWarning):
        attribution = hq.integrated_gradients(
            hq.ring_ansatz(1, layers=1),
            [0.6, 0.8],
            baseline=0,
            estimator=hq.PolarizationShift(),
            engine=hq.virtual(device, seed=1),
            shots=100,
        )
    assert engine.notes[0] in attribution.assumptions.notes
    with pytest.warns(MissingCalibrationWarning):
        assert ones_after_idling(device) > 0.995  # the error of X only
    assert ones_after_idling(find_snapshot(PROCESSOR)) < 0.8
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert hq.virtual(device, noise="readout").notes == hq.virtual(device, noise="none").notes == ()


def test_cost_on_a_snapshot_names_what_its_calibration_lacks(device: Snapshot, tmp_path: Path) -> None:
    def cost(processor: Any) -> hq.Resources:
        x = [0.6, 0.0, 0.0, 0.8]
        return hq.resources(hq.ring_ansatz(2, layers=1), x, 0, hq.PolarizationShift(), processor=processor)

    lacking = taken(lambda quantum: quantum.drop_metrics(lambda name, _: "t1" not in name))
    whole, found = cost(device.save(tmp_path / "device.json")), cost(lacking)
    assert (whole.snapshot, whole.missing, whole.row()["missing"]) == ("snapshot-1", (), "")
    assert whole.predicted_fidelity == cost(PROCESSOR).predicted_fidelity
    assert found.missing == lacking.missing
    assert "not calibrated" in str(found)
    assert lacking.missing[0] in str(found)


def test_missing_coupler_has_the_median_error_and_is_named() -> None:
    pair = f"{A.row}_{A.col}", f"{B.row}_{B.col}"
    device = taken(lambda quantum: quantum.drop_metrics(lambda name, at: "cz" not in name or sorted(at) != sorted(pair)))
    with pytest.warns(MissingCalibrationWarning, match="two_qubit_errors of cz: 1 of 182 are the median of the others"):
        found = probabilities(device, "gates")
    expected = probabilities(PROCESSOR, "gates")
    assert 0 < np.abs(found - expected).max() < 0.05


def test_missing_readout_is_named_only_where_it_is_simulated() -> None:
    device = taken(lambda quantum: quantum.drop_metrics(lambda name, _: "p00" not in name and "p11" not in name))
    with pytest.warns(MissingCalibrationWarning) as caught:
        hq.virtual(device, noise="readout")
    assert [str(warning.message).split(": ")[1] for warning in caught] == ["e0", "e1"]
    assert hq.virtual(device, noise="gates").notes == ()


@pytest.mark.parametrize(("e0", "e1", "named"), [(0.0, 0.0, False), (0.0, 0.1, False), (0.1, 0.0, False), (0.6, 0.9, True)])
def test_extreme_readout_errors_are_simulated(e0: float, e1: float, named: bool) -> None:
    rates = {"single_qubit_p00_error": e0, "single_qubit_p11_error": e1}

    def change(quantum: Any) -> None:
        for metric in quantum.calibration.metrics:
            if metric.name in rates and list(metric.targets) == ["6_6"]:
                metric.values[0].double_val = rates[metric.name]

    device = taken(change)
    sentence = "readout: 1 of 105 have e0 + e1 above 1, simulated as 1"
    assert device.missing == ((sentence,) if named else ())
    with pytest.warns(MissingCalibrationWarning, match="above 1") if named else nullcontext():
        engine = hq.virtual(device, noise="readout")
    zero, one = (
        cirq.FrozenCircuit(cirq.Moment(cirq.X(A) ** turns), cirq.Moment(cirq.measure(A, key="z"))) for turns in (0.0, 1.0)
    )
    found = engine.execute([ParameterizedCircuit(zero, (0,)), ParameterizedCircuit(one, (1,))], None)
    expected = np.array([e0, e1]) / max(1.0, e0 + e1)
    np.testing.assert_allclose([found[0].probabilities[1], found[1].probabilities[0]], expected, rtol=0, atol=1e-6)


def test_gates_without_any_error_are_refused(tmp_path: Path) -> None:
    device = taken(lambda quantum: quantum.drop_metrics(lambda name, _: "two_qubit" not in name))
    with pytest.raises(ValueError, match=r"no errors for gateset=None.* perfect; use noise='readout'"):
        hq.virtual(device)
    from cirq_google.engine.virtual_engine_factory import create_device_spec_from_processor_id

    (tmp_path / "device.pb").write_bytes(create_device_spec_from_processor_id(PROCESSOR).SerializeToString())
    with pytest.raises(ValueError, match=r"of device-.* has no errors .* perfect; use noise='none'"):
        hq.virtual(tmp_path / "device.pb")
    np.testing.assert_array_equal(probabilities(tmp_path / "device.pb", "none"), probabilities(PROCESSOR, "none"))


def test_journal_knows_the_snapshot_by_its_content(device: Snapshot, tmp_path: Path) -> None:
    first, moved = device.save(tmp_path / "a.json"), device.save(tmp_path / "b.json")
    journal = tmp_path / "run"
    engine = hq.virtual(first, seed=1, journal=journal)
    counts = engine.run([CIRCUIT], [100])[0].counts
    assert engine.journal is not None
    engine.journal.close()
    first.unlink()
    again = hq.virtual(moved, seed=1, journal=journal)
    np.testing.assert_array_equal(again.run([CIRCUIT], [100])[0].counts, counts)
    assert again.journal is not None
    again.journal.close()
    other = taken(lambda quantum: quantum.drop_metrics(lambda name, _: "separation" not in name))
    for wrong in (other, find_snapshot(PROCESSOR)):
        with pytest.raises(JournalError, match="holds another run: engine"):
            hq.virtual(wrong, seed=1, journal=journal)
