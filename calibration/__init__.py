"""Calibration of a quantum processor and the corrections that rest on it.

This package stands between an engine's counts and the aggregation of attributions: it measures readout, keeps the
measurement as a value, judges its age and drift, and corrects distributions before integrated gradients sums them.
It may import `hattriq_cirq`; of `hattriq_cirq` only the command line may import it.

One convention everywhere: a confusion matrix is indexed `confusion[prepared, observed]`.
"""

from calibration.correct import Readout
from calibration.correlated import CorrelatedReadout
from calibration.drift import DriftVerdict, compare
from calibration.gate_noise import DynamicalDecoupling, PauliTwirling, ZeroNoiseExtrapolation
from calibration.joint import CorrelatedCalibration, correlation_test, measure_correlated
from calibration.measure import measure_readout, readout_programs
from calibration.pipeline import Pipeline
from calibration.readout import CalibrationError, ReadoutCalibration, StaleCalibrationWarning
from calibration.rescaling import CompletenessRescaling, NoiseEstimation
from calibration.twirl import TwirledReadout

__all__ = [
    "CalibrationError",
    "CompletenessRescaling",
    "CorrelatedCalibration",
    "CorrelatedReadout",
    "DriftVerdict",
    "DynamicalDecoupling",
    "NoiseEstimation",
    "PauliTwirling",
    "Pipeline",
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
