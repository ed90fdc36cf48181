"""States of unknown amplitudes as data of the command line: files with a circuit that prepares the input of a model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import cirq

from hattriq_cirq.foundation.reading import FileError, checksum, problem_of, read_bytes
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.convert.qasm import from_qasm
from hattriq_cirq.models.convert.source import RemovedOperationsWarning
from hattriq_cirq.models.model import Model
from hattriq_cirq.pipeline.objectives import check_preparation

_SUFFIXES = (".qasm", ".json")
_Order = Literal["big-endian", "little-endian"]


@dataclass(frozen=True)
class PreparedState:
    """State that a circuit prepares from |0...0>, in the place of a data set of one sample.

    Args:
        name: Name of the file.
        circuit: Circuit on qubits of the model.
        details: How the file was read, and its checksum.
    """

    name: str
    circuit: cirq.Circuit
    details: Mapping[str, Any] = field(default_factory=dict)
    label_names = ("-1", "+1")
    image_shape = None
    train: Sequence[int] = ()
    test: Sequence[int] = ()

    def summary(self) -> str:
        """Return one line on the state."""
        qubits, operations = len(self.circuit.all_qubits()), len(list(self.circuit.all_operations()))
        return f"{self.name}: a state that {quantity(operations, 'operation')} on {quantity(qubits, 'qubit')} prepare"


def is_state_file(text: str) -> bool:
    """Return True for a text that names a circuit: a .qasm file with an order of qubits, or Cirq's .json."""
    return text.partition(":")[0].lower().endswith(_SUFFIXES)


def read_state(text: str, model: object) -> PreparedState:
    """Return the state that a text names: `FILE.qasm:qubit_order=ORDER`, or `FILE.json` with a circuit that Cirq wrote.

    Qubit k of an OpenQASM file is the model's qubit k, the most significant first for `big-endian` and last for
    `little-endian`. Qubits of a Cirq circuit are those of the model, or as many others, in their order.

    Args:
        text: Path of the file, with the order of the qubits of OpenQASM, which does not state it.
        model: Model that takes the state.

    Raises:
        ValueError: The circuit cannot be read, or prepares no input of the model.
    """
    if not isinstance(model, Model):
        raise ValueError(f"{text} prepares a state of unknown amplitudes, which needs the circuit of a model that was trained")
    path, _, options = text.partition(":")
    if path.lower().endswith(".qasm"):
        order = next((each for each in get_args(_Order) if options == f"qubit_order={each}"), None)
        if order is None:
            raise ValueError(
                f"{text!r} must state which qubit is the most significant: {path}:qubit_order=big-endian for the first, "
                "or qubit_order=little-endian for the last, as in circuits that Qiskit wrote"
            )
        circuit, qubits = _of_qasm(path, order)
    elif options:
        raise ValueError(f"{text!r}: a circuit of Cirq takes no options; leave out {options!r}")
    else:
        circuit = _of_cirq(path)
        own = circuit.all_qubits() <= set(model.qubits)
        qubits = list(model.qubits) if own else sorted(circuit.all_qubits())
    if len(qubits) != len(model.qubits):
        raise ValueError(f"{path} has {quantity(len(qubits), 'qubit')}, the model {len(model.qubits)}; give a state of as many")
    placed = circuit.transform_qubits(dict(zip(qubits, model.qubits, strict=True)))
    check_preparation(model, placed)
    return PreparedState(Path(path).name, placed, {"sha256": checksum(Path(path)), "options": options})


def _of_qasm(path: str, order: _Order) -> tuple[cirq.Circuit, list[cirq.Qid]]:
    """Return the circuit of an OpenQASM file and its qubits, the most significant first."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RemovedOperationsWarning)
        try:
            found = from_qasm(Path(path), "Z0", qubit_order=order)
        except RemovedOperationsWarning as warning:
            raise FileError(path, f"not all of it prepares a state: {warning}", "leave these out of the file") from None
    assert isinstance(found, Model)  # as there is one observable
    return found.circuit.unfreeze(), list(found.qubits)


def _of_cirq(path: str) -> cirq.Circuit:
    """Return the circuit that a file of Cirq's JSON holds."""
    try:
        found = cirq.read_json(json_text=read_bytes(Path(path)).decode())
    except (ValueError, TypeError, KeyError) as error:
        raise FileError(path, f"it is no circuit that cirq.to_json wrote: {problem_of(error)}") from error
    if not isinstance(found, cirq.AbstractCircuit):
        raise FileError(path, f"it holds a {type(found).__name__}, and no circuit; write it with cirq.to_json(circuit, file)")
    return found.unfreeze()
