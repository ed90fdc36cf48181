"""Models from Qiskit circuits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cirq
import numpy as np
import sympy
from numpy.typing import ArrayLike

from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.checks import ArgumentTypeError, shown
from hattriq_cirq.models.convert.gates import GATES, channel_operation, matrix_operation
from hattriq_cirq.models.convert.source import (
    CHECKED_QUBITS,
    QubitOrder,
    Source,
    check_round_trip,
    described,
    one_or_all,
    random_states,
    refuse,
)
from hattriq_cirq.models.model import Model

_PREPARATIONS = ("initialize", "state_preparation")
_IGNORED = ("barrier", "delay", "id", "global_phase")
_CHANNELS = ("kraus", "superop", "quantum_channel")
_STANDARD = "qiskit.circuit.library.standard_gates"
_SAME = {"u1": "p", "u3": "u", "cu1": "cp"}  # other names of gates
_MATRIX_QUBITS = 4  # widest gate without parameters that is taken as a matrix, not by its definition


def from_qiskit(
    circuit: Any,
    observable: Any,
    *,
    qubit_order: QubitOrder | None = None,
    params: Mapping[Any, Any] | ArrayLike | None = None,
    check: tuple[ArrayLike, ArrayLike] | None = None,
) -> Model | list[Model]:
    """Return the model of a Qiskit circuit. Qiskit must be installed: pip install 'hattriq_cirq[qiskit]'.

    Qubit k of the circuit is `cirq.LineQubit(k)`, and every `Parameter` becomes a symbol of its name, so that the model can be
    trained and its parameters attributed. `initialize` and state preparations at the start, resets at the start and
    measurements at the end are left out; a warning names them. Measurements, `if_test` and resets inside the circuit and Kraus
    instructions become channels of the model. A circuit of up to 10 qubits without measurements is compared with Qiskit's own
    simulator at random states and parameters.

    Args:
        circuit: `qiskit.QuantumCircuit`.
        observable: `SparsePauliOp`, `Pauli` or `Operator` of Qiskit on all qubits, or an observable as `Model` takes it, such
            as "Z0" with Qiskit's number of the qubit; a list for several models.
        qubit_order: Which qubit is the most significant of an amplitude's index: `little-endian` the last, as in Qiskit's
            `Statevector`, `big-endian` the first, or the numbers of the data qubits, most significant first. Others then start
            in |0>. None takes the order of the preparation, or else `little-endian`.
        params: Number for every `Parameter`, by the parameter or its name, or in the order of `circuit.parameters`.
        check: Inputs and their scores (x, score) that another simulator computed, with which the model is compared.

    Returns:
        The model, or a list of models if the observable is a list.

    Raises:
        ValueError: An operation cannot be part of a model, a parameter has no value, or the scores of `check` differ.

    Warns:
        RemovedOperationsWarning: Operations were left out.

    Example:
        >>> from qiskit import QuantumCircuit  # doctest: +SKIP
        >>> circuit = QuantumCircuit(2)  # doctest: +SKIP
        >>> _ = circuit.cx(0, 1)  # doctest: +SKIP
        >>> model = from_qiskit(circuit, "Z1")  # doctest: +SKIP
        >>> model.expectation([0, 1, 0, 0])  # doctest: +SKIP
        np.float64(-1.0)
        >>> from_qiskit("circuit", "Z1")
        Traceback (most recent call last):
        hattriq_cirq.foundation.checks.ArgumentTypeError: circuit='circuit' must be a qiskit.QuantumCircuit
    """
    if not hasattr(circuit, "data") or not hasattr(circuit, "find_bit"):
        raise ArgumentTypeError(f"circuit={shown(circuit)} must be a qiskit.QuantumCircuit")
    reader = _Reader(circuit)
    source = reader.source()
    several = isinstance(observable, list)
    observables = [_observable(each, circuit.num_qubits) for each in (observable if several else [observable])]
    values = _values(circuit, params)
    models = source.models(observables, qubit_order, values)
    if reader.simulated is not None and len(source.qubits) <= CHECKED_QUBITS:
        _round_trip(reader.simulated, circuit, models)
    source.check(models, check, observables, values)
    return one_or_all(models, several)


class _Reader:
    """Reader of a circuit: its operations in Cirq's gates, and what of it Qiskit can simulate."""

    def __init__(self, circuit: Any) -> None:
        self.circuit = circuit
        self.qubits = cirq.LineQubit.range(circuit.num_qubits)
        self.touched: set[cirq.Qid] = set()
        self.prepared: list[cirq.Qid] | None = None
        self.removed: list[str] = []
        #: The circuit without its preparation, or None if Qiskit's density matrices cannot follow it.
        self.simulated: Any = circuit.copy_empty_like()

    def source(self) -> Source:
        operations: list[cirq.Operation] = []
        data = list(self.circuit.data)
        for i, instruction in enumerate(data):
            positions = [self.circuit.find_bit(q).index for q in instruction.qubits]
            bits = [self.circuit.find_bit(c).index for c in instruction.clbits]
            own, qubits = instruction.operation, [self.qubits[i] for i in positions]
            if own.name in _PREPARATIONS:
                self._prepare(own, positions)
                continue
            if own.name in ("measure", "if_else", "switch_case"):
                self.simulated = None if _is_followed(instruction, data[i + 1 :]) else self.simulated
            elif self.simulated is not None and not (own.name == "reset" and not self.touched & set(qubits)):
                self.simulated.append(instruction)
            operations += self._operations(own, qubits, bits)
            if own.name not in (*_IGNORED, "reset"):
                self.touched |= set(qubits)
        circuit = cirq.Circuit(operations)
        return Source("Qiskit", circuit, self.qubits, "little-endian", self.prepared, tuple(self.removed))

    def _prepare(self, operation: Any, positions: Sequence[int]) -> None:
        what = f"{operation.name} of {described(positions)}"
        qubits: list[cirq.Qid] = [self.qubits[i] for i in reversed(positions)]  # the first is the least significant
        if self.prepared is not None:
            refuse("Qiskit", f"{what} beside another preparation", "a model has one input; keep one of them")
        if self.touched & set(qubits):
            refuse("Qiskit", f"{what} after other operations on them", "only the start of a circuit may prepare a state")
        self.prepared = qubits
        self.removed.append(f"the preparation {what}")

    def _operations(self, operation: Any, qubits: Sequence[cirq.Qid], bits: Sequence[int]) -> list[cirq.Operation]:
        name, backwards = operation.name, list(qubits)[::-1]
        if name in _IGNORED:
            return []
        if name == "measure":
            return [cirq.measure(qubits[0], key=_key(bits[0]))]
        if name == "reset":
            return [cirq.reset(q) for q in qubits]
        if name == "if_else":
            return self._conditional(operation, qubits)
        if name in _CHANNELS:
            from qiskit.quantum_info import Kraus

            return channel_operation(Kraus(operation).data, backwards)
        if getattr(operation, "condition", None) is not None or hasattr(operation, "blocks"):
            refuse("Qiskit", name, "unroll it, or write it with if_test")
        build, params = GATES.get(_SAME.get(name, name)), [_number(each) for each in operation.params]
        kind = getattr(operation, "base_class", type(operation))
        if build is not None and str(kind.__module__).startswith(_STANDARD):
            return build(params, qubits)
        is_constant = not any(isinstance(each, sympy.Basic) for each in params)
        if is_constant and len(qubits) <= _MATRIX_QUBITS and hasattr(operation, "to_matrix"):
            return matrix_operation(operation.to_matrix(), backwards)
        definition = operation.definition
        if definition is None:
            refuse("Qiskit", name, "decompose it into gates first: circuit.decompose()")
        inside = []
        for each in definition.data:
            own = [qubits[definition.find_bit(q).index] for q in each.qubits]
            inside += self._operations(each.operation, own, [definition.find_bit(c).index for c in each.clbits])
        return inside

    def _conditional(self, operation: Any, qubits: Sequence[cirq.Qid]) -> list[cirq.Operation]:
        target, value = operation.condition if isinstance(operation.condition, tuple) else (None, None)
        if target is None:
            refuse("Qiskit", "if_else of an expression", "compare one bit or register with a number")
        is_register = hasattr(target, "size")
        bits = [self.circuit.find_bit(bit).index for bit in (target if is_register else [target])]
        then, *otherwise = [block for block in operation.blocks if block is not None]
        if otherwise and is_register:
            refuse("Qiskit", "if_else of a register with an else branch", "compare a single bit")
        found: list[cirq.Operation] = []
        for block, offset in ((then, 0), *((block, 1) for block in otherwise)):
            values = [(int(value) >> i & 1) ^ offset for i in range(len(bits))]
            conditions = [sympy.Eq(sympy.Symbol(_key(bit)), each) for bit, each in zip(bits, values, strict=True)]
            for each in block.data:
                if each.clbits or each.operation.name in ("reset", *_PREPARATIONS):
                    refuse("Qiskit", f"{each.operation.name} inside if_test", "only gates may depend on outcomes")
                own = [qubits[block.find_bit(q).index] for q in each.qubits]
                found += [op.with_classical_controls(*conditions) for op in self._operations(each.operation, own, [])]
        return found


def _is_followed(instruction: Any, later: Sequence[Any]) -> bool:
    """Return True unless an instruction is a measurement after which its qubit is not used and its bit not read."""
    used = any(set(each.qubits) & set(instruction.qubits) and each.operation.name != "barrier" for each in later)
    read = any(set(each.clbits) & set(instruction.clbits) and each.operation.name != "measure" for each in later)
    return instruction.operation.name != "measure" or used or read


def _key(bit: int) -> str:
    return f"c{bit}"


def _number(value: Any) -> Any:
    """Return a parameter as a float, a SymPy expression, or as it is."""
    if hasattr(value, "sympify"):
        found = value.sympify()
        return found if found.free_symbols else float(found)
    return value


def _values(circuit: Any, params: Mapping[Any, Any] | ArrayLike | None) -> dict[str, Any]:
    """Return numbers by the names of the circuit's parameters."""
    names = [parameter.name for parameter in circuit.parameters]
    if params is None:
        params = {}
    if isinstance(params, Mapping):
        return {getattr(name, "name", str(name)): value for name, value in params.items()}
    numbers = np.asarray(params, dtype=float)
    if numbers.shape != (len(names),):
        raise ValueError(
            f"params of shape {numbers.shape} must have {len(names)} numbers, one for each parameter of the circuit in its "
            f"order: {', '.join(names)}"
        )
    return dict(zip(names, numbers.tolist(), strict=True))


def _observable(observable: Any, qubits: int) -> Any:
    """Return an observable of Qiskit as one of Cirq; labels of Pauli strings name the last qubit first."""
    if not hasattr(observable, "num_qubits"):
        return observable
    if observable.num_qubits != qubits:
        raise ValueError(f"the observable acts on {observable.num_qubits} qubits, and the circuit has {qubits}")
    if hasattr(observable, "to_list"):
        terms = observable.to_list()
    elif hasattr(observable, "to_label"):
        label, phase = observable.to_label().lstrip("-i"), observable.phase
        terms = [(label, (-1j) ** phase)]
    else:
        matrix = np.asarray(observable.data)
        return matrix, cirq.LineQubit.range(qubits)[::-1]
    line = cirq.LineQubit.range(qubits)
    strings: list[cirq.PauliString[cirq.Qid]] = [
        cirq.PauliString(complex(weight), *(getattr(cirq, p)(q) for p, q in zip(label[::-1], line, strict=True) if p != "I"))
        for label, weight in terms
    ]
    return cirq.PauliSum.from_pauli_strings(strings)


def _round_trip(simulated: Any, circuit: Any, models: Sequence[Model]) -> None:
    """Compare models with Qiskit's own states at random inputs, at the parameters and at random ones."""
    rng = np.random.default_rng(1)
    names = [parameter.name for parameter in circuit.parameters]
    for draw in range(2 if names else 1):
        values = {name: rng.uniform(-np.pi, np.pi) if draw else models[0].params[name] for name in names}
        own = [model.with_params({n: v for n, v in values.items() if n in model.params}) for model in models]
        x = random_states(models[0].n_qubits)
        check_round_trip("Qiskit", own, x, _simulated(simulated.assign_parameters(values), own, x))


def _simulated(circuit: Any, models: Sequence[Model], x: Array) -> FloatArray:
    """Return the expectations that Qiskit computes for input states, (samples, models)."""
    from qiskit.quantum_info import DensityMatrix, SparsePauliOp, Statevector

    n = circuit.num_qubits
    data = [q.x for q in models[0].qubits if isinstance(q, cirq.LineQubit)]
    operators = []
    for model in models:
        terms = [
            ("".join(str(term.get(q, "I")) for q in cirq.LineQubit.range(n)), term.coefficient) for term in model.pauli_sum
        ]
        operators.append(SparsePauliOp([label[::-1] for label, _ in terms], [weight for _, weight in terms]))
    is_pure = all(hasattr(each.operation, "to_matrix") or each.operation.name in _IGNORED for each in circuit.data)
    found = []
    for row in x:
        whole = np.zeros((2,) * n, dtype=np.complex128)  # axes from the last qubit to the first
        index = [slice(None) if q in data else 0 for q in reversed(range(n))]
        axes = [sorted(data, reverse=True).index(q) for q in data]
        whole[tuple(index)] = np.moveaxis(row.reshape((2,) * len(data)), range(len(data)), axes)
        state = (Statevector if is_pure else DensityMatrix)(whole.reshape(-1)).evolve(circuit)
        found.append([float(np.real(state.expectation_value(operator))) for operator in operators])
    return np.array(found)
