"""Exact attribution of a quadratic form: baselines, objectives, quadrature, results, and other attribution methods."""

from hattriq_cirq._moved import keep_old_names

keep_old_names(__name__)
