"""Measured ratios against peers, side by side in one process; run by hand, never by the test suite."""
