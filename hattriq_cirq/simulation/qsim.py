"""Circuits in the gates that qsim reads, so that it runs every circuit that Cirq's simulators run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from typing import TYPE_CHECKING, Any

import cirq
import numpy as np

from hattriq_cirq.foundation.devices import DeviceError

if TYPE_CHECKING:
    from qsimcirq.qsim_simulator import QSimSimulator

_MATRIX_QUBITS = 6  # qubits of the widest matrix that qsim reads
_INSTRUCTIONS = "see https://quantumai.google/qsim/tutorials/gcp_gpu"
_CONTROLLED_QUBITS = 4  # qubits of the widest gate that qsim reads with controls


@dataclass(frozen=True)
class QsimSettings:
    """Settings of the computation by qsim.

    Args:
        threads: Number of threads for one circuit.
        fused_qubits: Largest number of qubits of the gates that qsim multiplies into one; None for 4, or 2 for trajectories on
            one thread.
        gpu: True to compute on a GPU, which needs a qsimcirq that was compiled for it.
        gpu_mode: Number of qsim's library for a GPU, 0 for CUDA or 1 for NVIDIA's cuStateVec.
    """

    threads: int
    fused_qubits: int | None = None
    gpu: bool = False
    gpu_mode: int = 0

    def simulator(self, seed: int = 0, fused_qubits: int = 4) -> QSimSimulator:
        """Return a simulator; its seed keeps it from drawing one from the global generator of NumPy.

        Args:
            seed: Seed of trajectories.
            fused_qubits: Number of qubits of fused gates if the settings leave it open.

        Raises:
            DeviceError: The installed qsimcirq cannot compute on a GPU.
        """
        from qsimcirq import qsim_simulator

        options = qsim_simulator.QSimOptions(
            cpu_threads=self.threads,
            max_fused_gate_size=self.fused_qubits or fused_qubits,
            use_gpu=self.gpu,
            gpu_mode=self.gpu_mode,
        )
        library, module = ("cuStateVec", "qsim_custatevec") if self.gpu_mode else ("CUDA", "qsim_gpu")
        if self.gpu and getattr(qsim_simulator, module) is None:
            raise DeviceError(
                f"gpu=True: qsimcirq {version('qsimcirq')} was installed without {library}, as its wheels are; compile qsim "
                f"where CUDA is, {_INSTRUCTIONS}, or leave out gpu="
            )
        return qsim_simulator.QSimSimulator(options, seed=seed)


def qsim_simulator(threads: int) -> QSimSimulator:
    """Return a simulator of state vectors on the CPU."""
    return QsimSettings(threads).simulator()


def for_qsim(circuit: cirq.AbstractCircuit) -> cirq.FrozenCircuit:
    """Return an equal circuit without symbols that qsim reads: gates of its own, matrices, channels and measurements.

    Controls with several values become one controlled gate for each assignment of values; other gates are decomposed, or
    become matrices where they have no decomposition.

    Raises:
        ValueError: An operation has symbols, acts on other systems than qubits, or is a gate on more than 6 qubits without a
            decomposition.

    Example:
        >>> a, b, c = cirq.LineQubit.range(3)
        >>> parity = cirq.X(c).controlled_by(a, b, control_values=cirq.SumOfProducts([(0, 1), (1, 0)]))
        >>> len(list(for_qsim(cirq.Circuit(parity)).all_operations()))
        2
    """
    anchor = min(circuit.all_qubits(), default=None)  # a global phase may act on any qubit
    moments: list[cirq.Moment] = []
    for moment in circuit:
        if all(map(_is_read, moment)):
            moments.append(moment)
        else:
            moments += cirq.Circuit(chain.from_iterable(_translated(op, anchor) for op in moment)).moments
    return cirq.FrozenCircuit.from_moments(*moments)


def _translated(operation: cirq.Operation, anchor: cirq.Qid | None) -> Iterator[cirq.Operation]:
    """Yield operations that qsim reads and that are together equal to an operation."""
    if _is_read(operation):
        yield operation
        return
    _check(operation)
    if not operation.qubits and cirq.has_unitary(operation):
        if anchor is not None:
            yield cirq.MatrixGate(cirq.unitary(operation) * np.eye(2), unitary_check=False)(anchor)
        return
    parts = _explicit_confusion(operation) if _is_confused(operation) else _split(operation.untagged)
    if parts is None:
        matrix = cirq.unitary(operation, None) if len(operation.qubits) <= _MATRIX_QUBITS else None
        if matrix is None:
            raise ValueError(
                f"{operation} cannot be run by qsim: it has neither a matrix on at most 6 qubits nor a decomposition"
            )
        yield cirq.MatrixGate(matrix, unitary_check=False)(*operation.qubits)
    else:
        for part in parts:
            yield from _translated(part, anchor)


def _split(operation: cirq.Operation) -> list[cirq.Operation] | None:
    """Return simpler operations that are together equal to an operation; None if there are none."""
    if isinstance(operation, cirq.ControlledOperation):
        assignments = list(operation.control_values.expand())
        if len(assignments) > 1:  # at most one of these acts on a state, so that their order does not matter
            return [
                cirq.ControlledOperation(operation.controls, operation.sub_operation, [(value,) for value in values])
                for values in assignments
            ]
        if len(operation.qubits) <= _MATRIX_QUBITS and cirq.has_unitary(operation):
            return None  # the matrix is shorter than a decomposition
    parts: list[cirq.Operation] | None = cirq.decompose_once(operation, None)
    outside = {q for part in parts or () for q in part.qubits}.difference(operation.qubits)
    return None if outside else parts  # a register has no room for further qubits


def _is_read(operation: cirq.Operation) -> bool:
    """Return True if qsim reads an operation as it is."""
    from qsimcirq import qsim_circuit

    bare, gate = operation.untagged, operation.gate
    if gate is None or any(q.dimension != 2 for q in operation.qubits) or cirq.is_parameterized(operation):
        return False
    if isinstance(gate, cirq.MeasurementGate):
        return isinstance(bare, cirq.GateOperation) and not gate.confusion_map
    if not cirq.has_unitary(operation):
        return cirq.has_kraus(operation) and isinstance(bare, cirq.GateOperation)
    if isinstance(gate, cirq.ControlledGate):
        single = len(list(gate.control_values.expand())) == 1
        narrow = gate.sub_gate.num_qubits() <= _CONTROLLED_QUBITS
        return (
            single and narrow and not isinstance(gate.sub_gate, cirq.ControlledGate) and _is_native(qsim_circuit, gate.sub_gate)
        )
    return _is_native(qsim_circuit, gate)


def _is_confused(operation: cirq.Operation) -> bool:
    return isinstance(operation.gate, cirq.MeasurementGate) and bool(operation.gate.confusion_map)


def _explicit_confusion(operation: cirq.Operation) -> list[cirq.Operation]:
    """Return a measurement's confusion map as channels before the measurement, which give the same counts."""
    gate = operation.gate
    assert isinstance(gate, cirq.MeasurementGate)
    channels = []
    for positions, confusion in gate.confusion_map.items():
        moves = []
        for true, observed in np.argwhere(confusion):
            move = np.zeros(confusion.shape)
            move[observed, true] = np.sqrt(confusion[true, observed])
            moves.append(move)
        channels.append(cirq.KrausChannel(moves).on(*(operation.qubits[i] for i in positions)))
    plain = cirq.MeasurementGate(qid_shape=cirq.qid_shape(gate), key=gate.mkey, invert_mask=gate.invert_mask)
    return [*channels, plain.on(*operation.qubits)]


def _is_native(translation: Any, gate: cirq.Gate) -> bool:
    if isinstance(gate, cirq.MatrixGate):
        return gate.num_qubits() <= _MATRIX_QUBITS
    return any(kind in translation.TYPE_TRANSLATOR for kind in type(gate).mro())


def _check(operation: cirq.Operation) -> None:
    if cirq.is_parameterized(operation):
        names = sorted(cirq.parameter_names(operation))
        raise ValueError(f"{operation} has symbols {names} without a value; resolve the circuit before it is run")
    if any(q.dimension != 2 for q in operation.qubits):
        raise ValueError(f"{operation} acts on systems with more than two levels; engines run circuits of qubits")
