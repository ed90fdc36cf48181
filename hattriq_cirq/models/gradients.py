"""Derivatives of circuits by the parameters with the adjoint method, on batches and window by window.

For a loss L = sum_i g_i <x_i|U' O U|x_i>, the states psi = U x and lambda = g O U x are propagated back through the circuit
together (Jones and Gacon 2020). All gates of a window share one cross matrix X = tr_rest |psi><lambda|, a single matrix
product over the batch; the derivative by the exponent t of a gate exp(i pi t H) in it is -2 pi Im tr(H X), with X propagated
back through the small window only. Batches may lie on a device; windows, expectations and losses are NumPy's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import repeat
from operator import add
from typing import Any

import cirq
import numpy as np
import sympy

from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.devices import namespace
from hattriq_cirq.foundation.rows import beside, conjugate, home, imag, inner_product, is_complex, real
from hattriq_cirq.models.model import Model
from hattriq_cirq.simulation import statevector

LossFunction = Callable[[FloatArray], tuple[float, FloatArray]]
_SAME = 1e-9  # difference of two eigenvalues that rounding causes
_MATRIX_FROM = 2.5  # samples per amplitude from which it is faster to compute M (measured for n = 4 .. 10)


@dataclass(frozen=True)
class _Rotation:
    """A gate exp(i pi t H), with t affine in the parameters and H given by its eigenvalues and projectors."""

    axes: tuple[int, ...]
    eigenvalues: FloatArray
    projectors: Array
    slope: FloatArray
    offset: float


@dataclass(frozen=True)
class _Window:
    """A group of gates of a trainable program: constants and rotations in order, every matrix on the whole window.

    `order` contains for each step the index of a rotation, or -1 - the index of a constant. The projectors are padded
    with zeros to a common number of eigenvalues: (rotations, eigenvalues, dim, dim).
    """

    axes: tuple[int, ...]
    order: tuple[int, ...]
    constants: tuple[Array, ...]
    rotations: tuple[int, ...]
    eigenvalues: FloatArray
    projectors: Array
    generators: Array

    def unitaries(self, exponents: FloatArray) -> Array:
        """Return the matrices of the rotations, (rotations, dim, dim), for the exponents of all rotations of the program."""
        count, eigenvalues, dim, _ = self.projectors.shape
        phases = np.exp(1j * np.pi * exponents[list(self.rotations), np.newaxis] * self.eigenvalues)
        flat = self.projectors.reshape(count, eigenvalues, dim * dim)
        return np.asarray(np.matmul(phases[:, np.newaxis, :], flat).reshape(count, dim, dim))

    def steps(self, unitaries: Array) -> list[Array]:
        """Return the matrices in order of application."""
        return [unitaries[i] if i >= 0 else self.constants[-1 - i] for i in self.order]

    def derivatives(self, steps: Sequence[Array], cross: Array) -> FloatArray:
        """Return 2 Re <lambda|d psi/dt> per rotation, from the cross matrix X = tr_rest |psi><lambda| after the window."""
        at_rotation = np.empty(self.generators.shape, dtype=np.complex128)
        for i, step in zip(reversed(self.order), reversed(steps), strict=True):
            if i >= 0:
                at_rotation[i] = cross
            cross = step.conj().T @ cross @ step
        traces = np.einsum("tab,tba->t", self.generators, at_rotation)
        return np.asarray(-2 * np.pi * traces.imag)


class TrainableProgram:
    """A model's circuit with its symbols left free, compiled once for many parameter vectors.

    Args:
        model: Model whose symbols are differentiated; their order is `names`. Every gate with a symbol must be a power of a
            Pauli, a rotation or another `cirq.EigenGate`, with an exponent affine in the symbols, or decompose into such gates.
            Measurements and noise are replaced by a unitary circuit with an environment (`Model.dilated`).
        observables: Observables whose expectations the loss combines, in place of the model's own; they need a unitary circuit
            without an environment.

    Raises:
        ValueError: The model has no symbol, or a gate cannot be differentiated.

    Example:
        >>> from hattriq_cirq import ring_ansatz
        >>> program = TrainableProgram(ring_ansatz(1, 0))
        >>> program.names, program.expectations(np.array([0.0, np.pi]), np.eye(2)).round(6)
        (('z0_0', 'y0_0'), array([-1.,  1.]))
    """

    def __init__(self, model: Model, observables: Sequence[cirq.PauliSum] | None = None) -> None:
        if observables is not None and (not model.is_unitary or model.environment):
            raise ValueError("several observables need a unitary circuit on the data qubits alone; give the model one")
        model = model.dilated()
        self.n_qubits, self._outside = len(model.register), 2 ** len(model.environment)
        self.names = tuple(model.params)
        if not self.names:
            raise ValueError("the model has no parameters to train; build its circuit with sympy symbols")
        axis_of = {q: i for i, q in enumerate(model.register)}
        column = {name: i for i, name in enumerate(self.names)}
        parts = [
            _rotation(op, axis_of, column) if cirq.is_parameterized(op) else statevector.constant_gate(op, axis_of)
            for whole in statevector.elementary_operations(model.circuit)
            for op in _differentiable(whole)
        ]
        outlines = [p if isinstance(p, statevector.Gate) else statevector.Gate(p.axes, None, diagonal=False) for p in parts]
        rotations = [i for i, part in enumerate(parts) if isinstance(part, _Rotation)]
        position = {part: rotation for rotation, part in enumerate(rotations)}
        self._slopes = np.stack([p.slope for p in parts if isinstance(p, _Rotation)])
        self._offsets = np.array([p.offset for p in parts if isinstance(p, _Rotation)])
        self._eigenvalues = [p.eigenvalues for p in parts if isinstance(p, _Rotation)]
        self._groups: list[_Window | statevector.Block] = []
        for group in statevector.gather(outlines, self.n_qubits):
            members = [parts[i] for i in group.members]
            gates = [m for m in members if isinstance(m, statevector.Gate)]
            if len(gates) == len(members):
                self._groups += statevector.FusedCircuit.from_gates(self.n_qubits, gates).blocks
            else:
                self._groups.append(_window(group.axes, members, [position.get(i, -1) for i in group.members]))
        self._first = next(i for i, group in enumerate(self._groups) if isinstance(group, _Window))
        self._action = statevector.PauliAction.of(model.pauli_sum, model.register)
        self._observed = _Observable(self._action) if observables is None else _Observables.of(observables, model.qubits)

    def expectations(self, theta: FloatArray, x: Any) -> FloatArray:
        """Return F of every column of a batch for one parameter vector, (samples,); (observables, samples) if they were given.

        Args:
            theta: Parameters, (params,), in the order of `names`.
            x: Amplitudes, (features, samples), one state per column, of NumPy or on a device.
        """
        return self._observed.expectations(self._bind(theta)[0], self._beside_environment(x))

    def loss_gradient(self, theta: FloatArray, x: Any, loss: LossFunction) -> tuple[float, FloatArray]:
        """Return a loss of the expectations of a batch, and its gradient by the parameters.

        Args:
            theta: Parameters, (params,), in the order of `names`.
            x: Amplitudes, (features, samples), one state per column, of NumPy or on a device.
            loss: Function from the expectations, in the shape of `expectations`, to the loss and its derivative by each.

        Returns:
            The loss and its gradient, (params,).
        """
        program, steps = self._bind(theta)
        x = self._beside_environment(x)
        value, states, costates = self._observed.ends(program, x, loss)
        # lambda is stored conjugated, so that <lambda| is a view; its blocks are transposed where those of psi are adjoint
        costates = conjugate(costates)
        xp, blocks, crosses = namespace(states), program.blocks, list[tuple[int, Any]]()
        buffers: list[Iterator[Array | None]] = [repeat(None), repeat(None)]  # a device takes new memory for each step
        if xp is np:
            buffers = [statevector.two_buffers(states.shape, np.complex128) for _ in buffers]
        else:
            states, costates = (xp.astype(batch, xp.complex128) for batch in (states, costates))
            blocks = program.beside(states)
        for i in range(len(self._groups) - 1, self._first - 1, -1):
            group, block = self._groups[i], blocks[i]
            if isinstance(group, _Window):
                psi, bra = (_by_window(batch, group.axes, self.n_qubits) for batch in (states, costates))
                # tr_rest |psi><lambda|, summed over the batch
                crosses.append((i, xp.sum(xp.matmul(psi, xp.permute_dims(bra, (0, 2, 1))), axis=0)))
            if i > self._first:
                states = block.adjoint.apply(states, self.n_qubits, out=next(buffers[0]))
                costates = block.transpose.apply(costates, self.n_qubits, out=next(buffers[1]))
        by_exponent = np.zeros(len(self._offsets))
        for i, cross in crosses:  # all of them, so that a device has gone through the circuit before the first comes home
            window = self._groups[i]
            assert isinstance(window, _Window)
            by_exponent[list(window.rotations)] = window.derivatives(steps[i], home(cross))
        return value, by_exponent @ self._slopes

    def action_derivatives(self, theta: FloatArray, x: Array) -> Array:
        """Return the derivatives of M x by the parameters, for a batch.

        M depends on the exponent t of a gate exp(i pi t H) by the frequencies pi (h - h') of its eigenvalues, so that its
        derivative is a sum of differences M(t + s) - M(t - s), with one shift s for each frequency (Wierichs et al. 2022).

        Args:
            theta: Parameters, (params,), in the order of `names`.
            x: Amplitudes, (features, samples), one state per column.

        Returns:
            d(M x) / dtheta_j, (params, features, samples).
        """
        exponents = self._slopes @ theta + self._offsets
        x = self._beside_environment(x)
        total = np.zeros((len(self.names), *x.shape), dtype=np.complex128)
        for i, eigenvalues in enumerate(self._eigenvalues):
            moved = np.zeros(x.shape, dtype=np.complex128)
            for shift, weight in _shift_rule(eigenvalues):
                for sign in (1, -1):
                    at = exponents.copy()
                    at[i] += sign * shift
                    moved += sign * weight * self._action_at(at, x)
            total += self._slopes[i][:, np.newaxis, np.newaxis] * moved
        return total[:, :: self._outside]

    def _action_at(self, exponents: FloatArray, x: Array) -> Array:
        """Return M x for the exponents of all rotations."""
        program = self._bind_exponents(exponents)[0]
        return np.asarray(program.adjoint.apply(self._action.apply(program.apply(x))))

    def _beside_environment(self, x: Any) -> Any:
        """Return states, (features, samples), as states of all qubits, those of the environment in |0>."""
        if self._outside == 1:
            return x
        if type(x) is not np.ndarray:
            xp, (features, samples) = namespace(x), x.shape
            nothing = xp.zeros((features, self._outside - 1, samples), dtype=x.dtype, device=x.device)
            return xp.reshape(xp.concat([xp.reshape(x, (features, 1, samples)), nothing], axis=1), (-1, samples))
        wide = np.zeros((len(x), self._outside, x.shape[1]), dtype=x.dtype)
        wide[:, 0] = x
        return wide.reshape(-1, x.shape[1])

    def _bind(self, theta: FloatArray) -> tuple[statevector.FusedCircuit, list[list[Array]]]:
        """Return the circuit for these parameters, and the matrices inside each of its windows."""
        return self._bind_exponents(self._slopes @ theta + self._offsets)

    def _bind_exponents(self, exponents: FloatArray) -> tuple[statevector.FusedCircuit, list[list[Array]]]:
        """Return the circuit for the exponents of its rotations, and the matrices inside each of its windows."""
        blocks: list[statevector.Block] = []
        steps: list[list[Array]] = []
        for group in self._groups:
            if isinstance(group, _Window):
                inside = group.steps(group.unitaries(exponents))
                product = inside[0]
                for step in inside[1:]:
                    product = step @ product
                blocks.append(statevector.Block(group.axes, statevector.drop_zero_imaginary(product)))
                steps.append(inside)
            else:
                blocks.append(group)
                steps.append([])
        return statevector.FusedCircuit(self.n_qubits, tuple(blocks)), steps


@dataclass(frozen=True)
class _Observable:
    """A single observable."""

    action: statevector.PauliAction

    def expectations(self, program: statevector.FusedCircuit, x: Any) -> FloatArray:
        """Return the expectations of a batch, (samples,)."""
        expectations: FloatArray = self._forward(program, x)[-1]
        return expectations

    def ends(self, program: statevector.FusedCircuit, x: Any, loss: LossFunction) -> tuple[float, Any, Any]:
        """Return the loss, and states psi and lambda after the circuit: the sum of |psi><lambda| over their columns counts."""
        states, observed, expectations = self._forward(program, x)
        value, slopes = loss(expectations)
        weights = beside(x, slopes)
        if states.shape == x.shape:
            return value, states, observed * weights
        return value, states, self.action.apply(program.apply((x * weights) @ conjugate(x).T))

    def _forward(self, program: statevector.FusedCircuit, x: Any) -> tuple[Any, Any, FloatArray]:
        """Return states U c, O U c, and the expectations of x; c is x, or the whole basis if that is the smaller batch."""
        states = program.apply(_basis(x) if _is_large(x) else x)
        observed = self.action.apply(states)
        if not _is_large(x):
            return states, observed, _overlaps(states, observed)
        matrix = program.adjoint.apply(observed)
        acted = (matrix if is_complex(x) else real(matrix)) @ x
        return states, observed, _overlaps(x, acted)


@dataclass(frozen=True)
class _Observables:
    """Several observables.

    `diagonals` is the matrix of their diagonals, (observables, features), if all of them are diagonal, else None.
    """

    actions: tuple[statevector.PauliAction, ...]
    diagonals: FloatArray | None

    @classmethod
    def of(cls, observables: Sequence[cirq.PauliSum], qubits: Sequence[cirq.Qid]) -> _Observables:
        actions = tuple(statevector.PauliAction.of(each, qubits) for each in observables)
        is_diagonal = all(flips == 0 for action in actions for flips, _ in action.phases)
        return cls(actions, np.stack([action.phases[0][1].real for action in actions]) if is_diagonal else None)

    def expectations(self, program: statevector.FusedCircuit, x: Any) -> FloatArray:
        """Return the expectations of a batch, (observables, samples)."""
        return self._of_states(_evolve(program, x))

    def ends(self, program: statevector.FusedCircuit, x: Any, loss: LossFunction) -> tuple[float, Any, Any]:
        """Return the loss, and states psi and lambda after the circuit: the sum of |psi><lambda| over their columns counts."""
        states = _evolve(program, x)
        value, slopes = loss(self._of_states(states))
        weights = beside(states, slopes)
        if self.diagonals is not None:
            costates = states * (beside(states, self.diagonals).T @ weights)
        else:
            parts = (action.apply(states) * weights[i, :] for i, action in enumerate(self.actions))
            costates = reduce(add, parts)
        if _is_large(x):  # the sum C is also that of (C|k>)<k|, over fewer columns
            return value, states @ conjugate(costates).T, _basis(x)
        return value, states, costates

    def _of_states(self, states: Any) -> FloatArray:
        if self.diagonals is not None:
            squares = real(states) ** 2 + (imag(states) ** 2 if is_complex(states) else 0)
            return home(beside(states, self.diagonals) @ squares)
        return np.stack([_overlaps(states, action.apply(states)) for action in self.actions])


def _evolve(program: statevector.FusedCircuit, x: Any) -> Any:
    if not _is_large(x):
        return program.apply(x)
    matrix = program.apply(_basis(x))
    return matrix @ namespace(x).astype(x, matrix.dtype, copy=False) if type(x) is not np.ndarray else matrix @ x


def _basis(x: Any) -> Any:
    """Return the states of the whole basis, (features, features), where a batch is."""
    if type(x) is np.ndarray:
        return np.eye(len(x))
    xp = namespace(x)
    return xp.eye(x.shape[0], dtype=xp.float64, device=x.device)


def _overlaps(left: Any, right: Any) -> FloatArray:
    """Return Re <left|right> of each column."""
    if type(left) is np.ndarray:
        return np.asarray(np.einsum("ks,ks->s", left.conj(), right).real)
    return inner_product(left.T, right.T)


def _is_large(x: Any) -> bool:
    """True if a batch has so many samples that it is faster to propagate the whole basis."""
    return bool(x.shape[1] > _MATRIX_FROM * x.shape[0])


def _shift_rule(eigenvalues: FloatArray) -> list[tuple[float, float]]:
    """Return shifts s and weights w with f'(t) = sum_s w (f(t + s) - f(t - s)) for all frequencies of exp(i pi t H)."""
    differences = np.abs(eigenvalues[:, np.newaxis] - eigenvalues)
    gaps = np.unique(differences[differences > _SAME].round(9))
    if not len(gaps):
        return []
    frequencies = np.pi * gaps
    shifts = np.pi * (2 * np.arange(1, len(gaps) + 1) - 1) / (2 * len(gaps) * frequencies[0])
    if len(gaps) == 1:
        return [(float(shifts[0]), float(frequencies[0] / 2))]
    weights = np.linalg.solve(2 * np.sin(np.outer(frequencies, shifts)), frequencies)
    return list(zip(shifts.tolist(), weights.tolist(), strict=True))


def _by_window(batch: Any, axes: Sequence[int], n_qubits: int) -> Any:
    """Return a batch as (before, window, after); axes that are not neighbours are moved to the front."""
    xp, width = namespace(batch), len(axes)
    if axes[-1] - axes[0] == width - 1:
        return xp.reshape(batch, (2 ** axes[0], 2**width, -1))
    tensor = xp.reshape(batch, (2,) * n_qubits + (-1,))
    return xp.reshape(xp.moveaxis(tensor, tuple(axes), tuple(range(width))), (1, 2**width, -1))


def _differentiable(operation: cirq.Operation) -> list[cirq.Operation]:
    """Return the operation, decomposed until every part with a symbol is a power of a constant gate."""
    if not cirq.is_parameterized(operation) or _power(operation.gate) is not None:
        return [operation]
    parts = cirq.decompose_once(operation, default=None)
    if parts is None or operation in parts:
        raise ValueError(
            f"{operation} cannot be differentiated; write it with rotations or powers of gates, such as cirq.ry(symbol)"
        )
    return [leaf for part in parts for leaf in _differentiable(part)]


def _power(gate: cirq.Gate | None) -> tuple[sympy.Expr, FloatArray, Array] | None:
    """Return t, the eigenvalues of H and its projectors for a gate exp(i pi t H); None for any other gate."""
    if isinstance(gate, cirq.EigenGate) and cirq.parameter_names(gate) == cirq.parameter_names(gate.exponent):
        components = gate._eigen_components()
        eigenvalues = np.array([half_turns + gate.global_shift for half_turns, _ in components], dtype=float)
        return sympy.sympify(gate.exponent), eigenvalues, np.stack([np.asarray(p) for _, p in components])
    if isinstance(gate, cirq.ControlledGate) and gate.control_values.is_trivial:
        inner = _power(gate.sub_gate)
        if inner is None:
            return None
        exponent, eigenvalues, projectors = inner
        dim = projectors.shape[-1]
        size = dim * 2 ** gate.num_controls()
        wide = np.zeros((len(eigenvalues) + 1, size, size), dtype=np.complex128)
        wide[1:, -dim:, -dim:] = projectors  # all controls 1
        wide[0, :-dim, :-dim] = np.eye(size - dim)
        return exponent, np.concatenate([[0.0], eigenvalues]), wide
    return None


def _rotation(operation: cirq.Operation, axis_of: Mapping[cirq.Qid, int], column: Mapping[str, int]) -> _Rotation:
    power = _power(operation.gate)
    assert power is not None
    exponent, eigenvalues, projectors = power
    slope = np.zeros(len(column))
    for symbol in exponent.free_symbols:
        derivative = exponent.diff(symbol)
        if derivative.free_symbols:
            raise ValueError(f"{operation}: the exponent {exponent} must be affine in {symbol} to be differentiated")
        slope[column[str(symbol)]] = float(derivative)
    offset = float(exponent.subs(dict.fromkeys(exponent.free_symbols, 0)))
    return _Rotation(tuple(axis_of[q] for q in operation.qubits), eigenvalues, projectors, slope, offset)


def _window(axes: Sequence[int], members: Sequence[_Rotation | statevector.Gate], positions: Sequence[int]) -> _Window:
    """Combine gates in one window; `positions` are the indices of its rotations among all rotations of the program."""
    order: list[int] = []
    constants: list[Array] = []
    rotations = [m for m in members if isinstance(m, _Rotation)]
    most = max(len(t.eigenvalues) for t in rotations)
    dim = 2 ** len(axes)
    eigenvalues = np.zeros((len(rotations), most))
    projectors = np.zeros((len(rotations), most, dim, dim), dtype=np.complex128)
    for member in members:
        if isinstance(member, _Rotation):
            rotation = sum(i >= 0 for i in order)
            order.append(rotation)
            eigenvalues[rotation, : len(member.eigenvalues)] = member.eigenvalues
            for i, projector in enumerate(member.projectors):
                projectors[rotation, i] = statevector.embed(projector, member.axes, axes)
        else:
            assert member.matrix is not None
            order.append(-1 - len(constants))
            constants.append(statevector.embed(member.matrix, member.axes, axes))
    generators = np.einsum("te,teab->tab", eigenvalues, projectors)
    places = tuple(p for p in positions if p >= 0)
    return _Window(tuple(axes), tuple(order), tuple(constants), places, eigenvalues, projectors, generators)
