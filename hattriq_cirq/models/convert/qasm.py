"""Models from OpenQASM 2 and 3, as far as Cirq reads them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cirq
import sympy
from numpy.typing import ArrayLike

from hattriq_cirq.foundation.checks import ArgumentTypeError, shown
from hattriq_cirq.foundation.reading import read_bytes
from hattriq_cirq.models.convert.gates import GATES
from hattriq_cirq.models.convert.source import QubitOrder, Source, one_or_all, refuse
from hattriq_cirq.models.model import Model

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_BARRIER = re.compile(r"(?<![\w])barrier\b[^;{}]*;")
_PREPARATION = r"(?:initialize|state_preparation)\w*"  # names that Qiskit writes for its preparations of a state
_DEFINITION = re.compile(rf"\bgate\s+{_PREPARATION}[^{{]*\{{[^}}]*\}}")
_CALL = re.compile(rf"\b(?P<name>{_PREPARATION})\s*(?:\((?P<params>[^)]*)\))?\s*(?P<qubits>[^;{{}}]*);")
#: Gates whose angles Cirq takes modulo a turn, which loses a sign under control and cannot be differentiated, and `cu`, of
#: which it drops an angle: name in OpenQASM -> name in `GATES`, number of angles and of qubits.
_REPLACED = {
    **{"U": ("u", 3, 1), "u": ("u", 3, 1), "u3": ("u", 3, 1), "u2": ("u2", 2, 1), "u1": ("p", 1, 1), "r": ("r", 2, 1)},
    **{"cu1": ("cp", 1, 2), "cu3": ("cu3", 3, 2), "cu": ("cu", 4, 2)},
}
_DECLARATION = r"(?:OPENQASM|include|qreg|creg|qubit|bit|input|reset)\b"
_FUNCTIONS = ("sin", "cos", "tan", "exp", "sqrt", "acos", "asin", "atan")


def from_qasm(
    source: str | os.PathLike[str],
    observable: Any,
    *,
    qubit_order: QubitOrder,
    params: Mapping[Any, Any] | None = None,
    check: tuple[ArrayLike, ArrayLike] | None = None,
) -> Model | list[Model]:
    """Return the model of a circuit in OpenQASM 2 or 3.

    Qubit k of the file, counted over its registers in their order, is `cirq.LineQubit(k)`. An `input` of OpenQASM 3 becomes a
    symbol. Resets at the start, measurements at the end, barriers and Qiskit's preparations of a state are left out; a warning
    names them. Measurements and resets inside the circuit are channels of the model.

    Args:
        source: Text that states `OPENQASM`, or the path of a file.
        observable: Observable on the qubits of the file, as `Model` takes it, such as "0.5*Z0*X2 + Y1"; a list for several
            models.
        qubit_order: Which qubit is the most significant of an amplitude's index, which the file does not say: `big-endian` the
            first, `little-endian` the last, as in circuits that Qiskit wrote; or the numbers of the data qubits, most
            significant first. Others then start in |0>.
        params: Number for every symbol.
        check: Inputs and their scores (x, score) that another simulator computed, with which the model is compared.

    Returns:
        The model, or a list of models if the observable is a list.

    Raises:
        ValueError: Cirq cannot read the text, or the scores of `check` differ: a wrong order of the qubits is one reason.

    Warns:
        RemovedOperationsWarning: Operations were left out.

    Example:
        >>> text = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; x q[0];'
        >>> from_qasm(text, "Z0", qubit_order="big-endian").expectation([0, 0, 1, 0]).round(2)  # |10> has index 2
        np.float64(1.0)
    """
    text = _text_of(source)
    parsed, calls = _parsed(text)
    names = {f"{register}_{i}": None for register, size in parsed.qregs.items() for i in range(size)}
    qubits: dict[cirq.Qid, cirq.Qid] = {cirq.NamedQubit(name): cirq.LineQubit(k) for k, name in enumerate(names)}
    if not qubits:
        raise ValueError("OpenQASM: the circuit declares no qubit; declare a register, such as qreg q[2];")
    unrolled = cirq.unroll_circuit_op(parsed.circuit, deep=True, tags_to_check=None)
    circuit = cirq.Circuit(map(_in_cirqs_gates, unrolled.all_operations()))
    prepared, removed = _prepared(calls, parsed.qregs, list(names))
    found = Source("OpenQASM", circuit.transform_qubits(lambda q: qubits[q]), list(qubits.values()), None, prepared, removed)
    several = isinstance(observable, list)
    observables: Sequence[Any] = observable if several else [observable]
    models = found.models(observables, qubit_order, params)
    found.check(models, check, observables, params)
    return one_or_all(models, several)


@dataclass(frozen=True)
class _NamedGate(cirq.Gate):
    """Gate of `GATES` with angles in radians, until the whole text is read."""

    name: str
    qubits: int
    angles: Sequence[Any]

    def _num_qubits_(self) -> int:
        return self.qubits

    def _parameter_names_(self) -> set[str]:
        return {name for angle in self.angles for name in cirq.parameter_names(angle)}

    def _is_parameterized_(self) -> bool:
        return any(map(cirq.is_parameterized, self.angles))

    def _resolve_parameters_(self, resolver: cirq.ParamResolver, recursive: bool) -> _NamedGate:
        return replace(self, angles=[cirq.resolve_parameters(angle, resolver, recursive) for angle in self.angles])


def _in_cirqs_gates(operation: cirq.Operation) -> list[cirq.Operation]:
    conditions, bare = operation.classical_controls, operation.without_classical_controls()
    if not isinstance(bare.gate, _NamedGate):
        return [operation]
    found = GATES[bare.gate.name](bare.gate.angles, bare.qubits)
    return [op.with_classical_controls(*conditions) for op in found] if conditions else found


def _text_of(source: str | os.PathLike[str]) -> str:
    if isinstance(source, str) and "OPENQASM" in source:
        return source
    if not isinstance(source, str | os.PathLike):
        raise ArgumentTypeError(f"source={shown(source)} must be the text of an OpenQASM circuit, or the path of its file")
    if isinstance(source, str) and ("\n" in source or ";" in source):
        raise ValueError(f"source={shown(source)} does not state its version; begin it with OPENQASM 2.0; or OPENQASM 3.0;")
    return read_bytes(Path(source)).decode()


def _parsed(text: str) -> tuple[Any, list[re.Match[str]]]:
    """Return what Cirq reads, and the calls of preparations that were left out."""
    try:
        from cirq.contrib.qasm_import._parser import (
            QasmGateStatement,
            QasmParser,
        )  # late, because it builds its tables on import
        from cirq.contrib.qasm_import.exception import QasmException
    except ImportError as error:
        raise ImportError("Cirq reads OpenQASM with the package ply; install it: pip install ply") from error
    plain = _blanked(_BARRIER, _blanked(_COMMENT, text))
    plain = _blanked(_DEFINITION, plain)
    calls = list(_CALL.finditer(plain))
    if calls and (earlier := _operations(plain[: calls[0].start()])):
        refuse("OpenQASM", f"{calls[0]['name']} after {earlier[0]!r}", "only the start of a circuit may prepare a state")
    parser = QasmParser()
    replaced = {
        name: QasmGateStatement(name, partial(_NamedGate, own, qubits), angles, qubits)
        for name, (own, angles, qubits) in _REPLACED.items()
    }
    parser.gate_set |= {"U": replaced.pop("U")}
    parser.qelib_gates = {**parser.qelib_gates, **replaced}
    for name in _FUNCTIONS:
        parser.functions[name] = _of_symbols(getattr(sympy, name), parser.functions[name])
    try:
        return parser.parse(_blanked(_CALL, plain)), calls
    except QasmException as error:
        raise ValueError(f"Cirq cannot read this OpenQASM: {error.message}") from error


def _blanked(pattern: re.Pattern[str], text: str) -> str:
    """Return a text without the matches of a pattern, with all line numbers as they were."""
    return pattern.sub(lambda match: "\n" * match[0].count("\n") or " ", text)


def _operations(text: str) -> list[str]:
    """Return the statements of a text other than declarations and resets."""
    statements = (part.strip() for part in re.sub(r"\bgate\b[^{]*\{[^}]*\}", "", text).split(";"))
    return [each for each in statements if each and not re.match(_DECLARATION, each)]


def _of_symbols(symbolic: Any, numeric: Any) -> Any:
    return lambda value: symbolic(value) if isinstance(value, sympy.Basic) else numeric(value)


def _prepared(
    calls: Sequence[re.Match[str]], registers: Mapping[str, int], names: Sequence[str]
) -> tuple[list[cirq.Qid] | None, tuple[str, ...]]:
    """Return the qubits that a call of a preparation names, most significant first, and the call in words."""
    if not calls:
        return None, ()
    if len(calls) > 1:
        raise ValueError("OpenQASM: the circuit prepares more than one state, and a model has one input; keep one of them")
    written = [part.strip() for part in calls[0]["qubits"].split(",")]
    positions = []
    for part in written:
        register, _, index = part.partition("[")
        if register.strip() not in registers:
            raise ValueError(f"OpenQASM: undefined register {register.strip()!r} in {calls[0][0]}")
        indices = [int(index.rstrip("] "))] if index else range(registers[register.strip()])
        positions += [names.index(f"{register.strip()}_{i}") for i in indices]
    return [cirq.LineQubit(k) for k in reversed(positions)], (f"the preparation {calls[0]['name']} of {', '.join(written)}",)
