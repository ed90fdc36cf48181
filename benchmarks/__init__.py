"""Benchmarks: time ratios to other software, measured side by side in one process; run by hand, never by the tests."""
