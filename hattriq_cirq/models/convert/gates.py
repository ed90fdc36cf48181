"""Gates that PennyLane and Qiskit share, by one name each, as Cirq's gates with numbers or symbols; exact, phases included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cirq
import numpy as np

from hattriq_cirq.foundation.arrays import Array

#: Gate of the parameters, in radians, as operations on qubits.
Build = Callable[[Sequence[Any], Sequence[cirq.Qid]], list[cirq.Operation]]


def _fixed(gate: cirq.Gate) -> Build:
    return lambda params, qubits: [gate.on(*qubits)]


def _turned(kind: Callable[..., cirq.Gate], shift: float = 0.0) -> Build:
    """Return the power of a gate that is the rotation exp(-i angle P / 2), or with shift 0 one with the phase of the power."""
    return lambda params, qubits: [kind(exponent=params[0] / np.pi, global_shift=shift).on(*qubits)]


def _controlled(build: Build, controls: int = 1) -> Build:
    def controlled(params: Sequence[Any], qubits: Sequence[cirq.Qid]) -> list[cirq.Operation]:
        return [op.controlled_by(*qubits[:controls]) for op in build(params, qubits[controls:])]

    return controlled


def _in_turn(*parts: tuple[Build, int]) -> Build:
    """Return gates on the same qubits one after the other, each with one of the parameters."""

    def all_parts(params: Sequence[Any], qubits: Sequence[cirq.Qid]) -> list[cirq.Operation]:
        return [op for build, i in parts for op in build([params[i]], qubits)]

    return all_parts


def _u2(params: Sequence[Any], qubits: Sequence[cirq.Qid]) -> list[cirq.Operation]:
    return _U3([np.pi / 2, *params], qubits)


def _cu(params: Sequence[Any], qubits: Sequence[cirq.Qid]) -> list[cirq.Operation]:
    phase = cirq.ZPowGate(exponent=params[3] / np.pi).on(qubits[0])
    return [phase, *_controlled(_U3)(params[:3], qubits)]


def _phased(params: Sequence[Any], qubits: Sequence[cirq.Qid]) -> list[cirq.Operation]:
    angle, axis = params
    return [*_RZ([-axis], qubits), *_RX([angle], qubits), *_RZ([axis], qubits)]


def _zx(params: Sequence[Any], qubits: Sequence[cirq.Qid]) -> list[cirq.Operation]:
    side = cirq.H(qubits[1])
    return [side, *_turned(cirq.ZZPowGate, -0.5)(params, qubits), side]


_RX, _RY, _RZ = (_turned(kind, -0.5) for kind in (cirq.XPowGate, cirq.YPowGate, cirq.ZPowGate))
_PHASE = _turned(cirq.ZPowGate)
_U3 = _in_turn((_PHASE, 2), (_RY, 0), (_PHASE, 1))
_ROT = _in_turn((_RZ, 0), (_RY, 1), (_RZ, 2))
#: Name -> gate; the first qubits are the controls.
GATES: dict[str, Build] = {
    "x": _fixed(cirq.X),
    "y": _fixed(cirq.Y),
    "z": _fixed(cirq.Z),
    "h": _fixed(cirq.H),
    "s": _fixed(cirq.S),
    "sdg": _fixed(cirq.S**-1),
    "t": _fixed(cirq.T),
    "tdg": _fixed(cirq.T**-1),
    "sx": _fixed(cirq.X**0.5),
    "sxdg": _fixed(cirq.X**-0.5),
    "rx": _RX,
    "ry": _RY,
    "rz": _RZ,
    "p": _PHASE,
    "r": _phased,
    "u2": _u2,
    "u": _U3,
    "rot": _ROT,
    "cx": _fixed(cirq.CNOT),
    "cy": _controlled(_fixed(cirq.Y)),
    "cz": _fixed(cirq.CZ),
    "ch": _controlled(_fixed(cirq.H)),
    "cs": _controlled(_fixed(cirq.S)),
    "csdg": _controlled(_fixed(cirq.S**-1)),
    "csx": _controlled(_fixed(cirq.X**0.5)),
    "crx": _controlled(_RX),
    "cry": _controlled(_RY),
    "crz": _controlled(_RZ),
    "cp": _turned(cirq.CZPowGate),
    "cu3": _controlled(_U3),
    "cu": _cu,
    "crot": _controlled(_ROT),
    "swap": _fixed(cirq.SWAP),
    "iswap": _fixed(cirq.ISWAP),
    "rxx": _turned(cirq.XXPowGate, -0.5),
    "ryy": _turned(cirq.YYPowGate, -0.5),
    "rzz": _turned(cirq.ZZPowGate, -0.5),
    "rzx": _zx,
    "ccx": _fixed(cirq.TOFFOLI),
    "ccz": _fixed(cirq.CCZ),
    "cswap": _fixed(cirq.CSWAP),
}


def matrix_operation(matrix: Array, qubits: Sequence[cirq.Qid]) -> list[cirq.Operation]:
    """Return a unitary matrix as a gate on qubits, the first of which is the most significant."""
    return [cirq.MatrixGate(np.asarray(matrix, dtype=np.complex128), unitary_check_atol=1e-6).on(*qubits)]


def channel_operation(kraus: Sequence[Array], qubits: Sequence[cirq.Qid]) -> list[cirq.Operation]:
    """Return Kraus matrices as a channel on qubits, the first of which is the most significant."""
    return [cirq.KrausChannel([np.asarray(each, dtype=np.complex128) for each in kraus]).on(*qubits)]
