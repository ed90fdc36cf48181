"""Circuits with symbols, the outcomes of running them, and linear maps of outcomes."""
