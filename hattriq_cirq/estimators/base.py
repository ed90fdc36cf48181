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
from itertools import islice
from typing import Literal, Self

import cirq
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hattriq_cirq._arrays import Array, FloatArray, largest_remainders, parity_signs
from hattriq_cirq.encoding import Encoder, encode
from hattriq_cirq.model import Model
from hattriq_cirq.outcomes import Outcome, Shared

KEY = "z"
"""The measurement key of every estimator circuit."""
Allocation = Literal["error", "equal"]


@dataclass(frozen=True, eq=False)
class Product:
    """One product weight * Re(conj(left) o (M right)); both vectors are (features,), real or complex, of any norm."""

    left: Array
    right: Array
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class Reading:
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
    def spread(self) -> float:
        """The largest L2 norm that one shot can add to the map: a bound on its standard deviation."""
        return float(np.sqrt(np.asarray(self.weights.multiply(self.weights).sum(axis=0)).max(initial=0.0)))


class Term:
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
    def readings(self, term: Term, product: Product) -> Iterator[Reading]:
        """The circuits for one traceless Pauli string and one product with no blank side."""

    @abstractmethod
    def describe(self) -> str:
        """The estimator in a few words, for results."""

    def known(self, product: Product) -> FloatArray:
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

    def collected(self, values: FloatArray) -> FloatArray:
        """Values of all features summed over the data qubits that are not measured."""
        if self.measured is None:
            return values
        n = (len(values) - 1).bit_length()
        tensor = np.moveaxis(values.reshape((2,) * n), self.measured, range(len(self.measured)))
        result: FloatArray = tensor.reshape(2 ** len(self.measured), -1).sum(axis=1)
        return result


@dataclass(frozen=True, eq=False)
class Plan:
    """All circuits of one attribution.

    Args:
        readings: circuits with their weights.
        offset: (features,), what is known without a circuit: the identity part of the observable.
        allocation: `error` or `equal`.
    """

    readings: tuple[Reading, ...]
    offset: FloatArray
    allocation: Allocation

    @cached_property
    def shares(self) -> FloatArray:
        """(circuits,), the share of each in all shots.

        `error` shares in proportion to each circuit's `spread`, which minimises the bound on the total squared error
        sum_c spread_c**2 / S_c (Neyman allocation); `equal` gives all the same.
        """
        spreads = np.array([r.spread if self.allocation == "error" else 1.0 for r in self.readings])
        shares: FloatArray = spreads / spreads.sum()
        return shares

    def shots(self, total: int) -> list[int]:
        """Shares a total among the circuits by `shares`, at least one each.

        Args:
            total: shots in all, at least the number of circuits.

        Returns:
            Shots of each circuit; they sum to the total.

        Raises:
            ValueError: fewer shots than circuits.
        """
        count = len(self.readings)
        if count == 0:
            return []
        if total < count:
            raise ValueError(f"shots={total} must be at least the number of circuits, {count}: each is run once or more")
        return [1 + more for more in largest_remainders((total - count) * self.shares, total - count)]

    def decode(self, outcomes: Sequence[Outcome]) -> Estimate:
        """Attributions from one outcome a circuit, in order."""
        return Estimate(self, tuple(outcomes))


@dataclass(frozen=True, eq=False)
class Estimate:
    """Attributions read from circuits, with their errors; computed from the outcomes when asked for."""

    plan: Plan
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()
    """What a mitigation found out about this input, a sentence each."""

    def _parts(self) -> Iterator[tuple[csr_array, Outcome]]:
        return ((r.weights, o) for r, o in zip(self.plan.readings, self.outcomes, strict=True))

    @cached_property
    def values(self) -> FloatArray:
        """(features,)."""
        return self.plan.offset + sum(
            (np.asarray(weights @ o.probabilities) for weights, o in self._parts()), np.zeros(len(self.plan.offset))
        )

    @cached_property
    def sensitivities(self) -> dict[Shared, FloatArray]:
        """How the values change with what all circuits share, (features, parameters) of each: added up over circuits."""
        total: dict[Shared, FloatArray] = {}
        for weights, outcome in self._parts():
            for shared, moved in outcome.sensitivities(weights).items():
                total[shared] = total.get(shared, 0.0) + moved
        return total

    @cached_property
    def stderr(self) -> FloatArray:
        """(features,), the standard error of each value."""
        counted = sum((o.variances(weights) for weights, o in self._parts()), np.zeros(len(self.plan.offset)))
        return np.sqrt(counted + sum(shared.variances(moved) for shared, moved in self.sensitivities.items()))

    @cached_property
    def covariance(self) -> FloatArray:
        """(features, features), of the values."""
        n = len(self.plan.offset)
        counted = sum((o.covariance(weights) for weights, o in self._parts()), np.zeros((n, n)))
        return counted + sum(shared.covariance(moved) for shared, moved in self.sensitivities.items())

    @cached_property
    def sum_stderr(self) -> float:
        """The standard error of the sum of the values."""
        ones = [(csr_array(weights.sum(axis=0)[np.newaxis, :]), o) for weights, o in self._parts()]
        counted = sum(o.variances(weights)[0] for weights, o in ones)
        common = sum(shared.variances(moved.sum(axis=0, keepdims=True))[0] for shared, moved in self.sensitivities.items())
        return float(np.sqrt(counted + common))

    @property
    def shots(self) -> int:
        """All shots; 0 where the outcomes are exact."""
        return sum(o.shots or 0 for o in self.outcomes)


def plan(estimator: Estimator, model: Model, products: Sequence[Product]) -> Plan:
    """Asks an estimator for all circuits of a sum of products, every Pauli string of the observable apart.

    Args:
        estimator: which circuits to use.
        model: F(x) = x' M x.
        products: to be summed.

    Returns:
        The plan; a product that is zero whatever M is asks for no circuit.
    """
    if not set(estimator.measured or ()) <= set(range(model.n_qubits)):
        raise ValueError(f"{estimator.measured=} must be positions of data qubits, 0 .. {model.n_qubits - 1}")
    offset = np.zeros(model.n_features)
    terms = [Term(model, pauli) for pauli in model.pauli_sum if len(pauli) > 0]
    readings: list[Reading] = []
    for product in products:
        offset += product.weight * model.identity_part * estimator.known(product)
        if product.left.any() and product.right.any() and product.weight:
            for term in terms:
                factor = product.weight * term.coefficient
                for reading in estimator.readings(term, product):
                    readings.append(replace(reading, weights=csr_array(factor * reading.weights)))
    return Plan(tuple(readings), estimator.collected(offset), estimator.allocation)


def glimpse(estimator: Estimator, model: Model, products: Sequence[Product]) -> list[cirq.Circuit]:
    """The first circuit for every product and Pauli string, without making the others; no product has a blank side."""
    terms = [Term(model, pauli) for pauli in model.pauli_sum if len(pauli) > 0]
    return [r.circuit for product in products for term in terms for r in islice(estimator.readings(term, product), 1)]


def light_cone(circuit: cirq.AbstractCircuit, pauli: cirq.PauliString[cirq.Qid]) -> cirq.FrozenCircuit:
    """The circuit U without the gates that cancel in U' P U, because they commute with all that follows them and with P."""
    kept: list[cirq.Operation] = []
    for operation in reversed(list(circuit.all_operations())):
        qubits = set(operation.qubits)
        later = [other for other in reversed(kept) if qubits & set(other.qubits)]
        local = [pauli[q](q) for q in operation.qubits if q in pauli]
        if not all(cirq.commutes(operation, other, default=False) for other in later) or not (
            _commutes_with_string(operation, local)
        ):
            kept.append(operation)
    return cirq.FrozenCircuit(reversed(kept))


def _commutes_with_string(operation: cirq.Operation, local: Sequence[cirq.Operation]) -> bool:
    """Whether an operation commutes with the Paulis of a string on its own qubits."""
    if not local:
        return True
    qubits = operation.qubits
    string = cirq.Circuit(local).unitary(qubit_order=qubits, qubits_that_should_be_present=qubits)
    matrix = cirq.unitary(operation)
    return bool(np.allclose(string @ matrix, matrix @ string, atol=1e-9))


def ancillas(term: Term, count: int) -> list[cirq.Qid]:
    """Ancilla qubits, named so that they meet no data qubit."""
    names: list[cirq.Qid] = [cirq.NamedQubit(f"ancilla{i}") for i in range(count + term.model.n_qubits)]
    return [name for name in names if name not in term.model.qubits][:count]


def outcome_signs(bits: int) -> FloatArray:
    """(-1)**popcount of each of 2**bits outcomes: the value of Z on every measured bit."""
    return parity_signs(np.arange(2**bits))


def worths(rows: FloatArray, features: Sequence[int] | NDArray[np.intp], total: int) -> csr_array:
    """What each outcome is worth to each of these features, (len(features), outcomes), as a matrix over all features."""
    count, outcomes = rows.shape
    index = np.repeat(features, outcomes), np.tile(np.arange(outcomes), count)
    return csr_array((rows.reshape(-1), index), shape=(total, outcomes))


def flips(index: int, qubits: Sequence[cirq.Qid]) -> list[cirq.Qid]:
    """The qubits that are 1 in a basis state, big-endian."""
    n = len(qubits)
    return [q for i, q in enumerate(qubits) if index >> (n - 1 - i) & 1]
