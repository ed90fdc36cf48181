"""Models: a circuit, ordered qubits and an observable; ready-made ansatz circuits, gradients and training."""
