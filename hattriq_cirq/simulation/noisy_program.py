"""Noisy circuits compiled once for all angles: probabilities of the measured bits at every point of a sweep.

A density matrix is the vector of its Pauli expectations, on which a gate with its noise is a real matrix (`pauli_transfer`).
`NoisyProgram.compile` fixes everything that does not depend on angles: steps are multiplied into blocks on two qubits, what
no measured bit depends on is left out, qubits join the state when they are first needed and keep only the expectations that
are still to be read, and blocks without angles at the end act on the observables instead of on every point (the Heisenberg
picture) where this is cheaper. `NoisyProgram.populations` then fills in the angles of all points.

With NumPy every point is computed by the same operations on arrays of the same shape, whatever the number of points, so that
its result is the same to the last bit. On another device as many points are computed together as its memory holds, by blocks
on up to four qubits, because a GPU multiplies much faster than it reads; the results agree to rounding. All operations on
states are plain array operations with the points on the leading axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import product
from math import prod
from typing import Any

import cirq
import numpy as np

from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.foundation.devices import Device, namespace
from hattriq_cirq.foundation.machine import keep_freed_memory, one_blas_thread
from hattriq_cirq.simulation.blocks import TRACE, Block, Paulis, Step, gather, read_only_by
from hattriq_cirq.simulation.pauli_transfer import transfer_matrix
from hattriq_cirq.simulation.schedule import GPU, Schedule
from hattriq_cirq.simulation.statevector import Precision, dtypes

_STATE_BYTES = 2**19  # size of all states that are evolved at once: they stay in the cache
_MATRIX_NUMBERS = 2**21  # numbers of all blocks whose angles are filled in at once
_OBSERVABLE_NUMBERS = 2**22  # numbers of all observables that are kept for the Heisenberg picture
_POINTS = 32  # points that share the evolution of observables when its cost is compared with that of states
_READ = 4  # multiplications of a block that take as long as reading one number of an observable
_FLOAT32_ERROR = 1e-6
_COPIES = 4  # of a state, or of the largest matrix with angles, that exist at once during a product
_DEVICE_BYTES = 2**33  # size of all arrays of a batch on a device, beyond which it becomes no faster

_DIAGONAL: Paulis = (0, 3)
_ZERO = np.array([1.0, 0.0, 0.0, 1.0])  # expectations of |0>


@dataclass(frozen=True, eq=False)
class NoisyProgram:
    """A noisy circuit that starts from |0...0>, compiled for all values of its angles.

    Args:
        schedule: Blocks that act on the states.
        read: Expectations of each axis that are read after them.
        start: Expectations of each axis that a block needs at the start, (1, numbers).
        measured: Measured axes, most significant first.
        observables: Expectations that are read, as functions of the tensors that are left one after another,
            (numbers, 2**measured); None if the tensors hold the expectations themselves.
    """

    schedule: Schedule
    read: Mapping[int, Paulis]
    start: Mapping[int, FloatArray]
    measured: tuple[int, ...]
    observables: FloatArray | None
    _on_devices: dict[tuple[Device, Precision], _Evolution] = field(init=False, repr=False, default_factory=dict)

    @classmethod
    def compile(cls, steps: Iterable[Step], axes: int, measured: Sequence[int]) -> NoisyProgram:
        """Compile gates and channels.

        Args:
            steps: Gates and channels in order, each of which keeps the trace.
            axes: Number of qubits.
            measured: Measured axes, most significant first.

        Example:
            >>> flip = np.diag([1.0, 1.0, -1.0, -1.0])
            >>> NoisyProgram.compile([Step((0,), flip)], 1, [0]).populations([])
            array([[0., 1.]])
        """
        read = {axis: _DIAGONAL if axis in measured else TRACE for axis in range(axes)}
        blocks, at_start = read_only_by(gather(steps), read)
        schedule = Schedule.of(blocks, _sizes(at_start))
        ending = _cheapest_ending(schedule, len(measured))
        if not ending:
            return cls(schedule, read, _start(at_start), tuple(measured), None)
        last = set(map(id, ending))
        _, at_cut = read_only_by(ending, read)
        blocks, at_start = read_only_by([one.block for one in schedule.products if id(one.block) not in last], at_cut)
        schedule = Schedule.of(blocks, _sizes(at_start))
        observables = _observables(ending, read, tuple(measured), schedule.order)
        return cls(schedule, at_cut, _start(at_start), tuple(measured), observables)

    def populations(self, gates: Sequence[Any], precision: Precision = "float64", device: Device = Device()) -> FloatArray:  # noqa: B008
        """Return the probabilities of the measured bits at every point, (points, 2**measured), with sum 1 up to rounding.

        Args:
            gates: Matrices of the gates with angles in the Pauli basis, (points, 4**k, 4**k) or (1, 4**k, 4**k) each; NumPy's
                arrays, or those of the device.
            precision: Precision of the states; for float32 the error is checked at the first point, on a device in the first
                call.
            device: Device that computes.

        Raises:
            ArithmeticError: The error of single precision is larger than 1e-6.
            DeviceError: The device has too little memory for one point, or failed.
        """
        checked = precision == "float64" or ((device, precision) in self._on_devices and not device.is_numpy)
        result = self._populations(gates, precision, device)
        if not checked:
            error = float(np.abs(self._populations([gate[:1, ...] for gate in gates], "float64", device)[0] - result[0]).max())
            if not error <= _FLOAT32_ERROR:
                raise ArithmeticError(f"single precision changes probabilities by {error:.1e}; use precision='float64'")
        return result

    def _populations(self, gates: Sequence[Any], precision: Precision, device: Device) -> FloatArray:
        points = max((gate.shape[0] for gate in gates), default=1)
        rows = []
        keep_freed_memory()
        with one_blas_thread(), device.computing(f"the simulation of {len(self.read)} qubits"):
            evolution = self._on(device, precision)
            gates = [evolution.moved(gate) for gate in gates]
            built, at_once = evolution.batch(points)
            for first in range(0, points, built):
                last = min(built, points - first)
                own = [gate if gate.shape[0] == 1 else gate[first : first + last, ...] for gate in gates]
                matrices = evolution.matrices(own)
                for some in range(0, last, at_once):
                    read = evolution.read(matrices, slice(some, min(some + at_once, last)))
                    rows.append(np.broadcast_to(read, (min(at_once, last - some), *read.shape[1:])))
        return _to_probabilities(np.concatenate(rows).astype(np.float64))

    def _on(self, device: Device, precision: Precision) -> _Evolution:
        """Return the program on a device, where it stays."""
        if (device, precision) not in self._on_devices:
            self._on_devices[device, precision] = _Evolution.of(self, device, precision)
        return self._on_devices[device, precision]

    def schedule_for(self, device: Device) -> Schedule:
        """Return the schedule of the states on a device; one that is not NumPy's has wider blocks, as wide as is fastest."""
        if device.is_numpy:
            return self.schedule
        steps = [step for one in self.schedule.products for step in one.block.steps]
        sizes = {axis: tensor.shape[1] for axis, tensor in self.start.items()}
        fused = (read_only_by(gather(steps, widest), self.read)[0] for widest in GPU.widths)
        return min((Schedule.of(blocks, sizes, GPU) for blocks in fused), key=lambda schedule: schedule.cost)


@dataclass(frozen=True, eq=False)
class _Evolution:
    """A program on a device, with everything there that does not depend on angles.

    Args:
        device: Device.
        precision: Precision of the states.
        schedule: Blocks that act on the states.
        layers: Factors of each block.
        start: Expectations of each axis at the start, (1, numbers).
        measured: Measured axes, most significant first.
        observables: Expectations that are read, (1, numbers, 2**measured), or None, see `NoisyProgram`.
    """

    device: Device
    precision: Precision
    schedule: Schedule
    layers: Sequence[Any]
    start: Mapping[int, Any]
    measured: tuple[int, ...]
    observables: Any

    @classmethod
    def of(cls, program: NoisyProgram, device: Device, precision: Precision) -> _Evolution:
        """Move a program to a device."""
        dtype, _ = dtypes(precision)
        schedule, observables = program.schedule_for(device), program.observables
        if observables is not None:
            order = program.schedule.order
            apart = observables.reshape(*(len(program.read[axis]) for axis in order), -1)
            observables = apart.transpose(*map(order.index, schedule.order), len(order)).reshape(1, *observables.shape)
        blocks = [one.block for one in schedule.products]
        layers = [
            [block.filled(own, ())] if block.is_constant else own
            for block, own in zip(blocks, (block.layers_on(device, dtype) for block in blocks), strict=True)
        ]
        start = {axis: device.asarray(tensor, dtype) for axis, tensor in program.start.items()}
        read = None if observables is None else device.asarray(observables, dtype)
        return cls(device, precision, schedule, layers, start, program.measured, read)

    def moved(self, gate: Any) -> Any:
        """Return the matrices of a gate on the device, in its precision."""
        dtype = getattr(self.device.xp, self.precision)
        there = gate if Device.holding(gate) == self.device else self.device.asarray(gate)
        return self.device.xp.astype(there, dtype, copy=False)

    def batch(self, points: int) -> tuple[int, int]:
        """Return how many points have their angles filled in together, and how many of them are evolved at once.

        Raises:
            DeviceError: There is too little memory for one point.
        """
        dtype, _ = dtypes(self.precision)
        angled = [one.block for one in self.schedule.products if not one.block.is_constant]
        numbers = [prod(block.sizes.values()) * 4 ** len(block.axes) for block in angled]
        if self.device.is_numpy:
            built = max(1, _MATRIX_NUMBERS // max(1, sum(numbers)))
            return built, max(1, _STATE_BYTES // (np.dtype(dtype).itemsize * self.schedule.largest))
        one = np.dtype(dtype).itemsize * _COPIES * (self.schedule.largest + max(numbers, default=0))
        self.device.require(one, f"a density matrix in {self.precision}")
        free = self.device.free_memory()
        together = min(_DEVICE_BYTES, _DEVICE_BYTES if free is None else free // 2) // one
        together = max(1, min(points, together))
        return together, together

    def matrices(self, gates: Sequence[Any]) -> Sequence[Any] | Iterator[Any]:
        """Return the matrices of all blocks; on a device each one when its turn comes, so that it takes no memory before."""
        filled = (
            layers[0] if one.block.is_constant else one.block.filled(layers, gates)
            for one, layers in zip(self.schedule.products, self.layers, strict=True)
        )
        return list(filled) if self.device.is_numpy else filled

    def read(self, matrices: Iterable[Any], points: slice) -> FloatArray:
        """Return the expectations of all strings of I and Z on the measured axes, (points, 2**measured)."""
        tensors = self.schedule.run(self.start, matrices, points)
        return self.device.to_numpy(self._expectations(tensors) if self.observables is None else self._contracted(tensors))

    def _expectations(self, tensors: Mapping[int, Any]) -> Any:
        """Return the expectations of the measured axes from tensors that hold them."""
        first, *others = tensors.values() or [self.device.asarray(np.ones((1, 1)))]
        xp = namespace(first)
        state = reduce(_outer, others, xp.astype(first, xp.float64, copy=False))
        order = [axis for name in tensors for axis in self.schedule.left[name] if axis in self.measured]
        positions = [1 + order.index(axis) for axis in self.measured]
        state = xp.permute_dims(xp.reshape(state, (-1, *(2,) * len(order))), (0, *positions))
        return xp.reshape(state, (state.shape[0], -1))

    def _contracted(self, tensors: Mapping[int, Any]) -> Any:
        """Return the values of the observables, one point at a time with NumPy, so that they depend on no other points."""
        values = self.observables
        xp = namespace(values)
        for tensor in tensors.values():
            values = xp.reshape(values, (values.shape[0], tensor.shape[1], -1))
            if values.shape[0] == 1 and not self.device.is_numpy:
                values = tensor @ values[0, ...]
            else:
                values = tensor[:, None, :] @ values
        return xp.reshape(values, (values.shape[0], -1))


def _outer(first: Any, second: Any) -> Any:
    """Return the products of all numbers of two tensors, (points, numbers) each."""
    both = first[:, :, None] * second[:, None, :]
    return namespace(both).reshape(both, (both.shape[0], -1))


def populations(circuit: cirq.AbstractCircuit, register: Sequence[cirq.Qid]) -> FloatArray:
    """Return the probabilities of the basis states after a circuit of gates and channels that starts from |0...0>.

    Args:
        circuit: Circuit without symbols and measurements.
        register: Its qubits, most significant first.

    Returns:
        Probabilities, (2**n,), whose sum is 1 up to rounding.

    Example:
        >>> qubit = cirq.LineQubit(0)
        >>> populations(cirq.Circuit(cirq.X(qubit), cirq.bit_flip(0.25)(qubit)), [qubit]).round(6)
        array([0.25, 0.75])
    """
    steps = steps_of(circuit.all_operations(), register)
    return np.asarray(NoisyProgram.compile(steps, len(register), range(len(register))).populations([])[0])


def steps_of(operations: Iterable[cirq.Operation], register: Sequence[cirq.Qid]) -> Iterator[Step]:
    """Yield operations without symbols as steps; the matrix of an object that occurs again is computed once."""
    axis = {qubit: i for i, qubit in enumerate(register)}
    known: dict[int, tuple[object, FloatArray]] = {}  # by gate object, because noise models insert the same objects many times
    for op in operations:
        channel = op if op.gate is None else op.gate
        if id(channel) not in known:
            known[id(channel)] = channel, transfer_matrix(np.array(cirq.kraus(op)))
        yield Step(tuple(axis[q] for q in op.qubits), known[id(channel)][1])


def _sizes(read: Mapping[int, Paulis]) -> dict[int, int]:
    """Return the numbers of expectations of the axes that anything depends on."""
    return {axis: len(paulis) for axis, paulis in read.items() if paulis != TRACE}


def _start(read: Mapping[int, Paulis]) -> dict[int, FloatArray]:
    """Return the expectations of |0> of the axes that anything depends on."""
    return {axis: _ZERO[list(read[axis])][np.newaxis] for axis in _sizes(read)}


def _cheapest_ending(schedule: Schedule, measured: int) -> list[Block]:
    """Return the constant blocks at the end, in order, that are cheaper on the observables than on the states."""
    observables = 2**measured
    saved = once = best_saving = 0
    ending: list[Block] = []
    best: list[Block] = []
    blocked: set[int] = set()
    axes: set[int] = set()
    for one in reversed(schedule.products):
        if not one.block.is_constant or not blocked.isdisjoint(one.block.axes):
            blocked |= set(one.block.axes)
            continue
        ending.insert(0, one.block)
        axes |= set(one.block.axes)
        numbers = observables * 4 ** max(len(axes), measured)
        if numbers > _OBSERVABLE_NUMBERS:
            break
        saved, once = saved + one.cost, once + 16 * numbers
        saving = saved - _READ * numbers - once // _POINTS
        if saving > best_saving:
            best, best_saving = list(ending), saving
    return best


def _observables(
    blocks: Sequence[Block], read: Mapping[int, Paulis], measured: tuple[int, ...], order: Sequence[int]
) -> FloatArray:
    """Return the expectations after blocks as functions of those before them, (numbers, 2**measured), axes in order."""
    backwards = [replace(block, transposed=True) for block in reversed(blocks)]
    axes = {axis for block in blocks for axis in block.axes}.union(measured)
    strings = np.array(list(product((0, 1), repeat=len(measured)))).T
    tensors = {axis: np.ones((1, 1)) for axis in axes}
    tensors |= {axis: np.eye(2)[string] for axis, string in zip(measured, strings, strict=True)}
    schedule = Schedule.of(backwards, {axis: len(read[axis]) for axis in axes})
    with one_blas_thread():
        tensors = schedule.run(tensors, [one.block.constant_matrix[np.newaxis] for one in schedule.products])
    joined = reduce(_outer, tensors.values())
    own = [axis for name in tensors for axis in schedule.left[name]]
    touched = {axis for block in blocks for axis in block.axes}
    shape = [4 if axis in touched else len(read[axis]) for axis in own]
    positions = [1 + own.index(axis) for axis in order if axis in own]
    return np.ascontiguousarray(joined.reshape(-1, *shape).transpose(*positions, 0).reshape(-1, len(joined)))


def _to_probabilities(expectations: FloatArray) -> FloatArray:
    """Return the probabilities of bits from the expectations of strings of I and Z, (points, 2**bits) each."""
    points, numbers = expectations.shape
    behind = numbers
    while behind > 1:
        behind //= 2
        pairs = expectations.reshape(points, -1, 2, behind)
        identity, parity = pairs[:, :, 0], pairs[:, :, 1]
        expectations = np.stack([identity + parity, identity - parity], axis=2) / 2
    return expectations.reshape(points, numbers)
