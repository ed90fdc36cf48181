"""Readout errors: calibrations, their corrections, and tests of drift and of correlation."""

from hattriq_cirq._moved import keep_old_names

keep_old_names(__name__)
