"""The observable U' O U of a circuit, on the qubits on which it is not the identity.

With an environment, qubits that start in |0> and are not read, it is <0|U' O U|0> as it acts on the other qubits.

Gates that do not reach the observable cancel, and so do whole qubits: O on one qubit of a shallow circuit acts on few qubits,
whatever the size of the register. All other qubits only number independent vectors, like the inputs of a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import cirq
import numpy as np

from hattriq_cirq.circuits.unitaries import inverse_circuit
from hattriq_cirq.foundation.arrays import Array, read_only
from hattriq_cirq.foundation.devices import Device, namespace
from hattriq_cirq.foundation.rows import home, is_complex, is_single, real
from hattriq_cirq.simulation import statevector
from hattriq_cirq.simulation.statevector import (
    FusedCircuit,
    Gate,
    PauliAction,
    Precision,
    drop_zero_imaginary,
    dtypes,
    embed,
    qsim_apply,
)

_MATRIX_AT_ONCE = 2**8  # rows up to which building the matrix takes less time than creating and compiling a model
_MATRIX_MAX = 2**10  # rows up to which the matrix is built and kept automatically (16 MB)


def reaching_gates(gates: Sequence[Gate], axes: set[int], flipped: set[int]) -> list[int]:
    """Return the indices of the gates that do not cancel in U' O U.

    A gate cancels if it commutes with the observable and with all gates that are kept after it: if they have no axis in common,
    or if all are diagonal on the common axes. No numbers are compared, so that nothing is rounded.

    Args:
        gates: Gates in circuit order.
        axes: Axes that the observable acts on.
        flipped: Axes on which a term of the observable is not diagonal.

    Returns:
        The indices, in order.

    Example:
        >>> from hattriq_cirq.simulation import statevector
        >>> a, b = cirq.LineQubit.range(2)
        >>> gates = [statevector.constant_gate(op, {a: 0, b: 1}) for op in (cirq.H(a), cirq.H(b), cirq.CZ(a, b))]
        >>> reaching_gates(gates, {0}, set())  # Z on the first qubit
        [0]
    """
    reached, mixed, kept = set(axes), set(flipped), []
    for i in reversed(range(len(gates))):
        gate = gates[i]
        if not (mixed if gate.diagonal else reached).isdisjoint(gate.axes):
            kept.append(i)
            reached.update(gate.axes)
            if not gate.diagonal:
                mixed.update(gate.axes)
    return kept[::-1]


@dataclass(frozen=True)
class ObservableOnAxes(ABC):
    """A Hermitian matrix on some axes of a register as it acts on rows of amplitudes.

    Args:
        n_qubits: Number of qubits of the register.
        axes: Axes on which it is not the identity, in order.
    """

    n_qubits: int
    axes: tuple[int, ...]

    @property
    @abstractmethod
    def matrix(self) -> Array:
        """Its matrix on its own axes, Hermitian, real if possible, (size, size)."""

    @property
    @abstractmethod
    def is_fast(self) -> Mapping[bool, bool]:
        """True if a product takes less time with the matrix than without, as measured; by whether all numbers are real."""

    @abstractmethod
    def product(self, precision: Precision) -> Callable[[Array], Array]:
        """Return the product with rows on its own axes, computed without the matrix."""

    @property
    def follows_rows(self) -> bool:
        """True if the product without the matrix is computed where the rows are, on a device too."""
        return False

    @cached_property
    def size(self) -> int:
        """Number of rows of its matrix on its own axes."""
        return int(2 ** len(self.axes))

    @cached_property
    def _is_on_all_axes(self) -> bool:
        return len(self.axes) == self.n_qubits

    @property
    def environment(self) -> int:
        """Number of qubits of the environment that it is computed with."""
        return 0

    @cached_property
    def identity_part(self) -> float:
        """Its trace, divided by the number of rows; that takes a product for each row, unless the matrix is kept."""
        return float(np.trace(self.matrix).real / self.size)

    def _factor(self, only_real: bool, precision: Precision) -> Array:
        """Return the matrix that rows are multiplied by: transposed, in a precision, only its real part if that suffices."""
        factor = self._factors.get((only_real, precision))
        if factor is None:
            part = self.matrix.real.T if only_real else self.matrix.T
            dtype = dtypes(precision)[np.iscomplexobj(part)]
            factor = self._factors[only_real, precision] = np.ascontiguousarray(part, dtype)
        return factor

    @cached_property
    def _factors(self) -> dict[tuple[bool, Precision], Array]:
        return {}

    def _factor_beside(self, rows: Any, only_real: bool) -> Any:
        """Return the same matrix on the device of some rows, in their precision; it is kept there."""
        key = Device.holding(rows), only_real, is_single(rows)
        if key not in self._copies:
            self._copies[key] = key[0].asarray(self._factor(only_real, "float32" if key[2] else "float64"))
        return self._copies[key]

    @cached_property
    def _copies(self) -> dict[tuple[Device, bool, bool], Any]:
        return {}

    @property
    def has_matrix(self) -> bool:
        """True once the matrix is kept."""
        return "matrix" in self.__dict__

    def matrix_pays(self, rows: int, *, real: bool) -> bool:
        """Return True if the product of so many rows of the register, real or complex, is faster with the matrix.

        A matrix that takes no longer than creating and compiling the model is built for the first row.
        """
        rows_on_own_axes = rows << (self.n_qubits - len(self.axes))
        return self.is_fast[real] and (self.size <= _MATRIX_AT_ONCE or rows_on_own_axes >= 2 * self.size)

    @property
    def full_matrix(self) -> Array:
        """Its matrix on the whole register, (features, features)."""
        if self._is_on_all_axes:
            return self.matrix
        return read_only(embed(self.matrix, self.axes, range(self.n_qubits)))

    def apply(self, rows: Any, precision: Precision, *, real_part: bool) -> Any:
        """Return the product with every row, or its real part: by the matrix if it is kept, otherwise gate by gate.

        Args:
            rows: Amplitudes in the given precision, (samples, features), of NumPy or on a device.
            precision: `float64` or `float32`.
            real_part: Return the real part.

        Returns:
            The products, (samples, features), where the rows are.
        """
        if type(rows) is not np.ndarray:
            return self._apply_on_device(rows, precision, real_part=real_part)
        only_real = real_part and rows.dtype.kind != "c"
        if self.has_matrix and self.is_fast[only_real]:
            factor = self._factor(only_real, precision)
            acted = self._on_own_axes(rows, lambda own: own.dot(factor))  # for one row in half the time of own @ factor
        else:
            acted = self._on_own_axes(rows, self.product(precision))
        return acted.real if real_part else acted

    def _apply_on_device(self, rows: Any, precision: Precision, *, real_part: bool) -> Any:
        """Return the same products of rows on a device; a product that cannot be computed there is computed in NumPy."""
        only_real = real_part and not is_complex(rows)
        if self.has_matrix and self.is_fast[only_real]:
            factor = self._factor_beside(rows, only_real)
            acted = self._on_own_axes_at_once(rows, lambda own: namespace(own).matmul(own, factor))
        elif self.follows_rows:
            acted = self._on_own_axes_at_once(rows, self.product("float64"))  # factors take the precision of the rows
        else:
            real_, complex_ = dtypes(precision)
            own = home(rows).astype(complex_ if is_complex(rows) else real_)
            return Device.holding(rows).asarray(np.ascontiguousarray(self.apply(own, precision, real_part=real_part)))
        return real(acted) if real_part else acted

    def _on_own_axes_at_once(self, rows: Any, act: Callable[[Any], Any]) -> Any:
        """Apply a function of rows on its own axes, (any number, size), to rows of the register on a device."""
        if self._is_on_all_axes:
            return act(rows)
        xp = namespace(rows)
        shape, order = self._own_axes_order(rows.shape[0])
        moved = xp.permute_dims(xp.reshape(rows, shape), order)
        acted = xp.reshape(act(xp.reshape(moved, (-1, self.size))), moved.shape)
        back = tuple(order.index(axis) for axis in range(len(order)))
        return xp.reshape(xp.permute_dims(acted, back), rows.shape)

    def _on_own_axes(self, rows: Array, act: Callable[[Array], Array]) -> Array:
        """Apply a function of rows on its own axes, (any number, size), to rows of the register, in parts."""
        if self._is_on_all_axes and rows.size <= statevector.CHUNK:
            return act(rows)
        source, result, target = self._own_axes_last(np.ascontiguousarray(rows)), None, None
        lead = source.ndim - len(self._runs(own=True))
        for part in _parts_of(source.shape[:lead], max(1, statevector.CHUNK // self.size)):
            block = source[part]
            acted = act(block.reshape(-1, self.size))
            if result is None or target is None:
                result = np.empty(rows.shape, acted.dtype)
                target = self._own_axes_last(result)
            target[part] = acted.reshape(block.shape)
        return np.zeros(rows.shape, rows.dtype) if result is None else result

    def _own_axes_last(self, rows: Array) -> Array:
        """Return a view of rows, (samples, features), with its own axes moved behind all others; neighbouring axes are one."""
        shape, order = self._own_axes_order(len(rows))
        return rows.reshape(shape).transpose(order)

    def _own_axes_order(self, samples: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the shape of rows whose neighbouring axes are one, and the order of these axes with its own ones last."""
        runs = sorted(self._runs(own=True) + self._runs(own=False))
        order = [runs.index(run) + 1 for own in (False, True) for run in self._runs(own=own)]
        return (samples, *(2 ** (last - first) for first, last in runs)), (0, *order)

    def _runs(self, *, own: bool) -> list[tuple[int, int]]:
        """Return the runs of neighbouring axes, first and behind the last, that are its own, or those that are not."""
        chosen = [axis for axis in range(self.n_qubits) if (axis in self.axes) == own]
        runs: list[tuple[int, int]] = []
        for axis in chosen:
            if runs and runs[-1][1] == axis:
                runs[-1] = runs[-1][0], axis + 1
            else:
                runs.append((axis, axis + 1))
        return runs


@dataclass(frozen=True)
class EvolvedObservable(ObservableOnAxes):
    """U' O U as it acts on rows of amplitudes.

    Args:
        circuit: Gates of U that do not cancel.
        qubits: Qubits of these axes, and behind them the qubits of the environment that the gates act on.
        program: The same gates compiled on these qubits alone.
        action: O on these qubits alone.
    """

    circuit: cirq.FrozenCircuit
    qubits: tuple[cirq.Qid, ...]
    program: FusedCircuit
    action: PauliAction

    @classmethod
    def of(
        cls,
        operations: Sequence[cirq.Operation],
        gates: Sequence[Gate],
        observable: cirq.PauliSum,
        qubits: Sequence[cirq.Qid],
        environment: Sequence[cirq.Qid] = (),
    ) -> EvolvedObservable:
        """Compile the gates of U that reach an observable.

        Args:
            operations: Operations of U in order.
            gates: The same operations as gates on axes of the register, with the environment behind it.
            observable: O.
            qubits: The register, most significant first.
            environment: Further qubits, which start in |0>.

        Returns:
            The evolved observable.
        """
        register = [*qubits, *environment]
        axis_of = {q: i for i, q in enumerate(register)}
        factors = [(axis_of[q], pauli) for term in observable for q, pauli in term.items()]
        reached = {axis for axis, _ in factors}
        kept = reaching_gates(gates, reached, {axis for axis, pauli in factors if pauli != cirq.Z})
        everywhere = sorted(reached.union(*(gates[i].axes for i in kept)))
        axes = tuple(axis for axis in everywhere if axis < len(qubits)) or (0,)
        everywhere = [*axes, *(axis for axis in everywhere if axis >= len(qubits))]
        place, own = {axis: i for i, axis in enumerate(everywhere)}, tuple(register[axis] for axis in everywhere)
        moved = [Gate(tuple(place[axis] for axis in gates[i].axes), gates[i].matrix, gates[i].diagonal) for i in kept]
        return cls(
            n_qubits=len(qubits),
            axes=axes,
            circuit=cirq.FrozenCircuit(operations[i] for i in kept),
            qubits=own,
            program=FusedCircuit.from_gates(len(own), moved),
            action=PauliAction.of(observable, own),
        )

    @property
    def environment(self) -> int:
        """Number of qubits of the environment that its gates act on."""
        return len(self.qubits) - len(self.axes)

    @cached_property
    def matrix(self) -> Array:
        """Its matrix on its own axes, Hermitian, real if possible, (size, size)."""
        return read_only(drop_zero_imaginary(self.product("float64")(np.eye(self.size)).T))

    @cached_property
    def is_fast(self) -> Mapping[bool, bool]:
        """True if a product takes less time with the matrix than gate by gate, as measured; by whether all numbers are real."""
        gate_by_gate = self.program.multiplications << self.environment
        return {real: self.size <= min(_MATRIX_MAX, (16 if real else 4) * gate_by_gate) for real in (True, False)}

    @property
    def follows_rows(self) -> bool:
        """True: gates are applied where the rows are."""
        return True

    def product(self, precision: Precision) -> Callable[[Any], Any]:
        """Return the product with rows on its own axes, gate by gate."""
        by_gates = self._by_gates(precision)
        if not self.environment:
            return by_gates
        outside = 2**self.environment

        def beside_environment(rows: Any) -> Any:
            if type(rows) is not np.ndarray:  # a batch on a device was cut to its memory before
                xp = namespace(rows)
                nothing = xp.zeros((*rows.shape, outside - 1), dtype=rows.dtype, device=rows.device)
                wide = xp.concat([xp.reshape(rows, (*rows.shape, 1)), nothing], axis=-1)
                return xp.reshape(by_gates(xp.reshape(wide, (rows.shape[0], -1))), wide.shape)[..., 0]
            parts = []
            for part in np.array_split(rows, max(1, rows.size * outside // statevector.CHUNK)):
                wide = np.zeros((*part.shape, outside), part.dtype)
                wide[:, :, 0] = part
                parts.append(by_gates(wide.reshape(len(part), -1)).reshape(wide.shape)[:, :, 0])
            return np.concatenate(parts)

        return beside_environment

    def _by_gates(self, precision: Precision) -> Callable[[Any], Any]:
        """Return the product with rows on its own axes and the environment, gate by gate."""
        if precision == "float32" and len(self.qubits) >= statevector.QSIM_FROM:
            inverse = inverse_circuit(self.circuit)

            def qsim(rows: Array) -> Array:
                evolved = self.action.apply(qsim_apply(self.circuit, self.qubits, rows.T))
                return qsim_apply(inverse, self.qubits, evolved).T

            return qsim
        program = self.program if precision == "float64" else self._program_float32

        def fused(rows: Any) -> Any:
            columns = np.ascontiguousarray(rows.T) if type(rows) is np.ndarray else rows.T
            return program.adjoint.apply(self.action.apply(program.apply(columns))).T

        return fused

    @cached_property
    def _program_float32(self) -> FusedCircuit:
        return self.program.astype("float32")


@dataclass(frozen=True)
class MatrixObservable(ObservableOnAxes):
    """An observable whose matrix is known.

    Args:
        known: Its matrix on its own axes, Hermitian, (size, size).
    """

    known: Array

    @property
    def is_fast(self) -> Mapping[bool, bool]:
        """True: the matrix is all there is."""
        return {True: True, False: True}

    @cached_property
    def matrix(self) -> Array:
        """Its matrix on its own axes, Hermitian, real if possible, (size, size)."""
        return read_only(drop_zero_imaginary(self.known))

    @property
    def has_matrix(self) -> bool:
        """True: the matrix is kept."""
        return True

    def product(self, precision: Precision) -> Callable[[Array], Array]:
        """Return the product with rows on its own axes."""
        factor = self._factor(False, precision)
        return lambda rows: np.asarray(rows @ factor)


def _parts_of(shape: tuple[int, ...], size: int) -> Iterator[tuple[int | slice, ...]]:
    """Yield indices that divide an array with these leading axes into parts of at most `size` entries, in order."""
    split = next((i for i in range(len(shape)) if prod(shape[i + 1 :]) <= size), 0)
    step = size // max(1, prod(shape[split + 1 :]))
    for outer in np.ndindex(shape[:split]):
        for first in range(0, shape[split], step):
            yield *outer, slice(first, first + step)
