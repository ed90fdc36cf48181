"""Calibration of a quantum processor and the corrections that rest on it.

This package stands between an engine's counts and the aggregation of attributions: it measures readout, keeps the
measurement as a value, judges its age and drift, and corrects distributions before integrated gradients sums them.
It may import `hattriq_cirq`; of `hattriq_cirq` only the command line may import it.

One convention everywhere: a confusion matrix is indexed `confusion[prepared, observed]`.
"""
