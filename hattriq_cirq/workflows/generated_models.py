"""Models that a short text generates: circuits with random gates, and ready-made circuits with random parameters."""

from __future__ import annotations

from collections.abc import Callable

import cirq
import numpy as np

from hattriq_cirq.foundation.checks import as_count, as_seed, as_word
from hattriq_cirq.foundation.options import parse_options
from hattriq_cirq.models.ansatz import grid_ansatz, ring_ansatz
from hattriq_cirq.models.model import Model

_QUBITS_MAX = 20
#: Names of the two-qubit gates of random circuits; `mixed` takes each of the others at random.
_GATES: dict[str, cirq.Gate] = {"cz": cirq.CZ, "cnot": cirq.CNOT, "sqrt_iswap": cirq.SQRT_ISWAP}
GATE_NAMES = (*_GATES, "mixed")


def random_circuit(n: int, seed: int = 0, gates: str = "cz", pairs: int = 0) -> Model:
    """Return a model without structure: random rotations and two-qubit gates on random pairs, and random Pauli strings.

    Args:
        n: Number of qubits.
        seed: Random seed of circuit and observable.
        gates: Two-qubit gates: `cz`, `cnot`, `sqrt_iswap` or `mixed`.
        pairs: Number of two-qubit gates; 0 takes two per qubit.

    Returns:
        A model whose observable is a sum of at most three Pauli strings, with coefficients whose squares sum to 1.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> random_circuit(3, seed=7).n_features
        8
    """
    n, pairs = as_count(n, "n", 1, _QUBITS_MAX), as_count(pairs, "pairs", 0, 10_000)
    as_word(gates, "gates", GATE_NAMES)
    rng = np.random.default_rng([as_seed(seed), n])
    qubits = cirq.LineQubit.range(n)

    def rotations(on: list[cirq.LineQubit]) -> list[cirq.Operation]:
        return [gate(float(rng.uniform(-np.pi, np.pi)))(q) for q in on for gate in (cirq.rz, cirq.ry, cirq.rz)]

    circuit = cirq.Circuit(rotations(qubits))
    for _ in range((pairs or 2 * n) if n > 1 else 0):
        pair = [qubits[i] for i in rng.permutation(n)[:2]]
        name = gates if gates in _GATES else list(_GATES)[rng.integers(len(_GATES))]
        circuit.append([_GATES[name](*pair), *rotations(pair)])
    strings: dict[cirq.PauliString[cirq.LineQubit], float] = {}
    for _ in range(3):
        letters = {q: "IXYZ"[i] for q, i in zip(qubits, rng.integers(4, size=n), strict=True)}
        if set(letters.values()) == {"I"}:
            letters[qubits[0]] = "Z"
        strings[cirq.PauliString({q: letter for q, letter in letters.items() if letter != "I"})] = float(rng.normal())
    size = float(np.linalg.norm(list(strings.values())))
    observable = sum((value / size * string for string, value in strings.items()), cirq.PauliSum())
    return Model(circuit, qubits, observable)


def random_ring(n: int, layers: int = 2, seed: int = 0) -> Model:
    """Return a ring model with normally distributed parameters, which behaves like an untrained one.

    Example:
        >>> len(random_ring(3, 1).params)
        12
    """
    return _with_random_parameters(ring_ansatz(n, layers), [as_seed(seed), n, layers])


def random_grid(rows: int, cols: int, layers: int = 2, seed: int = 0) -> Model:
    """Return a grid model with normally distributed parameters.

    Example:
        >>> len(random_grid(2, 2, 1).params)
        16
    """
    return _with_random_parameters(grid_ansatz(rows, cols, layers), [as_seed(seed), rows, cols, layers])


_BUILDERS: dict[str, Callable[..., Model]] = {"random": random_circuit, "ring": random_ring, "grid": random_grid}


def is_generated(text: str) -> bool:
    """Return true if a text names a generated model and not a file.

    Example:
        >>> is_generated("ring:n=3"), is_generated("runs/digits")
        (True, False)
    """
    return text.partition(":")[0] in _BUILDERS and ":" in text


def generate_model(text: str) -> Model:
    """Return the model that `random:n=3,seed=7`, `ring:n=3,layers=2` or `grid:rows=2,cols=2` describes.

    Args:
        text: `random`, `ring` or `grid`, a colon, and arguments of the function of this module.

    Raises:
        ValueError: The text describes no model; the message lists the options.

    Example:
        >>> generate_model("random:n=3,seed=7,gates=cnot").n_qubits
        3
    """
    name, _, options = text.partition(":")
    if name not in _BUILDERS:
        raise ValueError(f"model {text!r} must be random:n=3,seed=7, ring:n=3,layers=2 or grid:rows=2,cols=2")
    return _BUILDERS[name](**parse_options(_BUILDERS[name], name, options))


def _with_random_parameters(model: Model, entropy: list[int]) -> Model:
    rng = np.random.default_rng(entropy)
    return model.with_params({name: float(rng.normal()) for name in model.params})
