"""Bilinear terms, the circuits that estimate them, and the contract that every estimator fulfils.

Every attribution of a quadratic form is a sum of terms Re(conj(left) o (M right)), o elementwise: left = x - b and
right = x + b for the exact path integral, right = 2 p for one node p of a quadrature rule. An estimator turns one term into
`WeightedCircuit`s: circuits, each with the linear map from its outcome probabilities to attributions. Estimates, standard
errors and full covariances then follow for all estimators alike (`estimators.plan`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import cirq
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hattriq_cirq.circuits.outcomes import OutcomeWeights
from hattriq_cirq.circuits.unitaries import inverse_circuit
from hattriq_cirq.encoding.exact import Encoder, encode
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.checks import ArgumentTypeError, as_word, shown
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.models.model import Model

#: Measurement key of every estimator circuit.
KEY = "z"
Allocation = Literal["error", "equal"]


@dataclass(frozen=True, eq=False)
class BilinearTerm(Frozen):
    """Term weight * Re(conj(left) o (M right)) of an attribution, o elementwise.

    Args:
        left: Left vector, (features,), real or complex, of any norm.
        right: Right vector, (features,), real or complex, of any norm.
        weight: Real factor of the term.
        exponent: Power of 2 that multiplies both vectors, so that inputs of any size are computed at about size 1; the same
            for all terms of an input.

    Example:
        >>> import numpy as np
        >>> BilinearTerm(np.array([1.0, 0.0]), np.array([0.6, 0.8]), weight=0.5).weight
        0.5
    """

    left: Array
    right: Array
    weight: float = 1.0
    exponent: int = 0

    @property
    def is_zero(self) -> bool:
        """True if the term vanishes for every M, because one side or the weight is zero."""
        return not (self.left.any() and self.right.any() and self.weight)


class StateTerm(BilinearTerm):
    """Term Re(conj(x) o (M x)) of a state x that a circuit prepares, whose amplitudes are not known.

    `ResolvedHadamardTest` and `Expectation` run the circuit in place of an encoding. The term has no sides: reading them, as
    other estimators do, raises an error.

    Args:
        circuit: Circuit that prepares the state from |0...0>, on qubits of the model; without symbols and measurements.

    Example:
        >>> import hattriq_cirq as hq
        >>> from hattriq_cirq.estimators.plan import plan
        >>> bell = cirq.Circuit(cirq.H(cirq.q(0)), cirq.CNOT(cirq.q(0), cirq.q(1)))
        >>> len(plan(hq.ResolvedHadamardTest(), hq.ring_ansatz(2, layers=1), [StateTerm(bell)]).circuits)
        1
    """

    def __init__(self, circuit: cirq.AbstractCircuit) -> None:
        self.__dict__.update(circuit=circuit.unfreeze(), weight=1.0, exponent=0)

    circuit: cirq.Circuit

    @property
    def is_zero(self) -> bool:
        """False: a state is not zero."""
        return False

    def __getattr__(self, name: str) -> Any:
        if name in ("left", "right"):
            raise ValueError(
                "the amplitudes of a state that a circuit prepares are not known; use ResolvedHadamardTest, which does "
                "not need them, with no reweighting and no mitigation that computes maps"
            )
        raise AttributeError(name)


@dataclass(frozen=True, eq=False)
class WeightedCircuit(Frozen):
    """Circuit together with the weights that turn its outcome probabilities into its part of the attributions.

    Args:
        circuit: Logical circuit that ends in one measurement under `KEY`.
        weights: Weights of the outcomes, (features, 2**bits); weights @ probabilities is the circuit's part of the values.
        preparation: Part of the circuit that prepares amplitudes, so that its cost can be stated apart.

    Example:
        >>> import cirq
        >>> from hattriq_cirq.circuits.outcomes import OutcomeWeights
        >>> from scipy.sparse import csr_array
        >>> q = cirq.LineQubit(0)
        >>> circuit = cirq.Circuit(cirq.H(q), cirq.measure(q, key=KEY))
        >>> WeightedCircuit(circuit, OutcomeWeights(csr_array([[2.0, -2.0]])), circuit[:1]).max_shot_norm
        2.0
    """

    circuit: cirq.Circuit
    weights: OutcomeWeights
    preparation: cirq.Circuit

    @property
    def max_shot_norm(self) -> float:
        """Largest L2 norm that one shot can add to the map, which bounds its standard deviation."""
        return self.weights.max_shot_norm


class PauliTerm:
    """One Pauli string P of the observable, with the part of the model's circuit U that U' P U depends on.

    Args:
        model: Model whose observable contains the string.
        pauli: Pauli string with its real coefficient.

    Example:
        >>> import hattriq_cirq as hq
        >>> model = hq.ring_ansatz(2, layers=1)
        >>> PauliTerm(model, next(iter(model.pauli_sum))).coefficient
        1.0
    """

    def __init__(self, model: Model, pauli: cirq.PauliString[cirq.Qid]) -> None:
        self.model = model
        self.coefficient = float(pauli.coefficient.real)
        self.pauli: cirq.PauliString[cirq.Qid] = cirq.PauliString({q: pauli[q] for q in model.register if q in pauli})

    @cached_property
    def circuit(self) -> cirq.FrozenCircuit:
        """U without the gates that cancel in U' P U."""
        return self.model.light_cone(self.pauli)

    @cached_property
    def inverse(self) -> cirq.FrozenCircuit:
        """Adjoint of `circuit`."""
        return inverse_circuit(self.circuit)

    @cached_property
    def basis_change(self) -> list[cirq.Operation]:
        """Operations that rotate the string into a product of Z."""
        rotations = {cirq.X: cirq.H, cirq.Y: cirq.rx(np.pi / 2)}
        return [rotations[pauli](q) for q, pauli in self.pauli.items() if pauli != cirq.Z]


def pauli_terms(model: Model) -> list[PauliTerm]:
    """Return the Pauli strings of a model's observable without its identity part."""
    return [PauliTerm(model, pauli) for pauli in model.pauli_sum if len(pauli) > 0]


class Estimator(ABC):
    """Abstract base of the estimators: builds the circuits of one bilinear term, with the weights that decode their outcomes.

    A concrete estimator is a frozen dataclass with the fields below and implements `weighted_circuits` and `describe`.

    Example:
        >>> import hattriq_cirq as hq
        >>> isinstance(hq.HadamardTest(), Estimator)
        True
    """

    #: Allocation of shots among circuits.
    allocation: Allocation
    #: State preparation; None lets the placement choose one that suits the qubits.
    encoder: Encoder | None
    #: Positions of the data qubits whose basis states the values belong to; None is all data qubits.
    measured: tuple[int, ...] | None = None
    #: Part of conj(left) o (M right) that is estimated; an attribution is the real part.
    part: Literal["real", "imaginary"] = "real"

    #: True if the circuits contain the inverse of the model's circuit, which noise does not have.
    inverts_model: ClassVar[bool] = False

    def __post_init__(self) -> None:
        as_word(self.allocation, "allocation", ("error", "equal"))
        if self.encoder is not None and (isinstance(self.encoder, type) or not callable(self.encoder)):
            raise ArgumentTypeError(
                f"encoder={shown(self.encoder)} must be a function of a vector and qubits, such as encoding.encode, or None"
            )

    def circuit_model(self, model: Model) -> Model:
        """Return the model whose circuit is run: measurements and feed-forward become quantum control, see `Model.dilated`.

        Noise of the model is kept, unless its circuit has to be inverted. An engine must then be able to simulate it.
        """
        return model.dilated(noise=self.inverts_model or not model.has_noise)

    @abstractmethod
    def weighted_circuits(self, pauli: PauliTerm, term: BilinearTerm) -> Iterator[WeightedCircuit]:
        """Build the circuits of one Pauli string and one bilinear term that is not zero."""

    @abstractmethod
    def describe(self) -> str:
        """Describe the estimator in a few words, for results."""

    @property
    def state_encoder(self) -> Encoder:
        """State preparation of the circuits: the one that was named, or else the exact encoder for a free graph."""
        return self.encoder or encode

    def with_encoder(self, encoder: Encoder) -> Self:
        """Return the same estimator with an encoder that suits its qubits, unless one was named already."""
        return replace(self, encoder=encoder) if self.encoder is None and is_dataclass(self) else self

    def values_of(self, model: Model) -> int:
        """Return the number of values: one for each basis state of the measured data qubits."""
        return int(2 ** (model.n_qubits if self.measured is None else len(self.measured)))

    def identity_term(self, term: BilinearTerm) -> FloatArray:
        """Return the values for M = 1, (features,): the identity part of an observable needs no circuit."""
        value = term.left.conj() * term.right
        part: FloatArray = value.real if self.part == "real" else value.imag
        return part

    def marginalize(self, values: FloatArray) -> FloatArray:
        """Sum the values of all features over the data qubits that are not measured."""
        if self.measured is None:
            return values
        n = (len(values) - 1).bit_length()
        tensor = np.moveaxis(values.reshape((2,) * n), self.measured, range(len(self.measured)))
        result: FloatArray = tensor.reshape(2 ** len(self.measured), -1).sum(axis=1)
        return result

    def _with_encoder_name(self, words: str) -> str:
        """Append the encoder to a description where it is not the exact one."""
        return words if self.state_encoder is encode else f"{words}, {self.encoder}"


def ancillas(pauli: PauliTerm, count: int) -> list[cirq.Qid]:
    """Return ancilla qubits whose names differ from those of all qubits of the model."""
    names: list[cirq.Qid] = [cirq.NamedQubit(f"ancilla{i}") for i in range(count + len(pauli.model.register))]
    return [name for name in names if name not in pauli.model.register][:count]


def parity_weights(
    rows: FloatArray, features: Sequence[int] | NDArray[np.intp], total: int, parity_bits: int
) -> OutcomeWeights:
    """Return weights of some features that depend on the first measured bits and on the parity of the others.

    Args:
        rows: Weights of the outcomes of the first bits, (len(features), 2**first_bits).
        features: Features that the rows belong to.
        total: Number of all features.
        parity_bits: Number of the other bits, each of which contributes its value of Z as a factor.

    Returns:
        The weights of all features.
    """
    count, outcomes = rows.shape
    index = np.repeat(features, outcomes), np.tile(np.arange(outcomes), count)
    return OutcomeWeights(csr_array((rows.reshape(-1), index), shape=(total, outcomes)), parity_bits)


def qubits_set(index: int, qubits: Sequence[cirq.Qid]) -> list[cirq.Qid]:
    """Return the qubits that are 1 in a basis state, big-endian."""
    n = len(qubits)
    return [q for i, q in enumerate(qubits) if index >> (n - 1 - i) & 1]
