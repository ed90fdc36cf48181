"""Exact simulation: state vectors, and density matrices as Pauli vectors."""
