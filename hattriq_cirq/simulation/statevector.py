"""Gates on whole batches of state vectors.

A batch is an array of shape (features, samples): amplitudes first, so that a gate on neighbouring qubits is one matrix
product over a reshaped view, for any number of samples. A circuit is compiled once into a `FusedCircuit`: its gates are
multiplied into dense blocks on windows of at most `WINDOW` neighbouring qubits and into diagonals, in an order that differs
from the circuit's only between gates on different qubits. Indices are big-endian, as in Cirq: qubit 0 is the most
significant bit.

Batches lie in main memory as NumPy arrays, where two buffers are written in turn, or on a device, whose library keeps freed
memory for the next step. A compiled circuit is one of NumPy and keeps copies of its factors on each device that it was used on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle
from typing import Any, Literal

import cirq
import numpy as np
from numpy.typing import DTypeLike

from hattriq_cirq.circuits.unitaries import unitary_matrix
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.devices import Device, namespace
from hattriq_cirq.foundation.machine import available_cores
from hattriq_cirq.foundation.rows import is_complex, is_single
from hattriq_cirq.simulation.qsim import for_qsim, qsim_simulator

Precision = Literal["float64", "float32"]
WINDOW = 4  # a 16 x 16 product does the most work per pass over memory in one BLAS call (measured for n = 8 .. 20)
CHUNK = 2**18  # amplitudes per pass: a batch of this size stays in the cache
QSIM_FROM = 18  # qubits from which qsim is faster than NumPy in single precision
_MAX_DENSE = 10  # qubits of the widest gate without a decomposition that is stored as a matrix


@dataclass(frozen=True)
class Gate:
    """A constant unitary on axes of the register.

    Args:
        axes: Axes that the gate acts on.
        matrix: Unitary matrix; None if only the axes are known so far.
        diagonal: True for a diagonal matrix.
    """

    axes: tuple[int, ...]
    matrix: Array | None
    diagonal: bool


@dataclass(frozen=True)
class Group:
    """Gates that are applied together.

    Args:
        axes: Window of axes; empty for a group of diagonal gates on the whole register.
        members: Indices of the gates, in circuit order.
    """

    axes: tuple[int, ...]
    members: tuple[int, ...]


def gather(gates: Sequence[Gate], n_qubits: int) -> list[Group]:
    """Group gates into windows of neighbouring axes and into diagonals, each step taking the group with the most gates.

    A gate is available if no earlier gate on its axes is left behind. A window of `WINDOW` neighbouring axes takes all
    available gates inside it; a diagonal on the whole register takes diagonal gates on several axes, each of which counts as
    10/3 gates in a window, because a pass of multiplications is shorter by this factor.

    Args:
        gates: Gates in circuit order, of which only `axes` and `diagonal` are used.
        n_qubits: Number of axes of the register.

    Returns:
        The groups in order of application; `members` are indices of `gates`, in circuit order.
    """
    masks = [sum(1 << axis for axis in gate.axes) for gate in gates]
    is_coupling = [gate.diagonal and len(gate.axes) > 1 for gate in gates]
    tiles_first = sorted(range(max(1, n_qubits - WINDOW + 1)), key=lambda start: (start % WINDOW != 0, start))
    windows = [sum(1 << axis for axis in range(start, min(start + WINDOW, n_qubits))) for start in tiles_first]
    whole = (1 << n_qubits) - 1

    def available(window: int, *, diagonal: bool) -> list[int]:
        indices, blocked = [], 0
        for i in waiting:
            mask = masks[i]
            if mask & blocked or (not is_coupling[i] if diagonal else mask & ~window):
                blocked |= mask
                if not window & ~blocked:
                    break
            else:
                indices.append(i)
        return indices

    groups, waiting = [], list(range(len(gates)))
    while waiting:
        best = max((available(window, diagonal=False) for window in [*windows, masks[waiting[0]]]), key=len)
        diagonals = available(whole, diagonal=True)
        if 10 * len(diagonals) > 3 * len(best):
            best, axes = diagonals, set[int]()
        else:
            axes = {axis for i in best for axis in gates[i].axes}
        groups.append(Group(_span(axes), tuple(best)))
        done = set(best)
        waiting = [i for i in waiting if i not in done]
    return groups


def _span(axes: set[int]) -> tuple[int, ...]:
    """Return the whole window between the outermost axes, or the axes alone if they lie too far apart."""
    if axes and max(axes) - min(axes) < WINDOW:
        return tuple(range(min(axes), max(axes) + 1))
    return tuple(sorted(axes))


def embed(matrix: Array, axes: Sequence[int], onto: Sequence[int]) -> Array:
    """Return a matrix on some axes as a matrix on more axes, with the identity on the others.

    Args:
        matrix: Matrix, (2**len(axes), 2**len(axes)).
        axes: Axes that the matrix acts on, in its own order.
        onto: Axes of the result, in order, which include all of `axes`.

    Returns:
        The matrix, (2**len(onto), 2**len(onto)).
    """
    identity = np.eye(2 ** len(onto), dtype=matrix.dtype)
    where = [list(onto).index(axis) for axis in axes]
    return np.asarray(_apply(identity, matrix, where, len(onto), out=np.empty_like(identity)))


def _apply(states: Any, matrix: Any, axes: Sequence[int], n_qubits: int, out: Array | None = None) -> Any:
    """Multiply a matrix onto axes of a (2**n_qubits, samples) batch; arrays of NumPy write the result to `out`."""
    xp = namespace(states)
    first, width = axes[0], len(axes)
    if list(axes) == list(range(first, first + width)):
        shape: tuple[int, ...] = (2**first, 2**width, states.shape[0] * states.shape[1] // 2 ** (first + width))
        left, right = matrix, states
        if shape[2] == 1:  # a window at the end of a single state: one product instead of 2**first small ones
            left, right, shape = states, matrix.T, shape[:2]
            left = xp.reshape(left, shape)
        else:
            right = xp.reshape(right, shape)
        if out is None:
            return xp.reshape(xp.matmul(left, right), states.shape)
        np.matmul(left, right, out=out.reshape(shape))
        return out
    tensor = xp.moveaxis(xp.reshape(states, (2,) * n_qubits + (-1,)), tuple(axes), tuple(range(width)))
    moved = xp.reshape(xp.matmul(matrix, xp.reshape(tensor, (2**width, -1))), tensor.shape)
    if out is None:
        return xp.reshape(xp.moveaxis(moved, tuple(range(width)), tuple(axes)), states.shape)
    np.copyto(np.moveaxis(out.reshape((2,) * n_qubits + (-1,)), axes, range(width)), moved)
    return out


@dataclass(frozen=True)
class Block:
    """One step of a fused circuit.

    Args:
        axes: Axes that the matrix acts on; empty for a diagonal on the whole register.
        factor: Matrix on the axes, or the vector of the diagonal.
    """

    axes: tuple[int, ...]
    factor: Any

    def apply(self, states: Any, n_qubits: int, out: Array | None = None) -> Any:
        """Return the product with a (2**n_qubits, samples) batch, which lies where the factor does.

        Args:
            states: The batch.
            n_qubits: Number of qubits.
            out: Another array of NumPy for the result; None for a new array, on any device.
        """
        if self.axes:
            return _apply(states, self.factor, self.axes, n_qubits, out)
        if out is None:
            return states * self.factor[:, None]
        return np.multiply(states, self.factor[:, np.newaxis], out=out)

    @cached_property
    def transpose(self) -> Block:
        """Transpose of the block."""
        if type(self.factor) is np.ndarray:
            return Block(self.axes, np.ascontiguousarray(self.factor.T))
        return Block(self.axes, self.factor.T if self.axes else self.factor)

    @cached_property
    def adjoint(self) -> Block:
        """Adjoint of the block, which inverts it."""
        if type(self.factor) is np.ndarray:
            return Block(self.axes, np.ascontiguousarray(self.factor.conj().T))
        conjugate = namespace(self.factor).conj(self.factor) if is_complex(self.factor) else self.factor
        return Block(self.axes, conjugate.T if self.axes else conjugate)


@dataclass(frozen=True)
class FusedCircuit:
    """A circuit compiled to blocks on a register of `n_qubits`; real blocks are stored as real numbers."""

    n_qubits: int
    blocks: tuple[Block, ...]

    @classmethod
    def from_gates(cls, n_qubits: int, gates: Sequence[Gate]) -> FusedCircuit:
        """Compile constant gates; equal diagonals share one vector."""
        blocks, diagonals = [], dict[tuple[tuple[tuple[int, ...], bytes], ...], Array]()
        for group in gather(gates, n_qubits):
            members = [gates[i] for i in group.members]
            if group.axes:
                factor: Array = np.eye(2 ** len(group.axes))
                for gate in members:
                    assert gate.matrix is not None
                    factor = embed(gate.matrix, gate.axes, group.axes) @ factor
                blocks.append(Block(group.axes, drop_zero_imaginary(factor)))
            else:
                key = tuple((gate.axes, gate.matrix.tobytes()) for gate in members if gate.matrix is not None)
                if key not in diagonals:
                    diagonals[key] = drop_zero_imaginary(_diagonal(members, n_qubits))
                blocks.append(Block((), diagonals[key]))
        return cls(n_qubits, tuple(blocks))

    @cached_property
    def multiplications(self) -> int:
        """Number of scalar multiplications per amplitude, to compare the cost of one pass with other methods."""
        return sum(2 ** len(block.axes) for block in self.blocks)

    @cached_property
    def adjoint(self) -> FusedCircuit:
        """Fused circuit that inverts this one."""
        return FusedCircuit(self.n_qubits, tuple(block.adjoint for block in reversed(self.blocks)))

    def apply(self, states: Any) -> Any:
        """Apply the circuit to every column of a (features, samples) batch, and return a new batch, on the same device."""
        if type(states) is not np.ndarray:
            return self._apply_on_device(states)
        samples = states.shape[1]
        if 1 < samples < 8 and self.n_qubits >= 12:  # few long columns: windows near the end are faster one at a time
            return np.concatenate([self.apply(states[:, [i]]) for i in range(samples)], axis=1)
        dtype = np.result_type(states, *(block.factor for block in self.blocks))
        buffers = two_buffers(states.shape, dtype)
        for block in self.blocks:
            states = block.apply(states, self.n_qubits, out=next(buffers))
        return states

    def _apply_on_device(self, states: Any) -> Any:
        blocks, complex_numbers = self.beside(states), is_complex(states) or self._is_complex
        if complex_numbers and not is_complex(states):
            xp = namespace(states)
            states = xp.astype(states, xp.complex64 if is_single(states) else xp.complex128)
        for block in blocks:
            states = block.apply(states, self.n_qubits)
        return states

    @cached_property
    def _is_complex(self) -> bool:
        return any(np.iscomplexobj(block.factor) for block in self.blocks)

    def beside(self, states: Any) -> tuple[Block, ...]:
        """Return the blocks with their factors on the device of some states, in their precision; they are kept.

        Matrices are complex if a factor or a state is, as the states then become at the first step; all small factors go in
        one transfer, and factors that are the same array once.
        """
        if type(states) is np.ndarray:
            return self.blocks
        device, single, wide = Device.holding(states), is_single(states), is_complex(states) or self._is_complex
        if (device, single, wide) not in self._copies:
            real, complex_ = dtypes("float32" if single else "float64")
            factors = {id(block.factor): block for block in self.blocks}
            matrices = {key: block.factor for key, block in factors.items() if block.axes}
            moved = _moved_together(device, matrices, complex_ if wide else real)
            for key, block in factors.items():
                if not block.axes:
                    moved[key] = device.asarray(block.factor, complex_ if np.iscomplexobj(block.factor) else real)
            self._copies[device, single, wide] = tuple(Block(block.axes, moved[id(block.factor)]) for block in self.blocks)
        return self._copies[device, single, wide]

    @cached_property
    def _copies(self) -> dict[tuple[Device, bool, bool], tuple[Block, ...]]:
        return {}

    def astype(self, precision: Precision) -> FusedCircuit:
        """Return the same circuit with its factors in another precision."""
        real, complex_ = dtypes(precision)
        blocks = [Block(b.axes, b.factor.astype(complex_ if np.iscomplexobj(b.factor) else real)) for b in self.blocks]
        return FusedCircuit(self.n_qubits, tuple(blocks))


def _moved_together(device: Device, matrices: dict[int, Array], dtype: DTypeLike) -> dict[int, Any]:
    """Return matrices on a device, by the same keys, in one transfer."""
    if not matrices:
        return {}
    together = device.asarray(np.concatenate([matrix.astype(dtype).reshape(-1) for matrix in matrices.values()]))
    moved, first = dict[int, Any](), 0
    for key, matrix in matrices.items():
        moved[key] = device.xp.reshape(together[first : first + matrix.size], matrix.shape)
        first += matrix.size
    return moved


def dtypes(precision: str) -> tuple[type[np.floating], type[np.complexfloating]]:
    """Return the real and the complex NumPy type of a precision, `float64` or `float32`."""
    if precision == "float64":
        return np.float64, np.complex128
    if precision == "float32":
        return np.float32, np.complex64
    raise ValueError(f"{precision=} must be 'float64' or 'float32'")


def drop_zero_imaginary(factor: Array) -> Array:
    """Return the real part if every imaginary part is exactly zero, else the array itself."""
    if np.iscomplexobj(factor) and not factor.imag.any():
        return np.ascontiguousarray(factor.real)
    return factor


def _diagonal(gates: Sequence[Gate], n_qubits: int) -> Array:
    """Return the product of diagonal gates as one vector over the register."""
    product = np.ones((2,) * n_qubits, dtype=np.complex128)
    for gate in gates:
        assert gate.matrix is not None
        entries = np.diagonal(gate.matrix).reshape((2,) * len(gate.axes))
        shape = [2 if axis in gate.axes else 1 for axis in range(n_qubits)]
        product *= entries.transpose(np.argsort(gate.axes)).reshape(shape)
    return product.reshape(-1)


def elementary_operations(circuit: cirq.AbstractCircuit) -> list[cirq.Operation]:
    """Return the circuit's operations in order, with operations wider than a window decomposed as far as Cirq can."""
    return cirq.decompose(
        circuit,
        keep=lambda op: len(op.qubits) <= WINDOW and not isinstance(op.untagged, cirq.CircuitOperation),
        on_stuck_raise=None,
        preserve_structure=False,
    )


def check_width(operation: cirq.Operation) -> None:
    """Raise ValueError if an elementary operation acts on too many qubits to be stored as a matrix."""
    if len(operation.qubits) > _MAX_DENSE:
        raise ValueError(
            f"{operation} acts on {len(operation.qubits)} qubits and has no decomposition; "
            f"decompose it into gates on at most {_MAX_DENSE} qubits"
        )


def constant_gate(operation: cirq.Operation, axis_of: dict[cirq.Qid, int]) -> Gate:
    """Return a resolved operation as a `Gate`.

    Raises:
        ValueError: The operation is not unitary, or is too wide to be stored as a matrix.
    """
    check_width(operation)
    matrix = unitary_matrix(operation)
    if not operation.qubits:  # a global phase, which may act on any axis
        return Gate((0,), matrix * np.eye(2), diagonal=True)
    is_diagonal = np.count_nonzero(matrix) == np.count_nonzero(matrix.diagonal())
    return Gate(tuple(axis_of[q] for q in operation.qubits), matrix, is_diagonal)


def constant_gates(circuit: cirq.AbstractCircuit, qubits: Sequence[cirq.Qid]) -> tuple[list[cirq.Operation], list[Gate]]:
    """Return the elementary operations of a resolved circuit, and the same as gates on axes of ordered qubits."""
    axis_of = {q: i for i, q in enumerate(qubits)}
    operations = elementary_operations(circuit)
    return operations, [constant_gate(op, axis_of) for op in operations]


def compile_circuit(circuit: cirq.AbstractCircuit, qubits: Sequence[cirq.Qid]) -> FusedCircuit:
    """Compile a resolved unitary circuit on ordered qubits.

    Args:
        circuit: Unitary circuit without symbols.
        qubits: The register, most significant first.

    Returns:
        The fused circuit.

    Example:
        >>> qubits = cirq.LineQubit.range(2)
        >>> compile_circuit(cirq.Circuit(cirq.X(qubits[0])), qubits).apply(np.eye(4)[:, :1]).T
        array([[0., 0., 1., 0.]])
    """
    return FusedCircuit.from_gates(len(qubits), constant_gates(circuit, qubits)[1])


def two_buffers(shape: tuple[int, ...], dtype: DTypeLike) -> Iterator[Array]:
    """Yield two arrays alternately, without end: each step reads one and writes the other, and no new memory is allocated."""
    return cycle((np.empty(shape, dtype), np.empty(shape, dtype)))


#: Phases of one factor of a Pauli string, by the bit of the result.
_PHASES: dict[cirq.Pauli | None, Array] = {
    None: np.array([1, 1]),
    cirq.X: np.array([1, 1]),
    cirq.Y: np.array([-1j, 1j]),
    cirq.Z: np.array([1, -1]),
}


@dataclass(frozen=True)
class PauliAction:
    """A sum of Pauli strings as it acts on a batch: one vector of phases per pattern of bit flips.

    (O psi)_i = sum over flips f of phases_f[i] psi_(i xor f), with f a bit mask, big-endian.
    """

    n_qubits: int
    phases: tuple[tuple[int, Array], ...]

    @classmethod
    def of(cls, observable: cirq.PauliSum, qubits: Sequence[cirq.Qid]) -> PauliAction:
        """Compile an observable on ordered qubits; all of its strings with the same flips share one vector."""
        n = len(qubits)
        phases: dict[int, Array] = {}
        for term in observable:
            flips, vector = 0, np.array([term.coefficient])
            for axis in range(n):
                pauli = term.get(qubits[axis])
                if pauli in (cirq.X, cirq.Y):
                    flips |= 1 << (n - 1 - axis)
                vector = np.multiply.outer(vector, _PHASES[pauli]).reshape(-1)
            phases[flips] = phases[flips] + vector if flips in phases else vector
        return cls(n, tuple((flips, drop_zero_imaginary(vector)) for flips, vector in sorted(phases.items())))

    def apply(self, states: Any) -> Any:
        """Apply O to every column of a (features, samples) batch, and return a new batch of the same precision and device."""
        result: Any = None
        for flips, vector in self._beside(states):
            part = self._flipped(states, flips) * vector[:, None]
            result = part if result is None else result + part
        return namespace(states).zeros_like(states) if result is None else result

    def _beside(self, states: Any) -> Iterable[tuple[int, Any]]:
        """Return the phases where some states lie, in their precision; those on a device are kept."""
        single = is_single(states)
        real, complex_ = dtypes("float32" if single else "float64")
        phases = ((f, vector.astype(complex_ if np.iscomplexobj(vector) else real, copy=False)) for f, vector in self.phases)
        if type(states) is np.ndarray:
            return phases
        device = Device.holding(states)
        if (device, single) not in self._copies:
            self._copies[device, single] = [(flips, device.asarray(vector)) for flips, vector in phases]
        return self._copies[device, single]

    @cached_property
    def _copies(self) -> dict[tuple[Device, bool], list[tuple[int, Any]]]:
        return {}

    def _flipped(self, states: Any, flips: int) -> Any:
        if flips == 0:
            return states
        xp = namespace(states)
        runs = _runs(flips, self.n_qubits)
        tensor = xp.reshape(states, (*(size for size, _ in runs), -1))
        return xp.reshape(xp.flip(tensor, axis=tuple(i for i, (_, is_flipped) in enumerate(runs) if is_flipped)), states.shape)


def _runs(bits: int, n_qubits: int) -> list[tuple[int, bool]]:
    """Return the lengths of the axes into which the register divides where the bits of a mask change, and these bits."""
    runs: list[tuple[int, bool]] = []
    for axis in range(n_qubits):
        bit = bool(bits >> (n_qubits - 1 - axis) & 1)
        if runs and runs[-1][1] == bit:
            runs[-1] = 2 * runs[-1][0], bit
        else:
            runs.append((2, bit))
    return runs


def qsim_apply(circuit: cirq.AbstractCircuit, qubits: Sequence[cirq.Qid], states: Array) -> Array:
    """Apply a circuit to every column of a (features, samples) batch with qsim, in single precision.

    Args:
        circuit: Unitary circuit without symbols.
        qubits: The register, most significant first.
        states: Batch, (features, samples), of any norm.

    Returns:
        The new batch, (features, samples), complex64.
    """
    simulator, circuit = qsim_simulator(available_cores()), for_qsim(circuit)
    result = np.zeros(states.shape, dtype=np.complex64)
    for i, column in enumerate(states.T):
        norm = np.linalg.norm(column)
        if norm == 0:
            continue
        initial = np.ascontiguousarray(column / norm, dtype=np.complex64)
        final = simulator.simulate(circuit, qubit_order=qubits, initial_state=initial)
        result[:, i] = norm * final.final_state_vector
    return result


def outcome_probabilities(circuit: cirq.AbstractCircuit) -> FloatArray:
    """Return the exact distribution over the bits of the measurement that ends a circuit without symbols, (2**bits,).

    Example:
        >>> qubit = cirq.LineQubit(0)
        >>> outcome_probabilities(cirq.Circuit(cirq.H(qubit), cirq.measure(qubit))).round(2)
        array([0.5, 0.5])
    """
    *_, measurement = circuit.all_operations()
    register = [*measurement.qubits, *sorted(circuit.all_qubits() - set(measurement.qubits))]
    evolved = final_state(circuit[:-1], register)
    return np.asarray((np.abs(evolved) ** 2).reshape(2 ** len(measurement.qubits), -1).sum(axis=1))


def final_state(circuit: cirq.AbstractCircuit, register: Sequence[cirq.Qid]) -> Array:
    """Return the state vector after a circuit of unitary gates on |0...0>, (2**qubits,), in double precision.

    Example:
        >>> qubit = cirq.LineQubit(0)
        >>> final_state(cirq.Circuit(cirq.ry(np.pi / 2)(qubit)), [qubit]).round(3)
        array([0.707, 0.707])
    """
    state = np.zeros((2 ** len(register), 1))
    state[0] = 1
    return np.asarray(compile_circuit(circuit.freeze(), register).apply(state)[:, 0])
