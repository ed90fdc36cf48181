"""M x of models with measurements, feed-forward, resets and noise: the exact ways, and the choice of the cheapest.

These ways are exact for every circuit with channels. The unitary circuit on data and environment qubits (`circuits.dilation`)
takes state vectors of 2**(n + e) amplitudes, with e = 0 where measured qubits only control other gates; noise adds to e. In the
Heisenberg picture the observable is evolved backwards through gates and noise, which takes 4**(n + e') numbers once, where e'
does not count noise, and gives the whole matrix M. Where both are too large, qubits of the state vector that are no longer
acted on become the branches of a tree, which limits the memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import cirq
import numpy as np

from hattriq_cirq.circuits.channels import Instruction, kraus_operators
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.simulation import noisy_program, statevector
from hattriq_cirq.simulation.branch_tree import BranchTree
from hattriq_cirq.simulation.evolved_observable import (
    EvolvedObservable,
    MatrixObservable,
    ObservableOnAxes,
    reaching_gates,
)
from hattriq_cirq.simulation.heisenberg import evolved_matrix

_STATE_QUBITS_MAX = 22  # of a state vector: 2**22 amplitudes are 64 MB
_TREE_QUBITS_MAX = 30  # of all branches together: 2**30 amplitudes take minutes
_TRACE_MAX = 28  # the trace of M is not computed unasked if it takes more than 2**28 amplitudes
_HEISENBERG_QUBITS_MAX = 12  # 4**12 numbers are 128 MB
_HEISENBERG_COST = 4  # multiplications of the Heisenberg picture in units of those of a gate on states
_UNITAL = 1e-12  # largest entry of sum K K' - 1 of a channel that keeps the maximally mixed state
_PAULI_INDEX = {cirq.X: 1, cirq.Y: 2, cirq.Z: 3}


class DilatedModel(Protocol):
    """Circuit without symbols on data qubits and on an environment in |0>, and the observable that follows it."""

    @property
    def resolved_circuit(self) -> cirq.FrozenCircuit:
        """Circuit of gates, and of noise if it was kept."""

    @property
    def qubits(self) -> Sequence[cirq.Qid]:
        """Data qubits."""

    @property
    def environment(self) -> Sequence[cirq.Qid]:
        """Qubits that start in |0>."""

    @property
    def register(self) -> Sequence[cirq.Qid]:
        """Data qubits, and behind them the environment."""

    @property
    def pauli_sum(self) -> cirq.PauliSum:
        """Observable."""


def evolve_observable(dilated: DilatedModel, with_noise: Callable[[], DilatedModel]) -> ObservableOnAxes:
    """Return M of a model with channels, computed in the way that takes the least work.

    Args:
        dilated: The model as a unitary circuit on data and environment qubits.
        with_noise: Function that returns it with its noise kept as channels.

    Returns:
        M as it acts on inputs.

    Raises:
        ValueError: Neither way fits into memory.
    """
    operations, gates = statevector.constant_gates(dilated.resolved_circuit, dilated.register)
    data, outside = _reached(gates, dilated)
    if outside:
        noisy = with_noise()
        own_data, own_outside = _reached(_outlines(noisy), noisy)
        axes = own_data + own_outside
        by_states, by_strings = 2 * data + outside, 2 * axes + _HEISENBERG_COST.bit_length() - 1
        if axes <= _HEISENBERG_QUBITS_MAX and (by_strings < by_states or data + outside > _STATE_QUBITS_MAX):
            return heisenberg(noisy)
    if data + outside > _STATE_QUBITS_MAX and outside:
        tree = branch_tree(dilated, _STATE_QUBITS_MAX)
        if data + outside <= _TREE_QUBITS_MAX and tree.widest <= _STATE_QUBITS_MAX:
            return tree
        raise ValueError(
            f"M x of the model takes state vectors of {data} data and {outside} environment qubits, at most "
            f"{_STATE_QUBITS_MAX} at a time and {_TREE_QUBITS_MAX} in all; use less noise, or fewer measurements of "
            "qubits that are acted on again"
        )
    return EvolvedObservable.of(operations, gates, dilated.pauli_sum, dilated.qubits, dilated.environment)


def describe_evolution(found: ObservableOnAxes) -> str:
    """Return the way in which M x is computed, in words."""
    if isinstance(found, MatrixObservable):
        return "the Heisenberg picture"
    if isinstance(found, BranchTree):
        return f"a tree of {2**found.branches:,} branches"
    extra = quantity(found.environment, "environment qubit") if found.environment else "no extra qubit"
    return f"a unitary circuit with {extra}"


def describe_instructions(instructions: Sequence[Instruction]) -> str:
    """Return the numbers of measurements, conditional operations, resets and further channels, in words."""
    counts = Counter[str]()
    for one in instructions:
        if one.kind == "measurement":
            counts["measurement"] += 1
        elif one.kind == "channel":
            counts["reset" if one.is_reset else "channel"] += 1
        if one.conditions:
            counts["conditional operation"] += 1
    return ", ".join(
        quantity(counts[name], name) for name in ("measurement", "conditional operation", "reset", "channel") if counts[name]
    )


def is_trace_cheap(found: ObservableOnAxes) -> bool:
    """Return True if the trace of M takes little time."""
    return found.has_matrix or 2 * len(found.axes) + found.environment <= _TRACE_MAX


def is_unital(instructions: Sequence[Instruction]) -> bool:
    """Return True if no step of a circuit makes the maximally mixed state less mixed, so that tr(M) = tr(O)."""
    return all(
        not one.conditions and (one.kind != "channel" or _keeps_mixture(kraus_operators(one.operation))) for one in instructions
    )


def _keeps_mixture(operators: Array) -> bool:
    total = np.einsum("rab,rcb->ac", operators, operators.conj())
    return bool(np.abs(total - np.eye(len(total))).max() <= _UNITAL)


def branch_tree(model: DilatedModel, largest: int) -> BranchTree:
    """Return M of a dilated model by branches, with states of a largest wanted number of qubits."""
    _, gates = statevector.constant_gates(model.resolved_circuit, model.register)
    kept, axes = _kept(gates, model)
    place = {q: i for i, q in enumerate(model.register)}
    terms = [(float(term.coefficient.real), {place[q]: pauli for q, pauli in term.items()}) for term in model.pauli_sum]
    data = [axis for axis in axes if axis < len(model.qubits)]
    return BranchTree.of([gates[i] for i in kept], terms, len(model.qubits), data or [0], largest)


def _outlines(model: DilatedModel) -> list[statevector.Gate]:
    """Return the axes of all gates and channels of a model, in order."""
    axis_of = {q: i for i, q in enumerate(model.register)}
    return [statevector.Gate(tuple(axis_of[q] for q in op.qubits), None, diagonal=False) for op in _operations(model)]


def _operations(model: DilatedModel) -> list[cirq.Operation]:
    return [op for op in statevector.elementary_operations(model.resolved_circuit) if op.qubits]


def _reached(gates: Sequence[statevector.Gate], model: DilatedModel) -> tuple[int, int]:
    """Return the numbers of data and of environment qubits on which M depends."""
    axes = set(_kept(gates, model)[1])
    data = sum(axis < len(model.qubits) for axis in axes)
    return data, len(axes) - data


def _kept(gates: Sequence[statevector.Gate], model: DilatedModel) -> tuple[list[int], list[int]]:
    """Return the indices of the gates that reach the observable, and all axes that these or the observable act on."""
    axis_of = {q: i for i, q in enumerate(model.register)}
    factors = [(axis_of[q], pauli) for term in model.pauli_sum for q, pauli in term.items()]
    reached = {axis for axis, _ in factors}
    kept = reaching_gates(gates, reached, {axis for axis, pauli in factors if pauli != cirq.Z})
    return kept, sorted(reached.union(*(gates[i].axes for i in kept)))


def heisenberg(model: DilatedModel) -> MatrixObservable:
    """Return M of a dilated model with noise, by evolving the observable backwards through what reaches it."""
    kept, axes = _kept(_outlines(model), model)
    operations = _operations(model)
    register = [model.register[axis] for axis in axes]
    place = {q: i for i, q in enumerate(register)}
    data = tuple(axis for axis in axes if axis < len(model.qubits))
    steps = noisy_program.steps_of((operations[i] for i in kept), register)
    terms = [
        (float(term.coefficient.real), {place[q]: _PAULI_INDEX[pauli] for q, pauli in term.items()}) for term in model.pauli_sum
    ]
    matrix = evolved_matrix(steps, terms, len(register), len(data))
    return MatrixObservable(len(model.qubits), data or (0,), matrix if data else matrix * [[1, 0], [0, 1]])
