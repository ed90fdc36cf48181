"""What all estimators share: the product they estimate, the circuits they ask for, and how counts become attributions.

Every attribution of a quadratic model is a sum of products Re(conj(left) o (M right)), o elementwise: left = x - b and
right = x + b for the exact path integral, right = 2 p for one step of a Riemann sum. An estimator turns one product into
`Reading`s: circuits, each with the linear map from its outcome probabilities to attributions. Estimates, standard errors
and full covariances then follow for all estimators alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import cached_property
from typing import Literal, Self

import cirq
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hattriq_cirq.circuits.light_cone import light_cone
from hattriq_cirq.encoding.exact import Encoder, encode
from hattriq_cirq.foundation.arrays import Array, FloatArray, parity_signs
from hattriq_cirq.models.model import Model

KEY = "z"
"""The measurement key of every estimator circuit."""
Allocation = Literal["error", "equal"]


@dataclass(frozen=True, eq=False)
class BilinearTerm:
    """One product weight * Re(conj(left) o (M right)); both vectors are (features,), real or complex, of any norm."""

    left: Array
    right: Array
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class WeightedCircuit:
    """A circuit and what its outcomes are worth.

    Args:
        circuit: logical, ending in one measurement under `KEY`.
        weights: (features, 2**bits); weights @ probabilities is this circuit's part of the attributions.
        preparation: the part of the circuit that prepares amplitudes, so that its cost can be told apart.
    """

    circuit: cirq.Circuit
    weights: csr_array
    preparation: cirq.Circuit

    @cached_property
    def max_shot_norm(self) -> float:
        """The largest L2 norm that one shot can add to the map: a bound on its standard deviation."""
        return float(np.sqrt(np.asarray(self.weights.multiply(self.weights).sum(axis=0)).max(initial=0.0)))


class PauliTerm:
    """One Pauli string of the observable and the part of the circuit that it sees."""

    def __init__(self, model: Model, pauli: cirq.PauliString[cirq.Qid]) -> None:
        self.model = model
        self.coefficient = float(pauli.coefficient.real)
        self.pauli: cirq.PauliString[cirq.Qid] = cirq.PauliString(dict(pauli.items()))

    @cached_property
    def circuit(self) -> cirq.FrozenCircuit:
        """U without the gates that cancel in U' P U."""
        return light_cone(self.model.resolved_circuit, self.pauli)

    @cached_property
    def inverse(self) -> cirq.FrozenCircuit:
        """The adjoint of `circuit`."""
        inverse = cirq.inverse(self.circuit)
        assert isinstance(inverse, cirq.FrozenCircuit)
        return inverse

    @cached_property
    def basis_change(self) -> list[cirq.Operation]:
        """Turns the string into a product of Z."""
        turns = {cirq.X: cirq.H, cirq.Y: cirq.rx(np.pi / 2)}
        return [turns[pauli](q) for q, pauli in self.pauli.items() if pauli != cirq.Z]


class Estimator(ABC):
    """Two pure functions in one: inputs to circuits, and (by the weights of each) distributions to attributions."""

    allocation: Allocation
    """How shots are shared among circuits."""
    encoder: Encoder
    """What prepares amplitudes: `encode`, exactly, or an approximation."""
    measured: tuple[int, ...] | None = None
    """Positions of the data qubits whose basis states the values belong to; None for all."""
    part: Literal["real", "imaginary"] = "real"
    """Of conj(left) o (M right), which is read; an attribution is the real one."""

    def __post_init__(self) -> None:
        if self.allocation not in ("error", "equal"):
            raise ValueError(f"{self.allocation=} must be 'error' or 'equal'")

    @abstractmethod
    def weighted_circuits(self, term: PauliTerm, product: BilinearTerm) -> Iterator[WeightedCircuit]:
        """The circuits for one traceless Pauli string and one product with no blank side."""

    @abstractmethod
    def describe(self) -> str:
        """The estimator in a few words, for results."""

    def identity_term(self, product: BilinearTerm) -> FloatArray:
        """What M = 1 would give, (features,): the part of an observable's identity, which needs no circuit."""
        value = product.left.conj() * product.right
        part: FloatArray = value.real if self.part == "real" else value.imag
        return part

    def with_encoder(self, words: str) -> str:
        """A description, with the encoder where it is not the exact one."""
        return words if self.encoder is encode else f"{words}, {self.encoder}"

    def prepared_by(self, encoder: Encoder) -> Self:
        """The same estimator with an encoder that suits the qubits it will run on, unless one was chosen for it."""
        return replace(self, encoder=encoder) if self.encoder is encode and is_dataclass(self) else self

    def marginalize(self, values: FloatArray) -> FloatArray:
        """Values of all features summed over the data qubits that are not measured."""
        if self.measured is None:
            return values
        n = (len(values) - 1).bit_length()
        tensor = np.moveaxis(values.reshape((2,) * n), self.measured, range(len(self.measured)))
        result: FloatArray = tensor.reshape(2 ** len(self.measured), -1).sum(axis=1)
        return result


def ancillas(term: PauliTerm, count: int) -> list[cirq.Qid]:
    """Ancilla qubits, named so that they meet no data qubit."""
    names: list[cirq.Qid] = [cirq.NamedQubit(f"ancilla{i}") for i in range(count + term.model.n_qubits)]
    return [name for name in names if name not in term.model.qubits][:count]


def outcome_signs(bits: int) -> FloatArray:
    """(-1)**popcount of each of 2**bits outcomes: the value of Z on every measured bit."""
    return parity_signs(np.arange(2**bits))


def outcome_weights(rows: FloatArray, features: Sequence[int] | NDArray[np.intp], total: int) -> csr_array:
    """What each outcome is worth to each of these features, (len(features), outcomes), as a matrix over all features."""
    count, outcomes = rows.shape
    index = np.repeat(features, outcomes), np.tile(np.arange(outcomes), count)
    return csr_array((rows.reshape(-1), index), shape=(total, outcomes))


def flips(index: int, qubits: Sequence[cirq.Qid]) -> list[cirq.Qid]:
    """The qubits that are 1 in a basis state, big-endian."""
    n = len(qubits)
    return [q for i, q in enumerate(qubits) if index >> (n - 1 - i) & 1]
