"""Calibration of a quantum processor and the corrections that rest on it.

This package stands between an engine's counts and the aggregation of attributions: it measures readout, keeps the
measurement as a value, judges its age and drift, and corrects distributions before integrated gradients sums them.
It may import `hattriq_cirq`; of `hattriq_cirq` only the command line may import it.

One convention everywhere: a confusion matrix is indexed `confusion[prepared, observed]`.
"""

from calibration.gates.mitigations import DynamicalDecoupling, PauliTwirling, ZeroNoiseExtrapolation
from calibration.readout.calibration import CalibrationError, ReadoutCalibration, StaleCalibrationWarning
from calibration.readout.correlated_calibration import CorrelatedCalibration, correlation_test, measure_correlated
from calibration.readout.drift import DriftVerdict, compare
from calibration.readout.measure import measure_readout, readout_programs
from calibration.readout.per_group import CorrelatedReadout
from calibration.readout.per_qubit import Readout
from calibration.readout.trex import TwirledReadout
from calibration.rescaling import CompletenessRescaling, NoiseEstimation
from calibration.sequence import MitigationSequence
from hattriq_cirq._moved import keep_old_names

__all__ = [
    "CalibrationError",
    "CompletenessRescaling",
    "CorrelatedCalibration",
    "CorrelatedReadout",
    "DriftVerdict",
    "DynamicalDecoupling",
    "MitigationSequence",
    "NoiseEstimation",
    "PauliTwirling",
    "Readout",
    "ReadoutCalibration",
    "StaleCalibrationWarning",
    "TwirledReadout",
    "ZeroNoiseExtrapolation",
    "compare",
    "correlation_test",
    "measure_correlated",
    "measure_readout",
    "readout_programs",
]

keep_old_names(__name__)
