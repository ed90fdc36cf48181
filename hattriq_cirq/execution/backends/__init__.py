"""Backends: simulators, virtual processors, the quantum engine service, and any `cirq.Sampler`."""
