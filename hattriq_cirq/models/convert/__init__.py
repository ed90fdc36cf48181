"""Models of other formats and packages: OpenQASM, PennyLane and Qiskit, a file each, and what they share in `source`."""
