"""Compilation for a processor: gate sets, layout search, placement, and compiled programs."""
