"""Gate errors: folding and extrapolation, Pauli twirling, dynamical decoupling."""
