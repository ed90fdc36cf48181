"""Circuits that measure an observable M = U' O U in product states: no state preparation beyond one rotation per qubit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cirq
import numpy as np
import sympy
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hattriq_cirq.circuits.light_cone import light_cone
from hattriq_cirq.circuits.outcomes import MAX_DENSE_BITS, OutcomeWeights
from hattriq_cirq.circuits.program import ParameterizedCircuit
from hattriq_cirq.estimators.bilinear import KEY, PauliTerm, pauli_terms
from hattriq_cirq.foundation.arrays import FloatArray, parity_signs
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.models.model import Model
from hattriq_cirq.models.pauli_strings import ProductStates


@dataclass(frozen=True, eq=False)
class ProbeStructure:
    """The one circuit structure by which some strings of observables are measured together.

    The strings agree wherever two of them act on the same qubit, so that one measurement of each qubit gives all of them. Only
    the gates in their light cone are run, and only their qubits are read.

    Args:
        model: Model with the circuit U.
        terms: Strings of its observable, or of several observables; their own coefficients play no part.
        coefficients: Coefficient of each string in each observable, (observables, strings).

    Example:
        >>> import hattriq_cirq as hq
        >>> a, b = cirq.LineQubit.range(2)
        >>> model = hq.ring_ansatz(2, 1)
        >>> (structure,) = probe_structures(model.with_observable(cirq.Z(a) * cirq.Z(b) + 2 * cirq.Z(a)))
        >>> structure.size, structure.weights.explicit.toarray().tolist()
        (3.0, [[3.0, 1.0, -3.0, -1.0]])
        >>> (both,) = probe_structures(model.with_observable(cirq.Z(a)), model.with_observable(cirq.Z(b)))
        >>> both.weights.explicit.toarray().tolist()
        [[1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0]]
    """

    model: Model
    terms: tuple[PauliTerm, ...]
    coefficients: FloatArray

    @property
    def sizes(self) -> FloatArray:
        """Sum of the absolute coefficients of each observable: its largest value in one shot, (observables,)."""
        return np.asarray(np.abs(self.coefficients).sum(axis=1))

    @property
    def size(self) -> float:
        """Largest value of any observable in one shot."""
        return float(self.sizes.max())

    @cached_property
    def qubits(self) -> tuple[cirq.Qid, ...]:
        """Qubits that are read, in order."""
        return tuple(q for q in self.model.register if any(q in term.pauli for term in self.terms))

    @cached_property
    def weights(self) -> OutcomeWeights:
        """Weights of the outcomes, (observables, 2**bits), whose expectations are those of the observables' parts."""
        bits = len(self.qubits)
        if len(self.terms) == 1:
            return OutcomeWeights(csr_array(self.coefficients), bits)
        if bits > MAX_DENSE_BITS:
            raise ValueError(f"strings on {bits} qubits together cannot be measured at once, at most {MAX_DENSE_BITS}")
        outcomes = np.arange(2**bits)
        masks = [sum(1 << (bits - 1 - i) for i, q in enumerate(self.qubits) if q in term.pauli) for term in self.terms]
        return OutcomeWeights(csr_array(self.coefficients @ [parity_signs(outcomes & mask) for mask in masks]))

    @cached_property
    def body(self) -> cirq.FrozenCircuit:
        """U without the gates that cancel in U' P U for all strings P."""
        if len(self.terms) == 1:
            return self.terms[0].circuit
        return light_cone(self.model.resolved_circuit, *(term.pauli for term in self.terms))

    @cached_property
    def probed(self) -> tuple[int, ...]:
        """Positions of the model's qubits that the values depend on, in order."""
        used = {*self.body.all_qubits(), *self.qubits}
        return tuple(i for i, q in enumerate(self.model.qubits) if q in used)

    def circuits(self, states: ProductStates, y_flipped: NDArray[np.bool_]) -> list[cirq.Circuit]:
        """Return the circuit of each state, in which the sign of every Y is flipped where asked, (states,)."""
        rows = _angles(states, y_flipped)[:, self.probed].tolist()
        return [
            self._circuit([gate(q) for q, (y, z) in zip(self._inputs, row, strict=True) for gate in (cirq.ry(y), cirq.rz(z))])
            for row in track(rows, "build circuits", "circuit")
        ]

    def program(self, states: ProductStates, y_flipped: NDArray[np.bool_], requests: Sequence[int]) -> ParameterizedCircuit:
        """Return the same circuits as one program and a sweep, as the given requests."""
        names = [(f"probe_y{i}", f"probe_z{i}") for i in self.probed]
        symbols = [tuple(map(sympy.Symbol, pair)) for pair in names]
        circuit = self._circuit(
            [
                cirq.PhasedXZGate(x_exponent=y, z_exponent=z, axis_phase_exponent=0.5)(q)
                for q, (y, z) in zip(self._inputs, symbols, strict=True)
            ]
        )
        flat = [name for pair in names for name in pair]
        rows = (_angles(states, y_flipped)[:, self.probed] / np.pi).reshape(len(states), -1).tolist()
        points = tuple(dict(zip(flat, row, strict=True)) for row in rows)
        return ParameterizedCircuit(circuit.freeze(), tuple(requests), points)

    @property
    def _inputs(self) -> list[cirq.Qid]:
        return [self.model.qubits[i] for i in self.probed]

    def _circuit(self, prepared: Sequence[cirq.Operation]) -> cirq.Circuit:
        """Return the circuit after operations that prepare a state."""
        pauli: dict[cirq.Qid, PauliTerm] = {q: term for term in self.terms for q in term.pauli}
        turned = [op for q, term in pauli.items() for op in term.basis_change if op.qubits == (q,)]
        measured = cirq.Moment(cirq.measure(*self.qubits, key=KEY))
        return cirq.Circuit(cirq.Circuit(prepared), *self.body, cirq.Circuit(turned), measured)


def probe_structures(*models: Model) -> list[ProbeStructure]:
    """Return the circuit structures that together measure the observables of models: one where all strings can be read at once.

    Args:
        models: Models with the same circuit, one for each observable.
    """
    terms: dict[cirq.PauliString[cirq.Qid], PauliTerm] = {}
    coefficients: dict[cirq.PauliString[cirq.Qid], FloatArray] = {}
    for i, model in enumerate(models):
        for term in pauli_terms(model):
            terms.setdefault(term.pauli, term)
            coefficients.setdefault(term.pauli, np.zeros(len(models)))[i] = term.coefficient
    groups: list[list[PauliTerm]] = []
    for term in terms.values():
        for group in groups:
            if all(term.pauli[q] == other.pauli[q] for other in group for q in term.pauli if q in other.pauli):
                group.append(term)
                break
        else:
            groups.append([term])
    return [
        ProbeStructure(models[0], tuple(group), np.array([coefficients[term.pauli] for term in group]).T) for group in groups
    ]


def _angles(states: ProductStates, y_flipped: NDArray[np.bool_]) -> FloatArray:
    """Return the angles of the rotations about Y and Z that prepare each qubit from 0, (states, qubits, 2)."""
    n = states.bases.n_qubits
    shifts = np.arange(n - 1, -1, -1)
    signs = np.where(y_flipped, states.signs ^ states.y_masks, states.signs)
    x, z, minus = (masks[:, np.newaxis] >> shifts & 1 for masks in (states.bases.x_masks, states.bases.z_masks, signs))
    sign = 1 - 2 * minus
    is_y = (x & z).astype(bool)
    about_y = np.where(is_y, np.pi / 2, np.where(x == 1, sign * np.pi / 2, minus * np.pi))
    return np.stack([about_y, np.where(is_y, sign * np.pi / 2, 0.0)], axis=-1)
