"""Calibration of a quantum processor, and the corrections that use it.

The package acts between the counts of an engine and the aggregation of attributions: it measures readout errors, keeps the
measurement as a value with its age and origin, tests it for drift, and corrects distributions before integrated gradients sums
them. It may import `hattriq_cirq`; of `hattriq_cirq` only the command line and the workflows may import it.

Confusion matrices are always indexed `confusion[prepared, observed]`.
"""

from calibration.gates.known_answers import KnownAnswerCheck, KnownAnswers
from calibration.gates.mitigations import DynamicalDecoupling, PauliTwirling, ZeroNoiseExtrapolation
from calibration.readout.calibration import CalibrationError, ReadoutCalibration, StaleCalibrationWarning
from calibration.readout.correlated_calibration import CorrelatedCalibration, correlation_test, measure_correlated
from calibration.readout.drift import DriftVerdict, compare
from calibration.readout.measure import measure_readout, prepare_readout, readout_programs
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
    "KnownAnswerCheck",
    "KnownAnswers",
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
    "prepare_readout",
    "readout_programs",
]

keep_old_names(__name__)
